//! What an actor knows about a request besides its content.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::askers::Asker;
use super::explain::Steps;
use super::ports::PeerFailure;
use crate::model::emergency::EmergencyClaim;
use crate::model::ids::HomeCommunityId;
use crate::transaction::Transaction;

/// The context of one inbound request, carried through to every outbound call it causes.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The transaction.
    pub transaction: &'static Transaction,
    /// Binds log lines, audit records and outbound calls of one request together.
    pub correlation_id: Arc<str>,
    /// `wsa:MessageID`, if the request has one.
    pub message_id: Option<Arc<str>>,
    /// Who asks, from the certificate: a common name or a fingerprint.
    pub caller: Arc<str>,
    /// The communities that it is known as, by its certificate; none, if it is not known as any.
    pub known_as: Arc<[HomeCommunityId]>,
    /// `wsse:Security` as received: handed on, not trusted.
    pub security: Option<Arc<str>>,
    /// Whether `security` says that it is an emergency; where that is believed, `lane` says so too.
    pub emergency: EmergencyClaim,
    /// Where it stands among those that wait.
    pub lane: Lane,
    /// Who is behind it, where it asks for what communities are given.
    pub asker: Asker,
    /// The gateways of our kind that it has passed already, in order: none is asked again for it.
    pub via: Arc<[HomeCommunityId]>,
    /// Told when the broker stops and no longer waits: nobody else is to be waited for either.
    pub cut: CancellationToken,
    /// Told when whoever asked has gone away: what only they wanted need not be had any more.
    pub gone: CancellationToken,
    /// When it came, by the clock.
    pub at: jiff::Timestamp,
    /// When the answer must be on its way.
    pub deadline: Instant,
    /// The trace it belongs to.
    pub trace: Trace,
    /// Where it is noted what was done for it.
    pub steps: Steps,
}

/// Where a request stands among those that wait for a place, with us and on its way to communities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// It takes its turn.
    #[default]
    Ordinary,
    /// It is one of emergency treatment, as far as that is believed (`access.rs`): it goes first.
    Emergency,
}

impl Lane {
    /// Its word in numbers and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Emergency => "emergency",
        }
    }
}

/// A trace (W3C Trace Context), and our part in it.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// trace-id
    pub id: [u8; 16],
    /// The span of whoever asked, if they named one.
    pub parent: Option<[u8; 8]>,
    /// Our span.
    pub span: [u8; 8],
    /// Whether whoever asked records it.
    pub sampled: bool,
    /// `tracestate`, which is others' and goes on as it came.
    pub state: Option<Arc<str>>,
}

impl Trace {
    /// trace-id as 32 lower-case hexadecimal digits.
    pub fn id_hex(&self) -> String {
        crate::store::hex(&self.id)
    }
}

impl RequestContext {
    /// The context of a request that nobody sent: of a command, or of a test.
    pub fn of_our_own(transaction: &'static Transaction, caller: &str, time: Duration) -> Self {
        Self {
            transaction,
            correlation_id: caller.into(),
            message_id: None,
            caller: caller.into(),
            known_as: Arc::new([]),
            security: None,
            emergency: EmergencyClaim::No,
            lane: Lane::default(),
            asker: Asker::default(),
            via: Arc::new([]),
            cut: CancellationToken::new(),
            gone: CancellationToken::new(),
            at: jiff::Timestamp::now(),
            deadline: Instant::now() + time,
            trace: Trace::default(),
            steps: Steps::default(),
        }
    }

    /// Waits until there is no use in waiting for a community any longer, and tells why.
    pub async fn given_up(&self) -> PeerFailure {
        let why = tokio::select! {
            () = self.cut.cancelled() => "this broker stops",
            () = self.gone.cancelled() => "who asked has gone away",
        };
        PeerFailure::GivenUp(why)
    }
}
