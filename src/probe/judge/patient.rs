//! The metadata of a patient that the operator named, and one of the documents (ITI TF-3 §4.2).
//!
//! What is seen is said in counts, attributes and rules: neither whose metadata it is, nor of what.

use std::collections::HashSet;

use aws_lc_rs::digest;

use super::{Case, Found, Judged, bad, skip, weak};
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId, RepositoryUniqueId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::model::response::{QueryResponse, ResponseStatus, Severity};
use crate::model::rim::{Body, RegistryObject};
use crate::model::vocabulary::slot;
use crate::probe::line::LARGEST_DOCUMENT;
use crate::probe::schema::shown;
use crate::terminal::counted;
use crate::validate;

/// SHA-1 of nothing: such a document is not assembled yet, and its hash says nothing.
const HASH_OF_NOTHING: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

/// A document that can be retrieved and compared: stable, assembled, and not too large.
pub fn comparable(object: &PackedObject) -> Option<Found> {
    let object = object.unpack().ok()?;
    let value = |name| object.common.slot_value(name).map(str::trim);
    let (hash, size) = (value(slot::HASH)?.to_ascii_lowercase(), value(slot::SIZE)?.parse().ok()?);
    if object.noun() != Noun::DocumentEntry || object.is_on_demand() {
        return None;
    }
    if size > LARGEST_DOCUMENT || hash == HASH_OF_NOTHING {
        return None;
    }
    Some(Found {
        uuid: object.uuid()?,
        unique_id: UniqueId::parse(object.unique_id()?).ok()?,
        repository: RepositoryUniqueId::parse(value(slot::REPOSITORY_UNIQUE_ID)?).ok()?,
        home: object.common.home.as_deref().and_then(|home| HomeCommunityId::parse(home.trim()).ok()),
        hash,
        size,
    })
}

fn response<'a>(case: &Case<'a>) -> Result<&'a QueryResponse, super::Verdict> {
    let query = case.query()?;
    match &query.read {
        Ok(response) => Ok(response),
        Err(why) => bad(format!("{}: {}", query.told, shown(why))),
    }
}

/// A document's metadata itself. References to objects that are not returned may stand beside
/// (ITI TF-2 §3.18.4.1.2.3), not in its place.
fn is_entry(object: &RegistryObject<'_>) -> bool {
    object.noun() == Noun::DocumentEntry
}

/// Ids of the DocumentEntries; none if there are objects, and none of them is one.
pub fn entry_ids(response: &QueryResponse) -> Option<HashSet<EntryUuid>> {
    let entries = response.objects.iter().filter_map(|packed| packed.unpack().ok());
    let mut entries = entries.filter(is_entry).peekable();
    let nothing_else = response.objects.is_empty() || entries.peek().is_some();
    nothing_else.then(|| entries.filter_map(|entry| entry.uuid()).collect())
}

/// The objects that were found, of which one at least is a DocumentEntry.
fn objects<'a>(case: &Case<'a>) -> Result<Vec<RegistryObject<'a>>, super::Verdict> {
    let response = response(case)?;
    if response.objects.is_empty() {
        return skip("no documents were found");
    }
    let mut objects = Vec::with_capacity(response.objects.len());
    for (number, packed) in response.objects.iter().enumerate() {
        match packed.unpack() {
            Ok(object) => objects.push(object),
            Err(error) => return bad(format!("object {} of {}: {error}", number + 1, response.objects.len())),
        }
    }
    if !objects.iter().any(is_entry) {
        return bad(format!("{}, and no DocumentEntry among them", counted(objects.len(), "object")));
    }
    Ok(objects)
}

/// Looks at each object; the first that is wrong is told.
fn each(case: &Case<'_>, good: &str, judge: impl Fn(&RegistryObject<'_>) -> Result<(), String>) -> Judged {
    let objects = objects(case)?;
    for (number, object) in objects.iter().enumerate() {
        if let Err(why) = judge(object) {
            return bad(format!("object {} of {}: {why}", number + 1, objects.len()));
        }
    }
    Ok(format!("{}{good}", counted(objects.iter().filter(|object| is_entry(object)).count(), "document")))
}

/// An answer that can be read, whether there is much in it or nothing.
pub fn found(case: &Case<'_>) -> Judged {
    let response = response(case)?;
    let entries = response.objects.iter().filter(|packed| packed.unpack().is_ok_and(|object| is_entry(&object)));
    let seen = format!("{}: {}", case.query()?.told, counted(entries.count(), "document"));
    match response.status {
        ResponseStatus::Success => Ok(seen),
        ResponseStatus::PartialSuccess => weak(seen),
        ResponseStatus::Failure => bad(seen),
    }
}

/// DocumentEntries, whole and Approved, as was asked.
pub fn as_asked(case: &Case<'_>) -> Judged {
    each(case, ", all Approved", |object| match object.noun() {
        Noun::DocumentEntry if object.is_approved() => Ok(()),
        Noun::DocumentEntry => Err("a DocumentEntry that is not Approved".to_owned()),
        _ if object.body == Body::ObjectRef => Ok(()),
        noun => Err(format!("a {}", noun.as_str())),
    })
}

/// Everything has its home.
pub fn homes(case: &Case<'_>) -> Judged {
    let response = response(case)?;
    if response.objects.is_empty() {
        return skip("no documents were found");
    }
    match validate::response::query_response(response, true) {
        Ok(()) => Ok(format!("{}, each with its home", counted(response.objects.len(), "object"))),
        Err(why) => bad(shown(&why)),
    }
}

/// Nobody else's documents. A community may know the patient by an id of its own.
pub fn of_the_patient(case: &Case<'_>) -> Judged {
    let Some(asked) = &case.knowledge.settings.patient else { return skip("no patient is given") };
    let gateway = case.knowledge.is_gateway();
    each(case, " of the patient", |object| {
        if object.noun() != Noun::DocumentEntry {
            return Ok(());
        }
        let text = object.patient_id().ok_or("it has no patientId")?;
        let patient = PatientId::parse(text).map_err(|error| format!("its patientId: {error}"))?;
        let known_otherwise = gateway && patient.authority() != asked.authority();
        if patient == *asked || known_otherwise { Ok(()) } else { Err("it is of another patient".to_owned()) }
    })
}

/// The metadata keeps the rules of its submission, judged leniently.
pub fn entries(case: &Case<'_>) -> Judged {
    let mut entries = objects(case)?;
    entries.retain(is_entry);
    let findings = validate::response::document_entries(&entries);
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.severity == Severity::Error);
    match (errors.first(), warnings.first()) {
        (Some(first), _) => bad(format!("{}, the first: {}", counted(errors.len(), "finding"), first.context)),
        (None, Some(first)) => weak(format!("{}, the first: {}", counted(warnings.len(), "finding"), first.context)),
        (None, None) => Ok(format!("{} without a finding", counted(entries.len(), "document"))),
    }
}

/// The document that was asked for by its entryUUID, and no other.
pub fn by_id(case: &Case<'_>) -> Judged {
    let Some(found) = &case.knowledge.found else { return skip("no document was found") };
    let response = response(case)?;
    let told = &case.query()?.told;
    match entry_ids(response) {
        _ if response.status != ResponseStatus::Success => bad(told.to_string()),
        Some(ids) if ids == HashSet::from([found.uuid]) => Ok("the entry asked for".to_owned()),
        Some(ids) => bad(format!("{told}: {}", counted(ids.len(), "document"))),
        None => bad(format!("{told}: {}, and no DocumentEntry among them", counted(response.objects.len(), "object"))),
    }
}

/// The document is what was registered.
pub fn document(case: &Case<'_>) -> Judged {
    let Some(found) = &case.knowledge.found else { return skip("no document was found") };
    let retrieve = case.retrieve()?;
    let documents = match &retrieve.read {
        Ok((answer, documents)) if answer.status == ResponseStatus::Success => documents,
        Ok((_, documents)) => return bad(format!("{}: {}", retrieve.told, counted(documents.len(), "document"))),
        Err(why) => return bad(format!("{}: {}", retrieve.told, shown(why))),
    };
    let [document] = documents.as_slice() else {
        return bad(format!("{}: {}", retrieve.told, counted(documents.len(), "document")));
    };
    if document.unique_id.as_ref() != Some(&found.unique_id) {
        return bad("another document than was asked for");
    }
    if case.knowledge.is_gateway() && document.home != found.home {
        return bad("the document has another HomeCommunityId than was asked for");
    }
    let content = match &document.content {
        Ok(content) => content,
        Err(why) => return bad(why.as_str()),
    };
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, content);
    let sha1: String = sha1.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let octets = u64::try_from(content.len()).unwrap_or(u64::MAX);
    match (octets == found.size, sha1 == found.hash) {
        (true, true) => Ok(format!("{octets} octets, hash and size as registered")),
        (false, _) => bad(format!("{octets} octets, registered are {}", found.size)),
        (true, false) => bad("its hash is not that of the metadata"),
    }
}
