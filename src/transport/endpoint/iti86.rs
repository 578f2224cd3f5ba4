//! ITI-86 Remove Documents, at the repository.

use std::collections::HashSet;

use super::iti43::admitted;
use super::{Answer, Scope};
use crate::model::document::DocumentRequest;
use crate::model::response::{RegistryResponse, ResponseStatus};
use crate::wire::xdsb::RawDocumentRequest;

/// Removes documents.
pub async fn answer(scope: &Scope<'_>, requests: Vec<RawDocumentRequest>) -> Answer {
    let (requests, mut errors) = match admitted(scope, requests) {
        Ok(admitted) => admitted,
        Err(answer) => return answer,
    };
    if requests.is_empty() {
        return Answer::Registry(RegistryResponse::from_errors(errors));
    }
    // Named twice, removed once, with a home or without.
    let mut seen = HashSet::new();
    let once = |r: &DocumentRequest| seen.insert((r.repository.clone(), r.unique_id.clone()));
    let requests = requests.into_iter().filter(once).collect();
    let mut response = scope.actors.repository.remove_documents(requests).await;
    if !errors.is_empty() && response.status == ResponseStatus::Success {
        response.status = ResponseStatus::PartialSuccess;
    }
    response.errors.append(&mut errors);
    Answer::Registry(response)
}
