//! Where audit events go: the durable local trail, before any answer leaves.

use std::sync::Arc;

use crate::model::audit_event::{AuditEvent, AuditSource};
use crate::store::audit_trail::{AuditError, AuditTrail};
use crate::transform::audit::audit_message;

/// Writes events to the trail.
#[derive(Clone)]
pub struct AuditSink {
    trail: Arc<AuditTrail>,
    source: AuditSource,
}

impl AuditSink {
    /// A sink for the broker that `source` names.
    pub fn new(trail: Arc<AuditTrail>, source: AuditSource) -> Self {
        Self { trail, source }
    }

    /// Who writes the records.
    pub fn source(&self) -> AuditSource {
        self.source.clone()
    }

    /// The trail itself.
    pub fn trail(&self) -> &Arc<AuditTrail> {
        &self.trail
    }

    /// Writes events, one for each patient in them; they are durable when this returns.
    ///
    /// # Errors
    /// When the trail takes no more: then nothing may be acknowledged.
    pub async fn record(&self, events: impl IntoIterator<Item = AuditEvent>) -> Result<(), AuditError> {
        let records =
            events.into_iter().flat_map(AuditEvent::one_per_patient).map(|event| audit_message(event).to_xml().into());
        // All are queued before the first is awaited, so that one flush serves them.
        let appended = futures_util::future::join_all(records.map(|record| self.trail.append(record))).await;
        appended.into_iter().try_for_each(|result| result.map(|_| ()))
    }

    /// Takes events of an outbound call: they are durable when what is recorded later for the same request
    /// is, so that its answer waits for one flush, not for one after the other.
    ///
    /// # Errors
    /// When the trail takes no more: then what the call brought may not be told.
    pub async fn entrust(&self, events: impl IntoIterator<Item = AuditEvent>) -> Result<(), AuditError> {
        for event in events.into_iter().flat_map(AuditEvent::one_per_patient) {
            self.trail.entrust(audit_message(event).to_xml().into()).await?;
        }
        Ok(())
    }

    /// Writes events whose loss cannot be answered to anyone any more; failure is logged.
    pub async fn record_late(&self, events: impl IntoIterator<Item = AuditEvent>) {
        if let Err(error) = self.record(events).await {
            tracing::error!(%error, "an audit record could not be written");
        }
    }
}
