//! Each setting of a profile, by the bytes that a peer with it gets.

use base64::Engine as _;
use causeway::transaction::Service;
use causeway::transport::diagnosis::{Ask, Configured, Subject, diagnose};
use causeway::transport::peer::profile::PeerProfile;

use super::*;

const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";
const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const CROSS_RETRIEVE: &str = "urn:ihe:iti:2007:CrossGatewayRetrieve";

/// Texts between two others.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    text.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
}

/// The documents that a request names, each with its id for its content, inline.
fn documents(request: &Got) -> Vec<u8> {
    let text = request.text();
    let of = |id: &&str| {
        let content = base64::engine::general_purpose::STANDARD.encode(id);
        format!(
            "<DocumentResponse><HomeCommunityId>{FAR}</HomeCommunityId><RepositoryUniqueId>{FAR_REPOSITORY}</RepositoryUniqueId>\
             <DocumentUniqueId>{id}</DocumentUniqueId><mimeType>text/plain</mimeType><Document>{content}</Document></DocumentResponse>"
        )
    };
    let all: String = between(&text, "<xds:DocumentUniqueId>", "<").iter().map(of).collect();
    let body = format!(
        "<e:Envelope xmlns:e=\"{SOAP12}\"><e:Body><RetrieveDocumentSetResponse xmlns=\"urn:ihe:iti:xds-b:2007\"><RegistryResponse \
         xmlns=\"urn:oasis:names:tc:ebxml-regrep:xsd:rs:3.0\" status=\"urn:oasis:names:tc:ebxml-regrep:ResponseStatusType:Success\"/>\
         {all}</RetrieveDocumentSetResponse></e:Body></e:Envelope>"
    );
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// What a peer with these settings gets of a query, and of a retrieve of one document.
async fn asked(peer: &str, before: &str) -> (Got, Got) {
    let far = Canned::start(|_, request| match request.text().contains("RetrieveDocumentSetRequest") {
        true => documents(request),
        false => nothing_found(),
    })
    .await;
    let broker = TestBroker::start(options(&far.url, peer, before)).await;
    let response = broker.query_at("initiating-gateway", QUERY, &find(SOMEBODY)).await;
    assert_eq!(response.status, ResponseStatus::Success, "{peer}: {:?}", response.errors);
    let payload = retrieve(&[(Some(FAR), FAR_REPOSITORY, FAR_DOCUMENT)]);
    let (content_type, body) = mtom_request(RETRIEVE, &payload);
    let reply = broker.post("initiating-gateway", &content_type, body).await;
    assert_eq!(reply.parts()[1], FAR_DOCUMENT.as_bytes(), "{peer}");
    let [query, retrieve] = &far.got()[..] else { panic!("{peer}") };
    (query.clone(), retrieve.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_request_is_as_the_framework_has_it() {
    let (query, retrieve) = asked("", "").await;
    let content_type = format!("application/soap+xml; charset=UTF-8; action=\"{CROSS_QUERY}\"");
    assert_eq!(query.header("content-type"), Some(content_type.as_str()));
    let packaged = retrieve.header("content-type").unwrap();
    assert!(packaged.starts_with("multipart/related; ") && packaged.contains("start-info=\"application/soap+xml\""));
    assert!(packaged.ends_with(&format!("; action=\"{CROSS_RETRIEVE}\"")), "{packaged}");
    for got in [query, retrieve] {
        let text = got.text();
        assert!(text.contains(SOAP12) && text.contains("<wsa:Action env:mustUnderstand=\"true\">"), "{text}");
        assert!(text.contains("<wsa:To>https://127.0.0.1:") && text.contains("/addressing/anonymous</wsa:Address>"));
        assert!(!text.contains("traceparent") && got.header("traceparent").is_some());
        for absent in ["soapaction", "connection", "expect", "transfer-encoding", "content-encoding"] {
            assert_eq!(got.header(absent), None, "{absent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_setting_changes_what_is_sent() {
    // The settings, what the query has and has not, what the retrieve has and has not.
    type Row<'r> = (&'r str, &'r [&'r str], &'r [&'r str], &'r [&'r str], &'r [&'r str]);
    let rows: [Row<'_>; 10] = [
        (
            "soap = \"1.1\"",
            &[
                SOAP11,
                "content-type: text/xml; charset=utf-8\r\n",
                "soapaction: \"urn:ihe:iti:2007:CrossGatewayQuery\"",
                "env:mustUnderstand=\"1\"",
            ],
            &[SOAP12],
            &[SOAP11, "multipart/related", "start-info=\"text/xml\"", "; type=\"text/xml\"\r\n"],
            &[SOAP12, "application/soap+xml"],
        ),
        (
            "mtom = false",
            &[],
            &[],
            &["content-type: application/soap+xml; charset=UTF-8; action="],
            &["multipart", "MIMEBoundary"],
        ),
        ("to = \"none\"", &[], &["wsa:To>"], &[], &["wsa:To>"]),
        (
            "to = \"https://inside.example/xca\"",
            &["<wsa:To>https://inside.example/xca</wsa:To>", "host: 127.0.0.1:"],
            &["<wsa:To>https://127"],
            &["<wsa:To>https://inside.example/xca</wsa:To>"],
            &[],
        ),
        ("reply_to = false", &[], &["ReplyTo", "anonymous"], &[], &["ReplyTo", "anonymous"]),
        (
            "must_understand = false",
            &["<wsa:Action>urn:"],
            &["mustUnderstand"],
            &["<wsa:Action>urn:"],
            &["mustUnderstand"],
        ),
        (
            "action_parameter = false",
            &["content-type: application/soap+xml; charset=UTF-8\r\n"],
            &["action="],
            &[],
            &["action="],
        ),
        ("keep_alive = false", &["connection: close\r\n"], &[], &["connection: close\r\n"], &[]),
        (
            "trace_header = true",
            &["<tc:traceparent xmlns:tc=\"https://www.w3.org/TR/trace-context/\">00-"],
            &[],
            &["<tc:traceparent"],
            &[],
        ),
        (
            "profile = \"soap-1.1\"",
            &[SOAP11, "content-type: text/xml; charset=utf-8\r\n", "<wsa:Action>"],
            &["mustUnderstand"],
            &["content-type: text/xml; charset=utf-8\r\n", "soapaction: \"urn:ihe:iti:2007:CrossGatewayRetrieve\""],
            &["multipart"],
        ),
    ];
    for (settings, has, has_not, retrieve_has, retrieve_has_not) in rows {
        let (query, retrieve) = asked(settings, "").await;
        for (got, has, has_not) in [(&query, has, has_not), (&retrieve, retrieve_has, retrieve_has_not)] {
            let whole = got.head.clone() + &got.text();
            for text in has {
                assert!(whole.contains(text), "{settings}: no {text} in {whole}");
            }
            for text in has_not {
                assert!(!whole.contains(text), "{settings}: {text} in {whole}");
            }
        }
        if settings.starts_with("trace") {
            let told =
                between(&query.text(), "<tc:traceparent xmlns:tc=\"https://www.w3.org/TR/trace-context/\">", "<")
                    .concat();
            assert_eq!(query.header("traceparent"), Some(told.as_str()), "one span in both places");
        }
    }
    // One of the configuration's own, with a word of the peer's over it.
    let (query, _) =
        asked("profile = \"old\"\nmust_understand = true", "[profile.old]\nsoap = \"1.1\"\nmust_understand = false\n")
            .await;
    assert!(query.text().contains(SOAP11) && query.text().contains("mustUnderstand=\"1\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_or_not() {
    for (peer, connections) in [("", 1), ("keep_alive = false", 3)] {
        let far = Canned::start(|_, _| nothing_found()).await;
        let broker = TestBroker::start(options(&far.url, peer, "")).await;
        for _ in 0..3 {
            broker.query_at("initiating-gateway", QUERY, &find(SOMEBODY)).await;
        }
        assert_eq!((far.got().len(), far.connections()), (3, connections), "{peer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_requests_have_other_actions_where_they_are_wanted() {
    let before = "[asynchronous]\naddress = \"https://127.0.0.1:1/services/initiating-gateway\"\n";
    for (profile, action) in
        [("ihe", format!(">{CROSS_QUERY}<")), ("xca-document-source", format!(">{CROSS_QUERY}Async<"))]
    {
        // What it answers on the connection is taken as well.
        let far = Canned::start(|_, _| nothing_found()).await;
        let peer = format!("exchange = \"asynchronous\"\nprofile = \"{profile}\"");
        let broker = TestBroker::start(options(&far.url, &peer, before)).await;
        let response = broker.query_at("initiating-gateway", QUERY, &find(SOMEBODY)).await;
        assert_eq!(response.status, ResponseStatus::Success, "{:?}", response.errors);
        let got = far.got().remove(0);
        assert!(got.text().contains(&action), "{}", got.text());
        assert!(got.header("content-type").unwrap().contains(&action.replace(['<', '>'], "\"")), "{}", got.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn homes_of_a_patient_discovery_have_a_prefix_where_it_is_wanted() {
    for (peer, written) in [("", &FAR[8..]), ("v3_home_prefix = true", FAR)] {
        let far = Canned::start(|_, _| nothing_found()).await;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let person = format!(
            "{{\"id\":\"{SOMEBODY}\",\"names\":[{{\"given\":[\"Wilhelmina\"],\"family\":[\"Quillfeather\"]}}],\"birth_time\":\"19510417\"}}\n"
        );
        std::fs::write(dir.path().join("people.jsonl"), person).expect("a directory");
        let peer = format!("patient_id = \"discover\"\n{peer}");
        let options = Options { patients: "directory = \"people.jsonl\"".into(), ..options(&far.url, &peer, "") };
        let broker = TestBroker::start_in(dir, options).await;
        broker.query_at("initiating-gateway", QUERY, &find(SOMEBODY)).await;
        let text = far.got()[0].text();
        let homes: Vec<_> =
            between(&text, "<representedOrganization classCode=\"ORG\" determinerCode=\"INSTANCE\"><id root=\"", "\"");
        assert_eq!((homes[0], homes.len()), (written, 2), "{text}");
        assert_eq!(homes[1], NEAR.replacen("urn:oid:", if written == FAR { "urn:oid:" } else { "" }, 1));
    }
}

/// Five documents of a peer that takes two at a time: three requests, one after the other, in order; when one is
/// not answered the rest is not asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_retrieve_is_split_where_a_peer_takes_few_documents_at_once() {
    let ids: Vec<String> = (1..=5).map(|number| format!("2.999.826.5.98.{number}")).collect();
    let wanted: Vec<_> = ids.iter().map(|id| (Some(FAR), FAR_REPOSITORY, id.as_str())).collect();
    let (content_type, body) = mtom_request(RETRIEVE, &retrieve(&wanted));
    for (peer, fails_at, split) in [
        ("", usize::MAX, vec![5]),
        ("documents_per_request = 5", usize::MAX, vec![5]),
        ("documents_per_request = 2", usize::MAX, vec![2, 2, 1]),
        ("documents_per_request = 2", 1, vec![2, 2]),
    ] {
        let far = Canned::start(move |number, request| match number == fails_at {
            true => {
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno".to_vec()
            }
            false => documents(request),
        })
        .await;
        let broker = TestBroker::start(options(&far.url, peer, "")).await;
        let reply = broker.post("initiating-gateway", &content_type, body.clone()).await;
        let (response, documents) = reply.retrieve();
        let requests: Vec<usize> =
            far.got().iter().map(|got| between(&got.text(), "<xds:DocumentUniqueId>", "<").len()).collect();
        assert_eq!(requests, split, "{peer}");
        let came = if fails_at == 1 { 2 } else { 5 };
        let got: Vec<_> = documents.into_iter().map(|document| document.0).collect();
        assert_eq!(got, ids[..came], "{peer}: {:?}", response.errors);
        let contents: Vec<_> = ids[..came].iter().map(|id| id.clone().into_bytes()).collect();
        assert_eq!(reply.parts()[1..], contents, "{peer}");
        let told: Vec<_> =
            response.errors.iter().map(|error| (error.code.as_str(), error.location.as_deref())).collect();
        if fails_at == 1 {
            assert_eq!(told, [("XDSUnavailableCommunity", Some(FAR))]);
            assert!(response.errors[0].context.contains(&ids[2..].join(", ")), "{:?}", response.errors);
        } else {
            assert!(told.is_empty(), "{told:?}");
        }
        // Each call is on record.
        let records = audit_records(&broker.broker);
        let calls = records.iter().filter(|record| record.contains("EventTypeCode csd-code=\"ITI-39\"")).count();
        assert_eq!(calls, split.len());
    }
}

/// What asks for a peer's trouble asks in the peer's form.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_asks_as_the_broker_does() {
    let far = Canned::start(|_, _| nothing_found()).await;
    let [_, plain, _] = PeerProfile::known();
    let subject = Subject {
        uri: far.url.parse().unwrap(),
        service: Service::RespondingGateway,
        files: CERTIFICATES.files("client"),
        security: None,
        home: None,
        timeout: std::time::Duration::from_secs(5),
        only: Some(Ask::Query),
        profile: plain,
        configured: Configured::default(),
    };
    diagnose(&subject).await;
    let got = far.got();
    let question = got.iter().find(|got| got.head.starts_with("POST")).expect("a question");
    assert!(question.text().contains(SOAP11) && question.header("soapaction").is_some(), "{}", question.head);
}
