//! `causeway bench`: load on any endpoint, and the suite that compares the broker with a bare
//! server.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use http::Uri;
use serde_json::json;
use tokio::net::TcpListener;

use super::print;
use super::{CommandError, Outcome};
use crate::bench::baseline::Baseline;
use crate::bench::federation;
use crate::bench::load::{self, Plan, Prepared, Repeated, Target, Traffic};
use crate::bench::locator;
use crate::bench::report::{Footing, Measure, Report, milliseconds, outcome_json};
use crate::bench::samples::{self, Submissions};
use crate::bench::suite::{self, Options};
use crate::bench::{BenchError, load::Outcome as Load};
use crate::model::document::DocumentRequest;
use crate::model::ids::{HomeCommunityId, Oid, RepositoryUniqueId, UniqueId};
use crate::simulate::latency::Latency;
use crate::terminal::{Align, Cell, Colour, Table, Tone, counted, human_size, parse_duration, parse_size};
use crate::transaction::{Service, TransactionId};
use crate::transport::tls::{ReloadableClient, ReloadableServer, TlsFiles};

impl From<BenchError> for CommandError {
    fn from(error: BenchError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Arguments of `causeway bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What to measure.
    #[command(subcommand)]
    pub mode: Mode,
}

/// What is measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Mode {
    /// Compare the broker with a bare server that answers the same bytes
    #[command(after_help = "\
Starts both servers on this machine with data of their own in a temporary folder, asks them in
turns, and prints each figure as a ratio. The server's processor time per request is printed too:
clients and server share this machine, and that figure does not depend on the clients.

Examples:
  causeway bench suite
  causeway bench suite --quick --json")]
    Suite(SuiteArgs),
    /// Ask for the documents of many patients (ITI-18; ITI-38 at a Responding Gateway)
    #[command(after_help = "\
Examples:
  causeway bench query --to https://localhost:8443/services/registry --certs my-broker/certs --patients 100
  causeway bench query --to https://peer.example:8443/services/responding-gateway --home urn:oid:2.999.826.1.21 \\
    --cert me.pem --key me.key --ca authorities.pem --patient '9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO'")]
    Query(QueryArgs),
    /// Submit documents of fictitious patients (ITI-41)
    #[command(after_help = "\
The patients are those that 'bench query --patients' asks for, the codes those of the code file that
'causeway init' writes.

Example:
  causeway bench submit --to https://localhost:8443/services/repository --certs my-broker/certs --count 1000")]
    Submit(SubmitArgs),
    /// Retrieve documents (ITI-43; ITI-39 at a Responding Gateway)
    #[command(after_help = "\
Example:
  causeway bench retrieve --to https://localhost:8443/services/repository --certs my-broker/certs \\
    --repository 2.999.826.3.1.1 --document 2.999.826.9.6.1")]
    Retrieve(RetrieveArgs),
    /// Measure what the gateway adds to the communities it asks, and what those that hang do to everybody else
    #[command(after_help = "\
Starts a broker and simulated communities on this machine, all over mutual TLS.

Examples:
  causeway bench federation
  causeway bench federation --communities 36 --latency p50=50ms,p99=200ms --rate 20 --json")]
    Federation(FederationArgs),
    /// Count the messages that a federated query causes, with everybody asked and with those left out that hold nothing
    #[command(after_help = "\
Starts gateways and simulated communities on this machine, all over mutual TLS. Each patient is asked for twice; what
the communities were asked stands beside what the plan says: per view N-1 discoveries and m queries, or m and m where it
is known whom to ask.

Examples:
  causeway bench locator
  causeway bench locator --communities 12 --patients 50 --json")]
    Locator(LocatorArgs),
    /// The bare server of the suite
    #[command(hide = true)]
    Baseline(BaselineArgs),
}

/// Where the load goes, and how much.
#[derive(Debug, Clone, clap::Args)]
pub struct LoadArgs {
    /// The endpoint
    #[arg(long, value_name = "URL")]
    pub to: Uri,
    /// Folder with client.pem, client.key and ca.pem, as 'init' and 'certs dev' make it
    #[arg(long, value_name = "DIR", required_unless_present_all = ["cert", "key", "ca"])]
    pub certs: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Authorities that the server's certificate must come from (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Clients at the same time, with one kept-alive connection each
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..))]
    pub clients: u16,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
    /// End after so many requests, if that comes earlier
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// What is not counted yet
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = time)]
    pub warm_up: Duration,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub timeout: Duration,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `causeway bench query`.
#[derive(Debug, Clone, clap::Args)]
pub struct QueryArgs {
    /// Where, and how much.
    #[command(flatten)]
    pub load: LoadArgs,
    /// A patient to ask for, as id^^^&OID&ISO (repeatable)
    #[arg(long, value_name = "CX")]
    pub patient: Vec<String>,
    /// Ask for so many of the benches' own patients
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub patients: u32,
    /// The patient domain of those
    #[arg(long, value_name = "OID", default_value = samples::NHS_NUMBER, value_parser = Oid::parse)]
    pub domain: Oid,
    /// Whole objects or their ids
    #[arg(long = "return", value_name = "TYPE", default_value = "LeafClass", value_parser = ["LeafClass", "ObjectRef"])]
    pub return_type: String,
    /// The community that is asked, for gateways
    #[arg(long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
}

/// Arguments of `causeway bench submit`.
#[derive(Debug, Clone, clap::Args)]
pub struct SubmitArgs {
    /// Where, and how much.
    #[command(flatten)]
    pub load: LoadArgs,
    /// Size of each document
    #[arg(long, value_name = "SIZE", default_value = "50KiB", value_parser = size)]
    pub size: u64,
    /// Spread the documents over so many patients
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub patients: u32,
    /// The patient domain of those
    #[arg(long, value_name = "OID", default_value = samples::NHS_NUMBER, value_parser = Oid::parse)]
    pub domain: Oid,
}

/// Arguments of `causeway bench retrieve`.
#[derive(Debug, Clone, clap::Args)]
pub struct RetrieveArgs {
    /// Where, and how much.
    #[command(flatten)]
    pub load: LoadArgs,
    /// The repository that holds the documents
    #[arg(long, value_name = "OID", value_parser = RepositoryUniqueId::parse)]
    pub repository: RepositoryUniqueId,
    /// A document's uniqueId (repeatable: one request each)
    #[arg(long, value_name = "ID", required = true, value_parser = UniqueId::parse)]
    pub document: Vec<UniqueId>,
    /// The community that is asked, for gateways
    #[arg(long, value_name = "URN", value_parser = HomeCommunityId::parse)]
    pub home: Option<HomeCommunityId>,
}

/// Arguments of `causeway bench suite`.
#[derive(Debug, Clone, clap::Args)]
pub struct SuiteArgs {
    /// How long each server is measured in each round of each path
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Rounds of each path
    #[arg(long, value_name = "N")]
    pub rounds: Option<usize>,
    /// Patients in the registry, with 20 entries each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=90_000))]
    pub patients: Option<u32>,
    /// Size of the large document
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub document: Option<u64>,
    /// Clients that query at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub query_clients: Option<u16>,
    /// Clients that submit at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub submit_clients: Option<u16>,
    /// Clients that retrieve at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub retrieve_clients: Option<u16>,
    /// Only this path (repeatable)
    #[arg(long, value_name = "PATH", value_parser = ["query", "submit", "retrieve"])]
    pub only: Vec<String>,
    /// Folder for both servers' data, on the disk to be measured (default: the temporary folder)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Measure a start with an empty page cache too; empties the whole machine's, and needs root
    #[arg(long)]
    pub cold: bool,
    /// Just see that it works: a few seconds, rough figures
    #[arg(long)]
    pub quick: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `causeway bench federation`.
#[derive(Debug, Clone, clap::Args)]
pub struct FederationArgs {
    /// How many communities
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub communities: u16,
    /// How soon each answers: 50ms, 20ms..200ms, or p50=50ms,p99=400ms
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = latency)]
    pub latency: Latency,
    /// Federated queries a second, and as many to the broker's own registry beside
    #[arg(long, value_name = "N", default_value_t = 50.0)]
    pub rate: f64,
    /// How long each run is
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = seconds)]
    pub seconds: f64,
    /// Communities that hang in the run with trouble
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub hanging: u16,
    /// Documents of a patient at each community, at most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub documents: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `causeway bench locator`.
#[derive(Debug, Clone, clap::Args)]
pub struct LocatorArgs {
    /// How many communities there are, ours among them (repeatable)
    #[arg(long, value_name = "N", default_values_t = [12, 36], value_parser = clap::value_parser!(u16).range(2..=500))]
    pub communities: Vec<u16>,
    /// How many others hold something of a patient, on average
    #[arg(long, value_name = "M", default_value_t = 1.6)]
    pub holding: f64,
    /// Patients, each asked for twice
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub patients: u32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of the bare server.
#[derive(Debug, Clone, clap::Args)]
pub struct BaselineArgs {
    /// Recorded answers, and where submissions go.
    #[arg(long)]
    pub dir: PathBuf,
    /// Address and port.
    #[arg(long)]
    pub bind: SocketAddr,
    /// Folder with server.pem, server.key, ca.pem and ca.crl.
    #[arg(long)]
    pub certs: PathBuf,
}

fn time(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("a time such as 500ms, 10s, 2m")
}

fn latency(text: &str) -> Result<Latency, &'static str> {
    Latency::parse(text).ok_or("a time such as 50ms, a range such as 20ms..200ms, or p50=50ms,p99=400ms")
}

async fn federated(args: FederationArgs) -> Outcome {
    let options = federation::Options {
        communities: args.communities,
        latency: args.latency,
        rate: args.rate.clamp(0.1, 10_000.0),
        time: Duration::from_secs_f64(args.seconds),
        hanging: args.hanging.min(args.communities),
        documents: args.documents,
    };
    let told = |what: &str| {
        if std::io::stderr().is_terminal() {
            eprintln!("{what}");
        }
    };
    let report = federation::run(options, told).await?;
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text(Colour::of_stdout()) })?;
    let failed = report.rows.iter().any(|row| row.failed > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn located(args: LocatorArgs) -> Outcome {
    let options = locator::Options {
        communities: args.communities,
        holding: args.holding.clamp(0.0, 500.0),
        patients: args.patients,
    };
    let told = |what: &str| {
        if std::io::stderr().is_terminal() {
            eprintln!("{what}");
        }
    };
    let report = locator::run(options, told).await?;
    print(&if args.json { format!("{:#}\n", report.json()) } else { report.text(Colour::of_stdout()) })?;
    Ok(ExitCode::SUCCESS)
}

fn size(text: &str) -> Result<u64, &'static str> {
    parse_size(text).ok_or("a size such as 50KiB or 256MiB")
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, from 0.1 to 86400".into()),
    }
}

/// Measures what the arguments say.
///
/// # Errors
/// When nothing could be measured. Requests that failed are in the result, and in the exit code.
pub async fn run(args: Args) -> Outcome {
    match args.mode {
        Mode::Suite(args) => compare(args).await,
        Mode::Query(args) => query(args).await,
        Mode::Submit(args) => submit(args).await,
        Mode::Retrieve(args) => retrieve(args).await,
        Mode::Federation(args) => federated(args).await,
        Mode::Locator(args) => located(args).await,
        Mode::Baseline(args) => baseline(args).await,
    }
}

impl LoadArgs {
    fn target(&self) -> Result<Target, CommandError> {
        let file = |own: &Option<PathBuf>, name: &str| {
            let in_folder = || self.certs.as_ref().map(|folder| folder.join(name));
            own.clone()
                .or_else(in_folder)
                .ok_or_else(|| CommandError::failed("give --certs DIR, or --cert, --key and --ca"))
        };
        let tls = TlsFiles {
            certificate: file(&self.cert, "client.pem")?,
            key: file(&self.key, "client.key")?,
            client_ca: file(&self.ca, "ca.pem")?,
            crl: None,
        };
        Ok(Target::new(&self.to, Arc::new(ReloadableClient::new(tls)?))?)
    }

    /// At a Responding Gateway the cross-gateway transaction is meant.
    fn transaction(&self, local: TransactionId, cross_gateway: TransactionId) -> TransactionId {
        match Service::from_path(self.to.path()) {
            Some(Service::RespondingGateway) => cross_gateway,
            _ => local,
        }
    }

    async fn run(&self, probe: Prepared, traffic: Arc<dyn Traffic>) -> Outcome {
        let target = self.target()?;
        // A load of refusals would measure nothing, so the first answer is looked at alone.
        let first = load::probe(&target, probe, self.timeout, |_| Ok(())).await?;
        let plan = Plan {
            clients: self.clients.into(),
            warm_up: if self.count.is_some() { Duration::ZERO } else { self.warm_up },
            duration: Duration::from_secs_f64(self.seconds),
            count: self.count,
            timeout: self.timeout,
        };
        let outcome = load::run(&target, &traffic, &plan).await?;
        if self.json {
            let mut value = outcome_json(&outcome);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("to".into(), self.to.to_string().into());
                fields.insert("clients".into(), self.clients.into());
                fields.insert("answer_bytes".into(), first.octets.into());
            }
            print(&format!("{value:#}\n"))?;
        } else {
            print(&shown(&outcome, self.clients, first.octets))?;
        }
        Ok(if outcome.failed() == 0 && outcome.requests > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn shown(outcome: &Load, clients: u16, octets: u64) -> String {
    let mut table = Table::new(&[("", Align::Left), ("", Align::Right), ("", Align::Left)]);
    let latency = |percent| milliseconds(outcome.latency.percentile(percent));
    let rate = |octets: f64| format!("{}/s", human_size(octets as u64));
    table.row([
        "requests".into(),
        outcome.requests.to_string().into(),
        format!("{} in {:.1} s", counted(clients.into(), "client"), outcome.elapsed.as_secs_f64()).into(),
    ]);
    table.row(["per second".into(), Cell::new(format!("{:.0}", outcome.requests_per_second()), Tone::Strong)]);
    table.row([
        "received".into(),
        rate(outcome.received_per_second()).into(),
        format!("{} each", human_size(octets)).into(),
    ]);
    table.row(["sent".into(), rate(outcome.sent_per_second()).into()]);
    table.row(["latency p50".into(), latency(50.0).into()]);
    table.row(["p90".into(), latency(90.0).into()]);
    table.row(["p99".into(), latency(99.0).into()]);
    table.row(["p99.9".into(), latency(99.9).into()]);
    table.row(["max".into(), milliseconds(outcome.latency.max()).into()]);
    for (kind, count) in &outcome.errors {
        table.row(["failed".into(), Cell::new(count.to_string(), Tone::Bad), kind.into()]);
    }
    let mut out = table.render(Colour::of_stdout());
    if let Some(error) = &outcome.first_error {
        out.push_str(&format!("first failure: {error}\n"));
    }
    out
}

async fn query(args: QueryArgs) -> Outcome {
    let transaction = args.load.transaction(TransactionId::RegistryStoredQuery, TransactionId::CrossGatewayQuery);
    let patients = match args.patient.as_slice() {
        [] => (0..args.patients).map(|number| samples::patient(number, args.domain.as_str())).collect(),
        given => given.to_vec(),
    };
    let to = args.load.to.to_string();
    let home = args.home.as_ref().map(|home| home.as_str());
    let requests: Vec<Prepared> = patients
        .iter()
        .map(|patient| {
            samples::query_request(transaction, &to, &samples::find_documents(patient, &args.return_type, home))
        })
        .collect();
    let traffic = Arc::new(Repeated::new(requests)?);
    args.load.run(traffic.next(), traffic).await
}

/// Submissions for several patients, in turn.
struct Spread {
    patients: Vec<Submissions>,
    next: std::sync::atomic::AtomicUsize,
}

impl Traffic for Spread {
    fn next(&self) -> Prepared {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % self.patients.len().max(1);
        self.patients.get(number).map_or(Prepared { content_type: String::new(), body: Vec::new() }, Traffic::next)
    }
}

async fn submit(args: SubmitArgs) -> Outcome {
    let to = args.load.to.to_string();
    let size = usize::try_from(args.size).unwrap_or(usize::MAX);
    let document = Submissions::document(size)?;
    let patients: Result<Vec<Submissions>, BenchError> = (0..args.patients)
        .map(|number| Submissions::new(&to, &samples::patient(number, args.domain.as_str()), document.clone()))
        .collect();
    let traffic = Arc::new(Spread { patients: patients?, next: 0.into() });
    args.load.run(traffic.next(), traffic).await
}

async fn retrieve(args: RetrieveArgs) -> Outcome {
    let transaction = args.load.transaction(TransactionId::RetrieveDocumentSet, TransactionId::CrossGatewayRetrieve);
    let to = args.load.to.to_string();
    let requests: Result<Vec<Prepared>, BenchError> = args
        .document
        .iter()
        .map(|unique_id| {
            let request = DocumentRequest {
                home: args.home.clone(),
                repository: args.repository.clone(),
                unique_id: unique_id.clone(),
            };
            samples::retrieve_request(transaction, &to, &[request])
        })
        .collect();
    let traffic = Arc::new(Repeated::new(requests?)?);
    args.load.run(traffic.next(), traffic).await
}

async fn baseline(args: BaselineArgs) -> Outcome {
    let tls = TlsFiles {
        certificate: args.certs.join("server.pem"),
        key: args.certs.join("server.key"),
        client_ca: args.certs.join("ca.pem"),
        crl: Some(args.certs.join("ca.crl")),
    };
    let tls = Arc::new(ReloadableServer::new(tls)?);
    let server = Arc::new(Baseline::open(&args.dir)?);
    let socket = TcpListener::bind(args.bind).await.map_err(BenchError::io(format!("cannot bind {}", args.bind)))?;
    // Whoever started us holds the other end of standard input: it closes when they are gone.
    let parent = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        () = server.serve(socket, tls) => {}
        _ = parent => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn compare(args: SuiteArgs) -> Outcome {
    let mut options = if args.quick { Options::quick() } else { Options::default() };
    options.seconds = args.seconds.unwrap_or(options.seconds);
    options.rounds = args.rounds.unwrap_or(options.rounds);
    options.patients = args.patients.unwrap_or(options.patients);
    options.document = args.document.unwrap_or(options.document);
    options.query_clients = args.query_clients.map_or(options.query_clients, usize::from);
    options.submit_clients = args.submit_clients.map_or(options.submit_clients, usize::from);
    options.retrieve_clients = args.retrieve_clients.map_or(options.retrieve_clients, usize::from);
    options.folder = args.data;
    options.only = args.only;
    options.cold = args.cold;
    let progress = std::io::stderr().is_terminal();
    let told = |what: &str| {
        if progress {
            eprintln!("{what} …");
        }
    };
    // An interrupt drops the suite, and with it the servers and their folder.
    let report = tokio::select! {
        report = suite::run(&options, told) => report?,
        _ = tokio::signal::ctrl_c() => return Err(CommandError::failed("interrupted")),
    };
    if args.json {
        print(&format!("{:#}\n", json!(report.json())))?;
    } else {
        print(&compared(&report, args.quick))?;
    }
    let failed: u64 = report.paths.iter().map(|path| path.failed()).sum();
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compared(report: &Report, quick: bool) -> String {
    let right = |head| (head, Align::Right);
    let mut table = Table::new(&[
        ("path", Align::Left),
        right("clients"),
        right("answer"),
        right("ours"),
        right("bare"),
        right("ratio"),
        right("goal"),
        right("ours p50"),
        right("p99"),
        right("bare p50"),
        right("p99"),
        right("processor, ours"),
        right("bare"),
        right("memory"),
    ]);
    for path in &report.paths {
        let (ours, bare) = (path.ours.total(), path.bare.total());
        let met = path.ratio() >= path.goal;
        let processor = |side: &crate::bench::report::Side| match (side.processor_micros(path.measure), path.measure) {
            (None, _) => String::new(),
            (Some(micros), Measure::Requests) => format!("{micros:.0} µs each"),
            (Some(micros), Measure::Octets) => format!("{micros:.0} µs/MiB"),
        };
        let latency = |load: &Load, percent| milliseconds(load.latency.percentile(percent));
        table.row([
            path.name.as_str().into(),
            path.clients.to_string().into(),
            human_size(path.answer_octets).into(),
            path.measure.shown(path.ours.figure(path.measure)).into(),
            path.measure.shown(path.bare.figure(path.measure)).into(),
            Cell::new(format!("{:.0} %", path.ratio() * 100.0), if met { Tone::Good } else { Tone::Warning }),
            format!("{:.0} %", path.goal * 100.0).into(),
            latency(&ours, 50.0).into(),
            latency(&ours, 99.0).into(),
            latency(&bare, 50.0).into(),
            latency(&bare, 99.0).into(),
            processor(&path.ours).into(),
            processor(&path.bare).into(),
            path.memory_growth.map_or(String::new(), |growth| format!("+{}", human_size(growth))).into(),
        ]);
    }
    let mut out = table.render(Colour::of_stdout());
    for path in &report.paths {
        for (who, total) in [("ours", path.ours.total()), ("bare", path.bare.total())] {
            for (kind, count) in &total.errors {
                let said = total.first_error.as_deref().unwrap_or_default();
                out.push_str(&format!("{} ({who}): {count} failed: {kind}; first: {said}\n", path.name));
            }
        }
    }
    out.push_str(&format!(
        "\n{} shared by servers and clients, {} entries, median of {} of {} s each, {:.0} s in all.\n",
        counted(report.processors, "processor"),
        report.entries,
        counted(report.paths.first().map_or(0, |path| path.ours.samples.len()), "round"),
        report.seconds,
        report.elapsed.as_secs_f64(),
    ));
    let Footing { resident, ready, ready_cold } = report.footing;
    let cold = ready_cold.map_or(String::new(), |cold| format!(", {} with a cold page cache", milliseconds(cold)));
    let memory = resident.map_or(String::new(), |most| format!("; at most {} resident under load", human_size(most)));
    out.push_str(&format!(
        "Killed and started again, the broker answers after {}{cold}{memory}.\n",
        milliseconds(ready)
    ));
    if quick {
        out.push_str("--quick: too short for figures to rely on.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parsed(line: &[&str]) -> Result<Mode, String> {
        let line = ["bench"].iter().chain(line);
        Line::try_parse_from(line).map(|line| line.args.mode).map_err(|error| error.to_string())
    }

    #[test]
    fn certificates_come_from_a_folder_or_one_by_one() {
        let to = "--to=https://localhost/services/registry";
        assert!(parsed(&["query", to, "--certs=x"]).is_ok());
        assert!(parsed(&["query", to, "--cert=a", "--key=b", "--ca=c"]).is_ok());
        assert!(parsed(&["query", to, "--cert=a"]).is_err());
    }

    #[test]
    fn the_transaction_follows_the_path() {
        let (local, cross) = (TransactionId::RegistryStoredQuery, TransactionId::CrossGatewayQuery);
        for (path, expected) in [("registry", local), ("initiating-gateway", local), ("responding-gateway", cross)] {
            let to = format!("--to=https://localhost/services/{path}");
            let Ok(Mode::Query(args)) = parsed(&["query", &to, "--certs=x"]) else { panic!("{path}") };
            assert_eq!(args.load.transaction(local, cross), expected);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let to = "--to=https://localhost/x";
        for line in [
            vec!["query", to, "--certs=x", "--seconds=0"],
            vec!["query", to, "--certs=x", "--clients=0"],
            vec!["query", to, "--certs=x", "--return=Everything"],
            vec!["retrieve", to, "--certs=x", "--repository=1.2"],
            vec!["suite", "--submit-clients=0"],
            vec!["suite", "--only=everything"],
        ] {
            assert!(parsed(&line).is_err(), "{line:?}");
        }
    }
}
