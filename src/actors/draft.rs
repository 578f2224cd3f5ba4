//! A change of the registry in the making: what was seen of the store, what it is to become, and
//! what was found wrong on the way.
//!
//! Nothing is locked. What a rule relies on is expected to be the same at the commit; if
//! it is not, the caller drafts again on the new state, so the loser of a race gets the error it
//! deserves.

use std::collections::HashMap;

use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, ObjectId, RegistryObject, VersionInfo};
use crate::model::time::Dtm;
use crate::model::vocabulary::{APPROVED, association, slot};
use crate::store::{Change, Expectation, Put, RegistryStore, StoreError};
use crate::validate::submission::RelationshipType;

/// A change of the registry in the making.
pub(super) struct Draft<'s> {
    /// What is there.
    pub store: &'s dyn RegistryStore,
    /// The time of the change.
    pub now: Dtm,
    /// The patient of the submission.
    pub patient: PatientId,
    /// What was found wrong.
    pub errors: Vec<RegistryError>,
    /// What is to be committed.
    pub change: Change,
    /// Where among its puts an object is.
    at: HashMap<EntryUuid, usize>,
    /// Objects already looked at, as the change leaves them.
    loaded: HashMap<EntryUuid, Option<PackedObject>>,
    /// Associations already looked at, as the store has them.
    associations: HashMap<EntryUuid, Vec<PackedObject>>,
    /// Existing folders whose lastUpdateTime moves.
    touched: Vec<EntryUuid>,
}

/// Which version of its logicalID an object is.
pub(super) fn number_of(object: &RegistryObject<'_>) -> u32 {
    object.common.version.as_ref().and_then(|version| version.name.as_deref()?.trim().parse().ok()).unwrap_or(1)
}

/// An object in a finding.
pub(super) fn named(noun: Noun, id: EntryUuid) -> String {
    format!("{} {id}", noun.as_str())
}

impl<'s> Draft<'s> {
    /// Nothing yet.
    pub fn new(store: &'s dyn RegistryStore, patient: PatientId, now: Dtm) -> Self {
        Self {
            store,
            now,
            patient,
            errors: Vec::new(),
            change: Change::default(),
            at: HashMap::new(),
            loaded: HashMap::new(),
            associations: HashMap::new(),
            touched: Vec::new(),
        }
    }

    /// A finding.
    pub fn error(&mut self, code: ErrorCode, context: impl Into<String>) {
        self.errors.push(RegistryError::new(code, context));
    }

    /// An object as the change leaves it.
    pub async fn load(&mut self, uuid: EntryUuid) -> Result<Option<PackedObject>, StoreError> {
        if let Some(known) = self.loaded.get(&uuid) {
            return Ok(known.clone());
        }
        let found = self.store.by_uuid(uuid).await?;
        self.loaded.insert(uuid, found.clone());
        Ok(found)
    }

    /// Takes an object as it was found by other means than its id: rules and commit must not rely
    /// on two states of it.
    ///
    /// # Errors
    /// A conflict, when it has been seen before and was another.
    pub fn see(&mut self, packed: &PackedObject) -> Result<(), StoreError> {
        let Some(uuid) = packed.uuid() else { return Ok(()) };
        if self.at.contains_key(&uuid) {
            return Ok(());
        }
        match self.loaded.get(&uuid) {
            Some(Some(known)) if known == packed => Ok(()),
            Some(_) => Err(StoreError::Conflict),
            None => {
                self.loaded.insert(uuid, Some(packed.clone()));
                self.expect_unchanged(uuid, packed);
                Ok(())
            }
        }
    }

    /// The associations of an object as the store has them; they must be the same at the commit.
    pub async fn associations_of(&mut self, uuid: EntryUuid) -> Result<Vec<PackedObject>, StoreError> {
        if let Some(known) = self.associations.get(&uuid) {
            return Ok(known.clone());
        }
        let associations = self.store.associations_of(uuid).await?;
        self.change.expects.push(Expectation::Associations(uuid, associations.len()));
        for association in &associations {
            self.see(association)?;
        }
        self.associations.insert(uuid, associations.clone());
        Ok(associations)
    }

    /// What a relationship demands of its ends, the source told by whether it is on-demand; a
    /// finding gets that code (ITI TF-3 §4.2.2.2).
    pub async fn judge_relationship(
        &mut self,
        kind: RelationshipType,
        from_on_demand: bool,
        target: EntryUuid,
        code: &ErrorCode,
    ) -> Result<(), StoreError> {
        let rule = match kind {
            RelationshipType::IsSnapshotOf if from_on_demand => {
                Some("IsSnapshotOf leads from a stable DocumentEntry (ITI TF-3 §4.2.2.2.6)")
            }
            RelationshipType::IsSnapshotOf => {
                let on_demand = match self.load(target).await? {
                    Some(packed) => packed.unpack()?.is_on_demand(),
                    None => false,
                };
                (!on_demand).then_some("IsSnapshotOf points at an on-demand DocumentEntry (ITI TF-3 §4.2.2.2.6)")
            }
            RelationshipType::Append => {
                let mut transformed = false;
                for packed in self.associations_of(target).await? {
                    let object = packed.unpack()?;
                    // DECISION(ITI TF-3 §4.2.2.2.1): what is Deprecated says it no longer.
                    transformed |= packed.is_approved()
                        && matches!(&object.body, Body::Association { kind, source, .. }
                            if kind == association::XFRM && source.uuid() == Some(target));
                }
                transformed.then_some("a transformation is not appended to (ITI TF-3 §4.2.2.2.1)")
            }
            _ => None,
        };
        if let Some(rule) = rule {
            self.error(code.clone(), format!("{}: {rule}", named(Noun::DocumentEntry, target)));
        }
        Ok(())
    }

    /// The id that a source chose is new to the registry (ITI TF-3 §4.2.3.1.5).
    pub async fn expect_new(&mut self, object: &RegistryObject<'_>) -> Result<(), StoreError> {
        let Some(uuid) = object.uuid() else { return Ok(()) };
        if self.store.by_uuid(uuid).await?.is_some() {
            let what = named(object.noun(), uuid);
            self.error(
                ErrorCode::XDSRegistryMetadataError,
                format!("{what}: the registry already has an object with this entryUUID; use a new one or a symbolic id (ITI TF-3 §4.2.3.1.5)"),
            );
        }
        self.change.expects.push(Expectation::Absent(uuid));
        Ok(())
    }

    /// A new object, its own first version, with what the registry assigns (ITI TF-3 §4.2.3).
    pub fn put_new(&mut self, object: RegistryObject<'static>, uuid: EntryUuid) {
        self.put_version(object, uuid, uuid, 1);
    }

    /// A new version of the object with that logicalID: Approved, with what the registry assigns.
    pub fn put_version(&mut self, mut object: RegistryObject<'static>, uuid: EntryUuid, lid: EntryUuid, version: u32) {
        let common = &mut object.common;
        common.id = Some(uuid.into());
        common.lid = Some(lid.into());
        common.status = Some(APPROVED.into());
        common.version = Some(VersionInfo { name: Some(version.to_string().into()), comment: None });
        // Our own home is stamped on answers; a submitted one means nothing.
        common.home = None;
        for c in &mut object.classifications {
            c.classified = None;
            assigned(&mut c.common.id);
        }
        for i in &mut object.identifiers {
            i.registry_object = None;
            assigned(&mut i.common.id);
        }
        self.put(&object, uuid, false);
    }

    /// Changes an object of the registry, which must be as it was seen; one that has gone since is a
    /// conflict.
    pub async fn modify(
        &mut self,
        uuid: EntryUuid,
        change: impl FnOnce(&mut RegistryObject<'static>),
    ) -> Result<(), StoreError> {
        let packed = self.load(uuid).await?.ok_or(StoreError::Conflict)?;
        self.expect_unchanged(uuid, &packed);
        let mut object = packed.unpack()?.into_owned();
        change(&mut object);
        self.put(&object, uuid, packed.is_superseded());
        Ok(())
    }

    /// Marks an object whether a later version took its place.
    pub async fn mark_superseded(&mut self, uuid: EntryUuid, superseded: bool) -> Result<(), StoreError> {
        let packed = self.load(uuid).await?.ok_or(StoreError::Conflict)?;
        self.expect_unchanged(uuid, &packed);
        self.put(&packed.unpack()?.into_owned(), uuid, superseded);
        Ok(())
    }

    /// What the draft itself has put is not expected of the store.
    pub fn expect_unchanged(&mut self, uuid: EntryUuid, packed: &PackedObject) {
        if !self.at.contains_key(&uuid) {
            self.change.expects.push(Expectation::Unchanged(packed.clone()));
        }
    }

    fn put(&mut self, object: &RegistryObject<'_>, uuid: EntryUuid, superseded: bool) {
        let mut put = Put::new(object, &self.patient);
        put.object = put.object.with_superseded(superseded);
        // One object may change twice (deprecated and a folder touched): the last word counts.
        self.loaded.insert(uuid, Some(put.object.clone()));
        match self.at.get(&uuid).and_then(|at| self.change.puts.get_mut(*at)) {
            Some(other) => *other = put,
            None => {
                self.at.insert(uuid, self.change.puts.len());
                self.change.puts.push(put);
            }
        }
    }

    /// A document is placed in that folder: its lastUpdateTime moves (ITI TF-3 §4.2.3.4.6).
    pub fn touch(&mut self, folder: EntryUuid) {
        if !self.touched.contains(&folder) {
            self.touched.push(folder);
        }
    }

    /// The change, when nothing is wrong with it.
    pub async fn finish(mut self) -> Result<Result<Change, Vec<RegistryError>>, StoreError> {
        if !self.errors.is_empty() {
            return Ok(Err(self.errors));
        }
        let now = self.now.as_str().to_owned();
        for folder in std::mem::take(&mut self.touched) {
            self.modify(folder, |object| object.common.set_slot(slot::LAST_UPDATE_TIME, now.clone())).await?;
        }
        Ok(Ok(self.change))
    }
}

/// A classification's symbolic id is dropped: the stored object derives a UUID for it.
fn assigned(id: &mut Option<ObjectId<'static>>) {
    if matches!(id, Some(ObjectId::Symbol(_))) {
        *id = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use crate::store::suite::{entry, patient, uuid};

    fn draft(store: &MemoryStore) -> Draft<'_> {
        Draft::new(store, patient("1"), Dtm::parse("2026").unwrap())
    }

    async fn put(store: &MemoryStore, title: &str) -> PackedObject {
        let put = entry(1, &patient("1"), "1.1", title);
        let object = put.object.clone();
        store.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
        object
    }

    #[tokio::test]
    async fn no_rule_relies_on_two_states_of_an_object() {
        let store = MemoryStore::default();
        let before = put(&store, "before").await;
        let mut judged = draft(&store);
        judged.see(&before).unwrap();
        let now = put(&store, "now").await;
        assert!(matches!(judged.see(&now), Err(StoreError::Conflict)));
        // What was judged is what is changed, and the commit learns that it is not what is there.
        judged.modify(uuid(1), |object| object.common.home = None).await.unwrap();
        let change = judged.finish().await.unwrap().unwrap();
        assert!(matches!(store.commit(change).await, Err(StoreError::Conflict)));
        let mut again = draft(&store);
        again.modify(uuid(1), |object| object.common.home = None).await.unwrap();
        store.commit(again.finish().await.unwrap().unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn what_has_gone_is_not_made_again() {
        let store = MemoryStore::default();
        let mut gone = draft(&store);
        assert!(matches!(gone.modify(uuid(1), |_| ()).await, Err(StoreError::Conflict)));
        assert!(matches!(gone.mark_superseded(uuid(1), true).await, Err(StoreError::Conflict)));
    }
}
