//! Sending documents to a community (ITI-80): once, as they come, and no faster than it takes them.
//!
//! Its time is counted while it has something to take or to answer, not while the source is waited for. A package
//! that was cut short is none. One whose end was on its way may have been taken, whatever came of it then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::envelope::{following_message_id, read_answer};
use super::gateways::OnePlace;
use super::{Outbound, RemoteCommunity, SoapClient};
use crate::actors::context::RequestContext;
use crate::actors::document_provide::HOME_SLOT;
use crate::actors::ports::{Delivery, PeerFailure};
use crate::model::document::{BodyError, BodySource, BoxFuture};
use crate::model::ids::HomeCommunityId;
use crate::model::response::RegistryResponse;
use crate::model::rim::Slot;
use crate::transaction::{Transaction, TransactionId};
use crate::transport::answer::{self, Part};
use crate::transport::endpoint::submission_facts;
use crate::wire::{ebrs, xdr, xdsb};

/// Where a community wants to be named in what is sent to it (Cross-Community Document Reliable Interchange
/// §3.80.4.1.2): there are two conventions, and most accept both at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetIn {
    /// In the header and in the request.
    #[default]
    Both,
    /// In `xdr:homeCommunityBlock` alone.
    Header,
    /// In the Slot homeCommunityId of the request alone.
    Slot,
}

impl TargetIn {
    /// Names the community.
    fn name(self, home: &HomeCommunityId, headers: &mut String, slots: &mut Vec<Slot<'static>>) {
        if self != Self::Slot {
            headers.push_str(&xdr::home_block(home));
        }
        if self != Self::Header {
            slots.insert(0, Slot::single(HOME_SLOT, home.to_string()));
        }
    }
}

/// A receiver is judged by its rate only after it has taken its time for so long.
const GRACE: Duration = Duration::from_secs(5);

impl RemoteCommunity {
    /// Names the community there in what is sent to it.
    #[must_use]
    pub fn with_target_in(self, target_in: TargetIn) -> Self {
        Self { target_in, ..self }
    }

    pub(super) async fn send_documents(
        &self,
        context: &RequestContext,
        delivery: Delivery,
    ) -> Result<RegistryResponse, PeerFailure> {
        let transaction = Transaction::of(TransactionId::CrossGatewayDocumentProvide);
        let facts = submission_facts(&delivery.objects).for_home(Some(delivery.home.to_string()));
        let began = Instant::now();
        let (uri, flow, result) = match self.one_place(context, transaction, began + self.limits.budget).await {
            Ok(place) => {
                let (uri, flow) = (place.client.uri(), Arc::new(Flow::new(place.client.bounds.minimum_rate)));
                (Some(uri), Arc::clone(&flow), self.sent(context, transaction, delivery, &flow, place).await)
            }
            Err(failure) => (self.first_address(), Arc::new(Flow::new(0)), Err(failure)),
        };
        let noted = self.noted(context, transaction, &facts, uri, (began, result), |response: &RegistryResponse| {
            (response.status, &response.errors, &[])
        });
        noted.await.map_err(|failure| match failure {
            // It may have answered well, and that could not be put on record.
            PeerFailure::NotAsked(_) if flow.is_over() => PeerFailure::Uncertain(Box::new(failure)),
            failure => failure,
        })
    }

    async fn sent(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        delivery: Delivery,
        flow: &Arc<Flow>,
        place: OnePlace<'_>,
    ) -> Result<RegistryResponse, PeerFailure> {
        let OnePlace { client, leave, began, .. } = place;
        let outbound = self.package(client, context, transaction, delivery, flow);
        flow.restart();
        let call = async {
            let message = client.deliver(transaction, outbound).await?;
            read_answer(&message.root, client.bounds.xml, ebrs::read_registry_response)
        };
        let elapsed = || began.elapsed().as_millis() as u64;
        let result = tokio::select! {
            biased;
            // Who has gone away has sent what it sent: only a stop of ours ends the wait.
            () = context.cut.cancelled() => Err(PeerFailure::GivenUp("this broker stops")),
            result = call => result,
            () = flow.stalls(self.limits.budget) => Err(PeerFailure::Timeout(elapsed())),
        };
        let result =
            result.map_err(|failure| if flow.state().slow { PeerFailure::Timeout(elapsed()) } else { failure });
        match &result {
            // Its source broke off, or we stop: that says nothing of the community.
            Err(_) if flow.broke_off() => drop(leave),
            Err(PeerFailure::GivenUp(_)) => drop(leave),
            result => self.left(leave, client.uri(), result.as_ref().err()),
        }
        result.map_err(|failure| match failure {
            PeerFailure::Untrusted(_) => failure,
            // Who blames the sender has not taken it; who blames itself may have.
            PeerFailure::Fault(ref told) if is_senders(told) => failure,
            _ if flow.broke_off() => PeerFailure::GivenUp("the submission broke off"),
            failure if flow.is_over() => PeerFailure::Uncertain(Box::new(failure)),
            failure => failure,
        })
    }

    fn package(
        &self,
        client: &SoapClient,
        context: &RequestContext,
        transaction: &'static Transaction,
        delivery: Delivery,
        flow: &Arc<Flow>,
    ) -> Outbound {
        let Delivery { home, mut slots, objects, documents, bodies, source } = delivery;
        let token = answer::message_token();
        let part =
            |(number, media_type)| Part { content_id: answer::content_id(&token, number + 1), media_type, size: None };
        let parts: Vec<Part> = bodies.into_iter().enumerate().map(part).collect();
        let content_id = |number: usize| parts.get(number).map(|part| part.content_id.clone()).unwrap_or_default();
        let documents: Vec<_> = documents.into_iter().map(|(id, number)| (id, content_id(number))).collect();
        let mut headers = context.security.as_deref().unwrap_or_default().to_owned();
        self.target_in.name(&home, &mut headers, &mut slots);
        let id = following_message_id(context, transaction);
        let addressing = client.profile().addressing(transaction, client.uri(), id, None);
        let root = client.profile().envelope(&addressing, Some(&headers), |out| {
            xdsb::write_provide_with(out, &slots, &objects, &documents);
        });
        let metered: Box<dyn BodySource> = Box::new(Metered { source, flow: Arc::clone(flow) });
        Outbound { parts, sources: vec![metered], token, ..self.outbound(context, root) }
    }
}

/// Whether a fault is the sender's: its code says so, before the reason.
fn is_senders(told: &str) -> bool {
    let code = told.split(": ").next().unwrap_or_default();
    ["Sender", "Client"].iter().any(|word| code.ends_with(word))
}

/// How far a package has got.
struct Flow {
    minimum_rate: u64,
    state: Mutex<FlowState>,
}

struct FlowState {
    /// When the receiver was given something last, or began to be waited for.
    moved: Instant,
    /// The source is waited for, not the receiver.
    drawing: bool,
    /// Time that the receiver has taken.
    taken: Duration,
    sent: u64,
    /// All of it is on its way.
    over: bool,
    /// The source has broken off.
    broke_off: bool,
    /// The receiver has been too slow.
    slow: bool,
}

impl Flow {
    fn new(minimum_rate: u64) -> Self {
        let state = FlowState {
            moved: Instant::now(),
            drawing: false,
            taken: Duration::ZERO,
            sent: 0,
            over: false,
            broke_off: false,
            slow: false,
        };
        Self { minimum_rate, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, FlowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restart(&self) {
        self.state().moved = Instant::now();
    }

    fn is_over(&self) -> bool {
        self.state().over
    }

    fn broke_off(&self) -> bool {
        self.state().broke_off
    }

    /// The receiver is ready for more; an error if it has been too slow.
    fn begin(&self, now: Instant) -> Result<(), BodyError> {
        let mut state = self.state();
        let taken = now.saturating_duration_since(state.moved);
        state.taken += taken;
        state.drawing = true;
        let due = state.taken.as_secs_f64() * self.minimum_rate as f64;
        state.slow = state.taken > GRACE && (state.sent as f64) < due;
        match state.slow {
            true => Err(BodyError::Peer("it takes the documents too slowly".into())),
            false => Ok(()),
        }
    }

    /// The source has given so many bytes.
    fn end(&self, now: Instant, sent: usize) {
        let mut state = self.state();
        state.sent += sent as u64;
        (state.moved, state.drawing) = (now, false);
    }

    /// Until when the receiver may go on as it does; none if its time is up.
    fn patience(&self, now: Instant, budget: Duration) -> Option<Instant> {
        let state = self.state();
        let until = if state.drawing { now + budget } else { state.moved + budget };
        (until > now).then_some(until)
    }

    /// Ends when the receiver has neither taken anything nor answered for so long.
    async fn stalls(&self, budget: Duration) {
        while let Some(until) = self.patience(Instant::now(), budget) {
            sleep_until(until).await;
        }
    }
}

/// A source that tells a flow what is drawn from it.
struct Metered {
    source: Box<dyn BodySource>,
    flow: Arc<Flow>,
}

impl BodySource for Metered {
    fn next_document(&mut self) -> BoxFuture<'_, Result<Option<usize>, BodyError>> {
        Box::pin(async move {
            self.flow.begin(Instant::now())?;
            let next = self.source.next_document().await;
            match &next {
                Ok(Some(_)) => {}
                Ok(None) => self.flow.state().over = true,
                Err(_) => self.flow.state().broke_off = true,
            }
            self.flow.end(Instant::now(), 0);
            next
        })
    }

    fn next_chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, BodyError>> {
        Box::pin(async move {
            self.flow.begin(Instant::now())?;
            let next = self.source.next_chunk().await;
            if next.is_err() {
                self.flow.state().broke_off = true;
            }
            self.flow.end(Instant::now(), next.as_ref().ok().and_then(Option::as_ref).map_or(0, Bytes::len));
            next
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_blames_itself_may_have_taken_it() {
        for (told, senders) in [
            ("env:Sender: You may not.", true),
            ("soap:Client: You may not.", true),
            ("env:Receiver: The audit trail takes no records.", false),
            ("env:Receiver: Sender: nobody", false),
            (": ", false),
        ] {
            assert_eq!(is_senders(told), senders, "{told}");
        }
    }

    #[test]
    fn the_community_is_named_where_it_wants_to_be() {
        let home = HomeCommunityId::parse("urn:oid:2.999.1").unwrap();
        for (target_in, in_header, in_slot) in
            [(TargetIn::Both, true, true), (TargetIn::Header, true, false), (TargetIn::Slot, false, true)]
        {
            let (mut headers, mut slots) = ("<a/>".to_owned(), vec![Slot::single("other", "x")]);
            target_in.name(&home, &mut headers, &mut slots);
            assert!(headers.starts_with("<a/>"));
            assert_eq!(headers.contains("homeCommunityBlock"), in_header);
            let named = slots.iter().any(|slot| slot.name == HOME_SLOT && slot.values == ["urn:oid:2.999.1"]);
            assert_eq!((named, slots.len()), (in_slot, 1 + usize::from(in_slot)));
        }
    }

    #[test]
    fn the_receiver_has_its_time_and_the_source_its_own() {
        let (flow, budget, began) = (Flow::new(0), Duration::from_secs(8), Instant::now());
        let after = |seconds| began + Duration::from_secs(seconds);
        flow.begin(began).unwrap();
        assert!(flow.patience(after(60), budget).is_some(), "it is the source that is waited for");
        flow.end(after(60), 1);
        assert_eq!(flow.patience(after(67), budget), Some(after(68)));
        flow.begin(after(67)).unwrap();
        flow.end(after(67), 1);
        assert!(flow.patience(after(74), budget).is_some(), "something has moved");
        assert!(flow.patience(after(75), budget).is_none());
    }

    #[test]
    fn who_takes_next_to_nothing_is_let_go() {
        let (flow, began) = (Flow::new(1000), Instant::now());
        for second in 1..=4 {
            let now = began + Duration::from_secs(second);
            flow.begin(now).unwrap();
            flow.end(now, 1);
        }
        assert!(flow.begin(began + Duration::from_secs(7)).is_err() && flow.state().slow);
        // The source may be as slow as it is.
        let flow = Flow::new(1000);
        flow.begin(began).unwrap();
        flow.end(began + Duration::from_secs(60), 1);
        assert!(flow.begin(began + Duration::from_secs(61)).is_ok());
    }
}
