//! A home shard that turned an order away without deciding does not know what an earlier attempt of the same key did. So what
//! that attempt may need is not taken from it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use holdfast_actors::{
    CheckoutError, CheckoutRequest, CheckoutSource, CommandError,
    message::{Reply, Request},
    router::ask_here,
};
use holdfast_cluster::LocalRouter;
use holdfast_core::{
    CartId, Currency, EntityId, OrderId, ShardCount,
    cart::{CartCommand, CartState},
};

use crate::{
    panic::bomb,
    shop::{Setup, Shop, quantity, request, sku, skus_apart},
};

const CART: CartId = CartId::from_u128(1);

/// A shop with a cart, and a SKU whose next decisions panic.
async fn shop(bombs: &Arc<AtomicU32>, wanted: &str) -> (Shop, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let probe = Some(bomb(EntityId::Stock(sku(wanted)), Arc::clone(bombs)));
    let shop = Shop::open_with(dir.path(), Setup { probe, ..Setup::default() }).await;
    shop.stock(wanted, 10).await;
    shop.commerce().create_cart(CART, Currency::EUR).await.expect("a cart");
    shop.commerce().add_item(CART, sku(wanted), quantity(1), None).await.expect("an item");
    (shop, dir)
}

fn of_cart(key: u32) -> CheckoutRequest {
    CheckoutRequest { source: CheckoutSource::Cart { cart: CART, expected_version: None }, ..request(key, &[]) }
}

async fn state(shop: &Shop) -> CartState {
    shop.commerce().cart(CART).await.expect("the cart").state()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_opens_again_when_its_only_attempt_was_turned_away() {
    let bombs = Arc::new(AtomicU32::new(0));
    let (shop, _dir) = shop(&bombs, "HP-1").await;
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.commerce().checkout(of_cart(1)).await;
    assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    assert_eq!(state(&shop).await, CartState::Open);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cart_that_an_earlier_attempt_locked_stays_locked_when_the_repeat_is_turned_away() {
    let bombs = Arc::new(AtomicU32::new(0));
    let (shop, _dir) = shop(&bombs, "HP-1").await;
    // The earlier attempt, whose order may be there: nobody has heard.
    let repeat = of_cart(1);
    let order = OrderId::from_key(repeat.key_digest, sku("HP-1").slot());
    let deadline = shop.clock.now().saturating_add_millis(1_000);
    let lock = CartCommand::BeginCheckout { order, deadline, expected_version: None };
    let router = LocalRouter::new(ShardCount::new(16).expect("a count"), Arc::clone(&shop.mailboxes));
    let home = ShardCount::new(16).expect("a count").shard_of(CART.slot());
    let mailbox = &shop.mailboxes[usize::from(home.0)];
    let locked = ask_here(&router, mailbox, Request::Cart { cart: CART, command: lock }, None).await;
    assert!(matches!(locked, Ok(Ok(Reply::Cart(_)))), "{locked:?}");
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.commerce().checkout(repeat).await;
    assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    assert_eq!(state(&shop).await, CartState::CheckingOut { order, deadline });
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_elsewhere_are_given_back_when_home_refuses_and_kept_when_it_did_not_decide() {
    let names = skus_apart(2);
    let (home, other) = (&names[0], &names[1]);
    let bombs = Arc::new(AtomicU32::new(0));
    let (shop, _dir) = shop(&bombs, home).await;
    shop.stock(other, 10).await;
    let refused = shop.buy(1, &[(home, 11), (other, 1)]).await;
    assert!(matches!(refused, Err(CheckoutError::Command(CommandError::Rejected(_)))), "{refused:?}");
    shop.wait_for_level(other, 0, 0).await;
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.buy(2, &[(home, 1), (other, 1)]).await;
    assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    assert_eq!(shop.level(other).held, 1, "an earlier attempt may have made the order that needs it");
    // The repeat takes the hold over.
    let order = shop.buy(2, &[(home, 1), (other, 1)]).await.expect("rebuilt and selling").order.id();
    shop.wait_for(order, holdfast_core::order::OrderStatus::Confirmed).await;
    shop.wait_for_level(other, 0, 1).await;
    shop.close().await;
}
