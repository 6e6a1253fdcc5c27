//! How long does a store with a million journal records take to replay, and to come back whole, after a crash?

use std::{
    collections::BTreeMap,
    hint::black_box,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use holdfast_actors::RuntimeSettings;
use holdfast_benches::{Shop, one_line_order, open_store, scale::sized};
use holdfast_core::SkuId;
use tokio::{runtime::Runtime, task::JoinSet};

/// A one-line order is six records: held and allocated of the stock; placed, authorized, allocated and confirmed of the order.
const ORDERS: u64 = 170_000;
/// Enough to see that it works.
const FEW_ORDERS: u64 = 640;

/// Sells until the journal has about a million records, and leaves as a crash would.
async fn fill(dir: &Path) {
    let settings = RuntimeSettings { checkpoint_records: u64::MAX, mailbox_permits: 100_000, ..Default::default() };
    let shop = Arc::new(Shop::open(dir, settings).await);
    let orders = sized(ORDERS, FEW_ORDERS);
    let mut clients = JoinSet::new();
    for client in 0..64_u64 {
        let shop = Arc::clone(&shop);
        clients.spawn(async move {
            let sku = SkuId::parse(&format!("SKU-{client}")).unwrap_or_else(|error| panic!("{error}"));
            shop.stock(&sku, 1_000_000).await;
            for number in 0..orders / 64 {
                let order = one_line_order(u128::from(client << 32 | (number + 1)), &sku);
                shop.node.commerce().checkout(order).await.unwrap_or_else(|error| panic!("{error}"));
            }
        });
    }
    clients.join_all().await;
    while shop.node.shards().iter().any(|report| report.figures.pursuits > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn recovery(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    Runtime::new().unwrap_or_else(|error| panic!("{error}")).block_on(fill(dir.path()));
    let filled = open_store(dir.path());
    let records: u64 = filled.shards.iter().map(|shard| filled.journal.next_seq(shard) - 1).sum();
    drop(filled);
    eprintln!("{records} records in the journal");
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(records)).sample_size(10).measurement_time(Duration::from_secs(20));
    group.bench_function("journal_replay", |bencher| {
        let store = open_store(dir.path());
        let from: BTreeMap<_, _> = store.shards.iter().map(|shard| (shard, 1)).collect();
        bencher.iter(|| {
            let seen = AtomicU64::new(0);
            let count = |_, _, record| {
                black_box(record);
                seen.fetch_add(1, Ordering::Relaxed);
            };
            store.journal.replay(&from, &count, &|_| {}).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(seen.into_inner(), records);
        });
    });
    group.bench_function("whole_node", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for _ in 0..iterations {
                let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
                let began = Instant::now();
                let settings = RuntimeSettings { checkpoint_records: u64::MAX, ..Default::default() };
                let shop = runtime.block_on(Shop::open(dir.path(), settings));
                total += began.elapsed();
                drop(shop);
                drop(runtime);
            }
            total
        });
    });
    group.finish();
}

criterion_group!(benches, recovery);
criterion_main!(benches);
