//! X.509: made for development, read for identity, judged for `causeway check`.
//!
//! Four uses, none on the data path:
//!
//! - **making**: [`DevelopmentAuthority`] issues certificates in memory, [`write_development_set`]
//!   writes a whole folder of good and deliberately bad ones;
//! - **reading**: [`facts`] says what a certificate states, once per connection;
//! - **judging**: [`check_chain`] finds what will fail a handshake before a peer does;
//! - **asking**: [`old_handshake`] tells what a peer speaks that takes nothing of what we offer.
//!
//! Whether a peer is let in is decided by rustls in [`super::tls`], never here. Keys stay out of
//! every `Debug` and every error. This is the one file that names openssl.
//!
//! Not supported: making anything meant for production. A real node certificate comes from the
//! authority the communities agreed on (ITI TF-2 §3.19).

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use openssl::asn1::{Asn1Integer, Asn1IntegerRef, Asn1Object, Asn1OctetString};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslRef, SslVerifyMode, SslVersion};
use openssl::stack::Stack;
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{
    CrlStatus, X509, X509Builder, X509Crl, X509CrlBuilder, X509ExtendedKeyUsage, X509Extension, X509KeyUsage, X509Name,
    X509NameRef, X509PurposeId, X509Ref, X509RevokedBuilder, X509StoreContext,
};

/// Organisational unit of every development certificate, and what [`is_development`] looks for.
pub const DEVELOPMENT_MARK: &str = "Causeway development - not for production";

/// Largest certificate that is read: the TLS Certificate message ends at 64 KiB too in our engine.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// Most certificates read from one PEM text, so that a wrong file costs little.
pub const MAX_CERTIFICATES_PER_FILE: usize = 1024;

/// Days that a development authority is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// ITI TF-2 §3.19.6.1.3 recommends at most two years for a node certificate; more is only warned of.
const RECOMMENDED_DAYS: i64 = 731;
/// When `check` begins to ask for a new certificate.
const EXPIRY_WARNING_DAYS: i64 = 30;
/// When `check` begins to ask for a new revocation list; lists are short-lived, so this is too.
const LIST_WARNING_DAYS: i64 = 2;
/// Smallest RSA key that BCP 195 (RFC 9325 §4.5), and our TLS engine, accept.
const MIN_RSA_BITS: u32 = 2048;
/// RFC 5280 Appendix A: upper bound of commonName and organizationName.
const MAX_NAME_CHARS: usize = 64;
const SECONDS_PER_DAY: i64 = 86_400;

/// What can go wrong while making, reading or writing certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A set is already there and `force` was not given.
    #[error("{} exists already; use another folder, or force to replace the whole set", path.display())]
    Exists {
        /// The file that would have been replaced.
        path: PathBuf,
    },
    /// The folder or a file in it could not be written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A name, address or time asked for cannot be put into a certificate.
    #[error("{what} {value:?} cannot be put into a certificate: {reason}")]
    Unusable {
        /// Which option.
        what: &'static str,
        /// The value given.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bytes are not a certificate, list or key that we can read.
    #[error("not a readable {what}: {reason}")]
    Unreadable {
        /// What was expected.
        what: &'static str,
        /// Why it is not that.
        reason: String,
    },
    /// The cryptographic library refused a step that should always work.
    #[error("could not {doing}: {reason}")]
    Library {
        /// The step.
        doing: &'static str,
        /// The library's own words.
        reason: String,
    },
}

/// Turns the library's error into ours, so that no caller depends on its type.
fn failed(doing: &'static str) -> impl Fn(ErrorStack) -> CertificateError {
    move |error| CertificateError::Library { doing, reason: library_words(&error) }
}

fn unreadable(what: &'static str) -> impl Fn(ErrorStack) -> CertificateError {
    move |error| CertificateError::Unreadable { what, reason: library_words(&error) }
}

/// The reasons without the library's file names and line numbers.
fn library_words(error: &ErrorStack) -> String {
    let words: Vec<&str> = error.errors().iter().filter_map(|e| e.reason()).collect();
    if words.is_empty() { "no reason given".to_owned() } else { words.join(", ") }
}

// --- reading ---------------------------------------------------------------------------------

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

fn read_certificate(der: &[u8]) -> Result<X509, CertificateError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(CertificateError::Unreadable {
            what: "certificate",
            reason: format!("longer than {MAX_CERTIFICATE_BYTES} bytes"),
        });
    }
    X509::from_der(der).map_err(unreadable("certificate"))
}

fn read_pem_certificates(pem: &[u8]) -> Result<Vec<X509>, CertificateError> {
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

fn facts_of(certificate: &X509Ref) -> Result<CertificateFacts, CertificateError> {
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

/// Since when a DER revocation list of its issuer revokes a DER certificate.
pub fn revoked_since(list: &[u8], certificate: &[u8]) -> Result<Option<Timestamp>, CertificateError> {
    let list = X509Crl::from_der(list).map_err(unreadable("revocation list"))?;
    let certificate = read_certificate(certificate)?;
    if !certificate.issuer_name().try_cmp(list.issuer_name()).is_ok_and(|order| order.is_eq()) {
        return Ok(None);
    }
    match list.get_by_cert(&certificate) {
        CrlStatus::Revoked(revoked) => timestamp(revoked.revocation_date()).map(Some),
        _ => Ok(None),
    }
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
fn name_text(name: &X509NameRef) -> Result<String, CertificateError> {
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

fn is_invisible(c: char) -> bool {
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

fn serial_hex(serial: &Asn1IntegerRef) -> Result<String, CertificateError> {
    let number = serial.to_bn().map_err(unreadable("serial number"))?;
    let text = number.to_hex_str().map_err(unreadable("serial number"))?.to_string();
    Ok(text.to_ascii_lowercase())
}

fn timestamp(time: &Asn1TimeRef) -> Result<Timestamp, CertificateError> {
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

fn days_between(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_second() - from.as_second()).div_euclid(SECONDS_PER_DAY)
}

/// What a certificate revocation list states about itself (RFC 5280 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationListFacts {
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// Issuer exactly as encoded, comparable with [`issuer_der`].
    pub issuer_der: Vec<u8>,
    /// When the list was made.
    pub this_update: Timestamp,
    /// When the next one is due; RFC 5280 §5.1.2.5 demands it, some lists lack it.
    pub next_update: Option<Timestamp>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// Reads one DER revocation list.
pub fn revocation_list_facts(der: &[u8]) -> Result<RevocationListFacts, CertificateError> {
    let list = X509Crl::from_der(der).map_err(unreadable("revocation list"))?;
    revocation_list_facts_of(&list)
}

fn revocation_list_facts_of(list: &X509Crl) -> Result<RevocationListFacts, CertificateError> {
    Ok(RevocationListFacts {
        issuer: name_text(list.issuer_name())?,
        issuer_der: list.issuer_name().to_der().map_err(unreadable("revocation list"))?,
        this_update: timestamp(list.last_update())?,
        next_update: list.next_update().map(timestamp).transpose()?,
        revoked: list.get_revoked().map_or(0, |revoked| revoked.len()),
    })
}

/// Who signed a revocation list, as far as the given authorities tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSignature {
    /// One of the authorities signed it.
    Valid,
    /// An authority has the issuer's name, but its key did not sign the list.
    Forged,
    /// None of the authorities has the issuer's name; an intermediate may still have.
    UnknownIssuer,
}

/// Checks a DER revocation list against DER authority certificates.
pub fn revocation_list_signature<'a>(
    list_der: &[u8],
    authorities: impl IntoIterator<Item = &'a [u8]>,
) -> Result<ListSignature, CertificateError> {
    let list = X509Crl::from_der(list_der).map_err(unreadable("revocation list"))?;
    let authorities = authorities.into_iter().map(read_certificate).collect::<Result<Vec<_>, _>>()?;
    Ok(signature_of(&list, &authorities))
}

fn signature_of(list: &X509Crl, authorities: &[X509]) -> ListSignature {
    let mut answer = ListSignature::UnknownIssuer;
    for authority in authorities {
        let same_name = list.issuer_name().try_cmp(authority.subject_name()).is_ok_and(|order| order.is_eq());
        if !same_name {
            continue;
        }
        // A renewed authority may share its name with the old one, so one match is enough.
        match authority.public_key().and_then(|key| list.verify(&key)) {
            Ok(true) => return ListSignature::Valid,
            Ok(false) | Err(_) => answer = ListSignature::Forged,
        }
    }
    answer
}

// --- asking ----------------------------------------------------------------------------------

/// What a peer takes when everything is offered that was ever common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldHandshake {
    /// As `TLSv1.1`.
    pub version: String,
    /// As `AES128-SHA`.
    pub cipher: String,
}

/// Offers TLS 1.0 and up with every cipher suite over a fresh connection, and tells what the peer
/// takes; nothing if it takes none of it. For the diagnosis of a peer that takes nothing of what we
/// offer: its certificate is not judged, ours is not shown, and not a byte is sent over the
/// connection. Blocks, as long as the stream's timeouts let it.
pub fn old_handshake(stream: std::net::TcpStream, host: &str) -> Option<OldHandshake> {
    let mut context = SslContext::builder(SslMethod::tls_client()).ok()?;
    context.set_verify(SslVerifyMode::NONE);
    context.set_security_level(0);
    context.set_min_proto_version(Some(SslVersion::TLS1)).ok()?;
    context.set_cipher_list("ALL:COMPLEMENTOFALL:!eNULL:@SECLEVEL=0").ok()?;
    let mut ssl = Ssl::new(&context.build()).ok()?;
    if host.parse::<IpAddr>().is_err() {
        ssl.set_hostname(host).ok()?;
    }
    let told = |ssl: &SslRef| {
        let cipher = ssl.current_cipher()?.name().to_owned();
        Some(OldHandshake { version: ssl.version_str().to_owned(), cipher })
    };
    match ssl.connect(stream) {
        Ok(stream) => told(stream.ssl()),
        // Refused for want of our certificate, which is later than what is asked here.
        Err(HandshakeError::Failure(broken) | HandshakeError::WouldBlock(broken)) => told(broken.ssl()),
        Err(HandshakeError::SetupFailure(_)) => None,
    }
}

// --- making ----------------------------------------------------------------------------------

/// A certificate with its key, fresh from a [`DevelopmentAuthority`].
#[derive(Clone)]
pub struct IssuedCertificate {
    /// The certificate as PEM text.
    pub certificate_pem: String,
    /// The private key as PKCS #8 PEM text.
    pub key_pem: String,
    /// The certificate as DER bytes.
    pub certificate_der: Vec<u8>,
    /// Serial number as lower-case hexadecimal.
    pub serial: String,
}

impl fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedCertificate").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// A certificate authority in memory, for demonstrations and tests. Its certificates carry
/// [`DEVELOPMENT_MARK`], so that a broker with the production profile can refuse them.
///
/// ```
/// use causeway::transport::certificates::{DevelopmentAuthority, facts};
///
/// let now = jiff::Timestamp::from_second(1_790_000_000)?;
/// let authority = DevelopmentAuthority::new("North Region", now)?;
/// let server = authority.issue_server(&["gateway.example"], &[], "North gateway")?;
/// assert!(facts(&server.certificate_der)?.is_development);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct DevelopmentAuthority {
    certificate: X509,
    key: PKey<Private>,
    organisation: String,
    not_before: Timestamp,
    valid_days: u32,
    /// Serials as hexadecimal; a set, for a list names each certificate once.
    revoked: BTreeSet<String>,
}

impl fmt::Debug for DevelopmentAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevelopmentAuthority")
            .field("organisation", &self.organisation)
            .field("not_before", &self.not_before)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

/// What an issued certificate may be used for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    /// A gateway answers and asks with one certificate.
    ServerAndClient,
    Server,
    Client,
}

/// All that differs between issued certificates.
struct Leaf<'a> {
    common_name: &'a str,
    dns_names: &'a [&'a str],
    ip_addresses: &'a [IpAddr],
    usage: Usage,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl DevelopmentAuthority {
    /// Makes a new authority, valid for ten years from `not_before`; `name` becomes the
    /// organisation of all its certificates.
    pub fn new(name: &str, not_before: Timestamp) -> Result<Self, CertificateError> {
        check_name("authority name", name)?;
        let key = generate_key()?;
        let common_name = shorten(&format!("{name} development authority"));
        let subject = subject(name, &common_name)?;
        let doing = "make the development authority";
        let not_after = later(not_before, AUTHORITY_DAYS)?;
        let mut builder = start(&subject, &subject, &key, not_before, not_after)?;
        let mut extend = || -> Result<(), ErrorStack> {
            // pathlen 0: it signs nodes, never another authority.
            builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
            builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
            let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
            builder.append_extension(id)?;
            builder.sign(&key, MessageDigest::sha256())
        };
        extend().map_err(failed(doing))?;
        Ok(Self {
            certificate: builder.build(),
            key,
            organisation: name.to_owned(),
            not_before,
            valid_days: 730,
            revoked: BTreeSet::new(),
        })
    }

    /// Changes how many days the certificates issued from now on are valid (730 unless told).
    #[must_use]
    pub fn with_valid_days(mut self, days: u32) -> Self {
        self.valid_days = days;
        self
    }

    /// Issues a certificate for a gateway or server: serverAuth and clientAuth, since a gateway
    /// also asks, with `dns_names` and `ip_addresses` as subjectAltName.
    pub fn issue_server(
        &self,
        dns_names: &[&str],
        ip_addresses: &[IpAddr],
        common_name: &str,
    ) -> Result<IssuedCertificate, CertificateError> {
        if dns_names.is_empty() && ip_addresses.is_empty() {
            return Err(CertificateError::Unusable {
                what: "server",
                value: common_name.to_owned(),
                reason: "it needs at least one DNS name or IP address",
            });
        }
        self.issue(&Leaf { dns_names, ip_addresses, ..self.leaf(common_name, Usage::ServerAndClient)? })
    }

    /// Issues a certificate for a consumer, source or person's tool: clientAuth only.
    pub fn issue_client(&self, common_name: &str) -> Result<IssuedCertificate, CertificateError> {
        self.issue(&self.leaf(common_name, Usage::Client)?)
    }

    /// An authority below this one.
    #[cfg(test)]
    pub(super) fn issue_authority(&self, name: &str) -> Result<Self, CertificateError> {
        let (key, subject) = (generate_key()?, subject(name, name)?);
        let not_after = later(self.not_before, AUTHORITY_DAYS)?;
        let mut builder = start(&subject, self.certificate.subject_name(), &key, self.not_before, not_after)?;
        let mut extend = || -> Result<(), ErrorStack> {
            builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
            builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
            let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(id)?;
            builder.sign(&self.key, MessageDigest::sha256())
        };
        extend().map_err(failed("make an authority"))?;
        let organisation = name.to_owned();
        Ok(Self {
            certificate: builder.build(),
            key,
            organisation,
            not_before: self.not_before,
            valid_days: self.valid_days,
            revoked: BTreeSet::new(),
        })
    }

    /// Revokes a certificate: the next list names it.
    pub fn revoke(&mut self, issued: &IssuedCertificate) {
        self.revoked.insert(issued.serial.clone());
    }

    /// The revocation list as PEM text; with nothing revoked it is empty and valid.
    pub fn revocation_list_pem(
        &self,
        this_update: Timestamp,
        next_update: Timestamp,
    ) -> Result<String, CertificateError> {
        self.revocation_list(this_update, next_update, None)
    }

    /// A list whose issuingDistributionPoint says that it covers authorities only.
    #[cfg(test)]
    pub(super) fn revocation_list_of_authorities_pem(
        &self,
        this_update: Timestamp,
        next_update: Timestamp,
    ) -> Result<String, CertificateError> {
        let scope = || {
            // RFC 5280 §5.2.5: distributionPoint fullName URI, then onlyContainsCACerts, TRUE.
            let mut extension = vec![0x30, 0x13, 0xa0, 0x0e, 0xa0, 0x0c, 0x86, 0x0a];
            extension.extend(b"http://a/1");
            extension.extend([0x82, 1, 0xff]);
            let der = Asn1OctetString::new_from_bytes(&extension)?;
            X509Extension::new_from_der(&*Asn1Object::from_str("2.5.29.28")?, true, &der)
        };
        let scope = scope().map_err(failed("make the revocation list"))?;
        self.revocation_list(this_update, next_update, Some(scope))
    }

    fn revocation_list(
        &self,
        this_update: Timestamp,
        next_update: Timestamp,
        scope: Option<X509Extension>,
    ) -> Result<String, CertificateError> {
        let doing = "make the revocation list";
        let made = asn1_time(this_update)?;
        let due = asn1_time(next_update)?;
        let build = || -> Result<Vec<u8>, ErrorStack> {
            let mut builder = X509CrlBuilder::new()?;
            builder.set_issuer_name(self.certificate.subject_name())?;
            builder.set_last_update(&made)?;
            builder.set_next_update(&due)?;
            for serial in &self.revoked {
                let number = BigNum::from_hex_str(serial)?;
                let mut revoked = X509RevokedBuilder::new()?;
                revoked.set_serial_number(&*Asn1Integer::from_bn(&number)?)?;
                revoked.set_revocation_date(&made)?;
                builder.add_revoked(revoked.build())?;
            }
            builder.sort()?;
            // RFC 5280 §5.2.3: numbers must grow; the time does, and needs no memory.
            let number = u32::try_from(this_update.as_second().max(0)).unwrap_or(u32::MAX);
            builder.append_extension(CrlNumber::new(BigNum::from_u32(number)?)?.build()?)?;
            builder.append_extension(self.authority_key_identifier()?)?;
            if let Some(scope) = scope {
                builder.append_extension(scope)?;
            }
            builder.sign(&self.key, MessageDigest::sha256())?;
            builder.build()?.to_pem()
        };
        text(build().map_err(failed(doing))?)
    }

    /// The authority's own certificate as PEM text.
    pub fn certificate_pem(&self) -> Result<String, CertificateError> {
        text(self.certificate.to_pem().map_err(failed("write a certificate"))?)
    }

    /// The authority's private key as PKCS #8 PEM text.
    pub fn key_pem(&self) -> Result<String, CertificateError> {
        text(self.key.private_key_to_pem_pkcs8().map_err(failed("write a key"))?)
    }

    /// RFC 5280 §5.2.1 for the list; the library builds this extension for certificates only.
    fn authority_key_identifier(&self) -> Result<X509Extension, ErrorStack> {
        let id = self.certificate.subject_key_id().map(|id| id.as_slice()).unwrap_or_default();
        // Both lengths fit one byte: the id is a SHA-1.
        let length = u8::try_from(id.len()).unwrap_or(0).min(0x7d);
        let mut der = vec![0x30, length + 2, 0x80, length];
        der.extend(id.iter().take(usize::from(length)));
        X509Extension::new_from_der(
            &*Asn1Object::from_str("2.5.29.35")?,
            false,
            &*Asn1OctetString::new_from_bytes(&der)?,
        )
    }

    fn leaf<'a>(&self, common_name: &'a str, usage: Usage) -> Result<Leaf<'a>, CertificateError> {
        Ok(Leaf {
            common_name,
            dns_names: &[],
            ip_addresses: &[],
            usage,
            not_before: self.not_before,
            not_after: later(self.not_before, self.valid_days)?,
        })
    }

    fn issue(&self, leaf: &Leaf<'_>) -> Result<IssuedCertificate, CertificateError> {
        check_name("common name", leaf.common_name)?;
        for name in leaf.dns_names {
            check_dns_name(name)?;
        }
        let key = generate_key()?;
        let subject = subject(&self.organisation, leaf.common_name)?;
        let mut builder = start(&subject, self.certificate.subject_name(), &key, leaf.not_before, leaf.not_after)?;
        let mut extend = || -> Result<(), ErrorStack> {
            builder.append_extension(BasicConstraints::new().critical().build()?)?;
            builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
            let mut usage = ExtendedKeyUsage::new();
            if leaf.usage != Usage::Client {
                usage.server_auth();
            }
            if leaf.usage != Usage::Server {
                usage.client_auth();
            }
            builder.append_extension(usage.build()?)?;
            if !leaf.dns_names.is_empty() || !leaf.ip_addresses.is_empty() {
                let mut names = SubjectAlternativeName::new();
                for name in leaf.dns_names {
                    names.dns(name);
                }
                for address in leaf.ip_addresses {
                    names.ip(&address.to_string());
                }
                let names = names.build(&builder.x509v3_context(Some(&self.certificate), None))?;
                builder.append_extension(names)?;
            }
            let id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(id)?;
            let authority = AuthorityKeyIdentifier::new()
                .keyid(true)
                .build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(authority)?;
            builder.sign(&self.key, MessageDigest::sha256())
        };
        extend().map_err(failed("issue a certificate"))?;
        let certificate = builder.build();
        Ok(IssuedCertificate {
            certificate_pem: text(certificate.to_pem().map_err(failed("write a certificate"))?)?,
            key_pem: text(key.private_key_to_pem_pkcs8().map_err(failed("write a key"))?)?,
            certificate_der: certificate.to_der().map_err(failed("write a certificate"))?,
            serial: serial_hex(certificate.serial_number())?,
        })
    }
}

fn generate_key() -> Result<PKey<Private>, CertificateError> {
    let generate = || {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        PKey::from_ec_key(EcKey::generate(&group)?)
    };
    generate().map_err(failed("make a key"))
}

fn subject(organisation: &str, common_name: &str) -> Result<X509Name, CertificateError> {
    let build = || {
        let mut name = X509Name::builder()?;
        name.append_entry_by_nid(Nid::ORGANIZATIONNAME, organisation)?;
        name.append_entry_by_nid(Nid::ORGANIZATIONALUNITNAME, DEVELOPMENT_MARK)?;
        name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
        Ok(name.build())
    };
    build().map_err(failed("make a name"))
}

fn start(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<X509Builder, CertificateError> {
    let from = asn1_time(not_before)?;
    let until = asn1_time(not_after)?;
    let build = || {
        let mut serial = BigNum::new()?;
        // RFC 5280 §4.1.2.2: positive, at most 20 octets; random, so nobody keeps a counter.
        serial.rand(127, MsbOption::ONE, false)?;
        let mut builder = X509Builder::new()?;
        builder.set_version(2)?;
        builder.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
        builder.set_subject_name(subject)?;
        builder.set_issuer_name(issuer)?;
        builder.set_not_before(&from)?;
        builder.set_not_after(&until)?;
        builder.set_pubkey(key)?;
        Ok(builder)
    };
    build().map_err(failed("start a certificate"))
}

fn asn1_time(time: Timestamp) -> Result<Asn1Time, CertificateError> {
    // Before 1950 there is no UTCTime, after 9999 no GeneralizedTime.
    Asn1Time::from_unix(time.as_second()).map_err(|_| CertificateError::Unusable {
        what: "time",
        value: time.to_string(),
        reason: "it is outside of what a certificate can say",
    })
}

fn later(time: Timestamp, days: u32) -> Result<Timestamp, CertificateError> {
    shifted(time, i64::from(days))
}

fn shifted(time: Timestamp, days: i64) -> Result<Timestamp, CertificateError> {
    Timestamp::from_second(time.as_second() + days * SECONDS_PER_DAY).map_err(|_| CertificateError::Unusable {
        what: "time",
        value: format!("{time} and {days} days"),
        reason: "it is outside of what a certificate can say",
    })
}

fn check_name(what: &'static str, name: &str) -> Result<(), CertificateError> {
    let reason = if name.trim().is_empty() {
        "it is empty"
    } else if name.chars().count() > MAX_NAME_CHARS {
        "it is longer than 64 characters"
    } else if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        "it contains control characters"
    } else {
        return Ok(());
    };
    Err(CertificateError::Unusable { what, value: name.to_owned(), reason })
}

fn check_dns_name(name: &str) -> Result<(), CertificateError> {
    let unusable = |reason| CertificateError::Unusable { what: "DNS name", value: name.to_owned(), reason };
    if name.parse::<IpAddr>().is_ok() {
        return Err(unusable("it is an address: give it as one"));
    }
    if name.is_empty() || name.len() > 253 {
        return Err(unusable("it must have 1 to 253 characters"));
    }
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let good = labels.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    if good {
        Ok(())
    } else {
        Err(unusable("labels are 1 to 63 letters, digits and hyphens; other scripts in their xn-- form"))
    }
}

fn shorten(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

fn text(bytes: Vec<u8>) -> Result<String, CertificateError> {
    String::from_utf8(bytes)
        .map_err(|_| CertificateError::Library { doing: "write PEM", reason: "it is not text".to_owned() })
}

// --- writing a set ---------------------------------------------------------------------------

/// What [`write_development_set`] puts into a folder.
#[derive(Debug, Clone)]
pub struct DevelopmentOptions {
    /// Organisation of all certificates: usually the community's name.
    pub organisation: String,
    /// commonName of `server.pem`.
    pub server_common_name: String,
    /// DNS names of `server.pem`.
    pub server_names: Vec<String>,
    /// IP addresses of `server.pem`.
    pub server_addresses: Vec<IpAddr>,
    /// commonName of `client.pem`.
    pub client_common_name: String,
    /// First moment of validity of everything good.
    pub not_before: Timestamp,
    /// Days that certificates and the revocation list are valid.
    pub valid_days: u32,
    /// Also write `bad/`.
    pub bad: bool,
    /// Replace a set that is already there.
    pub force: bool,
}

impl DevelopmentOptions {
    /// Defaults: for localhost, 127.0.0.1 and ::1, two years, with `bad/`, never overwriting.
    pub fn new(not_before: Timestamp) -> Self {
        Self {
            organisation: "Causeway".to_owned(),
            server_common_name: "Causeway development server".to_owned(),
            server_names: vec!["localhost".to_owned()],
            server_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            client_common_name: "Causeway development client".to_owned(),
            not_before,
            valid_days: 730,
            bad: true,
            force: false,
        }
    }
}

/// Where the files of a set are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevelopmentSet {
    /// The authority's certificate: what both sides trust.
    pub ca: PathBuf,
    /// The authority's private key.
    pub ca_key: PathBuf,
    /// The authority's revocation list.
    pub crl: PathBuf,
    /// Server certificate.
    pub server: PathBuf,
    /// Server private key.
    pub server_key: PathBuf,
    /// Client certificate.
    pub client: PathBuf,
    /// Client private key.
    pub client_key: PathBuf,
    /// Folder of deliberately bad certificates, if asked for.
    pub bad: Option<PathBuf>,
    /// Every file written, in order.
    pub files: Vec<PathBuf>,
}

/// A file of the set before it is written.
struct Planned {
    path: PathBuf,
    content: String,
    secret: bool,
}

/// Writes a development authority with a server, a client and (`bad/`) certificates that every
/// check must refuse: expired, unknown issuer, revoked, wrong name, not for clients.
///
/// All files are complete before the first one gets its name, keys are readable by the owner
/// only, and an existing set stays untouched unless `force` is given.
pub fn write_development_set(dir: &Path, options: &DevelopmentOptions) -> Result<DevelopmentSet, CertificateError> {
    let (mut set, planned) = plan(dir, options)?;
    if !options.force
        && let Some(existing) = planned.iter().find(|file| file.path.exists())
    {
        return Err(CertificateError::Exists { path: existing.path.clone() });
    }
    let folders: Vec<&Path> = std::iter::once(dir).chain(set.bad.as_deref()).collect();
    for folder in &folders {
        fs::create_dir_all(folder).map_err(io_error("make the folder", folder))?;
    }
    let mut staged = Vec::with_capacity(planned.len());
    for file in &planned {
        staged.push(Staged::write(file)?);
    }
    for file in staged {
        file.publish()?;
    }
    for folder in &folders {
        File::open(folder).and_then(|handle| handle.sync_all()).map_err(io_error("sync the folder", folder))?;
    }
    set.files = planned.into_iter().map(|file| file.path).collect();
    Ok(set)
}

fn plan(dir: &Path, options: &DevelopmentOptions) -> Result<(DevelopmentSet, Vec<Planned>), CertificateError> {
    let mut authority =
        DevelopmentAuthority::new(&options.organisation, options.not_before)?.with_valid_days(options.valid_days);
    let names: Vec<&str> = options.server_names.iter().map(String::as_str).collect();
    let server = authority.issue_server(&names, &options.server_addresses, &options.server_common_name)?;
    let client = authority.issue_client(&options.client_common_name)?;

    let mut planned = Vec::new();
    let mut add = |path: PathBuf, content: String, secret: bool| {
        planned.push(Planned { path: path.clone(), content, secret });
        path
    };
    let mut set = DevelopmentSet {
        ca_key: add(dir.join("ca.key"), authority.key_pem()?, true),
        ca: add(dir.join("ca.pem"), authority.certificate_pem()?, false),
        server_key: add(dir.join("server.key"), server.key_pem, true),
        server: add(dir.join("server.pem"), server.certificate_pem, false),
        client_key: add(dir.join("client.key"), client.key_pem, true),
        client: add(dir.join("client.pem"), client.certificate_pem, false),
        crl: dir.join("ca.crl"),
        bad: None,
        files: Vec::new(),
    };
    if options.bad {
        let folder = dir.join("bad");
        let bad = BadCertificates::issue(&mut authority, options, &names)?;
        add(folder.join("unknown-ca.pem"), bad.unknown_authority_pem, false);
        for (name, issued) in bad.certificates {
            add(folder.join(format!("{name}.key")), issued.key_pem, true);
            add(folder.join(format!("{name}.pem")), issued.certificate_pem, false);
        }
        set.bad = Some(folder);
    }
    // Last, since it names what was revoked above.
    let due = later(options.not_before, options.valid_days)?;
    let list = authority.revocation_list_pem(options.not_before, due)?;
    add(set.crl.clone(), list, false);
    Ok((set, planned))
}

struct BadCertificates {
    unknown_authority_pem: String,
    certificates: Vec<(&'static str, IssuedCertificate)>,
}

impl BadCertificates {
    /// Each is good in every respect but one, so that a test knows which check refused it. All
    /// but `server-only` and `wrong-name` can be tried in both roles.
    fn issue(
        authority: &mut DevelopmentAuthority,
        options: &DevelopmentOptions,
        names: &[&str],
    ) -> Result<Self, CertificateError> {
        let addresses = options.server_addresses.as_slice();
        let unknown_name = shorten(&format!("Unknown to {}", options.organisation));
        let unknown = DevelopmentAuthority::new(&unknown_name, options.not_before)?.with_valid_days(options.valid_days);
        let expired = authority.issue(&Leaf {
            dns_names: names,
            ip_addresses: addresses,
            not_before: shifted(options.not_before, -60)?,
            not_after: shifted(options.not_before, -30)?,
            ..authority.leaf("Expired", Usage::ServerAndClient)?
        })?;
        let revoked = authority.issue_server(names, addresses, "Revoked")?;
        authority.revoke(&revoked);
        let server_only = authority.issue(&Leaf {
            dns_names: names,
            ip_addresses: addresses,
            ..authority.leaf("Server only", Usage::Server)?
        })?;
        Ok(Self {
            unknown_authority_pem: unknown.certificate_pem()?,
            certificates: vec![
                ("expired", expired),
                ("unknown-issuer", unknown.issue_server(names, addresses, "Unknown issuer")?),
                ("revoked", revoked),
                ("wrong-name", authority.issue_server(&["wrong-name.invalid"], &[], "Wrong name")?),
                ("server-only", server_only),
            ],
        })
    }
}

/// A complete file under a temporary name; dropped unpublished, it leaves nothing behind.
struct Staged {
    temporary: PathBuf,
    target: PathBuf,
    published: bool,
}

impl Staged {
    fn write(file: &Planned) -> Result<Self, CertificateError> {
        let mut temporary = file.path.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let staged = Self { temporary: PathBuf::from(temporary), target: file.path.clone(), published: false };
        // The mode is set as the file is made: a key is never readable by others, not even briefly.
        let mut handle = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(if file.secret { 0o600 } else { 0o644 })
            .open(&staged.temporary)
            .map_err(io_error("make", &staged.temporary))?;
        handle
            .write_all(file.content.as_bytes())
            .and_then(|()| handle.sync_all())
            .map_err(io_error("write", &staged.temporary))?;
        Ok(staged)
    }

    fn publish(mut self) -> Result<(), CertificateError> {
        fs::rename(&self.temporary, &self.target).map_err(io_error("name", &self.target))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // Nothing better to do: the error that led here is the one to report.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> CertificateError + use<'a> {
    move |source| CertificateError::Io { action, path: path.to_owned(), source }
}

// --- judging ---------------------------------------------------------------------------------

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Works now, will not for long, or is not what it should be.
    Warning,
    /// Handshakes fail.
    Error,
}

/// One thing that `causeway check` has to say about certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Which check, in a word that does not change: `chain`, `expiry`, `names`, …
    pub check: &'static str,
    /// What is so.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// In which role a certificate is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// On a listener.
    Server,
    /// For calls to peers.
    Client,
    /// A gateway's: both.
    Both,
}

/// What [`check_chain`] looks at.
#[derive(Clone, Copy)]
pub struct ChainInput<'a> {
    /// The certificate, then its intermediates, as PEM.
    pub chain_pem: &'a [u8],
    /// Its private key as PEM, if at hand.
    pub key_pem: Option<&'a [u8]>,
    /// The authorities the other side trusts, as PEM.
    pub ca_pem: &'a [u8],
    /// Revocation lists, PEM (any number) or one in DER.
    pub crl: Option<&'a [u8]>,
    /// The host name or address that callers use.
    pub host: Option<&'a str>,
    /// In which role it is used.
    pub role: Role,
    /// The moment to judge for.
    pub now: Timestamp,
}

impl fmt::Debug for ChainInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainInput")
            .field("host", &self.host)
            .field("role", &self.role)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Judges a certificate with all that belongs to it; every finding, not only the first.
///
/// Only what is stated here is judged: whether rustls takes the files is the answer of
/// [`super::tls::TlsSource::load`], and `causeway check` asks both.
pub fn check_chain(input: &ChainInput<'_>) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    let authorities = match read_pem_certificates(input.ca_pem) {
        Ok(authorities) => authorities,
        Err(error) => {
            findings.error(
                "authority",
                format!("the trusted authorities cannot be read: {error}"),
                "give a PEM file with the certificates of the authorities you trust",
            );
            Vec::new()
        }
    };
    for authority in &authorities {
        findings.authority(authority, input.now);
    }
    let chain = match read_pem_certificates(input.chain_pem) {
        Ok(chain) => chain,
        Err(error) => {
            findings.error(
                "certificate",
                format!("the certificate cannot be read: {error}"),
                "give a PEM file: the certificate first, then its intermediates",
            );
            return findings.0;
        }
    };
    let Some((leaf, intermediates)) = chain.split_first() else {
        return findings.0;
    };
    match facts_of(leaf) {
        Ok(facts) => findings.leaf(&facts, leaf, input),
        Err(error) => findings.error(
            "certificate",
            format!("the certificate cannot be read: {error}"),
            "ask its issuer for a new one",
        ),
    }
    if let Some(pem) = input.key_pem {
        findings.key(leaf, pem);
    }
    if !authorities.is_empty() {
        findings.chain(leaf, intermediates, &authorities, input.role);
    }
    if let Some(bytes) = input.crl {
        findings.lists(bytes, &chain, &authorities, input.now);
    }
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, severity: Severity, check: &'static str, message: String, fix: impl Into<String>) {
        self.0.push(Finding { severity, check, message, fix: fix.into() });
    }

    fn error(&mut self, check: &'static str, message: String, fix: impl Into<String>) {
        self.add(Severity::Error, check, message, fix);
    }

    fn warning(&mut self, check: &'static str, message: String, fix: impl Into<String>) {
        self.add(Severity::Warning, check, message, fix);
    }

    fn dates(&mut self, whose: &str, facts: &CertificateFacts, now: Timestamp) {
        let left = facts.days_left(now);
        if now < facts.not_before {
            self.error(
                "expiry",
                format!("{whose} is not valid before {}", facts.not_before),
                "check this machine's clock, or wait",
            );
        } else if now > facts.not_after {
            self.error("expiry", format!("{whose} expired on {}", facts.not_after), "have it renewed and send SIGHUP");
        } else if left < EXPIRY_WARNING_DAYS {
            self.warning(
                "expiry",
                format!("{whose} expires in {left} days, on {}", facts.not_after),
                "have it renewed now; SIGHUP takes the new one without a restart",
            );
        }
    }

    fn authority(&mut self, authority: &X509Ref, now: Timestamp) {
        match facts_of(authority) {
            Ok(facts) => {
                self.dates(&format!("the authority {}", facts.subject), &facts, now);
            }
            Err(error) => self.error(
                "authority",
                format!("a trusted authority cannot be read: {error}"),
                "remove it from the file, or replace it",
            ),
        }
    }

    fn leaf(&mut self, facts: &CertificateFacts, leaf: &X509Ref, input: &ChainInput<'_>) {
        self.dates("the certificate", facts, input.now);
        let validity = days_between(facts.not_before, facts.not_after);
        if validity > RECOMMENDED_DAYS {
            self.warning(
                "lifetime",
                format!("the certificate is valid for {validity} days"),
                "ITI-19 recommends at most two years; ask for less next time",
            );
        }
        if facts.is_development {
            self.add(
                Severity::Note,
                "development",
                "the certificate was made by a development authority".to_owned(),
                "never use it where real patients are; the production profile refuses it",
            );
        }
        if leaf.version() != 2 {
            self.error(
                "certificate",
                "the certificate is not X.509 version 3".to_owned(),
                "ask its issuer for a version 3 certificate",
            );
        }
        if facts.is_authority {
            self.error(
                "certificate",
                "the certificate is an authority's, or the chain is in the wrong order".to_owned(),
                "put the node's own certificate first",
            );
        }
        if let Ok(key) = leaf.public_key()
            && matches!(key.id(), Id::RSA | Id::RSA_PSS)
            && key.bits() < MIN_RSA_BITS
        {
            self.error("key", format!("the key is {}", facts.key_description), "use RSA 2048 or more, or EC P-256");
        }
        let serves = matches!(input.role, Role::Server | Role::Both);
        let calls = matches!(input.role, Role::Client | Role::Both);
        if serves && !facts.may_serve {
            self.error(
                "usage",
                "the certificate's extended key usage lacks serverAuth".to_owned(),
                "ask for one with serverAuth, or use it for clients only",
            );
        }
        if calls && !facts.may_call {
            self.error(
                "usage",
                "the certificate's extended key usage lacks clientAuth".to_owned(),
                "ask for one with clientAuth too: a gateway also calls",
            );
        }
        if serves && facts.dns_names.is_empty() && facts.ip_addresses.is_empty() {
            self.error(
                "names",
                "the certificate has no subjectAltName".to_owned(),
                "ask for one that names the host; a common name does not count",
            );
        } else if serves
            && let Some(host) = input.host
            && !facts.covers_host(host)
        {
            let mut names = facts.dns_names.clone();
            names.extend(facts.ip_addresses.iter().map(IpAddr::to_string));
            self.error(
                "names",
                format!("the certificate does not cover {host:?}; it is for {}", names.join(", ")),
                "call the host by one of these names, or ask for a certificate with the name",
            );
        }
    }

    fn key(&mut self, leaf: &X509Ref, pem: &[u8]) {
        // The callback keeps the library from asking for a passphrase on the terminal.
        match PKey::private_key_from_pem_callback(pem, |_| Ok(0)) {
            Ok(key) => match leaf.public_key() {
                Ok(public) if public.public_eq(&key) => {}
                _ => self.error(
                    "key",
                    "the key does not belong to the certificate".to_owned(),
                    "give the key that the certificate was requested with",
                ),
            },
            Err(_) if contains(pem, b"ENCRYPTED") => self.error(
                "key",
                "the key is encrypted".to_owned(),
                "store it without passphrase, readable by the broker's user only",
            ),
            Err(error) => self.error(
                "key",
                format!("the key cannot be read: {}", library_words(&error)),
                "give a PEM file with a PKCS #8, SEC 1 or PKCS #1 private key",
            ),
        }
    }

    fn chain(&mut self, leaf: &X509, intermediates: &[X509], authorities: &[X509], role: Role) {
        let purposes: &[(X509PurposeId, &str)] = match role {
            Role::Server => &[(X509PurposeId::SSL_SERVER, "server")],
            Role::Client => &[(X509PurposeId::SSL_CLIENT, "client")],
            Role::Both => &[(X509PurposeId::SSL_SERVER, "server"), (X509PurposeId::SSL_CLIENT, "client")],
        };
        for (purpose, role) in purposes {
            match verify(leaf, intermediates, authorities, *purpose) {
                Ok(None) => {}
                Ok(Some(reason)) => {
                    self.error(
                        "chain",
                        format!("the chain does not verify as {role}: {reason}"),
                        "append the missing intermediates after the certificate, \
                         or add its authority to the trusted ones",
                    );
                    // The other role would most often say the same again.
                    return;
                }
                Err(error) => self.error(
                    "chain",
                    format!("the chain cannot be verified: {}", library_words(&error)),
                    "check that the files are what they should be",
                ),
            }
        }
    }

    fn lists(&mut self, bytes: &[u8], chain: &[X509], authorities: &[X509], now: Timestamp) {
        let lists = match read_lists(bytes) {
            Ok(lists) => lists,
            Err(error) => {
                self.error(
                    "revocation",
                    format!("the revocation list cannot be read: {error}"),
                    "fetch it again from the authority",
                );
                return;
            }
        };
        for list in &lists {
            self.list(list, chain, authorities, now);
        }
    }

    fn list(&mut self, list: &X509Crl, chain: &[X509], authorities: &[X509], now: Timestamp) {
        let facts = match revocation_list_facts_of(list) {
            Ok(facts) => facts,
            Err(error) => {
                self.error(
                    "revocation",
                    format!("the revocation list cannot be read: {error}"),
                    "fetch it again from the authority",
                );
                return;
            }
        };
        let whose = format!("the revocation list of {}", facts.issuer);
        let signers: Vec<X509> = authorities.iter().chain(chain).cloned().collect();
        match signature_of(list, &signers) {
            ListSignature::Valid => {}
            ListSignature::Forged => self.error(
                "revocation",
                format!("{whose} is not signed by that authority"),
                "fetch it again from the authority; this one was altered",
            ),
            ListSignature::UnknownIssuer => self.warning(
                "revocation",
                format!("{whose} belongs to none of the trusted authorities"),
                "remove it, or add its authority",
            ),
        }
        if facts.this_update > now {
            self.warning(
                "revocation",
                format!("{whose} was made in the future, on {}", facts.this_update),
                "check this machine's clock",
            );
        }
        match facts.next_update {
            None => self.error(
                "revocation",
                format!("{whose} does not say when the next one is due"),
                "ask the authority for lists with nextUpdate (RFC 5280 §5.1.2.5)",
            ),
            Some(due) if due <= now => self.error(
                "revocation",
                format!("{whose} expired on {due}: all its certificates are refused"),
                "fetch the current list and send SIGHUP",
            ),
            Some(due) if days_between(now, due) < LIST_WARNING_DAYS => self.warning(
                "revocation",
                format!("{whose} expires on {due}"),
                "fetch lists regularly, well before they expire, and send SIGHUP",
            ),
            Some(_) => {}
        }
        for certificate in chain {
            let same_issuer = certificate.issuer_name().try_cmp(list.issuer_name()).is_ok_and(|order| order.is_eq());
            if same_issuer && matches!(list.get_by_cert(certificate), CrlStatus::Revoked(_)) {
                self.error(
                    "revocation",
                    "the certificate is revoked".to_owned(),
                    "ask its issuer for a new one, with a new key",
                );
            }
        }
    }
}

/// `None` when the chain verifies. Dates are left out: they are judged, in days, elsewhere.
fn verify(
    leaf: &X509,
    intermediates: &[X509],
    authorities: &[X509],
    purpose: X509PurposeId,
) -> Result<Option<&'static str>, ErrorStack> {
    let store: X509Store = {
        let mut builder = X509StoreBuilder::new()?;
        for authority in authorities {
            builder.add_cert(authority.clone())?;
        }
        // Whatever is configured is an anchor, as for rustls, even if it is an intermediate.
        builder.set_flags(X509VerifyFlags::NO_CHECK_TIME | X509VerifyFlags::PARTIAL_CHAIN)?;
        builder.set_purpose(purpose)?;
        builder.build()
    };
    let mut untrusted = Stack::new()?;
    for certificate in intermediates {
        untrusted.push(certificate.clone())?;
    }
    X509StoreContext::new()?.init(&store, leaf, &untrusted, |context| {
        Ok(if context.verify_cert()? { None } else { Some(context.error().error_string()) })
    })
}

/// Revocation lists as authorities publish them: PEM, or DER as found behind most URLs.
fn read_lists(bytes: &[u8]) -> Result<Vec<X509Crl>, CertificateError> {
    const BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
    let as_list = unreadable("revocation list");
    if !contains(bytes, b"-----BEGIN") {
        return Ok(vec![X509Crl::from_der(bytes).map_err(as_list)?]);
    }
    let mut lists = Vec::new();
    let mut rest = bytes;
    while let Some(at) = position(rest, BEGIN) {
        let section = rest.get(at..).unwrap_or_default();
        lists.push(X509Crl::from_pem(section).map_err(&as_list)?);
        rest = section.get(BEGIN.len()..).unwrap_or_default();
    }
    if lists.is_empty() {
        return Err(CertificateError::Unreadable {
            what: "revocation list",
            reason: "there is no BEGIN X509 CRL line".to_owned(),
        });
    }
    Ok(lists)
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    position(bytes, needle).is_some()
}

fn position(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|w| w == needle)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_790_000_000).unwrap()
    }

    fn authority() -> DevelopmentAuthority {
        DevelopmentAuthority::new("North Region", now()).unwrap()
    }

    fn days(count: i64) -> Timestamp {
        shifted(now(), count).unwrap()
    }

    fn errors(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.check).collect()
    }

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
    fn unusable_names_are_refused() {
        let authority = authority();
        for name in ["", " ", "a\nb", "\u{202e}txt", &"x".repeat(65)] {
            assert!(authority.issue_client(name).is_err(), "{name:?}");
        }
        for name in ["", "a..b", "a b", "-a", "10.0.0.1", "é.example", "a,DNS:b"] {
            assert!(authority.issue_server(&[name], &[], "x").is_err(), "{name:?}");
        }
        assert!(authority.issue_server(&[], &[], "x").is_err());
        assert!(authority.issue_client(&"x".repeat(64)).is_ok());
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

    #[test]
    fn the_revocation_list_names_what_was_revoked() {
        let mut authority = authority();
        let empty = authority.revocation_list_pem(now(), days(7)).unwrap();
        let gone = authority.issue_client("Gone").unwrap();
        authority.revoke(&gone);
        authority.revoke(&gone);
        let full = authority.revocation_list_pem(now(), days(7)).unwrap();
        for (pem, revoked) in [(&empty, 0), (&full, 1)] {
            let der = X509Crl::from_pem(pem.as_bytes()).unwrap().to_der().unwrap();
            let facts = revocation_list_facts(&der).unwrap();
            assert_eq!(facts.revoked, revoked);
            assert_eq!(facts.this_update, now());
            assert_eq!(facts.next_update, Some(days(7)));
            assert_eq!(facts.issuer_der, issuer_der(&gone.certificate_der).unwrap());
            let own = authority.certificate.to_der().unwrap();
            let same_name = DevelopmentAuthority::new("North Region", now()).unwrap();
            let other = DevelopmentAuthority::new("South Region", now()).unwrap();
            for (authority, expected) in [
                (own, ListSignature::Valid),
                (same_name.certificate.to_der().unwrap(), ListSignature::Forged),
                (other.certificate.to_der().unwrap(), ListSignature::UnknownIssuer),
            ] {
                let found = revocation_list_signature(&der, [authority.as_slice()]).unwrap();
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_set_is_written_whole_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("certs");
        let mut options = DevelopmentOptions::new(now());
        let set = write_development_set(&dir, &options).unwrap();
        assert_eq!(set.files.len(), 7 + 1 + 10);
        for file in &set.files {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            if file.extension().is_some_and(|e| e == "key") {
                assert_eq!(mode, 0o600, "{}", file.display());
            } else {
                assert_eq!(mode & 0o600, 0o600, "{}", file.display());
            }
        }
        let count = |dir: &Path| fs::read_dir(dir).unwrap().count();
        assert_eq!(count(&dir), 8, "nothing temporary is left");
        assert_eq!(count(&dir.join("bad")), 11);

        let before = fs::read(&set.ca).unwrap();
        assert!(matches!(write_development_set(&dir, &options), Err(CertificateError::Exists { .. })));
        assert_eq!(fs::read(&set.ca).unwrap(), before);
        options.force = true;
        options.bad = false;
        let again = write_development_set(&dir, &options).unwrap();
        assert_ne!(fs::read(&again.ca).unwrap(), before);
        assert_eq!(again.bad, None);
        assert_eq!(again.files.len(), 7);
    }

    #[test]
    fn check_says_what_is_wrong_with_each_of_the_set() {
        let root = tempfile::tempdir().unwrap();
        let set = write_development_set(root.path(), &DevelopmentOptions::new(now())).unwrap();
        let read = |path: &Path| fs::read(path).unwrap();
        let ca = read(&set.ca);
        let crl = read(&set.crl);
        let judge = |name: &str, role, at| {
            let chain = read(&root.path().join(format!("{name}.pem")));
            let key = read(&root.path().join(format!("{name}.key")));
            check_chain(&ChainInput {
                chain_pem: &chain,
                key_pem: Some(&key),
                ca_pem: &ca,
                crl: Some(&crl),
                host: Some("localhost"),
                role,
                now: at,
            })
        };
        let both = Role::Both;
        assert_eq!(errors(&judge("server", both, now())), [""; 0]);
        assert_eq!(errors(&judge("client", Role::Client, now())), [""; 0]);
        assert_eq!(errors(&judge("bad/expired", both, now())), ["expiry"]);
        assert_eq!(errors(&judge("bad/unknown-issuer", both, now())), ["chain"]);
        assert_eq!(errors(&judge("bad/revoked", both, now())), ["revocation"]);
        assert_eq!(errors(&judge("bad/wrong-name", both, now())), ["names"]);
        assert_eq!(errors(&judge("bad/server-only", both, now())), ["usage", "chain"]);
        assert_eq!(errors(&judge("server", both, days(-1))), ["expiry", "expiry"]);
        assert_eq!(errors(&judge("server", both, days(731))), ["expiry", "revocation"]);
        let soon = judge("server", both, days(729));
        assert_eq!(errors(&soon), [""; 0]);
        let warned: Vec<_> =
            soon.iter().filter(|finding| finding.severity == Severity::Warning).map(|finding| finding.check).collect();
        assert_eq!(warned, ["expiry", "revocation"]);
    }

    #[test]
    fn check_finds_a_foreign_key_and_rubbish() {
        let authority = authority();
        let one = authority.issue_client("One").unwrap();
        let two = authority.issue_client("Two").unwrap();
        let ca = authority.certificate_pem().unwrap();
        let input = ChainInput {
            chain_pem: one.certificate_pem.as_bytes(),
            key_pem: Some(two.key_pem.as_bytes()),
            ca_pem: ca.as_bytes(),
            crl: Some(b"rubbish"),
            host: None,
            role: Role::Client,
            now: now(),
        };
        assert_eq!(errors(&check_chain(&input)), ["key", "revocation"]);
        let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let findings =
            check_chain(&ChainInput { key_pem: Some(encrypted), chain_pem: b"", ca_pem: b"-----BEGIN", ..input });
        assert_eq!(errors(&findings), ["authority", "certificate"]);
        let findings = check_chain(&ChainInput { key_pem: Some(encrypted), crl: None, ..input });
        assert!(findings.iter().any(|f| f.message.contains("encrypted")));
    }

    #[test]
    fn debug_shows_no_key() {
        let authority = authority();
        let issued = authority.issue_client("x").unwrap();
        let shown = format!("{authority:?} {issued:?}");
        assert!(!shown.contains("PRIVATE") && !shown.contains("BEGIN"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = facts(&bytes);
            let _ = revocation_list_facts(&bytes);
            let _ = is_development(&bytes);
            let _ = read_lists(&bytes);
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
