//! What is to be made of an answer, step by step from HTTP to the registry response.

use super::exchange::{Content, Heard, Question, Unheard};
use super::fault::{Reading, ReceivedFault};
use super::{Ask, Finding, Status, Step, Subject, discovery, words};
use crate::model::response::{RegistryError, ResponseStatus};
use crate::transaction::{Packaging, Service, Transaction};
use crate::transport::message::MessageError;
use crate::wire::soap::{self, Envelope, Version};
use crate::wire::xml::{self, Document};
use crate::wire::{ebrs, hl7v3, xdsb};

/// RegistryErrors that are repeated.
const MOST_ERRORS: usize = 3;

/// What there is to do about answers that come another way than they were asked for.
const ELSEWHERE: &str = "as is configured (exchange): nothing more can be seen from here; ask with causeway find, and see \
                         causeway explain";

/// Nothing came.
pub(super) fn silence(subject: &Subject, unheard: &Unheard) -> Finding {
    match unheard {
        Unheard::Late => Finding::fail(
            Step::Http,
            format!("the peer took the question and did not answer within {} ms", subject.timeout.as_millis()),
            "give it more time with --timeout; if that does not help, what is behind its endpoint hangs: ask its \
             operators",
        ),
        Unheard::Closed => Finding::fail(
            Step::Http,
            "the peer closed the connection without an answer",
            if subject.is_plain() {
                "a proxy or load balancer without a service behind it does so, or a service that fell over: ask its \
                 operators for their log"
            } else {
                "a proxy or load balancer without a service behind it does so, a service that fell over, or one that \
                 looks at certificates itself and does not take ours: ask its operators for their log, and whether \
                 our certificate has to be entered in a list"
            },
        ),
        Unheard::Alert(alert) => Finding::fail(
            Step::Http,
            format!("the peer ended the connection with the TLS alert {alert:?}"),
            "ask its operators for the log of their TLS at this moment",
        ),
        Unheard::NotAgain(what) => Finding::fail(
            Step::Http,
            format!("the first question was answered, and no second connection came up for this one: {what}"),
            "the peer, or a load balancer before it, limits connections, or one of several servers behind it is in \
             trouble: ask its operators",
        ),
        Unheard::Other(what) => {
            Finding::fail(Step::Http, what.clone(), "check the port: another program listens there")
        }
    }
}

/// Findings in order, up to the first failure.
pub(super) fn answer(subject: &Subject, question: &Question, heard: &Heard) -> Vec<Finding> {
    let mut found = Vec::new();
    // Whatever fails is in the findings: nothing is left to say.
    let _ = judge(subject, question, heard, &mut found);
    found
}

/// A step that fails ends the way.
fn push(found: &mut Vec<Finding>, finding: Finding) -> Option<()> {
    let goes_on = finding.status != Status::Fail;
    found.push(finding);
    goes_on.then_some(())
}

fn judge(subject: &Subject, question: &Question, heard: &Heard, found: &mut Vec<Finding>) -> Option<()> {
    // All that an asynchronous answer has on the connection (table of ITI TF-2 §V.5).
    if subject.configured.asynchronous && heard.is_empty() && (200..300).contains(&heard.status) {
        let what = format!("HTTP {}, and nothing with it: it took the question, and answers elsewhere", heard.status);
        found.push(Finding::note(Step::Http, what, ELSEWHERE));
        return None;
    }
    push(found, http(subject, heard))?;
    let Content::Message { root, multipart, rest } = &heard.content else {
        if let Content::Broken(error) = &heard.content {
            push(found, broken(error))?;
        }
        return None;
    };
    // What comes is judged before how it came, for a fault may be about that.
    let text = match xml::decode(root) {
        Ok(text) => text,
        Err(error) => return push(found, no_envelope(&error.to_string())),
    };
    let document = match Document::parse(&text, xml::Limits::default()) {
        Ok(document) => document,
        Err(error) => return push(found, no_envelope(&error.to_string())),
    };
    let envelope = match soap::read(&document) {
        Ok(envelope) => envelope,
        Err(fault) => {
            found.push(packaging(question.transaction, *multipart, rest));
            let step = if fault.subcodes.first().is_some_and(|code| code.starts_with("wsa:")) {
                found.push(Finding::ok(Step::Soap, "an envelope"));
                Step::Addressing
            } else {
                Step::Soap
            };
            let fix = "the peer's answer breaks SOAP: show this to its operators";
            return push(found, Finding::fail(step, fault.reason, fix));
        }
    };
    let fault = ReceivedFault::read(envelope.payload);
    let reading: Option<(&ReceivedFault, &Reading)> = fault.as_ref().map(|fault| (fault, fault.reading()));
    let failed = |step: Step| {
        let (fault, reading) = reading.filter(|(_, reading)| reading.step == step)?;
        let mut fix = reading.fix.to_owned();
        if step == Step::Response && subject.security.is_none() && fix.contains("--assertion") {
            fix.push_str("; none was sent this time");
        }
        Some(Finding::fail(step, format!("{} ({})", reading.cause, fault.shown()), fix))
    };
    push(found, failed(Step::Packaging).unwrap_or_else(|| packaging(question.transaction, *multipart, rest)))?;
    push(
        found,
        failed(Step::Soap)
            .unwrap_or_else(|| version(&envelope, question.soap, reading.filter(|(_, reading)| !reading.is_telling()))),
    )?;
    if subject.configured.asynchronous
        && let Some((fault, _)) = reading.filter(|(_, reading)| reading.answers_elsewhere())
    {
        let what = format!("the peer answers to an address, not on the connection ({})", fault.shown());
        found.push(Finding::note(Step::Addressing, what, ELSEWHERE));
        return None;
    }
    let addressed = || addressing(&envelope, question, fault.is_some());
    push(found, failed(Step::Addressing).unwrap_or_else(addressed))?;
    push(found, failed(Step::Action).unwrap_or_else(|| action(&envelope, question.transaction, fault.is_some())))?;
    if let Some(finding) = failed(Step::Response) {
        return push(found, finding);
    }
    let read = match question.ask {
        Ask::Query => ebrs::read_query_response(envelope.payload)
            .map(|answer| registry(subject, answer.status, &answer.errors, answer.objects.len())),
        Ask::Retrieve => xdsb::read_retrieve_response(envelope.payload)
            .map(|(answer, documents)| registry(subject, answer.status, &answer.errors, documents.len())),
        Ask::Discover => hl7v3::read_response(envelope.payload)
            .map(|received| vec![discovery::finding(question.discovery.as_deref(), &received)]),
    };
    match read {
        Ok(findings) => findings.into_iter().try_for_each(|finding| push(found, finding)),
        Err(error) => push(
            found,
            Finding::fail(
                Step::Response,
                format!("{} is no answer to {}: {error}", envelope.payload.local(), question.transaction.number),
                "another service answers at this address, or its stack is set up for another version of the schema: \
                 show this to its operators",
            ),
        ),
    }
}

// --- HTTP ------------------------------------------------------------------------------------

/// What a status means where no SOAP message comes with it.
const STATUSES: &[(&[u16], &str, &str)] = &[
    (
        &[401],
        "it wants a password",
        "no IHE transaction has HTTP passwords: a portal or proxy answers in the service's place",
    ),
    (
        &[403],
        "it forbids that",
        "the peer, or a firewall for web applications before it, does not let us: ask its operators to allow our \
         certificate and address at this path",
    ),
    (
        &[404, 410],
        "there is nothing at that path",
        "check the path: ask the peer's operators for the service's whole URL",
    ),
    (&[405, 501], "it takes no POST there", "check the path: what is there is no SOAP service"),
    (&[407], "a proxy wants a password", "a proxy stands between: have this machine reach the peer directly"),
    (
        &[406, 415],
        "it does not take application/soap+xml",
        "most likely it speaks SOAP 1.1 only, or no MTOM: ask its operators for SOAP 1.2 (Appendix V)",
    ),
    (
        &[408, 502, 503, 504],
        "what is behind it does not answer",
        "a proxy or load balancer answers for a service that is down: tell its operators",
    ),
    (&[429], "it is asked too often", "try again later, or ask its operators for a higher limit"),
    (
        &[202, 204],
        "and nothing with it",
        "the peer answers asynchronously, on another connection, which we did not ask for: ask its operators to honour \
         an anonymous ReplyTo, or write exchange = \"asynchronous\" for this [[peer]]",
    ),
    (
        &[400],
        "it takes the request for wrong",
        "a proxy or firewall before the service does not let SOAP through, or the port wants TLS: ask its operators",
    ),
    (&[500], "it has trouble of its own", "ask its operators for their log at this moment"),
];

/// Words of pages that tell who made them.
const PAGES: &[(&str, &str)] = &[
    ("support id", "a firewall for web applications"),
    ("request rejected", "a firewall for web applications"),
    ("incident id", "a firewall for web applications"),
    ("web application firewall", "a firewall for web applications"),
    ("squid", "a proxy"),
    ("zscaler", "a proxy"),
    ("forcepoint", "a proxy"),
    ("proxy", "a proxy"),
    ("blocked", "a firewall or proxy"),
    ("password", "a login page"),
    ("sign in", "a login page"),
    ("log in", "a login page"),
    ("welcome to nginx", "an empty web server"),
    ("it works!", "an empty web server"),
];

fn http(subject: &Subject, heard: &Heard) -> Finding {
    let status = heard.status;
    let who = if heard.who.is_empty() { String::new() } else { format!(" (from {})", heard.who.join(", ")) };
    let mut what = format!("HTTP {status}{who}");
    if (300..400).contains(&status) {
        let to = heard.location.as_deref().unwrap_or("nowhere");
        return Finding::fail(
            Step::Http,
            format!("{what}: it redirects to {to}"),
            "redirects are not followed: write the final address into the URL; if it is a login page, a portal stands \
             before the service",
        );
    }
    let empty = heard.is_empty();
    if matches!(&heard.content, Content::Message { .. } | Content::Broken(_)) && !empty {
        let media = heard.content_type.split(';').next().unwrap_or_default();
        return Finding::ok(Step::Http, format!("{what}, {}", words(media)));
    }
    let known = STATUSES.iter().find(|(statuses, ..)| statuses.contains(&status));
    let path = subject.uri.path();
    if let Some((_, said, _)) = known {
        what.push_str(&format!(" for {path}: {said}"));
    }
    let mut fix = known.map(|(.., fix)| (*fix).to_owned());
    match &heard.content {
        Content::Page(page) if !empty => {
            let page = String::from_utf8_lossy(page);
            let kind =
                if heard.content_type.is_empty() { "no Content-Type".to_owned() } else { words(&heard.content_type) };
            what.push_str(&format!("; {kind} and no SOAP message"));
            if let Some(title) = title(&page) {
                what.push_str(&format!(", titled {title:?}"));
            }
            let lower = page.to_lowercase();
            if let Some((_, maker)) = PAGES.iter().find(|(mark, _)| lower.contains(mark)) {
                what.push_str(&format!(": it looks like {maker}"));
            }
            if looks_like_soap(&lower) {
                fix = Some(
                    "the peer labels its messages wrongly: application/soap+xml or multipart/related is wanted"
                        .to_owned(),
                );
            }
        }
        _ if known.is_none() => what.push_str(" and nothing with it"),
        _ => {}
    }
    let fix = fix.unwrap_or_else(|| {
        "a web page answers in the service's place: check the path, and ask the peer's operators for proxies and \
         firewalls before it"
            .to_owned()
    });
    Finding::fail(Step::Http, what, fix)
}

fn looks_like_soap(page: &str) -> bool {
    page.contains("/soap/envelope/") || page.contains("/2003/05/soap-envelope")
}

fn title(page: &str) -> Option<String> {
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let open = start + lower.get(start..)?.find('>')? + 1;
    let end = open + lower.get(open..)?.find('<')?;
    Some(words(page.get(open..end)?)).filter(|title| !title.is_empty())
}

fn broken(error: &MessageError) -> Finding {
    match error {
        MessageError::Mtom(_) | MessageError::Package(_) | MessageError::MediaType(_) => {
            packaging_broken(&error.to_string())
        }
        _ => Finding::fail(
            Step::Http,
            format!("the answer began and did not come to its end: {error}"),
            "something between the peer and us cuts answers off, or the peer fell over: ask its operators for their log",
        ),
    }
}

// --- SOAP ------------------------------------------------------------------------------------

fn packaging_broken(what: &str) -> Finding {
    Finding::fail(
        Step::Packaging,
        format!("the package cannot be read: {what}"),
        "the peer's MTOM is broken, or a proxy changed it: compare Content-Type, boundary and start with the parts",
    )
}

fn packaging(transaction: &Transaction, multipart: bool, rest: &Result<(), String>) -> Finding {
    if let Err(what) = rest {
        return packaging_broken(what);
    }
    match (transaction.packaging, multipart) {
        (Packaging::Mtom, true) => Finding::ok(Step::Packaging, "MTOM, whole to its final boundary"),
        (Packaging::Simple, false) => Finding::ok(Step::Packaging, "plain SOAP, as it should be"),
        (Packaging::Mtom, false) => Finding::note(
            Step::Packaging,
            "plain SOAP, where MTOM should be: taken here, refused by stricter consumers",
            "ask the peer's operators to turn on MTOM (Appendix V.8)",
        ),
        (Packaging::Simple, true) => Finding::note(
            Step::Packaging,
            "a package, where plain SOAP should be: taken here, refused by stricter consumers",
            "ask the peer's operators to turn MTOM off for queries (Appendix V.8)",
        ),
    }
}

fn no_envelope(what: &str) -> Finding {
    Finding::fail(
        Step::Soap,
        format!("the answer is labelled as SOAP and is none: {}", words(what)),
        "another service answers, or a proxy changed the answer: look at it with causeway find --show-wire",
    )
}

/// `asked` is the version of the question; `fault` is one that tells no other cause.
fn version(envelope: &Envelope<'_, '_>, asked: Version, fault: Option<(&ReceivedFault, &Reading)>) -> Finding {
    match (envelope.version, fault) {
        (Version::V11, None) if asked == Version::V11 => Finding::ok(Step::Soap, "SOAP 1.1, as it was asked"),
        (Version::V11, Some((fault, _))) if asked == Version::V11 => Finding::fail(
            Step::Soap,
            format!("a fault: {}", fault.shown()),
            "show it to the peer's operators, with the time of this call",
        ),
        (Version::V12, _) => Finding::ok(Step::Soap, "SOAP 1.2"),
        (Version::V11, Some((fault, _))) => Finding::fail(
            Step::Soap,
            format!("a SOAP 1.1 fault to a SOAP 1.2 question: {}", fault.shown()),
            "most likely the endpoint speaks SOAP 1.1 only: ask its operators for one with SOAP 1.2 (Appendix V), or \
             write profile = \"soap-1.1\" for this peer",
        ),
        (Version::V11, None) => Finding::note(
            Step::Soap,
            "SOAP 1.1, as the answer to a SOAP 1.2 question: taken here, refused by stricter consumers",
            "ask the peer's operators to answer in SOAP 1.2 (Appendix V)",
        ),
    }
}

/// ITI TF-2 §V.3.2: an answer relates to its question.
fn addressing(envelope: &Envelope<'_, '_>, question: &Question, is_fault: bool) -> Finding {
    match envelope.addressing.relates_to.as_deref() {
        Some(id) if id.eq_ignore_ascii_case(&question.message_id) => {
            Finding::ok(Step::Addressing, "the answer relates to our question")
        }
        Some(_) => Finding::fail(
            Step::Addressing,
            "the answer relates to another question than ours (wsa:RelatesTo)",
            "the peer, or a cache before it, gives answers that were made for others: that must not be used for patients",
        ),
        None if is_fault => Finding::ok(Step::Addressing, "a fault without wsa:RelatesTo"),
        None => Finding::note(
            Step::Addressing,
            "the answer has no wsa:RelatesTo: taken here, refused by stricter consumers",
            "ask the peer's operators to turn on WS-Addressing for answers (Appendix V.3.2)",
        ),
    }
}

fn action(envelope: &Envelope<'_, '_>, transaction: &Transaction, is_fault: bool) -> Finding {
    match envelope.addressing.action.as_deref() {
        Some(action) if action == transaction.response_action => Finding::ok(Step::Action, action),
        _ if is_fault => Finding::ok(Step::Action, "not refused"),
        Some(other) => Finding::note(
            Step::Action,
            format!("the answer's action is {}, not {}", words(other), transaction.response_action),
            "taken here, refused by stricter consumers: tell the peer's operators",
        ),
        None => Finding::note(
            Step::Action,
            format!("the answer has no wsa:Action; it should be {}", transaction.response_action),
            "taken here, refused by stricter consumers: tell the peer's operators",
        ),
    }
}

// --- registry response -----------------------------------------------------------------------

/// What a service says of a document that does not exist.
const EXPECTED: &[&str] = &[
    "XDSDocumentUniqueIdError",
    "XDSUnknownRepositoryId",
    "XDSRepositoryWrongRepositoryUniqueId",
    "XDSMissingHomeCommunityId",
    "XDSUnknownCommunity",
];

/// What a registry's or repository's answer shows.
fn registry(subject: &Subject, status: ResponseStatus, errors: &[RegistryError], count: usize) -> Vec<Finding> {
    std::iter::once(response(status, errors, count)).chain(home(subject, errors)).collect()
}

/// Any answer proves that the service works.
fn response(status: ResponseStatus, errors: &[RegistryError], count: usize) -> Finding {
    let name = match status {
        ResponseStatus::Success => "Success",
        ResponseStatus::PartialSuccess => "PartialSuccess",
        ResponseStatus::Failure => "Failure",
    };
    let mut what = format!("{name}, {count} found");
    for error in errors.iter().take(MOST_ERRORS) {
        what.push_str(&format!("; {}", words(error.code.as_str())));
        if !EXPECTED.contains(&error.code.as_str()) && !error.context.is_empty() {
            what.push_str(&format!(" ({})", words(&error.context)));
        }
    }
    if errors.iter().any(|error| !EXPECTED.contains(&error.code.as_str())) {
        return Finding::note(
            Step::Response,
            what,
            "the service answers, and says more than that there is no such document: show this to its operators",
        );
    }
    let homeless = errors.iter().any(|error| error.code.as_str() == "XDSMissingHomeCommunityId");
    what.push_str(if homeless {
        ", as it should be for a question without homeCommunityId (--home)"
    } else {
        ", as it should be for a document that does not exist"
    });
    Finding::ok(Step::Response, what)
}

/// Whether a gateway takes itself for that community; nothing where none is told.
fn home(subject: &Subject, errors: &[RegistryError]) -> Option<Finding> {
    let is_gateway = matches!(subject.service, Service::InitiatingGateway | Service::RespondingGateway);
    let home = subject.home.as_ref().filter(|_| is_gateway)?;
    let unknown = errors.iter().any(|error| error.code.as_str() == "XDSUnknownCommunity");
    Some(if unknown {
        Finding::fail(
            Step::Home,
            format!("the peer does not know {home}: XDSUnknownCommunity"),
            "ask its operators for their homeCommunityId, and correct home_community_id of the peer (or --home)",
        )
    } else {
        Finding::ok(Step::Home, format!("it answers for {home}"))
    })
}

#[cfg(test)]
mod tests;
