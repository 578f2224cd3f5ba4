//! The access decision point: every request passes here before an actor sees it.
//!
//! The policy of this version is short: a caller whose certificate the listener accepted may do
//! what the listener offers; what changes or removes what is there is for its administrators, and
//! what asks about many patients, or brings another community's documents, for those whom it names too.
//! Policies over persons, purposes and documents replace the implementation, not the place.

use std::collections::BTreeSet;

use super::context::RequestContext;
use crate::transaction::Service;

/// What was decided, with its reason for the log and the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Permit,
    /// Stop; the reason is for operators, not for the caller.
    Deny(String),
}

/// Whose word is taken for it that a request is one of emergency treatment.
///
/// What a message says of its own purpose is carried and not verified: anyone could say it. So it counts
/// only from callers that the operator names. Who verifies assertions one day adds the verified purpose as
/// another reason, here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmergencyWord {
    /// All that this caller asks is for emergency treatment: an ambulance service.
    Always,
    /// What its messages claim is believed.
    IfClaimed,
    /// What its messages claim is ignored.
    Never,
}

/// Decides about a request.
pub trait AccessPolicy: Send + Sync {
    /// May this caller do this transaction at this service?
    fn decide(&self, context: &RequestContext, service: Service) -> Decision;

    /// Whether this caller's requests may be emergencies. It decides who goes first, and nothing else.
    fn emergency(&self, _caller: &str) -> EmergencyWord {
        EmergencyWord::Never
    }
}

/// Stands for every caller.
const EVERYBODY: &str = "*";

/// Permits what the listener offers.
#[derive(Debug, Clone)]
pub struct ListenerPolicy {
    services: BTreeSet<Service>,
    administrators: BTreeSet<String>,
    many_patients: BTreeSet<String>,
    emergency_callers: BTreeSet<String>,
    emergency_claims: BTreeSet<String>,
    providers: BTreeSet<String>,
}

fn names(allowed: &BTreeSet<String>, caller: &str) -> bool {
    allowed.contains(caller) || allowed.contains(EVERYBODY)
}

impl ListenerPolicy {
    /// A policy for a listener with these services; with those callers as administrators, and those
    /// who may ask about many patients at once, by the common names of their certificates; `*`
    /// stands for all.
    pub fn new(
        services: impl IntoIterator<Item = Service>,
        administrators: impl IntoIterator<Item = String>,
        many_patients: impl IntoIterator<Item = String>,
    ) -> Self {
        Self {
            services: services.into_iter().collect(),
            administrators: administrators.into_iter().collect(),
            many_patients: many_patients.into_iter().collect(),
            emergency_callers: BTreeSet::new(),
            emergency_claims: BTreeSet::new(),
            providers: BTreeSet::new(),
        }
    }

    /// The same with callers whose requests are all emergencies, and callers whose claims of one are
    /// believed, by the common names of their certificates. There is no word for all: then anyone could
    /// pass all others.
    #[must_use]
    pub fn with_emergencies(
        self,
        callers: impl IntoIterator<Item = String>,
        claims: impl IntoIterator<Item = String>,
    ) -> Self {
        let (emergency_callers, emergency_claims) = (callers.into_iter().collect(), claims.into_iter().collect());
        Self { emergency_callers, emergency_claims, ..self }
    }

    /// The same with those callers as providers of other communities' documents.
    #[must_use]
    pub fn with_providers(self, providers: impl IntoIterator<Item = String>) -> Self {
        Self { providers: providers.into_iter().collect(), ..self }
    }
}

impl AccessPolicy for ListenerPolicy {
    fn decide(&self, context: &RequestContext, service: Service) -> Decision {
        let action = context.transaction.policy_action;
        if !self.services.contains(&service) {
            return Decision::Deny(format!("this listener does not offer {} ({action})", service.name()));
        }
        if context.transaction.is_about_many() && !names(&self.many_patients, &context.caller) {
            return Decision::Deny(format!("{action} is for those whom this listener lists as many_patients"));
        }
        // The gateway's consumers only read, unless the repository is open to them as well.
        let takes_submissions = service != Service::InitiatingGateway || self.services.contains(&Service::Repository);
        if context.transaction.carries_documents() && !takes_submissions {
            return Decision::Deny(format!("{action} is for callers of a listener that offers the repository too"));
        }
        if context.transaction.is_from_elsewhere() && !names(&self.providers, &context.caller) {
            return Decision::Deny(format!(
                "{action} from elsewhere is for those whom this listener lists as providers"
            ));
        }
        if context.transaction.is_administrative() && !names(&self.administrators, &context.caller) {
            return Decision::Deny(format!("{action} is for the administrators of this listener"));
        }
        Decision::Permit
    }

    fn emergency(&self, caller: &str) -> EmergencyWord {
        if self.emergency_callers.contains(caller) {
            EmergencyWord::Always
        } else if self.emergency_claims.contains(caller) {
            EmergencyWord::IfClaimed
        } else {
            EmergencyWord::Never
        }
    }
}
