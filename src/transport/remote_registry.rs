//! A Document Registry across the network, for a repository of ours (ITI-42 outbound).

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::endpoint::submission_facts;
use super::peer::{Outbound, PeerServices, SoapClient, following_message_id, read_answer, request_envelope_with_id};
use super::pipeline::outcome_name;
use crate::actors::context::RequestContext;
use crate::actors::explain::Noted;
use crate::actors::ports::{PeerFailure, RegistryPort};
use crate::model::audit_event::{AuditOutcome, Exchange};
use crate::model::document::BoxFuture;
use crate::model::response::{ErrorCode, RegistryError, RegistryResponse};
use crate::model::rim::RegistryObject;
use crate::store::DocumentLocator;
use crate::transaction::{Transaction, TransactionId};
use crate::wire::{ebrs, xml};

/// The registry at a client's address.
pub struct RemoteRegistry {
    client: SoapClient,
    services: PeerServices,
    xml: xml::Limits,
    budget: Duration,
}

impl RemoteRegistry {
    /// A registry at the client's address, with so much time for one answer.
    pub fn new(client: SoapClient, services: PeerServices, xml: xml::Limits, budget: Duration) -> Self {
        Self { client, services, xml, budget }
    }

    async fn call(
        &self,
        context: &RequestContext,
        objects: &[RegistryObject<'static>],
    ) -> Result<RegistryResponse, PeerFailure> {
        let transaction = Transaction::of(TransactionId::RegisterDocumentSet);
        let (uri, security) = (self.client.uri(), context.security.as_deref());
        let id = following_message_id(context, transaction);
        let root = request_envelope_with_id(transaction, uri, security, id, |out| ebrs::write_submit(out, objects));
        let outbound = Outbound {
            trace: Some(context.trace.clone()),
            noted: Some(Noted { steps: context.steps.clone(), community: None }),
            ..Outbound::simple(root, Some(std::sync::Arc::clone(&context.correlation_id)))
        };
        let message = self.client.call(transaction, outbound).await?;
        read_answer(&message.root, self.xml, ebrs::read_registry_response)
    }
}

impl RegistryPort for RemoteRegistry {
    fn precheck<'a>(
        &'a self,
        _context: &'a RequestContext,
        _objects: Vec<RegistryObject<'static>>,
    ) -> BoxFuture<'a, Vec<RegistryError>> {
        // A repository must not judge metadata that is another actor's (ITI TF-2 §3.41.4.1.3.2).
        Box::pin(async { Vec::new() })
    }

    fn register<'a>(
        &'a self,
        context: &'a RequestContext,
        objects: Vec<RegistryObject<'static>>,
        _documents: Vec<DocumentLocator>,
    ) -> BoxFuture<'a, RegistryResponse> {
        Box::pin(async move {
            let transaction = Transaction::of(TransactionId::RegisterDocumentSet);
            let facts = submission_facts(&objects);
            let began = Instant::now();
            // Not the request's deadline, which may have passed while its documents came.
            let result = tokio::select! {
                result = timeout(self.budget, self.call(context, &objects)) =>
                    result.unwrap_or_else(|_| Err(PeerFailure::Timeout(began.elapsed().as_millis() as u64))),
                () = context.cut.cancelled() => Err(PeerFailure::Unreachable("this broker stops".into())),
            };
            let exchange = self.services.exchange(context, transaction, self.client.uri(), &facts);
            let (response, events, outcome) = match result {
                Ok(response) => {
                    let events = facts.events(exchange, response.status, &response.errors, &[]);
                    let outcome = outcome_name(response.status);
                    (response, events, outcome)
                }
                Err(failure) => {
                    tracing::warn!(correlation_id = %context.correlation_id, transaction = "ITI-42", failure = %failure.without_their_words(), "the registry did not answer");
                    let error = RegistryError::new(
                        ErrorCode::XDSRegistryNotAvailable,
                        format!("the registry {failure}; nothing was registered as far as is known"),
                    );
                    let failed = Exchange {
                        outcome: AuditOutcome::SeriousFailure,
                        outcome_description: Some(error.code.as_str().to_owned()),
                        ..exchange
                    };
                    (RegistryResponse::from_errors(vec![error]), vec![facts.event(failed)], "unavailable")
                }
            };
            self.services.metrics.count(transaction.number, "registry", outcome, began.elapsed());
            self.services.audit.record_late(events).await;
            response
        })
    }

    fn shares_store(&self) -> bool {
        false
    }
}
