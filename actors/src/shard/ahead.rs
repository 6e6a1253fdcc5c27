//! Looking ahead: before the first of many orders is decided, the tables are asked for all of them; and so before the first of a
//! checkpoint's entities is copied.
//!
//! Why: an order meets memory that nothing has touched before it (is this id known? is anything promised to it?), and a
//! processor waits for each such place as long as for a hundred instructions. Asked one after the other, with nothing in
//! between, it waits for several of them at once: for as many as there are within the few hundred instructions that it looks
//! ahead by itself. Hence many short loops over the same orders instead of a long one.
//!
//! Nothing follows from the answers.

use std::hint::black_box;

use holdfast_core::{Entity as _, EntityId, HoldId, OrderId, SkuId, order::Order, stock::StockItem};

use super::Shard;
use crate::message::{Envelope, Request};

/// Of so many entities at once a checkpoint reads ahead what it is about to copy or to note: what fits into the caches beside it.
pub(super) const AT_ONCE: usize = 256;

impl Shard {
    /// Reads for all orders that the next turn over `inbox` is to place what deciding them will read. For one alone there is nothing
    /// to gain.
    pub(crate) fn look_ahead(&self, inbox: &[Envelope]) {
        if inbox.len() < 2 {
            return;
        }
        let places = || {
            inbox.iter().take(self.parts.settings.turn_messages).filter_map(|envelope| match envelope {
                Envelope::Request { request: Request::Place(place), .. } => Some(place),
                _ => None,
            })
        };
        for place in places() {
            self.tables.orders.live.touch(&place.order);
        }
        // The units that are asked for, by line; those that are held in another shard are decided there.
        let mut asked: Vec<(HoldId, Option<&StockItem>)> = Vec::with_capacity(places().count());
        let mut before: Option<(&SkuId, Option<&StockItem>)> = None;
        for place in places() {
            for (line, number) in place.lines.iter().zip(0..).filter(|(line, _)| line.held.is_none()) {
                let stock = match before {
                    // In a sale of one SKU it is always the same.
                    Some((sku, stock)) if *sku == line.sku => stock,
                    _ => {
                        black_box(self.price_of(&line.sku).ok());
                        self.tables.stock.get(&line.sku)
                    }
                };
                before = Some((&line.sku, stock));
                asked.push((HoldId { order: place.order, line: number }, stock));
            }
        }
        for (_, stock) in &asked {
            black_box(stock.map(|stock| (stock.available(), stock.policy().opens_at)));
        }
        for (hold, stock) in &asked {
            black_box(stock.map(|stock| stock.touch(hold)));
        }
    }

    /// Reads of the orders among these what copying them will read.
    pub(super) fn look_ahead_to_copy(&self, entities: &[EntityId]) {
        let live = &self.tables.orders.live;
        order_ids(entities).for_each(|id| live.touch(id));
        let orders: Vec<&Order> = order_ids(entities).filter_map(|id| live.get(id)).map(|live| &live.entity).collect();
        for order in &orders {
            black_box(order.version());
        }
        for order in &orders {
            black_box(order.placement().map(|placement| placement.placed_at));
        }
        for order in &orders {
            black_box(order.payment().and_then(|payment| payment.reference?.as_bytes().first()));
        }
    }

    /// Reads of the orders among these when they were last touched.
    pub(super) fn look_ahead_to_note(&self, entities: &[(EntityId, u64)]) {
        let (live, entities) = (&self.tables.orders.live, || entities.iter().map(|(entity, _)| entity));
        order_ids(entities()).for_each(|id| live.touch(id));
        for id in order_ids(entities()) {
            black_box(live.get(id).map(|live| live.touched));
        }
    }
}

fn order_ids<'a>(entities: impl IntoIterator<Item = &'a EntityId>) -> impl Iterator<Item = &'a OrderId> {
    entities.into_iter().filter_map(|entity| match entity {
        EntityId::Order(id) => Some(id),
        _ => None,
    })
}
