//! The journal, with the book looking on: whatever is handed to it is in the book before anybody can be told that it is durable.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::ShardId;
use holdfast_persistence::{AppendError, Batch, Completion, Journal, JournalError, Record};

use super::Book;
use crate::violation::Promise;

/// The journal, with the book looking on.
pub(crate) struct WatchedJournal {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) book: Book,
}

impl WatchedJournal {
    /// Enters the batch in the book; what it gives is told in place of `done`.
    fn watch(&self, batch: &Batch, done: Completion) -> Completion {
        self.book.append(batch);
        let (book, shard) = (self.book.clone(), batch.shard);
        let last = batch.first_seq + batch.records.len() as u64 - 1;
        Box::new(move |written: Result<(), AppendError>| {
            match &written {
                Ok(()) => book.note_durable(shard, last),
                Err(AppendError::Failed(_)) => {}
                Err(error) => book.violations.report(Promise::State, format!("a batch was not taken: {error}")),
            }
            done(written);
        })
    }
}

impl Journal for WatchedJournal {
    fn append(&self, batch: &Batch, done: Completion) {
        self.journal.append(batch, self.watch(batch, done));
    }

    fn append_unawaited(&self, batch: &Batch, done: Completion) {
        self.journal.append_unawaited(batch, self.watch(batch, done));
    }

    fn writable(&self, shard: ShardId) -> Result<(), holdfast_persistence::Unwritable> {
        self.journal.writable(shard)
    }

    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(holdfast_persistence::ReplayProgress) + Sync),
    ) -> Result<holdfast_persistence::ReplaySummary, JournalError> {
        self.journal.replay(from, sink, progress)
    }

    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn holdfast_persistence::Follower>, JournalError> {
        self.journal.follow(from)
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        self.journal.next_seq(shard)
    }

    fn retain_bytes(&self) -> Option<u64> {
        self.journal.retain_bytes()
    }

    fn purge_below(
        &self,
        floor: &BTreeMap<ShardId, u64>,
        keep_bytes: u64,
    ) -> Result<holdfast_persistence::PurgeSummary, JournalError> {
        self.journal.purge_below(floor, keep_bytes)
    }

    fn retain_for(&self, reader: Arc<dyn holdfast_persistence::HistoryReader>, limit_bytes: u64) {
        self.journal.retain_for(reader, limit_bytes);
    }

    fn stats(&self) -> holdfast_persistence::JournalStats {
        self.journal.stats()
    }
}
