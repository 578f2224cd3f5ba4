//! Document Registry: ITI-62, removal of metadata (Remove Metadata and Documents §3.62.4.1.3).
//!
//! All objects of a request go, or none. What stays must be whole: no association without its
//! ends, no object that hung on a removed association alone. Documents stay in their repository
//! (ITI-86 removes those), statuses of other objects stay as they are, and what was replaced is not
//! brought back.

use std::collections::HashSet;

use super::document_registry::DocumentRegistry;
use super::draft::{Draft, named, number_of};
use crate::model::ids::{EntryUuid, PatientId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryResponse};
use crate::model::rim::RegistryObject;
use crate::model::time::Dtm;
use crate::store::{Change, StoreError};

const SECTION: &str = "Remove Metadata and Documents §3.62.4.1.3";

impl DocumentRegistry {
    /// ITI-62.
    pub async fn remove_metadata(&self, uuids: &[EntryUuid]) -> RegistryResponse {
        self.settle(|| Box::pin(self.removal_attempt(uuids))).await
    }

    async fn removal_attempt(&self, uuids: &[EntryUuid]) -> Result<RegistryResponse, StoreError> {
        let mut objects = Vec::with_capacity(uuids.len());
        let mut missing = Vec::new();
        for uuid in uuids {
            match self.store().by_uuid(*uuid).await? {
                Some(packed) => objects.push((*uuid, packed)),
                None => missing.push(*uuid),
            }
        }
        let Some(patient) = self.some_patient(&objects).await? else {
            missing.extend(objects.iter().map(|(uuid, _)| *uuid));
            return Ok(RegistryResponse::from_errors(missing.into_iter().map(unresolved).collect()));
        };
        let mut draft = Draft::new(self.store(), patient, Dtm::from_timestamp(self.clock().now()));
        draft.errors.extend(missing.into_iter().map(unresolved));
        let gone: HashSet<EntryUuid> = uuids.iter().copied().collect();
        let mut ends = Vec::new();
        for (uuid, packed) in &objects {
            draft.see(packed)?;
            judge_references(&mut draft, *uuid, packed, &gone).await?;
            ends.extend(packed.unpack()?.ends().into_iter().flat_map(<[EntryUuid; 2]>::from));
        }
        ends.sort();
        ends.dedup();
        for end in ends.into_iter().filter(|end| !gone.contains(end)) {
            judge_remaining(&mut draft, end, &gone).await?;
        }
        for (uuid, packed) in &objects {
            reveal_former(&mut draft, *uuid, packed, &gone).await?;
        }
        match draft.finish().await? {
            Ok(change) => {
                self.store().commit(Change { removes: uuids.to_vec(), ..change }).await?;
                Ok(RegistryResponse::from_errors(Vec::new()))
            }
            Err(errors) => Ok(RegistryResponse::from_errors(errors)),
        }
    }
}

impl DocumentRegistry {
    /// A patient for the draft, which a removal does not make use of: one of an object, or of an end
    /// of an association. None: there is not one object.
    async fn some_patient(&self, objects: &[(EntryUuid, PackedObject)]) -> Result<Option<PatientId>, StoreError> {
        for (_, packed) in objects {
            let object = packed.unpack()?;
            if let Some(patient) = patient_of(&object) {
                return Ok(Some(patient));
            }
            for end in object.ends().into_iter().flat_map(<[EntryUuid; 2]>::from) {
                if let Some(packed) = self.store().by_uuid(end).await?
                    && let Some(patient) = patient_of(&packed.unpack()?)
                {
                    return Ok(Some(patient));
                }
            }
        }
        Ok(None)
    }
}

fn patient_of(object: &RegistryObject<'_>) -> Option<PatientId> {
    object.patient_id().and_then(|id| PatientId::parse(id.trim()).ok())
}

fn unresolved(uuid: EntryUuid) -> crate::model::response::RegistryError {
    crate::model::response::RegistryError::new(
        ErrorCode::UnresolvedReferenceException,
        format!("{uuid}: the registry has no such object ({SECTION})"),
    )
}

/// No association that stays refers to a removed object.
async fn judge_references(
    draft: &mut Draft<'_>,
    uuid: EntryUuid,
    packed: &PackedObject,
    gone: &HashSet<EntryUuid>,
) -> Result<(), StoreError> {
    let associations = draft.associations_of(uuid).await?;
    let stays = associations.iter().filter_map(PackedObject::uuid).find(|association| !gone.contains(association));
    if let Some(association) = stays {
        let what = named(packed.unpack()?.noun(), uuid);
        draft.error(
            ErrorCode::ReferencesExistException,
            format!("{what}: {} refers to it; remove both ({SECTION})", named(Noun::Association, association)),
        );
    }
    Ok(())
}

/// An object that a removed association touched is still referred to by another.
///
/// DECISION: an association that only its membership in the SubmissionSet referred to may stay: it
/// says something by itself.
async fn judge_remaining(draft: &mut Draft<'_>, end: EntryUuid, gone: &HashSet<EntryUuid>) -> Result<(), StoreError> {
    let Some(packed) = draft.load(end).await? else { return Ok(()) };
    let noun = packed.unpack()?.noun();
    if noun == Noun::Association {
        return Ok(());
    }
    let associations = draft.associations_of(end).await?;
    if associations.iter().filter_map(PackedObject::uuid).all(|association| gone.contains(&association)) {
        draft.error(
            ErrorCode::XDSUnreferencedObjectException,
            format!("{}: nothing would refer to it any more; remove it too ({SECTION})", named(noun, end)),
        );
    }
    Ok(())
}

/// Where latest versions go, the highest that stays is the latest.
async fn reveal_former(
    draft: &mut Draft<'_>,
    uuid: EntryUuid,
    packed: &PackedObject,
    gone: &HashSet<EntryUuid>,
) -> Result<(), StoreError> {
    let lid = packed.unpack()?.common.lid.as_ref().and_then(|lid| lid.uuid());
    let Some(lid) = lid.filter(|_| !packed.is_superseded()) else { return Ok(()) };
    let mut latest = None;
    for version in draft.store.by_logical_id(lid).await? {
        let (id, number) = (version.uuid(), number_of(&version.unpack()?));
        if let Some(id) = id.filter(|id| !gone.contains(id))
            && latest.as_ref().is_none_or(|(_, _, highest)| number >= *highest)
        {
            latest = Some((version, id, number));
        }
    }
    match latest {
        Some((former, id, _)) if id != uuid => {
            draft.see(&former)?;
            draft.mark_superseded(id, false).await
        }
        _ => Ok(()),
    }
}
