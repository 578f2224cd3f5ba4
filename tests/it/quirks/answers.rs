//! Answers of foreign gateways, as a peer of ours gives them.

use super::*;

/// The answer with the id of the query that was asked, which only that knows.
fn to(request: &Got, answer: &[u8]) -> Vec<u8> {
    const OWN: &str = "<queryId root=\"2.999.826.9.1\" extension=\"q-1\"/>";
    let asked = request.text();
    let Some(start) = asked.find("<queryId") else { return answer.to_vec() };
    let end = start + asked[start..].find("/>").expect("an empty element") + 2;
    // None of these answers has bytes that are no text.
    String::from_utf8(answer.to_vec()).expect("text").replace(OWN, &asked[start..end]).into_bytes()
}

/// A community of whom the directory knows one.
async fn near(url: &str, quirk: &Quirk) -> TestBroker {
    let patient_id = if quirk.ask.as_deref() == Some("discover") { "discover" } else { "same-domain" };
    let peer = format!("patient_id = \"{patient_id}\"\ntimeout = \"5s\"\n{}", quirk.peer);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let person = format!(
        "{{\"id\":\"{SOMEBODY}\",\"names\":[{{\"given\":[\"Wilhelmina\"],\"family\":[\"Quillfeather\"]}}],\"birth_time\":\"19510417\"}}\n"
    );
    std::fs::write(dir.path().join("people.jsonl"), person).expect("a directory");
    let options = Options { patients: "directory = \"people.jsonl\"".into(), ..options(url, &peer, "") };
    TestBroker::start_in(dir, options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_foreign_systems_are_taken_as_the_table_says() {
    let letter = letter();
    let rows = quirks("answer");
    assert!(rows.len() > 20);
    for quirk in &rows {
        let (id, ask, message) = (&quirk.id, quirk.ask.as_deref().expect("what to ask"), quirk.message());
        let peer = Canned::start(move |_, request| match request.text() {
            // Who was found is asked about under the id that was told.
            text if text.contains("AdhocQuery") && message.windows(18).any(|w| w == b"PRPA_IN201306UV02 ") => {
                nothing_found()
            }
            _ => to(request, &message),
        })
        .await;
        let broker = near(&peer.url, quirk).await;
        if ask == "retrieve" {
            let payload = retrieve(&[(Some(FAR), FAR_REPOSITORY, FAR_DOCUMENT)]);
            let (content_type, body) = mtom_request(RETRIEVE, &payload);
            if quirk.expected == "broken" {
                let request =
                    http::Request::post(broker.url("initiating-gateway")).header("content-type", content_type);
                let request = request.body(http_body_util::Full::new(body.into())).unwrap();
                // It may break off before its head has left.
                let whole = match broker.client.request(request).await {
                    Ok(response) => http_body_util::BodyExt::collect(response.into_body()).await.is_ok(),
                    Err(_) => false,
                };
                assert!(!whole, "{id}: it is taken for whole");
                continue;
            }
            let reply = broker.post("initiating-gateway", &content_type, body).await;
            let (response, documents) = reply.retrieve();
            match quirk.expected.as_str() {
                "letter" => {
                    assert_eq!((response.errors.len(), documents.len()), (0, 1), "{id}: {:?}", response.errors);
                    assert!(reply.parts()[1] == letter, "{id}: other bytes");
                }
                "missing" => {
                    let told: Vec<_> = response.errors.iter().map(|error| error.code.as_str()).collect();
                    assert_eq!((told, documents.len()), (vec!["XDSUnavailableCommunity"], 0), "{id}");
                }
                other => panic!("{id}: {other} is no outcome"),
            }
            continue;
        }
        let response = broker.query_at("initiating-gateway", QUERY, &find(SOMEBODY)).await;
        let told: Vec<_> = response.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
        let homes: Vec<_> = unpacked(&response).iter().map(|object| object.common.home.clone().unwrap()).collect();
        match quirk.expected.as_str() {
            "entry" => {
                assert_eq!(homes, [FAR], "{id}: {told:?}");
                assert_eq!(response.status, ResponseStatus::Success, "{id}: {told:?}");
            }
            "missing" => assert_eq!(told, [("XDSUnavailableCommunity", Some(FAR))], "{id}"),
            "nobody" => assert_eq!((response.status, told.len()), (ResponseStatus::Success, 0), "{id}: {told:?}"),
            "found" => {
                assert_eq!((response.status, told.len()), (ResponseStatus::Success, 0), "{id}: {told:?}");
                assert!(peer.got()[1].text().contains("'F-77^^^&amp;2.999.826.2.98&amp;ISO'"), "{id}");
            }
            other => {
                let code = other.strip_prefix("error:").unwrap_or_else(|| panic!("{id}: {other} is no outcome"));
                let [(told, Some(location))] = &told[..] else { panic!("{id}: {told:?}") };
                assert_eq!(*told, code, "{id}");
                assert!(location.starts_with(FAR), "{id}: {location}");
                assert_ne!(response.status, ResponseStatus::Success, "{id}");
            }
        }
    }
}
