//! Answers that peers send to an address of ours (ITI TF-2 §V.5), each matched by `wsa:RelatesTo` with
//! the call that waits for it.
//!
//! A call is in the table from before its request is sent until its answer is here or its time is up;
//! what comes before or after finds nobody. Each call takes one answer. The id is a random number that
//! only the peer asked has seen; whoever posts must also have a certificate that the listener accepts.
//!
//! A call need not hold a place among the requests to its peer while it waits, so this is its bound: all may be so many
//! (`limits.awaited_answers`), and those that one community alone may answer half of them: one that never does leaves
//! room for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use uuid::Uuid;

use super::message::Message;
use crate::actors::ports::PeerFailure;
use crate::model::ids::HomeCommunityId;
use crate::transaction::Transaction;

/// The calls that wait.
pub struct Awaited {
    most: usize,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    waiting: HashMap<Uuid, Waiting>,
    /// How many there are that one community alone may answer; no zeros.
    of_one: HashMap<HomeCommunityId, usize>,
}

impl Calls {
    fn remove(&mut self, id: &Uuid) -> Option<Waiting> {
        let waiting = self.waiting.remove(id)?;
        if let Some(asked) = &waiting.asked
            && let Some(number) = self.of_one.get_mut(asked)
        {
            *number -= 1;
            if *number == 0 {
                self.of_one.remove(asked);
            }
        }
        Some(waiting)
    }
}

struct Waiting {
    transaction: &'static Transaction,
    /// The one community that may answer, where that is known of callers.
    asked: Option<HomeCommunityId>,
    call: oneshot::Sender<Message>,
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
    /// A new call, unless too many wait.
    pub fn enter(&self, transaction: &'static Transaction) -> Option<Call> {
        match &self.from {
            None => self.awaited.enter(transaction),
            Some(home) => self.awaited.enter_for(transaction, Uuid::new_v4(), home),
        }
    }
}

/// A call that waits. Dropped, it waits no longer.
pub struct Call {
    id: Uuid,
    awaited: Arc<Awaited>,
    answer: oneshot::Receiver<Message>,
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

    /// A new call, unless too many wait.
    pub fn enter(self: &Arc<Self>, transaction: &'static Transaction) -> Option<Call> {
        self.place(transaction, Uuid::new_v4(), None)
    }

    /// The same under an identifier of the caller's, for an answer of that community and of no other.
    pub fn enter_for(
        self: &Arc<Self>,
        transaction: &'static Transaction,
        id: Uuid,
        asked: &HomeCommunityId,
    ) -> Option<Call> {
        self.place(transaction, id, Some(asked.clone()))
    }

    fn place(
        self: &Arc<Self>,
        transaction: &'static Transaction,
        id: Uuid,
        asked: Option<HomeCommunityId>,
    ) -> Option<Call> {
        let mut calls = self.calls();
        if calls.waiting.len() >= self.most || calls.waiting.contains_key(&id) {
            return None;
        }
        if let Some(asked) = &asked {
            let number = calls.of_one.entry(asked.clone()).or_default();
            if *number >= self.most.div_ceil(2) {
                return None;
            }
            *number += 1;
        }
        let (call, answer) = oneshot::channel();
        calls.waiting.insert(id, Waiting { transaction, asked, call });
        drop(calls);
        Some(Call { id, awaited: Arc::clone(self), answer })
    }

    /// What the call that an answer relates to has asked for.
    pub fn asked(&self, relates_to: &str) -> Option<&'static Transaction> {
        self.calls().waiting.get(&id(relates_to)?).map(|waiting| waiting.transaction)
    }

    /// Whether a caller who is known as those communities may answer the call with that id, if one waits.
    pub fn may_answer(&self, id_text: &str, known_as: &[HomeCommunityId]) -> Option<bool> {
        let calls = self.calls();
        let waiting = calls.waiting.get(&id(id_text)?)?;
        Some(waiting.asked.as_ref().is_none_or(|asked| known_as.contains(asked)))
    }

    /// Gives an answer to the call that waits for it.
    ///
    /// # Errors
    /// The answer back, if none does.
    pub fn hand_over(&self, relates_to: &str, answer: Message) -> Result<(), Box<Message>> {
        let waiting = id(relates_to).and_then(|id| self.calls().remove(&id));
        match waiting {
            Some(waiting) => waiting.call.send(answer).map_err(Box::new),
            None => Err(Box::new(answer)),
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
    /// When it broke off on its way.
    pub async fn answer(&mut self) -> Result<Message, PeerFailure> {
        (&mut self.answer).await.map_err(|_| PeerFailure::Unreachable("its answer broke off".to_owned()))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.awaited.calls().remove(&self.id);
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

    #[test]
    fn who_was_asked_may_answer_and_nobody_else() {
        let awaited = Arc::new(Awaited::new(2));
        let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
        let home = |n: usize| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap();
        let query = Uuid::new_v4();
        let call = awaited.enter_for(transaction, query, &home(2)).unwrap();
        assert!(awaited.enter_for(transaction, query, &home(3)).is_none(), "one call for each id");
        for (id, known_as, expected) in [
            (query.to_string(), &[home(2)][..], Some(true)),
            (call.message_id(), &[home(1), home(2)], Some(true)),
            (query.to_string(), &[home(3)], Some(false)),
            (query.to_string(), &[], Some(false)),
            (Uuid::new_v4().to_string(), &[home(2)], None),
        ] {
            assert_eq!(awaited.may_answer(&id, known_as), expected);
        }
        let open = awaited.enter(transaction).unwrap();
        assert_eq!(awaited.may_answer(&open.message_id(), &[]), Some(true));
    }

    #[test]
    fn one_community_has_half_of_them_at_most() {
        for (most, of_one) in [(1, 1), (4, 2), (5, 3)] {
            let awaited = Arc::new(Awaited::new(most));
            let transaction = Transaction::of(TransactionId::CrossGatewayPatientDiscovery);
            let home = |n: usize| HomeCommunityId::parse(&format!("urn:oid:2.999.{n}")).unwrap();
            let enter = |n| awaited.enter_for(transaction, Uuid::new_v4(), &home(n));
            let mut calls: Vec<_> = std::iter::from_fn(|| enter(2)).collect();
            assert_eq!(calls.len(), of_one);
            // Another one has the rest.
            let others: Vec<_> = std::iter::from_fn(|| enter(3)).collect();
            assert_eq!(others.len(), (most - of_one).min(of_one));
            drop(others);
            // Room comes back with a call that ends, and with one that is answered.
            drop(calls.pop());
            let call = enter(2).expect("room");
            assert!(awaited.calls().remove(&call.id).is_some());
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
        let awaited = Arc::new(Awaited::new(2));
        let transaction = Transaction::of(TransactionId::CrossGatewayQuery);
        let calls = [awaited.enter(transaction).unwrap(), awaited.enter(transaction).unwrap()];
        assert!(awaited.enter(transaction).is_none());
        assert_eq!(awaited.asked(&calls[0].message_id()).map(|t| t.number), Some("ITI-38"));
        let gone = calls[1].message_id();
        drop(calls);
        assert!(awaited.is_empty() && awaited.asked(&gone).is_none());
        assert!(awaited.enter(transaction).is_some());
    }
}
