//! The checker: compares what clients were told with what the broker shows, through its public
//! transactions and by a look at its folders.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use causeway::model::ids::EntryUuid;
use causeway::model::metadata::Noun;
use causeway::model::response::ResponseStatus;
use causeway::model::rim::Body;
use causeway::model::vocabulary::{association, slot};
use causeway::store::audit_trail::AuditRecords;
use causeway::store::hex;
use futures_util::StreamExt as _;
use openssl::sha::{sha1, sha256};

use crate::broker::files;
use crate::client::{Access, Submission, all_of, find_documents, set_and_contents};
use crate::support::unpacked;

/// Documents asked for in one retrieve.
const AT_ONCE: usize = 16;
/// Patients checked at the same time.
const SIDE_BY_SIDE: usize = 4;

/// A submission that was sent, and whether its Success has been seen.
#[derive(Clone, Debug)]
pub struct Known {
    /// What was sent.
    pub submission: Submission,
    /// Whether any answer to it was Success.
    pub acknowledged: bool,
}

/// What a check saw.
#[derive(Default, Debug)]
pub struct Report {
    /// Broken promises, in words.
    pub violations: Vec<String>,
    /// Documents compared byte by byte.
    pub documents: usize,
    /// SubmissionSets looked at with their contents.
    pub sets: usize,
    /// Submissions without an answer that are there as a whole.
    pub whole: usize,
    /// Submissions without an answer of which nothing is there.
    pub absent: usize,
}

impl Report {
    fn add(&mut self, other: Self) {
        self.violations.extend(other.violations);
        self.documents += other.documents;
        self.sets += other.sets;
        self.whole += other.whole;
        self.absent += other.absent;
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(what());
        }
    }
}

/// Checks all that is known, patient by patient.
pub async fn check(access: &Access, known: &[Known]) -> Report {
    let mut by_patient: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
    for known in known {
        by_patient.entry(&known.submission.patient).or_default().push(known);
    }
    let mut checks = futures_util::stream::iter(by_patient)
        .map(|(patient, known)| of_patient(access, patient, known))
        .buffer_unordered(SIDE_BY_SIDE);
    let mut report = Report::default();
    while let Some(of_patient) = checks.next().await {
        report.add(of_patient);
    }
    report
}

/// `known` is all that was ever sent for the patient.
async fn of_patient(access: &Access, patient: &str, known: Vec<&Known>) -> Report {
    let mut report = Report::default();
    let found = access.query(&find_documents(patient)).await;
    report.must(found.status == ResponseStatus::Success, || format!("{patient}: FindDocuments: {:?}", found.errors));
    // uniqueId → entryUUID, Approved
    let mut visible: HashMap<String, (EntryUuid, bool)> = HashMap::new();
    let expected: HashMap<String, &Known> = known.iter().map(|known| (known.submission.unique_id(), *known)).collect();
    for entry in unpacked(&found) {
        let id = entry.unique_id().unwrap_or_default().to_owned();
        let Some(known) = expected.get(&id) else {
            report.violations.push(format!("{id}: an entry that nobody has submitted"));
            continue;
        };
        let content = known.submission.content();
        let stated = |name| entry.common.slot_value(name).unwrap_or_default();
        let right = stated(slot::SIZE) == content.len().to_string()
            && stated(slot::HASH) == hex(&sha1(&content))
            && stated(slot::REPOSITORY_UNIQUE_ID) == access.repository;
        report.must(right, || format!("{id}: size, hash or repositoryUniqueId is not that of what was sent"));
        let uuid = entry.uuid().unwrap_or(EntryUuid([0; 16]));
        report.must(known.submission.uuid.is_none_or(|sent| sent == uuid), || format!("{id}: another entryUUID"));
        let before = visible.insert(id.clone(), (uuid, entry.is_approved()));
        report.must(before.is_none(), || format!("{id}: two entries of one uniqueId"));
    }
    for known in &known {
        let id = known.submission.unique_id();
        match (known.acknowledged, visible.contains_key(&id)) {
            (true, false) => report.violations.push(format!("{id}: acknowledged, and not found")),
            (true, true) => {}
            (false, true) => report.whole += 1,
            (false, false) => report.absent += 1,
        }
        if let Some((_, approved)) = visible.get(&id) {
            let replaced = known_replacements(&known.submission, &expected, &visible);
            report.must(*approved != replaced, || {
                format!("{id}: Approved {approved}, and its replacement is visible: {replaced}")
            });
        }
    }
    documents(access, &expected, &visible, &mut report).await;
    for known in &known {
        set(access, &known.submission, &visible, &mut report).await;
    }
    associations(access, patient, &known, &visible, &mut report).await;
    report
}

fn known_replacements(
    submission: &Submission,
    expected: &HashMap<String, &Known>,
    visible: &HashMap<String, (EntryUuid, bool)>,
) -> bool {
    expected.iter().any(|(id, other)| {
        other.submission.replaces.is_some_and(|(number, _)| number == submission.number) && visible.contains_key(id)
    })
}

/// ITI-43: what is found comes out as it went in; what is not found is not there either.
async fn documents(
    access: &Access,
    expected: &HashMap<String, &Known>,
    visible: &HashMap<String, (EntryUuid, bool)>,
    report: &mut Report,
) {
    let ids: Vec<&str> = expected.keys().map(String::as_str).collect();
    for ids in ids.chunks(AT_ONCE) {
        let mut answered = HashSet::new();
        for (id, document) in access.retrieve(ids).await {
            let Some(known) = expected.get(&id) else {
                report.violations.push(format!("{id}: a document that was not asked for"));
                continue;
            };
            report.documents += 1;
            match (&document, visible.contains_key(&id)) {
                (Ok(bytes), true) => {
                    let right = *bytes == known.submission.content();
                    report.must(right, || {
                        format!("{id}: other bytes than were sent, {} of {}", bytes.len(), known.submission.size)
                    });
                }
                (Ok(_), false) => report.violations.push(format!("{id}: retrievable without an entry")),
                (Err(code), true) => report.violations.push(format!("{id}: found, and not retrievable: {code}")),
                (Err(code), false) => {
                    report.must(code == "XDSDocumentUniqueIdError", || {
                        format!("{id}: not there, yet retrieved with {code}")
                    });
                }
            }
            answered.insert(id);
        }
        for id in ids {
            report.must(answered.contains(*id), || format!("{id}: neither document nor error"));
        }
    }
}

/// GetSubmissionSetAndContents: set, entry and membership are there together or not at all.
async fn set(
    access: &Access,
    submission: &Submission,
    visible: &HashMap<String, (EntryUuid, bool)>,
    report: &mut Report,
) {
    let id = submission.set_id();
    let answer = access.query(&set_and_contents(&id)).await;
    let objects = unpacked(&answer);
    report.sets += 1;
    let Some((entry, _)) = visible.get(&submission.unique_id()) else {
        report
            .must(objects.is_empty(), || format!("{id}: {} objects of a submission without its entry", objects.len()));
        return;
    };
    let sets: Vec<_> = objects.iter().filter(|object| object.noun() == Noun::SubmissionSet).collect();
    let set = match sets.as_slice() {
        [set] if set.unique_id() == Some(id.as_str()) => set.uuid(),
        _ => {
            report.violations.push(format!("{id}: {} SubmissionSets of that uniqueId", sets.len()));
            return;
        }
    };
    let entries: Vec<_> = objects.iter().filter(|object| object.noun() == Noun::DocumentEntry).collect();
    let its_own = matches!(entries.as_slice(), [found] if found.uuid() == Some(*entry));
    report.must(its_own, || format!("{id}: its contents are not its one entry"));
    let joined = objects.iter().any(|object| {
        matches!(&object.body, Body::Association { kind, source, target }
            if kind == association::HAS_MEMBER && source.uuid() == set && target.uuid() == Some(*entry))
    });
    report.must(joined, || format!("{id}: no HasMember between set and entry"));
}

/// GetAll: as many objects as the visible submissions have, each RPLC among them.
async fn associations(
    access: &Access,
    patient: &str,
    known: &[&Known],
    visible: &HashMap<String, (EntryUuid, bool)>,
    report: &mut Report,
) {
    let answer = access.query(&all_of(patient)).await;
    report.must(answer.status == ResponseStatus::Success, || format!("{patient}: GetAll: {:?}", answer.errors));
    let objects = unpacked(&answer);
    let mut wanted = 0;
    for submission in known.iter().map(|known| &known.submission) {
        let id = submission.unique_id();
        let Some((entry, _)) = visible.get(&id) else { continue };
        wanted += 3;
        if let Some((_, replaced)) = submission.replaces {
            wanted += 1;
            let there = objects.iter().any(|object| {
                matches!(&object.body, Body::Association { kind, source, target }
                    if kind == association::RPLC && source.uuid() == Some(*entry) && target.uuid() == Some(replaced))
            });
            report.must(there, || format!("{id}: visible without its RPLC"));
        }
    }
    report.must(objects.len() == wanted, || {
        format!("{patient}: GetAll gives {} objects rather than {wanted}", objects.len())
    });
}

/// SubmissionSet.uniqueIds with a record of a successful ITI-41. The broker is not running; a last
/// record that is cut short was nobody's.
pub fn audited(data: &Path) -> HashSet<String> {
    let mut sets = HashSet::new();
    let records = AuditRecords::in_folder(data.join("audit")).expect("a trail");
    for record in records {
        let Ok((_, record)) = record else { break };
        let text = String::from_utf8_lossy(&record);
        if !text.contains("csd-code=\"ITI-41\"") || !text.contains("EventOutcomeIndicator=\"0\"") {
            continue;
        }
        for id in text.split("ParticipantObjectID=\"").skip(1) {
            sets.extend(id.split('"').next().map(str::to_owned));
        }
    }
    sets
}

/// Every acknowledged submission is in the trail.
pub fn check_audit(data: &Path, known: &[Known]) -> Report {
    let audited = audited(data);
    let mut report = Report::default();
    for known in known.iter().filter(|known| known.acknowledged) {
        let id = known.submission.set_id();
        report.must(audited.contains(&id), || format!("{id}: acknowledged without an audit record"));
    }
    report
}

/// The document folder of a broker that has just started: nothing half received is left, and what
/// is published is what its name says. Answers with how many contents there are.
pub fn check_documents(data: &Path, report: &mut Report) -> usize {
    check_staging(data, report);
    let published = files(&data.join("documents/objects"));
    for path in &published {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = std::fs::read(path).unwrap_or_default();
        report.must(hex(&sha256(&content)) == name, || format!("{name}: published with other content"));
    }
    published.len()
}

/// What was being received when the broker was killed is gone.
pub fn check_staging(data: &Path, report: &mut Report) {
    let staged = || files(&data.join("documents/staging")).len();
    // The first start writes down whose documents these are, and does so by way of staging; what is left
    // behind stays for ever.
    let began = std::time::Instant::now();
    let left = loop {
        let left = staged();
        if left == 0 || began.elapsed() > std::time::Duration::from_secs(5) {
            break left;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    report.must(left == 0, || format!("{left} files are left in staging after a start"));
}
