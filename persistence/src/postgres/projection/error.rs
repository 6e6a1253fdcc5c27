//! Why the projection does not go on. None of it stops the sale: the journal keeps what is not projected yet.

use holdfast_core::ShardId;

use super::fold::FoldError;
use crate::{journal::JournalError, postgres::PostgresError, snapshot::SnapshotError};

/// Why the projection does not go on.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// PostgreSQL did not do what was asked.
    #[error("PostgreSQL did not take the projection")]
    Postgres(#[from] PostgresError),
    /// The journal cannot be read, or what comes next was purged.
    #[error("the journal cannot be followed")]
    Journal(#[source] JournalError),
    /// The records do not fit the tables.
    #[error("the journal does not continue what the tables contain")]
    Fold(#[from] FoldError),
    /// The watermarks were moved by somebody else.
    #[error("somebody else moved the projection's watermarks: is another server projecting into this schema?")]
    Rival,
    /// A rebuild has put other tables in the place of these.
    #[error("the tables were rebuilt")]
    Rebuilt,
    /// The tables contain records the journal does not have.
    #[error(
        "the tables contain shard {} up to record {watermark}, but the journal ends before record {next_seq}: the journal is an \
         older copy; restore the right one, or choose an empty schema (postgres.schema)",
        shard.0
    )]
    Ahead {
        /// The shard.
        shard: ShardId,
        /// What the tables contain.
        watermark: u64,
        /// Where the journal goes on.
        next_seq: u64,
    },
    /// The tables and the journal have different records at the same place.
    #[error(
        "the journal has another record {seq} of shard {} than the tables: it is an older copy of the data folder that was sold \
         from; restore the right one, or choose an empty schema (postgres.schema)",
        shard.0
    )]
    Forked {
        /// The shard.
        shard: ShardId,
        /// The record's sequence number.
        seq: u64,
    },
    /// What comes next was purged before it was projected.
    #[error(
        "the journal's history was purged before it was projected (shard {}, from sequence number {from} on): the projection was \
         behind by more than postgres.projection.backlog_bytes, or was not there yet; stop the server and run \
         `holdfast projection rebuild`, which begins with the node's own snapshots",
        shard.0
    )]
    Purged {
        /// The shard.
        shard: ShardId,
        /// The first sequence number that is missing.
        from: u64,
    },
    /// The node's own snapshots cannot be read.
    #[error("the node's own snapshots cannot be read")]
    Snapshots(#[from] SnapshotError),
    /// Another rebuild is at work.
    #[error("another rebuild of this schema is at work")]
    Rebuilding,
    /// The projection's thread could not be started.
    #[error("the projection cannot start")]
    Thread(#[from] std::io::Error),
}

impl From<JournalError> for ProjectionError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Purged { shard, from, .. } => Self::Purged { shard, from },
            error => Self::Journal(error),
        }
    }
}

impl From<tokio_postgres::Error> for ProjectionError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error.into())
    }
}
