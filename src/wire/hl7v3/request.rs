//! PRPA_IN201305UV02: whom somebody looks for (ITI TF-2 §3.55.4.1.2).

use super::datatypes::{
    self, child, code, is_null, present, read_address, read_instance_id, read_interval, read_name, read_patient_id,
    text, value,
};
use super::{Head, INTERACTIONS, REQUEST, is, push, read_header, write_party_to, write_start};
use crate::model::discovery::{Criteria, DiscoveryQuery, Gender, InstanceId, MOST_VALUES, MessageHeader, Priority};
use crate::model::ids::Oid;
use crate::model::time::Dtm;
use crate::wire::ebrs::BodyError;
use crate::wire::xml::{Node, Ns};

/// HL7 AdministrativeGender.
pub(super) const GENDER: &str = "2.16.840.1.113883.5.1";

/// A request as it came. Its frame is there even when the query in it cannot be used, since that is
/// answered by a message that refers to it.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedQuery {
    /// Who asks.
    pub header: MessageHeader,
    /// The query's identifier.
    pub query_id: Option<InstanceId>,
    /// `queryByParameter` as it stands in the message, to be given back and audited.
    pub query_by_parameter: Option<String>,
    /// The query, or everything that is wrong with it.
    pub query: Result<DiscoveryQuery, Vec<&'static str>>,
    /// The message's CorrelationTimeToLive, which is beside the body.
    pub time_to_live: Option<String>,
}

impl std::fmt::Debug for ReceivedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The element as it stands is full of the patient.
        f.debug_struct("ReceivedQuery")
            .field("header", &self.header)
            .field("query", &self.query)
            .finish_non_exhaustive()
    }
}

/// Reads a request.
///
/// # Errors
/// When it is no such message at all; a query that cannot be used is none.
pub fn read_request(node: Node<'_, '_>) -> Result<ReceivedQuery, BodyError> {
    if !is(node, REQUEST) {
        return Err(BodyError::Frame("hl7:PRPA_IN201305UV02 is required here"));
    }
    let mut findings = Vec::new();
    let header = read_header(node).unwrap_or_else(|finding| {
        findings.push(finding);
        MessageHeader::default()
    });
    let act = child(node, "controlActProcess");
    let Some(query) = act.and_then(|act| child(act, "queryByParameter")) else {
        findings.push("there is no controlActProcess with a queryByParameter");
        return Ok(ReceivedQuery {
            header,
            query_id: None,
            query_by_parameter: None,
            query: Err(findings),
            time_to_live: None,
        });
    };
    let query_id = child(query, "queryId").and_then(read_instance_id);
    if query_id.is_none() {
        findings.push("queryByParameter has no queryId");
    }
    let criteria = match child(query, "parameterList") {
        Some(list) => read_criteria(list, &mut findings),
        None => {
            findings.push("queryByParameter has no parameterList");
            Criteria::default()
        }
    };
    let respond_to = child(node, "respondTo");
    let deferred = code(query, "responsePriorityCode").is_some_and(|code| code == "D") || respond_to.is_some();
    let read = DiscoveryQuery {
        header: header.clone(),
        query_id: query_id.clone().unwrap_or_default(),
        requester_domain: act.and_then(requester_domain),
        priority: if deferred { Priority::Deferred } else { Priority::Immediate },
        respond_to: respond_to.and_then(|party| present(party, "telecom").find_map(|node| value(node, "value"))),
        keep: None,
        criteria,
    };
    Ok(ReceivedQuery {
        header,
        query_id,
        query_by_parameter: Some(query.fragment()),
        query: if findings.is_empty() { Ok(read) } else { Err(findings) },
        time_to_live: None,
    })
}

/// The domain that the requester knows the patient in; a person may stand where a device should.
fn requester_domain(act: Node<'_, '_>) -> Option<Oid> {
    present(act, "authorOrPerformer")
        .flat_map(|author| author.children())
        .filter(|who| is(*who, "assignedDevice") || is(*who, "assignedPerson"))
        .filter_map(|who| child(who, "id"))
        .find_map(|id| Oid::parse(&value(id, "root")?).ok())
}

fn read_criteria(list: Node<'_, '_>, findings: &mut Vec<&'static str>) -> Criteria {
    let mut criteria = Criteria::default();
    let mut left = MOST_VALUES;
    for parameter in list.children().filter(|parameter| parameter.ns() == Ns::Hl7v3 && !is_null(*parameter)) {
        let values: Vec<_> = present(parameter, "value").take(left + 1).collect();
        // Nothing is done with so many, not even comparing them.
        let Some(rest) = left.checked_sub(values.len()) else {
            findings.push("more values than there is anything to ask for");
            return criteria;
        };
        left = rest;
        // A value that cannot be read must not be left out: the query would ask for more people.
        let mut unread = |finding: &'static str| findings.push(finding);
        match parameter.local() {
            "livingSubjectAdministrativeGender" => {
                let mut codes = values.iter().filter_map(|node| value(*node, "code"));
                match (codes.next(), codes.next()) {
                    (Some(code), None) if criteria.gender.is_none() => criteria.gender = Some(Gender::from_code(&code)),
                    (None, None) if values.is_empty() => {}
                    _ => unread("livingSubjectAdministrativeGender: one value with a code"),
                }
            }
            "livingSubjectBirthTime" => match values.as_slice() {
                [] => {}
                [node] if criteria.birth_time.is_none() => match read_interval(*node) {
                    Some(time) => criteria.birth_time = Some(time),
                    None => unread("livingSubjectBirthTime: a time, or an interval of low and high"),
                },
                _ => unread("livingSubjectBirthTime: one value"),
            },
            "livingSubjectId" => {
                for node in &values {
                    match read_patient_id(*node) {
                        Some(id) if criteria.ids.contains(&id) => {}
                        Some(id) => criteria.ids.push(id),
                        None => unread("livingSubjectId: a root that is an OID, and an extension"),
                    }
                }
            }
            "livingSubjectName" | "mothersMaidenName" => {
                for node in &values {
                    if value(*node, "use").is_some_and(|uses| uses.split_whitespace().any(|one| one == "SRCH")) {
                        unread("a name: @use is not SRCH, names are compared whole");
                    }
                    match read_name(*node) {
                        Some(name) if parameter.local() == "livingSubjectName" => criteria.names.push(name),
                        Some(name) => criteria.mothers_maiden_names.push(name),
                        None => unread("a name: given and family"),
                    }
                }
            }
            "livingSubjectBirthPlaceName" => {
                let whole = |node: &Node<'_, '_>| {
                    text(*node).or_else(|| Some(node.children().filter_map(text).collect::<Vec<_>>().join(" ")))
                };
                criteria.birth_places.extend(values.iter().filter_map(whole).filter(|place| !place.is_empty()));
            }
            "patientAddress" => {
                for node in &values {
                    match read_address(*node) {
                        Some(address) => criteria.addresses.push(address),
                        None => unread("patientAddress: at least one part"),
                    }
                }
            }
            "patientTelecom" => criteria.telecoms.extend(values.iter().filter_map(|node| value(*node, "value"))),
            // Says which identifiers are wanted in the answer, not who is asked for.
            "otherIDsScopingOrganization" | "id" => {}
            _ => criteria.others |= !values.is_empty(),
        }
    }
    criteria
}

/// Writes a request.
pub fn write_request(out: &mut Vec<u8>, query: &DiscoveryQuery, created: Dtm, address: Option<&str>) {
    write_request_to(out, query, created, address, false);
}

/// The same, with `urn:oid:` before homeCommunityIds if the receiver wants them so; the schema does not.
pub fn write_request_to(
    out: &mut Vec<u8>,
    query: &DiscoveryQuery,
    created: Dtm,
    address: Option<&str>,
    home_prefix: bool,
) {
    let header = &query.header;
    write_start(out, &Head { root: REQUEST, message_id: &header.message_id, created, accept_ack: "AL" });
    let receiver = (header.receiver_device.as_ref(), header.receiver.as_ref());
    let sender = (header.sender_device.as_ref(), header.sender.as_ref());
    write_party_to(out, ("receiver", "RCV"), receiver, address, home_prefix);
    if let Some(address) = &query.respond_to {
        push(out, "<respondTo typeCode=\"RSP\">");
        datatypes::telecom(out, "telecom", address);
        push(out, "<entityRsp classCode=\"ENT\" determinerCode=\"INSTANCE\" xsi:nil=\"true\"/></respondTo>");
    }
    write_party_to(out, ("sender", "SND"), sender, None, home_prefix);
    push(out, "<controlActProcess classCode=\"CACT\" moodCode=\"EVN\">");
    push(out, &format!("<code code=\"PRPA_TE201305UV02\" codeSystem=\"{INTERACTIONS}\"/>"));
    if let Some(domain) = &query.requester_domain {
        push(out, "<authorOrPerformer typeCode=\"AUT\"><assignedDevice classCode=\"ASSIGNED\">");
        push(out, &format!("<id root=\"{domain}\"/></assignedDevice></authorOrPerformer>"));
    }
    write_query_by_parameter(out, query);
    push(out, &format!("</controlActProcess></{REQUEST}>"));
}

/// Writes `queryByParameter` alone: what audit records hold of a query.
pub fn write_query_by_parameter(out: &mut Vec<u8>, query: &DiscoveryQuery) {
    push(out, &format!("<queryByParameter xmlns=\"{}\">", crate::model::vocabulary::ns::HL7V3));
    datatypes::instance_id(out, "queryId", &query.query_id);
    let priority = if query.priority == Priority::Deferred { "D" } else { "I" };
    push(out, "<statusCode code=\"new\"/><responseModalityCode code=\"R\"/>");
    push(out, &format!("<responsePriorityCode code=\"{priority}\"/><parameterList>"));
    // Their order is the schema's.
    let criteria = &query.criteria;
    let one = |out: &mut Vec<u8>, name: &str, semantics: &str, values: &dyn Fn(&mut Vec<u8>)| {
        push(out, &format!("<{name}>"));
        values(out);
        push(out, &format!("<semanticsText>{semantics}</semanticsText></{name}>"));
    };
    if let Some(gender) = &criteria.gender {
        one(out, "livingSubjectAdministrativeGender", "LivingSubject.administrativeGender", &|out| {
            push(out, "<value");
            datatypes::attribute(out, "code", gender.code());
            push(out, &format!(" codeSystem=\"{GENDER}\"/>"));
        });
    }
    if !criteria.birth_places.is_empty() {
        one(out, "livingSubjectBirthPlaceName", "LivingSubject.BirthPlace.Place.Name", &|out| {
            criteria.birth_places.iter().for_each(|place| datatypes::element(out, "value", place));
        });
    }
    if let Some(time) = &criteria.birth_time {
        let write = |out: &mut Vec<u8>| datatypes::interval(out, "value", time);
        one(out, "livingSubjectBirthTime", "LivingSubject.birthTime", &write);
    }
    for id in &criteria.ids {
        one(out, "livingSubjectId", "LivingSubject.id", &|out| datatypes::patient_id(out, "value", id));
    }
    for name in &criteria.names {
        one(out, "livingSubjectName", "LivingSubject.name", &|out| datatypes::name(out, "value", name));
    }
    if !criteria.mothers_maiden_names.is_empty() {
        one(out, "mothersMaidenName", "Person.MothersMaidenName", &|out| {
            criteria.mothers_maiden_names.iter().for_each(|name| datatypes::name(out, "value", name));
        });
    }
    if !criteria.addresses.is_empty() {
        one(out, "patientAddress", "Patient.addr", &|out| {
            criteria.addresses.iter().for_each(|address| datatypes::address(out, "value", address));
        });
    }
    if !criteria.telecoms.is_empty() {
        one(out, "patientTelecom", "Patient.telecom", &|out| {
            criteria.telecoms.iter().for_each(|telecom| datatypes::telecom(out, "value", telecom));
        });
    }
    push(out, "</parameterList></queryByParameter>");
}
