//! The domain's rules as sentences: given what has happened, when a command comes, then these facts follow. One binary,
//! so that the crate links once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails by panicking, in its helpers too")]

mod acceptance;
mod card;
mod cart;
mod cart_properties;
mod catalog;
mod given;
mod house;
mod ids;
mod interleavings;
mod money;
mod order_ends;
mod order_flow;
mod order_properties;
mod order_refunds;
mod snapshots;
mod stock;
mod stock_limits;
mod stock_properties;
mod words;
