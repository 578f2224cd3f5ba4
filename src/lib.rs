//! Causeway: a document exchange broker for shared care records. An IHE XDS.b Document Registry
//! and Document Repository, and XCA Initiating and Responding Gateways, in one process.
//!
//! Hospitals register documents with it (ITI-41, ITI-42); a clinician's system asks it once
//! (ITI-18) and gets what every community holds on the patient (ITI-38); the bytes are retrieved
//! from wherever they are (ITI-43, ITI-39), streamed, over mutual TLS.
//!
//! # The map
//!
//! A room uses the rooms above it, never those below; `tests/it/tidy.rs` holds this.
//!
//! | room | what it is |
//! |---|---|
//! | [`transaction`] | one table of all transactions; dispatch, audit, metrics and WSDL tests read it |
//! | [`model`] | the Technical Framework's nouns: no XML, no sockets |
//! | [`wire`] | bytes ⇄ syntax: XML, SOAP, MTOM, ebRIM, audit messages; no I/O |
//! | [`transform`] | wire and model: document requests, audit events |
//! | [`validate`] | rules as tables; answers with all findings |
//! | [`store`] | persistence behind two traits with one suite of promises |
//! | [`actors`] | one file per IHE actor |
//! | [`transport`] | TLS, HTTP, the pipeline, endpoints, peers |
//! | [`config`], [`broker`] | what is written, and what is made of it |
//! | [`terminal`] | plain tables, sizes and times for people |
//! | [`mod@probe`] | checks of other systems' services, read-only |
//! | [`demo`], [`simulate`], [`mod@bench`], [`commands`] | the federation to look at, communities in trouble, the load to measure, the command line |
//!
//! Start reading at [`transaction`], then [`transport::pipeline`], [`actors::initiating_gateway`]
//! and [`actors::merge`].
//!
//! # What is absent, on purpose
//!
//! No whole document in memory · no success before the store says durable · no community's
//! failure without a RegistryError naming it · no patient data in any log line or `Debug` · no
//! panic on anything a peer sent · no limit without a name in the configuration · no rule without
//! its section · no task that nobody waits for · no unknown code or slot lost on the way through.

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod actors;
pub mod bench;
pub mod broker;
pub mod commands;
pub mod config;
pub mod demo;
pub mod model;
pub mod probe;
pub mod simulate;
pub mod store;
pub mod terminal;
pub mod transaction;
pub mod transform;
pub mod transport;
pub mod validate;
pub mod wire;
