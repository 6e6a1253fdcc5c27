//! What may be asked of a cart, what has happened to it, and why it refuses. The events are on disk: variants keep their
//! order and their fields for ever.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Cart, CartLine};
use crate::{
    id::{CartId, OrderId, SkuId},
    money::Currency,
    quantity::Quantity,
    time::Timestamp,
};

/// What may be asked of a cart. `expected_version` is the version of an `If-Match`, refused when stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartCommand {
    /// Begin an empty cart.
    Create {
        /// The currency its order will be in.
        currency: Currency,
        /// When it lapses if nobody touches it; every later change moves it to the command's own `expires_at`.
        expires_at: Timestamp,
    },
    /// Add units of a SKU.
    AddItem {
        /// What.
        sku: SkuId,
        /// How many more.
        quantity: Quantity,
        /// The new expiry.
        expires_at: Timestamp,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Set a line's quantity.
    ChangeQuantity {
        /// Which line.
        item: u32,
        /// How many from now on.
        quantity: Quantity,
        /// The new expiry.
        expires_at: Timestamp,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Take a line out.
    RemoveItem {
        /// Which line.
        item: u32,
        /// The new expiry.
        expires_at: Timestamp,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Take in the lines of another cart, adding up quantities per SKU. `from` makes a repeat harmless.
    TakeIn {
        /// The cart the lines come from.
        from: CartId,
        /// Its lines.
        lines: Vec<CartLine>,
        /// The new expiry.
        expires_at: Timestamp,
    },
    /// Close this cart because its lines went into `into`.
    MergeInto {
        /// The cart that took the lines in.
        into: CartId,
    },
    /// Open again: the cart its lines were to go into refused them.
    Reopen {
        /// The cart that refused.
        into: CartId,
    },
    /// Lock the cart for one order.
    BeginCheckout {
        /// The only order that may complete it.
        order: OrderId,
        /// The attempt is void from this instant on.
        deadline: Timestamp,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// The order came to be: the cart is done.
    CompleteCheckout {
        /// The order.
        order: OrderId,
    },
    /// The order did not come to be: the cart opens again.
    AbandonCheckout {
        /// The order.
        order: OrderId,
    },
    /// The cart's time may have come.
    Expire,
}

/// What has happened to a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CartEvent {
    /// It began.
    Created {
        /// Its currency.
        currency: Currency,
        /// When it lapses.
        expires_at: Timestamp,
    },
    /// A line's quantity is now this; the line is new if its number is.
    LineSet {
        /// The line.
        line: CartLine,
        /// When the cart lapses.
        expires_at: Timestamp,
    },
    /// A line is gone.
    LineRemoved {
        /// Which.
        item: u32,
        /// When the cart lapses.
        expires_at: Timestamp,
    },
    /// Another cart's lines are in.
    TookIn {
        /// The other cart.
        from: CartId,
        /// This cart's lines now, whole.
        lines: Vec<CartLine>,
        /// When the cart lapses.
        expires_at: Timestamp,
    },
    /// Its lines went into another cart.
    MergedInto {
        /// The other cart.
        into: CartId,
    },
    /// It is locked for one order.
    CheckoutBegun {
        /// The order.
        order: OrderId,
        /// When the attempt is void.
        deadline: Timestamp,
    },
    /// It became an order.
    CheckoutCompleted {
        /// The order.
        order: OrderId,
    },
    /// It is open again.
    CheckoutAbandoned {
        /// The order that did not come to be.
        order: OrderId,
    },
    /// It lapsed.
    Expired,
    /// It is open again: the cart its lines were to go into refused them.
    Reopened,
}

/// Why a cart refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CartRejection {
    /// There is no such cart, or it is over (expired, merged).
    #[error("there is no such cart")]
    NotFound,
    /// The cart exists already.
    #[error("the cart exists already")]
    AlreadyExists,
    /// There is no such line.
    #[error("the cart has no item {item}")]
    ItemNotFound {
        /// The line asked for.
        item: u32,
    },
    /// The line would pass the largest quantity.
    #[error("a line holds at most {max} units", max = Quantity::MAX.get())]
    QuantityTooLarge,
    /// More lines than a cart may have.
    #[error("a cart holds at most {max} lines", max = Cart::MAX_LINES)]
    TooManyLines,
    /// Nothing to order.
    #[error("the cart is empty")]
    Empty,
    /// A checkout is under way.
    #[error("the cart is being checked out as {order}")]
    CheckingOut {
        /// The order it is locked for.
        order: OrderId,
    },
    /// It became an order before.
    #[error("the cart became {order}")]
    Converted {
        /// That order.
        order: OrderId,
    },
    /// Prices of another currency than the cart's.
    #[error("the cart is in {cart}, not in {other}")]
    CurrencyMismatch {
        /// The cart's currency.
        cart: Currency,
        /// The currency it was to take in.
        other: Currency,
    },
    /// A cart cannot be merged with itself.
    #[error("a cart cannot be merged into itself")]
    SameCart,
    /// The caller saw another version.
    #[error("the cart is at version {actual}, not {expected}")]
    StaleVersion {
        /// What the caller saw.
        expected: u64,
        /// What is current.
        actual: u64,
    },
    /// No checkout is under way that could be completed.
    #[error("the cart is not being checked out")]
    NotCheckingOut,
}
