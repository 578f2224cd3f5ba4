//! Numbers for operators, in Prometheus' text form. Labels are transactions, communities and
//! outcomes; never a patient.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::actors::ports::Tally;
use crate::model::ids::HomeCommunityId;
use crate::model::metadata::Noun;
use crate::validate::Mode;

/// Labels of one transaction's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TransactionLabels {
    /// `ITI-nn`, or `none` for what never became a transaction.
    pub transaction: &'static str,
    /// `inbound`, or the homeCommunityId of the community asked.
    pub peer: String,
    /// Success, PartialSuccess, Failure, fault, unavailable.
    pub outcome: &'static str,
}

/// Labels of a duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DurationLabels {
    /// `ITI-nn`
    pub transaction: &'static str,
    /// As above.
    pub peer: String,
}

/// Labels of what a judge let through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ToleratedLabels {
    /// `lenient` or `shadow`.
    pub mode: &'static str,
    /// A source by its name in the configuration, or `others`.
    pub source: String,
    /// `DocumentEntry.classCode`
    pub attribute: String,
}

/// Labels of a community that was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LeftOutLabels {
    /// Its homeCommunityId.
    pub peer: String,
    /// `knows-nothing` or `not-located`.
    pub reason: &'static str,
}

/// All numbers of a broker.
pub struct Metrics {
    registry: Registry,
    transactions: Family<TransactionLabels, Counter>,
    durations: Family<DurationLabels, Histogram>,
    tolerated: Family<ToleratedLabels, Counter>,
    left_out: Family<LeftOutLabels, Counter>,
    /// Open connections.
    pub connections: Gauge<i64, AtomicI64>,
    /// Handshakes that failed.
    pub handshakes_failed: Counter,
    /// Connections refused because there were too many.
    pub connections_refused: Counter,
}

/// From one millisecond to half a minute, doubling.
fn buckets() -> Histogram {
    Histogram::new((0..16).map(|n| 0.001 * f64::from(1 << n)))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("causeway");
        let transactions = Family::default();
        let durations = Family::<DurationLabels, Histogram>::new_with_constructor(buckets);
        let (tolerated, left_out) = (Family::default(), Family::default());
        let connections = Gauge::default();
        let (handshakes_failed, connections_refused) = (Counter::default(), Counter::default());
        registry.register("transactions", "Transactions by outcome", transactions.clone());
        registry.register("transaction_seconds", "Time until the answer's root part", durations.clone());
        registry.register(
            "tolerated_findings",
            "What strict validation would have refused in accepted submissions",
            tolerated.clone(),
        );
        registry.register(
            "left_out",
            "Communities that a query by patient was not sent to, since they hold nothing of the patient as far as is known",
            left_out.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        registry.register("handshakes_failed", "TLS handshakes that failed", handshakes_failed.clone());
        registry.register("connections_refused", "Connections beyond the limit", connections_refused.clone());
        Self {
            registry,
            transactions,
            durations,
            tolerated,
            left_out,
            connections,
            handshakes_failed,
            connections_refused,
        }
    }
}

impl Tally for Metrics {
    fn left_out(&self, community: &HomeCommunityId, reason: &'static str) {
        self.left_out.get_or_create(&LeftOutLabels { peer: community.to_string(), reason }).inc();
    }

    fn tolerated(&self, mode: Mode, source: &str, noun: Noun, attribute: &'static str) {
        let attribute = format!("{}.{attribute}", noun.as_str());
        let labels = ToleratedLabels { mode: mode.name(), source: source.to_owned(), attribute };
        self.tolerated.get_or_create(&labels).inc();
    }
}

impl Metrics {
    /// Counts one transaction.
    pub fn count(&self, transaction: &'static str, peer: &str, outcome: &'static str, took: Duration) {
        self.transactions.get_or_create(&TransactionLabels { transaction, peer: peer.to_owned(), outcome }).inc();
        self.durations
            .get_or_create(&DurationLabels { transaction, peer: peer.to_owned() })
            .observe(took.as_secs_f64());
    }

    /// The text for `/metrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
