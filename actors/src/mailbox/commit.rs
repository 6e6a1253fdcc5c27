//! Whether a batch of the shard is on its way to the disk, and how much gathers behind it before the next turn.
//!
//! What is decided meanwhile can only be durable after that batch. So a turn for every message would be work for nothing; but a
//! turn that waits for the end of the batch leaves the disk idle until it is over. Why these numbers: ADR 0037.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// How many of a node's shards have a batch on its way.
pub(super) type Commits = Arc<AtomicUsize>;

/// A shard's mark.
#[derive(Debug)]
pub(super) struct Commit {
    under_way: AtomicBool,
    node: Commits,
    /// So many messages get a turn in any case.
    gather: usize,
}

impl Commit {
    /// No batch on its way.
    pub(super) const fn new(gather: usize, node: Commits) -> Self {
        Self { under_way: AtomicBool::new(false), node, gather }
    }

    /// A batch went to the journal, or the last that did is durable or never will be.
    pub(super) fn set(&self, under_way: bool) {
        match (self.under_way.swap(under_way, Ordering::SeqCst), under_way) {
            (false, true) => _ = self.node.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.node.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Whether so many messages that wait go on gathering, with so many requests of the shard not answered yet.
    pub(super) fn holds_up(&self, waiting: usize, requests: usize) -> bool {
        self.is_under_way() && waiting < self.enough(requests)
    }

    /// So many messages get a turn: the disk shall find something to do when it is done with the batch. With batches of other shards
    /// on their way it does anyway.
    fn enough(&self, requests: usize) -> usize {
        if self.node.load(Ordering::Relaxed) > 1 { self.gather } else { (requests / 4).max(2).min(self.gather) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATHER: usize = 32;

    /// How many messages it takes behind a batch.
    fn enough(commit: &Commit, requests: usize) -> Option<usize> {
        (1..=GATHER).find(|waiting| !commit.holds_up(*waiting, requests))
    }

    #[test]
    fn a_quarter_of_the_requests_is_enough_two_at_least_and_the_setting_at_most() {
        let commit = Commit::new(GATHER, Commits::default());
        assert_eq!(enough(&commit, 64), Some(1), "nothing is on its way");
        commit.set(true);
        let enough_for = |requests| enough(&commit, requests);
        assert_eq!([0, 1, 11, 12, 64, 1_000].map(enough_for), [2, 2, 2, 3, 16, GATHER].map(Some));
        let commit = Commit::new(1, Commits::default());
        commit.set(true);
        assert_eq!(enough(&commit, 64), Some(1));
    }

    #[test]
    fn the_disk_has_enough_to_do_while_another_shard_has_a_batch_on_its_way() {
        let node = Commits::default();
        let (commit, other) = (Commit::new(GATHER, Arc::clone(&node)), Commit::new(GATHER, node));
        commit.set(true);
        for _ in 0..2 {
            // Twice: a shard hands over a batch while one is on its way, and a dead one is opened anew.
            other.set(true);
            other.set(true);
            assert_eq!(enough(&commit, 4), Some(GATHER));
            other.set(false);
            other.set(false);
            assert_eq!(enough(&commit, 4), Some(2));
        }
    }
}
