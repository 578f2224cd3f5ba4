//! Patient discovery whose answer is a message of its own (ITI TF-2 §3.55.6, Deferred Response Option), on both
//! sides: a query that is acknowledged, worked on, and answered later where it asks for that; and the answers to
//! queries of ours.
//!
//! Such an answer is acknowledged in the words of HL7. It is taken from the community that was asked, as whom the
//! caller must be known, and from no other. One that comes when nobody waits any more is kept for the
//! next query.

use std::sync::Arc;

use http::Response;

use super::later::accepted;
use super::posted::{ANSWERED_AT, Posted};
use super::unwanted::{Came, Unwanted};
use super::{ConnectionInfo, Pipeline, Taken, response, unaudited};
use crate::actors::access::Decision;
use crate::actors::context::RequestContext;
use crate::actors::correlation::Unwelcome;
use crate::actors::ports::Discovered;
use crate::model::audit_event::AuditOutcome;
use crate::model::discovery::{DiscoveryAnswer, MessageHeader, Priority};
use crate::model::ids::HomeCommunityId;
use crate::transaction::{DEFERRED_DISCOVERY_RESPONSE, Service, Transaction, TransactionId};
use crate::transport::answer::{self, OutBody};
use crate::transport::awaited::Question;
use crate::transport::callbacks::Elsewhere;
use crate::transport::endpoint::{Payload, iti55};
use crate::transport::message::Message;
use crate::wire::ebrs::BodyError;
use crate::wire::hl7v3::{self, ReceivedAnswer};
use crate::wire::soap::{self, Addressing, Envelope, Fault, Version};
use crate::wire::xcpd;

/// An answer about a patient that came as a request.
pub(super) struct Deferred {
    answer: Result<ReceivedAnswer, BodyError>,
    time_to_live: Option<String>,
    query_by_parameter: Option<String>,
}

impl Deferred {
    /// Of a message that is one.
    pub(super) fn of(service: Service, envelope: &Envelope<'_, '_>) -> Option<Self> {
        let action = envelope.addressing.action.as_deref()?;
        let is_one = service == ANSWERED_AT
            && action == DEFERRED_DISCOVERY_RESPONSE
            && envelope.payload.local() == hl7v3::RESPONSE;
        is_one.then(|| Self {
            answer: hl7v3::read_response(envelope.payload),
            time_to_live: envelope.correlation_ttl.clone(),
            query_by_parameter: hl7v3::given_back(envelope.payload),
        })
    }
}

impl Pipeline {
    /// The communities that a caller is known as.
    pub(super) fn known_as(&self, connection: &ConnectionInfo) -> Arc<[HomeCommunityId]> {
        let by_host = self.callers.load().known_as(connection.identity.as_ref());
        // Where certificates are listed for a community, those count and no others.
        let by_host = by_host.iter().filter(|home| !self.actors.responding.is_pinned(home)).cloned();
        let recognised = connection.certificate().and_then(|shown| self.actors.responding.recognised(&shown));
        by_host.chain(recognised).collect()
    }

    /// Where the answer to a query goes that wants it later, if it may go there: then it is answered like any
    /// other, only later. All else is refused as the profile wants it.
    pub(super) fn deferred(&self, taken: &mut Taken, payload: &mut Result<Payload, BodyError>) -> Option<Elsewhere> {
        let Ok(Payload::Discovery(received)) = payload else { return None };
        let query = received.query.as_mut().ok().filter(|query| query.priority == Priority::Deferred)?;
        let target = self.callbacks.load().deferred(query.respond_to.as_deref()?)?;
        // Who may not ask at all is told so at once.
        if taken.connection.access.decide(&taken.context, taken.service) != Decision::Permit {
            return None;
        }
        // Nobody wants a fault there: what cannot be answered is on record here.
        let elsewhere = Elsewhere { answers: Some(target), faults: None };
        if elsewhere.refused(&taken.context.known_as).is_some() {
            return None;
        }
        query.priority = Priority::Immediate;
        taken.deferred = Some(Box::new(received.header.clone()));
        Some(elsewhere)
    }

    /// What a request is told that has been taken in, and whose answer goes elsewhere.
    pub(super) fn receipt(&self, taken: &Taken) -> Response<OutBody> {
        let Some(header) = &taken.deferred else { return accepted() };
        self.acknowledgement(taken.version, taken.addressing.message_id.clone(), header)
    }

    fn acknowledgement(
        &self,
        version: Version,
        relates_to: Option<String>,
        header: &MessageHeader,
    ) -> Response<OutBody> {
        let message_id = Some(soap::new_message_id());
        let addressing = Addressing { message_id, relates_to, ..Addressing::default() };
        let own = self.actors.responding.home();
        let body = iti55::receipt(version, &addressing, own, header, self.clock.now());
        response(200, &format!("{}; charset=UTF-8", version.media_type()), answer::full(body))
    }

    /// Takes an answer to a query of ours: for the call that waits for it, or for the next query.
    pub(super) async fn take_deferred(
        &self,
        posted: Posted,
        deferred: Deferred,
        mut message: Message,
        came: Came<'_>,
    ) -> Response<OutBody> {
        message.attachments.drain().await;
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let taken = self.take_told(deferred, message, transaction, came).await;
        let (header, late) = match taken {
            Ok(taken) => taken,
            Err(unwanted) => return self.refuse_answer(came, posted.refused(Some(transaction)), *unwanted).await,
        };
        let Came { connection, correlation_id, began, .. } = came;
        self.metrics.count(transaction.number, "posted", if late { "late" } else { "taken" }, began.elapsed());
        tracing::info!(
            %correlation_id, transaction = transaction.number, caller = %connection.caller(), late, "an answer came"
        );
        self.acknowledgement(posted.version, posted.message_id.clone(), &header)
    }

    /// Gives such an answer to whom it is for; what to acknowledge, and whether nobody waited any more.
    async fn take_told(
        &self,
        deferred: Deferred,
        message: Message,
        transaction: &'static Transaction,
        came: Came<'_>,
    ) -> Result<(MessageHeader, bool), Box<Unwanted>> {
        let Came { connection, correlation_id, began, .. } = came;
        let context = self.context(transaction, correlation_id, connection, None, began);
        let context = RequestContext { known_as: self.known_as(connection), ..context };
        let unwanted = |fault, reason: &'static str| Box::new(Unwanted::new(fault, reason));
        if let Decision::Deny(reason) = connection.access.decide(&context, ANSWERED_AT) {
            tracing::warn!(%correlation_id, transaction = transaction.number, caller = %context.caller, reason, "denied");
            let fault = Fault::sender("This caller may not answer here.").with_status(403);
            return Err(unwanted(fault, "this caller may not answer here"));
        }
        let answer = deferred.answer;
        let answer = answer.map_err(|error| unwanted(Fault::sender(format!("{error}.")), "it cannot be read"))?;
        let Some(query_id) = &answer.query_id else {
            return Err(unwanted(Fault::sender("queryAck names no query."), "it names no query"));
        };
        let header = answer.header.clone();
        if let Some(id) = query_id.extension.as_deref()
            && let Some(question) = self.awaited.find(id).filter(Question::waits)
            // Ids of queries of other kinds are in the same table, and are none of patients' queries.
            && question.transaction.id == TransactionId::CrossGatewayPatientDiscovery
        {
            if let Some(unwanted) = self.of_absent(&context, &question, id) {
                return Err(Box::new(unwanted));
            }
            if !question.is_for(&context.known_as) {
                return Err(Box::new(Unwanted::not_theirs().to(&question)));
            }
            if self.awaited.hand_over(id, message).is_ok() {
                return Ok((header, false));
            }
        }
        let expires = deferred.time_to_live.and_then(|text| xcpd::expiry(&text, self.clock.now()));
        let (target, is_refusal) = (answer.target.clone(), matches!(answer.answer, DiscoveryAnswer::Refused(_)));
        let discovered = Discovered { answer: answer.answer, expires };
        let facts = |home| iti55::late_facts(deferred.query_by_parameter, target.as_ref(), home);
        let home = match self.actors.initiating.late_discovery(&context, query_id, discovered).await {
            Ok(home) => home,
            Err(Unwelcome::NotAsked) => {
                return Err(unwanted(Fault::not_awaited(), "it answers no question of ours, or one of long ago"));
            }
            Err(Unwelcome::NotTheirs(home)) => {
                return Err(Box::new(Unwanted { community: Some(home), ..Unwanted::not_theirs() }));
            }
            Err(Unwelcome::Absent(home, is)) => {
                // What is given back is believed to be the question from the community itself alone.
                let is_theirs = context.known_as.contains(&home);
                let facts = is_theirs.then(|| Arc::new(facts(&home)));
                return Err(Box::new(Unwanted { facts, ..Unwanted::of_absent(&home, &is, is_theirs) }));
            }
        };
        let outcome = if is_refusal { AuditOutcome::SeriousFailure } else { AuditOutcome::Success };
        let facts = facts(&home);
        let told = (outcome, "the answer came after its time".to_owned());
        let event = facts.event(self.answered_exchange(came, transaction, &facts, told));
        let recorded = self.audit.record([event]).await;
        recorded.map_err(|error| unwanted(unaudited(correlation_id, &error), "it could not be put on record"))?;
        Ok((header, true))
    }
}
