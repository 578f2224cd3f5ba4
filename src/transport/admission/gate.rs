//! The admission of inbound requests: one number of places for submissions with documents, which stream, and one
//! for all else.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admission, AdmissionLimits, Place, Refusal};
use crate::actors::access::{AccessPolicy, EmergencyWord};
use crate::actors::context::{Lane, RequestContext};
use crate::actors::explain::Doing;
use crate::model::emergency::EmergencyClaim;
use crate::transport::metrics::Metrics;

/// Bounds of a [`Gate`], from `[limits]`.
#[derive(Debug, Clone, Copy)]
pub struct GateLimits {
    /// Of all requests but submissions with documents.
    pub requests: AdmissionLimits,
    /// Of those.
    pub submissions: AdmissionLimits,
    /// How long a request waits for its place.
    pub wait: Duration,
    /// How long one of emergency treatment waits.
    pub emergency_wait: Duration,
}

/// Where inbound requests get their places.
pub struct Gate {
    requests: Admission,
    submissions: Admission,
    limits: GateLimits,
}

/// A wait shorter than this is not worth a step of an explanation.
const NOTED: Duration = Duration::from_millis(1);

impl Gate {
    /// A gate with all its places free.
    pub fn new(limits: GateLimits, metrics: &Metrics) -> Self {
        Self {
            requests: Admission::new(limits.requests, metrics.places("requests")),
            submissions: Admission::new(limits.submissions, metrics.places("submissions")),
            limits,
        }
    }

    /// A place among the requests under way.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn admit(&self, context: &RequestContext) -> Result<Place, Refusal> {
        let admission = if context.transaction.carries_documents() { &self.submissions } else { &self.requests };
        let wait = match context.lane {
            Lane::Ordinary => self.limits.wait,
            Lane::Emergency => self.limits.emergency_wait,
        };
        let asked = Instant::now();
        // A short wait smooths bursts; who still finds no place is told so.
        let until = context.deadline.min(asked + wait);
        let admitted = tokio::select! {
            biased;
            admitted = admission.admit(&context.caller, context.lane, until) => admitted,
            () = context.gone.cancelled() => Err(Refusal::Gone),
        };
        if asked.elapsed() >= NOTED {
            context.steps.took(None, Doing::Queue, asked);
        }
        if let Err(refusal) = admitted {
            tracing::info!(
                correlation_id = %context.correlation_id, transaction = context.transaction.number,
                caller = %context.caller, lane = context.lane.as_str(), reason = refusal.reason(), "no place"
            );
        }
        admitted
    }
}

/// The lane of a request: whether it is one of emergency treatment, and is believed to be.
pub fn lane_of(access: &dyn AccessPolicy, caller: &str, claim: EmergencyClaim) -> Lane {
    let is_emergency = match access.emergency(caller) {
        EmergencyWord::Always => true,
        // What may be a claim is none: others wait for it.
        EmergencyWord::IfClaimed => claim == EmergencyClaim::Yes,
        EmergencyWord::Never => false,
    };
    if is_emergency { Lane::Emergency } else { Lane::Ordinary }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::access::ListenerPolicy;
    use crate::transaction::Service;

    #[test]
    fn only_who_is_named_is_believed() {
        let names = |name: &str| [name.to_owned()];
        let policy = ListenerPolicy::new(Service::ALL, [], []).with_emergencies(names("ambulance"), names("hospital"));
        for (caller, claim, lane) in [
            ("ambulance", EmergencyClaim::No, Lane::Emergency),
            ("hospital", EmergencyClaim::Yes, Lane::Emergency),
            ("hospital", EmergencyClaim::No, Lane::Ordinary),
            ("hospital", EmergencyClaim::Unclear, Lane::Ordinary),
            ("stranger", EmergencyClaim::Yes, Lane::Ordinary),
            ("*", EmergencyClaim::Yes, Lane::Ordinary),
        ] {
            assert_eq!(lane_of(&policy, caller, claim), lane, "{caller} {claim:?}");
        }
    }
}
