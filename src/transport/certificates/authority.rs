//! An authority in memory, and what it issues.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509NameRef, X509RevokedBuilder};

use super::facts::{is_invisible, serial_hex};
use super::{CertificateError, DEVELOPMENT_MARK, SECONDS_PER_DAY, failed};

/// Days that a development authority is valid.
const AUTHORITY_DAYS: u32 = 3650;
/// RFC 5280 Appendix A: upper bound of commonName and organizationName.
const MAX_NAME_CHARS: usize = 64;

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
    pub(super) certificate: X509,
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
pub(super) enum Usage {
    /// A gateway answers and asks with one certificate.
    ServerAndClient,
    Server,
    Client,
}

/// All that differs between issued certificates.
pub(super) struct Leaf<'a> {
    pub(super) common_name: &'a str,
    pub(super) dns_names: &'a [&'a str],
    pub(super) ip_addresses: &'a [IpAddr],
    pub(super) usage: Usage,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
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
    pub(in crate::transport) fn issue_authority(&self, name: &str) -> Result<Self, CertificateError> {
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
    pub(in crate::transport) fn revocation_list_of_authorities_pem(
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

    pub(super) fn leaf<'a>(&self, common_name: &'a str, usage: Usage) -> Result<Leaf<'a>, CertificateError> {
        Ok(Leaf {
            common_name,
            dns_names: &[],
            ip_addresses: &[],
            usage,
            not_before: self.not_before,
            not_after: later(self.not_before, self.valid_days)?,
        })
    }

    pub(super) fn issue(&self, leaf: &Leaf<'_>) -> Result<IssuedCertificate, CertificateError> {
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

pub(super) fn generate_key() -> Result<PKey<Private>, CertificateError> {
    let generate = || {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        PKey::from_ec_key(EcKey::generate(&group)?)
    };
    generate().map_err(failed("make a key"))
}

pub(super) fn subject(organisation: &str, common_name: &str) -> Result<X509Name, CertificateError> {
    let build = || {
        let mut name = X509Name::builder()?;
        name.append_entry_by_nid(Nid::ORGANIZATIONNAME, organisation)?;
        name.append_entry_by_nid(Nid::ORGANIZATIONALUNITNAME, DEVELOPMENT_MARK)?;
        name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
        Ok(name.build())
    };
    build().map_err(failed("make a name"))
}

pub(super) fn start(
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

pub(super) fn later(time: Timestamp, days: u32) -> Result<Timestamp, CertificateError> {
    shifted(time, i64::from(days))
}

pub(super) fn shifted(time: Timestamp, days: i64) -> Result<Timestamp, CertificateError> {
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

pub(super) fn shorten(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

fn text(bytes: Vec<u8>) -> Result<String, CertificateError> {
    String::from_utf8(bytes)
        .map_err(|_| CertificateError::Library { doing: "write PEM", reason: "it is not text".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::super::tests::authority;

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
    fn debug_shows_no_key() {
        let authority = authority();
        let issued = authority.issue_client("x").unwrap();
        let shown = format!("{authority:?} {issued:?}");
        assert!(!shown.contains("PRIVATE") && !shown.contains("BEGIN"));
    }
}
