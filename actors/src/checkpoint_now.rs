//! A checkpoint when an operator asks for one: before a node is stopped for long, or a data folder is copied.
//!
//! Invariant: what is answered is a watermark that is durable. A shard that dies meanwhile answers nothing.

use holdfast_core::ShardId;
use tokio::sync::oneshot;

use crate::{
    message::{Envelope, Internal},
    node::{Node, ShardReport},
    role::Role,
};

/// How far a shard's snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpointed {
    /// Which shard.
    pub shard: ShardId,
    /// Every record up to here is in its snapshots. `None`: the shard failed or changed hands before it was done.
    pub watermark: Option<u64>,
}

impl Node {
    /// Has the shards that this node owns (or `only` that one) write a checkpoint of everything up to now, and waits until it
    /// is durable. Shards that are not here or not open are left out.
    ///
    /// A shard with an entity out of service keeps its watermark: the answer is the old one.
    pub async fn checkpoint_now(&self, only: Option<ShardId>) -> Vec<Checkpointed> {
        let mut asked = Vec::new();
        for ShardReport { shard, is_open, .. } in self.shards() {
            let is_wanted = only.is_none_or(|only| only == shard);
            let owned = self.mailbox(shard).filter(|_| is_wanted && is_open && self.role(shard) == Role::Owner);
            if let Some(mailbox) = owned {
                let (sender, receiver) = oneshot::channel();
                mailbox.deliver(Envelope::Internal(Internal::CheckpointNow(sender)));
                asked.push((shard, receiver));
            }
        }
        let mut done = Vec::with_capacity(asked.len());
        for (shard, receiver) in asked {
            done.push(Checkpointed { shard, watermark: receiver.await.ok() });
        }
        done
    }
}
