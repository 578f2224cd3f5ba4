//! What was measured, as a table for people and as JSON for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::Outcome;

/// What a measured path is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Answers a second.
    Requests,
    /// Octets of answers a second.
    Octets,
}

impl Measure {
    fn of(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Requests => outcome.requests_per_second(),
            Self::Octets => outcome.received_per_second(),
        }
    }

    /// A figure with its unit.
    pub fn shown(self, figure: f64) -> String {
        match self {
            Self::Requests => format!("{figure:.0}/s"),
            Self::Octets => format!("{:.0} MiB/s", figure / f64::from(1 << 20)),
        }
    }
}

/// One server in one round.
#[derive(Clone)]
pub struct Sample {
    /// What the clients saw.
    pub outcome: Outcome,
    /// Processor time of the server, if the system tells.
    pub processor: Option<Duration>,
}

/// One server over all rounds.
#[derive(Clone, Default)]
pub struct Side {
    /// The rounds.
    pub samples: Vec<Sample>,
}

impl Side {
    /// All rounds together.
    pub fn total(&self) -> Outcome {
        let mut total = Outcome::default();
        self.samples.iter().for_each(|sample| total.merge(&sample.outcome));
        total
    }

    /// The median round.
    pub fn figure(&self, measure: Measure) -> f64 {
        median(self.samples.iter().map(|sample| measure.of(&sample.outcome)).collect())
    }

    /// Processor time of the server per good answer, or per MiB, in microseconds.
    pub fn processor_micros(&self, measure: Measure) -> Option<f64> {
        let micros: Option<f64> = self.samples.iter().map(|s| s.processor.map(|p| p.as_secs_f64() * 1e6)).sum();
        let total = self.total();
        let work = match measure {
            Measure::Requests => total.requests as f64,
            Measure::Octets => total.received as f64 / f64::from(1 << 20),
        };
        micros.filter(|_| work > 0.0).map(|micros| micros / work)
    }

    fn json(&self, measure: Measure) -> Value {
        let mut value = outcome_json(&self.total());
        if let Value::Object(fields) = &mut value {
            let figures: Vec<f64> = self.samples.iter().map(|s| rounded(measure.of(&s.outcome))).collect();
            fields.insert("figure".into(), rounded(self.figure(measure)).into());
            fields.insert("rounds".into(), figures.into());
            let unit = if measure == Measure::Requests { "processor_us_per_request" } else { "processor_us_per_mib" };
            fields.insert(unit.into(), self.processor_micros(measure).map(rounded).into());
        }
        value
    }
}

/// The broker and the bare server on one path.
#[derive(Clone)]
pub struct Path {
    /// What is asked.
    pub name: String,
    /// For machines.
    pub key: &'static str,
    /// Clients at the same time.
    pub clients: usize,
    /// What it is judged by.
    pub measure: Measure,
    /// The ratio that is aimed at.
    pub goal: f64,
    /// Octets of an answer.
    pub answer_octets: u64,
    /// The broker.
    pub ours: Side,
    /// The bare server.
    pub bare: Side,
    /// How much the broker's resident memory grew meanwhile, if the system tells.
    pub memory_growth: Option<u64>,
}

impl Path {
    /// Ours to bare, round by round.
    pub fn ratios(&self) -> Vec<f64> {
        let pairs = self.ours.samples.iter().zip(&self.bare.samples);
        pairs.map(|(ours, bare)| self.measure.of(&ours.outcome) / self.measure.of(&bare.outcome)).collect()
    }

    /// The median of the rounds.
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    /// Requests without a good answer, of both.
    pub fn failed(&self) -> u64 {
        self.ours.total().failed() + self.bare.total().failed()
    }

    fn json(&self) -> Value {
        json!({
            "path": self.key,
            "title": self.name,
            "clients": self.clients,
            "measure": if self.measure == Measure::Requests { "requests_per_second" } else { "bytes_per_second" },
            "answer_bytes": self.answer_octets,
            "ratio": ratio(self.ratio()),
            "ratios": self.ratios().into_iter().map(ratio).collect::<Vec<_>>(),
            "goal": self.goal,
            "memory_growth_bytes": self.memory_growth,
            "ours": self.ours.json(self.measure),
            "bare": self.bare.json(self.measure),
        })
    }
}

/// What the broker needs for a registry of that size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Footing {
    /// Most resident memory since its start, octets, if the system tells.
    pub resident: Option<u64>,
    /// From its start to its first answer, after it was killed.
    pub ready: Duration,
    /// The same with nothing of it in the page cache; needs the right to empty that.
    pub ready_cold: Option<Duration>,
}

/// What the suite has measured.
#[derive(Clone)]
pub struct Report {
    /// Processors of the machine, shared by server and clients.
    pub processors: usize,
    /// Entries in the registry.
    pub entries: u64,
    /// Seconds of each round of each server on each path.
    pub seconds: f64,
    /// How long it all took.
    pub elapsed: Duration,
    /// Memory and start of the broker.
    pub footing: Footing,
    /// The paths.
    pub paths: Vec<Path>,
}

impl Report {
    /// The report as JSON.
    pub fn json(&self) -> Value {
        json!({
            "processors": self.processors,
            "entries": self.entries,
            "seconds": self.seconds,
            "elapsed_ms": self.elapsed.as_millis() as u64,
            "resident_bytes": self.footing.resident,
            "ready_ms": self.footing.ready.as_millis() as u64,
            "ready_cold_ms": self.footing.ready_cold.map(|cold| cold.as_millis() as u64),
            "paths": self.paths.iter().map(Path::json).collect::<Vec<_>>(),
        })
    }
}

fn rounded(figure: f64) -> f64 {
    (figure * 10.0).round() / 10.0
}

fn ratio(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// The middle value, the mean of both if there are two; zero of none.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let at = |n: usize| figures.get(n).copied().unwrap_or(0.0);
    if figures.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 }
}

/// A duration in milliseconds, with as many digits as are worth reading.
pub fn milliseconds(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    match ms {
        0.0..10.0 => format!("{ms:.2} ms"),
        10.0..100.0 => format!("{ms:.1} ms"),
        _ => format!("{ms:.0} ms"),
    }
}

/// A run's outcome as JSON.
pub fn outcome_json(outcome: &Outcome) -> Value {
    let us = |duration: Duration| rounded(duration.as_secs_f64() * 1e6);
    json!({
        "requests": outcome.requests,
        "elapsed_ms": outcome.elapsed.as_millis() as u64,
        "requests_per_second": rounded(outcome.requests_per_second()),
        "received_bytes": outcome.received,
        "received_bytes_per_second": rounded(outcome.received_per_second()),
        "sent_bytes": outcome.sent,
        "sent_bytes_per_second": rounded(outcome.sent_per_second()),
        "latency_us": {
            "min": us(outcome.latency.min()),
            "mean": us(outcome.latency.mean()),
            "p50": us(outcome.latency.percentile(50.0)),
            "p90": us(outcome.latency.percentile(90.0)),
            "p95": us(outcome.latency.percentile(95.0)),
            "p99": us(outcome.latency.percentile(99.0)),
            "p99.9": us(outcome.latency.percentile(99.9)),
            "max": us(outcome.latency.max()),
        },
        "errors": outcome.errors,
        "first_error": outcome.first_error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rates: &[u64]) -> Side {
        let sample = |requests| Sample {
            outcome: Outcome {
                requests,
                received: requests << 20,
                elapsed: Duration::from_secs(1),
                ..Outcome::default()
            },
            processor: Some(Duration::from_millis(500)),
        };
        Side { samples: rates.iter().copied().map(sample).collect() }
    }

    fn path(ours: &[u64], bare: &[u64]) -> Path {
        Path {
            name: "x".into(),
            key: "x",
            clients: 1,
            measure: Measure::Requests,
            goal: 0.6,
            answer_octets: 1,
            ours: side(ours),
            bare: side(bare),
            memory_growth: None,
        }
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds() {
        let path = path(&[50, 60, 90], &[100, 100, 100]);
        assert_eq!(path.ratio(), 0.6);
        assert_eq!(path.ours.figure(Measure::Requests), 60.0);
        assert_eq!(path.ours.processor_micros(Measure::Requests), Some(7500.0));
        assert_eq!(path.json()["ratios"], json!([0.5, 0.6, 0.9]));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![2.0, 1.0]), 1.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn figures_have_units() {
        assert_eq!(milliseconds(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(milliseconds(Duration::from_millis(12)), "12.0 ms");
        assert_eq!(Measure::Octets.shown(3.0 * 1024.0 * 1024.0), "3 MiB/s");
    }
}
