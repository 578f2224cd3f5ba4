//! Settings that can be read anew while connections come and go.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::cause::tls_cause;
use super::error::TlsError;
use super::material::TlsMaterial;
use super::settings::{Built, VERSIONS, client_config_with, server_config_with};
use super::source::TlsSource;

type Build<C> =
    fn(&TlsMaterial, &[&'static SupportedProtocolVersion], Arc<dyn TimeProvider>) -> Result<Built<C>, TlsError>;

struct Current<C> {
    source: TlsSource,
    config: Arc<C>,
    /// Judges clients again that were accepted earlier; a caller's own settings have no such judge.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    generation: u64,
}

/// TLS settings that can be read anew while connections come and go.
pub struct Reloadable<C> {
    /// Read by every connection, without a lock.
    current: ArcSwap<Current<C>>,
    /// Held while reloading, so that two reloads cannot publish in the wrong order.
    reloading: Mutex<()>,
    clock: Arc<dyn TimeProvider>,
    build: Build<C>,
    reloaded: watch::Sender<u64>,
}

/// Settings of a listener.
pub type ReloadableServer = Reloadable<ServerConfig>;
/// Settings of calls to peers.
pub type ReloadableClient = Reloadable<ClientConfig>;

impl<C> Reloadable<C> {
    fn start(source: TlsSource, clock: Arc<dyn TimeProvider>, build: Build<C>) -> Result<Self, TlsError> {
        let (config, clients) = build_from(&source, &clock, build)?;
        Ok(Self {
            current: ArcSwap::from_pointee(Current { source, config, clients, generation: 0 }),
            reloading: Mutex::new(()),
            clock,
            build,
            reloaded: watch::Sender::new(0),
        })
    }

    /// The settings for the next connection.
    pub fn config(&self) -> Arc<C> {
        self.current.load().config.clone()
    }

    /// Grows with each successful reload. A connection that began under an older one may belong
    /// to a peer that is revoked by now.
    pub fn generation(&self) -> u64 {
        self.current.load().generation
    }

    /// Reads everything again from where it came. On error the old settings stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.publish(None)
    }

    /// Takes everything from another place. On error the old settings and place stay in use.
    pub fn replace(&self, source: impl Into<TlsSource>) -> Result<(), TlsError> {
        self.publish(Some(source.into()))
    }

    fn publish(&self, source: Option<TlsSource>) -> Result<(), TlsError> {
        // The lock guards no data, so a panic under it leaves nothing half done.
        let _held = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let source = source.unwrap_or_else(|| old.source.clone());
        let (config, clients) = build_from(&source, &self.clock, self.build)?;
        let generation = old.generation + 1;
        self.current.store(Arc::new(Current { source, config, clients, generation }));
        self.reloaded.send_replace(generation);
        Ok(())
    }
}

impl<C> fmt::Debug for Reloadable<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let current = self.current.load();
        f.debug_struct("Reloadable")
            .field("source", &current.source)
            .field("generation", &current.generation)
            .finish_non_exhaustive()
    }
}

fn build_from<C>(source: &TlsSource, clock: &Arc<dyn TimeProvider>, build: Build<C>) -> Result<Built<C>, TlsError> {
    let now = clock.current_time().ok_or_else(|| TlsError::Engine { reason: "there is no time".to_owned() })?;
    build(&source.load(now)?, VERSIONS, clock.clone())
}

impl ReloadableServer {
    /// Reads a listener's settings for the first time.
    pub fn new(source: impl Into<TlsSource>) -> Result<Self, TlsError> {
        Self::with_clock(source, Arc::new(DefaultTimeProvider))
    }

    /// The same with a clock of one's own: dates of certificates and lists are judged by it.
    pub fn with_clock(source: impl Into<TlsSource>, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        Self::start(source.into(), clock, server_config_with)
    }

    /// Waits until a client that was accepted with this chain, under settings of this generation, is not to be
    /// accepted any more: its certificate has been revoked, or its authority is not trusted any longer. Tells why.
    pub async fn disowned(&self, chain: &[CertificateDer<'_>], mut generation: u64) -> &'static str {
        let mut reloaded = self.reloaded.subscribe();
        loop {
            let current = *reloaded.borrow_and_update();
            let judged = std::mem::replace(&mut generation, current) == current;
            if !judged
                && let (Some((leaf, others)), Some(now)) = (chain.split_first(), self.clock.current_time())
                && let Some(clients) = &self.current.load().clients
                && let Err(error) = clients.verify_client_cert(leaf, others, now)
            {
                return tls_cause(&error);
            }
            if reloaded.changed().await.is_err() {
                // The settings are gone, and with them the listener.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Accepts the next connection. Take a new one for each: it is cheap, and it is what makes a
    /// reload take effect.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config())
    }
}

impl ReloadableClient {
    /// Reads a caller's settings for the first time.
    pub fn new(source: impl Into<TlsSource>) -> Result<Self, TlsError> {
        Self::with_clock(source, Arc::new(DefaultTimeProvider))
    }

    /// The same with a clock of one's own.
    pub fn with_clock(source: impl Into<TlsSource>, clock: Arc<dyn TimeProvider>) -> Result<Self, TlsError> {
        Self::start(source.into(), clock, client_config_with)
    }

    /// Makes the next connection.
    pub fn connector(&self) -> TlsConnector {
        TlsConnector::from(self.config())
    }
}
