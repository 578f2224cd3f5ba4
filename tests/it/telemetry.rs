//! Traces for a collector of OpenTelemetry: what arrives there, and that nobody waits for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::response::ResponseStatus;
use causeway::transport::tls::ReloadableServer;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::gateways::{home, peer};
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const ASKER: &str = "00f067aa0ba902b7";

/// How a collector takes what is sent to it.
#[derive(Clone, Copy, PartialEq)]
enum Manners {
    Takes,
    TakesOverTls,
    Refuses,
    Hangs,
}

/// A collector that keeps what it takes.
struct Collector {
    url: String,
    taken: Arc<Mutex<Vec<Bytes>>>,
}

async fn collector(manners: Manners) -> Collector {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let scheme = if manners == Manners::TakesOverTls { "https" } else { "http" };
    let taken = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&taken);
    tokio::spawn(async move {
        let tls = ReloadableServer::new(CERTIFICATES.files("server")).unwrap();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, kept) = (tls.acceptor(), Arc::clone(&kept));
            let service = service_fn(move |request: http::Request<Incoming>| take(manners, request, Arc::clone(&kept)));
            tokio::spawn(async move {
                if manners == Manners::TakesOverTls {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                } else {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                }
            });
        }
    });
    Collector { url: format!("{scheme}://127.0.0.1:{port}"), taken }
}

async fn take(
    manners: Manners,
    request: http::Request<Incoming>,
    kept: Arc<Mutex<Vec<Bytes>>>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/traces"));
    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let status = match manners {
        Manners::Takes | Manners::TakesOverTls => {
            kept.lock().unwrap().push(body);
            200
        }
        Manners::Refuses => 400,
        Manners::Hangs => std::future::pending().await,
    };
    Ok(http::Response::builder().status(status).body(Full::default()).unwrap())
}

/// A protobuf message as anybody reads it: numbers of fields, with a number or octets.
fn fields(mut message: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(from: &mut &[u8]) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let octet = from[0];
            *from = &from[1..];
            number |= u64::from(octet & 0x7f) << shift;
            shift += 7;
            if octet < 0x80 {
                return number;
            }
        }
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let (number, octets) = match key & 7 {
            0 => (varint(&mut message), 0),
            1 => (0, 8),
            2 => (0, varint(&mut message) as usize),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, number, &message[..octets]));
        message = &message[octets..];
    }
    found
}

fn below(message: &[u8], field: u64) -> impl Iterator<Item = &[u8]> {
    fields(message).into_iter().filter(move |found| found.0 == field).map(|found| found.2)
}

fn text(message: &[u8], field: u64) -> String {
    String::from_utf8(below(message, field).next().unwrap_or_default().to_vec()).unwrap()
}

fn hex(message: &[u8], field: u64) -> String {
    below(message, field).next().unwrap_or_default().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn attributes(message: &[u8], field: u64) -> BTreeMap<String, String> {
    let value = |value: &[u8]| match fields(value)[0] {
        (1, _, text) => String::from_utf8(text.to_vec()).unwrap(),
        (5, _, list) => below(list, 1).map(|value| text(value, 1)).collect::<Vec<_>>().join(","),
        (other, ..) => panic!("kind of value {other}"),
    };
    below(message, field).map(|pair| (text(pair, 1), value(below(pair, 2).next().unwrap()))).collect()
}

#[derive(Debug)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    attributes: BTreeMap<String, String>,
}

impl Span {
    fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

impl Collector {
    fn setting(&self, service: &str, more: &str) -> String {
        format!("[telemetry]\nendpoint = \"{}\"\nservice_name = \"{service}\"\n{more}\n", self.url)
    }

    fn spans(&self) -> Vec<Span> {
        let mut all = Vec::new();
        for message in self.taken.lock().unwrap().iter() {
            for of_resource in below(message, 1) {
                let service = attributes(below(of_resource, 1).next().unwrap(), 1)["service.name"].clone();
                for span in below(of_resource, 2).flat_map(|of_scope| below(of_scope, 2)) {
                    let number = |field| fields(span).into_iter().find(|found| found.0 == field).map_or(0, |f| f.1);
                    let time = |field| u64::from_le_bytes(below(span, field).next().unwrap().try_into().unwrap());
                    all.push(Span {
                        service: service.clone(),
                        trace: hex(span, 1),
                        id: hex(span, 2),
                        parent: hex(span, 4),
                        name: text(span, 5),
                        kind: number(6),
                        start: time(7),
                        end: time(8),
                        attributes: attributes(span, 9),
                    });
                }
            }
        }
        all
    }
}

async fn community(n: usize, more: String) -> TestBroker {
    TestBroker::start(Options {
        home: Some(home(n)),
        repository: Some(format!("2.999.901.{n}")),
        more,
        ..Options::default()
    })
    .await
}

/// Asks with these headers; gives the correlation id.
async fn ask(broker: &TestBroker, service: &str, headers: &[(&str, &str)]) -> String {
    let body = envelope(QUERY, |out| causeway::wire::ebrs::write_query(out, &find(PATIENT)));
    let mut request = http::Request::post(broker.url(service)).header("content-type", "application/soap+xml");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = broker.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-correlation-id"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let reply = Reply { status: 200, content_type: "application/soap+xml".into(), body };
    assert_eq!(reply.query().status, ResponseStatus::Success, "{}", reply.text());
    id
}

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE}-{ASKER}-0{}", u8::from(sampled))
}

/// From whoever asks to whomever is asked, all of it hangs together, and says nothing of the patient.
#[tokio::test]
async fn a_federated_request_is_one_trace_through_all_communities() {
    let collector = collector(Manners::Takes).await;
    let far = community(2, collector.setting("far", "")).await;
    let to_far = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    let near = community(1, to_far + &collector.setting("near", "")).await;
    near.provide("2.999.902.1", PATIENT, b"letter").await;
    let id = ask(&near, "initiating-gateway", &[("traceparent", &traceparent(true))]).await;
    near.broker.stop().await;
    far.broker.stop().await;

    let spans = collector.spans();
    let one = |service: &str, name: &str| -> &Span {
        let mut found = spans.iter().filter(|span| span.trace == TRACE && span.service == service && span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("{service} {name}: {spans:?}"));
        assert!(found.next().is_none(), "{service} {name} is there twice");
        span
    };
    let root = one("near", "ITI-18");
    assert_eq!((root.parent.as_str(), root.kind), (ASKER, 2));
    assert_eq!((root.get("causeway.outcome"), root.get("causeway.correlation_id")), ("Success", id.as_str()));
    assert_eq!(root.get("causeway.transaction"), "ITI-18");
    let asked = one("near", "asked");
    assert_eq!((&asked.parent, asked.get("causeway.home_community_id")), (&root.id, home(2).as_str()));
    let call = one("near", "ITI-38");
    assert_eq!((&call.parent, call.kind), (&asked.id, 3));
    // What the community was told in `traceparent` is the exchange's own span.
    let theirs = one("far", "ITI-38");
    assert_eq!((&theirs.parent, theirs.kind), (&call.id, 2));
    assert_eq!(theirs.get("causeway.outcome"), "Success");
    for (service, name, parent) in [
        ("near", "local", root),
        ("near", "merge", root),
        ("near", "queue", asked),
        ("near", "read", asked),
        ("near", "connect", call),
        ("near", "tls", call),
        ("near", "wait", call),
        ("near", "receive", call),
        ("far", "local", theirs),
    ] {
        let span = one(service, name);
        assert_eq!(span.parent, parent.id, "{name}");
        assert!(parent.start <= span.start && span.start <= span.end && span.end <= parent.end, "{name}: {span:?}");
    }
    // The submission is a trace of its own, by its correlation id, and nobody's child.
    let submission = spans.iter().find(|span| span.name == "ITI-41").unwrap();
    assert_eq!((submission.parent.as_str(), submission.kind), ("", 2));
    assert_eq!(submission.trace, submission.get("causeway.correlation_id"));
    let (patient, _) = PATIENT.split_once('^').unwrap();
    for message in collector.taken.lock().unwrap().iter() {
        for secret in [patient, "2.16.840.1.113883.2.1.4.1", "Letter", "Okafor", "4711"] {
            assert!(!message.windows(secret.len()).any(|octets| octets == secret.as_bytes()), "{secret}");
        }
    }
}

/// A registry elsewhere takes part in the trace of the submission.
#[tokio::test]
async fn a_registration_elsewhere_hangs_below_its_submission() {
    let collector = collector(Manners::Takes).await;
    let registry = community(2, collector.setting("registry", "")).await;
    let elsewhere = format!("services = [\"repository\"]\n[registry]\nurl = \"{}\"\n", registry.url("registry"));
    let repository = community(1, elsewhere + &collector.setting("repository", "")).await;
    repository.provide("2.999.902.1", PATIENT, b"letter").await;
    repository.broker.stop().await;
    registry.broker.stop().await;
    let spans = collector.spans();
    let one = |service: &str, name: &str| {
        spans.iter().find(|span| (span.service.as_str(), span.name.as_str()) == (service, name)).unwrap()
    };
    let (root, call, theirs) = (one("repository", "ITI-41"), one("repository", "ITI-42"), one("registry", "ITI-42"));
    assert_eq!((&call.parent, call.kind), (&root.id, 3));
    assert_eq!((&theirs.parent, theirs.kind, &theirs.trace), (&call.id, 2, &root.trace));
}

/// A community that does not answer is a span with its code, below which it may hang its own.
#[tokio::test]
async fn an_exchange_that_nobody_waits_for_is_there_and_so_is_a_refusal() {
    let collector = collector(Manners::Takes).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/services/responding-gateway", listener.local_addr().unwrap().port());
    let far = peer("Far", &home(2), &url, "neighbour", "timeout = \"300ms\"");
    let near = community(1, far + &collector.setting("near", "")).await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(response.errors[0].code.as_str(), "XDSUnavailableCommunity");
    let content_type = format!("application/soap+xml; action=\"{QUERY}\"");
    assert_ne!(near.post("registry", &content_type, "no message").await.status, 200);
    near.broker.stop().await;
    let spans = collector.spans();
    let with = |name: &str, outcome: &str| {
        let mut found = spans.iter().filter(|span| span.name == name);
        found
            .find(|span| outcome.is_empty() || span.get("causeway.outcome") == outcome)
            .unwrap_or_else(|| panic!("{spans:?}"))
    };
    let code = "XDSUnavailableCommunity";
    let root = with("ITI-18", "PartialSuccess");
    let (asked, call) = (with("asked", ""), with("ITI-38", ""));
    for span in [root, asked, call] {
        assert_eq!((span.get("causeway.error_codes"), &span.trace), (code, &root.trace));
    }
    assert_eq!((&asked.parent, &call.parent), (&root.id, &asked.id));
    assert_ne!(with("ITI-18", "fault").trace, root.trace);
}

#[tokio::test]
async fn a_collector_over_tls_is_shown_our_certificate() {
    let collector = collector(Manners::TakesOverTls).await;
    let ca = CERTIFICATES.path.join("ca.pem");
    for more in [String::new(), format!("ca = \"{}\"", ca.display())] {
        collector.taken.lock().unwrap().clear();
        let near = community(1, collector.setting("near", &more)).await;
        ask(&near, "registry", &[]).await;
        near.broker.stop().await;
        assert_eq!(collector.spans().len(), 1, "{more}");
    }
}

/// Who asks with a trace has decided; who does not is one of a part.
#[tokio::test]
async fn only_what_is_sampled_is_sent() {
    let collector = collector(Manners::Takes).await;
    let near = community(1, collector.setting("near", "sampling = 0.0")).await;
    ask(&near, "registry", &[]).await;
    ask(&near, "registry", &[("traceparent", &traceparent(false))]).await;
    let id = ask(&near, "registry", &[("traceparent", &traceparent(true))]).await;
    near.broker.stop().await;
    let ids: Vec<_> = collector.spans().iter().map(|span| span.get("causeway.correlation_id").to_owned()).collect();
    assert_eq!(ids, [id]);
}

#[tokio::test]
async fn a_reload_turns_it_on() {
    let collector = collector(Manners::Takes).await;
    let near = community(1, String::new()).await;
    ask(&near, "registry", &[]).await;
    let text = toml(near.dir.path(), &Options { more: collector.setting("near", ""), ..Options::default() });
    let config = causeway::config::Config::from_toml(&text, near.dir.path()).unwrap();
    near.broker.reload(config).unwrap();
    let id = ask(&near, "registry", &[]).await;
    near.broker.stop().await;
    let ids: Vec<_> = collector.spans().iter().map(|span| span.get("causeway.correlation_id").to_owned()).collect();
    assert_eq!(ids, [id]);
}

/// A collector that is down, refuses, or never answers holds up nobody, and what it does not take is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_in_trouble_is_nobodys_trouble() {
    let counted = |broker: &TestBroker, outcome: &str| {
        let text = broker.broker.metrics().text();
        let start = format!("causeway_telemetry_spans_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<u64>().ok()).unwrap_or_default()
    };
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let down = Collector { url: format!("http://{nobody}"), taken: Arc::default() };
    let (hanging, refusing) = (collector(Manners::Hangs).await, collector(Manners::Refuses).await);
    for (collector, hangs) in [(down, false), (hanging, true), (refusing, false)] {
        let near = TestBroker::start(Options {
            more: collector.setting("near", ""),
            limits: "telemetry_queue = 10".into(),
            ..Options::default()
        })
        .await;
        // Each is one span; nothing leaves the queue while the collector hangs.
        for _ in 0..15 {
            ask(&near, "registry", &[]).await;
        }
        if hangs {
            assert_eq!(counted(&near, "dropped"), 5, "there is room for ten");
        }
        // A stop waits a moment for it, and no longer.
        near.broker.stop().await;
    }
    // What is refused is lost, and counted.
    let collector = collector(Manners::Refuses).await;
    let near = TestBroker::start(Options { more: collector.setting("near", ""), ..Options::default() }).await;
    ask(&near, "registry", &[]).await;
    let began = Instant::now();
    while counted(&near, "lost") == 0 && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(counted(&near, "lost"), 1);
    near.broker.stop().await;
}
