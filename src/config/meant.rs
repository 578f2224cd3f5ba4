//! What settings mean together: those that cannot work beside each other are findings, and what works but is most
//! likely not what was meant deserves a look (`causeway check`).

use std::time::Duration;

use http::Uri;

use super::raw::{Findings, Section, Spot};
use super::{
    Config, Discovery, Limits, Listener, Locator, LocatorPolicy, Peer, PeerExchange, PeerPatientId, PeerState, TlsFiles,
};

/// A gateway that has less time than this before the next one is asked is hardly ever waited for.
const SHORT: Duration = Duration::from_secs(1);

/// Where a peer says what is judged together with other settings.
pub(super) struct PeerSpots {
    name: Spot,
    gateway: Spot,
    timeout: Spot,
    exchange: Spot,
    feed: Spot,
    locator: Spot,
    pub(super) located_by: Spot,
    pub(super) certificates: Spot,
    shares: Spot,
    /// Whether it has any, right or wrong.
    has_certificates: bool,
}

impl PeerSpots {
    pub(super) fn of(section: &Section<'_>) -> Self {
        Self {
            name: section.spot("name"),
            gateway: section.spot("responding_gateway"),
            timeout: section.spot("timeout"),
            exchange: section.spot("exchange"),
            feed: section.spot("feed"),
            locator: section.spot("locator"),
            located_by: section.spot("located_by"),
            certificates: section.spot("certificates"),
            shares: section.spot("shares"),
            has_certificates: section.has("certificates"),
        }
    }
}

/// Where other sections do.
pub(super) struct Spots {
    pub(super) peers: Vec<PeerSpots>,
    pub(super) locator: Spot,
    pub(super) wait: Spot,
    pub(super) deferred: Spot,
    pub(super) revocation: Spot,
}

/// The settings that are judged.
pub(super) struct Together<'a> {
    pub(super) peers: &'a [Peer],
    pub(super) listeners: &'a [Listener],
    pub(super) client: Option<&'a TlsFiles>,
    pub(super) locator: &'a Locator,
    pub(super) discovery: Discovery,
    pub(super) takes_answers: bool,
    pub(super) only_known: bool,
    pub(super) limits: &'a Limits,
}

/// Whether callers at the gateways are accepted by the authorities that peers are: else the host that a caller's
/// certificate covers says nothing of who it is.
fn hosts_tell(listeners: &[Listener], client: &TlsFiles) -> bool {
    let mut gateways = listeners.iter().filter(|listener| listener.services.iter().any(|s| s.is_gateway()));
    gateways.all(|listener| listener.tls.client_ca == client.client_ca)
}

impl Config {
    /// Whether a caller is known as this peer if its certificate covers one of the peer's hosts.
    pub fn knows_by_host(&self, peer: &Peer) -> bool {
        peer.ca.is_none() && !is_closed(peer) && hosts_tell(&self.listeners, &self.client)
    }
}

fn is_closed(peer: &Peer) -> bool {
    peer.states.first == PeerState::Closed
}

/// Whether it is asked, now or one day.
fn is_ever_asked(peer: &Peer) -> bool {
    let mut states = peer.states.changes.iter().map(|(_, state)| *state).chain([peer.states.first]);
    peer.kind.serves() && states.any(|state| state == PeerState::Live)
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(443)
}

/// Whether two addresses are one, however they are written.
pub(super) fn is_same(one: &Uri, other: &Uri) -> bool {
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    host(one) == host(other) && port(one) == port(other) && one.path_and_query() == other.path_and_query()
}

impl Together<'_> {
    pub(super) fn judge(&self, spots: &Spots, findings: &Findings) {
        for (at, (peer, spot)) in self.peers.iter().zip(&spots.peers).enumerate() {
            self.known(peer, spot, findings);
            self.time(peer, spot, findings);
            self.ourselves(peer, spot, findings);
            shares(peer, spot, findings);
            if self.peers.iter().take(at).any(|other| other.name == peer.name) {
                let what = format!("\"{}\" is the name of another peer too", peer.name);
                findings.note(&spot.name, what, "give each its own: reports, logs and doctor --peer tell them by it");
            }
        }
        self.directed(spots, findings);
        self.discovered(spots, findings);
    }

    /// Who must be recognised for what is configured, and is not.
    fn known(&self, peer: &Peer, spot: &PeerSpots, findings: &Findings) {
        const ADD: &str =
            "certificates = [\"…\"], the common name or the fingerprint of what it shows when it calls us";
        if peer.feed && self.limits.correlation_offer.is_zero() {
            let fix = "raise limits.correlation_offer, which is 24 hours unless given, or remove feed";
            findings.add(
                &spot.feed,
                "with limits.correlation_offer = \"0s\" it could keep nothing that it is told",
                fix,
            );
        }
        if spot.has_certificates || is_closed(peer) {
            return;
        }
        if self.only_known && peer.kind.asks() {
            let what = "it is not answered when it asks: only known callers are, and it has no certificates";
            findings.note(&spot.certificates, what, format!("add {ADD}; or leave it, if it is not to ask"));
        }
        let Some(client) = self.client else { return };
        let why = match peer.ca {
            Some(_) => "a peer with a ca of its own",
            None if !hosts_tell(self.listeners, client) => {
                "where a gateway's listener has another client_ca than [client] has ca, a peer"
            }
            None => return,
        };
        if peer.exchange == PeerExchange::Deferred {
            let what =
                format!("its answers about patients would be refused: {why} is recognised by certificates alone");
            findings.add(&spot.exchange, what, format!("add {ADD}"));
        } else if peer.patient_id == PeerPatientId::Discover && (peer.feed || self.discovery.revocation) {
            let what = format!(
                "what it tells or takes back of patients is not taken: {why} is recognised by certificates alone"
            );
            findings.note(&spot.certificates, what, format!("add {ADD}; or leave it, if it tells nothing by itself"));
        }
    }

    fn time(&self, peer: &Peer, spot: &PeerSpots, findings: &Findings) {
        let ends = self.limits.request_deadline.max(self.limits.retrieve_deadline);
        if peer.timeout > ends {
            let what = "no query or retrieve takes so long: limits.request_deadline and retrieve_deadline end first";
            findings.note(&spot.timeout, what, "lower it, or raise them");
        }
        let gateways = u32::try_from(peer.gateways().count()).unwrap_or(u32::MAX).max(1);
        let part = peer.timeout / gateways;
        if gateways > 1 && part < SHORT && peer.exchange != PeerExchange::Asynchronous {
            let part = super::units::exact_duration(part);
            let what = format!("of {gateways} gateways the first has {part} before the next one is asked");
            findings.note(&spot.timeout, what, "raise timeout: its gateways share it");
        }
    }

    fn ourselves(&self, peer: &Peer, spot: &PeerSpots, findings: &Findings) {
        let is_ours = |uri: &Uri| {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            self.listeners.iter().any(|listener| {
                let named = listener.names.iter().any(|name| name.eq_ignore_ascii_case(host));
                let bound = !listener.bind.ip().is_unspecified() && listener.bind.ip().to_string() == host;
                listener.bind.port() == port(uri) && (named || bound)
            })
        };
        if let Some(uri) = peer.gateways().find(|uri| is_ours(uri)) {
            let what = format!("{uri} is an address of ours");
            findings.note(&spot.gateway, what, "put in the peer's; a broker does not ask itself");
        }
    }

    /// `[locator]`, and what peers say for it.
    fn directed(&self, spots: &Spots, findings: &Findings) {
        let is_written = *self.locator != Locator::default();
        let peers = || self.peers.iter().zip(&spots.peers);
        if self.locator.policy == LocatorPolicy::Broadcast {
            let of_peer = |(peer, spot): (&Peer, &PeerSpots)| match (peer.locator, &peer.located_by) {
                (true, _) => Some(spot.locator.clone()),
                (false, Some(_)) => Some(spot.located_by.clone()),
                (false, None) => None,
            };
            let spot = is_written.then(|| spots.locator.clone()).or_else(|| peers().find_map(of_peer));
            if let Some(spot) = spot {
                let fix = "write policy = \"directed\" in [locator]; or leave it, if queries are to go to everybody";
                findings.note(&spot, "it changes nothing while the policy of [locator] is broadcast", fix);
            }
            return;
        }
        if self.limits.located_patients == 0 {
            let what = "with limits.located_patients = 0 nothing is remembered, so everybody is asked";
            findings.note(&spots.locator, what, "raise limits.located_patients, which is 50000 unless given");
        }
        if self.locator.wait >= self.limits.request_deadline {
            let what = "a locator that does not answer would leave no time for the query (limits.request_deadline)";
            findings.note(&spots.wait, what, "write for example wait = \"2s\"");
        }
        for (peer, spot) in peers() {
            let by = peer.located_by.as_ref();
            let by = by.and_then(|by| self.peers.iter().find(|other| other.home_community_id == *by));
            if let Some(by) = by.filter(|by| !is_ever_asked(by)) {
                let what = format!("\"{}\" is never asked, so it leaves nobody out", by.name);
                findings.note(&spot.located_by, what, "name another one, or write state = \"live\" there");
            }
        }
    }

    /// `[discovery]`
    fn discovered(&self, spots: &Spots, findings: &Findings) {
        if self.discovery.deferred && !self.takes_answers {
            let what = "nobody is answered later, for there is no address where answers may be sent";
            let fix = "add callback = \"https://peer.example:8443/services/initiating-gateway\" to a [[peer]], or callbacks to [asynchronous]";
            findings.note(&spots.deferred, what, fix);
        }
        let asks = self.peers.iter().any(|peer| peer.patient_id == PeerPatientId::Discover);
        if self.discovery.revocation && !asks {
            let what = "there is nothing to take back: no peer is asked under which identifier it knows a patient";
            findings.note(&spots.revocation, what, "write patient_id = \"discover\" in a [[peer]], or remove it");
        }
    }
}

/// What is allowed and denied at once.
fn shares(peer: &Peer, spot: &PeerSpots, findings: &Findings) {
    let (allow, deny) = (&peer.shares.allow, &peer.shares.deny);
    let lists = [
        ("confidentiality", &allow.confidentiality, &deny.confidentiality),
        ("class", &allow.class, &deny.class),
        ("type", &allow.type_code, &deny.type_code),
    ];
    for (name, allowed, denied) in lists {
        if let Some(rule) = allowed.iter().find(|rule| denied.contains(rule)) {
            let what = format!("{name} {rule} is both allowed and denied: nothing that has it is shared");
            findings.note(&spot.shares, what, "leave it in one of the lists");
        }
    }
}
