//! One life of the node: opened on what the last one left on the disk, driven step by step, dropped when it dies.

use std::{
    collections::BTreeSet,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use holdfast_actors::{Clock, NodeParts, payment::PaymentSettings, shard::Probe, stepped::SteppedNode};
use holdfast_core::{EntityId, ShardId, Timestamp};
use holdfast_persistence::{
    Journal, Store, StoreId,
    journal::{JournalSteps, WriterStep, disk::Disk},
    store::StoreParts,
};
use parking_lot::Mutex;

use crate::{
    book::{Book, WatchedJournal},
    bus::{Bus, BusFaults},
    dice::Dice,
    disk::SimDisk,
    gateway::SimGateway,
    scenario::Scenario,
    snapshots::SimSnapshots,
    tasks::Tasks,
    trace::Trace,
};

/// Whose segments these are.
pub(crate) const STORE: StoreId = StoreId::from_bytes(*b"simulated store!");

/// What a process is started on.
pub(crate) struct Machine {
    pub(crate) disk: SimDisk,
    pub(crate) snapshots: SimSnapshots,
    pub(crate) gateway: SimGateway,
    pub(crate) clock: Clock,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) book: Book,
    pub(crate) bus: Arc<Mutex<BusFaults>>,
    /// Out of a million probes so many panic; how many did.
    pub(crate) panics: Arc<Panics>,
}

/// Panics inside turns.
#[derive(Debug, Default)]
pub(crate) struct Panics {
    pub(crate) per_million: AtomicU64,
    pub(crate) count: AtomicU64,
}

/// A living process.
pub(crate) struct Process {
    pub(crate) node: SteppedNode,
    pub(crate) steps: JournalSteps,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) tasks: Tasks,
    pub(crate) bus: Arc<Bus>,
    /// A slow sync returns then.
    pub(crate) sync_at: Timestamp,
    /// A full disk is tried again then.
    pub(crate) prepare_at: Timestamp,
    pub(crate) last_tick: Timestamp,
    /// Shards that have recovered and not taken a turn since.
    pub(crate) recovered: BTreeSet<ShardId>,
    /// Whether everything is to be compared once those have taken their turn.
    pub(crate) check_due: bool,
}

impl Machine {
    /// Starts a process.
    ///
    /// # Errors
    /// In words, when it refuses to start or dies on the way.
    pub(crate) fn start(&self, scenario: &Scenario) -> Result<Process, String> {
        let (store, steps) = Store::open_stepped(self.store_parts(scenario, Arc::new(self.disk.clone())))
            .map_err(|error| chain(&error))?;
        let journal = Arc::clone(&store.journal);
        let watched = WatchedJournal { journal: Arc::clone(&journal), book: self.book.clone() };
        let store = Store { journal: Arc::new(watched), ..store };
        let tasks = Tasks::new(self.clock.clone());
        let parts = NodeParts {
            settings: scenario.settings.clone(),
            payments: PaymentSettings::default(),
            store,
            gateway: Arc::new(self.gateway.clone()),
            clock: self.clock.clone(),
            lease: holdfast_actors::Lease::perpetual(),
            probe: Some(self.probe()),
        };
        let mut bus = None;
        let mut node = SteppedNode::open(parts, Arc::new(tasks.clone()), |shards, mailboxes| {
            let (faults, dice) = (Arc::clone(&self.bus), self.dice.clone());
            let made = Arc::new(Bus::new(shards, mailboxes, faults, dice, self.clock.clone(), self.trace.clone()));
            bus = Some(Arc::clone(&made));
            made
        })
        .map_err(|error| chain(&error))?;
        let bus = bus.ok_or("the node asked for no router")?;
        node.recover().map_err(|error| chain(&error))?;
        let now = self.clock.now();
        let recovered = scenario.shards.iter().collect();
        Ok(Process {
            node,
            steps,
            journal,
            tasks,
            bus,
            sync_at: now,
            prepare_at: now,
            last_tick: now,
            recovered,
            check_due: true,
        })
    }

    /// What a store is opened on, with these segments.
    pub(crate) fn store_parts(&self, scenario: &Scenario, disk: Arc<dyn Disk>) -> StoreParts {
        StoreParts {
            disk,
            snapshots: Arc::new(self.snapshots.clone()),
            store: STORE,
            shards: scenario.shards,
            journal: scenario.journal.clone(),
        }
    }

    fn probe(&self) -> Probe {
        let (dice, panics, trace) = (self.dice.clone(), Arc::clone(&self.panics), self.trace.clone());
        Arc::new(move |entity: &EntityId| {
            let chance = panics.per_million.load(Ordering::Relaxed);
            if dice.per_million(chance) {
                panics.count.fetch_add(1, Ordering::Relaxed);
                trace.note("fault: panic", u64::from(entity.slot().0), 0);
                // Without the panic hook: nobody wants thousands of messages of panics that were asked for.
                resume_unwind(Box::new("simulated"));
            }
        })
    }
}

impl Process {
    /// Whether the journal's writer could go on now.
    pub(crate) fn can_write(&self, now: Timestamp) -> bool {
        match self.steps.next_step() {
            None => false,
            Some(WriterStep::Sync) => self.sync_at <= now,
            Some(WriterStep::Write | WriterStep::Tell) => true,
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
