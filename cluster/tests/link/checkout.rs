//! Orders with lines at several nodes, asked for at any of them.

use holdfast_actors::{CheckoutError, CommandError, Rejection};
use holdfast_core::order::OrderStatus;

use crate::house::{Member, deal, nats, request, sku_in, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_whose_lines_are_sold_by_two_nodes_has_all_of_them_or_none() {
    let nats = nats();
    let (first, second, third) =
        (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await, Member::open(&nats.url(), 3).await);
    deal(&[&first, &second]);
    // The third one owns nothing: whatever it is asked goes to the others.
    for shard in 0..16 {
        let shard = holdfast_core::ShardId(shard);
        third.owners.learn(shard, 1, if shard.0.is_multiple_of(2) { first.boot } else { second.boot });
    }
    let (here, there) = (sku_in(2, 0, 0), sku_in(2, 1, 0));
    third.stock(&here, 3).await;
    third.stock(&there, 3).await;
    assert!(first.level(&here).is_some() && second.level(&there).is_some(), "each at its owner");
    let lines = [(&here, 2), (&there, 2)];
    let placed = third.commerce().checkout(request(1, &lines)).await.expect("both have enough");
    third.wait_for(placed.order.id(), OrderStatus::Confirmed).await;
    let refused = third.commerce().checkout(request(2, &lines)).await;
    assert!(
        matches!(&refused, Err(CheckoutError::Command(CommandError::Rejected(Rejection::Stock { .. })))),
        "{refused:?}"
    );
    until("what was held for nothing is free again", || {
        let levels = [first.level(&here), second.level(&there)].map(|level| level.expect("there is stock"));
        levels.iter().all(|level| level.held == 0 && level.allocated == 2 && level.available() == 1)
    })
    .await;
    let again = first.commerce().checkout(request(1, &lines)).await.expect("it was placed");
    assert!(again.replayed && again.order.id() == placed.order.id(), "at another node as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_nodes_in_one_moment_makes_one_order() {
    let nats = nats();
    let (first, second) = (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let (here, there) = (sku_in(2, 0, 0), sku_in(2, 1, 0));
    first.stock(&here, 1_000).await;
    first.stock(&there, 1_000).await;
    for key in 1..=100 {
        let lines = [(&here, 1), (&there, 1)];
        let one = first.commerce().checkout(request(key, &lines));
        let other = second.commerce().checkout(request(key, &lines));
        let (one, other) = tokio::join!(one, other);
        let (one, other) = (one.expect("placed"), other.expect("placed"));
        assert_eq!(one.order.id(), other.order.id());
        assert!(one.replayed != other.replayed, "one of them placed it");
    }
    until("every order is paid for", || {
        let levels = [first.level(&here), second.level(&there)].map(|level| level.expect("there is stock"));
        levels.iter().all(|level| level.held == 0 && level.allocated == 100)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_is_shown_as_its_owner_has_it_wherever_it_is_asked_for() {
    let nats = nats();
    let (first, second) = (Member::open(&nats.url(), 1).await, Member::open(&nats.url(), 2).await);
    deal(&[&first, &second]);
    let sku = sku_in(2, 0, 0);
    let missing = second.commerce().product(&sku).await;
    assert!(matches!(missing, Err(CommandError::Rejected(Rejection::Product { .. }))), "{missing:?}");
    first.stock(&sku, 5).await;
    for taken in 1..=5_u64 {
        first
            .commerce()
            .adjust_stock(sku.clone(), -1, "sold elsewhere".to_owned(), None)
            .await
            .expect("there are some");
        let shown = second.commerce().product(&sku).await.expect("it is there");
        assert_eq!(shown.stock.level.available(), 5 - taken);
    }
    assert_eq!(second.commerce().views().product(&sku), None, "nobody told its views");
}
