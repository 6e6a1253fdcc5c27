//! How many checkouts a second does a node take in process, of one line over a thousand SKUs and of five lines over as many
//! shards, by the number of waiting clients?

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_actors::RuntimeSettings;
use holdfast_benches::{Shop, crowd::timed, order_of, sample::sku};
use holdfast_core::{Quantity, ShardId, SkuId};
use tokio::runtime::Runtime;

const CLIENTS: [u64; 3] = [1, 64, 512];
const SKUS: u64 = 1_000;

/// The lines of an order, by its number.
type Lines = Arc<dyn Fn(u64) -> Vec<(SkuId, Quantity)> + Send + Sync>;

/// The first SKUs that lie in five shards.
fn in_five_shards(shop: &Shop) -> Vec<SkuId> {
    let mut shards: Vec<ShardId> = Vec::new();
    let first_there = |sku: &SkuId| {
        let shard = shop.mailbox_of(sku).shard();
        let is_first = shards.len() < 5 && !shards.contains(&shard);
        if is_first {
            shards.push(shard);
        }
        is_first
    };
    (0..SKUS).map(sku).filter(first_there).collect()
}

fn checkout(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let settings = RuntimeSettings { mailbox_permits: 100_000, ..RuntimeSettings::default() };
    let shop = Arc::new(runtime.block_on(Shop::open(dir.path(), settings)));
    runtime.block_on(async {
        for number in 0..SKUS {
            shop.stock(&sku(number), 1_000_000_000).await;
        }
    });
    let (keys, wide) = (Arc::new(AtomicU64::new(1)), in_five_shards(&shop));
    let one = |key: u64| vec![(sku(key.wrapping_mul(617) % SKUS), Quantity::ONE)];
    let five = move |_: u64| wide.iter().map(|sku| (sku.clone(), Quantity::ONE)).collect::<Vec<_>>();
    let kinds: [(&str, Lines); 2] = [("one_line", Arc::new(one)), ("five_lines", Arc::new(five))];
    let mut group = criterion.benchmark_group("checkout");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(6));
    for (name, lines) in kinds {
        for clients in CLIENTS {
            let (shop, keys, lines) = (Arc::clone(&shop), Arc::clone(&keys), Arc::clone(&lines));
            group.bench_function(BenchmarkId::new(name, clients), |bencher| {
                bencher.to_async(&runtime).iter_custom(|iterations| {
                    let (shop, keys, lines) = (Arc::clone(&shop), Arc::clone(&keys), Arc::clone(&lines));
                    timed(clients, iterations, move || {
                        let (shop, key) = (Arc::clone(&shop), keys.fetch_add(1, Ordering::Relaxed));
                        let order = order_of(u128::from(key), lines(key));
                        async move {
                            let outcome = shop.node.commerce().checkout(order).await;
                            black_box(outcome.unwrap_or_else(|error| panic!("{error}")));
                        }
                    })
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, checkout);
criterion_main!(benches);
