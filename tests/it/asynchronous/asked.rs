//! Others ask, and have our answers sent elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::ids::HomeCommunityId;
use causeway::model::response::ResponseStatus;
use causeway::wire::{ebrs, soap, xdr, xdsb, xml};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

use super::{CROSS_QUERY, QUERY, assert_fault};
use crate::support::*;

const CROSS_RETRIEVE: &str = "urn:ihe:iti:2007:CrossGatewayRetrieve";
const PROVIDE: &str = "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b";

/// A place where answers are sent.
pub struct Inbox {
    pub url: String,
    pub connections: Arc<AtomicUsize>,
    received: Mutex<mpsc::UnboundedReceiver<Posted>>,
}

/// A message that was posted there.
pub struct Posted {
    pub reply: Reply,
    headers: http::HeaderMap,
}

impl Posted {
    pub fn addressing(&self) -> soap::Addressing {
        let root = self.reply.root();
        let document = xml::Document::parse(&root, xml::Limits::default()).expect("an envelope");
        soap::read(&document).expect("an envelope").addressing
    }
}

impl Inbox {
    /// Answers the n-th message after that time with that status.
    pub async fn open(manners: fn(usize) -> (Duration, u16)) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a port"), manners)
    }

    fn on(listener: TcpListener, manners: fn(usize) -> (Duration, u16)) -> Self {
        let tls = causeway::transport::tls::ReloadableServer::new(CERTIFICATES.files("server")).expect("a server");
        let url = format!("https://127.0.0.1:{}/answers", listener.local_addr().unwrap().port());
        let (connections, messages) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (sender, received) = mpsc::unbounded_channel();
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, sender, messages) = (tls.acceptor(), sender.clone(), Arc::clone(&messages));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                        let (sender, messages) = (sender.clone(), Arc::clone(&messages));
                        async move {
                            let (head, body) = request.into_parts();
                            let content_type =
                                head.headers.get("content-type").unwrap().to_str().unwrap_or_default().to_owned();
                            let body = body.collect().await?.to_bytes();
                            let (after, status) = manners(messages.fetch_add(1, Ordering::SeqCst));
                            tokio::time::sleep(after).await;
                            let reply = Reply { status: 200, content_type, body };
                            let _ = sender.send(Posted { reply, headers: head.headers });
                            let mut response = http::Response::new(Full::new(Bytes::new()));
                            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                            Ok::<_, hyper::Error>(response)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { url, connections, received: Mutex::new(received) }
    }

    pub async fn next(&self) -> Posted {
        let mut received = self.received.lock().await;
        tokio::time::timeout(Duration::from_secs(10), received.recv()).await.expect("an answer in time").unwrap()
    }
}

pub fn takes(_: usize) -> (Duration, u16) {
    (Duration::ZERO, 202)
}

/// A broker with one document of a megabyte, which may send its answers to those addresses.
async fn broker(callbacks: &[&str], limits: &str) -> (TestBroker, Vec<u8>) {
    let listed: Vec<_> = callbacks.iter().map(|url| format!("\"{url}\"")).collect();
    let broker = TestBroker::start(Options {
        more: format!("providers = [\"*\"]\n[asynchronous]\ncallbacks = [{}]\n", listed.join(", ")),
        limits: format!("delivery_pause = \"100ms\"\n{limits}"),
        ..Options::default()
    })
    .await;
    let document: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    broker.provide("2.999.1", PATIENT, &document).await;
    (broker, document)
}

/// An envelope whose answer goes elsewhere, with its id; `faults` and `parameters` as they are written.
fn envelope_to(action: &str, reply_to: &str, more: &str, payload: impl FnOnce(&mut Vec<u8>)) -> (Vec<u8>, String) {
    let message_id = soap::new_message_id();
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(message_id.clone()),
        reply_to: Some(reply_to.to_owned()),
        ..soap::Addressing::default()
    };
    let written = causeway::transport::answer::envelope(soap::Version::V12, &addressing, None, payload);
    let text = String::from_utf8(written).unwrap().replace("</env:Header>", &format!("{more}</env:Header>"));
    (text.into_bytes(), message_id)
}

fn fault_to(address: &str) -> String {
    format!("<wsa:FaultTo><wsa:Address>{address}</wsa:Address></wsa:FaultTo>")
}

/// Asks about the patient, the answer to go there; the answer on the connection, and the request's id.
async fn ask(broker: &TestBroker, reply_to: &str, more: &str) -> (Reply, String) {
    let (body, id) = envelope_to(CROSS_QUERY, reply_to, more, |out| ebrs::write_query(out, &find(PATIENT)));
    (broker.post("responding-gateway", "application/soap+xml; charset=UTF-8", body).await, id)
}

async fn ask_for_document(broker: &TestBroker, reply_to: &str) -> (Reply, String) {
    let payload = retrieve(&[(Some(HOME), REPOSITORY, "2.999.1")]);
    let (root, id) = envelope_to(CROSS_RETRIEVE, reply_to, "", |out| out.extend_from_slice(&payload));
    let (content_type, mut body) = mtom_request(CROSS_RETRIEVE, b"");
    let start = body.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    body.truncate(start);
    body.extend_from_slice(&root);
    body.extend_from_slice(b"\r\n--b--\r\n");
    (broker.post("responding-gateway", &content_type, body).await, id)
}

fn assert_accepted(reply: &Reply) {
    assert_eq!((reply.status, reply.text().as_str()), (202, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_sent_where_it_is_wanted() {
    let inbox = Inbox::open(takes).await;
    let (broker, document) = broker(&[&inbox.url], "").await;
    let below = format!("{}/of/ours", inbox.url);
    let (reply, id) = ask(&broker, &below, "").await;
    assert_accepted(&reply);
    let posted = inbox.next().await;
    let addressing = posted.addressing();
    assert_eq!(addressing.action.as_deref(), Some("urn:ihe:iti:2007:CrossGatewayQueryResponse"));
    assert_eq!((addressing.relates_to.as_deref(), addressing.to.as_deref()), (Some(&*id), Some(&*below)));
    assert!(addressing.message_id.is_some());
    assert!(posted.reply.content_type.contains("action=\"urn:ihe:iti:2007:CrossGatewayQueryResponse\""));
    assert!(posted.headers.contains_key("x-correlation-id"));
    let response = posted.reply.query();
    assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1));

    let (reply, id) = ask_for_document(&broker, &inbox.url).await;
    assert_accepted(&reply);
    let posted = inbox.next().await;
    assert_eq!(posted.addressing().relates_to.as_deref(), Some(&*id));
    assert!(posted.headers.contains_key("content-length"));
    let (response, documents) = posted.reply.retrieve();
    assert_eq!((response.status, documents.len()), (ResponseStatus::Success, 1));
    assert!(posted.reply.parts()[1] == document, "the document as it was provided");

    // Who asked is on record by where the answer went (ITI TF-2 §3.38.5).
    let records = audit_records(&broker.broker);
    for code in ["ITI-38", "ITI-39"] {
        let record = records.iter().find(|record| record.contains(&format!("csd-code=\"{code}\""))).expect(code);
        assert!(record.contains(&format!("UserID=\"{}", inbox.url)), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_service_answers_elsewhere() {
    let inbox = Inbox::open(takes).await;
    let (broker, _) = broker(&[&inbox.url], "").await;
    for service in ["registry", "initiating-gateway"] {
        let (body, _) = envelope_to(QUERY, &inbox.url, "", |out| ebrs::write_query(out, &find(PATIENT)));
        assert_accepted(&broker.post(service, "application/soap+xml", body).await);
        assert_eq!(inbox.next().await.reply.query().objects.len(), 1);
    }
    // A submission's documents are here before that is said.
    let objects = submission("2.999.2", PATIENT, "text/plain");
    let ids = [("entry".to_owned(), "0@test".to_owned())];
    let (root, id) = envelope_to(PROVIDE, &inbox.url, "", |out| xdsb::write_provide(out, &objects, &ids));
    let (content_type, whole) = package(&objects, &[("entry", b"second")]);
    let at = |what: &[u8]| whole.windows(what.len()).position(|window| window == what).unwrap();
    let (start, end) = (at(b"<env:Envelope"), at(b"</env:Envelope>") + b"</env:Envelope>".len());
    let body = [&whole[..start], &root, &whole[end..]].concat();
    assert_accepted(&broker.post("repository", &content_type, body.clone()).await);
    let posted = inbox.next().await;
    assert_eq!((posted.reply.registry().status, posted.addressing().relates_to), (ResponseStatus::Success, Some(id)));
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 2);
    // One that breaks off was never here, and that is said on its connection.
    let reply = broker.post("repository", &content_type, body[..body.len() - 20].to_vec()).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(inbox.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_gateways_submission_is_answered_elsewhere() {
    const CROSS_PROVIDE: &str = "urn:ihe:iti:2015:CrossGatewayDocumentProvide";
    let inbox = Inbox::open(takes).await;
    let (broker, _) = broker(&[&inbox.url], "").await;
    let objects = submission("2.999.2", PATIENT, "text/plain");
    let ids = [("entry".to_owned(), "0@test".to_owned())];
    let named = xdr::home_block(&HomeCommunityId::parse(HOME).unwrap());
    let (content_type, whole) = package(&objects, &[("entry", b"second")]);
    let at = |what: &[u8]| whole.windows(what.len()).position(|window| window == what).unwrap();
    let (start, end) = (at(b"<env:Envelope"), at(b"</env:Envelope>") + b"</env:Envelope>".len());
    for (named, outcome) in [("", ResponseStatus::Failure), (&*named, ResponseStatus::Success)] {
        let (root, id) = envelope_to(CROSS_PROVIDE, &inbox.url, named, |out| xdsb::write_provide(out, &objects, &ids));
        let body = [&whole[..start], &root, &whole[end..]].concat();
        assert_accepted(&broker.post("responding-gateway", &content_type, body).await);
        let posted = inbox.next().await;
        assert_eq!((posted.reply.registry().status, posted.addressing().relates_to), (outcome, Some(id)));
    }
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_who_is_not_listed() {
    let inbox = Inbox::open(takes).await;
    let canary = Inbox::open(takes).await;
    let (broker, _) = broker(&[&inbox.url], "").await;
    let other_path = inbox.url.replace("/answers", "/answers-of-others");
    for address in [&*canary.url, &*other_path, &inbox.url.replace("https", "http"), "https://127.0.0.1/answers"] {
        let (reply, _) = ask(&broker, address, "").await;
        assert_fault(&reply, 400, "wsa:DestinationUnreachable");
        assert!(reply.text().contains("<wsa:ProblemIRI>"), "{}", reply.text());
    }
    // A good address for answers does not make one for faults good.
    let (reply, _) = ask(&broker, &inbox.url, &fault_to(&canary.url)).await;
    assert_fault(&reply, 400, "wsa:DestinationUnreachable");
    let (reply, _) = ask(&broker, soap::NO_REPLY, &fault_to(&canary.url)).await;
    assert_fault(&reply, 400, "wsa:DestinationUnreachable");
    let (closed, _) = self::broker(&[], "").await;
    let (reply, _) = ask(&closed, &canary.url, "").await;
    assert_fault(&reply, 400, "wsa:OnlyAnonymousAddressSupported");
    // Without an id nobody could tell the answer from others.
    let (body, id) = envelope_to(CROSS_QUERY, &inbox.url, "", |out| ebrs::write_query(out, &find(PATIENT)));
    let body = String::from_utf8(body).unwrap().replace(&format!("<wsa:MessageID>{id}</wsa:MessageID>"), "");
    let reply = broker.post("responding-gateway", "application/soap+xml", body).await;
    assert_fault(&reply, 400, "wsa:MessageAddressingHeaderRequired");
    broker.broker.stop().await;
    assert_eq!(canary.connections.load(Ordering::SeqCst), 0);
    assert_eq!(inbox.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_answer_gets_none() {
    let inbox = Inbox::open(takes).await;
    let (broker, _) = broker(&[&inbox.url], "").await;
    let (reply, _) = ask(&broker, soap::NO_REPLY, "").await;
    assert_accepted(&reply);
    let TestBroker { broker, dir, .. } = broker;
    broker.stop().await;
    assert_eq!(inbox.connections.load(Ordering::SeqCst), 0);
    // It was worked on all the same.
    assert!(records_in(&dir.path().join("data/audit")).iter().any(|record| record.contains("csd-code=\"ITI-38\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_go_where_faults_are_wanted_with_what_is_to_go_along() {
    let (inbox, faults) = (Inbox::open(takes).await, Inbox::open(takes).await);
    let broker = TestBroker::start(Options {
        more: format!("[asynchronous]\ncallbacks = [\"{}\", \"{}\"]\n", inbox.url, faults.url),
        ..Options::default()
    })
    .await;
    // What is wrong with it shows when it has been taken in.
    let action = "urn:ihe:iti:2009:PatientLocationQuery";
    let empty = |more: &str| {
        envelope_to(action, &inbox.url, more, |out| {
            out.extend_from_slice(b"<PatientLocationQueryRequest xmlns=\"urn:ihe:iti:xcpd:2009\"/>");
        })
    };
    let to = fault_to(&faults.url).replace(
        "</wsa:FaultTo>",
        "<wsa:ReferenceParameters><q:n xmlns:q=\"urn:q\">7</q:n></wsa:ReferenceParameters></wsa:FaultTo>",
    );
    for (more, from, marked) in
        [(&*to, &faults, true), ("", &inbox, false), (&fault_to(soap::ANONYMOUS), &inbox, false)]
    {
        let (body, id) = empty(more);
        assert_accepted(&broker.post("responding-gateway", "application/soap+xml", body).await);
        let posted = from.next().await;
        assert!(posted.reply.fault().is_some(), "{}", posted.reply.text());
        let addressing = posted.addressing();
        assert_eq!((addressing.relates_to, addressing.to), (Some(id), Some(from.url.clone())));
        let told = posted.reply.text().contains(">7</q:n>") && posted.reply.text().contains("IsReferenceParameter");
        assert_eq!(told, marked, "{}", posted.reply.text());
    }
    // Where none are wanted, none go.
    let (body, _) = empty(&fault_to(soap::NO_REPLY));
    assert_accepted(&broker.post("responding-gateway", "application/soap+xml", body).await);
    broker.broker.stop().await;
    assert_eq!((inbox.connections.load(Ordering::SeqCst), faults.connections.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_is_told_so_at_once_and_nobody_is_called() {
    let inbox = Inbox::open(takes).await;
    let more = format!("[asynchronous]\ncallbacks = [\"{}\"]\n", inbox.url);
    let broker = TestBroker::start(Options { more, no_administrator: true, ..Options::default() }).await;
    let (body, _) = envelope_to("urn:ihe:iti:2010:DeleteDocumentSet", &inbox.url, "", |out| {
        out.extend_from_slice(b"<l:RemoveObjectsRequest xmlns:l=\"urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0\"/>");
    });
    let reply = broker.post("registry", "application/soap+xml", body).await;
    assert_eq!(reply.status, 403);
    assert!(reply.fault().expect("a fault").contains("may not do this"));
    // On record is who it was, beside the address that it chose.
    let audited = audit_records(&broker.broker);
    let told = |name: &str| audited.iter().any(|record| record.contains(&inbox.url) && record.contains(name));
    assert!(told("UserName=\"Causeway development client\""), "{audited:?}");
    broker.broker.stop().await;
    assert_eq!(inbox.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_sent_again_when_nobody_was_there() {
    // Busy at first, for an answer in memory and one whose documents went with the try before.
    let busy = Inbox::open(|n| (Duration::ZERO, if n % 3 == 2 { 202 } else { 503 })).await;
    let (broker, document) = broker(&[&busy.url], "").await;
    assert_accepted(&ask(&broker, &busy.url, "").await.0);
    for _ in 0..3 {
        assert_eq!(busy.next().await.reply.query().objects.len(), 1);
    }
    assert_accepted(&ask_for_document(&broker, &busy.url).await.0);
    for _ in 0..3 {
        assert!(busy.next().await.reply.parts()[1] == document);
    }
    assert_eq!(busy.connections.load(Ordering::SeqCst), 6, "and not once more");
    // Down at first.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("https://{address}/answers");
    let (broker, document) = self::broker(&[&url], "").await;
    assert_accepted(&ask_for_document(&broker, &url).await.0);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let inbox = Inbox::on(TcpListener::bind(address).await.unwrap(), takes);
    assert!(inbox.next().await.reply.parts()[1] == document);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_given_up_and_on_record() {
    let given_up = |broker: &TestBroker| {
        let records = audit_records(&broker.broker);
        records.iter().filter(|record| record.contains("the answer could not be delivered")).count()
    };
    // Never there, and not wanted: the first is tried several times.
    for (manners, tries) in
        [((|_| (Duration::ZERO, 503)) as fn(usize) -> (Duration, u16), 3), (|_| (Duration::ZERO, 400), 1)]
    {
        let inbox = Inbox::open(manners).await;
        let (broker, _) = broker(&[&inbox.url], "").await;
        assert_accepted(&ask(&broker, &inbox.url, "").await.0);
        let began = Instant::now();
        while given_up(&broker) == 0 {
            assert!(began.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((given_up(&broker), inbox.connections.load(Ordering::SeqCst)), (1, tries));
        assert!(broker.broker.metrics().text().contains("outcome=\"undelivered\""));
    }
    // Its time is up before its tries are.
    let inbox = Inbox::open(|_| (Duration::ZERO, 503)).await;
    let (broker, _) = broker(&[&inbox.url], "delivery_tries = 100\ndelivery_deadline = \"1s\"").await;
    assert_accepted(&ask(&broker, &inbox.url, "").await.0);
    let began = Instant::now();
    while given_up(&broker) == 0 {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(inbox.connections.load(Ordering::SeqCst) < 6);
}

/// A receiver that takes the message and says nothing is given up after `write_stall`.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_nothing_for_long() {
    let inbox = Inbox::open(|_| (Duration::from_secs(60), 202)).await;
    let (broker, _) = broker(&[&inbox.url], "write_stall = \"1s\"\ndelivery_tries = 1").await;
    let began = Instant::now();
    assert_accepted(&ask(&broker, &inbox.url, "").await.0);
    broker.broker.stop().await;
    assert!(began.elapsed() > Duration::from_millis(900) && began.elapsed() < Duration::from_secs(8));
    let records = records_in(&broker.dir.path().join("data/audit"));
    assert!(
        records.iter().any(|record| record.contains("could not be delivered: not taken: the receiver takes nothing"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_answers_are_pending() {
    let inbox = Inbox::open(|n| (Duration::from_millis(if n == 0 { 600 } else { 0 }), 202)).await;
    let (broker, _) = broker(&[&inbox.url], "asynchronous_requests = 1").await;
    assert_accepted(&ask(&broker, &inbox.url, "").await.0);
    let (reply, _) = ask(&broker, &inbox.url, "").await;
    assert_fault(&reply, 503, "wsa:EndpointUnavailable");
    // Those that are answered on their connection are no matter of that bound.
    assert_eq!(broker.query_at("responding-gateway", CROSS_QUERY, &find(PATIENT)).await.objects.len(), 1);
    inbox.next().await;
    let began = Instant::now();
    while ask(&broker, &inbox.url, "").await.0.status != 202 {
        assert!(began.elapsed() < Duration::from_secs(5), "the place is free again");
    }
    // What was refused is on record.
    assert!(audit_records(&broker.broker).iter().any(|record| record.contains("Too many requests are under way")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_delivers_what_was_taken_in() {
    let inbox = Inbox::open(|n| (Duration::from_millis(300), if n == 0 { 503 } else { 202 })).await;
    let (broker, document) = broker(&[&inbox.url], "").await;
    assert_accepted(&ask_for_document(&broker, &inbox.url).await.0);
    broker.broker.stop().await;
    for _ in 0..2 {
        assert!(inbox.next().await.reply.parts()[1] == document);
    }
    // What cannot be delivered within the drain time is on record.
    let inbox = Inbox::open(|_| (Duration::from_secs(60), 202)).await;
    let (broker, _) = self::broker(&[&inbox.url], "drain = \"500ms\"").await;
    assert_accepted(&ask(&broker, &inbox.url, "").await.0);
    let began = Instant::now();
    broker.broker.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "stopped after {:?}", began.elapsed());
    let records = records_in(&broker.dir.path().join("data/audit"));
    assert!(records.iter().any(|record| record.contains("could not be delivered: this broker stops")));
}
