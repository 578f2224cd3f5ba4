//! `causeway submit`: documents with their metadata (ITI-41), metadata alone (ITI-42), or a
//! request that is ready.
//!
//! A file is read twice, once for its hash and once while it is sent, a chunk at a time: so the
//! repository can tell whether what arrived is what was meant, and memory does not grow with it.

use std::fs::File as StdFile;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use indicatif::ProgressBar;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use super::client::{self, Attached, Client, ClientArgs, Codes, ErrorView, Target, status_name};
use super::print;
use super::{CommandError, Outcome};
use crate::actors::document_provide::HOME_SLOT;
use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::model::hl7::{self, Verdict};
use crate::model::ids::{EntryUuid, HomeCommunityId, Oid, PatientId, RepositoryUniqueId, UniqueId};
use crate::model::metadata::build::{self, Code};
use crate::model::response::{RegistryResponse, ResponseStatus};
use crate::model::rim::{Body, Classification, ObjectId, RegistryObject, Slot};
use crate::model::time::Dtm;
use crate::model::vocabulary::{self as v, association, identifier, ns, scheme, slot};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted, human_size};
use crate::transaction::Service;
use crate::transport::answer::{self, Part};
use crate::wire::xml::{self, Document, Limits, Node, Ns, push_attr};
use crate::wire::{ebrs, soap, xdsb};

/// How much of a file is read at a time.
const CHUNK: usize = 256 << 10;

/// Arguments of `causeway submit`.
#[derive(Clone, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub struct Args {
    /// The documents; several are one submission
    #[arg(value_name = "FILE", required_unless_present_any = ["raw", "metadata"])]
    pub files: Vec<PathBuf>,
    /// Connection and output.
    #[command(flatten)]
    pub client: ClientArgs,
    /// The submission.
    #[command(flatten)]
    pub set: SetFields,
    /// The documents.
    #[command(flatten)]
    pub document: DocumentFields,
    /// Read options from a JSON file; --help explains it
    #[arg(help_heading = "Request", long, value_name = "FILE", conflicts_with = "raw")]
    pub metadata: Option<PathBuf>,
    /// Send this request as it is: a SubmitObjectsRequest, a ProvideAndRegisterDocumentSetRequest, or an envelope with either
    #[arg(help_heading = "Request", long, value_name = "FILE")]
    pub raw: Option<PathBuf>,
    /// Register metadata of documents that a repository already holds (ITI-42); the files are only hashed
    #[arg(help_heading = "Request", long, requires = "repository")]
    pub metadata_only: bool,
    /// The community that the documents are for: its identity. The Initiating Gateway takes them there (ITI-80)
    #[arg(help_heading = "Request", long, value_name = "URN", value_parser = HomeCommunityId::parse, conflicts_with_all = ["raw", "metadata_only"])]
    pub home: Option<HomeCommunityId>,
    /// The repository that holds them, for --metadata-only
    #[arg(help_heading = "Request", long, value_name = "OID", value_parser = RepositoryUniqueId::parse)]
    pub repository: Option<RepositoryUniqueId>,
}

/// Without the metadata: it names patients.
impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Args({} files to {})", self.files.len(), self.client.to)
    }
}

/// What is said of a submission as a whole (ITI TF-3 §4.2.3.3).
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(next_help_heading = "Submission")]
pub struct SetFields {
    /// The patient: 'id^^^&OID&ISO'
    #[arg(long, value_name = "CX", conflicts_with = "nhs_number")]
    pub patient: Option<String>,
    /// The patient by NHS number
    #[arg(long, value_name = "NUMBER")]
    pub nhs_number: Option<String>,
    /// contentTypeCode, what gave rise to it (default: 58000006, patient discharge)
    #[arg(long, value_name = "CODE")]
    pub content_type_code: Option<String>,
    /// sourceId, the sending system (default: 2.999.826.4.1, an example)
    #[arg(long, value_name = "OID")]
    pub source_id: Option<String>,
    /// The submission's title
    #[arg(long, value_name = "TEXT")]
    pub set_title: Option<String>,
    /// The submission's uniqueId (default: a new one)
    #[arg(long, value_name = "OID")]
    pub set_unique_id: Option<String>,
    /// A Folder for the documents: the entryUUID of one that is there, or the title of a new one (repeatable)
    #[arg(long = "folder", value_name = "URN|TITLE")]
    #[serde(rename = "folder")]
    pub folders: Vec<String>,
    /// codeList of new Folders (default: inpatient-episode)
    #[arg(long, value_name = "CODE")]
    pub folder_code: Option<String>,
}

/// What is said of a document (ITI TF-3 §4.2.3.2).
#[derive(Clone, Default, clap::Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[command(next_help_heading = "Document")]
pub struct DocumentFields {
    /// title (default: the file's name)
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// comments
    #[arg(long, value_name = "TEXT")]
    pub comments: Option<String>,
    /// mimeType (default: by the file's extension)
    #[arg(long, value_name = "TYPE")]
    pub mime: Option<String>,
    /// classCode (default: 373942005, discharge summary)
    #[arg(long, value_name = "CODE")]
    pub class: Option<String>,
    /// typeCode (default: 373942005, discharge summary)
    #[arg(long = "type", value_name = "CODE")]
    #[serde(rename = "type")]
    pub type_code: Option<String>,
    /// formatCode (default: urn:ihe:iti:xds:2017:mimeTypeSufficient)
    #[arg(long, value_name = "CODE")]
    pub format: Option<String>,
    /// healthcareFacilityTypeCode (default: 22232009, hospital)
    #[arg(long, value_name = "CODE")]
    pub facility: Option<String>,
    /// practiceSettingCode (default: 1323691000000101, general internal medical service)
    #[arg(long, value_name = "CODE")]
    pub practice_setting: Option<String>,
    /// confidentialityCode (default: N, normal; repeatable)
    #[arg(long, value_name = "CODE")]
    pub confidentiality: Vec<String>,
    /// eventCodeList (repeatable)
    #[arg(long = "event", value_name = "CODE")]
    #[serde(rename = "event")]
    pub events: Vec<String>,
    /// languageCode (default: en-GB)
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// authorPerson: 'id^family^given^^^title^^^&OID&ISO'
    #[arg(long, value_name = "XCN")]
    pub author: Option<String>,
    /// authorInstitution: 'name^^^^^^^^^OID'
    #[arg(long, value_name = "XON")]
    pub author_institution: Option<String>,
    /// authorRole
    #[arg(long, value_name = "TEXT")]
    pub author_role: Option<String>,
    /// authorSpecialty
    #[arg(long, value_name = "TEXT")]
    pub author_specialty: Option<String>,
    /// creationTime, UTC: 20240131093000, 2024-01-31 (default: when the file was last written)
    #[arg(long, value_name = "TIME")]
    pub creation_time: Option<String>,
    /// serviceStartTime
    #[arg(long, value_name = "TIME")]
    pub service_start: Option<String>,
    /// serviceStopTime
    #[arg(long, value_name = "TIME")]
    pub service_stop: Option<String>,
    /// sourcePatientId, the patient in the source's own domain (default: the patient)
    #[arg(long, value_name = "CX")]
    pub source_patient_id: Option<String>,
    /// sourcePatientInfo: 'PID-5|family^given' (repeatable)
    #[arg(long, value_name = "PID")]
    pub source_patient_info: Vec<String>,
    /// referenceIdList: 'id^^^&OID&ISO^typeCode' (repeatable)
    #[arg(long = "reference-id", value_name = "CXi")]
    #[serde(rename = "reference-id")]
    pub reference_ids: Vec<String>,
    /// The document's uniqueId (default: a new one, 2.25.…)
    #[arg(long, value_name = "ID")]
    pub unique_id: Option<String>,
    /// The DocumentEntry's entryUUID (default: a new one)
    #[arg(long, value_name = "URN")]
    pub entry_uuid: Option<String>,
    /// entryUUID of the document that this one replaces (RPLC)
    #[arg(long, value_name = "URN")]
    pub replaces: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  A discharge summary, everything else by default:
    causeway submit letter.pdf --to https://localhost:8443 --nhs-number 9990010226
  A clinic letter that replaces an earlier one:
    causeway submit letter.pdf --to https://localhost:8443 --nhs-number 9990010226 \\
      --title 'Clinic letter' --class 823751000000102 --type 823681000000100 \\
      --replaces urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb
  For another community, by way of our Initiating Gateway:
    causeway submit letter.pdf --to https://localhost:8443 --nhs-number 9990010226 --home urn:oid:2.999.826.1.21
  A request of your own, with the file that its first DocumentEntry describes:
    causeway submit letter.pdf --to https://localhost:8443 --raw request.xml

A code is CODE^^SCHEME, CODE^DISPLAY^SCHEME, or a bare code of codes.xml. --help explains --metadata.
The exit code is 1 if the status is Failure.";

fn long_help() -> String {
    format!(
        "{EXAMPLES}

The JSON of --metadata has the options' names without dashes in front; repeatable ones take arrays.
What the command line says goes before it. 'documents' lists documents of their own, and what one
of them says goes before all else; their files are found from the folder of the JSON file:

  {{
    \"nhs-number\": \"9990010226\",
    \"author\": \"999700000001^Sampleton^Grace^^^Dr^^^&1.2.826.0.1285.0.2.0.65&ISO\",
    \"documents\": [
      {{ \"file\": \"letter.pdf\", \"title\": \"Clinic letter\", \"class\": \"823751000000102\" }},
      {{ \"file\": \"ecg.pdf\", \"title\": \"ECG\", \"event\": [\"ECG\"] }}
    ]
  }}

With --raw and files, a SubmitObjectsRequest is wrapped into a ProvideAndRegisterDocumentSetRequest
whose documents are the files, in the order of its DocumentEntries; without files it goes to the
registry (ITI-42). In a ProvideAndRegisterDocumentSetRequest the files are the parts that its
xop:Include elements name, in their order.
"
    )
}

/// The file of `--metadata`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MetadataFile {
    #[serde(flatten)]
    set: SetFields,
    #[serde(flatten)]
    document: DocumentFields,
    documents: Vec<MetadataDocument>,
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct MetadataDocument {
    file: PathBuf,
    #[serde(flatten)]
    fields: DocumentFields,
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, serde_json::Value>,
}

macro_rules! or_else {
    ($first:expr, $second:expr, one [$($one:ident),*], many [$($many:ident),*]) => {
        Self {
            $($one: $first.$one.or($second.$one),)*
            $($many: if $first.$many.is_empty() { $second.$many } else { $first.$many },)*
        }
    };
}

impl SetFields {
    /// These, and where they say nothing, others.
    fn or(self, other: Self) -> Self {
        // A patient is one patient, however named: a command line's is not mixed with a file's.
        let other = match self.patient.is_some() || self.nhs_number.is_some() {
            true => Self { patient: None, nhs_number: None, ..other },
            false => other,
        };
        or_else!(self, other,
            one [patient, nhs_number, content_type_code, source_id, set_title, set_unique_id, folder_code],
            many [folders])
    }
}

impl DocumentFields {
    /// These, and where they say nothing, others.
    fn or(self, other: Self) -> Self {
        or_else!(self, other,
            one [title, comments, mime, class, type_code, format, facility, practice_setting, language, author,
                author_institution, author_role, author_specialty, creation_time, service_start, service_stop,
                source_patient_id, unique_id, entry_uuid, replaces],
            many [confidentiality, events, source_patient_info, reference_ids])
    }
}

/// A document to submit: its file, what is said of it, what was found in it.
struct Given {
    path: PathBuf,
    fields: DocumentFields,
    size: u64,
    sha1: String,
    written: Timestamp,
}

/// A submission that is ready to be sent.
struct Plan {
    objects: Vec<RegistryObject<'static>>,
    set: Submitted,
    documents: Vec<Submitted>,
}

/// What was submitted, for JSON and the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// The file; none for the SubmissionSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its uniqueId.
    pub unique_id: String,
    /// Its entryUUID.
    pub entry_uuid: String,
    /// Its media type; none for the SubmissionSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Its octets; none for the SubmissionSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its SHA-1; none for the SubmissionSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `Success` or `Failure`.
    pub status: &'static str,
    /// Errors and warnings.
    pub errors: Vec<ErrorView>,
    /// The SubmissionSet; none with --raw.
    pub submission_set: Option<Submitted>,
    /// The documents; none with --raw.
    pub documents: Vec<Submitted>,
}

/// Submits, and prints what came of it.
///
/// # Errors
/// When the arguments make no submission, a file cannot be read, or no answer comes back.
pub async fn run(args: Args) -> Outcome {
    let client = Client::open(&args.client)?;
    let began = Instant::now();
    let (response, report) = match &args.raw {
        Some(raw) => {
            let response = submit_raw(&args, &client, raw).await?;
            let report = Report::new(&response, None, Vec::new());
            (response, report)
        }
        None => submit(&args, &client).await?,
    };
    let text =
        if args.client.json { client::json(&report)? } else { report.render(began.elapsed(), Colour::of_stdout()) };
    print(&text)?;
    Ok(if response.status == ResponseStatus::Success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn submit(args: &Args, client: &Client) -> Result<(RegistryResponse, Report), CommandError> {
    let (set, documents) = gather(args)?;
    let mut given = Vec::with_capacity(documents.len());
    let total = documents.iter().filter_map(|(path, _)| path.metadata().ok()).map(|meta| meta.len()).sum();
    let bar = client::progress(total, "hashing");
    for (path, fields) in documents {
        given.push(inspect(path, fields, &bar)?);
    }
    bar.finish_and_clear();
    let repository = args.repository.as_ref().filter(|_| args.metadata_only);
    let plan = plan(set, &given, repository, &Codes::open(), Timestamp::now())?;
    let wanted = match (args.metadata_only, &args.home) {
        (true, _) => Service::Registry,
        (false, Some(_)) => Service::InitiatingGateway,
        (false, None) => Service::Repository,
    };
    let target = Target::new(&args.client.to, wanted)?;
    let response = if target.service == Service::Registry {
        client.submit(&target, |out| ebrs::write_submit(out, &plan.objects), Attached::default()).await?
    } else {
        let (attached, ids) = attach(given.iter().zip(&plan.documents).map(|(given, document)| {
            (given.path.clone(), given.size, document.mime_type.clone().unwrap_or_default(), None)
        }));
        let pairs: Vec<(String, String)> =
            plan.documents.iter().map(|document| document.entry_uuid.clone()).zip(ids).collect();
        let slots: Vec<_> = args.home.iter().map(|home| Slot::single(HOME_SLOT, home.to_string())).collect();
        let write = |out: &mut Vec<u8>| xdsb::write_provide_with(out, &slots, &plan.objects, &pairs);
        client.submit(&target, write, attached).await?
    };
    let report = Report::new(&response, Some(plan.set), plan.documents);
    Ok((response, report))
}

/// What the command line and the metadata file say together.
fn gather(args: &Args) -> Result<(SetFields, Vec<(PathBuf, DocumentFields)>), CommandError> {
    let Some(path) = &args.metadata else {
        let documents = args.files.iter().map(|file| (file.clone(), args.document.clone())).collect();
        return Ok((args.set.clone(), documents));
    };
    let failed = |what: String| CommandError::failed(format!("--metadata {}: {what}", path.display()));
    let file: MetadataFile =
        serde_json::from_slice(&client::read_whole(path)?).map_err(|error| failed(error.to_string()))?;
    let mut unknown = file.unknown.keys().chain(file.documents.iter().flat_map(|document| document.unknown.keys()));
    if let Some(name) = unknown.next() {
        return Err(failed(format!("there is no option {name}; 'causeway submit --help' lists them")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let common = args.document.clone().or(file.document);
    let mut documents: Vec<(PathBuf, DocumentFields)> =
        args.files.iter().map(|file| (file.clone(), common.clone())).collect();
    for document in file.documents {
        documents.push((folder.join(document.file), document.fields.or(common.clone())));
    }
    if documents.is_empty() {
        return Err(failed("no document is named, neither in it nor on the command line".to_owned()));
    }
    Ok((args.set.clone().or(file.set), documents))
}

/// Reads a file for its size and hash.
fn inspect(path: PathBuf, fields: DocumentFields, bar: &ProgressBar) -> Result<Given, CommandError> {
    let failed = |error| CommandError::file("read", &path)(error);
    let mut file = StdFile::open(&path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return Err(CommandError::failed(format!("{} is not a file", path.display())));
    }
    let written = meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).unwrap_or_else(Timestamp::now);
    let mut sha1 = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
        sha1.update(piece);
        size += piece.len() as u64;
        bar.inc(piece.len() as u64);
    }
    Ok(Given { sha1: client::hex(sha1.finish().as_ref()), path, fields, size, written })
}

// --- metadata --------------------------------------------------------------------------------

/// A fresh OID under 2.25, the arc of UUIDs (ITI TF-3 Table 4.2.3.1.7-2, OID).
fn fresh_oid() -> String {
    format!("2.25.{}", uuid::Uuid::new_v4().as_u128())
}

fn wrong(option: &str, what: impl std::fmt::Display) -> CommandError {
    CommandError::failed(format!("{option}: {what}"))
}

fn judged(option: &str, value: Option<String>, judge: fn(&str) -> Verdict) -> Result<Option<String>, CommandError> {
    match value {
        Some(value) => judge(&value).map(|()| Some(value)).map_err(|what| wrong(option, what)),
        None => Ok(None),
    }
}

fn time(option: &str, value: Option<&str>) -> Result<Option<Dtm>, CommandError> {
    let Some(value) = value else { return Ok(None) };
    let digits: String = value.chars().filter(|c| !matches!(c, '-' | ':' | 'T' | ' ' | 'Z')).collect();
    Dtm::parse(&digits).map(Some).map_err(|what| wrong(option, what))
}

fn entry_uuid(option: &str, value: Option<&str>) -> Result<Option<EntryUuid>, CommandError> {
    value.map(|value| EntryUuid::parse(&super::find::uuid(value))).transpose().map_err(|error| wrong(option, error))
}

fn patient(set: &SetFields) -> Result<PatientId, CommandError> {
    match (&set.patient, &set.nhs_number) {
        (Some(cx), _) => PatientId::parse(cx.trim()).map_err(|error| {
            wrong("--patient", format!("{error}; put it in quotes, for the shell takes ^ and & as its own"))
        }),
        (None, Some(number)) => client::parse_nhs_number(number).map_err(|what| wrong("--nhs-number", what)),
        (None, None) => {
            Err(CommandError::failed("whose document is it? Give --patient 'id^^^&OID&ISO' or --nhs-number NUMBER"))
        }
    }
}

/// A coded attribute.
fn coded(
    codes: &Codes,
    attribute: &'static str,
    given: Option<&str>,
    default: &str,
) -> Result<Classification<'static>, CommandError> {
    let code = match given {
        Some(given) => codes.read(attribute, given).map_err(|what| wrong(client::code_option(attribute), what))?,
        // A default of ours need not be in the code file of this place; the broker will say so.
        None => codes.read(attribute, default).or_else(|_| Codes::built_in().read(attribute, default)).unwrap_or_else(
            |_| Code {
                code: default.to_owned(),
                scheme: "2.16.840.1.113883.6.96".to_owned(),
                display: default.to_owned(),
            },
        ),
    };
    Ok(build::code(attribute, &code))
}

/// The objects of a submission (ITI TF-3 §4.2.1.5).
fn plan(
    set: SetFields,
    given: &[Given],
    repository: Option<&RepositoryUniqueId>,
    codes: &Codes,
    now: Timestamp,
) -> Result<Plan, CommandError> {
    let patient = patient(&set)?;
    let set_uuid = EntryUuid::random();
    let set_id: ObjectId<'static> = set_uuid.into();
    let set_unique_id = match set.set_unique_id {
        Some(id) => Oid::parse(&id).map_err(|error| wrong("--set-unique-id", error))?.to_string(),
        None => fresh_oid(),
    };
    let source_id =
        Oid::parse(set.source_id.as_deref().unwrap_or("2.999.826.4.1")).map_err(|error| wrong("--source-id", error))?;
    let mut members = Members { set: set_id.clone(), objects: Vec::new() };
    let mut entries = Vec::with_capacity(given.len());
    let mut documents = Vec::with_capacity(given.len());
    for given in given {
        let (entry, document) = entry(given, &patient, repository, codes)?;
        members.original(&entry);
        if let (Some(earlier), Some(id)) =
            (entry_uuid("--replaces", given.fields.replaces.as_deref())?, &entry.common.id)
        {
            members.add(association::RPLC, id.clone(), earlier.into());
        }
        entries.push(entry);
        documents.push(document);
    }
    each_once(given, &documents)?;
    let mut folders = Vec::new();
    for folder in &set.folders {
        let id: ObjectId<'static> = match EntryUuid::parse(&super::find::uuid(folder)) {
            Ok(existing) => existing.into(),
            Err(_) => {
                let id: ObjectId<'static> = EntryUuid::random().into();
                let mut new = build::package(id.clone(), v::FOLDER_NODE);
                new.common.names = build::name(folder.clone());
                new.classifications.push(coded(
                    codes,
                    scheme::FOLDER_CODE,
                    set.folder_code.as_deref(),
                    "inpatient-episode",
                )?);
                new.identifiers.push(build::external_identifier(identifier::FOLDER_PATIENT_ID, patient.to_cx()));
                new.identifiers.push(build::external_identifier(identifier::FOLDER_UNIQUE_ID, fresh_oid()));
                members.add(association::HAS_MEMBER, set_id.clone(), id.clone());
                folders.push(new);
                id
            }
        };
        for entry in entries.iter().filter_map(|entry| entry.common.id.clone()) {
            let membership = members.add(association::HAS_MEMBER, id.clone(), entry);
            members.add(association::HAS_MEMBER, set_id.clone(), membership);
        }
    }
    let mut package = build::package(set_id, v::SUBMISSION_SET_NODE);
    package.common.slots.push(Slot::single(slot::SUBMISSION_TIME, Dtm::from_timestamp(now).as_str().to_owned()));
    if let Some(title) = set.set_title {
        package.common.names = build::name(title);
    }
    if let Some(author) = given.first().and_then(|given| author(scheme::SET_AUTHOR, &given.fields)) {
        package.classifications.push(author);
    }
    package.classifications.push(coded(
        codes,
        scheme::CONTENT_TYPE_CODE,
        set.content_type_code.as_deref(),
        "58000006",
    )?);
    for (scheme, value) in [
        (identifier::SET_PATIENT_ID, patient.to_cx()),
        (identifier::SET_UNIQUE_ID, set_unique_id.clone()),
        (identifier::SET_SOURCE_ID, source_id.to_string()),
    ] {
        package.identifiers.push(build::external_identifier(scheme, value));
    }
    let objects = entries.into_iter().chain(folders).chain([package]).chain(members.objects).collect();
    let set = Submitted {
        file: None,
        unique_id: set_unique_id,
        entry_uuid: set_uuid.to_string(),
        mime_type: None,
        size: None,
        hash: None,
    };
    Ok(Plan { objects, set, documents })
}

/// Options that name one document must not be said of several.
fn each_once(given: &[Given], documents: &[Submitted]) -> Result<(), CommandError> {
    let ids = [
        ("--unique-id", documents.iter().map(|document| document.unique_id.as_str()).collect::<Vec<_>>()),
        ("--entry-uuid", documents.iter().map(|document| document.entry_uuid.as_str()).collect()),
        ("--replaces", given.iter().filter_map(|given| given.fields.replaces.as_deref()).collect()),
    ];
    for (option, mut ids) in ids {
        let number = ids.len();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < number {
            let what = "it is said of several documents; give each its own, in 'documents' of --metadata";
            return Err(wrong(option, what));
        }
    }
    Ok(())
}

/// The associations of a submission.
struct Members {
    set: ObjectId<'static>,
    objects: Vec<RegistryObject<'static>>,
}

impl Members {
    fn id(&self) -> ObjectId<'static> {
        ObjectId::Symbol(format!("association{}", self.objects.len() + 1).into())
    }

    fn add(&mut self, kind: &'static str, source: ObjectId<'static>, target: ObjectId<'static>) -> ObjectId<'static> {
        let id = self.id();
        self.objects.push(build::association(id.clone(), kind, source, target));
        id
    }

    fn original(&mut self, entry: &RegistryObject<'static>) {
        if let Some(entry) = &entry.common.id {
            self.objects.push(build::original(self.id(), self.set.clone(), entry.clone()));
        }
    }
}

fn author(scheme: &'static str, fields: &DocumentFields) -> Option<Classification<'static>> {
    let part = |value: &Option<String>| value.clone().unwrap_or_default();
    let (person, institution) = (part(&fields.author), part(&fields.author_institution));
    let (role, specialty) = (part(&fields.author_role), part(&fields.author_specialty));
    let parts = [
        (slot::AUTHOR_PERSON, person.as_str()),
        (slot::AUTHOR_INSTITUTION, institution.as_str()),
        (slot::AUTHOR_ROLE, role.as_str()),
        (slot::AUTHOR_SPECIALTY, specialty.as_str()),
    ];
    parts.iter().any(|(_, value)| !value.is_empty()).then(|| build::author(scheme, &parts))
}

/// The DocumentEntry of a file (ITI TF-3 §4.2.3.2).
fn entry(
    given: &Given,
    patient: &PatientId,
    repository: Option<&RepositoryUniqueId>,
    codes: &Codes,
) -> Result<(RegistryObject<'static>, Submitted), CommandError> {
    let fields = given.fields.clone();
    let uuid = entry_uuid("--entry-uuid", fields.entry_uuid.as_deref())?.unwrap_or_else(EntryUuid::random);
    let unique_id = match &fields.unique_id {
        Some(id) => UniqueId::parse(id).map_err(|error| wrong("--unique-id", error))?.to_string(),
        None => fresh_oid(),
    };
    let mime_type = match fields.mime.clone().or_else(|| client::media_type_of(&given.path).map(str::to_owned)) {
        Some(mime_type) => mime_type,
        None => {
            return Err(CommandError::failed(format!(
                "the extension of {} stands for no media type that is known here: give --mime TYPE",
                given.path.display()
            )));
        }
    };
    let mut entry = build::document_entry(uuid.into(), mime_type.clone());
    let stem = given.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    if let Some(title) = fields.title.clone().or(stem) {
        entry.common.names = build::name(title);
    }
    if let Some(comments) = fields.comments.clone() {
        entry.common.descriptions = build::name(comments);
    }
    let created =
        time("--creation-time", fields.creation_time.as_deref())?.unwrap_or_else(|| Dtm::from_timestamp(given.written));
    let source_patient =
        judged("--source-patient-id", fields.source_patient_id.clone(), hl7::cx)?.unwrap_or_else(|| patient.to_cx());
    judged("--author", fields.author.clone(), hl7::xcn)?;
    judged("--author-institution", fields.author_institution.clone(), hl7::xon)?;
    let slots = &mut entry.common.slots;
    slots.push(Slot::single(slot::CREATION_TIME, created.as_str().to_owned()));
    for (name, option, value) in [
        (slot::SERVICE_START_TIME, "--service-start", &fields.service_start),
        (slot::SERVICE_STOP_TIME, "--service-stop", &fields.service_stop),
    ] {
        if let Some(at) = time(option, value.as_deref())? {
            slots.push(Slot::single(name, at.as_str().to_owned()));
        }
    }
    let language = judged("--language", fields.language.clone(), hl7::language)?.unwrap_or_else(|| "en-GB".to_owned());
    slots.push(Slot::single(slot::LANGUAGE_CODE, language));
    slots.push(Slot::single(slot::SOURCE_PATIENT_ID, source_patient));
    for (name, option, values, judge) in [
        (
            slot::SOURCE_PATIENT_INFO,
            "--source-patient-info",
            &fields.source_patient_info,
            hl7::source_patient_info as fn(&str) -> Verdict,
        ),
        (slot::REFERENCE_ID_LIST, "--reference-id", &fields.reference_ids, hl7::cxi),
    ] {
        if let Some(what) = values.iter().find_map(|value| judge(value).err()) {
            return Err(wrong(option, what));
        }
        if !values.is_empty() {
            slots.push(Slot::list(name, values.clone()));
        }
    }
    if let Some(repository) = repository {
        slots.push(Slot::single(slot::REPOSITORY_UNIQUE_ID, repository.to_string()));
    }
    slots.push(Slot::single(slot::HASH, given.sha1.clone()));
    slots.push(Slot::single(slot::SIZE, given.size.to_string()));
    entry.classifications.extend(author(scheme::ENTRY_AUTHOR, &fields));
    for (attribute, value, default) in [
        (scheme::CLASS_CODE, &fields.class, "373942005"),
        (scheme::TYPE_CODE, &fields.type_code, "373942005"),
        (scheme::FORMAT_CODE, &fields.format, "urn:ihe:iti:xds:2017:mimeTypeSufficient"),
        (scheme::FACILITY_TYPE_CODE, &fields.facility, "22232009"),
        (scheme::PRACTICE_SETTING_CODE, &fields.practice_setting, "1323691000000101"),
    ] {
        entry.classifications.push(coded(codes, attribute, value.as_deref(), default)?);
    }
    let confidentiality =
        if fields.confidentiality.is_empty() { vec!["N".to_owned()] } else { fields.confidentiality.clone() };
    for (attribute, values) in [(scheme::CONFIDENTIALITY_CODE, &confidentiality), (scheme::EVENT_CODE, &fields.events)]
    {
        for value in values {
            entry.classifications.push(coded(codes, attribute, Some(value), "")?);
        }
    }
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_cx()));
    entry.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, unique_id.clone()));
    let submitted = Submitted {
        file: Some(given.path.display().to_string()),
        unique_id,
        entry_uuid: uuid.to_string(),
        mime_type: Some(mime_type),
        size: Some(given.size),
        hash: Some(given.sha1.clone()),
    };
    Ok((entry, submitted))
}

// --- a ready request -------------------------------------------------------------------------

/// A ready request: what to send, and the Content-IDs that it has parts for.
#[derive(Debug, PartialEq, Eq)]
enum Raw {
    /// `lcm:SubmitObjectsRequest`, and the ids of its DocumentEntries.
    Submit { text: String, entries: Vec<String> },
    /// `xds:ProvideAndRegisterDocumentSetRequest`, and what its `xop:Include`s name.
    Provide { text: String, includes: Vec<String> },
}

impl Raw {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let text = xml::decode(bytes).map_err(|error| error.to_string())?;
        let limits = Limits { elements: 10_000_000, value: 1 << 20, ..Limits::default() };
        let document = Document::parse(&text, limits).map_err(|error| error.to_string())?;
        let root = document.root();
        if matches!(root.ns(), Ns::Soap12 | Ns::Soap11) {
            return Self::of(soap::read(&document).map_err(|fault| fault.reason)?.payload);
        }
        Self::of(root)
    }

    fn of(node: Node<'_, '_>) -> Result<Self, String> {
        let text = node.fragment();
        if node.is(Ns::Lcm, "SubmitObjectsRequest") {
            let submit = ebrs::read_submit(node).map_err(|error| error.to_string())?;
            let entries = submit
                .objects
                .iter()
                .filter(|object| matches!(object.body, Body::ExtrinsicObject { .. }))
                .filter_map(|object| object.common.id.as_ref().map(ObjectId::to_string))
                .collect();
            return Ok(Self::Submit { text, entries });
        }
        if node.is(Ns::Xdsb, "ProvideAndRegisterDocumentSetRequest") {
            let includes = node
                .children()
                .filter(|child| child.is(Ns::Xdsb, "Document"))
                .filter_map(|document| document.child(Ns::Xop, "Include"))
                .filter_map(|include| include.attr("href"))
                .filter_map(|href| href.strip_prefix("cid:").map(str::to_owned))
                .collect();
            return Ok(Self::Provide { text, includes });
        }
        Err("it is neither a SubmitObjectsRequest nor a ProvideAndRegisterDocumentSetRequest, nor an envelope with one"
            .to_owned())
    }
}

async fn submit_raw(args: &Args, client: &Client, path: &Path) -> Result<RegistryResponse, CommandError> {
    let failed = |what: String| CommandError::failed(format!("--raw {}: {what}", path.display()));
    let raw = Raw::read(&client::read_whole(path)?).map_err(failed)?;
    let mut files = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let size = file.metadata().map_err(CommandError::file("read", file))?.len();
        let mime_type = args.document.mime.clone().or_else(|| client::media_type_of(file).map(str::to_owned));
        files.push((file.clone(), size, mime_type.unwrap_or_else(|| "application/octet-stream".to_owned())));
    }
    let wants = |number: usize| {
        if number == files.len() {
            Ok(())
        } else {
            Err(failed(format!("it describes {}, and {} are given", counted(number, "document"), files.len())))
        }
    };
    match raw {
        Raw::Submit { text, .. } if files.is_empty() => {
            let target = Target::new(&args.client.to, Service::Registry)?;
            client.submit(&target, |out| out.extend_from_slice(text.as_bytes()), Attached::default()).await
        }
        Raw::Submit { text, entries } => {
            wants(entries.len())?;
            let (attached, ids) = attach(files.into_iter().map(|(path, size, mime)| (path, size, mime, None)));
            let target = Target::new(&args.client.to, Service::Repository)?;
            client.submit(&target, |out| wrap(out, &text, entries.iter().zip(&ids)), attached).await
        }
        Raw::Provide { text, includes } => {
            wants(includes.len())?;
            let named = files.into_iter().zip(includes).map(|((path, size, mime), id)| (path, size, mime, Some(id)));
            let (attached, _) = attach(named);
            let target = Target::new(&args.client.to, Service::Repository)?;
            client.submit(&target, |out| out.extend_from_slice(text.as_bytes()), attached).await
        }
    }
}

/// A ProvideAndRegisterDocumentSetRequest around a SubmitObjectsRequest, left as it is.
fn wrap<'i>(out: &mut Vec<u8>, submit: &str, documents: impl Iterator<Item = (&'i String, &'i String)>) {
    out.extend_from_slice(format!("<xds:ProvideAndRegisterDocumentSetRequest xmlns:xds=\"{}\">", ns::XDSB).as_bytes());
    out.extend_from_slice(submit.as_bytes());
    for (id, content_id) in documents {
        out.extend_from_slice(b"<xds:Document id=\"");
        push_attr(out, id);
        out.extend_from_slice(format!("\"><xop:Include xmlns:xop=\"{}\" href=\"cid:", ns::XOP).as_bytes());
        push_attr(out, content_id);
        out.extend_from_slice(b"\"/></xds:Document>");
    }
    out.extend_from_slice(b"</xds:ProvideAndRegisterDocumentSetRequest>");
}

// --- bytes -----------------------------------------------------------------------------------

/// Files as parts: path, size, media type, and the Content-ID if one is demanded. Gives the
/// Content-IDs back, in order.
fn attach(files: impl Iterator<Item = (PathBuf, u64, String, Option<String>)>) -> (Attached, Vec<String>) {
    let token = answer::message_token();
    let (mut parts, mut waiting, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (path, size, media_type, id)) in files.enumerate() {
        let content_id = id.unwrap_or_else(|| answer::content_id(&token, number + 1));
        ids.push(content_id.clone());
        parts.push(Part { content_id, media_type, size: Some(size) });
        waiting.push((path, size));
    }
    let sent = Arc::new(AtomicU64::new(0));
    let bar = client::progress(waiting.iter().map(|(_, size)| size).sum(), "sending");
    let source = Files { waiting, next: 0, current: None, sent: Arc::clone(&sent), bar };
    let sources: Vec<Box<dyn BodySource>> = if parts.is_empty() { Vec::new() } else { vec![Box::new(source)] };
    (Attached { token, parts, sources, sent }, ids)
}

/// Files one after another, a chunk at a time.
struct Files {
    waiting: Vec<(PathBuf, u64)>,
    next: usize,
    current: Option<(tokio::fs::File, u64)>,
    sent: Arc<AtomicU64>,
    bar: ProgressBar,
}

impl Files {
    async fn open(&mut self) -> Result<Option<usize>, BodyError> {
        let Some((path, size)) = self.waiting.get(self.next) else {
            self.bar.finish_and_clear();
            return Ok(None);
        };
        self.current = Some((tokio::fs::File::open(path).await?, *size));
        self.next += 1;
        Ok(Some(self.next - 1))
    }

    async fn read(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some((file, left)) = &mut self.current else { return Ok(None) };
        if *left == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK)));
        // What a file grew by since it was hashed is not sent: the length is promised.
        let read = (&mut *file).take(*left).read_buf(&mut chunk).await?;
        if read == 0 {
            return Err(BodyError::Damaged("a file became shorter while it was sent".to_owned()));
        }
        *left = left.saturating_sub(read as u64);
        self.sent.fetch_add(read as u64, Ordering::Relaxed);
        self.bar.inc(read as u64);
        Ok(Some(chunk.freeze()))
    }
}

impl BodySource for Files {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(self.open())
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(self.read())
    }
}

// --- what came of it -------------------------------------------------------------------------

impl Report {
    fn new(response: &RegistryResponse, submission_set: Option<Submitted>, documents: Vec<Submitted>) -> Self {
        Self {
            status: status_name(response.status),
            errors: response.errors.iter().map(ErrorView::from).collect(),
            submission_set,
            documents,
        }
    }

    fn render(&self, elapsed: std::time::Duration, colour: Colour) -> String {
        let mut out = String::new();
        let left = Align::Left;
        let mut table =
            Table::new(&[("", left), ("uniqueId", left), ("entryUUID", left), ("type", left), ("bytes", Align::Right)]);
        for document in &self.documents {
            table.row([
                document.file.as_deref().unwrap_or_default().into(),
                document.unique_id.as_str().into(),
                document.entry_uuid.as_str().into(),
                document.mime_type.as_deref().unwrap_or_default().into(),
                document.size.unwrap_or_default().to_string().into(),
            ]);
        }
        if let Some(set) = &self.submission_set {
            table.row([
                Cell::new("SubmissionSet", Tone::Faint),
                set.unique_id.as_str().into(),
                set.entry_uuid.as_str().into(),
            ]);
            out.push_str(&table.render(colour));
            out.push('\n');
        }
        out.push_str(&client::error_lines(&self.errors, colour));
        let bytes = self.documents.iter().filter_map(|document| document.size).sum();
        let number = counted(self.documents.len(), "document");
        out.push_str(&match (self.status, self.documents.is_empty()) {
            ("Success", false) => {
                let status = Tone::Good.paint(self.status, colour);
                format!("{status}: {number}, {} in {}\n", human_size(bytes), client::pace(bytes, elapsed))
            }
            ("Success", true) => format!("{}\n", Tone::Good.paint(self.status, colour)),
            _ => format!("{}: nothing was registered\n", Tone::Bad.paint(self.status, colour)),
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::Profile;
    use crate::validate::codes::CodeSet;
    use crate::validate::submission::{AssociationRole, RelationshipType, judge};
    use clap::Parser;
    use std::time::Duration;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(more: &[&str]) -> Args {
        Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more)).unwrap().args
    }

    #[test]
    fn the_community_that_it_is_for_is_named_once() {
        let home = parse(&["letter.pdf", "--home", "urn:oid:2.999.1"]).home.unwrap();
        assert_eq!(home.as_str(), "urn:oid:2.999.1");
        for wrong in [&["--home", "hospital"][..], &["--home", "urn:oid:2.999.1", "--raw", "request.xml"]] {
            let words = ["x", "--to", "https://h", "letter.pdf"].iter().chain(wrong);
            assert!(Cli::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }

    fn given(fields: DocumentFields) -> Given {
        Given {
            path: "folder/letter.pdf".into(),
            fields,
            size: 5,
            sha1: "f572d396fae9206628714fb2ce00f72e94f2258f".into(),
            written: "2024-03-11T09:45:00Z".parse().unwrap(),
        }
    }

    fn made(more: &[&str]) -> Result<Plan, String> {
        let args = parse(&[&["letter.pdf"], more].concat());
        let repository = RepositoryUniqueId::parse("2.999.5").unwrap();
        let now = "2024-03-12T00:00:00Z".parse().unwrap();
        plan(args.set, &[given(args.document)], Some(&repository), &Codes::built_in(), now)
            .map_err(|error| error.to_string())
    }

    const PATIENT: [&str; 2] = ["--nhs-number", "9990010226"];

    #[test]
    fn defaults_make_a_submission_that_a_registry_takes() {
        let plan = made(&PATIENT).unwrap();
        let codes = CodeSet::parse(crate::commands::init::CODES).unwrap();
        let submission = judge(plan.objects, Profile::Register, Some(&codes)).unwrap();
        let [entry] = submission.entries.as_slice() else { panic!("one entry") };
        assert_eq!(entry.title(), Some("letter"));
        assert_eq!(entry.common.slot_value("creationTime"), Some("20240311094500"));
        assert_eq!(entry.common.slot_value("sourcePatientId"), Some("9990010226^^^&2.16.840.1.113883.2.1.4.1&ISO"));
        assert_eq!(entry.unique_id(), Some(plan.documents[0].unique_id.as_str()));
        assert_eq!(submission.set.common.slot_value("submissionTime"), Some("20240312000000"));
        assert_eq!(submission.by_role(AssociationRole::SetEntryOriginal).count(), 1);
    }

    #[test]
    fn every_option_has_its_attribute() {
        let more = [
            "--patient",
            "PX-1^^^&2.999.50&ISO",
            "--title",
            "Clinic letter",
            "--comments",
            "c",
            "--mime",
            "text/xml",
            "--class",
            "823751000000102",
            "--type",
            "823681000000100",
            "--confidentiality",
            "R",
            "--confidentiality",
            "V",
            "--event",
            "A^shown^2.999.1",
            "--language",
            "cy",
            "--author",
            "1^Sampleton^Grace",
            "--author-role",
            "Doctor",
            "--author-institution",
            "North Ward Hospital",
            "--creation-time",
            "2024-01-31T10:00",
            "--service-start",
            "20240130",
            "--service-stop",
            "20240131",
            "--source-patient-id",
            "W1^^^&2.999.51&ISO",
            "--source-patient-info",
            "PID-5|A^B",
            "--reference-id",
            "R1^^^&2.999.52&ISO^urn:ihe:iti:xds:2013:accession",
            "--unique-id",
            "2.999.60",
            "--entry-uuid",
            "8b97cb13-dc32-5e68-8751-b529953172bb",
            "--replaces",
            "urn:uuid:1f6a0b4e-93a4-4ad2-9ca1-7a6c0d0f3c55",
            "--source-id",
            "2.999.61",
            "--set-unique-id",
            "2.999.62",
            "--set-title",
            "S",
            "--content-type-code",
            "11429006",
            "--folder",
            "urn:uuid:2f6a0b4e-93a4-4ad2-9ca1-7a6c0d0f3c55",
            "--folder",
            "New",
        ];
        let plan = made(&more).unwrap();
        let submission = judge(plan.objects, Profile::Register, None).unwrap();
        let entry = &submission.entries[0];
        assert_eq!(entry.uuid().unwrap().to_string(), "urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bb");
        assert_eq!(entry.codes(scheme::CONFIDENTIALITY_CODE).map(|(code, _)| code).collect::<Vec<_>>(), ["R", "V"]);
        assert_eq!(entry.codes(scheme::EVENT_CODE).next(), Some(("A", "2.999.1")));
        assert_eq!(entry.common.slot_value("creationTime"), Some("202401311000"));
        assert_eq!(entry.author_persons().next(), Some("1^Sampleton^Grace"));
        assert_eq!(submission.set.author_persons().next(), Some("1^Sampleton^Grace"));
        assert_eq!(submission.set.identifier(identifier::SET_SOURCE_ID), Some("2.999.61"));
        assert_eq!((plan.set.unique_id.as_str(), plan.documents[0].unique_id.as_str()), ("2.999.62", "2.999.60"));
        assert_eq!(submission.folders.len(), 1);
        assert_eq!(submission.by_role(AssociationRole::FolderEntry).count(), 2);
        assert_eq!(submission.by_role(AssociationRole::Relationship(RelationshipType::Replace)).count(), 1);
    }

    #[test]
    fn what_is_wrong_names_its_option() {
        for (more, option) in [
            (&["--class", "unheard-of"][..], "--class"),
            (&["--creation-time", "yesterday"], "--creation-time"),
            (&["--author", "^^"], "--author"),
            (&["--unique-id", "a b"], "--unique-id"),
            (&["--replaces", "x"], "--replaces"),
            (&["--source-id", "x"], "--source-id"),
            (&["--source-patient-id", "x"], "--source-patient-id"),
            (&["--source-patient-info", "x"], "--source-patient-info"),
        ] {
            let error = made(&[&PATIENT[..], more].concat()).err().unwrap();
            assert!(error.starts_with(option), "{error}");
        }
        assert!(made(&[]).err().unwrap().contains("whose document"));
        assert!(made(&["--patient", "x"]).err().unwrap().starts_with("--patient"));
    }

    #[test]
    fn options_of_one_document_are_not_said_of_two() {
        let args = parse(&["a.pdf", "b.pdf", "--nhs-number", "9990010226", "--unique-id", "2.999.60"]);
        let both = [given(args.document.clone()), given(args.document)];
        let error = plan(args.set, &both, None, &Codes::built_in(), Timestamp::now()).err().unwrap().to_string();
        assert!(error.starts_with("--unique-id"), "{error}");
    }

    #[test]
    fn command_line_then_document_then_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("m.json");
        let json = r#"{"nhs-number":"9990010226","title":"from the file","class":"c","folder":["F"],
            "documents":[{"file":"a.pdf","type":"t","title":"its own"},{"file":"b.pdf"}]}"#;
        std::fs::write(&file, json).unwrap();
        let args = parse(&[
            "--metadata",
            file.to_str().unwrap(),
            "--class",
            "from the command line",
            "--patient",
            "P^^^&2.999&ISO",
        ]);
        let (set, documents) = gather(&args).unwrap();
        assert_eq!(
            (set.patient.as_deref(), set.nhs_number, set.folders),
            (Some("P^^^&2.999&ISO"), None, vec!["F".to_owned()])
        );
        let shown: Vec<_> = documents
            .iter()
            .map(|(path, fields)| {
                (
                    path.file_name().unwrap().to_str().unwrap(),
                    fields.title.as_deref().unwrap(),
                    fields.class.as_deref().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [("a.pdf", "its own", "from the command line"), ("b.pdf", "from the file", "from the command line")]
        );
        for (json, what) in [
            (r#"{"titel":"x"}"#, "titel"),
            (r#"{"documents":[{"file":"a","x":1}]}"#, "no option x"),
            ("{}", "no document"),
        ] {
            std::fs::write(&file, json).unwrap();
            let error = gather(&args).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn ready_requests() {
        let submit = format!(
            "<l:SubmitObjectsRequest xmlns:l='{}' xmlns:r='{}'><r:RegistryObjectList><r:ExtrinsicObject id='d&amp;1' \
             objectType='{}' mimeType='text/plain'/></r:RegistryObjectList></l:SubmitObjectsRequest>",
            ns::LCM,
            ns::RIM,
            v::STABLE
        );
        let Raw::Submit { text, entries } = Raw::read(submit.as_bytes()).unwrap() else { panic!("a submit") };
        assert_eq!((text.as_str(), entries.as_slice()), (submit.as_str(), &["d&1".to_owned()][..]));
        let mut out = Vec::new();
        wrap(&mut out, &text, entries.iter().zip(&["1@x".to_owned()]));
        let provide = String::from_utf8(out).unwrap();
        assert!(provide.contains(&submit) && provide.contains("id=\"d&amp;1\""));
        let envelope = format!("<e:Envelope xmlns:e='{}'><e:Body>{provide}</e:Body></e:Envelope>", ns::SOAP12);
        let Raw::Provide { includes, .. } = Raw::read(envelope.as_bytes()).unwrap() else { panic!("a provide") };
        assert_eq!(includes, ["1@x"]);
        assert!(Raw::read(b"<x/>").is_err() && Raw::read(b"x").is_err());
    }

    #[tokio::test]
    async fn files_flow_in_chunks_and_end_where_promised() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7_u8; CHUNK + 10]).unwrap();
        for (promised, good) in [(CHUNK + 10, true), (CHUNK, true), (CHUNK + 11, false)] {
            let (mut attached, ids) =
                attach([(path.clone(), promised as u64, "text/plain".to_owned(), None)].into_iter());
            assert_eq!(ids, [attached.parts[0].content_id.clone()]);
            let source = &mut attached.sources[0];
            assert_eq!(source.next_document().await.unwrap(), Some(0));
            let mut size = 0;
            let outcome = loop {
                match source.next_chunk().await {
                    Ok(Some(chunk)) => {
                        assert!(chunk.len() <= CHUNK);
                        size += chunk.len();
                    }
                    Ok(None) => break Ok(size),
                    Err(error) => break Err(error),
                }
            };
            assert_eq!(outcome.is_ok(), good);
            assert_eq!(attached.sent.load(Ordering::Relaxed), size as u64);
            if let Ok(size) = outcome {
                assert_eq!(size, promised);
                assert_eq!(source.next_document().await.unwrap(), None);
            }
        }
    }

    #[test]
    fn reports() {
        let submitted = |file: Option<&str>, id: &str| Submitted {
            file: file.map(str::to_owned),
            unique_id: id.into(),
            entry_uuid: format!("urn:uuid:{id}"),
            mime_type: file.map(|_| "text/plain".to_owned()),
            size: file.map(|_| 6),
            hash: None,
        };
        let response = RegistryResponse::from_errors(Vec::new());
        let mut report = Report::new(&response, Some(submitted(None, "s")), vec![submitted(Some("note.txt"), "d")]);
        assert_eq!(
            report.render(Duration::from_millis(12), Colour::Off),
            "               uniqueId  entryUUID   type        bytes
note.txt       d         urn:uuid:d  text/plain      6
SubmissionSet  s         urn:uuid:s

Success: 1 document, 6 B in 12.0 ms
"
        );
        report.status = "Failure";
        assert!(report.render(Duration::ZERO, Colour::Off).ends_with("\nFailure: nothing was registered\n"));
    }

    #[test]
    fn debug_shows_no_patient() {
        let args = parse(&["a.pdf", "--nhs-number", "9990010226"]);
        assert_eq!(format!("{args:?}"), "Args(1 files to https://h/)");
    }
}
