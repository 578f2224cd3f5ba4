//! What holds for every engine, as tests: order after opening again, damage, failures, flushes shared.
//!
//! An engine's test module says `keyed_suite!(Store)`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::draft::{Look, View};
use super::layout::{
    Place, SCHEMA_KEY, Writes, decode_locator, decode_patient, decode_receipt, parts, patient_key, text_key,
};
use super::{Engine, KeyedStore};
use crate::model::metadata::Noun;
use crate::model::packed::PackedObject;
use crate::store::suite::{check_filled, entry, fill, patient, unique, uuid};
use crate::store::{Change, EmbeddedOptions, PAGE, RegistryStore, Reindexed, StoreError, StoreResult};

/// Runs each of the promises as a test of its own.
macro_rules! keyed_suite {
    ($store:ident) => {
        $crate::store::keyed::suite::keyed_cases!($store;
            opened_again_it_has_all_in_order, lost_and_false_indexes_are_made_anew,
            what_cannot_be_read_is_named_and_the_rest_is_given, many_share_a_flush_and_each_is_durable,
            damaged_records_are_errors, later_formats_are_refused, after_a_failure_only_reading_goes_on,
            a_full_volume_is_told_and_reading_goes_on, who_finds_a_receipt_waits_for_its_flush,
            two_cannot_have_it);
    };
}

macro_rules! keyed_cases {
    ($store:ident; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::store::keyed::suite::$case(|path: std::path::PathBuf, options| $store::open(path, options)).await;
            }
        )*
    };
}
pub(crate) use {keyed_cases, keyed_suite};

/// How an engine's store is opened.
pub(crate) type Open<E> = fn(PathBuf, EmbeddedOptions) -> StoreResult<KeyedStore<E>>;

fn reopen<E: Engine>(open: Open<E>, dir: &TempDir) -> KeyedStore<E> {
    open(dir.path().join("registry"), EmbeddedOptions::default()).unwrap()
}

fn make<E: Engine>(open: Open<E>) -> (KeyedStore<E>, TempDir) {
    let dir = TempDir::new().unwrap();
    (reopen(open, &dir), dir)
}

/// All that is there.
fn all<E: Engine>(store: &KeyedStore<E>, tag: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = store.read(|view| {
        let pairs = view.prefix(tag).map(|pair| {
            let (key, value) = pair?;
            Ok((key.as_ref().to_vec(), value.as_ref().to_vec()))
        });
        pairs.collect()
    });
    pairs.unwrap()
}

/// Writes under the store's feet.
fn set<E: Engine>(store: &KeyedStore<E>, key: &[u8], value: Option<&[u8]>) {
    let write = (key.to_vec(), value.map(Bytes::copy_from_slice));
    store.shared.engine.apply(Writes::from([write])).unwrap();
}

pub(crate) fn put(n: u32) -> Change {
    Change { puts: vec![entry(n, &patient(&(n / 20).to_string()), &format!("u.{n}"), "x")], ..Change::default() }
}

pub(crate) async fn opened_again_it_has_all_in_order<E: Engine>(open: Open<E>) {
    let (mut store, dir) = make(open);
    fill(&store).await;
    store.commit(put(1)).await.unwrap();
    for n in 2..6 {
        drop(store);
        store = reopen(open, &dir);
        check_filled(&store).await;
        store.commit(put(n)).await.unwrap();
    }
    let found = store.of_patient(&patient("0"), Noun::DocumentEntry).await.unwrap();
    assert!(found.iter().filter_map(PackedObject::uuid).eq((1..6).map(uuid)));
}

pub(crate) async fn lost_and_false_indexes_are_made_anew<E: Engine>(open: Open<E>) {
    let (store, dir) = make(open);
    fill(&store).await;
    store.commit(put(1)).await.unwrap();
    let whole = all(&store, b"");
    assert_eq!(store.reindex().await.unwrap(), Reindexed { objects: 4, ..Reindexed::default() });
    for tag in [b"u", b"x", b"a", b"c"] {
        let (key, value) = all(&store, tag).swap_remove(0);
        set(&store, &key, None);
        set(&store, &[key.as_slice(), b"stale"].concat(), Some(&value));
    }
    let done = store.reindex().await.unwrap();
    assert_eq!((done.objects, done.added, done.removed), (4, 4, 4));
    let again = all(&store, b"");
    assert_eq!(again, whole);
    drop(store);
    check_filled(&reopen(open, &dir)).await;
}

pub(crate) async fn what_cannot_be_read_is_named_and_the_rest_is_given<E: Engine>(open: Open<E>) {
    let (store, _dir) = make(open);
    for n in 0..4 {
        store.commit(put(n)).await.unwrap();
    }
    let records: Vec<_> = all(&store, b"p").into_iter().map(|(key, _)| key).collect();
    set(&store, &records[1], Some(&[0, 255]));
    set(&store, &records[2], Some(&[9]));
    set(&store, b"pshort", Some(&[0]));
    set(&store, b"dx", Some(&[9]));
    let page = store.page(None, None).await.unwrap();
    assert_eq!((page.items.len(), page.damaged.len(), page.next.is_none()), (2, 3, true), "{:?}", page.damaged);
    assert!(page.damaged[0].0.contains(&crate::store::hex(&records[1])));
    assert!(matches!(page.whole(), Err(StoreError::Damaged(_))));
    let documents = store.document_page(None).await.unwrap();
    assert_eq!((documents.items.len(), documents.damaged.len()), (0, 1));
    // Many of them do not end the reading.
    for n in 0..2 * PAGE {
        set(&store, format!("pbad{n}").as_bytes(), Some(&[0]));
    }
    let (mut items, mut damaged, mut next, mut pages) = (0, 0, None, 0);
    loop {
        let page = store.page(None, next.as_ref()).await.unwrap();
        pages += 1;
        (items, damaged) = (items + page.items.len(), damaged + page.damaged.len());
        let Some(more) = page.next else { break };
        next = Some(more);
    }
    assert_eq!((items, damaged, pages), (2, 3 + 2 * PAGE, 3));
    // Contents are not counted anew while a locator cannot be read: one of them might be taken for unused.
    assert!(matches!(store.reindex().await, Err(StoreError::Damaged(_))));
    set(&store, b"dx", None);
    let done = store.reindex().await.unwrap();
    assert_eq!((done.objects, done.damaged), (4, 3 + 2 * PAGE));
}

pub(crate) async fn many_share_a_flush_and_each_is_durable<E: Engine>(open: Open<E>) {
    let (store, dir) = make(open);
    let store = Arc::new(store);
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for n in 0..10 {
                    store.commit(put(task * 10 + n)).await.unwrap();
                    // What was answered is counted as flushed.
                    let shared = &store.shared;
                    assert!(shared.durable.load(Ordering::Acquire) > 0);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(store.flushes() < 320, "{} flushes", store.flushes());
    drop(store);
    let store = reopen(open, &dir);
    for n in 0..640 {
        assert!(store.by_uuid(uuid(n)).await.unwrap().is_some());
    }
}

/// Changes a value under the store's feet.
fn tamper<E: Engine>(store: &KeyedStore<E>, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let mut value = all(store, key).into_iter().find(|(found, _)| found == key).unwrap().1;
    change(&mut value);
    set(store, key, Some(&value));
}

pub(crate) async fn damaged_records_are_errors<E: Engine>(open: Open<E>) {
    let (store, _dir) = make(open);
    fill(&store).await;
    let p = patient("filled");
    let place = store.read(|view| view.place(uuid(900))).unwrap().unwrap();
    tamper(&store, &place.key(), |record| record[1] = 0xff);
    let is_damaged = |result: StoreResult<usize>| assert!(matches!(result, Err(StoreError::Damaged(_))), "{result:?}");
    is_damaged(store.of_patient(&p, Noun::DocumentEntry).await.map(|v| v.len()));
    is_damaged(store.by_uuid(uuid(900)).await.map(|v| v.iter().count()));
    is_damaged(store.by_unique_id(&unique("f.1")).await.map(|v| v.len()));
    // Replacing it would leave stale ways to it.
    let replaced = store.commit(Change { puts: vec![entry(900, &p, "n", "n")], ..Change::default() }).await;
    is_damaged(replaced.map(|()| 0));
    tamper(&store, &text_key(b'd', b"f.1"), |locator| locator.truncate(20));
    is_damaged(store.document(&unique("f.1")).await.map(|v| v.iter().count()));
    tamper(&store, &text_key(b'r', b"f.set"), |receipt| receipt[0] = 9);
    is_damaged(store.receipt(&unique("f.set")).await.map(|v| v.iter().count()));
    tamper(&store, &patient_key(&patient("named")), Vec::clear);
    is_damaged(store.knows_patient(&patient("named")).await.map(usize::from));
    set(&store, &place.key(), None);
    is_damaged(store.by_uuid(uuid(900)).await.map(|v| v.iter().count()));
    // The rest is as it was.
    assert!(store.by_uuid(uuid(901)).await.unwrap().is_some());
    store.commit(put(1)).await.unwrap();
}

pub(crate) async fn later_formats_are_refused<E: Engine>(open: Open<E>) {
    let (store, dir) = make(open);
    tamper(&store, SCHEMA_KEY, |schema| schema[3] += 1);
    drop(store);
    let again = open(dir.path().join("registry"), EmbeddedOptions::default());
    assert!(matches!(again, Err(StoreError::Failed(text)) if text.contains("version")));
}

pub(crate) async fn two_cannot_have_it<E: Engine>(open: Open<E>) {
    let (store, dir) = make(open);
    fill(&store).await;
    let second = open(dir.path().join("registry"), EmbeddedOptions::default());
    assert!(matches!(second.map(|_| ()), Err(StoreError::Failed(_))));
    check_filled(&store).await;
}

pub(crate) async fn after_a_failure_only_reading_goes_on<E: Engine>(open: Open<E>) {
    let (store, _dir) = make(open);
    fill(&store).await;
    store.shared.failed.store(true, Ordering::Release);
    assert!(matches!(store.commit(put(1)).await, Err(StoreError::Failed(_))));
    check_filled(&store).await;
    // A receipt that may be lost is not shown to anybody.
    store.shared.applied.fetch_add(1, Ordering::AcqRel);
    assert!(matches!(store.receipt(&unique("f.set")).await, Err(StoreError::Failed(_))));
}

pub(crate) async fn a_full_volume_is_told_and_reading_goes_on<E: Engine>(open: Open<E>) {
    let (store, dir) = make(open);
    fill(&store).await;
    drop(store);
    let options = EmbeddedOptions { reserve: Some(u64::MAX), ..EmbeddedOptions::default() };
    let store = open(dir.path().join("registry"), options).unwrap();
    assert!(matches!(store.commit(put(1)).await, Err(StoreError::Full(_))));
    assert!(store.by_uuid(uuid(1)).await.unwrap().is_none());
    check_filled(&store).await;
}

pub(crate) async fn who_finds_a_receipt_waits_for_its_flush<E: Engine>(open: Open<E>) {
    let (store, _dir) = make(open);
    fill(&store).await;
    store.shared.durable.fetch_sub(1, Ordering::AcqRel);
    assert!(store.receipt(&unique("f.set")).await.unwrap().is_some());
    assert_eq!(store.shared.durable.load(Ordering::Acquire), store.shared.applied.load(Ordering::Acquire));
}

proptest! {
    #[test]
    fn decoding_anything_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Place::decode(&bytes);
        let _ = Place::of_index(&bytes, &bytes);
        let _ = decode_patient(&bytes);
        let _ = decode_locator(&unique("u"), &bytes);
        let _ = decode_receipt(&unique("u"), &bytes);
        let _ = parts(&bytes);
    }

    #[test]
    fn order_of_keys_is_order_of_numbers(a in any::<u64>(), b in any::<u64>()) {
        let key = |sequence| Place { patient: 1, noun: 1, sequence }.key();
        prop_assert_eq!(a.cmp(&b), key(a).cmp(&key(b)));
        let place = Place { patient: a, noun: 3, sequence: b };
        prop_assert!(Place::decode(&place.encode()).unwrap() == place);
    }
}
