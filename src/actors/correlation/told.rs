//! What communities have told without being waited for: under which identifier they know a patient of whom
//! they asked (feeds), and answers that came after their time.
//!
//! Each community has a room of its own, so that what one tells never pushes out what another has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::Correlated;
use crate::model::ids::{HomeCommunityId, PatientId};

struct Entry {
    known: Arc<[Correlated]>,
    expires: Timestamp,
}

/// By the community that told, and our patient.
pub(super) struct Told {
    most: usize,
    rooms: Mutex<HashMap<HomeCommunityId, HashMap<PatientId, Entry>>>,
}

impl Told {
    /// Nothing yet; room for so many patients of each community.
    pub(super) fn new(most: usize) -> Self {
        Self { most, rooms: Mutex::default() }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<HomeCommunityId, HashMap<PatientId, Entry>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a community tells of a patient, if there is room for it. Who tells is a configured peer:
    /// there are no more rooms than those.
    pub(super) fn keep(
        &self,
        peer: &HomeCommunityId,
        patient: &PatientId,
        known: Arc<[Correlated]>,
        expires: Timestamp,
        now: Timestamp,
    ) -> bool {
        let mut rooms = self.rooms();
        let room = rooms.entry(peer.clone()).or_default();
        if room.len() >= self.most && !room.contains_key(patient) {
            room.retain(|_, entry| now < entry.expires);
        }
        if expires <= now || (room.len() >= self.most && !room.contains_key(patient)) {
            return false;
        }
        room.insert(patient.clone(), Entry { known, expires });
        true
    }

    /// What a community has told of a patient.
    pub(super) fn of(&self, peer: &HomeCommunityId, patient: &PatientId, now: Timestamp) -> Option<Arc<[Correlated]>> {
        let rooms = self.rooms();
        let entry = rooms.get(peer)?.get(patient)?;
        (now < entry.expires).then(|| Arc::clone(&entry.known))
    }

    /// Whether a community has told nothing.
    pub(super) fn is_empty(&self, peer: &HomeCommunityId) -> bool {
        self.rooms().get(peer).is_none_or(HashMap::is_empty)
    }

    /// Forgets what a community has told of a patient.
    pub(super) fn forget(&self, peer: &HomeCommunityId, patient: &PatientId) {
        if let Some(room) = self.rooms().get_mut(peer) {
            room.remove(patient);
        }
    }

    /// Forgets in which of our patients a community knows that one of theirs; how many there were.
    pub(super) fn revoke(&self, peer: &HomeCommunityId, theirs: &PatientId) -> usize {
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(peer) else { return 0 };
        let before = room.len();
        room.retain(|_, entry| !entry.known.iter().any(|(home, id)| home == peer && id.as_ref() == Some(theirs)));
        before - room.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Oid;
    use jiff::SignedDuration;

    fn home(n: usize) -> HomeCommunityId {
        HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
    }

    fn id(extension: usize, root: &str) -> PatientId {
        PatientId::new(&extension.to_string(), Oid::parse(root).unwrap()).unwrap()
    }

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn later(seconds: i64) -> Timestamp {
        NOW + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn each_community_has_its_room() {
        let told = Told::new(2);
        let keep = |peer: usize, patient: usize, seconds: i64, now| {
            let known: Arc<[Correlated]> = Arc::new([(home(peer), Some(id(patient, "2.999.50")))]);
            told.keep(&home(peer), &id(patient, "2.999.100"), known, later(seconds), now)
        };
        assert!(told.is_empty(&home(2)));
        assert!(!keep(2, 0, 0, NOW), "nothing that has ended is kept");
        assert!(keep(2, 1, 10, NOW) && keep(2, 2, 20, NOW) && !keep(2, 3, 20, NOW));
        // Who is there already may say something newer; another has room of its own.
        assert!(keep(2, 2, 30, NOW) && keep(3, 3, 20, NOW));
        let of = |peer: usize, patient: usize, now| told.of(&home(peer), &id(patient, "2.999.100"), now).is_some();
        assert!(of(2, 1, later(9)) && !of(2, 1, later(10)) && of(3, 3, NOW) && !of(3, 1, NOW));
        // What has ended makes room.
        assert!(keep(2, 3, 40, later(10)) && of(2, 3, later(10)) && !of(2, 1, NOW));
        told.forget(&home(2), &id(3, "2.999.100"));
        assert!(!of(2, 3, NOW));
    }

    #[test]
    fn what_is_taken_back_is_gone_and_nothing_else() {
        let told = Told::new(9);
        for (peer, patient) in [(2, 1), (2, 2), (3, 1)] {
            let known: Arc<[Correlated]> = Arc::new([(home(peer), Some(id(patient, "2.999.50")))]);
            assert!(told.keep(&home(peer), &id(patient, "2.999.100"), known, later(10), NOW));
        }
        assert_eq!(told.revoke(&home(2), &id(7, "2.999.50")), 0);
        assert_eq!(told.revoke(&home(2), &id(1, "2.999.51")), 0);
        assert_eq!(told.revoke(&home(4), &id(1, "2.999.50")), 0);
        assert_eq!(told.revoke(&home(2), &id(1, "2.999.50")), 1);
        assert!(told.of(&home(2), &id(1, "2.999.100"), NOW).is_none());
        assert!(told.of(&home(2), &id(2, "2.999.100"), NOW).is_some());
        assert!(told.of(&home(3), &id(1, "2.999.100"), NOW).is_some());
    }
}
