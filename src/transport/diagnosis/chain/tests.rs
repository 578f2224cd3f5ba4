use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;

use super::*;
use crate::transport::certificates::{DevelopmentAuthority, IssuedCertificate};

const DAY: i64 = 86_400;

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + day * DAY).unwrap()
}

fn authority(name: &str) -> DevelopmentAuthority {
    DevelopmentAuthority::new(name, at(0)).unwrap()
}

fn own(authority: &DevelopmentAuthority) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(authority.certificate_pem().unwrap().as_bytes()).unwrap()
}

fn server(authority: &DevelopmentAuthority) -> IssuedCertificate {
    authority.issue_server(&["peer.example"], &[IpAddr::from([127, 0, 0, 1])], "Peer").unwrap()
}

fn der(issued: &IssuedCertificate) -> CertificateDer<'static> {
    issued.certificate_der.clone().into()
}

fn refused(verdict: Verdict) -> Option<Error> {
    Some(Error::InvalidCertificate(verdict))
}

/// Reads a chain on day 1, called `peer.example`.
fn reading(shown: &[CertificateDer<'static>], trusted: &DevelopmentAuthority, verdict: Option<Error>) -> Reading {
    read(&Input {
        shown,
        trusted: &[own(trusted)],
        lists: &[],
        trusted_file: "ca.pem",
        host: "peer.example",
        verdict: verdict.as_ref(),
        now: at(1),
    })
}

fn fails(finding: &Finding, what: &[&str], fix: &str) {
    assert_eq!(finding.status, Status::Fail, "{finding:?}");
    for what in what {
        assert!(finding.what.contains(what), "{what} is not in {finding:?}");
    }
    assert!(finding.fix.as_deref().is_some_and(|said| said.contains(fix)), "{fix} is not in {finding:?}");
}

#[test]
fn an_accepted_chain_is_told_and_a_short_one_noted() {
    let north = authority("North");
    let reading = reading(&[der(&server(&north))], &north, None);
    assert_eq!((reading.chain.status, reading.name.status, reading.dated), (Status::Ok, Status::Ok, false));
    assert!(reading.chain.what.contains("EC P-256, 729 days left"), "{:?}", reading.chain);
    assert_eq!(reading.certificates[0].issuer_is, IssuerIs::Trusted);
    let facts = &reading.certificates[0].facts;
    assert_eq!(facts.signature_algorithm, "ecdsa-with-SHA256");
    assert_eq!(facts.purposes.as_deref(), Some(["serverAuth", "clientAuth"].as_slice()));
    let short = authority("North").with_valid_days(20);
    assert_eq!(self::reading(&[der(&server(&short))], &short, None).chain.status, Status::Note);
}

#[test]
fn the_link_that_is_missing_is_named() {
    let (root, other) = (authority("Root"), authority("Other"));
    let middle = root.issue_authority("Middle").unwrap();
    let leaf = der(&server(&middle));
    let unknown = || refused(Verdict::UnknownIssuer);
    // An intermediate that is not sent.
    let missing = reading(std::slice::from_ref(&leaf), &root, unknown());
    fails(
        &missing.chain,
        &["issued by CN=Middle", "neither trusted here nor shown", "ca.pem has CN=Root"],
        "the peer has to send it",
    );
    assert_eq!(missing.certificates[0].issuer_is, IssuerIs::Missing);
    // The whole chain, in any order, up to a root that we do not know.
    for chain in [[leaf.clone(), own(&middle), own(&root)], [leaf.clone(), own(&root), own(&middle)]] {
        let foreign = reading(&chain, &other, unknown());
        fails(&foreign.chain, &["ends at CN=Root", "not trusted here"], "fingerprint");
    }
    let whole = reading(&[leaf.clone(), own(&middle)], &root, None);
    let found: Vec<IssuerIs> = whole.certificates.iter().map(|shown| shown.issuer_is).collect();
    assert_eq!(found, [IssuerIs::Shown(2), IssuerIs::Trusted]);
    // Renewed under its old name.
    let renewed = authority("Root");
    let direct = reading(&[der(&server(&renewed))], &root, unknown());
    fails(&direct.chain, &["an authority of that name is trusted", "another key"], "renewed");
    // Nobody vouches.
    fails(&reading(&[own(&other)], &root, unknown()).chain, &["signed by itself"], "single certificates");
}

#[test]
fn every_fault_is_told_and_not_only_the_first() {
    let north = authority("North");
    let elsewhere = authority("Elsewhere").with_valid_days(0);
    let leaf = der(&server(&elsewhere));
    let reading = reading(&[leaf], &north, refused(Verdict::UnknownIssuer));
    fails(&reading.chain, &["neither trusted here", "; also: its certificate", "expired on", "1 days ago"], "clock");
    // What is wrong besides is not to be answered by a look at the clock.
    assert!(!reading.dated);
}

#[test]
fn dates_are_held_against_our_clock() {
    let north = authority("North").with_valid_days(2);
    let leaf = [der(&server(&north))];
    let trusted = [own(&north)];
    let on = |day, verdict: Verdict| {
        read(&Input {
            shown: &leaf,
            trusted: &trusted,
            lists: &[],
            trusted_file: "ca.pem",
            host: "peer.example",
            verdict: refused(verdict).as_ref(),
            now: at(day),
        })
    };
    let expired = on(12, Verdict::Expired);
    fails(&expired.chain, &["expired on", "10 days ago"], "correct this machine's clock");
    assert!(expired.dated);
    assert_eq!(expired.name.status, Status::Ok);
    let called_otherwise = read(&Input {
        shown: &leaf,
        trusted: &trusted,
        lists: &[],
        trusted_file: "ca.pem",
        host: "other.example",
        verdict: refused(Verdict::Expired).as_ref(),
        now: at(12),
    });
    assert!(!called_otherwise.dated && called_otherwise.name.status == Status::Fail);
    fails(&on(-3, Verdict::NotValidYet).chain, &["not valid before"], "correct this machine's clock");
}

#[test]
fn a_revoked_certificate_is_named_by_its_list() {
    let mut north = authority("North");
    let (gone, good) = (server(&north), server(&north));
    north.revoke(&gone);
    let pem = north.revocation_list_pem(at(0), at(30)).unwrap();
    let lists = [CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let with = |issued: &IssuedCertificate, verdict: Option<Error>| {
        read(&Input {
            shown: &[der(issued)],
            trusted: &[own(&north)],
            lists: &lists,
            trusted_file: "ca.pem",
            host: "peer.example",
            verdict: verdict.as_ref(),
            now: at(1),
        })
    };
    fails(&with(&gone, refused(Verdict::Revoked)).chain, &["was revoked by its issuer"], "new key");
    assert_eq!(with(&good, None).chain.status, Status::Ok);
}

#[test]
fn a_name_that_does_not_fit_is_no_fault_of_the_chain() {
    let north = authority("North");
    let wrong = [der(&north.issue_server(&["other.example"], &[], "peer.example").unwrap())];
    let reading = reading(&wrong, &north, refused(Verdict::NotValidForName));
    assert_eq!(reading.chain.status, Status::Ok);
    fails(&reading.name, &["called peer.example", "is for other.example"], "a commonName does not count");
    let another = [der(&north.issue_server(&["a.example", "b.example"], &[], "x").unwrap())];
    let reading = self::reading(&another, &north, refused(Verdict::NotValidForName));
    fails(&reading.name, &["a.example, b.example"], "into the URL");
    // Beside another fault as well.
    let reading = self::reading(&another, &authority("South"), refused(Verdict::UnknownIssuer));
    fails(&reading.name, &["a.example"], "into the URL");
    fails(&reading.chain, &["neither trusted"], "--ca");
}

#[test]
fn what_is_not_for_servers_says_what_it_is_for() {
    let north = authority("North");
    let client = [der(&north.issue_client("Ward").unwrap())];
    let reading = reading(&client, &north, refused(Verdict::InvalidPurpose));
    fails(&reading.chain, &["not for servers", "has clientAuth"], "serverAuth");
    fails(&reading.name, &["no name at all"], "subjectAltName");
}

#[test]
fn what_is_not_explained_is_in_the_verifiers_words() {
    let north = authority("North");
    let leaf = [der(&server(&north))];
    for (verdict, what, fix) in [
        (Verdict::ExpiredRevocationList, "revocation list", "fetch the current list"),
        (Verdict::UnknownRevocationStatus, "no revocation list covers", "complete"),
        (Verdict::UnhandledCriticalExtension, "critical extension", "issued again"),
        (Verdict::Other(rustls::OtherError(Arc::new(std::io::Error::other("odd")))), "not acceptable", "issued again"),
    ] {
        fails(&reading(&leaf, &north, refused(verdict)).chain, &[what], fix);
    }
}

#[test]
fn circles_and_rubbish_have_an_end() {
    let north = authority("North");
    let many = vec![own(&north); 40];
    let reading = self::reading(&many, &authority("South"), refused(Verdict::UnknownIssuer));
    assert_eq!(reading.certificates.len(), MOST_LINKS);
    let rubbish = [CertificateDer::from(b"rubbish".to_vec())];
    let reading = self::reading(&rubbish, &north, refused(Verdict::BadEncoding));
    fails(&reading.chain, &["certificate 1 cannot be read"], "issued again");
    assert_eq!(self::reading(&[], &north, None).chain.status, Status::Fail);
}
