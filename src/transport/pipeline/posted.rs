//! Answers of peers that come to us as messages of their own (ITI TF-2 §V.5), on their way to the calls
//! that wait for them.
//!
//! Their size is bounded as that of peers' answers, not of requests. Documents behind the envelope are
//! drawn by the waiting call as its own reader takes them; who posts is told 202 when all is read. What is not taken
//! is on record first (`unwanted.rs`).

use http::Response;
use tokio::sync::oneshot;

use super::deferred::Deferred;
use super::later::accepted;
use super::unwanted::{Came, Unwanted};
use super::{Pipeline, Refused};
use crate::actors::access::Decision;
use crate::actors::context::RequestContext;
use crate::actors::ports::PeerFailure;
use crate::transaction::{Packaging, Service, TRANSACTIONS, Transaction};
use crate::transport::answer::OutBody;
use crate::transport::awaited::Question;
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

    /// The fault for it; its words come later.
    pub(super) fn refused(&self, transaction: Option<&'static Transaction>) -> Refused {
        let (version, relates_to, fault) = (self.version, self.message_id.clone(), Fault::not_awaited());
        Refused { version, relates_to, attempted: transaction, is_answer: true, fault }
    }

    /// Whether it is what a request is answered by.
    fn answers(&self, transaction: &Transaction) -> bool {
        self.is_fault || transaction.is_answered_by(self.action.as_deref().unwrap_or_default())
    }
}

impl Pipeline {
    /// The bounds of a message that comes to a service.
    pub(super) fn bounds_at(&self, service: Service) -> &Bounds {
        if service == ANSWERED_AT && !self.awaited.is_empty() { &self.limits.answers } else { &self.limits.bounds }
    }

    /// Hands an answer to the call that waits for it.
    pub(super) async fn take_answer(&self, posted: Posted, mut message: Message, came: Came<'_>) -> Response<OutBody> {
        let found = self.awaited.find(&posted.relates_to);
        // What it relates to counts; of what relates to nothing, what it says of itself.
        let of_question = found.as_ref().map(|question| question.transaction);
        let transaction = of_question.or_else(|| Transaction::answered_by(posted.action.as_deref()?));
        let refused = || posted.refused(transaction);
        let question = match self.wanted(&posted, found, came) {
            Ok(question) => question,
            Err(unwanted) => {
                message.attachments.drain().await;
                return self.refuse_answer(came, refused(), *unwanted).await;
            }
        };
        let (ended, read) = oneshot::channel();
        if posted.is_fault || question.transaction.packaging == Packaging::Simple {
            // All that counts of it is here.
            message.attachments.drain().await;
            let _ = ended.send(true);
        } else {
            message.attachments.tell_end(ended);
        }
        if let Err(mut unwanted) = self.awaited.hand_over(&posted.relates_to, message) {
            unwanted.attachments.drain().await;
            return self.refuse_answer(came, refused(), Unwanted::late().to(&question)).await;
        }
        tracing::info!(
            correlation_id = %came.correlation_id, transaction = question.transaction.number,
            community = %question.community, caller = %came.connection.caller(), "an answer came"
        );
        let whole = tokio::select! {
            whole = read => whole.unwrap_or(false),
            () = self.cut.cancelled() => false,
        };
        if whole {
            return accepted();
        }
        let unwanted = Unwanted::new(Fault::not_awaited(), "it broke off, or was not wanted to its end");
        self.refuse_answer(came, refused(), unwanted.to(&question)).await
    }

    /// Refuses an answer of a community that was asked while it was live, and is not any more; the call that waits for
    /// it is told, for nobody may answer it. Who is not known as that community is not.
    pub(super) fn of_absent(&self, context: &RequestContext, question: &Question, id: &str) -> Option<Unwanted> {
        let is = self.actors.initiating.no_longer_asks(context, &question.community)?;
        let unwanted = Unwanted::of_absent(&question.community, &is, question.is_for(&context.known_as));
        self.awaited.give_up(id, PeerFailure::NotTaken(is));
        Some(unwanted.to(question))
    }

    /// What an answer is wanted for.
    ///
    /// # Errors
    /// Why it is not taken. Who may answer is judged first: to others nothing is said of the question.
    fn wanted(&self, posted: &Posted, found: Option<Question>, came: Came<'_>) -> Result<Question, Box<Unwanted>> {
        let unwanted = |fault, reason: &'static str| Box::new(Unwanted::new(fault, reason));
        let Some(question) = found else {
            return Err(unwanted(Fault::not_awaited(), "it relates to no request of ours, or to one of long ago"));
        };
        let Came { connection, correlation_id, began, .. } = came;
        let transaction = question.transaction;
        let context = self.context(transaction, correlation_id, connection, None, began);
        let context = RequestContext { known_as: self.known_as(connection), ..context };
        if let Some(unwanted) = self.of_absent(&context, &question, &posted.relates_to) {
            return Err(Box::new(unwanted));
        }
        if !question.is_for(&context.known_as) {
            return Err(Box::new(Unwanted::not_theirs().to(&question)));
        }
        if let Decision::Deny(reason) = connection.access.decide(&context, ANSWERED_AT) {
            tracing::warn!(%correlation_id, transaction = transaction.number, caller = %context.caller, reason, "denied");
            let fault = Fault::sender("This caller may not answer here.").with_status(403);
            return Err(Box::new(unwanted(fault, "this caller may not answer here").to(&question)));
        }
        if !question.waits() {
            return Err(Box::new(Unwanted::late().to(&question)));
        }
        if !posted.answers(transaction) {
            let action = posted.action.as_deref().unwrap_or_default();
            let told = format!("The request that this relates to was {} ({}).", transaction.title, transaction.number);
            let fault = Fault::action_not_supported(action, told);
            return Err(Box::new(unwanted(fault, "it is no answer to what was asked").to(&question)));
        }
        Ok(question)
    }
}
