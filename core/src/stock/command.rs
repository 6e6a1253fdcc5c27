//! What may be asked of stock, what has happened to it, and why it refuses. The events are on disk: variants keep their
//! order and their fields for ever.

use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::SalePolicy;
use crate::{
    id::{CustomerId, HoldId},
    quantity::Quantity,
    time::Timestamp,
};

/// What may be asked of stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockCommand {
    /// Units arrive.
    Receive {
        /// How many.
        quantity: Quantity,
        /// The version an `If-Match` saw, refused when stale.
        expected_version: Option<u64>,
    },
    /// A correction after a count: positive or negative, never below what is held and allocated.
    Adjust {
        /// The difference, in units.
        delta: i64,
        /// Why, for the audit trail.
        reason: String,
        /// The version an `If-Match` saw, refused when stale.
        expected_version: Option<u64>,
    },
    /// Replace the sale policy.
    SetPolicy(SalePolicy),
    /// Take units out of what is available until `expires_at`. The same hold until another time is renewed, and decided as
    /// if it were new.
    Hold {
        /// Deterministic: the same hold twice is one hold.
        hold: HoldId,
        /// How many units.
        quantity: Quantity,
        /// When the hold lapses by itself.
        expires_at: Timestamp,
        /// Who the per-customer limit counts for.
        customer: Option<CustomerId>,
    },
    /// Give a hold's or an allocation's units back. Unknown or gone: nothing to do.
    Release {
        /// Which.
        hold: HoldId,
    },
    /// Bind a live hold to its order for good.
    Allocate {
        /// Which.
        hold: HoldId,
    },
    /// An allocation's units leave the house. Unknown or gone: nothing to do.
    Fulfill {
        /// Which.
        hold: HoldId,
    },
    /// Release every hold whose time has come.
    Lapse,
}

/// What has happened to stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockEvent {
    /// Units arrived.
    Received {
        /// How many.
        quantity: Quantity,
    },
    /// A count was corrected.
    Adjusted {
        /// The difference, in units.
        delta: i64,
        /// Why.
        reason: String,
    },
    /// The sale policy was replaced.
    PolicySet(SalePolicy),
    /// Units were held.
    Held {
        /// Which hold.
        hold: HoldId,
        /// How many units.
        quantity: Quantity,
        /// When it lapses.
        expires_at: Timestamp,
        /// Who it counts for.
        customer: Option<CustomerId>,
    },
    /// A hold was given back.
    Released {
        /// Which.
        hold: HoldId,
    },
    /// A hold's time came.
    Lapsed {
        /// Which.
        hold: HoldId,
    },
    /// A hold became an allocation.
    Allocated {
        /// Which.
        hold: HoldId,
    },
    /// An allocation was given back: its order was canceled.
    Deallocated {
        /// Which.
        hold: HoldId,
    },
    /// An allocation's units left the house.
    Fulfilled {
        /// Which.
        hold: HoldId,
    },
}

/// Why stock refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StockRejection {
    /// There is no stock record for this SKU.
    #[error("there is no stock of this SKU")]
    NotFound,
    /// Fewer units are available than asked for.
    #[error("{requested} requested, {available} available")]
    Insufficient {
        /// Units available now.
        available: u64,
        /// Units asked for.
        requested: u32,
    },
    /// The sale has not begun.
    #[error("the sale has not opened")]
    NotOpen {
        /// When it does.
        opens_at: Timestamp,
    },
    /// The sale is over.
    #[error("the sale has closed")]
    Closed {
        /// When it did.
        closes_at: Timestamp,
    },
    /// More units than one order may have.
    #[error("{requested} requested, {limit} allowed per order")]
    OverOrderLimit {
        /// The limit, in units.
        limit: Quantity,
        /// Units asked for.
        requested: u32,
    },
    /// More units than one customer may have.
    #[error("{requested} requested beside {taken} already taken, {limit} allowed per customer")]
    OverCustomerLimit {
        /// The limit, in units.
        limit: Quantity,
        /// Units the customer already has held, allocated or fulfilled.
        taken: u32,
        /// Units asked for.
        requested: u32,
    },
    /// The SKU is limited per customer and the order names none.
    #[error("this SKU is limited per customer: name the customer")]
    CustomerRequired,
    /// The hold is not known, has lapsed, or was released.
    #[error("the hold has lapsed or was released")]
    HoldGone,
    /// The same hold id with another quantity.
    #[error("the hold exists with another quantity")]
    HoldConflict,
    /// A correction would take units that are held or allocated.
    #[error("{delta} would take units that are held or allocated: {available} are available")]
    BelowCommitted {
        /// The difference asked for.
        delta: i64,
        /// Units available now.
        available: u64,
    },
    /// The sale policy contradicts itself (closes before it opens).
    #[error("the sale closes before it opens")]
    InvalidPolicy,
    /// More units than can be counted.
    #[error("more units than can be counted")]
    Overflow,
    /// The caller saw another version.
    #[error("the stock is at version {actual}, not {expected}")]
    StaleVersion {
        /// What the caller saw.
        expected: u64,
        /// What is current.
        actual: u64,
    },
}
