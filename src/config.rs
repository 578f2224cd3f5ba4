//! `causeway.toml`: as written → checked, with paths and identifiers resolved.
//!
//! Reading has two stages: `raw` keeps everything with its line, [`Config`] is what the broker
//! works with. Whatever is wrong is found in one go and told with the line, the key and the fix;
//! unknown keys are errors with the nearest known name. Every key can be overridden by the
//! environment: `CAUSEWAY__STORAGE__METADATA=memory:`, list entries by their index,
//! `CAUSEWAY__PEER__0__TIMEOUT=3s`.
//!
//! Not here: whether certificates, stores and peers work. `causeway check` and the start of the
//! broker look at those.

mod limits;
mod raw;
mod template;
pub mod units;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;

use crate::model::ids::{HomeCommunityId, InvalidId, Oid, PatientId, RepositoryUniqueId};
use crate::transport::tls::TlsFiles;

pub use limits::{LimitRow, Limits};
pub use template::{PeerTemplate, Template, default_toml};

use raw::{Findings, Origin, Section, Spot, Text};

/// A configuration larger than this is another file.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// A list of known patients larger than this belongs into an identity feed.
const MAX_KNOWN_FILE_BYTES: u64 = 64 << 20;
/// A list with more wrong lines than this is the wrong file.
const MAX_KNOWN_FINDINGS: usize = 20;

/// Root of the identifiers that are for examples only (ITU-T X.660 A.3 and its registration).
const EXAMPLE_ARC: &str = "2.999";
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
        Self {
            file,
            findings,
            lines,
        }
    }

    fn alone(file: String, what: String, fix: &str) -> Self {
        let finding = ConfigFinding {
            line: None,
            key: "file".to_owned(),
            what,
            fix: fix.to_owned(),
        };
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
    /// A remote registry that our repository registers with; none means our own.
    pub registry: Option<Uri>,
    /// The audit trail.
    pub audit: Audit,
    /// What the log looks like.
    pub log: Log,
    /// Every bound.
    pub limits: Limits,
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
        if self == Self::None {
            return Ok(());
        }
        let digits: Option<Vec<u32>> = id.chars().map(|c| c.to_digit(10)).collect();
        let Some((check, digits)) = digits
            .as_deref()
            .filter(|digits| digits.len() == 10)
            .and_then(<[u32]>::split_last)
        else {
            return Err("an NHS number has ten digits and nothing else");
        };
        let sum: u32 = (2..=10).rev().zip(digits).map(|(weight, digit)| weight * digit).sum();
        // 11 - remainder; 11 counts as 0, and 10 is never issued.
        if (11 - sum % 11) % 11 != *check {
            return Err("the check digit of the NHS number is wrong");
        }
        if profile == Profile::Production && id.starts_with("999") {
            return Err("NHS numbers that begin with 999 are for tests only");
        }
        Ok(())
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
    /// In an embedded store in this folder.
    Sled(PathBuf),
    /// In memory, gone with the process.
    Memory,
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
}

/// An actor's SOAP service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Document Registry.
    Registry,
    /// Document Repository.
    Repository,
    /// Initiating Gateway.
    InitiatingGateway,
    /// Responding Gateway.
    RespondingGateway,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Registry,
        Self::Repository,
        Self::InitiatingGateway,
        Self::RespondingGateway,
    ];

    /// The name in the configuration, and the last part of the path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Repository => "repository",
            Self::InitiatingGateway => "initiating-gateway",
            Self::RespondingGateway => "responding-gateway",
        }
    }
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
    /// How far the connection is.
    pub state: PeerState,
    /// Where it is asked (ITI-38, ITI-39); none for those that serve nothing.
    pub responding_gateway: Option<Uri>,
    /// Under which identifier it knows a patient.
    pub patient_id: PeerPatientId,
    /// Its share of a request's time.
    pub timeout: Duration,
    /// Requests to it at the same time.
    pub max_in_flight: usize,
    /// Authorities to trust for it instead of those of `[client]`.
    pub ca: Option<PathBuf>,
}

impl Peer {
    /// Whether queries go there.
    pub fn is_asked(&self) -> bool {
        self.state == PeerState::Live && self.kind.serves()
    }
}

/// Inside our region or outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A community of our region.
    Member,
    /// One beyond it.
    Neighbour,
}

/// What a community takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// Publishes and consumes.
    Full,
    /// Launches a viewer in context; publishes nothing.
    LinkOnly,
    /// May ask; has nothing to serve.
    ConsumeOnly,
    /// Serves; has no users of its own.
    PublishOnly,
    /// Serves and routes for others.
    Hub,
}

impl PeerKind {
    /// Whether it has a Responding Gateway.
    pub fn serves(self) -> bool {
        matches!(self, Self::Full | Self::PublishOnly | Self::Hub)
    }
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// Written down and checked, not asked.
    Planned,
    /// Being tried out, not asked.
    Connecting,
    /// Asked.
    Live,
    /// Not asked for now.
    Suspended,
    /// Over; kept so that its identity is never used again.
    Closed,
}

impl PeerState {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// Under which identifier a community knows a patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPatientId {
    /// Under the one in the query.
    SameDomain,
    /// Under the one of this domain, if the query has it.
    Domain(Oid),
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
    /// What is logged: a level, or directives as `info,causeway=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
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
        let reader = Reader {
            base: base_dir,
            findings: &findings,
        };
        let config = reader.config(Section::new("", root, &findings));
        match config {
            Some(config) if findings.is_empty() => Ok(config),
            _ => Err(ConfigError::new(file.to_owned(), text, findings.into_sorted())),
        }
    }

    /// What to show and whom to trust when a peer is called.
    pub fn tls_for(&self, peer: &Peer) -> TlsFiles {
        match &peer.ca {
            None => self.client.clone(),
            // The lists of [client] are of other authorities, so they do not go along.
            Some(ca) => TlsFiles {
                client_ca: ca.clone(),
                crl: None,
                ..self.client.clone()
            },
        }
    }
}

fn read_bounded(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!(
            "it is larger than {}",
            units::exact_size(limit)
        )));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

fn is_example(oid: &str) -> bool {
    oid.strip_prefix(EXAMPLE_ARC)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Turns sections into settings. Where something is missing or wrong a finding is made and the
/// reading goes on; a setting without which there is nothing to go on with becomes `None`.
struct Reader<'f> {
    base: &'f Path,
    findings: &'f Findings,
}

impl Reader<'_> {
    fn config(&self, mut root: Section<'_>) -> Option<Config> {
        let community = self.community(root.section("community"));
        let profile = community.as_ref().map_or(Profile::Demo, |community| community.profile);
        let patients = self.patients(root.section("patients"), profile);
        let codes = self.codes(root.section("codes"));
        let storage = self.storage(root.section("storage"), profile);
        let listeners = self.listeners(&mut root);
        let admin = self.admin(root.section("admin"), &listeners);
        let first = listeners.first().map(|listener| &listener.tls);
        let client = self.client(root.section("client"), first);
        let peers = self.peers(&mut root, profile, community.as_ref());
        let registry = self.registry(root.section("registry"));
        let home = community.as_ref().map(|community| community.home_community_id.oid());
        let audit = self.audit(root.section("audit"), home.unwrap_or_default());
        let log = self.log(root.section("log"));
        let limits = self.limits(root.section("limits"));
        root.finish();
        Some(Config {
            file: None,
            community: community?,
            patients,
            codes,
            storage,
            listeners,
            admin,
            client: client?,
            peers,
            registry,
            audit,
            log,
            limits,
        })
    }

    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    fn file(&self, text: Option<Text>) -> Option<PathBuf> {
        let text = text?;
        if text.value.is_empty() {
            self.findings.add(&text.spot, "the path is empty", "write a path");
            return None;
        }
        Some(self.path(&text.value))
    }

    fn id<T>(&self, text: Option<Text>, parse: impl Fn(&str) -> Result<T, InvalidId>, example: &str) -> Option<T> {
        let text = text?;
        match parse(&text.value) {
            Ok(id) => Some(id),
            Err(error) => {
                let fix = format!("write it like {example}");
                self.findings.add(&text.spot, error.to_string(), fix);
                None
            }
        }
    }

    /// The production profile's rule about example identifiers.
    fn not_an_example(&self, spot: &Spot, oid: &str, profile: Profile) {
        if profile == Profile::Production && is_example(oid) {
            self.findings.add(
                spot,
                "identifiers below 2.999 are examples, and profile is production",
                "put in the identifier that was assigned to you, or set community.profile = \"demo\"",
            );
        }
    }

    fn community(&self, mut section: Section<'_>) -> Option<Community> {
        const PROFILES: &[(&str, Profile)] = &[("demo", Profile::Demo), ("production", Profile::Production)];
        let profile = section.choice("profile", PROFILES, Profile::Demo);
        let name = section.required("name", "London Care Record");
        if let Some(name) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
            self.findings.add(&name.spot, "the name is empty", "write the community's name");
        }
        let (home_spot, repository_spot) =
            (section.spot("home_community_id"), section.spot("repository_unique_id"));
        let home = section.required("home_community_id", "urn:oid:1.2.3.4");
        let home = self.id(home, HomeCommunityId::parse, "urn:oid:1.2.3.4");
        let repository = section.required("repository_unique_id", "1.2.3.4.5");
        let repository = self.id(repository, RepositoryUniqueId::parse, "1.2.3.4.5, without urn:oid:");
        if let Some(home) = &home {
            self.not_an_example(&home_spot, home.oid(), profile);
        }
        if let Some(repository) = &repository {
            self.not_an_example(&repository_spot, repository.as_str(), profile);
        }
        section.finish();
        Some(Community {
            name: name?.value,
            home_community_id: home?,
            repository_unique_id: repository?,
            profile,
        })
    }

    fn patients(&self, mut section: Section<'_>, profile: Profile) -> Patients {
        const UNKNOWN: &[(&str, UnknownPatients)] =
            &[("accept", UnknownPatients::Accept), ("reject", UnknownPatients::Reject)];
        const CHECKS: &[(&str, IdentifierCheck)] =
            &[("none", IdentifierCheck::None), ("nhs-number", IdentifierCheck::NhsNumber)];
        let mut domains: Vec<PatientDomain> = Vec::new();
        for mut domain in section.sections("domains") {
            let spot = domain.spot("oid");
            let oid = domain.required("oid", NHS_NUMBER_DOMAIN);
            let oid = self.id(oid, Oid::parse, NHS_NUMBER_DOMAIN);
            let check = domain.choice("check", CHECKS, IdentifierCheck::None);
            domain.finish();
            let Some(oid) = oid else { continue };
            self.not_an_example(&spot, oid.as_str(), profile);
            if domains.iter().any(|other| other.oid == oid) {
                self.findings.add(&spot, "the domain is there twice", "remove one of them");
                continue;
            }
            domains.push(PatientDomain { oid, check });
        }
        let unknown = section.choice("unknown", UNKNOWN, UnknownPatients::Accept);
        let mut patients = Patients {
            domains,
            unknown,
            known: Vec::new(),
        };
        for text in section.texts("known") {
            match known_patient(&text.value, &patients.domains, profile) {
                Ok(id) => patients.known.push(id),
                Err(what) => {
                    let fix = "write id^^^&OID&ISO, of one of the domains";
                    self.findings.add(&text.spot, what, fix);
                }
            }
        }
        if let Some(file) = section.text("known_file") {
            self.known_file(&file, &mut patients, profile);
        }
        section.finish();
        patients
    }

    fn known_file(&self, file: &Text, patients: &mut Patients, profile: Profile) {
        let text = match read_bounded(&self.path(&file.value), MAX_KNOWN_FILE_BYTES) {
            Ok(text) => text,
            Err(error) => {
                let what = format!("{} cannot be read: {error}", file.value);
                self.findings.add(&file.spot, what, "give a file with one id^^^&OID&ISO per line");
                return;
            }
        };
        let mut wrong = 0;
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match known_patient(line, &patients.domains, profile) {
                Ok(id) => patients.known.push(id),
                Err(what) => {
                    wrong += 1;
                    if wrong <= MAX_KNOWN_FINDINGS {
                        let what = format!("line {number} of {}: {what}", file.value);
                        self.findings.add(&file.spot, what, "one id^^^&OID&ISO per line");
                    }
                }
            }
        }
        if wrong > MAX_KNOWN_FINDINGS {
            let what = format!("{} lines of {} are wrong in all", wrong, file.value);
            self.findings.add(&file.spot, what, "check that the path names the right file");
        }
    }

    fn codes(&self, mut section: Section<'_>) -> Option<Codes> {
        let spot = section.spot("enforce");
        let written = section.has("enforce");
        let enforce = section.boolean("enforce", true);
        let file = section.text("file");
        if file.is_none() && written && enforce {
            self.findings.add(
                &spot,
                "codes are to be enforced, but there is no code file",
                "add file = \"codes.xml\", or write enforce = false",
            );
        }
        section.finish();
        Some(Codes {
            file: self.file(file)?,
            enforce,
        })
    }

    fn storage(&self, mut section: Section<'_>, profile: Profile) -> Storage {
        let metadata = section.text("metadata");
        let documents = section.text("documents");
        let cache = section.size("cache", 128 << 20, 1 << 20, 1 << 40);
        let (metadata_spot, documents_spot) = (
            metadata.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone()),
            documents.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone()),
        );
        section.finish();
        let storage = Storage {
            metadata: match self.place(metadata, "sled", "postgres", "data/registry") {
                Some(path) => MetadataStorage::Sled(path),
                None => MetadataStorage::Memory,
            },
            documents: match self.place(documents, "file", "s3", "data/documents") {
                Some(path) => DocumentStorage::Files(path),
                None => DocumentStorage::Memory,
            },
            cache,
        };
        let (in_memory, spot) = (
            [
                storage.metadata == MetadataStorage::Memory,
                storage.documents == DocumentStorage::Memory,
            ],
            [&metadata_spot, &documents_spot],
        );
        if in_memory == [false, true] {
            self.findings.add(
                &documents_spot,
                "after a restart the registry would name documents that are gone",
                "write documents = \"file:data/documents\", or put metadata into memory as well",
            );
        }
        if profile == Profile::Production {
            for (_, spot) in in_memory.iter().zip(spot).filter(|(in_memory, _)| **in_memory) {
                self.findings.add(
                    spot,
                    "memory is gone with the process, and profile is production",
                    "write metadata = \"sled:data/registry\" and documents = \"file:data/documents\"",
                );
            }
        }
        if let (MetadataStorage::Sled(one), DocumentStorage::Files(other)) = (&storage.metadata, &storage.documents)
            && one == other
        {
            self.findings.add(
                &documents_spot,
                "metadata and documents have the same folder",
                "give each its own folder",
            );
        }
        storage
    }

    /// The folder of a store, or `None` for memory.
    fn place(&self, text: Option<Text>, scheme: &str, later: &str, default: &str) -> Option<PathBuf> {
        let Some(text) = text else {
            return Some(self.path(default));
        };
        let advice = format!("write \"{scheme}:{default}\", or \"memory:\" for a trial");
        let (found, rest) = text.value.split_once(':').unwrap_or(("", &text.value));
        match found {
            "memory" if rest.is_empty() => return None,
            found if found == scheme && !rest.is_empty() => return Some(self.path(rest)),
            found if found == scheme => {
                self.findings.add(&text.spot, format!("a folder follows {scheme}:"), advice);
            }
            found if found.starts_with(later) => {
                let what = format!("{found} is not yet supported by this version");
                self.findings.add(&text.spot, what, advice);
            }
            _ => {
                let what = "it says neither memory: nor where on disk";
                self.findings.add(&text.spot, what, advice);
            }
        }
        Some(self.path(default))
    }

    fn listeners(&self, root: &mut Section<'_>) -> Vec<Listener> {
        let written = root.has("listener");
        let mut listeners: Vec<Listener> = Vec::new();
        for mut section in root.sections("listener") {
            let bind = section.required("bind", "127.0.0.1:8443");
            let spot = bind.as_ref().map_or_else(|| section.own_spot(), |text| text.spot.clone());
            let bind = self.address(bind);
            let services = self.services(&mut section);
            let names = section.texts("names").into_iter().map(|text| text.value).collect();
            let tls = self.listener_tls(&mut section);
            section.finish();
            let (Some(bind), Some(tls)) = (bind, tls) else { continue };
            if bind.port() != 0 && listeners.iter().any(|other| other.bind == bind) {
                self.findings.add(&spot, format!("{bind} has a listener already"), "take another port");
            }
            listeners.push(Listener {
                bind,
                tls,
                services,
                names,
            });
        }
        if !written {
            let spot = Spot {
                key: "listener".to_owned(),
                origin: Origin::Absent,
            };
            self.findings.add(
                &spot,
                "there is no listener",
                "add [[listener]] with bind = \"127.0.0.1:8443\" and tls = { certificate, key, client_ca }",
            );
        }
        listeners
    }

    fn address(&self, text: Option<Text>) -> Option<SocketAddr> {
        let text = text?;
        let parsed = text.value.parse();
        if parsed.is_err() {
            let what = format!("\"{}\" is not an address with a port", text.value);
            self.findings.add(&text.spot, what, "write it like 127.0.0.1:8443, 0.0.0.0:8443 or [::]:8443");
        }
        parsed.ok()
    }

    fn services(&self, section: &mut Section<'_>) -> Vec<Service> {
        let spot = section.spot("services");
        if !section.has("services") {
            // Taking it makes it a known key all the same.
            section.texts("services");
            return Service::ALL.to_vec();
        }
        let mut services = Vec::new();
        for text in section.texts("services") {
            match Service::ALL.iter().find(|service| service.as_str() == text.value) {
                Some(service) if !services.contains(service) => services.push(*service),
                Some(_) => {}
                None => {
                    let all = Service::ALL.map(Service::as_str).join(", ");
                    let what = format!("there is no service \"{}\"", text.value);
                    self.findings.add(&text.spot, what, format!("possible here: {all}"));
                }
            }
        }
        if services.is_empty() {
            self.findings.add(&spot, "no service is served here", "name some, or remove the key for all");
        }
        services
    }

    fn listener_tls(&self, section: &mut Section<'_>) -> Option<TlsFiles> {
        const EXAMPLE: &str =
            "add tls = { certificate = \"certs/server.pem\", key = \"certs/server.key\", client_ca = \"certs/ca.pem\" }";
        if !section.has("tls") {
            let spot = section.spot("tls");
            self.findings.add(&spot, "every listener needs TLS with client certificates", EXAMPLE);
            section.section("tls");
            return None;
        }
        let mut tls = section.section("tls");
        let profile = tls.text("profile");
        match tls.text("engine") {
            Some(engine) if engine.value != "rustls" => {
                let what = format!("the engine \"{}\" is not yet supported by this version", engine.value);
                self.findings.add(&engine.spot, what, "remove engine and profile: TLS 1.2 and 1.3 by rustls");
            }
            _ => {
                if let Some(profile) = profile {
                    self.findings.add(
                        &profile.spot,
                        "a TLS profile is for the legacy engine, which this version has not",
                        "remove it: TLS 1.2 and 1.3 are offered",
                    );
                }
            }
        }
        let files = self.tls_files(&mut tls, "client_ca", "server");
        tls.finish();
        files
    }

    fn tls_files(&self, section: &mut Section<'_>, authorities: &'static str, whose: &str) -> Option<TlsFiles> {
        let certificate = section.required("certificate", &format!("certs/{whose}.pem"));
        let key = section.required("key", &format!("certs/{whose}.key"));
        let client_ca = section.required(authorities, "certs/ca.pem");
        let crl = section.text("crl");
        let (certificate, key, client_ca) = (self.file(certificate), self.file(key), self.file(client_ca));
        let crl = self.file(crl);
        Some(TlsFiles {
            certificate: certificate?,
            key: key?,
            client_ca: client_ca?,
            crl,
        })
    }

    fn admin(&self, mut section: Section<'_>, listeners: &[Listener]) -> Option<SocketAddr> {
        let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);
        let bind = section.text("bind");
        section.finish();
        let Some(bind) = bind else {
            return Some(default);
        };
        if bind.value == "off" {
            return None;
        }
        let spot = bind.spot.clone();
        let address = self.address(Some(bind))?;
        if address.port() != 0 && listeners.iter().any(|listener| listener.bind == address) {
            self.findings.add(&spot, format!("{address} is a listener's"), "take another port");
        }
        Some(address)
    }

    fn client(&self, mut section: Section<'_>, listener: Option<&TlsFiles>) -> Option<TlsFiles> {
        let keys = ["certificate", "key", "ca", "crl"];
        let files = if keys.iter().any(|key| section.has(key)) {
            self.tls_files(&mut section, "ca", "client")
        } else {
            for key in keys {
                section.text(key);
            }
            listener.cloned()
        };
        section.finish();
        files
    }

    fn peers(&self, root: &mut Section<'_>, profile: Profile, ours: Option<&Community>) -> Vec<Peer> {
        let mut peers: Vec<Peer> = Vec::new();
        for section in root.sections("peer") {
            let home_spot = section.spot("home_community_id");
            let Some(peer) = self.peer(section) else { continue };
            self.not_an_example(&home_spot, peer.home_community_id.oid(), profile);
            if ours.is_some_and(|ours| ours.home_community_id == peer.home_community_id) {
                self.findings.add(
                    &home_spot,
                    "this is our own home_community_id",
                    "put in the peer's; a broker does not ask itself",
                );
            }
            if let Some(other) = peers.iter().find(|other| other.home_community_id == peer.home_community_id) {
                let what = format!("\"{}\" has the same home_community_id", other.name);
                self.findings.add(&home_spot, what, "every community has its own; remove or correct one");
            }
            peers.push(peer);
        }
        peers
    }

    fn peer(&self, mut section: Section<'_>) -> Option<Peer> {
        const SCOPES: &[(&str, Scope)] = &[("member", Scope::Member), ("neighbour", Scope::Neighbour)];
        const KINDS: &[(&str, PeerKind)] = &[
            ("full", PeerKind::Full),
            ("link-only", PeerKind::LinkOnly),
            ("consume-only", PeerKind::ConsumeOnly),
            ("publish-only", PeerKind::PublishOnly),
            ("hub", PeerKind::Hub),
        ];
        const STATES: &[(&str, PeerState)] = &[
            ("planned", PeerState::Planned),
            ("connecting", PeerState::Connecting),
            ("live", PeerState::Live),
            ("suspended", PeerState::Suspended),
            ("closed", PeerState::Closed),
        ];
        let name = section.required("name", "Hertfordshire and West Essex");
        let home = section.required("home_community_id", "urn:oid:1.2.3.4");
        let home = self.id(home, HomeCommunityId::parse, "urn:oid:1.2.3.4");
        let scope = section.choice("scope", SCOPES, Scope::Neighbour);
        let kind = section.choice("kind", KINDS, PeerKind::Full);
        let state = section.choice("state", STATES, PeerState::Live);
        let needs_url = kind.serves() && matches!(state, PeerState::Live | PeerState::Connecting);
        let url = if needs_url {
            section.required("responding_gateway", "https://peer.example:8443/services/responding-gateway")
        } else {
            section.text("responding_gateway")
        };
        let responding_gateway = self.url(url);
        let patient_id = self.peer_patient_id(section.text("patient_id"));
        let (second, hour) = (Duration::from_millis(100), Duration::from_secs(3600));
        let timeout = section.duration("timeout", Duration::from_secs(8), second, hour);
        let max_in_flight = section.count("max_in_flight", 32, 1, 100_000);
        let ca = section.text("ca");
        let ca = self.file(ca);
        section.finish();
        Some(Peer {
            name: name?.value,
            home_community_id: home?,
            scope,
            kind,
            state,
            responding_gateway,
            patient_id,
            timeout,
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            ca,
        })
    }

    fn url(&self, text: Option<Text>) -> Option<Uri> {
        let text = text?;
        let fix = "write it like https://peer.example:8443/services/responding-gateway";
        let uri: Uri = match text.value.parse() {
            Ok(uri) => uri,
            Err(error) => {
                self.findings.add(&text.spot, format!("this is not a URL: {error}"), fix);
                return None;
            }
        };
        let what = if uri.scheme_str() != Some("https") {
            "other systems are called over mutual TLS only: the URL begins with https://"
        } else if uri.host().is_none_or(str::is_empty) {
            "there is no host in the URL"
        } else if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            "a URL with a user name in it is not for this place"
        } else {
            return Some(uri);
        };
        self.findings.add(&text.spot, what, fix);
        None
    }

    fn peer_patient_id(&self, text: Option<Text>) -> PeerPatientId {
        let Some(text) = text else {
            return PeerPatientId::SameDomain;
        };
        let fix = "write \"same-domain\" or \"domain:1.2.3.4\"";
        if text.value == "same-domain" {
            return PeerPatientId::SameDomain;
        }
        if text.value == "discover" {
            self.findings.add(&text.spot, "discover (ITI-55) is not yet supported by this version", fix);
        } else if let Some(oid) = text.value.strip_prefix("domain:") {
            match Oid::parse(oid) {
                Ok(oid) => return PeerPatientId::Domain(oid),
                Err(error) => self.findings.add(&text.spot, error.to_string(), fix),
            }
        } else {
            self.findings.add(&text.spot, format!("\"{}\" is not one of its values", text.value), fix);
        }
        PeerPatientId::SameDomain
    }

    fn registry(&self, mut section: Section<'_>) -> Option<Uri> {
        let url = section.text("url");
        section.finish();
        self.url(url)
    }

    fn audit(&self, mut section: Section<'_>, home_oid: &str) -> Audit {
        let dir = section.text("dir");
        let dir = self.file(dir).unwrap_or_else(|| self.path("data/audit"));
        let source_id = section.text("source_id").map_or_else(|| "causeway".to_owned(), |text| text.value);
        let site_id = section.text("site_id").map_or_else(|| home_oid.to_owned(), |text| text.value);
        section.finish();
        Audit {
            dir,
            source_id,
            site_id,
        }
    }

    fn log(&self, mut section: Section<'_>) -> Log {
        const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
        let default = Log::default();
        let format = section.choice("format", FORMATS, default.format);
        let level = section.text("level");
        section.finish();
        if let Some(text) = &level
            && tracing_subscriber::EnvFilter::try_new(&text.value).is_err()
        {
            let what = format!("\"{}\" is not understood", text.value);
            let fix = "write error, warn, info, debug or trace, or as info,causeway=debug";
            self.findings.add(&text.spot, what, fix);
        }
        Log {
            format,
            level: level.map_or(default.level, |text| text.value),
        }
    }

    fn limits(&self, mut section: Section<'_>) -> Limits {
        let spot = section.spot("document_bytes");
        let limits = Limits::read(&mut section);
        section.finish();
        if limits.document_bytes > limits.submission_bytes {
            self.findings.add(
                &spot,
                "one document may be larger than a whole submission",
                "raise submission_bytes to at least document_bytes",
            );
        }
        limits
    }
}

/// Reads a known patient's id; what is wrong is told without the id.
fn known_patient(text: &str, domains: &[PatientDomain], profile: Profile) -> Result<PatientId, String> {
    let id = PatientId::parse(text).map_err(|error| error.to_string())?;
    let authority = id.authority().as_str();
    let domain = domains.iter().find(|domain| domain.oid == *id.authority());
    if domain.is_none() && !domains.is_empty() {
        return Err(format!("the domain {authority} is not one of patients.domains"));
    }
    if profile == Profile::Production && is_example(authority) {
        return Err("identifiers below 2.999 are examples, and profile is production".to_owned());
    }
    let check = domain.map_or(
        if authority == NHS_NUMBER_DOMAIN { IdentifierCheck::NhsNumber } else { IdentifierCheck::None },
        |domain| domain.check,
    );
    check.judge(id.id(), profile)?;
    Ok(id)
}

#[cfg(test)]
mod tests;
