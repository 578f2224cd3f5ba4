//! Under which identifier another community knows a patient: asked by ITI-55, kept for as long as
//! that community says (ITI TF-2 §3.55.4.1.2, CorrelationTimeToLive).
//!
//! Of all who want to know the same at once one asks, and the others get its answer. What is kept is
//! bounded: what was not used lately goes first. What communities tell without being waited for is beside
//! it (`told`), as are the questions whose answers come later (`late`).

mod feed;
mod late;
mod told;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout_at};

pub use feed::NotRevoked;
use late::Questions;
pub use late::Unwelcome;
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

/// Matches of one answer at most: a community that knows so many knows nobody.
const MOST_MATCHES: usize = 20;

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
    /// When it was asked, if it says that it knows nobody.
    nobody: Option<Timestamp>,
}

/// What a community has said.
struct Said {
    known: Vec<Correlated>,
    expires: Timestamp,
    /// That it knows nobody, rather than somebody who is not to be used.
    is_nobody: bool,
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
    /// Peers that can be asked where else a patient is known, as they say with a patient of theirs (§3.56).
    locators: Mutex<BTreeSet<HomeCommunityId>>,
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
        let (generations, locators) = (Mutex::default(), Mutex::default());
        Self { generations, locators, told, questions, patients, own, clock, limits }
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
        let slot = self.kept(patient, peer)?;
        // Whoever holds the lock is asking just now: then nothing is known yet.
        let kept = slot.try_lock().ok()?;
        kept.as_ref().filter(|kept| self.clock.now() < kept.expires).and_then(|kept| kept.known.clone().ok())
    }

    /// When a peer was asked that says that it knows no such patient; none, if it does not say so.
    pub fn knows_nobody(&self, patient: &PatientId, peer: &HomeCommunityId) -> Option<Timestamp> {
        let slot = self.kept(patient, peer)?;
        let kept = slot.try_lock().ok()?;
        kept.as_ref().and_then(|kept| kept.nobody)
    }

    fn kept(&self, patient: &PatientId, peer: &HomeCommunityId) -> Option<Slot> {
        let key = (patient.clone(), peer.clone());
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.get(&key).or_else(|| generations.old.get(&key)).cloned()
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
        let began = self.clock.now();
        let (known, expires, nobody) = match self.discover(context, peer, patient).await {
            Ok(Said { known, expires, is_nobody }) => (Ok(Arc::from(known)), expires, is_nobody.then_some(began)),
            // That nobody waits for it here says nothing to those who wait for it there: the next one asks.
            Err(failure @ PeerFailure::GivenUp(_)) => return Err(failure),
            Err(failure) => (Err(failure), Timestamp::MIN, None),
        };
        *kept = Some(Kept { known: known.clone(), at: Instant::now(), expires, nobody });
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

    /// Whether a peer has said that it can be asked where else a patient is known (SupportsHealthDataLocator).
    pub fn is_locator(&self, peer: &HomeCommunityId) -> bool {
        self.locators.lock().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }

    /// Remembers whether it can be asked so, as its latest answer says; of others it has no say.
    fn learn_locator(&self, peer: &HomeCommunityId, matches: &[PatientMatch]) {
        let its_own = |found: &&PatientMatch| found.home.as_ref().is_none_or(|home| home == peer);
        let Some(own) = matches.iter().find(its_own) else { return };
        let mut locators = self.locators.lock().unwrap_or_else(PoisonError::into_inner);
        if own.is_locator {
            locators.insert(peer.clone());
        } else {
            locators.remove(peer);
        }
    }

    async fn discover(&self, context: &RequestContext, peer: &Peer, patient: &PatientId) -> Result<Said, PeerFailure> {
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
        self.concluded(context, &peer.home, discovered, person.as_ref(), &query.criteria.ids)
    }

    /// What an answer means, and until when.
    fn concluded(
        &self,
        context: &RequestContext,
        peer: &HomeCommunityId,
        discovered: Discovered,
        person: Option<&Person>,
        asked: &[PatientId],
    ) -> Result<Said, PeerFailure> {
        let now = self.clock.now();
        let after = |duration| now.saturating_add(SignedDuration::try_from(duration).unwrap_or_default());
        let until = |end: jiff::Timestamp| end.min(after(self.limits.longest).unwrap_or(now));
        let later = |duration| until(after(duration).unwrap_or(now));
        let is_nobody = discovered.answer == DiscoveryAnswer::NotFound;
        let (known, expires) = match discovered.answer {
            DiscoveryAnswer::Matches(matches) if matches.len() > MOST_MATCHES => {
                return Err(PeerFailure::TooMany(MOST_MATCHES));
            }
            DiscoveryAnswer::Matches(matches) => {
                self.learn_locator(peer, &matches);
                let known = self.sorted(context, peer, matches, person, asked);
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
        };
        Ok(Said { known, expires, is_nobody })
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

    /// One patient for each community, or none where there are several (§3.55.4.2.3), or where the one that it
    /// gives cannot be ours: it may know ours all the same, under a birth date that somebody mistyped.
    fn sorted(
        &self,
        context: &RequestContext,
        peer: &HomeCommunityId,
        matches: Vec<PatientMatch>,
        person: Option<&Person>,
        asked: &[PatientId],
    ) -> Vec<Correlated> {
        let (mut known, mut refused): (Vec<Correlated>, Vec<HomeCommunityId>) = Default::default();
        for found in matches {
            let home = found.home.clone().unwrap_or_else(|| peer.clone());
            // Of our own patients nobody else has to tell us.
            if home == self.own {
                continue;
            }
            if let Some(how) = is_other_person(person.map(|person| &person.demographics), asked, &found) {
                tracing::error!(
                    correlation_id = %context.correlation_id, transaction = "ITI-55", community = %peer,
                    "a community answered with a patient {how}: the match is not used"
                );
                refused.push(home);
                continue;
            }
            match known.iter_mut().find(|(other, _)| *other == home) {
                Some((_, id)) if id.as_ref() == Some(&found.id) => {}
                Some((_, id)) => *id = None,
                None => known.push((home, Some(found.id))),
            }
        }
        for home in refused {
            if !known.iter().any(|(other, _)| *other == home) {
                known.push((home, None));
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
