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

/// What a community takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// Publishes and consumes.
    Full,
    /// Launches a viewer in context; publishes nothing.
    LinkOnly,
    /// May ask; has nothing to serve.
    ConsumeOnly,
    /// Serves; has no users of its own.
    PublishOnly,
    /// Serves and routes for others.
    Hub,
}

impl PeerKind {
    /// The word in the configuration and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::LinkOnly => "link-only",
            Self::ConsumeOnly => "consume-only",
            Self::PublishOnly => "publish-only",
            Self::Hub => "hub",
        }
    }

    /// Whether it has a Responding Gateway.
    pub fn serves(self) -> bool {
        matches!(self, Self::Full | Self::PublishOnly | Self::Hub)
    }

    /// Whether it has an Initiating Gateway, whose questions are answered.
    pub fn asks(self) -> bool {
        matches!(self, Self::Full | Self::ConsumeOnly | Self::Hub)
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

    /// The same for whoever wonders what is missing: who is planned is not out of order.
    pub fn told(&self, now: Timestamp) -> String {
        let words = self.words(now);
        match self.at(now) {
            PeerState::Planned | PeerState::Connecting => format!("not connected yet ({words})"),
            PeerState::Live | PeerState::Suspended | PeerState::Closed => words,
        }
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

/// By which certificate of a client a community is recognised (`[[peer]] certificates`).
#[derive(Clone, PartialEq, Eq)]
pub enum CertificateRule {
    /// This one alone, by its SHA-256.
    Fingerprint([u8; 32]),
    /// Those of this subject, as RFC 4514 writes it.
    Subject(String),
    /// Those of this common name.
    CommonName(String),
}

impl CertificateRule {
    /// Reads `sha256:…`, a subject as `CN=…,O=…`, or a common name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if let Some(digits) = text.strip_prefix("sha256:") {
            // As openssl prints it: in pairs with colons between, in capital letters.
            let bare: String = digits.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
            let mut octets = [0; 32];
            if bare.len() != 64 || !bare.is_ascii() {
                return Err("a SHA-256 has 64 hexadecimal digits");
            }
            for (octet, at) in octets.iter_mut().zip((0..64).step_by(2)) {
                let pair = bare.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
                *octet = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or("a SHA-256 is hexadecimal")?;
            }
            return Ok(Self::Fingerprint(octets));
        }
        match text {
            "" => Err("it is empty"),
            "*" => Err("a certificate is one community's: there is no name for all of them"),
            _ if text.contains('=') => Ok(Self::Subject(text.to_owned())),
            _ => Ok(Self::CommonName(text.to_owned())),
        }
    }

    /// The common name of those that are meant, where that is written.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Subject(subject) => common_name(subject),
            Self::CommonName(name) => Some(name.clone()),
        }
    }

    /// Whether that certificate is meant.
    pub fn is(&self, shown: &ShownCertificate<'_>) -> bool {
        match self {
            Self::Fingerprint(sha256) => *sha256 == shown.sha256,
            Self::Subject(subject) => subject == shown.subject,
            Self::CommonName(name) => name == shown.common_name,
        }
    }
}

impl std::fmt::Debug for CertificateRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fingerprint(sha256) => {
                f.write_str("sha256:")?;
                sha256.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
            }
            Self::Subject(text) | Self::CommonName(text) => f.write_str(text),
        }
    }
}

/// The common name in a subject as RFC 4514 §2.3 writes it, without what escapes it.
fn common_name(subject: &str) -> Option<String> {
    let (mut attributes, mut escaped) = (vec![String::new()], false);
    for c in subject.chars() {
        match (c, attributes.last_mut()) {
            ('\\', _) if !escaped => {
                escaped = true;
                continue;
            }
            (',' | '+', _) if !escaped => attributes.push(String::new()),
            (c, Some(attribute)) => attribute.push(c),
            (_, None) => {}
        }
        escaped = false;
    }
    let value = |attribute: &String| {
        let (kind, value) = attribute.split_once('=')?;
        kind.trim().eq_ignore_ascii_case("CN").then(|| value.trim().to_owned())
    };
    attributes.iter().find_map(value)
}

/// What is known of the certificate that a caller shows, once TLS has accepted it.
#[derive(Debug, Clone, Copy)]
pub struct ShownCertificate<'a> {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its subject, as RFC 4514 writes it.
    pub subject: &'a str,
    /// Its common name.
    pub common_name: &'a str,
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

    #[test]
    fn a_certificate_is_recognised_by_what_is_written() {
        let shown = ShownCertificate { sha256: [0xab; 32], subject: "CN=North,O=Trust", common_name: "North" };
        let colons = ["AB"; 32].join(":");
        for (rule, is) in [
            (format!("sha256:{colons}"), true),
            (format!("sha256:{}", "ab".repeat(32)), true),
            (format!("sha256:{}", "ac".repeat(32)), false),
            ("North".to_owned(), true),
            ("north".to_owned(), false),
            ("CN=North,O=Trust".to_owned(), true),
            ("CN=North".to_owned(), false),
        ] {
            assert_eq!(CertificateRule::parse(&rule).unwrap().is(&shown), is, "{rule}");
        }
        for wrong in ["", "*", "sha256:", "sha256:zz", &format!("sha256:{}", "+b".repeat(32)), "sha256:\u{e4}"] {
            assert!(CertificateRule::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_rule_may_name_a_common_name() {
        for (rule, name) in [
            ("North", Some("North")),
            ("O=Trust, cn = North", Some("North")),
            ("CN=North\\, and East+OU=x,O=Trust", Some("North, and East")),
            ("O=Trust", None),
            (&format!("sha256:{}", "ab".repeat(32)), None),
        ] {
            assert_eq!(CertificateRule::parse(rule).unwrap().name().as_deref(), name, "{rule}");
        }
    }

    #[test]
    fn kinds_ask_or_serve() {
        use PeerKind::{ConsumeOnly, Full, Hub, LinkOnly, PublishOnly};
        for (kind, asks, serves) in [
            (Full, true, true),
            (Hub, true, true),
            (ConsumeOnly, true, false),
            (PublishOnly, false, true),
            (LinkOnly, false, false),
        ] {
            assert_eq!((kind.asks(), kind.serves()), (asks, serves), "{}", kind.as_str());
        }
    }
}
