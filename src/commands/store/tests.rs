//! The commands on stores of each kind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::store::files::{FileDocuments, FileOptions};
use crate::store::fjall::FjallStore;
use crate::store::memory::{MemoryDocuments, MemoryStore};
use crate::store::sled::SledStore;
use crate::store::suite::{entry, patient, unique, uuid};
use crate::store::{Change, DocumentLocator, EmbeddedOptions, Put, Receipt};

fn empty() -> Stores {
    Stores { registry: Arc::new(MemoryStore::default()), documents: Arc::new(MemoryDocuments::default()) }
}

async fn keep(stores: &Stores, unique_id: &str, bytes: impl Into<Bytes>) {
    let mut writer = stores.documents.stage().await.unwrap();
    writer.write(bytes.into()).await.unwrap();
    let staged = writer.finish().await.unwrap();
    let locator =
        DocumentLocator { unique_id: unique(unique_id), content: staged.content, mime_type: "text/plain".into() };
    stores.documents.publish(vec![staged]).await.unwrap();
    stores.registry.commit(Change { documents: vec![locator], ..Change::default() }).await.unwrap();
}

async fn fill(stores: &Stores) {
    // Patients in the order in which they come, not of their names.
    for (n, name) in [(1, "b"), (2, "a"), (3, "b")] {
        let mut put = entry(n, &patient(name), &format!("1.{n}"), "é & <1>");
        put.object = put.object.with_superseded(n == 3);
        stores.registry.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
        keep(stores, &format!("1.{n}"), if n == 1 { b"one".as_slice() } else { b"the same" }).await;
    }
    let member = crate::model::metadata::build::original(uuid(9).into(), uuid(1).into(), uuid(3).into());
    let puts = vec![Put::new(&member, &patient("b"))];
    let receipts = vec![Receipt { set_unique_id: unique("1.9"), message_id: "urn:uuid:1".into(), digest: [5; 32] }];
    let patients = vec![patient("fed")];
    stores.registry.commit(Change { puts, receipts, patients, ..Change::default() }).await.unwrap();
}

/// All files below a folder, with what is in them.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => open.push(path),
                path => all.push((path.strip_prefix(dir).unwrap().to_owned(), std::fs::read(&path).unwrap())),
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn what_is_exported_and_imported_is_exported_alike() {
    let dir = tempfile::tempdir().unwrap();
    let original = empty();
    fill(&original).await;
    let first = export(&original, &dir.path().join("first")).await.unwrap();
    assert_eq!(first, Counts { objects: 4, documents: 3, receipts: 1, patients: 1 });
    // By way of the other backends, and back.
    let sled = SledStore::open(dir.path().join("sled"), EmbeddedOptions::default()).unwrap();
    let fjall = FjallStore::open(dir.path().join("fjall"), EmbeddedOptions::default()).unwrap();
    let [middle, other]: [Stores; 2] = [Arc::new(sled) as Arc<dyn RegistryStore>, Arc::new(fjall)]
        .map(|registry| Stores { registry, documents: Arc::new(MemoryDocuments::default()) });
    assert_eq!(import(&middle, &dir.path().join("first")).await.unwrap(), first);
    export(&middle, &dir.path().join("second")).await.unwrap();
    assert_eq!(import(&other, &dir.path().join("second")).await.unwrap(), first);
    export(&other, &dir.path().join("between")).await.unwrap();
    assert!(contents(&dir.path().join("second")) == contents(&dir.path().join("between")));
    let last = empty();
    import(&last, &dir.path().join("second")).await.unwrap();
    export(&last, &dir.path().join("third")).await.unwrap();
    assert!(contents(&dir.path().join("second")) == contents(&dir.path().join("third")));
    let sorted = |name: &str| {
        let text = std::fs::read_to_string(dir.path().join(name).join("objects.jsonl")).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted("first"), sorted("second"));
    for stores in [&original, &middle, &last] {
        let report = verify(stores).await.unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!((report.counts, report.octets), (first, 19));
    }
    let superseded = last.registry.by_uuid(uuid(3)).await.unwrap().unwrap();
    assert!(superseded.is_superseded());
    // As an export of before there were receipts in it.
    let old = dir.path().join("old");
    export(&original, &old).await.unwrap();
    for file in ["receipts.jsonl", "patients.jsonl"] {
        std::fs::remove_file(old.join(file)).unwrap();
    }
    assert!(import(&empty(), &old).await.unwrap_err().to_string().contains("not whole"));
    let head = r#"{"format":"causeway-export","version":1,"objects":4,"documents":3}"#;
    std::fs::write(old.join("export.json"), head).unwrap();
    assert_eq!(import(&empty(), &old).await.unwrap(), Counts { receipts: 0, patients: 0, ..first });
    // Into new stores only, and only what is whole.
    assert!(import(&last, &dir.path().join("first")).await.is_err());
    let file = dir.path().join("third/objects.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.lines().next().unwrap()).unwrap();
    assert!(import(&empty(), &dir.path().join("third")).await.unwrap_err().to_string().contains("not whole"));
    assert!(export(&original, &dir.path().join("first")).await.is_err(), "an export is not overwritten");
    for (file, mode) in [("first/objects.jsonl", 0o600), ("first/contents", 0o700)] {
        let permissions = std::fs::metadata(dir.path().join(file)).unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, mode, "{file}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]

    #[test]
    fn an_import_exports_alike(
        objects in proptest::collection::vec((0..4_u8, 0..3_u8, "\\PC{0,12}", proptest::bool::ANY), 1..12),
        documents in proptest::collection::vec(proptest::collection::vec(0..2_u8, 0..3), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, stores) = (tempfile::tempdir().unwrap(), empty());
            for (n, (of, unique_id, title, superseded)) in objects.iter().enumerate() {
                let mut put = entry(n as u32, &patient(&of.to_string()), &format!("1.{unique_id}"), title);
                put.object = put.object.with_superseded(*superseded);
                stores.registry.commit(Change { puts: vec![put], ..Change::default() }).await.unwrap();
            }
            for (n, bytes) in documents.iter().enumerate() {
                keep(&stores, &format!("2.{n}"), bytes.clone()).await;
            }
            let (first, second, again) = (dir.path().join("1"), dir.path().join("2"), empty());
            let counts = export(&stores, &first).await.unwrap();
            assert_eq!(counts, Counts { objects: objects.len(), documents: documents.len(), ..Counts::default() });
            import(&again, &first).await.unwrap();
            export(&again, &second).await.unwrap();
            assert!(contents(&first) == contents(&second));
        });
    }
}

#[tokio::test]
async fn what_is_missing_or_changed_is_told() {
    let stores = empty();
    fill(&stores).await;
    let locator = stores.registry.document(&unique("1.1")).await.unwrap().unwrap();
    stores.documents.remove(locator.content.sha256).await.unwrap();
    stores.registry.commit(Change { removes: vec![uuid(3)], ..Change::default() }).await.unwrap();
    let report = verify(&stores).await.unwrap();
    let found: Vec<_> = report.problems.iter().map(|p| (p.id.clone(), p.what.clone())).collect();
    assert_eq!(
        found,
        [
            (uuid(9).to_string(), format!("it refers to {}, which is not there", uuid(3))),
            ("1.1".to_owned(), "its bytes are missing".to_owned()),
        ]
    );
    let text = report.render(Colour::Off);
    assert!(text.contains("2 problems; restore them from a backup"), "{text}");
}

/// Stores on disk, as a broker has them.
fn on_disk(dir: &Path) -> (Stores, Arc<FileDocuments>) {
    let registry = SledStore::open(dir.join("registry"), EmbeddedOptions::default()).unwrap();
    let files = Arc::new(FileDocuments::open(dir.join("documents"), FileOptions::default()).unwrap());
    (Stores { registry: Arc::new(registry), documents: Arc::clone(&files) as Arc<dyn DocumentStore> }, files)
}

#[tokio::test]
async fn damaged_bytes_are_named_and_the_rest_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (stores, _) = on_disk(dir.path());
    fill(&stores).await;
    let path =
        contents(&dir.path().join("documents/objects")).into_iter().find(|(_, bytes)| bytes == b"one").unwrap().0;
    std::fs::write(dir.path().join("documents/objects").join(path), b"oen").unwrap();
    let report = verify(&stores).await.unwrap();
    let found: Vec<_> = report.problems.iter().map(|p| p.id.as_str()).collect();
    assert_eq!((found, report.octets, report.counts.documents), (vec!["1.1"], 16, 3));
    let error = export(&stores, &dir.path().join("export")).await.unwrap_err().to_string();
    assert!(error.starts_with("1.1:"), "{error}");
}

#[tokio::test]
async fn documents_of_a_lost_registry_are_neither_well_nor_swept() {
    let dir = tempfile::tempdir().unwrap();
    let (stores, files) = on_disk(dir.path());
    fill(&stores).await;
    drop((stores, files));
    // Long ago, so that a sweep may take them.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(1 << 20);
    for (path, _) in contents(&dir.path().join("documents/objects")) {
        File::options()
            .write(true)
            .open(dir.path().join("documents/objects").join(path))
            .unwrap()
            .set_modified(old)
            .unwrap();
    }
    std::fs::rename(dir.path().join("registry"), dir.path().join("kept")).unwrap();
    let (stores, files) = on_disk(dir.path());
    let report = verify(&stores).await.unwrap();
    assert_eq!((report.orphans, report.problems.len()), (2, 1), "{:?}", report.problems);
    assert!(files.sweep(&*stores.registry).await.is_err());
    drop((stores, files));
    // With their own they are swept as ever; after that another one is known as such, whatever it knows.
    std::fs::remove_dir_all(dir.path().join("registry")).unwrap();
    std::fs::rename(dir.path().join("kept"), dir.path().join("registry")).unwrap();
    let (stores, files) = on_disk(dir.path());
    assert_eq!(files.sweep(&*stores.registry).await.unwrap().removed, 0);
    drop((stores, files));
    std::fs::remove_dir_all(dir.path().join("registry")).unwrap();
    let (stores, files) = on_disk(dir.path());
    keep(&stores, "9.9", b"new".as_slice()).await;
    assert!(files.sweep(&*stores.registry).await.is_err());
    assert_eq!(stores.documents.addresses().await.unwrap().len(), 3);
}

#[tokio::test]
async fn changed_bytes_are_not_imported() {
    let (dir, stores) = (tempfile::tempdir().unwrap(), empty());
    fill(&stores).await;
    export(&stores, dir.path()).await.unwrap();
    let content = contents(&dir.path().join("contents")).swap_remove(0).0;
    std::fs::write(dir.path().join("contents").join(content), b"other").unwrap();
    let error = import(&empty(), dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("documents.jsonl, line") && error.contains("not what was exported"), "{error}");
}
