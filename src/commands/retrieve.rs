//! `causeway retrieve`: documents by id, from a file of find, or all of a patient (ITI-43, ITI-39).
//!
//! Documents flow to disk as they come and are hashed on the way. A file gets its name only when
//! it is whole, and, where the metadata is known, only when it is what was registered.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use aws_lc_rs::digest;
use bytes::Bytes;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::client::{self, Client, ClientArgs, DoorArgs, ErrorView, PatientArgs, Target};
use super::find;
use super::print;
use super::{CommandError, Outcome};
use crate::model::document::{BodySource, DocumentRequest, RetrievedDocument};
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted, human_size};

/// Documents asked for in one request; more are asked for in several.
const BATCH: usize = 100;

/// Arguments of `causeway retrieve`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  One document, whose ids find has told:
    causeway retrieve --to https://localhost:8443 --repository 2.999.826.3.1.1 --unique-id 2.999.1.2.3
  All that find found, from every community:
    causeway find --to https://localhost:8443 --gateway --nhs-number 9990010226 --json > found.json
    causeway retrieve --to https://localhost:8443 --gateway --from-find found.json --out documents
  All of a patient, in one step:
    causeway retrieve --to https://localhost:8443 --gateway --nhs-number 9990010226 --out documents

With --from-find, --patient and --nhs-number, hash and size are held against the metadata; a document
that differs is kept as NAME.mismatch. The exit code is 1 if any document did not come as it should.")]
pub struct Args {
    /// Connection and output.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Which actor.
    #[command(flatten)]
    pub door: DoorArgs,
    /// The repository that holds the documents
    #[arg(help_heading = "Selection", long, value_name = "OID", value_parser = RepositoryUniqueId::parse, requires = "unique_id")]
    pub repository: Option<RepositoryUniqueId>,
    /// A document's uniqueId (repeatable)
    #[arg(help_heading = "Selection", long, value_name = "ID", num_args = 1.., value_parser = UniqueId::parse, requires = "repository")]
    pub unique_id: Vec<UniqueId>,
    /// The community that holds them; with --patient, the community to ask
    #[arg(help_heading = "Selection", long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
    /// What 'causeway find --json' printed; - for standard input
    #[arg(help_heading = "Selection", long, value_name = "FILE", conflicts_with = "unique_id")]
    pub from_find: Option<PathBuf>,
    /// Find all current documents of a patient, and retrieve them.
    #[command(flatten)]
    pub patient: PatientArgs,
    /// Folder for the documents, made if it is not there; - writes one document to standard output
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// A document that is wanted, with what its metadata says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    request: DocumentRequest,
    hash: Option<String>,
    size: Option<u64>,
}

/// How a document came (or why not), for JSON and the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The document.
    pub unique_id: String,
    /// The repository.
    pub repository: String,
    /// The community.
    pub home: Option<String>,
    /// Its media type, as the answer says.
    pub mime_type: Option<String>,
    /// Octets received.
    pub bytes: u64,
    /// Their SHA-1.
    pub sha1: Option<String>,
    /// Whether hash and size are those of the metadata; null where that is not known.
    pub hash_ok: Option<bool>,
    /// Where it is.
    pub file: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Row {
    fn new(request: &DocumentRequest) -> Self {
        Self {
            unique_id: request.unique_id.to_string(),
            repository: request.repository.to_string(),
            home: request.home.as_ref().map(ToString::to_string),
            mime_type: None,
            bytes: 0,
            sha1: None,
            hash_ok: None,
            file: None,
            error: None,
        }
    }

    fn is_good(&self) -> bool {
        self.error.is_none() && self.hash_ok != Some(false) && self.sha1.is_some()
    }
}

/// The part of find's JSON that is needed here.
#[derive(Debug, Deserialize)]
struct Found {
    documents: Vec<FoundDocument>,
}

#[derive(Debug, Deserialize)]
struct FoundDocument {
    unique_id: Option<String>,
    repository_unique_id: Option<String>,
    home_community_id: Option<String>,
    hash: Option<String>,
    size: Option<u64>,
}

/// Retrieves, and prints how it went.
///
/// # Errors
/// When nothing can be asked for, no answer comes back, or files cannot be written.
pub async fn run(args: Args) -> Outcome {
    let client = Client::open(&args.client)?;
    let (wanted, mut errors) = wanted(&args, &client).await?;
    let to_stdout = args.out == Path::new("-");
    if to_stdout && wanted.len() != 1 {
        return Err(CommandError::failed(format!(
            "--out - writes one document, and {} are wanted; give --out DIR",
            wanted.len()
        )));
    }
    let mut shelf = if to_stdout { Shelf::Stdout } else { Shelf::folder(&args.out)? };
    let target = Target::retrieve(&args.client.to, args.door)?;
    let began = Instant::now();
    let bar = client::progress(wanted.iter().filter_map(|wanted| wanted.size).sum(), "retrieving");
    let mut rows = Vec::with_capacity(wanted.len());
    for batch in wanted.chunks(BATCH) {
        rows.extend(retrieve(&client, &target, batch, &mut shelf, &mut errors, &bar).await?);
    }
    bar.finish_and_clear();
    let colour = if to_stdout { Colour::Off } else { Colour::of_stdout() };
    let text = if args.client.json { client::json(&rows)? } else { render(&rows, began.elapsed(), colour) };
    // Errors have no place in the array of documents, and must not be lost.
    let told = client::error_lines(&errors, Colour::Off);
    if to_stdout || args.client.json {
        let _ = io::stderr().write_all(told.as_bytes());
    } else {
        print(&client::error_lines(&errors, colour))?;
    }
    if to_stdout {
        let _ = io::stderr().write_all(text.as_bytes());
    } else {
        print(&text)?;
    }
    let good = rows.iter().all(Row::is_good) && !errors.iter().any(|error| error.severity == "Error");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the arguments ask for, and what finding it complained about.
async fn wanted(args: &Args, client: &Client) -> Result<(Vec<Wanted>, Vec<ErrorView>), CommandError> {
    if let Some(file) = &args.from_find {
        let bytes = if file == Path::new("-") {
            let mut text = String::new();
            io::Read::read_to_string(&mut io::stdin().lock(), &mut text)
                .map_err(CommandError::file("read", "standard input"))?;
            text.into_bytes()
        } else {
            client::read_whole(file)?
        };
        let found: Found = serde_json::from_slice(&bytes).map_err(|error| {
            CommandError::failed(format!("{} is not what 'causeway find --json' prints: {error}", file.display()))
        })?;
        return Ok((checked(found.documents)?, Vec::new()));
    }
    if let Some(patient) = args.patient.patient() {
        let query = find::documents_of(patient, args.home.as_ref())?;
        let response = client.query(&Target::query(&args.client.to, args.door)?, &query).await?;
        let report = find::Report::new(&response)?;
        let documents = report.documents.into_iter().map(|document| FoundDocument {
            unique_id: document.unique_id,
            repository_unique_id: document.repository_unique_id,
            home_community_id: document.home_community_id,
            hash: document.hash,
            size: document.size,
        });
        return Ok((checked(documents.collect())?, report.errors));
    }
    match (&args.repository, args.unique_id.as_slice()) {
        (Some(repository), ids @ [_, ..]) => {
            let request = |id: &UniqueId| DocumentRequest {
                home: args.home.clone(),
                repository: repository.clone(),
                unique_id: id.clone(),
            };
            Ok((ids.iter().map(|id| Wanted { request: request(id), hash: None, size: None }).collect(), Vec::new()))
        }
        _ => Err(CommandError::failed(
            "which documents? Give --repository OID and --unique-id ID, or --from-find FILE, or --patient CX, or --nhs-number NUMBER",
        )),
    }
}

/// Documents of metadata as requests, each once.
fn checked(documents: Vec<FoundDocument>) -> Result<Vec<Wanted>, CommandError> {
    let mut seen = HashSet::new();
    let mut wanted = Vec::with_capacity(documents.len());
    for (number, document) in documents.into_iter().enumerate() {
        let wrong = |what: String| CommandError::failed(format!("document {} cannot be asked for: {what}", number + 1));
        let unique_id = document.unique_id.ok_or_else(|| wrong("it has no unique_id".into()))?;
        let repository = document.repository_unique_id.ok_or_else(|| wrong("it has no repository_unique_id".into()))?;
        let request = DocumentRequest {
            home: document
                .home_community_id
                .map(|home| HomeCommunityId::parse(&home))
                .transpose()
                .map_err(|error| wrong(error.to_string()))?,
            repository: RepositoryUniqueId::parse(&repository).map_err(|error| wrong(error.to_string()))?,
            unique_id: UniqueId::parse(&unique_id).map_err(|error| wrong(error.to_string()))?,
        };
        if seen.insert(request.clone()) {
            wanted.push(Wanted { request, hash: document.hash, size: document.size });
        }
    }
    Ok(wanted)
}

/// One request and its documents.
async fn retrieve(
    client: &Client,
    target: &Target,
    batch: &[Wanted],
    shelf: &mut Shelf,
    errors: &mut Vec<ErrorView>,
    bar: &ProgressBar,
) -> Result<Vec<Row>, CommandError> {
    let mut rows: Vec<Row> = batch.iter().map(|wanted| Row::new(&wanted.request)).collect();
    let requests: Vec<DocumentRequest> = batch.iter().map(|wanted| wanted.request.clone()).collect();
    let answer = client.retrieve(target, &requests).await?;
    let told: Vec<ErrorView> = answer.errors.iter().map(ErrorView::from).collect();
    let mut broken = None;
    for mut source in answer.sources {
        if let Err(stop) = draw(source.as_mut(), &answer.documents, batch, &mut rows, shelf, bar).await {
            match stop {
                Stop::Here(error) => return Err(error),
                Stop::Peer(what) => broken = Some(what),
            }
        }
    }
    for row in rows.iter_mut().filter(|row| row.sha1.is_none() && row.error.is_none()) {
        row.error = Some(why_missing(row, &told, broken.as_deref()));
    }
    errors.extend(told);
    Ok(rows)
}

/// Why a document did not come: what the answer says of it, or of all.
fn why_missing(row: &Row, told: &[ErrorView], broken: Option<&str>) -> String {
    let of_it = |error: &&ErrorView| {
        error.severity == "Error"
            && (error.location.as_deref() == Some(&row.unique_id) || error.context.contains(&row.unique_id))
    };
    match (told.iter().find(of_it), told.iter().find(|error| error.severity == "Error"), broken) {
        (Some(error), ..) => error.code.clone(),
        (None, _, Some(broken)) => broken.to_owned(),
        (None, Some(error), None) => error.code.clone(),
        (None, None, None) => "the answer says nothing of it".to_owned(),
    }
}

/// What ends a stream of documents early.
enum Stop {
    /// Our own disk: nothing more makes sense.
    Here(CommandError),
    /// The other side.
    Peer(String),
}

impl From<CommandError> for Stop {
    fn from(error: CommandError) -> Self {
        Self::Here(error)
    }
}

/// Draws documents from a source to the shelf.
async fn draw(
    source: &mut dyn BodySource,
    documents: &[RetrievedDocument],
    batch: &[Wanted],
    rows: &mut [Row],
    shelf: &mut Shelf,
    bar: &ProgressBar,
) -> Result<(), Stop> {
    while let Some(number) = source.next_document().await.map_err(|error| Stop::Peer(error.to_string()))? {
        let Some(document) = documents.get(number) else {
            return Err(Stop::Peer("the answer has a document that it did not announce".to_owned()));
        };
        let at = place(&document.request, batch, rows);
        let (Some(row), Some(wanted)) = (at.and_then(|at| rows.get_mut(at)), at.and_then(|at| batch.get(at))) else {
            // Not asked for: passed over, and so not written.
            while source.next_chunk().await.map_err(|error| Stop::Peer(error.to_string()))?.is_some() {}
            continue;
        };
        row.mime_type = Some(document.mime_type.clone());
        let mut writer = shelf.begin(wanted, &document.mime_type)?;
        loop {
            match source.next_chunk().await {
                Ok(Some(chunk)) => {
                    writer.write(&chunk)?;
                    bar.inc(chunk.len() as u64);
                }
                Ok(None) => break,
                Err(error) => {
                    row.bytes = writer.bytes;
                    row.error = Some(format!("broke off after {} bytes: {error}", writer.bytes));
                    return Err(Stop::Peer(error.to_string()));
                }
            }
        }
        let (bytes, sha1) = (writer.bytes, client::hex(writer.sha1.clone().finish().as_ref()));
        let hash_ok = verdict(wanted, bytes, &sha1);
        row.file = writer.keep(shelf, hash_ok != Some(false))?;
        if hash_ok == Some(false) {
            row.error = Some("hash or size is not that of the metadata".to_owned());
        }
        (row.bytes, row.sha1, row.hash_ok) = (bytes, Some(sha1), hash_ok);
    }
    Ok(())
}

/// Whether what came is what was registered, where that is known.
fn verdict(wanted: &Wanted, bytes: u64, sha1: &str) -> Option<bool> {
    let hash = wanted.hash.as_deref().map(|hash| hash.trim().eq_ignore_ascii_case(sha1));
    let size = wanted.size.map(|size| size == bytes);
    match (hash, size) {
        (None, None) => None,
        (hash, size) => Some(hash.unwrap_or(true) && size.unwrap_or(true)),
    }
}

/// The row that a document belongs to: by all its ids, or else by its uniqueId alone, for servers
/// that do not echo the rest.
fn place(request: &DocumentRequest, batch: &[Wanted], rows: &[Row]) -> Option<usize> {
    let open = |at: &usize| rows.get(*at).is_some_and(|row| row.sha1.is_none());
    let find = |same: &dyn Fn(&DocumentRequest) -> bool| {
        (0..batch.len()).filter(open).find(|at| batch.get(*at).is_some_and(|w| same(&w.request)))
    };
    find(&|wanted| wanted == request)
        .or_else(|| find(&|wanted| wanted.unique_id == request.unique_id && wanted.repository == request.repository))
        .or_else(|| find(&|wanted| wanted.unique_id == request.unique_id))
}

// --- files -----------------------------------------------------------------------------------

/// Where documents go.
enum Shelf {
    Stdout,
    Folder {
        dir: PathBuf,
        /// Names given in this run, and how often.
        names: HashMap<String, usize>,
    },
}

/// A document being written. The command waits for nothing else meanwhile, so its writes may block.
struct Writer {
    to: Sink,
    sha1: digest::Context,
    bytes: u64,
}

enum Sink {
    Stdout,
    File { file: BufWriter<File>, part: Part, name: String },
}

/// A file that goes away unless it is kept.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After keeping it is not there any more.
        let _ = fs::remove_file(&self.0);
    }
}

impl Shelf {
    fn folder(dir: &Path) -> Result<Self, CommandError> {
        // What is written there is a patient's.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(CommandError::file("make", dir))?;
        Ok(Self::Folder { dir: dir.to_owned(), names: HashMap::new() })
    }

    fn begin(&mut self, wanted: &Wanted, mime_type: &str) -> Result<Writer, CommandError> {
        let to = match self {
            Self::Stdout => Sink::Stdout,
            Self::Folder { dir, names } => {
                let (stem, extension) = (file_stem(wanted.request.unique_id.as_str()), client::extension_of(mime_type));
                let seen = names.entry(stem.to_lowercase()).or_default();
                *seen += 1;
                // The same uniqueId of two communities are two files.
                let name =
                    if *seen == 1 { format!("{stem}.{extension}") } else { format!("{stem}-{seen}.{extension}") };
                let part = Part(dir.join(format!(".{name}.{}.part", std::process::id())));
                let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&part.0);
                let file = file.map_err(CommandError::file("write", &part.0))?;
                Sink::File { file: BufWriter::with_capacity(1 << 18, file), part, name }
            }
        };
        Ok(Writer { to, sha1: digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY), bytes: 0 })
    }
}

impl Writer {
    fn write(&mut self, chunk: &Bytes) -> Result<(), CommandError> {
        self.sha1.update(chunk);
        self.bytes += chunk.len() as u64;
        match &mut self.to {
            Sink::Stdout => {
                io::stdout().lock().write_all(chunk).map_err(CommandError::file("write", "standard output"))
            }
            Sink::File { file, part, .. } => file.write_all(chunk).map_err(CommandError::file("write", &part.0)),
        }
    }

    /// Gives the document its name, or one that says that it is not what it should be.
    fn keep(self, shelf: &Shelf, good: bool) -> Result<Option<String>, CommandError> {
        let (Sink::File { file, part, name }, Shelf::Folder { dir, .. }) = (self.to, shelf) else {
            return io::stdout().lock().flush().map(|()| None).map_err(CommandError::file("write", "standard output"));
        };
        let path = dir.join(if good { name } else { format!("{name}.mismatch") });
        let file = file.into_inner().map_err(|error| CommandError::file("write", &part.0)(error.into_error()))?;
        drop(file);
        fs::rename(&part.0, &path).map_err(CommandError::file("write", &path))?;
        Ok(Some(path.display().to_string()))
    }
}

/// A file name out of a uniqueId, which may have anything in it.
fn file_stem(unique_id: &str) -> String {
    let mut name: String = unique_id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .take(160)
        .collect();
    if name.starts_with('.') {
        name.insert(0, '_');
    }
    name
}

fn render(rows: &[Row], elapsed: std::time::Duration, colour: Colour) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("uniqueId", Align::Left),
        ("repository", Align::Left),
        ("community", Align::Left),
        ("type", Align::Left),
        ("bytes", Align::Right),
        ("sha1", Align::Left),
        ("file", Align::Left),
    ]);
    for row in rows {
        let mark = match (row.is_good(), row.hash_ok) {
            (true, Some(true)) => Cell::new("ok", Tone::Good),
            (true, _) => Cell::new("unchecked", Tone::Warning),
            (false, _) => Cell::new("FAILED", Tone::Bad),
        };
        table.row([
            mark,
            row.unique_id.as_str().into(),
            row.repository.as_str().into(),
            row.home.as_deref().unwrap_or_default().into(),
            row.mime_type.as_deref().unwrap_or_default().into(),
            row.bytes.to_string().into(),
            row.sha1.as_deref().unwrap_or_default().into(),
            row.error.as_deref().or(row.file.as_deref()).unwrap_or_default().into(),
        ]);
    }
    let bytes = rows.iter().map(|row| row.bytes).sum();
    let good = rows.iter().filter(|row| row.is_good()).count();
    format!(
        "{}{} of {}, {} in {}\n",
        if rows.is_empty() { String::new() } else { table.render(colour) + "\n" },
        good,
        counted(rows.len(), "document"),
        human_size(bytes),
        client::pace(bytes, elapsed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::{BodyError, BoxFuture};
    use clap::Parser;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::time::Duration;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn ids_come_in_pairs_or_from_elsewhere() {
        let parse =
            |more: &[&str]| Cli::try_parse_from(["x", "--to", "https://h"].iter().chain(more)).map(|cli| cli.args);
        assert!(parse(&["--unique-id", "1.2"]).is_err());
        assert!(parse(&["--repository", "1.2"]).is_err());
        assert!(parse(&["--repository", "1.2", "--unique-id", "1.3", "--from-find", "x"]).is_err());
        assert_eq!(parse(&["--repository", "1.2", "--unique-id", "1.3", "1.4"]).unwrap().unique_id.len(), 2);
        assert!(parse(&["--from-find", "-"]).is_ok());
    }

    fn wanted(unique_id: &str, home: Option<&str>, hash: Option<&str>, size: Option<u64>) -> Wanted {
        Wanted {
            request: DocumentRequest {
                home: home.map(|home| HomeCommunityId::parse(home).unwrap()),
                repository: RepositoryUniqueId::parse("2.999.2").unwrap(),
                unique_id: UniqueId::parse(unique_id).unwrap(),
            },
            hash: hash.map(str::to_owned),
            size,
        }
    }

    #[test]
    fn what_find_printed_is_asked_for_once() {
        let json = r#"{"status":"Success","documents":[
            {"unique_id":"2.999.3","repository_unique_id":"2.999.2","home_community_id":"urn:oid:2.999.1","hash":"ab","size":2,"title":"x"},
            {"unique_id":"2.999.3","repository_unique_id":"2.999.2","home_community_id":"urn:oid:2.999.1","hash":"ab","size":2},
            {"unique_id":"2.999.4","repository_unique_id":"2.999.2","home_community_id":null,"hash":null,"size":null}]}"#;
        let found: Found = serde_json::from_str(json).unwrap();
        let expected =
            [wanted("2.999.3", Some("urn:oid:2.999.1"), Some("ab"), Some(2)), wanted("2.999.4", None, None, None)];
        assert_eq!(checked(found.documents).unwrap(), expected);
        let found: Found = serde_json::from_str(r#"{"documents":[{"unique_id":"1"}]}"#).unwrap();
        assert!(checked(found.documents).unwrap_err().to_string().contains("repository_unique_id"));
    }

    type Script = VecDeque<(usize, Vec<Result<&'static str, &'static str>>)>;

    struct Bodies(Script, VecDeque<Result<&'static str, &'static str>>);

    impl BodySource for Bodies {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            let next = self.0.pop_front().map(|(number, chunks)| {
                self.1 = chunks.into();
                number
            });
            Box::pin(async move { Ok(next) })
        }

        fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
            let next = match self.1.pop_front() {
                Some(Ok(text)) => Ok(Some(Bytes::from_static(text.as_bytes()))),
                Some(Err(what)) => Err(BodyError::Peer(what.to_owned())),
                None => Ok(None),
            };
            Box::pin(async move { next })
        }
    }

    fn announced(wanted: &Wanted) -> RetrievedDocument {
        RetrievedDocument {
            request: wanted.request.clone(),
            new_repository: None,
            new_unique_id: None,
            mime_type: "text/plain".into(),
            size: None,
        }
    }

    const HELLO: &str = "f572d396fae9206628714fb2ce00f72e94f2258f";

    #[tokio::test]
    async fn documents_get_their_names_when_they_are_whole_and_right() {
        let dir = tempfile::tempdir().unwrap();
        let batch = [
            wanted("2.999.3", None, Some(HELLO), Some(6)),
            wanted("2.999.4", None, Some("00"), None),
            wanted("../etc/x", None, None, None),
            wanted("2.999.5", None, None, None),
        ];
        let mut rows: Vec<Row> = batch.iter().map(|wanted| Row::new(&wanted.request)).collect();
        let documents: Vec<RetrievedDocument> = batch.iter().map(announced).collect();
        let script = [
            (1, vec![Ok("hello\n")]),
            (0, vec![Ok("hel"), Ok("lo\n")]),
            (2, vec![]),
            (3, vec![Ok("part"), Err("cut")]),
        ];
        let mut shelf = Shelf::folder(dir.path()).unwrap();
        let mut source = Bodies(script.into(), VecDeque::new());
        let stop = draw(&mut source, &documents, &batch, &mut rows, &mut shelf, &ProgressBar::hidden()).await;
        assert!(matches!(stop, Err(Stop::Peer(what)) if what.contains("cut")));
        let good: Vec<bool> = rows.iter().map(Row::is_good).collect();
        assert_eq!(good, [true, false, true, false]);
        assert_eq!((rows[0].sha1.as_deref(), rows[0].hash_ok, rows[0].bytes), (Some(HELLO), Some(true), 6));
        assert_eq!(rows[2].hash_ok, None);
        assert_eq!(rows[3].bytes, 4);
        let mut names: Vec<String> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["2.999.3.txt", "2.999.4.txt.mismatch", "_.._etc_x.txt"]);
    }

    #[test]
    fn why_a_document_is_missing() {
        let error = |code: &str, location: Option<&str>| ErrorView {
            code: code.into(),
            context: String::new(),
            severity: "Error",
            location: location.map(str::to_owned),
        };
        let row = Row::new(&wanted("2.999.3", None, None, None).request);
        let told = [error("A", Some("2.999.9")), error("B", Some("2.999.3"))];
        assert_eq!(why_missing(&row, &told, None), "B");
        assert_eq!(why_missing(&row, &told[..1], None), "A");
        assert_eq!(why_missing(&row, &told[..1], Some("cut")), "cut");
        assert_eq!(why_missing(&row, &[], None), "the answer says nothing of it");
    }

    #[test]
    fn answers_find_their_rows() {
        let batch = [
            wanted("2.999.3", Some("urn:oid:2.999.1"), None, None),
            wanted("2.999.3", Some("urn:oid:2.999.8"), None, None),
        ];
        let mut rows: Vec<Row> = batch.iter().map(|wanted| Row::new(&wanted.request)).collect();
        assert_eq!(place(&batch[1].request, &batch, &rows), Some(1));
        let silent = DocumentRequest { home: None, ..batch[1].request.clone() };
        assert_eq!(place(&silent, &batch, &rows), Some(0));
        rows[0].sha1 = Some(String::new());
        assert_eq!(place(&silent, &batch, &rows), Some(1));
        assert_eq!(place(&wanted("1.9", None, None, None).request, &batch, &rows), None);
    }

    #[test]
    fn reports() {
        let mut rows: Vec<Row> =
            ["2.999.3", "2.999.4"].iter().map(|id| Row::new(&wanted(id, None, None, None).request)).collect();
        rows[0] = Row {
            mime_type: Some("text/plain".into()),
            bytes: 6,
            sha1: Some("f572".into()),
            hash_ok: Some(true),
            file: Some("out/2.999.3.txt".into()),
            ..rows[0].clone()
        };
        rows[1].error = Some("XDSDocumentUniqueIdError".into());
        assert_eq!(
            render(&rows, Duration::from_millis(12), Colour::Off),
            "        uniqueId  repository  community  type        bytes  sha1  file
ok      2.999.3   2.999.2                text/plain      6  f572  out/2.999.3.txt
FAILED  2.999.4   2.999.2                                0        XDSDocumentUniqueIdError

1 of 2 documents, 6 B in 12.0 ms
"
        );
        let json: serde_json::Value = serde_json::from_str(&client::json(&rows).unwrap()).unwrap();
        assert_eq!(
            (&json[0]["hash_ok"], &json[0]["bytes"], &json[1]["file"]),
            (&true.into(), &6.into(), &serde_json::Value::Null)
        );
    }

    proptest! {
        #[test]
        fn file_names_stay_in_their_folder(id in "\\PC{1,300}") {
            let stem = file_stem(&id);
            prop_assert!(!stem.contains(['/', '\\', '\0']) && !stem.starts_with('.') && stem.len() <= 161);
        }
    }
}
