//! What an actor knows about a request besides its content.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ports::PeerFailure;
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
    /// `wsse:Security` as received: handed on, not trusted.
    pub security: Option<Arc<str>>,
    /// The gateways of our kind that it has passed already, in order: none is asked again for it.
    pub via: Arc<[HomeCommunityId]>,
    /// Told when the broker stops and no longer waits: nobody else is to be waited for either.
    pub cut: CancellationToken,
    /// Told when whoever asked has gone away: what only they wanted need not be had any more.
    pub gone: CancellationToken,
    /// When the answer must be on its way.
    pub deadline: Instant,
}

impl RequestContext {
    /// Waits until there is no use in waiting for a community any longer, and tells why.
    pub async fn given_up(&self) -> PeerFailure {
        let why = tokio::select! {
            () = self.cut.cancelled() => "this broker stops",
            () = self.gone.cancelled() => "who asked has gone away",
        };
        PeerFailure::NotAsked(why.into())
    }
}
