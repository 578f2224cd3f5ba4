//! What stays of a request: its audit events, and what was done for it, for who asks later.

use std::sync::Arc;

use tokio::time::Instant;

use super::inbound::ConnectionInfo;
use super::{Pipeline, Taken};
use crate::actors::context::RequestContext;
use crate::actors::explain::Explained;
use crate::model::audit_event::{AuditEvent, AuditNode, AuditOutcome, AuditSide, Exchange};
use crate::model::document::BodyError;
use crate::model::ids::HomeCommunityId;
use crate::model::response::RegistryError;
use crate::transaction::Service;
use crate::transport::answer::OnFailure;
use crate::transport::endpoint::{Answer, AuditFacts};
use crate::wire::soap::{self, Addressing, Fault};

impl Pipeline {
    /// Gives what was done for a request to the collector of spans, and keeps a gateway's, for who asks about it
    /// later.
    pub(super) fn explain(
        &self,
        service: Service,
        context: &RequestContext,
        outcome: &'static str,
        errors: Vec<Located>,
        began: Instant,
    ) {
        let (is_sent, is_kept) = (self.telemetry.wants(&context.trace), service.is_gateway());
        if !is_sent && !is_kept {
            return;
        }
        let explained = self.explained(context, outcome, errors, began);
        if is_sent {
            self.telemetry.take(Arc::clone(&explained));
        }
        if is_kept {
            self.explanations.keep(explained);
        }
    }

    /// Gives a request to the collector of spans for which nothing was done, so that there is nothing to explain.
    pub(super) fn trace_refusal(&self, context: &RequestContext, began: Instant) {
        if self.telemetry.wants(&context.trace) {
            self.telemetry.take(self.explained(context, "fault", Vec::new(), began));
        }
    }

    fn explained(
        &self,
        context: &RequestContext,
        outcome: &'static str,
        errors: Vec<Located>,
        began: Instant,
    ) -> Arc<Explained> {
        let took = began.elapsed();
        Arc::new(Explained {
            id: Arc::clone(&context.correlation_id),
            trace: context.trace.clone(),
            transaction: context.transaction.number,
            caller: Arc::clone(&context.caller),
            at: self.clock.now() - jiff::SignedDuration::try_from(took).unwrap_or_default(),
            took,
            outcome,
            errors,
            steps: context.steps.all(),
            routes: context.steps.routes(),
        })
    }

    pub(super) fn exchange(
        &self,
        context: &RequestContext,
        endpoint: &str,
        connection: &ConnectionInfo,
        addressing: &Addressing,
        facts: &AuditFacts,
    ) -> Exchange {
        let remote = Some(connection.remote.ip().into());
        let requester = match addressing.reply_to.as_deref() {
            // The address is the caller's choice: who it was by certificate stands beside it.
            Some(address) if address != soap::ANONYMOUS && address != soap::NO_REPLY => {
                AuditNode::new(address, remote).named(&*context.caller)
            }
            _ => AuditNode::new(&*context.caller, remote),
        };
        Exchange {
            codes: context.transaction.audit_responder,
            side: AuditSide::Responder,
            at: self.clock.now(),
            outcome: AuditOutcome::Success,
            outcome_description: None,
            requester,
            responder: AuditNode::new(endpoint, None),
            humans: Vec::new(),
            purposes: Vec::new(),
            patients: facts.patients(),
            source: self.audit.source(),
            correlation_id: Some(context.correlation_id.to_string()),
        }
    }

    pub(super) fn inbound_events(
        &self,
        context: &RequestContext,
        endpoint: &str,
        connection: &ConnectionInfo,
        addressing: &Addressing,
        facts: &AuditFacts,
        answer: &Result<Answer, Fault>,
    ) -> Vec<AuditEvent> {
        let exchange = self.exchange(context, endpoint, connection, addressing, facts);
        if let Some(refusal) = &context.asker.refusal {
            let outcome_description = Some(format!("refused: {}", refusal.reason));
            return vec![facts.event(Exchange {
                outcome: AuditOutcome::SeriousFailure,
                outcome_description,
                ..exchange
            })];
        }
        match answer {
            Ok(answer) => {
                let exchange = Exchange { outcome_description: answer.refusal().map(str::to_owned), ..exchange };
                facts.events(exchange, answer.status(), answer.errors(), answer.retrieved())
            }
            Err(fault) => {
                let exchange = Exchange {
                    outcome: AuditOutcome::SeriousFailure,
                    outcome_description: Some(fault.reason.clone()),
                    ..exchange
                };
                vec![facts.event(exchange)]
            }
        }
    }

    /// Audits a retrieve whose bytes broke off after its success was told.
    pub(super) fn on_stream_failure(&self, taken: &Taken) -> OnFailure {
        let Taken { context, endpoint, connection, addressing, facts, .. } = taken;
        let exchange = self.exchange(context, endpoint, connection, addressing, facts);
        let (facts, audit) = (facts.clone(), self.audit.clone());
        let (correlation_id, transaction) = (Arc::clone(&context.correlation_id), context.transaction.number);
        Arc::new(move |error: BodyError| {
            let cause = error.without_their_words();
            tracing::error!(%correlation_id, transaction, cause, "a document broke off; the answer was cut short");
            let event: AuditEvent = facts.event(Exchange {
                outcome: AuditOutcome::SeriousFailure,
                outcome_description: Some(format!("broken off while documents were sent: {cause}")),
                ..exchange.clone()
            });
            let audit = audit.clone();
            Box::pin(async move { audit.record_late([event]).await })
        })
    }
}

/// A code, and a community.
pub(super) type Located = (String, Option<String>);

/// An error as it may be told to others than who asked: its code, and the community.
pub(super) fn located(error: &RegistryError) -> Located {
    (error.code.without_their_words().to_owned(), error.location.clone().filter(|at| is_home(at)))
}

/// Whether a location names a community: what else may stand there is a peer's word.
fn is_home(location: &str) -> bool {
    HomeCommunityId::parse(location).is_ok()
}
