//! A request that has been answered, as spans: one for the request itself, and below it one for each step of
//! its explanation. Nothing is measured a second time, and nothing is told that an explanation would not tell:
//! transactions, communities, outcomes and codes.
//!
//! ```text
//! ITI-18                   the request: our span of the trace, below that of whoever asked
//! ├─ local, merge          what we did ourselves
//! └─ asked                 a community, from the first moment to the last
//!    ├─ discover, queue, read …
//!    └─ ITI-38             an exchange: the span that the community is told, so that its own hang below it
//!       └─ connect, tls, wait, receive
//! ```

use std::time::Duration;

use super::otlp::{Event, KeyValue, Kind, Span, Status};
use crate::actors::explain::{Doing, Explained, Step};
use crate::transport::trace_context::new_span;

/// `SPAN_FLAGS`: sampled; whether the parent is elsewhere is known; it is.
const SAMPLED: u32 = 0x001;
const PARENT_KNOWN: u32 = 0x100;
const PARENT_ELSEWHERE: u32 = 0x200;

/// `STATUS_CODE_ERROR`
const ERROR: i32 = 2;

/// How many spans a request makes at most.
pub fn count(explained: &Explained) -> usize {
    explained.steps.len() + 1
}

fn is_instant(doing: Doing) -> bool {
    matches!(doing, Doing::Retry | Doing::LeftOut | Doing::NotAsked)
}

/// Whether `outer` is what `inner` was done for.
fn holds(outer: &Step, inner: &Step) -> bool {
    let contains = outer.from <= inner.from && inner.from + inner.took <= outer.from + outer.took;
    let is_wider = match outer.doing {
        Doing::Asked => inner.doing != Doing::Asked,
        Doing::Discover => !matches!(inner.doing, Doing::Asked | Doing::Discover),
        _ => false,
    };
    is_wider && contains && outer.community.is_some() && outer.community == inner.community
}

/// The spans of a request, that of the request itself first.
pub fn of(explained: &Explained) -> Vec<Span> {
    let trace = &explained.trace;
    let began = u64::try_from(explained.at.as_nanosecond()).unwrap_or_default();
    let after = |time: Duration| began.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let mut codes: Vec<&str> = explained.errors.iter().map(|(code, _)| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let elsewhere = if trace.parent.is_some() { PARENT_ELSEWHERE } else { 0 };
    let failed = matches!(explained.outcome, "Failure" | "fault");
    let mut root = Span {
        trace_id: trace.id.to_vec(),
        span_id: trace.span.to_vec(),
        parent_span_id: trace.parent.map(Vec::from).unwrap_or_default(),
        name: explained.transaction.to_owned(),
        kind: Kind::Server.into(),
        start: began,
        end: after(explained.took),
        attributes: vec![
            KeyValue::text("causeway.transaction", explained.transaction),
            KeyValue::text("causeway.correlation_id", &explained.id),
            KeyValue::text("causeway.outcome", explained.outcome),
        ],
        events: Vec::new(),
        status: failed.then_some(Status { code: ERROR }),
        flags: SAMPLED | PARENT_KNOWN | elsewhere,
    };
    if !codes.is_empty() {
        root.attributes.push(KeyValue::texts("causeway.error_codes", codes));
    }
    let ids: Vec<[u8; 8]> = explained
        .steps
        .iter()
        .map(|step| step.call.filter(|_| step.doing == Doing::Call).unwrap_or_else(new_span))
        .collect();
    // What other steps may have been done for: few of them are, so each is looked for among these.
    let outer =
        explained.steps.iter().zip(&ids).filter(|(step, _)| matches!(step.doing, Doing::Asked | Doing::Discover));
    let outer: Vec<(&Step, [u8; 8])> = outer.map(|(step, id)| (step, *id)).collect();
    let parent_of = |step: &Step| {
        let holding = outer.iter().filter(|(outer, _)| holds(outer, step));
        holding.min_by_key(|(outer, _)| outer.took).map_or(trace.span, |(_, id)| *id)
    };
    let mut events: Vec<([u8; 8], Event)> = Vec::new();
    let mut spans = vec![root];
    for (step, id) in explained.steps.iter().zip(&ids) {
        let is_call = step.doing == Doing::Call;
        let parent = match step.call {
            Some(call) if !is_call => call,
            _ => parent_of(step),
        };
        let mut attributes = Vec::new();
        if let Some(home) = &step.community {
            attributes.push(KeyValue::text("causeway.home_community_id", home.as_str()));
        }
        if is_instant(step.doing) {
            events.push((parent, Event { at: after(step.from), name: step.doing.as_str().to_owned(), attributes }));
            continue;
        }
        let transaction = step.said.as_deref().filter(|_| is_call);
        if let Some(transaction) = transaction {
            attributes.push(KeyValue::text("causeway.transaction", transaction));
        }
        if let Some(code) = &step.failed {
            attributes.push(KeyValue::texts("causeway.error_codes", [code.as_ref()]));
        }
        spans.push(Span {
            trace_id: trace.id.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.to_vec(),
            name: transaction.unwrap_or(step.doing.as_str()).to_owned(),
            kind: if is_call { Kind::Client } else { Kind::Internal }.into(),
            start: after(step.from),
            end: after(step.from + step.took),
            attributes,
            events: Vec::new(),
            status: step.failed.is_some().then_some(Status { code: ERROR }),
            flags: SAMPLED | PARENT_KNOWN,
        });
    }
    for (of, event) in events {
        if let Some(span) = spans.iter_mut().find(|span| span.span_id == of) {
            span.events.push(event);
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::context::Trace;
    use crate::model::ids::HomeCommunityId;

    fn step(doing: Doing, of: Option<u8>, from: u64, took: u64, call: Option<u8>) -> Step {
        Step {
            doing,
            community: of.map(|n| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()),
            from: Duration::from_millis(from),
            took: Duration::from_millis(took),
            said: Some("ITI-38".into()),
            call: call.map(|n| [n; 8]),
            failed: (doing == Doing::Asked && of == Some(2)).then(|| "XDSUnavailableCommunity".into()),
        }
    }

    #[test]
    fn each_step_hangs_below_what_it_was_done_for() {
        let explained = Explained {
            id: "abc".into(),
            trace: Trace { id: [9; 16], parent: Some([8; 8]), span: [7; 8], sampled: true, state: None },
            transaction: "ITI-18",
            caller: "client".into(),
            at: jiff::Timestamp::from_second(1_000).unwrap(),
            took: Duration::from_millis(100),
            outcome: "PartialSuccess",
            errors: vec![("XDSUnavailableCommunity".into(), None); 2],
            steps: vec![
                step(Doing::NotAsked, Some(3), 0, 0, None),
                step(Doing::Local, None, 0, 5, None),
                step(Doing::Asked, Some(1), 0, 50, None),
                step(Doing::Discover, Some(1), 0, 20, None),
                step(Doing::Queue, Some(1), 1, 1, None),
                step(Doing::Call, Some(1), 2, 10, Some(1)),
                step(Doing::Wait, Some(1), 3, 9, Some(1)),
                step(Doing::Call, Some(1), 21, 20, Some(2)),
                step(Doing::Connect, Some(1), 21, 2, Some(2)),
                step(Doing::Read, Some(1), 42, 2, None),
                step(Doing::Retry, Some(2), 30, 0, None),
                step(Doing::Asked, Some(2), 0, 60, None),
                step(Doing::Merge, None, 60, 1, None),
            ],
            routes: Vec::new(),
        };
        let spans = of(&explained);
        assert!(spans.len() <= count(&explained));
        let name = |id: &[u8]| spans.iter().find(|span| span.span_id == id).map(|span| span.name.as_str());
        let tree: Vec<_> = spans.iter().map(|span| (span.name.as_str(), name(&span.parent_span_id))).collect();
        let expected = [
            ("ITI-18", None),
            ("local", Some("ITI-18")),
            ("asked", Some("ITI-18")),
            ("discover", Some("asked")),
            ("queue", Some("discover")),
            ("ITI-38", Some("discover")),
            ("wait", Some("ITI-38")),
            ("ITI-38", Some("asked")),
            ("connect", Some("ITI-38")),
            ("read", Some("asked")),
            ("asked", Some("ITI-18")),
            ("merge", Some("ITI-18")),
        ];
        assert_eq!(tree, expected);
        let root = &spans[0];
        assert_eq!((&root.parent_span_id[..], &root.trace_id[..], root.flags), (&[8; 8][..], &[9; 16][..], 0x301));
        assert_eq!((root.start, root.end), (1_000_000_000_000, 1_000_100_000_000));
        assert_eq!((root.events.len(), root.status.clone()), (1, None));
        assert_eq!(root.attributes[3], KeyValue::texts("causeway.error_codes", ["XDSUnavailableCommunity"]));
        let calls: Vec<_> = spans.iter().filter(|span| span.kind == i32::from(Kind::Client)).collect();
        assert_eq!(calls.iter().map(|span| span.span_id[0]).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(calls[1].start, 1_000_021_000_000);
        let failed = &spans[10];
        assert_eq!((failed.status.clone(), failed.events.len()), (Some(Status { code: 2 }), 1));
        assert!(spans.iter().all(|span| span.trace_id == [9; 16]));
    }
}
