//! Bad input gets the standard's answer: a fault or an error with its code; nothing is stored.

use causeway::wire::ebrs;

use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";
const SOAP: &str = "application/soap+xml; charset=UTF-8";

#[tokio::test]
async fn what_is_no_message_is_a_fault() {
    let broker = TestBroker::start(Options::default()).await;
    let whole = String::from_utf8(envelope(QUERY, |out| ebrs::write_query(out, &find(PATIENT)))).unwrap();
    let deep = "<a>".repeat(10_000);
    let bomb = format!("<!DOCTYPE a [<!ENTITY x \"{}\">]>{whole}", "y".repeat(1000));
    let cases: Vec<(&str, String, u16, &str)> = vec![
        ("nothing", String::new(), 400, "Sender"),
        ("no XML", "hello".into(), 400, "Sender"),
        ("cut", whole[..whole.len() / 2].into(), 400, "Sender"),
        ("no envelope", "<a/>".into(), 400, "Sender"),
        ("DOCTYPE", bomb, 400, "Sender"),
        ("deep", deep, 400, "Sender"),
        ("two payloads", whole.replace("</env:Body>", "<x/></env:Body>"), 400, "Sender"),
        ("old SOAP", whole.replace("http://www.w3.org/2003/05/soap-envelope", "urn:old"), 500, "VersionMismatch"),
        ("no action", whole.replace("wsa:Action", "wsa:Faction"), 400, "MessageAddressingHeaderRequired"),
        ("unknown action", whole.replace(QUERY, "urn:nothing"), 400, "ActionNotSupported"),
        (
            "action of another service",
            whole.replace(QUERY, "urn:ihe:iti:2007:CrossGatewayQuery"),
            400,
            "ActionNotSupported",
        ),
        (
            "action of another body",
            whole.replace(QUERY, "urn:ihe:iti:2007:RegisterDocumentSet-b"),
            400,
            "ActionNotSupported",
        ),
        (
            "a header that must be understood",
            whole.replace("<env:Header>", "<env:Header><u:H xmlns:u=\"urn:u\" env:mustUnderstand=\"1\"/>"),
            500,
            "MustUnderstand",
        ),
        (
            "a reply to elsewhere",
            whole.replace(
                "<env:Header>",
                "<env:Header><wsa:ReplyTo><wsa:Address>http://169.254.169.254/</wsa:Address></wsa:ReplyTo>",
            ),
            400,
            "OnlyAnonymousAddressSupported",
        ),
    ];
    for (what, body, status, code) in cases {
        let reply = broker.post("registry", SOAP, body).await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert!(reply.fault().is_some(), "{what}: {}", reply.text());
        assert!(reply.text().contains(code), "{what}: {}", reply.text());
    }
    // What was attempted is on record, as far as the action could be made out.
    let records = audit_records(&broker.broker);
    let attempts: Vec<_> = records.iter().filter(|record| record.contains("EventOutcomeIndicator=\"8\"")).collect();
    let of = |code: &str| attempts.iter().filter(|r| r.contains(&format!("csd-code=\"{code}\""))).count();
    assert_eq!([of("ITI-18"), of("ITI-42")], [4, 1], "{attempts:?}");
    assert_eq!(broker.post("registry", "text/html", "<p/>").await.status, 415);
    // The broker is as well as before.
    assert_eq!(broker.query(&find(PATIENT)).await.objects.len(), 0);
}

#[tokio::test]
async fn soap_1_1_is_answered_in_soap_1_1() {
    let broker = TestBroker::start(Options::default()).await;
    let whole = String::from_utf8(envelope(QUERY, |out| ebrs::write_query(out, &find(PATIENT)))).unwrap();
    let old = whole
        .replace("http://www.w3.org/2003/05/soap-envelope", "http://schemas.xmlsoap.org/soap/envelope/")
        .replace("mustUnderstand=\"true\"", "mustUnderstand=\"1\"");
    let reply = broker.post("registry", "text/xml; charset=utf-8", old).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.content_type.starts_with("text/xml"));
    assert!(reply.text().contains("http://schemas.xmlsoap.org/soap/envelope/"));
}

#[tokio::test]
async fn messages_cut_anywhere_do_no_harm() {
    let broker = TestBroker::start(Options::default()).await;
    let (content_type, body) = package(&submission("2.999.20.1", PATIENT, "text/plain"), &[("entry", b"content")]);
    for cut in (0..body.len()).step_by(97) {
        let reply = broker.post("repository", &content_type, body[..cut].to_vec()).await;
        assert!(reply.status >= 400, "cut at {cut}: {}", reply.text());
        assert!(reply.fault().is_some(), "cut at {cut}: {}", reply.text());
    }
    assert!(broker.query(&find(PATIENT)).await.objects.is_empty());
}

#[tokio::test]
async fn limits_have_their_errors() {
    let limits = "envelope_bytes = \"64 KiB\"\ndocument_bytes = \"1 KiB\"\ndocuments_per_retrieve = 2";
    let broker = TestBroker::start(Options { limits: limits.into(), ..Options::default() }).await;
    let reply = broker.post("registry", SOAP, vec![b' '; 70_000]).await;
    assert_eq!(reply.status, 413);
    let objects = submission("2.999.21.1", PATIENT, "text/plain");
    for (size, good) in [(1024, true), (1025, false)] {
        let reply = broker.provide_objects(&objects, &[("entry", &vec![b'x'; size])]).await;
        assert_eq!(reply.status == 200, good, "{size}: {}", reply.text());
    }
    let many = retrieve(&[(None, REPOSITORY, "1.1"), (None, REPOSITORY, "1.2"), (None, REPOSITORY, "1.3")]);
    let (content_type, body) = mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &many);
    let (response, _) = broker.post("repository", &content_type, body).await.retrieve();
    assert_eq!(response.errors[0].code.as_str(), "XDSTooManyResults");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_audit_record() {
    let options = || Options { on_disk: true, ..Options::default() };
    let broker = TestBroker::start(options()).await;
    for number in 0..24_u64 {
        let set = format!("2.999.8.{number}");
        let objects = submission_of(&set, &format!("2.999.7.{number}"), PATIENT, "text/plain");
        let (content_type, body) = package(&objects, &[("entry", b"left behind")]);
        // The connection is closed at another moment of the request each time.
        let sent = broker.post("repository", &content_type, body);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(number), sent).await;
    }
    // Stopping waits for what is under way; after it, what was stored must be in the trail.
    let TestBroker { broker, dir, .. } = broker;
    broker.stop().await;
    let broker = TestBroker::start_in(dir, options()).await;
    let stored = broker.query(&find(PATIENT)).await;
    let audited = audit_records(&broker.broker).concat();
    let stored: Vec<String> =
        unpacked(&stored).iter().filter_map(|entry| entry.unique_id().map(str::to_owned)).collect();
    assert!(!stored.is_empty(), "none came as far as the commit");
    for unique_id in stored {
        let set = unique_id.replacen("2.999.7.", "2.999.8.", 1);
        assert!(audited.contains(&format!("\"{set}\"")), "{unique_id} is stored and in no audit record");
    }
}
