//! `causeway store export`: everything into a folder that any program can read.

use std::fs::{DirBuilder, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::format::{DocumentLine, FORMAT, Head, ObjectLine, PatientLine, ReceiptLine, VERSION, content_path};
use super::{Counts, Stores, bar, store_failed};
use crate::commands::CommandError;
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::packed::PackedObject;
use crate::model::rim::RegistryObject;
use crate::store::{Cursor, DocumentLocator, Page, Receipt, StoreError, hex};
use crate::wire::ebrim;

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
pub(super) async fn export(stores: &Stores, dir: &Path) -> Result<Counts, CommandError> {
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CommandError::failed(format!("{} is not empty: an export goes into a new folder", dir.display())));
    }
    let contents = dir.join("contents");
    new_folder(&contents)?;
    let mut counts = Counts::default();
    let registry = &stores.registry;
    let mut objects = Lines::create(dir.join("objects.jsonl"))?;
    let pages = async |after: Option<&Cursor>| registry.page(None, after).await;
    counts.objects = each(pages, "objects", async |packed: PackedObject| {
        let object = packed.unpack().map_err(|error| store_failed(error.into()))?;
        let Some(patient) = patient_of(stores, &object).await? else {
            return Err(CommandError::failed("an object is of no patient; 'causeway store verify' tells which"));
        };
        let mut xml = Vec::new();
        ebrim::write_object(&mut xml, &object, None);
        let object = String::from_utf8_lossy(&xml).into_owned();
        objects.line(&ObjectLine { patient, superseded: packed.is_superseded(), object })
    })
    .await?;
    objects.finish()?;
    let mut documents = Lines::create(dir.join("documents.jsonl"))?;
    let pages = async |after: Option<&Cursor>| registry.document_page(after).await;
    counts.documents = each(pages, "documents", async |locator: DocumentLocator| {
        export_content(stores, &locator, &contents).await?;
        documents.line(&DocumentLine {
            unique_id: locator.unique_id.to_string(),
            mime_type: locator.mime_type,
            sha256: hex(&locator.content.sha256),
            size: locator.content.size,
        })
    })
    .await?;
    documents.finish()?;
    let mut receipts = Lines::create(dir.join("receipts.jsonl"))?;
    let pages = async |after: Option<&Cursor>| registry.receipt_page(after).await;
    counts.receipts = each(pages, "receipts", async |receipt: Receipt| {
        receipts.line(&ReceiptLine {
            submission_set: receipt.set_unique_id.to_string(),
            message_id: receipt.message_id,
            digest: hex(&receipt.digest),
        })
    })
    .await?;
    receipts.finish()?;
    let mut patients = Lines::create(dir.join("patients.jsonl"))?;
    let pages = async |after: Option<&Cursor>| registry.patient_page(after).await;
    let line = async |patient: PatientId| patients.line(&PatientLine { patient: patient.to_cx() });
    counts.patients = each(pages, "patients", line).await?;
    patients.finish()?;
    let mut head = Lines::create(dir.join("export.json"))?;
    head.line(&Head { format: FORMAT.into(), version: VERSION, counts })?;
    head.finish()?;
    Ok(counts)
}

/// Shows all of something, page by page; tells how much it is.
///
/// # Errors
/// When anything of it cannot be read: an export is whole.
async fn each<T>(
    pages: impl AsyncFn(Option<&Cursor>) -> Result<Page<T>, StoreError>,
    what: &'static str,
    mut show: impl AsyncFnMut(T) -> Result<(), CommandError>,
) -> Result<usize, CommandError> {
    let (mut count, mut next, progress) = (0, None, bar(what));
    loop {
        let page = pages(next.as_ref()).await.and_then(Page::whole).map_err(store_failed)?;
        for item in page.items {
            show(item).await?;
            count += 1;
            progress.inc(1);
        }
        next = page.next;
        if next.is_none() {
            progress.finish_and_clear();
            return Ok(count);
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
