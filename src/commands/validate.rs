//! `causeway validate FILE…`: judges messages offline, by the rules of the running broker,
//! strictly.
//!
//! A file is an envelope, the body of one, a multipart package, or a captured HTTP message; what it
//! is meant to be is told by its action, or else by its body. What needs a registry is left out:
//! known patients, uniqueIds in use, targets of associations.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use serde::Serialize;

use super::client::{json, read_whole};
use super::{CommandError, Outcome, print};
use crate::actors::context::RequestContext;
use crate::actors::discovery::OwnPatients;
use crate::actors::document_provide;
use crate::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use crate::actors::document_repository::DocumentRepository;
use crate::actors::federation::Federation;
use crate::actors::initiating_gateway::{InitiatingGateway, OwnCommunity};
use crate::actors::patient_directory::RegisteredPatients;
use crate::actors::ports::{RegistryPort, SystemClock};
use crate::actors::responding_gateway::RespondingGateway;
use crate::actors::spool::Spool;
use crate::model::discovery::Fault;
use crate::model::document::BoxFuture;
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse, Severity};
use crate::model::rim::RegistryObject;
use crate::model::stored_query::QueryDefinition;
use crate::store::memory::{MemoryDocuments, MemoryStore};
use crate::store::{DocumentLocator, DocumentStore, RegistryStore};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};
use crate::transaction::{
    DEFERRED_DISCOVERY, DEFERRED_DISCOVERY_RESPONSE, Service, TRANSACTIONS, Transaction, TransactionId,
};
use crate::transport::endpoint::{self, Answer, Payload};
use crate::transport::message::{Attachments, BodyStream, Bounds, EnvelopeRoom, Message, receive};
use crate::transport::pipeline::Actors;
use crate::validate::codes::CodeSet;
use crate::validate::update::UpdateKind;
use crate::validate::{Profile, discovery, response, stored_query, submission, update};
use crate::wire::xml::{self, Document, Node};
use crate::wire::{ebrs, hl7v3, mtom, soap, xcf, xcpd, xdsb};

/// Arguments of `causeway validate`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  causeway validate submission.xml                 an envelope, or only its body
  causeway validate --as ITI-57 update.xml         as what: the same body has several meanings
  causeway validate --codes codes.xml capture.mime a captured package, its documents' hashes too
  tshark … | causeway validate -                   a captured HTTP message

What needs a registry is not judged: known patients, uniqueIds in use, targets of associations.
The exit code is 1 if anything is wrong.")]
pub struct Args {
    /// Messages; - is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// What they are meant to be, such as ITI-57; told by their action or body otherwise
    #[arg(long = "as", value_name = "ITI-NN", value_parser = parse_transaction)]
    pub transaction: Option<&'static Transaction>,
    /// Judge codes by this code file, in the format of the public test tools
    #[arg(long, value_name = "FILE")]
    pub codes: Option<PathBuf>,
    /// Print a JSON array of { file, message, valid, findings } instead of a table
    #[arg(long)]
    pub json: bool,
}

fn parse_transaction(text: &str) -> Result<&'static Transaction, String> {
    let number = text.trim().to_ascii_uppercase();
    let number = if number.starts_with("ITI-") { number } else { format!("ITI-{number}") };
    TRANSACTIONS.iter().find(|row| row.number == number).ok_or_else(|| {
        let all: Vec<&str> = TRANSACTIONS.iter().map(|row| row.number).collect();
        format!("the transactions are {}", all.join(", "))
    })
}

/// Something that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The standard's code for it, or the fault's.
    pub code: String,
    /// What is wrong, where, and the section of the rule.
    pub what: String,
}

impl Finding {
    fn error(code: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity: "error", code: code.into(), what: what.into() }
    }
}

impl From<RegistryError> for Finding {
    fn from(error: RegistryError) -> Self {
        let severity = if error.severity == Severity::Error { "error" } else { "warning" };
        Self { severity, code: error.code.as_str().to_owned(), what: error.context }
    }
}

impl From<soap::Fault> for Finding {
    fn from(fault: soap::Fault) -> Self {
        let code = fault.subcodes.last().map_or_else(|| format!("env:{:?}", fault.code), |code| (*code).to_owned());
        Self::error(code, fault.reason)
    }
}

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The file.
    pub file: String,
    /// What the message is.
    pub message: String,
    /// Whether nothing is wrong with it.
    pub valid: bool,
    /// What is.
    pub findings: Vec<Finding>,
}

/// Judges, and prints what was found.
///
/// # Errors
/// When a file cannot be read, or the code file is none.
pub async fn run(args: Args) -> Outcome {
    let codes = args.codes.as_deref().map(read_codes).transpose()?.map(Arc::new);
    let rules = Rules { codes, transaction: args.transaction };
    let mut verdicts = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let bytes = if file == Path::new("-") { read_standard_input()? } else { read_whole(file)? };
        verdicts.push(rules.judge(file.display().to_string(), bytes).await);
    }
    print(&if args.json { json(&verdicts)? } else { render(&verdicts, Colour::of_stdout()) })?;
    let all_valid = verdicts.iter().all(|verdict| verdict.valid);
    Ok(if all_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_codes(file: &Path) -> Result<CodeSet, CommandError> {
    let text = String::from_utf8_lossy(&read_whole(file)?).into_owned();
    CodeSet::parse(&text).map_err(|error| CommandError::failed(format!("--codes {}: {error}", file.display())))
}

/// What comes on standard input is bounded as files are.
const MAX_INPUT: u64 = 1 << 30;

fn read_standard_input() -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .take(MAX_INPUT)
        .read_to_end(&mut bytes)
        .map_err(CommandError::file("read", "standard input"))?;
    Ok(bytes)
}

fn render(verdicts: &[Verdict], colour: Colour) -> String {
    let mut out = String::new();
    for verdict in verdicts {
        let (word, tone) = if verdict.valid { ("valid", Tone::Good) } else { ("not valid", Tone::Bad) };
        out.push_str(&format!("{}: {}: {}\n", verdict.file, verdict.message, tone.paint(word, colour)));
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        for finding in &verdict.findings {
            let tone = if finding.severity == "error" { Tone::Bad } else { Tone::Warning };
            table.row([Cell::new(format!("  {}", finding.code), tone), finding.what.as_str().into()]);
        }
        if !verdict.findings.is_empty() {
            out.push_str(&table.render(colour));
        }
    }
    if verdicts.len() > 1 {
        let wrong = verdicts.iter().filter(|verdict| !verdict.valid).count();
        out.push_str(&format!("{}, {wrong} not valid\n", counted(verdicts.len(), "message")));
    }
    out
}

/// A message with its Content-Type, as it came over HTTP or would have.
struct Captured {
    content_type: String,
    body: Bytes,
}

/// Takes a file apart: an HTTP message, a multipart package, or XML.
fn captured(bytes: Vec<u8>) -> Captured {
    let start = bytes.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let text = bytes.get(start..).unwrap_or_default();
    let is_http = [b"POST ".as_slice(), b"HTTP/", b"Content-Type:", b"content-type:", b"MIME-Version:"];
    if is_http.iter().any(|begin| text.starts_with(begin))
        && let Some((head, body)) = split_head(text)
    {
        let content_type = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        let content_type = content_type.unwrap_or_default();
        let chunked = head.lines().any(|line| {
            let line = line.to_ascii_lowercase();
            line.starts_with("transfer-encoding:") && line.contains("chunked")
        });
        let whole = if chunked { unchunked(body) } else { None };
        let body = whole.as_deref().unwrap_or(body);
        return Captured { body: with_line_ends(&content_type, body), content_type };
    }
    if text.starts_with(b"--") {
        let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
        let boundary = String::from_utf8_lossy(line.get(2..).unwrap_or_default()).trim_end().to_owned();
        let content_type = format!(
            "multipart/related; boundary=\"{boundary}\"; type=\"application/xop+xml\"; start-info=\"application/soap+xml\""
        );
        return Captured { body: with_line_ends(&content_type, text), content_type };
    }
    Captured { content_type: "application/soap+xml".to_owned(), body: Bytes::from(bytes).slice(start..) }
}

/// The headers, unfolded, and what is behind the blank line.
fn split_head(text: &[u8]) -> Option<(String, &[u8])> {
    let end = |mark: &[u8]| text.windows(mark.len()).position(|window| window == mark).map(|at| (at, at + mark.len()));
    let (at, body) = match (end(b"\r\n\r\n"), end(b"\n\n")) {
        (Some(crlf), Some(lf)) => crlf.min(lf),
        (found, None) | (None, found) => found?,
    };
    let head = String::from_utf8_lossy(text.get(..at)?).replace("\r\n", "\n");
    Some((head.replace("\n ", " ").replace("\n\t", " "), text.get(body..)?))
}

/// A body without its chunks' sizes (RFC 9112 §7.1); none when they are not what they should be.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    loop {
        let end = body.iter().position(|b| *b == b'\n')?;
        let line = std::str::from_utf8(body.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        body = body.get(end + 1..)?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?;
        body = body.strip_prefix(b"\r\n").or_else(|| body.strip_prefix(b"\n"))?;
    }
}

/// Editors save packages with bare line feeds, which MIME does not know.
fn with_line_ends(content_type: &str, body: &[u8]) -> Bytes {
    let bare = content_type.starts_with("multipart/") && !body.windows(2).any(|pair| pair == b"\r\n");
    if !bare {
        return Bytes::copy_from_slice(body);
    }
    let mut out = Vec::with_capacity(body.len() + body.len() / 32);
    for byte in body {
        if *byte == b'\n' {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out.into()
}

/// What messages are judged by.
#[derive(Clone)]
struct Rules {
    codes: Option<Arc<CodeSet>>,
    transaction: Option<&'static Transaction>,
}

/// A file's limits are those of what fits into memory.
fn bounds() -> Bounds {
    Bounds {
        envelope_bytes: MAX_INPUT as usize,
        document_bytes: MAX_INPUT,
        message_bytes: MAX_INPUT,
        idle: Duration::from_secs(3600),
        minimum_rate: 0,
        xml: xml::Limits { elements: 10_000_000, ..xml::Limits::default() },
        mtom: mtom::Limits { parts: 100_000, ..mtom::Limits::default() },
        room: EnvelopeRoom::new(MAX_INPUT as usize),
        envelope_time: Duration::from_secs(3600),
    }
}

impl Rules {
    async fn judge(&self, file: String, bytes: Vec<u8>) -> Verdict {
        let captured = captured(bytes);
        let bounds = bounds();
        let spool: Arc<dyn DocumentStore> = Arc::new(MemoryDocuments::default());
        let body = BodyStream::new(Full::new(captured.body), &bounds);
        let (message, findings) = match receive(&captured.content_type, body, &bounds, Some(spool)).await {
            Ok(message) => self.judge_message(message).await,
            Err(error) => ("no message".to_owned(), vec![error.fault().into()]),
        };
        Verdict { file, message, valid: findings.iter().all(|finding| finding.severity != "error"), findings }
    }

    async fn judge_message(&self, message: Message) -> (String, Vec<Finding>) {
        let unread = |error: xml::XmlError| ("no message".to_owned(), vec![soap::Fault::from(error).into()]);
        let text = match xml::decode(&message.root) {
            Ok(text) => text,
            Err(error) => return unread(error),
        };
        let document = match Document::parse(&text, bounds().xml) {
            Ok(document) => document,
            Err(error) => return unread(error),
        };
        let mut findings = Vec::new();
        let (payload, action) = if document.root().local() == "Envelope" {
            let action = soap::action(&document);
            match soap::read(&document) {
                Ok(envelope) => {
                    if let Err(fault) = envelope.addressing.required_action() {
                        findings.push(fault.into());
                    }
                    (envelope.payload, action)
                }
                Err(fault) => return (named(action.as_deref(), "a SOAP message"), vec![fault.into()]),
            }
        } else {
            (document.root(), None)
        };
        if let Some(fault) = soap::received_fault(payload) {
            findings.push(Finding { severity: "warning", code: "Fault".into(), what: fault });
            return ("a SOAP fault".to_owned(), findings);
        }
        let is_response = payload.local().ends_with("Response");
        let transaction = self.transaction.or_else(|| meant(action.as_deref(), payload.local()));
        let Some(transaction) = transaction else {
            let what = format!("{} is the body of no transaction known here", payload.local());
            findings.push(Finding::error("wsa:ActionNotSupported", what));
            return (named(action.as_deref(), "an unknown message"), findings);
        };
        let kind = if is_response { "response" } else { "request" };
        let title = format!("{} {} {kind}", transaction.number, transaction.title);
        if is_response {
            findings.extend(judge_response(transaction, payload, message.attachments).await);
        } else if payload.local() != transaction.request_root {
            findings.push(Finding::error(
                "wsa:ActionNotSupported",
                format!(
                    "the body of {} is a {}, not a {}",
                    transaction.number,
                    transaction.request_root,
                    payload.local()
                ),
            ));
        } else {
            match endpoint::read(transaction.id, payload) {
                Ok(payload) => {
                    let has_action = action.is_some() || self.transaction.is_some();
                    findings.extend(self.judge_request(transaction, has_action, payload, message.attachments).await);
                }
                Err(error) => {
                    let code = endpoint::frame_error(transaction.id);
                    findings.push(Finding::error(code.as_str(), error.to_string()));
                }
            }
        }
        (title, findings)
    }

    async fn judge_request(
        &self,
        transaction: &'static Transaction,
        has_action: bool,
        payload: Payload,
        attachments: Attachments,
    ) -> Vec<Finding> {
        let codes = self.codes.as_deref();
        let errors = match payload {
            // A bare body does not tell which of the two it is; its query does.
            Payload::Query(query)
                if transaction.id == TransactionId::MultiPatientStoredQuery
                    || (!has_action && QueryDefinition::multi_patient_by_id(query.id.trim()).is_some()) =>
            {
                stored_query::read_multi_patient(&query).err().unwrap_or_default()
            }
            Payload::Query(query) if !has_action && QueryDefinition::fetch_by_id(query.id.trim()).is_some() => {
                stored_query::read_fetch(&query).err().unwrap_or_default()
            }
            Payload::Query(query) => stored_query::read(&query).err().unwrap_or_default(),
            Payload::Fetch(query) => {
                let home = query.home.is_none().then(|| no_home("AdhocQuery/@home is required"));
                stored_query::read_fetch(&query).err().unwrap_or_default().into_iter().chain(home).collect()
            }
            Payload::Submit(objects) => match transaction.id {
                TransactionId::UpdateDocumentSet => errors_of(update::judge(objects, UpdateKind::Full, codes)),
                TransactionId::RestrictedUpdateDocumentSet => {
                    errors_of(update::judge(objects, UpdateKind::Restricted, codes))
                }
                TransactionId::RegisterOnDemandDocumentEntry => {
                    errors_of(submission::judge(objects, Profile::RegisterOnDemand, codes))
                }
                _ => errors_of(submission::judge(objects, Profile::Register, codes)),
            },
            Payload::Provide(provide) => return self.judge_provide(transaction, provide, attachments).await,
            Payload::Retrieve(requests) | Payload::RemoveDocuments(requests) => {
                crate::transform::retrieve::requests(requests).1
            }
            Payload::Discovery(received) => {
                let refusal = discovery::judge(received.query).err();
                let details = refusal.into_iter().flat_map(|refusal| refusal.details);
                return details.map(|detail| Finding::error(Fault::Query.code(), detail)).collect();
            }
            Payload::RemoveMetadata(_) | Payload::Location(_) | Payload::Revocation(_) => Vec::new(),
        };
        errors.into_iter().map(Finding::from).collect()
    }

    /// A submission with its documents goes to a repository that forgets, before a registry that
    /// knows nobody: so missing parts, hashes and sizes are judged too.
    async fn judge_provide(
        &self,
        transaction: &'static Transaction,
        mut provide: endpoint::Provide,
        mut attachments: Attachments,
    ) -> Vec<Finding> {
        let named = match document_provide::meant(&provide.homes()) {
            Ok(None) if transaction.id == TransactionId::CrossGatewayDocumentProvide => {
                Some(no_home("the submission names no community"))
            }
            Ok(_) => None,
            Err(what) => Some(RegistryError::new(ErrorCode::XDSUnknownCommunity, what)),
        };
        // Whose it is does not matter here.
        provide.slots.clear();
        provide.home_blocks.clear();
        let (Ok(home), Ok(repository)) =
            (HomeCommunityId::parse("urn:oid:2.999"), RepositoryUniqueId::parse("2.999.1"))
        else {
            return Vec::new();
        };
        let actors = self.actors(home, repository);
        let context = RequestContext::of_our_own(transaction, "validate", Duration::from_secs(3600));
        let scope = endpoint::Scope {
            actors: &actors,
            context: &context,
            service: Service::Repository,
            documents_per_retrieve: usize::MAX,
        };
        match endpoint::iti41::answer(&scope, provide, &mut attachments).await {
            Ok(Answer::Registry(response)) => named.into_iter().chain(response.errors).map(Finding::from).collect(),
            Ok(_) => Vec::new(),
            Err(fault) => vec![fault.into()],
        }
    }

    fn actors(&self, home: HomeCommunityId, repository: RepositoryUniqueId) -> Actors {
        let store: Arc<dyn RegistryStore> = Arc::new(MemoryStore::default());
        let documents: Arc<dyn DocumentStore> = Arc::new(MemoryDocuments::default());
        let limits = QueryLimits { results: usize::MAX, values: usize::MAX };
        let (patients, clock) = (PatientPolicy::default(), Arc::new(SystemClock));
        let registry = Arc::new(DocumentRegistry::new(Arc::clone(&store), self.codes.clone(), patients, clock, limits));
        let port: Arc<dyn RegistryPort> = Arc::new(self.clone());
        let repository =
            Arc::new(DocumentRepository::new(repository, Arc::clone(&documents), Arc::clone(&store), port));
        let own = OwnCommunity {
            home,
            name: "validate".into(),
            registry: Arc::clone(&registry),
            repository: Arc::clone(&repository),
            spool: Spool::new(documents, 0),
        };
        let federation = Arc::new(arc_swap::ArcSwap::from_pointee(Federation::default()));
        let nobody = RegisteredPatients::new(store, PatientPolicy::default());
        let patients = Arc::new(OwnPatients::new(Box::new(nobody), PatientPolicy::default(), Duration::ZERO));
        Actors {
            registry,
            repository,
            initiating: Arc::new(InitiatingGateway::new(own.clone(), Arc::clone(&federation))),
            responding: Arc::new(RespondingGateway::new(own, federation, patients)),
        }
    }
}

fn no_home(what: &str) -> RegistryError {
    RegistryError::new(ErrorCode::XDSMissingHomeCommunityId, what)
}

fn errors_of<T>(judged: Result<T, Vec<RegistryError>>) -> Vec<RegistryError> {
    judged.err().unwrap_or_default()
}

/// A registry that judges what the message itself says, and keeps nothing.
impl RegistryPort for Rules {
    fn precheck<'a>(
        &'a self,
        _context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> BoxFuture<'a, Vec<RegistryError>> {
        let errors = errors_of(submission::judge(objects, Profile::Register, self.codes.as_deref()));
        Box::pin(std::future::ready(errors))
    }

    fn register<'a>(
        &'a self,
        _context: &'a RequestContext,
        _objects: Vec<RegistryObject<'static>>,
        _documents: Vec<DocumentLocator>,
    ) -> BoxFuture<'a, RegistryResponse> {
        Box::pin(std::future::ready(RegistryResponse::from_errors(Vec::new())))
    }

    fn shares_store(&self) -> bool {
        true
    }
}

/// What a message is called of which only the action is known.
fn named(action: Option<&str>, otherwise: &str) -> String {
    meant(action, "").map_or_else(|| otherwise.to_owned(), |row| format!("{} {}", row.number, row.title))
}

/// The transaction of an action, or else the first one whose body it can be.
fn meant(action: Option<&str>, root: &str) -> Option<&'static Transaction> {
    let of_action = action.and_then(|action| {
        let action = action.trim();
        let action = match action {
            DEFERRED_DISCOVERY => Transaction::of(TransactionId::CrossGatewayPatientDiscovery).action,
            DEFERRED_DISCOVERY_RESPONSE => Transaction::of(TransactionId::CrossGatewayPatientDiscovery).response_action,
            action => action,
        };
        TRANSACTIONS.iter().find(|row| row.action == action || row.response_action == action)
    });
    of_action.or_else(|| {
        let id = match root {
            "ProvideAndRegisterDocumentSetRequest" => TransactionId::ProvideAndRegisterDocumentSet,
            "SubmitObjectsRequest" | "RegistryResponse" => TransactionId::RegisterDocumentSet,
            "AdhocQueryRequest" | "AdhocQueryResponse" => TransactionId::RegistryStoredQuery,
            "RetrieveDocumentSetRequest" | "RetrieveDocumentSetResponse" => TransactionId::RetrieveDocumentSet,
            "RemoveObjectsRequest" => TransactionId::RemoveMetadata,
            "RemoveDocumentsRequest" => TransactionId::RemoveDocuments,
            hl7v3::REVOCATION | hl7v3::ACKNOWLEDGEMENT => TransactionId::CorrelationRevocation,
            hl7v3::REQUEST | hl7v3::RESPONSE => TransactionId::CrossGatewayPatientDiscovery,
            xcpd::LOCATION_REQUEST | xcpd::LOCATION_RESPONSE => TransactionId::PatientLocationQuery,
            _ => return None,
        };
        Some(Transaction::of(id))
    })
}

async fn judge_response(
    transaction: &'static Transaction,
    payload: Node<'_, '_>,
    attachments: Attachments,
) -> Vec<Finding> {
    let fetch = transaction.id == TransactionId::CrossGatewayFetch;
    let cross =
        fetch || matches!(transaction.id, TransactionId::CrossGatewayQuery | TransactionId::CrossGatewayRetrieve);
    let root = match transaction.id {
        TransactionId::RegistryStoredQuery
        | TransactionId::CrossGatewayQuery
        | TransactionId::CrossGatewayFetch
        | TransactionId::MultiPatientStoredQuery => "AdhocQueryResponse",
        TransactionId::RetrieveDocumentSet | TransactionId::CrossGatewayRetrieve => "RetrieveDocumentSetResponse",
        TransactionId::CrossGatewayPatientDiscovery => hl7v3::RESPONSE,
        TransactionId::PatientLocationQuery => xcpd::LOCATION_RESPONSE,
        TransactionId::CorrelationRevocation => hl7v3::ACKNOWLEDGEMENT,
        _ => "RegistryResponse",
    };
    if payload.local() != root {
        let what = format!("the answer of {} is a {root}, not a {}", transaction.number, payload.local());
        return vec![Finding::error("wsa:ActionNotSupported", what)];
    }
    let broken = |error: ebrs::BodyError| vec![Finding::error(ErrorCode::XDSRegistryError.as_str(), error.to_string())];
    let (errors, verdict) = match payload.local() {
        "AdhocQueryResponse" if fetch => match xcf::read_fetch_response(payload) {
            Ok((mut answer, objects)) => {
                answer.objects = objects.iter().map(|(object, _)| PackedObject::pack(object)).collect();
                let contents = objects.iter().filter_map(|(_, content)| content.as_ref());
                let verdict = match response::query_response(&answer, cross) {
                    Ok(()) => judge_parts(contents, attachments).await,
                    wrong => wrong,
                };
                (answer.errors, verdict)
            }
            Err(error) => return broken(error),
        },
        "AdhocQueryResponse" => match ebrs::read_query_response(payload) {
            Ok(answer) => (answer.errors.clone(), response::query_response(&answer, cross)),
            Err(error) => return broken(error),
        },
        "RetrieveDocumentSetResponse" => match xdsb::read_retrieve_response(payload) {
            Ok((answer, documents)) => {
                let ids = documents.iter().map(|d| (d.unique_id.as_ref(), d.home.as_ref()));
                let verdict = match response::retrieve_response(ids, cross) {
                    Ok(()) => judge_parts(documents.iter().map(|document| &document.content), attachments).await,
                    wrong => wrong,
                };
                (answer.errors, verdict)
            }
            Err(error) => return broken(error),
        },
        hl7v3::ACKNOWLEDGEMENT => {
            return hl7v3::read_acknowledgement(payload).err().map(broken).unwrap_or_default();
        }
        hl7v3::RESPONSE => return hl7v3::read_response(payload).err().map(broken).unwrap_or_default(),
        xcpd::LOCATION_RESPONSE => return xcpd::read_location_response(payload).err().map(broken).unwrap_or_default(),
        _ => match ebrs::read_registry_response(payload) {
            Ok(answer) => (answer.errors, Ok(())),
            Err(error) => return broken(error),
        },
    };
    // What it reports is no fault of the message.
    let reported = errors.into_iter().map(|error| Finding { severity: "warning", ..Finding::from(error) });
    reported.chain(verdict.err().map(|what| Finding::error(ErrorCode::XDSRegistryError.as_str(), what))).collect()
}

/// Every document that the root part names is in the package, and the package ends as it should.
async fn judge_parts<'d>(
    contents: impl Iterator<Item = &'d xdsb::Binary<'d>>,
    mut attachments: Attachments,
) -> Result<(), String> {
    let mut wanted = Vec::new();
    for content in contents {
        if let xdsb::Binary::Include(href) = content {
            wanted.push(mtom::ContentId::from_href(href).map_err(|error| error.to_string())?);
        }
    }
    while let Some(headers) = attachments.next_part().await.map_err(|error| error.to_string())? {
        let at = headers.content_id.as_ref().and_then(|id| id.best_match(wanted.iter()));
        if let Some(at) = at {
            wanted.remove(at);
        }
    }
    match wanted.first() {
        None => Ok(()),
        Some(id) => Err(format!("xop:Include names part {id}, which is not in the message (ITI TF-2 §V.8)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::build;
    use crate::model::rim::{ObjectId, Slot};
    use crate::model::stored_query::AdhocQuery;
    use crate::model::vocabulary::APPROVED;

    const ACTION: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
    const PATIENT: &str = "'PX-881^^^&2.999.50.100&ISO'";

    fn query(slots: Vec<Slot<'static>>) -> Vec<u8> {
        let id = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into();
        let query = AdhocQuery { id, home: None, return_type: Some("LeafClass".into()), slots };
        let mut out = Vec::new();
        ebrs::write_query(&mut out, &query);
        out
    }

    fn good_query() -> Vec<u8> {
        query(vec![
            Slot::single("$XDSDocumentEntryPatientId", PATIENT),
            Slot::single("$XDSDocumentEntryStatus", format!("('{APPROVED}')")),
        ])
    }

    fn envelope(action: &str, payload: &[u8]) -> Vec<u8> {
        let addressing = soap::Addressing { action: Some(action.to_owned()), ..soap::Addressing::default() };
        crate::transport::answer::envelope(soap::Version::V12, &addressing, None, |out| out.extend_from_slice(payload))
    }

    /// A package of a root part and one document.
    fn package(root: &[u8], document: &[u8]) -> Vec<u8> {
        let mut out = b"--b\r\nContent-Type: application/xop+xml\r\nContent-ID: <r@x>\r\n\r\n".to_vec();
        out.extend_from_slice(root);
        out.extend_from_slice(b"\r\n--b\r\nContent-ID: <d@x>\r\nContent-Type: text/plain\r\n\r\n");
        out.extend_from_slice(document);
        out.extend_from_slice(b"\r\n--b--\r\n");
        out
    }

    async fn judged(bytes: Vec<u8>) -> Verdict {
        Rules { codes: None, transaction: None }.judge("test".into(), bytes).await
    }

    fn codes(verdict: &Verdict) -> Vec<&str> {
        verdict.findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[tokio::test]
    async fn a_message_is_judged_in_each_form_that_it_is_kept_in() {
        let http = [
            b"POST /x HTTP/1.1\r\nContent-Type: application/soap+xml\r\n\r\n".to_vec(),
            envelope(ACTION, &good_query()),
        ];
        let query = good_query();
        let (first, rest) = query.split_at(10);
        let size = format!("\r\n{:X};x=y\r\n", rest.len());
        let chunked = [
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Type: application/soap+xml\r\n\r\na\r\n"
                .as_slice(),
            first,
            size.as_bytes(),
            rest,
            b"\r\n0\r\n\r\n",
        ];
        for bytes in [good_query(), envelope(ACTION, &good_query()), http.concat(), chunked.concat()] {
            let verdict = judged(bytes).await;
            assert!(verdict.valid && verdict.findings.is_empty(), "{verdict:?}");
            assert_eq!(verdict.message, "ITI-18 Registry Stored Query request");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_is_told_with_its_code() {
        for (bytes, code) in [
            (b"hello".to_vec(), "env:Sender"),
            (Vec::new(), "env:Sender"),
            (b"<a/>".to_vec(), "wsa:ActionNotSupported"),
            (envelope("urn:nothing", b"<a/>"), "wsa:ActionNotSupported"),
            (envelope("urn:ihe:iti:2007:RegisterDocumentSet-b", &good_query()), "wsa:ActionNotSupported"),
            (query(vec![Slot::single("$XDSDocumentEntryPatientId", PATIENT)]), "XDSStoredQueryMissingParam"),
            (b"--b\r\n\r\n<a/>".to_vec(), "env:Sender"),
        ] {
            let verdict = judged(bytes).await;
            assert!(!verdict.valid && codes(&verdict).contains(&code), "{code}: {verdict:?}");
        }
    }

    #[tokio::test]
    async fn documents_of_a_package_are_hashed() {
        let mut entry = build::document_entry(ObjectId::Symbol("entry".into()), "text/plain");
        entry.common.slots.push(Slot::single("hash", "da39a3ee5e6b4b0d3255bfef95601890afd80709"));
        let mut payload = Vec::new();
        xdsb::write_provide(&mut payload, &[entry], &[("entry".to_owned(), "d@x".to_owned())]);
        let root = envelope("urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b", &payload);
        let verdict = judged(package(&root, b"letter")).await;
        assert_eq!(verdict.message, "ITI-41 Provide and Register Document Set-b request");
        // The metadata lacks nearly everything, which comes first.
        assert!(!verdict.valid && codes(&verdict).contains(&"XDSRegistryMetadataError"), "{verdict:?}");
    }

    #[tokio::test]
    async fn a_response_is_judged_as_one() {
        let mut payload = Vec::new();
        let error = RegistryError::new(ErrorCode::XDSUnknownPatientId, "nobody");
        ebrs::write_registry_response(&mut payload, crate::model::response::ResponseStatus::Failure, &[error]);
        let wrong = judged(envelope("urn:ihe:iti:2007:RetrieveDocumentSetResponse", &payload)).await;
        assert!(!wrong.valid, "{wrong:?}");
        let verdict = judged(payload).await;
        assert!(verdict.valid, "{verdict:?}");
        assert_eq!((codes(&verdict), verdict.findings[0].severity), (vec!["XDSUnknownPatientId"], "warning"));
    }

    #[test]
    fn a_table_says_what_is_wrong_where() {
        let verdict = Verdict {
            file: "a.xml".into(),
            message: "ITI-18 Registry Stored Query request".into(),
            valid: false,
            findings: vec![Finding::error("XDSRegistryError", "a rule (ITI TF-2)")],
        };
        let text = render(&[verdict.clone(), verdict], Colour::Off);
        assert!(text.starts_with(
            "a.xml: ITI-18 Registry Stored Query request: not valid\n  XDSRegistryError  a rule (ITI TF-2)\n"
        ));
        assert!(text.ends_with("2 messages, 2 not valid\n"));
    }

    #[test]
    fn the_number_of_a_transaction() {
        for text in ["ITI-57", "iti-57", "57"] {
            assert_eq!(parse_transaction(text).unwrap().number, "ITI-57");
        }
        assert!(parse_transaction("ITI-99").is_err());
    }
}
