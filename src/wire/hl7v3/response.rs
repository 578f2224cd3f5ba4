//! PRPA_IN201306UV02: who was found (ITI TF-2 §3.55.4.2.2).

use super::datatypes::{
    self, child, code, is_null, present, read_address, read_instance_id, read_name, read_patient_id, read_time, text,
    value, xsi_type,
};
use super::request::GENDER;
use super::{
    ACT_CODE, DETAIL_CODES, Head, INTERACTIONS, LOCATOR, PROBLEMS, REQUESTED, RESPONSE, home_of, is, push, read_header,
    write_party, write_start,
};
use crate::model::discovery::{
    Attribute, BirthTime, DiscoveryAnswer, Fault, Gender, InstanceId, MessageHeader, PatientDemographics, PatientMatch,
    Problem, Refusal,
};
use crate::model::ids::HomeCommunityId;
use crate::model::time::Dtm;
use crate::wire::ebrs::BodyError;
use crate::wire::xml::Node;

/// HL7 RoleCode.
const ROLE_CODE: &str = "2.16.840.1.113883.5.111";
/// The code of one who can be asked where else data is.
const IS_LOCATOR: &str = "SupportsHealthDataLocator";

/// An answer as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedAnswer {
    /// Who answers.
    pub header: MessageHeader,
    /// The message that is answered.
    pub target: Option<InstanceId>,
    /// The query that is answered.
    pub query_id: Option<InstanceId>,
    /// What is answered.
    pub answer: DiscoveryAnswer,
}

/// `queryByParameter` as an answer gives it back: what audit says of an answer whose query is not at hand.
pub fn given_back(node: Node<'_, '_>) -> Option<String> {
    child(node, "controlActProcess").and_then(|act| child(act, "queryByParameter")).map(|query| query.fragment())
}

/// Reads an answer.
///
/// # Errors
/// When it is no such message, or a match in it cannot be relied on.
pub fn read_response(node: Node<'_, '_>) -> Result<ReceivedAnswer, BodyError> {
    if !is(node, RESPONSE) {
        return Err(BodyError::Frame("hl7:PRPA_IN201306UV02 is required here"));
    }
    let header = read_header(node).map_err(BodyError::Frame)?;
    let acknowledgement =
        child(node, "acknowledgement").ok_or(BodyError::Frame("PRPA_IN201306UV02 needs an acknowledgement"))?;
    let target = child(acknowledgement, "targetMessage").and_then(|target| child(target, "id"));
    let act = child(node, "controlActProcess");
    let ack = act.and_then(|act| child(act, "queryAck"));
    Ok(ReceivedAnswer {
        header,
        target: target.and_then(read_instance_id),
        query_id: ack.and_then(|ack| child(ack, "queryId")).and_then(read_instance_id),
        answer: read_answer(acknowledgement, act, ack)?,
    })
}

fn read_answer(
    acknowledgement: Node<'_, '_>,
    act: Option<Node<'_, '_>>,
    ack: Option<Node<'_, '_>>,
) -> Result<DiscoveryAnswer, BodyError> {
    let kind = code(acknowledgement, "typeCode");
    let response = ack.and_then(|ack| code(ack, "queryResponseCode"));
    let issues: Vec<_> = act
        .into_iter()
        .flat_map(|act| present(act, "reasonOf"))
        .filter_map(|reason| child(reason, "detectedIssueEvent"))
        .collect();
    let problem = issues.iter().flat_map(|issue| present(*issue, "mitigatedBy")).find_map(|mitigated| {
        let code = code(child(mitigated, "detectedIssueManagement")?, "code")?;
        Problem::ALL.iter().find(|(_, known)| *known == code).map(|(problem, _)| *problem)
    });
    let accepted = matches!(kind.as_deref(), Some("AA" | "CA"));
    // Some refuse with an accepting acknowledgement: what the query's own code says counts.
    if !accepted || matches!(response.as_deref(), Some("AE" | "QE")) {
        let fault = if response.as_deref() == Some("QE") { Fault::Query } else { Fault::Application };
        let details = present(acknowledgement, "acknowledgementDetail");
        let details = details.filter_map(|detail| child(detail, "text").and_then(text)).collect();
        return Ok(DiscoveryAnswer::Refused(Refusal { fault, problem, details }));
    }
    match response.as_deref() {
        Some("OK") => {}
        Some("NF") => return Ok(DiscoveryAnswer::NotFound),
        _ => return Err(BodyError::Frame("queryAck needs a queryResponseCode: OK, NF, AE or QE")),
    }
    let events = act.into_iter().flat_map(|act| present(act, "subject"));
    let matches = events.filter_map(|subject| child(subject, "registrationEvent")).map(read_match);
    let matches = matches.collect::<Result<Vec<_>, _>>()?;
    if !matches.is_empty() {
        return Ok(DiscoveryAnswer::Matches(matches));
    }
    if problem.is_some() {
        return Ok(DiscoveryAnswer::Refused(Refusal { fault: Fault::Application, problem, details: Vec::new() }));
    }
    let triggers = issues.iter().flat_map(|issue| present(*issue, "triggerFor"));
    let mut wanted: Vec<Attribute> = Vec::new();
    for trigger in triggers {
        let code = child(trigger, "actOrderRequired").and_then(|order| code(order, "code"));
        let known = Attribute::ALL.iter().find(|(_, known)| code.as_deref() == Some(*known));
        if let Some((attribute, _)) = known.filter(|(attribute, _)| !wanted.contains(attribute)) {
            wanted.push(*attribute);
        }
    }
    // OK, nobody, and nothing wanted: so some say that they have found nobody.
    Ok(if wanted.is_empty() { DiscoveryAnswer::NotFound } else { DiscoveryAnswer::MoreWanted(wanted) })
}

fn read_match(event: Node<'_, '_>) -> Result<PatientMatch, BodyError> {
    let patient = child(event, "subject1").and_then(|subject| child(subject, "patient"));
    let patient = patient.ok_or(BodyError::Frame("registrationEvent needs a subject1 with a patient"))?;
    let mut ids = present(patient, "id");
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return Err(BodyError::Frame("patient needs exactly one id"));
    };
    let id = read_patient_id(id).ok_or(BodyError::Frame("patient/id needs a root that is an OID, and an extension"))?;
    let degree = match child(patient, "subjectOf1").and_then(|subject| child(subject, "queryMatchObservation")) {
        Some(observation) => read_degree(observation)?,
        None => None,
    };
    let custodian = child(event, "custodian").and_then(|custodian| child(custodian, "assignedEntity"));
    let home = match custodian.and_then(|entity| present(entity, "id").next()) {
        Some(id) => Some(home_of(id).ok_or(BodyError::Frame("custodian names no community by its OID"))?),
        None => None,
    };
    let person = child(patient, "patientPerson");
    Ok(PatientMatch {
        id,
        home,
        demographics: person.map(|person| read_person(person, patient)).unwrap_or_default(),
        degree,
        is_locator: custodian.and_then(|entity| code(entity, "code")).is_some_and(|code| code == IS_LOCATOR),
    })
}

/// A whole number of percent, of the type that the profile wants.
fn read_degree(observation: Node<'_, '_>) -> Result<Option<u8>, BodyError> {
    const RULE: BodyError = BodyError::Frame("queryMatchObservation/value is an INT from 0 to 100");
    let Some(node) = child(observation, "value").filter(|node| !is_null(*node)) else { return Ok(None) };
    if xsi_type(node).is_some_and(|named| named != "INT") {
        return Err(RULE);
    }
    let degree = value(node, "value").and_then(|value| value.parse().ok()).filter(|degree| *degree <= 100);
    degree.map(Some).ok_or(RULE)
}

fn read_person(person: Node<'_, '_>, patient: Node<'_, '_>) -> PatientDemographics {
    let both = |name: &'static str| present(person, name).chain(present(patient, name));
    let time = child(person, "birthTime").and_then(|node| value(node, "value"));
    let other_ids = present(person, "asOtherIDs").flat_map(|role| present(role, "id")).filter_map(read_patient_id);
    let mother = present(person, "personalRelationship").find(|role| code(*role, "code").as_deref() == Some("MTH"));
    let place = child(person, "birthPlace").and_then(|place| child(place, "birthplace"));
    PatientDemographics {
        names: present(person, "name").filter_map(read_name).collect(),
        birth_time: time.and_then(|time| read_time(&time)).map(BirthTime::At),
        gender: code(person, "administrativeGenderCode").map(|code| Gender::from_code(&code)),
        addresses: both("addr").filter_map(read_address).collect(),
        telecoms: both("telecom").filter_map(|node| value(node, "value")).collect(),
        other_ids: other_ids.collect(),
        mothers_maiden_name: mother
            .and_then(|role| child(role, "relationshipHolder1"))
            .and_then(|holder| present(holder, "name").next())
            .and_then(read_name),
        birth_place: place.and_then(|place| present(place, "name").next()).and_then(text),
    }
}

/// What an answer is made with.
pub struct Answering<'a> {
    /// Whose gateway this is.
    pub own: &'a HomeCommunityId,
    /// The answer's own identifier.
    pub message_id: &'a InstanceId,
    /// When it is made.
    pub created: Dtm,
    /// The message that is answered.
    pub request: &'a MessageHeader,
    /// The query that is answered.
    pub query_id: Option<&'a InstanceId>,
    /// `queryByParameter` as it came.
    pub query_by_parameter: Option<&'a str>,
}

/// Writes an answer.
pub fn write_response(out: &mut Vec<u8>, with: &Answering<'_>, answer: &DiscoveryAnswer) {
    write_start(out, &Head { root: RESPONSE, message_id: with.message_id, created: with.created, accept_ack: "NE" });
    let to = with.request;
    write_party(out, ("receiver", "RCV"), to.sender_device.as_ref(), to.sender.as_ref(), None);
    write_party(out, ("sender", "SND"), None, Some(with.own), None);
    let (kind, status, response) = match answer {
        DiscoveryAnswer::Matches(_) | DiscoveryAnswer::MoreWanted(_) => ("AA", "deliveredResponse", "OK"),
        DiscoveryAnswer::NotFound => ("AA", "deliveredResponse", "NF"),
        DiscoveryAnswer::Refused(refusal) => match refusal.fault {
            Fault::Application => ("AE", "aborted", "AE"),
            Fault::Query => ("AE", "aborted", "QE"),
        },
    };
    push(out, &format!("<acknowledgement><typeCode code=\"{kind}\"/><targetMessage>"));
    datatypes::instance_id(out, "id", &to.message_id);
    push(out, "</targetMessage>");
    if let DiscoveryAnswer::Refused(refusal) = answer {
        let code = if refusal.fault == Fault::Query { "SYN113" } else { "INTERR" };
        for detail in &refusal.details {
            push(out, "<acknowledgementDetail typeCode=\"E\">");
            push(out, &format!("<code code=\"{code}\" codeSystem=\"{DETAIL_CODES}\"/>"));
            datatypes::element(out, "text", detail);
            push(out, "</acknowledgementDetail>");
        }
    }
    push(out, "</acknowledgement><controlActProcess classCode=\"CACT\" moodCode=\"EVN\">");
    push(out, &format!("<code code=\"PRPA_TE201306UV02\" codeSystem=\"{INTERACTIONS}\"/>"));
    if let DiscoveryAnswer::Matches(matches) = answer {
        matches.iter().for_each(|found| write_match(out, found, with.own));
    }
    write_issue(out, answer);
    push(out, "<queryAck>");
    match with.query_id {
        Some(id) => datatypes::instance_id(out, "queryId", id),
        None => push(out, "<queryId nullFlavor=\"NI\"/>"),
    }
    push(out, &format!("<statusCode code=\"{status}\"/><queryResponseCode code=\"{response}\"/></queryAck>"));
    push(out, with.query_by_parameter.unwrap_or_default());
    push(out, &format!("</controlActProcess></{RESPONSE}>"));
}

/// What is wanted, or what is wrong (§3.55.4.2.2, cases 3 and 5).
fn write_issue(out: &mut Vec<u8>, answer: &DiscoveryAnswer) {
    let mut issue = Vec::new();
    match answer {
        DiscoveryAnswer::MoreWanted(wanted) => {
            for (_, code) in Attribute::ALL.iter().filter(|(attribute, _)| wanted.contains(attribute)) {
                push(&mut issue, "<triggerFor typeCode=\"TRIG\"><actOrderRequired classCode=\"ACT\" moodCode=\"RQO\">");
                push(&mut issue, &format!("<code code=\"{code}\" codeSystem=\"{REQUESTED}\"/>"));
                push(&mut issue, "</actOrderRequired></triggerFor>");
            }
        }
        DiscoveryAnswer::Refused(Refusal { problem: Some(problem), .. }) => {
            push(
                &mut issue,
                "<mitigatedBy typeCode=\"MITGT\"><detectedIssueManagement classCode=\"ACT\" moodCode=\"EVN\">",
            );
            push(&mut issue, &format!("<code code=\"{}\" codeSystem=\"{PROBLEMS}\"/>", problem.code()));
            push(&mut issue, "</detectedIssueManagement></mitigatedBy>");
        }
        DiscoveryAnswer::Refused(_) | DiscoveryAnswer::NotFound | DiscoveryAnswer::Matches(_) => return,
    }
    push(out, "<reasonOf typeCode=\"RSON\"><detectedIssueEvent classCode=\"ALRT\" moodCode=\"EVN\">");
    push(out, &format!("<code code=\"ActAdministrativeDetectedIssueCode\" codeSystem=\"{ACT_CODE}\"/>"));
    out.append(&mut issue);
    push(out, "</detectedIssueEvent></reasonOf>");
}

fn write_match(out: &mut Vec<u8>, found: &PatientMatch, own: &HomeCommunityId) {
    push(out, "<subject typeCode=\"SUBJ\" contextConductionInd=\"false\">");
    push(out, "<registrationEvent classCode=\"REG\" moodCode=\"EVN\"><statusCode code=\"active\"/>");
    push(out, "<subject1 typeCode=\"SBJ\"><patient classCode=\"PAT\">");
    datatypes::patient_id(out, "id", &found.id);
    push(out, "<statusCode code=\"active\"/>");
    write_person(out, &found.demographics);
    push(out, "<subjectOf1 typeCode=\"SBJ\"><queryMatchObservation classCode=\"OBS\" moodCode=\"EVN\">");
    push(out, "<code code=\"IHE_PDQ\"/>");
    match found.degree {
        Some(degree) => push(out, &format!("<value xsi:type=\"INT\" value=\"{degree}\"/>")),
        None => push(out, "<value xsi:type=\"INT\" nullFlavor=\"UNK\"/>"),
    }
    push(out, "</queryMatchObservation></subjectOf1></patient></subject1>");
    push(out, "<custodian typeCode=\"CST\"><assignedEntity classCode=\"ASSIGNED\">");
    push(out, &format!("<id root=\"{}\"/>", found.home.as_ref().unwrap_or(own).oid()));
    let code = if found.is_locator { IS_LOCATOR } else { "NotHealthDataLocator" };
    push(out, &format!("<code code=\"{code}\" codeSystem=\"{LOCATOR}\"/>"));
    push(out, "</assignedEntity></custodian></registrationEvent></subject>");
}

fn write_person(out: &mut Vec<u8>, person: &PatientDemographics) {
    push(out, "<patientPerson classCode=\"PSN\" determinerCode=\"INSTANCE\">");
    // DEVIATION(§3.55.4.2.2): the profile has NA only where identifiers alone were asked for. A
    // registry that knows a patient by an identifier has no name to give, whatever was asked.
    if person.names.is_empty() {
        push(out, "<name nullFlavor=\"NA\"/>");
    }
    person.names.iter().for_each(|name| datatypes::name(out, "name", name));
    person.telecoms.iter().for_each(|telecom| datatypes::telecom(out, "telecom", telecom));
    if let Some(gender) = &person.gender {
        push(out, "<administrativeGenderCode");
        datatypes::attribute(out, "code", gender.code());
        push(out, &format!(" codeSystem=\"{GENDER}\"/>"));
    }
    // An interval is nobody's birth time.
    if let Some(BirthTime::At(time)) = &person.birth_time {
        push(out, &format!("<birthTime value=\"{}\"/>", time.as_str()));
    }
    person.addresses.iter().for_each(|address| datatypes::address(out, "addr", address));
    for id in &person.other_ids {
        push(out, "<asOtherIDs classCode=\"PAT\">");
        datatypes::patient_id(out, "id", id);
        push(out, "<scopingOrganization classCode=\"ORG\" determinerCode=\"INSTANCE\">");
        push(out, &format!("<id root=\"{}\"/></scopingOrganization></asOtherIDs>", id.authority()));
    }
    if let Some(name) = &person.mothers_maiden_name {
        push(out, &format!("<personalRelationship classCode=\"PRS\"><code code=\"MTH\" codeSystem=\"{ROLE_CODE}\"/>"));
        push(out, "<relationshipHolder1 classCode=\"PSN\" determinerCode=\"INSTANCE\">");
        datatypes::name(out, "name", name);
        push(out, "</relationshipHolder1></personalRelationship>");
    }
    if let Some(place) = &person.birth_place {
        push(out, "<birthPlace classCode=\"BIRTHPL\"><birthplace classCode=\"PLC\" determinerCode=\"INSTANCE\">");
        datatypes::element(out, "name", place);
        push(out, "</birthplace></birthPlace>");
    }
    push(out, "</patientPerson>");
}
