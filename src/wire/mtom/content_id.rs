//! Names of parts: `Content-ID: <…>` on the part, `cid:…` in the envelope (RFC 2392).

use super::{MtomError, printable};
use std::fmt;

/// The name of a part, without brackets and without `cid:` (RFC 2392; XOP 1.0 §4.1).
///
/// Senders disagree on which side is percent-encoded, so both forms are kept: as received, which
/// is what equality compares (case-sensitively), and decoded. Whether a part is the one that a
/// reference means is for [`ContentId::rank`] to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId {
    raw: String,
    // None where decoding changes nothing, which is nearly always
    decoded: Option<String>,
}

impl ContentId {
    /// From a `Content-ID` header or a `start` parameter, with or without angle brackets.
    pub fn from_header(value: &str) -> Result<Self, MtomError> {
        let value = value.trim();
        let value = value.strip_prefix('<').unwrap_or(value);
        Self::new(value.strip_suffix('>').unwrap_or(value).trim())
    }

    /// From the `href` of an `xop:Include`; anything but `cid:` is refused (XOP 1.0 §5, RFC 2392).
    pub fn from_href(href: &str) -> Result<Self, MtomError> {
        let href = href.trim();
        match href.split_at_checked(4) {
            Some((scheme, id)) if scheme.eq_ignore_ascii_case("cid:") => Self::new(id),
            _ => Err(MtomError::ForeignReference { found: printable(href) }),
        }
    }

    fn new(id: &str) -> Result<Self, MtomError> {
        let reason = if id.is_empty() {
            "is empty"
        } else if id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            "contains white space or a control character"
        } else {
            return Ok(Self { raw: id.to_owned(), decoded: percent_decoded(id) });
        };
        Err(MtomError::InvalidContentId { reason })
    }

    /// The id as received, without brackets.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// The id with `%XX` resolved; `+` stays `+`. The same as [`ContentId::as_str`] where that
    /// would not be UTF-8.
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.raw)
    }

    /// How well this part's id answers a reference: 1 as written, 2 with the reference decoded,
    /// 3 with both decoded, `None` not at all. Where several fit, the lowest rank wins.
    pub fn rank(&self, reference: &ContentId) -> Option<u8> {
        if self.raw == reference.raw {
            Some(1)
        } else if self.raw == reference.decoded() {
            Some(2)
        } else if self.decoded() == reference.decoded() {
            Some(3)
        } else {
            None
        }
    }

    /// Position of the first reference that fits this part's id best, if any does.
    pub fn best_match<'a>(&self, references: impl IntoIterator<Item = &'a ContentId>) -> Option<usize> {
        references
            .into_iter()
            .enumerate()
            .filter_map(|(at, reference)| Some((self.rank(reference)?, at)))
            .min()
            .map(|(_, at)| at)
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.raw)
    }
}

/// `%XX` resolved, or nothing where that changes nothing. A `%` without two digits stays as it is.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits =
            after.split_first_chunk::<2>().and_then(|(&[high, low], tail)| Some((hex(high)? << 4 | hex(low)?, tail)));
        match digits {
            Some((value, tail)) if byte == b'%' => {
                out.push(value);
                rest = tail;
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).ok().filter(|decoded| decoded != text)
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> ContentId {
        ContentId::from_header(text).expect(text)
    }

    fn href(text: &str) -> ContentId {
        ContentId::from_href(text).expect(text)
    }

    #[test]
    fn every_pairing_of_header_and_reference() {
        let cases: &[(&str, &str, Option<u8>)] = &[
            ("<1.7f3a@broker.example>", "cid:1.7f3a@broker.example", Some(1)),
            ("  <a@b>\t", "CID:a@b", Some(1)),
            ("a@b", "cid:a@b", Some(1)),
            ("<a@b", "cid:a@b", Some(1)),
            // .NET escapes the reference only
            ("<http://tempuri.org/1/635>", "cid:http%3A%2F%2Ftempuri.org%2F1%2F635", Some(2)),
            ("<a@b>", "cid:a%40b", Some(2)),
            ("a@b", "cid:a%40b", Some(2)),
            // CXF 3.5.3 and later escapes the header too
            ("<u%40urn%3Aihe>", "cid:u%40urn%3Aihe", Some(1)),
            ("<u%40urn%3Aihe>", "cid:u@urn:ihe", Some(3)),
            ("<u%40urn%3aihe>", "cid:u%40urn%3Aihe", Some(3)),
            // a % that belongs to the id, escaped as the RFC has it
            ("<50%25@b>", "cid:50%2525@b", Some(2)),
            // Axis2: colons inside
            ("<0.urn:uuid:5A@apache.org>", "cid:0.urn:uuid:5A@apache.org", Some(1)),
            ("<0.urn:uuid:5A@apache.org>", "cid:0.urn%3Auuid%3A5A@apache.org", Some(2)),
            ("<rootpart*7@example.jaxws.sun.com>", "cid:rootpart*7@example.jaxws.sun.com", Some(1)),
            ("<a+b@c>", "cid:a+b@c", Some(1)),
            ("<a b@c>", "cid:a+b@c", None),
            ("<a+b@c>", "cid:a%2Bb@c", Some(2)),
            ("<a+b@c>", "cid:a%20b@c", None),
            ("<A@b>", "cid:a@b", None),
            ("<100%@b>", "cid:100%@b", Some(1)),
            ("<%zz%4>", "cid:%zz%4", Some(1)),
            ("<%ff@b>", "cid:%FF@b", None),
        ];
        for &(part, reference, rank) in cases {
            let Ok(part_id) = ContentId::from_header(part) else {
                assert_eq!(rank, None, "{part}");
                continue;
            };
            assert_eq!(part_id.rank(&href(reference)), rank, "{part} {reference}");
        }
    }

    #[test]
    fn the_exact_id_wins_over_the_decoded_one() {
        let references = [href("cid:a@b"), href("cid:a%40b"), href("cid:a%40b")];
        assert_eq!(header("<a%40b>").best_match(&references), Some(1));
        assert_eq!(header("<a@b>").best_match(&references), Some(0));
        assert_eq!(header("<c@d>").best_match(&references), None);
    }

    #[test]
    fn only_cid_references_are_followed() {
        for foreign in
            ["http://169.254.169.254/", "file:///etc/hosts", "attachment", "", "cid", "cíd:", "mid:a@b", "\u{1}\u{7f}"]
        {
            assert!(matches!(ContentId::from_href(foreign), Err(MtomError::ForeignReference { .. })), "{foreign}");
        }
        for empty in ["cid:", "cid:a b", "cid:a\nb"] {
            assert!(matches!(ContentId::from_href(empty), Err(MtomError::InvalidContentId { .. })), "{empty}");
        }
        for empty in ["", "<>", " ", "<a\0b>", "< >"] {
            assert!(ContentId::from_header(empty).is_err(), "{empty}");
        }
    }
}
