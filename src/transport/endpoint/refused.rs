//! What a caller is told whose community may not ask (`[[peer]]` kind, state, certificates): an error of the transaction,
//! where it has any, and why, in words about the caller alone.

use tokio::time::Instant;

use super::{Answer, Payload, frame_error, has_error_list, iti55};
use crate::actors::askers::Refusal;
use crate::actors::context::RequestContext;
use crate::actors::explain::Doing;
use crate::model::discovery::Problem;
use crate::model::ids::HomeCommunityId;
use crate::model::response::RegistryError;
use crate::transaction::Service;
use crate::wire::soap::Fault;

/// Refuses.
///
/// # Errors
/// The fault, where the transaction has no errors of its own.
pub fn answer(
    context: &RequestContext,
    service: Service,
    payload: Option<Payload>,
    refusal: &Refusal,
    home: &HomeCommunityId,
) -> Result<Answer, Fault> {
    let transaction = context.transaction;
    tracing::warn!(
        correlation_id = %context.correlation_id, transaction = transaction.number, caller = %context.caller,
        reason = refusal.reason, "refused"
    );
    context.steps.came_of(None, Doing::Refused, Instant::now(), || refusal.reason.clone().into());
    match payload {
        // The framework's word for "there is no answer for you" (ITI TF-2 §3.55.4.2.3).
        Some(Payload::Discovery(received)) => {
            Ok(Answer::Discovery(Box::new(iti55::Reply::none(*received, Problem::AnswerNotAvailable))))
        }
        _ if !has_error_list(transaction.id) => Err(Fault::sender(refusal.told.clone()).with_status(403)),
        _ => {
            let error = RegistryError::new(frame_error(transaction.id), refusal.told.clone());
            let error = if service.is_gateway() { error.at(home.as_str()) } else { error };
            Ok(Answer::failure(transaction.id, error))
        }
    }
}
