//! Updates of metadata: ITI-57 and ITI-92 as messages (Metadata Update §3.57.4.1.3, Restricted
//! Metadata Update §3.92.4.1.3).
//!
//! [`judge`] reads which operations a message asks for and runs all rules that the message itself
//! decides. What versions there are, and what they look like, is the registry's to compare.
//!
//! DECISION: an update is judged strictly in every mode ([`super::Mode`]): who repairs metadata that was
//! let through repairs all of it.
//!
//! DECISION: the supplements' code for one fault differs between implementers; ours are those of
//! the public test kit where it has one, each behind a method of [`UpdateKind`].

use std::collections::{HashMap, HashSet};

use super::codes::CodeSet;
use super::submission::{Message, RelationshipType, judge_documentation};
use super::{Findings, Named, Profile, Shown, metadata, trim};
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, ObjectId, RegistryObject};
use crate::model::vocabulary::{APPROVED, DEPRECATED, association, slot};

/// Which update it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateKind {
    /// ITI-57: DocumentEntries, Folders, associations, statuses.
    Full,
    /// ITI-92: DocumentEntries, and not all of their attributes.
    Restricted,
}

impl UpdateKind {
    /// The code of a malformed annotation: SubmissionSetStatus, PreviousVersion, AssociationPropagation.
    fn annotation(self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::XDSMetadataUpdateOperationError,
            Self::Restricted => ErrorCode::XDSMetadataAnnotationError,
        }
    }

    /// The code of a new version that no HasMember announces.
    fn unannounced(self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::XDSMetadataUpdateError,
            Self::Restricted => ErrorCode::XDSMetadataAnnotationError,
        }
    }

    /// The code of something that is no new version of something.
    fn no_update(self) -> ErrorCode {
        match self {
            Self::Full => ErrorCode::XDSMetadataUpdateError,
            Self::Restricted => ErrorCode::XDSInvalidRequestException,
        }
    }
}

/// A message of ITI-57 or 92 that keeps all rules that the message itself decides.
#[derive(Debug)]
pub struct Update {
    /// Its SubmissionSet.
    pub set: RegistryObject<'static>,
    /// The patient of everything in it.
    pub patient: PatientId,
    /// T1, T3: new versions.
    pub versions: Vec<NewVersion>,
    /// T6: associations between what is there.
    pub associations: Vec<NewAssociation>,
    /// T2, T4, T5: changes of status; carried out last.
    pub statuses: Vec<StatusChange>,
}

/// Something that an operation names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A new version of this message, by its place in [`Update::versions`].
    Version(usize),
    /// A new association of this message, by its place in [`Update::associations`].
    Association(usize),
    /// An object of the registry.
    Registry(EntryUuid),
}

/// A new version of a DocumentEntry or Folder.
#[derive(Debug)]
pub struct NewVersion {
    /// All of it, not what differs.
    pub object: RegistryObject<'static>,
    /// The HasMember that announces it.
    pub member: RegistryObject<'static>,
    /// Whose version it is; a restricted update may leave it to the uniqueId.
    pub lid: Option<EntryUuid>,
    /// The version that it supersedes.
    pub previous: u32,
    /// Whether it takes over the associations of that.
    pub propagate: bool,
}

/// An association between objects that are there.
#[derive(Debug)]
pub struct NewAssociation {
    /// The association.
    pub object: RegistryObject<'static>,
    /// Where it starts.
    pub source: Target,
    /// Where it points.
    pub target: Target,
}

/// A change of status.
#[derive(Debug)]
pub struct StatusChange {
    /// Whose.
    pub target: Target,
    /// Whether it is Approved until then.
    pub was_approved: bool,
}

/// Judges a whole message.
///
/// # Errors
/// All findings, when there is any.
pub fn judge(
    mut objects: Vec<RegistryObject<'static>>,
    kind: UpdateKind,
    codes: Option<&CodeSet>,
) -> Result<Update, Vec<RegistryError>> {
    objects.retain(|object| object.body != Body::ObjectRef);
    let mut findings = Findings::new();
    let message = Message::new(&objects);
    message.judge_ids(&mut findings);
    message.judge_unique_ids(&mut findings);
    let patient = message.judge_patients(&mut findings);
    let Some(set) = judge_set(&objects, &message, &mut findings) else { return Err(findings.into_errors()) };
    let reading = Reading { objects: &objects, message, kind, set };
    for object in &objects {
        if reading.is_operation(object) {
            reading.judge_member(object, codes, &mut findings);
            continue;
        }
        let profile = if object.is_on_demand() { Profile::RegisterOnDemand } else { Profile::Register };
        if matches!(object.noun(), Noun::DocumentEntry | Noun::Folder) {
            metadata::judge_any_version(object, profile, codes, &mut findings);
        } else {
            metadata::judge(object, profile, codes, &mut findings);
        }
    }
    let plan = reading.judge_operations(&mut findings);
    if !findings.is_empty() {
        return Err(findings.into_errors());
    }
    plan.carry(objects, set, patient).ok_or_else(|| {
        vec![RegistryError::new(kind.no_update(), "a SubmissionSet with its patientId is required (ITI TF-3 §4.1.4)")]
    })
}

/// The one SubmissionSet; objects that are nothing are named.
fn judge_set(objects: &[RegistryObject<'_>], message: &Message<'_, '_>, findings: &mut Findings) -> Option<usize> {
    for object in message.of(Noun::Other) {
        findings.metadata(format_args!(
            "{}: a RegistryPackage is classified as a SubmissionSet or as a Folder, and not as both (ITI TF-3 §4.2.1.2)",
            Named(object)
        ));
    }
    let mut sets = objects.iter().enumerate().filter(|(_, object)| object.noun() == Noun::SubmissionSet);
    match (sets.next(), sets.next()) {
        (Some((at, _)), None) => Some(at),
        _ => {
            findings.add(
                ErrorCode::XDSMetadataUpdateError,
                format_args!("exactly one SubmissionSet is required (Metadata Update §3.57.4.1.3.1)"),
            );
            None
        }
    }
}

/// The message while it is read; positions are those of its objects.
struct Reading<'o> {
    objects: &'o [RegistryObject<'static>],
    message: Message<'o, 'static>,
    kind: UpdateKind,
    set: usize,
}

/// The operations by positions in the message.
#[derive(Default)]
struct Plan {
    versions: Vec<PlannedVersion>,
    associations: Vec<(usize, Target, Target)>,
    statuses: Vec<StatusChange>,
}

struct PlannedVersion {
    object: usize,
    member: usize,
    lid: Option<EntryUuid>,
    previous: u32,
    propagate: bool,
}

impl Reading<'_> {
    /// Whether an association says what is to be done, and is not itself something to keep.
    fn is_operation(&self, object: &RegistryObject<'static>) -> bool {
        match &object.body {
            Body::Association { kind, source, .. } => {
                kind == association::UPDATE_STATUS
                    || kind == association::SUBMIT_ASSOCIATION
                    || (kind == association::HAS_MEMBER && self.at(source) == Some(self.set))
            }
            _ => false,
        }
    }

    /// The HasMember that announces a new version is kept as any other; its slots have rules of their own.
    fn judge_member(&self, object: &RegistryObject<'static>, codes: Option<&CodeSet>, findings: &mut Findings) {
        if !matches!(&object.body, Body::Association { kind, .. } if kind == association::HAS_MEMBER) {
            return;
        }
        let mut bare = object.clone();
        bare.common.slots.clear();
        metadata::judge(&bare, Profile::Register, codes, findings);
        judge_documentation(object, findings);
    }

    /// Where in the message an id leads.
    fn at(&self, id: &ObjectId<'static>) -> Option<usize> {
        self.message.by_id.get(id).copied()
    }

    fn judge_operations(&self, findings: &mut Findings) -> Plan {
        let mut plan = Plan::default();
        // The position of a new object in the message → what it is in the plan.
        let mut targets = HashMap::new();
        for (at, object) in self.objects.iter().enumerate() {
            if let Body::Association { kind, source, target } = &object.body
                && kind == association::HAS_MEMBER
                && self.at(source) == Some(self.set)
            {
                match self.at(target).filter(|at| self.is_version(*at)) {
                    Some(version) => {
                        if targets.insert(version, Target::Version(plan.versions.len())).is_some() {
                            findings.add(
                                self.kind.annotation(),
                                format_args!("{}: its target is announced twice (Metadata Update §3.57.4.1.3.1)", Named(object)),
                            );
                        }
                        if let Some(planned) = self.judge_version(version, at, findings) {
                            plan.versions.push(planned);
                        }
                    }
                    None => findings.add(
                        self.kind.annotation(),
                        format_args!(
                            "{}: a HasMember of the SubmissionSet announces a new version of this message (Metadata Update §3.57.4.1.3.3)",
                            Named(object)
                        ),
                    ),
                }
            }
        }
        for (at, object) in self.objects.iter().enumerate().filter(|(at, _)| self.is_version(*at)) {
            if !targets.contains_key(&at) {
                findings.add(
                    self.kind.unannounced(),
                    format_args!(
                        "{}: no HasMember of the SubmissionSet announces it with its PreviousVersion (Metadata Update §3.57.4.1.3.3)",
                        Named(object)
                    ),
                );
            }
        }
        self.judge_logical_ids(findings);
        self.judge_associations(&mut targets, &mut plan, findings);
        self.judge_statuses(&targets, &mut plan, findings);
        if plan.versions.is_empty() && plan.associations.is_empty() && plan.statuses.is_empty() && findings.is_empty() {
            findings.add(
                self.kind.no_update(),
                format_args!("the message asks for no update (Metadata Update §3.57.4.1.3)"),
            );
        }
        plan
    }

    /// One object is updated once (Metadata Update §3.57.4.1.3.1).
    fn judge_logical_ids(&self, findings: &mut Findings) {
        let mut seen = HashSet::new();
        for object in self.objects.iter().filter(|object| object.noun() != Noun::Association) {
            if let Some(lid) = &object.common.lid
                && !seen.insert(lid)
            {
                findings.add(
                    ErrorCode::XDSMetadataUpdateOperationError,
                    format_args!(
                        "{}: another object of the message has its logicalID: one update for one object (Metadata Update §3.57.4.1.3.1)",
                        Named(object)
                    ),
                );
            }
        }
    }

    fn is_version(&self, at: usize) -> bool {
        self.objects.get(at).is_some_and(|object| matches!(object.noun(), Noun::DocumentEntry | Noun::Folder))
    }

    /// T1, T3: a new version and the HasMember that announces it.
    fn judge_version(&self, at: usize, member_at: usize, findings: &mut Findings) -> Option<PlannedVersion> {
        let (object, member) = (self.objects.get(at)?, self.objects.get(member_at)?);
        if self.kind == UpdateKind::Restricted && object.noun() != Noun::DocumentEntry {
            findings.add(
                ErrorCode::XDSObjectTypeError,
                format_args!(
                    "{}: only DocumentEntries are updated here (Restricted Metadata Update §3.92.4.1.2)",
                    Named(object)
                ),
            );
            return None;
        }
        let mut annotation = |what: &str| {
            findings
                .add(self.kind.annotation(), format_args!("{}: {what} (Metadata Update §3.57.4.1.3.3)", Named(member)));
        };
        let mut one = |name: &str| {
            let mut values = member.common.slot_values(name).map(trim);
            let value = values.next();
            if values.next().is_some() {
                annotation(&format!("{name} has one value"));
            }
            value
        };
        let status = one(slot::SUBMISSION_SET_STATUS);
        let previous = one(slot::PREVIOUS_VERSION);
        let propagation = one(slot::ASSOCIATION_PROPAGATION);
        // DECISION(Metadata Update §3.57.4.1.3.3.3): a Folder's HasMember needs none, as in a
        // submission (ITI TF-3 §4.2.2.1.2).
        let needed = object.noun() == Noun::DocumentEntry || status.is_some();
        if needed && status != Some("Original") {
            annotation("SubmissionSetStatus is required, and is Original");
        }
        let previous =
            previous.filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok());
        if previous.is_none() {
            annotation("PreviousVersion is required: the number of the version that is superseded");
        }
        let propagate = match (propagation, self.kind) {
            (None | Some("yes"), _) => true,
            (Some("no"), UpdateKind::Full) => false,
            (Some("no"), UpdateKind::Restricted) => {
                annotation("AssociationPropagation is yes here");
                true
            }
            _ => {
                annotation("AssociationPropagation is yes or no");
                true
            }
        };
        for slot in &member.common.slots {
            let known = [slot::SUBMISSION_SET_STATUS, slot::PREVIOUS_VERSION, slot::ASSOCIATION_PROPAGATION];
            if !known.contains(&slot.name.as_ref()) {
                annotation(&format!("slot {} does not belong to this operation", Shown(&slot.name)));
            }
        }
        let lid = self.judge_lid(object, findings);
        Some(PlannedVersion { object: at, member: member_at, lid, previous: previous?, propagate })
    }

    /// The logicalID is that of an object in the registry: a UUID, and not the new version's id.
    fn judge_lid(&self, object: &RegistryObject<'_>, findings: &mut Findings) -> Option<EntryUuid> {
        let mut fault = |what: &str| {
            findings
                .add(self.kind.no_update(), format_args!("{}: {what} (Metadata Update §3.57.4.1.3.3)", Named(object)));
        };
        match &object.common.lid {
            None if self.kind == UpdateKind::Restricted => None,
            None => {
                fault("logicalID (lid) is required: it says of what it is a version");
                None
            }
            Some(lid) if Some(lid) == object.common.id.as_ref() => {
                fault("logicalID (lid) is not its own id: a first version is submitted by ITI-42");
                None
            }
            Some(ObjectId::Uuid(lid)) => Some(*lid),
            Some(ObjectId::Symbol(_)) => {
                fault("logicalID (lid) is the UUID of an object in the registry");
                None
            }
        }
    }

    /// T6: SubmitAssociation and what it submits.
    fn judge_associations(&self, targets: &mut HashMap<usize, Target>, plan: &mut Plan, findings: &mut Findings) {
        let mut submitted = HashSet::new();
        for object in self.objects {
            let Body::Association { kind, source, target } = &object.body else { continue };
            if kind != association::SUBMIT_ASSOCIATION {
                continue;
            }
            if self.refuse_in_restricted(object, findings) {
                continue;
            }
            let new = self.at(target).filter(|at| {
                self.objects.get(*at).is_some_and(|new| new.noun() == Noun::Association && !self.is_operation(new))
            });
            match new {
                Some(new) if self.at(source) == Some(self.set) => {
                    submitted.insert(new);
                }
                _ => findings.add(
                    ErrorCode::XDSMetadataUpdateError,
                    format_args!(
                        "{}: SubmitAssociation leads from the SubmissionSet to an association of this message (Metadata Update §3.57.4.1.3.3.6)",
                        Named(object)
                    ),
                ),
            }
        }
        for (at, object) in self.objects.iter().enumerate() {
            let Body::Association { kind, source, target } = &object.body else { continue };
            if self.is_operation(object) {
                continue;
            }
            if kind != association::HAS_MEMBER && RelationshipType::from_urn(kind).is_none() {
                findings.metadata(format_args!(
                    "{}: associationType {} is not one of this transaction (ITI TF-3 Table 4.2.2-1)",
                    Named(object),
                    Shown(kind)
                ));
                continue;
            }
            if kind == association::HAS_MEMBER {
                judge_documentation(object, findings);
            }
            if source == target {
                findings.add(
                    ErrorCode::XDSMetadataUpdateError,
                    format_args!("{}: sourceObject and targetObject are the same (ITI TF-3 §4.2.2)", Named(object)),
                );
                continue;
            }
            if !submitted.contains(&at) {
                if !self.refuse_in_restricted(object, findings) {
                    findings.add(
                        ErrorCode::XDSMetadataUpdateError,
                        format_args!(
                            "{}: no SubmitAssociation names it (Metadata Update §3.57.4.1.3.3.6)",
                            Named(object)
                        ),
                    );
                }
                continue;
            }
            let ends =
                (self.end(object, source, targets, plan, findings), self.end(object, target, targets, plan, findings));
            if let (Some(source), Some(target)) = ends {
                targets.insert(at, Target::Association(plan.associations.len()));
                plan.associations.push((at, source, target));
            }
        }
    }

    /// An end of a new association: in the registry, or a new version that takes nothing over.
    fn end(
        &self,
        object: &RegistryObject<'_>,
        id: &ObjectId<'static>,
        targets: &HashMap<usize, Target>,
        plan: &Plan,
        findings: &mut Findings,
    ) -> Option<Target> {
        match (self.at(id).map(|at| targets.get(&at)), id.uuid()) {
            (Some(Some(Target::Version(n))), _) => {
                // Else the same association may come to it twice (CP-ITI-1029).
                if plan.versions.get(*n).is_some_and(|version| version.propagate) {
                    findings.add(
                        ErrorCode::XDSMetadataUpdateOperationError,
                        format_args!(
                            "{}: it ties itself to a new version that takes over associations; set AssociationPropagation to no (Metadata Update §3.57.4.1.3.3.6)",
                            Named(object)
                        ),
                    );
                    return None;
                }
                Some(Target::Version(*n))
            }
            (None, Some(uuid)) => Some(Target::Registry(uuid)),
            _ => {
                findings.add(
                    ErrorCode::XDSMetadataUpdateError,
                    format_args!(
                        "{}: both its ends are objects in the registry, or new versions of this message (Metadata Update §3.57.4.1.3.3.6)",
                        Named(object)
                    ),
                );
                None
            }
        }
    }

    /// T2, T4, T5: UpdateAvailabilityStatus.
    fn judge_statuses(&self, targets: &HashMap<usize, Target>, plan: &mut Plan, findings: &mut Findings) {
        let mut seen = HashSet::new();
        for object in self.objects {
            let Body::Association { kind, source, target } = &object.body else { continue };
            if kind != association::UPDATE_STATUS || self.refuse_in_restricted(object, findings) {
                continue;
            }
            let section = "Metadata Update §3.57.4.1.3.3.2";
            if self.at(source) != Some(self.set) {
                findings.add(
                    ErrorCode::XDSMetadataUpdateError,
                    format_args!("{}: its sourceObject is the SubmissionSet ({section})", Named(object)),
                );
            }
            let was_approved = judge_status_slots(object, findings);
            let target = match self.at(target) {
                Some(at) => targets.get(&at).copied(),
                None => target.uuid().map(Target::Registry),
            };
            let Some(target) = target else {
                findings.add(
                    ErrorCode::XDSMetadataUpdateError,
                    format_args!(
                        "{}: its targetObject is an object in the registry, or something new of this message ({section})",
                        Named(object)
                    ),
                );
                continue;
            };
            if !seen.insert(target) {
                findings.add(
                    ErrorCode::XDSMetadataUpdateOperationError,
                    format_args!("{}: another operation changes the status of its target ({section})", Named(object)),
                );
            }
            if let Some(was_approved) = was_approved {
                plan.statuses.push(StatusChange { target, was_approved });
            }
        }
    }

    /// A restricted update is of new versions only.
    fn refuse_in_restricted(&self, object: &RegistryObject<'_>, findings: &mut Findings) -> bool {
        if self.kind == UpdateKind::Restricted {
            findings.add(
                ErrorCode::UnmodifiableMetadataError,
                format_args!(
                    "{}: statuses and associations are not changed here (Restricted Metadata Update §3.92.4.1.2)",
                    Named(object)
                ),
            );
        }
        self.kind == UpdateKind::Restricted
    }
}

/// OriginalStatus and NewStatus: two different statuses, nothing else.
fn judge_status_slots(object: &RegistryObject<'_>, findings: &mut Findings) -> Option<bool> {
    let one = |name: &str| {
        let mut values = object.common.slot_values(name).map(trim);
        match (values.next(), values.next()) {
            (Some(APPROVED), None) => Some(true),
            (Some(DEPRECATED), None) => Some(false),
            _ => None,
        }
    };
    let statuses = one(slot::ORIGINAL_STATUS).zip(one(slot::NEW_STATUS));
    let strange = |name: &str| name != slot::ORIGINAL_STATUS && name != slot::NEW_STATUS;
    let good = statuses.filter(|(was, is)| was != is && !object.common.slots.iter().any(|slot| strange(&slot.name)));
    if good.is_none() {
        findings.add(
            ErrorCode::XDSMetadataUpdateOperationError,
            format_args!(
                "{}: it has OriginalStatus and NewStatus, one Approved and the other Deprecated, and no other slot (Metadata Update §3.57.4.1.3.3.2)",
                Named(object)
            ),
        );
    }
    good.map(|(was, _)| was)
}

impl Plan {
    /// Moves the objects out of the message to where the operations want them.
    fn carry(self, objects: Vec<RegistryObject<'static>>, set: usize, patient: Option<PatientId>) -> Option<Update> {
        let mut objects: Vec<Option<RegistryObject<'static>>> = objects.into_iter().map(Some).collect();
        let mut take = |at: usize| objects.get_mut(at).and_then(Option::take);
        let versions = self.versions.into_iter().map(|planned| {
            Some(NewVersion {
                object: take(planned.object)?,
                member: take(planned.member)?,
                lid: planned.lid,
                previous: planned.previous,
                propagate: planned.propagate,
            })
        });
        let versions = versions.collect::<Option<Vec<_>>>()?;
        let associations = self
            .associations
            .into_iter()
            .map(|(at, source, target)| Some(NewAssociation { object: take(at)?, source, target }))
            .collect::<Option<Vec<_>>>()?;
        Some(Update { set: take(set)?, patient: patient?, versions, associations, statuses: self.statuses })
    }
}
