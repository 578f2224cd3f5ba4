//! Cross Gateway Fetch at both gateways (Cross-Community Fetch §3.63): a community's entries of a patient,
//! each with its document, in one answer.
//!
//! The framework has no transaction by which a consumer asks its own Initiating Gateway for that. Ours
//! takes the same message and hands it to the community that it names.

use std::sync::Arc;

use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::{Doing, counted};
use super::federation::{Federation, PatientTranslation, Peer, examine, has_code, stamped, undelivered};
use super::fingerprints::{Checked, Fingerprint};
use super::initiating_gateway::{InitiatingGateway, OwnCommunity};
use super::merge::{self, Outcome, locate};
use super::relay::Renumbered;
use super::responding_gateway::RespondingGateway;
use super::sharing::{Seen, shared_with};
use super::translation::{Translated, translate};
use crate::model::document::{BodySource, DocumentRequest};
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
            Some(peer) => fetch_from(context, &self.home, federation, peer, query).await,
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

/// Asks one community, and holds its answer to what is held of any (ITI TF-2 §3.38.4.1.3): no other
/// patient's, nothing of ours, homes everywhere; each document has the bytes that its entry states.
async fn fetch_from(
    context: &RequestContext,
    own: &HomeCommunityId,
    federation: &Federation,
    peer: &Peer,
    query: &AdhocQuery,
) -> FetchResponse {
    let began = Instant::now();
    let mut query = query.clone();
    // As it is compared, whatever its spelling.
    if let Some(home) = query.home.as_deref().and_then(|home| HomeCommunityId::parse_lenient(home.trim()).ok()) {
        query.home = Some(home.to_string());
    }
    if !context.asker.shares.is_empty() {
        // Former versions could not be judged.
        query.slots.retain(|slot| slot.name != "$MetadataLevel");
    }
    let translated = match peer.not_asked(context) {
        Some(failure) => Err(failure),
        None => translate(context, federation, peer, &query).await,
    };
    if peer.translation == PatientTranslation::Discover {
        context.steps.took(Some(&peer.home), Doing::Discover, began);
    }
    let nothing = |answer| Ok(FetchResponse { answer, documents: Vec::new(), sources: Vec::new() });
    let mut sent = query.clone();
    let (result, patient) = match translated {
        Ok(Translated::Ready(queries, patient, told)) => {
            // It is for one community: the one that it names, or the one that the peer speaks for.
            let named = queries.iter().position(|one| one.home == query.home).unwrap_or(0);
            if let Some(one) = queries.into_iter().nth(named) {
                sent = one;
            }
            let mut result = peer.community.fetch(context, &sent).await;
            if let Ok(fetched) = &mut result {
                stamped(context, peer, &sent, &mut fetched.answer);
                fetched.answer.errors.extend(told);
            }
            (result, patient)
        }
        Ok(Translated::Answered(answer)) => (nothing(*answer), None),
        Ok(Translated::NotKnown(_)) => (nothing(QueryResponse::success(Vec::new())), None),
        Err(failure) => (Err(failure), None),
    };
    let (mut result, came, documents, sources) = match result {
        Ok(FetchResponse { answer, documents, sources }) => {
            let came = answer.objects.clone();
            (Ok(answer), came, documents, sources)
        }
        Err(failure) => (Err(failure), Vec::new(), Vec::new(), Vec::new()),
    };
    if let Ok(answer) = &mut result {
        if let Some(patient) = patient.filter(|_| has_code(&answer.errors, &ErrorCode::XDSUnknownPatientId)) {
            federation.forget(&patient, peer);
        }
        examine(context, federation, peer, &sent, answer);
        federation.learn(context, peer, answer);
        shared_with(context, peer, answer);
    }
    context.steps.ended(Some(&peer.home), Doing::Asked, began, result.as_ref().map(counted));
    if let Err(failure) = &result {
        undelivered(context, "ITI-63", peer, failure);
    }
    let outcome = Outcome { home: peer.home.clone(), nodes: peer.nodes.clone(), name: peer.name.clone(), result };
    with_documents(merge::alone(own, federation, outcome), came, documents, sources)
}

/// What is left of an answer, with the documents of what is left: those of all others do not pass.
fn with_documents(
    mut answer: QueryResponse,
    came: Vec<PackedObject>,
    documents: Vec<FetchedDocument>,
    sources: Vec<Box<dyn BodySource>>,
) -> FetchResponse {
    let mut open: Vec<Option<(PackedObject, FetchedDocument)>> = came.into_iter().zip(documents).map(Some).collect();
    let mut map = vec![None; open.len()];
    let (mut kept, mut expected) = (Vec::new(), Vec::new());
    answer.objects.retain(|object| {
        let at = open.iter().position(|other| other.as_ref().is_some_and(|(came, _)| came == object));
        let Some((at, (_, document))) = at.and_then(|at| Some((at, open.get_mut(at)?.take()?))) else { return false };
        if let Some(number) = map.get_mut(at) {
            *number = Some(kept.len());
        }
        expected.push(object.unpack().ok().and_then(|entry| Fingerprint::stated(&entry)));
        kept.push(document);
        true
    });
    let (map, expected) = (Arc::new(map), Arc::new(expected));
    let sources = sources.into_iter().map(|source| -> Box<dyn BodySource> {
        let source = Renumbered { source, offset: 0, map: Some(Arc::clone(&map)) };
        Box::new(Checked::new(Box::new(source), Arc::clone(&expected)))
    });
    FetchResponse { answer, documents: kept, sources: sources.collect() }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;

    use super::*;
    use crate::model::document::{BodyError, BoxFuture};
    use crate::model::ids::EntryUuid;
    use crate::model::metadata::build;
    use crate::model::rim::ObjectId;

    struct Bodies(VecDeque<(usize, Bytes)>, Option<Bytes>);

    impl BodySource for Bodies {
        fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
            let next = self.0.pop_front();
            let number = next.as_ref().map(|(number, _)| *number);
            self.1 = next.map(|(_, bytes)| bytes);
            Box::pin(std::future::ready(Ok(number)))
        }

        fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
            Box::pin(std::future::ready(Ok(self.1.take())))
        }
    }

    fn entry(number: u8, hash: &str, size: &str) -> PackedObject {
        let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([number; 16])), "text/plain");
        entry.common.set_slot(slot::HASH, hash.to_owned());
        entry.common.set_slot(slot::SIZE, size.to_owned());
        PackedObject::pack(&entry)
    }

    async fn drawn(response: FetchResponse) -> Result<Vec<(usize, Bytes)>, BodyError> {
        let mut drawn = Vec::new();
        for mut source in response.sources {
            while let Some(number) = source.next_document().await? {
                let mut whole = Vec::new();
                while let Some(chunk) = source.next_chunk().await? {
                    whole.extend_from_slice(&chunk);
                }
                drawn.push((number, whole.into()));
            }
        }
        Ok(drawn)
    }

    fn of(kept: &[u8], stated: &str) -> FetchResponse {
        let all: Vec<_> = [1, 2, 3].map(|number| entry(number, stated, "3")).into();
        let wanted = kept.iter().map(|number| all[usize::from(*number) - 1].clone()).collect();
        let document = |name: &str| FetchedDocument { mime_type: name.to_owned(), size: None };
        let documents = vec![document("a"), document("b"), document("c")];
        let bodies = ["xxx", "abc", "yyy"].into_iter().map(|text| Bytes::from_static(text.as_bytes()));
        let source: Box<dyn BodySource> = Box::new(Bodies(bodies.enumerate().collect(), None));
        with_documents(QueryResponse::success(wanted), all, documents, vec![source])
    }

    #[tokio::test]
    async fn the_documents_of_entries_that_are_left_out_do_not_pass() {
        const OF_ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
        let response = of(&[2], OF_ABC);
        assert_eq!(response.documents.iter().map(|d| d.mime_type.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(drawn(response).await.unwrap(), [(0, Bytes::from_static(b"abc"))]);
        assert!(drawn(of(&[], OF_ABC)).await.unwrap().is_empty());
        // Others than the entry states break off.
        assert!(matches!(drawn(of(&[3, 2], OF_ABC)).await, Err(BodyError::OtherBytes)));
        let response = of(&[3, 1], "");
        let numbers: Vec<_> = drawn(response).await.unwrap().into_iter().collect();
        assert_eq!(numbers, [(1, Bytes::from_static(b"xxx")), (0, Bytes::from_static(b"yyy"))]);
    }
}
