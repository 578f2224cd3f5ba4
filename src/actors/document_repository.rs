//! Document Repository: ITI-41 and ITI-43 (ITI TF-2 §3.41.4.1.3, §3.43.4.1.3).
//!
//! The order is the promise: metadata is judged before bytes are kept; bytes are durable before
//! the registry is told; the registry's commit is durable before anyone is answered. An orphan
//! document is harmless and swept at start; an orphan entry would be a lie and cannot exist.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::context::RequestContext;
use super::ports::RegistryPort;
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::model::hl7;
use crate::model::ids::{RepositoryUniqueId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::{Body, RegistryObject};
use crate::model::vocabulary::slot;
use crate::store::{Change, DocumentLocator, DocumentReader, DocumentStore, RegistryStore, StagedDocument, StoreError};

/// The SHA-1 of nothing, standing in until the bytes have come.
const NO_HASH: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// The repository of one community.
pub struct DocumentRepository {
    unique_id: RepositoryUniqueId,
    documents: Arc<dyn DocumentStore>,
    store: Arc<dyn RegistryStore>,
    registry: Arc<dyn RegistryPort>,
}

/// A document received for an entry of the submission.
pub struct Provided {
    /// `xds:Document/@id`, the id of its DocumentEntry.
    pub entry_id: String,
    /// Its bytes.
    pub staged: StagedDocument,
}

fn store_error(error: &StoreError) -> RegistryError {
    tracing::error!(%error, "document store");
    match error {
        StoreError::Full(_) => RegistryError::new(
            ErrorCode::XDSRepositoryOutOfResources,
            "the repository has no space left; nothing was stored",
        ),
        _ => RegistryError::new(
            ErrorCode::XDSRepositoryError,
            "the repository's store failed; nothing was registered, its log has the cause",
        ),
    }
}

fn id_of(entry: &RegistryObject<'_>) -> String {
    entry.common.id.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn entries<'o>(objects: &'o [RegistryObject<'static>]) -> impl Iterator<Item = &'o RegistryObject<'static>> {
    objects.iter().filter(|object| object.noun() == Noun::DocumentEntry)
}

impl DocumentRepository {
    /// A repository that keeps bytes in `documents`, locators in `store`, and registers with
    /// `registry`.
    pub fn new(
        unique_id: RepositoryUniqueId,
        documents: Arc<dyn DocumentStore>,
        store: Arc<dyn RegistryStore>,
        registry: Arc<dyn RegistryPort>,
    ) -> Self {
        Self { unique_id, documents, store, registry }
    }

    /// Where documents are staged while they come in.
    pub fn documents(&self) -> &Arc<dyn DocumentStore> {
        &self.documents
    }

    /// Judges a submission by its metadata and the ids of its documents, before any byte of them
    /// is kept. `document_ids` are the `xds:Document/@id`s.
    pub async fn precheck(
        &self,
        context: &RequestContext,
        objects: &[RegistryObject<'static>],
        document_ids: &[String],
    ) -> Vec<RegistryError> {
        if objects.is_empty() {
            return vec![RegistryError::new(
                ErrorCode::XDSRepositoryMetadataError,
                "the rim:RegistryObjectList is empty: a SubmissionSet is required (ITI TF-3 §4.1.4)",
            )];
        }
        let mut errors = Vec::new();
        let mut seen = HashSet::new();
        for id in document_ids {
            if !seen.insert(id.as_str()) {
                errors.push(RegistryError::new(
                    ErrorCode::XDSRepositoryMetadataError,
                    format!(
                        "xds:Document {id} is there twice: one document for each DocumentEntry (ITI TF-2 §3.41.4.1.2)"
                    ),
                ));
            }
            if !entries(objects).any(|entry| id_of(entry) == *id) {
                errors.push(RegistryError::new(
                    ErrorCode::XDSMissingDocumentMetadata,
                    format!("xds:Document {id} has no DocumentEntry of that id (ITI TF-2 §3.41.4.1.2)"),
                ));
            }
        }
        for entry in entries(objects).filter(|entry| !entry.is_on_demand()) {
            let id = id_of(entry);
            if !seen.contains(id.as_str()) {
                errors.push(RegistryError::new(
                    ErrorCode::XDSMissingDocument,
                    format!("DocumentEntry {id} has no xds:Document of that id (ITI TF-2 §3.41.4.1.2)"),
                ));
            }
        }
        for entry in entries(objects) {
            let judged = [(slot::HASH, hl7::sha1 as fn(&str) -> hl7::Verdict), (slot::SIZE, hl7::size)];
            for (name, judge) in judged {
                if let Some(Err(rule)) = entry.common.slot_value(name).map(judge) {
                    errors.push(RegistryError::new(
                        ErrorCode::XDSRepositoryMetadataError,
                        format!("DocumentEntry {}: {name} must be: {rule} (ITI TF-2 §3.41.4.1.3.2)", id_of(entry)),
                    ));
                }
            }
        }
        // What the repository verifies or fills in itself is filled in provisionally, so that the
        // registry neither misses nor judges it.
        let mut provisional = objects.to_vec();
        for entry in provisional.iter_mut().filter(|object| object.noun() == Noun::DocumentEntry) {
            entry.common.set_slot(slot::REPOSITORY_UNIQUE_ID, self.unique_id.as_str().to_owned());
            for (name, value) in [(slot::HASH, NO_HASH), (slot::SIZE, "0")] {
                entry.common.set_slot(name, value);
            }
        }
        errors.extend(self.registry.precheck(context, &provisional).await);
        errors
    }

    /// ITI-41, once all documents are staged.
    pub async fn provide_and_register(
        &self,
        context: &RequestContext,
        mut objects: Vec<RegistryObject<'static>>,
        provided: Vec<Provided>,
    ) -> RegistryResponse {
        let (mut errors, mut locators) = (Vec::new(), Vec::new());
        for entry in objects.iter_mut().filter(|object| object.noun() == Noun::DocumentEntry) {
            let id = id_of(entry);
            let Some(document) = provided.iter().find(|document| document.entry_id == id) else { continue };
            match self.complete(entry, document).await {
                Ok(locator) => locators.extend(locator),
                Err(mut found) => errors.append(&mut found),
            }
        }
        if !errors.is_empty() {
            return RegistryResponse::from_errors(errors);
        }
        let staged = provided.into_iter().map(|document| document.staged).collect();
        if let Err(error) = self.documents.publish(staged).await {
            return RegistryResponse::from_errors(vec![store_error(&error)]);
        }
        if !self.registry.shares_store() && !locators.is_empty() {
            // Retrievable before a distant registry hears of it (§3.41.4.1.3.2).
            let change = Change { documents: locators.clone(), ..Change::default() };
            if let Err(error) = self.store.commit(change).await {
                return RegistryResponse::from_errors(vec![store_error(&error)]);
            }
        }
        self.registry.register(context, objects, locators).await
    }

    /// Compares what the source stated with what came, and fills in what it left to us.
    async fn complete(
        &self,
        entry: &mut RegistryObject<'static>,
        document: &Provided,
    ) -> Result<Option<DocumentLocator>, Vec<RegistryError>> {
        let content = document.staged.content;
        let id = &document.entry_id;
        let mut errors = Vec::new();
        if let Some(stated) = entry.common.slot_value(slot::HASH)
            && !stated.eq_ignore_ascii_case(&content.hash())
        {
            errors.push(RegistryError::new(
                ErrorCode::XDSRepositoryMetadataError,
                format!(
                    "DocumentEntry {id}: its hash is not the SHA-1 of the document received (ITI TF-2 §3.41.4.1.3.2)"
                ),
            ));
        }
        if let Some(stated) = entry.common.slot_value(slot::SIZE)
            && stated.parse() != Ok(content.size)
        {
            errors.push(RegistryError::new(
                ErrorCode::XDSRepositoryMetadataError,
                format!(
                    "DocumentEntry {id}: size says {stated}, {} octets were received (ITI TF-2 §3.41.4.1.3.2)",
                    content.size
                ),
            ));
        }
        let unique_id = entry.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
        if let Some(unique_id) = &unique_id {
            match self.store.document(unique_id).await {
                Ok(Some(known)) if known.content.sha256 != content.sha256 => {
                    errors.push(RegistryError::new(
                        ErrorCode::XDSNonIdenticalHash,
                        format!("{unique_id}: the repository holds another document under this uniqueId (ITI TF-2 §3.41.4.1.3.2)"),
                    ));
                }
                Ok(_) => {}
                Err(error) => errors.push(store_error(&error)),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        entry.common.set_slot(slot::REPOSITORY_UNIQUE_ID, self.unique_id.as_str().to_owned());
        if entry.common.slot(slot::HASH).is_none() {
            entry.common.set_slot(slot::HASH, content.hash());
        }
        if entry.common.slot(slot::SIZE).is_none() {
            entry.common.set_slot(slot::SIZE, content.size.to_string());
        }
        let mime_type = match &entry.body {
            Body::ExtrinsicObject { mime_type: Some(mime), .. } => mime.to_string(),
            _ => "application/octet-stream".to_owned(),
        };
        Ok(unique_id.map(|unique_id| DocumentLocator { unique_id, content, mime_type }))
    }

    /// ITI-43: opens every document first, so that what is promised is there (§3.43.4.1.3).
    pub async fn retrieve(&self, requests: Vec<DocumentRequest>) -> RetrieveResponse {
        let mut response = RetrieveResponse::failure(Vec::new());
        for request in requests {
            match self.open(&request).await {
                Ok((locator, reader)) => {
                    let number = response.documents.len();
                    response.documents.push(RetrievedDocument {
                        request,
                        new_repository: None,
                        new_unique_id: None,
                        mime_type: locator.mime_type,
                        size: Some(locator.content.size),
                    });
                    response.sources.push(Box::new(StoredBody { number: Some(number), reader }));
                }
                Err(error) => response.errors.push(error.at(request.unique_id.as_str())),
            }
        }
        response
    }

    async fn open(
        &self,
        request: &DocumentRequest,
    ) -> Result<(DocumentLocator, Box<dyn DocumentReader>), RegistryError> {
        let unique_id = &request.unique_id;
        if request.repository != self.unique_id {
            return Err(RegistryError::new(
                ErrorCode::XDSUnknownRepositoryId,
                format!("{unique_id}: repository {} is not this one, which is {}", request.repository, self.unique_id),
            ));
        }
        let locator = self.store.document(unique_id).await.map_err(|error| store_error(&error))?;
        let Some(locator) = locator else {
            return Err(RegistryError::new(
                ErrorCode::XDSDocumentUniqueIdError,
                format!("{unique_id}: no such document in this repository"),
            ));
        };
        match self.documents.open(&locator.content).await {
            Ok(Some(reader)) => Ok((locator, reader)),
            Ok(None) => {
                tracing::error!(sha256 = %crate::store::hex(&locator.content.sha256), "a registered document's file is missing");
                Err(RegistryError::new(
                    ErrorCode::XDSRepositoryError,
                    format!("{unique_id}: the document is registered but its bytes are missing; tell the operator"),
                ))
            }
            Err(error) => Err(store_error(&error)),
        }
    }
}

/// One document of our store as a source of bodies.
struct StoredBody {
    number: Option<usize>,
    reader: Box<dyn DocumentReader>,
}

impl BodySource for StoredBody {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        let number = self.number.take();
        Box::pin(async move { Ok(number) })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        self.reader.next_chunk()
    }
}
