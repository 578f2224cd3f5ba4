//! The Responding Gateways of one community: each with its own connections and its own breaker, asked in order of
//! preference until one answers.
//!
//! The first that has not failed lately is asked. If it cannot be reached, is not trusted, breaks off, does not answer
//! in its part of the time, or something before it answers in its stead (HTTP 5xx without a SOAP message), the next
//! one is. A fault is an answer, and so is a message that is wrong: what one gateway says is what the community says. Only
//! requests that change nothing go this way.
//!
//! What a community is asked is bounded for all its gateways together: a second one is no second allowance. Submissions
//! are bounded apart.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, timeout_at};

use super::RemoteCommunity;
use super::client::{SoapClient, Unanswered};
use super::places::{Held, Paced};
use crate::actors::context::RequestContext;
use crate::actors::explain::Doing;
use crate::actors::ports::{GatewayView, PeerFailure};
use crate::model::audit_event::{AuditEvent, AuditOutcome, Exchange, NetworkAccessPoint};
use crate::model::document::RetrievedDocument;
use crate::model::response::{ErrorCode, RegistryError, ResponseStatus};
use crate::transaction::{Transaction, TransactionId};
use crate::transport::admission::Place;
use crate::transport::breaker::{Breaker, Leave, Refused};
use crate::transport::endpoint::AuditFacts;
use crate::transport::pipeline::outcome_name;

/// A community that has not answered within this time is taken for one that does not.
const TELLING: Duration = Duration::from_secs(1);

/// One gateway.
struct Gateway {
    client: SoapClient,
    breaker: Arc<Breaker>,
}

/// A community's gateways, in order of preference.
pub(super) struct Gateways(Vec<Gateway>);

impl Gateways {
    /// Those of these clients, each with the breaker of its address.
    pub(super) fn new(clients: impl IntoIterator<Item = SoapClient>, breaker: impl Fn(&Uri) -> Arc<Breaker>) -> Self {
        let gateway = |client: SoapClient| Gateway { breaker: breaker(client.uri()), client };
        Self(clients.into_iter().map(gateway).collect())
    }

    /// What there is to show of them.
    pub(super) fn views(&self, now: Instant) -> Vec<GatewayView> {
        let view = |gateway: &Gateway| GatewayView {
            address: gateway.client.uri().to_string(),
            again_in: gateway.breaker.refused(now).map(|refused| refused.again_in),
        };
        self.0.iter().map(view).collect()
    }

    /// Why none of them would be asked at that moment; none: one would be.
    fn refused(&self, now: Instant) -> Option<PeerFailure> {
        let mut soonest: Option<Refused> = None;
        for gateway in &self.0 {
            soonest = sooner(soonest, gateway.breaker.refused(now)?);
        }
        Some(lately(soonest))
    }
}

fn sooner(one: Option<Refused>, other: Refused) -> Option<Refused> {
    Some(one.filter(|one| one.again_in <= other.again_in).unwrap_or(other))
}

fn lately(refused: Option<Refused>) -> PeerFailure {
    PeerFailure::NotAsked(match refused {
        Some(refused) => {
            format!("it has not answered lately; it is tried again in about {} s", refused.again_in.as_secs() + 1)
        }
        None => "it has no Responding Gateway".to_owned(),
    })
}

/// A place at one gateway.
pub(super) struct OnePlace<'c> {
    /// The way to it.
    pub(super) client: &'c SoapClient,
    /// To be told what came of it.
    pub(super) leave: Leave<'c>,
    /// Since when.
    pub(super) began: Instant,
    _place: Place,
}

/// What audit is told of an answer.
type Judged<'t> = (ResponseStatus, &'t [RegistryError], &'t [RetrievedDocument]);

/// A request to a community, whichever of its gateways answers it.
struct Asking<'r> {
    context: &'r RequestContext,
    transaction: &'static Transaction,
    facts: &'r AuditFacts,
    /// Whether its answer comes as a message of its own.
    later: bool,
    /// Its place, where it may be given back before there is an answer.
    place: Option<&'r Held>,
}

/// What a community says that has too much to do (ITI TF-3 Table 4.2.4.1-2).
const BUSY: [ErrorCode; 2] = [ErrorCode::XDSRegistryBusy, ErrorCode::XDSRepositoryBusy];

/// Tells how many requests the community may be asked at once what came of one.
fn told<T>(pace: Paced<'_>, result: &Result<T, PeerFailure>, is_busy: impl Fn(&T) -> bool) {
    let now = Instant::now();
    match result {
        Err(PeerFailure::Timeout(_)) => pace.unanswered(now),
        Err(PeerFailure::Unreachable(_) | PeerFailure::Overloaded) => pace.refused(now),
        Ok(answer) if is_busy(answer) => pace.refused(now),
        // That is no matter of how much it is asked.
        Err(PeerFailure::Untrusted(_) | PeerFailure::NotAsked(_) | PeerFailure::GivenUp(_) | PeerFailure::NotYet) => {}
        _ => pace.answered(now),
    }
}

impl RemoteCommunity {
    /// Calls one gateway after the other within budget, bound and deadline; audits and counts each call. Those of
    /// asynchronous exchange are given all the time there is: nobody can tell one that hangs from one that works.
    pub(super) async fn bounded<'a, T, F>(
        &'a self,
        context: &RequestContext,
        transaction: &'static Transaction,
        facts: &AuditFacts,
        gateways: &'a Gateways,
        call: impl Fn(&'a SoapClient, Held) -> F,
        judge: impl Fn(&T) -> Judged<'_>,
    ) -> Result<T, PeerFailure>
    where
        F: Future<Output = Result<T, Unanswered>>,
    {
        let began = Instant::now();
        let until = context.deadline.min(began + self.limits.budget);
        let later = self.answers_to.is_some()
            || transaction.id == TransactionId::CrossGatewayPatientDiscovery && self.discovery_answers_to.is_some();
        let asking = Asking { context, transaction, facts, later, place: None };
        let is_busy = |answer: &T| judge(answer).1.iter().any(|error| BUSY.contains(&error.code));
        let first = gateways.0.first().map(|gateway| gateway.client.uri());
        let place = match self.place(context, transaction, until, gateways).await {
            Ok(place) => Held::new(place),
            Err(failure) => return self.recorded(&asking, first, began, Err(failure), false, &judge).await,
        };
        let asking = Asking { place: Some(&place), ..asking };
        let several = gateways.0.len() > 1;
        let (mut failed, mut soonest) = (None, None);
        for (number, gateway) in gateways.0.iter().enumerate() {
            let uri = gateway.client.uri();
            // Behind the queue: what waited in it while the others failed is not to try in vain as well.
            let now = Instant::now();
            let leave = match gateway.breaker.enter(now) {
                Ok(leave) => leave,
                Err(refused) => {
                    if several {
                        let said = || format!("{uri} has not answered lately and is passed over");
                        self.note(context, Doing::Failover, now, said);
                    }
                    soonest = sooner(soonest, refused);
                    continue;
                }
            };
            let later = gateways.0.iter().skip(number + 1);
            let others = later.filter(|other| other.breaker.refused(now).is_none()).count();
            let share = if asking.later { 1 } else { u32::try_from(others + 1).unwrap_or(u32::MAX) };
            let turn = now + until.saturating_duration_since(now) / share;
            if several && number > 0 {
                self.note(context, Doing::Failover, now, || format!("to {uri}"));
            }
            let (result, elsewhere) = self
                .attempt(&asking, leave, (turn, others > 0), uri, call(&gateway.client, place.clone()), is_busy)
                .await;
            if several {
                self.note(context, Doing::Gateway, now, || match &result {
                    Ok(_) => format!("{uri} answered"),
                    Err(failure) => format!("{uri} {}", failure.without_their_words()),
                });
            }
            let next = elsewhere && others > 0;
            match self.recorded(&asking, Some(uri), now, result, next, &judge).await {
                // What could not be audited ends it.
                Err(failure) if next && !matches!(failure, PeerFailure::NotAsked(_)) => failed = Some(failure),
                result => return result,
            }
        }
        match failed {
            Some(failure) => Err(failure),
            // They have failed others meanwhile.
            None => self.recorded(&asking, first, began, Err(lately(soonest)), false, &judge).await,
        }
    }

    /// A place at one gateway, the first that has not failed lately, for what is sent once and to nobody else.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn one_place(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        until: Instant,
    ) -> Result<OnePlace<'_>, PeerFailure> {
        let place = self.place(context, transaction, until, &self.gateways).await?;
        let (now, mut soonest) = (Instant::now(), None);
        for Gateway { client, breaker } in &self.gateways.0 {
            match breaker.enter(now) {
                Ok(leave) => return Ok(OnePlace { client, leave, began: now, _place: place }),
                Err(refused) => soonest = sooner(soonest, refused),
            }
        }
        Err(lately(soonest))
    }

    /// The first gateway's address.
    pub(super) fn first_address(&self) -> Option<&Uri> {
        self.gateways.0.first().map(|gateway| gateway.client.uri())
    }

    /// Puts what came of something that was sent once on record.
    pub(super) async fn noted<T>(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        facts: &AuditFacts,
        uri: Option<&Uri>,
        (began, result): (Instant, Result<T, PeerFailure>),
        judge: impl Fn(&T) -> Judged<'_>,
    ) -> Result<T, PeerFailure> {
        self.recorded(
            &Asking { context, transaction, facts, later: false, place: None },
            uri,
            began,
            result,
            false,
            judge,
        )
        .await
    }

    fn note(&self, context: &RequestContext, doing: Doing, began: Instant, said: impl FnOnce() -> String) {
        context.steps.came_of(Some(&self.home), doing, began, || said().into());
    }

    /// A place to ask in, unless too many wait or the community is not worth asking now.
    async fn place(
        &self,
        context: &RequestContext,
        transaction: &'static Transaction,
        until: Instant,
        gateways: &Gateways,
    ) -> Result<Place, PeerFailure> {
        let asked = Instant::now();
        // Who would not be let through need not wait for a place.
        if let Some(failure) = gateways.refused(asked) {
            return Err(failure);
        }
        let turn = self.places.last_turn(transaction, asked, until);
        let place = tokio::select! {
            biased;
            failure = context.given_up() => return Err(failure),
            place = self.places.admit(context, transaction, turn) => place,
        };
        match self.places.words(transaction) {
            Some(words) => context.steps.came_of(Some(&self.home), Doing::Queue, asked, || words.into()),
            None => context.steps.took(Some(&self.home), Doing::Queue, asked),
        }
        place
    }

    /// Calls one gateway until its turn is over, and tells its breaker. Tells whether another one may answer.
    async fn attempt<T>(
        &self,
        asking: &Asking<'_>,
        leave: Leave<'_>,
        (turn, has_next): (Instant, bool),
        uri: &Uri,
        call: impl Future<Output = Result<T, Unanswered>>,
        is_busy: impl Fn(&T) -> bool,
    ) -> (Result<T, PeerFailure>, bool) {
        let began = Instant::now();
        let mut pace = self.places.began(asking.transaction, began);
        let watched = async {
            // One whose answer comes later says nothing by taking its time.
            if asking.later { call.await } else { pace.watch(asking.transaction, call).await }
        };
        let result = tokio::select! {
            biased;
            failure = asking.context.given_up() => Err(Unanswered::from(failure)),
            result = timeout_at(turn, watched) => result.unwrap_or_else(|_| {
                Err(PeerFailure::Timeout(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)).into())
            }),
        };
        let (result, elsewhere) = match result {
            Ok(answer) => (Ok(answer), false),
            Err(Unanswered { failure, elsewhere, .. }) => (Err(failure), elsewhere),
        };
        match &result {
            // What was never sent, or is not waited for, says nothing of the gateway.
            Err(PeerFailure::GivenUp(_) | PeerFailure::NotAsked(_)) => drop(leave),
            // Something before it answered in its stead, and another one is there.
            Err(PeerFailure::Garbage(_) | PeerFailure::Overloaded) if elsewhere && has_next => {
                let silent = PeerFailure::Unreachable(String::new());
                self.left(leave, uri, Some(&silent));
            }
            Err(PeerFailure::Timeout(_)) if !self.is_telling(began) => {
                drop(leave);
                return (result, elsewhere);
            }
            result => self.left(leave, uri, result.as_ref().err()),
        }
        // How much the community is asked is no matter of one gateway of several.
        if !(elsewhere && has_next) {
            match asking.place.and_then(Held::given_back) {
                // Whatever it says later: so long it was busy with us.
                Some(at) => pace.answered(at),
                None => told(pace, &result, is_busy),
            }
        }
        (result, elsewhere)
    }

    /// Remembers whether a gateway answered.
    pub(super) fn left(&self, leave: Leave<'_>, uri: &Uri, failure: Option<&PeerFailure>) {
        let silent = |failure: &PeerFailure| {
            matches!(failure, PeerFailure::Timeout(_) | PeerFailure::Unreachable(_) | PeerFailure::Untrusted(_))
        };
        if let Some(failure) = failure.filter(|failure| silent(failure)) {
            let by_us = matches!(failure, PeerFailure::Untrusted(_));
            if leave.failed(Instant::now(), by_us) {
                tracing::warn!(
                    community = %self.home, gateway = %uri, seconds = self.limits.breaker.pause_after(by_us).as_secs(),
                    "a gateway does not answer, and is not asked for a while"
                );
            }
        } else if leave.answered() {
            tracing::info!(community = %self.home, gateway = %uri, "a gateway answers again");
        }
    }

    /// Whether it says something of a gateway that it has not answered since then: one that had hardly any time says
    /// nothing.
    fn is_telling(&self, began: Instant) -> bool {
        let gateways = u32::try_from(self.gateways.0.len()).unwrap_or(u32::MAX).max(1);
        began.elapsed() >= TELLING.min(self.limits.budget / 2 / gateways)
    }

    /// Puts what came of a call on record: in the audit trail with the address that was called, and in the numbers.
    async fn recorded<T>(
        &self,
        asking: &Asking<'_>,
        uri: Option<&Uri>,
        began: Instant,
        result: Result<T, PeerFailure>,
        goes_on: bool,
        judge: impl Fn(&T) -> Judged<'_>,
    ) -> Result<T, PeerFailure> {
        let Asking { context, transaction, facts, .. } = asking;
        let nowhere = Uri::default();
        let uri = uri.unwrap_or(&nowhere);
        let exchange = self.services.exchange(context, transaction, uri, facts);
        let (events, outcome) = match &result {
            Ok(answer) => {
                let (status, errors, retrieved) = judge(answer);
                (facts.events(exchange, status, errors, retrieved), outcome_name(status))
            }
            Err(failure) => {
                let description =
                    Some(format!("{}: {}", ErrorCode::XDSUnavailableCommunity.as_str(), failure.without_their_words()));
                let failed =
                    Exchange { outcome: AuditOutcome::SeriousFailure, outcome_description: description, ..exchange };
                let outcome = match failure {
                    PeerFailure::GivenUp(_) => "given-up",
                    _ if goes_on => "failed-over",
                    _ => "unavailable",
                };
                (vec![facts.event(failed)], outcome)
            }
        };
        let events = match (&result, uri.host().map(NetworkAccessPoint::from_host)) {
            (Err(PeerFailure::Untrusted(cause)), Some(remote)) => {
                let (source, at) = (self.services.audit.source(), self.services.clock.now());
                let failed = AuditOutcome::SeriousFailure;
                let alert = AuditEvent::node_authentication_failure(source, at, None, &remote, cause, failed);
                events.into_iter().chain([alert]).collect()
            }
            _ => events,
        };
        self.services.metrics.count(transaction.number, self.home.as_str(), outcome, began.elapsed());
        match (&result, goes_on) {
            (Err(failure), true) => tracing::warn!(
                correlation_id = %context.correlation_id, transaction = transaction.number, community = %self.home,
                gateway = %uri, failure = %failure.without_their_words(), "a gateway did not answer: the next one is asked"
            ),
            _ => tracing::debug!(
                correlation_id = %context.correlation_id, transaction = transaction.number, community = %self.home,
                gateway = %uri, outcome, ms = began.elapsed().as_millis() as u64, "asked"
            ),
        }
        match self.services.audit.entrust(events).await {
            Ok(()) => result,
            Err(error) => {
                tracing::error!(correlation_id = %context.correlation_id, %error, "an outbound call could not be audited");
                Err(PeerFailure::NotAsked("its answer could not be audited".into()))
            }
        }
    }
}
