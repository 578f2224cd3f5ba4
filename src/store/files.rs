//! Document bodies as content-addressed files: the embedded [`DocumentStore`].
//!
//! ```text
//! lock                      held while open: two processes would empty each other's staging
//! registry                  whose documents these are; nobody else's registry sweeps them
//! staging/<number>          being received; emptied at open
//! objects/ab/<sha-256>      published; ab are the first digits of the name
//! ```
//!
//! A document is published by: fsync of the staged file, rename, fsync of the folder (and of its
//! parent, until that is known to hold the folder durably). Up to 256 KiB stay in
//! memory until then, so that a small document is written once; all such documents together up to
//! 32 MiB, what is beyond goes to disk. All disk work is done on the
//! runtime's blocking threads.
//!
//! After a failed fsync the kernel may forget the loss and let the next fsync succeed. So the
//! store then refuses to publish until it is opened again; reading goes on.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::digest;
use bytes::Bytes;
use fs2::FileExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet, spawn_blocking};

use super::{
    Content, DocumentReader, DocumentStore, RegistryStore, StagedDocument, StagedWriter, StoreError, StoreResult, hex,
    unhex,
};
use crate::model::document::{BodyError, BoxFuture};

/// Octets per write and per read: long enough for the disk, short enough for many streams.
const BUFFER: usize = 256 * 1024;
/// KiB of whole small documents that wait in memory for their publication; no limit for anybody,
/// further ones wait on disk.
const WAITING_KIB: usize = 32 * 1024;
/// Up to so many octets are hashed where we are: handing them to another thread costs more.
const HASH_HERE: usize = 64 * 1024;
/// Documents of one set that are made durable at the same time; more would only queue in the kernel.
const PUBLISH_AT_ONCE: usize = 16;
/// An orphan is swept only if it is so much older than this process: clocks are set back at times.
const ORPHAN_AGE: Duration = Duration::from_secs(3600);
/// How long [`FileDocuments::open`] waits for a predecessor that is just closing.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// How document files are kept.
#[derive(Debug, Clone, Default)]
pub struct FileOptions {
    /// Octets of the volume that documents leave free, for the registry and the audit trail;
    /// by default 256 MiB or a sixteenth of the volume, whichever is less.
    pub reserve: Option<u64>,
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Contents looked at.
    pub examined: u64,
    /// Orphans removed.
    pub removed: u64,
}

/// The names and checks of a content in the making, all from one pass.
pub struct ContentHasher {
    sha256: digest::Context,
    sha1: digest::Context,
    crc32: crc32fast::Hasher,
    size: u64,
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self {
            sha256: digest::Context::new(&digest::SHA256),
            sha1: digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            crc32: crc32fast::Hasher::new(),
            size: 0,
        }
    }
}

impl ContentHasher {
    /// Takes the next octets.
    pub fn update(&mut self, bytes: &[u8]) {
        // Pieces that stay in the processor's first cache over all three.
        for piece in bytes.chunks(16 * 1024) {
            self.sha256.update(piece);
            self.sha1.update(piece);
            self.crc32.update(piece);
        }
        self.size += bytes.len() as u64;
    }

    /// The content that the octets make.
    pub fn finish(self) -> Content {
        let mut content = Content { sha256: [0; 32], sha1: [0; 20], crc32: self.crc32.finalize(), size: self.size };
        content.sha256.copy_from_slice(self.sha256.finish().as_ref());
        content.sha1.copy_from_slice(self.sha1.finish().as_ref());
        content
    }

    /// The content of octets that are all there.
    pub fn of(bytes: &[u8]) -> Content {
        let mut hasher = Self::default();
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Document bodies in a folder; see the module for its layout.
pub struct FileDocuments {
    shared: Arc<Shared>,
}

struct Shared {
    staging: PathBuf,
    objects: PathBuf,
    opened: SystemTime,
    next_staged: AtomicU64,
    /// Set by a failed fsync, never cleared.
    suspect: AtomicBool,
    /// One bit for each folder `ab` whose entry in `objects` is known to be durable.
    linked: Vec<AtomicU64>,
    /// Held for writing while an orphan is removed, for reading while a content that is already
    /// there is taken over: it must not be swept in between.
    sweeping: RwLock<()>,
    /// [`WAITING_KIB`]
    waiting: Arc<Semaphore>,
    reserve: u64,
    /// Last, so that the lock is released when all else is done.
    _lock: File,
}

impl FileDocuments {
    /// Opens or makes the store in that folder; blocks.
    ///
    /// # Errors
    /// When the folder cannot be made or written, or another process has it open.
    pub fn open(folder: impl AsRef<Path>, options: FileOptions) -> StoreResult<Self> {
        let folder = folder.as_ref();
        create_folders(folder)?;
        let lock = lock(&folder.join("lock"), "document store")?;
        let (staging, objects) = (folder.join("staging"), folder.join("objects"));
        create_folders(&staging)?;
        create_folders(&objects)?;
        for leftover in std::fs::read_dir(&staging)? {
            std::fs::remove_file(leftover?.path())?;
        }
        for path in [&objects, folder] {
            sync_folder(path)?;
        }
        let reserve = match options.reserve {
            Some(reserve) => reserve,
            None => (256 << 20).min(fs2::total_space(folder)? / 16),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                staging,
                objects,
                opened: SystemTime::now(),
                next_staged: AtomicU64::new(0),
                suspect: AtomicBool::new(false),
                linked: (0..4).map(|_| AtomicU64::new(0)).collect(),
                sweeping: RwLock::new(()),
                waiting: Arc::new(Semaphore::new(WAITING_KIB)),
                reserve,
                _lock: lock,
            }),
        })
    }

    /// Removes contents that were published well before this process began and that no entry
    /// refers to: what submissions left behind that broke off between document and metadata.
    ///
    /// Nothing is swept for a registry that is not theirs: one that is new, or has lost all it knew,
    /// would have every document removed.
    ///
    /// # Errors
    /// When the registry is not theirs, cannot be asked, or a folder cannot be read.
    pub async fn sweep(&self, registry: &dyn RegistryStore) -> StoreResult<Swept> {
        let mut swept = Swept::default();
        self.belongs_to(registry).await?;
        for first in 0..=u8::MAX {
            let shared = Arc::clone(&self.shared);
            let found = blocking(move || shared.list(first)).await?;
            for sha256 in found {
                swept.examined += 1;
                let shared = Arc::clone(&self.shared);
                if blocking(move || shared.is_old(&shared.path(&sha256))).await?
                    && !registry.is_referenced(sha256).await?
                {
                    let shared = Arc::clone(&self.shared);
                    swept.removed += u64::from(blocking(move || shared.remove_old(&sha256)).await?);
                }
            }
        }
        Ok(swept)
    }

    /// Whether the documents are those of a registry; the first one to ask gets them.
    async fn belongs_to(&self, registry: &dyn RegistryStore) -> StoreResult<()> {
        let identity = hex(&registry.identity().await?);
        let known = registry.document_page(None).await?;
        let knows_some = !known.items.is_empty() || !known.damaged.is_empty();
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let file = shared.staging.with_file_name("registry");
            match std::fs::read_to_string(&file) {
                Ok(owner) if owner.trim() == identity => Ok(()),
                Ok(_) => Err(StoreError::Failed(
                    "these documents are another registry's: nothing was swept; check [storage]".into(),
                )),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let is_empty = (0..=u8::MAX).try_fold(true, |so_far, first| {
                        Ok::<bool, StoreError>(so_far && shared.list(first)?.is_empty())
                    })?;
                    if !is_empty && !knows_some {
                        return Err(StoreError::Failed(
                            "the registry knows none of these documents: nothing was swept; check [storage]".into(),
                        ));
                    }
                    // As a whole or not at all: a torn one would belong to nobody for ever.
                    let mut staged = shared.create_staged()?;
                    let mut out = staged.file()?.as_ref();
                    out.write_all(identity.as_bytes())?;
                    out.sync_all()?;
                    std::fs::rename(&staged.path, &file)?;
                    staged.renamed = true;
                    if let Some(folder) = file.parent() {
                        sync_folder(folder)?;
                    }
                    Ok(())
                }
                Err(error) => Err(error.into()),
            }
        })
        .await
    }
}

impl Shared {
    fn leaf(&self, sha256: &[u8; 32]) -> PathBuf {
        let [first, ..] = sha256;
        self.objects.join(hex(&[*first]))
    }

    fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.leaf(sha256).join(hex(sha256))
    }

    /// Refuses what would eat into the reserve. A full disk costs documents a retry, but the
    /// registry beside them a restart.
    fn room_for(&self, octets: u64) -> StoreResult<()> {
        if fs2::available_space(&self.objects)? < self.reserve.saturating_add(octets) {
            return Err(StoreError::Full("the document volume has only its reserve left".into()));
        }
        Ok(())
    }

    fn create_staged(&self) -> StoreResult<StagedFile> {
        let path = self.staging.join(self.next_staged.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(StagedFile { path, file: Some(Arc::new(file)), renamed: false })
    }

    fn publish(&self, content: &Content, staged: Staged) -> StoreResult<()> {
        if self.suspect.load(Ordering::Acquire) {
            return Err(StoreError::Failed("an fsync failed earlier; the document store must be opened again".into()));
        }
        let (leaf, path) = (self.leaf(&content.sha256), self.path(&content.sha256));
        if !self.take_over(&path, content)? {
            let mut staged = match staged {
                Staged::File(file) => file,
                Staged::Memory(bytes, _waiting) => {
                    self.room_for(bytes.len() as u64)?;
                    let staged = self.create_staged()?;
                    staged.file()?.as_ref().write_all(&bytes)?;
                    staged
                }
            };
            match staged.file()?.sync_data().map_err(StoreError::from) {
                Ok(()) => {}
                // Late allocation: nothing but this file is lost, and it is discarded.
                Err(full @ StoreError::Full(_)) => return Err(full),
                Err(error) => return Err(self.suspect(error)),
            }
            match std::fs::rename(&staged.path, &path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    create_folder(&leaf)?;
                    std::fs::rename(&staged.path, &path)?;
                }
                other => other?,
            }
            staged.renamed = true;
        }
        sync_folder(&leaf).map_err(|e| self.suspect(e.into()))?;
        self.link(&leaf, &content.sha256)
    }

    /// Makes the folder's own entry durable, once. Whoever made the folder may not have come so
    /// far yet, or may have been another process.
    fn link(&self, leaf: &Path, sha256: &[u8; 32]) -> StoreResult<()> {
        let bit = usize::from(sha256[0]);
        let Some(word) = self.linked.get(bit / 64) else { return Ok(()) };
        if word.load(Ordering::Acquire) & (1 << (bit % 64)) == 0 {
            let parent = leaf.parent().unwrap_or(&self.objects);
            sync_folder(parent).map_err(|e| self.suspect(e.into()))?;
            word.fetch_or(1 << (bit % 64), Ordering::AcqRel);
        }
        Ok(())
    }

    fn suspect(&self, error: StoreError) -> StoreError {
        self.suspect.store(true, Ordering::Release);
        error
    }

    /// Whether the content is there already, and whole; if so it is young again for the sweep.
    /// A damaged one is not: what was staged will replace it.
    fn take_over(&self, path: &Path, content: &Content) -> StoreResult<bool> {
        let mut file = {
            let _held = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
            match File::open(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
                other => {
                    let file = other?;
                    file.set_modified(SystemTime::now())?;
                    file
                }
            }
        };
        if file.metadata()?.len() != content.size {
            return Ok(false);
        }
        let mut hasher = ContentHasher::default();
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish() == *content),
                Ok(n) => hasher.update(buffer.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Sectors that cannot be read any more are damage too.
                Err(_) => return Ok(false),
            }
        }
    }

    fn open(&self, content: &Content) -> StoreResult<Option<FileReader>> {
        let mut file = match File::open(self.path(&content.sha256)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        if file.metadata()?.len() != content.size {
            return Err(StoreError::Damaged("the document's file has another length".into()));
        }
        if content.size <= BUFFER as u64 {
            // Damage found before the answer has begun can still be told properly.
            let mut reader = Progress { left: content.size, crc32: crc32fast::Hasher::new() };
            while reader.left > 0 {
                reader = reader.read(&file, content.crc32).map_err(|e| StoreError::Damaged(e.to_string()))?.1;
            }
            file.rewind()?;
        }
        Ok(Some(FileReader::new(file, content)))
    }

    /// The addresses that begin with that octet.
    fn list(&self, first: u8) -> StoreResult<Vec<[u8; 32]>> {
        let mut found = Vec::new();
        // A folder is made when its first content is published.
        let leaf = match std::fs::read_dir(self.objects.join(hex(&[first]))) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
            leaf => leaf?,
        };
        for file in leaf {
            found.extend(file?.file_name().to_str().and_then(unhex));
        }
        Ok(found)
    }

    fn is_old(&self, path: &Path) -> StoreResult<bool> {
        let Some(limit) = self.opened.checked_sub(ORPHAN_AGE) else { return Ok(false) };
        match std::fs::metadata(path).and_then(|file| file.modified()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            modified => Ok(modified? < limit),
        }
    }

    fn remove_old(&self, sha256: &[u8; 32]) -> StoreResult<bool> {
        let path = self.path(sha256);
        let _held = self.sweeping.write().unwrap_or_else(PoisonError::into_inner);
        // Once more: a submission may have taken it over since.
        if !self.is_old(&path)? {
            return Ok(false);
        }
        std::fs::remove_file(path)?;
        Ok(true)
    }
}

impl DocumentStore for FileDocuments {
    fn stage(&self) -> BoxFuture<'_, StoreResult<Box<dyn StagedWriter>>> {
        Box::pin(async move {
            Ok(Box::new(FileWriter {
                shared: Arc::clone(&self.shared),
                buffer: Vec::new(),
                spool: Spool::Memory(ContentHasher::default()),
            }) as Box<dyn StagedWriter>)
        })
    }

    fn publish(&self, staged: Vec<StagedDocument>) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(async move {
            let mut first_error = None;
            let mut tasks = JoinSet::new();
            let mut staged = staged.into_iter();
            loop {
                while first_error.is_none() && tasks.len() < PUBLISH_AT_ONCE {
                    let Some(document) = staged.next() else { break };
                    let shared = Arc::clone(&self.shared);
                    tasks.spawn_blocking(move || match document.handle.downcast::<Staged>() {
                        Ok(handle) => shared.publish(&document.content, *handle),
                        Err(_) => Err(foreign()),
                    });
                }
                match tasks.join_next().await {
                    None => return first_error.map_or(Ok(()), Err),
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => first_error = first_error.or(Some(error)),
                    Some(Err(error)) => first_error = first_error.or(Some(StoreError::Failed(error.to_string()))),
                }
            }
        })
    }

    fn open_staged<'s>(&'s self, staged: &'s StagedDocument) -> BoxFuture<'s, StoreResult<Box<dyn DocumentReader>>> {
        Box::pin(async move {
            match staged.handle.downcast_ref::<Staged>().ok_or_else(foreign)? {
                Staged::Memory(bytes, _waiting) => {
                    Ok(Box::new(MemoryReader::new(bytes.clone(), &staged.content)) as Box<dyn DocumentReader>)
                }
                Staged::File(file) => {
                    let path = file.path.clone();
                    // Opened anew: a clone of the handle would share its position.
                    let file = blocking(move || Ok(File::open(path)?)).await?;
                    Ok(Box::new(FileReader::new(file, &staged.content)) as Box<dyn DocumentReader>)
                }
            }
        })
    }

    fn open<'s>(&'s self, content: &'s Content) -> BoxFuture<'s, StoreResult<Option<Box<dyn DocumentReader>>>> {
        Box::pin(async move {
            let (shared, content) = (Arc::clone(&self.shared), *content);
            let reader = blocking(move || shared.open(&content)).await?;
            Ok(reader.map(|reader| Box::new(reader) as Box<dyn DocumentReader>))
        })
    }

    fn addresses(&self) -> BoxFuture<'_, StoreResult<Vec<[u8; 32]>>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(blocking(move || {
            let mut all = Vec::new();
            for first in 0..=u8::MAX {
                all.append(&mut shared.list(first)?);
            }
            Ok(all)
        }))
    }

    fn remove(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<()>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(blocking(move || match std::fs::remove_file(shared.path(&sha256)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }))
    }
}

/// The handle of a staged document.
enum Staged {
    /// With its share of [`WAITING_KIB`].
    Memory(Bytes, OwnedSemaphorePermit),
    File(StagedFile),
}

/// A file in `staging/`, removed when dropped unless it was renamed.
struct StagedFile {
    path: PathBuf,
    file: Option<Arc<File>>,
    renamed: bool,
}

impl StagedFile {
    fn file(&self) -> std::io::Result<&Arc<File>> {
        self.file.as_ref().ok_or_else(|| std::io::Error::other("the staged file is closed"))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.renamed {
            // What cannot be removed now is removed when the store is opened again.
            let _ = std::fs::remove_file(&self.path);
            // The last close of a removed file frees its blocks, and that takes time.
            let file = self.file.take();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn_blocking(move || drop(file));
            }
        }
    }
}

/// What one round of writing hands back: the hash so far and the buffer, empty again.
type Written = StoreResult<(ContentHasher, Vec<u8>)>;

enum Spool {
    /// All of it is still in the buffer.
    Memory(ContentHasher),
    /// One buffer is being hashed and written while the next one fills.
    File { file: StagedFile, writing: JoinHandle<Written> },
    /// A write failed or was given up.
    Broken,
}

struct FileWriter {
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    spool: Spool,
}

impl FileWriter {
    /// Sends the buffer to the disk and goes on with an empty one.
    async fn spill(&mut self) -> StoreResult<()> {
        // Stays broken if this future is dropped while it waits: part of the document is lost.
        let (file, hasher, empty) = match std::mem::replace(&mut self.spool, Spool::Broken) {
            Spool::Memory(hasher) => {
                let shared = Arc::clone(&self.shared);
                (blocking(move || shared.create_staged()).await?, hasher, Vec::with_capacity(BUFFER))
            }
            Spool::File { file, writing } => {
                let (hasher, empty) = joined(writing.await)?;
                (file, hasher, empty)
            }
            Spool::Broken => return Err(broken()),
        };
        let full = std::mem::replace(&mut self.buffer, empty);
        let (shared, to) = (Arc::clone(&self.shared), Arc::clone(file.file()?));
        let writing = spawn_blocking(move || write_buffer(&shared, &to, hasher, full));
        self.spool = Spool::File { file, writing };
        Ok(())
    }
}

fn write_buffer(shared: &Shared, mut file: &File, mut hasher: ContentHasher, mut buffer: Vec<u8>) -> Written {
    hasher.update(&buffer);
    shared.room_for(buffer.len() as u64)?;
    file.write_all(&buffer)?;
    buffer.clear();
    Ok((hasher, buffer))
}

impl StagedWriter for FileWriter {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(async move {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                if self.buffer.len() >= BUFFER {
                    self.spill().await?;
                }
                let fits = rest.len().min(BUFFER - self.buffer.len());
                let (now, later) = rest.split_at(fits);
                self.buffer.extend_from_slice(now);
                rest = later;
            }
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, StoreResult<StagedDocument>> {
        Box::pin(async move {
            let mut writer = *self;
            let kib = u32::try_from(writer.buffer.len().div_ceil(1024)).unwrap_or(u32::MAX);
            let waiting = Arc::clone(&writer.shared.waiting).try_acquire_many_owned(kib).ok();
            if waiting.is_none() && matches!(writer.spool, Spool::Memory(_)) {
                writer.spill().await?;
            }
            let Self { shared, buffer, spool } = writer;
            let (content, staged) = match (spool, waiting) {
                (Spool::Memory(mut hasher), Some(waiting)) if buffer.len() <= HASH_HERE => {
                    hasher.update(&buffer);
                    (hasher.finish(), Staged::Memory(buffer.into(), waiting))
                }
                (Spool::Memory(mut hasher), Some(waiting)) => {
                    blocking(move || {
                        hasher.update(&buffer);
                        Ok((hasher.finish(), Staged::Memory(buffer.into(), waiting)))
                    })
                    .await?
                }
                (Spool::File { file, writing }, _) => {
                    let (hasher, _) = joined(writing.await)?;
                    blocking(move || {
                        let (hasher, _) = write_buffer(&shared, file.file()?, hasher, buffer)?;
                        Ok((hasher.finish(), Staged::File(file)))
                    })
                    .await?
                }
                (Spool::Broken | Spool::Memory(_), _) => return Err(broken()),
            };
            Ok(StagedDocument { content, handle: Box::new(staged) })
        })
    }
}

/// How far a document has been read.
struct Progress {
    left: u64,
    crc32: crc32fast::Hasher,
}

impl Progress {
    /// Reads the next chunk; the last one only comes out if the CRC-32 over all is right.
    fn read(mut self, file: &File, crc32: u32) -> Result<(Bytes, Self), BodyError> {
        let wanted = self.left.min(BUFFER as u64);
        let mut chunk = Vec::with_capacity(wanted as usize);
        file.take(wanted).read_to_end(&mut chunk)?;
        if (chunk.len() as u64) < wanted {
            return Err(BodyError::Damaged("the file has become shorter".into()));
        }
        self.crc32.update(&chunk);
        self.left -= wanted;
        if self.left == 0 && self.crc32.clone().finalize() != crc32 {
            return Err(BodyError::Damaged("CRC-32 does not match".into()));
        }
        Ok((chunk.into(), self))
    }
}

enum Reading {
    /// Nothing is read ahead yet: documents that wait for their turn hold no memory.
    Idle(Progress),
    /// A chunk is being read.
    Ahead(JoinHandle<Result<(Bytes, Progress), BodyError>>),
    /// The end was given out, or an error.
    Done,
}

struct FileReader {
    file: Arc<File>,
    crc32: u32,
    reading: Reading,
}

impl FileReader {
    fn new(file: File, content: &Content) -> Self {
        let progress = Progress { left: content.size, crc32: crc32fast::Hasher::new() };
        Self { file: Arc::new(file), crc32: content.crc32, reading: Reading::Idle(progress) }
    }

    fn read_ahead(&self, progress: Progress) -> Reading {
        let (file, crc32) = (Arc::clone(&self.file), self.crc32);
        Reading::Ahead(spawn_blocking(move || progress.read(&file, crc32)))
    }
}

impl DocumentReader for FileReader {
    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            if let Reading::Idle(progress) = &mut self.reading {
                let progress = Progress { left: progress.left, crc32: progress.crc32.clone() };
                self.reading = self.read_ahead(progress);
            }
            // Awaited in place, so that nothing is lost when this future is dropped.
            let Reading::Ahead(reading) = &mut self.reading else { return Ok(None) };
            let read = reading.await.unwrap_or_else(|e| Err(BodyError::Store(std::io::Error::other(e))));
            self.reading = Reading::Done;
            let (chunk, progress) = read?;
            if progress.left > 0 {
                self.reading = self.read_ahead(progress);
            }
            Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
        })
    }
}

/// Reads a content that is in memory, in chunks as a file's.
pub(super) struct MemoryReader {
    rest: Bytes,
    whole: bool,
}

impl MemoryReader {
    pub(super) fn new(bytes: Bytes, content: &Content) -> Self {
        let whole = bytes.len() as u64 == content.size && crc32fast::hash(&bytes) == content.crc32;
        Self { rest: bytes, whole }
    }
}

impl DocumentReader for MemoryReader {
    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            if !self.whole {
                return Err(BodyError::Damaged("CRC-32 does not match".into()));
            }
            let chunk = self.rest.split_to(self.rest.len().min(BUFFER));
            Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
        })
    }
}

fn foreign() -> StoreError {
    StoreError::Failed("the document was staged by another store".into())
}

fn broken() -> StoreError {
    StoreError::Failed("an earlier write of this document failed".into())
}

fn joined<T>(result: Result<StoreResult<T>, tokio::task::JoinError>) -> StoreResult<T> {
    result.unwrap_or_else(|e| Err(StoreError::Failed(e.to_string())))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> StoreResult<T> + Send + 'static) -> StoreResult<T> {
    joined(spawn_blocking(work).await)
}

pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes one folder, for us alone, unless it is there.
pub(super) fn create_folder(path: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes a folder and those above it, each durably known to the one above.
pub(super) fn create_folders(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_folders(parent)?;
    create_folder(path)?;
    sync_folder(parent)
}

/// Takes the lock file; a predecessor in this process may need a moment to let go of it.
pub(super) fn lock(path: &Path, what: &str) -> StoreResult<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let begin = Instant::now();
    while let Err(error) = FileExt::try_lock_exclusive(&file) {
        if begin.elapsed() > LOCK_WAIT {
            return Err(StoreError::Failed(format!("the {what} is in use by another process: {error}")));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::super::suite::{document_suite, octets, read, stage, unique};
    use super::super::{Change, DocumentLocator};
    use super::*;
    use tempfile::TempDir;

    fn make() -> (FileDocuments, TempDir) {
        let dir = TempDir::new().unwrap();
        (FileDocuments::open(dir.path().join("documents"), FileOptions::default()).unwrap(), dir)
    }

    document_suite!(make);

    fn staged_files(store: &FileDocuments) -> usize {
        std::fs::read_dir(&store.shared.staging).unwrap().count()
    }

    async fn published(store: &FileDocuments, bytes: &Bytes) -> Content {
        let staged = stage(store, bytes, 100_000).await;
        let content = staged.content;
        store.publish(vec![staged]).await.unwrap();
        content
    }

    #[tokio::test]
    async fn what_is_dropped_leaves_no_file() {
        let (store, _dir) = make();
        let bytes = octets(1 << 20, 1);
        let staged = stage(&store, &bytes, 100_000).await;
        assert_eq!(staged_files(&store), 1);
        drop(staged);
        let mut writer = store.stage().await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        assert_eq!(staged_files(&store), 1);
        drop(writer);
        assert_eq!(staged_files(&store), 0);
        published(&store, &bytes).await;
        published(&store, &bytes).await;
        assert_eq!(staged_files(&store), 0);
        // A small one is written once, where it belongs.
        let staged = stage(&store, &octets(BUFFER, 1), 100_000).await;
        assert_eq!(staged_files(&store), 0);
        drop(staged);
    }

    /// Many small documents at once are bounded in memory, and whole wherever they wait.
    #[tokio::test]
    async fn small_documents_beyond_the_bound_wait_on_disk() {
        let (store, _dir) = make();
        let fit = WAITING_KIB * 1024 / BUFFER;
        let mut waiting = Vec::new();
        for n in 0..fit + 3 {
            waiting.push(stage(&store, &octets(BUFFER, n as u64), BUFFER).await);
        }
        assert_eq!(staged_files(&store), 3);
        for (n, staged) in waiting.iter().enumerate().skip(fit - 1) {
            assert!(read(store.open_staged(staged).await.unwrap()).await.unwrap() == octets(BUFFER, n as u64));
        }
        let contents: Vec<Content> = waiting.iter().map(|staged| staged.content).collect();
        store.publish(waiting).await.unwrap();
        assert_eq!(staged_files(&store), 0);
        for (n, content) in contents.iter().enumerate().skip(fit - 1) {
            let bytes = read(store.open(content).await.unwrap().unwrap()).await.unwrap();
            assert!(bytes == octets(BUFFER, n as u64));
        }
        // Their room is free again.
        let staged = stage(&store, &octets(BUFFER, 1), BUFFER).await;
        assert_eq!(staged_files(&store), 0);
        drop(staged);
    }

    #[tokio::test]
    async fn opened_again_it_has_all_and_no_leftovers() {
        let (store, dir) = make();
        let content = published(&store, &octets(300_000, 2)).await;
        std::fs::write(store.shared.staging.join("7"), b"left over").unwrap();
        assert!(matches!(
            lock_at_once(&dir.path().join("documents/lock")),
            Err(error) if error.kind() == ErrorKind::WouldBlock
        ));
        drop(store);
        let store = FileDocuments::open(dir.path().join("documents"), FileOptions::default()).unwrap();
        assert_eq!(staged_files(&store), 0);
        assert!(read(store.open(&content).await.unwrap().unwrap()).await.unwrap() == octets(300_000, 2));
    }

    fn lock_at_once(path: &Path) -> std::io::Result<()> {
        FileExt::try_lock_exclusive(&File::open(path)?)
    }

    #[tokio::test]
    async fn only_we_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (store, dir) = make();
        let content = published(&store, &octets(10, 2)).await;
        let path = store.shared.path(&content.sha256);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != dir.path()) {
            assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700, "{folder:?}");
        }
    }

    /// What reading gives: all octets, or some and then an error.
    async fn outcome(store: &FileDocuments, content: &Content) -> Result<Vec<u8>, u64> {
        let mut reader = match store.open(content).await {
            Ok(reader) => reader.unwrap(),
            Err(StoreError::Damaged(_)) => return Err(0),
            Err(other) => panic!("{other}"),
        };
        let mut bytes = Vec::new();
        loop {
            match reader.next_chunk().await {
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(bytes),
                Err(BodyError::Damaged(_)) => return Err(bytes.len() as u64),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[tokio::test]
    async fn damage_never_comes_out_as_complete() {
        let (store, _dir) = make();
        for size in [1, 1000, BUFFER, BUFFER + 1, 700_000] {
            let bytes = octets(size, 3);
            let content = published(&store, &bytes).await;
            let path = store.shared.path(&content.sha256);
            let whole = std::fs::read(&path).unwrap();
            assert!(whole == bytes);
            let mut bad: Vec<Vec<u8>> = [0, size / 2, size - 1]
                .into_iter()
                .map(|at| {
                    let mut flipped = whole.clone();
                    flipped[at] ^= 0x10;
                    flipped
                })
                .collect();
            bad.push(whole[..size - 1].to_vec());
            bad.push([&whole[..], b"x"].concat());
            bad.push(Vec::new());
            bad.push(octets(size, 4).to_vec());
            for bad in bad {
                std::fs::write(&path, &bad).unwrap();
                let given = outcome(&store, &content).await.unwrap_err();
                assert!(given < size as u64, "all of {size} given out");
            }
            // Whoever submits it again mends it.
            published(&store, &bytes).await;
            assert!(outcome(&store, &content).await.unwrap() == bytes);
        }
    }

    #[tokio::test]
    async fn becoming_shorter_while_read_is_damage() {
        let (store, _dir) = make();
        let content = published(&store, &octets(5 << 20, 3)).await;
        let mut reader = store.open(&content).await.unwrap().unwrap();
        reader.next_chunk().await.unwrap();
        OpenOptions::new().write(true).open(store.shared.path(&content.sha256)).unwrap().set_len(1 << 20).unwrap();
        let error = loop {
            match reader.next_chunk().await {
                Ok(chunk) => assert!(chunk.is_some()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, BodyError::Damaged(_)));
    }

    #[tokio::test]
    async fn a_dropped_future_loses_no_octets() {
        let (store, _dir) = make();
        let bytes = octets(3 << 20, 6);
        let content = published(&store, &bytes).await;
        let mut reader = store.open(&content).await.unwrap().unwrap();
        let mut read = Vec::new();
        loop {
            // Polled once and given up, as `select!` does.
            let first = {
                let mut next = std::pin::pin!(reader.next_chunk());
                std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context))).await
            };
            let chunk = match first {
                std::task::Poll::Ready(chunk) => chunk,
                std::task::Poll::Pending => reader.next_chunk().await,
            };
            match chunk.unwrap() {
                Some(chunk) => read.extend_from_slice(&chunk),
                None => break,
            }
        }
        assert!(read == bytes);
    }

    #[tokio::test]
    async fn a_full_volume_is_told_and_passes() {
        let (store, dir) = make();
        let content = published(&store, &octets(10, 1)).await;
        drop(store);
        let options = FileOptions { reserve: Some(u64::MAX) };
        let store = FileDocuments::open(dir.path().join("documents"), options).unwrap();
        let staged = stage(&store, &octets(1000, 2), 1000).await;
        assert!(matches!(store.publish(vec![staged]).await, Err(StoreError::Full(_))));
        let mut writer = store.stage().await.unwrap();
        let mut written = Ok(());
        for _ in 0..20 {
            written = written.and(writer.write(octets(100_000, 2)).await);
        }
        assert!(matches!(written, Err(StoreError::Full(_))));
        assert!(writer.finish().await.is_err());
        assert_eq!(staged_files(&store), 0);
        // Reading goes on, and what is there already needs no room.
        assert!(outcome(&store, &content).await.is_ok());
        published(&store, &octets(10, 1)).await;
    }

    #[tokio::test]
    async fn after_a_failed_fsync_nothing_is_published() {
        let (store, _dir) = make();
        let content = published(&store, &octets(10, 1)).await;
        store.shared.suspect(StoreError::Failed("fsync".into()));
        let staged = stage(&store, &octets(10, 1), 10).await;
        assert!(matches!(store.publish(vec![staged]).await, Err(StoreError::Failed(_))));
        assert!(outcome(&store, &content).await.is_ok());
    }

    #[tokio::test]
    async fn sweeping_takes_old_orphans_only() {
        let (store, _dir) = make();
        let registry = MemoryStore::default();
        let mut contents = Vec::new();
        for n in 0..4 {
            let content = published(&store, &octets(1000, 10 + n)).await;
            if n > 0 {
                let file = File::open(store.shared.path(&content.sha256)).unwrap();
                file.set_modified(store.shared.opened - 2 * ORPHAN_AGE).unwrap();
            }
            contents.push(content);
        }
        let locator = DocumentLocator { unique_id: unique("1"), content: contents[1], mime_type: String::new() };
        registry.commit(Change { documents: vec![locator], ..Change::default() }).await.unwrap();
        // A submission that is sent again takes its orphan over.
        published(&store, &octets(1000, 12)).await;
        assert_eq!(store.sweep(&registry).await.unwrap(), Swept { examined: 4, removed: 1 });
        for (n, content) in contents.iter().enumerate() {
            assert_eq!(store.open(content).await.unwrap().is_some(), n != 3, "{n}");
        }
    }

    #[test]
    fn addresses_are_read_back() {
        let content = ContentHasher::of(b"abc");
        assert_eq!(unhex(&hex(&content.sha256)), Some(content.sha256));
        for bad in ["", "ab", &"G".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(unhex(bad), None);
        }
    }
}
