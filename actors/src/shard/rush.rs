//! Whether a sale is on: records pour into a bucket that leaks at the rate from which on it is one.

use holdfast_core::Timestamp;

/// The bucket holds the leak of so many seconds. It counts as a rush while it is more than half full, and so until half of them
/// have passed without a record: a breath between two waves is shorter.
const BUCKET_SECONDS: u64 = 4;

/// How full the bucket is.
#[derive(Debug)]
pub(super) struct Rush {
    /// In thousandths of a record: records a second times milliseconds.
    level: u64,
    at: Timestamp,
    /// The node's records at that time.
    records: u64,
    /// Whether the next look finds it full, however long ago the last one was.
    is_filled: bool,
}

impl Rush {
    /// An empty bucket.
    pub(super) fn new(now: Timestamp, records: u64) -> Self {
        Self { level: 0, at: now, records, is_filled: false }
    }

    /// Has it count as a rush from the next look on, until enough has leaked.
    pub(super) fn fill(&mut self) {
        self.is_filled = true;
    }

    /// Looks at how many `records` the node has journaled by `now`.
    pub(super) fn look(&mut self, records: u64, now: Timestamp, leak_per_second: u64) {
        let full = full(leak_per_second);
        let elapsed_ms = now.as_millis().saturating_sub(self.at.as_millis()).unsigned_abs();
        let leaked = leak_per_second.saturating_mul(elapsed_ms);
        let poured = records.saturating_sub(self.records).saturating_mul(1_000);
        let level = self.level.saturating_sub(leaked).saturating_add(poured).min(full);
        self.level = if std::mem::take(&mut self.is_filled) { full } else { level };
        (self.at, self.records) = (now, records);
    }

    /// When it is over if no more records come; the time of the last look when none is on.
    pub(super) fn ends(&self, leak_per_second: u64) -> Timestamp {
        let above = self.level.saturating_sub(full(leak_per_second) / 2);
        let millis = above.div_ceil(leak_per_second.max(1));
        self.at.saturating_add_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

const fn full(leak_per_second: u64) -> u64 {
    leak_per_second.saturating_mul(BUCKET_SECONDS * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Whether a rush is on at the end of `seconds` with so many records a second, looked at every `step_ms`.
    fn is_rush(per_second: u64, seconds: u64, step_ms: u64, leak: u64) -> bool {
        let mut rush = Rush::new(at(0), 0);
        for millis in (0..=seconds * 1_000).step_by(usize::try_from(step_ms).unwrap()) {
            rush.look(per_second * millis / 1_000, at(i64::try_from(millis).unwrap()), leak);
        }
        rush.ends(leak) > rush.at
    }

    #[test]
    fn more_records_than_leak_are_a_rush_and_fewer_are_none_however_often_one_looks() {
        for step_ms in [1, 7, 100] {
            for leak in [500, 20_000] {
                assert!(is_rush(leak * 2, 3, step_ms, leak), "{leak} in steps of {step_ms} ms");
                assert!(!is_rush(leak * 9 / 10, 60, step_ms, leak), "{leak} in steps of {step_ms} ms");
            }
        }
    }

    #[test]
    fn it_ends_two_seconds_after_the_last_record() {
        let mut rush = Rush::new(at(0), 0);
        rush.look(1_000_000, at(1_000), 20_000);
        assert_eq!(rush.ends(20_000), at(3_000));
        rush.look(1_000_000, at(2_999), 20_000);
        assert_eq!(rush.ends(20_000), at(3_000));
        rush.look(1_000_000, at(3_000), 20_000);
        assert_eq!(rush.ends(20_000), at(3_000), "it is over");
    }

    #[test]
    fn what_is_filled_is_over_two_seconds_later() {
        let mut rush = Rush::new(at(0), 7);
        rush.fill();
        rush.look(7, at(60_000), 20_000);
        assert_eq!(rush.ends(20_000), at(62_000));
        rush.look(7, at(60_500), 20_000);
        assert_eq!(rush.ends(20_000), at(62_000));
    }

    #[test]
    fn the_ends_of_the_setting_are_always_a_rush_and_never() {
        for (leak, is_on) in [(1, true), (u64::MAX, false)] {
            assert_eq!(is_rush(1_000_000, 5, 10, leak), is_on, "{leak}");
        }
    }
}
