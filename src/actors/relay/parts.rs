//! A community that does not take a request for many documents: it is asked for a part of them at a time.

use tokio::time::Instant;

use super::{append, ask, expected, keep, listed, settle, undelivered};
use crate::actors::context::RequestContext;
use crate::actors::federation::{Federation, Peer};
use crate::actors::ports::PeerFailure;
use crate::actors::spool::Spool;
use crate::model::document::{DocumentRequest, RetrieveResponse};

/// Asks for `part` documents at a time and joins the answers in order. Each part's documents are kept before the
/// next is asked for: one that works on a single request at a time would wait for us as we for it. When it does not
/// answer once it is not asked for the rest.
pub(super) async fn retrieve(
    context: &RequestContext,
    federation: &Federation,
    peer: &Peer,
    spool: &Spool,
    requests: &[DocumentRequest],
    part: usize,
) -> RetrieveResponse {
    let mut joined = RetrieveResponse::failure(Vec::new());
    let began = Instant::now();
    let mut rest = requests;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(part.min(rest.len()));
        let answer = if Instant::now() < context.deadline {
            ask(context, peer, now).await
        } else {
            Err(PeerFailure::Timeout(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)))
        };
        match answer {
            Ok(response) => {
                let response = settle(context, peer, now, response);
                let expected = expected(federation, &response);
                append(&mut joined, keep(context, peer, spool, response, &expected).await);
            }
            Err(failure) => {
                joined.errors.push(undelivered(context, peer, &failure, &listed(rest)));
                break;
            }
        }
        rest = later;
    }
    joined
}
