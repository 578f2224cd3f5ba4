//! Asking a community where else a patient is known (ITI-56).

use super::RemoteCommunity;
use super::client::{SoapClient, Unanswered};
use super::envelope::read_answer;
use super::places::Held;
use crate::actors::context::RequestContext;
use crate::actors::ports::PeerFailure;
use crate::model::discovery::PatientLocation;
use crate::model::ids::PatientId;
use crate::model::response::ResponseStatus;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::endpoint::AuditFacts;
use crate::transport::endpoint::iti56;
use crate::wire::xcpd;

impl RemoteCommunity {
    /// It is asked where it is asked for patients.
    pub(super) async fn ask_where(
        &self,
        context: &RequestContext,
        patient: &PatientId,
    ) -> Result<Vec<PatientLocation>, PeerFailure> {
        let transaction = Transaction::of(TransactionId::PatientLocationQuery);
        let mut request = Vec::new();
        xcpd::write_location_request(&mut request, patient);
        let facts = iti56::facts(patient, request.into());
        let gateways = self.discovery.as_ref().unwrap_or(&self.gateways);
        let call = |client, _: Held| self.call_locate(client, context, patient, &facts);
        self.bounded(context, transaction, &facts, gateways, call, |_| (ResponseStatus::Success, &[], &[])).await
    }

    async fn call_locate(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        patient: &PatientId,
        facts: &AuditFacts,
    ) -> Result<Vec<PatientLocation>, Unanswered> {
        let transaction = Transaction::of(TransactionId::PatientLocationQuery);
        let write = |out: &mut Vec<u8>| xcpd::write_location_request(out, patient);
        let message = self.ask(context, client, (transaction, facts), write).await?;
        let locations = read_answer(&message.root, client.bounds.xml, xcpd::read_location_response)?;
        if locations.len() > self.limits.results {
            return Err(PeerFailure::TooMany(self.limits.results).into());
        }
        Ok(locations)
    }
}
