//! As which communities a caller is known, by the certificate that it shows.
//!
//! What a message says of its sender is a claim. A caller is known as a community if its certificate is one that
//! we would take for that community's own when we call it: one that covers the host of an address
//! configured for it. Several communities may share a gateway, and are then known as each other. Who
//! shows another certificate is nobody's, which costs it nothing but to be believed in what it tells
//! of a community.

use std::sync::Arc;

use super::tls::PeerIdentity;
use crate::model::ids::HomeCommunityId;

/// The communities, each with the hosts that it is called at.
#[derive(Debug, Default)]
pub struct Callers(Vec<(HomeCommunityId, Vec<String>)>);

impl Callers {
    /// These.
    pub fn new(communities: Vec<(HomeCommunityId, Vec<String>)>) -> Self {
        Self(communities)
    }

    /// The communities that a caller is known as.
    pub fn known_as(&self, identity: Option<&PeerIdentity>) -> Arc<[HomeCommunityId]> {
        let Some(identity) = identity else { return Arc::new([]) };
        let known = self.0.iter().filter(|(_, hosts)| hosts.iter().any(|host| identity.covers_host(host)));
        known.map(|(home, _)| home.clone()).collect()
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
}
