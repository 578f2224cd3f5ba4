//! Communities as a gateway's configuration speaks of them (ITI TF-1 §18).

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
