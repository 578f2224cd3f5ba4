//! PRPA_IN201303UV02: that a community takes back under which identifier it knows a patient (XCPD
//! Revoke).
//!
//! DEVIATION(§3.55): the supplement that has it is a trial, and what it calls the message is not certain.
//! This is the interaction of HL7 for a patient's record that is nullified, with the name of the
//! transaction behind it as everywhere else (ITI TF-2 §V.3.2).

use super::datatypes::{self, child, present, read_patient_id};
use super::{Head, INTERACTIONS, REVOCATION, is, push, read_header, write_party, write_start};
use crate::model::discovery::Revocation;
use crate::model::time::Dtm;
use crate::wire::ebrs::BodyError;
use crate::wire::xml::Node;

/// Reads a revocation.
///
/// # Errors
/// When it is no such message, or does not name one identifier.
pub fn read_revocation(node: Node<'_, '_>) -> Result<Revocation, BodyError> {
    if !is(node, REVOCATION) {
        return Err(BodyError::Frame("hl7:PRPA_IN201303UV02 is required here"));
    }
    let header = read_header(node).map_err(BodyError::Frame)?;
    let patient = child(node, "controlActProcess")
        .and_then(|act| child(act, "subject"))
        .and_then(|subject| child(subject, "registrationEvent"))
        .and_then(|event| child(event, "subject1"))
        .and_then(|subject| child(subject, "patient"))
        .ok_or(BodyError::Frame("PRPA_IN201303UV02 needs a registrationEvent with a patient"))?;
    let mut ids = present(patient, "id");
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return Err(BodyError::Frame("patient needs exactly one id"));
    };
    let patient =
        read_patient_id(id).ok_or(BodyError::Frame("patient/id needs a root that is an OID, and an extension"))?;
    Ok(Revocation { header, patient })
}

/// Writes a revocation.
pub fn write_revocation(out: &mut Vec<u8>, revocation: &Revocation, created: Dtm) {
    let header = &revocation.header;
    write_start(out, &Head { root: REVOCATION, message_id: &header.message_id, created, accept_ack: "AL" });
    write_party(out, ("receiver", "RCV"), header.receiver_device.as_ref(), header.receiver.as_ref(), None);
    write_party(out, ("sender", "SND"), header.sender_device.as_ref(), header.sender.as_ref(), None);
    push(out, "<controlActProcess classCode=\"CACT\" moodCode=\"EVN\">");
    push(out, &format!("<code code=\"PRPA_TE201303UV02\" codeSystem=\"{INTERACTIONS}\"/>"));
    push(out, "<subject typeCode=\"SUBJ\" contextConductionInd=\"false\">");
    push(out, "<registrationEvent classCode=\"REG\" moodCode=\"EVN\"><statusCode code=\"active\"/>");
    push(out, "<subject1 typeCode=\"SBJ\"><patient classCode=\"PAT\">");
    datatypes::patient_id(out, "id", &revocation.patient);
    push(out, "<statusCode code=\"nullified\"/><patientPerson classCode=\"PSN\" determinerCode=\"INSTANCE\">");
    push(out, "<name nullFlavor=\"NA\"/></patientPerson></patient></subject1>");
    push(out, "<custodian typeCode=\"CST\"><assignedEntity classCode=\"ASSIGNED\">");
    match &header.sender {
        Some(home) => push(out, &format!("<id root=\"{}\"/>", home.oid())),
        None => push(out, "<id nullFlavor=\"NI\"/>"),
    }
    push(out, "</assignedEntity></custodian></registrationEvent></subject>");
    push(out, &format!("</controlActProcess></{REVOCATION}>"));
}
