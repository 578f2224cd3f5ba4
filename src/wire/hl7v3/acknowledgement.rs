//! MCCI_IN000002UV01: that a message came, or that its kind is not taken (ITI TF-2 §3.55.6).

use super::datatypes::{child, code, present};
use super::{ACKNOWLEDGEMENT, DETAIL_CODES, Head, datatypes, is, push, write_party, write_start};
use crate::model::discovery::{InstanceId, MessageHeader};
use crate::model::ids::HomeCommunityId;
use crate::model::time::Dtm;
use crate::wire::ebrs::BodyError;
use crate::wire::xml::Node;

/// The detail of a message whose processing mode is not offered.
pub const UNSUPPORTED_MODE: &str = "NS250";
/// The detail of a message whose kind is not taken.
pub const UNSUPPORTED_INTERACTION: &str = "NS200";

/// Reads an acknowledgement.
///
/// # Errors
/// When it is none, or says that the message was not taken: then with the code why, if that is one of ours.
pub fn read_acknowledgement(node: Node<'_, '_>) -> Result<Result<(), &'static str>, BodyError> {
    if !is(node, ACKNOWLEDGEMENT) {
        return Err(BodyError::Frame("hl7:MCCI_IN000002UV01 is required here"));
    }
    let acknowledgement =
        child(node, "acknowledgement").ok_or(BodyError::Frame("MCCI_IN000002UV01 needs an acknowledgement"))?;
    // Some accept the message, some what is in it.
    if matches!(code(acknowledgement, "typeCode").as_deref(), Some("AA" | "CA")) {
        return Ok(Ok(()));
    }
    let mut details = present(acknowledgement, "acknowledgementDetail").filter_map(|detail| code(detail, "code"));
    let known = |code: String| [UNSUPPORTED_MODE, UNSUPPORTED_INTERACTION].into_iter().find(|known| *known == code);
    Ok(Err(details.find_map(known).unwrap_or("AE")))
}

/// What is acknowledged, by whom.
pub struct Acknowledgement<'a> {
    /// Whose gateway this is.
    pub own: &'a HomeCommunityId,
    /// The acknowledgement's own identifier.
    pub message_id: &'a InstanceId,
    /// When it is made.
    pub created: Dtm,
    /// The message that it is for.
    pub request: &'a MessageHeader,
    /// Why the message is not taken, a code and its words; none: it is.
    pub refusal: Option<(&'static str, &'static str)>,
}

/// Writes an acknowledgement.
pub fn write_acknowledgement(out: &mut Vec<u8>, acknowledgement: &Acknowledgement<'_>) {
    let Acknowledgement { own, message_id, created, request, refusal } = *acknowledgement;
    write_start(out, &Head { root: ACKNOWLEDGEMENT, message_id, created, accept_ack: "NE" });
    write_party(out, ("receiver", "RCV"), request.sender_device.as_ref(), request.sender.as_ref(), None);
    write_party(out, ("sender", "SND"), None, Some(own), None);
    let kind = if refusal.is_some() { "AE" } else { "AA" };
    push(out, &format!("<acknowledgement><typeCode code=\"{kind}\"/><targetMessage>"));
    datatypes::instance_id(out, "id", &request.message_id);
    push(out, "</targetMessage>");
    if let Some((code, words)) = refusal {
        push(out, "<acknowledgementDetail typeCode=\"E\">");
        push(out, &format!("<code code=\"{code}\" codeSystem=\"{DETAIL_CODES}\"/>"));
        datatypes::element(out, "text", words);
        push(out, "</acknowledgementDetail>");
    }
    push(out, &format!("</acknowledgement></{ACKNOWLEDGEMENT}>"));
}
