//! Document Registry: ITI-57 and ITI-92, updates of metadata (Metadata Update §3.57.4.1.3,
//! Restricted Metadata Update §3.92.4.1.3).
//!
//! A new version takes the place of the former one, which stays readable at `$MetadataLevel` 2.
//! All operations of a message are one change: new versions first, then the associations that
//! they take over, then new associations, then statuses.

use std::collections::{HashMap, HashSet};

use super::context::RequestContext;
use super::document_registry::{DocumentRegistry, Sent, digest};
use super::draft::{Draft, named, number_of};
use crate::model::ids::{EntryUuid, PatientId, UniqueId};
use crate::model::metadata::{Noun, build};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryResponse};
use crate::model::rim::{Body, RegistryObject};
use crate::model::time::Dtm;
use crate::model::vocabulary::{APPROVED, DEPRECATED, ONLINE, association, slot};
use crate::store::{Change, Expectation, StoreError};
use crate::validate::submission::RelationshipType;
use crate::validate::update::{NewAssociation, NewVersion, StatusChange, Target, Update, UpdateKind, judge};

/// What has changed with an update's new version.
struct Superseded {
    /// The former version.
    former: EntryUuid,
    /// The new one.
    new: EntryUuid,
    /// Whether it takes over associations.
    propagate: bool,
}

/// One round of judging an update against the store.
struct Plan<'s> {
    registry: &'s DocumentRegistry,
    update: &'s Update,
    kind: UpdateKind,
    draft: Draft<'s>,
    set: EntryUuid,
    /// entryUUIDs of the new versions and associations, by position.
    versions: Vec<EntryUuid>,
    associations: Vec<EntryUuid>,
    superseded: Vec<Superseded>,
    /// Associations of this message: type and ends.
    added: HashSet<(String, EntryUuid, EntryUuid)>,
}

impl DocumentRegistry {
    /// ITI-57.
    pub async fn update_document_set(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> RegistryResponse {
        self.update(context, objects, UpdateKind::Full).await
    }

    /// ITI-92.
    pub async fn restricted_update_document_set(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> RegistryResponse {
        self.update(context, objects, UpdateKind::Restricted).await
    }

    async fn update(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
        kind: UpdateKind,
    ) -> RegistryResponse {
        let digest = digest(&objects);
        let update = match judge(objects, kind, self.codes().as_deref()) {
            Ok(update) => update,
            Err(errors) => return RegistryResponse::from_errors(errors),
        };
        self.settle(|| Box::pin(self.update_attempt(context, &update, kind, digest))).await
    }

    async fn update_attempt(
        &self,
        context: &RequestContext,
        update: &Update,
        kind: UpdateKind,
        digest: [u8; 32],
    ) -> Result<RegistryResponse, StoreError> {
        let Sent::FirstTime(receipt) = self.receipt(context, &update.set, digest).await? else {
            return Ok(RegistryResponse::from_errors(Vec::new()));
        };
        let now = Dtm::from_timestamp(self.clock().now());
        let mut plan = Plan::new(self, update, kind, Draft::new(self.store(), update.patient.clone(), now));
        plan.draft_set().await?;
        for (number, version) in update.versions.iter().enumerate() {
            plan.draft_version(number, version).await?;
        }
        // What hangs on a version that could not be made would only repeat its error.
        if plan.draft.errors.is_empty() {
            plan.take_over_associations().await?;
            for (number, new) in update.associations.iter().enumerate() {
                plan.draft_association(number, new).await?;
            }
            for status in &update.statuses {
                plan.draft_status(status).await?;
            }
        }
        match plan.draft.finish().await? {
            Ok(change) => {
                self.store().commit(Change { receipts: receipt.into_iter().collect(), ..change }).await?;
                Ok(RegistryResponse::from_errors(Vec::new()))
            }
            Err(errors) => Ok(RegistryResponse::from_errors(errors)),
        }
    }
}

/// Whose an object is.
fn patient_of(object: &RegistryObject<'_>) -> Option<PatientId> {
    object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok())
}

/// The attributes that differ, among those of a list.
fn differing<'n>(
    new: &'n RegistryObject<'_>,
    former: &'n RegistryObject<'_>,
    slots: &'n [&'static str],
) -> impl Iterator<Item = &'static str> + 'n {
    slots.iter().copied().filter(|name| {
        // An absent documentAvailability means Online (Metadata Update).
        let absent = if *name == slot::DOCUMENT_AVAILABILITY { ONLINE } else { "" };
        let value = |object: &'n RegistryObject<'_>| object.common.slot_value(name).unwrap_or(absent);
        value(new) != value(former)
    })
}

impl<'s> Plan<'s> {
    fn new(registry: &'s DocumentRegistry, update: &'s Update, kind: UpdateKind, draft: Draft<'s>) -> Self {
        let uuid = |object: &RegistryObject<'_>| object.uuid().unwrap_or_else(EntryUuid::random);
        Self {
            registry,
            update,
            kind,
            draft,
            set: uuid(&update.set),
            versions: update.versions.iter().map(|version| uuid(&version.object)).collect(),
            associations: update.associations.iter().map(|new| uuid(&new.object)).collect(),
            superseded: Vec::new(),
            added: HashSet::new(),
        }
    }

    fn error(&mut self, code: ErrorCode, context: impl Into<String>) {
        self.draft.error(code, context);
    }

    fn uuid_of(&self, target: Target) -> Option<EntryUuid> {
        match target {
            Target::Version(n) => self.versions.get(n).copied(),
            Target::Association(n) => self.associations.get(n).copied(),
            Target::Registry(uuid) => Some(uuid),
        }
    }

    /// The SubmissionSet, the patient and the ids that the sender chose.
    async fn draft_set(&mut self) -> Result<(), StoreError> {
        let update = self.update;
        if let Some(error) = self.registry.judge_patient(&update.patient).await? {
            self.draft.errors.push(error);
        }
        if let Some(unique_id) = update.set.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) {
            if !self.draft.store.by_unique_id(&unique_id).await?.is_empty() {
                self.error(
                    ErrorCode::XDSDuplicateUniqueIdInRegistry,
                    format!("SubmissionSet.uniqueId {unique_id} is already in use (ITI TF-2 §3.42.4.1.3.3.7)"),
                );
            }
            self.draft.change.expects.push(Expectation::Holders(unique_id, Vec::new()));
        }
        let members = update.versions.iter().flat_map(|version| [&version.object, &version.member]);
        let associations = update.associations.iter().map(|new| &new.object);
        for object in std::iter::once(&update.set).chain(members).chain(associations) {
            self.draft.expect_new(object).await?;
        }
        self.draft.put_new(update.set.clone(), self.set);
        Ok(())
    }

    /// The latest version of what is updated.
    async fn latest(&mut self, version: &NewVersion) -> Result<Option<(EntryUuid, PackedObject)>, StoreError> {
        let lid = match (version.lid, version.object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok())) {
            (Some(lid), _) => Some(lid),
            (None, Some(unique_id)) => self.lid_of(&unique_id).await?,
            (None, None) => None,
        };
        let versions = match lid {
            Some(lid) => self.draft.store.by_logical_id(lid).await?,
            None => Vec::new(),
        };
        let mut latest: Option<(u32, PackedObject)> = None;
        for packed in versions {
            let number = number_of(&packed.unpack()?);
            if latest.as_ref().is_none_or(|(highest, _)| number >= *highest) {
                latest = Some((number, packed));
            }
        }
        if let Some((_, packed)) = &latest {
            self.draft.see(packed)?;
        }
        Ok(lid.zip(latest.map(|(_, packed)| packed)))
    }

    /// The one logicalID of the DocumentEntries of a uniqueId, if it is only one.
    async fn lid_of(&mut self, unique_id: &UniqueId) -> Result<Option<EntryUuid>, StoreError> {
        let mut lids = HashSet::new();
        for packed in self.draft.store.by_unique_id(unique_id).await? {
            let object = packed.unpack()?;
            if object.noun() == Noun::DocumentEntry {
                lids.extend(object.common.lid.as_ref().and_then(|lid| lid.uuid()).or(packed.uuid()));
            }
        }
        Ok(if lids.len() == 1 { lids.into_iter().next() } else { None })
    }

    /// T1, T3 (Metadata Update §3.57.4.1.3.3.1, §3.57.4.1.3.3.3).
    async fn draft_version(&mut self, number: usize, version: &'s NewVersion) -> Result<(), StoreError> {
        let Some(uuid) = self.versions.get(number).copied() else { return Ok(()) };
        let noun = version.object.noun();
        let what = named(noun, uuid);
        let Some((lid, packed)) = self.latest(version).await? else {
            self.error(
                ErrorCode::XDSMetadataVersionError,
                format!("{what}: the registry has no object of this logicalID (Metadata Update §3.57.4.1.3.3)"),
            );
            return Ok(());
        };
        let (former, Some(former_uuid)) = (packed.unpack()?, packed.uuid()) else { return Ok(()) };
        let latest = number_of(&former);
        if version.previous != latest {
            self.error(
                ErrorCode::XDSMetadataVersionError,
                format!(
                    "{what}: PreviousVersion is {}, the latest version is {latest} (Metadata Update §3.57.4.1.3.3)",
                    version.previous
                ),
            );
            return Ok(());
        }
        self.judge_version(&what, version, &former, packed.is_approved());
        // One that was there before the repository was ours stays as it is.
        if version.object.common.slot_value(slot::REPOSITORY_UNIQUE_ID)
            != former.common.slot_value(slot::REPOSITORY_UNIQUE_ID)
        {
            self.draft.errors.extend(self.registry.judge_on_demand(&version.object));
        }
        if !self.draft.errors.is_empty() {
            return Ok(());
        }
        let mut object = version.object.clone();
        if noun == Noun::Folder {
            // DECISION(ITI TF-3 §4.2.3.4.6): an update is a modification of the folder too.
            object.common.set_slot(slot::LAST_UPDATE_TIME, self.draft.now.as_str().to_owned());
        }
        // DECISION(Restricted Metadata Update): the version of a Deprecated entry is Deprecated;
        // else an update would bring back what has been replaced.
        let approved = packed.is_approved();
        self.draft.put_version(object, uuid, lid, latest.saturating_add(1));
        if approved {
            self.draft.modify(former_uuid, |former| former.common.status = Some(DEPRECATED.into())).await?;
        } else {
            self.draft.modify(uuid, |new| new.common.status = Some(DEPRECATED.into())).await?;
        }
        self.draft.mark_superseded(former_uuid, true).await?;
        let member = version.member.uuid().unwrap_or_else(EntryUuid::random);
        self.put_association(version.member.clone(), member, self.set, uuid);
        self.superseded.push(Superseded { former: former_uuid, new: uuid, propagate: version.propagate });
        Ok(())
    }

    /// What a new version may not change.
    fn judge_version(&mut self, what: &str, version: &NewVersion, former: &RegistryObject<'_>, approved: bool) {
        let new = &version.object;
        let restricted = self.kind == UpdateKind::Restricted;
        let general = ErrorCode::XDSMetadataUpdateError;
        let code = |finer: ErrorCode| if restricted { finer } else { general.clone() };
        let section =
            if restricted { "Restricted Metadata Update §3.92.4.1.3" } else { "Metadata Update §3.57.4.1.3.3" };
        let mut fault = |code: ErrorCode, rule: &str| {
            self.draft.error(code, format!("{what}: {rule} ({section})"));
        };
        if new.noun() != former.noun() {
            fault(code(ErrorCode::XDSObjectTypeError), "it is another kind of object than its former version");
            return;
        }
        if !approved && !restricted {
            fault(general.clone(), "its former version is Deprecated: only an Approved one is updated");
        }
        if new.unique_id().map(str::trim) != former.unique_id().map(str::trim) {
            fault(code(ErrorCode::XDSMetadataIdentifierError), "uniqueId is not that of its former version");
        }
        if new.noun() == Noun::DocumentEntry {
            if new.common.object_type != former.common.object_type {
                fault(code(ErrorCode::XDSObjectTypeError), "objectType is not that of its former version");
            }
            // DECISION(Metadata Update): hash and size may change, as public tests do it: documents that
            // are assembled when they are first asked for get theirs later; so may, in a full
            // update, the repository.
            let fixed: &[&'static str] = if restricted {
                &[slot::REPOSITORY_UNIQUE_ID, slot::SOURCE_PATIENT_ID, slot::DOCUMENT_AVAILABILITY]
            } else {
                &[]
            };
            for name in differing(new, former, fixed) {
                fault(code(ErrorCode::UnmodifiableMetadataError), &format!("{name} is not that of its former version"));
            }
            if restricted {
                if patient_of(new) != patient_of(former) {
                    fault(ErrorCode::XDSPatientIDReconciliationError, "patientId is not that of its former version");
                }
                if new.common.status.is_some() && new.common.status != former.common.status {
                    fault(ErrorCode::UnmodifiableMetadataError, "availabilityStatus is not that of its former version");
                }
            }
        }
    }

    fn put_association(
        &mut self,
        mut object: RegistryObject<'static>,
        uuid: EntryUuid,
        from: EntryUuid,
        to: EntryUuid,
    ) {
        if let Body::Association { source, target, .. } = &mut object.body {
            (*source, *target) = (from.into(), to.into());
        }
        self.draft.put_new(object, uuid);
    }

    /// The new versions take over the Approved associations of the former ones, which become
    /// Deprecated either way (Metadata Update §3.57.4.1.3.3.1.5).
    ///
    /// DECISION: sources disagree whether the former ones stay Approved; then a consumer would see
    /// each fact twice.
    async fn take_over_associations(&mut self) -> Result<(), StoreError> {
        let superseded = std::mem::take(&mut self.superseded);
        let new_of: HashMap<EntryUuid, &Superseded> = superseded.iter().map(|s| (s.former, s)).collect();
        let mut done = HashSet::new();
        for Superseded { former, .. } in &superseded {
            for packed in self.draft.associations_of(*former).await? {
                let Some(uuid) = packed.uuid() else { continue };
                let association = packed.unpack()?.into_owned();
                let (Body::Association { kind, .. }, Some((from, to))) = (&association.body, association.ends()) else {
                    continue;
                };
                if !packed.is_approved() || !done.insert(uuid) {
                    continue;
                }
                let in_folder = kind == association::HAS_MEMBER;
                if in_folder && self.noun_of(from).await? != Some(Noun::Folder) {
                    continue;
                }
                let ends = [from, to].map(|end| new_of.get(&end).copied());
                let [from, to] = [(from, ends[0]), (to, ends[1])].map(|(end, by)| by.map_or(end, |by| by.new));
                let propagate = ends.iter().flatten().all(|by| by.propagate);
                self.draft.modify(uuid, |object| object.common.status = Some(DEPRECATED.into())).await?;
                if propagate && self.may_tie(uuid, from, to, in_folder).await? {
                    self.copy_association(association, from, to, in_folder).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether an association may be had between the new ends: in a folder only Approved
    /// documents are repeated, and one patient is not tied to another.
    async fn may_tie(
        &mut self,
        uuid: EntryUuid,
        from: EntryUuid,
        to: EntryUuid,
        in_folder: bool,
    ) -> Result<bool, StoreError> {
        let (Some(source), Some(target)) = (self.draft.load(from).await?, self.draft.load(to).await?) else {
            return Ok(false);
        };
        if in_folder && !(source.is_approved() && target.is_approved()) {
            return Ok(false);
        }
        if patient_of(&source.unpack()?) != patient_of(&target.unpack()?) {
            self.error(
                ErrorCode::XDSPatientIDReconciliationError,
                format!("{uuid}: the association would tie objects of two patients together; update both, or set AssociationPropagation to no (Metadata Update §3.57.4.1.3.3.1.7)"),
            );
            return Ok(false);
        }
        self.draft.expect_unchanged(from, &source);
        self.draft.expect_unchanged(to, &target);
        Ok(true)
    }

    async fn copy_association(
        &mut self,
        association: RegistryObject<'static>,
        from: EntryUuid,
        to: EntryUuid,
        in_folder: bool,
    ) -> Result<(), StoreError> {
        let copy = EntryUuid::random();
        let mut object = association;
        // Ids of its parts are those of the former one.
        object.classifications.iter_mut().for_each(|c| c.common.id = None);
        self.put_association(object, copy, from, to);
        if in_folder {
            self.join_set(copy);
            self.draft.touch(from);
        }
        Ok(())
    }

    /// DECISION: what puts a document into a folder is a member of the SubmissionSet, as in ITI-42.
    fn join_set(&mut self, member: EntryUuid) {
        let membership = EntryUuid::random();
        let object = build::association(membership.into(), association::HAS_MEMBER, self.set.into(), member.into());
        self.draft.put_new(object, membership);
    }

    async fn noun_of(&mut self, uuid: EntryUuid) -> Result<Option<Noun>, StoreError> {
        match self.draft.load(uuid).await? {
            Some(packed) => Ok(Some(packed.unpack()?.noun())),
            None => Ok(None),
        }
    }

    /// T6 (Metadata Update §3.57.4.1.3.3.6).
    async fn draft_association(&mut self, number: usize, new: &NewAssociation) -> Result<(), StoreError> {
        let Some(uuid) = self.associations.get(number).copied() else { return Ok(()) };
        let (Some(from), Some(to)) = (self.uuid_of(new.source), self.uuid_of(new.target)) else { return Ok(()) };
        let Body::Association { kind, .. } = &new.object.body else { return Ok(()) };
        let what = named(Noun::Association, uuid);
        let section = "Metadata Update §3.57.4.1.3.3.6";
        let in_folder = kind == association::HAS_MEMBER;
        let before = self.draft.errors.len();
        let (mut patients, mut from_on_demand) = (Vec::new(), false);
        let nouns = [if in_folder { Noun::Folder } else { Noun::DocumentEntry }, Noun::DocumentEntry];
        for (end, noun) in [from, to].into_iter().zip(nouns) {
            let Some(packed) = self.draft.load(end).await? else {
                self.error(
                    ErrorCode::XDSMetadataUpdateError,
                    format!("{what}: the registry has no object {end} ({section})"),
                );
                continue;
            };
            let object = packed.unpack()?;
            if object.noun() != noun {
                let is = object.noun().as_str();
                self.error(
                    ErrorCode::XDSMetadataUpdateError,
                    format!("{what}: {end} is a {is}, where a {} is required ({section})", noun.as_str()),
                );
                continue;
            }
            if !packed.is_approved() {
                self.error(
                    ErrorCode::XDSMetadataUpdateError,
                    format!("{what}: {} is Deprecated ({section})", named(noun, end)),
                );
            }
            from_on_demand |= end == from && object.is_on_demand();
            patients.push(patient_of(&object));
            self.draft.expect_unchanged(end, &packed);
        }
        self.judge_patients(&what, &patients, section);
        if let Some(relationship) = RelationshipType::from_urn(kind) {
            let code = ErrorCode::XDSMetadataUpdateError;
            self.draft.judge_relationship(relationship, from_on_demand, to, &code).await?;
        }
        let mut is_there = !self.added.insert((kind.to_string(), from, to));
        for packed in self.draft.associations_of(from).await? {
            let other = packed.unpack()?;
            let same = matches!(&other.body, Body::Association { kind: theirs, .. } if theirs == kind);
            is_there |= same && packed.is_approved() && other.ends() == Some((from, to));
        }
        if is_there {
            self.error(
                ErrorCode::XDSMetadataUpdateError,
                format!("{what}: an Approved association of its type leads from {from} to {to} already ({section})"),
            );
        }
        if self.draft.errors.len() == before {
            self.put_association(new.object.clone(), uuid, from, to);
            if in_folder {
                self.join_set(uuid);
                self.draft.touch(from);
            }
        }
        Ok(())
    }

    /// T2, T4, T5 (Metadata Update §3.57.4.1.3.3.2, .4, .5).
    async fn draft_status(&mut self, status: &StatusChange) -> Result<(), StoreError> {
        let Some(uuid) = self.uuid_of(status.target) else { return Ok(()) };
        let section = "Metadata Update §3.57.4.1.3.3.2";
        let Some(packed) = self.draft.load(uuid).await? else {
            self.error(
                ErrorCode::XDSMetadataUpdateError,
                format!("{uuid}: the registry has no such object ({section})"),
            );
            return Ok(());
        };
        let object = packed.unpack()?.into_owned();
        let what = named(object.noun(), uuid);
        let mut faults = Vec::new();
        if packed.is_superseded() {
            faults.push("it is not the latest version");
        }
        if packed.is_approved() != status.was_approved {
            faults.push("OriginalStatus is not its status");
        }
        match &object.body {
            Body::Association { kind, .. } => {
                let ends = object.ends();
                let known = kind == association::HAS_MEMBER || RelationshipType::from_urn(kind).is_some();
                let of_set = match ends {
                    Some((from, _)) => self.noun_of(from).await? == Some(Noun::SubmissionSet),
                    None => false,
                };
                if !known || of_set {
                    faults.push("only memberships of Folders and relationships of documents change their status");
                }
                if !status.was_approved
                    && let Some((from, to)) = ends
                {
                    self.judge_approval(&what, from, to).await?;
                }
            }
            _ if matches!(object.noun(), Noun::DocumentEntry | Noun::Folder) => {}
            _ => faults.push("a SubmissionSet does not change its status"),
        }
        let good = faults.is_empty();
        let mut patients = vec![patient_of(&object)];
        for end in object.ends().into_iter().flat_map(<[EntryUuid; 2]>::from) {
            if let Some(packed) = self.draft.load(end).await? {
                patients.push(patient_of(&packed.unpack()?));
            }
        }
        self.judge_patients(&what, &patients, section);
        for fault in faults {
            self.error(ErrorCode::XDSMetadataUpdateError, format!("{what}: {fault} ({section})"));
        }
        if good {
            let new = if status.was_approved { DEPRECATED } else { APPROVED };
            self.draft.modify(uuid, |object| object.common.status = Some(new.into())).await?;
        }
        Ok(())
    }

    /// An association becomes Approved only between Approved objects of one patient.
    async fn judge_approval(&mut self, what: &str, from: EntryUuid, to: EntryUuid) -> Result<(), StoreError> {
        let section = "Metadata Update §3.57.4.1.3.3.5";
        let mut patients = Vec::new();
        for end in [from, to] {
            match self.draft.load(end).await? {
                Some(packed) if packed.is_approved() => {
                    patients.push(patient_of(&packed.unpack()?));
                    self.draft.expect_unchanged(end, &packed);
                }
                _ => self.error(
                    ErrorCode::XDSMetadataUpdateError,
                    format!("{what}: its end {end} is not there, or not Approved ({section})"),
                ),
            }
        }
        self.judge_patients(what, &patients, section);
        Ok(())
    }

    /// What an operation touches is of the SubmissionSet's patient: an audit record names that one.
    fn judge_patients(&mut self, what: &str, patients: &[Option<PatientId>], section: &str) {
        if patients.iter().flatten().any(|patient| *patient != self.draft.patient) {
            self.error(
                ErrorCode::XDSPatientIDReconciliationError,
                format!("{what}: what it touches is not of the SubmissionSet's patient ({section})"),
            );
        }
    }
}
