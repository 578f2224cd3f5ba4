//! The Technical Framework's nouns. No XML, no HTTP, no files.
//!
//! Start reading at [`rim`] (what metadata is made of) and [`metadata`] (what it means). Types
//! here are not serializable: the wire and the disk have shapes of their own.

pub mod audit_event;
pub mod community;
pub mod discovery;
pub mod document;
pub mod emergency;
pub mod fetch;
pub mod hl7;
pub mod ids;
pub mod metadata;
pub mod packed;
pub mod response;
pub mod rim;
pub mod sharing;
pub mod stored_query;
pub mod subject;
pub mod time;
pub mod vocabulary;
