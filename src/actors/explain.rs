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
    /// Waited for a place among the requests to it.
    Queue,
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
            Self::Queue => "queue",
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
    /// What came of it, in our words.
    pub said: Option<Cow<'static, str>>,
}

/// Steps of one request at most: those of some hundred communities.
const MOST_STEPS: usize = 4_000;

struct Notes {
    began: Instant,
    steps: Mutex<Vec<Step>>,
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
        Self(Some(Arc::new(Notes { began, steps: Mutex::default() })))
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
        let Some(notes) = &self.0 else { return };
        let mut steps = notes.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < MOST_STEPS {
            let from = began.saturating_duration_since(notes.began);
            steps.push(Step { doing, community: community.cloned(), from, took, said });
        }
    }

    /// All of them, in the order in which they began.
    pub fn all(&self) -> Vec<Step> {
        let Some(notes) = &self.0 else { return Vec::new() };
        let mut steps = notes.steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
        steps.sort_by_key(|step| step.from);
        steps
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
    /// Its trace, as W3C Trace Context names it.
    pub trace: String,
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
}

/// The last requests that were answered.
pub struct Explanations {
    most: usize,
    last: Mutex<VecDeque<Arc<Explained>>>,
}

impl Explanations {
    /// Room for so many.
    pub fn new(most: usize) -> Self {
        Self { most, last: Mutex::default() }
    }

    fn last(&self) -> MutexGuard<'_, VecDeque<Arc<Explained>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps one; the oldest goes when there are too many.
    pub fn keep(&self, explained: Explained) {
        if self.most == 0 {
            return;
        }
        let explained = Arc::new(explained);
        let mut last = self.last();
        let gone = if last.len() >= self.most { last.pop_front() } else { None };
        last.push_back(explained);
        // It is freed outside of the lock.
        drop(last);
        drop(gone);
    }

    /// The request of that id.
    pub fn find(&self, id: &str) -> Option<Arc<Explained>> {
        self.last().iter().rev().find(|explained| *explained.id == *id).cloned()
    }

    /// The last ones, the latest first.
    pub fn latest(&self, most: usize) -> Vec<Arc<Explained>> {
        self.last().iter().rev().take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(id: &str) -> Explained {
        Explained {
            id: id.into(),
            trace: String::new(),
            transaction: "ITI-18",
            caller: "client".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            took: Duration::from_millis(2),
            outcome: "Success",
            errors: Vec::new(),
            steps: Vec::new(),
        }
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
        let none = Explanations::new(0);
        none.keep(explained("a"));
        assert!(none.find("a").is_none());
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
