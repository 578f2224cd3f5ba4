//! ITI-38 Cross Gateway Query, at the Responding Gateway.

use super::{Answer, Scope};
use crate::actors::initiating_gateway::return_type;
use crate::model::stored_query::AdhocQuery;

/// Answers a query of another community's gateway.
pub async fn answer(scope: &Scope<'_>, query: &AdhocQuery) -> Answer {
    let response = scope.actors.responding.cross_gateway_query(scope.context, query).await;
    Answer::Query(response, return_type(query))
}
