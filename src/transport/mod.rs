//! Sockets, TLS, HTTP and the pipeline every message walks through. It never looks
//! inside a DocumentEntry: that is the actors' business.
//!
//! Inbound: [`listener`] accepts, [`tls`] names the caller, [`pipeline`] reads the message,
//! decides, lets it in ([`admission`]), calls the transaction's file in [`endpoint`], audits, answers. Outbound: [`peer`].
//! Asynchronous exchange: [`callbacks`] says where our answers may go, [`delivery`] sends them there;
//! peers' answers find the calls that wait for them in [`awaited`]. What was done goes to a collector of spans by
//! [`telemetry`], if one is configured.

pub mod admin;
pub mod admission;
pub mod answer;
pub mod audit_sink;
pub mod awaited;
pub mod breaker;
pub mod callbacks;
pub mod callers;
pub mod certificates;
pub mod connect;
pub mod delivery;
pub mod diagnosis;
pub mod endpoint;
pub mod explained;
mod handed_on;
pub mod listener;
pub mod message;
pub mod metrics;
pub mod peer;
pub mod pipeline;
pub mod remote_registry;
mod soap_trace;
pub mod telemetry;
pub mod tls;
pub mod trace_context;
pub mod wsdl;
