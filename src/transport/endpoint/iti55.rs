//! ITI-55 Cross Gateway Patient Discovery, at the Responding Gateway; and what takes back what was told with it.

use std::time::Duration;

use jiff::Timestamp;

use super::{Answer, AuditFacts, Scope, audited_request};
use crate::actors::context::RequestContext;
use crate::actors::correlation::NotRevoked;
use crate::actors::responding_gateway::RespondingGateway;
use crate::model::audit_event::AuditedQuery;
use crate::model::discovery::{
    DiscoveryAnswer, DiscoveryQuery, InstanceId, MessageHeader, Priority, Problem, Revocation,
};
use crate::model::ids::HomeCommunityId;
use crate::model::time::Dtm;
use crate::transaction::ACKNOWLEDGED;
use crate::transport::answer;
use crate::wire::hl7v3::{self, Acknowledgement, Answering, ReceivedQuery, UNSUPPORTED_INTERACTION, UNSUPPORTED_MODE};
use crate::wire::soap::{Addressing, Fault, Version};
use crate::wire::xcpd;

/// An answer with what it refers to.
#[derive(Default)]
pub struct Reply {
    header: MessageHeader,
    query_id: Option<InstanceId>,
    query_by_parameter: Option<String>,
    said: Said,
    /// How long the requester may keep it.
    good_for: Duration,
}

/// What is said.
enum Said {
    /// Who was found, or why nobody is told.
    Answer(DiscoveryAnswer),
    /// That the message is taken.
    Taken,
    /// That it is not: a code and its words.
    Refused(&'static str, &'static str),
}

impl Default for Said {
    fn default() -> Self {
        Self::Refused(UNSUPPORTED_MODE, "deferred answers are not sent there: ask for an immediate one")
    }
}

/// Answers another community's gateway.
pub async fn answer(scope: &Scope<'_>, received: ReceivedQuery) -> Answer {
    Answer::Discovery(Box::new(reply(&scope.actors.responding, scope.context, received).await))
}

/// The answer of a gateway.
pub async fn reply(responding: &RespondingGateway, context: &RequestContext, received: ReceivedQuery) -> Reply {
    let deferred = received.query.as_ref().is_ok_and(|query| query.priority == Priority::Deferred);
    let said = if deferred {
        Said::default()
    } else {
        let until = received.time_to_live.as_deref().and_then(|text| xcpd::expiry(text, context.at));
        Said::Answer(responding.patient_discovery(context, received.query, until).await)
    };
    Reply {
        header: received.header,
        query_id: received.query_id,
        query_by_parameter: received.query_by_parameter,
        said,
        good_for: responding.patients().offer(),
    }
}

/// Takes back what another community's gateway has told.
///
/// # Errors
/// When the caller is not that gateway.
pub fn revoke(scope: &Scope<'_>, revocation: Revocation) -> Result<Answer, Fault> {
    let said = match scope.actors.responding.revoke(scope.context, &revocation) {
        Ok(()) => Said::Taken,
        Err(NotRevoked::NotOffered) => Said::Refused(UNSUPPORTED_INTERACTION, "revocations are not taken here"),
        Err(NotRevoked::NotTheirs) => {
            return Err(Fault::sender(
                "This caller is not known as the community that sends this; the operator of this server knows why.",
            )
            .with_status(403));
        }
    };
    Ok(Answer::Discovery(Box::new(Reply { header: revocation.header, said, ..Reply::default() })))
}

/// What audit says of a revocation: the patient, under the identifier that was told.
pub(super) fn revocation_facts(revocation: &Revocation) -> AuditFacts {
    AuditFacts::Patients { query: None, patients: vec![revocation.patient.to_cx()] }
}

/// What audit says of an answer whose question nobody waits with any more: the query as it is given back.
pub fn late_facts(
    query_by_parameter: Option<String>,
    target: Option<&InstanceId>,
    home: &HomeCommunityId,
) -> AuditFacts {
    let request = audited_request(query_by_parameter.unwrap_or_default());
    let id = target.map(InstanceId::to_text).unwrap_or_default();
    let query = AuditedQuery::new(id, request, Some(home.to_string()));
    AuditFacts::Patients { query: Some(query), patients: Vec::new() }
}

/// That a message has been taken: the answer on its connection when all else comes later.
pub fn receipt(
    version: Version,
    addressing: &Addressing,
    own: &HomeCommunityId,
    request: &MessageHeader,
    now: Timestamp,
) -> Vec<u8> {
    acknowledged(version, addressing.clone(), own, request, now, None)
}

fn acknowledged(
    version: Version,
    mut addressing: Addressing,
    own: &HomeCommunityId,
    request: &MessageHeader,
    now: Timestamp,
    refusal: Option<(&'static str, &'static str)>,
) -> Vec<u8> {
    addressing.action = Some(ACKNOWLEDGED.to_owned());
    let message_id = InstanceId::new(own.oid(), uuid::Uuid::new_v4().to_string());
    let created = Dtm::from_timestamp(now);
    let acknowledgement = Acknowledgement { own, message_id: &message_id, created, request, refusal };
    answer::envelope(version, &addressing, None, |out| hl7v3::write_acknowledgement(out, &acknowledgement))
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
            said: Said::Answer(DiscoveryAnswer::unavailable(problem)),
            good_for: Duration::ZERO,
        }
    }

    /// Why it is no answer, as a code.
    pub fn refusal(&self) -> Option<&'static str> {
        match &self.said {
            Said::Refused(code, _) => Some(code),
            Said::Answer(DiscoveryAnswer::Refused(refusal)) => {
                Some(refusal.problem.map_or(refusal.fault.code(), |problem| problem.code()))
            }
            Said::Answer(_) | Said::Taken => None,
        }
    }

    /// The patients it tells of, in CX form; none, if it is no answer to such a question.
    pub fn patients(&self) -> Option<Vec<String>> {
        match &self.said {
            Said::Answer(DiscoveryAnswer::Matches(matches)) => {
                Some(matches.iter().map(|found| found.id.to_cx()).collect())
            }
            Said::Answer(_) => Some(Vec::new()),
            Said::Taken | Said::Refused(..) => None,
        }
    }

    /// The whole message.
    pub fn envelope(self, version: Version, addressing: Addressing, own: &HomeCommunityId, now: Timestamp) -> Vec<u8> {
        let answer = match &self.said {
            Said::Answer(answer) => answer,
            Said::Taken => return acknowledged(version, addressing, own, &self.header, now, None),
            Said::Refused(code, words) => {
                return acknowledged(version, addressing, own, &self.header, now, Some((code, words)));
            }
        };
        let message_id = InstanceId::new(own.oid(), uuid::Uuid::new_v4().to_string());
        let created = Dtm::from_timestamp(now);
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
