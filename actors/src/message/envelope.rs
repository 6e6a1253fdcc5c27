//! What lies in a shard's mailbox: clients' requests, other shards' messages, and what its own background work reports.

use holdfast_core::{
    CartId, EntityId, HoldId, OrderId, SkuId, Timestamp,
    order::{GatewayCall, OrderCommand, StockAction},
};
use holdfast_persistence::{EntityState, Record};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{ReplyPort, Request};

/// What lies in a shard's mailbox.
#[derive(Debug)]
pub enum Envelope {
    /// A client's request.
    Request {
        /// What.
        request: Request,
        /// Where the answer goes.
        port: ReplyPort,
    },
    /// A message from another shard or from the payment driver.
    Message(Message),
    /// Something the shard's own background work reports.
    Internal(Internal),
}

/// What crosses shards: at least once, in any order, deduplicated by the receiver.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// An order asks stock for a step.
    StockStep {
        /// The hold, and so the order and its line.
        hold: HoldId,
        /// Which SKU.
        sku: SkuId,
        /// What to do.
        action: StockAction,
    },
    /// Stock or the payment gateway answers an order.
    OrderAnswer {
        /// Which order.
        order: OrderId,
        /// The answer, as a command.
        command: OrderCommand,
    },
    /// A gateway call did not get an answer: try again later.
    GatewayFailed {
        /// Which order.
        order: OrderId,
        /// Which call.
        call: GatewayCall,
    },
    /// A cart whose checkout attempt ran out asks whether its order came to be.
    ResolveCheckout {
        /// The cart.
        cart: CartId,
        /// Its order.
        order: OrderId,
        /// The attempt's deadline, past by now: whoever has not placed the order under it never will.
        deadline: Timestamp,
    },
    /// The answer to that.
    CheckoutResolved {
        /// The cart.
        cart: CartId,
        /// Its order.
        order: OrderId,
        /// The deadline of the attempt that was asked about. A later attempt is not spoken of.
        deadline: Timestamp,
        /// Whether it exists.
        placed: bool,
    },
    /// Give a hold back: its checkout failed elsewhere.
    ReleaseHold {
        /// Which SKU.
        sku: SkuId,
        /// Which hold.
        hold: HoldId,
        /// When it lapses, as its attempt was told. A later attempt under the same key has taken the hold over and set it
        /// anew: then it is not this one's to give back.
        expires_at: Timestamp,
    },
}

impl Message {
    /// The entity it is told to.
    pub(crate) fn entity(&self) -> EntityId {
        match self {
            Self::StockStep { sku, .. } | Self::ReleaseHold { sku, .. } => EntityId::Stock(sku.clone()),
            Self::OrderAnswer { order, .. }
            | Self::GatewayFailed { order, .. }
            | Self::ResolveCheckout { order, .. } => EntityId::Order(*order),
            Self::CheckoutResolved { cart, .. } => EntityId::Cart(*cart),
        }
    }
}

/// How far the thread that writes snapshots is with what a shard has asked for.
#[derive(Debug)]
pub enum SnapshotProgress {
    /// These are what the checkpoint under way contains, in the order of the store, each once.
    Arranged(Vec<EntityId>),
    /// The store is done with these of the states it was handed.
    Written {
        /// Those whose snapshots are durable, at these versions: they may leave memory.
        saved: Vec<(EntityId, u64)>,
        /// Those that could not be written.
        unsaved: Vec<EntityId>,
    },
    /// The checkpoint under way is over.
    Checkpointed {
        /// Every record up to here is in the snapshots; 0 when the watermark could not be moved.
        watermark: u64,
    },
}

/// What a shard's own background work reports to it.
#[derive(Debug)]
pub enum Internal {
    /// An entity was read from the snapshot store or rebuilt from the journal.
    Loaded {
        /// For which life of the shard.
        life: u64,
        /// Which.
        entity: EntityId,
        /// Its state; `None` when it does not exist; the error in words when it could not be read.
        state: Box<Result<Option<EntityState>, String>>,
    },
    /// What became of what the snapshots' thread was asked for.
    Snapshots {
        /// By which life of the shard.
        life: u64,
        /// What became of it.
        progress: SnapshotProgress,
    },
    /// Write a checkpoint of everything up to now, and say up to where the snapshots then go.
    CheckpointNow(oneshot::Sender<u64>),
    /// Stop taking requests, write everything out, and say so.
    Drain(oneshot::Sender<()>),
    /// Records that another node has made durable, in order; said once they are taken in.
    Followed {
        /// With their sequence numbers.
        records: Vec<(u64, Record)>,
        /// Who waits.
        done: oneshot::Sender<()>,
    },
    /// The shard is this node's from here on, if it has taken in everything up to `head`.
    TakeOwnership {
        /// The last sequence number there is.
        head: u64,
        /// Who waits: how far the shard is, if that is not there.
        done: oneshot::Sender<Result<(), u64>>,
    },
    /// Finish what was accepted, and decide nothing more: another node will. Says the last sequence number.
    Yield(oneshot::Sender<u64>),
}
