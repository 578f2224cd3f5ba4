//! A fetch from another community, and from all that a peer speaks for where it knows the patient behind it (ITI-55):
//! each of them is asked by the id that was given for it.
//!
//! The documents of one answer pass through as they come. Those of several are kept on disk first, as those of a
//! retrieve from several communities are: one that breaks off is an error beside the documents of all others.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::actors::context::RequestContext;
use crate::actors::explain::{Doing, counted};
use crate::actors::federation::{
    Federation, PatientTranslation, Peer, examine, has_code, in_one, not_delivered, stamped, undelivered,
};
use crate::actors::fingerprints::{Checked, Fingerprint};
use crate::actors::initiating_gateway::OwnCommunity;
use crate::actors::merge::{self, Outcome, locate};
use crate::actors::ports::PeerFailure;
use crate::actors::relay::Renumbered;
use crate::actors::sharing::shared_with;
use crate::actors::spool::{Became, Spool, Taken};
use crate::actors::translation::{Translated, translate};
use crate::model::document::BodySource;
use crate::model::fetch::{FetchResponse, FetchedDocument};
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::packed::PackedObject;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::stored_query::AdhocQuery;

/// Asks a peer, and holds its answers to what is held of any (ITI TF-2 §3.38.4.1.3): no other patient's, nothing of
/// ours, homes everywhere; each document has the bytes that its entry states.
pub(super) async fn fetch(
    context: &RequestContext,
    own: &OwnCommunity,
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
    let result = match translated {
        Ok(Translated::Ready(queries, patient, told)) => {
            let asking = Asking { context, federation, spool: &own.spool, peer, patient: patient.as_ref() };
            asking.all(&queries, told).await
        }
        Ok(Translated::Answered(answer)) => Ok(without_documents(*answer)),
        Ok(Translated::NotKnown(_)) => Ok(without_documents(QueryResponse::success(Vec::new()))),
        Err(failure) => Err(failure),
    };
    let (result, came, documents, sources) = match result {
        Ok(FetchResponse { mut answer, documents, sources }) => {
            let came = answer.objects.clone();
            // Over all that came, since an entry of which some copy is hidden is hidden in all.
            shared_with(context, peer, &mut answer);
            (Ok(answer), came, documents, sources)
        }
        Err(failure) => (Err(failure), Vec::new(), Vec::new(), Vec::new()),
    };
    context.steps.ended(Some(&peer.home), Doing::Asked, began, result.as_ref().map(counted));
    if let Err(failure) = &result {
        undelivered(context, "ITI-63", peer, failure);
    }
    let outcome = Outcome { home: peer.home.clone(), nodes: peer.nodes.clone(), name: peer.name.clone(), result };
    checked(with_documents(merge::alone(&own.home, federation, outcome), came, documents, sources))
}

fn without_documents(answer: QueryResponse) -> FetchResponse {
    FetchResponse { answer, documents: Vec::new(), sources: Vec::new() }
}

/// A peer that is asked, once or for several communities.
struct Asking<'a> {
    context: &'a RequestContext,
    federation: &'a Federation,
    spool: &'a Spool,
    peer: &'a Peer,
    /// The patient, if the peer was asked for its id of that one.
    patient: Option<&'a PatientId>,
}

impl Asking<'_> {
    /// Asks all at once, within the peer's bounds, and makes one answer of theirs. Who of several has not delivered is
    /// named in it, even if nobody has.
    async fn all(&self, queries: &[AdhocQuery], told: Vec<RegistryError>) -> Result<FetchResponse, PeerFailure> {
        let several = queries.len() > 1;
        let answers = join_all(queries.iter().map(|query| async move {
            match self.one(query).await {
                Ok(fetched) if several => Ok(self.kept(query, fetched).await),
                other => other,
            }
        }))
        .await;
        let (mut documents, mut sources, mut answered, mut failures) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for fetched in answers {
            failures.extend(fetched.as_ref().err().cloned());
            answered.push(fetched.map(|fetched| {
                let offset = documents.len();
                documents.extend(fetched.documents);
                sources.extend(
                    fetched
                        .sources
                        .into_iter()
                        .map(|source| -> Box<dyn BodySource> { Box::new(Renumbered { source, offset, map: None }) }),
                );
                fetched.answer
            }));
        }
        let answer = in_one(self.peer, queries.iter().zip(answered), told)?;
        failures.iter().for_each(|failure| undelivered(self.context, "ITI-63", self.peer, failure));
        Ok(FetchResponse { answer, documents, sources })
    }

    /// Sends one query, and looks through its answer.
    async fn one(&self, query: &AdhocQuery) -> Result<FetchResponse, PeerFailure> {
        let Self { context, federation, peer, .. } = *self;
        let FetchResponse { mut answer, documents, sources } = peer.community.fetch(context, query).await?;
        if let Some(patient) = self.patient.filter(|_| has_code(&answer.errors, &ErrorCode::XDSUnknownPatientId)) {
            federation.forget(patient, peer);
        }
        stamped(context, peer, query, &mut answer);
        let home = query.home.as_deref().and_then(|home| HomeCommunityId::parse_lenient(home.trim()).ok());
        let home = home.as_ref().unwrap_or(&peer.home);
        answer.errors = answer.errors.into_iter().map(|error| locate(error, home)).collect();
        let came = answer.objects.clone();
        if answer.status == ResponseStatus::Failure {
            // Objects beside a Failure are illegal: the errors are believed.
            answer.objects.clear();
        }
        examine(context, "ITI-63", federation, peer, query, &mut answer);
        federation.learn(context, peer, &answer);
        Ok(with_documents(answer, came, documents, sources))
    }

    /// Keeps the documents of one answer of several. An entry whose document did not come, or has other bytes, is left
    /// out, and an error names the community and the documents.
    async fn kept(&self, query: &AdhocQuery, fetched: FetchResponse) -> FetchResponse {
        let FetchResponse { mut answer, documents, sources } = fetched;
        if documents.is_empty() {
            return without_documents(answer);
        }
        let expected = stated(&answer.objects);
        let Taken { kept, became, why_missing } =
            self.spool.take(self.context, &self.peer.home, sources, &expected).await;
        let (mut map, mut whole, mut missing, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let entries = std::mem::take(&mut answer.objects);
        for ((entry, mut document), became) in entries.into_iter().zip(documents).zip(became) {
            let named = match became {
                Became::Whole(size) => {
                    document.size = Some(size);
                    map.push(Some(whole.len()));
                    whole.push(document);
                    answer.objects.push(entry);
                    continue;
                }
                Became::OtherBytes => &mut wrong,
                Became::Missing => &mut missing,
            };
            map.push(None);
            named.push(entry.unpack().ok().and_then(|entry| Some(entry.unique_id()?.to_owned())).unwrap_or_default());
        }
        for (failure, ids) in [(PeerFailure::OtherBytes, wrong), (why_missing, missing)] {
            if ids.is_empty() {
                continue;
            }
            undelivered(self.context, "ITI-63", self.peer, &failure);
            let mut error = not_delivered(self.peer, query, &failure);
            error.context = format!("{} ({})", error.context, ids.join(", "));
            answer.errors.push(error);
            answer.status = ResponseStatus::PartialSuccess;
        }
        let source = Box::new(Renumbered { source: Box::new(kept), offset: 0, map: Some(Arc::new(map)) });
        FetchResponse { answer, documents: whole, sources: vec![source] }
    }
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
    let mut kept = Vec::new();
    answer.objects.retain(|object| {
        let at = open.iter().position(|other| other.as_ref().is_some_and(|(came, _)| came == object));
        let Some((at, (_, document))) = at.and_then(|at| Some((at, open.get_mut(at)?.take()?))) else { return false };
        if let Some(number) = map.get_mut(at) {
            *number = Some(kept.len());
        }
        kept.push(document);
        true
    });
    let map = Arc::new(map);
    let sources = sources.into_iter().map(|source| -> Box<dyn BodySource> {
        Box::new(Renumbered { source, offset: 0, map: Some(Arc::clone(&map)) })
    });
    FetchResponse { answer, documents: kept, sources: sources.collect() }
}

/// What entries state of their documents' bytes.
fn stated(entries: &[PackedObject]) -> Vec<Option<Fingerprint>> {
    entries.iter().map(|entry| entry.unpack().ok().and_then(|entry| Fingerprint::stated(&entry))).collect()
}

/// The same answer, which breaks off if a document has other bytes than its entry states.
fn checked(mut fetched: FetchResponse) -> FetchResponse {
    let expected = Arc::new(stated(&fetched.answer.objects));
    let sources = fetched.sources.into_iter();
    let sources =
        sources.map(|source| -> Box<dyn BodySource> { Box::new(Checked::new(source, Arc::clone(&expected))) });
    fetched.sources = sources.collect();
    fetched
}

#[cfg(test)]
mod tests;
