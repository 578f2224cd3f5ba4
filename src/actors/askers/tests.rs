use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::actors::context::RequestContext;
use crate::actors::federation::{Manners, PatientTranslation, Rules, Scope};
use crate::actors::ports::Nobody;
use crate::model::community::{CertificateRule, PeerKind};
use crate::model::response::Severity;
use crate::model::sharing::{CodeLists, CodeRule};

fn home(n: u8) -> HomeCommunityId {
    HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
}

/// The community of that number, recognised by the common name `gateway n`.
fn peer(n: u8, kind: PeerKind, state: PeerState) -> Peer {
    Peer {
        home: home(n),
        name: format!("community {n}"),
        scope: Scope::Neighbour,
        kind,
        answers: kind.serves(),
        states: state.into(),
        nodes: Vec::new(),
        translation: PatientTranslation::SameDomain,
        manners: Manners::default(),
        feed: None,
        certificates: vec![CertificateRule::CommonName(format!("gateway {n}"))],
        shares: Arc::default(),
        community: Arc::new(Nobody),
    }
}

fn asked(transaction: TransactionId, service: Service) -> Asked {
    Asked { transaction: Transaction::of(transaction), service, at: Timestamp::UNIX_EPOCH }
}

fn query() -> Asked {
    asked(TransactionId::CrossGatewayQuery, Service::RespondingGateway)
}

fn shown(common_name: &str) -> ShownCertificate<'_> {
    ShownCertificate { sha256: [7; 32], subject: "CN=x", common_name }
}

fn federation(peers: Vec<Peer>) -> Federation {
    Federation::new(peers, Arc::default())
}

#[test]
fn who_may_ask_is_live_and_of_a_kind_that_asks() {
    use PeerKind::{ConsumeOnly, Full, Hub, LinkOnly, PublishOnly};
    use PeerState::{Closed, Connecting, Live, Planned, Suspended};
    for (kind, state, refused) in [
        (Full, Live, None),
        (Hub, Live, None),
        (ConsumeOnly, Live, None),
        (PublishOnly, Live, Some("is publish-only here")),
        (LinkOnly, Live, Some("is link-only here")),
        (Full, Planned, Some("is not connected yet (planned)")),
        (Full, Connecting, Some("is not connected yet (connecting)")),
        (Full, Suspended, Some("is suspended")),
        (Full, Closed, Some("is closed")),
    ] {
        let federation = federation(vec![peer(1, kind, state)]);
        for (caller, via) in [("gateway 1", vec![]), ("somebody", vec![home(1)])] {
            let asker = federation.asker(Some(&shown(caller)), &via, query());
            let reason = asker.refusal.as_ref().map(|refusal| refusal.reason.clone());
            match refused {
                None => assert_eq!(reason, None, "{kind:?} {state:?}"),
                Some(words) => assert!(reason.unwrap().contains(words), "{kind:?} {state:?}"),
            }
            assert_eq!(asker.community.is_some(), caller == "gateway 1");
        }
        // Of others nobody is told.
        let told = federation.asker(Some(&shown("somebody")), &[home(1)], query()).refusal;
        assert!(told.is_none_or(|refusal| !refusal.told.contains("community 1")));
    }
}

#[test]
fn who_is_recognised_as_nobody_is_answered_unless_only_known_are() {
    let peers = || vec![peer(1, PeerKind::Full, PeerState::Live)];
    let open = federation(peers());
    assert!(open.asker(Some(&shown("somebody")), &[], query()).refusal.is_none());
    assert!(open.asker(None, &[], query()).refusal.is_none());
    let closed = federation(peers()).with_rules(Rules { only_known: true, ..Rules::default() });
    assert!(closed.asker(Some(&shown("somebody")), &[], query()).refusal.is_some());
    assert!(closed.asker(None, &[home(1)], query()).refusal.is_some(), "a header is no certificate");
    assert!(closed.asker(Some(&shown("gateway 1")), &[], query()).refusal.is_none());
}

#[test]
fn a_certificate_of_two_communities_is_nobodys() {
    let mut second = peer(2, PeerKind::Full, PeerState::Live);
    second.certificates.push(CertificateRule::Fingerprint([7; 32]));
    let federation = federation(vec![peer(1, PeerKind::Full, PeerState::Live), second]);
    assert!(federation.asker(Some(&shown("gateway 1")), &[], query()).refusal.is_some());
}

#[test]
fn a_community_asks_at_the_responding_gateway_alone() {
    let federation = federation(vec![peer(1, PeerKind::Full, PeerState::Live)]);
    for (transaction, service, refused) in [
        (TransactionId::RegistryStoredQuery, Service::Registry, true),
        (TransactionId::RegistryStoredQuery, Service::InitiatingGateway, true),
        (TransactionId::RetrieveDocumentSet, Service::Repository, true),
        (TransactionId::MultiPatientStoredQuery, Service::Registry, true),
        (TransactionId::RegisterDocumentSet, Service::Registry, false),
        // From there it would go on in our name.
        (TransactionId::ProvideAndRegisterDocumentSet, Service::InitiatingGateway, true),
    ] {
        let of = |name| federation.asker(Some(&shown(name)), &[], asked(transaction, service)).refusal.is_some();
        assert_eq!((of("gateway 1"), of("hospital")), (refused, false), "{transaction:?}");
    }
    // Whose certificates may be in other hands gives nothing either.
    let federation = self::federation(vec![peer(1, PeerKind::Full, PeerState::Closed)]);
    let gives = asked(TransactionId::ProvideAndRegisterDocumentSet, Service::Repository);
    assert!(federation.asker(Some(&shown("gateway 1")), &[], gives).refusal.is_some());
}

#[test]
fn the_rules_of_all_whom_a_request_comes_from_hold() {
    let normal = |n| {
        let allow = CodeLists { confidentiality: vec![CodeRule::parse("N").unwrap()], ..CodeLists::default() };
        let shares = Arc::new(Shares { allow, ..Shares::default() });
        Peer { shares, ..peer(n, PeerKind::Full, PeerState::Live) }
    };
    let federation = federation(vec![normal(1), peer(2, PeerKind::Hub, PeerState::Live), normal(3)]);
    let of = |caller, via: &[HomeCommunityId]| federation.asker(Some(&shown(caller)), via, query()).shares.len();
    assert_eq!(of("gateway 1", &[home(1)]), 1);
    assert_eq!(of("gateway 2", &[]), 0);
    assert_eq!(of("gateway 2", &[home(3)]), 1);
    assert_eq!(of("gateway 1", &[home(3), home(2)]), 2);
    assert_eq!(of("somebody", &[home(3)]), 1);
    // Nobody changes what they may not see.
    let update = asked(TransactionId::RestrictedUpdateDocumentSet, Service::RespondingGateway);
    assert!(federation.asker(Some(&shown("gateway 1")), &[], update).refusal.is_some());
    assert!(federation.asker(Some(&shown("gateway 2")), &[], update).refusal.is_none());
}

#[test]
fn who_is_not_connected_yet_is_a_warning_or_nothing() {
    let peers = vec![
        peer(1, PeerKind::Full, PeerState::Planned),
        peer(2, PeerKind::Full, PeerState::Connecting),
        peer(3, PeerKind::ConsumeOnly, PeerState::Planned),
        peer(4, PeerKind::Full, PeerState::Closed),
    ];
    let transaction = Transaction::of(TransactionId::RegistryStoredQuery);
    let context = RequestContext::of_our_own(transaction, "test", Duration::from_secs(1));
    for (tell_planned, told) in [(true, vec![home(1), home(2)]), (false, vec![])] {
        let rules = Rules { tell_planned, ..Rules::default() };
        let warnings = federation(peers.clone()).with_rules(rules).not_connected_yet(&context);
        let homes: Vec<_> = warnings.iter().map(|warning| warning.location.clone().unwrap()).collect();
        assert_eq!(homes, told.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert!(warnings.iter().all(|warning| {
            warning.severity == Severity::Warning && warning.context.contains("is not connected yet")
        }));
    }
}
