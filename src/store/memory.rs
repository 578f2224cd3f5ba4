//! Both stores in memory, for tests: the promises without the disk.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::files::{ContentHasher, MemoryReader};
use super::{
    Change, Content, Cursor, DocumentLocator, DocumentReader, DocumentStore, Expectation, PAGE, Page, Put, Receipt,
    RegistryStore, Reindexed, StagedDocument, StagedWriter, StoreError, StoreResult,
};
use crate::model::document::BoxFuture;
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;

/// Registry metadata in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    identity: std::sync::OnceLock<[u8; 16]>,
}

#[derive(Default)]
struct State {
    next: u64,
    objects: BTreeMap<u64, Put>,
    uuids: HashMap<EntryUuid, u64>,
    patients: BTreeMap<(PatientId, Noun, u64), ()>,
    unique_ids: BTreeMap<(UniqueId, u64), ()>,
    ends: BTreeMap<(EntryUuid, u64), ()>,
    versions: BTreeMap<(EntryUuid, u64), ()>,
    documents: HashMap<UniqueId, DocumentLocator>,
    receipts: HashMap<UniqueId, Receipt>,
    known: HashSet<PatientId>,
}

impl State {
    fn object(&self, uuid: EntryUuid) -> Option<&PackedObject> {
        self.uuids.get(&uuid).and_then(|number| self.objects.get(number)).map(|put| &put.object)
    }

    fn objects<'s>(&'s self, numbers: impl Iterator<Item = u64> + 's) -> impl Iterator<Item = &'s PackedObject> {
        numbers.filter_map(|number| self.objects.get(&number)).map(|put| &put.object)
    }

    fn holders(&self, unique_id: &UniqueId) -> impl Iterator<Item = &PackedObject> {
        let range = (unique_id.clone(), 0)..=(unique_id.clone(), u64::MAX);
        self.objects(self.unique_ids.range(range).map(|((_, number), ())| *number))
    }

    fn associations(&self, uuid: EntryUuid) -> impl Iterator<Item = &PackedObject> {
        self.objects(self.ends.range((uuid, 0)..=(uuid, u64::MAX)).map(|((_, number), ())| *number))
    }

    fn holds(&self, expectation: &Expectation) -> bool {
        match expectation {
            Expectation::Absent(uuid) => self.object(*uuid).is_none(),
            Expectation::Holders(unique_id, uuids) => {
                self.holders(unique_id).filter_map(PackedObject::uuid).eq(uuids.iter().copied())
            }
            Expectation::Approved(uuid, approved) => self.object(*uuid).is_some_and(|o| o.is_approved() == *approved),
            Expectation::Associations(uuid, count) => self.associations(*uuid).count() == *count,
            Expectation::Document(unique_id, seen) => self.documents.get(unique_id) == seen.as_ref(),
            Expectation::Unchanged(object) => {
                object.uuid().is_some_and(|uuid| self.object(uuid).is_some_and(|now| now == object))
            }
        }
    }

    /// Takes an object out; its number stays free for it.
    fn take(&mut self, uuid: EntryUuid) -> Option<u64> {
        let number = self.uuids.remove(&uuid)?;
        if let Some(old) = self.objects.remove(&number) {
            self.patients.remove(&(old.patient, old.noun, number));
            if let Some(unique_id) = old.unique_id {
                self.unique_ids.remove(&(unique_id, number));
            }
            for end in old.ends.into_iter().flat_map(<[EntryUuid; 2]>::from) {
                self.ends.remove(&(end, number));
            }
            if let Some(lid) = old.version_of {
                self.versions.remove(&(lid, number));
            }
        }
        Some(number)
    }

    fn put(&mut self, uuid: EntryUuid, put: Put) {
        let number = self.take(uuid).unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.uuids.insert(uuid, number);
        self.patients.insert((put.patient.clone(), put.noun, number), ());
        if let Some(unique_id) = put.unique_id.clone() {
            self.unique_ids.insert((unique_id, number), ());
        }
        for end in put.ends.into_iter().flat_map(<[EntryUuid; 2]>::from) {
            self.ends.insert((end, number), ());
        }
        if let Some(lid) = put.version_of {
            self.versions.insert((lid, number), ());
        }
        self.objects.insert(number, put);
    }

    fn commit(&mut self, change: Change) -> StoreResult<()> {
        if !change.expects.iter().all(|expectation| self.holds(expectation)) {
            return Err(StoreError::Conflict);
        }
        if change.puts.iter().any(|put| put.object.uuid().is_none()) {
            return Err(StoreError::Failed("an object without entryUUID cannot be stored".into()));
        }
        let there = |uuid: &EntryUuid| self.uuids.contains_key(uuid);
        let retrievable =
            |locator: &DocumentLocator| self.documents.get(&locator.unique_id).is_some_and(|now| now == locator);
        if !change.removes.iter().all(there) || !change.withdrawals.iter().all(retrievable) {
            return Err(StoreError::Conflict);
        }
        for uuid in change.removes {
            if let Some(put) = self.uuids.get(&uuid).and_then(|number| self.objects.get(number))
                && put.noun == Noun::SubmissionSet
                && let Some(unique_id) = put.unique_id.clone()
            {
                self.receipts.remove(&unique_id);
            }
            self.take(uuid);
        }
        for locator in change.withdrawals {
            self.documents.remove(&locator.unique_id);
        }
        for put in change.puts {
            if let Some(uuid) = put.object.uuid() {
                self.put(uuid, put);
            }
        }
        self.documents.extend(change.documents.into_iter().map(|locator| (locator.unique_id.clone(), locator)));
        self.receipts.extend(change.receipts.into_iter().map(|receipt| (receipt.set_unique_id.clone(), receipt)));
        self.known.extend(change.patients);
        Ok(())
    }
}

impl MemoryStore {
    fn answer<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut State) -> StoreResult<T>,
    ) -> BoxFuture<'_, StoreResult<T>> {
        Box::pin(std::future::ready(read(&mut lock(&self.state))))
    }
}

impl RegistryStore for MemoryStore {
    fn commit(&self, change: Change) -> BoxFuture<'_, StoreResult<()>> {
        self.answer(|state| state.commit(change))
    }

    fn of_patient<'s>(&'s self, patient: &'s PatientId, noun: Noun) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        self.answer(|state| {
            let range = (patient.clone(), noun, 0)..=(patient.clone(), noun, u64::MAX);
            Ok(state.objects(state.patients.range(range).map(|((.., number), ())| *number)).cloned().collect())
        })
    }

    fn by_uuid(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Option<PackedObject>>> {
        self.answer(|state| Ok(state.object(uuid).cloned()))
    }

    fn by_unique_id<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Vec<PackedObject>>> {
        self.answer(|state| Ok(state.holders(unique_id).cloned().collect()))
    }

    fn page<'s>(
        &'s self,
        noun: Option<Noun>,
        after: Option<&'s Cursor>,
    ) -> BoxFuture<'s, StoreResult<Page<PackedObject>>> {
        self.answer(|state| {
            let after = after.and_then(|cursor| cursor.0.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes);
            let mut of_noun =
                state.objects.range(after + 1..).filter(|(_, put)| noun.is_none_or(|noun| put.noun == noun));
            let page: Vec<_> = of_noun.by_ref().take(PAGE).collect();
            let next = of_noun.next().and(page.last()).map(|(number, _)| Cursor(number.to_be_bytes().to_vec()));
            Ok(Page { items: page.into_iter().map(|(_, put)| put.object.clone()).collect(), damaged: Vec::new(), next })
        })
    }

    fn document_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<DocumentLocator>>> {
        self.answer(|state| Ok(named_page(state.documents.iter().map(|(id, locator)| (id.as_str(), locator)), after)))
    }

    fn receipt_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<Receipt>>> {
        self.answer(|state| Ok(named_page(state.receipts.iter().map(|(id, receipt)| (id.as_str(), receipt)), after)))
    }

    fn patient_page<'s>(&'s self, after: Option<&'s Cursor>) -> BoxFuture<'s, StoreResult<Page<PatientId>>> {
        self.answer(|state| {
            let named: Vec<(String, &PatientId)> =
                state.known.iter().map(|patient| (patient.to_cx(), patient)).collect();
            Ok(named_page(named.iter().map(|(name, patient)| (name.as_str(), *patient)), after))
        })
    }

    fn identity(&self) -> BoxFuture<'_, StoreResult<[u8; 16]>> {
        let identity = *self.identity.get_or_init(|| EntryUuid::random().0);
        Box::pin(std::future::ready(Ok(identity)))
    }

    fn reindex(&self) -> BoxFuture<'_, StoreResult<Reindexed>> {
        // Nothing outlives the process that could be out of step.
        self.answer(|state| Ok(Reindexed { objects: state.objects.len(), ..Reindexed::default() }))
    }

    fn by_logical_id(&self, lid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        self.answer(|state| {
            let later = state.versions.range((lid, 0)..=(lid, u64::MAX)).map(|((_, number), ())| *number);
            let first = state
                .uuids
                .get(&lid)
                .copied()
                .filter(|number| state.objects.get(number).is_some_and(|put| put.version_of.is_none()));
            Ok(state.objects(first.into_iter().chain(later)).cloned().collect())
        })
    }

    fn associations_of(&self, uuid: EntryUuid) -> BoxFuture<'_, StoreResult<Vec<PackedObject>>> {
        self.answer(|state| Ok(state.associations(uuid).cloned().collect()))
    }

    fn document<'s>(&'s self, unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<DocumentLocator>>> {
        self.answer(|state| Ok(state.documents.get(unique_id).cloned()))
    }

    fn is_referenced(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<bool>> {
        self.answer(|state| Ok(state.documents.values().any(|locator| locator.content.sha256 == sha256)))
    }

    fn receipt<'s>(&'s self, set_unique_id: &'s UniqueId) -> BoxFuture<'s, StoreResult<Option<Receipt>>> {
        self.answer(|state| Ok(state.receipts.get(set_unique_id).cloned()))
    }

    fn knows_patient<'s>(&'s self, patient: &'s PatientId) -> BoxFuture<'s, StoreResult<bool>> {
        self.answer(|state| Ok(state.known.contains(patient)))
    }
}

/// A page of things in the order of their names.
fn named_page<'s, T: Clone + 's>(all: impl Iterator<Item = (&'s str, &'s T)>, after: Option<&Cursor>) -> Page<T> {
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(name, _)| *name);
    let behind = |name: &str| after.is_none_or(|cursor| name.as_bytes() > cursor.0.as_slice());
    let mut rest = all.into_iter().filter(|(name, _)| behind(name));
    let page: Vec<_> = rest.by_ref().take(PAGE).collect();
    let next = rest.next().and(page.last()).map(|(name, _)| Cursor(name.as_bytes().to_vec()));
    Page { items: page.into_iter().map(|(_, thing)| thing.clone()).collect(), damaged: Vec::new(), next }
}

/// Document bodies in memory.
#[derive(Default)]
pub struct MemoryDocuments {
    contents: Mutex<HashMap<[u8; 32], Bytes>>,
}

struct MemoryWriter {
    bytes: BytesMut,
}

impl StagedWriter for MemoryWriter {
    fn write(&mut self, chunk: Bytes) -> BoxFuture<'_, StoreResult<()>> {
        self.bytes.extend_from_slice(&chunk);
        Box::pin(std::future::ready(Ok(())))
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, StoreResult<StagedDocument>> {
        let content = ContentHasher::of(&self.bytes);
        Box::pin(std::future::ready(Ok(StagedDocument { content, handle: Box::new(self.bytes.freeze()) })))
    }
}

fn staged_bytes(staged: &StagedDocument) -> StoreResult<Bytes> {
    staged
        .handle
        .downcast_ref::<Bytes>()
        .cloned()
        .ok_or_else(|| StoreError::Failed("the document was staged by another store".into()))
}

impl DocumentStore for MemoryDocuments {
    fn stage(&self) -> BoxFuture<'_, StoreResult<Box<dyn StagedWriter>>> {
        let writer = Box::new(MemoryWriter { bytes: BytesMut::new() }) as Box<dyn StagedWriter>;
        Box::pin(std::future::ready(Ok(writer)))
    }

    fn publish(&self, staged: Vec<StagedDocument>) -> BoxFuture<'_, StoreResult<()>> {
        let published = staged.iter().try_for_each(|document| {
            let bytes = staged_bytes(document)?;
            lock(&self.contents).insert(document.content.sha256, bytes);
            Ok(())
        });
        Box::pin(std::future::ready(published))
    }

    fn open_staged<'s>(&'s self, staged: &'s StagedDocument) -> BoxFuture<'s, StoreResult<Box<dyn DocumentReader>>> {
        let reader = staged_bytes(staged)
            .map(|bytes| Box::new(MemoryReader::new(bytes, &staged.content)) as Box<dyn DocumentReader>);
        Box::pin(std::future::ready(reader))
    }

    fn open<'s>(&'s self, content: &'s Content) -> BoxFuture<'s, StoreResult<Option<Box<dyn DocumentReader>>>> {
        let bytes = lock(&self.contents).get(&content.sha256).cloned();
        let reader = bytes.map(|bytes| Box::new(MemoryReader::new(bytes, content)) as Box<dyn DocumentReader>);
        Box::pin(std::future::ready(Ok(reader)))
    }

    fn addresses(&self) -> BoxFuture<'_, StoreResult<Vec<[u8; 32]>>> {
        let addresses = lock(&self.contents).keys().copied().collect();
        Box::pin(std::future::ready(Ok(addresses)))
    }

    fn remove(&self, sha256: [u8; 32]) -> BoxFuture<'_, StoreResult<()>> {
        lock(&self.contents).remove(&sha256);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A poisoned lock only means that another test has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::suite::{document_suite, registry_suite};
    use super::*;

    registry_suite!(|| (MemoryStore::default(), ()));
    document_suite!(|| (MemoryDocuments::default(), ()));
}
