//! The communities a gateway asks, and how it asks several at once (ITI TF-1 §18).
//!
//! All are asked concurrently; each has its own budget and bounds behind its [`Community`] port,
//! so a slow one delays nothing but its own part, and the deadline ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::context::RequestContext;
use super::correlation::Correlations;
use super::merge::{Outcome, locate, unavailable};
use super::ports::{Community, PeerFailure};
use super::responding_gateway::MOST_GATEWAYS;
use super::spool::Spool;
use super::translation::{Translated, translate};
pub use crate::model::community::{PeerState, Scope};
use crate::model::document::{BodyError, BodySource, BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::ids::{HomeCommunityId, Oid, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus, Severity, has_error};
use crate::model::stored_query::{AdhocQuery, Kind, QueryDefinition};
use crate::validate::stored_query::quoted_texts;

/// How a patient is known there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatientTranslation {
    /// Under the same id in the same domain.
    SameDomain,
    /// Under the same id in another domain.
    Domain(Oid),
    /// Under an id that it is asked for (ITI-55).
    Discover,
}

/// One community we know.
#[derive(Clone)]
pub struct Peer {
    /// Its identity.
    pub home: HomeCommunityId,
    /// Its name, for people.
    pub name: String,
    /// Where it stands.
    pub scope: Scope,
    /// Whether it has a Responding Gateway that can be asked at all.
    pub answers: bool,
    /// Whether it is to be asked.
    pub state: PeerState,
    /// How patients are known there.
    pub translation: PatientTranslation,
    /// The way to it.
    pub community: Arc<dyn Community>,
}

impl Peer {
    pub(super) fn is_asked(&self) -> bool {
        self.answers && self.state == PeerState::Live
    }

    /// Why it is not asked, not even by who names it.
    fn not_asked(&self, context: &RequestContext) -> Option<PeerFailure> {
        let why = match self.state {
            _ if !self.answers => "it has no Responding Gateway",
            PeerState::Live if context.via.len() >= MOST_GATEWAYS => "the request has passed too many gateways",
            PeerState::Live => return None,
            PeerState::Suspended => "it is suspended",
            PeerState::Closed => "it is closed",
            PeerState::Planned | PeerState::Connecting => "it is not live yet",
        };
        Some(PeerFailure::NotAsked(why.into()))
    }
}

/// Communities behind one peer that are remembered at most.
const MOST_ROUTES: usize = 1_000;

/// The communities we know, in configured order.
#[derive(Default)]
pub struct Federation {
    /// In configured order, which is the order of answers.
    pub peers: Vec<Peer>,
    /// Communities that we know from the answers of others: each with the peer that answers for it.
    routes: Mutex<HashMap<HomeCommunityId, HomeCommunityId>>,
    /// Under which ids others know our patients.
    pub correlations: Option<Arc<Correlations>>,
}

impl Federation {
    /// These communities, and nobody known behind them yet.
    pub fn new(peers: Vec<Peer>) -> Self {
        Self { peers, routes: Mutex::default(), correlations: None }
    }

    /// The same, able to ask communities under which id they know a patient.
    #[must_use]
    pub fn with_correlations(self, correlations: Arc<Correlations>) -> Self {
        Self { correlations: Some(correlations), ..self }
    }

    /// The peer of that identity, or the one that answers for it: a consumer asks on with the
    /// homeCommunityId that an answer gave it (ITI TF-2 §3.18.4.1.2.3.8).
    pub fn peer(&self, home: &HomeCommunityId) -> Option<&Peer> {
        let configured = |home: &HomeCommunityId| self.peers.iter().find(|peer| peer.home == *home);
        configured(home).or_else(|| {
            let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.get(home).and_then(configured)
        })
    }

    /// Remembers which communities a peer has answered for. The first to answer for one keeps it;
    /// those with a way of their own are not for others to answer for.
    fn learn(&self, peer: &Peer, answer: &QueryResponse) {
        for object in &answer.objects {
            let Some(home) = object.home().filter(|home| *home != peer.home.as_str()) else { continue };
            let Ok(home) = HomeCommunityId::parse(home.trim()) else { continue };
            if self.peers.iter().any(|configured| configured.home == home) {
                continue;
            }
            let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
            if !routes.contains_key(&home) && routes.values().filter(|by| **by == peer.home).count() < MOST_ROUTES {
                routes.insert(home, peer.home.clone());
            }
        }
    }

    /// Forgets under which id a peer knows a patient: it has said that it does not.
    fn forget(&self, patient: &PatientId, peer: &Peer) {
        if let Some(correlations) = &self.correlations {
            correlations.forget(patient, &peer.home);
        }
    }

    /// The peers to ask about a patient, and a warning for each that is suspended.
    pub fn candidates<'f>(&'f self, wanted: impl Fn(&Peer) -> bool + 'f) -> (Vec<&'f Peer>, Vec<RegistryError>) {
        let (mut asked, mut warnings) = (Vec::new(), Vec::new());
        for peer in self.peers.iter().filter(|peer| wanted(peer)) {
            if peer.is_asked() {
                asked.push(peer);
            } else if peer.answers && peer.state == PeerState::Suspended {
                warnings.push(
                    RegistryError::new(
                        ErrorCode::XDSUnavailableCommunity,
                        format!(
                            "{} is suspended and was not asked; its documents are missing from this answer",
                            peer.name
                        ),
                    )
                    .at(peer.home.as_str())
                    .warning(),
                );
            }
        }
        (asked, warnings)
    }
}

/// Asks one peer what names it, or a community behind it, as its home.
pub async fn query_peer(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: &AdhocQuery,
) -> Outcome<QueryResponse> {
    let mut query = query.clone();
    let translated = match peer.not_asked(context) {
        Some(failure) => Err(failure),
        None => translate(context, federation, peer, &mut query).await,
    };
    let (mut result, patient) = match translated {
        Ok(Translated::Ready(patient)) => (peer.community.query(context, &query).await, patient),
        Ok(Translated::Answered(answer)) => (Ok(*answer), None),
        Err(failure) => (Err(failure), None),
    };
    if let Ok(answer) = &mut result {
        if let Some(patient) = patient.filter(|_| has_code(&answer.errors, &ErrorCode::XDSUnknownPatientId)) {
            federation.forget(&patient, peer);
        }
        leave_out_other_patients(context, peer, &query, answer);
        federation.learn(peer, answer);
    }
    if let Err(failure) = &result {
        tracing::warn!(
            correlation_id = %context.correlation_id, transaction = "ITI-38", community = %peer.home,
            failure = %failure.without_their_words(),
            "a community did not deliver"
        );
    }
    Outcome { home: peer.home.clone(), name: peer.name.clone(), result }
}

/// Asks several peers at once; the outcomes come in the peers' order.
pub async fn query_peers(
    context: &RequestContext,
    federation: &Federation,
    peers: &[&Peer],
    query: &AdhocQuery,
) -> Vec<Outcome<QueryResponse>> {
    join_all(peers.iter().map(|peer| async move {
        // Each is asked by its own name, as a query by id must and any other may (§3.38.4.1.2).
        let query = AdhocQuery { home: Some(peer.home.to_string()), ..query.clone() };
        query_peer(context, federation, peer, &query).await
    }))
    .await
}

/// The parameter that limits a query to some communities (ITI TF-2 §3.18.4.1.2.3.7, Target
/// Communities Option).
const TARGETS: &str = "$targetCommunityIdList";

/// The communities that a query is limited to, as they are written; none: it is not limited.
pub fn targets(query: &AdhocQuery) -> Option<Vec<&str>> {
    let values = query.slots.iter().filter(|slot| slot.name == TARGETS).flat_map(|slot| &slot.values);
    let targets: Vec<&str> = values
        .flat_map(|value| value.trim().trim_start_matches('(').trim_end_matches(')').split(','))
        .map(|text| text.trim().trim_matches('\''))
        .filter(|text| !text.is_empty())
        .collect();
    (!targets.is_empty()).then_some(targets)
}

/// The name of the parameter that says whom a query is about.
pub(super) fn patient_parameter(query: &AdhocQuery) -> Option<&'static str> {
    let parameters = QueryDefinition::by_id(&query.id)?.parameters;
    let about = parameters.iter().find(|parameter| matches!(parameter.kind, Kind::Patient | Kind::Patients));
    about.map(|parameter| parameter.name)
}

/// CX.1, the identifier without its assigning authority.
fn identifier(cx: &str) -> &str {
    cx.split('^').next().unwrap_or_default().trim()
}

/// The identifiers of the patients whom a query is about; none if it names nobody in a readable way.
fn patients_asked_for(query: &AdhocQuery) -> Option<Vec<String>> {
    let parameter = patient_parameter(query)?;
    let mut asked = Vec::new();
    for value in query.slots.iter().filter(|slot| slot.name == parameter).flat_map(|slot| &slot.values) {
        asked.extend(quoted_texts(value).ok()?.iter().map(|cx| identifier(cx).to_owned()));
    }
    (!asked.is_empty()).then_some(asked)
}

/// Leaves out what an answer says of another patient than the one asked for, and says so: shown as
/// this one's it would harm two people. The assigning authority does not matter, since gateways on
/// the way may have replaced it; the identifier does.
fn leave_out_other_patients(context: &RequestContext, peer: &Peer, query: &AdhocQuery, answer: &mut QueryResponse) {
    let Some(asked) = patients_asked_for(query) else { return };
    let before = answer.objects.len();
    answer.objects.retain(|packed| {
        let Ok(object) = packed.unpack() else { return false };
        match object.patient_id().map(identifier) {
            Some(patient) => asked.iter().any(|asked| asked == patient),
            // An association or a reference is nobody's; of anything else it must be said whose it is.
            None => matches!(object.noun(), Noun::Association | Noun::Other),
        }
    });
    let others = before - answer.objects.len();
    if others > 0 {
        tracing::error!(
            correlation_id = %context.correlation_id, transaction = "ITI-38", community = %peer.home, others,
            "a community answered with objects that are not the patient's whom it was asked for: they are left out"
        );
        answer.errors.push(
            RegistryError::new(
                ErrorCode::XDSRegistryError,
                format!(
                    "{} answered with {others} objects of another patient, or of none; they are left out",
                    peer.name
                ),
            )
            .at(peer.home.as_str()),
        );
        if answer.status == ResponseStatus::Success {
            answer.status = ResponseStatus::PartialSuccess;
        }
    }
}

/// A part of a retrieve: what one community is asked for.
pub struct RetrieveShare<'a> {
    /// Whom to ask.
    pub target: RetrieveTarget<'a>,
    /// For what, with the home its consumer wrote or left out.
    pub requests: Vec<DocumentRequest>,
}

fn has_code(errors: &[RegistryError], code: &ErrorCode) -> bool {
    errors.iter().any(|error| error.code == *code)
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
    spool: &Spool,
    shares: Vec<RetrieveShare<'_>>,
) -> RetrieveResponse {
    let several = shares.len() > 1;
    let answers = join_all(shares.into_iter().map(|share| async move {
        let requests = share.requests;
        match share.target {
            RetrieveTarget::Local(repository) => {
                let mut response = repository.retrieve(requests).await;
                response.errors = response.errors.into_iter().map(|error| locate(error, own)).collect();
                response
            }
            RetrieveTarget::Peer(peer) => {
                let response = retrieve_from(context, peer, &requests).await;
                if several { keep(context, peer, spool, response).await } else { response }
            }
        }
    }))
    .await;
    let mut merged = RetrieveResponse::failure(Vec::new());
    for answer in answers {
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
    merged
}

/// Keeps a peer's documents until all are there or the time is up; an error names those that are not.
async fn keep(
    context: &RequestContext,
    peer: &Peer,
    spool: &Spool,
    mut response: RetrieveResponse,
) -> RetrieveResponse {
    if response.documents.is_empty() {
        return response;
    }
    let (mut kept, began) = (spool.empty(), Instant::now());
    let sources = std::mem::take(&mut response.sources);
    let failure = tokio::select! {
        drawn = timeout_at(context.deadline, kept.draw(sources)) => match drawn {
            Ok(drawn) => drawn.err(),
            Err(_) => Some(PeerFailure::Timeout(began.elapsed().as_millis() as u64)),
        },
        () = context.cut.cancelled() => Some(PeerFailure::NotAsked("this broker stops".into())),
    };
    let (mut map, mut whole, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (number, mut document) in std::mem::take(&mut response.documents).into_iter().enumerate() {
        document.size = kept.size(number);
        if document.size.is_some() {
            map.push(Some(whole.len()));
            whole.push(document);
        } else {
            map.push(None);
            missing.push(document.request.unique_id.to_string());
        }
    }
    response.documents = whole;
    if !missing.is_empty() {
        let failure =
            failure.unwrap_or_else(|| PeerFailure::Garbage("a document that was announced did not come".into()));
        response.errors.push(undelivered(context, peer, &failure, &missing.join(", ")));
    }
    response.sources = vec![Box::new(Renumbered { source: Box::new(kept), offset: 0, map: Some(Arc::new(map)) })];
    response
}

/// The error for documents that a peer did not deliver, once it is logged.
fn undelivered(context: &RequestContext, peer: &Peer, failure: &PeerFailure, documents: &str) -> RegistryError {
    tracing::warn!(
        correlation_id = %context.correlation_id, transaction = "ITI-39", community = %peer.home,
        failure = %failure.without_their_words(),
        "a community did not deliver"
    );
    let mut error = unavailable(&peer.home, &peer.name, failure);
    error.context = format!("{} ({documents})", error.context);
    error
}

async fn retrieve_from(context: &RequestContext, peer: &Peer, requests: &[DocumentRequest]) -> RetrieveResponse {
    let result = match peer.not_asked(context) {
        Some(failure) => Err(failure),
        // Each names its home: the peer's, or that of a community behind it.
        None => peer.community.retrieve(context, requests.to_vec()).await,
    };
    let mut response = match result {
        Ok(response) => response,
        Err(failure) => {
            let ids: Vec<&str> = requests.iter().map(|request| request.unique_id.as_str()).collect();
            return RetrieveResponse::failure(vec![undelivered(context, peer, &failure, &ids.join(", "))]);
        }
    };
    response.errors = response.errors.into_iter().map(|error| locate(error, &peer.home)).collect();
    // Each document must answer a request; each request must be answered, or an error say why.
    let key = |request: &DocumentRequest| (request.repository.clone(), request.unique_id.clone());
    let mut open: HashMap<_, &DocumentRequest> = requests.iter().map(|request| (key(request), request)).collect();
    let mut map = Vec::with_capacity(response.documents.len());
    let mut kept = Vec::with_capacity(response.documents.len());
    for mut document in std::mem::take(&mut response.documents) {
        match open.remove(&key(&document.request)) {
            Some(request) => {
                map.push(Some(kept.len()));
                // Echoed as the consumer wrote it, home or no home (§3.43.4.2.2).
                document.request = request.clone();
                kept.push(document);
            }
            None => {
                tracing::warn!(correlation_id = %context.correlation_id, community = %peer.home, "a document that was not asked for is left out");
                map.push(None);
            }
        }
    }
    // One error may stand for the whole of a request; one that names a document stands for that.
    let named = |request: &DocumentRequest| {
        let errors = response.errors.iter().filter(|error| error.severity == Severity::Error);
        errors.into_iter().any(|error| names(&error.context, request.unique_id.as_str()))
    };
    let refused_as_a_whole = kept.is_empty() && has_error(&response.errors) && !requests.iter().any(&named);
    if !refused_as_a_whole {
        open.retain(|_, request| !named(request));
        let mut missing: Vec<_> = open.into_values().collect();
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
struct Renumbered {
    source: Box<dyn BodySource>,
    offset: usize,
    map: Option<Arc<Vec<Option<usize>>>>,
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
    use super::super::translation::replace_patients;
    use super::*;
    use crate::model::rim::Slot;

    fn query(value: &str) -> AdhocQuery {
        AdhocQuery {
            id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
            home: None,
            return_type: None,
            slots: vec![Slot::single("$XDSDocumentEntryPatientId", value.to_owned())],
        }
    }

    #[test]
    fn patients_are_found_and_translated_in_every_form() {
        let cases: &[(&str, Option<&[&str]>, &str)] = &[
            ("'a^^^&2.999.1&ISO'", Some(&["a"]), "'a^^^&2.999.2&ISO'"),
            (" ('a^^^&2.999.1&ISO') ", Some(&["a"]), "('a^^^&2.999.2&ISO')"),
            (
                "('a^^^&2.999.1&ISO', 'b''c^^^&2.999.1&ISO')",
                Some(&["a", "b'c"]),
                "('a^^^&2.999.2&ISO','b''c^^^&2.999.2&ISO')",
            ),
            // What cannot be read goes on as it is, to be refused there.
            ("a^^^&2.999.1&ISO", None, "a^^^&2.999.1&ISO"),
            ("'a'", Some(&["a"]), "'a'"),
        ];
        for (value, asked, there) in cases {
            let mut query = query(value);
            let asked = asked.map(|asked| asked.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(patients_asked_for(&query), asked, "{value}");
            replace_patients(&mut query, |patient| PatientId::new(patient.id(), Oid::parse("2.999.2").unwrap()).ok());
            assert_eq!(query.slots[0].values[0], *there, "{value}");
        }
        let mut documents = query("'a'");
        documents.id = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4".into();
        assert_eq!(patients_asked_for(&documents), None);
    }

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
