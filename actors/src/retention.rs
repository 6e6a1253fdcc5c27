//! Bounds the journal's history when the settings say so: after a checkpoint, old segments whose records are all contained
//! in snapshots go. Runs on the thread that writes snapshots, so no turn waits for it.
//!
//! Invariant: a record is only ever purged after a watermark that contains it was durable.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Journal, JournalError, SnapshotStore};

/// What may go, and what the settings keep.
pub(crate) struct Retention {
    journal: Arc<dyn Journal>,
    /// Per shard, the first record that its snapshots may lack.
    floor: BTreeMap<ShardId, u64>,
    /// Bytes of history to keep; `None` for all of it.
    keep_bytes: Option<u64>,
}

impl Retention {
    /// As the journal's settings say, from the durable watermarks in `snapshots` on.
    pub(crate) fn new(journal: Arc<dyn Journal>, snapshots: &dyn SnapshotStore, shards: ShardCount) -> Self {
        // A shard whose watermark cannot be read now keeps everything until its next checkpoint.
        let floor = shards.iter().filter_map(|shard| Some((shard, snapshots.watermark(shard).ok()? + 1))).collect();
        let keep_bytes = journal.retain_bytes();
        Self { journal, floor, keep_bytes }
    }

    /// The shard's watermark is durable: purges what is no longer needed and not to be kept.
    pub(crate) fn note_watermark(&mut self, shard: ShardId, watermark: u64) {
        self.floor.insert(shard, watermark + 1);
        let Some(keep_bytes) = self.keep_bytes else { return };
        match self.journal.purge_below(&self.floor, keep_bytes) {
            Ok(purged) if purged.segments > 0 => {
                tracing::info!(segments = purged.segments, bytes = purged.bytes, "old journal segments were purged");
            }
            Ok(_) => {}
            Err(error @ JournalError::Elsewhere { .. }) => {
                // Nothing is gone that was not to go: the next checkpoint asks again.
                metrics::counter!("holdfast_journal_purge_failures_total").increment(1);
                tracing::warn!(%error, "the journal could not be purged now");
            }
            Err(error) => {
                // Deleting on could leave a gap after a power cut.
                self.keep_bytes = None;
                metrics::counter!("holdfast_journal_purge_failures_total").increment(1);
                tracing::error!(%error, "the journal could not be purged: it keeps everything until the node restarts");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use holdfast_core::ShardId;
    use holdfast_persistence::{
        Batch, Completion, Follower, JournalStats, PurgeSummary, Record, ReplayProgress, ReplaySummary, Unwritable,
    };

    use super::*;

    /// A journal of which nothing can be purged the first time.
    struct FirstInVain {
        error: fn() -> JournalError,
        asked: AtomicU64,
    }

    impl Journal for FirstInVain {
        fn append(&self, _: &Batch, done: Completion) {
            done(Ok(()));
        }

        fn writable(&self, _: ShardId) -> Result<(), Unwritable> {
            Ok(())
        }

        fn replay(
            &self,
            _: &BTreeMap<ShardId, u64>,
            _: &(dyn Fn(ShardId, u64, Record) + Sync),
            _: &(dyn Fn(ReplayProgress) + Sync),
        ) -> Result<ReplaySummary, JournalError> {
            Ok(ReplaySummary::default())
        }

        fn follow(&self, _: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError> {
            Err((self.error)())
        }

        fn next_seq(&self, _: ShardId) -> u64 {
            1
        }

        fn retain_bytes(&self) -> Option<u64> {
            Some(1)
        }

        fn purge_below(&self, _: &BTreeMap<ShardId, u64>, _: u64) -> Result<PurgeSummary, JournalError> {
            let is_first = self.asked.fetch_add(1, Ordering::Relaxed) == 0;
            if is_first { Err((self.error)()) } else { Ok(PurgeSummary::default()) }
        }

        fn stats(&self) -> JournalStats {
            JournalStats::default()
        }
    }

    /// How often such a journal is asked in three checkpoints.
    fn asked(error: fn() -> JournalError) -> u64 {
        let journal = Arc::new(FirstInVain { error, asked: AtomicU64::new(0) });
        let keep_bytes = journal.retain_bytes();
        let mut retention =
            Retention { journal: Arc::<FirstInVain>::clone(&journal), floor: BTreeMap::new(), keep_bytes };
        for watermark in 1..=3 {
            retention.note_watermark(ShardId(0), watermark);
        }
        journal.asked.load(Ordering::Relaxed)
    }

    #[test]
    fn servers_that_were_away_for_a_moment_are_asked_again_and_a_disk_that_failed_is_not() {
        let away = || {
            let (log, source) = ("a stream".to_owned(), "nobody answers".into());
            JournalError::Elsewhere { action: "read", log, source }
        };
        assert_eq!(asked(away), 3);
        let failed = || JournalError::Purged { shard: ShardId(0), from: 1, first: 2 };
        assert_eq!(asked(failed), 1);
    }
}
