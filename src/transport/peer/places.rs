//! The places of requests to one community: how many there are, who has one, and what each call says of how many
//! there should be.
//!
//! Submissions stream for as long as their sources take, so they have places of their own (`limits.peer_submissions`):
//! slow ones take none from queries. A community that does one thing at a time (`max_in_flight = 1`) is the exception:
//! there the one place is for both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::adaptive::{Adaptive, AdaptiveLimits, Started};
use crate::actors::context::RequestContext;
use crate::actors::ports::{CommunityLoad, PeerFailure};
use crate::model::ids::HomeCommunityId;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::admission::{Admission, AdmissionLimits, Place, Refusal};
use crate::transport::metrics::Metrics;

/// Places among the requests to one community.
pub struct PeerPlaces {
    admission: Admission,
    /// Those of submissions, where they are apart.
    submissions: Admission,
    adaptive: Mutex<Adaptive>,
}

/// What ordinary requests may not have of a community that is slow is left to emergencies.
fn bounds(places: usize, more: PlaceLimits) -> AdmissionLimits {
    AdmissionLimits { places, reserve: 0, queue: more.queue, queue_of_one: more.queue }
}

/// How many places there are, besides those of [`AdaptiveLimits`].
#[derive(Debug, Clone, Copy)]
pub struct PlaceLimits {
    /// Submissions at the same time.
    pub submissions: usize,
    /// Requests that wait, and as many submissions.
    pub queue: usize,
}

impl PlaceLimits {
    /// Submissions at the same time to a community that takes so many requests.
    fn submissions_of(self, most: usize) -> usize {
        self.submissions.min(most)
    }
}

/// A place that a call may give back before it has ended: whoever holds it waits for something else.
#[derive(Clone)]
pub struct Held(Arc<Mutex<Holding>>);

struct Holding {
    place: Option<Place>,
    given_back: Option<Instant>,
}

impl Held {
    /// Holds a place until then, or until nobody holds it any more.
    pub fn new(place: Place) -> Self {
        Self(Arc::new(Mutex::new(Holding { place: Some(place), given_back: None })))
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it back.
    pub fn give_back(&self) {
        let mut holding = self.holding();
        if holding.place.take().is_some() {
            holding.given_back = Some(Instant::now());
        }
    }

    /// When it was given back, if it was.
    pub fn given_back(&self) -> Option<Instant> {
        self.holding().given_back
    }
}

/// A call that tells how it went.
pub struct Paced<'p> {
    places: &'p PeerPlaces,
    started: Started,
}

impl PeerPlaces {
    /// Places that are all free.
    pub fn new(limits: AdaptiveLimits, more: PlaceLimits, community: &HomeCommunityId, metrics: &Metrics) -> Self {
        let adaptive = Adaptive::new(limits);
        Self {
            admission: Admission::new(bounds(adaptive.most(), more), metrics.places(community.as_str())),
            submissions: Admission::new(
                bounds(more.submissions_of(adaptive.most()), more),
                metrics.places(&format!("{community} submissions")),
            ),
            adaptive: Mutex::new(adaptive),
        }
    }

    /// Takes other bounds at once: what is known of the community stays known, and who has a place or a turn keeps it.
    pub fn set_limits(&self, limits: AdaptiveLimits, more: PlaceLimits) {
        let mut adaptive = self.adaptive();
        adaptive.set_limits(limits);
        self.admission.set_limits(bounds(adaptive.most(), more), adaptive.limit());
        let submissions = more.submissions_of(adaptive.most());
        self.submissions.set_limits(bounds(submissions, more), submissions);
    }

    fn adaptive(&self) -> MutexGuard<'_, Adaptive> {
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, waited for until then at most.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn admit(
        &self,
        context: &RequestContext,
        transaction: &Transaction,
        until: Instant,
    ) -> Result<Place, PeerFailure> {
        let (admission, of) = match self.are_apart(transaction) {
            true => (&self.submissions, "submissions"),
            false => (&self.admission, "requests"),
        };
        admission.admit(&context.caller, context.lane, until).await.map_err(|refusal| {
            let why = match refusal {
                Refusal::Late | Refusal::Gone => format!("too many {of} to it are under way"),
                Refusal::Full | Refusal::OwnFull | Refusal::Displaced => format!("too many {of} wait for it"),
            };
            PeerFailure::NotAsked(why)
        })
    }

    /// Whether its place is one of those for submissions: not at a community that does one thing at a time.
    fn are_apart(&self, transaction: &Transaction) -> bool {
        transaction.carries_documents() && self.adaptive().most() > 1
    }

    /// What is to be said of a wait for it: nothing as long as there are as many as are configured.
    pub fn words(&self, transaction: &Transaction) -> Option<String> {
        let (limit, most) = self.numbers();
        (limit < most && !self.are_apart(transaction)).then(|| format!("{limit} at once, {most} when it is well"))
    }

    /// A call to it begins.
    pub fn began(&self, transaction: &Transaction, now: Instant) -> Paced<'_> {
        Paced { places: self, started: self.adaptive().began(transaction.id, now) }
    }

    /// Until when a request may wait for its place: who begins with less time than an answer takes asks in vain.
    pub fn last_turn(&self, transaction: &Transaction, asked: Instant, until: Instant) -> Instant {
        let whole = until.saturating_duration_since(asked);
        let usual = self.adaptive().usual_time(transaction.id).unwrap_or_default().min(whole);
        asked + whole.saturating_sub((usual * 3 / 2).max(whole / 2))
    }

    fn slow_after(&self, transaction: TransactionId) -> Duration {
        self.adaptive().slow_after(transaction)
    }

    fn adapt(&self, told: impl FnOnce(&mut Adaptive)) {
        let mut adaptive = self.adaptive();
        told(&mut adaptive);
        // Under the lock, so that no older number comes last.
        self.admission.set_limit(adaptive.limit());
    }

    /// How things stand.
    pub fn load(&self) -> CommunityLoad {
        let (load, (_, most)) = (self.admission.load(), self.numbers());
        CommunityLoad { under_way: load.held, waiting: load.waiting, limit: load.limit, most }
    }

    /// How many there are now, and how many while it is well.
    fn numbers(&self) -> (usize, usize) {
        let adaptive = self.adaptive();
        (adaptive.limit(), adaptive.most())
    }
}

impl Paced<'_> {
    /// Waits for the call, and says when it has become slow.
    pub async fn watch<T>(&mut self, transaction: &Transaction, call: impl Future<Output = T>) -> T {
        let mut call = std::pin::pin!(call);
        match timeout(self.places.slow_after(transaction.id), call.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                let started = &mut self.started;
                self.places.adapt(|adaptive| adaptive.overdue(started, Instant::now()));
                call.await
            }
        }
    }

    /// It was answered.
    pub fn answered(self, now: Instant) {
        self.places.adapt(|adaptive| adaptive.answered(self.started, now));
    }

    /// It was not, in its time.
    pub fn unanswered(self, now: Instant) {
        self.places.adapt(|adaptive| adaptive.unanswered(self.started, now));
    }

    /// It was not taken, or answered with "busy".
    pub fn refused(self, now: Instant) {
        self.places.adapt(|adaptive| adaptive.refused(self.started, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(most: usize, submissions: usize) -> PeerPlaces {
        let limits = AdaptiveLimits { floor: most, most, budget: Duration::from_secs(8) };
        let community = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
        PeerPlaces::new(limits, PlaceLimits { submissions, queue: 0 }, &community, &Metrics::default())
    }

    /// How many more of that transaction get a place, the others being held.
    async fn more(places: &PeerPlaces, transaction: TransactionId, held: &mut Vec<Place>) -> (usize, String) {
        let transaction = Transaction::of(transaction);
        let context = RequestContext::of_our_own(transaction, "test", Duration::from_secs(8));
        for number in 0.. {
            match places.admit(&context, transaction, Instant::now()).await {
                Ok(place) => held.push(place),
                Err(failure) => return (number, failure.to_string()),
            }
        }
        unreachable!()
    }

    #[tokio::test]
    async fn submissions_take_no_place_of_a_query_and_have_few() {
        use TransactionId::{CrossGatewayDocumentProvide as Provide, CrossGatewayQuery as Query};
        for (most, submissions, expected) in [(32, 16, (16, 32)), (4, 16, (4, 4)), (4, 1, (1, 4)), (1, 16, (1, 0))] {
            let (places, mut held) = (places(most, submissions), Vec::new());
            let (handed_on, why) = more(&places, Provide, &mut held).await;
            let kind = if most == 1 { "requests" } else { "submissions" };
            assert!(why.contains(&format!("too many {kind} wait for it")), "{why}");
            let (asked, why) = more(&places, Query, &mut held).await;
            assert!(why.contains("too many requests wait for it"), "{why}");
            assert_eq!((handed_on, asked), expected);
            assert_eq!(places.load().under_way, most, "submissions of their own are not counted with the others");
        }
    }

    #[tokio::test]
    async fn other_bounds_hold_at_once() {
        use TransactionId::{CrossGatewayDocumentProvide as Provide, CrossGatewayQuery as Query};
        let (places, mut held) = (places(1, 16), Vec::new());
        let limits = |most| AdaptiveLimits { floor: most, most, budget: Duration::from_secs(8) };
        places.set_limits(limits(4), PlaceLimits { submissions: 2, queue: 0 });
        assert_eq!(more(&places, Provide, &mut held).await.0, 2);
        assert_eq!(more(&places, Query, &mut held).await.0, 4);
        // Where one thing is done at a time, nothing is apart.
        held.clear();
        places.set_limits(limits(1), PlaceLimits { submissions: 2, queue: 0 });
        assert_eq!((more(&places, Provide, &mut held).await.0, more(&places, Query, &mut held).await.0), (1, 0));
    }

    #[tokio::test]
    async fn a_place_can_be_given_back_while_its_call_goes_on() {
        let (places, mut held) = (places(1, 1), Vec::new());
        assert_eq!(more(&places, TransactionId::CrossGatewayQuery, &mut held).await.0, 1);
        let call = Held::new(held.pop().unwrap());
        let other = call.clone();
        assert!(call.given_back().is_none());
        other.give_back();
        let at = call.given_back();
        other.give_back();
        assert!(at.is_some() && call.given_back() == at, "once");
        assert_eq!(more(&places, TransactionId::CrossGatewayQuery, &mut held).await.0, 1);
        // And with the last who holds it.
        let call = Held::new(held.pop().unwrap());
        drop(call.clone());
        assert_eq!(more(&places, TransactionId::CrossGatewayQuery, &mut held).await.0, 0);
        drop(call);
        assert_eq!(more(&places, TransactionId::CrossGatewayQuery, &mut held).await.0, 1);
    }
}
