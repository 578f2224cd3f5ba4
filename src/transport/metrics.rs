//! Numbers for operators, in Prometheus' text form. Labels are transactions, communities and
//! outcomes; never a patient.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::actors::context::Lane;
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

/// Labels of a number of places: those of inbound requests, or those to one community.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlacesLabels {
    /// `requests`, `submissions`, or a homeCommunityId.
    places: Arc<str>,
}

/// Labels of what is held of them, or waited for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabels {
    places: Arc<str>,
    /// `ordinary` or `emergency`.
    lane: &'static str,
}

/// Labels of requests that found none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    places: Arc<str>,
    /// See [`super::admission::Refusal`].
    reason: &'static str,
}

#[derive(Clone, Default)]
struct PlacesFamilies {
    limit: Family<PlacesLabels, Gauge>,
    held: Family<LaneLabels, Gauge>,
    waiting: Family<LaneLabels, Gauge>,
    refused: Family<RefusedLabels, Counter>,
}

/// One lane's.
struct LaneNumbers {
    held: Gauge,
    waiting: Gauge,
}

/// What is counted of one number of places.
pub struct PlaceNumbers {
    places: Arc<str>,
    limit: Gauge,
    ordinary: LaneNumbers,
    emergency: LaneNumbers,
    refused: Family<RefusedLabels, Counter>,
}

impl PlaceNumbers {
    fn lane(&self, lane: Lane) -> &LaneNumbers {
        match lane {
            Lane::Ordinary => &self.ordinary,
            Lane::Emergency => &self.emergency,
        }
    }

    /// Ordinary requests may hold so many.
    pub fn limit(&self, places: usize) {
        self.limit.set(i64::try_from(places).unwrap_or(i64::MAX));
    }

    /// One is taken.
    pub fn taken(&self, lane: Lane) {
        self.lane(lane).held.inc();
    }

    /// One is given back.
    pub fn given_back(&self, lane: Lane) {
        self.lane(lane).held.dec();
    }

    /// A request waits.
    pub fn waits(&self, lane: Lane) {
        self.lane(lane).waiting.inc();
    }

    /// It does not any more.
    pub fn waits_no_more(&self, lane: Lane) {
        self.lane(lane).waiting.dec();
    }

    /// A request found none.
    pub fn refused(&self, reason: &'static str) {
        let labels = RefusedLabels { places: Arc::clone(&self.places), reason };
        self.refused.get_or_create(&labels).inc();
    }
}

/// Labels of what became of spans.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SpanLabels {
    /// `exported`; `dropped`, there was no room or nowhere to send them; `lost`, the collector did not take them;
    /// `rejected`, it took others of the same message.
    pub outcome: &'static str,
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
    places: PlacesFamilies,
    spans: Family<SpanLabels, Counter>,
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
        let (tolerated, spans, left_out) = (Family::default(), Family::default(), Family::default());
        let places = PlacesFamilies::default();
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
            "places",
            "Requests that may be under way at once, but for emergencies",
            places.limit.clone(),
        );
        registry.register("places_held", "Requests under way", places.held.clone());
        registry.register("places_waiting", "Requests that wait for a place", places.waiting.clone());
        registry.register("places_refused", "Requests that found no place", places.refused.clone());
        registry.register("telemetry_spans", "Spans for the collector, by what became of them", spans.clone());
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
            places,
            spans,
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

    /// What is counted of that number of places.
    pub fn places(&self, name: &str) -> PlaceNumbers {
        let places: Arc<str> = name.into();
        let lane = |lane: Lane| {
            let labels = LaneLabels { places: Arc::clone(&places), lane: lane.as_str() };
            let (held, waiting) = (&self.places.held, &self.places.waiting);
            LaneNumbers { held: held.get_or_create_owned(&labels), waiting: waiting.get_or_create_owned(&labels) }
        };
        let (ordinary, emergency) = (lane(Lane::Ordinary), lane(Lane::Emergency));
        let limit = self.places.limit.get_or_create_owned(&PlacesLabels { places: Arc::clone(&places) });
        PlaceNumbers { places, limit, ordinary, emergency, refused: self.places.refused.clone() }
    }

    /// Counts spans, if there are any.
    pub fn spans(&self, outcome: &'static str, number: u64) {
        if number > 0 {
            self.spans.get_or_create(&SpanLabels { outcome }).inc_by(number);
        }
    }

    /// The text for `/metrics`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
