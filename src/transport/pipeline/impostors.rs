//! Callers whose certificate bears the name of a community and is none that is listed for it (`[[peer]] certificates`).
//!
//! At the Responding Gateway, where communities ask, they are refused: to be answered as nobody is more than the
//! community itself may be given. Most often it is that community, with a certificate that has been renewed, so the log
//! says which setting to look at. Elsewhere nothing is given by who asks, and consumers of our own may share a host with a
//! community.

use std::sync::Arc;

use super::Pipeline;
use super::inbound::ConnectionInfo;
use crate::actors::askers::{Asked, Asker, Refusal};
use crate::model::ids::HomeCommunityId;
use crate::transaction::Service;

impl Pipeline {
    /// Who is behind a request.
    pub(super) fn asker(
        &self,
        connection: &ConnectionInfo,
        via: &[HomeCommunityId],
        asked: Asked,
        correlation_id: &Arc<str>,
    ) -> Asker {
        let asker = self.actors.responding.asker(connection.certificate().as_ref(), via, asked);
        if asked.service != Service::RespondingGateway || asker.community.is_some() {
            return asker;
        }
        match self.impersonated(connection, asked.transaction.number, correlation_id) {
            Some(name) => Asker { refusal: Some(Refusal::of_an_impostor(&name)), ..asker },
            None => asker,
        }
    }

    /// The name of the community whose name a caller borrows, if it does; the log says what to do.
    pub(super) fn impersonated(
        &self,
        connection: &ConnectionInfo,
        transaction: &'static str,
        correlation_id: &Arc<str>,
    ) -> Option<String> {
        let identity = connection.identity.as_ref()?;
        let callers = self.callers.load();
        let pinned = callers.impersonated(identity, self.clock.now())?;
        tracing::warn!(
            %correlation_id, transaction, community = %pinned.home, caller = %connection.caller(),
            subject = identity.subject, sha256 = identity.fingerprint_hex(),
            setting = format!("certificates of the [[peer]] \"{}\"", pinned.name),
            "a caller bears the name of a community and shows a certificate that is not listed for it: if the \
             community has renewed it, add it there; if it is somebody else's, take it back where it was issued"
        );
        Some(pinned.name.clone())
    }
}
