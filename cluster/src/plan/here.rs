//! The node's shards and its journal, as the reconciler sees them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use holdfast_actors::{Node, Role};
use holdfast_core::ShardId;
use holdfast_persistence::Journal as _;

use super::ports::{Counted, Log, Shards, StepError};
use crate::jetstream::JetStreamJournal;

/// The shards of a running node.
pub struct NodeShards(pub Arc<Node>);

/// The journal of a running node.
pub struct JournalLog(pub Arc<JetStreamJournal>);

#[async_trait]
impl Shards for NodeShards {
    fn role(&self, shard: ShardId) -> Role {
        self.0.role(shard)
    }

    fn position(&self, shard: ShardId) -> u64 {
        self.0.position(shard)
    }

    fn counted(&self, shard: ShardId) -> Counted {
        let Some(report) = self.0.shard(shard) else { return Counted::default() };
        let figures = report.figures;
        Counted {
            entities: (figures.live + figures.cold) as u64,
            commands: figures.requests,
            mailbox_depth: report.mailbox_depth as u64,
            memory_bytes: figures.memory_bytes,
            sequence: figures.sequence,
        }
    }

    async fn take_ownership(&self, shard: ShardId, head: u64) -> Result<(), StepError> {
        self.0.take_ownership(shard, head).await.map_err(|error| StepError(error.to_string()))
    }

    async fn yield_shard(&self, shard: ShardId, limit: Duration) -> Result<u64, StepError> {
        self.0.yield_shard(shard, limit).await.map_err(|error| StepError(error.to_string()))
    }

    fn demote(&self, shard: ShardId) {
        self.0.demote(shard);
    }
}

#[async_trait]
impl Log for JournalLog {
    async fn acquire(&self, shard: ShardId, clean: bool, epoch: u64) -> Result<u64, StepError> {
        let acquired = self.0.acquire_from(shard, clean, epoch).await;
        acquired.map(|acquired| acquired.next_seq).map_err(|error| StepError(error.to_string()))
    }

    async fn release(&self, shard: ShardId) -> Result<u64, StepError> {
        let released = self.0.release(shard).await;
        released.map(|released| released.next_seq).map_err(|error| StepError(error.to_string()))
    }

    async fn confirm(&self, shard: ShardId) -> Result<bool, StepError> {
        self.0.confirm(shard).await.map_err(|error| StepError(error.to_string()))
    }

    async fn caught_up(&self, shard: ShardId, next_seq: u64) -> Result<(), StepError> {
        self.0.caught_up(shard, next_seq).await.map_err(|error| StepError(error.to_string()))
    }

    fn owns(&self, shard: ShardId) -> bool {
        self.0.owns(shard)
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        self.0.next_seq(shard)
    }
}
