//! A turn never hands the journal more than it takes, however much there is to do at once.

use std::sync::Arc;

use holdfast_actors::RuntimeSettings;
use holdfast_core::{ShardCount, order::OrderStatus};

use crate::{
    ownership,
    shop::{Setup, Shop, request, sku, token},
};

fn small_batches() -> Setup {
    Setup { small_batches: true, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_expiry_after_a_restart_takes_as_many_turns_as_it_needs() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open_with(dir.path(), small_batches()).await);
    shop.stock("HP-1", 6_000).await;
    let mut crowd = tokio::task::JoinSet::new();
    for buyer in 0..6_u32 {
        let shop = Arc::clone(&shop);
        crowd.spawn(async move {
            for number in 0..1_000 {
                let mut unpaid = request(buyer * 1_000 + number, &[("HP-1", 1)]);
                unpaid.payment_token = token("tok_never");
                shop.commerce().checkout(unpaid).await.expect("placed");
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(shop.level("HP-1").held, 6_000);
    Arc::into_inner(shop).expect("the crowd is gone").crash().await;
    let starts_after_ms = RuntimeSettings::default().hold_ttl_ms + 60_000;
    let shop = Shop::open_with(dir.path(), Setup { starts_after_ms, ..small_batches() }).await;
    let level = shop.wait_for_level("HP-1", 0, 0).await;
    assert_eq!(level.available(), 6_000);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_hundred_line_orders_is_answered_to_the_last() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open_with(dir.path(), small_batches()).await);
    let shards = ShardCount::new(16).expect("16 is a number of shards");
    let home = shards.shard_of(sku("LINE-0").slot());
    let names = (0..).map(|number| format!("LINE-{number}"));
    let names: Vec<String> = names.filter(|name| shards.shard_of(sku(name).slot()) == home).take(100).collect();
    for name in &names {
        shop.stock(name, 1_000).await;
    }
    let mut crowd = tokio::task::JoinSet::new();
    for key in 0..100 {
        let (shop, names) = (Arc::clone(&shop), names.clone());
        crowd.spawn(async move {
            let lines: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
            shop.buy(key, &lines).await.expect("placed").order.id()
        });
    }
    let orders = crowd.join_all().await;
    for order in orders {
        shop.wait_for(order, OrderStatus::Confirmed).await;
    }
    assert_eq!(shop.wait_for_level(&names[99], 0, 100).await.available(), 900);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_told_which_batches_nobody_waits_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let (shop, journal) = ownership::open(dir.path(), Setup::default()).await;
    shop.stock("HP-1", 10).await;
    assert_eq!(journal.unawaited(), 0, "its seller waits for it");
    shop.buy(1, &[("HP-1", 1)]).await.expect("placed");
    shop.wait_for_level("HP-1", 0, 1).await;
    assert!(journal.unawaited() > 0, "the gateway's answer brings nobody back");
    Arc::into_inner(shop).expect("nobody else has it").crash().await;
}
