//! How far the projection is, for everybody else: metrics, the journal's retention, the command line of the server.

use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_core::{ShardCount, ShardId};
use parking_lot::Mutex;

use crate::journal::HistoryReader;

/// How far the projection is. Shared; written by the projection's thread only.
#[derive(Debug)]
pub struct ProjectionProgress {
    /// Per shard, the last record that is in PostgreSQL for certain.
    watermarks: Vec<AtomicU64>,
    /// Why it does not go on, if it does not.
    trouble: Mutex<Option<String>>,
}

impl ProjectionProgress {
    pub(super) fn new(shards: ShardCount) -> Self {
        Self { watermarks: shards.iter().map(|_| AtomicU64::new(0)).collect(), trouble: Mutex::new(None) }
    }

    /// The last record of `shard` that is in PostgreSQL for certain; 0 before it was first asked.
    pub fn watermark(&self, shard: ShardId) -> u64 {
        self.watermarks.get(usize::from(shard.0)).map_or(0, |watermark| watermark.load(Ordering::Acquire))
    }

    /// Why the projection does not go on; none while it does.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
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
    pub(super) lag_records: metrics::Gauge,
    pub(super) lag_seconds: metrics::Gauge,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            records: metrics::counter!("holdfast_projection_records_total"),
            rows: metrics::counter!("holdfast_projection_rows_total"),
            batches: metrics::counter!("holdfast_projection_batches_total"),
            failures: metrics::counter!("holdfast_projection_failures_total"),
            batch_seconds: metrics::histogram!("holdfast_projection_batch_seconds"),
            lag_records: metrics::gauge!("holdfast_projection_lag_records"),
            lag_seconds: metrics::gauge!("holdfast_projection_lag_seconds"),
        }
    }
}
