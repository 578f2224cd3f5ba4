//! How soon a simulated community answers, and the dice it throws.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::terminal::{human_duration, parse_duration};

/// Dice that fall the same way for the same seed (SplitMix64): who throws them at the same time gets
/// different sides of one sequence.
#[derive(Debug)]
pub struct Dice(AtomicU64);

/// The golden ratio's odd integer, by which the state goes on.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    /// Dice for a purpose, so that one purpose does not disturb another.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let dice = Self(AtomicU64::new(seed));
        let mixed = dice.next() ^ purpose.wrapping_mul(STEP);
        Self(AtomicU64::new(mixed))
    }

    /// The next number.
    pub fn next(&self) -> u64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of the range from 0 to below 1.
    pub fn share(&self) -> f64 {
        // 53 bits are what an f64 holds.
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 1 to `most`.
    pub fn up_to(&self, most: u32) -> u32 {
        let most = u64::from(most.max(1));
        u32::try_from(self.next() % most + 1).unwrap_or(1)
    }
}

/// A distribution of times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always the same.
    Fixed(Duration),
    /// Any between two, each as likely.
    Between(Duration, Duration),
    /// As systems answer: most near the median, few far above (log-normal).
    Spread {
        /// Half are sooner.
        p50: Duration,
        /// One of a hundred is later.
        p99: Duration,
    },
}

/// How many standard deviations the 99th percentile lies above the median.
const P99: f64 = 2.326_347_9;

impl Latency {
    /// `50ms`, `20ms..200ms`, or `p50=50ms,p99=400ms`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((from, to)) = text.split_once("..") {
            let (from, to) = (parse_duration(from.trim())?, parse_duration(to.trim())?);
            return (from <= to).then_some(Self::Between(from, to));
        }
        if let Some((p50, p99)) = text.split_once(',') {
            let p50 = parse_duration(p50.trim().strip_prefix("p50=")?)?;
            let p99 = parse_duration(p99.trim().strip_prefix("p99=")?)?;
            return (!p50.is_zero() && p50 <= p99).then_some(Self::Spread { p50, p99 });
        }
        parse_duration(text.trim()).map(Self::Fixed)
    }

    /// One time of it.
    pub fn throw(&self, dice: &Dice) -> Duration {
        match self {
            Self::Fixed(time) => *time,
            Self::Between(from, to) => *from + (*to - *from).mul_f64(dice.share()),
            Self::Spread { p50, p99 } => {
                // Box and Muller's way from two even numbers to a normal one.
                let (radius, angle) = ((-2.0 * (1.0 - dice.share()).ln()).sqrt(), std::f64::consts::TAU * dice.share());
                let sigma = (p99.as_secs_f64() / p50.as_secs_f64()).ln() / P99;
                // Beyond eight deviations nobody waits: the bound keeps the product a time.
                p50.mul_f64((sigma * (radius * angle.cos()).clamp(-8.0, 8.0)).exp().min(1e6))
            }
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(time) => f.write_str(&human_duration(*time)),
            Self::Between(from, to) => write!(f, "{} to {}", human_duration(*from), human_duration(*to)),
            Self::Spread { p50, p99 } => write!(f, "p50 {}, p99 {}", human_duration(*p50), human_duration(*p99)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_same_seed_falls_the_same_way() {
        let throws = |seed, purpose| {
            let dice = Dice::new(seed, purpose);
            [dice.next(), dice.next(), dice.next()]
        };
        assert_eq!(throws(7, 1), throws(7, 1));
        assert_ne!(throws(7, 1), throws(8, 1));
        assert_ne!(throws(7, 1), throws(7, 2));
        let dice = Dice::new(7, 3);
        let sides: Vec<u32> = (0..600).map(|_| dice.up_to(6)).collect();
        assert!((1..=6).all(|side| sides.iter().filter(|s| **s == side).count() > 50), "{sides:?}");
    }

    #[test]
    fn distributions_are_read_and_kept() {
        assert_eq!(Latency::parse("50ms"), Some(Latency::Fixed(50 * MS)));
        assert_eq!(Latency::parse("20ms..200ms"), Some(Latency::Between(20 * MS, 200 * MS)));
        let spread = Latency::parse("p50=50ms, p99=400ms").unwrap();
        assert_eq!(spread.to_string(), "p50 50.0 ms, p99 400 ms");
        for wrong in ["", "x", "200ms..20ms", "p50=50ms", "p50=0ms,p99=1ms", "p99=50ms,p50=1ms"] {
            assert_eq!(Latency::parse(wrong), None, "{wrong}");
        }
        let dice = Dice::new(1, 1);
        let mut times: Vec<Duration> = (0..10_000).map(|_| spread.throw(&dice)).collect();
        times.sort();
        assert!((45 * MS..55 * MS).contains(&times[5_000]), "{:?}", times[5_000]);
        assert!((330 * MS..480 * MS).contains(&times[9_900]), "{:?}", times[9_900]);
    }
}
