//! How a command can end other than well. Three different things stay three: a *rejection* is the domain's answer and
//! changed nothing; *overloaded* and *unavailable* are the runtime's and may be retried; a *quarantine* is a bug of ours,
//! kept away from its neighbors.

use holdfast_core::{
    EntityId, SkuId, cart::CartRejection, order::OrderRejection, product::ProductRejection, stock::StockRejection,
};
use serde::{Deserialize, Serialize};

/// Which entity refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The stock of a SKU.
    #[error("{sku}: {rejection}")]
    Stock {
        /// The SKU.
        sku: SkuId,
        /// Why.
        rejection: StockRejection,
    },
    /// The catalog entry of a SKU.
    #[error("{sku}: {rejection}")]
    Product {
        /// The SKU.
        sku: SkuId,
        /// Why.
        rejection: ProductRejection,
    },
    /// A cart.
    #[error(transparent)]
    Cart(#[from] CartRejection),
    /// An order.
    #[error(transparent)]
    Order(#[from] OrderRejection),
}

/// Why the runtime cannot take a command now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unavailable {
    /// The shard is replaying its journal.
    #[error("the shard is recovering")]
    Recovering,
    /// The node is shutting down.
    #[error("the node is draining")]
    Draining,
    /// The disk is full: reads go on, writes resume when there is room.
    #[error("the journal's disk is full")]
    StorageFull,
    /// The journal failed after it was given what this command led to: whether that was committed is unknown until the restart.
    #[error("the journal failed")]
    StorageFailed,
    /// The servers that keep the journal do not answer: nothing was done, and writes resume when they answer again.
    #[error("the journal's servers do not answer")]
    StorageUnreachable,
    /// The shard is changing hands, or nobody owns it at the moment: nothing was done.
    #[error("the shard is changing hands")]
    Moving,
    /// This node cannot reach most of the others, so it does not know whether the shard is still its own: nothing was done.
    #[error("the node is cut off")]
    Isolated,
    /// The shard took it in, and no answer came: whether it was done is not known.
    #[error("the shard did not answer")]
    Unknown,
    /// The journal failed before, and the node leaves: nothing was done.
    #[error("the node leaves: its journal failed")]
    Leaving,
}

impl Unavailable {
    /// Whether the command may have been carried out all the same.
    pub const fn effect(self) -> Effect {
        match self {
            Self::StorageFailed | Self::Unknown => Effect::Unknown,
            Self::Recovering
            | Self::Draining
            | Self::StorageFull
            | Self::StorageUnreachable
            | Self::Moving
            | Self::Isolated
            | Self::Leaving => Effect::None,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// The domain's answer. Nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The shard has as many requests as it may. Nothing changed.
    #[error("the shard is at its limit; retry after {retry_after_ms} ms")]
    Overloaded {
        /// What to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The runtime cannot take it now.
    #[error("{reason}; retry after {retry_after_ms} ms")]
    Unavailable {
        /// Why.
        reason: Unavailable,
        /// What to wait, in milliseconds.
        retry_after_ms: u64,
    },
    /// The entity panicked too often and is out of service; its neighbors go on.
    #[error("{0} is quarantined")]
    Quarantined(EntityId),
    /// A turn panicked on this command; nothing of it was kept.
    #[error("an internal error at {0}; nothing was changed")]
    Panicked(EntityId),
    /// The attempt's deadline passed before it was decided. Nothing changed.
    #[error("the deadline passed before the command was decided")]
    DeadlineExceeded,
}

/// What a command that did not succeed has left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it was not carried out, and will not be.
    None,
    /// It may have been carried out, or still be: the answer was lost.
    Unknown,
}

impl CommandError {
    /// Whether the command may have been carried out all the same.
    pub fn effect(&self) -> Effect {
        match self {
            Self::Unavailable { reason, .. } => reason.effect(),
            Self::Rejected(_)
            | Self::Overloaded { .. }
            | Self::Quarantined(_)
            | Self::Panicked(_)
            | Self::DeadlineExceeded => Effect::None,
        }
    }

    /// Whether the shard decided this, from everything that had been done before it: no attempt of the same command that came
    /// before was carried out.
    pub fn is_decision(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::DeadlineExceeded)
    }

    /// The rejection of a SKU's stock.
    pub fn stock(sku: SkuId, rejection: StockRejection) -> Self {
        Self::Rejected(Rejection::Stock { sku, rejection })
    }

    /// The rejection of a SKU's catalog entry.
    pub fn product(sku: SkuId, rejection: ProductRejection) -> Self {
        Self::Rejected(Rejection::Product { sku, rejection })
    }
}

impl From<CartRejection> for CommandError {
    fn from(rejection: CartRejection) -> Self {
        Self::Rejected(Rejection::Cart(rejection))
    }
}

impl From<OrderRejection> for CommandError {
    fn from(rejection: OrderRejection) -> Self {
        Self::Rejected(Rejection::Order(rejection))
    }
}
