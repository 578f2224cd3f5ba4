//! Document Registry: ITI-42 and its side effects (ITI TF-2 §3.42.4.1.3, TF-3 §4.2.2).
//!
//! A submission is judged in two rounds: by what the message itself says ([`crate::validate`]),
//! and here by what the registry holds. All findings of a round are reported together. Nothing is
//! locked in between: the commit names what was seen, and if that has changed the second round is
//! repeated on the new state, so the loser of a race gets the error it deserves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::context::RequestContext;
use super::ports::{Clock, RegistryPort};
use crate::model::document::BoxFuture;
use crate::model::ids::{EntryUuid, IdentifierRule, Oid, PatientId, UniqueId};
use crate::model::metadata::{Noun, build};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::{Body, ObjectId, RegistryObject, VersionInfo};
use crate::model::time::Dtm;
use crate::model::vocabulary::{APPROVED, DEPRECATED, association, slot};
use crate::store::{Change, DocumentLocator, Expectation, Put, Receipt, RegistryStore, StoreError};
use crate::validate::Profile;
use crate::validate::codes::CodeSet;
use crate::validate::submission::{AssociationRole, End, RelationshipType, Submission, judge};

/// How often a submission that lost a race is judged again before the registry calls itself busy.
const ATTEMPTS: usize = 16;

/// Which patients a registry accepts documents for (ITI TF-2 §3.42.4.1.3.3.2).
#[derive(Debug, Clone, Default)]
pub struct PatientPolicy {
    /// Assigning authorities with the rule for their identifiers; none listed: any.
    pub domains: Vec<(Oid, IdentifierRule)>,
    /// Whether a patient must have been named by an identity feed.
    pub reject_unknown: bool,
}

/// The registry of one community.
pub struct DocumentRegistry {
    pub(super) store: Arc<dyn RegistryStore>,
    codes: Option<Arc<CodeSet>>,
    patients: PatientPolicy,
    clock: Arc<dyn Clock>,
    pub(super) limits: QueryLimits,
}

/// Bounds of one stored query, from `[limits]`.
#[derive(Debug, Clone, Copy)]
pub struct QueryLimits {
    /// LeafClass results beyond this are XDSTooManyResults.
    pub results: usize,
    /// Values of all parameters together.
    pub values: usize,
}

/// Maps a store's trouble to the registry's errors.
pub(super) fn store_error(error: &StoreError) -> RegistryError {
    tracing::error!(%error, "registry store");
    match error {
        StoreError::Conflict => RegistryError::new(
            ErrorCode::XDSRegistryBusy,
            "too many changes to the same objects at once; send it again",
        ),
        StoreError::Full(_) => RegistryError::new(
            ErrorCode::XDSRegistryOutOfResources,
            "the registry has no space left; nothing was stored",
        ),
        StoreError::Damaged(_) | StoreError::Failed(_) => RegistryError::new(
            ErrorCode::XDSRegistryError,
            "the registry's store failed; nothing was changed, its log has the cause",
        ),
    }
}

/// One round of judging against the store: errors on one side, the change on the other.
struct Plan<'s> {
    registry: &'s DocumentRegistry,
    submission: &'s Submission<'static>,
    patient: PatientId,
    now: Dtm,
    errors: Vec<RegistryError>,
    change: Change,
    /// entryUUIDs by position: the set, then entries, folders, associations.
    set: EntryUuid,
    entries: Vec<EntryUuid>,
    folders: Vec<EntryUuid>,
    associations: Vec<EntryUuid>,
    /// Registry objects already loaded.
    loaded: HashMap<EntryUuid, Option<PackedObject>>,
    /// Existing folders whose lastUpdateTime moves.
    touched: Vec<EntryUuid>,
    deprecated: HashSet<EntryUuid>,
}

impl DocumentRegistry {
    /// A registry over a store.
    pub fn new(
        store: Arc<dyn RegistryStore>,
        codes: Option<Arc<CodeSet>>,
        patients: PatientPolicy,
        clock: Arc<dyn Clock>,
        limits: QueryLimits,
    ) -> Self {
        Self { store, codes, patients, clock, limits }
    }

    async fn judge_patient(&self, patient: &PatientId) -> Result<Option<RegistryError>, StoreError> {
        let unknown = |why: &str| {
            // The standard wants the value in codeContext; it goes to its sender alone.
            Some(RegistryError::new(ErrorCode::XDSUnknownPatientId, format!("{}: {why}", patient.to_cx())))
        };
        if !self.patients.domains.is_empty() {
            let Some((_, rule)) = self.patients.domains.iter().find(|(oid, _)| oid == patient.authority()) else {
                return Ok(unknown("its assigning authority is not served here"));
            };
            if let Err(broken) = rule.judge(patient.id()) {
                return Ok(unknown(broken));
            }
        }
        if self.patients.reject_unknown && !self.store.knows_patient(patient).await? {
            return Ok(unknown("no identity feed has named this patient"));
        }
        Ok(None)
    }

    /// ITI-42. `documents` become retrievable in the same commit, for a repository on our store.
    pub async fn register_document_set(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
        documents: Vec<DocumentLocator>,
    ) -> RegistryResponse {
        let digest = digest(&objects);
        let submission = match judge(objects, Profile::Register, self.codes.as_deref()) {
            Ok(submission) => submission,
            Err(errors) => return RegistryResponse::from_errors(errors),
        };
        for _ in 0..ATTEMPTS {
            match self.attempt(context, &submission, digest, &documents).await {
                Ok(response) => return response,
                Err(StoreError::Conflict) => tokio::task::yield_now().await,
                Err(error) => return RegistryResponse::from_errors(vec![store_error(&error)]),
            }
        }
        RegistryResponse::from_errors(vec![store_error(&StoreError::Conflict)])
    }

    async fn attempt(
        &self,
        context: &RequestContext,
        submission: &Submission<'static>,
        digest: [u8; 32],
        documents: &[DocumentLocator],
    ) -> Result<RegistryResponse, StoreError> {
        let set_unique_id = submission.set.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
        let (Some(patient), Some(set_unique_id)) = (submission.patient.clone(), set_unique_id) else {
            // The rules guarantee both; a table that stops doing so must not panic here.
            let error = RegistryError::new(
                ErrorCode::XDSRegistryMetadataError,
                "SubmissionSet.patientId and uniqueId are required",
            );
            return Ok(RegistryResponse::from_errors(vec![error]));
        };
        if let (Some(message_id), Some(receipt)) = (&context.message_id, self.store.receipt(&set_unique_id).await?)
            && receipt.message_id == **message_id
            && receipt.digest == digest
        {
            tracing::info!(correlation_id = %context.correlation_id, "a submission sent again is answered as the first was");
            return Ok(RegistryResponse::from_errors(Vec::new()));
        }
        let mut plan = Plan::new(self, submission, patient, Dtm::from_timestamp(self.clock.now()));
        plan.judge().await?;
        if !plan.errors.is_empty() {
            return Ok(RegistryResponse::from_errors(plan.errors));
        }
        plan.effects().await?;
        if !plan.errors.is_empty() {
            return Ok(RegistryResponse::from_errors(plan.errors));
        }
        let mut change = plan.into_change();
        change.documents = documents.to_vec();
        change.receipt = context.message_id.as_ref().map(|message_id| Receipt {
            set_unique_id,
            message_id: message_id.to_string(),
            digest,
        });
        self.store.commit(change).await?;
        Ok(RegistryResponse::from_errors(Vec::new()))
    }
}

/// SHA-256 over a submission, to know it again.
fn digest(objects: &[RegistryObject<'_>]) -> [u8; 32] {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for object in objects {
        hash.update(PackedObject::pack(object).as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

fn named(noun: Noun, id: EntryUuid) -> String {
    format!("{} {id}", noun.as_str())
}

impl<'s> Plan<'s> {
    fn new(registry: &'s DocumentRegistry, submission: &'s Submission<'static>, patient: PatientId, now: Dtm) -> Self {
        let uuid = |object: &RegistryObject<'_>| object.uuid().unwrap_or_else(EntryUuid::random);
        Self {
            registry,
            submission,
            patient,
            now,
            errors: Vec::new(),
            change: Change::default(),
            set: uuid(&submission.set),
            entries: submission.entries.iter().map(uuid).collect(),
            folders: submission.folders.iter().map(uuid).collect(),
            associations: submission.associations.iter().map(|a| uuid(&a.object)).collect(),
            loaded: HashMap::new(),
            touched: Vec::new(),
            deprecated: HashSet::new(),
        }
    }

    fn error(&mut self, code: ErrorCode, context: impl Into<String>) {
        self.errors.push(RegistryError::new(code, context));
    }

    fn uuid_of(&self, end: End) -> Option<EntryUuid> {
        match end {
            End::Set => Some(self.set),
            End::Entry(n) => self.entries.get(n).copied(),
            End::Folder(n) => self.folders.get(n).copied(),
            End::Association(n) => self.associations.get(n).copied(),
            End::Registry(uuid) => Some(uuid),
        }
    }

    async fn load(&mut self, uuid: EntryUuid) -> Result<Option<PackedObject>, StoreError> {
        if let Some(known) = self.loaded.get(&uuid) {
            return Ok(known.clone());
        }
        let found = self.registry.store.by_uuid(uuid).await?;
        self.loaded.insert(uuid, found.clone());
        Ok(found)
    }

    /// The rules that need the registry: V11, V15–V19, V23–V30, V33.
    async fn judge(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.registry.judge_patient(&self.patient).await? {
            self.errors.push(error);
        }
        self.judge_uuids().await?;
        self.judge_unique_ids().await?;
        let submission = self.submission;
        for association in &submission.associations {
            match association.role {
                AssociationRole::SetEntryReference => {
                    if let End::Registry(uuid) = association.target {
                        self.judge_target(uuid, Noun::DocumentEntry, false).await?;
                    }
                }
                AssociationRole::FolderEntry => {
                    for (end, noun) in [(association.source, Noun::Folder), (association.target, Noun::DocumentEntry)] {
                        if let End::Registry(uuid) = end {
                            self.judge_target(uuid, noun, true).await?;
                        }
                    }
                }
                AssociationRole::Relationship(kind) => {
                    if let End::Registry(uuid) = association.target
                        && self.judge_target(uuid, Noun::DocumentEntry, true).await?
                    {
                        self.judge_relationship(kind, uuid).await?;
                    }
                }
                AssociationRole::SetEntryOriginal | AssociationRole::SetFolder | AssociationRole::SetMembership => {}
            }
        }
        Ok(())
    }

    /// Ids that the source chose are new to the registry (ITI TF-3 §4.2.3.1.5).
    async fn judge_uuids(&mut self) -> Result<(), StoreError> {
        let submission = self.submission;
        let objects = std::iter::once(&submission.set)
            .chain(&submission.entries)
            .chain(&submission.folders)
            .chain(submission.associations.iter().map(|a| &a.object));
        for object in objects {
            let Some(uuid) = object.uuid() else { continue };
            if self.registry.store.by_uuid(uuid).await?.is_some() {
                let what = named(object.noun(), uuid);
                self.error(
                    ErrorCode::XDSRegistryMetadataError,
                    format!("{what}: the registry already has an object with this entryUUID; use a new one or a symbolic id (ITI TF-3 §4.2.3.1.5)"),
                );
            }
            self.change.expects.push(Expectation::Absent(uuid));
        }
        Ok(())
    }

    async fn judge_unique_ids(&mut self) -> Result<(), StoreError> {
        let submission = self.submission;
        for object in std::iter::once(&submission.set).chain(&submission.folders) {
            let Some(unique_id) = object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) else { continue };
            let holders = self.registry.store.by_unique_id(&unique_id).await?;
            if !holders.is_empty() {
                self.error(
                    ErrorCode::XDSDuplicateUniqueIdInRegistry,
                    format!(
                        "{}.uniqueId {unique_id} is already in use (ITI TF-2 §3.42.4.1.3.3.7)",
                        object.noun().as_str()
                    ),
                );
            }
            self.change.expects.push(Expectation::Holders(unique_id, Vec::new()));
        }
        for entry in &submission.entries {
            let Some(unique_id) = entry.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) else { continue };
            let holders = self.registry.store.by_unique_id(&unique_id).await?;
            let mut seen = Vec::with_capacity(holders.len());
            for packed in &holders {
                let holder = packed.unpack()?;
                seen.extend(packed.uuid());
                if holder.noun() != Noun::DocumentEntry || holder.is_on_demand() {
                    let what =
                        if holder.is_on_demand() { "an on-demand DocumentEntry" } else { "another kind of object" };
                    self.error(
                        ErrorCode::XDSRegistryMetadataError,
                        format!("DocumentEntry.uniqueId {unique_id} is already the id of {what}"),
                    );
                    continue;
                }
                let differs = |name: &str| match (entry.common.slot_value(name), holder.common.slot_value(name)) {
                    (Some(ours), Some(theirs)) => !ours.eq_ignore_ascii_case(theirs),
                    _ => false,
                };
                if differs(slot::HASH) {
                    self.error(ErrorCode::XDSNonIdenticalHash, format!("{unique_id}: a document with this uniqueId and another hash is registered (ITI TF-2 §3.42.4.1.3.3.1)"));
                } else if differs(slot::SIZE) {
                    self.error(ErrorCode::XDSNonIdenticalSize, format!("{unique_id}: a document with this uniqueId and another size is registered (ITI TF-2 §3.42.4.1.3.3.1)"));
                }
            }
            self.change.expects.push(Expectation::Holders(unique_id, seen));
        }
        Ok(())
    }

    /// An object of the registry that an association points at: it exists, is what it should be,
    /// is Approved, and is about the same patient where that matters.
    async fn judge_target(&mut self, uuid: EntryUuid, noun: Noun, same_patient: bool) -> Result<bool, StoreError> {
        let before = self.errors.len();
        let Some(packed) = self.load(uuid).await? else {
            self.error(
                ErrorCode::UnresolvedReferenceException,
                format!("{uuid}: the registry has no such {} (ITI TF-2 §3.42.4.1.3.5)", noun.as_str()),
            );
            return Ok(false);
        };
        let object = packed.unpack()?;
        if object.noun() != noun {
            self.error(
                ErrorCode::XDSRegistryMetadataError,
                format!(
                    "{uuid} is a {}, where a {} is required (ITI TF-3 §4.2.2)",
                    object.noun().as_str(),
                    noun.as_str()
                ),
            );
            return Ok(false);
        }
        if !packed.is_approved() {
            let code = match noun {
                Noun::Folder => ErrorCode::XDSRegistryMetadataError,
                _ => ErrorCode::XDSRegistryDeprecatedDocumentError,
            };
            self.error(
                code,
                format!("{} is deprecated: refer to its replacement (ITI TF-3 §4.2.2)", named(noun, uuid)),
            );
        }
        if same_patient {
            let theirs = object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok());
            if theirs.as_ref() != Some(&self.patient) {
                self.error(
                    ErrorCode::XDSPatientIdDoesNotMatch,
                    format!(
                        "{}: its patientId is not that of the submission, {}",
                        named(noun, uuid),
                        self.patient.to_cx()
                    ),
                );
            }
        }
        self.change.expects.push(Expectation::Approved(uuid, true));
        Ok(self.errors.len() == before)
    }

    async fn judge_relationship(&mut self, kind: RelationshipType, target: EntryUuid) -> Result<(), StoreError> {
        match kind {
            RelationshipType::IsSnapshotOf => {
                let on_demand = match self.load(target).await? {
                    Some(packed) => packed.unpack()?.is_on_demand(),
                    None => false,
                };
                if !on_demand {
                    self.error(
                        ErrorCode::XDSRegistryMetadataError,
                        format!(
                            "{}: IsSnapshotOf points at an on-demand DocumentEntry (ITI TF-3 §4.2.2.2.6)",
                            named(Noun::DocumentEntry, target)
                        ),
                    );
                }
            }
            RelationshipType::Append => {
                for packed in self.registry.store.associations_of(target).await? {
                    if let Body::Association { kind, source, .. } = &packed.unpack()?.body
                        && kind == association::XFRM
                        && source.uuid() == Some(target)
                    {
                        self.error(
                            ErrorCode::XDSRegistryMetadataError,
                            format!(
                                "{}: a transformation is not appended to (ITI TF-3 §4.2.2.2.1)",
                                named(Noun::DocumentEntry, target)
                            ),
                        );
                        break;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What an accepted submission does to the registry (ITI TF-2 §3.42.4.1.3.5, TF-3 §4.2.3.4.6).
    async fn effects(&mut self) -> Result<(), StoreError> {
        let submission = self.submission;
        // New objects, in the order of the message: set, entries, folders, associations.
        self.put(submission.set.clone(), self.set);
        for (entry, uuid) in submission.entries.iter().zip(self.entries.clone()) {
            self.put(entry.clone(), uuid);
        }
        for (folder, uuid) in submission.folders.iter().zip(self.folders.clone()) {
            let mut folder = folder.clone();
            folder.common.set_slot(slot::LAST_UPDATE_TIME, self.now.as_str().to_owned());
            self.put(folder, uuid);
        }
        for (submitted, uuid) in submission.associations.iter().zip(self.associations.clone()) {
            let mut object = submitted.object.clone();
            if let (Body::Association { source, target, .. }, Some(from), Some(to)) =
                (&mut object.body, self.uuid_of(submitted.source), self.uuid_of(submitted.target))
            {
                (*source, *target) = (from.into(), to.into());
            }
            self.put(object, uuid);
            if let (AssociationRole::FolderEntry, End::Registry(folder)) = (submitted.role, submitted.source) {
                self.touch(folder);
            }
        }
        for submitted in &submission.associations {
            if let (AssociationRole::Relationship(kind), End::Registry(target)) = (submitted.role, submitted.target)
                && kind.replaces()
                && let Some(replacement) = self.uuid_of(submitted.source)
            {
                self.replace(target, replacement).await?;
            }
        }
        let touched = std::mem::take(&mut self.touched);
        for folder in touched {
            if let Some(packed) = self.load(folder).await? {
                let mut object = owned(packed.unpack()?);
                object.common.set_slot(slot::LAST_UPDATE_TIME, self.now.as_str().to_owned());
                self.put_existing(object, folder);
            }
        }
        Ok(())
    }

    fn touch(&mut self, folder: EntryUuid) {
        if !self.touched.contains(&folder) {
            self.touched.push(folder);
        }
    }

    /// Deprecates a replaced entry with its transforms and addenda, recursively (DECISION: a
    /// child's own addenda would dangle), and puts the replacement into its folders.
    async fn replace(&mut self, target: EntryUuid, replacement: EntryUuid) -> Result<(), StoreError> {
        let mut open = vec![target];
        while let Some(uuid) = open.pop() {
            let Some(packed) = self.load(uuid).await? else { continue };
            if !self.deprecated.insert(uuid) {
                continue;
            }
            let associations = self.registry.store.associations_of(uuid).await?;
            self.change.expects.push(Expectation::Associations(uuid, associations.len()));
            if packed.is_approved() {
                let mut object = owned(packed.unpack()?);
                object.common.status = Some(DEPRECATED.into());
                self.put_existing(object, uuid);
            }
            for packed in &associations {
                let association = packed.unpack()?;
                let Body::Association { kind, source, target: to } = &association.body else { continue };
                let (Some(from), Some(to)) = (source.uuid(), to.uuid()) else { continue };
                if !packed.is_approved() || to != uuid {
                    continue;
                }
                if kind == association::XFRM || kind == association::APND {
                    if self.load(from).await?.is_some_and(|child| child.is_approved()) {
                        open.push(from);
                    }
                } else if kind == association::HAS_MEMBER && uuid == target {
                    self.join_folder(from, replacement).await?;
                }
            }
        }
        Ok(())
    }

    /// RPLC's fourth effect: the replacement joins the folders of the replaced entry.
    async fn join_folder(&mut self, holder: EntryUuid, replacement: EntryUuid) -> Result<(), StoreError> {
        let Some(packed) = self.load(holder).await? else { return Ok(()) };
        let folder = packed.unpack()?;
        if folder.noun() != Noun::Folder || !packed.is_approved() {
            return Ok(());
        }
        let already = self.submission.associations.iter().any(|a| {
            a.role == AssociationRole::FolderEntry
                && self.uuid_of(a.source) == Some(holder)
                && self.uuid_of(a.target) == Some(replacement)
        });
        if already {
            return Ok(());
        }
        let theirs = folder.patient_id().and_then(|id| PatientId::parse(id.trim()).ok());
        if theirs.as_ref() != Some(&self.patient) {
            self.error(
                ErrorCode::XDSPatientIdDoesNotMatch,
                format!(
                    "{}: it holds the replaced document, but its patientId is not that of the submission, {}",
                    named(Noun::Folder, holder),
                    self.patient.to_cx()
                ),
            );
            return Ok(());
        }
        let (member, membership) = (EntryUuid::random(), EntryUuid::random());
        let (has_member, set) = (association::HAS_MEMBER, self.set);
        self.put(build::association(member.into(), has_member, holder.into(), replacement.into()), member);
        self.put(build::association(membership.into(), has_member, set.into(), member.into()), membership);
        self.touch(holder);
        Ok(())
    }

    /// A new object with what the registry assigns (ITI TF-3 §4.2.3; MD 14.4, 14.5).
    fn put(&mut self, mut object: RegistryObject<'static>, uuid: EntryUuid) {
        let common = &mut object.common;
        common.id = Some(uuid.into());
        common.lid = Some(uuid.into());
        common.status = Some(APPROVED.into());
        common.version = Some(VersionInfo { name: Some("1".into()), comment: None });
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
        self.put_existing(object, uuid);
    }

    fn put_existing(&mut self, object: RegistryObject<'static>, uuid: EntryUuid) {
        let ends = match &object.body {
            Body::Association { source, target, .. } => source.uuid().zip(target.uuid()),
            _ => None,
        };
        let noun = object.noun();
        let patient =
            object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok()).unwrap_or_else(|| self.patient.clone());
        let put = Put {
            unique_id: object.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()),
            object: PackedObject::pack(&object),
            noun,
            patient,
            ends,
        };
        // One object may change twice (deprecated and a folder touched): the last word counts.
        self.loaded.insert(uuid, Some(put.object.clone()));
        match self.change.puts.iter_mut().find(|other| other.object.uuid() == Some(uuid)) {
            Some(other) => *other = put,
            None => self.change.puts.push(put),
        }
    }

    fn into_change(self) -> Change {
        self.change
    }
}

/// A classification's symbolic id is dropped: the stored object derives a UUID for it.
fn assigned(id: &mut Option<ObjectId<'static>>) {
    if matches!(id, Some(ObjectId::Symbol(_))) {
        *id = None;
    }
}

/// A copy that borrows nothing.
pub fn owned(object: RegistryObject<'_>) -> RegistryObject<'static> {
    use crate::model::rim::{Classification, Common, ExternalIdentifier, LocalizedString, Slot, Text};
    fn text(t: Text<'_>) -> Text<'static> {
        Text::Owned(t.into_owned())
    }
    fn strings(list: Vec<LocalizedString<'_>>) -> Vec<LocalizedString<'static>> {
        list.into_iter()
            .map(|s| LocalizedString { value: text(s.value), lang: s.lang.map(text), charset: s.charset.map(text) })
            .collect()
    }
    fn common(c: Common<'_>) -> Common<'static> {
        Common {
            id: c.id.map(ObjectId::into_owned),
            home: c.home.map(text),
            lid: c.lid.map(ObjectId::into_owned),
            object_type: c.object_type.map(text),
            status: c.status.map(text),
            version: c.version.map(|v| VersionInfo { name: v.name.map(text), comment: v.comment.map(text) }),
            slots: c
                .slots
                .into_iter()
                .map(|s| Slot {
                    name: text(s.name),
                    slot_type: s.slot_type.map(text),
                    values: s.values.into_iter().map(text).collect(),
                })
                .collect(),
            names: strings(c.names),
            descriptions: strings(c.descriptions),
        }
    }
    RegistryObject {
        common: common(object.common),
        body: match object.body {
            Body::ExtrinsicObject { mime_type, opaque } => {
                Body::ExtrinsicObject { mime_type: mime_type.map(text), opaque }
            }
            Body::RegistryPackage => Body::RegistryPackage,
            Body::Association { kind, source, target } => {
                Body::Association { kind: text(kind), source: source.into_owned(), target: target.into_owned() }
            }
            Body::ObjectRef => Body::ObjectRef,
        },
        classifications: object
            .classifications
            .into_iter()
            .map(|c| Classification {
                common: common(c.common),
                classified: c.classified.map(ObjectId::into_owned),
                scheme: c.scheme.map(text),
                node: c.node.map(text),
                representation: c.representation.map(text),
            })
            .collect(),
        identifiers: object
            .identifiers
            .into_iter()
            .map(|i| ExternalIdentifier {
                common: common(i.common),
                registry_object: i.registry_object.map(ObjectId::into_owned),
                scheme: i.scheme.map(text),
                value: i.value.map(text),
            })
            .collect(),
    }
}

/// The registry in this process, for the repository beside it.
impl RegistryPort for DocumentRegistry {
    fn precheck<'a>(
        &'a self,
        _context: &'a RequestContext,
        objects: &'a [RegistryObject<'static>],
    ) -> BoxFuture<'a, Vec<RegistryError>> {
        Box::pin(async move {
            // Only what the message itself says: the rest is judged once, at the commit.
            match judge(objects.to_vec(), Profile::Register, self.codes.as_deref()) {
                Ok(_) => Vec::new(),
                Err(errors) => errors,
            }
        })
    }

    fn register<'a>(
        &'a self,
        context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
        documents: Vec<DocumentLocator>,
    ) -> BoxFuture<'a, RegistryResponse> {
        Box::pin(self.register_document_set(context, objects, documents))
    }

    fn shares_store(&self) -> bool {
        true
    }
}
