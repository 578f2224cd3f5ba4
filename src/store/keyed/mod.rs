//! A registry on any ordered store of keys: the embedded [`RegistryStore`]s but for their libraries.
//!
//! An [`Engine`] gives states to read and applies writes, all or nothing; `sled.rs` and `fjall` are
//! the two there are. What the keys mean is in `layout`, what a change writes in `draft`.
//!
//! **Group commit.** One thread writes: it takes all changes that wait, judges each one's
//! expectations in turn, applies what holds as a single batch, makes it durable, and only then
//! answers.
//!
//! **Errors.** After a failed write no change is taken until the store is opened anew: a second
//! attempt may report success for what the first has lost.

pub mod draft;
pub mod layout;
mod pages;
mod reindex;
#[cfg(test)]
pub mod suite;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use draft::{Draft, Look, View};
use layout::{
    IDENTITY_KEY, SCHEMA, SCHEMA_KEY, SEQUENCE_KEY, Writes, content_key, damaged, decode_locator, decode_named_locator,
    decode_named_patient, decode_named_receipt, decode_patient, decode_receipt, end_prefix, noun_number, number,
    patient_key, patient_prefix, text_key, unique_prefix, version_prefix,
};

use super::{
    Change, Cursor, DocumentLocator, EmbeddedOptions, Page, Receipt, RegistryStore, Reindexed, StoreError, StoreResult,
    version_of,
};
use crate::model::document::BoxFuture;
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;

/// Numbers are given out from blocks of this size, so that few commits write where they are.
const SEQUENCE_BLOCK: u64 = 4096;
/// Changes and octets of records in one batch. Small against sled's 512 KiB segments: a segment
/// that a batch frees must not be overwritten before that batch is synced.
const GROUP_CHANGES: usize = 128;
const GROUP_OCTETS: usize = 256 * 1024;

/// An ordered store of keys. Errors from it are errors, never panics ([`guarded`]).
pub trait Engine: Send + Sync + 'static {
    /// What can be read of a state.
    type View: View;

    /// Reads a state in which each batch is there whole or not at all.
    fn read<T>(&self, look: impl FnOnce(&Self::View) -> StoreResult<T>) -> StoreResult<T>;

    /// Applies writes as one batch, which is there whole or not at all, also after a crash.
    fn apply(&self, writes: Writes) -> StoreResult<()>;

    /// Makes durable what has been applied.
    fn flush(&self) -> StoreResult<()>;

    /// Octets on disk.
    fn octets(&self) -> StoreResult<u64>;
}

/// A library asserts where it should answer; to our callers that is one more error.
pub fn guarded<T>(library: &str, work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Failed(format!("{library} broke off with a panic"))))
}

/// Registry metadata in an embedded store; see the module.
pub struct KeyedStore<E: Engine> {
    shared: Arc<Shared<E>>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared<E> {
    engine: E,
    /// Set by the first failed write, never cleared.
    failed: AtomicBool,
    /// Batches applied or being applied, and how many of them are durable.
    applied: AtomicU64,
    durable: AtomicU64,
}

struct Request {
    /// None: only to wait for what has been applied already.
    change: Option<Change>,
    reply: oneshot::Sender<StoreResult<()>>,
}

impl<E: Engine> KeyedStore<E> {
    /// Begins to serve what an engine has in that folder, `reserve` octets of whose volume stay free.
    pub(super) fn start(engine: E, folder: &Path, options: &EmbeddedOptions, reserve: u64) -> StoreResult<Self> {
        let next = prepare(&engine)?;
        let shared = Arc::new(Shared {
            engine,
            failed: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            durable: AtomicU64::new(0),
        });
        let (requests, waiting) = mpsc::channel(options.queue.max(1));
        let writer = Writer { shared: Arc::clone(&shared), folder: folder.to_owned(), reserve, next, reserved: next };
        let thread = std::thread::Builder::new().name("registry-writer".into());
        let writer = Some(thread.spawn(move || writer.run(waiting))?);
        Ok(Self { shared, requests: Some(requests), writer })
    }

    /// How many batches were made durable; fewer than commits when several wait at once.
    pub fn flushes(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Octets on disk.
    ///
    /// # Errors
    /// When the files cannot be looked at.
    pub fn size_on_disk(&self) -> StoreResult<u64> {
        self.shared.engine.octets()
    }

    fn read<T>(&self, look: impl FnOnce(&E::View) -> StoreResult<T>) -> StoreResult<T> {
        self.shared.engine.read(look)
    }

    #[cfg(test)]
    pub(super) fn engine(&self) -> &E {
        &self.shared.engine
    }

    async fn send(&self, change: Option<Change>) -> StoreResult<()> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(closed)?;
        requests.send(Request { change, reply }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl<E: Engine> Drop for KeyedStore<E> {
    /// Finishes what waits, flushes, and lets go of the files.
    fn drop(&mut self) {
        self.requests = None;
        if let Some(writer) = self.writer.take() {
            // A panic there has been answered to those who waited.
            let _ = writer.join();
        }
    }
}

/// What is said when there is no store any more.
pub fn closed() -> StoreError {
    StoreError::Failed("the registry store is closed".into())
}

/// Checks or writes the layout's number and the registry's identity; answers with the next sequence
/// number.
fn prepare<E: Engine>(engine: &E) -> StoreResult<u64> {
    let mut writes = Writes::new();
    let next = engine.read(|view| {
        match view.get(SCHEMA_KEY)? {
            Some(found) if found.as_ref() == SCHEMA.to_be_bytes() => {}
            Some(_) => {
                return Err(StoreError::Failed("the registry was written by another version of Causeway".into()));
            }
            None if view.pairs(Vec::new()).next().is_none() => {
                writes.insert(SCHEMA_KEY.to_vec(), Some(Bytes::copy_from_slice(&SCHEMA.to_be_bytes())));
            }
            None => return Err(StoreError::Failed("the folder holds a database that is not a registry".into())),
        }
        if view.get(IDENTITY_KEY)?.is_none() {
            let identity = EntryUuid::random().0;
            writes.insert(IDENTITY_KEY.to_vec(), Some(Bytes::copy_from_slice(identity.as_slice())));
        }
        view.get(SEQUENCE_KEY)?.map_or(Ok(1), |bytes| number(bytes.as_ref()))
    })?;
    if !writes.is_empty() {
        // Durable at once: documents are told to whom they belong.
        engine.apply(writes)?;
        engine.flush()?;
    }
    Ok(next)
}

/// The one that writes: a thread of its own, so that no task waits for the disk while it runs.
struct Writer<E> {
    shared: Arc<Shared<E>>,
    folder: PathBuf,
    reserve: u64,
    /// The next sequence number, and the first one that is not yet reserved on disk.
    next: u64,
    reserved: u64,
}

impl<E: Engine> Writer<E> {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut octets = first.octets();
            let mut group = vec![first];
            while group.len() < GROUP_CHANGES && octets < GROUP_OCTETS {
                let Ok(request) = requests.try_recv() else { break };
                octets += request.octets();
                group.push(request);
            }
            self.serve(group);
        }
        // A clean end; what was answered is durable already.
        let _ = self.shared.engine.flush();
    }

    fn serve(&mut self, group: Vec<Request>) {
        let refusal = self.refusal();
        let mut batch = Writes::new();
        let (mut accepted, mut refused) = (Vec::with_capacity(group.len()), Vec::new());
        for Request { change, reply } in group {
            let result = match (&refusal, &change) {
                (None, Some(change)) => self.draft(&mut batch, change),
                (Some(Refusal::Full), None) | (None, None) => Ok(()),
                (Some(refusal), _) => Err(refusal.error()),
            };
            match result {
                Ok(()) => accepted.push(reply),
                Err(error) => refused.push((reply, error)),
            }
        }
        let applied = self.apply(batch);
        // Only now: who looks again after a conflict must see what it was with.
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
        let result = applied.and_then(|()| self.settle());
        if let Err(error) = &result {
            self.shared.failed.store(true, Ordering::Release);
            tracing::error!(%error, "the registry store failed and takes no more changes until it is opened again");
        }
        for reply in accepted {
            let _ = reply.send(result.as_ref().map_or_else(|error| Err(again(error)), |()| Ok(())));
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Some(Refusal::Failed);
        }
        // Not knowing is no reason to refuse.
        let free = fs2::available_space(&self.folder).unwrap_or(u64::MAX);
        (free < self.reserve).then_some(Refusal::Full)
    }

    fn draft(&mut self, batch: &mut Writes, change: &Change) -> StoreResult<()> {
        let (writes, next) = self.shared.engine.read(|view| {
            let mut draft = Draft { view, batch, writes: Writes::new(), next: self.next };
            draft.apply(change)?;
            Ok((draft.writes, draft.next))
        })?;
        self.next = next;
        batch.extend(writes);
        Ok(())
    }

    /// Makes the batch visible.
    fn apply(&mut self, mut writes: Writes) -> StoreResult<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let reserved = if self.next > self.reserved { self.next + SEQUENCE_BLOCK } else { self.reserved };
        if reserved != self.reserved {
            writes.insert(SEQUENCE_KEY.to_vec(), Some(Bytes::copy_from_slice(&reserved.to_be_bytes())));
        }
        // Before it is visible: who sees it must see as well that it is not durable yet.
        self.shared.applied.fetch_add(1, Ordering::AcqRel);
        self.shared.engine.apply(writes)?;
        self.reserved = reserved;
        Ok(())
    }

    /// Makes durable what is visible.
    fn settle(&self) -> StoreResult<()> {
        let applied = self.shared.applied.load(Ordering::Acquire);
        if self.shared.durable.load(Ordering::Acquire) < applied {
            self.shared.engine.flush()?;
            self.shared.durable.store(applied, Ordering::Release);
        }
        Ok(())
    }
}

enum Refusal {
    Failed,
    Full,
}

impl Refusal {
    fn error(&self) -> StoreError {
        match self {
            Self::Failed => {
                StoreError::Failed("an earlier write failed; the registry store must be opened again".into())
            }
            Self::Full => StoreError::Full("the registry volume has only its reserve left".into()),
        }
    }
}

impl Request {
    fn octets(&self) -> usize {
        self.change.as_ref().map_or(0, |change| {
            let puts: usize = change.puts.iter().map(|put| put.object.as_bytes().len()).sum();
            puts + change.removes.len() * 256
        })
    }
}

/// The same error for one more who waited.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Conflict => StoreError::Conflict,
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
        StoreError::Failed(text) => StoreError::Failed(text.clone()),
    }
}

impl<E: Engine> RegistryStore for KeyedStore<E> {
    fn commit(&self, change: Change) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(self.send(Some(change)))
    }

    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move {
            self.read(|view| {
                let Some(found) = view.get(&patient_key(patient))? else { return Ok(Vec::new()) };
                let (patient, _) = decode_patient(found.as_ref())?;
                let mut objects = Vec::new();
                for pair in view.prefix(&patient_prefix(patient, noun_number(noun))) {
                    let (key, record) = pair?;
                    let sequence = key.as_ref().last_chunk().copied().map(u64::from_be_bytes);
                    objects.push(view.decode_record(sequence.ok_or_else(|| damaged("record key"))?, &record)?);
                }
                Ok(objects)
            })
        })
    }

    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>> {
        Box::pin(async move { self.read(|view| view.object(uuid)) })
    }

    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.read(|view| view.indexed(&unique_prefix(unique_id.as_str()))) })
    }

    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>> {
        Box::pin(async move { self.read(|view| pages::page(view, noun.map(noun_number), after)) })
    }

    fn document_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>> {
        Box::pin(async move {
            self.read(|view| pages::tagged(view, b'd', after, |key, value| decode_named_locator(key, value).map(Some)))
        })
    }

    fn receipt_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<Receipt>>> {
        Box::pin(async move {
            self.read(|view| pages::tagged(view, b'r', after, |key, value| decode_named_receipt(key, value).map(Some)))
        })
    }

    fn patient_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<PatientId>>> {
        Box::pin(async move { self.read(|view| pages::tagged(view, b'k', after, decode_named_patient)) })
    }

    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>> {
        Box::pin(async move {
            self.read(|view| {
                let found = view.get(IDENTITY_KEY)?.ok_or_else(|| damaged("identity"))?;
                found.as_ref().try_into().map_err(|_| damaged("identity"))
            })
        })
    }

    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>> {
        Box::pin(async move {
            let done = reindex::reindex(&self.shared.engine)?;
            // By way of the writer: its flush is the one that makes durable.
            self.shared.applied.fetch_add(1, Ordering::AcqRel);
            self.send(None).await?;
            Ok(done)
        })
    }

    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move {
            self.read(|view| {
                let mut versions = Vec::new();
                if let Some(first) = view.object(lid)? {
                    // The id may be that of a later version of something else.
                    let is_first = version_of(&first.unpack()?).is_none();
                    versions.extend(is_first.then_some(first));
                }
                versions.extend(view.indexed(&version_prefix(lid))?);
                Ok(versions)
            })
        })
    }

    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.read(|view| view.indexed(&end_prefix(uuid))) })
    }

    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>> {
        Box::pin(async move {
            self.read(|view| {
                let found = view.get(&text_key(b'd', unique_id.as_str().as_bytes()))?;
                found.map(|bytes| decode_locator(unique_id, bytes.as_ref())).transpose()
            })
        })
    }

    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async move { self.read(|view| Ok(view.get(&content_key(&sha256))?.is_some())) })
    }

    fn receipt<'s>(&'s self, set_unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>> {
        Box::pin(async move {
            let receipt = self.read(|view| {
                let found = view.get(&text_key(b'r', set_unique_id.as_str().as_bytes()))?;
                found.map(|bytes| decode_receipt(set_unique_id, bytes.as_ref())).transpose()
            })?;
            // Who finds a receipt answers Success for it: then it must be durable, not just visible.
            if receipt.is_some()
                && self.shared.durable.load(Ordering::Acquire) < self.shared.applied.load(Ordering::Acquire)
            {
                self.send(None).await?;
            }
            Ok(receipt)
        })
    }

    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>> {
        Box::pin(async move {
            self.read(|view| match view.get(&patient_key(patient))? {
                Some(found) => Ok(decode_patient(found.as_ref())?.1),
                None => Ok(false),
            })
        })
    }
}
