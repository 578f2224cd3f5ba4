//! Who is left out, and above all who is not.

use std::sync::Mutex;

use super::super::federation::{Learned, PatientTranslation, PeerState, query_peer, query_peers};
use super::super::ports::Community;
use super::*;
use crate::model::discovery::PatientLocation;
use crate::model::document::{BoxFuture, DocumentRequest, RetrieveResponse};
use crate::model::metadata::build;
use crate::model::packed::PackedObject;
use crate::model::response::Severity;
use crate::model::rim::{ObjectId, Slot};
use crate::model::vocabulary::{APPROVED, DEPRECATED, identifier};
use crate::transaction::{Transaction, TransactionId};

const PATIENT: &str = "1^^^&2.999.100&ISO";
const HOURS: Duration = Duration::from_secs(3600);

/// What a community does when it is asked.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    HoldsSomething,
    HoldsNothing,
    KnowsNobody,
    Warns,
    Fails,
    NeverAnswers,
}

struct Fake {
    home: HomeCommunityId,
    does: Mutex<Does>,
    queried: Mutex<usize>,
    /// What it says as a locator.
    names: Mutex<Result<Vec<usize>, PeerFailure>>,
    located: Mutex<Vec<String>>,
}

impl Community for Fake {
    fn query<'a>(
        &'a self,
        _: &'a RequestContext,
        _: &'a AdhocQuery,
    ) -> BoxFuture<'a, Result<QueryResponse, PeerFailure>> {
        *self.queried.lock().unwrap() += 1;
        let error = |code| RegistryError::new(code, "as the test wants it");
        let answer = match *self.does.lock().unwrap() {
            Does::HoldsSomething => {
                let mut entry =
                    build::document_entry(ObjectId::Uuid(crate::model::ids::EntryUuid::random()), "text/plain");
                entry.common.home = Some(self.home.to_string().into());
                entry.identifiers = vec![build::external_identifier(identifier::ENTRY_PATIENT_ID, PATIENT)];
                Ok(QueryResponse::success(vec![PackedObject::pack(&entry)]))
            }
            Does::HoldsNothing => Ok(QueryResponse::success(Vec::new())),
            Does::KnowsNobody => Ok(QueryResponse::failure(vec![error(ErrorCode::XDSUnknownPatientId)])),
            Does::Warns => {
                let mut answer = QueryResponse::success(Vec::new());
                answer.errors.push(error(ErrorCode::XDSUnavailableCommunity).warning());
                Ok(answer)
            }
            Does::Fails => Ok(QueryResponse::failure(vec![error(ErrorCode::XDSRegistryError)])),
            Does::NeverAnswers => Err(PeerFailure::Timeout(1)),
        };
        Box::pin(async { answer })
    }

    fn locate<'a>(
        &'a self,
        context: &'a RequestContext,
        patient: &'a PatientId,
    ) -> BoxFuture<'a, Result<Vec<PatientLocation>, PeerFailure>> {
        self.located.lock().unwrap().push(patient.to_cx());
        let names = self.names.lock().unwrap().clone();
        assert!(context.deadline <= Instant::now() + HOURS / 3600);
        let location = |n: usize| PatientLocation { home: home(n), id: patient.clone() };
        Box::pin(async move { Ok(names?.into_iter().map(location).collect()) })
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

/// Communities numbered from 1, and a gateway that asks them.
struct World {
    fakes: Vec<Arc<Fake>>,
    federation: Arc<Federation>,
    context: RequestContext,
}

fn settings() -> Locator {
    Locator {
        knows_nothing: 4 * HOURS,
        broadcast_every: 24 * HOURS,
        per_user: true,
        tell: false,
        wait: Duration::from_secs(1),
        locators: Vec::new(),
        located_by: HashMap::new(),
        tally: None,
    }
}

fn world(does: &[Does], locator: Locator) -> World {
    let fake = |(n, does): (usize, &Does)| {
        Arc::new(Fake {
            home: home(n + 1),
            does: Mutex::new(*does),
            queried: Mutex::default(),
            names: Mutex::new(Ok(Vec::new())),
            located: Mutex::default(),
        })
    };
    let fakes: Vec<Arc<Fake>> = does.iter().enumerate().map(fake).collect();
    let peers = fakes.iter().map(|fake| Peer::usual(fake.home.clone(), Arc::clone(fake) as Arc<dyn Community>));
    let learned = Arc::new(Learned::new(0, 100));
    let federation = Arc::new(Federation::new(peers.collect(), learned).with_locator(Some(Arc::new(locator))));
    let mut context = RequestContext::of_our_own(
        Transaction::of(TransactionId::RegistryStoredQuery),
        "test",
        Duration::from_secs(60),
    );
    context.at = jiff::Timestamp::UNIX_EPOCH;
    World { fakes, federation, context }
}

fn find(status: &str, more: &[(&'static str, &str)]) -> AdhocQuery {
    let mut slots = vec![
        Slot::single("$XDSDocumentEntryPatientId", format!("'{PATIENT}'")),
        Slot::single("$XDSDocumentEntryStatus", format!("('{status}')")),
    ];
    slots.extend(more.iter().map(|(name, value)| Slot::single(*name, (*value).to_owned())));
    AdhocQuery {
        id: "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d".into(),
        home: None,
        return_type: Some("LeafClass".into()),
        slots,
    }
}

impl World {
    /// To change it: nobody is asked meanwhile.
    fn federation(&mut self) -> &mut Federation {
        Arc::get_mut(&mut self.federation).unwrap()
    }

    fn later(&mut self, seconds: i64) {
        self.context.at += jiff::SignedDuration::from_secs(seconds);
    }

    /// Asks as the Initiating Gateway does; the numbers of those that were queried, and what is told.
    async fn ask_with(&self, query: &AdhocQuery) -> (Vec<usize>, Vec<RegistryError>) {
        let (peers, told) = whom_to_ask(&self.context, &self.federation, query).await;
        query_peers(&self.context, &self.federation, &peers, query).await;
        let queried =
            |(n, fake): (usize, &Arc<Fake>)| (std::mem::take(&mut *fake.queried.lock().unwrap()) > 0).then_some(n + 1);
        (self.fakes.iter().enumerate().filter_map(queried).collect(), told)
    }

    async fn ask(&self) -> Vec<usize> {
        self.ask_with(&find(APPROVED, &[])).await.0
    }

    fn set(&self, n: usize, does: Does) {
        *self.fakes[n - 1].does.lock().unwrap() = does;
    }

    fn names(&self, n: usize, names: Result<Vec<usize>, PeerFailure>) {
        *self.fakes[n - 1].names.lock().unwrap() = names;
    }
}

#[tokio::test]
async fn only_those_are_left_out_that_have_proven_to_hold_nothing() {
    use Does::*;
    let mut world =
        world(&[HoldsSomething, HoldsNothing, KnowsNobody, Warns, Fails, NeverAnswers, HoldsNothing], settings());
    assert_eq!(world.ask().await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.ask().await, [1, 4, 5, 6]);
    // It counts for so long, and not a second longer.
    world.later(4 * 3600 - 1);
    assert_eq!(world.ask().await, [1, 4, 5, 6]);
    world.later(1);
    world.set(7, NeverAnswers);
    assert_eq!(world.ask().await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.ask().await, [1, 4, 5, 6, 7], "who does not answer has not said it again");
    // A clock that was set back proves nothing.
    world.later(-3600);
    assert_eq!(world.ask().await, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn without_being_told_to_nothing_is_learned() {
    let mut world = world(&[Does::HoldsNothing], settings());
    let locator = world.federation().locator.take();
    assert_eq!((world.ask().await, world.ask().await), (vec![1], vec![1]));
    world.federation().locator = locator;
    assert_eq!(world.ask().await, [1]);
}

#[tokio::test]
async fn an_answer_to_a_narrow_question_proves_nothing() {
    let world = world(&[Does::HoldsNothing], settings());
    let narrow = find(APPROVED, &[("$XDSDocumentEntryClassCode", "('1^^2')")]);
    for _ in 0..2 {
        assert_eq!(world.ask_with(&narrow).await.0, [1]);
        assert_eq!(world.ask_with(&find(APPROVED, &[("$ofOurOwn", "'x'")])).await.0, [1]);
        assert_eq!(world.ask_with(&find(APPROVED, &[("$MetadataLevel", "2")])).await.0, [1]);
    }
    assert_eq!(world.ask().await, [1]);
    // What is narrower than what is proven need not be asked; what is wider must be.
    assert_eq!(world.ask_with(&narrow).await.0, [0_usize; 0]);
    assert_eq!(world.ask_with(&find(DEPRECATED, &[])).await.0, [1]);
    assert_eq!(world.ask_with(&find(&format!("{APPROVED}','{DEPRECATED}"), &[])).await.0, [0_usize; 0]);
    assert_eq!(world.ask_with(&find(APPROVED, &[("$MetadataLevel", "2")])).await.0, [1]);
    let mut other = find(APPROVED, &[]);
    other.slots[0] = Slot::single("$XDSDocumentEntryPatientId", "'2^^^&2.999.100&ISO'");
    assert_eq!(world.ask_with(&other).await.0, [1], "of another patient nothing is known");
}

#[tokio::test]
async fn what_is_shown_to_one_proves_nothing_for_another() {
    use Does::*;
    let mut world = world(&[HoldsNothing, KnowsNobody], settings());
    world.context.security = Some("<clerk/>".into());
    assert_eq!((world.ask().await, world.ask().await), (vec![1, 2], vec![]));
    world.context.security = Some("<doctor/>".into());
    assert_eq!(world.ask().await, [1], "that the patient is not known there is said to everybody");
    world.context.security = None;
    assert_eq!(world.ask().await, [1]);
    // Unless all communities show everybody the same.
    let mut world = self::world(&[HoldsNothing], Locator { per_user: false, ..settings() });
    for (security, asked) in [("<clerk/>", 1), ("<doctor/>", 0)] {
        world.context.security = Some(security.into());
        assert_eq!(world.ask().await.len(), asked);
    }
}

#[tokio::test]
async fn in_an_emergency_everybody_is_asked() {
    let mut world = world(&[Does::HoldsNothing], Locator { per_user: false, ..settings() });
    assert_eq!((world.ask().await.len(), world.ask().await.len()), (1, 0));
    for (lane, emergency, asked) in [
        (Lane::Ordinary, EmergencyClaim::Yes, 1),
        // Nobody knows what it says: it may only widen.
        (Lane::Ordinary, EmergencyClaim::Unclear, 1),
        (Lane::Ordinary, EmergencyClaim::No, 0),
        (Lane::Emergency, EmergencyClaim::No, 1),
    ] {
        (world.context.lane, world.context.emergency) = (lane, emergency);
        assert_eq!(world.ask().await.len(), asked, "{lane:?} {emergency:?}");
    }
}

#[tokio::test]
async fn everybody_is_asked_again_and_again() {
    let long = Locator { knows_nothing: 24 * HOURS, broadcast_every: 2 * HOURS, ..settings() };
    let mut world = world(&[Does::HoldsNothing], long);
    assert_eq!(world.ask().await.len(), 1);
    for (later, asked) in [(0, 0), (7199, 0), (1, 1), (0, 0), (7200, 1)] {
        world.later(later);
        assert_eq!(world.ask().await.len(), asked, "{later}");
    }
}

#[tokio::test]
async fn hints_undo_what_was_learned() {
    use Does::*;
    let mut world = world(&[HoldsNothing, HoldsNothing, HoldsNothing], settings());
    let nobody: [usize; 0] = [];
    assert_eq!((world.ask().await.len(), world.ask().await.len()), (3, 0));
    // It asks about the patient itself.
    world.context.via = Arc::new([home(9), home(1)]);
    queries_about(&world.context, &world.federation, &find(APPROVED, &[]));
    assert_eq!(world.ask().await, [1]);
    assert_eq!(world.ask().await, nobody);
    asks_about(&world.federation, Some(&home(2)), &[PatientId::parse(PATIENT).unwrap()]);
    asks_about(&world.federation, Some(&home(9)), &[PatientId::parse(PATIENT).unwrap()]);
    asks_about(&world.federation, None, &[PatientId::parse(PATIENT).unwrap()]);
    assert_eq!(world.ask().await, [2]);
    // Asked by name it has something now.
    world.set(3, HoldsSomething);
    let query = AdhocQuery { home: Some(home(3).to_string()), ..find(APPROVED, &[]) };
    query_peer(&world.context, &world.federation, &world.federation.peers[2], &query).await;
    assert_eq!(world.ask().await, [3]);
    assert_eq!(world.ask().await, [3]);
    // It is asked in another way from now on.
    world.federation.learned.forget_patients_at(&home(1));
    assert_eq!(world.ask().await, [1, 3]);
}

#[tokio::test]
async fn of_a_community_behind_it_a_peer_says_nothing_of_itself() {
    let mut world = world(&[Does::HoldsNothing], settings());
    world.federation().peers[0].nodes = vec![home(50)];
    assert_eq!(world.ask_with(&find(APPROVED, &[("$XDSDocumentEntryClassCode", "('1^^2')")])).await.0, [1]);
    let query = AdhocQuery { home: Some(home(50).to_string()), ..find(APPROVED, &[]) };
    query_peer(&world.context, &world.federation, &world.federation.peers[0], &query).await;
    assert_eq!(world.ask().await, [1]);
}

#[tokio::test]
async fn those_left_out_are_told_if_that_is_wanted() {
    let mut world = world(&[Does::HoldsSomething, Does::HoldsNothing], Locator { tell: true, ..settings() });
    world.context.steps = super::super::explain::Steps::noted(Instant::now());
    assert!(world.ask_with(&find(APPROVED, &[])).await.1.is_empty());
    let (asked, told) = world.ask_with(&find(APPROVED, &[])).await;
    assert_eq!(asked, [1]);
    let told: Vec<_> = told.iter().map(|e| (e.code.as_str(), e.severity, e.location.as_deref().unwrap())).collect();
    assert_eq!(told, [("XDSUnavailableCommunity", Severity::Warning, home(2).as_str())]);
    let steps = world.context.steps.all();
    let step = steps.iter().find(|step| step.doing == Doing::NotAsked).unwrap();
    assert_eq!(step.community, Some(home(2)));
    assert!(step.said.as_deref().unwrap().contains("holds nothing"), "{:?}", step.said);
    assert!(steps.iter().all(|step| !step.said.as_deref().unwrap_or_default().contains("2.999.100")));
}

/// The first is a locator that speaks for the second and the third.
fn located() -> Locator {
    Locator {
        broadcast_every: Duration::ZERO,
        locators: vec![home(1)],
        located_by: [2, 3].map(|n| (home(n), home(1))).into(),
        ..settings()
    }
}

#[tokio::test]
async fn whom_a_locator_speaks_for_is_asked_when_it_names_them() {
    use Does::*;
    let world = world(&[HoldsNothing, HoldsSomething, HoldsNothing, HoldsSomething], located());
    world.names(1, Ok(vec![2]));
    // From the first query on: so it was wanted.
    assert_eq!(world.ask().await, [1, 2, 4]);
    assert_eq!(world.ask().await, [2, 4], "the locator itself holds nothing");
    assert_eq!(*world.fakes[0].located.lock().unwrap(), [PATIENT, PATIENT]);
    // It names one that nobody knew of, and one that we do not know.
    world.names(1, Ok(vec![3, 77]));
    assert_eq!(world.ask().await, [2, 3, 4], "who has answered with something is asked, whatever the locator says");
    // It names one that has said that it holds nothing: something is new there.
    world.names(1, Ok(vec![3]));
    assert_eq!(world.ask().await, [2, 3, 4]);
    world.names(1, Ok(vec![1]));
    assert_eq!(world.ask().await, [1, 2, 4]);
}

#[tokio::test]
async fn a_locator_that_says_nothing_leaves_nobody_out() {
    use Does::*;
    for says in [Ok(Vec::new()), Err(PeerFailure::Timeout(1)), Err(PeerFailure::Fault("no such action".into()))] {
        let world = world(&[HoldsSomething, HoldsNothing, NeverAnswers], located());
        world.names(1, says);
        assert_eq!(world.ask().await, [1, 2, 3]);
        assert_eq!(world.ask().await, [1, 3], "what was learned counts all the same");
    }
    // One that is not asked at all, too.
    let mut world = world(&[HoldsSomething, HoldsNothing], located());
    world.names(1, Ok(vec![1]));
    world.federation().peers[0].states = PeerState::Suspended.into();
    assert_eq!(world.ask().await, [2]);
    assert!(world.fakes[0].located.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_locator_is_asked_only_where_somebody_would_be_left_out() {
    use Does::*;
    let locator = Locator { located_by: HashMap::new(), broadcast_every: 24 * HOURS, ..located() };
    let world = world(&[HoldsSomething, HoldsNothing, HoldsSomething], locator);
    let located = |world: &World| world.fakes[0].located.lock().unwrap().len();
    assert_eq!((world.ask().await, located(&world)), (vec![1, 2, 3], 0));
    world.names(1, Ok(vec![2]));
    assert_eq!((world.ask().await, located(&world)), (vec![1, 2, 3], 1), "what it names is asked");
    world.names(1, Ok(vec![3]));
    assert_eq!((world.ask().await, located(&world)), (vec![1, 3], 2));
    // With a broadcast due, those that it speaks for are asked whatever it says.
    let world = self::world(&[HoldsSomething, HoldsNothing], Locator { broadcast_every: HOURS, ..self::located() });
    world.names(1, Ok(vec![1]));
    assert_eq!((world.ask().await, located(&world)), (vec![1, 2], 0));
    assert_eq!((world.ask().await, located(&world)), (vec![1], 1));
}

#[tokio::test]
async fn a_locator_is_asked_by_the_id_that_it_knows() {
    let mut world = world(&[Does::HoldsSomething, Does::HoldsNothing], located());
    let domain = crate::model::ids::Oid::parse("2.999.7").unwrap();
    world.federation().peers[0].translation = PatientTranslation::Domain(domain);
    world.ask().await;
    assert_eq!(*world.fakes[0].located.lock().unwrap(), ["1^^^&2.999.7&ISO"]);
    // One of whom it would have to be found out, and cannot be.
    world.federation().peers[0].translation = PatientTranslation::Discover;
    world.ask().await;
    assert_eq!(world.fakes[0].located.lock().unwrap().len(), 1);
}
