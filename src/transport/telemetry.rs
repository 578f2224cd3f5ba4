//! Traces for a collector of OpenTelemetry, off unless configured (`[telemetry]`): each request that was
//! answered goes as spans over OTLP/HTTP, in protobuf.
//!
//! Nothing waits for it. A request puts what is known of it into a queue and goes on; if the queue is full, it is
//! dropped and counted. One task sends (`telemetry/exporter.rs`), and gets a moment to finish when the broker stops.

mod exporter;
pub mod otlp;
mod spans;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::peer::SoapClient;
use super::trace_context;
use crate::actors::context::Trace;
use crate::actors::explain::Explained;
use otlp::{KeyValue, Resource};

/// How long spans may still be sent when the broker stops.
const FLUSH: Duration = Duration::from_secs(3);

/// Where spans go, and which.
pub struct Collector {
    client: SoapClient,
    resource: Resource,
    sampling: f64,
}

impl Collector {
    /// The collector at the client's address; `sampling` is the part of the traces that begin here.
    pub fn new(client: SoapClient, service: &str, home: &str, sampling: f64) -> Self {
        let attributes = vec![
            KeyValue::text("service.name", service),
            KeyValue::text("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::text("causeway.home_community_id", home),
        ];
        Self { client, resource: Resource { attributes }, sampling }
    }
}

/// Whether a trace is among that part of all traces: its last seven octets are random, and each broker that is
/// asked decides the same (W3C Trace Context Level 2, "random trace id"; OpenTelemetry, "probability sampling").
fn is_sampled(id: &[u8; 16], part: f64) -> bool {
    const ALL: f64 = (1_u64 << 56) as f64;
    let random = id.iter().skip(9).fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
    random as f64 >= (1.0 - part) * ALL
}

/// What the task that sends shares with those who have something to send.
struct Shared {
    collector: ArcSwapOption<Collector>,
    /// Spans that are queued or being sent.
    queued: AtomicUsize,
    metrics: Arc<Metrics>,
    /// Whether the collector did not take the last ones.
    failing: AtomicBool,
}

/// The way to the collector, if there is one.
pub struct Telemetry {
    shared: Arc<Shared>,
    queue: UnboundedSender<Arc<Explained>>,
    /// Spans that may be queued.
    most: usize,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// A queue for so many spans, with nowhere to send them yet.
    pub fn start(most: usize, metrics: Arc<Metrics>) -> Self {
        let (queue, queued) = unbounded_channel();
        let shared = Arc::new(Shared {
            collector: ArcSwapOption::empty(),
            queued: AtomicUsize::new(0),
            metrics,
            failing: AtomicBool::new(false),
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(exporter::run(queued, Arc::clone(&shared), stop.clone()));
        Self { shared, queue, most, stop, task: Mutex::new(Some(task)) }
    }

    /// Sends to that collector from now on; to none: nothing is sent.
    pub fn set(&self, collector: Option<Collector>) {
        self.shared.collector.store(collector.map(Arc::new));
    }

    /// The trace of a request: the one its headers name, with the decision that was made for it, or a new one.
    pub fn trace_of(&self, headers: &HeaderMap, correlation_id: &str) -> Trace {
        let mut trace = trace_context::of(headers, correlation_id);
        if trace.parent.is_none()
            && let Some(collector) = self.shared.collector.load().as_ref()
        {
            trace.sampled = is_sampled(&trace.id, collector.sampling);
        }
        trace
    }

    /// Whether a request of that trace is to be sent.
    pub fn wants(&self, trace: &Trace) -> bool {
        trace.sampled && self.shared.collector.load().is_some()
    }

    /// Takes a request, unless the queue is full.
    pub fn take(&self, explained: Arc<Explained>) {
        let (queued, spans) = (&self.shared.queued, spans::count(&explained));
        let room = |now: usize| now.checked_add(spans).filter(|then| *then <= self.most);
        let taken = queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, room).is_ok();
        if !taken {
            self.shared.metrics.spans("dropped", spans as u64);
        } else if self.queue.send(explained).is_err() {
            queued.fetch_sub(spans, Ordering::AcqRel);
            self.shared.metrics.spans("dropped", spans as u64);
        }
    }

    /// Sends what is queued, as far as a moment allows, and stops.
    pub async fn finish(&self) {
        self.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        if timeout(FLUSH, &mut task).await.is_err() {
            task.abort();
            let _ = task.await;
            let left = self.shared.queued.load(Ordering::Acquire) as u64;
            self.shared.metrics.spans("lost", left);
            tracing::warn!(spans = left, "the collector of spans did not take the last ones in time");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(steps: usize) -> Arc<Explained> {
        let step = crate::actors::explain::Step {
            doing: crate::actors::explain::Doing::Merge,
            community: None,
            from: Duration::ZERO,
            took: Duration::ZERO,
            said: None,
            call: None,
            failed: None,
        };
        Arc::new(Explained {
            id: "a".into(),
            trace: Trace::default(),
            transaction: "ITI-18",
            caller: "client".into(),
            at: jiff::Timestamp::UNIX_EPOCH,
            took: Duration::ZERO,
            outcome: "Success",
            errors: Vec::new(),
            steps: vec![step; steps],
            routes: Vec::new(),
        })
    }

    #[test]
    fn a_part_of_the_traces_is_taken_and_everybody_takes_the_same() {
        let ids: Vec<[u8; 16]> = (0..4_000).map(|_| uuid::Uuid::new_v4().into_bytes()).collect();
        let taken = |part: f64| ids.iter().filter(|id| is_sampled(id, part)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, ids.len()));
        assert!((700..1_300).contains(&taken(0.25)), "{}", taken(0.25));
        // Who takes fewer takes none that who takes more does not.
        assert!(ids.iter().all(|id| !is_sampled(id, 0.1) || is_sampled(id, 0.5)));
    }

    /// On one thread nothing is sent before the test waits for something.
    #[tokio::test]
    async fn the_queue_is_bounded_in_spans_and_what_does_not_fit_is_counted() {
        let metrics = Arc::new(Metrics::default());
        let telemetry = Telemetry::start(10, Arc::clone(&metrics));
        for _ in 0..4 {
            telemetry.take(explained(3));
        }
        assert_eq!(telemetry.shared.queued.load(Ordering::Acquire), 8);
        assert!(metrics.text().contains("causeway_telemetry_spans_total{outcome=\"dropped\"} 8"), "{}", metrics.text());
        telemetry.finish().await;
        assert_eq!(telemetry.shared.queued.load(Ordering::Acquire), 0);
        telemetry.take(explained(3));
        assert_eq!(telemetry.shared.queued.load(Ordering::Acquire), 0, "nobody is there any more");
    }
}
