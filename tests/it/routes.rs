//! Objects that come through several communities: one in the answer for each, and through whom is told.

use causeway::actors::explain::Route;
use causeway::actors::merge::ROUTE_SLOTS;
use causeway::model::ids::HomeCommunityId;
use causeway::model::response::{QueryResponse, ResponseStatus, Severity};

use crate::gateways::{answer_with, answering, community, home, peer};
use crate::support::*;

const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";

/// A DocumentEntry as a gateway of another maker writes it.
fn entry(id: &str, of: usize, status: &str) -> String {
    let patient = PATIENT.replace('&', "&amp;");
    format!(
        r#"<ExtrinsicObject id="{id}" home="{}" mimeType="text/plain"
        objectType="urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
        status="urn:oasis:names:tc:ebxml-regrep:StatusType:{status}"><ExternalIdentifier id="p"
        registryObject="{id}" value="{patient}"
        identificationScheme="urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427"><Name><LocalizedString
        value="XDSDocumentEntry.patientId"/></Name></ExternalIdentifier></ExtrinsicObject>"#,
        home(of)
    )
}

fn routes(broker: &TestBroker) -> Vec<Route> {
    broker.broker.explanations().latest(1)[0].routes.clone()
}

fn homes(numbers: &[usize]) -> Vec<HomeCommunityId> {
    numbers.iter().map(|n| HomeCommunityId::parse(&home(*n)).unwrap()).collect()
}

fn route(of: usize, same: &[usize], different: &[usize]) -> Route {
    let home = homes(&[of]).pop();
    Route { home, same: homes(same), different: homes(different), objects: 1, in_answer: true }
}

fn found(response: &QueryResponse) -> Vec<(String, String)> {
    let of = |object: &causeway::model::rim::RegistryObject<'_>| {
        let home = object.common.home.clone().unwrap().into_owned();
        (object.uuid().unwrap().to_string(), home)
    };
    unpacked(response).iter().map(of).collect()
}

#[tokio::test]
async fn a_document_that_comes_through_a_hub_and_directly_is_there_once() {
    let far = community(2, String::new()).await;
    let to_far = |scope: &str| peer("Far", &home(2), &far.url("responding-gateway"), scope, "");
    let hub = community(1, to_far("member")).await;
    let peers = peer("Hub", &home(1), &hub.url("responding-gateway"), "neighbour", "") + &to_far("neighbour");
    for (told, setting) in [(false, ""), (true, "[federation]\nroutes_in_slots = true\n")] {
        let near = community(3, format!("{setting}{peers}")).await;
        let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
        assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
        let homes: Vec<_> = found(&response).into_iter().map(|(_, home)| home).collect();
        assert_eq!(homes, [home(3), home(1), home(2)], "each once, in configured order");
        assert_eq!(routes(&near), [route(3, &[3], &[]), route(1, &[1], &[]), route(2, &[2, 1], &[])]);
        let slots: Vec<Vec<String>> = unpacked(&response)
            .iter()
            .map(|object| object.common.slot_values(ROUTE_SLOTS[0]).map(str::to_owned).collect())
            .collect();
        let expected = if told { vec![vec![], vec![], vec![home(2), home(1)]] } else { vec![Vec::<String>::new(); 3] };
        assert_eq!(slots, expected);
        // And for people, at the admin listener.
        let id = near.broker.explanations().latest(1)[0].id.to_string();
        let json = admin_get(near.broker.admin_address().unwrap(), &format!("/explain/{id}")).await;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let through: Vec<_> =
            json["routes"][2]["through"].as_array().unwrap().iter().map(|by| by["community"].clone()).collect();
        assert_eq!((json["routes"][2]["objects"].clone(), through), (1.into(), vec!["Far".into(), "Hub".into()]));
        near.broker.stop().await;
    }
}

#[tokio::test]
async fn what_a_hub_says_otherwise_is_told_and_not_shown() {
    let far = community(2, String::new()).await;
    let id = found(&far.query_at("initiating-gateway", QUERY, &find(PATIENT)).await)[0].0.clone();
    let (url, _) = answering(answer_with(&entry(&id, 2, "Deprecated")), |_, _| true).await;
    let peers = peer("Hub", &home(1), &url, "neighbour", "")
        + &peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "");
    let near = community(3, peers).await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!(found(&response)[1..], [(id.clone(), home(2))]);
    assert!(unpacked(&response)[1].is_approved(), "its own community's word");
    assert_eq!(response.status, ResponseStatus::Success, "nothing is missing");
    let [warning] = &response.errors[..] else { panic!("{:?}", response.errors) };
    assert_eq!((warning.severity, warning.location.as_deref()), (Severity::Warning, Some(&*home(1))));
    for part in ["Hub", &home(1), "Far", &home(2), &id, "availabilityStatus Deprecated instead of Approved"] {
        assert!(warning.context.contains(part), "{part}: {}", warning.context);
    }
    assert_eq!(routes(&near)[1], route(2, &[2], &[1]));
    // Retrieved on, it is what was shown: it comes from its own community.
    let payload = retrieve(&[(Some(&home(2)), "2.999.901.2", "2.999.902.2")]);
    let (content_type, body) = mtom_request("urn:ihe:iti:2007:RetrieveDocumentSet", &payload);
    let reply = near.post("initiating-gateway", &content_type, body).await;
    assert_eq!(reply.parts()[1..], [b"document of community 2".to_vec()]);
}

/// The key of an object is its community and its id, never the id alone.
#[tokio::test]
async fn one_id_in_two_communities_is_two_documents() {
    let far = community(2, String::new()).await;
    // The same uniqueId here, as another object.
    let near_id = "2.999.902.2";
    let id = found(&far.query_at("initiating-gateway", QUERY, &find(PATIENT)).await)[0].0.clone();
    // The same entryUUID there.
    let (url, _) = answering(answer_with(&entry(&id, 4, "Approved")), |_, _| true).await;
    let peers = peer("Far", &home(2), &far.url("responding-gateway"), "neighbour", "")
        + &peer("Other", &home(4), &url, "neighbour", "");
    let near = community(3, peers).await;
    near.provide(near_id, PATIENT, b"another letter").await;
    let response = near.query_at("initiating-gateway", QUERY, &find(PATIENT)).await;
    assert_eq!((response.status, response.errors.len()), (ResponseStatus::Success, 0), "{:?}", response.errors);
    let far_or_other: Vec<_> = found(&response).into_iter().filter(|(found, _)| *found == id).map(|(_, h)| h).collect();
    assert_eq!(far_or_other, [home(2), home(4)]);
    let with_one_unique_id: Vec<_> = unpacked(&response)
        .iter()
        .filter(|object| object.unique_id() == Some(near_id))
        .map(|object| object.common.home.clone().unwrap().into_owned())
        .collect();
    assert_eq!(with_one_unique_id, [home(3), home(2)]);
}
