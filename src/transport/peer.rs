//! Outbound SOAP: one client per address, with its own connections, budget and bound; and a
//! community behind its Responding Gateway (ITI-38, ITI-39, ITI-55).

mod client;
mod deferred;
mod discovery;
mod envelope;
mod received;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::audit_sink::AuditSink;
use super::awaited::{AnswersTo, Awaited};
use super::breaker::{Breaker, BreakerLimits, Refused};
use super::endpoint::{AuditFacts, query_facts};
use super::message::Message;
use super::metrics::Metrics;
use super::pipeline::outcome_name;
use crate::actors::context::RequestContext;
use crate::actors::explain::Doing;
use crate::actors::ports::{Clock, Community, Discovered, PeerFailure};
use crate::model::audit_event::{
    AuditEvent, AuditNode, AuditOutcome, AuditSide, AuditedDocument, Exchange, NetworkAccessPoint,
};
use crate::model::discovery::DiscoveryQuery;
use crate::model::document::{BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::stored_query::AdhocQuery;
use crate::transaction::{Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::soap::{Addressing, Version};
use crate::wire::xdsb;

pub use client::{Outbound, SoapClient};
pub use discovery::belongs;
use envelope::request_addressing;
pub use envelope::{read_answer, read_envelope, request_envelope, request_envelope_with_id};
pub use received::retrieve_response;

/// A community that has not answered within this time is taken for one that does not.
const TELLING: Duration = Duration::from_secs(1);

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
    /// Where it answers about patients, if by messages of its own.
    discovery_answers_to: Option<AnswersTo>,
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
            discovery_answers_to: None,
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
        self.ask_with(context, client, transaction, context.security.as_deref(), payload).await
    }

    /// The same with those header blocks besides the addressing.
    async fn ask_with(
        &self,
        context: &RequestContext,
        client: &SoapClient,
        transaction: &'static Transaction,
        security: Option<&str>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Message, PeerFailure> {
        let uri = client.uri();
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

impl Community for RemoteCommunity {
    fn discover<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a DiscoveryQuery,
    ) -> BoxFuture<'a, Result<Discovered, PeerFailure>> {
        Box::pin(self.ask_for_patient(context, query))
    }

    fn answers_later(&self) -> bool {
        self.discovery_answers_to.is_some()
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
