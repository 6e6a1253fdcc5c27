//! The ledger's figures as JSON, for audits.

use std::collections::BTreeMap;

use holdfast_actors::payment::{CurrencyTotals, LedgerTotals, OrderLedger};
use serde::Serialize;

/// What happened to the money of one order, in minor units of `currency`.
#[derive(Serialize)]
pub(super) struct OrderSums {
    currency: String,
    authorized: i64,
    captured: i64,
    refunded: i64,
    voided: bool,
    authorizations: u16,
    captures: u16,
    calls: u32,
    repeats: u32,
}

/// Sums over all orders.
#[derive(Serialize)]
pub(super) struct Totals {
    orders: usize,
    calls: u64,
    repeats: u64,
    voided: usize,
    money: BTreeMap<String, Money>,
    /// Orders whose money went wrong; none unless something is broken.
    violations: Vec<String>,
}

#[derive(Serialize)]
struct Money {
    authorized: i128,
    captured: i128,
    refunded: i128,
}

impl From<OrderLedger> for OrderSums {
    fn from(order: OrderLedger) -> Self {
        let OrderLedger { currency, authorized, captured, refunded, voided, authorizations, captures, calls, repeats } =
            order;
        let currency = currency.code().to_owned();
        Self { currency, authorized, captured, refunded, voided, authorizations, captures, calls, repeats }
    }
}

impl Totals {
    pub(super) fn new(totals: LedgerTotals, violations: Vec<String>) -> Self {
        let LedgerTotals { orders, calls, repeats, voided, money } = totals;
        let money = money.into_iter().map(|(currency, sums)| {
            let CurrencyTotals { authorized, captured, refunded } = sums;
            (currency.code().to_owned(), Money { authorized, captured, refunded })
        });
        Self { orders, calls, repeats, voided, money: money.collect(), violations }
    }
}
