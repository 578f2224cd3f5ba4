//! ITI-55 with a feed: who asks for a patient tells under which id it knows the patient; what it may tell, who
//! is believed, and that it can be taken back. And the communities of `causeway simulate` as ones to ask.

use std::time::Duration;

use bytes::Bytes;
use causeway::model::discovery::{
    BirthTime, Criteria, DiscoveryQuery, InstanceId, MessageHeader, PatientLocation, Revocation,
};
use causeway::model::ids::{HomeCommunityId, Oid, PatientId};
use causeway::model::response::{ResponseStatus, Severity};
use causeway::model::time::Dtm;
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation};
use causeway::wire::{hl7v3, soap, xcpd};
use http_body_util::{BodyExt, Full};

use crate::discovery::{answered, community, discovery, home, homes, local, locations, name, nhs, peer, person};
use crate::support::*;

const DISCOVER: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:CrossGatewayPatientDiscovery";
const REVOKE: &str = "urn:hl7-org:v3:PRPA_IN201303UV02:CrossGatewayPatientDiscovery";

/// Posts to the Responding Gateway with that certificate.
async fn post_as(certificate: &str, broker: &TestBroker, envelope: Vec<u8>) -> Reply {
    let request = http::Request::post(broker.url("responding-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(Full::new(Bytes::from(envelope)))
        .expect("a request");
    let response = client(certificate).request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    Reply { status, content_type: "application/soap+xml".into(), body }
}

/// An envelope with a header block besides the addressing.
fn with_header(action: &str, header: Option<&str>, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(soap::new_message_id()),
        ..soap::Addressing::default()
    };
    causeway::transport::answer::envelope(soap::Version::V12, &addressing, header, payload)
}

fn created() -> Dtm {
    Dtm::parse("20260301120000").expect("a time")
}

fn ada(n: usize, id: &str) -> String {
    person(&local(n, id), "9990010013", "Ada Meyer", "19700131", "")
}

fn options(more: String) -> Options {
    Options { more, ..Options::default() }
}

/// Gives a broker other settings behind its community's.
fn reload(broker: &TestBroker, n: usize, more: String) {
    let options = Options {
        home: Some(home(n)),
        repository: Some(format!("2.999.901.{n}")),
        patients: "directory = \"people.jsonl\"".into(),
        ..options(more)
    };
    let text = toml(broker.dir.path(), &options);
    let config = causeway::config::Config::from_toml(&text, broker.dir.path()).unwrap_or_else(|e| panic!("{e}"));
    broker.broker.reload(config).expect("a reload");
}

/// Each of two communities asks the other; the second to ask knows already, if the first has fed it.
#[tokio::test]
async fn who_asks_tells_under_which_id_it_knows_the_patient() {
    // Whom we call by authorities of its own is told as well: it is it that recognises us.
    let with_ca = format!("feed = true\nca = \"{}\"", CERTIFICATES.files("ca").client_ca.display());
    for (feed, asked) in [("feed = true", 0), (with_ca.as_str(), 0), ("", 2)] {
        let far = community(2, &ada(2, "P-77"), Options::default()).await;
        far.provide("2.999.902.2", &local(2, "P-77"), b"theirs").await;
        let near = community(1, &ada(1, "A1"), options(peer(2, &far, ""))).await;
        near.provide("2.999.902.1", &local(1, "A1"), b"ours").await;
        reload(&far, 2, peer(1, &near, feed));
        assert_eq!(homes(&far, &local(2, "P-77")).await.0, [home(2), home(1)], "{feed}");
        assert_eq!((answered(&near, "ITI-55"), answered(&near, "ITI-38")), (1, 1));
        // Under its own id, and under the shared number.
        let shared = nhs("9990010013").to_cx();
        for patient in [local(1, "A1"), shared] {
            let (homes, response) = homes(&near, &patient).await;
            // Our own documents are filed under our own id.
            let ours = (patient == local(1, "A1")).then(|| home(1));
            let expected: Vec<_> = ours.into_iter().chain([home(2)]).collect();
            assert_eq!((homes, response.status), (expected, ResponseStatus::Success), "{feed}");
        }
        // Without it each identifier is asked for. What it has asked itself is in its trail too.
        assert_eq!((answered(&far, "ITI-55"), answered(&far, "ITI-38")), (1 + asked, 1 + 2), "{feed}");
        near.broker.stop().await;
        far.broker.stop().await;
    }
}

/// Restricted people are asked for, and nobody is told under which id we know them.
#[tokio::test]
async fn restricted_people_are_fed_to_nobody() {
    let restricted = person(&local(2, "P-77"), "9990010013", "Ada Meyer", "19700131", ",\"restricted\":true");
    let far = community(2, &restricted, Options::default()).await;
    let near = community(1, &ada(1, "A1"), options(peer(2, &far, ""))).await;
    reload(&far, 2, peer(1, &near, "feed = true"));
    homes(&far, &local(2, "P-77")).await;
    assert_eq!((answered(&near, "ITI-55"), locations(&near, &local(1, "A1")).await), (1, vec![]));
}

/// A query for Ada that says under which id its sender knows her.
fn feed(sender: usize, ids: &[PatientId], domain: Option<&str>) -> DiscoveryQuery {
    let query = discovery(Criteria {
        ids: ids.to_vec(),
        names: vec![name("Ada", "Meyer")],
        birth_time: Dtm::parse("19700131").ok().map(BirthTime::At),
        ..Criteria::default()
    });
    DiscoveryQuery {
        header: MessageHeader { sender: HomeCommunityId::parse(&home(sender)).ok(), ..query.header },
        requester_domain: domain.map(|domain| Oid::parse(domain).expect("a domain")),
        ..query
    }
}

fn theirs(id: &str) -> PatientId {
    PatientId::parse(&local(2, id)).expect("a patient")
}

/// A broker that is told of Ada; it has peers 2, at this address, and 3, at another.
async fn told(more: &str) -> (TestBroker, TestBroker) {
    let far = community(2, &ada(2, "P-77"), Options::default()).await;
    let elsewhere = peer(3, &far, "").replace("127.0.0.1", "127.0.0.2");
    let near = community(1, &ada(1, "A1"), options(peer(2, &far, "") + &elsewhere + more)).await;
    (near, far)
}

async fn send_feed(certificate: &str, near: &TestBroker, query: &DiscoveryQuery, time_to_live: Option<&str>) {
    let header = time_to_live.map(|time| {
        format!("<x:CorrelationTimeToLive xmlns:x=\"urn:ihe:iti:xcpd:2009\">{time}</x:CorrelationTimeToLive>")
    });
    let envelope = with_header(DISCOVER, header.as_deref(), |out| hl7v3::write_request(out, query, created(), None));
    let reply = post_as(certificate, near, envelope).await;
    assert!(reply.text().contains("<registrationEvent"), "she is found whatever is kept: {}", reply.text());
}

fn at_two(id: &str) -> Vec<PatientLocation> {
    vec![PatientLocation { home: HomeCommunityId::parse(&home(2)).expect("a home"), id: theirs(id) }]
}

#[tokio::test]
async fn who_is_believed_and_what_is_kept() {
    let (near, far) = told("").await;
    let ours = local(1, "A1");
    let kept = || locations(&near, &ours);
    let (p77, domain) = (theirs("P-77"), "2.999.903.2");
    let mark = Some(domain);
    let good = feed(2, std::slice::from_ref(&p77), mark);
    // Not to be kept: not said how long, said not at all, not marked, of another domain, one of two.
    for (query, time) in [
        (&good, None),
        (&good, Some("PT0S")),
        (&good, Some("-P1D")),
        (&good, Some("soon")),
        (&feed(2, std::slice::from_ref(&p77), None), Some("P1D")),
        (&feed(2, std::slice::from_ref(&p77), Some("2.999.1")), Some("P1D")),
        (&feed(2, &[p77.clone(), theirs("P-78")], mark), Some("P1D")),
    ] {
        send_feed("server", &near, query, time).await;
        assert_eq!(kept().await, [], "{time:?}");
    }
    // Nor from who is not known as the community that the message names: with a certificate of no
    // community; with a good one of one community for another; for one that is nobody's peer.
    send_feed("client", &near, &good, Some("P1D")).await;
    for sender in [3, 4, 1] {
        send_feed("server", &near, &feed(sender, std::slice::from_ref(&p77), mark), Some("P1D")).await;
    }
    assert_eq!(kept().await, []);
    assert_eq!(answered(&far, "ITI-55"), 0);
    // And who says nothing of itself is not taken for who it is.
    let mut nameless = good.clone();
    nameless.header.sender = None;
    send_feed("server", &near, &nameless, Some("P1D")).await;
    assert_eq!(kept().await, []);

    // The shared number may stand beside it. A newer word replaces an older one.
    send_feed("server", &near, &feed(2, &[nhs("9990010013"), p77], mark), Some("P0Y0M7D")).await;
    assert_eq!(kept().await, at_two("P-77"));
    send_feed("server", &near, &feed(2, &[theirs("P-79")], mark), Some("P1D")).await;
    assert_eq!(kept().await, at_two("P-79"));
    // It is what she is asked for by there, without a question. Only the third community cannot be reached.
    let (_, response) = homes(&near, &local(1, "A1")).await;
    assert_eq!(response.errors.len(), 1, "{:?}", response.errors);
    assert_eq!((answered(&far, "ITI-38"), answered(&far, "ITI-55")), (1, 0));
}

/// What a community tells that may not ask is not kept, though a host alone refuses it nothing.
#[tokio::test]
async fn a_community_that_may_not_ask_is_not_believed() {
    let (near, far) = told("").await;
    let ours = local(1, "A1");
    let live = peer(2, &far, "");
    let closed = "state = \"live\"\nchanges = [{ from = \"2020-01-01\", state = \"closed\" }]";
    for (now, expected) in [
        ("state = \"suspended\"", vec![]),
        ("state = \"planned\"", vec![]),
        (closed, vec![]),
        ("state = \"live\"", at_two("P-77")),
    ] {
        reload(&near, 1, live.replace("state = \"live\"", now));
        send_feed("server", &near, &feed(2, &[theirs("P-77")], Some("2.999.903.2")), Some("P1D")).await;
        reload(&near, 1, live.clone());
        assert_eq!(locations(&near, &ours).await, expected, "{now}");
    }
    let serves = live.replace("kind = \"full\"", "kind = \"publish-only\"");
    reload(&near, 1, serves);
    send_feed("server", &near, &feed(2, &[theirs("P-79")], Some("2.999.903.2")), Some("P1D")).await;
    assert_eq!(locations(&near, &ours).await, at_two("P-77"));
}

/// What was asked for counts more than what is told.
#[tokio::test]
async fn an_answer_counts_more_than_a_feed() {
    let (near, far) = told("").await;
    far.provide("2.999.902.2", &local(2, "P-77"), b"theirs").await;
    assert_eq!(homes(&near, &local(1, "A1")).await.0, [home(2)]);
    send_feed("server", &near, &feed(2, &[theirs("P-79")], Some("2.999.903.2")), Some("P1D")).await;
    assert_eq!(locations(&near, &local(1, "A1")).await, at_two("P-77"));
    assert_eq!((homes(&near, &local(1, "A1")).await.0, answered(&far, "ITI-55")), (vec![home(2)], 1));
}

async fn revoke(certificate: &str, near: &TestBroker, sender: usize, patient: PatientId) -> Reply {
    let header = MessageHeader {
        message_id: InstanceId::new("2.999.1.10", "msg-7"),
        sender: HomeCommunityId::parse(&home(sender)).ok(),
        receiver: HomeCommunityId::parse(&home(1)).ok(),
        ..MessageHeader::default()
    };
    let revocation = Revocation { header, patient };
    let envelope = with_header(REVOKE, None, |out| hl7v3::write_revocation(out, &revocation, created()));
    post_as(certificate, near, envelope).await
}

#[tokio::test]
async fn what_was_told_can_be_taken_back_by_who_told_it() {
    for offered in [false, true] {
        let more = if offered { "[discovery]\nrevocation = true\n" } else { "" };
        let (near, _far) = told(more).await;
        send_feed("server", &near, &feed(2, &[theirs("P-77")], Some("2.999.903.2")), Some("P1D")).await;
        let acknowledged = |reply: &Reply, code: &str| {
            let text = reply.text();
            assert!(reply.status == 200 && text.contains(">urn:hl7-org:v3:MCCI_IN000002UV01<"), "{text}");
            assert!(text.contains(&format!("<typeCode code=\"{code}\"/>")) && text.contains("\"msg-7\""), "{text}");
        };
        if !offered {
            let reply = revoke("server", &near, 2, theirs("P-77")).await;
            acknowledged(&reply, "AE");
            assert!(reply.text().contains("NS200"));
            assert_eq!(locations(&near, &local(1, "A1")).await, at_two("P-77"));
            continue;
        }
        for (certificate, sender) in [("client", 2), ("server", 3)] {
            let reply = revoke(certificate, &near, sender, theirs("P-77")).await;
            assert_eq!((reply.status, reply.fault().is_some()), (403, true), "{}", reply.text());
        }
        // Another id takes nothing back, and that there was nothing is not said.
        acknowledged(&revoke("server", &near, 2, theirs("P-78")).await, "AA");
        assert_eq!(locations(&near, &local(1, "A1")).await, at_two("P-77"));
        acknowledged(&revoke("server", &near, 2, theirs("P-77")).await, "AA");
        assert_eq!(locations(&near, &local(1, "A1")).await, []);
        let records = audit_records(&near.broker);
        let revoked = |record: &&String| record.contains("Cross Gateway Patient Discovery (Revoke)");
        let record = records.iter().rfind(revoked).expect("a record");
        assert!(record.contains("csd-code=\"110110\"") && record.contains("EventActionCode=\"D\""), "{record}");
        assert!(record.contains("P-77^^^&amp;2.999.903.2&amp;ISO"), "{record}");
        assert_eq!(records.iter().filter(revoked).count(), 4);
        // What names nobody is no revocation.
        let envelope = with_header(REVOKE, None, |out| {
            out.extend_from_slice(b"<PRPA_IN201303UV02 xmlns=\"urn:hl7-org:v3\" ITSVersion=\"XML_1.0\"/>");
        });
        let reply = post_as("server", &near, envelope).await;
        assert_eq!((reply.status, reply.fault().is_some()), (400, true));
    }
}

/// Simulated communities are asked under which id they know a patient, and answer as they are told to.
#[tokio::test(flavor = "multi_thread")]
async fn simulated_communities_are_asked_for_patients() {
    let settings = Settings {
        communities: 2,
        patients: 3,
        known: 1.0,
        lateness: Duration::from_secs(5),
        ..Settings::new(CERTIFICATES.files("server"))
    };
    let patient = settings.patient(1).expect("a patient");
    let made_up = settings.person(1).expect("a person");
    let simulation = Simulation::start(settings).await.expect("communities");
    let peers = simulation.communities().iter().map(|community| {
        format!(
            "[[peer]]\nname = \"{}\"\nhome_community_id = \"{}\"\nresponding_gateway = \"{}\"\n\
             patient_id = \"discover\"\ntimeout = \"1s\"\n",
            community.name,
            community.home,
            community.url()
        )
    });
    let more: String = peers.collect();
    // How many communities' documents are there, what is said of the second, and how.
    let cases = [
        (None, 2, None),
        (Some(Fault::UnknownPatient), 1, None),
        (Some(Fault::Duplicates), 2, None),
        (Some(Fault::Busy), 1, Some((Severity::Error, "(ResponderBusy)"))),
        (Some(Fault::NotAvailable), 1, Some((Severity::Error, "(AnswerNotAvailable)"))),
        (Some(Fault::MoreWanted), 1, Some((Severity::Warning, "as one of several"))),
        (Some(Fault::TwoMatches), 1, Some((Severity::Warning, "as one of several"))),
        (Some(Fault::OtherQuery), 1, Some((Severity::Error, "one to another query"))),
        (Some(Fault::Html), 1, Some((Severity::Error, "not acceptable"))),
        (Some(Fault::Late), 1, Some((Severity::Error, "did not answer within"))),
    ];
    for (fault, communities, told) in cases {
        simulation.trouble(2, fault.iter().map(|fault| (*fault, 1.0)).collect());
        // A new gateway: nothing is known yet.
        let gateway = TestBroker::start(options(more.clone())).await;
        let (homes, response) = homes(&gateway, &patient.to_cx()).await;
        let homes: std::collections::BTreeSet<_> = homes.into_iter().collect();
        assert_eq!(homes.len(), communities, "{fault:?}: {:?}", response.errors);
        let second = simulation.communities()[1].home.as_str();
        let errors: Vec<_> = response.errors.iter().filter(|e| e.location.as_deref() == Some(second)).collect();
        match told {
            // Duplicates are told of the query behind it.
            None => assert!(errors.iter().all(|error| error.severity == Severity::Warning), "{fault:?}: {errors:?}"),
            Some((severity, words)) => {
                assert!(errors[0].context.contains(words), "{fault:?}: {errors:?}");
                assert_eq!(errors[0].severity, severity, "{fault:?}");
            }
        }
        gateway.broker.stop().await;
    }
    // By hand, with who the patient is made up to be; and where else the data is.
    simulation.trouble(2, Vec::new());
    let ask = |action: &'static str, payload: Vec<u8>| {
        let url = simulation.communities()[1].url();
        async move {
            let envelope = with_header(action, None, |out| out.extend_from_slice(&payload));
            let request = http::Request::post(url)
                .header("content-type", "application/soap+xml; charset=UTF-8")
                .body(Full::new(Bytes::from(envelope)))
                .expect("a request");
            let response = client("client").request(request).await.expect("an answer");
            let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
            Reply { status: 200, content_type: "application/soap+xml".into(), body }
        }
    };
    let query = discovery(Criteria {
        names: made_up.demographics.names.clone(),
        birth_time: made_up.demographics.birth_time.clone(),
        ..Criteria::default()
    });
    let mut payload = Vec::new();
    hl7v3::write_request(&mut payload, &query, created(), None);
    let reply = ask(DISCOVER, payload).await;
    assert!(reply.text().contains(patient.id()), "{}", reply.text());
    let mut payload = Vec::new();
    xcpd::write_location_request(&mut payload, &patient);
    let found = ask("urn:ihe:iti:2009:PatientLocationQuery", payload).await;
    let found = found.read(|node| xcpd::read_location_response(node).expect("locations"));
    let own = PatientLocation { home: simulation.communities()[1].home.clone(), id: patient };
    assert!(found.contains(&own), "{found:?}");
    simulation.stop().await;
}
