//! A trail that is read.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::format::{Bad, SEGMENT_HEADER_BYTES, encode_segment_header, read_record, read_up_to};
use super::segments::list_segments;
use super::{AuditError, Sequence};

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

    pub(super) fn new(dir: &Path, end: Option<u64>) -> Result<Self, AuditError> {
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
