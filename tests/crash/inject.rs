//! Killed, or failed by its disk, at each system call of one submission that changes a file.
//!
//! `strace` is attached to a broker that is ready, and injects. It counts calls for each thread by
//! itself, and work moves between threads, so "the n-th call" is made definite in two ways:
//!
//! * **Kill.** Every call of interest is held at its entry for a moment. When the trace shows the
//!   n-th of all threads together, the broker is killed: before that call is carried out. What that
//!   missed is then waited for by its place, for threads take turns in another order each time.
//! * **Error.** One kind of call is made to fail in the threads of one part of the broker, while the
//!   others run freely. There n counts for each thread, and each part's work is done by one at a time.
//!
//! n = 1, 2, 3 … until a submission goes through untouched. What was really hit is read back from
//! the trace, and compared with the trace of the untouched run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use causeway::model::response::ResponseStatus;

use crate::broker::{Installation, READY, Running};
use crate::check::{Known, Report, check, check_audit, check_staging};
use crate::client::{Access, Message, Submission, find_documents};
use crate::{STORES, alone, run, wanted};

/// What writes octets; those to sockets, to the log and between threads are among them.
const WRITES: &str = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg";
/// What makes them durable.
const SYNCS: &str = "fsync,fdatasync,sync_file_range,msync,syncfs";
/// What changes folders and lengths.
const NAMES: &str = "rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,link,linkat,ftruncate,fallocate";

/// How long a call is held at its entry at first: long against the time it takes to notice on a machine
/// that is not busy. Each pass for missed calls but the first holds longer by as much.
const HELD: Duration = Duration::from_millis(15);
/// How often the loop is run for calls that were missed.
const PASSES: u32 = 8;
/// No submission has so many calls.
const MOST: usize = 400;

/// A part of the broker: its name, how the names of its threads begin, and its files.
type Part = (&'static str, &'static str, &'static [&'static str]);

/// Tokio's threads come and go with the work, so for documents all threads are traced.
const DOCUMENTS: Part = ("documents", "", &["staged document", "document folders"]);
const REGISTRY: Part = ("registry", "registry-writer", &["registry log", "registry folder"]);
const REGISTRY_LOG: Part = ("registry log", "sled-io-", &["registry log", "registry folder"]);
const AUDIT: Part = ("audit", "audit-trail", &["audit trail"]);

/// One call in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    thread: String,
    name: String,
    file: &'static str,
    injected: bool,
    finished: bool,
}

/// A call by its place: the how-manieth of its kind on its kind of file.
type Place = (String, &'static str, usize);

/// A tracer on a running broker.
struct Tracer {
    child: Child,
    output: PathBuf,
}

/// A folder for traces, and whether a process can be traced here at all.
fn tracing() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut sleeper = Command::new("sleep").arg("60").spawn().expect("a process to trace");
    let attached = Tracer::attach(&[sleeper.id()], &dir.path().join("probe"), &["-e".into(), "trace=fsync".into()]);
    let possible = attached.map(Tracer::detach);
    let _ = sleeper.kill();
    let _ = sleeper.wait();
    match possible {
        Ok(_) => Some(dir),
        Err(why) if wanted("CAUSEWAY_REQUIRE_STRACE") => panic!("strace is required and cannot be used: {why}"),
        Err(why) => {
            println!("SKIPPED: nothing was injected, because strace cannot be used here: {why}");
            None
        }
    }
}

impl Tracer {
    /// Attaches to these threads; with `-f` among the arguments, to all of their process.
    fn attach(threads: &[u32], output: &Path, arguments: &[String]) -> Result<Self, String> {
        let told = output.with_extension("told");
        let stderr = File::create(&told).map_err(|error| error.to_string())?;
        let mut command = Command::new("strace");
        command.args(["-y", "-s", "0", "-o"]).arg(output).args(arguments);
        // Several threads need not be followed, but their lines must tell them apart.
        command.args(threads.iter().flat_map(|thread| ["-p".to_owned(), thread.to_string()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().map_err(|error| format!("strace: {error}"))?;
        let began = Instant::now();
        loop {
            let told = std::fs::read_to_string(&told).unwrap_or_default();
            if told.matches(" attached").count() >= threads.len() {
                return Ok(Self { child, output: output.to_owned() });
            }
            if child.try_wait().map_err(|error| error.to_string())?.is_some()
                || began.elapsed() > Duration::from_secs(20)
            {
                let _ = child.kill();
                let _ = child.wait();
                return Err(told);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The calls that the trace shows by now.
    fn seen(&self) -> Vec<Call> {
        // A call that is held has its line begun, not ended.
        let text = std::fs::read(&self.output).unwrap_or_default();
        calls(&String::from_utf8_lossy(&text))
    }

    /// Lets the process go, if it still is, and answers with the trace.
    fn detach(mut self) -> String {
        // SIGTERM lets strace detach; on a process that has been killed it ends by itself.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        // A thread killed while it was held can escape strace, which then waits for ever.
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which of the broker's files a line is about.
fn file_of(line: &str) -> &'static str {
    const KINDS: &[(&str, &str)] = &[
        ("data/registry/db", "registry log"),
        ("data/registry", "registry folder"),
        ("data/documents/staging/", "staged document"),
        ("data/documents", "document folders"),
        ("data/audit", "audit trail"),
        ("<socket:", "connection"),
        ("<TCP:", "connection"),
        ("<anon_inode:", "wake-up"),
        ("/log>", "log"),
    ];
    KINDS.iter().find(|(part, _)| line.contains(part)).map_or("other", |(_, kind)| kind)
}

fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    for line in trace.lines() {
        // Without a number in front there is only one thread.
        let (thread, rest) = match line.split_once(' ') {
            Some((thread, rest)) if !thread.is_empty() && thread.bytes().all(|b| b.is_ascii_digit()) => (thread, rest),
            _ => ("", line),
        };
        let rest = rest.trim_start();
        if rest.starts_with("<...") {
            // The other half of a call that was shown before.
            if let Some(call) = calls.iter_mut().rev().find(|call| call.thread == thread) {
                call.finished = !rest.contains("= ?");
                call.injected |= rest.contains("(INJECTED)");
            }
            continue;
        }
        let Some((name, _)) = rest.split_once('(') else { continue };
        if name.contains(' ') || rest.starts_with("---") || rest.starts_with("+++") {
            continue;
        }
        calls.push(Call {
            thread: thread.to_owned(),
            name: name.to_owned(),
            file: file_of(rest),
            injected: rest.contains("(INJECTED)"),
            finished: !rest.contains("<unfinished") && !rest.contains("= ?"),
        });
    }
    calls
}

/// The calls on files with their places.
fn places(calls: &[Call]) -> Vec<Place> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let mut places = Vec::new();
    for call in calls {
        let count = counts.entry((&call.name, call.file)).or_default();
        *count += 1;
        places.push((call.name.clone(), call.file, *count));
    }
    places
}

fn on_a_file(place: &Place) -> bool {
    !matches!(place.1, "connection" | "wake-up" | "log" | "other")
}

/// The call that a submission is to be killed at.
#[derive(Debug)]
enum Aim {
    /// The n-th of all, from 1.
    Nth(usize),
    Place(Place),
}

impl Aim {
    /// Where it is among these calls, if it is.
    fn index(&self, calls: &[Call]) -> Option<usize> {
        match self {
            Self::Nth(n) => n.checked_sub(1).filter(|index| *index < calls.len()),
            Self::Place(aim) => places(calls).iter().position(|place| place == aim),
        }
    }

    /// What the kill has met: that call, or a later one if it was noticed late.
    fn met(&self, calls: &[Call]) -> Option<Place> {
        let held = |index: &usize| calls.get(*index).is_some_and(|call| !call.finished);
        let index = self.index(calls).filter(held).or_else(|| (0..calls.len()).rev().find(held))?;
        places(calls).get(index).cloned()
    }
}

/// What a submission is answered with.
#[derive(Debug, PartialEq)]
enum Answered {
    Success,
    Failure(String),
    Nothing,
}

async fn send(access: &Access, message: &Message) -> Answered {
    match access.provide(message).await {
        Ok(Ok(response)) if response.status == ResponseStatus::Success => Answered::Success,
        Ok(Ok(response)) => {
            Answered::Failure(response.errors.first().map_or_else(String::new, |e| e.code.as_str().to_owned()))
        }
        Ok(Err(fault)) => Answered::Failure(fault),
        Err(_) => Answered::Nothing,
    }
}

/// A broker that is broken on purpose again and again.
struct Bench {
    installation: Installation,
    traces: tempfile::TempDir,
    running: Option<Running>,
    next: u64,
    slowest: Duration,
    violations: Vec<String>,
}

impl Bench {
    fn new(traces: tempfile::TempDir, metadata: &'static str) -> Self {
        println!("{metadata}");
        Self {
            installation: Installation::new(metadata, 1, &[]),
            traces,
            running: None,
            next: 1,
            slowest: Duration::ZERO,
            violations: Vec::new(),
        }
    }

    fn data(&self) -> PathBuf {
        self.installation.folder().join("data")
    }

    /// A running broker: the last one, or a fresh one.
    async fn running(&mut self) -> Running {
        if let Some(running) = self.running.take() {
            return running;
        }
        // Lines of the log would be calls among those that matter.
        let running = self.installation.start(&[], &[("TOKIO_WORKER_THREADS", "1"), ("RUST_LOG", "error")]);
        self.slowest = self.slowest.max(running.ready_after);
        // Behind this answer, the record of the start is in the trail too.
        let nothing = running.access.query(&find_documents("nobody^^^&2.999.826.2.1.1&ISO")).await;
        assert!(nothing.objects.is_empty(), "nobody has documents");
        running
    }

    /// A submission for a patient of its own. Long ones replace an entry submitted just before.
    async fn submission(&mut self, running: &Running, size: usize) -> (Vec<Known>, Message) {
        let patient = format!("I{}^^^&2.999.826.2.1.1&ISO", self.next);
        let mut known = Vec::new();
        let mut submission = Submission::new(self.next, &patient, size);
        self.next += 1;
        if size > 100_000 {
            let base = Submission::new(self.next, &patient, 500);
            self.next += 1;
            assert_eq!(send(&running.access, &base.message()).await, Answered::Success, "before anything is injected");
            submission.replaces = base.uuid.map(|uuid| (base.number, uuid));
            known.push(Known { submission: base, acknowledged: true });
        }
        let message = submission.message();
        known.push(Known { submission, acknowledged: false });
        (known, message)
    }

    /// One submission under a tracer; answers with what was answered, and the trace.
    async fn traced(
        &self,
        running: &Running,
        message: &Message,
        threads: &[u32],
        arguments: &[String],
    ) -> (Answered, Vec<Call>) {
        let tracer = self.tracer(threads, arguments);
        let answered = send(&running.access, message).await;
        (answered, Self::told(tracer))
    }

    /// The same, killed when the trace shows what is aimed at; whether it was.
    async fn killed(
        &self,
        running: &mut Running,
        message: &Message,
        aim: &Aim,
        held: Duration,
    ) -> (Answered, Vec<Call>, bool) {
        let set = format!("{WRITES},{SYNCS},{NAMES}");
        let tracer = self.tracer(&[running.pid()], &trace(&set, &format!("delay_enter={}", held.as_micros()), true));
        let (access, message) = (running.access.clone(), message.clone());
        let sending = tokio::spawn(async move { send(&access, &message).await });
        let mut killed = false;
        while !killed && !sending.is_finished() {
            if aim.index(&tracer.seen()).is_some() {
                running.kill_now();
                killed = true;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let answered = sending.await.expect("the client's end");
        (answered, Self::told(tracer), killed)
    }

    fn tracer(&self, threads: &[u32], arguments: &[String]) -> Tracer {
        let output = self.traces.path().join("trace");
        let _ = std::fs::remove_file(&output);
        Tracer::attach(threads, &output, arguments).expect("a tracer, as before")
    }

    fn told(tracer: Tracer) -> Vec<Call> {
        let trace = tracer.detach();
        if wanted("CAUSEWAY_CRASH_TRACE") {
            println!("{trace}");
        }
        calls(&trace)
    }

    /// After the worst: it starts, and the submission is there as a whole or not at all; sent
    /// again it is answered with Success, and there once.
    async fn aftermath(&mut self, mut known: Vec<Known>, message: &Message, what: &str) {
        let mut report = check_audit(&self.data(), &known);
        let running = self.running().await;
        check_staging(&self.data(), &mut report);
        self.judge(report, what);
        self.judge(check(&running.access, &known).await, what);
        match send(&running.access, message).await {
            Answered::Success => known.iter_mut().for_each(|known| known.acknowledged = true),
            other => self.violations.push(format!("{what}: sent again after the start: {other:?}")),
        }
        self.judge(check(&running.access, &known).await, what);
        self.running = Some(running);
    }

    fn judge(&mut self, report: Report, what: &str) {
        self.violations.extend(report.violations.into_iter().map(|violation| format!("{what}: {violation}")));
    }

    fn finish(self) {
        drop(self.running);
        if !self.violations.is_empty() {
            println!("{}", self.installation.log_tail());
            let many = self.violations.len();
            panic!(
                "{many} violations, data in {}:\n{}",
                self.installation.keep().display(),
                self.violations.join("\n")
            );
        }
        println!("slowest start {:.0?}", self.slowest);
        assert!(self.slowest < READY, "a start took {:?}", self.slowest);
    }
}

/// What strace is to do at calls of a set.
fn trace(set: &str, inject: &str, follow: bool) -> Vec<String> {
    let mut arguments =
        vec!["-e".to_owned(), format!("trace={set}"), "-e".to_owned(), format!("inject={set}:{inject}")];
    arguments.extend(follow.then(|| "-f".to_owned()));
    arguments
}

/// The short form leaves out the long document.
fn sizes() -> &'static [usize] {
    if wanted("CAUSEWAY_CRASH_FULL") { &[1_000, 300_000] } else { &[1_000] }
}

/// `3 pwrite64 on registry log` and so on.
fn summary<'p>(places: impl Iterator<Item = &'p Place>) -> String {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (name, file, _) in places {
        *counts.entry((file, name)).or_default() += 1;
    }
    let texts: Vec<String> =
        counts.into_iter().map(|((file, name), count)| format!("{count} {name} on {file}")).collect();
    texts.join(", ")
}

#[test]
fn killed_at_each_write_sync_and_rename() {
    let _alone = alone();
    for metadata in STORES {
        let Some(traces) = tracing() else { return };
        run(async {
            let mut bench = Bench::new(traces, metadata);
            for size in sizes() {
                kill_at_each(&mut bench, *size).await;
            }
            bench.finish();
        });
    }
}

/// How many submissions were killed, and how many of them had been answered.
#[derive(Default)]
struct Counts {
    kills: usize,
    acknowledged: usize,
}

/// One submission killed at a call, and what is found afterwards judged. Answers with what was hit,
/// or with all calls of a submission that went through untouched.
async fn kill_at(
    bench: &mut Bench,
    size: usize,
    aim: &Aim,
    held: Duration,
    counts: &mut Counts,
) -> (Option<Place>, Option<Vec<Call>>) {
    let mut running = bench.running().await;
    let (mut known, message) = bench.submission(&running, size).await;
    let (answered, calls, killed) = bench.killed(&mut running, &message, aim, held).await;
    let what = format!("{size} octets, killed at {aim:?}");
    if !killed {
        if answered != Answered::Success {
            bench.violations.push(format!("{what}: not hit, and answered {answered:?}"));
        }
        bench.running = Some(running);
        return (None, Some(calls));
    }
    running.kill();
    counts.kills += 1;
    if let Some(known) = known.last_mut() {
        known.acknowledged = answered == Answered::Success;
        counts.acknowledged += usize::from(known.acknowledged);
    }
    let hit = aim.met(&calls);
    bench.aftermath(known, &message, &format!("{what} ({hit:?})")).await;
    (hit, None)
}

async fn kill_at_each(bench: &mut Bench, size: usize) {
    let began = Instant::now();
    let (mut hits, mut untouched): (BTreeSet<Place>, Vec<Place>) = Default::default();
    let mut counts = Counts::default();
    // One call after another, until a submission goes through untouched …
    for n in 1.. {
        assert!(n < MOST, "no submission ends untouched");
        let (hit, calls) = kill_at(bench, size, &Aim::Nth(n), HELD, &mut counts).await;
        hits.extend(hit);
        if let Some(calls) = calls {
            untouched = places(&calls);
            break;
        }
    }
    // … and then those that were missed.
    for pass in 1..=PASSES {
        let missed: Vec<Place> =
            untouched.iter().filter(|place| on_a_file(place) && !hits.contains(*place)).cloned().collect();
        for place in missed {
            let (hit, _) = kill_at(bench, size, &Aim::Place(place), HELD * pass, &mut counts).await;
            hits.extend(hit);
        }
    }
    let missed: Vec<&Place> = untouched.iter().filter(|place| on_a_file(place) && !hits.contains(place)).collect();
    println!(
        "{size} octets: {} kills in {:.0?}, {} of them behind the answer; a submission has {} calls\n  killed at: {}\n  \
         elsewhere: {}\n  missed: {missed:?}",
        counts.kills,
        began.elapsed(),
        counts.acknowledged,
        untouched.len(),
        summary(hits.iter().filter(|place| on_a_file(place))),
        summary(hits.iter().filter(|place| !on_a_file(place))),
    );
    // Of each kind one at least: sled does not write its log in the same pieces each time.
    let kinds: BTreeSet<_> = hits.iter().map(|(name, file, _)| (name.as_str(), *file)).collect();
    let blind: Vec<_> = missed.iter().filter(|(name, file, _)| !kinds.contains(&(name.as_str(), *file))).collect();
    assert!(blind.is_empty(), "calls of these kinds were never hit: {blind:?}");
}

#[test]
fn no_false_success_when_a_sync_fails() {
    let _alone = alone();
    let sled = [
        (DOCUMENTS, "fdatasync"),
        (DOCUMENTS, "fsync"),
        (REGISTRY_LOG, "sync_file_range"),
        (REGISTRY, "fdatasync"),
        (AUDIT, "fdatasync"),
    ];
    fail(STORES[0], &sled, "EIO");
    fail(STORES[1], &[(REGISTRY, "fdatasync")], "EIO");
}

#[test]
fn no_false_success_when_the_disk_is_full() {
    let _alone = alone();
    fail(STORES[0], &[(DOCUMENTS, "write"), (REGISTRY_LOG, "pwrite64"), (AUDIT, "pwrite64")], "ENOSPC");
    fail(STORES[1], &[(REGISTRY, "write")], "ENOSPC");
}

/// Makes each of these calls of these parts fail.
fn fail(metadata: &'static str, calls: &[(Part, &str)], error: &str) {
    let Some(traces) = tracing() else { return };
    run(async {
        let mut bench = Bench::new(traces, metadata);
        for size in sizes() {
            for (part, call) in calls {
                fail_at_each(&mut bench, *size, *part, call, error).await;
            }
        }
        bench.finish();
    });
}

async fn fail_at_each(bench: &mut Bench, size: usize, part: Part, call: &str, error: &str) {
    let (part, threads, files) = part;
    let began = Instant::now();
    let (mut hits, mut untouched): (BTreeSet<Place>, Vec<Place>) = Default::default();
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..PASSES {
        for n in 1.. {
            assert!(n < MOST, "no submission ends untouched");
            let running = bench.running().await;
            let (mut known, message) = bench.submission(&running, size).await;
            let all = threads.is_empty();
            let mut arguments = trace(call, &format!("error={error}:when={n}"), all);
            // Sockets, wake-ups and the audit trail are written to in the same way.
            let written: Vec<String> = match call {
                "write" | "fdatasync" if all => (0..64).map(|number| format!("documents/staging/{number}")).collect(),
                "write" => vec!["registry/db/0.jnl".to_owned()],
                _ => Vec::new(),
            };
            let paths = written.iter().map(|path| bench.data().join(path).display().to_string());
            arguments.extend(paths.flat_map(|path| ["-P".to_owned(), path]));
            let threads = if all { vec![running.pid()] } else { running.threads(threads) };
            let (answered, calls) = bench.traced(&running, &message, &threads, &arguments).await;
            let hit: Vec<Place> =
                calls.iter().zip(places(&calls)).filter(|(call, _)| call.injected).map(|(_, place)| place).collect();
            let what = format!("{size} octets, {part}: {error} at {call} {n} ({hit:?})");
            if hit.is_empty() {
                if answered != Answered::Success {
                    bench.violations.push(format!("{what}: not hit, and answered {answered:?}"));
                }
                untouched = places(&calls).into_iter().filter(|place| files.contains(&place.1)).collect();
                bench.running = Some(running);
                break;
            }
            if answered == Answered::Success {
                bench.violations.push(format!("{what}: answered Success"));
            }
            // Once more on the same broker: a sync that succeeds after one that failed proves
            // nothing. A disk that has room again is another matter.
            let again = send(&running.access, &message).await;
            if again == Answered::Success && error == "EIO" {
                bench.violations.push(format!("{what}: answered {answered:?}, and when sent again Success"));
            }
            if let Some(known) = known.last_mut() {
                known.acknowledged = answered == Answered::Success || again == Answered::Success;
            }
            let told = |answered: &Answered| match answered {
                Answered::Failure(text) if text.starts_with("XDS") => text.clone(),
                Answered::Failure(_) => "a fault".to_owned(),
                other => format!("{other:?}"),
            };
            *outcomes.entry(format!("{}, then {}", told(&answered), told(&again))).or_default() += 1;
            hits.extend(hit);
            running.kill();
            bench.aftermath(known, &message, &what).await;
        }
        if untouched.iter().all(|place| hits.contains(place)) {
            break;
        }
    }
    let missed: Vec<&Place> = untouched.iter().filter(|place| !hits.contains(place)).collect();
    println!(
        "{size} octets, {part}: {error} at {call}: {:.0?}, answers {outcomes:?}; failed: {}; missed: {missed:?}",
        began.elapsed(),
        summary(hits.iter()),
    );
    assert!(!hits.is_empty(), "{part}: no {call} was hit");
}
