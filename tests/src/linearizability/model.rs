//! One SKU with its orders as a machine that does one thing at a time: what every answer would be if there were no
//! concurrency at all.
//!
//! It is written from the documentation, not from the code under test, and knows only what a client can see: how many units
//! there are and can be bought, and whether an order is there and still stands.

use std::fmt::Debug;

/// A machine that the checker drives.
pub trait Model {
    /// What was asked and what was answered.
    type Operation: Debug;

    /// Where it begins.
    fn initial(&self) -> State;

    /// Where `operation` leads from `state`; `None` if it could not have been answered so.
    fn step(&self, state: &State, operation: &Self::Operation) -> Option<State>;
}

/// The state of a SKU.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Units that can be bought.
    pub available: u64,
    /// Units in the house.
    pub on_hand: u64,
    /// The orders of the SKU, by number.
    pub orders: Vec<Standing>,
}

/// Where an order stands, and how many units it has or had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// There is none.
    Absent,
    /// It has its units.
    Live(u64),
    /// Its time has passed: the units are back, the order says so or is about to.
    Lapsed(u64),
    /// It was canceled or its payment declined: the units are back.
    Ended(u64),
}

/// What an admin is shown of a SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Units in the house.
    pub on_hand: u64,
    /// Units that can be bought.
    pub available: u64,
}

/// What was asked and, where it is known, what was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /orders` with the key of an order.
    Checkout {
        /// Which order.
        order: usize,
        /// How many units.
        units: u64,
        /// The answer.
        answer: Option<CheckoutAnswer>,
    },
    /// `POST /orders/{id}/cancel`.
    Cancel {
        /// Which order.
        order: usize,
        /// The answer.
        answer: Option<CancelAnswer>,
    },
    /// `POST /products/{sku}/stock-adjustments`.
    Adjust {
        /// Units that come or go.
        delta: i64,
        /// The answer.
        answer: Option<AdjustAnswer>,
    },
    /// A read of the product, alone or in a listing.
    ReadLevel(Level),
    /// A read of an order.
    ReadOrder {
        /// Which order.
        order: usize,
        /// What was seen.
        seen: Seen,
    },
    /// The shop by itself: the payment is declined. Never answered.
    Decline {
        /// Which order.
        order: usize,
    },
    /// The shop by itself: the hold's time has passed. Never answered.
    Lapse {
        /// Which order.
        order: usize,
    },
}

/// How a checkout was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckoutAnswer {
    /// 201: a new order.
    Placed,
    /// 201, replayed: the order was there.
    Replayed,
    /// 422: the key made an order of another request.
    Reused,
    /// 409: so few are available.
    Insufficient {
        /// How many.
        available: u64,
    },
}

/// How a cancel was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAnswer {
    /// 200.
    Canceled,
    /// 409: it had expired.
    Refused,
}

/// How an adjustment was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdjustAnswer {
    /// 200, with the units as they are now.
    Done(Level),
    /// 409: fewer than that are available.
    Below {
        /// How many.
        available: u64,
    },
}

/// What a read of an order shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// 404.
    Absent,
    /// Placed, authorized or confirmed.
    Live,
    /// Canceled or expired.
    Ended,
}

/// A SKU that begins with `units` units and no order.
#[derive(Debug, Clone, Copy)]
pub struct Sku {
    /// Units at first.
    pub units: u64,
    /// How many orders there are at most.
    pub orders: usize,
}

impl Model for Sku {
    type Operation = Operation;

    fn initial(&self) -> State {
        State { available: self.units, on_hand: self.units, orders: vec![Standing::Absent; self.orders] }
    }

    fn step(&self, state: &State, operation: &Operation) -> Option<State> {
        match *operation {
            Operation::Checkout { order, units, answer } => state.checkout(order, units, answer),
            Operation::Cancel { order, answer } => state.cancel(order, answer),
            Operation::Adjust { delta, answer } => state.adjust(delta, answer),
            Operation::ReadLevel(level) => (level == state.level()).then(|| state.clone()),
            Operation::ReadOrder { order, seen } => state.shows(order, seen).then(|| state.clone()),
            Operation::Decline { order } => state.end(order, Standing::Ended),
            Operation::Lapse { order } => state.end(order, Standing::Lapsed),
        }
    }
}

impl State {
    fn level(&self) -> Level {
        Level { on_hand: self.on_hand, available: self.available }
    }

    fn standing(&self, order: usize) -> Standing {
        self.orders.get(order).copied().unwrap_or(Standing::Absent)
    }

    fn with(&self, order: usize, standing: Standing, available: u64) -> Option<Self> {
        let mut next = Self { available, ..self.clone() };
        *next.orders.get_mut(order)? = standing;
        Some(next)
    }

    /// An order that stands no longer does, and its units are back.
    fn end(&self, order: usize, into: fn(u64) -> Standing) -> Option<Self> {
        let Standing::Live(units) = self.standing(order) else { return None };
        self.with(order, into(units), self.available.checked_add(units)?)
    }

    fn checkout(&self, order: usize, units: u64, answer: Option<CheckoutAnswer>) -> Option<Self> {
        let placed = || self.with(order, Standing::Live(units), self.available.checked_sub(units)?);
        let is_possible = match (self.standing(order), answer) {
            (Standing::Absent, None | Some(CheckoutAnswer::Placed)) => return placed(),
            (Standing::Absent, Some(CheckoutAnswer::Insufficient { available })) => {
                available == self.available && available < units
            }
            (Standing::Live(had) | Standing::Lapsed(had) | Standing::Ended(had), answer) => match answer {
                None => true,
                Some(CheckoutAnswer::Replayed) => had == units,
                Some(CheckoutAnswer::Reused) => had != units,
                Some(CheckoutAnswer::Placed | CheckoutAnswer::Insufficient { .. }) => false,
            },
            (Standing::Absent, Some(CheckoutAnswer::Replayed | CheckoutAnswer::Reused)) => false,
        };
        is_possible.then(|| self.clone())
    }

    fn cancel(&self, order: usize, answer: Option<CancelAnswer>) -> Option<Self> {
        match (self.standing(order), answer) {
            (Standing::Live(_), None | Some(CancelAnswer::Canceled)) => self.end(order, Standing::Ended),
            // The hold's time had passed, but nobody had told the order yet.
            (Standing::Lapsed(units), None | Some(CancelAnswer::Canceled)) => {
                self.with(order, Standing::Ended(units), self.available)
            }
            (Standing::Lapsed(_), Some(CancelAnswer::Refused))
            | (Standing::Ended(_), None | Some(CancelAnswer::Canceled)) => Some(self.clone()),
            (Standing::Absent, _) | (Standing::Live(_) | Standing::Ended(_), Some(CancelAnswer::Refused)) => None,
        }
    }

    fn adjust(&self, delta: i64, answer: Option<AdjustAnswer>) -> Option<Self> {
        let add = |units: u64| {
            if delta < 0 { units.checked_sub(delta.unsigned_abs()) } else { units.checked_add_signed(delta) }
        };
        let adjusted = add(self.available).zip(add(self.on_hand));
        match (adjusted, answer) {
            (None, Some(AdjustAnswer::Below { available })) => (available == self.available).then(|| self.clone()),
            (Some((available, on_hand)), None | Some(AdjustAnswer::Done(_))) => {
                let next = Self { available, on_hand, ..self.clone() };
                let is_so = answer.is_none_or(|answer| answer == AdjustAnswer::Done(next.level()));
                is_so.then_some(next)
            }
            _ => None,
        }
    }

    fn shows(&self, order: usize, seen: Seen) -> bool {
        match self.standing(order) {
            Standing::Absent => seen == Seen::Absent,
            Standing::Live(_) => seen == Seen::Live,
            Standing::Lapsed(_) => seen != Seen::Absent,
            Standing::Ended(_) => seen == Seen::Ended,
        }
    }
}
