//! ITI-55 Cross Gateway Patient Discovery, at the Responding Gateway.

use std::time::Duration;

use jiff::Timestamp;

use super::{Answer, AuditFacts, Scope, audited_request};
use crate::actors::context::RequestContext;
use crate::actors::responding_gateway::RespondingGateway;
use crate::model::audit_event::AuditedQuery;
use crate::model::discovery::{DiscoveryAnswer, DiscoveryQuery, InstanceId, MessageHeader, Priority, Problem};
use crate::model::ids::HomeCommunityId;
use crate::model::time::Dtm;
use crate::transport::answer;
use crate::wire::hl7v3::{self, Acknowledgement, Answering, ReceivedQuery, UNSUPPORTED_MODE};
use crate::wire::soap::{Addressing, Version};
use crate::wire::xcpd;

/// `wsa:Action` of an acknowledgement.
const ACKNOWLEDGEMENT_ACTION: &str = "urn:hl7-org:v3:MCCI_IN000002UV01";

/// An answer with what it refers to.
#[derive(Default)]
pub struct Reply {
    header: MessageHeader,
    query_id: Option<InstanceId>,
    query_by_parameter: Option<String>,
    /// None: the message is not taken, since its answer is wanted later.
    answer: Option<DiscoveryAnswer>,
    /// How long the requester may keep it.
    good_for: Duration,
}

/// Answers another community's gateway.
pub async fn answer(scope: &Scope<'_>, received: ReceivedQuery) -> Answer {
    Answer::Discovery(Box::new(reply(&scope.actors.responding, scope.context, received).await))
}

/// The answer of a gateway.
pub async fn reply(responding: &RespondingGateway, context: &RequestContext, received: ReceivedQuery) -> Reply {
    let deferred = received.query.as_ref().is_ok_and(|query| query.priority == Priority::Deferred);
    let answer = if deferred { None } else { Some(responding.patient_discovery(context, received.query).await) };
    Reply {
        header: received.header,
        query_id: received.query_id,
        query_by_parameter: received.query_by_parameter,
        answer,
        good_for: responding.patients().offer(),
    }
}

/// What audit says of a request; the patients are those of the answer.
pub(super) fn facts(received: &ReceivedQuery) -> AuditFacts {
    let request = received.query_by_parameter.clone().unwrap_or_default();
    let home = received.header.receiver.as_ref().map(ToString::to_string);
    let query = AuditedQuery::new(received.header.message_id.to_text(), audited_request(request), home);
    AuditFacts::Patients { query: Some(query), patients: Vec::new() }
}

/// What audit says of a request of ours: no patient, for it is not known yet whether there is one.
pub fn outbound_facts(query: &DiscoveryQuery) -> AuditFacts {
    let mut request = Vec::new();
    hl7v3::write_query_by_parameter(&mut request, query);
    let home = query.header.receiver.as_ref().map(ToString::to_string);
    let query = AuditedQuery::new(query.header.message_id.to_text(), request.into(), home);
    AuditFacts::Patients { query: Some(query), patients: Vec::new() }
}

impl Reply {
    /// To a request that finds no place.
    pub(super) fn busy(received: ReceivedQuery) -> Self {
        Self::none(received, Problem::ResponderBusy)
    }

    /// To a request that is not answered.
    pub(super) fn none(received: ReceivedQuery, problem: Problem) -> Self {
        Self {
            header: received.header,
            query_id: received.query_id,
            query_by_parameter: received.query_by_parameter,
            answer: Some(DiscoveryAnswer::unavailable(problem)),
            good_for: Duration::ZERO,
        }
    }

    /// Why it is no answer, as a code.
    pub fn refusal(&self) -> Option<&'static str> {
        match &self.answer {
            None => Some(UNSUPPORTED_MODE),
            Some(DiscoveryAnswer::Refused(refusal)) => {
                Some(refusal.problem.map_or(refusal.fault.code(), |problem| problem.code()))
            }
            Some(_) => None,
        }
    }

    /// The patients it tells of, in CX form.
    pub fn patients(&self) -> Vec<String> {
        match &self.answer {
            Some(DiscoveryAnswer::Matches(matches)) => matches.iter().map(|found| found.id.to_cx()).collect(),
            _ => Vec::new(),
        }
    }

    /// The whole message.
    pub fn envelope(
        self,
        version: Version,
        mut addressing: Addressing,
        own: &HomeCommunityId,
        now: Timestamp,
    ) -> Vec<u8> {
        let message_id = InstanceId::new(own.oid(), uuid::Uuid::new_v4().to_string());
        let created = Dtm::from_timestamp(now);
        let Some(answer) = &self.answer else {
            addressing.action = Some(ACKNOWLEDGEMENT_ACTION.to_owned());
            let refusal = Some((UNSUPPORTED_MODE, "deferred answers are not offered: ask for an immediate one"));
            let acknowledgement =
                Acknowledgement { own, message_id: &message_id, created, request: &self.header, refusal };
            return answer::envelope(version, &addressing, None, |out| {
                hl7v3::write_acknowledgement(out, &acknowledgement);
            });
        };
        let is_kept = matches!(answer, DiscoveryAnswer::Matches(_)) && !self.good_for.is_zero();
        let time_to_live = is_kept.then(|| xcpd::time_to_live(self.good_for));
        let with = Answering {
            own,
            message_id: &message_id,
            created,
            request: &self.header,
            query_id: self.query_id.as_ref(),
            query_by_parameter: self.query_by_parameter.as_deref(),
        };
        answer::envelope(version, &addressing, time_to_live.as_deref(), |out| hl7v3::write_response(out, &with, answer))
    }
}
