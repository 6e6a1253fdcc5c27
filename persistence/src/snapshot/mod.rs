//! Snapshots: the state of an entity at one version, so that recovery need not begin at the journal's first record.
//!
//! Invariant: a snapshot is only ever written after the journal made its last event durable, and a shard's watermark
//! moves only after the snapshots it speaks of are durable. Snapshots are *fuzzy*: one may be newer than its shard's
//! watermark, so a replay from the watermark skips records whose version the snapshot already has.

mod changes;
mod entry;
mod page;
mod sled_store;

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use holdfast_core::{EntityId, ShardId};

pub(crate) use changes::Changes;
pub use changes::apply_changes;
pub use entry::{EncodedSnapshot, by_key, decode_snapshot, encode_snapshot};
pub use page::{Page, PageTitle, read_page};
pub use sled_store::SnapshotOptions;
pub(crate) use sled_store::{Contents, SledSnapshots};

use crate::{codec::CodecError, state::EntityState};

/// A fault of the snapshot store.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The database underneath refused or failed.
    #[error("the snapshot store in {} cannot {action}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The store's directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The database underneath panicked: its files are damaged.
    #[error("the snapshot store in {} is damaged: it panicked while asked to {action}", path.display())]
    Panicked {
        /// What was tried, as a verb.
        action: &'static str,
        /// The store's directory.
        path: PathBuf,
    },
    /// An entry fails its checksum or has an impossible key.
    #[error("a snapshot entry of shard {} is damaged ({what})", shard.0)]
    Damaged {
        /// The shard.
        shard: ShardId,
        /// What is wrong.
        what: &'static str,
    },
    /// The database belongs to another data directory.
    #[error("the snapshot store in {} belongs to another store", path.display())]
    Foreign {
        /// The store's directory.
        path: PathBuf,
    },
    /// The database holds entries but not the entry that says whose it is.
    #[error("the snapshot store in {} has lost its identity entry", path.display())]
    NoIdentity {
        /// The store's directory.
        path: PathBuf,
    },
    /// The database elsewhere refused or failed.
    #[error("the snapshots elsewhere cannot be read")]
    Elsewhere(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An entry is intact but cannot be understood or made.
    #[error("a snapshot cannot be read or made")]
    Codec(#[from] CodecError),
}

impl SnapshotError {
    /// Whether the files themselves are broken, so that starting over from the journal is the cure. A disk that fails or
    /// is full, or a directory that may not be read, is not cured that way.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Panicked { .. } | Self::Damaged { .. } | Self::NoIdentity { .. } => true,
            Self::Io { source, .. } => matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof),
            Self::Foreign { .. } | Self::Elsewhere(_) | Self::Codec(_) => false,
        }
    }
}

/// Where snapshots can be read. From any thread.
pub trait SnapshotSource: Send + Sync {
    /// The snapshot of one entity with its version, if there is one.
    ///
    /// # Errors
    /// A damaged entry, or a fault of the store.
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError>;

    /// Every snapshot of a shard, in key order.
    ///
    /// # Errors
    /// A damaged entry, or a fault of the store.
    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError>;

    /// The shard's watermark; 0 when there is none.
    ///
    /// # Errors
    /// A damaged entry, or a fault of the store.
    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError>;
}

/// Where snapshots live. There is one writer at a time.
pub trait SnapshotStore: SnapshotSource + 'static {
    /// Puts these snapshots in place of older ones. Blocking; durable when it returns.
    ///
    /// # Errors
    /// A fault of the store: then old or new is there per entity, never neither.
    fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError>;

    /// Moves the shard's watermark: every record with a sequence number up to `seq` is contained in the snapshots.
    /// Blocking; durable when it returns.
    ///
    /// # Errors
    /// A fault of the store: then the old watermark stands.
    fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError>;
}
