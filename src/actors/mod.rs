//! The IHE actors: one file each, one async method per transaction. They know the model, the
//! rules and the stores; no XML, no HTTP, no TLS. What they need from elsewhere is in [`ports`].

mod absent;
pub mod access;
pub mod askers;
mod claims;
pub mod context;
pub mod correlation;
pub mod discovery;
pub mod document_provide;
pub mod document_registry;
pub mod document_repository;
mod draft;
pub mod explain;
pub mod federation;
mod fetch;
pub mod fingerprints;
pub mod initiating_gateway;
pub mod locator;
mod manners;
pub mod merge;
pub mod patient_directory;
pub mod ports;
pub mod queries;
pub mod relay;
mod remove;
pub mod responding_gateway;
mod sharing;
pub mod spool;
mod translation;
mod update;
