//! Messages written and read again; what the field sends; what is refused.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::model::discovery::{
    Address, Attribute, BirthTime, Criteria, DiscoveryAnswer, DiscoveryQuery, Fault, Gender, PatientDemographics,
    PatientMatch, PersonName, Priority, Problem, Refusal, Revocation,
};
use crate::model::ids::{Oid, PatientId};
use crate::wire::xml::{Document, Limits};

fn with<T>(text: &str, read: impl FnOnce(Node<'_, '_>) -> T) -> T {
    let document = Document::parse(text, Limits::default()).unwrap_or_else(|error| panic!("{error}: {text}"));
    read(document.root())
}

fn dtm(text: &str) -> Dtm {
    Dtm::parse(text).unwrap()
}

fn request(query: &DiscoveryQuery) -> String {
    let mut out = Vec::new();
    write_request(&mut out, query, dtm("20260301120000"), Some("https://rg.example.org/xcpd"));
    String::from_utf8(out).unwrap()
}

fn response(answer: &DiscoveryAnswer, query: Option<&str>) -> String {
    let mut out = Vec::new();
    let header = header();
    let with = Answering {
        own: &HomeCommunityId::parse("urn:oid:2.999.2").unwrap(),
        message_id: &InstanceId::new("2.999.2.10", "msg-9001"),
        created: dtm("20260301120001"),
        request: &header,
        query_id: Some(&InstanceId::new("2.999.1.11", "q-42")),
        query_by_parameter: query,
    };
    write_response(&mut out, &with, answer);
    String::from_utf8(out).unwrap()
}

fn header() -> MessageHeader {
    MessageHeader {
        message_id: InstanceId::new("2.999.1.10", "msg-0001"),
        sender_device: Some(InstanceId { root: "2.999.1.1".into(), extension: None }),
        sender: Some(HomeCommunityId::parse("urn:oid:2.999.1").unwrap()),
        receiver_device: Some(InstanceId { root: "2.999.2.1".into(), extension: None }),
        receiver: Some(HomeCommunityId::parse("urn:oid:2.999.2").unwrap()),
    }
}

fn id(extension: &str, root: &str) -> PatientId {
    PatientId::new(extension, Oid::parse(root).unwrap()).unwrap()
}

fn name(given: &str, family: &str) -> PersonName {
    PersonName { given: vec![given.into()], family: vec![family.into()], ..PersonName::default() }
}

fn full_query() -> DiscoveryQuery {
    DiscoveryQuery {
        header: header(),
        query_id: InstanceId::new("2.999.1.11", "q-42"),
        requester_domain: Some(Oid::parse("2.999.1.3").unwrap()),
        priority: Priority::Immediate,
        respond_to: None,
        keep: None,
        criteria: Criteria {
            ids: vec![id("P-12", "2.999.1.3"), id("9990010013", "2.16.840.1.113883.2.1.4.1")],
            names: vec![name("Ada", "Meyer"), name("Ada", "Lovelace")],
            birth_time: Some(BirthTime::At(dtm("19700131"))),
            gender: Some(Gender::Female),
            addresses: vec![Address {
                lines: vec!["1 Lake Road".into()],
                city: Some("Linz".into()),
                state: None,
                postal_code: Some("4020".into()),
                country: None,
            }],
            telecoms: vec!["tel:+4369911".into()],
            mothers_maiden_names: vec![PersonName { family: vec!["Gordon".into()], ..PersonName::default() }],
            birth_places: vec!["London".into()],
            others: false,
        },
    }
}

fn full_match() -> PatientMatch {
    PatientMatch {
        id: id("P-77", "2.999.2.3"),
        home: Some(HomeCommunityId::parse("urn:oid:2.999.2").unwrap()),
        demographics: PatientDemographics {
            names: vec![name("Ada", "Meyer")],
            birth_time: Some(BirthTime::At(dtm("19700131"))),
            gender: Some(Gender::Female),
            addresses: full_query().criteria.addresses,
            telecoms: vec!["tel:+4369911".into()],
            other_ids: vec![id("9990010013", "2.16.840.1.113883.2.1.4.1")],
            mothers_maiden_name: Some(PersonName { family: vec!["Gordon".into()], ..PersonName::default() }),
            birth_place: Some("London".into()),
        },
        degree: Some(97),
        is_locator: false,
    }
}

fn answers() -> Vec<(&'static str, DiscoveryAnswer)> {
    let refused = |fault, problem, details: &[&str]| {
        let details = details.iter().map(|detail| (*detail).to_owned()).collect();
        DiscoveryAnswer::Refused(Refusal { fault, problem, details })
    };
    let nobody = PatientMatch {
        demographics: PatientDemographics::default(),
        degree: None,
        is_locator: true,
        home: Some(HomeCommunityId::parse("urn:oid:2.999.3").unwrap()),
        ..full_match()
    };
    vec![
        ("match", DiscoveryAnswer::Matches(vec![full_match()])),
        ("matches", DiscoveryAnswer::Matches(vec![full_match(), nobody])),
        ("more", DiscoveryAnswer::MoreWanted(Attribute::ALL.iter().map(|(attribute, _)| *attribute).collect())),
        ("not-found", DiscoveryAnswer::NotFound),
        ("busy", DiscoveryAnswer::unavailable(Problem::ResponderBusy)),
        ("query-error", refused(Fault::Query, None, &["a name is missing", "an id is wrong"])),
        ("error", refused(Fault::Application, Some(Problem::InternalError), &["the store failed"])),
    ]
}

fn deferred_query() -> DiscoveryQuery {
    DiscoveryQuery {
        priority: Priority::Deferred,
        respond_to: Some("https://ig.example.org/xcpd/deferred?a&b".into()),
        ..full_query()
    }
}

fn acknowledged(refusal: Option<(&'static str, &'static str)>) -> String {
    let mut out = Vec::new();
    let acknowledgement = Acknowledgement {
        own: &HomeCommunityId::parse("urn:oid:2.999.2").unwrap(),
        message_id: &InstanceId::new("2.999.2.10", "msg-9001"),
        created: dtm("20260301120001"),
        request: &header(),
        refusal,
    };
    write_acknowledgement(&mut out, &acknowledgement);
    String::from_utf8(out).unwrap()
}

fn revocation(revocation: &Revocation) -> String {
    let mut out = Vec::new();
    write_revocation(&mut out, revocation, dtm("20260301120001"));
    String::from_utf8(out).unwrap()
}

#[test]
fn acknowledgements_say_whether_the_message_is_taken() {
    let read = |text: &str| with(text, read_acknowledgement);
    assert_eq!(read(&acknowledged(None)), Ok(Ok(())));
    assert_eq!(read(&acknowledged(Some((UNSUPPORTED_MODE, "why")))), Ok(Err(UNSUPPORTED_MODE)));
    assert_eq!(read(&acknowledged(Some((UNSUPPORTED_INTERACTION, "why")))), Ok(Err(UNSUPPORTED_INTERACTION)));
    // Others have codes of their own, and accept the message alone.
    assert_eq!(read(&acknowledged(Some(("KEY204", "why")))), Ok(Err("AE")));
    let taken = acknowledged(None);
    for (code, expected) in [("CA", Ok(())), ("CE", Err("AE")), ("AR", Err("AE")), ("", Err("AE"))] {
        assert_eq!(read(&taken.replace("code=\"AA\"", &format!("code=\"{code}\""))), Ok(expected), "{code}");
    }
    assert!(read("<MCCI_IN000002UV01 xmlns=\"urn:hl7-org:v3\"/>").is_err());
    assert!(read(&taken.replace("MCCI_IN000002UV01", "MCCI_IN000003UV01")).is_err());
}

#[test]
fn a_query_for_later_says_where_its_answer_is_to_go() {
    let query = deferred_query();
    let text = request(&query);
    assert!(with(&text, |node| read_request(node).unwrap()).query == Ok(query.clone()));
    // An address that is none, or is not there: it is wanted later all the same.
    for other in [text.replace("value=\"https://ig.example.org/xcpd/deferred?a&amp;b\"", "nullFlavor=\"NI\""), {
        let (before, rest) = text.split_once("<respondTo").unwrap();
        format!("{before}{}", rest.split_once("</respondTo>").unwrap().1)
    }] {
        let read = with(&other, |node| read_request(node).unwrap()).query.unwrap();
        assert_eq!((read.priority, read.respond_to), (Priority::Deferred, None));
    }
}

#[test]
fn revocations_name_one_identifier() {
    let written = Revocation { header: header(), patient: id("P'1&2", "2.999.1.3") };
    let text = revocation(&written);
    assert_eq!(with(&text, read_revocation), Ok(written));
    let patient = "<id root=\"2.999.1.3\" extension=\"P'1&amp;2\"/>";
    assert!(text.contains(patient), "{text}");
    for broken in [
        text.replace(patient, ""),
        text.replace(patient, &patient.repeat(2)),
        text.replace("root=\"2.999.1.3\"", "root=\"x\""),
        text.replace("<subject1", "<subject2").replace("</subject1", "</subject2"),
        text.replace("extension=\"msg-0001\"", "nullFlavor=\"NI\""),
        text.replace("201303", "201302"),
    ] {
        assert!(with(&broken, read_revocation).is_err(), "{broken}");
    }
}

/// The golden messages: written here, judged by the schemas of HL7 where they are at hand.
#[test]
fn golden_messages_are_what_is_written() {
    let golden = |name: &str| {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/iti55").join(format!("{name}.xml"));
        (std::fs::read_to_string(&path).unwrap_or_default(), path)
    };
    let mut query = Vec::new();
    write_query_by_parameter(&mut query, &full_query());
    let query = String::from_utf8(query).unwrap();
    let mut messages = vec![
        ("request".to_owned(), request(&full_query())),
        ("request-deferred".to_owned(), request(&deferred_query())),
        ("refused-deferred".to_owned(), acknowledged(Some((UNSUPPORTED_MODE, "deferred answers are not offered")))),
        ("taken-deferred".to_owned(), acknowledged(None)),
        ("revocation".to_owned(), revocation(&Revocation { header: header(), patient: id("P-12", "2.999.1.3") })),
    ];
    for (name, answer) in answers() {
        messages.push((format!("response-{name}"), response(&answer, Some(&query))));
    }
    for (name, message) in messages {
        let (golden, path) = golden(&name);
        if std::env::var_os("CAUSEWAY_GOLDEN").is_some() {
            std::fs::write(&path, format!("{message}\n")).unwrap();
        } else {
            assert_eq!(message, golden.trim_end(), "{}", path.display());
        }
    }
}

#[test]
fn what_is_asked_is_read_again() {
    let query = full_query();
    let text = request(&query);
    let received = with(&text, |node| read_request(node).unwrap());
    assert_eq!(received.query, Ok(query.clone()));
    assert_eq!((received.header, received.query_id), (query.header, Some(query.query_id)));
    // The element given back means the same on its own, whatever prefix it came under.
    let prefixed = text
        .replace("xmlns=", "xmlns:p=")
        .replace("<", "<p:")
        .replace("<p:/", "</p:")
        .replace("<p:queryByParameter xmlns:p=\"urn:hl7-org:v3\">", "<p:queryByParameter>");
    let received = with(&prefixed, |node| read_request(node).unwrap());
    assert_eq!(received.query.as_ref().unwrap().criteria, full_query().criteria);
    let answer = response(&DiscoveryAnswer::NotFound, received.query_by_parameter.as_deref());
    let back = with(&answer, |node| {
        let act = node.child(Ns::Hl7v3, "controlActProcess").unwrap();
        act.child(Ns::Hl7v3, "queryByParameter").unwrap().child(Ns::Hl7v3, "parameterList").is_some()
    });
    assert!(back);
}

#[test]
fn what_is_answered_is_read_again() {
    for (name, answer) in answers() {
        let received = with(&response(&answer, None), |node| read_response(node).unwrap());
        assert_eq!(received.answer, answer, "{name}");
        assert_eq!(received.target, Some(header().message_id));
        assert_eq!(received.query_id, Some(InstanceId::new("2.999.1.11", "q-42")));
        assert_eq!(received.header.sender.unwrap().as_str(), "urn:oid:2.999.2");
    }
}

/// Answers of other makers (§3.55.4.2.2; the field's own habits).
#[test]
fn answers_of_the_field() {
    let found = response(&DiscoveryAnswer::Matches(vec![full_match()]), None);
    let empty = response(&DiscoveryAnswer::NotFound, None).replace("\"NF\"", "\"OK\"");
    let busy = response(&DiscoveryAnswer::unavailable(Problem::ResponderBusy), None);
    let without = |text: &str, from: &str, to: &str| {
        let (start, end) = (text.find(from).unwrap(), text.find(to).unwrap() + to.len());
        format!("{}{}", &text[..start], &text[end..])
    };
    let refused =
        |problem| DiscoveryAnswer::Refused(Refusal { fault: Fault::Application, problem, details: Vec::new() });
    let no_home = PatientMatch { home: None, ..full_match() };
    for (what, text, expected) in [
        ("OK and nobody", empty, DiscoveryAnswer::NotFound),
        ("a subject without an event", found.replace("registrationEvent", "otherEvent"), DiscoveryAnswer::NotFound),
        ("NF beside a match", found.replace("\"OK\"", "\"NF\""), DiscoveryAnswer::NotFound),
        (
            "QE that is accepted",
            busy.replace("typeCode code=\"AE\"", "typeCode code=\"AA\"")
                .replace("queryResponseCode code=\"AE\"", "queryResponseCode code=\"QE\""),
            DiscoveryAnswer::Refused(Refusal {
                fault: Fault::Query,
                problem: Some(Problem::ResponderBusy),
                details: Vec::new(),
            }),
        ),
        (
            "a problem and OK",
            busy.replace("code=\"AE\"", "code=\"AA\"")
                .replace("queryResponseCode code=\"AA\"", "queryResponseCode code=\"OK\""),
            refused(Some(Problem::ResponderBusy)),
        ),
        (
            "a problem of another mood",
            busy.replace(
                "moodCode=\"EVN\"><code code=\"ResponderBusy\"",
                "moodCode=\"RQO\"><code code=\"ResponderBusy\"",
            ),
            refused(Some(Problem::ResponderBusy)),
        ),
        ("an unknown problem", busy.replace("ResponderBusy", "Tired"), refused(None)),
        ("no custodian", without(&found, "<custodian", "</custodian>"), DiscoveryAnswer::Matches(vec![no_home])),
        (
            "a custodian with urn:oid:",
            found.replace("<id root=\"2.999.2\"/><code", "<id root=\"urn:oid:2.999.2\"/><code"),
            DiscoveryAnswer::Matches(vec![full_match()]),
        ),
        (
            "a case as the observation",
            found.replace("\"OBS\"", "\"CASE\""),
            DiscoveryAnswer::Matches(vec![full_match()]),
        ),
        (
            "a typed degree",
            found.replace("xsi:type=\"INT\"", "xmlns:v3=\"urn:hl7-org:v3\" xsi:type=\"v3:INT\""),
            DiscoveryAnswer::Matches(vec![full_match()]),
        ),
    ] {
        assert_eq!(with(&text, read_response).unwrap().answer, expected, "{what}");
    }
    for (what, text) in [
        ("a degree of another type", found.replace("\"INT\"", "\"REAL\"")),
        ("a degree of 101", found.replace("value=\"97\"", "value=\"101\"")),
        (
            "two ids",
            found.replace(
                "<statusCode code=\"active\"/><patientPerson",
                "<id root=\"2.999.9\" extension=\"1\"/><statusCode code=\"active\"/><patientPerson",
            ),
        ),
        ("no id", found.replace("<id root=\"2.999.2.3\" extension=\"P-77\"/>", "")),
        ("half an id", found.replace("extension=\"P-77\"", "")),
        ("a custodian that is no OID", found.replace("<id root=\"2.999.2\"/><code", "<id root=\"x\"/><code")),
        ("no response code", found.replace("queryResponseCode", "otherCode")),
        ("no acknowledgement", without(&found, "<acknowledgement>", "</acknowledgement>")),
        ("another message", request(&full_query())),
    ] {
        assert!(with(&text, read_response).is_err(), "{what}");
    }
}

/// A value that cannot be read is a finding: left out, the query would mean more people.
#[test]
fn findings_in_requests() {
    let good = request(&full_query());
    for (what, text) in [
        ("no message id", good.replacen("<id root=\"2.999.1.10\" extension=\"msg-0001\"/>", "", 1)),
        ("no query id", good.replace("queryId", "otherId")),
        ("no parameters", good.replace("parameterList", "otherList")),
        ("no query", good.replace("queryByParameter", "otherQuery")),
        ("no such day", good.replace("19700131", "19700231")),
        ("an id that is none", good.replace("root=\"2.999.1.3\" extension", "root=\"x\" extension")),
        ("half an id", good.replace(" extension=\"P-12\"", "")),
        ("a name to search by", good.replace("<value><given>Ada", "<value use=\"L SRCH\"><given>Ada")),
        ("an empty name", good.replace("<given>Ada</given><family>Lovelace</family>", "")),
        ("a gender without code", good.replace("<value code=\"F\"", "<value")),
    ] {
        let received = with(&text, |node| read_request(node).unwrap());
        assert!(matches!(&received.query, Err(findings) if !findings.is_empty()), "{what}");
    }
    assert!(with(&response(&DiscoveryAnswer::NotFound, None), read_request).is_err());
}

#[test]
fn requests_of_the_field() {
    let good = request(&full_query());
    let read = |text: &str| with(text, |node| read_request(node).unwrap().query.unwrap());
    let others = |element: &str| good.replace("<parameterList>", &format!("<parameterList>{element}"));
    let care = others("<principalCareProviderId><value root=\"2.999\" extension=\"GP\"/></principalCareProviderId>");
    assert!(read(&care).criteria.others);
    let scope = others("<otherIDsScopingOrganization><value root=\"2.999\"/></otherIDsScopingOrganization>");
    assert_eq!(read(&scope).criteria, full_query().criteria);
    let null =
        others("<patientStatusCode nullFlavor=\"NI\"/>").replace("<value code=\"F\"", "<value nullFlavor=\"UNK\"");
    assert_eq!(read(&null).criteria, Criteria { gender: None, ..full_query().criteria });
    let interval =
        good.replace("<value value=\"19700131\"/>", "<value><low value=\"1970\"/><high value=\"19711231\"/></value>");
    assert_eq!(read(&interval).criteria.birth_time, Some(BirthTime::Between(Some(dtm("1970")), Some(dtm("19711231")))));
    let zoned = good.replace("value=\"19700131\"", "value=\"19700131120000.0+0100\"");
    assert_eq!(read(&zoned).criteria.birth_time, Some(BirthTime::At(dtm("19700131120000"))));
    let person = good.replace("assignedDevice", "assignedPerson");
    assert_eq!(read(&person).requester_domain, full_query().requester_domain);
    let deferred = good.replace("responsePriorityCode code=\"I\"", "responsePriorityCode code=\"D\"");
    assert_eq!(read(&deferred).priority, Priority::Deferred);
    let text = good.replace("<given>Ada</given><family>Lovelace</family>", "Ada Lovelace");
    assert_eq!(read(&text).criteria.names[1].text.as_deref(), Some("Ada Lovelace"));
}

// --- round trips -------------------------------------------------------------------------------

/// A text as reading gives it: not empty, nothing around it that is trimmed.
fn word() -> impl Strategy<Value = String> {
    "[A-Za-z&<>\"'éß–]([A-Za-z&<>\"'éß– ]{0,6}[A-Za-z&<>\"'éß–])?"
}

fn names() -> impl Strategy<Value = PersonName> {
    let parts = (vec(word(), 0..3), vec(word(), 0..3), vec(word(), 0..2), vec(word(), 0..2), word());
    parts.prop_map(|(given, family, prefix, suffix, text)| {
        let mut name = PersonName { given, family, prefix, suffix, text: None };
        if name.is_empty() {
            name.text = Some(text);
        }
        name
    })
}

fn addresses() -> impl Strategy<Value = Address> {
    let part = || option::of(word());
    (vec(word(), 0..3), part(), part(), part(), part(), word()).prop_map(
        |(lines, city, state, postal_code, country, line)| {
            let mut address = Address { lines, city, state, postal_code, country };
            if address.is_empty() {
                address.lines.push(line);
            }
            address
        },
    )
}

fn times() -> impl Strategy<Value = Dtm> {
    (1900..2030_u32, 1..=12_u32, 1..=28_u32, 0..3_usize)
        .prop_map(|(year, month, day, cut)| dtm(&format!("{year:04}{month:02}{day:02}")[..4 + 2 * cut]))
}

fn births() -> impl Strategy<Value = BirthTime> {
    prop_oneof![
        times().prop_map(BirthTime::At),
        (times(), option::of(times())).prop_map(|(low, high)| BirthTime::Between(Some(low), high)),
        times().prop_map(|high| BirthTime::Between(None, Some(high))),
    ]
}

fn ids() -> impl Strategy<Value = PatientId> {
    (word(), 1..9_u8).prop_map(|(extension, arc)| id(&extension, &format!("2.999.{arc}")))
}

fn genders() -> impl Strategy<Value = Gender> {
    "F|M|UN|X".prop_map(|code| Gender::from_code(&code))
}

fn criteria() -> impl Strategy<Value = Criteria> {
    let ids = vec(ids(), 0..4).prop_map(|ids| {
        let mut once: Vec<PatientId> = Vec::new();
        ids.into_iter().for_each(|id| {
            if !once.contains(&id) {
                once.push(id)
            }
        });
        once
    });
    let many = (vec(names(), 0..3), vec(names(), 0..2), vec(addresses(), 0..3), vec(word(), 0..3), vec(word(), 0..2));
    (ids, option::of(births()), option::of(genders()), many).prop_map(
        |(ids, birth_time, gender, (names, mothers_maiden_names, addresses, telecoms, birth_places))| Criteria {
            ids,
            names,
            birth_time,
            gender,
            addresses,
            telecoms,
            mothers_maiden_names,
            birth_places,
            others: false,
        },
    )
}

fn matches() -> impl Strategy<Value = PatientMatch> {
    let person = (vec(names(), 0..3), option::of(times()), option::of(genders()), vec(addresses(), 0..2));
    let more = (vec(word(), 0..2), vec(ids(), 0..3), option::of(names()), option::of(word()));
    (ids(), person, more, option::of(0..=100_u8), any::<bool>(), 1..9_u8).prop_map(
        |(
            id,
            (names, birth_time, gender, addresses),
            (telecoms, other_ids, mothers_maiden_name, birth_place),
            degree,
            is_locator,
            arc,
        )| {
            PatientMatch {
                id,
                home: HomeCommunityId::parse(&format!("urn:oid:2.999.{arc}")).ok(),
                demographics: PatientDemographics {
                    names,
                    birth_time: birth_time.map(BirthTime::At),
                    gender,
                    addresses,
                    telecoms,
                    other_ids,
                    mothers_maiden_name,
                    birth_place,
                },
                degree,
                is_locator,
            }
        },
    )
}

proptest! {
    #[test]
    fn any_revocation_comes_back(patient in ids()) {
        let written = Revocation { header: header(), patient };
        prop_assert_eq!(with(&revocation(&written), read_revocation), Ok(written));
    }

    #[test]
    fn any_query_comes_back(
        criteria in criteria(),
        deferred: bool,
        domain in option::of(1..9_u8),
        respond_to in option::of("https://[a-z]{1,8}\\.example/[a-z&'\"<>]{0,8}"),
    ) {
        let query = DiscoveryQuery {
            requester_domain: domain.map(|arc| Oid::parse(&format!("2.999.{arc}")).unwrap()),
            // An address for answers is for those that come later.
            respond_to: respond_to.filter(|_| deferred),
            priority: if deferred { Priority::Deferred } else { Priority::Immediate },
            criteria,
            ..full_query()
        };
        let received = with(&request(&query), |node| read_request(node).unwrap());
        prop_assert!(received.query == Ok(query));
    }

    #[test]
    fn any_match_comes_back(found in vec(matches(), 1..3)) {
        let answer = DiscoveryAnswer::Matches(found);
        let received = with(&response(&answer, None), |node| read_response(node).unwrap());
        prop_assert!(received.answer == answer);
    }
}
