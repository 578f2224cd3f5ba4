//! Requests whose answers go elsewhere (ITI TF-2 §V.5, WS-Addressing 1.0): taken in, told so with HTTP
//! 202, worked on like any other, and answered by a message of ours.
//!
//! What is told 202 has its places: among the requests under way and among those whose answers are not
//! delivered yet. From then on it ends in one of three ways, and the audit trail and the log say which:
//! delivered, not wanted, or given up.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Pipeline, Refused, Taken, response, unaudited};
use crate::actors::context::RequestContext;
use crate::model::audit_event::{AuditOutcome, Exchange};
use crate::transport::admission::Place;
use crate::transport::answer::{self, OutBody};
use crate::transport::callbacks::{Elsewhere, Target};
use crate::transport::delivery::{Cargo, Parcel, Undelivered, post};
use crate::transport::endpoint::{Answer, AuditFacts, Payload};
use crate::transport::message::Attachments;
use crate::wire::ebrs;
use crate::wire::soap::{self, Addressing, Fault, Version};

/// What was found out about a request.
type Outcome = Result<Answer, Fault>;

/// Room in memory and among the requests that are under way.
struct Places {
    /// Its envelope's.
    _envelope: Option<OwnedSemaphorePermit>,
    /// Among the requests whose answers are not delivered yet, and among those that go to the same address.
    pending: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    /// Among those being worked on.
    admitted: Place,
}

impl Pipeline {
    /// Takes a request in and says so; the answer follows on another connection.
    pub(super) async fn answer_later(
        self: &Arc<Self>,
        taken: Taken,
        payload: Result<Payload, ebrs::BodyError>,
        mut attachments: Attachments,
        envelope: Option<OwnedSemaphorePermit>,
        elsewhere: Elsewhere,
    ) -> Response<OutBody> {
        // Known before it is taken in, so told on its connection: nobody makes us call others who may not ask at all.
        if let Err(denied) = taken.permitted() {
            attachments.drain().await;
            return self.turn_away(&taken, denied).await;
        }
        if let Some(fault) = elsewhere.refused(&taken.context.known_as) {
            attachments.drain().await;
            return self.turn_away(&taken, fault).await;
        }
        // Its client is told that it has been taken in, and need not stay.
        let mut taken = taken;
        taken.context.gone = CancellationToken::new();
        let room = elsewhere.answers.as_ref().map(|target| Arc::clone(&target.room).try_acquire_owned()).transpose();
        let places = match (Arc::clone(&self.pending).try_acquire_owned(), room) {
            (Ok(pending), Ok(room)) => {
                let admitted = self.gate.admit(&taken.context).await.ok();
                admitted.map(|admitted| Places { _envelope: envelope, pending: (pending, room), admitted })
            }
            _ => None,
        };
        let receipt = self.receipt(&taken);
        let Some(places) = places else {
            attachments.drain().await;
            let fault = Fault::endpoint_unavailable("Too many requests are under way; send it again in a moment.");
            return self.turn_away(&taken, fault).await;
        };
        let (taken_in, told) = oneshot::channel();
        let (service, connection) = (taken.service, Arc::clone(&taken.connection));
        let (correlation_id, began) = (Arc::clone(&taken.context.correlation_id), taken.began);
        let pipeline = Arc::clone(self);
        let work = async move { pipeline.see_through(taken, payload, attachments, places, elsewhere, taken_in).await };
        connection.tasks.spawn(work.instrument(tracing::Span::current()));
        match told.await {
            Ok(Ok(())) => receipt,
            Ok(Err(refused)) => self.refuse(service, &correlation_id, &connection, began, &refused),
            Err(_) => self.refuse(
                service,
                &correlation_id,
                &connection,
                began,
                &Refused::unread(Fault::receiver("The request could not be worked on; the log has the cause.")),
            ),
        }
    }

    /// Refuses a request that was understood, and could not be taken in.
    async fn turn_away(&self, taken: &Taken, fault: Fault) -> Response<OutBody> {
        let Taken { service, context, connection, endpoint, addressing, facts, began, .. } = taken;
        let refused = Err(fault.clone());
        let events = self.inbound_events(context, endpoint, connection, addressing, facts, &refused);
        let fault = match self.audit.record(events).await {
            Ok(()) => fault,
            Err(error) => unaudited(&context.correlation_id, &error),
        };
        self.trace_refusal(context, *began);
        self.refuse(*service, &context.correlation_id, connection, *began, &taken.refused(fault))
    }

    /// From the message to the delivered answer; `taken_in` is told when the message is wholly here.
    async fn see_through(
        &self,
        taken: Taken,
        payload: Result<Payload, ebrs::BodyError>,
        mut attachments: Attachments,
        places: Places,
        elsewhere: Elsewhere,
        taken_in: oneshot::Sender<Result<(), Refused>>,
    ) {
        let Places { _envelope, pending: _pending, admitted } = places;
        let again = payload.as_ref().ok().and_then(Payload::repeatable);
        // Documents are read while they are worked on: only then is the message here.
        let outcome = if matches!(payload, Ok(Payload::Provide(_))) {
            let outcome = self.work(&taken, payload, &mut attachments, Some(admitted), |answer| answer).await;
            if let Err(fault) = outcome {
                let _ = taken_in.send(Err(taken.refused(fault)));
                return;
            }
            let _ = taken_in.send(Ok(()));
            outcome
        } else {
            attachments.drain().await;
            let _ = taken_in.send(Ok(()));
            self.work(&taken, payload, &mut attachments, Some(admitted), |answer| answer).await
        };
        drop((attachments, _envelope));
        self.deliver(&taken, elsewhere, outcome, again).await;
    }

    /// Sends an answer where it is wanted: several times, if nobody is there, until its time is up.
    async fn deliver(&self, taken: &Taken, elsewhere: Elsewhere, outcome: Outcome, again: Option<Payload>) {
        let limits = self.limits.later;
        let until = taken.began + limits.deadline;
        if let Err(fault) = &outcome {
            self.note_fault(taken, fault);
        }
        let told = match &outcome {
            Ok(answer) => taken.facts.clone().with_answer(answer),
            Err(_) => taken.facts.clone(),
        };
        let target = if outcome.is_ok() { elsewhere.answers } else { elsewhere.faults };
        let Some(target) = target else { return };
        let mut parcel = Some(self.parcel(taken, &target, outcome).await);
        let (mut pause, mut cause) = (limits.pause, "its time is up".to_owned());
        for tries in 1..=limits.tries {
            let ready = match parcel.take() {
                Some(parcel) => Some(parcel),
                None => self.worked_on_again(taken, &target, again.as_ref()).await,
            };
            let Some(ready) = ready else { break };
            parcel = ready.again();
            let posted = tokio::select! {
                posted = timeout_at(until, post(&target, ready, &taken.context.correlation_id, limits.stall)) => posted,
                () = self.cut.cancelled() => {
                    cause = "this broker stops".to_owned();
                    break;
                }
            };
            match posted {
                Ok(Ok(())) => return self.note_delivered(taken, tries),
                Ok(Err(undelivered)) => {
                    cause = undelivered.to_string();
                    if matches!(undelivered, Undelivered::Refused(_) | Undelivered::Declined(_)) {
                        break;
                    }
                }
                Err(_) => break,
            }
            if tries == limits.tries || Instant::now() + pause >= until {
                break;
            }
            tracing::info!(
                correlation_id = %taken.context.correlation_id, transaction = taken.context.transaction.number,
                tries, cause, "an answer was not taken, and is sent again"
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = self.cut.cancelled() => break,
            }
            pause = pause.saturating_mul(2);
        }
        self.give_up(taken, &told, &cause).await;
    }

    /// A retrieve's answer once more, when documents have gone with the try before: they are on record again.
    async fn worked_on_again(&self, taken: &Taken, target: &Target, again: Option<&Payload>) -> Option<Parcel> {
        let payload = again?.repeatable()?;
        let deadline = Instant::now() + self.limits.retrieve_deadline;
        let context = RequestContext { deadline, ..taken.context.clone() };
        let mut nothing = Attachments::empty(&self.limits.bounds);
        let answer = self.call(&context, taken.service, payload, &mut nothing).await;
        let Taken { connection, endpoint, addressing, facts, .. } = taken;
        let events = self.inbound_events(&context, endpoint, connection, addressing, facts, &answer);
        if let Err(error) = self.audit.record(events).await {
            let _ = unaudited(&context.correlation_id, &error);
            return None;
        }
        Some(self.parcel(taken, target, answer).await)
    }

    async fn parcel(&self, taken: &Taken, target: &Target, outcome: Outcome) -> Parcel {
        let addressing = Addressing {
            to: Some(target.address.clone()),
            parameters: target.parameters.clone(),
            ..taken.answer_addressing()
        };
        let (action, streamed, message) = match outcome {
            Ok(answer) => {
                let streamed = answer.streams();
                (taken.response_action(), streamed, self.encode(taken, addressing, answer))
            }
            Err(fault) => {
                let body = soap::write_fault_with(taken.version, &fault, &addressing);
                let content_type = format!("{}; charset=UTF-8", taken.version.media_type());
                (fault.action(), false, response(200, &content_type, answer::full(body)))
            }
        };
        let (head, body) = message.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mut content_type = content_type.unwrap_or_default().to_owned();
        if taken.version == Version::V12 && !content_type.starts_with("multipart/") {
            content_type.push_str(&format!("; action=\"{action}\""));
        }
        let soap_action = (taken.version == Version::V11).then(|| format!("\"{action}\""));
        let value = |text: &str| HeaderValue::from_str(text).ok();
        Parcel {
            content_type: value(&content_type).unwrap_or(HeaderValue::from_static("application/soap+xml")),
            soap_action: soap_action.as_deref().and_then(value),
            acknowledged: taken.deferred.is_some(),
            length: head.headers.get(header::CONTENT_LENGTH).cloned().filter(|_| streamed),
            cargo: if streamed {
                Cargo::Stream(body)
            } else {
                // All of it is in memory already.
                Cargo::Whole(body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes))
            },
        }
    }

    fn note_fault(&self, taken: &Taken, fault: &Fault) {
        let Taken { context, connection, began, .. } = taken;
        self.metrics.count(context.transaction.number, "inbound", "fault", began.elapsed());
        tracing::warn!(
            correlation_id = %context.correlation_id, transaction = context.transaction.number,
            caller = %context.caller, remote = %connection.remote, code = ?fault.code, subcodes = ?fault.subcodes,
            "answered with a fault"
        );
    }

    fn note_delivered(&self, taken: &Taken, tries: usize) {
        let Taken { context, began, .. } = taken;
        self.metrics.count(context.transaction.number, "callback", "delivered", began.elapsed());
        tracing::info!(
            correlation_id = %context.correlation_id, transaction = context.transaction.number, tries,
            ms = began.elapsed().as_millis() as u64, "delivered"
        );
    }

    /// An answer that nobody took is on record: who asked has not what the record before says.
    async fn give_up(&self, taken: &Taken, facts: &AuditFacts, cause: &str) {
        let Taken { context, connection, endpoint, addressing, began, .. } = taken;
        self.metrics.count(context.transaction.number, "callback", "undelivered", began.elapsed());
        tracing::error!(
            correlation_id = %context.correlation_id, transaction = context.transaction.number,
            caller = %context.caller, cause, "an answer could not be delivered and is given up"
        );
        let exchange = self.exchange(context, endpoint, connection, addressing, facts);
        let event = facts.event(Exchange {
            outcome: AuditOutcome::SeriousFailure,
            outcome_description: Some(format!("the answer could not be delivered: {cause}")),
            ..exchange
        });
        self.audit.record_late([event]).await;
    }
}

/// HTTP 202: the message is here, and nothing more is to come on this connection.
pub(super) fn accepted() -> Response<OutBody> {
    let mut accepted = Response::new(answer::full(Bytes::new()));
    *accepted.status_mut() = http::StatusCode::ACCEPTED;
    accepted
}
