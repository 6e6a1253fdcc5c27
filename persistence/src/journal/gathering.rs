//! How long the writer waits for batches before it writes the next frame.
//!
//! Why: the answers of a frame with the batches of many shards bring the next batch of each of them, one after the other. A
//! writer that begins with the first has one batch in its frame, and the others wait for the sync after that: more
//! syncs for the same orders.
//!
//! Invariant: where a frame is of one shard that somebody waits for, as with one client or in a sale of one SKU, nothing is
//! waited for: other batches, as those with a payment gateway's answers to orders before, bring nobody back.

use std::time::Duration;

/// What the writer expects.
pub(super) struct Gathering {
    limit: Duration,
    /// The shards of the last frames: the most, and less with every frame since.
    expected: usize,
}

impl Gathering {
    /// Waits no longer than `limit`; not at all when it is zero.
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, expected: 0 }
    }

    /// Until batches of how many shards are there is to be waited, and how long at most. `None`: not at all.
    pub(super) fn wait(&self) -> Option<(usize, Duration)> {
        (self.expected > 1 && !self.limit.is_zero()).then_some((self.expected, self.limit))
    }

    /// Batches of so many shards are taken at once, and somebody waits for those of `awaited` of them.
    pub(super) fn note(&mut self, shards: usize, awaited: usize) {
        let come_back = if awaited > 1 { shards } else { awaited };
        self.expected = come_back.max(self.expected * 3 / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(100);

    #[test]
    fn as_many_are_waited_for_as_came_together_before_and_fewer_when_fewer_come() {
        let mut gathering = Gathering::new(LIMIT);
        assert_eq!(gathering.wait(), None);
        gathering.note(16, 16);
        assert_eq!(gathering.wait(), Some((16, LIMIT)));
        let waits: Vec<usize> = (0..9)
            .map_while(|_| {
                gathering.note(1, 1);
                gathering.wait().map(|(batches, _)| batches)
            })
            .collect();
        assert_eq!(waits, [12, 9, 6, 4, 3, 2]);
    }

    #[test]
    fn what_nobody_waits_for_is_counted_in_a_crowd_and_not_beside_a_lone_client() {
        let mut gathering = Gathering::new(LIMIT);
        gathering.note(9, 1);
        assert_eq!(gathering.wait(), None);
        gathering.note(8, 0);
        assert_eq!(gathering.wait(), None);
        gathering.note(9, 2);
        assert_eq!(gathering.wait(), Some((9, LIMIT)));
    }

    #[test]
    fn a_lone_batch_and_a_limit_of_zero_wait_for_nothing() {
        let mut gathering = Gathering::new(LIMIT);
        gathering.note(1, 1);
        assert_eq!(gathering.wait(), None);
        let mut gathering = Gathering::new(Duration::ZERO);
        gathering.note(16, 16);
        assert_eq!(gathering.wait(), None);
    }
}
