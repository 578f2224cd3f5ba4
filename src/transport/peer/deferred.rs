//! Asking a community for a patient whose answer comes as a message of its own (ITI TF-2 §3.55.6, Deferred
//! Response Option).
//!
//! The call waits under the identifier of its query, which is a random number that only the peer asked has
//! seen. Who posts the answer must be known as that peer too, see [`crate::transport::callers`].

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::client::{SoapClient, Unanswered};
use super::places::Held;
use super::{Outbound, RemoteCommunity, read_envelope};
use crate::actors::context::RequestContext;
use crate::actors::ports::{Discovered, PeerFailure};
use crate::model::discovery::{DiscoveryQuery, Priority};
use crate::model::time::Dtm;
use crate::transaction::{DEFERRED_DISCOVERY, Transaction, TransactionId};
use crate::transport::awaited::{AnswersTo, Question};
use crate::transport::endpoint::AuditFacts;
use crate::wire::hl7v3;
use crate::wire::soap::Addressing;

impl RemoteCommunity {
    /// The same, whose answers about patients are sent there.
    #[must_use]
    pub fn with_discovery_answered_at(self, answers_to: Option<AnswersTo>) -> Self {
        Self { discovery_answers_to: answers_to, ..self }
    }

    /// A query as it is asked when its answer comes later.
    pub(super) fn deferred(query: &DiscoveryQuery, to: &AnswersTo) -> DiscoveryQuery {
        DiscoveryQuery { priority: Priority::Deferred, respond_to: Some(to.address.clone()), ..query.clone() }
    }

    /// Asks, and waits for the answer until then; one on the connection is taken too. The place is given back when the
    /// question is taken: while its answer is waited for nothing is asked of the peer, and what waits has a bound of
    /// its own.
    pub(super) async fn call_discover_later(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        (query, facts): (&DiscoveryQuery, &AuditFacts),
        to: &AnswersTo,
        (until, place): (Instant, Held),
    ) -> Result<Discovered, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let id = query.query_id.extension.as_deref().and_then(|id| Uuid::try_parse(id).ok());
        let (community, facts) = (self.home.clone(), Some(Arc::new(facts.clone())));
        let question = Question { transaction, community, of_it_alone: true, facts };
        let call = to.awaited.enter(id.unwrap_or_else(Uuid::new_v4), question);
        let Some(mut call) = call else {
            return Err(PeerFailure::NotAsked("too many answers are awaited".to_owned()).into());
        };
        let profile = client.profile();
        let addressing = Addressing {
            action: Some(DEFERRED_DISCOVERY.to_owned()),
            ..profile.addressing(transaction, client.uri(), call.message_id(), None)
        };
        let (created, address) = (Dtm::from_timestamp(self.services.clock.now()), client.uri().to_string());
        let headers = Self::discovery_headers(context, query);
        let root = profile.envelope(&addressing, headers.as_deref(), |out| {
            hl7v3::write_request_to(out, query, created, Some(&address), profile.v3_home_prefix);
        });
        let outbound = || Outbound { action: Some(DEFERRED_DISCOVERY), ..self.outbound(context, root.clone()) };
        let message = match client.ask(transaction, outbound).await {
            Ok(message) => message,
            // Some answer before they acknowledge: whatever becomes of that, its sender was told that it is taken.
            Err(unanswered) => {
                let answer = call.answered().ok_or(unanswered)?;
                return Ok(self.read_discovered(client, &answer, query)?);
            }
        };
        let taken = read_envelope(&message.root, client.bounds.xml, |envelope| {
            if envelope.payload.local() != hl7v3::ACKNOWLEDGEMENT {
                return Ok(None);
            }
            hl7v3::read_acknowledgement(envelope.payload).map(Some)
        })?;
        match taken {
            None => return Ok(self.read_discovered(client, &message, query)?),
            Some(Err(code)) => return Err(PeerFailure::Declined(code).into()),
            Some(Ok(())) => {}
        }
        drop(message);
        place.give_back();
        match timeout_at(until, call.answer()).await {
            Ok(Ok(answer)) => Ok(self.read_discovered(client, &answer, query)?),
            // The question is taken: it is not for another gateway, for which there would be no place either.
            Ok(Err(failure)) => Err(Unanswered::for_good(failure)),
            Err(_) => Err(PeerFailure::NotYet.into()),
        }
    }
}
