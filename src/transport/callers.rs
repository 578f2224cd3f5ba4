//! As which communities a caller is known, by the certificate that it shows; and whose name it borrows.
//!
//! What a message says of its sender is a claim. A caller is known as a community if its certificate is one that
//! we would take for that community's own when we call it: one that covers the host of an address
//! configured for it. Several communities may share a gateway, and are then known as each other. Who
//! shows another certificate is nobody's, which costs it nothing but to be believed in what it tells
//! of a community.
//!
//! Where certificates are listed for a community, a host or a common name does not make a caller that community. It
//! makes it one that would be taken for it by whoever reads names: an impostor, or the community with a certificate that
//! nobody has told us of. Neither may ask as if it were nobody. A name that may be somebody else's is not borrowed: one
//! of another community at the same host, or our own.

use std::sync::Arc;

use jiff::Timestamp;

use super::tls::PeerIdentity;
use crate::model::community::{CertificateRule, PeerState, ShownCertificate, States};
use crate::model::ids::HomeCommunityId;

/// The communities, each with the hosts that it is called at.
#[derive(Debug, Default)]
pub struct Callers {
    known: Vec<(HomeCommunityId, Vec<String>)>,
    names: Names,
}

/// Whose names they are.
#[derive(Debug, Default)]
pub struct Names {
    /// Communities that are recognised by certificates listed for them.
    pub pinned: Vec<Pinned>,
    /// What the others are, with the hosts that they are called at.
    pub others: Vec<(States, Vec<String>)>,
    /// The certificates that we show ourselves, by their SHA-256.
    pub own: Vec<[u8; 32]>,
}

/// A community that is recognised by certificates listed for it, and by no other.
#[derive(Debug)]
pub struct Pinned {
    /// Which.
    pub home: HomeCommunityId,
    /// Its name, for people.
    pub name: String,
    /// The hosts of all its addresses.
    pub hosts: Vec<String>,
    /// Its certificates.
    pub rules: Vec<CertificateRule>,
}

/// Whether a certificate bears that common name.
fn is_called(identity: &PeerIdentity, name: &str) -> bool {
    let common_name = identity.common_name.trim().trim_end_matches('.');
    !name.is_empty() && name.trim_end_matches('.').eq_ignore_ascii_case(common_name)
}

/// Whether one of these hosts is on a certificate; the common name counts too, which old ones have alone.
fn names_one_of(identity: &PeerIdentity, hosts: &[String]) -> bool {
    hosts.iter().any(|host| identity.covers_host(host) || is_called(identity, host))
}

impl Pinned {
    /// Whether its name is on that certificate: one of its hosts, or a common name that is listed for it.
    fn is_named_by(&self, identity: &PeerIdentity) -> bool {
        let shown = ShownCertificate::from(identity);
        let is_listed = |rule: &CertificateRule| {
            rule.name().is_some_and(|name| is_called(identity, name)) && rule.may_be_pretended_by(&shown)
        };
        names_one_of(identity, &self.hosts) || self.rules.iter().any(is_listed)
    }
}

impl Callers {
    /// These.
    pub fn new(communities: Vec<(HomeCommunityId, Vec<String>)>) -> Self {
        Self { known: communities, names: Names::default() }
    }

    /// The same, able to tell who borrows a name.
    #[must_use]
    pub fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The communities that a caller is known as.
    pub fn known_as(&self, identity: Option<&PeerIdentity>) -> Arc<[HomeCommunityId]> {
        let Some(identity) = identity else { return Arc::new([]) };
        let known = self.known.iter().filter(|(_, hosts)| hosts.iter().any(|host| identity.covers_host(host)));
        known.map(|(home, _)| home.clone()).collect()
    }

    /// The community whose name a caller's certificate bears, while it is none that is listed for any.
    pub fn impersonated(&self, identity: &PeerIdentity, at: Timestamp) -> Option<&Pinned> {
        let Names { pinned, others, own } = &self.names;
        let shown = ShownCertificate::from(identity);
        let is_listed = pinned.iter().flat_map(|community| &community.rules).any(|rule| rule.is(&shown));
        let may_be_anothers = || {
            let there = others.iter().filter(|(states, _)| states.at(at) != PeerState::Closed);
            there.into_iter().any(|(_, hosts)| names_one_of(identity, hosts))
        };
        if is_listed || own.contains(&shown.sha256) || may_be_anothers() {
            return None;
        }
        pinned.iter().find(|community| community.is_named_by(identity))
    }
}

impl<'a> From<&'a PeerIdentity> for ShownCertificate<'a> {
    fn from(identity: &'a PeerIdentity) -> Self {
        Self { sha256: identity.fingerprint_sha256, subject: &identity.subject, common_name: &identity.common_name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(dns_names: &[&str], ip_addresses: &[&str]) -> PeerIdentity {
        PeerIdentity {
            common_name: "gateway.west.example".into(),
            subject: String::new(),
            issuer: String::new(),
            serial: String::new(),
            fingerprint_sha256: [0; 32],
            dns_names: dns_names.iter().map(|name| (*name).to_owned()).collect(),
            ip_addresses: ip_addresses.iter().map(|address| address.parse().unwrap()).collect(),
            not_after: jiff::Timestamp::MAX,
            is_development: false,
        }
    }

    #[test]
    fn who_is_known_as_whom() {
        let home = |n: usize| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap();
        let hosts = |hosts: &[&str]| hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let callers = Callers::new(vec![
            (home(1), hosts(&["gateway.east.example", "xcpd.east.example"])),
            (home(2), hosts(&["gateway.west.example"])),
            (home(3), hosts(&["10.0.0.3"])),
            (home(4), hosts(&["gateway.west.example"])),
            (home(5), hosts(&[])),
        ]);
        for (dns, ip, expected) in [
            (&["gateway.east.example"][..], &[][..], &[1][..]),
            (&["XCPD.east.example"], &[], &[1]),
            (&["gateway.west.example"], &[], &[2, 4]),
            (&["*.west.example"], &[], &[2, 4]),
            (&["*.example"], &[], &[]),
            (&["west.example", "10.0.0.3"], &[], &[]),
            (&[], &["10.0.0.3"], &[3]),
            // A common name proves nothing.
            (&[], &[], &[]),
        ] {
            let known = callers.known_as(Some(&identity(dns, ip)));
            assert_eq!(known.to_vec(), expected.iter().map(|n| home(*n)).collect::<Vec<_>>(), "{dns:?} {ip:?}");
        }
        assert!(callers.known_as(None).is_empty());
    }

    #[test]
    fn who_borrows_a_name_is_noticed_and_nobody_else() {
        let home = |n: usize| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap();
        let pinned = |n: usize, hosts: &[&str], rules: &[&str]| Pinned {
            home: home(n),
            name: format!("community {n}"),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            rules: rules.iter().map(|rule| CertificateRule::parse(rule).unwrap()).collect(),
        };
        let sha256 = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
        let callers = Callers::default().with_names(Names {
            pinned: vec![
                pinned(1, &["gateway.east.example", "shared.example"], &[&sha256(1), &sha256(2)]),
                pinned(2, &["shared.example"], &["CN=west-gateway,O=West"]),
                pinned(3, &["hosted.example", "gone.example"], &["north-gateway"]),
                pinned(4, &["10.0.0.4"], &["O=South\\, the,CN=South\\, too"]),
            ],
            others: vec![
                (PeerState::Suspended.into(), vec!["hosted.example".into()]),
                (PeerState::Closed.into(), vec!["gone.example".into()]),
            ],
            own: vec![[9; 32]],
        });
        for (dns, common_name, subject, shown, expected) in [
            // Each listed one is good, whatever else stands on it.
            (&["gateway.east.example"][..], "a", "CN=a", 1, None),
            (&["gateway.east.example"], "a", "CN=a", 2, None),
            (&["gateway.east.example", "shared.example"], "west-gateway", "CN=west-gateway,O=West", 7, None),
            (&["gateway.east.example"], "north-gateway", "CN=north-gateway", 7, None),
            // Of those that are not, the name counts, as a host, under a wildcard, or as the common name.
            (&["GATEWAY.east.example"], "a", "CN=a", 7, Some(1)),
            (&["*.east.example"], "a", "CN=a", 7, Some(1)),
            (&[], "Gateway.East.Example", "CN=Gateway.East.Example", 7, Some(1)),
            (&["shared.example"], "a", "CN=a", 7, Some(1)),
            (&[], "west-gateway", "CN=west-gateway,OU=New,O=West", 7, Some(2)),
            (&[], "west-gateway", "CN=west-gateway,O=Elsewhere", 7, None),
            (&[], "North-Gateway", "CN=North-Gateway", 7, Some(3)),
            (&[], "South, too", "CN=South\\, too", 7, Some(4)),
            // At a host that others have too it may be theirs, unless they are gone; and ours is ours.
            (&["hosted.example"], "a", "CN=a", 7, None),
            (&[], "hosted.example", "CN=hosted.example", 7, None),
            (&["gone.example"], "a", "CN=a", 7, Some(3)),
            (&["gateway.east.example"], "a", "CN=a", 9, None),
            // And whoever else has names of their own.
            (&["gateway.south.example"], "south", "CN=south", 7, None),
            (&[], "", "", 7, None),
        ] {
            let caller = PeerIdentity {
                common_name: common_name.into(),
                subject: subject.into(),
                fingerprint_sha256: [shown; 32],
                ..identity(dns, &[])
            };
            let impersonated = callers.impersonated(&caller, Timestamp::UNIX_EPOCH).map(|pinned| pinned.home.clone());
            assert_eq!(impersonated, expected.map(home), "{dns:?} {subject} {shown}");
        }
        assert!(Callers::default().impersonated(&identity(&["a.example"], &[]), Timestamp::UNIX_EPOCH).is_none());
    }
}
