//! `causeway store import`: an export into empty stores.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::format::{DocumentLine, FORMAT, Head, ObjectLine, PatientLine, ReceiptLine, VERSION, content_path};
use super::{Counts, Stores, bar, store_failed, told_counts};
use crate::commands::CommandError;
use crate::model::ids::{PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::vocabulary::ns;
use crate::store::{Change, DocumentLocator, Put, hex};
use crate::wire::{ebrim, xml};

/// Objects of one change.
const BATCH: usize = 256;

/// Reads an export into empty stores.
pub(super) async fn import(stores: &Stores, dir: &Path) -> Result<Counts, CommandError> {
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
