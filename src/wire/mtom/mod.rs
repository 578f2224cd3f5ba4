//! MTOM/XOP packaging: a SOAP envelope and its documents in one multipart/related message
//! (SOAP MTOM 1.0, XOP 1.0, RFC 2387; ITI TF-2 Appendix V.8), read and written chunk by chunk.
//!
//! ```text
//! Content-Type: multipart/related; boundary="B"; start="<0.x@y>"; …    Packaging::parse  MultipartWriter::content_type
//!
//!   whatever comes before the first delimiter                          dropped
//!   --B                                                              ┐
//!   Content-Type: application/xop+xml; type="application/soap+xml"   │
//!   Content-Transfer-Encoding: binary                                │ PartStart        MultipartWriter::root_part
//!   Content-ID: <0.x@y>                                              │
//!                                                                    ┘
//!   <env:Envelope> … <xop:Include href="cid:1.x@y"/> …                 Data, Data, …    the caller's bytes
//! ⏎ --B                                                              ┐ PartEnd
//!   Content-Type: application/pdf                                    │
//!   Content-Transfer-Encoding: binary                                │ PartStart        MultipartWriter::document_part
//!   Content-ID: <1.x@y>                                              │
//!                                                                    ┘
//!   %PDF-1.7 …                                                         Data, Data, …    the caller's bytes
//! ⏎ --B--                                                              PartEnd, End     MultipartWriter::close
//!   whatever comes after                                               dropped
//! ```
//!
//! The line break ⏎ in front of a delimiter belongs to the delimiter, never to the document: two
//! bytes more or less and no hash would ever match.
//!
//! Nothing here reads or writes: [`MultipartReader`] is fed [`bytes::Bytes`] and drained of
//! [`Event`]s, which are slices of what was fed; [`MultipartWriter`] hands out the bytes that go
//! between the bodies. Memory does not depend on the size of a part. A reader keeps at most one
//! block of part headers beyond the chunk it was last fed, as long as the caller drains it.
//!
//! Not done here: XML (whether an `xop:Include` stands where it may), the size of parts and
//! messages (the caller sees every byte pass), SOAP with Attachments, parts inside parts.
//!
//! Start reading at [`MultipartReader::next_event`].

mod content_id;
mod content_type;
mod event;
mod reader;
#[cfg(test)]
mod tests;
mod transfer;
mod writer;

pub use content_id::ContentId;
pub use content_type::{Charset, MediaType, MultipartParams, Packaging};
pub use event::{Event, Limits, PartHeaders};
pub use reader::MultipartReader;
pub use transfer::TransferEncoding;
pub use writer::{MultipartWriter, simple_content_type};

/// What is wrong with a message's packaging, where, and what the sender has to do about it.
///
/// Parts are counted from 1, the first part of the message; offsets are bytes from the start of
/// the HTTP body. Text from the peer is shortened and has its control characters replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MtomError {
    /// The media type is none that carries SOAP (HTTP 415).
    #[error(
        "Content-Type '{found}' carries no SOAP message: send application/soap+xml, \
         or multipart/related for MTOM/XOP"
    )]
    UnsupportedMediaType {
        /// The media type as received.
        found: String,
    },
    /// A media type with parameters breaks the grammar of RFC 2045 §5.1.
    #[error(
        "media type cannot be read at character {at}: {reason}; write type/subtype followed by \
         name=\"value\" parameters"
    )]
    MalformedMediaType {
        /// Byte offset inside the header value.
        at: usize,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// A multipart Content-Type without a boundary (RFC 2046 §5.1.1).
    #[error("Content-Type multipart/related has no boundary parameter: add boundary=\"…\"")]
    MissingBoundary,
    /// A boundary that RFC 2046 §5.1.1 does not allow.
    #[error(
        "the boundary {reason}: use 1 to {limit} printable ASCII characters that do not end in a \
         space"
    )]
    InvalidBoundary {
        /// The rule that is broken.
        reason: &'static str,
        /// The length allowed.
        limit: usize,
    },
    /// A Content-ID or `cid:` reference that names nothing (RFC 2392).
    #[error("content id {reason}: write Content-ID: <local@domain> and href=\"cid:local@domain\"")]
    InvalidContentId {
        /// The rule that is broken.
        reason: &'static str,
    },
    /// A reference that is not `cid:`. Others are never followed: they would let a peer make us
    /// open files and addresses of its choice.
    #[error("xop:Include href '{found}' is not a cid: reference: put the content into a part")]
    ForeignReference {
        /// The reference as received.
        found: String,
    },
    /// No delimiter within the allowed preamble.
    #[error(
        "no line '--boundary' in the first {offset} bytes (limit {limit}): check that the \
         boundary parameter is the one used in the body"
    )]
    NoDelimiter {
        /// Bytes looked at.
        offset: u64,
        /// Bytes allowed before the first delimiter.
        limit: usize,
    },
    /// The closing delimiter comes first: there is no root part.
    #[error("the multipart message is closed at byte {offset} before any part: send a root part")]
    NoParts {
        /// Offset after the closing delimiter.
        offset: u64,
    },
    /// More parts than allowed.
    #[error("more than {limit} parts, at byte {offset}: split the request")]
    TooManyParts {
        /// Parts allowed.
        limit: usize,
        /// Offset of the part that is too many.
        offset: u64,
    },
    /// The header block of a part is too large.
    #[error("headers of part {part} exceed {limit} bytes at byte {offset}: shorten them")]
    PartHeadersTooLarge {
        /// The part.
        part: usize,
        /// Bytes allowed, line breaks and the empty line included.
        limit: usize,
        /// Where the limit was passed.
        offset: u64,
    },
    /// A header line of a part is too long.
    #[error("a header line of part {part} exceeds {limit} bytes at byte {offset}: shorten it")]
    PartHeaderLineTooLong {
        /// The part.
        part: usize,
        /// Bytes allowed, line break included.
        limit: usize,
        /// Where the limit was passed.
        offset: u64,
    },
    /// A part has too many headers.
    #[error("part {part} has more than {limit} headers at byte {offset}: drop some")]
    TooManyPartHeaders {
        /// The part.
        part: usize,
        /// Headers allowed.
        limit: usize,
        /// Where the limit was passed.
        offset: u64,
    },
    /// A line among the part headers that is no header.
    #[error(
        "line before byte {offset} in the headers of part {part} {reason}: write 'Name: value' \
         lines followed by an empty line"
    )]
    MalformedPartHeader {
        /// The part.
        part: usize,
        /// Offset after the line.
        offset: u64,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// A header that decides how a part is read occurs twice.
    #[error("part {part} has two {name} headers, before byte {offset}: send one")]
    DuplicatePartHeader {
        /// The part.
        part: usize,
        /// The header.
        name: &'static str,
        /// Offset after the second one.
        offset: u64,
    },
    /// Two parts have the same Content-ID, so references to it are ambiguous.
    #[error("part {part} repeats the Content-ID of an earlier part: give each part its own")]
    DuplicateContentId {
        /// The second of the two parts.
        part: usize,
    },
    /// A Content-Transfer-Encoding that does not exist (RFC 2045 §6.1).
    #[error(
        "part {part} has Content-Transfer-Encoding '{found}': use binary (8bit, 7bit, base64 and \
         quoted-printable are understood)"
    )]
    UnknownTransferEncoding {
        /// The part.
        part: usize,
        /// The value as received.
        found: String,
    },
    /// A part that is itself a multipart message.
    #[error("part {part} is a multipart message of its own: MTOM parts are flat, unpack it")]
    NestedMultipart {
        /// The part.
        part: usize,
    },
    /// Too much white space behind a boundary to tell whether it is a delimiter.
    #[error(
        "more than {limit} bytes of white space behind a boundary at byte {offset}: end the \
         delimiter line"
    )]
    DelimiterPadding {
        /// Bytes allowed.
        limit: usize,
        /// Where the limit was passed.
        offset: u64,
    },
    /// The content of a part is not in the transfer encoding that its header names.
    #[error("part {part} is not valid {encoding} at byte {offset}: {reason}; encode it again")]
    TransferDecoding {
        /// The part.
        part: usize,
        /// `base64` or `quoted-printable`.
        encoding: &'static str,
        /// Offset of the offending byte, or of the end of the part.
        offset: u64,
        /// The rule that is broken.
        reason: &'static str,
    },
    /// The input ended before the closing delimiter `--boundary--`.
    #[error(
        "message ends at byte {offset} {place} (part {part}), without its closing delimiter: it \
         was cut short, send it again"
    )]
    Truncated {
        /// The part that was being read; 0 before the first.
        part: usize,
        /// Bytes received.
        offset: u64,
        /// What was being read.
        place: &'static str,
    },
    /// A value that the writer will not put into a header.
    #[error("{what} cannot be written: {reason}")]
    Unwritable {
        /// Which value.
        what: &'static str,
        /// The rule that is broken.
        reason: &'static str,
    },
}

/// Text of a peer made fit for a message: short, on one line, without control characters.
fn printable(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
