//! A community that shares its work among the calls it has, as most do, in time that is simulated.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);
const QUERY: TransactionId = TransactionId::CrossGatewayQuery;
const MOST: usize = 32;

fn adaptive(floor: usize) -> Adaptive {
    Adaptive::new(AdaptiveLimits { floor, most: MOST, budget: BUDGET })
}

/// A call at the community.
struct Call {
    started: Started,
    /// What it has still to do for it.
    work: Duration,
    until: Instant,
    /// Nobody waits for it any more, and it works on it all the same.
    given_up: bool,
}

/// A gateway that is asked at a steady pace, and asks a community.
struct World {
    adaptive: Adaptive,
    now: Instant,
    /// Calls that the community can work on at its full speed.
    at_once: u32,
    /// What one call costs it.
    work: Duration,
    calls: Vec<Call>,
    /// When each came that waits.
    waiting: VecDeque<Instant>,
    /// The smallest number there was, and the most calls that anyone waited for.
    least: usize,
    under_way: usize,
}

const STEP: Duration = Duration::from_millis(5);
const BUDGET: Duration = Duration::from_secs(2);
const QUEUE: usize = 64;

impl World {
    fn new(floor: usize) -> Self {
        Self {
            adaptive: adaptive(floor),
            now: Instant::now(),
            at_once: 16,
            work: 50 * MS,
            calls: Vec::new(),
            waiting: VecDeque::new(),
            least: MOST,
            under_way: 0,
        }
    }

    /// Goes on for some seconds, asked that many times a second; gives the number of answers.
    fn run(&mut self, seconds: u32, rate: u32) -> u32 {
        let (mut answers, mut due) = (0, self.now);
        let end = self.now + Duration::from_secs(1) * seconds;
        (self.least, self.under_way) = (self.adaptive.limit(), 0);
        while self.now < end {
            while due <= self.now {
                if self.waiting.len() < QUEUE {
                    self.waiting.push_back(due);
                }
                due += Duration::from_secs(1) / rate;
            }
            let now = self.now;
            let needed = self.adaptive.usual_time(QUERY).unwrap_or_default().mul_f64(1.5);
            self.waiting.retain(|came| now + needed.max(BUDGET / 2) <= *came + BUDGET);
            while self.calls.iter().filter(|call| !call.given_up).count() < self.adaptive.limit() {
                let Some(came) = self.waiting.pop_front() else { break };
                let started = self.adaptive.began(QUERY, now);
                self.calls.push(Call { started, work: self.work, until: came + BUDGET, given_up: false });
            }
            self.now += STEP;
            answers += self.work();
            self.least = self.least.min(self.adaptive.limit());
            self.under_way = self.under_way.max(self.calls.iter().filter(|call| !call.given_up).count());
        }
        answers
    }

    /// One step of the community's work.
    fn work(&mut self) -> u32 {
        let share = f64::from(self.at_once) / self.calls.len().max(1) as f64;
        let (done, now, mut answers) = (STEP.mul_f64(share.min(1.0)), self.now, 0);
        let slow_after = self.adaptive.slow_after(QUERY);
        let adaptive = &mut self.adaptive;
        self.calls.retain_mut(|call| {
            call.work = call.work.saturating_sub(done);
            if call.work.is_zero() {
                if !call.given_up {
                    adaptive.answered(call.started, now);
                    answers += 1;
                }
                return false;
            }
            if !call.given_up && now >= call.until {
                call.given_up = true;
                adaptive.unanswered(call.started, now);
            } else if !call.given_up && now >= call.started.at + slow_after {
                adaptive.overdue(&mut call.started, now);
            }
            true
        });
        answers
    }
}

#[test]
fn a_community_that_is_well_is_asked_as_much_as_is_configured() {
    let mut world = World::new(4);
    // 50 calls a second of 50 ms each, for ten minutes.
    let answers = world.run(600, 50);
    assert!(answers >= 600 * 50 - 5, "{answers}");
    assert_eq!(world.least, MOST);
    // As many as it can bear.
    let answers = world.run(60, 300);
    assert!(answers >= 60 * 300 - 32, "{answers}");
    assert_eq!(world.least, MOST);
}

#[test]
fn a_community_that_becomes_slow_is_asked_less_and_delivers_more() {
    let mut delivered = Vec::new();
    for floor in [4, MOST] {
        let mut world = World::new(floor);
        world.run(20, 50);
        // A quarter of its processors, and eight times the work: it can still do 10 a second, if it is left to.
        (world.at_once, world.work) = (4, 400 * MS);
        world.run(5, 50);
        let answers = world.run(300, 50);
        delivered.push(answers);
        if floor == MOST {
            continue;
        }
        assert_eq!(world.least, 4);
        assert!(world.under_way < MOST / 2, "{}", world.under_way);
        (world.at_once, world.work) = (16, 50 * MS);
        world.run(30, 50);
        assert_eq!(world.adaptive.limit(), MOST, "it is well again");
        assert!(world.run(10, 50) >= 10 * 50 - 5);
    }
    let [adapted, fixed] = delivered[..] else { panic!("two runs") };
    assert!(adapted >= 300 * 8, "{adapted} of {} that it could do", 300 * 10);
    assert!(adapted >= 3 * fixed, "{adapted} instead of {fixed}");
}

#[test]
fn one_that_stays_slow_is_slow_as_usual_after_a_while() {
    let mut world = World::new(4);
    world.run(20, 50);
    // Far away, not overloaded: each call takes 600 ms, however many there are.
    (world.at_once, world.work) = (1_000, 600 * MS);
    world.run(10, 20);
    assert!(world.least <= MOST / 2, "{}", world.least);
    world.run(240, 20);
    assert_eq!(world.adaptive.limit(), MOST);
    assert!(world.run(10, 20) >= 10 * 20 - 20);
}

#[test]
fn one_that_hangs_is_not_piled_upon() {
    let mut world = World::new(4);
    world.run(20, 50);
    world.work = Duration::from_secs(3600);
    // What is seen while the calls are still under way.
    world.run(1, 50);
    assert!(world.under_way <= MOST * 3 / 4, "{}", world.under_way);
    assert_eq!(world.adaptive.limit(), MOST / 2);
    world.run(10, 50);
    assert_eq!(world.adaptive.limit(), 4);
}

#[test]
fn as_much_floor_as_there_are_leaves_it_fixed() {
    for floor in [MOST, 1_000] {
        let mut adaptive = adaptive(floor);
        let now = Instant::now();
        for n in 0..100 {
            adaptive.refused(adaptive.began(QUERY, now + n * MS), now + n * MS);
        }
        assert_eq!(adaptive.limit(), MOST);
    }
    assert_eq!(Adaptive::new(AdaptiveLimits { floor: 4, most: 1, budget: BUDGET }).limit(), 1);
}

#[test]
fn other_bounds_hold_at_once_and_take_nothing_back() {
    let bounds = |floor, most| AdaptiveLimits { floor, most, budget: BUDGET };
    let (mut adaptive, now) = (adaptive(4), Instant::now());
    // It is well: it has what it may have, more or less.
    for most in [8, 64, MOST] {
        adaptive.set_limits(bounds(4, most));
        assert_eq!((adaptive.limit(), adaptive.most()), (most, most));
    }
    // It is not: that it might have more makes it no better.
    for (floor, most, limit) in [(4, 64, 16), (4, MOST, 16), (4, 10, 10), (20, MOST, 20), (50, 64, 50), (4, 0, 1)] {
        let mut adaptive = self::adaptive(4);
        adaptive.refused(adaptive.began(QUERY, now), now);
        assert_eq!(adaptive.limit(), 16);
        adaptive.set_limits(bounds(floor, most));
        assert_eq!(adaptive.limit(), limit, "{floor} to {most}");
    }
}

#[test]
fn each_transaction_has_its_own_usual_time() {
    let mut adaptive = adaptive(4);
    let mut now = Instant::now();
    for _ in 0..200 {
        for (transaction, took) in [(QUERY, 30 * MS), (TransactionId::CrossGatewayRetrieve, 300 * MS)] {
            let call = adaptive.began(transaction, now);
            now += took;
            adaptive.answered(call, now);
        }
    }
    assert_eq!(adaptive.limit(), MOST);
    let slow_after = |transaction| adaptive.slow_after(transaction);
    assert_eq!(slow_after(QUERY), NEVER_SLOW);
    assert!((700 * MS..800 * MS).contains(&slow_after(TransactionId::CrossGatewayRetrieve)));
    assert_eq!(slow_after(TransactionId::CrossGatewayPatientDiscovery), BUDGET / 2);
}

proptest! {
    /// Whatever happens, the number stays within its bounds; and whatever has happened, it comes back.
    #[test]
    fn it_stays_within_its_bounds_and_recovers(
        floor in 1_usize..40,
        events in proptest::collection::vec((0_u64..20_000, 0_u8..4), 0..300),
    ) {
        let mut adaptive = adaptive(floor);
        let floor = floor.min(MOST);
        let mut now = Instant::now();
        for (took, how) in events {
            let mut call = adaptive.began(QUERY, now);
            now += Duration::from_millis(took);
            match how {
                0 => adaptive.answered(call, now),
                1 => adaptive.unanswered(call, now),
                2 => adaptive.refused(call, now),
                _ => {
                    adaptive.overdue(&mut call, now);
                    adaptive.answered(call, now + 100 * MS);
                }
            }
            prop_assert!((floor..=MOST).contains(&adaptive.limit()));
        }
        for _ in 0..MOST * WINDOW {
            let call = adaptive.began(QUERY, now);
            now += 50 * MS;
            adaptive.answered(call, now);
            prop_assert!((floor..=MOST).contains(&adaptive.limit()));
        }
        prop_assert_eq!(adaptive.limit(), MOST);
    }
}
