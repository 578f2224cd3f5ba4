//! Cross Gateway Fetch at both gateways (Cross-Community Fetch §3.63): a community's entries of a patient,
//! each with its document, in one answer.
//!
//! The framework has no transaction by which a consumer asks its own Initiating Gateway for that. Ours
//! takes the same message and hands it to the community that it names.

mod elsewhere;

use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::{Doing, counted};
use super::federation::{Federation, Peer};
use super::initiating_gateway::{InitiatingGateway, OwnCommunity};
use super::merge::locate;
use super::responding_gateway::RespondingGateway;
use super::sharing::Seen;
use crate::model::document::DocumentRequest;
use crate::model::fetch::{FetchResponse, FetchedDocument};
use crate::model::ids::{HomeCommunityId, RepositoryUniqueId, UniqueId};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus, has_error};
use crate::model::stored_query::AdhocQuery;
use crate::model::vocabulary::slot;

impl InitiatingGateway {
    /// ITI-63 from a consumer, for the community that it names; ours gives at most so many documents.
    pub async fn fetch(&self, context: &RequestContext, query: &AdhocQuery, most: usize) -> FetchResponse {
        let federation = self.federation.load_full();
        self.own.fetch_by_home(context, &federation, query, most, |home| federation.peer(home)).await
    }
}

impl RespondingGateway {
    /// ITI-63 from another gateway: our own documents, at most so many, or those of a member that it names.
    pub async fn cross_gateway_fetch(
        &self,
        context: &RequestContext,
        query: &AdhocQuery,
        most: usize,
    ) -> FetchResponse {
        let federation = self.federation.load_full();
        let seen = Seen::by(context, &self.own);
        let onward = |home: &HomeCommunityId| federation.peer(home).filter(|peer| self.goes_on_to(context, peer));
        let fetched = seen.own.fetch_by_home(context, &federation, query, most, onward).await;
        seen.note(context);
        fetched
    }
}

impl OwnCommunity {
    async fn fetch_by_home<'f>(
        &self,
        context: &RequestContext,
        federation: &'f Federation,
        query: &AdhocQuery,
        most: usize,
        reached: impl Fn(&HomeCommunityId) -> Option<&'f Peer>,
    ) -> FetchResponse {
        let Some(home) = &query.home else {
            let rule = "AdhocQuery/@home is required: it says which community is asked (Cross-Community Fetch §3.63)";
            return FetchResponse::failure(vec![self.refuse(ErrorCode::XDSMissingHomeCommunityId, rule)]);
        };
        let parsed = HomeCommunityId::parse_lenient(home).ok();
        if parsed.as_ref() == Some(&self.home) {
            return self.fetch(context, query, most).await;
        }
        match parsed.as_ref().and_then(reached) {
            Some(peer) => elsewhere::fetch(context, self, federation, peer, query).await,
            None => FetchResponse::failure(vec![self.refuse(
                ErrorCode::XDSUnknownCommunity,
                format!("{home} is no community that can be asked here, which is {}", self.home),
            )]),
        }
    }

    /// Our own documents: all are opened before the answer begins, so that what is promised is there.
    async fn fetch(&self, context: &RequestContext, query: &AdhocQuery, most: usize) -> FetchResponse {
        let began = Instant::now();
        let found = self.registry.fetched_entries(query).await;
        let mut errors = found.errors;
        if found.objects.len() > most {
            errors.push(RegistryError::new(
                ErrorCode::XDSTooManyResults,
                format!("{} documents match, {most} at most are given at once: narrow the query", found.objects.len()),
            ));
            return self.fetched(Vec::new(), errors);
        }
        let (mut entries, mut requests) = (Vec::new(), Vec::new());
        for entry in found.objects {
            match self.request_for(&entry) {
                Ok(request) => {
                    entries.push(entry);
                    requests.push(request);
                }
                Err(error) => errors.push(error),
            }
        }
        let retrieved = self.repository.retrieve(requests.clone()).await;
        errors.extend(retrieved.errors);
        // Documents come in the order of their requests, and some may be missing.
        let mut documents = retrieved.documents.into_iter().peekable();
        let mut whole = Vec::new();
        for (entry, request) in entries.into_iter().zip(requests) {
            if let Some(document) = documents.next_if(|document| document.request == request) {
                whole.push((entry, FetchedDocument { mime_type: document.mime_type, size: document.size }));
            }
        }
        let mut fetched = self.fetched(whole, errors);
        fetched.sources = retrieved.sources;
        context.steps.came_of(None, Doing::Local, began, || counted(&fetched.answer));
        fetched
    }

    fn fetched(&self, whole: Vec<(PackedObject, FetchedDocument)>, errors: Vec<RegistryError>) -> FetchResponse {
        let (objects, documents): (Vec<_>, Vec<_>) = whole.into_iter().unzip();
        let status = match (objects.is_empty(), has_error(&errors)) {
            (_, false) => ResponseStatus::Success,
            (false, true) => ResponseStatus::PartialSuccess,
            (true, true) => ResponseStatus::Failure,
        };
        let errors = errors.into_iter().map(|error| locate(error, &self.home)).collect();
        let answer = QueryResponse { status, errors, objects, home: Some(self.home.clone()) };
        FetchResponse { answer, documents, sources: Vec::new() }
    }

    /// How the document of an entry is asked for.
    fn request_for(&self, entry: &PackedObject) -> Result<DocumentRequest, RegistryError> {
        let damaged =
            || RegistryError::new(ErrorCode::XDSRegistryError, "a stored object is damaged; tell the operator");
        let entry = entry.unpack().map_err(|_| damaged())?;
        let repository = entry.common.slot_value(slot::REPOSITORY_UNIQUE_ID).map(str::trim);
        let repository = repository.and_then(|id| RepositoryUniqueId::parse(id).ok());
        let unique_id = entry.unique_id().and_then(|id| UniqueId::parse(id.trim()).ok());
        let (Some(repository), Some(unique_id)) = (repository, unique_id) else { return Err(damaged()) };
        Ok(DocumentRequest { home: Some(self.home.clone()), repository, unique_id })
    }
}
