//! How many requests a community is asked at once: as many as are configured while it is well, fewer while it is
//! not, never less than a floor. A community that has become slow does not become faster by being asked more.
//!
//! What is usual is learnt of each transaction: the time that half of the calls take. A call is slow when it takes
//! [`SLOW`] times that and [`NEVER_SLOW`] at least, or half of what it may take at all; this is known while it is
//! still under way. When most of some calls were slow, or one was not answered or with "busy", the number is
//! halved; while most are as usual, it grows by one with every few of them. Only calls that began after the last
//! halving say whether another one is due: those from before met the old number.
//!
//! One that stays slow for a minute or so is slow as usual, and is asked as much as before, unless it takes most
//! of its time.
//!
//! Nothing here waits or looks at a clock: times are told, so that tests can tell them.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

use crate::transaction::TransactionId;

/// Between what the number goes up and down.
#[derive(Debug, Clone, Copy)]
pub struct AdaptiveLimits {
    /// The least; as much as `most`, and the number stays as it is.
    pub floor: usize,
    /// The most.
    pub most: usize,
    /// The longest time for one answer.
    pub budget: Duration,
}

impl AdaptiveLimits {
    /// With a number to be between them.
    fn sound(self) -> Self {
        let most = self.most.max(1);
        Self { floor: self.floor.clamp(1, most), most, ..self }
    }
}

/// Calls that are judged together.
const WINDOW: usize = 8;

/// How many times the usual time is slow.
const SLOW: f64 = 2.5;

/// What takes less is not slow, whatever is usual: it may as well be us.
const NEVER_SLOW: Duration = Duration::from_millis(250);

/// Calls of a transaction until it is known what is usual.
const LEARNT: usize = 16;

/// In what time the usual time may become that many times (e) longer or shorter.
const HABIT: Duration = Duration::from_secs(30);

/// The most that one call can change of it.
const ONE_CALL: f64 = 0.1;

/// The number for one community.
#[derive(Debug)]
pub struct Adaptive {
    limits: AdaptiveLimits,
    limit: usize,
    /// Of the calls that are judged together: all, and those that were slow.
    calls: usize,
    slow: usize,
    /// When it was halved last.
    halved: Option<Instant>,
    usual: Vec<(TransactionId, Usual)>,
}

#[derive(Debug)]
enum Usual {
    Learning(Vec<Duration>),
    /// Seconds, and when a call said so last.
    Known(f64, Instant),
}

/// A call under way.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    transaction: TransactionId,
    at: Instant,
    /// It has been counted as a slow one already.
    counted: bool,
}

impl Usual {
    fn learn(&mut self, took: Duration, now: Instant) {
        match self {
            Self::Learning(times) => {
                times.push(took);
                if times.len() >= LEARNT {
                    times.sort_unstable();
                    let median = times.get(LEARNT / 2).copied().unwrap_or(took);
                    *self = Self::Known(median.as_secs_f64(), now);
                }
            }
            // A step towards each call, however far away it is, leads to where half are longer and half shorter.
            Self::Known(seconds, last) => {
                let passed = now.saturating_duration_since(*last).as_secs_f64();
                let step = (passed / HABIT.as_secs_f64()).min(ONE_CALL);
                // What is nothing could not become longer.
                *seconds = (*seconds * if took.as_secs_f64() > *seconds { 1.0 + step } else { 1.0 - step }).max(1e-6);
                *last = now;
            }
        }
    }
}

impl Adaptive {
    /// As many as are configured, until it is known better.
    pub fn new(limits: AdaptiveLimits) -> Self {
        let limits = limits.sound();
        Self { limits, limit: limits.most, calls: 0, slow: 0, halved: None, usual: Vec::new() }
    }

    /// Takes other bounds. One that is well has what they allow; of one that is not no more is known than before.
    pub fn set_limits(&mut self, limits: AdaptiveLimits) {
        let (is_well, limits) = (self.limit == self.limits.most, limits.sound());
        self.limit = if is_well { limits.most } else { self.limit.clamp(limits.floor, limits.most) };
        self.limits = limits;
    }

    /// The number.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// What it is while the community is well.
    pub fn most(&self) -> usize {
        self.limits.most
    }

    /// A call begins at that moment.
    pub fn began(&self, transaction: TransactionId, now: Instant) -> Started {
        Started { transaction, at: now, counted: false }
    }

    fn usual(&mut self, transaction: TransactionId) -> &mut Usual {
        let at = self.usual.iter().position(|(known, _)| *known == transaction).unwrap_or_else(|| {
            self.usual.push((transaction, Usual::Learning(Vec::with_capacity(LEARNT))));
            self.usual.len() - 1
        });
        &mut self.usual[at].1
    }

    /// The time that is usual, as soon as that is known.
    pub fn usual_time(&self, transaction: TransactionId) -> Option<Duration> {
        match self.usual.iter().find(|(known, _)| *known == transaction) {
            Some((_, Usual::Known(seconds, _))) => Duration::try_from_secs_f64(*seconds).ok(),
            _ => None,
        }
    }

    /// After what time a call is slow.
    pub fn slow_after(&self, transaction: TransactionId) -> Duration {
        let much = self.limits.budget / 2;
        match self.usual_time(transaction) {
            // No more than the budget, the usual time is far from what a Duration cannot hold.
            Some(usual) => usual.min(self.limits.budget).mul_f64(SLOW).max(NEVER_SLOW).min(much),
            None => much,
        }
    }

    /// A call is slow, and not answered yet.
    pub fn overdue(&mut self, call: &mut Started, now: Instant) {
        if !call.counted {
            call.counted = true;
            self.judge(call.at, now, true);
        }
    }

    /// A call has been answered, at that moment.
    pub fn answered(&mut self, call: Started, now: Instant) {
        let took = now.saturating_duration_since(call.at);
        if !call.counted {
            self.judge(call.at, now, took > self.slow_after(call.transaction));
        }
        self.usual(call.transaction).learn(took, now);
    }

    /// A call has not been answered until that moment: it would have taken longer.
    pub fn unanswered(&mut self, call: Started, now: Instant) {
        self.halve(call.at, now);
        self.usual(call.transaction).learn(now.saturating_duration_since(call.at), now);
    }

    /// A call has failed at once, or was answered with "busy", which says nothing of what is usual.
    pub fn refused(&mut self, call: Started, now: Instant) {
        self.halve(call.at, now);
    }

    fn judge(&mut self, began: Instant, now: Instant, slow: bool) {
        if self.halved.is_some_and(|halved| began < halved) {
            return;
        }
        self.calls += 1;
        self.slow += usize::from(slow);
        if self.slow * 2 > WINDOW {
            self.halve(began, now);
        } else if self.calls >= WINDOW {
            (self.calls, self.slow) = (0, 0);
            self.limit = (self.limit + 1).min(self.limits.most);
        }
    }

    fn halve(&mut self, began: Instant, now: Instant) {
        if self.halved.is_some_and(|halved| began < halved) {
            return;
        }
        (self.calls, self.slow) = (0, 0);
        self.halved = Some(now);
        self.limit = (self.limit / 2).max(self.limits.floor);
    }
}
