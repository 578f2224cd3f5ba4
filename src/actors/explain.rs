//! Why an answer is as it is: what a gateway did for one request, step by step, and for how long. The
//! last requests are kept for whoever is asked "where was the letter?".
//!
//! Nothing of a patient is in it: communities, times, numbers and failures in our own words.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::context::Trace;
use super::ports::PeerFailure;
use crate::model::ids::HomeCommunityId;
use crate::model::response::QueryResponse;

/// What was done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Asked our own registry or repository.
    Local,
    /// A community was asked, from the first moment to the last.
    Asked,
    /// Found out under which identifier it knows the patient (ITI-55, or what is known of an earlier answer).
    Discover,
    /// Found out who may hold anything of the patient (ITI-56, or what is known of earlier answers).
    Locate,
    /// Waited for a place among the requests to it, or of all requests here.
    Queue,
    /// An exchange with it, or with our registry elsewhere: one request and its answer's root part.
    Call,
    /// TCP connection.
    Connect,
    /// TLS handshake.
    Tls,
    /// Sent, and waited for the head of the answer.
    Wait,
    /// Received the answer's root part.
    Receive,
    /// Read it.
    Read,
    /// Was sent once more.
    Retry,
    /// One of its gateways was asked, where it has several.
    Gateway,
    /// The next of its gateways, since one before was not asked or did not answer.
    Failover,
    /// Kept its documents.
    Keep,
    /// Left out something of its answer.
    LeftOut,
    /// Was not asked.
    NotAsked,
    /// Whoever asked was refused.
    Refused,
    /// Made one answer of all.
    Merge,
}

impl Doing {
    /// Its word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Asked => "asked",
            Self::Discover => "discover",
            Self::Locate => "locate",
            Self::Queue => "queue",
            Self::Call => "call",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Wait => "wait",
            Self::Receive => "receive",
            Self::Read => "read",
            Self::Retry => "retry",
            Self::Gateway => "gateway",
            Self::Failover => "failover",
            Self::Keep => "keep",
            Self::LeftOut => "left out",
            Self::NotAsked => "not asked",
            Self::Refused => "refused",
            Self::Merge => "merge",
        }
    }
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// What was done.
    pub doing: Doing,
    /// The community it was about; absent: ours.
    pub community: Option<HomeCommunityId>,
    /// When it began, since the request came.
    pub from: Duration,
    /// How long it took.
    pub took: Duration,
    /// What came of it, in our words; of an exchange, its transaction.
    pub said: Option<Cow<'static, str>>,
    /// The exchange that it is, or is a part of: the span that whoever was asked has been told.
    pub call: Option<[u8; 8]>,
    /// The code of the failure that it ended in.
    pub failed: Option<Cow<'static, str>>,
}

/// Objects of one community that came the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose they are; none: it is not named by a homeCommunityId, or these are the rest of too many ways.
    pub home: Option<HomeCommunityId>,
    /// Who gave them and says the same; the first one's word is in the answer.
    pub same: Vec<HomeCommunityId>,
    /// Who gave them and says something else.
    pub different: Vec<HomeCommunityId>,
    /// How many.
    pub objects: usize,
    /// Whether they are in the answer: what others say of our own objects is not.
    pub in_answer: bool,
}

/// Steps of one request at most: those of some hundred communities.
const MOST_STEPS: usize = 4_000;

struct Notes {
    began: Instant,
    steps: Mutex<Vec<Step>>,
    routes: Mutex<Vec<Route>>,
}

/// Where the steps of one request are noted, or nowhere.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<Notes>>);

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(noted)" } else { "Steps(not noted)" })
    }
}

impl Steps {
    /// To be noted, from that moment on.
    pub fn noted(began: Instant) -> Self {
        Self(Some(Arc::new(Notes { began, steps: Mutex::default(), routes: Mutex::default() })))
    }

    /// Notes a step that began then and ends now.
    pub fn took(&self, community: Option<&HomeCommunityId>, doing: Doing, began: Instant) {
        self.note(community, doing, began, began.elapsed(), None);
    }

    /// The same with what came of it.
    pub fn came_of(
        &self,
        community: Option<&HomeCommunityId>,
        doing: Doing,
        began: Instant,
        said: impl FnOnce() -> Cow<'static, str>,
    ) {
        if self.0.is_some() {
            self.note(community, doing, began, began.elapsed(), Some(said()));
        }
    }

    /// Notes a step that took so long.
    pub fn note(
        &self,
        community: Option<&HomeCommunityId>,
        doing: Doing,
        began: Instant,
        took: Duration,
        said: Option<Cow<'static, str>>,
    ) {
        self.push(began, || Step {
            doing,
            community: community.cloned(),
            from: Duration::ZERO,
            took,
            said,
            call: None,
            failed: None,
        });
    }

    /// Notes a step that began then and ends now, with what came of it or why it failed.
    pub fn ended(
        &self,
        community: Option<&HomeCommunityId>,
        doing: Doing,
        began: Instant,
        came_of: Result<Cow<'static, str>, &PeerFailure>,
    ) {
        self.push(began, || {
            let (said, failed) = match came_of {
                Ok(said) => (said, None),
                Err(failure) => (failure.without_their_words(), Some(failed_as(failure))),
            };
            let (community, took) = (community.cloned(), began.elapsed());
            Step { doing, community, from: Duration::ZERO, took, said: Some(said), call: None, failed }
        });
    }

    fn push(&self, began: Instant, step: impl FnOnce() -> Step) {
        let Some(notes) = &self.0 else { return };
        let step = Step { from: began.saturating_duration_since(notes.began), ..step() };
        let mut steps = notes.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < MOST_STEPS {
            steps.push(step);
        }
    }

    /// Notes through whom the objects of the answer came.
    pub fn came_by(&self, routes: Vec<Route>) {
        if let Some(notes) = &self.0 {
            *notes.routes.lock().unwrap_or_else(PoisonError::into_inner) = routes;
        }
    }

    /// Through whom the objects of the answer came.
    pub fn routes(&self) -> Vec<Route> {
        let Some(notes) = &self.0 else { return Vec::new() };
        notes.routes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them, in the order in which they began.
    pub fn all(&self) -> Vec<Step> {
        let Some(notes) = &self.0 else { return Vec::new() };
        // A copy has no more room than it needs.
        let mut steps = notes.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        steps.sort_by_key(|step| step.from);
        steps
    }
}

fn failed_as(failure: &PeerFailure) -> Cow<'static, str> {
    failure.code().without_their_words().to_owned().into()
}

/// Where exchanges with another system are noted.
#[derive(Debug, Clone)]
pub struct Noted {
    /// With the request that they are for.
    pub steps: Steps,
    /// Whom they are with; none: our registry elsewhere.
    pub community: Option<HomeCommunityId>,
}

impl Noted {
    /// An exchange that begins now, of that transaction and under that span; it is noted when it ends, in whatever
    /// way: also one that nobody waits for any more has been told its span.
    pub fn call(self, transaction: &'static str, span: [u8; 8]) -> Exchange {
        let given_up = PeerFailure::GivenUp("nobody waits for it");
        Exchange { noted: self, transaction, span, began: Instant::now(), failed: Some(failed_as(&given_up)) }
    }
}

/// An exchange under way.
pub struct Exchange {
    noted: Noted,
    transaction: &'static str,
    span: [u8; 8],
    began: Instant,
    failed: Option<Cow<'static, str>>,
}

impl Exchange {
    /// Notes a part of it.
    pub fn took(&self, doing: Doing, began: Instant, took: Duration) {
        self.noted.steps.push(began, || Step {
            doing,
            community: self.noted.community.clone(),
            from: Duration::ZERO,
            took,
            said: None,
            call: Some(self.span),
            failed: None,
        });
    }

    /// Ends it.
    pub fn ended(mut self, failure: Option<&PeerFailure>) {
        self.failed = failure.map(failed_as);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.noted.steps.push(self.began, || Step {
            doing: Doing::Call,
            community: self.noted.community.clone(),
            from: Duration::ZERO,
            took: self.began.elapsed(),
            said: Some(self.transaction.into()),
            call: Some(self.span),
            failed: self.failed.take(),
        });
    }
}

/// What came of a query, in numbers.
pub fn counted(response: &QueryResponse) -> Cow<'static, str> {
    match (response.objects.len(), response.errors.len()) {
        (objects, 0) => format!("{objects} objects").into(),
        (objects, errors) => format!("{objects} objects, {errors} errors or warnings").into(),
    }
}

/// A request that has been answered, with the steps to its answer.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Its correlation id, which its answer has in `x-correlation-id`.
    pub id: Arc<str>,
    /// Its trace, and our part in it.
    pub trace: Trace,
    /// `ITI-nn`
    pub transaction: &'static str,
    /// Who asked.
    pub caller: Arc<str>,
    /// When.
    pub at: jiff::Timestamp,
    /// How long it took until the answer was on its way.
    pub took: Duration,
    /// Its status.
    pub outcome: &'static str,
    /// Codes and locations of its errors and warnings.
    pub errors: Vec<(String, Option<String>)>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Through whom the objects of its answer came.
    pub routes: Vec<Route>,
}

/// Steps that requests have on the average at most: where many communities are asked, fewer requests are kept.
const STEPS_EACH: usize = 64;

/// The last requests that were answered.
pub struct Explanations {
    most: usize,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    requests: VecDeque<Arc<Explained>>,
    /// Their steps in all.
    steps: usize,
}

impl Explanations {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self { most, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one; the oldest go when there are too many, or too many steps.
    pub fn keep(&self, explained: Arc<Explained>) {
        if self.most == 0 {
            return;
        }
        let (mut last, mut gone) = (self.last(), Vec::new());
        last.steps += explained.steps.len();
        last.requests.push_back(explained);
        let most_steps = self.most.saturating_mul(STEPS_EACH);
        while last.requests.len() > self.most || (last.steps > most_steps && last.requests.len() > 1) {
            let Some(oldest) = last.requests.pop_front() else { break };
            last.steps -= oldest.steps.len();
            gone.push(oldest);
        }
        // They are freed outside of the lock.
        drop(last);
    }

    /// The request of that id.
    pub fn find(&self, id: &str) -> Option<Arc<Explained>> {
        self.last().requests.iter().rev().find(|explained| *explained.id == *id).cloned()
    }

    /// The last ones, the latest first.
    pub fn latest(&self, most: usize) -> Vec<Arc<Explained>> {
        self.last().requests.iter().rev().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(id: &str) -> Arc<Explained> {
        Arc::new(Explained {
            id: id.into(),
            trace: Trace::default(),
            transaction: "ITI-18",
            caller: "client".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            took: Duration::from_millis(2),
            outcome: "Success",
            errors: Vec::new(),
            steps: Vec::new(),
            routes: Vec::new(),
        })
    }

    #[test]
    fn the_last_ones_are_kept() {
        let kept = Explanations::new(2);
        for id in ["a", "b", "c"] {
            kept.keep(explained(id));
        }
        assert!(kept.find("a").is_none());
        let latest: Vec<_> = kept.latest(9).iter().map(|explained| explained.id.to_string()).collect();
        assert_eq!(latest, ["c", "b"]);
        assert_eq!(kept.find("b").unwrap().transaction, "ITI-18");
        // One with many steps takes the place of several.
        let steps = Steps::noted(Instant::now());
        steps.took(None, Doing::Wait, Instant::now());
        let step = steps.all().remove(0);
        let steps = vec![step; 2 * STEPS_EACH + 1];
        kept.keep(Arc::new(Explained { steps, ..Arc::unwrap_or_clone(explained("d")) }));
        assert!(kept.find("c").is_none() && kept.find("d").is_some());
        kept.keep(explained("e"));
        assert!(kept.find("d").is_none() && kept.find("e").is_some());
        let none = Explanations::new(0);
        none.keep(explained("a"));
        assert!(none.find("a").is_none());
    }

    /// Also one that was given up is there: whoever was asked hangs its own spans below it.
    #[test]
    fn exchanges_are_noted_however_they_end() {
        let steps = Steps::noted(Instant::now());
        let noted = || Noted { steps: steps.clone(), community: None };
        let first = noted().call("ITI-38", [1; 8]);
        first.took(Doing::Wait, Instant::now(), Duration::ZERO);
        first.ended(None);
        noted().call("ITI-38", [2; 8]).ended(Some(&PeerFailure::TooMany(5)));
        drop(noted().call("ITI-39", [3; 8]));
        let told: Vec<_> = steps
            .all()
            .into_iter()
            .map(|step| (step.doing.as_str(), step.call.unwrap()[0], step.failed.unwrap_or_default()))
            .collect();
        let expected = [
            ("wait", 1, ""),
            ("call", 1, ""),
            ("call", 2, "XDSTooManyResults"),
            ("call", 3, "XDSUnavailableCommunity"),
        ];
        for (doing, call, failed) in expected {
            assert!(told.contains(&(doing, call, failed.into())), "{told:?}");
        }
        assert_eq!(told.len(), expected.len());
    }

    #[test]
    fn steps_are_bounded_and_in_order_and_cost_nothing_where_they_are_not_wanted() {
        let began = Instant::now();
        let steps = Steps::noted(began);
        let later = began + Duration::from_millis(5);
        steps.note(None, Doing::Merge, later, Duration::ZERO, None);
        steps.note(None, Doing::Local, began, Duration::from_millis(1), None);
        let words: Vec<_> = steps.all().iter().map(|step| step.doing.as_str()).collect();
        assert_eq!(words, ["local", "merge"]);
        for _ in 0..2 * MOST_STEPS {
            steps.took(None, Doing::Queue, began);
        }
        assert_eq!(steps.all().len(), MOST_STEPS);
        let nowhere = Steps::default();
        nowhere.came_of(None, Doing::Queue, began, || unreachable!());
        assert!(nowhere.all().is_empty());
    }
}
