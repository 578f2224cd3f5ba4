//! Persistence behind two traits, and the promises every backend keeps.
//!
//! * **Atomic**: a [`Change`] is visible whole or not at all, also after kill -9 at any instant.
//! * **Durable on return**: when [`RegistryStore::commit`] or [`DocumentStore::publish`] answers,
//!   the data survives the loss of power.
//! * **Checked**: a commit names what it has seen ([`Expectation`]); if that has changed in the
//!   meantime nothing happens and the caller looks again. So rules are judged without locks.
//! * **Stable order**: what a patient has is given in the order in which it was registered.
//!
//! `suite` holds these promises as tests; each backend runs it. Queries as messages, SOAP and
//! rules are not known here. Only `sled.rs` names sled, only `fjall/` fjall.

pub mod audit_trail;
pub mod files;
pub mod fjall;
mod keyed;
pub mod memory;
pub mod sled;
#[cfg(test)]
pub mod suite;

use std::path::Path;

use bytes::Bytes;

use crate::model::document::{BodyError, BoxFuture};
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::{Damaged, PackedObject};
use crate::model::rim::{ObjectId, RegistryObject};

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What the commit relied on has changed; look again.
    #[error("the registry changed meanwhile")]
    Conflict,
    /// The disk is full, or a quota is reached.
    #[error("no space left: {0}")]
    Full(String),
    /// A record does not decode, or bytes are not those that were written.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// The backend failed.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl From<Damaged> for StoreError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.to_string())
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// How an embedded registry store is kept.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Octets of pages or blocks kept in memory.
    pub cache: u64,
    /// Changes that may wait for the writer; further ones wait to wait.
    pub queue: usize,
    /// Octets of the volume that changes leave free. By default what the store needs to live on, or a
    /// sixteenth of the volume, whichever is less.
    pub reserve: Option<u64>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { cache: 128 << 20, queue: 1024, reserve: None }
    }
}

impl EmbeddedOptions {
    /// The reserve on that folder's volume, where the store needs so many octets.
    fn reserve(&self, folder: &Path, needed: u64) -> StoreResult<u64> {
        match self.reserve {
            Some(reserve) => Ok(reserve),
            None => Ok(needed.min(fs2::total_space(folder)? / 16)),
        }
    }
}

/// What a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// An object to put; one with the same entryUUID keeps its place in the order.
#[derive(Clone)]
pub struct Put {
    /// The object; its id is a UUID.
    pub object: PackedObject,
    /// What it is.
    pub noun: Noun,
    /// Whose it is; an association lies with the patient of its submission.
    pub patient: PatientId,
    /// Its uniqueId, for those that have one.
    pub unique_id: Option<UniqueId>,
    /// Source and target, for associations.
    pub ends: Option<(EntryUuid, EntryUuid)>,
    /// Its logicalID, for all versions but the first, whose entryUUID it is.
    pub version_of: Option<EntryUuid>,
}

impl Put {
    /// Packs an object, whose id is a UUID. `patient` is that of its submission, for an object
    /// that names none.
    pub fn new(object: &RegistryObject<'_>, patient: &PatientId) -> Self {
        let own = object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok());
        Self {
            object: PackedObject::pack(object),
            noun: object.noun(),
            patient: own.unwrap_or_else(|| patient.clone()),
            unique_id: object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()),
            ends: object.ends(),
            version_of: version_of(object),
        }
    }
}

/// The logicalID of a later version.
fn version_of(object: &RegistryObject<'_>) -> Option<EntryUuid> {
    let lid = object.common.lid.as_ref().and_then(ObjectId::uuid);
    lid.filter(|lid| object.uuid() != Some(*lid))
}

/// Where a repository keeps a document, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentLocator {
    /// The document.
    pub unique_id: UniqueId,
    /// Its content.
    pub content: Content,
    /// As registered.
    pub mime_type: String,
}

/// Names and checks of a content: all from one pass over its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Content {
    /// SHA-256: the content's address. SHA-1, the standard's `hash`, can be forged.
    pub sha256: [u8; 32],
    /// SHA-1: DocumentEntry.hash.
    pub sha1: [u8; 20],
    /// CRC-32, checked on every read.
    pub crc32: u32,
    /// Octets.
    pub size: u64,
}

impl Content {
    /// DocumentEntry.hash: forty lower-case hexadecimal digits.
    pub fn hash(&self) -> String {
        hex(&self.sha1)
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

/// What [`hex`] has written of 32 octets.
pub fn unhex(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut octets = [0; 32];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
        *octet = pair.iter().try_fold(0, |sum, digit| match digit {
            b'0'..=b'9' => Some(sum << 4 | (digit - b'0')),
            b'a'..=b'f' => Some(sum << 4 | (digit - b'a' + 10)),
            _ => None,
        })?;
    }
    Some(octets)
}

/// What a submission left behind, so that the same one sent again is answered as the first was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// SubmissionSet.uniqueId
    pub set_unique_id: UniqueId,
    /// `wsa:MessageID` of the request.
    pub message_id: String,
    /// SHA-256 of what was submitted.
    pub digest: [u8; 32],
}

/// What a commit has seen and relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// No object has this entryUUID.
    Absent(EntryUuid),
    /// Exactly these objects have this uniqueId, in this order.
    Holders(UniqueId, Vec<EntryUuid>),
    /// The object is there, and Approved or not.
    Approved(EntryUuid, bool),
    /// So many associations have the object at either end.
    Associations(EntryUuid, usize),
    /// The object is there, and is what was seen.
    Unchanged(PackedObject),
    /// The document of that uniqueId is what was seen, or is not there, as was seen.
    Document(UniqueId, Option<DocumentLocator>),
}

/// One atomic change of the registry.
#[derive(Clone, Default)]
pub struct Change {
    /// What must still hold.
    pub expects: Vec<Expectation>,
    /// Objects to add or replace, in order.
    pub puts: Vec<Put>,
    /// Objects to remove; one that is not there is a conflict.
    pub removes: Vec<EntryUuid>,
    /// Documents that can be retrieved from now on; an equal uniqueId is replaced.
    pub documents: Vec<DocumentLocator>,
    /// Documents that can no longer be retrieved; one that is not as it was seen is a conflict.
    pub withdrawals: Vec<DocumentLocator>,
    /// Receipts: the submission's, or those of an import.
    pub receipts: Vec<Receipt>,
    /// Patient ids that are known from now on (ITI-8, ITI-44).
    pub patients: Vec<PatientId>,
}

/// Where a page ends; only its store knows how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// A part of many things, and where to go on; nowhere at the end.
pub struct Page<T> {
    /// The things.
    pub items: Vec<T>,
    /// What is there among them and cannot be read: where, and why.
    pub damaged: Vec<(String, String)>,
    /// What to ask for the rest with.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same, if all of it could be read.
    ///
    /// # Errors
    /// When something is damaged.
    pub fn whole(self) -> StoreResult<Self> {
        match self.damaged.first() {
            Some((at, why)) => Err(StoreError::Damaged(format!("{at}: {why}"))),
            None => Ok(self),
        }
    }
}

/// What [`RegistryStore::reindex`] has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reindexed {
    /// Objects looked at.
    pub objects: usize,
    /// Ways to objects that were missing or wrong.
    pub added: usize,
    /// Ways that led nowhere.
    pub removed: usize,
    /// Records that cannot be read; they stay as they are.
    pub damaged: usize,
}

/// Things of one page.
const PAGE: usize = 512;

/// Registry metadata and document locators.
pub trait RegistryStore: Send + Sync + 'static {
    /// Applies a change, all of it or nothing; durable on return.
    fn commit(&self, change: Change) -> BoxFuture<'_, StoreResult<()>>;

    /// What a patient has of one noun, in the order of registration.
    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>>;

    /// The object with that entryUUID.
    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>>;

    /// The objects with that uniqueId, in the order of registration.
    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>>;

    /// Some objects, over all patients, in an order that stays: the first ones, or those after a
    /// former page's end; of one noun, or of all. What is registered meanwhile may or may not be seen.
    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>>;

    /// Some documents that can be retrieved, in an order that stays, as [`Self::page`] gives objects.
    fn document_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>>;

    /// Some receipts, in an order that stays, as [`Self::page`] gives objects.
    fn receipt_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<Receipt>>>;

    /// Some of the patients whom an identity feed has named, in an order that stays, as [`Self::page`]
    /// gives objects.
    fn patient_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<PatientId>>>;

    /// Which registry it is, the same for as long as it lives: documents are swept by their own
    /// registry only.
    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>>;

    /// Makes anew what leads to objects, from the objects themselves; nobody else may use the store
    /// meanwhile.
    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>>;

    /// All versions of the object with that logicalID, in the order of registration; each object is
    /// its own first version.
    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>>;

    /// The associations that have that object at either end, in the order of registration.
    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>>;

    /// Where a document is.
    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>>;

    /// Whether any document has that content: what has none is an orphan.
    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>>;

    /// The receipt of a submission.
    fn receipt<'s>(&'s self, set_unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>>;

    /// Whether an identity feed has named that patient.
    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>>;
}

/// A document being received; dropping it discards what was written.
pub trait StagedWriter: Send {
    /// Takes the next bytes, hashing them.
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, StoreResult<()>>;

    /// Ends it; not yet durable, not yet visible.
    fn finish(self: Box<Self>) -> BoxFuture<'static, StoreResult<StagedDocument>>;
}

/// A document received but not yet published; dropping it discards it.
pub struct StagedDocument {
    /// What was received.
    pub content: Content,
    /// The backend's own handle.
    pub handle: Box<dyn std::any::Any + Send + Sync>,
}

/// A document being read, chunk by chunk, checked against its CRC-32 before its last byte is
/// given out as the end.
pub trait DocumentReader: Send {
    /// The next bytes; none at the end.
    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>>;
}

/// Document bodies, addressed by content.
pub trait DocumentStore: Send + Sync + 'static {
    /// Begins to receive a document.
    fn stage(&self) -> BoxFuture<'_, StoreResult<Box<dyn StagedWriter>>>;

    /// Makes documents durable under their content's address.
    fn publish(&self, staged: Vec<StagedDocument>) -> BoxFuture<'_, StoreResult<()>>;

    /// Opens a document that was staged here and not yet published, to read it again: gateways
    /// spool parts that come before the message that names them.
    fn open_staged<'s>(&'s self, staged: &'s StagedDocument) -> BoxFuture<'s, StoreResult<Box<dyn DocumentReader>>>;

    /// Opens a content; `None` when it is not there.
    fn open<'s>(&'s self, content: &'s Content) -> BoxFuture<'s, StoreResult<Option<Box<dyn DocumentReader>>>>;

    /// Every content's address, for integrity checks and sweeping of orphans; in no order.
    fn addresses(&self) -> BoxFuture<'_, StoreResult<Vec<[u8; 32]>>>;

    /// Removes a content; absent is no error.
    fn remove(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<()>>;
}
