//! Holdfast's benchmarks. Each file in `benches/` asks one question, named in its first line; run one with
//! `cargo bench --workspace --bench <name>`, quickly with `-- --quick`. Without `--bench` (`cargo test --bench <name>`)
//! a suite runs each measurement once, on little data, so that CI sees that it still works.
//!
//! This library is what they share: the [`Shop`], [`sample`] entities and events, a [`crowd`] of clients, and how large a run
//! is ([`scale`]).
#![forbid(unsafe_code)]

pub mod crowd;
pub mod sample;
pub mod scale;
mod shop;

pub use shop::{Shop, details, one_line_order, open_store, order_of};

// The allocator of the `holdfast` binary, so that a figure here is one of there.
use mimalloc as _;
