//! Communities as a gateway's configuration speaks of them (ITI TF-1 §18).

use jiff::Timestamp;

use super::subject::Subject;

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
    /// Those of this subject.
    Subject(Subject),
    /// Those of this common name.
    CommonName(String),
}

/// Why a text says of no certificate that it is a community's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRule {
    /// What is wrong with it.
    pub what: &'static str,
    /// What to do about it.
    pub fix: &'static str,
    /// The text to write instead, if that is known.
    pub instead: Option<String>,
}

impl NoRule {
    fn new(what: &'static str, fix: &'static str) -> Self {
        Self { what, fix, instead: None }
    }
}

/// How a rule is written.
const FORMS: &str = "write a common name, a subject as \"CN=…,O=…\", or \"sha256:\" and the fingerprint";
/// How to come by what is written.
const LOOK: &str = "openssl x509 -noout -subject -nameopt RFC2253 -fingerprint -sha256 -in FILE shows what to write";

/// What follows one of these, however it is written in capitals.
fn behind<'t>(text: &'t str, starts: &[&str]) -> Option<&'t str> {
    starts.iter().find_map(|start| {
        let (head, rest) = text.split_at_checked(start.len())?;
        head.eq_ignore_ascii_case(start).then_some(rest)
    })
}

fn fingerprint(digits: &str) -> Result<[u8; 32], NoRule> {
    // As openssl prints it: in pairs with colons between, in capital letters.
    let bare: String = digits.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let mut octets = [0; 32];
    if bare.len() != 64 || !bare.is_ascii() {
        return Err(NoRule::new("a SHA-256 has 64 hexadecimal digits", FORMS));
    }
    for (octet, at) in octets.iter_mut().zip((0..64).step_by(2)) {
        let pair = bare.get(at..at + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        let read = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *octet = read.ok_or_else(|| NoRule::new("a SHA-256 is hexadecimal", FORMS))?;
    }
    Ok(octets)
}

/// A text that is taken for a common name, and is none.
fn no_name(text: &str) -> Option<NoRule> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    let (_, ending) = text.rsplit_once('.').unwrap_or_default();
    match digits.len() {
        64 if is_hex => {
            let instead = Some(format!("sha256:{text}"));
            Some(NoRule { instead, ..NoRule::new("this is a fingerprint, and those begin with sha256:", FORMS) })
        }
        40 if is_hex => Some(NoRule::new("this is a SHA-1, and two certificates with one can be made", LOOK)),
        _ if ["pem", "crt", "cer", "der"].iter().any(|known| ending.eq_ignore_ascii_case(known)) => {
            Some(NoRule::new("this is the name of a file", LOOK))
        }
        _ => None,
    }
}

impl CertificateRule {
    /// Reads `sha256:…`, a subject as `CN=…,O=…`, or a common name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NoRule> {
        let text = text.trim();
        if let Some(digits) = behind(text, &["sha256:", "sha-256:", "sha256 fingerprint=", "sha-256 fingerprint="]) {
            return fingerprint(digits).map(Self::Fingerprint);
        }
        if behind(text, &["sha1:", "sha-1:", "sha1 fingerprint=", "sha-1 fingerprint="]).is_some() {
            return Err(NoRule::new("two certificates with one SHA-1 can be made", LOOK));
        }
        match text {
            "" => Err(NoRule::new("it is empty", FORMS)),
            "*" => Err(NoRule::new("a certificate is one community's: there is no name for all of them", FORMS)),
            _ if text.contains('=') => {
                let rule = Subject::parse(text).map(Self::Subject);
                rule.map_err(|error| NoRule::new(error.what, LOOK))
            }
            _ => no_name(text).map_or_else(|| Ok(Self::CommonName(text.to_owned())), Err),
        }
    }

    /// Whether some certificates fit both.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subject(subject), Self::CommonName(name)) | (Self::CommonName(name), Self::Subject(subject)) => {
                subject.common_name() == Some(name)
            }
            (Self::Subject(one), Self::Subject(other)) => one.is(other),
            _ => self == other,
        }
    }

    /// Whether a certificate of the same common name may pretend to be one of those that are meant: not if it is
    /// of another organisation than is written.
    pub fn may_be_pretended_by(&self, shown: &ShownCertificate<'_>) -> bool {
        match self {
            Self::Subject(subject) => subject.organization().is_none_or(|organization| {
                let shown = Subject::shown(shown.subject);
                shown.as_ref().and_then(Subject::organization).is_none_or(|shown| shown == organization)
            }),
            _ => true,
        }
    }

    /// The common name of those that are meant, where that is written.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Subject(subject) => subject.common_name(),
            Self::CommonName(name) => Some(name),
        }
    }

    /// Whether that certificate is meant.
    pub fn is(&self, shown: &ShownCertificate<'_>) -> bool {
        match self {
            Self::Fingerprint(sha256) => *sha256 == shown.sha256,
            Self::Subject(subject) => Subject::shown(shown.subject).is_some_and(|shown| subject.is(&shown)),
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
            Self::Subject(subject) => write!(f, "{subject}"),
            Self::CommonName(text) => f.write_str(text),
        }
    }
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
            // As openssl and others print them.
            ("O = Trust, CN = North".to_owned(), true),
            (format!("SHA256 Fingerprint={colons}"), true),
            (format!("SHA256:{colons}"), true),
        ] {
            assert_eq!(CertificateRule::parse(&rule).unwrap().is(&shown), is, "{rule}");
        }
        for wrong in ["", "*", "sha256:", "sha256:zz", &format!("sha256:{}", "+b".repeat(32)), "sha256:\u{e4}"] {
            assert!(CertificateRule::parse(wrong).is_err(), "{wrong}");
        }
        // What would be taken for a common name that no certificate has.
        for (wrong, fix) in [
            (["AB"; 20].join(":").as_str(), "-sha256"),
            ("SHA1 Fingerprint=AB:CD", "-sha256"),
            ("certs/north.pem", "-in FILE"),
            ("north.CRT", "-in FILE"),
            ("/O=Trust/CN=North", "-nameopt RFC2253"),
            ("CM=North,O=Trust", "-nameopt RFC2253"),
        ] {
            let error = CertificateRule::parse(wrong).unwrap_err();
            assert!(error.fix.contains(fix) && error.instead.is_none(), "{wrong}: {error:?}");
        }
        for (wrong, right) in
            [(colons.as_str(), format!("sha256:{colons}")), (&"ab".repeat(32), format!("sha256:{}", "ab".repeat(32)))]
        {
            let instead = CertificateRule::parse(wrong).unwrap_err().instead.unwrap();
            assert_eq!(instead, right);
            assert!(CertificateRule::parse(&instead).is_ok());
        }
    }

    #[test]
    fn rules_meet_in_one_certificate() {
        let rule = |text: &str| CertificateRule::parse(text).unwrap();
        for (one, other, meet) in [
            ("North", "North", true),
            ("North", "South", false),
            ("North", "CN=North,O=Trust", true),
            ("O=Trust,CN=North", "CN=North,O=Trust", true),
            ("CN=North,O=Other", "CN=North,O=Trust", false),
            ("North", "O=North", false),
        ] {
            assert_eq!((rule(one).meets(&rule(other)), rule(other).meets(&rule(one))), (meet, meet), "{one} {other}");
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
            assert_eq!(CertificateRule::parse(rule).unwrap().name(), name, "{rule}");
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
