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

/// A body that is not as the schema wants it gets an error of its transaction, not a fault.
#[tokio::test]
async fn bodies_without_what_they_must_have() {
    const SUBMIT: &str = "<l:SubmitObjectsRequest xmlns:l=\"urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0\"/>";
    let xds = |name: &str| format!("<x:{name} xmlns:x=\"urn:ihe:iti:xds-b:2007\"/>");
    let removal = |inside: &str| {
        format!(
            "<l:RemoveObjectsRequest xmlns:l=\"urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0\" \
             xmlns:r=\"urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0\"{inside}</l:RemoveObjectsRequest>"
        )
    };
    let list = |ids: &str| format!("<r:ObjectRefList>{ids}</r:ObjectRefList>");
    let reference = "<r:ObjectRef id=\"urn:uuid:00000000-0000-4000-8000-000000000001\"/>";
    let delete_all = " deletionScope=\"urn:oasis:names:tc:ebxml-regrep:DeletionScopeType:DeleteAll\">";
    let removals = [
        (removal(">"), "XDSRegistryError"),
        (removal(&format!(">{}", list(""))), "XDSRegistryError"),
        (removal(&format!(">{}<r:AdhocQuery id=\"x\"/>", list(reference))), "XDSRegistryError"),
        (removal(&format!(">{}<r:Slot name=\"x\"/>", list(reference))), "XDSRegistryError"),
        (removal(&format!(">{}{}", list(reference), list(reference))), "XDSRegistryError"),
        (removal(&format!(">{}", list("<r:ObjectRef id=\"a\"/>"))), "XDSRegistryError"),
        (removal(&format!(">{}", list("<r:ExtrinsicObject id=\"a\"/>"))), "XDSRegistryError"),
        (removal(&format!(" deletionScope=\"urn:other\">{}", list(reference))), "XDSRegistryError"),
        // Twice named is once removed, and the schema's default says nothing.
        (removal(&format!("{delete_all}{}", list(&reference.repeat(2)))), "UnresolvedReferenceException"),
    ];
    let removals =
        removals.into_iter().map(|(body, code)| ("registry", "urn:ihe:iti:2010:DeleteDocumentSet", body, code));
    let others = [
        (
            "registry",
            QUERY,
            "<q:AdhocQueryRequest xmlns:q=\"urn:oasis:names:tc:ebxml-regrep:xsd:query:3.0\"/>".to_owned(),
            "XDSRegistryError",
        ),
        ("registry", "urn:ihe:iti:2007:RegisterDocumentSet-b", SUBMIT.to_owned(), "XDSRegistryMetadataError"),
        ("registry", "urn:ihe:iti:2010:RegisterOnDemandDocumentEntry", SUBMIT.to_owned(), "XDSRegistryMetadataError"),
        ("registry", "urn:ihe:iti:2010:UpdateDocumentSet", SUBMIT.to_owned(), "XDSRegistryMetadataError"),
        ("registry", "urn:ihe:iti:2018:RestrictedUpdateDocumentSet", SUBMIT.to_owned(), "XDSRegistryMetadataError"),
        (
            "repository",
            "urn:ihe:iti:2007:ProvideAndRegisterDocumentSet-b",
            xds("ProvideAndRegisterDocumentSetRequest"),
            "XDSRepositoryMetadataError",
        ),
        ("repository", "urn:ihe:iti:2007:RetrieveDocumentSet", xds("RetrieveDocumentSetRequest"), "XDSRepositoryError"),
        (
            "repository",
            "urn:ihe:iti:2017:RemoveDocuments",
            "<r:RemoveDocumentsRequest xmlns:r=\"urn:ihe:iti:rmd:2017\"/>".to_owned(),
            "XDSRepositoryError",
        ),
    ];
    let broker = TestBroker::start(Options::default()).await;
    for (service, action, body, code) in removals.chain(others) {
        let reply = broker.call(service, action, |out| out.extend_from_slice(body.as_bytes())).await;
        let codes: Vec<String> = match action {
            QUERY => reply.query().errors,
            "urn:ihe:iti:2007:RetrieveDocumentSet" => reply.retrieve().0.errors,
            _ => reply.registry().errors,
        }
        .iter()
        .map(|error| error.code.as_str().to_owned())
        .collect();
        assert_eq!((reply.status, codes), (200, vec![code.to_owned()]), "{action}: {}", reply.text());
    }
}

/// Ids that are none are told one by one; the others are served.
#[tokio::test]
async fn requests_for_documents_with_ids_that_are_none() {
    let broker = TestBroker::start(Options::default()).await;
    broker.provide("2.999.21.1", PATIENT, b"letter").await;
    let long = "1".repeat(300);
    let payload = retrieve(&[
        (Some("urn:nothing"), REPOSITORY, "2.999.21.1"),
        (None, "no oid", "2.999.21.1"),
        (None, REPOSITORY, &long),
        (None, REPOSITORY, "2.999.21.1"),
    ]);
    let (content_type, body) = mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &payload);
    let (response, documents) = broker.post("repository", &content_type, body).await.retrieve();
    let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
    assert_eq!(
        told,
        [("XDSUnknownRepositoryId", Some("2.999.21.1")), ("XDSDocumentUniqueIdError", Some(long.as_str()))]
    );
    // A repository looks at no home; a gateway does.
    assert_eq!(documents.len(), 2);
    let strange = retrieve(&[(Some("urn:nothing"), REPOSITORY, "2.999.21.1")]);
    let (content_type, body) = mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &strange);
    let (response, _) = broker.post("initiating-gateway", &content_type, body).await.retrieve();
    let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
    assert_eq!(told, [("XDSUnknownCommunity", Some("2.999.21.1"))]);
    // A removal of a mixed list removes what it can.
    let removal = String::from_utf8(payload)
        .unwrap()
        .replace(
            "<x:RetrieveDocumentSetRequest xmlns:x",
            "<r:RemoveDocumentsRequest xmlns:r=\"urn:ihe:iti:rmd:2017\" xmlns:x",
        )
        .replace("x:RetrieveDocumentSetRequest>", "r:RemoveDocumentsRequest>");
    let reply =
        broker.call("repository", "urn:ihe:iti:2017:RemoveDocuments", |out| out.extend_from_slice(removal.as_bytes()));
    let response = reply.await.registry();
    assert_eq!(response.status, causeway::model::response::ResponseStatus::PartialSuccess);
    // The one document is named twice, and removed once.
    assert_eq!(response.errors.len(), 2, "{:?}", response.errors);
}

#[tokio::test]
async fn queries_are_bounded() {
    let limits = "results = 2\nquery_values = 5";
    let broker = TestBroker::start(Options { limits: limits.into(), ..Options::default() }).await;
    let codes = |response: causeway::model::response::QueryResponse| {
        let codes = response.errors.iter().map(|error| error.code.as_str().to_owned()).collect::<Vec<_>>();
        (response.objects.len(), codes)
    };
    for n in 1..=3 {
        assert_eq!(codes(broker.query(&find(PATIENT)).await), (n - 1, vec![]));
        broker.provide(&format!("2.999.22.{n}"), PATIENT, b"letter").await;
    }
    let mut query = find(PATIENT);
    assert_eq!(codes(broker.query(&query).await), (0, vec!["XDSTooManyResults".to_owned()]));
    query.return_type = Some("ObjectRef".into());
    assert_eq!(codes(broker.query(&query).await), (3, vec![]), "references are no whole objects");
    // Over many patients even references are bounded: they may be as many as there are.
    let many = causeway::model::stored_query::QueryDefinition::of(
        causeway::model::stored_query::QueryKind::FindDocumentsForMultiplePatients,
    );
    let mut over_many = query.clone();
    over_many.id = many.id.into();
    over_many.slots[0] =
        causeway::model::rim::Slot::single("$XDSDocumentEntryClassCode", "('373942005^^2.16.840.1.113883.6.96')");
    let answer = broker.query_at("registry", "urn:ihe:iti:2009:MultiPatientStoredQuery", &over_many).await;
    assert_eq!(codes(answer), (0, vec!["XDSTooManyResults".to_owned()]));
    // Patient and status are two values.
    for (values, expected) in [(3, vec![]), (4, vec!["XDSStoredQueryParamNumber".to_owned()])] {
        let mut query = query.clone();
        let list = vec!["'a^^b'"; values].join(",");
        query.slots.push(causeway::model::rim::Slot::single("$XDSDocumentEntryClassCode", format!("({list})")));
        assert_eq!(codes(broker.query(&query).await), (0, expected));
    }
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
