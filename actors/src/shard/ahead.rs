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
    /// Asks the tables for the orders that `inbox` wants placed.
    pub(crate) fn look_ahead(&self, inbox: &[Envelope]) {
        for envelope in inbox {
            if let Envelope::Request { request: Request::Place(place), .. } = envelope {
                black_box(self.knows(place));
            }
        }
    }

    /// Whether the order is known, or a unit held for it.
    fn knows(&self, place: &Place) -> bool {
        let known = self.tables.orders.get(&place.order).is_some();
        place.lines.iter().zip(0..).fold(known, |known, (line, number)| {
            let hold = HoldId { order: place.order, line: number };
            known | self.tables.stock.get(&line.sku).is_some_and(|stock| stock.hold(&hold).is_some())
        })
    }
}
