//! Looking ahead: before the first of many orders is decided, the tables are asked for all of them.
//!
//! Why: an order meets memory that nothing has touched before it (is this id known? is anything promised to it?), and a
//! processor waits for each such place as long as for a hundred instructions. Asked one after the other, with nothing in
//! between, it waits for several of them at once.
//!
//! Nothing follows from the answers.

use std::hint::black_box;

use holdfast_core::HoldId;

use super::Shard;
use crate::message::{Envelope, Place, Request};

impl Shard {
    /// Asks the tables for the orders that the next turn over `inbox` is to place. For one alone there is nothing to gain.
    pub(crate) fn look_ahead(&self, inbox: &[Envelope]) {
        if inbox.len() < 2 {
            return;
        }
        for envelope in inbox.iter().take(self.parts.settings.turn_messages) {
            if let Envelope::Request { request: Request::Place(place), .. } = envelope {
                black_box(self.knows(place));
            }
        }
    }

    /// Whether the order is known, or a unit of this shard held for it. Every line is looked at, whatever the one before has told.
    fn knows(&self, place: &Place) -> bool {
        let known = self.tables.orders.get(&place.order).is_some();
        let here = place.lines.iter().zip(0..).filter(|(line, _)| line.held.is_none());
        here.fold(known, |known, (line, number)| {
            let hold = HoldId { order: place.order, line: number };
            known | self.tables.stock.get(&line.sku).is_some_and(|stock| stock.hold(&hold).is_some())
        })
    }
}
