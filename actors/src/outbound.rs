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
    /// Have the snapshots' thread do something.
    Snapshots {
        /// Who asks.
        life: Life,
        /// What.
        task: SnapshotTask,
    },
    /// Read an entity from the snapshot store, or rebuild it from the journal, and hand it back.
    Load {
        /// Who asks.
        life: Life,
        /// Which entity.
        entity: EntityId,
        /// Whether the journal must be asked (after a panic), not only the snapshot store.
        rebuild: bool,
    },
}

/// One life of a shard, from its recovery to its end. What an earlier one asked for may be answered to a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Which shard.
    pub shard: ShardId,
    /// Which life: no two of a node have the same number.
    pub number: u64,
}

/// What the thread that writes snapshots does for a shard, in the order in which it is asked.
#[derive(Debug)]
pub enum SnapshotTask {
    /// Put what a checkpoint is to contain in the order of the store, and hand it back: then what is written together lies
    /// together.
    Arrange(ChunkedQueue<EntityId>),
    /// Write the snapshots of these entities as they were; their events are all durable by now. They are encoded where they are
    /// written: a hot SKU's takes longer than a turn may.
    Write(Vec<EntityState>),
    /// Move the shard's watermark here, after the snapshots before: they contain every record up to it.
    Watermark(u64),
}

/// Makes it happen. Called from a task of the runtime or a shard's turn: it must not block.
pub trait Outbound: Send + Sync + 'static {
    /// Takes everything out of `outgoing` and starts it, in order.
    fn send(&self, outgoing: &mut Vec<Outgoing>);
}
