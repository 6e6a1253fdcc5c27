//! How many requests a second each shard of this node serves: from its count, between two looks.
//!
//! Invariant: a rate is over at least [`SHORTEST`], so two operators who look at once do not see noise.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use holdfast_actors::ShardReport;
use holdfast_core::ShardId;
use parking_lot::Mutex;

/// The shortest time a rate is taken over.
const SHORTEST: Duration = Duration::from_secs(1);

/// The last look, and what it found.
pub(crate) struct Rates(Mutex<Look>);

struct Look {
    at: Instant,
    counts: HashMap<ShardId, u64>,
    per_second: HashMap<ShardId, f64>,
}

impl Rates {
    /// Counts from now on.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Look { at: now(), counts: HashMap::new(), per_second: HashMap::new() }))
    }

    /// The rates as of now, in requests per second.
    pub(super) fn observe(&self, reports: &[ShardReport]) -> HashMap<ShardId, f64> {
        let mut look = self.0.lock();
        look.take(now(), reports.iter().map(|report| (report.shard, report.figures.requests)).collect());
        look.per_second.clone()
    }
}

impl Look {
    fn take(&mut self, at: Instant, counts: HashMap<ShardId, u64>) {
        let elapsed = at.saturating_duration_since(self.at);
        if elapsed < SHORTEST {
            return;
        }
        let rate = |(shard, count): (&ShardId, &u64)| {
            // A shard that came back counts from zero.
            let new = count.saturating_sub(self.counts.get(shard).copied().unwrap_or_default());
            #[expect(clippy::cast_precision_loss, reason = "a rate is a float; 2^53 requests are enough")]
            let per_second = new as f64 / elapsed.as_secs_f64();
            (*shard, (per_second * 10.0).round() / 10.0)
        };
        self.per_second = counts.iter().map(rate).collect();
        self.counts = counts;
        self.at = at;
    }
}

#[expect(clippy::disallowed_methods, reason = "a rate for people to look at; no decision depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_added_since_the_look_before_and_a_hasty_look_repeats_it() {
        let began = now();
        let mut look = Look { at: began, counts: HashMap::new(), per_second: HashMap::new() };
        let shard = ShardId(3);
        let mut at = |millis, count| {
            look.take(began + Duration::from_millis(millis), HashMap::from([(shard, count)]));
            look.per_second.get(&shard).copied()
        };
        assert_eq!(at(500, 40), None);
        assert_eq!(at(2_000, 100), Some(50.0));
        assert_eq!(at(2_500, 900), Some(50.0));
        assert_eq!(at(4_000, 1_100), Some(500.0));
        assert_eq!(at(5_000, 20), Some(0.0));
    }
}
