//! What comes in: a connection and who is at its other end, and a message's envelope.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::VIA;
use super::posted::Posted;
use crate::actors::access::AccessPolicy;
use crate::actors::responding_gateway::MOST_GATEWAYS;
use crate::model::community::ShownCertificate;
use crate::model::emergency::EmergencyClaim;
use crate::model::ids::HomeCommunityId;
use crate::transaction::{Service, Transaction, TransactionId};
use crate::transport::callbacks::{Callbacks, Elsewhere};
use crate::transport::endpoint::{self, AuditFacts, Payload};
use crate::transport::tls::PeerIdentity;
use crate::wire::ebrs;
use crate::wire::soap::{self, Addressing, Fault, Version};
use crate::wire::xml::{self, Document};

/// What is known of a connection.
pub struct ConnectionInfo {
    /// Who is at the other end, by certificate; absent without TLS, which only tests do.
    pub identity: Option<PeerIdentity>,
    /// Its address.
    pub remote: SocketAddr,
    /// `https` or `http`.
    pub scheme: &'static str,
    /// What its listener allows.
    pub access: Arc<dyn AccessPolicy>,
    /// What outlives its request is waited for here when the listener stops.
    pub tasks: TaskTracker,
}

impl ConnectionInfo {
    /// The certificate that it shows.
    pub(super) fn certificate(&self) -> Option<ShownCertificate<'_>> {
        self.identity.as_ref().map(ShownCertificate::from)
    }

    pub(super) fn caller(&self) -> Arc<str> {
        match &self.identity {
            Some(identity) if !identity.common_name.is_empty() => identity.common_name.as_str().into(),
            Some(identity) => identity.fingerprint_hex().into(),
            None => "anonymous".into(),
        }
    }
}

/// A request whose envelope has been read: nothing in it borrows from the message any more.
pub struct Inbound {
    /// The SOAP version to answer in.
    pub version: Version,
    /// Its addressing headers.
    pub addressing: Addressing,
    /// Its transaction.
    pub transaction: &'static Transaction,
    /// Its body, or why the body is not what it should be.
    pub payload: Result<Payload, ebrs::BodyError>,
    /// What audit says of it.
    pub facts: AuditFacts,
    pub(super) security: Option<Arc<str>>,
    /// Whether that says that it is an emergency.
    pub(super) emergency: EmergencyClaim,
    /// The trace that its envelope names.
    pub(super) trace: Option<soap::TraceHeader>,
    /// Where its answer goes, if not back on its connection.
    pub(super) elsewhere: Option<Elsewhere>,
}

/// What a message is.
pub(super) enum Read {
    Request(Box<Inbound>),
    Answer(Posted),
}

/// A fault with what is needed to send it.
pub struct Refused {
    pub(super) version: Version,
    pub(super) relates_to: Option<String>,
    /// What the message wanted, as far as it could be made out.
    pub(super) attempted: Option<&'static Transaction>,
    /// Whether it wanted to answer that, rather than to ask it.
    pub(super) is_answer: bool,
    pub(super) fault: Fault,
}

impl Refused {
    /// Of a message that could not be read far enough to know anything of it.
    pub(super) fn unread(fault: Fault) -> Self {
        Self { version: Version::V12, relates_to: None, attempted: None, is_answer: false, fault }
    }
}

/// Reads a request that came to a service, whose answer goes back on its connection.
///
/// # Errors
/// The fault for one that is no such request.
pub fn read_request(root: &[u8], service: Service, limits: xml::Limits) -> Result<Inbound, Box<Refused>> {
    match read_envelope(root, service, limits, &Callbacks::default(), None)? {
        Read::Request(inbound) => Ok(*inbound),
        Read::Answer(_) => Err(Box::new(Refused::unread(Fault::sender("This is no request.")))),
    }
}

pub(super) fn read_envelope(
    root: &[u8],
    service: Service,
    limits: xml::Limits,
    callbacks: &Callbacks,
    soap_action: Option<&str>,
) -> Result<Read, Box<Refused>> {
    let text = xml::decode(root).map_err(|e| Refused::unread(e.into()))?;
    let document = Document::parse(&text, limits).map_err(|e| Refused::unread(e.into()))?;
    let version = soap::version(&document);
    let refused = |fault| {
        let (relates_to, action) = (soap::message_id(&document), soap::action(&document));
        let asked = action.as_deref().and_then(|action| Transaction::find(service, action));
        let answered = || action.as_deref().and_then(Transaction::answered_by);
        let (attempted, is_answer) = match asked {
            None => answered().map_or((None, false), |answered| (Some(answered), true)),
            asked => (asked, false),
        };
        Box::new(Refused { version, relates_to, attempted, is_answer, fault })
    };
    let mut envelope = soap::read(&document).map_err(refused)?;
    if version == Version::V11 && envelope.addressing.action.is_none() {
        // Older stacks have no WS-Addressing, and their action in HTTP alone (SOAP 1.1 §6.1.1).
        envelope.addressing.action = soap_action.map(str::to_owned);
    }
    if let Some(posted) = Posted::of(service, &envelope) {
        return Ok(Read::Answer(posted));
    }
    let transaction = find_transaction(&envelope.addressing, service, envelope.payload.local()).map_err(refused)?;
    let elsewhere = callbacks.route(&envelope.addressing).map_err(refused)?;
    let payload = endpoint::read(transaction.id, envelope.payload);
    let mut payload = payload.map(|payload| payload.with_headers(envelope.home_blocks.clone()));
    if let Ok(Payload::Discovery(received)) = &mut payload {
        received.time_to_live = envelope.correlation_ttl.clone();
    }
    let facts = endpoint::facts(payload.as_ref().ok(), envelope.payload);
    Ok(Read::Request(Box::new(Inbound {
        version,
        addressing: envelope.addressing.clone(),
        transaction,
        payload,
        facts,
        security: envelope.security.map(Into::into),
        emergency: envelope.emergency,
        trace: envelope.trace,
        elsewhere,
    })))
}

/// The transaction of a request: by its action, and the body's root must agree.
fn find_transaction(addressing: &Addressing, service: Service, root: &str) -> Result<&'static Transaction, Fault> {
    let action = addressing.required_action()?;
    let Some(transaction) = Transaction::find(service, action) else {
        return Err(Fault::action_not_supported(
            action,
            format!("This action is not supported at {}.", service.name()),
        ));
    };
    // A wrapper that ITI-42 does not have, yet some sources send: answered with the rule it breaks.
    let wrapped = transaction.id == TransactionId::RegisterDocumentSet && root == "RegisterDocumentSetRequest";
    if root != transaction.request_root && !wrapped {
        return Err(Fault::action_not_supported(
            action,
            format!(
                "The action means {} ({}), whose body is a {}, not a {root}.",
                transaction.title, transaction.number, transaction.request_root
            ),
        ));
    }
    Ok(transaction)
}

pub(super) fn gateways_passed(headers: &http::HeaderMap) -> Arc<[HomeCommunityId]> {
    let names = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    names.filter_map(|name| HomeCommunityId::parse(name.trim()).ok()).take(MOST_GATEWAYS).collect()
}
