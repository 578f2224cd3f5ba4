//! Registry metadata in fjall, an embedded [`RegistryStore`](super::RegistryStore) for many entries in
//! little memory. Only this folder names fjall.
//!
//! One keyspace; what its keys mean is in `keyed/layout.rs`. In the store's folder:
//!
//! ```text
//! lock    ours: whoever holds it may touch the rest
//! db      fjall's folder
//! db.new  what the first start makes, and then renames
//! torn-…  what `journal` has cut off, by journal and octet
//! ```
//!
//! **First start.** fjall cannot go on with a folder that it has half made. So it is made whole under
//! another name. Later starts see to it that nothing is missing: fjall would take an empty registry for
//! what is left.
//!
//! **Durability.** A batch is written to the journal and synced in one go, under fjall's own lock,
//! and visible only then. A sync of its own would be too late: fjall syncs the journal in its threads
//! as well, and a failure is told to one of those that sync only.
//!
//! **Readers** share one snapshot, taken when no batch is under way: when fjall's threads have written a
//! table they show everything up to then, a batch that is half applied too.
//!
//! **Recovery.** fjall cuts its journal off at the first thing that it cannot read, and gives up where
//! a last write has come to the disk in part. `journal` looks before fjall does, and tells a torn end from
//! damage.
//!
//! **Writing too fast.** When its threads have failed fjall's own brake waits for ever. `Fjall::brake`
//! waits before it would, for so long at most, and looks whether they have. There are two threads: with
//! more, what is to be merged can be forgotten until the next table is written; one alone could wait for
//! itself. While tables are merged the other asks all the time whether it is done, and keeps a core busy.

mod journal;

use std::fs::{self, File};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::fjall::compaction::Leveled;
use ::fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot};
use arc_swap::ArcSwap;

use super::files::{create_folder, create_folders, lock, sync_folder};
use super::keyed::draft::{Look, View};
use super::keyed::layout::Writes;
use super::keyed::{Engine, KeyedStore};
use super::{EmbeddedOptions, StoreError, StoreResult};

/// The one keyspace.
const KEYSPACE: &str = "registry";
/// How long opening waits for a predecessor that is just closing.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// Octets of the volume that stay free at most, unless told otherwise: what is merged in the background
/// is there twice for a while, a table with some ten of the next level.
const RESERVE: u64 = 512 << 20;
/// Octets written since the last table; up to some four times that is in memory.
const MEMTABLE: u64 = 16 << 20;
/// Octets of a table.
const TABLE: u64 = 16 << 20;
/// Octets of all journals from which on tables are written early.
const JOURNALS: u64 = 128 << 20;
/// fjall's threads.
const THREADS: usize = 2;
/// Tables open at once.
const OPEN_TABLES: usize = 128;
/// Tables in memory, and on the first level, from which on writing waits. fjall's own limits, where it
/// waits without an end, are 4 and 20.
const SEALED: usize = 3;
const FIRST_LEVEL: usize = 16;
/// How long a snapshot is read while nobody writes.
const SHOWN_FOR: Duration = Duration::from_secs(1);
/// How long a commit waits at most for fjall's threads.
const BRAKE_FOR: Duration = Duration::from_secs(120);
/// How often it is looked whether writing may go on.
const BRAKE_EVERY: Duration = Duration::from_millis(5);

/// Registry metadata in fjall; see the module.
pub type FjallStore = KeyedStore<Fjall>;

impl FjallStore {
    /// Opens or makes the store in that folder; blocks.
    ///
    /// # Errors
    /// When the folder cannot be made, is in use by another process, holds another version's
    /// layout or damaged data.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> StoreResult<Self> {
        Self::open_with(path, options, MEMTABLE)
    }

    /// The same, writing a table after so many octets.
    #[doc(hidden)]
    pub fn open_with(path: impl AsRef<Path>, options: EmbeddedOptions, memtable: u64) -> StoreResult<Self> {
        let path = path.as_ref();
        create_folders(path)?;
        let held = lock(&path.join("lock"), "registry store")?;
        let folder = path.join("db");
        if folder.is_file() {
            return Err(StoreError::Failed(
                "the folder holds a registry in sled; fjall needs one of its own: export, and import there".into(),
            ));
        }
        if !folder.is_dir() {
            make(path, &folder, memtable)?;
        }
        for needed in ["version", "keyspaces/0/current", "keyspaces/1/current"] {
            if !folder.join(needed).is_file() {
                return Err(missing(needed));
            }
        }
        journal::mend(&folder)?;
        let engine = guarded(|| Fjall::open(&folder, options.cache, memtable, Some(held)))?;
        Self::start(engine, path, &options, options.reserve(path, RESERVE)?)
    }
}

fn missing(what: &str) -> StoreError {
    StoreError::Damaged(format!(
        "{what} is missing from the registry's folder. Nothing was touched. Restore the folder from a backup, or \
         import an export"
    ))
}

/// Makes an empty database, whole or not at all.
fn make(path: &Path, folder: &Path, memtable: u64) -> StoreResult<()> {
    let begun = path.join("db.new");
    if begun.is_dir() {
        fs::remove_dir_all(&begun)?;
    }
    create_folder(&begun)?;
    drop(guarded(|| Fjall::open(&begun, 1 << 20, memtable, None))?);
    sync_folders(&begun)?;
    fs::rename(&begun, folder)?;
    Ok(sync_folder(path)?)
}

/// Makes the names in a folder durable, and those in folders below.
fn sync_folders(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    sync_folder(path)
}

fn guarded<T>(work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    super::keyed::guarded("fjall", work)
}

/// fjall as an engine.
pub struct Fjall {
    /// What is read.
    moment: ArcSwap<Moment>,
    /// Held while a batch is under way.
    writing: Mutex<()>,
    database: Database,
    keyspace: Keyspace,
    /// Let go of last.
    _held: Option<File>,
}

impl Fjall {
    fn open(folder: &Path, cache: u64, memtable: u64, held: Option<File>) -> StoreResult<Self> {
        let begin = Instant::now();
        let database = loop {
            let builder = Database::builder(folder)
                .cache_size(cache)
                .max_cached_files(Some(OPEN_TABLES))
                .worker_threads(THREADS)
                .max_journaling_size(JOURNALS)
                .manual_journal_persist(true)
                // Records are packed already, and the next one waits.
                .journal_compression(CompressionType::None);
            match builder.open() {
                // fjall's threads let go of its own lock a moment after the last handle is dropped.
                Err(::fjall::Error::Locked) if begin.elapsed() < LOCK_WAIT => std::thread::sleep(BRAKE_EVERY),
                other => break other?,
            }
        };
        // Only a database that is just being made is nobody's yet.
        if held.is_some() && !database.keyspace_exists(KEYSPACE) {
            return Err(missing("the keyspace"));
        }
        let options = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(memtable)
                .manual_journal_persist(true)
                .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE.min(4 * memtable))))
        };
        let keyspace = database.keyspace(KEYSPACE, options)?;
        let moment = ArcSwap::from_pointee(Moment::now(&database, &keyspace));
        Ok(Self { moment, writing: Mutex::new(()), database, keyspace, _held: held })
    }

    /// What is read from now on; nobody may be writing.
    fn show(&self, _writing: &MutexGuard<'_, ()>) {
        self.moment.store(Arc::new(Moment::now(&self.database, &self.keyspace)));
    }

    /// The last state without a batch under way.
    fn moment(&self) -> Arc<Moment> {
        let moment = self.moment.load_full();
        // A snapshot keeps the tables it was taken with: without a new one merging would do nothing
        // for those who read.
        if moment.since.elapsed() > SHOWN_FOR
            && let Ok(writing) = self.writing.try_lock()
        {
            self.show(&writing);
            return self.moment.load_full();
        }
        moment
    }

    /// Waits while fjall's threads are behind.
    fn brake(&self) -> StoreResult<()> {
        let begin = Instant::now();
        while self.keyspace.sealed_memtable_count() >= SEALED || self.keyspace.l0_table_count() >= FIRST_LEVEL {
            // Fails if they have.
            self.database.persist(PersistMode::Buffer)?;
            if begin.elapsed() > BRAKE_FOR {
                return Err(StoreError::Failed("fjall has not written its tables for two minutes".into()));
            }
            std::thread::sleep(BRAKE_EVERY);
        }
        Ok(())
    }
}

/// What fjall says that it cannot do.
impl From<::fjall::Error> for StoreError {
    fn from(error: ::fjall::Error) -> Self {
        use ::fjall::{Error, LsmError};
        match error {
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => error.into(),
            Error::Poisoned => Self::Failed("fjall has failed to write before".into()),
            Error::Locked => Self::Failed("the registry store is in use by another process".into()),
            Error::Storage(_)
            | Error::JournalRecovery(_)
            | Error::Decompress(_)
            | Error::InvalidTrailer
            | Error::InvalidTag(_)
            | Error::Unrecoverable => Self::Damaged(format!("fjall found damage: {error:?}")),
            other => Self::Failed(format!("fjall: {other:?}")),
        }
    }
}

/// One moment of the registry.
pub struct Moment {
    snapshot: Snapshot,
    keyspace: Keyspace,
    since: Instant,
}

impl Moment {
    fn now(database: &Database, keyspace: &Keyspace) -> Self {
        Self { snapshot: database.snapshot(), keyspace: keyspace.clone(), since: Instant::now() }
    }
}

impl Engine for Fjall {
    type View = Moment;

    fn read<T>(&self, look: impl FnOnce(&Moment) -> StoreResult<T>) -> StoreResult<T> {
        guarded(|| look(&self.moment()))
    }

    fn apply(&self, writes: Writes) -> StoreResult<()> {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        guarded(|| {
            self.brake()?;
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(&self.keyspace, key, value.as_ref()),
                    None => batch.remove(&self.keyspace, key),
                }
            }
            batch.commit()?;
            self.show(&writing);
            Ok(())
        })
    }

    /// Nothing is left to do: what is applied is durable.
    fn flush(&self) -> StoreResult<()> {
        Ok(())
    }

    fn octets(&self) -> StoreResult<u64> {
        guarded(|| Ok(self.database.disk_space()?))
    }
}

impl Look for Moment {
    type Octets = Slice;

    fn get(&self, key: &[u8]) -> StoreResult<Option<Slice>> {
        Ok(self.snapshot.get(&self.keyspace, key)?)
    }

    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(Slice, Slice)>> {
        self.prefix(prefix).collect()
    }
}

impl View for Moment {
    fn pairs(&self, from: Vec<u8>) -> impl Iterator<Item = StoreResult<(Slice, Slice)>> {
        self.snapshot.range(&self.keyspace, from..).map(|pair| Ok(pair.into_inner()?))
    }

    fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = StoreResult<(Slice, Slice)>> {
        self.snapshot.prefix(&self.keyspace, prefix).map(|pair| Ok(pair.into_inner()?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::keyed::suite::{keyed_suite, put};
    use super::super::suite::{check_filled, fill, patient, registry_suite, uuid};
    use super::super::{Change, RegistryStore};
    use super::*;
    use crate::model::metadata::Noun;
    use crate::model::packed::PackedObject;
    use std::sync::Arc;
    use tempfile::TempDir;

    fn make() -> (FjallStore, TempDir) {
        let dir = TempDir::new().unwrap();
        let store = FjallStore::open(dir.path().join("registry"), EmbeddedOptions::default()).unwrap();
        (store, dir)
    }

    /// With tables written and merged all the time.
    fn make_small() -> (FjallStore, TempDir) {
        let dir = TempDir::new().unwrap();
        let store = FjallStore::open_with(dir.path(), EmbeddedOptions::default(), 4096).unwrap();
        (store, dir)
    }

    registry_suite!(make);
    keyed_suite!(FjallStore);

    mod from_tables {
        use crate::store::suite::registry_suite;

        registry_suite!(super::make_small);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn tables_written_and_merged_lose_nothing() {
        let (store, dir) = make_small();
        fill(&store).await;
        let mut store = Arc::new(store);
        for round in 0..3 {
            let tasks: Vec<_> = (0..16)
                .map(|task| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move {
                        for n in 0..40 {
                            let n = round * 1000 + task * 40 + n;
                            store.commit(put(n)).await.unwrap();
                            if n % 3 == 0 {
                                store.commit(Change { removes: vec![uuid(n)], ..Change::default() }).await.unwrap();
                            }
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let tables = store.engine().keyspace.table_count();
            assert!(tables > 0, "{tables} tables");
            drop(store);
            store = Arc::new(FjallStore::open_with(dir.path(), EmbeddedOptions::default(), 4096).unwrap());
            check_filled(&*store).await;
            for n in (0..=round).flat_map(|round| round * 1000..round * 1000 + 640) {
                assert_eq!(store.by_uuid(uuid(n)).await.unwrap().is_some(), n % 3 != 0, "{n}");
            }
            let found = store.of_patient(&patient("0"), Noun::DocumentEntry).await.unwrap();
            assert!(found.iter().filter_map(PackedObject::uuid).eq((0..20).filter(|n| n % 3 != 0).map(uuid)));
        }
    }

    #[tokio::test]
    async fn a_first_start_that_broke_off_is_begun_again() {
        let (store, dir) = make();
        drop(store);
        let registry = dir.path().join("registry");
        // As if it had been killed just before the rename, and with half of the files.
        fs::rename(registry.join("db"), registry.join("db.new")).unwrap();
        fs::remove_file(registry.join("db.new/version")).unwrap();
        let store = FjallStore::open(&registry, EmbeddedOptions::default()).unwrap();
        fill(&store).await;
        drop(store);
        check_filled(&FjallStore::open(&registry, EmbeddedOptions::default()).unwrap()).await;
    }

    #[tokio::test]
    async fn what_cannot_be_merged_ends_writing_and_not_reading() {
        let (store, dir) = make_small();
        fill(&store).await;
        // No table can be written any more.
        let tables = fs::read_dir(dir.path().join("db/keyspaces")).unwrap().flatten().map(|entry| entry.path());
        for tables in tables.map(|keyspace| keyspace.join("tables")) {
            fs::remove_dir_all(&tables).unwrap();
            fs::write(&tables, "").unwrap();
        }
        let mut refused = None;
        for n in 0..5000 {
            match store.commit(put(n)).await {
                Ok(()) => assert!(store.by_uuid(uuid(n)).await.is_ok()),
                Err(error) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        assert!(matches!(refused, Some(StoreError::Failed(_))), "{refused:?}");
        assert!(matches!(store.commit(put(6000)).await, Err(StoreError::Failed(_))));
        check_filled(&store).await;
    }

    #[tokio::test]
    async fn what_is_missing_is_told_and_nothing_made_anew() {
        for gone in ["version", "keyspaces/0/current", "keyspaces/1/current", "keyspaces/1"] {
            let (store, dir) = make();
            fill(&store).await;
            drop(store);
            let (db, kept) = (dir.path().join("registry/db"), dir.path().join("kept"));
            fs::rename(db.join(gone), &kept).unwrap();
            let open = || FjallStore::open(dir.path().join("registry"), EmbeddedOptions::default());
            assert!(matches!(open().map(|_| ()), Err(StoreError::Damaged(_))), "{gone}");
            fs::rename(&kept, db.join(gone)).unwrap();
            check_filled(&open().unwrap()).await;
        }
    }

    #[tokio::test]
    async fn a_registry_in_sled_is_not_taken_for_an_empty_folder() {
        let dir = TempDir::new().unwrap();
        let sled = super::super::sled::SledStore::open(dir.path(), EmbeddedOptions::default()).unwrap();
        fill(&sled).await;
        drop(sled);
        let refused = FjallStore::open(dir.path(), EmbeddedOptions::default()).map(|_| ());
        assert!(matches!(refused, Err(StoreError::Failed(text)) if text.contains("sled")));
        check_filled(&super::super::sled::SledStore::open(dir.path(), EmbeddedOptions::default()).unwrap()).await;
    }
}
