//! Reading the index: one stretch of a listing.

use std::iter::successors;

use holdfast_core::{OrderId, Timestamp};

use super::{
    index::Index,
    row::{Chain, Row, RowKey, SKU_SET, key_of},
};
use crate::{
    rows::NONE,
    view::{OrderQuery, OrderSummary},
};

/// How many orders are looked at under one lock.
pub(super) const SCAN_ROWS: usize = 1_024;

/// Where a listing begins: before its cursor, and before the end of its time. `None`: at the newest order.
pub(super) fn end(query: &OrderQuery) -> Option<RowKey> {
    let cursor = query.before.map(|(placed_at, id)| key_of(placed_at, id));
    let time = query.placed_to.map(first_of);
    cursor.into_iter().chain(time).min()
}

/// The least key an order placed then can have.
fn first_of(placed_at: Timestamp) -> RowKey {
    key_of(placed_at, OrderId::from_u128(0))
}

/// A query with its names as numbers.
struct Filter<'a> {
    query: &'a OrderQuery,
    customer: Option<u32>,
    sku: Option<u32>,
}

impl Index {
    /// Adds the orders before `before` to the page, newest first. Returns where to go on, or `None` when the page is full or
    /// no orders are left.
    pub(super) fn scan(
        &self,
        query: &OrderQuery,
        before: Option<RowKey>,
        page: &mut Vec<OrderSummary>,
    ) -> Option<RowKey> {
        let filter = self.filter(query)?;
        for (seen, position) in (1_usize..).zip(self.candidates(&filter, before)) {
            let row = self.rows.at(position);
            // Newest first: what follows is older still.
            if query.placed_from.is_some_and(|from| row.placed_at() < from) {
                return None;
            }
            if self.passes(row, &filter) {
                page.push(self.summary(row));
                if page.len() >= query.limit {
                    return None;
                }
            }
            if seen == SCAN_ROWS {
                return Some(row.key());
            }
        }
        None
    }

    /// `None`: the query is about a customer or SKU without any order.
    fn filter<'a>(&self, query: &'a OrderQuery) -> Option<Filter<'a>> {
        let customer = match &query.customer {
            Some(customer) => Some(self.customers.find(customer)?),
            None => None,
        };
        let sku = match &query.sku {
            Some(sku) => Some(self.skus.find(sku)?),
            None => None,
        };
        Some(Filter { query, customer, sku })
    }

    /// The shortest list that has all the orders asked for, newest first.
    fn candidates(&self, filter: &Filter<'_>, before: Option<RowKey>) -> Box<dyn Iterator<Item = u32> + '_> {
        if let Some(buyer) = filter.query.buyer {
            let newest = self.newest_of_buyer(buyer);
            return Box::new(self.follow(Chain::Buyer, newest, before, move |row| row.buyer() == buyer));
        }
        if let Some(customer) = filter.customer {
            let newest = self.newest_of_customer(customer);
            return Box::new(self.follow(Chain::Customer, newest, before, move |row| row.customer == customer));
        }
        let older = match before {
            Some(before) => self.by_time.partition_point(|position| self.rows.at(*position).key() < before),
            None => self.by_time.len(),
        };
        Box::new(self.by_time[..older].iter().rev().copied())
    }

    /// A chain's orders before `before`. It begins there if that order is in the chain, so the last page costs no more than
    /// the first.
    fn follow(
        &self,
        chain: Chain,
        newest: u32,
        before: Option<RowKey>,
        is_member: impl Fn(&Row) -> bool,
    ) -> impl Iterator<Item = u32> {
        let resumed = before.and_then(|key| {
            let position = self.position(OrderId::from_u128(u128::from_be_bytes(key.1)))?;
            let row = self.rows.at(position);
            (row.key() == key && is_member(row)).then_some(position)
        });
        let existing = |position: u32| (position != NONE).then_some(position);
        successors(existing(resumed.unwrap_or(newest)), move |position| existing(self.rows.at(*position).older(chain)))
            .skip_while(move |position| before.is_some_and(|before| self.rows.at(*position).key() >= before))
    }

    fn passes(&self, row: &Row, filter: &Filter<'_>) -> bool {
        filter.query.status.is_none_or(|status| row.status == status)
            && filter.query.buyer.is_none_or(|buyer| row.buyer() == buyer)
            && filter.customer.is_none_or(|customer| row.customer == customer)
            && filter.sku.is_none_or(|sku| self.has_sku(row, sku))
    }

    fn has_sku(&self, row: &Row, sku: u32) -> bool {
        if row.skus & SKU_SET == 0 { row.skus == sku } else { self.sku_sets.at(row.skus & !SKU_SET).contains(&sku) }
    }

    fn summary(&self, row: &Row) -> OrderSummary {
        OrderSummary {
            id: row.id(),
            placed_at: row.placed_at(),
            status: row.status,
            buyer: row.buyer(),
            customer: (row.customer != NONE).then(|| self.customers.name(row.customer).clone()),
            total: row.total(),
        }
    }
}
