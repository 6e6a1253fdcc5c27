//! The operators' calls: what is shown to them, and what they change.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use holdfast_core::{ShardId, Timestamp};
use tokio::time::{Instant, sleep, timeout};

use super::{
    document::{AUTHOR_CHARS, Plan, Revision, VERSION},
    edit::{self, Scene},
    knowledge::Knowledge,
    ports::Written,
    reconcile::Reconciler,
};
use crate::{
    cluster::Cluster,
    members::{
        beat::{Claim, Standing},
        roster::{Member, millis_since},
    },
    operator::{
        Change, ClusterStatus, NodeState, NodeStatus, OperatorError, RebalancePlan, RebalanceStatus, ShardState,
        ShardStatus,
    },
};

/// How often a change is made anew when others changed the plan meanwhile, and the pause before.
const ATTEMPTS: u32 = 8;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(25);

/// How long a change may take, all in all: less than `holdfast admin` waits for one node (`--timeout-s`).
const CHANGE_PATIENCE: Duration = Duration::from_secs(8);

/// How long a replica may take until it has the last plan, and the pause between two looks.
const READ_PATIENCE: Duration = Duration::from_secs(4);
const READ_PAUSE: Duration = Duration::from_millis(20);

impl Cluster {
    /// The whole, as this node sees it.
    pub fn status(&self) -> ClusterStatus {
        let (revision, now) = (self.reconciler.plan(), self.reconciler.now());
        let knowledge = self.reconciler.knowledge();
        ClusterStatus {
            deployment: self.nats.deployment.clone(),
            this_node: knowledge.node().to_owned(),
            coordinator: knowledge.coordinator(now).map(str::to_owned),
            revision: revision.number,
            nodes: knowledge.nodes(&revision.plan, now),
            rebalance: knowledge.rebalance(&revision.plan, now),
            isolated: !self.reconciler.is_connected(),
        }
    }

    /// Every shard, as this node sees it. Figures of other nodes' shards are as of their last beats.
    pub fn shards(&self) -> Vec<ShardStatus> {
        let (revision, now) = (self.reconciler.plan(), self.reconciler.now());
        self.reconciler.knowledge().shard_statuses(&revision.plan, now)
    }

    /// Puts a shard on a node, where it stays until the next rebalance or until the node takes none any more.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn move_shard(&self, shard: ShardId, to: &str, by: &str) -> Result<Change, OperatorError> {
        let made = self.reconciler.change(by, |plan, scene| edit::move_shard(plan, scene, shard, to, by)).await?;
        Ok(change_of(&made))
    }

    /// Spreads all shards evenly, or only says how.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn rebalance(&self, dry_run: bool, by: &str) -> Result<RebalancePlan, OperatorError> {
        let revision = self.reconciler.last_plan().await?;
        let scene = self.reconciler.knowledge().scene(&revision.plan, self.reconciler.now());
        let planned = edit::rebalance(&revision.plan, &scene, by)?;
        let is_so = planned.placement == revision.plan.placement && planned.pinned == revision.plan.pinned;
        if dry_run || is_so {
            return Ok(RebalancePlan { moves: planned.moves, revision: revision.number, dry_run });
        }
        let made = self.reconciler.change(by, |plan, scene| edit::rebalance(plan, scene, by)).await?;
        Ok(RebalancePlan { moves: made.plan.moves.clone(), revision: made.number, dry_run })
    }

    /// Calls off the moves that have not begun.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn cancel_rebalance(&self, by: &str) -> Result<Change, OperatorError> {
        let made = self.reconciler.change(by, |plan, scene| edit::cancel(plan, scene, by)).await?;
        Ok(change_of(&made))
    }

    /// Gives all shards of a node to others, and none to it until that is taken back, also after a restart.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn drain(&self, node: &str, by: &str) -> Result<Change, OperatorError> {
        let made = self.reconciler.change(by, |plan, scene| edit::drain(plan, scene, node, by)).await?;
        Ok(change_of(&made))
    }

    /// Lets a node have shards again.
    ///
    /// # Errors
    /// [`OperatorError`].
    pub async fn undrain(&self, node: &str, by: &str) -> Result<Change, OperatorError> {
        let made = self.reconciler.change(by, |plan, scene| edit::undrain(plan, scene, node, by)).await?;
        Ok(change_of(&made))
    }
}

impl Reconciler {
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
        let is_sent = AtomicBool::new(false);
        match timeout(CHANGE_PATIENCE, self.change_now(&edit, &is_sent)).await {
            Ok(changed) => changed,
            Err(_) if is_sent.load(Ordering::Relaxed) => Err(OperatorError::Unknown("no answer in time".to_owned())),
            Err(_) => Err(OperatorError::NoQuorum("no answer in time".to_owned())),
        }
    }

    /// The same, however long it takes. `is_sent` tells whether a change is on its way.
    async fn change_now(
        &self,
        edit: &(impl Fn(&Plan, &Scene) -> Result<Plan, OperatorError> + Send + Sync),
        is_sent: &AtomicBool,
    ) -> Result<Arc<Revision>, OperatorError> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                sleep(ATTEMPT_PAUSE * attempt).await;
            }
            let revision = self.last_plan().await?;
            if revision.is_newer() {
                return Err(OperatorError::NewerPlan { found: revision.plan.version, known: VERSION });
            }
            let scene = self.knowledge().scene(&revision.plan, self.now());
            let plan = edit(&revision.plan, &scene)?;
            is_sent.store(true, Ordering::Relaxed);
            match self.control.write(revision.number, &plan).await {
                Ok(Written::At(number)) => {
                    self.hear_plan(Revision { number, plan: plan.clone() });
                    return Ok(Arc::new(Revision { number, plan }));
                }
                Ok(Written::Conflict) => is_sent.store(false, Ordering::Relaxed),
                Err(error) => return Err(OperatorError::Unknown(error.to_string())),
            }
        }
        Err(OperatorError::Conflict)
    }

    /// The plan as it is, and not as this node has last heard: else an operator who asks for something at one node, and for
    /// the next thing at another, would be refused for what was so before.
    async fn last_plan(&self) -> Result<Arc<Revision>, OperatorError> {
        let began = Instant::now();
        let newest = self.control.newest().await.map_err(|error| OperatorError::NoQuorum(error.to_string()))?;
        loop {
            let known = self.plan();
            if known.number >= newest {
                return Ok(known);
            }
            if began.elapsed() >= READ_PATIENCE {
                return Err(OperatorError::NoQuorum(format!("no server that answers has revision {newest} yet")));
            }
            // Any replica answers a read, also one that does not have it yet.
            self.read_plan().await;
            sleep(READ_PAUSE).await;
        }
    }
}

fn change_of(revision: &Revision) -> Change {
    let note = revision.plan.change.clone();
    Change { revision: revision.number, by: note.by, at_ms: note.at_ms, what: note.what }
}

impl Knowledge {
    fn nodes(&self, plan: &Plan, now: Timestamp) -> Vec<NodeStatus> {
        let mut owned = BTreeMap::<String, u16>::new();
        self.actual(now).into_values().for_each(|node| *owned.entry(node).or_default() += 1);
        let heard = self.roster.members().map(|(name, member)| {
            let shards = owned.get(name).copied().unwrap_or_default();
            NodeStatus {
                node: name.to_owned(),
                boot: Some(member.beat.boot),
                state: self.state(plan, name, member, (shards, now)),
                last_beat_ms: Some(millis_since(member.heard_at, now)),
                shards,
                admin_url: member.beat.admin_url.clone(),
                version: member.beat.version.clone(),
                started_at_ms: member.beat.started_at_ms,
            }
        });
        let mut nodes: Vec<NodeStatus> = heard.collect();
        let planned = plan.members.iter().chain(&plan.draining);
        let unheard = planned.filter(|node| self.roster.member(node).is_none()).map(|node| NodeStatus {
            node: node.clone(),
            boot: None,
            state: NodeState::Dead,
            last_beat_ms: None,
            shards: 0,
            admin_url: String::new(),
            version: String::new(),
            started_at_ms: 0,
        });
        nodes.extend(unheard);
        nodes.sort_by(|a, b| a.node.cmp(&b.node));
        nodes
    }

    fn state(&self, plan: &Plan, node: &str, member: &Member, (shards, now): (u16, Timestamp)) -> NodeState {
        let gives = plan.draining.contains(node) || member.beat.state == Standing::Leaving;
        match (self.roster.is_alive(member, now), gives) {
            (false, _) => NodeState::Dead,
            (true, false) => NodeState::Alive,
            (true, true) if shards == 0 => NodeState::Drained,
            (true, true) => NodeState::Draining,
        }
    }

    fn rebalance(&self, plan: &Plan, now: Timestamp) -> Option<RebalanceStatus> {
        let actual = self.actual(now);
        let remaining = edit::remaining(plan, &actual);
        if remaining.is_empty() {
            return None;
        }
        let done = plan.moves.iter().filter(|a_move| actual.get(&a_move.shard) == Some(&a_move.to)).count();
        Some(RebalanceStatus {
            by: plan.change.by.clone(),
            at_ms: plan.change.at_ms,
            moves: plan.moves.len(),
            done,
            remaining,
            cancelled: plan.cancelled,
        })
    }

    fn shard_statuses(&self, plan: &Plan, now: Timestamp) -> Vec<ShardStatus> {
        self.owners.shards().iter().map(|shard| self.shard_status(plan, shard, now)).collect()
    }

    fn shard_status(&self, plan: &Plan, shard: ShardId, now: Timestamp) -> ShardStatus {
        let ownership = self.owners.of(shard);
        let owner = ownership.boot.and_then(|boot| self.roster.node_of(boot, now));
        let claim: Option<Claim> = owner.and_then(|node| self.roster.member(node)?.beat.claims.get(&shard)).copied();
        let desired = plan.home(shard);
        let state = match (owner, claim) {
            (None, _) => ShardState::Unowned,
            (Some(_), Some(claim)) if owner == desired && !claim.is_leaving => ShardState::Owned,
            (Some(_), _) => ShardState::Moving,
        };
        let figures = claim.unwrap_or_default().figures;
        let lag_records =
            self.slowest_follower(shard, now).map_or(0, |slowest| figures.sequence.saturating_sub(slowest));
        ShardStatus {
            shard,
            owner: owner.map(str::to_owned),
            desired: desired.map(str::to_owned),
            epoch: ownership.epoch,
            state,
            entities: figures.entities,
            commands_per_s: figures.commands_per_s,
            mailbox_depth: figures.mailbox_depth,
            lag_records,
            memory_bytes: figures.memory_bytes,
            sequence: figures.sequence,
        }
    }
}
