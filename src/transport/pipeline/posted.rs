//! Answers of peers that come to us as messages of their own (ITI TF-2 §V.5), on their way to the calls
//! that wait for them.
//!
//! Their size is bounded as that of peers' answers, not of requests. Documents behind the envelope are
//! drawn by the waiting call as its own reader takes them; who posts is told 202 when all is read.

use std::sync::Arc;

use http::Response;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::deferred::Deferred;
use super::later::accepted;
use super::{ConnectionInfo, Pipeline, Refused};
use crate::actors::access::Decision;
use crate::transaction::{Packaging, Service, TRANSACTIONS, Transaction};
use crate::transport::answer::OutBody;
use crate::transport::message::{Bounds, Message};
use crate::wire::soap::{self, Addressing, Envelope, Fault, Version};

/// Where peers send their answers.
pub const ANSWERED_AT: Service = Service::InitiatingGateway;

/// The headers of an answer.
pub(super) struct Posted {
    pub(super) version: Version,
    pub(super) message_id: Option<String>,
    action: Option<String>,
    relates_to: String,
    is_fault: bool,
    /// An answer about a patient that is a request of its own, rather than the rest of an exchange.
    pub(super) deferred: Option<Box<Deferred>>,
}

impl Posted {
    /// Of a message that is an answer to something; none if it asks for something.
    pub(super) fn of(service: Service, envelope: &Envelope<'_, '_>) -> Option<Self> {
        if let Some(deferred) = Deferred::of(service, envelope) {
            return Some(Self::with(envelope, String::new(), Some(Box::new(deferred)), false));
        }
        let addressing = &envelope.addressing;
        let relates_to = addressing.relates_to.as_ref().filter(|_| service == ANSWERED_AT)?;
        let action = addressing.action.as_deref().unwrap_or_default();
        let is_fault = soap::received_fault(envelope.payload).is_some();
        (is_fault || TRANSACTIONS.iter().any(|row| row.is_answered_by(action)))
            .then(|| Self::with(envelope, relates_to.clone(), None, is_fault))
    }

    fn with(envelope: &Envelope<'_, '_>, relates_to: String, deferred: Option<Box<Deferred>>, is_fault: bool) -> Self {
        let Addressing { message_id, action, .. } = envelope.addressing.clone();
        Self { version: envelope.version, message_id, action, relates_to, is_fault, deferred }
    }

    pub(super) fn refused(&self, asked: Option<&'static Transaction>, fault: Fault) -> Refused {
        Refused { version: self.version, relates_to: self.message_id.clone(), attempted: asked, fault }
    }
}

impl Pipeline {
    /// The bounds of a message that comes to a service.
    pub(super) fn bounds_at(&self, service: Service) -> &Bounds {
        if service == ANSWERED_AT && !self.awaited.is_empty() { &self.limits.answers } else { &self.limits.bounds }
    }

    /// Hands an answer to the call that waits for it.
    pub(super) async fn take_answer(
        &self,
        posted: Posted,
        mut message: Message,
        connection: &ConnectionInfo,
        correlation_id: &Arc<str>,
        began: Instant,
    ) -> Response<OutBody> {
        // What one community is asked another does not answer.
        let may_answer = self.awaited.may_answer(&posted.relates_to, &self.known_as(connection));
        let asked = self.awaited.asked(&posted.relates_to).filter(|_| may_answer == Some(true));
        let refused = |fault| posted.refused(asked, fault);
        let refusal = match asked {
            None => Some(Fault::not_awaited()),
            Some(transaction) => {
                let action = posted.action.as_deref().unwrap_or_default();
                let context = self.context(transaction, correlation_id, connection, None, began);
                match connection.access.decide(&context, ANSWERED_AT) {
                    Decision::Permit if posted.is_fault || transaction.is_answered_by(action) => None,
                    Decision::Permit => Some(Fault::action_not_supported(
                        action,
                        format!("The request that this relates to was {} ({}).", transaction.title, transaction.number),
                    )),
                    Decision::Deny(reason) => {
                        tracing::warn!(%correlation_id, transaction = transaction.number, caller = %context.caller, reason, "denied");
                        Some(Fault::sender("This caller may not answer here.").with_status(403))
                    }
                }
            }
        };
        if let Some(fault) = refusal {
            message.attachments.drain().await;
            return self.refuse(ANSWERED_AT, correlation_id, connection, began, &refused(fault));
        }
        let (ended, read) = oneshot::channel();
        if posted.is_fault || asked.is_some_and(|transaction| transaction.packaging == Packaging::Simple) {
            // All that counts of it is here.
            message.attachments.drain().await;
            let _ = ended.send(true);
        } else {
            message.attachments.tell_end(ended);
        }
        if let Err(mut unwanted) = self.awaited.hand_over(&posted.relates_to, message) {
            unwanted.attachments.drain().await;
            return self.refuse(ANSWERED_AT, correlation_id, connection, began, &refused(Fault::not_awaited()));
        }
        tracing::info!(
            %correlation_id, transaction = asked.map_or("none", |transaction| transaction.number),
            caller = %connection.caller(), "an answer came"
        );
        let whole = tokio::select! {
            whole = read => whole.unwrap_or(false),
            () = self.cut.cancelled() => false,
        };
        if whole {
            return accepted();
        }
        self.refuse(ANSWERED_AT, correlation_id, connection, began, &refused(Fault::not_awaited()))
    }
}
