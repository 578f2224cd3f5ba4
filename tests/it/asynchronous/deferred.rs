//! ITI-55 whose answer is a message of its own (Deferred Response Option), on both sides.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::model::discovery::{
    Criteria, DiscoveryAnswer, DiscoveryQuery, InstanceId, PatientDemographics, PatientMatch, Priority,
};
use causeway::model::ids::{HomeCommunityId, PatientId};
use causeway::model::response::{QueryResponse, ResponseStatus};
use causeway::model::time::Dtm;
use causeway::wire::hl7v3::{self, Answering, ReceivedQuery};
use causeway::wire::{soap, xml};
use http_body_util::{BodyExt, Full};

use super::asked::{Inbox, takes};
use super::asking::{far, nothing_found};
use super::{QUERY, assert_fault};
use crate::discovery::{answered, discovery, home, nhs, peer};
use crate::support::*;

const DEFERRED: &str = "urn:hl7-org:v3:PRPA_IN201305UV02:Deferred:CrossGatewayPatientDiscovery";
const ANSWER: &str = "urn:hl7-org:v3:PRPA_IN201306UV02:Deferred:CrossGatewayPatientDiscovery";
const ACKNOWLEDGED: &str = "urn:hl7-org:v3:MCCI_IN000002UV01";

fn options(n: usize, more: &str, limits: &str) -> Options {
    Options {
        home: Some(home(n)),
        repository: Some(format!("2.999.901.{n}")),
        more: more.to_owned(),
        limits: format!("delivery_pause = \"100ms\"\n{limits}"),
        ..Options::default()
    }
}

fn reload(broker: &TestBroker, options: &Options) {
    let text = toml(broker.dir.path(), options);
    let config = causeway::config::Config::from_toml(&text, broker.dir.path()).unwrap_or_else(|e| panic!("{e}"));
    broker.broker.reload(config).expect("a reload");
}

/// A broker with a document of ours, which asks that peer; its own address is known only when it runs.
async fn near(peer: &str, limits: &str) -> TestBroker {
    let broker = TestBroker::start(options(1, "", limits)).await;
    let more = format!("[asynchronous]\naddress = \"{}\"\n{peer}", broker.url("initiating-gateway"));
    reload(&broker, &options(1, &more, limits));
    broker.provide("2.999.902.1", PATIENT, b"ours").await;
    broker
}

fn peer_at(url: &str, more: &str) -> String {
    format!(
        "[[peer]]\nname = \"Community 2\"\nhome_community_id = \"{}\"\nresponding_gateway = \"{url}\"\n\
         patient_id = \"discover\"\nexchange = \"deferred\"\n{more}\n",
        home(2)
    )
}

async fn ask(near: &TestBroker) -> (Vec<String>, QueryResponse) {
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    let homes = unpacked(&response).iter().map(|o| o.common.home.clone().expect("a home").into_owned()).collect();
    (homes, response)
}

fn assert_unavailable(response: &QueryResponse, why: &str) {
    let [error] = &response.errors[..] else { panic!("{:?}", response.errors) };
    assert_eq!((error.code.as_str(), error.location.as_deref()), ("XDSUnavailableCommunity", Some(&*home(2))));
    assert!(error.context.contains(why), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_brokers_answer_each_other_later() {
    let far = TestBroker::start(options(2, "", "")).await;
    far.provide("2.999.902.2", PATIENT, b"theirs").await;
    let near = near(&peer(2, &far, "exchange = \"deferred\""), "").await;
    // Nowhere where it may not go, and not unless it is offered.
    let callback = format!("[asynchronous]\ncallbacks = [\"{}\"]\n", near.url("initiating-gateway"));
    for more in ["[discovery]\ndeferred = true\n".to_owned(), callback.clone()] {
        reload(&far, &options(2, &more, ""));
        let (homes, response) = ask(&near).await;
        assert_eq!((homes, response.status), (vec![home(1)], ResponseStatus::PartialSuccess));
        assert_unavailable(&response, "does not say whether it knows the patient (NS250)");
    }
    let (asked, queried) = (answered(&far, "ITI-55"), answered(&far, "ITI-38"));
    assert_eq!((asked, queried), (2, 0));
    reload(&far, &options(2, &format!("{callback}[discovery]\ndeferred = true\n"), ""));
    for _ in 0..2 {
        let (homes, response) = ask(&near).await;
        assert_eq!(
            (homes, response.status),
            (vec![home(1), home(2)], ResponseStatus::Success),
            "{:?}",
            response.errors
        );
    }
    assert_eq!((answered(&far, "ITI-55"), answered(&far, "ITI-38")), (3, 2));
    // It did go that way; both sides have one record of it, who answers names the patient.
    let began = Instant::now();
    let delivered = "transaction=\"ITI-55\",peer=\"callback\",outcome=\"delivered\"} 1";
    while !far.broker.metrics().text().contains(delivered) {
        assert!(began.elapsed() < Duration::from_secs(5), "{}", far.broker.metrics().text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(near.broker.metrics().text().contains("peer=\"posted\",outcome=\"taken\"} 1"));
    let of_discovery = |broker: &TestBroker| -> Vec<String> {
        audit_records(&broker.broker).into_iter().filter(|record| record.contains("csd-code=\"ITI-55\"")).collect()
    };
    let (theirs, ours) = (of_discovery(&far), of_discovery(&near));
    assert_eq!((theirs.len(), ours.len()), (3, 3));
    assert!(theirs[2].contains("9990000018^^^&amp;") && theirs[2].contains("EventOutcomeIndicator=\"0\""));
    assert!(ours[0].contains("NS250") && ours[2].contains("EventOutcomeIndicator=\"0\""), "{ours:?}");
}

/// A query as a community of the tests has received it.
fn received(root: &str) -> ReceivedQuery {
    let document = xml::Document::parse(root, xml::Limits::default()).expect("an envelope");
    let envelope = soap::read(&document).expect("an envelope");
    hl7v3::read_request(envelope.payload).expect("a query")
}

/// An envelope of a community of the tests.
fn said(action: &str, relates_to: Option<&str>, payload: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let addressing = soap::Addressing {
        action: Some(action.to_owned()),
        message_id: Some(soap::new_message_id()),
        relates_to: relates_to.map(str::to_owned),
        ..soap::Addressing::default()
    };
    causeway::transport::answer::envelope(soap::Version::V12, &addressing, None, payload)
}

fn acknowledgement(query: &ReceivedQuery, refusal: Option<(&'static str, &'static str)>) -> String {
    let own = HomeCommunityId::parse(&home(2)).unwrap();
    let acknowledgement = hl7v3::Acknowledgement {
        own: &own,
        message_id: &InstanceId::new("2.999.2.10", "a-1"),
        created: Dtm::parse("20260301120000").unwrap(),
        request: &query.header,
        refusal,
    };
    let out = said(ACKNOWLEDGED, None, |out| hl7v3::write_acknowledgement(out, &acknowledgement));
    String::from_utf8(out).unwrap()
}

/// An answer to a query: a patient of that id, or nobody.
fn answer(query: &ReceivedQuery, found: Option<&str>) -> Vec<u8> {
    let own = HomeCommunityId::parse(&home(2)).unwrap();
    let matched = |id: &str| PatientMatch {
        id: PatientId::parse(&format!("{id}^^^&2.999.903.2&ISO")).unwrap(),
        home: Some(own.clone()),
        demographics: PatientDemographics::default(),
        degree: Some(100),
        is_locator: false,
    };
    let answer = found.map_or(DiscoveryAnswer::NotFound, |id| DiscoveryAnswer::Matches(vec![matched(id)]));
    let with = Answering {
        own: &own,
        message_id: &InstanceId::new("2.999.2.10", "m-1"),
        created: Dtm::parse("20260301120000").unwrap(),
        request: &query.header,
        query_id: query.query_id.as_ref(),
        query_by_parameter: query.query_by_parameter.as_deref(),
    };
    said(ANSWER, Some("urn:uuid:whatever"), |out| hl7v3::write_response(out, &with, &answer))
}

async fn post_as(certificate: &str, to: &str, envelope: Vec<u8>) -> Reply {
    let request = http::Request::post(to)
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(Full::new(Bytes::from(envelope)))
        .unwrap();
    let response = client(certificate).request(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
    Reply { status, content_type: "application/soap+xml".into(), body }
}

/// A community that acknowledges questions for patients and tells the test; queries find nothing there.
async fn acknowledging() -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (told, questions) = tokio::sync::mpsc::unbounded_channel();
    let url = far(move |_, asked| {
        let action = asked.addressing.action.clone().unwrap();
        let answered = if action == DEFERRED {
            let _ = told.send(asked.root.clone());
            acknowledgement(&received(&asked.root), None)
        } else {
            let _ = told.send(format!("queried {}", asked.root));
            let found = said("urn:ihe:iti:2007:CrossGatewayQueryResponse", None, |out| {
                out.extend_from_slice(nothing_found(0).as_bytes());
            });
            String::from_utf8(found).unwrap()
        };
        async move { Some((200, answered)) }
    })
    .await;
    (url, questions)
}

/// With a `ca` of its own a community is recognised by its certificates, and by nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_authorities_of_its_own_answers_later_with_a_certificate_that_is_listed() {
    let (url, mut questions) = acknowledging().await;
    let files = CERTIFICATES.files("server");
    let listed = causeway::transport::certificates::facts_from_pem(&std::fs::read(&files.certificate).unwrap());
    let own = format!(
        "timeout = \"300ms\"\nca = \"{}\"\ncertificates = [\"sha256:{}\"]",
        files.client_ca.display(),
        listed.unwrap()[0].fingerprint_hex()
    );
    let near = near(&peer_at(&url, &own), "").await;
    let (_, response) = ask(&near).await;
    assert_unavailable(&response, "has taken the question, and its answer is not here yet");
    let question = received(&questions.recv().await.unwrap());
    let address = near.url("initiating-gateway");
    assert_fault(&post_as("client", &address, answer(&question, Some("P-66"))).await, 400, "wsa:RelatesTo");
    assert_eq!(post_as("server", &address, answer(&question, Some("P-77"))).await.status, 200);
    let (_, response) = ask(&near).await;
    assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_serves_the_next_query_and_only_its_author_can_give_it() {
    let (url, mut questions) = acknowledging().await;
    let near = near(&peer_at(&url, "timeout = \"300ms\""), "").await;
    let (_, response) = ask(&near).await;
    assert_unavailable(&response, "has taken the question, and its answer is not here yet");
    let question = received(&questions.recv().await.unwrap());
    let query = question.query.clone().expect("a query");
    assert_eq!((query.priority, query.respond_to), (Priority::Deferred, Some(near.url("initiating-gateway"))));
    let own = near.url("initiating-gateway");

    // Somebody else, though with a good certificate; another query; something that is no answer.
    let reply = post_as("client", &own, answer(&question, Some("P-66"))).await;
    assert_fault(&reply, 400, "wsa:RelatesTo");
    let mut other = question.clone();
    other.query_id = Some(InstanceId::new("2.999.1", "another"));
    assert_fault(&post_as("server", &own, answer(&other, Some("P-66"))).await, 400, "wsa:RelatesTo");
    let nothing = said(ANSWER, None, |out| out.extend_from_slice(b"<PRPA_IN201306UV02 xmlns=\"urn:hl7-org:v3\"/>"));
    assert_eq!(post_as("server", &own, nothing).await.status, 400);
    // Each is on record, by what is known of the question; of whom it was about nothing is.
    let refused = refusals(&near);
    let reasons = ["not known as the community that was asked", "answers no question of ours", "cannot be read"];
    assert_eq!(refused.len(), reasons.len(), "{refused:#?}");
    for (record, reason) in refused.iter().zip(reasons) {
        assert!(record.contains(reason) && record.contains("csd-code=\"ITI-55\""), "{record}");
        assert!(record.contains("EventOutcomeIndicator=\"8\"") && !record.contains("P-66"), "{record}");
        assert!(!record.contains("ParticipantObjectQuery"), "{record}");
    }
    assert!(refused[0].contains(&home(2)) && !refused[1].contains(&home(2)), "{refused:#?}");
    // Nor at another service.
    let reply = post_as("server", &near.url("responding-gateway"), answer(&question, Some("P-66"))).await;
    assert_fault(&reply, 400, "wsa:ActionNotSupported");

    // The community itself, twice, as if the first acknowledgement had been lost.
    for _ in 0..2 {
        let reply = post_as("server", &own, answer(&question, Some("P-77"))).await;
        let text = reply.text();
        assert!(reply.status == 200 && text.contains(&format!(">{ACKNOWLEDGED}<")), "{text}");
        assert!(text.contains("<typeCode code=\"AA\"/>") && text.contains("extension=\"m-1\""), "{text}");
    }
    let (_, response) = ask(&near).await;
    assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
    let next = questions.recv().await.unwrap();
    assert!(next.starts_with("queried") && next.contains("P-77^^^&amp;2.999.903.2&amp;ISO"), "{next}");
    let records = audit_records(&near.broker);
    let late = |record: &&String| record.contains("csd-code=\"ITI-55\"") && record.contains("came after its time");
    assert_eq!(records.iter().filter(late).count(), 2);
    assert!(records.iter().any(|record| record.contains("its answer is not here yet")));
}

fn refusals(near: &TestBroker) -> Vec<String> {
    audit_records(&near.broker).into_iter().filter(|record| record.contains("an answer was refused")).collect()
}

/// What a community says that was asked while it was live, and is suspended or closed now.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_community_says_that_is_asked_no_more_is_not_taken() {
    let turn = |near: &TestBroker, peer: &str| {
        let more = format!("[asynchronous]\naddress = \"{}\"\n{peer}", near.url("initiating-gateway"));
        reload(near, &options(1, &more, ""));
    };
    let closing = "changes = [{ from = \"2020-01-01\", state = \"closed\" }]";
    for (now, status, words) in [
        ("state = \"suspended\"", 403, "is suspended"),
        (closing, 403, "is closed since 2020-01-01"),
        // One that is closed from the first is nobody's any more, and told nothing.
        ("state = \"closed\"", 400, "is closed"),
    ] {
        let (url, mut questions) = acknowledging().await;
        let quickly = |more: &str| peer_at(&url, &format!("timeout = \"300ms\"\n{more}"));
        let near = near(&quickly(""), "").await;
        let own = near.url("initiating-gateway");
        ask(&near).await;
        let question = received(&questions.recv().await.unwrap());
        turn(&near, &quickly(now));
        let reply = post_as("server", &own, answer(&question, Some("P-77"))).await;
        assert_fault(&reply, status, if status == 403 { words } else { "wsa:RelatesTo" });
        let refused = refusals(&near);
        assert!(refused.len() == 1 && refused[0].contains(words) && refused[0].contains(&home(2)), "{refused:#?}");
        // Nothing of it is kept: live again, it is asked again.
        let patiently = |more: &str| peer_at(&url, &format!("timeout = \"30s\"\n{more}"));
        turn(&near, &patiently(""));
        let post = async {
            let question = questions.recv().await.unwrap();
            assert!(!question.starts_with("queried"), "{question}");
            turn(&near, &patiently(now));
            let reply = post_as("server", &own, answer(&received(&question), Some("P-77"))).await;
            assert_fault(&reply, status, if status == 403 { words } else { "wsa:RelatesTo" });
        };
        let ((_, response), ()) = tokio::join!(ask(&near), post);
        assert_unavailable(&response, &format!("{words}: its answer was not taken"));
        assert_eq!(refusals(&near).len(), 2);
        near.broker.stop().await;
    }
}

/// A place is held until the question is taken, and not while its answer is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_taken_holds_no_place() {
    let (url, mut questions) = acknowledging().await;
    let near = near(&peer_at(&url, "timeout = \"20s\"\nmax_in_flight = 1"), "").await;
    let near = std::sync::Arc::new(near);
    let asked = |patient: &'static str| {
        let near = std::sync::Arc::clone(&near);
        tokio::spawn(async move { near.query_at("initiating-gateway", QUERY, &find(patient)).await })
    };
    let first = asked(PATIENT);
    let question = received(&questions.recv().await.unwrap());
    // The only place is free for the next one, which would be told else that it has waited in vain.
    let second = asked("9990000026^^^&2.16.840.1.113883.2.1.4.1&ISO");
    let next =
        tokio::time::timeout(Duration::from_secs(9), questions.recv()).await.expect("asked while the first waits");
    let next = received(&next.unwrap());
    assert!(!first.is_finished() && !second.is_finished());
    let own = near.url("initiating-gateway");
    for (question, id) in [(&next, "P-2"), (&question, "P-1")] {
        assert_eq!(post_as("server", &own, answer(question, Some(id))).await.status, 200);
    }
    for (task, what) in [(first, "the first"), (second, "the second")] {
        let response = task.await.unwrap();
        assert_eq!(
            (response.status, response.errors.len()),
            (ResponseStatus::Success, 0),
            "{what}: {:?}",
            response.errors
        );
    }
    let queried = [questions.recv().await.unwrap(), questions.recv().await.unwrap()].concat();
    assert!(queried.contains("P-1^^^") && queried.contains("P-2^^^"), "{queried}");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_is_known_may_come_late_too_and_is_forgotten_soon() {
    let (url, mut questions) = acknowledging().await;
    let near = near(&peer_at(&url, "timeout = \"300ms\""), "correlation_negative = \"1h\"").await;
    ask(&near).await;
    let question = received(&questions.recv().await.unwrap());
    let own = near.url("initiating-gateway");
    assert_eq!(post_as("server", &own, answer(&question, None)).await.status, 200);
    let (homes, response) = ask(&near).await;
    assert_eq!((homes, response.status), (vec![home(1)], ResponseStatus::Success), "{:?}", response.errors);
    assert!(questions.try_recv().is_err(), "it is asked nothing");
    // A question that is not remembered has no answer any more.
    let (url, mut questions) = acknowledging().await;
    let forgetful = self::near(&peer_at(&url, "timeout = \"300ms\""), "deferred_questions = \"0s\"").await;
    ask(&forgetful).await;
    let question = received(&questions.recv().await.unwrap());
    let reply = post_as("server", &forgetful.url("initiating-gateway"), answer(&question, Some("P-77"))).await;
    assert_fault(&reply, 400, "wsa:RelatesTo");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_say_at_once() {
    // An answer there and then; a refusal; something else.
    for (number, why) in [(0, None), (1, Some("(NS250)")), (2, Some("(AE)")), (3, Some("not acceptable"))] {
        let url = far(move |_, asked| {
            let deferred = asked.addressing.action.as_deref() == Some(DEFERRED);
            let found = || {
                said("urn:ihe:iti:2007:CrossGatewayQueryResponse", None, |out| {
                    out.extend_from_slice(nothing_found(0).as_bytes());
                })
            };
            let text = match number {
                _ if !deferred => String::from_utf8(found()).unwrap(),
                0 => String::from_utf8(answer(&received(&asked.root), Some("P-77"))).unwrap(),
                1 => acknowledgement(&received(&asked.root), Some(("NS250", "not here"))),
                2 => acknowledgement(&received(&asked.root), Some(("X", "not here"))),
                _ => String::from_utf8(found()).unwrap(),
            };
            async move { Some((200, text)) }
        })
        .await;
        let near = near(&peer_at(&url, ""), "").await;
        let (_, response) = ask(&near).await;
        match why {
            None => assert_eq!(response.errors.len(), 0, "{:?}", response.errors),
            Some(why) => assert_unavailable(&response, why),
        }
    }
}

/// A query whose answer is to go there.
fn deferred(respond_to: &str) -> DiscoveryQuery {
    DiscoveryQuery {
        priority: Priority::Deferred,
        respond_to: Some(respond_to.to_owned()),
        ..discovery(Criteria { ids: vec![nhs("9990000018")], ..Criteria::default() })
    }
}

async fn send(broker: &TestBroker, query: &DiscoveryQuery) -> (Reply, String) {
    let envelope = said(DEFERRED, None, |out| {
        hl7v3::write_request(out, query, Dtm::parse("20260301120000").unwrap(), None);
    });
    let text = String::from_utf8(envelope.clone()).unwrap();
    let id = text.split("<wsa:MessageID>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    (broker.post("responding-gateway", "application/soap+xml; charset=UTF-8", envelope).await, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_sent_where_it_may_go_and_nowhere_else() {
    let (inbox, canary) = (Inbox::open(takes).await, Inbox::open(takes).await);
    let more = format!("[asynchronous]\ncallbacks = [\"{}\"]\n[discovery]\ndeferred = true\n", inbox.url);
    let broker = TestBroker::start(options(2, &more, "")).await;
    broker.provide("2.999.902.2", PATIENT, b"theirs").await;
    let query = deferred(&format!("{}/of/ours", inbox.url));
    let (reply, id) = send(&broker, &query).await;
    let text = reply.text();
    assert!(reply.status == 200 && text.contains("<typeCode code=\"AA\"/>"), "{text}");
    assert!(text.contains(&format!(">{ACKNOWLEDGED}<")) && text.contains(&format!(">{id}<")), "{text}");
    let posted = inbox.next().await;
    let addressing = posted.addressing();
    assert_eq!((addressing.action.as_deref(), addressing.relates_to.as_deref()), (Some(ANSWER), Some(&*id)));
    assert_eq!(addressing.to, query.respond_to);
    assert!(posted.reply.content_type.contains(&format!("action=\"{ANSWER}\"")), "{}", posted.reply.content_type);
    let received = posted.reply.read(|node| hl7v3::read_response(node).expect("an answer"));
    assert_eq!(
        (received.query_id.as_ref(), received.target.as_ref()),
        (Some(&query.query_id), Some(&query.header.message_id))
    );
    assert!(matches!(received.answer, DiscoveryAnswer::Matches(found) if found[0].id.to_cx() == PATIENT));

    // Elsewhere, or nowhere in particular, or both ways at once: refused, and nobody is called.
    for address in [&*canary.url, "http://127.0.0.1/x", ""] {
        let (reply, _) = send(&broker, &deferred(address)).await;
        assert!(reply.text().contains("NS250") && reply.text().contains("code=\"AE\""), "{}", reply.text());
    }
    let (reply, _) = send(&broker, &DiscoveryQuery { respond_to: None, ..query.clone() }).await;
    assert!(reply.text().contains("NS250"), "{}", reply.text());
    // A query that cannot be used is told so at once.
    let empty = DiscoveryQuery { criteria: Criteria::default(), ..query };
    let (reply, _) = send(&broker, &empty).await;
    assert!(reply.text().contains("code=\"AA\""), "{}", reply.text());
    let refused = inbox.next().await.reply.read(|node| hl7v3::read_response(node).expect("an answer"));
    assert!(matches!(refused.answer, DiscoveryAnswer::Refused(_)));
    broker.broker.stop().await;
    assert_eq!((inbox.connections.load(Ordering::SeqCst), canary.connections.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_accepted_is_given_up_at_once() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    let url = far(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        let empty = ReceivedQuery {
            header: Default::default(),
            query_id: None,
            query_by_parameter: None,
            query: Err(Vec::new()),
            time_to_live: None,
        };
        async move { Some((200, acknowledgement(&empty, Some(("NS250", "not wanted"))))) }
    })
    .await;
    let more = format!("[asynchronous]\ncallbacks = [\"{url}\"]\n[discovery]\ndeferred = true\n");
    let running = TestBroker::start(options(2, &more, "")).await;
    let (reply, _) = send(&running, &deferred(&url)).await;
    assert!(reply.text().contains("code=\"AA\""), "{}", reply.text());
    let TestBroker { broker, dir, .. } = running;
    broker.stop().await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let records = records_in(&dir.path().join("data/audit"));
    let undelivered = records.iter().find(|record| record.contains("could not be delivered"));
    assert!(undelivered.is_some_and(|record| record.contains("not accepted: NS250")), "{undelivered:?}");
}
