//! ITI-56 Patient Location Query, at the Responding Gateway; what audit says of it on both sides.

use bytes::Bytes;

use super::{Answer, AuditFacts, Scope};
use crate::model::audit_event::AuditedQuery;
use crate::model::discovery::PatientLocation;
use crate::model::ids::PatientId;
use crate::transport::answer;
use crate::wire::soap::{Addressing, Version};
use crate::wire::xcpd;

/// An answer with the patient whom it is about.
pub struct Reply {
    requested: PatientId,
    locations: Vec<PatientLocation>,
}

/// Answers another community's gateway.
pub async fn answer(scope: &Scope<'_>, requested: PatientId) -> Answer {
    let locations = scope.actors.responding.patient_location(scope.context, &requested).await;
    Answer::Location(Reply::new(requested, locations))
}

/// What audit says of a request (§3.56.5.1).
pub fn facts(requested: &PatientId, request: Bytes) -> AuditFacts {
    let query = AuditedQuery::new(xcpd::LOCATION_REQUEST, request, None);
    AuditFacts::Patients { query: Some(query), patients: vec![requested.to_cx()] }
}

impl Reply {
    /// That the patient is known there.
    pub fn new(requested: PatientId, locations: Vec<PatientLocation>) -> Self {
        Self { requested, locations }
    }

    /// The whole message.
    pub fn envelope(&self, version: Version, addressing: &Addressing) -> Vec<u8> {
        answer::envelope(version, addressing, None, |out| {
            xcpd::write_location_response(out, &self.requested, &self.locations);
        })
    }
}
