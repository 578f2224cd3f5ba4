//! Reading the layout, and changing it: what one [`Change`] writes, judged against what is there.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::layout::{
    Place, RECORD_PART, Writes, content_key, damaged, decode_locator, decode_patient, encode_locator, encode_patient,
    encode_receipt, end_prefix, entries_of, index_entries, noun_number, part_key, parts, patient_key, text_key,
    unique_prefix, uuid_key,
};
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::store::{Change, DocumentLocator, Expectation, Put, StoreError, StoreResult};

/// Reading: from the store, or from the store as the batch in the making will leave it.
pub trait Look {
    /// Octets as the store hands them out.
    type Octets: AsRef<[u8]>;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> StoreResult<Option<Self::Octets>>;

    /// Keys that begin so, in order, and their values.
    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(Self::Octets, Self::Octets)>>;

    /// The octets behind the first `skip`, to be kept.
    fn keep(octets: &Self::Octets, skip: usize) -> Bytes {
        Bytes::copy_from_slice(octets.as_ref().get(skip..).unwrap_or_default())
    }

    fn place(&self, uuid: EntryUuid) -> StoreResult<Option<Place>> {
        self.get(&uuid_key(b'u', uuid))?.map(|place| Place::decode(place.as_ref())).transpose()
    }

    fn record(&self, place: Place) -> StoreResult<PackedObject> {
        let record = self.get(&place.key())?.ok_or_else(|| damaged("an index entry without record"))?;
        self.decode_record(place.sequence, &record)
    }

    /// `0 | packed object`, or `1 | length(4)` where it is split.
    fn decode_record(&self, sequence: u64, record: &Self::Octets) -> StoreResult<PackedObject> {
        let packed = match record.as_ref() {
            [0, ..] => Self::keep(record, 1),
            [1, length @ ..] => {
                let mut whole = Vec::new();
                for part in 0..parts(length)? {
                    let bytes =
                        self.get(&part_key(sequence, part))?.ok_or_else(|| damaged("a record with parts missing"))?;
                    whole.extend_from_slice(bytes.as_ref());
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
        found.iter().map(|(key, cluster)| self.record(Place::of_index(key.as_ref(), cluster.as_ref())?)).collect()
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
                found.map(|bytes| decode_locator(unique_id, bytes.as_ref())).transpose()? == *seen
            }
            Expectation::Unchanged(object) => match object.uuid() {
                Some(uuid) => self.object(uuid)?.as_ref() == Some(object),
                None => false,
            },
        })
    }
}

/// A state of the store that stays while it is read.
pub trait View: Look {
    /// All keys from that one on, in order, and their values.
    fn pairs(&self, from: Vec<u8>) -> impl Iterator<Item = StoreResult<(Self::Octets, Self::Octets)>>;

    /// What [`Look::scan`] gives, one by one.
    fn prefix(&self, prefix: &[u8]) -> impl Iterator<Item = StoreResult<(Self::Octets, Self::Octets)>>;
}

/// A change in the making, over the changes before it in the same batch, over the store.
pub struct Draft<'t, V> {
    /// What is in the store.
    pub view: &'t V,
    /// What the changes before it write.
    pub batch: &'t Writes,
    /// What it writes itself.
    pub writes: Writes,
    /// The next sequence number.
    pub next: u64,
}

impl<V: View> Look for Draft<'_, V> {
    type Octets = Bytes;

    fn get(&self, key: &[u8]) -> StoreResult<Option<Bytes>> {
        match self.writes.get(key).or_else(|| self.batch.get(key)) {
            Some(written) => Ok(written.clone()),
            None => Ok(self.view.get(key)?.map(|octets| V::keep(&octets, 0))),
        }
    }

    fn scan(&self, prefix: &[u8]) -> StoreResult<Vec<(Bytes, Bytes)>> {
        let mut found = BTreeMap::new();
        for pair in self.view.prefix(prefix) {
            let (key, value) = pair?;
            found.insert(V::keep(&key, 0), V::keep(&value, 0));
        }
        for writes in [self.batch, &self.writes] {
            for (key, value) in writes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix)) {
                match value {
                    Some(value) => found.insert(Bytes::copy_from_slice(key), value.clone()),
                    None => found.remove(key.as_slice()),
                };
            }
        }
        Ok(found.into_iter().collect())
    }

    fn keep(octets: &Bytes, skip: usize) -> Bytes {
        octets.slice(skip.min(octets.len())..)
    }
}

impl<V: View> Draft<'_, V> {
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

    /// Writes what the change says, or finds why it cannot be.
    pub fn apply(&mut self, change: &Change) -> StoreResult<()> {
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
        for receipt in &change.receipts {
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
                self.set(key.clone(), encode_patient(patient, number, known));
                (number, known)
            }
        };
        if known && !was_known {
            self.set(key, encode_patient(patient, number, true));
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
