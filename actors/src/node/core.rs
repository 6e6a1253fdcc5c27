//! What the shards of a node share, put together and brought back from the store, apart from the threads that drive them: the
//! simulation drives the same in one thread.
//!
//! Invariant: a shard is recovered only after everything it had handed to the journal is durable, or never will be.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{JournalError, Store};
use parking_lot::{Mutex, RwLock};

use super::{NodeError, NodeParts};
use crate::{
    actor::ShardRun,
    background::Background,
    census::Census,
    clock::Clock,
    commerce::Commerce,
    effects::Effects,
    fatal::Fatal,
    gate::Gate,
    key::KeysInFlight,
    mailbox::{Mailbox, Nudges},
    outbound::Outbound,
    payment::{Backoff, PaymentDriver},
    recovery::{self, RecoveryError, RecoveryProgress},
    releases::Releases,
    router::Router,
    settings::{RuntimeSettings, SettingError},
    shard::{Probe, Shard, ShardFigures, ShardParts},
    snapshot_writer::Job,
    view::Views,
};

/// What the shards of a node share.
pub(crate) struct NodeCore {
    pub(crate) settings: Arc<RuntimeSettings>,
    pub(crate) clock: Clock,
    pub(crate) fatal: Fatal,
    pub(crate) background: Arc<dyn Background>,
    releases: Arc<Releases>,
    pub(crate) views: Arc<Views>,
    pub(crate) mailboxes: Arc<[Arc<Mailbox>]>,
    shards: ShardCount,
    backoff: Backoff,
    probe: Option<Probe>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) progress: RecoveryProgress,
    pub(super) gates: Mutex<Vec<Option<Arc<Gate>>>>,
    pub(super) figures: Vec<Arc<RwLock<ShardFigures>>>,
    census: Arc<Census>,
    /// Lives of shards so far.
    lives: AtomicU64,
    /// Threads that read snapshots in a recovery.
    workers: usize,
}

impl NodeCore {
    /// Puts together what a node is made of, but for the threads that drive it. Snapshots to be written go to `jobs`.
    pub(crate) fn assemble(
        parts: NodeParts,
        background: Arc<dyn Background>,
        workers: usize,
        jobs: mpsc::Sender<Job>,
        router: impl FnOnce(ShardCount, Arc<[Arc<Mailbox>]>) -> Arc<dyn Router>,
    ) -> Result<(Arc<Self>, Commerce, Store), SettingError> {
        let NodeParts { settings, payments, store, gateway, clock, lease, probe } = parts;
        settings.check()?;
        let shards = store.shards;
        let settings = Arc::new(settings);
        let mailboxes = Mailbox::of_node(shards.iter(), &settings, &lease);
        let router = router(shards, Arc::clone(&mailboxes));
        let driver = PaymentDriver::new(gateway, &payments).waiting_in(Arc::clone(&background));
        let effects = Arc::new(Effects {
            router: Arc::clone(&router),
            mailboxes: Arc::clone(&mailboxes),
            background: Arc::clone(&background),
            driver: Arc::new(driver),
            nudges: Nudges::new(Arc::clone(&background)),
            journal: Arc::clone(&store.journal),
            snapshots: Arc::clone(&store.snapshots),
            writer: jobs,
        });
        let views = Arc::new(Views::new());
        let core = Arc::new(Self {
            fatal: Fatal::new(Arc::clone(&mailboxes)),
            figures: mailboxes.iter().map(|_| Arc::default()).collect(),
            gates: Mutex::new(mailboxes.iter().map(|_| None).collect()),
            backoff: Backoff::new(&payments),
            progress: RecoveryProgress::default(),
            census: Arc::default(),
            lives: AtomicU64::new(0),
            settings: Arc::clone(&settings),
            clock: clock.clone(),
            views: Arc::clone(&views),
            releases: Releases::new(Arc::clone(&background)),
            background: Arc::clone(&background),
            mailboxes,
            shards,
            probe,
            effects,
            workers,
        });
        let commerce = Commerce::new(router, views, KeysInFlight::default(), clock, settings, background);
        Ok((core, commerce, store))
    }

    pub(crate) fn recover_all(&self) -> Result<Vec<ShardRun>, RecoveryError> {
        self.recover(self.shards.iter().collect())
    }

    /// Brings one dead shard back, after everything it had handed to the journal is durable. Blocking.
    pub(crate) fn recover_one(&self, shard: ShardId) -> Result<ShardRun, NodeError> {
        let index = usize::from(shard.0);
        if let Some(mailbox) = self.mailboxes.get(index) {
            mailbox.close_for_recovery();
        }
        let old = self.gates.lock().get(index).cloned().flatten();
        let last = self.effects.journal.next_seq(shard).saturating_sub(1);
        // What another node's epoch has refused is nothing to wait for.
        let is_ours = self.effects.journal.owns(shard);
        if is_ours && old.is_some_and(|gate| !gate.wait_told(last)) {
            return Err(NodeError::Interrupted);
        }
        let recovered = match self.recover(vec![shard]) {
            // The checkpoint it left under way ended meanwhile, and the journal before it was purged: once more, from there.
            Err(RecoveryError::Journal(JournalError::Purged { .. })) => self.recover(vec![shard]),
            recovered => recovered,
        };
        recovered?.pop().ok_or(NodeError::Interrupted)
    }

    /// Whether everything a dead shard had handed to the journal is durable, or never will be.
    pub(crate) fn is_quiet(&self, shard: ShardId) -> bool {
        let gate = self.gates.lock().get(usize::from(shard.0)).cloned().flatten();
        let last = self.effects.journal.next_seq(shard).saturating_sub(1);
        gate.is_none_or(|gate| gate.is_told(last))
    }

    fn recover(&self, ids: Vec<ShardId>) -> Result<Vec<ShardRun>, RecoveryError> {
        let now = self.clock.now();
        let shards = ids.into_iter().map(|id| (id, Shard::new(self.shard_parts(id), now))).collect();
        let effects = &self.effects;
        let recovered = recovery::recover(
            self.shards,
            shards,
            effects.journal.as_ref(),
            effects.snapshots.as_ref(),
            &self.views,
            &self.progress,
            self.workers,
        )?;
        Ok(recovered.into_iter().filter_map(|(id, shard)| self.prepare_run(id, shard)).collect())
    }

    fn prepare_run(&self, id: ShardId, shard: Shard) -> Option<ShardRun> {
        let index = usize::from(id.0);
        let outbound: Arc<dyn Outbound> = Arc::new(Arc::clone(&self.effects));
        let mailbox = Arc::clone(self.mailboxes.get(index)?);
        let gate = Gate::new(Arc::clone(&self.views), outbound, Arc::clone(&mailbox), shard.figures().sequence);
        if let Some(slot) = self.gates.lock().get_mut(index) {
            *slot = Some(Arc::clone(&gate));
        }
        let figures = Arc::clone(self.figures.get(index)?);
        *figures.write() = shard.figures();
        let (views, clock) = (Arc::clone(&self.views), self.clock.clone());
        Some(ShardRun { shard: Box::new(shard), mailbox, inbox: Vec::new(), gate, views, clock, figures })
    }

    fn shard_parts(&self, id: ShardId) -> ShardParts {
        ShardParts {
            id,
            life: self.lives.fetch_add(1, Ordering::Relaxed),
            shards: self.shards,
            settings: Arc::clone(&self.settings),
            backoff: self.backoff,
            journal: Arc::clone(&self.effects.journal),
            fatal: self.fatal.clone(),
            releases: Arc::clone(&self.releases),
            census: Arc::clone(&self.census),
            probe: self.probe.clone(),
            snapshots: Arc::clone(&self.effects.snapshots),
        }
    }
}
