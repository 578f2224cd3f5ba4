//! When a community is not worth asking: a circuit breaker for each address.
//!
//! After several calls in a row that brought no answer, requests are told so at once rather than
//! after the community's whole budget. From time to time one request goes through as a
//! probe; if it is answered, all are asked again. An answer of any kind counts as life, a fault too:
//! what is wrong with one message says nothing of the next.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest pause where it is we who refuse: that costs whoever asks next to nothing, and may be mended at any
/// moment, also just when a probe fails that began before.
const MENDABLE: Duration = Duration::from_secs(10);

/// Bounds of a breaker (`[limits]`).
#[derive(Debug, Clone, Copy)]
pub struct BreakerLimits {
    /// Calls in a row without an answer after which it opens.
    pub failures: usize,
    /// Time after which a failure does not count with the next one.
    pub window: Duration,
    /// How long it stays open before a probe, and between probes.
    pub pause: Duration,
}

impl BreakerLimits {
    /// How long it stays open after a failure; `by_us`: it was we who refused.
    pub fn pause_after(self, by_us: bool) -> Duration {
        if by_us { self.pause.min(MENDABLE) } else { self.pause }
    }
}

/// A circuit breaker.
pub struct Breaker {
    known: Mutex<Known>,
}

enum State {
    /// Calls go through; how many have failed in a row, and when the last of them did.
    Closed { failed: usize, last: Instant },
    /// None goes through before that moment, then one; what failed last was `mendable` here.
    Open { probe_at: Instant, mendable: bool },
    /// The probe of that number is under way, since then.
    Probing { number: u64, since: Instant },
}

struct Known {
    limits: BreakerLimits,
    state: State,
    /// Probes that there have been.
    probes: u64,
    /// When the call began that was answered last: what began before it proves nothing any more.
    answered: Option<Instant>,
}

/// Leave to make a call; it must be told how that ended. Dropped without, nothing is known.
pub struct Leave<'b> {
    breaker: &'b Breaker,
    entered: Instant,
    probe: Option<u64>,
    told: bool,
}

/// The community is not to be asked now.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// When a probe is due.
    pub again_in: Duration,
}

impl Breaker {
    /// A breaker that lets everything through, yet.
    pub fn new(limits: BreakerLimits) -> Self {
        let state = State::Closed { failed: 0, last: Instant::now() };
        Self { known: Mutex::new(Known { limits, state, probes: 0, answered: None }) }
    }

    /// Takes other bounds from that moment on, when the configuration was read again. What is known stays known; the
    /// next probe is due as soon as they say, or at once where it is the configuration that may have been mended.
    pub fn set_limits(&self, limits: BreakerLimits, now: Instant) {
        let mut known = self.known();
        known.limits = limits;
        if let State::Open { probe_at, mendable } = &mut known.state {
            *probe_at = (*probe_at).min(if *mendable { now } else { now + limits.pause });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why there would be no leave at that moment; none is taken.
    pub fn refused(&self, now: Instant) -> Option<Refused> {
        let known = self.known();
        match known.state {
            State::Open { probe_at, .. } if now < probe_at => Some(Refused { again_in: probe_at - now }),
            // A probe that takes its time, as documents do that are sent, is not the last one.
            State::Probing { since, .. } if now < since + known.limits.pause => {
                Some(Refused { again_in: since + known.limits.pause - now })
            }
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => None,
        }
    }

    /// Leave to call at that moment, or for how long there is none.
    ///
    /// # Errors
    /// When the community has not answered lately.
    pub fn enter(&self, now: Instant) -> Result<Leave<'_>, Refused> {
        if let Some(refused) = self.refused(now) {
            return Err(refused);
        }
        let mut known = self.known();
        let probe = match known.state {
            State::Closed { .. } => None,
            // One may have begun since it was looked at.
            State::Probing { since, .. } if now < since + known.limits.pause => {
                return Err(Refused { again_in: known.limits.pause });
            }
            State::Open { .. } | State::Probing { .. } => {
                known.probes += 1;
                known.state = State::Probing { number: known.probes, since: now };
                Some(known.probes)
            }
        };
        Ok(Leave { breaker: self, entered: now, probe, told: false })
    }
}

impl Leave<'_> {
    /// The call was answered, however. Tells whether the breaker has closed by it.
    pub fn answered(mut self) -> bool {
        self.told = true;
        let mut known = self.breaker.known();
        let was_open = !matches!(known.state, State::Closed { .. });
        // A call from before it opened proves as much as a probe.
        known.state = State::Closed { failed: 0, last: self.entered };
        known.answered = known.answered.max(Some(self.entered));
        was_open
    }

    /// The call was not answered until that moment; `by_us`: since we did not go on with it, as we are configured. Tells
    /// whether the breaker has opened by it.
    pub fn failed(mut self, now: Instant, by_us: bool) -> bool {
        self.told = true;
        let mut known = self.breaker.known();
        let limits = known.limits;
        let pause = limits.pause_after(by_us);
        if known.answered.is_some_and(|answered| self.entered < answered) {
            return false;
        }
        match &mut known.state {
            State::Closed { failed, last } => {
                if now.saturating_duration_since(*last) > limits.window {
                    *failed = 0;
                }
                (*failed, *last) = (*failed + 1, now);
                if *failed < limits.failures {
                    return false;
                }
                known.state = State::Open { probe_at: now + pause, mendable: by_us };
                true
            }
            State::Probing { number, .. } if Some(*number) == self.probe => {
                known.state = State::Open { probe_at: now + pause, mendable: by_us };
                false
            }
            // A call from before it opened.
            State::Open { .. } | State::Probing { .. } => false,
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let mut known = self.breaker.known();
        if let State::Probing { number, .. } = known.state
            && Some(number) == self.probe
        {
            // Its caller went away: the next one probes.
            known.state = State::Open { probe_at: self.entered, mendable: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits =
        BreakerLimits { failures: 3, window: Duration::from_secs(30), pause: Duration::from_secs(10) };

    /// A breaker, and its clock.
    struct Watched {
        breaker: Breaker,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            Self { breaker: Breaker::new(LIMITS), now: Instant::now() }
        }

        fn wait(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn enter(&self) -> Leave<'_> {
            self.breaker.enter(self.now).ok().unwrap()
        }

        fn fail(&self, times: usize) -> bool {
            (0..times).fold(false, |_, _| self.enter().failed(self.now, false))
        }

        /// Seconds for which nothing goes through.
        fn refused(&self) -> Option<u64> {
            self.breaker.refused(self.now).map(|refused| refused.again_in.as_secs())
        }
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let mut watched = Watched::new();
        watched.fail(2);
        assert!(!watched.enter().answered());
        assert!(!watched.fail(2));
        assert_eq!(watched.refused(), None);
        assert!(watched.fail(1), "the third in a row");
        assert_eq!(watched.refused(), Some(10));
        watched.wait(4);
        assert_eq!(watched.refused(), Some(6));
        watched.wait(6);
        // One goes through, and no other meanwhile.
        let probe = watched.enter();
        assert_eq!(watched.refused(), Some(10));
        assert!(!probe.failed(watched.now, false));
        assert_eq!(watched.refused(), Some(10));
        watched.wait(10);
        assert!(watched.enter().answered());
        // It takes as many failures as before to open it again.
        assert!(!watched.fail(2));
        assert_eq!(watched.refused(), None);
        assert!(watched.fail(1));
    }

    #[test]
    fn a_probe_that_takes_long_does_not_keep_all_others_out() {
        let (breaker, began) = (Breaker::new(LIMITS), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let refused = |seconds| breaker.refused(at(seconds)).map(|refused| refused.again_in.as_secs());
        for _ in 0..3 {
            breaker.enter(at(0)).ok().unwrap().failed(at(0), false);
        }
        let upload = breaker.enter(at(10)).ok().unwrap();
        assert_eq!((refused(14), breaker.enter(at(14)).is_err()), (Some(6), true));
        assert!(breaker.enter(at(20)).ok().unwrap().answered());
        assert_eq!(refused(20), None);
        drop(upload);
        assert_eq!(refused(20), None);
    }

    #[test]
    fn one_request_after_the_other_opens_it_too_however_long_each_takes() {
        let mut watched = Watched::new();
        let mut opened = Vec::new();
        for _ in 0..3 {
            let leave = watched.breaker.enter(watched.now).ok().unwrap();
            watched.now += Duration::from_secs(29);
            opened.push(leave.failed(watched.now, false));
        }
        assert_eq!(opened, [false, false, true]);
    }

    #[test]
    fn what_we_refused_ourselves_is_tried_again_when_the_configuration_may_have_been_mended() {
        let now = Instant::now();
        let open = |by_us: bool| {
            let breaker = Breaker::new(LIMITS);
            for _ in 0..3 {
                let leave = breaker.enter(now).ok().unwrap();
                leave.failed(now, by_us);
            }
            assert!(breaker.refused(now).is_some());
            breaker.set_limits(LIMITS, now);
            breaker
        };
        assert!(open(false).refused(now).is_some());
        let breaker = open(true);
        assert_eq!(breaker.refused(now), None);
        // One does so, and where nothing was mended the others still wait.
        let probe = breaker.enter(now).ok().unwrap();
        assert!(breaker.enter(now).is_err());
        probe.failed(now, true);
        assert!(breaker.enter(now).is_err());
    }

    #[test]
    fn what_we_refuse_ourselves_is_tried_before_long_whatever_the_pause() {
        let now = Instant::now();
        let long = BreakerLimits { failures: 1, pause: Duration::from_secs(3600), ..LIMITS };
        for (by_us, again_in) in [(true, MENDABLE), (false, long.pause)] {
            let breaker = Breaker::new(long);
            let leave = breaker.enter(now).ok().unwrap();
            leave.failed(now, by_us);
            assert_eq!(breaker.refused(now), Some(Refused { again_in }));
        }
    }

    #[test]
    fn what_began_before_the_last_answer_proves_nothing() {
        let mut watched = Watched::new();
        let breaker = Breaker::new(LIMITS);
        let old: Vec<_> = (0..5).map(|_| breaker.enter(watched.now).ok().unwrap()).collect();
        watched.wait(1);
        breaker.enter(watched.now).ok().unwrap().answered();
        watched.wait(10);
        assert!(old.into_iter().all(|leave| !leave.failed(watched.now, false)));
        assert_eq!(breaker.refused(watched.now), None);
    }

    #[test]
    fn a_probe_that_ends_late_takes_nothing_back() {
        let mut watched = Watched::new();
        let breaker = Breaker::new(LIMITS);
        let alive = breaker.enter(watched.now).ok().unwrap();
        for _ in 0..3 {
            breaker.enter(watched.now).ok().unwrap().failed(watched.now, false);
        }
        watched.wait(10);
        let probe = breaker.enter(watched.now).ok().unwrap();
        assert!(alive.answered());
        drop(probe);
        assert_eq!(breaker.refused(watched.now), None);
    }

    #[test]
    fn failures_that_lie_far_apart_do_not_open_it() {
        let mut watched = Watched::new();
        for _ in 0..10 {
            assert!(!watched.fail(2));
            watched.wait(31);
        }
        assert!(watched.fail(3));
    }

    #[test]
    fn a_probe_whose_caller_goes_away_is_another_ones() {
        let mut watched = Watched::new();
        watched.fail(3);
        watched.wait(10);
        drop(watched.enter());
        assert!(watched.enter().answered());
        assert_eq!(watched.refused(), None);
    }

    #[test]
    fn other_bounds_take_nothing_back_of_what_is_known() {
        let mut watched = Watched::new();
        let set = |watched: &Watched, failures, pause| {
            let limits = BreakerLimits { failures, pause: Duration::from_secs(pause), ..LIMITS };
            watched.breaker.set_limits(limits, watched.now);
        };
        watched.fail(1);
        set(&watched, 2, 10);
        assert!(watched.fail(1), "the second in a row");
        watched.wait(2);
        // A longer pause is for the next time, a shorter one for this one.
        set(&watched, 2, 60);
        assert_eq!(watched.refused(), Some(8));
        set(&watched, 2, 3);
        assert_eq!(watched.refused(), Some(3));
        watched.wait(3);
        assert!(!watched.enter().failed(watched.now, false));
        assert_eq!(watched.refused(), Some(3));
    }

    #[test]
    fn calls_from_before_it_opened_neither_prolong_it_nor_are_lost() {
        let mut watched = Watched::new();
        let breaker = Breaker::new(LIMITS);
        let (late, alive) = (breaker.enter(watched.now).ok().unwrap(), breaker.enter(watched.now).ok().unwrap());
        for _ in 0..3 {
            breaker.enter(watched.now).ok().unwrap().failed(watched.now, false);
        }
        watched.wait(9);
        assert!(!late.failed(watched.now, false));
        let again_in = Duration::from_secs(1);
        assert_eq!(breaker.enter(watched.now).err(), Some(Refused { again_in }));
        assert!(alive.answered());
        assert!(breaker.enter(watched.now).is_ok());
    }
}
