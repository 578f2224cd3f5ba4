//! Answers that are posted to us and not taken: each is on record before its sender is told, and what a community
//! says that is suspended or closed meanwhile is not taken.

use bytes::Bytes;
use causeway::model::response::QueryResponse;
use causeway::wire::soap;
use http_body_util::Full;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::asking::{
    ANSWER, Asked, FAR, TAKEN, ask, assert_unavailable, far, near, neighbour, nothing_found, post_as, reload,
};
use super::assert_fault;
use crate::support::*;

const FAULT: &str = "http://www.w3.org/2005/08/addressing/soap/fault";
const RETRIEVED: &str = "urn:ihe:iti:2007:CrossGatewayRetrieveResponse";
const BY_CERTIFICATE: &str = "certificates = [\"Causeway development server\"]";
/// So long that nobody has run out of time who was told something else.
const PATIENTLY: &str = "timeout = \"30s\"";

/// A community that takes requests and tells the test of them.
async fn taking() -> (String, UnboundedReceiver<Asked>) {
    let (told, asked) = unbounded_channel();
    let url = far(move |_, request| {
        let _ = told.send(request);
        async { TAKEN }
    })
    .await;
    (url, asked)
}

fn refusals(near: &TestBroker) -> Vec<String> {
    audit_records(&near.broker).into_iter().filter(|record| record.contains("an answer was refused")).collect()
}

/// The record of the refusal that there is since `before`; it is a failure.
fn one_more(near: &TestBroker, before: &mut usize) -> String {
    let refusals = refusals(near);
    *before += 1;
    assert_eq!(refusals.len(), *before, "{refusals:#?}");
    let last = refusals.last().expect("a record").clone();
    assert!(last.contains("EventOutcomeIndicator=\"8\""), "{last}");
    last
}

/// A record of ITI-38 on the side of who asked, which names the patient or nobody.
fn assert_of_query(record: &str, reason: &str, names_the_patient: bool) {
    assert!(record.contains("csd-code=\"ITI-38\"") && record.contains(reason), "{record}");
    assert_eq!(record.contains("9990000018^^^"), names_the_patient, "{record}");
    // Who asked is us, under our identity; who answered is named by its certificate.
    assert!(record.contains("UserID=\"urn:oid:2.999.900.1\"") && record.contains("Causeway development"), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_refused_are_on_record() {
    let (url, mut asked) = taking().await;
    let near = near(&url, &format!("{BY_CERTIFICATE}\n{PATIENTLY}"), "").await;
    let own = near.url("initiating-gateway");
    let found = nothing_found(0);
    let posts = async {
        let id = asked.recv().await.expect("a request").id();
        let mut count = 0;
        // While it waits: from another caller than who was asked, and another answer than was asked for.
        let reply = post_as("client", &own, ANSWER, &id, &found).await;
        assert_fault(&reply, 400, "wsa:RelatesTo");
        let record = one_more(&near, &mut count);
        assert_of_query(&record, "its sender is not known as the community that was asked", true);
        assert!(record.contains(FAR), "{record}");
        let reply = post_as("server", &own, RETRIEVED, &id, &found).await;
        assert_fault(&reply, 400, "wsa:ActionNotSupported");
        assert_of_query(&one_more(&near, &mut count), "it is no answer to what was asked", true);
        // To nothing: by what it says of itself, which is no reason to name anybody.
        let unknown = soap::new_message_id();
        assert_fault(&post_as("client", &own, ANSWER, &unknown, &found).await, 400, "wsa:RelatesTo");
        assert_of_query(&one_more(&near, &mut count), "it relates to no request of ours", false);
        let fault = "<e:Fault xmlns:e=\"http://www.w3.org/2003/05/soap-envelope\"><e:Code><e:Value>e:Receiver</e:Value></e:Code>\
             <e:Reason><e:Text xml:lang=\"en\">9990000018^^^</e:Text></e:Reason></e:Fault>";
        assert_fault(&post_as("client", &own, FAULT, &unknown, fault).await, 400, "wsa:RelatesTo");
        let record = one_more(&near, &mut count);
        assert!(record.contains("csd-code=\"110113\"") && record.contains("Causeway development client"), "{record}");
        assert!(!record.contains("9990000018") && !record.contains("ITI-"), "{record}");
        // What cannot be read: by its header, and by what HTTP says of it.
        for (body, content_type) in [
            (soap_with_two_ids(&found), "application/soap+xml".to_owned()),
            ("<e:Envelope".into(), format!("application/soap+xml; action=\"{ANSWER}\"")),
        ] {
            let request = http::Request::post(&own).header("content-type", content_type);
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            let reply = client("client").request(request).await.expect("an answer");
            assert_eq!(reply.status().as_u16(), 400);
            assert_of_query(&one_more(&near, &mut count), "it cannot be read", false);
        }
        let reply = post_as("client", &near.url("registry"), ANSWER, &id, &found).await;
        assert_fault(&reply, 400, "wsa:ActionNotSupported");
        assert_of_query(&one_more(&near, &mut count), "no answers are taken there", false);
        // What nobody can tell to be an answer is logged, as ever.
        let reply = post_as("client", &own, "urn:some:Response", &id, &found).await;
        assert_fault(&reply, 400, "wsa:ActionNotSupported");
        assert_eq!(refusals(&near).len(), count);
        // None of that was the answer, which is still waited for. Once.
        assert_eq!(post_as("server", &own, ANSWER, &id, &found).await.status, 202);
        assert_fault(&post_as("server", &own, ANSWER, &id, &found).await, 400, "wsa:RelatesTo");
        let record = one_more(&near, &mut count);
        assert_of_query(&record, "it came after its time, or once more", false);
        assert!(record.contains(FAR), "{record}");
    };
    let (response, ()) = tokio::join!(ask(&near), posts);
    assert_eq!(response.errors.len(), 0, "{:?}", response.errors);
}

/// An answer whose header has two ids.
fn soap_with_two_ids(payload: &str) -> String {
    let addressing = soap::Addressing {
        action: Some(ANSWER.to_owned()),
        message_id: Some(soap::new_message_id()),
        relates_to: Some(soap::new_message_id()),
        ..soap::Addressing::default()
    };
    let written = causeway::transport::answer::envelope(soap::Version::V12, &addressing, None, |out| {
        out.extend_from_slice(payload.as_bytes());
    });
    let text = String::from_utf8(written).expect("text");
    let id = format!("<wsa:MessageID>{}</wsa:MessageID>", addressing.message_id.expect("an id"));
    text.replace(&id, &format!("{id}{id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_community_says_that_is_asked_no_more_is_not_taken() {
    let since = "changes = [{ from = \"2020-01-01\", state = \"suspended\" }]";
    let closed = "state = \"closed\"";
    // Also of one that is known by no certificate; and of one that is no peer any more.
    for (pinned, now, words) in [
        (BY_CERTIFICATE, Some(since), "is suspended since 2020-01-01"),
        (BY_CERTIFICATE, Some(closed), "is closed"),
        ("", Some("state = \"suspended\""), "is suspended"),
        ("", None, "is no peer of this gateway any more"),
    ] {
        let (url, mut asked) = taking().await;
        let near = near(&url, &format!("{pinned}\n{PATIENTLY}"), "").await;
        let own = near.url("initiating-gateway");
        let post = async {
            let id = asked.recv().await.expect("a request").id();
            let peers = now.map(|now| neighbour(&url, &format!("{pinned}\n{PATIENTLY}\n{now}")));
            reload(&near, &peers.unwrap_or_default(), "");
            let mut count = 0;
            // Twice: while it is waited for, and when it is not any more.
            for names_the_patient in [true, false] {
                let reply = post_as("server", &own, ANSWER, &id, &nothing_found(0)).await;
                assert_fault(&reply, 403, words);
                let record = one_more(&near, &mut count);
                assert_of_query(&record, words, names_the_patient);
                assert!(record.contains(FAR), "{record}");
            }
        };
        let (response, ()): (QueryResponse, ()) = tokio::join!(ask(&near), post);
        assert_unavailable(&response, &format!("Far {words}: its answer was not taken"));
        let records = audit_records(&near.broker);
        let failed = records.iter().filter(|record| record.contains("its answer was not taken")).count();
        assert_eq!(failed, 1, "the call itself is on record with it: {records:#?}");
        near.broker.stop().await;
    }
}
