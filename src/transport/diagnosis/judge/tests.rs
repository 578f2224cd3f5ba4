use bytes::Bytes;
use http::Uri;

use super::*;
use crate::model::ids::HomeCommunityId;
use crate::model::vocabulary::ns;
use crate::transaction::TransactionId;
use crate::transport::diagnosis::tests::subject;
use crate::transport::peer::profile::PeerProfile;

fn question(ask: Ask) -> Question {
    let id = if ask == Ask::Query { TransactionId::CrossGatewayQuery } else { TransactionId::CrossGatewayRetrieve };
    Question::new(&subject(), ask, Transaction::of(id)).unwrap()
}

/// The same, asked in SOAP 1.1.
fn old_question(ask: Ask) -> Question {
    let subject = Subject { profile: PeerProfile::known()[1].clone(), ..subject() };
    Question::new(&subject, ask, Transaction::of(TransactionId::CrossGatewayQuery)).unwrap()
}

fn heard(status: u16, content_type: &str, content: Content) -> Heard {
    Heard { status, content_type: content_type.into(), location: None, who: vec![], date: None, content }
}

fn page(status: u16, text: &str) -> Heard {
    heard(status, "text/html", Content::Page(text.as_bytes().to_vec()))
}

fn message(text: &str) -> Heard {
    let root = Bytes::copy_from_slice(text.as_bytes());
    heard(200, "application/soap+xml", Content::Message { root, multipart: false, rest: Ok(()) })
}

/// An answer with these headers and this body.
fn envelope(soap: &str, headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{soap}' xmlns:a='{}'><s:Header>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>",
        ns::WSA
    )
}

fn found(status: &str, errors: &str) -> String {
    format!(
        "<q:AdhocQueryResponse xmlns:q='{}' xmlns:r='{}' status='urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:{status}'>\
         {errors}<x:RegistryObjectList xmlns:x='{}'/></q:AdhocQueryResponse>",
        ns::QUERY,
        ns::RS,
        ns::RIM
    )
}

fn error(code: &str) -> String {
    format!(
        "<r:RegistryErrorList><r:RegistryError errorCode='{code}' codeContext='why' \
         severity='urn:oasis:names:tc:ebxml-regrep:ErrorSeverityType:Error'/></r:RegistryErrorList>"
    )
}

fn headers(question: &Question) -> String {
    format!(
        "<a:Action>{}</a:Action><a:RelatesTo>{}</a:RelatesTo>",
        question.transaction.response_action, question.message_id
    )
}

/// The steps with their states, of an answer to a query.
fn states(text: impl FnOnce(&Question) -> String) -> Vec<(Step, Status)> {
    let question = question(Ask::Query);
    let text = text(&question);
    answer(&subject(), &question, &message(&text)).into_iter().map(|finding| (finding.step, finding.status)).collect()
}

fn last(heard: &Heard) -> Finding {
    answer(&subject(), &question(Ask::Query), heard).pop().unwrap()
}

fn fails(finding: &Finding, step: Step, what: &str, fix: &str) {
    assert_eq!((finding.step, finding.status), (step, Status::Fail), "{finding:?}");
    assert!(finding.what.contains(what), "{what} is not in {finding:?}");
    assert!(finding.fix.as_deref().is_some_and(|said| said.contains(fix)), "{fix} is not in {finding:?}");
}

#[test]
fn a_good_answer_is_good_in_every_step() {
    let states = states(|question| envelope(ns::SOAP12, &headers(question), &found("Success", "")));
    let steps = [Step::Http, Step::Packaging, Step::Soap, Step::Addressing, Step::Action, Step::Response];
    assert_eq!(states, steps.map(|step| (step, Status::Ok)));
}

#[test]
fn a_failure_is_an_answer() {
    for (code, status) in [("XDSUnknownRepositoryId", Status::Ok), ("XDSRegistryBusy", Status::Note)] {
        let states = states(|question| envelope(ns::SOAP12, &headers(question), &found("Failure", &error(code))));
        assert_eq!(states.last(), Some(&(Step::Response, status)), "{code}");
    }
}

#[test]
fn what_is_tolerated_is_noted() {
    let bare = states(|_| envelope(ns::SOAP12, "", &found("Success", "")));
    let noted: Vec<Step> = bare.iter().filter(|(_, status)| *status == Status::Note).map(|(step, _)| *step).collect();
    assert_eq!(noted, [Step::Addressing, Step::Action]);
    let old = states(|question| envelope(ns::SOAP11, &headers(question), &found("Success", "")));
    assert!(old.contains(&(Step::Soap, Status::Note)), "{old:?}");
    // Who is asked in SOAP 1.1 answers in it.
    let question = old_question(Ask::Query);
    let findings =
        answer(&subject(), &question, &message(&envelope(ns::SOAP11, &headers(&question), &found("Success", ""))));
    assert!(findings.iter().all(|finding| finding.status == Status::Ok), "{findings:?}");
    let fault = "<s:Fault><faultcode>s:Client</faultcode><faultstring>no</faultstring></s:Fault>";
    let last = answer(&subject(), &question, &message(&envelope(ns::SOAP11, "", fault))).pop().unwrap();
    fails(&last, Step::Soap, "a fault: ", "operators");
}

#[test]
fn an_answer_to_another_question_is_none() {
    let other = |_: &Question| envelope(ns::SOAP12, "<a:RelatesTo>urn:uuid:1</a:RelatesTo>", &found("Success", ""));
    assert_eq!(states(other).last(), Some(&(Step::Addressing, Status::Fail)));
}

#[test]
fn statuses_and_pages_are_told_by_their_cause() {
    let redirect = Heard { location: Some("https://login.example/".into()), ..page(302, "") };
    fails(&last(&redirect), Step::Http, "redirects to https://login.example/", "final address");
    fails(&last(&page(404, "<html><head><title>Not\nFound</title>")), Step::Http, "titled \"Not Found\"", "the path");
    fails(&last(&page(200, "<html>Your support ID is 7")), Step::Http, "firewall for web applications", "proxies");
    fails(&last(&page(403, "")), Step::Http, "forbids", "allow our");
    fails(&last(&page(415, "")), Step::Http, "application/soap+xml", "SOAP 1.1");
    fails(&last(&page(502, "")), Step::Http, "does not answer", "load balancer");
    fails(&last(&page(418, "")), Step::Http, "HTTP 418", "proxies");
    fails(&last(&message("")), Step::Http, "nothing with it", "");
    let accepted = Heard { status: 202, ..message("") };
    fails(&last(&accepted), Step::Http, "HTTP 202", "asynchronously");
    let mislabelled = heard(200, "application/xml", Content::Page(envelope(ns::SOAP12, "", "<x/>").into_bytes()));
    fails(&last(&mislabelled), Step::Http, "application/xml", "labels");
}

#[test]
fn messages_that_are_none() {
    fails(&last(&message("<html>no gateway<br/>")), Step::Soap, "labelled as SOAP", "proxy");
    fails(&last(&message("<html/>")), Step::Soap, "no SOAP envelope", "breaks SOAP");
    fails(&last(&message(&envelope("urn:old", "", "<x/>"))), Step::Soap, "no SOAP version", "breaks SOAP");
    let question = question(Ask::Query);
    let other = message(&envelope(ns::SOAP12, &headers(&question), "<x/>"));
    let finding = answer(&subject(), &question, &other).pop().unwrap();
    fails(&finding, Step::Response, "x is no answer to ITI-38", "another service");
}

#[test]
fn packages_are_judged_by_what_was_asked() {
    let question = question(Ask::Retrieve);
    let body = format!(
        "<d:RetrieveDocumentSetResponse xmlns:d='{}' xmlns:r='{}'><r:RegistryResponse \
         status='urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Failure'>{}</r:RegistryResponse>\
         </d:RetrieveDocumentSetResponse>",
        ns::XDSB,
        ns::RS,
        error("XDSUnknownRepositoryId")
    );
    let text = envelope(ns::SOAP12, &headers(&question), &body);
    let with = |multipart, rest| {
        let root = Bytes::copy_from_slice(text.as_bytes());
        let heard = heard(200, "multipart/related", Content::Message { root, multipart, rest });
        answer(&subject(), &question, &heard)
    };
    assert!(with(true, Ok(())).iter().all(|finding| finding.status == Status::Ok));
    let simple = with(false, Ok(()));
    assert_eq!((simple[1].step, simple[1].status), (Step::Packaging, Status::Note));
    fails(with(true, Err("no final boundary".into())).last().unwrap(), Step::Packaging, "no final boundary", "MTOM");
    let broken =
        heard(200, "multipart/related", Content::Broken(MessageError::Package("the package has no root part")));
    fails(&last(&broken), Step::Packaging, "no root part", "boundary");
    let slow = heard(200, "application/soap+xml", Content::Broken(MessageError::TooSlow));
    fails(&last(&slow), Step::Http, "did not come to its end", "cuts answers off");
}

#[test]
fn faults_fail_at_the_step_they_are_about() {
    let fault = |soap: &str, body: &str| last(&message(&envelope(soap, "", body)));
    let twelve = |code: &str, subcode: &str| {
        format!(
            "<s:Fault><s:Code><s:Value>s:{code}</s:Value><s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>\
             <s:Reason><s:Text xml:lang='en'>no</s:Text></s:Reason></s:Fault>"
        )
    };
    let eleven = |code: &str| format!("<s:Fault><faultcode>{code}</faultcode><faultstring>no</faultstring></s:Fault>");
    fails(&fault(ns::SOAP11, &eleven("s:VersionMismatch")), Step::Soap, "SOAP 1.1 only", "SOAP 1.2");
    fails(&fault(ns::SOAP11, &eleven("s:Client")), Step::Soap, "a SOAP 1.1 fault", "SOAP 1.2");
    fails(&fault(ns::SOAP11, &eleven("a:ActionNotSupported")), Step::Action, "does not offer", "--only");
    fails(
        &fault(ns::SOAP12, &twelve("Sender", "a:ActionNotSupported")),
        Step::Action,
        "a:ActionNotSupported",
        "the path",
    );
    fails(
        &fault(ns::SOAP12, &twelve("Sender", "wsse:InvalidSecurity")),
        Step::Response,
        "XUA",
        "none was sent this time",
    );
    fails(&fault(ns::SOAP12, &twelve("Receiver", "x")), Step::Response, "trouble of its own", "log");
}

#[test]
fn the_home_is_compared_where_it_is_told() {
    let home = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
    let subject = Subject { home: Some(home), ..subject() };
    let question = question(Ask::Query);
    for (said, errors, status) in
        [("Failure", error("XDSUnknownCommunity"), Status::Fail), ("Success", String::new(), Status::Ok)]
    {
        let text = envelope(ns::SOAP12, &headers(&question), &found(said, &errors));
        let found = answer(&subject, &question, &message(&text));
        let last = found.last().unwrap();
        assert_eq!((last.step, last.status), (Step::Home, status), "{found:?}");
    }
}

#[test]
fn silence_has_its_causes() {
    let subject = Subject { uri: Uri::from_static("https://peer.example/x"), ..subject() };
    fails(&silence(&subject, &Unheard::Late), Step::Http, "500 ms", "--timeout");
    fails(&silence(&subject, &Unheard::Closed), Step::Http, "closed", "load balancer");
}
