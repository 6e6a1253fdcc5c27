//! What clients recorded about one SKU, and how it is checked: all of it against the SKU, and every order's part by itself.
//!
//! The second is for reads from listings: their entries are each true, but not all at the same moment (see "Reads" in
//! `docs/runtime-semantics.md`), so they say something about their order only.

use super::{
    checker::{Check, Timed, check},
    model::{CheckoutAnswer, Operation, Sku},
};

/// How much earlier a hold may seem to lapse than its time to live after its request was sent, in nanoseconds: the server
/// counts in whole milliseconds.
const CLOCK_GRAIN_NS: u64 = 2_000_000;

/// More than any history sells: for checks that look at one order only.
const PLENTY: u64 = 1 << 40;

/// One operation of one client.
#[derive(Debug, Clone)]
pub struct Record {
    /// What, and when.
    pub timed: Timed<Operation>,
    /// Whether it was read in a listing of orders.
    pub is_listed: bool,
}

/// All operations on one SKU.
#[derive(Debug, Clone)]
pub struct History {
    /// Units at first.
    pub units: u64,
    /// How many keys were used.
    pub orders: usize,
    /// The orders whose payment is declined.
    pub declined: Vec<usize>,
    /// How long a hold lives that is not paid, in nanoseconds; `None` if longer than the history.
    pub hold_ttl_ns: Option<u64>,
    /// The records.
    pub records: Vec<Record>,
}

impl History {
    /// The first check that does not pass, at up to `limit` configurations each.
    pub fn check(&self, limit: usize) -> Check {
        let whole = Sku { units: self.units, orders: self.orders };
        let unlisted = self.records.iter().filter(|record| !record.is_listed);
        let operations = unlisted.map(|record| record.timed.clone()).chain(self.own_steps()).collect::<Vec<_>>();
        let whole = check(&whole, &operations, limit);
        if whole == Check::Linearizable { self.check_orders(limit) } else { whole }
    }

    /// The first order whose part of the history does not pass by itself, at up to `limit` configurations each. For
    /// histories too long for [`History::check`].
    pub fn check_orders(&self, limit: usize) -> Check {
        let mut orders = (0..self.orders).map(|order| self.check_order(order, limit));
        orders.find(|check| *check != Check::Linearizable).unwrap_or(Check::Linearizable)
    }

    /// Operations without an answer.
    pub fn unanswered(&self) -> usize {
        self.records.iter().filter(|record| record.timed.returned.is_none()).count()
    }

    fn check_order(&self, order: usize, limit: usize) -> Check {
        let of_order = |timed: &Timed<Operation>| match timed.operation {
            Operation::Checkout { order: its, answer, .. } => {
                // A refusal says something about the SKU only.
                its == order && !matches!(answer, Some(CheckoutAnswer::Insufficient { .. }))
            }
            Operation::Cancel { order: its, .. }
            | Operation::ReadOrder { order: its, .. }
            | Operation::Decline { order: its }
            | Operation::Lapse { order: its } => its == order,
            Operation::Adjust { .. } | Operation::ReadLevel(_) => false,
        };
        let recorded = self.records.iter().map(|record| record.timed.clone());
        let operations: Vec<_> = recorded.chain(self.own_steps()).filter(of_order).collect();
        check(&Sku { units: PLENTY, orders: self.orders }, &operations, limit)
    }

    /// What the shop may have done by itself, at any time after the order may have been placed.
    fn own_steps(&self) -> impl Iterator<Item = Timed<Operation>> + '_ {
        (0..self.orders).flat_map(|order| {
            let placing = self.records.iter().filter(move |record| may_place(&record.timed.operation, order));
            let earliest = placing.map(|record| record.timed.invoked).min();
            let step = |invoked, operation| Timed { invoked, returned: None, operation };
            let decline = earliest.filter(|_| self.declined.contains(&order));
            let lapse =
                earliest.zip(self.hold_ttl_ns).map(|(at, ttl)| at.saturating_add(ttl).saturating_sub(CLOCK_GRAIN_NS));
            let decline = decline.map(|at| step(at, Operation::Decline { order }));
            decline.into_iter().chain(lapse.map(|at| step(at, Operation::Lapse { order })))
        })
    }
}

fn may_place(operation: &Operation, order: usize) -> bool {
    match operation {
        Operation::Checkout { order: its, answer, .. } => {
            *its == order && matches!(answer, None | Some(CheckoutAnswer::Placed | CheckoutAnswer::Replayed))
        }
        _ => false,
    }
}
