//! `causeway store verify | reindex | export | import`: what is kept, looked at and moved while the broker is
//! stopped.
//!
//! An export is a folder that any program can read:
//!
//! ```text
//! export.json        format and version, and how many objects and documents there are
//! objects.jsonl      one registry object a line: its patient, whether a later version took its
//!                    place, and its ebRIM 3.0 XML
//! documents.jsonl    one document a line: uniqueId, mimeType, sha256, size
//! receipts.jsonl     one submission a line, by which the same one is known again: submissionSet,
//!                    messageId, digest
//! patients.jsonl     one patient a line whom an identity feed has named: patient
//! contents/ab/ab…    the bytes of a document under their SHA-256
//! ```
//!
//! Objects stand in the order in which queries give them, so an import gives the same answers and
//! the same export again.

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use indicatif::ProgressBar;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::json;
use super::{CommandError, Outcome, print};
use crate::broker::open_stores;
use crate::config::{Config, DocumentStorage};
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::rim::RegistryObject;
use crate::model::vocabulary::ns;
use crate::store::{
    Change, Cursor, DocumentLocator, DocumentStore, Page, Put, Receipt, RegistryStore, StoreError, hex, unhex,
};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};
use crate::wire::{ebrim, xml};

/// Arguments of `causeway store`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to do with the stores.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with the stores.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Action {
    /// Read everything: every object, what it refers to, every document's bytes and checksums
    #[command(after_help = "The broker must be stopped. The exit code is 1 if anything is damaged or missing.")]
    Verify(VerifyArgs),
    /// Make anew what leads to objects, from the objects themselves
    #[command(after_help = "\
The broker must be stopped. For a registry of which 'store verify' says that objects are not found by their ids.")]
    Reindex(VerifyArgs),
    /// Write all metadata and documents to a folder, in a form that any program can read
    #[command(after_help = "\
Examples:
  causeway store export backup --config causeway.toml

The broker must be stopped. The folder has export.json, objects.jsonl (ebRIM XML), documents.jsonl,
receipts.jsonl, patients.jsonl and contents/ (by SHA-256).")]
    Export(TransferArgs),
    /// Read an export into empty stores
    #[command(after_help = "\
Examples:
  causeway store import backup --config new/causeway.toml

The broker must be stopped, and its stores empty.")]
    Import(TransferArgs),
}

/// Arguments of `causeway store verify` and `reindex`.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// The configuration whose stores they are
    #[arg(long, short, value_name = "FILE", default_value = "causeway.toml", env = "CAUSEWAY_CONFIG")]
    pub config: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `causeway store export` and `import`.
#[derive(Debug, Clone, clap::Args)]
pub struct TransferArgs {
    /// The folder of the export
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The configuration whose stores they are
    #[arg(long, short, value_name = "FILE", default_value = "causeway.toml", env = "CAUSEWAY_CONFIG")]
    pub config: PathBuf,
    /// Print JSON instead of a sentence
    #[arg(long)]
    pub json: bool,
}

/// Does what the arguments say.
///
/// # Errors
/// When the stores cannot be opened, or the export not be written or read.
pub async fn run(args: Args) -> Outcome {
    match args.action {
        Action::Verify(args) => {
            let report = verify(&Stores::open(&args.config, Wanted::Existing).await?).await?;
            print(&if args.json { json(&report)? } else { report.render(Colour::of_stdout()) })?;
            Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Reindex(args) => {
            let done =
                Stores::open(&args.config, Wanted::Existing).await?.registry.reindex().await.map_err(store_failed)?;
            let sentence = format!(
                "{} indexed: {} added, {} that led nowhere removed\n",
                counted(done.objects, "registry object"),
                counted(done.added, "way"),
                counted(done.removed, "way")
            );
            print(&if args.json { json(&done)? } else { sentence })?;
            if done.damaged > 0 {
                return Err(CommandError::failed(format!(
                    "{} cannot be read and stay as they are: restore them from a backup",
                    counted(done.damaged, "record")
                )));
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Export(args) => {
            let counts = export(&Stores::open(&args.config, Wanted::Existing).await?, &args.dir).await?;
            told(&args, &counts, "exported to")
        }
        Action::Import(args) => {
            let counts = import(&Stores::open(&args.config, Wanted::New).await?, &args.dir).await?;
            told(&args, &counts, "imported from")
        }
    }
}

fn told(args: &TransferArgs, counts: &Counts, verb: &str) -> Outcome {
    let sentence = || format!("{} {verb} {}\n", told_counts(counts), args.dir.display());
    print(&if args.json { json(counts)? } else { sentence() })?;
    Ok(ExitCode::SUCCESS)
}

fn told_counts(counts: &Counts) -> String {
    format!(
        "{}, {}, {} and {}",
        counted(counts.objects, "registry object"),
        counted(counts.documents, "document"),
        counted(counts.receipts, "receipt"),
        counted(counts.patients, "patient of an identity feed")
    )
}

/// The stores of a configuration.
pub struct Stores {
    /// Metadata.
    pub registry: Arc<dyn RegistryStore>,
    /// Bodies.
    pub documents: Arc<dyn DocumentStore>,
}

/// Which stores a command works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Those of a broker.
    Existing,
    /// They may be made.
    New,
}

impl Stores {
    async fn open(config: &Path, wanted: Wanted) -> Result<Self, CommandError> {
        let config = Config::load(config)?;
        let (Some(registry), DocumentStorage::Files(documents)) =
            (config.storage.metadata.folder(), &config.storage.documents)
        else {
            return Err(CommandError::failed("a store in memory ends with its process: nothing is kept there"));
        };
        if wanted == Wanted::Existing {
            // A new, empty store in the wrong place would look like a good one.
            for folder in [registry, documents.as_path()] {
                if !folder.is_dir() {
                    return Err(CommandError::failed(format!("there is no {}: check [storage]", folder.display())));
                }
            }
        }
        let opened = tokio::task::spawn_blocking(move || open_stores(&config)).await;
        let opened = opened.map_err(|error| CommandError::failed(error.to_string()))?;
        let (registry, documents, _) = opened
            .map_err(|error| CommandError::failed(format!("{error}; if the broker is running, stop it first")))?;
        Ok(Self { registry, documents })
    }
}

fn store_failed(error: StoreError) -> CommandError {
    CommandError::failed(format!("the store cannot be read or written: {error}"))
}

/// How much was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Registry objects.
    pub objects: usize,
    /// Documents.
    pub documents: usize,
    /// Receipts of submissions.
    #[serde(default)]
    pub receipts: usize,
    /// Patients whom an identity feed has named.
    #[serde(default)]
    pub patients: usize,
}

/// What was found wrong with one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is about: an entryUUID or a uniqueId.
    pub id: String,
    /// What is so.
    pub what: String,
}

/// What `verify` has seen.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// How much there is.
    pub counts: Counts,
    /// Octets of all documents.
    pub octets: u64,
    /// Contents that no document refers to; they are swept when a broker starts.
    pub orphans: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// What was read; damage is a problem of `id`.
    ///
    /// # Errors
    /// When the store itself fails.
    fn or_problem<T>(&mut self, id: impl ToString, read: Result<T, StoreError>) -> Result<Option<T>, CommandError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Damaged(what)) => {
                self.problem(id, format!("damaged: {what}"));
                Ok(None)
            }
            Err(error) => Err(store_failed(error)),
        }
    }

    fn damaged(&mut self, damaged: Vec<(String, String)>) {
        self.problems.extend(damaged.into_iter().map(|(id, what)| Problem { id, what }));
    }

    fn problem(&mut self, id: impl ToString, what: impl Into<String>) {
        self.problems.push(Problem { id: id.to_string(), what: what.into() });
    }

    fn render(&self, colour: Colour) -> String {
        let mut out = format!(
            "{} read; the documents have {}\n",
            told_counts(&self.counts),
            crate::terminal::human_size(self.octets)
        );
        if self.orphans > 0 {
            out.push_str(&format!(
                "{} belong to no document: left behind by submissions that broke off, swept when the broker starts\n",
                counted(self.orphans, "content")
            ));
        }
        if self.problems.is_empty() {
            out.push_str(&format!("{}\n", Tone::Good.paint("everything is there and unchanged", colour)));
            return out;
        }
        let mut table = Table::new(&[("", Align::Left), ("", Align::Left)]);
        for problem in &self.problems {
            table.row([Cell::new(&problem.id, Tone::Bad), problem.what.as_str().into()]);
        }
        out.push_str(&table.render(colour));
        out.push_str(&format!("{}; restore them from a backup\n", counted(self.problems.len(), "problem")));
        out
    }
}

/// A bar that counts things, on standard error; nothing where no terminal is.
fn bar(verb: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = indicatif::ProgressStyle::with_template("{prefix} {pos} {per_sec} {spinner}") {
        bar.set_style(style);
    }
    bar.set_prefix(verb);
    bar
}

/// Reads everything.
async fn verify(stores: &Stores) -> Result<Report, CommandError> {
    let mut report = Report::default();
    let progress = bar("objects");
    let mut next: Option<Cursor> = None;
    loop {
        let page = stores.registry.page(None, next.as_ref()).await;
        let Some(page) = report.or_problem("registry", page)? else { break };
        report.damaged(page.damaged);
        for packed in &page.items {
            report.counts.objects += 1;
            progress.inc(1);
            verify_object(stores, packed, &mut report).await?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    let progress = bar("documents");
    next = None;
    loop {
        let page = stores.registry.document_page(next.as_ref()).await;
        let Some(page) = report.or_problem("documents", page)? else { break };
        report.damaged(page.damaged);
        for locator in &page.items {
            report.counts.documents += 1;
            progress.inc(1);
            verify_document(stores, locator, &mut report).await?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    let receipts = async |after: Option<&Cursor>| stores.registry.receipt_page(after).await;
    report.counts.receipts = counted_pages(receipts, "receipts", &mut report).await;
    let patients = async |after: Option<&Cursor>| stores.registry.patient_page(after).await;
    report.counts.patients = counted_pages(patients, "patients", &mut report).await;
    for sha256 in stores.documents.addresses().await.map_err(store_failed)? {
        report.orphans += usize::from(!stores.registry.is_referenced(sha256).await.map_err(store_failed)?);
    }
    if report.counts.documents == 0 && report.orphans > 0 {
        report.problem("documents", "the registry knows none of them: is it their registry? check [storage]");
    }
    Ok(report)
}

/// Reads all pages of something; what cannot be read is a problem, and so is a store that fails.
async fn counted_pages<T>(
    pages: impl AsyncFn(Option<&Cursor>) -> Result<Page<T>, StoreError>,
    what: &'static str,
    report: &mut Report,
) -> usize {
    match each(pages, bar(what), |_| Ok(())).await {
        Ok((count, damaged)) => {
            report.damaged(damaged);
            count
        }
        Err(error) => {
            report.problem(what, error.to_string());
            0
        }
    }
}

/// An object decodes, is found by its ids, and its ends are there.
async fn verify_object(stores: &Stores, packed: &PackedObject, report: &mut Report) -> Result<(), CommandError> {
    let Some(uuid) = packed.uuid() else {
        report.problem("an object", "it has no entryUUID");
        return Ok(());
    };
    let object = match packed.unpack() {
        Ok(object) => object,
        Err(error) => {
            report.problem(uuid, error.to_string());
            return Ok(());
        }
    };
    let registry = &stores.registry;
    let found = registry.by_uuid(uuid).await;
    if report.or_problem(uuid, found)?.is_some_and(|found| found.as_ref() != Some(packed)) {
        report.problem(uuid, "it is not found by its entryUUID");
    }
    let is_this = |found: Vec<PackedObject>| found.iter().any(|other| other.uuid() == Some(uuid));
    if let Some(unique_id) = object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) {
        let found = registry.by_unique_id(&unique_id).await;
        if !report.or_problem(uuid, found)?.is_none_or(is_this) {
            report.problem(uuid, "it is not found by its uniqueId");
        }
    }
    if let Some(lid) = object.common.lid.as_ref().and_then(|lid| lid.uuid()) {
        let found = registry.by_logical_id(lid).await;
        if !report.or_problem(uuid, found)?.is_none_or(is_this) {
            report.problem(uuid, "it is not found by its logicalID");
        }
    }
    for end in object.ends().into_iter().flat_map(<[EntryUuid; 2]>::from) {
        let found = registry.by_uuid(end).await;
        if report.or_problem(end, found)?.is_some_and(|found| found.is_none()) {
            report.problem(uuid, format!("it refers to {end}, which is not there"));
        }
        let found = registry.associations_of(end).await;
        if !report.or_problem(uuid, found)?.is_none_or(is_this) {
            report.problem(uuid, format!("it is not found by its end {end}"));
        }
    }
    Ok(())
}

/// A document's bytes are there, and are those that were stored.
async fn verify_document(stores: &Stores, locator: &DocumentLocator, report: &mut Report) -> Result<(), CommandError> {
    if !stores.registry.is_referenced(locator.content.sha256).await.map_err(store_failed)? {
        report.problem(&locator.unique_id, "its content is not counted as used: run 'causeway store reindex' at once");
    }
    let opened = stores.documents.open(&locator.content).await;
    let mut reader = match report.or_problem(&locator.unique_id, opened)? {
        Some(Some(reader)) => reader,
        Some(None) => {
            report.problem(&locator.unique_id, "its bytes are missing");
            return Ok(());
        }
        None => return Ok(()),
    };
    let mut size = 0;
    loop {
        match reader.next_chunk().await {
            Ok(Some(chunk)) => size += chunk.len() as u64,
            Ok(None) => break,
            Err(error) => {
                report.problem(&locator.unique_id, error.to_string());
                return Ok(());
            }
        }
    }
    if size != locator.content.size {
        report.problem(&locator.unique_id, format!("it has {size} octets, not {}", locator.content.size));
    }
    report.octets += size;
    Ok(())
}

/// `export.json`
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    #[serde(flatten)]
    counts: Counts,
}

const FORMAT: &str = "causeway-export";
const VERSION: u32 = 1;

/// A line of `objects.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct ObjectLine {
    patient: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    superseded: bool,
    object: String,
}

/// A line of `documents.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentLine {
    unique_id: String,
    mime_type: String,
    sha256: String,
    size: u64,
}

/// A line of `receipts.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReceiptLine {
    submission_set: String,
    message_id: String,
    digest: String,
}

impl ReceiptLine {
    fn read(&self) -> Result<Receipt, String> {
        let set_unique_id = UniqueId::parse(&self.submission_set).map_err(|error| error.to_string())?;
        let digest = unhex(&self.digest).ok_or("digest is not 64 lower-case hexadecimal digits")?;
        Ok(Receipt { set_unique_id, message_id: self.message_id.clone(), digest })
    }
}

/// A line of `patients.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct PatientLine {
    patient: String,
}

impl PatientLine {
    fn read(&self) -> Result<PatientId, String> {
        PatientId::parse(&self.patient).map_err(|error| error.to_string())
    }
}

/// A new file that only its owner may read: it holds what patients have told.
fn new_file(path: &Path) -> Result<File, CommandError> {
    let opened = File::options().write(true).create_new(true).mode(0o600).open(path);
    opened.map_err(CommandError::file("write", path))
}

/// A folder, likewise; it may be there.
fn new_folder(path: &Path) -> Result<(), CommandError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(CommandError::file("make", path))
}

/// Lines on their way into a file.
struct Lines {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Lines {
    fn create(path: PathBuf) -> Result<Self, CommandError> {
        let file = new_file(&path)?;
        Ok(Self { path, out: BufWriter::new(file) })
    }

    fn line(&mut self, value: &impl Serialize) -> Result<(), CommandError> {
        let mut line = serde_json::to_vec(value).map_err(|error| CommandError::failed(error.to_string()))?;
        line.push(b'\n');
        self.out.write_all(&line).map_err(CommandError::file("write", &self.path))
    }

    fn finish(self) -> Result<(), CommandError> {
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| CommandError::file("write", &path)(error.into_error()))?;
        file.sync_all().map_err(CommandError::file("write", &path))
    }
}

/// Writes everything to a new folder; `export.json` last, so that what has none is no export.
async fn export(stores: &Stores, dir: &Path) -> Result<Counts, CommandError> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CommandError::failed(format!("{} is not empty: an export goes into a new folder", dir.display())));
    }
    let contents = dir.join("contents");
    new_folder(&contents)?;
    let mut counts = Counts::default();
    let mut objects = Lines::create(dir.join("objects.jsonl"))?;
    let progress = bar("objects");
    let mut next: Option<Cursor> = None;
    loop {
        let page = stores.registry.page(None, next.as_ref()).await.and_then(Page::whole).map_err(store_failed)?;
        for packed in &page.items {
            let object = packed.unpack().map_err(|error| store_failed(error.into()))?;
            let Some(patient) = patient_of(stores, &object).await? else {
                return Err(CommandError::failed("an object is of no patient; 'causeway store verify' tells which"));
            };
            let mut xml = Vec::new();
            ebrim::write_object(&mut xml, &object, None);
            let object = String::from_utf8_lossy(&xml).into_owned();
            objects.line(&ObjectLine { patient, superseded: packed.is_superseded(), object })?;
            counts.objects += 1;
            progress.inc(1);
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    objects.finish()?;
    progress.finish_and_clear();
    let mut documents = Lines::create(dir.join("documents.jsonl"))?;
    let progress = bar("documents");
    loop {
        let page = stores.registry.document_page(next.as_ref()).await.and_then(Page::whole).map_err(store_failed)?;
        for locator in &page.items {
            export_content(stores, locator, &contents).await?;
            documents.line(&DocumentLine {
                unique_id: locator.unique_id.to_string(),
                mime_type: locator.mime_type.clone(),
                sha256: hex(&locator.content.sha256),
                size: locator.content.size,
            })?;
            counts.documents += 1;
            progress.inc(1);
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    documents.finish()?;
    progress.finish_and_clear();
    let mut receipts = Lines::create(dir.join("receipts.jsonl"))?;
    let whole = async |after: Option<&Cursor>| stores.registry.receipt_page(after).await.and_then(Page::whole);
    (counts.receipts, _) = each(whole, bar("receipts"), |receipt| {
        receipts.line(&ReceiptLine {
            submission_set: receipt.set_unique_id.to_string(),
            message_id: receipt.message_id,
            digest: hex(&receipt.digest),
        })
    })
    .await?;
    receipts.finish()?;
    let mut patients = Lines::create(dir.join("patients.jsonl"))?;
    let whole = async |after: Option<&Cursor>| stores.registry.patient_page(after).await.and_then(Page::whole);
    (counts.patients, _) =
        each(whole, bar("patients"), |patient| patients.line(&PatientLine { patient: patient.to_cx() })).await?;
    patients.finish()?;
    let mut head = Lines::create(dir.join("export.json"))?;
    head.line(&Head { format: FORMAT.into(), version: VERSION, counts })?;
    head.finish()?;
    Ok(counts)
}

/// Shows everything that is given by pages; answers with how much it is, and what cannot be read.
async fn each<T>(
    pages: impl AsyncFn(Option<&Cursor>) -> Result<Page<T>, StoreError>,
    progress: ProgressBar,
    mut see: impl FnMut(T) -> Result<(), CommandError>,
) -> Result<(usize, Vec<(String, String)>), CommandError> {
    let (mut count, mut damaged, mut next) = (0, Vec::new(), None);
    loop {
        let page = pages(next.as_ref()).await.map_err(store_failed)?;
        damaged.extend(page.damaged);
        for item in page.items {
            see(item)?;
            count += 1;
            progress.inc(1);
        }
        next = page.next;
        if next.is_none() {
            progress.finish_and_clear();
            return Ok((count, damaged));
        }
    }
}

/// Whose an object is: its own patient, or that of what an association ties.
async fn patient_of(stores: &Stores, object: &RegistryObject<'_>) -> Result<Option<String>, CommandError> {
    let own = |object: &RegistryObject<'_>| object.patient_id().map(|id| id.trim().to_owned());
    if let Some(patient) = own(object) {
        return Ok(Some(patient));
    }
    // A membership of a membership is two steps away from its set.
    for end in object.ends().into_iter().flat_map(<[EntryUuid; 2]>::from) {
        if let Some(packed) = stores.registry.by_uuid(end).await.map_err(store_failed)?
            && let Some(patient) = own(&packed.unpack().map_err(|error| store_failed(error.into()))?)
        {
            return Ok(Some(patient));
        }
    }
    Ok(None)
}

fn content_path(contents: &Path, sha256: &str) -> PathBuf {
    contents.join(sha256.get(..2).unwrap_or_default()).join(sha256)
}

async fn export_content(stores: &Stores, locator: &DocumentLocator, contents: &Path) -> Result<(), CommandError> {
    let path = content_path(contents, &hex(&locator.content.sha256));
    if path.exists() {
        return Ok(());
    }
    let missing = || CommandError::failed(format!("{}: its bytes are missing", locator.unique_id));
    let opened = stores.documents.open(&locator.content).await;
    let damaged = |error: StoreError| CommandError::failed(format!("{}: {error}", locator.unique_id));
    let mut reader = opened.map_err(damaged)?.ok_or_else(missing)?;
    if let Some(folder) = path.parent() {
        new_folder(folder)?;
    }
    let mut file = new_file(&path)?;
    loop {
        let chunk = reader.next_chunk().await;
        match chunk.map_err(|error| CommandError::failed(format!("{}: {error}", locator.unique_id)))? {
            Some(chunk) => file.write_all(&chunk).map_err(CommandError::file("write", &path))?,
            None => return file.sync_all().map_err(CommandError::file("write", &path)),
        }
    }
}

/// Objects of one change.
const BATCH: usize = 256;

/// Reads an export into empty stores.
async fn import(stores: &Stores, dir: &Path) -> Result<Counts, CommandError> {
    let head_path = dir.join("export.json");
    let head = std::fs::read(&head_path).map_err(CommandError::file("read", &head_path))?;
    let head: Head = serde_json::from_slice(&head)
        .map_err(|error| CommandError::failed(format!("{} is no export's: {error}", head_path.display())))?;
    if head.format != FORMAT || head.version != VERSION {
        return Err(CommandError::failed(format!("{} is of another format or version", head_path.display())));
    }
    let objects = stores.registry.page(None, None).await.map_err(store_failed)?;
    let documents = stores.registry.document_page(None).await.map_err(store_failed)?;
    let receipts = stores.registry.receipt_page(None).await.map_err(store_failed)?;
    let patients = stores.registry.patient_page(None).await.map_err(store_failed)?;
    let found = objects.items.len() + documents.items.len() + receipts.items.len() + patients.items.len();
    let damaged = [objects.damaged, documents.damaged, receipts.damaged, patients.damaged].concat();
    if found > 0 || !damaged.is_empty() {
        return Err(CommandError::failed("the stores are not empty: an import goes into new ones"));
    }
    // Nothing is written before all has been read: half an import would look like a whole registry.
    let read = check(dir)?;
    if read != head.counts {
        return Err(CommandError::failed(format!(
            "the export says {}, but has {}: it is not whole",
            told_counts(&head.counts),
            told_counts(&read)
        )));
    }
    fill(stores, dir).await.map_err(|error| {
        CommandError::failed(format!("{error}; remove the folders of these stores before you try again"))
    })
}

/// Reads the lines of an export and judges them.
fn check(dir: &Path) -> Result<Counts, CommandError> {
    let mut counts = Counts::default();
    for line in lines(dir, "documents.jsonl", |_: &DocumentLine| Ok(()))? {
        line?;
        counts.documents += 1;
    }
    let mut seen = HashSet::new();
    let unseen = |line: &ObjectLine| {
        if seen.insert(read_object(line)?.object.uuid()) {
            Ok(())
        } else {
            Err("its entryUUID is another object's".into())
        }
    };
    for line in lines(dir, "objects.jsonl", unseen)? {
        line?;
        counts.objects += 1;
    }
    for line in lines(dir, "receipts.jsonl", ReceiptLine::read)? {
        line?;
        counts.receipts += 1;
    }
    for line in lines(dir, "patients.jsonl", PatientLine::read)? {
        line?;
        counts.patients += 1;
    }
    Ok(counts)
}

/// Writes what [`check`] has found good. Bytes first: no object is there before its document.
async fn fill(stores: &Stores, dir: &Path) -> Result<Counts, CommandError> {
    let mut counts = Counts::default();
    let progress = bar("documents");
    for (number, line) in lines(dir, "documents.jsonl", |line: &DocumentLine| Ok(line.clone()))?.enumerate() {
        import_document(stores, &line?, &dir.join("contents"))
            .await
            .map_err(|error| CommandError::failed(format!("documents.jsonl, line {}: {error}", number + 1)))?;
        counts.documents += 1;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let progress = bar("objects");
    let mut change = Change::default();
    for put in lines(dir, "objects.jsonl", read_object)? {
        change.puts.push(put?);
        counts.objects += 1;
        progress.inc(1);
        commit_batch(stores, &mut change, BATCH).await?;
    }
    progress.finish_and_clear();
    let progress = bar("receipts");
    for receipt in lines(dir, "receipts.jsonl", ReceiptLine::read)? {
        change.receipts.push(receipt?);
        counts.receipts += 1;
        progress.inc(1);
        commit_batch(stores, &mut change, BATCH).await?;
    }
    for patient in lines(dir, "patients.jsonl", PatientLine::read)? {
        change.patients.push(patient?);
        counts.patients += 1;
        commit_batch(stores, &mut change, BATCH).await?;
    }
    commit_batch(stores, &mut change, 1).await?;
    progress.finish_and_clear();
    Ok(counts)
}

/// Commits what has come together, once it is so much.
async fn commit_batch(stores: &Stores, change: &mut Change, enough: usize) -> Result<(), CommandError> {
    if change.puts.len() + change.receipts.len() + change.patients.len() >= enough {
        stores.registry.commit(std::mem::take(change)).await.map_err(store_failed)?;
    }
    Ok(())
}

/// What the lines of a file say. Exports of before there were receipts and patients in them lack their
/// files, and count none.
fn lines<L: DeserializeOwned, T>(
    dir: &Path,
    file: &str,
    mut read: impl FnMut(&L) -> Result<T, String>,
) -> Result<impl Iterator<Item = Result<T, CommandError>>, CommandError> {
    let path = dir.join(file);
    let opened = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound && ["receipts.jsonl", "patients.jsonl"].contains(&file) => {
            None
        }
        opened => Some(BufReader::new(opened.map_err(CommandError::file("read", &path))?)),
    };
    Ok(opened.into_iter().flat_map(BufRead::lines).enumerate().map(move |(number, line)| {
        let wrong = |what: String| CommandError::failed(format!("{}, line {}: {what}", path.display(), number + 1));
        let line = line.map_err(CommandError::file("read", &path))?;
        let line = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
        read(&line).map_err(wrong)
    }))
}

fn read_object(line: &ObjectLine) -> Result<Put, String> {
    let patient = PatientId::parse(&line.patient).map_err(|error| error.to_string())?;
    let text = format!("<rim:RegistryObjectList xmlns:rim=\"{}\">{}</rim:RegistryObjectList>", ns::RIM, line.object);
    // It was let in under limits that may have been wider than ours are now.
    let limits = xml::Limits {
        depth: 1_000,
        elements: 100_000_000,
        attributes: 10_000,
        namespaces: 10_000,
        name: 1 << 20,
        value: 1 << 30,
    };
    let document = xml::Document::parse(&text, limits).map_err(|error| error.to_string())?;
    let mut objects = ebrim::read_list(document.root()).map_err(|error| error.to_string())?;
    let (Some(object), true) = (objects.pop(), objects.is_empty()) else {
        return Err("one registry object is required".into());
    };
    if object.uuid().is_none() || object.noun() == Noun::Other {
        return Err("the object has no entryUUID, or is of no known kind".into());
    }
    let mut put = Put::new(&object, &patient);
    put.object = put.object.with_superseded(line.superseded);
    Ok(put)
}

async fn import_document(stores: &Stores, line: &DocumentLine, contents: &Path) -> Result<(), CommandError> {
    let path = content_path(contents, &line.sha256);
    let mut writer = stores.documents.stage().await.map_err(store_failed)?;
    let mut file = File::open(&path).map_err(CommandError::file("read", &path))?;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(CommandError::file("read", &path))?;
        if read == 0 {
            break;
        }
        let chunk = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
        writer.write(chunk).await.map_err(store_failed)?;
    }
    let staged = writer.finish().await.map_err(store_failed)?;
    let content = staged.content;
    if hex(&content.sha256) != line.sha256 || content.size != line.size {
        return Err(CommandError::failed(format!("{} is not what was exported", path.display())));
    }
    let unique_id = UniqueId::parse(&line.unique_id).map_err(|error| CommandError::failed(error.to_string()))?;
    stores.documents.publish(vec![staged]).await.map_err(store_failed)?;
    let documents = vec![DocumentLocator { unique_id, content, mime_type: line.mime_type.clone() }];
    stores.registry.commit(Change { documents, ..Change::default() }).await.map_err(store_failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EmbeddedOptions;
    use crate::store::files::{FileDocuments, FileOptions};
    use crate::store::fjall::FjallStore;
    use crate::store::memory::{MemoryDocuments, MemoryStore};
    use crate::store::sled::SledStore;
    use crate::store::suite::{entry, patient, unique, uuid};

    fn empty() -> Stores {
        Stores { registry: Arc::new(MemoryStore::default()), documents: Arc::new(MemoryDocuments::default()) }
    }

    async fn keep(stores: &Stores, unique_id: &str, bytes: impl Into<Bytes>) {
        let mut writer = stores.documents.stage().await.unwrap();
        writer.write(bytes.into()).await.unwrap();
        let staged = writer.finish().await.unwrap();
        let locator =
            DocumentLocator { unique_id: unique(unique_id), content: staged.content, mime_type: "text/plain".into() };
        stores.documents.publish(vec![staged]).await.unwrap();
        stores.registry.commit(Change { documents: vec![locator], ..Change::default() }).await.unwrap();
    }

    async fn fill(stores: &Stores) {
        // Patients in the order in which they come, not of their names.
        for (n, name) in [(1, "b"), (2, "a"), (3, "b")] {
            let mut put = entry(n, &patient(name), &format!("1.{n}"), "é & <1>");
            put.object = put.object.with_superseded(n == 3);
            stores.registry.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
            keep(stores, &format!("1.{n}"), if n == 1 { b"one".as_slice() } else { b"the same" }).await;
        }
        let member = crate::model::metadata::build::original(uuid(9).into(), uuid(1).into(), uuid(3).into());
        let puts = vec![Put::new(&member, &patient("b"))];
        let receipts = vec![Receipt { set_unique_id: unique("1.9"), message_id: "urn:uuid:1".into(), digest: [5; 32] }];
        let patients = vec![patient("fed")];
        stores.registry.commit(Change { puts, receipts, patients, ..Change::default() }).await.unwrap();
    }

    /// All files below a folder, with what is in them.
    fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        let mut open = vec![dir.to_owned()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => open.push(path),
                    path => all.push((path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap())),
                }
            }
        }
        all.sort();
        all
    }

    #[tokio::test]
    async fn what_is_exported_and_imported_is_exported_alike() {
        let dir = tempfile::tempdir().unwrap();
        let original = empty();
        fill(&original).await;
        let first = export(&original, &dir.path().join("first")).await.unwrap();
        assert_eq!(first, Counts { objects: 4, documents: 3, receipts: 1, patients: 1 });
        // By way of the other backends, and back.
        let sled = SledStore::open(dir.path().join("sled"), EmbeddedOptions::default()).unwrap();
        let fjall = FjallStore::open(dir.path().join("fjall"), EmbeddedOptions::default()).unwrap();
        let [middle, other]: [Stores; 2] = [Arc::new(sled) as Arc<dyn RegistryStore>, Arc::new(fjall)]
            .map(|registry| Stores { registry, documents: Arc::new(MemoryDocuments::default()) });
        assert_eq!(import(&middle, &dir.path().join("first")).await.unwrap(), first);
        export(&middle, &dir.path().join("second")).await.unwrap();
        assert_eq!(import(&other, &dir.path().join("second")).await.unwrap(), first);
        export(&other, &dir.path().join("between")).await.unwrap();
        assert!(contents(&dir.path().join("second")) == contents(&dir.path().join("between")));
        let last = empty();
        import(&last, &dir.path().join("second")).await.unwrap();
        export(&last, &dir.path().join("third")).await.unwrap();
        assert!(contents(&dir.path().join("second")) == contents(&dir.path().join("third")));
        let sorted = |name: &str| {
            let text = std::fs::read_to_string(dir.path().join(name).join("objects.jsonl")).unwrap();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted("first"), sorted("second"));
        for stores in [&original, &middle, &last] {
            let report = verify(stores).await.unwrap();
            assert!(report.problems.is_empty(), "{:?}", report.problems);
            assert_eq!((report.counts, report.octets), (first, 19));
        }
        let superseded = last.registry.by_uuid(uuid(3)).await.unwrap().unwrap();
        assert!(superseded.is_superseded());
        // As an export of before there were receipts in it.
        let old = dir.path().join("old");
        export(&original, &old).await.unwrap();
        for file in ["receipts.jsonl", "patients.jsonl"] {
            std::fs::remove_file(old.join(file)).unwrap();
        }
        assert!(import(&empty(), &old).await.unwrap_err().to_string().contains("not whole"));
        let head = r#"{"format":"causeway-export","version":1,"objects":4,"documents":3}"#;
        std::fs::write(old.join("export.json"), head).unwrap();
        assert_eq!(import(&empty(), &old).await.unwrap(), Counts { receipts: 0, patients: 0, ..first });
        // Into new stores only, and only what is whole.
        assert!(import(&last, &dir.path().join("first")).await.is_err());
        let file = dir.path().join("third/objects.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.lines().next().unwrap()).unwrap();
        assert!(import(&empty(), &dir.path().join("third")).await.unwrap_err().to_string().contains("not whole"));
        assert!(export(&original, &dir.path().join("first")).await.is_err(), "an export is not overwritten");
        for (file, mode) in [("first/objects.jsonl", 0o600), ("first/contents", 0o700)] {
            let permissions = std::fs::metadata(dir.path().join(file)).unwrap().permissions();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, mode, "{file}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

        #[test]
        fn an_import_exports_alike(
            objects in proptest::collection::vec((0..4_u8, 0..3_u8, "\\PC{0,12}", proptest::bool::ANY), 1..12),
            documents in proptest::collection::vec(proptest::collection::vec(0..2_u8, 0..3), 0..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (dir, stores) = (tempfile::tempdir().unwrap(), empty());
                for (n, (of, unique_id, title, superseded)) in objects.iter().enumerate() {
                    let mut put = entry(n as u32, &patient(&of.to_string()), &format!("1.{unique_id}"), title);
                    put.object = put.object.with_superseded(*superseded);
                    stores.registry.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
                }
                for (n, bytes) in documents.iter().enumerate() {
                    keep(&stores, &format!("2.{n}"), bytes.clone()).await;
                }
                let (first, second, again) = (dir.path().join("1"), dir.path().join("2"), empty());
                let counts = export(&stores, &first).await.unwrap();
                assert_eq!(counts, Counts { objects: objects.len(), documents: documents.len(), ..Counts::default() });
                import(&again, &first).await.unwrap();
                export(&again, &second).await.unwrap();
                assert!(contents(&first) == contents(&second));
            });
        }
    }

    #[tokio::test]
    async fn what_is_missing_or_changed_is_told() {
        let stores = empty();
        fill(&stores).await;
        let locator = stores.registry.document(&unique("1.1")).await.unwrap().unwrap();
        stores.documents.remove(locator.content.sha256).await.unwrap();
        stores.registry.commit(Change { removes: vec![uuid(3)], ..Change::default() }).await.unwrap();
        let report = verify(&stores).await.unwrap();
        let found: Vec<_> = report.problems.iter().map(|p| (p.id.clone(), p.what.clone())).collect();
        assert_eq!(
            found,
            [
                (uuid(9).to_string(), format!("it refers to {}, which is not there", uuid(3))),
                ("1.1".to_owned(), "its bytes are missing".to_owned()),
            ]
        );
        let text = report.render(Colour::Off);
        assert!(text.contains("2 problems; restore them from a backup"), "{text}");
    }

    /// Stores on disk, as a broker has them.
    fn on_disk(dir: &Path) -> (Stores, Arc<FileDocuments>) {
        let registry = SledStore::open(dir.join("registry"), EmbeddedOptions::default()).unwrap();
        let files = Arc::new(FileDocuments::open(dir.join("documents"), FileOptions::default()).unwrap());
        (Stores { registry: Arc::new(registry), documents: Arc::clone(&files) as Arc<dyn DocumentStore> }, files)
    }

    #[tokio::test]
    async fn damaged_bytes_are_named_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (stores, _) = on_disk(dir.path());
        fill(&stores).await;
        let path =
            contents(&dir.path().join("documents/objects")).into_iter().find(|(_, bytes)| bytes == b"one").unwrap().0;
        std::fs::write(dir.path().join("documents/objects").join(path), b"oen").unwrap();
        let report = verify(&stores).await.unwrap();
        let found: Vec<_> = report.problems.iter().map(|p| p.id.as_str()).collect();
        assert_eq!((found, report.octets, report.counts.documents), (vec!["1.1"], 16, 3));
        let error = export(&stores, &dir.path().join("export")).await.unwrap_err().to_string();
        assert!(error.starts_with("1.1:"), "{error}");
    }

    #[tokio::test]
    async fn documents_of_a_lost_registry_are_neither_well_nor_swept() {
        let dir = tempfile::tempdir().unwrap();
        let (stores, files) = on_disk(dir.path());
        fill(&stores).await;
        drop((stores, files));
        // Long ago, so that a sweep may take them.
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1 << 20);
        for (path, _) in contents(&dir.path().join("documents/objects")) {
            File::options()
                .write(true)
                .open(dir.path().join("documents/objects").join(path))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        std::fs::rename(dir.path().join("registry"), dir.path().join("kept")).unwrap();
        let (stores, files) = on_disk(dir.path());
        let report = verify(&stores).await.unwrap();
        assert_eq!((report.orphans, report.problems.len()), (2, 1), "{:?}", report.problems);
        assert!(files.sweep(&*stores.registry).await.is_err());
        drop((stores, files));
        // With their own they are swept as ever; after that another one is known as such, whatever it knows.
        std::fs::remove_dir_all(dir.path().join("registry")).unwrap();
        std::fs::rename(dir.path().join("kept"), dir.path().join("registry")).unwrap();
        let (stores, files) = on_disk(dir.path());
        assert_eq!(files.sweep(&*stores.registry).await.unwrap().removed, 0);
        drop((stores, files));
        std::fs::remove_dir_all(dir.path().join("registry")).unwrap();
        let (stores, files) = on_disk(dir.path());
        keep(&stores, "9.9", b"new".as_slice()).await;
        assert!(files.sweep(&*stores.registry).await.is_err());
        assert_eq!(stores.documents.addresses().await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn changed_bytes_are_not_imported() {
        let (dir, stores) = (tempfile::tempdir().unwrap(), empty());
        fill(&stores).await;
        export(&stores, dir.path()).await.unwrap();
        let content = contents(&dir.path().join("contents")).swap_remove(0).0;
        std::fs::write(dir.path().join("contents").join(content), b"other").unwrap();
        let error = import(&empty(), dir.path()).await.unwrap_err().to_string();
        assert!(error.contains("documents.jsonl, line") && error.contains("not what was exported"), "{error}");
    }
}
