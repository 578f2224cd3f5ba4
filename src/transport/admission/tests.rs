//! Fairness, the reserve, bounds, and that no turn is lost, whoever goes away when.

use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::transport::metrics::Metrics;
use Lane::{Emergency, Ordinary};

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Place, Refusal>> + 'a>>;

const FAR: Duration = Duration::from_secs(3600);

fn admission(places: usize, reserve: usize, queue: usize, queue_of_one: usize) -> Admission {
    Admission::new(AdmissionLimits { places, reserve, queue, queue_of_one }, Metrics::default().places("test"))
}

/// A runtime for futures that are polled by hand: nothing moves unless a test says so.
fn by_hand() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// A request that has been polled for the first time, so that it has its place, its turn or its refusal.
fn ask<'a>(admission: &'a Admission, caller: &str, lane: Lane) -> (Asking<'a>, Option<Result<Place, Refusal>>) {
    let caller: Arc<str> = caller.into();
    let mut asking: Asking<'a> = Box::pin(async move { admission.admit(&caller, lane, Instant::now() + FAR).await });
    let first = look(&mut asking);
    (asking, first)
}

fn look(asking: &mut Asking<'_>) -> Option<Result<Place, Refusal>> {
    asking.as_mut().now_or_never()
}

/// One that is let in at once.
fn place(admission: &Admission, caller: &str, lane: Lane) -> Place {
    ask(admission, caller, lane).1.unwrap().ok().unwrap()
}

/// One that has to wait.
fn waits<'a>(admission: &'a Admission, caller: &str, lane: Lane) -> Asking<'a> {
    let (asking, first) = ask(admission, caller, lane);
    assert!(first.is_none());
    asking
}

fn refused(admission: &Admission, caller: &str, lane: Lane) -> Refusal {
    ask(admission, caller, lane).1.unwrap().err().unwrap()
}

#[test]
fn one_caller_may_have_all_but_the_reserve() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(4, 1, 9, 9);
    let held: Vec<_> = (0..3).map(|_| place(&admission, "flood", Ordinary)).collect();
    let mut ordinary = waits(&admission, "flood", Ordinary);
    let reserve = place(&admission, "ambulance", Emergency);
    let mut emergency = waits(&admission, "ambulance", Emergency);
    // The reserve's place is no place for the ordinary one, and any place is one for the emergency.
    drop(reserve);
    assert!(look(&mut ordinary).is_none());
    let emergency = look(&mut emergency).unwrap().ok().unwrap();
    drop(held);
    assert!(look(&mut ordinary).unwrap().is_ok());
    drop((emergency, ordinary));
    assert_eq!(admission.load(), Load { held: 0, waiting: 0, limit: 3 });
}

#[test]
fn other_bounds_let_in_who_waits_and_turn_nobody_out() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(2, 0, 4, 4);
    let set = |places, queue| {
        admission.set_limits(AdmissionLimits { places, reserve: 0, queue, queue_of_one: queue }, places);
    };
    let mut held: Vec<_> = (0..2).map(|_| place(&admission, "one", Ordinary)).collect();
    let mut waiting: Vec<_> = (0..3).map(|_| waits(&admission, "one", Ordinary)).collect();
    // More places: who waits has them now.
    set(4, 4);
    held.extend(waiting.iter_mut().filter_map(look).map(|admitted| admitted.ok().unwrap()));
    assert_eq!(admission.load(), Load { held: 4, waiting: 1, limit: 4 });
    // Fewer: all keep what they have, and nobody comes in until there is room again.
    set(1, 1);
    assert_eq!(refused(&admission, "one", Ordinary), Refusal::OwnFull);
    held.truncate(1);
    assert!(look(&mut waiting[2]).is_none());
    assert_eq!(admission.load(), Load { held: 1, waiting: 1, limit: 1 });
    held.clear();
    assert!(look(&mut waiting[2]).unwrap().is_ok());
}

#[test]
fn who_floods_waits_for_itself() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(4, 0, 100, 50);
    let mut held: Vec<_> = (0..4).map(|_| place(&admission, "flood", Ordinary)).collect();
    let mut flood: Vec<_> = (0..50).map(|_| waits(&admission, "flood", Ordinary)).collect();
    // It came last, and is next.
    for _ in 0..2 {
        let mut modest = waits(&admission, "modest", Ordinary);
        drop(held.pop());
        held.insert(0, look(&mut modest).unwrap().ok().unwrap());
        assert!(flood.iter_mut().all(|asking| look(asking).is_none()));
    }
    // Of two that hold as many each has a turn; one caller's turns are in the order in which they came.
    let mut modest: Vec<_> = (0..4).map(|_| waits(&admission, "modest", Ordinary)).collect();
    let mut served = Vec::new();
    for _ in 0..4 {
        held.remove(0);
        for (name, asking) in [("modest", &mut modest), ("flood", &mut flood)] {
            if let Some(admitted) = look(&mut asking[0]) {
                held.push(admitted.ok().unwrap());
                drop(asking.remove(0));
                served.push(name);
            }
        }
    }
    assert_eq!(served.iter().filter(|name| **name == "modest").count(), 2, "{served:?}");
}

#[test]
fn callers_that_wait_for_one_place_take_turns() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(1, 0, 100, 50);
    let mut held = vec![place(&admission, "c", Ordinary)];
    let mut waiting = Vec::new();
    for caller in ["a", "a", "a", "b", "b", "c", "c"] {
        waiting.push((caller, waits(&admission, caller, Ordinary)));
    }
    let mut served = String::new();
    while !waiting.is_empty() {
        held.clear();
        let at = waiting.iter_mut().position(|(_, asking)| match look(asking) {
            Some(admitted) => {
                held.push(admitted.ok().unwrap());
                true
            }
            None => false,
        });
        served += waiting.remove(at.unwrap()).0;
    }
    assert_eq!(served, "abcabca");
}

#[test]
fn emergencies_go_first_and_leave_half_to_others() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(8, 2, 100, 100);
    let mut hospital: Vec<_> = (0..6).map(|_| place(&admission, "hospital", Ordinary)).collect();
    let _ambulance: Vec<_> = (0..2).map(|_| place(&admission, "ambulance", Emergency)).collect();
    let mut clinic: Vec<_> = (0..10).map(|_| waits(&admission, "clinic", Ordinary)).collect();
    let mut emergencies: Vec<_> = (0..10).map(|_| waits(&admission, "ambulance", Emergency)).collect();
    // Beside the reserve of two they get half of the other six.
    let mut more = Vec::new();
    for emergency in &mut emergencies[..3] {
        drop(hospital.pop());
        more.push(look(emergency).unwrap().ok().unwrap());
    }
    assert!(clinic.iter_mut().all(|asking| look(asking).is_none()));
    // The other half is not theirs while others wait.
    drop(hospital.pop());
    assert!(look(&mut emergencies[3]).is_none());
    let clinic_held = look(&mut clinic[0]).unwrap().ok().unwrap();
    // Nobody else waits: they may have all.
    drop(clinic);
    drop((hospital, clinic_held));
    assert!(emergencies[3..6].iter_mut().all(|asking| look(asking).is_some()));
}

#[test]
fn queues_are_bounded_each_and_together() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(1, 0, 4, 3);
    let held = place(&admission, "a", Ordinary);
    let mut a: Vec<_> = (0..3).map(|_| waits(&admission, "a", Ordinary)).collect();
    assert_eq!(refused(&admission, "a", Ordinary), Refusal::OwnFull);
    let mut b = waits(&admission, "b", Ordinary);
    // All are taken: a newcomer takes the last turn of whoever has most.
    let mut c = waits(&admission, "c", Ordinary);
    assert_eq!(look(&mut a[2]).unwrap().err(), Some(Refusal::Displaced));
    assert!(look(&mut a[1]).is_none());
    // Who has as many as the others takes nobody's.
    assert_eq!(refused(&admission, "b", Ordinary), Refusal::Full);
    let mut d = waits(&admission, "d", Ordinary);
    assert_eq!(look(&mut a[1]).unwrap().err(), Some(Refusal::Displaced));
    assert_eq!(refused(&admission, "e", Ordinary), Refusal::Full);
    assert_eq!(admission.load().waiting, 4);
    // Emergencies have a queue of their own.
    let mut emergency = waits(&admission, "e", Emergency);
    drop(held);
    assert!(look(&mut emergency).unwrap().is_ok());
    for asking in [&mut b, &mut c, &mut d, &mut a[0]] {
        assert!(look(asking).unwrap().is_ok());
    }
    let nothing = self::admission(1, 0, 0, 0);
    let _held = place(&nothing, "a", Ordinary);
    assert_eq!(refused(&nothing, "b", Ordinary), Refusal::OwnFull);
}

#[test]
fn who_goes_away_gives_its_turn_back() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(1, 0, 9, 9);
    let held = place(&admission, "a", Ordinary);
    let (first, second, mut third) =
        (waits(&admission, "b", Ordinary), waits(&admission, "b", Ordinary), waits(&admission, "c", Ordinary));
    // Before its turn, and when it has come but nobody has looked.
    drop(first);
    assert_eq!(admission.load().waiting, 2);
    drop(held);
    assert_eq!(admission.load(), Load { held: 1, waiting: 1, limit: 1 });
    drop(second);
    assert!(look(&mut third).unwrap().is_ok());
    assert_eq!(admission.load(), Load { held: 0, waiting: 0, limit: 1 });
    assert!(admission.shared.state().ordinary.callers.is_empty());
}

#[tokio::test]
async fn waits_are_bounded() {
    let admission = admission(1, 0, 9, 9);
    let (a, now): (Arc<str>, _) = ("a".into(), Instant::now());
    let held = admission.admit(&a, Ordinary, now).await.ok().unwrap();
    assert_eq!(admission.admit(&a, Ordinary, now).await.err(), Some(Refusal::Late));
    assert_eq!(admission.admit(&a, Emergency, now + Duration::from_millis(5)).await.err(), Some(Refusal::Late));
    assert_eq!(admission.load(), Load { held: 1, waiting: 0, limit: 1 });
    drop(held);
    assert!(admission.admit(&a, Ordinary, now).await.is_ok());
}

#[test]
fn a_limit_moves_within_the_places() {
    let runtime = by_hand();
    let _in = runtime.enter();
    let admission = admission(4, 0, 9, 9);
    let mut held: Vec<_> = (0..4).map(|_| place(&admission, "a", Ordinary)).collect();
    admission.set_limit(2);
    let mut waiting: Vec<_> = (0..4).map(|_| waits(&admission, "a", Ordinary)).collect();
    // Who holds more keeps it, and gives no place on.
    held.truncate(2);
    assert!(waiting.iter_mut().all(|asking| look(asking).is_none()));
    // What it leaves is for emergencies.
    let _emergency = place(&admission, "b", Emergency);
    admission.set_limit(9);
    assert_eq!(admission.load(), Load { held: 4, waiting: 3, limit: 4 });
}

/// What may happen.
#[derive(Debug, Clone)]
enum Event {
    Asks(u8, bool),
    Looks(prop::sample::Index),
    GoesAway(prop::sample::Index),
    Ends(prop::sample::Index),
    Limit(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u8..4, any::<bool>()).prop_map(|(caller, emergency)| Event::Asks(caller, emergency)),
        3 => any::<prop::sample::Index>().prop_map(Event::Looks),
        2 => any::<prop::sample::Index>().prop_map(Event::GoesAway),
        4 => any::<prop::sample::Index>().prop_map(Event::Ends),
        1 => (1_usize..8).prop_map(Event::Limit),
    ]
}

/// What always holds.
fn check(admission: &Admission) -> Result<(), TestCaseError> {
    let shared = &admission.shared;
    let state = shared.state();
    for (queue, lane) in [(&state.ordinary, Ordinary), (&state.emergency, Emergency)] {
        prop_assert_eq!(queue.held, queue.callers.values().map(|caller| caller.held).sum::<usize>());
        prop_assert_eq!(queue.waiting, queue.callers.values().map(|caller| caller.waiting.len()).sum::<usize>());
        prop_assert!(queue.callers.values().all(|caller| caller.held > 0 || !caller.waiting.is_empty()));
        prop_assert!(queue.callers.values().all(|caller| caller.waiting.len() <= state.limits.queue_of_one));
        prop_assert!(queue.waiting <= state.limits.queue);
        // No turn is lost: whoever waits has no room.
        prop_assert!(queue.waiting == 0 || !shared.has_room(&state, lane));
    }
    prop_assert!(state.held() <= state.limits.places);
    Ok(())
}

proptest! {
    #[test]
    fn no_turn_is_lost_and_no_bound_passed(
        events in prop::collection::vec(event(), 1..200),
        places in 1_usize..8,
        reserve in 0_usize..3,
    ) {
        let runtime = by_hand();
        let _in = runtime.enter();
        let admission = admission(places, reserve.min(places - 1), 6, 3);
        let (mut asking, mut held): (Vec<Asking<'_>>, Vec<Place>) = (Vec::new(), Vec::new());
        for event in events {
            let before = { let state = admission.shared.state(); (state.ordinary.held, state.for_ordinary) };
            match event {
                Event::Asks(caller, emergency) => {
                    let lane = if emergency { Emergency } else { Ordinary };
                    match ask(&admission, &caller.to_string(), lane) {
                        (_, Some(Ok(place))) => held.push(place),
                        (_, Some(Err(refusal))) => {
                            prop_assert!(matches!(refusal, Refusal::Full | Refusal::OwnFull));
                        }
                        (waiting, None) => asking.push(waiting),
                    }
                }
                Event::Looks(at) if !asking.is_empty() => {
                    let at = at.index(asking.len());
                    if let Some(told) = look(&mut asking[at]) {
                        drop(asking.swap_remove(at));
                        match told {
                            Ok(place) => held.push(place),
                            Err(refusal) => prop_assert_eq!(refusal, Refusal::Displaced),
                        }
                    }
                }
                Event::GoesAway(at) if !asking.is_empty() => drop(asking.swap_remove(at.index(asking.len()))),
                Event::Ends(at) if !held.is_empty() => drop(held.swap_remove(at.index(held.len()))),
                Event::Limit(limit) => admission.set_limit(limit),
                _ => {}
            }
            check(&admission)?;
            // Ordinary requests never take what is reserved, whatever they held before a limit fell.
            let state = admission.shared.state();
            prop_assert!(state.ordinary.held <= state.for_ordinary.max(before.0));
        }
        drop((asking, held));
        check(&admission)?;
        prop_assert_eq!(admission.load().held + admission.load().waiting, 0);
    }
}

/// The same in earnest: threads, timers, and tasks that are aborted wherever they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_turn_is_lost_between_threads() {
    let admission = Arc::new(admission(5, 1, 40, 20));
    let mut tasks = Vec::new();
    for number in 0..400_u64 {
        let admission = Arc::clone(&admission);
        tasks.push(tokio::spawn(async move {
            let caller: Arc<str> = (number % 7).to_string().into();
            let lane = if number % 5 == 0 { Emergency } else { Ordinary };
            for round in 0..20 {
                let until = Instant::now() + Duration::from_micros((number * 37 + round * 91) % 3_000);
                if let Ok(_place) = admission.admit(&caller, lane, until).await {
                    assert!(admission.load().held <= 5);
                    tokio::task::yield_now().await;
                }
            }
        }));
        tokio::task::yield_now().await;
    }
    for task in tasks.iter().step_by(3) {
        task.abort();
        tokio::task::yield_now().await;
    }
    for task in tasks {
        let ended = task.await;
        assert!(ended.as_ref().map_or_else(tokio::task::JoinError::is_cancelled, |()| true), "{ended:?}");
    }
    assert_eq!(admission.load(), Load { held: 0, waiting: 0, limit: 4 });
    assert!(admission.shared.state().ordinary.callers.is_empty());
}
