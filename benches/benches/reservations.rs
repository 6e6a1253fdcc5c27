//! How many durable reservations and one-line checkouts does one hot SKU take per second, by the number of waiting clients?

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_actors::{RuntimeSettings, message::Request};
use holdfast_benches::{Shop, crowd::timed, one_line_order};
use holdfast_core::{HoldId, OrderId, Quantity, SkuId};
use tokio::runtime::Runtime;

const CLIENTS: [u64; 3] = [64, 512, 4_096];

fn settings() -> RuntimeSettings {
    RuntimeSettings { mailbox_permits: 100_000, ..RuntimeSettings::default() }
}

fn reservations(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let sku = SkuId::parse("HOT-1").unwrap_or_else(|error| panic!("{error}"));
    let shop = Arc::new(runtime.block_on(Shop::open(dir.path(), settings())));
    runtime.block_on(shop.stock(&sku, 1_000_000_000_000));
    let keys = Arc::new(AtomicU64::new(1));

    let mut group = criterion.benchmark_group("hot_sku");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(8));
    for clients in CLIENTS {
        let (shop, sku, keys) = (Arc::clone(&shop), sku.clone(), Arc::clone(&keys));
        group.bench_function(BenchmarkId::new("reservation", clients), |bencher| {
            bencher.to_async(&runtime).iter_custom(|iterations| {
                let (shop, sku, keys) = (Arc::clone(&shop), sku.clone(), Arc::clone(&keys));
                timed(clients, iterations, move || {
                    let order = OrderId::from_key(u128::from(keys.fetch_add(1, Ordering::Relaxed)) << 16, sku.slot());
                    let (hold, quantity) = (HoldId { order, line: 0 }, Quantity::ONE);
                    let request = Request::HoldLine { hold, sku: sku.clone(), quantity, customer: None };
                    let answer = shop.mailbox_of(&sku).request(request, None);
                    async move {
                        let outcome = answer.unwrap_or_else(|error| panic!("{error}")).await;
                        black_box(outcome.unwrap_or_else(|error| panic!("{error}")))
                            .unwrap_or_else(|error| panic!("{error}"));
                    }
                })
            });
        });
    }
    for clients in CLIENTS {
        let (shop, sku, keys) = (Arc::clone(&shop), sku.clone(), Arc::clone(&keys));
        group.bench_function(BenchmarkId::new("one_line_checkout", clients), |bencher| {
            bencher.to_async(&runtime).iter_custom(|iterations| {
                let (shop, sku, keys) = (Arc::clone(&shop), sku.clone(), Arc::clone(&keys));
                timed(clients, iterations, move || {
                    let (shop, key) = (Arc::clone(&shop), keys.fetch_add(1, Ordering::Relaxed));
                    let order = one_line_order(u128::from(key), &sku);
                    async move {
                        let outcome = shop.node.commerce().checkout(order).await;
                        black_box(outcome.unwrap_or_else(|error| panic!("{error}")));
                    }
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, reservations);
criterion_main!(benches);
