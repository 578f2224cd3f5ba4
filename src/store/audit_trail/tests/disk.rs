//! Disks that are full, fail or hang.

use std::sync::Condvar;

use super::*;
use crate::store::audit_trail::segments::{SegmentFile, segment_path};

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
