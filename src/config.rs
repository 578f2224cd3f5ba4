//! `causeway.toml`: as written → checked, with paths and identifiers resolved.
//!
//! Reading has two stages: `raw` keeps everything with its line, `read` makes the [`Config`] of it that
//! the broker works with. Whatever is wrong is found in one go and told with the line, the key and
//! the fix; unknown keys are errors with the nearest known name. Every key can be overridden by
//! the environment: `CAUSEWAY__STORAGE__METADATA=memory:`, list entries by their index,
//! `CAUSEWAY__PEER__0__TIMEOUT=3s`.
//!
//! Not here: whether certificates, stores and peers work. `causeway check` and the start of the
//! broker look at those.

mod emergency;
mod limits;
mod locator;
mod meant;
mod names;
mod peers;
mod people;
mod profiles;
mod raw;
mod read;
mod restart;
mod telemetry;
mod template;
pub mod units;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::model::discovery::Person;
use crate::model::ids::{HomeCommunityId, IdentifierRule, Oid, PatientId, RepositoryUniqueId};
use crate::transport::callbacks::Callback;
pub use crate::transport::peer::TargetIn;
use crate::transport::peer::profile::PeerProfile;
use crate::transport::tls::TlsFiles;
use crate::validate::SourceModes;

pub use crate::model::community::{CertificateRule, PeerKind, PeerState, Scope, States};
pub use crate::model::sharing::Shares;
pub use crate::transaction::Service;
pub use limits::{LimitRow, Limits};
pub use locator::{Locator, LocatorPolicy};
pub use template::{PeerTemplate, Template, default_toml};

use raw::{Findings, Section};
use read::{Reader, read_bounded};

/// A configuration larger than this is another file.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Where health, numbers and the console are unless told: for this machine only.
pub const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// The identifier domain of NHS numbers.
const NHS_NUMBER_DOMAIN: &str = "2.16.840.1.113883.2.1.4.1";

// --- what is wrong ---------------------------------------------------------------------------

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFinding {
    /// Line of the file, from 1; none if it is about the environment or something absent.
    pub line: Option<usize>,
    /// The key, as `section.key`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// Everything that is wrong with a configuration, at once.
pub struct ConfigError {
    /// What it is about, for people: the path, or a word for a text without one.
    pub file: String,
    /// All findings in the order of the file.
    pub findings: Vec<ConfigFinding>,
    /// The lines that findings are about, to be shown.
    lines: BTreeMap<usize, String>,
}

impl ConfigError {
    fn new(file: String, text: &str, findings: Vec<ConfigFinding>) -> Self {
        let wanted = findings.iter().filter_map(|finding| finding.line);
        let mut lines: BTreeMap<usize, String> = wanted.map(|line| (line, String::new())).collect();
        for (number, line) in (1..).zip(text.lines()) {
            // A caret is a patient identifier's: such a line is not for logs.
            if let Some(shown) = lines.get_mut(&number)
                && !line.contains('^')
            {
                *shown = line.trim().chars().take(160).collect();
            }
        }
        Self { file, findings, lines }
    }

    fn alone(file: String, what: String, fix: &str) -> Self {
        let finding = ConfigFinding { line: None, key: "file".to_owned(), what, fix: fix.to_owned() };
        Self::new(file, "", vec![finding])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.findings.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{}: {count} finding{plural}", self.file)?;
        for finding in &self.findings {
            f.write_str("\n\n")?;
            if let Some(line) = finding.line {
                write!(f, "line {line}: ")?;
            }
            write!(f, "{}: {}", finding.key, finding.what)?;
            if let Some(line) = finding.line
                && let Some(shown) = self.lines.get(&line).filter(|shown| !shown.is_empty())
            {
                write!(f, "\n{line:>6} | {shown}")?;
            }
            write!(f, "\n   fix | {}", finding.fix)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigError")
            .field("file", &self.file)
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for ConfigError {}

// --- what is configured ----------------------------------------------------------------------

/// A checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from, to be read again on SIGHUP.
    pub file: Option<PathBuf>,
    /// Whose broker this is.
    pub community: Community,
    /// Which patients may have documents.
    pub patients: Patients,
    /// The affinity domain's codes; none leaves every code open.
    pub codes: Option<Codes>,
    /// How strictly each source's metadata is judged.
    pub validation: SourceModes,
    /// Where metadata and documents are kept.
    pub storage: Storage,
    /// Where the broker is called.
    pub listeners: Vec<Listener>,
    /// Where health, numbers and the console are; none turns them off.
    pub admin: Option<SocketAddr>,
    /// What the broker shows and trusts when it calls.
    pub client: TlsFiles,
    /// The communities around, in the order in which they are asked and answered for.
    pub peers: Vec<Peer>,
    /// What answers of several communities tell.
    pub federation: Federation,
    /// Which of them a query by patient goes to.
    pub locator: Locator,
    /// What holds for all of them.
    pub gateways: GatewayRules,
    /// Answers that do not come back on their connection.
    pub asynchronous: Asynchronous,
    /// How patients are found between communities, beside what is told of each peer.
    pub discovery: Discovery,
    /// A remote registry that our repository registers with; none means our own.
    pub registry: Option<Uri>,
    /// The audit trail.
    pub audit: Audit,
    /// What the log looks like.
    pub log: Log,
    /// Where traces go; none: nowhere.
    pub telemetry: Option<Telemetry>,
    /// Every bound.
    pub limits: Limits,
    /// What works, and is most likely not what was meant: for `causeway check`.
    pub notes: Vec<ConfigFinding>,
}

/// Whose broker this is (`[community]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Community {
    /// Its name, for people.
    pub name: String,
    /// Its identity (ITI TF-2 §3.38.4.1.2).
    pub home_community_id: HomeCommunityId,
    /// The identity of its Document Repository (ITI TF-3 §4.2.3.2.26).
    pub repository_unique_id: RepositoryUniqueId,
    /// How strict to be about test material.
    pub profile: Profile,
}

/// How strict to be about test material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Example identifiers, test patients and development certificates are welcome.
    Demo,
    /// They are refused.
    Production,
}

/// Which patients may have documents (`[patients]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patients {
    /// Domains whose patient ids are taken; none given means any.
    pub domains: Vec<PatientDomain>,
    /// What happens to a patient nobody has announced.
    pub unknown: UnknownPatients,
    /// Patients known from the start.
    pub known: Vec<PatientId>,
    /// The directory of patients, for patient discovery; none: the registry's own knowledge.
    pub people: Option<Arc<Vec<Person>>>,
}

/// A patient identifier domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatientDomain {
    /// The assigning authority.
    pub oid: Oid,
    /// The rule its identifiers keep.
    pub check: IdentifierCheck,
}

/// The rule that the identifiers of a domain keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifierCheck {
    /// None is known.
    None,
    /// Ten digits, the last one a check digit, modulus 11.
    NhsNumber,
}

impl IdentifierCheck {
    /// Whether an identifier keeps the rule; a production broker takes no test numbers (999…).
    ///
    /// # Errors
    /// The rule that is broken, without the identifier.
    pub fn judge(self, id: &str, profile: Profile) -> Result<(), &'static str> {
        self.rule(profile).judge(id)
    }

    /// The rule for a domain's identifiers.
    pub fn rule(self, profile: Profile) -> IdentifierRule {
        match self {
            Self::None => IdentifierRule::Any,
            Self::NhsNumber => IdentifierRule::NhsNumber { test_numbers: profile != Profile::Production },
        }
    }
}

/// What happens to a patient nobody has announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownPatients {
    /// Becomes known with the first submission.
    Accept,
    /// Is refused with XDSUnknownPatientId (ITI TF-2 §3.42.4.1.3.3).
    Reject,
}

/// The affinity domain's codes (`[codes]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    /// The code file.
    pub file: PathBuf,
    /// Whether a code that is not in it is refused.
    pub enforce: bool,
}

/// Where metadata and documents are kept (`[storage]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The registry's metadata.
    pub metadata: MetadataStorage,
    /// Document bodies.
    pub documents: DocumentStorage,
    /// Memory that the metadata store may use as a cache, in bytes.
    pub cache: u64,
}

/// Where the registry's metadata is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataStorage {
    /// In sled, in this folder.
    Sled(PathBuf),
    /// In fjall, in this folder.
    Fjall(PathBuf),
    /// In memory, gone with the process.
    Memory,
}

impl MetadataStorage {
    /// Its folder, if it has one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Sled(path) | Self::Fjall(path) => Some(path),
            Self::Memory => None,
        }
    }
}

/// Where document bodies are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentStorage {
    /// In files below this folder.
    Files(PathBuf),
    /// In memory, gone with the process.
    Memory,
}

/// A place where the broker is called (`[[listener]]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes any free one.
    pub bind: SocketAddr,
    /// What it shows, and whom it trusts.
    pub tls: TlsFiles,
    /// What is served there.
    pub services: Vec<Service>,
    /// Names that callers use, which the certificate must cover.
    pub names: Vec<String>,
    /// Common names of client certificates that may update and remove; `*` for all.
    pub administrators: Vec<String>,
    /// Those that may ask about many patients at once (ITI-51); `*` for all.
    pub many_patients: Vec<String>,
    /// Those all of whose requests are for emergency treatment.
    pub emergency_callers: Vec<String>,
    /// Those whose messages are believed when they claim it.
    pub emergency_claims: Vec<String>,
    /// Those that may put other communities' documents into our repository (ITI-80); `*` for all.
    pub providers: Vec<String>,
}

/// Another community (`[[peer]]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, for people.
    pub name: String,
    /// Its identity.
    pub home_community_id: HomeCommunityId,
    /// Inside our region or not: what came from another gateway goes to members only.
    pub scope: Scope,
    /// What it takes part in.
    pub kind: PeerKind,
    /// How far the connection is, and when that changes.
    pub states: States,
    /// Communities behind it that have an identity of their own.
    pub nodes: Vec<Node>,
    /// Where it is asked (ITI-38, ITI-39); none for those that serve nothing.
    pub responding_gateway: Option<Uri>,
    /// Where it is asked if it cannot be there, in order.
    pub further_gateways: Vec<Uri>,
    /// Under which identifier it knows a patient.
    pub patient_id: PeerPatientId,
    /// Whether it is told under which identifier we know a patient whom we ask it for.
    pub feed: bool,
    /// Where it is asked for that (ITI-55); none: where it is asked for all else.
    pub patient_discovery: Option<Uri>,
    /// Its share of a request's time.
    pub timeout: Duration,
    /// Requests to it at the same time.
    pub max_in_flight: usize,
    /// Authorities to trust for it instead of those of `[client]`.
    pub ca: Option<PathBuf>,
    /// Where it may have our answers sent, besides `[asynchronous]`.
    pub callback: Option<Callback>,
    /// How its answers come to us.
    pub exchange: PeerExchange,
    /// What it gets in a form of its own.
    pub profile: PeerProfile,
    /// Whether it can be asked where a patient is known (ITI-56).
    pub locator: bool,
    /// The locator that speaks for it: it names this one for each patient of whom there is something here.
    pub located_by: Option<HomeCommunityId>,
    /// By which certificates it is recognised when it asks us; none: by none.
    pub certificates: Vec<CertificateRule>,
    /// What it is given of what we have.
    pub shares: Shares,
    /// Where it is named in documents that are sent to it (ITI-80).
    pub target_in: TargetIn,
}

/// What answers of several communities tell (`[federation]`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Federation {
    /// Whether objects tell in slots of ours through whom they came.
    pub routes_in_slots: bool,
}

/// Answers that do not come back on their connection (`[asynchronous]`, ITI TF-2 §V.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asynchronous {
    /// Where callers may have our answers sent.
    pub callbacks: Vec<Callback>,
    /// Where peers send their answers to us, as they see it.
    pub address: Option<Uri>,
}

/// What others may ask of our patient discovery besides answers at once (`[discovery]`, ITI TF-2 §3.55).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Answers later, to addresses where answers may be sent (§3.55.6).
    pub deferred: bool,
    /// Communities take back under which identifier they know a patient.
    pub revocation: bool,
}

/// How the answers of a community come to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerExchange {
    /// On the connection of the request.
    Synchronous,
    /// As messages to `[asynchronous]` address.
    Asynchronous,
    /// Those about patients as requests of their own to that address, all others on the connection.
    Deferred,
}

/// What holds for other communities as a whole (`[initiating_gateway]`, `[responding_gateway]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayRules {
    /// Whether answers to consumers name communities that are not connected yet.
    pub tell_planned: bool,
    /// Whether only those are answered whose certificate is a peer's.
    pub only_known: bool,
}

impl Default for GatewayRules {
    fn default() -> Self {
        Self { tell_planned: true, only_known: false }
    }
}

impl Peer {
    /// All addresses at which it is asked, in order.
    pub fn gateways(&self) -> impl Iterator<Item = &Uri> {
        self.responding_gateway.iter().chain(&self.further_gateways)
    }

    /// Whether queries go there.
    pub fn is_asked(&self) -> bool {
        self.states.at(jiff::Timestamp::now()) == PeerState::Live && self.kind.serves()
    }
}

/// A community behind a peer's gateway, with an identity of its own: a hospital's exchange within its region's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, for people.
    pub name: String,
    /// Its identity.
    pub home_community_id: HomeCommunityId,
}

/// Under which identifier a community knows a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPatientId {
    /// Under the one in the query.
    SameDomain,
    /// Under the one of this domain, if the query has it.
    Domain(Oid),
    /// Under one that it is asked for (ITI-55).
    Discover,
}

/// The audit trail (`[audit]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Folder of the local trail.
    pub dir: PathBuf,
    /// AuditSourceID of this broker (DICOM PS3.15 A.5.1).
    pub source_id: String,
    /// AuditEnterpriseSiteID: the OID of the community unless told.
    pub site_id: String,
}

/// What the log looks like (`[log]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is logged: a level, or directives as `info,causeway=debug`. Alerts of TLS that break nothing are not,
    /// unless rustls is named.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// For people or for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Where traces go (`[telemetry]`): a collector of OpenTelemetry, over OTLP/HTTP in protobuf.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Where spans are posted.
    pub endpoint: Uri,
    /// Authorities to trust for it instead of those of `[client]`.
    pub ca: Option<PathBuf>,
    /// `service.name`
    pub service_name: String,
    /// The part of the traces that begin here that is sent.
    pub sampling: f64,
}

// --- reading ---------------------------------------------------------------------------------

impl Config {
    /// Reads a file, with what the environment overrides.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = match read_bounded(path, MAX_FILE_BYTES) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("cannot be read: {error}");
                let fix = "check the path, or make a configuration: causeway init DIR";
                return Err(ConfigError::alone(shown, what, fix));
            }
        };
        let base = path.parent().unwrap_or(Path::new(""));
        let mut config = Self::read(&shown, &text, base, std::env::vars_os())?;
        config.file = Some(path.to_owned());
        Ok(config)
    }

    /// Reads a text whose relative paths begin at `base_dir`; the environment has no say.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_toml(text: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        Self::read("configuration", text, base_dir, [])
    }

    /// The same with overrides named as environment variables.
    ///
    /// # Errors
    /// Everything that is wrong with the text and the overrides.
    pub fn from_toml_with(
        text: &str,
        base_dir: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        Self::read("configuration", text, base_dir, variables)
    }

    fn read(
        file: &str,
        text: &str,
        base_dir: &Path,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let findings = Findings::default();
        let mut root = raw::parse(text, &findings);
        // What follows would blame the consequences of a slip rather than the slip.
        if !findings.is_empty() {
            return Err(ConfigError::new(file.to_owned(), text, findings.into_sorted()));
        }
        raw::override_with(&mut root, variables, &findings);
        let reader = Reader { base: base_dir, findings: &findings };
        let config = reader.config(Section::new("", root, &findings));
        match config {
            Some(config) if findings.is_empty() => Ok(Self { notes: findings.into_notes(), ..config }),
            _ => Err(ConfigError::new(file.to_owned(), text, findings.into_sorted())),
        }
    }

    /// What to show and whom to trust when a peer is called.
    pub fn tls_for(&self, peer: &Peer) -> TlsFiles {
        self.tls_with(peer.ca.as_ref())
    }

    /// What to show, and the authority to trust if it is not that of `[client]`.
    pub fn tls_with(&self, ca: Option<&PathBuf>) -> TlsFiles {
        match ca {
            None => self.client.clone(),
            // The lists of [client] are of other authorities, so they do not go along.
            Some(ca) => TlsFiles { client_ca: ca.clone(), crl: None, ..self.client.clone() },
        }
    }
}

#[cfg(test)]
mod tests;
