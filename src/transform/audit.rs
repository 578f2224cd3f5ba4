//! [`AuditEvent`] → [`wire::AuditMessage`], one way: the broker writes audit records and never acts on one.
//!
//! The object rows follow ITI TF-2, Security Audit Considerations of each transaction. Two neighbours look alike
//! and are not: the home community of a query is a detail of type `urn:ihe:iti:xca:2010:homeCommunityId`, that of a
//! document is `ihe:homeCommunityID`.

use std::borrow::Cow;

use bytes::Bytes;

use crate::model::audit_event::{
    ActiveParticipant, AuditCode, AuditEvent, AuditedDocument, AuditedQuery, AuditedSubmissionSet, ParticipantObject,
};
use crate::wire::audit as wire;

/// AuditSourceTypeCode of a broker: 4, application server process (DICOM PS3.15 A.5.1).
const APPLICATION_SERVER: &str = "4";

/// ParticipantObjectTypeCode 1, a person.
const PERSON: u8 = 1;
/// ParticipantObjectTypeCode 2, a system object.
const SYSTEM_OBJECT: u8 = 2;
/// ParticipantObjectTypeCode 4, other.
const OTHER: u8 = 4;

/// ParticipantObjectDataLifeCycle 15.
const PERMANENT_ERASURE: u8 = 15;

/// Code system of the correlation id's object type (Basic Audit Log Patterns, its only code is `XrequestId`).
const BASIC_AUDIT_ENTITY_TYPE: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";

/// Writes an event in the form of the audit schema (ITI TF-2 §3.20).
///
/// DEVIATION(ITI TF-2 §3.20): the correlation id is one more object than the transactions list (type 4, role 21,
/// `XrequestId`). The message has no place of its own for it, and the records of one request must be found together.
#[must_use]
pub fn audit_message(event: AuditEvent) -> wire::AuditMessage {
    let event_type = coded(event.event_type);
    let mut objects: Vec<_> = event.objects.into_iter().map(|object| participant_object(object, &event_type)).collect();
    objects.extend(event.correlation_id.map(correlation));
    wire::AuditMessage {
        event: wire::EventIdentification {
            action_code: Some(Cow::Borrowed(event.action.code())),
            date_time: event.at,
            outcome_indicator: event.outcome.code(),
            id: coded(event.event_id),
            type_codes: vec![event_type],
            outcome_description: event.outcome_description,
            purposes_of_use: event.purposes.into_iter().map(coded).collect(),
        },
        participants: event.participants.into_iter().map(active_participant).collect(),
        source: wire::AuditSourceIdentification {
            id: event.source.id,
            enterprise_site_id: event.source.enterprise_site,
            type_codes: vec![Cow::Borrowed(APPLICATION_SERVER)],
        },
        objects,
    }
}

fn coded(code: AuditCode) -> wire::CodedValue {
    wire::CodedValue::new(code.code, code.system, code.display)
}

fn active_participant(participant: ActiveParticipant) -> wire::ActiveParticipant {
    match participant {
        ActiveParticipant::Node { node, process_id, is_requestor, role } => wire::ActiveParticipant {
            user_id: node.user_id,
            alternative_user_id: process_id.map(|id| id.to_string()),
            user_name: node.name,
            is_requestor,
            network_access_point_id: node.network.as_ref().map(|point| point.id().into_owned()),
            network_access_point_type_code: node.network.as_ref().map(|point| point.type_code()),
            role_id_codes: role.into_iter().map(|role| coded(role.code())).collect(),
        },
        ActiveParticipant::Human(human) => wire::ActiveParticipant {
            user_id: human.user_id,
            alternative_user_id: None,
            user_name: human.user_name,
            is_requestor: true,
            network_access_point_id: None,
            network_access_point_type_code: None,
            role_id_codes: human.roles.into_iter().map(coded).collect(),
        },
    }
}

fn participant_object(
    object: ParticipantObject,
    event_type: &wire::CodedValue,
) -> wire::ParticipantObjectIdentification {
    match object {
        ParticipantObject::Patient(cx) => {
            plain(cx, (PERSON, 1), wire::CodedValue::new("2", "RFC-3881", "Patient Number"))
        }
        ParticipantObject::Query(query) => stored_query(query, event_type),
        ParticipantObject::PatientQuery(query) => patient_query(query, event_type),
        ParticipantObject::Document(document) => report(document),
        ParticipantObject::RemovedDocument(document) => {
            wire::ParticipantObjectIdentification { data_life_cycle: Some(PERMANENT_ERASURE), ..report(document) }
        }
        ParticipantObject::RemovedObject(id) => {
            let id_type =
                wire::CodedValue::new("urn:ihe:iti:2017:ObjectRef", "IHE XDS Metadata", "registry object reference");
            wire::ParticipantObjectIdentification {
                data_life_cycle: Some(PERMANENT_ERASURE),
                ..plain(id, (SYSTEM_OBJECT, 3), id_type)
            }
        }
        ParticipantObject::SubmissionSet(set) => submission_set(set),
        ParticipantObject::Node { id, alert } => {
            let id_type = wire::CodedValue::new("110182", "DCM", "Node ID");
            let details = vec![detail("Alert Description", alert)];
            wire::ParticipantObjectIdentification { details, ..plain(id, (SYSTEM_OBJECT, 13), id_type) }
        }
    }
}

/// ITI TF-2 §3.18.5.1: the type of the id is the transaction itself.
fn stored_query(query: AuditedQuery, event_type: &wire::CodedValue) -> wire::ParticipantObjectIdentification {
    let home = query.home_community_id.map(|home| detail("urn:ihe:iti:xca:2010:homeCommunityId", home));
    wire::ParticipantObjectIdentification {
        content: Some(wire::ParticipantObjectContent::Query(query.request)),
        details: std::iter::once(detail("QueryEncoding", query.encoding.into_owned())).chain(home).collect(),
        ..plain(query.query_id, (SYSTEM_OBJECT, 24), event_type.clone())
    }
}

/// ITI TF-2 §3.55.5.1: as a stored query's, but for the name of the home community's detail.
fn patient_query(query: AuditedQuery, event_type: &wire::CodedValue) -> wire::ParticipantObjectIdentification {
    wire::ParticipantObjectIdentification {
        content: Some(wire::ParticipantObjectContent::Query(query.request)),
        details: query.home_community_id.map(|home| detail("ihe:homeCommunityID", home)).into_iter().collect(),
        ..plain(query.query_id, (SYSTEM_OBJECT, 24), event_type.clone())
    }
}

/// ITI TF-2 §3.43.6.1. Spelt `Repository Unique Id` as most senders do; newer text has `ID`, readers take both.
fn report(document: AuditedDocument) -> wire::ParticipantObjectIdentification {
    let repository = document.repository_unique_id.map(|id| detail("Repository Unique Id", id));
    let home = document.home_community_id.map(|home| detail("ihe:homeCommunityID", home));
    wire::ParticipantObjectIdentification {
        details: repository.into_iter().chain(home).collect(),
        ..plain(document.unique_id, (SYSTEM_OBJECT, 3), wire::CodedValue::new("9", "RFC-3881", "Report Number"))
    }
}

/// ITI TF-2 §3.41.5.1: the type of the id is the classification node of SubmissionSet.
fn submission_set(set: AuditedSubmissionSet) -> wire::ParticipantObjectIdentification {
    let home = set.home_community_id.map(|home| detail("urn:ihe:iti:xca:2010:homeCommunityId", home));
    wire::ParticipantObjectIdentification {
        details: home.into_iter().collect(),
        ..plain(
            set.id,
            (SYSTEM_OBJECT, 20),
            wire::CodedValue::new(
                "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
                "IHE XDS Metadata",
                "submission set classificationNode",
            ),
        )
    }
}

fn correlation(id: String) -> wire::ParticipantObjectIdentification {
    plain(id, (OTHER, 21), wire::CodedValue::new("XrequestId", BASIC_AUDIT_ENTITY_TYPE, "Request correlation id"))
}

fn plain(
    id: String,
    (type_code, role): (u8, u8),
    id_type_code: wire::CodedValue,
) -> wire::ParticipantObjectIdentification {
    wire::ParticipantObjectIdentification {
        id: Some(id),
        type_code: Some(type_code),
        type_code_role: Some(role),
        data_life_cycle: None,
        sensitivity: None,
        id_type_code,
        content: None,
        details: Vec::new(),
    }
}

fn detail(kind: &'static str, value: String) -> wire::ParticipantObjectDetail {
    wire::ParticipantObjectDetail { kind: Cow::Borrowed(kind), value: Bytes::from(value) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::model::audit_event::{
        AuditCodes, AuditNode, AuditOutcome, AuditSide, AuditSource, Exchange, HumanRequestor, NetworkAccessPoint,
    };

    const ITI_18: AuditCodes = AuditCodes::query("ITI-18", "Registry Stored Query");
    const ITI_38: AuditCodes = AuditCodes::query("ITI-38", "Cross Gateway Query");
    const FIND_DOCUMENTS: &str = "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d";

    fn at() -> Timestamp {
        "2025-03-01T12:00:00.123Z".parse().unwrap()
    }

    fn source() -> AuditSource {
        AuditSource { id: "broker-1".to_owned(), enterprise_site: Some("2.999.1".to_owned()), process_id: 4711 }
    }

    fn exchange(codes: AuditCodes, side: AuditSide, path: &str) -> Exchange {
        Exchange {
            codes,
            side,
            at: at(),
            outcome: AuditOutcome::Success,
            outcome_description: None,
            requester: AuditNode::anonymous(Some(NetworkAccessPoint::from_host("192.0.2.10"))),
            responder: AuditNode::new(
                format!("https://b.example.org/{path}"),
                Some(NetworkAccessPoint::from_host("b.example.org")),
            ),
            humans: vec![],
            purposes: vec![],
            patients: vec!["P-77^^^&2.999.2.3&ISO".to_owned()],
            source: source(),
            correlation_id: None,
        }
    }

    /// The golden text is laid out for people; the message is one line.
    fn one_line(golden: &str) -> String {
        golden.lines().map(str::trim_start).collect::<Vec<_>>().join(" ").replace("> <", "><").trim().to_owned()
    }

    fn check(event: AuditEvent, golden: &str) {
        let message = audit_message(event);
        let xml = message.to_xml();
        assert_eq!(String::from_utf8_lossy(&xml), one_line(golden));
        assert!(wire::AuditMessage::from_xml(&xml) == Ok(message));
    }

    /// `golden` is the responder's record. The requester's differs in the process id, which is the writer's own,
    /// and by `differences` in the event.
    fn check_both_sides(make: impl Fn(AuditSide) -> AuditEvent, golden: &str, differences: &[(&str, &str)]) {
        check(make(AuditSide::Responder), golden);
        let pid = r#" AlternativeUserID="4711""#;
        assert_eq!(golden.matches(pid).count(), 1);
        let anonymous = r#"UserID="http://www.w3.org/2005/08/addressing/anonymous""#;
        let mut golden = golden.replace(pid, "").replace(anonymous, &format!("{anonymous}{pid}"));
        for (from, to) in differences {
            assert_eq!(golden.matches(from).count(), 1, "{from}");
            golden = golden.replace(from, to);
        }
        check(make(AuditSide::Requester), &golden);
    }

    const EXPORT_OF_SENDER: [(&str, &str); 2] = [
        (r#"EventActionCode="C""#, r#"EventActionCode="R""#),
        (
            r#"csd-code="110107" codeSystemName="DCM" displayName="Import" originalText="Import""#,
            r#"csd-code="110106" codeSystemName="DCM" displayName="Export" originalText="Export""#,
        ),
    ];
    const IMPORT_OF_CONSUMER: [(&str, &str); 2] = [
        (r#"EventActionCode="R""#, r#"EventActionCode="C""#),
        (
            r#"csd-code="110106" codeSystemName="DCM" displayName="Export" originalText="Export""#,
            r#"csd-code="110107" codeSystemName="DCM" displayName="Import" originalText="Import""#,
        ),
    ];

    #[test]
    fn iti18_registry_stored_query() {
        let make = |side| {
            let query = AuditedQuery::new(FIND_DOCUMENTS, Bytes::from_static(b"<query>...</query>"), None);
            AuditEvent::query(exchange(ITI_18, side, "registry"), Some(query))
        };
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="E" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="0">
              <EventID csd-code="110112" codeSystemName="DCM" displayName="Query" originalText="Query"/>
              <EventTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions" displayName="Registry Stored Query" originalText="Registry Stored Query"/>
            </EventIdentification>
            <ActiveParticipant UserID="http://www.w3.org/2005/08/addressing/anonymous" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2">
              <RoleIDCode csd-code="110153" codeSystemName="DCM" displayName="Source Role ID" originalText="Source Role ID"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="https://b.example.org/registry" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="b.example.org" NetworkAccessPointTypeCode="1">
              <RoleIDCode csd-code="110152" codeSystemName="DCM" displayName="Destination Role ID" originalText="Destination Role ID"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="P-77^^^&amp;2.999.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
              <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" displayName="Patient Number" originalText="Patient Number"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="24">
              <ParticipantObjectIDTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions" displayName="Registry Stored Query" originalText="Registry Stored Query"/>
              <ParticipantObjectQuery>PHF1ZXJ5Pi4uLjwvcXVlcnk+</ParticipantObjectQuery>
              <ParticipantObjectDetail type="QueryEncoding" value="VVRGLTg="/>
            </ParticipantObjectIdentification>
            </AuditMessage>"#;
        check_both_sides(make, golden, &[]);
    }

    #[test]
    fn iti55_patient_discovery_has_another_name_for_the_home() {
        let codes = AuditCodes::query("ITI-55", "Cross Gateway Patient Discovery");
        let home = Some("urn:oid:2.999.2".to_owned());
        let query = AuditedQuery::new("msg-1@2.999.1", Bytes::from_static(b"<query>...</query>"), home);
        let event = AuditEvent::patient_query(exchange(codes, AuditSide::Responder, "xcpd"), Some(query));
        let written = String::from_utf8(audit_message(event).to_xml()).unwrap();
        let object = one_line(
            r#"<ParticipantObjectIdentification ParticipantObjectID="msg-1@2.999.1" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="24">
              <ParticipantObjectIDTypeCode csd-code="ITI-55" codeSystemName="IHE Transactions" displayName="Cross Gateway Patient Discovery" originalText="Cross Gateway Patient Discovery"/>
              <ParticipantObjectQuery>PHF1ZXJ5Pi4uLjwvcXVlcnk+</ParticipantObjectQuery>
              <ParticipantObjectDetail type="ihe:homeCommunityID" value="dXJuOm9pZDoyLjk5OS4y"/>
            </ParticipantObjectIdentification>"#,
        );
        assert!(written.contains(&object), "{written}");
    }

    #[test]
    fn iti38_cross_gateway_query_with_its_user() {
        let make = |side| {
            let home = Some("urn:oid:2.999.2".to_owned());
            let query = AuditedQuery::new(FIND_DOCUMENTS, Bytes::from_static(b"<query>...</query>"), home);
            let mut exchange = exchange(ITI_38, side, "xca/query");
            let role = AuditCode::received("112247003", "SNOMED CT", Some("Medical doctor".to_owned()));
            exchange.humans =
                vec![HumanRequestor::from_assertion("adoc", "u123", "https://sts.example.org", vec![role])];
            exchange.purposes =
                vec![AuditCode::received("TREAT", "2.16.840.1.113883.5.8", Some("treatment".to_owned()))];
            exchange.correlation_id = Some("c-1".to_owned());
            AuditEvent::query(exchange, Some(query))
        };
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="E" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="0">
              <EventID csd-code="110112" codeSystemName="DCM" displayName="Query" originalText="Query"/>
              <EventTypeCode csd-code="ITI-38" codeSystemName="IHE Transactions" displayName="Cross Gateway Query" originalText="Cross Gateway Query"/>
              <PurposeOfUse csd-code="TREAT" codeSystemName="2.16.840.1.113883.5.8" displayName="treatment" originalText="treatment"/>
            </EventIdentification>
            <ActiveParticipant UserID="http://www.w3.org/2005/08/addressing/anonymous" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2">
              <RoleIDCode csd-code="110153" codeSystemName="DCM" displayName="Source Role ID" originalText="Source Role ID"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="adoc&lt;u123@https://sts.example.org&gt;" UserName="adoc&lt;u123@https://sts.example.org&gt;" UserIsRequestor="true">
              <RoleIDCode csd-code="112247003" codeSystemName="SNOMED CT" displayName="Medical doctor" originalText="Medical doctor"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="https://b.example.org/xca/query" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="b.example.org" NetworkAccessPointTypeCode="1">
              <RoleIDCode csd-code="110152" codeSystemName="DCM" displayName="Destination Role ID" originalText="Destination Role ID"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="P-77^^^&amp;2.999.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
              <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" displayName="Patient Number" originalText="Patient Number"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="24">
              <ParticipantObjectIDTypeCode csd-code="ITI-38" codeSystemName="IHE Transactions" displayName="Cross Gateway Query" originalText="Cross Gateway Query"/>
              <ParticipantObjectQuery>PHF1ZXJ5Pi4uLjwvcXVlcnk+</ParticipantObjectQuery>
              <ParticipantObjectDetail type="QueryEncoding" value="VVRGLTg="/>
              <ParticipantObjectDetail type="urn:ihe:iti:xca:2010:homeCommunityId" value="dXJuOm9pZDoyLjk5OS4y"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="c-1" ParticipantObjectTypeCode="4" ParticipantObjectTypeCodeRole="21">
              <ParticipantObjectIDTypeCode csd-code="XrequestId" codeSystemName="https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType" displayName="Request correlation id" originalText="Request correlation id"/>
            </ParticipantObjectIdentification>
            </AuditMessage>"#;
        check_both_sides(make, golden, &[]);
    }

    /// ITI-39 and ITI-43 differ in name, address and, here, in the patient being known.
    fn check_retrieve(number: &'static str, name: &'static str, patient: Option<&str>) {
        let make = |side| {
            let codes = match side {
                AuditSide::Requester => AuditCodes::import(number, name),
                AuditSide::Responder => AuditCodes::export(number, name),
            };
            let mut exchange = exchange(codes, side, "retrieve");
            exchange.patients = patient.map(str::to_owned).into_iter().collect();
            let document = |unique_id: &str, home: Option<&str>| AuditedDocument {
                unique_id: unique_id.to_owned(),
                repository_unique_id: Some("2.999.2.9".to_owned()),
                home_community_id: home.map(str::to_owned),
            };
            let documents = [document("2.999.2.55.1", Some("urn:oid:2.999.2")), document("2.999.2.55.2", None)];
            AuditEvent::retrieve(exchange, documents)
        };
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="R" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="0">
              <EventID csd-code="110106" codeSystemName="DCM" displayName="Export" originalText="Export"/>
              <EventTypeCode csd-code="ITI-39" codeSystemName="IHE Transactions" displayName="Cross Gateway Retrieve" originalText="Cross Gateway Retrieve"/>
            </EventIdentification>
            <ActiveParticipant UserID="https://b.example.org/retrieve" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="b.example.org" NetworkAccessPointTypeCode="1">
              <RoleIDCode csd-code="110153" codeSystemName="DCM" displayName="Source Role ID" originalText="Source Role ID"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="http://www.w3.org/2005/08/addressing/anonymous" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2">
              <RoleIDCode csd-code="110152" codeSystemName="DCM" displayName="Destination Role ID" originalText="Destination Role ID"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="P-77^^^&amp;2.999.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
              <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" displayName="Patient Number" originalText="Patient Number"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="2.999.2.55.1" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">
              <ParticipantObjectIDTypeCode csd-code="9" codeSystemName="RFC-3881" displayName="Report Number" originalText="Report Number"/>
              <ParticipantObjectDetail type="Repository Unique Id" value="Mi45OTkuMi45"/>
              <ParticipantObjectDetail type="ihe:homeCommunityID" value="dXJuOm9pZDoyLjk5OS4y"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="2.999.2.55.2" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="3">
              <ParticipantObjectIDTypeCode csd-code="9" codeSystemName="RFC-3881" displayName="Report Number" originalText="Report Number"/>
              <ParticipantObjectDetail type="Repository Unique Id" value="Mi45OTkuMi45"/>
            </ParticipantObjectIdentification>
            </AuditMessage>"#;
        let mut golden = golden.replace("ITI-39", number).replace("Cross Gateway Retrieve", name);
        if patient.is_none() {
            let (before, rest) =
                golden.split_once(r#"<ParticipantObjectIdentification ParticipantObjectID="P-77"#).unwrap();
            let (_, after) = rest.split_once("</ParticipantObjectIdentification>").unwrap();
            golden = format!("{}\n{}", before.trim_end(), after.trim_start());
        }
        check_both_sides(make, &golden, &IMPORT_OF_CONSUMER);
    }

    #[test]
    fn iti39_cross_gateway_retrieve() {
        check_retrieve("ITI-39", "Cross Gateway Retrieve", Some("P-77^^^&2.999.2.3&ISO"));
    }

    #[test]
    fn iti43_retrieve_document_set_of_unknown_patient() {
        check_retrieve("ITI-43", "Retrieve Document Set", None);
    }

    fn check_submission(number: &'static str, name: &'static str) {
        let make = |side| {
            let codes = match side {
                AuditSide::Requester => AuditCodes::export(number, name),
                AuditSide::Responder => AuditCodes::import(number, name),
            };
            let mut exchange = exchange(codes, side, "submit");
            exchange.outcome = AuditOutcome::SeriousFailure;
            exchange.outcome_description = Some("XDSRepositoryError: out of space".to_owned());
            let set = AuditedSubmissionSet { id: "2.999.2.7.1".to_owned(), home_community_id: None };
            AuditEvent::submission(exchange, Some(set))
        };
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="C" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="8">
              <EventID csd-code="110107" codeSystemName="DCM" displayName="Import" originalText="Import"/>
              <EventTypeCode csd-code="ITI-42" codeSystemName="IHE Transactions" displayName="Register Document Set-b" originalText="Register Document Set-b"/>
              <EventOutcomeDescription>XDSRepositoryError: out of space</EventOutcomeDescription>
            </EventIdentification>
            <ActiveParticipant UserID="http://www.w3.org/2005/08/addressing/anonymous" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2">
              <RoleIDCode csd-code="110153" codeSystemName="DCM" displayName="Source Role ID" originalText="Source Role ID"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="https://b.example.org/submit" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="b.example.org" NetworkAccessPointTypeCode="1">
              <RoleIDCode csd-code="110152" codeSystemName="DCM" displayName="Destination Role ID" originalText="Destination Role ID"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="P-77^^^&amp;2.999.2.3&amp;ISO" ParticipantObjectTypeCode="1" ParticipantObjectTypeCodeRole="1">
              <ParticipantObjectIDTypeCode csd-code="2" codeSystemName="RFC-3881" displayName="Patient Number" originalText="Patient Number"/>
            </ParticipantObjectIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="2.999.2.7.1" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="20">
              <ParticipantObjectIDTypeCode csd-code="urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd" codeSystemName="IHE XDS Metadata" displayName="submission set classificationNode" originalText="submission set classificationNode"/>
            </ParticipantObjectIdentification>
            </AuditMessage>"#;
        let golden = golden.replace("ITI-42", number).replace("Register Document Set-b", name);
        check_both_sides(make, &golden, &EXPORT_OF_SENDER);
    }

    #[test]
    fn iti41_provide_and_register_document_set() {
        check_submission("ITI-41", "Provide and Register Document Set-b");
    }

    #[test]
    fn iti42_register_document_set() {
        check_submission("ITI-42", "Register Document Set-b");
    }

    #[test]
    fn unreadable_request_has_no_objects() {
        let mut exchange = exchange(ITI_18, AuditSide::Responder, "registry");
        exchange.patients.clear();
        exchange.outcome = AuditOutcome::MajorFailure;
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="E" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="12">
              <EventID csd-code="110112" codeSystemName="DCM" displayName="Query" originalText="Query"/>
              <EventTypeCode csd-code="ITI-18" codeSystemName="IHE Transactions" displayName="Registry Stored Query" originalText="Registry Stored Query"/>
            </EventIdentification>
            <ActiveParticipant UserID="http://www.w3.org/2005/08/addressing/anonymous" UserIsRequestor="true" NetworkAccessPointID="192.0.2.10" NetworkAccessPointTypeCode="2">
              <RoleIDCode csd-code="110153" codeSystemName="DCM" displayName="Source Role ID" originalText="Source Role ID"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="https://b.example.org/registry" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="b.example.org" NetworkAccessPointTypeCode="1">
              <RoleIDCode csd-code="110152" codeSystemName="DCM" displayName="Destination Role ID" originalText="Destination Role ID"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            </AuditMessage>"#;
        check(AuditEvent::query(exchange, None), golden);
    }

    #[test]
    fn application_start_and_stop() {
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="E" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="0">
              <EventID csd-code="110100" codeSystemName="DCM" displayName="Application Activity" originalText="Application Activity"/>
              <EventTypeCode csd-code="110120" codeSystemName="DCM" displayName="Application Start" originalText="Application Start"/>
            </EventIdentification>
            <ActiveParticipant UserID="broker-1" AlternativeUserID="4711" UserIsRequestor="false">
              <RoleIDCode csd-code="110150" codeSystemName="DCM" displayName="Application" originalText="Application"/>
            </ActiveParticipant>
            <ActiveParticipant UserID="care" UserIsRequestor="true">
              <RoleIDCode csd-code="110151" codeSystemName="DCM" displayName="Application Launcher" originalText="Application Launcher"/>
            </ActiveParticipant>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            </AuditMessage>"#;
        let user = Some("care".to_owned());
        check(AuditEvent::application_start(source(), at(), AuditOutcome::Success, user.clone()), golden);
        let golden = golden.replace("110120", "110121").replace("Application Start", "Application Stop");
        check(AuditEvent::application_stop(source(), at(), AuditOutcome::Success, user), &golden);
    }

    #[test]
    fn node_authentication_failure() {
        let event = AuditEvent::node_authentication_failure(
            source(),
            at(),
            Some(NetworkAccessPoint::from_host("ig.example.org")),
            &NetworkAccessPoint::from_host("192.0.2.99"),
            "unknown CA",
            AuditOutcome::SeriousFailure,
        );
        let golden = r#"<AuditMessage>
            <EventIdentification EventActionCode="E" EventDateTime="2025-03-01T12:00:00.123Z" EventOutcomeIndicator="8">
              <EventID csd-code="110113" codeSystemName="DCM" displayName="Security Alert" originalText="Security Alert"/>
              <EventTypeCode csd-code="110126" codeSystemName="DCM" displayName="Node Authentication" originalText="Node Authentication"/>
              <EventOutcomeDescription>unknown CA</EventOutcomeDescription>
            </EventIdentification>
            <ActiveParticipant UserID="broker-1" AlternativeUserID="4711" UserIsRequestor="false" NetworkAccessPointID="ig.example.org" NetworkAccessPointTypeCode="1"/>
            <AuditSourceIdentification AuditSourceID="broker-1" AuditEnterpriseSiteID="2.999.1">
              <AuditSourceTypeCode csd-code="4"/>
            </AuditSourceIdentification>
            <ParticipantObjectIdentification ParticipantObjectID="192.0.2.99" ParticipantObjectTypeCode="2" ParticipantObjectTypeCodeRole="13">
              <ParticipantObjectIDTypeCode csd-code="110182" codeSystemName="DCM" displayName="Node ID" originalText="Node ID"/>
              <ParticipantObjectDetail type="Alert Description" value="dW5rbm93biBDQQ=="/>
            </ParticipantObjectIdentification>
            </AuditMessage>"#;
        check(event, golden);
    }
}
