//! The messages of public test suites get the outcome their manifest names. Exceptions stand in
//! `tests/conformance-ledger.toml`, each with its reason; one that starts to hold fails too.
//!
//! The messages lie beside the checkout (`../shared/conformance`); without them this test has
//! nothing to judge and says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use causeway::model::metadata::{Noun, build};
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::model::rim::ObjectId;
use causeway::model::vocabulary::association;
use causeway::validate::Profile;
use causeway::validate::submission::judge;
use causeway::wire::{ebrs, hl7v3, xcpd, xdsb, xml};
use futures_util::StreamExt as _;
use serde::Deserialize;

use crate::support::*;

#[derive(Deserialize, Clone)]
struct Row {
    file: String,
    transaction: String,
    direction: String,
    form: String,
    expected: String,
    error_code: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    answer_contents: Option<Vec<String>>,
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    sent_to: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    notes: String,
    role: String,
    #[serde(default)]
    scenario: String,
    #[serde(default)]
    sequence: u32,
    #[serde(default)]
    how: String,
}

#[derive(Deserialize)]
struct Ledger {
    #[serde(default)]
    gap: Vec<Gap>,
    /// Transactions that this version does not have: messages that need them cannot be judged.
    #[serde(default)]
    later: Vec<Later>,
}

#[derive(Deserialize)]
struct Later {
    transaction: String,
    reason: String,
}

#[derive(Deserialize)]
struct Gap {
    file: String,
    reason: String,
}

const OURS: [&str; 14] = [
    "ITI-18", "ITI-38", "ITI-39", "ITI-41", "ITI-42", "ITI-43", "ITI-51", "ITI-55", "ITI-56", "ITI-57", "ITI-61",
    "ITI-62", "ITI-86", "ITI-92",
];

/// Marks a row that cannot be judged before a transaction is there.
const LATER: &str = "needs a message of ";

struct Suite {
    root: PathBuf,
    rows: Vec<Row>,
    by_file: HashMap<String, usize>,
}

fn load() -> Option<Suite> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    let manifest = std::fs::read_to_string(root.join("manifest.jsonl")).ok()?;
    let rows: Vec<Row> = manifest.lines().map(|line| serde_json::from_str(line).expect("a manifest row")).collect();
    let by_file = rows.iter().enumerate().map(|(n, row)| (row.file.clone(), n)).collect();
    Some(Suite { root, rows, by_file })
}

fn action(transaction: &str) -> &'static str {
    causeway::transaction::TRANSACTIONS
        .iter()
        .find(|row| row.number == transaction)
        .expect("a transaction of ours")
        .action
}

fn service(row: &Row) -> &'static str {
    match (row.transaction.as_str(), row.sent_to.as_deref()) {
        ("ITI-18" | "ITI-43", Some(actor)) if actor.to_lowercase().contains("initiating") => "initiating-gateway",
        ("ITI-92", Some(actor)) if actor.to_lowercase().contains("responding") => "responding-gateway",
        ("ITI-18" | "ITI-42" | "ITI-51" | "ITI-57" | "ITI-61" | "ITI-62" | "ITI-92", _) => "registry",
        ("ITI-41" | "ITI-43" | "ITI-86", _) => "repository",
        _ => "responding-gateway",
    }
}

/// Every `id^^^&oid&ISO` in a text.
fn patients_in(text: &str) -> HashSet<String> {
    let mut found = HashSet::new();
    let text = text.replace("&amp;", "&");
    for (at, _) in text.match_indices("^^^&") {
        let start = text[..at].rfind(|c: char| c.is_whitespace() || "'\">|,(".contains(c)).map_or(0, |n| n + 1);
        if let Some(end) = text[at..].find("&ISO") {
            let cx = &text[start..at + end + 4];
            if causeway::model::ids::PatientId::parse(cx).is_ok() {
                found.insert(cx.to_owned());
            }
        }
    }
    found
}

impl Suite {
    /// What must be sent before a row, in order, each once.
    fn closure(&self, row: &Row, files: &mut Vec<usize>, patients: &mut HashSet<String>, conditions: &mut Vec<String>) {
        for need in &row.needs {
            if let Some(file) = need.strip_prefix("file:") {
                let Some(at) = self.by_file.get(file).copied() else { continue };
                let needed = self.rows[at].clone();
                if needed.transaction == "ITI-8" {
                    patients.extend(patients_in(&self.text(&needed)));
                    continue;
                }
                self.closure(&needed, files, patients, conditions);
                if !files.contains(&at) {
                    files.push(at);
                }
            } else if let Some(patient) = need.strip_prefix("patient:") {
                patients.insert(patient.to_owned());
            } else {
                conditions.push(need.clone());
            }
        }
        // Tests of Initiating Gateways name no needs; what they ask for is their fixtures'.
        if row.needs.is_empty() && row.file.contains("tk-15809") {
            for (at, needed) in
                self.rows.iter().enumerate().filter(|(_, r)| r.file.starts_with("fixtures/iti-41/tk-15807"))
            {
                self.closure(needed, files, patients, conditions);
                files.push(at);
            }
        }
        // Those of ITI-51 find what another test has left.
        if row.file.contains("tk-12364") {
            for (at, needed) in self.rows.iter().enumerate().filter(|(_, r)| r.scenario == "tk-12361") {
                self.closure(needed, files, patients, conditions);
                files.push(at);
            }
        }
        // Earlier steps of the same scenario; steps without a number are in the manifest's order.
        let own = self.by_file.get(&row.file).copied().unwrap_or_default();
        let mut earlier: Vec<usize> = (0..self.rows.len())
            .filter(|n| {
                let other = &self.rows[*n];
                other.scenario == row.scenario
                    && (other.sequence, *n) < (row.sequence, own)
                    && other.role == row.role
                    && OURS.contains(&other.transaction.as_str())
            })
            .collect();
        earlier.sort_by_key(|n| self.rows[*n].sequence);
        for at in earlier {
            if !files.contains(&at) {
                let needed = self.rows[at].clone();
                self.closure(&needed, files, patients, conditions);
                if !files.contains(&at) {
                    files.push(at);
                }
            }
        }
    }

    fn bytes(&self, row: &Row) -> Vec<u8> {
        std::fs::read(self.root.join(&row.file)).expect("a message")
    }

    fn text(&self, row: &Row) -> String {
        String::from_utf8_lossy(&self.bytes(row)).into_owned()
    }

    async fn send(&self, broker: &TestBroker, row: &Row) -> Reply {
        let bytes = self.bytes(row);
        let (content_type, body) = match row.form.as_str() {
            "body" => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let text = text.trim_start_matches('\u{feff}').trim_start();
                let text =
                    if text.starts_with("<?xml") { text.split_once("?>").map_or(text, |(_, rest)| rest) } else { text };
                let body = envelope(action(&row.transaction), |out| out.extend_from_slice(text.as_bytes()));
                ("application/soap+xml; charset=UTF-8".to_owned(), body)
            }
            "http" => http_message(&bytes),
            _ => (row.content_type.clone().unwrap_or_else(|| "application/soap+xml; charset=UTF-8".into()), bytes),
        };
        broker.post(service(row), &content_type, body).await
    }
}

/// A captured HTTP message with LF line ends: its Content-Type, and its body with CRLF.
fn http_message(bytes: &[u8]) -> (String, Vec<u8>) {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").expect("a blank line behind the headers");
    let content_type = head
        .lines()
        .find_map(|line| line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-type")))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default();
    (content_type, body.replace('\n', "\r\n").into_bytes())
}

/// What became of a request, in the manifest's words, with the codes of its errors.
fn outcome(row: &Row, reply: &Reply) -> (String, Vec<String>, Option<QueryResponse>) {
    if reply.body.is_empty() || reply.status == 415 || reply.fault().is_some() {
        return ("fault".into(), Vec::new(), None);
    }
    let (status, errors, query) = match row.transaction.as_str() {
        "ITI-18" | "ITI-38" | "ITI-51" => {
            let response = reply.query();
            (response.status, response.errors.clone(), Some(response))
        }
        "ITI-39" | "ITI-43" => {
            let (response, _) = reply.retrieve();
            (response.status, response.errors, None)
        }
        _ => {
            let response = reply.registry();
            (response.status, response.errors, None)
        }
    };
    let word = match status {
        ResponseStatus::Success => "success",
        ResponseStatus::PartialSuccess => "partial",
        ResponseStatus::Failure => "failure",
    };
    (word.into(), errors.iter().map(|error| format!("{}: {}", error.code.as_str(), error.context)).collect(), query)
}

/// Compares an answer with the words of the test plan.
fn judge_contents(contents: &[String], response: &QueryResponse) -> Result<(), String> {
    let objects = unpacked(response);
    let count = |noun: Noun| objects.iter().filter(|object| object.noun() == noun).count();
    let references = objects.iter().filter(|object| object.body == causeway::model::rim::Body::ObjectRef).count();
    for word in contents {
        let fail = |is: usize| Err(format!("{word}, but there are {is}"));
        if let Some((what, number)) = word.split_once('=') {
            let wanted: usize = number.parse().map_err(|_| format!("cannot read {word}"))?;
            let is = match what {
                "Documents" => count(Noun::DocumentEntry),
                "SubmissionSets" => count(Noun::SubmissionSet),
                "Folders" => count(Noun::Folder),
                "Associations" => count(Noun::Association),
                "ObjectRefs" => references,
                _ => return Err(format!("unknown word {word}")),
            };
            if is != wanted {
                return fail(is);
            }
            continue;
        }
        let documents = objects.iter().filter(|object| object.noun() == Noun::DocumentEntry);
        let holds = match word.as_str() {
            "None" => objects.is_empty(),
            "SSwithOneDoc" => count(Noun::SubmissionSet) == 1 && count(Noun::DocumentEntry) == 1,
            "SSwithTwoDoc" => count(Noun::SubmissionSet) == 1 && count(Noun::DocumentEntry) == 2,
            "SSwithOneFol" => count(Noun::SubmissionSet) == 1 && count(Noun::Folder) == 1,
            "SSwithOneDocOneFol" => {
                count(Noun::SubmissionSet) == 1 && count(Noun::DocumentEntry) == 1 && count(Noun::Folder) == 1
            }
            "DocApp" => {
                // One plan wants no documents, and those Approved.
                let none = contents.iter().any(|word| word == "Documents=0");
                documents.clone().all(|d| d.is_approved()) && (none || documents.clone().next().is_some())
            }
            "DocDep" => documents.clone().all(|d| !d.is_approved()) && documents.clone().next().is_some(),
            "DocumentEntries" => documents.clone().next().is_some(),
            "SSApproved" => objects.iter().filter(|o| o.noun() == Noun::SubmissionSet).all(|o| o.is_approved()),
            "HasXFRM_RPLC" => objects.iter().any(|object| {
                matches!(&object.body, causeway::model::rim::Body::Association { kind, .. } if kind == causeway::model::vocabulary::association::XFRM_RPLC)
            }),
            _ => return Err(format!("unknown word {word}")),
        };
        if !holds {
            return Err(format!(
                "{word}, but there are {} sets, {} documents, {} folders, {} associations",
                count(Noun::SubmissionSet),
                count(Noun::DocumentEntry),
                count(Noun::Folder),
                count(Noun::Association)
            ));
        }
    }
    Ok(())
}

/// Judges a message that is not sent: is it a valid one?
fn is_valid(row: &Row, text: &str) -> Result<(), String> {
    let document = xml::Document::parse(text.trim_start_matches('\u{feff}').trim_start(), xml::Limits::default())
        .map_err(|e| e.to_string())?;
    let payload = if row.form == "soap12" {
        let envelope = causeway::wire::soap::read(&document).map_err(|e| e.to_string())?;
        if row.scope.as_deref() != Some("body") && row.direction == "request" {
            envelope.addressing.required_action().map_err(|e| e.to_string())?;
        }
        envelope.payload
    } else {
        document.root()
    };
    let text = |e: ebrs::BodyError| e.to_string();
    // The manifest says of some samples that only parsing and structure are meant.
    if row.needs.iter().any(|need| need.contains("only parsing")) {
        return ebrs::read_submit(payload).map(|_| ()).map_err(text);
    }
    match (row.direction.as_str(), row.transaction.as_str()) {
        ("request", "ITI-18" | "ITI-38") => {
            let query = ebrs::read_query(payload).map_err(text)?;
            causeway::validate::stored_query::read(&query).map(|_| ()).map_err(|errors| format!("{errors:?}"))
        }
        ("request", "ITI-39" | "ITI-43") => xdsb::read_retrieve(payload).map(|_| ()).map_err(text),
        ("request", "ITI-55") => {
            let received = hl7v3::read_request(payload).map_err(text)?;
            causeway::validate::discovery::judge(received.query)
                .map(|_| ())
                .map_err(|refusal| refusal.details.join("; "))
        }
        ("request", "ITI-56") => xcpd::read_location_request(payload).map(|_| ()).map_err(text),
        (_, "ITI-55") => hl7v3::read_response(payload).map(|_| ()).map_err(text),
        (_, "ITI-56") => xcpd::read_location_response(payload).map(|_| ()).map_err(text),
        ("request", "ITI-42") => {
            let submit = ebrs::read_submit(payload).map_err(text)?;
            judge(submit.objects, Profile::Register, None).map(|_| ()).map_err(|errors| format!("{errors:?}"))
        }
        ("request", _) => {
            let provide = xdsb::read_provide(payload).map_err(text)?;
            if provide.documents.len()
                < provide.submit.objects.iter().filter(|o| o.noun() == Noun::DocumentEntry).count()
            {
                return Err("XDSMissingDocument".into());
            }
            judge(provide.submit.objects, Profile::Register, None).map(|_| ()).map_err(|errors| format!("{errors:?}"))
        }
        (_, "ITI-18" | "ITI-38") => {
            let response = ebrs::read_query_response(payload).map_err(text)?;
            causeway::validate::response::query_response(&response, row.transaction == "ITI-38")
        }
        (_, "ITI-39" | "ITI-43") => {
            let (_, documents) = xdsb::read_retrieve_response(payload).map_err(text)?;
            causeway::validate::response::retrieve_response(
                documents.iter().map(|d| (d.unique_id.as_ref(), d.home.as_ref())),
                row.transaction == "ITI-39",
            )
        }
        _ => ebrs::read_registry_response(payload).map(|_| ()).map_err(text),
    }
}

/// Between two tags of any prefix.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let start = text.find(&format!("{name}>"))? + name.len() + 1;
    let end = text[start..].find('<')?;
    Some(text[start..start + end].trim())
}

/// The objects that a sample of ITI-62 removes: a submission, and an addendum to another document.
async fn provide_for_removal(broker: &TestBroker, text: &str) {
    broker.provide("2.999.4711.1", PATIENT, b"stays").await;
    let stays = broker.query(&find(PATIENT)).await.objects[0].uuid().expect("an entryUUID");
    let ids: Vec<_> = text.split("ObjectRef id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let [set, entry, member, addendum] = ids[..] else { panic!("{ids:?}") };
    let id = |text: &str| ObjectId::read(text.to_owned().into());
    let mut objects = submission("2.999.4711.2", PATIENT, "text/plain");
    objects[0].common.id = Some(id(set));
    objects[1].common.id = Some(id(entry));
    objects[2] = build::original(id(member), id(set), id(entry));
    objects.push(build::association(id(addendum), association::APND, id(entry), stays.into()));
    let (content_type, body) = package(&objects, &[(entry, b"goes")]);
    let errors = broker.post("repository", &content_type, body).await.registry().errors;
    assert!(errors.is_empty(), "{errors:?}");
}

async fn run(suite: &Suite, row: &Row) -> Result<(), String> {
    if matches!(row.expected.as_str(), "valid" | "invalid") && row.form != "http" {
        let verdict = is_valid(row, &suite.text(row));
        return match (row.expected.as_str(), verdict) {
            ("valid", Ok(())) | ("invalid", Err(_)) => Ok(()),
            ("valid", Err(why)) => Err(format!("found invalid: {why}")),
            _ => Err("found valid".into()),
        };
    }
    let (mut files, mut patients, mut conditions) = (Vec::new(), HashSet::new(), Vec::new());
    suite.closure(row, &mut files, &mut patients, &mut conditions);
    if !conditions.is_empty() {
        patients.extend(patients_in(&suite.text(row)));
    }
    // Samples of another community: the broker under test is that community, and has the document.
    let sample = conditions.iter().any(|c| c.contains("another community") || c.contains("document exists"));
    let text = suite.text(row);
    let oid = |text: &str| format!("urn:oid:{}", text.trim_start_matches("urn:oid:"));
    let home = element(&text, "HomeCommunityId").filter(|_| sample).map(oid);
    let repository = element(&text, "RepositoryUniqueId").filter(|_| sample).map(str::to_owned);
    patients.extend(sample.then(|| PATIENT.to_owned()));
    let known: Vec<String> = patients.iter().map(|patient| format!("\"{patient}\"")).collect();
    let codes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas/codes/codes.xml");
    let broker = TestBroker::start(Options {
        patients: format!("unknown = \"reject\"\nknown = [{}]", known.join(", ")),
        // Messages captured elsewhere use the codes of elsewhere.
        codes: row.how.starts_with("rendered").then_some(codes),
        home: home.clone(),
        repository,
        ..Options::default()
    })
    .await;
    if let Some(unique_id) = element(&text, "DocumentUniqueId").filter(|_| sample && home.is_some()) {
        let (content_type, body) =
            package(&submission_of("2.999.4711", unique_id, PATIENT, "text/plain"), &[("entry", b"sample")]);
        let errors = broker.post("repository", &content_type, body).await.registry().errors;
        assert!(errors.is_empty(), "{errors:?}");
    }
    if sample && row.transaction == "ITI-62" {
        provide_for_removal(&broker, &text).await;
    }
    for at in files {
        let needed = &suite.rows[at];
        if !OURS.contains(&needed.transaction.as_str()) {
            return Err(format!("{LATER}{}", needed.transaction));
        }
        let (word, errors, _) = outcome(needed, &suite.send(&broker, needed).await);
        if needed.expected == "success" && word != "success" {
            return Err(format!("what it needs, {}, ended in {word}: {errors:?}", needed.file));
        }
    }
    let reply = suite.send(&broker, row).await;
    let (word, errors, query) = outcome(row, &reply);
    let expected = row.expected.as_str();
    let agrees = word == expected || (expected == "invalid" && word != "success");
    if !agrees {
        return Err(format!(
            "{word} instead of {expected}: {errors:?} {}",
            reply.text().chars().take(if word == "fault" { 900 } else { 0 }).collect::<String>()
        ));
    }
    if let Some(code) = &row.error_code
        && !errors.iter().any(|error| error.starts_with(&format!("{code}:")))
    {
        return Err(format!("{code} is not among {errors:?}"));
    }
    if let (Some(contents), Some(query)) = (&row.answer_contents, &query)
        && expected == "success"
    {
        judge_contents(contents, query)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn public_messages_get_their_outcome() {
    let Some(suite) = load() else {
        eprintln!("../shared/conformance is not there: no public message was judged");
        return;
    };
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance-ledger.toml");
    let ledger: Ledger =
        toml::from_str(&std::fs::read_to_string(ledger).expect("the ledger")).expect("a readable ledger");
    let gaps: BTreeMap<&str, &str> = ledger.gap.iter().map(|gap| (gap.file.as_str(), gap.reason.as_str())).collect();
    let later: HashMap<&str, &str> =
        ledger.later.iter().map(|entry| (entry.transaction.as_str(), entry.reason.as_str())).collect();
    for transaction in later.keys() {
        assert!(
            causeway::transaction::TRANSACTIONS.iter().all(|row| row.number != *transaction),
            "{transaction} is there: take it out of the ledger"
        );
    }
    let ours = suite.rows.iter().filter(|row| OURS.contains(&row.transaction.as_str()));
    let suite = &suite;
    let verdicts: Vec<_> = futures_util::stream::iter(ours)
        .map(|row| async move { (row, run(suite, row).await) })
        .buffered(8)
        .collect()
        .await;
    let (mut held, mut known, mut unjudged, mut wrong) = (0, 0, 0, Vec::new());
    for (row, verdict) in verdicts {
        let file = row.file.trim_start_matches("messages/");
        match (verdict, gaps.get(file)) {
            (Ok(()), None) => held += 1,
            (Err(why), None) if why.strip_prefix(LATER).is_some_and(|t| later.contains_key(t)) => unjudged += 1,
            (Err(_), Some(reason)) if !reason.is_empty() => known += 1,
            (Ok(()), Some(_)) => wrong.push(format!("{file}: in the ledger, but it holds")),
            (Err(why), _) => wrong.push(format!("{file}: {why}  [{}]", row.notes)),
        }
    }
    println!("{held} public messages hold, {known} are known gaps, {unjudged} need a transaction that comes later");
    assert!(wrong.is_empty(), "{} messages:\n{}", wrong.len(), wrong.join("\n"));
    assert!(held > 250, "only {held} messages were judged");
}
