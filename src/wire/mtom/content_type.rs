//! The Content-Type of a SOAP message, and media types with parameters in general
//! (RFC 2045 §5.1, RFC 2387 §3; ITI TF-2 Appendix V.8).

use super::{ContentId, MtomError, printable};

/// The longest boundary (RFC 2046 §5.1.1).
pub(super) const MAX_BOUNDARY: usize = 70;

/// How a SOAP message is packaged, as its HTTP Content-Type tells (ITI TF-2 Appendix V.8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packaging {
    /// The envelope alone: `application/soap+xml` or `text/xml`.
    Simple {
        /// `text/xml`, the media type of SOAP 1.1. A hint: the envelope's namespace decides.
        soap11: bool,
        /// The `charset` parameter, which beats the XML declaration (RFC 7303 §3).
        charset: Charset,
        /// The `action` parameter. A hint: `wsa:Action` decides.
        action: Option<String>,
    },
    /// MTOM/XOP, or the SOAP with Attachments that looks like it: `multipart/related`.
    Multipart(MultipartParams),
}

/// The parameters of `multipart/related` that matter (RFC 2387 §3, SOAP MTOM 1.0 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultipartParams {
    /// The `boundary` between parts.
    pub boundary: String,
    /// The `start` parameter: which part holds the envelope. Absent: the first.
    pub start: Option<ContentId>,
    /// The media type in `start-info`, in lower case: `application/soap+xml` or, for SOAP 1.1, `text/xml`.
    pub start_info: Option<String>,
    /// The media type in `type`, in lower case: `application/xop+xml`.
    pub root_type: Option<String>,
    /// The `action` parameter, also when it hides in `start-info` or `type`. A hint: `wsa:Action` decides.
    pub action: Option<String>,
}

/// The `charset` of an envelope (RFC 7303 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Not stated: byte order mark and XML declaration decide, and else it is UTF-8.
    Unstated,
    /// UTF-8, or US-ASCII, which is a part of it.
    Utf8,
    /// UTF-16 in either byte order.
    Utf16,
    /// Any other, in lower case, for the caller to refuse.
    Other(String),
}

impl Packaging {
    /// Reads the Content-Type of a SOAP request or response.
    ///
    /// Taken as they come: parameters in any order and letter case, quoted or not, unknown ones, a
    /// trailing semicolon, missing `type`, `start` and `start-info`, `start` without brackets, and
    /// an action inside `start-info` or `type`. Of equal parameters the first counts.
    pub fn parse(content_type: &str) -> Result<Self, MtomError> {
        let media = MediaType::parse(content_type)?;
        match media.essence() {
            "application/soap+xml" | "text/xml" => Ok(Self::Simple {
                soap11: media.essence() == "text/xml",
                charset: media.charset(),
                action: action(&media),
            }),
            "multipart/related" => MultipartParams::new(&media).map(Self::Multipart),
            other => Err(MtomError::UnsupportedMediaType { found: printable(other) }),
        }
    }

    /// The `action` parameter, wherever it was.
    pub fn action(&self) -> Option<&str> {
        match self {
            Self::Simple { action, .. } => action.as_deref(),
            Self::Multipart(params) => params.action.as_deref(),
        }
    }
}

impl MultipartParams {
    fn new(media: &MediaType) -> Result<Self, MtomError> {
        // RFC 2046 has no trailing space in a boundary, gateways that refold headers do
        let boundary = media.param("boundary").ok_or(MtomError::MissingBoundary)?.trim_end_matches(' ');
        check_boundary(boundary.as_bytes(), MAX_BOUNDARY)?;

        // a media type inside a parameter: unreadable ones are as good as absent, nothing hangs on them
        let nested = |name| media.param(name).and_then(|text| MediaType::parse(text).ok());
        let (start_info, root_type) = (nested("start-info"), nested("type"));
        Ok(Self {
            boundary: boundary.to_owned(),
            start: media
                .param("start")
                .filter(|text| !text.trim().is_empty())
                .map(ContentId::from_header)
                .transpose()?,
            action: action(media)
                .or_else(|| start_info.as_ref().and_then(action))
                .or_else(|| root_type.as_ref().and_then(action)),
            start_info: start_info.map(|inner| inner.essence),
            root_type: root_type.map(|inner| inner.essence),
        })
    }

    /// Whether a part holds the envelope (RFC 2387 §3.2): the one that `start` names; the first
    /// where there is no `start`, and also where the first part has no Content-ID at all. Should
    /// that hold for two parts, the first of them counts; should it hold for none, `start` names
    /// nothing and the message has no envelope.
    pub fn is_root(&self, part: &super::PartHeaders) -> bool {
        match (&self.start, &part.content_id) {
            (Some(start), Some(id)) => id.rank(start).is_some(),
            _ => part.number == 1,
        }
    }

    /// Whether `start-info` or `type` announce SOAP 1.1. A hint: the envelope's namespace decides.
    pub fn soap11(&self) -> bool {
        let announces = |media: &Option<String>| media.as_deref() == Some("text/xml");
        announces(&self.start_info) || announces(&self.root_type)
    }
}

/// The action of a media type, unless it is empty.
fn action(media: &MediaType) -> Option<String> {
    media.param("action").map(str::trim).filter(|action| !action.is_empty()).map(str::to_owned)
}

/// Holds a boundary against RFC 2046 §5.1.1, with every printable ASCII character let through.
pub(super) fn check_boundary(boundary: &[u8], limit: usize) -> Result<(), MtomError> {
    let reason = if boundary.is_empty() {
        "is empty"
    } else if boundary.len() > limit {
        "is too long"
    } else if boundary.ends_with(b" ") {
        "ends in a space"
    } else if !boundary.iter().all(|&b| b == b' ' || b.is_ascii_graphic()) {
        "contains a character that is not printable ASCII"
    } else {
        return Ok(());
    };
    Err(MtomError::InvalidBoundary { reason, limit })
}

/// A media type with its parameters (RFC 2045 §5.1), on a single unfolded line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    essence: String,
    params: Vec<(String, String)>,
}

impl MediaType {
    /// Reads `type/subtype; name=value; name="quoted \"value\""`.
    ///
    /// Stray semicolons, words without `=` and white space around `=` are let through. A line
    /// break is not: a folded HTTP header is a way to smuggle requests (RFC 9112 §5.2).
    pub fn parse(text: &str) -> Result<Self, MtomError> {
        if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
            return Err(MtomError::MalformedMediaType { at, reason: "control character or line break" });
        }
        let (essence, mut rest) = text.split_once(';').unwrap_or((text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        if !matches!(essence.split_once('/'), Some((a, b)) if is_token(a) && is_token(b)) {
            return Err(MtomError::MalformedMediaType { at: 0, reason: "no type/subtype in front" });
        }
        let mut params = Vec::new();
        loop {
            rest = rest.trim_start_matches([';', ' ', '\t']);
            if rest.is_empty() {
                return Ok(Self { essence, params });
            }
            let name_end = rest.find(['=', ';']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(name_end);
            let Some(value) = after.strip_prefix('=') else {
                rest = after;
                continue;
            };
            let value = value.trim_start_matches([' ', '\t']);
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => unquoted(quoted)
                    .map_err(|reason| MtomError::MalformedMediaType { at: text.len() - value.len(), reason })?,
                None => {
                    let (value, after) = value.split_at(value.find(';').unwrap_or(value.len()));
                    (value.trim().to_owned(), after)
                }
            };
            params.push((name.trim().to_ascii_lowercase(), value));
            rest = after;
        }
    }

    /// `type/subtype` in lower case.
    pub fn essence(&self) -> &str {
        &self.essence
    }

    /// The first parameter of that name, which has to be in lower case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The `charset` parameter.
    pub fn charset(&self) -> Charset {
        let Some(charset) = self.param("charset").map(str::trim).filter(|c| !c.is_empty()) else {
            return Charset::Unstated;
        };
        match charset.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" | "us-ascii" => Charset::Utf8,
            "utf-16" | "utf-16le" | "utf-16be" => Charset::Utf16,
            other => Charset::Other(other.to_owned()),
        }
    }
}

/// What follows an opening quote: the value with its escapes resolved, and the text behind it.
fn unquoted(quoted: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next() {
            Some('"') => break,
            Some('\\') => value.extend(chars.next()),
            Some(c) => value.push(c),
            None => return Err("a quoted value without its closing quote"),
        }
    }
    let after = chars.as_str().trim_start_matches([' ', '\t']);
    if after.is_empty() || after.starts_with(';') {
        Ok((value, after))
    } else {
        Err("a quoted value followed by something other than ';'")
    }
}

/// A token of RFC 2045 §5.1.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}
