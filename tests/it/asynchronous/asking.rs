//! We ask, and the answers come as messages to us.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::wire::{soap, xml};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{CROSS_QUERY, QUERY, assert_fault};
use crate::fetch::{fetch, query as fetch_query};
use crate::support::*;

const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
pub const ANSWER: &str = "urn:ihe:iti:2007:CrossGatewayQueryResponse";
pub const FAR: &str = "urn:oid:2.999.900.2";

fn options(limits: &str) -> Options {
    Options { limits: limits.to_owned(), home: Some("urn:oid:2.999.900.1".into()), ..Options::default() }
}

/// A broker whose neighbour at that address sends its answers to it.
pub async fn near(far: &str, peer: &str, limits: &str) -> TestBroker {
    let broker = TestBroker::start(options(limits)).await;
    // Its port is known only now.
    reload(&broker, &neighbour(far, peer), limits);
    broker
}

/// What it is told of its neighbour.
pub fn neighbour(far: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"Far\"\nhome_community_id = \"{FAR}\"\n\
         responding_gateway = \"{far}\"\nexchange = \"asynchronous\"\n{more}\n"
    )
}

pub fn reload(broker: &TestBroker, peers: &str, limits: &str) {
    let more = format!("[asynchronous]\naddress = \"{}\"\n{peers}", broker.url("initiating-gateway"));
    let text = toml(broker.dir.path(), &Options { more, ..options(limits) });
    let config = causeway::config::Config::from_toml(&text, broker.dir.path()).unwrap_or_else(|e| panic!("{e}"));
    broker.broker.reload(config).expect("peers that can be used");
}

pub async fn ask(near: &TestBroker) -> QueryResponse {
    near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await
}

pub fn assert_unavailable(response: &QueryResponse, why: &str) {
    let [error] = &response.errors[..] else { panic!("{:?}", response.errors) };
    assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSUnavailableCommunity", Some(FAR)));
    assert!(error.context.contains(why), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_talk_asynchronously() {
    let options = |more: String| Options {
        home: Some(FAR.into()),
        repository: Some("2.999.901.2".into()),
        more,
        ..Options::default()
    };
    let far = TestBroker::start(options(String::new())).await;
    let near = near(&far.url("responding-gateway"), "", "").await;
    let text = toml(
        far.dir.path(),
        &options(format!("[asynchronous]\ncallbacks = [\"{}\"]\n", near.url("initiating-gateway"))),
    );
    let reload = |text: &str| {
        let config = causeway::config::Config::from_toml(text, far.dir.path()).unwrap();
        far.broker.reload(config).expect("addresses that can be used");
    };
    reload(&text);
    let document: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    far.provide("2.999.902.2", PATIENT, &document).await;

    let response = ask(&near).await;
    assert_eq!((response.status, response.objects.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
    assert_eq!(unpacked(&response)[0].common.home.as_deref(), Some(FAR));
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(Some(FAR), "2.999.901.2", "2.999.902.2")]));
    for _ in 0..2 {
        let reply = near.post("initiating-gateway", &content_type, body.clone()).await;
        let (response, documents) = reply.retrieve();
        assert_eq!((response.status, documents.len()), (ResponseStatus::Success, 1), "{:?}", response.errors);
        assert!(reply.parts()[1] == document, "the document as it was provided");
    }
    let fetched = fetch(&near, "initiating-gateway", &fetch_query(Some(FAR))).await;
    let [(_, home, body)] = &fetched.entries[..] else { panic!("one entry") };
    assert!(home == FAR && *body == document, "the document beside its entry");
    // An answer of errors alone is taken too.
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&[(Some(FAR), "2.999.901.2", "2.999.902.77")]));
    let (response, _) = near.post("initiating-gateway", &content_type, body).await.retrieve();
    assert_eq!(response.errors[0].code.as_str(), "XDSDocumentUniqueIdError");
    // It did go that way, and is on record on both sides.
    let began = Instant::now();
    let delivered = "transaction=\"ITI-39\",peer=\"callback\",outcome=\"delivered\"} 3";
    while !far.broker.metrics().text().contains(delivered) {
        assert!(began.elapsed() < Duration::from_secs(5), "{}", far.broker.metrics().text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (broker, other) in [(&near, far.url("responding-gateway")), (&far, near.url("initiating-gateway"))] {
        let records = audit_records(&broker.broker);
        for code in ["ITI-38", "ITI-39", "ITI-63"] {
            let record = records.iter().find(|record| record.contains(&format!("csd-code=\"{code}\"")));
            assert!(record.is_some_and(|record| record.contains(&other)), "{code}: {records:?}");
        }
    }
    // An address that the other side has not listed: its fault is an answer too.
    reload(&text.replace("[asynchronous]\ncallbacks", "[asynchronous]\n#"));
    assert_unavailable(&ask(&near).await, "answered with a fault");
}

/// A request as a community of the tests has received it.
pub struct Asked {
    pub addressing: soap::Addressing,
    /// The whole envelope.
    pub root: String,
}

impl Asked {
    /// Sends an answer where it is wanted; the status that comes back.
    async fn answer(&self, action: &str, relates_to: &str, payload: &str) -> Reply {
        post(self.addressing.reply_to.as_deref().unwrap(), action, relates_to, payload).await
    }

    pub fn id(&self) -> String {
        self.addressing.message_id.clone().unwrap()
    }
}

async fn post(to: &str, action: &str, relates_to: &str, payload: &str) -> Reply {
    post_as("client", to, action, relates_to, payload).await
}

/// Posts an answer with that certificate.
pub async fn post_as(certificate: &str, to: &str, action: &str, relates_to: &str, payload: &str) -> Reply {
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(soap::new_message_id()),
        relates_to: Some(relates_to.to_owned()),
        ..soap::Addressing::default()
    };
    let body = causeway::transport::answer::envelope(soap::Version::V12, &addressing, None, |out| {
        out.extend_from_slice(payload.as_bytes());
    });
    let request = http::Request::post(to)
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(Full::new(body.into()))
        .unwrap();
    let response = client(certificate).request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    Reply { status, content_type: "application/soap+xml".into(), body }
}

pub fn nothing_found(padding: usize) -> String {
    format!(
        "<AdhocQueryResponse xmlns=\"urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0\" \
         status=\"urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success\"><RegistryObjectList \
         xmlns=\"urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0\"/><!--{}--></AdhocQueryResponse>",
        "x".repeat(padding)
    )
}

/// A community that does with each request, the first being 0, what the test says: the status and the
/// body that it answers on the connection, or nothing and the connection breaks off.
pub async fn far<F>(manners: impl Fn(usize, Asked) -> F + Send + Sync + 'static) -> String
where
    F: Future<Output = Option<(u16, String)>> + Send + 'static,
{
    let tls = causeway::transport::tls::ReloadableServer::new(CERTIFICATES.files("server")).expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://127.0.0.1:{}/gateway", listener.local_addr().unwrap().port());
    let (manners, count) = (Arc::new(manners), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, manners, count) = (tls.acceptor(), Arc::clone(&manners), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                    let (manners, count) = (Arc::clone(&manners), Arc::clone(&count));
                    async move {
                        let content_type = request.headers()["content-type"].to_str().unwrap_or_default().to_owned();
                        let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
                        let root = Reply { status: 200, content_type, body }.root();
                        let document = xml::Document::parse(&root, xml::Limits::default()).expect("an envelope");
                        let addressing = soap::read(&document).expect("an envelope").addressing;
                        drop(document);
                        let asked = Asked { addressing, root };
                        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        let Some((status, body)) = manners(number, asked).await else {
                            return Err(std::io::Error::other("the connection breaks off"));
                        };
                        let mut response = http::Response::new(Full::new(Bytes::from(body)));
                        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                        response.headers_mut().insert("content-type", "application/soap+xml".parse().unwrap());
                        Ok(response)
                    }
                });
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

pub const TAKEN: Option<(u16, String)> = Some((202, String::new()));

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_before_the_request_is_taken_or_much_later() {
    let url = far(|number, asked| async move {
        let id = asked.id();
        let before = asked.addressing.reply_to.as_deref() != Some(soap::ANONYMOUS) && number % 2 == 0;
        let answer = async move {
            // As some stacks write it.
            let id = id.trim_start_matches("urn:uuid:").to_uppercase();
            assert_eq!(asked.answer(&format!("{ANSWER}Async"), &id, &nothing_found(0)).await.status, 202);
        };
        if before {
            answer.await;
        } else {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                answer.await;
            });
        }
        TAKEN
    })
    .await;
    let near = near(&url, "", "").await;
    for _ in 0..4 {
        let response = ask(&near).await;
        assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_say_on_the_connection() {
    let empty = "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body/></e:Envelope>";
    let whole = format!(
        "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body>{}</e:Body></e:Envelope>",
        nothing_found(0)
    );
    // An answer there and then; nothing; an envelope with nothing; and a connection that breaks off once.
    let said = Arc::new([Some((200, whole)), Some((200, String::new())), Some((200, empty.into())), None, TAKEN]);
    let url = far(move |number, asked| {
        let said = said[number].clone();
        async move {
            if number != 0 && said.is_some() {
                tokio::spawn(async move { asked.answer(ANSWER, &asked.id(), &nothing_found(0)).await });
            }
            said
        }
    })
    .await;
    let near = near(&url, "", "").await;
    for number in 0..4 {
        let response = ask(&near).await;
        assert_eq!(response.status, ResponseStatus::Success, "{number}: {:?}", response.errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_answer_in_time_is_named_and_is_refused_later() {
    let (told, mut late) = tokio::sync::mpsc::unbounded_channel();
    let url = far(move |_, asked| {
        let _ = told.send(asked);
        async { TAKEN }
    })
    .await;
    let near = near(&url, "timeout = \"300ms\"", "").await;
    let began = Instant::now();
    let response = ask(&near).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_unavailable(&response, "did not answer within");
    let asked = late.recv().await.unwrap();
    let reply = asked.answer(ANSWER, &asked.id(), &nothing_found(0)).await;
    assert_fault(&reply, 400, "wsa:InvalidAddressingHeader");
    assert!(reply.text().contains("wsa:RelatesTo"), "{}", reply.text());
    // The failure is on record, as of any call without an answer.
    assert!(audit_records(&near.broker).iter().any(|record| record.contains("did not answer within")));
    // What relates to nothing of ours, and is no answer of ours to take.
    for (relates_to, action, code) in [
        (soap::new_message_id(), ANSWER, "wsa:InvalidAddressingHeader"),
        (String::from("x"), ANSWER, "wsa:InvalidAddressingHeader"),
        (soap::new_message_id(), "urn:some:Response", "wsa:ActionNotSupported"),
    ] {
        let reply = post(&near.url("initiating-gateway"), action, &relates_to, &nothing_found(0)).await;
        assert_fault(&reply, 400, code);
    }
    // Elsewhere no answers are taken.
    let reply = post(&near.url("registry"), ANSWER, &asked.id(), &nothing_found(0)).await;
    assert_fault(&reply, 400, "wsa:ActionNotSupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_answer_of_the_right_kind_is_taken() {
    let (told, mut statuses) = tokio::sync::mpsc::unbounded_channel();
    let url = far(move |_, asked| {
        let told = told.clone();
        tokio::spawn(async move {
            let id = asked.id();
            for action in ["urn:ihe:iti:2007:CrossGatewayRetrieveResponse", ANSWER, ANSWER] {
                let _ = told.send(asked.answer(action, &id, &nothing_found(0)).await.status);
            }
        });
        async { TAKEN }
    })
    .await;
    let near = near(&url, "", "").await;
    let response = ask(&near).await;
    assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
    for status in [400, 202, 400] {
        assert_eq!(statuses.recv().await, Some(status));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_that_is_sent_ends_the_call() {
    let url = far(|_, asked| async move {
        let fault = "<e:Fault xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Code><e:Value>e:Receiver</e:Value></e:Code>\
             <e:Reason><e:Text xml:lang=\"en\">Mary Smith</e:Text></e:Reason></e:Fault>";
        let reply = asked.answer("http://www.w3.org/2005/08/addressing/soap/fault", &asked.id(), fault).await;
        assert_eq!(reply.status, 202);
        TAKEN
    })
    .await;
    let near = near(&url, "", "").await;
    assert_unavailable(&ask(&near).await, "answered with a fault");
    assert!(!audit_records(&near.broker).iter().any(|record| record.contains("Mary Smith")));
}

/// Answers are as large as answers of peers may be, requests at the same place as requests.
#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_taken_and_large_requests_are_not() {
    let url = far(|_, asked| async move {
        let own = asked.addressing.reply_to.clone().unwrap();
        let large = envelope(CROSS_QUERY, |out| out.extend_from_slice(nothing_found(100_000).as_bytes()));
        let request = http::Request::post(own)
            .header("content-type", "application/soap+xml")
            .body(Full::new(Bytes::from(
                String::from_utf8(large)
                    .unwrap()
                    .replace(CROSS_QUERY, QUERY)
                    .replace("AdhocQueryResponse", "AdhocQueryRequest"),
            )))
            .unwrap();
        assert_eq!(client("client").request(request).await.unwrap().status().as_u16(), 413);
        assert_eq!(asked.answer(ANSWER, &asked.id(), &nothing_found(100_000)).await.status, 202);
        TAKEN
    })
    .await;
    let near = near(&url, "", "envelope_bytes = \"64 KiB\"").await;
    let response = ask(&near).await;
    assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_answers_are_awaited() {
    let url = far(|_, _| async { TAKEN }).await;
    let near = near(&url, "timeout = \"1s\"", "awaited_answers = 1").await;
    let query = find(PATIENT);
    let (one, other) = tokio::join!(
        near.query_at("initiating-gateway", QUERY, &query),
        near.query_at("initiating-gateway", QUERY, &query)
    );
    let mut told: Vec<_> = [one, other].iter().map(|response| response.errors[0].context.clone()).collect();
    told.sort();
    assert!(told.iter().any(|why| why.contains("too many answers are awaited")), "{told:?}");
    assert!(told.iter().any(|why| why.contains("did not answer within")), "{told:?}");
}
