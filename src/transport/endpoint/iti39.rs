//! ITI-39 Cross Gateway Retrieve, at the Responding Gateway.

use super::iti43::admitted;
use super::{Answer, Scope};
use crate::wire::xdsb::RawDocumentRequest;

/// Answers a retrieve of another community's gateway.
pub async fn answer(scope: &Scope<'_>, requests: Vec<RawDocumentRequest>) -> Answer {
    let (requests, errors) = match admitted(scope, requests) {
        Ok(admitted) => admitted,
        Err(answer) => return answer,
    };
    let mut response = scope.actors.responding.cross_gateway_retrieve(scope.context, requests).await;
    let home = scope.actors.responding.home();
    response.errors.extend(errors.into_iter().map(|error| crate::actors::merge::locate(error, home)));
    Answer::Retrieve(response)
}
