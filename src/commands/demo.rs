//! `causeway demo`: a whole federation on this machine, shown at work.

mod text;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::print;
use super::{CommandError, Outcome};
use crate::demo::{Demo, DemoError};
use crate::terminal::Colour;

/// The exit code of a run that was interrupted before its report.
const INTERRUPTED: u8 = 130;

/// Arguments of `causeway demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Stop after the report; exit code 0 only if all of it held
    #[arg(long)]
    pub once: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Keep certificates, stores and audit trails in this folder (default: a temporary one)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What is logged to standard error: a level, or directives as info,causeway=debug
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
    /// Write the log to this file instead
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

impl From<DemoError> for CommandError {
    fn from(error: DemoError) -> Self {
        Self::failed(error.to_string())
    }
}

/// Holds the demonstration; without `--once` it goes on until Ctrl-C or SIGTERM.
///
/// # Errors
/// When the federation does not start, or a broker gives no answer.
pub async fn run(args: Args) -> Outcome {
    let mut stop = Stop::new()?;
    let progress = progress();
    let start = pin!(Demo::start(args.data.as_deref(), &progress));
    let Some(started) = unless_interrupted(&mut stop, start).await else {
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let mut demo = started?;
    let outcome = show(&args, &mut demo, &mut stop, &progress).await;
    progress.finish_and_clear();
    demo.stop().await;
    outcome
}

/// What a start has led to; when interrupted, it is led to its end and undone.
async fn unless_interrupted(
    stop: &mut Stop,
    mut start: Pin<&mut impl Future<Output = Result<Demo, DemoError>>>,
) -> Option<Result<Demo, DemoError>> {
    tokio::select! {
        started = start.as_mut() => return Some(started),
        () = stop.asked() => {}
    }
    match start.await {
        Ok(demo) => {
            demo.stop().await;
            None
        }
        Err(error) => Some(Err(error)),
    }
}

async fn show(args: &Args, demo: &mut Demo, stop: &mut Stop, progress: &ProgressBar) -> Outcome {
    let report = tokio::select! {
        report = demo.report(progress) => report?,
        () = stop.asked() => return Ok(ExitCode::from(INTERRUPTED)),
    };
    progress.finish_and_clear();
    let colour = Colour::of_stdout();
    if args.json {
        print(&(report.json() + "\n"))?;
        for what in report.failed() {
            eprintln!("FAIL  {what}");
        }
    } else {
        print(&text::report(&report, colour))?;
    }
    if !args.once {
        demo.resume().await?;
        if !args.json {
            print(&text::next_steps(&demo.next_steps()?, &program(), colour))?;
        }
        stop.asked().await;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How this program was called, so that what is printed can be pasted.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "causeway".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A bar on a terminal, nothing elsewhere.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent:>3} %") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Ctrl-C and SIGTERM.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, CommandError> {
        let listen =
            |kind| signal(kind).map_err(|error| CommandError::failed(format!("cannot watch for signals: {error}")));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
