//! What an answer must carry (ITI TF-3 Table 4.3.2.1-3, TF-2 §3.38.4.2.2, §3.39.4.2.2): for those
//! who judge other systems' answers.

use crate::model::ids::{HomeCommunityId, UniqueId};
use crate::model::metadata::Noun;
use crate::model::response::QueryResponse;
use crate::model::rim::Body;

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
