//! A fetch's answer: entries, each with its document (Cross-Community Fetch §3.63).

use super::document::BodySource;
use super::response::{QueryResponse, RegistryError};

/// A document as the root part of a fetch's answer announces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedDocument {
    /// As its entry has it.
    pub mime_type: String,
    /// Octets, where known beforehand.
    pub size: Option<u64>,
}

/// The answer to a fetch: entries in the root part, and the bodies behind it.
pub struct FetchResponse {
    /// Status, errors, and the entries.
    pub answer: QueryResponse,
    /// The documents of the entries, one for each, in their order.
    pub documents: Vec<FetchedDocument>,
    /// Where they come from; each yields documents by number, every number once over all.
    pub sources: Vec<Box<dyn BodySource>>,
}

impl FetchResponse {
    /// An answer without documents: what is in its errors.
    pub fn failure(errors: Vec<RegistryError>) -> Self {
        Self { answer: QueryResponse::failure(errors), documents: Vec::new(), sources: Vec::new() }
    }
}

impl std::fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FetchResponse({:?}, {} documents)", self.answer, self.documents.len())
    }
}
