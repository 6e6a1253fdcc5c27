//! Bounds the journal's history when the settings say so: after a checkpoint, old segments whose records are all contained
//! in snapshots go. Runs on the thread that writes snapshots, so no turn waits for it.
//!
//! Invariant: a record is only ever purged after a watermark that contains it was durable.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Journal, SnapshotStore};

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
            Err(error) => {
                // Deleting on could leave a gap after a power cut.
                self.keep_bytes = None;
                metrics::counter!("holdfast_journal_purge_failures_total").increment(1);
                tracing::error!(%error, "the journal could not be purged: it keeps everything until the node restarts");
            }
        }
    }
}
