//! The orders, newest first, of all, of one buyer or of one customer; and the order of an idempotency key.
//!
//! Invariants: every order fed is in the index exactly once, and a listing is sorted by the time of placing and then by id,
//! both descending, so a cursor means the same after a restart.
//!
//! Cost: an order takes 72 bytes for its row, 4 to 8 for its place in time, and 10 to 15 each for finding it by id and by
//! buyer: 96 to 110 bytes. A customer seen for the first time takes 24 bytes for the name (and the text itself if it is
//! longer than that), 4 to 8 for its newest order and 10 to 15 for finding it. Orders with several SKUs take 16 bytes and 4
//! for each. So 10 million orders take about 1 GB; nothing is ever dropped. A new order costs about a microsecond.
//!
//! A listing by buyer or customer follows that one's orders. Filters by status or SKU alone look at every order until the
//! page is full; they are for administrators. The index is locked for [`SCAN_ROWS`] orders at a time, so that a long
//! search holds nobody up.
//!
//! [`SCAN_ROWS`]: scan::SCAN_ROWS

mod index;
mod names;
mod row;
mod scan;

use holdfast_core::OrderId;
use parking_lot::{RwLock, RwLockReadGuard};

use super::{OrderQuery, OrderSummary, ViewUpdate};
use index::Index;

/// The order views.
#[derive(Default)]
pub(super) struct Orders {
    index: RwLock<Index>,
}

impl Orders {
    /// Takes in what the updates say of orders, in their order. Before the first, the processor is to fetch for all of them what
    /// filing them will read, so that it waits for several places at once.
    pub(super) fn apply_all(&self, updates: &[ViewUpdate]) {
        let of_orders = |update: &&ViewUpdate| matches!(update, ViewUpdate::Order(_) | ViewUpdate::OrderStatus { .. });
        let mut of_orders = updates.iter().filter(of_orders).peekable();
        if of_orders.peek().is_none() {
            return;
        }
        let mut index = self.index.write();
        if updates.len() > 1 {
            for update in of_orders.clone() {
                if let ViewUpdate::Order(entry) = update {
                    index.touch(entry.id);
                    index.touch_buyer(entry.buyer);
                }
            }
        }
        for update in of_orders {
            match update {
                ViewUpdate::Order(entry) => index.insert(entry),
                ViewUpdate::OrderStatus { id, status, version } => index.set_status(*id, *status, *version),
                ViewUpdate::Stock { .. } | ViewUpdate::Product { .. } => {}
            }
        }
    }

    pub(super) fn settle(&self) {
        drop(self.settled());
    }

    pub(super) fn page(&self, query: &OrderQuery) -> Vec<OrderSummary> {
        let mut page = Vec::new();
        let mut before = scan::end(query);
        while page.len() < query.limit {
            before = self.settled().scan(query, before, &mut page);
            if before.is_none() {
                break;
            }
        }
        page
    }

    pub(super) fn of_key(&self, key_digest: u128) -> Option<OrderId> {
        self.index.read().of_key(key_digest)
    }

    /// Whether the key of one of these orders has made another one. Looks for all of them at once.
    pub(super) fn any_key_is_of_another(&self, mut orders: impl Iterator<Item = OrderId> + Clone) -> bool {
        let Some(first) = orders.clone().next() else { return false };
        let index = self.index.read();
        index.touch(first);
        orders.clone().skip(1).for_each(|order| index.touch(order));
        orders.any(|order| index.of_key(order.as_u128()).is_some_and(|made| made != order))
    }

    pub(super) fn len(&self) -> usize {
        self.index.read().len()
    }

    /// The index in order. Orders fed in the order they were placed leave it so; recovery does not.
    fn settled(&self) -> RwLockReadGuard<'_, Index> {
        loop {
            let index = self.index.read();
            if index.is_settled() {
                return index;
            }
            drop(index);
            self.index.write().settle();
        }
    }
}
