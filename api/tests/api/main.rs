//! The server as its clients meet it: over a real socket, with a real store in a folder of its own.
//!
//! Every problem that any test here receives is held to the `OpenAPI` document: an operation that answers with a type
//! it does not document fails the test that met it.
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "a test fails by panicking and measures time")]

mod cart;
mod catalog;
mod checkout;
mod client;
mod documents;
mod events;
mod hostile;
mod operators;
mod orders;
mod restart;
mod shop;
mod slow;
