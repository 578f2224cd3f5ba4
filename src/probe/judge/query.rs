//! Stored queries (ITI TF-2 §3.18, §3.38).

use super::response::fails;
use super::{Case, Judged, bad, skip, weak};
use crate::model::response::ResponseStatus;
use crate::model::rim::Body;
use crate::probe::schema::shown;

/// Success, and nothing found: nobody has what is made up.
pub fn finds_nothing(case: &Case<'_>) -> Judged {
    case.with_home()?;
    let query = case.query()?;
    let response = match &query.read {
        Ok(response) => response,
        Err(why) => return bad(format!("{}: {}", query.told, shown(why))),
    };
    match (response.status, response.objects.len()) {
        (ResponseStatus::Success, 0) => Ok("Success, no objects".to_owned()),
        (_, count @ 1..) => bad(format!("{}: {count} objects for an id that is made up", query.told)),
        // A gateway that asks on is not to blame for those behind it.
        (ResponseStatus::PartialSuccess, 0)
            if query.told.errors.iter().all(|error| error.code == "XDSUnavailableCommunity") =>
        {
            weak(query.told.to_string())
        }
        _ => bad(query.told.to_string()),
    }
}

/// The same, or a word that the patient is not known, as the domain's policy has it.
pub fn finds_nobody(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    if query.told.errors.iter().any(|error| error.code == "XDSUnknownPatientId") {
        return fails(case, &["XDSUnknownPatientId"], &[]);
    }
    match (&query.read, query.told.errors.is_empty()) {
        (Ok(response), true) if response.objects.is_empty() => Ok("Success, no objects".to_owned()),
        (Ok(response), _) if !response.objects.is_empty() => bad("documents of a patient who is made up"),
        _ => weak(query.told.to_string()),
    }
}

/// A list of objects, even of none.
pub fn object_list(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    if query.has_objects { Ok("rim:RegistryObjectList".to_owned()) } else { bad("no rim:RegistryObjectList") }
}

/// The answer is read by the rules of the wire.
pub fn readable(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    match &query.read {
        Ok(_) => Ok(query.told.to_string()),
        Err(why) => bad(format!("{}: {}", query.told, shown(why))),
    }
}

/// Nothing but ids, those of the same query with whole objects.
pub fn same_references(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    let response = match &query.read {
        Ok(response) => response,
        Err(why) => return bad(format!("{}: {}", query.told, shown(why))),
    };
    let Some(expected) = &case.knowledge.objects else { return skip("the patient's documents could not be found") };
    let mut references = std::collections::HashSet::new();
    for object in &response.objects {
        match object.unpack() {
            Ok(object) if object.body == Body::ObjectRef => references.extend(object.uuid()),
            _ => return bad("a whole object where only ids were asked for"),
        }
    }
    if references == *expected {
        return Ok(format!("{} ids, those of the objects", references.len()));
    }
    // Documents come and go between two queries.
    weak(format!("{} ids, and {} objects by the other query", references.len(), expected.len()))
}
