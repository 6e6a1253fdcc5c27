//! Whether a batch of the shard is on its way to the disk, and how much gathers behind it before the next turn.
//!
//! What is decided meanwhile can only be durable after that batch. So a turn for every message would be work for nothing; but a
//! turn that waits for the end of the batch leaves the disk idle until it is over. Why these numbers: ADR 0037 and ADR 0038.

use std::sync::atomic::{AtomicBool, Ordering};

/// A shard's mark.
#[derive(Debug)]
pub(super) struct Commit {
    under_way: AtomicBool,
    /// So many messages get a turn in any case.
    gather: usize,
}

impl Commit {
    /// No batch on its way.
    pub(super) const fn new(gather: usize) -> Self {
        Self { under_way: AtomicBool::new(false), gather }
    }

    /// A batch went to the journal, or the last that did is durable or never will be.
    pub(super) fn set(&self, under_way: bool) {
        self.under_way.store(under_way, Ordering::SeqCst);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Whether so many messages that wait go on gathering, with a crowd of so many requests under way in all shards of the node.
    pub(super) fn holds_up(&self, waiting: usize, crowd: usize) -> bool {
        self.is_under_way() && waiting < self.enough(crowd)
    }

    /// So many messages get a turn: the disk shall find something to do when it is done with the batch. Where the crowd is spread over
    /// many shards none of them gathers as many, and it is the others' that the disk finds.
    fn enough(&self, crowd: usize) -> usize {
        (crowd / 4).max(2).min(self.gather)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATHER: usize = 32;

    /// How many messages it takes behind a batch.
    fn enough(commit: &Commit, crowd: usize) -> Option<usize> {
        (1..=GATHER).find(|waiting| !commit.holds_up(*waiting, crowd))
    }

    #[test]
    fn a_quarter_of_the_crowd_is_enough_two_at_least_and_the_setting_at_most() {
        let commit = Commit::new(GATHER);
        assert_eq!(enough(&commit, 64), Some(1), "nothing is on its way");
        commit.set(true);
        let enough_of = |crowd| enough(&commit, crowd);
        assert_eq!([0, 1, 11, 12, 64, 1_000].map(enough_of), [2, 2, 2, 3, 16, GATHER].map(Some));
        let commit = Commit::new(1);
        commit.set(true);
        assert_eq!(enough(&commit, 64), Some(1));
    }
}
