//! An answer that is small on the wire and enormous when it is inflated: an envelope around gigabytes of blanks,
//! as gzip (RFC 1952) over deflate (RFC 1951).
//!
//! No compressor is needed for it. Under the codes of [`BLANKS`] a repetition of 258 octets takes two bits that
//! are zero, so that one octet of zeros is 1032 blanks.

use bytes::Bytes;
use crc32fast::Hasher;

/// Octets of a piece of zeros.
const PIECE: usize = 64 << 10;

/// Blanks that an octet of zeros stands for.
const BLANKS_OF_AN_OCTET: usize = 4 * 258;

/// The head of a gzip file: deflate, nothing else said (RFC 1952 §2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A block with codes of its own (RFC 1951 §3.2.7): `0` repeats 258 octets, `10` is a blank, `11` the end; the one
/// distance is 1, and its code `0`. Behind the codes there is a blank, and two repetitions of it up to the next
/// whole octet.
const BLANKS: [u8; 15] = [0xec, 0xe0, 0x81, 0, 0, 0, 0, 0x80, 0x20, 0xa8, 0xec, 0x4f, 0xb9, 0x48, 0x05];

/// The blanks in it.
const FIRST_BLANKS: usize = 1 + 2 * 258;

/// The end of that block, and the beginning of the last one, which is stored as it is (§3.2.4).
const LAST: u8 = 0b111;

/// An answer with so many blanks for so many pieces of 64 KiB between its beginning and its end.
pub fn gzip(start: &[u8], pieces: usize, end: &[u8]) -> Vec<Bytes> {
    let mut open = HEAD.to_vec();
    open.push(0);
    push_stored(&mut open, start);
    open.extend_from_slice(&BLANKS);
    let mut close = vec![LAST];
    push_stored(&mut close, end);
    close.extend_from_slice(&checksum(start, pieces, end).to_le_bytes());
    let octets = start.len() + FIRST_BLANKS + pieces * PIECE * BLANKS_OF_AN_OCTET + end.len();
    // Its size is told modulo 2³².
    close.extend_from_slice(octets.to_le_bytes().get(..4).unwrap_or_default());
    let zeros = Bytes::from(vec![0; PIECE]);
    std::iter::once(open.into()).chain(std::iter::repeat_n(zeros, pieces)).chain([close.into()]).collect()
}

/// The length and the octets of a stored block; it is short.
fn push_stored(out: &mut Vec<u8>, octets: &[u8]) {
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&(!length).to_le_bytes());
    out.extend_from_slice(octets);
}

/// The checksum of all of it, put together from that of a piece.
fn checksum(start: &[u8], pieces: usize, end: &[u8]) -> u32 {
    let mut whole = Hasher::new();
    whole.update(start);
    whole.update(&[b' '; FIRST_BLANKS]);
    let mut some = Hasher::new();
    some.update(&[b' '; BLANKS_OF_AN_OCTET]);
    let mut count = pieces * PIECE;
    while count > 0 {
        if count % 2 == 1 {
            whole.combine(&some);
        }
        let same = some.clone();
        some.combine(&same);
        count /= 2;
    }
    let mut rest = Hasher::new();
    rest.update(end);
    whole.combine(&rest);
    whole.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Bits from the lowest of each octet (RFC 1951 §3.1.1).
    struct Bits<'b>(&'b [u8], usize);

    impl Bits<'_> {
        fn bit(&mut self) -> u16 {
            let bit = self.0[self.1 / 8] >> (self.1 % 8) & 1;
            self.1 += 1;
            bit.into()
        }

        fn number(&mut self, bits: u16) -> usize {
            (0..bits).map(|at| usize::from(self.bit()) << at).sum()
        }

        fn symbol(&mut self, codes: &HashMap<(u8, u16), usize>) -> usize {
            let mut code = (0, 0);
            loop {
                code = (code.0 + 1, code.1 << 1 | self.bit());
                if let Some(symbol) = codes.get(&code) {
                    return *symbol;
                }
            }
        }
    }

    /// Codes by their lengths (§3.2.2).
    fn codes(lengths: &[u8]) -> HashMap<(u8, u16), usize> {
        let (mut codes, mut next) = (HashMap::new(), 0);
        for length in 1..=15 {
            for symbol in (0..lengths.len()).filter(|symbol| lengths[*symbol] == length) {
                codes.insert((length, next), symbol);
                next += 1;
            }
            next <<= 1;
        }
        codes
    }

    /// As much of inflating as is needed here: stored blocks, and those with codes of their own.
    fn inflated(octets: &[u8]) -> (Vec<u8>, usize) {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (mut bits, mut out) = (Bits(octets, 0), Vec::new());
        loop {
            let last = bits.bit() == 1;
            match bits.number(2) {
                0 => {
                    let at = bits.1.div_ceil(8);
                    let length = usize::from(u16::from_le_bytes([octets[at], octets[at + 1]]));
                    assert_eq!([!octets[at], !octets[at + 1]], octets[at + 2..at + 4]);
                    out.extend_from_slice(&octets[at + 4..at + 4 + length]);
                    bits.1 = 8 * (at + 4 + length);
                }
                2 => {
                    let (literals, distances) = (257 + bits.number(5), 1 + bits.number(5));
                    let mut of_lengths = [0; 19];
                    for at in 0..4 + bits.number(4) {
                        of_lengths[ORDER[at]] = bits.number(3) as u8;
                    }
                    let (of_lengths, mut lengths) = (codes(&of_lengths), Vec::new());
                    while lengths.len() < literals + distances {
                        match bits.symbol(&of_lengths) {
                            18 => lengths.extend(vec![0; 11 + bits.number(7)]),
                            length => lengths.push(length as u8),
                        }
                    }
                    let (literals, distances) = (codes(&lengths[..literals]), codes(&lengths[literals..]));
                    loop {
                        match bits.symbol(&literals) {
                            256 => break,
                            285 => {
                                assert_eq!(bits.symbol(&distances), 0);
                                out.resize(out.len() + 258, *out.last().unwrap());
                            }
                            literal => out.push(literal as u8),
                        }
                    }
                }
                other => panic!("a block of kind {other}"),
            }
            if last {
                return (out, bits.1.div_ceil(8));
            }
        }
    }

    #[test]
    fn it_is_what_it_says_to_be() {
        let file = gzip(b"<a>", 1, b"</a>").concat();
        let (out, end) = inflated(&file[HEAD.len()..]);
        let blanks = out.strip_prefix(b"<a>").unwrap().strip_suffix(b"</a>").unwrap();
        assert_eq!(blanks.len(), FIRST_BLANKS + PIECE * BLANKS_OF_AN_OCTET);
        assert!(blanks.iter().all(|octet| *octet == b' '));
        let trailer = [crc32fast::hash(&out).to_le_bytes(), (out.len() as u32).to_le_bytes()].concat();
        assert_eq!(file[HEAD.len() + end..], trailer);
    }
}
