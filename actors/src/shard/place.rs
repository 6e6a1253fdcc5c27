//! The turn that sells: hold the lines of this shard and place the order, decided together and journaled in one batch.

use std::sync::Arc;

use holdfast_core::{
    HoldId, Money, OrderId, Timestamp,
    order::{Order, OrderCommand, OrderLine, OrderRejection, Placement},
    planted,
    product::{Product, ProductRejection},
    stock::{StockCommand, StockEvent, StockItem},
};

use super::Shard;
use crate::{
    error::CommandError,
    message::{Outcome, Place, PlaceLine, Reply},
};

impl Shard {
    pub(super) fn place(&mut self, place: &Place) -> Outcome {
        if let Some(order) = self.tables.orders.get(&place.order) {
            return replay(order, place);
        }
        if self.now >= place.deadline {
            return Err(CommandError::DeadlineExceeded);
        }
        let expires_at = self.now.saturating_add_millis(self.parts.settings.hold_ttl_ms);
        // Everything is decided before anything is applied: a refusal of the last line leaves no trace of the first.
        let mut lines = Vec::with_capacity(place.lines.len());
        let mut holding = Vec::with_capacity(place.lines.len());
        for (line, number) in place.lines.iter().zip(0_u16..) {
            let unit_price = if let Some(held) = line.held {
                held.unit_price
            } else {
                let hold = HoldId { order: place.order, line: number };
                let (price, events) = self.decide_hold(line, hold, expires_at, place)?;
                holding.push((line.sku.clone(), events));
                price
            };
            lines.push(line.priced(unit_price));
        }
        let events = self.decide_placement(place, lines, expires_at)?;
        for (sku, events) in holding {
            self.commit::<StockItem>(&sku, events);
        }
        self.commit::<Order>(&place.order, events);
        self.pursue(place.order);
        self.staged.tally.placed += 1;
        self.show_placed(place.order)
    }

    /// What a line costs and the facts of holding it.
    fn decide_hold(
        &mut self,
        line: &PlaceLine,
        hold: HoldId,
        expires_at: Timestamp,
        place: &Place,
    ) -> Result<(Money, Vec<StockEvent>), CommandError> {
        let price = self.price_of(&line.sku)?;
        let command =
            StockCommand::Hold { hold, quantity: line.quantity, expires_at, customer: place.customer.clone() };
        let events = self
            .decide::<StockItem>(&line.sku, command)
            .map_err(|rejection| CommandError::stock(line.sku.clone(), rejection))?;
        Ok((price, events))
    }

    /// The price of a unit now.
    pub(super) fn price_of(&self, sku: &holdfast_core::SkuId) -> Result<Money, CommandError> {
        let details = self.tables.products.get(sku).and_then(Product::details);
        match details {
            Some(details) => Ok(details.price),
            None => Err(CommandError::product(sku.clone(), ProductRejection::NotFound)),
        }
    }

    fn decide_placement(
        &mut self,
        place: &Place,
        lines: Vec<OrderLine>,
        expires_at: Timestamp,
    ) -> Result<Vec<holdfast_core::order::OrderEvent>, CommandError> {
        let total = total_of(&lines)?;
        let placement = Placement {
            placed_at: self.now,
            buyer: place.buyer,
            customer: place.customer.clone(),
            lines,
            total,
            payment_token: place.payment_token.clone(),
            capture: self.parts.settings.capture.into(),
            expires_at,
            fingerprint: place.fingerprint,
        };
        Ok(self.decide::<Order>(&place.order, OrderCommand::Place(Arc::new(placement)))?)
    }

    fn show_placed(&self, order: OrderId) -> Outcome {
        match self.tables.orders.get(&order) {
            Some(order) => Ok(Reply::Placed { order: order.clone(), replayed: false }),
            None => Err(OrderRejection::NotFound.into()),
        }
    }
}

/// The answer to a key that made an order before: the same order, or a refusal when the request was another.
fn replay(order: &Order, place: &Place) -> Outcome {
    match order.placement() {
        Some(placement) if place.is_repeat_of(placement) || planted!(FingerprintIgnored) => {
            Ok(Reply::Placed { order: order.clone(), replayed: true })
        }
        _ => Err(OrderRejection::FingerprintMismatch.into()),
    }
}

fn total_of(lines: &[OrderLine]) -> Result<Money, CommandError> {
    let mut total: Option<Money> = None;
    for line in lines {
        let amount = line.unit_price.checked_mul(line.quantity).map_err(OrderRejection::from)?;
        total = Some(match total {
            None => amount,
            Some(sum) => sum.checked_add(amount).map_err(OrderRejection::from)?,
        });
    }
    total.ok_or_else(|| OrderRejection::LineCount.into())
}
