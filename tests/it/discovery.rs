//! ITI-55 and ITI-56 between brokers: patients whom another community knows under another id.

use std::time::Duration;

use causeway::model::discovery::{
    BirthTime, Criteria, DiscoveryAnswer, DiscoveryQuery, Fault, Gender, InstanceId, MessageHeader, PatientLocation,
    PersonName, Priority, Problem,
};
use causeway::model::ids::{HomeCommunityId, PatientId};
use causeway::model::response::{ResponseStatus, Severity};
use causeway::model::time::Dtm;
use causeway::wire::{hl7v3, xcpd};

use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const DISCOVER: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery";
const LOCATE: &str = "urn:ihe:iti:2009:PatientLocationQuery";
pub const NHS: &str = "2.16.840.1.113883.2.1.4.1";

pub fn home(n: usize) -> String {
    format!("urn:oid:2.999.900.{n}")
}

/// A patient's id in a community's own domain.
pub fn local(n: usize, id: &str) -> String {
    format!("{id}^^^&2.999.903.{n}&ISO")
}

pub fn peer(n: usize, broker: &TestBroker, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"Community {n}\"\nhome_community_id = \"{}\"\nscope = \"member\"\nkind = \"full\"\nstate = \"live\"\n\
         responding_gateway = \"{}\"\npatient_id = \"discover\"\n{more}\n",
        home(n),
        broker.url("responding-gateway")
    )
}

/// A line of a directory; names are `given family`.
pub fn person(id: &str, nhs: &str, name: &str, birth: &str, more: &str) -> String {
    let (given, family) = name.split_once(' ').expect("two names");
    let other = if nhs.is_empty() { String::new() } else { format!("\"{nhs}^^^&{NHS}&ISO\"") };
    format!(
        "{{\"id\":\"{id}\",\"other_ids\":[{other}],\"names\":[{{\"given\":[\"{given}\"],\"family\":[\"{family}\"]}}],\
         \"birth_time\":\"{birth}\",\"addresses\":[{{\"lines\":[\"1 Example Row\"],\"city\":\"London\"}}],\"telecoms\":[\"tel:+442079460001\"]{more}}}\n"
    )
}

/// A community with a directory of these people, or without one.
pub async fn community(n: usize, people: &str, options: Options) -> TestBroker {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut patients = options.patients.clone();
    if !people.is_empty() {
        std::fs::write(dir.path().join("people.jsonl"), people).expect("a directory");
        patients.push_str("\ndirectory = \"people.jsonl\"");
    }
    let repository = Some(format!("2.999.901.{n}"));
    TestBroker::start_in(dir, Options { home: Some(home(n)), repository, patients, ..options }).await
}

/// How often a broker has answered a transaction.
pub fn answered(broker: &TestBroker, transaction: &str) -> usize {
    let records = audit_records(&broker.broker);
    records.iter().filter(|record| record.contains(&format!("EventTypeCode csd-code=\"{transaction}\""))).count()
}

pub fn nhs(number: &str) -> PatientId {
    PatientId::parse(&format!("{number}^^^&{NHS}&ISO")).expect("an NHS number")
}

pub fn name(given: &str, family: &str) -> PersonName {
    PersonName { given: vec![given.into()], family: vec![family.into()], ..PersonName::default() }
}

pub fn discovery(criteria: Criteria) -> DiscoveryQuery {
    DiscoveryQuery {
        header: MessageHeader {
            message_id: InstanceId::new("2.999.1.10", "msg-1"),
            sender: HomeCommunityId::parse(&home(9)).ok(),
            receiver: HomeCommunityId::parse(&home(2)).ok(),
            ..MessageHeader::default()
        },
        query_id: InstanceId::new("2.999.1.11", "q-1"),
        requester_domain: None,
        priority: Priority::Immediate,
        respond_to: None,
        keep: None,
        criteria,
    }
}

async fn ask(broker: &TestBroker, query: &DiscoveryQuery) -> Reply {
    let created = Dtm::parse("20260301120000").expect("a time");
    let write = |out: &mut Vec<u8>| hl7v3::write_request(out, query, created, None);
    let reply = broker.call("responding-gateway", DISCOVER, write).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

async fn answer(broker: &TestBroker, criteria: Criteria) -> DiscoveryAnswer {
    let query = discovery(criteria);
    let received = ask(broker, &query).await.read(|node| hl7v3::read_response(node).expect("an answer"));
    assert!(causeway::transport::peer::belongs(&received, &query));
    received.answer
}

/// The homes of a query's objects, in order.
pub async fn homes(near: &TestBroker, patient: &str) -> (Vec<String>, causeway::model::response::QueryResponse) {
    let response = near.query_at("initiating-gateway", QUERY, &find(patient)).await;
    let homes = unpacked(&response).iter().map(|o| o.common.home.clone().expect("a home").into_owned()).collect();
    (homes, response)
}

/// The whole of it: the hospital asks under its own number, the other community files under another.
#[tokio::test]
async fn a_patient_is_found_under_another_id_and_asked_for_once() {
    let theirs = person(&local(2, "P-77"), "9990010013", "Wilhelmina Quillfeather", "19510417", "");
    let ours = person(&local(1, "A1"), "9990010013", "Wilhelmina Quillfeather", "19510417", "");
    let far = community(2, &theirs, Options::default()).await;
    far.provide("2.999.902.2", &local(2, "P-77"), b"theirs").await;
    let near = community(1, &ours, Options { more: peer(2, &far, ""), ..Options::default() }).await;
    near.provide("2.999.902.1", &local(1, "A1"), b"ours").await;
    for _ in 0..3 {
        let (homes, response) = homes(&near, &local(1, "A1")).await;
        assert_eq!(
            (response.status, homes),
            (ResponseStatus::Success, vec![home(1), home(2)]),
            "{:?}",
            response.errors
        );
    }
    // Asked once, queried each time.
    assert_eq!((answered(&far, "ITI-55"), answered(&far, "ITI-38")), (1, 3));
    // Both sides are audited: who asks names no patient yet, who answers names the one found.
    let record = |broker: &TestBroker| {
        audit_records(&broker.broker)
            .into_iter()
            .find(|record| record.contains("csd-code=\"ITI-55\""))
            .expect("a record")
    };
    let (asked, found) = (record(&near), record(&far));
    assert!(!asked.contains("Patient Number") && found.contains("P-77^^^&amp;2.999.903.2&amp;ISO"), "{asked}\n{found}");
    for record in [&asked, &found] {
        assert!(record.contains("ihe:homeCommunityID") && record.contains("ParticipantObjectQuery"), "{record}");
    }
    // What a stored query names stays by id: nobody is asked for a patient then.
    let (_, response) = homes(&near, &local(1, "A1")).await;
    let mut by_id = get(response.objects[1].uuid().expect("an entryUUID"));
    by_id.home = Some(home(2));
    assert_eq!(near.query_at("initiating-gateway", QUERY, &by_id).await.objects.len(), 1);
    assert_eq!(answered(&far, "ITI-55"), 1);
}

/// A registry without a directory knows a patient by the shared number.
#[tokio::test]
async fn a_shared_number_is_enough() {
    let far = community(2, "", Options::default()).await;
    far.provide("2.999.902.2", PATIENT, b"theirs").await;
    let near = community(1, "", Options { more: peer(2, &far, ""), ..Options::default() }).await;
    near.provide("2.999.902.1", PATIENT, b"ours").await;
    assert_eq!(homes(&near, PATIENT).await.0, [home(1), home(2)]);
    let DiscoveryAnswer::Matches(found) =
        answer(&far, Criteria { ids: vec![nhs("9990000018")], ..Criteria::default() }).await
    else {
        panic!("nobody")
    };
    assert_eq!((found[0].id.to_cx(), found[0].demographics.names.len()), (PATIENT.to_owned(), 0));
    let reply = ask(&far, &discovery(Criteria { ids: vec![nhs("9990000018")], ..Criteria::default() })).await;
    assert!(reply.text().contains("<name nullFlavor=\"NA\"/>") && reply.text().contains("CorrelationTimeToLive"));
}

/// Who does not know the patient has no documents: no error, and not asked again at once.
#[tokio::test]
async fn who_knows_nobody_is_skipped() {
    let far = community(2, "", Options::default()).await;
    let near = community(1, "", Options { more: peer(2, &far, ""), ..Options::default() }).await;
    near.provide("2.999.902.1", PATIENT, b"ours").await;
    for _ in 0..2 {
        let (homes, response) = homes(&near, PATIENT).await;
        assert_eq!((homes, response.status, response.errors.len()), (vec![home(1)], ResponseStatus::Success, 0));
    }
    assert_eq!((answered(&far, "ITI-55"), answered(&far, "ITI-38")), (1, 0));
    // Asked by name, too.
    let mut query = find(PATIENT);
    query.home = Some(home(2));
    let response = near.query_at("initiating-gateway", QUERY, &query).await;
    assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 0));
}

#[tokio::test]
async fn who_does_not_answer_is_named() {
    let far = community(2, "", Options::default()).await;
    let nowhere = peer(2, &far, "patient_discovery = \"https://127.0.0.1:9/services/responding-gateway\"");
    let near = community(1, "", Options { more: nowhere, ..Options::default() }).await;
    near.provide("2.999.902.1", PATIENT, b"ours").await;
    let (homes, response) = homes(&near, PATIENT).await;
    assert_eq!((homes, response.status), (vec![home(1)], ResponseStatus::PartialSuccess));
    let error = &response.errors[0];
    assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSUnavailableCommunity", Some(&*home(2))));
    assert_eq!(answered(&far, "ITI-38"), 0);
}

/// Two whom nothing tells apart: nothing is given, and that something may be missing is said.
#[tokio::test]
async fn ambiguous_patients_are_not_guessed() {
    let twin = |id: &str, more: &str| person(&local(2, id), "", "Ada Meyer", "19700131", more);
    let ours = person(&local(1, "A1"), "", "Ada Meyer", "19700131", ",\"gender\":\"F\"");
    let more = [
        // Nothing tells them apart; the gender does, which is asked for at once; the birth place would.
        ("", "", None),
        (",\"gender\":\"F\"", ",\"gender\":\"M\"", Some("a")),
        (",\"gender\":\"F\",\"birth_place\":\"Linz\"", ",\"gender\":\"F\",\"birth_place\":\"Graz\"", None),
    ];
    for (number, (first, second, expected)) in more.into_iter().enumerate() {
        let far = community(2, &(twin("a", first) + &twin("b", second)), Options::default()).await;
        far.provide("2.999.902.2", &local(2, "a"), b"theirs").await;
        let near = community(1, &ours, Options { more: peer(2, &far, ""), ..Options::default() }).await;
        let (homes, response) = homes(&near, &local(1, "A1")).await;
        assert_eq!(homes.len(), usize::from(expected.is_some()), "{number}");
        let asked = Criteria {
            names: vec![name("Ada", "Meyer")],
            birth_time: Dtm::parse("19700131").ok().map(BirthTime::At),
            gender: Some(Gender::Female),
            ..Criteria::default()
        };
        match number {
            // Genders are unknown there: by demographics alone nobody is matched who lacks what is asked.
            0 => assert_eq!(answer(&far, asked).await, DiscoveryAnswer::NotFound),
            1 => {
                assert!(matches!(answer(&far, asked).await, DiscoveryAnswer::Matches(found) if found[0].id.id() == "a"))
            }
            _ => {
                let DiscoveryAnswer::MoreWanted(wanted) = answer(&far, asked).await else { panic!("no question") };
                assert_eq!(wanted, [causeway::model::discovery::Attribute::BirthPlaceName]);
                let warning = &response.errors[0];
                assert_eq!((warning.code.as_str(), warning.severity), ("XDSUnavailableCommunity", Severity::Warning));
                assert_eq!(warning.location.as_deref(), Some(&*home(2)));
                assert_eq!(answered(&far, "ITI-38"), 0);
            }
        }
        near.broker.stop().await;
        far.broker.stop().await;
    }
    let far = community(2, &(twin("a", "") + &twin("b", "")), Options::default()).await;
    let by_name = Criteria {
        names: vec![name("Ada", "Meyer")],
        birth_time: Dtm::parse("19700131").ok().map(BirthTime::At),
        ..Criteria::default()
    };
    let DiscoveryAnswer::Refused(refusal) = answer(&far, by_name).await else { panic!("an answer") };
    assert_eq!((refusal.fault, refusal.problem), (Fault::Application, Some(Problem::AnswerNotAvailable)));
}

#[tokio::test]
async fn restricted_people_are_found_by_all_three_and_never_where_they_are() {
    let hidden = person(&local(2, "R"), "9990010196", "Persephone Ashcombe-Quill", "19860214", ",\"restricted\":true");
    let open = person(&local(2, "O"), "9990010013", "Wilhelmina Quillfeather", "19510417", "");
    let far = community(2, &(hidden + &open), Options::default()).await;
    far.provide("2.999.902.2", &local(2, "R"), b"theirs").await;
    let by = |number: &str, given: &str, family: &str, birth: &str| Criteria {
        ids: vec![nhs(number)],
        names: vec![name(given, family)],
        birth_time: Dtm::parse(birth).ok().map(BirthTime::At),
        ..Criteria::default()
    };
    let whole = by("9990010196", "Persephone", "Ashcombe-Quill", "19860214");
    let reply = ask(&far, &discovery(whole.clone())).await;
    assert!(reply.text().contains("Ashcombe-Quill") && !reply.text().contains("Example Row"), "{}", reply.text());
    assert!(!reply.text().contains("+442079460001"));
    let open = ask(&far, &discovery(by("9990010013", "Wilhelmina", "Quillfeather", "19510417"))).await;
    assert!(open.text().contains("Example Row") && open.text().contains("+442079460001"));
    for less in [
        Criteria { ids: Vec::new(), ..whole.clone() },
        Criteria { names: Vec::new(), ..whole.clone() },
        Criteria { birth_time: None, ..whole.clone() },
        Criteria { telecoms: vec!["tel:+442079460001".into()], ..whole },
    ] {
        assert_eq!(answer(&far, less).await, DiscoveryAnswer::NotFound);
    }
    // Clinical documents flow all the same; where else they are is not told.
    let ours = person(&local(1, "A1"), "9990010196", "Persephone Ashcombe-Quill", "19860214", ",\"restricted\":true");
    // Identifiers of the domains that are listed are told to others, beside the one that is asked about.
    let patients = format!("domains = [{{ oid = \"{NHS}\" }}, {{ oid = \"2.999.903.1\" }}]");
    let near = community(1, &ours, Options { more: peer(2, &far, ""), patients, ..Options::default() }).await;
    near.provide("2.999.902.1", &local(1, "A1"), b"ours").await;
    assert_eq!(homes(&near, &local(1, "A1")).await.0, [home(1), home(2)]);
    assert_eq!(locations(&near, &local(1, "A1")).await, []);
}

pub async fn locations(broker: &TestBroker, patient: &str) -> Vec<PatientLocation> {
    let patient = PatientId::parse(patient).expect("a patient");
    let reply = broker.call("responding-gateway", LOCATE, |out| xcpd::write_location_request(out, &patient)).await;
    reply.read(|node| xcpd::read_location_response(node).expect("locations"))
}

#[tokio::test]
async fn where_a_patient_is_known() {
    let far = community(2, "", Options::default()).await;
    far.provide("2.999.902.2", PATIENT, b"theirs").await;
    let near = community(1, "", Options { more: peer(2, &far, ""), ..Options::default() }).await;
    assert_eq!(locations(&near, PATIENT).await, []);
    near.provide("2.999.902.1", PATIENT, b"ours").await;
    let location = |n: usize| PatientLocation {
        home: HomeCommunityId::parse(&home(n)).expect("a home"),
        id: PatientId::parse(PATIENT).expect("a patient"),
    };
    assert_eq!(locations(&near, PATIENT).await, [location(1)]);
    homes(&near, PATIENT).await;
    assert_eq!(locations(&near, PATIENT).await, [location(1), location(2)]);
    let records = audit_records(&near.broker);
    let record = records.iter().find(|record| record.contains("csd-code=\"ITI-56\"")).expect("a record");
    assert!(record.contains("ParticipantObjectID=\"PatientLocationQueryRequest\"") && record.contains("9990000018"));
    // A request that names nobody has no answer of its own.
    let reply = near
        .call("responding-gateway", LOCATE, |out| {
            out.extend_from_slice(b"<x:PatientLocationQueryRequest xmlns:x=\"urn:ihe:iti:xcpd:2009\"/>");
        })
        .await;
    assert_eq!((reply.status, reply.fault().is_some()), (400, true));
}

/// What a query gets that cannot be used, and one whose answer is wanted later.
#[tokio::test]
async fn refusals_are_messages_of_the_profile() {
    let far = community(2, "", Options::default()).await;
    let good = discovery(Criteria { ids: vec![nhs("9990000018")], ..Criteria::default() });
    let empty = discovery(Criteria { names: vec![name("Ada", "Meyer")], ..Criteria::default() });
    let received = ask(&far, &empty).await.read(|node| hl7v3::read_response(node).expect("an answer"));
    let DiscoveryAnswer::Refused(refusal) = received.answer else { panic!("an answer") };
    assert_eq!((refusal.fault, refusal.problem), (Fault::Query, None));
    assert!(refusal.details[0].contains("LivingSubjectBirthTime missing"), "{:?}", refusal.details);
    assert_eq!(received.target, Some(empty.header.message_id));
    let records = audit_records(&far.broker);
    let record = records.iter().find(|record| record.contains("csd-code=\"ITI-55\"")).expect("a record");
    assert!(
        record.contains("EventOutcomeIndicator=\"8\"") && record.contains("<EventOutcomeDescription>QE<"),
        "{record}"
    );

    // A parameter that cannot be read is not left out.
    let created = Dtm::parse("20260301120000").expect("a time");
    let mut text = Vec::new();
    hl7v3::write_request(&mut text, &good, created, None);
    let text = String::from_utf8(text).expect("text");
    let broken = text.replace(&format!("root=\"{NHS}\""), "root=\"x\"");
    let reply = far.call("responding-gateway", DISCOVER, |out| out.extend_from_slice(broken.as_bytes())).await;
    let received = reply.read(|node| hl7v3::read_response(node).expect("an answer"));
    assert!(matches!(received.answer, DiscoveryAnswer::Refused(refusal) if refusal.fault == Fault::Query));
    // What is given back is the query as it was sent.
    assert!(reply.text().contains("<value root=\"x\" extension=\"9990000018\"/>"), "{}", reply.text());

    // Deferred answers are not offered unless that is said, whatever the action and wherever they go.
    let deferred = DiscoveryQuery {
        priority: Priority::Deferred,
        respond_to: Some("https://127.0.0.1:9/answers".into()),
        ..good.clone()
    };
    for action in [DISCOVER, "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery"] {
        let write = |out: &mut Vec<u8>| hl7v3::write_request(out, &deferred, created, None);
        let reply = far.call("responding-gateway", action, write).await;
        let text = reply.text();
        assert!(
            text.contains("<MCCI_IN000002UV01") && text.contains("NS250") && text.contains("code=\"AE\""),
            "{text}"
        );
        assert!(text.contains(">urn:hl7-org:v3:MCCI_IN000002UV01<"), "{text}");
    }
    // A body of another namespace is no message of the profile at all.
    let other = text.replace("urn:hl7-org:v3", "urn:example");
    let reply = far.call("responding-gateway", DISCOVER, |out| out.extend_from_slice(other.as_bytes())).await;
    assert_eq!((reply.status, reply.fault().is_some()), (400, true));
}

/// How long a correlation is kept is the other community's word; 0 is "do not".
#[tokio::test]
async fn a_correlation_lives_as_long_as_it_may() {
    for (offer, kept, asked) in [("correlation_offer = \"1h\"", "", 1), ("", "correlation_longest = \"0s\"", 2)] {
        let far = community(2, "", Options { limits: offer.into(), ..Options::default() }).await;
        far.provide("2.999.902.2", PATIENT, b"theirs").await;
        let more = peer(2, &far, "");
        let near = community(1, "", Options { more, limits: kept.into(), ..Options::default() }).await;
        for _ in 0..2 {
            assert_eq!(homes(&near, PATIENT).await.0, [home(2)]);
        }
        assert_eq!(answered(&far, "ITI-55"), asked, "{offer}{kept}");
        near.broker.stop().await;
        far.broker.stop().await;
    }
}

/// A directory is read again with the configuration; what is wrong with it stops nothing that runs.
#[tokio::test]
async fn a_directory_is_reloaded() {
    let far =
        community(2, &person(&local(2, "a"), "9990010013", "Ada Meyer", "19700131", ""), Options::default()).await;
    let asked = || Criteria { ids: vec![nhs("9990010315")], ..Criteria::default() };
    assert_eq!(answer(&far, asked()).await, DiscoveryAnswer::NotFound);
    let newer = person(&local(2, "b"), "9990010315", "Ada Meyer", "19700131", "");
    std::fs::write(far.dir.path().join("people.jsonl"), newer).expect("a directory");
    let options = Options {
        home: Some(home(2)),
        repository: Some("2.999.901.2".into()),
        patients: "directory = \"people.jsonl\"".into(),
        ..Options::default()
    };
    let text = toml(far.dir.path(), &options);
    let config = causeway::config::Config::from_toml(&text, far.dir.path()).expect("a configuration");
    far.broker.reload(config).expect("a reload");
    assert!(matches!(answer(&far, asked()).await, DiscoveryAnswer::Matches(found) if found[0].id.id() == "b"));
}

/// Eight at once ask one question of a slow community.
#[tokio::test]
async fn at_once_one_question() {
    let far = community(2, "", Options::default()).await;
    far.provide("2.999.902.2", PATIENT, b"theirs").await;
    let near = community(1, "", Options { more: peer(2, &far, ""), ..Options::default() }).await;
    let all = futures_util::future::join_all((0..8).map(|_| homes(&near, PATIENT)));
    let all = tokio::time::timeout(Duration::from_secs(20), all).await.expect("answers");
    assert!(all.iter().all(|(homes, _)| *homes == [home(2)]));
    assert_eq!((answered(&far, "ITI-55"), answered(&far, "ITI-38")), (1, 8));
}
