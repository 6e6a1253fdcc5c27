//! How far the projection is, for everybody else: metrics, the journal's retention, the command line of the server.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::journal::HistoryReader;

/// How far the projection is. Shared; written by the projection's thread only.
#[derive(Debug)]
pub struct ProjectionProgress {
    /// Per shard, the last record that is in PostgreSQL for certain.
    watermarks: Vec<AtomicU64>,
    /// Whether these were read from the tables at all.
    known: AtomicBool,
    /// Since when the oldest record without rows has waited.
    waiting_since: Mutex<Option<Instant>>,
    /// Until when the projection leaves the machine to the sale.
    rests_until: Mutex<Option<Instant>>,
    /// Why it does not go on, if it does not.
    trouble: Mutex<Option<String>>,
}

impl ProjectionProgress {
    pub(super) fn new(shards: ShardCount) -> Self {
        Self {
            watermarks: shards.iter().map(|_| AtomicU64::new(0)).collect(),
            known: AtomicBool::new(false),
            waiting_since: Mutex::new(None),
            rests_until: Mutex::new(None),
            trouble: Mutex::new(None),
        }
    }

    /// The last record of `shard` that is in PostgreSQL for certain; 0 before it was first asked.
    pub fn watermark(&self, shard: ShardId) -> u64 {
        self.watermarks.get(usize::from(shard.0)).map_or(0, |watermark| watermark.load(Ordering::Acquire))
    }

    /// Why the projection does not go on; none while it does.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Whether a record that is journaled now will, as far as anybody can know, have no rows within `patience`: the projection
    /// does not go on, rests for longer, or needs longer than that for those before it.
    pub fn is_out_of_reach(&self, patience: Duration) -> bool {
        let now = Instant::now();
        let waits = |since: Instant| now.saturating_duration_since(since) > patience;
        let rests = |until: Instant| until.saturating_duration_since(now) > patience;
        self.trouble.lock().is_some()
            || self.waiting_since.lock().is_some_and(waits)
            || self.rests_until.lock().is_some_and(rests)
    }

    /// Whether the tables were ever asked how far they are.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// Notes since when the oldest record without rows has waited.
    pub(super) fn note_waiting(&self, since: Option<Instant>) {
        *self.waiting_since.lock() = since;
    }

    /// Notes until when the projection rests.
    pub(super) fn note_rest(&self, until: Option<Instant>) {
        *self.rests_until.lock() = until;
    }

    /// Notes that the watermarks are what the tables say.
    pub(super) fn note_known(&self) {
        self.known.store(true, Ordering::Release);
    }

    /// Notes that everything of `shard` up to `seq` is in PostgreSQL.
    pub(super) fn reached(&self, shard: ShardId, seq: u64) {
        if let Some(watermark) = self.watermarks.get(usize::from(shard.0)) {
            watermark.store(seq, Ordering::Release);
        }
    }

    /// Notes why it does not go on. Whether that is news.
    pub(super) fn note_trouble(&self, trouble: Option<String>) -> bool {
        let mut known = self.trouble.lock();
        let is_news = *known != trouble;
        *known = trouble;
        is_news
    }
}

impl HistoryReader for ProjectionProgress {
    fn needs_from(&self, shard: ShardId) -> u64 {
        self.watermark(shard) + 1
    }
}

/// The projection's metrics, by name. A recorder must be installed before.
pub(super) struct Meters {
    pub(super) records: metrics::Counter,
    pub(super) rows: metrics::Counter,
    pub(super) batches: metrics::Counter,
    pub(super) failures: metrics::Counter,
    pub(super) batch_seconds: metrics::Histogram,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            records: metrics::counter!("holdfast_projection_records_total"),
            rows: metrics::counter!("holdfast_projection_rows_total"),
            batches: metrics::counter!("holdfast_projection_batches_total"),
            failures: metrics::counter!("holdfast_projection_failures_total"),
            batch_seconds: metrics::histogram!("holdfast_projection_batch_seconds"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_rests_or_fails_for_longer_than_anybody_waits_is_out_of_reach() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        let progress = ProjectionProgress::new(ShardCount::new(1).unwrap());
        assert!(!progress.is_out_of_reach(Duration::ZERO), "nothing waits");
        progress.note_waiting(Instant::now().checked_sub(minute));
        assert!(progress.is_out_of_reach(second) && !progress.is_out_of_reach(minute * 60));
        progress.note_waiting(None);
        progress.note_rest(Some(Instant::now() + minute));
        assert!(progress.is_out_of_reach(second) && !progress.is_out_of_reach(minute * 60));
        progress.note_rest(None);
        progress.note_trouble(Some("PostgreSQL is not there".to_owned()));
        assert!(progress.is_out_of_reach(minute * 60));
        progress.note_trouble(None);
        assert!(!progress.is_out_of_reach(Duration::ZERO));
    }
}
