//! Which runtime carries a stock item best: our shard, a ractor actor an entity, an actix actor an entity, a tokio task an
//! entity, or a locked map? Holds a second on a hot SKU and over 10,000, and memory per idle entity.
//!
//! All decide and take in the same hold. Our shard does more for it: it admits, stages a journal record, keeps a view and
//! lets the answer through the gate. Its journal says "durable" at once, because the question is not the disk.

mod runtime_hosts;

use std::{
    env,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_benches::{
    crowd::timed,
    scale::{resident_bytes, sized},
};
use runtime_hosts::{ActixHost, Host, MapHost, RactorHost, ShardHost, TaskHost};
use tokio::runtime::Runtime;

const CLIENTS: u64 = 64;
/// SKUs of the wide measurement.
const WIDE: u64 = 10_000;
/// Enough to see that it works.
const FEW: u64 = 50;

/// Names the host whose memory this process is to tell: each in a process of its own, where no other one has left free memory behind.
const MEMORY_OF: &str = "HOLDFAST_BENCH_MEMORY_OF";

/// Says what each entity of a host takes in memory.
fn tell_memory<H: Host>(name: &str, runtime: &Runtime) {
    let entities = sized(WIDE, FEW);
    let before = resident_bytes();
    let host = runtime.block_on(H::start(entities));
    let bytes = resident_bytes().saturating_sub(before) / entities;
    eprintln!("{name}: {bytes} bytes of resident memory an idle entity, of {entities}");
    drop(host);
}

/// Has a process of its own say what memory the host takes, and measures holds on one entity and on all.
fn measure<H: Host>(criterion: &mut Criterion, name: &str, runtime: &Runtime) {
    if let Some(wanted) = env::var_os(MEMORY_OF) {
        if wanted.as_os_str() == name {
            tell_memory::<H>(name, runtime);
        }
        return;
    }
    let told =
        env::current_exe().and_then(|own| Command::new(own).args(env::args().skip(1)).env(MEMORY_OF, name).status());
    assert!(told.is_ok_and(|status| status.success()), "the memory of {name} could not be told");
    let entities = sized(WIDE, FEW);
    let host = Arc::new(runtime.block_on(H::start(entities)));
    let mut group = criterion.benchmark_group("runtime");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    let numbers = Arc::new(AtomicU64::new(1));
    for (kind, spread) in [("hot", 1), ("10000_skus", entities)] {
        group.bench_function(BenchmarkId::new(kind, name), |bencher| {
            bencher.to_async(runtime).iter_custom(|iterations| {
                let (host, numbers) = (Arc::clone(&host), Arc::clone(&numbers));
                timed(CLIENTS, iterations, move || {
                    let (host, number) = (Arc::clone(&host), numbers.fetch_add(1, Ordering::Relaxed));
                    async move { host.hold(number.wrapping_mul(617) % spread, number).await }
                })
            });
        });
    }
    group.finish();
}

fn runtimes(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    measure::<MapHost>(criterion, "locked_map", &runtime);
    measure::<ShardHost>(criterion, "our_shard", &runtime);
    measure::<TaskHost>(criterion, "tokio_task", &runtime);
    measure::<ActixHost>(criterion, "actix_actor", &runtime);
    measure::<RactorHost>(criterion, "ractor_actor", &runtime);
}

criterion_group!(benches, runtimes);
criterion_main!(benches);
