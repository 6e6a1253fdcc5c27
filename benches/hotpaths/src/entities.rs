//! The entities alone: deciding and taking in, without a shard around them.

use std::sync::Arc;

use anyhow::Context as _;
use holdfast_core::{
    BuyerId, Currency, Entity, HoldId, Money, OrderId, Quantity, SkuId, Timestamp,
    order::{CapturePolicy, Order, OrderCommand, OrderLine, PaymentToken, Placement},
    stock::{StockCommand, StockItem},
};

use crate::path::Work;

/// The time of everything here.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// Fifteen minutes later.
pub(crate) const LATER: Timestamp = Timestamp::from_millis(1_800_000_900_000);
/// Spreads small numbers over all bits, as a digest does.
const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// The SKU of a flash sale.
pub(crate) fn sku() -> anyhow::Result<SkuId> {
    SkuId::parse("HEADPHONES-BLACK").context("a SKU")
}

/// The id of order `number`.
pub(crate) fn order_id(number: u64, sku: &SkuId) -> OrderId {
    OrderId::from_key(u128::from(number).wrapping_mul(SPREAD), sku.slot())
}

/// What is fixed when a one-line order is placed.
pub(crate) fn placement(sku: &SkuId) -> anyhow::Result<Placement> {
    let unit_price = Money::new(4_900, Currency::EUR);
    Ok(Placement {
        buyer: BuyerId::from_u128(SPREAD),
        customer: None,
        lines: vec![OrderLine { sku: sku.clone(), quantity: Quantity::ONE, unit_price }],
        total: unit_price,
        payment_token: PaymentToken::parse("tok_approve")?,
        capture: CapturePolicy::OnShipment,
        placed_at: NOW,
        expires_at: LATER,
        fingerprint: SPREAD,
    })
}

/// A hold of one unit.
pub(crate) fn hold(number: u64, sku: &SkuId) -> StockCommand {
    let hold = HoldId { order: order_id(number, sku), line: 0 };
    StockCommand::Hold { hold, quantity: Quantity::ONE, expires_at: LATER, customer: None }
}

/// Decides and takes in.
///
/// # Panics
/// When the command is refused: that path would be cheap.
pub(crate) fn carry_out<E: Entity>(entity: &mut E, command: E::Command) {
    let Ok(events) = entity.decide(command, NOW) else { panic!("refused") };
    for event in &events {
        entity.apply(event);
    }
}

/// [`crate::path::Path::StockHold`].
pub(crate) fn stock_hold() -> anyhow::Result<Work> {
    let sku = sku()?;
    let mut stock = StockItem::new(sku.clone());
    for _ in 0..10 {
        carry_out(&mut stock, StockCommand::Receive { quantity: Quantity::MAX, expected_version: None });
    }
    for number in 0..1_000 {
        carry_out(&mut stock, hold(number, &sku));
    }
    let mut number = 1_000;
    Ok(Work::new(1_000, move || {
        number += 1;
        carry_out(&mut stock, hold(number, &sku));
    }))
}

/// [`crate::path::Path::OrderPlace`].
pub(crate) fn order_place() -> anyhow::Result<Work> {
    let sku = sku()?;
    let placement = Arc::new(placement(&sku)?);
    let mut number = 0;
    Ok(Work::new(1_000, move || {
        number += 1;
        let mut order = Order::new(order_id(number, &sku));
        carry_out(&mut order, OrderCommand::Place(Arc::clone(&placement)));
        std::hint::black_box(order);
    }))
}
