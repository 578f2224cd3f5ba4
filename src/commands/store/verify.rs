//! `causeway store verify`: everything that is kept is read, and held against what is said of it.

use serde::Serialize;

use super::{Counts, Stores, bar, store_failed, told_counts};
use crate::commands::CommandError;
use crate::model::ids::{EntryUuid, UniqueId};
use crate::model::packed::PackedObject;
use crate::store::{Cursor, DocumentLocator, Page, StoreError};
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted};

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

    pub(super) fn render(&self, colour: Colour) -> String {
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

/// Reads everything.
pub(super) async fn verify(stores: &Stores) -> Result<Report, CommandError> {
    let mut report = Report::default();
    let objects = async |after: Option<&Cursor>| stores.registry.page(None, after).await;
    let object = async |packed: &PackedObject, report: &mut Report| verify_object(stores, packed, report).await;
    report.counts.objects = all(objects, "objects", &mut report, object).await?;
    let documents = async |after: Option<&Cursor>| stores.registry.document_page(after).await;
    let document =
        async |locator: &DocumentLocator, report: &mut Report| verify_document(stores, locator, report).await;
    report.counts.documents = all(documents, "documents", &mut report, document).await?;
    let receipts = async |after: Option<&Cursor>| stores.registry.receipt_page(after).await;
    report.counts.receipts = all(receipts, "receipts", &mut report, async |_: &_, _: &mut _| Ok(())).await?;
    let patients = async |after: Option<&Cursor>| stores.registry.patient_page(after).await;
    report.counts.patients = all(patients, "patients", &mut report, async |_: &_, _: &mut _| Ok(())).await?;
    for sha256 in stores.documents.addresses().await.map_err(store_failed)? {
        report.orphans += usize::from(!stores.registry.is_referenced(sha256).await.map_err(store_failed)?);
    }
    if report.counts.documents == 0 && report.orphans > 0 {
        report.problem("documents", "the registry knows none of them: is it their registry? check [storage]");
    }
    Ok(report)
}

/// Looks at all of something, page by page; tells how much it is. What cannot be read is a problem, and ends it where the
/// next page is not known.
async fn all<T>(
    pages: impl AsyncFn(Option<&Cursor>) -> Result<Page<T>, StoreError>,
    what: &'static str,
    report: &mut Report,
    look: impl AsyncFn(&T, &mut Report) -> Result<(), CommandError>,
) -> Result<usize, CommandError> {
    let (mut count, mut next, progress) = (0, None, bar(what));
    loop {
        let page = pages(next.as_ref()).await;
        let Some(page) = report.or_problem(what, page)? else { break };
        report.damaged(page.damaged);
        for item in &page.items {
            count += 1;
            progress.inc(1);
            look(item, report).await?;
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    progress.finish_and_clear();
    Ok(count)
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
