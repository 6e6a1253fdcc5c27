//! Coming back: after an orderly end, and after none.

use std::time::Duration;

use holdfast_actors::RuntimeSettings;
use holdfast_core::{CartId, Currency, OrderId, order::OrderStatus};

use crate::shop::{Setup, Shop, quantity, request, sku, skus_apart, token};

/// Buys in every shard and gives the orders.
pub(crate) async fn busy_shop(shop: &Shop, orders: u32) -> Vec<OrderId> {
    let names = skus_apart(5);
    for name in &names {
        shop.stock(name, 1_000).await;
    }
    let mut placed = Vec::new();
    for key in 0..orders {
        let first = names[key as usize % names.len()].as_str();
        let second = names[(key as usize + 1) % names.len()].as_str();
        placed.push(shop.buy(key, &[(first, 1), (second, 2)]).await.expect("placed").order.id());
    }
    for order in &placed {
        shop.wait_for(*order, OrderStatus::Confirmed).await;
    }
    placed
}

/// Everything a reader could see, in words.
pub(crate) async fn picture(shop: &Shop, orders: &[OrderId]) -> Vec<String> {
    let mut lines = Vec::new();
    for name in skus_apart(5) {
        lines.push(format!("{name} {:?}", shop.level(&name)));
    }
    for order in orders {
        lines.push(format!("{:?}", shop.commerce().order(*order).await.expect("the order is there")));
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_orderly_end_everything_is_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let orders = busy_shop(&shop, 40).await;
    let before = picture(&shop, &orders).await;
    shop.close().await;
    let shop = Shop::open(dir.path()).await;
    assert!(shop.node.recovery_progress().snapshots > 0, "the checkpoint was used");
    for report in shop.node.shards() {
        let (covered, all) = (report.figures.watermark, report.figures.sequence);
        assert_eq!(covered, all, "the last checkpoint of shard {} did not cover everything", report.shard.0);
    }
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_orderly_end_the_journal_alone_gives_everything_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let orders = busy_shop(&shop, 40).await;
    let before = picture(&shop, &orders).await;
    shop.crash().await;
    let shop = Shop::open(dir.path()).await;
    assert!(shop.node.recovery_progress().records > 0, "the journal was replayed");
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_in_the_middle_of_a_sale_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = RuntimeSettings { checkpoint_records: 50, checkpoint_slice: 3, ..RuntimeSettings::default() };
    let shop = Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await;
    let orders = busy_shop(&shop, 120).await;
    let before = picture(&shop, &orders).await;
    shop.crash().await;
    let shop = Shop::open(dir.path()).await;
    let progress = shop.node.recovery_progress();
    assert!(progress.snapshots > 0 && progress.records > 0, "both were used: {progress:?}");
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_in_a_checkpoint_what_its_snapshots_contain_stays_out_of_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let orders = busy_shop(&shop, 60).await;
    let before = picture(&shop, &orders).await;
    shop.node.checkpoint_now(None).await;
    // As if the crash had come between the last snapshot and the watermark: the whole journal is replayed over the snapshots.
    for report in shop.node.shards() {
        shop.node.snapshots().set_watermark(report.shard, 0).expect("written");
    }
    shop.crash().await;
    let shop = Shop::open(dir.path()).await;
    assert!(shop.node.recovery_progress().records > 300, "{:?}", shop.node.recovery_progress());
    let cold: usize = shop.node.shards().iter().map(|report| report.figures.cold).sum();
    assert_eq!(cold, orders.len());
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_waits_until_enough_has_changed_but_not_for_ever() {
    let defaults = RuntimeSettings { checkpoint_records: 20, ..RuntimeSettings::default() };
    let most = defaults.checkpoint_records_at_most;
    for (percent, checkpoint_records_at_most, begins) in [(25, most, false), (0, most, true), (25, 20, true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let settings =
            RuntimeSettings { checkpoint_changed_percent: percent, checkpoint_records_at_most, ..defaults.clone() };
        let shop = Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await;
        // Forty entities in one shard, all of them in a checkpoint.
        for key in 0..40 {
            let cart = CartId::from_u128(key << 16);
            shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
        }
        let watermark = || shop.node.shards()[0].figures.watermark;
        let asked = shop.node.checkpoint_now(None).await;
        let before = asked[0].watermark.expect("it is written");
        assert!(before >= 40, "{before}");
        // One of them changes forty times.
        shop.stock("HP-1", 10).await;
        for _ in 0..40 {
            shop.commerce().add_item(CartId::from_u128(0), sku("HP-1"), quantity(1), None).await.expect("added");
        }
        let began = async {
            while watermark() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(if begins { 20_000 } else { 300 }), began);
        assert_eq!(waited.await.is_ok(), begins, "{percent} percent, at most {checkpoint_records_at_most}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_waits_for_a_rush_to_pass_but_not_for_ever() {
    let rush = RuntimeSettings {
        checkpoint_records: 30,
        checkpoint_changed_percent: 0,
        checkpoint_rush_records: 10,
        ..RuntimeSettings::default()
    };
    let half_full = RuntimeSettings { max_live_entities: 60, ..rush.clone() };
    let long = RuntimeSettings { checkpoint_records_at_most: 40, ..rush.clone() };
    for (settings, waits, case) in [(rush, true, "rush"), (half_full, false, "half full"), (long, false, "long")] {
        let dir = tempfile::tempdir().expect("a directory");
        let shop = Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await;
        // Forty records in one shard and no time at all.
        for key in 0..40 {
            let cart = CartId::from_u128(key << 16);
            shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
        }
        let begins = async |within_ms| {
            let began = async {
                while shop.node.shards()[0].figures.watermark == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_millis(within_ms), began).await.is_ok()
        };
        if waits {
            // Forty is four seconds' worth. The bucket is half empty after two.
            shop.clock.advance(1_999);
            assert!(!begins(300).await, "{case}");
            shop.clock.advance(1);
        }
        assert!(begins(20_000).await, "{case}");
        shop.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_a_restart_returns_the_same_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let first = shop.buy(9, &[("HP-1", 1)]).await.expect("placed").order.id();
    shop.crash().await;
    let shop = Shop::open(dir.path()).await;
    let again = shop.buy(9, &[("HP-1", 1)]).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(again.order.id(), first);
    shop.wait_for_level("HP-1", 0, 1).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_under_way_at_a_crash_is_taken_up_again_under_the_same_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let mut late = request(1, &[("HP-1", 1)]);
    late.payment_token = token("tok_late");
    let order = shop.commerce().checkout(late).await.expect("placed").order.id();
    shop.crash().await;
    let shop = Shop::open(dir.path()).await;
    shop.wait_for(order, OrderStatus::Confirmed).await;
    assert!(shop.gateway.ledger().violations().is_empty());
    shop.close().await;
}
