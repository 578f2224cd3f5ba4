//! The communities a gateway asks, and how it asks several at once (ITI TF-1 §18).
//!
//! All are asked concurrently; each has its own budget and bounds behind its [`Community`] port,
//! so a slow one delays nothing but its own part, and the deadline ends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::context::RequestContext;
use super::correlation::Correlations;
use super::explain::{Doing, counted};
use super::fingerprints::Fingerprints;
use super::locator::{self, Heard, Knowledge, Locator};
pub use super::manners::Manners;
use super::manners::stamp;
use super::merge::{Outcome, unavailable};
use super::ports::{Community, PeerFailure};
use super::translation::{Translated, translate};
pub use crate::model::community::{CertificateRule, PeerKind, PeerState, Scope, States};
use crate::model::ids::{HomeCommunityId, Oid, PatientId};
use crate::model::metadata::Noun;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::rim::RegistryObject;
use crate::model::sharing::Shares;
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
    /// What it takes part in.
    pub kind: PeerKind,
    /// Whether it has a Responding Gateway that can be asked at all.
    pub answers: bool,
    /// Whether it is to be asked, and when that changes.
    pub states: States,
    /// Communities behind it that have identities of their own.
    pub nodes: Vec<HomeCommunityId>,
    /// How patients are known there.
    pub translation: PatientTranslation,
    /// What it does otherwise than others.
    pub manners: Manners,
    /// By which certificates it is recognised when it asks.
    pub certificates: Vec<CertificateRule>,
    /// What it is given of what we have.
    pub shares: Arc<Shares>,
    /// How long it may remember under which identifier we know a patient; none: it is not told.
    pub feed: Option<Duration>,
    /// The way to it.
    pub community: Arc<dyn Community>,
}

#[cfg(test)]
impl Peer {
    /// A live one that takes part in everything, for tests of those that ask.
    pub(super) fn usual(home: HomeCommunityId, community: Arc<dyn Community>) -> Self {
        Self {
            name: format!("Community {home}"),
            home,
            scope: Scope::Member,
            kind: PeerKind::Full,
            answers: true,
            states: PeerState::Live.into(),
            nodes: Vec::new(),
            translation: PatientTranslation::SameDomain,
            manners: Manners::default(),
            certificates: Vec::new(),
            shares: Arc::default(),
            feed: None,
            community,
        }
    }
}

impl Peer {
    /// Whether that is its identity, or one of a community behind it.
    pub(super) fn is_or_has(&self, home: &HomeCommunityId) -> bool {
        self.home == *home || self.nodes.contains(home)
    }
}

/// Communities behind one peer that are remembered at most.
const MOST_ROUTES: usize = 1_000;

/// What a gateway remembers of answers; it outlives a change of the configuration.
#[derive(Default)]
pub struct Learned {
    /// Communities that we know from the answers of others: each with the peer that answers for it.
    routes: Mutex<HashMap<HomeCommunityId, HomeCommunityId>>,
    /// Documents by what their entries said of their bytes.
    pub(super) fingerprints: Fingerprints,
    /// Communities that know nothing of a patient.
    pub(super) nothing: Knowledge,
}

impl Learned {
    /// Nothing yet; of at most so many documents and patients.
    pub fn new(documents: usize, patients: usize) -> Self {
        let (fingerprints, nothing) = (Fingerprints::new(documents), Knowledge::new(patients));
        Self { routes: Mutex::default(), fingerprints, nothing }
    }

    /// Forgets what a community has said of patients: it will be asked in another way than it was.
    pub fn forget_patients_at(&self, home: &HomeCommunityId) {
        self.nothing.forget_community(home);
    }
}

/// What holds for all communities (`[initiating_gateway]`, `[responding_gateway]`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Whether answers to consumers name communities that are not connected yet.
    pub tell_planned: bool,
    /// Whether only callers that are recognised as a community are answered.
    pub only_known: bool,
}

/// The communities we know, in configured order.
#[derive(Default)]
pub struct Federation {
    /// In configured order, which is the order of answers.
    pub peers: Vec<Peer>,
    /// What earlier answers told.
    pub learned: Arc<Learned>,
    /// Under which ids others know our patients.
    pub correlations: Option<Arc<Correlations>>,
    /// Whether objects tell in slots of ours through whom they came.
    pub tells_routes: bool,
    /// How queries by patient are directed; none: everybody is asked.
    pub locator: Option<Arc<Locator>>,
    /// What holds for all of them.
    pub rules: Rules,
    /// Whether communities may take back what they have told of that.
    pub takes_revocations: bool,
}

impl Federation {
    /// These communities, and what is known of them already.
    pub fn new(peers: Vec<Peer>, learned: Arc<Learned>) -> Self {
        let (correlations, locator, rules) = (None, None, Rules::default());
        Self { peers, learned, correlations, tells_routes: false, locator, rules, takes_revocations: false }
    }

    /// The same under these rules.
    #[must_use]
    pub fn with_rules(self, rules: Rules) -> Self {
        Self { rules, ..self }
    }

    /// The same, able to ask communities under which id they know a patient.
    #[must_use]
    pub fn with_correlations(self, correlations: Arc<Correlations>) -> Self {
        Self { correlations: Some(correlations), ..self }
    }

    /// The same, asking only those that may hold something of a patient.
    #[must_use]
    pub fn with_locator(self, locator: Option<Arc<Locator>>) -> Self {
        Self { locator, ..self }
    }

    /// The peer of that identity, or the one that answers for it: a consumer asks on with the
    /// homeCommunityId that an answer gave it (ITI TF-2 §3.18.4.1.2.3.8).
    pub fn peer(&self, home: &HomeCommunityId) -> Option<&Peer> {
        let configured = |home: &HomeCommunityId| self.peers.iter().find(|peer| peer.is_or_has(home));
        configured(home).or_else(|| {
            let routes = self.learned.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.get(home).and_then(configured)
        })
    }

    /// Remembers which communities a peer has answered for. The first to answer for one keeps it;
    /// those with a way of their own are not for others to answer for.
    pub(super) fn learn(&self, context: &RequestContext, peer: &Peer, answer: &QueryResponse) {
        for object in &answer.objects {
            let Some(home) = object.home().filter(|home| *home != peer.home.as_str()) else { continue };
            let Ok(home) = HomeCommunityId::parse(home.trim()) else { continue };
            if self.peers.iter().any(|configured| configured.is_or_has(&home)) {
                continue;
            }
            let mut routes = self.learned.routes.lock().unwrap_or_else(PoisonError::into_inner);
            // A route by way of one that is not asked any more is none.
            let good = |by: &HomeCommunityId| self.peers.iter().any(|peer| peer.home == *by && peer.is_asked(context));
            if !routes.get(&home).is_some_and(good)
                && routes.values().filter(|by| **by == peer.home).count() < MOST_ROUTES
            {
                routes.insert(home, peer.home.clone());
            }
        }
    }

    /// Whether a peer is believed in what it says of objects of that community: of its own, and of those that
    /// are reached through it.
    fn may_tell_of(&self, peer: &Peer, home: &HomeCommunityId) -> bool {
        let through = || {
            let routes = self.learned.routes.lock().unwrap_or_else(PoisonError::into_inner);
            routes.get(home).is_none_or(|by| *by == peer.home)
        };
        peer.is_or_has(home) || (!self.peers.iter().any(|peer| peer.is_or_has(home)) && through())
    }

    /// Whether a community that a peer speaks for is asked without it, by a way of its own.
    pub(super) fn has_another_way(&self, peer: &Peer, home: &HomeCommunityId) -> bool {
        !peer.is_or_has(home) && self.peers.iter().any(|other| other.is_or_has(home))
    }

    /// Whether that peer answers for a community of which only others' answers have told.
    pub(super) fn reaches(&self, home: &str, peer: &HomeCommunityId) -> bool {
        let Ok(home) = HomeCommunityId::parse(home) else { return false };
        let routes = self.learned.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(&home) == Some(peer)
    }

    /// Forgets under which id a peer knows a patient: it has said that it does not.
    pub(super) fn forget(&self, patient: &PatientId, peer: &Peer) {
        if let Some(correlations) = &self.correlations {
            correlations.forget(patient, &peer.home);
        }
    }

    /// The peers to ask about a patient, and a warning for each that is suspended.
    pub fn candidates<'f>(
        &'f self,
        context: &RequestContext,
        wanted: impl Fn(&Peer) -> bool + 'f,
    ) -> (Vec<&'f Peer>, Vec<RegistryError>) {
        let (mut asked, mut warnings) = (Vec::new(), Vec::new());
        for peer in self.peers.iter().filter(|peer| wanted(peer)) {
            if peer.is_asked(context) {
                asked.push(peer);
                continue;
            }
            context.steps.came_of(Some(&peer.home), Doing::NotAsked, Instant::now(), || {
                peer.why_not(context).unwrap_or_default().into()
            });
            if peer.answers && peer.states.at(context.at) == PeerState::Suspended {
                warnings.push(peer.missing(context));
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
    let began = Instant::now();
    let translated = match peer.not_asked(context) {
        Some(failure) => Err(failure),
        None => translate(context, federation, peer, query).await,
    };
    if peer.translation == PatientTranslation::Discover {
        context.steps.took(Some(&peer.home), Doing::Discover, began);
    }
    let result = match translated {
        Ok(Translated::Ready(queries, patient, told)) => {
            let ask = |query| ask(context, federation, peer, query, patient.as_ref());
            let answers = join_all(queries.iter().map(ask)).await;
            let failures: Vec<PeerFailure> =
                answers.iter().filter_map(|answer| answer.as_ref().err().cloned()).collect();
            let whole = in_one(peer, queries.iter().zip(answers), told);
            if let Ok(answer) = &whole {
                failures.iter().for_each(|failure| undelivered(context, "ITI-38", peer, failure));
                let heard = if patient.is_some() { Heard::ByItsId(answer) } else { Heard::Answer(answer) };
                locator::learn(context, federation, peer, query, &heard);
            }
            whole
        }
        Ok(Translated::Answered(answer)) => Ok(*answer),
        Ok(Translated::NotKnown(at)) => {
            locator::learn(context, federation, peer, query, &Heard::NotKnown(at));
            Ok(QueryResponse::success(Vec::new()))
        }
        Err(failure) => Err(failure),
    };
    context.steps.ended(Some(&peer.home), Doing::Asked, began, result.as_ref().map(counted));
    if let Err(failure) = &result {
        undelivered(context, "ITI-38", peer, failure);
    }
    Outcome { home: peer.home.clone(), nodes: peer.nodes.clone(), name: peer.name.clone(), result }
}

/// Sends one query, and looks through its answer.
async fn ask(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: &AdhocQuery,
    patient: Option<&PatientId>,
) -> Result<QueryResponse, PeerFailure> {
    let mut answer = peer.community.query(context, query).await?;
    if let Some(patient) = patient.filter(|_| has_code(&answer.errors, &ErrorCode::XDSUnknownPatientId)) {
        federation.forget(patient, peer);
    }
    stamped(context, peer, query, &mut answer);
    examine(context, "ITI-38", federation, peer, query, &mut answer);
    federation.learn(context, peer, &answer);
    Ok(answer)
}

/// Gives the objects of a peer that leaves it out the home that was asked, where the peer is configured so.
pub(super) fn stamped(context: &RequestContext, peer: &Peer, query: &AdhocQuery, answer: &mut QueryResponse) {
    if !peer.manners.assume_home {
        return;
    }
    // By id it may be a community behind it that was asked.
    let asked = query.home.as_deref().and_then(|home| HomeCommunityId::parse_lenient(home).ok());
    let stamped = stamp(answer, asked.as_ref().unwrap_or(&peer.home));
    if stamped > 0 {
        tracing::debug!(
            correlation_id = %context.correlation_id, community = %peer.home, stamped,
            "objects without homeCommunityId are taken for the community's own"
        );
    }
}

/// The answers of a peer for the communities that it speaks for, in one. The peer has failed if it alone was asked,
/// for nobody but itself; else whoever has not delivered is named in the answer, even if nobody has.
pub(super) fn in_one<'q>(
    peer: &Peer,
    answers: impl Iterator<Item = (&'q AdhocQuery, Result<QueryResponse, PeerFailure>)>,
    told: Vec<RegistryError>,
) -> Result<QueryResponse, PeerFailure> {
    let (mut whole, mut missing, mut last): (Option<QueryResponse>, _, _) = (None, Vec::new(), None);
    for (query, mut answer) in answers {
        if let Ok(answer) = &mut answer
            && answer.status == ResponseStatus::Failure
        {
            // Objects beside a Failure are illegal: the errors are believed.
            answer.objects.clear();
        }
        match (answer, &mut whole) {
            (Ok(answer), Some(whole)) => {
                if answer.status != whole.status {
                    whole.status = ResponseStatus::PartialSuccess;
                }
                whole.objects.extend(answer.objects);
                whole.errors.extend(answer.errors);
            }
            (Ok(answer), None) => whole = Some(answer),
            (Err(failure), _) => {
                missing.push(not_delivered(peer, query, &failure));
                last = Some(failure);
            }
        }
    }
    let Some(mut whole) = whole else {
        let is_its_own = |error: &RegistryError| error.location.as_deref() == Some(peer.home.as_str());
        return match last {
            Some(_) if !told.is_empty() || missing.len() > 1 || !missing.iter().all(is_its_own) => {
                Ok(QueryResponse::failure(missing.into_iter().chain(told).collect()))
            }
            last => Err(last.unwrap_or_else(|| PeerFailure::NotAsked("there was nothing to ask it".into()))),
        };
    };
    if !missing.is_empty() && whole.status == ResponseStatus::Success {
        whole.status = ResponseStatus::PartialSuccess;
    }
    whole.errors.extend(missing.into_iter().chain(told));
    Ok(whole)
}

/// The error that names the community that a query was for.
pub(super) fn not_delivered(peer: &Peer, query: &AdhocQuery, failure: &PeerFailure) -> RegistryError {
    let home = query.home.as_deref().and_then(|home| HomeCommunityId::parse_lenient(home.trim()).ok());
    unavailable(home.as_ref().unwrap_or(&peer.home), &peer.name, failure)
}

/// Logs that a community did not deliver; one that is not asked these days is told apart.
pub(super) fn undelivered(context: &RequestContext, transaction: &'static str, peer: &Peer, failure: &PeerFailure) {
    match failure {
        PeerFailure::GivenUp(_) => {}
        PeerFailure::Absent(is) => tracing::info!(
            correlation_id = %context.correlation_id, transaction, community = %peer.home, is,
            "a community is not asked these days"
        ),
        _ => tracing::warn!(
            correlation_id = %context.correlation_id, transaction, community = %peer.home,
            failure = %failure.without_their_words(), "a community did not deliver"
        ),
    }
}

/// Asks several peers at once; the outcomes come in the peers' order. Each has a task of its own, so that answers
/// that come in the same moment are read on all processors; the tasks end when nobody waits for them any more.
pub async fn query_peers(
    context: &RequestContext,
    federation: &Arc<Federation>,
    peers: &[&Peer],
    query: &AdhocQuery,
) -> Vec<Outcome<QueryResponse>> {
    join_all(peers.iter().map(|peer| async move {
        let task = AbortOnDropHandle::new(tokio::spawn(
            query_by_name(context.clone(), Arc::clone(federation), peer.home.clone(), query.clone()).in_current_span(),
        ));
        match task.await {
            Ok(Some(outcome)) => outcome,
            // What a call brought that may not be on record is not told: the whole request ends.
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => Outcome {
                home: peer.home.clone(),
                nodes: peer.nodes.clone(),
                name: peer.name.clone(),
                result: Err(PeerFailure::GivenUp("this broker stops")),
            },
        }
    }))
    .await
}

/// Asks one peer by its own name, as a query by id must and any other may (§3.38.4.1.2).
async fn query_by_name(
    context: RequestContext,
    federation: Arc<Federation>,
    home: HomeCommunityId,
    query: AdhocQuery,
) -> Option<Outcome<QueryResponse>> {
    let peer = federation.peers.iter().find(|peer| peer.home == home)?;
    let query = AdhocQuery { home: Some(home.to_string()), ..query };
    Some(query_peer(&context, &federation, peer, &query).await)
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
    let definition = QueryDefinition::by_id(&query.id).or_else(|| QueryDefinition::fetch_by_id(&query.id))?;
    let parameters = definition.parameters;
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

/// The domains of the identifiers that a query is about.
fn domains_asked_for(query: &AdhocQuery) -> Vec<Oid> {
    let Some(parameter) = patient_parameter(query) else { return Vec::new() };
    let values = query.slots.iter().filter(|slot| slot.name == parameter).flat_map(|slot| &slot.values);
    let texts = values.flat_map(|value| quoted_texts(value).unwrap_or_default());
    texts.filter_map(|cx| Some(PatientId::parse(&cx).ok()?.authority().clone())).collect()
}

/// Leaves out what an answer says of another patient than the one asked for, and says so: shown as
/// this one's it would harm two people. The assigning authority does not matter, since gateways on
/// the way may have replaced it; the identifier does. Of what stays it is remembered which bytes its
/// documents have.
pub(super) fn examine(
    context: &RequestContext,
    transaction: &'static str,
    federation: &Federation,
    peer: &Peer,
    query: &AdhocQuery,
    answer: &mut QueryResponse,
) {
    let asked = patients_asked_for(query);
    let domains = domains_asked_for(query);
    // What lies behind it may know the patient in a domain of its own, and the gateway before it has found out
    // under which id: whose that is cannot be judged here.
    let elsewhere = |object: &RegistryObject<'_>| {
        let domain = object.patient_id().and_then(|cx| PatientId::parse(cx.trim()).ok());
        object.common.home.as_deref().is_some_and(|home| home.trim() != peer.home.as_str())
            && domain.is_some_and(|patient| !domains.contains(patient.authority()))
    };
    let before = answer.objects.len();
    answer.objects.retain(|packed| {
        // What cannot be read is for the writer of the answer to tell, unless it might be another's.
        let Ok(object) = packed.unpack() else { return asked.is_none() };
        let stays = match (&asked, object.patient_id().map(identifier)) {
            (None, _) => true,
            (Some(asked), Some(patient)) => asked.iter().any(|asked| asked == patient) || elsewhere(&object),
            // An association or a reference is nobody's; of anything else it must be said whose it is.
            (Some(_), None) => matches!(object.noun(), Noun::Association | Noun::Other),
        };
        // In one spelling, as the merge reads it.
        let home = object.common.home.as_deref().and_then(|home| HomeCommunityId::parse_lenient(home.trim()).ok());
        if let Some(home) = home.filter(|home| stays && federation.may_tell_of(peer, home)) {
            federation.learned.fingerprints.learn(&home, &object);
        }
        stays
    });
    let others = before - answer.objects.len();
    if others > 0 {
        context.steps.came_of(Some(&peer.home), Doing::LeftOut, Instant::now(), || {
            format!("{others} objects of another patient, or of none").into()
        });
        tracing::error!(
            correlation_id = %context.correlation_id, transaction, community = %peer.home, others,
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

pub(super) fn has_code(errors: &[RegistryError], code: &ErrorCode) -> bool {
    errors.iter().any(|error| error.code == *code)
}

#[cfg(test)]
mod tests {
    use super::super::ports::Nobody;
    use super::super::translation::replace_patients;
    use super::*;
    use crate::model::ids::EntryUuid;
    use crate::model::packed::PackedObject;
    use crate::model::rim::{Body, Slot};

    fn query(value: &str) -> AdhocQuery {
        AdhocQuery {
            id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
            home: None,
            return_type: None,
            slots: vec![Slot::single("$XDSDocumentEntryPatientId", value.to_owned())],
        }
    }

    #[test]
    fn answers_for_several_communities_are_one_and_nobody_is_lost() {
        let home = |n: u8| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap();
        let discover = PatientTranslation::Discover;
        let peer = Peer { translation: discover, ..Peer::usual(home(1), Arc::new(Nobody)) };
        let asked = |n: u8| AdhocQuery { home: Some(home(n).to_string()), ..query("'a^^^&2.999.1&ISO'") };
        let object = || PackedObject::pack(&RegistryObject::new(Body::ObjectRef, EntryUuid([1; 16]).into()));
        let one = || QueryResponse::success(vec![object()]);
        let refusal = || {
            let mut refusal = QueryResponse::failure(vec![RegistryError::new(ErrorCode::XDSRegistryError, "no")]);
            // Illegal beside a Failure.
            refusal.objects.push(object());
            refusal
        };
        let (two, three) = (asked(2), asked(3));
        let join = |answers: Vec<Result<QueryResponse, PeerFailure>>| {
            in_one(&peer, [&two, &three].into_iter().zip(answers), Vec::new())
        };
        let whole = join(vec![Ok(one()), Ok(one())]).unwrap();
        assert_eq!((whole.status, whole.objects.len()), (ResponseStatus::Success, 2));
        for first in [true, false] {
            let answers = if first { vec![Ok(refusal()), Ok(one())] } else { vec![Ok(one()), Ok(refusal())] };
            let whole = join(answers).unwrap();
            assert_eq!((whole.status, whole.objects.len(), whole.errors.len()), (ResponseStatus::PartialSuccess, 1, 1));
        }
        let part = join(vec![Err(PeerFailure::Timeout(9)), Ok(one())]).unwrap();
        assert_eq!((part.status, part.objects.len()), (ResponseStatus::PartialSuccess, 1));
        assert_eq!(part.errors[0].location.as_deref(), Some(home(2).as_str()));
        let all_failed = join(vec![Err(PeerFailure::NoRoom), Err(PeerFailure::Timeout(9))]).unwrap();
        let named: Vec<_> = all_failed.errors.iter().map(|error| error.location.clone().unwrap()).collect();
        assert_eq!(all_failed.status, ResponseStatus::Failure);
        assert_eq!(named, [home(2).to_string(), home(3).to_string()]);
        // Of one behind it alone; of itself; of itself, where somebody else is to be named too.
        let own = asked(1);
        let alone = |query, told| in_one(&peer, std::iter::once((query, Err(PeerFailure::Timeout(9)))), told);
        assert_eq!(alone(&two, Vec::new()).unwrap().errors[0].location.as_deref(), Some(home(2).as_str()));
        assert_eq!(alone(&own, Vec::new()).err(), Some(PeerFailure::Timeout(9)));
        let warning = RegistryError::new(ErrorCode::XDSUnavailableCommunity, "x").at(home(5).as_str()).warning();
        assert_eq!(alone(&own, vec![warning]).unwrap().errors.len(), 2);
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
            ("'a^^^&2.999.1&ISO '", Some(&["a"]), "'a^^^&2.999.2&ISO'"),
            // What cannot be read goes on as it is, to be refused there.
            ("a^^^&2.999.1&ISO", None, "a^^^&2.999.1&ISO"),
            ("'a'", Some(&["a"]), "'a'"),
        ];
        for (value, asked, there) in cases {
            let mut query = query(value);
            let asked = asked.map(|asked| asked.iter().map(|id| (*id).to_owned()).collect());
            assert_eq!(patients_asked_for(&query), asked, "{value}");
            let moved = |patient: &PatientId| PatientId::new(patient.id(), Oid::parse("2.999.2").unwrap()).ok();
            assert_eq!(replace_patients(&mut query, moved), asked.is_some() && *value != "'a'", "{value}");
            assert_eq!(query.slots[0].values[0], *there, "{value}");
        }
        let mut documents = query("'a'");
        documents.id = "urn:uuid:5c4f972b-d56b-40ac-a5fc-c8ca9b40b9d4".into();
        assert_eq!(patients_asked_for(&documents), None);
    }
}
