//! The access decision point: every request passes here before an actor sees it.
//!
//! The policy of this version is short: a caller whose certificate the listener accepted may do
//! what the listener offers; what changes or removes what is there is for its administrators.
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

/// Decides about a request.
pub trait AccessPolicy: Send + Sync {
    /// May this caller do this transaction at this service?
    fn decide(&self, context: &RequestContext, service: Service) -> Decision;
}

/// Stands for every caller.
const EVERYBODY: &str = "*";

/// Permits what the listener offers.
#[derive(Debug, Clone)]
pub struct ListenerPolicy {
    services: BTreeSet<Service>,
    administrators: BTreeSet<String>,
}

impl ListenerPolicy {
    /// A policy for a listener with these services, and with those callers as administrators, by the
    /// common names of their certificates; `*` stands for all.
    pub fn new(services: impl IntoIterator<Item = Service>, administrators: impl IntoIterator<Item = String>) -> Self {
        Self { services: services.into_iter().collect(), administrators: administrators.into_iter().collect() }
    }

    fn is_administrator(&self, caller: &str) -> bool {
        self.administrators.contains(caller) || self.administrators.contains(EVERYBODY)
    }
}

impl AccessPolicy for ListenerPolicy {
    fn decide(&self, context: &RequestContext, service: Service) -> Decision {
        let action = context.transaction.policy_action;
        if !self.services.contains(&service) {
            return Decision::Deny(format!("this listener does not offer {} ({action})", service.name()));
        }
        if context.transaction.is_administrative() && !self.is_administrator(&context.caller) {
            return Decision::Deny(format!("{action} is for the administrators of this listener"));
        }
        Decision::Permit
    }
}
