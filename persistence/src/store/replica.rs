//! The store as it was a moment ago, kept elsewhere: what an empty directory is restored from, and the witness that a
//! directory is not an older copy of itself. `PostgreSQL` is one.
//!
//! Invariant: a replica is exact as of its watermarks: it contains every record of a shard up to the shard's watermark, and
//! nothing of any later one.

use std::{error::Error, path::Path};

use holdfast_core::{ShardCount, ShardId};

use super::{StoreError, StoreId};
use crate::{
    journal::{Mark, SurveyedJournal},
    snapshot::{SnapshotError, SnapshotSource},
};

/// A copy of the store outside its directory. Every call may block for as long as the copy's own deadlines say.
pub trait Replica: Send + Sync {
    /// What it is called in messages to people.
    fn name(&self) -> String;

    /// What it holds; `None` when nothing was ever put into it.
    ///
    /// # Errors
    /// [`ReplicaError`], when it cannot be asked.
    fn held(&self) -> Result<Option<Held>, ReplicaError>;

    /// Makes whoever asks the only one who may write to the copy of `store`, which is called `successor` from then on (it may
    /// be the same): a directory that still has the old name, on a disk that turns up again, is another store then. Waits a
    /// little for a writer that just died.
    ///
    /// # Errors
    /// [`ReplicaError::InUse`] while somebody else writes to it.
    fn take_over(&self, store: StoreId, successor: StoreId) -> Result<(), ReplicaError>;

    /// Its snapshots.
    fn snapshots(&self) -> &dyn SnapshotSource;
}

/// What a replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Whose store it is.
    pub store: StoreId,
    /// The store's number of shards.
    pub shards: ShardCount,
    /// Per shard, in order, the last record that is contained; 0 for none.
    pub watermarks: Vec<u64>,
    /// The last record that is contained, over all shards, if that is known.
    pub last: Option<Mark>,
}

/// Why a replica is of no use now.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// It did not answer, or answered with an error.
    #[error("cannot {action} {replica}")]
    Unreachable {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it is called.
        replica: String,
        /// What went wrong.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Another process writes to it.
    #[error("{replica} is in use by another server: stop that one first, or name another database or schema")]
    InUse {
        /// What it is called.
        replica: String,
    },
    /// What it holds contradicts itself.
    #[error("{replica} does not fit together: {what}")]
    Inconsistent {
        /// What it is called.
        replica: String,
        /// What is wrong.
        what: String,
    },
    /// A snapshot in it cannot be read.
    #[error("a snapshot cannot be read")]
    Snapshot(#[from] SnapshotError),
}

/// A replica that was asked, and what it said.
pub(super) struct Witness<'a> {
    pub(super) replica: &'a dyn Replica,
    pub(super) answer: Result<Option<Held>, ReplicaError>,
}

impl<'a> Witness<'a> {
    pub(super) fn ask(replica: &'a dyn Replica) -> Self {
        Self { replica, answer: replica.held() }
    }

    /// What it holds, if it could be asked and holds anything.
    pub(super) fn held(&self) -> Option<&Held> {
        self.answer.as_ref().ok().and_then(Option::as_ref)
    }

    /// Why it could not be asked, if so; from then on it counts as empty.
    pub(super) fn take_silence(&mut self) -> Option<ReplicaError> {
        let answer = std::mem::replace(&mut self.answer, Ok(None));
        match answer {
            Ok(held) => {
                self.answer = Ok(held);
                None
            }
            Err(silence) => Some(silence),
        }
    }

    /// Whether it contains any record.
    pub(super) fn has_records(&self) -> bool {
        self.held().is_some_and(|held| held.watermarks.iter().any(|watermark| *watermark > 0))
    }

    /// Refuses a replica of another store.
    pub(super) fn refuse_foreign(&self, dir: &Path, store: StoreId) -> Result<(), StoreError> {
        match self.held() {
            Some(held) if held.store != store => {
                Err(StoreError::ReplicaForeign { path: dir.to_path_buf(), replica: self.replica.name() })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a journal that lacks what the replica contains: it is an older copy, or it was cut.
    pub(super) fn refuse_journal_behind(&self, dir: &Path, journal: &SurveyedJournal) -> Result<(), StoreError> {
        for (shard, watermark) in self.watermarks() {
            let next_seq = journal.next_seq(shard);
            if watermark >= next_seq {
                let (path, replica) = (dir.to_path_buf(), self.replica.name());
                return Err(StoreError::JournalBehind { path, replica, shard, watermark, next_seq });
            }
        }
        Ok(())
    }

    /// Refuses a journal that has another record where the replica's last one is: an older copy that was sold from, so long
    /// that it is as long as the original.
    pub(super) fn refuse_forked_journal(&self, dir: &Path, journal: &SurveyedJournal) -> Result<(), StoreError> {
        let Some(last) = self.held().and_then(|held| held.last) else { return Ok(()) };
        if !journal.contradicts(&last, &self.watermarks().collect())? {
            return Ok(());
        }
        let (path, replica) = (dir.to_path_buf(), self.replica.name());
        Err(StoreError::JournalForked { path, replica, shard: last.shard, seq: last.seq })
    }

    /// The shard, what is contained of it and where the journal begins, if the two leave a gap between them.
    pub(super) fn gap_before(&self, journal: &SurveyedJournal) -> Option<(ShardId, u64, u64)> {
        let begins = |(shard, watermark)| (shard, watermark, journal.first_seq(shard));
        self.watermarks().map(begins).find(|(_, watermark, first)| watermark + 1 < *first)
    }

    fn watermarks(&self) -> impl Iterator<Item = (ShardId, u64)> {
        let watermarks = self.held().map(|held| held.watermarks.as_slice()).unwrap_or_default();
        (0..).map(ShardId).zip(watermarks.iter().copied())
    }
}
