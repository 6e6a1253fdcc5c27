//! Makes the plan so: listens, begins the steps that are due, and plans anew when nodes come and go. How a step goes is in
//! `steps`, what a node says of itself in `voice`.
//!
//! Invariant: one step at a time for each shard, and nothing is decided from what an earlier turn believed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use holdfast_actors::{Clock, Lease};
use holdfast_core::{ShardId, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    decide::Step,
    document::{Plan, Revision, VERSION},
    knowledge::Knowledge,
    ports::{Air, Control, Log, Shards, Written},
};
use crate::{
    members::{
        beat::{Beat, Standing, Yielded},
        pulse::Identity,
        roster::Heard,
    },
    owners::Owners,
    settings::ClusterSettings,
};

/// How often it looks although nothing was heard of.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// What it is made of.
pub struct ReconcilerParts {
    /// Who this node is.
    pub identity: Identity,
    /// `[cluster]`.
    pub settings: ClusterSettings,
    /// The owner of time.
    pub clock: Clock,
    /// Renewed whenever a quorum acknowledges a beat.
    pub lease: Lease,
    /// Who owns what.
    pub owners: Arc<Owners>,
    /// The shards here.
    pub shards: Arc<dyn Shards>,
    /// The journal.
    pub log: Arc<dyn Log>,
    /// Where the plan is.
    pub control: Arc<dyn Control>,
    /// What carries beats.
    pub air: Arc<dyn Air>,
}

/// Makes the plan so, on one node.
pub struct Reconciler {
    pub(super) settings: ClusterSettings,
    pub(super) clock: Clock,
    pub(super) lease: Lease,
    pub(super) owners: Arc<Owners>,
    pub(super) shards: Arc<dyn Shards>,
    pub(super) log: Arc<dyn Log>,
    pub(super) control: Arc<dyn Control>,
    pub(super) air: Arc<dyn Air>,
    knowledge: Mutex<Knowledge>,
    plan: watch::Sender<Arc<Revision>>,
    /// Something was heard of.
    pub(super) wake: Notify,
    /// There is something to say.
    pub(super) urge: Notify,
    /// The plan was changed.
    news: Notify,
    failed: watch::Sender<Option<String>>,
}

impl Reconciler {
    /// Knows nothing yet, and does nothing before it runs.
    pub fn new(parts: ReconcilerParts) -> Arc<Self> {
        let ReconcilerParts { identity, settings, clock, lease, owners, shards, log, control, air } = parts;
        let here = (Arc::clone(&shards), Arc::clone(&log));
        let knowledge = Knowledge::new(identity, settings.clone(), Arc::clone(&owners), here, clock.now());
        Arc::new(Self {
            settings,
            clock,
            lease,
            owners,
            shards,
            log,
            control,
            air,
            knowledge: Mutex::new(knowledge),
            plan: watch::Sender::new(Arc::default()),
            wake: Notify::new(),
            urge: Notify::new(),
            news: Notify::new(),
            failed: watch::Sender::new(None),
        })
    }

    /// What is known now.
    pub fn knowledge(&self) -> MutexGuard<'_, Knowledge> {
        self.knowledge.lock()
    }

    /// The plan, as far as it was heard of.
    pub fn plan(&self) -> Arc<Revision> {
        Arc::clone(&self.plan.borrow())
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether a quorum knows this node, as far as it can tell.
    pub fn is_connected(&self) -> bool {
        self.lease.is_valid()
    }

    /// Waits until this node has to leave, and says why.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the cluster's tasks have ended".to_owned(),
        }
    }

    /// A beat was heard.
    pub fn hear(&self, beat: Beat) {
        let (node, boot) = (beat.node.clone(), beat.boot);
        let heard = self.knowledge().hear(beat, self.now());
        match heard {
            Ok(Heard::Same | Heard::Old) => {}
            Ok(Heard::Rival) => {
                tracing::warn!(node, %boot, "a node of the same name, or with another secret, is there");
            }
            Ok(Heard::Arrival | Heard::News) => self.wake.notify_one(),
            Err(reason) => {
                self.failed.send_replace(Some(reason));
            }
        }
    }

    /// An owner let a shard go, for this node to take.
    pub fn hear_yielded(&self, yielded: Yielded) {
        self.knowledge().hear_yielded(yielded);
        self.wake.notify_one();
    }

    /// A plan was heard of.
    pub fn hear_plan(&self, revision: Revision) {
        let is_newer = revision.is_newer();
        let is_news = self.plan.send_if_modified(|known| {
            let is_news = revision.number > known.number;
            if is_news {
                *known = Arc::new(revision);
            }
            is_news
        });
        if is_news {
            let plan = self.plan();
            let note = &plan.plan.change;
            tracing::info!(revision = plan.number, by = note.by, what = note.what, "the plan");
            if is_newer {
                tracing::warn!(
                    found = plan.plan.version,
                    known = VERSION,
                    "the plan is of a newer version: not written here"
                );
            }
        }
    }

    /// Reads the plan whenever a change was told, and again and again: whoever tells of one may not be heard.
    pub async fn look_up(self: Arc<Self>) {
        let mut looks = interval(Duration::from_millis(self.settings.tail_poll_ms));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.news.notified() => {}
                _ = looks.tick() => {}
            }
            self.read_plan().await;
        }
    }

    /// The plan was changed, it is said.
    pub fn look_soon(&self) {
        self.news.notify_one();
    }

    pub(super) async fn read_plan(&self) {
        match self.control.read().await {
            Ok(Some(revision)) => self.hear_plan(revision),
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "the plan could not be read"),
        }
    }

    /// Plans and takes steps, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let (mut steps, mut planning) = (JoinSet::new(), JoinSet::new());
        let (mut owners, mut plans) = (self.owners.changes(), self.plan.subscribe());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.turn(&mut steps, &mut planning);
            tokio::select! {
                biased;
                Some(_) = steps.join_next() => {}
                Some(_) = planning.join_next() => {}
                () = self.wake.notified() => {}
                Ok(()) = owners.changed() => {}
                Ok(()) = plans.changed() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    fn turn(self: &Arc<Self>, steps: &mut JoinSet<()>, planning: &mut JoinSet<()>) {
        let (now, is_connected, revision) = (self.now(), self.is_connected(), self.plan());
        let mut knowledge = self.knowledge();
        knowledge.notice(is_connected, now);
        if planning.is_empty()
            && let Some(plan) = knowledge.due(&revision, is_connected, now)
        {
            planning.spawn(Arc::clone(self).write(revision.number, plan));
        }
        // Before anything is decided from them: one that goes on meanwhile is then not taken from the wrong owner.
        let epochs: BTreeMap<_, _> =
            self.owners.shards().iter().map(|shard| (shard, self.owners.of(shard).epoch)).collect();
        let begun = knowledge.steps(&revision.plan, is_connected, now);
        if begun.is_empty() {
            return;
        }
        for (shard, step) in begun {
            knowledge.begin(shard, step);
            let epoch = epochs.get(&shard).copied().unwrap_or_default();
            steps.spawn(Arc::clone(self).carry_out(shard, step, epoch));
        }
        self.urge.notify_one();
    }

    async fn write(self: Arc<Self>, after: u64, plan: Plan) {
        match self.control.write(after, &plan).await {
            Ok(Written::At(number)) => self.hear_plan(Revision { number, plan }),
            Ok(Written::Conflict) => self.read_plan().await,
            Err(error) => {
                tracing::warn!(%error, "the plan could not be written");
                sleep(TICK).await;
            }
        }
    }

    /// Stays no longer: others get its shards. Waits until they have them, or nobody is left to get them, at most `limit`.
    /// Whether none is left here.
    pub async fn leave(&self, limit: Duration) -> bool {
        self.knowledge().standing = Standing::Leaving;
        self.urge.notify_one();
        self.wake.notify_one();
        let handed_over = async {
            while self.owned() > 0 && self.has_heirs() {
                sleep(TICK / 10).await;
            }
        };
        let _ = tokio::time::timeout(limit, handed_over).await;
        self.owned() == 0
    }

    /// The last beat: this life is over.
    pub async fn part(self: Arc<Self>) {
        self.knowledge().standing = Standing::Left;
        self.say().await;
    }

    fn owned(&self) -> usize {
        self.owners.shards().iter().filter(|shard| self.log.owns(*shard)).count()
    }

    fn has_heirs(&self) -> bool {
        let (plan, now) = (self.plan(), self.now());
        let scene = self.knowledge().scene(&plan.plan, now);
        scene.alive.difference(&plan.plan.draining).next().is_some()
    }

    /// How many steps are under way, by what they are.
    pub fn under_way(&self) -> BTreeMap<ShardId, Step> {
        self.knowledge().busy.clone()
    }
}
