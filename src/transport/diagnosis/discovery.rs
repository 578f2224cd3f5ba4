//! Asking for a patient (ITI-55): what a broker does first at peers that know patients by ids of their own.
//! Nobody is asked for: the identifier is made up.

use super::exchange::made_up;
use super::{Finding, Step, Subject, words};
use crate::model::discovery::{
    Attribute, Criteria, DiscoveryAnswer, DiscoveryQuery, InstanceId, MessageHeader, Priority, Refusal,
};
use crate::model::ids::{Oid, PatientId};
use crate::transport::peer::belongs;
use crate::wire::hl7v3::ReceivedAnswer;

/// Asks for nobody, by an identifier of a domain that nobody has. No domain is told as ours: nobody is to
/// remember the identifier.
pub(super) fn query(subject: &Subject) -> Option<DiscoveryQuery> {
    let own = subject.configured.own.as_ref();
    let fresh = || {
        let id = uuid::Uuid::new_v4().to_string();
        match own {
            Some(own) => InstanceId::new(own.oid(), id),
            None => InstanceId { root: id, extension: None },
        }
    };
    let id = format!("doctor-{}", uuid::Uuid::new_v4().simple());
    let nobody = PatientId::new(&id, Oid::parse(&made_up()).ok()?).ok()?;
    Some(DiscoveryQuery {
        header: MessageHeader {
            message_id: fresh(),
            sender: own.cloned(),
            receiver: subject.home.clone(),
            ..MessageHeader::default()
        },
        query_id: fresh(),
        requester_domain: None,
        keep: None,
        priority: Priority::Immediate,
        respond_to: None,
        criteria: Criteria { ids: vec![nobody], ..Criteria::default() },
    })
}

/// Any answer but a patient proves that the service works.
pub(super) fn finding(asked: Option<&DiscoveryQuery>, received: &ReceivedAnswer) -> Finding {
    if !asked.is_some_and(|query| belongs(received, query)) {
        return Finding::fail(
            Step::Response,
            "the answer is one to another query (targetMessage, queryId)",
            "the peer mixes answers up: a broker uses none of them; show this to its operators",
        );
    }
    match &received.answer {
        DiscoveryAnswer::NotFound => {
            Finding::ok(Step::Response, "NF: nobody, as it should be for an identifier that does not exist")
        }
        DiscoveryAnswer::MoreWanted(wanted) => {
            let codes: Vec<&str> =
                Attribute::ALL.iter().filter(|(known, _)| wanted.contains(known)).map(|(_, code)| *code).collect();
            Finding::ok(Step::Response, format!("it wants to know more before it answers: {}", codes.join(", ")))
        }
        DiscoveryAnswer::Matches(matches) => Finding::fail(
            Step::Response,
            format!("OK: {} found for an identifier that does not exist", matches.len()),
            "the peer does not look at the identifier that it is asked by: that must not be used for patients; show \
             this to its operators",
        ),
        DiscoveryAnswer::Refused(Refusal { fault, problem, details }) => {
            let mut what = format!("{}: it refuses to answer", fault.code());
            if let Some(problem) = problem {
                what.push_str(&format!(", {}", problem.code()));
            }
            if let Some(first) = details.first() {
                what.push_str(&format!(" ({})", words(first)));
            }
            let fix = "as long as it answers so, no query reaches this community: show this to its operators, who may \
                       want to know our homeCommunityId, or more of a patient than an identifier ([patients] directory)";
            Finding::note(Step::Response, what, fix)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::discovery::{Fault, Problem};
    use crate::transport::diagnosis::Status;
    use crate::transport::diagnosis::tests::subject;

    #[test]
    fn answers_to_a_question_for_nobody() {
        let query = query(&subject()).unwrap();
        let refusal = |details| {
            let problem = Some(Problem::ALL[0].0);
            DiscoveryAnswer::Refused(Refusal { fault: Fault::Application, problem, details })
        };
        for (answer, status, what) in [
            (DiscoveryAnswer::NotFound, Status::Ok, "nobody"),
            (DiscoveryAnswer::MoreWanted(vec![Attribute::Gender]), Status::Ok, "to know more"),
            (refusal(vec!["Not today.".into()]), Status::Note, "(Not today.)"),
            (DiscoveryAnswer::Matches(Vec::new()), Status::Fail, "found for an identifier that does not exist"),
        ] {
            let received = |target| ReceivedAnswer {
                header: MessageHeader::default(),
                target: Some(target),
                query_id: None,
                answer: answer.clone(),
            };
            let said = finding(Some(&query), &received(query.header.message_id.clone()));
            assert_eq!((said.step, said.status), (Step::Response, status), "{said:?}");
            assert!(said.what.contains(what), "{said:?}");
            let other = finding(Some(&query), &received(InstanceId::default()));
            assert_eq!(other.status, Status::Fail, "{other:?}");
        }
    }
}
