//! Why a data directory cannot be opened. Every error names the file and what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use holdfast_core::ShardId;

use super::{OptionError, ReplicaError};
use crate::{journal::JournalError, snapshot::SnapshotError};

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A setting is out of range.
    #[error("a storage setting is out of range")]
    Options(#[from] OptionError),
    /// The operating system refused a file operation.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the directory open.
    #[error(
        "{} is locked{}: stop that process first, or choose another data directory",
        path.display(),
        holder.map_or_else(|| " by another process".to_owned(), |pid| format!(" by process {pid}"))
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<u32>,
    },
    /// The directory holds something else.
    #[error("{} is not empty and has no meta file: it is not a Holdfast data directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The meta file is not intact.
    #[error("{} is damaged: restore it from a copy of this data directory", path.display())]
    BadMeta {
        /// The meta file.
        path: PathBuf,
    },
    /// The directory was made by a version with another format.
    #[error("{} says directory format {format}, this version reads {known}: use the version that made it", path.display())]
    UnknownFormat {
        /// The meta file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The format known here.
        known: u32,
    },
    /// The secret is missing or not 32 bytes.
    #[error("{} is missing or damaged: restore it from a copy, bearer tokens hang on it", path.display())]
    BadSecret {
        /// The secret's file.
        path: PathBuf,
    },
    /// The file that is to give a new directory its secret does not hold one.
    #[error("{} does not hold 32 bytes (store.secret_file): it is to be a copy of a data directory's secret", path.display())]
    BadSecretFile {
        /// The file.
        path: PathBuf,
    },
    /// The directory was made with another number of shards.
    #[error("{} says {found} shards, the settings say {configured}: the number is fixed for the life of the data", path.display())]
    ShardCount {
        /// The meta file.
        path: PathBuf,
        /// What the directory was made with.
        found: u16,
        /// What the settings say.
        configured: u16,
    },
    /// The journal's segments are gone.
    #[error(
        "{} has no segments although there were records: restore it from a copy; or, where PostgreSQL has the store, move the \
         whole data directory aside, and an empty one goes on from there",
        path.display()
    )]
    JournalLost {
        /// The journal's directory.
        path: PathBuf,
    },
    /// The journal cannot be opened.
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    /// The snapshots cannot be opened.
    #[error("the snapshots cannot be opened")]
    Snapshots(#[from] SnapshotError),
    /// The snapshots are gone and the journal does not reach back to the beginning.
    #[error(
        "{} is missing or damaged ({reason}), and the journal's oldest segments were purged: restore the snapshots from a \
         copy{}",
        path.display(),
        if replica.is_some() { ", or make the database reachable that has them too" } else { "" }
    )]
    SnapshotsLost {
        /// The snapshots' directory.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
        /// Why the copy elsewhere could not be asked, if there is to be one.
        #[source]
        replica: Option<ReplicaError>,
    },
    /// The snapshots are gone, and the copy elsewhere does not reach the journal's first record.
    #[error(
        "{} is missing or damaged ({reason}); {replica} has shard {} up to record {watermark}, and the journal begins at \
         record {first}: what is between is gone. Restore the snapshots from a copy",
        path.display(),
        shard.0
    )]
    ReplicaTooOld {
        /// The snapshots' directory.
        path: PathBuf,
        /// What is wrong with them.
        reason: String,
        /// The copy elsewhere.
        replica: String,
        /// The shard.
        shard: ShardId,
        /// What the copy contains of it.
        watermark: u64,
        /// Where the journal begins.
        first: u64,
    },
    /// The copy elsewhere contains records the journal does not have.
    #[error(
        "{replica} has shard {} up to record {watermark}, but the journal in {} ends before record {next_seq}: this is an \
         older copy of the data directory, or it lost its end. Put the newest copy back; or move this one aside, and an \
         empty one goes on from {replica}",
        shard.0,
        path.display()
    )]
    JournalBehind {
        /// The journal's directory.
        path: PathBuf,
        /// The copy elsewhere.
        replica: String,
        /// The shard.
        shard: ShardId,
        /// What the copy contains of it.
        watermark: u64,
        /// Where the journal would go on.
        next_seq: u64,
    },
    /// The journal and the copy elsewhere have different records at the same place.
    #[error(
        "the journal in {} has another record {seq} of shard {} than {replica}: this is an older copy of the data directory that \
         was sold from while {replica} was away. Put the right one back; or move this one aside, and an empty one goes on \
         from {replica}",
        path.display(),
        shard.0
    )]
    JournalForked {
        /// The journal's directory.
        path: PathBuf,
        /// The copy elsewhere.
        replica: String,
        /// The shard.
        shard: ShardId,
        /// The record's sequence number.
        seq: u64,
    },
    /// The copy elsewhere is of another store.
    #[error(
        "{replica} has another store than {}: each store needs a database, or a schema, of its own. If the store was restored \
         on another disk since, this directory is out of date",
        path.display()
    )]
    ReplicaForeign {
        /// The data directory.
        path: PathBuf,
        /// The copy elsewhere.
        replica: String,
    },
    /// The store to be restored has another number of shards.
    #[error(
        "{replica} has a store of {found} shards, the settings say {configured}: the number is fixed for the life of the data"
    )]
    ReplicaShardCount {
        /// The copy elsewhere.
        replica: String,
        /// What the store was made with.
        found: u16,
        /// What the settings say.
        configured: u16,
    },
    /// The directory is empty, and whether its store is elsewhere cannot be found out.
    #[error(
        "{} is empty, and the database that may have its store cannot be asked: make it reachable, or begin a new store \
         without it (no postgres.url)",
        path.display()
    )]
    ReplicaUnknown {
        /// The data directory.
        path: PathBuf,
        /// Why it cannot be asked.
        #[source]
        source: ReplicaError,
    },
    /// The store elsewhere cannot be taken over or read.
    #[error("{} cannot be restored", path.display())]
    Replica {
        /// The data directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ReplicaError,
    },
    /// The snapshots contain records the journal does not have.
    #[error(
        "{} contains shard {} up to record {watermark}, but the journal ends before record {next_seq}: the journal is an \
         older copy or lost its end; restore both from the same copy",
        path.display(),
        shard.0
    )]
    SnapshotsAhead {
        /// The snapshots' directory.
        path: PathBuf,
        /// The shard.
        shard: ShardId,
        /// What its snapshots contain.
        watermark: u64,
        /// Where the journal would go on.
        next_seq: u64,
    },
    /// The journal is to be elsewhere, and the directory has one of its own.
    #[error(
        "{} holds a journal, and the settings say that the journal is elsewhere (nats.url): name another data directory",
        path.display()
    )]
    JournalHere {
        /// The journal's directory.
        path: PathBuf,
    },
    /// The journal elsewhere is another store's.
    #[error(
        "{} belongs to another store than the journal in NATS: name an empty data directory, or another nats.deployment",
        path.display()
    )]
    OtherStore {
        /// The meta file.
        path: PathBuf,
    },
    /// The journal elsewhere cannot be opened.
    #[error("the journal cannot be opened")]
    Elsewhere(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::Io { action, path, source }
}
