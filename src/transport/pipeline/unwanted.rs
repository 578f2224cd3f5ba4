//! Answers that are posted to us and not taken: each is on record in the audit trail before its sender is told
//! (ITI TF-2 §3.20), under the transaction that it claims to answer, as a failure on our side, which asked.
//!
//! Of whom it was about is said what our own request said, while that waits; what the answer says is not
//! believed, and so not repeated. One that answers nothing that can be named is on record as an alert.

use std::borrow::Cow;
use std::sync::Arc;

use http::Response;
use http::header;
use tokio::time::Instant;

use super::inbound::{ConnectionInfo, Refused};
use super::{Pipeline, unaudited};
use crate::model::audit_event::{AuditEvent, AuditNode, AuditOutcome, AuditSide, Exchange, NetworkAccessPoint};
use crate::model::ids::HomeCommunityId;
use crate::transaction::{Service, Transaction};
use crate::transport::answer::OutBody;
use crate::transport::awaited::Question;
use crate::transport::endpoint::AuditFacts;
use crate::transport::peer::profile::soap_action;
use crate::wire::soap::Fault;

/// How an answer came.
#[derive(Clone, Copy)]
pub(super) struct Came<'m> {
    pub(super) service: Service,
    pub(super) connection: &'m ConnectionInfo,
    pub(super) correlation_id: &'m Arc<str>,
    pub(super) began: Instant,
}

/// Why an answer is not taken, and what is known of the question.
pub(super) struct Unwanted {
    /// What its sender is told.
    pub(super) fault: Fault,
    /// The same for the log and the audit trail.
    pub(super) reason: Cow<'static, str>,
    /// The community that was asked.
    pub(super) community: Option<HomeCommunityId>,
    /// Whether its sender is somebody else.
    pub(super) is_not_theirs: bool,
    /// What audit says of the question.
    pub(super) facts: Option<Arc<AuditFacts>>,
}

impl Unwanted {
    /// Of an answer to a question that is not known.
    pub(super) fn new(fault: Fault, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { fault, reason: reason.into(), community: None, is_not_theirs: false, facts: None }
    }

    /// The same where it is known what was asked.
    #[must_use]
    pub(super) fn to(self, question: &Question) -> Self {
        Self { community: Some(question.community.clone()), facts: question.facts.clone(), ..self }
    }

    /// Of an answer of a community that is none to be asked any more, as that one is told.
    pub(super) fn of_absent(community: &HomeCommunityId, is: &str, is_told: bool) -> Self {
        let told = format!("The community that was asked is {is}: its answers are not taken.");
        let fault = if is_told { Fault::sender(told).with_status(403) } else { Fault::not_awaited() };
        let reason = format!("the community that was asked is {is}");
        Self { community: Some(community.clone()), ..Self::new(fault, reason) }
    }

    /// Of an answer to a question that nobody waits with any more.
    pub(super) fn late() -> Self {
        Self::new(Fault::not_awaited(), "it came after its time, or once more")
    }

    /// Of an answer from somebody else than who was asked, who is told no more than whoever guesses.
    pub(super) fn not_theirs() -> Self {
        let reason = "its sender is not known as the community that was asked";
        Self { is_not_theirs: true, ..Self::new(Fault::not_awaited(), reason) }
    }
}

/// The transaction that a message claims to answer by what HTTP says of it.
pub(super) fn claimed(parts: &http::request::Parts) -> Option<&'static Transaction> {
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let packaging = content_type.and_then(|text| crate::wire::mtom::Packaging::parse(text).ok());
    let action = packaging.as_ref().and_then(|packaging| packaging.action());
    action.or_else(|| soap_action(&parts.headers)).and_then(Transaction::answered_by)
}

impl Pipeline {
    /// What audit says of an answer that came to us as a message, from whoever sent it.
    pub(super) fn answered_exchange(
        &self,
        came: Came<'_>,
        transaction: &'static Transaction,
        facts: &AuditFacts,
        (outcome, description): (AuditOutcome, String),
    ) -> Exchange {
        let Came { connection, correlation_id, .. } = came;
        Exchange {
            codes: transaction.audit_requester,
            side: AuditSide::Requester,
            at: self.clock.now(),
            outcome,
            outcome_description: Some(description),
            requester: AuditNode::new(self.actors.responding.home().as_str(), None),
            responder: AuditNode::new(&*connection.caller(), Some(connection.remote.ip().into())),
            humans: Vec::new(),
            purposes: Vec::new(),
            patients: facts.patients(),
            source: self.audit.source(),
            correlation_id: Some(correlation_id.to_string()),
        }
    }

    /// Refuses an answer, once that is on record; `refused` is its fault, but for the words.
    pub(super) async fn refuse_answer(
        &self,
        came: Came<'_>,
        refused: Refused,
        unwanted: Unwanted,
    ) -> Response<OutBody> {
        let Came { service, connection, correlation_id, began } = came;
        let Unwanted { fault, reason, community, is_not_theirs, facts } = unwanted;
        let transaction = refused.attempted;
        if is_not_theirs {
            // It may be the community all the same, with a certificate that has been renewed.
            let number = transaction.map_or("none", |transaction| transaction.number);
            let _ = self.impersonated(connection, number, correlation_id);
        }
        let caller = connection.caller();
        tracing::warn!(
            %correlation_id, transaction = transaction.map_or("none", |transaction| transaction.number),
            community = community.as_ref().map(HomeCommunityId::as_str), %caller, %reason, "an answer is refused"
        );
        let mut description = format!("an answer was refused: {reason}");
        if let Some(community) = &community {
            description.push_str(&format!("; {community} was asked"));
        }
        let event = match transaction {
            Some(transaction) => {
                let nothing = || AuditFacts::of_no_request(transaction.request_root);
                let facts = facts.map_or_else(nothing, |facts| AuditFacts::clone(&facts));
                let outcome = (AuditOutcome::SeriousFailure, description);
                facts.event(self.answered_exchange(came, transaction, &facts, outcome))
            }
            None => {
                let remote = NetworkAccessPoint::from(connection.remote.ip());
                description.push_str(&format!("; it came from {caller}"));
                let (source, at) = (self.audit.source(), self.clock.now());
                let failed = AuditOutcome::SeriousFailure;
                let alert = AuditEvent::node_authentication_failure(source, at, None, &remote, &description, failed);
                AuditEvent { correlation_id: Some(correlation_id.to_string()), ..alert }
            }
        };
        let fault = match self.audit.record([event]).await {
            Ok(()) => fault,
            Err(error) => unaudited(correlation_id, &error),
        };
        self.refuse(service, correlation_id, connection, began, &Refused { fault, ..refused })
    }
}
