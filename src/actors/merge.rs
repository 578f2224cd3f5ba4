//! One outcome per community asked → one response, one status (ITI TF-2 §3.18.4.1.3, §3.38.4.1.3).

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::ports::PeerFailure;
use crate::model::ids::{EntryUuid, HomeCommunityId};
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus, has_error};

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

/// Merges answers in the order of the outcomes given, which is the configured order. Of an object
/// that comes twice, what its own community says of it counts; what others say of our own
/// community's objects never does.
pub fn queries(own: &HomeCommunityId, outcomes: Vec<Outcome<QueryResponse>>) -> QueryResponse {
    let mut merged = QueryResponse::success(Vec::new());
    // Where in the answer each object is, and whether its own community gave it.
    let mut seen: HashMap<(EntryUuid, String), (usize, bool)> = HashMap::new();
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
        let mut ours = 0_usize;
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
            if !own_word && home == own.as_str() {
                ours += 1;
                continue;
            }
            let Some(id) = object.uuid() else {
                merged.objects.push(object);
                continue;
            };
            match seen.entry((id, home)) {
                Entry::Vacant(vacant) => {
                    vacant.insert((merged.objects.len(), own_word));
                    merged.objects.push(object);
                }
                Entry::Occupied(mut first) => {
                    let (at, from_own) = *first.get();
                    if own_word
                        && !from_own
                        && let Some(place) = merged.objects.get_mut(at)
                    {
                        first.insert((at, true));
                        *place = object;
                    }
                }
            }
        }
        if ours > 0 {
            tracing::warn!(community = %outcome.home, ours, "what a community says of our own objects is left out");
        }
    }
    merged.status = match (failed, delivered) {
        (false, _) => ResponseStatus::Success,
        (true, true) => ResponseStatus::PartialSuccess,
        (true, false) => ResponseStatus::Failure,
    };
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::metadata::build;
    use crate::model::packed::PackedObject;
    use crate::model::rim::ObjectId;

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
}
