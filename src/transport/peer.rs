//! Outbound SOAP: one client per address, with its own connections; and a community behind its Responding
//! Gateways (ITI-38, 39, 55, 56, 63, 80), with its own budget and bounds.

mod adaptive;
mod client;
mod deferred;
mod discovery;
mod envelope;
mod fetch;
mod gateways;
mod location;
mod places;
pub mod profile;
mod provide;
mod received;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::time::Instant;

use super::audit_sink::AuditSink;
use super::awaited::{AnswersTo, Awaited};
use super::breaker::BreakerLimits;
use super::endpoint::{AuditFacts, query_facts};
use super::message::Message;
use super::metrics::Metrics;
use crate::actors::context::RequestContext;
use crate::actors::explain::{Doing, Noted};
use crate::actors::ports::{Clock, Community, CommunityLoad, Delivery, Discovered, GatewayView, PeerFailure};
use crate::model::audit_event::{AuditNode, AuditOutcome, AuditSide, AuditedDocument, Exchange, NetworkAccessPoint};
use crate::model::discovery::{DiscoveryQuery, PatientLocation};
use crate::model::document::{BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::fetch::FetchResponse;
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::response::{QueryResponse, RegistryResponse};
use crate::model::stored_query::AdhocQuery;
use crate::transaction::{Transaction, TransactionId};
use crate::wire::ebrs;
use crate::wire::soap;
use crate::wire::xdsb;

pub use adaptive::AdaptiveLimits;
use client::Unanswered;
pub use client::{Outbound, SoapClient};
pub use discovery::belongs;
pub use envelope::{following_message_id, read_answer, read_envelope, request_envelope, request_envelope_with_id};
pub use fetch::fetch_response;
use gateways::Gateways;
pub use places::PlaceLimits;
use places::{Held, PeerPlaces};
pub use provide::TargetIn;
pub use received::retrieve_response;
use standing::Purpose;
pub use standing::Standings;

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
    /// What is learnt of peers, from one configuration to the next.
    pub standings: Arc<Standings>,
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
    /// Submissions to it, and what waits for one of those to end.
    pub places: PlaceLimits,
    /// Objects of one answer.
    pub results: usize,
    /// When it is not worth asking.
    pub breaker: BreakerLimits,
}

/// A community behind its Responding Gateways.
pub struct RemoteCommunity {
    home: HomeCommunityId,
    gateways: Gateways,
    /// Where it is asked for patients, if elsewhere.
    discovery: Option<Gateways>,
    limits: PeerLimits,
    places: Arc<PeerPlaces>,
    services: PeerServices,
    answers_to: Option<AnswersTo>,
    target_in: TargetIn,
    /// Where it answers about patients, if by messages of its own.
    discovery_answers_to: Option<AnswersTo>,
}

impl RemoteCommunity {
    /// The community `home` at the clients' addresses, in order of preference. What has been learnt of one that is
    /// asked there already holds for this one too, within these limits from now on.
    pub fn new(
        home: HomeCommunityId,
        clients: impl IntoIterator<Item = SoapClient>,
        limits: PeerLimits,
        services: PeerServices,
    ) -> Self {
        let clients: Vec<SoapClient> = clients.into_iter().collect();
        let standings = &services.standings;
        let places = standings.places(&home, clients.iter().map(SoapClient::uri), limits, &services.metrics);
        let breaker = |uri: &Uri| standings.breaker(&home, Purpose::Gateway, uri, limits, &places);
        Self {
            gateways: Gateways::new(clients, breaker),
            home,
            discovery: None,
            limits,
            places,
            services,
            answers_to: None,
            target_in: TargetIn::default(),
            discovery_answers_to: None,
        }
    }

    /// Has its answers sent there instead of taking them on the connection.
    #[must_use]
    pub fn with_answers_to(self, answers_to: Option<AnswersTo>) -> Self {
        Self { answers_to, ..self }
    }

    fn outbound(&self, context: &RequestContext, root: Vec<u8>) -> Outbound {
        // Whoever asked us may not name itself: what holds for it holds at the next gateway too.
        let asker = context.asker.community.iter().filter(|asker| !context.via.contains(asker));
        let passed = context.via.iter().chain(asker).map(HomeCommunityId::as_str);
        let passed: Vec<&str> = passed.chain([&*self.services.own_home]).collect();
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
        (transaction, facts): (&'static Transaction, &AuditFacts),
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Message, Unanswered> {
        self.ask_with(context, client, (transaction, facts), context.security.as_deref(), payload).await
    }

    /// The same with those header blocks besides the addressing.
    async fn ask_with(
        &self,
        context: &RequestContext,
        client: &SoapClient,
        (transaction, facts): (&'static Transaction, &AuditFacts),
        security: Option<&str>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Message, Unanswered> {
        let (uri, profile) = (client.uri(), client.profile());
        let Some(answers_to) = &self.answers_to else {
            let addressing = profile.addressing(transaction, uri, soap::new_message_id(), None);
            let root = profile.envelope(&addressing, security, payload);
            return client.ask(transaction, || self.outbound(context, root.clone())).await;
        };
        let Some(call) = answers_to.enter(transaction, &self.home, facts) else {
            return Err(PeerFailure::NotAsked("too many answers are awaited".to_owned()).into());
        };
        let addressing = profile.addressing(transaction, uri, call.message_id(), Some(&answers_to.address));
        let root = profile.envelope(&addressing, security, payload);
        let outbound = || Outbound { asynchronous: true, ..self.outbound(context, root.clone()) };
        client.ask_for_later(transaction, outbound, call).await
    }

    async fn call_query(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        query: &AdhocQuery,
        facts: &AuditFacts,
    ) -> Result<QueryResponse, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayQuery);
        let message = self.ask(context, client, (transaction, facts), |out| ebrs::write_query(out, query)).await?;
        let began = Instant::now();
        let answer = read_answer(&message.root, client.bounds.xml, ebrs::read_query_response)?;
        context.steps.took(Some(&self.home), Doing::Read, began);
        if answer.objects.len() > self.limits.results {
            return Err(PeerFailure::TooMany(self.limits.results).into());
        }
        Ok(answer)
    }

    async fn call_retrieve(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        requests: &[DocumentRequest],
        facts: &AuditFacts,
    ) -> Result<RetrieveResponse, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayRetrieve);
        let message =
            self.ask(context, client, (transaction, facts), |out| xdsb::write_retrieve(out, requests)).await?;
        Ok(retrieve_response(message, client.bounds.xml)?)
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
            let call = |client, _: Held| self.call_query(client, context, query, &facts);
            self.bounded(context, transaction, &facts, &self.gateways, call, |answer| {
                (answer.status, &answer.errors, &[])
            })
            .await
        })
    }

    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<FetchResponse, PeerFailure>> {
        Box::pin(self.ask_for_entries(context, query))
    }

    fn provide<'a>(
        &'a self,
        context: &'a RequestContext,
        delivery: Delivery,
    ) -> BoxFuture<'a, Result<RegistryResponse, PeerFailure>> {
        Box::pin(self.send_documents(context, delivery))
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
            let call = |client, _: Held| self.call_retrieve(client, context, &requests, &facts);
            self.bounded(context, transaction, &facts, &self.gateways, call, |answer| {
                (answer.status(), &answer.errors, &answer.documents)
            })
            .await
        })
    }

    fn gateways(&self) -> Vec<GatewayView> {
        self.gateways.views(Instant::now())
    }
}
