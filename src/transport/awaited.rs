//! Answers that peers send to an address of ours (ITI TF-2 §V.5), each matched by `wsa:RelatesTo` with
//! the call that waits for it.
//!
//! A call is in the table from before its request is sent until its answer is here or its time is up;
//! what comes before or after finds nobody. Each call takes one answer. The id is a random number that
//! only the peer asked has seen; whoever posts must also have a certificate that the listener accepts.
//! Of calls that have ended it is remembered for a while who was asked what: an answer that is refused
//! is on record by that.
//!
//! A call need not hold a place among the requests to its peer while it waits, so this is its bound: all may be so many
//! (`limits.awaited_answers`), and those of one community half of them: one that never answers leaves room for others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::endpoint::AuditFacts;
use super::message::Message;
use crate::actors::ports::PeerFailure;
use crate::model::ids::HomeCommunityId;
use crate::transaction::Transaction;

/// Calls that have ended and are remembered at most.
const MOST_ENDED: usize = 4_096;

/// The calls that wait.
pub struct Awaited {
    most: usize,
    calls: Mutex<Calls>,
}

/// Those that wait, and those that lately did.
#[derive(Default)]
struct Calls {
    waiting: HashMap<Uuid, Waiting>,
    /// How many there are of each community; no zeros.
    of_one: HashMap<HomeCommunityId, usize>,
    ended: HashMap<Uuid, Question>,
    /// From the first that ended to the last.
    order: VecDeque<Uuid>,
}

struct Waiting {
    question: Question,
    call: oneshot::Sender<Result<Message, PeerFailure>>,
}

/// What was asked, and of whom.
#[derive(Clone)]
pub struct Question {
    /// The transaction.
    pub transaction: &'static Transaction,
    /// The community.
    pub community: HomeCommunityId,
    /// Whether none but that community may answer, where it is known by certificate who that is.
    pub of_it_alone: bool,
    /// What audit says of the request; none when nobody waits any more, since patients are named in it.
    pub facts: Option<Arc<AuditFacts>>,
}

impl Question {
    /// Whether an answer is waited for.
    pub fn waits(&self) -> bool {
        self.facts.is_some()
    }

    /// Whether a caller who is known as those communities may answer.
    pub fn is_for(&self, known_as: &[HomeCommunityId]) -> bool {
        !self.of_it_alone || known_as.contains(&self.community)
    }
}

impl Calls {
    /// Ends a call that waits.
    fn end(&mut self, id: Uuid) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if let Some(number) = self.of_one.get_mut(&waiting.question.community) {
            *number -= 1;
            if *number == 0 {
                self.of_one.remove(&waiting.question.community);
            }
        }
        if self.order.len() >= MOST_ENDED
            && let Some(first) = self.order.pop_front()
        {
            self.ended.remove(&first);
        }
        self.order.push_back(id);
        self.ended.insert(id, Question { facts: None, ..waiting.question.clone() });
        Some(waiting)
    }
}

/// Where peers send their answers, and who waits for them there.
#[derive(Clone)]
pub struct AnswersTo {
    /// The `wsa:ReplyTo` of our requests.
    pub address: String,
    /// The calls that wait.
    pub awaited: Arc<Awaited>,
    /// The community that may answer, where that can be told by certificate; none: whoever knows the call.
    pub from: Option<HomeCommunityId>,
}

impl AnswersTo {
    /// A new call to that community, unless too many wait.
    pub fn enter(
        &self,
        transaction: &'static Transaction,
        community: &HomeCommunityId,
        facts: &AuditFacts,
    ) -> Option<Call> {
        let (community, facts) = (community.clone(), Some(Arc::new(facts.clone())));
        let question = Question { transaction, community, of_it_alone: self.from.is_some(), facts };
        self.awaited.enter(Uuid::new_v4(), question)
    }
}

/// A call that waits. Dropped, it waits no longer.
pub struct Call {
    id: Uuid,
    awaited: Arc<Awaited>,
    answer: oneshot::Receiver<Result<Message, PeerFailure>>,
}

impl Awaited {
    /// Room for so many calls.
    pub fn new(most: usize) -> Self {
        Self { most, calls: Mutex::default() }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.calls().waiting.is_empty()
    }

    /// A new call under that identifier, unless too many wait.
    pub fn enter(self: &Arc<Self>, id: Uuid, question: Question) -> Option<Call> {
        let mut calls = self.calls();
        if calls.waiting.len() >= self.most || calls.waiting.contains_key(&id) {
            return None;
        }
        let number = calls.of_one.entry(question.community.clone()).or_default();
        if *number >= self.most.div_ceil(2) {
            return None;
        }
        *number += 1;
        let (call, answer) = oneshot::channel();
        calls.waiting.insert(id, Waiting { question, call });
        drop(calls);
        Some(Call { id, awaited: Arc::clone(self), answer })
    }

    /// What was asked by the call with that id, if it waits or lately did.
    pub fn find(&self, id_text: &str) -> Option<Question> {
        let id = id(id_text)?;
        let calls = self.calls();
        calls.waiting.get(&id).map(|waiting| &waiting.question).or_else(|| calls.ended.get(&id)).cloned()
    }

    /// Gives an answer to the call that waits for it.
    ///
    /// # Errors
    /// The answer back, if none does.
    pub fn hand_over(&self, relates_to: &str, answer: Message) -> Result<(), Box<Message>> {
        let Some(waiting) = id(relates_to).and_then(|id| self.calls().end(id)) else {
            return Err(Box::new(answer));
        };
        match waiting.call.send(Ok(answer)) {
            Err(Ok(answer)) => Err(Box::new(answer)),
            _ => Ok(()),
        }
    }

    /// Tells the call with that id, if it waits, that it waits in vain.
    pub fn give_up(&self, relates_to: &str, why: PeerFailure) {
        if let Some(waiting) = id(relates_to).and_then(|id| self.calls().end(id)) {
            // Whoever has gone away meanwhile need not be told.
            let _ = waiting.call.send(Err(why));
        }
    }
}

/// An id as we made it: some stacks leave out `urn:uuid:`, or change its case (ITI TF-2 §V.3.2).
fn id(text: &str) -> Option<Uuid> {
    let text = text.trim();
    let bare = match text.get(..9) {
        Some(prefix) if prefix.eq_ignore_ascii_case("urn:uuid:") => text.get(9..)?,
        _ => text,
    };
    Uuid::try_parse(bare).ok()
}

impl Call {
    /// The `wsa:MessageID` of its request.
    pub fn message_id(&self) -> String {
        self.id.urn().to_string()
    }

    /// The answer, when it is here.
    ///
    /// # Errors
    /// When it broke off on its way, or was not taken.
    pub async fn answer(&mut self) -> Result<Message, PeerFailure> {
        let broke_off = |_| Err(PeerFailure::Unreachable("its answer broke off".to_owned()));
        (&mut self.answer).await.unwrap_or_else(broke_off)
    }
}

impl Call {
    /// The answer, if it is here already.
    pub fn answered(&mut self) -> Option<Message> {
        self.answer.try_recv().ok()?.ok()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.awaited.calls().end(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::TransactionId;

    #[test]
    fn ids_are_known_however_they_are_written() {
        let made = Uuid::new_v4();
        for text in
            [made.urn().to_string(), made.to_string(), format!(" URN:UUID:{} ", made.to_string().to_uppercase())]
        {
            assert_eq!(id(&text), Some(made), "{text}");
        }
        for text in ["", "urn:uuid:", "urn:uuid:7", "€€€€€€€€€", "urn:oid:1.2.3"] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    fn home(n: usize) -> HomeCommunityId {
        HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap()
    }

    fn question(of_it_alone: bool) -> Question {
        Question {
            transaction: Transaction::of(TransactionId::CrossGatewayQuery),
            community: home(2),
            of_it_alone,
            facts: Some(Arc::new(AuditFacts::of_no_request("AdhocQueryRequest"))),
        }
    }

    #[test]
    fn who_was_asked_may_answer_and_nobody_else() {
        let awaited = Arc::new(Awaited::new(4));
        let query = Uuid::new_v4();
        let call = awaited.enter(query, question(true)).unwrap();
        assert!(awaited.enter(query, question(true)).is_none(), "one call for each id");
        for (id, known_as, expected) in [
            (query.to_string(), &[home(2)][..], Some(true)),
            (call.message_id(), &[home(1), home(2)], Some(true)),
            (query.to_string(), &[home(3)], Some(false)),
            (query.to_string(), &[], Some(false)),
            (Uuid::new_v4().to_string(), &[home(2)], None),
        ] {
            assert_eq!(awaited.find(&id).map(|question| question.is_for(known_as)), expected);
        }
        let open = awaited.enter(Uuid::new_v4(), question(false)).unwrap();
        assert!(awaited.find(&open.message_id()).unwrap().is_for(&[]));
    }

    #[test]
    fn one_community_has_half_of_them_at_most() {
        for (most, of_one) in [(1, 1), (4, 2), (5, 3)] {
            let awaited = Arc::new(Awaited::new(most));
            let enter = |n| awaited.enter(Uuid::new_v4(), Question { community: home(n), ..question(true) });
            let mut calls: Vec<_> = std::iter::from_fn(|| enter(2)).collect();
            assert_eq!(calls.len(), of_one);
            // Another one has the rest.
            let others: Vec<_> = std::iter::from_fn(|| enter(3)).collect();
            assert_eq!(others.len(), (most - of_one).min(of_one));
            drop(others);
            // Room comes back with a call that ends, and with one that is answered.
            drop(calls.pop());
            let call = enter(2).expect("room");
            assert!(awaited.calls().end(call.id).is_some());
            let next = enter(2).expect("room");
            // One that was answered and has ended has given it back once.
            drop(call);
            assert!(enter(2).is_none());
            drop((next, calls));
            assert!(awaited.is_empty() && awaited.calls().of_one.is_empty());
        }
    }

    #[test]
    fn only_so_many_wait_and_who_is_gone_waits_no_longer() {
        let awaited = Arc::new(Awaited::new(4));
        let enter = || awaited.enter(Uuid::new_v4(), question(false));
        let calls = [enter().unwrap(), enter().unwrap()];
        assert!(enter().is_none());
        assert!(awaited.find(&calls[0].message_id()).unwrap().waits());
        let gone = calls[1].message_id();
        drop(calls);
        assert!(awaited.is_empty());
        // Who was asked is remembered, and nothing of whom it was about.
        let ended = awaited.find(&gone).unwrap();
        assert!(!ended.waits() && ended.community == home(2) && ended.transaction.number == "ITI-38");
        for _ in 0..MOST_ENDED {
            assert!(enter().is_some());
        }
        assert!(awaited.find(&gone).is_none(), "of so many calls at most");
        let calls = awaited.calls();
        assert_eq!((calls.ended.len(), calls.order.len()), (MOST_ENDED, MOST_ENDED));
    }

    #[tokio::test]
    async fn a_call_is_told_that_it_waits_in_vain() {
        let awaited = Arc::new(Awaited::new(2));
        let mut call = awaited.enter(Uuid::new_v4(), question(true)).unwrap();
        let why = PeerFailure::NotTaken("suspended".to_owned());
        awaited.give_up(&call.message_id(), why.clone());
        assert_eq!(call.answer().await.err(), Some(why));
        // Nobody is there to be told.
        awaited.give_up("x", PeerFailure::NoRoom);
        awaited.give_up(&call.message_id(), PeerFailure::NoRoom);
    }
}
