//! Answers that do not come back on their connection (WS-Addressing asynchronous exchange, ITI TF-2 §V.5).

mod asked;
pub mod asking;
mod deferred;
mod refused;

use crate::support::Reply;

const CROSS_QUERY: &str = "urn:ihe:iti:2007:CrossGatewayQuery";
const QUERY: &str = "urn:ihe:iti:2007:RegistryStoredQuery";

/// A fault with that HTTP status, whose text has that code in it.
fn assert_fault(reply: &Reply, status: u16, code: &str) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(reply.fault().is_some() && reply.text().contains(code), "{}", reply.text());
}
