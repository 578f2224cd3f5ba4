//! How communities stand: what has been learnt of each by asking it. It outlives a reload, which makes all
//! communities anew: whom it was not worth asking before is not asked again because of it, and what is under way
//! when it comes is counted with what comes after it.
//!
//! A community is the same as before if it is asked at one of the addresses at which it was. Each address keeps its
//! own breaker; another one has nothing to do with what was learnt elsewhere.
//!
//! Nothing is kept for a community that nobody asks any more: whoever asks it holds what is known of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::Uri;
use tokio::time::Instant;

use super::PeerLimits;
use super::places::PeerPlaces;
use crate::model::ids::HomeCommunityId;
use crate::transport::breaker::Breaker;
use crate::transport::metrics::Metrics;

/// What a community is asked at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// All that it is asked as a gateway.
    Gateway,
    /// For patients, at an address apart.
    Discovery,
}

/// How all communities stand that are asked.
#[derive(Default)]
pub struct Standings(Mutex<HashMap<(HomeCommunityId, Purpose, Uri), Known>>);

/// What is known at one address.
struct Known {
    breaker: Weak<Breaker>,
    /// Those of the community.
    places: Weak<PeerPlaces>,
}

impl Standings {
    fn known(&self) -> MutexGuard<'_, HashMap<(HomeCommunityId, Purpose, Uri), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places of a community with gateways there: those that it has, within the bounds given now, or new ones.
    pub(super) fn places<'u>(
        &self,
        home: &HomeCommunityId,
        gateways: impl IntoIterator<Item = &'u Uri>,
        limits: PeerLimits,
        metrics: &Metrics,
    ) -> Arc<PeerPlaces> {
        let known = self.known();
        let at = |uri: &Uri| known.get(&(home.clone(), Purpose::Gateway, uri.clone()))?.places.upgrade();
        match gateways.into_iter().find_map(at) {
            Some(places) => {
                places.set_limits(limits.in_flight, limits.places);
                places
            }
            None => Arc::new(PeerPlaces::new(limits.in_flight, limits.places, home, metrics)),
        }
    }

    /// The breaker of an address of the community with these places: the one that it has, or a new one.
    pub(super) fn breaker(
        &self,
        home: &HomeCommunityId,
        purpose: Purpose,
        uri: &Uri,
        limits: PeerLimits,
        places: &Arc<PeerPlaces>,
    ) -> Arc<Breaker> {
        let mut known = self.known();
        known.retain(|_, known| known.breaker.strong_count() > 0);
        let address = (home.clone(), purpose, uri.clone());
        let breaker = match known.get(&address).and_then(|known| known.breaker.upgrade()) {
            Some(breaker) => {
                breaker.set_limits(limits.breaker, Instant::now());
                breaker
            }
            None => Arc::new(Breaker::new(limits.breaker)),
        };
        known.insert(address, Known { breaker: Arc::downgrade(&breaker), places: Arc::downgrade(places) });
        breaker
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{AdaptiveLimits, PlaceLimits};
    use super::*;
    use crate::transport::breaker::BreakerLimits;

    fn limits(most: usize) -> PeerLimits {
        let budget = Duration::from_secs(8);
        PeerLimits {
            budget,
            in_flight: AdaptiveLimits { floor: 1, most, budget },
            places: PlaceLimits { submissions: 2, queue: 4 },
            results: 100,
            breaker: BreakerLimits {
                failures: 1,
                window: Duration::from_secs(30),
                pause: Duration::from_secs(u64::MAX >> 32),
            },
        }
    }

    /// What one configuration made of a community: its places, and a breaker for each address.
    struct Made {
        places: Arc<PeerPlaces>,
        breakers: Vec<Arc<Breaker>>,
    }

    fn make(standings: &Standings, home: &str, addresses: &[&'static str], most: usize) -> Made {
        let (home, limits) = (HomeCommunityId::parse(home).unwrap(), limits(most));
        let addresses: Vec<Uri> = addresses.iter().map(|address| Uri::from_static(address)).collect();
        let places = standings.places(&home, &addresses, limits, &Metrics::default());
        let breaker = |uri| standings.breaker(&home, Purpose::Gateway, uri, limits, &places);
        Made { breakers: addresses.iter().map(breaker).collect(), places }
    }

    const ONE: &str = "urn:oid:2.999.1";
    const OTHER: &str = "urn:oid:2.999.2";
    const HERE: &str = "https://a.example/xca";
    const THERE: &str = "https://b.example/xca";

    fn is_open(breaker: &Breaker) -> bool {
        breaker.refused(Instant::now()).is_some()
    }

    #[test]
    fn a_community_at_the_same_address_is_the_same() {
        let standings = Standings::default();
        let before = make(&standings, ONE, &[HERE], 8);
        before.breakers[0].enter(Instant::now()).ok().unwrap().failed(Instant::now(), false);
        let after = make(&standings, ONE, &[HERE], 4);
        assert!(is_open(&after.breakers[0]));
        assert!(Arc::ptr_eq(&before.places, &after.places));
        assert_eq!(before.places.load().most, 4, "its bounds are those of now");
        // One more address has a breaker of its own; another community has nothing to do with it.
        let both = make(&standings, ONE, &[THERE, HERE], 4);
        assert!(Arc::ptr_eq(&before.places, &both.places));
        assert_eq!([0, 1].map(|at| is_open(&both.breakers[at])), [false, true]);
        let other = make(&standings, OTHER, &[HERE], 8);
        assert!(!Arc::ptr_eq(&before.places, &other.places) && !is_open(&other.breakers[0]));
        // Where it is asked for patients is another matter, at the same address too.
        let home = HomeCommunityId::parse(ONE).unwrap();
        let uri = Uri::from_static(HERE);
        let discovery = standings.breaker(&home, Purpose::Discovery, &uri, limits(4), &both.places);
        assert!(!is_open(&discovery));
    }

    #[test]
    fn one_at_another_address_begins_anew_and_nothing_is_kept_for_nobody() {
        let standings = Standings::default();
        let before = make(&standings, ONE, &[HERE], 8);
        before.breakers[0].enter(Instant::now()).ok().unwrap().failed(Instant::now(), false);
        let moved = make(&standings, ONE, &[THERE], 8);
        assert!(!Arc::ptr_eq(&before.places, &moved.places) && !is_open(&moved.breakers[0]));
        drop(before);
        assert!(!is_open(&make(&standings, ONE, &[HERE], 8).breakers[0]));
        drop(moved);
        let _other = make(&standings, OTHER, &[HERE], 8);
        assert_eq!(standings.known().len(), 1);
    }
}
