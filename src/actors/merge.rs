//! One outcome per community asked → one response, one status (ITI TF-2 §3.18.4.1.3, §3.38.4.1.3).

mod difference;
mod gathered;

use tokio::time::Instant;

use super::context::RequestContext;
use super::explain::{Doing, Route, counted};
use super::federation::Federation;
use super::ports::PeerFailure;
use crate::model::ids::HomeCommunityId;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus, has_error};
use gathered::{Gathered, Reaches, Source};

/// What became of asking one community.
pub struct Outcome<T> {
    /// The community asked.
    pub home: HomeCommunityId,
    /// Those behind it whose gateway is its own.
    pub nodes: Vec<HomeCommunityId>,
    /// Its name, for people.
    pub name: String,
    /// What it said.
    pub result: Result<T, PeerFailure>,
}

/// The error that names a community that did not deliver.
pub fn unavailable(home: &HomeCommunityId, name: &str, failure: &PeerFailure) -> RegistryError {
    RegistryError::new(failure.code(), format!("{name} {}; its documents are missing from this answer", failure.told()))
        .at(home.as_str())
}

/// An error of a community, located: its own location stays when it begins with a home. A
/// location of another kind, a document's id, moves into the context: gateways of other makers
/// read `location` as one homeCommunityId and nothing else (§3.38.4.1.3, §3.39.4.1.3).
pub fn locate(mut error: RegistryError, home: &HomeCommunityId) -> RegistryError {
    let located = error.location.as_deref().is_some_and(|at| at.trim_start().starts_with("urn:oid:"));
    if !located {
        let own = error.location.replace(home.to_string()).filter(|own| !own.trim().is_empty());
        if let Some(own) = own.filter(|own| !error.context.contains(own.as_str())) {
            error.context = format!("{} (at {own})", error.context);
        }
    }
    error
}

/// The slots in which an object may tell through whom it came: communities that say the same of it, the one
/// whose word it is first; and those that say something else (ITI TF-3 §4.2.3.1.6: names of others than IHE).
pub const ROUTE_SLOTS: [&str; 2] = ["urn:causeway:routes", "urn:causeway:routes:different"];

/// Merges answers, and notes what came through whom; the objects tell it too if the federation wants that.
pub fn noted(
    context: &RequestContext,
    own: &HomeCommunityId,
    federation: &Federation,
    outcomes: Vec<Outcome<QueryResponse>>,
) -> QueryResponse {
    let began = Instant::now();
    let reaches = |home: &str, by: &HomeCommunityId| federation.reaches(home, by);
    let (merged, routes) = with_routes(own, federation.tells_routes, &reaches, outcomes);
    context.steps.came_of(None, Doing::Merge, began, || counted(&merged));
    context.steps.came_by(routes);
    merged
}

/// What of one community's answer is given on; its objects stay as they are.
pub fn alone(own: &HomeCommunityId, federation: &Federation, outcome: Outcome<QueryResponse>) -> QueryResponse {
    let reaches = |home: &str, by: &HomeCommunityId| federation.reaches(home, by);
    with_routes(own, false, &reaches, vec![outcome]).0
}

/// Merges answers in the order of the outcomes given, which is the configured order. Of an object
/// that comes twice, what its own community says of it counts, else what the one says through whom documents of
/// that community are retrieved; what others say of our own community's objects never does.
fn with_routes(
    own: &HomeCommunityId,
    in_slots: bool,
    reaches: Reaches<'_>,
    outcomes: Vec<Outcome<QueryResponse>>,
) -> (QueryResponse, Vec<Route>) {
    let mut merged = QueryResponse::success(Vec::new());
    let mut gathered = Gathered::default();
    let (mut delivered, mut failed) = (false, false);
    for outcome in outcomes {
        let mut response = match outcome.result {
            Ok(response) => response,
            Err(failure) => {
                failed = true;
                merged.errors.push(unavailable(&outcome.home, &outcome.name, &failure));
                continue;
            }
        };
        // "Not known here" is an empty answer, never an error of the whole (§3.38.4.1.3).
        let before = response.errors.len();
        response.errors.retain(|error| error.code != ErrorCode::XDSUnknownPatientId);
        if response.errors.len() != before && !has_error(&response.errors) {
            response.status = ResponseStatus::Success;
        }
        match response.status {
            ResponseStatus::Failure => {
                failed = true;
                // Objects beside a Failure are illegal: the errors are believed.
                response.objects.clear();
            }
            ResponseStatus::Success | ResponseStatus::PartialSuccess => delivered = true,
        }
        if response.status == ResponseStatus::PartialSuccess && !has_error(&response.errors) {
            response.errors.push(RegistryError::new(
                ErrorCode::XDSRegistryError,
                format!("{} says that its answer is not whole, and not what is missing", outcome.name),
            ));
        }
        failed |= has_error(&response.errors);
        merged.errors.extend(response.errors.into_iter().map(|error| locate(error, &outcome.home)));
        for object in response.objects {
            let home = match &response.home {
                // Our own community's objects carry no home until they are written.
                Some(own) if !object.has_home() => {
                    merged.home.get_or_insert_with(|| own.clone());
                    own.to_string()
                }
                _ => match object.home().map(|home| home.into_owned()) {
                    Some(home) if !home.trim().is_empty() => home,
                    _ => {
                        failed = true;
                        let id = object.uuid().map(|id| id.to_string()).unwrap_or_default();
                        merged.errors.push(
                            RegistryError::new(
                                ErrorCode::XDSMissingHomeCommunityId,
                                format!("{} returned {id} without a homeCommunityId; it is left out", outcome.name),
                            )
                            .at(outcome.home.as_str()),
                        );
                        continue;
                    }
                },
            };
            // As it would be read when it comes back: no spelling of our name passes for another's.
            let home = HomeCommunityId::parse_lenient(home.trim()).map_or(home, |home| home.to_string());
            let own_word = home == outcome.home.as_str() || outcome.nodes.iter().any(|node| node.as_str() == home);
            gathered.take(home, object, own_word);
        }
        gathered.next(Source { home: outcome.home, name: outcome.name });
    }
    let settled = gathered.settle(own, in_slots, reaches);
    merged.objects = settled.objects;
    merged.errors.extend(settled.warnings);
    merged.status = match (failed, delivered) {
        (false, _) => ResponseStatus::Success,
        (true, true) => ResponseStatus::PartialSuccess,
        (true, false) => ResponseStatus::Failure,
    };
    (merged, settled.routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::EntryUuid;
    use crate::model::metadata::build;
    use crate::model::packed::PackedObject;
    use crate::model::rim::ObjectId;

    /// Where nobody behind anybody has been asked for before.
    fn routed(
        own: &HomeCommunityId,
        in_slots: bool,
        outcomes: Vec<Outcome<QueryResponse>>,
    ) -> (QueryResponse, Vec<Route>) {
        with_routes(own, in_slots, &|_, _| false, outcomes)
    }

    fn queries(own: &HomeCommunityId, outcomes: Vec<Outcome<QueryResponse>>) -> QueryResponse {
        routed(own, false, outcomes).0
    }

    fn home(n: u8) -> HomeCommunityId {
        HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
    }

    fn entry(uuid: u8, home: Option<&str>) -> PackedObject {
        let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([uuid; 16])), "text/plain");
        entry.common.home = home.map(|h| h.to_owned().into());
        PackedObject::pack(&entry)
    }

    fn outcome(n: u8, result: Result<QueryResponse, PeerFailure>) -> Outcome<QueryResponse> {
        Outcome { home: home(n), nodes: Vec::new(), name: format!("community {n}"), result }
    }

    #[test]
    fn a_missing_community_is_named_and_the_rest_is_there() {
        let merged = queries(
            &home(99),
            vec![
                outcome(1, Ok(QueryResponse::success(vec![entry(1, Some("urn:oid:2.999.1"))]))),
                outcome(2, Err(PeerFailure::Timeout(8000))),
            ],
        );
        assert_eq!(merged.status, ResponseStatus::PartialSuccess);
        assert_eq!((merged.objects.len(), merged.errors.len()), (1, 1));
        assert_eq!(merged.errors[0].location.as_deref(), Some("urn:oid:2.999.2"));
    }

    #[test]
    fn unknown_patients_are_no_errors() {
        let unknown = QueryResponse::failure(vec![RegistryError::new(ErrorCode::XDSUnknownPatientId, "x")]);
        let merged = queries(&home(99), vec![outcome(1, Ok(unknown))]);
        assert_eq!((merged.status, merged.errors.len()), (ResponseStatus::Success, 0));
    }

    #[test]
    fn a_part_without_a_word_is_told() {
        let mut part = QueryResponse::success(vec![entry(1, Some("urn:oid:2.999.1"))]);
        part.status = ResponseStatus::PartialSuccess;
        let merged = queries(&home(99), vec![outcome(1, Ok(part))]);
        assert_eq!((merged.status, merged.objects.len()), (ResponseStatus::PartialSuccess, 1));
        let told: Vec<_> = merged.errors.iter().map(|e| (e.code.as_str(), e.location.as_deref())).collect();
        assert_eq!(told, [("XDSRegistryError", Some("urn:oid:2.999.1"))]);
    }

    #[test]
    fn all_failed_is_failure() {
        let merged = queries(
            &home(99),
            vec![outcome(1, Err(PeerFailure::Timeout(1))), outcome(2, Err(PeerFailure::Timeout(1)))],
        );
        assert_eq!(merged.status, ResponseStatus::Failure);
    }

    #[test]
    fn same_id_same_home_once_other_home_twice_no_home_out() {
        let merged = queries(
            &home(99),
            vec![
                outcome(
                    1,
                    Ok(QueryResponse::success(vec![
                        entry(1, Some("urn:oid:2.999.1")),
                        entry(1, Some("urn:oid:2.999.9")),
                    ])),
                ),
                outcome(2, Ok(QueryResponse::success(vec![entry(1, Some("urn:oid:2.999.1")), entry(2, None)]))),
            ],
        );
        assert_eq!(merged.objects.len(), 2);
        let error = &merged.errors[0];
        assert_eq!(error.code, ErrorCode::XDSMissingHomeCommunityId);
        // Whose answer it was, and which element.
        assert_eq!(error.location.as_deref(), Some(home(2).as_str()));
        let EntryUuid(id) = entry(2, None).uuid().unwrap();
        assert!(error.context.contains(&EntryUuid(id).to_string()), "{error:?}");
        assert_eq!(merged.status, ResponseStatus::PartialSuccess);
    }

    #[test]
    fn what_a_community_says_of_itself_counts() {
        let of = |title: &str, home: &str| {
            let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([7; 16])), "text/plain");
            entry.common.home = Some(home.to_owned().into());
            entry.common.names = build::name(title.to_owned());
            PackedObject::pack(&entry)
        };
        let merged = queries(
            &home(9),
            vec![
                outcome(
                    1,
                    Ok(QueryResponse::success(vec![
                        of("forged", "urn:oid:2.999.2"),
                        of("forged", "urn:oid:2.999.9"),
                        of("forged", "URN:OID:2.999.9 "),
                    ])),
                ),
                outcome(2, Ok(QueryResponse::success(vec![of("its own", "urn:oid:2.999.2")]))),
                outcome(3, Ok(QueryResponse::success(vec![of("late", "urn:oid:2.999.2")]))),
            ],
        );
        let titles: Vec<_> = merged.objects.iter().map(|o| o.unpack().unwrap().title().unwrap().to_owned()).collect();
        assert_eq!(titles, ["its own"]);
        assert_eq!(merged.status, ResponseStatus::Success);
    }

    #[test]
    fn locations_keep_a_home_and_gain_one() {
        let located =
            locate(RegistryError::new(ErrorCode::XDSRegistryError, "").at("urn:oid:2.999.7 module"), &home(1));
        assert_eq!(located.location.as_deref(), Some("urn:oid:2.999.7 module"));
        let bare = locate(RegistryError::new(ErrorCode::XDSDocumentUniqueIdError, "gone").at("1.2.3"), &home(1));
        assert_eq!((bare.location.as_deref(), bare.context.as_str()), (Some("urn:oid:2.999.1"), "gone (at 1.2.3)"));
    }

    /// An entry with a title, of a community.
    fn titled(id: u8, of: u8, title: &str) -> PackedObject {
        let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([id; 16])), "text/plain");
        entry.common.home = Some(home(of).to_string().into());
        entry.common.names = build::name(title.to_owned());
        PackedObject::pack(&entry)
    }

    fn titles(merged: &QueryResponse) -> Vec<String> {
        merged.objects.iter().map(|o| o.unpack().unwrap().title().unwrap_or_default().to_owned()).collect()
    }

    fn route(of: u8, same: &[u8], different: &[u8], objects: usize) -> Route {
        let homes = |all: &[u8]| all.iter().map(|n| home(*n)).collect();
        Route { home: Some(home(of)), same: homes(same), different: homes(different), objects, in_answer: true }
    }

    /// (a): one object, and through whom it came.
    #[test]
    fn the_same_object_through_a_hub_and_directly_is_one_and_both_ways_are_told() {
        let mut again = titled(1, 2, "letter").unpack().unwrap().into_owned();
        // As another gateway writes it.
        again.common.home = Some("URN:OID:2.999.2".into());
        let hub =
            vec![PackedObject::pack(&again), titled(2, 2, "scan"), titled(3, 1, "of the hub"), titled(4, 3, "far")];
        let direct = vec![titled(1, 2, "letter"), titled(5, 2, "only directly")];
        let outcomes = || {
            vec![
                outcome(1, Ok(QueryResponse::success(hub.clone()))),
                outcome(2, Ok(QueryResponse::success(direct.clone()))),
            ]
        };
        let (merged, routes) = routed(&home(9), false, outcomes());
        assert_eq!((merged.status, merged.errors.len()), (ResponseStatus::Success, 0));
        assert_eq!(titles(&merged), ["letter", "scan", "of the hub", "far", "only directly"]);
        let expected = [
            route(2, &[2, 1], &[], 1),
            route(2, &[1], &[], 1),
            route(1, &[1], &[], 1),
            route(3, &[1], &[], 1),
            route(2, &[2], &[], 1),
        ];
        assert_eq!(routes, expected);
        assert!(merged.objects.iter().all(|o| o.unpack().unwrap().common.slots.is_empty()), "no slot unless wanted");
        // Wanted, they are on what did not come from its own community alone.
        let (merged, _) = routed(&home(9), true, outcomes());
        let told: Vec<_> = merged
            .objects
            .iter()
            .map(|o| o.unpack().unwrap().common.slot_values(ROUTE_SLOTS[0]).collect::<Vec<_>>().join(" "))
            .collect();
        let (one, two) = (home(1).to_string(), home(2).to_string());
        assert_eq!(told, [format!("{two} {one}"), one.clone(), String::new(), one, String::new()]);
        // A gateway that gets it keeps what was told before it.
        let (again, _) = routed(&home(8), true, vec![outcome(7, Ok(merged))]);
        let first = again.objects[0].unpack().unwrap().into_owned();
        let slots: Vec<_> = first.common.slots.iter().filter(|slot| slot.name == ROUTE_SLOTS[0]).collect();
        assert_eq!(slots.len(), 1);
        assert_eq!(slots[0].values, [home(7).to_string(), home(2).to_string(), home(1).to_string()]);
    }

    /// (b): one object in the answer, its own community's word; the other is told.
    #[test]
    fn what_another_says_otherwise_is_told() {
        let hub = (0..25).map(|n| titled(n, 2, "old")).collect();
        let direct = (0..25).map(|n| titled(n, 2, "new")).collect();
        let third = vec![titled(3, 2, "new")];
        let (merged, routes) = routed(
            &home(9),
            true,
            vec![
                outcome(1, Ok(QueryResponse::success(hub))),
                outcome(2, Ok(QueryResponse::success(direct))),
                outcome(3, Ok(QueryResponse::success(third))),
            ],
        );
        assert_eq!((merged.status, merged.objects.len()), (ResponseStatus::Success, 25));
        assert!(titles(&merged).iter().all(|title| title == "new"));
        let [warning] = &merged.errors[..] else { panic!("{:?}", merged.errors) };
        assert_eq!(
            (warning.severity, warning.location.as_deref()),
            (crate::model::response::Severity::Warning, Some(home(1).as_str()))
        );
        let (first, last) = (EntryUuid([0; 16]).to_string(), EntryUuid([24; 16]).to_string());
        for part in [
            "community 1",
            home(1).as_str(),
            "community 2",
            home(2).as_str(),
            "25 objects",
            &first,
            "(title)",
            "and 5 more",
        ] {
            assert!(warning.context.contains(part), "{part}: {}", warning.context);
        }
        // A value that may name a patient is not in it, and it is not without end.
        assert!(!warning.context.contains("old") && !warning.context.contains(&last), "{}", warning.context);
        assert_eq!(routes, [route(2, &[2], &[1], 24), route(2, &[2, 3], &[1], 1)]);
        let object = merged.objects[3].unpack().unwrap();
        assert_eq!(object.common.slot_value(ROUTE_SLOTS[1]), Some(home(1).as_str()));
    }

    #[test]
    fn where_nobody_speaks_for_himself_the_first_one_counts_and_the_other_is_told() {
        let give = |title: &str| Ok(QueryResponse::success(vec![titled(1, 5, title)]));
        let (merged, routes) = routed(&home(9), false, vec![outcome(1, give("a")), outcome(2, give("b"))]);
        assert_eq!(titles(&merged), ["a"]);
        assert_eq!(merged.errors[0].location.as_deref(), Some(home(2).as_str()));
        assert_eq!(routes, [route(5, &[1], &[2], 1)]);
        // Unless its documents are retrieved through another: what is shown is what can be had.
        let reaches = |of: &str, by: &HomeCommunityId| of == home(5).as_str() && *by == home(2);
        let (merged, routes) =
            with_routes(&home(9), false, &reaches, vec![outcome(1, give("a")), outcome(2, give("b"))]);
        assert_eq!((titles(&merged), routes), (vec!["b".to_owned()], vec![route(5, &[2], &[1], 1)]));
        // One that only refers to it does not keep out one that describes it.
        let reference = crate::model::rim::RegistryObject::new(
            crate::model::rim::Body::ObjectRef,
            ObjectId::Uuid(EntryUuid([1; 16])),
        );
        let mut reference = reference;
        reference.common.home = Some(home(5).to_string().into());
        let reference = Ok(QueryResponse::success(vec![PackedObject::pack(&reference)]));
        let merged = queries(&home(9), vec![outcome(1, reference), outcome(2, give("b"))]);
        assert_eq!((titles(&merged), merged.errors.len()), (vec!["b".to_owned()], 0));
        // One and the same that says two things.
        let twice = Ok(QueryResponse::success(vec![titled(1, 1, "a"), titled(1, 1, "b")]));
        let merged = queries(&home(9), vec![outcome(1, twice)]);
        assert_eq!(titles(&merged), ["a"]);
        assert!(merged.errors[0].context.contains("gives 1 objects twice"), "{:?}", merged.errors);
    }

    /// Our own word of our own objects counts also here; what we do not say is left out.
    #[test]
    fn what_others_say_of_ours_is_told_where_we_say_otherwise() {
        let ours = Ok(QueryResponse::success(vec![titled(1, 9, "ours"), titled(2, 9, "the same")]));
        let theirs = vec![titled(1, 9, "theirs"), titled(2, 9, "the same"), titled(3, 9, "made up")];
        let (merged, routes) =
            routed(&home(9), false, vec![outcome(9, ours), outcome(1, Ok(QueryResponse::success(theirs)))]);
        assert_eq!(titles(&merged), ["ours", "the same"]);
        assert_eq!(merged.errors.len(), 1, "{:?}", merged.errors);
        let made_up = Route { in_answer: false, ..route(9, &[1], &[], 1) };
        assert_eq!(routes, [route(9, &[9], &[1], 1), route(9, &[9, 1], &[], 1), made_up]);
    }

    /// (c), (d): other communities' objects are other objects, whatever ids they have.
    #[test]
    fn one_id_in_two_communities_is_two_objects() {
        let of = |id: u8, of: u8| {
            let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([id; 16])), "text/plain");
            entry.common.home = Some(home(of).to_string().into());
            let scheme = crate::model::vocabulary::identifier::ENTRY_UNIQUE_ID;
            entry.identifiers = vec![build::external_identifier(scheme, "2.999.5.1")];
            Ok(QueryResponse::success(vec![PackedObject::pack(&entry)]))
        };
        for outcomes in
            [vec![outcome(1, of(1, 1)), outcome(2, of(2, 2))], vec![outcome(1, of(1, 1)), outcome(2, of(1, 2))]]
        {
            let (merged, routes) = routed(&home(9), false, outcomes);
            assert_eq!((merged.objects.len(), merged.errors.len()), (2, 0));
            assert_eq!(routes, [route(1, &[1], &[], 1), route(2, &[2], &[], 1)]);
        }
    }

    #[test]
    fn ways_are_bounded() {
        let of = |n: u16| {
            let mut entry = build::document_entry(ObjectId::Uuid(EntryUuid([1; 16])), "text/plain");
            entry.common.home = Some(format!("urn:oid:2.999.7.{n}").into());
            PackedObject::pack(&entry)
        };
        let many = Ok(QueryResponse::success((0..300).map(of).collect()));
        let (merged, routes) = routed(&home(9), false, vec![outcome(1, many)]);
        assert_eq!((merged.objects.len(), routes.len()), (300, 201));
        assert_eq!((routes[200].objects, routes[200].home.clone()), (100, None));
    }
}
