//! The shard: the serial place where entities live and are decided. A plain value without threads, clocks or IO, so that an
//! actor, a recovery and a simulation drive the very same code.
//!
//! One turn: drain what waits -> run what is due -> decide and apply each message -> hand records to the journal and
//! everything else to the output gate. Nothing is awaited inside a turn, and the turn has one `now`.
//!
//! Invariant: a request's events are journaled together or not at all, and memory never keeps what the journal will not.

mod agenda;
mod ahead;
mod checkpoint;
mod following;
mod meter;
mod place;
mod pursuit;
mod recover;
mod residence;
mod rush;
mod serve;
mod staged;
mod table;
mod turn;
mod weight;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use holdfast_core::{EntityId, OrderId, ShardCount, ShardId, Timestamp};
use holdfast_persistence::{Journal, SnapshotStore};

use self::{
    checkpoint::Checkpointing, following::Ownership, meter::ShardMetrics, pursuit::Pursuit, staged::Staged,
    table::Tables,
};
use crate::{
    census::{Census, Share},
    chunked_queue::ChunkedQueue,
    error::CommandError,
    fatal::Fatal,
    id_map::IdMap,
    message::Envelope,
    outbound::Life,
    payment::Backoff,
    releases::Releases,
    settings::RuntimeSettings,
};

pub use self::{recover::ReplayError, residence::Residence};

/// Called with an entity's address before it decides or applies. A test's probe panics to poison an entity.
pub type Probe = Arc<dyn Fn(&EntityId) + Send + Sync>;

/// Figures of a shard, as of its last turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardFigures {
    /// Entities in memory.
    pub live: usize,
    /// Entities known by their snapshot only.
    pub cold: usize,
    /// Entities out of service after repeated panics.
    pub quarantined: usize,
    /// Orders that wait for stock elsewhere or for the gateway.
    pub pursuits: usize,
    /// The last journal sequence.
    pub sequence: u64,
    /// Every record up to here is in snapshots.
    pub watermark: u64,
    /// Requests of clients and other nodes that it has decided or answered since the node started.
    pub requests: u64,
    /// What its entities take in memory, about, in bytes: by their number and the mean of each kind, as measured.
    pub memory_bytes: u64,
}

/// What a shard is made with.
pub(crate) struct ShardParts {
    pub(crate) id: ShardId,
    /// The number of this life of it.
    pub(crate) life: u64,
    pub(crate) shards: ShardCount,
    pub(crate) settings: Arc<RuntimeSettings>,
    pub(crate) backoff: Backoff,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) fatal: Fatal,
    /// Where a batch's answers are let out once it is durable.
    pub(crate) releases: Arc<Releases>,
    /// What all shards of the node count together.
    pub(crate) census: Arc<Census>,
    pub(crate) probe: Option<Probe>,
    /// Where a shard that follows another owner finds what it has forgotten.
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
}

/// A shard with its entities.
pub(crate) struct Shard {
    parts: ShardParts,
    tables: Tables,
    now: Timestamp,
    /// The last sequence handed to the journal.
    sequence: u64,
    /// Deadlines of entities: never later than the entity's own, and some of SKUs that have none any more.
    agenda: BTreeSet<(Timestamp, EntityId)>,
    /// When to pursue an order's unanswered steps again.
    retries: BTreeSet<(Timestamp, OrderId)>,
    pursuits: IdMap<OrderId, Pursuit>,
    /// Carts and orders by when they were last seen touched: candidates for passivation.
    idle: ChunkedQueue<(Timestamp, EntityId)>,
    checkpointing: Checkpointing,
    strikes: IdMap<EntityId, u8>,
    quarantined: usize,
    draining: Option<tokio::sync::oneshot::Sender<()>>,
    /// Who waits for the drain, once its last snapshots are in the turn's output: told when the gate has that.
    drained: Option<tokio::sync::oneshot::Sender<()>>,
    /// Whether this node decides, or another one.
    ownership: Ownership,

    metrics: ShardMetrics,
    /// What the node's count has of this shard's entities.
    reported: Share,
    /// Requests served so far.
    requests: u64,
    /// What has waited for an entity that is here now, or for the shard to be this node's: it comes before everything that arrives later, in turns of bounded size as well.
    held_back: VecDeque<Envelope>,

    /// Of this turn.
    staged: Staged,
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.parts.census.report(&mut self.reported, Share::default());
    }
}

impl Shard {
    pub(crate) fn new(parts: ShardParts, now: Timestamp) -> Self {
        let checkpointing = Checkpointing::new(now, parts.census.records());
        let id = parts.id;
        Self {
            parts,
            tables: Tables::default(),
            now,
            sequence: 0,
            agenda: BTreeSet::new(),
            retries: BTreeSet::new(),
            pursuits: IdMap::default(),
            idle: ChunkedQueue::default(),
            checkpointing,
            strikes: IdMap::default(),
            quarantined: 0,
            draining: None,
            drained: None,
            ownership: Ownership::default(),
            metrics: ShardMetrics::new(),
            reported: Share::default(),
            requests: 0,
            held_back: VecDeque::new(),
            staged: Staged::new(id),
        }
    }

    /// Which life of which shard this is.
    fn life(&self) -> Life {
        Life { shard: self.parts.id, number: self.parts.life }
    }

    /// Tells the node's count what this shard has now.
    fn report_census(&mut self) {
        let now = Share { live: self.tables.live_count(), unsaved: self.checkpointing.unsaved() };
        self.parts.census.report(&mut self.reported, now);
    }

    /// When the next turn is wanted if nobody writes; the past when work is left over.
    pub(crate) fn next_due(&self) -> Timestamp {
        if self.has_more_to_checkpoint() {
            return self.now;
        }
        let is_ours = self.ownership.is_ours();
        let deadline = self.agenda.first().filter(|_| is_ours).map(|(due, _)| *due);
        let retry = self.retries.first().filter(|_| is_ours).map(|(due, _)| *due);
        let checkpoint = self.checkpoint_due();
        let idle = self.idle_due();
        [deadline, retry, checkpoint, idle].into_iter().flatten().min().unwrap_or(Timestamp::MAX)
    }

    /// Whether another turn would have work although nothing new arrived. What the journal refuses waits for the next tick.
    pub(crate) fn has_more_now(&self) -> bool {
        // A checkpoint appends nothing.
        let due = self.next_due() <= self.now && self.parts.journal.writable(self.parts.id).is_ok();
        due || !self.held_back.is_empty() || self.has_more_to_checkpoint()
    }

    pub(crate) fn figures(&self) -> ShardFigures {
        let tables = &self.tables;
        ShardFigures {
            live: tables.live_count(),
            cold: tables.carts.cold.len() + tables.orders.cold.len(),
            quarantined: self.quarantined,
            pursuits: self.pursuits.len(),
            sequence: self.sequence,
            watermark: self.checkpointing.watermark(),
            requests: self.requests,
            memory_bytes: tables.memory_bytes(),
        }
    }

    fn writable(&self) -> Result<(), CommandError> {
        use crate::error::Unavailable;
        use holdfast_persistence::Unwritable;
        let retry_after_ms = self.parts.settings.retry_after_ms;
        let refuse = |reason| Err(CommandError::Unavailable { reason, retry_after_ms });
        match self.parts.journal.writable(self.parts.id) {
            Ok(()) => Ok(()),
            Err(Unwritable::NoSpace) => refuse(Unavailable::StorageFull),
            Err(Unwritable::Unreachable) => refuse(Unavailable::StorageUnreachable),
            Err(Unwritable::Overtaken) => refuse(Unavailable::Moving),
            Err(Unwritable::Poisoned) => refuse(Unavailable::Leaving),
        }
    }
}
