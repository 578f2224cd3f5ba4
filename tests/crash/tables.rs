//! SIGKILL while fjall writes and merges its tables: a broker would do that once in thousands of
//! submissions, so here a process of its own does nothing but commit, with tables of 32 KiB.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway::model::ids::{EntryUuid, Oid, PatientId, UniqueId};
use causeway::model::metadata::{Noun, build};
use causeway::model::vocabulary::identifier;
use causeway::store::fjall::FjallStore;
use causeway::store::{Change, EmbeddedOptions, Put, Receipt, RegistryStore};

use crate::client::Octets;
use crate::{alone, number, run};

const FOLDER: &str = "CAUSEWAY_CRASH_TABLES";
const TABLE: u64 = 32 * 1024;
const WRITERS: u64 = 8;
/// Each change has so many entries of one patient, and takes those away that it had before the last.
const ENTRIES: u64 = 6;

fn open(folder: &Path) -> FjallStore {
    FjallStore::open_with(folder, EmbeddedOptions::default(), TABLE).expect("a store")
}

fn patient(writer: u64) -> PatientId {
    PatientId::new(&format!("W{writer}"), Oid::parse("2.999.50").expect("an OID")).expect("a patient id")
}

fn uuid(writer: u64, change: u64, entry: u64) -> EntryUuid {
    EntryUuid((u128::from(writer) << 96 | u128::from(change) << 32 | u128::from(entry)).to_be_bytes())
}

fn set_id(writer: u64, change: u64) -> UniqueId {
    UniqueId::parse(&format!("2.999.{writer}.{change}")).expect("a uniqueId")
}

fn change(writer: u64, number: u64) -> Change {
    let patient = patient(writer);
    let puts = (0..ENTRIES).map(|entry| {
        let mut object = build::document_entry(uuid(writer, number, entry).into(), "text/plain");
        object.common.names = build::name(format!("{number} {}", "x".repeat((number * 37 % 900) as usize)));
        object.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_cx()));
        Put::new(&object, &patient)
    });
    let removes =
        number.checked_sub(2).into_iter().flat_map(|old| (0..ENTRIES).map(move |entry| uuid(writer, old, entry)));
    let receipt = Receipt { set_unique_id: set_id(writer, number), message_id: number.to_string(), digest: [7; 32] };
    Change { puts: puts.collect(), removes: removes.collect(), receipts: vec![receipt], ..Change::default() }
}

/// The number behind the last change of a writer that is there; it must be there as a whole, and the
/// one before it, and nothing else.
async fn last(store: &FjallStore, writer: u64, from: u64) -> u64 {
    let mut next = from;
    while store.receipt(&set_id(writer, next)).await.expect("a receipt").is_some() {
        next += 1;
    }
    let objects = store.of_patient(&patient(writer), Noun::DocumentEntry).await.expect("entries");
    let found = objects.iter().filter_map(|object| object.uuid());
    let wanted = (next.saturating_sub(2)..next).flat_map(|n| (0..ENTRIES).map(move |entry| uuid(writer, n, entry)));
    assert!(found.eq(wanted), "writer {writer}: not the entries of the last two of {next} changes");
    next
}

/// The process that is killed; a test only so that this binary can be started for it.
#[test]
#[ignore = "run by killed_while_tables_are_written_and_merged"]
fn commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    run(async move {
        let store = Arc::new(open(Path::new(&folder)));
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for number in last(&store, writer, 0).await.. {
                        store.commit(change(writer, number)).await.expect("a commit");
                        println!("acknowledged {writer} {number}");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a writer's end");
        }
    });
}

#[test]
fn killed_while_tables_are_written_and_merged() {
    let _alone = alone();
    let rounds = number("CAUSEWAY_CRASH_ROUNDS", 3);
    let seed = number("CAUSEWAY_CRASH_SEED", std::process::id() as usize);
    let mut octets = Octets::of(seed as u64);
    let folder = tempfile::Builder::new().prefix("causeway-crash-").tempdir().expect("a temporary folder");
    let mut acknowledged = [0; WRITERS as usize];
    let (mut slowest, began) = (Duration::ZERO, Instant::now());
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", "tables::commits_until_it_is_killed", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process that commits");
        let output = child.stdout.take().expect("what it says");
        let reader = std::thread::spawn(move || {
            let mut said = [0; WRITERS as usize];
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let mut words =
                    line.split("acknowledged ").nth(1).unwrap_or_default().split(' ').map(str::parse::<u64>);
                // The last line may be cut off by the kill: then it is a smaller number.
                if let (Some(Ok(writer)), Some(Ok(number))) = (words.next(), words.next())
                    && let Some(said) = said.get_mut(writer as usize)
                {
                    *said = (*said).max(number + 1);
                }
            }
            said
        });
        std::thread::sleep(Duration::from_millis(150 + octets.next() % 500));
        child.kill().expect("a process to kill");
        child.wait().expect("a process to wait for");
        for (all, said) in acknowledged.iter_mut().zip(reader.join().expect("a reader's end")) {
            *all = said.max(*all);
        }
        let opening = Instant::now();
        let store = open(folder.path());
        slowest = slowest.max(opening.elapsed());
        run(async {
            for (writer, acknowledged) in (0..WRITERS).zip(acknowledged) {
                let there = last(&store, writer, 0).await;
                assert!(
                    there >= acknowledged,
                    "round {round}, seed {seed}: writer {writer} lost {there}, of {acknowledged}"
                );
            }
        });
    }
    // Its number is how many tables there have been.
    let tables = std::fs::read_dir(folder.path().join("db/keyspaces/1/tables")).expect("tables").flatten();
    let numbers = tables.filter_map(|table| table.file_name().to_str()?.parse::<usize>().ok());
    let tables = numbers.max().unwrap_or_default();
    assert!(tables > rounds, "{tables} tables were written in {rounds} rounds");
    let all: u64 = acknowledged.iter().sum();
    println!(
        "kill -9 with small tables: seed {seed}, {rounds} rounds in {:.0?}: {all} changes acknowledged, {tables} tables written; slowest opening {slowest:.0?}",
        began.elapsed(),
    );
    assert!(all > 10 * rounds as u64, "hardly anything was committed: {all}");
}
