//! `causeway serve`: runs the broker until it is told to stop.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{CommandError, Outcome};
use crate::broker::Broker;
use crate::config::Config;

/// Runs a broker. SIGTERM and SIGINT drain and stop it; SIGHUP reloads certificates, revocation
/// lists and peers.
///
/// # Errors
/// When it cannot start.
pub async fn run(config: Config) -> Outcome {
    let file = config.file.clone();
    let name = config.community.name.clone();
    let home = config.community.home_community_id.clone();
    let failed = |error: &dyn std::fmt::Display| CommandError::failed(error.to_string());
    let broker = Broker::start(config).await.map_err(|error| failed(&error))?;
    for address in broker.addresses() {
        tracing::info!(%address, community = name, %home, "listening; services are below /services/");
    }
    if let Some(address) = broker.admin_address() {
        tracing::info!(%address, "admin: /healthz, /readyz, /metrics");
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| failed(&error))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| failed(&error))?;
    let mut reload = signal(SignalKind::hangup()).map_err(|error| failed(&error))?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = reload.recv() => {
                let Some(file) = &file else { continue };
                match Config::load(file) {
                    Ok(config) => match broker.reload(config) {
                        Ok(()) => tracing::info!("reloaded certificates, revocation lists, codes, validation modes, people, peers and where traces go"),
                        Err(error) => tracing::error!(%error, "reload: what failed stays as it was"),
                    },
                    Err(error) => tracing::error!(%error, "reload: the configuration has findings; nothing was changed"),
                }
            }
        }
    }
    tracing::info!("stopping: open requests are finished");
    broker.stop().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
