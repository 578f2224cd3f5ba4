//! Content-Transfer-Encoding (RFC 2045 §6), undone as the bytes flow.

use super::content_id::hex;
use bytes::{BufMut, Bytes, BytesMut};

/// How the bytes of a part travel (RFC 2045 §6.1). Absent means binary, as MTOM senders mean it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferEncoding {
    /// `7bit`: as they are.
    SevenBit,
    /// `8bit`: as they are.
    EightBit,
    /// `binary`: as they are.
    #[default]
    Binary,
    /// `base64`: the reader decodes.
    Base64,
    /// `quoted-printable`: the reader decodes. SoapUI sends text parts so, the root among them.
    QuotedPrintable,
}

impl TransferEncoding {
    /// Reads the header value in any letter case.
    pub(super) fn parse(value: &str) -> Option<Self> {
        const NAMES: [(&str, TransferEncoding); 5] = [
            ("7bit", TransferEncoding::SevenBit),
            ("8bit", TransferEncoding::EightBit),
            ("binary", TransferEncoding::Binary),
            ("base64", TransferEncoding::Base64),
            ("quoted-printable", TransferEncoding::QuotedPrintable),
        ];
        // RFC 2045 knows no parameters here, some senders do
        let value = value.split(';').next()?.trim().trim_matches('"');
        NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(value)).map(|&(_, encoding)| encoding)
    }
}

/// What a decoder objects to: the index in the chunk, and the rule.
pub(super) type Fault = (usize, &'static str);

/// Undoes a transfer encoding, whatever the cuts between chunks.
#[derive(Debug, Default)]
pub(super) enum Decoder {
    #[default]
    Identity,
    Base64(Base64),
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    pub(super) fn new(encoding: TransferEncoding) -> Self {
        match encoding {
            TransferEncoding::SevenBit | TransferEncoding::EightBit | TransferEncoding::Binary => Self::Identity,
            TransferEncoding::Base64 => Self::Base64(Base64::default()),
            TransferEncoding::QuotedPrintable => Self::QuotedPrintable(QuotedPrintable::default()),
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Identity => "binary",
            Self::Base64(_) => "base64",
            Self::QuotedPrintable(_) => "quoted-printable",
        }
    }

    /// The decoded bytes of one more chunk.
    pub(super) fn decode(&mut self, chunk: Bytes) -> Result<Bytes, Fault> {
        match self {
            Self::Identity => Ok(chunk),
            Self::Base64(decoder) => decoder.decode(&chunk),
            Self::QuotedPrintable(decoder) => decoder.decode(&chunk),
        }
    }

    /// At the end of the part: whether it may end here.
    pub(super) fn finish(&self) -> Result<(), &'static str> {
        match self {
            Self::Identity => Ok(()),
            Self::Base64(decoder) => decoder.finish(),
            Self::QuotedPrintable(decoder) => decoder.finish(),
        }
    }
}

/// Base64 (RFC 2045 §6.8): white space anywhere, nothing else that is not of the alphabet.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    // up to three sextets of an unfinished quantum, and how many
    bits: u32,
    sextets: u8,
    // '=' seen and still to come: nothing but those may follow the first
    padding: u8,
    padded: bool,
}

impl Base64 {
    fn decode(&mut self, chunk: &[u8]) -> Result<Bytes, Fault> {
        let mut out = BytesMut::with_capacity(chunk.len() / 4 * 3 + 3);
        for (at, &byte) in chunk.iter().enumerate() {
            let fault = |reason| (at, reason);
            let sextet = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'=' => {
                    self.pad(&mut out).map_err(fault)?;
                    continue;
                }
                _ => return Err(fault("a character outside the alphabet")),
            };
            if self.padded {
                return Err(fault("content behind the padding"));
            }
            self.bits = self.bits << 6 | u32::from(sextet);
            self.sextets += 1;
            if self.sextets == 4 {
                let [_, quantum @ ..] = self.bits.to_be_bytes();
                out.put_slice(&quantum);
                (self.bits, self.sextets) = (0, 0);
            }
        }
        Ok(out.freeze())
    }

    fn pad(&mut self, out: &mut BytesMut) -> Result<(), &'static str> {
        if self.padded {
            self.padding = self.padding.checked_sub(1).ok_or("too much padding")?;
            return Ok(());
        }
        // the bits beyond the last whole byte must be zero, or two texts would mean the same
        let (bytes, spare) = match self.sextets {
            2 => (1, 4),
            3 => (2, 2),
            _ => return Err("padding where none belongs"),
        };
        if self.bits & ((1 << spare) - 1) != 0 {
            return Err("stray bits in front of the padding");
        }
        let whole = (self.bits >> spare).to_be_bytes();
        out.put_slice(whole.split_at(whole.len() - bytes).1);
        self.padded = true;
        self.padding = 3 - self.sextets;
        (self.bits, self.sextets) = (0, 0);
        Ok(())
    }

    fn finish(&self) -> Result<(), &'static str> {
        if self.sextets == 0 && self.padding == 0 { Ok(()) } else { Err("it ends in the middle of a group of four") }
    }
}

/// Quoted-printable (RFC 2045 §6.7): `=XX`, soft line breaks, white space at line ends dropped.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    state: Quoted,
    // white space that is dropped if the line ends here
    blanks: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Quoted {
    #[default]
    Text,
    /// Behind `=`.
    Equals,
    /// Behind `=` and its first digit.
    Digit(u8),
    /// Behind `=` and white space or CR: the line has to end.
    LineEnd,
}

impl QuotedPrintable {
    /// Encoded lines have at most 76 characters; longer runs of blanks are content.
    const MAX_BLANKS: usize = 998;

    fn decode(&mut self, chunk: &[u8]) -> Result<Bytes, Fault> {
        let mut out = BytesMut::with_capacity(chunk.len() + self.blanks.len());
        for (at, &byte) in chunk.iter().enumerate() {
            self.state = match (self.state, byte) {
                (Quoted::Text, b'=') => {
                    out.put_slice(&self.blanks);
                    self.blanks.clear();
                    Quoted::Equals
                }
                (Quoted::Text, b' ' | b'\t') => {
                    if self.blanks.len() == Self::MAX_BLANKS {
                        out.put_slice(&self.blanks);
                        self.blanks.clear();
                    }
                    self.blanks.push(byte);
                    Quoted::Text
                }
                (Quoted::Text, _) => {
                    if !matches!(byte, b'\r' | b'\n') {
                        out.put_slice(&self.blanks);
                    }
                    self.blanks.clear();
                    out.put_u8(byte);
                    Quoted::Text
                }
                (Quoted::Equals | Quoted::LineEnd, b'\n') => Quoted::Text,
                (Quoted::Equals | Quoted::LineEnd, b' ' | b'\t' | b'\r') => Quoted::LineEnd,
                (Quoted::Equals, _) => match hex(byte) {
                    Some(high) => Quoted::Digit(high),
                    None => return Err((at, "'=' without two hexadecimal digits")),
                },
                (Quoted::Digit(high), _) => match hex(byte) {
                    Some(low) => {
                        out.put_u8(high << 4 | low);
                        Quoted::Text
                    }
                    None => return Err((at, "'=' without two hexadecimal digits")),
                },
                (Quoted::LineEnd, _) => return Err((at, "'=' before blanks inside a line")),
            };
        }
        Ok(out.freeze())
    }

    fn finish(&self) -> Result<(), &'static str> {
        match self.state {
            // the line break behind a last '=' belongs to the delimiter
            Quoted::Text | Quoted::Equals | Quoted::LineEnd => Ok(()),
            Quoted::Digit(_) => Err("'=' without two hexadecimal digits"),
        }
    }
}
