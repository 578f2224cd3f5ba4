//! ITI-80 between brokers: documents for a community that a submission names, by header, by slot, or both.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use causeway::model::ids::HomeCommunityId;
use causeway::model::response::{RegistryResponse, ResponseStatus};
use causeway::model::rim::Slot;
use causeway::simulate::fault::Fault;
use causeway::simulate::{Settings, Simulation};
use causeway::wire::{soap, xdr, xdsb};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::gateways::peer;
use crate::support::*;

const PROVIDE: &str = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b";
const CROSS_PROVIDE: &str = "urn:ihe:iti:2015:CrossGatewayDocumentProvide";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
const TYPE: &str = "multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<root@test>\"; start-info=\"application/soap+xml\"";

fn home(n: usize) -> String {
    format!("urn:oid:2.999.910.{n}")
}

fn repository(n: usize) -> String {
    format!("2.999.911.{n}")
}

/// A community; keys before its peers are its listener's.
async fn community(n: usize, more: &str) -> TestBroker {
    with(n, more, Options::default()).await
}

async fn with(n: usize, more: &str, options: Options) -> TestBroker {
    let (home, repository) = (Some(home(n)), Some(repository(n)));
    TestBroker::start(Options { home, repository, more: more.to_owned(), ..options }).await
}

const OPEN: &str = "providers = [\"*\"]\n";

/// Two communities; the first knows the second, which takes what it is sent.
async fn pair(more: &str) -> (TestBroker, TestBroker) {
    let far = community(2, OPEN).await;
    let near = community(1, &peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", more)).await;
    (near, far)
}

/// How a submission names its community.
#[derive(Default, Clone)]
struct Named {
    header: Option<String>,
    slot: Option<String>,
}

impl Named {
    fn by(header: Option<&str>, slot: Option<&str>) -> Self {
        Self { header: header.map(str::to_owned), slot: slot.map(str::to_owned) }
    }
}

/// The root part of a submission with one document of the patient, in a part or somewhere else.
fn root(action: &str, named: &Named, unique_id: &str, content: Option<&str>) -> Vec<u8> {
    let block = |home: &String| {
        let known = HomeCommunityId::parse(home).map(|home| xdr::home_block(&home));
        known.unwrap_or_else(|_| {
            xdr::home_block(&HomeCommunityId::parse("urn:oid:2.9").unwrap()).replace("urn:oid:2.9", home)
        })
    };
    let header: String = named.header.iter().map(block).collect();
    let slots: Vec<_> = named.slot.iter().map(|home| Slot::single("homeCommunityId", home.clone())).collect();
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(soap::new_message_id()),
        ..soap::Addressing::default()
    };
    let objects = submission(unique_id, PATIENT, "text/plain");
    let root = causeway::transport::answer::envelope(soap::Version::V12, &addressing, Some(&header), |out| {
        xdsb::write_provide_with(out, &slots, &objects, &[("entry".to_owned(), "0@test".to_owned())]);
    });
    match content {
        None => root,
        Some(content) => {
            let text = String::from_utf8(root).unwrap();
            let (start, rest) = text.split_once("<xop:Include").unwrap();
            let (_, rest) = rest.split_once("/>").unwrap();
            format!("{start}{content}{rest}").into_bytes()
        }
    }
}

fn packed(root: &[u8], parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = b"--b\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-ID: <root@test>\r\n\r\n".to_vec();
    body.extend_from_slice(root);
    for (id, content) in parts {
        body.extend_from_slice(format!("\r\n--b\r\nContent-ID: <{id}>\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
    }
    body.extend_from_slice(b"\r\n--b--\r\n");
    body
}

async fn provide(broker: &TestBroker, service: &str, named: &Named, unique_id: &str) -> Reply {
    let action = if service == "responding-gateway" { CROSS_PROVIDE } else { PROVIDE };
    let root = root(action, named, unique_id, None);
    broker.post(service, TYPE, packed(&root, &[("0@test", unique_id.as_bytes())])).await
}

fn told(response: &RegistryResponse) -> Vec<(&str, Option<&str>)> {
    response.errors.iter().map(|error| (error.code.as_str(), error.location.as_deref())).collect()
}

async fn holds(broker: &TestBroker, n: usize, unique_id: &str) -> Option<Vec<u8>> {
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(None, &repository(n), unique_id)]));
    broker.post("repository", &content_type, body).await.parts().into_iter().nth(1)
}

#[tokio::test]
async fn a_submission_reaches_the_community_that_it_names() {
    let (near, far) = pair("").await;
    let there = home(2);
    let upper = there.replace("urn:oid", "URN:OID");
    for (number, named) in [
        Named::by(None, Some(&there)),
        Named::by(Some(&there), None),
        Named::by(Some(&there), Some(&there)),
        Named::by(Some(&upper), Some(&there)),
    ]
    .iter()
    .enumerate()
    {
        let unique_id = format!("2.999.912.{number}");
        let reply = provide(&near, "initiating-gateway", named, &unique_id).await;
        assert!(reply.content_type.starts_with("multipart/"), "it answers as it was asked");
        let response = reply.registry();
        assert_eq!((response.status, told(&response)), (ResponseStatus::Success, vec![]), "{number}");
        assert_eq!(holds(&far, 2, &unique_id).await.as_deref(), Some(unique_id.as_bytes()));
        assert_eq!(holds(&near, 1, &unique_id).await, None);
    }
    assert_eq!(far.query(&find(PATIENT)).await.objects.len(), 4);
    assert!(near.query(&find(PATIENT)).await.objects.is_empty());
    // Both sides of it are on record, with the community that it was for.
    let of = |broker: &TestBroker, code: &str| -> Vec<String> {
        let code = format!("csd-code=\"{code}\"");
        audit_records(&broker.broker).into_iter().filter(|record| record.contains(&code)).collect()
    };
    assert_eq!((of(&near, "ITI-41").len(), of(&near, "ITI-80").len(), of(&far, "ITI-80").len()), (4, 4, 4));
    for record in of(&near, "ITI-80").iter().chain(&of(&far, "ITI-80")) {
        assert!(record.contains("urn:ihe:iti:xca:2010:homeCommunityId"), "{record}");
    }
    assert!(
        of(&near, "ITI-80")[0].contains("csd-code=\"110106\"") && of(&far, "ITI-80")[0].contains("csd-code=\"110107\"")
    );
    let text = near.broker.metrics().text();
    assert!(text.contains("ITI-80"), "{text}");
}

#[tokio::test]
async fn either_convention_alone_reaches_it_too() {
    for target_in in ["header", "slot"] {
        let (near, far) = pair(&format!("target_in = \"{target_in}\"")).await;
        let response = provide(&near, "initiating-gateway", &Named::by(None, Some(&home(2))), "2.999.912.1").await;
        assert_eq!(response.registry().status, ResponseStatus::Success, "{target_in}");
        assert!(holds(&far, 2, "2.999.912.1").await.is_some());
    }
}

#[tokio::test]
async fn whom_it_is_for_must_be_said_and_known() {
    let (near, far) = pair("").await;
    let (here, there, nowhere) = (home(1), home(2), home(9));
    let unknown = "XDSUnknownCommunity";
    for (header, slot, code) in [
        (None, None, "XDSMissingHomeCommunityId"),
        (None, Some(""), "XDSMissingHomeCommunityId"),
        (Some(&*nowhere), None, unknown),
        (None, Some(&*nowhere), unknown),
        (Some(&*there), Some(&*here), unknown),
        (Some(&*here), Some(&*there), unknown),
        (Some(&*there), Some("the hospital"), unknown),
    ] {
        let named = Named::by(header, slot);
        for (broker, service, own) in [(&near, "initiating-gateway", &here), (&far, "responding-gateway", &there)] {
            let response = provide(broker, service, &named, "2.999.912.1").await.registry();
            assert_eq!(response.status, ResponseStatus::Failure);
            assert_eq!(told(&response), [(code, Some(own.as_str()))], "{service}: {header:?} {slot:?}");
        }
    }
    // A gateway does not hand on what another gateway sends.
    let response = provide(&far, "responding-gateway", &Named::by(Some(&here), None), "2.999.912.1").await.registry();
    assert_eq!(told(&response), [(unknown, Some(there.as_str()))]);
    // At the repository only what is for others is refused.
    for (named, outcome) in [
        (Named::by(Some(&there), None), Some(unknown)),
        (Named::by(None, Some(&there)), Some(unknown)),
        (Named::by(Some(&here), Some(&here)), None),
    ] {
        let response = provide(&near, "repository", &named, "2.999.912.2").await.registry();
        assert_eq!(told(&response).first().map(|(code, _)| *code), outcome);
    }
    assert!(far.query(&find(PATIENT)).await.objects.is_empty());
    // Ours at the Initiating Gateway is ours; at the Responding Gateway it is a gateway's.
    let response = provide(&near, "initiating-gateway", &Named::by(None, Some(&here)), "2.999.912.3").await;
    assert_eq!(response.registry().status, ResponseStatus::Success);
    assert!(holds(&near, 1, "2.999.912.3").await.is_some());
    let response = provide(&far, "responding-gateway", &Named::by(Some(&there), None), "2.999.912.4").await;
    assert_eq!(response.registry().status, ResponseStatus::Success);
}

#[tokio::test]
async fn nobody_provides_who_is_not_listed() {
    for listed in ["", "providers = [\"somebody else\"]\n"] {
        let far = community(2, listed).await;
        let near = community(1, &peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")).await;
        let named = Named::by(None, Some(&home(2)));
        let refused = provide(&far, "responding-gateway", &named, "2.999.912.1").await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        let response = provide(&near, "initiating-gateway", &named, "2.999.912.1").await.registry();
        assert_eq!(told(&response), [("XDSUnavailableCommunity", Some(home(2).as_str()))]);
        assert!(response.errors[0].context.contains("nothing was delivered"), "{}", response.errors[0].context);
        assert!(far.query(&find(PATIENT)).await.objects.is_empty());
        let records = audit_records(&far.broker);
        assert_eq!(records.iter().filter(|record| record.contains("csd-code=\"ITI-80\"")).count(), 2);
        // What its own sources bring to its repository is another matter.
        far.provide("2.999.912.2", PATIENT, b"ours").await;
    }
}

/// Where only the gateway is served, callers read and no more.
#[tokio::test]
async fn a_listener_without_the_repository_takes_no_submissions() {
    let far = community(2, OPEN).await;
    let more = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    let near = community(1, &format!("services = [\"initiating-gateway\"]\n{more}")).await;
    for named in [home(1), home(2)] {
        let refused = provide(&near, "initiating-gateway", &Named::by(None, Some(&named)), "2.999.912.1").await;
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
    assert!(far.query(&find(PATIENT)).await.objects.is_empty());
}

#[tokio::test]
async fn what_a_community_refuses_is_told_as_it_says_it() {
    let patients = "unknown = \"reject\"".to_owned();
    let far = with(2, OPEN, Options { patients, ..Options::default() }).await;
    let near = community(1, &peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")).await;
    let response =
        provide(&near, "initiating-gateway", &Named::by(None, Some(&home(2))), "2.999.912.1").await.registry();
    assert_eq!(response.status, ResponseStatus::Failure);
    assert_eq!(told(&response), [("XDSUnknownPatientId", Some(home(2).as_str()))]);
}

/// What is wrong with a package shows while it is handed on: nothing of it is kept there.
#[tokio::test]
async fn broken_packages_arrive_nowhere() {
    let (near, far) = pair("").await;
    let named = Named::by(Some(&home(2)), Some(&home(2)));
    let envelope = root(PROVIDE, &named, "2.999.912.1", None);
    let whole = packed(&envelope, &[("0@test", b"letter")]);
    for (wrong, status) in [
        (packed(&envelope, &[]), 400),
        (packed(&envelope, &[("other@test", b"letter")]), 200),
        (packed(&envelope, &[("0@test", b"letter"), ("other@test", b"letter")]), 200),
        (whole[..whole.len() - 9].to_vec(), 400),
        (packed(&root(PROVIDE, &named, "2.999.912.1", Some("no*base64")), &[]), 400),
    ] {
        let reply = near.post("initiating-gateway", TYPE, wrong).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 200 {
            let response = reply.registry();
            assert_eq!(told(&response), [("XDSMissingDocumentMetadata", Some(home(1).as_str()))]);
        }
    }
    assert!(far.query(&find(PATIENT)).await.objects.is_empty());
    // The way there is as good as before; a document may stand in the request itself.
    let inline = packed(&root(PROVIDE, &named, "2.999.912.1", Some("bGV0dGVy")), &[]);
    let response = near.post("initiating-gateway", TYPE, inline).await.registry();
    assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
    assert_eq!(holds(&far, 2, "2.999.912.1").await.as_deref(), Some(b"letter".as_slice()));
}

/// A community that takes a submission and says nothing may have kept it: it is sent once, and that nobody knows
/// is what the source is told.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_may_have_taken_it() {
    let settings = Settings { communities: 1, patients: 0, ..Settings::new(CERTIFICATES.files("server")) };
    let simulation = Simulation::start(settings).await.unwrap();
    let url = simulation.communities()[0].url();
    let near = community(1, &peer("Far", &home(2), &url, "neighbour", "timeout = \"500ms\"")).await;
    let named = Named::by(None, Some(&home(2)));
    for (fault, asked) in [(Fault::Hang, 1), (Fault::Reset, 2)] {
        simulation.trouble(1, vec![(fault, 1.0)]);
        let response = provide(&near, "initiating-gateway", &named, "2.999.912.1").await.registry();
        assert_eq!(told(&response), [("XDSUnavailableCommunity", Some(home(2).as_str()))]);
        let context = &response.errors[0].context;
        assert!(context.contains("not known whether it has taken"), "{context}");
        assert!(!context.contains("127.0.0.1"), "{context}");
        assert_eq!(simulation.communities()[0].counters.requests.load(Ordering::Relaxed), asked);
    }
    let records = audit_records(&near.broker);
    let failed = records.iter().filter(|record| record.contains("csd-code=\"ITI-80\"") && record.contains("not known"));
    assert_eq!(failed.count(), 2);
    // Nobody there at all: nothing was sent.
    simulation.stop().await;
    let response = provide(&near, "initiating-gateway", &named, "2.999.912.1").await.registry();
    assert_eq!(told(&response), [("XDSUnavailableCommunity", Some(home(2).as_str()))]);
    assert!(response.errors[0].context.ends_with("nothing was delivered"), "{}", response.errors[0].context);
}

/// A source that goes away in the middle leaves nothing there, and who hands on is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_off_leaves_nothing_behind() {
    let (near, far) = pair("max_in_flight = 1").await;
    let named = Named::by(Some(&home(2)), None);
    let envelope = packed(&root(PROVIDE, &named, "2.999.912.1", None), &[("0@test", b"")]);
    let head = envelope[..envelope.len() - "\r\n--b--\r\n".len()].to_vec();
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(
            (*causeway::transport::tls::ReloadableClient::new(CERTIFICATES.files("client")).unwrap().config()).clone(),
        )
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new())
        .build::<_, http_body_util::combinators::BoxBody<Bytes, std::io::Error>>(connector);
    let chunks = std::iter::once(Bytes::from(head)).chain((0..64).map(|_| Bytes::from(vec![b'x'; 64 * 1024])));
    let chunks = chunks.map(Ok).chain([Err(std::io::Error::other("gone"))]);
    let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(chunks.map(|c| c.map(Frame::data)))));
    let request = http::Request::post(near.url("initiating-gateway")).header("content-type", TYPE).body(body).unwrap();
    assert!(client.request(request).await.is_err());
    // Its place is given back only when all of it is over.
    let response =
        tokio::time::timeout(Duration::from_secs(30), provide(&near, "initiating-gateway", &named, "2.999.912.2"))
            .await
            .unwrap();
    assert_eq!(response.registry().status, ResponseStatus::Success);
    assert_eq!(far.query(&find(PATIENT)).await.objects.len(), 1);
    assert_eq!(holds(&far, 2, "2.999.912.1").await, None);
}

/// The same message sent again is known again: by us, as the target sees it under the same id.
#[tokio::test]
async fn a_submission_that_is_sent_again_is_one() {
    let (near, far) = pair("").await;
    let root = root(PROVIDE, &Named::by(None, Some(&home(2))), "2.999.912.1", None);
    let body = packed(&root, &[("0@test", b"letter")]);
    for _ in 0..2 {
        let response = near.post("initiating-gateway", TYPE, body.clone()).await.registry();
        assert_eq!((response.status, told(&response)), (ResponseStatus::Success, vec![]));
    }
    assert_eq!(far.query(&find(PATIENT)).await.objects.len(), 1);
}

/// A submission whose source gives its document when the test does, and ends it when the test drops this.
fn begun(
    near: &TestBroker,
    unique_id: &str,
) -> (tokio::sync::mpsc::UnboundedSender<Bytes>, tokio::task::JoinHandle<Reply>) {
    let (more, mut chunks) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let whole = packed(&root(PROVIDE, &Named::by(Some(&home(2)), None), unique_id, None), &[("0@test", b"letter")]);
    let end = whole.len() - "\r\n--b--\r\n".len();
    let (head, tail) = (Bytes::copy_from_slice(&whole[..end]), Bytes::copy_from_slice(&whole[end..]));
    more.send(head).unwrap();
    let chunks = futures_util::stream::poll_fn(move |cx| chunks.poll_recv(cx));
    let chunks = futures_util::StreamExt::chain(chunks, futures_util::stream::iter([tail]));
    let chunks = futures_util::StreamExt::map(chunks, |chunk| Ok::<_, std::io::Error>(Frame::data(chunk)));
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(
            (*causeway::transport::tls::ReloadableClient::new(CERTIFICATES.files("client")).unwrap().config()).clone(),
        )
        .https_only()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new())
        .build::<_, http_body_util::combinators::BoxBody<Bytes, std::io::Error>>(connector);
    let body = BodyExt::boxed(StreamBody::new(chunks));
    let request = http::Request::post(near.url("initiating-gateway")).header("content-type", TYPE).body(body).unwrap();
    let task = tokio::spawn(async move {
        let response = client.request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Reply { status, content_type, body }
    });
    (more, task)
}

/// Slow sources hold places of their own: queries of the same community are answered meanwhile, and only so many wait.
#[tokio::test(flavor = "multi_thread")]
async fn slow_submissions_leave_queries_their_places() {
    let (near, far) = pair("max_in_flight = 2\ntimeout = \"4s\"").await;
    far.provide("2.999.912.9", PATIENT, b"there").await;
    let begun: Vec<_> = ["2.999.912.1", "2.999.912.2"].map(|unique_id| begun(&near, unique_id)).into();
    let held = format!("causeway_places_held{{places=\"{} submissions\",lane=\"ordinary\"}} 2", home(2));
    let began = std::time::Instant::now();
    while !near.broker.metrics().text().contains(&held) {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", near.broker.metrics().text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let everything = find(PATIENT);
    let query = || near.query_at("initiating-gateway", "urn:ihe:iti:2007:RegistryStoredQuery", &everything);
    for response in futures_util::future::join_all((0..4).map(|_| query())).await {
        assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
    }
    let named = Named::by(Some(&home(2)), None);
    let refused = provide(&near, "initiating-gateway", &named, "2.999.912.3").await.registry();
    assert_eq!(told(&refused), [("XDSUnavailableCommunity", Some(home(2).as_str()))]);
    let context = &refused.errors[0].context;
    assert!(context.contains("too many submissions to it are under way"), "{context}");
    assert!(context.ends_with("nothing was delivered"), "{context}");
    for (more, task) in begun {
        assert!(!task.is_finished());
        drop(more);
        assert_eq!(task.await.unwrap().registry().status, ResponseStatus::Success);
    }
    assert_eq!(query().await.objects.len(), 3);
}
