//! Slow or simple versions of what the broker does fast, and of what it must be able to read.

/// LIKE by dynamic programming over characters.
pub fn like(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Which beginnings of the text the pattern so far covers.
    let mut covered = vec![false; text.len() + 1];
    covered[0] = true;
    for wanted in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        if wanted == '%' {
            let mut any = false;
            for (at, now) in covered.iter().enumerate() {
                any |= now;
                next[at] = any;
            }
        } else {
            for (at, found) in text.iter().enumerate() {
                next[at + 1] = covered[at] && (wanted == '_' || wanted == *found);
            }
        }
        covered = next;
    }
    covered[text.len()]
}

/// CRC-32 of IEEE 802.3, bit by bit.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        }
    }
    !crc
}

/// The header of an audit segment.
pub fn segment_header(first: u64) -> Vec<u8> {
    let mut out = b"CWAUDIT1".to_vec();
    out.extend_from_slice(&first.to_le_bytes());
    let crc = crc32(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// A record of an audit segment.
pub fn segment_record(payload: &[u8], batch_start: u32, sequence: u64) -> Vec<u8> {
    let length = (payload.len() as u32).to_le_bytes();
    let covered = [&length[..], &batch_start.to_le_bytes(), &sequence.to_le_bytes(), payload].concat();
    let mut out = b"ATR1".to_vec();
    out.extend_from_slice(&length);
    out.extend_from_slice(&crc32(&covered).to_le_bytes());
    out.extend_from_slice(&covered[4..]);
    out
}
