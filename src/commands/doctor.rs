//! `causeway doctor`: why does this peer not work? Goes the way of a call step by step, and names
//! the one that fails with its remedy.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use http::Uri;
use serde::Serialize;

use super::client::{self, Target};
use super::{CommandError, Outcome, print};
use crate::config::{Config, Peer, PeerExchange, PeerPatientId};
use crate::model::ids::HomeCommunityId;
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};
use crate::transaction::Service;
use crate::transport::diagnosis::{self, Ask, Configured, Diagnosis, Finding, IssuerIs, Shown, Status, Subject};
use crate::transport::peer::profile::PeerProfile;
use crate::transport::tls::TlsFiles;

/// How long a step may take unless told.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The exit code of what could not be asked at all, as for options that make no sense.
const BAD_USAGE: u8 = 2;

/// Arguments of `causeway doctor`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
The steps of a call, each with its finding:
  own-certificate      ours can be read, fits its key, is valid and meant for clients
  dns, tcp             the name has an address, and the address takes connections
  tls                  a TLS version and cipher suite that both sides take
  chain, name          the peer's certificate: every link to an authority that is trusted, dates, purpose,
                       revocation; and whether it is for the name that was called
  client-certificate   the peer accepts ours
  exchange             a note if its answers are configured to come asynchronously: here they are asked for at once
  http                 a SOAP service answers: no redirect, no proxy's or firewall's page
  clock                the peer's clock and ours agree
  packaging, soap, addressing, action, response
                       each part of the answer, up to a registry response or a fault and its likely cause
  home                 the peer takes itself for the community that --home names

Nothing is changed and no patient is asked for: the questions are for a document whose id was made up a
moment ago, so that 'no such document' is the right answer. A peer that is asked for the patient first
(patient_id = \"discover\") is asked for one whose identifier was made up, where the broker asks it, before all
else. The peer audits the questions like any others. A peer whose certificate is not accepted is asked none and
is not shown ours; if nothing but its dates is wrong it is asked what time it is, by a GET without a certificate.

Examples:
  A peer of the configuration, with everything that is written there:
    causeway doctor --peer 'Hertfordshire and West Essex' --config my-broker/causeway.toml
  Any address, with a certificate of one's own:
    causeway doctor https://hwe.example:8443/services/responding-gateway \\
      --cert certs/client.pem --ca hwe-ca.pem --home urn:oid:2.999.826.1.21
  A gateway whose queries and retrieves have addresses of their own:
    causeway doctor https://hwe.example/xca/query --service responding-gateway --only query
    causeway doctor https://hwe.example/xca/retrieve --service responding-gateway --only retrieve
  An address for patient discovery (ITI-55):
    causeway doctor https://hwe.example/xcpd --service responding-gateway --only discover
  A peer with several gateways: all of them are called, one after the other (with --json: an array).
  For a ticket, or a monitor:
    causeway doctor --peer North --json > north.json

The exit code is 0 if the peer works, 1 if a step fails, 2 if it could not be asked at all (wrong options,
missing files).")]
pub struct Args {
    /// The service's URL; or the broker's, https://host:port, and --service tells the rest
    #[arg(value_name = "URL", value_parser = client::parse_url, required_unless_present = "peer")]
    pub url: Option<Uri>,
    /// A peer of the configuration, by name or homeCommunityId: address, certificates and home are taken from there
    #[arg(long, value_name = "NAME")]
    pub peer: Option<String>,
    /// The configuration that --peer is looked up in
    #[arg(long, short, value_name = "FILE", default_value = "causeway.toml", env = "CAUSEWAY_CONFIG")]
    pub config: PathBuf,
    /// Which actor is there (default: as the path says, else responding-gateway)
    #[arg(long, value_name = "SERVICE", value_parser = parse_service)]
    pub service: Option<Service>,
    /// The community that is expected there
    #[arg(long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
    /// Ask one of the questions only
    #[arg(long, value_name = "query|retrieve|discover", value_parser = parse_ask)]
    pub only: Option<Ask>,
    /// How long each step may take (default: 10s, or the timeout of --peer)
    #[arg(long, value_name = "TIME", value_parser = client::parse_timeout)]
    pub timeout: Option<Duration>,
    /// Certificate to show (default: certs/client.pem of the current folder)
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    pub cert: Option<PathBuf>,
    /// Its private key (default: beside the certificate, as .key)
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    pub key: Option<PathBuf>,
    /// Authorities that the peer's certificate must come from (default: ca.pem beside the certificate)
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    pub ca: Option<PathBuf>,
    /// Revocation lists of those authorities
    #[arg(long, value_name = "FILE", help_heading = "Certificates")]
    pub crl: Option<PathBuf>,
    /// A SAML assertion, or a wsse:Security element that holds one, for the header (XUA)
    #[arg(long, value_name = "FILE")]
    pub assertion: Option<PathBuf>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub json: bool,
}

fn parse_service(text: &str) -> Result<Service, String> {
    Service::ALL.into_iter().find(|service| service.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Service::ALL.into_iter().map(Service::name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn parse_ask(text: &str) -> Result<Ask, String> {
    match text {
        "query" => Ok(Ask::Query),
        "retrieve" => Ok(Ask::Retrieve),
        "discover" => Ok(Ask::Discover),
        _ => Err("query, retrieve or discover".to_owned()),
    }
}

/// Calls, and prints how each step went.
///
/// # Errors
/// When the result cannot be printed.
pub async fn run(args: Args) -> Outcome {
    let (subjects, discovery) = match subjects(&args) {
        Ok(subjects) => subjects,
        Err(error) => {
            eprintln!("causeway: {error}");
            return Ok(ExitCode::from(BAD_USAGE));
        }
    };
    // In the order in which a broker calls.
    let discovered = match discovery {
        Some(subject) => Some((diagnosis::diagnose(&subject).await, subject)),
        None => None,
    };
    let mut found = Vec::with_capacity(subjects.len());
    for subject in subjects {
        let diagnosis = diagnosis::diagnose(&subject).await;
        found.push((diagnosis, subject));
    }
    let text = if args.json {
        let report = |(diagnosis, subject): &(Diagnosis, Subject)| Report::new(subject, diagnosis);
        let mut reports: Vec<Report> = found.iter().map(report).collect();
        if let (Some(first), Some(discovered)) = (reports.first_mut(), &discovered) {
            first.add_discovery(report(discovered));
        }
        match reports.as_slice() {
            [alone] => client::json(alone)?,
            several => client::json(&several)?,
        }
    } else {
        let colour = Colour::of_stdout();
        let all = discovered.iter().chain(&found);
        all.map(|(diagnosis, subject)| render(subject, diagnosis, colour)).collect::<Vec<_>>().join("\n")
    };
    print(&text)?;
    let failed = discovered.iter().chain(&found).any(|(diagnosis, _)| diagnosis.failure().is_some());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What to call: as given, and else all gateways that the configuration has of the peer. Beside them where patients
/// are asked for, if that is at another address.
fn subjects(args: &Args) -> Result<(Vec<Subject>, Option<Subject>), CommandError> {
    let peer = args.peer.as_deref().map(|name| configured(&args.config, name)).transpose()?;
    let urls: Vec<Uri> = match (&args.url, &peer) {
        (Some(url), _) => vec![url.clone()],
        (None, Some((peer, ..))) => peer.gateways().cloned().collect(),
        (None, None) => Vec::new(),
    };
    if urls.is_empty() {
        return Err(CommandError::failed("that peer has no responding_gateway: give its URL as well"));
    }
    // Where an address is given for that, it is looked at, and no other.
    let discovery = peer.as_ref().filter(|(peer, ..)| args.url.is_none() && peer.patient_id == PeerPatientId::Discover);
    let discovery = discovery.and_then(|(peer, ..)| peer.patient_discovery.clone());
    let gateways = urls.into_iter().map(|url| subject(args, url, peer.clone())).collect::<Result<Vec<_>, _>>()?;
    let elsewhere = match (discovery, gateways.first()) {
        (Some(uri), Some(first)) => Some(Subject { uri, only: Some(Ask::Discover), ..first.clone() }),
        _ => None,
    };
    Ok(match (elsewhere, args.only) {
        (Some(discovery), Some(Ask::Discover)) => (vec![discovery], None),
        (Some(discovery), None) => (gateways, Some(discovery)),
        _ => (gateways, None),
    })
}

fn subject(args: &Args, url: Uri, peer: Option<(Peer, TlsFiles, HomeCommunityId)>) -> Result<Subject, CommandError> {
    let (mut configured, mut profile) = (Configured::default(), PeerProfile::default());
    let (peer_files, peer_home, peer_timeout) = match peer {
        Some((peer, files, own)) => {
            configured = Configured {
                own: Some(own),
                discovers: peer.patient_id == PeerPatientId::Discover && peer.patient_discovery.is_none(),
                asynchronous: peer.exchange != PeerExchange::Synchronous,
            };
            profile = peer.profile;
            (Some(files), Some(peer.home_community_id), Some(peer.timeout))
        }
        None => (None, None, None),
    };
    let guessed = args.service.or_else(|| guess(url.path())).unwrap_or(Service::RespondingGateway);
    let target = Target::new(&url, guessed)?;
    let timeout = args.timeout.or(peer_timeout).unwrap_or(TIMEOUT);
    let assertion = args.assertion.as_deref().map(client::read_assertion).transpose()?;
    let subject = Subject {
        service: args.service.unwrap_or(target.service),
        files: files(args, peer_files, target.uri.scheme_str() == Some("http"))?,
        uri: target.uri,
        security: assertion,
        home: args.home.clone().or(peer_home),
        timeout,
        only: args.only,
        profile,
        configured,
    };
    if !subject.asks_anything() {
        let what =
            format!("the {} is not asked that: leave --only out, or name another --service", subject.service.name());
        return Err(CommandError::failed(what));
    }
    Ok(subject)
}

/// What a path tells of the actor behind it, where it is not one of ours.
fn guess(path: &str) -> Option<Service> {
    const MARKS: [(&str, Service); 8] = [
        ("initiating", Service::InitiatingGateway),
        ("responding", Service::RespondingGateway),
        ("xca", Service::RespondingGateway),
        ("gateway", Service::RespondingGateway),
        ("repository", Service::Repository),
        ("retrieve", Service::Repository),
        ("registry", Service::Registry),
        ("storedquery", Service::Registry),
    ];
    let path = path.to_ascii_lowercase();
    MARKS.into_iter().find(|(mark, _)| path.contains(mark)).map(|(_, service)| service)
}

/// A peer, what is shown to it and trusted, and our own community.
fn configured(file: &Path, name: &str) -> Result<(Peer, TlsFiles, HomeCommunityId), CommandError> {
    let config = Config::load(file)?;
    let found = config
        .peers
        .iter()
        .find(|peer| peer.name.eq_ignore_ascii_case(name) || peer.home_community_id.as_str() == name)
        .cloned();
    match found {
        Some(peer) => {
            let files = config.tls_for(&peer);
            Ok((peer, files, config.community.home_community_id))
        }
        None => {
            let names: Vec<&str> = config.peers.iter().map(|peer| peer.name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(CommandError::failed(format!("{} has no peer {name:?}; it has {there}", file.display())))
        }
    }
}

fn files(args: &Args, peer: Option<TlsFiles>, is_plain: bool) -> Result<TlsFiles, CommandError> {
    let given = |option: &Option<PathBuf>, own: PathBuf| option.clone().unwrap_or(own);
    if let Some(own) = peer {
        let beside = args.cert.as_ref().map(|cert| cert.with_extension("key"));
        return Ok(TlsFiles {
            key: given(&args.key.clone().or(beside), own.key),
            certificate: given(&args.cert, own.certificate),
            client_ca: given(&args.ca, own.client_ca),
            crl: args.crl.clone().or(own.crl),
        });
    }
    if is_plain {
        // None is read.
        let none = PathBuf::new();
        return Ok(TlsFiles { certificate: none.clone(), key: none.clone(), client_ca: none, crl: None });
    }
    client::given_files(
        args.cert.as_deref(),
        args.key.as_deref(),
        args.ca.as_deref(),
        args.crl.as_deref(),
        Path::new("."),
    )
}

// --- JSON ------------------------------------------------------------------------------------

#[derive(Serialize)]
struct Report {
    ok: bool,
    url: String,
    service: &'static str,
    home: Option<String>,
    /// The step that fails.
    failed: Option<&'static str>,
    steps: Vec<StepView>,
    tls: Option<TlsView>,
    certificates: Vec<CertificateView>,
    /// The address where patients are asked for, if that is another one.
    discovery: Option<Box<Report>>,
}

#[derive(Serialize)]
struct StepView {
    step: &'static str,
    transaction: Option<&'static str>,
    status: &'static str,
    what: String,
    fix: Option<String>,
    ms: Option<u64>,
}

#[derive(Serialize)]
struct TlsView {
    version: String,
    cipher_suite: String,
}

#[derive(Serialize)]
struct CertificateView {
    subject: String,
    issuer: String,
    /// `shown`, `trusted`, `named-as-trusted`, `itself` or `missing`.
    issuer_is: &'static str,
    serial: String,
    not_before: String,
    not_after: String,
    dns_names: Vec<String>,
    ip_addresses: Vec<String>,
    key: String,
    signature_algorithm: String,
    extended_key_usage: Option<Vec<&'static str>>,
    is_authority: bool,
    sha256: String,
}

impl Report {
    fn new(subject: &Subject, diagnosis: &Diagnosis) -> Self {
        Self {
            ok: diagnosis.failure().is_none(),
            url: subject.uri.to_string(),
            service: subject.service.name(),
            home: subject.home.as_ref().map(ToString::to_string),
            failed: diagnosis.failure().map(|finding| finding.step.name()),
            steps: diagnosis.findings.iter().map(StepView::new).collect(),
            tls: diagnosis
                .agreed
                .as_ref()
                .map(|agreed| TlsView { version: agreed.version.clone(), cipher_suite: agreed.cipher_suite.clone() }),
            certificates: diagnosis.certificates.iter().map(CertificateView::new).collect(),
            discovery: None,
        }
    }

    /// The peer works if both do; what is asked first counts first.
    fn add_discovery(&mut self, discovery: Self) {
        self.ok &= discovery.ok;
        self.failed = discovery.failed.or(self.failed);
        self.discovery = Some(Box::new(discovery));
    }
}

impl StepView {
    fn new(finding: &Finding) -> Self {
        Self {
            step: finding.step.name(),
            transaction: finding.transaction.map(|transaction| transaction.number),
            status: match finding.status {
                Status::Ok => "ok",
                Status::Fail => "fail",
                Status::Skipped => "skipped",
                Status::Note => "note",
            },
            what: finding.what.clone(),
            fix: finding.fix.clone(),
            ms: finding.took.map(milliseconds),
        }
    }
}

impl CertificateView {
    fn new(shown: &Shown) -> Self {
        let facts = &shown.facts;
        Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            issuer_is: match shown.issuer_is {
                IssuerIs::Shown(_) => "shown",
                IssuerIs::Trusted => "trusted",
                IssuerIs::NamedAsTrusted => "named-as-trusted",
                IssuerIs::Itself => "itself",
                IssuerIs::Missing => "missing",
            },
            serial: facts.serial.clone(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            dns_names: facts.dns_names.clone(),
            ip_addresses: facts.ip_addresses.iter().map(ToString::to_string).collect(),
            key: facts.key_description.clone(),
            signature_algorithm: facts.signature_algorithm.clone(),
            extended_key_usage: facts.purposes.clone(),
            is_authority: facts.is_authority,
            sha256: facts.fingerprint_hex(),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// --- text ------------------------------------------------------------------------------------

fn render(subject: &Subject, diagnosis: &Diagnosis, colour: Colour) -> String {
    let home = subject.home.as_ref().map(|home| format!(" of {home}")).unwrap_or_default();
    let only = if subject.only == Some(Ask::Discover) { ", where patients are asked for" } else { "" };
    let mut out =
        format!("{} as the {}{home}{only}\n\n", client::printable(&subject.uri.to_string()), subject.service.name());
    out.push_str(&steps(&diagnosis.findings).render(colour));
    if !diagnosis.certificates.is_empty() {
        out.push_str("\nThe peer's certificates:\n");
        out.push_str(&certificates(&diagnosis.certificates).render(colour));
    }
    out.push('\n');
    match diagnosis.failure() {
        Some(failure) => {
            out.push_str(&Tone::Bad.paint(&format!("It fails at {}.", failure.step.name()), colour));
        }
        None => {
            let notes = diagnosis.findings.iter().filter(|finding| finding.status == Status::Note).count();
            let notes = if notes == 0 { String::new() } else { format!(", with {}", counted(notes, "note")) };
            out.push_str(&Tone::Good.paint(&format!("It works{notes}."), colour));
        }
    }
    out.push('\n');
    out
}

fn steps(findings: &[Finding]) -> Table {
    let left = ("", Align::Left);
    let mut table = Table::new(&[left, left, left, ("", Align::Right), left]);
    for finding in findings {
        let (mark, tone) = match finding.status {
            Status::Ok => ("ok", Tone::Good),
            Status::Fail => ("FAIL", Tone::Bad),
            Status::Skipped => ("skipped", Tone::Faint),
            Status::Note => ("note", Tone::Warning),
        };
        let transaction = finding.transaction.map(|transaction| transaction.number).unwrap_or_default();
        let took = finding.took.map(|took| format!("{} ms", milliseconds(took))).unwrap_or_default();
        table.row([
            Cell::new(mark, tone),
            finding.step.name().into(),
            transaction.into(),
            Cell::new(took, Tone::Faint),
            finding.what.as_str().into(),
        ]);
        if let Some(fix) = &finding.fix {
            let none = || Cell::from("");
            table.row([none(), none(), none(), none(), Cell::new(format!("→ {fix}"), Tone::Faint)]);
        }
    }
    table
}

fn certificates(shown: &[Shown]) -> Table {
    let mut table = Table::new(&[("", Align::Right), ("", Align::Left), ("", Align::Left)]);
    for (index, certificate) in shown.iter().enumerate() {
        let facts = &certificate.facts;
        let issuer = match certificate.issuer_is {
            IssuerIs::Shown(number) => format!("certificate {number}"),
            IssuerIs::Trusted => "trusted".to_owned(),
            IssuerIs::NamedAsTrusted => "one of that name is trusted, with another key".to_owned(),
            IssuerIs::Itself => "signed by itself".to_owned(),
            IssuerIs::Missing => "neither shown nor trusted".to_owned(),
        };
        let names: Vec<String> =
            facts.dns_names.iter().cloned().chain(facts.ip_addresses.iter().map(ToString::to_string)).collect();
        let purposes = facts.purposes.as_ref().map_or("any purpose".to_owned(), |purposes| purposes.join(", "));
        let lines = [
            ("subject", facts.subject.clone()),
            ("issuer", format!("{} ({issuer})", facts.issuer)),
            ("valid", format!("{} to {}", facts.not_before, facts.not_after)),
            ("names", names.join(", ")),
            ("key", format!("{}, signed with {}, for {purposes}", facts.key_description, facts.signature_algorithm)),
            ("sha256", facts.fingerprint_hex()),
        ];
        for (number, (name, value)) in lines.into_iter().enumerate().filter(|(_, (_, value))| !value.is_empty()) {
            let head = if number == 0 { (index + 1).to_string() } else { String::new() };
            table.row([head.into(), Cell::new(name, Tone::Faint), value.into()]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from(["doctor"].iter().chain(more)).map(|cli| cli.args)
    }

    #[test]
    fn an_address_or_a_peer_is_needed() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["https://h"]).is_ok());
        assert!(parse(&["--peer", "North"]).is_ok());
        assert!(parse(&["ftp://h"]).is_err());
        assert!(parse(&["https://h", "--service", "registrar"]).is_err());
    }

    #[test]
    fn the_path_tells_the_service() {
        for (path, service) in [
            ("/services/registry", Some(Service::Registry)),
            ("/axis2/services/xdsregistryb", Some(Service::Registry)),
            ("/xds/RepositoryB", Some(Service::Repository)),
            ("/xca/RespondingGateway_Query_Service", Some(Service::RespondingGateway)),
            ("/ihe/xca-retrieve", Some(Service::RespondingGateway)),
            ("/InitiatingGateway", Some(Service::InitiatingGateway)),
            ("/soap", None),
        ] {
            assert_eq!(guess(path), service, "{path}");
        }
    }

    #[test]
    fn without_a_path_the_services_own_is_taken() {
        let args = parse(&["http://peer.example:8080", "--service", "repository"]).unwrap();
        let subject = subjects(&args).unwrap().0.remove(0);
        assert_eq!(subject.uri.path(), "/services/repository");
        assert_eq!((subject.service, subject.timeout), (Service::Repository, TIMEOUT));
        // Nothing asked is nothing found out.
        let args = parse(&["http://peer.example:8080", "--service", "repository", "--only", "query"]).unwrap();
        assert!(subjects(&args).is_err());
    }
}
