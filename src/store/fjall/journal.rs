//! fjall's journals (its format 3), looked at before fjall does.
//!
//! A journal is a file `N.jnl`, the highest N being the one that is written. It has batches, and zeros
//! behind them; numbers are little-endian:
//!
//! ```text
//! batch  1 | items(4) | sequence(8) | item … | 3 | XXH3 of the items(8) | "FJL" 3
//! item   2 | kind(1) | compression(1) | keyspace(8) | key length(2) | length(4) | stored length(4) | key | value
//! item   4 | keyspace(8)
//! ```
//!
//! Each batch is synced before the next is begun, and none is begun after one has failed. So a loss of
//! power, or a disk that fails, can tear the last batch of all only, in any order of its pages: it was
//! never acknowledged, and is cut off. Whatever cannot be read before a whole batch has been damaged
//! otherwise, and belongs to what was acknowledged: then nothing is touched, and the store does not open.
//!
//! A last batch that is whole may not be on the disk, though it can be read: its sync may have failed,
//! and the kernel keeps what it could not write. It is written once more, and synced, before anybody is
//! told of it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::store::{StoreError, StoreResult};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
/// What an item has before its key.
const ITEM_HEAD: usize = 20;

/// Cuts off a torn last batch, or writes a whole one once more.
///
/// # Errors
/// When a journal is damaged, or cannot be read or cut.
pub fn mend(folder: &Path) -> StoreResult<()> {
    let mut journals = journals(folder)?;
    whole(&journals)?;
    // The next one is made before the last is given up, and may be empty when that is torn.
    let mut last = None;
    while last.is_none()
        && let Some(journal) = journals.pop()
    {
        last = look(&journal)?.map(|found| (journal, found));
    }
    let Some((journal, found)) = last else { return Ok(()) };
    for closed in journals {
        match look(&closed)? {
            Some(Found { torn: None, .. }) => {}
            // It was given up because it was full.
            other => return Err(damaged(&closed, other.map_or(0, |found| found.valid))),
        }
    }
    let mut file = OpenOptions::new().read(true).write(true).open(&journal)?;
    match found.torn {
        Some(torn) if torn.followed => return Err(damaged(&journal, found.valid)),
        Some(torn) => {
            let octets = torn.written - found.valid;
            let aside = keep(&mut file, &journal, found.valid, torn.written)?;
            tracing::warn!(
                octets, kept = %aside.display(),
                "the last write to the registry is torn, as one that was not acknowledged may be: it is cut off, and kept aside"
            );
            file.set_len(found.valid)?;
        }
        None => {}
    }
    let mut batch = Vec::new();
    file.seek(SeekFrom::Start(found.last))?;
    (&file).take(found.valid - found.last).read_to_end(&mut batch)?;
    file.seek(SeekFrom::Start(found.last))?;
    file.write_all(&batch)?;
    Ok(file.sync_all()?)
}

/// Journals are made and given up one after the other: none is missing between others, and one is there.
fn whole(journals: &[PathBuf]) -> StoreResult<()> {
    let numbers: Vec<u64> = journals.iter().filter_map(|journal| number(journal)).collect();
    if !numbers.is_empty() && numbers.windows(2).all(|pair| matches!(pair, [a, b] if a.checked_add(1) == Some(*b))) {
        return Ok(());
    }
    Err(super::missing("a journal"))
}

/// Copies what is cut off beside the database: somebody may want to know what it was.
fn keep(file: &mut File, journal: &Path, from: u64, to: u64) -> StoreResult<PathBuf> {
    let name = format!("torn-{}-{from}", journal.file_stem().unwrap_or_default().display());
    let aside = journal.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join(name);
    file.seek(SeekFrom::Start(from))?;
    let mut copy = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    std::io::copy(&mut (&*file).take(to - from), &mut copy)?;
    Ok(aside)
}

fn damaged(journal: &Path, at: u64) -> StoreError {
    let name = journal.file_name().unwrap_or_default().display();
    StoreError::Damaged(format!(
        "{name} cannot be read from octet {at} on, where there are acknowledged changes. Nothing was touched. \
         Restore the folder from a backup, or import an export"
    ))
}

/// The journals there are, in order.
fn journals(folder: &Path) -> StoreResult<Vec<PathBuf>> {
    let mut journals: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(number) = number(&path) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// The number of a journal.
fn number(path: &Path) -> Option<u64> {
    let stem = path.file_stem().filter(|_| path.extension().is_some_and(|extension| extension == "jnl"))?;
    stem.to_str()?.parse().ok()
}

/// What there is in a journal.
struct Found {
    /// Where the last whole batch begins.
    last: u64,
    /// Where it ends.
    valid: u64,
    /// What follows it, besides zeros.
    torn: Option<Torn>,
}

/// Something that is no whole batch.
struct Torn {
    /// Where the last octet is that is not zero.
    written: u64,
    /// Whether there are whole batches behind what cannot be read.
    followed: bool,
}

/// Reads all batches; `None` if there is nothing but zeros.
fn look(journal: &Path) -> StoreResult<Option<Found>> {
    let mut reader = Counted { inner: BufReader::with_capacity(256 * 1024, File::open(journal)?), at: 0 };
    let (mut last, mut valid) = (0, 0);
    while batch(&mut reader)?.is_some() {
        (last, valid) = (valid, reader.at);
    }
    let mut file = reader.inner.into_inner();
    let end = file.metadata()?.len();
    let Some((first, written)) = written(&mut file, valid, end)? else {
        return Ok((valid > 0).then_some(Found { last, valid, torn: None }));
    };
    // Only what has been written since: at most a batch, unless there is damage.
    let mut rest = vec![0; usize::try_from(written - first).map_err(|_| damaged(journal, valid))?];
    file.seek(SeekFrom::Start(first))?;
    file.read_exact(&mut rest)?;
    let mut followed = false;
    for at in 0..rest.len() {
        if rest.get(at) == Some(&START) {
            let mut reader = Counted { inner: rest.get(at..).unwrap_or_default(), at: 0 };
            followed |= batch(&mut reader)?.is_some();
        }
    }
    Ok(Some(Found { last, valid, torn: Some(Torn { written, followed }) }))
}

/// From the first octet that is not zero to behind the last.
fn written(file: &mut File, from: u64, to: u64) -> StoreResult<Option<(u64, u64)>> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = file.take(to - from);
    let (mut at, mut found) = (from, None);
    let (mut chunk, zeros) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let read = reader.read(&mut chunk)?;
        let Some(chunk) = chunk.get(..read).filter(|chunk| !chunk.is_empty()) else { return Ok(found) };
        if zeros.get(..read) == Some(chunk) {
            // Nearly always.
        } else if let (Some(first), Some(last)) =
            (chunk.iter().position(|octet| *octet != 0), chunk.iter().rposition(|octet| *octet != 0))
        {
            let first = found.map_or(at + first as u64, |(first, _)| first);
            found = Some((first, at + last as u64 + 1));
        }
        at += read as u64;
    }
}

/// A reader that knows how far it is.
struct Counted<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Counted<R> {
    /// So many octets; `None` if there are fewer.
    fn take<const N: usize>(&mut self) -> std::io::Result<Option<[u8; N]>> {
        let mut octets = [0; N];
        Ok(self.fill(&mut octets)?.then_some(octets))
    }

    fn fill(&mut self, octets: &mut [u8]) -> std::io::Result<bool> {
        match self.inner.read_exact(octets) {
            Ok(()) => {
                self.at += octets.len() as u64;
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Reads a batch; `None` if there is no whole one.
fn batch<R: Read>(reader: &mut Counted<R>) -> std::io::Result<Option<()>> {
    let Some([START, count @ .., _, _, _, _, _, _, _, _]) = reader.take::<13>()? else { return Ok(None) };
    let mut sum = Xxh3::new();
    let mut octets = Vec::new();
    for _ in 0..u32::from_le_bytes(count) {
        if !item(reader, &mut octets)? {
            return Ok(None);
        }
        sum.update(&octets);
    }
    let Some([END, digest @ ..]) = reader.take::<9>()? else { return Ok(None) };
    let trailer = reader.take::<4>()?;
    Ok((u64::from_le_bytes(digest) == sum.digest() && trailer.as_ref().map(<[u8; 4]>::as_slice) == Some(TRAILER))
        .then_some(()))
}

/// Reads an item.
fn item<R: Read>(reader: &mut Counted<R>, octets: &mut Vec<u8>) -> std::io::Result<bool> {
    octets.clear();
    let Some([tag]) = reader.take::<1>()? else { return Ok(false) };
    octets.push(tag);
    match tag {
        ITEM => {
            let Some(head) = reader.take::<ITEM_HEAD>()? else { return Ok(false) };
            let [_, _, _, _, _, _, _, _, _, _, key @ .., _, _, _, _, _, _, _, _] = head;
            let [.., a, b, c, d] = head;
            octets.extend_from_slice(&head);
            let length = u64::from(u16::from_le_bytes(key)) + u64::from(u32::from_le_bytes([a, b, c, d]));
            let read = (&mut reader.inner).take(length).read_to_end(octets)?;
            reader.at += read as u64;
            Ok(read as u64 == length)
        }
        CLEAR => {
            let Some(keyspace) = reader.take::<8>()? else { return Ok(false) };
            octets.extend_from_slice(&keyspace);
            Ok(true)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::super::FjallStore;
    use super::*;
    use crate::store::keyed::suite::put;
    use crate::store::suite::{check_filled, entry, fill, patient, unique, uuid};
    use crate::store::{Change, EmbeddedOptions, Receipt, RegistryStore};
    use proptest::prelude::*;
    use tempfile::TempDir;

    fn open(dir: &TempDir) -> StoreResult<FjallStore> {
        FjallStore::open(dir.path(), EmbeddedOptions::default())
    }

    fn journal(dir: &TempDir) -> PathBuf {
        journals(&dir.path().join("db")).unwrap().remove(0)
    }

    /// A change of several pages.
    fn long(n: u32) -> Change {
        let title: String = (0..30_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        Change { puts: vec![entry(n, &patient("long"), &format!("long.{n}"), &title)], ..Change::default() }
    }

    /// A store with two changes that are long, and where each begins and ends in the journal.
    async fn two_long_ones(dir: &TempDir) -> (u64, u64, u64) {
        let store = open(dir).unwrap();
        fill(&store).await;
        let end = || {
            let mut reader = Counted { inner: BufReader::new(File::open(journal(dir)).unwrap()), at: 0 };
            let mut valid = 0;
            while batch(&mut reader).unwrap().is_some() {
                valid = reader.at;
            }
            valid
        };
        let mut ends = [end(), 0, 0];
        for n in 1..3 {
            store.commit(long(n)).await.unwrap();
            ends[n as usize] = end();
        }
        (ends[0], ends[1], ends[2])
    }

    fn zero(dir: &TempDir, from: u64, to: u64) {
        let mut file = OpenOptions::new().write(true).open(journal(dir)).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        file.write_all(&vec![0; (to - from) as usize]).unwrap();
    }

    async fn there(store: &FjallStore, n: u32) -> bool {
        store.by_uuid(uuid(n)).await.unwrap().is_some()
    }

    #[tokio::test]
    async fn a_torn_last_write_is_cut_off_whichever_page_is_missing() {
        for missing in [0, 1, 4, 7] {
            let dir = TempDir::new().unwrap();
            let (_, begin, end) = two_long_ones(&dir).await;
            assert!(end - begin > 7 * 4096, "several pages");
            let page = (begin / 4096 + missing) * 4096;
            zero(&dir, page.max(begin), (page + 4096).min(end));
            let store = open(&dir).unwrap();
            check_filled(&store).await;
            assert_eq!((there(&store, 1).await, there(&store, 2).await), (true, false), "page {missing}");
            // What comes then is kept as ever.
            store.commit(long(3)).await.unwrap();
            drop(store);
            let store = open(&dir).unwrap();
            assert_eq!((there(&store, 1).await, there(&store, 2).await, there(&store, 3).await), (true, false, true));
        }
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_never_cut_off() {
        for (at, length) in [(0, 1), (13, 1), (100, 4096), (5000, 1), (20_000, 4096)] {
            let dir = TempDir::new().unwrap();
            let (before, _, end) = two_long_ones(&dir).await;
            zero(&dir, before + at, before + at + length);
            let refused = open(&dir).map(|_| ());
            assert!(
                matches!(&refused, Err(StoreError::Damaged(text)) if text.contains(&format!("octet {before}"))),
                "{refused:?}"
            );
            assert!(fs::metadata(journal(&dir)).unwrap().len() >= end, "nothing was touched");
        }
    }

    /// The bytes of a whole batch.
    fn whole_batch() -> Vec<u8> {
        let item = [&[ITEM][..], &[0; 10], &1_u16.to_le_bytes(), &[0; 8], b"k"].concat();
        let mut sum = Xxh3::new();
        sum.update(&item);
        let (count, sequence) = (1_u32.to_le_bytes(), 99_u64.to_le_bytes());
        [&[START][..], &count, &sequence, &item, &[END], &sum.digest().to_le_bytes(), TRAILER].concat()
    }

    #[tokio::test]
    async fn a_torn_end_is_the_last_of_all_or_damage() {
        let dir = TempDir::new().unwrap();
        let (_, begin, end) = two_long_ones(&dir).await;
        let db = dir.path().join("db");
        // A journal that was begun when the one before it could not be written any more closes nothing.
        fs::write(db.join("1.jnl"), [0; 100]).unwrap();
        zero(&dir, begin + 5000, end);
        mend(&db).unwrap();
        assert_eq!(look(&journal(&dir)).unwrap().unwrap().valid, begin);
        let kept = fs::read(dir.path().join(format!("torn-0-{begin}"))).unwrap();
        assert_eq!(kept.len(), 5000);
        // One that has a batch does.
        let dir = TempDir::new().unwrap();
        let (_, begin, end) = two_long_ones(&dir).await;
        let db = dir.path().join("db");
        zero(&dir, begin + 5000, end);
        fs::write(db.join("1.jnl"), whole_batch()).unwrap();
        assert!(look(&db.join("1.jnl")).unwrap().is_some_and(|found| found.torn.is_none()));
        assert!(matches!(mend(&db), Err(StoreError::Damaged(_))));
        // One that has become nothing but zeros is none that was given up because it was full.
        fs::write(journal(&dir), [0; 100]).unwrap();
        assert!(matches!(mend(&db), Err(StoreError::Damaged(_))));
        // One is missing between two, or all are.
        fs::rename(db.join("1.jnl"), db.join("2.jnl")).unwrap();
        assert!(matches!(mend(&db), Err(StoreError::Damaged(_))));
        for journal in journals(&db).unwrap() {
            fs::remove_file(journal).unwrap();
        }
        assert!(matches!(mend(&db), Err(StoreError::Damaged(_))));
    }

    #[tokio::test]
    async fn a_long_value_is_no_damage() {
        let dir = TempDir::new().unwrap();
        let store = open(&dir).unwrap();
        let message_id = "m".repeat(3 << 20);
        let receipts = vec![Receipt { set_unique_id: unique("1.2"), message_id, digest: [1; 32] }];
        store.commit(Change { receipts: receipts.clone(), ..Change::default() }).await.unwrap();
        drop(store);
        let store = open(&dir).unwrap();
        assert!(store.receipt(&unique("1.2")).await.unwrap() == receipts.first().cloned());
    }

    #[tokio::test]
    async fn real_journals_one_after_another() {
        let dir = TempDir::new().unwrap();
        let open = || FjallStore::open_with(dir.path(), EmbeddedOptions::default(), 4 << 20).unwrap();
        let store = open();
        let title: String = (0..400_000).map(|at| char::from(b'a' + (at % 23) as u8)).collect();
        let db = dir.path().join("db");
        let mut n = 0;
        while journals(&db).unwrap().last().is_some_and(|last| last.ends_with("0.jnl")) {
            let change =
                Change { puts: vec![entry(n, &patient("long"), &format!("long.{n}"), &title)], ..Change::default() };
            store.commit(change).await.unwrap();
            n += 1;
            assert!(n < 1000, "no second journal");
        }
        store.commit(put(5000)).await.unwrap();
        for journal in journals(&db).unwrap() {
            assert!(look(&journal).unwrap().is_none_or(|found| found.torn.is_none()), "{}", journal.display());
        }
        drop(store);
        let store = open();
        for n in (0..n).chain([5000]) {
            assert!(there(&store, n).await, "{n}");
        }
    }

    #[tokio::test]
    async fn it_reads_what_fjall_writes() {
        let dir = TempDir::new().unwrap();
        let store = open(&dir).unwrap();
        for n in 0..50 {
            store.commit(put(n)).await.unwrap();
            store.commit(Change { removes: vec![uuid(n)], ..Change::default() }).await.unwrap();
        }
        drop(store);
        let mut reader = Counted { inner: BufReader::new(File::open(journal(&dir)).unwrap()), at: 0 };
        let mut batches = 0;
        while batch(&mut reader).unwrap().is_some() {
            batches += 1;
        }
        // Those, and the one that makes a registry of it.
        assert_eq!(batches, 101);
        assert!(look(&journal(&dir)).unwrap().unwrap().torn.is_none());
    }

    proptest! {
        #[test]
        fn reading_anything_is_no_panic(bytes in prop::collection::vec(0..5_u8, 0..300)) {
            let _ = batch(&mut Counted { inner: bytes.as_slice(), at: 0 });
        }
    }
}
