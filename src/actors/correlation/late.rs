//! Questions whose answers come later, and may come after nobody waits for them any more (ITI TF-2 §3.55.6,
//! Deferred Response Option): they are remembered, so that the next query profits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::{Correlations, Said};
use crate::actors::context::RequestContext;
use crate::actors::federation::Federation;
use crate::actors::initiating_gateway::InitiatingGateway;
use crate::actors::ports::Discovered;
use crate::model::discovery::InstanceId;
use crate::model::ids::{HomeCommunityId, PatientId};

struct Question {
    patient: PatientId,
    peer: HomeCommunityId,
    until: Instant,
}

/// Why an answer is not taken that nobody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwelcome {
    /// No such question is remembered.
    NotAsked,
    /// The caller is not known as the community that was asked.
    NotTheirs(HomeCommunityId),
    /// The community that was asked is none to be asked any more: what it is.
    Absent(HomeCommunityId, String),
}

/// The questions, by the identifiers of their queries.
pub(super) struct Questions {
    most: usize,
    life: Duration,
    open: Mutex<HashMap<InstanceId, Question>>,
}

impl Questions {
    /// None yet; room for so many, for so long.
    pub(super) fn new(most: usize, life: Duration) -> Self {
        Self { most, life, open: Mutex::default() }
    }

    /// Remembers one, if there is room for it.
    pub(super) fn remember(&self, query_id: &InstanceId, patient: &PatientId, peer: &HomeCommunityId) {
        let now = Instant::now();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.most {
            open.retain(|_, question| now < question.until);
        }
        if open.len() < self.most {
            let question = Question { patient: patient.clone(), peer: peer.clone(), until: now + self.life };
            open.insert(query_id.clone(), question);
        }
    }

    /// Who was asked about whom; again as often as the answer comes.
    fn find(&self, query_id: &InstanceId) -> Option<(PatientId, HomeCommunityId)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let question = open.get(query_id).filter(|question| Instant::now() < question.until)?;
        Some((question.patient.clone(), question.peer.clone()))
    }
}

impl Correlations {
    /// Takes an answer that nobody waits for, from whom was asked, and from nobody else; whose it is.
    async fn take_late(
        &self,
        context: &RequestContext,
        federation: &Federation,
        query_id: &InstanceId,
        discovered: Discovered,
    ) -> Result<HomeCommunityId, Unwelcome> {
        let (patient, peer) = self.questions.find(query_id).ok_or(Unwelcome::NotAsked)?;
        if let Some(is) = federation.no_longer_asks(context, &peer) {
            return Err(Unwelcome::Absent(peer, is));
        }
        if !context.known_as.contains(&peer) {
            return Err(Unwelcome::NotTheirs(peer));
        }
        let person = self.patients.person(&patient).await;
        // That it does not answer is an answer too, and nothing to keep.
        let asked = [patient.clone()];
        if let Ok(Said { known, expires, .. }) = self.concluded(context, &peer, discovered, person.as_ref(), &asked) {
            // Long enough to serve who asks once more, also where it does not say for how long it is good.
            let now = self.clock.now();
            let soon = SignedDuration::try_from(self.limits.negative).unwrap_or_default();
            let expires = expires.max(now.saturating_add(soon).unwrap_or(now));
            self.told.keep(&peer, &patient, Arc::from(known), expires, now);
        }
        Ok(peer)
    }
}

impl InitiatingGateway {
    /// Takes the answer to a question of ours that nobody waits for any more; the community whose it is.
    ///
    /// # Errors
    /// Why it is not taken.
    pub async fn late_discovery(
        &self,
        context: &RequestContext,
        query_id: &InstanceId,
        discovered: Discovered,
    ) -> Result<HomeCommunityId, Unwelcome> {
        let federation = self.federation.load_full();
        let correlations = federation.correlations.as_ref().ok_or(Unwelcome::NotAsked)?;
        correlations.take_late(context, &federation, query_id, discovered).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_questions_are_remembered_and_only_so_long() {
        let peer = HomeCommunityId::parse("urn:oid:2.999.2").unwrap();
        let patient = PatientId::parse("1^^^&2.999.1&ISO").unwrap();
        let query = |n: usize| InstanceId::new("2.999.1", n.to_string());
        for (life, remembered) in [(Duration::from_secs(60), true), (Duration::ZERO, false)] {
            let questions = Questions::new(2, life);
            for n in 0..2 {
                questions.remember(&query(n), &patient, &peer);
                assert_eq!(questions.find(&query(n)).is_some(), remembered);
                // An answer may come twice.
                assert_eq!(questions.find(&query(n)).is_some(), remembered);
            }
            questions.remember(&query(2), &patient, &peer);
            assert!(questions.find(&query(2)).is_none() && questions.open.lock().unwrap().len() <= 2);
        }
    }
}
