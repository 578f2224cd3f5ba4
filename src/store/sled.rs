//! Registry metadata in sled, the embedded [`RegistryStore`]. The only file that names sled.
//!
//! One tree; numbers are big-endian, so that order of keys is order of registration:
//!
//! ```text
//! p patient(8) noun(1) sequence(8)   → record          what a patient has, side by side
//! o sequence(8) part(2)              → bytes           parts of a record too long for its page
//! u entryUUID(16)                    → place           patient, noun, sequence
//! x uniqueId 0 sequence(8)           → patient, noun
//! a end(16) sequence(8)              → patient, noun   the associations of an object
//! l logicalID(16) sequence(8)        → patient, noun   its versions but the first
//! d uniqueId                         → document locator
//! c first half of SHA-256(16)        → how many locators have that content
//! r set uniqueId                     → receipt
//! k authority 1f patient id          → the patient's number, known or not
//! m schema | sequence | identity     → format of all this | numbers given out at most | which registry
//! ```
//!
//! **Group commit.** One thread writes: it takes all changes that wait, judges each one's
//! expectations in turn, applies what holds as a single batch, flushes, and only then answers.
//! The flush is not done beside the next batch because sled's batches wait for running flushes
//! anyway, and hold up all readers while they do.
//!
//! **Durability.** sled's flush hands the log to the device (`sync_file_range`) but does not wait
//! for the device's cache or the file's length. So the log is synced once more through a handle
//! of our own. Values are kept so small that sled never writes blobs, which it does not sync.
//!
//! **Errors.** After a failed write or flush no change is taken until the store is opened anew:
//! a second flush may report success for what the first has lost. sled forgets to wake its flush
//! when a write fails behind it, and panics when it cannot sync at the end: `Shared::watch` and
//! `Database` see to that.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::sled::{Db, IVec, Tree};
use aws_lc_rs::digest;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::files::create_folders;
use super::{
    Change, Content, Cursor, DocumentLocator, Expectation, PAGE, Page, Put, Receipt, RegistryStore, Reindexed,
    StoreError, StoreResult,
};
use crate::model::document::BoxFuture;
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;

/// Number of the layout above.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &[u8] = b"mschema";
const SEQUENCE_KEY: &[u8] = b"msequence";
const IDENTITY_KEY: &[u8] = b"midentity";
/// Numbers are given out from blocks of this size, so that few commits write where they are.
const SEQUENCE_BLOCK: u64 = 4096;
/// Longer records are split. sled moves a page of more than 128 KiB out into a blob file that it
/// does not sync; a page has at most 16 values.
const RECORD_PART: usize = 6 * 1024;
/// Longer identifiers are keyed by their SHA-256, for the same reason.
const LONG_KEY: usize = 200;
/// Changes and octets of records in one batch. Small against sled's 512 KiB segments: a segment
/// that a batch frees must not be overwritten before that batch is synced.
const GROUP_CHANGES: usize = 128;
const GROUP_OCTETS: usize = 256 * 1024;
/// How long [`SledStore::open`] waits for a predecessor that is just closing.
const LOCK_WAIT: Duration = Duration::from_secs(3);
/// How often a running flush is looked after.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// How the registry's metadata is kept.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Octets of pages kept in memory.
    pub cache: u64,
    /// Changes that may wait for the writer; further ones wait to wait.
    pub queue: usize,
    /// Octets of the volume that changes leave free: sled does not survive a full disk without
    /// being opened again. By default 64 MiB or a sixteenth of the volume, whichever is less.
    pub reserve: Option<u64>,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache: 128 << 20, queue: 1024, reserve: None }
    }
}

/// Registry metadata in sled; see the module.
pub struct SledStore {
    shared: Arc<Shared>,
    requests: Option<mpsc::Sender<Request>>,
    threads: Vec<JoinHandle<()>>,
}

/// The database, closed without panic.
struct Database(Option<(Db, Tree)>);

impl Database {
    fn get(&self) -> StoreResult<&(Db, Tree)> {
        self.0.as_ref().ok_or_else(closed)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let database = self.0.take();
        // What was answered is durable; there is nobody left to tell of an error.
        let _ = guarded(move || {
            drop(database);
            Ok(())
        });
    }
}

struct Shared {
    database: Database,
    /// Held for writing while a batch is applied, since sled's readers can see half of one.
    /// True once a batch broke off: what is in memory then is not to be trusted.
    view: RwLock<bool>,
    /// Set by the first failed write or flush, never cleared.
    failed: AtomicBool,
    flushing: AtomicBool,
    /// Batches applied, and how many of them are durable.
    applied: AtomicU64,
    durable: AtomicU64,
}

struct Request {
    /// None: only to wait for what has been applied already.
    change: Option<Change>,
    reply: oneshot::Sender<StoreResult<()>>,
}

impl SledStore {
    /// Opens or makes the store in that folder; blocks.
    ///
    /// # Errors
    /// When the folder cannot be made, is in use by another process, holds another version's
    /// layout or damaged data.
    pub fn open(path: impl AsRef<Path>, options: SledOptions) -> StoreResult<Self> {
        let path = path.as_ref();
        create_folders(path)?;
        let config =
            ::sled::Config::new().path(path).cache_capacity(options.cache).flush_every_ms(None).use_compression(false);
        let db = guarded(|| open_when_free(&config))?;
        // The names of the files sled has just made.
        File::open(path)?.sync_all()?;
        let log = File::open(path.join("db"))?;
        let reserve = match options.reserve {
            Some(reserve) => reserve,
            None => (64 << 20).min(fs2::total_space(path)? / 16),
        };
        let tree = Tree::clone(&db);
        let next = guarded(|| check_schema(&tree))?;
        if guarded(|| Ok(tree.get(IDENTITY_KEY)?.is_none()))? {
            // Durable at once: documents are told to whom they belong.
            guarded(|| {
                tree.insert(IDENTITY_KEY, EntryUuid::random().0.as_slice())?;
                tree.flush()?;
                Ok(log.sync_data()?)
            })?;
        }
        let shared = Arc::new(Shared {
            database: Database(Some((db, tree))),
            view: RwLock::new(false),
            failed: AtomicBool::new(false),
            flushing: AtomicBool::new(false),
            applied: AtomicU64::new(0),
            durable: AtomicU64::new(0),
        });
        let (requests, waiting) = mpsc::channel(options.queue.max(1));
        let (running, ended) = std::sync::mpsc::channel();
        let mut store = Self { shared: Arc::clone(&shared), requests: Some(requests), threads: Vec::new() };
        let watched = Arc::clone(&shared);
        let watch = std::thread::Builder::new().name("registry-watch".into());
        store.threads.push(watch.spawn(move || watched.watch(&ended))?);
        let writer = Writer { shared, folder: path.to_owned(), log, reserve, next, reserved: next, _running: running };
        let write = std::thread::Builder::new().name("registry-writer".into());
        store.threads.push(write.spawn(move || writer.run(waiting))?);
        Ok(store)
    }

    /// How many flushes there were; fewer than commits when several wait at once.
    pub fn flushes(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// Octets on disk.
    ///
    /// # Errors
    /// When the files cannot be looked at.
    pub fn size_on_disk(&self) -> StoreResult<u64> {
        guarded(|| Ok(self.shared.database.get()?.0.size_on_disk()?))
    }

    async fn send(&self, change: Option<Change>) -> StoreResult<()> {
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(closed)?;
        requests.send(Request { change, reply }).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Drop for SledStore {
    /// Finishes what waits, flushes, and lets go of the files.
    fn drop(&mut self) {
        self.requests = None;
        for thread in self.threads.drain(..) {
            // A panic there has been answered to those who waited.
            let _ = thread.join();
        }
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the registry store is closed".into())
}

impl From<::sled::Error> for StoreError {
    fn from(error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(error) => error.into(),
            ::sled::Error::Corruption { .. } => Self::Damaged("sled found corruption in its log".into()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// sled asserts where it should answer; to our callers that is one more error.
fn guarded<T>(work: impl FnOnce() -> StoreResult<T>) -> StoreResult<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(StoreError::Failed("sled broke off with a panic".into())))
}

fn open_when_free(config: &::sled::Config) -> StoreResult<Db> {
    let begin = Instant::now();
    loop {
        match config.open() {
            // sled lets go of its lock a moment after the last handle is dropped.
            Err(::sled::Error::Io(error))
                if begin.elapsed() < LOCK_WAIT && error.to_string().contains("could not acquire lock") =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return Ok(other?),
        }
    }
}

/// Checks or writes the layout's number; answers with the next sequence number.
fn check_schema(tree: &Tree) -> StoreResult<u64> {
    match tree.get(SCHEMA_KEY)? {
        Some(found) if found == SCHEMA.to_be_bytes() => {}
        Some(_) => return Err(StoreError::Failed("the registry was written by another version of Causeway".into())),
        None if tree.is_empty() => {
            tree.insert(SCHEMA_KEY, &SCHEMA.to_be_bytes())?;
        }
        None => return Err(StoreError::Failed("the folder holds a sled database that is not a registry".into())),
    }
    match tree.get(SEQUENCE_KEY)? {
        None => Ok(1),
        Some(bytes) => number(&bytes),
    }
}

/// Where an object lies.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    patient: u64,
    noun: u8,
    sequence: u64,
}

impl Place {
    fn key(&self) -> Vec<u8> {
        let mut key = patient_prefix(self.patient, self.noun);
        key.extend_from_slice(&self.sequence.to_be_bytes());
        key
    }

    /// Patient and noun: what a key that has the sequence number in itself does not say.
    fn cluster(&self) -> Vec<u8> {
        let mut bytes = self.patient.to_be_bytes().to_vec();
        bytes.push(self.noun);
        bytes
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.cluster();
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> StoreResult<Self> {
        let (cluster, sequence) = bytes.split_at_checked(9).ok_or_else(|| damaged("place"))?;
        Self::join(cluster, sequence)
    }

    fn join(cluster: &[u8], sequence: &[u8]) -> StoreResult<Self> {
        let (patient, noun) = cluster.split_at_checked(8).ok_or_else(|| damaged("place"))?;
        match noun {
            [noun] => Ok(Self { patient: number(patient)?, noun: *noun, sequence: number(sequence)? }),
            _ => Err(damaged("place")),
        }
    }

    /// The place that an index entry points to: the sequence number ends its key.
    fn of_index(key: &[u8], cluster: &[u8]) -> StoreResult<Self> {
        Self::join(cluster, key.last_chunk::<8>().ok_or_else(|| damaged("index key"))?)
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} of unknown form"))
}

fn number(bytes: &[u8]) -> StoreResult<u64> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged("number"))
}

fn noun_number(noun: Noun) -> u8 {
    match noun {
        Noun::DocumentEntry => 1,
        Noun::SubmissionSet => 2,
        Noun::Folder => 3,
        Noun::Association => 4,
        Noun::Other => 5,
    }
}

fn patient_prefix(patient: u64, noun: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.push(b'p');
    key.extend_from_slice(&patient.to_be_bytes());
    key.push(noun);
    key
}

fn part_key(sequence: u64, part: u16) -> Vec<u8> {
    let mut key = vec![b'o'];
    key.extend_from_slice(&sequence.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// A key of a text. No identifier has a control character, so a digest cannot be taken for one.
fn text_key(tag: u8, text: &[u8]) -> Vec<u8> {
    let mut key = vec![tag];
    if text.len() > LONG_KEY {
        key.push(1);
        key.extend_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    } else {
        key.extend_from_slice(text);
    }
    key
}

fn unique_prefix(unique_id: &str) -> Vec<u8> {
    let mut key = text_key(b'x', unique_id.as_bytes());
    key.push(0);
    key
}

fn end_prefix(end: EntryUuid) -> Vec<u8> {
    uuid_key(b'a', end)
}

fn version_prefix(lid: EntryUuid) -> Vec<u8> {
    uuid_key(b'l', lid)
}

fn uuid_key(tag: u8, uuid: EntryUuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(tag);
    key.extend_from_slice(&uuid.0);
    key
}

fn content_key(sha256: &[u8; 32]) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend(sha256.iter().take(16));
    key
}

fn patient_key(patient: &PatientId) -> Vec<u8> {
    let mut text = patient.authority().as_str().as_bytes().to_vec();
    text.push(0x1f);
    text.extend_from_slice(patient.id().as_bytes());
    text_key(b'k', &text)
}

/// What is known of a patient: the number, and whether an identity feed has named it.
fn decode_patient(bytes: &[u8]) -> StoreResult<(u64, bool)> {
    let (patient, known) = bytes.split_at_checked(8).ok_or_else(|| damaged("patient"))?;
    match known {
        [known @ 0..=1] => Ok((number(patient)?, *known == 1)),
        _ => Err(damaged("patient")),
    }
}

fn encode_patient(patient: u64, known: bool) -> Vec<u8> {
    let mut bytes = patient.to_be_bytes().to_vec();
    bytes.push(u8::from(known));
    bytes
}

/// `1 | SHA-256 | SHA-1 | CRC-32 | size | media type`, or `2 | length(2) | uniqueId |` the same, where
/// the key does not tell the uniqueId.
fn encode_locator(locator: &DocumentLocator) -> Vec<u8> {
    let (content, unique_id) = (&locator.content, locator.unique_id.as_str());
    let mut bytes = Vec::with_capacity(65 + locator.mime_type.len());
    match u16::try_from(unique_id.len()) {
        Ok(length) if unique_id.len() > LONG_KEY => {
            bytes.push(2);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(unique_id.as_bytes());
        }
        _ => bytes.push(1),
    }
    bytes.extend_from_slice(&content.sha256);
    bytes.extend_from_slice(&content.sha1);
    bytes.extend_from_slice(&content.crc32.to_be_bytes());
    bytes.extend_from_slice(&content.size.to_be_bytes());
    bytes.extend_from_slice(locator.mime_type.as_bytes());
    bytes
}

fn decode_locator(unique_id: &UniqueId, bytes: &[u8]) -> StoreResult<DocumentLocator> {
    fn read(bytes: &[u8]) -> Option<(Content, &[u8])> {
        let bytes = match bytes.split_first()? {
            (1, bytes) => bytes,
            (2, bytes) => named(bytes)?.1,
            _ => return None,
        };
        let (sha256, bytes) = bytes.split_first_chunk()?;
        let (sha1, bytes) = bytes.split_first_chunk()?;
        let (crc32, bytes) = bytes.split_first_chunk()?;
        let (size, bytes) = bytes.split_first_chunk()?;
        let content = Content {
            sha256: *sha256,
            sha1: *sha1,
            crc32: u32::from_be_bytes(*crc32),
            size: u64::from_be_bytes(*size),
        };
        Some((content, bytes))
    }
    let (content, mime_type) = read(bytes).ok_or_else(|| damaged("document locator"))?;
    let mime_type = std::str::from_utf8(mime_type).map_err(|_| damaged("document locator"))?;
    Ok(DocumentLocator { unique_id: unique_id.clone(), content, mime_type: mime_type.to_owned() })
}

/// The uniqueId in a locator, and what is behind it.
fn named(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// A locator whose uniqueId is in its key, or in itself.
fn decode_named_locator(key: &[u8], bytes: &[u8]) -> StoreResult<DocumentLocator> {
    let name = match bytes.split_first() {
        Some((2, bytes)) => named(bytes).ok_or_else(|| damaged("document locator"))?.0,
        _ => key,
    };
    let unique_id = std::str::from_utf8(name).ok().and_then(|text| UniqueId::parse(text).ok());
    decode_locator(&unique_id.ok_or_else(|| damaged("document locator"))?, bytes)
}

/// `1 | digest | message id`
fn encode_receipt(receipt: &Receipt) -> Vec<u8> {
    let mut bytes = vec![1];
    bytes.extend_from_slice(&receipt.digest);
    bytes.extend_from_slice(receipt.message_id.as_bytes());
    bytes
}

fn decode_receipt(set_unique_id: &UniqueId, bytes: &[u8]) -> StoreResult<Receipt> {
    let read = || {
        let (digest, message_id) = bytes.strip_prefix(&[1])?.split_first_chunk()?;
        Some((*digest, std::str::from_utf8(message_id).ok()?.to_owned()))
    };
    let (digest, message_id) = read().ok_or_else(|| damaged("receipt"))?;
    Ok(Receipt { set_unique_id: set_unique_id.clone(), message_id, digest })
}

/// Reading: from the tree, or from the tree as the batch in the making will leave it.
trait Look {
    fn get(&self, key: &[u8]) -> StoreResult<Option<IVec>>;
    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(IVec, IVec)>>;

    fn place(&self, uuid: EntryUuid) -> StoreResult<Option<Place>> {
        self.get(&uuid_key(b'u', uuid))?.map(|place| Place::decode(&place)).transpose()
    }

    fn record(&self, place: Place) -> StoreResult<PackedObject> {
        let record = self.get(&place.key())?.ok_or_else(|| damaged("an index entry without record"))?;
        self.decode_record(place.sequence, &record)
    }

    /// `0 | packed object`, or `1 | length(4)` where it is split.
    fn decode_record(&self, sequence: u64, record: &[u8]) -> StoreResult<PackedObject> {
        let packed = match record {
            [0, packed @ ..] => Bytes::copy_from_slice(packed),
            [1, length @ ..] => {
                let mut whole = Vec::new();
                for part in 0..parts(length)? {
                    let bytes =
                        self.get(&part_key(sequence, part))?.ok_or_else(|| damaged("a record with parts missing"))?;
                    whole.extend_from_slice(&bytes);
                }
                whole.into()
            }
            _ => return Err(damaged("record")),
        };
        Ok(PackedObject::from_bytes(packed)?)
    }

    /// The objects that an index names, in order.
    fn indexed(&self, prefix: &[u8]) -> StoreResult<Vec<PackedObject>> {
        let found = self.scan(prefix)?;
        found.iter().map(|(key, cluster)| self.record(Place::of_index(key, cluster)?)).collect()
    }

    fn object(&self, uuid: EntryUuid) -> StoreResult<Option<PackedObject>> {
        self.place(uuid)?.map(|place| self.record(place)).transpose()
    }

    fn holds(&self, expectation: &Expectation) -> StoreResult<bool> {
        Ok(match expectation {
            Expectation::Absent(uuid) => self.place(*uuid)?.is_none(),
            Expectation::Holders(unique_id, uuids) => {
                let holders = self.indexed(&unique_prefix(unique_id.as_str()))?;
                holders.iter().map(PackedObject::uuid).eq(uuids.iter().copied().map(Some))
            }
            Expectation::Approved(uuid, approved) => self.object(*uuid)?.is_some_and(|o| o.is_approved() == *approved),
            Expectation::Associations(uuid, count) => self.scan(&end_prefix(*uuid))?.len() == *count,
            Expectation::Document(unique_id, seen) => {
                let found = self.get(&text_key(b'd', unique_id.as_str().as_bytes()))?;
                found.map(|bytes| decode_locator(unique_id, &bytes)).transpose()? == *seen
            }
            Expectation::Unchanged(object) => match object.uuid() {
                Some(uuid) => self.object(uuid)?.as_ref() == Some(object),
                None => false,
            },
        })
    }
}

fn parts(length: &[u8]) -> StoreResult<u16> {
    let length = length.try_into().map(u32::from_be_bytes).map_err(|_| damaged("record"))?;
    u16::try_from((length as usize).div_ceil(RECORD_PART)).map_err(|_| damaged("record"))
}

impl Look for Tree {
    fn get(&self, key: &[u8]) -> StoreResult<Option<IVec>> {
        Ok(Tree::get(self, key)?)
    }

    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(IVec, IVec)>> {
        self.scan_prefix(prefix).map(|pair| Ok(pair?)).collect()
    }
}

/// Writes by key; none removes.
type Writes = BTreeMap<Vec<u8>, Option<IVec>>;

/// A change in the making, over the changes before it in the same batch, over the tree.
struct Draft<'t> {
    tree: &'t Tree,
    batch: &'t Writes,
    writes: Writes,
    next: u64,
}

impl Look for Draft<'_> {
    fn get(&self, key: &[u8]) -> StoreResult<Option<IVec>> {
        match self.writes.get(key).or_else(|| self.batch.get(key)) {
            Some(written) => Ok(written.clone()),
            None => Look::get(self.tree, key),
        }
    }

    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(IVec, IVec)>> {
        let mut found: BTreeMap<IVec, IVec> = self.tree.scan(prefix)?.into_iter().collect();
        for writes in [self.batch, &self.writes] {
            for (key, value) in writes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
                match value {
                    Some(value) => found.insert(key.as_slice().into(), value.clone()),
                    None => found.remove(key.as_slice()),
                };
            }
        }
        Ok(found.into_iter().collect())
    }
}

impl Draft<'_> {
    fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.insert(key, Some(value.into()));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn apply(&mut self, change: &Change) -> StoreResult<()> {
        for expectation in &change.expects {
            if !self.holds(expectation)? {
                return Err(StoreError::Conflict);
            }
        }
        for uuid in &change.removes {
            self.take(*uuid)?;
        }
        for locator in &change.withdrawals {
            self.withdraw(locator)?;
        }
        for put in &change.puts {
            self.put(put)?;
        }
        for locator in &change.documents {
            self.document(locator)?;
        }
        if let Some(receipt) = &change.receipt {
            self.set(text_key(b'r', receipt.set_unique_id.as_str().as_bytes()), encode_receipt(receipt));
        }
        for patient in &change.patients {
            self.patient(patient, true)?;
        }
        Ok(())
    }

    /// The patient's number; a new patient gets one.
    fn patient(&mut self, patient: &PatientId, known: bool) -> StoreResult<u64> {
        let key = patient_key(patient);
        let (number, was_known) = match self.get(&key)? {
            Some(bytes) => decode_patient(&bytes)?,
            None => {
                let number = self.number();
                self.set(key.clone(), encode_patient(number, known));
                (number, known)
            }
        };
        if known && !was_known {
            self.set(key, encode_patient(number, true));
        }
        Ok(number)
    }

    fn put(&mut self, put: &Put) -> StoreResult<()> {
        let uuid = put.object.uuid();
        let uuid = uuid.ok_or_else(|| StoreError::Failed("an object without entryUUID cannot be stored".into()))?;
        let patient = self.patient(&put.patient, false)?;
        let old = self.place(uuid)?;
        let sequence = old.map_or_else(|| self.number(), |old| old.sequence);
        let place = Place { patient, noun: noun_number(put.noun), sequence };
        let unique_id = put.unique_id.as_ref().map(UniqueId::as_str);
        let new = index_entries(uuid, place, unique_id, put.ends, put.version_of);
        if let Some(old) = old {
            self.clear(old, Some(place), &new)?;
        } else {
            self.writes.extend(new);
        }
        let packed = put.object.as_bytes();
        let mut record;
        if packed.len() <= RECORD_PART {
            record = Vec::with_capacity(1 + packed.len());
            record.push(0);
            record.extend_from_slice(packed);
        } else {
            record = vec![1];
            let length =
                u32::try_from(packed.len()).map_err(|_| StoreError::Failed("the object is too long".into()))?;
            record.extend_from_slice(&length.to_be_bytes());
            parts(&length.to_be_bytes()).map_err(|_| StoreError::Failed("the object is too long".into()))?;
            for (part, bytes) in (0_u16..).zip(packed.chunks(RECORD_PART)) {
                self.set(part_key(sequence, part), bytes.to_vec());
            }
        }
        self.set(place.key(), record);
        Ok(())
    }

    /// Takes an object out.
    fn take(&mut self, uuid: EntryUuid) -> StoreResult<()> {
        let old = self.place(uuid)?.ok_or(StoreError::Conflict)?;
        if old.noun == noun_number(Noun::SubmissionSet) {
            // Sent again it is new.
            let packed = self.record(old)?;
            let unique_id = packed.unpack()?.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
            if let Some(unique_id) = unique_id {
                self.remove(text_key(b'r', unique_id.as_str().as_bytes()));
            }
        }
        self.clear(old, None, &Writes::new())
    }

    /// Removes what an object leaves behind that is replaced or goes, and writes what it changes.
    fn clear(&mut self, old: Place, place: Option<Place>, new: &Writes) -> StoreResult<()> {
        let packed = self.record(old)?;
        let before = entries_of(&packed, old)?;
        for key in before.keys().filter(|key| !new.contains_key(*key)) {
            self.remove(key.clone());
        }
        for (key, value) in new.iter().filter(|(key, value)| before.get(*key) != Some(*value)) {
            self.writes.insert(key.clone(), value.clone());
        }
        if Some(old) != place {
            self.remove(old.key());
        }
        if packed.as_bytes().len() > RECORD_PART {
            for (part, _) in (0_u16..).zip(packed.as_bytes().chunks(RECORD_PART)) {
                self.remove(part_key(old.sequence, part));
            }
        }
        Ok(())
    }

    fn document(&mut self, locator: &DocumentLocator) -> StoreResult<()> {
        let key = text_key(b'd', locator.unique_id.as_str().as_bytes());
        let old = match self.get(&key)? {
            Some(bytes) => Some(decode_locator(&locator.unique_id, &bytes)?.content.sha256),
            None => None,
        };
        if old != Some(locator.content.sha256) {
            if let Some(old) = old {
                self.count(&old, false)?;
            }
            self.count(&locator.content.sha256, true)?;
        }
        self.set(key, encode_locator(locator));
        Ok(())
    }

    fn withdraw(&mut self, locator: &DocumentLocator) -> StoreResult<()> {
        let key = text_key(b'd', locator.unique_id.as_str().as_bytes());
        let old = self.get(&key)?.ok_or(StoreError::Conflict)?;
        if decode_locator(&locator.unique_id, &old)? != *locator {
            return Err(StoreError::Conflict);
        }
        self.count(&locator.content.sha256, false)?;
        self.remove(key);
        Ok(())
    }

    /// Counts a content's locators up or down.
    fn count(&mut self, sha256: &[u8; 32], up: bool) -> StoreResult<()> {
        let key = content_key(sha256);
        let count = match self.get(&key)? {
            Some(bytes) => bytes.as_ref().try_into().map(u32::from_be_bytes).map_err(|_| damaged("count"))?,
            None => 0,
        };
        match if up { count.saturating_add(1) } else { count.saturating_sub(1) } {
            0 => self.remove(key),
            count => self.set(key, count.to_be_bytes().to_vec()),
        }
        Ok(())
    }
}

/// How often a page looks for where the next patient's objects begin.
const PAGE_SEEKS: usize = 1024;

/// Objects of a noun or of all, patient by patient.
fn page(tree: &Tree, noun: Option<u8>, after: Option<&Cursor>) -> StoreResult<Page<PackedObject>> {
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    let mut last: Option<IVec> = None;
    let (mut from, mut seeks) = (behind(after).unwrap_or_else(|| b"p".to_vec()), 0);
    'patients: loop {
        for pair in tree.range(from.clone()..) {
            let (key, record) = pair?;
            let Some(rest) = key.strip_prefix(b"p") else { break 'patients };
            if items.len() + damaged.len() >= PAGE {
                return Ok(Page { items, damaged, next: last.map(|key| Cursor(key.to_vec())) });
            }
            let place = match rest.split_at_checked(9).map(|(cluster, sequence)| Place::join(cluster, sequence)) {
                Some(Ok(place)) => place,
                _ => {
                    damaged.push(unreadable(&key, &self::damaged("record key")));
                    last = Some(key);
                    continue;
                }
            };
            if let Some(noun) = noun.filter(|noun| *noun != place.noun) {
                // On to where this patient's, or the next one's, begin.
                let patient = if place.noun < noun { place.patient } else { place.patient.saturating_add(1) };
                from = patient_prefix(patient, noun);
                seeks += 1;
                if seeks == PAGE_SEEKS {
                    // Others wait meanwhile; a page may have few objects, or none.
                    return Ok(Page { items, damaged, next: Some(Cursor(from)) });
                }
                continue 'patients;
            }
            match tree.decode_record(place.sequence, &record) {
                Ok(packed) => items.push(packed),
                Err(error @ StoreError::Damaged(_)) => damaged.push(unreadable(&key, &error)),
                Err(error) => return Err(error),
            }
            last = Some(key);
        }
        break;
    }
    Ok(Page { items, damaged, next: None })
}

/// A record by its key, and why it cannot be read.
fn unreadable(key: &[u8], error: &StoreError) -> (String, String) {
    (format!("record {}", super::hex(key)), error.to_string())
}

/// The first key behind a page.
fn behind(after: Option<&Cursor>) -> Option<Vec<u8>> {
    after.map(|Cursor(key)| [key.as_slice(), &[0]].concat())
}

fn document_page(tree: &Tree, after: Option<&Cursor>) -> StoreResult<Page<DocumentLocator>> {
    let (mut items, mut damaged) = (Vec::new(), Vec::new());
    let mut last: Option<IVec> = None;
    for pair in tree.range(behind(after).unwrap_or_else(|| b"d".to_vec())..) {
        let (key, locator) = pair?;
        let Some(name) = key.strip_prefix(b"d") else { break };
        if items.len() + damaged.len() >= PAGE {
            return Ok(Page { items, damaged, next: last.map(|key| Cursor(key.to_vec())) });
        }
        match decode_named_locator(name, &locator) {
            Ok(locator) => items.push(locator),
            Err(error) => damaged.push(unreadable(&key, &error)),
        }
        last = Some(key);
    }
    Ok(Page { items, damaged, next: None })
}

/// Writes of one step while everything is indexed anew.
const REINDEX_STEP: usize = 1000;

/// Makes all keys but the records' anew: adds what is missing, then removes what leads nowhere.
fn reindex(tree: &Tree) -> StoreResult<Reindexed> {
    fn write(tree: &Tree, batch: &mut ::sled::Batch, pending: &mut usize, force: bool) -> StoreResult<()> {
        if *pending >= REINDEX_STEP || force {
            tree.apply_batch(std::mem::take(batch))?;
            *pending = 0;
        }
        Ok(())
    }
    let (mut done, mut batch, mut pending) = (Reindexed::default(), ::sled::Batch::default(), 0);
    // Whether a record has a key that cannot be read: what leads to none may lead to that.
    let mut lost = false;
    for pair in tree.scan_prefix(b"p") {
        let (key, record) = pair?;
        let place = key.get(1..).and_then(|rest| rest.split_at_checked(9));
        let Some(Ok(place)) = place.map(|(cluster, sequence)| Place::join(cluster, sequence)) else {
            done.damaged += 1;
            lost = true;
            continue;
        };
        done.objects += 1;
        let Ok(entries) = tree.decode_record(place.sequence, &record).and_then(|packed| entries_of(&packed, place))
        else {
            done.damaged += 1;
            continue;
        };
        for (key, value) in entries {
            if Look::get(tree, &key)? != value
                && let Some(value) = value
            {
                batch.insert(key, value);
                (done.added, pending) = (done.added + 1, pending + 1);
            }
        }
        write(tree, &mut batch, &mut pending, false)?;
    }
    write(tree, &mut batch, &mut pending, true)?;
    for tag in [b"u", b"x", b"a", b"l"] {
        for pair in tree.scan_prefix(tag) {
            let (key, value) = pair?;
            let place = if tag == b"u" { Place::decode(&value) } else { Place::of_index(&key, &value) };
            let leads = match place {
                Ok(place) => match Look::get(tree, &place.key())? {
                    // What cannot be read may still be what it leads to.
                    Some(record) => tree
                        .decode_record(place.sequence, &record)
                        .and_then(|packed| entries_of(&packed, place))
                        .map_or(true, |entries| entries.get(key.as_ref()) == Some(&Some(value))),
                    None => lost,
                },
                Err(_) => false,
            };
            if !leads {
                batch.remove(key);
                (done.removed, pending) = (done.removed + 1, pending + 1);
            }
            write(tree, &mut batch, &mut pending, false)?;
        }
    }
    write(tree, &mut batch, &mut pending, true)?;
    recount(tree, &mut done)?;
    Ok(done)
}

/// Counts the locators of each content anew.
fn recount(tree: &Tree, done: &mut Reindexed) -> StoreResult<()> {
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    for pair in tree.scan_prefix(b"d") {
        let (key, locator) = pair?;
        let locator = decode_named_locator(key.get(1..).unwrap_or_default(), &locator)?;
        *counts.entry(content_key(&locator.content.sha256)).or_default() += 1;
    }
    let mut batch = ::sled::Batch::default();
    for pair in tree.scan_prefix(b"c") {
        let (key, _) = pair?;
        if !counts.contains_key(key.as_ref()) {
            batch.remove(key);
            done.removed += 1;
        }
    }
    for (key, count) in counts {
        let count = count.to_be_bytes();
        if Look::get(tree, &key)?.as_deref() != Some(count.as_slice()) {
            batch.insert(key, count.as_slice());
            done.added += 1;
        }
    }
    Ok(tree.apply_batch(batch)?)
}

/// All that leads to a record.
fn entries_of(packed: &PackedObject, place: Place) -> StoreResult<Writes> {
    let uuid = packed.uuid().ok_or_else(|| damaged("an object without entryUUID"))?;
    let object = packed.unpack()?;
    // As `Put::new` has made them.
    let unique_id = object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
    let unique_id = unique_id.as_ref().map(UniqueId::as_str);
    Ok(index_entries(uuid, place, unique_id, object.ends(), super::version_of(&object)))
}

/// All that leads to an object.
fn index_entries(
    uuid: EntryUuid,
    place: Place,
    unique_id: Option<&str>,
    ends: Option<(EntryUuid, EntryUuid)>,
    version_of: Option<EntryUuid>,
) -> Writes {
    let mut entries = Writes::from([(uuid_key(b'u', uuid), Some(place.encode().into()))]);
    let prefixes = unique_id.map(unique_prefix).into_iter();
    let prefixes = prefixes.chain(ends.into_iter().flat_map(<[EntryUuid; 2]>::from).map(end_prefix));
    let prefixes = prefixes.chain(version_of.map(version_prefix));
    for mut key in prefixes {
        key.extend_from_slice(&place.sequence.to_be_bytes());
        entries.insert(key, Some(place.cluster().into()));
    }
    entries
}

/// The one that writes: a thread of its own, so that no task waits for the disk while it runs.
struct Writer {
    shared: Arc<Shared>,
    folder: PathBuf,
    /// The log once more, to sync it; open all the time, so that no earlier error escapes it.
    log: File,
    reserve: u64,
    /// The next sequence number, and the first one that is not yet reserved on disk.
    next: u64,
    reserved: u64,
    /// Dropped with the writer: then the watch ends too.
    _running: std::sync::mpsc::Sender<()>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut octets = first.octets();
            let mut group = vec![first];
            while group.len() < GROUP_CHANGES && octets < GROUP_OCTETS {
                let Ok(request) = requests.try_recv() else { break };
                octets += request.octets();
                group.push(request);
            }
            self.serve(group);
        }
        // A clean end; what was answered is durable already.
        let _ = guarded(|| self.flush());
    }

    fn serve(&mut self, group: Vec<Request>) {
        let refusal = self.refusal();
        let mut batch = Writes::new();
        let (mut accepted, mut refused) = (Vec::with_capacity(group.len()), Vec::new());
        for Request { change, reply } in group {
            let result = match (&refusal, &change) {
                (None, Some(change)) => self.draft(&mut batch, change),
                (Some(Refusal::Full), None) | (None, None) => Ok(()),
                (Some(refusal), _) => Err(refusal.error()),
            };
            match result {
                Ok(()) => accepted.push(reply),
                Err(error) => refused.push((reply, error)),
            }
        }
        let applied = self.apply(batch);
        // Only now: who looks again after a conflict must see what it was with.
        for (reply, error) in refused {
            let _ = reply.send(Err(error));
        }
        let result = applied.and_then(|()| self.settle());
        if let Err(error) = &result {
            self.shared.failed.store(true, Ordering::Release);
            tracing::error!(%error, "the registry store failed and takes no more changes until it is opened again");
        }
        for reply in accepted {
            let _ = reply.send(result.as_ref().map_or_else(|error| Err(again(error)), |()| Ok(())));
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Some(Refusal::Failed);
        }
        // Not knowing is no reason to refuse.
        let free = fs2::available_space(&self.folder).unwrap_or(u64::MAX);
        (free < self.reserve).then_some(Refusal::Full)
    }

    fn draft(&mut self, batch: &mut Writes, change: &Change) -> StoreResult<()> {
        let mut draft = Draft { tree: self.shared.tree()?, batch, writes: Writes::new(), next: self.next };
        guarded(|| draft.apply(change))?;
        let Draft { writes, next, .. } = draft;
        self.next = next;
        batch.extend(writes);
        Ok(())
    }

    /// Makes the batch visible.
    fn apply(&mut self, mut writes: Writes) -> StoreResult<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let reserved = if self.next > self.reserved { self.next + SEQUENCE_BLOCK } else { self.reserved };
        if reserved != self.reserved {
            writes.insert(SEQUENCE_KEY.to_vec(), Some(reserved.to_be_bytes().as_slice().into()));
        }
        let mut batch = ::sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        let mut torn = self.shared.view.write().unwrap_or_else(PoisonError::into_inner);
        let result = guarded(|| Ok(self.shared.tree()?.apply_batch(batch)?));
        *torn |= result.is_err();
        self.shared.applied.fetch_add(1, Ordering::AcqRel);
        self.reserved = reserved;
        result
    }

    /// Makes durable what is visible.
    fn settle(&self) -> StoreResult<()> {
        let applied = self.shared.applied.load(Ordering::Acquire);
        if self.shared.durable.load(Ordering::Acquire) < applied {
            guarded(|| self.flush())?;
            self.shared.durable.store(applied, Ordering::Release);
        }
        Ok(())
    }

    fn flush(&self) -> StoreResult<()> {
        let tree = self.shared.tree()?;
        self.shared.flushing.store(true, Ordering::Release);
        let flushed = tree.flush();
        self.shared.flushing.store(false, Ordering::Release);
        flushed?;
        Ok(self.log.sync_data()?)
    }
}

enum Refusal {
    Failed,
    Full,
}

impl Refusal {
    fn error(&self) -> StoreError {
        match self {
            Self::Failed => {
                StoreError::Failed("an earlier write failed; the registry store must be opened again".into())
            }
            Self::Full => StoreError::Full("the registry volume has only its reserve left".into()),
        }
    }
}

impl Request {
    fn octets(&self) -> usize {
        self.change.as_ref().map_or(0, |change| {
            let puts: usize = change.puts.iter().map(|put| put.object.as_bytes().len()).sum();
            puts + change.removes.len() * 256
        })
    }
}

/// The same error for one more who waited.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Conflict => StoreError::Conflict,
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
        StoreError::Failed(text) => StoreError::Failed(text.clone()),
    }
}

impl Shared {
    fn tree(&self) -> StoreResult<&Tree> {
        Ok(&self.database.get()?.1)
    }

    /// Wakes a flush that sleeps on although a write has failed: one more flush notices the
    /// error at once, and wakes the other. It does not flush unless there is an error.
    fn watch(&self, ended: &std::sync::mpsc::Receiver<()>) {
        while ended.recv_timeout(WATCH_EVERY) == Err(RecvTimeoutError::Timeout) {
            if self.flushing.load(Ordering::Acquire) {
                let _ = guarded(|| {
                    let (db, tree) = self.database.get()?;
                    if db.context.global_error().is_err() {
                        tree.flush()?;
                    }
                    Ok(())
                });
            }
        }
    }

    /// Reads with no batch in between.
    fn read<T>(&self, look: impl FnOnce(&Tree) -> StoreResult<T>) -> StoreResult<T> {
        let torn = self.view.read().unwrap_or_else(PoisonError::into_inner);
        if *torn {
            return Err(StoreError::Failed("a write broke off; the registry store must be opened again".into()));
        }
        guarded(|| look(self.tree()?))
    }
}

impl RegistryStore for SledStore {
    fn commit(&self, change: Change) -> BoxFuture<'_, StoreResult<()>> {
        Box::pin(self.send(Some(change)))
    }

    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move {
            self.shared.read(|tree| {
                let Some(found) = Look::get(tree, &patient_key(patient))? else { return Ok(Vec::new()) };
                let (patient, _) = decode_patient(&found)?;
                let mut objects = Vec::new();
                for pair in tree.scan_prefix(patient_prefix(patient, noun_number(noun))) {
                    let (key, record) = pair?;
                    let sequence = key.last_chunk().copied().map(u64::from_be_bytes);
                    objects.push(tree.decode_record(sequence.ok_or_else(|| damaged("record key"))?, &record)?);
                }
                Ok(objects)
            })
        })
    }

    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>> {
        Box::pin(async move { self.shared.read(|tree| tree.object(uuid)) })
    }

    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.shared.read(|tree| tree.indexed(&unique_prefix(unique_id.as_str()))) })
    }

    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>> {
        Box::pin(async move { self.shared.read(|tree| page(tree, noun.map(noun_number), after)) })
    }

    fn document_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>> {
        Box::pin(async move { self.shared.read(|tree| document_page(tree, after)) })
    }

    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>> {
        Box::pin(async move {
            self.shared.read(|tree| {
                let found = Look::get(tree, IDENTITY_KEY)?.ok_or_else(|| damaged("identity"))?;
                found.as_ref().try_into().map_err(|_| damaged("identity"))
            })
        })
    }

    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>> {
        Box::pin(async move {
            let done = self.shared.read(reindex)?;
            // By way of the writer: its flush is the one that makes durable.
            self.shared.applied.fetch_add(1, Ordering::AcqRel);
            self.send(None).await?;
            Ok(done)
        })
    }

    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move {
            self.shared.read(|tree| {
                let mut versions = Vec::new();
                if let Some(first) = tree.object(lid)? {
                    // The id may be that of a later version of something else.
                    let is_first = super::version_of(&first.unpack()?).is_none();
                    versions.extend(is_first.then_some(first));
                }
                versions.extend(tree.indexed(&version_prefix(lid))?);
                Ok(versions)
            })
        })
    }

    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        Box::pin(async move { self.shared.read(|tree| tree.indexed(&end_prefix(uuid))) })
    }

    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>> {
        Box::pin(async move {
            self.shared.read(|tree| {
                let found = Look::get(tree, &text_key(b'd', unique_id.as_str().as_bytes()))?;
                found.map(|bytes| decode_locator(unique_id, &bytes)).transpose()
            })
        })
    }

    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>> {
        Box::pin(async move { self.shared.read(|tree| Ok(Look::get(tree, &content_key(&sha256))?.is_some())) })
    }

    fn receipt<'s>(&'s self, set_unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>> {
        Box::pin(async move {
            let (receipt, applied) = self.shared.read(|tree| {
                let found = Look::get(tree, &text_key(b'r', set_unique_id.as_str().as_bytes()))?;
                let receipt = found.map(|bytes| decode_receipt(set_unique_id, &bytes)).transpose()?;
                Ok((receipt, self.shared.applied.load(Ordering::Acquire)))
            })?;
            // Who finds a receipt answers Success for it: then it must be durable, not just visible.
            if receipt.is_some() && self.shared.durable.load(Ordering::Acquire) < applied {
                self.send(None).await?;
            }
            Ok(receipt)
        })
    }

    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>> {
        Box::pin(async move {
            self.shared.read(|tree| match Look::get(tree, &patient_key(patient))? {
                Some(found) => Ok(decode_patient(&found)?.1),
                None => Ok(false),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::suite::{check_filled, entry, fill, patient, registry_suite, unique, uuid};
    use super::*;
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn open(dir: &TempDir) -> SledStore {
        SledStore::open(dir.path().join("registry"), SledOptions::default()).unwrap()
    }

    fn make() -> (SledStore, TempDir) {
        let dir = TempDir::new().unwrap();
        (open(&dir), dir)
    }

    registry_suite!(make);

    fn put(n: u32) -> Change {
        Change { puts: vec![entry(n, &patient(&(n / 20).to_string()), &format!("u.{n}"), "x")], ..Change::default() }
    }

    #[tokio::test]
    async fn opened_again_it_has_all_in_order() {
        let (mut store, dir) = make();
        fill(&store).await;
        store.commit(put(1)).await.unwrap();
        for n in 2..6 {
            drop(store);
            store = open(&dir);
            check_filled(&store).await;
            store.commit(put(n)).await.unwrap();
        }
        let found = store.of_patient(&patient("0"), Noun::DocumentEntry).await.unwrap();
        assert!(found.iter().filter_map(PackedObject::uuid).eq((1..6).map(uuid)));
    }

    #[tokio::test]
    async fn lost_and_false_indexes_are_made_anew() {
        let (store, dir) = make();
        fill(&store).await;
        store.commit(put(1)).await.unwrap();
        let whole: Vec<_> = store.shared.tree().unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(store.reindex().await.unwrap(), Reindexed { objects: 4, ..Reindexed::default() });
        {
            let tree = store.shared.tree().unwrap();
            for tag in [b"u", b"x", b"a", b"c"] {
                let (key, value) = tree.scan_prefix(tag).next().unwrap().unwrap();
                tree.remove(&key).unwrap();
                tree.insert([key.as_ref(), b"stale"].concat(), value).unwrap();
            }
        }
        let done = store.reindex().await.unwrap();
        assert_eq!((done.objects, done.added, done.removed), (4, 4, 4));
        let again: Vec<_> = store.shared.tree().unwrap().iter().map(Result::unwrap).collect();
        assert_eq!(again, whole);
        drop(store);
        check_filled(&open(&dir)).await;
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named_and_the_rest_is_given() {
        let (store, _dir) = make();
        for n in 0..4 {
            store.commit(put(n)).await.unwrap();
        }
        let tree = store.shared.tree().unwrap();
        let records: Vec<IVec> = tree.scan_prefix(b"p").map(|pair| pair.unwrap().0).collect();
        tree.insert(&records[1], &[0, 255]).unwrap();
        tree.insert(&records[2], &[9]).unwrap();
        tree.insert(b"pshort", &[0]).unwrap();
        tree.insert(b"dx", &[9]).unwrap();
        let page = store.page(None, None).await.unwrap();
        assert_eq!((page.items.len(), page.damaged.len(), page.next.is_none()), (2, 3, true), "{:?}", page.damaged);
        assert!(page.damaged[0].0.contains(&super::super::hex(&records[1])));
        assert!(matches!(page.whole(), Err(StoreError::Damaged(_))));
        let documents = store.document_page(None).await.unwrap();
        assert_eq!((documents.items.len(), documents.damaged.len()), (0, 1));
        // Many of them do not end the reading.
        for n in 0..2 * PAGE {
            tree.insert(format!("pbad{n}"), &[0]).unwrap();
        }
        let (mut items, mut damaged, mut next, mut pages) = (0, 0, None, 0);
        loop {
            let page = store.page(None, next.as_ref()).await.unwrap();
            pages += 1;
            (items, damaged) = (items + page.items.len(), damaged + page.damaged.len());
            let Some(more) = page.next else { break };
            next = Some(more);
        }
        assert_eq!((items, damaged, pages), (2, 3 + 2 * PAGE, 3));
        // Contents are not counted anew while a locator cannot be read: one of them might be taken for unused.
        assert!(matches!(store.reindex().await, Err(StoreError::Damaged(_))));
        tree.remove(b"dx").unwrap();
        let done = store.reindex().await.unwrap();
        assert_eq!((done.objects, done.damaged), (4, 3 + 2 * PAGE));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_share_a_flush_and_each_is_durable() {
        let (store, dir) = make();
        let store = Arc::new(store);
        let tasks: Vec<_> = (0..64)
            .map(|task| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for n in 0..10 {
                        store.commit(put(task * 10 + n)).await.unwrap();
                        // What was answered is counted as flushed.
                        let shared = &store.shared;
                        assert!(shared.durable.load(Ordering::Acquire) > 0);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(store.flushes() < 320, "{} flushes", store.flushes());
        drop(store);
        let store = open(&dir);
        for n in 0..640 {
            assert!(store.by_uuid(uuid(n)).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn sled_never_needs_blobs() {
        let (store, dir) = make();
        let long = "é".repeat(128);
        for n in 0..400 {
            let mut change = put(n);
            change.puts.push(entry(1000 + n, &patient("1"), &format!("{n}{long}"), &"x".repeat(n as usize * 100)));
            store.commit(change).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(dir.path().join("registry/blobs")).unwrap().count(), 0);
    }

    /// Writes under the store's feet.
    fn tamper(store: &SledStore, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = store.shared.tree().unwrap().get(key).unwrap().unwrap().to_vec();
        change(&mut bytes);
        store.shared.tree().unwrap().insert(key, bytes).unwrap();
    }

    #[tokio::test]
    async fn damaged_records_are_errors() {
        let (store, _dir) = make();
        fill(&store).await;
        let p = patient("filled");
        let place = store.shared.tree().unwrap().place(uuid(900)).unwrap().unwrap();
        tamper(&store, &place.key(), |record| record[1] = 0xff);
        let is_damaged =
            |result: StoreResult<usize>| assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
        is_damaged(store.of_patient(&p, Noun::DocumentEntry).await.map(|v| v.len()));
        is_damaged(store.by_uuid(uuid(900)).await.map(|v| v.iter().count()));
        is_damaged(store.by_unique_id(&unique("f.1")).await.map(|v| v.len()));
        // Replacing it would leave stale ways to it.
        let replaced = store.commit(Change { puts: vec![entry(900, &p, "n", "n")], ..Change::default() }).await;
        is_damaged(replaced.map(|()| 0));
        tamper(&store, &text_key(b'd', b"f.1"), |locator| locator.truncate(20));
        is_damaged(store.document(&unique("f.1")).await.map(|v| v.iter().count()));
        tamper(&store, &text_key(b'r', b"f.set"), |receipt| receipt[0] = 9);
        is_damaged(store.receipt(&unique("f.set")).await.map(|v| v.iter().count()));
        tamper(&store, &patient_key(&patient("named")), Vec::clear);
        is_damaged(store.knows_patient(&patient("named")).await.map(usize::from));
        store.shared.tree().unwrap().remove(place.key()).unwrap();
        is_damaged(store.by_uuid(uuid(900)).await.map(|v| v.iter().count()));
        // The rest is as it was.
        assert!(store.by_uuid(uuid(901)).await.unwrap().is_some());
        store.commit(put(1)).await.unwrap();
    }

    #[tokio::test]
    async fn foreign_and_later_formats_are_refused() {
        let (store, dir) = make();
        tamper(&store, SCHEMA_KEY, |schema| schema[3] += 1);
        drop(store);
        let open = || SledStore::open(dir.path().join("registry"), SledOptions::default());
        assert!(matches!(open(), Err(StoreError::Failed(text)) if text.contains("version")));
        let foreign = ::sled::open(dir.path().join("foreign")).unwrap();
        foreign.insert("a", "b").unwrap();
        drop(foreign);
        assert!(SledStore::open(dir.path().join("foreign"), SledOptions::default()).is_err());
    }

    #[tokio::test]
    async fn after_a_failure_only_reading_goes_on() {
        let (store, _dir) = make();
        fill(&store).await;
        store.shared.failed.store(true, Ordering::Release);
        assert!(matches!(store.commit(put(1)).await, Err(StoreError::Failed(_))));
        check_filled(&store).await;
        // A receipt that may be lost is not shown to anybody.
        store.shared.applied.fetch_add(1, Ordering::AcqRel);
        assert!(matches!(store.receipt(&unique("f.set")).await, Err(StoreError::Failed(_))));
        // What broke off in the middle is not shown at all.
        *store.shared.view.write().unwrap() = true;
        assert!(matches!(store.by_uuid(uuid(900)).await, Err(StoreError::Failed(_))));
    }

    #[tokio::test]
    async fn a_full_volume_is_told_and_reading_goes_on() {
        let (store, dir) = make();
        fill(&store).await;
        drop(store);
        let options = SledOptions { reserve: Some(u64::MAX), ..SledOptions::default() };
        let store = SledStore::open(dir.path().join("registry"), options).unwrap();
        assert!(matches!(store.commit(put(1)).await, Err(StoreError::Full(_))));
        assert!(store.by_uuid(uuid(1)).await.unwrap().is_none());
        check_filled(&store).await;
    }

    #[tokio::test]
    async fn who_finds_a_receipt_waits_for_its_flush() {
        let (store, _dir) = make();
        fill(&store).await;
        store.shared.durable.fetch_sub(1, Ordering::AcqRel);
        assert!(store.receipt(&unique("f.set")).await.unwrap().is_some());
        assert_eq!(store.shared.durable.load(Ordering::Acquire), store.shared.applied.load(Ordering::Acquire));
    }

    proptest! {
        #[test]
        fn decoding_anything_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Place::decode(&bytes);
            let _ = Place::of_index(&bytes, &bytes);
            let _ = decode_patient(&bytes);
            let _ = decode_locator(&unique("u"), &bytes);
            let _ = decode_receipt(&unique("u"), &bytes);
            let _ = parts(&bytes);
        }

        #[test]
        fn order_of_keys_is_order_of_numbers(a in any::<u64>(), b in any::<u64>()) {
            let key = |sequence| Place { patient: 1, noun: 1, sequence }.key();
            prop_assert_eq!(a.cmp(&b), key(a).cmp(&key(b)));
            let place = Place { patient: a, noun: 3, sequence: b };
            prop_assert!(Place::decode(&place.encode()).unwrap() == place);
        }
    }
}
