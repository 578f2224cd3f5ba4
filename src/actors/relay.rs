//! Documents of other communities on their way through a gateway (ITI TF-2 §3.39.4.1.3).
//!
//! Each community is asked for its share, all at once; their root parts become one, and the bodies
//! follow one source after another. What is not what was asked for, or has other bytes than its
//! entry said, does not pass.

mod parts;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::Doing;
use super::federation::{self, Federation, Peer};
use super::fingerprints::{Checked, Fingerprint};
use super::merge::{locate, unavailable};
use super::ports::PeerFailure;
use super::spool::{Became, Spool, Taken};
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, RegistryError, Severity, has_error};

/// A part of a retrieve: what one community is asked for.
pub struct RetrieveShare<'a> {
    /// Whom to ask.
    pub target: RetrieveTarget<'a>,
    /// For what, with the home its consumer wrote or left out.
    pub requests: Vec<DocumentRequest>,
}

/// Whom to ask for documents.
pub enum RetrieveTarget<'a> {
    /// Our own repository.
    Local(&'a super::document_repository::DocumentRepository),
    /// Another community.
    Peer(&'a Peer),
}

/// Asks all shares at once and merges their root parts (ITI TF-2 §3.39.4.1.3). Bodies follow one
/// source after another. Those of one community alone pass through as they come; where several
/// are asked, those of others are kept in `spool` first, so that one that breaks off is an error
/// beside the others' documents.
pub async fn retrieve(
    context: &RequestContext,
    own: &HomeCommunityId,
    federation: &Federation,
    spool: &Spool,
    shares: Vec<RetrieveShare<'_>>,
) -> RetrieveResponse {
    let several = shares.len() > 1;
    let answers = join_all(shares.into_iter().map(|share| async move {
        let requests = share.requests;
        match share.target {
            RetrieveTarget::Local(repository) => {
                let began = Instant::now();
                let mut response = repository.retrieve(requests).await;
                context.steps.came_of(None, Doing::Local, began, || delivered(&response));
                response.errors = response.errors.into_iter().map(|error| locate(error, own)).collect();
                response
            }
            RetrieveTarget::Peer(peer) => {
                if let Some(part) = peer.manners.part(requests.len()) {
                    return parts::retrieve(context, federation, peer, spool, &requests, part).await;
                }
                let response = retrieve_from(context, peer, &requests).await;
                let expected = expected(federation, &response);
                if several {
                    keep(context, peer, spool, response, &expected).await
                } else {
                    checked(response, expected)
                }
            }
        }
    }))
    .await;
    let mut merged = RetrieveResponse::failure(Vec::new());
    for answer in answers {
        append(&mut merged, answer);
    }
    merged
}

/// Puts an answer behind another.
fn append(merged: &mut RetrieveResponse, answer: RetrieveResponse) {
    let offset = merged.documents.len();
    merged.documents.extend(answer.documents);
    merged.errors.extend(answer.errors);
    merged.sources.extend(
        answer
            .sources
            .into_iter()
            .map(|source| -> Box<dyn BodySource> { Box::new(Renumbered { source, offset, map: None }) }),
    );
}

/// What the entries of documents said of their bytes.
fn expected(federation: &Federation, response: &RetrieveResponse) -> Vec<Option<Fingerprint>> {
    let fingerprints = &federation.learned.fingerprints;
    response.documents.iter().map(|document| fingerprints.of(&document.request)).collect()
}

/// Documents that pass through as they come: one with other bytes than its entry said breaks off.
fn checked(mut response: RetrieveResponse, expected: Vec<Option<Fingerprint>>) -> RetrieveResponse {
    if expected.iter().any(Option::is_some) {
        let expected = Arc::new(expected);
        response.sources = response
            .sources
            .into_iter()
            .map(|source| -> Box<dyn BodySource> { Box::new(Checked::new(source, Arc::clone(&expected))) })
            .collect();
    }
    response
}

/// Keeps a peer's documents until all are there or the time is up; an error names those that are not,
/// and those with other bytes than their entries said.
async fn keep(
    context: &RequestContext,
    peer: &Peer,
    spool: &Spool,
    mut response: RetrieveResponse,
    expected: &[Option<Fingerprint>],
) -> RetrieveResponse {
    if response.documents.is_empty() {
        return response;
    }
    let sources = std::mem::take(&mut response.sources);
    let Taken { kept, became, why_missing } = spool.take(context, &peer.home, sources, expected).await;
    let (mut map, mut whole, mut missing, mut wrong) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (mut document, became) in std::mem::take(&mut response.documents).into_iter().zip(became) {
        let named = match became {
            Became::Whole(size) => {
                document.size = Some(size);
                map.push(Some(whole.len()));
                whole.push(document);
                continue;
            }
            Became::OtherBytes => &mut wrong,
            Became::Missing => &mut missing,
        };
        map.push(None);
        named.push(document.request.unique_id.to_string());
    }
    response.documents = whole;
    if !wrong.is_empty() {
        response.errors.push(undelivered(context, peer, &PeerFailure::OtherBytes, &wrong.join(", ")));
    }
    if !missing.is_empty() {
        response.errors.push(undelivered(context, peer, &why_missing, &missing.join(", ")));
    }
    response.sources = vec![Box::new(Renumbered { source: Box::new(kept), offset: 0, map: Some(Arc::new(map)) })];
    response
}

/// What came of a retrieve, in numbers.
fn delivered(response: &RetrieveResponse) -> Cow<'static, str> {
    match (response.documents.len(), response.errors.len()) {
        (documents, 0) => format!("{documents} documents").into(),
        (documents, errors) => format!("{documents} documents, {errors} errors or warnings").into(),
    }
}

/// The error for documents that a peer did not deliver, once it is logged.
fn undelivered(context: &RequestContext, peer: &Peer, failure: &PeerFailure, documents: &str) -> RegistryError {
    federation::undelivered(context, "ITI-39", peer, failure);
    let mut error = unavailable(&peer.home, &peer.name, failure);
    error.context = format!("{} ({documents})", error.context);
    error
}

async fn retrieve_from(context: &RequestContext, peer: &Peer, requests: &[DocumentRequest]) -> RetrieveResponse {
    match ask(context, peer, requests).await {
        Ok(response) => settle(context, peer, requests, response),
        Err(failure) => RetrieveResponse::failure(vec![undelivered(context, peer, &failure, &listed(requests))]),
    }
}

fn listed(requests: &[DocumentRequest]) -> String {
    let ids: Vec<&str> = requests.iter().map(|request| request.unique_id.as_str()).collect();
    ids.join(", ")
}

async fn ask(
    context: &RequestContext,
    peer: &Peer,
    requests: &[DocumentRequest],
) -> Result<RetrieveResponse, PeerFailure> {
    let began = Instant::now();
    let result = match peer.not_asked(context) {
        Some(failure) => Err(failure),
        // Each names its home: the peer's, or that of a community behind it.
        None => peer.community.retrieve(context, requests.to_vec()).await,
    };
    context.steps.ended(Some(&peer.home), Doing::Asked, began, result.as_ref().map(delivered));
    result
}

/// Holds an answer against what was asked for.
fn settle(
    context: &RequestContext,
    peer: &Peer,
    requests: &[DocumentRequest],
    mut response: RetrieveResponse,
) -> RetrieveResponse {
    response.errors = response.errors.into_iter().map(|error| locate(error, &peer.home)).collect();
    // Each document must answer a request; each request must be answered, or an error say why.
    let key = |request: &DocumentRequest| (request.repository.clone(), request.unique_id.clone());
    let mut open: HashMap<_, Vec<&DocumentRequest>> = HashMap::new();
    for request in requests {
        open.entry(key(request)).or_default().push(request);
    }
    let mut unwanted = 0_usize;
    let mut map = Vec::with_capacity(response.documents.len());
    let mut kept = Vec::with_capacity(response.documents.len());
    for mut document in std::mem::take(&mut response.documents) {
        // The same id may be asked for of two communities behind one gateway.
        let asked = open.get_mut(&key(&document.request)).filter(|asked| !asked.is_empty()).map(|asked| {
            let same = asked.iter().position(|request| request.home == document.request.home);
            asked.swap_remove(same.unwrap_or_default())
        });
        match asked {
            Some(request) => {
                map.push(Some(kept.len()));
                // Echoed as the consumer wrote it, home or no home (§3.43.4.2.2).
                document.request = request.clone();
                kept.push(document);
            }
            None => {
                unwanted += 1;
                map.push(None);
            }
        }
    }
    if unwanted > 0 {
        tracing::warn!(
            correlation_id = %context.correlation_id, community = %peer.home, unwanted,
            "documents that were not asked for are left out"
        );
        context.steps.came_of(Some(&peer.home), Doing::LeftOut, Instant::now(), || {
            format!("{unwanted} documents that were not asked for").into()
        });
    }
    // One error may stand for the whole of a request; one that names a document stands for that.
    let named = |request: &DocumentRequest| {
        let errors = response.errors.iter().filter(|error| error.severity == Severity::Error);
        errors.into_iter().any(|error| names(&error.context, request.unique_id.as_str()))
    };
    let refused_as_a_whole = kept.is_empty() && has_error(&response.errors) && !requests.iter().any(&named);
    if !refused_as_a_whole {
        let mut missing: Vec<_> = open.into_values().flatten().filter(|request| !named(request)).collect();
        missing.sort_by(|a, b| a.unique_id.cmp(&b.unique_id));
        for request in missing {
            response.errors.push(
                RegistryError::new(
                    ErrorCode::XDSDocumentUniqueIdError,
                    format!("{}: {} neither returned it nor said why", request.unique_id, peer.name),
                )
                .at(peer.home.as_str()),
            );
        }
    }
    response.documents = kept;
    let map = Arc::new(map);
    response.sources = response
        .sources
        .into_iter()
        .map(|source| -> Box<dyn BodySource> {
            Box::new(Renumbered { source, offset: 0, map: Some(Arc::clone(&map)) })
        })
        .collect();
    response
}

/// Whether a text has that id in it, and not as a part of a longer one.
fn names(text: &str, id: &str) -> bool {
    let in_an_id = |c: char| c.is_alphanumeric() || ".^_-:&".contains(c);
    text.split(|c| !in_an_id(c)).any(|word| word == id || word.trim_matches(['.', ':', '-', '_']) == id)
}

/// A source whose numbers are shifted, and whose unwanted documents are skipped.
pub(super) struct Renumbered {
    pub(super) source: Box<dyn BodySource>,
    pub(super) offset: usize,
    pub(super) map: Option<Arc<Vec<Option<usize>>>>,
}

impl BodySource for Renumbered {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            loop {
                let Some(number) = self.source.next_document().await? else { return Ok(None) };
                match &self.map {
                    None => return Ok(Some(number + self.offset)),
                    Some(map) => {
                        if let Some(number) = map.get(number).copied().flatten() {
                            return Ok(Some(number + self.offset));
                        }
                        while self.source.next_chunk().await?.is_some() {}
                    }
                }
            }
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        self.source.next_chunk()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_not_named_by_a_longer_one() {
        assert!(names("2.999.1: no such document (at urn:oid:2.999.7)", "2.999.1"));
        assert!(names("there is no 2.999.1.", "2.999.1"));
        assert!(names("2.999.1^5, gone", "2.999.1^5"));
        for other in ["2.999.10: gone", "1.2.999.1: gone", "2.999.1.4 is gone", "2.999.1^5: gone", ""] {
            assert!(!names(other, "2.999.1"), "{other}");
        }
    }
}
