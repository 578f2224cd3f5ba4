//! A Submission Request as a whole: one SubmissionSet, what it holds, and how it hangs together
//! (ITI TF-3 §4.2.1.5, §4.2.2).
//!
//! [`judge`] runs all rules that the message itself decides, of structure and of metadata, and
//! gives back either everything that is wrong or a typed [`Submission`].

use std::collections::{HashMap, HashSet};

use super::codes::CodeSet;
use super::metadata;
use super::{Findings, Mode, Named, Profile, Shown, Tolerated, trim};
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, RegistryError};
use crate::model::rim::{Body, ObjectId, RegistryObject};
use crate::model::vocabulary::{association, scheme, slot};

/// A document relationship (ITI TF-3 Table 4.2.2-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelationshipType {
    /// RPLC
    Replace,
    /// XFRM
    Transform,
    /// APND
    Append,
    /// XFRM_RPLC
    TransformReplace,
    /// signs
    Signs,
    /// IsSnapshotOf
    IsSnapshotOf,
}

impl RelationshipType {
    /// All of them, in the standard's order.
    pub const ALL: [Self; 6] =
        [Self::Replace, Self::Transform, Self::Append, Self::TransformReplace, Self::Signs, Self::IsSnapshotOf];

    /// The associationType.
    pub fn urn(self) -> &'static str {
        match self {
            Self::Replace => association::RPLC,
            Self::Transform => association::XFRM,
            Self::Append => association::APND,
            Self::TransformReplace => association::XFRM_RPLC,
            Self::Signs => association::SIGNS,
            Self::IsSnapshotOf => association::IS_SNAPSHOT_OF,
        }
    }

    /// Reads an associationType.
    pub fn from_urn(urn: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.urn() == urn)
    }

    /// Whether it deprecates its target (ITI TF-2 §3.42.4.1.3.5).
    pub fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::TransformReplace)
    }

    /// Whether its target may be in the same submission (ITI TF-2 §3.42.4.1.3.5).
    pub fn target_may_be_new(self) -> bool {
        matches!(self, Self::Transform | Self::Append | Self::Signs)
    }
}

/// What an association says (ITI TF-3 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssociationRole {
    /// SS-DE HasMember, Original: a new DocumentEntry.
    SetEntryOriginal,
    /// SS-DE HasMember, Reference: a DocumentEntry of the registry.
    SetEntryReference,
    /// SS-FD HasMember: a new Folder.
    SetFolder,
    /// SS-HM HasMember: a FolderEntry of this submission.
    SetMembership,
    /// FD-DE HasMember.
    FolderEntry,
    /// Between two documents.
    Relationship(RelationshipType),
}

/// An end of an association, resolved as far as the message goes; indices are those of
/// [`Submission`]'s lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The SubmissionSet.
    Set,
    /// A DocumentEntry of this submission.
    Entry(usize),
    /// A Folder of this submission.
    Folder(usize),
    /// An Association of this submission.
    Association(usize),
    /// Something that must be in the registry.
    Registry(EntryUuid),
}

/// An association with its meaning.
#[derive(Debug, Clone)]
pub struct SubmittedAssociation<'a> {
    /// As it was sent.
    pub object: RegistryObject<'a>,
    /// What it says.
    pub role: AssociationRole,
    /// Where it starts.
    pub source: End,
    /// Where it points.
    pub target: End,
}

/// A Submission Request that keeps all rules that the message itself decides.
#[derive(Debug, Clone)]
pub struct Submission<'a> {
    /// The SubmissionSet.
    pub set: RegistryObject<'a>,
    /// The new DocumentEntries, as they were sent.
    pub entries: Vec<RegistryObject<'a>>,
    /// The new Folders.
    pub folders: Vec<RegistryObject<'a>>,
    /// The associations.
    pub associations: Vec<SubmittedAssociation<'a>>,
    /// The one patient of it all.
    pub patient: PatientId,
}

impl Submission<'_> {
    /// The associations of that role.
    pub fn by_role(&self, role: AssociationRole) -> impl Iterator<Item = &SubmittedAssociation<'_>> {
        self.associations.iter().filter(move |association| association.role == role)
    }
}

/// Judges a whole message: structure, metadata and codes together.
///
/// ObjectRefs in the message are informational and dropped (ITI TF-3 §4.2.1.5).
///
/// # Errors
/// All findings, when there is any.
pub fn judge<'a>(
    objects: Vec<RegistryObject<'a>>,
    profile: Profile,
    codes: Option<&CodeSet>,
) -> Result<Submission<'a>, Vec<RegistryError>> {
    judge_in(Mode::Strict, objects, profile, codes).map(|(submission, _)| submission)
}

/// The same in a mode, with what it let through.
///
/// # Errors
/// All findings, when there is any that the mode does not let through; in [`Mode::Lenient`] with
/// the others as warnings.
pub fn judge_in<'a>(
    mode: Mode,
    mut objects: Vec<RegistryObject<'a>>,
    profile: Profile,
    codes: Option<&CodeSet>,
) -> Result<(Submission<'a>, Vec<Tolerated>), Vec<RegistryError>> {
    objects.retain(|object| object.body != Body::ObjectRef);
    let mut findings = Findings::in_mode(mode);
    for object in &objects {
        metadata::judge(object, profile, codes, &mut findings);
    }
    let message = Message::new(&objects);
    message.judge_ids(&mut findings);
    message.judge_content(profile, &mut findings);
    message.judge_unique_ids(&mut findings);
    let patient = message.judge_patients(&mut findings);
    let roles = message.judge_associations(&mut findings);
    message.judge_membership(&roles, &mut findings);
    if !findings.is_empty() {
        return Err(findings.into_errors());
    }
    let tolerated = findings.tolerated;
    let roles: Vec<_> = roles.into_iter().flatten().collect();
    sort(objects, roles, patient).map(|submission| (submission, tolerated)).ok_or_else(|| {
        let rule = "exactly one SubmissionSet with its patientId is required (ITI TF-3 §4.1.4)";
        vec![RegistryError::new(ErrorCode::XDSRegistryMetadataError, rule)]
    })
}

/// A role with the ends of its association, as indices of the message.
#[derive(Debug, Clone, Copy)]
struct Role {
    at: usize,
    role: AssociationRole,
    source: Found,
    target: Found,
}

/// Where an id leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Found {
    Message(usize),
    Registry(EntryUuid),
}

/// Gives each object its place, and each end of an association its index there.
fn sort(objects: Vec<RegistryObject<'_>>, roles: Vec<Role>, patient: Option<PatientId>) -> Option<Submission<'_>> {
    let mut places: Vec<End> = Vec::with_capacity(objects.len());
    let (mut entries, mut folders, mut associations, mut set) = (Vec::new(), Vec::new(), Vec::new(), None);
    for object in objects {
        places.push(match object.noun() {
            Noun::DocumentEntry => {
                entries.push(object);
                End::Entry(entries.len() - 1)
            }
            Noun::Folder => {
                folders.push(object);
                End::Folder(folders.len() - 1)
            }
            Noun::Association => {
                associations.push(object);
                End::Association(associations.len() - 1)
            }
            Noun::SubmissionSet | Noun::Other => {
                set = Some(object);
                End::Set
            }
        });
    }
    let end = |found| match found {
        Found::Message(at) => places.get(at).copied(),
        Found::Registry(uuid) => Some(End::Registry(uuid)),
    };
    // Roles come in the order of the associations, one for each.
    let associations = associations
        .into_iter()
        .zip(roles)
        .map(|(object, role)| {
            Some(SubmittedAssociation { object, role: role.role, source: end(role.source)?, target: end(role.target)? })
        })
        .collect::<Option<_>>()?;
    Some(Submission { set: set?, entries, folders, associations, patient: patient? })
}

/// The message's objects with what several rules need to know of them.
pub(super) struct Message<'o, 'a> {
    objects: &'o [RegistryObject<'a>],
    nouns: Vec<Noun>,
    pub(super) by_id: HashMap<&'o ObjectId<'a>, usize>,
}

impl<'o, 'a> Message<'o, 'a> {
    pub(super) fn new(objects: &'o [RegistryObject<'a>]) -> Self {
        let mut by_id = HashMap::with_capacity(objects.len());
        for (at, object) in objects.iter().enumerate() {
            if let Some(id) = &object.common.id {
                by_id.entry(id).or_insert(at);
            }
        }
        Self { objects, nouns: objects.iter().map(RegistryObject::noun).collect(), by_id }
    }

    pub(super) fn of(&self, noun: Noun) -> impl Iterator<Item = &'o RegistryObject<'a>> {
        self.objects.iter().zip(&self.nouns).filter(move |(_, n)| **n == noun).map(|(object, _)| object)
    }

    fn noun(&self, found: Found) -> Option<Noun> {
        match found {
            Found::Message(at) => self.nouns.get(at).copied(),
            Found::Registry(_) => None,
        }
    }

    /// Ids of objects are unique in the message (ITI TF-3 §4.2.3.1.5).
    ///
    /// DECISION: ids of classifications and external identifiers are not compared. Nothing refers
    /// to them, and they are derived anew from their object's.
    pub(super) fn judge_ids(&self, findings: &mut Findings) {
        for (at, object) in self.objects.iter().enumerate() {
            if let Some(id) = &object.common.id
                && self.by_id.get(id).is_some_and(|first| *first != at)
            {
                findings.metadata(format_args!(
                    "{}: its id is used twice in the message (ITI TF-3 §4.2.3.1.5)",
                    Named(object)
                ));
            }
        }
    }

    /// One SubmissionSet, packages labelled one way, and something submitted (ITI TF-3 §4.1.4, §4.2.1.5).
    fn judge_content(&self, profile: Profile, findings: &mut Findings) {
        for object in self.of(Noun::Other) {
            findings.metadata(format_args!(
                "{}: a RegistryPackage is classified as a SubmissionSet or as a Folder, and not as both (ITI TF-3 §4.2.1.2)",
                Named(object)
            ));
        }
        let sets = self.of(Noun::SubmissionSet).count();
        if sets != 1 {
            findings.metadata(format_args!(
                "exactly one SubmissionSet is required, the message has {sets} (ITI TF-3 §4.1.4)"
            ));
        }
        // DECISION(ITI TF-3 §4.1.1.1, §4.1.4): any HasMember will do, so that a submission of nothing
        // but references to known DocumentEntries is accepted.
        let content = self.objects.iter().zip(&self.nouns).any(|(object, noun)| match (noun, &object.body) {
            (Noun::DocumentEntry | Noun::Folder, _) => true,
            (_, Body::Association { kind, .. }) => kind == association::HAS_MEMBER,
            _ => false,
        });
        if !content {
            findings.metadata(format_args!(
                "a submission holds a DocumentEntry, a Folder or a HasMember association (ITI TF-3 §4.1.4)"
            ));
        }
        if profile == Profile::RegisterOnDemand && self.of(Noun::DocumentEntry).next().is_none() {
            findings.metadata(format_args!("an on-demand DocumentEntry is required (ITI TF-2 §3.61.4.1.2)"));
        }
    }

    /// No uniqueId twice (ITI TF-3 Table 4.2.4.1-2).
    pub(super) fn judge_unique_ids(&self, findings: &mut Findings) {
        let mut seen = HashMap::with_capacity(self.objects.len());
        for object in self.objects {
            if let Some(unique_id) = object.unique_id().filter(|unique_id| !unique_id.is_empty())
                && let Some(first) = seen.insert(unique_id, object)
            {
                findings.add(
                    ErrorCode::XDSRegistryDuplicateUniqueIdInMessage,
                    format_args!(
                        "uniqueId {} is that of {} and of {} (ITI TF-3 Table 4.2.4.1-2)",
                        Shown(unique_id),
                        Named(first),
                        Named(object)
                    ),
                );
            }
        }
    }

    /// All patientIds are equal (ITI TF-2 §3.42.4.1.3.3.2).
    ///
    /// DEVIATION(ITI TF-3 Table 4.2.4.1-2): the context says which objects differ, not the ids; the
    /// sender has them, and nobody else should.
    pub(super) fn judge_patients(&self, findings: &mut Findings) -> Option<PatientId> {
        let mut patients = self.objects.iter().filter_map(|object| {
            let patient = PatientId::parse(object.patient_id()?).ok()?;
            Some((object, patient))
        });
        let (first, patient) = patients.next()?;
        for (object, other) in patients {
            if other != patient {
                findings.add(
                    ErrorCode::XDSPatientIdDoesNotMatch,
                    format_args!(
                        "patientId of {} differs from patientId of {} (ITI TF-2 §3.42.4.1.3.3.2)",
                        Named(object),
                        Named(first)
                    ),
                );
            }
        }
        Some(patient)
    }

    /// What each association means; `None` where it means nothing (ITI TF-3 §4.2.2).
    fn judge_associations(&self, findings: &mut Findings) -> Vec<Option<Role>> {
        let mut roles = Vec::new();
        for (at, object) in self.objects.iter().enumerate() {
            if let Body::Association { kind, source, target } = &object.body {
                roles.push(self.judge_association(at, object, kind, (source, target), findings));
            }
        }
        self.judge_appended(&roles, findings);
        roles
    }

    fn judge_association(
        &self,
        at: usize,
        object: &RegistryObject<'_>,
        kind: &str,
        ends: (&ObjectId<'a>, &ObjectId<'a>),
        findings: &mut Findings,
    ) -> Option<Role> {
        let relationship = RelationshipType::from_urn(kind);
        if relationship.is_none() && kind != association::HAS_MEMBER {
            findings.metadata(format_args!(
                "{}: associationType {} is not one of this transaction (ITI TF-3 Table 4.2.2-1)",
                Named(object),
                Shown(kind)
            ));
            return None;
        }
        if relationship.is_none() {
            judge_documentation(object, findings);
        }
        if ends.0 == ends.1 {
            findings.metadata(format_args!(
                "{}: sourceObject and targetObject are the same (ITI TF-3 §4.2.2)",
                Named(object)
            ));
            return None;
        }
        let source = self.resolve(object, "sourceObject", ends.0, findings);
        let target = self.resolve(object, "targetObject", ends.1, findings);
        let (source, target) = (source?, target?);
        let role = match relationship {
            Some(kind) => self.relationship(object, kind, source, target, findings),
            None => self.has_member(object, source, target, findings),
        }?;
        Some(Role { at, role, source, target })
    }

    /// An object of this message, or one of the registry by UUID (ITI TF-2 §3.42.4.1.3.7).
    fn resolve(
        &self,
        object: &RegistryObject<'_>,
        end: &str,
        id: &ObjectId<'a>,
        findings: &mut Findings,
    ) -> Option<Found> {
        if let Some(at) = self.by_id.get(id) {
            return Some(Found::Message(*at));
        }
        if let Some(uuid) = id.uuid() {
            return Some(Found::Registry(uuid));
        }
        findings.add(
            ErrorCode::UnresolvedReferenceException,
            format_args!(
                "{}: {end} {} is no id of this message, and no UUID of an object in the registry (ITI TF-2 §3.42.4.1.3.7)",
                Named(object),
                Shown(&id.to_string())
            ),
        );
        None
    }

    /// The four variants of HasMember (ITI TF-3 §4.2.2.1).
    fn has_member(
        &self,
        object: &RegistryObject<'_>,
        source: Found,
        target: Found,
        findings: &mut Findings,
    ) -> Option<AssociationRole> {
        match (self.noun(source), self.noun(target)) {
            (Some(Noun::SubmissionSet), Some(Noun::DocumentEntry)) => {
                if set_status(object) == Some("Original") {
                    return Some(AssociationRole::SetEntryOriginal);
                }
                findings.metadata(format_args!(
                    "{}: SubmissionSetStatus is Original where the DocumentEntry is in the submission (ITI TF-3 §4.2.2.1.1)",
                    Named(object)
                ));
                None
            }
            (Some(Noun::SubmissionSet), None) => {
                if set_status(object) == Some("Reference") {
                    return Some(AssociationRole::SetEntryReference);
                }
                findings.metadata(format_args!(
                    "{}: SubmissionSetStatus is Reference where the DocumentEntry is not in the submission (ITI TF-3 §4.2.2.1.1)",
                    Named(object)
                ));
                None
            }
            (Some(Noun::SubmissionSet), Some(Noun::Folder)) => {
                self.original_or_absent(object, findings);
                Some(AssociationRole::SetFolder)
            }
            (Some(Noun::SubmissionSet), Some(Noun::Association)) => {
                self.original_or_absent(object, findings);
                if self.is_folder_entry(target) {
                    return Some(AssociationRole::SetMembership);
                }
                findings.metadata(format_args!(
                    "{}: a SubmissionSet has as members DocumentEntries, Folders, and HasMember associations of Folders (ITI TF-3 §4.2.2.1.4)",
                    Named(object)
                ));
                None
            }
            (Some(Noun::Folder) | None, Some(Noun::DocumentEntry)) | (Some(Noun::Folder), None) | (None, None) => {
                Some(AssociationRole::FolderEntry)
            }
            (source, target) => {
                let word = |noun: Option<Noun>| noun.map_or("registry object", Noun::as_str);
                findings.metadata(format_args!(
                    "{}: HasMember does not lead from {} to {} (ITI TF-3 §4.2.2.1)",
                    Named(object),
                    word(source),
                    word(target)
                ));
                None
            }
        }
    }

    /// SS-FD and SS-HM need no SubmissionSetStatus, and have no other than Original.
    fn original_or_absent(&self, object: &RegistryObject<'_>, findings: &mut Findings) {
        if set_status(object).is_some_and(|status| status != "Original") {
            findings.metadata(format_args!(
                "{}: only a DocumentEntry is a member by Reference (ITI TF-3 §4.2.2.1.1)",
                Named(object)
            ));
        }
    }

    /// Whether it is an association of this message that puts a DocumentEntry into a Folder.
    fn is_folder_entry(&self, found: Found) -> bool {
        let Found::Message(at) = found else { return false };
        match self.objects.get(at).map(|object| &object.body) {
            Some(Body::Association { kind, source, .. }) if kind == association::HAS_MEMBER => {
                match self.by_id.get(source) {
                    Some(source) => self.noun(Found::Message(*source)) == Some(Noun::Folder),
                    None => source.uuid().is_some(),
                }
            }
            _ => false,
        }
    }

    /// Relationships start at a new DocumentEntry (ITI TF-2 §3.42.4.1.3.5).
    fn relationship(
        &self,
        object: &RegistryObject<'_>,
        kind: RelationshipType,
        source: Found,
        target: Found,
        findings: &mut Findings,
    ) -> Option<AssociationRole> {
        let mut good = true;
        match self.noun(source) {
            Some(Noun::DocumentEntry) => {}
            None => {
                good = false;
                findings.add(
                    ErrorCode::UnresolvedReferenceException,
                    format_args!(
                        "{}: sourceObject of a relationship is a DocumentEntry of this submission (ITI TF-2 §3.42.4.1.3.5)",
                        Named(object)
                    ),
                );
            }
            Some(noun) => {
                good = false;
                findings.metadata(format_args!(
                    "{}: sourceObject of a relationship is a DocumentEntry, not a {} (ITI TF-3 §4.2.2.2)",
                    Named(object),
                    noun.as_str()
                ));
            }
        }
        match self.noun(target) {
            None => {}
            Some(Noun::DocumentEntry) if kind.target_may_be_new() => {}
            Some(Noun::DocumentEntry) => {
                good = false;
                findings.add(
                    ErrorCode::UnresolvedReferenceException,
                    format_args!(
                        "{}: targetObject is a DocumentEntry in the registry, not one of this submission (ITI TF-2 §3.42.4.1.3.5)",
                        Named(object)
                    ),
                );
            }
            Some(noun) => {
                good = false;
                findings.metadata(format_args!(
                    "{}: targetObject of a relationship is a DocumentEntry, not a {} (ITI TF-3 §4.2.2.2)",
                    Named(object),
                    noun.as_str()
                ));
            }
        }
        good.then_some(AssociationRole::Relationship(kind))
    }

    /// A transformation is not appended to (ITI TF-3 §4.2.2.2.1), as far as the message tells.
    ///
    /// DECISION: one that replaces its original stands for itself; the public test kit appends to it.
    fn judge_appended(&self, roles: &[Option<Role>], findings: &mut Findings) {
        use RelationshipType::{Append, Transform};
        let transforms: HashSet<Found> = roles
            .iter()
            .flatten()
            .filter(|r| matches!(r.role, AssociationRole::Relationship(Transform)))
            .map(|r| r.source)
            .collect();
        for role in roles.iter().flatten().filter(|r| r.role == AssociationRole::Relationship(Append)) {
            if transforms.contains(&role.target)
                && let Some(object) = self.objects.get(role.at)
            {
                findings.metadata(format_args!(
                    "{}: nothing is appended to a transformation (ITI TF-3 §4.2.2.2.1)",
                    Named(object)
                ));
            }
        }
    }

    /// Every DocumentEntry, Folder and folder membership of the message is a member of the
    /// SubmissionSet exactly once (ITI TF-3 §4.2.2.1).
    fn judge_membership(&self, roles: &[Option<Role>], findings: &mut Findings) {
        use AssociationRole::{FolderEntry, SetEntryOriginal, SetFolder, SetMembership};
        let mut members = vec![0_u32; self.objects.len()];
        for role in roles.iter().flatten() {
            if matches!(role.role, SetEntryOriginal | SetFolder | SetMembership)
                && let Found::Message(at) = role.target
                && let Some(count) = members.get_mut(at)
            {
                *count += 1;
            }
        }
        let memberships = roles.iter().flatten().filter(|r| r.role == FolderEntry).map(|r| r.at);
        let things = self
            .nouns
            .iter()
            .enumerate()
            .filter(|(_, n)| matches!(n, Noun::DocumentEntry | Noun::Folder))
            .map(|(at, _)| at);
        for at in things.chain(memberships) {
            if let (Some(object), Some(count)) = (self.objects.get(at), members.get(at))
                && *count != 1
            {
                findings.metadata(format_args!(
                    "{}: it is the target of exactly one HasMember of the SubmissionSet, the message has {count} (ITI TF-3 §4.2.2.1)",
                    Named(object)
                ));
            }
        }
    }
}

/// A membership has no documentation (ITI TF-3 §4.2.2.2).
pub(super) fn judge_documentation(member: &RegistryObject<'_>, findings: &mut Findings) {
    if member.classified_by(scheme::ASSOCIATION_DOCUMENTATION).next().is_some() {
        findings.metadata(format_args!(
            "{}: documentation belongs to relationships between documents, not to HasMember (ITI TF-3 §4.2.2.2)",
            Named(member)
        ));
    }
}

/// The one value of SubmissionSetStatus.
fn set_status<'o>(object: &'o RegistryObject<'_>) -> Option<&'o str> {
    let mut values = object.common.slot_values(slot::SUBMISSION_SET_STATUS).map(trim).filter(|value| !value.is_empty());
    match (values.next(), values.next()) {
        (Some(status), None) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{
        self, ENTRY, FOLDER, FOLDER_ENTRY, KNOWN, SET, SET_ENTRY, SET_FOLDER, SET_MEMBERSHIP, TRANSFORM, id,
    };
    use super::*;
    use crate::model::metadata::build;
    use crate::model::rim::Slot;
    use crate::model::vocabulary as v;

    type Objects = Vec<RegistryObject<'static>>;
    type Change = fn(&mut Objects);

    fn aim(object: &mut RegistryObject<'static>, new_source: &'static str, new_target: &'static str) {
        if let Body::Association { source, target, .. } = &mut object.body {
            (*source, *target) = (id(new_source), id(new_target));
        }
    }

    fn retype(object: &mut RegistryObject<'static>, urn: &'static str) {
        if let Body::Association { kind, .. } = &mut object.body {
            *kind = urn.into();
        }
    }

    fn member(objects: &mut Objects, source: &'static str, target: &'static str) {
        objects.push(build::association(id("r"), association::HAS_MEMBER, id(source), id(target)));
    }

    fn relabel(object: &mut RegistryObject<'static>) {
        let labels = build::package(id("fol"), v::SUBMISSION_SET_NODE).classifications;
        object.classifications.extend(labels);
    }

    /// Another object with that id, and links that name nothing.
    fn renamed(
        object: &RegistryObject<'static>,
        new: &'static str,
        unique_id: &'static str,
    ) -> RegistryObject<'static> {
        let mut other = object.clone();
        other.common.id = Some(id(new));
        other.classifications.iter_mut().for_each(|c| c.classified = None);
        other.identifiers.iter_mut().for_each(|i| i.registry_object = None);
        let scheme = other.noun().unique_id_scheme();
        for identifier in other.identifiers.iter_mut().filter(|i| i.scheme.as_deref() == scheme) {
            identifier.value = Some(unique_id.into());
        }
        other
    }

    fn with_second_entry(objects: &mut Objects) {
        objects.push(renamed(&objects[ENTRY], "doc2", "2.999.70.2"));
        objects.push(build::original(id("s2"), id("set"), id("doc2")));
    }

    fn findings(change: Change, profile: Profile) -> Vec<RegistryError> {
        let mut objects = fixture::submission();
        change(&mut objects);
        judge(objects, profile, None).err().unwrap_or_default()
    }

    #[test]
    fn a_good_submission_is_sorted() {
        use AssociationRole as R;
        let mut objects = fixture::submission();
        objects.push(RegistryObject::new(Body::ObjectRef, id(KNOWN)));
        let submission = judge(objects, Profile::Register, None).unwrap();
        assert_eq!(submission.set.common.id, Some(id("set")));
        assert_eq!((submission.entries.len(), submission.folders.len()), (1, 1));
        assert_eq!(Some(&submission.patient), PatientId::parse(fixture::PATIENT).ok().as_ref());
        let roles: Vec<_> = submission.associations.iter().map(|a| (a.role, a.source, a.target)).collect();
        let known = End::Registry(EntryUuid::parse(KNOWN).unwrap());
        assert_eq!(
            roles,
            [
                (R::SetEntryOriginal, End::Set, End::Entry(0)),
                (R::SetFolder, End::Set, End::Folder(0)),
                (R::FolderEntry, End::Folder(0), End::Entry(0)),
                (R::SetMembership, End::Set, End::Association(2)),
                (R::Relationship(RelationshipType::Transform), End::Entry(0), known),
            ]
        );
        assert_eq!(submission.by_role(R::SetFolder).count(), 1);
    }

    #[test]
    fn other_good_submissions() {
        let table: &[Change] = &[
            // An association that nothing refers to needs no id.
            |o| o[SET_ENTRY].common.id = None,
            // A known DocumentEntry by reference, and nothing else.
            |o| {
                o.retain(|object| object.noun() == Noun::SubmissionSet);
                member(o, "set", KNOWN);
                o[1].common.slots.push(Slot::single(slot::SUBMISSION_SET_STATUS, "Reference"));
            },
            // A known DocumentEntry into a known Folder.
            |o| {
                o.retain(|object| object.noun() == Noun::SubmissionSet);
                member(o, "urn:uuid:8b97cb13-dc32-5e68-8751-b529953172bc", KNOWN);
                o.push(build::association(id("n"), association::HAS_MEMBER, id("set"), id("r")));
            },
            // A new DocumentEntry into a known Folder.
            |o| aim(&mut o[FOLDER_ENTRY], KNOWN, "doc"),
            |o| {
                for at in [SET_FOLDER, SET_MEMBERSHIP] {
                    o[at].common.slots.push(Slot::single(slot::SUBMISSION_SET_STATUS, "Original"));
                }
            },
            |o| retype(&mut o[TRANSFORM], association::RPLC),
            |o| retype(&mut o[TRANSFORM], association::IS_SNAPSHOT_OF),
            with_second_entry,
        ];
        for (n, change) in table.iter().enumerate() {
            let found = findings(*change, Profile::Register);
            assert!(found.is_empty(), "row {n}: {found:?}");
        }
    }

    #[test]
    fn each_rule_has_its_finding() {
        const META: ErrorCode = ErrorCode::XDSRegistryMetadataError;
        const REFERENCE: ErrorCode = ErrorCode::UnresolvedReferenceException;
        const PATIENT: ErrorCode = ErrorCode::XDSPatientIdDoesNotMatch;
        const UNIQUE: ErrorCode = ErrorCode::XDSRegistryDuplicateUniqueIdInMessage;
        let table: &[(Change, ErrorCode, &str)] = &[
            (|o| drop(o.remove(SET)), META, "exactly one SubmissionSet is required, the message has 0"),
            (|o| o.push(renamed(&o[SET], "set2", "2.999.71.2")), META, "the message has 2"),
            (|o| o.retain(|object| object.noun() == Noun::SubmissionSet), META, "a submission holds"),
            (|o| o[FOLDER].classifications.retain(|c| c.node.is_none()), META, "and not as both"),
            (|o| relabel(&mut o[FOLDER]), META, "and not as both"),
            (|o| o[ENTRY].common.id = None, META, "entryUUID is required"),
            (|o| o[SET_FOLDER].common.id = Some(id("a1")), META, "Association a1: its id is used twice"),
            (|o| o[SET_FOLDER].common.id = Some(id("urn:uuid:x")), META, "entryUUID must be"),
            (|o| o[SET_FOLDER].common.id = Some(id("")), META, "entryUUID must be"),
            (|o| o[FOLDER].identifiers[1].value = Some("2.999.71.1".into()), UNIQUE, "uniqueId 2.999.71.1"),
            (
                |o| o[FOLDER].identifiers[0].value = Some("P2^^^&2.999.50.100&ISO".into()),
                PATIENT,
                "patientId of Folder fol differs",
            ),
            (
                |o| o[SET].identifiers[0].value = Some("PX-881^^^&2.999.50.101&ISO".into()),
                PATIENT,
                "patientId of SubmissionSet set differs",
            ),
            (
                |o| retype(&mut o[TRANSFORM], "urn:ihe:iti:2010:AssociationType:SubmitAssociation"),
                META,
                "is not one of this transaction",
            ),
            (
                |o| retype(&mut o[TRANSFORM], "urn:ihe:iti:2007:AssociationType:rplc"),
                META,
                "is not one of this transaction",
            ),
            (
                |o| o[SET_ENTRY].classifications = renamed(&o[TRANSFORM], "x", "").classifications,
                META,
                "not to HasMember",
            ),
            (|o| aim(&mut o[TRANSFORM], "doc", "doc"), META, "are the same"),
            (|o| aim(&mut o[TRANSFORM], "doc", "nowhere"), REFERENCE, "targetObject nowhere"),
            (|o| aim(&mut o[TRANSFORM], "doc", "urn:uuid:x"), REFERENCE, "targetObject urn:uuid:x"),
            (|o| aim(&mut o[TRANSFORM], KNOWN, "doc"), REFERENCE, "sourceObject of a relationship"),
            (|o| aim(&mut o[TRANSFORM], "set", KNOWN), META, "not a SubmissionSet"),
            (|o| aim(&mut o[TRANSFORM], "doc", "fol"), META, "not a Folder"),
            (|o| o[SET_ENTRY].common.slots.clear(), META, "SubmissionSetStatus is Original"),
            (
                |o| o[SET_ENTRY].common.set_slot(slot::SUBMISSION_SET_STATUS, "Reference"),
                META,
                "SubmissionSetStatus is Original",
            ),
            (|o| o.push(build::original(id("r"), id("set"), id(KNOWN))), META, "SubmissionSetStatus is Reference"),
            (|o| member(o, "set", KNOWN), META, "SubmissionSetStatus is Reference"),
            (
                |o| o[SET_FOLDER].common.set_slot(slot::SUBMISSION_SET_STATUS, "Reference"),
                META,
                "only a DocumentEntry is a member by Reference",
            ),
            (
                |o| o[SET_MEMBERSHIP].common.set_slot(slot::SUBMISSION_SET_STATUS, "Reference"),
                META,
                "only a DocumentEntry is a member by Reference",
            ),
            (|o| member(o, "set", "a5"), META, "a SubmissionSet has as members"),
            (|o| member(o, "set", "a1"), META, "a SubmissionSet has as members"),
            (|o| member(o, "doc", "fol"), META, "HasMember does not lead from DocumentEntry to Folder"),
            (|o| member(o, "fol", "set"), META, "from Folder to SubmissionSet"),
            (|o| member(o, KNOWN, "set"), META, "from registry object to SubmissionSet"),
            (|o| drop(o.remove(SET_FOLDER)), META, "Folder fol: it is the target of exactly one HasMember"),
            (|o| drop(o.remove(SET_ENTRY)), META, "DocumentEntry doc: it is the target of exactly one HasMember"),
            (|o| drop(o.remove(SET_MEMBERSHIP)), META, "Association a3: it is the target of exactly one HasMember"),
            (|o| o.push(build::original(id("again"), id("set"), id("doc"))), META, "the message has 2"),
        ];
        for (n, (change, code, expected)) in table.iter().enumerate() {
            let found = findings(*change, Profile::Register);
            let hit =
                |e: &RegistryError| e.code == *code && e.context.contains(expected) && e.context.contains("(ITI TF-");
            assert!(found.iter().any(hit), "row {n}, {expected}: {found:?}");
        }
    }

    #[test]
    fn targets_inside_the_submission() {
        for kind in RelationshipType::ALL {
            let mut objects = fixture::submission();
            with_second_entry(&mut objects);
            retype(&mut objects[TRANSFORM], kind.urn());
            aim(&mut objects[TRANSFORM], "doc", "doc2");
            let found = judge(objects, Profile::Register, None).err().unwrap_or_default();
            assert_eq!(found.is_empty(), kind.target_may_be_new(), "{kind:?}: {found:?}");
            assert!(found.iter().all(|error| error.code == ErrorCode::UnresolvedReferenceException));
            assert_eq!(RelationshipType::from_urn(kind.urn()), Some(kind));
        }
        let mut objects = fixture::submission();
        with_second_entry(&mut objects);
        objects.push(build::association(id("app"), association::APND, id("doc2"), id("doc")));
        let found = judge(objects, Profile::Register, None).unwrap_err();
        assert_eq!(found.len(), 1);
        assert!(found[0].context.contains("Association app: nothing is appended to a transformation"));
    }

    #[test]
    fn everything_is_found_at_once() {
        let found = findings(
            |o| {
                o[ENTRY].common.set_slot(slot::HASH, "x");
                o[FOLDER].common.names.clear();
                o[SET].identifiers[0].value = Some("P2^^^&2.999.50.100&ISO".into());
                aim(&mut o[TRANSFORM], "doc", "nowhere");
                o.push(RegistryObject::new(Body::RegistryPackage, id("odd")));
            },
            Profile::Register,
        );
        assert_eq!(found.len(), 5, "{found:?}");
        assert!(found.iter().all(|error| !error.context.contains("P2")));
    }

    #[test]
    fn an_empty_message_is_no_submission() {
        for profile in [Profile::Register, Profile::RegisterOnDemand] {
            let found = judge(Vec::new(), profile, None).unwrap_err();
            let asked = found.iter().any(|error| error.context.contains("on-demand DocumentEntry is required"));
            assert_eq!(asked, profile == Profile::RegisterOnDemand);
        }
    }

    #[test]
    fn many_objects_stay_cheap() {
        let mut objects = fixture::submission();
        for _ in 0..20_000 {
            objects.push(build::association(id("same"), association::APND, id("doc"), id(KNOWN)));
        }
        let start = std::time::Instant::now();
        let found = judge(objects, Profile::Register, None).unwrap_err();
        assert!(found.len() < 300 && start.elapsed().as_secs() < 10);
    }
}
