//! FindDocuments without a network: 10⁴ entries in the registry, 20 of the patient asked for.

use std::hint::black_box;
use std::sync::Arc;

use causeway::bench::samples::{NHS_NUMBER, find_documents, patient};
use causeway::bench::suite::{ENTRIES, fill, registry};
use causeway::model::stored_query::{AdhocQuery, ReturnType};
use causeway::store::fjall::FjallStore;
use causeway::store::memory::MemoryStore;
use causeway::store::sled::SledStore;
use causeway::store::{EmbeddedOptions, RegistryStore};
use causeway::wire::ebrs;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const PATIENTS: u32 = 10_000 / ENTRIES;

fn find(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sled = SledStore::open(folder.path().join("sled"), EmbeddedOptions::default()).expect("a store");
    let fjall = FjallStore::open(folder.path().join("fjall"), EmbeddedOptions::default()).expect("a store");
    let stores: [(&str, Arc<dyn RegistryStore>); 3] =
        [("memory", Arc::new(MemoryStore::default())), ("sled", Arc::new(sled)), ("fjall", Arc::new(fjall))];
    let queries: Vec<AdhocQuery> =
        (0..PATIENTS).map(|number| find_documents(&patient(number, NHS_NUMBER), "LeafClass", None)).collect();

    let mut group = criterion.benchmark_group("FindDocuments, 20 of 10000 entries");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    for (name, store) in stores {
        let registry = registry(store);
        runtime.block_on(fill(&registry, PATIENTS, "2.999.826.3.1.1")).expect("the samples keep the rules");
        let mut asked = queries.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let query = asked.next().expect("a cycle");
                let (response, _) = runtime.block_on(registry.stored_query(black_box(query)));
                assert_eq!(response.objects.len(), ENTRIES as usize);
                response
            });
        });
        let mut out = Vec::new();
        group.bench_function(format!("{name}, written"), |bencher| {
            bencher.iter(|| {
                let query = asked.next().expect("a cycle");
                let (response, _) = runtime.block_on(registry.stored_query(black_box(query)));
                out.clear();
                ebrs::write_query_response(&mut out, &response, ReturnType::LeafClass).expect("stored here");
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, find);
criterion_main!(benches);
