//! The journal: what it promises ([`Journal`]) and the segment files that keep the promise ([`SegmentJournal`]).
//!
//! Invariants: an append is reported durable only after its bytes were synced; after any write or sync error nothing is
//! ever reported durable again and no sync is retried; the records of a shard form one gapless sequence.
//!
//! The files, in the order a byte meets them: [`record`](self) encodes a record, `frame` wraps what one sync makes
//! durable, `segment` is the file a frame goes into, `prepare` makes segments ahead of time, `writer` groups and syncs;
//! `surveyed` finds the end after a crash and `recovery` puts it right, `replay` and `inspect` read it all back, `follow`
//! reads behind the writer, `purge` lets old segments go, and `begin` goes on where a journal was lost.
//! `mark` tells one history from another. `message` is what a journal that is kept elsewhere makes of a batch.

mod begin;
mod catalog;
pub mod disk;
mod error;
mod follow;
mod frame;
mod gathering;
#[cfg(test)]
mod hostile_bytes;
mod inspect;
mod mark;
mod message;
mod options;
mod prepare;
#[doc(hidden)]
pub mod probe;
mod purge;
mod queue;
mod record;
mod recovery;
mod replay;
mod scan;
mod segment;
mod segment_journal;
mod shared;
mod stepped;
mod survey;
mod surveyed;
mod writer;

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::ShardId;

pub use error::{Damage, JournalError};
pub use follow::{FolderFollower, FollowLimit, Followed, Follower};
pub use inspect::{FrameInfo, JournalReader, RecordInfo, SegmentInfo, VerifySummary};
pub use mark::{FINGERPRINT_BYTES, Mark};
pub use message::{Message, MessageDamage, MessageFormat, Unsealed};
pub use options::{JournalOptions, VerifyOnOpen};
pub use segment_journal::SegmentJournal;
pub use stepped::{JournalSteps, WriterStep};
pub use survey::TornTail;
pub(crate) use surveyed::SurveyedJournal;

use crate::{codec::CodecError, record::Record};

/// Records of one shard that become durable together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Whose they are.
    pub shard: ShardId,
    /// The shard sequence number of the first record: 1, 2, 3 ... without a gap, one per record.
    pub first_seq: u64,
    /// The records, in order. May be empty: then `done` only waits for what was appended before.
    pub records: Vec<Record>,
}

/// Told once what became of a batch. Runs on the journal's writer thread: it must not block.
pub type Completion = Box<dyn FnOnce(Result<(), AppendError>) + Send>;

/// Why a batch is not durable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The batch does not continue the shard's sequence: someone else appended, or an earlier batch was refused.
    #[error("shard {} goes on at sequence number {expected}, not {given}", shard.0)]
    Fenced {
        /// The shard.
        shard: ShardId,
        /// The sequence number the journal goes on at.
        expected: u64,
        /// The batch's first sequence number.
        given: u64,
    },
    /// A record or the batch as a whole passes its limit or cannot be encoded. Nothing was written; the journal goes on.
    #[error("a batch of shard {} cannot be journaled", shard.0)]
    Refused {
        /// The shard.
        shard: ShardId,
        /// What is wrong with it.
        #[source]
        reason: Arc<BatchRefusal>,
    },
    /// A write or a sync failed. The journal is poisoned: every later append fails the same way.
    #[error("the journal has failed and takes nothing more")]
    Failed(#[source] Arc<JournalError>),
}

/// What is wrong with a batch.
#[derive(Debug, thiserror::Error)]
pub enum BatchRefusal {
    /// One record is too large.
    #[error("a record of {entity} takes {bytes} bytes, {limit} are allowed (record_limit_bytes)")]
    RecordTooLarge {
        /// Whom the record is about.
        entity: holdfast_core::EntityId,
        /// Its encoded size, in bytes.
        bytes: u64,
        /// The setting, in bytes.
        limit: u64,
    },
    /// The batch is too large.
    #[error("the batch takes {bytes} bytes, {limit} are allowed (reserve_bytes)")]
    BatchTooLarge {
        /// Its encoded size, in bytes.
        bytes: u64,
        /// The setting, in bytes.
        limit: u64,
    },
    /// The deployment has no such shard.
    #[error("there are {shards} shards")]
    UnknownShard {
        /// How many there are.
        shards: u16,
    },
    /// The entity's kind is not the event's kind.
    #[error("an event of another kind of entity was addressed to {entity}")]
    KindMismatch {
        /// Whom the record is addressed to.
        entity: holdfast_core::EntityId,
    },
    /// The event cannot be encoded.
    #[error("the event cannot be encoded")]
    Codec(#[from] CodecError),
}

/// Why commands that would write are to be refused right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The disk has no room for the next segment. Reads go on; it recovers by itself when there is room again.
    #[error("the disk has no room for the next journal segment")]
    NoSpace,
    /// A write or a sync failed: only a restart helps.
    #[error("the journal has failed and takes nothing more")]
    Poisoned,
    /// The servers that keep the journal do not answer. Reads go on; it recovers by itself when they answer again.
    #[error("the journal's servers do not answer")]
    Unreachable,
    /// Another node owns the shards now: this one is to leave.
    #[error("another node has taken the journal over")]
    Overtaken,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayProgress {
    /// Records handed to the workers so far.
    pub records: u64,
    /// Bytes read so far.
    pub bytes: u64,
    /// Bytes there are to read.
    pub total_bytes: u64,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplaySummary {
    /// Records given to the sink.
    pub records: u64,
    /// Records skipped because they lie before the wanted sequence number.
    pub skipped: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Segments read.
    pub segments: u64,
}

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PurgeSummary {
    /// Segments deleted.
    pub segments: u64,
    /// Bytes given back.
    pub bytes: u64,
}

/// Counts since the journal was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Batches made durable.
    pub batches: u64,
    /// Syncs that made them so.
    pub syncs: u64,
    /// Bytes written in frames.
    pub bytes: u64,
    /// Records made durable.
    pub records: u64,
    /// Segments there are, the one being written included. Not a count: it goes down when segments are purged.
    pub segments: u64,
    /// Segments purged.
    pub purged_segments: u64,
    /// Bytes of purged segments.
    pub purged_bytes: u64,
}

/// Whoever reads behind the writer, and how far it is.
pub trait HistoryReader: Send + Sync {
    /// The first record of `shard` it may still want.
    fn needs_from(&self, shard: ShardId) -> u64;
}

/// An append-only, durable, ordered record of events, grouped by shard.
pub trait Journal: Send + Sync + 'static {
    /// Encodes `batch` in the caller's thread and queues it for the writer. `done` is called exactly once, in append
    /// order per shard, after the batch is durable or cannot become so.
    ///
    /// The queue has no bound of its own: whoever admits commands bounds it (an admission permit per command).
    fn append(&self, batch: &Batch, done: Completion);

    /// As [`Journal::append`], for a batch that no client and no other shard waits for: a journal that waits for the next batches
    /// of those it has answered need not expect any.
    fn append_unawaited(&self, batch: &Batch, done: Completion) {
        self.append(batch, done);
    }

    /// Whether writes to the shard are to be accepted now. Asked before a command is decided: what was accepted still fits.
    fn writable(&self, shard: ShardId) -> Result<(), Unwritable>;

    /// Whether this process may append to the shard. A journal that nobody shares is its process's own.
    fn owns(&self, _shard: ShardId) -> bool {
        true
    }

    /// Whether other processes read and append the very same journal: what they have read of it, this one will.
    fn is_shared(&self) -> bool {
        false
    }

    /// Gives `sink` every durable record whose sequence number is at least `from[shard]` (1 when the shard is not
    /// named), in order per shard. Different shards may be given concurrently, from several threads.
    ///
    /// # Errors
    /// Any damage, gap or unreadable record, by file and offset; and when `from` lies in history that was purged.
    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(ReplayProgress) + Sync),
    ) -> Result<ReplaySummary, JournalError>;

    /// A reader behind the writer that begins at `from[shard]` (1 when the shard is not named) and never delays an append.
    ///
    /// # Errors
    /// [`JournalError::Purged`] when `from` lies in history that was purged; a file that cannot be opened.
    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError>;

    /// The sequence number the shard's next batch begins with.
    fn next_seq(&self, shard: ShardId) -> u64;

    /// How many bytes of history the settings keep; `None` for all of it.
    fn retain_bytes(&self) -> Option<u64>;

    /// Deletes the oldest segments whose records all lie below `floor[shard]` (a shard not named keeps everything), for as
    /// long as those that stay take at least `keep_bytes`. Whole segments only, never the one being written, and not many
    /// at once: replays wait meanwhile, as this waits for them. Appends do not wait.
    ///
    /// # Errors
    /// When a file cannot be measured or deleted, or its deletion not made durable. The journal goes on, but nothing may
    /// be purged after that: a power cut could leave a gap. [`JournalError::Elsewhere`] when whoever keeps it could not be asked
    /// now: nothing is wrong with it, and it may be tried again.
    fn purge_below(&self, floor: &BTreeMap<ShardId, u64>, keep_bytes: u64) -> Result<PurgeSummary, JournalError>;

    /// Keeps history that `reader` still needs from being purged, for as long as what is kept for it takes at most
    /// `limit_bytes` beyond what is kept anyway. A journal that purges nothing need not know.
    fn retain_for(&self, _reader: Arc<dyn HistoryReader>, _limit_bytes: u64) {}

    /// Counts since the journal was opened.
    fn stats(&self) -> JournalStats;
}
