//! Documents on their way: what is asked for, what comes, and the stream it comes in.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use super::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use super::response::{RegistryError, ResponseStatus, has_error};

/// One entry of a RetrieveDocumentSetRequest (ITI TF-2 §3.43.4.1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DocumentRequest {
    /// The community that holds it; absent inside one community.
    pub home: Option<HomeCommunityId>,
    /// The repository that holds it.
    pub repository: RepositoryUniqueId,
    /// Which document.
    pub unique_id: UniqueId,
}

/// A document as the root part of a retrieve answer announces it (ITI TF-2 §3.43.4.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrievedDocument {
    /// The request it answers, echoed.
    pub request: DocumentRequest,
    /// On-demand, persisted: where the snapshot is.
    pub new_repository: Option<RepositoryUniqueId>,
    /// On-demand: the snapshot's uniqueId.
    pub new_unique_id: Option<UniqueId>,
    /// As registered.
    pub mime_type: String,
    /// Octets, where known beforehand.
    pub size: Option<u64>,
}

/// A stream of document bytes broke.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Reading our own store failed.
    #[error("reading the document from the store failed: {0}")]
    Store(#[from] std::io::Error),
    /// The bytes read are not the bytes stored.
    #[error("the stored document is damaged: {0}")]
    Damaged(String),
    /// The bytes are not those that the document's entry stated.
    #[error("the document has other bytes than its entry states")]
    OtherBytes,
    /// The peer broke off or broke the rules.
    #[error("the community's answer broke off: {0}")]
    Peer(String),
}

impl BodyError {
    /// What a log or the audit trail may say of it: a peer's words may be anything.
    pub fn without_their_words(&self) -> String {
        match self {
            Self::Peer(_) => "the community's answer broke off".to_owned(),
            Self::Store(_) | Self::Damaged(_) | Self::OtherBytes => self.to_string(),
        }
    }
}

/// A boxed future, for traits that must be objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bodies of several documents, one after another, in the order in which they come: a file of
/// our store, or the parts of one peer's answer. A chunk at a time is in memory.
pub trait BodySource: Send {
    /// Moves to the next document; its number in [`RetrieveResponse::documents`], or none.
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>>;

    /// The next chunk of the document moved to; none at its end.
    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>>;
}

/// The answer to a retrieve: the root part's content and the bodies behind it.
pub struct RetrieveResponse {
    /// Errors and warnings.
    pub errors: Vec<RegistryError>,
    /// What is coming.
    pub documents: Vec<RetrievedDocument>,
    /// Where it comes from; each yields documents by number, every number once over all.
    pub sources: Vec<Box<dyn BodySource>>,
}

impl RetrieveResponse {
    /// Nothing but errors.
    pub fn failure(errors: Vec<RegistryError>) -> Self {
        Self { errors, documents: Vec::new(), sources: Vec::new() }
    }

    /// The status that documents and errors make (ITI TF-3 Table 4.2.4.2-4).
    pub fn status(&self) -> ResponseStatus {
        match (self.documents.is_empty(), has_error(&self.errors)) {
            (_, false) => ResponseStatus::Success,
            (false, true) => ResponseStatus::PartialSuccess,
            (true, true) => ResponseStatus::Failure,
        }
    }
}

impl std::fmt::Debug for RetrieveResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RetrieveResponse({:?}, {} documents, errors {:?})", self.status(), self.documents.len(), self.errors)
    }
}
