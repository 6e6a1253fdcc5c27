//! The contract every entity keeps, and the closed set of entities, so that the journal and the shard can speak of all of
//! them at once.

use core::fmt;

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::{
    cart::CartEvent,
    id::{CartId, OrderId, SkuId, Slot},
    order::OrderEvent,
    product::ProductEvent,
    stock::StockEvent,
    time::Timestamp,
};

/// A state machine whose facts are journaled. `decide` may refuse; `apply` cannot.
///
/// Invariant: for every state reached by applying events, `decide` returns only events that `apply` accepts, and
/// `version` counts exactly the events applied since the entity began.
pub trait Entity {
    /// What may be asked of it.
    type Command;
    /// What has happened to it.
    type Event;
    /// Why a command was refused. A refusal changes nothing.
    type Rejection;

    /// The facts that follow from `command` at `now`: pure. An empty list means it was done before.
    ///
    /// # Errors
    /// The rejection, when the command is not allowed in this state.
    fn decide(&self, command: Self::Command, now: Timestamp) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Takes a fact in. Facts come from `decide` or the journal and are always acceptable.
    fn apply(&mut self, event: &Self::Event);

    /// How many events have been applied. Zero: the entity does not exist yet.
    fn version(&self) -> u64;

    /// The next instant at which the entity wants to be asked (a hold expires, an order's payment deadline), if any.
    fn next_deadline(&self) -> Option<Timestamp>;
}

/// Which state machine an entity is. The numbers are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum EntityKind {
    /// Units of one SKU.
    Stock = 1,
    /// The catalog entry of one SKU.
    Product = 2,
    /// A shopping cart.
    Cart = 3,
    /// An order with its payment.
    Order = 4,
}

/// The address of an entity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntityId {
    /// The stock of a SKU.
    Stock(SkuId),
    /// The catalog entry of a SKU; in the same slot as its stock.
    Product(SkuId),
    /// A cart.
    Cart(CartId),
    /// An order.
    Order(OrderId),
}

/// A fact about any entity, as the journal holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// About stock.
    Stock(StockEvent),
    /// About a product.
    Product(ProductEvent),
    /// About a cart.
    Cart(CartEvent),
    /// About an order.
    Order(OrderEvent),
}

impl EntityId {
    /// Which state machine it is.
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Stock(_) => EntityKind::Stock,
            Self::Product(_) => EntityKind::Product,
            Self::Cart(_) => EntityKind::Cart,
            Self::Order(_) => EntityKind::Order,
        }
    }

    /// The partition it lives in.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Stock(sku) | Self::Product(sku) => sku.slot(),
            Self::Cart(cart) => cart.slot(),
            Self::Order(order) => order.slot(),
        }
    }
}

impl Event {
    /// Which state machine it is about.
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Stock(_) => EntityKind::Stock,
            Self::Product(_) => EntityKind::Product,
            Self::Cart(_) => EntityKind::Cart,
            Self::Order(_) => EntityKind::Order,
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stock(sku) => write!(f, "stock {sku}"),
            Self::Product(sku) => write!(f, "product {sku}"),
            Self::Cart(cart) => cart.fmt(f),
            Self::Order(order) => order.fmt(f),
        }
    }
}
