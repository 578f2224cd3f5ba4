//! The binary: arguments → configuration → log → run → exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Context;
use causeway::commands::{ServeArgs, certs, check, init, serve};
use causeway::config::{Config, Log, LogFormat};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

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
    /// Write a ready-to-run configuration with certificates and codes
    #[command(after_help = "\
Examples:
  causeway init my-broker
  causeway init north --name North --home-community-id urn:oid:2.999.826.1.21 --bind 0.0.0.0:8443 \\
    --dns north.example --peer 'South=urn:oid:2.999.826.1.22=https://south.example:8443/services/responding-gateway'")]
    Init(init::Args),
    /// Check configuration, certificates, stores and peers; exit code 1 if anything fails
    Check(check::Args),
    /// Run the broker; SIGTERM stops it gracefully, SIGHUP reloads certificates, peers and codes
    Serve(ServeArgs),
    /// Make certificates for development
    Certs(certs::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("causeway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(run(command))
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    // The broker logs as its configuration says; the other commands speak for themselves.
    if !matches!(command, Command::Serve(_)) {
        log(&Log { level: "warn".to_owned(), ..Log::default() })?;
    }
    let outcome = match command {
        Command::Init(args) => init::run(&args),
        Command::Check(args) => check::run(args).await,
        Command::Serve(args) => {
            let config = Config::load(&args.config)?;
            log(&config.log)?;
            serve::run(config).await
        }
        Command::Certs(args) => certs::run(&args),
    };
    Ok(outcome?)
}

/// Log lines go to standard error: standard output belongs to what was asked for.
fn log(log: &Log) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(directives) if !directives.is_empty() => {
            EnvFilter::try_new(&directives).context("RUST_LOG is not understood")?
        }
        _ => EnvFilter::try_new(&log.level).context("log.level is not understood")?,
    };
    // At finer levels sled logs keys, and keys hold patient ids.
    let filter = filter.add_directive("sled=warn".parse()?);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}
