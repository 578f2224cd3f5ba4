//! Under which identifier another community knows a patient: asked by ITI-55, kept for as long as
//! that community says (ITI TF-2 §3.55.4.1.2, CorrelationTimeToLive).
//!
//! Of all who want to know the same at once one asks, and the others get its answer. What is kept is
//! bounded: what was not used lately goes first. What communities tell without being waited for is beside
//! it (`told`), as are the questions whose answers come later (`late`).

mod feed;
mod late;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

pub use feed::NotRevoked;
use late::Questions;
use told::Told;

use super::context::RequestContext;
use super::discovery::OwnPatients;
use super::federation::Peer;
use super::patient_directory::is_other_person;
use super::ports::{Clock, Discovered, PeerFailure};
use crate::model::discovery::{
    Attribute, Criteria, DiscoveryAnswer, DiscoveryQuery, InstanceId, MessageHeader, PatientMatch, Person, Priority,
};
use crate::model::ids::{HomeCommunityId, Oid, PatientId};

/// Bounds of what is kept, from `[limits]`.
#[derive(Debug, Clone, Copy)]
pub struct CorrelationLimits {
    /// Correlations.
    pub most: usize,
    /// How long one is kept whose community says nothing of that.
    pub usual: Duration,
    /// How long one is kept at most.
    pub longest: Duration,
    /// How long it is kept that a community does not know a patient.
    pub negative: Duration,
    /// Patients of each community that has told of them without being waited for.
    pub told: usize,
    /// Questions whose answers may come later.
    pub questions: usize,
    /// How long such a question is remembered.
    pub question_life: Duration,
}

/// A community of those that one answer speaks of, with the patient there; none: several there may
/// be the one.
pub type Correlated = (HomeCommunityId, Option<PatientId>);

/// Whom, and by which peer.
type Key = (PatientId, HomeCommunityId);
/// What is known, behind a lock that is held while it is asked for.
type Slot = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    known: Result<Arc<[Correlated]>, PeerFailure>,
    at: Instant,
    expires: Timestamp,
}

/// Two generations of slots: who is used moves into the younger, which becomes the older when it is
/// full.
#[derive(Default)]
struct Generations {
    young: HashMap<Key, Slot>,
    old: HashMap<Key, Slot>,
}

/// The correlations of our patients with those of other communities.
pub struct Correlations {
    generations: Mutex<Generations>,
    told: Told,
    questions: Questions,
    patients: Arc<OwnPatients>,
    own: HomeCommunityId,
    clock: Arc<dyn Clock>,
    limits: CorrelationLimits,
}

impl Correlations {
    /// None yet.
    pub fn new(
        patients: Arc<OwnPatients>,
        own: HomeCommunityId,
        clock: Arc<dyn Clock>,
        limits: CorrelationLimits,
    ) -> Self {
        let (told, questions) = (Told::new(limits.told), Questions::new(limits.questions, limits.question_life));
        Self { generations: Mutex::default(), told, questions, patients, own, clock, limits }
    }

    fn slot(&self, key: Key) -> Slot {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = generations.young.get(&key) {
            return Arc::clone(slot);
        }
        let slot = generations.old.remove(&key).unwrap_or_default();
        if generations.young.len() >= (self.limits.most / 2).max(1) {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, Arc::clone(&slot));
        slot
    }

    /// Forgets one, because it has turned out wrong.
    pub fn forget(&self, patient: &PatientId, peer: &HomeCommunityId) {
        let key = (patient.clone(), peer.clone());
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.remove(&key);
        generations.old.remove(&key);
        drop(generations);
        self.told.forget(peer, patient);
    }

    /// What is known of a patient at a peer, without asking anybody.
    pub fn known(&self, patient: &PatientId, peer: &HomeCommunityId) -> Option<Arc<[Correlated]>> {
        let asked = self.asked(patient, peer);
        if asked.as_deref().is_some_and(is_certain) {
            return asked;
        }
        self.told.of(peer, patient, self.clock.now()).or(asked)
    }

    fn asked(&self, patient: &PatientId, peer: &HomeCommunityId) -> Option<Arc<[Correlated]>> {
        let key = (patient.clone(), peer.clone());
        let slot = {
            let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.young.get(&key).or_else(|| generations.old.get(&key)).cloned()
        };
        let slot = slot?;
        // Whoever holds the lock is asking just now: then nothing is known yet.
        let kept = slot.try_lock().ok()?;
        kept.as_ref().filter(|kept| self.clock.now() < kept.expires).and_then(|kept| kept.known.clone().ok())
    }

    /// The patient at a peer and the communities behind it; empty: not known there.
    ///
    /// # Errors
    /// When the peer does not say.
    pub async fn of(
        &self,
        context: &RequestContext,
        peer: &Peer,
        patient: &PatientId,
    ) -> Result<Arc<[Correlated]>, PeerFailure> {
        let asked = Instant::now();
        let slot = self.slot((patient.clone(), peer.home.clone()));
        let locked = tokio::select! {
            locked = timeout_at(context.deadline, slot.lock()) => locked,
            failure = context.given_up() => return Err(failure),
        };
        let Ok(mut kept) = locked else { return Err(PeerFailure::Timeout(asked.elapsed().as_millis() as u64)) };
        // What came while we waited is the answer to our question too, a failure included.
        let now = self.clock.now();
        let good = |kept: &&Kept| kept.at >= asked || (kept.known.is_ok() && now < kept.expires);
        let known = kept.as_ref().filter(good).map(|kept| kept.known.clone());
        if !matches!(&known, Some(Ok(known)) if is_certain(known))
            && let Some(told) = self.told_of(peer, patient).await
        {
            return Ok(told);
        }
        if let Some(known) = known {
            return known;
        }
        let (known, expires) = match self.discover(context, peer, patient).await {
            Ok((known, expires)) => (Ok(Arc::from(known)), expires),
            // That nobody waits for it here says nothing to those who wait for it there: the next one asks.
            Err(failure @ PeerFailure::GivenUp(_)) => return Err(failure),
            Err(failure) => (Err(failure), Timestamp::MIN),
        };
        *kept = Some(Kept { known: known.clone(), at: Instant::now(), expires });
        known
    }

    /// What a peer has told of a patient, under the identifier asked with or the one that we file under.
    async fn told_of(&self, peer: &Peer, patient: &PatientId) -> Option<Arc<[Correlated]>> {
        if self.told.is_empty(&peer.home) {
            return None;
        }
        let now = self.clock.now();
        if let Some(told) = self.told.of(&peer.home, patient, now) {
            return Some(told);
        }
        let person = self.patients.person(patient).await?;
        self.told.of(&peer.home, &person.id, now)
    }

    async fn discover(
        &self,
        context: &RequestContext,
        peer: &Peer,
        patient: &PatientId,
    ) -> Result<(Vec<Correlated>, Timestamp), PeerFailure> {
        let person = self.patients.person(patient).await;
        let mut query = self.query(peer, patient, person.as_ref());
        let remember = |query: &DiscoveryQuery| {
            if peer.community.answers_later() {
                self.questions.remember(&query.query_id, patient, &peer.home);
            }
        };
        remember(&query);
        let mut discovered = peer.community.discover(context, &query).await?;
        if let (DiscoveryAnswer::MoreWanted(wanted), Some(person)) = (&discovered.answer, &person)
            && add(&mut query.criteria, person, wanted)
        {
            // Once: who wants still more will not be satisfied (§3.55.4.2.3).
            query.header.message_id = self.fresh_id();
            query.query_id = self.fresh_id();
            remember(&query);
            discovered = peer.community.discover(context, &query).await?;
        }
        self.concluded(context, &peer.home, discovered, person.as_ref())
    }

    /// What an answer means, and until when.
    fn concluded(
        &self,
        context: &RequestContext,
        peer: &HomeCommunityId,
        discovered: Discovered,
        person: Option<&Person>,
    ) -> Result<(Vec<Correlated>, Timestamp), PeerFailure> {
        let now = self.clock.now();
        let after = |duration| now.saturating_add(SignedDuration::try_from(duration).unwrap_or_default());
        let until = |end: jiff::Timestamp| end.min(after(self.limits.longest).unwrap_or(now));
        let later = |duration| until(after(duration).unwrap_or(now));
        Ok(match discovered.answer {
            DiscoveryAnswer::Matches(matches) => {
                let known = self.sorted(context, peer, matches, person);
                let usual = discovered.expires.map_or_else(|| later(self.limits.usual), until);
                let certain = is_certain(&known);
                (known, if certain { usual } else { later(self.limits.negative) })
            }
            DiscoveryAnswer::NotFound => (Vec::new(), later(self.limits.negative)),
            // There is somebody, and they will not say who: documents may be missing.
            DiscoveryAnswer::MoreWanted(_) => (vec![(peer.clone(), None)], later(self.limits.negative)),
            DiscoveryAnswer::Refused(refusal) => {
                return Err(PeerFailure::Declined(
                    refusal.problem.map_or(refusal.fault.code(), |problem| problem.code()),
                ));
            }
        })
    }

    fn fresh_id(&self) -> InstanceId {
        InstanceId::new(self.own.oid(), uuid::Uuid::new_v4().to_string())
    }

    /// What is told of a patient to find them: identifiers, and who they are; not where they are.
    fn query(&self, peer: &Peer, patient: &PatientId, person: Option<&Person>) -> DiscoveryQuery {
        let mut criteria = Criteria { ids: vec![patient.clone()], ..Criteria::default() };
        if let Some(person) = person {
            let known = &person.demographics;
            let others = std::iter::once(&person.id).chain(&known.other_ids);
            let others = others.filter(|id| *id != patient && self.patients.is_shared(id.authority()));
            criteria.ids.extend(others.cloned());
            criteria.names = known.names.clone();
            criteria.birth_time = known.birth_time.clone();
            criteria.gender = known.gender.clone();
        }
        let own = self.own_identifier(peer, patient, person, &mut criteria);
        DiscoveryQuery {
            header: MessageHeader {
                message_id: self.fresh_id(),
                sender_device: None,
                sender: Some(self.own.clone()),
                receiver_device: None,
                receiver: Some(peer.home.clone()),
            },
            query_id: self.fresh_id(),
            keep: peer.feed.filter(|_| own.is_some()),
            requester_domain: own,
            priority: Priority::Immediate,
            respond_to: None,
            criteria,
        }
    }

    /// The domain of the identifier that a peer is to ask us by, which is the one that we file under: given to
    /// those that are fed, for as long as they may keep it; of restricted people to nobody.
    fn own_identifier(
        &self,
        peer: &Peer,
        patient: &PatientId,
        person: Option<&Person>,
        criteria: &mut Criteria,
    ) -> Option<Oid> {
        peer.feed?;
        if person.is_some_and(|person| person.restricted) {
            return None;
        }
        let own = person.map_or(patient, |person| &person.id);
        if !criteria.ids.contains(own) {
            criteria.ids.push(own.clone());
        }
        // Two of one domain would not say which is meant.
        let of_it = criteria.ids.iter().filter(|id| id.authority() == own.authority()).count();
        (of_it == 1).then(|| own.authority().clone())
    }

    /// One patient for each community, or none where there are several (§3.55.4.2.3).
    fn sorted(
        &self,
        context: &RequestContext,
        peer: &HomeCommunityId,
        matches: Vec<PatientMatch>,
        person: Option<&Person>,
    ) -> Vec<Correlated> {
        let mut known: Vec<Correlated> = Vec::new();
        for found in matches {
            let home = found.home.unwrap_or_else(|| peer.clone());
            // Of our own patients nobody else has to tell us.
            if home == self.own {
                continue;
            }
            if person.is_some_and(|person| is_other_person(&person.demographics, &found.demographics)) {
                tracing::error!(
                    correlation_id = %context.correlation_id, transaction = "ITI-55", community = %peer,
                    "a community answered with a patient of another birth date: the match is not used"
                );
                continue;
            }
            match known.iter_mut().find(|(other, _)| *other == home) {
                Some((_, id)) if id.as_ref() == Some(&found.id) => {}
                Some((_, id)) => *id = None,
                None => known.push((home, Some(found.id))),
            }
        }
        known
    }
}

/// Whether there is somebody to ask by.
fn is_certain(known: &[Correlated]) -> bool {
    known.iter().any(|(_, id)| id.is_some())
}

/// Adds what is wanted, as far as it is known and may be told; whether anything was.
fn add(criteria: &mut Criteria, person: &Person, wanted: &[Attribute]) -> bool {
    let before = criteria.clone();
    let known = &person.demographics;
    for attribute in wanted {
        match attribute {
            Attribute::Gender => criteria.gender = known.gender.clone(),
            _ if person.restricted => {}
            Attribute::Address => criteria.addresses = known.addresses.clone(),
            Attribute::Telecom => criteria.telecoms = known.telecoms.clone(),
            Attribute::BirthPlaceName => criteria.birth_places = known.birth_place.iter().cloned().collect(),
            Attribute::MothersMaidenName => {
                criteria.mothers_maiden_names = known.mothers_maiden_name.iter().cloned().collect();
            }
            Attribute::BirthPlaceAddress => {}
        }
    }
    *criteria != before
}

#[cfg(test)]
mod tests;
