//! Which orders somebody looks for, and what a listing shows of each. One question for every index that can answer it: the
//! one in memory, and the tables.
//!
//! Invariant: newest first, and the order of ids breaks a tie, so that a page from one index goes on in another.

use crate::{
    id::{BuyerId, CustomerId, OrderId, SkuId},
    money::Money,
    order::OrderStatus,
    time::Timestamp,
};

/// Which orders, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderQuery {
    /// Only what this buyer may read.
    pub buyer: Option<BuyerId>,
    /// Only of this customer.
    pub customer: Option<CustomerId>,
    /// Only where they stand here.
    pub status: Option<OrderStatus>,
    /// Only with a line of this SKU.
    pub sku: Option<SkuId>,
    /// Only placed then or later.
    pub placed_from: Option<Timestamp>,
    /// Only placed before then.
    pub placed_to: Option<Timestamp>,
    /// Only orders before this one: the last of the page before.
    pub before: Option<(Timestamp, OrderId)>,
    /// How many at most.
    pub limit: usize,
}

/// An order in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSummary {
    /// Which order.
    pub id: OrderId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// Where it stands.
    pub status: OrderStatus,
    /// Who may read it.
    pub buyer: BuyerId,
    /// Who per-customer limits counted for.
    pub customer: Option<CustomerId>,
    /// The sum of its lines.
    pub total: Money,
}
