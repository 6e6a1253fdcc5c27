//! The index itself: rows, and the ways to find them.
//!
//! Invariant: while *settled*, `by_time` is sorted, and the chain of every buyer and customer leads from its newest order
//! to its oldest. An order that is placed far out of time, as in recovery, only unsettles the index; settling it sorts
//! once for all of them.

use std::hash::BuildHasher;

use holdfast_core::{BuyerId, CustomerId, OrderId, SkuId, order::OrderStatus};

use super::{
    names::Names,
    row::{Chain, Numbers, Row, SKU_SET, short_version},
};
use crate::{
    id_map::IdHasher,
    rows::{Chunked, NONE, Positions},
    view::OrderEntry,
};

/// How far from the newest an order is put in its place at once; farther, the index is sorted later. Orders become durable
/// almost in the order they were placed: this covers half a second at 100,000 orders a second.
const REACH: usize = 65_536;

/// How many newer orders of the same buyer or customer are passed to put one in its place at once.
const CHAIN_REACH: usize = 256;

pub(super) struct Index {
    pub(super) rows: Chunked<Row>,
    ids: Positions,
    /// Positions of rows by time placed, oldest first.
    pub(super) by_time: Vec<u32>,
    /// The newest row of each buyer.
    buyers: Positions,
    pub(super) customers: Names<CustomerId>,
    /// The newest row of each customer, by the customer's number.
    newest_of_customer: Vec<u32>,
    pub(super) skus: Names<SkuId>,
    pub(super) sku_sets: Chunked<Box<[u32]>>,
    settled: bool,
    hasher: IdHasher,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            rows: Chunked::default(),
            ids: Positions::default(),
            by_time: Vec::new(),
            buyers: Positions::default(),
            customers: Names::default(),
            newest_of_customer: Vec::new(),
            skus: Names::default(),
            sku_sets: Chunked::default(),
            settled: true,
            hasher: IdHasher::default(),
        }
    }
}

impl Index {
    /// How many orders there are.
    pub(super) fn len(&self) -> usize {
        self.by_time.len()
    }

    /// Whether everything is in order, so that it can be listed.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Puts an order in, or only moves its status on if it is there.
    pub(super) fn insert(&mut self, entry: &OrderEntry) {
        let of_same_key = self.of_key(entry.id.as_u128());
        if of_same_key == Some(entry.id) || (of_same_key.is_some() && self.position(entry.id).is_some()) {
            self.set_status(entry.id, entry.status, entry.version);
            return;
        }
        if let Some(other) = of_same_key {
            // Possible where two nodes were given one key at the same moment with first lines in different shards.
            metrics::counter!("holdfast_keys_of_two_orders_total").increment(1);
            tracing::error!(order = %entry.id, %other, "one idempotency key has made two orders, of different lines");
        }
        let Some(numbers) = self.numbers(entry) else { return };
        let Some(position) = self.rows.push(Row::new(entry, &numbers)) else { return };
        self.ids.put(self.hasher.hash_one(entry.id.key_digest()), position, |_| false);
        self.file(position);
    }

    /// Moves the status of an order on, unless a newer one is known.
    pub(super) fn set_status(&mut self, id: OrderId, status: OrderStatus, version: u64) {
        let Some(position) = self.position(id) else { return };
        let row = self.rows.at_mut(position);
        if short_version(version) > row.version {
            row.version = short_version(version);
            row.status = status;
        }
    }

    /// Where the order is.
    pub(super) fn position(&self, id: OrderId) -> Option<u32> {
        self.ids.find(self.hasher.hash_one(id.key_digest()), |position| self.rows.at(position).id() == id)
    }

    pub(super) fn of_key(&self, key_digest: u128) -> Option<OrderId> {
        let digest = OrderId::from_u128(key_digest).key_digest();
        let same_key = |position: u32| self.rows.at(position).id().key_digest() == digest;
        self.ids.find(self.hasher.hash_one(digest), same_key).map(|position| self.rows.at(position).id())
    }

    /// The buyer's newest order, or [`NONE`].
    pub(super) fn newest_of_buyer(&self, buyer: BuyerId) -> u32 {
        let same_buyer = |position: u32| self.rows.at(position).buyer() == buyer;
        self.buyers.find(self.hasher.hash_one(buyer), same_buyer).unwrap_or(NONE)
    }

    /// Has the processor fetch what looking for the order begins with.
    pub(super) fn touch(&self, id: OrderId) {
        self.ids.touch(self.hasher.hash_one(id.key_digest()));
    }

    /// Has the processor fetch what looking for the buyer begins with.
    pub(super) fn touch_buyer(&self, buyer: BuyerId) {
        self.buyers.touch(self.hasher.hash_one(buyer));
    }

    /// The newest order of the customer of this number, or [`NONE`].
    pub(super) fn newest_of_customer(&self, customer: u32) -> u32 {
        self.newest_of_customer.get(customer as usize).copied().unwrap_or(NONE)
    }

    /// Sorts everything: a few hundred milliseconds for a million orders.
    pub(super) fn settle(&mut self) {
        if self.settled {
            return;
        }
        let rows = &self.rows;
        self.by_time.sort_by_cached_key(|position| rows.at(*position).key());
        self.buyers.clear();
        self.newest_of_customer.fill(NONE);
        for place in 0..self.by_time.len() {
            // Oldest first: each is the newest so far, and so the head of its chains.
            self.join_chains(self.by_time[place]);
        }
        self.settled = true;
    }

    /// The numbers of the entry's names. `None` when there are too many to count.
    fn numbers(&mut self, entry: &OrderEntry) -> Option<Numbers> {
        let customer = match &entry.customer {
            Some(customer) => self.customers.number(customer)?,
            None => NONE,
        };
        let skus = match entry.skus.as_slice() {
            [sku] => self.skus.number(sku).filter(|number| *number < SKU_SET)?,
            several => {
                let numbers: Option<Box<[u32]>> = several.iter().map(|sku| self.skus.number(sku)).collect();
                self.sku_sets.push(numbers?).filter(|set| *set < SKU_SET)? | SKU_SET
            }
        };
        Some(Numbers { customer, skus })
    }

    /// Puts a new row in its place, or leaves that to [`Index::settle`].
    fn file(&mut self, position: u32) {
        if !self.settled {
            self.by_time.push(position);
            return;
        }
        let in_place = self.place_in_time(position);
        self.settled = in_place && self.join_chains(position);
    }

    /// Adds to `by_time`; whether that is sorted still.
    fn place_in_time(&mut self, position: u32) -> bool {
        let key = self.rows.at(position).key();
        let is_older = |other: &u32| self.rows.at(*other).key() < key;
        // Almost always it is the newest or nearly so: look near the end first.
        let place = [1, 64, REACH].into_iter().find_map(|reach| {
            let from = self.by_time.len().saturating_sub(reach);
            let near = &self.by_time[from..];
            (from == 0 || near.first().is_some_and(is_older)).then(|| from + near.partition_point(is_older))
        });
        self.by_time.insert(place.unwrap_or(self.by_time.len()), position);
        place.is_some()
    }

    /// Puts a row in the chains of its buyer and its customer; whether they are sorted.
    fn join_chains(&mut self, position: u32) -> bool {
        let row = self.rows.at(position);
        let (buyer, customer) = (row.buyer(), row.customer);
        let Some(newest) = self.join(Chain::Buyer, self.newest_of_buyer(buyer), position) else { return false };
        if newest == position {
            let rows = &self.rows;
            self.buyers.put(self.hasher.hash_one(buyer), position, |other| rows.at(other).buyer() == buyer);
        }
        if customer == NONE {
            return true;
        }
        let Some(newest) = self.join(Chain::Customer, self.newest_of_customer(customer), position) else {
            return false;
        };
        let customer = customer as usize;
        if self.newest_of_customer.len() <= customer {
            self.newest_of_customer.resize(customer + 1, NONE);
        }
        self.newest_of_customer[customer] = newest;
        true
    }

    /// Puts a row in the chain that begins at `newest`, and returns where it begins now. `None`: its place is too far.
    fn join(&mut self, chain: Chain, newest: u32, position: u32) -> Option<u32> {
        let key = self.rows.at(position).key();
        let (mut newer, mut older) = (NONE, newest);
        for _ in 0..CHAIN_REACH {
            if older == NONE || self.rows.at(older).key() < key {
                self.rows.at_mut(position).set_older(chain, older);
                if newer == NONE {
                    return Some(position);
                }
                self.rows.at_mut(newer).set_older(chain, position);
                return Some(newest);
            }
            (newer, older) = (older, self.rows.at(older).older(chain));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{Currency, Money, Timestamp};

    use super::*;

    impl Index {
        fn allocated_bytes(&self) -> usize {
            self.rows.allocated_bytes()
                + self.ids.allocated_bytes()
                + self.buyers.allocated_bytes()
                + self.customers.allocated_bytes()
                + self.skus.allocated_bytes()
                + (self.by_time.capacity() + self.newest_of_customer.capacity()) * size_of::<u32>()
        }
    }

    fn entry(number: u32, customer: Option<CustomerId>) -> OrderEntry {
        OrderEntry {
            id: OrderId::from_u128(u128::from(number) << 16),
            placed_at: Timestamp::from_millis(i64::from(number)),
            version: 1,
            buyer: BuyerId::from_u128(u128::from(number)),
            customer,
            status: OrderStatus::Placed,
            total: Money::new(100, Currency::EUR),
            skus: vec![SkuId::parse("SNEAKER").expect("a SKU")],
        }
    }

    #[test]
    fn an_order_takes_no_more_memory_than_the_documentation_says() {
        for (with_customer, limit) in [(false, 108), (true, 150)] {
            let mut index = Index::default();
            for number in 0..200_000 {
                let customer = with_customer.then(|| CustomerId::parse(&format!("customer-{number}")).expect("an id"));
                index.insert(&entry(number, customer));
            }
            let bytes = index.allocated_bytes() / 200_000;
            assert!(bytes <= limit, "{bytes} bytes an order");
        }
    }

    #[test]
    fn an_order_far_out_of_time_unsettles_the_index_and_one_nearly_in_time_does_not() {
        let mut index = Index::default();
        (10..70_000).for_each(|number| index.insert(&entry(number, None)));
        (69_990..70_010).rev().for_each(|number| index.insert(&entry(number, None)));
        assert!(index.is_settled());
        index.insert(&entry(9, None));
        assert!(!index.is_settled());
        index.settle();
        let times = index.by_time.iter().map(|position| index.rows.at(*position).placed_at().as_millis());
        assert!(times.eq(9..70_010));
    }
}
