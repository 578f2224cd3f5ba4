//! Who holds anything about a patient: a gateway that is told to (`[locator]`) leaves out of a query by
//! patient those communities of which an earlier answer proves that they have nothing of what is asked for, and
//! those that a health data locator speaks for and does not name (ITI TF-2 §3.56).
//!
//! A wrong guess hides documents from a clinician without a word, so the burden of proof lies on leaving out:
//!
//! * nothing is known, or the answer was a failure, a warning, or one to a narrower question: it is asked;
//! * what proves something does so for a few hours, and for the assertion that was sent along;
//! * at the first query, and then again and again, everybody is asked; so it is in an emergency, and where a
//!   query names its communities;
//! * a locator that does not answer, or names nobody, has said nothing.
//!
//! Only queries of our own consumers are directed. To another gateway's request our members answer all: what we
//! remember would be taken there for what is so now, and remembered once more.

mod knowledge;
mod question;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::context::{Lane, RequestContext};
use super::explain::Doing;
use super::federation::{Federation, Peer};
use super::ports::{PeerFailure, Tally};
use super::translation::{asked_for, known_as};
use crate::model::emergency::EmergencyClaim;
use crate::model::ids::{HomeCommunityId, PatientId};
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::stored_query::AdhocQuery;
pub(super) use knowledge::Knowledge;
use knowledge::{Asker, OfPatient, is_fresh};
use question::{Extent, Question};

/// How queries by patient are directed (`[locator]` with policy "directed").
pub struct Locator {
    /// How long it counts that a community knows nothing of a patient.
    pub knows_nothing: Duration,
    /// After which time everybody is asked for a patient again; zero: never just for that.
    pub broadcast_every: Duration,
    /// Whether what a community shows may depend on the assertion sent along.
    pub per_user: bool,
    /// Whether an answer names those that were left out.
    pub tell: bool,
    /// How long a locator is waited for.
    pub wait: Duration,
    /// Communities that can be asked where a patient is known.
    pub locators: Vec<HomeCommunityId>,
    /// Communities that a locator speaks for, by their homes: it names each that holds something.
    pub located_by: HashMap<HomeCommunityId, HomeCommunityId>,
    /// Where it is counted who was left out.
    pub tally: Option<Arc<dyn Tally>>,
}

/// Why a community is left out.
enum Why {
    /// It has said that it has nothing, then.
    KnowsNothing(jiff::Timestamp),
    /// The locator that speaks for it does not name it: that one's name.
    NotLocated(String),
}

impl Why {
    /// In numbers.
    fn label(&self) -> &'static str {
        match self {
            Self::KnowsNothing(_) => "knows-nothing",
            Self::NotLocated(_) => "not-located",
        }
    }

    /// For people.
    fn words(&self) -> String {
        match self {
            Self::KnowsNothing(at) => format!("it has said that it holds nothing of the patient ({at:.0})"),
            Self::NotLocated(by) => format!("{by}, which speaks for it, does not name it"),
        }
    }
}

/// What has become of a query to one community.
pub(super) enum Heard<'a> {
    /// It has said that it does not know the patient, then (ITI-55), and was not queried.
    NotKnown(jiff::Timestamp),
    /// It was asked by an id that it had given for the patient (ITI-55), and has answered.
    ByItsId(&'a QueryResponse),
    /// It has answered.
    Answer(&'a QueryResponse),
}

/// The peers that a query by patient goes to, in configured order, and what the answer is to say of others.
pub(super) async fn whom_to_ask<'f>(
    context: &RequestContext,
    federation: &'f Federation,
    query: &AdhocQuery,
) -> (Vec<&'f Peer>, Vec<RegistryError>) {
    let (asked, mut warnings) = federation.candidates(context, |_| true);
    let (Some(locator), Some(question)) = (&federation.locator, Question::of(query)) else {
        return (asked, warnings);
    };
    let left_out = locator.left_out(context, federation, &question, &asked).await;
    if left_out.is_empty() && question.is_whole {
        federation.learned.nothing.everybody_asked(&question.patient, context.at);
    }
    let stays = |peer: &&Peer| !left_out.iter().any(|(home, _)| *home == peer.home);
    let (asked, left): (Vec<_>, Vec<_>) = asked.into_iter().partition(stays);
    for (peer, (_, why)) in left.into_iter().zip(left_out) {
        context.steps.came_of(Some(&peer.home), Doing::NotAsked, Instant::now(), || why.words().into());
        if let Some(tally) = &locator.tally {
            tally.left_out(&peer.home, why.label());
        }
        if locator.tell {
            let words = format!("{} was not asked: {}", peer.name, why.words());
            let told = RegistryError::new(ErrorCode::XDSUnavailableCommunity, words);
            warnings.push(told.at(peer.home.as_str()).warning());
        }
    }
    (asked, warnings)
}

/// A community asks about patients, so it may know them.
pub(super) fn asks_about(federation: &Federation, community: Option<&HomeCommunityId>, patients: &[PatientId]) {
    let community = community.filter(|_| federation.locator.is_some());
    let Some(peer) = community.and_then(|home| federation.peer(home)) else { return };
    for patient in patients {
        federation.learned.nothing.forget(patient, &peer.home);
    }
}

/// The same for whom a query of another gateway is about; the last one that it has passed has sent it.
pub(super) fn queries_about(context: &RequestContext, federation: &Federation, query: &AdhocQuery) {
    asks_about(federation, context.via.last(), &asked_for(query).unwrap_or_default());
}

/// Remembers what an answer proves.
pub(super) fn learn(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    query: &AdhocQuery,
    heard: &Heard<'_>,
) {
    let Some(locator) = &federation.locator else { return };
    let knowledge = &federation.learned.nothing;
    let patients = asked_for(query).unwrap_or_default();
    let [patient] = patients.as_slice() else { return };
    let nothing = |extent, asker, at| knowledge.has_nothing(patient, &peer.home, extent, asker, at);
    let answer = match heard {
        Heard::NotKnown(at) => return nothing(Extent::ALL, Asker::ANYBODY, *at),
        Heard::ByItsId(answer) | Heard::Answer(answer) => answer,
    };
    if !answer.objects.is_empty() {
        return knowledge.holds(patient, &peer.home);
    }
    // Of a community behind it the answer says nothing about the peer.
    let is_its_own = query.home.as_deref().is_none_or(|home| home.trim() == peer.home.as_str());
    let unknown = |error: &RegistryError| error.code == ErrorCode::XDSUnknownPatientId;
    if !is_its_own {
        return;
    }
    if !answer.errors.is_empty() && answer.errors.iter().all(unknown) {
        // That it no longer knows an id of its own says nothing of the patient, who may have another by now.
        if matches!(heard, Heard::Answer(_)) {
            nothing(Extent::ALL, Asker::ANYBODY, context.at);
        }
        return;
    }
    // A warning may be about what is missing.
    let is_empty = answer.status == ResponseStatus::Success && answer.errors.is_empty();
    if let Some(question) = Question::of(query).filter(|question| is_empty && question.is_whole) {
        nothing(question.extent, locator.asker(context, federation), context.at);
    }
}

/// Why everybody is asked although it is known who holds nothing, if somebody's life may depend on it: whoever asks is
/// known for that (`emergency_callers`), or the assertion says so, or cannot be read. It need not be verified, nor
/// clear: whoever says so wrongly has everybody asked.
fn emergency(context: &RequestContext) -> Option<&'static str> {
    match (context.lane, context.emergency) {
        (Lane::Emergency, _) | (_, EmergencyClaim::Yes) => Some("everybody is asked: it is an emergency"),
        (_, EmergencyClaim::Unclear) => {
            Some("everybody is asked: the assertion does not show whether it is an emergency")
        }
        (Lane::Ordinary, EmergencyClaim::No) => None,
    }
}

impl Locator {
    fn asker(&self, context: &RequestContext, federation: &Federation) -> Asker {
        match self.per_user {
            true => federation.learned.nothing.asker(context.security.as_ref()),
            false => Asker::ANYBODY,
        }
    }

    /// Whether it is time to ask everybody, and why, in words.
    fn broadcast(&self, context: &RequestContext, known: &OfPatient) -> Option<&'static str> {
        if let Some(why) = emergency(context) {
            return Some(why);
        }
        let lately = |at| is_fresh(at, context.at, self.broadcast_every);
        match known.everybody_asked {
            _ if self.broadcast_every.is_zero() => None,
            None => Some("everybody is asked: for this patient nobody was asked before"),
            Some(at) if !lately(at) => Some("everybody is asked: the last time lies too far back"),
            Some(_) => None,
        }
    }

    /// Those of the candidates that are left out, in their order.
    async fn left_out(
        &self,
        context: &RequestContext,
        federation: &Federation,
        question: &Question,
        candidates: &[&Peer],
    ) -> Vec<(HomeCommunityId, Why)> {
        let began = Instant::now();
        let asker = self.asker(context, federation);
        let knowledge = &federation.learned.nothing;
        let known = knowledge.of(&question.patient, question.extent, asker, context.at, self.knows_nothing);
        if let Some(why) = self.broadcast(context, &known) {
            context.steps.came_of(None, Doing::Locate, began, || why.into());
            return Vec::new();
        }
        let said = |peer: &Peer| known.nothing.iter().find(|(home, _)| *home == peer.home).map(|(_, at)| *at);
        let located_by = |peer: &Peer| self.located_by.get(&peer.home).filter(|_| !known.holders.contains(&peer.home));
        if !candidates.iter().any(|peer| said(peer).is_some() || located_by(peer).is_some()) {
            context
                .steps
                .came_of(None, Doing::Locate, began, || "everybody is asked: nobody is known to hold nothing".into());
            return Vec::new();
        }
        let located = self.locate(context, federation, question, candidates).await;
        let is_named = |peer: &Peer| located.iter().any(|(_, named)| named.contains(&peer.home));
        let mut left_out = Vec::new();
        for peer in candidates {
            if is_named(peer) {
                knowledge.forget(&question.patient, &peer.home);
                continue;
            }
            let speaks = located_by(peer).and_then(|by| located.iter().find(|(locator, _)| locator.home == *by));
            if let Some(at) = said(peer) {
                left_out.push((peer.home.clone(), Why::KnowsNothing(at)));
            } else if let Some((locator, _)) = speaks {
                left_out.push((peer.home.clone(), Why::NotLocated(locator.name.clone())));
            }
        }
        context.steps.came_of(None, Doing::Locate, began, || {
            format!("{} of {} are left out", left_out.len(), candidates.len()).into()
        });
        left_out
    }

    /// Asks the locators among the candidates at once: each that has named somebody, with the peers by way of
    /// which those are reached.
    async fn locate<'f>(
        &self,
        context: &RequestContext,
        federation: &'f Federation,
        question: &Question,
        candidates: &[&'f Peer],
    ) -> Vec<(&'f Peer, Vec<HomeCommunityId>)> {
        let says_so = |peer: &Peer| federation.correlations.as_ref().is_some_and(|kept| kept.is_locator(&peer.home));
        let locators = candidates.iter().filter(|peer| self.locators.contains(&peer.home) || says_so(peer));
        // What it does not say soon it need not say: everybody it might have named is asked then.
        let deadline = context.deadline.min(Instant::now() + self.wait);
        let hurried = RequestContext { deadline, ..context.clone() };
        let hurried = &hurried;
        let asked = locators.copied().map(|peer| async move {
            let began = Instant::now();
            let named = ask(hurried, federation, peer, &question.patient).await;
            hurried.steps.came_of(Some(&peer.home), Doing::Locate, began, || match &named {
                Ok(homes) => format!("names {} communities", homes.len()).into(),
                Err(failure) => failure.without_their_words(),
            });
            let homes = named.ok().filter(|homes| !homes.is_empty())?;
            let ways = homes.iter().filter_map(|home| federation.peer(home)).map(|peer| peer.home.clone());
            Some((peer, ways.collect()))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// The communities that a locator names for a patient (ITI-56).
async fn ask(
    context: &RequestContext,
    federation: &Federation,
    locator: &Peer,
    patient: &PatientId,
) -> Result<Vec<HomeCommunityId>, PeerFailure> {
    let there = known_as(context, federation, locator, patient).await?;
    let there = there.ok_or_else(|| PeerFailure::NotAsked("it does not know the patient".into()))?;
    let locations = locator.community.locate(context, &there).await?;
    Ok(locations.into_iter().map(|location| location.home).collect())
}
