//! Trails as a whole: what is appended is there afterwards, whatever happened.

mod damage;
mod disk;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::segments::list_segments;
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

#[test]
fn folder_that_is_a_file_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let opened = AuditTrail::open(file.path(), options());
    assert!(matches!(opened, Err(AuditError::Io { action: "create", .. })), "{opened:?}");
}
