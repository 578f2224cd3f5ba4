//! A segment's header and its records, as bytes: see the picture in the module above.

use std::io::{self, Read};

use bytes::Bytes;

use super::crc::crc32;

const SEGMENT_MAGIC: &[u8; 8] = b"CWAUDIT1";
pub(super) const SEGMENT_HEADER_BYTES: usize = 20;
pub(super) const RECORD_MAGIC: &[u8; 4] = b"ATR1";
const RECORD_HEADER_BYTES: usize = 24;
/// Longest record the format knows; a length above it is damage, whatever the options were.
pub(super) const FORMAT_MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// Segments stay below 4 GiB, because `batch_start` is 32 bits.
pub(super) const FORMAT_MAX_SEGMENT_BYTES: u64 = 1 << 31;

pub(super) fn record_bytes(record: &Bytes) -> u64 {
    (RECORD_HEADER_BYTES + record.len()) as u64
}

pub(super) fn encode_segment_header(first: u64) -> Vec<u8> {
    let mut header = SEGMENT_MAGIC.to_vec();
    header.extend_from_slice(&first.to_le_bytes());
    let crc = crc32(&[&header]);
    header.extend_from_slice(&crc.to_le_bytes());
    header
}

pub(super) fn encode_record(out: &mut Vec<u8>, payload: &[u8], batch_start: u32, sequence: u64) {
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
pub(super) struct Found {
    pub(super) sequence: u64,
    pub(super) batch_start: u32,
    pub(super) payload: Vec<u8>,
}

impl Found {
    pub(super) fn bytes(&self) -> u64 {
        (RECORD_HEADER_BYTES + self.payload.len()) as u64
    }
}

/// Why there is no good record at a place.
pub(super) enum Bad {
    /// The file ends here, between two records.
    End,
    /// No valid record, or not all of it.
    Damaged(&'static str),
    /// The file could not be read.
    Unreadable(io::Error),
}

/// Reads the record that starts here. Never holds more than one record.
pub(super) fn read_record(file: &mut impl Read) -> Result<Found, Bad> {
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
pub(super) fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
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
