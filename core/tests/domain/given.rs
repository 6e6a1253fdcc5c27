//! Short names for the values the sentences speak of, and the one way a test tells an entity something: decide, then apply.

use holdfast_core::{
    BuyerId, CartId, Currency, CustomerId, Entity, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    order::{
        AuthorizationOutcome, CapturePolicy, Order, OrderCommand, OrderLine, PaymentToken, Placement, SettlementOutcome,
    },
    stock::{StockCommand, StockItem},
};

/// A time in the life of a test, in milliseconds.
pub(crate) const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn units(count: i64) -> Quantity {
    Quantity::new(count).unwrap()
}

pub(crate) fn sku(text: &str) -> SkuId {
    SkuId::parse(text).unwrap()
}

pub(crate) fn customer(text: &str) -> CustomerId {
    CustomerId::parse(text).unwrap()
}

pub(crate) const fn eur(cents: i64) -> Money {
    Money::new(cents, Currency::EUR)
}

pub(crate) const fn order_id(number: u128) -> OrderId {
    OrderId::from_u128(number)
}

pub(crate) const fn cart_id(number: u128) -> CartId {
    CartId::from_u128(number)
}

/// The hold of the first line of an order.
pub(crate) const fn hold_of(order: u128) -> HoldId {
    HoldId { order: order_id(order), line: 0 }
}

/// Applies facts in their order.
pub(crate) fn apply_all<E: Entity>(entity: &mut E, events: &[E::Event]) {
    for event in events {
        entity.apply(event);
    }
}

/// Decides and applies, and checks that the version counts the facts.
pub(crate) fn tell<E: Entity>(
    entity: &mut E,
    command: E::Command,
    now: Timestamp,
) -> Result<Vec<E::Event>, E::Rejection> {
    let before = entity.version();
    let events = entity.decide(command, now)?;
    apply_all(entity, &events);
    assert_eq!(entity.version(), before + events.len() as u64);
    Ok(events)
}

/// Stock of one SKU with this many units available.
pub(crate) fn stock_with(count: i64) -> StockItem {
    let mut stock = StockItem::new(sku("LAMP"));
    let receive = StockCommand::Receive { quantity: units(count), expected_version: None };
    tell(&mut stock, receive, at(0)).unwrap();
    stock
}

/// A hold of `count` units for an order until 100, for nobody in particular.
pub(crate) fn hold(order: u128, count: i64) -> StockCommand {
    StockCommand::Hold { hold: hold_of(order), quantity: units(count), expires_at: at(100), customer: None }
}

/// Two lines, 25.00 EUR together, payable until 100.
pub(crate) fn placement(capture: CapturePolicy) -> Placement {
    let line = |text, count, price| OrderLine { sku: sku(text), quantity: units(count), unit_price: eur(price) };
    Placement {
        buyer: BuyerId::from_u128(7),
        customer: None,
        lines: vec![line("LAMP", 2, 1_000), line("BULB", 1, 500)],
        total: eur(2_500),
        payment_token: PaymentToken::parse("tok_visa").unwrap(),
        capture,
        placed_at: at(0),
        expires_at: at(100),
        fingerprint: 1,
    }
}

pub(crate) const ORDER: OrderId = order_id(0xbeef);

/// An order to which all of this has happened, in this order.
pub(crate) fn order_after(capture: CapturePolicy, commands: impl IntoIterator<Item = OrderCommand>) -> Order {
    let mut order = Order::new(ORDER);
    tell(&mut order, OrderCommand::Place(placement(capture).into()), at(0)).unwrap();
    for command in commands {
        tell(&mut order, command, at(1)).unwrap();
    }
    order
}

pub(crate) fn approved() -> OrderCommand {
    OrderCommand::RecordAuthorization(AuthorizationOutcome::Approved { reference: "auth_1".into() })
}

pub(crate) fn declined() -> OrderCommand {
    OrderCommand::RecordAuthorization(AuthorizationOutcome::Declined { reason: "do_not_honor".into() })
}

pub(crate) const fn captured() -> OrderCommand {
    OrderCommand::RecordCapture(SettlementOutcome::Done)
}

pub(crate) fn capture_failed() -> OrderCommand {
    OrderCommand::RecordCapture(SettlementOutcome::Failed { reason: "expired_card".into() })
}

pub(crate) const fn allocated(line: u16) -> OrderCommand {
    OrderCommand::LineAllocated { line }
}

/// What takes a placed order to confirmed.
pub(crate) fn confirmation() -> [OrderCommand; 3] {
    [approved(), allocated(0), allocated(1)]
}
