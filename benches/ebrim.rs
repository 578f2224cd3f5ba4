//! ebRIM as it is read from a submission and written into an answer, and the packed form between.

use std::hint::black_box;

use causeway::bench::samples::{NHS_NUMBER, patient, registration};
use causeway::model::metadata::Noun;
use causeway::model::packed::PackedObject;
use causeway::model::response::QueryResponse;
use causeway::model::rim::RegistryObject;
use causeway::model::stored_query::ReturnType;
use causeway::wire::ebrs;
use causeway::wire::xml::{Document, Limits};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn entries() -> Vec<RegistryObject<'static>> {
    let objects = registration(&patient(1, NHS_NUMBER), 1, 20, "2.999.826.3.1.1");
    objects.into_iter().filter(|object| object.noun() == Noun::DocumentEntry).collect()
}

fn answer(entries: &[RegistryObject<'_>]) -> Vec<u8> {
    let response = QueryResponse::success(entries.iter().map(PackedObject::pack).collect());
    let mut out = Vec::new();
    ebrs::write_query_response(&mut out, &response, ReturnType::LeafClass).expect("packed here");
    out
}

fn ebrim(criterion: &mut Criterion) {
    let entries = entries();
    let text = String::from_utf8(answer(&entries)).expect("we write UTF-8");
    let packed: Vec<PackedObject> = entries.iter().map(PackedObject::pack).collect();
    let response = QueryResponse::success(packed.clone());

    let mut group = criterion.benchmark_group("ebRIM, 20 entries");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let document = Document::parse(black_box(&text), Limits::default()).expect("we wrote it");
            ebrs::read_query_response(document.root()).expect("we wrote it")
        });
    });
    group.bench_function("parse to nodes only", |bencher| {
        bencher.iter(|| {
            Document::parse(black_box(&text), Limits::default()).expect("we wrote it").root().children().count()
        });
    });
    group.bench_function("write", |bencher| {
        let mut out = Vec::with_capacity(2 * text.len());
        bencher.iter(|| {
            out.clear();
            ebrs::write_query_response(&mut out, black_box(&response), ReturnType::LeafClass).expect("packed here");
            out.len()
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("packed, 20 entries");
    group.throughput(Throughput::Bytes(packed.iter().map(|packed| packed.as_bytes().len() as u64).sum()));
    group.bench_function("encode", |bencher| {
        bencher
            .iter(|| black_box(&entries).iter().map(|entry| PackedObject::pack(entry).as_bytes().len()).sum::<usize>());
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for packed in black_box(&packed) {
                black_box(packed.unpack().expect("packed here"));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, ebrim);
criterion_main!(benches);
