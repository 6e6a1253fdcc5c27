//! Who owns which shard, as far as this node has read the streams: the last record of an epoch says it.
//!
//! Invariants: an epoch never goes back. What is here may be behind, so it only says whom to ask: the owner itself knows
//! whether it is one, and an append whether that is so.

use holdfast_core::{ShardCount, ShardId};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::boot::BootId;

/// Whose a shard is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ownership {
    /// The epoch it was taken over in; 0 when it never was.
    pub epoch: u64,
    /// Who took it over. `None` when nobody did, or when the record that says so was purged before this node read it.
    pub boot: Option<BootId>,
    /// Whether that is this very process, and it has not let go of it.
    pub is_here: bool,
}

/// Every shard's owner.
#[derive(Debug)]
pub struct Owners {
    shards: ShardCount,
    known: Vec<RwLock<Ownership>>,
    changes: watch::Sender<u64>,
}

impl Owners {
    /// Nobody's shards.
    pub fn none(shards: ShardCount) -> Self {
        let known = shards.iter().map(|_| RwLock::default()).collect();
        Self { shards, known, changes: watch::Sender::new(0) }
    }

    /// How many shards there are.
    pub fn shards(&self) -> ShardCount {
        self.shards
    }

    /// Whose the shard is; nobody's beyond the last one.
    pub fn of(&self, shard: ShardId) -> Ownership {
        self.known.get(usize::from(shard.0)).map_or_else(Ownership::default, |owner| *owner.read())
    }

    /// Whether this process owns it.
    pub fn is_here(&self, shard: ShardId) -> bool {
        self.of(shard).is_here
    }

    /// Takes in that `boot` began `epoch`. An earlier epoch than the known one changes nothing, and the same one does not
    /// make a shard that was let go this node's again.
    pub fn learn(&self, shard: ShardId, epoch: u64, boot: BootId) {
        self.update(shard, |owner| {
            let is_news = epoch > owner.epoch || (epoch == owner.epoch && owner.boot.is_none());
            if is_news {
                *owner = Ownership { epoch, boot: Some(boot), is_here: false };
            }
            is_news
        });
    }

    /// Takes in that `epoch` has begun, by whomever.
    pub fn learn_epoch(&self, shard: ShardId, epoch: u64) {
        self.update(shard, |owner| {
            let is_news = epoch > owner.epoch;
            if is_news {
                *owner = Ownership { epoch, boot: None, is_here: false };
            }
            is_news
        });
    }

    /// This process has taken the shard over in `epoch`. `false` when a later epoch is known.
    pub fn take(&self, shard: ShardId, epoch: u64, boot: BootId) -> bool {
        self.update(shard, |owner| {
            let is_latest = epoch >= owner.epoch;
            if is_latest {
                *owner = Ownership { epoch, boot: Some(boot), is_here: true };
            }
            is_latest
        })
    }

    /// This process appends to the shard no more. Who owns it is known once the next one has taken it over.
    pub fn let_go(&self, shard: ShardId) {
        self.update(shard, |owner| std::mem::replace(&mut owner.is_here, false));
    }

    /// Tells whenever anything changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn update(&self, shard: ShardId, change: impl FnOnce(&mut Ownership) -> bool) -> bool {
        let Some(owner) = self.known.get(usize::from(shard.0)) else { return false };
        let has_changed = change(&mut owner.write());
        if has_changed {
            self.changes.send_modify(|count| *count += 1);
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_epoch_changes_nothing_and_what_was_let_go_stays_so() {
        let owners = Owners::none(ShardCount::new(2).expect("two shards"));
        let (shard, this, other) = (ShardId(1), BootId::from_bytes([1; 16]), BootId::from_bytes([2; 16]));
        assert!(owners.take(shard, 3, this));
        assert!(owners.is_here(shard));
        owners.learn(shard, 2, other);
        assert!(owners.is_here(shard), "an earlier epoch");
        owners.let_go(shard);
        owners.learn(shard, 3, this);
        assert!(!owners.is_here(shard), "its own record, read again");
        owners.learn_epoch(shard, 3);
        assert_eq!(owners.of(shard).boot, Some(this), "it is known who began it");
        let changes = owners.changes();
        owners.learn(shard, 4, other);
        assert_eq!(owners.of(shard), Ownership { epoch: 4, boot: Some(other), is_here: false });
        assert!(changes.has_changed().expect("the sender lives"));
        assert!(!owners.take(shard, 3, this), "overtaken meanwhile");
        assert!(!owners.take(ShardId(2), 1, this), "there is no such shard");
        owners.learn_epoch(shard, 5);
        assert_eq!(owners.of(shard), Ownership { epoch: 5, boot: None, is_here: false });
        owners.learn(shard, 5, other);
        assert_eq!(owners.of(shard).boot, Some(other), "told by its owner");
    }
}
