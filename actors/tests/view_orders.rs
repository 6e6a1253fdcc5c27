//! Orders as readers see them: newest first, of all, of a buyer or of a customer, page by page, in whatever order they
//! were fed.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use holdfast_actors::view::{OrderEntry, OrderQuery, ViewUpdate, Views};
use holdfast_core::{
    BuyerId, Currency, CustomerId, Entity, Money, OrderId, Quantity, SkuId, Slot, Timestamp,
    order::{CancelReason, CapturePolicy, Order, OrderCommand, OrderLine, OrderStatus, PaymentToken, Placement},
};
use proptest::prelude::*;

fn sku(text: &str) -> SkuId {
    SkuId::parse(text).unwrap()
}

fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).unwrap()
}

fn entry(id: u128, placed_at: i64) -> OrderEntry {
    OrderEntry {
        id: OrderId::from_u128(id),
        placed_at: Timestamp::from_millis(placed_at),
        version: 1,
        buyer: BuyerId::from_u128(1),
        customer: None,
        status: OrderStatus::Placed,
        total: Money::new(1_000, Currency::EUR),
        skus: vec![sku("A")],
    }
}

fn feed(views: &Views, entries: impl IntoIterator<Item = OrderEntry>) {
    entries.into_iter().for_each(|entry| views.apply(ViewUpdate::Order(entry)));
}

fn all() -> OrderQuery {
    OrderQuery { limit: usize::MAX, ..OrderQuery::default() }
}

fn ids(views: &Views, query: &OrderQuery) -> Vec<u128> {
    views.orders(query).iter().map(|order| order.id.as_u128()).collect()
}

/// Every page of a query, one after the other.
fn pages(views: &Views, query: &OrderQuery) -> Vec<u128> {
    let mut query = query.clone();
    let mut seen = Vec::new();
    loop {
        let page = views.orders(&query);
        let Some(last) = page.last() else { return seen };
        query.before = Some((last.placed_at, last.id));
        seen.extend(page.iter().map(|order| order.id.as_u128()));
    }
}

#[test]
fn orders_come_newest_first_and_those_of_one_instant_by_id() {
    let views = Views::new();
    feed(&views, [entry(5, 100), entry(9, 100), entry(1, 200), entry(7, 100)]);
    assert_eq!(ids(&views, &all()), [1, 9, 7, 5]);
    assert_eq!(pages(&views, &OrderQuery { limit: 1, ..OrderQuery::default() }), [1, 9, 7, 5]);
    assert_eq!(ids(&views, &OrderQuery { limit: 0, ..OrderQuery::default() }), []);
}

#[test]
fn an_order_is_listed_as_it_was_placed_and_where_it_stands() {
    let mut order = Order::new(OrderId::from_u128(0x77));
    let placement = Placement {
        buyer: BuyerId::from_u128(5),
        customer: Some(customer("ann")),
        lines: vec![OrderLine { sku: sku("A"), quantity: Quantity::ONE, unit_price: Money::new(700, Currency::EUR) }],
        total: Money::new(700, Currency::EUR),
        payment_token: PaymentToken::parse("tok_approve").unwrap(),
        capture: CapturePolicy::default(),
        placed_at: Timestamp::from_millis(40),
        expires_at: Timestamp::from_millis(90),
        fingerprint: 0,
    };
    let views = Views::new();
    assert_eq!(ViewUpdate::of_order(&order), None, "not placed, not listed");
    for command in [
        OrderCommand::Place(placement.into()),
        OrderCommand::Cancel { reason: CancelReason::Buyer, expected_version: None },
    ] {
        for event in order.decide(command, Timestamp::from_millis(41)).unwrap() {
            order.apply(&event);
        }
        views.apply(ViewUpdate::of_order(&order).unwrap());
    }
    let [listed] = views.orders(&all()).try_into().unwrap();
    assert_eq!((listed.id, listed.placed_at), (order.id(), Timestamp::from_millis(40)));
    assert_eq!((listed.buyer, listed.customer), (BuyerId::from_u128(5), Some(customer("ann"))));
    assert_eq!((listed.total, listed.status), (Money::new(700, Currency::EUR), OrderStatus::Canceled));
}

#[test]
fn a_status_moves_on_and_never_back() {
    let views = Views::new();
    feed(&views, [entry(1, 1)]);
    let set = |status, version| {
        views.apply(ViewUpdate::OrderStatus { id: OrderId::from_u128(1), status, version });
        views.orders(&all())[0].status
    };
    assert_eq!(set(OrderStatus::Confirmed, 5), OrderStatus::Confirmed);
    assert_eq!(set(OrderStatus::Authorized, 4), OrderStatus::Confirmed);
    feed(&views, [entry(1, 1)]);
    assert_eq!(set(OrderStatus::Shipped, 5), OrderStatus::Confirmed, "the same version is the same fact");
    views.apply(ViewUpdate::OrderStatus { id: OrderId::from_u128(2), status: OrderStatus::Shipped, version: 9 });
    assert_eq!(views.order_count(), 1, "a status alone is no order");
}

#[test]
fn feeding_an_order_twice_lists_it_once() {
    let views = Views::new();
    feed(&views, [entry(1, 1), entry(2, 2), entry(1, 1)]);
    assert_eq!(ids(&views, &all()), [2, 1]);
    assert_eq!(views.order_count(), 2);
}

#[test]
fn filters_find_the_orders_of_a_buyer_a_customer_a_sku_and_a_status() {
    let views = Views::new();
    let of = |id: u128, name: &str, skus: &[&str]| OrderEntry {
        buyer: BuyerId::from_u128(id % 2),
        customer: Some(customer(name)),
        skus: skus.iter().map(|text| sku(text)).collect(),
        ..entry(id, 0)
    };
    feed(&views, [of(1, "ann", &["A"]), of(2, "bob", &["A", "B"]), of(3, "ann", &["B"]), of(4, "ann", &["C", "A"])]);
    views.apply(ViewUpdate::OrderStatus { id: OrderId::from_u128(3), status: OrderStatus::Shipped, version: 2 });
    assert_eq!(ids(&views, &OrderQuery { customer: Some(customer("ann")), ..all() }), [4, 3, 1]);
    assert_eq!(ids(&views, &OrderQuery { customer: Some(customer("eve")), ..all() }), []);
    assert_eq!(ids(&views, &OrderQuery { buyer: Some(BuyerId::from_u128(1)), ..all() }), [3, 1]);
    assert_eq!(ids(&views, &OrderQuery { buyer: Some(BuyerId::from_u128(9)), ..all() }), []);
    assert_eq!(ids(&views, &OrderQuery { sku: Some(sku("A")), ..all() }), [4, 2, 1]);
    assert_eq!(ids(&views, &OrderQuery { sku: Some(sku("Z")), ..all() }), []);
    assert_eq!(ids(&views, &OrderQuery { status: Some(OrderStatus::Shipped), ..all() }), [3]);
    let both = OrderQuery { buyer: Some(BuyerId::from_u128(0)), customer: Some(customer("ann")), ..all() };
    assert_eq!(ids(&views, &both), [4]);
}

#[test]
fn a_stretch_of_time_has_its_beginning_and_not_its_end() {
    let views = Views::new();
    let of = |id: u128, at: i64| OrderEntry { customer: (id % 2 == 1).then(|| customer("ann")), ..entry(id, at) };
    feed(&views, [of(1, 100), of(2, 100), of(3, 200), of(4, 200), of(5, 300), of(6, 300)]);
    let between = |from, to| OrderQuery {
        placed_from: Some(Timestamp::from_millis(from)),
        placed_to: Some(Timestamp::from_millis(to)),
        ..all()
    };
    assert_eq!(ids(&views, &between(100, 300)), [4, 3, 2, 1]);
    assert_eq!(ids(&views, &between(101, 301)), [6, 5, 4, 3]);
    assert_eq!(ids(&views, &between(200, 200)), []);
    assert_eq!(ids(&views, &between(i64::MIN, i64::MAX)), [6, 5, 4, 3, 2, 1]);
    assert_eq!(pages(&views, &OrderQuery { limit: 1, ..between(100, 300) }), [4, 3, 2, 1]);
    let of_ann = OrderQuery { customer: Some(customer("ann")), ..between(200, 301) };
    assert_eq!(ids(&views, &of_ann), [5, 3]);
    assert_eq!(pages(&views, &OrderQuery { limit: 1, ..of_ann }), [5, 3]);
    assert_eq!(ids(&views, &OrderQuery { buyer: Some(BuyerId::from_u128(1)), ..between(0, 200) }), [2, 1]);
}

#[test]
fn the_order_of_a_key_is_found_whatever_its_first_line() {
    let views = Views::new();
    let digest = 0x1234_5678_9abc_def0_1122_3344_5566_0000;
    let id = OrderId::from_key(digest, Slot(0xbeef));
    assert_eq!(views.order_of_key(digest), None);
    feed(&views, [OrderEntry { id, ..entry(0, 0) }]);
    assert_eq!(views.order_of_key(digest), Some(id));
    assert_eq!(views.order_of_key(digest | 0x42), Some(id), "the low 16 bits do not count");
    assert_eq!(views.order_of_key(digest ^ (1 << 16)), None);
}

#[test]
fn a_long_search_finds_the_one_order_among_many() {
    let views = Views::new();
    feed(&views, (0..10_000).map(|number| entry(number << 16, i64::try_from(number).unwrap())));
    views.apply(ViewUpdate::OrderStatus { id: OrderId::from_u128(17 << 16), status: OrderStatus::Expired, version: 2 });
    let expired = OrderQuery { status: Some(OrderStatus::Expired), ..all() };
    assert_eq!(ids(&views, &expired), [17 << 16]);
    let buyers = OrderQuery { buyer: Some(BuyerId::from_u128(1)), ..expired };
    assert_eq!(ids(&views, &buyers), [17 << 16]);
}

#[test]
fn orders_restored_in_the_order_of_their_ids_are_listed_in_the_order_of_their_time() {
    let views = Views::new();
    let count = 100_000_u64;
    // A permutation: ids say nothing about time.
    let placed_at = |number: u64| i64::try_from(number.wrapping_mul(48_271) % count).unwrap();
    feed(&views, (0..count).map(|number| entry(u128::from(number) << 16, placed_at(number))));
    views.settle();
    let page = views.orders(&OrderQuery { buyer: Some(BuyerId::from_u128(1)), limit: 1_000, ..all() });
    assert!(
        page.iter().zip((0..count).rev()).all(|(order, at)| order.placed_at.as_millis() == i64::try_from(at).unwrap())
    );
    feed(&views, [entry(u128::from(count) << 16, i64::try_from(count).unwrap())]);
    assert_eq!(views.orders(&all()).len(), 100_001);
    assert_eq!(ids(&views, &OrderQuery { limit: 1, ..all() }), [u128::from(count) << 16], "and life goes on");
}

fn any_entry() -> impl Strategy<Value = OrderEntry> {
    (0..40_u128, 0..6_i64, 0..4_u128, prop::option::of(0..3_u8), prop::collection::vec(0..3_u8, 0..3)).prop_map(
        |(id, placed_at, buyer, of, skus)| OrderEntry {
            // The id fixes the rest, as it does in life; a few share an idempotency key.
            buyer: BuyerId::from_u128((buyer + id) % 4),
            customer: of.map(|name| customer(&format!("c{name}"))),
            skus: skus.into_iter().map(|number| sku(&format!("S{number}"))).collect(),
            ..entry(id << 14, placed_at)
        },
    )
}

proptest! {
    #[test]
    fn listings_agree_with_a_plain_sorted_list(
        entries in prop::collection::vec(any_entry(), 0..80), limit in 1..7_usize, query_now in any::<bool>(),
    ) {
        let views = Views::new();
        let mut model: Vec<OrderEntry> = Vec::new();
        for entry in entries {
            views.apply(ViewUpdate::Order(entry.clone()));
            if model.iter().all(|known| known.id != entry.id) {
                model.push(entry);
            }
            if query_now {
                prop_assert_eq!(views.orders(&all()).len(), model.len());
            }
        }
        model.sort_by_key(|entry| std::cmp::Reverse((entry.placed_at, entry.id)));
        let buyers = [None, Some(BuyerId::from_u128(0)), Some(BuyerId::from_u128(3))];
        let customers = [None, Some(customer("c0")), Some(customer("c9"))];
        for buyer in buyers {
            for of in &customers {
                for sold in [None, Some(sku("S1"))] {
                    let expected: Vec<u128> = model.iter()
                        .filter(|entry| buyer.is_none_or(|buyer| entry.buyer == buyer))
                        .filter(|entry| of.is_none() || entry.customer == *of)
                        .filter(|entry| sold.as_ref().is_none_or(|sold| entry.skus.contains(sold)))
                        .map(|entry| entry.id.as_u128()).collect();
                    let query = OrderQuery { buyer, customer: of.clone(), sku: sold.clone(), limit, ..all() };
                    prop_assert_eq!(pages(&views, &query), expected);
                }
            }
        }
    }
}
