//! Outbound SOAP: one client per address, with its own connections, budget and bound; and a
//! community behind its Responding Gateway (ITI-38, ITI-39, ITI-55).

mod discovery;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, OutBody, Package};
use super::audit_sink::AuditSink;
use super::awaited::{AnswersTo, Awaited, Call};
use super::breaker::{Breaker, BreakerLimits, Refused};
use super::connect::{Part, Timed, Times};
use super::endpoint::{AuditFacts, query_facts};
use super::message::{Attachments, BodyStream, Bounds, Message, MessageError, receive};
use super::metrics::Metrics;
use super::pipeline::{CORRELATION_ID, VIA, outcome_name};
use super::tls::ReloadableClient;
use super::trace_context;
use crate::actors::context::{RequestContext, Trace};
use crate::actors::explain::{Doing, Steps};
use crate::actors::ports::{Clock, Community, Discovered, PeerFailure};
use crate::model::audit_event::{
    AuditEvent, AuditNode, AuditOutcome, AuditSide, AuditedDocument, Exchange, NetworkAccessPoint,
};
use crate::model::discovery::DiscoveryQuery;
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::stored_query::AdhocQuery;
use crate::transaction::{Packaging, Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::mtom::ContentId;
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::xdsb::{self, Binary};
use crate::wire::xml::{self, Document, Node};

pub use discovery::belongs;

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
struct Unanswered {
    failure: PeerFailure,
    /// The connection broke off, once it was there: another one may serve.
    broke_off: bool,
}

impl From<PeerFailure> for Unanswered {
    fn from(failure: PeerFailure) -> Self {
        Self { failure, broke_off: false }
    }
}

/// Idle connections are dropped before a peer of our own kind would close them.
const POOL_IDLE: Duration = Duration::from_secs(10);

/// A community that has not answered within this time is taken for one that does not.
const TELLING: Duration = Duration::from_secs(1);

/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(5);

/// A SOAP client for one address.
pub struct SoapClient {
    tls: Arc<ReloadableClient>,
    pools: ArcSwapOption<Pools>,
    uri: Uri,
    bounds: Bounds,
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
    /// Where it is noted how long it took, and of whom.
    pub noted: Option<(Steps, HomeCommunityId)>,
}

impl Outbound {
    /// A request without documents.
    pub fn simple(root: Vec<u8>, correlation_id: Option<Arc<str>>) -> Self {
        let token = answer::message_token();
        let (parts, sources) = (Vec::new(), Vec::new());
        Self { root, parts, sources, token, correlation_id, via: None, trace: None, noted: None }
    }
}

impl SoapClient {
    /// A client; nothing is connected yet.
    pub fn new(tls: Arc<ReloadableClient>, uri: Uri, bounds: Bounds) -> Self {
        Self { tls, pools: ArcSwapOption::empty(), uri, bounds }
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

    /// The same for a request that changes nothing: if the connection breaks off before the answer is
    /// there, which one that was kept may do at any time, it is sent once more on a new one.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn ask(
        &self,
        transaction: &'static Transaction,
        outbound: impl Fn() -> Outbound,
    ) -> Result<Message, PeerFailure> {
        match self.send(transaction, outbound(), Connection::Kept).await {
            Err(Unanswered { broke_off: true, .. }) => {
                if let Some((steps, home)) = outbound().noted {
                    steps.came_of(Some(&home), Doing::Retry, Instant::now(), || "the connection broke off".into());
                }
                self.send(transaction, outbound(), Connection::Fresh).await.map_err(|unanswered| unanswered.failure)
            }
            other => other.map_err(|unanswered| unanswered.failure),
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
    pub async fn ask_for_later(
        &self,
        transaction: &'static Transaction,
        outbound: impl Fn() -> Outbound,
        mut call: Call,
    ) -> Result<Message, PeerFailure> {
        let mut connection = Connection::Kept;
        loop {
            let (pool, request) = (self.pool(connection), self.request(transaction, outbound())?);
            let mut sending = JoinSet::new();
            sending.spawn(async move { pool.request(request).await });
            let sent = tokio::select! {
                answer = call.answer() => {
                    // Its sender may not have said yet that the request was taken, and may go on only
                    // while somebody listens.
                    let mut answer = answer?;
                    answer.attachments.keep(sending);
                    return Ok(answer);
                }
                sent = sending.join_next() => sent,
            };
            let Some(Ok(sent)) = sent else {
                return Err(PeerFailure::Unreachable("the request was not sent".to_owned()));
            };
            let answer = match sent.map_err(|error| unanswered(&error)) {
                Ok(response) if is_acknowledgement(&response) => return call.answer().await,
                Ok(response) => self.read(response, None).await,
                Err(unanswered) => Err(unanswered),
            };
            match answer {
                Ok(message) if is_empty_envelope(&message, self.bounds.xml) => return call.answer().await,
                Err(Unanswered { broke_off: true, .. }) if connection == Connection::Kept => {
                    connection = Connection::Fresh;
                }
                answer => return answer.map_err(|unanswered| unanswered.failure),
            }
        }
    }

    fn pool(&self, connection: Connection) -> Pool {
        let pools = self.pools();
        if connection == Connection::Kept { pools.kept.clone() } else { pools.fresh.clone() }
    }

    async fn send(
        &self,
        transaction: &'static Transaction,
        outbound: Outbound,
        connection: Connection,
    ) -> Result<Message, Unanswered> {
        let noted = outbound.noted.clone();
        let request = self.request(transaction, outbound)?;
        let response = timed(noted.as_ref(), self.pool(connection).request(request)).await?;
        self.read(response, noted.as_ref()).await
    }

    fn request(&self, transaction: &'static Transaction, outbound: Outbound) -> Result<Request<OutBody>, PeerFailure> {
        let (correlation_id, via) = (outbound.correlation_id.clone(), outbound.via.clone());
        let trace = outbound.trace.clone();
        let broken =
            |error: &dyn std::fmt::Display| PeerFailure::Garbage(format!("the request could not be written: {error}"));
        let (content_type, length, body) = match transaction.packaging {
            Packaging::Simple => {
                let content_type = format!("application/soap+xml; charset=UTF-8; action=\"{}\"", transaction.action);
                (content_type, None, answer::full(outbound.root))
            }
            Packaging::Mtom => {
                let package =
                    Package::new(Version::V12, &outbound.token, outbound.root, outbound.parts, outbound.sources)
                        .map_err(|e| broken(&e))?;
                let quiet: answer::OnFailure = Arc::new(|error| {
                    let cause = error.without_their_words();
                    tracing::warn!(cause, "a document could not be read to its end while it was sent");
                    Box::pin(async {})
                });
                (package.content_type(transaction.action), package.content_length(), package.into_body(quiet))
            }
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.uri.clone())
            .header(header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(|e| broken(&e))?;
        if let Some(length) = length {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(value) = correlation_id.and_then(|id| HeaderValue::from_str(&id).ok()) {
            request.headers_mut().insert(CORRELATION_ID, value);
        }
        if let Some(value) = via {
            request.headers_mut().insert(VIA, value);
        }
        if let Some(trace) = trace {
            trace_context::carry(&trace, trace_context::new_span(), request.headers_mut());
        }
        Ok(request)
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        noted: Option<&(Steps, HomeCommunityId)>,
    ) -> Result<Message, Unanswered> {
        let began = Instant::now();
        let (head, body) = response.into_parts();
        let content_type =
            head.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let body = BodyStream::new(body, &self.bounds);
        let received = receive(&content_type, body, &self.bounds, None).await;
        if let Some((steps, home)) = &noted {
            steps.took(Some(home), Doing::Receive, began);
        }
        received.map_err(|error| match error {
            MessageError::NoRoom => PeerFailure::NoRoom.into(),
            error => Unanswered {
                broke_off: matches!(error, MessageError::Broken(_)),
                failure: PeerFailure::Garbage(format!("HTTP {}: {error}", head.status.as_u16())),
            },
        })
    }
}

/// Waits for the head of an answer, and notes what that time was made of.
async fn timed(
    noted: Option<&(Steps, HomeCommunityId)>,
    asking: impl Future<Output = Result<Response<Incoming>, hyper_util::client::legacy::Error>>,
) -> Result<Response<Incoming>, Unanswered> {
    let (began, times) = (Instant::now(), Arc::new(Times::default()));
    let answered = Arc::clone(&times).watch(asking).await;
    if let Some((steps, home)) = noted {
        let (tcp, tls) = times.taken();
        for (doing, from, took) in [(Doing::Connect, began, tcp), (Doing::Tls, began + tcp, tls)] {
            if !took.is_zero() {
                steps.note(Some(home), doing, from, took, None);
            }
        }
        steps.took(Some(home), Doing::Wait, began + tcp + tls);
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
    Unanswered { failure, broke_off: !error.is_connect() }
}

/// Whether a peer says no more than that it has taken the request (table of ITI TF-2 §V.5: HTTP 202; 200
/// without anything is the same).
fn is_acknowledgement(response: &Response<Incoming>) -> bool {
    response.status() == StatusCode::ACCEPTED
        || response.status() == StatusCode::OK && http_body::Body::is_end_stream(response.body())
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

/// Reads an answer's payload; a fault becomes a failure.
///
/// # Errors
/// When it is no SOAP message, or a fault.
pub fn read_answer<T>(
    root: &[u8],
    limits: xml::Limits,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, ebrs::BodyError>,
) -> Result<T, PeerFailure> {
    read_envelope(root, limits, |envelope| read(envelope.payload))
}

/// Reads an answer with its headers; a fault becomes a failure.
///
/// # Errors
/// When it is no SOAP message, or a fault.
pub fn read_envelope<T>(
    root: &[u8],
    limits: xml::Limits,
    read: impl FnOnce(&soap::Envelope<'_, '_>) -> Result<T, ebrs::BodyError>,
) -> Result<T, PeerFailure> {
    let garbage = |error: &dyn std::fmt::Display| PeerFailure::Garbage(error.to_string());
    let text = xml::decode(root).map_err(|e| garbage(&e))?;
    let document = Document::parse(&text, limits).map_err(|e| garbage(&e))?;
    let envelope = soap::read(&document).map_err(|fault| garbage(&fault.reason))?;
    if let Some(fault) = soap::received_fault(envelope.payload) {
        return Err(PeerFailure::Fault(fault));
    }
    read(&envelope).map_err(|e| garbage(&e))
}

/// The request envelope of a transaction to an address.
pub fn request_envelope(
    transaction: &'static Transaction,
    to: &Uri,
    security: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    request_envelope_with_id(transaction, to, security, soap::new_message_id(), payload)
}

/// The same under a message id of the caller's: a request that is sent again must be known again.
pub fn request_envelope_with_id(
    transaction: &'static Transaction,
    to: &Uri,
    security: Option<&str>,
    message_id: String,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    answer::envelope(Version::V12, &request_addressing(transaction, to, message_id), security, payload)
}

/// The headers of a request whose answer is to come back on its connection.
fn request_addressing(transaction: &'static Transaction, to: &Uri, message_id: String) -> Addressing {
    Addressing {
        action: Some(transaction.action.to_owned()),
        message_id: Some(message_id),
        to: Some(to.to_string()),
        reply_to: Some(soap::ANONYMOUS.to_owned()),
        ..Addressing::default()
    }
}

/// What every peer of a broker shares.
#[derive(Clone)]
pub struct PeerServices {
    /// Where outbound calls are audited.
    pub audit: AuditSink,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Our homeCommunityId, the requester's name in audit records.
    pub own_home: String,
    /// Calls whose answers come as messages to us.
    pub awaited: Arc<Awaited>,
}

impl PeerServices {
    /// What audit says of an outbound call to that address that went well (ITI TF-2 §3.20).
    pub fn exchange(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        uri: &Uri,
        facts: &AuditFacts,
    ) -> Exchange {
        Exchange {
            codes: transaction.audit_requester,
            side: AuditSide::Requester,
            at: self.clock.now(),
            outcome: AuditOutcome::Success,
            outcome_description: None,
            requester: AuditNode::new(&*self.own_home, None),
            responder: AuditNode::new(uri.to_string(), uri.host().map(NetworkAccessPoint::from_host)),
            humans: Vec::new(),
            purposes: Vec::new(),
            patients: facts.patients(),
            source: self.audit.source(),
            correlation_id: Some(context.correlation_id.to_string()),
        }
    }
}

/// How much a community may be asked.
#[derive(Debug, Clone, Copy)]
pub struct PeerLimits {
    /// Longest time for one answer, whatever the request's deadline.
    pub budget: Duration,
    /// Requests to it at the same time.
    pub in_flight: usize,
    /// Requests that wait for one of those to end.
    pub queue: usize,
    /// Objects of one answer.
    pub results: usize,
    /// When it is not worth asking.
    pub breaker: BreakerLimits,
}

/// A community behind its Responding Gateway.
pub struct RemoteCommunity {
    home: HomeCommunityId,
    client: SoapClient,
    /// Where it is asked for patients, if elsewhere.
    discovery: Option<SoapClient>,
    limits: PeerLimits,
    in_flight: Semaphore,
    /// Those under way, and those that wait.
    admitted: Semaphore,
    breaker: Breaker,
    services: PeerServices,
    answers_to: Option<AnswersTo>,
}

impl RemoteCommunity {
    /// The community `home` at the client's address.
    pub fn new(home: HomeCommunityId, client: SoapClient, limits: PeerLimits, services: PeerServices) -> Self {
        Self {
            home,
            client,
            discovery: None,
            limits,
            in_flight: Semaphore::new(limits.in_flight),
            admitted: Semaphore::new(limits.in_flight.saturating_add(limits.queue).min(Semaphore::MAX_PERMITS)),
            breaker: Breaker::new(limits.breaker),
            services,
            answers_to: None,
        }
    }

    /// Has its answers sent there instead of taking them on the connection.
    #[must_use]
    pub fn with_answers_to(self, answers_to: Option<AnswersTo>) -> Self {
        Self { answers_to, ..self }
    }

    /// Calls when there is a place, unless too many wait or the community is not worth asking now.
    async fn admitted<T>(
        &self,
        context: &RequestContext,
        until: Instant,
        call: impl Future<Output = Result<T, PeerFailure>>,
    ) -> Result<T, PeerFailure> {
        let asked = Instant::now();
        let lately = |refused: Refused| {
            let seconds = refused.again_in.as_secs() + 1;
            PeerFailure::NotAsked(format!("it has not answered lately; it is tried again in about {seconds} s"))
        };
        // Who would not be let through need not wait for a place.
        if let Some(refused) = self.breaker.refused(asked) {
            return Err(lately(refused));
        }
        let Ok(_admitted) = self.admitted.try_acquire() else {
            return Err(PeerFailure::NotAsked("too many requests wait for it".into()));
        };
        let permit = tokio::select! {
            biased;
            failure = context.given_up() => return Err(failure),
            permit = timeout_at(until, self.in_flight.acquire()) => permit,
        };
        context.steps.took(Some(&self.home), Doing::Queue, asked);
        let Ok(Ok(_permit)) = permit else {
            return Err(PeerFailure::NotAsked("too many requests to it are under way".into()));
        };
        // Behind the queue: what waited in it while the others failed is not to try in vain as well.
        let began = Instant::now();
        let leave = self.breaker.enter(began).map_err(lately)?;
        let result = tokio::select! {
            biased;
            failure = context.given_up() => return Err(failure),
            result = timeout_at(until, call) => {
                result.unwrap_or_else(|_| Err(PeerFailure::Timeout(began.elapsed().as_millis() as u64)))
            }
        };
        match &result {
            // One that had hardly any time, or had spent most of it in the queue, says nothing of the community.
            Err(PeerFailure::Timeout(_))
                if began.elapsed() < TELLING.min(self.limits.budget / 2) || (until - began) * 2 < until - asked =>
            {
                drop(leave);
            }
            Err(PeerFailure::Timeout(_) | PeerFailure::Unreachable(_) | PeerFailure::Untrusted(_)) => {
                if leave.failed(Instant::now()) {
                    tracing::warn!(
                        community = %self.home, seconds = self.limits.breaker.pause.as_secs(),
                        "a community does not answer, and is not asked for a while"
                    );
                }
            }
            _ => {
                if leave.answered() {
                    tracing::info!(community = %self.home, "a community answers again");
                }
            }
        }
        result
    }

    /// Calls within budget, bound and deadline, audits, counts.
    async fn bounded<T>(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        facts: &AuditFacts,
        call: impl Future<Output = Result<T, PeerFailure>>,
        judge: impl FnOnce(&T) -> (crate::model::response::ResponseStatus, &[RegistryError], &[RetrievedDocument]),
    ) -> Result<T, PeerFailure> {
        let began = Instant::now();
        let until = context.deadline.min(began + self.limits.budget);
        let result = self.admitted(context, until, call).await;
        let client = match (&self.discovery, transaction.id) {
            (Some(elsewhere), TransactionId::CrossGatewayPatientDiscovery) => elsewhere,
            _ => &self.client,
        };
        let exchange = self.services.exchange(context, transaction, client.uri(), facts);
        let (events, outcome) = match &result {
            Ok(answer) => {
                let (status, errors, retrieved) = judge(answer);
                (facts.events(exchange, status, errors, retrieved), outcome_name(status))
            }
            Err(failure) => {
                let description =
                    Some(format!("{}: {}", ErrorCode::XDSUnavailableCommunity.as_str(), failure.without_their_words()));
                let failed =
                    Exchange { outcome: AuditOutcome::SeriousFailure, outcome_description: description, ..exchange };
                let given_up = matches!(failure, PeerFailure::GivenUp(_));
                (vec![facts.event(failed)], if given_up { "given-up" } else { "unavailable" })
            }
        };
        let events = match (&result, client.uri().host().map(NetworkAccessPoint::from_host)) {
            (Err(PeerFailure::Untrusted(cause)), Some(remote)) => {
                let (source, at) = (self.services.audit.source(), self.services.clock.now());
                let failed = AuditOutcome::SeriousFailure;
                let alert = AuditEvent::node_authentication_failure(source, at, None, &remote, cause, failed);
                events.into_iter().chain([alert]).collect()
            }
            _ => events,
        };
        self.services.metrics.count(transaction.number, self.home.as_str(), outcome, began.elapsed());
        tracing::debug!(
            correlation_id = %context.correlation_id, transaction = transaction.number, community = %self.home,
            outcome, ms = began.elapsed().as_millis() as u64, "asked"
        );
        match self.services.audit.entrust(events).await {
            Ok(()) => result,
            Err(error) => {
                tracing::error!(correlation_id = %context.correlation_id, %error, "an outbound call could not be audited");
                Err(PeerFailure::NotAsked("its answer could not be audited".into()))
            }
        }
    }

    fn outbound(&self, context: &RequestContext, root: Vec<u8>) -> Outbound {
        let own = [&*self.services.own_home];
        let passed: Vec<&str> = context.via.iter().map(HomeCommunityId::as_str).chain(own).collect();
        let via = HeaderValue::from_str(&passed.join(", ")).ok();
        let noted = Some((context.steps.clone(), self.home.clone()));
        let trace = Some(context.trace.clone());
        Outbound { via, noted, trace, ..Outbound::simple(root, Some(Arc::clone(&context.correlation_id))) }
    }

    /// Sends a request that changes nothing, and waits for its answer, wherever that comes.
    async fn ask(
        &self,
        context: &RequestContext,
        client: &SoapClient,
        transaction: &'static Transaction,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Message, PeerFailure> {
        let (uri, security) = (client.uri(), context.security.as_deref());
        let Some(answers_to) = &self.answers_to else {
            let root = request_envelope(transaction, uri, security, payload);
            return client.ask(transaction, || self.outbound(context, root.clone())).await;
        };
        let Some(call) = answers_to.awaited.enter(transaction) else {
            return Err(PeerFailure::NotAsked("too many answers are awaited".to_owned()));
        };
        let addressing = Addressing {
            reply_to: Some(answers_to.address.clone()),
            ..request_addressing(transaction, uri, call.message_id())
        };
        let root = answer::envelope(Version::V12, &addressing, security, payload);
        client.ask_for_later(transaction, || self.outbound(context, root.clone()), call).await
    }

    async fn call_query(&self, context: &RequestContext, query: &AdhocQuery) -> Result<QueryResponse, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayQuery);
        let message = self.ask(context, &self.client, transaction, |out| ebrs::write_query(out, query)).await?;
        let began = Instant::now();
        let answer = read_answer(&message.root, self.client.bounds.xml, ebrs::read_query_response)?;
        context.steps.took(Some(&self.home), Doing::Read, began);
        if answer.objects.len() > self.limits.results {
            return Err(PeerFailure::TooMany(self.limits.results));
        }
        Ok(answer)
    }

    async fn call_retrieve(
        &self,
        context: &RequestContext,
        requests: &[DocumentRequest],
    ) -> Result<RetrieveResponse, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayRetrieve);
        let message = self.ask(context, &self.client, transaction, |out| xdsb::write_retrieve(out, requests)).await?;
        retrieve_response(message, self.client.bounds.xml)
    }
}

/// Reads a retrieve's root part; the bodies stay behind it, to be drawn later.
///
/// # Errors
/// When the root part is not what it should be.
pub fn retrieve_response(message: Message, limits: xml::Limits) -> Result<RetrieveResponse, PeerFailure> {
    let (response, documents, wanted, inline) = read_answer(&message.root, limits, |payload| {
        let (response, raw) = xdsb::read_retrieve_response(payload)?;
        let (mut documents, mut wanted, mut inline) = (Vec::new(), Vec::new(), VecDeque::new());
        for document in raw {
            let (Some(repository), Some(unique_id)) = (document.repository, document.unique_id) else {
                return Err(ebrs::BodyError::Frame(
                    "xds:DocumentResponse needs a RepositoryUniqueId and a DocumentUniqueId",
                ));
            };
            let number = documents.len();
            let mut size = None;
            match document.content {
                Binary::Include(href) => {
                    let id = ContentId::from_href(&href)
                        .map_err(|_| ebrs::BodyError::Frame("xop:Include has an href that is no Content-ID"))?;
                    wanted.push((number, id));
                }
                Binary::Inline(text) => {
                    let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
                    let bytes = base64::engine::general_purpose::STANDARD
                        .decode(compact)
                        .map_err(|_| ebrs::BodyError::Frame("xds:Document holds broken base64"))?;
                    size = Some(bytes.len() as u64);
                    inline.push_back((number, Bytes::from(bytes)));
                }
            }
            documents.push(RetrievedDocument {
                request: DocumentRequest { home: document.home, repository, unique_id },
                new_repository: document.new_repository,
                new_unique_id: document.new_unique_id,
                mime_type: document.mime_type,
                size,
            });
        }
        Ok((response, documents, wanted, inline))
    })?;
    let _held = message.held.filter(|_| !inline.is_empty());
    let mut attachments = message.attachments;
    if wanted.is_empty() {
        attachments.suffice();
    }
    let bodies = ReceivedBodies { attachments, wanted, inline, current: None, _held };
    Ok(RetrieveResponse { errors: response.errors, documents, sources: vec![Box::new(bodies)] })
}

/// The bodies of a received answer, in the order in which they come.
struct ReceivedBodies {
    attachments: Attachments,
    wanted: Vec<(usize, ContentId)>,
    inline: VecDeque<(usize, Bytes)>,
    current: Option<Option<Bytes>>,
    /// Documents that came inline are as large as their envelope.
    _held: Option<OwnedSemaphorePermit>,
}

impl ReceivedBodies {
    async fn advance(&mut self) -> Result<Option<usize>, BodyError> {
        if let Some((number, bytes)) = self.inline.pop_front() {
            self.current = Some(Some(bytes));
            return Ok(Some(number));
        }
        self.current = None;
        let peer = |error: &dyn std::fmt::Display| BodyError::Peer(error.to_string());
        while !self.wanted.is_empty() {
            let Some(headers) = self.attachments.next_part().await.map_err(|e| peer(&e))? else {
                return Err(BodyError::Peer("a part that the root part names is missing".into()));
            };
            let matched =
                headers.content_id.as_ref().and_then(|id| id.best_match(self.wanted.iter().map(|(_, href)| href)));
            if let Some(at) = matched {
                return Ok(Some(self.wanted.remove(at).0));
            }
        }
        // The package must end as it should: a missing final boundary is a truncation.
        while self.attachments.next_part().await.map_err(|e| peer(&e))?.is_some() {}
        Ok(None)
    }
}

impl BodySource for ReceivedBodies {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(self.advance())
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            match &mut self.current {
                Some(inline) => Ok(inline.take().filter(|bytes| !bytes.is_empty())),
                None => self.attachments.next_chunk().await.map_err(|error| BodyError::Peer(error.to_string())),
            }
        })
    }
}

impl Community for RemoteCommunity {
    fn discover<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a DiscoveryQuery,
    ) -> BoxFuture<'a, Result<Discovered, PeerFailure>> {
        Box::pin(self.ask_for_patient(context, query))
    }

    fn query<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>> {
        Box::pin(async move {
            let transaction = Transaction::of(TransactionId::CrossGatewayQuery);
            let mut request = Vec::new();
            ebrs::write_query(&mut request, query);
            let facts = query_facts(query, request.into());
            self.bounded(context, transaction, &facts, self.call_query(context, query), |answer| {
                (answer.status, &answer.errors, &[])
            })
            .await
        })
    }

    fn retrieve<'a>(
        &'a self,
        context: &'a RequestContext,
        requests: Vec<DocumentRequest>,
    ) -> BoxFuture<'a, Result<RetrieveResponse, PeerFailure>> {
        Box::pin(async move {
            let transaction = Transaction::of(TransactionId::CrossGatewayRetrieve);
            let facts = AuditFacts::Retrieve(
                requests
                    .iter()
                    .map(|request| AuditedDocument {
                        unique_id: request.unique_id.to_string(),
                        repository_unique_id: Some(request.repository.to_string()),
                        home_community_id: request.home.as_ref().map(ToString::to_string),
                    })
                    .collect(),
            );
            self.bounded(context, transaction, &facts, self.call_retrieve(context, &requests), |answer| {
                (answer.status(), &answer.errors, &answer.documents)
            })
            .await
        })
    }
}
