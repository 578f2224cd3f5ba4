//! A SOAP client for one address: its connections, and one exchange over them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::envelope::read_envelope;
use super::profile::PeerProfile;
use crate::actors::context::Trace;
use crate::actors::explain::{Doing, Exchange, Noted};
use crate::actors::ports::PeerFailure;
use crate::model::document::BodySource;
use crate::transaction::Transaction;
use crate::transport::answer::{self, OutBody};
use crate::transport::awaited::Call;
use crate::transport::connect::{Part, Timed, Times};
use crate::transport::message::{BodyStream, Bounds, Message, MessageError, receive};
use crate::transport::pipeline::{CORRELATION_ID, VIA};
use crate::transport::tls::ReloadableClient;
use crate::transport::{soap_trace, trace_context};
use crate::wire::soap;
use crate::wire::xml::{self, Document};

type Pool = Client<Timed<HttpsConnector<Timed<HttpConnector>>>, OutBody>;

/// Connections under certificates that were current at some time.
struct Pools {
    /// Of the certificates.
    generation: u64,
    /// Connections that are kept for the next request.
    kept: Pool,
    /// A new connection for each request.
    fresh: Pool,
}

/// Which connection a request takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Kept,
    Fresh,
}

/// Why a request was not answered.
pub(super) struct Unanswered {
    /// Why.
    pub(super) failure: PeerFailure,
    /// The connection broke off, once it was there: another one may serve.
    broke_off: bool,
    /// Nothing here answered it: another gateway may. A fault is an answer, and so is a message that is wrong.
    pub(super) elsewhere: bool,
}

impl Unanswered {
    /// One that no other gateway is to be asked after.
    pub(super) fn for_good(failure: PeerFailure) -> Self {
        Self { failure, broke_off: false, elsewhere: false }
    }
}

impl From<PeerFailure> for Unanswered {
    fn from(failure: PeerFailure) -> Self {
        use PeerFailure::{Timeout, Unreachable, Untrusted};
        let elsewhere = matches!(failure, Unreachable(_) | Untrusted(_) | Timeout(_));
        Self { failure, broke_off: false, elsewhere }
    }
}

/// Idle connections are dropped before a peer of our own kind would close them.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);

/// A SOAP client for one address.
pub struct SoapClient {
    tls: Arc<ReloadableClient>,
    pools: ArcSwapOption<Pools>,
    uri: Uri,
    profile: Arc<PeerProfile>,
    pub(super) bounds: Bounds,
}

/// A document source for an outbound package.
pub struct Outbound {
    /// The envelope.
    pub root: Vec<u8>,
    /// Documents behind it.
    pub parts: Vec<answer::Part>,
    /// Their bytes.
    pub sources: Vec<Box<dyn BodySource>>,
    /// Token of boundary and Content-IDs.
    pub token: String,
    /// Correlation id of the request that causes this one, if one does.
    pub correlation_id: Option<Arc<str>>,
    /// The gateways that the request has passed, ours among them.
    pub via: Option<HeaderValue>,
    /// The trace that it belongs to.
    pub trace: Option<Trace>,
    /// Whether its answer comes later, as a message to us.
    pub asynchronous: bool,
    /// Another action than its transaction's.
    pub action: Option<&'static str>,
    /// Where it is noted how long it took, and of whom.
    pub noted: Option<Noted>,
}

impl Outbound {
    /// A request without documents.
    pub fn simple(root: Vec<u8>, correlation_id: Option<Arc<str>>) -> Self {
        let token = answer::message_token();
        let (parts, sources) = (Vec::new(), Vec::new());
        let (via, trace, asynchronous, action, noted) = (None, None, false, None, None);
        Self { root, parts, sources, token, correlation_id, via, trace, asynchronous, action, noted }
    }
}

impl SoapClient {
    /// A client; nothing is connected yet.
    pub fn new(tls: Arc<ReloadableClient>, uri: Uri, bounds: Bounds) -> Self {
        Self { tls, pools: ArcSwapOption::empty(), uri, profile: Arc::default(), bounds }
    }

    /// The same for a peer that wants its requests in a form of its own.
    #[must_use]
    pub fn with_profile(self, profile: Arc<PeerProfile>) -> Self {
        Self { profile, ..self }
    }

    /// What it sends, and how.
    pub fn profile(&self) -> &PeerProfile {
        &self.profile
    }

    /// Its address.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The connections under the current certificates; a reload starts fresh ones.
    fn pools(&self) -> Arc<Pools> {
        let generation = self.tls.generation();
        if let Some(pools) = self.pools.load_full().filter(|pools| pools.generation == generation) {
            return pools;
        }
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*self.tls.config()).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(Timed::new(http, Part::Tcp));
        let connector = Timed::new(connector, Part::Whole);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(POOL_IDLE);
        let kept = builder.build(connector.clone());
        let fresh = builder.pool_max_idle_per_host(0).build(connector);
        let pools = Arc::new(Pools { generation, kept, fresh });
        self.pools.store(Some(Arc::clone(&pools)));
        pools
    }

    /// Sends a request and reads the answer's root part.
    ///
    /// # Errors
    /// When there is no connection, or no SOAP message comes back.
    pub async fn call(&self, transaction: &'static Transaction, outbound: Outbound) -> Result<Message, PeerFailure> {
        self.send(transaction, outbound, Connection::Kept).await.map_err(|unanswered| unanswered.failure)
    }

    /// The same for one that must not be sent twice: on a new connection, since one that was kept may break off
    /// at any time.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn deliver(
        &self,
        transaction: &'static Transaction,
        outbound: Outbound,
    ) -> Result<Message, PeerFailure> {
        self.send(transaction, outbound, Connection::Fresh).await.map_err(|unanswered| unanswered.failure)
    }

    /// The same for a request that changes nothing: if the connection breaks off before the answer is
    /// there, which one that was kept may do at any time, it is sent once more on a new one.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn ask(
        &self,
        transaction: &'static Transaction,
        outbound: impl Fn() -> Outbound,
    ) -> Result<Message, Unanswered> {
        match self.send(transaction, outbound(), Connection::Kept).await {
            Err(Unanswered { broke_off: true, .. }) => {
                if let Some(Noted { steps, community }) = outbound().noted {
                    let why = || "the connection broke off".into();
                    steps.came_of(community.as_ref(), Doing::Retry, Instant::now(), why);
                }
                self.send(transaction, outbound(), Connection::Fresh).await
            }
            other => other,
        }
    }

    /// Posts a message that is no request of ours, on a new connection.
    ///
    /// # Errors
    /// When nothing came back, with the cause.
    pub async fn post(&self, request: Request<OutBody>) -> Result<Response<Incoming>, String> {
        self.pools().fresh.request(request).await.map_err(|error| causes(&error))
    }

    /// Sends a request that changes nothing and whose answer `call` waits for; it is taken on the request's
    /// connection too, for some answer there all the same.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub(super) async fn ask_for_later(
        &self,
        transaction: &'static Transaction,
        outbound: impl Fn() -> Outbound,
        mut call: Call,
    ) -> Result<Message, Unanswered> {
        let mut connection = Connection::Kept;
        loop {
            let (outbound, span) = (outbound(), trace_context::new_span());
            let mut exchange = outbound.noted.clone().map(|noted| noted.call(transaction.number, span));
            let (pool, request) = (self.pool(connection), self.request(transaction, outbound, span)?);
            let mut sending = JoinSet::new();
            sending.spawn(async move { pool.request(request).await });
            let sent = tokio::select! {
                answer = call.answer() => {
                    end(&mut exchange, &answer);
                    // Its sender may not have said yet that the request was taken, and may go on only
                    // while somebody listens.
                    let mut answer = answer?;
                    answer.attachments.keep(sending);
                    return Ok(answer);
                }
                sent = sending.join_next() => sent,
            };
            let Some(Ok(sent)) = sent else {
                return Err(PeerFailure::Unreachable("the request was not sent".to_owned()).into());
            };
            let answer = match sent.map_err(|error| unanswered(&error)) {
                Ok(response) if is_acknowledgement(&response) => {
                    let answer = call.answer().await;
                    end(&mut exchange, &answer);
                    return Ok(answer?);
                }
                Ok(response) => self.read(response, exchange.as_ref()).await,
                Err(unanswered) => Err(unanswered),
            };
            match answer {
                Ok(message) if is_empty_envelope(&message, self.bounds.xml) => {
                    let answer = call.answer().await;
                    end(&mut exchange, &answer);
                    return Ok(answer?);
                }
                Err(Unanswered { broke_off: true, .. }) if connection == Connection::Kept => {
                    connection = Connection::Fresh;
                }
                answer => {
                    if let Some(exchange) = exchange {
                        exchange.ended(answer.as_ref().err().map(|unanswered| &unanswered.failure));
                    }
                    return answer;
                }
            }
        }
    }

    fn pool(&self, connection: Connection) -> Pool {
        let pools = self.pools();
        let kept = connection == Connection::Kept && self.profile.keep_alive;
        if kept { pools.kept.clone() } else { pools.fresh.clone() }
    }

    async fn send(
        &self,
        transaction: &'static Transaction,
        outbound: Outbound,
        connection: Connection,
    ) -> Result<Message, Unanswered> {
        let span = trace_context::new_span();
        let exchange = outbound.noted.clone().map(|noted| noted.call(transaction.number, span));
        let request = self.request(transaction, outbound, span)?;
        let answer = match timed(exchange.as_ref(), self.pool(connection).request(request)).await {
            Ok(response) => self.read(response, exchange.as_ref()).await,
            Err(unanswered) => Err(unanswered),
        };
        if let Some(exchange) = exchange {
            exchange.ended(answer.as_ref().err().map(|unanswered| &unanswered.failure));
        }
        answer
    }

    /// The request as it is sent, under that span of its trace.
    fn request(
        &self,
        transaction: &'static Transaction,
        outbound: Outbound,
        span: [u8; 8],
    ) -> Result<Request<OutBody>, PeerFailure> {
        let Outbound { mut root, parts, sources, token, correlation_id, via, trace, asynchronous, action, noted: _ } =
            outbound;
        let broken =
            |error: &dyn std::fmt::Display| PeerFailure::Garbage(format!("the request could not be written: {error}"));
        let mut traced = HeaderMap::new();
        if let Some(trace) = trace {
            trace_context::carry(&trace, span, &mut traced);
            if self.profile.trace_header {
                soap_trace::put(&traced, &mut root);
            }
        }
        let action = action.map_or_else(|| self.profile.action(transaction, asynchronous), Into::into);
        let shaped = self.profile.shape(transaction.packaging, &action, root, &token, (parts, sources));
        let shaped = shaped.map_err(|e| broken(&e))?;
        let request = Request::builder().method(Method::POST).uri(self.uri.clone());
        let mut request = request.body(shaped.body).map_err(|e| broken(&e))?;
        let headers = request.headers_mut();
        *headers = shaped.headers;
        if let Some(value) = correlation_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            headers.insert(CORRELATION_ID, value);
        }
        if let Some(value) = via {
            headers.insert(VIA, value);
        }
        headers.extend(traced);
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>, exchange: Option<&Exchange>) -> Result<Message, Unanswered> {
        let began = Instant::now();
        let (head, body) = response.into_parts();
        let content_type =
            head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = BodyStream::new(body, &self.bounds);
        let received = receive(&content_type, body, &self.bounds, None).await;
        if let Some(exchange) = exchange {
            exchange.took(Doing::Receive, began, began.elapsed());
        }
        let overloaded = head.status == StatusCode::SERVICE_UNAVAILABLE;
        match &received {
            // Whatever the status, an answer is an answer.
            Ok(message) if overloaded && !is_fault(message, self.bounds.xml) => {}
            Err(MessageError::NoRoom) => {}
            _ if overloaded => {
                // Its own word is an answer; a proxy's is not.
                let spoke = |message: &Message| read_envelope(&message.root, self.bounds.xml, |_| Ok(()));
                let spoke = matches!(received.as_ref().map(spoke), Ok(Err(PeerFailure::Fault(_))));
                return Err(Unanswered { elsewhere: !spoke, ..PeerFailure::Overloaded.into() });
            }
            _ => {}
        }
        let (status, failed) = (head.status.as_u16(), head.status.is_server_error());
        let message = received.map_err(|error| match error {
            MessageError::NoRoom => PeerFailure::NoRoom.into(),
            error => Unanswered {
                broke_off: matches!(error, MessageError::Broken(_)),
                elsewhere: failed || matches!(error, MessageError::Broken(_) | MessageError::TooSlow),
                failure: PeerFailure::Garbage(format!("HTTP {status}: {error}")),
            },
        })?;
        // A fault comes with such a status too; what is no SOAP message is a proxy's word, not the gateway's.
        if failed && let Err(PeerFailure::Garbage(what)) = read_envelope(&message.root, self.bounds.xml, |_| Ok(())) {
            let failure = PeerFailure::Garbage(format!("HTTP {status}: {what}"));
            return Err(Unanswered { failure, broke_off: false, elsewhere: true });
        }
        Ok(message)
    }
}

/// Ends an exchange, if one is noted.
fn end(exchange: &mut Option<Exchange>, answer: &Result<Message, PeerFailure>) {
    if let Some(exchange) = exchange.take() {
        exchange.ended(answer.as_ref().err());
    }
}

/// Waits for the head of an answer, and notes what that time was made of.
async fn timed(
    exchange: Option<&Exchange>,
    asking: impl Future<Output = Result<Response<Incoming>, hyper_util::client::legacy::Error>>,
) -> Result<Response<Incoming>, Unanswered> {
    let (began, times) = (Instant::now(), Arc::new(Times::default()));
    let answered = Arc::clone(&times).watch(asking).await;
    if let Some(exchange) = exchange {
        let (tcp, tls) = times.taken();
        for (doing, from, took) in [(Doing::Connect, began, tcp), (Doing::Tls, began + tcp, tls)] {
            if !took.is_zero() {
                exchange.took(doing, from, took);
            }
        }
        // Without a connection there was nothing to wait for on it.
        if !answered.as_ref().is_err_and(hyper_util::client::legacy::Error::is_connect) {
            let waited = began + tcp + tls;
            exchange.took(Doing::Wait, waited, waited.elapsed());
        }
    }
    answered.map_err(|error| unanswered(&error))
}

/// Whether it is we who did not accept the other side's certificate.
fn refused_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidCertRevocationList(_));
        }
        // What an io::Error is made of is not its source.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

fn unanswered(error: &hyper_util::client::legacy::Error) -> Unanswered {
    let failure = match refused_certificate(error) {
        true => PeerFailure::Untrusted(causes(error)),
        false => PeerFailure::Unreachable(causes(error)),
    };
    Unanswered { failure, broke_off: !error.is_connect(), elsewhere: true }
}

/// Whether a peer says no more than that it has taken the request (table of ITI TF-2 §V.5: HTTP 202; 200
/// without anything is the same).
fn is_acknowledgement(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::ACCEPTED
        || response.status() == StatusCode::OK && http_body::Body::is_end_stream(response.body())
}

/// Whether an envelope has a fault in it, or cannot be read.
fn is_fault(message: &Message, limits: xml::Limits) -> bool {
    let Ok(text) = xml::decode(&message.root) else { return true };
    let Ok(document) = Document::parse(&text, limits) else { return true };
    soap::read(&document).map_or(true, |envelope| soap::received_fault(envelope.payload).is_some())
}

/// Whether an envelope says nothing, which some send for an acknowledgement.
fn is_empty_envelope(message: &Message, limits: xml::Limits) -> bool {
    const LARGEST: usize = 16 * 1024;
    if message.root.len() > LARGEST {
        return false;
    }
    let Ok(text) = xml::decode(&message.root) else { return false };
    let Ok(document) = Document::parse(&text, limits) else { return false };
    let root = document.root();
    let body = root.children().find(|child| child.local() == "Body" && child.ns() == root.ns());
    root.local() == "Envelope" && body.is_some_and(|body| body.children().next().is_none())
}

/// An error with its causes in one line: the outermost alone says only "client error".
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
