//! Envelopes of requests, and of answers.

use aws_lc_rs::digest;
use http::Uri;

use crate::actors::context::RequestContext;
use crate::actors::ports::PeerFailure;
use crate::transaction::Transaction;
use crate::transport::answer;
use crate::wire::ebrs;
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::xml::{self, Document, Node};

/// Reads an answer's payload; a fault becomes a failure.
///
/// # Errors
/// When it is no SOAP message, or a fault.
pub fn read_answer<T>(
    root: &[u8],
    limits: xml::Limits,
    read: impl FnOnce(Node<'_, '_>) -> Result<T, ebrs::BodyError>,
) -> Result<T, PeerFailure> {
    read_envelope(root, limits, |envelope| read(envelope.payload))
}

/// Reads an answer with its headers; a fault becomes a failure.
///
/// # Errors
/// When it is no SOAP message, or a fault.
pub fn read_envelope<T>(
    root: &[u8],
    limits: xml::Limits,
    read: impl FnOnce(&soap::Envelope<'_, '_>) -> Result<T, ebrs::BodyError>,
) -> Result<T, PeerFailure> {
    let garbage = |error: &dyn std::fmt::Display| PeerFailure::Garbage(error.to_string());
    let text = xml::decode(root).map_err(|e| garbage(&e))?;
    let document = Document::parse(&text, limits).map_err(|e| garbage(&e))?;
    let envelope = soap::read(&document).map_err(|fault| garbage(&fault.reason))?;
    if let Some(fault) = soap::received_fault(envelope.payload) {
        return Err(PeerFailure::Fault(fault));
    }
    read(&envelope).map_err(|e| garbage(&e))
}

/// The request envelope of a transaction to an address.
pub fn request_envelope(
    transaction: &'static Transaction,
    to: &Uri,
    security: Option<&str>,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    request_envelope_with_id(transaction, to, security, soap::new_message_id(), payload)
}

/// The same under a message id of the caller's: a request that is sent again must be known again.
pub fn request_envelope_with_id(
    transaction: &'static Transaction,
    to: &Uri,
    security: Option<&str>,
    message_id: String,
    payload: impl FnOnce(&mut Vec<u8>),
) -> Vec<u8> {
    answer::envelope(Version::V12, &request_addressing(transaction, to, message_id), security, payload)
}

/// The message id of what follows from a source's request: the same when the source sends it again, so
/// that whoever gets it knows it again too.
pub fn following_message_id(context: &RequestContext, transaction: &'static Transaction) -> String {
    let Some(theirs) = &context.message_id else { return soap::new_message_id() };
    let digest = digest::digest(&digest::SHA256, format!("{} {theirs}", transaction.number).as_bytes());
    match digest.as_ref().first_chunk() {
        Some(bytes) => uuid::Builder::from_custom_bytes(*bytes).into_uuid().urn().to_string(),
        None => soap::new_message_id(),
    }
}

/// The headers of a request whose answer is to come back on its connection.
pub(super) fn request_addressing(transaction: &'static Transaction, to: &Uri, message_id: String) -> Addressing {
    Addressing {
        action: Some(transaction.action.to_owned()),
        message_id: Some(message_id),
        to: Some(to.to_string()),
        reply_to: Some(soap::ANONYMOUS.to_owned()),
        ..Addressing::default()
    }
}
