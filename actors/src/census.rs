//! What the shards of a node count together, because what it decides is the node's: whether memory is short, and whether a sale is on.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The node's counts. Each is the sum of what its shards told last.
#[derive(Debug, Default)]
pub(crate) struct Census {
    live: AtomicUsize,
    unsaved: AtomicUsize,
    records: AtomicU64,
}

/// What one shard has of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    /// Entities in memory.
    pub(crate) live: usize,
    /// Entities changed since they were last in a checkpoint.
    pub(crate) unsaved: usize,
}

impl Census {
    /// Entities in memory.
    pub(crate) fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Entities changed since they were last in a checkpoint.
    pub(crate) fn unsaved(&self) -> usize {
        self.unsaved.load(Ordering::Relaxed)
    }

    /// Records handed to the journal since the node started.
    pub(crate) fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Takes in that a shard has handed so many more records to the journal.
    pub(crate) fn count_records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// Puts what a shard has now in place of what it told before.
    pub(crate) fn report(&self, told: &mut Share, now: Share) {
        let counts = [(&self.live, told.live, now.live), (&self.unsaved, told.unsaved, now.unsaved)];
        for (count, told, now) in counts {
            if now > told {
                count.fetch_add(now - told, Ordering::Relaxed);
            } else if now < told {
                count.fetch_sub(told - now, Ordering::Relaxed);
            }
        }
        *told = now;
    }
}
