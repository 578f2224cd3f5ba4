//! The commands of the binary: arguments as `clap` structures, and what each of them does.
//!
//! A command is a file with `Args` and `run`. `run` prints to standard output what was asked for,
//! and answers with an [`Outcome`]: the exit code, or why it could not be done, which `main` prints
//! to standard error. Only `main` knows logging and the runtime.

pub mod bench;
pub mod certs;
pub mod check;
pub mod client;
pub mod demo;
pub mod discover;
pub mod doctor;
pub mod explain;
pub mod find;
pub mod get;
pub mod init;
pub mod probe;
pub mod retrieve;
pub mod serve;
pub mod simulate;
pub mod store;
pub mod submit;
pub mod validate;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::transport::certificates::CertificateError;
use crate::transport::tls::TlsError;

/// The exit code of a command, or why it could not be done.
pub type Outcome = Result<ExitCode, CommandError>;

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration has findings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates could not be made or read.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// TLS could not be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was to be done with it.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What was asked for makes no sense, or something failed: what, and what to do.
    #[error("{0}")]
    Failed(String),
}

impl CommandError {
    /// A failure in one sentence: what is so, and what to do about it.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}

/// Arguments of `causeway serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// The configuration to run.
    #[arg(long, short, value_name = "FILE", default_value = "causeway.toml", env = "CAUSEWAY_CONFIG")]
    pub config: PathBuf,
}

/// Writes to standard output; a reader that has left early (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written, for example because a disk is full.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::file("write", "standard output")(error))
        }
        _ => Ok(()),
    }
}
