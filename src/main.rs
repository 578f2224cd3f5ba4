//! The binary: arguments → configuration → log → run → exit code.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use causeway::commands::{
    ServeArgs, bench, certs, check, demo, discover, doctor, explain, find, get, init, probe, retrieve, serve, simulate,
    store, submit, validate,
};
use causeway::config::{Config, Log, LogFormat};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Document exchange broker for shared care records: IHE XDS.b registry and repository, XCA gateways
#[derive(Debug, Parser)]
#[command(
    version,
    long_about = "\
Causeway joins the communities that hold records of the same patients. Systems register documents
with it (ITI-41), ask once and get what all communities hold (ITI-18, fanned out as ITI-38), and
retrieve documents from wherever they are (ITI-43, relayed as ITI-39), over mutual TLS.

A running broker in two commands:

  causeway init my-broker
  causeway serve --config my-broker/causeway.toml",
    after_help = "\
Examples:
  causeway check --config my-broker/causeway.toml      what would go wrong, with the fix
  causeway doctor https://peer.example:8443/xca        why a peer does not work: the step and the fix
  causeway certs dev certs --dns gateway.example       certificates for a trial
  CAUSEWAY__STORAGE__METADATA=memory: causeway serve   any key of the file from the environment

'causeway COMMAND --help' explains a command. RUST_LOG overrides log.level of the configuration.",
    arg_required_else_help = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// A new command is a file in `commands` with `Args` and `run`, a variant here, and a row in `run`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show a whole federation at work on this machine
    #[command(after_help = "\
Examples:
  causeway demo                      the report, then a federation to try things on, until Ctrl-C
  causeway demo --once               the report alone; exit code 0 only if all of it held
  causeway demo --once --json        the same for machines
  causeway demo --data my-demo       keep certificates, stores and audit trails")]
    Demo(demo::Args),
    /// Write a ready-to-run configuration with certificates and codes
    #[command(after_help = "\
Examples:
  causeway init my-broker
  causeway init north --name North --home-community-id urn:oid:2.999.826.1.21 --bind 0.0.0.0:8443 \\
    --dns north.example --peer 'South=urn:oid:2.999.826.1.22=https://south.example:8443/services/responding-gateway'")]
    Init(init::Args),
    /// Check configuration, certificates, stores and peers; exit code 1 if anything fails
    Check(check::Args),
    /// Say why a peer does not work: which step fails, and what to do
    Doctor(Box<doctor::Args>),
    /// Run the broker; SIGTERM stops it gracefully, SIGHUP reloads certificates, revocation lists, codes, validation modes, people, peers and where traces go
    Serve(ServeArgs),
    /// Make certificates for development
    Certs(certs::Args),
    /// Run communities with made-up patients and trouble of your choice, to try a gateway on
    #[command(after_help = "\
Examples:
  causeway simulate --list                                 what can go wrong
  causeway simulate --certs my-broker/certs --peers peers.toml
  causeway simulate --communities 3 --trouble 2=hang --trouble '3=cut-body@25%' --latency p50=50ms,p99=2s")]
    Simulate(Box<simulate::Args>),
    /// Show what a broker did for a request: who was asked, how long it took, who is missing and why
    #[command(after_help = "\
Every answer names its request in the HTTP header x-correlation-id.

Examples:
  causeway explain                                         the last requests of a broker on this machine
  causeway explain 0af7651916cd43dd8448eb211c80319c
  causeway explain 0af7651916cd43dd8448eb211c80319c --config my-broker/causeway.toml --json")]
    Explain(explain::Args),
    /// Generate load and measure: any endpoint, or the broker against a bare server
    Bench(bench::Args),
    /// Register documents with a repository (ITI-41), or metadata with a registry (ITI-42)
    Submit(Box<submit::Args>),
    /// Ask a stored query (ITI-18, ITI-38)
    Find(Box<find::Args>),
    /// Show all attributes of documents by id (ITI-18, ITI-38)
    Get(Box<get::Args>),
    /// Retrieve documents and check their hashes (ITI-43, ITI-39)
    Retrieve(Box<retrieve::Args>),
    /// Ask another community's gateway under which identifier it knows a patient (ITI-55, ITI-56)
    Discover(Box<discover::Args>),
    /// Verify, reindex, export and import what a stopped broker keeps
    Store(store::Args),
    /// Probe somebody else's gateway, registry or repository for conformance, read-only
    Probe(Box<probe::Args>),
    /// Judge messages offline, by the broker's rules: submissions, queries, captured packages, responses
    Validate(validate::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    use_small_pages();
    match start(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("causeway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Has memory come in small pages. The allocator asks for huge ones, and the kernel clears all 2 MiB of one at the
/// moment that its first octet is touched: 5 to 20 ms on a virtual machine, for whichever request that was.
fn use_small_pages() {
    // A kernel without huge pages may refuse, and then has none to be afraid of.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(run(command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    // The broker logs as its configuration says; the other commands speak for themselves.
    let of_level = |level: &str| Log { level: level.to_owned(), ..Log::default() };
    match &command {
        Command::Serve(_) => {}
        Command::Demo(args) => log(&of_level(&args.log), args.log_file.as_deref())?,
        _ => log(&of_level("warn"), None)?,
    }
    let outcome = match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(args).await,
        Command::Doctor(args) => doctor::run(*args).await,
        Command::Serve(args) => {
            let config = Config::load(&args.config)?;
            log(&config.log, None)?;
            serve::run(config).await
        }
        Command::Certs(args) => certs::run(&args),
        Command::Simulate(args) => simulate::run(*args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Submit(args) => submit::run(*args).await,
        Command::Find(args) => find::run(*args).await,
        Command::Get(args) => get::run(*args).await,
        Command::Discover(args) => discover::run(*args).await,
        Command::Store(args) => store::run(args).await,
        Command::Probe(args) => probe::run(*args).await,
        Command::Validate(args) => validate::run(args).await,
        Command::Retrieve(args) => retrieve::run(*args).await,
    };
    Ok(outcome?)
}

/// What is logged under these directives, as this broker reads them.
fn filter(directives: &str) -> anyhow::Result<EnvFilter> {
    let filter = EnvFilter::try_new(directives)?;
    // At finer levels these log keys, and keys hold patient ids.
    let filter = filter.add_directive("sled=warn".parse()?);
    let filter = filter.add_directive("fjall=warn".parse()?).add_directive("lsm_tree=warn".parse()?);
    // It warns of each alert that breaks nothing, as clients in Java send one before they close a connection. Who
    // wants to see them names it.
    match directives.split(',').any(|directive| directive.trim_start().starts_with("rustls")) {
        true => Ok(filter),
        false => Ok(filter.add_directive("rustls::common_state=error".parse()?)),
    }
}

/// Log lines go to standard error, or to a file: standard output belongs to what was asked for.
fn log(log: &Log, file: Option<&Path>) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => filter(&directives).context("RUST_LOG is not understood")?,
        _ => filter(&log.level).context("log.level is not understood")?,
    };
    let writer = match file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let file = std::fs::File::options().create(true).append(true).open(path);
            BoxMakeWriter::new(file.with_context(|| format!("cannot write the log to {}", path.display()))?)
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(file.is_none() && std::io::stderr().is_terminal())
        .with_writer(writer);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged under these directives of all that might be.
    fn logged(directives: &str) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_env_filter(filter(directives).unwrap()).without_time();
        let subscriber = builder.with_ansi(false).with_target(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "rustls::common_state", "an alert");
            tracing::error!(target: "rustls::common_state", "a broken record");
            tracing::warn!(target: "rustls::check", "another message than expected");
            tracing::debug!(target: "sled::tree", "a key");
            tracing::info!(target: "causeway::broker", "ours");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().split_once(' ').unwrap().1.to_owned()).collect()
    }

    #[test]
    fn alerts_that_break_nothing_are_not_worth_a_line_unless_somebody_asks() {
        const USUAL: [&str; 3] = ["a broken record", "another message than expected", "ours"];
        assert_eq!(logged("info"), USUAL);
        assert_eq!(logged("debug"), USUAL);
        assert_eq!(logged("info,rustls=warn"), ["an alert", USUAL[0], USUAL[1], USUAL[2]]);
        assert_eq!(logged("info,hyper_rustls=warn"), USUAL, "another one's name has the word in it");
        assert_eq!(logged("error"), ["a broken record"]);
        assert_eq!(logged("trace,sled=trace"), USUAL, "whoever asks for keys");
        assert!(filter("info,=,").is_err());
    }
}
