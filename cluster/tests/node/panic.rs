//! Bugs of ours, planted: a turn that panics is undone, its entity rebuilt, and after three quarantined; neighbors go on.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use holdfast_actors::{CheckoutError, CommandError, shard::Probe};
use holdfast_core::{EntityId, order::OrderStatus};

use crate::shop::{Setup, Shop, sku, skus_apart};

/// A probe that panics the next `bombs` times an entity is asked.
pub(crate) fn bomb(target: EntityId, bombs: Arc<AtomicU32>) -> Probe {
    Arc::new(move |entity| {
        let armed = *entity == target
            && bombs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        assert!(!armed, "planted: {entity} panics");
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_panics_is_undone_and_the_entity_rebuilt() {
    let dir = tempfile::tempdir().expect("a directory");
    let bombs = Arc::new(AtomicU32::new(0));
    let probe = Some(bomb(EntityId::Stock(sku("HP-1")), Arc::clone(&bombs)));
    let shop = Shop::open_with(dir.path(), Setup { probe, ..Setup::default() }).await;
    shop.stock("HP-1", 10).await;
    let first = shop.buy(1, &[("HP-1", 1)]).await.expect("placed").order.id();
    shop.wait_for(first, OrderStatus::Confirmed).await;
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.buy(2, &[("HP-1", 1)]).await;
    assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    let next = shop.buy(3, &[("HP-1", 1)]).await.expect("rebuilt and selling").order.id();
    shop.wait_for(next, OrderStatus::Confirmed).await;
    let level = shop.wait_for_level("HP-1", 0, 2).await;
    assert_eq!((level.on_hand, level.available()), (10, 8), "the order that panicked left no trace");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_panic_kept_from_leaving_is_asked_for_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let bombs = Arc::new(AtomicU32::new(0));
    let probe = Some(bomb(EntityId::Stock(sku("HP-1")), Arc::clone(&bombs)));
    let shop = Shop::open_with(dir.path(), Setup { probe, ..Setup::default() }).await;
    shop.stock("HP-1", 10).await;
    let order = shop.buy(1, &[("HP-1", 1)]).await.expect("placed").order.id();
    shop.wait_for(order, OrderStatus::Confirmed).await;
    // Shipping asks for the capture and then for the stock, which panics: nothing of it happened, the capture included.
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.commerce().ship_order(order, None).await;
    assert!(matches!(hurt, Err(CommandError::Panicked(_))), "{hurt:?}");
    shop.commerce().ship_order(order, None).await.expect("rebuilt and shipped");
    let captured = || shop.gateway.ledger().order(order).map(|books| books.captured);
    let paid = async {
        while captured() != Some(4_900) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let paid = tokio::time::timeout(std::time::Duration::from_secs(20), paid).await;
    assert!(paid.is_ok(), "shipped and never captured: {:?}", captured());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_three_panics_an_entity_is_quarantined_and_its_neighbors_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let bombs = Arc::new(AtomicU32::new(0));
    let names = skus_apart(1);
    let poisoned = EntityId::Stock(sku(&names[0]));
    let probe = Some(bomb(poisoned.clone(), Arc::clone(&bombs)));
    let shop = Shop::open_with(dir.path(), Setup { probe, ..Setup::default() }).await;
    shop.stock(&names[0], 10).await;
    let neighbor = neighbor_of(&names[0]);
    shop.stock(&neighbor, 10).await;
    bombs.store(3, Ordering::SeqCst);
    for key in 0..3 {
        let hurt = shop.buy(key, &[(&names[0], 1)]).await;
        assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    }
    let refused = shop.buy(10, &[(&names[0], 1)]).await.expect_err("out of service");
    assert_eq!(refused, CheckoutError::Command(CommandError::Quarantined(poisoned)));
    let quarantined: usize = shop.node.shards().iter().map(|report| report.figures.quarantined).sum();
    assert_eq!(quarantined, 1, "it is reported");
    let order = shop.buy(11, &[(&neighbor, 1)]).await.expect("the neighbor sells").order.id();
    shop.wait_for(order, OrderStatus::Confirmed).await;
}

/// Another SKU of the same shard.
fn neighbor_of(name: &str) -> String {
    let shards = holdfast_core::ShardCount::new(16).expect("16 is a number of shards");
    let home = shards.shard_of(sku(name).slot());
    let candidates = (0..).map(|number| format!("NEXT-{number}"));
    candidates.into_iter().find(|other| shards.shard_of(sku(other).slot()) == home).expect("there are many")
}
