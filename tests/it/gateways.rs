//! ITI-38 and 39 between brokers, and what a consumer gets of a federation in trouble.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use causeway::model::response::ResponseStatus;
use causeway::model::rim::Slot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::*;

const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
const CROSS_RETRIEVE: &str = "urn:ihe:iti:2007:CrossGatewayRetrieve";

pub fn peer(name: &str, home: &str, url: &str, scope: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"{name}\"\nhome_community_id = \"{home}\"\nscope = \"{scope}\"\nkind = \"full\"\nstate = \"live\"\n\
         responding_gateway = \"{url}\"\npatient_id = \"same-domain\"\n{more}\n"
    )
}

pub fn home(n: usize) -> String {
    format!("urn:oid:2.999.900.{n}")
}

fn repository(n: usize) -> String {
    format!("2.999.901.{n}")
}

/// A community with one document of the patient.
pub async fn community(n: usize, more: String) -> TestBroker {
    let broker =
        TestBroker::start(Options { home: Some(home(n)), repository: Some(repository(n)), more, ..Options::default() })
            .await;
    broker.provide(&format!("2.999.902.{n}"), PATIENT, format!("document of community {n}").as_bytes()).await;
    broker
}

#[tokio::test]
async fn a_hospital_asks_once_and_retrieves_from_everywhere() {
    let far = community(2, String::new()).await;
    let near = community(1, peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")).await;

    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    let homes: Vec<_> = unpacked(&response).iter().map(|o| o.common.home.clone().unwrap().into_owned()).collect();
    assert_eq!(homes, [home(1), home(2)]);

    // By id, routed by home; without one it is refused, as is an unknown one.
    let far_id = response.objects[1].uuid().unwrap();
    let mut by_id = get(far_id);
    let refused = near.query_at("initiating-gateway", QUERY, &by_id).await;
    assert_eq!(refused.errors[0].code.as_str(), "XDSMissingHomeCommunityId");
    by_id.home = Some(home(2));
    assert_eq!(near.query_at("initiating-gateway", QUERY, &by_id).await.objects.len(), 1);
    by_id.home = Some(home(99));
    let refused = near.query_at("initiating-gateway", QUERY, &by_id).await;
    assert_eq!(refused.errors[0].code.as_str(), "XDSUnknownCommunity");

    // Both documents in one request, each from its community; the home is echoed as asked.
    let payload = retrieve(&[
        (None, &repository(1), "2.999.902.1"),
        (Some(&home(2)), &repository(2), "2.999.902.2"),
        (Some(&home(2)), &repository(2), "2.999.902.77"),
    ]);
    for multipart in [true, false] {
        let reply = if multipart {
            let (content_type, body) = mtom_request(RETRIEVE, &payload);
            near.post("initiating-gateway", &content_type, body).await
        } else {
            near.call("initiating-gateway", RETRIEVE, |out| out.extend_from_slice(&payload)).await
        };
        let (response, documents) = reply.retrieve();
        assert_eq!(response.status, ResponseStatus::PartialSuccess);
        assert_eq!(response.errors[0].code.as_str(), "XDSDocumentUniqueIdError");
        assert_eq!(response.errors[0].location.as_deref(), Some(home(2).as_str()));
        assert_eq!(documents.iter().map(|d| d.1.clone()).collect::<Vec<_>>(), [None, Some(home(2))]);
        if multipart {
            assert_eq!(reply.parts()[1..], [b"document of community 1".to_vec(), b"document of community 2".to_vec()]);
        }
    }
    // Both sides of each cross-gateway transaction are audited.
    for (broker, codes) in [(&near, ["ITI-18", "ITI-38", "ITI-39", "ITI-43"].as_slice()), (&far, &["ITI-38", "ITI-39"])]
    {
        let records = audit_records(&broker.broker);
        for code in codes {
            assert!(records.iter().any(|record| record.contains(&format!("csd-code=\"{code}\""))), "{code}");
        }
    }
}

#[tokio::test]
async fn a_responding_gateway_stamps_and_demands_homes() {
    let broker = community(1, String::new()).await;
    let response = broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
    assert_eq!(unpacked(&response)[0].common.home.as_deref(), Some(home(1).as_str()));
    let mut references = find(PATIENT);
    references.return_type = Some("ObjectRef".into());
    let response = broker.query_at("responding-gateway", CROSS_QUERY, &references).await;
    assert_eq!(unpacked(&response)[0].common.home.as_deref(), Some(home(1).as_str()));
    let payload = retrieve(&[(None, &repository(1), "2.999.902.1")]);
    let (content_type, body) = mtom_request(CROSS_RETRIEVE, &payload);
    let (response, _) = broker.post("responding-gateway", &content_type, body).await.retrieve();
    assert_eq!(response.errors[0].code.as_str(), "XDSMissingHomeCommunityId");
    assert_eq!(response.errors[0].location.as_deref(), Some(home(1).as_str()));
}

/// What a gateway cannot send on it refuses; a query's errors have its own home as the location.
#[tokio::test]
async fn requests_that_lead_nowhere() {
    let broker = community(1, String::new()).await;
    let mut unknown = find(PATIENT);
    unknown.id = "urn:uuid:00000000-0000-4000-8000-000000000001".into();
    let mut elsewhere = find(PATIENT);
    elsewhere.home = Some(home(9));
    let mut targets = find(PATIENT);
    targets.slots.push(Slot::single("$targetCommunityIdList", format!("('{}','{}')", home(1), home(9))));
    let by_id = get(causeway::model::ids::EntryUuid([1; 16]));
    for (service, action, query, code) in [
        ("initiating-gateway", QUERY, &unknown, "XDSUnknownStoredQuery"),
        ("initiating-gateway", QUERY, &elsewhere, "XDSUnknownCommunity"),
        ("initiating-gateway", QUERY, &targets, "XDSUnknownCommunity"),
        ("initiating-gateway", QUERY, &by_id, "XDSMissingHomeCommunityId"),
        ("responding-gateway", CROSS_QUERY, &unknown, "XDSUnknownStoredQuery"),
        ("responding-gateway", CROSS_QUERY, &elsewhere, "XDSUnknownCommunity"),
        ("responding-gateway", CROSS_QUERY, &by_id, "XDSMissingHomeCommunityId"),
    ] {
        let response = broker.query_at(service, action, query).await;
        let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
        assert_eq!(told, [(code, Some(home(1).as_str()))], "{service}");
        // Who is known and asked still answers.
        assert_eq!(response.objects.len(), usize::from(std::ptr::eq(query, &targets)));
    }
    let payload = retrieve(&[(Some(&home(9)), &repository(9), "2.999.902.9")]);
    for (service, action) in [("initiating-gateway", RETRIEVE), ("responding-gateway", CROSS_RETRIEVE)] {
        let (content_type, body) = mtom_request(action, &payload);
        let (response, documents) = broker.post(service, &content_type, body).await.retrieve();
        assert_eq!((response.errors[0].code.as_str(), documents.len()), ("XDSUnknownCommunity", 0), "{service}");
    }
    // A restricted update of another's metadata, or of nobody's.
    for (of, code) in [(None, "XDSMissingHomeCommunityId"), (Some(home(9)), "XDSUnknownCommunity")] {
        let mut objects = submission("2.999.902.1", PATIENT, "text/plain");
        objects[0].common.home = of.map(Into::into);
        let reply = broker
            .call("responding-gateway", "urn:ihe:iti:2018:RestrictedUpdateDocumentSet", |out| {
                causeway::wire::ebrs::write_submit(out, &objects);
            })
            .await;
        assert_eq!(reply.registry().errors[0].code.as_str(), code);
    }
}

#[tokio::test]
async fn a_hub_answers_for_its_members_and_never_for_neighbours() {
    let member = community(2, String::new()).await;
    let neighbour = community(3, String::new()).await;
    let hub = community(
        1,
        peer("Member", &home(2), &member.url("responding-gateway"), "member", "")
            + &peer("Neighbour", &home(3), &neighbour.url("responding-gateway"), "neighbour", ""),
    )
    .await;
    let response = hub.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
    let homes: Vec<_> = unpacked(&response).iter().map(|o| o.common.home.clone().unwrap().into_owned()).collect();
    assert_eq!(homes, [home(1), home(2)], "a request of another gateway goes to members at most");
    let payload =
        retrieve(&[(Some(&home(2)), &repository(2), "2.999.902.2"), (Some(&home(3)), &repository(3), "2.999.902.3")]);
    let (content_type, body) = mtom_request(CROSS_RETRIEVE, &payload);
    let reply = hub.post("responding-gateway", &content_type, body).await;
    let (response, documents) = reply.retrieve();
    assert_eq!((documents.len(), response.errors[0].code.as_str()), (1, "XDSUnknownCommunity"));
    assert_eq!(reply.parts()[1], b"document of community 2");
}

/// Tells a running community whom to ask.
fn introduce(broker: &TestBroker, peers: String) {
    let text = toml(broker.dir.path(), &Options { more: peers, ..Options::default() });
    let config = causeway::config::Config::from_toml(&text, broker.dir.path()).expect("a configuration");
    broker.broker.set_peers(config.peers).expect("peers that can be used");
}

#[tokio::test]
async fn gateways_that_take_each_other_for_members_do_not_ask_in_circles() {
    let communities = [community(1, String::new()).await, community(2, String::new()).await];
    let third = community(3, String::new()).await;
    let [first, second] = &communities;
    let member =
        |broker: &TestBroker, n: usize| peer("Other", &home(n), &broker.url("responding-gateway"), "member", "");
    introduce(first, member(second, 2));
    introduce(second, member(first, 1) + &member(&third, 3));
    introduce(&third, member(first, 1));

    let response = first.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    let homes: Vec<_> = unpacked(&response).iter().map(|o| o.common.home.clone().unwrap().into_owned()).collect();
    assert_eq!(homes, [home(1), home(2), home(3)]);
    let asked = |broker: &TestBroker| {
        let records = audit_records(&broker.broker);
        records.iter().filter(|record| record.contains("csd-code=\"ITI-38\"")).count()
    };
    // What lies behind a neighbour is asked for by way of it, with the home that the answer gave.
    let mut by_id = get(response.objects[2].uuid().unwrap());
    by_id.home = Some(home(3));
    assert_eq!(first.query_at("initiating-gateway", QUERY, &by_id).await.objects.len(), 1);
    let payload = retrieve(&[(Some(&home(3)), &repository(3), "2.999.902.3")]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let reply = first.post("initiating-gateway", &content_type, body).await;
    assert_eq!(reply.parts()[1..], [b"document of community 3".to_vec()]);
    // Each pair once for the first query, and once more for the second: an outbound record of who asked, an inbound one of who was asked.
    assert_eq!([asked(first), asked(second), asked(&third)], [2, 4, 2]);
}

#[tokio::test]
async fn a_suspended_community_is_not_asked_even_by_name() {
    let far = community(2, String::new()).await;
    let entry = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    let near = community(1, entry.replace("\"live\"", "\"suspended\"")).await;
    let mut query = find(PATIENT);
    query.home = Some(home(2));
    let response = near.query_at("initiating-gateway", QUERY, &query).await;
    assert_eq!(response.status, ResponseStatus::Failure);
    let payload = retrieve(&[(Some(&home(2)), &repository(2), "2.999.902.2")]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let (retrieved, documents) = near.post("initiating-gateway", &content_type, body).await.retrieve();
    assert!(documents.is_empty());
    for error in [&response.errors[0], &retrieved.errors[0]] {
        assert_eq!(error.code.as_str(), "XDSUnavailableCommunity");
        assert_eq!(error.location.as_deref(), Some(home(2).as_str()));
    }
    assert!(!audit_records(&far.broker).iter().any(|record| record.contains("ITI-38") || record.contains("ITI-39")));
}

/// A community is what its configuration says of the day; one behind it is reached by its own identity.
#[tokio::test]
async fn states_have_their_days_and_nodes_are_reached_through_their_community() {
    let far = community(2, String::new()).await;
    let entry = |changes: &str| peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", changes);
    for (changes, objects, told) in [
        ("changes = [{ from = \"2020-01-01\", state = \"suspended\" }]", 1, "is suspended since 2020-01-01"),
        ("changes = [{ from = \"2100-01-01\", state = \"closed\" }]", 2, ""),
    ] {
        let near = community(1, entry(changes)).await;
        let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, objects), "{changes}");
        assert!(response.errors.first().map_or(told.is_empty(), |error| error.context.contains(told)));
        near.broker.stop().await;
    }
    // Asked on by the identity of a node, it goes to the community that the node belongs to.
    let node = format!("nodes = [{{ name = \"Ward\", home_community_id = \"{}.7\" }}]", home(2));
    let near = community(1, entry(&node)).await;
    let mut query = find(PATIENT);
    query.home = Some(format!("{}.7", home(2)));
    let response = near.query_at("initiating-gateway", QUERY, &query).await;
    let told = response.errors.first().map(|error| (error.code.as_str(), error.location.as_deref()));
    assert_eq!(told, Some(("XDSUnknownCommunity", Some(home(2).as_str()))), "its own gateway says that it has none");
    query.home = Some(format!("{}.8", home(2)));
    let response = near.query_at("initiating-gateway", QUERY, &query).await;
    assert_eq!(response.errors[0].location.as_deref(), Some(home(1).as_str()), "nobody has that one");
}

/// Who is suspended is missing from an answer, and is named; who is closed was in it once.
#[tokio::test]
async fn a_community_that_is_not_asked_is_a_warning_to_all() {
    let far = community(2, String::new()).await;
    let entry = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    for (state, warned) in [("suspended", true), ("planned", true), ("closed", false)] {
        let near = community(1, entry.replace("\"live\"", &format!("\"{state}\""))).await;
        let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1));
        let told: Vec<_> =
            response.errors.iter().map(|e| (e.code.as_str(), e.severity, e.location.clone().unwrap())).collect();
        let warning = ("XDSUnavailableCommunity", causeway::model::response::Severity::Warning, home(2));
        assert_eq!(told, if warned { vec![warning] } else { vec![] }, "{state}");
        near.broker.stop().await;
    }
}

#[tokio::test]
async fn a_target_that_is_not_asked_is_named() {
    let far = community(2, String::new()).await;
    let entry = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    for state in ["suspended", "closed", "planned"] {
        let near = community(1, entry.replace("\"live\"", &format!("\"{state}\""))).await;
        let mut query = find(PATIENT);
        let homes = format!("('{}','{}')", home(1), home(2));
        query.slots.push(Slot::single("$targetCommunityIdList", homes));
        let response = near.query_at("initiating-gateway", QUERY, &query).await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::PartialSuccess, 1));
        assert_eq!(response.errors[0].code.as_str(), "XDSUnavailableCommunity");
        assert_eq!(response.errors[0].location.as_deref(), Some(home(2).as_str()));
        near.broker.stop().await;
    }
}

#[tokio::test]
async fn a_request_that_has_passed_many_gateways_says_whom_it_did_not_reach() {
    let member = community(2, String::new()).await;
    let hub = community(1, peer("Member", &home(2), &member.url("responding-gateway"), "member", "")).await;
    let query = envelope(CROSS_QUERY, |out| causeway::wire::ebrs::write_query(out, &find(PATIENT)));
    for (passed, reached) in [(3, true), (4, false)] {
        let via: Vec<_> = (0..passed).map(|n| home(10 + n)).collect();
        let request = http::Request::post(hub.url("responding-gateway"))
            .header("content-type", "application/soap+xml; charset=UTF-8")
            .header("x-causeway-via", via.join(","))
            .body(http_body_util::Full::new(query.clone().into()))
            .unwrap();
        let response = hub.client.request(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let reply = Reply { status: 200, content_type: "application/soap+xml".into(), body };
        let response = reply.query();
        assert_eq!(response.objects.len(), if reached { 2 } else { 1 });
        let missing: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.clone().unwrap())).collect();
        let expected = if reached { vec![] } else { vec![("XDSUnavailableCommunity", home(2))] };
        assert_eq!(missing, expected);
    }
}

/// A broker with a query under way at a community that hangs.
async fn waiting_for_a_community(limits: &str) -> (TestBroker, tokio::task::JoinHandle<()>) {
    let url = misbehaving(Fault::Hang).await;
    let near = TestBroker::start(Options {
        home: Some(home(1)),
        repository: Some(repository(1)),
        more: peer("Hangs", &home(2), &url, "neighbour", "timeout = \"60s\""),
        limits: format!("request_deadline = \"60s\"\ndrain = \"1s\"\n{limits}"),
        ..Options::default()
    })
    .await;
    let body = envelope(QUERY, |out| causeway::wire::ebrs::write_query(out, &find(PATIENT)));
    let request = http::Request::post(near.url("initiating-gateway"))
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(http_body_util::Full::new(body.into()))
        .unwrap();
    let asking = near.client.request(request);
    (near, tokio::spawn(async move { drop(asking.await) }))
}

/// Who finds no place is told so at once, with the code of what was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_broker_says_that_it_is_busy() {
    let (near, asking) = waiting_for_a_community("in_flight = 1").await;
    // Once the neighbour is being asked, the only place is taken.
    let began = Instant::now();
    loop {
        let busy = near.query(&find(PATIENT)).await.errors.first().map(|error| error.code.as_str().to_owned());
        if busy.as_deref() == Some("XDSRegistryBusy") {
            break;
        }
        assert!(busy.is_none() && began.elapsed() < Duration::from_secs(20), "{busy:?}");
    }
    let payload = retrieve(&[(None, &repository(1), "2.999.902.1")]);
    for (service, action) in [("repository", RETRIEVE), ("initiating-gateway", RETRIEVE)] {
        let (content_type, body) = mtom_request(action, &payload);
        let (response, _) = near.post(service, &content_type, body).await.retrieve();
        assert_eq!(response.errors[0].code.as_str(), "XDSRepositoryBusy", "{service}");
    }
    // A gateway says whose it is.
    let response = near.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await;
    let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
    assert_eq!(told, [("XDSRegistryBusy", Some(home(1).as_str()))]);
    // Submissions have places of their own.
    near.provide("2.999.902.1", PATIENT, b"letter").await;
    asking.abort();
    near.broker.stop().await;
}

/// Who stops does not wait for a community that hangs, and what it broke off is on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_no_community() {
    let (near, asking) = waiting_for_a_community("").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    near.broker.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "stopped after {:?}", began.elapsed());
    asking.await.unwrap();
    let records = records_in(&near.dir.path().join("data/audit"));
    for code in ["ITI-18", "ITI-38"] {
        assert!(records.iter().any(|record| record.contains(&format!("csd-code=\"{code}\""))), "{code}: {records:?}");
    }
}

#[tokio::test]
async fn a_community_that_stops_is_named_and_the_others_are_there() {
    let far = community(2, String::new()).await;
    let near = community(1, peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")).await;
    far.broker.stop().await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    assert_eq!(response.objects.len(), 1);
    assert_eq!(response.errors[0].code.as_str(), "XDSUnavailableCommunity");
    assert_eq!(response.errors[0].location.as_deref(), Some(home(2).as_str()));
    // Its documents too: the error lists what was not had.
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(Some(&home(2)), &repository(2), "2.999.902.2")]));
    let (response, _) = near.post("initiating-gateway", &content_type, body).await.retrieve();
    assert_eq!(response.status, ResponseStatus::Failure);
    assert!(response.errors[0].context.contains("2.999.902.2"), "{:?}", response.errors);
}

/// How a community misbehaves.
#[derive(Clone, Copy)]
enum Fault {
    Hang,
    Reset,
    Garbage,
    Dribble,
}

/// A community with good certificates and bad manners.
async fn misbehaving(fault: Fault) -> String {
    let tls = causeway::transport::tls::ReloadableServer::new(CERTIFICATES.files("server")).expect("server settings");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://127.0.0.1:{}/services/responding-gateway", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = tls.acceptor();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                match fault {
                    Fault::Hang => tokio::time::sleep(Duration::from_secs(120)).await,
                    Fault::Reset => {
                        // Closing with unread data and no goodbye is a reset on the wire.
                        let (tcp, _) = stream.into_inner();
                        let _ = tcp.set_zero_linger();
                    }
                    Fault::Garbage => {
                        let _ = stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 26\r\n\r\n<html>no gateway here<br/>")
                            .await;
                        let _ = stream.flush().await;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    Fault::Dribble => {
                        let head =
                            b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 100000\r\n\r\n";
                        let _ = stream.write_all(head).await;
                        for _ in 0..120 {
                            if stream.write_all(b"<").await.is_err() || stream.flush().await.is_err() {
                                return;
                            }
                            tokio::time::sleep(Duration::from_secs(1)).await;
                        }
                    }
                }
            });
        }
    });
    url
}

/// A Success with these objects.
pub fn answer_with(objects: &str) -> String {
    format!(
        r#"<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><AdhocQueryResponse
        xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0"
        status="urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success"><RegistryObjectList
        xmlns="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0">{objects}</RegistryObjectList></AdhocQueryResponse></s:Body></s:Envelope>"#
    )
}

/// A community that counts what comes, and answers with nothing found, but only what `answers` lets it:
/// it is told which connection it is, and which request on that.
async fn counting(answers: fn(usize, usize) -> bool) -> (String, Arc<Mutex<Vec<(usize, usize)>>>) {
    answering(answer_with(""), answers).await
}

/// The same with another answer.
pub async fn answering(answer: String, answers: fn(usize, usize) -> bool) -> (String, Arc<Mutex<Vec<(usize, usize)>>>) {
    let tls = causeway::transport::tls::ReloadableServer::new(CERTIFICATES.files("server")).expect("server settings");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://127.0.0.1:{}/services/responding-gateway", listener.local_addr().unwrap().port());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        for connection in 1.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (acceptor, seen, answer) = (tls.acceptor(), Arc::clone(&kept), answer.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                for request in 1.. {
                    let mut received = Vec::new();
                    while !received.ends_with(b"Envelope>") {
                        match stream.read_buf(&mut received).await {
                            Ok(0) | Err(_) => return,
                            Ok(_) => {}
                        }
                    }
                    seen.lock().unwrap().push((connection, request));
                    if !answers(connection, request) {
                        return;
                    }
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: {}\r\n\r\n",
                        answer.len()
                    );
                    let _ = stream.write_all((head + &answer).as_bytes()).await;
                    let _ = stream.flush().await;
                }
            });
        }
    });
    (url, seen)
}

/// What a community says of another patient than the one asked for reaches nobody.
#[tokio::test]
async fn objects_of_another_patient_are_left_out() {
    let entry = |n: usize, patient: &str| {
        format!(
            r#"<ExtrinsicObject id="urn:uuid:00000000-0000-4000-8000-00000000000{n}" home="{}" mimeType="text/plain"
            objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
            status="urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"><ExternalIdentifier id="p{n}"
            registryObject="urn:uuid:00000000-0000-4000-8000-00000000000{n}" value="{patient}"
            identificationScheme="urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"><Name><LocalizedString
            value="XDSDocumentEntry.patientId"/></Name></ExternalIdentifier></ExtrinsicObject>"#,
            home(2)
        )
    };
    let (id, _) = PATIENT.split_once('^').unwrap();
    let theirs = format!("{id}^^^LOCAL&amp;2.999.77&amp;ISO");
    let other = format!("{id}0^^^&amp;2.999.77&amp;ISO");
    // One that does not say whose it is is nobody's.
    let nobodys = entry(4, "").replace("urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427", "urn:uuid:another");
    let objects = [entry(1, &PATIENT.replace('&', "&amp;")), entry(2, &other), entry(3, &theirs), nobodys].concat();
    let (url, _) = answering(answer_with(&objects), |_, _| true).await;
    let near = community(1, peer("Far", &home(2), &url, "neighbour", "")).await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    let far: Vec<_> = response.objects.iter().filter_map(|object| object.uuid()).map(|id| id.to_string()).collect();
    assert!(far.iter().any(|id| id.ends_with("01")) && far.iter().any(|id| id.ends_with("03")), "{far:?}");
    assert_eq!(far.len(), 3, "and our own: {far:?}");
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    let error = &response.errors[0];
    assert!(error.context.contains("2 objects of another patient") && !error.context.contains(id), "{error:?}");
    assert_eq!(error.location.as_deref(), Some(&*home(2)));
}

/// A connection that was kept breaks off when it is used again: the query is sent once more on a new
/// one, and no more than once.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_sent_once_more_on_a_new_connection() {
    // The first connection breaks off at its second request, all others before they answer.
    let (url, seen) = counting(|connection, request| connection == 1 && request == 1 || connection == 2).await;
    let near = community(1, peer("Far", &home(2), &url, "neighbour", "")).await;
    for _ in 0..2 {
        let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
    }
    assert_eq!(*seen.lock().unwrap(), [(1, 1), (1, 2), (2, 1)]);
    let (url, seen) = counting(|_, _| false).await;
    let near = community(3, peer("Far", &home(4), &url, "neighbour", "")).await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.errors[0].code.as_str(), "XDSUnavailableCommunity");
    assert_eq!(*seen.lock().unwrap(), [(1, 1), (2, 1)]);
}

/// A community that has not answered several times is not waited for, until a probe is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_community_that_does_not_answer_is_not_waited_for() {
    let (url, seen) = counting(|connection, _| connection > 6).await;
    let near = TestBroker::start(Options {
        home: Some(home(100)),
        repository: Some(repository(100)),
        more: peer("Far", &home(2), &url, "neighbour", ""),
        limits: "breaker_failures = 3\nbreaker_pause = \"1s\"".into(),
        ..Options::default()
    })
    .await;
    near.provide("2.999.902.100", PATIENT, b"ours").await;
    let query = find(PATIENT);
    let ask = || near.query_at("initiating-gateway", QUERY, &query);
    for _ in 0..3 {
        let response = ask().await;
        assert!(response.errors[0].context.contains("could not be reached"), "{:?}", response.errors);
    }
    assert_eq!(seen.lock().unwrap().len(), 6, "each was sent twice");
    for _ in 0..5 {
        let response = ask().await;
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::PartialSuccess, 1));
        let error = &response.errors[0];
        assert!(error.context.contains("has not answered lately"), "{error:?}");
        assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSUnavailableCommunity", Some(&*home(2))));
    }
    assert_eq!(seen.lock().unwrap().len(), 6, "and none of these");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..2 {
        assert_eq!(ask().await.status, ResponseStatus::Success);
    }
    assert_eq!(seen.lock().unwrap().len(), 8);
}

/// More requests than may wait for a community are told at once, not when their time is up.
#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_wait_for_a_community() {
    let url = misbehaving(Fault::Hang).await;
    let near = TestBroker::start(Options {
        home: Some(home(100)),
        repository: Some(repository(100)),
        more: peer("Far", &home(2), &url, "neighbour", "timeout = \"2s\"\nmax_in_flight = 1"),
        limits: "peer_queue = 2".into(),
        ..Options::default()
    })
    .await;
    let near = Arc::new(near);
    let began = Instant::now();
    let asked: Vec<_> = (0..6)
        .map(|_| {
            let near = Arc::clone(&near);
            tokio::spawn(async move {
                let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
                (response.errors[0].context.clone(), began.elapsed())
            })
        })
        .collect();
    let mut waited = Vec::new();
    for asked in asked {
        let (why, after) = asked.await.unwrap();
        if after < Duration::from_secs(1) {
            assert!(why.contains("too many requests wait for it"), "{why}");
        } else {
            waited.push(why);
        }
    }
    assert_eq!(waited.len(), 3, "one under way and two that wait: {waited:?}");
}

/// Twelve communities: one hangs, one resets, one answers garbage, one dribbles a byte a second.
/// With our own that makes nine that answer: eight of the twelve and ours.
#[tokio::test(flavor = "multi_thread")]
async fn twelve_communities_four_of_them_in_trouble() {
    let deadline = Duration::from_secs(3);
    let faults = [(2, Fault::Hang), (5, Fault::Reset), (8, Fault::Garbage), (11, Fault::Dribble)];
    let (mut peers, mut alive) = (String::new(), Vec::new());
    for n in 1..=12 {
        let url = match faults.iter().find(|(at, _)| *at == n) {
            Some((_, fault)) => misbehaving(*fault).await,
            None => {
                let broker = community(n, String::new()).await;
                let url = broker.url("responding-gateway");
                alive.push(broker);
                url
            }
        };
        peers += &peer(&format!("Community {n}"), &home(n), &url, "neighbour", "timeout = \"60s\"");
    }
    let near = TestBroker::start(Options {
        home: Some(home(100)),
        repository: Some(repository(100)),
        more: peers,
        limits: "request_deadline = \"3s\"\nretrieve_deadline = \"3s\"".into(),
        ..Options::default()
    })
    .await;
    near.provide("2.999.902.100", PATIENT, b"ours").await;

    let began = Instant::now();
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    let took = began.elapsed();
    assert!(took < deadline + Duration::from_millis(250), "answered after {took:?}");
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    let found: Vec<_> = unpacked(&response).iter().map(|o| o.common.home.clone().unwrap().into_owned()).collect();
    let expected: Vec<_> = std::iter::once(100).chain([1, 3, 4, 6, 7, 9, 10, 12]).map(home).collect();
    assert_eq!(found, expected, "nine communities' documents, in configured order");
    let missing: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.clone().unwrap())).collect();
    let expected: Vec<_> = faults.iter().map(|(n, _)| ("XDSUnavailableCommunity", home(*n))).collect();
    assert_eq!(missing, expected, "each that did not deliver is named");

    // The same of documents: what can be had is had, in time.
    let wanted: Vec<(String, String, String)> =
        (1..=12).map(|n| (home(n), repository(n), format!("2.999.902.{n}"))).collect();
    let requests: Vec<_> = wanted.iter().map(|(h, r, u)| (Some(h.as_str()), r.as_str(), u.as_str())).collect();
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&requests));
    let began = Instant::now();
    let reply = near.post("initiating-gateway", &content_type, body).await;
    assert!(began.elapsed() < deadline + Duration::from_millis(250), "retrieved after {:?}", began.elapsed());
    let (response, documents) = reply.retrieve();
    assert_eq!((response.status, documents.len()), (ResponseStatus::PartialSuccess, 8));
    assert_eq!(response.errors.len(), 4);
    assert_eq!(reply.parts().len(), 9);
}

/// A broken-off document is a visible truncation, never a forged whole.
#[tokio::test]
async fn a_document_that_breaks_off_breaks_the_answer() {
    let far = community(2, String::new()).await;
    let near = community(1, peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")).await;
    // Damage the stored bytes behind the broker's back.
    let big: Vec<u8> = (0..600_000_u32).map(|n| n as u8).collect();
    far.provide("2.999.902.22", PATIENT, &big).await;
    damage(&far.dir.path().join("data/documents/objects"), big.len() as u64);
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(Some(&home(2)), &repository(2), "2.999.902.22")]));
    let request = http::Request::post(near.url("initiating-gateway"))
        .header("content-type", content_type)
        .body(http_body_util::Full::new(body.into()))
        .unwrap();
    let response = near.client.request(request).await.unwrap();
    let whole = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(whole.is_err(), "the answer must not end as if it were whole");
    // The failure is on record where it happened.
    let records = audit_records(&far.broker);
    assert!(records.iter().any(|record| record.contains("broken off")));
}

/// Where several communities deliver, one that breaks off is an error beside the others' documents.
#[tokio::test]
async fn a_community_that_breaks_off_spoils_no_others_documents() {
    let (bad, good) = (community(2, String::new()).await, community(3, String::new()).await);
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    bad.provide("2.999.902.22", PATIENT, &big).await;
    good.provide("2.999.902.33", PATIENT, &big).await;
    damage(&bad.dir.path().join("data/documents/objects"), big.len() as u64);
    let near = community(
        1,
        peer("Bad", &home(2), &bad.url("responding-gateway"), "neighbour", "")
            + &peer("Good", &home(3), &good.url("responding-gateway"), "neighbour", ""),
    )
    .await;
    let payload = retrieve(&[
        (Some(&home(2)), &repository(2), "2.999.902.2"),
        (Some(&home(2)), &repository(2), "2.999.902.22"),
        (Some(&home(3)), &repository(3), "2.999.902.33"),
        (None, &repository(1), "2.999.902.1"),
    ]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let reply = near.post("initiating-gateway", &content_type, body).await;
    let (response, documents) = reply.retrieve();
    assert_eq!(response.status, ResponseStatus::PartialSuccess);
    let ids: Vec<_> = documents.iter().map(|d| d.0.as_str()).collect();
    assert_eq!(ids, ["2.999.902.2", "2.999.902.33", "2.999.902.1"]);
    let contents = [b"document of community 2".to_vec(), big, b"document of community 1".to_vec()];
    assert!(reply.parts()[1..] == contents, "each document with its own bytes");
    let [error] = &response.errors[..] else { panic!("{:?}", response.errors) };
    assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSUnavailableCommunity", Some(home(2).as_str())));
    assert!(error.context.contains("2.999.902.22"), "{error:?}");
}

fn damage(folder: &std::path::Path, size: u64) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            damage(&path, size);
        } else if entry.metadata().unwrap().len() == size {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
}
