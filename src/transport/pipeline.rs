//! The one way of every inbound message: TLS identity → limits → SOAP and addressing
//! → security header → access decision → a place ([`super::admission`]) → actor → durable audit → answer. No
//! transaction has a private copy of a step; what is its own is in [`super::endpoint`], what is done for an answer that
//! goes elsewhere in `pipeline/later.rs`. Answers that come as messages to the calls that wait for them go
//! through `pipeline/posted.rs`.

mod deferred;
mod fetched;
mod later;
pub mod posted;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::join;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::admission::{Gate, GateLimits, Place, lane_of};
use super::answer::{self, Inline, OnFailure, OutBody, Package, Part};
use super::audit_sink::AuditSink;
use super::awaited::Awaited;
use super::callbacks::{Callbacks, Elsewhere};
use super::callers::Callers;
use super::endpoint::{self, Answer, AuditFacts, Payload};
use super::message::{Attachments, BodyStream, Bounds, Message, MessageError, receive};
use super::metrics::Metrics;
use super::peer::profile::soap_action;
use super::soap_trace;
use super::telemetry::Telemetry;
use super::tls::PeerIdentity;
use super::wsdl;
use crate::actors::access::{AccessPolicy, Decision};
use crate::actors::askers::{Asked, Asker};
use crate::actors::context::{Lane, RequestContext, Trace};
use crate::actors::document_registry::DocumentRegistry;
use crate::actors::document_repository::DocumentRepository;
use crate::actors::explain::{Explained, Explanations, Steps};
use crate::actors::initiating_gateway::InitiatingGateway;
use crate::actors::ports::Clock;
use crate::actors::responding_gateway::{MOST_GATEWAYS, RespondingGateway};
use crate::model::audit_event::{AuditEvent, AuditNode, AuditOutcome, AuditSide, Exchange};
use crate::model::community::ShownCertificate;
use crate::model::discovery::MessageHeader;
use crate::model::document::{BodyError, RetrieveResponse};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, RegistryError, ResponseStatus};
use crate::store::audit_trail::AuditError;
use crate::transaction::{DEFERRED_DISCOVERY_RESPONSE, Packaging, Service, Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::mtom::MtomError;
use crate::wire::soap::{self, Addressing, Fault, Version};
use crate::wire::xdsb;
use crate::wire::xml::{self, Document};
use posted::Posted;

/// Room made beforehand for an answer at most; a larger one grows.
const MOST_RESERVED: usize = 4 << 20;

/// The HTTP header that tells a request's correlation id, to clients and to the peers we ask.
pub const CORRELATION_ID: http::HeaderName = http::HeaderName::from_static("x-correlation-id");

/// The HTTP header in which gateways of our kind name themselves, so that no request runs in circles.
pub const VIA: http::HeaderName = http::HeaderName::from_static("x-causeway-via");

/// What whoever finds no place is told to wait, in seconds, where HTTP can say it.
const RETRY_AFTER: &str = "1";

/// The actors of a broker.
pub struct Actors {
    /// Document Registry.
    pub registry: Arc<DocumentRegistry>,
    /// Document Repository.
    pub repository: Arc<DocumentRepository>,
    /// Initiating Gateway.
    pub initiating: Arc<InitiatingGateway>,
    /// Responding Gateway.
    pub responding: Arc<RespondingGateway>,
}

/// Bounds of the pipeline, from `[limits]`.
#[derive(Debug, Clone)]
pub struct PipelineLimits {
    /// Of each message.
    pub bounds: Bounds,
    /// Of each where peers' answers are awaited.
    pub answers: Bounds,
    /// Of requests under way at once; more are answered Busy.
    pub gate: GateLimits,
    /// When a query must be answered.
    pub request_deadline: Duration,
    /// When a retrieve's root part must be there.
    pub retrieve_deadline: Duration,
    /// Documents of one retrieve.
    pub documents_per_retrieve: usize,
    /// Requests that are remembered with what was done for them.
    pub explained: usize,
    /// Of answers that go elsewhere.
    pub later: LaterLimits,
}

/// Bounds of answers that do not go back on their connection, from `[limits]`.
#[derive(Debug, Clone, Copy)]
pub struct LaterLimits {
    /// Requests whose answers are not delivered yet.
    pub pending: usize,
    /// Tries to deliver one.
    pub tries: usize,
    /// Pause after the first try; it doubles from one to the next.
    pub pause: Duration,
    /// Time from the request until its answer is delivered, or given up.
    pub deadline: Duration,
    /// How long the receiver may take nothing.
    pub stall: Duration,
}

/// Everything a message meets on its way.
pub struct Pipeline {
    actors: Actors,
    audit: AuditSink,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    limits: PipelineLimits,
    gate: Gate,
    pending: Arc<Semaphore>,
    callbacks: ArcSwap<Callbacks>,
    callers: ArcSwap<Callers>,
    awaited: Arc<Awaited>,
    cut: CancellationToken,
    explanations: Explanations,
    telemetry: Arc<Telemetry>,
}

/// What is known of a connection.
pub struct ConnectionInfo {
    /// Who is at the other end, by certificate; absent without TLS, which only tests do.
    pub identity: Option<PeerIdentity>,
    /// Its address.
    pub remote: SocketAddr,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// What its listener allows.
    pub access: Arc<dyn AccessPolicy>,
    /// What outlives its request is waited for here when the listener stops.
    pub tasks: TaskTracker,
}

impl ConnectionInfo {
    /// The certificate that it shows.
    fn certificate(&self) -> Option<ShownCertificate<'_>> {
        self.identity.as_ref().map(|identity| ShownCertificate {
            sha256: identity.fingerprint_sha256,
            subject: &identity.subject,
            common_name: &identity.common_name,
        })
    }

    fn caller(&self) -> Arc<str> {
        match &self.identity {
            Some(identity) if !identity.common_name.is_empty() => identity.common_name.as_str().into(),
            Some(identity) => identity.fingerprint_hex().into(),
            None => "anonymous".into(),
        }
    }
}

/// A request whose envelope has been read: nothing in it borrows from the message any more.
pub struct Inbound {
    /// The SOAP version to answer in.
    pub version: Version,
    /// Its addressing headers.
    pub addressing: Addressing,
    /// Its transaction.
    pub transaction: &'static Transaction,
    /// Its body, or why the body is not what it should be.
    pub payload: Result<Payload, ebrs::BodyError>,
    /// What audit says of it.
    pub facts: AuditFacts,
    security: Option<Arc<str>>,
    /// The trace that its envelope names.
    trace: Option<soap::TraceHeader>,
    /// Where its answer goes, if not back on its connection.
    elsewhere: Option<Elsewhere>,
}

/// What a message is.
enum Read {
    Request(Box<Inbound>),
    Answer(Posted),
}

/// A request that has been read, with what its later steps need to know of it.
struct Taken {
    service: Service,
    context: RequestContext,
    connection: Arc<ConnectionInfo>,
    /// The address that was called.
    endpoint: String,
    version: Version,
    addressing: Addressing,
    multipart: bool,
    facts: AuditFacts,
    began: Instant,
    /// Whose answer is sent later as a message of its own, rather than as the rest of this exchange.
    deferred: Option<Box<MessageHeader>>,
}

/// A fault with what is needed to send it.
pub struct Refused {
    version: Version,
    relates_to: Option<String>,
    /// What the message wanted, as far as it could be made out.
    attempted: Option<&'static Transaction>,
    fault: Fault,
}

impl Refused {
    /// Of a message that could not be read far enough to know anything of it.
    fn unread(fault: Fault) -> Self {
        Self { version: Version::V12, relates_to: None, attempted: None, fault }
    }
}

/// Reads a request that came to a service, whose answer goes back on its connection.
///
/// # Errors
/// The fault for one that is no such request.
pub fn read_request(root: &[u8], service: Service, limits: xml::Limits) -> Result<Inbound, Box<Refused>> {
    match read_envelope(root, service, limits, &Callbacks::default(), None)? {
        Read::Request(inbound) => Ok(*inbound),
        Read::Answer(_) => Err(Box::new(Refused::unread(Fault::sender("This is no request.")))),
    }
}

fn read_envelope(
    root: &[u8],
    service: Service,
    limits: xml::Limits,
    callbacks: &Callbacks,
    soap_action: Option<&str>,
) -> Result<Read, Box<Refused>> {
    let text = xml::decode(root).map_err(|e| Refused::unread(e.into()))?;
    let document = Document::parse(&text, limits).map_err(|e| Refused::unread(e.into()))?;
    let version = soap::version(&document);
    let refused = |fault| {
        Box::new(Refused {
            version,
            relates_to: soap::message_id(&document),
            attempted: soap::action(&document).and_then(|action| Transaction::find(service, &action)),
            fault,
        })
    };
    let mut envelope = soap::read(&document).map_err(refused)?;
    if version == Version::V11 && envelope.addressing.action.is_none() {
        // Older stacks have no WS-Addressing, and their action in HTTP alone (SOAP 1.1 §6.1.1).
        envelope.addressing.action = soap_action.map(str::to_owned);
    }
    if let Some(posted) = Posted::of(service, &envelope) {
        return Ok(Read::Answer(posted));
    }
    let transaction = find_transaction(&envelope.addressing, service, envelope.payload.local()).map_err(refused)?;
    let elsewhere = callbacks.route(&envelope.addressing).map_err(refused)?;
    let payload = endpoint::read(transaction.id, envelope.payload);
    let mut payload = payload.map(|payload| payload.with_headers(envelope.home_blocks.clone()));
    if let Ok(Payload::Discovery(received)) = &mut payload {
        received.time_to_live = envelope.correlation_ttl.clone();
    }
    let facts = endpoint::facts(payload.as_ref().ok(), envelope.payload);
    Ok(Read::Request(Box::new(Inbound {
        version,
        addressing: envelope.addressing.clone(),
        transaction,
        payload,
        facts,
        security: envelope.security.map(Into::into),
        trace: envelope.trace,
        elsewhere,
    })))
}

/// The transaction of a request: by its action, and the body's root must agree.
fn find_transaction(addressing: &Addressing, service: Service, root: &str) -> Result<&'static Transaction, Fault> {
    let action = addressing.required_action()?;
    let Some(transaction) = Transaction::find(service, action) else {
        return Err(Fault::action_not_supported(
            action,
            format!("This action is not supported at {}.", service.name()),
        ));
    };
    // A wrapper that ITI-42 does not have, yet some sources send: answered with the rule it breaks.
    let wrapped = transaction.id == TransactionId::RegisterDocumentSet && root == "RegisterDocumentSetRequest";
    if root != transaction.request_root && !wrapped {
        return Err(Fault::action_not_supported(
            action,
            format!(
                "The action means {} ({}), whose body is a {}, not a {root}.",
                transaction.title, transaction.number, transaction.request_root
            ),
        ));
    }
    Ok(transaction)
}

fn gateways_passed(headers: &http::HeaderMap) -> Arc<[HomeCommunityId]> {
    let names = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.filter_map(|name| HomeCommunityId::parse(name.trim()).ok()).take(MOST_GATEWAYS).collect()
}

fn response(status: u16, content_type: &str, body: OutBody) -> Response<OutBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

/// The HTTP answer of a message that was refused.
pub fn fault_response(refused: &Refused) -> Response<OutBody> {
    let body = soap::write_fault(refused.version, &refused.fault, refused.relates_to.as_deref());
    let content_type = format!("{}; charset=UTF-8", refused.version.media_type());
    let status = refused.fault.http_status(refused.version);
    let mut response = response(status, &content_type, answer::full(body));
    if status == StatusCode::SERVICE_UNAVAILABLE.as_u16() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

impl Pipeline {
    /// Puts the steps together.
    pub fn new(
        actors: Actors,
        audit: AuditSink,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
        limits: PipelineLimits,
        awaited: Arc<Awaited>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let gate = Gate::new(limits.gate, &metrics);
        let pending = Arc::new(Semaphore::new(limits.later.pending));
        let (callbacks, callers, cut) = (ArcSwap::default(), ArcSwap::default(), CancellationToken::new());
        let explanations = Explanations::new(limits.explained);
        Self {
            actors,
            audit,
            metrics,
            clock,
            limits,
            gate,
            pending,
            callbacks,
            callers,
            awaited,
            cut,
            explanations,
            telemetry,
        }
    }

    /// Says where answers may be sent that are not to come back on their connection.
    pub fn set_callbacks(&self, callbacks: Callbacks) {
        self.callbacks.store(Arc::new(callbacks));
    }

    /// Says by which certificates callers are known as which communities.
    pub fn set_callers(&self, callers: Callers) {
        self.callers.store(Arc::new(callers));
    }

    /// Ends every wait for a peer: requests go on at once to their audit record.
    pub fn cut_off(&self) {
        self.cut.cancel();
    }

    /// The actors behind it.
    pub fn actors(&self) -> &Actors {
        &self.actors
    }

    /// The numbers it counts.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Bounds of each message.
    pub fn bounds(&self) -> &Bounds {
        &self.limits.bounds
    }

    /// Where its audit events go.
    pub fn audit(&self) -> &AuditSink {
        &self.audit
    }

    /// The time, as TLS knows it.
    pub fn now_timestamp(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Answers one HTTP request; `gone` tells that its client has gone away.
    pub async fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: Arc<ConnectionInfo>,
        gone: CancellationToken,
    ) -> Response<OutBody> {
        let Some(service) = Service::from_path(request.uri().path()) else {
            return response(
                404,
                "text/plain; charset=utf-8",
                answer::full(
                    "There is no service at this path. Services: /services/registry, repository, initiating-gateway, responding-gateway.\n",
                ),
            );
        };
        match *request.method() {
            Method::POST => self.post(service, request, &connection, gone).await,
            Method::GET => describe(service, &request, &connection),
            _ => {
                let mut answer =
                    response(405, "text/plain; charset=utf-8", answer::full("POST a SOAP message, or GET ?wsdl.\n"));
                answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
                answer
            }
        }
    }

    async fn post(
        self: &Arc<Self>,
        service: Service,
        request: Request<Incoming>,
        connection: &Arc<ConnectionInfo>,
        gone: CancellationToken,
    ) -> Response<OutBody> {
        let correlation_id: Arc<str> = answer::message_token().into();
        let span = tracing::info_span!("request", id = %correlation_id);
        let mut response =
            self.converse(service, request, connection, Arc::clone(&correlation_id), gone).instrument(span).await;
        if let Ok(value) = HeaderValue::from_str(&correlation_id) {
            response.headers_mut().insert(CORRELATION_ID, value);
        }
        response
    }

    async fn converse(
        self: &Arc<Self>,
        service: Service,
        request: Request<Incoming>,
        connection: &Arc<ConnectionInfo>,
        correlation_id: Arc<str>,
        gone: CancellationToken,
    ) -> Response<OutBody> {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let content_type =
            parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        if parts
            .headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            // A compressed body would pass every limit on its way in and none on its way out.
            let fault = Fault::sender("Compressed messages are not accepted: send it without Content-Encoding.")
                .with_status(415);
            let refused = Refused::unread(fault);
            return self.refuse_early(service, &correlation_id, connection, &parts, began, refused).await;
        }
        let endpoint = endpoint_of(connection, &parts);
        let bounds = self.bounds_at(service);
        let body = BodyStream::new(body, bounds);
        // For parts that come before the root part, of who may submit there; a gateway's come behind it.
        let spools = matches!(service, Service::Repository | Service::InitiatingGateway);
        let spool = spools.then(|| Arc::clone(self.actors.repository.documents()));
        let mut message = match receive(&content_type, body, bounds, spool).await {
            Ok(message) => message,
            Err(error) => {
                let refused = Refused::unread(error.fault());
                return self.refuse_early(service, &correlation_id, connection, &parts, began, refused).await;
            }
        };
        let limit = self.limits.bounds.envelope_bytes;
        let action = soap_action(&parts.headers);
        let read = read_envelope(&message.root, service, self.limits.bounds.xml, &self.callbacks.load(), action);
        let read = read.and_then(|read| match read {
            // Answers may be larger than requests, and which it is shows only now.
            Read::Request(_) if message.root.len() > limit => {
                let error = MessageError::TooLarge { what: "the envelope", limit: limit as u64 };
                Err(Box::new(Refused::unread(error.fault())))
            }
            read => Ok(read),
        });
        let inbound = match read {
            Ok(Read::Request(inbound)) => *inbound,
            Ok(Read::Answer(mut posted)) => {
                if let Some(deferred) = posted.deferred.take() {
                    return self.take_deferred(posted, *deferred, message, connection, &correlation_id, began).await;
                }
                return self.take_answer(posted, message, connection, &correlation_id, began).await;
            }
            Err(refused) => {
                message.attachments.drain().await;
                return self.refuse_early(service, &correlation_id, connection, &parts, began, *refused).await;
            }
        };
        let Message { root, multipart, mut attachments, held } = message;
        drop(root);
        let transaction = inbound.transaction;
        let message_id = inbound.addressing.message_id.as_deref();
        let trace = self
            .telemetry
            .trace_of(&soap_trace::with_envelopes(&parts.headers, inbound.trace.as_ref()), &correlation_id);
        let is_noted = service.is_gateway() || self.telemetry.wants(&trace);
        let via = match service {
            Service::RespondingGateway => gateways_passed(&parts.headers),
            _ => Arc::new([]),
        };
        let asked = Asked { transaction, service, at: self.clock.now() };
        let context = RequestContext {
            lane: lane_of(&*connection.access, &connection.caller(), inbound.security.as_deref(), bounds.xml),
            security: inbound.security.clone(),
            asker: self.actors.responding.asker(connection.certificate().as_ref(), &via, asked),
            via,
            known_as: if service.is_gateway() { self.known_as(connection) } else { Arc::new([]) },
            gone,
            trace,
            steps: if is_noted { Steps::noted(began) } else { Steps::default() },
            ..self.context(transaction, &correlation_id, connection, message_id, began)
        };
        let Inbound { version, addressing, mut payload, facts, elsewhere, .. } = inbound;
        let (connection, deferred) = (Arc::clone(connection), None);
        let mut taken =
            Taken { service, context, connection, endpoint, version, addressing, multipart, facts, began, deferred };
        if let Some(elsewhere) = elsewhere.or_else(|| self.deferred(&mut taken, &mut payload)) {
            return self.answer_later(taken, payload, attachments, held, elsewhere).await;
        }
        let encode = |answer| self.encode(&taken, taken.answer_addressing(), answer);
        match self.work(&taken, payload, &mut attachments, None, encode).await {
            Ok(response) => response,
            Err(fault) => self.refuse(service, &correlation_id, &taken.connection, began, &taken.refused(fault)),
        }
    }

    /// From the access decision to the durable audit record; `admitted` has its place already. The answer is made
    /// ready by `finish` while the disk takes the record, and is given when that is done.
    async fn work<T>(
        &self,
        taken: &Taken,
        payload: Result<Payload, ebrs::BodyError>,
        attachments: &mut Attachments,
        admitted: Option<Place>,
        finish: impl FnOnce(Answer) -> T,
    ) -> Result<T, Fault> {
        let Taken { service, context, connection, endpoint, addressing, facts, began, .. } = taken;
        let transaction = context.transaction;
        let answer = match (taken.permitted(), &context.asker.refusal) {
            (Ok(()), None) => self.perform(context, *service, payload, attachments, admitted).await,
            (Ok(()), Some(refusal)) => {
                endpoint::refused::answer(context, *service, payload.ok(), refusal, self.actors.responding.home())
            }
            (Err(denied), _) => Err(denied),
        };
        attachments.drain().await;
        let told = match &answer {
            Ok(answer) => facts.clone().with_answer(answer),
            Err(_) => facts.clone(),
        };
        let events = self.inbound_events(context, endpoint, connection, addressing, &told, &answer);
        let (outcome, errors) = match &answer {
            Ok(answer) => (outcome_name(answer.status()), answer.error_codes()),
            Err(_) => ("fault", String::new()),
        };
        let told = answer.as_ref().map_or(&[][..], Answer::errors).iter().map(located).collect();
        let (recorded, finished) = join(self.audit.record(events), async { answer.map(finish) }).await;
        let finished = match recorded {
            Ok(()) => finished,
            Err(error) => Err(unaudited(&context.correlation_id, &error)),
        };
        match &finished {
            Ok(_) => self.explain(*service, context, outcome, told, *began),
            Err(_) => self.explain(*service, context, "fault", Vec::new(), *began),
        }
        let finished = finished?;
        self.metrics.count(transaction.number, "inbound", outcome, began.elapsed());
        tracing::info!(
            correlation_id = %context.correlation_id, transaction = transaction.number, caller = %context.caller,
            outcome, errors, ms = began.elapsed().as_millis() as u64, "answered"
        );
        Ok(finished)
    }

    /// Gives what was done for a request to the collector of spans, and keeps a gateway's, for who asks about it
    /// later.
    fn explain(
        &self,
        service: Service,
        context: &RequestContext,
        outcome: &'static str,
        errors: Vec<Located>,
        began: Instant,
    ) {
        let (is_sent, is_kept) = (self.telemetry.wants(&context.trace), service.is_gateway());
        if !is_sent && !is_kept {
            return;
        }
        let explained = self.explained(context, outcome, errors, began);
        if is_sent {
            self.telemetry.take(Arc::clone(&explained));
        }
        if is_kept {
            self.explanations.keep(explained);
        }
    }

    /// Gives a request to the collector of spans for which nothing was done, so that there is nothing to explain.
    fn trace_refusal(&self, context: &RequestContext, began: Instant) {
        if self.telemetry.wants(&context.trace) {
            self.telemetry.take(self.explained(context, "fault", Vec::new(), began));
        }
    }

    fn explained(
        &self,
        context: &RequestContext,
        outcome: &'static str,
        errors: Vec<Located>,
        began: Instant,
    ) -> Arc<Explained> {
        let took = began.elapsed();
        Arc::new(Explained {
            id: Arc::clone(&context.correlation_id),
            trace: context.trace.clone(),
            transaction: context.transaction.number,
            caller: Arc::clone(&context.caller),
            at: self.clock.now() - jiff::SignedDuration::try_from(took).unwrap_or_default(),
            took,
            outcome,
            errors,
            steps: context.steps.all(),
            routes: context.steps.routes(),
        })
    }

    /// The way to the collector of spans.
    pub fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// The requests that gateways answered last.
    pub fn explanations(&self) -> &Explanations {
        &self.explanations
    }

    /// Refuses a message before it was dispatched; what it wanted is audited where that is known.
    async fn refuse_early(
        &self,
        service: Service,
        correlation_id: &Arc<str>,
        connection: &ConnectionInfo,
        parts: &http::request::Parts,
        began: Instant,
        mut refused: Refused,
    ) -> Response<OutBody> {
        refused.attempted = refused.attempted.or_else(|| hinted(service, parts));
        if let Some(transaction) = refused.attempted {
            let message_id = refused.relates_to.as_deref();
            let trace = self.telemetry.trace_of(&parts.headers, correlation_id);
            let context =
                RequestContext { trace, ..self.context(transaction, correlation_id, connection, message_id, began) };
            let facts = AuditFacts::of_no_request(transaction.request_root);
            let answer = Err(refused.fault.clone());
            let endpoint = endpoint_of(connection, parts);
            let events = self.inbound_events(&context, &endpoint, connection, &Addressing::default(), &facts, &answer);
            if let Err(error) = self.audit.record(events).await {
                refused.fault = unaudited(correlation_id, &error);
            }
            self.trace_refusal(&context, began);
        }
        self.refuse(service, correlation_id, connection, began, &refused)
    }

    fn context(
        &self,
        transaction: &'static Transaction,
        correlation_id: &Arc<str>,
        connection: &ConnectionInfo,
        message_id: Option<&str>,
        began: Instant,
    ) -> RequestContext {
        let deadline = match transaction.packaging {
            Packaging::Mtom => self.limits.retrieve_deadline,
            Packaging::Simple => self.limits.request_deadline,
        };
        RequestContext {
            transaction,
            correlation_id: Arc::clone(correlation_id),
            message_id: message_id.map(Into::into),
            caller: connection.caller(),
            known_as: Arc::new([]),
            security: None,
            lane: Lane::default(),
            asker: Asker::default(),
            via: Arc::new([]),
            cut: self.cut.clone(),
            gone: CancellationToken::new(),
            at: self.clock.now(),
            deadline: began + deadline,
            trace: Trace::default(),
            steps: Steps::default(),
        }
    }

    /// Calls the transaction, within its admission bound; `admitted` has its place already. A place is held
    /// until there is an answer, and not while an answer's documents are sent: a client that takes them slowly
    /// holds a connection of its own, and nobody else's place.
    async fn perform(
        &self,
        context: &RequestContext,
        service: Service,
        payload: Result<Payload, ebrs::BodyError>,
        attachments: &mut Attachments,
        admitted: Option<Place>,
    ) -> Result<Answer, Fault> {
        let transaction = context.transaction.id;
        let payload = match payload {
            Ok(payload) => payload,
            Err(error) if !endpoint::has_error_list(transaction) => return Err(Fault::sender(format!("{error}."))),
            Err(error) => {
                return Ok(Answer::failure(
                    transaction,
                    RegistryError::new(endpoint::frame_error(transaction), error.to_string()),
                ));
            }
        };
        let admitted = match admitted {
            Some(admitted) => Ok(admitted),
            None => self.gate.admit(context).await,
        };
        let Ok(_admitted) = admitted else {
            if let Some(busy) = endpoint::too_busy(payload)? {
                return Ok(busy);
            }
            let busy = RegistryError::new(
                endpoint::busy_error(transaction),
                "too many requests are under way; send it again in a moment",
            );
            let busy = match service {
                Service::RespondingGateway => busy.at(self.actors.responding.home().as_str()),
                _ => busy,
            };
            return Ok(Answer::failure(transaction, busy));
        };
        self.call(context, service, payload, attachments).await
    }

    /// Calls the transaction.
    async fn call(
        &self,
        context: &RequestContext,
        service: Service,
        payload: Payload,
        attachments: &mut Attachments,
    ) -> Result<Answer, Fault> {
        let transaction = context.transaction.id;
        let scope = endpoint::Scope {
            actors: &self.actors,
            context,
            service,
            documents_per_retrieve: self.limits.documents_per_retrieve,
        };
        match payload {
            Payload::Query(query) => match transaction {
                TransactionId::CrossGatewayQuery => Ok(endpoint::iti38::answer(&scope, &query).await),
                TransactionId::MultiPatientStoredQuery => Ok(endpoint::iti51::answer(&scope, &query).await),
                _ => Ok(endpoint::iti18::answer(&scope, &query).await),
            },
            Payload::Submit(objects) => match transaction {
                TransactionId::UpdateDocumentSet => Ok(endpoint::iti57::answer(&scope, objects).await),
                TransactionId::RegisterOnDemandDocumentEntry => Ok(endpoint::iti61::answer(&scope, objects).await),
                TransactionId::RestrictedUpdateDocumentSet => Ok(endpoint::iti92::answer(&scope, objects).await),
                _ => Ok(endpoint::iti42::answer(&scope, objects).await),
            },
            Payload::Discovery(received) => Ok(endpoint::iti55::answer(&scope, *received).await),
            Payload::Revocation(revocation) => endpoint::iti55::revoke(&scope, *revocation),
            Payload::Location(patient) => Ok(endpoint::iti56::answer(&scope, patient).await),
            Payload::RemoveMetadata(uuids) => Ok(endpoint::iti62::answer(&scope, &uuids).await),
            Payload::RemoveDocuments(requests) => Ok(endpoint::iti86::answer(&scope, requests).await),
            Payload::Provide(provide) => match transaction {
                TransactionId::CrossGatewayDocumentProvide => {
                    endpoint::iti80::answer(&scope, provide, attachments).await
                }
                _ => endpoint::iti41::answer(&scope, provide, attachments).await,
            },
            Payload::Fetch(query) => Ok(endpoint::iti63::answer(&scope, &query).await),
            Payload::Retrieve(requests) => match transaction {
                TransactionId::CrossGatewayRetrieve => Ok(endpoint::iti39::answer(&scope, requests).await),
                _ => Ok(endpoint::iti43::answer(&scope, requests).await),
            },
        }
    }

    fn exchange(
        &self,
        context: &RequestContext,
        endpoint: &str,
        connection: &ConnectionInfo,
        addressing: &Addressing,
        facts: &AuditFacts,
    ) -> Exchange {
        let remote = Some(connection.remote.ip().into());
        let requester = match addressing.reply_to.as_deref() {
            // The address is the caller's choice: who it was by certificate stands beside it.
            Some(address) if address != soap::ANONYMOUS && address != soap::NO_REPLY => {
                AuditNode::new(address, remote).named(&*context.caller)
            }
            _ => AuditNode::new(&*context.caller, remote),
        };
        Exchange {
            codes: context.transaction.audit_responder,
            side: AuditSide::Responder,
            at: self.clock.now(),
            outcome: AuditOutcome::Success,
            outcome_description: None,
            requester,
            responder: AuditNode::new(endpoint, None),
            humans: Vec::new(),
            purposes: Vec::new(),
            patients: facts.patients(),
            source: self.audit.source(),
            correlation_id: Some(context.correlation_id.to_string()),
        }
    }

    fn inbound_events(
        &self,
        context: &RequestContext,
        endpoint: &str,
        connection: &ConnectionInfo,
        addressing: &Addressing,
        facts: &AuditFacts,
        answer: &Result<Answer, Fault>,
    ) -> Vec<AuditEvent> {
        let exchange = self.exchange(context, endpoint, connection, addressing, facts);
        if let Some(refusal) = &context.asker.refusal {
            let outcome_description = Some(format!("refused: {}", refusal.reason));
            return vec![facts.event(Exchange {
                outcome: AuditOutcome::SeriousFailure,
                outcome_description,
                ..exchange
            })];
        }
        match answer {
            Ok(answer) => {
                let exchange = Exchange { outcome_description: answer.refusal().map(str::to_owned), ..exchange };
                facts.events(exchange, answer.status(), answer.errors(), answer.retrieved())
            }
            Err(fault) => {
                let exchange = Exchange {
                    outcome: AuditOutcome::SeriousFailure,
                    outcome_description: Some(fault.reason.clone()),
                    ..exchange
                };
                vec![facts.event(exchange)]
            }
        }
    }

    /// Audits a retrieve whose bytes broke off after its success was told.
    fn on_stream_failure(&self, taken: &Taken) -> OnFailure {
        let Taken { context, endpoint, connection, addressing, facts, .. } = taken;
        let exchange = self.exchange(context, endpoint, connection, addressing, facts);
        let (facts, audit) = (facts.clone(), self.audit.clone());
        let (correlation_id, transaction) = (Arc::clone(&context.correlation_id), context.transaction.number);
        Arc::new(move |error: BodyError| {
            let cause = error.without_their_words();
            tracing::error!(%correlation_id, transaction, cause, "a document broke off; the answer was cut short");
            let event: AuditEvent = facts.event(Exchange {
                outcome: AuditOutcome::SeriousFailure,
                outcome_description: Some(format!("broken off while documents were sent: {cause}")),
                ..exchange.clone()
            });
            let audit = audit.clone();
            Box::pin(async move { audit.record_late([event]).await })
        })
    }

    fn refuse(
        &self,
        service: Service,
        correlation_id: &str,
        connection: &ConnectionInfo,
        began: Instant,
        refused: &Refused,
    ) -> Response<OutBody> {
        let transaction = refused.attempted.map_or("none", |transaction| transaction.number);
        self.metrics.count(transaction, "inbound", "fault", began.elapsed());
        tracing::warn!(
            correlation_id, service = service.name(), transaction, caller = %connection.caller(), remote = %connection.remote,
            code = ?refused.fault.code, subcodes = ?refused.fault.subcodes, "answered with a fault"
        );
        fault_response(refused)
    }

    fn encode(&self, taken: &Taken, addressing: Addressing, answer: Answer) -> Response<OutBody> {
        let Taken { version, multipart, .. } = *taken;
        let (transaction, relates_to) = (taken.context.transaction, addressing.relates_to.clone());
        let on_failure = self.on_stream_failure(taken);
        let simple_type = format!("{}; charset=UTF-8", version.media_type());
        // Retrieves answer as they were asked: a client that sent no MTOM may not read it either.
        let packaged = multipart && transaction.packaging == Packaging::Mtom;
        let encoded = match answer {
            Answer::Retrieve(retrieve) => {
                return encode_retrieve(transaction, version, packaged, &addressing, retrieve, on_failure);
            }
            Answer::Fetch(fetch) => {
                return fetched::encode_fetch(transaction, version, packaged, &addressing, fetch, on_failure);
            }
            Answer::Query(query, return_type) => {
                let mut result = Ok(());
                let bytes = answer::envelope(version, &addressing, None, |out| {
                    out.reserve(query.objects.len().saturating_mul(8192).min(MOST_RESERVED));
                    result = ebrs::write_query_response(out, &query, return_type);
                });
                match result {
                    Ok(()) => bytes,
                    Err(damaged) => {
                        tracing::error!(%damaged, "a stored object cannot be read");
                        let error = RegistryError::new(
                            ErrorCode::XDSRegistryError,
                            "a stored object is damaged; tell the operator",
                        );
                        answer::envelope(version, &addressing, None, |out| {
                            let failure = crate::model::response::QueryResponse::failure(vec![error]);
                            // A failure holds no objects that could be damaged.
                            let _ = ebrs::write_query_response(out, &failure, return_type);
                        })
                    }
                }
            }
            Answer::Discovery(reply) => {
                reply.envelope(version, addressing, self.actors.responding.home(), self.clock.now())
            }
            Answer::Location(reply) => reply.envelope(version, &addressing),
            Answer::Registry(registry) => answer::envelope(version, &addressing, None, |out| {
                ebrs::write_registry_response(out, registry.status, &registry.errors);
            }),
        };
        if !packaged {
            return response(200, &simple_type, answer::full(encoded));
        }
        match Package::new(version, &answer::message_token(), encoded, Vec::new(), Vec::new()) {
            Ok(package) => {
                response(200, &package.content_type(transaction.response_action), package.into_body(on_failure))
            }
            Err(error) => internal(version, relates_to, &error.to_string()),
        }
    }
}

impl Taken {
    /// Whether its caller may do this.
    fn permitted(&self) -> Result<(), Fault> {
        let Self { service, context, connection, .. } = self;
        match connection.access.decide(context, *service) {
            Decision::Permit => Ok(()),
            Decision::Deny(reason) => {
                tracing::warn!(
                    correlation_id = %context.correlation_id, transaction = context.transaction.number,
                    caller = %context.caller, reason, "denied"
                );
                Err(Fault::sender("This caller may not do this here; the operator of this server knows why.")
                    .with_status(403))
            }
        }
    }

    /// The action of its answer.
    fn response_action(&self) -> &'static str {
        if self.deferred.is_some() { DEFERRED_DISCOVERY_RESPONSE } else { self.context.transaction.response_action }
    }

    /// The headers of its answer on its connection.
    fn answer_addressing(&self) -> Addressing {
        Addressing {
            action: Some(self.response_action().to_owned()),
            message_id: Some(soap::new_message_id()),
            relates_to: self.addressing.message_id.clone(),
            ..Addressing::default()
        }
    }

    fn refused(&self, fault: Fault) -> Refused {
        Refused {
            version: self.version,
            relates_to: self.addressing.message_id.clone(),
            attempted: Some(self.context.transaction),
            fault,
        }
    }
}

/// The address that a client called, for the audit trail.
fn endpoint_of(connection: &ConnectionInfo, parts: &http::request::Parts) -> String {
    let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    format!("{}://{host}{}", connection.scheme, parts.uri.path())
}

/// The transaction that the `action` of a Content-Type names; a hint, where nothing better is to be had.
fn hinted(service: Service, parts: &http::request::Parts) -> Option<&'static Transaction> {
    let content_type = parts.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let packaging = crate::wire::mtom::Packaging::parse(content_type).ok()?;
    Transaction::find(service, packaging.action()?)
}

/// A code, and a community.
type Located = (String, Option<String>);

/// An error as it may be told to others than who asked: its code, and the community.
fn located(error: &RegistryError) -> Located {
    (error.code.without_their_words().to_owned(), error.location.clone().filter(|at| is_home(at)))
}

/// Whether a location names a community: what else may stand there is a peer's word.
fn is_home(location: &str) -> bool {
    HomeCommunityId::parse(location).is_ok()
}

fn unaudited(correlation_id: &str, error: &AuditError) -> Fault {
    tracing::error!(correlation_id, %error, "no answer without its audit record");
    Fault::receiver("The audit trail takes no records; nothing is answered without one. Tell the operator.")
}

fn internal(version: Version, relates_to: Option<String>, cause: &str) -> Response<OutBody> {
    tracing::error!(cause, "an answer could not be written");
    let fault = Fault::receiver("The answer could not be written; the log has the cause.");
    fault_response(&Refused { version, relates_to, attempted: None, fault })
}

/// The HTTP answer of a retrieve: its root part, and the documents behind it or in it.
pub fn encode_retrieve(
    transaction: &'static Transaction,
    version: Version,
    packaged: bool,
    addressing: &Addressing,
    retrieve: RetrieveResponse,
    on_failure: OnFailure,
) -> Response<OutBody> {
    let status = retrieve.status();
    if !packaged {
        let mut start = Vec::with_capacity(4096);
        soap::write_start(&mut start, version, addressing, None);
        xdsb::write_retrieve_start(&mut start, status, &retrieve.errors);
        let mut end = Vec::new();
        xdsb::write_retrieve_end(&mut end);
        soap::write_end(&mut end);
        let head = |document| {
            let mut head = Vec::new();
            xdsb::write_inline_start(&mut head, document);
            head
        };
        let heads = retrieve.documents.iter().map(head).collect();
        let inline = Inline { start, heads, tail: xdsb::DOCUMENT_END, sources: retrieve.sources, end };
        return response(200, &format!("{}; charset=UTF-8", version.media_type()), inline.into_body(on_failure));
    }
    let token = answer::message_token();
    let parts: Vec<Part> = retrieve
        .documents
        .iter()
        .enumerate()
        .map(|(number, document)| Part {
            content_id: answer::content_id(&token, number + 1),
            media_type: document.mime_type.clone(),
            size: document.size,
        })
        .collect();
    let root = answer::envelope(version, addressing, None, |out| {
        xdsb::write_retrieve_start(out, status, &retrieve.errors);
        for (document, part) in retrieve.documents.iter().zip(&parts) {
            xdsb::write_retrieved_include(out, document, &part.content_id);
        }
        xdsb::write_retrieve_end(out);
    });
    let package = Package::new(version, &token, root, parts, retrieve.sources);
    send_package(transaction, version, addressing, package, on_failure)
}

/// The HTTP answer that is a package, its length said where that is known.
fn send_package(
    transaction: &'static Transaction,
    version: Version,
    addressing: &Addressing,
    package: Result<Package, MtomError>,
    on_failure: OnFailure,
) -> Response<OutBody> {
    match package {
        Ok(package) => {
            let content_type = package.content_type(transaction.response_action);
            let length = package.content_length();
            let mut response = response(200, &content_type, package.into_body(on_failure));
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            response
        }
        Err(error) => internal(version, addressing.relates_to.clone(), &error.to_string()),
    }
}

/// The status as a label.
pub fn outcome_name(status: ResponseStatus) -> &'static str {
    match status {
        ResponseStatus::Success => "Success",
        ResponseStatus::PartialSuccess => "PartialSuccess",
        ResponseStatus::Failure => "Failure",
    }
}

fn describe(service: Service, request: &Request<Incoming>, connection: &ConnectionInfo) -> Response<OutBody> {
    let host = request.headers().get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    let address = format!("{}://{host}/services/{}", connection.scheme, service.name());
    match request.uri().query().and_then(|query| wsdl::describe(service, query, &address)) {
        Some(text) => response(200, "text/xml; charset=utf-8", answer::full(Bytes::from(text))),
        None => response(
            404,
            "text/plain; charset=utf-8",
            answer::full("GET ?wsdl describes this service; POST SOAP messages to it.\n"),
        ),
    }
}
