//! Outbound SOAP: one client per address, with its own connections, budget and bound; and a
//! community behind its Responding Gateway (ITI-38, ITI-39, ITI-55, ITI-56).

mod adaptive;
mod client;
mod discovery;
mod envelope;
mod location;
mod places;
pub mod profile;
mod received;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::time::{Instant, timeout_at};

use super::audit_sink::AuditSink;
use super::awaited::{AnswersTo, Awaited};
use super::breaker::{Breaker, BreakerLimits, Refused};
use super::endpoint::{AuditFacts, query_facts};
use super::message::Message;
use super::metrics::Metrics;
use super::pipeline::outcome_name;
use crate::actors::context::RequestContext;
use crate::actors::explain::{Doing, Noted};
use crate::actors::ports::{Clock, Community, CommunityLoad, Discovered, PeerFailure};
use crate::model::audit_event::{
    AuditEvent, AuditNode, AuditOutcome, AuditSide, AuditedDocument, Exchange, NetworkAccessPoint,
};
use crate::model::discovery::{DiscoveryQuery, PatientLocation};
use crate::model::document::{BoxFuture, DocumentRequest, RetrieveResponse, RetrievedDocument};
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::response::{ErrorCode, QueryResponse, RegistryError};
use crate::model::stored_query::AdhocQuery;
use crate::transaction::{Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::soap;
use crate::wire::xdsb;

pub use adaptive::AdaptiveLimits;
pub use client::{Outbound, SoapClient};
pub use discovery::belongs;
pub use envelope::{read_answer, read_envelope, request_envelope, request_envelope_with_id};
use places::PeerPlaces;
pub use received::retrieve_response;

/// A community that has not answered within this time is taken for one that does not.
const TELLING: Duration = Duration::from_secs(1);

/// What a community says that has too much to do (ITI TF-3 Table 4.2.4.1-2).
const BUSY: [ErrorCode; 2] = [ErrorCode::XDSRegistryBusy, ErrorCode::XDSRepositoryBusy];

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
    /// Requests to it at the same time, while it is well and while it is not.
    pub in_flight: AdaptiveLimits,
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
    places: PeerPlaces,
    breaker: Breaker,
    services: PeerServices,
    answers_to: Option<AnswersTo>,
}

impl RemoteCommunity {
    /// The community `home` at the client's address.
    pub fn new(home: HomeCommunityId, client: SoapClient, limits: PeerLimits, services: PeerServices) -> Self {
        let numbers = services.metrics.places(home.as_str());
        Self {
            home,
            client,
            discovery: None,
            limits,
            places: PeerPlaces::new(limits.in_flight, limits.queue, numbers),
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
        transaction: &'static Transaction,
        call: impl Future<Output = Result<T, PeerFailure>>,
        is_busy: impl Fn(&T) -> bool,
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
        let turn = self.places.last_turn(transaction, asked, until);
        let place = tokio::select! {
            biased;
            failure = context.given_up() => return Err(failure),
            place = self.places.admit(context, turn) => place,
        };
        match self.places.words() {
            Some(words) => context.steps.came_of(Some(&self.home), Doing::Queue, asked, || words.into()),
            None => context.steps.took(Some(&self.home), Doing::Queue, asked),
        }
        let _place = place?;
        // Behind the queue: what waited in it while the others failed is not to try in vain as well.
        let began = Instant::now();
        let leave = self.breaker.enter(began).map_err(lately)?;
        let mut pace = self.places.began(transaction, began);
        let result = tokio::select! {
            biased;
            failure = context.given_up() => return Err(failure),
            result = timeout_at(until, pace.watch(transaction, call)) => {
                result.unwrap_or_else(|_| Err(PeerFailure::Timeout(began.elapsed().as_millis() as u64)))
            }
        };
        match &result {
            // One that had hardly any time says nothing of the community.
            Err(PeerFailure::Timeout(_)) if began.elapsed() < TELLING.min(self.limits.budget / 2) => drop(leave),
            Err(failure @ (PeerFailure::Timeout(_) | PeerFailure::Unreachable(_) | PeerFailure::Untrusted(_))) => {
                match failure {
                    PeerFailure::Timeout(_) => pace.unanswered(Instant::now()),
                    PeerFailure::Unreachable(_) => pace.refused(Instant::now()),
                    // That is no matter of how much it is asked.
                    _ => {}
                }
                if leave.failed(Instant::now()) {
                    tracing::warn!(
                        community = %self.home, seconds = self.limits.breaker.pause.as_secs(),
                        "a community does not answer, and is not asked for a while"
                    );
                }
            }
            result => {
                match result {
                    Ok(answer) if is_busy(answer) => pace.refused(Instant::now()),
                    Err(PeerFailure::Overloaded) => pace.refused(Instant::now()),
                    Err(PeerFailure::NotAsked(_)) => {}
                    _ => pace.answered(Instant::now()),
                }
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
        judge: impl Fn(&T) -> (crate::model::response::ResponseStatus, &[RegistryError], &[RetrievedDocument]),
    ) -> Result<T, PeerFailure> {
        let began = Instant::now();
        let until = context.deadline.min(began + self.limits.budget);
        let is_busy = |answer: &T| judge(answer).1.iter().any(|error| BUSY.contains(&error.code));
        let result = self.admitted(context, until, transaction, call, is_busy).await;
        let client = match (&self.discovery, transaction.id) {
            (Some(elsewhere), TransactionId::CrossGatewayPatientDiscovery | TransactionId::PatientLocationQuery) => {
                elsewhere
            }
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
        let noted = Some(Noted { steps: context.steps.clone(), community: Some(self.home.clone()) });
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
        let (uri, security, profile) = (client.uri(), context.security.as_deref(), client.profile());
        let Some(answers_to) = &self.answers_to else {
            let addressing = profile.addressing(transaction, uri, soap::new_message_id(), None);
            let root = profile.envelope(&addressing, security, payload);
            return client.ask(transaction, || self.outbound(context, root.clone())).await;
        };
        let Some(call) = answers_to.awaited.enter(transaction) else {
            return Err(PeerFailure::NotAsked("too many answers are awaited".to_owned()));
        };
        let addressing = profile.addressing(transaction, uri, call.message_id(), Some(&answers_to.address));
        let root = profile.envelope(&addressing, security, payload);
        let outbound = || Outbound { asynchronous: true, ..self.outbound(context, root.clone()) };
        client.ask_for_later(transaction, outbound, call).await
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
    fn load(&self) -> Option<CommunityLoad> {
        Some(self.places.load())
    }

    fn discover<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a DiscoveryQuery,
    ) -> BoxFuture<'a, Result<Discovered, PeerFailure>> {
        Box::pin(self.ask_for_patient(context, query))
    }

    fn locate<'a>(
        &'a self,
        context: &'a RequestContext,
        patient: &'a PatientId,
    ) -> BoxFuture<'a, Result<Vec<PatientLocation>, PeerFailure>> {
        Box::pin(self.ask_where(context, patient))
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
