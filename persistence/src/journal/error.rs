//! What can go wrong with the journal's files. Every error names the file; damage names the offset and what to do.

use std::{io, path::PathBuf};

use holdfast_core::ShardId;

use super::MessageDamage;
use crate::codec::CodecError;

/// A fault of the journal. Never a refusal: nothing here is the caller's mistake except [`JournalError::Purged`].
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
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
    /// Accepted batches did not fit the room that was left, and no further segment could be made.
    #[error("{} is full and the disk has no room for the next segment: make room and restart", path.display())]
    NoSpace {
        /// The segment that is full.
        path: PathBuf,
    },
    /// The file does not hold what was written to it.
    #[error(
        "{} is damaged at offset {offset}: {what}. Nothing was changed. Restore this file from a copy taken after it was \
         last written, or move the whole data directory aside; `holdfast journal verify` shows what is readable",
        path.display()
    )]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// Where the damage begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong there.
        what: Damage,
    },
    /// A segment between two others is not there.
    #[error("{} is missing: put it back from a copy; the journal cannot be read past it", path.display())]
    MissingSegment {
        /// The file that should be there.
        path: PathBuf,
    },
    /// The segment belongs to another store.
    #[error("{} belongs to another store: move it out of this directory", path.display())]
    Foreign {
        /// The foreign file.
        path: PathBuf,
    },
    /// The segment was written in a format this version does not know.
    #[error("{} has journal format {format}, this version reads format {known}: use the version that wrote it", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The format known here.
        known: u32,
    },
    /// A record is intact but cannot be understood.
    #[error("{} has a record at offset {offset} that this version cannot read", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Where the record's frame begins, in bytes from the start of the file.
        offset: u64,
        /// Why it cannot be read.
        #[source]
        source: CodecError,
    },
    /// A replay asked for records that were purged.
    #[error(
        "the records of shard {} are wanted from sequence number {from} on, but those before {first} were purged: are the \
         snapshots older than the journal? Restore both from the same copy",
        shard.0
    )]
    Purged {
        /// The shard.
        shard: ShardId,
        /// The first sequence number asked for.
        from: u64,
        /// The first sequence number there is.
        first: u64,
    },
    /// A message of a journal that is kept elsewhere is not what was put there.
    #[error("message {sequence} of {log} cannot be taken in. Nothing was changed. Restore {log} from a copy")]
    Message {
        /// What keeps the journal: a stream, say.
        log: String,
        /// The number of the message in it, from 1.
        sequence: u64,
        /// What is wrong with it.
        #[source]
        source: MessageDamage,
    },
    /// What keeps the journal elsewhere did not do what it was asked to.
    #[error("cannot {action} {log}")]
    Elsewhere {
        /// What was tried, as a verb.
        action: &'static str,
        /// What keeps the journal: a stream, say.
        log: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is wrong at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The segment's header fails its checksum or is cut short.
    #[error("the segment header is not intact")]
    Header,
    /// The header's own numbers contradict the file's name or its neighbors.
    #[error("the segment header does not continue the segment before it")]
    HeaderMismatch,
    /// The header says that nothing was written to the segment yet, but something was.
    #[error("the segment header says that nothing was written to it yet, but something was")]
    SpareNotEmpty,
    /// There is no frame where one is known to have been.
    #[error("a frame is missing here (the journal goes on at record {next_lsn} elsewhere)")]
    FrameMissing {
        /// The record number known to exist beyond.
        next_lsn: u64,
    },
    /// A frame fails its checksum although intact frames follow it.
    #[error("a frame is not intact ({reason}), yet intact frames follow from offset {next_intact} on")]
    Frame {
        /// Why it is not.
        reason: &'static str,
        /// Where the next intact frame begins, in bytes.
        next_intact: u64,
    },
    /// A frame fails its checksum in a segment that others follow.
    #[error("a frame is not intact ({reason}), yet later segments follow")]
    FrameBeforeSegment {
        /// Why it is not.
        reason: &'static str,
    },
    /// An intact frame does not continue the one before it.
    #[error("record {found} follows where record {expected} was due")]
    Gap {
        /// The record number that was due.
        expected: u64,
        /// The one found.
        found: u64,
    },
    /// A frame is intact but its records are not laid out as records.
    #[error("a frame's records are not laid out as records")]
    Records,
    /// A shard's sequence has a gap or a repetition.
    #[error("shard {} has sequence number {found} where {expected} was due", shard.0)]
    Sequence {
        /// The shard.
        shard: ShardId,
        /// The sequence number that was due.
        expected: u64,
        /// The one found.
        found: u64,
    },
}
