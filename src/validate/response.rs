//! What an answer must carry (ITI TF-3 Table 4.3.2.1-3, TF-2 §3.38.4.2.2, §3.39.4.2.2): for those
//! who judge other systems' answers.

use super::{Findings, Mode, Profile, metadata};
use crate::model::ids::{HomeCommunityId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::response::{QueryResponse, RegistryError};
use crate::model::rim::{Body, RegistryObject};

/// Judges a query's answer: every object has its id, and metadata its status; at a gateway
/// everything has its home.
///
/// # Errors
/// The first object that lacks something, and what.
pub fn query_response(response: &QueryResponse, home_required: bool) -> Result<(), String> {
    for packed in &response.objects {
        let object = packed.unpack().map_err(|error| error.to_string())?;
        let name = || {
            let id = object.common.id.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("{} {id}", object.noun().as_str())
        };
        if object.common.id.is_none() {
            return Err(format!("{} has no id", object.noun().as_str()));
        }
        if object.body != Body::ObjectRef && object.common.status.is_none() {
            return Err(format!("{} has no availabilityStatus (ITI TF-3 Table 4.3.2.1-3)", name()));
        }
        let failed = response.status == crate::model::response::ResponseStatus::Failure;
        if home_required && !failed && object.noun() != Noun::Association && object.common.home.is_none() {
            return Err(format!("{} has no homeCommunityId (ITI TF-2 §3.38.4.1.3)", name()));
        }
    }
    Ok(())
}

/// Judges the DocumentEntries of an answer by the rules that they were registered under, leniently:
/// what a source may leave out or misshape is a warning. In an answer each has a UUID.
pub fn document_entries(objects: &[RegistryObject<'_>]) -> Vec<RegistryError> {
    let mut findings = Findings::in_mode(Mode::Lenient);
    for object in objects.iter().filter(|object| object.noun() == Noun::DocumentEntry) {
        let profile = if object.is_on_demand() { Profile::RegisterOnDemand } else { Profile::Register };
        metadata::judge_any_version(object, profile, None, &mut findings);
        if object.uuid().is_none() {
            findings.metadata(format_args!("a DocumentEntry's entryUUID is a UUID in an answer (ITI TF-3 §4.2.3.1.5)"));
        }
    }
    findings.into_errors()
}

/// Judges a retrieve's answer: every document has its id, at a gateway its home.
///
/// # Errors
/// The first document that lacks something, and what.
pub fn retrieve_response<'a>(
    documents: impl IntoIterator<Item = (Option<&'a UniqueId>, Option<&'a HomeCommunityId>)>,
    home_required: bool,
) -> Result<(), String> {
    for (unique_id, home) in documents {
        let Some(unique_id) = unique_id else {
            return Err("a DocumentResponse has no DocumentUniqueId (ITI TF-2 §3.43.4.2.2)".into());
        };
        if home_required && home.is_none() {
            return Err(format!("{unique_id} has no HomeCommunityId (ITI TF-2 §3.39.4.2.2)"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::build;
    use crate::model::packed::PackedObject;
    use crate::model::response::{ErrorCode, RegistryError};
    use crate::model::rim::{ObjectId, RegistryObject};
    use crate::model::vocabulary::{APPROVED, association};

    const HOME: &str = "urn:oid:2.999.1";

    fn entry(change: fn(&mut RegistryObject<'static>)) -> PackedObject {
        let mut entry = build::document_entry(ObjectId::Symbol("doc".into()), "text/plain");
        entry.common.status = Some(APPROVED.into());
        entry.common.home = Some(HOME.into());
        change(&mut entry);
        PackedObject::pack(&entry)
    }

    #[test]
    fn objects_carry_what_they_must() {
        let judge = |object: PackedObject, gateway| query_response(&QueryResponse::success(vec![object]), gateway);
        let end = |id: &'static str| ObjectId::Symbol(id.into());
        let link = |status: Option<&'static str>| {
            let mut link = build::association(end("link"), association::HAS_MEMBER, end("a"), end("b"));
            link.common.status = status.map(Into::into);
            PackedObject::pack(&link)
        };
        let reference = PackedObject::pack(&RegistryObject::new(Body::ObjectRef, end("ref")));
        for (object, gateway, lacks) in [
            (entry(|_| ()), true, None),
            (entry(|o| o.common.id = None), false, Some("no id")),
            (entry(|o| o.common.status = None), false, Some("no availabilityStatus")),
            (entry(|o| o.common.home = None), false, None),
            (entry(|o| o.common.home = None), true, Some("no homeCommunityId")),
            // An association says whose it is by its ends.
            (link(Some(APPROVED)), true, None),
            (link(None), true, Some("no availabilityStatus")),
            (reference.clone(), false, None),
            (reference, true, Some("no homeCommunityId")),
        ] {
            match (judge(object, gateway), lacks) {
                (Ok(()), None) => {}
                (Err(what), Some(lacks)) => assert!(what.contains(lacks), "{what}"),
                (judged, lacks) => panic!("{judged:?}, where {lacks:?}"),
            }
        }
        // What is beside an error is not asked for its home.
        let mut failed = QueryResponse::failure(vec![RegistryError::new(ErrorCode::XDSRegistryError, "x")]);
        failed.objects.push(entry(|o| o.common.home = None));
        assert_eq!(query_response(&failed, true), Ok(()));
    }

    #[test]
    fn entries_keep_the_rules_of_their_submission() {
        use crate::model::response::Severity;
        let judge = |change: fn(&mut RegistryObject<'static>)| {
            let mut entry = super::super::fixture::entry();
            entry.common.id = Some(ObjectId::read(super::super::fixture::KNOWN.into()));
            for classification in &mut entry.classifications {
                classification.classified.clone_from(&entry.common.id);
            }
            for identifier in &mut entry.identifiers {
                identifier.registry_object.clone_from(&entry.common.id);
            }
            change(&mut entry);
            document_entries(&[entry]).into_iter().map(|finding| finding.severity).collect::<Vec<_>>()
        };
        assert_eq!(judge(|_| ()), []);
        assert_eq!(judge(|entry| entry.common.slots.retain(|slot| slot.name != "hash")), [Severity::Error]);
        assert_eq!(judge(|entry| entry.common.slots.retain(|slot| slot.name != "languageCode")), [Severity::Warning]);
        assert!(judge(|entry| entry.common.id = Some(ObjectId::Symbol("doc".into()))).contains(&Severity::Error));
    }

    #[test]
    fn documents_carry_what_they_must() {
        let (id, home) = (UniqueId::parse("2.999.2").unwrap(), HomeCommunityId::parse(HOME).unwrap());
        for (document, gateway, good) in [
            ((Some(&id), Some(&home)), true, true),
            ((Some(&id), None), true, false),
            ((Some(&id), None), false, true),
            ((None, Some(&home)), false, false),
        ] {
            assert_eq!(retrieve_response([document], gateway).is_ok(), good);
        }
    }
}
