//! Holdfast's durable side. The journal is the truth: every event of every entity, in order per shard, on disk before
//! anyone hears of it. Snapshots only shorten recovery and can always be rebuilt from it.
//!
//! Read in this order: [`record`] and [`state`] are what is stored; [`journal`] is the segment-file journal; [`snapshot`]
//! is the snapshot store; [`store`] is the data directory that holds both. [`postgres`] follows behind, for people.
//!
//! Invariant: no business rules here. This crate stores what core decided and gives back exactly that, or an error that
//! names the file, the offset and what to do.
#![forbid(unsafe_code)]

mod codec;
mod event_type;
pub mod journal;
pub mod postgres;
pub mod record;
pub mod snapshot;
pub mod state;
pub mod store;
mod wire;

pub use codec::{CodecError, decode_value, encode_value};
pub use journal::{
    AppendError, Batch, Completion, FollowLimit, Followed, Follower, HistoryReader, Journal, JournalError,
    JournalReader, JournalStats, PurgeSummary, ReplayProgress, ReplaySummary, Unwritable,
};
pub use record::Record;
pub use snapshot::{
    EncodedSnapshot, SnapshotError, SnapshotSource, SnapshotStore, apply_changes, by_key, decode_snapshot,
    encode_snapshot,
};
pub use state::{EntityState, EntityStateRef};
pub use store::{
    Audit, AuditError, Held, JournalElsewhere, Recovery, Replica, ReplicaError, Store, StoreError, StoreId,
    StoreOptions,
};
