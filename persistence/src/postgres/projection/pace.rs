//! How much of the machine the projection takes: as much as it can get when nobody buys, a small share in a sale.
//!
//! Invariant: only ever delays the projection itself. What is not projected yet is in the journal, so waiting costs nothing but
//! lag.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::settings::ProjectionSettings;

/// Over how long the rate of records is measured: long enough for a few turns of every shard.
const WINDOW: Duration = Duration::from_millis(500);
/// A sale stays busy for so long after its last busy window, so that a breath between two waves is not taken for its end.
const AFTERGLOW: Duration = Duration::from_secs(2);
/// Marks of the journal's end kept to tell how old the oldest record without a row is.
const MARKS: usize = 1_024;

/// Watches the journal's end, and says whether to hurry.
#[derive(Debug)]
pub(super) struct Pace {
    busy_records_per_s: u64,
    share: f64,
    longest_rest: Duration,
    window: Option<(Instant, u64)>,
    busy_until: Option<Instant>,
    /// Where the journal's end was, and when it was first seen there.
    marks: VecDeque<(u64, Instant)>,
}

impl Pace {
    pub(super) fn new(settings: &ProjectionSettings) -> Self {
        Self {
            busy_records_per_s: settings.busy_records_per_s,
            share: f64::from(settings.busy_share_percent.clamp(1, 100)) / 100.0,
            longest_rest: Duration::from_millis(settings.busy_rest_ms),
            window: None,
            busy_until: None,
            marks: VecDeque::new(),
        }
    }

    /// The journal's end is at record `end` now.
    pub(super) fn observe(&mut self, end: u64, now: Instant) {
        let (since, from) = *self.window.get_or_insert((now, end));
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            #[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
            let rate = end.saturating_sub(from) as f64 / passed.as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
            if rate > self.busy_records_per_s as f64 {
                self.busy_until = Some(now + AFTERGLOW);
            }
            self.window = Some((now, end));
        }
        if self.marks.back().is_none_or(|(last, _)| *last < end) {
            if self.marks.len() >= MARKS {
                // Every other one goes: an old lag need not be known to the second.
                let mut keep = false;
                self.marks.retain(|_| {
                    keep = !keep;
                    keep
                });
            }
            self.marks.push_back((end, now));
        }
    }

    /// Whether a sale is on.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// How long to rest after a batch that took `worked`, so that the share is kept.
    pub(super) fn rest(&self, worked: Duration, now: Instant) -> Duration {
        if !self.is_busy(now) {
            return Duration::ZERO;
        }
        worked.mul_f64(1.0 / self.share - 1.0).min(self.longest_rest)
    }

    /// Everything up to record `done` has its rows: how long the oldest one without has waited.
    pub(super) fn lag(&mut self, done: u64, now: Instant) -> Duration {
        while self.marks.front().is_some_and(|(end, _)| *end <= done) {
            self.marks.pop_front();
        }
        self.marks.front().map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(*since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(&ProjectionSettings {
            busy_records_per_s: 1_000,
            busy_share_percent: 10,
            busy_rest_ms: 3_000,
            ..ProjectionSettings::default()
        })
    }

    #[test]
    fn a_busy_sale_makes_it_rest_and_its_end_does_not() {
        let (mut pace, start) = (pace(), Instant::now());
        let worked = Duration::from_millis(100);
        pace.observe(0, start);
        assert_eq!(pace.rest(worked, start), Duration::ZERO);
        let later = start + Duration::from_secs(1);
        pace.observe(5_000, later);
        assert_eq!(pace.rest(worked, later), Duration::from_millis(900));
        assert_eq!(pace.rest(Duration::from_secs(5), later), Duration::from_secs(3));
        pace.observe(5_100, later + Duration::from_secs(1));
        assert!(pace.is_busy(later + Duration::from_secs(1)));
        let over = later + Duration::from_secs(3);
        pace.observe(5_200, over);
        assert_eq!(pace.rest(worked, over), Duration::ZERO);
    }

    #[test]
    fn the_lag_is_the_age_of_the_oldest_record_without_a_row() {
        let (mut pace, start) = (pace(), Instant::now());
        for second in 0..5_000 {
            pace.observe(second * 10, start + Duration::from_secs(second));
        }
        let now = start + Duration::from_secs(5_000);
        assert_eq!(pace.lag(49_990, now), Duration::ZERO);
        let (mut pace, seen) = (self::pace(), |second| start + Duration::from_secs(second));
        pace.observe(10, seen(1));
        pace.observe(20, seen(2));
        assert_eq!(pace.lag(0, seen(5)), Duration::from_secs(4));
        assert_eq!(pace.lag(10, seen(5)), Duration::from_secs(3));
        assert_eq!(pace.lag(20, seen(5)), Duration::ZERO);
        assert!(pace.marks.is_empty());
    }
}
