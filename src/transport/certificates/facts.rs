//! What a certificate states, once per connection.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use openssl::asn1::{Asn1IntegerRef, Asn1Time, Asn1TimeRef};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::Id;
use openssl::x509::{X509, X509ExtendedKeyUsage, X509KeyUsage, X509Name, X509NameRef, X509Ref};

use super::{
    CertificateError, DEVELOPMENT_MARK, MAX_CERTIFICATE_BYTES, MAX_CERTIFICATES_PER_FILE, SECONDS_PER_DAY, failed,
    unreadable,
};

/// What a certificate states about itself. Nothing here says that it is to be trusted.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Subject as RFC 4514 text, most specific part first.
    pub subject: String,
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// The most specific commonName; ITI-19 does not require one.
    pub common_name: Option<String>,
    /// Serial number as lower-case hexadecimal.
    pub serial: String,
    /// First moment of validity.
    pub not_before: Timestamp,
    /// Last moment of validity.
    pub not_after: Timestamp,
    /// DNS names of subjectAltName, as written.
    pub dns_names: Vec<String>,
    /// IP addresses of subjectAltName.
    pub ip_addresses: Vec<IpAddr>,
    /// SHA-256 of the DER bytes.
    pub fingerprint_sha256: [u8; 32],
    /// Made by a Causeway development authority.
    pub is_development: bool,
    /// For people: `EC P-256`, `RSA 2048`, …
    pub key_description: String,
    /// May sign other certificates.
    pub is_authority: bool,
    /// May be used by a server: extendedKeyUsage absent, or present with serverAuth.
    pub may_serve: bool,
    /// May be used by a client: extendedKeyUsage absent, or present with clientAuth.
    pub may_call: bool,
    /// How its issuer signed it: `ecdsa-with-SHA256`, `sha256WithRSAEncryption`, …
    pub signature_algorithm: String,
    /// The purposes that extendedKeyUsage allows, as far as they are known here; none if it is absent.
    pub purposes: Option<Vec<&'static str>>,
}

impl CertificateFacts {
    /// SHA-256 of the DER bytes as 64 lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        hex(&self.fingerprint_sha256)
    }

    /// Whole days until the certificate expires; negative once it has.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        days_between(now, self.not_after)
    }

    /// Whether a client that asks for `host` (DNS name or IP address) accepts this certificate;
    /// RFC 6125 §6.4: subjectAltName only, never commonName, a wildcard for one whole left label.
    pub fn covers_host(&self, host: &str) -> bool {
        covers_host(&self.dns_names, &self.ip_addresses, host)
    }
}

/// The same of the names of a certificate.
pub fn covers_host(dns_names: &[String], ip_addresses: &[IpAddr], host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return ip_addresses.contains(&address);
    }
    let host = bare.strip_suffix('.').unwrap_or(bare);
    dns_names.iter().any(|name| {
        if name.eq_ignore_ascii_case(host) {
            return true;
        }
        match (name.strip_prefix("*."), host.split_once('.')) {
            (Some(pattern), Some((label, rest))) => !label.is_empty() && pattern.eq_ignore_ascii_case(rest),
            _ => false,
        }
    })
}

impl fmt::Debug for CertificateFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFacts")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("serial", &self.serial)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .field("fingerprint_sha256", &self.fingerprint_hex())
            .finish_non_exhaustive()
    }
}

/// Reads one DER certificate (RFC 5280 §4.1).
pub fn facts(der: &[u8]) -> Result<CertificateFacts, CertificateError> {
    let certificate = read_certificate(der)?;
    facts_of(&certificate)
}

/// Reads every certificate of a PEM text, in the order written.
pub fn facts_from_pem(pem: &[u8]) -> Result<Vec<CertificateFacts>, CertificateError> {
    read_pem_certificates(pem)?.iter().map(|certificate| facts_of(certificate)).collect()
}

/// Whether a Causeway development authority made this certificate, or it is one.
///
/// Bytes that are no certificate are not development either: whoever asks refuses those by name.
pub fn is_development(der: &[u8]) -> bool {
    read_certificate(der).is_ok_and(|certificate| carries_mark(&certificate))
}

/// The issuer name exactly as encoded, to be compared byte by byte with a list's issuer.
pub fn issuer_der(der: &[u8]) -> Result<Vec<u8>, CertificateError> {
    read_certificate(der)?.issuer_name().to_der().map_err(unreadable("certificate"))
}

pub(super) fn read_certificate(der: &[u8]) -> Result<X509, CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::Unreadable {
            what: "certificate",
            reason: format!("longer than {MAX_CERTIFICATE_BYTES} bytes"),
        });
    }
    X509::from_der(der).map_err(unreadable("certificate"))
}

pub(super) fn read_pem_certificates(pem: &[u8]) -> Result<Vec<X509>, CertificateError> {
    let certificates = X509::stack_from_pem(pem).map_err(unreadable("PEM certificate"))?;
    if certificates.is_empty() {
        return Err(CertificateError::Unreadable {
            what: "PEM certificate",
            reason: "there is no BEGIN CERTIFICATE line".to_owned(),
        });
    }
    if certificates.len() > MAX_CERTIFICATES_PER_FILE {
        return Err(CertificateError::Unreadable {
            what: "PEM certificate",
            reason: format!("more than {MAX_CERTIFICATES_PER_FILE} certificates in one file"),
        });
    }
    Ok(certificates)
}

pub(super) fn facts_of(certificate: &X509Ref) -> Result<CertificateFacts, CertificateError> {
    let as_certificate = unreadable("certificate");
    let digest = certificate.digest(MessageDigest::sha256()).map_err(&as_certificate)?;
    let fingerprint_sha256: [u8; 32] = digest
        .as_ref()
        .try_into()
        .map_err(|_| CertificateError::Unreadable { what: "certificate", reason: "no SHA-256 of it".to_owned() })?;
    let mut dns_names = Vec::new();
    let mut ip_addresses = Vec::new();
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(dns) = name.dnsname() {
            dns_names.push(dns.to_owned());
        } else if let Some(bytes) = name.ipaddress() {
            if let Ok(four) = <[u8; 4]>::try_from(bytes) {
                ip_addresses.push(IpAddr::from(four));
            } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
                ip_addresses.push(IpAddr::from(sixteen));
            }
        }
    }
    let usage = certificate.extended_key_usage();
    let allows = |purpose: X509ExtendedKeyUsage| {
        usage.is_none_or(|u| u.contains(purpose) || u.contains(X509ExtendedKeyUsage::ANYEKU))
    };
    Ok(CertificateFacts {
        subject: name_text(certificate.subject_name())?,
        issuer: name_text(certificate.issuer_name())?,
        common_name: common_name(certificate.subject_name())?,
        serial: serial_hex(certificate.serial_number())?,
        not_before: timestamp(certificate.not_before())?,
        not_after: timestamp(certificate.not_after())?,
        dns_names,
        ip_addresses,
        fingerprint_sha256,
        is_development: carries_mark(certificate),
        key_description: key_description(certificate),
        is_authority: certificate.key_usage().is_some_and(|u| u.contains(X509KeyUsage::KEY_CERT_SIGN)),
        may_serve: allows(X509ExtendedKeyUsage::SSL_SERVER),
        may_call: allows(X509ExtendedKeyUsage::SSL_CLIENT),
        signature_algorithm: signature_algorithm(certificate),
        purposes: usage.map(purposes),
    })
}

/// The names of RFC 5280 §4.2.1.12.
fn purposes(usage: X509ExtendedKeyUsage) -> Vec<&'static str> {
    let known = [
        (X509ExtendedKeyUsage::SSL_SERVER, "serverAuth"),
        (X509ExtendedKeyUsage::SSL_CLIENT, "clientAuth"),
        (X509ExtendedKeyUsage::CODE_SIGN, "codeSigning"),
        (X509ExtendedKeyUsage::SMIME, "emailProtection"),
        (X509ExtendedKeyUsage::TIMESTAMP, "timeStamping"),
        (X509ExtendedKeyUsage::OCSP_SIGN, "OCSPSigning"),
        (X509ExtendedKeyUsage::ANYEKU, "anyExtendedKeyUsage"),
    ];
    known.into_iter().filter(|(purpose, _)| usage.contains(*purpose)).map(|(_, name)| name).collect()
}

fn signature_algorithm(certificate: &X509Ref) -> String {
    let object = certificate.signature_algorithm().object();
    match object.nid() {
        Nid::UNDEF => object.to_string(),
        known => known.long_name().map_or_else(|_| object.to_string(), str::to_owned),
    }
}

/// Whether one certificate is another's issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// By name and by signature.
    Yes,
    /// The name is right, but its key did not make the signature.
    NameOnly,
    /// It has another name.
    No,
}

/// Whether the DER certificate `issuer` issued the DER certificate `of`.
pub fn issued(of: &[u8], issuer: &[u8]) -> Result<Issued, CertificateError> {
    let (of, issuer) = (read_certificate(of)?, read_certificate(issuer)?);
    if !of.issuer_name().try_cmp(issuer.subject_name()).is_ok_and(|order| order.is_eq()) {
        return Ok(Issued::No);
    }
    let signed = issuer.public_key().and_then(|key| of.verify(&key));
    Ok(if matches!(signed, Ok(true)) { Issued::Yes } else { Issued::NameOnly })
}

/// A DER name as RFC 4514 text: a TLS server names the authorities it accepts so.
pub fn name_text_of(der: &[u8]) -> Result<String, CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::Unreadable { what: "name", reason: "too long".to_owned() });
    }
    name_text(&*X509Name::from_der(der).map_err(unreadable("name"))?)
}

fn carries_mark(certificate: &X509Ref) -> bool {
    [certificate.subject_name(), certificate.issuer_name()]
        .iter()
        .flat_map(|name| name.entries_by_nid(Nid::ORGANIZATIONALUNITNAME))
        .any(|entry| entry.data().to_string().is_ok_and(|text| text == DEVELOPMENT_MARK))
}

fn common_name(name: &X509NameRef) -> Result<Option<String>, CertificateError> {
    // The last one is the most specific (RFC 4514 §2.1 writes it first).
    let Some(entry) = name.entries_by_nid(Nid::COMMONNAME).last() else {
        return Ok(None);
    };
    let text = entry.data().to_string().map_err(unreadable("name"))?;
    // "gateway.example\0.other.example": what a C reader takes for the first half is a lie.
    if text.contains('\0') {
        return Err(CertificateError::Unreadable {
            what: "certificate",
            reason: "its commonName contains a zero character".to_owned(),
        });
    }
    Ok(Some(text))
}

/// RFC 4514 text of a name. Characters that could forge or hide part of a log line are escaped.
pub(super) fn name_text(name: &X509NameRef) -> Result<String, CertificateError> {
    let mut parts = Vec::new();
    for entry in name.entries() {
        let value = entry.data().to_string().map_err(unreadable("name"))?;
        let object = entry.object();
        let label = match object.nid() {
            Nid::UNDEF => object.to_string(),
            known => known.short_name().map_or_else(|_| object.to_string(), str::to_owned),
        };
        parts.push(format!("{label}={}", escape_value(&value)));
    }
    parts.reverse();
    Ok(parts.join(","))
}

/// RFC 4514 §2.4, with control and invisible direction characters as hexadecimal pairs as well.
fn escape_value(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let edge_space = c == ' ' && (index == 0 || index == last);
        if matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=') || edge_space || (c == '#' && index == 0) {
            out.push('\\');
            out.push(c);
        } else if c.is_control() || is_invisible(c) {
            let mut buffer = [0; 4];
            for byte in c.encode_utf8(&mut buffer).bytes() {
                out.push('\\');
                out.push_str(&hex(&[byte]));
            }
        } else {
            out.push(c);
        }
    }
    out
}

pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn key_description(certificate: &X509Ref) -> String {
    let Ok(key) = certificate.public_key() else {
        return "unknown".to_owned();
    };
    match key.id() {
        Id::RSA => format!("RSA {}", key.bits()),
        Id::RSA_PSS => format!("RSA-PSS {}", key.bits()),
        Id::EC => match key.ec_key().ok().and_then(|ec| ec.group().curve_name()) {
            Some(Nid::X9_62_PRIME256V1) => "EC P-256".to_owned(),
            Some(Nid::SECP384R1) => "EC P-384".to_owned(),
            Some(Nid::SECP521R1) => "EC P-521".to_owned(),
            Some(other) => format!("EC {}", other.short_name().unwrap_or("unknown curve")),
            None => "EC".to_owned(),
        },
        Id::ED25519 => "Ed25519".to_owned(),
        Id::ED448 => "Ed448".to_owned(),
        Id::DSA => format!("DSA {}", key.bits()),
        _ => format!("unknown, {} bits", key.bits()),
    }
}

pub(super) fn serial_hex(serial: &Asn1IntegerRef) -> Result<String, CertificateError> {
    let number = serial.to_bn().map_err(unreadable("serial number"))?;
    let text = number.to_hex_str().map_err(unreadable("serial number"))?.to_string();
    Ok(text.to_ascii_lowercase())
}

pub(super) fn timestamp(time: &Asn1TimeRef) -> Result<Timestamp, CertificateError> {
    let epoch = Asn1Time::from_unix(0).map_err(failed("make a time"))?;
    let difference = epoch.diff(time).map_err(unreadable("time"))?;
    let seconds = i64::from(difference.days) * SECONDS_PER_DAY + i64::from(difference.secs);
    Timestamp::from_second(seconds)
        .map_err(|error| CertificateError::Unreadable { what: "time", reason: error.to_string() })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

pub(super) fn days_between(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_second() - from.as_second()).div_euclid(SECONDS_PER_DAY)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::authority::{generate_key, start, subject};
    use super::super::tests::{authority, days, now};
    use super::*;

    #[test]
    fn a_server_certificate_states_what_was_asked_for() {
        let issued = authority()
            .issue_server(
                &["gateway.example", "*.north.example"],
                &[IpAddr::from([127, 0, 0, 1]), IpAddr::from([0u16; 8])],
                "North gateway",
            )
            .unwrap();
        let facts = facts(&issued.certificate_der).unwrap();
        assert_eq!(facts.common_name.as_deref(), Some("North gateway"));
        assert_eq!(facts.subject, format!("CN=North gateway,OU={DEVELOPMENT_MARK},O=North Region"));
        assert_eq!(facts.dns_names, ["gateway.example", "*.north.example"]);
        assert_eq!(facts.ip_addresses.len(), 2);
        assert_eq!(facts.not_before, now());
        assert_eq!(facts.not_after, days(730));
        assert_eq!(facts.days_left(now()), 730);
        assert_eq!(facts.key_description, "EC P-256");
        assert_eq!(facts.serial, issued.serial);
        assert_eq!(facts.fingerprint_hex().len(), 64);
        assert!(facts.is_development && facts.may_serve && facts.may_call);
        assert!(!facts.is_authority);
        assert!(is_development(&issued.certificate_der));
    }

    #[test]
    fn a_client_certificate_is_for_clients_only() {
        let issued = authority().issue_client("Ward system").unwrap();
        let facts = facts(&issued.certificate_der).unwrap();
        assert!(facts.may_call && !facts.may_serve);
        assert!(facts.dns_names.is_empty());
    }

    #[test]
    fn a_name_cannot_hide_behind_a_zero_character() {
        let key = generate_key().unwrap();
        let name = subject("Org", "good.example\0.bad.example").unwrap();
        let mut builder = start(&name, &name, &key, now(), days(1)).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let der = builder.build().to_der().unwrap();
        assert!(facts(&der).is_err());
    }

    #[test]
    fn names_are_escaped() {
        for (value, text) in [
            ("Acme, Inc.", "Acme\\, Inc."),
            ("#1", "\\#1"),
            (" a ", "\\ a\\ "),
            ("a\r\nb", "a\\0d\\0ab"),
            ("\u{202e}x", "\\e2\\80\\aex"),
            ("a=b+c", "a\\=b\\+c"),
            ("Ærø", "Ærø"),
        ] {
            assert_eq!(escape_value(value), text);
        }
    }

    #[test]
    fn hosts_are_covered_by_subject_alt_names_only() {
        let issued = authority()
            .issue_server(
                &["gateway.example", "*.north.example"],
                &[IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap()],
                "other.example",
            )
            .unwrap();
        let facts = facts(&issued.certificate_der).unwrap();
        for (host, covered) in [
            ("gateway.example", true),
            ("GATEWAY.example.", true),
            ("a.north.example", true),
            ("a.b.north.example", false),
            ("north.example", false),
            (".north.example", false),
            ("other.example", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("[::1]", true),
            ("::1", true),
        ] {
            assert_eq!(facts.covers_host(host), covered, "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = facts(&bytes);
            let _ = is_development(&bytes);
        }

        #[test]
        fn a_damaged_certificate_is_read_or_refused(
            at in any::<proptest::sample::Index>(), with in any::<u8>(), cut in any::<proptest::sample::Index>(),
        ) {
            let issued = authority().issue_server(&["a.example"], &[], "A").unwrap();
            let mut der = issued.certificate_der;
            let index = at.index(der.len());
            der[index] = with;
            let _ = facts(&der);
            let _ = facts(&der[..cut.index(der.len())]);
        }

        #[test]
        fn an_escaped_name_stays_on_its_line(value in any::<String>()) {
            prop_assert!(!escape_value(&value).chars().any(|c| c.is_control() || is_invisible(c)));
        }

        #[test]
        fn any_allowed_name_survives(name in "[A-Za-z0-9 ,+=#\"<>;æøå-]{1,60}") {
            prop_assume!(!name.trim().is_empty());
            let issued = authority().issue_client(&name).unwrap();
            let facts = facts(&issued.certificate_der).unwrap();
            prop_assert_eq!(facts.common_name, Some(name));
        }
    }
}
