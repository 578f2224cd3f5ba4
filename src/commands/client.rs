//! What submit, find, get, retrieve and discover share: where to send, with which certificate and assertion,
//! how to show messages, and how to say what went wrong.
//!
//! A client sends one request at a time and waits for its answer on the same connection
//! (synchronous exchange). The service is told by its path, or taken from the command where `--to`
//! names a broker without a path.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use serde::Serialize;
use tokio::time::Instant;

use super::CommandError;
use super::init::CODES;
use crate::actors::ports::PeerFailure;
use crate::config::{IdentifierCheck, Profile};
use crate::model::discovery::{DiscoveryAnswer, DiscoveryQuery, PatientLocation, Revocation};
use crate::model::document::{DocumentRequest, RetrieveResponse};
use crate::model::ids::{Oid, PatientId};
use crate::model::metadata::build::Code;
use crate::model::response::{QueryResponse, RegistryError, RegistryResponse, ResponseStatus, Severity};
use crate::model::stored_query::{AdhocQuery, QueryDefinition};
use crate::model::time::Dtm;
use crate::model::vocabulary::{ns, scheme};
use crate::terminal::{Colour, Tone, human_duration, human_size, parse_duration};
use crate::transaction::{Service, Transaction, TransactionId};
use crate::transport::answer::{self, Part};
use crate::transport::message::{Bounds, EnvelopeRoom, Message};
use crate::transport::peer::{
    Outbound, SoapClient, belongs, read_answer, read_envelope, request_envelope, retrieve_response,
};
use crate::transport::tls::{ReloadableClient, TlsFiles};
use crate::validate::codes::CodeSet;
use crate::wire::xml::{Document, Limits, Ns};
use crate::wire::{ebrs, hl7v3, mtom, soap, xcpd, xdsb, xml};

/// The identifier domain of NHS numbers.
pub const NHS_NUMBER_DOMAIN: &str = "2.16.840.1.113883.2.1.4.1";

/// Largest envelope of an answer: some fifty thousand whole DocumentEntries.
const MAX_ENVELOPE: usize = 256 << 20;
/// Largest document that is received.
const MAX_DOCUMENT: u64 = 1 << 40;
/// Largest file with an assertion, metadata or a ready request.
const MAX_FILE: u64 = 256 << 20;

/// Where to send, as whom, and how to show it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct ClientArgs {
    /// The service's URL; or the broker's, https://host:port, and the command takes the right service
    #[arg(long, value_name = "URL", value_parser = parse_url)]
    pub to: Uri,
    /// Certificate to show (default: certs/client.pem of the current folder)
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key (default: beside the certificate, as .key)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Authorities that the server's certificate must come from (default: ca.pem beside the certificate)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Revocation lists of those authorities
    #[arg(long, value_name = "FILE")]
    pub crl: Option<PathBuf>,
    /// A SAML assertion, or a wsse:Security element that holds one, for the header (XUA)
    #[arg(long, value_name = "FILE")]
    pub assertion: Option<PathBuf>,
    /// How long to wait for an answer, or for the next bytes of a document
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_timeout)]
    pub timeout: Duration,
    /// Print JSON instead of a table
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Print the envelopes of request and response to standard error, without documents
    #[arg(long, help_heading = "Output")]
    pub show_wire: bool,
}

/// Through which door to ask.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct DoorArgs {
    /// Ask the Initiating Gateway, which asks all communities
    #[arg(long, conflicts_with = "cross")]
    pub gateway: bool,
    /// Ask a Responding Gateway, as another community's gateway would
    #[arg(long)]
    pub cross: bool,
}

/// Whom it is about.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Selection")]
pub struct PatientArgs {
    /// The patient: 'id^^^&OID&ISO'
    #[arg(long, value_name = "CX", value_parser = parse_patient, conflicts_with = "nhs_number")]
    pub patient: Option<PatientId>,
    /// The patient by NHS number
    #[arg(long, value_name = "NUMBER", value_parser = parse_nhs_number)]
    pub nhs_number: Option<PatientId>,
}

impl PatientArgs {
    /// The patient, however named.
    pub fn patient(&self) -> Option<&PatientId> {
        self.patient.as_ref().or(self.nhs_number.as_ref())
    }
}

/// Says whether there is one, not who.
impl std::fmt::Debug for PatientArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PatientArgs({})", if self.patient().is_some() { "given" } else { "none" })
    }
}

pub(super) fn parse_url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}; it looks like https://host:8443"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https" | "http"), Some(_)) => Ok(uri),
        _ => Err("it begins with https:// and a host, as https://host:8443".to_owned()),
    }
}

pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a time such as 30s, 500ms or 2min".to_owned())
}

fn parse_patient(text: &str) -> Result<PatientId, String> {
    PatientId::parse(text.trim())
        .map_err(|error| format!("{error}; put it in quotes, for the shell takes ^ and & as its own"))
}

/// Reads an NHS number, with or without blanks, and checks its check digit.
///
/// # Errors
/// When it is none.
pub fn parse_nhs_number(text: &str) -> Result<PatientId, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    IdentifierCheck::NhsNumber.judge(&digits, Profile::Demo)?;
    let domain = Oid::parse(NHS_NUMBER_DOMAIN).map_err(|error| error.to_string())?;
    PatientId::new(&digits, domain).map_err(|error| error.to_string())
}

/// An address and the transaction that it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub uri: Uri,
    /// Which actor is there.
    pub service: Service,
}

impl Target {
    /// The service that is meant: the path tells if it is one of ours, else `wanted` does; without
    /// a path, the path of `wanted` is added.
    ///
    /// # Errors
    /// When the address cannot be made.
    pub fn new(to: &Uri, wanted: Service) -> Result<Self, CommandError> {
        let path = to.path().trim_end_matches('/');
        let path = path.strip_suffix("/services").unwrap_or(path);
        if !path.is_empty() {
            let service = Service::from_path(to.path()).unwrap_or(wanted);
            return Ok(Self { uri: to.clone(), service });
        }
        let mut parts = to.clone().into_parts();
        let path = format!("/services/{}", wanted.name());
        parts.path_and_query = Some(path.parse().map_err(|error| CommandError::failed(format!("--to: {error}")))?);
        let uri = Uri::from_parts(parts).map_err(|error| CommandError::failed(format!("--to: {error}")))?;
        Ok(Self { uri, service: wanted })
    }

    /// Where stored queries go, through a door.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn query(to: &Uri, door: DoorArgs) -> Result<Self, CommandError> {
        Self::new(to, door.service().unwrap_or(Service::Registry))
    }

    /// Where documents are retrieved, through a door.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn retrieve(to: &Uri, door: DoorArgs) -> Result<Self, CommandError> {
        Self::new(to, door.service().unwrap_or(Service::Repository))
    }
}

impl DoorArgs {
    fn service(self) -> Option<Service> {
        match (self.gateway, self.cross) {
            (true, _) => Some(Service::InitiatingGateway),
            (_, true) => Some(Service::RespondingGateway),
            _ => None,
        }
    }
}

/// A client that is ready to send.
pub struct Client {
    tls: Arc<ReloadableClient>,
    security: Option<String>,
    timeout: Duration,
    bounds: Bounds,
    show_wire: bool,
}

/// Documents to send along, and a count of bytes that tells whether they still flow.
#[derive(Default)]
pub struct Attached {
    /// Token of boundary and Content-IDs.
    pub token: String,
    /// What comes behind the envelope.
    pub parts: Vec<Part>,
    /// Their bytes.
    pub sources: Vec<Box<dyn crate::model::document::BodySource>>,
    /// Bytes sent so far.
    pub sent: Arc<AtomicU64>,
}

impl Client {
    /// Reads certificates and assertion; nothing is connected yet.
    ///
    /// # Errors
    /// Which file is missing or wrong.
    pub fn open(args: &ClientArgs) -> Result<Self, CommandError> {
        let files = tls_files(args, Path::new("."))?;
        let security = args.assertion.as_deref().map(read_assertion).transpose()?;
        Ok(Self {
            tls: Arc::new(ReloadableClient::new(files)?),
            security,
            timeout: args.timeout,
            bounds: bounds(args.timeout),
            show_wire: args.show_wire,
        })
    }

    /// Asks a stored query (ITI-18, ITI-38).
    ///
    /// # Errors
    /// When no answer comes back, or none that can be read.
    pub async fn query(&self, target: &Target, query: &AdhocQuery) -> Result<QueryResponse, CommandError> {
        let many = QueryDefinition::multi_patient_by_id(&query.id).is_some();
        let id = match target.service {
            Service::Registry if many => TransactionId::MultiPatientStoredQuery,
            _ if many => {
                return Err(CommandError::failed(
                    "queries about several patients are a registry's: leave --gateway out",
                ));
            }
            Service::RespondingGateway => TransactionId::CrossGatewayQuery,
            _ => TransactionId::RegistryStoredQuery,
        };
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let message = self.send(&call, |out| ebrs::write_query(out, query), Attached::default()).await?;
        read_answer(&message.root, self.bounds.xml, ebrs::read_query_response).map_err(|failure| call.failed(&failure))
    }

    /// Asks for documents (ITI-43, ITI-39); their bytes are still to be drawn.
    ///
    /// # Errors
    /// When no answer comes back, or none that can be read.
    pub async fn retrieve(
        &self,
        target: &Target,
        requests: &[DocumentRequest],
    ) -> Result<RetrieveResponse, CommandError> {
        let id = match target.service {
            Service::RespondingGateway => TransactionId::CrossGatewayRetrieve,
            _ => TransactionId::RetrieveDocumentSet,
        };
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let message = self.send(&call, |out| xdsb::write_retrieve(out, requests), Attached::default()).await?;
        retrieve_response(message, self.bounds.xml).map_err(|failure| call.failed(&failure))
    }

    /// Sends a submission (ITI-41, ITI-42, ITI-80).
    ///
    /// # Errors
    /// When no answer comes back, or none that can be read.
    pub async fn submit(
        &self,
        target: &Target,
        payload: impl FnOnce(&mut Vec<u8>),
        attached: Attached,
    ) -> Result<RegistryResponse, CommandError> {
        let id = match target.service {
            Service::Registry => TransactionId::RegisterDocumentSet,
            Service::RespondingGateway => TransactionId::CrossGatewayDocumentProvide,
            _ => TransactionId::ProvideAndRegisterDocumentSet,
        };
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let message = self.send(&call, payload, attached).await?;
        read_answer(&message.root, self.bounds.xml, ebrs::read_registry_response)
            .map_err(|failure| call.failed(&failure))
    }

    /// Asks for a patient (ITI-55); with the answer comes how long it may be kept.
    ///
    /// # Errors
    /// When no answer comes back, or none to this query.
    pub async fn discover(
        &self,
        target: &Target,
        query: &DiscoveryQuery,
    ) -> Result<(DiscoveryAnswer, Option<String>), CommandError> {
        let id = TransactionId::CrossGatewayPatientDiscovery;
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let (created, address) = (Dtm::from_timestamp(jiff::Timestamp::now()), target.uri.to_string());
        let write = |out: &mut Vec<u8>| hl7v3::write_request(out, query, created, Some(&address));
        let message = self.send(&call, write, Attached::default()).await?;
        let read = read_envelope(&message.root, self.bounds.xml, |envelope| {
            Ok((hl7v3::read_response(envelope.payload)?, envelope.correlation_ttl.clone()))
        });
        let (received, time_to_live) = read.map_err(|failure| call.failed(&failure))?;
        if !belongs(&received, query) {
            return Err(call.failed(&PeerFailure::Garbage("the answer is one to another query".into())));
        }
        Ok((received.answer, time_to_live))
    }

    /// Takes back under which identifier a patient is known; why that is not taken, as a code.
    ///
    /// # Errors
    /// When no answer comes back, or none that can be read.
    pub async fn revoke(
        &self,
        target: &Target,
        revocation: &Revocation,
    ) -> Result<Result<(), &'static str>, CommandError> {
        let id = TransactionId::CorrelationRevocation;
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let created = Dtm::from_timestamp(jiff::Timestamp::now());
        let write = |out: &mut Vec<u8>| hl7v3::write_revocation(out, revocation, created);
        let message = self.send(&call, write, Attached::default()).await?;
        read_answer(&message.root, self.bounds.xml, hl7v3::read_acknowledgement)
            .map_err(|failure| call.failed(&failure))
    }

    /// Asks where a patient's data is (ITI-56).
    ///
    /// # Errors
    /// When no answer comes back, or none that can be read.
    pub async fn locate(&self, target: &Target, patient: &PatientId) -> Result<Vec<PatientLocation>, CommandError> {
        let id = TransactionId::PatientLocationQuery;
        let call = Call { transaction: Transaction::of(id), uri: &target.uri };
        let write = |out: &mut Vec<u8>| xcpd::write_location_request(out, patient);
        let message = self.send(&call, write, Attached::default()).await?;
        read_answer(&message.root, self.bounds.xml, xcpd::read_location_response)
            .map_err(|failure| call.failed(&failure))
    }

    async fn send(
        &self,
        call: &Call<'_>,
        payload: impl FnOnce(&mut Vec<u8>),
        attached: Attached,
    ) -> Result<Message, CommandError> {
        let root = request_envelope(call.transaction, call.uri, self.security.as_deref(), payload);
        if self.show_wire {
            show(&format!("request {} to {}", call.transaction.number, call.uri), &root);
        }
        let Attached { mut token, parts, sources, sent } = attached;
        if token.is_empty() {
            token = answer::message_token();
        }
        let client = SoapClient::new(Arc::clone(&self.tls), call.uri.clone(), self.bounds.clone());
        let answered =
            client.call(call.transaction, Outbound { parts, sources, token, ..Outbound::simple(root, None) });
        let message = flowing(answered, self.timeout, &sent).await.map_err(|failure| call.failed(&failure))?;
        if self.show_wire {
            show(&format!("response {}", call.transaction.number), &message.root);
        }
        Ok(message)
    }
}

/// Waits for an answer as long as bytes flow, and then for the time given.
async fn flowing<T>(
    call: impl Future<Output = Result<T, PeerFailure>>,
    timeout: Duration,
    sent: &AtomicU64,
) -> Result<T, PeerFailure> {
    let began = Instant::now();
    let mut call = std::pin::pin!(call);
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        match tokio::time::timeout(timeout, &mut call).await {
            Ok(result) => return result,
            Err(_) => {
                let now = sent.load(Ordering::Relaxed);
                if now == before {
                    return Err(PeerFailure::Timeout(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)));
                }
                before = now;
            }
        }
    }
}

fn bounds(timeout: Duration) -> Bounds {
    Bounds {
        envelope_bytes: MAX_ENVELOPE,
        document_bytes: MAX_DOCUMENT,
        message_bytes: MAX_DOCUMENT,
        idle: timeout,
        minimum_rate: 0,
        xml: Limits { elements: 10_000_000, value: 1 << 20, ..Limits::default() },
        mtom: mtom::Limits { parts: 100_000, ..mtom::Limits::default() },
        room: EnvelopeRoom::new(MAX_ENVELOPE),
        envelope_time: timeout,
    }
}

/// A request under way, for what is said when it fails.
struct Call<'a> {
    transaction: &'static Transaction,
    uri: &'a Uri,
}

impl Call<'_> {
    fn failed(&self, failure: &PeerFailure) -> CommandError {
        let what = failure.to_string();
        let has = |words: &[&str]| words.iter().any(|word| what.contains(word));
        let fix = match failure {
            PeerFailure::Unreachable(_) if has(&["Connection refused", "dns error", "failed to lookup"]) => {
                "check that the broker runs, and host and port of --to"
            }
            PeerFailure::Untrusted(_) if has(&["not valid for name"]) => {
                "the server's certificate has another name: use one of its names in --to, or have it issued for this one"
            }
            PeerFailure::Untrusted(_) => {
                "the server's certificate is not one that --ca trusts: give the authority that issued it"
            }
            PeerFailure::Unreachable(_)
                if has(&["received fatal alert", "HandshakeFailure", "CertificateRequired"]) =>
            {
                "the server refuses the certificate of --cert: use one that its client_ca issued and has not revoked"
            }
            PeerFailure::Unreachable(_) => "check --to, the network between, and the certificates of both sides",
            PeerFailure::Timeout(_) => "give it more time with --timeout, or look at the server's log",
            PeerFailure::Garbage(_) if has(&["HTTP 404", "HTTP 405"]) => {
                "there is no such service at that path: give the broker's base URL, or the service's whole one"
            }
            PeerFailure::Garbage(_) => "--show-wire shows the messages; check that --to is the right service",
            PeerFailure::Fault(_) => "--show-wire shows the request that it is about",
            PeerFailure::TooMany(_) => "narrow the query, or raise limits.results",
            PeerFailure::OtherBytes => "the document is not the one that was registered: tell the server's operator",
            PeerFailure::Uncertain(_) => "look there before it is sent again",
            PeerFailure::NoRoom
            | PeerFailure::Overloaded
            | PeerFailure::NotAsked(_)
            | PeerFailure::Absent(_)
            | PeerFailure::NotTaken(_)
            | PeerFailure::GivenUp(_)
            | PeerFailure::NotYet
            | PeerFailure::Declined(_) => "try again later",
        };
        CommandError::failed(format!(
            "{} ({}): {} {what}; {fix}",
            self.transaction.number, self.transaction.title, self.uri
        ))
    }
}

/// Certificate, key and authorities: as given, or those that `causeway init` wrote into `folder`.
pub(super) fn tls_files(args: &ClientArgs, folder: &Path) -> Result<TlsFiles, CommandError> {
    let ClientArgs { cert, key, ca, crl, .. } = args;
    given_files(cert.as_deref(), key.as_deref(), ca.as_deref(), crl.as_deref(), folder)
}

/// The same by options.
pub(super) fn given_files(
    cert: Option<&Path>,
    key: Option<&Path>,
    ca: Option<&Path>,
    crl: Option<&Path>,
    folder: &Path,
) -> Result<TlsFiles, CommandError> {
    let certificate = cert.map_or_else(|| folder.join("certs").join("client.pem"), Path::to_owned);
    let beside = |name: &str| certificate.parent().unwrap_or(Path::new("")).join(name);
    let files = TlsFiles {
        key: key.map_or_else(|| certificate.with_extension("key"), Path::to_owned),
        client_ca: ca.map_or_else(|| beside("ca.pem"), Path::to_owned),
        crl: crl.map(Path::to_owned),
        certificate,
    };
    for (option, given, file) in [
        ("--cert", cert.is_some(), &files.certificate),
        ("--key", key.is_some(), &files.key),
        ("--ca", ca.is_some(), &files.client_ca),
    ] {
        if file.exists() {
            continue;
        }
        let fix = if given { "check the path of" } else { "change to the folder that 'causeway init' wrote, or give" };
        return Err(CommandError::failed(format!("there is no {}; {fix} {option} FILE", file.display())));
    }
    Ok(files)
}

/// Reads a file that is used whole.
///
/// # Errors
/// When it cannot be read, or is larger than any of its kind.
pub fn read_whole(path: &Path) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CommandError::file("read", path))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(CommandError::file("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CommandError::failed(format!("{} is larger than {MAX_FILE} bytes", path.display())));
    }
    Ok(bytes)
}

pub(super) fn read_assertion(path: &Path) -> Result<String, CommandError> {
    let bytes = read_whole(path)?;
    security_header(&bytes).map_err(|what| CommandError::failed(format!("--assertion {}: {what}", path.display())))
}

/// The security header of a file: byte for byte, so that signatures stay good.
fn security_header(bytes: &[u8]) -> Result<String, String> {
    const WANTED: &str = "the root element is a saml2:Assertion, a wsse:Security, or an envelope that has one";
    let text = xml::decode(bytes).map_err(|error| error.to_string())?;
    let document =
        Document::parse(&text, Limits { value: 1 << 20, ..Limits::default() }).map_err(|error| error.to_string())?;
    let root = document.root();
    match (root.ns(), root.local(), root.uri()) {
        (Ns::Wsse, "Security", _) => Ok(root.fragment()),
        (_, "Assertion", "urn:oasis:names:tc:SAML:2.0:assertion") => Ok(format!(
            "<wsse:Security xmlns:wsse=\"{}\" env:mustUnderstand=\"true\">{}</wsse:Security>",
            ns::WSSE,
            root.fragment()
        )),
        (Ns::Soap12 | Ns::Soap11, "Envelope", _) => {
            let envelope = soap::read(&document).map_err(|fault| fault.reason)?;
            envelope.security.ok_or_else(|| WANTED.to_owned())
        }
        _ => Err(WANTED.to_owned()),
    }
}

/// Prints an envelope to standard error.
fn show(head: &str, root: &[u8]) {
    let mut out = std::io::stderr().lock();
    // Nobody may be reading; the exchange itself goes on.
    let _ = writeln!(out, "--- {head}\n{}\n", shown(root));
}

/// An envelope for the eye: documents inside it are counted, not shown, and nothing in it can
/// steer a terminal.
fn shown(root: &[u8]) -> String {
    let text = match xml::decode(root) {
        Ok(text) => text,
        Err(_) => String::from_utf8_lossy(root),
    };
    let mut out = String::with_capacity(text.len().min(1 << 20));
    let mut from = 0;
    if let Ok(document) = Document::parse(&text, bounds(Duration::ZERO).xml) {
        for span in document_spans(document.root()) {
            let Some(element) = text.get(span.clone()) else { continue };
            let (Some(open), Some(close)) = (element.find('>'), element.rfind("</")) else { continue };
            let (content, end) = (span.start + open + 1, span.start + close);
            if content < end {
                out.push_str(text.get(from..content).unwrap_or_default());
                out.push_str(&format!("[{} characters of base64]", end - content));
                from = end;
            }
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect()
}

/// Where document elements without child elements stand, in the order of the text.
fn document_spans(root: xml::Node<'_, '_>) -> Vec<std::ops::Range<usize>> {
    let mut spans = Vec::new();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        if node.is(Ns::Xdsb, "Document") && node.children().next().is_none() {
            spans.push(node.span());
        }
        open.extend(node.children());
    }
    spans.sort_by_key(|span| span.start);
    spans
}

// --- codes -----------------------------------------------------------------------------------

/// Coding schemes in which a bare code is looked for.
const CODING_SCHEMES: &[&str] = &[
    "2.16.840.1.113883.6.96",
    "2.16.840.1.113883.6.1",
    "2.16.840.1.113883.5.25",
    "1.3.6.1.4.1.19376.1.2.3",
    "1.2.840.10008.2.6.1",
    "2.999.826.6.1",
    "2.999.826.6.2",
    "2.999.826.6.3",
];

/// The codes that a person may name without their scheme.
pub struct Codes(CodeSet);

impl Codes {
    /// Those of `codes.xml` in the current folder, or else those that come along.
    pub fn open() -> Self {
        let here = std::fs::read_to_string("codes.xml").ok().and_then(|text| CodeSet::parse(&text).ok());
        here.map_or_else(Self::built_in, Self)
    }

    /// Those that come along.
    pub fn built_in() -> Self {
        Self(CodeSet::parse(CODES).unwrap_or_default())
    }

    /// Reads `CODE`, `CODE^^SCHEME` or `CODE^DISPLAY^SCHEME` for an attribute.
    ///
    /// # Errors
    /// When it is neither of these, or a bare code that is in no list.
    pub fn read(&self, attribute: &'static str, text: &str) -> Result<Code, String> {
        let mut parts = text.trim().splitn(3, '^');
        let (code, display, coding_scheme) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let coding_scheme = match coding_scheme {
            Some(coding_scheme) => coding_scheme,
            None if display.is_none() && self.0.is_restricted(attribute) => CODING_SCHEMES
                .iter()
                .find(|coding_scheme| self.0.allows(attribute, coding_scheme, code))
                .copied()
                .ok_or_else(|| format!("{code} is in no code list: write CODE^^SCHEME or CODE^DISPLAY^SCHEME"))?,
            None => return Err("a code is CODE^^SCHEME or CODE^DISPLAY^SCHEME".to_owned()),
        };
        if code.is_empty() || coding_scheme.is_empty() {
            return Err("a code is CODE^^SCHEME or CODE^DISPLAY^SCHEME, neither part empty".to_owned());
        }
        let display = display
            .filter(|display| !display.is_empty())
            .or_else(|| self.0.display(attribute, coding_scheme, code))
            .unwrap_or(code);
        Ok(Code { code: code.to_owned(), scheme: coding_scheme.to_owned(), display: display.to_owned() })
    }
}

/// The option of this client that sets a coded attribute.
pub fn code_option(attribute: &str) -> &'static str {
    match attribute {
        scheme::CLASS_CODE => "--class",
        scheme::TYPE_CODE => "--type",
        scheme::FORMAT_CODE => "--format",
        scheme::FACILITY_TYPE_CODE => "--facility",
        scheme::PRACTICE_SETTING_CODE => "--practice-setting",
        scheme::CONFIDENTIALITY_CODE => "--confidentiality",
        scheme::EVENT_CODE => "--event",
        scheme::CONTENT_TYPE_CODE => "--content-type-code",
        scheme::FOLDER_CODE => "--folder-code",
        _ => "a code",
    }
}

// --- media types -----------------------------------------------------------------------------

/// Media types with their file extensions, the usual one first.
const MEDIA_TYPES: &[(&str, &[&str])] = &[
    ("application/pdf", &["pdf"]),
    ("text/xml", &["xml", "cda"]),
    ("application/xml", &["xml"]),
    ("text/plain", &["txt", "text"]),
    ("text/html", &["html", "htm"]),
    ("text/rtf", &["rtf"]),
    ("application/fhir+json", &["json"]),
    ("application/fhir+xml", &["xml"]),
    ("application/dicom", &["dcm"]),
    ("application/x-hl7", &["hl7"]),
    ("image/jpeg", &["jpg", "jpeg"]),
    ("image/png", &["png"]),
    ("image/tiff", &["tif", "tiff"]),
    ("image/bmp", &["bmp"]),
    ("application/octet-stream", &["bin"]),
];

/// The media type that a file's extension stands for.
pub fn media_type_of(path: &Path) -> Option<&'static str> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    MEDIA_TYPES
        .iter()
        .find(|(_, extensions)| extensions.contains(&extension.as_str()))
        .map(|(media_type, _)| *media_type)
}

/// The extension for a file of a media type.
pub fn extension_of(media_type: &str) -> &'static str {
    let bare = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    MEDIA_TYPES
        .iter()
        .find(|(known, _)| *known == bare)
        .and_then(|(_, extensions)| extensions.first())
        .unwrap_or(&"bin")
}

// --- answers ---------------------------------------------------------------------------------

/// A RegistryError, for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorView {
    /// The errorCode.
    pub code: String,
    /// The codeContext.
    pub context: String,
    /// `Error` or `Warning`.
    pub severity: &'static str,
    /// The location, if one is given.
    pub location: Option<String>,
}

impl From<&RegistryError> for ErrorView {
    fn from(error: &RegistryError) -> Self {
        Self {
            code: error.code.as_str().to_owned(),
            context: error.context.clone(),
            severity: match error.severity {
                Severity::Error => "Error",
                Severity::Warning => "Warning",
            },
            location: error.location.clone(),
        }
    }
}

/// A status as people and JSON have it.
pub fn status_name(status: ResponseStatus) -> &'static str {
    match status {
        ResponseStatus::Success => "Success",
        ResponseStatus::PartialSuccess => "PartialSuccess",
        ResponseStatus::Failure => "Failure",
    }
}

/// A text of somebody else's that may go to a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Errors and warnings as a list, a line each.
pub fn error_lines(errors: &[ErrorView], colour: Colour) -> String {
    let mut out = String::new();
    for error in errors {
        let tone = if error.severity == "Error" { Tone::Bad } else { Tone::Warning };
        out.push_str(&tone.paint(error.severity, colour));
        out.push_str(&format!(" {}", printable(&error.code)));
        if let Some(location) = &error.location {
            out.push_str(&format!(" at {}", printable(location)));
        }
        out.push_str(&format!(": {}\n", printable(&error.context)));
    }
    out
}

/// A value as indented JSON, its last line ended.
///
/// # Errors
/// Never with the views of this client.
pub fn json(value: &impl Serialize) -> Result<String, CommandError> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| CommandError::failed(format!("the answer cannot be written as JSON: {error}")))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time, and a rate where it means something: `1.2 s, 83 MiB/s`.
pub fn pace(bytes: u64, elapsed: Duration) -> String {
    if bytes < 1 << 20 {
        return human_duration(elapsed);
    }
    let rate = u128::from(bytes) * 1000 / elapsed.as_millis().max(1);
    let rate = human_size(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{}, {rate}/s", human_duration(elapsed))
}

/// A progress bar on standard error; nothing where no terminal is.
pub fn progress(total: u64, verb: &'static str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(total);
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_prefix(verb);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use proptest::prelude::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        client: ClientArgs,
    }

    fn args(more: &[&str]) -> ClientArgs {
        let fixed = ["x", "--to", "https://broker.example:8443"];
        Cli::try_parse_from(fixed.iter().chain(more)).unwrap().client
    }

    fn target(to: &str, wanted: Service) -> (String, Service) {
        let target = Target::new(&to.parse().unwrap(), wanted).unwrap();
        (target.uri.to_string(), target.service)
    }

    #[test]
    fn the_service_is_in_the_path_or_else_taken_from_the_command() {
        use Service::{InitiatingGateway, Registry, Repository, RespondingGateway};
        for (to, wanted, uri, service) in [
            ("https://h:1", Registry, "https://h:1/services/registry", Registry),
            ("https://h:1/", Repository, "https://h:1/services/repository", Repository),
            ("https://h:1/services/", InitiatingGateway, "https://h:1/services/initiating-gateway", InitiatingGateway),
            (
                "https://h:1/services/responding-gateway",
                Registry,
                "https://h:1/services/responding-gateway",
                RespondingGateway,
            ),
            ("https://h:1/xds/sq", Registry, "https://h:1/xds/sq", Registry),
            ("https://h:1/xds/sq?a=b", RespondingGateway, "https://h:1/xds/sq?a=b", RespondingGateway),
        ] {
            assert_eq!(target(to, wanted), (uri.to_owned(), service), "{to}");
        }
    }

    #[test]
    fn certificates_lie_where_init_wrote_them() {
        let dir = tempfile::tempdir().unwrap();
        let missing = tls_files(&args(&[]), dir.path()).unwrap_err().to_string();
        assert!(
            missing.contains("client.pem; change to the folder that 'causeway init' wrote, or give --cert FILE"),
            "{missing}"
        );
        std::fs::create_dir(dir.path().join("certs")).unwrap();
        for name in ["client.pem", "client.key", "ca.pem", "other.pem", "other.key"] {
            std::fs::write(dir.path().join("certs").join(name), "").unwrap();
        }
        let files = tls_files(&args(&[]), dir.path()).unwrap();
        assert_eq!(files.key, dir.path().join("certs/client.key"));
        assert_eq!(files.client_ca, dir.path().join("certs/ca.pem"));
        let other = dir.path().join("certs/other.pem");
        let files = tls_files(&args(&["--cert", other.to_str().unwrap()]), Path::new("/nowhere")).unwrap();
        assert_eq!(files.key, dir.path().join("certs/other.key"));
        let gone = tls_files(&args(&["--key", "gone.key"]), dir.path()).unwrap_err().to_string();
        assert!(gone.contains("there is no gone.key; check the path of --key FILE"), "{gone}");
    }

    #[test]
    fn addresses_and_times_are_checked_at_once() {
        for bad in [["--to", "localhost:8443"], ["--to", "ftp://h"], ["--to", "/services/registry"]] {
            assert!(Cli::try_parse_from(["x"].iter().chain(&bad)).is_err(), "{bad:?}");
        }
        assert!(Cli::try_parse_from(["x", "--to", "https://h", "--timeout", "0s"]).is_err());
        assert_eq!(args(&["--timeout", "250ms"]).timeout, Duration::from_millis(250));
    }

    #[test]
    fn nhs_numbers() {
        let id = parse_nhs_number("999 001-0226").unwrap();
        assert_eq!(id.to_cx(), "9990010226^^^&2.16.840.1.113883.2.1.4.1&ISO");
        for bad in ["9990010227", "999001022", "x"] {
            assert!(parse_nhs_number(bad).is_err(), "{bad}");
        }
        let patient = PatientArgs { patient: None, nhs_number: Some(id) };
        assert_eq!(format!("{patient:?}"), "PatientArgs(given)");
    }

    #[test]
    fn codes_are_completed() {
        let codes = Codes::built_in();
        let read = |attribute, text| codes.read(attribute, text).map(|code| (code.code, code.display, code.scheme));
        let letter = ("823751000000102".to_owned(), "Letter".to_owned(), "2.16.840.1.113883.6.96".to_owned());
        assert_eq!(read(scheme::CLASS_CODE, "823751000000102").unwrap(), letter);
        assert_eq!(read(scheme::CLASS_CODE, "823751000000102^^2.16.840.1.113883.6.96").unwrap(), letter);
        assert_eq!(read(scheme::CLASS_CODE, "A^B^1.2").unwrap(), ("A".into(), "B".into(), "1.2".into()));
        assert_eq!(read(scheme::CONFIDENTIALITY_CODE, "N").unwrap().2, "2.16.840.1.113883.5.25");
        assert_eq!(read(scheme::FOLDER_CODE, "imaging-study").unwrap().2, "2.999.826.6.2");
        for bad in ["unheard-of", "A^^", "^^1.2", "A^B"] {
            assert!(codes.read(scheme::CLASS_CODE, bad).is_err(), "{bad}");
        }
        for default in ["application/pdf", "text/plain"] {
            assert!(codes.0.allows_mime_type(default));
        }
    }

    #[test]
    fn media_types_and_extensions() {
        assert_eq!(media_type_of(Path::new("a/b.PDF")), Some("application/pdf"));
        assert_eq!(media_type_of(Path::new("a/b")), None);
        assert_eq!(extension_of("text/XML; charset=utf-8"), "xml");
        assert_eq!(extension_of("video/x-strange"), "bin");
    }

    #[test]
    fn assertions_become_security_headers_byte_for_byte() {
        let assertion = "<a:Assertion xmlns:a=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID='_1'><a:Issuer> x </a:Issuer></a:Assertion>";
        let header = security_header(format!("<?xml version=\"1.0\"?>\n{assertion}").as_bytes()).unwrap();
        assert!(header.starts_with("<wsse:Security ") && header.contains(assertion), "{header}");
        let security = format!("<w:Security xmlns:w='{}'>{assertion}</w:Security>", ns::WSSE);
        assert_eq!(security_header(security.as_bytes()).unwrap(), security);
        let envelope = |header: &str| {
            format!(
                "<e:Envelope xmlns:e='{}'><e:Header>{header}</e:Header><e:Body><x/></e:Body></e:Envelope>",
                ns::SOAP12
            )
        };
        assert!(security_header(envelope(&security).as_bytes()).unwrap().contains(assertion));
        for bad in [envelope("").as_str(), "<x/>", "no XML", "<Assertion/>"] {
            assert!(security_header(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn messages_are_shown_without_documents() {
        let text = format!(
            "<r xmlns:x='{}'><x:Document id='1'>QUJD</x:Document><x:Document id='2'>QUI=</x:Document>\u{1b}</r>",
            ns::XDSB
        );
        let broken = shown(text.as_bytes());
        assert!(!broken.contains('\u{1b}'));
        let good = shown(text.replace('\u{1b}', "").as_bytes());
        assert!(good.contains("<x:Document id='1'>[4 characters of base64]</x:Document>"), "{good}");
        assert!(!good.contains("QUI=") && good.ends_with("</r>"));
    }

    #[test]
    fn errors_are_a_line_each() {
        let errors = [
            ErrorView {
                code: "XDSUnavailableCommunity".into(),
                context: "late\n".into(),
                severity: "Error",
                location: Some("urn:oid:2.999.1".into()),
            },
            ErrorView { code: "W".into(), context: "c".into(), severity: "Warning", location: None },
        ];
        assert_eq!(
            error_lines(&errors, Colour::Off),
            "Error XDSUnavailableCommunity at urn:oid:2.999.1: late \nWarning W: c\n"
        );
    }

    #[test]
    fn failures_name_step_and_fix() {
        let uri: Uri = "https://h:1/services/registry".parse().unwrap();
        let call = Call { transaction: Transaction::of(TransactionId::RegistryStoredQuery), uri: &uri };
        for (failure, fix) in [
            (
                PeerFailure::Unreachable("tcp connect error: Connection refused (os error 111)".into()),
                "check that the broker runs",
            ),
            (
                PeerFailure::Unreachable("received fatal alert: CertificateExpired".into()),
                "the server refuses the certificate of --cert",
            ),
            (PeerFailure::Untrusted("invalid peer certificate: UnknownIssuer".into()), "--ca"),
            (PeerFailure::Untrusted("invalid peer certificate: certificate not valid for name".into()), "another name"),
            (PeerFailure::Timeout(5), "--timeout"),
            (PeerFailure::Garbage("HTTP 404: …".into()), "no such service"),
            (PeerFailure::Fault("env:Sender: x".into()), "--show-wire"),
        ] {
            let text = call.failed(&failure).to_string();
            assert!(text.starts_with("ITI-18 (Registry Stored Query): https://h:1/services/registry "), "{text}");
            assert!(text.contains(fix), "{text}");
        }
    }

    #[tokio::test]
    async fn an_upload_may_take_long_but_not_stand_still() {
        let sent = Arc::new(AtomicU64::new(0));
        let flowing_bytes = Arc::clone(&sent);
        let slow = async move {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                flowing_bytes.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        assert_eq!(flowing(slow, Duration::from_millis(400), &sent).await, Ok(()));
        let stuck = std::future::pending::<Result<(), PeerFailure>>();
        assert!(matches!(flowing(stuck, Duration::from_millis(20), &sent).await, Err(PeerFailure::Timeout(20..))));
    }

    proptest! {
        #[test]
        fn whatever_comes_can_be_shown(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = shown(&bytes);
            prop_assert!(!text.contains('\u{1b}'), "an escape was let through");
        }

        #[test]
        fn codes_never_panic(text in "\\PC{0,40}") {
            let _ = Codes::built_in().read(scheme::CLASS_CODE, &text);
        }
    }
}
