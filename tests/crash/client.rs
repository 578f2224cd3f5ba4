//! The other side: submissions made from a number, and the requests that check what became of them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use causeway::model::ids::EntryUuid;
use causeway::model::metadata::build;
use causeway::model::response::{QueryResponse, RegistryResponse};
use causeway::model::rim::{Body, ObjectId, RegistryObject, Slot};
use causeway::model::stored_query::AdhocQuery;
use causeway::model::vocabulary::{self as v, association};
use causeway::transport::tls::{ReloadableClient, TlsFiles};
use causeway::wire::{ebrs, xdsb};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::broker::Installation;
use crate::support::{self, Reply};

/// A body that is made while it is sent.
pub type MadeBody = BoxBody<Bytes, Infallible>;

/// Longer than any answer takes here.
const PATIENCE: Duration = Duration::from_secs(60);
const BOUNDARY: &str = "boundary-7d1f3c0a9b5e4e62";
const SIMPLE: &str = "application/soap+xml; charset=UTF-8";

/// Every submission gets its ids below this arc.
const ARC: &str = "2.999.826.9";

/// Connections to one broker process.
#[derive(Clone)]
pub struct Access {
    base: String,
    client: Client<HttpsConnector<HttpConnector>, MadeBody>,
    /// The repository there.
    pub repository: String,
}

/// No answer, or only the beginning of one.
#[derive(Debug)]
pub struct Lost(#[allow(dead_code)] String); // read by Debug

impl Access {
    /// A client with the certificate that `causeway init` made.
    pub fn new(broker: &Installation) -> Self {
        let certs = broker.folder().join("certs");
        let tls = ReloadableClient::new(TlsFiles {
            certificate: certs.join("client.pem"),
            key: certs.join("client.key"),
            client_ca: certs.join("ca.pem"),
            crl: None,
        });
        let tls = tls.expect("client certificates");
        let connector =
            HttpsConnectorBuilder::new().with_tls_config((*tls.config()).clone()).https_only().enable_http1().build();
        Self {
            base: broker.url(""),
            client: Client::builder(TokioExecutor::new()).build(connector),
            repository: broker.repository.clone(),
        }
    }

    /// Sends a request; the answer's head is there.
    pub async fn send(
        &self,
        service: &str,
        content_type: &str,
        body: MadeBody,
    ) -> Result<http::Response<Incoming>, Lost> {
        let request = http::Request::post(format!("{}{service}", self.base))
            .header("content-type", content_type)
            .body(body)
            .expect("a request");
        self.client.request(request).await.map_err(|error| Lost(format!("{error:?}")))
    }

    /// Any envelope to any service.
    pub async fn call(&self, service: &str, envelope: Bytes) -> Reply {
        self.post(service, SIMPLE, envelope).await.expect("an answer")
    }

    async fn post(&self, service: &str, content_type: &str, body: Bytes) -> Result<Reply, Lost> {
        let exchange = async {
            let response = self.send(service, content_type, Full::new(body).boxed()).await?;
            let status = response.status().as_u16();
            let content_type = response.headers().get("content-type").and_then(|v| v.to_str().ok());
            let content_type = content_type.unwrap_or_default().to_owned();
            let body = response.into_body().collect().await.map_err(|error| Lost(format!("{error:?}")))?.to_bytes();
            Ok(Reply { status, content_type, body })
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("an answer, or a broken connection, in time")
    }

    /// ITI-41. A fault counts as a failure.
    pub async fn provide(&self, message: &Message) -> Result<Result<RegistryResponse, String>, Lost> {
        let reply = self.post("repository", &message.content_type, message.body.clone()).await?;
        Ok(if reply.status == 200 { Ok(reply.registry()) } else { Err(reply.text()) })
    }

    /// ITI-18.
    pub async fn query(&self, query: &AdhocQuery) -> QueryResponse {
        let envelope = support::envelope("urn:ihe:iti:2007:RegistryStoredQuery", |out| ebrs::write_query(out, query));
        let reply = self.post("registry", SIMPLE, envelope.into()).await.expect("an answer to a query");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.query()
    }

    /// ITI-43: by uniqueId the bytes, or the code of the error.
    pub async fn retrieve(&self, unique_ids: &[&str]) -> Vec<(String, Result<Vec<u8>, String>)> {
        let requests: Vec<_> = unique_ids.iter().map(|id| (None, self.repository.as_str(), *id)).collect();
        let (content_type, body) =
            support::mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &support::retrieve(&requests));
        let reply = self.post("repository", &content_type, body.into()).await.expect("an answer to a retrieve");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let (response, documents) = reply.retrieve();
        let parts = reply.parts();
        assert_eq!(parts.len(), documents.len() + 1, "a part for each document");
        let mut found: Vec<_> =
            documents.into_iter().zip(parts.into_iter().skip(1)).map(|((id, ..), bytes)| (id, Ok(bytes))).collect();
        found.extend(
            response
                .errors
                .into_iter()
                .map(|error| (error.location.clone().unwrap_or_default(), Err(error.code.as_str().to_owned()))),
        );
        found
    }
}

/// Octets that a number determines: the same for whoever has the number. Never a carriage return,
/// so that no boundary can be among them.
pub struct Octets(u64);

impl Octets {
    /// Those of that number.
    pub fn of(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Some of the generator's state.
    pub fn next(&mut self) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// The next so many of them.
    pub fn take(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            // 0x0d has no bit in common with 0x20.
            bytes.extend_from_slice(&(self.next() | 0x2020_2020_2020_2020).to_le_bytes());
        }
        bytes.truncate(size);
        bytes
    }
}

/// One SubmissionSet with one DocumentEntry; all of it follows from these few fields.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Unique in a test.
    pub number: u64,
    /// In CX form.
    pub patient: String,
    /// Octets of the document.
    pub size: usize,
    /// Its entryUUID, if the source gives one rather than the registry.
    pub uuid: Option<EntryUuid>,
    /// Number and entryUUID of the submission whose entry it replaces.
    pub replaces: Option<(u64, EntryUuid)>,
    /// The community that it is for, if it says so.
    pub home: Option<String>,
}

/// A message as it is sent, once or again.
#[derive(Clone)]
pub struct Message {
    content_type: String,
    body: Bytes,
}

impl Message {
    /// Its Content-Type, and its octets.
    pub fn parts(&self) -> (&str, &[u8]) {
        (&self.content_type, &self.body)
    }
}

impl Submission {
    /// A submission that replaces nothing.
    pub fn new(number: u64, patient: &str, size: usize) -> Self {
        Self { number, patient: patient.to_owned(), size, uuid: Some(EntryUuid::random()), replaces: None, home: None }
    }

    /// DocumentEntry.uniqueId
    pub fn unique_id(&self) -> String {
        format!("{ARC}.{}", self.number)
    }

    /// SubmissionSet.uniqueId
    pub fn set_id(&self) -> String {
        format!("{ARC}.{}.1", self.number)
    }

    /// The document.
    pub fn content(&self) -> Vec<u8> {
        Octets::of(self.number).take(self.size)
    }

    /// The metadata.
    pub fn objects(&self) -> Vec<RegistryObject<'static>> {
        let mut objects = support::submission_of(&self.set_id(), &self.unique_id(), &self.patient, "text/plain");
        let entry = self.entry_id();
        for object in &mut objects {
            if matches!(object.body, Body::ExtrinsicObject { .. }) {
                object.common.id = Some(entry.clone());
            }
            if let Body::Association { target, .. } = &mut object.body {
                *target = entry.clone();
            }
        }
        if let Some((_, replaced)) = self.replaces {
            objects.push(build::association(symbol("rplc"), association::RPLC, entry, replaced.into()));
        }
        objects
    }

    fn entry_id(&self) -> ObjectId<'static> {
        self.uuid.map_or_else(|| symbol("entry"), ObjectId::from)
    }

    /// What comes before the document's octets, and the type of it all.
    pub fn head(&self) -> (String, Vec<u8>) {
        let documents = [(self.entry_id().to_string(), "document@test".to_owned())];
        let objects = self.objects();
        let root = support::envelope("urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", |out| {
            let slots: Vec<_> = self.home.iter().map(|home| Slot::single("homeCommunityId", home.clone())).collect();
            xdsb::write_provide_with(out, &slots, &objects, &documents);
        });
        let mut head = format!(
            "--{BOUNDARY}\r\nContent-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\n\
             Content-Transfer-Encoding: binary\r\nContent-ID: <root@test>\r\n\r\n"
        )
        .into_bytes();
        head.extend_from_slice(&root);
        head.extend_from_slice(
            format!("\r\n--{BOUNDARY}\r\nContent-ID: <document@test>\r\nContent-Transfer-Encoding: binary\r\n\r\n")
                .as_bytes(),
        );
        let content_type = format!(
            "multipart/related; boundary=\"{BOUNDARY}\"; type=\"application/xop+xml\"; start=\"<root@test>\"; \
             start-info=\"application/soap+xml\""
        );
        (content_type, head)
    }

    /// What comes behind the document's octets.
    pub fn tail() -> String {
        format!("\r\n--{BOUNDARY}--\r\n")
    }

    /// The whole message. Each call makes another `wsa:MessageID`: to send it again, keep it.
    pub fn message(&self) -> Message {
        let (content_type, mut body) = self.head();
        body.extend_from_slice(&self.content());
        body.extend_from_slice(Self::tail().as_bytes());
        Message { content_type, body: body.into() }
    }
}

fn symbol(text: &'static str) -> ObjectId<'static> {
    ObjectId::Symbol(text.into())
}

fn query(id: &str, slots: Vec<Slot<'static>>) -> AdhocQuery {
    AdhocQuery { id: format!("urn:uuid:{id}"), home: None, return_type: Some("LeafClass".into()), slots }
}

fn statuses(name: &'static str) -> Slot<'static> {
    Slot::single(name, format!("('{}','{}')", v::APPROVED, v::DEPRECATED))
}

/// FindDocuments, Approved and Deprecated.
pub fn find_documents(patient: &str) -> AdhocQuery {
    let patient = Slot::single("$XDSDocumentEntryPatientId", format!("'{patient}'"));
    query("14d4debf-8f97-4251-9a74-a90016b0af0d", vec![patient, statuses("$XDSDocumentEntryStatus")])
}

/// GetSubmissionSetAndContents by the set's uniqueId.
pub fn set_and_contents(set_id: &str) -> AdhocQuery {
    query(
        "e8e3cb2c-e39c-46b9-99e4-c12f57260b83",
        vec![Slot::single("$XDSSubmissionSetUniqueId", format!("'{set_id}'"))],
    )
}

/// GetAll, Approved and Deprecated.
pub fn all_of(patient: &str) -> AdhocQuery {
    let slots = vec![
        Slot::single("$patientId", format!("'{patient}'")),
        statuses("$XDSDocumentEntryStatus"),
        statuses("$XDSSubmissionSetStatus"),
        statuses("$XDSFolderStatus"),
    ];
    query("10b545ea-725c-446d-9b95-8aeb444eddf3", slots)
}
