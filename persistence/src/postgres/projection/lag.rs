//! How far the tables are behind the journal, in records and in seconds, watched beside the projection: so that it is known
//! just then when the projection hangs, rests or cannot reach PostgreSQL.
//!
//! Invariant: it looks and touches nothing. A lag is known once the tables were reached for the first time; before that nobody
//! knows what they contain.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use holdfast_core::ShardCount;
use tokio::time::{Instant, sleep};

use super::progress::ProjectionProgress;
use crate::journal::Journal;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Marks of the journal's end kept to tell how old the oldest record without a row is.
const MARKS: usize = 1_024;

/// Where the journal's end was, and when it was first seen there.
#[derive(Debug, Default)]
struct Marks(VecDeque<(u64, Instant)>);

/// Watches until it is dropped.
pub(super) async fn watch(journal: Arc<dyn Journal>, shards: ShardCount, progress: Arc<ProjectionProgress>) {
    let records = metrics::gauge!("holdfast_projection_lag_records");
    let seconds = metrics::gauge!("holdfast_projection_lag_seconds");
    let mut marks = Marks::default();
    loop {
        if progress.is_known() {
            let now = Instant::now();
            // First what is done: what is journaled in between is behind.
            let done = shards.iter().map(|shard| progress.watermark(shard)).sum();
            let end = shards.iter().map(|shard| journal.next_seq(shard).saturating_sub(1)).sum();
            marks.note(end, now);
            let since = marks.oldest_without_row(done);
            progress.note_waiting(since);
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 is enough for records")]
            records.set(u64::saturating_sub(end, done) as f64);
            seconds.set(since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)).as_secs_f64());
        }
        sleep(LOOK_EVERY).await;
    }
}

impl Marks {
    /// The journal's end is at record `end` now.
    fn note(&mut self, end: u64, now: Instant) {
        if self.0.back().is_some_and(|(last, _)| *last >= end) {
            return;
        }
        if self.0.len() >= MARKS {
            // Every other one goes: an old lag need not be known to the second.
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.0.push_back((end, now));
    }

    /// Everything up to record `done` has its rows: since when the oldest one without has waited.
    fn oldest_without_row(&mut self, done: u64) -> Option<Instant> {
        while self.0.front().is_some_and(|(end, _)| *end <= done) {
            self.0.pop_front();
        }
        self.0.front().map(|(_, since)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_is_the_age_of_the_oldest_record_without_a_row() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        let seen = |second| start + Duration::from_secs(second);
        marks.note(10, seen(1));
        marks.note(20, seen(2));
        marks.note(20, seen(3));
        assert_eq!(marks.oldest_without_row(0), Some(seen(1)));
        assert_eq!(marks.oldest_without_row(10), Some(seen(2)));
        assert_eq!(marks.oldest_without_row(20), None);
        // A standby that had less took over.
        marks.note(20, seen(4));
        assert_eq!(marks.oldest_without_row(5), Some(seen(4)));
    }

    #[test]
    fn a_long_lag_takes_no_more_room_than_a_short_one() {
        let (mut marks, start) = (Marks::default(), Instant::now());
        for second in 0..5_000 {
            marks.note(second * 10 + 10, start + Duration::from_secs(second));
        }
        assert!(marks.0.len() <= MARKS);
        assert_eq!(marks.oldest_without_row(0), Some(start));
        assert_eq!(marks.oldest_without_row(50_000), None);
    }
}
