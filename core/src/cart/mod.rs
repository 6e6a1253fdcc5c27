//! A shopping cart: what a buyer means to order. Prices are not in it; they are frozen when the order is placed.
//!
//! Invariant: a cart becomes an order at most once. [`CartCommand::BeginCheckout`] locks it for one order until the
//! attempt's deadline; only that order can complete it, and it opens again only when that order can no longer come to be.

mod apply;
mod command;
mod decide;

use alloc::{boxed::Box, vec::Vec};

use serde::{Deserialize, Serialize};

pub use command::{CartCommand, CartEvent, CartRejection};

use crate::{
    entity::Entity,
    id::{CartId, OrderId, SkuId},
    money::Currency,
    quantity::Quantity,
    time::Timestamp,
};

/// One SKU and how many. There is at most one line per SKU: adding it again adds to the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartLine {
    /// Names the line within its cart; never reused.
    pub item: u32,
    /// What.
    pub sku: SkuId,
    /// How many.
    pub quantity: Quantity,
}

/// Where a cart stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartState {
    /// It may be changed.
    Open,
    /// Locked for one order.
    CheckingOut {
        /// The order.
        order: OrderId,
        /// The attempt is void from this instant on.
        deadline: Timestamp,
    },
    /// It became an order: final.
    Converted {
        /// The order.
        order: OrderId,
    },
    /// Its lines went into another cart: final.
    Merged {
        /// The other cart.
        into: CartId,
    },
    /// It lapsed: final.
    Expired,
}

/// A shopping cart. Kept small: a million idle ones live in memory at 500 bytes each or less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    id: CartId,
    version: u64,
    state: CartState,
    expires_at: Timestamp,
    lines: Vec<CartLine>,
    /// The carts whose lines are in, newest last. Nearly no cart has any.
    took_in: Box<[CartId]>,
    next_item: u32,
    currency: Currency,
}

impl Cart {
    /// The most lines of one cart.
    pub const MAX_LINES: usize = 100;

    /// How many merged-in carts are remembered, so that a repeated merge adds nothing. The oldest is forgotten first.
    pub const MAX_MERGES_REMEMBERED: usize = 16;

    /// The cart `id` before anything has happened to it: it does not exist yet, and what it says of currency and expiry
    /// means nothing.
    pub fn new(id: CartId) -> Self {
        Self {
            id,
            version: 0,
            state: CartState::Open,
            expires_at: Timestamp::MAX,
            lines: Vec::new(),
            took_in: Box::default(),
            next_item: 0,
            currency: Currency::EUR,
        }
    }

    /// Which cart it is.
    pub const fn id(&self) -> CartId {
        self.id
    }

    /// What is in it, in the order it was added. Stays readable when the cart was converted or merged.
    pub fn lines(&self) -> &[CartLine] {
        &self.lines
    }

    /// The line of this number.
    pub fn line(&self, item: u32) -> Option<&CartLine> {
        self.lines.iter().find(|line| line.item == item)
    }

    /// Where it stands.
    pub const fn state(&self) -> CartState {
        self.state
    }

    /// The currency its order will be in.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// When it lapses if nobody touches it.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether it is final: converted, merged or expired.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, CartState::Converted { .. } | CartState::Merged { .. } | CartState::Expired)
    }

    /// Whether the lines of `from` went into it, as far back as it remembers.
    pub fn has_taken_in(&self, from: CartId) -> bool {
        self.took_in.contains(&from)
    }
}

impl Entity for Cart {
    type Command = CartCommand;
    type Event = CartEvent;
    type Rejection = CartRejection;

    fn decide(&self, command: CartCommand, now: Timestamp) -> Result<Vec<CartEvent>, CartRejection> {
        self.decide_at(command, now)
    }

    fn apply(&mut self, event: &CartEvent) {
        self.take_in_fact(event);
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            _ if self.version == 0 => None,
            CartState::Open => Some(self.expires_at),
            CartState::CheckingOut { deadline, .. } => Some(deadline),
            CartState::Converted { .. } | CartState::Merged { .. } | CartState::Expired => None,
        }
    }
}
