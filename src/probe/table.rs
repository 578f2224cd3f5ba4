//! The checks: one table that the run, the listing and the tests read. A new check is a row here, and a
//! judge; a new request is a variant of [`Ask`].

use serde::Serialize;

use super::ask::Ask;
use super::judge::{Case, Judged, connection, patient, query, response, retrieve, soap};
use super::report::Outcome;
use crate::transaction::Service::{self, InitiatingGateway, Registry, Repository, RespondingGateway};

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Partners rely on it.
    Must,
    /// Partners are better off with it.
    Should,
    /// A kindness.
    May,
}

impl Level {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Must => "must",
            Self::Should => "should",
            Self::May => "may",
        }
    }

    /// What comes of a rule that is not kept.
    pub fn broken(self) -> Outcome {
        match self {
            Self::Must => Outcome::Fail,
            Self::Should | Self::May => Outcome::Warn,
        }
    }
}

/// One check.
pub struct Check {
    /// Its name, which stays.
    pub id: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// Where the standard says so.
    pub section: &'static str,
    /// How binding that is.
    pub level: Level,
    /// Which services are checked.
    pub services: &'static [Service],
    /// What is sent.
    pub ask: Ask,
    /// What is expected.
    pub expects: &'static str,
    /// Judges the answer.
    pub judge: fn(&Case<'_>) -> Judged,
}

use Level::{May, Must, Should};

const ALL: &[Service] = &Service::ALL;
const QUERIES: &[Service] = &[Registry, InitiatingGateway, RespondingGateway];
const RETRIEVES: &[Service] = &[Repository, InitiatingGateway, RespondingGateway];
const GATEWAYS: &[Service] = &[InitiatingGateway, RespondingGateway];
const RESPONDING: &[Service] = &[RespondingGateway];
const NOT_FANNED_OUT: &[Service] = &[Registry, RespondingGateway];

#[allow(clippy::too_many_arguments)] // A row has as many columns as it has.
const fn row(
    id: &'static str,
    level: Level,
    services: &'static [Service],
    ask: Ask,
    title: &'static str,
    expects: &'static str,
    section: &'static str,
    judge: fn(&Case<'_>) -> Judged,
) -> Check {
    Check { id, title, section, level, services, ask, expects, judge }
}

/// The first check, on which all others hang.
pub const REACHED: &str = "reached";

/// All checks, in the order in which they are made.
#[rustfmt::skip] // A table reads in rows.
pub const CHECKS: &[Check] = &[
    // TLS and HTTP.
    row(REACHED, Must, ALL, Ask::Plain, "the service answers over HTTP", "an HTTP answer",
        "ITI TF-2 §V.3", connection::reached),
    row("keep-alive", Should, ALL, Ask::Second, "a connection serves a second request", "an answer on the same connection",
        "RFC 9112 §9.3", connection::kept_alive),
    row("tls-version", Must, ALL, Ask::Plain, "TLS is 1.2 or newer", "TLS 1.2 or 1.3",
        "ITI TF-2 §3.19, RFC 9325 §3.1", connection::tls_version),
    row("tls-old-refused", Should, ALL, Ask::OldTls, "older TLS is refused", "an alert, or a closed connection",
        "RFC 8996", connection::old_tls_refused),
    row("tls-certificate-expiry", Should, ALL, Ask::Plain, "the server's certificate has time left", "30 days or more",
        "RFC 5280 §4.1.2.5", connection::certificate),
    row("tls-client-certificate", Must, ALL, Ask::Anonymous, "a client certificate is demanded", "no HTTP answer",
        "ITI TF-2 §3.19", connection::certificate_demanded),
    row("http-not-compressed", Should, ALL, Ask::Plain, "nothing is compressed unasked", "no Content-Encoding",
        "RFC 9110 §12.5.3", connection::not_compressed),
    row("http-chunked", Must, ALL, Ask::Chunked, "a request in chunks is accepted", "the usual answer",
        "RFC 9112 §7.1", soap::answered),
    row("http-media-type", Should, ALL, Ask::PlainText, "what is no SOAP message is refused", "HTTP 415",
        "RFC 9110 §15.5.16", connection::media_type_refused),
    row("http-get", Must, ALL, Ask::Get, "GET does not reach the service", "HTTP 405 or 404",
        "SOAP 1.2 Part 2 §7.4", connection::get_refused),
    row("http-wsdl", May, ALL, Ask::Wsdl, "the service describes itself", "a WSDL",
        "ITI TF-2 §V.2", connection::wsdl),
    // Envelope and addressing.
    row("http-status", Must, ALL, Ask::Plain, "a response comes as HTTP 200", "HTTP 200",
        "SOAP 1.2 Part 2 §7.5", soap::http_status),
    row("soap-version", Must, ALL, Ask::Plain, "SOAP 1.2 is answered in SOAP 1.2", "the namespace of SOAP 1.2",
        "ITI TF-2 §V.3.1", soap::version),
    row("soap-envelope", Must, ALL, Ask::Plain, "the envelope is well made", "one Header, one Body, one element in it",
        "SOAP 1.2 Part 1 §5", soap::form),
    row("soap-content-type", Must, ALL, Ask::Plain, "the Content-Type is that of the transaction", "application/soap+xml, or multipart/related for retrieves",
        "ITI TF-2 §V.3.2, §V.8", soap::content_type),
    row("wsa-action", Must, ALL, Ask::Plain, "wsa:Action is that of the response", "the action of the transaction's response",
        "ITI TF-2 §V.3.2.2", soap::action),
    row("wsa-action-marked", Should, ALL, Ask::Plain, "wsa:Action must be understood", "mustUnderstand",
        "ITI TF-2 §V.3.2.2", soap::action_marked),
    row("wsa-relates-to", Must, ALL, Ask::Plain, "wsa:RelatesTo is the request's MessageID", "the same text",
        "WS-Addressing Core §3.4", soap::relates_to),
    row("wsa-message-id", May, ALL, Ask::Plain, "the response has an id of its own", "wsa:MessageID",
        "WS-Addressing Core §3.4", soap::message_id),
    row("wsa-unknown-action", Must, ALL, Ask::UnknownAction, "an unknown action is a fault", "wsa:ActionNotSupported",
        "WS-Addressing SOAP Binding §6.4.4", |case| soap::faults(case, &["ActionNotSupported"])),
    row("fault-status", Should, ALL, Ask::UnknownAction, "a fault has its HTTP status", "400 for env:Sender, else 500",
        "SOAP 1.2 Part 2 §7.5.2", soap::fault_status),
    row("fault-action", Should, ALL, Ask::UnknownAction, "a fault has its wsa:Action", "…/addressing/fault or …/addressing/soap/fault",
        "WS-Addressing SOAP Binding §6.3", soap::fault_action),
    row("fault-relates-to", Should, ALL, Ask::UnknownAction, "a fault relates to its request", "the request's MessageID",
        "WS-Addressing Core §3.4", soap::fault_relates_to),
    row("wsa-missing-action", Must, ALL, Ask::NoAction, "a missing action is a fault", "wsa:MessageAddressingHeaderRequired",
        "WS-Addressing SOAP Binding §6.4.2", |case| soap::faults(case, &["MessageAddressingHeaderRequired"])),
    row("wsa-repeated-action", Should, ALL, Ask::TwoActions, "a repeated action is a fault", "wsa:InvalidAddressingHeader",
        "WS-Addressing SOAP Binding §6.4.1", |case| soap::faults(case, &["InvalidAddressingHeader", "InvalidCardinality"])),
    row("wsa-action-parameter", Must, ALL, Ask::OtherActionParameter, "wsa:Action counts, not the action of HTTP", "the usual answer",
        "ITI TF-2 §V.3.2.2", soap::answered),
    row("soap-mandatory-header", Must, ALL, Ask::MandatoryHeader, "an unknown mandatory header is a fault", "env:MustUnderstand",
        "SOAP 1.2 Part 1 §5.4.8", |case| soap::faults(case, &["MustUnderstand"])),
    row("soap-optional-header", Must, ALL, Ask::OptionalHeader, "an unknown header is ignored", "the usual answer",
        "SOAP 1.2 Part 1 §2.4", soap::answered),
    row("soap-other-body", Should, ALL, Ask::OtherBody, "a body that is not the action's is a fault", "a fault",
        "ITI TF-2 §V.3.2.2", |case| soap::faults(case, &[])),
    row("soap-empty-body", Should, ALL, Ask::EmptyBody, "an empty body is a fault", "a fault",
        "SOAP 1.2 Part 1 §5.3", |case| soap::faults(case, &[])),
    row("soap-doctype", Must, ALL, Ask::Doctype, "a DOCTYPE is refused", "a fault",
        "SOAP 1.2 Part 1 §5", soap::refused),
    row("soap-broken", Must, ALL, Ask::Broken, "what is not well-formed is refused", "a fault",
        "SOAP 1.2 Part 1 §5", soap::refused),
    row("soap-11", Should, ALL, Ask::Soap11, "SOAP 1.1 is refused, or answered in SOAP 1.1", "env:VersionMismatch, or SOAP 1.1",
        "SOAP 1.2 Part 1 §2.8", soap::version_respected),
    // What a response says.
    row("response-status", Must, ALL, Ask::Plain, "the status is one of the three URNs", "Success, PartialSuccess or Failure",
        "ITI TF-3 §4.2.4.2", response::status_urn),
    row("response-status-fits", Must, ALL, Ask::Plain, "the status fits the errors", "no error with Success, one with any other",
        "ITI TF-3 §4.2.4.2", response::status_fits),
    row("response-schema", Must, ALL, Ask::Plain, "the response keeps its schema", "no other elements or attributes, none missing",
        "ITI TF-2 §V.2", response::schema),
    // Queries.
    row("query-missing-home", Must, GATEWAYS, Ask::WithoutHome, "a query by id needs a home", "XDSMissingHomeCommunityId",
        "ITI TF-2 §3.38.4.1.2.1", |case| response::fails(case, &["XDSMissingHomeCommunityId"], &[])),
    row("query-error-location", Must, RESPONDING, Ask::WithoutHome, "a query's error is located at a home", "a homeCommunityId in location",
        "ITI TF-2 §3.38.4.1.3", response::located_at_home),
    row("query-unknown-home", Must, GATEWAYS, Ask::UnknownHome, "an unknown home is told", "XDSUnknownCommunity",
        "ITI TF-2 §3.38.4.1.3", |case| response::fails(case, &["XDSUnknownCommunity"], &[])),
    row("query-by-unique-id", Must, QUERIES, Ask::Plain, "an unknown uniqueId finds nothing", "Success without objects",
        "ITI TF-2 §3.18.4.1.3", query::finds_nothing),
    row("query-object-list", Must, QUERIES, Ask::Plain, "there is a list of objects, even of none", "rim:RegistryObjectList",
        "ITI TF-2 §3.18.4.1.3", query::object_list),
    row("query-object-ref", Must, QUERIES, Ask::References, "returnType ObjectRef is known", "Success without objects",
        "ITI TF-2 §3.18.4.1.2.2", query::finds_nothing),
    row("query-unknown-id", Must, QUERIES, Ask::UnknownQuery, "an unknown stored query is told", "XDSUnknownStoredQuery",
        "ITI TF-2 §3.18.4.1.3", |case| response::fails(case, &["XDSUnknownStoredQuery"], &[])),
    row("query-failure-status", Must, QUERIES, Ask::UnknownQuery, "a failure's status fits its errors", "Failure with an error",
        "ITI TF-3 §4.2.4.2", response::status_fits),
    row("query-failure-errors", Must, QUERIES, Ask::UnknownQuery, "an error has code, context and severity", "errorCode, codeContext, a URN as severity",
        "ITI TF-3 §4.2.4.1", response::errors_whole),
    row("query-failure-highest", Must, QUERIES, Ask::UnknownQuery, "highestSeverity is that of the worst entry", "the same URN, or no such attribute",
        "ITI TF-3 §4.2.4.1", response::highest_severity),
    row("query-failure-schema", Must, QUERIES, Ask::UnknownQuery, "a failure keeps its schema", "no other elements or attributes, none missing",
        "ITI TF-2 §V.2", response::schema),
    row("query-failure-list", Should, QUERIES, Ask::UnknownQuery, "a failure has a list of objects too", "an empty rim:RegistryObjectList",
        "ebRS 3.0 query.xsd", query::object_list),
    row("query-missing-patient", Must, NOT_FANNED_OUT, Ask::NoPatient, "a missing patient is told", "XDSStoredQueryMissingParam",
        "ITI TF-2 §3.18.4.1.2.3.7", |case| response::fails(case, &["XDSStoredQueryMissingParam"], &["XDSRegistryError"])),
    row("query-missing-id", Must, QUERIES, Ask::NoId, "a missing id is told", "XDSStoredQueryMissingParam",
        "ITI TF-2 §3.18.4.1.2.3.7", |case| response::fails_at_home(case, &["XDSStoredQueryMissingParam"], &["XDSRegistryError"])),
    row("query-two-ids", Should, QUERIES, Ask::TwoIds, "parameters that exclude each other are told", "XDSStoredQueryParamNumber",
        "ITI TF-2 §3.18.4.1.2.3.7", |case| response::fails_at_home(case, &["XDSStoredQueryParamNumber"], &["XDSRegistryError"])),
    row("query-bad-syntax", Should, QUERIES, Ask::BadSyntax, "a value of no known form is told", "Failure",
        "ITI TF-2 §3.18.4.1.2.3.5", |case| response::fails_at_home(case, &[], &[])),
    row("query-unknown-parameter", Should, QUERIES, Ask::UnknownParameter, "an unknown parameter is ignored", "Success without objects",
        "ITI TF-2 §3.18.4.1.2.5", query::finds_nothing),
    row("query-unknown-patient", Should, NOT_FANNED_OUT, Ask::MadeUpPatient, "an unknown patient has no documents", "Success without objects, or XDSUnknownPatientId",
        "ITI TF-2 §3.18.4.1.3", query::finds_nobody),
    // Retrieves.
    row("retrieve-package", Must, RETRIEVES, Ask::Retrieve, "a retrieve is answered in a package", "multipart/related, from first boundary to last",
        "ITI TF-2 §V.8", retrieve::packaged),
    row("retrieve-type", Must, RETRIEVES, Ask::Retrieve, "the package's type is XOP", "type=\"application/xop+xml\"",
        "RFC 2387 §3.1, ITI TF-2 §V.8", |case| retrieve::parameter(case, "type", "application/xop+xml")),
    row("retrieve-start", Must, RETRIEVES, Ask::Retrieve, "start names the root part", "its Content-ID in angle brackets",
        "RFC 2387 §3.2, ITI TF-2 §V.8", retrieve::start),
    row("retrieve-start-info", Must, RETRIEVES, Ask::Retrieve, "start-info is SOAP 1.2", "start-info=\"application/soap+xml\"",
        "SOAP MTOM §3.2, ITI TF-2 §V.8", |case| retrieve::parameter(case, "start-info", "application/soap+xml")),
    row("retrieve-root-part", Should, RETRIEVES, Ask::Retrieve, "the root part is XOP of SOAP 1.2", "application/xop+xml; type=\"application/soap+xml\"",
        "XOP §4.1, ITI TF-2 §V.8", retrieve::root_part),
    row("retrieve-action", Must, GATEWAYS, Ask::Retrieve, "a retrieve's wsa:Action is that of the response", "the action of the transaction's response",
        "ITI TF-2 §V.3.2.2", soap::action),
    row("retrieve-relates-to", Must, GATEWAYS, Ask::Retrieve, "a retrieve's wsa:RelatesTo is the request's MessageID", "the same text",
        "WS-Addressing Core §3.4", soap::relates_to),
    row("retrieve-schema", Must, GATEWAYS, Ask::Retrieve, "a retrieve's response keeps its schema", "no other elements or attributes, none missing",
        "ITI TF-2 §V.2", response::schema),
    row("retrieve-status-fits", Must, GATEWAYS, Ask::Retrieve, "a retrieve's status fits its errors", "Failure with an error",
        "ITI TF-3 §4.2.4.2", response::status_fits),
    row("retrieve-errors", Must, RETRIEVES, Ask::Retrieve, "a retrieve's error has code, context and severity", "errorCode, codeContext, a URN as severity",
        "ITI TF-3 §4.2.4.1", response::errors_whole),
    row("retrieve-highest", Must, RETRIEVES, Ask::Retrieve, "a retrieve's highestSeverity is that of the worst entry", "the same URN, or no such attribute",
        "ITI TF-3 §4.2.4.1", response::highest_severity),
    row("retrieve-brings-nothing", Must, RETRIEVES, Ask::Retrieve, "a document that is made up does not come", "no DocumentResponse",
        "ITI TF-2 §3.43.4.2.2", retrieve::brings_nothing),
    row("retrieve-unknown-repository", Must, RETRIEVES, Ask::Retrieve, "an unknown repository is told", "XDSUnknownRepositoryId",
        "ITI TF-2 §3.43.4.1.3", |case| case.with_home().and_then(|()| retrieve::missing_told(case, "XDSUnknownRepositoryId"))),
    row("retrieve-unknown-document", Must, RETRIEVES, Ask::RetrieveKnown, "an unknown document is told", "XDSDocumentUniqueIdError",
        "ITI TF-2 §3.43.4.1.3", |case| retrieve::missing_told(case, "XDSDocumentUniqueIdError")),
    row("retrieve-error-document", Must, &[Repository], Ask::Retrieve, "a repository's error is located at the document", "the DocumentUniqueId in location",
        "ITI TF-2 §3.43.4.2.2", retrieve::located_at_document),
    row("retrieve-error-home", Must, RESPONDING, Ask::Retrieve, "a gateway's error is located at a home", "a homeCommunityId in location",
        "ITI TF-2 §3.39.4.1.3", response::located_at_home),
    row("retrieve-missing-home", Must, RESPONDING, Ask::RetrieveWithoutHome, "a retrieve needs a home", "XDSMissingHomeCommunityId",
        "ITI TF-2 §3.39.4.1.2", |case| response::fails(case, &["XDSMissingHomeCommunityId"], &[])),
    row("retrieve-unknown-home", Must, GATEWAYS, Ask::RetrieveUnknownHome, "a retrieve from an unknown home is told", "XDSUnknownCommunity",
        "ITI TF-2 §3.39.4.1.3", |case| response::fails(case, &["XDSUnknownCommunity"], &[])),
    row("retrieve-missing-id", Should, RETRIEVES, Ask::RetrieveWithoutId, "a missing DocumentUniqueId is refused", "Failure, or a fault",
        "ITI TF-2 §3.43.4.1.2", |case| response::fails(case, &[], &[]).or_else(|_| soap::faults(case, &[]))),
    row("retrieve-simple", May, RETRIEVES, Ask::RetrieveSimple, "a retrieve without a package is answered too", "the usual answer",
        "ITI TF-2 §V.8", soap::answered),
    // A patient, if one is given.
    row("patient-found", Must, QUERIES, Ask::PatientFind, "a patient's documents can be found", "Success",
        "ITI TF-2 §3.18.4.1.3", patient::found),
    row("patient-schema", Must, QUERIES, Ask::PatientFind, "metadata keeps its schema", "no other elements or attributes, none missing",
        "ITI TF-3 §4.2", response::schema),
    row("patient-as-asked", Must, QUERIES, Ask::PatientFind, "what was asked for is found", "DocumentEntries that are Approved",
        "ITI TF-2 §3.18.4.1.2.3.7.1", patient::as_asked),
    row("patient-home", Must, GATEWAYS, Ask::PatientFind, "every object has its home", "home on each object",
        "ITI TF-2 §3.38.4.1.3", patient::homes),
    row("patient-own", Must, QUERIES, Ask::PatientFind, "nobody else's documents are found", "the patientId asked for, or one of another domain",
        "ITI TF-2 §3.18.4.1.3", patient::of_the_patient),
    row("patient-metadata", Should, QUERIES, Ask::PatientFind, "the metadata keeps its rules", "no findings",
        "ITI TF-3 §4.2.3, Table 4.3.1-3", patient::entries),
    row("patient-references", Must, QUERIES, Ask::PatientReferences, "the same documents are found by reference", "ObjectRefs with the same ids",
        "ITI TF-2 §3.18.4.1.2.2", query::same_references),
    row("patient-by-id", Must, QUERIES, Ask::PatientById, "a document found is found by its id", "that DocumentEntry",
        "ITI TF-2 §3.18.4.1.2.3.7.5", patient::by_id),
    row("patient-document", Must, QUERIES, Ask::PatientRetrieve, "a document is what was registered", "hash and size of its metadata",
        "ITI TF-3 §4.2.3.2", patient::document),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_names_that_are_there_once() {
        let ids: std::collections::HashSet<_> = CHECKS.iter().map(|check| check.id).collect();
        assert_eq!(ids.len(), CHECKS.len());
        for id in ids {
            assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{id}");
        }
    }

    #[test]
    fn every_service_has_its_checks_and_every_row_its_section() {
        for service in Service::ALL {
            assert!(CHECKS.iter().filter(|check| check.services.contains(&service)).count() >= 30, "{service:?}");
        }
        for check in CHECKS {
            assert!(!check.title.is_empty() && !check.expects.is_empty() && !check.section.is_empty(), "{}", check.id);
        }
    }
}
