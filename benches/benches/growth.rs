//! What does a one-line checkout in process cost as SKUs, live carts and outstanding holds grow from a hundred to a million, and beside
//! an empty shop?

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use holdfast_actors::{RuntimeSettings, message::Request};
use holdfast_benches::{
    Shop,
    crowd::timed,
    one_line_order,
    sample::{digest, hold_id, sku},
    scale::sized,
};
use holdfast_core::{CartId, Currency, Quantity};
use tokio::runtime::Runtime;

/// Clients that order, and that fill the shop beforehand.
const CLIENTS: u64 = 64;
const HOUR_MS: i64 = 60 * 60 * 1_000;
const UNITS: u64 = 1_000_000_000;

/// What there is more and more of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grown {
    Skus,
    Carts,
    Holds,
}

/// Nothing lapses, leaves memory or is snapshotted while it is measured.
fn settings() -> RuntimeSettings {
    RuntimeSettings {
        mailbox_permits: 100_000,
        hold_ttl_ms: HOUR_MS,
        checkpoint_records: u64::MAX,
        checkpoint_interval_ms: HOUR_MS,
        passivate_after_ms: HOUR_MS,
        max_live_entities: usize::MAX,
        ..RuntimeSettings::default()
    }
}

/// Adds one of what grows. Number 0 is there already.
async fn add(shop: Arc<Shop>, grown: Grown, number: u64) {
    match grown {
        Grown::Skus => shop.stock(&sku(number), UNITS).await,
        Grown::Carts => {
            let cart = CartId::from_u128(digest(number));
            let created = shop.node.commerce().create_cart(cart, Currency::EUR).await;
            assert!(created.is_ok(), "{created:?}");
        }
        Grown::Holds => {
            let (sku, quantity) = (sku(0), Quantity::ONE);
            let request = Request::HoldLine { hold: hold_id(number, &sku), sku: sku.clone(), quantity, customer: None };
            let answer = shop.mailbox_of(&sku).request(request, None).unwrap_or_else(|error| panic!("{error}"));
            let held = answer.await.unwrap_or_else(|error| panic!("{error}"));
            assert!(held.is_ok(), "{held:?}");
        }
    }
}

/// Grows one shop from size to size, and measures a checkout at each.
fn grow(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, name: &str, grown: Grown) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let shop = Arc::new(runtime.block_on(Shop::open(dir.path(), settings())));
    runtime.block_on(shop.stock(&sku(0), UNITS));
    let filled = Arc::new(AtomicU64::new(1));
    for size in (2..=sized(6, 3)).map(|power| 10_u64.pow(u32::try_from(power).unwrap_or(2))) {
        let missing = size - filled.load(Ordering::Relaxed);
        let (filling, next) = (Arc::clone(&shop), Arc::clone(&filled));
        runtime.block_on(timed(CLIENTS * 8, missing, move || {
            add(Arc::clone(&filling), grown, next.fetch_add(1, Ordering::Relaxed))
        }));
        let skus = if grown == Grown::Skus { size } else { 1 };
        checkouts(group, runtime, BenchmarkId::new(name, size), &shop, skus);
    }
}

/// Measures a one-line checkout of one of the first `skus`.
fn checkouts(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    id: BenchmarkId,
    shop: &Arc<Shop>,
    skus: u64,
) {
    // Far from the orders whose holds fill the shop, and from those of the size before.
    let keys = Arc::new(AtomicU64::new(shop.node.commerce().views().order_count() as u64));
    group.bench_function(id, |bencher| {
        bencher.to_async(runtime).iter_custom(|iterations| {
            let (shop, keys) = (Arc::clone(shop), Arc::clone(&keys));
            timed(CLIENTS, iterations, move || {
                let (shop, key) = (Arc::clone(&shop), keys.fetch_add(1, Ordering::Relaxed));
                let order = one_line_order(1 << 64 | u128::from(key), &sku(key.wrapping_mul(617) % skus));
                async move {
                    let outcome = shop.node.commerce().checkout(order).await;
                    black_box(outcome.unwrap_or_else(|error| panic!("{error}")));
                }
            })
        });
    });
}

/// A shop as it is shipped, checkpoints and all: empty, and with a million carts and a hundred thousand holds together.
fn full_beside_empty(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime) {
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let shipped = RuntimeSettings { mailbox_permits: 100_000, hold_ttl_ms: HOUR_MS, ..RuntimeSettings::default() };
    let shop = Arc::new(runtime.block_on(Shop::open(dir.path(), shipped)));
    runtime.block_on(shop.stock(&sku(0), UNITS));
    checkouts(group, runtime, BenchmarkId::new("as shipped", "empty"), &shop, 1);
    for (grown, count) in [(Grown::Carts, sized(1_000_000, 100)), (Grown::Holds, sized(100_000, 100))] {
        let (filling, next) = (Arc::clone(&shop), Arc::new(AtomicU64::new(1)));
        runtime.block_on(timed(CLIENTS * 8, count, move || {
            add(Arc::clone(&filling), grown, next.fetch_add(1, Ordering::Relaxed))
        }));
    }
    checkouts(group, runtime, BenchmarkId::new("as shipped", "full"), &shop, 1);
}

fn growth(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let mut group = criterion.benchmark_group("growth");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    full_beside_empty(&mut group, &runtime);
    grow(&mut group, &runtime, "SKUs", Grown::Skus);
    grow(&mut group, &runtime, "live carts", Grown::Carts);
    grow(&mut group, &runtime, "outstanding holds", Grown::Holds);
    group.finish();
}

criterion_group!(benches, growth);
criterion_main!(benches);
