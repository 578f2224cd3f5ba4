//! The subject of a certificate as people write it, to be held against the one that is shown.
//!
//! Tools write one name in many ways: the most specific part first (RFC 4514, Windows) or last (openssl, which
//! follows the encoding), with spaces or without, with long names of attributes or short ones. Where no attribute is
//! there twice the order says nothing of who is named, and does not count here. Where one is, as two
//! organisational units, it does: one unit within another is not the other within the one. Then the whole may be
//! written from either end, but not in any order. Values count to the letter, capitals and all.

use std::fmt;

/// A name with more attributes than this is no name of a gateway.
const MOST_ATTRIBUTES: usize = 64;

/// Attributes of names (RFC 4519, and what authorities use besides) as certificates of callers are printed here, with
/// further names that tools have for them, in small letters.
const KINDS: &[(&str, &[&str])] = &[
    ("CN", &["commonname", "2.5.4.3"]),
    ("OU", &["organizationalunitname", "2.5.4.11"]),
    ("O", &["organizationname", "2.5.4.10"]),
    ("L", &["localityname", "2.5.4.7"]),
    ("ST", &["s", "sp", "stateorprovincename", "2.5.4.8"]),
    ("C", &["countryname", "2.5.4.6"]),
    ("DC", &["domaincomponent", "0.9.2342.19200300.100.1.25"]),
    ("UID", &["userid", "0.9.2342.19200300.100.1.1"]),
    ("uniqueIdentifier", &["0.9.2342.19200300.100.1.44"]),
    ("mail", &["rfc822mailbox", "0.9.2342.19200300.100.1.3"]),
    ("unstructuredName", &["1.2.840.113549.1.9.2"]),
    ("unstructuredAddress", &["1.2.840.113549.1.9.8"]),
    ("postalAddress", &["2.5.4.16"]),
    ("postOfficeBox", &["2.5.4.18"]),
    ("telephoneNumber", &["2.5.4.20"]),
    ("generationQualifier", &["2.5.4.44"]),
    ("x500UniqueIdentifier", &["2.5.4.45"]),
    ("houseIdentifier", &["2.5.4.51"]),
    ("pseudonym", &["2.5.4.65"]),
    ("role", &["2.5.4.72"]),
    ("INN", &["1.2.643.3.131.1.1"]),
    ("OGRN", &["1.2.643.100.1"]),
    ("SNILS", &["1.2.643.100.3"]),
    ("serialNumber", &["2.5.4.5"]),
    ("emailAddress", &["e", "email", "1.2.840.113549.1.9.1"]),
    ("organizationIdentifier", &["2.5.4.97"]),
    ("businessCategory", &["2.5.4.15"]),
    ("postalCode", &["2.5.4.17"]),
    ("street", &["streetaddress", "2.5.4.9"]),
    ("title", &["2.5.4.12"]),
    ("description", &["2.5.4.13"]),
    ("dnQualifier", &["2.5.4.46"]),
    ("SN", &["surname", "2.5.4.4"]),
    ("GN", &["g", "givenname", "2.5.4.42"]),
    ("initials", &["2.5.4.43"]),
    ("name", &["2.5.4.41"]),
    ("jurisdictionC", &["1.3.6.1.4.1.311.60.2.1.3"]),
    ("jurisdictionST", &["1.3.6.1.4.1.311.60.2.1.2"]),
    ("jurisdictionL", &["1.3.6.1.4.1.311.60.2.1.1"]),
];

/// A subject, compared by its attributes.
#[derive(Clone, PartialEq, Eq)]
pub struct Subject(Vec<Attribute>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    kind: String,
    value: String,
}

/// Why a text names no subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSubject {
    /// What is wrong with it.
    pub what: &'static str,
}

impl From<&'static str> for NoSubject {
    fn from(what: &'static str) -> Self {
        Self { what }
    }
}

impl Subject {
    /// Reads what somebody has written, or copied from a tool.
    ///
    /// # Errors
    /// When it would be no certificate's, or it is not certain whose.
    pub fn parse(text: &str) -> Result<Self, NoSubject> {
        let text = text.trim();
        let text = match text.get(..8) {
            Some(start) if start.eq_ignore_ascii_case("subject=") || start.eq_ignore_ascii_case("subject:") => {
                text.get(8..).unwrap_or_default().trim_start()
            }
            _ => text,
        };
        if text.starts_with('/') {
            return Err("with slashes between it cannot be told where a value ends".into());
        }
        let attributes = attributes(text)?;
        let is_known = |kind: &str| KINDS.iter().any(|(name, _)| *name == kind) || kind.contains('.');
        if !attributes.iter().all(|attribute| is_known(&attribute.kind)) {
            return Err("it has an attribute that names of certificates have not".into());
        }
        Ok(Self::of(attributes))
    }

    /// Of a certificate, as RFC 4514 writes it.
    pub fn shown(text: &str) -> Option<Self> {
        attributes(text).ok().map(Self::of)
    }

    /// Whether both are of the same certificates. Where the order counts, and a common name at one end tells which end
    /// is which, one may be written from the other end than the other: authorities encode names in either
    /// direction, and tools print them so.
    pub fn is(&self, other: &Self) -> bool {
        let named = |attribute: Option<&Attribute>| attribute.is_some_and(|attribute| attribute.kind == "CN");
        self == other || (named(self.0.first()) != named(self.0.last()) && self.0.iter().rev().eq(other.0.iter()))
    }

    /// Its organisation.
    pub fn organization(&self) -> Option<&str> {
        self.0.iter().find(|attribute| attribute.kind == "O").map(|attribute| attribute.value.as_str())
    }

    fn of(mut attributes: Vec<Attribute>) -> Self {
        if !order_counts(&attributes) {
            attributes.sort_by_cached_key(|attribute| (rank(&attribute.kind), attribute.kind.clone()));
        }
        Self(attributes)
    }

    /// Its most specific common name.
    pub fn common_name(&self) -> Option<&str> {
        self.0.iter().find(|attribute| attribute.kind == "CN").map(|attribute| attribute.value.as_str())
    }

    /// Whether it is a common name and nothing else.
    pub fn is_bare_name(&self) -> bool {
        matches!(self.0.as_slice(), [only] if only.kind == "CN")
    }
}

/// The order in which attributes are usually written.
fn rank(kind: &str) -> usize {
    KINDS.iter().position(|(name, _)| *name == kind).unwrap_or(KINDS.len())
}

fn order_counts(attributes: &[Attribute]) -> bool {
    let mut kinds: Vec<&str> = attributes.iter().map(|attribute| attribute.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Attribute { kind, value }) in self.0.iter().enumerate() {
            write!(f, "{}{kind}=", if at == 0 { "" } else { "," })?;
            let last = value.chars().count().saturating_sub(1);
            for (at, c) in value.chars().enumerate() {
                let at_edge = (c == ' ' && (at == 0 || at == last)) || (c == '#' && at == 0);
                if at_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name under which an attribute is compared.
fn kind(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        return None;
    }
    let small = text.to_ascii_lowercase();
    let bare = small.strip_prefix("oid.").unwrap_or(&small);
    let known = KINDS.iter().find(|(name, others)| name.eq_ignore_ascii_case(bare) || others.contains(&bare));
    Some(known.map_or_else(|| bare.to_owned(), |(name, _)| (*name).to_owned()))
}

/// Attributes in the order of the text, with what tools escape taken back (RFC 4514 §3, and quotes as openssl
/// and older texts have them). Several in one part, with a plus sign between, count as so many parts.
fn attributes(text: &str) -> Result<Vec<Attribute>, NoSubject> {
    const COMMA: &str = "after a comma or a plus sign it has no NAME=: within a value they are written \\, and \\+";
    let mut attributes = Vec::new();
    let mut rest = text;
    loop {
        let (name, behind) = rest.split_once('=').ok_or(COMMA)?;
        let kind = kind(name).ok_or(COMMA)?;
        let (value, behind) = value(behind.trim_start_matches(' '))?;
        attributes.push(Attribute { kind, value });
        if attributes.len() > MOST_ATTRIBUTES {
            return Err("it has too many attributes".into());
        }
        match behind {
            Some(behind) => rest = behind,
            None => return Ok(attributes),
        }
    }
}

/// A value and what follows the comma or the plus sign behind it.
fn value(text: &str) -> Result<(String, Option<&str>), NoSubject> {
    if text.starts_with('#') {
        return Err("a value is in hexadecimal, which cannot be compared".into());
    }
    let (text, is_quoted) = text.strip_prefix('"').map_or((text, false), |inner| (inner, true));
    let mut octets: Vec<u8> = Vec::new();
    // Up to here spaces are the value's own.
    let mut own = 0;
    let mut at = 0;
    let mut is_open = is_quoted;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        at += c.len_utf8();
        match c {
            '\\' if is_open || !is_quoted => {
                let pair = text.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
                if let Some(octet) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
                    octets.push(octet);
                    at += 2;
                } else {
                    let escaped = text.get(at..).and_then(|rest| rest.chars().next());
                    let escaped = escaped.ok_or("it ends with a backslash")?;
                    octets.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                    at += escaped.len_utf8();
                }
                own = octets.len();
            }
            '"' if is_open => {
                is_open = false;
                own = octets.len();
            }
            ',' | '+' if !is_open => return Ok((ended(octets, own)?, text.get(at..))),
            _ if is_quoted && !is_open && c != ' ' => return Err("something follows a closing quote".into()),
            _ => {
                octets.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                if c != ' ' || is_open {
                    own = octets.len();
                }
            }
        }
    }
    if is_open { Err("a quote is not closed".into()) } else { Ok((ended(octets, own)?, None)) }
}

fn ended(mut octets: Vec<u8>, own: usize) -> Result<String, NoSubject> {
    octets.truncate(own);
    String::from_utf8(octets).map_err(|_| "a value is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is(written: &str, shown: &str) -> bool {
        let written = Subject::parse(written).unwrap_or_else(|error| panic!("{written}: {error:?}"));
        let shown = Subject::shown(shown).unwrap();
        assert_eq!(written.is(&shown), shown.is(&written));
        written.is(&shown)
    }

    #[test]
    fn the_same_name_in_the_ways_of_several_tools() {
        let shown = "CN=gw.north.example,OU=Digital\\, Data,O=North Trust,L=Leeds,ST=Yorkshire,C=GB";
        for written in [
            shown,
            "C = GB, ST = Yorkshire, L = Leeds, O = North Trust, OU = \"Digital, Data\", CN = gw.north.example",
            "subject=C=GB, ST=Yorkshire, L=Leeds, O=North Trust, OU=Digital\\, Data, CN=gw.north.example",
            "Subject: CN=gw.north.example, OU=\"Digital, Data\", O=North Trust, L=Leeds, S=Yorkshire, C=GB",
            "cn=gw.north.example,ou=Digital\\2C Data,o=North Trust,l=Leeds,st=Yorkshire,c=GB",
            "O=North Trust,CN=gw.north.example,C=GB,OU=Digital\\, Data,ST=Yorkshire,L=Leeds",
            "commonName=gw.north.example,organizationalUnitName=Digital\\, Data,OID.2.5.4.10=North Trust,L=Leeds,ST=Yorkshire,C=GB",
        ] {
            assert!(is(written, shown), "{written}");
        }
        assert!(is("CN=a + serialNumber=7, O=b", "serialNumber=7,CN=a,O=b"));
        assert!(is("CN=J\\C3\\BCrgen", "CN=Jürgen") && is("CN=J\\C3\\BCrgen", "CN=J\\c3\\bcrgen"));
        assert!(is("1.2.3.4=x,CN=a", "CN=a,1.2.3.4=x"));
    }

    #[test]
    fn nobody_else_is_meant() {
        for (written, shown) in [
            ("CN=North", "CN=North,O=Trust"),
            ("CN=North,O=Trust", "CN=North"),
            ("CN=North,O=Trust", "CN=north,O=Trust"),
            ("CN=North,O=Trust", "O=North,CN=Trust"),
            ("CN=North,O=Trust", "CN=North\\,O\\=Trust"),
            ("CN=North", "CN=North\\ "),
            ("CN=North", "CN=\\ North"),
            ("CN=North,O=Trust", "CN=North,O=Trust,O=Trust"),
            // One unit within another is not the other within the one.
            ("CN=x,OU=A,OU=B", "CN=x,OU=B,OU=A"),
            ("DC=nhs,DC=uk", "DC=uk,DC=nhs"),
            ("CN=x,OU=A,OU=B", "OU=A,OU=B,CN=x"),
        ] {
            assert!(!is(written, shown), "{written} {shown}");
        }
        assert!(is("CN=x,OU=A,OU=B", "CN=x,OU=A,OU=B"));
    }

    #[test]
    fn what_would_be_no_certificates_is_refused() {
        for wrong in [
            "",
            "CN",
            "CN=a,",
            "CN=a, Inc,O=b",
            "=a",
            "CN=\"a\"\\b",
            "/O=Trust/CN=North",
            "subject=/O=Trust/CN=North",
            "CM=North,O=Trust",
            "C N=North",
            "CN=#0c0141",
            "CN=\"a",
            "CN=\"a\"b",
            "CN=a\\",
            "CN=\\ff",
            &"CN=a,".repeat(MOST_ATTRIBUTES + 1),
        ] {
            assert!(Subject::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn where_the_order_counts_a_name_is_read_from_either_end() {
        // As openssl writes it unless told otherwise; and as a certificate shows it that was made from the other end.
        for shown in ["CN=x,OU=B\\, C,OU=A,O=Trust", "O=Trust,OU=A,OU=B\\, C,CN=x"] {
            for written in ["O = Trust, OU = A, OU = \"B, C\", CN = x", "CN=x,OU=B\\, C,OU=A,O=Trust"] {
                assert!(is(written, shown), "{written} {shown}");
            }
            assert!(!is("CN=x,OU=A,OU=B\\, C,O=Trust", shown), "{shown}");
        }
    }

    #[test]
    fn attributes_that_certificates_show_are_known_by_name_and_by_number() {
        for (name, number) in
            [("unstructuredName", "1.2.840.113549.1.9.2"), ("pseudonym", "2.5.4.65"), ("role", "2.5.4.72")]
        {
            let shown = format!("{name}=gw1,CN=north,OU=");
            assert!(is(&shown, &shown) && is(&format!("CN=north,{number}=gw1,ou="), &shown), "{name}");
        }
    }

    #[test]
    fn common_names() {
        let of = |text: &str| Subject::parse(text).unwrap();
        assert_eq!((of("O=b,CN=a").common_name(), of("O=b").common_name()), (Some("a"), None));
        assert!(of("CN=a").is_bare_name() && !of("CN=a,O=b").is_bare_name() && !of("O=b").is_bare_name());
        assert_eq!(format!("{} {:?}", of("O=b, CN=a"), of("O=b, CN=a")), "CN=a,O=b CN=a,O=b");
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[CNOU=,+\" \\\\#a-f0-9ü]{0,40}") {
            if let Ok(subject) = Subject::parse(&text) {
                // What is written of it names the same.
                prop_assert_eq!(Subject::shown(&subject.to_string()), Some(subject));
            }
        }
    }
}
