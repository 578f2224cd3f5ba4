//! The load generator: clients with one kept-alive connection each, over mutual TLS, that send
//! prepared requests as fast as the answers come (closed loop) and count.
//!
//! It is light on purpose, since in the suite it shares the machine with the server that it
//! measures: no answer is kept or parsed. An answer counts as good if it has HTTP status 200 and
//! the URN of Success near its beginning; [`probe`] reads one answer whole, once, before a run.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::BenchError;
use super::histogram::Histogram;
use crate::transport::tls::ReloadableClient;

/// What every answer of Success says in its status (ITI TF-3 §4.2.4.2).
pub(super) const SUCCESS: &[u8] = b"ResponseStatusType:Success";
/// How much of an answer is searched for it: head and status of any answer fit well.
pub(super) const SEARCHED: usize = 16 * 1024;
/// Pause before a client connects again after it could not.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A request ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Its Content-Type.
    pub content_type: String,
    /// Its body, in pieces.
    pub body: Vec<Bytes>,
}

/// Where requests come from.
pub trait Traffic: Send + Sync {
    /// The next one; called from all clients.
    fn next(&self) -> Prepared;
}

/// The same requests, round about.
pub struct Repeated {
    requests: Vec<Prepared>,
    next: AtomicU64,
}

impl Repeated {
    /// From these requests.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(requests: Vec<Prepared>) -> Result<Self, BenchError> {
        if requests.is_empty() {
            return Err(BenchError::failed("there is no request to send"));
        }
        Ok(Self { requests, next: AtomicU64::new(0) })
    }
}

impl Traffic for Repeated {
    fn next(&self) -> Prepared {
        let number = self.next.fetch_add(1, Ordering::Relaxed) as usize % self.requests.len();
        self.requests.get(number).cloned().unwrap_or(Prepared { content_type: String::new(), body: Vec::new() })
    }
}

/// A body of pieces whose length is known.
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    left: u64,
}

impl From<Vec<Bytes>> for Pieces {
    fn from(pieces: Vec<Bytes>) -> Self {
        Self { left: pieces.iter().map(|piece| piece.len() as u64).sum(), pieces: pieces.into() }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop_front();
        self.left -= piece.as_ref().map_or(0, |piece| piece.remaining() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A server, and how it is connected.
#[derive(Clone)]
pub struct Target {
    uri: Uri,
    host: String,
    port: u16,
    authority: HeaderValue,
    name: ServerName<'static>,
    tls: Arc<ReloadableClient>,
}

impl Target {
    /// The server of an `https` URL.
    ///
    /// # Errors
    /// When the URL is not one of a server with mutual TLS.
    pub fn new(uri: &Uri, tls: Arc<ReloadableClient>) -> Result<Self, BenchError> {
        let wrong = |what: &str| BenchError::failed(format!("{uri}: {what}"));
        if uri.scheme_str() != Some("https") {
            return Err(wrong("the URL begins with https://"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("the URL names no host"))?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| wrong(&error.to_string()))?;
        let header = HeaderValue::from_str(authority.as_str()).map_err(|error| wrong(&error.to_string()))?;
        Ok(Self { uri: uri.clone(), port: authority.port_u16().unwrap_or(443), host, authority: header, name, tls })
    }

    /// Where it is.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Another path of the same server.
    ///
    /// # Errors
    /// When it is no path.
    pub fn with_path(&self, path: &str) -> Result<Self, BenchError> {
        let authority = self.authority.to_str().unwrap_or_default();
        let uri: Uri = format!("https://{authority}{path}")
            .parse()
            .map_err(|error| BenchError::failed(format!("{path}: {error}")))?;
        Ok(Self { uri, ..self.clone() })
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Pieces>, Trouble> {
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| Trouble::new("connect", e))?;
        stream.set_nodelay(true).map_err(|e| Trouble::new("connect", e))?;
        let connecting = self.tls.connector().connect(self.name.clone(), stream);
        let stream = connecting.await.map_err(|e| Trouble::new("TLS", e))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| Trouble::new("HTTP", e))?;
        // Ends with the connection, whose error the waiting request gets as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    pub(super) fn request(&self, prepared: Prepared) -> Result<Request<Pieces>, Trouble> {
        Request::builder()
            .method(Method::POST)
            .uri(self.uri.path())
            .header(header::HOST, self.authority.clone())
            .header(header::CONTENT_TYPE, prepared.content_type)
            .body(Pieces::from(prepared.body))
            .map_err(|e| Trouble::new("request", e))
    }
}

/// What went wrong with a request: its kind, and what was said.
#[derive(Debug)]
pub(super) struct Trouble {
    kind: String,
    pub(super) detail: String,
}

impl Trouble {
    fn new(kind: impl Into<String>, detail: impl ToString) -> Self {
        Self { kind: kind.into(), detail: detail.to_string() }
    }
}

/// How much load, and for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Clients that send at the same time.
    pub clients: usize,
    /// What is not counted yet.
    pub warm_up: Duration,
    /// What is counted.
    pub duration: Duration,
    /// Ends earlier, after so many requests.
    pub count: Option<u64>,
    /// Longest wait for one answer.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Default)]
pub struct Outcome {
    /// Good answers.
    pub requests: u64,
    /// Octets of answers, without HTTP heads and TLS.
    pub received: u64,
    /// Octets of requests that were answered well.
    pub sent: u64,
    /// How long was counted.
    pub elapsed: Duration,
    /// From sending a request to the last octet of its answer.
    pub latency: Histogram,
    /// Requests without a good answer, by kind.
    pub errors: BTreeMap<String, u64>,
    /// What was said about the first of them.
    pub first_error: Option<String>,
}

impl Outcome {
    /// Good answers a second.
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Octets of answers a second.
    pub fn received_per_second(&self) -> f64 {
        self.received as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Octets of requests a second.
    pub fn sent_per_second(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// All requests without a good answer.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.received += other.received;
        self.sent += other.sent;
        self.elapsed += other.elapsed;
        self.latency.merge(&other.latency);
        for (kind, count) in &other.errors {
            *self.errors.entry(kind.clone()).or_default() += count;
        }
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    fn error(&mut self, trouble: Trouble) {
        *self.errors.entry(trouble.kind).or_default() += 1;
        self.first_error.get_or_insert(trouble.detail);
    }
}

struct Client {
    target: Target,
    traffic: Arc<dyn Traffic>,
    plan: Plan,
    /// Requests that may still begin, if they are counted.
    tickets: Arc<AtomicU64>,
    outcome: Outcome,
    from: Instant,
    until: Instant,
}

impl Client {
    async fn run(mut self, start: Arc<Barrier>) -> Outcome {
        let mut connection = self.target.connect().await;
        start.wait().await;
        self.from = Instant::now() + self.plan.warm_up;
        self.until = self.from + self.plan.duration;
        while Instant::now() < self.until && self.ticket() {
            let mut sender = match connection {
                Ok(sender) => sender,
                Err(trouble) => {
                    self.outcome.error(trouble);
                    tokio::time::sleep_until(self.until.min(Instant::now() + RECONNECT_PAUSE)).await;
                    connection = self.target.connect().await;
                    continue;
                }
            };
            // What is under way at the end is neither good nor bad.
            let limit = self.plan.timeout;
            let Ok(exchanged) = timeout_at(self.until, timeout(limit, self.exchange(&mut sender))).await else { break };
            let exchanged =
                exchanged.unwrap_or_else(|_| Err(Trouble::new("timeout", format!("no answer in {limit:?}"))));
            connection = match exchanged {
                Ok(()) if sender.is_closed() => self.target.connect().await,
                Ok(()) => Ok(sender),
                Err(trouble) => {
                    if Instant::now() >= self.from {
                        self.outcome.error(trouble);
                    }
                    self.target.connect().await
                }
            };
        }
        self.outcome.elapsed = Instant::now().min(self.until).saturating_duration_since(self.from);
        self.outcome
    }

    fn ticket(&self) -> bool {
        self.plan.count.is_none()
            || self.tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    async fn exchange(&mut self, sender: &mut SendRequest<Pieces>) -> Result<(), Trouble> {
        let request = self.target.request(self.traffic.next())?;
        let sent = request.body().left;
        let broken = |error: hyper::Error| Trouble::new("broken connection", error);
        sender.ready().await.map_err(broken)?;
        let began = Instant::now();
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let mut body = response.into_body();
        let mut beginning = Beginning::default();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            beginning.look(&data);
            if Instant::now() >= self.from {
                self.outcome.received += data.len() as u64;
            }
        }
        let ended = Instant::now();
        beginning.judge(status)?;
        if ended >= self.from {
            self.outcome.requests += 1;
            self.outcome.sent += sent;
            self.outcome.latency.record(ended - began);
        }
        Ok(())
    }
}

/// The beginning of an answer, searched for its status.
#[derive(Default)]
struct Beginning {
    good: bool,
    kept: Vec<u8>,
}

impl Beginning {
    fn look(&mut self, data: &[u8]) {
        if self.good || self.kept.len() >= SEARCHED {
            return;
        }
        if self.kept.is_empty() && memmem::find(data.get(..SEARCHED).unwrap_or(data), SUCCESS).is_some() {
            self.good = true;
            return;
        }
        let room = SEARCHED - self.kept.len();
        self.kept.extend_from_slice(data.get(..room).unwrap_or(data));
        self.good = memmem::find(&self.kept, SUCCESS).is_some();
    }

    fn judge(&self, status: StatusCode) -> Result<(), Trouble> {
        match (status, self.good) {
            (StatusCode::OK, true) => Ok(()),
            (StatusCode::OK, false) => Err(Trouble::new("not Success", self.said())),
            (status, _) => Err(Trouble::new(format!("HTTP {}", status.as_u16()), self.said())),
        }
    }

    /// The error codes or the fault of a bad answer. Contexts may name a patient: not they.
    fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let mut codes: Vec<&str> =
            text.split("errorCode=\"").skip(1).filter_map(|rest| rest.split('"').next()).take(8).collect();
        codes.dedup();
        match (codes.is_empty(), text.contains("Fault")) {
            (false, _) => codes.join(", "),
            (true, true) => "a SOAP fault".to_owned(),
            (true, false) => "no answer of the transaction".to_owned(),
        }
    }
}

/// Runs a plan against a server.
///
/// # Errors
/// When a client was lost; errors of requests are counted instead.
pub async fn run(target: &Target, traffic: &Arc<dyn Traffic>, plan: &Plan) -> Result<Outcome, BenchError> {
    let clients = plan.clients.max(1);
    let start = Arc::new(Barrier::new(clients));
    let tickets = Arc::new(AtomicU64::new(plan.count.unwrap_or(0)));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let client = Client {
            target: target.clone(),
            traffic: Arc::clone(traffic),
            plan: plan.clone(),
            tickets: Arc::clone(&tickets),
            outcome: Outcome::default(),
            from: Instant::now(),
            until: Instant::now(),
        };
        running.spawn(client.run(Arc::clone(&start)));
    }
    let mut all = Outcome::default();
    let mut elapsed = Duration::ZERO;
    while let Some(one) = running.join_next().await {
        let one = one.map_err(|error| BenchError::failed(format!("a client was lost: {error}")))?;
        elapsed = elapsed.max(one.elapsed);
        all.merge(&one);
    }
    // They ran side by side.
    all.elapsed = elapsed;
    Ok(all)
}

/// One answer, whole.
pub struct Probe {
    /// Its Content-Type.
    pub content_type: String,
    /// Its octets.
    pub octets: u64,
}

/// Sends one request and hands over its answer chunk by chunk.
///
/// # Errors
/// When it cannot be had, or is no Success.
pub async fn probe(
    target: &Target,
    prepared: Prepared,
    limit: Duration,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<Probe, BenchError> {
    let told = |trouble: Trouble| BenchError::failed(format!("{}: {}: {}", target.uri, trouble.kind, trouble.detail));
    let exchange = async {
        let request = target.request(prepared)?;
        let mut sender = target.connect().await?;
        let response = sender.send_request(request).await.map_err(|e| Trouble::new("broken connection", e))?;
        let status = response.status();
        let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let mut body = response.into_body();
        let (mut beginning, mut octets) = (Beginning::default(), 0);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Trouble::new("broken connection", e))?;
            let Ok(data) = frame.into_data() else { continue };
            beginning.look(&data);
            octets += data.len() as u64;
            take(&data).map_err(|e| Trouble::new("answer not kept", e))?;
        }
        beginning.judge(status)?;
        Ok(Probe { content_type, octets })
    };
    let exchanged = timeout(limit, exchange).await;
    exchanged.unwrap_or_else(|_| Err(Trouble::new("timeout", format!("no answer in {limit:?}")))).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, chunks: &[&str]) -> Result<(), String> {
        let mut beginning = Beginning::default();
        chunks.iter().for_each(|chunk| beginning.look(chunk.as_bytes()));
        beginning.judge(StatusCode::from_u16(status).unwrap()).map_err(|t| format!("{}: {}", t.kind, t.detail))
    }

    #[test]
    fn success_is_found_however_it_is_cut() {
        let text = "<x status=\"urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success\">";
        for at in 0..text.len() {
            let (a, b) = text.split_at(at);
            assert_eq!(judged(200, &[a, b]), Ok(()));
        }
    }

    #[test]
    fn anything_else_is_an_error_of_its_kind() {
        let partial = "<x status=\"urn:ihe:iti:2007:ResponseStatusType:PartialSuccess\"><e errorCode=\"XDSUnavailableCommunity\" codeContext=\"secret\"/>";
        assert_eq!(judged(200, &[partial]), Err("not Success: XDSUnavailableCommunity".into()));
        assert_eq!(judged(500, &["<s:Fault>secret"]), Err("HTTP 500: a SOAP fault".into()));
        assert_eq!(judged(200, &[""]), Err("not Success: no answer of the transaction".into()));
    }

    #[test]
    fn pieces_tell_their_length() {
        let pieces = Pieces::from(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"de")]);
        assert_eq!(pieces.size_hint().exact(), Some(5));
    }
}
