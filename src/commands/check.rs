//! `causeway check`: what would go wrong, before it does.
//!
//! Everything is looked at, whatever is found on the way: configuration, certificates, folders,
//! codes, and each peer that would be asked, step by step, within its own timeout. Only
//! a configuration that cannot be read ends it early, with all its findings.

mod federation;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures_util::future::join_all;
use http::Uri;
use jiff::Timestamp;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::print;
use super::{CommandError, Outcome};
use crate::config::{Config, ConfigError, DocumentStorage, Listener, Peer, Profile, UnknownPatients};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};
use crate::transport::certificates::{self, CertificateFacts, ChainInput, Role, Severity};
use crate::transport::peer::profile::PeerProfile;
use crate::transport::tls::{
    MAX_CRL_BYTES, MAX_PEM_BYTES, TlsFiles, TlsSource, client_config, handshake_cause, server_config,
};
use crate::validate::codes::CodeSet;

/// A code file larger than this is another file.
const MAX_CODES_BYTES: u64 = 64 << 20;
/// A peer's certificate that expires within these days deserves a call to the peer.
const PEER_EXPIRY_DAYS: i64 = 30;
/// `HTTP/1.1 200`: what is needed to know that HTTP is spoken.
const STATUS_BYTES: usize = 12;

/// Arguments of `causeway check`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The configuration to check
    #[arg(long, short, value_name = "FILE", default_value = "causeway.toml", env = "CAUSEWAY_CONFIG")]
    pub config: PathBuf,
    /// Print a JSON array of { status, check, line, what, fix } instead of a table
    #[arg(long)]
    pub json: bool,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but deserves a look.
    Warn,
    /// Does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// How it went.
    pub status: Status,
    /// What was looked at.
    pub check: String,
    /// The line of the configuration, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What is so.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Collects what is found about one thing.
struct Report {
    subject: String,
    checks: Vec<Check>,
}

impl Report {
    fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), checks: Vec::new() }
    }

    fn add(&mut self, status: Status, what: impl Into<String>, fix: Option<String>) {
        self.checks.push(Check { status, check: self.subject.clone(), line: None, what: what.into(), fix });
    }

    fn ok(&mut self, what: impl Into<String>) {
        self.add(Status::Ok, what, None);
    }

    fn warn(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Status::Warn, what, Some(fix.into()));
    }

    fn fail(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.add(Status::Fail, what, Some(fix.into()));
    }

    fn has_failed(&self) -> bool {
        self.checks.iter().any(|check| check.status == Status::Fail)
    }
}

/// Checks and prints; exit code 1 if anything fails.
///
/// # Errors
/// When the result cannot be printed.
pub async fn run(args: Args) -> Outcome {
    let checks = match Config::load(&args.config) {
        Ok(config) => examine(&config).await,
        Err(error) => of_configuration(error),
    };
    let text = if args.json {
        let json = serde_json::to_string_pretty(&checks);
        json.map_err(|error| CommandError::failed(error.to_string()))? + "\n"
    } else {
        table(&checks, Colour::of_stdout())
    };
    print(&text)?;
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn of_configuration(error: ConfigError) -> Vec<Check> {
    let checks = error.findings.into_iter().map(|finding| Check {
        status: Status::Fail,
        check: finding.key,
        line: finding.line,
        what: finding.what,
        fix: Some(finding.fix),
    });
    checks.collect()
}

/// What the reading itself found odd.
fn of_notes(config: &Config) -> Vec<Check> {
    let checks = config.notes.iter().cloned().map(|note| Check {
        status: Status::Warn,
        check: note.key,
        line: note.line,
        what: note.what,
        fix: Some(note.fix),
    });
    checks.collect()
}

fn table(checks: &[Check], colour: Colour) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Left), ("", Align::Left)]);
    for check in checks {
        let (mark, tone) = match check.status {
            Status::Ok => ("ok", Tone::Good),
            Status::Warn => ("warn", Tone::Warning),
            Status::Fail => ("FAIL", Tone::Bad),
        };
        let place = check.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let subject = format!("{}{place}", check.check);
        table.row([Cell::new(mark, tone), subject.into(), check.what.as_str().into()]);
        if let Some(fix) = &check.fix {
            table.row(["".into(), "".into(), Cell::new(format!("→ {fix}"), Tone::Faint)]);
        }
    }
    let number = |status| checks.iter().filter(|check| check.status == status).count();
    format!(
        "{}\n{} ok, {}, {}\n",
        table.render(colour),
        number(Status::Ok),
        counted(number(Status::Warn), "warning"),
        counted(number(Status::Fail), "failure"),
    )
}

/// Looks at everything that a readable configuration names.
pub async fn examine(config: &Config) -> Vec<Check> {
    let now = Timestamp::now();
    let mut checks = of_notes(config);
    checks.extend(community(config));
    for (index, listener) in config.listeners.iter().enumerate() {
        // The first listener's certificate also calls unless [client] has another.
        let role = if config.client == listener.tls { Role::Both } else { Role::Server };
        checks.extend(listening(&format!("listener[{index}]"), listener));
        checks.extend(certificate(&format!("listener[{index}].tls"), &listener.tls, role, config, now, Some(listener)));
    }
    if config.listeners.iter().all(|listener| listener.tls != config.client) {
        checks.extend(certificate("client", &config.client, Role::Client, config, now, None));
    }
    checks.extend(administration(config));
    checks.extend(storage(config));
    checks.extend(codes(config));
    checks.extend(federation::settings(config));
    let peers = join_all(config.peers.iter().map(|peer| reach_peer(config, peer, now))).await;
    checks.extend(peers.into_iter().flatten());
    let within = std::time::Duration::from_secs(10);
    if let Some(url) = &config.registry {
        checks.extend(reach("registry", url, &config.client, within, config, now, None).await);
    }
    if let Some(telemetry) = &config.telemetry {
        checks.extend(if telemetry.endpoint.scheme_str() == Some("https") {
            let files = config.tls_with(telemetry.ca.as_ref());
            reach("telemetry", &telemetry.endpoint, &files, within, config, now, None).await
        } else {
            // There is nothing of ours to be wrong, but that it is so is not to be overlooked.
            let mut report = Report::new("telemetry");
            report.ok(format!("{}, in the clear, not called", telemetry.endpoint));
            report.checks
        });
    }
    checks
}

fn community(config: &Config) -> Vec<Check> {
    let mut report = Report::new("community");
    let community = &config.community;
    let profile = match community.profile {
        Profile::Demo => "demo",
        Profile::Production => "production",
    };
    report.ok(format!("{} ({}), profile {profile}", community.name, community.home_community_id));
    let mut patients = Report::new("patients");
    let domains = match config.patients.domains.len() {
        0 => "any domain".to_owned(),
        number => counted(number, "domain"),
    };
    match config.patients.unknown {
        UnknownPatients::Reject if config.patients.known.is_empty() => patients.warn(
            format!("{domains}; unknown patients are rejected and none is known"),
            "name some in patients.known or patients.known_file, or set patients.unknown = \"accept\"",
        ),
        UnknownPatients::Reject => {
            patients.ok(format!("{domains}, {} known", counted(config.patients.known.len(), "patient")));
        }
        UnknownPatients::Accept => patients.ok(format!("{domains}, unknown patients are accepted")),
    }
    report.checks.append(&mut patients.checks);
    report.checks
}

/// Whether the address is this machine's, and ours to take.
fn listening(subject: &str, listener: &Listener) -> Vec<Check> {
    let mut report = Report::new(subject);
    let services: Vec<&str> = listener.services.iter().map(|service| service.name()).collect();
    let serving = format!("{} for {}", listener.bind, services.join(", "));
    free_address(&mut report, listener.bind, &serving);
    report.checks
}

fn free_address(report: &mut Report, address: SocketAddr, shown: &str) {
    match TcpListener::bind(address) {
        Ok(_) => report.ok(shown),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => report.warn(
            format!("{shown}: the port is in use"),
            "fine if this broker is running already; else stop the other program or take another port",
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => report.fail(
            format!("{shown}: this user may not take the port"),
            "take a port from 1024 up, or give the broker CAP_NET_BIND_SERVICE",
        ),
        Err(error) => {
            report.fail(format!("{shown}: {error}"), "use an address of this machine, or 0.0.0.0 for all of them")
        }
    }
}

fn administration(config: &Config) -> Vec<Check> {
    let mut report = Report::new("admin");
    match config.admin {
        None => report.ok("off"),
        Some(address) => {
            free_address(&mut report, address, &address.to_string());
            if !address.ip().is_loopback() {
                report.warn(
                    format!("{address} can be reached from other machines, and asks for no certificate"),
                    "bind it to 127.0.0.1, or let a firewall admit only your monitoring",
                );
            }
        }
    }
    report.checks
}

// --- certificates ----------------------------------------------------------------------------

/// A file's bytes, or a finding.
fn bytes(report: &mut Report, path: &Path, limit: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    let what = match read {
        Ok(_) if bytes.len() as u64 <= limit => return Some(bytes),
        Ok(_) => format!("{} is larger than {limit} bytes", path.display()),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    };
    report.fail(what, "check the path, and that the broker's user may read it");
    None
}

fn certificate(
    subject: &str,
    files: &TlsFiles,
    role: Role,
    config: &Config,
    now: Timestamp,
    listener: Option<&Listener>,
) -> Vec<Check> {
    let mut report = Report::new(subject);
    let profile = config.community.profile;
    let chain = bytes(&mut report, &files.certificate, MAX_PEM_BYTES);
    let key = bytes(&mut report, &files.key, MAX_PEM_BYTES);
    let authorities = bytes(&mut report, &files.client_ca, MAX_PEM_BYTES);
    let crl = match &files.crl {
        Some(path) => bytes(&mut report, path, MAX_CRL_BYTES),
        None => {
            if profile == Profile::Production {
                report.warn(
                    "there is no revocation list: a revoked certificate is still accepted",
                    "add crl with the list of your authority",
                );
            }
            None
        }
    };
    let (Some(chain), Some(key), Some(authorities)) = (chain, key, authorities) else {
        return report.checks;
    };
    secrecy(&mut report, &files.key);
    let findings = certificates::check_chain(&ChainInput {
        chain_pem: &chain,
        key_pem: Some(&key),
        ca_pem: &authorities,
        crl: crl.as_deref(),
        host: None,
        role,
        now,
    });
    for finding in findings {
        let status = match finding.severity {
            Severity::Error => Status::Fail,
            Severity::Warning => Status::Warn,
            // Said once below, for authorities as well.
            Severity::Note if finding.check == "development" => continue,
            Severity::Note => Status::Ok,
        };
        report.add(status, finding.message, Some(finding.fix));
    }
    let leaf = certificates::facts_from_pem(&chain).ok().and_then(|facts| facts.into_iter().next());
    if let (Some(leaf), Some(listener)) = (&leaf, listener) {
        names(&mut report, leaf, listener);
    }
    development(&mut report, leaf.as_ref(), &authorities, profile);
    // The engine has the last word, and the same words would only repeat what was found above.
    if !report.has_failed()
        && let Err(error) = engine(files, role)
    {
        report.fail(error, "correct the files named");
    }
    if !report.has_failed()
        && let Some(leaf) = leaf
    {
        let name = leaf.common_name.as_deref().unwrap_or(&leaf.subject);
        let days = leaf.days_left(now);
        report.ok(format!("{name}, {}, chain and key fit, {days} days left", leaf.key_description));
    }
    report.checks
}

fn engine(files: &TlsFiles, role: Role) -> Result<(), String> {
    let material = TlsSource::Files(files.clone()).load(UnixTime::now());
    let material = material.map_err(|error| error.to_string())?;
    if matches!(role, Role::Server | Role::Both) {
        server_config(&material).map_err(|error| error.to_string())?;
    }
    if matches!(role, Role::Client | Role::Both) {
        client_config(&material).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn secrecy(report: &mut Report, key: &Path) {
    let mode = fs::metadata(key).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        report.warn(
            format!("the key {} can be read by other users of this machine", key.display()),
            format!("chmod 600 {}", key.display()),
        );
    }
}

fn names(report: &mut Report, leaf: &CertificateFacts, listener: &Listener) {
    let fix = "have a certificate made with the name as subjectAltName, or correct listener.names";
    for name in listener.names.iter().filter(|name| !leaf.covers_host(name)) {
        report.fail(format!("callers use {name}, which the certificate does not cover"), fix);
    }
    let address = listener.bind.ip();
    if listener.names.is_empty() && !address.is_unspecified() && !leaf.covers_host(&address.to_string()) {
        report.warn(
            format!("the certificate does not cover the address {address}"),
            "say in listener.names what callers use instead, or have the address put into the certificate",
        );
    }
}

fn development(report: &mut Report, leaf: Option<&CertificateFacts>, authorities: &[u8], profile: Profile) {
    let own = leaf.is_some_and(|facts| facts.is_development);
    let trusted =
        certificates::facts_from_pem(authorities).is_ok_and(|facts| facts.iter().any(|facts| facts.is_development));
    let what = match (own, trusted) {
        (true, _) => "the certificate was made by a development authority",
        (false, true) => "a development authority is trusted",
        (false, false) => return,
    };
    match profile {
        Profile::Demo => report.ok(what),
        Profile::Production => report.fail(
            format!("{what}, and profile is production"),
            "use certificates of your own authority: whoever has the development key can make more",
        ),
    }
}

// --- storage and codes -----------------------------------------------------------------------

fn storage(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    let metadata = config.storage.metadata.folder();
    let documents = match &config.storage.documents {
        DocumentStorage::Files(path) => Some(path.as_path()),
        DocumentStorage::Memory => None,
    };
    let audit = Some(config.audit.dir.as_path());
    for (subject, path) in [("storage.metadata", metadata), ("storage.documents", documents), ("audit.dir", audit)] {
        let mut report = Report::new(subject);
        match path {
            Some(path) => writable(&mut report, path),
            None => report.ok("in memory, gone with the process"),
        }
        checks.append(&mut report.checks);
    }
    checks
}

/// Whether the folder can be written, or made; nothing stays behind.
fn writable(report: &mut Report, path: &Path) {
    let shown = path.display();
    let there = path.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.exists());
    let folder = match there {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        report.fail(format!("{} is not a folder", folder.display()), "move it away, or choose another path");
        return;
    }
    let trial = folder.join(format!(".causeway-check-{}", std::process::id()));
    let written = fs::write(&trial, b"trial");
    // If it could not be written there is nothing to remove.
    let _ = fs::remove_file(&trial);
    match written {
        Ok(()) if folder == path => report.ok(format!("{shown} can be written")),
        Ok(()) => report.ok(format!("{shown} will be made")),
        Err(error) => report.fail(
            format!("{} cannot be written: {error}", folder.display()),
            "let the broker's user own it, or choose another path",
        ),
    }
}

fn codes(config: &Config) -> Vec<Check> {
    let mut report = Report::new("codes.file");
    let Some(codes) = &config.codes else {
        report.ok("none: every code is accepted");
        return report.checks;
    };
    let Some(bytes) = bytes(&mut report, &codes.file, MAX_CODES_BYTES) else {
        return report.checks;
    };
    let parsed = String::from_utf8(bytes)
        .map_err(|_| "it is not UTF-8 text".to_owned())
        .and_then(|text| CodeSet::parse(&text).map_err(|error| error.to_string()));
    match parsed {
        Err(error) => report.fail(
            format!("{}: {error}", codes.file.display()),
            "correct the file, or take the one that causeway init writes",
        ),
        Ok(set) if set.is_empty() && codes.enforce => report.warn(
            format!("{} has no codes, so nothing is enforced", codes.file.display()),
            "check that the path names the right file",
        ),
        Ok(set) => {
            let rule = if codes.enforce { "others are refused" } else { "others are accepted too" };
            report.ok(format!("{}, {rule}", counted(set.len(), "code")));
        }
    }
    report.checks
}

// --- peers -----------------------------------------------------------------------------------

async fn reach_peer(config: &Config, peer: &Peer, now: Timestamp) -> Vec<Check> {
    let subject = format!("peer {}", peer.name);
    let mut checks = reached(config, peer, now, subject.clone()).await;
    if peer.profile != PeerProfile::default() {
        let mut report = Report::new(subject);
        report.ok(format!("profile {}", peer.profile.words()));
        checks.append(&mut report.checks);
    }
    checks
}

async fn reached(config: &Config, peer: &Peer, now: Timestamp, subject: String) -> Vec<Check> {
    let gateways: Vec<&Uri> = peer.gateways().collect();
    if gateways.is_empty() || !peer.is_asked() {
        let mut report = Report::new(subject);
        report.ok(if peer.kind.serves() {
            format!("not asked: {}", peer.states.words(now))
        } else {
            "not asked: it serves nothing".to_owned()
        });
        return report.checks;
    }
    let files = config.tls_for(peer);
    let number = |at: usize| match gateways.len() {
        1 => subject.clone(),
        all => format!("{subject}, gateway {} of {all}", at + 1),
    };
    let reached = gateways.iter().enumerate().map(|(at, url)| {
        let (subject, files) = (number(at), &files);
        async move { reach(&subject, url, files, peer.timeout, config, now, Some(peer)).await }
    });
    let mut checks = of_gateways(join_all(reached).await);
    if let Some(url) = &peer.patient_discovery {
        let subject = format!("{subject}, patient discovery");
        checks.extend(reach(&subject, url, &files, peer.timeout, config, now, Some(peer)).await);
    }
    checks
}

/// What was found of each gateway of a peer; while one of them can be asked, what is wrong with another is a warning.
fn of_gateways(mut found: Vec<Vec<Check>>) -> Vec<Check> {
    let works = |checks: &Vec<Check>| checks.iter().all(|check| check.status != Status::Fail);
    if found.iter().any(works) {
        for check in found.iter_mut().flatten().filter(|check| check.status == Status::Fail) {
            check.status = Status::Warn;
        }
    }
    found.into_iter().flatten().collect()
}

async fn reach(
    subject: &str,
    url: &Uri,
    files: &TlsFiles,
    within: std::time::Duration,
    config: &Config,
    now: Timestamp,
    peer: Option<&Peer>,
) -> Vec<Check> {
    let mut report = Report::new(subject);
    let files = files.clone();
    let settings = tokio::task::spawn_blocking(move || {
        let material = TlsSource::Files(files).load(UnixTime::now())?;
        client_config(&material)
    });
    let settings = match settings.await {
        Ok(Ok(settings)) => settings,
        Ok(Err(error)) => {
            report.fail(format!("our own side: {error}"), "correct the files of [client] or of the peer's ca");
            return report.checks;
        }
        Err(error) => {
            report.fail(format!("our own side: {error}"), "try again");
            return report.checks;
        }
    };
    let connector = TlsConnector::from(settings);
    match call(url, &connector, Instant::now() + within).await {
        Ok(answer) => {
            peer_certificate(&mut report, answer.certificate.as_deref(), config.community.profile, now, peer);
            if !report.has_failed() {
                answered(&mut report, url, &answer);
            }
        }
        Err(Trouble { step, what, fix }) => report.fail(format!("{url}: {step}: {what}"), fix),
    }
    report.checks
}

/// The status is that of a request for the description, which not everybody has.
fn answered(report: &mut Report, url: &Uri, answer: &Answer) {
    let what = format!("{url} answers HTTP {} over {}", answer.status, answer.version);
    match answer.status.as_str() {
        "404" | "410" => report.warn(
            what,
            "fine if it only has no description to show; else correct the path: causeway doctor asks in earnest",
        ),
        "401" | "403" => {
            report.warn(what, "most likely it does not know our certificate: ask its operators, or causeway doctor");
        }
        "502" | "503" | "504" => report.warn(what, "something before it cannot reach it: ask its operators"),
        status if status.starts_with('3') => {
            report.warn(what, "it is called nowhere else: write the address that it has moved to");
        }
        _ => report.ok(what),
    }
}

fn peer_certificate(report: &mut Report, der: Option<&[u8]>, profile: Profile, now: Timestamp, peer: Option<&Peer>) {
    let Some(facts) = der.and_then(|der| certificates::facts(der).ok()) else {
        return;
    };
    let rules = peer.map(|peer| peer.certificates.as_slice()).filter(|rules| !rules.is_empty());
    if rules.is_some_and(|rules| !federation::is_meant(rules, &facts)) {
        report.warn(
            format!("its gateway shows {}, which is none of its certificates", facts.subject),
            "fine if it shows another one when it calls us; else compare them",
        );
    }
    let left = facts.days_left(now);
    if left < PEER_EXPIRY_DAYS {
        report.warn(format!("its certificate expires in {left} days, on {}", facts.not_after), "tell its operators");
    }
    if facts.is_development && profile == Profile::Production {
        report.fail(
            "it shows a development certificate, and our profile is production",
            "ask its operators for the production address",
        );
    }
}

/// The step at which a call ended.
struct Trouble {
    step: &'static str,
    what: String,
    fix: &'static str,
}

/// What a peer answered.
struct Answer {
    status: String,
    version: &'static str,
    certificate: Option<Vec<u8>>,
}

/// One step under the deadline; its failure says which step it was.
async fn step<T>(
    deadline: Instant,
    step: &'static str,
    fix: &'static str,
    future: impl Future<Output = io::Result<T>>,
) -> Result<T, Trouble> {
    let what = match timeout_at(deadline, future).await {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            handshake_cause(&error).to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer within its timeout".to_owned(),
    };
    Err(Trouble { step, what, fix })
}

async fn call(url: &Uri, connector: &TlsConnector, deadline: Instant) -> Result<Answer, Trouble> {
    let host = url.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = url.port_u16().unwrap_or(443);
    let name = ServerName::try_from(bare.to_owned()).map_err(|error| Trouble {
        step: "URL",
        what: error.to_string(),
        fix: "write a host name or an address into the URL",
    })?;
    let addresses = step(
        deadline,
        "name lookup",
        "check the host name, and this machine's name service",
        tokio::net::lookup_host((bare.to_owned(), port)),
    )
    .await?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let stream = step(
        deadline,
        "connection",
        "check address and port, that the peer runs, and the firewalls between",
        TcpStream::connect(addresses.as_slice()),
    )
    .await?;
    let stream = step(
        deadline,
        "TLS handshake",
        "compare the peer's certificate and its issuer with the authorities you trust, and its name with the URL",
        connector.connect(name, stream),
    )
    .await?;
    greet(url, stream, deadline).await
}

/// Asks for the description: under TLS 1.3 the peer's judgement of our certificate comes only
/// after the handshake, with the first byte it sends.
async fn greet(url: &Uri, mut stream: TlsStream<TcpStream>, deadline: Instant) -> Result<Answer, Trouble> {
    let (_, connection) = stream.get_ref();
    let certificate =
        connection.peer_certificates().and_then(<[_]>::first).map(|certificate| certificate.as_ref().to_vec());
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let authority = url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let request = format!("GET {}?wsdl HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n", url.path());
    let status = step(
        deadline,
        "first answer",
        "most likely the peer does not accept our certificate: ask its operators to trust our authority",
        async {
            stream.write_all(request.as_bytes()).await?;
            stream.flush().await?;
            let mut start = [0_u8; STATUS_BYTES];
            stream.read_exact(&mut start).await?;
            Ok(start)
        },
    )
    .await?;
    let text = String::from_utf8_lossy(&status);
    match text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)) {
        Some(status) if status.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Answer { status: status.to_owned(), version, certificate })
        }
        _ => Err(Trouble {
            step: "first answer",
            what: "it is not HTTP".to_owned(),
            fix: "check the port: another program listens there",
        }),
    }
}

#[cfg(test)]
mod tests;
