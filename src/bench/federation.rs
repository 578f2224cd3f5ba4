//! What a gateway adds to the communities that it asks, and what communities in trouble do to everybody
//! else.
//!
//! A broker as a process of its own asks simulated communities (in this process) at a steady pace.
//! Each community says when it handed over its answer, so what the gateway adds is known of each
//! request: from the last of these moments until the consumer has the whole answer. On a machine that
//! is all of them at once this counts the communities' work too, which they do at the same moment; so
//! the consumer also asks all communities itself, and waits for the slowest: what the gateway takes
//! beyond that is what it adds to the slowest. Beside that, the broker's own registry is asked at the
//! same pace: alone, with all communities well, with most of them hanging.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::BenchError;
use super::histogram::Histogram;
use super::load::{Prepared, Repeated, Target, Traffic};
use super::paced;
use super::process::{Folder, HeldAddress, Server, init};
use super::report::milliseconds;
use super::samples;
use super::suite;
use crate::broker::open_registry;
use crate::simulate::fault::Fault;
use crate::simulate::latency::Latency;
use crate::simulate::{Served, Settings, Simulation};
use crate::terminal::{Align, Cell, Colour, Table, Tone, human_duration, human_size};
use crate::transaction::TransactionId;
use crate::transport::tls::{ReloadableClient, TlsFiles};

/// Before a run: connections come up, code and caches get warm.
const WARM_UP: Duration = Duration::from_secs(2);

/// Until idle connections are closed, and the breakers let a probe through.
const CALM: Duration = Duration::from_secs(25);

/// Names of runs that are compared.
const ALONE: &str = "registry alone";
const DIRECTLY: &str = "asked without the gateway";
const WELL: &str = "all communities well";
const HANGING: &str = "most begin to hang";
const HANG: &str = "most hang";

/// Patients that are asked for.
const PATIENTS: u32 = 50;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Communities that are asked.
    pub communities: u16,
    /// How soon each answers.
    pub latency: Latency,
    /// Federated queries a second, and as many to the broker's own registry.
    pub rate: f64,
    /// How long each run is.
    pub time: Duration,
    /// Communities that hang in the last run.
    pub hanging: u16,
    /// Documents of a patient at each community, at most.
    pub documents: u32,
}

/// Latencies of one run.
#[derive(Clone)]
pub struct Row {
    /// What was the case.
    pub name: &'static str,
    /// What the gateway added, where communities were asked.
    pub added: Histogram,
    /// The whole, for whoever asked all communities.
    pub federated: Histogram,
    /// For whoever asked the broker's own registry.
    pub local: Histogram,
    /// Requests without an answer, or with another status than 200; where all are well, also those whose answer is
    /// not a Success.
    pub failed: usize,
    /// Answers from which somebody is missing.
    pub partial: usize,
    /// Memory of the broker at the end of the run.
    pub memory: Option<u64>,
    /// Its open files and sockets.
    pub descriptors: Option<usize>,
}

/// All runs.
#[derive(Clone)]
pub struct Report {
    /// What was asked for.
    pub options: Options,
    /// The runs.
    pub rows: Vec<Row>,
}

fn failed(error: &dyn std::fmt::Display) -> BenchError {
    BenchError::failed(error.to_string())
}

/// Who is asked in a run, beside the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nobody,
    Directly,
    Well,
    InTrouble,
}

struct Bench {
    options: Options,
    broker: Server,
    simulation: Simulation,
    served: Arc<Served>,
    gateway: Target,
    registry: Target,
    federated: Arc<dyn Traffic>,
    local: Arc<dyn Traffic>,
    /// The communities, to be asked without the gateway.
    communities: Vec<(Target, Arc<dyn Traffic>)>,
}

impl Bench {
    async fn start(options: Options, folder: &Path) -> Result<Self, BenchError> {
        let own = folder.join("broker");
        // Held while the communities take theirs, or one of them could have it.
        let held = HeldAddress::new()?;
        let address = held.address();
        let config = init(&own, address)?;
        // Its own registry has something to answer too.
        let store = open_registry(&config.storage).map_err(|error| failed(&error))?;
        let repository = config.community.repository_unique_id.as_str();
        suite::fill(&suite::registry(store), PATIENTS, repository).await?;
        let files = |name: &str| TlsFiles::in_folder(&own.join("certs"), name);
        let served = Arc::new(Served::default());
        let settings = Settings {
            communities: options.communities,
            patients: PATIENTS,
            known: 1.0,
            documents: options.documents,
            document_size: 1_000,
            latency: options.latency,
            served: Some(Arc::clone(&served)),
            ..Settings::new(files("server"))
        };
        let patients = (0..PATIENTS).map(|number| settings.patient(number).map(|patient| patient.to_cx()));
        let patients = patients.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
        let simulation = Simulation::start(settings).await.map_err(|error| failed(&error))?;
        let configuration = own.join("causeway.toml");
        let mut text = std::fs::read_to_string(&configuration).map_err(BenchError::io("cannot read causeway.toml"))?;
        for community in simulation.communities() {
            let _ = write!(
                text,
                "\n[[peer]]\nname = \"{}\"\nhome_community_id = \"{}\"\nscope = \"neighbour\"\nresponding_gateway = \"{}\"\n",
                community.name,
                community.home,
                community.url()
            );
        }
        std::fs::write(&configuration, text).map_err(BenchError::io("cannot write causeway.toml"))?;
        held.release();
        let broker = Server::start(&["serve", "--config", &configuration.display().to_string()], folder, "broker")?;
        let tls = Arc::new(ReloadableClient::new(files("client")).map_err(|error| failed(&error))?);
        let target = |url: String| {
            let uri: Uri = url.parse().map_err(|_| failed(&"no URL"))?;
            Target::new(&uri, Arc::clone(&tls))
        };
        let service = |name: &str| target(format!("https://{address}/services/{name}"));
        let (gateway, registry) = (service("initiating-gateway")?, service("registry")?);
        let traffic = |to: &Target, home: Option<&str>| -> Result<Arc<dyn Traffic>, BenchError> {
            let to = to.uri().to_string();
            let transaction = match home {
                Some(_) => TransactionId::CrossGatewayQuery,
                None => TransactionId::RegistryStoredQuery,
            };
            let query = |patient: &String| {
                samples::query_request(transaction, &to, &samples::find_documents(patient, "LeafClass", home))
            };
            Ok(Arc::new(Repeated::new(patients.iter().map(query).collect::<Vec<Prepared>>())?))
        };
        let (federated, local) = (traffic(&gateway, None)?, traffic(&registry, None)?);
        let mut communities = Vec::new();
        for community in simulation.communities() {
            let target = target(community.url())?;
            let traffic = traffic(&target, Some(community.home.as_str()))?;
            communities.push((target, traffic));
        }
        let mut bench = Self { options, broker, simulation, served, gateway, registry, federated, local, communities };
        bench.broker.ready(&bench.registry, &bench.local.next()).await?;
        Ok(bench)
    }

    /// One run: with communities, or the registry alone.
    async fn measure(&self, name: &'static str, asked: Asked) -> Row {
        let mut row = Row {
            name,
            added: Histogram::default(),
            federated: Histogram::default(),
            local: Histogram::default(),
            failed: 0,
            partial: 0,
            memory: None,
            descriptors: None,
        };
        // Who begins to hang is to be seen from the first request on, while the breakers are still closed.
        let times = if asked == Asked::InTrouble { vec![self.options.time] } else { vec![WARM_UP, self.options.time] };
        for time in times {
            let federated = async {
                match asked {
                    Asked::Nobody => paced::Run::default(),
                    Asked::Directly => paced::run_all(&self.communities, self.options.rate, time).await,
                    _ => paced::run(&self.gateway, &self.federated, self.options.rate, time).await,
                }
            };
            let local = paced::run(&self.registry, &self.local, self.options.rate, time);
            let (federated, local) = tokio::join!(federated, local);
            row.failed = federated.failed + local.failed;
            row.partial = 0;
            (row.added, row.federated, row.local) = Default::default();
            for answered in &local.answered {
                row.failed += usize::from(answered.status != 200 || !answered.success);
                row.local.record(answered.latency);
            }
            for answered in &federated.answered {
                let missing = answered.status == 200 && !answered.success;
                row.partial += usize::from(missing);
                row.failed += usize::from(answered.status != 200 || (missing && asked != Asked::InTrouble));
                row.federated.record(answered.latency);
                let last = answered.id.as_deref().and_then(|id| self.served.take(id));
                if let Some(last) = last {
                    row.added.record(answered.at.saturating_duration_since(last));
                }
            }
        }
        self.look(&mut row);
        row
    }

    fn look(&self, row: &mut Row) {
        row.memory = self.broker.memory("VmRSS");
        row.descriptors = self.broker.descriptors();
    }

    fn hang(&self, communities: u16) {
        for number in 1..=usize::from(self.options.communities) {
            let hangs = number <= usize::from(communities);
            self.simulation.trouble(number, if hangs { vec![(Fault::Hang, 1.0)] } else { Vec::new() });
        }
    }
}

/// Runs all of it. `told` is given a word on what is being done.
///
/// # Errors
/// When the broker or the communities do not start.
pub async fn run(options: Options, told: impl Fn(&str)) -> Result<Report, BenchError> {
    let folder = Folder::make(None)?;
    told("starting the communities and the broker");
    let bench = Bench::start(options.clone(), &folder.0).await?;
    let mut rows = Vec::new();
    told("asking the registry alone");
    rows.push(bench.measure(ALONE, Asked::Nobody).await);
    told("asking all communities without the gateway, and the registry beside");
    rows.push(bench.measure(DIRECTLY, Asked::Directly).await);
    told("asking all communities, and the registry beside");
    rows.push(bench.measure(WELL, Asked::Well).await);
    told("the same while most of them hang");
    bench.hang(options.hanging);
    rows.push(bench.measure(HANGING, Asked::InTrouble).await);
    rows.push(bench.measure(HANG, Asked::InTrouble).await);
    bench.hang(0);
    told("waiting until idle connections are closed");
    sleep(CALM).await;
    // The first requests probe.
    bench.measure("probes", Asked::InTrouble).await;
    rows.push(bench.measure("well again", Asked::Well).await);
    sleep(CALM).await;
    let mut after = bench.measure("registry alone again", Asked::Nobody).await;
    bench.look(&mut after);
    rows.push(after);
    bench.simulation.stop().await;
    Ok(Report { options, rows })
}

impl Report {
    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The local queries' 99th percentile in one run over that in another.
    fn local_ratio(&self, run: &str, over: &str) -> Option<f64> {
        let p99 = |run: &str| self.row(run).map(|row| row.local.percentile(99.0).as_secs_f64());
        Some(p99(run)? / p99(over)?.max(f64::MIN_POSITIVE))
    }

    /// What the gateway takes beyond the slowest community, asked without it, in milliseconds.
    fn beyond(&self, percent: f64) -> Option<f64> {
        let whole = |run: &str| self.row(run).map(|row| row.federated.percentile(percent).as_secs_f64() * 1e3);
        Some(whole(WELL)? - whole(DIRECTLY)?)
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let of = |histogram: &Histogram| match histogram.count() {
            0 => Value::Null,
            count => json!({
                "count": count,
                "p50_ms": histogram.percentile(50.0).as_secs_f64() * 1e3,
                "p99_ms": histogram.percentile(99.0).as_secs_f64() * 1e3,
                "max_ms": histogram.max().as_secs_f64() * 1e3,
            }),
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "run": row.name,
                "added": of(&row.added),
                "federated": of(&row.federated),
                "local": of(&row.local),
                "failed": row.failed,
                "partial": row.partial,
                "memory": row.memory,
                "descriptors": row.descriptors,
            })
        });
        json!({
            "communities": self.options.communities,
            "latency": self.options.latency.to_string(),
            "rate": self.options.rate,
            "hanging": self.options.hanging,
            "beyond_slowest_p50_ms": self.beyond(50.0),
            "beyond_slowest_p99_ms": self.beyond(99.0),
            "local_p99_ratio_hanging": self.local_ratio(HANGING, WELL),
            "local_p99_ratio_hanging_over_alone": self.local_ratio(HANGING, ALONE),
            "local_p99_ratio_later": self.local_ratio(HANG, WELL),
            "local_p99_ratio_later_over_alone": self.local_ratio(HANG, ALONE),
            "runs": rows.collect::<Vec<_>>(),
        })
    }

    /// As a table.
    pub fn text(&self, colour: Colour) -> String {
        let mut table = Table::new(&[
            ("", Align::Left),
            ("added p50", Align::Right),
            ("p99", Align::Right),
            ("federated p50", Align::Right),
            ("p99", Align::Right),
            ("local p50", Align::Right),
            ("p99", Align::Right),
            ("partial", Align::Right),
            ("failed", Align::Right),
            ("memory", Align::Right),
            ("files", Align::Right),
        ]);
        for row in &self.rows {
            let cells = |histogram: &Histogram| {
                [50.0, 99.0].map(|percent| match histogram.count() {
                    0 => Cell::default(),
                    _ => Cell::new(milliseconds(histogram.percentile(percent)), Tone::Plain),
                })
            };
            let mut all = vec![Cell::new(row.name, Tone::Plain)];
            for histogram in [&row.added, &row.federated, &row.local] {
                all.extend(cells(histogram));
            }
            all.push(Cell::new(row.partial.to_string(), Tone::Faint));
            all.push(Cell::new(row.failed.to_string(), if row.failed > 0 { Tone::Bad } else { Tone::Faint }));
            all.push(Cell::new(row.memory.map(human_size).unwrap_or_default(), Tone::Faint));
            all.push(Cell::new(row.descriptors.map(|count| count.to_string()).unwrap_or_default(), Tone::Faint));
            table.row(all);
        }
        format!(
            "{} communities that answer after {}; {} federated queries a second and as many local ones, {} each run\n\n{}\n\
             added: from the moment the last community handed over its answer until the whole answer was there\n\
             beyond the slowest of them, asked by the consumer itself: p50 {:.2} ms, p99 {:.2} ms\n\
             local p99 while {} begin to hang: {:.2} × that of the registry alone, {:.2} × that with all well\n\
             and when that is known of them: {:.2} × and {:.2} ×\n",
            self.options.communities,
            self.options.latency,
            self.options.rate,
            human_duration(self.options.time),
            table.render(colour),
            self.beyond(50.0).unwrap_or_default(),
            self.beyond(99.0).unwrap_or_default(),
            self.options.hanging,
            self.local_ratio(HANGING, ALONE).unwrap_or_default(),
            self.local_ratio(HANGING, WELL).unwrap_or_default(),
            self.local_ratio(HANG, ALONE).unwrap_or_default(),
            self.local_ratio(HANG, WELL).unwrap_or_default(),
        )
    }
}
