//! Brokers, certificates and a client for the tests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use causeway::broker::Broker;
use causeway::config::Config;
use causeway::model::ids::EntryUuid;
use causeway::model::metadata::build::{self, Code};
use causeway::model::response::QueryResponse;
use causeway::model::rim::{ObjectId, RegistryObject, Slot};
use causeway::model::stored_query::AdhocQuery;
use causeway::model::vocabulary::{self as v, identifier, scheme, slot};
use causeway::transport::certificates::{DevelopmentOptions, write_development_set};
use causeway::transport::tls::{ReloadableClient, TlsFiles};
use causeway::wire::{ebrs, soap, xdsb, xml};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;

pub const HOME: &str = "urn:oid:1.3.6.1.4.1.21367.13.70.200";
pub const REPOSITORY: &str = "1.3.6.1.4.1.21367.13.71.200";
pub const PATIENT: &str = "9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO";

/// Processor time that a process or thread has used, to a hundredth of a second, from its `stat` below `/proc`.
pub fn processor(stat: &str) -> Duration {
    let text = std::fs::read_to_string(stat).expect("a process to look at");
    let (_, fields) = text.rsplit_once(')').expect("a name in parentheses");
    let mut fields = fields.split_ascii_whitespace().skip(11).map(|ticks| ticks.parse::<u64>().expect("ticks"));
    Duration::from_millis(10 * (fields.next().expect("utime") + fields.next().expect("stime")))
}

/// One set of development certificates for all tests of this run.
pub struct Certificates {
    _dir: TempDir,
    pub path: PathBuf,
}

pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("certs");
    let not_before = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(5);
    write_development_set(&path, &DevelopmentOptions::new(not_before)).expect("development certificates");
    Certificates { _dir: dir, path }
});

impl Certificates {
    pub fn files(&self, name: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.path.join(format!("{name}.pem")),
            key: self.path.join(format!("{name}.key")),
            client_ca: self.path.join("ca.pem"),
            crl: None,
        }
    }
}

pub type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// An HTTPS client that shows the certificate of that name.
pub fn client(name: &str) -> HttpClient {
    client_with(CERTIFICATES.files(name))
}

/// The same with those files.
pub fn client_with(files: TlsFiles) -> HttpClient {
    let tls = ReloadableClient::new(files).expect("client certificates");
    let connector =
        HttpsConnectorBuilder::new().with_tls_config((*tls.config()).clone()).https_only().enable_http1().build();
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A broker of one test.
pub struct TestBroker {
    pub broker: Broker,
    pub dir: TempDir,
    pub address: SocketAddr,
    pub client: HttpClient,
}

/// What a test sets of its broker.
#[derive(Default)]
pub struct Options {
    /// TOML behind the community section.
    pub more: String,
    /// Keys of `[limits]`.
    pub limits: String,
    /// Another identity than [`HOME`].
    pub home: Option<String>,
    /// Another repository than [`REPOSITORY`].
    pub repository: Option<String>,
    /// A code file to enforce.
    pub codes: Option<PathBuf>,
    /// Keys of `[patients]`.
    pub patients: String,
    /// Nobody may update, remove, or ask about many patients.
    pub no_administrator: bool,
    /// Stores on disk rather than in memory.
    pub on_disk: bool,
}

pub fn toml(dir: &Path, options: &Options) -> String {
    let certs = CERTIFICATES.path.display();
    let (metadata, documents) = if options.on_disk {
        ("sled:data/registry", "file:data/documents")
    } else {
        ("memory:", "file:data/documents")
    };
    let codes = match &options.codes {
        Some(file) => format!("[codes]\nfile = \"{}\"\nenforce = true\n", file.display()),
        None => String::new(),
    };
    std::fs::create_dir_all(dir.join("data")).expect("a data folder");
    let listed = if options.no_administrator { "" } else { "\"*\"" };
    format!(
        "[community]\nname = \"Test Community\"\nhome_community_id = \"{}\"\nrepository_unique_id = \"{}\"\nprofile = \"demo\"\n\
         [patients]\n{}\n{codes}\
         [storage]\nmetadata = \"{metadata}\"\ndocuments = \"{documents}\"\n\
         [admin]\nbind = \"127.0.0.1:0\"\n\
         [limits]\n{}\n\
         [[listener]]\nbind = \"127.0.0.1:0\"\n\
         tls = {{ certificate = \"{certs}/server.pem\", key = \"{certs}/server.key\", client_ca = \"{certs}/ca.pem\", crl = \"{certs}/ca.crl\" }}\n\
         administrators = [{listed}]\nmany_patients = [{listed}]\n\
         {}\n",
        options.home.as_deref().unwrap_or(HOME),
        options.repository.as_deref().unwrap_or(REPOSITORY),
        options.patients,
        options.limits,
        options.more,
    )
}

impl TestBroker {
    pub async fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(dir, options).await
    }

    pub async fn start_in(dir: TempDir, options: Options) -> Self {
        let text = toml(dir.path(), &options);
        let config = Config::from_toml(&text, dir.path()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let broker = Broker::start(config).await.expect("a broker");
        let address = broker.addresses()[0];
        Self { broker, dir, address, client: client("client") }
    }

    pub fn url(&self, service: &str) -> String {
        format!("https://127.0.0.1:{}/services/{service}", self.address.port())
    }

    pub async fn post(&self, service: &str, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let request = http::Request::post(self.url(service))
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .expect("a request");
        let response = tokio::time::timeout(Duration::from_secs(60), self.client.request(request))
            .await
            .expect("an answer in time")
            .expect("an answer");
        let status = response.status().as_u16();
        let content_type =
            response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Reply { status, content_type, body }
    }

    /// Sends a payload in an envelope of ours.
    pub async fn call(&self, service: &str, action: &str, payload: impl FnOnce(&mut Vec<u8>)) -> Reply {
        let envelope = envelope(action, payload);
        self.post(service, "application/soap+xml; charset=UTF-8", envelope).await
    }

    pub async fn query_at(&self, service: &str, action: &str, query: &AdhocQuery) -> QueryResponse {
        let reply = self.call(service, action, |out| ebrs::write_query(out, query)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.query()
    }

    pub async fn query(&self, query: &AdhocQuery) -> QueryResponse {
        self.query_at("registry", "urn:ihe:iti:2007:RegistryStoredQuery", query).await
    }

    /// Provides one document and expects its success.
    pub async fn provide(&self, unique_id: &str, patient: &str, content: &[u8]) {
        let reply = self.provide_objects(&submission(unique_id, patient, "text/plain"), &[("entry", content)]).await;
        let response = reply.registry();
        assert!(response.errors.is_empty(), "{:?}", response.errors);
    }

    pub async fn provide_objects(&self, objects: &[RegistryObject<'_>], documents: &[(&str, &[u8])]) -> Reply {
        let (content_type, body) = package(objects, documents);
        self.post("repository", &content_type, body).await
    }
}

pub fn envelope(action: &str, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(soap::new_message_id()),
        ..soap::Addressing::default()
    };
    causeway::transport::answer::envelope(soap::Version::V12, &addressing, None, payload)
}

/// An ITI-41 message as MTOM.
pub fn package(objects: &[RegistryObject<'_>], documents: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let ids: Vec<(String, String)> =
        documents.iter().enumerate().map(|(n, (id, _))| ((*id).to_owned(), format!("{n}@test"))).collect();
    let root =
        envelope("urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", |out| xdsb::write_provide(out, objects, &ids));
    let mut body = b"--b\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-ID: <root@test>\r\n\r\n".to_vec();
    body.extend_from_slice(&root);
    for ((_, content), (_, id)) in documents.iter().zip(&ids) {
        body.extend_from_slice(
            format!("\r\n--b\r\nContent-ID: <{id}>\r\nContent-Transfer-Encoding: binary\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
    }
    body.extend_from_slice(b"\r\n--b--\r\n");
    let content_type = "multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<root@test>\"; start-info=\"application/soap+xml\"";
    (content_type.to_owned(), body)
}

/// An answer.
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The envelope, out of its package if it is in one.
    pub fn root(&self) -> String {
        if !self.content_type.starts_with("multipart/") {
            return self.text();
        }
        self.parts().into_iter().next().map(|part| String::from_utf8_lossy(&part).into_owned()).unwrap_or_default()
    }

    /// The parts' contents in order.
    pub fn parts(&self) -> Vec<Vec<u8>> {
        use causeway::wire::mtom::{Event, Limits, MultipartReader, Packaging};
        let Ok(Packaging::Multipart(params)) = Packaging::parse(&self.content_type) else {
            panic!("{}", self.content_type)
        };
        let mut reader = MultipartReader::new(params.boundary.as_bytes(), Limits::default());
        reader.feed(self.body.clone());
        let mut parts: Vec<Vec<u8>> = Vec::new();
        while let Some(event) = reader.next_event().expect("a well-formed package") {
            match event {
                Event::PartStart(_) => parts.push(Vec::new()),
                Event::Data(data) => parts.last_mut().expect("data in a part").extend_from_slice(&data),
                Event::PartEnd => {}
                Event::End => break,
            }
        }
        reader.finish().expect("a whole package");
        parts
    }

    pub fn read<T>(&self, read: impl FnOnce(xml::Node<'_, '_>) -> T) -> T {
        let root = self.root();
        let document = xml::Document::parse(&root, xml::Limits::default()).unwrap_or_else(|e| panic!("{e}: {root}"));
        let envelope = soap::read(&document).unwrap_or_else(|e| panic!("{e}: {root}"));
        read(envelope.payload)
    }

    pub fn fault(&self) -> Option<String> {
        self.read(soap::received_fault)
    }

    pub fn registry(&self) -> causeway::model::response::RegistryResponse {
        self.read(|node| ebrs::read_registry_response(node).unwrap_or_else(|e| panic!("{e}: {}", self.text())))
    }

    pub fn query(&self) -> QueryResponse {
        self.read(|node| ebrs::read_query_response(node).unwrap_or_else(|e| panic!("{e}: {}", self.text())))
    }

    pub fn retrieve(&self) -> (causeway::model::response::RegistryResponse, Vec<(String, Option<String>, String)>) {
        self.read(|node| {
            let (response, documents) =
                xdsb::read_retrieve_response(node).unwrap_or_else(|e| panic!("{e}: {}", self.text()));
            let documents = documents
                .into_iter()
                .map(|d| {
                    (
                        d.unique_id.map(|id| id.to_string()).unwrap_or_default(),
                        d.home.map(|h| h.to_string()),
                        d.mime_type,
                    )
                })
                .collect();
            (response, documents)
        })
    }
}

fn code(code: &str, scheme: &str) -> Code {
    Code { code: code.into(), scheme: scheme.into(), display: code.into() }
}

/// A SubmissionSet with one DocumentEntry, `set` and `entry` by their symbolic ids.
pub fn submission(unique_id: &str, patient: &str, mime: &str) -> Vec<RegistryObject<'static>> {
    submission_of(&format!("{unique_id}.1"), unique_id, patient, mime)
}

/// The same with an id of its own for the set.
pub fn submission_of(set_id: &str, unique_id: &str, patient: &str, mime: &str) -> Vec<RegistryObject<'static>> {
    let set_id = set_id.to_owned();
    let symbol = |text: &str| ObjectId::Symbol(text.to_owned().into());
    let mut entry = build::document_entry(symbol("entry"), mime.to_owned());
    entry.common.names = build::name(format!("Letter {unique_id}"));
    entry.common.slots = vec![
        Slot::single(slot::CREATION_TIME, "20260301120000"),
        Slot::single(slot::LANGUAGE_CODE, "en-GB"),
        Slot::single(slot::SOURCE_PATIENT_ID, "4711^^^&2.999.826.2.1.1&ISO"),
    ];
    entry.classifications = vec![
        build::author(scheme::ENTRY_AUTHOR, &[(slot::AUTHOR_PERSON, "^Okafor^Nneka^^^Dr")]),
        build::code(scheme::CLASS_CODE, &code("373942005", "2.16.840.1.113883.6.96")),
        build::code(scheme::TYPE_CODE, &code("373942005", "2.16.840.1.113883.6.96")),
        build::code(scheme::CONFIDENTIALITY_CODE, &code("N", "2.16.840.1.113883.5.25")),
        build::code(scheme::FORMAT_CODE, &code("urn:ihe:iti:xds:2017:mimeTypeSufficient", "1.3.6.1.4.1.19376.1.2.3")),
        build::code(scheme::FACILITY_TYPE_CODE, &code("22232009", "2.16.840.1.113883.6.96")),
        build::code(scheme::PRACTICE_SETTING_CODE, &code("1323691000000101", "2.16.840.1.113883.6.96")),
    ];
    entry.identifiers = vec![
        build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_owned()),
        build::external_identifier(identifier::ENTRY_UNIQUE_ID, unique_id.to_owned()),
    ];
    let mut set = build::package(symbol("set"), v::SUBMISSION_SET_NODE);
    set.common.slots = vec![Slot::single(slot::SUBMISSION_TIME, "20260301120500")];
    set.classifications.push(build::code(scheme::CONTENT_TYPE_CODE, &code("22232009", "2.16.840.1.113883.6.96")));
    set.identifiers = vec![
        build::external_identifier(identifier::SET_PATIENT_ID, patient.to_owned()),
        build::external_identifier(identifier::SET_SOURCE_ID, "2.999.826.2.1.1"),
        build::external_identifier(identifier::SET_UNIQUE_ID, set_id),
    ];
    vec![set, entry, build::original(symbol("member"), symbol("set"), symbol("entry"))]
}

/// FindDocuments, Approved.
pub fn find(patient: &str) -> AdhocQuery {
    AdhocQuery {
        id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
        home: None,
        return_type: Some("LeafClass".into()),
        slots: vec![
            Slot::single("$XDSDocumentEntryPatientId", format!("'{patient}'")),
            Slot::single("$XDSDocumentEntryStatus", format!("('{}')", v::APPROVED)),
        ],
    }
}

/// GetDocuments by entryUUID.
pub fn get(uuid: EntryUuid) -> AdhocQuery {
    AdhocQuery {
        id: "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4".into(),
        home: None,
        return_type: Some("LeafClass".into()),
        slots: vec![Slot::single("$XDSDocumentEntryEntryUUID", format!("('{uuid}')"))],
    }
}

/// A retrieve request's payload.
pub fn retrieve(requests: &[(Option<&str>, &str, &str)]) -> Vec<u8> {
    let mut out = format!("<x:RetrieveDocumentSetRequest xmlns:x=\"{}\">", v::ns::XDSB).into_bytes();
    for (home, repository, unique_id) in requests {
        out.extend_from_slice(b"<x:DocumentRequest>");
        if let Some(home) = home {
            out.extend_from_slice(format!("<x:HomeCommunityId>{home}</x:HomeCommunityId>").as_bytes());
        }
        out.extend_from_slice(
            format!("<x:RepositoryUniqueId>{repository}</x:RepositoryUniqueId><x:DocumentUniqueId>{unique_id}</x:DocumentUniqueId></x:DocumentRequest>").as_bytes(),
        );
    }
    out.extend_from_slice(b"</x:RetrieveDocumentSetRequest>");
    out
}

/// A request packaged as MTOM without attachments.
pub fn mtom_request(action: &str, payload: &[u8]) -> (String, Vec<u8>) {
    let root = envelope(action, |out| out.extend_from_slice(payload));
    let mut body = b"--b\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-ID: <root@test>\r\n\r\n".to_vec();
    body.extend_from_slice(&root);
    body.extend_from_slice(b"\r\n--b--\r\n");
    ("multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<root@test>\"; start-info=\"application/soap+xml\"".into(), body)
}

/// The audit trail's records as XML texts.
pub fn audit_records(broker: &Broker) -> Vec<String> {
    let records = broker.audit_trail().read_all().expect("a readable trail");
    records.map(|record| String::from_utf8_lossy(&record.expect("an intact record").1).into_owned()).collect()
}

/// The records of a trail that nobody has open any more.
pub fn records_in(folder: &Path) -> Vec<String> {
    let records = causeway::store::audit_trail::AuditRecords::in_folder(folder).expect("a readable trail");
    records.map(|record| String::from_utf8_lossy(&record.expect("an intact record").1).into_owned()).collect()
}

/// The patients of a query's answer and other attributes, unpacked.
pub fn unpacked(response: &QueryResponse) -> Vec<RegistryObject<'_>> {
    response.objects.iter().map(|object| object.unpack().expect("an intact object")).collect()
}

pub fn arc<T>(value: T) -> Arc<T> {
    Arc::new(value)
}

/// What the admin listener says at a path.
pub async fn admin_get(admin: SocketAddr, path: &str) -> String {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let request =
        http::Request::get(format!("http://{admin}{path}")).body(Full::<Bytes>::default()).expect("a request");
    let response = client.request(request).await.expect("an answer");
    String::from_utf8(response.into_body().collect().await.expect("a whole answer").to_bytes().into()).expect("text")
}
