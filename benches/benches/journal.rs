//! How many records a second does the journal make durable, by waiting producers and records a batch, beside a bare loop of
//! `fdatasync` (the disk's own limit) and sled?
//!
//! The bare loop and sled get what group commit makes of waiting producers: so many records, then one sync.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt as _,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_benches::sample::records;
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Batch, Journal, Record, Store, StoreOptions};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinSet};

const PRODUCERS: [u16; 3] = [1, 64, 512];
const BATCH_RECORDS: [usize; 3] = [1, 2, 16];
const PER_SYNC: [usize; 4] = [1, 64, 512, 4_096];
/// What is written for a record where its content does not matter, in bytes: as ours of an order.
const RECORD_BYTES: usize = 120;
/// The file of the bare loop is written round and round, in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// Appends `batches` in turn, each once the last one is durable.
async fn produce(journal: Arc<dyn Journal>, shard: ShardId, record: Record, in_batch: usize, batches: u64) {
    let mut batch = Batch { shard, first_seq: journal.next_seq(shard), records: vec![record; in_batch] };
    for _ in 0..batches {
        let (done, durable) = oneshot::channel();
        journal.append(&batch, Box::new(move |written| drop(done.send(written))));
        durable.await.unwrap_or_else(|error| panic!("{error}")).unwrap_or_else(|error| panic!("{error}"));
        batch.first_seq += in_batch as u64;
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let shards = ShardCount::new(PRODUCERS[2]).unwrap_or_else(|error| panic!("{error}"));
    let options = StoreOptions { shards: shards.get(), ..StoreOptions::default() };
    let store = Store::open(dir.path(), &options).unwrap_or_else(|error| panic!("{error}"));
    let record = records().swap_remove(0).1;
    let mut group = criterion.benchmark_group("journal");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    for producers in PRODUCERS {
        for in_batch in BATCH_RECORDS {
            group.throughput(Throughput::Elements(in_batch as u64));
            let id = BenchmarkId::new(format!("{producers}_producers"), format!("{in_batch}_a_batch"));
            group.bench_function(id, |bencher| {
                bencher.to_async(&runtime).iter_custom(|iterations| {
                    let (journal, record) = (Arc::clone(&store.journal), record.clone());
                    async move {
                        let each = iterations.div_ceil(u64::from(producers));
                        let began = Instant::now();
                        let mut all = JoinSet::new();
                        for shard in 0..producers {
                            all.spawn(produce(Arc::clone(&journal), ShardId(shard), record.clone(), in_batch, each));
                        }
                        all.join_all().await;
                        // What criterion asked for, of the little more that an even split makes.
                        began.elapsed().mul_f64(whole(iterations) / whole(each * u64::from(producers)))
                    }
                });
            });
        }
    }
    group.finish();
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn whole(count: u64) -> f64 {
    count as f64
}

fn bare_loop(criterion: &mut Criterion) {
    let file = tempfile::NamedTempFile::new().unwrap_or_else(|error| panic!("{error}"));
    let file = OpenOptions::new().write(true).open(file.path()).unwrap_or_else(|error| panic!("{error}"));
    // Written once, as the journal's segments are: a sync then carries no change of the file's own description.
    let zeros = vec![0; 1 << 20];
    for at in (0..FILE_BYTES).step_by(1 << 20) {
        file.write_all_at(&zeros, at).unwrap_or_else(|error| panic!("{error}"));
    }
    file.sync_all().unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("fdatasync");
    group.sample_size(20);
    for records in PER_SYNC {
        let (bytes, mut at) = (vec![7; records * RECORD_BYTES], 0);
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter(|| {
                file.write_all_at(&bytes, at).and_then(|()| file.sync_data()).unwrap_or_else(|error| panic!("{error}"));
                at = (at + bytes.len() as u64) % (FILE_BYTES - (1 << 20));
            });
        });
    }
    group.finish();
}

fn sled(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let config = sled::Config::new().path(dir.path()).flush_every_ms(None);
    let tree: sled::Db<1_024> = config.open().unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("sled");
    group.sample_size(10);
    let mut key = 0_u64;
    for records in PER_SYNC {
        group.throughput(Throughput::Elements(records as u64));
        group.bench_function(BenchmarkId::from_parameter(records), |bencher| {
            bencher.iter(|| {
                for _ in 0..records {
                    key += 1;
                    let stored = tree.insert(key.to_be_bytes(), [7; RECORD_BYTES]);
                    stored.unwrap_or_else(|error| panic!("{error}"));
                }
                tree.flush().unwrap_or_else(|error| panic!("{error}"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, bare_loop, sled);
criterion_main!(benches);
