//! The thread that writes: a batch, one sync, and all who waited for it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::format::{SEGMENT_HEADER_BYTES, encode_record, encode_segment_header, record_bytes};
use super::queue::{Ends, Job, Queue};
use super::segments::{CreateFile, Segment, segment_path, sync_folder};
use super::{AuditError, Sequence, Shared};

/// Who waits for a record, and the room that it has.
type Waiter = (Option<oneshot::Sender<Result<Sequence, AuditError>>>, OwnedSemaphorePermit);

/// The thread that writes.
pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) create: CreateFile,
    pub(super) shared: Arc<Shared>,
    pub(super) segment: Option<Segment>,
    pub(super) next: u64,
    pub(super) buffer: Vec<u8>,
}

impl Writer {
    /// Until the queue is closed and empty, or a write fails.
    pub(super) fn run(mut self, queue: &Queue) {
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

fn fits(length: u64, more: u64, most: u64) -> bool {
    length + more <= most
}
