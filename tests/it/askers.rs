//! Who may ask, and what they are given: kinds, states and `shares` at the Responding Gateway, and who is told of
//! whom at the Initiating Gateway.

use causeway::model::discovery::{Criteria, DiscoveryQuery, InstanceId, MessageHeader, Priority};
use causeway::model::ids::{EntryUuid, PatientId};
use causeway::model::metadata::build::{self, Code};
use causeway::model::response::{QueryResponse, ResponseStatus, Severity};
use causeway::model::rim::{ObjectId, RegistryObject, Slot};
use causeway::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use causeway::model::time::Dtm;
use causeway::model::vocabulary::{self as v, association, identifier, scheme, slot};
use causeway::transport::certificates::facts_from_pem;
use causeway::wire::{hl7v3, xcpd};

use crate::support::*;

const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const CROSS_RETRIEVE: &str = "urn:ihe:iti:2007:CrossGatewayRetrieve";
const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const DISCOVER: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery";
const LOCATE: &str = "urn:ihe:iti:2009:PatientLocationQuery";
const FAR: &str = "urn:oid:2.999.900.2";
/// What the tests' client shows.
const CLIENT: &str = "certificates = [\"Causeway development client\"]";

/// A community that asks, recognised by the tests' client.
fn asker(kind: &str, state: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"Far\"\nhome_community_id = \"{FAR}\"\nkind = \"{kind}\"\nstate = \"{state}\"\n\
         responding_gateway = \"https://127.0.0.1:9/services/responding-gateway\"\n{CLIENT}\n{more}\n"
    )
}

async fn broker(more: String) -> TestBroker {
    let mut broker = TestBroker::start(Options { more, ..Options::default() }).await;
    // By a source of ours: from a community that is gone nothing is taken.
    let asks = std::mem::replace(&mut broker.client, client("server"));
    broker.provide("2.999.902.1", PATIENT, b"letter").await;
    broker.client = asks;
    broker
}

async fn cross_retrieve(broker: &TestBroker, home: &str, repository: &str, ids: &[&str]) -> Reply {
    let wanted: Vec<_> = ids.iter().map(|id| (Some(home), repository, *id)).collect();
    let (content_type, body) = mtom_request(CROSS_RETRIEVE, &retrieve(&wanted));
    broker.post("responding-gateway", &content_type, body).await
}

fn discovery() -> DiscoveryQuery {
    DiscoveryQuery {
        header: MessageHeader { message_id: InstanceId::new("2.999.1.10", "msg-1"), ..MessageHeader::default() },
        query_id: InstanceId::new("2.999.1.11", "q-1"),
        requester_domain: None,
        keep: None,
        respond_to: None,
        priority: Priority::Immediate,
        criteria: Criteria { ids: vec![PatientId::parse(PATIENT).unwrap()], ..Criteria::default() },
    }
}

#[tokio::test]
async fn who_may_not_ask_is_refused_in_every_transaction() {
    for (kind, state, words) in [
        ("publish-only", "live", "is publish-only here"),
        ("link-only", "live", "is link-only here"),
        ("full", "suspended", "is suspended"),
        ("full", "closed", "is closed"),
        ("full", "planned", "is not connected yet (planned)"),
        ("full", "connecting", "is not connected yet (connecting)"),
    ] {
        let broker = broker(asker(kind, state, "")).await;
        let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
        assert_eq!((response.status, told), (ResponseStatus::Failure, vec![("XDSRegistryError", Some(HOME))]));
        assert!(response.objects.is_empty() && response.errors[0].context.contains(words), "{:?}", response.errors);
        let reply = cross_retrieve(&broker, HOME, REPOSITORY, &["2.999.902.1"]).await;
        let (response, documents) = reply.retrieve();
        assert_eq!((response.errors[0].code.as_str(), documents.len()), ("XDSRepositoryError", 0));
        assert!(!reply.text().contains("letter"));
        let created = Dtm::parse("20260301120000").unwrap();
        let write = |out: &mut Vec<u8>| hl7v3::write_request(out, &discovery(), created, None);
        let reply = broker.call("responding-gateway", DISCOVER, write).await;
        assert!(reply.text().contains("AnswerNotAvailable") && !reply.text().contains("9990000018^^^"));
        let patient = PatientId::parse(PATIENT).unwrap();
        let locate = |out: &mut Vec<u8>| xcpd::write_location_request(out, &patient);
        let reply = broker.call("responding-gateway", LOCATE, locate).await;
        assert!(reply.status == 403 && reply.fault().unwrap().contains(words), "{}", reply.text());
        let refused = audit_records(&broker.broker).iter().filter(|record| record.contains("refused: Far")).count();
        assert_eq!(refused, 4, "each is on record, with the reason");
        broker.broker.stop().await;
    }
}

#[tokio::test]
async fn who_may_ask_is_answered_at_the_responding_gateway_alone() {
    for kind in ["full", "consume-only", "hub"] {
        let broker = broker(asker(kind, "live", "")).await;
        let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{kind}");
        for service in ["registry", "initiating-gateway"] {
            let response = broker.query_at(service, QUERY, &find(PATIENT)).await;
            assert_eq!(response.status, ResponseStatus::Failure, "{service}");
            assert!(response.errors[0].context.contains("asks at the Responding Gateway"), "{:?}", response.errors);
        }
        broker.broker.stop().await;
    }
}

#[tokio::test]
async fn only_known_callers_are_answered_if_so_configured() {
    for (only_known, status) in [("true", ResponseStatus::Failure), ("false", ResponseStatus::Success)] {
        let more = asker("full", "live", "") + &format!("[responding_gateway]\nonly_known = {only_known}\n");
        let mut broker = broker(more).await;
        let known = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert_eq!(known.status, ResponseStatus::Success);
        broker.client = client("server");
        let unknown = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert_eq!(unknown.status, status, "{only_known}");
        broker.broker.stop().await;
    }
}

/// A subject is the same in the order in which openssl prints it; one with less in it is another.
#[tokio::test]
async fn a_subject_is_recognised_in_either_order() {
    let pem = std::fs::read(CERTIFICATES.files("client").certificate).unwrap();
    let subject = facts_from_pem(&pem).unwrap()[0].subject.clone();
    let mut parts: Vec<&str> = subject.split(',').collect();
    parts.reverse();
    let (turned, less) = (parts.join(", ").replace('=', " = "), parts[1..].join(","));
    for (written, status) in [
        (subject.as_str(), ResponseStatus::Success),
        (&turned, ResponseStatus::Success),
        (&less, ResponseStatus::Failure),
    ] {
        let more = asker("full", "live", "").replace(CLIENT, &format!("certificates = [\"{written}\"]"));
        let broker = broker(more + "[responding_gateway]\nonly_known = true\n").await;
        let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert_eq!(response.status, status, "{written}: {:?}", response.errors);
        broker.broker.stop().await;
    }
}

// --- what is given -----------------------------------------------------------------------------

/// Documents of one patient: `open` alone in its submission set and in a folder; `hidden` in its own set, and with
/// `open` in a folder, which they came into with a set of its own.
struct Records {
    open: EntryUuid,
    hidden: EntryUuid,
}

const OPEN: &str = "2.999.902.1";
const HIDDEN: &str = "2.999.902.2";
/// What must not be in any answer: what names the hidden document, the sets and the folder that hold it.
const REVEALING: &[&str] = &[HIDDEN, "2.999.905.2", "2.999.905.4", "2.999.906.4", "Letter 2.999.902.2", "Mixed"];

fn id(label: &str) -> ObjectId<'static> {
    ObjectId::Symbol(label.to_owned().into())
}

fn restricted(mut objects: Vec<RegistryObject<'static>>) -> Vec<RegistryObject<'static>> {
    let code = Code { code: "R".into(), scheme: "2.16.840.1.113883.5.25".into(), display: "restricted".into() };
    objects[1].classifications.retain(|c| c.scheme.as_deref() != Some(scheme::CONFIDENTIALITY_CODE));
    objects[1].classifications.push(build::code(scheme::CONFIDENTIALITY_CODE, &code));
    objects
}

/// A set with a folder that holds these entries.
fn filed(n: u8, title: &str, entries: &[EntryUuid]) -> Vec<RegistryObject<'static>> {
    let mut set = submission_of(&format!("2.999.905.{n}"), "1", PATIENT, "text/plain").swap_remove(0);
    set.common.id = Some(id("set"));
    let mut folder = build::package(id("folder"), v::FOLDER_NODE);
    folder.common.names = build::name(title.to_owned());
    let code = Code { code: "1".into(), scheme: "2.999".into(), display: "x".into() };
    folder.classifications.push(build::code(scheme::FOLDER_CODE, &code));
    folder.identifiers = vec![
        build::external_identifier(identifier::FOLDER_PATIENT_ID, PATIENT),
        build::external_identifier(identifier::FOLDER_UNIQUE_ID, format!("2.999.906.{n}")),
    ];
    let mut objects = vec![set, folder];
    objects.push(build::association(id("of"), association::HAS_MEMBER, id("set"), id("folder")));
    for (number, entry) in entries.iter().enumerate() {
        let member = format!("in{number}");
        objects.push(build::association(id(&member), association::HAS_MEMBER, id("folder"), (*entry).into()));
        objects.push(build::association(id(&format!("s{member}")), association::HAS_MEMBER, id("set"), id(&member)));
        let mut reference = build::original(id(&format!("r{number}")), id("set"), (*entry).into());
        reference.common.set_slot(slot::SUBMISSION_SET_STATUS, "Reference");
        objects.push(reference);
    }
    objects
}

async fn register(broker: &TestBroker, objects: &[RegistryObject<'_>], documents: &[(&str, &[u8])]) {
    let response = broker.provide_objects(objects, documents).await.registry();
    assert!(response.errors.is_empty(), "{:?}", response.errors);
}

impl Records {
    async fn of(broker: &TestBroker, home: &str) -> Self {
        let open = submission_of("2.999.905.1", OPEN, PATIENT, "text/plain");
        register(broker, &open, &[("entry", b"open")]).await;
        let hidden = restricted(submission_of("2.999.905.2", HIDDEN, PATIENT, "text/plain"));
        register(broker, &hidden, &[("entry", b"hidden")]).await;
        let mut ids = [OPEN, HIDDEN].into_iter();
        let mut next = async || {
            let query = by(QueryKind::GetDocuments, "$XDSDocumentEntryUniqueId", &[ids.next().unwrap()]);
            let found = broker.query_at("responding-gateway", CROSS_QUERY, &of_home(query, home)).await;
            found.objects[0].uuid().unwrap()
        };
        let (open, hidden) = (next().await, next().await);
        register(broker, &filed(3, "Plain", &[open]), &[]).await;
        register(broker, &filed(4, "Mixed", &[open, hidden]), &[]).await;
        // And one document that belongs to the other.
        let mut more = submission_of("2.999.905.5", "2.999.902.5", PATIENT, "text/plain");
        more.push(build::association(id("appends"), association::APND, id("entry"), hidden.into()));
        register(broker, &more, &[("entry", b"appended")]).await;
        Self { open, hidden }
    }
}

fn of_home(mut query: AdhocQuery, home: &str) -> AdhocQuery {
    query.home = Some(home.to_owned());
    query
}

fn by(kind: QueryKind, parameter: &str, ids: &[&str]) -> AdhocQuery {
    use QueryKind::{GetDocuments, GetDocumentsAndAssociations, GetFolders};
    let lists = [GetDocuments, GetDocumentsAndAssociations, GetFolders];
    let single = !lists.contains(&kind) && parameter != "$uuid";
    let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    let definition = QueryDefinition::of(kind);
    let mut slots = vec![Slot::single(parameter.to_owned(), if single { list } else { format!("({list})") })];
    for parameter in definition.parameters {
        let approved = || Slot::single(parameter.name, format!("('{}')", v::APPROVED));
        if matches!(parameter.kind, causeway::model::stored_query::Kind::Status(_)) {
            slots.push(approved());
        }
    }
    if kind == QueryKind::GetRelatedDocuments {
        slots.push(Slot::single("$AssociationTypes", format!("('{}','{}')", association::APND, association::RPLC)));
    }
    AdhocQuery { id: definition.id.to_owned(), home: None, return_type: Some("LeafClass".into()), slots }
}

/// Every stored query, about the patient, and by the ids of everything that there is.
fn everything(records: &Records) -> Vec<AdhocQuery> {
    let (open, hidden) = (records.open.to_string(), records.hidden.to_string());
    let mut queries: Vec<AdhocQuery> = [
        (QueryKind::FindDocuments, "$XDSDocumentEntryPatientId"),
        (QueryKind::FindSubmissionSets, "$XDSSubmissionSetPatientId"),
        (QueryKind::FindFolders, "$XDSFolderPatientId"),
        (QueryKind::GetAll, "$patientId"),
    ]
    .map(|(kind, parameter)| by(kind, parameter, &[PATIENT]))
    .into();
    for (kind, parameter) in [
        (QueryKind::GetDocuments, "$XDSDocumentEntryEntryUUID"),
        (QueryKind::GetDocumentsAndAssociations, "$XDSDocumentEntryEntryUUID"),
        (QueryKind::GetAssociations, "$uuid"),
        (QueryKind::GetSubmissionSets, "$uuid"),
    ] {
        queries.push(by(kind, parameter, &[&open]));
        queries.push(by(kind, parameter, &[&hidden]));
        queries.push(by(kind, parameter, &[&open, &hidden]));
    }
    queries.push(by(QueryKind::GetDocuments, "$XDSDocumentEntryUniqueId", &[OPEN, HIDDEN]));
    for uuid in [&open, &hidden] {
        queries.push(by(QueryKind::GetFoldersForDocument, "$XDSDocumentEntryEntryUUID", &[uuid]));
        queries.push(by(QueryKind::GetRelatedDocuments, "$XDSDocumentEntryEntryUUID", &[uuid]));
    }
    for set in 1..=5 {
        let unique_id = format!("2.999.905.{set}");
        queries.push(by(QueryKind::GetSubmissionSetAndContents, "$XDSSubmissionSetUniqueId", &[&unique_id]));
    }
    queries.push(by(QueryKind::GetFolderAndContents, "$XDSFolderUniqueId", &["2.999.906.3"]));
    queries.push(by(QueryKind::GetFolderAndContents, "$XDSFolderUniqueId", &["2.999.906.4"]));
    queries.push(by(QueryKind::GetFolders, "$XDSFolderUniqueId", &["2.999.906.3", "2.999.906.4"]));
    queries
}

fn reveals(text: &str, records: &Records) -> Option<String> {
    let bare = records.hidden.to_string().trim_start_matches("urn:uuid:").to_owned();
    let mut revealing = REVEALING.iter().map(|word| (*word).to_owned()).chain([bare]);
    revealing.find(|word| text.contains(word.as_str()))
}

fn unique_ids(response: &QueryResponse) -> Vec<String> {
    let mut ids: Vec<String> =
        unpacked(response).iter().filter_map(|object| object.unique_id().map(str::to_owned)).collect();
    ids.sort();
    ids
}

/// No query, in either form, finds, names or hints at a document that is not shared; to others all is there.
#[tokio::test]
async fn what_is_not_shared_is_not_there() {
    let rule = "shares = { allow = { confidentiality = [\"N\"] } }";
    let mut broker = TestBroker::start(Options { more: asker("full", "live", rule), ..Options::default() }).await;
    // Whoever is recognised as nobody is given everything.
    broker.client = client("server");
    let records = Records::of(&broker, HOME).await;
    let queries = everything(&records);
    let mut revealed = 0;
    for query in &queries {
        let query = of_home(query.clone(), HOME);
        let reply =
            broker.call("responding-gateway", CROSS_QUERY, |out| causeway::wire::ebrs::write_query(out, &query)).await;
        assert_eq!(reply.query().status, ResponseStatus::Success, "{query:?}: {}", reply.text());
        revealed += usize::from(reveals(&reply.text(), &records).is_some());
    }
    assert!(revealed >= 15, "the queries reach the document: {revealed}");
    broker.client = client("client");
    for query in &queries {
        for return_type in ["LeafClass", "ObjectRef"] {
            let mut query = of_home(query.clone(), HOME);
            query.return_type = Some(return_type.into());
            let reply = broker
                .call("responding-gateway", CROSS_QUERY, |out| causeway::wire::ebrs::write_query(out, &query))
                .await;
            assert_eq!(reply.query().status, ResponseStatus::Success, "{query:?}: {}", reply.text());
            assert_eq!(reveals(&reply.text(), &records), None, "{query:?} {:?}: {}", query.slots[0], reply.text());
        }
    }
    // What is shared is there.
    let found = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
    assert_eq!(unique_ids(&found), [OPEN, "2.999.902.5"]);
    let folders = by(QueryKind::FindFolders, "$XDSFolderPatientId", &[PATIENT]);
    let found = broker.query_at("responding-gateway", CROSS_QUERY, &folders).await;
    assert_eq!(unique_ids(&found), ["2.999.906.3"]);
    // The operator sees that something was left out.
    let explained = admin_get(broker.broker.admin_address().unwrap(), "/explain").await;
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    let id = explained[0]["id"].as_str().unwrap();
    let one = admin_get(broker.broker.admin_address().unwrap(), &format!("/explain/{id}")).await;
    assert!(one.contains("not shared with whoever asked"), "{one}");
}

/// A document that is not shared is refused in the very words for one that is not there.
#[tokio::test]
async fn what_is_not_shared_cannot_be_retrieved() {
    let rule = "shares = { deny = { confidentiality = [\"R^^2.16.840.1.113883.5.25\", \"V\"] } }";
    let mut broker = TestBroker::start(Options { more: asker("full", "live", rule), ..Options::default() }).await;
    broker.client = client("server");
    Records::of(&broker, HOME).await;
    let given = cross_retrieve(&broker, HOME, REPOSITORY, &[OPEN, HIDDEN]).await;
    assert_eq!(given.parts()[1..], [b"open".to_vec(), b"hidden".to_vec()]);
    broker.client = client("client");
    let absent = "2.999.902.9";
    for order in [[absent, HIDDEN, OPEN], [OPEN, HIDDEN, absent]] {
        let reply = cross_retrieve(&broker, HOME, REPOSITORY, &order).await;
        let (response, documents) = reply.retrieve();
        assert_eq!((response.status, documents.len()), (ResponseStatus::PartialSuccess, 1));
        assert_eq!(reply.parts()[1..], [b"open".to_vec()]);
        let told: Vec<_> =
            response.errors.iter().map(|e| (e.code.as_str(), e.context.clone(), e.location.clone())).collect();
        assert_eq!(told.len(), 2);
        let as_absent = |context: &str| context.replace(HIDDEN, absent);
        assert_eq!(
            (told[0].0, as_absent(&told[0].1), &told[0].2),
            (told[1].0, as_absent(&told[1].1), &told[1].2),
            "{told:?}"
        );
        assert_eq!(told[0].0, "XDSDocumentUniqueIdError");
    }
}

/// What passes through from a member is judged here; what cannot be judged does not pass.
#[tokio::test]
async fn a_members_documents_are_shared_by_the_same_rules() {
    let (home, repository) = ("urn:oid:2.999.900.3", "2.999.901.3");
    let options = Options { home: Some(home.into()), repository: Some(repository.into()), ..Options::default() };
    let member = TestBroker::start(options).await;
    let records = Records::of(&member, home).await;
    let rule = "shares = { deny = { confidentiality = [\"R\"] } }";
    let more = asker("full", "live", rule)
        + &crate::gateways::peer("Member", home, &member.url("responding-gateway"), "member", "");
    let mut hub = TestBroker::start(Options { more, ..Options::default() }).await;
    for (certificate, expected) in
        [("server", vec![OPEN, HIDDEN, "2.999.902.5"]), ("client", vec![OPEN, "2.999.902.5"])]
    {
        hub.client = client(certificate);
        for return_type in ["LeafClass", "ObjectRef"] {
            let query = AdhocQuery { return_type: Some(return_type.into()), ..find(PATIENT) };
            let found = hub.query_at("responding-gateway", CROSS_QUERY, &query).await;
            assert_eq!((found.status, found.objects.len()), (ResponseStatus::Success, expected.len()), "{certificate}");
        }
        let found = hub.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert_eq!(unique_ids(&found), expected, "{certificate}");
    }
    for query in everything(&records) {
        for home in [Some(home.to_owned()), None] {
            let query = AdhocQuery { home, ..query.clone() };
            let reply =
                hub.call("responding-gateway", CROSS_QUERY, |out| causeway::wire::ebrs::write_query(out, &query)).await;
            assert_eq!(reveals(&reply.text(), &records), None, "{query:?} {:?}: {}", query.slots[0], reply.text());
        }
    }
    let absent = "2.999.902.9";
    let reply = cross_retrieve(&hub, home, repository, &[absent, HIDDEN, OPEN]).await;
    let (response, documents) = reply.retrieve();
    assert_eq!((response.status, documents.len()), (ResponseStatus::PartialSuccess, 1), "{:?}", response.errors);
    assert_eq!(reply.parts()[1..], [b"open".to_vec()]);
    let told: Vec<_> = response
        .errors
        .iter()
        .map(|e| (e.code.as_str(), e.context.replace(HIDDEN, absent), e.location.clone()))
        .collect();
    assert_eq!((told.len(), &told[0]), (2, &told[1]));
    assert_eq!((told[0].0, told[0].2.as_deref()), ("XDSDocumentUniqueIdError", Some(home)));
}

// --- who is told of ----------------------------------------------------------------------------

#[tokio::test]
async fn who_is_planned_is_told_unless_the_configuration_says_no() {
    for (state, rule, told) in [
        ("planned", "", true),
        ("connecting", "", true),
        ("planned", "[initiating_gateway]\ntell_planned = false\n", false),
        ("closed", "", false),
    ] {
        let mut broker = broker(asker("full", state, "") + rule).await;
        broker.client = client("server");
        let response = broker.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1));
        let warnings: Vec<_> =
            response.errors.iter().map(|e| (e.code.as_str(), e.severity, e.location.as_deref())).collect();
        let expected = ("XDSUnavailableCommunity", Severity::Warning, Some(FAR));
        assert_eq!(warnings, if told { vec![expected] } else { vec![] }, "{state} {rule}");
        assert!(response.errors.iter().all(|error| error.context.contains("is not connected yet")));
        // At the Responding Gateway it is nobody's to be told of.
        let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
        assert!(response.errors.is_empty());
        let page = admin_get(broker.broker.admin_address().unwrap(), "/").await;
        assert_eq!(page.contains("not connected yet"), state != "closed", "{page}");
        broker.broker.stop().await;
    }
}
