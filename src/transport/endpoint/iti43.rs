//! ITI-43 Retrieve Document Set, at the repository and at the Initiating Gateway.

use super::{Answer, Scope};
use crate::model::document::DocumentRequest;
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, RegistryError};
use crate::transaction::Service;
use crate::transform::retrieve::requests as typed;
use crate::wire::xdsb::RawDocumentRequest;

/// Answers a retrieve.
pub async fn answer(scope: &Scope<'_>, requests: Vec<RawDocumentRequest>) -> Answer {
    let (requests, errors) = match admitted(scope, requests) {
        Ok(admitted) => admitted,
        Err(answer) => return answer,
    };
    let mut response = match scope.service {
        Service::InitiatingGateway => scope.actors.initiating.retrieve(scope.context, requests).await,
        _ => scope.actors.repository.retrieve(requests).await,
    };
    response.errors.extend(errors);
    Answer::Retrieve(response)
}

/// The requests as typed nouns, within the bound of one retrieve.
pub fn admitted(
    scope: &Scope<'_>,
    mut requests: Vec<RawDocumentRequest>,
) -> Result<(Vec<DocumentRequest>, Vec<RegistryError>), Answer> {
    let limit = scope.documents_per_retrieve;
    if requests.len() > limit {
        let error = RegistryError::new(
            ErrorCode::XDSTooManyResults,
            format!(
                "{} documents are asked for, {limit} at most are given at once: ask in several requests",
                requests.len()
            ),
        );
        return Err(Answer::failure(scope.context.transaction.id, error));
    }
    if scope.service == Service::Repository {
        // DECISION(ITI TF-2 §3.43.4.1.2, Remove Metadata and Documents §3.86.4.1.2): a repository looks at no
        // HomeCommunityId; one that is none is not echoed.
        for request in &mut requests {
            request.home = request.home.take().filter(|home| HomeCommunityId::parse_lenient(home).is_ok());
        }
    }
    Ok(typed(requests))
}
