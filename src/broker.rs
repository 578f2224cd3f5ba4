//! The composition root: configuration in, a running broker out. The one file that knows all
//! rooms.

mod callers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use callers::callers;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::actors::access::ListenerPolicy;
use crate::actors::correlation::{CorrelationLimits, Correlations};
use crate::actors::discovery::OwnPatients;
use crate::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use crate::actors::document_repository::DocumentRepository;
use crate::actors::explain::Explanations;
use crate::actors::federation::{Federation, Learned, Manners, PatientTranslation, Peer, Rules};
use crate::actors::initiating_gateway::{InitiatingGateway, OwnCommunity};
use crate::actors::locator::Locator;
use crate::actors::patient_directory::{ListedPatients, PatientDirectory, RegisteredPatients};
use crate::actors::ports::{Clock, RegistryPort, SystemClock, Tally};
use crate::actors::responding_gateway::RespondingGateway;
use crate::actors::spool::Spool;
use crate::config::{
    self, Config, DocumentStorage, LocatorPolicy, MetadataStorage, PeerExchange, PeerPatientId, UnknownPatients,
};
use crate::model::audit_event::{AuditEvent, AuditOutcome, AuditSource};
use crate::model::ids::HomeCommunityId;
use crate::store::audit_trail::{AuditError, AuditTrail, AuditTrailOptions};
use crate::store::files::{FileDocuments, FileOptions};
use crate::store::fjall::FjallStore;
use crate::store::memory::{MemoryDocuments, MemoryStore};
use crate::store::sled::SledStore;
use crate::store::{Change, DocumentStore, EmbeddedOptions, RegistryStore, StoreError};
use crate::transport::admin::{AdminListener, AdminView};
use crate::transport::admission::{AdmissionLimits, GateLimits};
use crate::transport::audit_sink::AuditSink;
use crate::transport::awaited::{AnswersTo, Awaited};
use crate::transport::breaker::BreakerLimits;
use crate::transport::callbacks::{Callbacks, Listed};
use crate::transport::listener::{Listener, ListenerLimits};
use crate::transport::message::{Bounds, EnvelopeRoom};
use crate::transport::metrics::Metrics;
use crate::transport::peer::{AdaptiveLimits, PeerLimits, PeerServices, PlaceLimits, RemoteCommunity, SoapClient};
use crate::transport::pipeline::{Actors, LaterLimits, Pipeline, PipelineLimits};
use crate::transport::remote_registry::RemoteRegistry;
use crate::transport::telemetry::{Collector, Telemetry};
use crate::transport::tls::{ReloadableClient, ReloadableServer, TlsError};
use crate::transport::{certificates, tls};
use crate::validate::codes::CodeSet;
use crate::wire::{mtom, xml};

/// Why a broker cannot start or reload.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// Certificates, keys or revocation lists.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A store.
    #[error("the store cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// The audit trail.
    #[error("the audit trail cannot be opened: {0}")]
    Audit(#[from] AuditError),
    /// The code file.
    #[error("the code file {file} cannot be used: {what}")]
    Codes {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An address.
    #[error("{address} cannot be bound: {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A development certificate where the configuration says production.
    #[error("{file} is a development certificate: profile \"production\" refuses it; use one of your own authority")]
    DevelopmentCertificate {
        /// Which file.
        file: PathBuf,
    },
}

/// A running broker.
pub struct Broker {
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    stop: CancellationToken,
    tasks: TaskTracker,
    shared: Arc<Shared>,
}

struct Shared {
    config: Mutex<Config>,
    servers: Vec<Arc<ReloadableServer>>,
    client: Arc<ReloadableClient>,
    federation: Arc<ArcSwap<Federation>>,
    services: PeerServices,
    answer_bounds: Bounds,
    pipeline: Arc<Pipeline>,
    store: Arc<dyn RegistryStore>,
    name: String,
}

/// The limits of one message, as the transport takes them.
pub(crate) fn bounds(limits: &config::Limits) -> Bounds {
    Bounds {
        envelope_bytes: limits.envelope_bytes,
        document_bytes: limits.document_bytes,
        message_bytes: limits.submission_bytes,
        idle: limits.body_idle_timeout,
        minimum_rate: limits.minimum_rate,
        xml: xml::Limits {
            depth: limits.xml_depth,
            elements: limits.xml_elements,
            attributes: limits.xml_attributes,
            namespaces: limits.xml_namespaces,
            name: limits.xml_name_bytes,
            value: limits.xml_value_bytes,
        },
        mtom: mtom::Limits {
            part_headers_bytes: limits.part_header_bytes,
            parts: limits.mime_parts,
            boundary_len: limits.boundary_bytes,
            ..mtom::Limits::default()
        },
        // The largest allowed must fit, or it would be refused for ever.
        room: EnvelopeRoom::new(limits.all_envelopes_bytes.max(limits.envelope_bytes)),
        envelope_time: limits.envelope_timeout,
    }
}

/// How many requests are under way at once, and who waits.
fn gate_limits(config: &Config) -> GateLimits {
    let limits = &config.limits;
    let emergencies = config
        .listeners
        .iter()
        .any(|listener| !(listener.emergency_callers.is_empty() && listener.emergency_claims.is_empty()));
    let of = |places: usize, reserve: usize| AdmissionLimits {
        places,
        // Kept free for nobody it would be lost, and a small number of places is not for emergencies alone.
        reserve: if emergencies { reserve.min(places / 4) } else { 0 },
        queue: limits.admission_queue,
        queue_of_one: limits.admission_queue_of_one,
    };
    GateLimits {
        requests: of(limits.in_flight, limits.emergency_reserve),
        submissions: of(limits.in_flight_submissions, limits.emergency_submissions),
        wait: limits.admission_wait,
        emergency_wait: limits.emergency_wait,
    }
}

/// The limits of the answers of peers. Their room is apart from that of requests, so that who sends
/// requests cannot take it. All peers share it: it bounds the memory, not one peer's part of it.
fn answer_bounds(limits: &config::Limits) -> Bounds {
    Bounds {
        envelope_bytes: limits.peer_response_bytes,
        room: EnvelopeRoom::new(limits.peer_response_bytes.saturating_mul(LARGE_ANSWERS)),
        ..bounds(limits)
    }
}

/// The limits of a message where peers send their answers, which is where consumers send requests too.
/// Its room is its own as well.
fn posted_bounds(limits: &config::Limits, requests: &Bounds) -> Bounds {
    let envelope_bytes = limits.envelope_bytes.max(limits.peer_response_bytes);
    Bounds { envelope_bytes, room: EnvelopeRoom::new(envelope_bytes.saturating_mul(LARGE_ANSWERS)), ..requests.clone() }
}

/// Answers of the largest size that one peer may have under way at once.
const LARGE_ANSWERS: usize = 4;

fn codes(config: &Config) -> Result<Option<Arc<CodeSet>>, BrokerError> {
    let Some(codes) = config.codes.as_ref().filter(|codes| codes.enforce) else {
        return Ok(None);
    };
    let fail = |what: String| BrokerError::Codes { file: codes.file.clone(), what };
    let text = std::fs::read_to_string(&codes.file).map_err(|error| fail(error.to_string()))?;
    CodeSet::parse(&text).map(|set| Some(Arc::new(set))).map_err(|error| fail(error.to_string()))
}

/// Registry metadata, document bodies, and the latter once more if they are files, to be swept.
pub type Stores = (Arc<dyn RegistryStore>, Arc<dyn DocumentStore>, Option<Arc<FileDocuments>>);

/// Opens the registry's store; blocks, and recovery after a crash may take its time.
///
/// # Errors
/// When it cannot be opened, for example because a broker has it open.
pub fn open_registry(storage: &config::Storage) -> Result<Arc<dyn RegistryStore>, StoreError> {
    let options = EmbeddedOptions { cache: storage.cache, ..EmbeddedOptions::default() };
    Ok(match &storage.metadata {
        MetadataStorage::Sled(path) => Arc::new(SledStore::open(path, options)?),
        MetadataStorage::Fjall(path) => Arc::new(FjallStore::open(path, options)?),
        MetadataStorage::Memory => Arc::new(MemoryStore::default()),
    })
}

/// Opens the stores of a configuration; blocks, and recovery after a crash may take its time.
///
/// # Errors
/// When they cannot be opened, for example because a broker has them open.
pub fn open_stores(config: &Config) -> Result<Stores, BrokerError> {
    let store = open_registry(&config.storage)?;
    let (documents, files): (Arc<dyn DocumentStore>, _) = match &config.storage.documents {
        DocumentStorage::Files(path) => {
            let files = Arc::new(FileDocuments::open(path, FileOptions::default())?);
            (Arc::clone(&files) as Arc<dyn DocumentStore>, Some(files))
        }
        DocumentStorage::Memory => (Arc::new(MemoryDocuments::default()), None),
    };
    Ok((store, documents, files))
}

fn refuse_development_certificates(config: &Config) -> Result<(), BrokerError> {
    if config.community.profile != config::Profile::Production {
        return Ok(());
    }
    let files = config.listeners.iter().map(|listener| &listener.tls).chain(std::iter::once(&config.client));
    for file in files.map(|tls| &tls.certificate) {
        let pem = std::fs::read(file).unwrap_or_default();
        if certificates::facts_from_pem(&pem).is_ok_and(|facts| facts.iter().any(|facts| facts.is_development)) {
            return Err(BrokerError::DevelopmentCertificate { file: file.clone() });
        }
    }
    Ok(())
}

impl Broker {
    /// Starts a broker: stores first, sockets last, so that an open port means a ready broker.
    ///
    /// # Errors
    /// Whatever it needs and cannot have.
    pub async fn start(config: Config) -> Result<Self, BrokerError> {
        refuse_development_certificates(&config)?;
        let codes = codes(&config)?;
        let client = Arc::new(ReloadableClient::new(config.client.clone())?);
        let mut servers = Vec::new();
        for listener in &config.listeners {
            servers.push(Arc::new(ReloadableServer::new(listener.tls.clone())?));
        }
        let opened = {
            let config = config.clone();
            tokio::task::spawn_blocking(move || open_stores(&config)).await
        };
        let (store, documents, files) = opened.map_err(|error| StoreError::Failed(error.to_string()))??;
        let audit_dir = config.audit.dir.clone();
        let audit_options =
            AuditTrailOptions { max_queued_bytes: config.limits.audit_queue_bytes, ..AuditTrailOptions::default() };
        let trail = tokio::task::spawn_blocking(move || AuditTrail::open(audit_dir, audit_options))
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))??;
        if let Some(torn) = trail.torn_tail() {
            tracing::warn!(?torn, "the audit trail ended in a record that was never acknowledged; it was cut off");
        }
        if !config.patients.known.is_empty() {
            store.commit(Change { patients: config.patients.known.clone(), ..Change::default() }).await?;
        }
        let source = AuditSource {
            id: config.audit.source_id.clone(),
            enterprise_site: Some(config.audit.site_id.clone()),
            process_id: std::process::id(),
        };
        let audit = AuditSink::new(Arc::new(trail), source);
        let metrics = Arc::new(Metrics::default());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bounds = bounds(&config.limits);
        let answer_bounds = answer_bounds(&config.limits);
        let services = PeerServices {
            audit: audit.clone(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
            own_home: config.community.home_community_id.to_string(),
            awaited: Arc::new(Awaited::new(config.limits.awaited_answers)),
            standings: Arc::default(),
        };
        let awaited = Arc::clone(&services.awaited);
        let patients = own_patients(&config, &store);
        let correlations = Some(correlations(&config, &patients, &clock));
        let learned = Arc::new(Learned::new(config.limits.fingerprints, config.limits.located_patients));
        let federation = federation(&config, &client, &services, &answer_bounds, learned, correlations)?;
        let federation = Arc::new(ArcSwap::from_pointee(federation));
        let actors = actors(
            &config,
            &codes,
            store.clone(),
            documents,
            &clock,
            &federation,
            &client,
            &services,
            &answer_bounds,
            patients,
        );
        let limits = PipelineLimits {
            answers: posted_bounds(&config.limits, &bounds),
            bounds,
            gate: gate_limits(&config),
            request_deadline: config.limits.request_deadline,
            retrieve_deadline: config.limits.retrieve_deadline,
            documents_per_retrieve: config.limits.documents_per_retrieve,
            explained: config.limits.explained_requests,
            later: LaterLimits {
                pending: config.limits.asynchronous_requests,
                tries: config.limits.delivery_tries,
                pause: config.limits.delivery_pause,
                deadline: config.limits.delivery_deadline,
                stall: config.limits.write_stall,
            },
        };
        let collector = collector(&config, &client, &answer_bounds)?;
        let telemetry = Arc::new(Telemetry::start(config.limits.telemetry_queue, Arc::clone(&metrics)));
        telemetry.set(collector);
        let pipeline = Arc::new(Pipeline::new(actors, audit, metrics, clock, limits, awaited, telemetry));
        pipeline.set_callbacks(callbacks(&config, &client, &answer_bounds)?);
        pipeline.set_callers(callers(&config));
        // The directory has them now, and a reload gives it others.
        let mut kept = config.clone();
        kept.patients.people = None;
        let shared = Arc::new(Shared {
            servers,
            client,
            federation,
            services,
            answer_bounds,
            pipeline,
            store: Arc::clone(&store),
            name: config.community.name.clone(),
            config: Mutex::new(kept),
        });
        let broker = Self {
            addresses: Vec::new(),
            admin: None,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            shared,
        };
        broker.open(&config, files.map(|files| (files, store))).await
    }

    /// Binds and serves everything.
    async fn open(
        mut self,
        config: &Config,
        sweep: Option<(Arc<FileDocuments>, Arc<dyn RegistryStore>)>,
    ) -> Result<Self, BrokerError> {
        let limits = &config.limits;
        let connections = Arc::new(Semaphore::new(limits.connections));
        for (listener, server) in config.listeners.iter().zip(&self.shared.servers) {
            let fail = |source| BrokerError::Bind { address: listener.bind, source };
            let listener_limits = ListenerLimits {
                connections: Arc::clone(&connections),
                header_bytes: limits.header_bytes,
                headers: limits.headers,
                header_timeout: limits.header_timeout,
                write_stall: limits.write_stall,
                drain: limits.drain,
            };
            let policy = ListenerPolicy::new(
                listener.services.iter().copied(),
                listener.administrators.iter().cloned(),
                listener.many_patients.iter().cloned(),
            );
            let policy = policy.with_emergencies(
                listener.emergency_callers.iter().cloned(),
                listener.emergency_claims.iter().cloned(),
            );
            let policy = Arc::new(policy.with_providers(listener.providers.iter().cloned()));
            let bound = Listener::bind(
                listener.bind,
                Arc::clone(server),
                Arc::clone(&self.shared.pipeline),
                policy,
                listener_limits,
            )
            .await
            .map_err(fail)?;
            self.addresses.push(bound.local_addr().map_err(fail)?);
            self.tasks.spawn(bound.serve(self.stop.clone()));
        }
        if let Some(address) = config.admin {
            let fail = |source| BrokerError::Bind { address, source };
            let bound = AdminListener::bind(address).await.map_err(fail)?;
            self.admin = Some(bound.local_addr().map_err(fail)?);
            let view: Arc<dyn AdminView> = Arc::clone(&self.shared) as Arc<dyn AdminView>;
            self.tasks.spawn(bound.serve(view, self.stop.clone()));
        }
        if let Some((files, store)) = sweep {
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    swept = files.sweep(&*store) => match swept {
                        Ok(swept) if swept.removed > 0 => tracing::info!(removed = swept.removed, examined = swept.examined, "orphan documents were swept"),
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "orphan documents were not swept"),
                    },
                }
            });
        }
        let audit = self.shared.pipeline.audit();
        let at = self.shared.pipeline.now_timestamp();
        audit.record([AuditEvent::application_start(audit.source(), at, AuditOutcome::Success, None)]).await?;
        Ok(self)
    }

    /// The addresses of its listeners, in configured order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The address of its admin listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Its audit trail.
    pub fn audit_trail(&self) -> &Arc<AuditTrail> {
        self.shared.pipeline.audit().trail()
    }

    /// Its numbers, as `/metrics` shows them.
    pub fn metrics(&self) -> &Metrics {
        self.shared.pipeline.metrics()
    }

    /// What was done for the last requests of its gateways.
    pub fn explanations(&self) -> &Explanations {
        self.shared.pipeline.explanations()
    }

    /// Replaces the communities it asks, without a restart.
    ///
    /// # Errors
    /// When a peer's authorities cannot be used; the communities asked stay as they were.
    pub fn set_peers(&self, peers: Vec<config::Peer>) -> Result<(), BrokerError> {
        let shared = &self.shared;
        let mut current = shared.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let config = Config { peers, ..current.clone() };
        // What is known of communities, and of patients there, stays known.
        let known = shared.federation.load();
        let (learned, correlations) = (Arc::clone(&known.learned), known.correlations.clone());
        let (client, bounds) = (&shared.client, &shared.answer_bounds);
        let callbacks = callbacks(&config, client, bounds)?;
        let federation = federation(&config, client, &shared.services, bounds, Arc::clone(&learned), correlations)?;
        // First, so that who is taken off a list is at no moment nobody, to whom more may be given.
        shared.pipeline.set_callers(callers(&config));
        shared.federation.store(Arc::new(federation));
        // Who is asked in another way may answer otherwise; what is said of a patient whom it is asked to find
        // depends on our directory too.
        let as_before =
            |peer: &&config::Peer| config.peers.contains(peer) && peer.patient_id != PeerPatientId::Discover;
        for peer in current.peers.iter().filter(|peer| !as_before(peer)) {
            learned.forget_patients_at(&peer.home_community_id);
        }
        shared.pipeline.set_callbacks(callbacks);
        *current = config;
        Ok(())
    }

    /// Reads certificates, revocation lists, codes, validation modes, people and peers again (SIGHUP). What fails keeps its old
    /// state, and the error tells.
    ///
    /// # Errors
    /// The first that cannot be used; the others are reloaded all the same.
    pub fn reload(&self, config: Config) -> Result<(), BrokerError> {
        let mut first = None;
        let mut keep = |result: Result<(), TlsError>| {
            if let Err(error) = result {
                tracing::error!(%error, "reload: the old certificates stay in use");
                first.get_or_insert(error);
            }
        };
        for server in &self.shared.servers {
            keep(server.reload());
        }
        keep(self.shared.client.reload());
        self.shared.pipeline.actors().registry.set_modes(config.validation.clone());
        self.shared.pipeline.actors().responding.patients().set_directory(directory(&config, &self.shared.store));
        let codes = codes(&config).map(|codes| self.shared.pipeline.actors().registry.set_codes(codes));
        let codes = codes.inspect_err(|error| tracing::error!(%error, "reload: the old codes stay in use"));
        match collector(&config, &self.shared.client, &self.shared.answer_bounds) {
            Ok(collector) => self.shared.pipeline.telemetry().set(collector),
            Err(error) => {
                tracing::error!(%error, "reload: spans go on to where they went");
                first.get_or_insert(error);
            }
        }
        {
            let mut current = self.shared.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let sections = current.waits_for_restart(&config);
            if !sections.is_empty() {
                tracing::warn!(sections = sections.join(", "), "reload: what changed here holds after a restart only");
            }
            (current.asynchronous, current.locator) = (config.asynchronous, config.locator);
            (current.federation, current.gateways) = (config.federation, config.gateways);
            current.discovery = config.discovery;
        }
        let peers = self.set_peers(config.peers).inspect_err(|error| {
            tracing::error!(%error, "reload: the communities asked stay as they were");
        });
        first.map_or(codes.and(peers), |error| Err(error.into()))
    }

    /// Stops: no new connections, open requests finish within the drain time, then the trail is
    /// closed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        tracing::debug!(community = self.shared.name, "no connection is open any more");
        self.shared.pipeline.telemetry().finish().await;
        let audit = self.shared.pipeline.audit();
        let at = self.shared.pipeline.now_timestamp();
        audit.record_late([AuditEvent::application_stop(audit.source(), at, AuditOutcome::Success, None)]).await;
        if let Err(error) = audit.trail().close().await {
            tracing::error!(%error, "the audit trail did not close well");
        }
    }
}

#[allow(clippy::too_many_arguments)] // The composition root hands everybody everything once.
fn actors(
    config: &Config,
    codes: &Option<Arc<CodeSet>>,
    store: Arc<dyn RegistryStore>,
    documents: Arc<dyn DocumentStore>,
    clock: &Arc<dyn Clock>,
    federation: &Arc<ArcSwap<Federation>>,
    client: &Arc<ReloadableClient>,
    services: &PeerServices,
    answer_bounds: &Bounds,
    own_patients: Arc<OwnPatients>,
) -> Actors {
    let patients = patient_policy(config);
    let query_limits = QueryLimits { results: config.limits.results, values: config.limits.query_values };
    let registry = DocumentRegistry::new(Arc::clone(&store), codes.clone(), patients, Arc::clone(clock), query_limits);
    let tally = Arc::clone(&services.metrics) as Arc<dyn Tally>;
    let registry = registry.with_repository(config.community.repository_unique_id.clone());
    let registry = Arc::new(registry.with_modes(config.validation.clone(), tally));
    let port: Arc<dyn RegistryPort> = match &config.registry {
        None => Arc::clone(&registry) as Arc<dyn RegistryPort>,
        Some(uri) => Arc::new(RemoteRegistry::new(
            SoapClient::new(Arc::clone(client), uri.clone(), answer_bounds.clone()),
            services.clone(),
            answer_bounds.xml,
            config.limits.request_deadline,
        )),
    };
    let repository =
        Arc::new(DocumentRepository::new(config.community.repository_unique_id.clone(), documents, store, port));
    let own = OwnCommunity {
        home: config.community.home_community_id.clone(),
        name: config.community.name.clone(),
        registry: Arc::clone(&registry),
        repository: Arc::clone(&repository),
        spool: Spool::new(Arc::clone(repository.documents()), config.limits.spool_bytes),
    };
    Actors {
        registry,
        repository,
        initiating: Arc::new(InitiatingGateway::new(own.clone(), Arc::clone(federation))),
        responding: Arc::new(RespondingGateway::new(own, Arc::clone(federation), own_patients)),
    }
}

fn patient_policy(config: &Config) -> PatientPolicy {
    let domains = config.patients.domains.iter();
    PatientPolicy {
        domains: domains.map(|domain| (domain.oid.clone(), domain.check.rule(config.community.profile))).collect(),
        reject_unknown: config.patients.unknown == UnknownPatients::Reject,
    }
}

/// The directory of patients: the configured one, or what the registry knows.
fn directory(config: &Config, store: &Arc<dyn RegistryStore>) -> Box<dyn PatientDirectory> {
    match &config.patients.people {
        Some(people) => Box::new(ListedPatients::new(Arc::clone(people), patient_policy(config))),
        None => Box::new(RegisteredPatients::new(Arc::clone(store), patient_policy(config))),
    }
}

fn own_patients(config: &Config, store: &Arc<dyn RegistryStore>) -> Arc<OwnPatients> {
    Arc::new(OwnPatients::new(directory(config, store), patient_policy(config), config.limits.correlation_offer))
}

fn correlations(config: &Config, patients: &Arc<OwnPatients>, clock: &Arc<dyn Clock>) -> Arc<Correlations> {
    let limits = CorrelationLimits {
        most: config.limits.correlations,
        usual: config.limits.correlation_ttl,
        longest: config.limits.correlation_longest,
        negative: config.limits.correlation_negative,
        told: config.limits.told_correlations,
        questions: config.limits.awaited_answers,
        question_life: config.limits.deferred_questions,
    };
    let own = config.community.home_community_id.clone();
    Arc::new(Correlations::new(Arc::clone(patients), own, Arc::clone(clock), limits))
}

/// With what a peer is called.
fn client_for(
    config: &Config,
    peer: &config::Peer,
    client: &Arc<ReloadableClient>,
) -> Result<Arc<ReloadableClient>, TlsError> {
    match &peer.ca {
        None => Ok(Arc::clone(client)),
        // Never the general authorities instead: they are wider than what was asked for.
        Some(_) => Ok(Arc::new(ReloadableClient::new(config.tls_for(peer))?)),
    }
}

/// Where spans are sent, if anywhere.
fn collector(
    config: &Config,
    client: &Arc<ReloadableClient>,
    answer_bounds: &Bounds,
) -> Result<Option<Collector>, TlsError> {
    let Some(telemetry) = &config.telemetry else { return Ok(None) };
    let tls = match &telemetry.ca {
        None => Arc::clone(client),
        ca => Arc::new(ReloadableClient::new(config.tls_with(ca.as_ref()))?),
    };
    let soap = SoapClient::new(tls, telemetry.endpoint.clone(), answer_bounds.clone());
    let home = config.community.home_community_id.as_str();
    Ok(Some(Collector::new(soap, &telemetry.service_name, home, telemetry.sampling)))
}

/// Where answers may be sent: those of peers first, for they may have authorities of their own.
fn callbacks(config: &Config, client: &Arc<ReloadableClient>, answer_bounds: &Bounds) -> Result<Callbacks, TlsError> {
    let client_of = |tls| Arc::new(SoapClient::new(tls, http::Uri::default(), answer_bounds.clone()));
    // Of all answers on their way, so that none who takes none has all the places.
    let most = config.limits.asynchronous_requests.div_ceil(2);
    let mut listed = Vec::new();
    for peer in config.peers.iter().filter(|peer| peer.states.first != config::PeerState::Closed) {
        if let Some(callback) = &peer.callback {
            let only = (!peer.certificates.is_empty()).then(|| peer.home_community_id.clone());
            listed.push(Listed::new(callback.clone(), client_of(client_for(config, peer, client)?), only, most));
        }
    }
    let general = client_of(Arc::clone(client));
    let others = config.asynchronous.callbacks.iter();
    listed.extend(others.map(|callback| Listed::new(callback.clone(), Arc::clone(&general), None, most)));
    Ok(Callbacks::new(listed).with_deferred(config.discovery.deferred))
}

fn federation(
    config: &Config,
    client: &Arc<ReloadableClient>,
    services: &PeerServices,
    answer_bounds: &Bounds,
    learned: Arc<Learned>,
    correlations: Option<Arc<Correlations>>,
) -> Result<Federation, TlsError> {
    // All of them first: what cannot be used changes nothing of a community that is asked now.
    let clients = config.peers.iter().map(|peer| client_for(config, peer, client)).collect::<Result<Vec<_>, _>>()?;
    let peers = config.peers.iter().zip(clients).map(|(peer, tls)| {
        // A peer without an address is known and shown, and never asked.
        let answers = peer.responding_gateway.is_some() && peer.kind.serves();
        let profile = Arc::new(peer.profile.clone());
        let soap = |uri: &http::Uri| {
            let client = SoapClient::new(Arc::clone(&tls), uri.clone(), answer_bounds.clone());
            client.with_profile(Arc::clone(&profile))
        };
        let community = RemoteCommunity::new(
            peer.home_community_id.clone(),
            peer.gateways().map(soap),
            PeerLimits {
                budget: peer.timeout,
                in_flight: AdaptiveLimits {
                    floor: config.limits.peer_floor,
                    most: peer.max_in_flight,
                    budget: peer.timeout,
                },
                places: PlaceLimits { submissions: config.limits.peer_submissions, queue: config.limits.peer_queue },
                results: config.limits.results,
                breaker: BreakerLimits {
                    failures: config.limits.breaker_failures,
                    window: config.limits.breaker_window,
                    pause: config.limits.breaker_pause,
                },
            },
            services.clone(),
        );
        let community = match &peer.patient_discovery {
            Some(uri) => community.with_discovery_at(soap(uri)),
            None => community,
        };
        let community = community.with_target_in(peer.target_in);
        let answers_to = |exchange| {
            let address = config.asynchronous.address.as_ref().filter(|_| peer.exchange == exchange);
            let from = (!peer.certificates.is_empty()).then(|| peer.home_community_id.clone());
            let awaited = Arc::clone(&services.awaited);
            address.map(|address| AnswersTo { address: address.to_string(), awaited, from })
        };
        let community = community
            .with_answers_to(answers_to(PeerExchange::Asynchronous))
            .with_discovery_answered_at(answers_to(PeerExchange::Deferred));
        Peer {
            home: peer.home_community_id.clone(),
            name: peer.name.clone(),
            scope: peer.scope,
            kind: peer.kind,
            answers,
            states: peer.states.clone(),
            nodes: peer.nodes.iter().map(|node| node.home_community_id.clone()).collect(),
            translation: match &peer.patient_id {
                PeerPatientId::SameDomain => PatientTranslation::SameDomain,
                PeerPatientId::Domain(oid) => PatientTranslation::Domain(oid.clone()),
                PeerPatientId::Discover => PatientTranslation::Discover,
            },
            manners: Manners {
                documents_per_request: peer.profile.documents_per_request,
                assume_home: peer.profile.assume_home,
            },
            certificates: peer.certificates.clone(),
            shares: Arc::new(peer.shares.clone()),
            feed: Some(config.limits.correlation_offer).filter(|offer| peer.feed && !offer.is_zero()),
            community: Arc::new(community),
        }
    });
    let config::GatewayRules { tell_planned, only_known } = config.gateways;
    let mut federation = Federation::new(peers.collect(), learned);
    federation.tells_routes = config.federation.routes_in_slots;
    federation.takes_revocations = config.discovery.revocation;
    let federation = federation.with_locator(locator(config, services)).with_rules(Rules { tell_planned, only_known });
    Ok(match correlations {
        Some(correlations) => federation.with_correlations(correlations),
        None => federation,
    })
}

/// How queries by patient are directed, if they are.
fn locator(config: &Config, services: &PeerServices) -> Option<Arc<Locator>> {
    let settings = &config.locator;
    let peers = config.peers.iter();
    (settings.policy == LocatorPolicy::Directed).then(|| {
        Arc::new(Locator {
            knows_nothing: settings.knows_nothing,
            broadcast_every: settings.broadcast_every,
            per_user: settings.per_user,
            tell: settings.tell,
            wait: settings.wait,
            locators: peers.clone().filter(|peer| peer.locator).map(|peer| peer.home_community_id.clone()).collect(),
            located_by: peers
                .filter_map(|peer| Some((peer.home_community_id.clone(), peer.located_by.clone()?)))
                .collect(),
            tally: Some(Arc::clone(&services.metrics) as Arc<dyn Tally>),
        })
    })
}

/// How long a start may take before `/readyz` is worth asking; the page refreshes as often.
const REFRESH: Duration = Duration::from_secs(10);

impl AdminView for Shared {
    fn not_ready(&self) -> Option<String> {
        self.pipeline.audit().trail().failure().map(|error| format!("the audit trail takes no records: {error}"))
    }

    fn page(&self) -> String {
        let escape = |text: &str| {
            let mut out = Vec::new();
            xml::push_attr(&mut out, text);
            String::from_utf8_lossy(&out).into_owned()
        };
        let federation = self.federation.load();
        let now = self.pipeline.now_timestamp();
        let rows: String = federation
            .peers
            .iter()
            .map(|peer| {
                let gateways: Vec<String> =
                    peer.community.gateways().iter().map(|gateway| escape(&gateway.words())).collect();
                format!(
                    "<tr><td>{}</td><td>{}</td><td>{:?}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    escape(&peer.name),
                    escape(peer.home.as_str()),
                    peer.scope,
                    peer.kind.as_str(),
                    escape(&peer.states.told(now)),
                    gateways.join("<br>"),
                    peer.community.load().map(|load| load.to_string()).unwrap_or_default(),
                )
            })
            .collect();
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"{}\">\
             <title>Causeway: {name}</title><style>body{{font:16px system-ui;margin:2em}}td,th{{text-align:left;padding:.3em 1em}}</style></head>\
             <body><h1>{name}</h1><p>{} &middot; {}</p><table><tr><th>community</th><th>home</th><th>scope</th><th>kind</th><th>state</th><th>gateways</th><th>requests</th></tr>{rows}</table>\
             <p><a href=\"/metrics\">metrics</a> &middot; <a href=\"/readyz\">ready</a></p></body></html>",
            REFRESH.as_secs(),
            escape(&self.services.own_home),
            self.not_ready().map_or("ready".to_owned(), |why| escape(&why)),
            name = escape(&self.name),
        )
    }

    fn metrics(&self) -> &Metrics {
        self.pipeline.metrics()
    }

    fn explanations(&self) -> &Explanations {
        self.pipeline.explanations()
    }

    fn community(&self, home: &HomeCommunityId) -> Option<String> {
        let federation = self.federation.load();
        federation.peers.iter().find(|peer| peer.home == *home).map(|peer| peer.name.clone())
    }
}

/// The cause of a TLS failure in words, for commands that connect.
pub fn tls_cause(error: &std::io::Error) -> &'static str {
    tls::handshake_cause(error)
}
