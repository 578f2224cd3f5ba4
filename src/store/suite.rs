//! The promises of this room as tests: every backend runs all of them.
//!
//! A backend's test module says `registry_suite!(make)` or `document_suite!(make)`, where `make`
//! gives a fresh store with whatever must outlive it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::files::ContentHasher;
use super::{
    Change, Content, Cursor, DocumentLocator, DocumentReader, DocumentStore, Expectation, Page, Put, Receipt,
    RegistryStore, StagedDocument, StoreError, StoreResult,
};
use crate::model::document::BodyError;
use crate::model::ids::{EntryUuid, Oid, PatientId, UniqueId};
use crate::model::metadata::{Noun, build};
use crate::model::packed::PackedObject;
use crate::model::rim::{ObjectId, RegistryObject, Slot};
use crate::model::vocabulary::{self as v, identifier};

/// Runs each of the registry's promises as a test of its own.
macro_rules! registry_suite {
    ($make:expr) => {
        $crate::store::suite::cases!($make;
            lookups, order_and_replacement, moves_between_patients, names_with_common_beginnings, expectations,
            nothing_of_a_refused_change_stays, one_change_many_puts, receipts_and_patients, locators, long_values,
            readers_see_all_or_nothing, one_of_many_wins, versions, removal_of_objects, withdrawal, pages);
    };
}

/// Runs each of the document store's promises as a test of its own.
macro_rules! document_suite {
    ($make:expr) => {
        $crate::store::suite::cases!($make;
            reads_what_was_written, staged_is_not_visible, publishing_twice, a_set_of_documents, removal);
    };
}

macro_rules! cases {
    ($make:expr; $($case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let (store, _kept) = ($make)();
                $crate::store::suite::$case(std::sync::Arc::new(store)).await;
            }
        )*
    };
}
pub(crate) use {cases, document_suite, registry_suite};

pub(crate) fn patient(id: &str) -> PatientId {
    PatientId::new(id, Oid::parse("2.999.50").unwrap()).unwrap()
}

pub(crate) fn unique(text: &str) -> UniqueId {
    UniqueId::parse(text).unwrap()
}

pub(crate) fn uuid(n: u32) -> EntryUuid {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    EntryUuid(bytes)
}

fn pack_put(object: &RegistryObject<'_>, patient: PatientId) -> Put {
    Put::new(object, &patient)
}

/// A DocumentEntry of that patient.
pub(crate) fn entry(n: u32, patient: &PatientId, unique_id: &str, title: &str) -> Put {
    entry_of_status(n, patient, unique_id, title, v::APPROVED)
}

fn entry_of_status(n: u32, patient: &PatientId, unique_id: &str, title: &str, status: &'static str) -> Put {
    let mut object = build::document_entry(uuid(n).into(), "application/pdf");
    object.common.status = Some(status.into());
    object.common.names = build::name(title.to_owned());
    object.identifiers.push(build::external_identifier(identifier::ENTRY_PATIENT_ID, patient.to_cx()));
    object.identifiers.push(build::external_identifier(identifier::ENTRY_UNIQUE_ID, unique_id.to_owned()));
    pack_put(&object, patient.clone())
}

fn member(n: u32, patient: &PatientId, source: u32, target: u32) -> Put {
    let (source, target) = (uuid(source), uuid(target));
    let object = build::original(uuid(n).into(), source.into(), ObjectId::Uuid(target));
    pack_put(&object, patient.clone())
}

fn puts(puts: impl IntoIterator<Item = Put>) -> Change {
    Change { puts: puts.into_iter().collect(), ..Change::default() }
}

fn locator(unique_id: &str, content: Content) -> DocumentLocator {
    DocumentLocator { unique_id: unique(unique_id), content, mime_type: "text/plain".into() }
}

fn titles(objects: &[PackedObject]) -> Vec<String> {
    objects.iter().map(|o| o.unpack().unwrap().title().unwrap_or_default().to_owned()).collect()
}

fn uuids(objects: &[PackedObject]) -> Vec<EntryUuid> {
    objects.iter().filter_map(PackedObject::uuid).collect()
}

async fn titles_of(store: &impl RegistryStore, patient: &PatientId) -> Vec<String> {
    titles(&store.of_patient(patient, Noun::DocumentEntry).await.unwrap())
}

async fn conflicts(store: &impl RegistryStore, expectation: Expectation) -> bool {
    let change = Change { expects: vec![expectation], ..Change::default() };
    match store.commit(change).await {
        Ok(()) => false,
        Err(StoreError::Conflict) => true,
        Err(other) => panic!("{other}"),
    }
}

/// Puts one of each kind of thing, for [`check_filled`] to find, perhaps after opening again.
pub(crate) async fn fill(store: &impl RegistryStore) {
    let p = patient("filled");
    let change = Change {
        puts: vec![entry(900, &p, "f.1", "first"), entry(901, &p, "f.2", "second"), member(902, &p, 900, 901)],
        documents: vec![locator("f.1", ContentHasher::of(b"f"))],
        receipts: vec![Receipt { set_unique_id: unique("f.set"), message_id: "urn:uuid:f".into(), digest: [9; 32] }],
        patients: vec![patient("named")],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
}

/// Finds what [`fill`] has put, by every way there is.
pub(crate) async fn check_filled(store: &impl RegistryStore) {
    check_found(store).await;
    assert_eq!(store.receipt(&unique("f.set")).await.unwrap().unwrap().digest, [9; 32]);
}

/// The same but for the receipt, which a store whose flush has failed does not tell: Success would be answered
/// for it.
pub(crate) async fn check_found(store: &impl RegistryStore) {
    let p = patient("filled");
    assert_eq!(titles_of(store, &p).await, ["first", "second"]);
    assert_eq!(uuids(&store.of_patient(&p, Noun::Association).await.unwrap()), [uuid(902)]);
    assert_eq!(uuids(&store.by_unique_id(&unique("f.2")).await.unwrap()), [uuid(901)]);
    assert_eq!(uuids(&store.associations_of(uuid(901)).await.unwrap()), [uuid(902)]);
    let locator = store.document(&unique("f.1")).await.unwrap().unwrap();
    assert_eq!((locator.content, locator.mime_type.as_str()), (ContentHasher::of(b"f"), "text/plain"));
    assert!(store.is_referenced(locator.content.sha256).await.unwrap());
    assert!(store.knows_patient(&patient("named")).await.unwrap());
    assert!(!store.knows_patient(&p).await.unwrap());
}

pub(crate) async fn lookups(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    assert!(store.by_uuid(uuid(1)).await.unwrap().is_none());
    assert!(titles_of(&*store, &p).await.is_empty());
    assert!(store.by_unique_id(&unique("f.1")).await.unwrap().is_empty());
    assert!(store.associations_of(uuid(900)).await.unwrap().is_empty());
    assert!(store.document(&unique("f.1")).await.unwrap().is_none());
    assert!(store.receipt(&unique("f.set")).await.unwrap().is_none());
    let put = entry(1, &p, "1.1", "é 𝄞");
    store.commit(puts([put.clone()])).await.unwrap();
    assert!(store.by_uuid(uuid(1)).await.unwrap().unwrap() == put.object);
    fill(&*store).await;
    check_filled(&*store).await;
    assert_eq!(titles_of(&*store, &p).await, ["é 𝄞"]);
}

pub(crate) async fn order_and_replacement(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    // Ids run against the order of registration.
    for n in 0..40 {
        store.commit(puts([entry(100 - n, &p, "same", &n.to_string())])).await.unwrap();
    }
    let expected: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(titles_of(&*store, &p).await, expected);
    assert_eq!(titles(&store.by_unique_id(&unique("same")).await.unwrap()), expected);

    store.commit(puts([entry_of_status(95, &p, "other", "new", v::DEPRECATED)])).await.unwrap();
    let found = titles_of(&*store, &p).await;
    assert_eq!((found.len(), found[5].as_str()), (40, "new"));
    assert_eq!(store.by_unique_id(&unique("same")).await.unwrap().len(), 39);
    assert_eq!(titles(&store.by_unique_id(&unique("other")).await.unwrap()), ["new"]);

    store.commit(puts([member(1, &p, 95, 96), member(2, &p, 94, 95), member(3, &p, 95, 95)])).await.unwrap();
    assert_eq!(uuids(&store.associations_of(uuid(95)).await.unwrap()), [uuid(1), uuid(2), uuid(3)]);
    store.commit(puts([member(1, &p, 97, 96)])).await.unwrap();
    assert_eq!(uuids(&store.associations_of(uuid(95)).await.unwrap()), [uuid(2), uuid(3)]);
    assert_eq!(uuids(&store.associations_of(uuid(96)).await.unwrap()), [uuid(1)]);
}

pub(crate) async fn moves_between_patients(store: Arc<impl RegistryStore>) {
    let (p, q) = (patient("1"), patient("2"));
    store.commit(puts([entry(1, &p, "1", "a"), entry(2, &p, "2", "b"), entry(3, &q, "3", "c")])).await.unwrap();
    store.commit(puts([entry(1, &q, "1", "a")])).await.unwrap();
    assert_eq!(titles_of(&*store, &p).await, ["b"]);
    assert_eq!(titles_of(&*store, &q).await, ["a", "c"]);
    assert_eq!(titles(&store.by_unique_id(&unique("1")).await.unwrap()), ["a"]);
    assert_eq!(titles(store.by_uuid(uuid(1)).await.unwrap().as_slice()), ["a"]);
}

pub(crate) async fn names_with_common_beginnings(store: Arc<impl RegistryStore>) {
    let long = "9".repeat(300);
    let ids = ["1", "12", "123", "1\0", "1\0\u{1}", "1\u{1f}", &long, &long[1..]];
    for (n, id) in (1..).zip(ids) {
        let change = Change {
            puts: vec![entry(n, &patient(id), &"7".repeat(n as usize * 30), id)],
            documents: vec![locator(&"7".repeat(n as usize * 30), ContentHasher::of(id.as_bytes()))],
            ..Change::default()
        };
        store.commit(change).await.unwrap();
    }
    for (n, id) in (1..).zip(ids) {
        let unique_id = unique(&"7".repeat(n * 30));
        assert_eq!(titles_of(&*store, &patient(id)).await, [id]);
        assert_eq!(titles(&store.by_unique_id(&unique_id).await.unwrap()), [id]);
        let found = store.document(&unique_id).await.unwrap().unwrap();
        assert_eq!(found, locator(unique_id.as_str(), ContentHasher::of(id.as_bytes())));
    }
    let elsewhere = PatientId::new("1", Oid::parse("2.999.5").unwrap()).unwrap();
    assert!(titles_of(&*store, &elsewhere).await.is_empty());
    assert!(store.by_unique_id(&unique("7")).await.unwrap().is_empty());
}

pub(crate) async fn expectations(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    let dead = entry_of_status(2, &p, "u", "b", v::DEPRECATED);
    store.commit(puts([entry(1, &p, "u", "a"), dead, member(3, &p, 1, 2)])).await.unwrap();
    let holders = |ids: &[u32]| Expectation::Holders(unique("u"), ids.iter().copied().map(uuid).collect());
    for (expectation, conflict) in [
        (Expectation::Absent(uuid(9)), false),
        (Expectation::Absent(uuid(1)), true),
        (holders(&[1, 2]), false),
        (holders(&[2, 1]), true),
        (holders(&[1]), true),
        (holders(&[]), true),
        (Expectation::Holders(unique("nobody"), vec![]), false),
        (Expectation::Holders(unique("nobody"), vec![uuid(1)]), true),
        (Expectation::Approved(uuid(1), true), false),
        (Expectation::Approved(uuid(1), false), true),
        (Expectation::Approved(uuid(2), false), false),
        (Expectation::Approved(uuid(2), true), true),
        (Expectation::Approved(uuid(9), true), true),
        (Expectation::Approved(uuid(9), false), true),
        (Expectation::Associations(uuid(1), 1), false),
        (Expectation::Associations(uuid(2), 0), true),
        (Expectation::Associations(uuid(9), 0), false),
    ] {
        assert_eq!(conflicts(&*store, expectation.clone()).await, conflict, "{expectation:?}");
    }
    let (bytes, others) = (ContentHasher::of(b"1"), ContentHasher::of(b"2"));
    store.commit(Change { documents: vec![locator("d", bytes)], ..Change::default() }).await.unwrap();
    let other_type = DocumentLocator { mime_type: "text/other".into(), ..locator("d", bytes) };
    for (document, seen, conflict) in [
        ("d", Some(locator("d", bytes)), false),
        ("d", Some(locator("d", others)), true),
        ("d", Some(other_type), true),
        ("d", None, true),
        ("e", None, false),
        ("e", Some(locator("e", bytes)), true),
    ] {
        assert_eq!(conflicts(&*store, Expectation::Document(unique(document), seen)).await, conflict);
    }
    let seen = store.by_uuid(uuid(1)).await.unwrap().unwrap();
    assert!(!conflicts(&*store, Expectation::Unchanged(seen.clone())).await);
    for other in [seen.with_superseded(true), entry(9, &p, "u", "a").object] {
        assert!(conflicts(&*store, Expectation::Unchanged(other)).await);
    }
}

/// A later version of an object.
fn version(n: u32, patient: &PatientId, unique_id: &str, lid: u32) -> Put {
    let first = entry(n, patient, unique_id, &format!("version {n}"));
    let mut object = first.object.unpack().unwrap().into_owned();
    object.common.lid = Some(uuid(lid).into());
    pack_put(&object, patient.clone())
}

pub(crate) async fn versions(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    assert!(store.by_logical_id(uuid(1)).await.unwrap().is_empty());
    store.commit(puts([entry(1, &p, "u", "version 1"), entry(2, &p, "u", "another")])).await.unwrap();
    assert_eq!(uuids(&store.by_logical_id(uuid(1)).await.unwrap()), [uuid(1)]);
    store.commit(puts([version(9, &p, "u", 1), version(5, &p, "u", 1), version(6, &p, "u", 2)])).await.unwrap();
    assert_eq!(uuids(&store.by_logical_id(uuid(1)).await.unwrap()), [uuid(1), uuid(9), uuid(5)]);
    assert_eq!(uuids(&store.by_logical_id(uuid(2)).await.unwrap()), [uuid(2), uuid(6)]);
    assert!(store.by_logical_id(uuid(9)).await.unwrap().is_empty(), "no logicalID is that of a later version");
    // A version that is replaced keeps its place; the first one may go.
    let mut changed = version(9, &p, "u", 1);
    changed.object = changed.object.with_superseded(true);
    store.commit(Change { removes: vec![uuid(1)], ..puts([changed.clone()]) }).await.unwrap();
    let found = store.by_logical_id(uuid(1)).await.unwrap();
    assert_eq!(uuids(&found), [uuid(9), uuid(5)]);
    assert!(found[0] == changed.object && found[0].is_superseded());
    store.commit(Change { removes: vec![uuid(9), uuid(5)], ..Change::default() }).await.unwrap();
    assert!(store.by_logical_id(uuid(1)).await.unwrap().is_empty());
}

pub(crate) async fn removal_of_objects(store: Arc<impl RegistryStore>) {
    let (p, long) = (patient("1"), "x".repeat(20_000));
    store.commit(puts([entry(1, &p, "u", &long), entry(2, &p, "u", "b"), member(3, &p, 1, 2)])).await.unwrap();
    let gone = |removes: &[u32]| Change { removes: removes.iter().copied().map(uuid).collect(), ..Change::default() };
    // What is not there cannot be removed, and then nothing is.
    assert!(matches!(store.commit(gone(&[1, 9])).await, Err(StoreError::Conflict)));
    let seen = store.by_uuid(uuid(1)).await.unwrap().unwrap();
    store.commit(Change { expects: vec![Expectation::Unchanged(seen.clone())], ..gone(&[1, 3]) }).await.unwrap();
    assert!(store.by_uuid(uuid(1)).await.unwrap().is_none());
    assert_eq!(titles_of(&*store, &p).await, ["b"]);
    assert_eq!(uuids(&store.by_unique_id(&unique("u")).await.unwrap()), [uuid(2)]);
    assert!(store.of_patient(&p, Noun::Association).await.unwrap().is_empty());
    for end in [1, 2] {
        assert!(store.associations_of(uuid(end)).await.unwrap().is_empty());
    }
    assert!(conflicts(&*store, Expectation::Unchanged(seen)).await);
    // The id may be used again, for an object at the end.
    store.commit(puts([entry(1, &p, "v", "new")])).await.unwrap();
    assert_eq!(titles_of(&*store, &p).await, ["b", "new"]);
}

/// All that is given by pages, none of it damaged.
async fn all_pages<T>(pages: impl AsyncFn(Option<&Cursor>) -> StoreResult<Page<T>>) -> Vec<T> {
    let (mut all, mut next) = (Vec::new(), None);
    loop {
        let page = pages(next.as_ref()).await.unwrap().whole().unwrap();
        all.extend(page.items);
        next = page.next;
        if next.is_none() {
            return all;
        }
    }
}

pub(crate) async fn pages(store: Arc<impl RegistryStore>) {
    let page = async |after: Option<&super::Cursor>| store.page(Some(Noun::DocumentEntry), after).await.unwrap();
    assert!(page(None).await.items.is_empty() && page(None).await.next.is_none());
    // Other nouns between, and patients without any.
    for n in 0..300_u32 {
        let p = patient(&n.to_string());
        let (a, b) = (entry(10 * n, &p, "u", "a"), entry(10 * n + 1, &p, "u", "b"));
        let folder = build::package(uuid(10 * n + 2).into(), v::FOLDER_NODE);
        let folder = pack_put(&folder, p.clone());
        let puts =
            if n % 7 == 0 { vec![folder] } else { vec![folder, a, b, member(10 * n + 3, &p, 10 * n, 10 * n + 1)] };
        store.commit(Change { puts, ..Change::default() }).await.unwrap();
    }
    let (mut seen, mut pages, mut next) = (Vec::new(), 0, None);
    loop {
        let page = page(next.as_ref()).await;
        seen.extend(uuids(&page.items));
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..300).filter(|n| n % 7 != 0).flat_map(|n| [uuid(10 * n), uuid(10 * n + 1)]).collect();
    assert!(pages > 1 && seen == expected, "{} in {pages} pages", seen.len());
    let all = all_pages(async |after: Option<&Cursor>| store.page(None, after).await).await;
    assert_eq!(all.len(), 43 + 4 * 257);

    // Documents, with names that are too long for a key.
    let long = "7".repeat(250);
    let mut names: Vec<String> = (0..600).map(|n| format!("1.{n}")).chain([long]).collect();
    let documents = names.iter().map(|name| locator(name, ContentHasher::of(name.as_bytes()))).collect();
    store.commit(Change { documents, ..Change::default() }).await.unwrap();
    let seen = all_pages(async |after: Option<&Cursor>| store.document_page(after).await).await;
    assert!(seen.iter().all(
        |found| *found == locator(found.unique_id.as_str(), ContentHasher::of(found.unique_id.as_str().as_bytes()))
    ));
    let mut seen: Vec<String> = seen.iter().map(|locator| locator.unique_id.to_string()).collect();
    seen.sort();
    names.sort();
    assert_eq!(seen, names);

    // Receipts, and patients whom a feed has named: likewise.
    let receipt = |name: &String| Receipt { set_unique_id: unique(name), message_id: "m".into(), digest: [3; 32] };
    let receipts = names.iter().map(receipt).collect();
    let fed = |name: &String| PatientId::new(name, Oid::parse("2.999.51").unwrap()).unwrap();
    let patients = names.iter().map(fed).collect();
    store.commit(Change { receipts, patients, ..Change::default() }).await.unwrap();
    let mut seen = all_pages(async |after: Option<&Cursor>| store.receipt_page(after).await).await;
    seen.sort_by(|a, b| a.set_unique_id.cmp(&b.set_unique_id));
    assert!(seen == names.iter().map(receipt).collect::<Vec<_>>());
    let mut seen = all_pages(async |after: Option<&Cursor>| store.patient_page(after).await).await;
    seen.sort_by_key(PatientId::to_cx);
    let mut expected: Vec<_> = names.iter().map(fed).collect();
    expected.sort_by_key(PatientId::to_cx);
    assert!(seen == expected, "and none of those that only have documents");
    for patient in &expected {
        assert!(store.knows_patient(patient).await.unwrap());
    }
}

pub(crate) async fn withdrawal(store: Arc<impl RegistryStore>) {
    let (one, two) = (ContentHasher::of(b"one"), ContentHasher::of(b"two"));
    let documents = vec![locator("d.1", one), locator("d.2", one)];
    store.commit(Change { documents, ..Change::default() }).await.unwrap();
    let withdraw = |locators| Change { withdrawals: locators, ..Change::default() };
    for wrong in [locator("d.9", one), locator("d.1", two)] {
        let refused = store.commit(withdraw(vec![locator("d.2", one), wrong])).await;
        assert!(matches!(refused, Err(StoreError::Conflict)));
    }
    for (document, referenced) in [("d.1", true), ("d.2", false)] {
        store.commit(withdraw(vec![locator(document, one)])).await.unwrap();
        assert_eq!(store.document(&unique(document)).await.unwrap(), None);
        assert_eq!(store.is_referenced(one.sha256).await.unwrap(), referenced, "{document}");
    }
}

pub(crate) async fn nothing_of_a_refused_change_stays(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    store.commit(puts([entry(1, &p, "u", "before")])).await.unwrap();
    let change = |expects| Change {
        expects,
        puts: vec![entry(1, &p, "u", "after"), entry(2, &p, "v", "b"), member(3, &p, 1, 2)],
        documents: vec![locator("v", ContentHasher::of(b"v"))],
        receipts: vec![Receipt { set_unique_id: unique("s"), message_id: "m".into(), digest: [0; 32] }],
        patients: vec![p.clone()],
        ..Change::default()
    };
    let refused = store.commit(change(vec![Expectation::Absent(uuid(2)), Expectation::Absent(uuid(1))])).await;
    assert!(matches!(refused, Err(StoreError::Conflict)));
    assert_eq!(titles_of(&*store, &p).await, ["before"]);
    assert!(store.by_uuid(uuid(2)).await.unwrap().is_none());
    assert!(store.by_unique_id(&unique("v")).await.unwrap().is_empty());
    assert!(store.associations_of(uuid(1)).await.unwrap().is_empty());
    assert!(store.document(&unique("v")).await.unwrap().is_none());
    assert!(!store.is_referenced(ContentHasher::of(b"v").sha256).await.unwrap());
    assert!(store.receipt(&unique("s")).await.unwrap().is_none());
    assert!(!store.knows_patient(&p).await.unwrap());
    // An object that cannot be found again is no object.
    let mut nameless = entry(4, &p, "w", "c");
    nameless.object = PackedObject::pack(&build::document_entry(ObjectId::Symbol("e".into()), "text/plain"));
    assert!(matches!(store.commit(puts([entry(5, &p, "x", "d"), nameless])).await, Err(StoreError::Failed(_))));
    assert!(store.by_uuid(uuid(5)).await.unwrap().is_none());
    store.commit(change(vec![Expectation::Absent(uuid(2))])).await.unwrap();
    assert_eq!(titles_of(&*store, &p).await, ["after", "b"]);
}

pub(crate) async fn one_change_many_puts(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    let mut many: Vec<_> = (1..=200).map(|n| entry(n, &p, &format!("u.{n}"), "x")).collect();
    // The same object twice: the later one, at the place of the earlier.
    many.push(entry(1, &p, "u.first", "y"));
    store.commit(puts(many)).await.unwrap();
    let found = titles_of(&*store, &p).await;
    assert_eq!((found.len(), found[0].as_str()), (200, "y"));
    assert!(store.by_unique_id(&unique("u.1")).await.unwrap().is_empty());
    assert_eq!(uuids(&store.by_unique_id(&unique("u.first")).await.unwrap()), [uuid(1)]);
}

pub(crate) async fn receipts_and_patients(store: Arc<impl RegistryStore>) {
    let receipt = Receipt { set_unique_id: unique("2.1"), message_id: "urn:uuid:ä".into(), digest: [3; 32] };
    let change = Change {
        receipts: vec![receipt.clone()],
        patients: vec![patient("1"), patient("12"), patient("1")],
        ..Change::default()
    };
    store.commit(change).await.unwrap();
    assert_eq!(store.receipt(&receipt.set_unique_id).await.unwrap(), Some(receipt));
    assert_eq!(store.receipt(&unique("2.11")).await.unwrap(), None);
    for (id, known) in [("1", true), ("12", true), ("2", false)] {
        assert_eq!(store.knows_patient(&patient(id)).await.unwrap(), known);
    }
    // Documents do not make a patient known, and knowing comes before or after them.
    store.commit(puts([entry(1, &patient("2"), "u", "a"), entry(2, &patient("1"), "v", "b")])).await.unwrap();
    assert!(!store.knows_patient(&patient("2")).await.unwrap());
    store.commit(Change { patients: vec![patient("2")], ..Change::default() }).await.unwrap();
    assert!(store.knows_patient(&patient("2")).await.unwrap());
    assert_eq!(titles_of(&*store, &patient("2")).await, ["a"]);
    assert_eq!(titles_of(&*store, &patient("1")).await, ["b"]);
}

pub(crate) async fn locators(store: Arc<impl RegistryStore>) {
    let (one, two) = (ContentHasher::of(b"one"), ContentHasher::of(b"two"));
    let documents = vec![locator("d.1", one), locator("d.2", one), locator("d.11", two)];
    store.commit(Change { documents, ..Change::default() }).await.unwrap();
    assert_eq!(store.document(&unique("d.1")).await.unwrap(), Some(locator("d.1", one)));
    assert_eq!(store.document(&unique("d.11")).await.unwrap(), Some(locator("d.11", two)));
    // A content is an orphan when the last of its documents has gone elsewhere.
    for (document, referenced) in [("d.1", true), ("d.1", true), ("d.2", false)] {
        store.commit(Change { documents: vec![locator(document, two)], ..Change::default() }).await.unwrap();
        assert_eq!(store.is_referenced(one.sha256).await.unwrap(), referenced, "{document}");
    }
    assert!(store.is_referenced(two.sha256).await.unwrap());
    assert_eq!(store.document(&unique("d.1")).await.unwrap(), Some(locator("d.1", two)));
}

pub(crate) async fn long_values(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    let long = |n: u32, length: usize| {
        let mut object = build::document_entry(uuid(n).into(), "text/plain");
        object.common.slots.push(Slot::single("urn:example", "x".repeat(length)));
        pack_put(&object, p.clone())
    };
    let lengths = [6000, 6100, 6144, 12_288, 100_000, 1_000_000];
    let all: Vec<_> = (1..).zip(lengths).map(|(n, length)| long(n, length)).collect();
    store.commit(puts(all.clone())).await.unwrap();
    let found = store.of_patient(&p, Noun::DocumentEntry).await.unwrap();
    assert!(found.iter().eq(all.iter().map(|put| &put.object)));
    // Shorter and longer again.
    store.commit(puts([long(6, 10), long(1, 20_000), long(5, 50_000)])).await.unwrap();
    for (n, length) in [(6, 10), (1, 20_000), (5, 50_000), (4, 12_288)] {
        assert!(store.by_uuid(uuid(n)).await.unwrap().unwrap() == long(n, length).object);
    }
}

pub(crate) async fn readers_see_all_or_nothing(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, done, p) = (Arc::clone(&store), Arc::clone(&done), p.clone());
            tokio::spawn(async move {
                let (mut reads, mut last) = (0_u32, 0);
                while !done.load(Ordering::Acquire) {
                    let found = titles_of(&*store, &p).await;
                    // Pairs come together, and both halves are always of the same round.
                    assert_eq!(found.len() % 2, 0);
                    assert!(found.iter().all(|title| *title == found[0]), "{found:?}");
                    assert!(found.len() >= last);
                    last = found.len();
                    reads += 1;
                    tokio::task::yield_now().await;
                }
                reads
            })
        })
        .collect();
    for round in 0..60_u32 {
        // One more pair, and all earlier ones changed with it.
        let all = (0..2 * (round + 1)).map(|n| entry(n, &p, &format!("u.{n}"), &round.to_string()));
        store.commit(puts(all)).await.unwrap();
    }
    done.store(true, Ordering::Release);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}

pub(crate) async fn one_of_many_wins(store: Arc<impl RegistryStore>) {
    let p = patient("1");
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let (store, p) = (Arc::clone(&store), p.clone());
            tokio::spawn(async move {
                let expects = vec![Expectation::Holders(unique("u"), vec![])];
                let won = store.commit(Change { expects, ..puts([entry(n, &p, "u", &n.to_string())]) }).await;
                match won {
                    Ok(()) => Some(n.to_string()),
                    Err(StoreError::Conflict) => {
                        // Who lost sees to whom.
                        assert_eq!(store.by_unique_id(&unique("u")).await.unwrap().len(), 1);
                        None
                    }
                    Err(other) => panic!("{other}"),
                }
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        winners.extend(task.await.unwrap());
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(titles_of(&*store, &p).await, winners);
}

/// Octets that look like nothing, the same every time.
pub(crate) fn octets(size: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

pub(crate) async fn stage(store: &impl DocumentStore, bytes: &Bytes, step: usize) -> StagedDocument {
    let mut writer = store.stage().await.unwrap();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        writer.write(rest.split_to(step.min(rest.len()))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

pub(crate) async fn read(mut reader: Box<dyn DocumentReader>) -> Result<Vec<u8>, BodyError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = reader.next_chunk().await? {
        assert!(!chunk.is_empty());
        bytes.extend_from_slice(&chunk);
    }
    assert!(reader.next_chunk().await?.is_none());
    Ok(bytes)
}

pub(crate) async fn reads_what_was_written(store: Arc<impl DocumentStore>) {
    const STEP: usize = 256 * 1024;
    for (n, size) in [0, 1, 65_535, 65_537, STEP - 1, STEP, STEP + 1, 2 * STEP, 5 << 20].into_iter().enumerate() {
        for step in [7919, STEP, 1 << 20] {
            let bytes = octets(size, (n + step) as u64);
            let staged = stage(&*store, &bytes, step).await;
            let content = staged.content;
            assert_eq!(content, ContentHasher::of(&bytes));
            assert!(read(store.open_staged(&staged).await.unwrap()).await.unwrap() == bytes, "staged {size}");
            store.publish(vec![staged]).await.unwrap();
            let reader = store.open(&content).await.unwrap().unwrap();
            assert!(read(reader).await.unwrap() == bytes, "{size}");
        }
    }
    let content = ContentHasher::of(b"abc");
    assert_eq!(content.hash(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!((content.crc32, content.size), (0x352441c2, 3));
    assert_eq!(super::hex(&content.sha256[..4]), "ba7816bf");
}

pub(crate) async fn staged_is_not_visible(store: Arc<impl DocumentStore>) {
    for size in [1000, 1 << 20] {
        let staged = stage(&*store, &octets(size, 3), 100_000).await;
        let content = staged.content;
        assert!(store.open(&content).await.unwrap().is_none());
        assert!(store.addresses().await.unwrap().is_empty());
        drop(staged);
        assert!(store.open(&content).await.unwrap().is_none());
    }
}

pub(crate) async fn publishing_twice(store: Arc<impl DocumentStore>) {
    for size in [1000, 1 << 20] {
        let bytes = octets(size, 4);
        let (one, two) = (stage(&*store, &bytes, 10_000).await, stage(&*store, &bytes, 10_000).await);
        let content = one.content;
        store.publish(vec![one]).await.unwrap();
        store.publish(vec![two]).await.unwrap();
        assert!(read(store.open(&content).await.unwrap().unwrap()).await.unwrap() == bytes);
    }
    assert_eq!(store.addresses().await.unwrap().len(), 2);
}

pub(crate) async fn a_set_of_documents(store: Arc<impl DocumentStore>) {
    let (mut staged, mut contents) = (Vec::new(), Vec::new());
    for n in 0..40 {
        // Some are in the set twice.
        let document = stage(&*store, &octets(n * 9000, (n % 30) as u64), 8192).await;
        contents.push(document.content);
        staged.push(document);
    }
    store.publish(staged).await.unwrap();
    store.publish(Vec::new()).await.unwrap();
    for content in &contents {
        let bytes = read(store.open(content).await.unwrap().unwrap()).await.unwrap();
        assert_eq!(ContentHasher::of(&bytes), *content);
    }
    let mut found = store.addresses().await.unwrap();
    let mut expected: Vec<_> = contents.iter().map(|content| content.sha256).collect();
    found.sort_unstable();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(found, expected);
}

pub(crate) async fn removal(store: Arc<impl DocumentStore>) {
    let staged = stage(&*store, &octets(10, 5), 10).await;
    let content = staged.content;
    store.publish(vec![staged]).await.unwrap();
    store.remove(content.sha256).await.unwrap();
    store.remove(content.sha256).await.unwrap();
    assert!(store.open(&content).await.unwrap().is_none());
    assert!(store.addresses().await.unwrap().is_empty());
}
