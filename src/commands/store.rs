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

mod export;
mod format;
mod import;
#[cfg(test)]
mod tests;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::client::json;
use super::{CommandError, Outcome, print};
use crate::broker::open_stores;
use crate::config::{Config, DocumentStorage};
use crate::store::{DocumentStore, RegistryStore, StoreError};
use crate::terminal::{Colour, counted};
use export::export;
use import::import;
use verify::verify;
pub use verify::{Problem, Report};

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

/// A bar that counts things, on standard error; nothing where no terminal is.
fn bar(verb: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = indicatif::ProgressStyle::with_template("{prefix} {pos} {per_sec} {spinner}") {
        bar.set_style(style);
    }
    bar.set_prefix(verb);
    bar
}
