//! What a shard reports to the metrics: once a turn, through handles made once, so that counting costs the hot path nothing.

use metrics::{Counter, Histogram, counter, histogram};

/// Handles to the metrics that all shards share.
pub(super) struct ShardMetrics {
    records: Histogram,
    answers: Histogram,
    placed: Counter,
    rejected: Counter,
    lapsed: Counter,
}

/// What happened in one turn.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Orders placed.
    pub(super) placed: u64,
    /// Requests the domain refused.
    pub(super) rejected: u64,
    /// Holds whose time came.
    pub(super) lapsed: u64,
}

impl ShardMetrics {
    pub(super) fn new() -> Self {
        Self {
            records: histogram!("holdfast_turn_records"),
            answers: histogram!("holdfast_turn_answers"),
            placed: counter!("holdfast_orders_placed_total"),
            rejected: counter!("holdfast_requests_rejected_total"),
            lapsed: counter!("holdfast_holds_lapsed_total"),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a turn's counts are far below 2^52")]
    pub(super) fn note_turn(&self, tally: &Tally, records: usize, answers: usize) {
        if records > 0 {
            self.records.record(records as f64);
        }
        if answers > 0 {
            self.answers.record(answers as f64);
        }
        for (counter, count) in
            [(&self.placed, tally.placed), (&self.rejected, tally.rejected), (&self.lapsed, tally.lapsed)]
        {
            if count > 0 {
                counter.increment(count);
            }
        }
    }
}
