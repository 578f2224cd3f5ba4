//! What will fail a handshake, before a peer finds it.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use openssl::error::ErrorStack;
use openssl::pkey::{Id, PKey};
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{CrlStatus, X509, X509Crl, X509PurposeId, X509Ref, X509StoreContext};

use super::facts::{days_between, facts_of, read_pem_certificates};
use super::lists::{contains, read_lists, revocation_list_facts_of, signature_of};
use super::{CertificateFacts, ListSignature, library_words};

/// ITI TF-2 §3.19.6.1.3 recommends at most two years for a node certificate; more is only warned of.
const RECOMMENDED_DAYS: i64 = 731;
/// When `check` begins to ask for a new certificate.
const EXPIRY_WARNING_DAYS: i64 = 30;
/// When `check` begins to ask for a new revocation list; lists are short-lived, so this is too.
const LIST_WARNING_DAYS: i64 = 2;
/// Smallest RSA key that BCP 195 (RFC 9325 §4.5), and our TLS engine, accept.
const MIN_RSA_BITS: u32 = 2048;

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
/// [`super::super::tls::TlsSource::load`], and `causeway check` asks both.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::tests::{authority, days, now};
    use super::super::{DevelopmentOptions, write_development_set};
    use super::*;

    fn errors(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().filter(|finding| finding.severity == Severity::Error).map(|finding| finding.check).collect()
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
}
