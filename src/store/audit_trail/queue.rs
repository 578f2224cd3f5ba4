//! What waits for the thread that writes.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{AuditError, Sequence, Shared};

/// How long a record that nobody waits for may wait for one that somebody does.
const LINGER: Duration = Duration::from_millis(20);

/// A record on its way to the disk.
pub(super) struct Job {
    pub(super) record: Bytes,
    /// Who waits for it; none: it may wait for one that somebody waits for.
    pub(super) done: Option<oneshot::Sender<Result<Sequence, AuditError>>>,
    /// Room in the queue, given back when the record is durable or refused.
    pub(super) room: OwnedSemaphorePermit,
}

/// What waits for the writer. It is woken for a record that somebody waits for, and for the first that nobody
/// does: what the answer to one request has behind it costs one wake, not one each.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    news: Condvar,
}

/// What is there now.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) jobs: VecDeque<Job>,
    /// Whether somebody waits for one of them.
    awaited: bool,
    /// No more is taken.
    closed: bool,
}

impl Queue {
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A poisoned lock only means that a thread died while it pushed or took; what is there is whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job behind the others; gives it back where no more is taken.
    pub(super) fn push(&self, job: Job) -> Result<(), Job> {
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
    pub(super) fn take(&self) -> Option<VecDeque<Job>> {
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
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }
}

/// The writer's end, however it ends: nobody waits for one that is gone.
pub(super) struct Ends<'q> {
    pub(super) queue: &'q Queue,
    pub(super) shared: Arc<Shared>,
    pub(super) dir: PathBuf,
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
