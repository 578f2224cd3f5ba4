//! What passes of an answer, and what becomes of several.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::actors::federation::{Learned, PeerKind};
use crate::actors::ports::Community;
use crate::model::document::{BodyError, BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::ids::EntryUuid;
use crate::model::metadata::build;
use crate::model::response::Severity;
use crate::model::rim::ObjectId;
use crate::model::stored_query::FETCH;
use crate::model::vocabulary::{identifier, slot};
use crate::store::memory::MemoryDocuments;
use crate::transaction::{Transaction, TransactionId};

/// Documents one after another, and how they end.
struct Bodies {
    documents: VecDeque<(usize, Bytes)>,
    current: Option<Bytes>,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Well,
    Broken,
    Never,
}

impl BodySource for Bodies {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            match (self.documents.pop_front(), self.end) {
                (Some((number, bytes)), _) => {
                    self.current = Some(bytes);
                    Ok(Some(number))
                }
                (None, End::Well) => Ok(None),
                (None, End::Broken) => Err(BodyError::Peer("broken".into())),
                (None, End::Never) => std::future::pending().await,
            }
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(std::future::ready(Ok(self.current.take())))
    }
}

fn bodies(texts: &[&'static str], end: End) -> Box<dyn BodySource> {
    let documents = texts.iter().map(|text| Bytes::from_static(text.as_bytes())).enumerate().collect();
    Box::new(Bodies { documents, current: None, end })
}

fn entry(number: u8, hash: &str, size: &str) -> PackedObject {
    let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([number; 16])), "text/plain");
    entry.common.set_slot(slot::HASH, hash.to_owned());
    entry.common.set_slot(slot::SIZE, size.to_owned());
    entry.identifiers = vec![build::external_identifier(identifier::ENTRY_UNIQUE_ID, format!("2.999.7.{number}"))];
    PackedObject::pack(&entry)
}

const OF_ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

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
    let source = bodies(&["xxx", "abc", "yyy"], End::Well);
    checked(with_documents(QueryResponse::success(wanted), all, documents, vec![source]))
}

#[tokio::test]
async fn the_documents_of_entries_that_are_left_out_do_not_pass() {
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

/// A hub that has one answer for each community behind it.
#[derive(Default)]
struct Hub {
    answers: Mutex<HashMap<String, Result<FetchResponse, PeerFailure>>>,
}

impl Community for Hub {
    fn fetch<'a>(
        &'a self,
        _: &'a RequestContext,
        query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<FetchResponse, PeerFailure>> {
        let home = query.home.clone().unwrap_or_default();
        Box::pin(async move { self.answers.lock().unwrap().remove(&home).expect("asked once") })
    }

    fn query<'a>(
        &'a self,
        _: &'a RequestContext,
        _: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NoRoom) })
    }

    fn retrieve<'a>(
        &'a self,
        _: &'a RequestContext,
        _: Vec<DocumentRequest>,
    ) -> BoxFuture<'a, Result<RetrieveResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NoRoom) })
    }
}

fn home(n: usize) -> HomeCommunityId {
    HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
}

/// What the hub answers for the communities from 2 on, joined.
async fn asked(answers: Vec<Result<FetchResponse, PeerFailure>>) -> Result<FetchResponse, PeerFailure> {
    let homes = (2..2 + answers.len()).map(|n| home(n).to_string());
    let hub = Hub { answers: Mutex::new(homes.clone().zip(answers).collect()) };
    let peer = Peer {
        kind: PeerKind::Hub,
        nodes: vec![home(3)],
        translation: PatientTranslation::Discover,
        ..Peer::usual(home(2), Arc::new(hub))
    };
    let query = |home| AdhocQuery { id: FETCH.id.into(), home: Some(home), return_type: None, slots: Vec::new() };
    let queries: Vec<_> = homes.map(query).collect();
    let told = RegistryError::new(ErrorCode::XDSUnavailableCommunity, "may know").at(home(9).as_str()).warning();
    let asking = Asking {
        context: &RequestContext::of_our_own(
            Transaction::of(TransactionId::CrossGatewayFetch),
            "test",
            Duration::from_millis(200),
        ),
        federation: &Federation::new(vec![peer.clone()], Arc::new(Learned::new(0, 0))),
        spool: &Spool::new(Arc::new(MemoryDocuments::default()), 1 << 20),
        peer: &peer,
        patient: None,
    };
    asking.all(&queries, vec![told]).await
}

/// An answer with entries of these numbers, whose documents are these.
fn answer(entries: &[u8], texts: &[&'static str], end: End) -> Result<FetchResponse, PeerFailure> {
    let objects: Vec<_> = entries.iter().map(|number| entry(*number, OF_ABC, "3")).collect();
    let documents = entries.iter().map(|number| FetchedDocument { mime_type: number.to_string(), size: None });
    let (documents, sources) = (documents.collect(), vec![bodies(texts, end)]);
    Ok(FetchResponse { answer: QueryResponse::success(objects), documents, sources })
}

/// The errors by where they are, with the documents that they name; without what is only a warning.
fn named(fetched: &FetchResponse) -> Vec<(&str, bool)> {
    let errors = fetched.answer.errors.iter().filter(|error| error.severity == Severity::Error);
    errors.map(|error| (error.location.as_deref().unwrap_or_default(), error.context.contains("(2.999.7."))).collect()
}

fn mime_types(fetched: &FetchResponse) -> Vec<&str> {
    fetched.documents.iter().map(|document| document.mime_type.as_str()).collect()
}

#[tokio::test]
async fn all_communities_behind_a_hub_are_asked_and_who_has_not_delivered_is_named() {
    let fetched = asked(vec![
        answer(&[1, 2], &["abc", "abc"], End::Well),
        Err(PeerFailure::Timeout(9)),
        // One of two came whole; one has other bytes; one never ends, and its time is up.
        answer(&[3, 4], &["abc"], End::Broken),
        answer(&[5, 6], &["abd", "abc"], End::Well),
        answer(&[7, 8], &["abc"], End::Never),
        answer(&[], &[], End::Well),
    ])
    .await
    .unwrap();
    assert_eq!(fetched.answer.status, ResponseStatus::PartialSuccess);
    assert_eq!(mime_types(&fetched), ["1", "2", "3", "6", "7"]);
    let entries: Vec<_> = fetched.answer.objects.iter().map(|entry| entry.uuid().unwrap().0[0]).collect();
    assert_eq!(entries, [1, 2, 3, 6, 7]);
    assert!(fetched.documents.iter().all(|document| document.size == Some(3)));
    let (three, four, five, six) = (home(3), home(4), home(5), home(6));
    let expected = [(four.as_str(), true), (five.as_str(), true), (six.as_str(), true), (three.as_str(), false)];
    assert_eq!(named(&fetched), expected, "{:?}", fetched.answer.errors);
    assert!(fetched.answer.errors.iter().any(|error| error.location.as_deref() == Some(home(9).as_str())));
    let documents = drawn(fetched).await.unwrap();
    assert_eq!(documents, [0, 1, 2, 3, 4].map(|number| (number, Bytes::from_static(b"abc"))));
}

#[tokio::test]
async fn where_all_fail_all_are_named() {
    let fetched = asked(vec![Err(PeerFailure::Timeout(9)), Err(PeerFailure::NoRoom)]).await.unwrap();
    assert_eq!((fetched.answer.status, fetched.documents.len()), (ResponseStatus::Failure, 0));
    let (two, three) = (home(2), home(3));
    assert_eq!(named(&fetched), [(two.as_str(), false), (three.as_str(), false)]);
    assert_eq!(fetched.answer.errors.len(), 3, "and who was not asked");
    // One that is asked alone does not hide who was not asked.
    let fetched = asked(vec![Err(PeerFailure::NoRoom)]).await.unwrap();
    assert_eq!(named(&fetched), [(two.as_str(), false)]);
    assert_eq!(fetched.answer.errors.len(), 2);
}

#[tokio::test]
async fn what_one_says_is_its_own() {
    let error = RegistryError::new(ErrorCode::XDSRegistryError, "no").at("2.999.4");
    let mut refused = answer(&[3], &["abc"], End::Well).unwrap();
    // Illegal beside a Failure.
    (refused.answer.status, refused.answer.errors) = (ResponseStatus::Failure, vec![error]);
    let fetched = asked(vec![answer(&[1], &["abc"], End::Well), Ok(refused)]).await.unwrap();
    assert_eq!((fetched.answer.status, mime_types(&fetched)), (ResponseStatus::PartialSuccess, vec!["1"]));
    assert_eq!(named(&fetched), [(home(3).as_str(), false)]);
    assert_eq!(drawn(fetched).await.unwrap(), [(0, Bytes::from_static(b"abc"))]);
}

/// The documents of one that is asked alone are not waited for.
#[tokio::test]
async fn one_answer_passes_through_as_it_comes() {
    let fetched = asked(vec![answer(&[1, 2], &["abc"], End::Never)]).await.unwrap();
    assert_eq!((fetched.answer.status, mime_types(&fetched)), (ResponseStatus::Success, vec!["1", "2"]));
}
