//! Carts: each becomes one order at most, as it is when it is ordered, and is open again when that is refused; what does not fit
//! into one changes nothing.

use std::sync::Arc;

use holdfast_actors::{CheckoutError, CheckoutSource, CommandError, Rejection};
use holdfast_core::{
    CartId, Currency,
    cart::{CartRejection, CartState},
};

use crate::shop::{Shop, quantity, request, sku, skus_apart};

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
