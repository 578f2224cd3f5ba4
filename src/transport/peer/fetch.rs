//! Asking a community for a patient's entries with their documents (ITI-63).

use super::RemoteCommunity;
use super::client::{SoapClient, Unanswered};
use super::envelope::read_answer;
use super::places::Held;
use super::received::Announced;
use crate::actors::context::RequestContext;
use crate::actors::explain::Doing;
use crate::actors::ports::PeerFailure;
use crate::model::fetch::{FetchResponse, FetchedDocument};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, RegistryError, ResponseStatus};
use crate::model::rim::Body;
use crate::model::stored_query::AdhocQuery;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::endpoint::{AuditFacts, query_facts};
use crate::transport::message::Message;
use crate::wire::xml;
use crate::wire::{ebrs, xcf};
use tokio::time::Instant;

impl RemoteCommunity {
    pub(super) async fn ask_for_entries(
        &self,
        context: &RequestContext,
        query: &AdhocQuery,
    ) -> Result<FetchResponse, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayFetch);
        let mut request = Vec::new();
        ebrs::write_query(&mut request, query);
        let facts = query_facts(query, request.into());
        let call = |client, _: Held| self.call_fetch(client, context, query, &facts);
        self.bounded(context, transaction, &facts, &self.gateways, call, |fetched| {
            (fetched.answer.status, &fetched.answer.errors, &[])
        })
        .await
    }

    async fn call_fetch(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        query: &AdhocQuery,
        facts: &AuditFacts,
    ) -> Result<FetchResponse, Unanswered> {
        let transaction = Transaction::of(TransactionId::CrossGatewayFetch);
        let message = self.ask(context, client, (transaction, facts), |out| ebrs::write_query(out, query)).await?;
        let began = Instant::now();
        let fetched = fetch_response(message, client.bounds.xml)?;
        context.steps.took(Some(&self.home), Doing::Read, began);
        if fetched.documents.len() > self.limits.results {
            return Err(PeerFailure::TooMany(self.limits.results).into());
        }
        Ok(fetched)
    }
}

/// Reads a fetch's root part; the bodies stay behind it, to be drawn later. An entry without its document is
/// left out, and told.
///
/// # Errors
/// When the root part is not what it should be.
pub fn fetch_response(message: Message, limits: xml::Limits) -> Result<FetchResponse, PeerFailure> {
    let (answer, documents, bodies) = read_answer(&message.root, limits, |payload| {
        let (mut answer, objects) = xcf::read_fetch_response(payload)?;
        let (mut documents, mut bodies) = (Vec::new(), Announced::default());
        let mut without = 0_usize;
        for (object, content) in objects {
            let (Body::ExtrinsicObject { mime_type, .. }, Some(content)) = (&object.body, content) else {
                without += 1;
                continue;
            };
            let mime_type = mime_type.as_deref().unwrap_or("application/octet-stream").trim().to_owned();
            let size = bodies.add(documents.len(), content)?;
            documents.push(FetchedDocument { mime_type, size });
            answer.objects.push(PackedObject::pack(&object));
        }
        if without > 0 {
            let context = format!("{without} objects came without a document; they are left out");
            answer.errors.push(RegistryError::new(ErrorCode::XDSDocumentUniqueIdError, context));
            if answer.status == ResponseStatus::Success {
                answer.status = ResponseStatus::PartialSuccess;
            }
        }
        Ok((answer, documents, bodies))
    })?;
    let source = bodies.behind(message.attachments, message.held);
    Ok(FetchResponse { answer, documents, sources: vec![source] })
}
