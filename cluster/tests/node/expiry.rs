//! Time: holds that lapse, orders that expire, payments that come too late.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use holdfast_actors::{
    RuntimeSettings,
    message::{Reply, Request},
    shard::Probe,
};
use holdfast_core::{EntityId, HoldId, OrderId, ShardCount, Timestamp, order::OrderStatus};
use tokio::task::JoinSet;

use crate::{
    ownership::eventually,
    shop::{Setup, Shop, quantity, request, sku, skus_apart, token},
};

fn ttl_ms() -> u64 {
    u64::try_from(RuntimeSettings::default().hold_ttl_ms).expect("positive")
}

/// Places an order that the gateway never answers for.
async fn place_unpaid(shop: &Shop, key: u32, lines: &[(&str, i64)]) -> OrderId {
    let mut unpaid = request(key, lines);
    unpaid.payment_token = token("tok_never");
    shop.commerce().checkout(unpaid).await.expect("placed").order.id()
}

/// Holds units for an order that is never placed, and says until when.
async fn hold_alone(shop: &Shop, order: u128, name: &str, units: i64) -> Timestamp {
    let (sku, quantity) = (sku(name), quantity(units));
    let home = ShardCount::new(16).expect("16 shards").shard_of(sku.slot());
    let hold = HoldId { order: OrderId::from_u128(order), line: 0 };
    let request = Request::HoldLine { hold, sku, quantity, customer: None };
    let answer = shop.mailboxes[usize::from(home.0)].request(request, None).expect("taken in").await.expect("answered");
    let Ok(Reply::Held(line)) = answer else { panic!("{answer:?}") };
    line.expires_at
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaid_order_expires_and_its_units_are_free_again() {
    // After vendure #3509: a hold that never expires.
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 5).await;
    let unpaid = place_unpaid(&shop, 1, &[("HP-1", 5)]).await;
    shop.clock.advance(ttl_ms() - 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(shop.level("HP-1").held, 5, "not a millisecond early");
    shop.clock.advance(1);
    shop.wait_for(unpaid, OrderStatus::Expired).await;
    let level = shop.wait_for_level("HP-1", 0, 0).await;
    assert_eq!(level.available(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_keeps_its_time_whatever_became_of_the_holds_before_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    shop.stock("HP-1", 5).await;
    // The only hold of its SKU becomes an allocation, and nothing is left that could lapse.
    let paid = shop.buy(1, &[("HP-1", 1)]).await.expect("placed").order.id();
    shop.wait_for(paid, OrderStatus::Confirmed).await;
    shop.clock.advance(ttl_ms() / 2);
    // Then one without an order, so that nothing but its own deadline ends it: the first hold's time comes before.
    let expires_at = hold_alone(&shop, 2, "HP-1", 2).await;
    shop.clock.advance(ttl_ms() / 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(shop.level("HP-1").held, 2, "its time has not come");
    shop.clock.advance(expires_at.as_millis().abs_diff(shop.clock.now().as_millis()));
    assert_eq!(shop.wait_for_level("HP-1", 0, 1).await.available(), 4);
    // And once more, after everything has come due.
    let expires_at = hold_alone(&shop, 3, "HP-1", 4).await;
    shop.clock.advance(expires_at.as_millis().abs_diff(shop.clock.now().as_millis()));
    assert_eq!(shop.wait_for_level("HP-1", 0, 1).await.available(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mass_expiry_leaves_half_of_each_turn_to_the_sale() {
    const HOLDS: u64 = 5_000;
    const BUYERS: u32 = 50;
    let shards = ShardCount::new(16).expect("16 shards");
    let home = shards.shard_of(sku("LAPSING").slot());
    let names = (0..).map(|number| format!("HP-{number}"));
    let mut near = names.filter(|name| shards.shard_of(sku(name).slot()) == home);
    let (sold, blocked) = (near.next().expect("a SKU"), near.next().expect("another"));
    // The shard stands still while it is asked about `blocked`, and tells whom it asks.
    let (stands_still, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let probe: Probe = {
        let (stands_still, asked, blocked) = (Arc::clone(&stands_still), Arc::clone(&asked), sku(&blocked));
        Arc::new(move |entity: &EntityId| {
            asked.lock().expect("nobody panicked").push(entity.clone());
            while *entity == EntityId::Stock(blocked.clone()) && stands_still.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
        })
    };
    // One decision about 1,024 lapses is more than half of a turn, and leaves room for some forty orders.
    let settings = RuntimeSettings { turn_bytes: 300 << 10, ..RuntimeSettings::default() };
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Arc::new(Shop::open_with(dir.path(), Setup { settings, probe: Some(probe), ..Setup::default() }).await);
    for name in ["LAPSING", &sold, &blocked] {
        shop.stock(name, HOLDS).await;
    }
    let held = (0..HOLDS).map(|order| hold_alone(&shop, order.into(), "LAPSING", 1));
    let expire_at = futures_util::future::join_all(held).await.into_iter().max().expect("some are held");
    stands_still.store(true, Ordering::Release);
    let mut crowd = JoinSet::new();
    let (waiting, name) = (Arc::clone(&shop), blocked.clone());
    crowd.spawn(async move {
        hold_alone(&waiting, HOLDS.into(), &name, 1).await;
    });
    eventually("the shard stands still", || {
        asked.lock().expect("nobody panicked").last() == Some(&EntityId::Stock(sku(&blocked)))
    })
    .await;
    shop.clock.advance(expire_at.as_millis().abs_diff(shop.clock.now().as_millis()));
    for key in 0..BUYERS {
        let (shop, name) = (Arc::clone(&shop), sold.clone());
        crowd.spawn(async move { drop(shop.buy(key, &[(&name, 1)]).await.expect("placed")) });
    }
    let mailbox = &shop.mailboxes[usize::from(home.0)];
    eventually("all buyers wait", || mailbox.depth() > BUYERS as usize).await;
    stands_still.store(false, Ordering::Release);
    crowd.join_all().await;
    assert_eq!(shop.wait_for_level("LAPSING", 0, 0).await.available(), HOLDS);
    let asked = asked.lock().expect("nobody panicked").clone();
    let last = asked.iter().rposition(|entity| *entity == EntityId::Stock(sku("LAPSING"))).expect("it was asked");
    let placed: BTreeSet<_> = asked[..last].iter().filter(|entity| matches!(entity, EntityId::Order(_))).collect();
    assert!(placed.len() >= BUYERS as usize / 2, "{} of {BUYERS} were placed before the last lapse", placed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_over_several_shards_expires_everywhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open(dir.path()).await;
    let names = skus_apart(3);
    for name in &names {
        shop.stock(name, 2).await;
    }
    let lines: Vec<(&str, i64)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let unpaid = place_unpaid(&shop, 1, &lines).await;
    shop.clock.advance(ttl_ms());
    shop.wait_for(unpaid, OrderStatus::Expired).await;
    for name in &names {
        assert_eq!(shop.wait_for_level(name, 0, 0).await.available(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_races_the_expiry_is_fulfilled_or_voided_never_both() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open_with(dir.path(), Setup { late_ms: Some(40), ..Setup::default() }).await;
    shop.stock("HP-1", 50).await;
    let mut orders = Vec::new();
    for key in 0..50 {
        let mut late = request(key, &[("HP-1", 1)]);
        late.payment_token = token("tok_late");
        orders.push(shop.commerce().checkout(late).await.expect("placed").order.id());
    }
    // The answers come about now; which side wins is each order's own race.
    tokio::time::sleep(Duration::from_millis(38)).await;
    shop.clock.advance(ttl_ms());
    let (mut confirmed, mut ended) = (0, 0);
    for order in orders {
        let settled = async {
            loop {
                let order = shop.commerce().order(order).await.expect("there");
                if order.is_settled() {
                    return order;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let order = tokio::time::timeout(Duration::from_secs(30), settled).await.expect("it settles");
        let ledger = shop.gateway.ledger().order(order.id()).expect("the gateway knows it");
        match order.status() {
            OrderStatus::Confirmed => {
                confirmed += 1;
                assert!(!ledger.voided);
            }
            OrderStatus::Expired | OrderStatus::Canceled => {
                ended += 1;
                assert!(ledger.voided && ledger.captured == 0);
            }
            other => panic!("{} settled as {other}", order.id()),
        }
    }
    println!("50 late payments: {confirmed} confirmed, {ended} ended and voided");
    let level = shop.wait_for_level("HP-1", 0, confirmed).await;
    assert_eq!(level.available() + confirmed, 50);
    assert_eq!(ended + confirmed, 50);
    assert!(shop.gateway.ledger().violations().is_empty());
}
