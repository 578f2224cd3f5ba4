//! What sends spans to a collector: several requests' at once, some more times where it is worth it, and never
//! in anybody's way (OTLP/HTTP 1.x).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use prost::Message;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::otlp::{ExportRequest, ExportResponse, ResourceSpans, Scope, ScopeSpans, Span};
use super::{Collector, Shared, spans};
use crate::actors::explain::Explained;
use crate::transport::answer;

/// Spans of one message, as far as one request does not have more.
const MOST_AT_ONCE: usize = 512;

/// How long spans wait for more of them.
const GATHER: Duration = Duration::from_secs(1);

/// How long the collector may take for one message.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often one message is sent, and the first pause between; it doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause that a collector may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Octets of a collector's answer that are read.
const LARGEST_ANSWER: usize = 64 << 10;

/// How a message fared.
enum Sent {
    /// It was taken, but for so many spans.
    Taken(u64),
    /// It will not be, however often it is sent.
    Refused(String),
    /// Not now; perhaps after that time.
    NotNow(String, Option<Duration>),
}

/// Sends what comes until it is told to stop, and then what is still there.
pub(super) async fn run(mut queue: UnboundedReceiver<Arc<Explained>>, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let first = tokio::select! {
            first = queue.recv() => first,
            // What is queued by then is sent below.
            () = stop.cancelled() => queue.try_recv().ok(),
        };
        let Some(first) = first else { return };
        let mut batch = spans::of(&first);
        let mut taken = spans::count(&first);
        let until = Instant::now() + GATHER;
        while batch.len() < MOST_AT_ONCE {
            let next = tokio::select! {
                next = timeout_at(until, queue.recv()) => next.ok().flatten(),
                () = stop.cancelled() => queue.try_recv().ok(),
            };
            let Some(next) = next else { break };
            batch.extend(spans::of(&next));
            taken += spans::count(&next);
        }
        send(&shared, batch, &stop).await;
        shared.queued.fetch_sub(taken, Ordering::AcqRel);
    }
}

async fn send(shared: &Shared, batch: Vec<Span>, stop: &CancellationToken) {
    let number = batch.len() as u64;
    // Turned off meanwhile.
    let Some(collector) = shared.collector.load_full() else {
        shared.metrics.spans("dropped", number);
        return;
    };
    let message = message(&collector, batch).encode_to_vec();
    let mut pause = PAUSE;
    for tries in 1..=TRIES {
        let (why, wanted) = match post(&collector, message.clone()).await {
            Sent::Taken(but) => {
                shared.metrics.spans("rejected", but.min(number));
                shared.metrics.spans("exported", number.saturating_sub(but));
                if shared.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!("the collector of spans takes them again");
                }
                return;
            }
            Sent::Refused(why) => (why, None),
            Sent::NotNow(why, wanted) => (why, Some(wanted.unwrap_or(pause).min(LONGEST_PAUSE))),
        };
        if !shared.failing.swap(true, Ordering::AcqRel) {
            tracing::warn!(%why, "the collector of spans does not take them; requests are not held up by that");
        }
        let Some(wanted) = wanted.filter(|_| tries < TRIES && !stop.is_cancelled()) else { break };
        tokio::select! {
            () = sleep(wanted) => {}
            () = stop.cancelled() => {}
        }
        pause *= 2;
    }
    shared.metrics.spans("lost", number);
}

fn message(collector: &Collector, spans: Vec<Span>) -> ExportRequest {
    let scope = Scope { name: "causeway".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    ExportRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(collector.resource.clone()),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

async fn post(collector: &Collector, message: Vec<u8>) -> Sent {
    let mut request = Request::new(answer::full(message));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = collector.client.uri().clone();
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let asked = async {
        let response = match collector.client.post(request).await {
            Ok(response) => response,
            Err(why) => return Sent::NotNow(why, None),
        };
        let (head, body) = response.into_parts();
        // OTLP/HTTP, "Failures": these four, and no others.
        match head.status {
            status if status.is_success() => {
                let body = Limited::new(body, LARGEST_ANSWER).collect().await;
                let answer = body.ok().and_then(|body| ExportResponse::decode(body.to_bytes()).ok());
                let rejected = answer.and_then(|answer| answer.partial_success).map_or(0, |part| part.rejected_spans);
                Sent::Taken(u64::try_from(rejected).unwrap_or_default())
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                Sent::NotNow(format!("HTTP {}", head.status.as_u16()), after.map(Duration::from_secs))
            }
            status => Sent::Refused(format!("HTTP {}", status.as_u16())),
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| Sent::NotNow("it does not answer in time".to_owned(), None))
}
