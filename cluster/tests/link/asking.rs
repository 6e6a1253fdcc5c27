//! Who is asked, for how long, and what is said when nobody can be.

use holdfast_actors::{Unavailable, message::Request};
use holdfast_cluster::{BootId, ClusterSettings, wire::Answer};
use holdfast_core::{CartId, Currency, ShardId, Timestamp};

use crate::house::{Member, ask_by_hand, deal, give, nats, reason, settings, sku_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_the_owner_before_is_told_who_owns_the_shard_now() {
    let nats = nats();
    let (first, second, third) =
        (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await, Member::open(&nats.url(), 3).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 0, 0);
    let shard = first.shard_of(sku.slot());
    // The first one lost it to the second one in epoch 2; the third one has not heard of that.
    first.owners.let_go(shard);
    give(&[&first, &second], shard, 2, &second);
    third.owners.learn(shard, 1, first.boot);
    third.stock(&sku, 7).await;
    assert_eq!(second.level(&sku).map(|level| level.on_hand), Some(7));
    assert_eq!(first.level(&sku), None, "not at who was asked first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_shard_without_owner_waits_until_there_is_one() {
    let nats = nats();
    let (first, second) = (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await);
    let sku = sku_in(2, 0, 0);
    let shard = first.shard_of(sku.slot());
    let waits = first.stock(&sku, 7);
    let at_home = sku_in(2, 0, 1);
    let other = second.stock(&at_home, 3);
    let owner = async {
        until("they wait", || first.router.waiting() == 1 && second.router.waiting() == 1).await;
        for even in (0..16).step_by(2) {
            give(&[&first, &second], ShardId(even), 1, &second);
        }
    };
    tokio::join!(waits, other, owner);
    assert!(second.owners.is_here(shard));
    assert_eq!(second.level(&sku).map(|level| level.on_hand), Some(7));
    assert_eq!(second.level(&at_home).map(|level| level.on_hand), Some(3), "at home, once it was its own");
    assert_eq!((first.router.waiting(), second.router.waiting()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_vain_is_told_that_nothing_was_done_and_the_places_to_wait_are_counted() {
    let nats = nats();
    let short = ClusterSettings { request_deadline_ms: 300, waiting_requests: 1, ..settings() };
    let first = Member::open_with(&nats.url(), 1, short).await;
    let one = first.commerce().create_cart(CartId::from_u128(1), Currency::EUR);
    let other = first.commerce().create_cart(CartId::from_u128(2), Currency::EUR);
    let (one, other) = tokio::join!(one, other);
    assert_eq!((reason(&one), reason(&other)), (Unavailable::Moving, Unavailable::Moving));
    let refused = first.router.waiting();
    assert_eq!(refused, 0, "places are given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_owner_is_not_asked_and_where_nobody_listens_nothing_was_done() {
    let nats = nats();
    let short = ClusterSettings { request_deadline_ms: 500, ..settings() };
    let first = Member::open_with(&nats.url(), 1, short).await;
    let second = Member::open(&nats.url(), 2).await;
    deal(&[&first, &second]);
    let (sku, units) = (sku_in(2, 1, 0), 5);
    second.stock(&sku, units).await;
    first.bury(&second);
    let adjust = || first.commerce().adjust_stock(sku.clone(), 1, "found".to_owned(), None);
    assert_eq!(reason(&adjust().await), Unavailable::Moving);
    // A boot that nobody ever had: nobody listens, so nothing was done.
    let shard = first.shard_of(sku.slot());
    first.owners.learn(shard, 2, BootId::from_bytes([77; 16]));
    assert_eq!(reason(&adjust().await), Unavailable::Moving);
    assert_eq!(second.level(&sku).map(|level| level.on_hand), Some(units));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_lease_answers_nobody() {
    let nats = nats();
    let short = ClusterSettings { request_deadline_ms: 300, ..settings() };
    let (first, second) = (Member::open_with(&nats.url(), 1, short).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 1, 0);
    second.stock(&sku, 5).await;
    let isolated = Member::open_isolated(&nats.url(), 3).await;
    let shard = first.shard_of(sku.slot());
    give(&[&first, &second, &isolated], shard, 2, &isolated);
    let seen = first.commerce().product(&sku).await;
    assert_eq!(reason(&seen), Unavailable::Moving, "nothing was done");
    let own = isolated.commerce().product(&sku).await;
    assert_eq!(reason(&own), Unavailable::Isolated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_past_its_end_is_not_carried_out() {
    let nats = nats();
    let (first, second) = (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 1, 0);
    second.stock(&sku, 5).await;
    let shard = first.shard_of(sku.slot());
    let request = Request::ReadProduct(sku.clone());
    let late = Timestamp::from_millis(1);
    let answer = ask_by_hand(&nats.url(), &second, shard, 1, late, &request).await;
    assert!(matches!(answer, Answer::Late), "{answer:?}");
    let answer = ask_by_hand(&nats.url(), &second, shard, 2, Timestamp::MAX, &request).await;
    assert!(matches!(answer, Answer::Moved { epoch: 1, .. }), "another epoch: {answer:?}");
    let answer = ask_by_hand(&nats.url(), &second, shard, 1, Timestamp::MAX, &request).await;
    assert!(matches!(answer, Answer::Outcome(Ok(_))), "{answer:?}");
}
