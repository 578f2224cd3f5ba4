//! ITI-41, 43 and 86 at the repository, beside its registry and far from it (ITI TF-2 §3.41.4.1.3, §3.43.4.1.3, Remove
//! Metadata and Documents §3.86.4.1.3), and a store in trouble.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use causeway::actors::document_repository::{DocumentRepository, Provided};
use causeway::actors::ports::RegistryPort;
use causeway::model::document::{BoxFuture, DocumentRequest};
use causeway::model::ids::{RepositoryUniqueId, UniqueId};
use causeway::model::packed::PackedObject;
use causeway::model::response::{ErrorCode, RegistryError, Severity};
use causeway::model::rim::Body;
use causeway::store::memory::MemoryDocuments;
use causeway::store::{
    Change, Content, Cursor, DocumentLocator, DocumentReader, DocumentStore, Page, Receipt, Reindexed, StagedDocument,
    StagedWriter, StoreError, StoreResult,
};

use super::*;

const OURS: &str = "2.999.80";
const NONE: [&str; 0] = [];

/// A store whose commits fail when a test says so, or come after another's.
struct Troubled {
    store: Arc<dyn RegistryStore>,
    trouble: Mutex<Option<fn() -> StoreError>>,
    /// What another commits just before the next commit.
    rival: Mutex<Option<Change>>,
}

impl RegistryStore for Troubled {
    fn commit(&self, change: Change) -> BoxFuture<'_, StoreResult<()>> {
        let rival = self.rival.lock().unwrap().take();
        match *self.trouble.lock().unwrap() {
            Some(trouble) => Box::pin(async move { Err(trouble()) }),
            None => Box::pin(async move {
                if let Some(rival) = rival {
                    self.store.commit(rival).await?;
                }
                self.store.commit(change).await
            }),
        }
    }

    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        self.store.of_patient(patient, noun)
    }

    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>> {
        self.store.by_uuid(uuid)
    }

    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        self.store.by_unique_id(unique_id)
    }

    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>> {
        self.store.page(noun, after)
    }

    fn document_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>> {
        self.store.document_page(after)
    }

    fn receipt_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<Receipt>>> {
        self.store.receipt_page(after)
    }

    fn patient_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<PatientId>>> {
        self.store.patient_page(after)
    }

    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>> {
        self.store.identity()
    }

    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>> {
        self.store.reindex()
    }

    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        self.store.by_logical_id(lid)
    }

    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        self.store.associations_of(uuid)
    }

    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>> {
        self.store.document(unique_id)
    }

    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>> {
        self.store.is_referenced(sha256)
    }

    fn receipt<'s>(&'s self, set_unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>> {
        self.store.receipt(set_unique_id)
    }

    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>> {
        self.store.knows_patient(patient)
    }
}

/// Documents whose publication fails when a test says so.
#[derive(Default)]
struct TroubledDocuments {
    documents: MemoryDocuments,
    trouble: Mutex<Option<fn() -> StoreError>>,
}

impl DocumentStore for TroubledDocuments {
    fn stage(&self) -> BoxFuture<'_, StoreResult<Box<dyn StagedWriter>>> {
        self.documents.stage()
    }

    fn publish(&self, staged: Vec<StagedDocument>) -> BoxFuture<'_, StoreResult<()>> {
        match *self.trouble.lock().unwrap() {
            Some(trouble) => Box::pin(async move { Err(trouble()) }),
            None => self.documents.publish(staged),
        }
    }

    fn open_staged<'s>(&'s self, staged: &'s StagedDocument) -> BoxFuture<'s, StoreResult<Box<dyn DocumentReader>>> {
        self.documents.open_staged(staged)
    }

    fn open<'s>(&'s self, content: &'s Content) -> BoxFuture<'s, StoreResult<Option<Box<dyn DocumentReader>>>> {
        self.documents.open(content)
    }

    fn addresses(&self) -> BoxFuture<'_, StoreResult<Vec<[u8; 32]>>> {
        self.documents.addresses()
    }

    fn remove(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<()>> {
        self.documents.remove(sha256)
    }
}

/// A registry far away, which answers as it is told and keeps what it was sent.
struct Distant {
    answer: Mutex<Vec<RegistryError>>,
    sent: Mutex<Vec<Vec<RegistryObject<'static>>>>,
    /// Where the repository's documents must be by the time it is told of them.
    store: Arc<dyn RegistryStore>,
    was_retrievable: AtomicBool,
}

impl RegistryPort for Distant {
    fn precheck<'a>(
        &'a self,
        _context: &'a RequestContext,
        _objects: Vec<RegistryObject<'static>>,
    ) -> BoxFuture<'a, Vec<RegistryError>> {
        Box::pin(async { Vec::new() })
    }

    fn register<'a>(
        &'a self,
        _context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
        _documents: Vec<DocumentLocator>,
    ) -> BoxFuture<'a, RegistryResponse> {
        Box::pin(async move {
            for entry in objects.iter().filter(|object| object.noun() == Noun::DocumentEntry) {
                let known = self.store.document(&UniqueId::parse(entry.unique_id().unwrap()).unwrap()).await.unwrap();
                self.was_retrievable.store(known.is_some(), Ordering::Relaxed);
            }
            self.sent.lock().unwrap().push(objects);
            RegistryResponse::from_errors(self.answer.lock().unwrap().clone())
        })
    }

    fn shares_store(&self) -> bool {
        false
    }
}

struct Repository {
    rules: Rules,
    store: Arc<Troubled>,
    documents: Arc<TroubledDocuments>,
    repository: DocumentRepository,
    distant: Option<Arc<Distant>>,
}

fn repository(far: bool) -> Repository {
    let rules = Rules::new();
    let store = Arc::new(Troubled { store: rules.store.clone(), trouble: Mutex::default(), rival: Mutex::default() });
    let documents = Arc::new(TroubledDocuments::default());
    let distant = far.then(|| {
        Arc::new(Distant {
            answer: Mutex::default(),
            sent: Mutex::default(),
            store: rules.store.clone(),
            was_retrievable: AtomicBool::new(false),
        })
    });
    let limits = QueryLimits { results: 1000, values: 1000 };
    let registry: Arc<dyn RegistryPort> = match &distant {
        Some(distant) => distant.clone(),
        None => {
            Arc::new(DocumentRegistry::new(store.clone(), None, PatientPolicy::default(), rules.clock.clone(), limits))
        }
    };
    let unique_id = RepositoryUniqueId::parse(OURS).unwrap();
    let repository = DocumentRepository::new(unique_id, documents.clone(), store.clone(), registry);
    Repository { rules, store, documents, repository, distant }
}

/// A message of one document, as a source sends it: without what the repository fills in.
fn provided(label: &str) -> Message {
    message(&format!("s:{label}")).entry(label).with(label, |entry| {
        let ours = [slot::HASH, slot::SIZE, slot::REPOSITORY_UNIQUE_ID];
        entry.common.slots.retain(|slot| !ours.contains(&slot.name.as_ref()));
    })
}

impl Repository {
    async fn provide(&self, message: Message, documents: &[(&str, &'static str)]) -> RegistryResponse {
        let context = context(TransactionId::ProvideAndRegisterDocumentSet, None);
        let ids: Vec<String> = documents.iter().map(|(label, _)| id(label).to_string()).collect();
        let errors = self.repository.precheck(&context, &message.objects, &ids).await;
        if !errors.is_empty() {
            return RegistryResponse::from_errors(errors);
        }
        let mut provided = Vec::new();
        for ((_, text), entry_id) in documents.iter().zip(ids) {
            let mut writer = self.documents.stage().await.unwrap();
            writer.write(Bytes::from_static(text.as_bytes())).await.unwrap();
            provided.push(Provided { entry_id, staged: writer.finish().await.unwrap() });
        }
        self.repository.provide_and_register(&context, message.objects, provided).await
    }

    fn request(&self, unique_id: &str, repository: &str) -> DocumentRequest {
        DocumentRequest {
            home: None,
            repository: RepositoryUniqueId::parse(repository).unwrap(),
            unique_id: UniqueId::parse(unique_id).unwrap(),
        }
    }

    /// The MIME type of a document that can be retrieved, or the code of the error.
    async fn retrieve(&self, label: &str) -> Result<String, String> {
        let response = self.repository.retrieve(vec![self.request(&unique_id(label), OURS)]).await;
        match (response.documents.first(), response.errors.first()) {
            (Some(document), None) => Ok(document.mime_type.clone()),
            (_, error) => Err(error.expect("an error").code.as_str().to_owned()),
        }
    }

    async fn remove(&self, label: &str, repository: &str) -> RegistryResponse {
        self.repository.remove_documents(vec![self.request(&unique_id(label), repository)]).await
    }
}

fn named(label: &'static str, as_of: &'static str) -> impl FnOnce(Message) -> Message {
    move |message| message.with(label, |entry| set_identifier(entry, identifier::ENTRY_UNIQUE_ID, &unique_id(as_of)))
}

fn mime(label: &'static str, mime: &'static str) -> impl FnOnce(Message) -> Message {
    move |message| {
        message.with(label, |entry| {
            if let Body::ExtrinsicObject { mime_type, .. } = &mut entry.body {
                *mime_type = Some(mime.into());
            }
        })
    }
}

#[tokio::test]
async fn what_the_repository_fills_in() {
    let repository = repository(false);
    let message = provided("a").with("a", |entry| {
        entry.common.set_slot(slot::REPOSITORY_UNIQUE_ID, "2.999.99");
        // Nothing is stated by an empty slot.
        entry.common.slots.push(Slot::list(slot::HASH, [] as [&str; 0]));
        entry.common.slots.push(Slot::single(slot::SIZE, " "));
        entry.common.slots.push(Slot::single("urn:example:x", "kept"));
    });
    assert_eq!(codes(&repository.provide(message, &[("a", "letter")]).await), NONE);
    let entry = repository.rules.object("a").await;
    let value = |name: &str| entry.common.slot_value(name).map(str::to_owned);
    assert_eq!(value(slot::REPOSITORY_UNIQUE_ID).as_deref(), Some(OURS));
    assert_eq!(value(slot::HASH).as_deref(), Some("18cc852c9ac803da9cde67a9fd74b4edd9bf98a9"));
    assert_eq!(value(slot::SIZE).as_deref(), Some("6"));
    assert_eq!(value("urn:example:x").as_deref(), Some("kept"));
    let hash = value(slot::HASH).unwrap();
    // What is stated is compared, in whatever case, and behind whatever is empty.
    let behind = provided("z").with("z", |entry| entry.common.slots.push(Slot::list(slot::SIZE, ["", "7"])));
    assert_eq!(codes(&repository.provide(behind, &[("z", "letter")]).await), ["XDSRepositoryMetadataError"]);
    let padded = provided("y").with("y", |entry| {
        entry.common.slots.push(Slot::list(slot::SIZE, ["", "6"]));
        entry.common.slots.push(Slot::list(slot::HASH, ["", hash.as_str()].map(str::to_owned)));
    });
    assert_eq!(codes(&repository.provide(padded, &[("y", "letter")]).await), NONE);
    assert_eq!(codes(&repository.provide(named("x", "y")(provided("x")), &[("x", "letter")]).await), NONE);
    let stated = |label: &'static str, hash: String, size: &'static str| {
        provided(label).with(label, |entry| {
            entry.common.set_slot(slot::HASH, hash);
            entry.common.set_slot(slot::SIZE, size);
        })
    };
    assert_eq!(codes(&repository.provide(stated("b", hash.to_uppercase(), "06"), &[("b", "letter")]).await), NONE);
    for (hash, size) in [("0".repeat(40), "6"), (hash.clone(), "7"), ("zz".into(), "6"), (hash, "six")] {
        let refused = repository.provide(stated("c", hash, size), &[("c", "letter")]).await;
        assert_eq!(codes(&refused), ["XDSRepositoryMetadataError"], "{:?}", refused.errors);
    }
}

#[tokio::test]
async fn documents_and_entries_pair() {
    let repository = repository(false);
    for (message, documents, code) in [
        (provided("a"), &[][..], "XDSMissingDocument"),
        (provided("a"), &[("a", "1"), ("b", "2")], "XDSMissingDocumentMetadata"),
        (provided("a"), &[("a", "1"), ("a", "2")], "XDSRepositoryMetadataError"),
        (Message { patient: PATIENT, objects: Vec::new() }, &[], "XDSRepositoryMetadataError"),
    ] {
        assert_eq!(codes(&repository.provide(message, documents).await), [code]);
    }
    // A folder needs no document.
    assert_eq!(codes(&repository.provide(message("s").folder("f"), &[]).await), NONE);
}

/// One uniqueId names one document, for as long as the repository has it.
#[tokio::test]
async fn a_document_is_never_exchanged() {
    for far in [false, true] {
        let repository = repository(far);
        assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), NONE);
        let other = || named("b", "a")(provided("b"));
        assert_eq!(codes(&repository.provide(other(), &[("b", "other")]).await), ["XDSNonIdenticalHash"]);
        // The same bytes under another MIME type: what was first registered is answered.
        let called = || mime("b", "application/pdf")(other());
        if let Some(distant) = &repository.distant {
            let refusal = RegistryError::new(ErrorCode::XDSRegistryMetadataError, "no");
            *distant.answer.lock().unwrap() = vec![refusal];
            assert_eq!(codes(&repository.provide(called(), &[("b", "letter")]).await), ["XDSRegistryMetadataError"]);
            assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"));
            distant.answer.lock().unwrap().clear();
        }
        assert_eq!(codes(&repository.provide(called(), &[("b", "letter")]).await), NONE);
        assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"));
        if far {
            continue;
        }
        // Metadata that is removed leaves the document, and that its uniqueId.
        for label in ["a", "b"] {
            let set = uuid(&format!("s:{label}"));
            let packed = repository.rules.store.associations_of(set).await.unwrap();
            let member = packed[0].uuid().unwrap();
            assert_eq!(codes(&repository.rules.remove(&[set, uuid(label), member]).await), NONE);
        }
        assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"));
        assert_eq!(codes(&repository.provide(other(), &[("b", "other")]).await), ["XDSNonIdenticalHash"]);
        assert_eq!(codes(&repository.provide(other(), &[("b", "letter")]).await), NONE);
    }
}

/// Another's document that comes between look and commit is not overwritten, nor is its MIME type.
#[tokio::test]
async fn who_comes_second_takes_what_is_there() {
    for far in [false, true] {
        for (theirs, code) in [("letter", None), ("other", Some("XDSNonIdenticalHash"))] {
            let repository = repository(far);
            let content = causeway::store::files::ContentHasher::of(theirs.as_bytes());
            let locator = DocumentLocator {
                unique_id: UniqueId::parse(&unique_id("a")).unwrap(),
                content,
                mime_type: "application/pdf".into(),
            };
            let mut entry = entry_of("rival", PATIENT);
            set_identifier(&mut entry, identifier::ENTRY_UNIQUE_ID, &unique_id("a"));
            entry.common.set_slot(slot::HASH, content.hash());
            entry.common.set_slot(slot::SIZE, content.size.to_string());
            entry.common.status = Some(v::APPROVED.into());
            if let Body::ExtrinsicObject { mime_type, .. } = &mut entry.body {
                *mime_type = Some("application/pdf".into());
            }
            let rival = Change {
                puts: vec![causeway::store::Put::new(&entry, &PatientId::parse(PATIENT).unwrap())],
                documents: vec![locator.clone()],
                ..Change::default()
            };
            *repository.store.rival.lock().unwrap() = Some(rival);
            let response = repository.provide(provided("a"), &[("a", "letter")]).await;
            // A registry that has both says that their hashes differ, too.
            let mut told = codes(&response);
            told.dedup();
            assert_eq!(told, code.into_iter().collect::<Vec<_>>(), "{far} {theirs}");
            assert_eq!(repository.rules.store.document(&locator.unique_id).await.unwrap(), Some(locator));
        }
    }
}

/// A wrong MIME type is corrected by a replacement of all entries that have it, and by nothing else.
#[tokio::test]
async fn a_mime_type_is_corrected_by_replacement() {
    let repository = repository(false);
    assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), NONE);
    let again = |label: &'static str| mime(label, "application/pdf")(named(label, "a")(provided(label)));
    assert_eq!(codes(&repository.provide(again("b"), &[("b", "letter")]).await), NONE);
    let plain = named("p", "a")(provided("p"));
    assert_eq!(codes(&repository.provide(plain, &[("p", "letter")]).await), NONE);
    let one = again("c").relate(association::RPLC, "c", "a");
    assert_eq!(codes(&repository.provide(one, &[("c", "letter")]).await), NONE);
    assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"), "p still says so");
    let last = again("d").relate(association::RPLC, "d", "p");
    assert_eq!(codes(&repository.provide(last, &[("d", "letter")]).await), NONE);
    assert_eq!(repository.retrieve("a").await.as_deref(), Ok("application/pdf"));
    // Where all entries are Deprecated it stays.
    for label in ["b", "c", "d"] {
        let change = message(&format!("u{label}")).change_status(label, v::APPROVED, v::DEPRECATED);
        assert_eq!(codes(&repository.rules.update(change).await), NONE, "{label}");
    }
    let unrelated = named("q", "a")(provided("q"));
    assert_eq!(codes(&repository.provide(unrelated, &[("q", "letter")]).await), NONE);
    assert_eq!(repository.retrieve("a").await.as_deref(), Ok("application/pdf"));
}

#[tokio::test]
async fn a_registry_far_away() {
    let repository = repository(true);
    let distant = repository.distant.clone().unwrap();
    assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), NONE);
    assert!(distant.was_retrievable.load(Ordering::Relaxed), "retrievable before the registry hears of it");
    let sent = distant.sent.lock().unwrap().pop().unwrap();
    assert_eq!(sent[1].common.slot_value(slot::SIZE), Some("6"));
    assert_eq!(sent[1].common.slot_value(slot::REPOSITORY_UNIQUE_ID), Some(OURS));
    // All that it says is handed on; what it refuses is not retrievable.
    let say = |errors: Vec<RegistryError>| *distant.answer.lock().unwrap() = errors;
    let warning = || RegistryError {
        severity: Severity::Warning,
        ..RegistryError::new(ErrorCode::XDSExtraMetadataNotSaved, "w")
    };
    say(vec![RegistryError::new(ErrorCode::XDSRegistryMetadataError, "no"), warning()]);
    let refused = repository.provide(provided("b"), &[("b", "letter")]).await;
    assert_eq!(codes(&refused), ["XDSRegistryMetadataError", "XDSExtraMetadataNotSaved"]);
    assert_eq!(repository.retrieve("b").await, Err("XDSDocumentUniqueIdError".into()));
    // What it refuses of a document that was there leaves that.
    assert_eq!(
        repository.provide(named("c", "a")(provided("c")), &[("c", "letter")]).await.status,
        ResponseStatus::Failure
    );
    assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"));
    // One that did not answer may have registered it.
    say(vec![RegistryError::new(ErrorCode::XDSRegistryNotAvailable, "timeout")]);
    assert_eq!(codes(&repository.provide(provided("d"), &[("d", "letter")]).await), ["XDSRegistryNotAvailable"]);
    assert_eq!(repository.retrieve("d").await.as_deref(), Ok("text/plain"));
    // A warning is no refusal.
    say(vec![warning()]);
    let warned = repository.provide(provided("e"), &[("e", "letter")]).await;
    assert_eq!((warned.status, warned.errors.len()), (ResponseStatus::Success, 1));
    assert_eq!(repository.retrieve("e").await.as_deref(), Ok("text/plain"));
    // Twins of one uniqueId are refused before a byte of them is kept.
    let twins = named("i", "h")(provided("h").entry("i"));
    let refused = repository.provide(twins, &[("h", "letter"), ("i", "letter")]).await;
    assert_eq!(codes(&refused), ["XDSRepositoryDuplicateUniqueIdInMessage"]);
    assert_eq!(repository.retrieve("h").await, Err("XDSDocumentUniqueIdError".into()));
    // A document that nobody could retrieve is not registered.
    say(Vec::new());
    distant.sent.lock().unwrap().clear();
    for unique_id in ["", "has a blank", &"1".repeat(300)] {
        let misshapen = provided("g").with("g", |o| set_identifier(o, identifier::ENTRY_UNIQUE_ID, unique_id));
        assert_eq!(codes(&repository.provide(misshapen, &[("g", "letter")]).await), ["XDSRepositoryMetadataError"]);
    }
    assert!(distant.sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn documents_are_removed() {
    let repository = repository(false);
    assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), NONE);
    let elsewhere = repository.remove("a", "2.999.81").await;
    assert_eq!(codes(&elsewhere), ["XDSUnknownRepositoryId"]);
    assert_eq!(elsewhere.errors[0].location, Some(unique_id("a")));
    *repository.store.trouble.lock().unwrap() = Some(|| StoreError::Failed("disk".into()));
    assert_eq!(codes(&repository.remove("a", OURS).await), ["XDSRemoveDocumentsError"]);
    *repository.store.trouble.lock().unwrap() = None;
    assert_eq!(repository.retrieve("a").await.as_deref(), Ok("text/plain"));
    assert_eq!(codes(&repository.remove("a", OURS).await), NONE);
    assert_eq!(codes(&repository.remove("a", OURS).await), ["XDSDocumentUniqueIdError"]);
    assert_eq!(repository.retrieve("a").await, Err("XDSDocumentUniqueIdError".into()));
}

#[tokio::test]
async fn a_store_in_trouble() {
    type Trouble = fn() -> StoreError;
    let table: [(Trouble, &str, &str); 3] = [
        (|| StoreError::Conflict, "XDSRegistryBusy", "XDSRepositoryBusy"),
        (|| StoreError::Full("0 octets".into()), "XDSRegistryOutOfResources", "XDSRepositoryOutOfResources"),
        (|| StoreError::Failed("disk".into()), "XDSRegistryError", "XDSRepositoryError"),
    ];
    for (trouble, registry, of_documents) in table {
        let repository = repository(false);
        *repository.store.trouble.lock().unwrap() = Some(trouble);
        assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), [registry]);
        *repository.store.trouble.lock().unwrap() = None;
        *repository.documents.trouble.lock().unwrap() = Some(trouble);
        assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), [of_documents]);
        assert!(repository.rules.get(uuid("a")).await.is_none());
        *repository.documents.trouble.lock().unwrap() = None;
        assert_eq!(codes(&repository.provide(provided("a"), &[("a", "letter")]).await), NONE, "nothing was half done");
        // Bytes that are gone are an error, not an empty document.
        for sha256 in repository.documents.addresses().await.unwrap() {
            repository.documents.remove(sha256).await.unwrap();
        }
        assert_eq!(repository.retrieve("a").await, Err("XDSRepositoryError".into()));
    }
}
