//! Hostile bytes for everything that reads bytes.
//!
//! Read in this order: [`target`] lists what is fuzzed; `targets/` holds one function of bytes each, with what must hold;
//! [`corpus`] is what the bytes are made from, [`mutation`] how; [`campaign`] runs it all, and says how to run a failure
//! again. Two engines call the same functions: the seeded mutations here, in `cargo test` on any machine, and libFuzzer,
//! guided by coverage, in `cargo xtask fuzz`.
//!
//! Invariant: whatever the bytes, a target ends in a value or an error. It panics only when something does not hold: a decoder
//! that panics, that reserves far more memory than it was given bytes, or that reads what it accepted another way the next
//! time.
#![forbid(unsafe_code)]

pub mod campaign;
pub mod corpus;
pub mod mutation;
pub mod target;
mod targets;

pub use target::Target;
