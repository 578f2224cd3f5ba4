//! Which communities know nothing of a patient, and which hold something: remembered from answers,
//! within bounds and in memory only.
//!
//! What is forgotten too early costs a question, what is believed too long hides documents: so all of it
//! ends by itself, and what is in doubt is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::question::Extent;
use crate::model::ids::{HomeCommunityId, PatientId};

/// Things remembered of one patient at most: communities times those who asked.
const MOST_OF_A_PATIENT: usize = 256;

/// Whom an answer was given to. What a community shows may depend on the assertion that was sent along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker(u64);

impl Asker {
    /// An answer that is the same for everybody.
    pub(super) const ANYBODY: Self = Self(0);
}

/// That a community has said that it has nothing of these kinds.
#[derive(Clone, Copy)]
struct Nothing {
    /// Its place in the list of homes.
    home: u16,
    extent: Extent,
    asker: Asker,
    /// In seconds: there may be millions of these.
    at: i64,
}

/// What is remembered of a patient.
#[derive(Default)]
struct Patient {
    everybody_asked: Option<i64>,
    nothing: Vec<Nothing>,
    /// Communities that have answered with something.
    holders: Vec<u16>,
}

/// Two generations of patients: who is asked for moves into the younger, which becomes the older when it is full.
#[derive(Default)]
struct Kept {
    /// Communities by number, so that each is written once.
    homes: Vec<HomeCommunityId>,
    young: HashMap<PatientId, Patient>,
    old: HashMap<PatientId, Patient>,
}

impl Kept {
    fn number(&self, home: &HomeCommunityId) -> Option<u16> {
        self.homes.iter().position(|known| known == home).and_then(|at| u16::try_from(at).ok())
    }

    /// The number of a community, a new one if it has none; none if there are far too many.
    fn numbered(&mut self, home: &HomeCommunityId) -> Option<u16> {
        self.number(home).or_else(|| {
            let number = u16::try_from(self.homes.len()).ok()?;
            self.homes.push(home.clone());
            Some(number)
        })
    }

    fn find(&mut self, patient: &PatientId) -> Option<&mut Patient> {
        match self.young.get_mut(patient) {
            Some(found) => Some(found),
            None => self.old.get_mut(patient),
        }
    }

    /// Room for a patient, who is now among the young. Who has to go is given back, to be freed elsewhere.
    fn place(&mut self, patient: &PatientId, most: usize) -> (&mut Patient, HashMap<PatientId, Patient>) {
        let mut gone = HashMap::new();
        let known = self.young.remove(patient).or_else(|| self.old.remove(patient));
        if self.young.len() >= (most / 2).max(1) {
            gone = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        }
        (self.young.entry(patient.clone()).or_insert(known.unwrap_or_default()), gone)
    }
}

/// What is known when a patient is asked for.
#[derive(Default)]
pub(super) struct OfPatient {
    /// Communities that have nothing of what is asked for, with the moment when the earliest part of that was said.
    pub(super) nothing: Vec<(HomeCommunityId, Timestamp)>,
    /// Communities that have answered with something.
    pub(super) holders: Vec<HomeCommunityId>,
    /// When everybody was asked last.
    pub(super) everybody_asked: Option<Timestamp>,
}

/// What is known of all patients.
#[derive(Default)]
pub(in crate::actors) struct Knowledge {
    most: usize,
    /// Assertions are told apart, not kept.
    askers: RandomState,
    kept: Mutex<Kept>,
}

/// Whether something of that moment still counts: nothing does that lies in the future, for the clock was set back.
pub(super) fn is_fresh(at: Timestamp, now: Timestamp, good_for: Duration) -> bool {
    let age = now.duration_since(at);
    !age.is_negative() && SignedDuration::try_from(good_for).is_ok_and(|good_for| age < good_for)
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}

impl Knowledge {
    /// Room for so many patients.
    pub(in crate::actors) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever sends that along.
    pub(super) fn asker(&self, security: Option<&Arc<str>>) -> Asker {
        Asker(self.askers.hash_one(security.map(|text| &**text)) | 1)
    }

    /// What is known of a patient for a question of that extent, as far as it was said to everybody or to that one.
    pub(super) fn of(
        &self,
        patient: &PatientId,
        extent: Extent,
        asker: Asker,
        now: Timestamp,
        good_for: Duration,
    ) -> OfPatient {
        let mut kept = self.kept();
        let Some(known) = kept.find(patient) else { return OfPatient::default() };
        let counts =
            |said: &&Nothing| [Asker::ANYBODY, asker].contains(&said.asker) && is_fresh(moment(said.at), now, good_for);
        let mut nothing: Vec<(u16, Extent, i64)> = Vec::new();
        for said in known.nothing.iter().filter(counts) {
            match nothing.iter_mut().find(|(home, ..)| *home == said.home) {
                Some((_, all, at)) => (*all, *at) = (all.with(said.extent), said.at.min(*at)),
                None => nothing.push((said.home, said.extent, said.at)),
            }
        }
        nothing.retain(|(_, all, _)| all.covers(extent));
        let (holders, everybody_asked) = (known.holders.clone(), known.everybody_asked.map(moment));
        let home = |number: u16| kept.homes.get(usize::from(number)).cloned();
        OfPatient {
            nothing: nothing.iter().filter_map(|(number, _, at)| Some((home(*number)?, moment(*at)))).collect(),
            holders: holders.into_iter().filter_map(home).collect(),
            everybody_asked,
        }
    }

    fn change(&self, patient: &PatientId, home: Option<&HomeCommunityId>, change: impl FnOnce(&mut Patient, u16)) {
        if self.most == 0 {
            return;
        }
        let mut kept = self.kept();
        let Some(number) = home.map_or(Some(0), |home| kept.numbered(home)) else { return };
        let (of_patient, gone) = kept.place(patient, self.most);
        change(of_patient, number);
        // They are freed outside of the lock.
        drop(kept);
        drop(gone);
    }

    /// A community has nothing of these kinds, as it said to whoever asked at that moment.
    pub(super) fn has_nothing(
        &self,
        patient: &PatientId,
        home: &HomeCommunityId,
        extent: Extent,
        asker: Asker,
        at: Timestamp,
    ) {
        self.change(patient, Some(home), |known, home| {
            known.nothing.retain(|said| said.home != home || said.asker != asker || !extent.covers(said.extent));
            if known.nothing.len() >= MOST_OF_A_PATIENT {
                known.nothing.remove(0);
            }
            known.nothing.push(Nothing { home, extent, asker, at: at.as_second() });
            if extent == Extent::ALL {
                known.holders.retain(|holder| *holder != home);
            }
        });
    }

    /// A community has answered with something.
    pub(super) fn holds(&self, patient: &PatientId, home: &HomeCommunityId) {
        self.change(patient, Some(home), |known, home| {
            known.nothing.retain(|said| said.home != home);
            if !known.holders.contains(&home) && known.holders.len() < MOST_OF_A_PATIENT {
                known.holders.push(home);
            }
        });
    }

    /// Everybody was asked for a patient.
    pub(super) fn everybody_asked(&self, patient: &PatientId, at: Timestamp) {
        self.change(patient, None, |known, _| known.everybody_asked = Some(at.as_second()));
    }

    /// Something says that a community may know a patient: that it knew nothing is forgotten.
    pub(super) fn forget(&self, patient: &PatientId, home: &HomeCommunityId) {
        let mut kept = self.kept();
        if let (Some(number), Some(known)) = (kept.number(home), kept.find(patient)) {
            known.nothing.retain(|said| said.home != number);
        }
    }

    /// Forgets all that a community has said: it was asked in another way than it will be.
    pub(in crate::actors) fn forget_community(&self, home: &HomeCommunityId) {
        let mut kept = self.kept();
        let Some(number) = kept.number(home) else { return };
        let Kept { young, old, .. } = &mut *kept;
        for known in young.values_mut().chain(old.values_mut()) {
            known.nothing.retain(|said| said.home != number);
            known.holders.retain(|holder| *holder != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Oid;

    const HOUR: Duration = Duration::from_secs(3600);

    fn home(n: usize) -> HomeCommunityId {
        HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
    }

    fn patient(n: usize) -> PatientId {
        PatientId::new(&n.to_string(), Oid::parse("2.999.100").unwrap()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn nothing(knowledge: &Knowledge, n: usize, asker: Asker, seconds: i64) -> Vec<HomeCommunityId> {
        let known = knowledge.of(&patient(n), Extent::ALL, asker, at(seconds), HOUR);
        known.nothing.into_iter().map(|(home, _)| home).collect()
    }

    #[test]
    fn what_is_remembered_ends_and_is_not_believed_of_the_future() {
        let knowledge = Knowledge::new(10);
        knowledge.has_nothing(&patient(1), &home(2), Extent::ALL, Asker::ANYBODY, at(0));
        let asker = knowledge.asker(None);
        for (seconds, known) in [(-1, false), (0, true), (3599, true), (3600, false)] {
            assert_eq!(nothing(&knowledge, 1, asker, seconds), vec![home(2); usize::from(known)], "{seconds}");
        }
        assert!(nothing(&knowledge, 2, asker, 0).is_empty());
    }

    #[test]
    fn what_was_said_to_one_counts_for_that_one() {
        let knowledge = Knowledge::new(10);
        let [doctor, clerk, nobody] = [Some("doctor".into()), Some("clerk".into()), None]
            .map(|text: Option<Arc<str>>| knowledge.asker(text.as_ref()));
        knowledge.has_nothing(&patient(1), &home(2), Extent::ALL, clerk, at(0));
        assert_eq!([doctor, clerk, nobody].map(|asker| nothing(&knowledge, 1, asker, 1).len()), [0, 1, 0]);
        knowledge.has_nothing(&patient(1), &home(2), Extent::ALL, Asker::ANYBODY, at(0));
        assert_eq!([doctor, clerk, nobody].map(|asker| nothing(&knowledge, 1, asker, 1).len()), [1, 1, 1]);
    }

    #[test]
    fn parts_make_a_whole_that_is_as_old_as_its_oldest() {
        let knowledge = Knowledge::new(10);
        let [first, second] = [Extent::NONE, Extent::ALL].map(|extent| (extent, extent));
        assert_ne!(first, second);
        let asker = knowledge.asker(None);
        knowledge.has_nothing(&patient(1), &home(2), Extent::NONE, asker, at(0));
        assert!(nothing(&knowledge, 1, asker, 1).is_empty());
        knowledge.has_nothing(&patient(1), &home(2), Extent::ALL, asker, at(10));
        let known = knowledge.of(&patient(1), Extent::ALL, asker, at(20), HOUR);
        assert_eq!(known.nothing, [(home(2), at(10))], "the narrower one is covered and gone");
    }

    #[test]
    fn hints_and_answers_change_it() {
        let knowledge = Knowledge::new(10);
        let asker = knowledge.asker(None);
        let learn = || {
            for n in [2, 3] {
                knowledge.has_nothing(&patient(1), &home(n), Extent::ALL, asker, at(0));
            }
        };
        learn();
        knowledge.forget(&patient(1), &home(2));
        assert_eq!(nothing(&knowledge, 1, asker, 1), [home(3)]);
        learn();
        knowledge.holds(&patient(1), &home(3));
        assert_eq!(nothing(&knowledge, 1, asker, 1), [home(2)]);
        let holders = |n| knowledge.of(&patient(n), Extent::ALL, asker, at(1), HOUR).holders;
        assert_eq!(holders(1), [home(3)]);
        learn();
        assert!(holders(1).is_empty(), "it has said that it has nothing");
        knowledge.forget_community(&home(3));
        assert_eq!(nothing(&knowledge, 1, asker, 1), [home(2)]);
        knowledge.everybody_asked(&patient(7), at(5));
        assert_eq!(knowledge.of(&patient(7), Extent::ALL, asker, at(6), HOUR).everybody_asked, Some(at(5)));
    }

    #[test]
    fn it_is_bounded() {
        let knowledge = Knowledge::new(4);
        let asker = knowledge.asker(None);
        for n in [0, 1, 2, 0, 3, 0, 4, 5, 0] {
            knowledge.has_nothing(&patient(n), &home(2), Extent::ALL, asker, at(0));
        }
        let kept: Vec<_> = (0..6).filter(|n| !nothing(&knowledge, *n, asker, 1).is_empty()).collect();
        assert!((2..=4).contains(&kept.len()) && kept.contains(&0), "{kept:?}");
        for n in 0..2 * MOST_OF_A_PATIENT {
            knowledge.has_nothing(&patient(0), &home(n), Extent::ALL, asker, at(0));
        }
        let known = nothing(&knowledge, 0, asker, 1);
        assert_eq!((known.len(), known.last()), (MOST_OF_A_PATIENT, Some(&home(2 * MOST_OF_A_PATIENT - 1))));
        let none = Knowledge::new(0);
        none.has_nothing(&patient(0), &home(2), Extent::ALL, asker, at(0));
        assert!(nothing(&none, 0, asker, 1).is_empty());
    }
}
