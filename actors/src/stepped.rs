//! A node without threads: whoever drives it takes every turn, every snapshot and every recovery by a call, and makes its
//! tasks run. That is how a simulation runs the real node in one thread, in any order that threads could run it in.
//!
//! Invariant: the steps are the production node's own. Nothing here decides, journals or lets anything out; it only says
//! when.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{Arc, mpsc},
};

use holdfast_core::{EntityId, ShardCount, ShardId, Timestamp};
use holdfast_persistence::Store;

use crate::{
    actor::ShardRun,
    background::Background,
    commerce::Commerce,
    mailbox::Mailbox,
    node::{NodeCore, NodeError, NodeParts},
    recovery::RecoverySummary,
    retention::Retention,
    router::Router,
    shard::{Residence, ShardFigures},
    snapshot_writer::{Job, Writer},
};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The shard took it.
    Taken,
    /// The shard died: its gate had failed. [`SteppedNode::revive`] brings it back.
    Died,
}

/// A node that is driven by hand.
pub struct SteppedNode {
    core: Arc<NodeCore>,
    commerce: Commerce,
    /// Every shard that is alive, by number.
    runs: Vec<Option<ShardRun>>,
    jobs: mpsc::Receiver<Job>,
    waiting: RefCell<VecDeque<Job>>,
    snapshots: Writer,
    _store: Store,
}

impl SteppedNode {
    /// Puts a node together, as [`Node::open`](crate::Node::open) does. Its tasks run in `background`.
    ///
    /// # Errors
    /// [`NodeError::Setting`] for a senseless setting.
    pub fn open(
        parts: NodeParts,
        background: Arc<dyn Background>,
        router: impl FnOnce(ShardCount, Arc<[Arc<Mailbox>]>) -> Arc<dyn Router>,
    ) -> Result<Self, NodeError> {
        let (sender, jobs) = mpsc::channel();
        let (core, commerce, store) = NodeCore::assemble(parts, background, 1, sender, router)?;
        let retention = Retention::new(Arc::clone(&store.journal), store.snapshots.as_ref(), store.shards);
        let snapshots = Writer::new(
            Arc::clone(&store.snapshots),
            retention,
            Arc::clone(&core.mailboxes),
            core.settings.snapshot_batch,
        );
        let runs = core.mailboxes.iter().map(|_| None).collect();
        Ok(Self { core, commerce, runs, jobs, waiting: RefCell::default(), snapshots, _store: store })
    }

    /// Brings every shard back.
    ///
    /// # Errors
    /// As [`Node::recover`](crate::Node::recover).
    pub fn recover(&mut self) -> Result<RecoverySummary, NodeError> {
        for run in self.core.recover_all()? {
            self.start(run);
        }
        self.core.views.settle();
        Ok(self.core.progress.so_far())
    }

    /// The facade.
    pub fn commerce(&self) -> &Commerce {
        &self.commerce
    }

    /// Why the node has failed, if it has: its process must then leave.
    pub fn failure(&self) -> Option<String> {
        self.core.fatal.reason()
    }

    /// Tells every shard the time, as the node's ticker does.
    pub fn tick(&self) {
        let now = self.core.clock.now();
        self.core.mailboxes.iter().for_each(|mailbox| mailbox.tick(now));
    }

    /// When the next shard wants a turn although nobody writes.
    pub fn next_due(&self) -> Timestamp {
        let alive = self.core.mailboxes.iter().zip(&self.runs).filter(|(_, run)| run.is_some());
        alive.map(|(mailbox, _)| mailbox.next_due()).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether the shard is alive and was woken.
    pub fn wants_turn(&self, shard: ShardId) -> bool {
        let index = usize::from(shard.0);
        let is_alive = self.runs.get(index).is_some_and(Option::is_some);
        is_alive && self.core.mailboxes.get(index).is_some_and(|mailbox| mailbox.is_woken())
    }

    /// Lets the shard take its turns over what waits in its mailbox.
    pub fn turn(&mut self, shard: ShardId) -> Turn {
        let Some(slot) = self.runs.get_mut(usize::from(shard.0)) else { return Turn::Died };
        let Some(Ok(has_more)) = slot.as_mut().map(ShardRun::wake) else {
            *slot = None;
            return Turn::Died;
        };
        if has_more && let Some(run) = slot {
            run.mailbox.wake();
        }
        Turn::Taken
    }

    /// Kills a shard, as a panic outside a message's work does.
    pub fn kill(&mut self, shard: ShardId) {
        if let Some(slot) = self.runs.get_mut(usize::from(shard.0)) {
            *slot = None;
        }
    }

    /// Whether the shard is dead and everything it had handed to the journal is durable, so that it can come back.
    pub fn can_revive(&self, shard: ShardId) -> bool {
        let is_dead = self.runs.get(usize::from(shard.0)).is_some_and(Option::is_none);
        is_dead && self.core.is_quiet(shard)
    }

    /// Brings a dead shard back, as its supervisor does.
    ///
    /// # Errors
    /// As [`SteppedNode::recover`]; the production node then fails as a whole.
    pub fn revive(&mut self, shard: ShardId) -> Result<(), NodeError> {
        let run = self.core.recover_one(shard)?;
        self.start(run);
        Ok(())
    }

    /// Snapshot jobs that wait.
    pub fn snapshot_jobs(&self) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend(self.jobs.try_iter());
        waiting.len()
    }

    /// Carries out the oldest snapshot job, if there is one.
    pub fn write_snapshots(&mut self) {
        if self.snapshot_jobs() > 0
            && let Some(job) = self.waiting.get_mut().pop_front()
        {
            self.snapshots.carry_out(job);
            if self.snapshot_jobs() == 0 {
                self.snapshots.flush();
            }
        }
    }

    /// How a shard has an entity; `None` when the shard is dead.
    pub fn residence(&self, shard: ShardId, entity: &EntityId) -> Option<Residence<'_>> {
        let run = self.runs.get(usize::from(shard.0))?.as_ref()?;
        Some(run.shard.residence(entity))
    }

    /// The address of everything the shard knows, in no order.
    pub fn addresses(&self, shard: ShardId) -> Vec<EntityId> {
        let run = self.runs.get(usize::from(shard.0)).and_then(Option::as_ref);
        run.map_or_else(Vec::new, |run| run.shard.addresses())
    }

    /// A shard's figures; `None` when it is dead.
    pub fn figures(&self, shard: ShardId) -> Option<ShardFigures> {
        let run = self.runs.get(usize::from(shard.0))?.as_ref()?;
        Some(run.shard.figures())
    }

    fn start(&mut self, run: ShardRun) {
        let mailbox = Arc::clone(&run.mailbox);
        if let Some(slot) = self.runs.get_mut(usize::from(mailbox.shard().0)) {
            *slot = Some(run);
        }
        mailbox.open_stepped();
    }
}
