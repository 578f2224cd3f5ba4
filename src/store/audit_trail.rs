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

mod crc;
mod format;
mod queue;
mod records;
mod recovery;
mod segments;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

pub use self::records::AuditRecords;

use self::format::{FORMAT_MAX_RECORD_BYTES, FORMAT_MAX_SEGMENT_BYTES};
use self::queue::{Job, Queue};
use self::recovery::recover;
use self::segments::{CreateFile, create_file, make_folder};
use self::writer::Writer;

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

#[cfg(test)]
mod tests;
