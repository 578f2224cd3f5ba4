//! The checksum of the trail: CRC-32 of IEEE 802.3.

/// Eight bytes at a time: one table per byte position.
const CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        tables[0][index] = crc;
        index += 1;
    }
    let mut index = 256;
    while index < 8 * 256 {
        let before = tables[index / 256 - 1][index % 256];
        tables[index / 256][index % 256] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
        index += 1;
    }
    tables
};

/// CRC-32 of IEEE 802.3 over several pieces as if they were one.
pub(super) fn crc32(pieces: &[&[u8]]) -> u32 {
    let t = &CRC_TABLES;
    let byte = |value: u32, shift: u32| (value >> shift & 0xff) as usize;
    let mut crc = u32::MAX;
    for piece in pieces {
        let (chunks, rest) = piece.as_chunks::<8>();
        for [a, b, c, d, e, f, g, h] in chunks {
            let low = crc ^ u32::from_le_bytes([*a, *b, *c, *d]);
            crc = t[7][byte(low, 0)] ^ t[6][byte(low, 8)] ^ t[5][byte(low, 16)] ^ t[4][byte(low, 24)];
            crc ^= t[3][*e as usize] ^ t[2][*f as usize] ^ t[1][*g as usize] ^ t[0][*h as usize];
        }
        for value in rest {
            crc = (crc >> 8) ^ t[0][byte(crc ^ u32::from(*value), 0)];
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn crc_of_the_known_vectors() {
        assert_eq!(crc32(&[b""]), 0);
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"The quick brown fox ", b"jumps over the lazy dog"]), 0x414f_a339);
    }

    proptest! {
        #[test]
        fn crc_agrees_with_the_bitwise_definition(bytes in any::<Vec<u8>>(), cut in any::<prop::sample::Index>()) {
            let mut crc = u32::MAX;
            for byte in &bytes {
                crc ^= u32::from(*byte);
                for _ in 0..8 {
                    crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
                }
            }
            let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32(&[left, right]), !crc);
        }
    }
}
