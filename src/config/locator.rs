//! Whom a query by patient goes to (`[locator]`), and which communities know where a patient is known
//! (`[[peer]]` locator, located_by).

use std::time::Duration;

use super::Peer;
use super::meant::PeerSpots;
use super::raw::Section;
use super::read::Reader;

/// Whom a query by patient goes to (`[locator]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locator {
    /// To everybody, or not.
    pub policy: LocatorPolicy,
    /// How long it counts that a community has said that it holds nothing of a patient.
    pub knows_nothing: Duration,
    /// After which time everybody is asked for a patient again; zero: never just for that.
    pub broadcast_every: Duration,
    /// Whether what a community shows may depend on the assertion sent along.
    pub per_user: bool,
    /// Whether an answer names those that were left out.
    pub tell: bool,
    /// How long a locator is waited for.
    pub wait: Duration,
}

impl Default for Locator {
    fn default() -> Self {
        Self {
            policy: LocatorPolicy::Broadcast,
            knows_nothing: hours(4),
            broadcast_every: hours(24),
            per_user: true,
            tell: false,
            wait: Duration::from_secs(2),
        }
    }
}

/// Whom a query by patient goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocatorPolicy {
    /// To all communities.
    Broadcast,
    /// Not to those that hold nothing of the patient, as far as is known.
    Directed,
}

const fn hours(number: u64) -> Duration {
    Duration::from_secs(number * 3600)
}

impl Reader<'_> {
    pub(super) fn locator(&self, mut section: Section<'_>) -> Locator {
        const POLICIES: &[(&str, LocatorPolicy)] =
            &[("broadcast", LocatorPolicy::Broadcast), ("directed", LocatorPolicy::Directed)];
        let usual = Locator::default();
        let second = Duration::from_secs(1);
        let locator = Locator {
            policy: section.choice("policy", POLICIES, usual.policy),
            knows_nothing: section.duration("knows_nothing", usual.knows_nothing, second, hours(24)),
            broadcast_every: section.duration("broadcast_every", usual.broadcast_every, Duration::ZERO, hours(8784)),
            per_user: section.boolean("per_user", usual.per_user),
            tell: section.boolean("tell", usual.tell),
            wait: section.duration("wait", usual.wait, second / 10, second * 60),
        };
        section.finish();
        locator
    }

    /// Who is spoken for is spoken for by a locator, with the places where that stands.
    pub(super) fn located(&self, peers: &[Peer], spots: &[PeerSpots]) {
        for (peer, spot) in peers.iter().zip(spots) {
            let Some(by) = &peer.located_by else { continue };
            let speaks = |other: &Peer| other.locator && other.home_community_id == *by && other != peer;
            if !peers.iter().any(speaks) {
                self.findings.add(
                    &spot.located_by,
                    format!("no other peer with locator = true has the home_community_id {by}"),
                    "name the peer that says where patients are known, and write locator = true there",
                );
            }
        }
    }
}
