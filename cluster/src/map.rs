//! The shard map: which node owns which shard. Shards are few and fixed for the life of a deployment; owners change.

use holdfast_core::{ShardCount, ShardId};

/// Who owns a shard, as seen from this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This node.
    Here,
}

/// Every shard's owner.
#[derive(Debug, Clone)]
pub struct ShardMap {
    owners: Vec<Owner>,
    shards: ShardCount,
}

impl ShardMap {
    /// A map in which this node owns every shard.
    pub fn all_here(shards: ShardCount) -> Self {
        Self { owners: shards.iter().map(|_| Owner::Here).collect(), shards }
    }

    /// How many shards there are.
    pub fn shards(&self) -> ShardCount {
        self.shards
    }

    /// A shard's owner; `None` for a number beyond the last shard.
    pub fn owner(&self, shard: ShardId) -> Option<Owner> {
        self.owners.get(usize::from(shard.0)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_one_node_every_shard_is_here_and_none_beyond_the_last() {
        let shards = ShardCount::new(16).expect("16 is a number of shards");
        let map = ShardMap::all_here(shards);
        assert!(shards.iter().all(|shard| map.owner(shard) == Some(Owner::Here)));
        assert_eq!(map.owner(ShardId(16)), None);
    }
}
