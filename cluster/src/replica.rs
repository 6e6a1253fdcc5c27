//! Brings what other nodes made durable into this node's shards.
//!
//! Invariant: a shard gets its records in order, each message's when the one before was taken in. A shard that cannot be
//! followed any further takes the node with it: it would otherwise be a node that can never take the shard over.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use holdfast_actors::{Node, OwnershipError};
use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{JournalError, Record};

use crate::jetstream::{JetStreamJournal, NatsError, Tail, TailSink};

struct Replica(Arc<Node>);

/// Has every shard of `node`, which has recovered, follow its owner for as long as the tail lives.
///
/// # Errors
/// [`NatsError::Closed`], when the journal is being closed.
pub fn follow(node: &Arc<Node>, journal: &JetStreamJournal, shards: ShardCount) -> Result<Tail, NatsError> {
    let from: BTreeMap<ShardId, u64> = shards.iter().map(|shard| (shard, node.position(shard) + 1)).collect();
    let sink: Arc<dyn TailSink> = Arc::new(Replica(Arc::clone(node)));
    journal.tail(&from, &sink)
}

#[async_trait]
impl TailSink for Replica {
    async fn take(&self, shard: ShardId, records: Vec<(u64, Record)>) {
        match self.0.follow(shard, records).await {
            Ok(()) => {}
            Err(OwnershipError::Died) => tracing::debug!(shard = shard.0, "records came for a shard that is going"),
            Err(error) => tracing::error!(shard = shard.0, %error, "records were not taken in"),
        }
    }

    async fn broken(&self, shard: ShardId, error: JournalError) {
        let hint = match error {
            JournalError::Purged { .. } => {
                ": start the node again, and it fetches the snapshots from PostgreSQL, or from the archive in NATS"
            }
            _ => "",
        };
        let reason = format!("shard {} cannot be followed any further: {error}{hint}", shard.0);
        self.0.give_up(&reason);
    }
}
