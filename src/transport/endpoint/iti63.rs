//! ITI-63 Cross Gateway Fetch, at the Responding Gateway; and at the Initiating Gateway, which hands it to the
//! community that it names.

use super::{Answer, Scope};
use crate::model::stored_query::AdhocQuery;
use crate::transaction::Service;

/// Answers a fetch.
pub async fn answer(scope: &Scope<'_>, query: &AdhocQuery) -> Answer {
    let most = scope.documents_per_retrieve;
    Answer::Fetch(match scope.service {
        Service::InitiatingGateway => scope.actors.initiating.fetch(scope.context, query, most).await,
        _ => scope.actors.responding.cross_gateway_fetch(scope.context, query, most).await,
    })
}
