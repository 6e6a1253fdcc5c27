//! Checkouts: one line, several shards, keys, refusals that leave no trace.

use std::sync::Arc;

use holdfast_actors::{
    CheckoutError, CommandError,
    message::{Envelope, Message, Reply, Request},
};
use holdfast_core::{
    HoldId, OrderId, ShardCount, Slot,
    order::{CancelReason, OrderStatus},
    stock::StockRejection,
};

use crate::shop::{Shop, quantity, request, sku, skus_apart, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_one_line_checkout_is_placed_paid_and_allocated() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let placed = shop.buy(1, &[("HP-1", 2)]).await.expect("placed");
    assert!(!placed.replayed);
    let order = shop.wait_for(placed.order.id(), OrderStatus::Confirmed).await;
    assert_eq!(order.placement().expect("placed").total.minor(), 9_800);
    let level = shop.wait_for_level("HP-1", 0, 2).await;
    assert_eq!((level.on_hand, level.available()), (10, 8));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_over_several_shards_holds_all_lines_or_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let names = skus_apart(4);
    for name in &names {
        shop.stock(name, 3).await;
    }
    let lines: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let placed = shop.buy(1, &lines).await.expect("the first fits");
    shop.wait_for(placed.order.id(), OrderStatus::Confirmed).await;
    let refused = shop.buy(2, &lines).await;
    assert!(matches!(refused, Err(CheckoutError::Command(CommandError::Rejected(_)))), "{refused:?}");
    for name in &names {
        let level = shop.wait_for_level(name, 0, 2).await;
        assert_eq!(level.available(), 1, "{name}: the refused order left nothing held");
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_given_back_too_late_leaves_the_attempt_that_took_it_over_its_units() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 3).await;
    let sku = sku("HP-1");
    let home = usize::from(ShardCount::new(16).expect("16 shards").shard_of(sku.slot()).0);
    let mailbox = &shop.mailboxes[home];
    let hold = HoldId { order: OrderId::from_key(7 << 32, Slot(0)), line: 1 };
    let take = || async {
        let request = Request::HoldLine { hold, sku: sku.clone(), quantity: quantity(2), customer: None };
        let answer = mailbox.request(request, None).expect("taken in").await.expect("answered");
        let Ok(Reply::Held(line)) = answer else { panic!("{answer:?}") };
        line.expires_at
    };
    let give_back = |expires_at| {
        mailbox.deliver(Envelope::Message(Message::ReleaseHold { sku: sku.clone(), hold, expires_at }));
    };
    let first = take().await;
    shop.clock.advance(5_000);
    let second = take().await;
    assert!(second > first, "the hold has its full time again");
    give_back(first);
    // The shard has worked on the late message once it answers this.
    shop.buy(8, &[("HP-1", 1)]).await.expect("one is left");
    assert_eq!(shop.wait_for_level("HP-1", 2, 1).await.available(), 0);
    give_back(second);
    assert_eq!(shop.wait_for_level("HP-1", 0, 1).await.available(), 2);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_one_sku_are_one_line_and_one_hold() {
    // After medusa #16502: two cart lines of one SKU were checked one by one and oversold together.
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 3).await;
    let refused = shop.buy(1, &[("HP-1", 2), ("HP-1", 2)]).await;
    assert!(matches!(refused, Err(CheckoutError::Command(CommandError::Rejected(_)))), "{refused:?}");
    assert_eq!(shop.level("HP-1").available(), 3);
    let placed = shop.buy(2, &[("HP-1", 1), ("HP-1", 2)]).await.expect("three fit");
    assert_eq!(placed.order.placement().expect("placed").lines.len(), 1);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_fifty_times_in_parallel_is_one_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open(dir.path()).await);
    shop.stock("HP-1", 100).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let shop = Arc::clone(&shop);
        crowd.spawn(async move { shop.buy(7, &[("HP-1", 1)]).await });
    }
    let mut orders = Vec::new();
    while let Some(outcome) = crowd.join_next().await {
        match outcome.expect("no request panics") {
            Ok(outcome) => orders.push(outcome.order.id()),
            Err(error) => assert_eq!(error, CheckoutError::KeyInFlight),
        }
    }
    orders.dedup();
    assert_eq!(orders.len(), 1, "every answer names the same order");
    let again = shop.buy(7, &[("HP-1", 1)]).await.expect("replayed");
    assert!(again.replayed);
    assert_eq!(again.order.id(), orders[0]);
    shop.wait_for_level("HP-1", 0, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_with_another_body_is_refused_also_when_its_first_line_lives_elsewhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let names = skus_apart(2);
    for name in &names {
        shop.stock(name, 10).await;
    }
    shop.buy(1, &[(&names[0], 1)]).await.expect("placed");
    let other_quantity = shop.buy(1, &[(&names[0], 2)]).await;
    assert_eq!(other_quantity.expect_err("refused"), CheckoutError::KeyReused);
    let other_shard = shop.buy(1, &[(&names[1], 1)]).await;
    assert_eq!(other_shard.expect_err("refused"), CheckoutError::KeyReused);
    assert_eq!(shop.level(&names[1]).available(), 10, "no trace");
    // Also among others that come with it.
    let shop = Arc::new(shop);
    let mut crowd = tokio::task::JoinSet::new();
    for key in [2, 3, 1, 4, 5] {
        let (shop, name) = (Arc::clone(&shop), names[1].clone());
        crowd.spawn(async move { (key, shop.buy(key, &[(&name, 1)]).await) });
    }
    while let Some(answered) = crowd.join_next().await {
        match answered.expect("no request panics") {
            (1, outcome) => assert_eq!(outcome.expect_err("refused"), CheckoutError::KeyReused),
            (key, outcome) => assert!(outcome.is_ok(), "{key}"),
        }
    }
    shop.wait_for_level(&names[1], 0, 4).await;
    Arc::into_inner(shop).expect("the crowd is gone").close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_payment_gives_the_units_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 5).await;
    let mut declined = request(1, &[("HP-1", 2)]);
    declined.payment_token = token("tok_decline");
    let placed = shop.commerce().checkout(declined).await.expect("placed");
    shop.wait_for(placed.order.id(), OrderStatus::Canceled).await;
    let level = shop.wait_for_level("HP-1", 0, 0).await;
    assert_eq!(level.available(), 5);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sold_out_sku_still_replays_its_orders_and_sells_again_once_units_are_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 1).await;
    let last = shop.buy(1, &[("HP-1", 1)]).await.expect("the last unit").order.id();
    let refused = shop.buy(2, &[("HP-1", 1)]).await.expect_err("sold out");
    let expected = StockRejection::Insufficient { available: 0, requested: 1 };
    assert_eq!(refused, CheckoutError::Command(CommandError::stock(sku("HP-1"), expected)));
    let again = shop.buy(1, &[("HP-1", 1)]).await.expect("the key has its order");
    assert_eq!((again.order.id(), again.replayed), (last, true));
    shop.commerce().cancel_order(last, CancelReason::Buyer, None).await.expect("canceled");
    shop.buy(2, &[("HP-1", 1)]).await.expect("the unit is back as soon as the cancel is answered");
    shop.close().await;
}
