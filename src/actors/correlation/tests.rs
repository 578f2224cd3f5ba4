//! Who is asked how often, and what is kept for how long.

use std::collections::VecDeque;

use super::*;
use crate::actors::document_registry::PatientPolicy;
use crate::actors::federation::{Federation, Learned, PatientTranslation, query_peer};
use crate::actors::locator::{Locator, whom_to_ask};
use crate::actors::patient_directory::ListedPatients;
use crate::actors::ports::{Community, Discovered};
use crate::model::discovery::{Address, BirthTime, Gender, PatientDemographics, PersonName, Problem};
use crate::model::document::{BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::ids::Oid;
use crate::model::response::{ErrorCode, QueryResponse, RegistryError, ResponseStatus};
use crate::model::rim::Slot;
use crate::model::stored_query::AdhocQuery;
use crate::model::time::Dtm;
use crate::model::vocabulary::APPROVED;
use crate::transaction::{Transaction, TransactionId};

/// A clock that stands where it was put.
struct Standing(Mutex<Timestamp>);

impl Standing {
    fn advance(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap();
        *now += SignedDuration::from_secs(seconds);
    }
}

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A community that answers from a list, and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Result<Discovered, PeerFailure>>>,
    asked: Mutex<Vec<Criteria>>,
    /// Homes and patients of the queries.
    queried: Mutex<Vec<(String, String)>>,
}

impl Community for Scripted {
    fn query<'a>(
        &'a self,
        _: &'a RequestContext,
        query: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>> {
        let patient = query.slots.first().map(|slot| slot.values.join(",")).unwrap_or_default();
        self.queried.lock().unwrap().push((query.home.clone().unwrap_or_default(), patient));
        // Whoever is asked says that the patient is unknown.
        let unknown = RegistryError::new(ErrorCode::XDSUnknownPatientId, "unknown");
        Box::pin(async { Ok(QueryResponse::failure(vec![unknown])) })
    }

    fn discover<'a>(
        &'a self,
        _: &'a RequestContext,
        query: &'a DiscoveryQuery,
    ) -> BoxFuture<'a, Result<Discovered, PeerFailure>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push(query.criteria.clone());
            // Others come meanwhile.
            tokio::task::yield_now().await;
            self.answers.lock().unwrap().pop_front().unwrap_or(Err(PeerFailure::NoRoom))
        })
    }

    fn retrieve<'a>(
        &'a self,
        _: &'a RequestContext,
        _: Vec<DocumentRequest>,
    ) -> BoxFuture<'a, Result<RetrieveResponse, PeerFailure>> {
        Box::pin(async { Err(PeerFailure::NoRoom) })
    }
}

fn home(n: usize) -> HomeCommunityId {
    HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
}

fn id(extension: &str, root: &str) -> PatientId {
    PatientId::new(extension, Oid::parse(root).unwrap()).unwrap()
}

fn born(text: &str) -> Option<BirthTime> {
    Some(BirthTime::At(Dtm::parse(text).unwrap()))
}

/// A match in a community.
fn found(n: usize, extension: &str) -> PatientMatch {
    PatientMatch {
        id: id(extension, "2.999.2.3"),
        home: Some(home(n)),
        demographics: PatientDemographics::default(),
        degree: Some(100),
        is_locator: false,
    }
}

fn says(answer: DiscoveryAnswer, expires: Option<i64>) -> Result<Discovered, PeerFailure> {
    let expires = expires.map(|seconds| START + SignedDuration::from_secs(seconds));
    Ok(Discovered { answer, expires })
}

const START: Timestamp = Timestamp::UNIX_EPOCH;

struct World {
    correlations: Correlations,
    community: Arc<Scripted>,
    clock: Arc<Standing>,
    peer: Peer,
    context: RequestContext,
}

fn world(people: Vec<Person>, answers: Vec<Result<Discovered, PeerFailure>>) -> World {
    let clock = Arc::new(Standing(Mutex::new(START)));
    let policy = PatientPolicy {
        domains: vec![(Oid::parse("2.999.100").unwrap(), crate::model::ids::IdentifierRule::Any)],
        reject_unknown: false,
    };
    let directory = ListedPatients::new(Arc::new(people), policy.clone());
    let patients = Arc::new(OwnPatients::new(Box::new(directory), policy, Duration::ZERO));
    let limits = CorrelationLimits {
        most: 4,
        usual: Duration::from_secs(100),
        longest: Duration::from_secs(1000),
        negative: Duration::from_secs(10),
        told: 4,
        questions: 4,
        question_life: Duration::from_secs(100),
    };
    let community = Arc::new(Scripted { answers: Mutex::new(answers.into()), ..Scripted::default() });
    World {
        correlations: Correlations::new(patients, home(1), Arc::clone(&clock) as Arc<dyn Clock>, limits),
        peer: Peer {
            name: "Two".into(),
            translation: PatientTranslation::Discover,
            ..Peer::usual(home(2), Arc::clone(&community) as Arc<dyn Community>)
        },
        community,
        clock,
        context: RequestContext::of_our_own(
            Transaction::of(TransactionId::RegistryStoredQuery),
            "test",
            Duration::from_secs(5),
        ),
    }
}

impl World {
    async fn of(&self, patient: &PatientId) -> Result<Vec<Correlated>, PeerFailure> {
        self.correlations.of(&self.context, &self.peer, patient).await.map(|known| known.to_vec())
    }

    fn asked(&self) -> usize {
        self.community.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn what_is_known_is_kept_as_long_as_its_community_says() {
    let matched = || DiscoveryAnswer::Matches(vec![found(2, "P-77")]);
    // What the community says; how long it is kept.
    for (expires, kept) in [(Some(50), 50), (None, 100), (Some(5000), 1000)] {
        let world = world(Vec::new(), vec![says(matched(), expires), says(DiscoveryAnswer::NotFound, None)]);
        let patient = id("1", "2.999.100");
        let known = vec![(home(2), Some(id("P-77", "2.999.2.3")))];
        assert_eq!(world.of(&patient).await, Ok(known.clone()));
        world.clock.advance(kept - 1);
        assert_eq!(world.of(&patient).await, Ok(known.clone()));
        assert_eq!(world.correlations.known(&patient, &home(2)).unwrap().to_vec(), known);
        assert_eq!(world.asked(), 1);
        world.clock.advance(1);
        assert!(world.correlations.known(&patient, &home(2)).is_none());
        assert_eq!(world.of(&patient).await, Ok(Vec::new()));
        assert_eq!(world.asked(), 2);
    }
    // Zero: not at all.
    let world = world(Vec::new(), vec![says(matched(), Some(0)), says(matched(), Some(0))]);
    for asked in [1, 2] {
        assert!(world.of(&id("1", "2.999.100")).await.is_ok());
        assert_eq!(world.asked(), asked);
    }
}

#[tokio::test]
async fn that_nobody_is_known_is_kept_for_a_short_time() {
    let world =
        world(Vec::new(), vec![says(DiscoveryAnswer::NotFound, Some(500)), says(DiscoveryAnswer::NotFound, None)]);
    let patient = id("1", "2.999.100");
    for (after, asked) in [(0, 1), (9, 1), (1, 2)] {
        world.clock.advance(after);
        assert_eq!(world.of(&patient).await, Ok(Vec::new()));
        assert_eq!(world.asked(), asked);
    }
}

#[tokio::test]
async fn of_all_who_ask_at_once_one_asks() {
    for answer in [
        says(DiscoveryAnswer::Matches(vec![found(2, "P-77")]), None),
        // Not to be kept, but for those who waited.
        says(DiscoveryAnswer::Matches(vec![found(2, "P-77")]), Some(0)),
        says(DiscoveryAnswer::unavailable(Problem::ResponderBusy), None),
        Err(PeerFailure::Timeout(5)),
    ] {
        let world = world(Vec::new(), vec![answer.clone()]);
        let patient = id("1", "2.999.100");
        let all = futures_util::future::join_all((0..8).map(|_| world.of(&patient))).await;
        assert_eq!(world.asked(), 1, "{answer:?}");
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        let expected = match answer {
            Ok(Discovered { answer: DiscoveryAnswer::Refused(_), .. }) => Err(PeerFailure::Declined("ResponderBusy")),
            Ok(_) => Ok(vec![(home(2), Some(id("P-77", "2.999.2.3")))]),
            Err(failure) => Err(failure),
        };
        assert_eq!(all[0], expected);
    }
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let matched = says(DiscoveryAnswer::Matches(vec![found(2, "P-77")]), None);
    let world = world(Vec::new(), vec![Err(PeerFailure::NoRoom), matched]);
    let patient = id("1", "2.999.100");
    assert_eq!(world.of(&patient).await, Err(PeerFailure::NoRoom));
    assert_eq!(world.of(&patient).await.unwrap().len(), 1);
    // Until it has turned out wrong.
    world.correlations.forget(&patient, &home(2));
    assert_eq!(world.of(&patient).await, Err(PeerFailure::NoRoom));
}

#[tokio::test]
async fn one_patient_for_each_community() {
    let cases = [
        (vec![found(2, "a"), found(2, "a")], vec![(home(2), Some("a"))]),
        (vec![found(2, "a"), found(2, "b")], vec![(home(2), None)]),
        (vec![found(2, "a"), found(3, "b")], vec![(home(2), Some("a")), (home(3), Some("b"))]),
        (vec![PatientMatch { home: None, ..found(2, "a") }], vec![(home(2), Some("a"))]),
        // What they say of our own patients is not asked for.
        (vec![found(1, "x")], vec![]),
    ];
    for (matches, expected) in cases {
        let world = world(Vec::new(), vec![says(DiscoveryAnswer::Matches(matches), None)]);
        let expected: Vec<Correlated> =
            expected.into_iter().map(|(home, name)| (home, name.map(|name| id(name, "2.999.2.3")))).collect();
        assert_eq!(world.of(&id("1", "2.999.100")).await, Ok(expected));
    }
}

#[tokio::test]
async fn what_was_not_used_lately_goes_first() {
    let matched = || says(DiscoveryAnswer::Matches(vec![found(2, "P-77")]), None);
    let world = world(Vec::new(), (0..20).map(|_| matched()).collect());
    let patient = |n: usize| id(&n.to_string(), "2.999.100");
    for n in [0, 1, 2, 0, 3, 0, 4, 5, 0] {
        world.of(&patient(n)).await.unwrap();
    }
    // The first was used all the time; the others are six, of which four are kept at most.
    assert_eq!(world.asked(), 6);
    let kept = (0..6).filter(|n| world.correlations.known(&patient(*n), &home(2)).is_some()).count();
    assert!((2..=4).contains(&kept), "{kept}");
    assert!(world.correlations.known(&patient(0), &home(2)).is_some());
}

fn ada() -> Person {
    Person {
        id: id("1", "2.999.55"),
        demographics: PatientDemographics {
            names: vec![PersonName { family: vec!["Meyer".into()], ..PersonName::default() }],
            birth_time: born("19700131"),
            gender: Some(Gender::Female),
            addresses: vec![Address { city: Some("Linz".into()), ..Address::default() }],
            telecoms: vec!["tel:1".into()],
            other_ids: vec![id("S", "2.999.100"), id("other hospital", "2.999.56")],
            ..PatientDemographics::default()
        },
        restricted: false,
    }
}

#[tokio::test]
async fn who_is_known_here_is_asked_for_by_who_they_are_and_not_where() {
    let world = world(vec![ada()], vec![says(DiscoveryAnswer::NotFound, None)]);
    world.of(&id("1", "2.999.55")).await.unwrap();
    let asked = world.community.asked.lock().unwrap()[0].clone();
    let known = ada().demographics;
    let expected = Criteria {
        ids: vec![id("1", "2.999.55"), id("S", "2.999.100")],
        names: known.names,
        birth_time: known.birth_time,
        gender: known.gender,
        ..Criteria::default()
    };
    assert!(asked == expected);
}

#[tokio::test]
async fn who_wants_more_gets_it_once_and_never_of_restricted_people() {
    let wants = || says(DiscoveryAnswer::MoreWanted(vec![Attribute::Address, Attribute::BirthPlaceName]), None);
    let matched = says(DiscoveryAnswer::Matches(vec![found(2, "P-77")]), None);
    for (restricted, answers, asked, known) in [
        (false, vec![wants(), matched.clone()], 2, Some("P-77")),
        (false, vec![wants(), wants(), matched.clone()], 2, None),
        (true, vec![wants(), matched], 1, None),
    ] {
        let world = world(vec![Person { restricted, ..ada() }], answers);
        let there = world.of(&id("1", "2.999.55")).await.unwrap();
        assert_eq!(there, [(home(2), known.map(|known| id(known, "2.999.2.3")))]);
        assert_eq!(world.asked(), asked);
        let told = world.community.asked.lock().unwrap().iter().any(|criteria| !criteria.addresses.is_empty());
        assert_eq!(told, !restricted);
    }
}

#[tokio::test]
async fn a_match_that_cannot_be_the_patient_leaves_doubt() {
    let with = |birth| PatientMatch {
        demographics: PatientDemographics { birth_time: born(birth), ..PatientDemographics::default() },
        ..found(2, "P-77")
    };
    let named = |given: PatientId, others: Vec<PatientId>| PatientMatch {
        id: given,
        demographics: PatientDemographics { other_ids: others, ..PatientDemographics::default() },
        ..found(2, "P-77")
    };
    let there = || id("P-77", "2.999.2.3");
    for (matched, used) in [
        (with("19700131"), true),
        (with("1970"), true),
        (with("19700201"), false),
        // The number that was asked for, another one of the same domain, both.
        (named(id("1", "2.999.55"), Vec::new()), true),
        (named(id("2", "2.999.55"), Vec::new()), false),
        (named(there(), vec![id("2", "2.999.55")]), false),
        (named(there(), vec![id("2", "2.999.55"), id("1", "2.999.55")]), true),
        (named(there(), vec![id("T", "2.999.100")]), false),
    ] {
        let given = matched.id.clone();
        let world = world(vec![ada()], vec![says(DiscoveryAnswer::Matches(vec![matched]), None)]);
        assert_eq!(*world.of(&id("1", "2.999.55")).await.unwrap(), [(home(2), used.then_some(given))]);
    }
    // One that is right is not spoiled by one that is wrong.
    let both = vec![with("19700201"), with("19700131")];
    let world = world(vec![ada()], vec![says(DiscoveryAnswer::Matches(both), None)]);
    assert_eq!(*world.of(&id("1", "2.999.55")).await.unwrap(), [(home(2), Some(there()))]);
}

fn query(home: Option<&HomeCommunityId>, patients: &str) -> AdhocQuery {
    AdhocQuery {
        id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
        home: home.map(ToString::to_string),
        return_type: None,
        slots: vec![Slot::single("$XDSDocumentEntryPatientId", patients.to_owned())],
    }
}

/// A world as a federation, to be asked a query.
async fn ask(
    world: World,
    of: Option<&HomeCommunityId>,
    patients: &str,
) -> (Arc<Scripted>, Result<QueryResponse, PeerFailure>) {
    let federation = Federation::new(vec![world.peer], Arc::default()).with_correlations(Arc::new(world.correlations));
    let outcome = query_peer(&world.context, &federation, &federation.peers[0], &query(of, patients)).await;
    (world.community, outcome.result)
}

#[tokio::test]
async fn a_query_goes_to_whom_the_answer_names() {
    const ASKED: &str = "'1^^^&2.999.100&ISO'";
    const A: &str = "'a^^^&2.999.2.3&ISO'";
    const B: &str = "'b^^^&2.999.2.3&ISO'";
    // Matches, the home that the query names, what is queried: homes and patients.
    let cases = [
        (vec![found(2, "a")], None, vec![(home(2), A)]),
        (vec![found(2, "it's")], None, vec![(home(2), "'it''s^^^&2.999.2.3&ISO'")]),
        (vec![found(3, "b"), found(2, "a")], Some(2), vec![(home(3), B), (home(2), A)]),
        (vec![found(3, "b"), found(2, "a")], Some(3), vec![(home(3), B)]),
        (vec![found(3, "b")], Some(2), vec![(home(3), B)]),
        (vec![found(2, "a")], Some(3), vec![(home(3), A)]),
        (vec![found(3, "b"), found(4, "a")], Some(2), vec![(home(3), B), (home(4), A)]),
        (vec![found(2, "a"), found(2, "b")], None, vec![]),
        (vec![], None, vec![]),
    ];
    for (matches, named, expected) in cases {
        let uncertain = matches.len() > 1 && expected.is_empty();
        let answer = if matches.is_empty() { DiscoveryAnswer::NotFound } else { DiscoveryAnswer::Matches(matches) };
        let named = named.map(home);
        let (community, result) = ask(world(Vec::new(), vec![says(answer, None)]), named.as_ref(), ASKED).await;
        let queried = community.queried.lock().unwrap().clone();
        let expected: Vec<_> = expected.into_iter().map(|(home, cx)| (home.to_string(), cx.to_owned())).collect();
        assert_eq!(queried, expected);
        if expected.is_empty() {
            let answer = result.unwrap();
            assert_eq!((answer.status, answer.errors.len()), (ResponseStatus::Success, usize::from(uncertain)));
        }
    }
}

#[tokio::test]
async fn what_names_no_single_patient_is_not_discovered() {
    // Unreadable, it goes on as it is; of two patients it is not asked.
    let (community, _) = ask(world(Vec::new(), Vec::new()), None, "'1'").await;
    assert_eq!(community.queried.lock().unwrap().len(), 1);
    let two = "('1^^^&2.999.100&ISO','2^^^&2.999.100&ISO')";
    let (community, result) = ask(world(Vec::new(), Vec::new()), None, two).await;
    assert!(matches!(result, Err(PeerFailure::NotAsked(_))));
    assert!(community.queried.lock().unwrap().is_empty() && community.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn who_does_not_know_whom_they_gave_is_asked_anew() {
    let matched = || says(DiscoveryAnswer::Matches(vec![found(2, "a")]), None);
    let world = world(Vec::new(), vec![matched(), matched()]);
    let federation = Federation::new(vec![world.peer], Arc::default()).with_correlations(Arc::new(world.correlations));
    for asked in [1, 2] {
        let query = query(None, "'1^^^&2.999.100&ISO'");
        query_peer(&world.context, &federation, &federation.peers[0], &query).await.result.unwrap();
        assert_eq!(world.community.asked.lock().unwrap().len(), asked);
    }
}

#[tokio::test]
async fn it_is_known_who_has_said_that_there_is_nobody() {
    let patient = id("1", "2.999.55");
    let other = PatientMatch {
        demographics: PatientDemographics { birth_time: born("19700201"), ..PatientDemographics::default() },
        ..found(2, "P-77")
    };
    // Somebody who cannot be used is not nobody.
    for (answer, known, said) in [
        (DiscoveryAnswer::NotFound, Vec::new(), Some(START)),
        (DiscoveryAnswer::Matches(vec![other]), vec![(home(2), None)], None),
    ] {
        let world = world(vec![ada()], vec![says(answer, None)]);
        assert_eq!(world.of(&patient).await, Ok(known));
        assert_eq!(world.correlations.knows_nobody(&patient, &home(2)), said);
    }
    // A gateway that directs its queries asks it no more for a while.
    let mut world = world(Vec::new(), vec![says(DiscoveryAnswer::NotFound, None)]);
    world.context.at = START;
    let locator = Locator {
        knows_nothing: Duration::from_secs(100),
        broadcast_every: Duration::ZERO,
        per_user: true,
        tell: false,
        wait: Duration::from_secs(1),
        locators: Vec::new(),
        located_by: HashMap::new(),
        tally: None,
    };
    let federation = Federation::new(vec![world.peer], Arc::new(Learned::new(0, 10)))
        .with_correlations(Arc::new(world.correlations))
        .with_locator(Some(Arc::new(locator)));
    let mut find = AdhocQuery { return_type: Some("LeafClass".into()), ..query(None, "'1^^^&2.999.100&ISO'") };
    find.slots.push(Slot::single("$XDSDocumentEntryStatus", format!("('{APPROVED}')")));
    assert_eq!(whom_to_ask(&world.context, &federation, &find).await.0.len(), 1);
    query_peer(&world.context, &federation, &federation.peers[0], &find).await.result.unwrap();
    for (after, asked) in [(0, 0), (99, 0), (100, 1)] {
        world.context.at = START + SignedDuration::from_secs(after);
        assert_eq!(whom_to_ask(&world.context, &federation, &find).await.0.len(), asked, "{after}");
    }
}

#[tokio::test]
async fn who_is_a_locator_says_so_of_itself() {
    let says_so = |n| PatientMatch { is_locator: true, ..found(n, "P-77") };
    for (matches, is_locator) in [
        (vec![says_so(2)], true),
        (vec![PatientMatch { home: None, ..says_so(2) }], true),
        (vec![found(2, "P-77")], false),
        // Of another it has no say.
        (vec![says_so(3)], false),
    ] {
        let world = world(Vec::new(), vec![says(DiscoveryAnswer::Matches(matches), None)]);
        world.of(&id("1", "2.999.100")).await.unwrap();
        assert_eq!(world.correlations.is_locator(&home(2)), is_locator);
    }
}
