//! What foreign systems do otherwise: each message of `samples/quirks` is replayed as it stands, requests to a
//! broker, answers by a peer that is asked. And what a peer gets whose profile says so.

mod answers;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use causeway::model::response::ResponseStatus;
use causeway::transport::tls::{ReloadableClient, ReloadableServer};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const RETRIEVE: &str = "urn:ihe:iti:2007:RetrieveDocumentSet";
/// The broker that requests go to, as the messages have it.
const NEAR: &str = "urn:oid:2.999.826.1.99";
const NEAR_REPOSITORY: &str = "2.999.826.3.1.99";
const HELD: &str = "2.999.826.5.99.1";
const SOMEBODY: &str = "Q-1^^^&2.999.826.2.99&ISO";
/// The community whose answers are replayed.
const FAR: &str = "urn:oid:2.999.826.1.98";
const FAR_REPOSITORY: &str = "2.999.826.3.1.98";
const FAR_DOCUMENT: &str = "2.999.826.5.98.1";

/// A row of the manifest.
#[derive(Deserialize)]
struct Quirk {
    id: String,
    what: String,
    known: String,
    direction: String,
    expected: String,
    contains: Option<String>,
    document: Option<String>,
    trace: Option<String>,
    ask: Option<String>,
    #[serde(default)]
    peer: String,
}

#[derive(Deserialize)]
struct Manifest {
    quirk: Vec<Quirk>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/quirks")
}

fn quirks(direction: &str) -> Vec<Quirk> {
    let text = std::fs::read_to_string(folder().join("manifest.toml")).expect("the manifest");
    let manifest: Manifest = toml::from_str(&text).expect("a readable manifest");
    manifest.quirk.into_iter().filter(|quirk| quirk.direction == direction).collect()
}

fn letter() -> Vec<u8> {
    std::fs::read(folder().join("letter.pdf")).expect("the letter")
}

impl Quirk {
    fn message(&self) -> Vec<u8> {
        std::fs::read(folder().join(format!("{}.http", self.id))).expect("a message")
    }
}

/// Where a head ends.
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A header's value.
fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The body of a message in chunks.
fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).expect("a size");
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

/// What came back to bytes that were sent as they are, up to the connection's end.
fn reply(bytes: &[u8]) -> Reply {
    let end = head_end(bytes).unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(bytes)));
    let head = std::str::from_utf8(&bytes[..end]).expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    if (100..200).contains(&status) {
        return reply(&bytes[end..]);
    }
    let chunked = header(head, "transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
    assert!(!(chunked && head.starts_with("HTTP/1.0")), "HTTP/1.0 has no chunks: {head}");
    let body = if chunked { dechunked(&bytes[end..]) } else { bytes[end..].to_vec() };
    Reply { status, content_type: header(head, "content-type").unwrap_or_default().to_owned(), body: body.into() }
}

/// Sends bytes over mutual TLS, and takes what comes.
async fn send(broker: &TestBroker, bytes: &[u8]) -> Reply {
    let tls = ReloadableClient::new(CERTIFICATES.files("client")).expect("client certificates");
    let connector = tokio_rustls::TlsConnector::from(tls.config());
    let stream = TcpStream::connect(broker.address).await.expect("a connection");
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = connector.connect(name, stream).await.expect("a handshake");
    stream.write_all(bytes).await.expect("it takes the request");
    stream.flush().await.expect("it takes the request");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    reply(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_foreign_systems_are_answered_as_the_table_says() {
    let options = Options { home: Some(NEAR.into()), repository: Some(NEAR_REPOSITORY.into()), ..Options::default() };
    let broker = TestBroker::start(options).await;
    let (objects, letter) = (submission(HELD, SOMEBODY, "application/pdf"), letter());
    let stored = broker.provide_objects(&objects, &[("entry", letter.as_slice())]).await.registry();
    assert!(stored.errors.is_empty(), "{:?}", stored.errors);
    let rows = quirks("request");
    assert!(rows.len() > 25);
    for quirk in &rows {
        let Quirk { id, expected, .. } = quirk;
        let reply = send(&broker, &quirk.message()).await;
        let text = reply.text();
        match expected.as_str() {
            "fault" => assert!(reply.fault().is_some(), "{id}: {text}"),
            "answered" => assert_eq!((reply.status, reply.fault()), (200, None), "{id}: {text}"),
            "entry" => {
                let response = reply.query();
                assert_eq!(response.status, ResponseStatus::Success, "{id}: {:?}", response.errors);
                assert!(unpacked(&response).iter().any(|object| object.unique_id() == Some(HELD)), "{id}: {text}");
            }
            "letter" => {
                let (response, documents) = reply.retrieve();
                assert_eq!(response.status, ResponseStatus::Success, "{id}: {:?}", response.errors);
                assert_eq!(documents.len(), 1, "{id}");
                assert!(reply.parts()[1] == letter, "{id}: other bytes");
            }
            "stored" => {
                let response = reply.registry();
                assert!(response.errors.is_empty(), "{id}: {:?}", response.errors);
                let payload = retrieve(&[(None, NEAR_REPOSITORY, quirk.document.as_deref().expect("a document"))]);
                let (content_type, body) = mtom_request(RETRIEVE, &payload);
                let back = broker.post("repository", &content_type, body).await;
                assert!(back.parts().get(1) == Some(&letter), "{id}: other bytes");
            }
            other => panic!("{id}: {other} is no outcome"),
        }
        if let Some(contains) = &quirk.contains {
            assert!(text.contains(contains), "{id}: {text}");
        }
        if let Some(trace) = &quirk.trace {
            let last = broker.broker.explanations().latest(1).pop().expect("an explanation");
            assert_eq!(last.trace.id_hex(), *trace, "{id}");
        }
    }
}

/// A request as a peer has received it.
#[derive(Clone)]
struct Got {
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> Option<Got> {
    let (mut bytes, mut block) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(end) = head_end(&bytes) {
            let head = String::from_utf8(bytes[..end].to_vec()).expect("a head");
            // Servers that take no chunks would answer 411.
            let length = header(&head, "content-length").or(head.starts_with("GET").then_some("0"));
            let length: usize = length.expect("a length").parse().expect("a number");
            if bytes.len() == end + length {
                return Some(Got { head, body: bytes.split_off(end) });
            }
        }
        let read = stream.read(&mut block).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&block[..read]);
    }
}

/// A peer that answers each request, the first being 0, with these bytes, and closes the connection unless they
/// have a length.
struct Canned {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    connections: Arc<Mutex<usize>>,
}

impl Canned {
    async fn start(answer: impl Fn(usize, &Got) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let tls = ReloadableServer::new(CERTIFICATES.files("server")).expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://127.0.0.1:{}/xca/gateway", listener.local_addr().unwrap().port());
        let (got, connections, answer) = (Arc::default(), Arc::default(), Arc::new(answer));
        let (all, counted): (Arc<Mutex<Vec<Got>>>, Arc<Mutex<usize>>) = (Arc::clone(&got), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, all, answer) = (tls.acceptor(), Arc::clone(&all), Arc::clone(&answer));
                *counted.lock().unwrap() += 1;
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    while let Some(request) = receive(&mut stream).await {
                        let number = all.lock().unwrap().len();
                        all.lock().unwrap().push(request.clone());
                        let bytes = answer(number, &request);
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.flush().await;
                        let head = head_end(&bytes).map(|end| String::from_utf8_lossy(&bytes[..end]).into_owned());
                        if head.is_none_or(|head| header(&head, "content-length").is_none()) {
                            break;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { url, got, connections }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

/// The answer to a query that finds nothing, on a connection that stays open.
fn nothing_found() -> Vec<u8> {
    let body = "<e:Envelope xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Body><AdhocQueryResponse \
                xmlns=\"urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0\" \
                status=\"urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success\"><RegistryObjectList \
                xmlns=\"urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0\"/></AdhocQueryResponse></e:Body></e:Envelope>";
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What a test sets of its peer, after its address; what stands before all peers.
fn options(url: &str, peer: &str, before: &str) -> Options {
    let more = format!(
        "{before}\n[[peer]]\nname = \"Far\"\nhome_community_id = \"{FAR}\"\nresponding_gateway = \"{url}\"\n{peer}\n"
    );
    Options { home: Some(NEAR.into()), repository: Some(NEAR_REPOSITORY.into()), more, ..Options::default() }
}

/// Every message of the folder is in the table, every row has its message and says what it is about, and the
/// documentation has it.
#[test]
fn the_table_has_every_message() {
    let rows: Vec<Quirk> = ["request", "answer"].into_iter().flat_map(quirks).collect();
    let pages = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/peers.md")).expect("the page");
    for quirk in &rows {
        assert!(!quirk.what.is_empty() && !quirk.known.is_empty() && !quirk.message().is_empty(), "{}", quirk.id);
        assert!(pages.contains(&format!("`{}`", quirk.id)), "{} is not in docs/peers.md", quirk.id);
    }
    let files = std::fs::read_dir(folder()).expect("the folder").flatten();
    let messages = files.filter(|file| file.path().extension().is_some_and(|end| end == "http")).count();
    assert_eq!(messages, rows.len());
    for (setting, _) in causeway::transport::peer::profile::PeerProfile::default().settings() {
        assert!(pages.contains(&format!("`{setting}`")), "{setting} is not in docs/peers.md");
    }
    for known in causeway::transport::peer::profile::PeerProfile::known() {
        assert!(pages.contains(&format!("`{}`", known.name)), "{} is not in docs/peers.md", known.name);
    }
}
