//! What is looked at of the communities around besides whether they answer: files, certificates and codes that
//! their settings name.

use std::path::Path;

use rustls::pki_types::UnixTime;

use super::{Check, MAX_CODES_BYTES, Report, bytes};
use crate::config::{Config, Peer, Service};
use crate::model::community::{CertificateRule, ShownCertificate};
use crate::model::sharing::CodeRule;
use crate::model::vocabulary::scheme;
use crate::transport::certificates::{self, CertificateFacts};
use crate::transport::tls::{MAX_PEM_BYTES, TlsSource, client_config};
use crate::validate::codes::CodeSet;

/// Everything that can be told without calling anybody.
pub(super) fn settings(config: &Config) -> Vec<Check> {
    let (codes, own) = (code_set(config), leaf(&config.client.certificate));
    let mut checks = answers(config);
    for peer in &config.peers {
        let mut report = Report::new(format!("peer {}", peer.name));
        if let Some(path) = &peer.ca {
            authority(&mut report, config, peer, path);
        }
        if let Some(facts) = own.as_ref().filter(|facts| is_meant(&peer.certificates, facts)) {
            let what = format!("its certificates are ours too: {}", facts.subject);
            report.warn(what, "name what the peer shows, or give our broker a certificate of its own");
        }
        if let Some(codes) = &codes {
            shared_codes(&mut report, peer, codes);
        }
        checks.append(&mut report.checks);
    }
    checks
}

/// The first certificate of a file; one that cannot be read is told of elsewhere.
fn leaf(path: &Path) -> Option<CertificateFacts> {
    let pem = bytes(&mut Report::new(""), path, MAX_PEM_BYTES)?;
    certificates::facts_from_pem(&pem).ok()?.into_iter().next()
}

/// Whether a certificate is one of those by which a community is recognised.
pub(super) fn is_meant(rules: &[CertificateRule], facts: &CertificateFacts) -> bool {
    let common_name = facts.common_name.as_ref().or(facts.dns_names.first()).unwrap_or(&facts.subject);
    let shown = ShownCertificate { sha256: facts.fingerprint_sha256, subject: &facts.subject, common_name };
    rules.iter().any(|rule| rule.is(&shown))
}

/// The file of a peer's own authorities, without which the broker does not start, whether the peer is asked or not.
fn authority(report: &mut Report, config: &Config, peer: &Peer, path: &Path) {
    let material = TlsSource::Files(config.tls_for(peer)).load(UnixTime::now());
    if !peer.is_asked()
        && let Err(error) = material.and_then(|material| client_config(&material))
    {
        report.fail(format!("our own side: {error}"), "correct the files of [client] or of the peer's ca");
        return;
    }
    let pem = bytes(&mut Report::new(""), path, MAX_PEM_BYTES);
    let facts = pem.and_then(|pem| certificates::facts_from_pem(&pem).ok()).unwrap_or_default();
    let signs = |facts: &CertificateFacts| facts.is_authority || facts.subject == facts.issuer;
    if let Some(first) = facts.first().filter(|_| !facts.iter().any(signs)) {
        report.warn(
            format!("ca has {}, which is no authority: it signs nothing", first.subject),
            format!("put in the certificate of its issuer, {}", first.issuer),
        );
    }
}

/// Whether peers can send their answers to the address that they are told.
fn answers(config: &Config) -> Vec<Check> {
    let mut report = Report::new("asynchronous.address");
    let Some(host) = config.asynchronous.address.as_ref().and_then(|address| address.host()) else {
        return report.checks;
    };
    let takes = config.listeners.iter().filter(|listener| listener.services.contains(&Service::InitiatingGateway));
    let shown: Vec<CertificateFacts> = takes.filter_map(|listener| leaf(&listener.tls.certificate)).collect();
    if !shown.is_empty() && !shown.iter().any(|facts| facts.covers_host(host)) {
        report.warn(
            format!("peers that send their answers to {host} meet a certificate that does not cover it"),
            "have one made with the name as subjectAltName, or correct the address; fine if another system takes calls there",
        );
    }
    report.checks
}

fn code_set(config: &Config) -> Option<CodeSet> {
    let bytes = bytes(&mut Report::new(""), &config.codes.as_ref()?.file, MAX_CODES_BYTES)?;
    CodeSet::parse(&String::from_utf8(bytes).ok()?).ok()
}

/// Codes of `shares` that no document of ours can have.
fn shared_codes(report: &mut Report, peer: &Peer, codes: &CodeSet) {
    let unknown = |attribute: &str, rules: &[CodeRule]| -> Vec<String> {
        let is_known = |rule: &&CodeRule| {
            let (code, coding_scheme) = rule.parts();
            codes.has_code(attribute, coding_scheme, code)
        };
        rules.iter().filter(|rule| !is_known(rule)).map(CodeRule::to_string).collect()
    };
    let shares = [
        (
            "allow",
            &peer.shares.allow,
            "compare it with the code file: capitals count, and code^^scheme is of that scheme alone",
        ),
        (
            "deny",
            &peer.shares.deny,
            "compare it with the code file: capitals count; leave it if communities behind ours have such documents, or ours from before",
        ),
    ];
    for (list, lists, fix) in shares {
        for (name, attribute, rules) in [
            ("confidentiality", scheme::CONFIDENTIALITY_CODE, &lists.confidentiality),
            ("class", scheme::CLASS_CODE, &lists.class),
            ("type", scheme::TYPE_CODE, &lists.type_code),
        ] {
            for code in unknown(attribute, rules) {
                report.warn(format!("shares.{list}.{name}: the code file has no {code}"), fix);
            }
        }
    }
}
