//! Sixteen writers at one patient's documents: replace, deprecate, update, remove, retrieve. Whoever wins, what is there
//! is whole.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use bytes::Bytes;
use causeway::actors::document_repository::{DocumentRepository, Provided};
use causeway::model::document::DocumentRequest;
use causeway::model::ids::{RepositoryUniqueId, UniqueId};
use causeway::model::packed::PackedObject;
use causeway::model::rim::Body;
use causeway::store::fjall::FjallStore;
use causeway::store::memory::MemoryDocuments;
use causeway::store::sled::SledStore;
use causeway::store::{DocumentStore, EmbeddedOptions, RegistryStore, StoreResult};

use super::*;

const WRITERS: usize = 16;
const ROUNDS: usize = 60;
const OURS: &str = "2.999.80";

/// What a loser may be told; nothing else may come out of a race.
const FAIR: &[&str] = &[
    "ReferencesExistException",
    "UnresolvedReferenceException",
    "XDSDocumentUniqueIdError",
    "XDSMetadataUpdateError",
    "XDSMetadataVersionError",
    "XDSNonIdenticalHash",
    "XDSRegistryBusy",
    "XDSRegistryDeprecatedDocumentError",
    "XDSRegistryMetadataError",
    "XDSRemoveDocumentsError",
    "XDSUnreferencedObjectException",
];

struct Race {
    rules: Rules,
    store: Arc<dyn RegistryStore>,
    documents: Arc<MemoryDocuments>,
    repository: DocumentRepository,
    outcomes: Mutex<BTreeMap<(&'static str, String), usize>>,
    /// uniqueIds that were accepted, and those whose document was removed.
    accepted: Mutex<HashSet<String>>,
    removed: Mutex<HashSet<String>>,
    _dir: tempfile::TempDir,
}

/// The bytes of the document of a uniqueId: they tell whose they are.
fn content(unique_id: &str) -> String {
    format!("document {unique_id}")
}

impl Race {
    fn over<S: RegistryStore>(open: impl FnOnce(PathBuf, EmbeddedOptions) -> StoreResult<S>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store: Arc<dyn RegistryStore> =
            Arc::new(open(dir.path().join("registry"), EmbeddedOptions::default()).unwrap());
        let rules = Rules::over(store.clone(), PatientPolicy::default());
        let documents = Arc::new(MemoryDocuments::default());
        let unique_id = RepositoryUniqueId::parse(OURS).unwrap();
        let repository = DocumentRepository::new(unique_id, documents.clone(), store.clone(), rules.registry.clone());
        Self {
            rules,
            store,
            documents,
            repository,
            outcomes: Mutex::default(),
            accepted: Mutex::default(),
            removed: Mutex::default(),
            _dir: dir,
        }
    }

    fn count(&self, what: &'static str, response: &RegistryResponse) {
        for code in response.errors.iter().map(|error| error.code.as_str()) {
            assert!(FAIR.contains(&code), "{what}: {:?}", response.errors);
        }
        let code = response.errors.first().map_or("Success", |error| error.code.as_str());
        *self.outcomes.lock().unwrap().entry((what, code.to_owned())).or_default() += 1;
    }

    async fn entries(&self) -> Vec<PackedObject> {
        self.store.of_patient(&PatientId::parse(PATIENT).unwrap(), Noun::DocumentEntry).await.unwrap()
    }

    async fn provide(&self, message: Message, label: &str) -> RegistryResponse {
        let context = context(TransactionId::ProvideAndRegisterDocumentSet, None);
        let mut writer = self.documents.stage().await.unwrap();
        writer.write(Bytes::from(content(&unique_id(label)))).await.unwrap();
        let provided = vec![Provided { entry_id: id(label).to_string(), staged: writer.finish().await.unwrap() }];
        self.repository.provide_and_register(&context, message.objects, provided).await
    }

    /// A document that replaces another, or none.
    async fn replace(&self, label: &str, replaced: Option<EntryUuid>) -> RegistryResponse {
        let mut message = message(&format!("s{label}")).entry(label).with(label, |entry| {
            let ours = [slot::HASH, slot::SIZE, slot::REPOSITORY_UNIQUE_ID];
            entry.common.slots.retain(|slot| !ours.contains(&slot.name.as_ref()));
        });
        if let Some(replaced) = replaced {
            message = message.tie(association::RPLC, &id(label), &replaced.into());
        }
        let response = self.provide(message, label).await;
        if response.status == ResponseStatus::Success {
            self.accepted.lock().unwrap().insert(unique_id(label));
        }
        response
    }

    /// One step of a writer at a document.
    async fn step(&self, writer: usize, round: usize) {
        let label = format!("{writer}.{round}");
        let entries = self.entries().await;
        let Some(packed) = entries.get((writer * 7 + round * 3) % entries.len().max(1)) else {
            self.count("provide", &self.replace(&label, None).await);
            return;
        };
        let (entry, uuid) = (packed.unpack().unwrap().into_owned(), packed.uuid().unwrap());
        let name = entry.unique_id().unwrap().to_owned();
        match (writer + round) % 6 {
            0 => self.count("replace", &self.replace(&label, Some(uuid)).await),
            1 => {
                let (from, to) =
                    if entry.is_approved() { (v::APPROVED, v::DEPRECATED) } else { (v::DEPRECATED, v::APPROVED) };
                let mut change = message(&format!("s{label}")).change_status("x", from, to);
                if let Body::Association { target, .. } = &mut change.objects[1].body {
                    *target = uuid.into();
                }
                self.count("status", &self.rules.update(change).await);
            }
            2 => {
                let lid = entry.common.lid.clone().unwrap();
                let previous = entry.common.version.clone().unwrap().name.unwrap();
                let update = message(&format!("s{label}")).version(entry, &label, "x", &previous);
                let update = update.with(&label, |new| new.common.lid = Some(lid));
                self.count("update", &self.rules.update(update).await);
            }
            3 => {
                let mut ids = HashSet::from([uuid]);
                for packed in self.store.associations_of(uuid).await.unwrap() {
                    let tie = packed.unpack().unwrap();
                    ids.extend(packed.uuid());
                    let (from, to) = tie.ends().unwrap();
                    if to == uuid
                        && matches!(&tie.body, Body::Association { kind, .. } if kind == association::HAS_MEMBER)
                    {
                        ids.insert(from);
                        // What else its SubmissionSet has goes as well.
                        ids.extend(
                            self.store.associations_of(from).await.unwrap().iter().filter_map(PackedObject::uuid),
                        );
                    }
                }
                self.count("remove metadata", &self.rules.remove(&ids.into_iter().collect::<Vec<_>>()).await);
            }
            4 => {
                let request = self.request(&name);
                self.removed.lock().unwrap().insert(name);
                self.count("remove document", &self.repository.remove_documents(vec![request]).await);
            }
            _ => drop(self.retrieve(&name).await),
        }
    }

    fn request(&self, unique_id: &str) -> DocumentRequest {
        DocumentRequest {
            home: None,
            repository: RepositoryUniqueId::parse(OURS).unwrap(),
            unique_id: UniqueId::parse(unique_id).unwrap(),
        }
    }

    /// A document is what it was, or it is not there; whether it is.
    async fn retrieve(&self, unique_id: &str) -> bool {
        let mut response = self.repository.retrieve(vec![self.request(unique_id)]).await;
        let codes: Vec<&str> = response.errors.iter().map(|error| error.code.as_str()).collect();
        if response.documents.is_empty() {
            assert_eq!(codes, ["XDSDocumentUniqueIdError"]);
            return false;
        }
        assert!(codes.is_empty(), "{codes:?}");
        let mut bytes = Vec::new();
        let body = &mut response.sources[0];
        body.next_document().await.unwrap();
        while let Some(chunk) = body.next_chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(String::from_utf8(bytes).unwrap(), content(unique_id));
        true
    }

    /// What must hold of everything that is there.
    async fn judge(&self) {
        let mut page = self.store.page(None, None).await.unwrap();
        let mut objects = page.items;
        while let Some(next) = page.next {
            page = self.store.page(None, Some(&next)).await.unwrap();
            objects.extend(page.items);
        }
        let ids: HashSet<EntryUuid> = objects.iter().filter_map(PackedObject::uuid).collect();
        assert_eq!(ids.len(), objects.len());
        let mut versions: BTreeMap<EntryUuid, Vec<(u32, bool, bool)>> = BTreeMap::new();
        let mut held = HashSet::new();
        for packed in &objects {
            let object = packed.unpack().unwrap();
            match object.noun() {
                Noun::Association => {
                    let (from, to) = object.ends().unwrap();
                    assert!(ids.contains(&from) && ids.contains(&to), "an association without its ends");
                    held.extend([from, to]);
                }
                Noun::DocumentEntry => {
                    let number = object.common.version.as_ref().unwrap().name.as_deref().unwrap().parse().unwrap();
                    let lid = object.common.lid.as_ref().and_then(ObjectId::uuid).unwrap();
                    versions.entry(lid).or_default().push((number, object.is_approved(), packed.is_superseded()));
                }
                _ => {}
            }
        }
        for (lid, mut versions) in versions {
            versions.sort_unstable();
            let (latest, former) = versions.split_last().unwrap();
            assert!(!latest.2, "{lid}: its latest version is superseded: {versions:?}");
            assert!(former.iter().all(|(_, approved, superseded)| !approved && *superseded), "{lid}: {versions:?}");
            let mut numbers: Vec<u32> = versions.iter().map(|version| version.0).collect();
            numbers.dedup();
            assert_eq!(numbers.len(), versions.len(), "{lid}: a number twice: {versions:?}");
        }
        for packed in objects.iter().filter(|packed| packed.unpack().unwrap().noun() == Noun::DocumentEntry) {
            assert!(held.contains(&packed.uuid().unwrap()), "an entry that no association holds");
        }
        // Every index leads where the objects say.
        let found = self.store.reindex().await.unwrap();
        assert_eq!((found.added, found.removed, found.damaged), (0, 0, 0), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_writers_leave_everything_whole() {
    sixteen_writers(Race::over(SledStore::open)).await;
    // Its tables are written and merged meanwhile.
    sixteen_writers(Race::over(|path, options| FjallStore::open_with(path, options, 64 * 1024))).await;
}

async fn sixteen_writers(race: Race) {
    let race = Arc::new(race);
    assert_eq!(codes(&race.replace("a", None).await), [] as [&str; 0]);
    let writers = (0..WRITERS).map(|writer| {
        let race = race.clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                race.step(writer, round).await;
            }
        })
    });
    for writer in futures_util::future::join_all(writers).await {
        writer.expect("a writer at its end");
    }
    race.judge().await;
    // What was accepted and not removed is there, also where its metadata is gone.
    let kept: Vec<String> = race.accepted.lock().unwrap().difference(&race.removed.lock().unwrap()).cloned().collect();
    assert!(!kept.is_empty());
    for unique_id in kept {
        assert!(race.retrieve(&unique_id).await, "{unique_id} is lost");
    }
    let outcomes = race.outcomes.lock().unwrap();
    for what in ["replace", "status", "update", "remove metadata", "remove document"] {
        let of = |code: &str| outcomes.get(&(what, code.to_owned())).copied().unwrap_or_default();
        assert!(of("Success") > 0, "{what}: nobody succeeded: {outcomes:?}");
    }
}
