//! The sandbox gateway's own books: what was asked under every key, what was answered, and what money moved. Tests compare
//! Holdfast's orders with these.
//!
//! Invariants: nothing is ever forgotten (at its limit the ledger opens no further account instead), and everything asked
//! about one order is decided under one lock, so a void and an authorization that race have one order of events.
//!
//! Cost: one entry of 64 bytes per order and 10 to 15 for finding it, 72 more once it is captured or refunded, and 32 bytes per
//! refund.

use std::{
    collections::BTreeMap,
    hash::BuildHasher as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use holdfast_core::{Currency, OrderId};
use parking_lot::{Mutex, MutexGuard};

use super::{
    account::Account,
    book::Book,
    port::{GatewayError, GatewayRequest},
};
use crate::{
    id_map::IdHasher,
    rows::{Chunked, Positions},
};

/// Parts of the accounts, each with a lock of its own. Few, so that the rows last written are in the cache; an order has its part for a
/// few hundred nanoseconds, or for a write where a book is kept.
const PARTS: usize = 8;

/// The books of a [`SandboxGateway`](super::SandboxGateway).
pub struct Ledger {
    parts: [Mutex<Accounts>; PARTS],
    hasher: IdHasher,
    opened: AtomicUsize,
    max_orders: usize,
    book: Option<Book>,
}

/// The accounts of some of the orders, found by their order.
#[derive(Default)]
struct Accounts {
    rows: Chunked<(OrderId, Account)>,
    ids: Positions,
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

impl Ledger {
    /// An empty ledger for at most `max_orders` orders.
    pub(super) fn new(max_orders: usize) -> Self {
        let parts = std::array::from_fn(|_| Mutex::default());
        Self { parts, hasher: IdHasher::default(), opened: AtomicUsize::new(0), max_orders, book: None }
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
        let (part, hash) = self.part(order);
        part.find(hash, order).map(|position| part.rows.at(position).1.summary())
    }

    /// Sums over all orders. Not one instant: calls may come in while it adds up.
    pub fn totals(&self) -> LedgerTotals {
        let mut totals = LedgerTotals::default();
        self.for_each(|_, order| {
            totals.orders += 1;
            totals.calls += u64::from(order.calls);
            totals.repeats += u64::from(order.repeats);
            totals.voided += usize::from(order.voided);
            let money = totals.money.entry(order.currency).or_default();
            money.authorized += i128::from(order.authorized);
            money.captured += i128::from(order.captured);
            money.refunded += i128::from(order.refunded);
        });
        totals
    }

    /// The orders whose money went wrong: reserved or captured twice, captured beyond the reservation or after a void, or
    /// refunded beyond the capture. Empty unless something is broken.
    pub fn violations(&self) -> Vec<OrderId> {
        let mut wrong = Vec::new();
        self.for_each(|order, summary| wrong.extend(summary.is_violation().then_some(order)));
        wrong
    }

    /// Looks at every order, a few thousand under one lock.
    fn for_each(&self, mut look: impl FnMut(OrderId, OrderLedger)) {
        for part in &self.parts {
            for number in 0.. {
                let part = part.lock();
                let Some(accounts) = part.rows.chunk(number) else { break };
                for (order, account) in accounts {
                    look(*order, account.summary());
                }
            }
        }
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
        let order = request.key.order;
        let (mut part, hash) = self.part(order);
        let position = if let Some(known) = part.find(hash, order) {
            self.enter(request)?;
            Some(known)
        } else {
            // The counter is only ever compared with the limit, so no order with other memory is needed.
            if self.opened.fetch_add(1, Ordering::Relaxed) >= self.max_orders {
                self.opened.fetch_sub(1, Ordering::Relaxed);
                return Ok(None);
            }
            if let Err(error) = self.enter(request) {
                self.opened.fetch_sub(1, Ordering::Relaxed);
                return Err(error);
            }
            part.add(hash, order, Account::new(request))
        };
        Ok(position.map(|position| part.call(position, decide)))
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
        let (mut part, hash) = self.part(request.key.order);
        let Some(position) = part.find(hash, request.key.order) else { return Ok(None) };
        self.enter(request)?;
        Ok(Some(part.call(position, decide)))
    }

    /// Has the processor fetch what looking for these orders begins with. All parts are locked at once: a lock between two looks would
    /// have the second wait for the first.
    pub(super) fn look_ahead(&self, requests: &[GatewayRequest]) {
        if requests.len() < 2 {
            return;
        }
        let parts = self.parts.each_ref().map(Mutex::lock);
        for request in requests {
            let hash = self.hasher.hash_one(request.key.order);
            parts[part_of(hash)].ids.touch(hash);
        }
    }

    /// The part an order is in, locked, and the hash to find it by.
    fn part(&self, order: OrderId) -> (MutexGuard<'_, Accounts>, u64) {
        let hash = self.hasher.hash_one(order);
        (self.parts[part_of(hash)].lock(), hash)
    }

    fn enter(&self, request: &GatewayRequest) -> Result<(), GatewayError> {
        let Some(book) = &self.book else { return Ok(()) };
        book.enter(request).map_err(|error| GatewayError::Unavailable {
            reason: format!("the sandbox gateway's book cannot be written: {error}"),
        })
    }

    /// Forgets which answer belongs to which key, but no money.
    pub(super) fn forget_keys(&self) {
        for part in &self.parts {
            part.lock().rows.iter_mut().for_each(|(_, account)| account.keys_forgotten = true);
        }
    }

    /// Whether the order's reservation was released or refused.
    pub(super) fn is_voided(&self, order: OrderId) -> bool {
        let (part, hash) = self.part(order);
        part.find(hash, order).is_some_and(|position| part.rows.at(position).1.voided)
    }
}

/// The part of a hash, by other bits than those by which the table finds its places.
fn part_of(hash: u64) -> usize {
    usize::try_from(hash >> 40).unwrap_or_default() % PARTS
}

impl Accounts {
    /// Where the order's account is.
    fn find(&self, hash: u64, order: OrderId) -> Option<u32> {
        self.ids.find(hash, |position| self.rows.at(position).0 == order)
    }

    /// Opens an account for an order that has none. `None` when there are too many to count, for which no memory suffices.
    fn add(&mut self, hash: u64, order: OrderId, account: Account) -> Option<u32> {
        let position = self.rows.push((order, account))?;
        self.ids.put(hash, position, |_| false);
        Some(position)
    }

    /// Counts a call and runs `decide` on the account it is about.
    fn call<T>(&mut self, position: u32, decide: impl FnOnce(&mut Account) -> T) -> T {
        let (_, account) = self.rows.at_mut(position);
        account.calls = account.calls.saturating_add(1);
        decide(account)
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
