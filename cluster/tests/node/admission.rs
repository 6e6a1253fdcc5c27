//! Who gets in where not everybody can: more buyers than units, than a customer may have, or than a mailbox has permits. Whoever
//! does not is refused cleanly, and at once.

use std::sync::Arc;

use holdfast_actors::{CheckoutError, CommandError, Rejection, RuntimeSettings};
use holdfast_core::stock::{SalePolicy, StockRejection};

use crate::shop::{Setup, Shop, customer, quantity, request, skus_apart};

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
