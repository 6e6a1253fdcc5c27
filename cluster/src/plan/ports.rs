//! What making the plan so needs of the rest: the node's shards, the journal, the control stream, and what carries beats.
//! Real nodes have them over NATS; the simulation has its own, which lose, delay and die.
//!
//! Invariant: everything here may fail or take long at any time, and may be carried out although it says that it failed.

use std::time::Duration;

use async_trait::async_trait;
use holdfast_actors::Role;
use holdfast_core::ShardId;

use super::document::{Plan, Revision};
use crate::{
    boot::BootId,
    members::beat::{Beat, Yielded},
};

/// What a node counts of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Entities, in memory or not, in number.
    pub entities: u64,
    /// Commands carried out since the node started, in number.
    pub commands: u64,
    /// Requests that wait or are under way, in number.
    pub mailbox_depth: u64,
    /// What its entities take in memory, about, in bytes.
    pub memory_bytes: u64,
    /// Its last record.
    pub sequence: u64,
}

/// A step towards the plan did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StepError(pub String);

/// The shards in this node's memory.
#[async_trait]
pub trait Shards: Send + Sync + 'static {
    /// What this node is to the shard.
    fn role(&self, shard: ShardId) -> Role;
    /// The last record the shard has.
    fn position(&self, shard: ShardId) -> u64;
    /// Its figures.
    fn counted(&self, shard: ShardId) -> Counted;
    /// Makes a shard that has every record up to `head` this node's.
    async fn take_ownership(&self, shard: ShardId, head: u64) -> Result<(), StepError>;
    /// Finishes what the shard has accepted, within `limit`, and makes it a follower. Its last record.
    async fn yield_shard(&self, shard: ShardId, limit: Duration) -> Result<u64, StepError>;
    /// Forgets what the shard holds that is not durable, and makes it a follower.
    fn demote(&self, shard: ShardId);
}

/// The streams of the shards.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Begins the shard's next epoch here, unless one after `epoch` has begun already. `clean`: its owner has let it go. The
    /// sequence number that the next record gets.
    async fn acquire(&self, shard: ShardId, clean: bool, epoch: u64) -> Result<u64, StepError>;
    /// Finishes what was to be appended, and appends nothing more. The sequence number that the next record gets.
    async fn release(&self, shard: ShardId) -> Result<u64, StepError>;
    /// Whether the shard's stream is still in this node's epoch, by a look that began now. `false`: another one has it.
    async fn confirm(&self, shard: ShardId) -> Result<bool, StepError>;
    /// Waits until the shard here was given every record before `next_seq` that another node appended.
    async fn caught_up(&self, shard: ShardId, next_seq: u64) -> Result<(), StepError>;
    /// Whether this node may append to the shard.
    fn owns(&self, shard: ShardId) -> bool;
    /// The sequence number that the next record gets.
    fn next_seq(&self, shard: ShardId) -> u64;
}

/// How writing the plan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is the plan now, with this revision.
    At(u64),
    /// The plan was another one meanwhile.
    Conflict,
}

/// Where the plan is kept.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// The plan, if there is one. It may be older than the last one.
    async fn read(&self) -> Result<Option<Revision>, StepError>;
    /// The revision of the last plan, by a look that began now; 0 when there is none.
    async fn newest(&self) -> Result<u64, StepError>;
    /// Makes `plan` the plan if revision `after` still is.
    async fn write(&self, after: u64, plan: &Plan) -> Result<Written, StepError>;
}

/// What carries words between nodes.
#[async_trait]
pub trait Air: Send + Sync + 'static {
    /// Tells everybody who listens, and a quorum of the servers: that it knows of this node is proved by `Ok`.
    async fn beat(&self, beat: &Beat) -> Result<(), StepError>;
    /// Tells one node, perhaps.
    async fn tell(&self, to: BootId, yielded: &Yielded) -> Result<(), StepError>;
}
