//! ITI-63 between brokers: entries with their documents, in one answer.

use causeway::model::discovery::{DiscoveryAnswer, InstanceId, PatientDemographics, PatientMatch};
use causeway::model::ids::{HomeCommunityId, PatientId};
use causeway::model::response::ResponseStatus;
use causeway::model::rim::Slot;
use causeway::model::stored_query::{AdhocQuery, FETCH, WITH_DOCUMENTS};
use causeway::model::time::Dtm;
use causeway::wire::hl7v3::{self, Answering};
use causeway::wire::xdsb::Binary;
use causeway::wire::{ebrs, soap, xcf, xml};

use crate::asynchronous::asking::far;
use crate::gateways::peer;
use crate::support::*;

const FETCH_ACTION: &str = "urn:ihe:iti:2011:CrossGatewayFetch";
const CLASS: &str = "('373942005^^2.16.840.1.113883.6.96')";

fn home(n: usize) -> String {
    format!("urn:oid:2.999.920.{n}")
}

async fn community(n: usize, documents: usize, options: Options) -> TestBroker {
    let (home, repository) = (Some(home(n)), Some(format!("2.999.921.{n}")));
    let broker = TestBroker::start(Options { home, repository, ..options }).await;
    for number in 0..documents {
        let content = format!("document {number} of community {n}");
        broker.provide(&format!("2.999.922.{n}.{number}"), PATIENT, content.as_bytes()).await;
    }
    broker
}

async fn near(far: &TestBroker, more: &str) -> TestBroker {
    let more = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", more);
    community(1, 1, Options { more, ..Options::default() }).await
}

pub fn query(home: Option<&str>) -> AdhocQuery {
    AdhocQuery {
        id: FETCH.id.into(),
        home: home.map(str::to_owned),
        return_type: Some(WITH_DOCUMENTS.into()),
        slots: vec![
            Slot::single("$XDSDocumentEntryPatientId", format!("'{PATIENT}'")),
            Slot::single("$XDSDocumentEntryClassCode", CLASS),
        ],
    }
}

/// An answer as its client sees it.
pub struct Fetched {
    status: ResponseStatus,
    errors: Vec<(String, Option<String>)>,
    /// uniqueId, home, and the document.
    pub entries: Vec<(String, String, Vec<u8>)>,
}

fn read(reply: &Reply) -> Fetched {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut parts =
        if reply.content_type.starts_with("multipart/") { reply.parts() } else { Vec::new() }.into_iter().skip(1);
    reply.read(|node| {
        let (answer, objects) = xcf::read_fetch_response(node).unwrap_or_else(|e| panic!("{e}: {}", reply.text()));
        let entries = objects.into_iter().map(|(entry, content)| {
            let document = match content.expect("a document") {
                // Parts come in the order of their entries.
                Binary::Include(_) => parts.next().expect("a part"),
                Binary::Inline(text) => {
                    use base64::Engine as _;
                    base64::engine::general_purpose::STANDARD.decode(text.as_bytes()).expect("base64")
                }
            };
            (
                entry.unique_id().unwrap().to_owned(),
                entry.common.home.as_deref().unwrap_or_default().to_owned(),
                document,
            )
        });
        Fetched {
            status: answer.status,
            entries: entries.collect(),
            errors: answer.errors.iter().map(|e| (e.code.as_str().to_owned(), e.location.clone())).collect(),
        }
    })
}

pub async fn fetch(broker: &TestBroker, service: &str, query: &AdhocQuery) -> Fetched {
    let mut payload = Vec::new();
    ebrs::write_query(&mut payload, query);
    let (content_type, body) = mtom_request(FETCH_ACTION, &payload);
    read(&broker.post(service, &content_type, body).await)
}

fn failed(fetched: &Fetched, code: &str, location: &str) {
    assert_eq!(fetched.status, ResponseStatus::Failure);
    assert_eq!(fetched.errors, [(code.to_owned(), Some(location.to_owned()))]);
    assert!(fetched.entries.is_empty());
}

#[tokio::test]
async fn entries_come_with_their_documents_from_the_community_that_is_named() {
    for documents in [0, 1, 5] {
        let far = community(2, documents, Options::default()).await;
        let near = near(&far, "").await;
        let expected: Vec<_> = (0..documents)
            .map(|n| (format!("2.999.922.2.{n}"), home(2), format!("document {n} of community 2").into_bytes()))
            .collect();
        for (broker, service) in [(&far, "responding-gateway"), (&near, "initiating-gateway")] {
            let mut fetched = fetch(broker, service, &query(Some(&home(2)))).await;
            fetched.entries.sort();
            assert_eq!((fetched.status, fetched.errors.len()), (ResponseStatus::Success, 0), "{service}");
            assert!(fetched.entries == expected, "{service}: {:?}", fetched.entries);
            // A client that sends no package gets none.
            let reply = broker.call(service, FETCH_ACTION, |out| ebrs::write_query(out, &query(Some(&home(2))))).await;
            let mut fetched = read(&reply);
            fetched.entries.sort();
            assert!(reply.content_type.starts_with("application/soap+xml") && fetched.entries == expected);
        }
        // Our own community can be named too.
        assert_eq!(fetch(&near, "initiating-gateway", &query(Some(&home(1)))).await.entries.len(), 1);
        let records = audit_records(&near.broker);
        let of_fetch: Vec<_> = records.iter().filter(|record| record.contains("csd-code=\"ITI-63\"")).collect();
        assert_eq!(of_fetch.len(), 5, "as the answerer three times, as who asks twice");
        assert!(of_fetch.iter().all(|record| record.contains("csd-code=\"110112\"") && record.contains("9990000018")));
    }
}

#[tokio::test]
async fn whom_it_asks_must_be_said_and_known() {
    let far = community(2, 1, Options::default()).await;
    let near = near(&far, "").await;
    for (broker, service, own) in [(&near, "initiating-gateway", home(1)), (&far, "responding-gateway", home(2))] {
        failed(&fetch(broker, service, &query(None)).await, "XDSMissingHomeCommunityId", &own);
        failed(&fetch(broker, service, &query(Some(&home(9)))).await, "XDSUnknownCommunity", &own);
        failed(&fetch(broker, service, &query(Some("hospital"))).await, "XDSUnknownCommunity", &own);
    }
    far.broker.stop().await;
    failed(&fetch(&near, "initiating-gateway", &query(Some(&home(2)))).await, "XDSUnavailableCommunity", &home(2));
}

#[tokio::test]
async fn a_fetch_is_no_stored_query_nor_the_reverse() {
    let far = community(2, 1, Options::default()).await;
    let near = near(&far, "").await;
    let unknown = "XDSUnknownStoredQuery";
    let mut listed = query(Some(&home(2)));
    listed.return_type = Some("LeafClass".into());
    for (broker, service, action) in [
        (&far, "registry", "urn:ihe:iti:2007:RegistryStoredQuery"),
        (&near, "initiating-gateway", "urn:ihe:iti:2007:RegistryStoredQuery"),
        (&far, "responding-gateway", "urn:ihe:iti:2007:CrossGatewayQuery"),
    ] {
        let response = broker.query_at(service, action, &listed).await;
        assert_eq!(response.errors[0].code.as_str(), unknown, "{service}");
    }
    let records = audit_records(&far.broker);
    assert_eq!(records.iter().filter(|r| r.contains("csd-code=\"ITI-38\"")).count(), 1, "it was not handed on as one");
    let mut other = find(PATIENT);
    (other.home, other.return_type) = (Some(home(2)), Some(WITH_DOCUMENTS.into()));
    failed(&fetch(&far, "responding-gateway", &other).await, unknown, &home(2));
    // Its own rules: a class, and a return type.
    let mut without = query(Some(&home(2)));
    without.slots.pop();
    failed(&fetch(&far, "responding-gateway", &without).await, "XDSStoredQueryMissingParam", &home(2));
    failed(&fetch(&far, "responding-gateway", &listed).await, "XDSRegistryError", &home(2));
    let mut of_none = query(Some(&home(2)));
    of_none.slots[1] = Slot::single("$XDSDocumentEntryClassCode", "('other^^2.16.840.1.113883.6.96')");
    assert_eq!(fetch(&far, "responding-gateway", &of_none).await.status, ResponseStatus::Success);
}

#[tokio::test]
async fn only_so_many_documents_are_given_at_once() {
    let limits = "documents_per_retrieve = 2".to_owned();
    let far = community(2, 3, Options { limits, ..Options::default() }).await;
    failed(&fetch(&far, "responding-gateway", &query(Some(&home(2)))).await, "XDSTooManyResults", &home(2));
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_an_error_beside_the_others() {
    let far = community(2, 2, Options::default()).await;
    let near = near(&far, "").await;
    let objects = far.dir.path().join("data/documents/objects");
    let mut files = Vec::new();
    let mut folders = vec![objects];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
        }
    }
    assert_eq!(files.len(), 2);
    for (left, status) in [(1, ResponseStatus::PartialSuccess), (0, ResponseStatus::Failure)] {
        std::fs::remove_file(files.pop().unwrap()).unwrap();
        for (broker, service) in [(&far, "responding-gateway"), (&near, "initiating-gateway")] {
            let fetched = fetch(broker, service, &query(Some(&home(2)))).await;
            assert_eq!((fetched.status, fetched.entries.len()), (status, left), "{service}");
            let error = ("XDSRepositoryError".to_owned(), Some(home(2)));
            assert_eq!(fetched.errors, vec![error; 2 - left], "{service}");
        }
    }
}

#[tokio::test]
async fn a_hub_asks_its_members_and_never_neighbours() {
    let member = community(2, 1, Options::default()).await;
    let neighbour = community(3, 1, Options::default()).await;
    let more = peer("Member", &home(2), &member.url("responding-gateway"), "member", "")
        + &peer("Neighbour", &home(3), &neighbour.url("responding-gateway"), "neighbour", "");
    let hub = community(1, 0, Options { more, ..Options::default() }).await;
    assert_eq!(fetch(&hub, "responding-gateway", &query(Some(&home(2)))).await.entries.len(), 1);
    failed(&fetch(&hub, "responding-gateway", &query(Some(&home(3)))).await, "XDSUnknownCommunity", &home(1));
}

#[tokio::test]
async fn the_patient_is_asked_for_as_the_community_knows_them() {
    let far = community(2, 0, Options::default()).await;
    far.provide("2.999.922.2.1", "9990000018^^^&2.999.77&ISO", b"theirs").await;
    let near = near(&far, "").await;
    assert!(fetch(&near, "initiating-gateway", &query(Some(&home(2)))).await.entries.is_empty());
    let more = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")
        .replace("\"same-domain\"", "\"domain:2.999.77\"");
    let near = community(1, 0, Options { more, ..Options::default() }).await;
    let fetched = fetch(&near, "initiating-gateway", &query(Some(&home(2)))).await;
    assert_eq!(fetched.entries.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["2.999.922.2.1"]);
}

/// Who is known behind a hub: a community, and the patient's id there.
fn known(found: &[(usize, &str)]) -> DiscoveryAnswer {
    let matched = |(n, id): &(usize, &str)| PatientMatch {
        id: PatientId::parse(&format!("{id}^^^&2.999.923.{n}&ISO")).expect("a patient"),
        home: HomeCommunityId::parse(&home(*n)).ok(),
        demographics: PatientDemographics::default(),
        degree: Some(100),
        is_locator: false,
    };
    DiscoveryAnswer::Matches(found.iter().map(matched).collect())
}

/// What a hub answers to ITI-55.
fn discovered(root: &str, answer: &DiscoveryAnswer) -> String {
    let document = xml::Document::parse(root, xml::Limits::default()).expect("an envelope");
    let envelope = soap::read(&document).expect("an envelope");
    let query = hl7v3::read_request(envelope.payload).expect("a query");
    let own = HomeCommunityId::parse(&home(2)).expect("a home");
    let with = Answering {
        own: &own,
        message_id: &InstanceId::new("2.999.2.10", "m-1"),
        created: Dtm::parse("20260301120000").expect("a time"),
        request: &query.header,
        query_id: query.query_id.as_ref(),
        query_by_parameter: query.query_by_parameter.as_deref(),
    };
    let action = "urn:hl7-org:v3:PRPA_IN201306UV02:CrossGatewayPatientDiscovery";
    let out = crate::support::envelope(action, |out| hl7v3::write_response(out, &with, answer));
    String::from_utf8(out).expect("text")
}

/// Hands a fetch on to the community behind a hub that it names; what that one says.
async fn handed_on(url: &str, root: String) -> Option<(u16, String)> {
    let request = http::Request::post(url)
        .header("content-type", "application/soap+xml; charset=UTF-8")
        .body(http_body_util::Full::new(root.into()))
        .ok()?;
    let response = client("client").request(request).await.ok()?;
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.ok()?.to_bytes();
    Some((status, String::from_utf8(body.into()).ok()?))
}

/// A hub that knows the patient at itself and behind it: each of them is asked by its own id, and who breaks off, and
/// who may know the patient and cannot be asked, is named.
#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_asked_for_all_communities_that_it_speaks_for() {
    let mut communities = Vec::new();
    for n in [2, 3] {
        let broker = community(n, 0, Options::default()).await;
        for number in 0..n {
            let (id, patient) = (format!("2.999.922.{n}.{number}"), format!("P-{n}^^^&2.999.923.{n}&ISO"));
            broker.provide(&id, &patient, format!("document {number} of community {n}").as_bytes()).await;
        }
        communities.push(broker);
    }
    let urls: Vec<_> = communities.iter().map(|broker| broker.url("responding-gateway")).collect();
    let (told, mut fetches) = tokio::sync::mpsc::unbounded_channel();
    let hub = far(move |_, asked| {
        let (urls, told) = (urls.clone(), told.clone());
        async move {
            if asked.addressing.action.as_deref() != Some(FETCH_ACTION) {
                let found = known(&[(2, "P-2"), (3, "P-3"), (4, "P-4"), (5, "P-5"), (5, "P-6")]);
                return Some((200, discovered(&asked.root, &found)));
            }
            let named = |n: usize| asked.root.contains(&format!("home=\"{}\"", home(n)));
            let n = (2..6).find(|n| named(*n)).expect("one that was told of");
            let _ = told.send((n, asked.root.contains(&format!("P-{n}^^^&amp;2.999.923.{n}&amp;ISO"))));
            match urls.get(n - 2) {
                Some(url) => handed_on(url, asked.root).await,
                // The connection breaks off.
                None => None,
            }
        }
    })
    .await;
    let node = format!("nodes = [{{ name = \"Node\", home_community_id = \"{}\" }}]", home(3));
    for bounds in ["", "max_in_flight = 1"] {
        let more = peer("Hub", &home(2), &hub, "neighbour", &format!("{node}\n{bounds}"));
        let more = more.replace("same-domain", "discover").replace("\"full\"", "\"hub\"");
        let near = community(1, 1, Options { more, ..Options::default() }).await;
        let mut fetched = fetch(&near, "initiating-gateway", &query(Some(&home(2)))).await;
        fetched.entries.sort();
        let of = |n: usize| {
            (0..n).map(move |number| {
                let content = format!("document {number} of community {n}").into_bytes();
                (format!("2.999.922.{n}.{number}"), home(n), content)
            })
        };
        let expected: Vec<_> = of(2).chain(of(3)).collect();
        assert!(fetched.entries == expected, "{:?} {:?}", fetched.entries, fetched.errors);
        let missing = |n| ("XDSUnavailableCommunity".to_owned(), Some(home(n)));
        assert_eq!((fetched.status, fetched.errors), (ResponseStatus::PartialSuccess, vec![missing(4), missing(5)]));
        let mut asked = Vec::new();
        while let Ok(fetch) = fetches.try_recv() {
            asked.push(fetch);
        }
        asked.sort_unstable();
        // A connection that breaks off is tried once more.
        assert_eq!(asked, [(2, true), (3, true), (4, true), (4, true)]);
        // A node that is named is asked alone, and so passes through.
        let fetched = fetch(&near, "initiating-gateway", &query(Some(&home(3)))).await;
        assert_eq!((fetched.status, fetched.entries.len(), fetched.errors.len()), (ResponseStatus::Success, 3, 0));
        assert_eq!(fetches.try_recv(), Ok((3, true)));
        assert!(fetches.try_recv().is_err());
        near.broker.stop().await;
    }
}
