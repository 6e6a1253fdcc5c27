//! Nodes that ask each other over a real NATS server: two or three in one process, sharing nothing else. Who owns which shard
//! is set by hand here, so that every turn of events can be had; each node has a journal of its own.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod asking;
mod checkout;
mod faults;
mod hostile;
mod house;
