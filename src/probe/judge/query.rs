//! Stored queries (ITI TF-2 §3.18, §3.38).

use super::response::fails;
use super::{Case, Judged, bad, skip, weak};
use crate::model::response::ResponseStatus;
use crate::model::rim::Body;
use crate::probe::answer::QueryAnswer;
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
        (ResponseStatus::PartialSuccess, 0) if only_others_failed(query) => weak(query.told.to_string()),
        _ => bad(query.told.to_string()),
    }
}

/// The same, or a word that the patient is not known, as the domain's policy has it.
pub fn finds_nobody(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    if query.told.errors.iter().any(|error| error.code == "XDSUnknownPatientId") {
        return fails(case, &["XDSUnknownPatientId"], &[]);
    }
    let response = match &query.read {
        Ok(response) => response,
        Err(why) => return bad(format!("{}: {}", query.told, shown(why))),
    };
    match response.status {
        _ if !response.objects.is_empty() => bad("documents of a patient who is made up"),
        ResponseStatus::Success if query.told.errors.is_empty() => Ok("Success, no objects".to_owned()),
        ResponseStatus::Success => weak(query.told.to_string()),
        ResponseStatus::PartialSuccess if only_others_failed(query) => weak(query.told.to_string()),
        ResponseStatus::PartialSuccess | ResponseStatus::Failure => bad(query.told.to_string()),
    }
}

/// A gateway that asks on is not to blame for those behind it.
fn only_others_failed(query: &QueryAnswer) -> bool {
    let errors = &query.told.errors;
    !errors.is_empty() && errors.iter().all(|error| error.code == "XDSUnavailableCommunity")
}

/// A list of objects, even of none.
pub fn object_list(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    if query.has_objects { Ok("rim:RegistryObjectList".to_owned()) } else { bad("no rim:RegistryObjectList") }
}

/// Nothing but ids, those of the same query with whole objects.
pub fn same_references(case: &Case<'_>) -> Judged {
    let query = case.query()?;
    let response = match &query.read {
        Ok(response) => response,
        Err(why) => return bad(format!("{}: {}", query.told, shown(why))),
    };
    if response.status == ResponseStatus::Failure {
        return bad(query.told.to_string());
    }
    let Some(expected) = &case.knowledge.objects else { return skip("the patient's documents could not be found") };
    let mut references = std::collections::HashSet::new();
    for object in &response.objects {
        match object.unpack() {
            Ok(object) if object.body == Body::ObjectRef => references.extend(object.uuid()),
            _ => return bad("a whole object where only ids were asked for"),
        }
    }
    if response.status == ResponseStatus::PartialSuccess {
        return weak(query.told.to_string());
    }
    if references == *expected {
        return Ok(format!("{} ids, those of the documents", references.len()));
    }
    // Documents come and go between two queries.
    weak(format!("{} ids, and {} documents by the other query", references.len(), expected.len()))
}
