//! How long each part of the data plane takes: `cargo bench -p cutline-benches [-- NAME]`.
//!
//! One thread, warm caches: for comparing two versions of a part on one machine. Figures that are quoted come from
//! `cutline bench` and from `benches/peers`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use cutline_benches::{WORKLOADS, Workload};

// The checksum is private to the journal; this is its very file.
#[path = "../journal/src/crc.rs"]
#[allow(dead_code, unused_imports)] // the copying form is measured as a part of an append, and the tests run elsewhere
mod crc;

fn workloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts");
    // Rounds are long, and some are prepared for longer than they take.
    group.sampling_mode(SamplingMode::Flat).sample_size(20).measurement_time(Duration::from_secs(1));
    for (name, make) in WORKLOADS {
        let mut workload = make().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let ops = workload.ops();
        group.throughput(Throughput::Elements(ops));
        group.bench_function(name, |bencher| bencher.iter_custom(|rounds| rounds_of(&mut *workload, name, rounds)));
    }
    group.finish();
}

/// How long so many rounds take, without what prepares them.
fn rounds_of(workload: &mut dyn Workload, name: &str, rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        workload.prepare().unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let start = Instant::now();
        let right = workload.round();
        took += start.elapsed();
        assert_eq!(right, workload.ops(), "{name} did not do what it should");
    }
    took
}

fn checksums(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc");
    for bytes in [64_usize, 256, 1024] {
        let data: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| bencher.iter(|| crc::of(black_box(&data))));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    workloads(&mut criterion);
    checksums(&mut criterion);
    criterion.final_summary();
}
