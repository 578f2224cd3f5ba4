//! What a reader hands out, and what it may be made to hold.

use super::content_type::{MAX_BOUNDARY, MediaType};
use super::{ContentId, TransferEncoding};
use bytes::Bytes;
use std::fmt;

/// What a message may cost before it is refused. The size of parts is not here: the caller sees
/// every byte and knows which document it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Header block of one part, with its line breaks and the empty line.
    pub part_headers_bytes: usize,
    /// One header line, with its line break.
    pub header_line_bytes: usize,
    /// Headers of one part.
    pub headers_per_part: usize,
    /// Parts of the message, the root among them.
    pub parts: usize,
    /// The boundary; RFC 2046 §5.1.1 ends at 70.
    pub boundary_len: usize,
    /// Everything before the first delimiter.
    pub preamble_bytes: usize,
    /// White space between a boundary and the end of its line.
    pub delimiter_padding_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            part_headers_bytes: 16 * 1024,
            header_line_bytes: 8 * 1024,
            headers_per_part: 100,
            parts: 1_000,
            boundary_len: MAX_BOUNDARY,
            // a blank line or a sentence for people without MIME is usual
            preamble_bytes: 16 * 1024,
            // gateways that pad lines do so to 80 columns
            delimiter_padding_bytes: 256,
        }
    }
}

/// What a [`MultipartReader`](super::MultipartReader) finds, in the order of the message.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    PartStart(PartHeaders),
    /// Some of its content, transfer encoding undone; never empty.
    Data(Bytes),
    /// The part is complete.
    PartEnd,
    /// The closing delimiter: the message is complete. Nothing follows.
    End,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartStart(headers) => f.debug_tuple("PartStart").field(headers).finish(),
            // the content is a patient's
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::PartEnd => f.write_str("PartEnd"),
            Self::End => f.write_str("End"),
        }
    }
}

/// The headers of a part that matter; others, such as Content-Disposition, are ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartHeaders {
    /// Counted from 1.
    pub number: usize,
    /// Where the part's content begins, in bytes from the start of the body.
    pub offset: u64,
    /// `Content-ID`. Only a root may do without.
    pub content_id: Option<ContentId>,
    /// `Content-Type` as received, unfolded. For documents the metadata has the final say.
    pub content_type: Option<String>,
    /// `Content-Transfer-Encoding`, which the reader undoes.
    pub transfer_encoding: TransferEncoding,
}

impl PartHeaders {
    /// The content type taken apart, where it can be.
    pub fn media_type(&self) -> Option<MediaType> {
        MediaType::parse(self.content_type.as_deref()?).ok()
    }
}
