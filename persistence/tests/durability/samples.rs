//! One of everything: every event variant with fixed values, states made of them, and small ways to drive a journal.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use holdfast_core::{
    BuyerId, CartId, Currency, CustomerId, EntityId, Event, HoldId, Money, OrderId, Quantity, ShardCount, ShardId,
    SkuId, Timestamp,
    cart::{CartEvent, CartLine},
    order::{
        AuthorizationOutcome, CancelReason, CapturePolicy, OrderEvent, OrderLine, PaymentToken, Placement,
        SettlementOutcome,
    },
    product::{ProductDetails, ProductEvent, Variant},
    stock::{SalePolicy, StockEvent},
};
use holdfast_persistence::{
    AppendError, Batch, Journal, JournalError, Record, StoreId,
    journal::{JournalOptions, SegmentJournal, TornTail},
};

use crate::memory_disk::MemoryDisk;

pub(crate) const STORE: StoreId = StoreId::from_bytes(*b"golden store id!");
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_700_000_900_123);

pub(crate) fn shards() -> ShardCount {
    ShardCount::new(4).unwrap()
}

/// Small segments, so that a test sees several.
pub(crate) fn small() -> JournalOptions {
    JournalOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: 16 << 10,
        frame_limit_bytes: 8 << 10,
        record_limit_bytes: 8 << 10,
        space_retry_ms: 10,
        ..JournalOptions::default()
    }
}

pub(crate) fn open(disk: &MemoryDisk) -> Result<(SegmentJournal, Option<TornTail>), JournalError> {
    SegmentJournal::open_on(Arc::new(disk.clone()), STORE, shards(), small())
}

/// Appends and waits for the outcome.
pub(crate) fn append(journal: &dyn Journal, shard: u16, records: Vec<Record>) -> Result<(), AppendError> {
    let first_seq = journal.next_seq(ShardId(shard));
    let (sender, outcome) = mpsc::channel();
    let batch = Batch { shard: ShardId(shard), first_seq, records };
    journal.append(&batch, Box::new(move |result| sender.send(result).unwrap()));
    outcome.recv_timeout(Duration::from_mins(1)).unwrap()
}

/// Everything from sequence number `from` of every shard on, in order per shard.
pub(crate) fn replay_from(journal: &dyn Journal, from: u64) -> Result<BTreeMap<u16, Vec<(u64, Record)>>, JournalError> {
    let from = shards().iter().map(|shard| (shard, from)).collect();
    let seen = Mutex::new(BTreeMap::<u16, Vec<(u64, Record)>>::new());
    let sink = |shard: ShardId, seq, record| seen.lock().unwrap().entry(shard.0).or_default().push((seq, record));
    journal.replay(&from, &sink, &|_| {})?;
    Ok(seen.into_inner().unwrap())
}

/// The whole journal, in order per shard.
pub(crate) fn replay(journal: &dyn Journal) -> BTreeMap<u16, Vec<(u64, Record)>> {
    replay_from(journal, 1).unwrap()
}

pub(crate) fn sku() -> SkuId {
    SkuId::parse("HEADPHONES-01.black").unwrap()
}

pub(crate) fn hold() -> HoldId {
    HoldId { order: order_id(), line: 3 }
}

pub(crate) fn order_id() -> OrderId {
    OrderId::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
}

pub(crate) fn cart_id() -> CartId {
    CartId::from_u128(0xfedc_ba98_7654_3210_fedc_ba98_7654_3210)
}

fn quantity(units: i64) -> Quantity {
    Quantity::new(units).unwrap()
}

pub(crate) fn details() -> ProductDetails {
    ProductDetails {
        name: "Closed-back headphones".to_owned(),
        description: "40 mm drivers — Größe M".to_owned(),
        price: Money::new(12_900, Currency::EUR),
        category: "audio/headphones".to_owned(),
        images: vec!["https://cdn.example/h1.webp".to_owned()],
        variants: vec![Variant {
            sku: SkuId::parse("HEADPHONES-01.white").unwrap(),
            name: "white".to_owned(),
            options: BTreeMap::from([("color".to_owned(), "white".to_owned())]),
        }],
        metadata: BTreeMap::from([("brand".to_owned(), "Anvil".to_owned())]),
    }
}

pub(crate) fn placement() -> Placement {
    Placement {
        buyer: BuyerId::from_u128(42),
        customer: Some(CustomerId::parse("customer-7").unwrap()),
        lines: vec![OrderLine { sku: sku(), quantity: quantity(2), unit_price: Money::new(12_900, Currency::EUR) }],
        total: Money::new(25_800, Currency::EUR),
        payment_token: PaymentToken::parse("tok_approve").unwrap(),
        capture: CapturePolicy::OnShipment,
        placed_at: NOW,
        expires_at: LATER,
        fingerprint: u128::MAX,
    }
}

fn stock_events() -> Vec<(&'static str, StockEvent)> {
    let hold = hold();
    let policy = SalePolicy {
        opens_at: Some(NOW),
        closes_at: None,
        per_order_limit: Some(quantity(2)),
        per_customer_limit: Some(quantity(4)),
    };
    let customer = Some(CustomerId::parse("customer-7").unwrap());
    vec![
        ("received", StockEvent::Received { quantity: quantity(1_000) }),
        ("adjusted", StockEvent::Adjusted { delta: -7, reason: "broken in transit".to_owned() }),
        ("policy_set", StockEvent::PolicySet(policy)),
        ("held", StockEvent::Held { hold, quantity: quantity(2), expires_at: LATER, customer }),
        ("released", StockEvent::Released { hold }),
        ("lapsed", StockEvent::Lapsed { hold }),
        ("allocated", StockEvent::Allocated { hold }),
        ("deallocated", StockEvent::Deallocated { hold }),
        ("fulfilled", StockEvent::Fulfilled { hold }),
    ]
}

fn cart_events() -> Vec<(&'static str, CartEvent)> {
    let line = CartLine { item: 1, sku: sku(), quantity: quantity(3) };
    let (order, other) = (order_id(), CartId::from_u128(5));
    vec![
        ("created", CartEvent::Created { currency: Currency::USD, expires_at: LATER }),
        ("line_set", CartEvent::LineSet { line: line.clone(), expires_at: LATER }),
        ("line_removed", CartEvent::LineRemoved { item: 1, expires_at: LATER }),
        ("took_in", CartEvent::TookIn { from: other, lines: vec![line], expires_at: LATER }),
        ("merged_into", CartEvent::MergedInto { into: other }),
        ("checkout_begun", CartEvent::CheckoutBegun { order, deadline: LATER }),
        ("checkout_completed", CartEvent::CheckoutCompleted { order }),
        ("checkout_abandoned", CartEvent::CheckoutAbandoned { order }),
        ("expired", CartEvent::Expired),
        ("reopened", CartEvent::Reopened),
    ]
}

fn order_events() -> Vec<(&'static str, OrderEvent)> {
    let approved = AuthorizationOutcome::Approved { reference: "auth_1".to_owned() };
    let declined = AuthorizationOutcome::Declined { reason: "insufficient_funds".to_owned() };
    let failed = SettlementOutcome::Failed { reason: "expired".to_owned() };
    let amount = Money::new(500, Currency::EUR);
    vec![
        ("placed", OrderEvent::Placed(placement().into())),
        ("authorization_approved", OrderEvent::AuthorizationRecorded(approved)),
        ("authorization_declined", OrderEvent::AuthorizationRecorded(declined)),
        ("line_allocated", OrderEvent::LineAllocated { line: 300 }),
        ("line_released", OrderEvent::LineReleased { line: 1 }),
        ("line_fulfilled", OrderEvent::LineFulfilled { line: 2 }),
        ("confirmed", OrderEvent::Confirmed),
        ("capture_done", OrderEvent::CaptureRecorded(SettlementOutcome::Done)),
        ("capture_failed", OrderEvent::CaptureRecorded(failed)),
        ("voided", OrderEvent::Voided),
        ("refund_requested", OrderEvent::RefundRequested { request: 9, amount }),
        ("refund_recorded", OrderEvent::RefundRecorded { refund: 1, outcome: SettlementOutcome::Done }),
        ("canceled_by_buyer", OrderEvent::Canceled { reason: CancelReason::Buyer }),
        ("canceled_by_merchant", OrderEvent::Canceled { reason: CancelReason::Merchant }),
        ("canceled_declined", OrderEvent::Canceled { reason: CancelReason::PaymentDeclined }),
        ("canceled_stock_lost", OrderEvent::Canceled { reason: CancelReason::StockLost }),
        ("expired", OrderEvent::Expired),
        ("shipped", OrderEvent::Shipped),
        ("delivered", OrderEvent::Delivered),
    ]
}

/// Every event variant, named, as records with versions 1, 2, 3 ... per list.
pub(crate) fn every_event() -> Vec<(String, Record)> {
    let stock = stock_events().into_iter().map(|(name, event)| (format!("stock.{name}"), Event::Stock(event)));
    let product = [
        ("created", ProductEvent::Created(details())),
        ("updated", ProductEvent::Updated(details())),
        ("removed", ProductEvent::Removed),
    ];
    let product = product.into_iter().map(|(name, event)| (format!("product.{name}"), Event::Product(event)));
    let cart = cart_events().into_iter().map(|(name, event)| (format!("cart.{name}"), Event::Cart(event)));
    let order = order_events().into_iter().map(|(name, event)| (format!("order.{name}"), Event::Order(event)));
    let events = stock.chain(product).chain(cart).chain(order);
    (1..).zip(events).map(|(version, (name, event))| (name, record(version, event))).collect()
}

/// A record of the sample entity that `event` is about.
pub(crate) fn record(version: u64, event: Event) -> Record {
    let entity = match &event {
        Event::Stock(_) => EntityId::Stock(sku()),
        Event::Product(_) => EntityId::Product(sku()),
        Event::Cart(_) => EntityId::Cart(cart_id()),
        Event::Order(_) => EntityId::Order(order_id()),
    };
    Record { entity, version, at: NOW, event }
}

/// The `n`-th of many small records that differ.
pub(crate) fn received(n: u64) -> Record {
    record(n, Event::Stock(StockEvent::Received { quantity: quantity(i64::try_from(n % 1_000).unwrap() + 1) }))
}
