//! Makes the plan so: listens, beats, takes over, hands over, and plans anew when nodes come and go.
//!
//! Takeover: begin the next epoch; wait until the follower has every record before it; open the shard. Hand-over: finish what
//! the shard has accepted, all of it durable; end the epoch in the journal; tell the heir. Whatever fails is tried again from
//! where it stands, at the next turn.
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
    document::{AUTHOR_CHARS, Plan, Revision, VERSION},
    edit::Scene,
    knowledge::{Knowledge, Renewal},
    ports::{Air, Control, StepError, Written},
};
use crate::{
    members::{
        beat::{Beat, Standing, Yielded},
        pulse::Identity,
        roster::Heard,
    },
    operator::OperatorError,
    owners::Owners,
    plan::ports::{Log, Shards},
    settings::ClusterSettings,
};

/// How often it looks although nothing was heard of.
const TICK: Duration = Duration::from_millis(100);
/// The shortest time between two beats, however much there is to say.
const BEAT_GAP: Duration = Duration::from_millis(20);
/// Between two looks at how far a follower is.
const LOOK: Duration = Duration::from_millis(1);
/// Beats that wait to be acknowledged, in number.
const BEATS_AT_ONCE: usize = 8;
/// How often a change is made anew when others changed the plan meanwhile, and the pause before.
const ATTEMPTS: u32 = 8;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(25);

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
    settings: ClusterSettings,
    clock: Clock,
    lease: Lease,
    owners: Arc<Owners>,
    shards: Arc<dyn Shards>,
    log: Arc<dyn Log>,
    control: Arc<dyn Control>,
    air: Arc<dyn Air>,
    knowledge: Mutex<Knowledge>,
    plan: watch::Sender<Arc<Revision>>,
    /// Something was heard of.
    wake: Notify,
    /// There is something to say.
    urge: Notify,
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
                tracing::warn!(node, %boot, "a node of the same name, or with another secret, is there")
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

    /// Beats, until it is dropped.
    pub async fn beat(self: Arc<Self>) {
        let mut on_the_way = JoinSet::new();
        loop {
            if on_the_way.len() < BEATS_AT_ONCE {
                on_the_way.spawn(Arc::clone(&self).say());
            }
            sleep(BEAT_GAP.min(self.settings.beat_interval())).await;
            let rest = sleep(self.settings.beat_interval().saturating_sub(BEAT_GAP));
            tokio::pin!(rest);
            loop {
                tokio::select! {
                    biased;
                    Some(_) = on_the_way.join_next() => {}
                    () = self.urge.notified() => break,
                    () = &mut rest => break,
                }
            }
        }
    }

    /// Says one beat, and knows by its acknowledgment that a quorum heard it.
    pub async fn say(self: Arc<Self>) {
        let sent_at = self.now();
        let beat = self.knowledge().beat(sent_at);
        match self.air.beat(&beat).await {
            Ok(()) => self.renew(sent_at).await,
            Err(error) => {
                metrics::counter!("holdfast_cluster_beats_unanswered_total").increment(1);
                tracing::debug!(%error, "a beat was not acknowledged");
            }
        }
    }

    /// A quorum took what this node had sent at `sent_at`.
    pub async fn renew(&self, sent_at: Timestamp) {
        let was_valid = self.lease.is_valid();
        let renewal = self.knowledge().acknowledged(was_valid, self.now());
        let is_proved = match renewal {
            Renewal::Now => true,
            Renewal::Later => false,
            Renewal::AfterLook => self.look_at_own().await,
        };
        if !is_proved {
            return;
        }
        let lasts_ms = i64::try_from(self.settings.lease_ms).unwrap_or(i64::MAX);
        self.lease.renew_until(sent_at.saturating_add_millis(lasts_ms));
        if !was_valid {
            self.wake.notify_one();
        }
    }

    /// Looks whether the shards that this node believes to own are its own. `false` when one could not be looked at, or is
    /// another node's and not given up yet.
    async fn look_at_own(&self) -> bool {
        let owned: Vec<ShardId> = {
            let knowledge = self.knowledge();
            self.owners.shards().iter().filter(|shard| knowledge.is_here(*shard)).collect()
        };
        let looks = owned.into_iter().map(|shard| async move { (shard, self.log.confirm(shard).await) });
        let looks = futures_util::future::join_all(looks).await;
        looks.into_iter().all(|(shard, look)| match look {
            Ok(true) => true,
            Ok(false) => {
                self.shards.demote(shard);
                !self.knowledge().is_here(shard)
            }
            Err(error) => {
                tracing::debug!(shard = shard.0, %error, "whose the shard is could not be looked at");
                false
            }
        })
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

    async fn read_plan(&self) {
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
        let begun = knowledge.steps(&revision.plan, is_connected, now);
        if begun.is_empty() {
            return;
        }
        for (shard, step) in begun {
            knowledge.begin(shard, step);
            steps.spawn(Arc::clone(self).carry_out(shard, step));
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

    async fn carry_out(self: Arc<Self>, shard: ShardId, step: Step) {
        let began = self.now();
        let (name, outcome) = match step {
            Step::TakeOver { clean } => ("take over", self.take_over(shard, clean).await),
            Step::Open => ("open", self.open(shard).await),
            Step::HandOver { to } => ("hand over", self.hand_over(shard, to).await),
            Step::Demote => {
                self.shards.demote(shard);
                ("demote", Ok(()))
            }
        };
        let took_ms = self.now().as_millis() - began.as_millis();
        match outcome {
            Ok(()) => {
                metrics::counter!("holdfast_cluster_steps_total", "step" => name).increment(1);
                tracing::info!(shard = shard.0, step = name, took_ms, epoch = self.owners.of(shard).epoch, "done");
            }
            Err(error) => {
                metrics::counter!("holdfast_cluster_steps_failed_total", "step" => name).increment(1);
                tracing::warn!(shard = shard.0, step = name, took_ms, %error, "not done: once more, from where it stands");
                sleep(TICK).await;
            }
        }
        self.knowledge().busy.remove(&shard);
        self.urge.notify_one();
        self.wake.notify_one();
    }

    async fn take_over(&self, shard: ShardId, clean: bool) -> Result<(), StepError> {
        self.log.acquire(shard, clean).await?;
        self.open(shard).await
    }

    async fn open(&self, shard: ShardId) -> Result<(), StepError> {
        let head = self.log.next_seq(shard).saturating_sub(1);
        while self.shards.position(shard) < head {
            self.refuse_overtaken(shard)?;
            sleep(LOOK).await;
        }
        let since = self.now();
        while !self.knowledge().may_open(shard, self.now()) {
            let waited_ms = self.now().as_millis() - since.as_millis();
            if waited_ms >= i64::try_from(self.settings.dead_after_ms).unwrap_or(i64::MAX) {
                tracing::error!(
                    shard = shard.0,
                    waited_ms,
                    "the owner before lives and does not give up: opened beside it"
                );
                break;
            }
            // Its own claim would keep the one that overtook it waiting, and that one's claim it.
            self.refuse_overtaken(shard)?;
            sleep(LOOK).await;
        }
        self.refuse_overtaken(shard)?;
        self.shards.take_charge(shard, head).await
    }

    fn refuse_overtaken(&self, shard: ShardId) -> Result<(), StepError> {
        let overtaken = || StepError("another node took it over meanwhile".to_owned());
        self.log.owns(shard).then_some(()).ok_or_else(overtaken)
    }

    async fn hand_over(&self, shard: ShardId, to: crate::boot::BootId) -> Result<(), StepError> {
        let epoch = self.owners.of(shard).epoch;
        if self.shards.role(shard) == super::ports::Role::Owner {
            self.shards.yield_shard(shard, Duration::from_millis(self.settings.handover_ms)).await?;
        }
        let next_seq = self.log.release(shard).await?;
        // Lost, it is in the beats as well: a beat later.
        self.air.tell(to, &Yielded { shard, epoch, next_seq }).await
    }

    /// Changes the plan for an operator.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn change(
        &self,
        by: &str,
        edit: impl Fn(&Plan, &Scene) -> Result<Plan, OperatorError> + Send + Sync,
    ) -> Result<Arc<Revision>, OperatorError> {
        if by.is_empty() || by.chars().count() > AUTHOR_CHARS {
            return Err(OperatorError::Author { max: AUTHOR_CHARS });
        }
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(ATTEMPT_PAUSE * attempt).await;
                self.read_plan().await;
            }
            let revision = self.plan();
            if revision.is_newer() {
                return Err(OperatorError::NewerPlan { found: revision.plan.version, known: VERSION });
            }
            let scene = self.knowledge().scene(&revision.plan, self.now());
            let plan = edit(&revision.plan, &scene)?;
            match self.control.write(revision.number, &plan).await {
                Ok(Written::At(number)) => {
                    self.hear_plan(Revision { number, plan: plan.clone() });
                    return Ok(Arc::new(Revision { number, plan }));
                }
                Ok(Written::Conflict) => {}
                Err(error) => return Err(OperatorError::NoQuorum(error.to_string())),
            }
        }
        Err(OperatorError::Conflict)
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
