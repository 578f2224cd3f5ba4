//! HL7 version 3 messages of patient discovery: PRPA_IN201305UV02 asks, PRPA_IN201306UV02 answers,
//! MCCI_IN000002UV01 acknowledges, PRPA_IN201303UV02 takes back (ITI TF-2 §3.55).
//!
//! Reading tolerates what the field has shown: any prefix, `xsi:type` anywhere, elements in any
//! order, codes of any code system. What it does not understand of a query is never left out in
//! silence: it is a finding, or it is counted as a parameter that nobody is described by. Writing
//! keeps the schema's order. `semanticsText` is for people: nothing depends on it.

mod acknowledgement;
mod datatypes;
mod request;
mod response;
mod revocation;
#[cfg(test)]
mod tests;

pub use acknowledgement::{
    Acknowledgement, UNSUPPORTED_INTERACTION, UNSUPPORTED_MODE, read_acknowledgement, write_acknowledgement,
};
pub use request::{ReceivedQuery, read_request, write_query_by_parameter, write_request, write_request_to};
pub use response::{Answering, ReceivedAnswer, given_back, read_response, write_response};
pub use revocation::{read_revocation, write_revocation};

use super::xml::{Node, Ns};
use crate::model::discovery::{InstanceId, MessageHeader};
use crate::model::ids::HomeCommunityId;
use crate::model::time::Dtm;
use crate::model::vocabulary::ns;
use datatypes::{attribute, child, instance_id};

/// Local name of the request's root.
pub const REQUEST: &str = "PRPA_IN201305UV02";
/// Local name of the answer's root.
pub const RESPONSE: &str = "PRPA_IN201306UV02";
/// Local name of an acknowledgement's root.
pub const ACKNOWLEDGEMENT: &str = "MCCI_IN000002UV01";
/// Local name of a revocation's root.
pub const REVOCATION: &str = "PRPA_IN201303UV02";

/// HL7 interactions and trigger events.
const INTERACTIONS: &str = "2.16.840.1.113883.1.6";
/// HL7 ActCode.
const ACT_CODE: &str = "2.16.840.1.113883.5.4";
/// Codes of acknowledgement details.
const DETAIL_CODES: &str = "2.16.840.1.113883.5.1100";
/// Attributes that may be requested (§3.55.4.2.2).
const REQUESTED: &str = "1.3.6.1.4.1.19376.1.2.27.1";
/// Whether a community is a Health Data Locator.
const LOCATOR: &str = "1.3.6.1.4.1.19376.1.2.27.2";
/// Problems of a responder.
const PROBLEMS: &str = "1.3.6.1.4.1.19376.1.2.27.3";

/// What is written at the head of each message.
struct Head<'h> {
    root: &'static str,
    message_id: &'h InstanceId,
    created: Dtm,
    accept_ack: &'static str,
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn write_start(out: &mut Vec<u8>, head: &Head<'_>) {
    push(out, &format!("<{} xmlns=\"{}\" xmlns:xsi=\"{}\" ITSVersion=\"XML_1.0\">", head.root, ns::HL7V3, ns::XSI));
    instance_id(out, "id", head.message_id);
    push(out, &format!("<creationTime value=\"{}\"/>", head.created.as_str()));
    push(out, &format!("<interactionId root=\"{INTERACTIONS}\" extension=\"{}\"/>", head.root));
    push(out, "<processingCode code=\"P\"/><processingModeCode code=\"T\"/>");
    push(out, &format!("<acceptAckCode code=\"{}\"/>", head.accept_ack));
}

/// Receiver or sender: a device, and the community that it speaks for.
fn write_party(
    out: &mut Vec<u8>,
    (element, code): (&str, &str),
    device: Option<&InstanceId>,
    home: Option<&HomeCommunityId>,
    telecom: Option<&str>,
) {
    write_party_to(out, (element, code), (device, home), telecom, false);
}

/// The same, with `urn:oid:` before the homeCommunityId or not.
fn write_party_to(
    out: &mut Vec<u8>,
    (element, code): (&str, &str),
    (device, home): (Option<&InstanceId>, Option<&HomeCommunityId>),
    telecom: Option<&str>,
    home_prefix: bool,
) {
    push(out, &format!("<{element} typeCode=\"{code}\"><device classCode=\"DEV\" determinerCode=\"INSTANCE\">"));
    match (device, home) {
        (Some(device), _) => instance_id(out, "id", device),
        (None, Some(home)) => push(out, &format!("<id root=\"{}\"/>", home.oid())),
        (None, None) => push(out, "<id nullFlavor=\"NI\"/>"),
    }
    if let Some(telecom) = telecom {
        push(out, "<telecom");
        attribute(out, "value", telecom);
        push(out, "/>");
    }
    if let Some(home) = home {
        push(
            out,
            "<asAgent classCode=\"AGNT\"><representedOrganization classCode=\"ORG\" determinerCode=\"INSTANCE\">",
        );
        let written = if home_prefix { home.as_str() } else { home.oid() };
        push(out, &format!("<id root=\"{written}\"/></representedOrganization></asAgent>"));
    }
    push(out, &format!("</device></{element}>"));
}

/// Who sent a message, and who was meant.
fn read_header(node: Node<'_, '_>) -> Result<MessageHeader, &'static str> {
    let message_id = child(node, "id").and_then(datatypes::read_instance_id).ok_or("the message has no id")?;
    let party = |name: &str| {
        let device = child(node, name).and_then(|party| child(party, "device"));
        let id = device.and_then(|device| child(device, "id")).and_then(datatypes::read_instance_id);
        let organization = device
            .and_then(|device| child(device, "asAgent"))
            .and_then(|agent| child(agent, "representedOrganization"))
            .and_then(|organization| child(organization, "id"));
        (id, organization.and_then(home_of))
    };
    let ((sender_device, sender), (receiver_device, receiver)) = (party("sender"), party("receiver"));
    Ok(MessageHeader { message_id, sender_device, sender, receiver_device, receiver })
}

/// The community that an id names: the bare OID here, which some write as elsewhere.
fn home_of(node: Node<'_, '_>) -> Option<HomeCommunityId> {
    HomeCommunityId::parse_lenient(node.attr("root")?.trim()).ok()
}

/// Whether a node is an element of HL7 v3 of that name.
fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is(Ns::Hl7v3, name)
}
