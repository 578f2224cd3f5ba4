//! What a trail is opened on: a torn end is cut off, damage to what was promised is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::format::{Bad, RECORD_MAGIC, SEGMENT_HEADER_BYTES, encode_segment_header, read_record, read_up_to};
use super::segments::{Segment, list_segments, sync_folder};
use super::{AuditError, TornTail};

/// What there is to go on from.
pub(super) struct Recovered {
    pub(super) segment: Option<Segment>,
    pub(super) next: u64,
    pub(super) torn_tail: Option<TornTail>,
}

/// Brings the last segment into a state that can be appended to.
pub(super) fn recover(dir: &Path) -> Result<Recovered, AuditError> {
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
