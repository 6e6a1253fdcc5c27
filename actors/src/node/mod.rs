//! A node: its shards, their supervisor, and everything they share. Opened first, so that the edge can already say that it
//! is recovering; recovered then; drained and closed at the end.

mod core;

use std::{
    io,
    sync::{Arc, OnceLock, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Journal, SnapshotStore, Store};
use parking_lot::Mutex;
use ractor::{Actor, ActorRef};
use tokio::{runtime::Handle, sync::oneshot, task::AbortHandle};

pub(crate) use self::core::NodeCore;
use crate::{
    clock::Clock,
    commerce::Commerce,
    gate::Gate,
    lease::Lease,
    mailbox::Mailbox,
    message::{Envelope, Internal},
    payment::{PaymentGateway, PaymentSettings},
    recovery::{RecoveryError, RecoverySummary},
    retention::Retention,
    role::Role,
    router::Router,
    settings::{RuntimeSettings, SettingError},
    shard::{Probe, ShardFigures},
    snapshot_writer::{self, Job, Writer},
    supervisor::{Supervise, Supervisor},
};

/// What a node is made of.
pub struct NodeParts {
    /// The limits.
    pub settings: RuntimeSettings,
    /// How the gateway is called.
    pub payments: PaymentSettings,
    /// The data directory.
    pub store: Store,
    /// Who moves the money.
    pub gateway: Arc<dyn PaymentGateway>,
    /// The one owner of time.
    pub clock: Clock,
    /// For how long the node may answer from memory.
    pub lease: Lease,
    /// A test's probe.
    pub probe: Option<Probe>,
}

/// Why a node could not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[from] io::Error),
    /// The store could not be recovered.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The recovery's thread ended early.
    #[error("the recovery was interrupted")]
    Interrupted,
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The supervisor could not be started.
    #[error("the supervisor could not be started: {0}")]
    Supervisor(String),
}

/// A shard's figures for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardReport {
    /// Which shard.
    pub shard: ShardId,
    /// Whether it takes requests.
    pub is_open: bool,
    /// Requests that wait, are decided, or wait for their batch.
    pub mailbox_depth: usize,
    /// Its own figures as of its last turn.
    pub figures: ShardFigures,
}

/// A running node.
pub struct Node {
    core: Arc<NodeCore>,
    runtime: Handle,
    commerce: Commerce,
    writer: Mutex<Option<(mpsc::Sender<Job>, JoinHandle<()>)>>,
    supervisor: OnceLock<ActorRef<Supervise>>,
    ticker: OnceLock<AbortHandle>,
    // Holds the directory's lock until the node is gone.
    _store: Store,
}

impl Node {
    /// Puts a node together. It refuses every request as recovering until [`Node::recover`] is done. `router` gets every
    /// shard's mailbox, in order. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError::Thread`], or [`NodeError::Setting`] for a senseless setting.
    pub fn open(
        parts: NodeParts,
        router: impl FnOnce(ShardCount, Arc<[Arc<Mailbox>]>) -> Arc<dyn Router>,
    ) -> Result<Self, NodeError> {
        let runtime = Handle::current();
        let (jobs, receiver) = mpsc::channel();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let (core, commerce, store) =
            NodeCore::assemble(parts, Arc::new(runtime.clone()), workers, jobs.clone(), router)?;
        let retention = Retention::new(Arc::clone(&store.journal), store.snapshots.as_ref(), store.shards);
        let writer = Writer::new(
            Arc::clone(&store.snapshots),
            retention,
            Arc::clone(&core.mailboxes),
            core.settings.snapshot_batch,
        );
        let thread = snapshot_writer::start(writer, receiver, core.settings.snapshot_nice)?;
        Ok(Self {
            core,
            runtime,
            commerce,
            writer: Mutex::new(Some((jobs, thread))),
            supervisor: OnceLock::new(),
            ticker: OnceLock::new(),
            _store: store,
        })
    }

    /// Brings every shard back and starts it.
    ///
    /// # Errors
    /// [`NodeError`]; the node then stays closed and nothing on disk was changed.
    pub async fn recover(&self) -> Result<RecoverySummary, NodeError> {
        let core = Arc::clone(&self.core);
        // Sorting the orders of the listing is part of it: half a second for a million of them.
        let recovering = move || core.recover_all().inspect(|_| core.views.settle());
        let recovered = self.runtime.spawn_blocking(recovering);
        let runs = recovered.await.map_err(|_| NodeError::Interrupted)??;
        let supervisor = Supervisor { node: Arc::clone(&self.core) };
        let (supervisor, _) =
            Actor::spawn(None, supervisor, ()).await.map_err(|error| NodeError::Supervisor(error.to_string()))?;
        for run in runs {
            let started = supervisor.cast(Supervise::Start(Box::new(run)));
            started.map_err(|error| NodeError::Supervisor(error.to_string()))?;
        }
        self.wait_open().await;
        let _ = self.supervisor.set(supervisor);
        let _ = self.ticker.set(self.start_ticker());
        Ok(self.core.progress.so_far())
    }

    /// How far the recovery is.
    pub fn recovery_progress(&self) -> RecoverySummary {
        self.core.progress.so_far()
    }

    /// Whether every shard takes requests, or follows the node that does.
    pub fn is_ready(&self) -> bool {
        self.core.mailboxes.iter().all(|mailbox| mailbox.role() != Role::Away)
    }

    /// The facade.
    pub fn commerce(&self) -> &Commerce {
        &self.commerce
    }

    /// Every shard's figures.
    pub fn shards(&self) -> Vec<ShardReport> {
        self.core.mailboxes.iter().filter_map(|mailbox| self.shard(mailbox.shard())).collect()
    }

    /// One shard's figures; `None` for one there is none of.
    pub fn shard(&self, shard: ShardId) -> Option<ShardReport> {
        let mailbox = self.mailbox(shard)?;
        let figures = self.figures_of(shard)?;
        Some(ShardReport { shard, is_open: mailbox.is_open(), mailbox_depth: mailbox.depth(), figures })
    }

    /// Waits until the node cannot go on (the journal failed) and says why. The process must then leave.
    pub async fn failed(&self) -> String {
        self.core.fatal.raised().await
    }

    /// The node cannot go on, for a reason that it does not see itself: every request is refused from now on, and
    /// [`Node::failed`] tells.
    pub fn give_up(&self, reason: &str) {
        self.core.fatal.raise(reason);
    }

    /// Stops taking requests, lets what was accepted finish, and writes a last checkpoint, within `limit`. What does not
    /// fit in is in the journal all the same: the next start replays it. `true` when everything was written.
    pub async fn shutdown(&self, limit: Duration) -> bool {
        let drained = tokio::time::timeout(limit, self.drain()).await.unwrap_or(false);
        self.core.views.close_watches();
        if let Some(ticker) = self.ticker.get() {
            ticker.abort();
        }
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.stop_children(None);
            supervisor.stop(None);
        }
        drained
    }

    async fn drain(&self) -> bool {
        let mut done = Vec::new();
        for mailbox in self.core.mailboxes.iter() {
            let was_open = mailbox.role() != Role::Away;
            mailbox.drain();
            if was_open {
                let (sender, receiver) = oneshot::channel();
                mailbox.deliver(Envelope::Internal(Internal::Drain(sender)));
                done.push(receiver);
            }
        }
        for receiver in done {
            if receiver.await.is_err() {
                return false;
            }
        }
        let gates: Vec<Arc<Gate>> = self.core.gates.lock().iter().flatten().cloned().collect();
        let writer = self.writer.lock().take();
        let flush = move || {
            let settled = gates.iter().all(|gate| gate.wait_settled());
            let stopped = writer.is_none_or(|(sender, thread)| {
                let _ = sender.send(Job::Stop);
                thread.join().is_ok()
            });
            settled && stopped
        };
        self.runtime.spawn_blocking(flush).await.unwrap_or(false)
    }

    async fn wait_open(&self) {
        while !self.is_ready() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn start_ticker(&self) -> AbortHandle {
        let core = Arc::clone(&self.core);
        let tick = Duration::from_millis(self.core.settings.tick_ms.max(1));
        let ticking = async move {
            let mut interval = tokio::time::interval(tick);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                let now = core.clock.now();
                core.mailboxes.iter().for_each(|mailbox| mailbox.tick(now));
            }
        };
        self.runtime.spawn(ticking).abort_handle()
    }
}

impl Drop for Node {
    /// Ends what a shutdown would have ended, without waiting for anything but the snapshot being written.
    fn drop(&mut self) {
        if let Some(ticker) = self.ticker.get() {
            ticker.abort();
        }
        if let Some(supervisor) = self.supervisor.get() {
            supervisor.stop_children(None);
            supervisor.stop(None);
        }
        if let Some((sender, thread)) = self.writer.lock().take() {
            let _ = sender.send(Job::Stop);
            let _ = thread.join();
        }
    }
}

/// What a node keeps of its store, by name, for those who only look.
impl Node {
    /// The journal.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.core.effects.journal
    }

    pub(crate) fn mailbox(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.core.mailboxes.get(usize::from(shard.0))
    }

    pub(crate) fn gate_of(&self, shard: ShardId) -> Option<Arc<Gate>> {
        self.core.gates.lock().get(usize::from(shard.0)).cloned().flatten()
    }

    pub(crate) fn figures_of(&self, shard: ShardId) -> Option<ShardFigures> {
        self.core.figures.get(usize::from(shard.0)).map(|figures| *figures.read())
    }

    /// The snapshots.
    pub fn snapshots(&self) -> &Arc<dyn SnapshotStore> {
        &self.core.effects.snapshots
    }
}
