//! When a community is not worth asking: a circuit breaker for each address.
//!
//! After several calls in a row that brought no answer within a window, requests are told so at once
//! rather than after the community's whole budget. From time to time one request goes through as a
//! probe; if it is answered, all are asked again. An answer of any kind counts as life, a fault too:
//! what is wrong with one message says nothing of the next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bounds of a breaker (`[limits]`).
#[derive(Debug, Clone, Copy)]
pub struct BreakerLimits {
    /// Calls in a row without an answer after which it opens.
    pub failures: usize,
    /// Within that time.
    pub window: Duration,
    /// How long it stays open before a probe, and between probes.
    pub pause: Duration,
}

/// A circuit breaker.
pub struct Breaker {
    limits: BreakerLimits,
    state: Mutex<State>,
}

enum State {
    /// Calls go through; how many have failed in a row, and when the first of them did.
    Closed { failed: usize, since: Instant },
    /// None goes through before that moment, then one.
    Open { probe_at: Instant },
    /// A probe is under way, since then.
    Probing { since: Instant },
}

/// Leave to make a call; it must be told how that ended. Dropped without, nothing is known.
pub struct Leave<'b> {
    breaker: &'b Breaker,
    entered: Instant,
    probe: bool,
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
        Self { limits, state: Mutex::new(State::Closed { failed: 0, since: Instant::now() }) }
    }

    /// Leave to call at that moment, or for how long there is none.
    ///
    /// # Errors
    /// When the community has not answered lately.
    pub fn enter(&self, now: Instant) -> Result<Leave<'_>, Refused> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { probe_at } if now >= probe_at => {
                *state = State::Probing { since: now };
                true
            }
            State::Open { probe_at } => return Err(Refused { again_in: probe_at - now }),
            State::Probing { since } => {
                return Err(Refused { again_in: self.limits.pause.saturating_sub(now - since) });
            }
        };
        Ok(Leave { breaker: self, entered: now, probe, told: false })
    }
}

impl Leave<'_> {
    /// The call was answered, however. Tells whether the breaker has closed by it.
    pub fn answered(mut self) -> bool {
        self.told = true;
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = !matches!(*state, State::Closed { .. });
        // A call from before it opened proves as much as a probe.
        *state = State::Closed { failed: 0, since: self.entered };
        was_open
    }

    /// The call was not answered until that moment. Tells whether the breaker has opened by it.
    pub fn failed(mut self, now: Instant) -> bool {
        self.told = true;
        let limits = self.breaker.limits;
        let mut state = self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Closed { failed, since } => {
                if *failed == 0 || now - *since > limits.window {
                    (*failed, *since) = (0, now);
                }
                *failed += 1;
                if *failed < limits.failures {
                    return false;
                }
                *state = State::Open { probe_at: now + limits.pause };
                true
            }
            State::Probing { .. } if self.probe => {
                *state = State::Open { probe_at: now + limits.pause };
                false
            }
            // A call from before it opened.
            State::Open { .. } | State::Probing { .. } => false,
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe && !self.told {
            // Its caller went away: the next one probes.
            *self.breaker.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Open { probe_at: self.entered };
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
            (0..times).fold(false, |_, _| self.enter().failed(self.now))
        }

        /// Seconds for which nothing goes through.
        fn refused(&self) -> Option<u64> {
            match self.breaker.enter(self.now) {
                Ok(leave) => {
                    // As if nothing had been asked.
                    assert!(!leave.probe, "a probe would be given away");
                    None
                }
                Err(refused) => Some(refused.again_in.as_secs()),
            }
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
        assert!(!probe.failed(watched.now));
        assert_eq!(watched.refused(), Some(10));
        watched.wait(10);
        assert!(watched.enter().answered());
        // It takes as many failures as before to open it again.
        assert!(!watched.fail(2));
        assert_eq!(watched.refused(), None);
        assert!(watched.fail(1));
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
    fn calls_from_before_it_opened_neither_prolong_it_nor_are_lost() {
        let mut watched = Watched::new();
        let breaker = Breaker::new(LIMITS);
        let (late, alive) = (breaker.enter(watched.now).ok().unwrap(), breaker.enter(watched.now).ok().unwrap());
        for _ in 0..3 {
            breaker.enter(watched.now).ok().unwrap().failed(watched.now);
        }
        watched.wait(9);
        assert!(!late.failed(watched.now));
        let again_in = Duration::from_secs(1);
        assert_eq!(breaker.enter(watched.now).err(), Some(Refused { again_in }));
        assert!(alive.answered());
        assert!(breaker.enter(watched.now).is_ok());
    }
}
