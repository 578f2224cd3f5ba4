//! What `[[peer]]` says of a community besides who it is: at which addresses it is asked, by which certificates
//! it is recognised, and what it is given.

use http::Uri;

use super::meant::is_same;
use super::raw::{Section, Spot, Text, quoted};
use super::read::Reader;
use super::{CertificateRule, GatewayRules, Peer, Service, Shares};
use crate::model::community::NoRule;
use crate::model::sharing::{CodeLists, CodeRule};

/// An address in examples.
const EXAMPLE: &str = "https://peer.example:8443/services/responding-gateway";

impl Reader<'_> {
    /// `responding_gateway`: one address, or a list in order of preference; the first, and the others.
    pub(super) fn gateways(&self, section: &mut Section<'_>, needed: bool) -> (Option<Uri>, Vec<Uri>) {
        const KEY: &str = "responding_gateway";
        let spot = section.spot(KEY);
        if needed && !section.has(KEY) {
            section.required(KEY, EXAMPLE);
            return (None, Vec::new());
        }
        let is_empty = section.is_empty_list(KEY);
        let texts = section.one_or_more(KEY);
        if is_empty {
            let fix = format!("write {KEY} = \"{EXAMPLE}\", or a list in order of preference");
            self.findings.add(&spot, "there is no address in it", fix);
        }
        let mut gateways: Vec<Uri> = Vec::new();
        for text in texts {
            let spot = text.spot.clone();
            let is_another = |(at, _): (usize, &str)| {
                text.value.get(..at).is_some_and(|before| before.contains([' ', '\t', '\n', ',', ';']))
            };
            if text.value.match_indices("://").any(is_another) {
                let fix = format!("write {KEY} = [\"{EXAMPLE}\", \"…\"], each in quotes of its own");
                self.findings.add(&spot, "there are several addresses in one text", fix);
                continue;
            }
            let Some(uri) = self.url(Some(text)) else { continue };
            if gateways.iter().any(|other| is_same(other, &uri)) {
                self.findings.add(&spot, "the address is there twice", "remove one of them");
                continue;
            }
            self.is_a_gateways(&spot, &uri);
            gateways.push(uri);
        }
        let mut gateways = gateways.into_iter();
        (gateways.next(), gateways.collect())
    }

    /// Whether the path can be that of a Responding Gateway.
    fn is_a_gateways(&self, spot: &Spot, uri: &Uri) {
        let what = match Service::from_path(uri.path()) {
            Some(Service::RespondingGateway) => return,
            Some(other) => format!("the path is that of another service, {}", other.name()),
            None if uri.path() == "/" => "there is no path in it".to_owned(),
            None => return,
        };
        self.findings.note(spot, what, format!("write it like {EXAMPLE}, if the peer has it there"));
    }

    /// `certificates` of a peer.
    pub(super) fn certificates(&self, section: &mut Section<'_>) -> Vec<CertificateRule> {
        let mut rules = Vec::new();
        for text in section.texts("certificates") {
            match CertificateRule::parse(&text.value) {
                Ok(rule) => {
                    if let CertificateRule::Subject(subject) = &rule
                        && let Some(name) = subject.common_name().filter(|_| subject.is_bare_name())
                    {
                        let what =
                            "it is taken for the whole subject: a certificate with more in its own is not recognised";
                        self.findings.note(&text.spot, what, format!("write {} for the common name", quoted(name)));
                    }
                    rules.push(rule);
                }
                Err(NoRule { what, fix, instead }) => {
                    let fix = instead.map_or_else(|| fix.to_owned(), |text| format!("write {}", quoted(&text)));
                    self.findings.add(&text.spot, what, fix);
                }
            }
        }
        rules
    }

    /// A certificate is one community's.
    pub(super) fn not_another_ones(&self, spot: &Spot, peer: &Peer, others: &[Peer]) {
        let meets = |rule: &CertificateRule| peer.certificates.iter().any(|own| own.meets(rule));
        let same = |other: &&Peer| other.certificates.iter().any(meets);
        if let Some(other) = others.iter().find(same) {
            let what = format!("\"{}\" is recognised by the same certificate", other.name);
            self.findings.add(spot, what, "leave it with one of them: who asks must be known for certain");
        }
    }

    /// `shares` of a peer.
    pub(super) fn shares(&self, section: &mut Section<'_>, certificates: &[CertificateRule]) -> Shares {
        let spot = section.spot("shares");
        let mut shares = section.section("shares");
        let allow = self.code_lists(shares.section("allow"));
        let deny = self.code_lists(shares.section("deny"));
        shares.finish();
        let shares = Shares { allow, deny };
        if !shares.is_everything() && certificates.is_empty() {
            let fix = "add certificates = [\"…\"], the common name or the fingerprint of what it shows when it asks";
            self.findings.add(&spot, "nobody is recognised as this community, so the rule would hold for nobody", fix);
        }
        shares
    }

    fn code_lists(&self, mut section: Section<'_>) -> CodeLists {
        let lists = CodeLists {
            confidentiality: self.code_list(&mut section, "confidentiality"),
            class: self.code_list(&mut section, "class"),
            type_code: self.code_list(&mut section, "type"),
        };
        section.finish();
        lists
    }

    fn code_list(&self, section: &mut Section<'_>, key: &'static str) -> Vec<CodeRule> {
        let (spot, is_empty) = (section.spot(key), section.is_empty_list(key));
        let texts = section.texts(key);
        if is_empty {
            // One could take it for "none of them".
            self.findings.add(&spot, "an empty list is no rule", "name codes, or remove the key");
        }
        let read = |text: Text| {
            let fix = "write the code, or code^^scheme";
            CodeRule::parse(&text.value).map_err(|what| self.findings.add(&text.spot, what, fix)).ok()
        };
        texts.into_iter().filter_map(read).collect()
    }

    /// `[initiating_gateway]` and `[responding_gateway]`.
    pub(super) fn gateway_rules(
        &self,
        mut initiating: Section<'_>,
        mut responding: Section<'_>,
        peers: &[Peer],
    ) -> GatewayRules {
        let default = GatewayRules::default();
        let tell_planned = initiating.boolean("tell_planned", default.tell_planned);
        initiating.finish();
        let spot = responding.spot("only_known");
        let only_known = responding.boolean("only_known", default.only_known);
        responding.finish();
        if only_known && peers.iter().all(|peer| peer.certificates.is_empty()) {
            let fix = "add certificates = [\"…\"] to the [[peer]]s that may ask, or remove it";
            self.findings.add(&spot, "no peer has certificates, so nobody would be answered", fix);
        }
        GatewayRules { tell_planned, only_known }
    }
}
