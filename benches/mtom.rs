//! Splitting an MTOM message into its parts, as its octets come from the network.

use std::hint::black_box;

use bytes::Bytes;
use causeway::bench::load::Traffic;
use causeway::bench::samples::{NHS_NUMBER, Submissions, patient};
use causeway::wire::mtom::{Event, Limits, MultipartReader, Packaging};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn split(boundary: &[u8], chunks: &[Bytes]) -> usize {
    let mut reader = MultipartReader::new(boundary, Limits::default());
    let mut octets = 0;
    let mut drain = |reader: &mut MultipartReader| {
        while let Some(event) = reader.next_event().expect("a message of ours") {
            if let Event::Data(data) = event {
                octets += data.len();
            }
        }
    };
    for chunk in chunks {
        reader.feed(chunk.clone());
        drain(&mut reader);
    }
    reader.finish().expect("a whole message");
    drain(&mut reader);
    octets
}

fn mtom(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("MTOM split");
    for size in [50 << 10, 16 << 20] {
        let document = Submissions::document(size).expect("large enough");
        let traffic = Submissions::new("https://localhost/services/repository", &patient(1, NHS_NUMBER), document);
        let message = traffic.expect("ids of ours").next();
        let Ok(Packaging::Multipart(params)) = Packaging::parse(&message.content_type) else {
            panic!("a package of ours");
        };
        let octets = Bytes::from(message.body.concat());
        group.throughput(Throughput::Bytes(octets.len() as u64));
        for chunk in [1 << 10, 16 << 10, 256 << 10] {
            let chunks: Vec<Bytes> =
                (0..octets.len()).step_by(chunk).map(|at| octets.slice(at..octets.len().min(at + chunk))).collect();
            let name = format!("{} KiB in chunks of {} KiB", size >> 10, chunk >> 10);
            group.bench_with_input(BenchmarkId::from_parameter(name), &chunks, |bencher, chunks| {
                bencher.iter(|| split(params.boundary.as_bytes(), black_box(chunks)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, mtom);
criterion_main!(benches);
