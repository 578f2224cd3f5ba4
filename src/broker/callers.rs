//! By which certificates callers are known as peers, and by which names they pretend to be.

use crate::config::{self, Config};
use crate::model::ids::HomeCommunityId;
use crate::transport::callers::{Callers, Names, Pinned};
use crate::transport::certificates;

/// Callers are known as peers by certificates that we would take for the peer's own. Where callers are accepted
/// by other authorities than the peers are, a name says nothing; that it is borrowed is noticed there too.
pub(super) fn callers(config: &Config) -> Callers {
    let (pinned, others): (Vec<_>, Vec<_>) = config.peers.iter().partition(|peer| !peer.certificates.is_empty());
    let pinned = pinned.into_iter().map(|peer| Pinned {
        home: peer.home_community_id.clone(),
        name: peer.name.clone(),
        hosts: all_hosts(peer),
        rules: peer.certificates.clone(),
    });
    let others = others.into_iter().map(|peer| (peer.states.clone(), all_hosts(peer)));
    let names = Names { pinned: pinned.collect(), others: others.collect(), own: own(config) };
    Callers::new(known(config)).with_names(names)
}

fn hosts(peer: &config::Peer) -> impl Iterator<Item = String> {
    peer.gateways().chain(&peer.patient_discovery).filter_map(|url| url.host().map(str::to_owned))
}

/// Where it answers too.
fn all_hosts(peer: &config::Peer) -> Vec<String> {
    hosts(peer).chain(peer.callback.iter().map(|callback| callback.host().to_owned())).collect()
}

fn known(config: &Config) -> Vec<(HomeCommunityId, Vec<String>)> {
    let peers = config.peers.iter().filter(|peer| config.knows_by_host(peer));
    peers.map(|peer| (peer.home_community_id.clone(), hosts(peer).collect())).collect()
}

/// The certificates that we show ourselves: what calls with one of these is ours, whose host it may share.
fn own(config: &Config) -> Vec<[u8; 32]> {
    let files = config.listeners.iter().map(|listener| &listener.tls).chain(std::iter::once(&config.client));
    let shown = files.filter_map(|tls| {
        let pem = std::fs::read(&tls.certificate).ok()?;
        certificates::facts_from_pem(&pem).ok()?.first().map(|facts| facts.fingerprint_sha256)
    });
    shown.collect()
}
