//! Stored queries against a naive oracle: random registries, random queries, and a second, slow and
//! plain reading of ITI TF-2 §3.18.4.1.2.3.7 that knows nothing of tables, packed records or indexes.

use std::sync::Arc;

use causeway::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use causeway::actors::ports::SystemClock;
use causeway::model::ids::{EntryUuid, PatientId};
use causeway::model::metadata::build;
use causeway::model::response::ErrorCode;
use causeway::model::rim::{RegistryObject, Slot, VersionInfo};
use causeway::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use causeway::model::vocabulary::{self as v, association, identifier, scheme, slot};
use causeway::store::memory::MemoryStore;
use causeway::store::{Change, Put, RegistryStore};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// How many registries are made; each is asked several queries.
const REGISTRIES: u32 = 10_000;

const TIMES: [&str; 8] =
    ["2023", "202312", "20231231", "2024", "202403", "2024031509", "202403150930", "20240315093000"];
const AUTHORS: [&str; 4] = ["^Adams^Ann", "^Brown^Bob", "^O'Neil^Cy", "7^Adams"];
const PATTERNS: [&str; 8] = ["%", "^Adams%", "%Adams", "%A_ams%", "^Brown^Bob", "%O'Neil%", "_", "^adams%"];
const REFERENCES: [&str; 3] = ["A^^^&2.999&ISO^urn:x:1", "B^^^&2.999&ISO^urn:x:1", "C^^^&2.999&ISO^urn:x:2"];
const KINDS: [&str; 3] = [association::RPLC, association::APND, association::XFRM];

/// Queries whose whole objects must be of one patient.
const ONE_PATIENT: [&str; 6] = [
    "GetDocuments",
    "GetFolders",
    "GetDocumentsAndAssociations",
    "GetSubmissionSets",
    "GetSubmissionSetAndContents",
    "GetFolderAndContents",
];

#[derive(Debug, Clone)]
struct Entry {
    patient: usize,
    approved: bool,
    superseded: bool,
    on_demand: bool,
    offline: Option<bool>,
    class: usize,
    format: usize,
    confidentiality: Vec<usize>,
    events: Vec<usize>,
    created: &'static str,
    start: Option<&'static str>,
    stop: Option<&'static str>,
    authors: Vec<&'static str>,
    references: Vec<&'static str>,
    unique_id: usize,
}

/// What an association ties, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Set(usize),
    Folder(usize),
    Entry(usize),
    Tie(usize),
}

#[derive(Debug, Clone)]
struct Tie {
    from: Node,
    to: Node,
    kind: &'static str,
    approved: bool,
}

#[derive(Debug, Clone)]
struct Registry {
    entries: Vec<Entry>,
    /// Of each set and folder: the patient, and whether it is Approved.
    sets: Vec<(usize, bool)>,
    folders: Vec<(usize, bool)>,
    ties: Vec<Tie>,
}

fn entry() -> impl Strategy<Value = Entry> {
    let codes = (0..3_usize, 0..2_usize, vec(0..3_usize, 1..3), vec(0..3_usize, 0..3));
    let times = (select(&TIMES[..]), prop::option::of(select(&TIMES[..])), prop::option::of(select(&TIMES[..])));
    let flags = (0..2_usize, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.3));
    let rest = (
        prop::option::of(any::<bool>()),
        vec(select(&AUTHORS[..]), 0..3),
        vec(select(&REFERENCES[..]), 0..3),
        0..4_usize,
    );
    (codes, times, flags, rest).prop_map(|(codes, times, flags, rest)| Entry {
        patient: flags.0,
        approved: flags.1,
        superseded: flags.2,
        on_demand: flags.3,
        offline: rest.0,
        class: codes.0,
        format: codes.1,
        confidentiality: codes.2,
        events: codes.3,
        created: times.0,
        start: times.1,
        stop: times.2,
        authors: rest.1,
        references: rest.2,
        unique_id: rest.3,
    })
}

fn registry() -> impl Strategy<Value = Registry> {
    let ends = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_u8, select(&KINDS[..]), any::<bool>());
    let folders = vec((0..2_usize, any::<bool>()), 0..3);
    let sets = vec((0..2_usize, prop::bool::weighted(0.8)), 1..3);
    (vec(entry(), 1..7), sets, folders, vec(ends, 0..12)).prop_map(|(entries, sets, folders, ends)| {
        let mut ties: Vec<Tie> = Vec::new();
        for (a, b, shape, kind, approved) in ends {
            let entry = |index: prop::sample::Index| Node::Entry(index.index(entries.len()));
            let set = Node::Set(a.index(sets.len()));
            let memberships: Vec<usize> = (0..ties.len())
                .filter(|n| matches!((ties[*n].from, ties[*n].to), (Node::Folder(_), Node::Entry(_))))
                .collect();
            let membership = (!memberships.is_empty()).then(|| Node::Tie(memberships[b.index(memberships.len())]));
            let folder = (!folders.is_empty()).then(|| a.index(folders.len().max(1))).map(Node::Folder);
            let tie = match (shape, folder, membership) {
                (0 | 1, ..) => Tie { from: set, to: entry(b), kind: association::HAS_MEMBER, approved },
                (2, Some(folder), _) => Tie { from: set, to: folder, kind: association::HAS_MEMBER, approved },
                (3 | 4, Some(folder), _) => Tie { from: folder, to: entry(b), kind: association::HAS_MEMBER, approved },
                (5 | 6, _, Some(membership)) => {
                    Tie { from: set, to: membership, kind: association::HAS_MEMBER, approved }
                }
                _ => Tie { from: entry(a), to: entry(b), kind, approved },
            };
            if tie.from != tie.to {
                ties.push(tie);
            }
        }
        Registry { entries, sets, folders, ties }
    })
}

#[derive(Debug, Clone, Default)]
struct Filter {
    patient: usize,
    /// For queries over many.
    patients: Option<Vec<usize>>,
    statuses: Vec<bool>,
    set_statuses: Vec<bool>,
    /// `$XDSAssociationStatus`
    ties: Option<Vec<bool>>,
    class: Option<Vec<usize>>,
    format: Option<Vec<usize>>,
    confidentiality: Vec<Vec<usize>>,
    events: Vec<Vec<usize>>,
    created: (Option<&'static str>, Option<&'static str>),
    start: (Option<&'static str>, Option<&'static str>),
    stop: (Option<&'static str>, Option<&'static str>),
    authors: Option<Vec<&'static str>>,
    references: Vec<Vec<&'static str>>,
    types: Option<Vec<bool>>,
    availability: Option<Vec<bool>>,
    level: Option<u8>,
}

fn filter() -> impl Strategy<Value = Filter> {
    let rarely = |strategy: BoxedStrategy<Vec<usize>>| prop::option::weighted(0.25, strategy);
    let codes = |n: usize| vec(0..n, 1..3).boxed();
    let bound = || prop::option::weighted(0.15, select(&TIMES[..]));
    let time = move || (bound(), bound());
    let both = || vec(any::<bool>(), 1..3);
    let a = (0..2_usize, both(), rarely(codes(3)), rarely(codes(2)), vec(codes(3), 0..2), vec(codes(3), 0..3));
    let b = (time(), time(), time());
    let d = (prop::option::of(vec(0..3_usize, 1..4)), both(), prop::option::weighted(0.5, both()));
    let c = (
        prop::option::weighted(0.25, vec(select(&PATTERNS[..]), 1..3)),
        vec(vec(select(&REFERENCES[..]), 1..3), 1..3),
        prop::option::weighted(0.5, both()),
        prop::option::weighted(0.2, both()),
        prop::option::of(1..3_u8),
    );
    (a, b, c, d).prop_map(|(a, b, c, d)| Filter {
        patient: a.0,
        patients: d.0,
        set_statuses: d.1,
        ties: d.2,
        statuses: a.1,
        class: a.2,
        format: a.3,
        confidentiality: a.4,
        events: a.5,
        created: b.0,
        start: b.1,
        stop: b.2,
        authors: c.0,
        references: c.1,
        types: c.2,
        availability: c.3,
        level: c.4,
    })
}

// ---- the registry and the query, as they are sent --------------------------------------------------------

fn uuid(node: Node) -> EntryUuid {
    let (tag, n) = match node {
        Node::Set(n) => (1, n),
        Node::Folder(n) => (2, n),
        Node::Entry(n) => (3, n),
        Node::Tie(n) => (4, n),
    };
    numbered(tag, n)
}

fn numbered(tag: u8, n: usize) -> EntryUuid {
    let mut bytes = [tag; 16];
    bytes[15] = n as u8;
    EntryUuid(bytes)
}

fn patient(n: usize) -> String {
    format!("P{n}^^^&2.999.50&ISO")
}

fn code(n: usize) -> build::Code {
    build::Code { code: format!("c'{n}"), scheme: "2.999.60".into(), display: "shown".into() }
}

fn status(approved: bool) -> &'static str {
    if approved { v::APPROVED } else { v::DEPRECATED }
}

fn object_of(entry: &Entry, n: usize) -> RegistryObject<'static> {
    let mut object = build::document_entry(uuid(Node::Entry(n)).into(), "text/plain");
    let common = &mut object.common;
    common.object_type = Some(if entry.on_demand { v::ON_DEMAND } else { v::STABLE }.into());
    common.status = Some(status(entry.approved).into());
    common.version = Some(VersionInfo { name: Some("1".into()), comment: None });
    if !entry.on_demand {
        common.slots.push(Slot::single(slot::CREATION_TIME, entry.created));
    }
    for (name, time) in [(slot::SERVICE_START_TIME, entry.start), (slot::SERVICE_STOP_TIME, entry.stop)] {
        common.slots.extend(time.map(|time| Slot::single(name, time)));
    }
    if let Some(offline) = entry.offline {
        let availability = if offline { v::OFFLINE } else { v::ONLINE };
        common.slots.push(Slot::single(slot::DOCUMENT_AVAILABILITY, availability));
    }
    if !entry.references.is_empty() {
        common.slots.push(Slot::list(slot::REFERENCE_ID_LIST, entry.references.clone()));
    }
    object.classifications.push(build::code(scheme::CLASS_CODE, &code(entry.class)));
    object.classifications.push(build::code(scheme::FORMAT_CODE, &code(entry.format)));
    for (scheme, codes) in [(scheme::CONFIDENTIALITY_CODE, &entry.confidentiality), (scheme::EVENT_CODE, &entry.events)]
    {
        object.classifications.extend(codes.iter().map(|n| build::code(scheme, &code(*n))));
    }
    for author in &entry.authors {
        object.classifications.push(build::author(scheme::ENTRY_AUTHOR, &[(slot::AUTHOR_PERSON, *author)]));
    }
    object.identifiers = vec![
        build::external_identifier(identifier::ENTRY_PATIENT_ID, patient(entry.patient)),
        build::external_identifier(identifier::ENTRY_UNIQUE_ID, format!("1.{}", entry.unique_id)),
    ];
    object
}

fn package(node: Node, of: usize, approved: bool) -> RegistryObject<'static> {
    let (label, patient_scheme) = match node {
        Node::Folder(_) => (v::FOLDER_NODE, identifier::FOLDER_PATIENT_ID),
        _ => (v::SUBMISSION_SET_NODE, identifier::SET_PATIENT_ID),
    };
    let mut object = build::package(uuid(node).into(), label);
    object.common.status = Some(status(approved).into());
    object.identifiers.push(build::external_identifier(patient_scheme, patient(of)));
    if let Node::Folder(n) = node {
        object.classifications.push(build::code(scheme::FOLDER_CODE, &code(n)));
    }
    object
}

fn tie_of(tie: &Tie, n: usize) -> RegistryObject<'static> {
    let mut object =
        build::association(uuid(Node::Tie(n)).into(), tie.kind, uuid(tie.from).into(), uuid(tie.to).into());
    object.common.status = Some(status(tie.approved).into());
    object
}

async fn registered(registry: &Registry) -> DocumentRegistry {
    let store = MemoryStore::default();
    let put = |object: &RegistryObject<'_>, of: usize, superseded: bool| {
        let mut put = Put::new(object, &PatientId::parse(&patient(of)).unwrap());
        put.object = put.object.with_superseded(superseded);
        put
    };
    let mut puts = Vec::new();
    for (n, (of, approved)) in registry.sets.iter().enumerate() {
        puts.push(put(&package(Node::Set(n), *of, *approved), *of, false));
    }
    for (n, entry) in registry.entries.iter().enumerate() {
        puts.push(put(&object_of(entry, n), entry.patient, entry.superseded));
    }
    for (n, (of, approved)) in registry.folders.iter().enumerate() {
        puts.push(put(&package(Node::Folder(n), *of, *approved), *of, false));
    }
    for (n, tie) in registry.ties.iter().enumerate() {
        puts.push(put(&tie_of(tie, n), 0, false));
    }
    store.commit(Change { puts, ..Change::default() }).await.unwrap();
    let limits = QueryLimits { results: 1000, values: 1000 };
    DocumentRegistry::new(Arc::new(store), None, PatientPolicy::default(), Arc::new(SystemClock), limits)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn list(texts: impl IntoIterator<Item = String>) -> String {
    format!("({})", texts.into_iter().map(|text| quoted(&text)).collect::<Vec<_>>().join(", "))
}

fn codes(codes: &[usize]) -> String {
    list(codes.iter().map(|n| format!("{}^^2.999.60", code(*n).code)))
}

struct Slots(Vec<Slot<'static>>);

impl Slots {
    fn add(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| Slot::single(name, value)));
    }

    fn query(self, kind: QueryKind) -> AdhocQuery {
        AdhocQuery { id: QueryDefinition::of(kind).id.into(), home: None, return_type: None, slots: self.0 }
    }
}

fn urns(flags: &[bool], yes: &str, no: &str) -> String {
    list(flags.iter().map(|flag| if *flag { yes } else { no }.to_owned()))
}

fn statuses(approved: &[bool]) -> String {
    urns(approved, v::APPROVED, v::DEPRECATED)
}

fn find_documents(filter: &Filter, many: bool, by_reference: bool) -> AdhocQuery {
    let mut slots = Slots(Vec::new());
    let patients = || filter.patients.as_ref().map(|patients| list(patients.iter().map(|n| patient(*n))));
    let patient = if many { patients() } else { Some(quoted(&patient(filter.patient))) };
    slots.add("$XDSDocumentEntryPatientId", patient);
    slots.add("$XDSDocumentEntryStatus", Some(statuses(&filter.statuses)));
    slots.add("$XDSDocumentEntryClassCode", filter.class.as_deref().map(codes));
    slots.add("$XDSDocumentEntryFormatCode", filter.format.as_deref().map(codes));
    for group in &filter.confidentiality {
        slots.add("$XDSDocumentEntryConfidentialityCode", Some(codes(group)));
    }
    for group in &filter.events {
        slots.add("$XDSDocumentEntryEventCodeList", Some(codes(group)));
    }
    for (from, to, (lower, upper)) in [
        ("$XDSDocumentEntryCreationTimeFrom", "$XDSDocumentEntryCreationTimeTo", filter.created),
        ("$XDSDocumentEntryServiceStartTimeFrom", "$XDSDocumentEntryServiceStartTimeTo", filter.start),
        ("$XDSDocumentEntryServiceStopTimeFrom", "$XDSDocumentEntryServiceStopTimeTo", filter.stop),
    ] {
        slots.add(from, lower.map(str::to_owned));
        slots.add(to, upper.map(str::to_owned));
    }
    slots
        .add("$XDSDocumentEntryAuthorPerson", filter.authors.as_ref().map(|a| list(a.iter().map(|p| (*p).to_owned()))));
    if by_reference {
        for group in &filter.references {
            slots.add("$XDSDocumentEntryReferenceIdList", Some(list(group.iter().map(|r| (*r).to_owned()))));
        }
    }
    slots.add("$XDSDocumentEntryType", filter.types.as_ref().map(|types| urns(types, v::ON_DEMAND, v::STABLE)));
    let availability = filter.availability.as_ref().map(|flags| urns(flags, v::OFFLINE, v::ONLINE));
    slots.add("$XDSDocumentEntryDocumentAvailability", availability);
    slots.add("$MetadataLevel", filter.level.map(|level| level.to_string()));
    slots.query(match (many, by_reference) {
        (false, false) => QueryKind::FindDocuments,
        (false, true) => QueryKind::FindDocumentsByReferenceId,
        (true, false) => QueryKind::FindDocumentsForMultiplePatients,
        (true, true) => QueryKind::FindDocumentsByReferenceIdForMultiplePatients,
    })
}

// ---- the oracle ----------------------------------------------------------------------------------------------

/// The earliest instant of a time, as fourteen digits.
fn earliest(time: &str) -> String {
    let tail = "00000101000000";
    format!("{time}{}", &tail[time.len()..])
}

fn within(time: Option<&str>, (from, to): (Option<&str>, Option<&str>), absent: bool) -> bool {
    let Some(at) = time.map(earliest) else { return absent || (from.is_none() && to.is_none()) };
    from.is_none_or(|from| at >= earliest(from)) && to.is_none_or(|to| at < earliest(to))
}

fn like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, _) => text.is_empty(),
        (Some(b'%'), _) => like(&pattern[1..], text) || (!text.is_empty() && like(pattern, &text[1..])),
        (Some(p), Some(t)) => (*p == b'_' || p == t) && like(&pattern[1..], &text[1..]),
        (Some(_), None) => false,
    }
}

fn level_shows(entry: &Entry, level: Option<u8>) -> bool {
    level == Some(2) || !(entry.superseded || entry.offline == Some(true))
}

fn type_passes(entry: &Entry, types: &Option<Vec<bool>>) -> bool {
    types.as_ref().map_or(!entry.on_demand, |types| types.contains(&entry.on_demand))
}

fn any_of(groups: &[Vec<usize>], has: &[usize]) -> bool {
    groups.iter().all(|group| group.iter().any(|code| has.contains(code)))
}

fn is_asked_for(of: usize, filter: &Filter, many: bool) -> bool {
    if many { filter.patients.as_ref().is_none_or(|patients| patients.contains(&of)) } else { of == filter.patient }
}

fn passes(entry: &Entry, filter: &Filter, many: bool, by_reference: bool) -> bool {
    is_asked_for(entry.patient, filter, many)
        && filter.statuses.contains(&entry.approved)
        && filter.class.as_ref().is_none_or(|class| class.contains(&entry.class))
        && filter.format.as_ref().is_none_or(|format| format.contains(&entry.format))
        && any_of(&filter.confidentiality, &entry.confidentiality)
        && any_of(&filter.events, &entry.events)
        && (entry.on_demand || within(Some(entry.created), filter.created, false))
        && within(entry.start, filter.start, true)
        && within(entry.stop, filter.stop, true)
        && filter.authors.as_ref().is_none_or(|patterns| {
            entry.authors.iter().any(|author| patterns.iter().any(|p| like(p.as_bytes(), author.as_bytes())))
        })
        && (!by_reference || filter.references.iter().all(|group| group.iter().any(|r| entry.references.contains(r))))
        && type_passes(entry, &filter.types)
        && filter.availability.as_ref().is_none_or(|flags| flags.contains(&(entry.offline == Some(true))))
        && level_shows(entry, filter.level)
}

/// What the oracle gives: nodes and ties, in no order.
#[derive(Default)]
struct Answer(Vec<EntryUuid>);

impl Answer {
    fn add(&mut self, id: EntryUuid) {
        if !self.0.contains(&id) {
            self.0.push(id);
        }
    }

    fn has(&self, node: Node) -> bool {
        self.0.contains(&uuid(node))
    }

    fn sorted(mut self) -> Vec<EntryUuid> {
        self.0.sort();
        self.0
    }
}

impl Registry {
    /// Approved by default, and never Deprecated at level 1.
    fn ties_shown(&self, filter: &Filter) -> impl Iterator<Item = (EntryUuid, &Tie)> {
        let shown = move |tie: &Tie| {
            (filter.level == Some(2) || tie.approved)
                && filter.ties.as_ref().map_or(tie.approved, |statuses| statuses.contains(&tie.approved))
        };
        let ties = self.ties.iter().enumerate().filter(move |(_, tie)| shown(tie));
        ties.map(|(n, tie)| (uuid(Node::Tie(n)), tie))
    }

    /// Whose an object is; an association is nobody's.
    fn patient_of(&self, id: EntryUuid) -> Option<usize> {
        let entries = self.entries.iter().enumerate().map(|(n, entry)| (Node::Entry(n), entry.patient));
        let sets = self.sets.iter().enumerate().map(|(n, (of, _))| (Node::Set(n), *of));
        let folders = self.folders.iter().enumerate().map(|(n, (of, _))| (Node::Folder(n), *of));
        entries.chain(sets).chain(folders).find(|(node, _)| uuid(*node) == id).map(|(_, of)| of)
    }

    fn folder_shown(&self, n: usize, level: Option<u8>) -> bool {
        level == Some(2) || self.folders[n].1
    }

    fn entry_shown(&self, n: usize, filter: &Filter) -> bool {
        let entry = &self.entries[n];
        type_passes(entry, &filter.types)
            && filter.format.as_ref().is_none_or(|format| format.contains(&entry.format))
            && any_of(&filter.confidentiality, &entry.confidentiality)
            && level_shows(entry, filter.level)
    }
}

/// The parameters that queries for contents have.
fn contents(filter: &Filter, slots: &mut Slots) {
    slots.add("$XDSDocumentEntryFormatCode", filter.format.as_deref().map(codes));
    for group in &filter.confidentiality {
        slots.add("$XDSDocumentEntryConfidentialityCode", Some(codes(group)));
    }
    slots.add("$XDSDocumentEntryType", filter.types.as_ref().map(|types| urns(types, v::ON_DEMAND, v::STABLE)));
    level(filter, slots);
}

fn level(filter: &Filter, slots: &mut Slots) {
    slots.add("$MetadataLevel", filter.level.map(|level| level.to_string()));
}

/// The parameters that queries for associations have.
fn ties_and_level(filter: &Filter, slots: &mut Slots) {
    slots.add("$XDSAssociationStatus", filter.ties.as_deref().map(statuses));
    level(filter, slots);
}

/// Every query that is tried on a registry, with what the oracle says.
fn trials(registry: &Registry, filter: &Filter) -> Vec<(AdhocQuery, Vec<EntryUuid>)> {
    let mut trials = Vec::new();
    for (many, by_reference) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut filter = filter.clone();
        if many && filter.class.is_none() {
            // Something must be looked for.
            filter.class = Some(vec![0, 1]);
        }
        let mut answer = Answer::default();
        for (n, _) in registry.entries.iter().enumerate().filter(|(_, e)| passes(e, &filter, many, by_reference)) {
            answer.add(uuid(Node::Entry(n)));
        }
        trials.push((find_documents(&filter, many, by_reference), answer.sorted()));
    }
    let id = |node: Node| quoted(&uuid(node).to_string());

    // GetDocumentsAndAssociations by either id: no filter by type.
    for by_uuid in [false, true] {
        let mut answer = Answer::default();
        for (n, entry) in registry.entries.iter().enumerate() {
            let named = if by_uuid { n <= 1 } else { entry.unique_id == 0 };
            if named && level_shows(entry, filter.level) {
                answer.add(uuid(Node::Entry(n)));
            }
        }
        let found: Vec<EntryUuid> = answer.0.clone();
        for (tie, t) in registry.ties_shown(filter) {
            if [t.from, t.to].iter().any(|end| found.contains(&uuid(*end))) {
                answer.add(tie);
            }
        }
        let uuids = format!("({}, {})", id(Node::Entry(0)), id(Node::Entry(1)));
        let mut slots = Slots(vec![if by_uuid {
            Slot::single("$XDSDocumentEntryEntryUUID", uuids)
        } else {
            Slot::single("$XDSDocumentEntryUniqueId", "('1.0')")
        }]);
        ties_and_level(filter, &mut slots);
        trials.push((slots.query(QueryKind::GetDocumentsAndAssociations), answer.sorted()));
    }

    // GetSubmissionSetAndContents.
    let set = Node::Set(0);
    let mut answer = Answer::default();
    answer.add(uuid(set));
    let visible = |tie: &Tie| filter.level == Some(2) || tie.approved;
    for (n, tie) in registry.ties.iter().enumerate().filter(|(_, tie)| tie.from == set && visible(tie)) {
        let shown = match tie.to {
            Node::Entry(n) => registry.entry_shown(n, filter),
            Node::Folder(n) => registry.folder_shown(n, filter.level),
            Node::Set(_) | Node::Tie(_) => false,
        };
        if shown {
            answer.add(uuid(tie.to));
            answer.add(uuid(Node::Tie(n)));
        }
    }
    // A membership in a folder, where both its ends are there by now.
    for (n, tie) in registry.ties.iter().enumerate().filter(|(_, tie)| tie.from == set && visible(tie)) {
        if let Node::Tie(m) = tie.to
            && let member = &registry.ties[m]
            && visible(member)
            && answer.has(member.from)
            && answer.has(member.to)
        {
            answer.add(uuid(Node::Tie(m)));
            answer.add(uuid(Node::Tie(n)));
        }
    }
    let mut slots = Slots(vec![Slot::single("$XDSSubmissionSetEntryUUID", id(set))]);
    contents(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetSubmissionSetAndContents), answer.sorted()));

    if !registry.folders.is_empty() {
        let folder = Node::Folder(0);
        let mut answer = Answer::default();
        if registry.folder_shown(0, filter.level) {
            answer.add(uuid(folder));
            for (tie, t) in registry.ties_shown(filter).filter(|(_, t)| t.from == folder) {
                if let Node::Entry(n) = t.to
                    && registry.entry_shown(n, filter)
                {
                    answer.add(uuid(t.to));
                    answer.add(tie);
                }
            }
        }
        let mut slots = Slots(vec![Slot::single("$XDSFolderEntryUUID", id(folder))]);
        slots.add("$XDSAssociationStatus", filter.ties.as_deref().map(statuses));
        contents(filter, &mut slots);
        trials.push((slots.query(QueryKind::GetFolderAndContents), answer.sorted()));
    }

    // GetFoldersForDocument, GetRelatedDocuments, GetSubmissionSets and GetAssociations of the first entry.
    let first = Node::Entry(0);
    let mut answer = Answer::default();
    for (_, t) in registry.ties_shown(filter).filter(|(_, t)| t.to == first && t.kind == association::HAS_MEMBER) {
        if let Node::Folder(n) = t.from
            && registry.folder_shown(n, filter.level)
        {
            answer.add(uuid(t.from));
        }
    }
    let mut slots = Slots(vec![Slot::single("$XDSDocumentEntryEntryUUID", id(first))]);
    ties_and_level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetFoldersForDocument), answer.sorted()));

    // HasMember is asked for too, and gives nothing: not both its ends are documents.
    let kinds = [association::APND, association::RPLC, association::HAS_MEMBER];
    let mut answer = Answer::default();
    for (tie, t) in registry.ties_shown(filter).filter(|(_, t)| kinds.contains(&t.kind)) {
        let both = [t.from, t.to].map(|end| match end {
            Node::Entry(n) => {
                type_passes(&registry.entries[n], &filter.types) && level_shows(&registry.entries[n], filter.level)
            }
            _ => false,
        });
        if both == [true, true] && (t.from == first || t.to == first) {
            for id in [uuid(first), uuid(t.from), uuid(t.to), tie] {
                answer.add(id);
            }
        }
    }
    let mut slots = Slots(vec![Slot::single("$XDSDocumentEntryEntryUUID", id(first))]);
    slots.add("$AssociationTypes", Some(list(kinds.map(str::to_owned))));
    slots.add("$XDSDocumentEntryType", filter.types.as_ref().map(|types| urns(types, v::ON_DEMAND, v::STABLE)));
    ties_and_level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetRelatedDocuments), answer.sorted()));

    let mut answer = Answer::default();
    for (n, tie) in registry.ties.iter().enumerate() {
        if matches!(tie.from, Node::Set(_)) && [first, Node::Folder(0)].contains(&tie.to) && visible(tie) {
            answer.add(uuid(tie.from));
            answer.add(uuid(Node::Tie(n)));
        }
    }
    let mut slots = Slots(vec![Slot::single("$uuid", format!("({}, {})", id(first), id(Node::Folder(0))))]);
    level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetSubmissionSets), answer.sorted()));

    let mut answer = Answer::default();
    for (tie, _) in registry.ties_shown(filter).filter(|(_, t)| t.from == first || t.to == first || t.from == set) {
        answer.add(tie);
    }
    let mut slots = Slots(vec![Slot::single("$uuid", format!("({}, {})", id(first), id(set)))]);
    ties_and_level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetAssociations), answer.sorted()));

    // GetDocuments, GetFolders, FindFolders and FindSubmissionSets.
    let mut answer = Answer::default();
    for (n, entry) in registry.entries.iter().enumerate() {
        if [1, 2].contains(&entry.unique_id) && level_shows(entry, filter.level) {
            answer.add(uuid(Node::Entry(n)));
        }
    }
    let mut slots = Slots(vec![Slot::list("$XDSDocumentEntryUniqueId", ["('1.1')", "('1.2','1.9')"])]);
    level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetDocuments), answer.sorted()));

    let (mut by_id, mut of_patient, mut of_many) = (Answer::default(), Answer::default(), Answer::default());
    for (n, (of, approved)) in
        registry.folders.iter().enumerate().filter(|(n, _)| registry.folder_shown(*n, filter.level))
    {
        by_id.add(uuid(Node::Folder(n)));
        if *of == filter.patient && filter.statuses.contains(approved) {
            of_patient.add(uuid(Node::Folder(n)));
        }
        if is_asked_for(*of, filter, true) && filter.statuses.contains(approved) && n == 0 {
            of_many.add(uuid(Node::Folder(n)));
        }
    }
    let all = list((0..3).map(|n| uuid(Node::Folder(n)).to_string()));
    let mut slots = Slots(vec![Slot::single("$XDSFolderEntryUUID", all)]);
    level(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetFolders), by_id.sorted()));
    let mut slots = Slots(vec![Slot::single("$XDSFolderPatientId", quoted(&patient(filter.patient)))]);
    slots.add("$XDSFolderStatus", Some(statuses(&filter.statuses)));
    level(filter, &mut slots);
    trials.push((slots.query(QueryKind::FindFolders), of_patient.sorted()));
    // The n-th folder has the n-th code.
    let mut slots = Slots(vec![Slot::single("$XDSFolderCodeList", codes(&[0, 7]))]);
    let patients = filter.patients.as_ref().map(|patients| list(patients.iter().map(|n| patient(*n))));
    slots.add("$XDSFolderPatientId", patients);
    slots.add("$XDSFolderStatus", Some(statuses(&filter.statuses)));
    level(filter, &mut slots);
    trials.push((slots.query(QueryKind::FindFoldersForMultiplePatients), of_many.sorted()));

    let set_shown = |(of, approved): &(usize, bool)| *of == filter.patient && filter.set_statuses.contains(approved);
    let mut answer = Answer::default();
    for (n, _) in registry.sets.iter().enumerate().filter(|(_, set)| set_shown(set)) {
        answer.add(uuid(Node::Set(n)));
    }
    let mut slots = Slots(vec![Slot::single("$XDSSubmissionSetPatientId", quoted(&patient(filter.patient)))]);
    slots.add("$XDSSubmissionSetStatus", Some(statuses(&filter.set_statuses)));
    trials.push((slots.query(QueryKind::FindSubmissionSets), answer.sorted()));

    // GetAll of the patient, folders Approved.
    let mut answer = Answer::default();
    for (n, _) in registry.sets.iter().enumerate().filter(|(_, set)| set_shown(set)) {
        answer.add(uuid(Node::Set(n)));
    }
    for (n, entry) in registry.entries.iter().enumerate() {
        let wanted = entry.patient == filter.patient && filter.statuses.contains(&entry.approved);
        if wanted && registry.entry_shown(n, filter) {
            answer.add(uuid(Node::Entry(n)));
        }
    }
    for (n, (of, approved)) in registry.folders.iter().enumerate() {
        if *of == filter.patient && *approved {
            answer.add(uuid(Node::Folder(n)));
        }
    }
    let ties: Vec<EntryUuid> = registry
        .ties_shown(filter)
        .filter(|(_, t)| answer.has(t.from) || answer.has(t.to))
        .map(|(tie, _)| tie)
        .collect();
    ties.into_iter().for_each(|tie| answer.add(tie));
    let mut slots = Slots(vec![Slot::single("$patientId", quoted(&patient(filter.patient)))]);
    slots.add("$XDSDocumentEntryStatus", Some(statuses(&filter.statuses)));
    slots.add("$XDSSubmissionSetStatus", Some(statuses(&filter.set_statuses)));
    slots.add("$XDSFolderStatus", Some(statuses(&[true])));
    slots.add("$XDSAssociationStatus", filter.ties.as_deref().map(statuses));
    contents(filter, &mut slots);
    trials.push((slots.query(QueryKind::GetAll), answer.sorted()));
    trials
}

proptest! {
    #![proptest_config(ProptestConfig { cases: REGISTRIES, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_agrees_with_the_oracle(registry in registry(), filter in filter()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let subject = registered(&registry).await;
            for (mut query, expected) in trials(&registry, &filter) {
                for return_type in ["ObjectRef", "LeafClass"] {
                    query.return_type = Some(return_type.to_owned());
                    let (response, name) = match QueryDefinition::by_id(&query.id) {
                        Some(one) => (subject.stored_query(&query).await.0, one.name),
                        None => (subject.multi_patient_query(&query).await.0, "a query over many patients"),
                    };
                    let mut found: Vec<EntryUuid> = response.objects.iter().filter_map(|object| object.uuid()).collect();
                    found.sort();
                    let codes: Vec<ErrorCode> = response.errors.into_iter().map(|error| error.code).collect();
                    let mut patients: Vec<usize> = expected.iter().filter_map(|id| registry.patient_of(*id)).collect();
                    patients.sort_unstable();
                    patients.dedup();
                    if return_type == "LeafClass" && ONE_PATIENT.contains(&name) && patients.len() > 1 {
                        prop_assert_eq!((found, codes), (vec![], vec![ErrorCode::XDSResultNotSinglePatient]), "{}", name);
                    } else {
                        prop_assert_eq!((found, codes), (expected.clone(), vec![]), "{}", name);
                    }
                }
            }
            Ok(())
        })?;
    }
}
