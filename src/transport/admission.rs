//! Who may work at once, and who is next: a bounded number of places, shared fairly between callers, with
//! a lane for emergency treatment. It stands before our actors ([`Gate`]), and before each community.
//!
//! A place that is free goes to whoever asks; one caller alone may have all but the reserve. When none is
//! free, each caller waits in a queue of its own, and the next place goes to the waiting caller that holds
//! the fewest, among equals to the one that was served longest ago: whoever floods waits for itself.
//!
//! Emergencies have the reserve for themselves and go first for all other places too, until they hold half of
//! those while others wait: a caller that calls everything an emergency cannot shut out the rest. Among
//! themselves they are as fair.
//!
//! Queues are bounded, each and together. Who finds them full is told at once; but one that has hardly
//! anything in them takes the last turn of the caller that has most.
//!
//! A place comes back when it is dropped, a turn too: who goes away while it waits loses nothing for others.

mod gate;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::metrics::PlaceNumbers;
use crate::actors::context::Lane;

pub use gate::{Gate, GateLimits, lane_of};

/// Bounds of an [`Admission`].
#[derive(Debug, Clone, Copy)]
pub struct AdmissionLimits {
    /// Places in all.
    pub places: usize,
    /// Those of them that are for emergencies alone.
    pub reserve: usize,
    /// Requests that wait, in each lane.
    pub queue: usize,
    /// Those of one caller.
    pub queue_of_one: usize,
}

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too many wait.
    Full,
    /// Too many of this caller wait.
    OwnFull,
    /// It waited, and made room for a caller with fewer that wait.
    Displaced,
    /// Its turn did not come in time.
    Late,
    /// Who asked has gone away.
    Gone,
}

impl Refusal {
    /// Its word in numbers and in the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Full => "queue full",
            Self::OwnFull => "own queue full",
            Self::Displaced => "displaced",
            Self::Late => "waited",
            Self::Gone => "gone away",
        }
    }
}

/// Places, and who has and wants them.
pub struct Admission {
    shared: Arc<Shared>,
}

struct Shared {
    numbers: PlaceNumbers,
    state: Mutex<State>,
}

struct State {
    limits: AdmissionLimits,
    ordinary: Queue,
    emergency: Queue,
    /// Places that ordinary requests may hold.
    for_ordinary: usize,
    /// Turns and tickets that have been given out.
    given: u64,
}

/// The callers of one lane.
#[derive(Default)]
struct Queue {
    /// Those that hold or want something, and no others.
    callers: HashMap<Arc<str>, Caller>,
    held: usize,
    waiting: usize,
}

#[derive(Default)]
struct Caller {
    held: usize,
    waiting: VecDeque<Waiting>,
    /// When it was served last, in turns.
    served: u64,
}

struct Waiting {
    ticket: u64,
    told: oneshot::Sender<Told>,
}

enum Told {
    Admitted,
    Displaced,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Places that are held.
    pub held: usize,
    /// Requests that wait for one.
    pub waiting: usize,
    /// Places that ordinary requests may hold now.
    pub limit: usize,
}

impl Queue {
    /// Whose turn it is.
    fn next(&self) -> Option<Arc<str>> {
        let wanting = self.callers.iter().filter_map(|(name, caller)| Some((name, caller, caller.waiting.front()?)));
        wanting
            .min_by_key(|(_, caller, first)| (caller.held, caller.served, first.ticket))
            .map(|(name, ..)| Arc::clone(name))
    }

    fn caller(&mut self, name: &Arc<str>) -> &mut Caller {
        self.callers.entry(Arc::clone(name)).or_default()
    }

    /// Forgets a caller that neither holds nor wants anything.
    fn forget(&mut self, name: &Arc<str>) {
        if self.callers.get(name).is_some_and(|caller| caller.held == 0 && caller.waiting.is_empty()) {
            self.callers.remove(name);
        }
    }

    /// Requests of that caller that wait.
    fn waiting_of(&self, name: &Arc<str>) -> usize {
        self.callers.get(name).map_or(0, |caller| caller.waiting.len())
    }

    /// The caller with the longest queue, and how long that is.
    fn longest(&self) -> Option<(Arc<str>, usize)> {
        let longest = self.callers.iter().max_by_key(|(_, caller)| caller.waiting.len())?;
        Some((Arc::clone(longest.0), longest.1.waiting.len()))
    }
}

impl State {
    fn lane(&mut self, lane: Lane) -> &mut Queue {
        match lane {
            Lane::Ordinary => &mut self.ordinary,
            Lane::Emergency => &mut self.emergency,
        }
    }

    fn held(&self) -> usize {
        self.ordinary.held + self.emergency.held
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State, lane: Lane) -> bool {
        state.held() < state.limits.places
            && match lane {
                Lane::Ordinary => state.ordinary.held < state.for_ordinary,
                Lane::Emergency => true,
            }
    }

    /// Whether emergencies hold so much that others go first.
    fn emergencies_have_enough(&self, state: &State) -> bool {
        let reserve = state.limits.places.saturating_sub(state.for_ordinary);
        state.emergency.held >= reserve + state.for_ordinary.div_ceil(2)
    }

    /// The lane that the next place goes to, if there is a place and somebody who wants it.
    fn next_lane(&self, state: &State) -> Option<Lane> {
        let wants = |queue: &Queue, lane| queue.waiting > 0 && self.has_room(state, lane);
        let emergency = wants(&state.emergency, Lane::Emergency);
        match wants(&state.ordinary, Lane::Ordinary) {
            true if !emergency || self.emergencies_have_enough(state) => Some(Lane::Ordinary),
            _ if emergency => Some(Lane::Emergency),
            _ => None,
        }
    }

    fn take(&self, state: &mut State, lane: Lane, name: &Arc<str>) {
        state.given += 1;
        let turn = state.given;
        let queue = state.lane(lane);
        queue.held += 1;
        let caller = queue.caller(name);
        caller.held += 1;
        caller.served = turn;
        self.numbers.taken(lane);
    }

    /// Gives what is free to whoever is next. Afterwards nobody waits for whom there is room.
    fn serve(&self, state: &mut State) {
        while let Some(lane) = self.next_lane(state) {
            let queue = state.lane(lane);
            let Some(name) = queue.next() else { return };
            let Some(first) = queue.caller(&name).waiting.pop_front() else { return };
            queue.waiting -= 1;
            self.numbers.waits_no_more(lane);
            self.take(state, lane, &name);
            // If nobody listens any more, whoever stopped listening gives the place back: see `Turn`.
            let _ = first.told.send(Told::Admitted);
        }
    }

    fn release(&self, lane: Lane, name: &Arc<str>) {
        let mut state = self.state();
        let queue = state.lane(lane);
        queue.held -= 1;
        queue.caller(name).held -= 1;
        queue.forget(name);
        self.numbers.given_back(lane);
        self.serve(&mut state);
    }

    /// A turn in a queue, if it has room.
    fn queue(self: &Arc<Self>, state: &mut State, lane: Lane, name: &Arc<str>) -> Result<Turn, Refusal> {
        let limits = state.limits;
        let own = state.lane(lane).waiting_of(name);
        if own >= limits.queue_of_one {
            return Err(Refusal::OwnFull);
        }
        if state.lane(lane).waiting >= limits.queue {
            self.displace(state.lane(lane), lane, own)?;
        }
        state.given += 1;
        let (ticket, (told, hears)) = (state.given, oneshot::channel());
        let queue = state.lane(lane);
        queue.waiting += 1;
        queue.caller(name).waiting.push_back(Waiting { ticket, told });
        self.numbers.waits(lane);
        Ok(Turn { shared: Arc::clone(self), lane, caller: Arc::clone(name), ticket, hears })
    }

    /// Takes the last turn of the caller with the longest queue, for one with a queue shorter by two at least.
    fn displace(&self, queue: &mut Queue, lane: Lane, own: usize) -> Result<(), Refusal> {
        let (name, length) = queue.longest().ok_or(Refusal::Full)?;
        if length < own + 2 {
            return Err(Refusal::Full);
        }
        if let Some(last) = queue.caller(&name).waiting.pop_back() {
            queue.waiting -= 1;
            self.numbers.waits_no_more(lane);
            let _ = last.told.send(Told::Displaced);
        }
        Ok(())
    }
}

impl Admission {
    /// Places that are all free.
    pub fn new(limits: AdmissionLimits, numbers: PlaceNumbers) -> Self {
        let for_ordinary = limits.places.saturating_sub(limits.reserve);
        numbers.limit(for_ordinary);
        let (ordinary, emergency) = (Queue::default(), Queue::default());
        let state = Mutex::new(State { limits, ordinary, emergency, for_ordinary, given: 0 });
        Self { shared: Arc::new(Shared { numbers, state }) }
    }

    /// A place for a request of that caller, as soon as it is its turn; dropped while it waits, its turn is
    /// given up.
    ///
    /// # Errors
    /// Why there is none: at once if too many wait, else at that moment.
    pub async fn admit(&self, caller: &Arc<str>, lane: Lane, until: Instant) -> Result<Place, Refusal> {
        let admitted = self.try_admit(caller, lane, until).await;
        if let Err(refusal) = admitted {
            self.shared.numbers.refused(refusal.reason());
        }
        admitted
    }

    async fn try_admit(&self, caller: &Arc<str>, lane: Lane, until: Instant) -> Result<Place, Refusal> {
        let mut turn = {
            let mut state = self.shared.state();
            // Whoever waits in this lane waits because it has no room.
            if self.shared.has_room(&state, lane) {
                self.shared.take(&mut state, lane, caller);
                return Ok(Place { shared: Arc::clone(&self.shared), lane, caller: Arc::clone(caller) });
            }
            self.shared.queue(&mut state, lane, caller)?
        };
        match timeout_at(until, &mut turn.hears).await {
            Ok(Ok(Told::Admitted)) => Ok(turn.into_place()),
            Ok(Ok(Told::Displaced)) => Err(Refusal::Displaced),
            Ok(Err(_)) | Err(_) => Err(Refusal::Late),
        }
    }

    /// How many places ordinary requests may hold from now on, within those that there are; the others are
    /// a reserve. Who holds more keeps it.
    pub fn set_limit(&self, limit: usize) {
        self.limit(&mut self.shared.state(), limit);
    }

    /// Takes other bounds, and that limit within them. Who holds or waits already keeps it.
    pub fn set_limits(&self, limits: AdmissionLimits, limit: usize) {
        let mut state = self.shared.state();
        state.limits = limits;
        self.limit(&mut state, limit);
    }

    fn limit(&self, state: &mut State, limit: usize) {
        let limit = limit.min(state.limits.places);
        if state.for_ordinary != limit {
            state.for_ordinary = limit;
            self.shared.numbers.limit(limit);
        }
        self.shared.serve(state);
    }

    /// How things stand.
    pub fn load(&self) -> Load {
        let state = self.shared.state();
        let waiting = state.ordinary.waiting + state.emergency.waiting;
        Load { held: state.held(), waiting, limit: state.for_ordinary }
    }
}

/// A turn in a queue.
struct Turn {
    shared: Arc<Shared>,
    lane: Lane,
    caller: Arc<str>,
    ticket: u64,
    hears: oneshot::Receiver<Told>,
}

impl Turn {
    /// The place that it has come to. The channel is empty now, so that dropping the turn changes nothing.
    fn into_place(self) -> Place {
        Place { shared: Arc::clone(&self.shared), lane: self.lane, caller: Arc::clone(&self.caller) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            let queue = state.lane(self.lane);
            let waiting = queue.callers.get_mut(&self.caller).map(|caller| &mut caller.waiting);
            if let Some(waiting) = waiting
                && let Some(at) = waiting.iter().position(|waiting| waiting.ticket == self.ticket)
            {
                waiting.remove(at);
                queue.waiting -= 1;
                queue.forget(&self.caller);
                self.shared.numbers.waits_no_more(self.lane);
                return;
            }
            queue.forget(&self.caller);
        }
        // Its turn had come, and nobody has heard of it: the place goes to the next one.
        if let Ok(Told::Admitted) = self.hears.try_recv() {
            self.shared.release(self.lane, &self.caller);
        }
    }
}

/// A place, held until it is dropped.
pub struct Place {
    shared: Arc<Shared>,
    lane: Lane,
    caller: Arc<str>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.release(self.lane, &self.caller);
    }
}
