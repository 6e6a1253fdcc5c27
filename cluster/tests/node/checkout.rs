//! Checkouts: one line, several shards, carts, keys, refusals that leave no trace.

use std::sync::Arc;

use holdfast_actors::{
    CheckoutError, CheckoutSource, CommandError, Rejection, RuntimeSettings,
    message::{Envelope, Message, Reply, Request},
};
use holdfast_core::{
    CartId, Currency, HoldId, OrderId, ShardCount, Slot,
    cart::{CartRejection, CartState},
    order::{CancelReason, OrderStatus},
    stock::{SalePolicy, StockRejection},
};

use crate::shop::{Setup, Shop, customer, quantity, request, sku, skus_apart, token};

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
async fn ten_thousand_buyers_of_a_hundred_units_get_exactly_a_hundred() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = RuntimeSettings { mailbox_permits: 20_000, ..RuntimeSettings::default() };
    let shop = Arc::new(Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await);
    shop.stock("RARE", 100).await;
    let mut crowd = tokio::task::JoinSet::new();
    for buyer in 0..10_000 {
        let shop = Arc::clone(&shop);
        crowd.spawn(async move { shop.buy(buyer, &[("RARE", 1)]).await });
    }
    let (mut sold, mut refused) = (0, 0);
    while let Some(outcome) = crowd.join_next().await {
        match outcome.expect("no buyer panics") {
            Ok(_) => sold += 1,
            Err(CheckoutError::Command(CommandError::Rejected(Rejection::Stock {
                rejection: StockRejection::Insufficient { .. },
                ..
            }))) => refused += 1,
            Err(other) => panic!("an unclean refusal: {other}"),
        }
    }
    println!("10,000 buyers, 100 units: {sold} sold, {refused} refused");
    assert_eq!((sold, refused), (100, 9_900));
    let level = shop.wait_for_level("RARE", 0, 100).await;
    assert_eq!((level.on_hand, level.available()), (100, 0));
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
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_per_customer_holds_over_parallel_orders() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open(dir.path()).await);
    let policy = SalePolicy { per_customer_limit: Some(quantity(2)), ..SalePolicy::default() };
    shop.stock_with("LTD", 100, policy).await;
    let mut crowd = tokio::task::JoinSet::new();
    for key in 0..40 {
        let shop = Arc::clone(&shop);
        crowd.spawn(async move {
            let mut request = request(key, &[("LTD", 1)]);
            request.customer = Some(customer("ada"));
            shop.commerce().checkout(request).await.is_ok()
        });
    }
    let mut bought = 0;
    while let Some(outcome) = crowd.join_next().await {
        bought += u32::from(outcome.expect("no request panics"));
    }
    assert_eq!(bought, 2);
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
async fn a_cart_becomes_one_order_and_only_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open(dir.path()).await);
    let names = skus_apart(2);
    for name in &names {
        shop.stock(name, 50).await;
    }
    let cart = CartId::from_u128(0xca57);
    shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
    for name in &names {
        shop.commerce().add_item(cart, sku(name), quantity(1), None).await.expect("added");
    }
    let mut crowd = tokio::task::JoinSet::new();
    for key in 0..20 {
        let shop = Arc::clone(&shop);
        crowd.spawn(async move {
            let mut request = request(key, &[]);
            request.source = CheckoutSource::Cart { cart, expected_version: None };
            shop.commerce().checkout(request).await
        });
    }
    let mut orders = Vec::new();
    while let Some(outcome) = crowd.join_next().await {
        match outcome.expect("no request panics") {
            Ok(outcome) => orders.push(outcome.order.id()),
            Err(CheckoutError::Command(CommandError::Rejected(Rejection::Cart(
                CartRejection::CheckingOut { .. } | CartRejection::Converted { .. },
            )))) => {}
            Err(other) => panic!("an unclean refusal: {other}"),
        }
    }
    assert_eq!(orders.len(), 1);
    let state = shop.commerce().cart(cart).await.expect("the cart is there").state();
    assert_eq!(state, CartState::Converted { order: orders[0] });
    for name in &names {
        shop.wait_for_level(name, 0, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_that_changes_while_it_is_ordered_is_ordered_as_it_then_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open(dir.path()).await);
    shop.stock("HP-1", 1_000_000).await;
    for round in 0..100_u32 {
        let cart = CartId::from_u128(0xca57 + u128::from(round));
        shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
        shop.commerce().add_item(cart, sku("HP-1"), quantity(1), None).await.expect("added");
        let (filling, mut filler) = (Arc::clone(&shop), tokio::task::JoinSet::new());
        filler.spawn(async move {
            let mut added = 1;
            while filling.commerce().add_item(cart, sku("HP-1"), quantity(1), None).await.is_ok() {
                added += 1;
            }
            added
        });
        let mut order = request(round, &[]);
        order.source = CheckoutSource::Cart { cart, expected_version: None };
        let placed = shop.commerce().checkout(order).await.expect("the client named no version");
        let units =
            placed.order.placement().map(|placement| placement.lines.iter().map(|line| line.quantity.get()).sum());
        assert_eq!(
            units,
            filler.join_next().await.map(|added| added.expect("no panic")),
            "what was added before is in it, and nothing after"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_whose_order_is_refused_opens_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 1).await;
    let cart = CartId::from_u128(0xca57);
    shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
    shop.commerce().add_item(cart, sku("HP-1"), quantity(2), None).await.expect("added");
    let mut order = request(1, &[]);
    order.source = CheckoutSource::Cart { cart, expected_version: None };
    shop.commerce().checkout(order).await.expect_err("too many");
    assert_eq!(shop.commerce().cart(cart).await.expect("there").state(), CartState::Open);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_refuses_at_once_and_other_shards_go_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = RuntimeSettings { mailbox_permits: 8, ..RuntimeSettings::default() };
    let shop = Arc::new(Shop::open_with(dir.path(), Setup { settings, ..Setup::default() }).await);
    let names = skus_apart(2);
    for name in &names {
        shop.stock(name, 100_000).await;
    }
    let mut crowd = tokio::task::JoinSet::new();
    for key in 0..2_000 {
        let (shop, hot) = (Arc::clone(&shop), names[0].clone());
        crowd.spawn(async move { shop.buy(key, &[(&hot, 1)]).await });
    }
    let mut overloaded = 0;
    let cold = shop.buy(1_000_000, &[(&names[1], 1)]).await;
    assert!(cold.is_ok(), "the other shard sells: {cold:?}");
    while let Some(outcome) = crowd.join_next().await {
        match outcome.expect("no request panics") {
            Ok(_) => {}
            Err(CheckoutError::Command(CommandError::Overloaded { retry_after_ms })) => {
                assert!(retry_after_ms > 0);
                overloaded += 1;
            }
            Err(other) => panic!("an unclean refusal: {other}"),
        }
    }
    assert!(overloaded > 0, "eight permits and two thousand buyers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_takes_nothing_priced_in_another_currency() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let (dollars, euros) = (CartId::from_u128(0xca57), CartId::from_u128(0xca58));
    shop.commerce().create_cart(dollars, Currency::USD).await.expect("created");
    shop.commerce().create_cart(euros, Currency::EUR).await.expect("created");
    let mismatch = CommandError::from(CartRejection::CurrencyMismatch { cart: Currency::USD, other: Currency::EUR });
    let added = shop.commerce().add_item(dollars, sku("HP-1"), quantity(1), None).await;
    assert_eq!(added.expect_err("the price is in EUR"), mismatch);
    let merged = shop.commerce().merge_cart(euros, dollars).await;
    assert_eq!(merged.expect_err("the cart is in EUR"), mismatch);
    assert_eq!(shop.commerce().cart(euros).await.expect("there").state(), CartState::Open);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_is_refused_leaves_both_carts_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 10).await;
    let (from, into) = (CartId::from_u128(0xca57), CartId::from_u128(0xca58));
    for cart in [from, into] {
        shop.commerce().create_cart(cart, Currency::EUR).await.expect("created");
    }
    shop.commerce().add_item(from, sku("HP-1"), quantity(1), None).await.expect("added");
    shop.commerce().add_item(into, sku("HP-1"), quantity(1_000_000), None).await.expect("added");
    shop.commerce().merge_cart(from, into).await.expect_err("a line holds a million at most");
    let source = shop.commerce().cart(from).await.expect("there");
    assert_eq!((source.state(), source.lines().len()), (CartState::Open, 1));
    let item = shop.commerce().cart(into).await.expect("there").lines()[0].item;
    shop.commerce().change_item(into, item, quantity(1), None).await.expect("changed");
    let merged = shop.commerce().merge_cart(from, into).await.expect("now it fits");
    assert_eq!(merged.lines()[0].quantity, quantity(2));
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
