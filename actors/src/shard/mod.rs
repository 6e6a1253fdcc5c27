//! The shard: the serial place where entities live and are decided. A plain value without threads, clocks or IO, so that an
//! actor, a recovery and a simulation drive the very same code.
//!
//! One turn: drain what waits -> run what is due -> decide and apply each message -> hand records to the journal and
//! everything else to the output gate. Nothing is awaited inside a turn, and the turn has one `now`.
//!
//! Invariant: a request's events are journaled together or not at all, and memory never keeps what the journal will not.

mod agenda;
mod checkpoint;
mod chunked_queue;
mod following;
mod meter;
mod parted;
mod place;
mod pursuit;
mod recover;
mod residence;
mod serve;
mod table;
mod weight;

use std::{
    collections::BTreeSet,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use holdfast_core::{EntityId, OrderId, ShardCount, ShardId, Timestamp};
use holdfast_persistence::{AppendError, Batch, Journal, Record, SnapshotStore};

use self::{
    checkpoint::Checkpointing,
    chunked_queue::ChunkedQueue,
    following::Charge,
    meter::{ShardMetrics, Tally},
    pursuit::Pursuit,
    table::{Hosted, Live, Tables},
};
use crate::{
    error::CommandError,
    fatal::Fatal,
    gate::{Gate, Output},
    id_map::IdMap,
    message::{Envelope, Outcome, Reply},
    payment::Backoff,
    releases::Releases,
    settings::RuntimeSettings,
    view::ViewUpdate,
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
    pub(crate) shards: ShardCount,
    pub(crate) settings: Arc<RuntimeSettings>,
    pub(crate) backoff: Backoff,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) fatal: Fatal,
    /// Where a batch's answers are let out once it is durable.
    pub(crate) releases: Arc<Releases>,
    /// Entities in memory over all shards of the node.
    pub(crate) population: Arc<AtomicUsize>,
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
    /// Deadlines of entities: never later than the entity's own.
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
    charge: Charge,

    metrics: ShardMetrics,
    /// What the node's count has of this shard's entities.
    reported: usize,
    /// Requests served so far.
    requests: u64,

    // Of this turn.
    tally: Tally,
    /// The turn's records. Its room is kept from turn to turn: a fresh large block each turn costs more than the turn.
    batch: Batch,
    /// About the size of its records in the journal.
    staged_bytes: usize,
    output: Output,
    unseen: Vec<EntityId>,
    /// Entities the current message has changed: rebuilt if it panics.
    touching: Vec<EntityId>,
    /// The entity that decides or applies right now: to blame for a panic.
    current: Option<EntityId>,
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.parts.population.fetch_sub(self.reported, Ordering::Relaxed);
    }
}

impl Shard {
    pub(crate) fn new(parts: ShardParts, now: Timestamp) -> Self {
        let checkpointing = Checkpointing::new(now);
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
            charge: Charge::default(),
            metrics: ShardMetrics::new(),
            reported: 0,
            requests: 0,
            tally: Tally::default(),
            batch: Batch { shard: id, first_seq: 1, records: Vec::new() },
            staged_bytes: 0,
            output: Output::default(),
            unseen: Vec::new(),
            touching: Vec::new(),
            current: None,
        }
    }

    /// Takes one turn at `now` over `inbox`, which is emptied up to the turn's limit of messages.
    pub(crate) fn turn(&mut self, inbox: &mut impl Iterator<Item = Envelope>, now: Timestamp, gate: &Arc<Gate>) {
        self.now = now.max(self.now);
        if self.charge.is_ours() {
            self.run_due();
        }
        for envelope in inbox.take(self.parts.settings.turn_messages) {
            self.receive(envelope);
            if self.is_full() {
                break;
            }
        }
        self.sweep_idle();
        self.checkpoint_slice();
        self.hand_over(gate);
        self.note_charge(gate);
        if let Some(done) = self.drained.take() {
            // Whoever drained the node may have given up waiting.
            let _ = done.send(());
        }
        self.report_population();
    }

    /// Whether the turn's batch has come near the journal's limit: the rest waits for the next turn.
    fn is_full(&self) -> bool {
        self.staged_bytes >= self.parts.settings.turn_bytes
    }

    /// Adds to the node's count what this shard's has changed by.
    fn report_population(&mut self) {
        let live = self.tables.live_count();
        if live >= self.reported {
            self.parts.population.fetch_add(live - self.reported, Ordering::Relaxed);
        } else {
            self.parts.population.fetch_sub(self.reported - live, Ordering::Relaxed);
        }
        self.reported = live;
    }

    /// When the next turn is wanted if nobody writes; the past when work is left over.
    pub(crate) fn next_due(&self) -> Timestamp {
        if self.checkpointing.has_more() {
            return self.now;
        }
        let is_ours = self.charge.is_ours();
        let deadline = self.agenda.first().filter(|_| is_ours).map(|(due, _)| *due);
        let retry = self.retries.first().filter(|_| is_ours).map(|(due, _)| *due);
        let checkpoint = self.checkpointing.due(&self.parts.settings);
        let idle = self.idle_due();
        [deadline, retry, checkpoint, idle].into_iter().flatten().min().unwrap_or(Timestamp::MAX)
    }

    /// Whether another turn would have work although nothing new arrived. What the journal refuses waits for the next tick.
    pub(crate) fn has_more_now(&self) -> bool {
        self.next_due() <= self.now && self.parts.journal.writable(self.parts.id).is_ok()
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

    fn receive(&mut self, envelope: Envelope) {
        let Some(envelope) = self.turn_away(envelope) else { return };
        let Some(envelope) = self.park_if_unready(envelope) else { return };
        match envelope {
            Envelope::Internal(internal) => self.note(internal),
            Envelope::Message(message) => {
                let handled = self.guarded(message.entity(), |shard| {
                    shard.hear(message);
                    Ok(Reply::Done)
                });
                if let Err(error) = handled {
                    tracing::warn!(shard = self.parts.id.0, %error, "a message between shards was not taken in");
                }
            }
            Envelope::Request { request, port } => {
                if port.sender.is_closed() {
                    return; // The caller hung up before its turn came: nothing was decided, nothing is owed.
                }
                self.requests += 1;
                let admitted = if request.writes() { self.writable() } else { Ok(()) };
                let outcome = admitted.and_then(|()| self.guarded(request.entity(), |shard| shard.serve(request)));
                if matches!(outcome, Err(CommandError::Rejected(_))) {
                    self.tally.rejected += 1;
                }
                self.output.answers.push((port, outcome));
            }
        }
    }

    /// Runs one message's work. A panic undoes it whole: its records are dropped and every entity it touched is rebuilt. It
    /// is blamed on the entity that was deciding or applying, or else on the one the message was `addressed` to.
    fn guarded(&mut self, addressed: EntityId, work: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let (records, outgoing) = (self.batch.records.len(), self.output.outgoing.len());
        let staged_bytes = self.staged_bytes;
        self.touching.clear();
        self.current = None;
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            self.batch.records.truncate(records);
            self.staged_bytes = staged_bytes;
            let unsent = self.output.outgoing.split_off(outgoing);
            self.forget_asked(&unsent);
            let blamed = self.current.take().unwrap_or(addressed);
            Err(self.after_panic(blamed))
        })
    }

    fn probe(&mut self, entity: EntityId) {
        if let Some(probe) = &self.parts.probe {
            let probe = Arc::clone(probe);
            self.current = Some(entity.clone());
            probe(&entity);
        } else {
            self.current = Some(entity);
        }
    }

    /// What the entity says to a command. An entity that does not exist is asked in its vacant state.
    fn decide<E: Hosted>(&mut self, key: &E::Key, command: E::Command) -> Result<Vec<E::Event>, E::Rejection> {
        self.probe(E::address(key));
        match E::table(&self.tables).get(key) {
            Some(entity) => entity.decide(command, self.now),
            None => E::vacant(key).decide(command, self.now),
        }
    }

    /// Applies an entity's facts and stages them for the journal.
    fn commit<E: Hosted>(&mut self, key: &E::Key, events: Vec<E::Event>) {
        if events.is_empty() {
            return;
        }
        let address = E::address(key);
        self.touching.push(address.clone());
        self.probe(address.clone());
        let now = self.now;
        let table = E::table_mut(&mut self.tables);
        let mut is_new = false;
        let live = table.live.get_or_insert_with(key.clone(), |key| {
            is_new = true;
            Box::new(Live::new(E::vacant(key), now))
        });
        for event in events {
            live.entity.apply(&event);
            let version = live.entity.version();
            let event = E::journaled(event);
            self.staged_bytes += weight::weight(&event);
            self.batch.records.push(Record { entity: address.clone(), version, at: now, event });
        }
        live.touched = now;
        if !mem::replace(&mut live.dirty, true) {
            self.checkpointing.note_dirty(address.clone());
        }
        if !mem::replace(&mut live.unseen, true) {
            self.unseen.push(address.clone());
        }
        Self::schedule(&mut self.agenda, &address, live, now);
        if is_new {
            self.watch_idle(address);
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
            Err(Unwritable::Poisoned) => refuse(Unavailable::StorageFailed),
        }
    }

    /// Ends the turn: records to the journal, everything else to the gate.
    fn hand_over(&mut self, gate: &Arc<Gate>) {
        self.collect_views();
        self.staged_bytes = 0;
        let output = mem::replace(&mut self.output, gate.spare());
        let count = self.batch.records.len();
        self.metrics.note_turn(&mem::take(&mut self.tally), count, output.answers.len());
        self.batch.first_seq = self.sequence + 1;
        self.sequence += count as u64;
        // Only what was followed is known to be durable: what was decided here before the shard was given up may be on its way.
        if let Some(followed) = self.charge.take_followed() {
            gate.advance(followed);
        }
        if !output.is_empty() || count > 0 {
            gate.submit(self.sequence, output);
        }
        if count == 0 {
            return;
        }
        let (gate, fatal) = (Arc::clone(gate), self.parts.fatal.clone());
        let releases = Arc::clone(&self.parts.releases);
        let (last, shard) = (self.sequence, self.parts.id);
        self.parts.journal.append(
            &self.batch,
            Box::new(move |written| match written {
                Ok(()) => releases.durable(gate, last),
                Err(error @ AppendError::Failed(_)) => {
                    gate.refuse(true);
                    fatal.raise(&error.to_string());
                }
                // The journal goes on without this batch, so the shard that decided it must not: it dies and is replayed.
                Err(error) => {
                    tracing::error!(shard = shard.0, %error, "the journal did not take a batch");
                    gate.refuse(false);
                    fatal.wake(shard);
                }
            }),
        );
        self.batch.records.clear();
    }

    fn collect_views(&mut self) {
        let mut unseen = mem::take(&mut self.unseen);
        for address in unseen.drain(..) {
            let update = match &address {
                EntityId::Stock(sku) => self.tables.stock.live.get_mut(sku).map(|live| {
                    live.unseen = false;
                    ViewUpdate::of_stock(&live.entity)
                }),
                EntityId::Product(sku) => self.tables.products.live.get_mut(sku).map(|live| {
                    live.unseen = false;
                    ViewUpdate::of_product(&live.entity)
                }),
                EntityId::Order(order) => self.tables.orders.live.get_mut(order).and_then(|live| {
                    live.unseen = false;
                    if mem::replace(&mut live.listed, true) {
                        Some(ViewUpdate::of_order_status(&live.entity))
                    } else {
                        ViewUpdate::of_order(&live.entity)
                    }
                }),
                EntityId::Cart(cart) => {
                    if let Some(live) = self.tables.carts.live.get_mut(cart) {
                        live.unseen = false;
                    }
                    None
                }
            };
            self.output.views.extend(update);
        }
        self.unseen = unseen;
    }
}
