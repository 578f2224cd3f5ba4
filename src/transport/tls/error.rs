//! Why TLS settings cannot be used.

use std::io;

use jiff::Timestamp;

use crate::transport::certificates::CertificateError;

/// Why TLS settings cannot be used: which file, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}; check the path and that the broker's user may read it")]
    Unreadable {
        /// Which file.
        file: String,
        /// What the system answered.
        source: io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{file} is larger than {limit} bytes; check that the path names the right file")]
    TooLarge {
        /// Which file.
        file: String,
        /// The limit it exceeds.
        limit: u64,
    },
    /// A file is damaged.
    #[error("{file} is damaged: {reason}; copy it again from its source")]
    Damaged {
        /// Which file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// No certificate in a file.
    #[error("there is no certificate in {file}; it must contain a BEGIN CERTIFICATE section")]
    NoCertificate {
        /// Which file.
        file: String,
    },
    /// No private key in a file.
    #[error(
        "there is no private key in {file}; it must contain a BEGIN PRIVATE KEY, \
         BEGIN EC PRIVATE KEY or BEGIN RSA PRIVATE KEY section"
    )]
    NoKey {
        /// Which file.
        file: String,
    },
    /// The private key is encrypted.
    #[error(
        "the private key in {file} is encrypted; store it without passphrase, \
         readable by the broker's user only"
    )]
    KeyEncrypted {
        /// Which file.
        file: String,
    },
    /// The key is of another certificate.
    #[error(
        "the key in {key} does not belong to the first certificate in {certificate}; give the key \
         that the certificate was requested with, and put the node's own certificate first"
    )]
    KeyMismatch {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
    },
    /// The TLS engine refuses certificate or key.
    #[error(
        "the certificate in {certificate} with the key in {key} cannot be used: {reason}; use an \
         X.509 v3 certificate with RSA of 2048 bits or more, EC P-256, P-384 or Ed25519"
    )]
    CertificateRefused {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
        /// What the engine says.
        reason: String,
    },
    /// An authority certificate cannot be a trust anchor.
    #[error(
        "certificate {number} in {file} cannot be a trusted authority: {reason}; \
         remove it or have it encoded as strict DER"
    )]
    AuthorityRefused {
        /// Which file.
        file: String,
        /// Which of its certificates, from 1.
        number: usize,
        /// What the engine says.
        reason: String,
    },
    /// No revocation list in a file.
    #[error("there is no revocation list in {file}; it must contain a BEGIN X509 CRL section, or one list as DER")]
    NoCrl {
        /// Which file.
        file: String,
    },
    /// A revocation list cannot be parsed or used.
    #[error(
        "revocation list {number} in {file} cannot be used: {reason}; fetch a complete, direct \
         X.509 v2 list from the authority again"
    )]
    CrlRefused {
        /// Which file.
        file: String,
        /// Which of its lists, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A revocation list was altered, or is of an authority of the same name.
    #[error(
        "the revocation list of {issuer} in {file} is not signed by that authority; \
         fetch it from the authority again"
    )]
    CrlForged {
        /// Which file.
        file: String,
        /// Whose list.
        issuer: String,
    },
    /// A revocation list is older than it may be.
    #[error(
        "the revocation list of {issuer} in {file} expired on {next_update}; with it every \
         certificate of that authority would be refused: fetch the current list"
    )]
    CrlExpired {
        /// Which file.
        file: String,
        /// Whose list.
        issuer: String,
        /// When it expired.
        next_update: Timestamp,
    },
    /// The engine cannot be set up; never seen outside of a broken build or machine.
    #[error("TLS cannot be set up: {reason}; check this machine's clock and random source")]
    Engine {
        /// What the engine says.
        reason: String,
    },
    /// A connection without certificate reached a place that needs one.
    #[error("the peer showed no certificate; the listener must require one")]
    NoPeerCertificate,
    /// A certificate that the handshake accepted cannot be read for its identity.
    #[error("the peer's certificate cannot be read: {0}; its owner must have it issued again")]
    PeerCertificate(#[source] CertificateError),
}
