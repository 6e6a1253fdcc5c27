//! What the nodes that live have not read yet, for whoever purges: a node that stands still for a moment goes on where it was.
//!
//! Invariant: it holds history back for the living alone. One that was silent for `dead_after_ms` is filled anew when it is back.

use std::sync::{Arc, Weak};

use holdfast_core::ShardId;
use holdfast_persistence::HistoryReader;

use super::reconcile::Reconciler;

/// The other nodes, as this one has heard of them.
pub struct Followers(Weak<Reconciler>);

impl Followers {
    /// Those that `reconciler` hears, for as long as it is there.
    pub fn of(reconciler: &Arc<Reconciler>) -> Self {
        Self(Arc::downgrade(reconciler))
    }
}

impl HistoryReader for Followers {
    fn needs_from(&self, shard: ShardId) -> u64 {
        let Some(reconciler) = self.0.upgrade() else { return u64::MAX };
        let slowest = reconciler.knowledge().slowest_follower(shard, reconciler.now());
        slowest.map_or(u64::MAX, |position| position + 1)
    }
}

impl std::fmt::Debug for Followers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Followers").finish_non_exhaustive()
    }
}
