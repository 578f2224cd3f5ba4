//! What goes between the bodies of an MTOM message (ITI TF-2 Appendix V.8, RFC 2387).

use super::MtomError;
use super::content_type::{MAX_BOUNDARY, MediaType};
use bytes::Bytes;

/// Writes everything of an MTOM message that is not content.
///
/// The caller sends [`root_part`](Self::root_part), the envelope, then for each document
/// [`document_part`](Self::document_part) and its bytes, and at last [`close`](Self::close). A
/// message that cannot be completed has to be left without `close`, so that the receiver sees it.
///
/// The boundary must not occur in a document: 122 random bits in it see to that.
#[derive(Clone, Debug)]
pub struct MultipartWriter {
    boundary: String,
    root_content_id: String,
    envelope_type: &'static str,
}

const SOAP12: &str = "application/soap+xml";
const SOAP11: &str = "text/xml";

impl MultipartWriter {
    /// A writer with a boundary of `A-Za-z0-9_-` (at most 70), and an id for the root part of the
    /// form `local@domain` with letters, digits, dots and hyphens, which no stack escapes.
    pub fn new(boundary: String, root_content_id: String) -> Result<Self, MtomError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if !(1..=MAX_BOUNDARY).contains(&boundary.len()) || !boundary.bytes().all(plain) {
            return Err(MtomError::Unwritable {
                what: "boundary",
                reason: "it has to be 1 to 70 letters, digits, '_' and '-'",
            });
        }
        check_content_id(&root_content_id)?;
        Ok(Self { boundary, root_content_id, envelope_type: SOAP12 })
    }

    /// The same for an envelope in SOAP 1.1, to answer a peer that began with it.
    pub fn with_soap11(self) -> Self {
        Self { envelope_type: SOAP11, ..self }
    }

    /// The HTTP Content-Type. The action is a courtesy to stacks that look for it there, and is
    /// left out where it could not be written without tricks.
    pub fn content_type(&self, action: Option<&str>) -> String {
        let Self { boundary, root_content_id, envelope_type } = self;
        let action = action_param(action);
        format!(
            "multipart/related; boundary=\"{boundary}\"; type=\"application/xop+xml\"; \
             start=\"<{root_content_id}>\"; start-info=\"{envelope_type}\"{action}"
        )
    }

    /// The first delimiter and the headers of the root part; the envelope follows.
    pub fn root_part(&self) -> Bytes {
        let Self { boundary, root_content_id, envelope_type } = self;
        Bytes::from(format!(
            "--{boundary}\r\n\
             Content-Type: application/xop+xml; charset=UTF-8; type=\"{envelope_type}\"\r\n\
             Content-Transfer-Encoding: binary\r\n\
             Content-ID: <{root_content_id}>\r\n\r\n"
        ))
    }

    /// A delimiter and the headers of a document's part; its bytes follow.
    ///
    /// The id has the form that [`new`](Self::new) wants. The media type comes from metadata, so
    /// it may be anything: what is no media type, or would announce parts inside the part, is
    /// written as `application/octet-stream`. Receivers go by the metadata anyway.
    pub fn document_part(&self, content_id: &str, content_type: &str) -> Result<Bytes, MtomError> {
        check_content_id(content_id)?;
        let boundary = &self.boundary;
        let content_type = document_type(content_type);
        Ok(Bytes::from(format!(
            "\r\n--{boundary}\r\n\
             Content-Type: {content_type}\r\n\
             Content-Transfer-Encoding: binary\r\n\
             Content-ID: <{content_id}>\r\n\r\n"
        )))
    }

    /// The closing delimiter.
    pub fn close(&self) -> Bytes {
        Bytes::from(format!("\r\n--{}--\r\n", self.boundary))
    }

    /// The Content-Length of the message, from the size of the envelope and, per document, content
    /// id, content type and size.
    pub fn content_length<'a>(
        &self,
        envelope: u64,
        documents: impl IntoIterator<Item = (&'a str, &'a str, u64)>,
    ) -> Result<u64, MtomError> {
        let add = |sum: u64, bytes: u64| {
            sum.checked_add(bytes)
                .ok_or(MtomError::Unwritable { what: "Content-Length", reason: "the message has more than 2^64 bytes" })
        };
        let frame = self.root_part().len() + self.close().len();
        let mut sum = add(frame as u64, envelope)?;
        for (content_id, content_type, bytes) in documents {
            sum = add(sum, self.document_part(content_id, content_type)?.len() as u64)?;
            sum = add(sum, bytes)?;
        }
        Ok(sum)
    }
}

/// The HTTP Content-Type of an envelope that travels alone (SOAP 1.2 Part 2 §7.1.4). SOAP 1.1 has its
/// action in the header `SOAPAction`.
pub fn simple_content_type(soap11: bool, action: Option<&str>) -> String {
    if soap11 { format!("{SOAP11}; charset=utf-8") } else { format!("{SOAP12}; charset=UTF-8{}", action_param(action)) }
}

/// `; action="…"`, or nothing for what is no URI in printable ASCII.
fn action_param(action: Option<&str>) -> String {
    action
        .filter(|uri| !uri.is_empty() && uri.bytes().all(|b| b.is_ascii_graphic()))
        .filter(|uri| !uri.contains(['"', '\\']))
        .map(|uri| format!("; action=\"{uri}\""))
        .unwrap_or_default()
}

fn check_content_id(id: &str) -> Result<(), MtomError> {
    let plain =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    match id.split_once('@') {
        Some((local, domain)) if plain(local) && plain(domain) && id.len() <= 255 => Ok(()),
        _ => Err(MtomError::Unwritable {
            what: "Content-ID",
            reason: "it has to be local@domain with letters, digits, '.' and '-', at most 255",
        }),
    }
}

/// A document's media type as it may stand in a header.
fn document_type(content_type: &str) -> &str {
    const OPAQUE: &str = "application/octet-stream";
    let content_type = content_type.trim();
    let writable = content_type.len() <= 255 && content_type.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    match MediaType::parse(content_type) {
        Ok(media) if writable && !media.essence().starts_with("multipart/") => content_type,
        _ => OPAQUE,
    }
}
