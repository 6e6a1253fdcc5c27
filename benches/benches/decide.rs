//! What does it cost to decide a command and to take in what follows, per entity, without a shard around it?

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use holdfast_benches::sample::{
    LATER, NOW, add_item, approved, carry_out, cart, hold, hold_id, order, order_id, placement, sku, stock,
};
use holdfast_core::{
    Entity, Timestamp,
    order::{Order, OrderCommand},
    stock::{StockCommand, StockItem},
};

/// Measures one command on fresh copies of an entity. Copying is not measured, but for what a stock item shares with its copies until
/// one is written to: the first command on each copies the promises beside it, up to 1,024 of them.
fn on<E: Entity + Clone>(criterion: &mut Criterion, name: &str, entity: &E, command: impl Fn() -> E::Command) {
    criterion.bench_function(name, |bencher| {
        let fresh = || (entity.clone(), Some(command()));
        let carry_out = |(entity, command): &mut (E, Option<E::Command>)| {
            if let Some(command) = command.take() {
                carry_out(entity, command);
            }
        };
        bencher.iter_batched_ref(fresh, carry_out, BatchSize::SmallInput);
    });
}

fn of_stock(criterion: &mut Criterion) {
    let sku = sku(0);
    for holds in [0, 100, 10_000] {
        on(criterion, &format!("stock/hold_beside_{holds}"), &stock(&sku, holds), || hold(u64::MAX, &sku));
    }
    for holds in [0, 100, 10_000] {
        criterion.bench_function(&format!("stock/hold_and_release_beside_{holds}"), |bencher| {
            let (mut stock, mut number) = (stock(&sku, holds), u64::MAX);
            bencher.iter(|| {
                number -= 1;
                carry_out(&mut stock, hold(number, &sku));
                carry_out(&mut stock, StockCommand::Release { hold: hold_id(number, &sku) });
            });
        });
    }
    let held = stock(&sku, 100);
    on(criterion, "stock/allocate", &held, || StockCommand::Allocate { hold: hold_id(50, &sku) });
    on(criterion, "stock/release", &held, || StockCommand::Release { hold: hold_id(50, &sku) });
    let empty = StockItem::new(sku.clone());
    criterion.bench_function("stock/refuse", |bencher| {
        bencher.iter(|| drop(black_box(empty.decide(hold(1, &sku), NOW))));
    });
    let late = Timestamp::from_millis(LATER.as_millis() + 1);
    let full = stock(&sku, 1_000);
    criterion.bench_function("stock/lapse_1000", |bencher| {
        let lapse = |stock: &mut StockItem| {
            let Ok(events) = stock.decide(StockCommand::Lapse, late) else { panic!("refused") };
            for event in &events {
                stock.apply(event);
            }
        };
        bencher.iter_batched_ref(|| full.clone(), lapse, BatchSize::SmallInput);
    });
}

fn of_order(criterion: &mut Criterion) {
    let id = order_id(9, &sku(0));
    for lines in [1, 5] {
        let placement = Arc::new(placement(lines));
        let place = || OrderCommand::Place(Arc::clone(&placement));
        on(criterion, &format!("order/place_{lines}"), &Order::new(id), place);
    }
    let placed = order();
    on(criterion, "order/authorize", &placed, || OrderCommand::RecordAuthorization(approved()));
    let mut authorized = placed.clone();
    carry_out(&mut authorized, OrderCommand::RecordAuthorization(approved()));
    on(criterion, "order/confirm", &authorized, || OrderCommand::LineAllocated { line: 0 });
    criterion.bench_function("order/next_steps", |bencher| bencher.iter(|| black_box(authorized.next_steps())));
}

fn of_cart(criterion: &mut Criterion) {
    for lines in [0, 20] {
        on(criterion, &format!("cart/add_to_{lines}"), &cart(lines), || add_item(99));
    }
}

criterion_group!(benches, of_stock, of_order, of_cart);
criterion_main!(benches);
