//! What a peer gets in another form than the framework asks for, since its software takes nothing else:
//! one setting for each (docs/peers.md), and the profiles that are known by name.
//!
//! Nothing here makes a message mean something else. What comes from a peer is taken as it comes, whatever its
//! profile; the one thing that would not be safe of everybody is [`PeerProfile::assume_home`].

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::envelope::request_addressing;
use crate::model::document::BodySource;
use crate::transaction::{Packaging, Transaction, TransactionId};
use crate::transport::answer::{self, OutBody, Package, Part};
use crate::wire::mtom::{MtomError, simple_content_type};
use crate::wire::soap::{Addressing, Version};

pub use crate::wire::soap::Version as SoapVersion;

/// `SOAPAction` (SOAP 1.1 §6.1.1).
const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

/// What `wsa:To` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// The address that is called.
    Address,
    /// Nothing: it is left out.
    Absent,
    /// This: a service behind a proxy may know itself by another name.
    Other(String),
}

/// What a peer gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerProfile {
    /// Its name, for people.
    pub name: String,
    /// The SOAP version of requests.
    pub soap: Version,
    /// Requests with MTOM where the transaction has it; else plain, with everything inline.
    pub mtom: bool,
    /// `wsa:To`
    pub to: To,
    /// An anonymous `wsa:ReplyTo` where the answer comes back on its connection.
    pub reply_to: bool,
    /// mustUnderstand on `wsa:Action`.
    pub must_understand: bool,
    /// The action in Content-Type.
    pub action_parameter: bool,
    /// `Async` at the end of the actions of requests whose answers come later (ITI-38, ITI-39).
    pub async_actions: bool,
    /// `urn:oid:` before homeCommunityIds in HL7 v3.
    pub v3_home_prefix: bool,
    /// Connections are kept for the next request.
    pub keep_alive: bool,
    /// The trace (W3C Trace Context) in the envelope too.
    pub trace_header: bool,
    /// Documents of one ITI-39 request; 0: all of them.
    pub documents_per_request: usize,
    /// What it returns without homeCommunityId is taken for its own.
    pub assume_home: bool,
}

impl Default for PeerProfile {
    /// As the framework has it (ITI TF-2 Appendix V).
    fn default() -> Self {
        Self {
            name: "ihe".to_owned(),
            soap: Version::V12,
            mtom: true,
            to: To::Address,
            reply_to: true,
            must_understand: true,
            action_parameter: true,
            async_actions: false,
            v3_home_prefix: false,
            keep_alive: true,
            trace_header: false,
            documents_per_request: 0,
            assume_home: false,
        }
    }
}

/// A request as it goes out.
pub struct Shaped {
    /// Content-Type, and what else its form needs.
    pub headers: HeaderMap,
    /// Its bytes.
    pub body: OutBody,
}

impl PeerProfile {
    /// Those known by name: as the framework has it; integration engines that speak plain SOAP 1.1; a gateway
    /// that tells asynchronous requests by their actions.
    pub fn known() -> [Self; 3] {
        let plain = Self {
            name: "soap-1.1".to_owned(),
            soap: Version::V11,
            mtom: false,
            must_understand: false,
            ..Self::default()
        };
        let source = Self { name: "xca-document-source".to_owned(), async_actions: true, ..Self::default() };
        [Self::default(), plain, source]
    }

    /// Every setting as the configuration has it.
    pub fn settings(&self) -> [(&'static str, String); 12] {
        let to = match &self.to {
            To::Address => "address",
            To::Absent => "none",
            To::Other(text) => text,
        };
        let soap = if self.soap == Version::V12 { "1.2" } else { "1.1" };
        [
            ("soap", format!("\"{soap}\"")),
            ("mtom", self.mtom.to_string()),
            ("to", format!("\"{to}\"")),
            ("reply_to", self.reply_to.to_string()),
            ("must_understand", self.must_understand.to_string()),
            ("action_parameter", self.action_parameter.to_string()),
            ("async_actions", self.async_actions.to_string()),
            ("v3_home_prefix", self.v3_home_prefix.to_string()),
            ("keep_alive", self.keep_alive.to_string()),
            ("trace_header", self.trace_header.to_string()),
            ("documents_per_request", self.documents_per_request.to_string()),
            ("assume_home", self.assume_home.to_string()),
        ]
    }

    /// Its name, and what differs from what the framework has.
    pub fn words(&self) -> String {
        let usual = Self::default().settings();
        let differs = self.settings().into_iter().zip(usual).filter(|(own, usual)| own != usual);
        let differs: Vec<String> = differs.map(|((name, value), _)| format!("{name} = {value}")).collect();
        if differs.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, differs.join(", ")) }
    }

    /// The action of a request.
    pub fn action(&self, transaction: &'static Transaction, asynchronous: bool) -> String {
        let has_other =
            matches!(transaction.id, TransactionId::CrossGatewayQuery | TransactionId::CrossGatewayRetrieve);
        let suffix = if asynchronous && self.async_actions && has_other { "Async" } else { "" };
        format!("{}{suffix}", transaction.action)
    }

    /// The headers of a request whose answer comes back on its connection, or to `reply_to`.
    pub fn addressing(
        &self,
        transaction: &'static Transaction,
        address: &Uri,
        message_id: String,
        reply_to: Option<&str>,
    ) -> Addressing {
        let usual = request_addressing(transaction, address, message_id);
        Addressing {
            action: Some(self.action(transaction, reply_to.is_some())),
            to: match &self.to {
                To::Address => usual.to,
                To::Absent => None,
                To::Other(text) => Some(text.clone()),
            },
            reply_to: reply_to.map(str::to_owned).or(usual.reply_to.filter(|_| self.reply_to)),
            unmarked: !self.must_understand,
            ..usual
        }
    }

    /// The envelope of a request.
    pub fn envelope(
        &self,
        addressing: &Addressing,
        security: Option<&str>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<u8> {
        answer::envelope(self.soap, addressing, security, payload)
    }

    /// The HTTP form of a request. What has documents behind it is a package whatever the profile: inline they
    /// would have to be held in memory.
    ///
    /// # Errors
    /// When the token cannot be a boundary.
    pub fn shape(
        &self,
        packaging: Packaging,
        action: &str,
        root: Vec<u8>,
        token: &str,
        (parts, sources): (Vec<Part>, Vec<Box<dyn BodySource>>),
    ) -> Result<Shaped, MtomError> {
        let in_type = Some(action).filter(|_| self.action_parameter);
        let mut headers = HeaderMap::new();
        let (content_type, body) = match packaging {
            Packaging::Mtom if self.mtom || !parts.is_empty() => {
                let package = Package::new(self.soap, token, root, parts, sources)?;
                let quiet: answer::OnFailure = Arc::new(|error| {
                    let cause = error.without_their_words();
                    tracing::warn!(cause, "a document could not be read to its end while it was sent");
                    Box::pin(async {})
                });
                let content_type = match in_type {
                    Some(action) => package.content_type(action),
                    None => package.content_type_without_action(),
                };
                if let Some(length) = package.content_length() {
                    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                (content_type, package.into_body(quiet))
            }
            _ => (simple_content_type(self.soap == Version::V11, in_type), answer::full(root)),
        };
        let mut put = |name: HeaderName, text: &str| {
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        };
        put(header::CONTENT_TYPE, &content_type);
        if self.soap == Version::V11 {
            put(SOAP_ACTION, &format!("\"{action}\""));
        }
        if !self.keep_alive {
            put(header::CONNECTION, "close");
        }
        Ok(Shaped { headers, body })
    }
}

/// The action that a request in SOAP 1.1 has outside its envelope.
pub fn soap_action(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(SOAP_ACTION)?.to_str().ok()?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    Some(text.trim()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_profile_is_what_every_other_call_sends() {
        let (usual, transaction) = (PeerProfile::default(), Transaction::of(TransactionId::CrossGatewayQuery));
        let uri = Uri::from_static("https://peer.example/x");
        let addressing = usual.addressing(transaction, &uri, "urn:uuid:1".into(), None);
        assert_eq!(addressing, request_addressing(transaction, &uri, "urn:uuid:1".into()));
        assert_eq!(usual.words(), "ihe");
        assert_eq!(usual, PeerProfile::known()[0]);
    }

    #[test]
    fn words_tell_what_differs() {
        let [_, plain, source] = PeerProfile::known();
        assert_eq!(plain.words(), "soap-1.1 (soap = \"1.1\", mtom = false, must_understand = false)");
        assert_eq!(source.words(), "xca-document-source (async_actions = true)");
    }

    #[test]
    fn only_gateways_requests_have_other_actions() {
        let [usual, _, source] = PeerProfile::known();
        let of = |profile: &PeerProfile, id, later| profile.action(Transaction::of(id), later);
        let query = TransactionId::CrossGatewayQuery;
        assert_eq!(of(&source, query, true), "urn:ihe:iti:2007:CrossGatewayQueryAsync");
        assert_eq!(of(&source, query, false), "urn:ihe:iti:2007:CrossGatewayQuery");
        assert_eq!(of(&usual, query, true), "urn:ihe:iti:2007:CrossGatewayQuery");
        let discovery = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        assert_eq!(source.action(discovery, true), discovery.action);
    }

    #[test]
    fn the_action_outside_the_envelope() {
        for (written, read) in [
            ("\"urn:x\"", Some("urn:x")),
            (" urn:x ", Some("urn:x")),
            ("\"\"", None),
            ("", None),
            ("\" urn:x \"", Some("urn:x")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SOAP_ACTION, written.parse().unwrap());
            assert_eq!(soap_action(&headers), read, "{written}");
        }
        assert_eq!(soap_action(&HeaderMap::new()), None);
    }
}
