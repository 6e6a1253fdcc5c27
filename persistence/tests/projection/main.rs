//! The projection on a real PostgreSQL: that it equals the state of the entities, that doing it again changes nothing, and
//! that a connection cut at COMMIT neither loses nor doubles anything. `cargo xtask test postgres` runs this group.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it")]

mod agreement;
mod commit_cut;
mod harness;
mod proxy;
mod reach;
mod rebuilding;
mod repetition;
mod world;
