//! A change of the registry in the making: what was seen of the store, what it is to become, and
//! what was found wrong on the way.
//!
//! Nothing is locked. Whatever a rule has looked at is expected to be the same at the commit; if
//! it is not, the caller drafts again on the new state, so the loser of a race gets the error it
//! deserves.

use std::collections::HashMap;

use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{ObjectId, RegistryObject, VersionInfo};
use crate::model::time::Dtm;
use crate::model::vocabulary::{APPROVED, slot};
use crate::store::{Change, Expectation, Put, RegistryStore, StoreError};

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
    /// Existing folders whose lastUpdateTime moves.
    touched: Vec<EntryUuid>,
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

    /// The associations of an object; there must be as many at the commit.
    pub async fn associations_of(&mut self, uuid: EntryUuid) -> Result<Vec<PackedObject>, StoreError> {
        let associations = self.store.associations_of(uuid).await?;
        self.change.expects.push(Expectation::Associations(uuid, associations.len()));
        Ok(associations)
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

    /// Changes an object of the registry, which must be as it was seen.
    pub async fn modify(
        &mut self,
        uuid: EntryUuid,
        change: impl FnOnce(&mut RegistryObject<'static>),
    ) -> Result<(), StoreError> {
        let Some(packed) = self.load(uuid).await? else { return Ok(()) };
        self.expect_unchanged(uuid, &packed);
        let mut object = packed.unpack()?.into_owned();
        change(&mut object);
        self.put(&object, uuid, packed.is_superseded());
        Ok(())
    }

    /// Marks an object whether a later version took its place.
    pub async fn mark_superseded(&mut self, uuid: EntryUuid, superseded: bool) -> Result<(), StoreError> {
        let Some(packed) = self.load(uuid).await? else { return Ok(()) };
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
