//! The access decision point: every request passes here before an actor sees it.
//!
//! The policy of this version is short: a caller whose certificate the listener accepted may do
//! what the listener offers. Policies over persons, purposes and documents replace the
//! implementation, not the place.

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

/// Permits what the listener offers.
#[derive(Debug, Clone)]
pub struct ListenerPolicy {
    services: BTreeSet<Service>,
}

impl ListenerPolicy {
    /// A policy for a listener with these services.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        Self { services: services.into_iter().collect() }
    }
}

impl AccessPolicy for ListenerPolicy {
    fn decide(&self, context: &RequestContext, service: Service) -> Decision {
        if self.services.contains(&service) {
            Decision::Permit
        } else {
            Decision::Deny(format!(
                "this listener does not offer {} ({})",
                service.name(),
                context.transaction.policy_action
            ))
        }
    }
}
