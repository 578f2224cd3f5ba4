//! Asking a community for a patient (ITI-55).

use std::sync::LazyLock;

use http::Uri;
use tokio::time::Instant;

use super::client::Unanswered;
use super::gateways::Gateways;
use super::places::Held;
use super::standing::Purpose;
use super::{Message, RemoteCommunity, SoapClient, read_envelope};
use crate::actors::context::RequestContext;
use crate::actors::ports::{Discovered, PeerFailure};
use crate::model::discovery::{DiscoveryAnswer, DiscoveryQuery, Problem, Refusal};
use crate::model::document::RetrievedDocument;
use crate::model::response::{ErrorCode, RegistryError, ResponseStatus};
use crate::model::time::Dtm;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::endpoint::AuditFacts;
use crate::transport::endpoint::iti55::outbound_facts;
use crate::wire::hl7v3::{self, ReceivedAnswer};
use crate::wire::xcpd;

/// ResponderBusy, as all else says it (§3.55.4.2.2, case 5).
static BUSY: LazyLock<[RegistryError; 1]> =
    LazyLock::new(|| [RegistryError::new(ErrorCode::XDSRegistryBusy, "ResponderBusy")]);

/// Whether an answer is one to a query: it names the message or the query. A mix-up of two answers
/// would be one of two patients.
pub fn belongs(received: &ReceivedAnswer, query: &DiscoveryQuery) -> bool {
    received.target.as_ref() == Some(&query.header.message_id) || received.query_id.as_ref() == Some(&query.query_id)
}

/// What audit says of an answer.
fn judge(discovered: &Discovered) -> (ResponseStatus, &[RegistryError], &[RetrievedDocument]) {
    match discovered.answer {
        DiscoveryAnswer::Refused(Refusal { problem: Some(Problem::ResponderBusy), .. }) => {
            (ResponseStatus::Failure, &*BUSY, &[])
        }
        DiscoveryAnswer::Refused(_) => (ResponseStatus::Failure, &[], &[]),
        _ => (ResponseStatus::Success, &[], &[]),
    }
}

impl RemoteCommunity {
    /// The same, asked for patients at another address.
    #[must_use]
    pub fn with_discovery_at(self, client: SoapClient) -> Self {
        let standings = &self.services.standings;
        let breaker = |uri: &Uri| standings.breaker(&self.home, Purpose::Discovery, uri, self.limits, &self.places);
        let discovery = Some(Gateways::new([client], breaker));
        Self { discovery, ..self }
    }

    pub(super) async fn ask_for_patient(
        &self,
        context: &RequestContext,
        query: &DiscoveryQuery,
    ) -> Result<Discovered, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let gateways = self.discovery.as_ref().unwrap_or(&self.gateways);
        let Some(to) = &self.discovery_answers_to else {
            let facts = outbound_facts(query);
            let call = |client, _: Held| self.call_discover(client, context, query, &facts);
            return self.bounded(context, transaction, &facts, gateways, call, judge).await;
        };
        let query = Self::deferred(query, to);
        // Before the time of the whole call is up: who has taken the question is no failure of the network.
        let until = context.deadline.min(Instant::now() + self.limits.budget);
        let facts = outbound_facts(&query);
        let call = |client, place| self.call_discover_later(client, context, (&query, &facts), to, (until, place));
        self.bounded(context, transaction, &facts, gateways, call, judge).await
    }

    /// The header blocks of a query: who asks, and how long the identifier may be kept that is told.
    pub(super) fn discovery_headers(context: &RequestContext, query: &DiscoveryQuery) -> Option<String> {
        let time_to_live = query.keep.map(xcpd::time_to_live);
        match (context.security.as_deref(), time_to_live) {
            (Some(security), Some(time_to_live)) => Some(format!("{security}{time_to_live}")),
            (security, time_to_live) => time_to_live.or_else(|| security.map(str::to_owned)),
        }
    }

    async fn call_discover(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        query: &DiscoveryQuery,
        facts: &AuditFacts,
    ) -> Result<Discovered, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let (created, address) = (Dtm::from_timestamp(self.services.clock.now()), client.uri().to_string());
        let prefix = client.profile().v3_home_prefix;
        let write = |out: &mut Vec<u8>| hl7v3::write_request_to(out, query, created, Some(&address), prefix);
        let headers = Self::discovery_headers(context, query);
        let message = self.ask_with(context, client, (transaction, facts), headers.as_deref(), write).await?;
        Ok(self.read_discovered(client, &message, query)?)
    }

    /// What a message answers to a query.
    pub(super) fn read_discovered(
        &self,
        client: &SoapClient,
        message: &Message,
        query: &DiscoveryQuery,
    ) -> Result<Discovered, PeerFailure> {
        let (received, time_to_live) = read_envelope(&message.root, client.bounds.xml, |envelope| {
            Ok((hl7v3::read_response(envelope.payload)?, envelope.correlation_ttl.clone()))
        })?;
        if !belongs(&received, query) {
            return Err(PeerFailure::Garbage("the answer is one to another query".into()));
        }
        let expires = time_to_live.and_then(|text| xcpd::expiry(&text, self.services.clock.now()));
        Ok(Discovered { answer: received.answer, expires })
    }
}
