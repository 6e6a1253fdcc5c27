//! The streams: where epochs begin, and where the plan is. Every append is a compare-and-set.

use holdfast_cluster::{BootId, plan::document::Revision};
use holdfast_core::{ShardCount, ShardId};

/// All streams of the world.
pub(super) struct Streams {
    ends: Vec<(u64, Option<BootId>)>,
    pub(super) plan: Revision,
}

impl Streams {
    pub(super) fn new(shards: ShardCount) -> Self {
        Self { ends: vec![(0, None); usize::from(shards.get())], plan: Revision::default() }
    }

    /// The epoch a stream is in, and whose it is.
    pub(super) fn end(&self, shard: ShardId) -> (u64, Option<BootId>) {
        self.ends[usize::from(shard.0)]
    }

    /// Begins the next epoch; one whose beginning was not heard of is recognized. The epoch.
    pub(super) fn acquire(&mut self, shard: ShardId, boot: BootId, has_let_go: bool) -> u64 {
        let end = &mut self.ends[usize::from(shard.0)];
        if end.1 != Some(boot) || has_let_go {
            *end = (end.0 + 1, Some(boot));
        }
        end.0
    }
}
