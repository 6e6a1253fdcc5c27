//! How much of the machine the projection takes: as much as it can get when nobody buys, a small share in a rush, and
//! between the two the less the more is sold: a sale that leaves processors idle need not fall behind.
//!
//! Invariant: only ever delays the projection itself. What is not projected yet is in the journal, so waiting costs nothing but
//! lag.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::ProjectionSettings;

/// Over how long the rate of records is measured: long enough for a few turns of every shard.
const WINDOW: Duration = Duration::from_millis(500);
/// A sale stays busy for so long after its last busy window, so that a breath between two waves is not taken for its end.
const AFTERGLOW: Duration = Duration::from_secs(2);

/// Watches the journal's end, and says whether to hurry.
#[derive(Debug)]
pub(super) struct Pace {
    busy_records_per_s: u64,
    rush_records_per_s: u64,
    rush_share: f64,
    longest_rest: Duration,
    window: Option<(Instant, u64)>,
    busy_until: Option<Instant>,
    /// The share it may work until then.
    share: f64,
}

impl Pace {
    pub(super) fn new(settings: &ProjectionSettings) -> Self {
        Self {
            busy_records_per_s: settings.busy_records_per_s,
            rush_records_per_s: settings.rush_records_per_s,
            rush_share: f64::from(settings.busy_share_percent.clamp(1, 100)) / 100.0,
            longest_rest: Duration::from_millis(settings.busy_rest_ms),
            window: None,
            busy_until: None,
            share: 1.0,
        }
    }

    /// The journal's end is at record `end` now.
    pub(super) fn observe(&mut self, end: u64, now: Instant) {
        let (since, from) = *self.window.get_or_insert((now, end));
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            #[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
            let rate = end.saturating_sub(from) as f64 / passed.as_secs_f64();
            self.note_rate(rate, now);
            self.window = Some((now, end));
        }
    }

    /// So many records a second were journaled of late. Whoever sells more is given way to at once, whoever sells less only
    /// once the sale was that quiet for a while.
    #[expect(clippy::cast_precision_loss, reason = "a rate needs few digits")]
    fn note_rate(&mut self, rate: f64, now: Instant) {
        let (busy, rush) = (self.busy_records_per_s as f64, self.rush_records_per_s as f64);
        if rate <= busy {
            return;
        }
        let rushed = ((rate - busy) / (rush - busy).max(1.0)).min(1.0);
        let share = 1.0 - rushed * (1.0 - self.rush_share);
        if share <= self.share || !self.is_busy(now) {
            self.share = share;
            self.busy_until = Some(now + AFTERGLOW);
        }
    }

    /// Whether a sale is on.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// The share of the time it may work now.
    pub(super) fn share(&self, now: Instant) -> f64 {
        if self.is_busy(now) { self.share } else { 1.0 }
    }

    /// Whether processors are left over for it: then the next batch is made while one is written.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.share(now) > 0.5
    }

    /// How long to rest after a batch that took `worked`, so that the share is kept.
    pub(super) fn rest(&self, worked: Duration, now: Instant) -> Duration {
        if !self.is_busy(now) {
            return Duration::ZERO;
        }
        worked.mul_f64(1.0 / self.share - 1.0).min(self.longest_rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Pace {
        Pace::new(&ProjectionSettings {
            busy_records_per_s: 1_000,
            rush_records_per_s: 5_000,
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
    fn the_less_is_sold_the_more_it_works_and_a_breath_between_two_waves_changes_nothing() {
        let (mut pace, start) = (pace(), Instant::now());
        let worked = Duration::from_millis(550);
        let mut end = 0;
        let mut rest_after = |second: u64, rate: u64| {
            end += rate;
            let now = start + Duration::from_secs(second);
            pace.observe(end, now);
            pace.rest(worked, now).as_millis()
        };
        assert_eq!(rest_after(0, 0), 0);
        // Half way between busy and a rush: 55 % of the time.
        assert_eq!(rest_after(1, 3_000), 450);
        assert_eq!(rest_after(2, 5_000), 3_000);
        assert_eq!(rest_after(3, 3_000), 3_000, "the rush may go on");
        assert_eq!(rest_after(4, 3_000), 450);
        assert_eq!(rest_after(5, 1_000), 450);
        assert_eq!(rest_after(6, 1_000), 0);
    }
}
