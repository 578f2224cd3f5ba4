//! Who the other side is, by its certificate.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::error::TlsError;
use crate::transport::certificates;

/// Who the peer is, by the certificate that the handshake has verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The commonName; if there is none (ITI-19 requires none) the first DNS name, else the
    /// whole subject. For people: what is compared is the fingerprint, or subject with issuer.
    pub common_name: String,
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// Serial number as lower-case hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint_sha256: [u8; 32],
    /// DNS names of subjectAltName.
    pub dns_names: Vec<String>,
    /// IP addresses of subjectAltName.
    pub ip_addresses: Vec<std::net::IpAddr>,
    /// When the certificate expires: a resumed or long connection may outlive it.
    pub not_after: Timestamp,
    /// Made by a development authority: the production profile refuses it.
    pub is_development: bool,
}

impl PeerIdentity {
    /// SHA-256 of the certificate as 64 lower-case hexadecimal digits.
    pub fn fingerprint_hex(&self) -> String {
        self.fingerprint_sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether whoever calls `host` would take this certificate for its own.
    pub fn covers_host(&self, host: &str) -> bool {
        certificates::covers_host(&self.dns_names, &self.ip_addresses, host)
    }

    /// Whether the certificate has not expired at `now`. The handshake has judged that already;
    /// a resumed one has not.
    pub fn is_current(&self, now: Timestamp) -> bool {
        now <= self.not_after
    }
}

/// The identity behind a connection's certificates, end entity first, as
/// `peer_certificates()` gives them, after a resumption too. Call it once per connection.
pub fn peer_identity(certs: &[CertificateDer<'_>]) -> Result<PeerIdentity, TlsError> {
    let leaf = certs.first().ok_or(TlsError::NoPeerCertificate)?;
    let facts = certificates::facts(leaf).map_err(TlsError::PeerCertificate)?;
    let common_name =
        facts.common_name.or_else(|| facts.dns_names.first().cloned()).unwrap_or_else(|| facts.subject.clone());
    Ok(PeerIdentity {
        common_name,
        subject: facts.subject,
        issuer: facts.issuer,
        serial: facts.serial,
        fingerprint_sha256: facts.fingerprint_sha256,
        dns_names: facts.dns_names,
        ip_addresses: facts.ip_addresses,
        not_after: facts.not_after,
        is_development: facts.is_development,
    })
}
