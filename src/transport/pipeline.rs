//! The one way of every inbound message: TLS identity → limits → SOAP and addressing
//! → security header → access decision → a place ([`super::admission`]) → actor → durable audit → answer. No
//! transaction has a private copy of a step; what is its own is in [`super::endpoint`]. What comes in is read in
//! `pipeline/inbound.rs`, answers are written in `encode.rs`, what stays of a request is in `record.rs`; what is done for
//! an answer that goes elsewhere in `later.rs` and `deferred.rs`. Answers that come as messages to the calls that
//! wait for them go through `posted.rs`, those that are refused through `unwanted.rs`.

mod deferred;
mod encode;
mod fetched;
mod impostors;
mod inbound;
mod later;
pub mod posted;
mod record;
mod unwanted;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::admission::{Gate, GateLimits, Place, lane_of};
use super::answer::{self, OutBody};
use super::audit_sink::AuditSink;
use super::awaited::Awaited;
use super::callbacks::Callbacks;
use super::callers::Callers;
use super::endpoint::{self, Answer, AuditFacts, Payload};
use super::message::{Attachments, BodyStream, Bounds, Message, MessageError, receive};
use super::metrics::Metrics;
use super::peer::profile::soap_action;
use super::soap_trace;
use super::telemetry::Telemetry;
use crate::actors::access::Decision;
use crate::actors::askers::{Asked, Asker};
use crate::actors::context::{Lane, RequestContext, Trace};
use crate::actors::document_registry::DocumentRegistry;
use crate::actors::document_repository::DocumentRepository;
use crate::actors::explain::{Explanations, Steps};
use crate::actors::initiating_gateway::InitiatingGateway;
use crate::actors::ports::Clock;
use crate::actors::responding_gateway::RespondingGateway;
use crate::model::discovery::MessageHeader;
use crate::model::emergency::EmergencyClaim;
use crate::model::response::{RegistryError, ResponseStatus};
use crate::store::audit_trail::AuditError;
use crate::transaction::{DEFERRED_DISCOVERY_RESPONSE, Packaging, Service, Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::soap::{self, Addressing, Fault, Version};
use encode::{describe, response};
pub use encode::{encode_retrieve, fault_response};
pub use inbound::{ConnectionInfo, Inbound, Refused, read_request};
use inbound::{Read, gateways_passed, read_envelope};
use record::located;
use unwanted::{Came, Unwanted};

/// The HTTP header that tells a request's correlation id, to clients and to the peers we ask.
pub const CORRELATION_ID: http::HeaderName = http::HeaderName::from_static("x-correlation-id");

/// The HTTP header in which gateways of our kind name themselves, so that no request runs in circles.
pub const VIA: http::HeaderName = http::HeaderName::from_static("x-causeway-via");

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
                let came = Came { service, connection, correlation_id: &correlation_id, began };
                return match posted.deferred.take() {
                    Some(deferred) => self.take_deferred(posted, *deferred, message, came).await,
                    None => self.take_answer(posted, message, came).await,
                };
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
            lane: lane_of(&*connection.access, &connection.caller(), inbound.emergency),
            emergency: inbound.emergency,
            security: inbound.security.clone(),
            asker: self.asker(connection, &via, asked, &correlation_id),
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
        // Who is refused is told so here: nobody is called for that.
        let elsewhere = match &taken.context.asker.refusal {
            Some(_) => None,
            None => elsewhere.or_else(|| self.deferred(&mut taken, &mut payload)),
        };
        if let Some(elsewhere) = elsewhere {
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
        if refused.attempted.is_none() {
            refused.attempted = unwanted::claimed(parts);
            refused.is_answer = refused.attempted.is_some();
        }
        if refused.is_answer {
            let came = Came { service, connection, correlation_id, began };
            let unread = Unwanted::new(refused.fault.clone(), "it cannot be read, or no answers are taken there");
            return self.refuse_answer(came, refused, unread).await;
        }
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
            emergency: EmergencyClaim::No,
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
            is_answer: false,
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

fn unaudited(correlation_id: &str, error: &AuditError) -> Fault {
    tracing::error!(correlation_id, %error, "no answer without its audit record");
    Fault::receiver("The audit trail takes no records; nothing is answered without one. Tell the operator.")
}

/// The status as a label.
pub fn outcome_name(status: ResponseStatus) -> &'static str {
    match status {
        ResponseStatus::Success => "Success",
        ResponseStatus::PartialSuccess => "PartialSuccess",
        ResponseStatus::Failure => "Failure",
    }
}
