//! A peer's certificates, explained: link by link, and the name.
//!
//! Whether they are accepted is the verifier's verdict; this says which of them is at fault, and
//! what else is, for a verifier stops at the first fault.

use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::{CertificateError as Verdict, Error};

use super::{Finding, Status, Step, words};
use crate::transport::certificates::{self, CertificateFacts, Issued};
use crate::transport::tls::certificate_cause;

/// Certificates of a chain that are looked at.
const MOST_LINKS: usize = 12;
/// Trusted authorities that are named.
const MOST_TRUSTED: usize = 4;
/// A certificate that expires within these days deserves a call to the peer.
const EXPIRY_DAYS: i64 = 30;

/// Where a certificate's issuer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerIs {
    /// It is the certificate of that number, from 1.
    Shown(usize),
    /// Among the authorities we trust.
    Trusted,
    /// One we trust has its name and another key.
    NamedAsTrusted,
    /// The certificate itself.
    Itself,
    /// Neither shown nor trusted.
    Missing,
}

/// A certificate that the peer showed.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What it states.
    pub facts: CertificateFacts,
    /// Where its issuer is.
    pub issuer_is: IssuerIs,
}

/// What is looked at.
pub(super) struct Input<'a> {
    /// As sent, the peer's own first.
    pub shown: &'a [CertificateDer<'static>],
    pub trusted: &'a [CertificateDer<'static>],
    pub lists: &'a [CertificateRevocationListDer<'static>],
    /// Where the trusted ones were read.
    pub trusted_file: &'a str,
    /// What the peer was called.
    pub host: &'a str,
    /// Why it was not accepted.
    pub verdict: Option<&'a Error>,
    pub now: Timestamp,
}

/// What is to be made of it.
pub(super) struct Reading {
    pub certificates: Vec<Shown>,
    pub chain: Finding,
    pub name: Finding,
    /// Dates alone are at fault, and a wrong clock might be.
    pub dated: bool,
}

/// A fault with its remedy.
struct Fault {
    what: String,
    fix: String,
}

impl Fault {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

/// Explains a chain.
pub(super) fn read(input: &Input<'_>) -> Reading {
    let mut certificates = Vec::new();
    for der in input.shown.iter().take(MOST_LINKS) {
        match certificates::facts(der) {
            Ok(facts) => certificates.push(Shown { facts, issuer_is: issuer_of(der, input) }),
            Err(error) => {
                let number = certificates.len() + 1;
                let what = format!("certificate {number} cannot be read: {error}");
                let chain = Finding::fail(Step::Chain, what, "ask the peer's operators to have it issued again");
                let name = Finding::new(Step::Name, Status::Skipped, "its certificate cannot be read");
                return Reading { certificates, chain, name, dated: false };
            }
        }
    }
    let path = path(&certificates);
    let Some(leaf) = path.first().and_then(|index| certificates.get(*index)).map(|shown| shown.facts.clone()) else {
        let chain = Finding::fail(Step::Chain, "the peer showed no certificate", "ask its operators to configure one");
        let name = Finding::new(Step::Name, Status::Skipped, "there is no certificate");
        return Reading { certificates, chain, name, dated: false };
    };
    let about_name = is_about_name(input.verdict);
    let mut faults = Vec::new();
    let mut dates_at_fault = 0;
    if input.verdict.is_some() && !about_name {
        faults.extend(missing_link(&certificates, &path, input));
        for index in &path {
            let Some(shown) = certificates.get(*index) else { continue };
            let whose = whose(*index, &shown.facts);
            if let Some(fault) = dates(&whose, &shown.facts, input.now) {
                dates_at_fault += 1;
                faults.push(fault);
            }
            faults.extend(usage(*index, &whose, &shown.facts));
            faults.extend(weakness(&whose, &shown.facts));
            faults.extend(revocation(*index, &whose, input));
        }
        if faults.is_empty() {
            faults.push(by_verdict(input));
        }
    }
    let name = name(&leaf, input, about_name);
    let dated = dates_at_fault > 0 && dates_at_fault == faults.len() && name.status == Status::Ok;
    let chain = match faults.split_first() {
        Some((first, others)) => {
            let also = |of: fn(&Fault) -> &String| others.iter().map(move |fault| format!("; also: {}", of(fault)));
            let what: String = std::iter::once(first.what.clone()).chain(also(|fault| &fault.what)).collect();
            let fix: String = std::iter::once(first.fix.clone()).chain(also(|fault| &fault.fix)).collect();
            Finding::fail(Step::Chain, what, fix)
        }
        None => accepted(&certificates, &path, &leaf, input.now),
    };
    Reading { chain, name, certificates, dated }
}

fn issuer_of(der: &CertificateDer<'_>, input: &Input<'_>) -> IssuerIs {
    let issued = |issuer: &CertificateDer<'_>| certificates::issued(der, issuer).unwrap_or(Issued::No);
    let by: Vec<Issued> = input.trusted.iter().map(issued).collect();
    if by.contains(&Issued::Yes) {
        return IssuerIs::Trusted;
    }
    if issued(der) == Issued::Yes {
        return IssuerIs::Itself;
    }
    if let Some(at) = input.shown.iter().take(MOST_LINKS).position(|other| issued(other) == Issued::Yes) {
        return IssuerIs::Shown(at + 1);
    }
    if by.contains(&Issued::NameOnly) { IssuerIs::NamedAsTrusted } else { IssuerIs::Missing }
}

/// The links from the peer's own certificate upwards, by index.
fn path(certificates: &[Shown]) -> Vec<usize> {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(shown) = certificates.get(at).filter(|_| !path.contains(&at)) {
        path.push(at);
        match shown.issuer_is {
            IssuerIs::Shown(number) => at = number - 1,
            _ => break,
        }
    }
    path
}

fn whose(index: usize, facts: &CertificateFacts) -> String {
    if index == 0 {
        format!("its certificate {}", facts.subject)
    } else {
        format!("the intermediate {}", facts.subject)
    }
}

fn missing_link(certificates: &[Shown], path: &[usize], input: &Input<'_>) -> Option<Fault> {
    let last = certificates.get(*path.last()?)?;
    let facts = &last.facts;
    let trusted: Vec<String> = input
        .trusted
        .iter()
        .take(MOST_TRUSTED)
        .filter_map(|der| certificates::facts(der).ok())
        .map(|facts| facts.subject)
        .collect();
    let trusted = format!("{} has {}", input.trusted_file, trusted.join("; "));
    match last.issuer_is {
        IssuerIs::Trusted | IssuerIs::Shown(_) => None,
        IssuerIs::Itself if path.len() == 1 => Some(Fault::new(
            format!("its certificate {} is signed by itself: nobody vouches for it", facts.subject),
            "ask the peer's operators for one of an authority that both sides trust; single certificates cannot be trusted",
        )),
        IssuerIs::Itself => Some(Fault::new(
            format!("the chain ends at {}, an authority that is not trusted here; {trusted}", facts.subject),
            format!(
                "if that is the authority agreed on, add its certificate to --ca, after comparing its fingerprint {} \
                 with its owner; else the peer shows a certificate of another environment, or a proxy that looks into \
                 TLS answers in its place",
                facts.fingerprint_hex()
            ),
        )),
        IssuerIs::NamedAsTrusted => Some(Fault::new(
            format!(
                "{} is issued by {}: an authority of that name is trusted, and it has another key",
                facts.subject, facts.issuer
            ),
            "the authority was renewed, or is another one of the same name: ask its owner for the certificate in force, \
             and add it to --ca",
        )),
        IssuerIs::Missing => Some(Fault::new(
            format!(
                "{} is issued by {}, an authority that is neither trusted here nor shown by the peer; {trusted}",
                facts.subject, facts.issuer
            ),
            format!(
                "if {} is an intermediate, the peer has to send it: its operators append it to their certificate's \
                 file; if it is the authority agreed on, add its certificate to --ca",
                facts.issuer
            ),
        )),
    }
}

fn dates(whose: &str, facts: &CertificateFacts, now: Timestamp) -> Option<Fault> {
    if now > facts.not_after {
        let days = -facts.days_left(now);
        return Some(Fault::new(
            format!("{whose} expired on {}, {days} days ago", facts.not_after),
            format!("ask the peer's operators to renew it; if today is not {now:.0}, correct this machine's clock"),
        ));
    }
    if now < facts.not_before {
        return Some(Fault::new(
            format!("{whose} is not valid before {}, and this machine's clock says {now:.0}", facts.not_before),
            "correct this machine's clock; if it is right, the clock of the certificate's issuer is not",
        ));
    }
    None
}

fn usage(index: usize, whose: &str, facts: &CertificateFacts) -> Option<Fault> {
    let purposes = || facts.purposes.clone().unwrap_or_default().join(", ");
    if index == 0 && !facts.may_serve {
        return Some(Fault::new(
            format!("{whose} is not for servers: its extended key usage has {} and lacks serverAuth", purposes()),
            "ask the peer's operators for a certificate with serverAuth (and clientAuth, since a gateway also calls)",
        ));
    }
    if index > 0 && !facts.is_authority {
        return Some(Fault::new(
            format!("{whose} may not sign certificates: its key usage lacks keyCertSign"),
            "the peer sends a wrong intermediate: ask its operators to correct their certificate's file",
        ));
    }
    None
}

fn weakness(whose: &str, facts: &CertificateFacts) -> Option<Fault> {
    let algorithm = facts.signature_algorithm.to_ascii_lowercase();
    let weak_signature = ["sha1", "md5", "md2", "dsa_with"].iter().any(|weak| algorithm.starts_with(weak))
        || algorithm.ends_with("sha1");
    let weak_key =
        facts.key_description.starts_with("DSA") || matches!(facts.key_description.as_str(), "RSA 1024" | "RSA 512");
    (weak_signature || weak_key).then(|| {
        Fault::new(
            format!(
                "{whose} has a {} key and is signed with {}: too weak",
                facts.key_description, facts.signature_algorithm
            ),
            "have it issued again with RSA of 2048 bits or more, or EC P-256, and signed with SHA-256",
        )
    })
}

fn revocation(index: usize, whose: &str, input: &Input<'_>) -> Option<Fault> {
    let der = input.shown.get(index)?;
    let since = input.lists.iter().find_map(|list| certificates::revoked_since(list, der).ok().flatten())?;
    Some(Fault::new(
        format!("{whose} was revoked by its issuer on {since}"),
        "do not go on: ask the peer's operators for a new certificate with a new key",
    ))
}

fn certificate_verdict(verdict: Option<&Error>) -> Option<&Verdict> {
    match verdict {
        Some(Error::InvalidCertificate(reason)) => Some(reason),
        _ => None,
    }
}

fn is_about_name(verdict: Option<&Error>) -> bool {
    matches!(certificate_verdict(verdict), Some(Verdict::NotValidForName | Verdict::NotValidForNameContext { .. }))
}

/// The verifier's own words, where nothing above explains them.
fn by_verdict(input: &Input<'_>) -> Fault {
    let said = input.verdict.map(|error| words(&error.to_string())).unwrap_or_default();
    let cause = certificate_verdict(input.verdict).map_or("its certificate is not acceptable", certificate_cause);
    let fix = match certificate_verdict(input.verdict) {
        Some(Verdict::ExpiredRevocationList | Verdict::ExpiredRevocationListContext { .. }) => {
            "fetch the current list from the authority"
        }
        Some(Verdict::UnknownRevocationStatus) => {
            "the list of its issuer does not cover it: fetch a complete, direct list from the authority"
        }
        _ => "ask the peer's operators to have it issued again, as an X.509 v3 certificate for TLS servers",
    };
    Fault::new(format!("{cause} ({said})"), fix)
}

fn accepted(certificates: &[Shown], path: &[usize], leaf: &CertificateFacts, now: Timestamp) -> Finding {
    let issuer = path.last().and_then(|index| certificates.get(*index)).map_or("", |shown| shown.facts.issuer.as_str());
    let days = leaf.days_left(now);
    let what = format!("{}, issued under {issuer}, {}, {days} days left", leaf.subject, leaf.key_description);
    if days < EXPIRY_DAYS {
        return Finding::note(Step::Chain, what, "tell the peer's operators to renew it");
    }
    Finding::ok(Step::Chain, what)
}

/// The names of a certificate, for people.
pub(super) fn names(facts: &CertificateFacts) -> String {
    let names: Vec<String> = facts
        .dns_names
        .iter()
        .map(|name| words(name))
        .chain(facts.ip_addresses.iter().map(IpAddr::to_string))
        .collect();
    if names.is_empty() { "no name at all (subjectAltName is missing)".to_owned() } else { names.join(", ") }
}

fn name(leaf: &CertificateFacts, input: &Input<'_>, about_name: bool) -> Finding {
    let host = input.host;
    if !about_name && (input.verdict.is_none() || leaf.covers_host(host)) {
        return Finding::ok(Step::Name, format!("the certificate is for {host}"));
    }
    let what = format!("called {host}, and the certificate is for {}", names(leaf));
    let is_common_name = leaf.common_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(host));
    let fix = if is_common_name {
        format!("ask the peer's operators for a certificate with {host} as subjectAltName: a commonName does not count")
    } else if leaf.dns_names.is_empty() && leaf.ip_addresses.is_empty() {
        format!("ask the peer's operators for a certificate with {host} as subjectAltName")
    } else {
        format!(
            "write one of these names into the URL, or ask the peer's operators for a certificate with {host} in it"
        )
    };
    Finding::fail(Step::Name, what, fix)
}

#[cfg(test)]
mod tests;
