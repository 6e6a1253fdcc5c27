//! Payment: the port to a gateway, the driver that asks it, and the gateway that lives in the process.
//!
//! Read in this order: [`port`] is what a gateway must promise; [`driver`] turns one step an order is owed into one call
//! and its answer into one command for the order; [`backoff`] says when to ask again; [`sandbox`] is a gateway with a
//! [`ledger`] of its own, whose behavior a buyer chooses by test token.
//!
//! Invariant (I3): at most one capture per order. It rests on the key alone: every call carries the [`GatewayKey`] of
//! its step, a repeat carries the same one, and no key is made anywhere but from an order and its step.
//!
//! [`GatewayKey`]: holdfast_core::order::GatewayKey

mod account;
pub mod backoff;
mod book;
pub mod driver;
pub mod ledger;
pub mod port;
pub mod sandbox;
mod script;
pub mod settings;

pub use backoff::Backoff;
pub use driver::{Attempt, PaymentDriver};
pub use ledger::{CurrencyTotals, Ledger, LedgerTotals, OrderLedger};
pub use port::{GatewayError, GatewayRequest, PaymentGateway, VoidOutcome};
pub use sandbox::SandboxGateway;
pub use settings::{PaymentSettings, SandboxSettings};
