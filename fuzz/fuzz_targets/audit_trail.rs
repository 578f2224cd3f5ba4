//! Recovery of the audit trail: intact records in front of damage are all there, none is invented,
//! and opening refuses or gives the same.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use causeway::store::audit_trail::{AuditError, AuditRecords, AuditTrail, AuditTrailOptions};
use causeway_fuzz::reference::{segment_header, segment_record};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a temporary folder")
});

fn read(dir: &Path) -> (Vec<Vec<u8>>, Option<AuditError>) {
    let (mut payloads, mut first) = (Vec::new(), None);
    for record in AuditRecords::in_folder(dir).expect("a folder") {
        match record {
            Ok((sequence, payload)) => {
                let first = *first.get_or_insert(sequence.get());
                assert_eq!(sequence.get(), first + payloads.len() as u64, "a gap");
                payloads.push(payload.to_vec());
            }
            Err(error) => return (payloads, Some(error)),
        }
    }
    (payloads, None)
}

/// What may happen to a file.
#[derive(Debug, arbitrary::Arbitrary)]
enum Damage<'a> {
    Cut(u16),
    Write(u16, &'a [u8]),
    Append(&'a [u8]),
    Whole(&'a [u8]),
}

#[derive(Debug, arbitrary::Arbitrary)]
struct Input<'a> {
    first: u8,
    payloads: Vec<&'a [u8]>,
    /// Records per batch.
    batch: u8,
    damage: Vec<Damage<'a>>,
}

fuzz_target!(|input: Input<'_>| {
    let first = u64::from(input.first).max(1);
    let payloads: Vec<&[u8]> = input.payloads.iter().filter(|payload| !payload.is_empty()).take(64).copied().collect();
    let mut file = segment_header(first);
    let mut ends = Vec::new();
    let mut batch_start = file.len();
    for (n, payload) in payloads.iter().enumerate() {
        if n % (1 + usize::from(input.batch % 4)) == 0 {
            batch_start = file.len();
        }
        file.extend(segment_record(payload, batch_start as u32, first + n as u64));
        ends.push(file.len());
    }
    let whole = file.clone();
    for damage in input.damage.iter().take(4) {
        match damage {
            Damage::Cut(at) => file.truncate(usize::from(*at)),
            Damage::Write(at, bytes) => {
                let at = usize::from(*at).min(file.len());
                let to = (at + bytes.len()).min(file.len());
                file[at..to].copy_from_slice(&bytes[..to - at]);
            }
            Damage::Append(bytes) => file.extend_from_slice(bytes),
            Damage::Whole(bytes) => file = bytes.to_vec(),
        }
    }
    let same = file.iter().zip(&whole).take_while(|(a, b)| a == b).count();
    let header = segment_header(first).len();
    let intact = ends.iter().filter(|end| **end <= same).count();

    let folder = DIR.path().join("trail");
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(format!("audit-{first:020}.seg"));
    fs::write(&path, &file).expect("a file");

    let (found, error) = read(&folder);
    if same >= header {
        assert!(found.len() >= intact, "{} of {intact} intact records", found.len());
        assert!(found.iter().zip(&payloads).take(intact).all(|(a, b)| a == b), "another record");
    } else {
        assert!(found.is_empty() && error.is_some());
    }
    // What is valid behind the damage was put there with its checksum by the input itself.
    let bytes: usize = found.iter().map(|payload| payload.len() + 24).sum();
    assert!(header.min(file.len()) + bytes <= file.len().max(header));
    if file == whole {
        assert!(error.is_none());
    }

    match AuditTrail::open(&folder, AuditTrailOptions::default()) {
        // With its only segment gone, a trail that does not begin with the first record has lost some.
        Ok(_) if same < header && first > 1 => {}
        Ok(trail) => {
            let kept: Result<Vec<_>, _> = trail.read_all().expect("a folder").collect();
            let kept = kept.expect("what was opened is whole");
            assert!(kept.iter().map(|(_, payload)| payload.as_ref()).eq(found.iter().map(Vec::as_slice)));
            assert_eq!(trail.torn_tail().is_some(), error.is_some());
        }
        Err(AuditError::Corrupt { .. }) => {
            assert!(error.is_some());
            assert_eq!(fs::read(&path).expect("a file"), file, "a damaged segment is left alone");
        }
        Err(other) => panic!("{other}"),
    }
    fs::remove_dir_all(&folder).expect("a folder");
});
