//! ITI-18 Registry Stored Query, at the registry and at the Initiating Gateway.

use super::{Answer, Scope};
use crate::actors::initiating_gateway::return_type;
use crate::model::stored_query::AdhocQuery;
use crate::transaction::Service;

/// Answers a query.
pub async fn answer(scope: &Scope<'_>, query: &AdhocQuery) -> Answer {
    if scope.service == Service::InitiatingGateway {
        let response = scope.actors.initiating.stored_query(scope.context, query).await;
        return Answer::Query(response, return_type(query));
    }
    let (response, return_type) = scope.actors.registry.stored_query(query).await;
    Answer::Query(response, return_type)
}
