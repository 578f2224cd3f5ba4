//! The durable local audit trail: what [`AuditTrail::append`] acknowledged survives a crash (ITI TF-2 §3.20,
//! "store and forward": a record is kept before it is sent).
//!
//! A trail is a folder of segments, `audit-<first sequence>.seg`, append only and never changed afterwards:
//!
//! ```text
//! segment = header record*
//! header  = "CWAUDIT1"  first_sequence:u64  crc32:u32                                     20 bytes
//! record  = "ATR1"  length:u32  crc32:u32  batch_start:u32  sequence:u64  payload          24 bytes + length
//! ```
//!
//! Integers are little endian. A record's crc covers everything behind it. One thread writes: it takes whatever is
//! queued, writes it in one go, calls fdatasync once and wakes all who waited (group commit).
//!
//! `batch_start` is the offset at which the batch of a record begins. Everything before that offset had been synced
//! when the record was written. So a damaged place can be judged: a valid record behind it whose batch starts behind
//! it proves that acknowledged data was damaged, which [`AuditTrail::open`] refuses to hide; without such a proof
//! it is the torn end of a batch that nobody was promised, and is cut off and reported.
//!
//! After any write error the trail takes nothing more (a failed fdatasync may have dropped pages that a second one
//! would call clean); the broker has to be restarted on a healthy disk.
//!
//! Not here: what a payload means, forwarding, sealing, retention. Two processes must not share a folder.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

const SEGMENT_MAGIC: &[u8; 8] = b"CWAUDIT1";
const SEGMENT_HEADER_BYTES: usize = 20;
const RECORD_MAGIC: &[u8; 4] = b"ATR1";
const RECORD_HEADER_BYTES: usize = 24;
/// Longest record the format knows; a length above it is damage, whatever the options were.
const FORMAT_MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// Segments stay below 4 GiB, because `batch_start` is 32 bits.
const FORMAT_MAX_SEGMENT_BYTES: u64 = 1 << 31;
/// What a queued record costs beside its payload; bounds the number of tiny records in the queue.
const QUEUE_COST_BYTES: usize = 512;

/// Position of a record in the trail, from 1, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Bounds of a trail. The defaults are safe for a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditTrailOptions {
    /// A segment is closed when the next record would take it beyond this (64 MiB; at most 2 GiB). Opening reads
    /// one segment, so this bounds the time to start.
    pub segment_bytes: u64,
    /// Longest record taken (4 MiB, above any request's root part; at most 16 MiB).
    pub max_record_bytes: usize,
    /// Bytes that may wait for the disk (32 MiB); beyond it callers wait, which is the back-pressure.
    pub max_queued_bytes: usize,
    /// How long a caller waits, for room in the queue and for the disk together (10 s).
    pub max_wait: Duration,
}

impl Default for AuditTrailOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * 1024 * 1024,
            max_record_bytes: 4 * 1024 * 1024,
            max_queued_bytes: 32 * 1024 * 1024,
            max_wait: Duration::from_secs(10),
        }
    }
}

/// What went wrong in the trail. Paths and offsets, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The disk, or our share of it, is full.
    #[error("audit trail: no space left for {path}")]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Another failure of a file or of the folder.
    #[error("audit trail: cannot {action} {path}: {kind}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
    },
    /// An earlier write failed, so nothing more is taken.
    #[error("audit trail refuses records since an earlier failure: {cause}")]
    Poisoned {
        /// The earlier failure.
        cause: Box<AuditError>,
    },
    /// No room in the queue within the bound; the record was not taken.
    #[error("audit trail: queue full for longer than the bound on waiting")]
    QueueFull,
    /// The record was taken, but the disk did not confirm it within the bound. It may or may not be kept.
    #[error("audit trail: disk did not confirm the record within the bound on waiting")]
    Unconfirmed,
    /// An empty record or one over the bound.
    #[error("audit trail: record of {bytes} bytes, allowed are 1 to {most}")]
    RecordSize {
        /// Its length.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// Options outside of what the format can hold.
    #[error("audit trail: bad value of option {0}")]
    Options(&'static str),
    /// The trail was closed.
    #[error("audit trail is closed")]
    Closed,
    /// Kept data is damaged.
    #[error("audit trail: {segment} is damaged at byte {offset}, where record {sequence} should be: {reason}")]
    Corrupt {
        /// The segment.
        segment: PathBuf,
        /// Where.
        offset: u64,
        /// The record that should be there.
        sequence: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl AuditError {
    fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.to_owned() },
            kind => Self::Io { action, path: path.to_owned(), kind },
        }
    }

    /// The first failure, however often it was passed on.
    fn poisoned(self) -> Self {
        match self {
            Self::Poisoned { .. } => self,
            cause => Self::Poisoned { cause: Box::new(cause) },
        }
    }
}

/// The end of a batch that was never acknowledged, found and cut off when the trail was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub segment: PathBuf,
    /// Its length now.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
}

/// Counters since the trail was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditTrailStats {
    /// Records made durable.
    pub records: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Calls of fdatasync for records; fewer than `records` under load.
    pub syncs: u64,
    /// Segments created.
    pub segments: u64,
}

#[derive(Default)]
struct Shared {
    /// Set once, by the writer.
    poison: OnceLock<AuditError>,
    /// The first sequence that is not durable yet; readers stop there.
    next_durable: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    syncs: AtomicU64,
    segments: AtomicU64,
}

struct Job {
    record: Bytes,
    /// Who waits for it; none: it may wait for one that somebody waits for.
    done: Option<oneshot::Sender<Result<Sequence, AuditError>>>,
    /// Room in the queue, given back when the record is durable or refused.
    room: OwnedSemaphorePermit,
}

/// What waits for the writer. It is woken for a record that somebody waits for, and for the first that nobody
/// does: what the answer to one request has behind it costs one wake, not one each.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Whether somebody waits for one of them.
    awaited: bool,
    /// No more is taken.
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A poisoned lock only means that a thread died while it pushed or took; what is there is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job behind the others; gives it back where no more is taken.
    fn push(&self, job: Job) -> Result<(), Job> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(job);
        }
        let wakes = job.done.is_some() || waiting.jobs.is_empty();
        waiting.awaited |= job.done.is_some();
        waiting.jobs.push_back(job);
        drop(waiting);
        if wakes {
            self.news.notify_one();
        }
        Ok(())
    }

    /// All that waits, when somebody waits for one of them or the first has waited long enough; none: closed and
    /// empty.
    fn take(&self) -> Option<VecDeque<Job>> {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() && !waiting.closed {
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let until = std::time::Instant::now() + LINGER;
        while !waiting.awaited && !waiting.closed {
            let patience = until.saturating_duration_since(std::time::Instant::now());
            if patience.is_zero() {
                break;
            }
            (waiting, _) = self.news.wait_timeout(waiting, patience).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.awaited = false;
        let jobs = std::mem::take(&mut waiting.jobs);
        (!jobs.is_empty()).then_some(jobs)
    }

    /// Takes no more; the writer ends when what waits is written.
    fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }
}

/// The writer's end, however it ends: nobody waits for one that is gone.
struct Ends<'q> {
    queue: &'q Queue,
    shared: Arc<Shared>,
    dir: PathBuf,
}

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            // A trail without a writer is not a closed one.
            let (path, kind) = (self.dir.clone(), io::ErrorKind::Other);
            let _ = self.shared.poison.set(AuditError::Io { action: "go on writing", path, kind });
        }
        self.queue.close();
        self.queue.lock().jobs.clear();
    }
}

/// The trail, open for appending. Share it behind an `Arc`.
pub struct AuditTrail {
    dir: PathBuf,
    options: AuditTrailOptions,
    room: Arc<Semaphore>,
    /// All the room there is, as the semaphore counts it.
    capacity: u32,
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    finished: tokio::sync::watch::Receiver<bool>,
    shared: Arc<Shared>,
    torn_tail: Option<TornTail>,
}

impl std::fmt::Debug for AuditTrail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditTrail").field("dir", &self.dir).field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl AuditTrail {
    /// Opens the trail in `dir`, making the folder (mode 0700) if there is none, and starts its writer thread. Reads
    /// the last segment, so it blocks; meant for the start of the process.
    ///
    /// # Errors
    /// A folder or file that cannot be used, and damage to kept records in the last segment
    /// ([`AuditError::Corrupt`]). Such a segment can be moved aside to start again; numbering then goes on from
    /// the one before.
    pub fn open(dir: impl AsRef<Path>, options: AuditTrailOptions) -> Result<Self, AuditError> {
        Self::open_with(dir.as_ref(), options, Box::new(create_file))
    }

    fn open_with(dir: &Path, options: AuditTrailOptions, create: CreateFile) -> Result<Self, AuditError> {
        let capacity = check_options(&options)?;
        make_folder(dir)?;
        let recovered = recover(dir)?;
        let shared = Arc::new(Shared::default());
        shared.next_durable.store(recovered.next, Ordering::Release);
        let writer = Writer {
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes,
            create,
            shared: Arc::clone(&shared),
            segment: recovered.segment,
            next: recovered.next,
            buffer: Vec::new(),
        };
        let queue = Arc::new(Queue::default());
        let jobs = Arc::clone(&queue);
        let (finish, finished) = tokio::sync::watch::channel(false);
        let thread = thread::Builder::new()
            .name("audit-trail".to_owned())
            .spawn(move || {
                writer.run(&jobs);
                finish.send_replace(true);
            })
            .map_err(|error| AuditError::io("start the writer of", dir, &error))?;
        Ok(Self {
            dir: dir.to_owned(),
            options,
            room: Arc::new(Semaphore::new(capacity as usize)),
            capacity,
            queue,
            writer: Mutex::new(Some(thread)),
            finished,
            shared,
            torn_tail: recovered.torn_tail,
        })
    }

    /// What opening had to cut off, if anything; worth a warning in the log.
    #[must_use]
    pub fn torn_tail(&self) -> Option<&TornTail> {
        self.torn_tail.as_ref()
    }

    /// Counters for the metrics.
    #[must_use]
    pub fn stats(&self) -> AuditTrailStats {
        AuditTrailStats {
            records: self.shared.records.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            syncs: self.shared.syncs.load(Ordering::Relaxed),
            segments: self.shared.segments.load(Ordering::Relaxed),
        }
    }

    /// Why the trail takes nothing more, if so; a broker in this state is not ready.
    #[must_use]
    pub fn failure(&self) -> Option<AuditError> {
        self.shared.poison.get().cloned()
    }

    /// Appends a record and returns when it is durable. Waits while the queue is full. If the caller goes away
    /// after the record was queued, it is written all the same.
    ///
    /// # Errors
    /// See [`AuditError`]; on any of them the caller must not acknowledge what the record tells.
    pub async fn append(&self, record: Bytes) -> Result<Sequence, AuditError> {
        let deadline = Instant::now() + self.options.max_wait;
        let (done, outcome) = oneshot::channel();
        self.put(record, Some(done), deadline).await?;
        match tokio::time::timeout_at(deadline, outcome).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.gone()),
            Err(_) => Err(AuditError::Unconfirmed),
        }
    }

    /// Takes a record that is written with the next one that is appended, or in a moment. It is durable
    /// when an [`Self::append`] that began later has succeeded: records are written in order, and after an
    /// error none is. So what belongs to one answer shares the flush that the answer waits for.
    ///
    /// # Errors
    /// As [`Self::append`], but for those of writing, which the later append has.
    pub async fn entrust(&self, record: Bytes) -> Result<(), AuditError> {
        self.put(record, None, Instant::now() + self.options.max_wait).await
    }

    async fn put(
        &self,
        record: Bytes,
        done: Option<oneshot::Sender<Result<Sequence, AuditError>>>,
        deadline: Instant,
    ) -> Result<(), AuditError> {
        let most = self.options.max_record_bytes;
        if record.is_empty() || record.len() > most {
            return Err(AuditError::RecordSize { bytes: record.len(), most });
        }
        if let Some(cause) = self.shared.poison.get() {
            return Err(cause.clone().poisoned());
        }
        // Checked at opening: the longest record fits in the capacity.
        let cost = u32::try_from(record.len() + QUEUE_COST_BYTES).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(cost);
        let room = match tokio::time::timeout_at(deadline, room).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(AuditError::Closed),
            Err(_) => return Err(AuditError::QueueFull),
        };
        self.queue.push(Job { record, done, room }).map_err(|_| self.gone())
    }

    /// The writer is gone: because of a failure, or because the trail was closed.
    fn gone(&self) -> AuditError {
        self.shared.poison.get().map_or(AuditError::Closed, |cause| cause.clone().poisoned())
    }

    /// All records that are durable now, in order, from the oldest segment on. Can run beside appends.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn read_all(&self) -> Result<AuditRecords, AuditError> {
        let end = self.shared.next_durable.load(Ordering::Acquire);
        AuditRecords::new(&self.dir, Some(end))
    }

    /// Closes the trail: takes no more records, waits until those under way are durable and the writer has ended.
    /// Closing twice is fine.
    ///
    /// # Errors
    /// The failure that stopped the trail earlier, if one did.
    pub async fn close(&self) -> Result<(), AuditError> {
        // Holding all the room means that nothing is under way. Those who asked before us come first.
        if let Ok(all) = self.room.acquire_many(self.capacity).await {
            self.room.close();
            drop(all);
        }
        self.queue.close();
        // An error means that the writer ended without saying so, which is ended as well.
        let _ = self.finished.clone().wait_for(|finished| *finished).await;
        self.shared.poison.get().map_or(Ok(()), |cause| Err(cause.clone()))
    }
}

impl Drop for AuditTrail {
    /// Without [`AuditTrail::close`], waits here for what is queued: at most one batch.
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the thread has already been reported by the runtime.
            let _ = thread.join();
        }
    }
}

/// Gives the capacity of the queue.
fn check_options(options: &AuditTrailOptions) -> Result<u32, AuditError> {
    if !(1..=FORMAT_MAX_RECORD_BYTES).contains(&options.max_record_bytes) {
        return Err(AuditError::Options("max_record_bytes"));
    }
    if !(1..=FORMAT_MAX_SEGMENT_BYTES).contains(&options.segment_bytes) {
        return Err(AuditError::Options("segment_bytes"));
    }
    let capacity = u32::try_from(options.max_queued_bytes).unwrap_or(u32::MAX);
    let capacity = capacity.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
    if (capacity as usize) < options.max_record_bytes + QUEUE_COST_BYTES {
        return Err(AuditError::Options("max_queued_bytes"));
    }
    Ok(capacity)
}

fn make_folder(dir: &Path) -> Result<(), AuditError> {
    let made: Vec<&Path> =
        dir.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()).collect();
    if made.is_empty() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| AuditError::io("create", dir, &error))?;
    made.into_iter().try_for_each(|folder| match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    })
}

/// Makes new names in a folder durable.
fn sync_folder(dir: &Path) -> Result<(), AuditError> {
    let synced = File::open(dir).and_then(|folder| folder.sync_all());
    synced.map_err(|error| AuditError::io("sync", dir, &error))
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("audit-{first:020}.seg"))
}

/// First sequence and path of each segment, in order.
fn list_segments(dir: &Path) -> Result<Vec<(u64, PathBuf)>, AuditError> {
    let failed = |error: io::Error| AuditError::io("list", dir, &error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let first = name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".seg")?.parse().ok());
        if let Some(first) = first {
            segments.push((first, entry.path()));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

/// The file of a segment, as far as the writer needs it; tests put a failing disk behind it.
trait SegmentFile: Send {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn set_len(&self, length: u64) -> io::Result<()>;
}

impl SegmentFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }
}

type CreateFile = Box<dyn Fn(&Path) -> io::Result<Box<dyn SegmentFile>> + Send>;

fn create_file(path: &Path) -> io::Result<Box<dyn SegmentFile>> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(Box::new(file))
}

struct Segment {
    path: PathBuf,
    file: Box<dyn SegmentFile>,
    length: u64,
}

type Waiter = (Option<oneshot::Sender<Result<Sequence, AuditError>>>, OwnedSemaphorePermit);

/// How long a record that nobody waits for may wait for one that somebody does.
const LINGER: Duration = Duration::from_millis(20);

/// The thread that writes.
struct Writer {
    dir: PathBuf,
    segment_bytes: u64,
    create: CreateFile,
    shared: Arc<Shared>,
    segment: Option<Segment>,
    next: u64,
    buffer: Vec<u8>,
}

impl Writer {
    /// Until the queue is closed and empty, or a write fails.
    fn run(mut self, queue: &Queue) {
        let _ends = Ends { queue, shared: Arc::clone(&self.shared), dir: self.dir.clone() };
        while let Some(mut batch) = queue.take() {
            while !batch.is_empty() {
                let mut waiters = Vec::with_capacity(batch.len());
                let first = self.next;
                let result = self.write(&mut batch, &mut waiters);
                if let Err(cause) = &result {
                    // Before anybody is told, so that nobody who was told finds the trail open.
                    let _ = self.shared.poison.set(cause.clone());
                }
                for (sequence, (done, room)) in (first..).zip(waiters) {
                    // Room first: who is woken may append at once.
                    drop(room);
                    if let Some(done) = done {
                        let _ = done.send(result.clone().map(|()| Sequence(sequence)));
                    }
                }
                if let Err(cause) = result {
                    queue.close();
                    batch.extend(queue.lock().jobs.drain(..));
                    for done in batch.drain(..).filter_map(|job| job.done) {
                        let _ = done.send(Err(cause.clone().poisoned()));
                    }
                    return;
                }
            }
        }
    }

    /// Writes and syncs as many jobs as go into one segment. All of `waiters` share the result.
    fn write(&mut self, batch: &mut VecDeque<Job>, waiters: &mut Vec<Waiter>) -> Result<(), AuditError> {
        let wanted = batch.front().map_or(0, |job| record_bytes(&job.record));
        let mut segment = match self.segment.take() {
            Some(segment) if fits(segment.length, wanted, self.segment_bytes) => segment,
            _ => match self.create_segment() {
                Ok(segment) => segment,
                Err(error) => {
                    waiters.extend(batch.drain(..).map(|job| (job.done, job.room)));
                    return Err(error);
                }
            },
        };
        let start = segment.length;
        let batch_start = u32::try_from(start).unwrap_or(u32::MAX);
        self.buffer.clear();
        let first = self.next;
        while let Some(job) = batch.front() {
            let length = start + self.buffer.len() as u64;
            // The first one always goes, even if it alone is longer than a segment should be.
            if !waiters.is_empty() && !fits(length, record_bytes(&job.record), self.segment_bytes) {
                break;
            }
            let Some(job) = batch.pop_front() else { break };
            encode_record(&mut self.buffer, &job.record, batch_start, self.next);
            self.next += 1;
            waiters.push((job.done, job.room));
        }
        let written = segment.file.write_all_at(&self.buffer, start).map_err(|error| ("write", error));
        let synced = written.and_then(|()| segment.file.sync_data().map_err(|error| ("sync", error)));
        if let Err((action, error)) = synced {
            // Best effort: after a failed sync the cache may show records that the disk does not have, and a trail
            // opened on them would build on sand. If this fails too, opening again finds a torn tail.
            let _ = segment.file.set_len(start);
            return Err(AuditError::io(action, &segment.path, &error));
        }
        segment.length += self.buffer.len() as u64;
        self.segment = Some(segment);
        self.shared.syncs.fetch_add(1, Ordering::Relaxed);
        self.shared.records.fetch_add(self.next - first, Ordering::Relaxed);
        self.shared.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
        self.shared.next_durable.store(self.next, Ordering::Release);
        // One huge batch should not hold its memory for ever.
        self.buffer.shrink_to(1 << 20);
        Ok(())
    }

    /// A new, empty, durable segment.
    fn create_segment(&mut self) -> Result<Segment, AuditError> {
        let path = segment_path(&self.dir, self.next);
        let file = (self.create)(&path).map_err(|error| AuditError::io("create", &path, &error))?;
        let header = encode_segment_header(self.next);
        file.write_all_at(&header, 0).map_err(|error| AuditError::io("write", &path, &error))?;
        file.sync_data().map_err(|error| AuditError::io("sync", &path, &error))?;
        sync_folder(&self.dir)?;
        self.shared.segments.fetch_add(1, Ordering::Relaxed);
        Ok(Segment { path, file, length: SEGMENT_HEADER_BYTES as u64 })
    }
}

fn record_bytes(record: &Bytes) -> u64 {
    (RECORD_HEADER_BYTES + record.len()) as u64
}

fn fits(length: u64, more: u64, most: u64) -> bool {
    length + more <= most
}

fn encode_segment_header(first: u64) -> Vec<u8> {
    let mut header = SEGMENT_MAGIC.to_vec();
    header.extend_from_slice(&first.to_le_bytes());
    let crc = crc32(&[&header]);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

fn encode_record(out: &mut Vec<u8>, payload: &[u8], batch_start: u32, sequence: u64) {
    // Bounded by FORMAT_MAX_RECORD_BYTES.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let (batch_start, sequence) = (batch_start.to_le_bytes(), sequence.to_le_bytes());
    // The length is in it, so that a wrong length cannot borrow bytes of a neighbour.
    let crc = crc32(&[&length.to_le_bytes(), &batch_start, &sequence, payload]);
    out.extend_from_slice(RECORD_MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&batch_start);
    out.extend_from_slice(&sequence);
    out.extend_from_slice(payload);
}

/// One record as it was found.
struct Found {
    sequence: u64,
    batch_start: u32,
    payload: Vec<u8>,
}

impl Found {
    fn bytes(&self) -> u64 {
        (RECORD_HEADER_BYTES + self.payload.len()) as u64
    }
}

/// Why there is no good record at a place.
enum Bad {
    /// The file ends here, between two records.
    End,
    /// No valid record, or not all of it.
    Damaged(&'static str),
    /// The file could not be read.
    Unreadable(io::Error),
}

/// Reads the record that starts here. Never holds more than one record.
fn read_record(file: &mut impl Read) -> Result<Found, Bad> {
    let mut header = [0; RECORD_HEADER_BYTES];
    match read_up_to(file, &mut header).map_err(Bad::Unreadable)? {
        0 => return Err(Bad::End),
        RECORD_HEADER_BYTES => {}
        _ => return Err(Bad::Damaged("unfinished record header")),
    }
    let (length, crc, batch_start, sequence) = split_header(&header)?;
    let mut payload = vec![0; length as usize];
    if read_up_to(file, &mut payload).map_err(Bad::Unreadable)? < payload.len() {
        return Err(Bad::Damaged("unfinished record"));
    }
    let covered: [&[u8]; 4] = [&length.to_le_bytes(), &batch_start.to_le_bytes(), &sequence.to_le_bytes(), &payload];
    if crc32(&covered) != crc {
        return Err(Bad::Damaged("checksum of the record does not match"));
    }
    Ok(Found { sequence, batch_start, payload })
}

fn split_header(header: &[u8; RECORD_HEADER_BYTES]) -> Result<(u32, u32, u32, u64), Bad> {
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3, b0, b1, b2, b3, sequence @ ..] = *header;
    if [m0, m1, m2, m3] != *RECORD_MAGIC {
        return Err(Bad::Damaged("no record starts here"));
    }
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if !(1..=FORMAT_MAX_RECORD_BYTES).contains(&(length as usize)) {
        return Err(Bad::Damaged("impossible record length"));
    }
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    Ok((length, crc, u32::from_le_bytes([b0, b1, b2, b3]), u64::from_le_bytes(sequence)))
}

/// As many bytes as there are.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

struct Recovered {
    segment: Option<Segment>,
    next: u64,
    torn_tail: Option<TornTail>,
}

/// Brings the last segment into a state that can be appended to.
fn recover(dir: &Path) -> Result<Recovered, AuditError> {
    recover_last(dir, list_segments(dir)?, None)
}

/// `successor` is the number of a segment that once followed: it proves that the last one was complete.
fn recover_last(
    dir: &Path,
    mut segments: Vec<(u64, PathBuf)>,
    successor: Option<u64>,
) -> Result<Recovered, AuditError> {
    let Some((first, path)) = segments.pop() else {
        return Ok(Recovered { segment: None, next: successor.unwrap_or(1), torn_tail: None });
    };
    let failed = |action| {
        let path = path.clone();
        move |error: io::Error| AuditError::io(action, &path, &error)
    };
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(failed("open"))?;
    let size = file.metadata().map_err(failed("measure"))?.len();
    let corrupt = |offset, sequence, reason| AuditError::Corrupt { segment: path.clone(), offset, sequence, reason };

    let mut reader = BufReader::with_capacity(1 << 16, &file);
    let mut header = [0; SEGMENT_HEADER_BYTES];
    read_up_to(&mut reader, &mut header).map_err(failed("read"))?;
    if header[..] != encode_segment_header(first)[..] {
        if size > SEGMENT_HEADER_BYTES as u64 || successor.is_some() {
            return Err(corrupt(0, first, "bad segment header"));
        }
        // The crash came while the segment was being created: nothing was ever promised in it.
        let recovered = recover_last(dir, segments, Some(first))?;
        fs::remove_file(&path).map_err(failed("remove"))?;
        sync_folder(dir)?;
        return Ok(Recovered { torn_tail: Some(TornTail { segment: path, offset: 0, bytes: size }), ..recovered });
    }

    let mut offset = SEGMENT_HEADER_BYTES as u64;
    let mut next = first;
    let torn = loop {
        match read_record(&mut reader) {
            Ok(found) if found.sequence == next => {
                offset += found.bytes();
                next += 1;
            }
            Ok(_) => return Err(corrupt(offset, next, "record out of sequence")),
            Err(Bad::End) => break None,
            Err(Bad::Unreadable(error)) => return Err(failed("read")(error)),
            Err(Bad::Damaged(reason)) => break Some(reason),
        }
    };
    drop(reader);
    let mut torn_tail = None;
    if let Some(reason) = torn {
        if successor.is_some() || proves_durable(&file, offset, next).map_err(failed("read"))? {
            return Err(corrupt(offset, next, reason));
        }
        file.set_len(offset).map_err(failed("truncate"))?;
        torn_tail = Some(TornTail { segment: path.clone(), offset, bytes: size - offset });
    }
    if successor.is_some_and(|successor| successor != next) {
        return Err(corrupt(offset, next, "records are missing at the end of this segment"));
    }
    // What was written but never synced before a crash of the process is good as it stands, once it is synced now.
    file.sync_all().map_err(failed("sync"))?;
    sync_folder(dir)?;
    let segment = Segment { path, file: Box::new(file), length: offset };
    Ok(Recovered { segment: Some(segment), next, torn_tail })
}

/// Whether a valid record behind the damaged place says that the place had been synced before it was written.
fn proves_durable(mut file: &File, damaged: u64, next: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(damaged))?;
    let mut rest = Vec::new();
    // At most one segment, and only when something is wrong.
    file.read_to_end(&mut rest)?;
    let mut from = 1;
    while let Some(found) = rest.get(from..).and_then(|tail| memchr::memmem::find(tail, RECORD_MAGIC)) {
        let at = from + found;
        if let Ok(record) = read_record(&mut rest.get(at..).unwrap_or_default())
            && u64::from(record.batch_start) > damaged
            && record.sequence > next
        {
            return Ok(true);
        }
        from = at + 1;
    }
    Ok(false)
}

/// Reads a trail from its oldest record. Ends after the first error: what lies behind damage is not guessed at.
pub struct AuditRecords {
    dir: PathBuf,
    segments: VecDeque<(u64, PathBuf)>,
    current: Option<(PathBuf, BufReader<File>, u64)>,
    /// The record expected next; unknown before the first segment, as old segments may have been taken away.
    next: Option<u64>,
    /// The first record not to be read.
    end: Option<u64>,
    failed: bool,
}

impl AuditRecords {
    /// Reads the trail in `dir` without opening it for appending; an unfinished record at its end is an error.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn in_folder(dir: impl AsRef<Path>) -> Result<Self, AuditError> {
        Self::new(dir.as_ref(), None)
    }

    fn new(dir: &Path, end: Option<u64>) -> Result<Self, AuditError> {
        let segments = list_segments(dir)?.into();
        Ok(Self { dir: dir.to_owned(), segments, current: None, next: None, end, failed: false })
    }

    fn step(&mut self) -> Result<Option<(Sequence, Bytes)>, AuditError> {
        loop {
            if self.end.is_some_and(|end| self.next.is_some_and(|next| next >= end)) {
                return Ok(None);
            }
            let Some((path, reader, offset)) = &mut self.current else {
                match self.segments.pop_front() {
                    Some((first, path)) => self.start(first, path)?,
                    None => return self.finish(),
                }
                continue;
            };
            let expected = self.next.unwrap_or_default();
            let corrupt = |segment: &Path, offset, reason| AuditError::Corrupt {
                segment: segment.to_owned(),
                offset,
                sequence: expected,
                reason,
            };
            match read_record(reader) {
                Ok(found) if found.sequence == expected => {
                    *offset += found.bytes();
                    self.next = Some(expected + 1);
                    return Ok(Some((Sequence(expected), Bytes::from(found.payload))));
                }
                Ok(_) => return Err(corrupt(path, *offset, "record out of sequence")),
                Err(Bad::Damaged(reason)) => return Err(corrupt(path, *offset, reason)),
                Err(Bad::Unreadable(error)) => return Err(AuditError::io("read", path, &error)),
                Err(Bad::End) => self.current = None,
            }
        }
    }

    fn start(&mut self, first: u64, path: PathBuf) -> Result<(), AuditError> {
        let expected = self.next.unwrap_or(first);
        self.next = Some(expected);
        if self.end.is_some_and(|end| first >= end) {
            // Made since we began.
            self.segments.clear();
            return Ok(());
        }
        let corrupt = |reason| AuditError::Corrupt { segment: path.clone(), offset: 0, sequence: expected, reason };
        if first != expected {
            return Err(corrupt("records are missing before this segment"));
        }
        let file = File::open(&path).map_err(|error| AuditError::io("open", &path, &error))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut header = [0; SEGMENT_HEADER_BYTES];
        read_up_to(&mut reader, &mut header).map_err(|error| AuditError::io("read", &path, &error))?;
        if header[..] != encode_segment_header(first)[..] {
            return Err(corrupt("bad segment header"));
        }
        self.current = Some((path, reader, SEGMENT_HEADER_BYTES as u64));
        Ok(())
    }

    /// All segments are read: is everything there that was acknowledged?
    fn finish(&self) -> Result<Option<(Sequence, Bytes)>, AuditError> {
        match (self.end, self.next) {
            (Some(end), next) if end > 1 && next != Some(end) => Err(AuditError::Corrupt {
                segment: self.dir.clone(),
                offset: 0,
                sequence: next.unwrap_or(1),
                reason: "acknowledged records are missing at the end of the trail",
            }),
            _ => Ok(None),
        }
    }
}

impl Iterator for AuditRecords {
    type Item = Result<(Sequence, Bytes), AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let step = self.step();
        self.failed = step.is_err();
        step.transpose()
    }
}

impl std::fmt::Debug for AuditRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuditRecords").field("next", &self.next).field("end", &self.end).finish_non_exhaustive()
    }
}

/// Eight bytes at a time: one table per byte position.
const CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut index = 256;
    while index < 8 * 256 {
        let before = tables[index / 256 - 1][index % 256];
        tables[index / 256][index % 256] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
        index += 1;
    }
    tables
};

/// CRC-32 of IEEE 802.3 over several pieces as if they were one.
fn crc32(pieces: &[&[u8]]) -> u32 {
    let t = &CRC_TABLES;
    let byte = |value: u32, shift: u32| (value >> shift & 0xff) as usize;
    let mut crc = u32::MAX;
    for piece in pieces {
        let (chunks, rest) = piece.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in chunks {
            let low = crc ^ u32::from_le_bytes([*a, *b, *c, *d]);
            crc = t[7][byte(low, 0)] ^ t[6][byte(low, 8)] ^ t[5][byte(low, 16)] ^ t[4][byte(low, 24)];
            crc ^= t[3][*e as usize] ^ t[2][*f as usize] ^ t[1][*g as usize] ^ t[0][*h as usize];
        }
        for value in rest {
            crc = (crc >> 8) ^ t[0][byte(crc ^ u32::from(*value), 0)];
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Condvar;

    use proptest::prelude::*;

    use super::*;

    fn options() -> AuditTrailOptions {
        AuditTrailOptions::default()
    }

    fn record(number: usize) -> Bytes {
        Bytes::from(format!("<AuditMessage n=\"{number}\"/>"))
    }

    fn read(dir: &Path) -> Result<Vec<(u64, Bytes)>, AuditError> {
        AuditRecords::in_folder(dir)?.map(|item| item.map(|(sequence, record)| (sequence.get(), record))).collect()
    }

    async fn fill(dir: &Path, options: AuditTrailOptions, numbers: std::ops::Range<usize>) {
        let trail = AuditTrail::open(dir, options).unwrap();
        for number in numbers {
            assert_eq!(trail.append(record(number)).await.unwrap().get(), number as u64);
        }
        trail.close().await.unwrap();
    }

    fn expected(numbers: std::ops::Range<usize>) -> Vec<(u64, Bytes)> {
        numbers.map(|number| (number as u64, record(number))).collect()
    }

    fn only_segment(dir: &Path) -> PathBuf {
        let mut segments = list_segments(dir).unwrap();
        assert_eq!(segments.len(), 1);
        segments.remove(0).1
    }

    #[test]
    fn crc_of_the_known_vectors() {
        assert_eq!(crc32(&[b""]), 0);
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"The quick brown fox ", b"jumps over the lazy dog"]), 0x414f_a339);
    }

    proptest! {
        #[test]
        fn crc_agrees_with_the_bitwise_definition(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let mut crc = u32::MAX;
            for byte in &bytes {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
                }
            }
            let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32(&[left, right]), !crc);
        }

        #[test]
        fn any_bytes_as_a_segment_never_panic(tail in any::<Vec<u8>>(), header in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = if header { encode_segment_header(1) } else { Vec::new() };
            bytes.extend_from_slice(&tail);
            fs::write(segment_path(dir.path(), 1), bytes).unwrap();
            let _ = read(dir.path());
            let _ = recover(dir.path());
        }
    }

    #[tokio::test]
    async fn append_reopen_append() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a/audit");
        fill(&dir, options(), 1..4).await;
        fill(&dir, options(), 4..6).await;
        assert_eq!(read(&dir).unwrap(), expected(1..6));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&only_segment(&dir))), (0o700, 0o600));
    }

    #[tokio::test]
    async fn torn_at_each_byte_of_the_last_record() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), options(), 1..4).await;
        let whole = fs::read(only_segment(dir.path())).unwrap();
        let last = record_bytes(&record(3)) as usize;
        for cut in 1..=last {
            let dir = tempfile::tempdir().unwrap();
            let path = segment_path(dir.path(), 1);
            fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            // Before recovery a plain reader says so, unless the cut is between two records.
            assert_eq!(read(dir.path()).is_err(), cut < last, "cut {cut}");
            let trail = AuditTrail::open(dir.path(), options()).unwrap();
            let tail = TornTail { segment: path, offset: (whole.len() - last) as u64, bytes: (last - cut) as u64 };
            assert_eq!(trail.torn_tail(), (cut < last).then_some(&tail), "cut {cut}");
            assert_eq!(trail.append(record(3)).await.unwrap().get(), 3);
            trail.close().await.unwrap();
            assert_eq!(read(dir.path()).unwrap(), expected(1..4));
        }
    }

    #[tokio::test]
    async fn torn_while_a_segment_is_created() {
        for length in 0..=SEGMENT_HEADER_BYTES {
            let dir = tempfile::tempdir().unwrap();
            fill(dir.path(), options(), 1..3).await;
            let torn = vec![0; length];
            fs::write(segment_path(dir.path(), 3), torn).unwrap();
            let trail = AuditTrail::open(dir.path(), options()).unwrap();
            assert_eq!(trail.torn_tail().map(|tail| tail.bytes), Some(length as u64));
            assert_eq!(trail.append(record(3)).await.unwrap().get(), 3);
            drop(trail);
            assert_eq!(read(dir.path()).unwrap(), expected(1..4));
        }
    }

    #[tokio::test]
    async fn segment_after_it_proves_a_segment_complete() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), options(), 1..4).await;
        fs::write(segment_path(dir.path(), 4), [0; 7]).unwrap();
        let whole = fs::read(segment_path(dir.path(), 1)).unwrap();
        for cut in [1, record_bytes(&record(3)) as usize] {
            fs::write(segment_path(dir.path(), 1), &whole[..whole.len() - cut]).unwrap();
            // Twice, because refusing must not destroy the proof.
            for _ in 0..2 {
                let opened = AuditTrail::open(dir.path(), options());
                assert!(matches!(opened, Err(AuditError::Corrupt { sequence: 3, .. })), "{opened:?}");
            }
        }
    }

    /// Power may fail with later pages of a batch on disk and earlier ones not; nothing of it was promised.
    #[tokio::test]
    async fn hole_in_the_last_batch_is_torn_but_hole_before_it_is_damage() {
        let mut bytes = encode_segment_header(1);
        encode_record(&mut bytes, &record(1), 20, 1);
        let second_batch = bytes.len();
        for number in 2..5 {
            encode_record(&mut bytes, &record(number), second_batch as u32, number as u64);
        }
        for (hole, damage) in [(second_batch + 30, false), (second_batch - 2, true)] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = bytes.clone();
            bytes[hole] = 0;
            fs::write(segment_path(dir.path(), 1), bytes).unwrap();
            let opened = AuditTrail::open(dir.path(), options());
            if damage {
                assert!(matches!(opened, Err(AuditError::Corrupt { offset: 20, sequence: 1, .. })), "{opened:?}");
            } else {
                let trail = opened.unwrap();
                assert_eq!(trail.torn_tail().map(|tail| tail.offset), Some(second_batch as u64));
                assert_eq!(trail.append(record(2)).await.unwrap().get(), 2);
                drop(trail);
                assert_eq!(read(dir.path()).unwrap(), expected(1..3));
            }
        }
    }

    /// A record that quotes the format, for instance a query that carries a piece of a trail, proves nothing.
    #[tokio::test]
    async fn record_inside_a_torn_record_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = encode_segment_header(1);
        let mut inner = Vec::new();
        encode_record(&mut inner, b"x", 20, 9);
        inner.extend_from_slice(b"yyyy");
        encode_record(&mut bytes, &inner, 20, 1);
        bytes.truncate(bytes.len() - 1);
        fs::write(segment_path(dir.path(), 1), bytes).unwrap();
        let trail = AuditTrail::open(dir.path(), options()).unwrap();
        assert_eq!(trail.torn_tail().map(|tail| tail.offset), Some(20));
    }

    #[tokio::test]
    async fn each_flipped_byte_in_the_middle_is_reported_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), options(), 1..4).await;
        let whole = fs::read(only_segment(dir.path())).unwrap();
        let second = SEGMENT_HEADER_BYTES + record_bytes(&record(1)) as usize;
        let third = second + record_bytes(&record(2)) as usize;
        for at in second..third {
            let dir = tempfile::tempdir().unwrap();
            let path = segment_path(dir.path(), 1);
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            fs::write(&path, bytes).unwrap();
            let mut records = AuditRecords::in_folder(dir.path()).unwrap();
            assert!(matches!(records.next(), Some(Ok((Sequence(1), _)))), "byte {at}");
            let error = records.next().unwrap().unwrap_err();
            assert!(records.next().is_none());
            let place = match &error {
                AuditError::Corrupt { segment, offset, sequence, .. } => (segment, *offset, *sequence),
                other => panic!("{other}"),
            };
            assert_eq!(place, (&path, second as u64, 2), "byte {at}");
            // The third record was a batch of its own, so the second had been acknowledged: not a torn tail.
            assert_eq!(AuditTrail::open(dir.path(), options()).map(drop), Err(error), "byte {at}");
            assert_eq!(fs::metadata(&path).unwrap().len(), whole.len() as u64);
        }
    }

    #[tokio::test]
    async fn segments_rotate_and_a_missing_one_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let options = AuditTrailOptions { segment_bytes: 256, ..options() };
        fill(dir.path(), options, 1..50).await;
        fill(dir.path(), options, 50..60).await;
        let segments = list_segments(dir.path()).unwrap();
        assert!(segments.len() > 5);
        for (_, path) in &segments {
            assert!(fs::metadata(path).unwrap().len() <= 256);
        }
        assert_eq!(read(dir.path()).unwrap(), expected(1..60));
        // The oldest may go, one in the middle may not.
        fs::remove_file(&segments[0].1).unwrap();
        assert_eq!(read(dir.path()).unwrap(), expected(segments[1].0 as usize..60));
        fs::remove_file(&segments[3].1).unwrap();
        let error = read(dir.path()).unwrap_err();
        let expected = AuditError::Corrupt {
            segment: segments[4].1.clone(),
            offset: 0,
            sequence: segments[3].0,
            reason: "records are missing before this segment",
        };
        assert_eq!(error, expected);
    }

    #[tokio::test]
    async fn record_longer_than_a_segment_has_one_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let options = AuditTrailOptions { segment_bytes: 64, ..options() };
        let trail = AuditTrail::open(dir.path(), options).unwrap();
        let long = Bytes::from(vec![7; 1000]);
        for _ in 0..3 {
            trail.append(long.clone()).await.unwrap();
        }
        assert_eq!(trail.stats().segments, 3);
        assert_eq!(trail.read_all().unwrap().filter(|item| item.as_ref().is_ok_and(|(_, r)| *r == long)).count(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_tasks_share_syncs_and_nothing_is_lost() {
        const TASKS: usize = 64;
        const EACH: usize = 50;
        let dir = tempfile::tempdir().unwrap();
        let trail = Arc::new(AuditTrail::open(dir.path(), options()).unwrap());
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let trail = Arc::clone(&trail);
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    for each in 0..EACH {
                        let record = record(task * EACH + each);
                        mine.push((trail.append(record.clone()).await.unwrap().get(), record));
                    }
                    mine
                })
            })
            .collect();
        let mut promised = Vec::new();
        for task in tasks {
            promised.extend(task.await.unwrap());
        }
        let stats = trail.stats();
        assert_eq!(stats.records, (TASKS * EACH) as u64);
        assert!(stats.syncs * 2 < stats.records, "{stats:?}");
        promised.sort_unstable();
        let kept: Vec<_> =
            trail.read_all().unwrap().map(|item| item.map(|(at, record)| (at.get(), record)).unwrap()).collect();
        assert_eq!(kept, promised);
        trail.close().await.unwrap();
        assert_eq!(read(dir.path()).unwrap(), promised);
    }

    #[tokio::test]
    async fn closed_takes_nothing_and_closes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let trail = AuditTrail::open(dir.path(), options()).unwrap();
        trail.append(record(1)).await.unwrap();
        trail.close().await.unwrap();
        trail.close().await.unwrap();
        assert_eq!(trail.append(record(2)).await, Err(AuditError::Closed));
        assert_eq!(trail.read_all().unwrap().count(), 1);
    }

    #[tokio::test]
    async fn bounds_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let small = AuditTrailOptions { max_record_bytes: 10, max_queued_bytes: 10 + QUEUE_COST_BYTES, ..options() };
        let trail = AuditTrail::open(dir.path(), small).unwrap();
        assert!(trail.append(Bytes::from_static(b"0123456789")).await.is_ok());
        for bytes in [0, 11] {
            let refused = trail.append(Bytes::from(vec![0; bytes])).await;
            assert_eq!(refused, Err(AuditError::RecordSize { bytes, most: 10 }));
        }
        let bad = |options: AuditTrailOptions| AuditTrail::open(dir.path(), options).map(drop).unwrap_err();
        let cases = [
            (AuditTrailOptions { max_record_bytes: 0, ..options() }, "max_record_bytes"),
            (AuditTrailOptions { max_record_bytes: 16 * 1024 * 1024 + 1, ..options() }, "max_record_bytes"),
            (AuditTrailOptions { segment_bytes: u64::MAX, ..options() }, "segment_bytes"),
            (AuditTrailOptions { max_queued_bytes: 1000, ..options() }, "max_queued_bytes"),
        ];
        for (options, name) in cases {
            assert_eq!(bad(options), AuditError::Options(name));
        }
    }

    /// What the scripted disk does next.
    #[derive(Default)]
    struct Script {
        write_error: Option<io::ErrorKind>,
        sync_error: Option<io::ErrorKind>,
        truncate_fails: bool,
        hang: bool,
    }

    #[derive(Clone, Default)]
    struct Disk(Arc<(Mutex<Script>, Condvar)>);

    impl Disk {
        fn set(&self, change: impl FnOnce(&mut Script)) {
            change(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
        }

        fn creator(&self) -> CreateFile {
            let disk = self.clone();
            Box::new(move |path| Ok(Box::new(ScriptedFile { file: create_file(path)?, disk: disk.clone() })))
        }
    }

    struct ScriptedFile {
        file: Box<dyn SegmentFile>,
        disk: Disk,
    }

    impl SegmentFile for ScriptedFile {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            if let Some(kind) = self.disk.0.0.lock().unwrap().write_error {
                // As a disk that fills up: a part goes in.
                self.file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
                return Err(kind.into());
            }
            self.file.write_all_at(bytes, offset)
        }

        fn sync_data(&self) -> io::Result<()> {
            let script = self.disk.0.0.lock().unwrap();
            let script = self.disk.0.1.wait_while(script, |script| script.hang).unwrap();
            script.sync_error.map_or_else(|| self.file.sync_data(), |kind| Err(kind.into()))
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            if self.disk.0.0.lock().unwrap().truncate_fails {
                return Err(io::ErrorKind::Other.into());
            }
            self.file.set_len(length)
        }
    }

    #[tokio::test]
    async fn what_is_entrusted_shares_the_flush_of_the_next_and_is_written_without_one() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let trail = AuditTrail::open_with(dir.path(), options(), disk.creator()).unwrap();
        let before = trail.stats().syncs;
        for number in 1..=3 {
            trail.entrust(record(number)).await.unwrap();
        }
        assert_eq!(trail.append(record(4)).await.unwrap().get(), 4);
        assert_eq!(trail.stats().syncs, before + 1);
        assert_eq!(trail.read_all().unwrap().count(), 4, "durable with the one behind them");
        trail.entrust(record(5)).await.unwrap();
        let began = Instant::now();
        while trail.read_all().unwrap().count() < 5 {
            assert!(began.elapsed() < Duration::from_secs(10), "never written");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // One that cannot be written is told by the one behind it.
        disk.set(|script| script.write_error = Some(io::ErrorKind::StorageFull));
        trail.entrust(record(6)).await.unwrap();
        assert!(trail.append(record(7)).await.is_err());
        assert!(trail.entrust(record(8)).await.is_err());
    }

    #[tokio::test]
    async fn full_disk_poisons_and_a_reopened_trail_is_whole() {
        for truncate_fails in [false, true] {
            full_disk(truncate_fails).await;
        }
    }

    async fn full_disk(truncate_fails: bool) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let trail = AuditTrail::open_with(dir.path(), options(), disk.creator()).unwrap();
        trail.append(record(1)).await.unwrap();
        disk.set(|script| {
            script.write_error = Some(io::ErrorKind::StorageFull);
            script.truncate_fails = truncate_fails;
        });
        let full = AuditError::DiskFull { path: segment_path(dir.path(), 1) };
        assert_eq!(trail.append(record(2)).await, Err(full.clone()));
        assert_eq!(trail.failure(), Some(full.clone()));
        // Space is back, but the trail stays shut and says why.
        disk.set(|script| script.write_error = None);
        let poisoned = AuditError::Poisoned { cause: Box::new(full.clone()) };
        assert_eq!(trail.append(record(2)).await, Err(poisoned));
        assert_eq!(trail.read_all().unwrap().count(), 1);
        assert_eq!(trail.close().await, Err(full));
        assert_eq!(read(dir.path()).is_err(), truncate_fails);
        fill(dir.path(), options(), 2..4).await;
        assert_eq!(read(dir.path()).unwrap(), expected(1..4));
    }

    #[tokio::test]
    async fn failed_sync_fails_every_waiter_and_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let trail = AuditTrail::open_with(dir.path(), options(), disk.creator()).unwrap();
        trail.append(record(1)).await.unwrap();
        disk.set(|script| script.hang = true);
        let waiting = futures(&trail, 2..6);
        tokio::pin!(waiting);
        let pending = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(pending.is_err(), "nobody is answered before the sync");
        disk.set(|script| {
            script.hang = false;
            script.sync_error = Some(io::ErrorKind::Other);
        });
        for result in waiting.await {
            assert!(matches!(result, Err(AuditError::Io { action: "sync", .. } | AuditError::Poisoned { .. })));
        }
        assert!(matches!(trail.append(record(9)).await, Err(AuditError::Poisoned { .. })));
    }

    async fn futures(trail: &AuditTrail, numbers: std::ops::Range<usize>) -> Vec<Result<Sequence, AuditError>> {
        let mut pending: Vec<_> = numbers.map(|number| Box::pin(trail.append(record(number)))).collect();
        let mut results: Vec<Option<_>> = pending.iter().map(|_| None).collect();
        std::future::poll_fn(|context| {
            for (future, result) in pending.iter_mut().zip(&mut results) {
                if result.is_none()
                    && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
                {
                    *result = Some(ready);
                }
            }
            if results.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        results.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn waiting_has_a_bound_and_the_record_is_kept_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let options = AuditTrailOptions {
            max_wait: Duration::from_millis(50),
            max_record_bytes: 100,
            max_queued_bytes: 100 + QUEUE_COST_BYTES,
            ..options()
        };
        let trail = AuditTrail::open_with(dir.path(), options, disk.creator()).unwrap();
        trail.append(record(1)).await.unwrap();
        disk.set(|script| script.hang = true);
        // One is with the disk, and there is no room for another.
        assert_eq!(trail.append(record(2)).await, Err(AuditError::Unconfirmed));
        assert_eq!(trail.append(record(3)).await, Err(AuditError::QueueFull));
        disk.set(|script| script.hang = false);
        trail.close().await.unwrap();
        assert_eq!(read(dir.path()).unwrap(), expected(1..3));
    }

    #[tokio::test]
    async fn trail_that_cannot_make_its_segment_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let refuse: CreateFile = Box::new(|_| Err(io::ErrorKind::PermissionDenied.into()));
        let trail = AuditTrail::open_with(dir.path(), options(), refuse).unwrap();
        let error = trail.append(record(1)).await.unwrap_err();
        assert!(matches!(error, AuditError::Io { action: "create", .. }), "{error}");
        assert_eq!(trail.stats(), AuditTrailStats::default());
    }

    #[test]
    fn folder_that_is_a_file_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = AuditTrail::open(file.path(), options());
        assert!(matches!(opened, Err(AuditError::Io { action: "create", .. })), "{opened:?}");
    }
}
