//! Measuring: a load generator over mutual TLS, a bare server to compare with, and the suite that
//! runs both in turns.
//!
//! A figure alone says more about the machine than about the broker, so the suite prints ratios:
//! [`suite`] starts the broker as it is configured by default and a [`baseline`] server that
//! answers the same bytes over the same TLS settings, each as a process of its own, and lets the
//! same clients ([`load`]) ask both, round about. What is sent comes from [`samples`]; how long it
//! took goes into a [`histogram`]; [`report`] puts it into a table or JSON.
//!
//! Nothing here is on the path of a message. Start reading at [`suite::run`].

pub mod baseline;
pub mod federation;
pub mod histogram;
pub mod load;
pub mod locator;
pub mod paced;
pub mod process;
pub mod report;
pub mod samples;
pub mod suite;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file or a socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Anything else, in a sentence.
    #[error("{0}")]
    Failed(String),
}

impl BenchError {
    /// A failure in one sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
