//! Communities as a gateway's configuration speaks of them (ITI TF-1 §18).

use jiff::Timestamp;

/// Where a community stands to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Inside our region: asked on behalf of other gateways too.
    Member,
    /// Outside: asked for our own consumers only, so that no request runs in circles.
    Neighbour,
}

/// Whether a community is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// Not connected yet.
    Planned,
    /// Being connected.
    Connecting,
    /// Asked.
    Live,
    /// Taken out for now; answers say so.
    Suspended,
    /// Gone.
    Closed,
}

impl PeerState {
    /// The word in the configuration and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Suspended => "suspended",
            Self::Closed => "closed",
        }
    }
}

/// The states of a community over time: the first until the first change, and so on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct States {
    /// What it is before any change.
    pub first: PeerState,
    /// Since when it is so, if that is known.
    pub since: Option<Timestamp>,
    /// What it becomes from which moment on, in order.
    pub changes: Vec<(Timestamp, PeerState)>,
}

impl From<PeerState> for States {
    fn from(first: PeerState) -> Self {
        Self { first, since: None, changes: Vec::new() }
    }
}

impl States {
    /// What it is at that moment.
    pub fn at(&self, now: Timestamp) -> PeerState {
        self.now(now).0
    }

    /// What it is at that moment, and since when.
    fn now(&self, now: Timestamp) -> (PeerState, Option<Timestamp>) {
        let last = self.changes.iter().rev().find(|(from, _)| *from <= now);
        last.map_or((self.first, self.since), |(from, state)| (*state, Some(*from)))
    }

    /// In words for answers and the console: `planned; live from 2026-12-01`.
    pub fn words(&self, now: Timestamp) -> String {
        let (state, since) = self.now(now);
        let mut words = state.as_str().to_owned();
        if let Some(since) = since {
            words.push_str(&format!(" since {}", day(since)));
        }
        if let Some((from, next)) = self.changes.iter().find(|(from, _)| *from > now) {
            words.push_str(&format!("; {} from {}", next.as_str(), day(*from)));
        }
        words
    }
}

/// The day of a moment, in universal time.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_changes_when_its_day_comes() {
        let at = |text: &str| -> Timestamp { format!("{text}T00:00:00Z").parse().unwrap() };
        let states = States {
            first: PeerState::Planned,
            since: Some(at("2026-01-01")),
            changes: vec![(at("2026-12-01"), PeerState::Live), (at("2027-04-01"), PeerState::Closed)],
        };
        for (now, state, words) in [
            ("2026-11-30", PeerState::Planned, "planned since 2026-01-01; live from 2026-12-01"),
            ("2026-12-01", PeerState::Live, "live since 2026-12-01; closed from 2027-04-01"),
            ("2027-05-01", PeerState::Closed, "closed since 2027-04-01"),
        ] {
            assert_eq!((states.at(at(now)), states.words(at(now)).as_str()), (state, words));
        }
        assert_eq!(States::from(PeerState::Live).words(at("2026-01-01")), "live");
    }
}
