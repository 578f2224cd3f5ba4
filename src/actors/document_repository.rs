//! Document Repository: ITI-41, ITI-43 and ITI-86 (ITI TF-2 §3.41.4.1.3, §3.43.4.1.3, Remove Metadata
//! and Documents §3.86.4.1.3).
//!
//! The order is the promise: metadata is judged before bytes are kept; bytes are durable before
//! the registry is told; the registry's commit is durable before anyone is answered. An orphan
//! document is harmless and swept at start; an orphan entry would be a lie and cannot exist.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::claims::{Claim, Claims};
use super::context::RequestContext;
use super::document_registry::{ATTEMPTS, other_bytes};
use super::ports::RegistryPort;
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::model::hl7;
use crate::model::ids::{RepositoryUniqueId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse, ResponseStatus};
use crate::model::rim::{Body, RegistryObject};
use crate::model::vocabulary::slot;
use crate::store::{
    Change, DocumentLocator, DocumentReader, DocumentStore, Expectation, RegistryStore, StagedDocument, StoreError,
};

/// The SHA-1 of nothing, standing in until the bytes have come.
const NO_HASH: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// The repository of one community.
pub struct DocumentRepository {
    unique_id: RepositoryUniqueId,
    documents: Arc<dyn DocumentStore>,
    store: Arc<dyn RegistryStore>,
    registry: Arc<dyn RegistryPort>,
    claims: Arc<Claims>,
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
        StoreError::Conflict => RegistryError::new(
            ErrorCode::XDSRepositoryBusy,
            "too many changes to the same documents at once; send it again",
        ),
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
        Self { unique_id, documents, store, registry, claims: Arc::default() }
    }

    /// Where documents are staged while they come in.
    pub fn documents(&self) -> &Arc<dyn DocumentStore> {
        &self.documents
    }

    /// The same for retrieves alone, over what one asker may see of its store.
    pub(super) fn seen_through(&self, store: Arc<dyn RegistryStore>, registry: Arc<dyn RegistryPort>) -> Self {
        Self::new(self.unique_id.clone(), Arc::clone(&self.documents), store, registry)
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
        if !self.registry.shares_store() {
            // A registry beside us says it in its own words.
            let mut seen = HashSet::new();
            let unique_ids = entries(objects).filter_map(|entry| UniqueId::parse(entry.unique_id()?.trim()).ok());
            for unique_id in unique_ids {
                if !seen.insert(unique_id.clone()) {
                    errors.push(RegistryError::new(
                        ErrorCode::XDSRepositoryDuplicateUniqueIdInMessage,
                        format!("uniqueId {unique_id} is that of two DocumentEntries (ITI TF-3 Table 4.2.4.1-2)"),
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
        errors.extend(self.registry.precheck(context, provisional).await);
        errors
    }

    /// ITI-41, once all documents are staged.
    pub async fn provide_and_register(
        &self,
        context: &RequestContext,
        mut objects: Vec<RegistryObject<'static>>,
        provided: Vec<Provided>,
    ) -> RegistryResponse {
        let distant = !self.registry.shares_store();
        let _claimed = self.claims.claim(claims(&objects, &provided, distant)).await;
        let (mut errors, mut locators) = (Vec::new(), Vec::new());
        for entry in objects.iter_mut().filter(|object| object.noun() == Noun::DocumentEntry) {
            let id = id_of(entry);
            let Some(document) = provided.iter().find(|document| document.entry_id == id) else { continue };
            match self.complete(entry, document).await {
                Ok(locator) => locators.push(locator),
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
        // Retrievable before a distant registry hears of it (§3.41.4.1.3.2).
        let fresh = match if distant { self.keep(&locators).await } else { Ok(Vec::new()) } {
            Ok(fresh) => fresh,
            Err(error) => return RegistryResponse::from_errors(vec![error]),
        };
        let response = self.registry.register(context, objects, locators).await;
        // A registry that did not answer may have registered them all the same.
        let refused = response.status == ResponseStatus::Failure
            && !response.errors.iter().any(|error| error.code == ErrorCode::XDSRegistryNotAvailable);
        if distant && refused {
            self.take_back(fresh).await;
        }
        response
    }

    /// Makes documents retrievable that were not; those that were stay as they are. Answers with the
    /// former.
    async fn keep(&self, locators: &[DocumentLocator]) -> Result<Vec<DocumentLocator>, RegistryError> {
        if locators.is_empty() {
            return Ok(Vec::new());
        }
        for _ in 0..ATTEMPTS {
            let (mut fresh, mut expects) = (Vec::new(), Vec::new());
            for given in locators {
                let known = self.store.document(&given.unique_id).await.map_err(|error| store_error(&error))?;
                match &known {
                    Some(known) if known.content.sha256 != given.content.sha256 => return Err(other_bytes(given)),
                    Some(_) => {}
                    None => fresh.push(given.clone()),
                }
                expects.push(Expectation::Document(given.unique_id.clone(), known));
            }
            match self.store.commit(Change { expects, documents: fresh.clone(), ..Change::default() }).await {
                Ok(()) => return Ok(fresh),
                Err(StoreError::Conflict) => tokio::task::yield_now().await,
                Err(error) => return Err(store_error(&error)),
            }
        }
        Err(store_error(&StoreError::Conflict))
    }

    /// Documents that a distant registry has refused are not retrievable: their locators go, unless
    /// another submission has relied on one meanwhile. The bytes are orphans, swept at a later start.
    async fn take_back(&self, fresh: Vec<DocumentLocator>) {
        let _closed = self.claims.close().await;
        for locator in fresh {
            if self.claims.is_alone(&Claim::Document(locator.unique_id.clone())) {
                let change = Change { withdrawals: vec![locator], ..Change::default() };
                if let Err(error) = self.store.commit(change).await {
                    tracing::warn!(%error, "a refused document stays retrievable");
                }
            }
        }
    }

    /// ITI-86: documents are no longer retrievable; bytes go with the last document that has them
    /// (Remove Metadata and Documents §3.86.4.1.3). Each entry for itself.
    pub async fn remove_documents(&self, requests: Vec<DocumentRequest>) -> RegistryResponse {
        let (mut errors, mut removed) = (Vec::new(), false);
        for request in requests {
            match self.remove(&request).await {
                Ok(()) => removed = true,
                Err(error) => errors.push(error.at(request.unique_id.as_str())),
            }
        }
        let status = match (removed, errors.is_empty()) {
            (_, true) => ResponseStatus::Success,
            (true, false) => ResponseStatus::PartialSuccess,
            (false, false) => ResponseStatus::Failure,
        };
        RegistryResponse { status, errors }
    }

    async fn remove(&self, request: &DocumentRequest) -> Result<(), RegistryError> {
        let unique_id = &request.unique_id;
        self.judge_repository(request)?;
        let _closed = self.claims.close().await;
        let failed = |error: &StoreError| {
            tracing::error!(%error, "a document could not be removed");
            RegistryError::new(
                ErrorCode::XDSRemoveDocumentsError,
                format!("{unique_id}: it could not be removed; the log of this repository has the cause"),
            )
        };
        let locator = self.store.document(unique_id).await.map_err(|error| failed(&error))?;
        let Some(locator) = locator else { return Err(no_such_document(unique_id)) };
        let content = locator.content.sha256;
        if !self.claims.is_free(&Claim::Document(unique_id.clone())) {
            return Err(RegistryError::new(
                ErrorCode::XDSRemoveDocumentsError,
                format!("{unique_id}: it is just being submitted; send the request again"),
            ));
        }
        let change = Change { withdrawals: vec![locator], ..Change::default() };
        self.store.commit(change).await.map_err(|error| failed(&error))?;
        // From here on it is removed; bytes that stay behind are orphans, swept at a later start.
        let unused = self.claims.is_free(&Claim::Content(content))
            && matches!(self.store.is_referenced(content).await, Ok(false));
        if unused && let Err(error) = self.documents.remove(content).await {
            tracing::warn!(%error, "the bytes of a removed document stay until they are swept at a later start");
        }
        Ok(())
    }

    /// Compares what the source stated with what came, and fills in what it left to us.
    async fn complete(
        &self,
        entry: &mut RegistryObject<'static>,
        document: &Provided,
    ) -> Result<DocumentLocator, Vec<RegistryError>> {
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
        let mime_type = match &entry.body {
            Body::ExtrinsicObject { mime_type: Some(mime), .. } => mime.to_string(),
            _ => "application/octet-stream".to_owned(),
        };
        let Some(unique_id) = entry.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) else {
            // A registry that takes it would have an entry whose document nobody finds.
            errors.push(RegistryError::new(
                ErrorCode::XDSRepositoryMetadataError,
                format!("DocumentEntry {id}: its uniqueId is missing or of another form than an identifier's (ITI TF-3 §4.2.3.2.26)"),
            ));
            return Err(errors);
        };
        let locator = DocumentLocator { unique_id, content, mime_type };
        match self.store.document(&locator.unique_id).await {
            Ok(Some(known)) if known.content.sha256 != content.sha256 => errors.push(other_bytes(&locator)),
            Ok(_) => {}
            Err(error) => errors.push(store_error(&error)),
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        entry.common.set_slot(slot::REPOSITORY_UNIQUE_ID, self.unique_id.as_str().to_owned());
        for (name, ours) in [(slot::HASH, content.hash()), (slot::SIZE, content.size.to_string())] {
            let given: Vec<&str> =
                entry.common.slot_values(name).map(str::trim).filter(|value| !value.is_empty()).collect();
            // Several are the registry's to refuse.
            if let [] | [_] = given[..] {
                let value = given.first().map_or(ours, |given| (*given).to_owned());
                entry.common.set_slot(name, value);
            }
        }
        Ok(locator)
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

    fn judge_repository(&self, request: &DocumentRequest) -> Result<(), RegistryError> {
        if request.repository == self.unique_id {
            return Ok(());
        }
        Err(RegistryError::new(
            ErrorCode::XDSUnknownRepositoryId,
            format!(
                "{}: repository {} is not this one, which is {}",
                request.unique_id, request.repository, self.unique_id
            ),
        ))
    }

    async fn open(
        &self,
        request: &DocumentRequest,
    ) -> Result<(DocumentLocator, Box<dyn DocumentReader>), RegistryError> {
        let unique_id = &request.unique_id;
        self.judge_repository(request)?;
        // It may be removed (ITI-86), and even submitted again, while it is being opened: then once more.
        for _ in 0..2 {
            let locator = self.store.document(unique_id).await.map_err(|error| store_error(&error))?;
            let Some(locator) = locator else { return Err(no_such_document(unique_id)) };
            match self.documents.open(&locator.content).await {
                Ok(Some(reader)) => return Ok((locator, reader)),
                Ok(None) => {}
                Err(error) => return Err(store_error(&error)),
            }
        }
        tracing::error!("the file of a registered document is missing; 'causeway store verify' tells which");
        Err(RegistryError::new(
            ErrorCode::XDSRepositoryError,
            format!("{unique_id}: the document is registered but its bytes are missing; tell the operator"),
        ))
    }
}

fn no_such_document(unique_id: &UniqueId) -> RegistryError {
    RegistryError::new(ErrorCode::XDSDocumentUniqueIdError, format!("{unique_id}: no such document in this repository"))
}

/// What a submission relies on: that nobody removes the bytes it has published, nor, where a distant
/// registry is told only afterwards, the documents.
fn claims(objects: &[RegistryObject<'static>], provided: &[Provided], distant: bool) -> Vec<Claim> {
    let contents = provided.iter().map(|document| Claim::Content(document.staged.content.sha256));
    let ids = entries(objects).filter(|_| distant).filter_map(|entry| UniqueId::parse(entry.unique_id()?.trim()).ok());
    contents.chain(ids.map(Claim::Document)).collect()
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
