//! Under which identifier a community knows a patient whom it asks us for (ITI TF-2 §3.55.4.1.2, the modes with
//! a feed), and that it takes this back (XCPD Revoke).
//!
//! A claim about a community is believed from that community alone: who asks must be known as it, by its
//! certificate, whatever the message says. So the worst that a caller can do is to mislead us about
//! itself, which its own answers could do as well. An identifier is kept only when it stands in the
//! domain that the message marks as the asker's, there is no second of that domain, and exactly one of our
//! patients was found. What we have asked for ourselves counts more.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Correlations;
use crate::actors::context::RequestContext;
use crate::actors::federation::{Federation, PatientTranslation, Peer};
use crate::actors::responding_gateway::RespondingGateway;
use crate::model::discovery::{DiscoveryQuery, Person, Revocation};
use crate::model::ids::PatientId;

/// Why a revocation is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotRevoked {
    /// This gateway takes none.
    NotOffered,
    /// The caller is not known as the community that is said to take it back.
    NotTheirs,
}

impl Correlations {
    /// Keeps under which identifier who asked knows one of our patients, until then at most.
    pub(in crate::actors) fn feed(
        &self,
        context: &RequestContext,
        federation: &Federation,
        query: &DiscoveryQuery,
        person: &Person,
        until: Timestamp,
    ) {
        let Some(home) = query.header.sender.as_ref() else { return };
        let Some(theirs) = marked(query) else { return };
        // Of whom nobody is asked for an identifier none need be known.
        let asked = |peer: &Peer| peer.home == *home && peer.translation == PatientTranslation::Discover;
        let Some(peer) = federation.peers.iter().find(|peer| asked(peer)) else { return };
        if !context.known_as.contains(home) {
            tracing::warn!(
                correlation_id = %context.correlation_id, transaction = "ITI-55", community = %home, caller = %context.caller,
                "a caller that is not known as this community tells of its patients: that is not kept"
            );
            return;
        }
        let now = self.clock.now();
        // A host alone refuses nobody: who may not ask is not believed either.
        if let Some(why) = peer.may_not_ask(now) {
            tracing::warn!(
                correlation_id = %context.correlation_id, transaction = "ITI-55", community = %home, caller = %context.caller,
                why, "a community that may not ask tells of its patients: that is not kept"
            );
            return;
        }
        let longest = SignedDuration::try_from(self.limits.longest).unwrap_or_default();
        let until = until.min(now.saturating_add(longest).unwrap_or(now));
        let known = Arc::new([(home.clone(), Some(theirs.clone()))]);
        let kept = self.told.keep(home, &person.id, known, until, now);
        tracing::debug!(
            correlation_id = %context.correlation_id, transaction = "ITI-55", community = %home, kept,
            "a community has told under which identifier it knows a patient"
        );
    }
}

/// The one identifier of the asker's own domain.
fn marked(query: &DiscoveryQuery) -> Option<&PatientId> {
    let domain = query.requester_domain.as_ref()?;
    let mut own = query.criteria.ids.iter().filter(|id| id.authority() == domain);
    own.next().filter(|_| own.next().is_none())
}

impl RespondingGateway {
    /// A community takes back under which identifier it knows a patient. That there was nothing to take back is
    /// not told: it would say whom we know.
    ///
    /// # Errors
    /// When it is not taken.
    pub fn revoke(&self, context: &RequestContext, revocation: &Revocation) -> Result<(), NotRevoked> {
        let federation = self.federation.load();
        let Some(correlations) = federation.correlations.as_ref().filter(|_| federation.takes_revocations) else {
            return Err(NotRevoked::NotOffered);
        };
        let home = revocation.header.sender.as_ref().filter(|home| context.known_as.contains(home));
        let home = home.ok_or(NotRevoked::NotTheirs)?;
        let forgotten = correlations.told.revoke(home, &revocation.patient);
        tracing::info!(
            correlation_id = %context.correlation_id, transaction = context.transaction.number, community = %home, forgotten,
            "a community has taken back under which identifier it knows a patient"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::discovery::{Criteria, InstanceId, MessageHeader, Priority};
    use crate::model::ids::Oid;

    #[test]
    fn the_asker_s_own_identifier_is_the_only_one_of_the_marked_domain() {
        for (ids, domain, expected) in [
            (&["1^^^&2.999.1&ISO"][..], Some("2.999.1"), Some("1")),
            (&["1^^^&2.999.1&ISO"], None, None),
            (&["1^^^&2.999.1&ISO"], Some("2.999.2"), None),
            (&["2^^^&2.999.2&ISO", "1^^^&2.999.1&ISO"], Some("2.999.1"), Some("1")),
            (&["2^^^&2.999.1&ISO", "1^^^&2.999.1&ISO"], Some("2.999.1"), None),
            (&[], Some("2.999.1"), None),
        ] {
            let query = DiscoveryQuery {
                header: MessageHeader::default(),
                query_id: InstanceId::default(),
                requester_domain: domain.map(|domain| Oid::parse(domain).unwrap()),
                priority: Priority::Immediate,
                respond_to: None,
                keep: None,
                criteria: Criteria {
                    ids: ids.iter().map(|id| PatientId::parse(id).unwrap()).collect(),
                    ..Criteria::default()
                },
            };
            assert_eq!(marked(&query).map(PatientId::id), expected, "{ids:?}");
        }
    }
}
