//! Asking a community for a patient (ITI-55).

use std::sync::LazyLock;

use super::client::Unanswered;
use super::gateways::Gateways;
use super::{RemoteCommunity, SoapClient, read_envelope};
use crate::actors::context::RequestContext;
use crate::actors::ports::{Discovered, PeerFailure};
use crate::model::discovery::{DiscoveryAnswer, DiscoveryQuery, Problem, Refusal};
use crate::model::response::{ErrorCode, RegistryError, ResponseStatus};
use crate::model::time::Dtm;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::endpoint::iti55::outbound_facts;
use crate::wire::hl7v3::{self, ReceivedAnswer};
use crate::wire::xcpd;

/// Matches of one answer at most: a community that knows so many knows nobody.
const MOST_MATCHES: usize = 100;

/// ResponderBusy, as all else says it (§3.55.4.2.2, case 5).
static BUSY: LazyLock<[RegistryError; 1]> =
    LazyLock::new(|| [RegistryError::new(ErrorCode::XDSRegistryBusy, "ResponderBusy")]);

/// Whether an answer is one to a query: it names the message or the query. A mix-up of two answers
/// would be one of two patients.
pub fn belongs(received: &ReceivedAnswer, query: &DiscoveryQuery) -> bool {
    received.target.as_ref() == Some(&query.header.message_id) || received.query_id.as_ref() == Some(&query.query_id)
}

impl RemoteCommunity {
    /// The same, asked for patients at another address.
    #[must_use]
    pub fn with_discovery_at(self, client: SoapClient) -> Self {
        Self { discovery: Some(Gateways::new([client], self.limits.breaker)), ..self }
    }

    pub(super) async fn ask_for_patient(
        &self,
        context: &RequestContext,
        query: &DiscoveryQuery,
    ) -> Result<Discovered, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let facts = outbound_facts(query);
        let gateways = self.discovery.as_ref().unwrap_or(&self.gateways);
        let call = |client| self.call_discover(client, context, query);
        self.bounded(context, transaction, &facts, gateways, call, |discovered| match discovered.answer {
            DiscoveryAnswer::Refused(Refusal { problem: Some(Problem::ResponderBusy), .. }) => {
                (ResponseStatus::Failure, &*BUSY, &[])
            }
            DiscoveryAnswer::Refused(_) => (ResponseStatus::Failure, &[], &[]),
            _ => (ResponseStatus::Success, &[], &[]),
        })
        .await
    }

    async fn call_discover(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        query: &DiscoveryQuery,
    ) -> Result<Discovered, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let (created, address) = (Dtm::from_timestamp(self.services.clock.now()), client.uri().to_string());
        let prefix = client.profile().v3_home_prefix;
        let write = |out: &mut Vec<u8>| hl7v3::write_request_to(out, query, created, Some(&address), prefix);
        let message = self.ask(context, client, transaction, write).await?;
        let (received, time_to_live) = read_envelope(&message.root, client.bounds.xml, |envelope| {
            Ok((hl7v3::read_response(envelope.payload)?, envelope.correlation_ttl.clone()))
        })?;
        if !belongs(&received, query) {
            return Err(PeerFailure::Garbage("the answer is one to another query".into()).into());
        }
        if matches!(&received.answer, DiscoveryAnswer::Matches(matches) if matches.len() > MOST_MATCHES) {
            return Err(PeerFailure::TooMany(MOST_MATCHES).into());
        }
        let expires = time_to_live.and_then(|text| xcpd::expiry(&text, self.services.clock.now()));
        Ok(Discovered { answer: received.answer, expires })
    }
}
