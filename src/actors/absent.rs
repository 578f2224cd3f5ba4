//! Communities that are not asked these days: why not, and how that is told apart from one that did not answer.

use super::context::RequestContext;
use super::federation::{Federation, Peer};
use super::initiating_gateway::InitiatingGateway;
use super::ports::PeerFailure;
use super::responding_gateway::MOST_GATEWAYS;
use crate::model::community::PeerState;
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, RegistryError};

impl Peer {
    pub(super) fn is_asked(&self, context: &RequestContext) -> bool {
        self.answers && self.states.at(context.at) == PeerState::Live
    }

    /// What it is these days, if it is not asked: "suspended since …", "not connected yet (…)".
    fn absent(&self, context: &RequestContext) -> Option<String> {
        (self.states.at(context.at) != PeerState::Live).then(|| self.states.told(context.at))
    }

    /// Why it is not asked these days, in words; none if it is.
    pub(super) fn why_not(&self, context: &RequestContext) -> Option<String> {
        let unanswering = || (!self.answers).then(|| "it has no Responding Gateway".to_owned());
        self.absent(context).map(|words| format!("it is {words}")).or_else(unanswering)
    }

    /// Why it is not asked, not even by who names it.
    pub(super) fn not_asked(&self, context: &RequestContext) -> Option<PeerFailure> {
        let unanswering = || (!self.answers).then(|| "it has no Responding Gateway".to_owned());
        let passed = || {
            let too_many = context.via.len() >= MOST_GATEWAYS;
            too_many.then(|| "the request has passed too many gateways".to_owned())
        };
        let otherwise = || unanswering().or_else(passed).map(PeerFailure::NotAsked);
        self.absent(context).map(PeerFailure::Absent).or_else(otherwise)
    }

    /// The warning that names it as missing from an answer, without an error: nothing went wrong.
    pub(super) fn missing(&self, context: &RequestContext) -> RegistryError {
        let words = self.absent(context).unwrap_or_default();
        let context = format!("{} is {words} and was not asked; its documents are missing from this answer", self.name);
        RegistryError::new(ErrorCode::XDSUnavailableCommunity, context).at(self.home.as_str()).warning()
    }
}

impl Federation {
    /// What a community is that was asked while it was live, and of which nothing is taken any more; none: it is asked
    /// as ever.
    pub(super) fn no_longer_asks(&self, context: &RequestContext, home: &HomeCommunityId) -> Option<String> {
        let Some(peer) = self.peers.iter().find(|peer| peer.home == *home) else {
            return Some("no peer of this gateway any more".to_owned());
        };
        peer.absent(context).or_else(|| (!peer.answers).then(|| "not asked any more".to_owned()))
    }

    /// A warning for each community that would serve, and is not connected yet; none if they are not to be told of.
    pub fn not_connected_yet(&self, context: &RequestContext) -> Vec<RegistryError> {
        let planned = |peer: &&Peer| {
            let state = peer.states.at(context.at);
            peer.kind.serves() && matches!(state, PeerState::Planned | PeerState::Connecting)
        };
        let told = self.peers.iter().filter(|_| self.rules.tell_planned).filter(planned);
        told.map(|peer| peer.missing(context)).collect()
    }
}

impl InitiatingGateway {
    /// What a community is that was asked, and of which no answer is taken any more: suspended, closed, or gone from the
    /// configuration; none: it is asked as ever.
    pub fn no_longer_asks(&self, context: &RequestContext, home: &HomeCommunityId) -> Option<String> {
        self.federation.load().no_longer_asks(context, home)
    }
}
