//! The sandbox gateway's own books: what was asked under every key, what was answered, and what money moved. Tests compare
//! Holdfast's orders with these.
//!
//! Invariants: nothing is ever forgotten (at its limit the ledger opens no further account instead), and everything asked
//! about one order is decided under one lock, so a void and an authorization that race have one order of events.
//!
//! Cost: one entry of 64 bytes per order, 72 more once it is captured or refunded, and 32 bytes per refund.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use dashmap::Entry;
use holdfast_core::{Currency, Money, OrderId};

use super::{
    book::Book,
    port::{GatewayError, GatewayRequest},
    script::{Verdict, token_digest},
};
use crate::id_map::{IdHasher, SharedIdMap};

/// Parts of the accounts, each with a lock of its own. Many, because a part doubles by moving all it has into fresh memory while
/// whoever wants an order of it waits.
const PARTS: usize = 256;

/// The books of a [`SandboxGateway`](super::SandboxGateway).
pub struct Ledger {
    accounts: SharedIdMap<OrderId, Account>,
    opened: AtomicUsize,
    max_orders: usize,
    book: Option<Book>,
}

/// What happened to the money of one order. Amounts are in minor units of `currency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderLedger {
    /// The currency of all amounts.
    pub currency: Currency,
    /// What was reserved, also if it was captured or released since.
    pub authorized: i64,
    /// What was taken.
    pub captured: i64,
    /// What was given back.
    pub refunded: i64,
    /// Whether the reservation was released, or refused before it came.
    pub voided: bool,
    /// How many authorizations reserved money.
    pub authorizations: u16,
    /// How many captures took money: at most one (I3).
    pub captures: u16,
    /// How many calls came in, of any kind.
    pub calls: u32,
    /// How many of them came under a key that had its answer already.
    pub repeats: u32,
}

/// Sums over all orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    /// How many orders the gateway heard of.
    pub orders: usize,
    /// How many calls came in.
    pub calls: u64,
    /// How many of them came under a key that had its answer already.
    pub repeats: u64,
    /// How many orders were voided.
    pub voided: usize,
    /// The money, by currency.
    pub money: BTreeMap<Currency, CurrencyTotals>,
}

/// Sums in one currency, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurrencyTotals {
    /// What was reserved.
    pub authorized: i128,
    /// What was taken.
    pub captured: i128,
    /// What was given back.
    pub refunded: i128,
}

/// Everything the gateway knows of one order.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) token: u64,
    pub(super) amount: Money,
    pub(super) authorization: Option<Verdict>,
    moved: Option<Box<Moved>>,
    pub(super) voided: bool,
    /// The one time-out its token asks for has happened.
    pub(super) timed_out: bool,
    /// The answers are no longer found by key, only by looking the order up.
    pub(super) keys_forgotten: bool,
    pub(super) authorizations: u16,
    pub(super) calls: u32,
    pub(super) repeats: u32,
}

/// What was asked of an order's money beyond its authorization: apart, because in a sale most orders never get there, and a
/// ledger grows by the million.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) capture: Option<Settled>,
    pub(super) refunds: Vec<(u16, Settled)>,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) captures: u16,
}

static NOTHING_MOVED: Moved = Moved { capture: None, refunds: Vec::new(), captured: 0, refunded: 0, captures: 0 };

/// The stored answer to a capture or refund, and the amount it was about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settled {
    pub(super) amount: Money,
    pub(super) verdict: Verdict,
}

impl Ledger {
    /// An empty ledger for at most `max_orders` orders.
    pub(super) fn new(max_orders: usize) -> Self {
        let accounts = SharedIdMap::with_hasher_and_shard_amount(IdHasher::default(), PARTS);
        Self { accounts, opened: AtomicUsize::new(0), max_orders, book: None }
    }

    /// From now on every call is entered into `book` before it is answered.
    pub(super) fn keep(&mut self, book: Book) {
        self.book = Some(book);
    }

    /// Whether every call is entered into a book.
    pub(super) const fn keeps_book(&self) -> bool {
        self.book.is_some()
    }

    /// What happened to the money of `order`; `None` if the gateway never heard of it.
    pub fn order(&self, order: OrderId) -> Option<OrderLedger> {
        self.accounts.get(&order).map(|account| account.summary())
    }

    /// Sums over all orders. Not one instant: calls may come in while it adds up.
    pub fn totals(&self) -> LedgerTotals {
        let mut totals = LedgerTotals::default();
        for entry in &self.accounts {
            let order = entry.summary();
            totals.orders += 1;
            totals.calls += u64::from(order.calls);
            totals.repeats += u64::from(order.repeats);
            totals.voided += usize::from(order.voided);
            let money = totals.money.entry(order.currency).or_default();
            money.authorized += i128::from(order.authorized);
            money.captured += i128::from(order.captured);
            money.refunded += i128::from(order.refunded);
        }
        totals
    }

    /// The orders whose money went wrong: reserved or captured twice, captured beyond the reservation or after a void, or
    /// refunded beyond the capture. Empty unless something is broken.
    pub fn violations(&self) -> Vec<OrderId> {
        self.accounts.iter().filter(|entry| entry.summary().is_violation()).map(|entry| *entry.key()).collect()
    }

    /// Runs `decide` on the account of the request's order, opening it if need be. `None`: the ledger is full.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when the call cannot be entered into the book: nothing happened.
    pub(super) fn open<T>(
        &self,
        request: &GatewayRequest,
        decide: impl FnOnce(&mut Account) -> T,
    ) -> Result<Option<T>, GatewayError> {
        let mut account = match self.accounts.entry(request.key.order) {
            Entry::Occupied(known) => {
                self.enter(request)?;
                known.into_ref()
            }
            Entry::Vacant(new) => {
                // The counter is only ever compared with the limit, so no order with other memory is needed.
                if self.opened.fetch_add(1, Ordering::Relaxed) >= self.max_orders {
                    self.opened.fetch_sub(1, Ordering::Relaxed);
                    return Ok(None);
                }
                if let Err(error) = self.enter(request) {
                    self.opened.fetch_sub(1, Ordering::Relaxed);
                    return Err(error);
                }
                new.insert(Account::new(request))
            }
        };
        account.calls = account.calls.saturating_add(1);
        Ok(Some(decide(&mut account)))
    }

    /// Runs `decide` on the account of the request's order, if there is one.
    ///
    /// # Errors
    /// [`GatewayError::Unavailable`] when the call cannot be entered into the book: nothing happened.
    pub(super) fn find<T>(
        &self,
        request: &GatewayRequest,
        decide: impl FnOnce(&mut Account) -> T,
    ) -> Result<Option<T>, GatewayError> {
        let Some(mut account) = self.accounts.get_mut(&request.key.order) else { return Ok(None) };
        self.enter(request)?;
        account.calls = account.calls.saturating_add(1);
        Ok(Some(decide(&mut account)))
    }

    fn enter(&self, request: &GatewayRequest) -> Result<(), GatewayError> {
        let Some(book) = &self.book else { return Ok(()) };
        book.enter(request).map_err(|error| GatewayError::Unavailable {
            reason: format!("the sandbox gateway's book cannot be written: {error}"),
        })
    }

    /// Forgets which answer belongs to which key, but no money.
    pub(super) fn forget_keys(&self) {
        self.accounts.iter_mut().for_each(|mut account| account.keys_forgotten = true);
    }

    /// Whether the order's reservation was released or refused.
    pub(super) fn is_voided(&self, order: OrderId) -> bool {
        self.accounts.get(&order).is_some_and(|account| account.voided)
    }
}

impl Account {
    fn new(request: &GatewayRequest) -> Self {
        Self {
            token: token_digest(&request.token),
            amount: request.amount,
            authorization: None,
            moved: None,
            voided: false,
            timed_out: false,
            keys_forgotten: false,
            authorizations: 0,
            calls: 0,
            repeats: 0,
        }
    }

    /// What was captured and refunded.
    pub(super) fn moved(&self) -> &Moved {
        self.moved.as_deref().unwrap_or(&NOTHING_MOVED)
    }

    /// The same, to enter something into it.
    pub(super) fn moved_mut(&mut self) -> &mut Moved {
        self.moved.get_or_insert_default()
    }

    /// Whether a stored answer is found for this request: by its key, or by looking up.
    pub(super) fn finds(&self, request: &GatewayRequest) -> bool {
        request.asked_before || !self.keys_forgotten
    }

    fn summary(&self) -> OrderLedger {
        let moved = self.moved();
        OrderLedger {
            currency: self.amount.currency(),
            authorized: if self.authorizations == 0 { 0 } else { self.amount.minor() },
            captured: moved.captured,
            refunded: moved.refunded,
            voided: self.voided,
            authorizations: self.authorizations,
            captures: moved.captures,
            calls: self.calls,
            repeats: self.repeats,
        }
    }
}

impl OrderLedger {
    /// Whether the order's money went wrong.
    pub fn is_violation(&self) -> bool {
        self.authorizations > 1
            || self.captures > 1
            || self.captured > self.authorized
            || self.refunded > self.captured
            || (self.voided && self.captured > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_no_more_than_the_documentation_says() {
        assert_eq!(size_of::<(OrderId, Account)>(), 64);
        assert_eq!(size_of::<Moved>(), 72);
        assert_eq!(size_of::<(u16, Settled)>(), 32);
    }
}
