//! Identifiers of the framework: parsed at the edge, unmakeable otherwise.
//!
//! Every type here has one constructor, `parse`, and gives back exactly the form the standard
//! wants on the wire. None of them accepts white space around the value: trimming is the
//! reader's business, since only the reader knows where the standard allows it.

use std::fmt;
use std::sync::Arc;

/// Why a text is not the identifier it should be; the text itself is never repeated, since it
/// may identify a patient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: {why}")]
pub struct InvalidId {
    /// The type that was expected, in the standard's word.
    pub what: &'static str,
    /// The rule that is broken.
    pub why: &'static str,
}

fn invalid(what: &'static str, why: &'static str) -> InvalidId {
    InvalidId { what, why }
}

/// Tells whether a text is an OID: dotted arcs without leading zeros, two or more, at most 64
/// characters (ITI TF-3 Table 4.2.3.1.7-2).
pub fn is_oid(text: &str) -> bool {
    if text.len() > 64 {
        return false;
    }
    let mut arcs = 0;
    for arc in text.split('.') {
        arcs += 1;
        let bytes = arc.as_bytes();
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) || (bytes.len() > 1 && bytes[0] == b'0') {
            return false;
        }
    }
    arcs >= 2 && matches!(text.as_bytes()[0], b'0'..=b'2')
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it travels on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

text_id! {
    /// An object identifier in bare dotted form (ITI TF-3 §4.2.3.1.7).
    Oid
}

impl Oid {
    /// Reads the bare dotted form.
    ///
    /// # Errors
    /// When the text breaks the OID syntax.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_oid(text) {
            Ok(Self(text.into()))
        } else {
            Err(invalid("OID", "two or more dotted numbers without leading zeros, at most 64 characters"))
        }
    }
}

text_id! {
    /// The identity of a community: `urn:oid:` and an OID (ITI TF-2 §3.38.4.1.2).
    HomeCommunityId
}

impl HomeCommunityId {
    /// Reads `urn:oid:…`; the scheme in any case, as peers write it, kept in lower case.
    ///
    /// # Errors
    /// When the scheme or the OID is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let scheme = text.get(..8).filter(|s| s.eq_ignore_ascii_case("urn:oid:"));
        let Some(_) = scheme else {
            return Err(invalid("homeCommunityId", "it starts with urn:oid:"));
        };
        let oid = &text[8..];
        if !is_oid(oid) {
            return Err(invalid("homeCommunityId", "an OID of at most 64 characters follows urn:oid:"));
        }
        if text.starts_with("urn:oid:") { Ok(Self(text.into())) } else { Ok(Self(format!("urn:oid:{oid}").into())) }
    }

    /// Reads one as peers write it: some leave the scheme out (seen in ITI-39 requests).
    ///
    /// # Errors
    /// When it is no OID with or without the scheme.
    pub fn parse_lenient(text: &str) -> Result<Self, InvalidId> {
        if is_oid(text) { Ok(Self(format!("urn:oid:{text}").into())) } else { Self::parse(text) }
    }

    /// The bare OID, as HL7 v3 messages carry it.
    pub fn oid(&self) -> &str {
        &self.0[8..]
    }
}

text_id! {
    /// The identity of a Document Repository, an OID (ITI TF-3 §4.2.3.2.26).
    RepositoryUniqueId
}

impl RepositoryUniqueId {
    /// Reads the bare dotted form.
    ///
    /// # Errors
    /// When the text is no OID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_oid(text) { Ok(Self(text.into())) } else { Err(invalid("repositoryUniqueId", "it is an OID")) }
    }
}

text_id! {
    /// The globally unique id of a document, opaque to its receivers (ITI TF-3 §4.2.3.2.27).
    UniqueId
}

impl UniqueId {
    /// Reads an identifier: not empty, at most 256 characters, nothing that is invisible.
    ///
    /// # Errors
    /// When the text is empty, too long or has control characters or blanks in it.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(invalid("uniqueId", "it is empty"));
        }
        if text.chars().count() > 256 {
            return Err(invalid("uniqueId", "at most 256 characters"));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(invalid("uniqueId", "no blanks or control characters"));
        }
        Ok(Self(text.into()))
    }
}

/// The entryUUID of a registry object (ITI TF-3 §4.2.3.1.5), sixteen bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryUuid(pub [u8; 16]);

/// Length of `urn:uuid:` and the 36 characters behind it.
const UUID_URN: usize = 45;

impl EntryUuid {
    /// A fresh random one (RFC 9562 version 4).
    pub fn random() -> Self {
        Self(*uuid::Uuid::new_v4().as_bytes())
    }

    /// Reads `urn:uuid:` and 8-4-4-4-12 hexadecimal digits.
    ///
    /// DECISION(ITI TF-3 §4.2.3.1.5): upper-case digits are read and written back in lower case,
    /// so that no two spellings of one id are ever stored.
    ///
    /// # Errors
    /// When the scheme, the length or a digit is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let why = "urn:uuid: and 8-4-4-4-12 hexadecimal digits";
        let bytes = text.as_bytes();
        if bytes.len() != UUID_URN || !text.starts_with("urn:uuid:") {
            return Err(invalid("UUID", why));
        }
        uuid::Uuid::try_parse(&text[9..]).map(|uuid| Self(*uuid.as_bytes())).map_err(|_| invalid("UUID", why))
    }

    /// The id of the `ordinal`-th classification or identifier inside this object, derived
    /// rather than stored, hence stable over all answers (RFC 9562 version 8).
    pub fn derived(&self, ordinal: u16) -> Self {
        let mut bytes = self.0;
        let [high, low] = (ordinal.wrapping_add(1)).to_be_bytes();
        bytes[14] ^= high;
        bytes[15] ^= low;
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        Self(bytes)
    }

    /// Writes the URN form into a buffer without allocating.
    pub fn write_urn(&self, out: &mut Vec<u8>) {
        let mut buffer = [0_u8; UUID_URN];
        out.extend_from_slice(self.encode_urn(&mut buffer).as_bytes());
    }

    /// The URN form in the caller's buffer.
    pub fn encode_urn<'b>(&self, buffer: &'b mut [u8; UUID_URN]) -> &'b str {
        uuid::Uuid::from_bytes(self.0).urn().encode_lower(buffer)
    }
}

impl fmt::Display for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0).urn(), f)
    }
}

impl fmt::Debug for EntryUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryUuid({self})")
    }
}

/// A patient identifier with its assigning authority: `id^^^&OID&ISO`, the CX of the framework
/// (ITI TF-3 Table 4.2.3.1.7-2). Compared as the pair of both.
///
/// `Debug` shows the assigning authority only: the identifier names a person.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PatientId {
    id: Arc<str>,
    authority: Oid,
}

impl PatientId {
    /// Reads `id^^^&OID&ISO`.
    ///
    /// # Errors
    /// When a component is missing, or one is there that the framework forbids.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const WHAT: &str = "patient id (CX)";
        let mut components = text.split('^');
        let id = components.next().unwrap_or_default();
        if id.is_empty() || id.contains('&') {
            return Err(invalid(WHAT, "CX.1, the identifier, is required and has no subcomponents"));
        }
        for _ in 2..=3 {
            match components.next() {
                Some("") => {}
                _ => return Err(invalid(WHAT, "CX.2 and CX.3 are empty, CX.4 is required: id^^^&OID&ISO")),
            }
        }
        let Some(authority) = components.next() else {
            return Err(invalid(WHAT, "CX.4, the assigning authority, is required: id^^^&OID&ISO"));
        };
        if components.any(|rest| !rest.is_empty()) {
            return Err(invalid(WHAT, "components after CX.4 are forbidden"));
        }
        let mut parts = authority.split('&');
        let (namespace, oid, kind) = (parts.next(), parts.next(), parts.next());
        if namespace != Some("") {
            return Err(invalid(WHAT, "CX.4.1, the namespace, is empty: &OID&ISO"));
        }
        if kind != Some("ISO") || parts.any(|rest| !rest.is_empty()) {
            return Err(invalid(WHAT, "CX.4.3 is ISO: &OID&ISO"));
        }
        let authority = Oid::parse(oid.unwrap_or_default())
            .map_err(|_| invalid(WHAT, "CX.4.2, the assigning authority, is an OID"))?;
        Ok(Self { id: super::hl7::unescape(id).into(), authority })
    }

    /// Builds one from its two halves.
    ///
    /// # Errors
    /// When the identifier is empty.
    pub fn new(id: &str, authority: Oid) -> Result<Self, InvalidId> {
        if id.is_empty() {
            return Err(invalid("patient id (CX)", "the identifier is empty"));
        }
        Ok(Self { id: id.into(), authority })
    }

    /// The identifier alone (CX.1), unescaped.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The assigning authority (CX.4.2).
    pub fn authority(&self) -> &Oid {
        &self.authority
    }

    /// The CX form, for the wire. Not `Display`, so that none slips into a log line.
    pub fn to_cx(&self) -> String {
        format!("{}^^^&{}&ISO", super::hl7::escape(&self.id), self.authority)
    }
}

impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PatientId(…^^^&{}&ISO)", self.authority)
    }
}

/// What the identifiers of a patient domain must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierRule {
    /// Anything.
    Any,
    /// An NHS number: ten digits, the last of them a check digit of modulus 11.
    NhsNumber {
        /// Whether numbers that begin with 999, which no person has, are taken.
        test_numbers: bool,
    },
}

impl IdentifierRule {
    /// Whether an identifier keeps the rule.
    ///
    /// # Errors
    /// The rule that is broken, without the identifier.
    pub fn judge(self, id: &str) -> Result<(), &'static str> {
        let Self::NhsNumber { test_numbers } = self else { return Ok(()) };
        let digits: Option<Vec<u32>> = id.chars().map(|c| c.to_digit(10)).collect();
        let Some((check, digits)) = digits.as_deref().filter(|digits| digits.len() == 10).and_then(<[u32]>::split_last)
        else {
            return Err("an NHS number has ten digits and nothing else");
        };
        let sum: u32 = (2..=10).rev().zip(digits).map(|(weight, digit)| weight * digit).sum();
        // 11 - remainder; 11 counts as 0, and 10 is never issued.
        if (11 - sum % 11) % 11 != *check {
            return Err("the check digit of the NHS number is wrong");
        }
        if !test_numbers && id.starts_with("999") {
            return Err("NHS numbers that begin with 999 are for tests only");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nhs_numbers() {
        let rule = IdentifierRule::NhsNumber { test_numbers: true };
        for good in ["9434765919", "9990000018"] {
            assert_eq!(rule.judge(good), Ok(()), "{good}");
        }
        for bad in ["9434765918", "943476591", "94347659190", "abcdefghij", ""] {
            assert!(rule.judge(bad).is_err(), "{bad}");
        }
        assert!(IdentifierRule::NhsNumber { test_numbers: false }.judge("9990000018").is_err());
    }

    #[test]
    fn oids() {
        for good in ["2.999", "1.2.840.10008", "0.9.2342", "2.999.0.1"] {
            assert!(is_oid(good), "{good}");
        }
        for bad in ["", "2", "2.", ".2", "2.999.05.1", "2..3", "3.1x", "2 .3", "9.1"] {
            assert!(!is_oid(bad), "{bad}");
        }
        assert!(!is_oid(&format!("2.{}", "1".repeat(63))));
    }

    #[test]
    fn cx_vectors_of_the_framework() {
        let ok = PatientId::parse("PX-881^^^&2.999.50.100&ISO").unwrap();
        assert_eq!((ok.id(), ok.authority().as_str()), ("PX-881", "2.999.50.100"));
        assert_eq!(PatientId::parse(r"A\E\B^^^&2.999.1&ISO").unwrap().id(), r"A\B");
        for bad in [
            "PX-881^^^NS&2.999.50.100&ISO",
            "PX-881^^^&2.999.50.100&ISO^PI",
            "PX-881^^^2.999.50.100",
            "^^^&2.999.1&ISO",
            "PX-881",
            "PX-881^^^&2.999.1&UUID",
            "PX-881^x^^&2.999.1&ISO",
        ] {
            assert!(PatientId::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(PatientId::parse("A^^^&2.999.1&ISO^^").unwrap().to_cx(), "A^^^&2.999.1&ISO");
    }

    #[test]
    fn debug_shows_no_patient() {
        let id = PatientId::parse("9990010226^^^&2.999.1&ISO").unwrap();
        assert!(!format!("{id:?}").contains("9990010226"));
    }

    #[test]
    fn uuids() {
        let text = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d";
        let id = EntryUuid::parse(text).unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(EntryUuid::parse("urn:uuid:14D4DEBF-8F97-4251-9A74-A90016B0AF0D").unwrap(), id);
        assert_ne!(id.derived(0), id);
        assert_ne!(id.derived(0), id.derived(1));
        for bad in
            ["", "urn:uuid:", "14d4debf-8f97-4251-9a74-a90016b0af0d", "urn:uuid:14d4debf8f9742519a74a90016b0af0d"]
        {
            assert!(EntryUuid::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn homes() {
        assert_eq!(HomeCommunityId::parse("URN:OID:2.999.1").unwrap().as_str(), "urn:oid:2.999.1");
        assert!(HomeCommunityId::parse("2.999.1").is_err());
        assert!(HomeCommunityId::parse("urn:oid:2.999.01").is_err());
    }
}
