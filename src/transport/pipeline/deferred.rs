//! Patient discovery whose answer is a message of its own (ITI TF-2 §3.55.6, Deferred Response Option), on both
//! sides: a query that is acknowledged, worked on, and answered later where it asks for that; and the answers to
//! queries of ours.
//!
//! Such an answer is acknowledged in the words of HL7. It is taken from the community that was asked, as whom the
//! caller must be known, and from no other. One that comes when nobody waits any more is kept for the
//! next query.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;

use super::later::accepted;
use super::posted::{ANSWERED_AT, Posted};
use super::{ConnectionInfo, Pipeline, Taken, response, unaudited};
use crate::actors::access::Decision;
use crate::actors::context::RequestContext;
use crate::actors::ports::Discovered;
use crate::model::audit_event::{AuditNode, AuditOutcome, AuditSide, Exchange};
use crate::model::discovery::{DiscoveryAnswer, MessageHeader, Priority};
use crate::model::ids::HomeCommunityId;
use crate::transaction::{DEFERRED_DISCOVERY_RESPONSE, Service, Transaction, TransactionId};
use crate::transport::answer::{self, OutBody};
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
        connection: &ConnectionInfo,
        correlation_id: &Arc<str>,
        began: Instant,
    ) -> Response<OutBody> {
        message.attachments.drain().await;
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let refuse = |fault| {
            let refused = posted.refused(Some(transaction), fault);
            self.refuse(ANSWERED_AT, correlation_id, connection, began, &refused)
        };
        let context = self.context(transaction, correlation_id, connection, None, began);
        let context = RequestContext { known_as: self.known_as(connection), ..context };
        if let Decision::Deny(reason) = connection.access.decide(&context, ANSWERED_AT) {
            tracing::warn!(%correlation_id, transaction = transaction.number, caller = %context.caller, reason, "denied");
            return refuse(Fault::sender("This caller may not answer here.").with_status(403));
        }
        let answer = match deferred.answer {
            Ok(answer) => answer,
            Err(error) => return refuse(Fault::sender(format!("{error}."))),
        };
        let Some(query_id) = &answer.query_id else {
            return refuse(Fault::sender("queryAck names no query."));
        };
        let header = answer.header.clone();
        let waits =
            query_id.extension.as_deref().and_then(|id| Some((id, self.awaited.may_answer(id, &context.known_as)?)));
        let is_handed_over = match waits {
            Some((_, false)) => {
                tracing::warn!(
                    %correlation_id, transaction = transaction.number, caller = %context.caller,
                    "a caller answers who is not known as the community that was asked: that is not taken"
                );
                return refuse(Fault::not_awaited());
            }
            Some((id, true)) => self.awaited.hand_over(id, message).is_ok(),
            None => false,
        };
        if !is_handed_over {
            let expires = deferred.time_to_live.and_then(|text| xcpd::expiry(&text, self.clock.now()));
            let (target, is_refusal) = (answer.target.clone(), matches!(answer.answer, DiscoveryAnswer::Refused(_)));
            let discovered = Discovered { answer: answer.answer, expires };
            let Some(home) = self.actors.initiating.late_discovery(&context, query_id, discovered).await else {
                return refuse(Fault::not_awaited());
            };
            let facts = iti55::late_facts(deferred.query_by_parameter, target.as_ref(), &home);
            let exchange = Exchange {
                codes: transaction.audit_requester,
                side: AuditSide::Requester,
                at: self.clock.now(),
                outcome: if is_refusal { AuditOutcome::SeriousFailure } else { AuditOutcome::Success },
                outcome_description: Some("the answer came after its time".to_owned()),
                requester: AuditNode::new(self.actors.responding.home().as_str(), None),
                responder: AuditNode::new(&*context.caller, Some(connection.remote.ip().into())),
                humans: Vec::new(),
                purposes: Vec::new(),
                patients: Vec::new(),
                source: self.audit.source(),
                correlation_id: Some(context.correlation_id.to_string()),
            };
            if let Err(error) = self.audit.record([facts.event(exchange)]).await {
                return refuse(unaudited(correlation_id, &error));
            }
        }
        self.metrics.count(
            transaction.number,
            "posted",
            if is_handed_over { "taken" } else { "late" },
            began.elapsed(),
        );
        tracing::info!(
            %correlation_id, transaction = transaction.number, caller = %context.caller, late = !is_handed_over, "an answer came"
        );
        self.acknowledgement(posted.version, posted.message_id.clone(), &header)
    }
}
