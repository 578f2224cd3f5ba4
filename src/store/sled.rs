//! Registry metadata in sled, an embedded [`RegistryStore`](super::RegistryStore). The only file that
//! names sled.
//!
//! One tree; what its keys mean is in `keyed/layout.rs`.
//!
//! **Flushes** are not done beside the next batch, because sled's batches wait for running flushes
//! anyway, and hold up all readers while they do.
//!
//! **Durability.** sled's flush hands the log to the device (`sync_file_range`) but does not wait
//! for the device's cache or the file's length. So the log is synced once more through a handle
//! of our own. Values are kept so small that sled never writes blobs, which it does not sync.
//!
//! **Errors.** sled forgets to wake its flush when a write fails behind it, and panics when it
//! cannot sync at the end: `Inner::watch` and `Database` see to that.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::sled::{Db, IVec, Tree};

use super::files::create_folders;
use super::keyed::draft::{Look, View};
use super::keyed::layout::Writes;
use super::keyed::{Engine, KeyedStore, closed};
use super::{EmbeddedOptions, StoreError, StoreResult};

/// How long [`SledStore::open`] waits for a predecessor that is just closing.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How often a running flush is looked after.
const WATCH_EVERY: Duration = Duration::from_millis(250);
/// Octets of the volume that stay free at most, unless told otherwise: sled does not survive a full
/// disk without being opened again.
const RESERVE: u64 = 64 << 20;

/// Registry metadata in sled; see the module.
pub type SledStore = KeyedStore<Sled>;

impl SledStore {
    /// Opens or makes the store in that folder; blocks.
    ///
    /// # Errors
    /// When the folder cannot be made, is in use by another process, holds another version's
    /// layout or damaged data.
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> StoreResult<Self> {
        let path = path.as_ref();
        create_folders(path)?;
        let config =
            ::sled::Config::new().path(path).cache_capacity(options.cache).flush_every_ms(None).use_compression(false);
        let db = guarded(|| open_when_free(&config))?;
        // The names of the files sled has just made.
        File::open(path)?.sync_all()?;
        let log = File::open(path.join("db"))?;
        let engine = Sled::watched(db, log)?;
        Self::start(engine, path, &options, options.reserve(path, RESERVE)?)
    }
}

/// The database, closed without panic.
struct Database(Option<(Db, Tree)>);

impl Database {
    fn get(&self) -> StoreResult<&(Db, Tree)> {
        self.0.as_ref().ok_or_else(closed)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let database = self.0.take();
        // What was answered is durable; there is nobody left to tell of an error.
        let _ = guarded(move || {
            drop(database);
            Ok(())
        });
    }
}

/// sled as an engine.
pub struct Sled {
    inner: Arc<Inner>,
    /// Dropped to end the watch.
    running: Option<std::sync::mpsc::Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

struct Inner {
    database: Database,
    /// The log once more, to sync it; open all the time, so that no earlier error escapes it.
    log: File,
    /// Held for writing while a batch is applied, since sled's readers can see half of one.
    /// True once a batch broke off: what is in memory then is not to be trusted.
    view: RwLock<bool>,
    flushing: AtomicBool,
}

impl Sled {
    fn watched(db: Db, log: File) -> StoreResult<Self> {
        let tree = Tree::clone(&db);
        let inner = Arc::new(Inner {
            database: Database(Some((db, tree))),
            log,
            view: RwLock::new(false),
            flushing: AtomicBool::new(false),
        });
        let (running, ended) = std::sync::mpsc::channel();
        let watched = Arc::clone(&inner);
        let watch = std::thread::Builder::new().name("registry-watch".into()).spawn(move || watched.watch(&ended))?;
        Ok(Self { inner, running: Some(running), watch: Some(watch) })
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        self.running = None;
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

impl Inner {
    fn tree(&self) -> StoreResult<&Tree> {
        Ok(&self.database.get()?.1)
    }

    /// Wakes a flush that sleeps on although a write has failed: one more flush notices the
    /// error at once, and wakes the other. It does not flush unless there is an error.
    fn watch(&self, ended: &std::sync::mpsc::Receiver<()>) {
        while ended.recv_timeout(WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.flushing.load(Ordering::Acquire) {
                let _ = guarded(|| {
                    let (db, tree) = self.database.get()?;
                    if db.context.global_error().is_err() {
                        tree.flush()?;
                    }
                    Ok(())
                });
            }
        }
    }
}

impl Engine for Sled {
    type View = Tree;

    fn read<T>(&self, look: impl FnOnce(&Tree) -> StoreResult<T>) -> StoreResult<T> {
        let torn = self.inner.view.read().unwrap_or_else(PoisonError::into_inner);
        if *torn {
            return Err(StoreError::Failed("a write broke off; the registry store must be opened again".into()));
        }
        guarded(|| look(self.inner.tree()?))
    }

    fn apply(&self, writes: Writes) -> StoreResult<()> {
        let mut batch = ::sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value.as_ref()),
                None => batch.remove(key),
            }
        }
        let mut torn = self.inner.view.write().unwrap_or_else(PoisonError::into_inner);
        let result = guarded(|| Ok(self.inner.tree()?.apply_batch(batch)?));
        *torn |= result.is_err();
        result
    }

    fn flush(&self) -> StoreResult<()> {
        guarded(|| {
            let tree = self.inner.tree()?;
            self.inner.flushing.store(true, Ordering::Release);
            let flushed = tree.flush();
            self.inner.flushing.store(false, Ordering::Release);
            flushed?;
            Ok(self.inner.log.sync_data()?)
        })
    }

    fn octets(&self) -> StoreResult<u64> {
        guarded(|| Ok(self.inner.database.get()?.0.size_on_disk()?))
    }
}

impl Look for Tree {
    type Octets = IVec;

    fn get(&self, key: &[u8]) -> StoreResult<Option<IVec>> {
        Ok(Tree::get(self, key)?)
    }

    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(IVec, IVec)>> {
        self.prefix(prefix).collect()
    }
}

impl View for Tree {
    fn pairs(&self, from: Vec<u8>) -> impl Iterator<Item = StoreResult<(IVec, IVec)>> {
        self.range(from..).map(|pair| Ok(pair?))
    }

    fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = StoreResult<(IVec, IVec)>> {
        self.scan_prefix(prefix).map(|pair| Ok(pair?))
    }
}

impl From<::sled::Error> for StoreError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => error.into(),
            ::sled::Error::Corruption { .. } => Self::Damaged("sled found corruption in its log".into()),
            other => Self::Failed(other.to_string()),
        }
    }
}

fn guarded<T>(work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    super::keyed::guarded("sled", work)
}

fn open_when_free(config: &::sled::Config) -> StoreResult<Db> {
    let begin = Instant::now();
    loop {
        match config.open() {
            // sled lets go of its lock a moment after the last handle is dropped.
            Err(::sled::Error::Io(error))
                if begin.elapsed() < LOCK_WAIT && error.to_string().contains("could not acquire lock") =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RegistryStore;
    use super::super::keyed::suite::{keyed_suite, put};
    use super::super::suite::{entry, fill, patient, registry_suite, uuid};
    use super::*;
    use tempfile::TempDir;

    fn open(dir: &TempDir) -> SledStore {
        SledStore::open(dir.path().join("registry"), EmbeddedOptions::default()).unwrap()
    }

    fn make() -> (SledStore, TempDir) {
        let dir = TempDir::new().unwrap();
        (open(&dir), dir)
    }

    registry_suite!(make);
    keyed_suite!(SledStore);

    #[tokio::test]
    async fn sled_never_needs_blobs() {
        let (store, dir) = make();
        let long = "é".repeat(128);
        for n in 0..400 {
            let mut change = put(n);
            change.puts.push(entry(1000 + n, &patient("1"), &format!("{n}{long}"), &"x".repeat(n as usize * 100)));
            store.commit(change).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path().join("registry/blobs")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_foreign_database_is_refused() {
        let dir = TempDir::new().unwrap();
        let foreign = ::sled::open(dir.path().join("foreign")).unwrap();
        foreign.insert("a", "b").unwrap();
        drop(foreign);
        assert!(SledStore::open(dir.path().join("foreign"), EmbeddedOptions::default()).is_err());
    }

    #[tokio::test]
    async fn what_broke_off_in_the_middle_is_not_shown_at_all() {
        let (store, _dir) = make();
        fill(&store).await;
        *store.engine().inner.view.write().unwrap() = true;
        assert!(matches!(store.by_uuid(uuid(900)).await, Err(StoreError::Failed(_))));
    }
}
