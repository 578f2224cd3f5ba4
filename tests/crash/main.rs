//! What the broker promises of the worst moments: killed at any time, a disk that fails, little
//! memory. Real broker processes on real folders; `README.md` beside this file says how to run the
//! short and the full forms, and what is asserted.

mod broker;
mod check;
mod client;
mod inject;
mod kill;
mod memory;
#[path = "../it/support.rs"]
#[allow(dead_code)]
mod support;
mod tables;
mod trouble;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where metadata can be kept: each is tried.
const STORES: [&str; 2] = ["sled:data/registry", "fjall:data/registry"];

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time: each measures, and each loads the machine.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// Whether the environment asks for it.
fn wanted(name: &str) -> bool {
    std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// Runs a test on a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}
