//! Sockets, TLS, HTTP and the pipeline every message walks through. It never looks
//! inside a DocumentEntry: that is the actors' business.
//!
//! Inbound: [`listener`] accepts, [`tls`] names the caller, [`pipeline`] reads the message,
//! decides, calls the transaction's file in [`endpoint`], audits, answers. Outbound: [`peer`].
//! Asynchronous exchange: [`callbacks`] says where our answers may go, [`delivery`] sends them there;
//! peers' answers find the calls that wait for them in [`awaited`].

pub mod admin;
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
pub mod listener;
pub mod message;
pub mod metrics;
pub mod peer;
pub mod pipeline;
pub mod remote_registry;
pub mod tls;
pub mod trace_context;
pub mod wsdl;
