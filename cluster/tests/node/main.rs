//! A whole node through its local router: real journal, real snapshots, real actors, the sandbox gateway.
//! What the edge promises over HTTP is proved here without it.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod admission;
mod batches;
mod cart;
mod checkout;
mod expiry;
mod ownership;
mod panic;
mod recovery;
mod residence;
mod retention;
mod shop;
mod undecided;
