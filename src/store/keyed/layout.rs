//! Keys and values of the embedded stores. Numbers are big-endian, so that order of keys is order
//! of registration:
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
//! k authority 1f patient id          → the patient's number, known or not; both names where the key has none
//! m schema | sequence | identity     → format of all this | numbers given out at most | which registry
//! ```

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;

use crate::model::ids::{EntryUuid, Oid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::store::{Content, DocumentLocator, Receipt, StoreError, StoreResult, version_of};

/// Number of the layout above.
pub const SCHEMA: u32 = 1;
pub const SCHEMA_KEY: &[u8] = b"mschema";
pub const SEQUENCE_KEY: &[u8] = b"msequence";
pub const IDENTITY_KEY: &[u8] = b"midentity";
/// Longer records are split. sled moves a page of more than 128 KiB out into a blob file that it
/// does not sync; a page has at most 16 values.
pub const RECORD_PART: usize = 6 * 1024;
/// Longer identifiers are keyed by their SHA-256, for the same reason.
pub const LONG_KEY: usize = 200;

/// Writes by key; none removes.
pub type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Where an object lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub patient: u64,
    pub noun: u8,
    pub sequence: u64,
}

impl Place {
    pub fn key(&self) -> Vec<u8> {
        let mut key = patient_prefix(self.patient, self.noun);
        key.extend_from_slice(&self.sequence.to_be_bytes());
        key
    }

    /// Patient and noun: what a key that has the sequence number in itself does not say.
    pub fn cluster(&self) -> Vec<u8> {
        let mut bytes = self.patient.to_be_bytes().to_vec();
        bytes.push(self.noun);
        bytes
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.cluster();
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> StoreResult<Self> {
        let (cluster, sequence) = bytes.split_at_checked(9).ok_or_else(|| damaged("place"))?;
        Self::join(cluster, sequence)
    }

    pub fn join(cluster: &[u8], sequence: &[u8]) -> StoreResult<Self> {
        let (patient, noun) = cluster.split_at_checked(8).ok_or_else(|| damaged("place"))?;
        match noun {
            [noun] => Ok(Self { patient: number(patient)?, noun: *noun, sequence: number(sequence)? }),
            _ => Err(damaged("place")),
        }
    }

    /// The place that an index entry points to: the sequence number ends its key.
    pub fn of_index(key: &[u8], cluster: &[u8]) -> StoreResult<Self> {
        Self::join(cluster, key.last_chunk::<8>().ok_or_else(|| damaged("index key"))?)
    }
}

pub fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} of unknown form"))
}

pub fn number(bytes: &[u8]) -> StoreResult<u64> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged("number"))
}

pub fn noun_number(noun: Noun) -> u8 {
    match noun {
        Noun::DocumentEntry => 1,
        Noun::SubmissionSet => 2,
        Noun::Folder => 3,
        Noun::Association => 4,
        Noun::Other => 5,
    }
}

pub fn patient_prefix(patient: u64, noun: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.push(b'p');
    key.extend_from_slice(&patient.to_be_bytes());
    key.push(noun);
    key
}

pub fn part_key(sequence: u64, part: u16) -> Vec<u8> {
    let mut key = vec![b'o'];
    key.extend_from_slice(&sequence.to_be_bytes());
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// A key of a text. No identifier has a control character, so a digest cannot be taken for one.
pub fn text_key(tag: u8, text: &[u8]) -> Vec<u8> {
    let mut key = vec![tag];
    if text.len() > LONG_KEY {
        key.push(1);
        key.extend_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    } else {
        key.extend_from_slice(text);
    }
    key
}

pub fn unique_prefix(unique_id: &str) -> Vec<u8> {
    let mut key = text_key(b'x', unique_id.as_bytes());
    key.push(0);
    key
}

pub fn end_prefix(end: EntryUuid) -> Vec<u8> {
    uuid_key(b'a', end)
}

pub fn version_prefix(lid: EntryUuid) -> Vec<u8> {
    uuid_key(b'l', lid)
}

pub fn uuid_key(tag: u8, uuid: EntryUuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(25);
    key.push(tag);
    key.extend_from_slice(&uuid.0);
    key
}

pub fn content_key(sha256: &[u8; 32]) -> Vec<u8> {
    let mut key = vec![b'c'];
    key.extend(sha256.iter().take(16));
    key
}

pub fn patient_key(patient: &PatientId) -> Vec<u8> {
    text_key(b'k', &patient_name(patient))
}

/// `authority 1f patient id`
fn patient_name(patient: &PatientId) -> Vec<u8> {
    let mut text = patient.authority().as_str().as_bytes().to_vec();
    text.push(0x1f);
    text.extend_from_slice(patient.id().as_bytes());
    text
}

/// What is known of a patient: the number, and whether an identity feed has named it.
pub fn decode_patient(bytes: &[u8]) -> StoreResult<(u64, bool)> {
    let (patient, known) = bytes.split_at_checked(8).ok_or_else(|| damaged("patient"))?;
    match known {
        [known @ 0..=1, ..] => Ok((number(patient)?, *known == 1)),
        _ => Err(damaged("patient")),
    }
}

/// `number(8) | known`, and the name where the key does not tell it.
pub fn encode_patient(patient: &PatientId, number: u64, known: bool) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.push(u8::from(known));
    let name = patient_name(patient);
    if name.len() > LONG_KEY {
        bytes.extend_from_slice(&name);
    }
    bytes
}

/// A patient whom an identity feed has named; the name is in the key, or in the value.
pub fn decode_named_patient(key: &[u8], bytes: &[u8]) -> StoreResult<Option<PatientId>> {
    if !decode_patient(bytes)?.1 {
        return Ok(None);
    }
    let name = match bytes.get(9..) {
        Some(name) if !name.is_empty() => name,
        _ => key,
    };
    let name = std::str::from_utf8(name).ok().and_then(|name| name.split_once('\u{1f}'));
    let patient = name.and_then(|(authority, id)| PatientId::new(id, Oid::parse(authority).ok()?).ok());
    Ok(Some(patient.ok_or_else(|| damaged("patient"))?))
}

/// `1 | SHA-256 | SHA-1 | CRC-32 | size | media type`, or `2 | length(2) | uniqueId |` the same, where
/// the key does not tell the uniqueId.
pub fn encode_locator(locator: &DocumentLocator) -> Vec<u8> {
    let content = &locator.content;
    let mut bytes = begin_named(&locator.unique_id, 65 + locator.mime_type.len());
    bytes.extend_from_slice(&content.sha256);
    bytes.extend_from_slice(&content.sha1);
    bytes.extend_from_slice(&content.crc32.to_be_bytes());
    bytes.extend_from_slice(&content.size.to_be_bytes());
    bytes.extend_from_slice(locator.mime_type.as_bytes());
    bytes
}

pub fn decode_locator(unique_id: &UniqueId, bytes: &[u8]) -> StoreResult<DocumentLocator> {
    fn read(bytes: &[u8]) -> Option<(Content, &[u8])> {
        let bytes = behind_name(bytes)?;
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

/// A locator whose uniqueId is in its key, or in itself.
pub fn decode_named_locator(key: &[u8], bytes: &[u8]) -> StoreResult<DocumentLocator> {
    decode_locator(&unique_id_of(key, bytes).ok_or_else(|| damaged("document locator"))?, bytes)
}

/// `1`, or `2 | length(2) | uniqueId` where the key does not tell it; room for so many octets more.
fn begin_named(unique_id: &UniqueId, more: usize) -> Vec<u8> {
    let unique_id = unique_id.as_str();
    let mut bytes = Vec::with_capacity(3 + more);
    match u16::try_from(unique_id.len()) {
        Ok(length) if unique_id.len() > LONG_KEY => {
            bytes.push(2);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(unique_id.as_bytes());
        }
        _ => bytes.push(1),
    }
    bytes
}

/// The uniqueId in a value, if it is there, and what is behind it.
fn named(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match bytes.split_first()? {
        (1, bytes) => Some((None, bytes)),
        (2, bytes) => {
            let (length, bytes) = bytes.split_first_chunk()?;
            let (name, bytes) = bytes.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            Some((Some(name), bytes))
        }
        _ => None,
    }
}

fn behind_name(bytes: &[u8]) -> Option<&[u8]> {
    Some(named(bytes)?.1)
}

fn unique_id_of(key: &[u8], bytes: &[u8]) -> Option<UniqueId> {
    let name = named(bytes)?.0.unwrap_or(key);
    UniqueId::parse(std::str::from_utf8(name).ok()?).ok()
}

/// `1 | digest | message id`, or `2 | length(2) | uniqueId |` the same, where the key does not tell the
/// uniqueId.
pub fn encode_receipt(receipt: &Receipt) -> Vec<u8> {
    let mut bytes = begin_named(&receipt.set_unique_id, 33 + receipt.message_id.len());
    bytes.extend_from_slice(&receipt.digest);
    bytes.extend_from_slice(receipt.message_id.as_bytes());
    bytes
}

pub fn decode_receipt(set_unique_id: &UniqueId, bytes: &[u8]) -> StoreResult<Receipt> {
    let read = || {
        let (digest, message_id) = behind_name(bytes)?.split_first_chunk()?;
        Some((*digest, std::str::from_utf8(message_id).ok()?.to_owned()))
    };
    let (digest, message_id) = read().ok_or_else(|| damaged("receipt"))?;
    Ok(Receipt { set_unique_id: set_unique_id.clone(), message_id, digest })
}

/// A receipt whose uniqueId is in its key, or in itself.
pub fn decode_named_receipt(key: &[u8], bytes: &[u8]) -> StoreResult<Receipt> {
    decode_receipt(&unique_id_of(key, bytes).ok_or_else(|| damaged("receipt"))?, bytes)
}

pub fn parts(length: &[u8]) -> StoreResult<u16> {
    let length = length.try_into().map(u32::from_be_bytes).map_err(|_| damaged("record"))?;
    u16::try_from((length as usize).div_ceil(RECORD_PART)).map_err(|_| damaged("record"))
}

/// All that leads to a record.
pub fn entries_of(packed: &PackedObject, place: Place) -> StoreResult<Writes> {
    let uuid = packed.uuid().ok_or_else(|| damaged("an object without entryUUID"))?;
    let object = packed.unpack()?;
    // As `Put::new` has made them.
    let unique_id = object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
    let unique_id = unique_id.as_ref().map(UniqueId::as_str);
    Ok(index_entries(uuid, place, unique_id, object.ends(), version_of(&object)))
}

/// All that leads to an object.
pub fn index_entries(
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
