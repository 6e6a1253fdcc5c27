//! Entities, commands and records as a sale has them.

use std::sync::Arc;

use holdfast_core::{
    BuyerId, Currency, Entity, EntityId, Event, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    cart::{Cart, CartCommand, CartEvent, CartLine},
    order::{AuthorizationOutcome, CapturePolicy, Order, OrderCommand, OrderEvent, OrderLine, PaymentToken, Placement},
    stock::{SalePolicy, StockCommand, StockEvent, StockItem},
};
use holdfast_persistence::Record;

/// The time of every decision.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Fifteen minutes later.
pub const LATER: Timestamp = Timestamp::from_millis(1_800_000_900_000);
/// Spreads small numbers over all bits, as a digest does.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// SKU `number`.
///
/// # Panics
/// Never: the text is a SKU.
pub fn sku(number: u64) -> SkuId {
    SkuId::parse(&format!("SHIRT-BLACK-{number}")).unwrap_or_else(|error| panic!("{error}"))
}

/// 128 bits of `number`, spread as a digest's are.
pub fn digest(number: u64) -> u128 {
    u128::from(number).wrapping_mul(SPREAD)
}

/// Order `number`, at home with `sku`.
pub fn order_id(number: u64, sku: &SkuId) -> OrderId {
    OrderId::from_key(digest(number), sku.slot())
}

/// The hold of order `number`'s first line.
pub fn hold_id(number: u64, sku: &SkuId) -> HoldId {
    HoldId { order: order_id(number, sku), line: 0 }
}

/// A hold of one unit for order `number`.
pub fn hold(number: u64, sku: &SkuId) -> StockCommand {
    StockCommand::Hold { hold: hold_id(number, sku), quantity: Quantity::ONE, expires_at: LATER, customer: None }
}

/// What is fixed when an order of so many lines is placed.
///
/// # Panics
/// Never: the amounts are small.
pub fn placement(lines: u64) -> Placement {
    let unit_price = Money::new(4_900, Currency::EUR);
    let count = Quantity::new(i64::try_from(lines).unwrap_or(1)).unwrap_or_else(|error| panic!("{error}"));
    Placement {
        buyer: BuyerId::from_u128(SPREAD),
        customer: None,
        lines: (0..lines).map(|line| OrderLine { sku: sku(line), quantity: Quantity::ONE, unit_price }).collect(),
        total: unit_price.checked_mul(count).unwrap_or_else(|error| panic!("{error}")),
        payment_token: PaymentToken::parse("tok_approve").unwrap_or_else(|error| panic!("{error}")),
        capture: CapturePolicy::OnShipment,
        placed_at: NOW,
        expires_at: LATER,
        fingerprint: SPREAD,
    }
}

/// Decides a command that is not refused, and takes in what follows.
///
/// # Panics
/// When it is refused.
pub fn carry_out<E: Entity>(entity: &mut E, command: E::Command) {
    let Ok(events) = entity.decide(command, NOW) else { panic!("refused") };
    for event in &events {
        entity.apply(event);
    }
}

/// Stock of `sku` with a million million units and so many holds.
pub fn stock(sku: &SkuId, holds: u64) -> StockItem {
    let mut stock = StockItem::new(sku.clone());
    let reason = String::from("plenty");
    carry_out(&mut stock, StockCommand::SetPolicy(SalePolicy::default()));
    carry_out(&mut stock, StockCommand::Adjust { delta: 1_000_000_000_000, reason, expected_version: None });
    (0..holds).for_each(|number| carry_out(&mut stock, hold(number, sku)));
    stock
}

/// A cart with so many lines.
pub fn cart(lines: u64) -> Cart {
    let mut cart = Cart::new(holdfast_core::CartId::from_u128(SPREAD));
    carry_out(&mut cart, CartCommand::Create { currency: Currency::EUR, expires_at: LATER });
    (0..lines).for_each(|line| carry_out(&mut cart, add_item(line)));
    cart
}

/// One unit of SKU `number` into a cart.
pub fn add_item(number: u64) -> CartCommand {
    CartCommand::AddItem { sku: sku(number), quantity: Quantity::ONE, expires_at: LATER, expected_version: None }
}

/// An order of one line, placed.
pub fn order() -> Order {
    let mut order = Order::new(order_id(7, &sku(0)));
    carry_out(&mut order, OrderCommand::Place(Arc::new(placement(1))));
    order
}

/// The gateway's yes.
pub fn approved() -> AuthorizationOutcome {
    AuthorizationOutcome::Approved { reference: "auth_0123456789abcdef".to_owned() }
}

/// A record of each kind that a sale writes by the thousand, by name.
pub fn records() -> Vec<(&'static str, Record)> {
    let sku = sku(0);
    let (order, hold) = (order_id(7, &sku), hold_id(7, &sku));
    let line = CartLine { item: 1, sku: sku.clone(), quantity: Quantity::ONE };
    let of_stock =
        |event| Record { entity: EntityId::Stock(sku.clone()), version: 1_234, at: NOW, event: Event::Stock(event) };
    let of_order = |event| Record { entity: EntityId::Order(order), version: 2, at: NOW, event: Event::Order(event) };
    let cart = holdfast_core::CartId::from_u128(SPREAD);
    let set = CartEvent::LineSet { line, expires_at: LATER };
    vec![
        ("held", of_stock(StockEvent::Held { hold, quantity: Quantity::ONE, expires_at: LATER, customer: None })),
        ("allocated", of_stock(StockEvent::Allocated { hold })),
        ("placed_1_line", of_order(OrderEvent::Placed(Arc::new(placement(1))))),
        ("placed_5_lines", of_order(OrderEvent::Placed(Arc::new(placement(5))))),
        ("authorized", of_order(OrderEvent::AuthorizationRecorded(approved()))),
        ("confirmed", of_order(OrderEvent::Confirmed)),
        ("cart_line_set", Record { entity: EntityId::Cart(cart), version: 3, at: NOW, event: Event::Cart(set) }),
    ]
}
