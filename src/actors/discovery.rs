//! Answering patient discovery: ITI-55 and ITI-56 at the Responding Gateway (ITI TF-2 §3.55.4.1.3,
//! §3.56.4.1.3).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::context::RequestContext;
use super::document_registry::PatientPolicy;
use super::federation::PatientTranslation;
use super::locator::asks_about;
use super::patient_directory::{DirectoryFailed, Found, PatientDirectory, told};
use super::responding_gateway::RespondingGateway;
use super::sharing::Seen;
use crate::model::discovery::{
    Criteria, DiscoveryAnswer, DiscoveryQuery, PatientLocation, PatientMatch, Person, Problem,
};
use crate::model::ids::{Oid, PatientId};
use crate::model::metadata::Noun;
use crate::validate::discovery::judge;

/// Who our patients are, and what may be told of them.
pub struct OwnPatients {
    directory: ArcSwap<Box<dyn PatientDirectory>>,
    policy: PatientPolicy,
    /// How long others may keep what they are told (CorrelationTimeToLive).
    offer: Duration,
}

impl OwnPatients {
    /// Those of a directory.
    pub fn new(directory: Box<dyn PatientDirectory>, policy: PatientPolicy, offer: Duration) -> Self {
        Self { directory: ArcSwap::from_pointee(directory), policy, offer }
    }

    /// Another directory from now on.
    pub fn set_directory(&self, directory: Box<dyn PatientDirectory>) {
        self.directory.store(Arc::new(directory));
    }

    /// How long others may keep what they are told.
    pub fn offer(&self) -> Duration {
        self.offer
    }

    /// Whether identifiers of a domain may be told to other communities.
    pub fn is_shared(&self, domain: &Oid) -> bool {
        self.policy.is_shared(domain)
    }

    /// What is known of a patient of ours; who cannot be looked up is asked for without it.
    pub async fn person(&self, id: &PatientId) -> Option<Person> {
        self.directory.load_full().by_id(id).await.unwrap_or_else(|failed| {
            tracing::error!(error = %failed, "a patient could not be looked up");
            None
        })
    }

    async fn find(&self, criteria: &Criteria) -> Result<Found, DirectoryFailed> {
        self.directory.load_full().find(criteria).await
    }
}

impl RespondingGateway {
    /// ITI-55: what was read of a query, or what is wrong with it; and until when it may be kept under which
    /// identifier the asker knows the patient, if that is said.
    pub async fn patient_discovery(
        &self,
        context: &RequestContext,
        read: Result<DiscoveryQuery, Vec<&'static str>>,
        kept_until: Option<Timestamp>,
    ) -> DiscoveryAnswer {
        let query = match judge(read) {
            Ok(query) => {
                asks_about(&self.federation.load(), query.header.sender.as_ref(), &query.criteria.ids);
                query
            }
            Err(refusal) => return DiscoveryAnswer::Refused(refusal),
        };
        let criteria = &query.criteria;
        match self.patients.find(criteria).await {
            Ok(Found::Nobody) => DiscoveryAnswer::NotFound,
            Ok(Found::One(person)) => {
                let federation = self.federation.load();
                if let (Some(correlations), Some(until)) = (&federation.correlations, kept_until) {
                    correlations.feed(context, &federation, &query, &person, until);
                }
                DiscoveryAnswer::Matches(vec![PatientMatch {
                    demographics: told(&person, criteria, &self.patients.policy),
                    id: person.id,
                    home: Some(self.home().clone()),
                    // Nobody is matched who is not matched in all.
                    degree: Some(100),
                    is_locator: false,
                }])
            }
            // Nothing would tell them apart: whoever is given might be the other one.
            Ok(Found::Several(wanted)) if wanted.is_empty() => {
                DiscoveryAnswer::unavailable(Problem::AnswerNotAvailable)
            }
            Ok(Found::Several(wanted)) => DiscoveryAnswer::MoreWanted(wanted),
            Err(failed) => {
                tracing::error!(correlation_id = %context.correlation_id, error = %failed, "no patient could be looked up");
                DiscoveryAnswer::unavailable(Problem::InternalError)
            }
        }
    }

    /// ITI-56: ourselves if we have documents of the patient, and the members of our region of whom
    /// we know that they know the patient. Where a restricted person is, nobody is told.
    pub async fn patient_location(&self, context: &RequestContext, patient: &PatientId) -> Vec<PatientLocation> {
        if self.patients.person(patient).await.is_some_and(|person| person.restricted) {
            return Vec::new();
        }
        let federation = self.federation.load_full();
        asks_about(&federation, context.via.last(), std::slice::from_ref(patient));
        let mut locations = Vec::new();
        // Whose documents are none of whoever asks has none here.
        let seen = Seen::by(context, &self.own);
        let entries = seen.own.registry.store().of_patient(patient, Noun::DocumentEntry).await;
        let entries = entries.inspect_err(|error| tracing::error!(%error, "registry store")).unwrap_or_default();
        if !entries.is_empty() {
            locations.push(PatientLocation { home: self.home().clone(), id: patient.clone() });
        }
        seen.note(context);
        // What members hold is not judged here: whoever is not given everything is told of none of it.
        let members = federation.peers.iter().filter(|peer| {
            context.asker.shares.is_empty()
                && self.goes_on_to(context, peer)
                && peer.is_asked(context)
                && peer.translation == PatientTranslation::Discover
        });
        for peer in members {
            let known = federation.correlations.as_ref().and_then(|kept| kept.known(patient, &peer.home));
            let there = known.iter().flat_map(|known| known.iter());
            // Of one that has a way of its own nobody else's word counts.
            let there = there.filter(|(home, _)| !federation.has_another_way(peer, home));
            locations
                .extend(there.filter_map(|(home, id)| Some(PatientLocation { home: home.clone(), id: id.clone()? })));
        }
        locations
    }
}
