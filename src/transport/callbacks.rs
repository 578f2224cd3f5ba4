//! Where answers may be sent that are not to come back on the request's connection
//! (WS-Addressing 1.0 `wsa:ReplyTo`, `wsa:FaultTo`; ITI TF-2 §V.5).
//!
//! Such an address is written by whoever asks. We call none but those below an address that the
//! operator has listed, with our certificate and over TLS only; what is compared is what is called.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use tokio::sync::Semaphore;

use super::peer::SoapClient;
use crate::model::ids::HomeCommunityId;
use crate::wire::soap::{Addressing, Fault, ReplyTo};

/// An address, and all below it, to which answers may be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    host: String,
    port: u16,
    /// Without the slash at its end.
    path: String,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}:{}{}", self.host, self.port, self.path)
    }
}

/// Why a text is no address for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCallback {
    /// No URL at all.
    #[error("this is not a URL")]
    NotAUrl,
    /// Not over TLS.
    #[error("answers are sent over mutual TLS only: the URL begins with https://")]
    NotHttps,
    /// A user's name before the host.
    #[error("a URL with a user name in it is not for this place")]
    UserName,
    /// A path that means another one to some, or a part that is never sent.
    #[error("the URL has a fragment, or a path with . or .., a ; or an encoded one of / \\ . ; % in it")]
    Ambiguous,
    /// A query in an address that others begin with.
    #[error("what is listed is a host and a path: the URL ends before the ?")]
    Query,
}

/// Scheme, host and port as they are compared; and no path that a server could take for another.
fn read(text: &str) -> Result<(Uri, Callback), NoCallback> {
    let uri: Uri = text.parse().map_err(|_| NoCallback::NotAUrl)?;
    if uri.scheme_str() != Some("https") {
        return Err(NoCallback::NotHttps);
    }
    let authority = uri.authority().ok_or(NoCallback::NotAUrl)?;
    if authority.as_str().contains('@') {
        return Err(NoCallback::UserName);
    }
    // Not port_u16: it takes a port that is none for none given.
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => 443,
        Some(port) => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(NoCallback::NotAUrl)?,
        None => return Err(NoCallback::NotAUrl),
    };
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err(NoCallback::NotAUrl);
    }
    let lower = uri.path().to_ascii_lowercase();
    let ambiguous = text.contains('#')
        || ["%2f", "%5c", "%2e", "%25", "%3b", "\\", ";"].iter().any(|part| lower.contains(part))
        || lower.split('/').any(|segment| matches!(segment, "." | ".."));
    if ambiguous {
        return Err(NoCallback::Ambiguous);
    }
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok((uri, Callback { host, port, path }))
}

impl Callback {
    /// Reads an address to be listed.
    ///
    /// # Errors
    /// When no answer could be sent there, or it is not clear what would lie below it.
    pub fn parse(text: &str) -> Result<Self, NoCallback> {
        let (uri, callback) = read(text)?;
        if uri.query().is_some() { Err(NoCallback::Query) } else { Ok(callback) }
    }

    /// Its host, in small letters.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address to call for a text from a message, if it is this one or below it.
    fn allows(&self, text: &str) -> Option<Uri> {
        let (uri, asked) = read(text).ok()?;
        let rest = asked.path.strip_prefix(&self.path)?;
        let below = rest.is_empty() || rest.starts_with('/');
        (below && asked.host == self.host && asked.port == self.port).then_some(uri)
    }
}

/// Where one answer is sent.
#[derive(Clone)]
pub struct Target {
    /// What is called.
    pub uri: Uri,
    /// The address as the request has it: the answer's `wsa:To`, to the letter.
    pub address: String,
    /// Header blocks that it is to carry.
    pub parameters: Option<String>,
    /// With what it is called.
    pub client: Arc<SoapClient>,
    /// The community whose address it is: nobody else has answers sent there.
    only: Option<HomeCommunityId>,
    /// Room among the answers that are on their way there: one that takes none holds up no other.
    pub room: Arc<Semaphore>,
}

/// An address that is listed.
pub struct Listed {
    /// The address, and all below it.
    pub callback: Callback,
    /// With what it is called.
    pub client: Arc<SoapClient>,
    /// The community that may name it, where that can be told by certificate; none: whoever may ask.
    pub only: Option<HomeCommunityId>,
    room: Arc<Semaphore>,
}

impl Listed {
    /// An address with room for so many answers on their way.
    pub fn new(callback: Callback, client: Arc<SoapClient>, only: Option<HomeCommunityId>, most: usize) -> Self {
        Self { callback, client, only, room: Arc::new(Semaphore::new(most)) }
    }
}

/// What becomes of an answer that does not go back on its connection.
#[derive(Clone)]
pub struct Elsewhere {
    /// Where the answer is sent; none if nobody wants it.
    pub answers: Option<Target>,
    /// Where a fault is sent.
    pub faults: Option<Target>,
}

impl Elsewhere {
    /// The fault for a caller, known as these communities, that names an address of another one.
    pub fn refused(&self, known_as: &[HomeCommunityId]) -> Option<Fault> {
        let foreign = |target: &&Target| target.only.as_ref().is_some_and(|only| !known_as.contains(only));
        let target = self.answers.iter().chain(&self.faults).find(foreign)?;
        Some(Fault::unreachable(&target.address))
    }
}

/// The addresses that answers may be sent to.
#[derive(Default)]
pub struct Callbacks {
    listed: Vec<Listed>,
    deferred: bool,
}

impl Callbacks {
    /// These; of several that fit the first counts.
    pub fn new(listed: Vec<Listed>) -> Self {
        Self { listed, deferred: false }
    }

    /// The same, to which answers about patients may be sent that are wanted later.
    #[must_use]
    pub fn with_deferred(self, deferred: bool) -> Self {
        Self { deferred, ..self }
    }

    /// Where an answer about a patient is sent that is wanted later, by a message of its own (ITI TF-2
    /// §3.55.6); none if that is not offered, or not there.
    pub fn deferred(&self, respond_to: &str) -> Option<Target> {
        if self.deferred { self.target(respond_to, None).ok() } else { None }
    }

    fn target(&self, address: &str, parameters: Option<&String>) -> Result<Target, Fault> {
        if self.listed.is_empty() {
            return Err(Fault::only_anonymous());
        }
        let fits = |listed: &'_ Listed| listed.callback.allows(address);
        let found = self.listed.iter().find_map(|listed| Some((fits(listed)?, listed)));
        let (uri, Listed { client, only, room, .. }) = found.ok_or_else(|| Fault::unreachable(address))?;
        let (client, only, room) = (Arc::clone(client), only.clone(), Arc::clone(room));
        Ok(Target { uri, address: address.to_owned(), parameters: parameters.cloned(), client, only, room })
    }

    /// What becomes of the answer to a request with these headers; none if it goes back on its connection.
    ///
    /// # Errors
    /// The fault for an address that is not called.
    pub fn route(&self, addressing: &Addressing) -> Result<Option<Elsewhere>, Fault> {
        let answers = match addressing.answer_goes()? {
            ReplyTo::Here => return Ok(None),
            ReplyTo::Nowhere => None,
            ReplyTo::Address(address) => Some(self.target(address, addressing.reply_parameters.as_ref())?),
        };
        let faults = match addressing.faults_go() {
            // The request's connection has had its 202 by then: who wants faults there wants them told.
            None | Some(ReplyTo::Here) => answers.clone(),
            Some(ReplyTo::Nowhere) => None,
            Some(ReplyTo::Address(address)) => Some(self.target(address, addressing.fault_parameters.as_ref())?),
        };
        Ok(Some(Elsewhere { answers, faults }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_listed_by_host_port_and_path_segments() {
        let table = [
            ("https://a.example/x", "https://a.example/x", true),
            ("https://a.example/x", "https://A.Example:443/x/", true),
            ("https://a.example/x/", "https://a.example/x", true),
            ("https://a.example/x", "https://a.example/x/y?id=7", true),
            ("https://a.example", "https://a.example/any/where", true),
            ("https://[::1]:8443/x", "https://[::1]:8443/x", true),
            ("https://a.example/x", "https://a.example/xy", false),
            ("https://a.example/x", "https://a.example/X", false),
            ("https://a.example/x", "https://a.example/", false),
            ("https://a.example/x", "http://a.example/x", false),
            ("https://a.example/x", "https://a.example:8443/x", false),
            ("https://a.example/x", "https://a.example.evil.example/x", false),
            ("https://a.example/x", "https://a.example@evil.example/x", false),
            ("https://a.example/x", "https://user@a.example/x", false),
            ("https://a.example/x", "https://a.example./x", false),
            ("https://a.example/x", "https://a.example/x/../y", false),
            ("https://a.example/x", "https://a.example/x/%2E%2e/y", false),
            ("https://a.example/x", "https://a.example/x/..%2fy", false),
            ("https://a.example/x", "https://a.example/x/..%5cy", false),
            ("https://a.example/x", "https://a.example/x/..;/y", false),
            ("https://a.example/x", "https://a.example/x/..%3B/y", false),
            ("https://a.example/x", "https://a.example/x/%252e%252e/y", false),
            ("https://a.example/x", "https://a.example/x#y", false),
            ("https://a.example/x", "https://a.example:/x", false),
            ("https://a.example/x", "https://a.example:99999/x", false),
            ("https://a.example/x", "https:///x", false),
            ("https://a.example/x", "//a.example/x", false),
            ("https://a.example/x", "/x", false),
            ("https://a.example/x", "", false),
        ];
        for (listed, asked, allowed) in table {
            let uri = Callback::parse(listed).unwrap().allows(asked);
            assert_eq!(uri.is_some(), allowed, "{asked} under {listed}");
        }
    }

    #[test]
    fn what_cannot_be_listed() {
        for (text, why) in [
            ("a.example", NoCallback::NotHttps),
            ("http://a.example/x", NoCallback::NotHttps),
            ("https://u@a.example/x", NoCallback::UserName),
            ("https://a.example/x/../y", NoCallback::Ambiguous),
            ("https://a.example/x?y", NoCallback::Query),
            ("https://a example/", NoCallback::NotAUrl),
        ] {
            assert_eq!(Callback::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn nothing_listed_means_answers_on_the_connection_only() {
        let addressing = |reply: &str, fault: Option<&str>| Addressing {
            reply_to: Some(reply.into()),
            fault_to: fault.map(Into::into),
            message_id: Some("urn:uuid:1".into()),
            ..Addressing::default()
        };
        let refused = Callbacks::default().route(&addressing("https://a.example/x", None)).err().unwrap();
        assert_eq!(refused.subcodes, ["wsa:InvalidAddressingHeader", "wsa:OnlyAnonymousAddressSupported"]);
        let nowhere = Callbacks::default().route(&addressing(crate::wire::soap::NO_REPLY, None)).unwrap().unwrap();
        assert!(nowhere.answers.is_none() && nowhere.faults.is_none());
        assert!(Callbacks::default().route(&Addressing::default()).unwrap().is_none());
    }
}
