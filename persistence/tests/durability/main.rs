//! What the journal, the snapshots and the data directory promise, tested through their public interface.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail it")]

mod append;
mod audit;
mod damage;
mod follow;
mod golden;
mod inspect;
mod memory_disk;
mod message;
mod power_cut;
mod purge;
mod recovery;
mod replica_double;
mod restore;
mod samples;
mod snapshots;
mod space;
mod store;
mod witness;
