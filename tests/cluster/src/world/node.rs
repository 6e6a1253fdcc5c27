//! One node of the world: its knowledge, and the shards and the journal that it knows of.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use holdfast_actors::Role;
use holdfast_cluster::{
    BootId, ClusterSettings, Owners,
    members::pulse::Identity,
    plan::{
        document::Revision,
        knowledge::Knowledge,
        ports::{Counted, Log, Shards, StepError},
    },
};
use holdfast_core::{ShardCount, ShardId, Timestamp};
use parking_lot::Mutex;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It does not run.
    Absent,
    /// It runs.
    Running,
    /// It does nothing, and does not know it.
    Stopped,
    /// Nothing it sends arrives, and nothing arrives there.
    Cut,
}

/// A node.
pub(super) struct WorldNode {
    pub(super) name: String,
    pub(super) condition: Condition,
    /// Counts its lives and its stops: what was begun in an earlier one is not gone on with.
    pub(super) life: u64,
    pub(super) boot: BootId,
    pub(super) knowledge: Option<Knowledge>,
    pub(super) owners: Arc<Owners>,
    pub(super) here: Arc<Here>,
    pub(super) plan: Revision,
    pub(super) lease_until: u64,
    /// Epochs whose beginning was purged before this life could read it.
    pub(super) unread: BTreeMap<ShardId, u64>,
    /// Whether it is about to look anyway.
    pub(super) is_woken: bool,
}

/// The node's shards and its journal: what it is to each shard, and the epochs it may append in.
pub struct Here {
    pub(super) roles: Mutex<Vec<Role>>,
    pub(super) epochs: Mutex<Vec<Option<u64>>>,
    /// Shards that it let go of in their present epoch.
    pub(super) let_go: Mutex<BTreeSet<ShardId>>,
}

impl WorldNode {
    pub(super) fn absent(name: String) -> Self {
        let none = ShardCount::new(1).map(Owners::none);
        Self {
            name,
            condition: Condition::Absent,
            life: 0,
            boot: BootId::from_bytes([0; 16]),
            knowledge: None,
            owners: Arc::new(none.unwrap_or_else(|_| unreachable!("one shard is a number of shards"))),
            here: Arc::new(Here::new(0)),
            plan: Revision::default(),
            lease_until: 0,
            unread: BTreeMap::new(),
            is_woken: false,
        }
    }

    pub(super) fn start(&mut self, boot: BootId, settings: &ClusterSettings, shards: ShardCount, now: Timestamp) {
        self.condition = Condition::Running;
        self.life += 1;
        self.boot = boot;
        self.owners = Arc::new(Owners::none(shards));
        self.here = Arc::new(Here::new(usize::from(shards.get())));
        self.plan = Revision::default();
        self.lease_until = 0;
        let identity = Identity {
            node: self.name.clone(),
            boot,
            version: "0.1.0".to_owned(),
            admin_url: String::new(),
            secret_digest: "the same".to_owned(),
            started_at: now,
        };
        let (node, log): (Arc<dyn Shards>, Arc<dyn Log>) =
            (Arc::<Here>::clone(&self.here), Arc::<Here>::clone(&self.here));
        self.knowledge = Some(Knowledge::new(identity, settings.clone(), Arc::clone(&self.owners), (node, log), now));
    }

    pub(super) fn end(&mut self) {
        self.condition = Condition::Absent;
        self.life += 1;
        self.knowledge = None;
    }

    /// What it believes of a shard that it serves.
    pub(super) fn believes(&self, shard: ShardId) -> String {
        let epoch = self.here.epochs.lock().get(usize::from(shard.0)).copied().flatten();
        let Self { name, condition, boot, lease_until, .. } = self;
        format!("{name} ({condition:?}, {boot}, epoch {epoch:?}, until {lease_until} ms)")
    }

    /// Whether it answers reads of the shard now.
    pub(super) fn serves(&self, shard: ShardId, now: u64) -> bool {
        let is_up = matches!(self.condition, Condition::Running | Condition::Cut);
        is_up && now < self.lease_until && self.here.role(shard) == Role::Owner
    }
}

impl Here {
    /// A follower of so many shards.
    pub fn new(shards: usize) -> Self {
        Self {
            roles: Mutex::new(vec![Role::Follower; shards]),
            epochs: Mutex::new(vec![None; shards]),
            let_go: Mutex::default(),
        }
    }

    /// Makes the node that to a shard.
    pub fn set_role(&self, shard: ShardId, role: Role) {
        self.roles.lock()[usize::from(shard.0)] = role;
    }

    /// Lets the node append to a shard in that epoch, or not.
    pub fn set_epoch(&self, shard: ShardId, epoch: Option<u64>) {
        self.epochs.lock()[usize::from(shard.0)] = epoch;
    }
}

#[async_trait]
impl Shards for Here {
    fn role(&self, shard: ShardId) -> Role {
        self.roles.lock().get(usize::from(shard.0)).copied().unwrap_or(Role::Away)
    }

    fn position(&self, _: ShardId) -> u64 {
        0
    }

    fn counted(&self, _: ShardId) -> Counted {
        Counted::default()
    }

    async fn take_ownership(&self, shard: ShardId, _: u64) -> Result<(), StepError> {
        self.set_role(shard, Role::Owner);
        Ok(())
    }

    async fn yield_shard(&self, shard: ShardId, _: Duration) -> Result<u64, StepError> {
        self.set_role(shard, Role::Follower);
        Ok(0)
    }

    fn demote(&self, shard: ShardId) {
        self.set_role(shard, Role::Follower);
    }
}

#[async_trait]
impl Log for Here {
    async fn acquire(&self, _: ShardId, _: bool, _: u64) -> Result<u64, StepError> {
        Err(StepError("the world takes shards over itself".to_owned()))
    }

    async fn confirm(&self, _: ShardId) -> Result<bool, StepError> {
        Err(StepError("the world looks itself".to_owned()))
    }

    async fn release(&self, shard: ShardId) -> Result<u64, StepError> {
        self.set_epoch(shard, None);
        Ok(1)
    }

    async fn caught_up(&self, _: ShardId, _: u64) -> Result<(), StepError> {
        Ok(())
    }

    fn owns(&self, shard: ShardId) -> bool {
        self.epochs.lock().get(usize::from(shard.0)).copied().flatten().is_some()
    }

    fn next_seq(&self, _: ShardId) -> u64 {
        1
    }
}
