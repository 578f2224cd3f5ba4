//! Torn ends and damaged records: what was promised is there, or its loss is told.

use proptest::prelude::*;

use super::*;
use crate::store::audit_trail::format::{SEGMENT_HEADER_BYTES, encode_record, encode_segment_header, record_bytes};
use crate::store::audit_trail::segments::segment_path;

proptest! {
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
