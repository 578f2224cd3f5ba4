//! Each check against an answer that keeps it and one that breaks it: a row of the table without both is a
//! test that fails. What a socket is needed for is shown in `tests/it/probe` as well.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use jiff::Timestamp;

use super::{Case, Judged, Verdict};
use crate::model::ids::{EntryUuid, HomeCommunityId, PatientId, RepositoryUniqueId};
use crate::model::packed::PackedObject;
use crate::model::response::QueryResponse;
use crate::model::stored_query::ReturnType;
use crate::model::vocabulary::ns;
use crate::probe::answer::Answer;
use crate::probe::ask::{self, Ask};
use crate::probe::hello::Greeting;
use crate::probe::line::{Back, Exchanged, Step, TlsFacts, Unanswered};
use crate::probe::table::{CHECKS, Check};
use crate::probe::{Knowledge, Settings};
use crate::simulate::records;
use crate::store::Content;
use crate::transaction::Service;
use crate::transport::certificates::DevelopmentAuthority;
use crate::wire::ebrs;

const HOME: &str = "urn:oid:2.999.1";
const REPOSITORY: &str = "2.999.2";
const PATIENT: &str = "P-1^^^&2.999.3&ISO";
const LETTER: &[u8] = b"a letter to be compared";

// --- answers ---------------------------------------------------------------------------------

/// An answer in the making. In its body `{id}` is the request's MessageID, `{action}` that of the response,
/// `{unique}` the document that was asked for.
#[derive(Clone)]
struct Made {
    status: u16,
    content_type: String,
    encoding: Option<String>,
    body: String,
    tls: Option<TlsFacts>,
}

/// What comes back.
enum Seen {
    Answer(Box<Made>),
    Silence(Step),
    Greeting(Greeting),
}

impl From<Made> for Seen {
    fn from(made: Made) -> Self {
        Self::Answer(Box::new(made))
    }
}

impl Made {
    fn new(status: u16, content_type: &str, body: impl Into<String>) -> Self {
        Self { status, content_type: content_type.into(), encoding: None, body: body.into(), tls: None }
    }

    /// With one text in place of another, in its body or its Content-Type.
    fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.body.contains(from) || self.content_type.contains(from), "{from} is not in {}", self.body);
        self.body = self.body.replace(from, to);
        self.content_type = self.content_type.replace(from, to);
        self
    }

    fn without(self, text: &str) -> Self {
        self.with(text, "")
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn certified(self, days: u32) -> Self {
        let authority = DevelopmentAuthority::new("North", Timestamp::now()).unwrap().with_valid_days(days);
        let certificate = Some(authority.issue_server(&["peer.example"], &[], "Server").unwrap().certificate_der);
        Self { tls: Some(TlsFacts { version: "TLS 1.3", is_current: true, certificate }), ..self }
    }
}

const HEADERS: &str = "<a:Action s:mustUnderstand='true'>{action}</a:Action><a:RelatesTo>{id}</a:RelatesTo>\
                       <a:MessageID>urn:uuid:of-its-own</a:MessageID>";

fn envelope(headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{}' xmlns:a='{}' xmlns:q='{}' xmlns:m='{}' xmlns:r='{}' xmlns:d='{}'>\
         <s:Header>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>",
        ns::SOAP12,
        ns::WSA,
        ns::QUERY,
        ns::RIM,
        ns::RS,
        ns::XDSB
    )
}

fn soap(body: &str) -> Made {
    Made::new(200, "application/soap+xml; charset=UTF-8", envelope(HEADERS, body))
}

fn status(name: &str) -> String {
    let namespace = if name == "PartialSuccess" { "urn:ihe:iti:2007" } else { "urn:oasis:names:tc:ebxml-regrep" };
    format!("{namespace}:ResponseStatusType:{name}")
}

fn errors(code: &str) -> String {
    const ERROR: &str = "urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error";
    format!(
        "<r:RegistryErrorList highestSeverity='{ERROR}'><r:RegistryError errorCode='{code}' codeContext='why' \
         severity='{ERROR}' location='{HOME}'/></r:RegistryErrorList>"
    )
}

fn query(name: &str, errors: &str, objects: &str) -> Made {
    let status = status(name);
    soap(&format!(
        "<q:AdhocQueryResponse status='{status}'>{errors}<m:RegistryObjectList>{objects}</m:RegistryObjectList>\
         </q:AdhocQueryResponse>"
    ))
}

fn nothing() -> Made {
    query("Success", "", "")
}

fn failure(code: &str) -> Made {
    query("Failure", &errors(code), "")
}

fn fault(code: &str, subcode: &str) -> Made {
    let headers = HEADERS.replace("{action}", "http://www.w3.org/2005/08/addressing/fault");
    let subcode = match subcode {
        "" => String::new(),
        subcode => format!("<s:Subcode><s:Value>a:{subcode}</s:Value></s:Subcode>"),
    };
    let body = format!(
        "<s:Fault><s:Code><s:Value>s:{code}</s:Value>{subcode}</s:Code><s:Reason><s:Text xml:lang='en'>no</s:Text>\
         </s:Reason></s:Fault>"
    );
    Made::new(400, "application/soap+xml; charset=UTF-8", envelope(&headers, &body))
}

fn delivered(name: &str, errors: &str, documents: &str) -> String {
    format!(
        "<d:RetrieveDocumentSetResponse><r:RegistryResponse status='{}'>{errors}</r:RegistryResponse>{documents}\
         </d:RetrieveDocumentSetResponse>",
        status(name)
    )
}

fn document(octets: &[u8]) -> String {
    let content = base64::engine::general_purpose::STANDARD.encode(octets);
    format!(
        "<d:DocumentResponse><d:HomeCommunityId>{HOME}</d:HomeCommunityId><d:RepositoryUniqueId>{REPOSITORY}\
         </d:RepositoryUniqueId><d:DocumentUniqueId>2.999.4.1</d:DocumentUniqueId><d:mimeType>text/plain</d:mimeType>\
         <d:Document>{content}</d:Document></d:DocumentResponse>"
    )
}

fn package(body: &str) -> Made {
    let media = "multipart/related; boundary=b; type=\"application/xop+xml\"; start=\"<r@x>\"; \
                 start-info=\"application/soap+xml\"";
    let head = "Content-Type: application/xop+xml; charset=UTF-8; type=\"application/soap+xml\"\r\nContent-ID: <r@x>";
    Made::new(200, media, format!("--b\r\n{head}\r\n\r\n{}\r\n--b--\r\n", envelope(HEADERS, body)))
}

fn undelivered(code: &str) -> Made {
    package(&delivered("Failure", &errors(code), ""))
}

/// The patient's one document, or a reference to it.
fn found(kind: ReturnType) -> Made {
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, LETTER);
    let content =
        Content { sha256: [0; 32], sha1: sha1.as_ref().try_into().unwrap(), crc32: 0, size: LETTER.len() as u64 };
    let document = records::Document {
        unique_id: "2.999.4.1".into(),
        mime_type: "text/plain",
        stored: Some((content, REPOSITORY.into())),
    };
    let entry = records::entry(EntryUuid([7; 16]).into(), PATIENT, &document, 0);
    let mut response = QueryResponse::success(vec![PackedObject::pack(&entry)]);
    response.home = Some(HomeCommunityId::parse(HOME).unwrap());
    let mut body = Vec::new();
    ebrs::write_query_response(&mut body, &response, kind).unwrap();
    soap(std::str::from_utf8(&body).unwrap())
}

// --- cases -----------------------------------------------------------------------------------

fn exchanged(seen: &Seen, asked: &ask::Asked, knowledge: &Knowledge) -> Exchanged {
    let result = match seen {
        Seen::Silence(step) => Err(Unanswered { step: *step, cause: "it was closed".into() }),
        Seen::Greeting(Greeting::Alert(number)) => Ok(Back::Greeting(Greeting::Alert(*number))),
        Seen::Greeting(Greeting::Old(minor)) => Ok(Back::Greeting(Greeting::Old(*minor))),
        Seen::Greeting(_) => Ok(Back::Greeting(Greeting::Closed)),
        Seen::Answer(made) => {
            let body = made.body.replace("{id}", &asked.message_id);
            let body = body.replace("{action}", asked.transaction.response_action);
            let body = body.replace("{unique}", &knowledge.made.unique_id);
            let (content_type, encoding) = (made.content_type.clone(), made.encoding.clone());
            Ok(Back::Answer(Box::new(Answer::read(made.status, content_type, encoding, body.into(), made.tls.clone()))))
        }
    };
    Exchanged { result, elapsed: Duration::ZERO }
}

/// A server of which everything is known that can be; the patient's documents by that answer.
fn knowledge(service: Service, find: &Made) -> Knowledge {
    let mut knowledge = Knowledge::new(Settings {
        uri: "https://peer.example/services/x".parse().unwrap(),
        retrieve_uri: None,
        service,
        tls: None,
        security: None,
        home: Some(HomeCommunityId::parse(HOME).unwrap()),
        repository: Some(RepositoryUniqueId::parse(REPOSITORY).unwrap()),
        patient: Some(PatientId::parse(PATIENT).unwrap()),
        only: Vec::new(),
        pause: Duration::ZERO,
        timeout: Duration::ZERO,
        max_requests: 1,
    });
    knowledge.reached = true;
    if service != Service::Repository {
        let (asked, _) = ask::prepare(Ask::PatientFind, &knowledge).unwrap();
        let exchanged = exchanged(&find.clone().into(), &asked, &knowledge);
        knowledge.learn(Ask::PatientFind, exchanged.answer().unwrap());
    }
    knowledge
}

fn check(id: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"))
}

/// What a check says of an answer by that service, whose find was answered so.
fn judged_at(service: Service, id: &str, find: &Made, seen: &Seen) -> Judged {
    let (check, knowledge) = (check(id), knowledge(service, find));
    let (asked, _) = ask::prepare(check.ask.at(service), &knowledge).unwrap_or_else(|why| panic!("{id}: {why}"));
    let exchanged = exchanged(seen, &asked, &knowledge);
    (check.judge)(&Case { knowledge: &knowledge, asked: &asked, exchanged: &exchanged })
}

fn judged(id: &str, seen: &Seen) -> Judged {
    judged_at(*check(id).services.last().unwrap(), id, &found(ReturnType::LeafClass), seen)
}

/// A check, an answer that keeps it, one that breaks it, and what is said of that.
type Row = (&'static str, Seen, Seen, &'static str);

fn row(id: &'static str, good: impl Into<Seen>, bad: impl Into<Seen>, said: &'static str) -> Row {
    (id, good.into(), bad.into(), said)
}

fn of_connections() -> Vec<Row> {
    use Seen::{Greeting as Greets, Silence};
    let compressed = Made { encoding: Some("gzip".into()), ..nothing() };
    let length_wanted = Made::new(411, "text/plain", "");
    let wsdl = Made::new(200, "text/xml", "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'/>");
    vec![
        row("reached", nothing(), Silence(Step::Connect), "no connection: it was closed"),
        row("keep-alive", nothing(), Silence(Step::Kept), "it was closed"),
        row("tls-version", nothing().certified(300), nothing(), "plain http"),
        row("tls-old-refused", Greets(Greeting::Alert(70)), Greets(Greeting::Old(2)), "TLS 1.1"),
        row("tls-certificate-expiry", nothing().certified(300), nothing().certified(5), "it expires in"),
        row("tls-client-certificate", Silence(Step::Handshake), nothing(), "answered: HTTP 200: Success"),
        row("http-not-compressed", nothing(), compressed, "Content-Encoding gzip"),
        row("http-chunked", nothing(), length_wanted.clone(), "HTTP 411"),
        row("http-media-type", Made::new(415, "", ""), nothing(), "answered"),
        row("http-get", Made::new(405, "", ""), nothing(), "answered"),
        row("http-wsdl", wsdl.clone(), wsdl.status(404), "HTTP 404"),
        row("http-status", nothing(), nothing().status(500), "HTTP 500"),
    ]
}

fn of_envelopes() -> Vec<Row> {
    let marked = " s:mustUnderstand='true'";
    let own = "<a:MessageID>urn:uuid:of-its-own</a:MessageID>";
    let relates = "<a:RelatesTo>{id}</a:RelatesTo>";
    let unknown = || fault("Sender", "ActionNotSupported");
    vec![
        row("soap-version", nothing(), nothing().with(ns::SOAP12, ns::SOAP11), "SOAP 1.1"),
        row("soap-envelope", nothing(), nothing().with("</s:Body>", "<x/></s:Body>"), "more than one element"),
        row("soap-content-type", nothing(), nothing().with("application/soap+xml", "text/xml"), "text/xml"),
        row("wsa-action", nothing(), nothing().with("{action}", "urn:x"), "urn:x"),
        row("wsa-action-marked", nothing(), nothing().without(marked), "no mustUnderstand"),
        row("wsa-relates-to", nothing(), nothing().with("{id}", "urn:x"), "another id"),
        row("wsa-message-id", nothing(), nothing().without(own), "no wsa:MessageID"),
        row("wsa-unknown-action", unknown(), nothing(), "Success"),
        row("fault-status", unknown(), unknown().status(200), "HTTP 200"),
        row("fault-action", unknown(), unknown().with("/addressing/fault", "/addressing/x"), "/addressing/x"),
        row("fault-relates-to", unknown(), unknown().without(relates), "no wsa:RelatesTo"),
        row("wsa-missing-action", fault("Sender", "MessageAddressingHeaderRequired"), nothing(), "Success"),
        row("wsa-repeated-action", fault("Sender", "InvalidAddressingHeader"), nothing(), "Success"),
        row("wsa-action-parameter", nothing(), fault("Sender", "ActionMismatch"), "a fault Sender/ActionMismatch"),
        row("soap-mandatory-header", fault("MustUnderstand", "").status(500), nothing(), "Success"),
        row("soap-optional-header", nothing(), fault("MustUnderstand", "").status(500), "a fault MustUnderstand"),
        row("soap-other-body", fault("Sender", ""), nothing(), "Success"),
        row("soap-empty-body", fault("Sender", ""), nothing(), "Success"),
        row("soap-doctype", fault("Sender", ""), nothing(), "answered"),
        row("soap-broken", fault("Sender", ""), nothing(), "answered"),
        row("soap-11", fault("VersionMismatch", "").status(500), nothing(), "answered in another version"),
    ]
}

fn of_queries() -> Vec<Row> {
    let list = "<m:RegistryObjectList></m:RegistryObjectList>";
    let unnoticed = || query("Success", &errors("XDSRegistryError"), "");
    let odd = |made: Made| made.with("<q:AdhocQueryResponse ", "<q:AdhocQueryResponse took='3' ");
    let unknown = || failure("XDSUnknownStoredQuery");
    let missing = || failure("XDSStoredQueryMissingParam");
    let highest = "highestSeverity='urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error";
    let warning = "highestSeverity='urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning";
    let reference = format!("<m:ObjectRef id='urn:uuid:00000000-0000-4000-8000-000000000001' home='{HOME}'/>");
    vec![
        row("response-status", nothing(), nothing().with(&status("Success"), "Success"), "Success"),
        row("response-status-fits", nothing(), unnoticed(), "1 errors"),
        row("response-schema", nothing(), odd(nothing()), "no attribute took"),
        row("query-missing-home", failure("XDSMissingHomeCommunityId"), nothing(), "Success"),
        row("query-error-location", unknown(), unknown().with("location='urn:oid:", "location='x:"), "not located"),
        row("query-unknown-home", failure("XDSUnknownCommunity"), unknown(), "XDSUnknownStoredQuery"),
        row("query-by-unique-id", nothing(), query("Success", "", &reference), "1 objects"),
        row("query-object-list", nothing(), nothing().without(list), "no rim:RegistryObjectList"),
        row("query-object-ref", nothing(), failure("XDSRegistryError"), "XDSRegistryError"),
        row("query-unknown-id", unknown(), failure("XDSRegistryError"), "XDSRegistryError"),
        row("query-failure-status", unknown(), query("Failure", "", ""), "0 errors"),
        row("query-failure-errors", unknown(), unknown().without(" codeContext='why'"), "no codeContext"),
        row("query-failure-highest", unknown(), unknown().with(highest, warning), "Warning"),
        row("query-failure-schema", unknown(), odd(unknown()), "no attribute took"),
        row("query-failure-list", unknown(), unknown().without(list), "no rim:RegistryObjectList"),
        row("query-missing-patient", missing(), nothing(), "Success"),
        row("query-missing-id", missing(), nothing(), "Success"),
        row("query-two-ids", failure("XDSStoredQueryParamNumber"), nothing(), "Success"),
        row("query-bad-syntax", failure("XDSRegistryError"), nothing(), "Success"),
        row("query-unknown-parameter", nothing(), failure("XDSRegistryError"), "XDSRegistryError"),
        row("query-unknown-patient", nothing(), query("PartialSuccess", "", ""), "PartialSuccess"),
    ]
}

fn of_retrieves() -> Vec<Row> {
    let unknown = || undelivered("XDSUnknownRepositoryId");
    let delivers = || package(&delivered("Success", "", &document(LETTER)));
    let silent = || package(&delivered("Success", "", ""));
    let odd = unknown().with("<r:RegistryResponse ", "<r:RegistryResponse took='3' ");
    let highest = "highestSeverity='urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error";
    let warning = "highestSeverity='urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Warning";
    let located = unknown().with(&format!("location='{HOME}"), "location='{unique}");
    let simple = soap(&delivered("Failure", &errors("XDSUnknownRepositoryId"), ""));
    vec![
        row("retrieve-package", unknown(), unknown().without("--b--\r\n"), ""),
        row(
            "retrieve-type",
            unknown(),
            unknown().with("; type=\"application/xop+xml\"", "; type=text/xml"),
            "text/xml",
        ),
        row("retrieve-start", unknown(), unknown().with("start=\"<r@x>", "start=\"<s@x>"), "no part's Content-ID"),
        row(
            "retrieve-start-info",
            unknown(),
            unknown().without("; start-info=\"application/soap+xml\""),
            "no parameter start-info",
        ),
        row("retrieve-root-part", unknown(), unknown().with("Type: application/xop+xml", "Type: text/xml"), "text/xml"),
        row("retrieve-action", unknown(), unknown().with("{action}", "urn:x"), "urn:x"),
        row("retrieve-relates-to", unknown(), unknown().with("{id}", "urn:x"), "another id"),
        row("retrieve-schema", unknown(), odd, "no attribute took"),
        row("retrieve-status-fits", unknown(), package(&delivered("Failure", "", "")), "0 errors"),
        row("retrieve-errors", unknown(), unknown().without(" codeContext='why'"), "no codeContext"),
        row("retrieve-highest", unknown(), unknown().with(highest, warning), "Warning"),
        row("retrieve-brings-nothing", unknown(), delivers(), "1 document for an id that is made up"),
        row("retrieve-unknown-repository", unknown(), undelivered("XDSRepositoryError"), "XDSRepositoryError"),
        row("retrieve-unknown-document", undelivered("XDSDocumentUniqueIdError"), unknown(), "XDSUnknownRepositoryId"),
        row("retrieve-error-document", located.clone(), located.without(" location='{unique}'"), "no location"),
        row("retrieve-error-home", unknown(), unknown().with("location='urn:oid:", "location='x:"), "not located"),
        row("retrieve-missing-home", undelivered("XDSMissingHomeCommunityId"), unknown(), "XDSUnknownRepositoryId"),
        row("retrieve-unknown-home", undelivered("XDSUnknownCommunity"), silent(), "Success"),
        row("retrieve-missing-id", undelivered("XDSRepositoryError"), silent(), "Success"),
        row("retrieve-simple", simple, Made::new(415, "text/plain", ""), "HTTP 415"),
    ]
}

fn of_patients() -> Vec<Row> {
    let whole = || found(ReturnType::LeafClass);
    let referred = || found(ReturnType::ObjectRef);
    let letter = |octets| package(&delivered("Success", "", &document(octets)));
    vec![
        row("patient-found", whole(), failure("XDSRegistryError"), "XDSRegistryError"),
        row("patient-schema", whole(), whole().with("<rim:ExtrinsicObject ", "<rim:ExtrinsicObject x='y' "), "x"),
        row("patient-as-asked", whole(), whole().with("Type:Approved", "Type:Deprecated"), "not Approved"),
        row("patient-home", whole(), whole().without(&format!(" home=\"{HOME}\"")), "has no home"),
        row("patient-own", whole(), whole().with("P-1^", "P-2^"), "of another patient"),
        row("patient-metadata", whole(), whole().with("\"creationTime\"", "\"urn:x:time\""), "finding"),
        row("patient-references", referred(), whole(), "a whole object"),
        row("patient-by-id", whole(), referred(), "no DocumentEntry among them"),
        row("patient-document", letter(LETTER), letter(b"a letter of other words"), "hash"),
    ]
}

#[test]
fn every_check_is_kept_by_one_answer_and_broken_by_another() {
    let rows = [of_connections(), of_envelopes(), of_queries(), of_retrieves(), of_patients()];
    let (mut shown, mut wrong) = (BTreeSet::new(), Vec::new());
    for (id, good, bad, said) in rows.into_iter().flatten() {
        let (kept, broken) = (judged(id, &good), judged(id, &bad));
        if kept.is_err() || !matches!(&broken, Err(Verdict::Bad(seen)) if seen.contains(said)) {
            wrong.push(format!("{id}: {kept:?}, {broken:?}"));
        }
        assert!(shown.insert(id), "{id} twice");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let all: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), Vec::<&&str>::new(), "checks that nothing is seen to break");
}

// --- what passes for something that it is not ------------------------------------------------

fn is_bad(judged: &Judged) -> bool {
    matches!(judged, Err(Verdict::Bad(_)))
}

fn is_weak(judged: &Judged) -> bool {
    matches!(judged, Err(Verdict::Weak(_)))
}

/// A registry that answers with a reference where it is asked for whole objects has shown no metadata.
#[test]
fn references_alone_are_no_metadata() {
    let alone = found(ReturnType::ObjectRef);
    for id in ["patient-as-asked", "patient-own", "patient-metadata"] {
        let judged = judged(id, &alone.clone().into());
        assert!(is_bad(&judged), "{id}: {judged:?}");
    }
    let compared = judged_at(Service::Registry, "patient-references", &alone, &alone.clone().into());
    assert!(matches!(compared, Err(Verdict::Skip(_))), "{compared:?}");
    assert!(judged("patient-found", &alone.into()).unwrap().contains("0 documents"));
    // Beside what was asked for they may stand.
    let reference = "<rim:ObjectRef id=\"urn:uuid:00000000-0000-4000-8000-000000000001\" home=\"urn:oid:2.999.1\"/>";
    let beside =
        found(ReturnType::LeafClass).with("<rim:RegistryObjectList>", &format!("<rim:RegistryObjectList>{reference}"));
    for id in ["patient-as-asked", "patient-own", "patient-metadata", "patient-by-id"] {
        assert!(judged(id, &beside.clone().into()).is_ok(), "{id}");
    }
    assert_eq!(judged("patient-as-asked", &beside.clone().into()).unwrap(), "1 document, all Approved");
    let referred = found(ReturnType::ObjectRef).into();
    assert!(judged_at(Service::Registry, "patient-references", &beside, &referred).is_ok());
}

/// What a status says comes before what stands beside it.
#[test]
fn the_status_is_looked_at() {
    let none = nothing();
    let nobody = |name: &str, code: &str| {
        let errors = if code.is_empty() { String::new() } else { errors(code) };
        judged("query-unknown-patient", &query(name, &errors, "").into())
    };
    assert!(nobody("Success", "").is_ok() && nobody("Failure", "XDSUnknownPatientId").is_ok());
    assert!(is_bad(&nobody("PartialSuccess", "")) && is_bad(&nobody("Failure", "XDSRegistryError")));
    assert!(is_weak(&nobody("PartialSuccess", "XDSUnavailableCommunity")));
    let nowhere = judged("query-by-unique-id", &query("PartialSuccess", "", "").into());
    assert!(is_bad(&nowhere), "{nowhere:?}");

    let whole = found(ReturnType::LeafClass);
    let compared = |find: &Made, seen: Made| judged_at(Service::Registry, "patient-references", find, &seen.into());
    for find in [&none, &whole] {
        let failed = compared(find, failure("XDSRegistryError"));
        assert!(is_bad(&failed), "{failed:?}");
    }
    assert!(compared(&none, nothing()).is_ok());
    assert!(is_weak(&compared(&whole, nothing())), "documents come and go");
    assert!(is_weak(&compared(&none, query("PartialSuccess", &errors("XDSUnavailableCommunity"), ""))));

    let by_id = judged("patient-by-id", &whole.clone().with(&status("Success"), &status("Failure")).into());
    assert!(is_bad(&by_id), "{by_id:?}");
    let failed = package(&delivered("Failure", &errors("XDSRepositoryError"), &document(LETTER)));
    assert!(is_bad(&judged("patient-document", &failed.into())));
}

/// A Responding Gateway may keep its failures to itself (ITI TF-2 §3.39.4.1.3); nobody else may.
#[test]
fn a_responding_gateway_may_say_less() {
    let silent = package(&delivered("Success", "", ""));
    let find = found(ReturnType::LeafClass);
    for id in ["retrieve-unknown-repository", "retrieve-unknown-document"] {
        for service in [Service::RespondingGateway, Service::InitiatingGateway, Service::Repository] {
            let judged = judged_at(service, id, &find, &silent.clone().into());
            let may = service == Service::RespondingGateway;
            assert!(if may { is_weak(&judged) } else { is_bad(&judged) }, "{id} at {service:?}: {judged:?}");
        }
    }
}
