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
//! every `Debug` and every error. This is the one place that names openssl.
//!
//! Not supported: making anything meant for production. A real node certificate comes from the
//! authority the communities agreed on (ITI TF-2 §3.19).

mod asking;
mod authority;
mod check;
mod facts;
mod lists;
mod set;

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;

pub use self::asking::{OldHandshake, old_handshake};
pub use self::authority::{DevelopmentAuthority, IssuedCertificate};
pub use self::check::{ChainInput, Finding, Role, Severity, check_chain};
pub use self::facts::{
    CertificateFacts, Issued, covers_host, facts, facts_from_pem, is_development, issued, issuer_der, name_text_of,
};
pub use self::lists::{
    ListSignature, RevocationListFacts, revocation_list_facts, revocation_list_signature, revoked_since,
};
pub use self::set::{DevelopmentOptions, DevelopmentSet, write_development_set};

/// Organisational unit of every development certificate, and what [`is_development`] looks for.
pub const DEVELOPMENT_MARK: &str = "Causeway development - not for production";

/// Largest certificate that is read: the TLS Certificate message ends at 64 KiB too in our engine.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// Most certificates read from one PEM text, so that a wrong file costs little.
pub const MAX_CERTIFICATES_PER_FILE: usize = 1024;

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

#[cfg(test)]
mod tests;
