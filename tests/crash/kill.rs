//! SIGKILL at random under sixteen submitting clients.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use causeway::model::response::ResponseStatus;

use crate::broker::{Installation, READY};
use crate::check::{Known, check, check_audit, check_documents, check_staging};
use crate::client::{Access, Message, Octets, Submission};
use crate::{STORES, alone, number, run};

const CLIENTS: u64 = 16;
/// Rounds after which each client goes on to its next patient: checks stay of one size.
const ROUNDS_PER_PATIENT: u64 = 4;
/// Older patients that a round looks at again.
const SAMPLE: usize = 4;
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One client: what it sent, and what it has not had an answer to.
#[derive(Default)]
struct Source {
    number: u64,
    known: Vec<Known>,
    pending: Option<(usize, Message)>,
    /// Answers that were neither Success nor Busy.
    refused: Vec<String>,
    retried: usize,
}

impl Source {
    /// The next submission, by turns with given or assigned entryUUIDs; every third replaces.
    fn next(&self, round: u64, octets: &mut Octets) -> Submission {
        let patient = format!("P{}-{}^^^&2.999.826.2.1.1&ISO", self.number, round / ROUNDS_PER_PATIENT);
        // Mostly short, up to 300 KB; in memory below 256 KiB, through a staged file above.
        let draw = octets.next();
        let size =
            1_000 + usize::try_from(draw % if draw & (1 << 40) == 0 { 299_001 } else { 20_000 }).unwrap_or_default();
        let mut submission = Submission::new(NEXT.fetch_add(1, Ordering::Relaxed), &patient, size);
        if octets.next().is_multiple_of(3) {
            let replaced = |number| self.known.iter().any(|k| k.submission.replaces.is_some_and(|(n, _)| n == number));
            submission.replaces = self.known.iter().rev().find_map(|known| {
                let old = &known.submission;
                let usable = known.acknowledged && old.patient == patient && !replaced(old.number);
                old.uuid.filter(|_| usable).map(|uuid| (old.number, uuid))
            });
        }
        if octets.next().is_multiple_of(4) {
            submission.uuid = None;
        }
        submission
    }

    /// Submits until the connection breaks, beginning with what has no answer yet.
    async fn submit(mut self, access: Access, round: u64) -> Self {
        let mut octets = Octets::of(round * CLIENTS + self.number + 7);
        loop {
            let (index, message) = self.pending.take().inspect(|_| self.retried += 1).unwrap_or_else(|| {
                let submission = self.next(round, &mut octets);
                let message = submission.message();
                self.known.push(Known { submission, acknowledged: false });
                (self.known.len() - 1, message)
            });
            match access.provide(&message).await {
                Ok(Ok(response)) if response.status == ResponseStatus::Success => self.known[index].acknowledged = true,
                Ok(Ok(response)) if response.errors.iter().all(|error| error.code.as_str().ends_with("Busy")) => {
                    self.pending = Some((index, message));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(other) => {
                    let id = self.known[index].submission.unique_id();
                    self.refused.push(format!("{id}: refused: {other:?}"));
                    return self;
                }
                Err(_) => {
                    self.pending = Some((index, message));
                    return self;
                }
            }
        }
    }
}

#[test]
fn killed_at_random_under_sixteen_clients() {
    let _alone = alone();
    for metadata in STORES {
        run(rounds(metadata, u64::try_from(number("CAUSEWAY_CRASH_ROUNDS", 3)).expect("a number of rounds")));
    }
}

async fn rounds(metadata: &'static str, rounds: u64) {
    let began = Instant::now();
    let installation = Installation::new(metadata, 1, &[]);
    let data = installation.folder().join("data");
    let seed = number("CAUSEWAY_CRASH_SEED", usize::try_from(std::process::id()).unwrap_or(1));
    let mut octets = Octets::of(u64::try_from(seed).unwrap_or(1));
    let mut sources: Vec<Source> = (0..CLIENTS).map(|number| Source { number, ..Source::default() }).collect();
    let (mut slowest, mut whole, mut absent, mut documents) = (Duration::ZERO, 0, 0, 0);
    let mut violations: Vec<String> = Vec::new();
    for round in 0..rounds {
        let running = installation.start(&[], &[]);
        slowest = slowest.max(running.ready_after);
        let mut report = check(&running.access, &selection(&sources, round, &mut octets)).await;
        check_staging(&data, &mut report);
        whole += report.whole;
        absent += report.absent;
        documents += report.documents;
        let tasks: Vec<_> =
            sources.into_iter().map(|source| tokio::spawn(source.submit(running.access.clone(), round))).collect();
        tokio::time::sleep(Duration::from_millis(20 + octets.next() % 381)).await;
        running.kill();
        sources = Vec::new();
        for task in tasks {
            sources.push(task.await.expect("a client's end"));
        }
        violations.extend(report.violations);
        violations.extend(sources.iter_mut().flat_map(|source| std::mem::take(&mut source.refused)));
        if rounds <= 20 || round % 10 == 9 {
            violations.extend(check_audit(&data, &everything(&sources)).violations);
        }
        if !violations.is_empty() {
            break;
        }
    }
    let all = everything(&sources);
    violations.extend(check_audit(&data, &all).violations);
    let running = installation.start(&[], &[]);
    slowest = slowest.max(running.ready_after);
    let mut report = check(&running.access, &all).await;
    let contents = check_documents(&data, &mut report);
    whole += report.whole;
    absent += report.absent;
    violations.append(&mut report.violations);
    // What has no answer yet is sent once more, as it was.
    let retried: usize = sources.iter().map(|source| source.retried).sum();
    let mut again = 0;
    for source in &mut sources {
        if let Some((index, message)) = source.pending.take() {
            again += 1;
            match running.access.provide(&message).await {
                Ok(Ok(response)) if response.status == ResponseStatus::Success => {
                    source.known[index].acknowledged = true
                }
                other => violations.push(format!("sent again: {other:?}")),
            }
        }
    }
    let last = check(&running.access, &everything(&sources)).await;
    violations.extend(last.violations);
    let acknowledged = everything(&sources).iter().filter(|known| known.acknowledged).count();
    println!(
        "kill -9, {metadata}: seed {seed}, {rounds} rounds in {:.0?}: {} submissions sent, {acknowledged} acknowledged, {} messages sent again; \
         without an answer at a kill: {whole} whole, {absent} absent; {} documents compared in rounds, {} at the end; \
         {contents} contents on disk; slowest start {slowest:.0?}",
        began.elapsed(),
        all.len(),
        retried + again,
        documents,
        report.documents,
    );
    if !violations.is_empty() {
        drop(running);
        println!("{}", installation.log_tail());
        panic!(
            "{} violations, data in {}:\n{}",
            violations.len(),
            installation.keep().display(),
            violations.join("\n")
        );
    }
    assert!(
        all.len() > usize::try_from(rounds).unwrap_or_default() * 4,
        "hardly anything was submitted: {}",
        all.len()
    );
    assert!(slowest < READY, "a start took {slowest:?}");
}

fn everything(sources: &[Source]) -> Vec<Known> {
    sources.iter().flat_map(|source| source.known.iter().cloned()).collect()
}

/// What is known of the patients of this round and the last, and of a few older ones.
fn selection(sources: &[Source], round: u64, octets: &mut Octets) -> Vec<Known> {
    let all = everything(sources);
    let recent: Vec<String> = [round / ROUNDS_PER_PATIENT, round.saturating_sub(1) / ROUNDS_PER_PATIENT]
        .iter()
        .map(|turn| format!("-{turn}^"))
        .collect();
    let mut patients: Vec<String> = all
        .iter()
        .map(|known| known.submission.patient.clone())
        .filter(|p| recent.iter().any(|turn| p.contains(turn)))
        .collect();
    for _ in 0..SAMPLE.min(all.len()) {
        let index = usize::try_from(octets.next() % (all.len() as u64)).unwrap_or_default();
        patients.push(all[index].submission.patient.clone());
    }
    all.into_iter().filter(|known| patients.contains(&known.submission.patient)).collect()
}
