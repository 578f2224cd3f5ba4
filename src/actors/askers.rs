//! Who asks at the Responding Gateway: which communities a request comes from, whether they may ask these days, and
//! what they are given (`[[peer]]` certificates, kind, state, shares).
//!
//! A caller is the community whose certificate it shows, if one is recognised by it. Gateways of our kind say whom
//! else a request comes from (`x-causeway-via`): what holds for those holds as well, so that nobody gets by way of
//! another what is not for them. Who is recognised as nobody is answered, unless only known callers are.

use std::sync::Arc;

use jiff::Timestamp;

use super::federation::{Federation, Peer};
use crate::model::community::{PeerState, ShownCertificate};
use crate::model::ids::HomeCommunityId;
use crate::model::sharing::Shares;
use crate::transaction::{Service, Transaction, TransactionId};

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words for whoever asked.
    pub told: String,
    /// For the log and the audit trail.
    pub reason: String,
}

/// Who is behind a request.
#[derive(Debug, Clone, Default)]
pub struct Asker {
    /// The community whose certificate the caller shows.
    pub community: Option<HomeCommunityId>,
    /// Why it is not answered, if so.
    pub refusal: Option<Refusal>,
    /// The rules about what it is given; none: everything.
    pub shares: Arc<[Shares]>,
}

/// What is asked, where, and when.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The transaction.
    pub transaction: &'static Transaction,
    /// Where it came in.
    pub service: Service,
    /// When.
    pub at: Timestamp,
}

impl Refusal {
    /// Of a caller whose certificate bears the name of that community and is none of those listed for it. Who it is not
    /// need not be told to it; a community that has renewed its certificate knows whom to call.
    pub fn of_an_impostor(name: &str) -> Self {
        let told = "The certificate of this caller bears the name of a community that is known here by another one. If it was \
                    renewed, tell the operator of this gateway.";
        Self {
            told: told.to_owned(),
            reason: format!("its certificate bears the name of {name}, and is not listed for it"),
        }
    }
}

fn refusal(told: impl Into<String>, reason: impl Into<String>) -> Option<Refusal> {
    Some(Refusal { told: told.into(), reason: reason.into() })
}

impl Peer {
    /// Why it may not ask, in words; none if it may.
    ///
    /// Only a live community may. One that is planned or being connected has no agreement in force yet: that it is
    /// refused proves connection, certificates and SOAP without a patient's data. A suspended one is suspended
    /// because something is wrong, maybe with who asks there; a closed one's certificates may be in other hands.
    pub(super) fn may_not_ask(&self, at: Timestamp) -> Option<String> {
        match self.states.at(at) {
            PeerState::Live if self.kind.asks() => None,
            PeerState::Live => Some(format!("is {} here, and has nobody who asks", self.kind.as_str())),
            PeerState::Planned | PeerState::Connecting | PeerState::Suspended | PeerState::Closed => {
                Some(format!("is {}", self.states.told(at)))
            }
        }
    }
}

impl Federation {
    /// Whether a community is recognised by certificates that are listed for it, and by no other.
    pub fn is_pinned(&self, home: &HomeCommunityId) -> bool {
        self.peers.iter().any(|peer| peer.home == *home && !peer.certificates.is_empty())
    }

    /// The community whose certificate that is, if it is one's alone.
    pub fn recognised(&self, shown: &ShownCertificate<'_>) -> Option<HomeCommunityId> {
        let mut peers = self.peers.iter().filter(|peer| peer.certificates.iter().any(|rule| rule.is(shown)));
        match (peers.next(), peers.next()) {
            (Some(peer), None) => Some(peer.home.clone()),
            _ => None,
        }
    }

    /// Who is behind a request: by the certificate that its caller shows, and by the gateways it has passed.
    pub fn asker(&self, shown: Option<&ShownCertificate<'_>>, via: &[HomeCommunityId], asked: Asked) -> Asker {
        let recognises = |peer: &&Peer| shown.is_some_and(|shown| peer.certificates.iter().any(|rule| rule.is(shown)));
        let callers: Vec<&Peer> = self.peers.iter().filter(recognises).collect();
        let community = callers.first().map(|peer| peer.home.clone());
        if asked.service != Service::RespondingGateway {
            // What is given there is not judged by who asks, and what is sent on from the Initiating Gateway goes in
            // our name.
            let gives = matches!(asked.transaction.policy_action, "query" | "query-many" | "retrieve");
            let elsewhere = gives || asked.service == Service::InitiatingGateway;
            let is_gone = |state| matches!(state, PeerState::Suspended | PeerState::Closed);
            let gone = callers.iter().find(|peer| is_gone(peer.states.at(asked.at)));
            let refusal = match gone {
                _ if community.is_some() && elsewhere => refusal(
                    "Another community asks at the Responding Gateway.",
                    format!("a community's gateway asks at {}", asked.service.name()),
                ),
                Some(peer) => {
                    let reason = format!("{} is {}", peer.name, peer.states.told(asked.at));
                    refusal(format!("{reason}: nothing is taken from it."), reason)
                }
                None => None,
            };
            return Asker { community, refusal, shares: Arc::default() };
        }
        let passed = self.peers.iter().filter(|peer| via.iter().any(|home| peer.is_or_has(home)));
        let passed = passed.filter(|peer| callers.iter().all(|caller| caller.home != peer.home));
        let all: Vec<&Peer> = callers.iter().copied().chain(passed).collect();
        let shares: Arc<[Shares]> =
            all.iter().filter(|peer| !peer.shares.is_everything()).map(|peer| (*peer.shares).clone()).collect();
        let refused = match callers.as_slice() {
            [_, _, ..] => refusal(
                "The certificate of this caller is taken for that of several communities.",
                "its certificate is that of several peers",
            ),
            [] if self.rules.only_known => refusal(
                "This gateway answers communities that it knows, and takes this caller for none of them.",
                "its certificate is no peer's, and only known callers are answered",
            ),
            _ => all.iter().find_map(|peer| {
                let why = peer.may_not_ask(asked.at)?;
                let reason = format!("{} {why}", peer.name);
                match Some(&peer.home) == community.as_ref() {
                    true => refusal(format!("{reason}: this gateway does not answer it."), reason),
                    false => refusal("The request has passed a gateway that may not ask here.", reason),
                }
            }),
        };
        // Who may not see all of it cannot know what it changes, or replaces.
        let is_update = matches!(
            asked.transaction.id,
            TransactionId::RestrictedUpdateDocumentSet | TransactionId::CrossGatewayDocumentProvide
        );
        let refused = refused.or_else(|| {
            let told = "Documents are taken, and changed, from communities that all documents are shared with.";
            (is_update && !shares.is_empty()).then(|| Refusal { told: told.into(), reason: "not all is shared".into() })
        });
        Asker { community, refusal: refused, shares }
    }
}

#[cfg(test)]
mod tests;
