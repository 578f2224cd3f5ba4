//! A hospital: Document Source and Document Consumer, as any system outside a broker would be.
//!
//! All it has is a client certificate and addresses; what it does goes through mutual TLS.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use http::Uri;
use tokio::time::timeout;

use super::DemoError;
use super::documents::Submission;
use crate::broker;
use crate::config::Limits;
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest};
use crate::model::ids::{HomeCommunityId, PatientId, RepositoryUniqueId, UniqueId};
use crate::model::response::{QueryResponse, RegistryError, RegistryResponse};
use crate::model::rim::Slot;
use crate::model::stored_query::{AdhocQuery, QueryDefinition, QueryKind};
use crate::model::vocabulary::{APPROVED, slot};
use crate::store::hex;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::answer::{Part, content_id, envelope, message_token};
use crate::transport::message::Bounds;
use crate::transport::peer::{Outbound, SoapClient, read_answer, request_envelope, retrieve_response};
use crate::transport::tls::{ReloadableClient, TlsFiles};
use crate::wire::soap::{ANONYMOUS, Addressing, Version};
use crate::wire::{ebrs, xdsb};

/// Longest time for one answer: beyond the deadline after which a broker names who is missing.
const PATIENCE: Duration = Duration::from_secs(40);

/// How much of a document is handed on at a time.
const CHUNK: usize = 64 * 1024;

/// A system with a client certificate.
pub struct Hospital {
    tls: Arc<ReloadableClient>,
    bounds: Bounds,
}

/// A document of an answer to FindDocuments.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub request: DocumentRequest,
    /// Its title.
    pub title: String,
    /// Its media type.
    pub mime_type: String,
    /// When it was made.
    pub creation_time: String,
    /// Its SHA-1, as its entry states it.
    pub hash: String,
}

/// The answer to FindDocuments.
pub struct Answer {
    /// The response as it came.
    pub response: QueryResponse,
    /// What it found.
    pub found: Vec<Found>,
}

/// A document that was retrieved.
#[derive(Debug, Clone)]
pub struct Retrieved {
    /// Which.
    pub request: DocumentRequest,
    /// Octets received.
    pub bytes: u64,
    /// The SHA-1 of what was received.
    pub hash: String,
}

/// The answer to a retrieve, and what its bodies were.
pub struct Delivery {
    /// Errors and warnings of the root part.
    pub errors: Vec<RegistryError>,
    /// The documents whose bodies came whole.
    pub documents: Vec<Retrieved>,
}

impl Hospital {
    /// A system that shows this certificate, and trusts this authority.
    ///
    /// # Errors
    /// When certificate, key or authority cannot be used.
    pub fn new(certificate: TlsFiles) -> Result<Self, DemoError> {
        Ok(Self { tls: Arc::new(ReloadableClient::new(certificate)?), bounds: broker::bounds(&Limits::default()) })
    }

    /// A connection to a service; nothing is connected yet.
    pub fn client(&self, service: Uri) -> SoapClient {
        SoapClient::new(Arc::clone(&self.tls), service, self.bounds.clone())
    }

    /// Provides and registers a document (ITI-41).
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn submit(&self, repository: &SoapClient, submission: Submission) -> Result<RegistryResponse, DemoError> {
        let transaction = Transaction::of(TransactionId::ProvideAndRegisterDocumentSet);
        let addressing = Addressing {
            action: Some(transaction.action.to_owned()),
            message_id: Some(submission.message_id),
            to: Some(repository.uri().to_string()),
            reply_to: Some(ANONYMOUS.to_owned()),
            ..Addressing::default()
        };
        let token = message_token();
        let part = Part {
            content_id: content_id(&token, 0),
            media_type: submission.mime_type,
            size: Some(submission.content.len() as u64),
        };
        let documents = [(submission.entry_id, part.content_id.clone())];
        let root =
            envelope(Version::V12, &addressing, None, |out| xdsb::write_provide(out, &submission.objects, &documents));
        let source: Box<dyn BodySource> = Box::new(Held { started: false, rest: submission.content });
        let outbound = Outbound { parts: vec![part], sources: vec![source], token, ..Outbound::simple(root, None) };
        let call = async {
            let message = repository.call(transaction, outbound).await?;
            read_answer(&message.root, self.bounds.xml, ebrs::read_registry_response)
        };
        patiently(call).await
    }

    /// Asks for a patient's documents (ITI-18 FindDocuments: Approved, LeafClass).
    ///
    /// # Errors
    /// When no answer comes, or one that is none.
    pub async fn find(&self, service: &SoapClient, patient: &PatientId) -> Result<Answer, DemoError> {
        let transaction = Transaction::of(TransactionId::RegistryStoredQuery);
        let query = AdhocQuery {
            id: QueryDefinition::of(QueryKind::FindDocuments).id.to_owned(),
            home: None,
            return_type: Some("LeafClass".to_owned()),
            slots: vec![
                Slot::single("$XDSDocumentEntryPatientId", format!("'{}'", patient.to_cx().replace('\'', "''"))),
                Slot::single("$XDSDocumentEntryStatus", format!("('{APPROVED}')")),
            ],
        };
        let root = request_envelope(transaction, service.uri(), None, |out| ebrs::write_query(out, &query));
        let outbound = Outbound::simple(root, None);
        let call = async {
            let message = service.call(transaction, outbound).await?;
            read_answer(&message.root, self.bounds.xml, ebrs::read_query_response)
        };
        let response = patiently(call).await?;
        let found = response.objects.iter().map(|packed| {
            let entry = packed.unpack().map_err(|error| DemoError::Answer(error.to_string()))?;
            let missing = |what: &str| DemoError::Answer(format!("an entry came without a usable {what}"));
            let text = |name| entry.common.slot_value(name).unwrap_or_default();
            // A registry asked alone need not name its community; a gateway must, which the report sees.
            let home = entry.common.home.as_deref().unwrap_or_default();
            Ok(Found {
                request: DocumentRequest {
                    home: HomeCommunityId::parse(home).ok(),
                    repository: RepositoryUniqueId::parse(text(slot::REPOSITORY_UNIQUE_ID))
                        .map_err(|_| missing("repositoryUniqueId"))?,
                    unique_id: UniqueId::parse(entry.unique_id().unwrap_or_default())
                        .map_err(|_| missing("uniqueId"))?,
                },
                title: entry.title().unwrap_or_default().to_owned(),
                mime_type: match &entry.body {
                    crate::model::rim::Body::ExtrinsicObject { mime_type: Some(mime_type), .. } => {
                        mime_type.to_string()
                    }
                    _ => String::new(),
                },
                creation_time: text(slot::CREATION_TIME).to_owned(),
                hash: text(slot::HASH).to_owned(),
            })
        });
        let found = found.collect::<Result<Vec<_>, DemoError>>()?;
        Ok(Answer { response, found })
    }

    /// Retrieves documents (ITI-43). Bodies are hashed as they come, a chunk at a time.
    ///
    /// # Errors
    /// When no answer comes, or it breaks off.
    pub async fn retrieve(&self, service: &SoapClient, requests: &[DocumentRequest]) -> Result<Delivery, DemoError> {
        let transaction = Transaction::of(TransactionId::RetrieveDocumentSet);
        let root = request_envelope(transaction, service.uri(), None, |out| xdsb::write_retrieve(out, requests));
        let outbound = Outbound::simple(root, None);
        let call = async {
            let message = service.call(transaction, outbound).await?;
            retrieve_response(message, self.bounds.xml)
        };
        let mut response = patiently(call).await?;
        let mut documents = Vec::with_capacity(response.documents.len());
        let bodies = async {
            for source in &mut response.sources {
                while let Some(number) = source.next_document().await? {
                    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                    let mut bytes = 0;
                    while let Some(chunk) = source.next_chunk().await? {
                        hash.update(&chunk);
                        bytes += chunk.len() as u64;
                    }
                    if let Some(document) = response.documents.get(number) {
                        let request = document.request.clone();
                        documents.push(Retrieved { request, bytes, hash: hex(hash.finish().as_ref()) });
                    }
                }
            }
            Ok::<(), BodyError>(())
        };
        timeout(PATIENCE, bodies).await.map_err(|_| DemoError::Silence)??;
        Ok(Delivery { errors: response.errors, documents })
    }
}

async fn patiently<T>(
    call: impl Future<Output = Result<T, crate::actors::ports::PeerFailure>>,
) -> Result<T, DemoError> {
    Ok(timeout(PATIENCE, call).await.map_err(|_| DemoError::Silence)??)
}

/// One document that is in memory already, as the samples are.
struct Held {
    started: bool,
    rest: Bytes,
}

impl BodySource for Held {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        let first = !std::mem::replace(&mut self.started, true);
        Box::pin(async move { Ok(first.then_some(0)) })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        let chunk = self.rest.split_to(CHUNK.min(self.rest.len()));
        Box::pin(async move { Ok(Some(chunk).filter(|chunk| !chunk.is_empty())) })
    }
}
