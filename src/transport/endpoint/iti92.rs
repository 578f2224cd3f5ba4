//! ITI-92 Restricted Update Document Set, at the registry and at the Responding Gateway.

use super::{Answer, Scope};
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::RegistryObject;
use crate::transaction::Service;

/// Updates what a restricted update may.
pub async fn answer(scope: &Scope<'_>, objects: Vec<RegistryObject<'static>>) -> Answer {
    if scope.service == Service::RespondingGateway
        && let Err(error) = judge_home(scope, &objects)
    {
        return Answer::Registry(RegistryResponse::from_errors(vec![error]));
    }
    Answer::Registry(scope.actors.registry.restricted_update_document_set(scope.context, objects).await)
}

/// A gateway is told whose metadata it is, by the SubmissionSet or, as public tests have it, by the
/// DocumentEntry; only ours is updated here: the Forward Update Option is not offered (Restricted
/// Metadata Update §3.92.4.1.3).
fn judge_home(scope: &Scope<'_>, objects: &[RegistryObject<'static>]) -> Result<(), RegistryError> {
    let own = scope.actors.responding.home();
    let homes = objects.iter().filter_map(|object| object.common.home.as_deref());
    let mut homes = homes.map(str::trim).filter(|home| !home.is_empty()).peekable();
    let (code, context) = if homes.peek().is_none() {
        let rule = "the SubmissionSet needs a home: it says whose metadata is updated";
        (ErrorCode::XDSMissingHomeCommunityId, format!("{rule} (Restricted Metadata Update §3.92.4.1.2)"))
    } else if let Some(other) = homes.find(|home| *home != own.as_str()) {
        (ErrorCode::XDSUnknownCommunity, format!("metadata of {other} is not updated here, but that of {own}"))
    } else {
        return Ok(());
    };
    Err(RegistryError::new(code, context).at(own.as_str()))
}
