//! The places of requests to one community: how many there are, who has one, and what each call says of how many
//! there should be.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::adaptive::{Adaptive, AdaptiveLimits, Started};
use crate::actors::context::RequestContext;
use crate::actors::ports::{CommunityLoad, PeerFailure};
use crate::transaction::{Transaction, TransactionId};
use crate::transport::admission::{Admission, AdmissionLimits, Place, Refusal};
use crate::transport::metrics::PlaceNumbers;

/// Places among the requests to one community.
pub struct PeerPlaces {
    admission: Admission,
    adaptive: Mutex<Adaptive>,
}

/// What ordinary requests may not have of a community that is slow is left to emergencies.
fn bounds(adaptive: &Adaptive, queue: usize) -> AdmissionLimits {
    AdmissionLimits { places: adaptive.most(), reserve: 0, queue, queue_of_one: queue }
}

/// A call that tells how it went.
pub struct Paced<'p> {
    places: &'p PeerPlaces,
    started: Started,
}

impl PeerPlaces {
    /// Places that are all free.
    pub fn new(limits: AdaptiveLimits, queue: usize, numbers: PlaceNumbers) -> Self {
        let adaptive = Adaptive::new(limits);
        Self { admission: Admission::new(bounds(&adaptive, queue), numbers), adaptive: Mutex::new(adaptive) }
    }

    /// Takes other bounds at once: what is known of the community stays known, and who has a place or a turn keeps it.
    pub fn set_limits(&self, limits: AdaptiveLimits, queue: usize) {
        let mut adaptive = self.adaptive();
        adaptive.set_limits(limits);
        self.admission.set_limits(bounds(&adaptive, queue), adaptive.limit());
    }

    fn adaptive(&self) -> MutexGuard<'_, Adaptive> {
        self.adaptive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, waited for until then at most.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn admit(&self, context: &RequestContext, until: Instant) -> Result<Place, PeerFailure> {
        self.admission.admit(&context.caller, context.lane, until).await.map_err(|refusal| {
            let why = match refusal {
                Refusal::Late | Refusal::Gone => "too many requests to it are under way",
                Refusal::Full | Refusal::OwnFull | Refusal::Displaced => "too many requests wait for it",
            };
            PeerFailure::NotAsked(why.into())
        })
    }

    /// What is to be said of a wait for it: nothing as long as there are as many as are configured.
    pub fn words(&self) -> Option<String> {
        let (limit, most) = self.numbers();
        (limit < most).then(|| format!("{limit} at once, {most} when it is well"))
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
