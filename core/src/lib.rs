//! Holdfast's domain, as pure values: what a stock item, a cart, an order and a product are, which commands they accept,
//! and which facts follow. No clock, no IO, no randomness; `#![no_std]` makes a slip a compile error.
//!
//! Read in this order: [`money`], [`quantity`], [`time`], [`id`] are the vocabulary; [`entity`] is the contract every
//! state machine keeps; [`stock`], [`cart`], [`order`] and [`product`] are the machines. [`places`] is how rows by the million are
//! found, here and in the crates above.
#![no_std]
#![forbid(unsafe_code)]
// Units and money are counted here: every sum says what happens when it does not fit, and nothing is approximate.
#![warn(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

extern crate alloc;

// First, so that the other modules have its macro.
#[macro_use]
pub mod planted;

pub mod card;
pub mod cart;
pub mod entity;
pub mod id;
pub mod money;
pub mod order;
pub mod places;
pub mod product;
pub mod quantity;
pub mod stock;
pub mod time;

pub use entity::{Entity, EntityId, EntityKind, Event};
pub use id::{BuyerId, CartId, CustomerId, HexDigits, HoldId, OrderId, ShardCount, ShardId, SkuId, Slot};
pub use money::{Currency, Money, MoneyError};
pub use quantity::Quantity;
pub use time::Timestamp;
