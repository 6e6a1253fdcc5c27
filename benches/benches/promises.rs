//! What does an order cost the stock of a hot SKU that has a million of them, and what do those cost that come after a checkpoint
//! shared it?

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use holdfast_benches::{
    sample::{carry_out, hold, hold_id, sku, stock},
    scale::sized,
};
use holdfast_core::{
    SkuId,
    stock::{StockCommand, StockItem},
};

/// Orders that are measured together.
const ORDERS: u64 = 10_000;

/// So many orders are between a hold and its allocation.
const OUTSTANDING: u64 = 32;

/// Sells to so many orders, the first of them being number `from`.
fn sell(stock: &mut StockItem, sku: &SkuId, from: u64, orders: u64) {
    for number in from..from.saturating_add(orders) {
        carry_out(stock, hold(number, sku));
        if let Some(before) = number.checked_sub(OUTSTANDING) {
            carry_out(stock, StockCommand::Allocate { hold: hold_id(before, sku) });
        }
    }
}

/// Takes the same orders back, so that there are as many as before.
fn take_back(stock: &mut StockItem, sku: &SkuId, from: u64, orders: u64) {
    for number in from..from.saturating_add(orders) {
        carry_out(stock, StockCommand::Release { hold: hold_id(number, sku) });
    }
}

fn promises(criterion: &mut Criterion) {
    let sku = sku(0);
    let mut group = criterion.benchmark_group("promises");
    group.throughput(Throughput::Elements(ORDERS));
    for before in [10_000, 300_000, 1_000_000, 2_000_000].map(|count| sized(count, count / 100)) {
        let mut sold = stock(&sku, 0);
        sell(&mut sold, &sku, 0, before);
        group.bench_function(format!("order/{before}"), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut measured = Duration::ZERO;
                for _ in 0..rounds {
                    let began = now();
                    sell(&mut sold, &sku, before, ORDERS);
                    measured = measured.saturating_add(began.elapsed());
                    take_back(&mut sold, &sku, before, ORDERS);
                }
                measured
            });
        });
        group.bench_function(format!("after_a_checkpoint/{before}"), |bencher| {
            // What was changed is dropped outside of what is measured: in a sale the thread does that which writes the clone.
            let sell = |shared: &mut StockItem| sell(shared, &sku, before, ORDERS);
            bencher.iter_batched_ref(|| sold.clone(), sell, BatchSize::PerIteration);
        });
    }
    group.finish();
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

criterion_group!(suite, promises);
criterion_main!(suite);
