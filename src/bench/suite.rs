//! The suite: our broker and the bare server, each a process of its own, asked in turns by the
//! same clients.
//!
//! 1. `causeway init` makes a configuration with the defaults in a temporary folder.
//! 2. The registry is filled through the Document Registry actor, as ITI-42 would, and one large
//!    document is put into the document store: no process serves it yet.
//! 3. `causeway serve` starts; one answer of each path is recorded.
//! 4. `causeway bench baseline` starts with these recordings.
//! 5. Each path is measured in rounds: ours, bare, bare, ours, ours, bare …; the ratio is the
//!    median of the rounds.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path as FilePath, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::BenchError;
use super::baseline::Recording;
use super::load::{self, Plan, Prepared, Repeated, Target, Traffic};
use super::process::{Folder, HeldAddress, Server, forget_files, init};
use super::report::{Footing, Measure, Path, Report, Sample, Side};
use super::samples::{self, Submissions};
use crate::actors::context::RequestContext;
use crate::actors::document_registry::{DocumentRegistry, PatientPolicy, QueryLimits};
use crate::actors::ports::SystemClock;
use crate::broker::open_registry;
use crate::config::{Config, DocumentStorage};
use crate::model::document::DocumentRequest;
use crate::model::ids::{EntryUuid, UniqueId};
use crate::model::response::ResponseStatus;
use crate::store::files::{FileDocuments, FileOptions};
use crate::store::{Content, DocumentLocator, DocumentStore, RegistryStore};
use crate::transaction::{Transaction, TransactionId};
use crate::transport::tls::{ReloadableClient, TlsFiles};

/// Entries of each patient, and so of each answer.
pub const ENTRIES: u32 = 20;
/// Octets of a document that is submitted.
const SUBMITTED: usize = 50 * 1024;
/// Submissions under way while the registry is filled.
const LOADERS: usize = 64;
/// How long an answer may take that is recorded.
const READY: Duration = Duration::from_secs(30);
/// Between two measurements, so that what one server still has to do is not the other's burden.
const PAUSE: Duration = Duration::from_millis(300);
/// How often the broker's resident memory is looked at.
const WATCH: Duration = Duration::from_millis(10);
/// Different patients that are asked for.
const ASKED: u32 = 100_000;

/// How the suite is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Seconds of each round of each server on each path.
    pub seconds: f64,
    /// Rounds.
    pub rounds: usize,
    /// Patients in the registry.
    pub patients: u32,
    /// Octets of the large document.
    pub document: u64,
    /// Clients that query at the same time.
    pub query_clients: usize,
    /// Clients that submit at the same time.
    pub submit_clients: usize,
    /// Clients that retrieve at the same time.
    pub retrieve_clients: usize,
    /// Folder for the data of both servers; a temporary one by default. It is emptied at the end.
    pub folder: Option<PathBuf>,
    /// Only these paths, by key; all if empty.
    pub only: Vec<String>,
    /// Measures a start with an empty page cache too: the machine's is emptied, which needs root.
    pub cold: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 5.0,
            rounds: 3,
            patients: 2000,
            document: 256 << 20,
            query_clients: 32,
            submit_clients: 64,
            retrieve_clients: 1,
            folder: None,
            only: Vec::new(),
            cold: false,
        }
    }
}

impl Options {
    /// A few seconds, to see that all of it works; the ratios are rough.
    pub fn quick() -> Self {
        Self { seconds: 0.5, rounds: 1, patients: 100, document: 32 << 20, ..Self::default() }
    }

    fn wants(&self, key: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == key)
    }
}

fn context(transaction: TransactionId) -> RequestContext {
    RequestContext::of_our_own(Transaction::of(transaction), "bench", Duration::from_secs(3600))
}

/// A registry over a store that takes any code and any patient.
pub fn registry(store: Arc<dyn RegistryStore>) -> Arc<DocumentRegistry> {
    let limits = QueryLimits { results: usize::MAX, values: usize::MAX };
    Arc::new(DocumentRegistry::new(store, None, PatientPolicy::default(), Arc::new(SystemClock), limits))
}

/// Fills a registry through its actor, so that what it holds is what ITI-42 would have left.
///
/// # Errors
/// When a submission is refused.
pub async fn fill(registry: &Arc<DocumentRegistry>, patients: u32, repository: &str) -> Result<(), BenchError> {
    let next = Arc::new(AtomicU32::new(0));
    let mut loaders = JoinSet::new();
    for _ in 0..LOADERS {
        let (registry, next, repository) = (Arc::clone(registry), Arc::clone(&next), repository.to_owned());
        loaders.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= patients {
                    return Ok(());
                }
                let patient = samples::patient(number, samples::NHS_NUMBER);
                let objects = samples::registration(&patient, number, ENTRIES, &repository);
                register(&registry, objects, Vec::new()).await?;
            }
        });
    }
    while let Some(loaded) = loaders.join_next().await {
        loaded.map_err(|error| BenchError::failed(error.to_string()))??;
    }
    Ok(())
}

async fn register(
    registry: &DocumentRegistry,
    objects: Vec<crate::model::rim::RegistryObject<'static>>,
    documents: Vec<DocumentLocator>,
) -> Result<(), BenchError> {
    let response =
        registry.register_document_set(&context(TransactionId::RegisterDocumentSet), objects, documents).await;
    match (response.status, response.errors.first()) {
        (ResponseStatus::Success, _) => Ok(()),
        (_, Some(error)) => Err(BenchError::failed(format!("the registry refused: {}", error.code.as_str()))),
        (status, None) => Err(BenchError::failed(format!("the registry answered {status:?}"))),
    }
}

/// Registry and document store of the broker, filled while nobody serves them. Gives the large
/// document's uniqueId.
async fn load_data(config: &Config, options: &Options) -> Result<UniqueId, BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::failed(error.to_string());
    let DocumentStorage::Files(documents) = &config.storage.documents else {
        return Err(BenchError::failed("documents are measured in files: write documents = \"file:data/documents\""));
    };
    let registry = registry(open_registry(&config.storage).map_err(|e| failed(&e))?);
    let repository = config.community.repository_unique_id.as_str();
    fill(&registry, options.patients, repository).await?;

    let files = FileDocuments::open(documents, FileOptions::default()).map_err(|e| failed(&e))?;
    let content = large_document(&files, options.document).await.map_err(|e| failed(&e))?;
    let unique_id = UniqueId::parse("2.999.826.9.6.1").map_err(|e| failed(&e))?;
    let document = samples::Document {
        unique_id: unique_id.to_string(),
        mime_type: "application/dicom",
        stored: Some((content, repository.to_owned())),
    };
    let patient = samples::patient(options.patients, samples::NHS_NUMBER);
    let objects = samples::submission(&patient, "2.999.826.9.6.2", &[document], |_| EntryUuid::random().into());
    let locator = DocumentLocator { unique_id: unique_id.clone(), content, mime_type: "application/dicom".into() };
    register(&registry, objects, vec![locator]).await?;
    Ok(unique_id)
}

async fn large_document(files: &FileDocuments, octets: u64) -> Result<Content, crate::store::StoreError> {
    let chunk = Bytes::from(samples::octets(1 << 20, 42));
    let mut writer = files.stage().await?;
    let mut left = octets;
    while left > 0 {
        let now = chunk.slice(..usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len()));
        left -= now.len() as u64;
        writer.write(now).await?;
    }
    let staged = writer.finish().await?;
    let content = staged.content;
    files.publish(vec![staged]).await?;
    Ok(content)
}

/// Keeps an answer for the bare server.
async fn record(folder: &FilePath, name: &str, target: &Target, prepared: Prepared) -> Result<u64, BenchError> {
    let recording = Recording::in_folder(folder, name);
    let mut file =
        File::create(&recording.body).map_err(BenchError::io(format!("cannot write {}", recording.body.display())))?;
    let probe = load::probe(target, prepared, READY, |chunk| file.write_all(chunk)).await?;
    recording.keep_type(&probe.content_type)?;
    Ok(probe.octets)
}

/// A path before it is measured.
struct Planned {
    path: Path,
    ours: Target,
    bare: Target,
    traffic: Arc<dyn Traffic>,
    watch_memory: bool,
}

/// Runs everything. `told` is given a word on what is being done.
///
/// # Errors
/// When a server does not start or an answer is not what it should be; errors under load are
/// counted in the report instead.
pub async fn run(options: &Options, told: impl Fn(&str)) -> Result<Report, BenchError> {
    let began = Instant::now();
    let folder = Folder::make(options.folder.as_deref())?;
    let broker = folder.0.join("broker");
    let held = HeldAddress::new()?;
    let address = held.address();
    let config = init(&broker, address)?;
    told(&format!(
        "registering {} entries and a document of {} MiB",
        options.patients * ENTRIES,
        options.document >> 20
    ));
    let large = load_data(&config, options).await?;

    told("starting the broker and recording its answers");
    let configuration = broker.join("causeway.toml").display().to_string();
    held.release();
    let mut ours = Server::start(&["serve", "--config", &configuration], &folder.0, "broker")?;
    let tls = TlsFiles {
        certificate: broker.join("certs/client.pem"),
        key: broker.join("certs/client.key"),
        client_ca: broker.join("certs/ca.pem"),
        crl: None,
    };
    let tls = Arc::new(ReloadableClient::new(tls).map_err(|error| BenchError::failed(error.to_string()))?);
    let target = |address: SocketAddr, path: &str| {
        let uri: Uri = format!("https://{address}{path}").parse().map_err(|_| BenchError::failed("no URL"))?;
        Target::new(&uri, Arc::clone(&tls))
    };
    let registry = target(address, "/services/registry")?;
    let repository = target(address, "/services/repository")?;
    let asked = registry.clone();
    let (registry_url, repository_url) = (registry.uri().to_string(), repository.uri().to_string());

    let queries: Vec<Prepared> = (0..options.patients.min(ASKED))
        .map(|number| {
            let query = samples::find_documents(&samples::patient(number, samples::NHS_NUMBER), "LeafClass", None);
            samples::query_request(TransactionId::RegistryStoredQuery, &registry_url, &query)
        })
        .collect();
    let first = queries.first().cloned().ok_or_else(|| BenchError::failed("there is no patient to ask for"))?;
    let request =
        DocumentRequest { home: None, repository: config.community.repository_unique_id.clone(), unique_id: large };
    let retrieve = samples::retrieve_request(TransactionId::RetrieveDocumentSet, &repository_url, &[request])?;
    let patient = samples::patient(options.patients + 1, samples::NHS_NUMBER);
    let submissions = Submissions::new(&repository_url, &patient, Submissions::document(SUBMITTED)?)?;

    ours.ready(&registry, &first).await?;
    let recordings = folder.0.join("baseline");
    fs::create_dir_all(&recordings).map_err(BenchError::io(format!("cannot make {}", recordings.display())))?;
    let query_octets = record(&recordings, "query", &registry, first.clone()).await?;
    let submit_octets = record(&recordings, "submit", &repository, submissions.next()).await?;
    let retrieve_octets = record(&recordings, "retrieve", &repository, retrieve.clone()).await?;

    let held = HeldAddress::new()?;
    let bare_address = held.address();
    let arguments = [
        "bench",
        "baseline",
        "--dir",
        &recordings.display().to_string(),
        "--bind",
        &bare_address.to_string(),
        "--certs",
        &broker.join("certs").display().to_string(),
    ];
    held.release();
    let mut bare = Server::start(&arguments, &folder.0, "baseline")?;
    let bare_query = target(bare_address, "/query")?;
    bare.ready(&bare_query, &first).await?;

    let path = |name: String, key, clients, measure, goal, answer_octets| Path {
        name,
        key,
        clients,
        measure,
        goal,
        answer_octets,
        ours: Side::default(),
        bare: Side::default(),
        memory_growth: None,
    };
    let planned = vec![
        Planned {
            path: path(
                format!("ITI-18 FindDocuments, {ENTRIES} entries"),
                "query",
                options.query_clients,
                Measure::Requests,
                0.6,
                query_octets,
            ),
            ours: registry,
            bare: bare_query,
            traffic: Arc::new(Repeated::new(queries)?),
            watch_memory: false,
        },
        Planned {
            path: path(
                format!("ITI-43 of {} MiB", options.document >> 20),
                "retrieve",
                options.retrieve_clients,
                Measure::Octets,
                0.85,
                retrieve_octets,
            ),
            ours: repository.clone(),
            bare: target(bare_address, "/retrieve")?,
            traffic: Arc::new(Repeated::new(vec![retrieve])?),
            watch_memory: true,
        },
        Planned {
            path: path(
                format!("ITI-41 of {} KB, durable", SUBMITTED / 1024),
                "submit",
                options.submit_clients,
                Measure::Requests,
                1.0 / 1.5,
                submit_octets,
            ),
            ours: repository,
            bare: target(bare_address, "/submit")?,
            traffic: Arc::new(submissions),
            watch_memory: false,
        },
    ];
    let mut paths = Vec::new();
    for planned in planned.into_iter().filter(|planned| options.wants(planned.path.key)) {
        told(&format!("measuring {}", planned.path.name));
        paths.push(measure(planned, options, &ours, &bare).await?);
        for server in [&mut ours, &mut bare] {
            if let Some(end) = server.ended() {
                return Err(BenchError::failed(format!("a server ended under load: {end}")));
            }
        }
    }
    told("starting the broker again after a kill");
    let mut footing = Footing { resident: ours.memory("VmHWM"), ..Footing::default() };
    let mut restart = async |cold: bool| {
        ours.kill();
        if cold && !forget_files(&broker.join("data")) {
            return Ok(None);
        }
        let begin = Instant::now();
        ours = Server::start(&["serve", "--config", &configuration], &folder.0, "broker")?;
        ours.ready(&asked, &first).await?;
        Ok::<_, BenchError>(Some(begin.elapsed()))
    };
    footing.ready = restart(false).await?.unwrap_or_default();
    if options.cold {
        footing.ready_cold = restart(true).await?;
        if footing.ready_cold.is_none() {
            return Err(BenchError::failed("the page cache cannot be emptied: --cold needs root"));
        }
    }
    Ok(Report {
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        entries: u64::from(options.patients * ENTRIES),
        seconds: options.seconds,
        elapsed: began.elapsed(),
        footing,
        paths,
    })
}

async fn measure(planned: Planned, options: &Options, ours: &Server, bare: &Server) -> Result<Path, BenchError> {
    let Planned { mut path, ours: to_ours, bare: to_bare, traffic, watch_memory } = planned;
    let duration = Duration::from_secs_f64(options.seconds);
    let plan = Plan {
        clients: path.clients,
        warm_up: (duration / 5).min(Duration::from_secs(1)),
        duration,
        count: None,
        timeout: Duration::from_secs(60),
    };
    for round in 0..options.rounds.max(1) {
        // Whoever goes first may find the machine warmer or colder: they take turns at it.
        for ours_now in [round % 2 == 0, round % 2 != 0] {
            sleep(PAUSE).await;
            let (server, target) = if ours_now { (ours, &to_ours) } else { (bare, &to_bare) };
            let before = server.processor();
            let running = load::run(target, &traffic, &plan);
            let outcome = if ours_now && watch_memory {
                let (outcome, growth) = watched(server, running).await;
                path.memory_growth = path.memory_growth.max(growth);
                outcome?
            } else {
                running.await?
            };
            // The warm-up is in it as well; scaled down to what was counted.
            let share = plan.duration.as_secs_f64() / (plan.duration + plan.warm_up).as_secs_f64();
            let used = before.zip(server.processor()).map(|(before, after)| after.saturating_sub(before));
            let processor = used.map(|used| used.mul_f64(share));
            let side = if ours_now { &mut path.ours } else { &mut path.bare };
            side.samples.push(Sample { outcome, processor });
        }
    }
    Ok(path)
}

/// Runs something while looking at a server's resident memory: by how much it grew at most.
async fn watched<T>(server: &Server, running: impl Future<Output = T>) -> (T, Option<u64>) {
    let resident = || server.memory("VmRSS");
    let before = resident();
    let mut most = before;
    let mut running = pin!(running);
    loop {
        tokio::select! {
            result = &mut running => return (result, most.zip(before).map(|(most, before)| most - before)),
            () = sleep(WATCH) => most = most.max(resident()),
        }
    }
}
