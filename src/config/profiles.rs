//! Profiles of peers: `[profile.NAME]`, and what a `[[peer]]` says over the one that it names.

use http::Uri;

use super::PeerExchange;
use super::raw::{Section, Spot, as_key, suggestion};
use super::read::Reader;
use crate::transport::peer::profile::{PeerProfile, SoapVersion, To};

/// More documents than one request may ask for are never asked of a peer at once.
const MOST_DOCUMENTS: u64 = 1_000_000;

impl Reader<'_> {
    /// The profiles known by name, and those of the configuration.
    pub(super) fn profiles(&self, root: &mut Section<'_>) -> Vec<PeerProfile> {
        let mut profiles = PeerProfile::known().to_vec();
        for (name, mut section) in root.named_sections("profile") {
            let spot = section.own_spot();
            let base = PeerProfile { name: name.clone(), ..PeerProfile::default() };
            let profile = self.profile_settings(&mut section, base);
            section.finish();
            if PeerProfile::known().iter().any(|known| known.name == name) {
                let fix = "give it a name of its own, or write the settings into the [[peer]]";
                self.findings.add(&spot, "this profile is built in", fix);
            } else {
                profiles.push(profile);
            }
        }
        profiles
    }

    /// The profile of a peer, with what the peer itself says.
    pub(super) fn peer_profile(
        &self,
        section: &mut Section<'_>,
        profiles: &[PeerProfile],
        exchange: PeerExchange,
    ) -> PeerProfile {
        let base = section.text("profile").and_then(|text| {
            let found = profiles.iter().find(|profile| profile.name == text.value);
            if found.is_none() {
                let names: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
                let what = format!("there is no profile \"{}\"", text.value);
                let key = as_key(&text.value);
                let fix = format!("{}, or describe it in [profile.{key}]", suggestion(&text.value, &names));
                self.findings.add(&text.spot, what, fix);
            }
            found.cloned()
        });
        let spots = ["reply_to", "async_actions"].map(|key| (section.has(key), section.spot(key)));
        let profile = self.profile_settings(section, base.unwrap_or_default());
        self.fits(&profile, &spots, exchange);
        profile
    }

    /// What cannot be meant together, if the peer itself says it.
    fn fits(&self, profile: &PeerProfile, spots: &[(bool, Spot); 2], exchange: PeerExchange) {
        let [(has_reply, reply), (has_actions, actions)] = spots;
        let asynchronous = exchange == PeerExchange::Asynchronous;
        if *has_reply && !profile.reply_to && asynchronous {
            let fix = "remove it, or write exchange = \"synchronous\"";
            self.findings.add(reply, "answers that come later need a wsa:ReplyTo", fix);
        }
        if *has_actions && profile.async_actions && !asynchronous {
            let fix = "write exchange = \"asynchronous\", or remove it";
            self.findings.add(actions, "only requests whose answers come later have these actions", fix);
        }
    }

    /// The settings of a section over those of a profile; docs/peers.md says whom each is for.
    fn profile_settings(&self, section: &mut Section<'_>, base: PeerProfile) -> PeerProfile {
        let documents = u64::try_from(base.documents_per_request).unwrap_or(MOST_DOCUMENTS);
        let documents = section.count("documents_per_request", documents, 0, MOST_DOCUMENTS);
        PeerProfile {
            soap: section.choice("soap", &[("1.2", SoapVersion::V12), ("1.1", SoapVersion::V11)], base.soap),
            mtom: section.boolean("mtom", base.mtom),
            to: self.to(section).unwrap_or(base.to),
            reply_to: section.boolean("reply_to", base.reply_to),
            must_understand: section.boolean("must_understand", base.must_understand),
            action_parameter: section.boolean("action_parameter", base.action_parameter),
            async_actions: section.boolean("async_actions", base.async_actions),
            v3_home_prefix: section.boolean("v3_home_prefix", base.v3_home_prefix),
            keep_alive: section.boolean("keep_alive", base.keep_alive),
            trace_header: section.boolean("trace_header", base.trace_header),
            documents_per_request: usize::try_from(documents).unwrap_or(usize::MAX),
            assume_home: section.boolean("assume_home", base.assume_home),
            name: base.name,
        }
    }

    fn to(&self, section: &mut Section<'_>) -> Option<To> {
        let text = section.text("to")?;
        let is_address = |text: &str| {
            text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) || {
                let urn = text.strip_prefix("urn:").unwrap_or_default();
                urn.contains(':') && urn.bytes().all(|byte| byte.is_ascii_graphic())
            }
        };
        match text.value.as_str() {
            "address" => Some(To::Address),
            "none" => Some(To::Absent),
            other if is_address(other) => Some(To::Other(text.value)),
            other => {
                let what = format!("\"{other}\" is neither an address nor one of its values");
                let fix = "write \"address\", \"none\", or what the peer calls itself, as https://inside.example/xca";
                self.findings.add(&text.spot, what, fix);
                None
            }
        }
    }
}
