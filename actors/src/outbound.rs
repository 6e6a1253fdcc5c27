//! What leaves a shard besides answers: messages to other shards, calls to the payment gateway, snapshots. The shard only
//! says what shall happen; a driver on the runtime (or a simulation) makes it happen, after the gate has let it out.

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::EntityState;

use crate::{chunked_queue::ChunkedQueue, message::Message, payment::GatewayRequest};

/// One thing to be done outside the shard.
#[derive(Debug)]
pub enum Outgoing {
    /// Tell another shard.
    Message {
        /// Which.
        to: ShardId,
        /// What.
        message: Message,
    },
    /// Call the payment gateway.
    Gateway(GatewayRequest),
    /// Put what a checkpoint is to contain in the order of the store, and hand it back: then what is written together lies
    /// together.
    Arrange {
        /// Of which shard.
        shard: ShardId,
        /// The record it goes up to, which names the checkpoint.
        sequence: u64,
        /// The entities.
        entities: ChunkedQueue<EntityId>,
    },
    /// Write snapshots, whose events are all durable by now.
    Snapshots {
        /// Of which shard.
        shard: ShardId,
        /// The entities as they were. They are encoded where they are written: a hot SKU's takes longer than a turn may.
        states: Vec<EntityState>,
    },
    /// Move the shard's watermark, after the snapshots before it.
    Watermark {
        /// Of which shard.
        shard: ShardId,
        /// Every record up to here is contained in snapshots.
        sequence: u64,
    },
    /// Read an entity from the snapshot store, or rebuild it from the journal, and hand it back.
    Load {
        /// Of which shard.
        shard: ShardId,
        /// Which entity.
        entity: EntityId,
        /// Whether the journal must be asked (after a panic), not only the snapshot store.
        rebuild: bool,
    },
}

/// Makes it happen. Called from a task of the runtime or a shard's turn: it must not block.
pub trait Outbound: Send + Sync + 'static {
    /// Takes everything out of `outgoing` and starts it, in order.
    fn send(&self, outgoing: &mut Vec<Outgoing>);
}
