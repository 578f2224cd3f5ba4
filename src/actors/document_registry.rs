//! Document Registry: ITI-42 and its side effects (ITI TF-2 §3.42.4.1.3, TF-3 §4.2.2).
//!
//! A submission is judged in two rounds: by what the message itself says ([`crate::validate`]),
//! and here by what the registry holds. All findings of a round are reported together. Nothing is
//! locked in between: the commit names what was seen, and if that has changed the second round is
//! repeated on the new state, so the loser of a race gets the error it deserves.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::context::RequestContext;
use super::draft::{Draft, named};
use super::ports::{Clock, RegistryPort, Tally};
use crate::model::document::BoxFuture;
use crate::model::ids::{EntryUuid, IdentifierRule, Oid, PatientId, RepositoryUniqueId, UniqueId};
use crate::model::metadata::{Noun, build};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::{Body, RegistryObject};
use crate::model::time::Dtm;
use crate::model::vocabulary::{DEPRECATED, association, slot};
use crate::store::{Change, DocumentLocator, Expectation, Receipt, RegistryStore, StoreError};
use crate::validate::codes::CodeSet;
use crate::validate::submission::{AssociationRole, End, Submission, judge_in};
use crate::validate::{Mode, Profile, SourceModes, Tolerated};

/// How often a submission that lost a race is judged again before the registry calls itself busy.
pub(super) const ATTEMPTS: usize = 16;

/// Places in folders that the replacements of one submission take at most.
const MOST_PLACED: usize = 10_000;
/// Octets of a MessageID by which a submission is known again.
const LONGEST_MESSAGE_ID: usize = 1024;

/// Which patients a registry accepts documents for (ITI TF-2 §3.42.4.1.3.3.2).
#[derive(Debug, Clone, Default)]
pub struct PatientPolicy {
    /// Assigning authorities with the rule for their identifiers; none listed: any.
    pub domains: Vec<(Oid, IdentifierRule)>,
    /// Whether a patient must have been named by an identity feed.
    pub reject_unknown: bool,
}

impl PatientPolicy {
    /// Whether identifiers of a domain may be told to other communities beside the one they name: those of the
    /// domains that are listed.
    pub fn is_shared(&self, domain: &Oid) -> bool {
        self.domains.iter().any(|(listed, _)| listed == domain)
    }
}

/// The registry of one community.
pub struct DocumentRegistry {
    pub(super) store: Arc<dyn RegistryStore>,
    codes: ArcSwapOption<CodeSet>,
    modes: ArcSwap<SourceModes>,
    tally: Option<Arc<dyn Tally>>,
    patients: PatientPolicy,
    /// The repository beside it, if one is.
    repository: Option<RepositoryUniqueId>,
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

/// A uniqueId names one document for ever.
pub(super) fn other_bytes(given: &DocumentLocator) -> RegistryError {
    RegistryError::new(
        ErrorCode::XDSNonIdenticalHash,
        format!(
            "{}: the repository holds another document under this uniqueId (ITI TF-2 §3.41.4.1.3.2)",
            given.unique_id
        ),
    )
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

/// A submission that the message itself does not refuse.
struct Judged<'m> {
    submission: Submission<'static>,
    /// To know it again.
    digest: [u8; 32],
    mode: Mode,
    /// The source's name for counting.
    source: &'m str,
    tolerated: Vec<Tolerated>,
}

/// One round of judging against the store: errors on one side, the change on the other.
struct Plan<'s> {
    registry: &'s DocumentRegistry,
    submission: &'s Submission<'static>,
    draft: Draft<'s>,
    /// entryUUIDs by position: the set, then entries, folders, associations.
    set: EntryUuid,
    entries: Vec<EntryUuid>,
    folders: Vec<EntryUuid>,
    associations: Vec<EntryUuid>,
    deprecated: HashSet<EntryUuid>,
    /// Folders and what this submission puts into them.
    joined: HashSet<(EntryUuid, EntryUuid)>,
    /// Entries and the folders that this submission puts them into.
    filed: HashMap<EntryUuid, Vec<EntryUuid>>,
    /// How often a replacement has joined a folder.
    placed: usize,
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
        let (codes, modes) = (ArcSwapOption::new(codes), ArcSwap::default());
        Self { store, codes, modes, tally: None, patients, repository: None, clock, limits }
    }

    /// The same, knowing the repository beside it.
    #[must_use]
    pub fn with_repository(mut self, unique_id: RepositoryUniqueId) -> Self {
        self.repository = Some(unique_id);
        self
    }

    /// The same, judging each source in its mode and counting there what was let through; without
    /// it all are judged strictly.
    #[must_use]
    pub fn with_modes(mut self, modes: SourceModes, tally: Arc<dyn Tally>) -> Self {
        self.tally = Some(tally);
        self.set_modes(modes);
        self
    }

    /// Judges sources in these modes from now on.
    pub fn set_modes(&self, modes: SourceModes) {
        self.modes.store(Arc::new(modes));
    }

    /// Judges by these codes from now on.
    pub fn set_codes(&self, codes: Option<Arc<CodeSet>>) {
        self.codes.store(codes);
    }

    /// The same for questions alone, over what one asker may see of its store.
    pub(super) fn seen_through(&self, store: Arc<dyn RegistryStore>) -> Self {
        Self::new(store, None, PatientPolicy::default(), Arc::clone(&self.clock), self.limits)
    }

    pub(super) fn shared_store(&self) -> Arc<dyn RegistryStore> {
        Arc::clone(&self.store)
    }

    pub(super) fn store(&self) -> &dyn RegistryStore {
        &*self.store
    }

    pub(super) fn codes(&self) -> Option<Arc<CodeSet>> {
        self.codes.load_full()
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) async fn judge_patient(&self, patient: &PatientId) -> Result<Option<RegistryError>, StoreError> {
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

    /// An on-demand entry names a repository that makes documents on demand, which the one beside us does not.
    ///
    /// DECISION(ITI TF-2 §3.61.4.1.2): refused, since nobody could ever retrieve it.
    pub(super) fn judge_on_demand(&self, entry: &RegistryObject<'_>) -> Option<RegistryError> {
        let ours = self.repository.as_ref().filter(|_| entry.is_on_demand())?;
        (entry.common.slot_value(slot::REPOSITORY_UNIQUE_ID) == Some(ours.as_str())).then(|| {
            RegistryError::new(
                ErrorCode::XDSRegistryMetadataError,
                format!("DocumentEntry.repositoryUniqueId {ours} is this broker's own repository, which makes no documents on demand: name the source's (ITI TF-2 §3.61.4.1.2)"),
            )
        })
    }

    /// ITI-42. `documents` become retrievable in the same commit, for a repository on our store.
    pub async fn register_document_set(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
        documents: Vec<DocumentLocator>,
    ) -> RegistryResponse {
        self.submit(context, objects, Profile::Register, &documents).await
    }

    /// ITI-61: as ITI-42, of DocumentEntries whose documents are made when they are asked for
    /// (ITI TF-2 §3.61.4.1.3).
    pub async fn register_on_demand(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> RegistryResponse {
        self.submit(context, objects, Profile::RegisterOnDemand, &[]).await
    }

    async fn submit(
        &self,
        context: &RequestContext,
        objects: Vec<RegistryObject<'static>>,
        profile: Profile,
        documents: &[DocumentLocator],
    ) -> RegistryResponse {
        let digest = digest(&objects);
        // DECISION: what is sent again is judged by the rules of now before its receipt is looked up: a
        // source that has been made strict hears so, and what is registered stays registered.
        let modes = self.modes.load_full();
        let (mode, source) = modes.of(&context.caller);
        let (submission, tolerated) = match judge_in(mode, objects, profile, self.codes().as_deref()) {
            Ok(judged) => judged,
            Err(errors) => return RegistryResponse::from_errors(errors),
        };
        let judged = Judged { submission, digest, mode, source, tolerated };
        let mut response = self.settle(|| Box::pin(self.attempt(context, &judged, documents))).await;
        if mode == Mode::Lenient {
            response.errors.extend(judged.tolerated.into_iter().map(|tolerated| tolerated.warning));
        }
        response
    }

    /// Counts and logs, once for each commit, what was let through: attributes, never their values.
    fn report(&self, context: &RequestContext, judged: &Judged<'_>) {
        let Judged { mode, source, tolerated, .. } = judged;
        if tolerated.is_empty() {
            return;
        }
        let mut attributes = BTreeSet::new();
        for Tolerated { noun, attribute, .. } in tolerated {
            attributes.insert(format!("{}.{attribute}", noun.as_str()));
            if let Some(tally) = &self.tally {
                tally.tolerated(*mode, source, *noun, attribute);
            }
        }
        let attributes = attributes.into_iter().collect::<Vec<_>>().join(", ");
        tracing::warn!(
            correlation_id = %context.correlation_id, transaction = context.transaction.number, %source,
            mode = mode.name(), %attributes,
            "accepted what a strict judge refuses"
        );
    }

    /// Repeats an attempt until no other change comes between its look and its commit.
    pub(super) async fn settle<'a>(
        &self,
        attempt: impl Fn() -> BoxFuture<'a, Result<RegistryResponse, StoreError>>,
    ) -> RegistryResponse {
        for _ in 0..ATTEMPTS {
            match attempt().await {
                Ok(response) => return response,
                Err(StoreError::Conflict) => tokio::task::yield_now().await,
                Err(error) => return RegistryResponse::from_errors(vec![store_error(&error)]),
            }
        }
        RegistryResponse::from_errors(vec![store_error(&StoreError::Conflict)])
    }

    /// The receipt to leave for a submission, or none when it has been answered already: then it
    /// is answered as the first was.
    ///
    /// DECISION: also where a document of it has been removed since (ITI-86): what is sent again under its
    /// own MessageID asks how the first fared, and brings nothing back here; a repository whose registry is
    /// elsewhere has no receipt of its own, and keeps the document again. With its SubmissionSet (ITI-62)
    /// the receipt goes.
    pub(super) async fn receipt(
        &self,
        context: &RequestContext,
        set: &RegistryObject<'_>,
        digest: [u8; 32],
    ) -> Result<Sent, StoreError> {
        let (Some(message_id), Some(set_unique_id)) =
            (&context.message_id, set.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()))
        else {
            return Ok(Sent::FirstTime(None));
        };
        // Nobody needs a longer one to tell messages apart, and it is kept for as long as the set is.
        if message_id.len() > LONGEST_MESSAGE_ID {
            return Ok(Sent::FirstTime(None));
        }
        let receipt = Receipt { set_unique_id, message_id: message_id.to_string(), digest };
        if self.store.receipt(&receipt.set_unique_id).await?.as_ref() == Some(&receipt) {
            tracing::info!(correlation_id = %context.correlation_id, "a submission sent again is answered as the first was");
            return Ok(Sent::Again);
        }
        Ok(Sent::FirstTime(Some(receipt)))
    }

    async fn attempt(
        &self,
        context: &RequestContext,
        judged: &Judged<'_>,
        documents: &[DocumentLocator],
    ) -> Result<RegistryResponse, StoreError> {
        let submission = &judged.submission;
        let Sent::FirstTime(receipt) = self.receipt(context, &submission.set, judged.digest).await? else {
            return Ok(RegistryResponse::from_errors(Vec::new()));
        };
        let draft = Draft::new(&*self.store, submission.patient.clone(), Dtm::from_timestamp(self.clock.now()));
        let mut plan = Plan::new(self, submission, draft);
        plan.judge().await?;
        let documents = plan.documents(documents).await?;
        if plan.draft.errors.is_empty() {
            plan.effects().await?;
        }
        match plan.draft.finish().await? {
            Ok(change) => {
                self.store.commit(Change { documents, receipts: receipt.into_iter().collect(), ..change }).await?;
                self.report(context, judged);
                Ok(RegistryResponse::from_errors(Vec::new()))
            }
            Err(errors) => Ok(RegistryResponse::from_errors(errors)),
        }
    }
}

/// Whether a submission has been answered before.
pub(super) enum Sent {
    /// Not yet; its receipt, if it can be known again.
    FirstTime(Option<Receipt>),
    /// Yes, with success.
    Again,
}

/// SHA-256 over a submission, to know it again.
pub(super) fn digest(objects: &[RegistryObject<'_>]) -> [u8; 32] {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for object in objects {
        hash.update(PackedObject::pack(object).as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

impl<'s> Plan<'s> {
    fn new(registry: &'s DocumentRegistry, submission: &'s Submission<'static>, draft: Draft<'s>) -> Self {
        let uuid = |object: &RegistryObject<'_>| object.uuid().unwrap_or_else(EntryUuid::random);
        Self {
            registry,
            submission,
            draft,
            set: uuid(&submission.set),
            entries: submission.entries.iter().map(uuid).collect(),
            folders: submission.folders.iter().map(uuid).collect(),
            associations: submission.associations.iter().map(|a| uuid(&a.object)).collect(),
            deprecated: HashSet::new(),
            joined: HashSet::new(),
            filed: HashMap::new(),
            placed: 0,
        }
    }

    fn error(&mut self, code: ErrorCode, context: impl Into<String>) {
        self.draft.error(code, context);
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

    /// The documents as they are to be found: one that is known keeps its media type as long as an entry that
    /// stays says the same of it; one of other bytes is refused.
    ///
    /// DECISION(ITI TF-2 §3.43.4.2.2): a uniqueId has one media type, whatever entries say. It is corrected by
    /// replacing all entries that are wrong; where all entries are Deprecated it stays.
    async fn documents(&mut self, documents: &[DocumentLocator]) -> Result<Vec<DocumentLocator>, StoreError> {
        let mut settled = Vec::with_capacity(documents.len());
        for given in documents {
            let known = self.registry.store.document(&given.unique_id).await?;
            match &known {
                Some(known) if known.content.sha256 != given.content.sha256 => {
                    self.draft.errors.push(other_bytes(given))
                }
                Some(known) if known != given && self.keeps_type(known).await? => settled.push(known.clone()),
                _ => settled.push(given.clone()),
            }
            self.draft.change.expects.push(Expectation::Document(given.unique_id.clone(), known));
        }
        Ok(settled)
    }

    /// Whether a known document keeps its media type.
    async fn keeps_type(&mut self, known: &DocumentLocator) -> Result<bool, StoreError> {
        let holders = self.registry.store.by_unique_id(&known.unique_id).await?;
        let replaced: HashSet<EntryUuid> = self
            .submission
            .associations
            .iter()
            .filter(|a| matches!(a.role, AssociationRole::Relationship(kind) if kind.replaces()))
            .filter_map(|a| self.uuid_of(a.target))
            .collect();
        let mut any_approved = false;
        for holder in &holders {
            let Some(uuid) = holder.uuid() else { continue };
            self.draft.change.expects.push(Expectation::Approved(uuid, holder.is_approved()));
            if !holder.is_approved() {
                continue;
            }
            any_approved = true;
            let object = holder.unpack()?;
            if !replaced.contains(&uuid)
                && matches!(&object.body, Body::ExtrinsicObject { mime_type: Some(mime), .. } if *mime == known.mime_type)
            {
                return Ok(true);
            }
        }
        Ok(!any_approved && !holders.is_empty())
    }

    /// The rules that need the registry: V11, V15–V19, V23–V30, V33.
    async fn judge(&mut self) -> Result<(), StoreError> {
        if let Some(error) = self.registry.judge_patient(&self.draft.patient).await? {
            self.draft.errors.push(error);
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
                        let on_demand = matches!(association.source, End::Entry(n)
                            if submission.entries.get(n).is_some_and(RegistryObject::is_on_demand));
                        let code = ErrorCode::XDSRegistryMetadataError;
                        self.draft.judge_relationship(kind, on_demand, uuid, &code).await?;
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
            self.draft.expect_new(object).await?;
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
            self.draft.change.expects.push(Expectation::Holders(unique_id, Vec::new()));
        }
        for entry in &submission.entries {
            self.draft.errors.extend(self.registry.judge_on_demand(entry));
            let Some(unique_id) = entry.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok()) else { continue };
            let holders = self.registry.store.by_unique_id(&unique_id).await?;
            let mut seen = Vec::with_capacity(holders.len());
            for packed in &holders {
                let holder = packed.unpack()?;
                seen.extend(packed.uuid());
                // An update may have corrected what a former version said of the bytes.
                if packed.is_superseded() {
                    continue;
                }
                let other = match (holder.noun(), holder.is_on_demand()) {
                    (Noun::DocumentEntry, on_demand) if on_demand == entry.is_on_demand() => None,
                    (Noun::DocumentEntry, true) => Some("an on-demand DocumentEntry"),
                    // DECISION(ITI TF-2 §3.61.4.1.3): refused, with no code stated.
                    (Noun::DocumentEntry, false) => Some("a stable DocumentEntry"),
                    _ => Some("another kind of object"),
                };
                if let Some(what) = other {
                    self.error(
                        ErrorCode::XDSRegistryMetadataError,
                        format!("DocumentEntry.uniqueId {unique_id} is already the id of {what}"),
                    );
                    continue;
                }
                let both = |name: &str| entry.common.slot_value(name).zip(holder.common.slot_value(name));
                let octets = |size: &str| size.parse::<u64>().ok();
                if both(slot::HASH).is_some_and(|(ours, theirs)| !ours.eq_ignore_ascii_case(theirs)) {
                    self.error(ErrorCode::XDSNonIdenticalHash, format!("{unique_id}: a document with this uniqueId and another hash is registered (ITI TF-2 §3.42.4.1.3.3.1)"));
                } else if both(slot::SIZE).is_some_and(|(ours, theirs)| octets(ours) != octets(theirs)) {
                    self.error(ErrorCode::XDSNonIdenticalSize, format!("{unique_id}: a document with this uniqueId and another size is registered (ITI TF-2 §3.42.4.1.3.3.1)"));
                }
            }
            self.draft.change.expects.push(Expectation::Holders(unique_id, seen));
        }
        Ok(())
    }

    /// An object of the registry that an association points at: it exists, is what it should be,
    /// is Approved, and is about the same patient where that matters.
    async fn judge_target(&mut self, uuid: EntryUuid, noun: Noun, same_patient: bool) -> Result<bool, StoreError> {
        let before = self.draft.errors.len();
        let Some(packed) = self.draft.load(uuid).await? else {
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
            if theirs.as_ref() != Some(&self.draft.patient) {
                self.error(
                    ErrorCode::XDSPatientIdDoesNotMatch,
                    format!(
                        "{}: its patientId is not that of the submission, {}",
                        named(noun, uuid),
                        self.draft.patient.to_cx()
                    ),
                );
            }
        }
        self.draft.change.expects.push(Expectation::Approved(uuid, true));
        Ok(self.draft.errors.len() == before)
    }

    /// What an accepted submission does to the registry (ITI TF-2 §3.42.4.1.3.5, TF-3 §4.2.3.4.6).
    async fn effects(&mut self) -> Result<(), StoreError> {
        let submission = self.submission;
        // New objects, in the order of the message: set, entries, folders, associations.
        self.draft.put_new(submission.set.clone(), self.set);
        for (entry, uuid) in submission.entries.iter().zip(self.entries.clone()) {
            self.draft.put_new(entry.clone(), uuid);
        }
        for (folder, uuid) in submission.folders.iter().zip(self.folders.clone()) {
            let mut folder = folder.clone();
            folder.common.set_slot(slot::LAST_UPDATE_TIME, self.draft.now.as_str().to_owned());
            self.draft.put_new(folder, uuid);
        }
        for (submitted, uuid) in submission.associations.iter().zip(self.associations.clone()) {
            let mut object = submitted.object.clone();
            if let (Body::Association { source, target, .. }, Some(from), Some(to)) =
                (&mut object.body, self.uuid_of(submitted.source), self.uuid_of(submitted.target))
            {
                (*source, *target) = (from.into(), to.into());
            }
            self.draft.put_new(object, uuid);
            if submitted.role == AssociationRole::FolderEntry
                && let (Some(folder), Some(entry)) = (self.uuid_of(submitted.source), self.uuid_of(submitted.target))
            {
                if submitted.source == End::Registry(folder) {
                    self.draft.touch(folder);
                }
                if self.joined.insert((folder, entry)) {
                    self.filed.entry(entry).or_default().push(folder);
                }
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
        Ok(())
    }

    /// Deprecates a replaced entry with its transforms and addenda, recursively (DECISION: a
    /// child's own addenda would dangle), and puts the replacement into its folders, also where
    /// another replacement of the submission has deprecated it already.
    async fn replace(&mut self, target: EntryUuid, replacement: EntryUuid) -> Result<(), StoreError> {
        for packed in self.draft.associations_of(target).await? {
            let association = packed.unpack()?;
            if let Body::Association { kind, .. } = &association.body
                && kind == association::HAS_MEMBER
                && packed.is_approved()
                && let Some((from, to)) = association.ends()
                && to == target
            {
                self.join_folder(from, replacement).await?;
            }
        }
        // And into those that this submission has just put the replaced entry into.
        for folder in self.filed.get(&target).cloned().unwrap_or_default() {
            self.join_folder(folder, replacement).await?;
        }
        let mut open = vec![target];
        while let Some(uuid) = open.pop() {
            let Some(packed) = self.draft.load(uuid).await? else { continue };
            if !self.deprecated.insert(uuid) {
                continue;
            }
            let associations = self.draft.associations_of(uuid).await?;
            if packed.is_approved() {
                self.draft.modify(uuid, |object| object.common.status = Some(DEPRECATED.into())).await?;
            }
            for packed in &associations {
                let association = packed.unpack()?;
                let Body::Association { kind, source, target: to } = &association.body else { continue };
                let (Some(from), Some(to)) = (source.uuid(), to.uuid()) else { continue };
                if !packed.is_approved() || to != uuid {
                    continue;
                }
                if (kind == association::XFRM || kind == association::APND)
                    && let Some(child) = self.draft.load(from).await?
                {
                    self.draft.expect_unchanged(from, &child);
                    if child.is_approved() {
                        open.push(from);
                    }
                }
            }
        }
        Ok(())
    }

    /// RPLC's fourth effect: the replacement joins the folders of the replaced entry.
    async fn join_folder(&mut self, holder: EntryUuid, replacement: EntryUuid) -> Result<(), StoreError> {
        if !self.joined.insert((holder, replacement)) {
            return Ok(());
        }
        let Some(packed) = self.draft.load(holder).await? else { return Ok(()) };
        let folder = packed.unpack()?;
        if folder.noun() != Noun::Folder || !packed.is_approved() {
            return Ok(());
        }
        self.placed += 1;
        if self.placed > MOST_PLACED {
            if self.placed == MOST_PLACED + 1 {
                self.error(
                    ErrorCode::XDSRegistryOutOfResources,
                    format!("the replacements would join more than {MOST_PLACED} folders: submit them one by one"),
                );
            }
            return Ok(());
        }
        let theirs = folder.patient_id().and_then(|id| PatientId::parse(id.trim()).ok());
        if theirs.as_ref() != Some(&self.draft.patient) {
            self.error(
                ErrorCode::XDSPatientIdDoesNotMatch,
                format!(
                    "{}: it holds the replaced document, but its patientId is not that of the submission, {}",
                    named(Noun::Folder, holder),
                    self.draft.patient.to_cx()
                ),
            );
            return Ok(());
        }
        let (member, membership) = (EntryUuid::random(), EntryUuid::random());
        let (has_member, set) = (association::HAS_MEMBER, self.set);
        self.draft.put_new(build::association(member.into(), has_member, holder.into(), replacement.into()), member);
        self.draft.put_new(build::association(membership.into(), has_member, set.into(), member.into()), membership);
        self.draft.touch(holder);
        Ok(())
    }
}

/// The registry in this process, for the repository beside it.
impl RegistryPort for DocumentRegistry {
    fn precheck<'a>(
        &'a self,
        context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
    ) -> BoxFuture<'a, Vec<RegistryError>> {
        Box::pin(async move {
            let modes = self.modes.load_full();
            let (mode, _) = modes.of(&context.caller);
            // Only what the message itself says: the rest is judged once, at the commit.
            match judge_in(mode, objects, Profile::Register, self.codes().as_deref()) {
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
