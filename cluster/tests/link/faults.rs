//! Answers that are lost and requests that are doubled, on a wire that does that.

use std::sync::atomic::Ordering;

use holdfast_actors::{CheckoutError, CommandError, Unavailable};
use holdfast_cluster::ClusterSettings;
use holdfast_core::order::OrderStatus;
use holdfast_servers::NatsProxy;

use crate::house::{Member, deal, give, nats, reason, request, settings, sku_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_answer_is_lost_is_carried_out_once() {
    let nats = nats();
    let wire = NatsProxy::start(nats.client_port(0)).expect("a wire");
    let (first, second) = (Member::open(&wire.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 1, 0);
    first.stock(&sku, 0).await;
    wire.mischief.lost_answer_percent.store(40, Ordering::Relaxed);
    wire.mischief.doubled_request_percent.store(10, Ordering::Relaxed);
    for count in 1..=60 {
        let adjusted = first.commerce().adjust_stock(sku.clone(), 1, "found".to_owned(), None).await;
        assert_eq!(adjusted.expect("in the end it is answered").level.on_hand, count);
    }
    let (lost, doubled) = (wire.mischief.lost.load(Ordering::Relaxed), wire.mischief.doubled.load(Ordering::Relaxed));
    assert!(lost > 0 && doubled > 0, "{lost} lost, {doubled} doubled");
    assert_eq!(second.level(&sku).map(|level| level.on_hand), Some(60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_over_a_wire_that_doubles_and_loses_are_placed_once() {
    let nats = nats();
    let wire = NatsProxy::start(nats.client_port(0)).expect("a wire");
    let (first, second) = (Member::open(&wire.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let (here, there) = (sku_in(2, 0, 0), sku_in(2, 1, 0));
    first.stock(&here, 100).await;
    first.stock(&there, 100).await;
    wire.mischief.doubled_request_percent.store(10, Ordering::Relaxed);
    wire.mischief.lost_answer_percent.store(10, Ordering::Relaxed);
    for key in 1..=40 {
        let (home, other) = if key % 2 == 0 { (&here, &there) } else { (&there, &here) };
        let placed = first.commerce().checkout(request(key, &[(home, 1), (other, 1)])).await.expect("there is enough");
        first.wait_for(placed.order.id(), OrderStatus::Confirmed).await;
    }
    assert!(wire.mischief.doubled.load(Ordering::Relaxed) + wire.mischief.lost.load(Ordering::Relaxed) > 0);
    until("every unit is where it should be", || {
        let levels = [first.level(&here), second.level(&there)].map(|level| level.expect("there is stock"));
        levels.iter().all(|level| level.held == 0 && level.allocated == 40)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_done_by_one_owner_is_not_asked_of_the_next_unless_it_may_be_done_twice() {
    let nats = nats();
    let wire = NatsProxy::start(nats.client_port(0)).expect("a wire");
    let short = ClusterSettings { request_deadline_ms: 2_000, ..settings() };
    let first = Member::open_with(&wire.url(), 1, short).await;
    let (second, third) = (Member::open(&nats.url(), 2).await, Member::open(&nats.url(), 3).await);
    let sku = sku_in(2, 1, 0);
    let shard = first.shard_of(sku.slot());
    give(&[&first, &third], shard, 1, &third);
    third.stock(&sku, 10).await;
    third.owners.let_go(shard);
    give(&[&first, &second], shard, 2, &second);
    second.stock(&sku, 10).await;
    wire.mischief.lost_answer_percent.store(100, Ordering::Relaxed);
    let adjust = first.commerce().adjust_stock(sku.clone(), 1, "found".to_owned(), None);
    let takeover = async {
        until("an answer is lost", || wire.mischief.lost.load(Ordering::Relaxed) > 0).await;
        give(&[&first, &third], shard, 3, &third);
    };
    let (adjusted, ()) = tokio::join!(adjust, takeover);
    assert_eq!(reason(&adjusted), Unavailable::Unknown);
    assert_eq!(second.level(&sku).map(|level| level.on_hand), Some(11), "once");
    assert_eq!(third.level(&sku).map(|level| level.on_hand), Some(10), "the next owner was not asked");
    // An order may: whoever owns the shard knows whether it is there.
    wire.mischief.lost_answer_percent.store(0, Ordering::Relaxed);
    let placed = first.commerce().checkout(request(1, &[(&sku, 1)])).await.expect("the next owner has enough");
    assert!(!placed.replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_answer_was_lost_is_asked_of_the_next_owner() {
    let nats = nats();
    let wire = NatsProxy::start(nats.client_port(0)).expect("a wire");
    let first = Member::open(&wire.url(), 1).await;
    let (second, third) = (Member::open(&nats.url(), 2).await, Member::open(&nats.url(), 3).await);
    let sku = sku_in(2, 1, 0);
    let shard = first.shard_of(sku.slot());
    give(&[&first, &third], shard, 1, &third);
    third.stock(&sku, 10).await;
    third.owners.let_go(shard);
    give(&[&first, &second], shard, 2, &second);
    second.stock(&sku, 10).await;
    wire.mischief.lost_answer_percent.store(100, Ordering::Relaxed);
    let order = first.commerce().checkout(request(1, &[(&sku, 1)]));
    let takeover = async {
        until("an answer is lost", || wire.mischief.lost.load(Ordering::Relaxed) > 0).await;
        give(&[&first, &third], shard, 3, &third);
        wire.mischief.lost_answer_percent.store(0, Ordering::Relaxed);
    };
    let (placed, ()) = tokio::join!(order, takeover);
    let placed = placed.expect("placed by the next owner");
    third.wait_for(placed.order.id(), OrderStatus::Confirmed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_owner_may_have_done_stays_in_doubt_when_another_node_says_it_did_nothing() {
    let nats = nats();
    let wire = NatsProxy::start(nats.client_port(0)).expect("a wire");
    let short = ClusterSettings { request_deadline_ms: 2_000, ..settings() };
    let first = Member::open_with(&wire.url(), 1, short).await;
    let (second, third) = (Member::open(&nats.url(), 2).await, Member::open(&nats.url(), 3).await);
    let sku = sku_in(2, 1, 0);
    let shard = first.shard_of(sku.slot());
    give(&[&first, &second, &third], shard, 1, &second);
    second.stock(&sku, 10).await;
    wire.mischief.lost_answer_percent.store(100, Ordering::Relaxed);
    let order = first.commerce().checkout(request(1, &[(&sku, 1)]));
    let misled = async {
        until("an answer is lost", || wire.mischief.lost.load(Ordering::Relaxed) > 0).await;
        // Only this one takes the third for the owner.
        give(&[&first], shard, 2, &third);
        wire.mischief.lost_answer_percent.store(0, Ordering::Relaxed);
    };
    let (placed, ()) = tokio::join!(order, misled);
    let Err(CheckoutError::Command(CommandError::Unavailable { reason, .. })) = placed else {
        panic!("the second owner placed it and its answer was lost: {placed:?}")
    };
    assert_eq!(reason, Unavailable::Unknown);
    until("it was placed", || second.level(&sku).is_some_and(|level| level.allocated == 1)).await;
}
