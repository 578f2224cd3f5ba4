//! One simulated community: its records, its port, and how it answers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{spoil_query, spoil_retrieve, spoiled};
use super::fault::{Fault, Kind};
use super::latency::{Dice, Latency};
use super::people::{self, referred, spoil_discovery};
use super::stream::{Script, Scripted, Wire};
use super::{Settings, SimulateError, records};
use crate::actors::context::RequestContext;
use crate::actors::discovery::OwnPatients;
use crate::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use crate::actors::document_repository::DocumentRepository;
use crate::actors::federation::Federation;
use crate::actors::initiating_gateway::{OwnCommunity, return_type};
use crate::actors::ports::{RegistryPort, SystemClock};
use crate::actors::responding_gateway::RespondingGateway;
use crate::actors::spool::Spool;
use crate::model::discovery::InstanceId;
use crate::model::discovery::PatientLocation;
use crate::model::ids::{HomeCommunityId, PatientId, RepositoryUniqueId, UniqueId};
use crate::model::time::Dtm;
use crate::store::memory::{MemoryDocuments, MemoryStore};
use crate::store::{Content, DocumentLocator, DocumentStore};
use crate::transaction::{Service, Transaction, TransactionId};
use crate::transform::retrieve::requests;
use crate::transport::answer::{OnFailure, OutBody, envelope, full, message_token};
use crate::transport::endpoint::{Payload, iti56};
use crate::transport::message::{BodyStream, Bounds, EnvelopeRoom, receive};
use crate::transport::pipeline::{CORRELATION_ID, encode_retrieve, fault_response, read_request};
use crate::transport::tls::{ReloadableServer, TlsFiles};
use crate::wire::hl7v3::{self, Answering, ReceivedQuery};
use crate::wire::soap::{self, Addressing, Version};
use crate::wire::{ebrs, mtom, xml};

/// Time for a handshake and for the head of a request.
const HEAD: Duration = Duration::from_secs(20);

/// Octets of an envelope that is asked with.
const ENVELOPE: usize = 1 << 20;

/// Octets of a response's head, roughly: where its body begins.
const HEAD_OCTETS: u64 = 160;

/// What the communities show at the handshake.
pub struct Acceptors {
    good: ReloadableServer,
    bad: HashMap<Fault, ReloadableServer>,
}

impl Acceptors {
    /// Reads the certificates.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, SimulateError> {
        let good = ReloadableServer::new(settings.tls.clone())?;
        let mut bad = HashMap::new();
        if let Some(folder) = &settings.bad_certificates {
            for fault in [Fault::Expired, Fault::UnknownIssuer, Fault::Revoked, Fault::WrongName] {
                let files = bad_files(folder, fault, &settings.tls);
                bad.insert(fault, ReloadableServer::new(files)?);
            }
        }
        Ok(Self { good, bad })
    }

    fn of(&self, fault: Option<Fault>) -> &ReloadableServer {
        fault.and_then(|fault| self.bad.get(&fault)).unwrap_or(&self.good)
    }

    /// Whether there is a certificate for that trouble.
    pub fn has(&self, fault: Fault) -> bool {
        self.bad.contains_key(&fault)
    }
}

fn bad_files(folder: &Path, fault: Fault, good: &TlsFiles) -> TlsFiles {
    let file = |ending| folder.join(format!("{}.{ending}", fault.name()));
    // The list names the revoked one, which our own side need not know.
    TlsFiles { certificate: file("pem"), key: file("key"), crl: None, ..good.clone() }
}

/// What a community has been asked.
#[derive(Debug, Default)]
pub struct Counters {
    /// TCP connections that came.
    pub connections: AtomicU64,
    /// Handshakes that went well.
    pub handshakes: AtomicU64,
    /// Requests that came whole.
    pub requests: AtomicU64,
    /// Those of ITI-38 among them.
    pub queries: AtomicU64,
    /// Of ITI-55.
    pub discoveries: AtomicU64,
    /// Of ITI-56.
    pub locations: AtomicU64,
}

/// Where each patient is known, as all communities know it.
pub(super) type Whereabouts = HashMap<PatientId, Vec<PatientLocation>>;

/// A simulated community.
pub struct Community {
    /// Its identity.
    pub home: HomeCommunityId,
    /// Its name.
    pub name: String,
    /// Its repository.
    pub repository: RepositoryUniqueId,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it has been asked.
    pub counters: Counters,
    settings: Arc<Settings>,
    acceptors: Arc<Acceptors>,
    gateway: RespondingGateway,
    holdings: HashMap<PatientId, Vec<UniqueId>>,
    whereabouts: OnceLock<Arc<Whereabouts>>,
    faults: ArcSwap<Vec<(Fault, f64)>>,
    latency: ArcSwap<Latency>,
    dice: Dice,
    bounds: Bounds,
}

impl Community {
    /// Makes up the records of the n-th community and binds its port.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn make(
        number: u16,
        settings: Arc<Settings>,
        acceptors: Arc<Acceptors>,
    ) -> Result<(Arc<Self>, TcpListener), SimulateError> {
        let port = if settings.port == 0 { 0 } else { settings.port.saturating_add(number - 1) };
        let address = SocketAddr::new(settings.address, port);
        let fail = |source| SimulateError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let arc = 100 + u32::from(number);
        let home = HomeCommunityId::parse(&format!("urn:oid:2.999.826.1.{arc}"))?;
        let repository_id = RepositoryUniqueId::parse(&format!("2.999.826.3.{arc}.1"))?;
        let (store, documents) = (Arc::new(MemoryStore::default()), Arc::new(MemoryDocuments::default()));
        let limits = QueryLimits { results: usize::MAX, values: usize::MAX };
        let policy = PatientPolicy::default();
        let registry = Arc::new(DocumentRegistry::new(store.clone(), None, policy, Arc::new(SystemClock), limits));
        let records = Records { number, settings: &settings, repository: &repository_id };
        let holdings = records.register(&registry, &*documents).await?;
        let port = Arc::clone(&registry) as Arc<dyn RegistryPort>;
        let repository = Arc::new(DocumentRepository::new(repository_id.clone(), documents, store.clone(), port));
        let known = people::directory(&settings, holdings.keys())?;
        let patients = Arc::new(OwnPatients::new(Box::new(known), PatientPolicy::default(), Duration::ZERO));
        let name = format!("Simulated {number}");
        let spool = Spool::new(Arc::clone(repository.documents()), 1 << 30);
        let own = OwnCommunity { home: home.clone(), name: name.clone(), registry, repository, spool };
        let community = Self {
            home,
            name,
            repository: repository_id,
            address,
            counters: Counters::default(),
            gateway: RespondingGateway::new(own, Arc::new(ArcSwap::from_pointee(Federation::default())), patients),
            holdings,
            whereabouts: OnceLock::new(),
            faults: ArcSwap::default(),
            latency: ArcSwap::from_pointee(settings.latency),
            dice: Dice::new(settings.seed, 1_000_000 + u64::from(number)),
            bounds: bounds(),
            acceptors,
            settings,
        };
        Ok((Arc::new(community), listener))
    }

    /// The address of its Responding Gateway.
    pub fn url(&self) -> String {
        format!("https://{}/services/responding-gateway", self.address)
    }

    /// The documents it holds of a patient.
    pub fn documents(&self, patient: &PatientId) -> &[UniqueId] {
        self.holdings.get(patient).map_or(&[], Vec::as_slice)
    }

    /// Whom it holds something of.
    pub(super) fn patients(&self) -> impl Iterator<Item = &PatientId> {
        self.holdings.keys()
    }

    /// Tells it where each patient is known, so that it can be asked (ITI-56).
    pub(super) fn learn(&self, whereabouts: Arc<Whereabouts>) {
        // It is told once.
        let _ = self.whereabouts.set(whereabouts);
    }

    /// Another trouble, for this share of requests each.
    pub fn set_faults(&self, faults: Vec<(Fault, f64)>) {
        self.faults.store(Arc::new(faults));
    }

    /// Another time to answer in.
    pub fn set_latency(&self, latency: Latency) {
        self.latency.store(Arc::new(latency));
    }

    /// A trouble of those kinds, as the dice fall.
    fn trouble(&self, of: impl Fn(Kind) -> bool) -> Option<Fault> {
        let faults = self.faults.load();
        let mut fault = faults.iter().filter(|(fault, _)| of(fault.kind()));
        fault.find(|(_, share)| *share >= 1.0 || self.dice.share() < *share).map(|(fault, _)| *fault)
    }

    /// Serves until told to stop.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            self.counters.connections.fetch_add(1, Ordering::Relaxed);
            let (community, stop) = (Arc::clone(&self), stop.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = community.converse(stream) => {}
                }
            });
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let certificate = self.trouble(|kind| kind == Kind::Certificate);
        let acceptor = self.acceptors.of(certificate).acceptor();
        let Ok(Ok(stream)) = timeout(HEAD, acceptor.accept(stream)).await else { return };
        self.counters.handshakes.fetch_add(1, Ordering::Relaxed);
        if self.trouble(|kind| kind == Kind::Connection) == Some(Fault::CloseAfterHandshake) {
            return;
        }
        let script = Script::default();
        let io = TokioIo::new(Scripted::new(stream, script.clone()));
        let service = service_fn(move |request| {
            let (community, script) = (Arc::clone(&self), script.clone());
            async move { Ok::<_, Infallible>(community.answer(request, &script).await) }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD.max(Duration::from_secs(60)));
        // How it ended is the gateway's concern.
        let _ = builder.serve_connection(io, service).await;
    }

    async fn answer(&self, request: Request<Incoming>, script: &Script) -> Response<OutBody> {
        let began = Instant::now();
        script.set(0, Wire::Good);
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "POST ITI-38, ITI-39, ITI-55 or ITI-56 here.\n");
        }
        let id = request.headers().get(CORRELATION_ID).cloned();
        let fault = self.trouble(|kind| kind != Kind::Certificate);
        let mut response = self.respond(request, fault).await;
        if fault == Some(Fault::Hang) {
            sleep(self.settings.patience).await;
        }
        if fault == Some(Fault::Late) {
            sleep(self.settings.lateness).await;
        }
        sleep_until(began + self.latency.load().throw(&self.dice)).await;
        let length = response.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length: u64 = length.or_else(|| response.body().size_hint().exact()).unwrap_or_default();
        let middle = HEAD_OCTETS + length / 2;
        match fault {
            Some(Fault::Reset) => script.set(0, Wire::Reset),
            Some(Fault::DribbleHead) => script.set(0, Wire::Dribble(self.settings.dribble)),
            Some(Fault::DribbleBody) => script.set(middle, Wire::Dribble(self.settings.dribble)),
            Some(Fault::CutHead) => script.set(40, Wire::End),
            Some(Fault::CutBody) => script.set(middle, Wire::End),
            Some(Fault::ResetBody) => script.set(middle, Wire::Reset),
            Some(Fault::SilentBody) => script.set(middle, Wire::Silent(self.settings.patience)),
            _ => {}
        }
        if let Some(id) = id {
            if let (Some(served), Ok(id)) = (&self.settings.served, id.to_str()) {
                served.note(id, Instant::now());
            }
            response.headers_mut().insert(CORRELATION_ID, id);
        }
        response
    }

    /// The answer, with what is wrong in it.
    async fn respond(&self, request: Request<Incoming>, fault: Option<Fault>) -> Response<OutBody> {
        let (head, body) = request.into_parts();
        let content_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let body = BodyStream::new(body, &self.bounds);
        let message = match receive(content_type.unwrap_or_default(), body, &self.bounds, None).await {
            Ok(message) => message,
            Err(_) => return plain(StatusCode::BAD_REQUEST, "This is no SOAP message.\n"),
        };
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let inbound = match read_request(&message.root, Service::RespondingGateway, self.bounds.xml) {
            Ok(inbound) => inbound,
            Err(refused) => return fault_response(&refused),
        };
        let transaction = inbound.transaction;
        let addressing = Addressing {
            action: Some(transaction.response_action.to_owned()),
            message_id: Some(soap::new_message_id()),
            relates_to: inbound.addressing.message_id.clone(),
            ..Addressing::default()
        };
        let context = context(transaction);
        let asked = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        match inbound.payload {
            Ok(Payload::Query(query)) => {
                asked(&self.counters.queries);
                let mut response = self.gateway.cross_gateway_query(&context, &query).await;
                if let Some(fault) = fault {
                    spoil_query(fault, &mut response);
                }
                let mut done = Ok(());
                let envelope = envelope(inbound.version, &addressing, None, |out| {
                    done = ebrs::write_query_response(out, &response, return_type(&query));
                });
                if done.is_err() {
                    return plain(StatusCode::INTERNAL_SERVER_ERROR, "A made-up record cannot be written.\n");
                }
                simple(inbound.version, fault, envelope)
            }
            Ok(Payload::Discovery(received)) => {
                asked(&self.counters.discoveries);
                let ReceivedQuery { mut header, query_id, query_by_parameter, query, .. } = *received;
                let mut said = self.gateway.patient_discovery(&context, query, None).await;
                if let Some(fault) = fault {
                    spoil_discovery(fault, &mut said);
                }
                header.message_id = referred(fault, header.message_id);
                let query_id = query_id.map(|id| referred(fault, id));
                let answering = Answering {
                    own: &self.home,
                    message_id: &InstanceId::new(self.home.oid(), message_token()),
                    created: Dtm::from_timestamp(context.at),
                    request: &header,
                    query_id: query_id.as_ref(),
                    query_by_parameter: query_by_parameter.as_deref(),
                };
                let envelope = envelope(inbound.version, &addressing, None, |out| {
                    hl7v3::write_response(out, &answering, &said);
                });
                simple(inbound.version, fault, envelope)
            }
            Ok(Payload::Location(patient)) => {
                asked(&self.counters.locations);
                let known = self.whereabouts.get().and_then(|all| all.get(&patient));
                let reply = iti56::Reply::new(patient, known.cloned().unwrap_or_default());
                simple(inbound.version, fault, reply.envelope(inbound.version, &addressing))
            }
            Ok(Payload::Retrieve(raw)) => {
                let (requests, errors) = requests(raw);
                let mut response = self.gateway.cross_gateway_retrieve(&context, requests).await;
                response.errors.extend(errors);
                if let Some(fault) = fault {
                    spoil_retrieve(fault, &mut response);
                    if let Some(spoiled) = spoiled(fault, b"<a/>") {
                        return spoiled;
                    }
                }
                let quiet: OnFailure = Arc::new(|_| Box::pin(async {}));
                encode_retrieve(transaction, inbound.version, message.multipart, &addressing, response, quiet)
            }
            _ => plain(StatusCode::NOT_IMPLEMENTED, "ITI-38, ITI-39, ITI-55 and ITI-56 are simulated.\n"),
        }
    }
}

/// An envelope that is all, with what is wrong with its octets.
fn simple(version: Version, fault: Option<Fault>, envelope: Vec<u8>) -> Response<OutBody> {
    if let Some(spoiled) = fault.and_then(|fault| spoiled(fault, &envelope)) {
        return spoiled;
    }
    let mut response = plain(StatusCode::OK, "");
    if let Ok(content_type) = format!("{}; charset=UTF-8", version.media_type()).parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    *response.body_mut() = full(envelope);
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<OutBody> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response
}

fn bounds() -> Bounds {
    Bounds {
        envelope_bytes: ENVELOPE,
        document_bytes: 0,
        message_bytes: 2 * ENVELOPE as u64,
        idle: HEAD,
        minimum_rate: 0,
        xml: xml::Limits::default(),
        mtom: mtom::Limits::default(),
        room: EnvelopeRoom::new(256 * ENVELOPE),
        envelope_time: HEAD,
    }
}

fn context(transaction: &'static Transaction) -> RequestContext {
    RequestContext::of_our_own(transaction, "simulated", Duration::from_secs(60))
}

/// What one community holds.
struct Records<'s> {
    number: u16,
    settings: &'s Settings,
    repository: &'s RepositoryUniqueId,
}

impl Records<'_> {
    /// Registers it as ITI-41 would; tells what there is of each patient.
    async fn register(
        &self,
        registry: &DocumentRegistry,
        store: &dyn DocumentStore,
    ) -> Result<HashMap<PatientId, Vec<UniqueId>>, SimulateError> {
        let dice = Dice::new(self.settings.seed, u64::from(self.number));
        let context = context(Transaction::of(TransactionId::RegisterDocumentSet));
        let mut holdings = HashMap::new();
        for number in 0..self.settings.patients {
            // Thrown for each patient, so that another share changes nothing but who is known.
            let (known, documents) = (dice.share() < self.settings.known, dice.up_to(self.settings.documents));
            if !known {
                continue;
            }
            let patient = self.settings.patient(number)?;
            let (mut made, mut locators) = (Vec::new(), Vec::new());
            for document in 1..=documents {
                let unique_id = format!("{}.7.{}.{number}.{document}", records::ARC, self.number);
                let content = self.keep(store, &unique_id).await?;
                let locator = DocumentLocator {
                    unique_id: UniqueId::parse(&unique_id)?,
                    content,
                    mime_type: "text/plain".into(),
                };
                locators.push(locator);
                let stored = Some((content, self.repository.to_string()));
                made.push(records::Document { unique_id, mime_type: "text/plain", stored });
            }
            holdings.insert(patient.clone(), locators.iter().map(|locator| locator.unique_id.clone()).collect());
            let set = format!("{}.8.{}.{number}", records::ARC, self.number);
            let seed = [dice.next(), u64::from(number)];
            let objects = records::submission(&patient.to_cx(), &set, &made, |object| id(seed, object).into());
            let response = registry.register_document_set(&context, objects, locators).await;
            if let Some(error) = response.errors.into_iter().next() {
                return Err(SimulateError::Refused(Box::new(error)));
            }
        }
        Ok(holdings)
    }

    /// Keeps a letter that says what it is.
    async fn keep(&self, store: &dyn DocumentStore, unique_id: &str) -> Result<Content, SimulateError> {
        let line = format!("Made-up document {unique_id} of community {}\n", self.number);
        let mut octets = line.repeat(self.settings.document_size.div_ceil(line.len()).max(1)).into_bytes();
        octets.truncate(self.settings.document_size.max(line.len()));
        let mut writer = store.stage().await?;
        writer.write(octets.into()).await?;
        let staged = writer.finish().await?;
        let content = staged.content;
        store.publish(vec![staged]).await?;
        Ok(content)
    }
}

/// The id of an object, the same for the same seed.
fn id(seed: [u64; 2], object: usize) -> crate::model::ids::EntryUuid {
    let dice = Dice::new(seed[0], seed[1].wrapping_add((object as u64) << 32));
    let octets = (u128::from(dice.next()) << 64) | u128::from(dice.next());
    crate::model::ids::EntryUuid(octets.to_be_bytes())
}
