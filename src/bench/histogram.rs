//! Latencies in buckets that are linear within each power of two: any value is kept to within one
//! part in 128, whatever its size, in constant memory and without a lock.

use std::time::Duration;

/// Bits that are kept of a value: buckets of one octave.
const BITS: u32 = 7;
const OCTAVE: usize = 1 << BITS;
/// The first two octaves share exact buckets; 64-bit values have 64 - 7 octaves.
const BUCKETS: usize = (64 - BITS as usize + 1) * OCTAVE;

/// How often which duration was seen, in nanoseconds.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

fn bucket(value: u64) -> usize {
    let octave = (64 - value.leading_zeros()).saturating_sub(BITS + 1);
    (octave as usize) * OCTAVE + (value >> octave) as usize
}

/// The largest value of a bucket: percentiles are never flattering.
fn upper(bucket: usize) -> u64 {
    let octave = (bucket / OCTAVE).saturating_sub(1) as u32;
    let position = (bucket - octave as usize * OCTAVE) as u64;
    (position << octave) + ((1_u64 << octave) - 1)
}

impl Histogram {
    /// Counts a duration.
    pub fn record(&mut self, duration: Duration) {
        let value = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
        }
        self.total += 1;
        self.sum += u128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The duration that `percent` of all do not exceed; zero if there are none.
    pub fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(bucket).min(self.max));
            }
        }
        Duration::from_nanos(self.max)
    }

    /// The mean; zero if there are none.
    pub fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The shortest; zero if there are none.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(if self.total == 0 { 0 } else { self.min })
    }

    /// The longest; zero if there are none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_of_a_known_row() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (percent, ms) in [(50.0, 500.0), (90.0, 900.0), (99.0, 990.0), (100.0, 1000.0)] {
            let found = histogram.percentile(percent).as_secs_f64() * 1000.0;
            assert!((ms..ms * 1.01).contains(&found), "p{percent}: {found}");
        }
        assert_eq!(histogram.min(), Duration::from_millis(1));
        assert_eq!(histogram.max(), Duration::from_millis(1000));
        assert_eq!(histogram.mean(), Duration::from_micros(500_500));
    }

    #[test]
    fn nothing_is_zero() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(99.0), Duration::ZERO);
        assert_eq!(histogram.mean(), Duration::ZERO);
        assert_eq!(histogram.min(), Duration::ZERO);
    }

    #[test]
    fn the_largest_value_has_a_bucket() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(upper(BUCKETS - 1), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_bucket_is_narrow_and_holds_its_values(value: u64) {
            let upper = upper(bucket(value));
            prop_assert!(upper >= value);
            prop_assert!(u128::from(upper) * 128 <= u128::from(value) * 129);
        }

        #[test]
        fn buckets_are_in_order(value in 0..u64::MAX) {
            prop_assert!(bucket(value) <= bucket(value + 1));
            prop_assert!(bucket(value + 1) - bucket(value) <= 1);
        }

        #[test]
        fn merging_is_counting_together(a in proptest::collection::vec(any::<u64>(), 0..50), b in proptest::collection::vec(any::<u64>(), 0..50)) {
            let of = |values: &[u64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
                histogram
            };
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let together = of(&[a, b].concat());
            prop_assert_eq!(merged.counts, together.counts);
            prop_assert_eq!((merged.total, merged.sum, merged.min, merged.max), (together.total, together.sum, together.min, together.max));
        }
    }
}
