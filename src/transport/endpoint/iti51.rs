//! ITI-51 Multi-Patient Stored Query, at the registry.

use super::{Answer, Scope};
use crate::model::stored_query::AdhocQuery;

/// Answers a query about several patients.
pub async fn answer(scope: &Scope<'_>, query: &AdhocQuery) -> Answer {
    let (response, return_type) = scope.actors.registry.multi_patient_query(query).await;
    Answer::Query(response, return_type)
}
