//! What became of the requests: counts by verdict and their latencies.
//!
//! Invariant: every request that was issued ends as exactly one of sold, refused, shed or failed.

use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// The longest latency told apart, in microseconds: one minute. Longer ones count as one minute.
const MAX_LATENCY_US: u64 = 60_000_000;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The order was accepted (or, of an echo, the body came back).
    Sold,
    /// A clean refusal: sold out.
    Refused,
    /// Overload: 503 or 429, with Retry-After.
    Shed,
    /// Anything else, and no answer at all.
    Failed,
}

/// Counts and latencies of one run. Latencies are of answered requests, in microseconds.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Orders accepted.
    pub sold: u64,
    /// Clean refusals.
    pub refused: u64,
    /// Refused for overload.
    pub shed: u64,
    /// Failures.
    pub failed: u64,
    /// The first failure, in words.
    pub first_failure: Option<String>,
    latency: Histogram<u64>,
}

/// Percentiles of a run's latencies, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// The shortest.
    pub min_ms: f64,
    /// Median.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Tally {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are in order"));
        Self { sold: 0, refused: 0, shed: 0, failed: 0, first_failure: None, latency }
    }

    /// Requests with an outcome.
    pub fn settled(&self) -> u64 {
        self.sold.saturating_add(self.refused).saturating_add(self.shed).saturating_add(self.failed)
    }

    /// The latency percentiles so far; zeros when nothing was answered.
    pub fn percentiles(&self) -> Percentiles {
        let at = |quantile| millis(self.latency.value_at_quantile(quantile));
        Percentiles {
            min_ms: millis(self.latency.min()),
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: millis(self.latency.max()),
        }
    }

    /// Takes in what another crowd did at the same time.
    pub fn add(&mut self, other: &Self) {
        self.sold = self.sold.saturating_add(other.sold);
        self.refused = self.refused.saturating_add(other.refused);
        self.shed = self.shed.saturating_add(other.shed);
        self.failed = self.failed.saturating_add(other.failed);
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        self.latency += &other.latency;
    }

    fn count(&mut self, verdict: Verdict, requests: u64) {
        let counter = match verdict {
            Verdict::Sold => &mut self.sold,
            Verdict::Refused => &mut self.refused,
            Verdict::Shed => &mut self.shed,
            Verdict::Failed => &mut self.failed,
        };
        *counter = counter.saturating_add(requests);
    }
}

#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52 microseconds")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// One run's tally, written by every connection and read by the progress line.
///
/// One lock for all: the generator runs on one or two threads, and one histogram stays in the cache where one per
/// connection would not.
#[derive(Debug)]
pub struct Ledger(Mutex<Tally>);

impl Default for Ledger {
    fn default() -> Self {
        Self(Mutex::new(Tally::new()))
    }
}

impl Ledger {
    /// Records an answer. Returns how many orders are sold so far.
    pub fn answered(&self, verdict: Verdict, latency_us: u64) -> u64 {
        let mut tally = self.0.lock();
        tally.count(verdict, 1);
        tally.latency.saturating_record(latency_us.min(MAX_LATENCY_US));
        tally.sold
    }

    /// Records an answer whose latency says nothing: its request lived through a crash of the server.
    pub fn answered_late(&self, verdict: Verdict) -> u64 {
        let mut tally = self.0.lock();
        tally.count(verdict, 1);
        tally.sold
    }

    /// Records `requests` without a usable answer.
    pub fn failed(&self, requests: u64, why: impl FnOnce() -> String) {
        let mut tally = self.0.lock();
        tally.count(Verdict::Failed, requests);
        if requests > 0 && tally.first_failure.is_none() {
            tally.first_failure = Some(why());
        }
    }

    /// Keeps `why` as the first failure unless there is one already.
    pub fn explain(&self, why: impl FnOnce() -> String) {
        let mut tally = self.0.lock();
        if tally.first_failure.is_none() {
            tally.first_failure = Some(why());
        }
    }

    /// The tally as of now.
    pub fn tally(&self) -> Tally {
        self.0.lock().clone()
    }

    /// Sold, refused, shed and failed so far, without copying the histogram.
    pub fn counts(&self) -> [u64; 4] {
        let tally = self.0.lock();
        [tally.sold, tally.refused, tally.shed, tally.failed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_once() {
        let ledger = Ledger::default();
        ledger.answered(Verdict::Sold, 1_000);
        ledger.answered(Verdict::Refused, 2_000);
        ledger.answered_late(Verdict::Sold);
        ledger.failed(2, || "gone".to_owned());
        let tally = ledger.tally();
        assert_eq!((tally.sold, tally.refused, tally.shed, tally.failed), (2, 1, 0, 2));
        assert_eq!(tally.settled(), 5);
        assert_eq!(tally.first_failure.as_deref(), Some("gone"));
    }

    #[test]
    fn two_crowds_add_up() {
        let (here, there) = (Ledger::default(), Ledger::default());
        here.answered(Verdict::Sold, 1_000);
        there.answered(Verdict::Sold, 9_000);
        there.answered(Verdict::Shed, 9_000);
        there.failed(1, || "gone".to_owned());
        let mut both = here.tally();
        both.add(&there.tally());
        assert_eq!((both.sold, both.refused, both.shed, both.failed), (2, 0, 1, 1));
        assert_eq!(both.first_failure.as_deref(), Some("gone"));
        let percentiles = both.percentiles();
        assert!((percentiles.min_ms - 1.0).abs() < 0.1 && (percentiles.max_ms - 9.0).abs() < 0.1, "{percentiles:?}");
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let ledger = Ledger::default();
        for latency_ms in 1..=100 {
            ledger.answered(Verdict::Sold, latency_ms * 1_000);
        }
        let percentiles = ledger.tally().percentiles();
        assert!((percentiles.p50_ms - 50.0).abs() < 0.1, "{percentiles:?}");
        assert!((percentiles.p99_ms - 99.0).abs() < 0.1, "{percentiles:?}");
        assert!((percentiles.max_ms - 100.0).abs() < 0.1, "{percentiles:?}");
    }

    #[test]
    fn nothing_answered_reads_as_zero() {
        assert!(Ledger::default().tally().percentiles().max_ms.abs() < f64::EPSILON);
    }
}
