//! A cluster without servers: many nodes' knowledge and decisions, in virtual time, between streams that fence and messages
//! that are late or lost. Nodes die, stop, are cut off, leave and come back as a seed says.
//!
//! Invariant: nothing here decides. What a node does is what [`Knowledge`](holdfast_cluster::plan::knowledge::Knowledge) says;
//! the world carries it out, in pieces, and anything may happen between two of them.

mod event;
mod fault;
mod node;
mod step;
mod stream;
pub mod trial;

use std::collections::BTreeMap;

use holdfast_cluster::{
    BootId, ClusterSettings,
    plan::{
        decide::Step,
        document::{Plan, Revision},
        edit::Scene,
    },
};
use holdfast_core::{ShardCount, ShardId, Timestamp};

use self::{event::Event, node::WorldNode, stream::Streams};
pub use self::{
    fault::Fault,
    node::{Condition, Here},
    trial::REST_MS,
};

/// The shortest and the longest way of a message, in milliseconds.
const WAY_MS: (u64, u64) = (1, 60);
/// How long a step takes that nothing holds up, in milliseconds, at most.
const STEP_MS: u64 = 120;
/// Until a request that nobody answers is given up, in milliseconds.
const GIVEN_UP_MS: u64 = 2_000;

/// The world.
pub struct World {
    shards: ShardCount,
    settings: ClusterSettings,
    now: u64,
    random: u64,
    /// Of a thousand messages, so many are lost.
    pub lost_of_1000: u64,
    /// How many of a thousand shards a node that starts finds purged beyond the record that says whose they are.
    pub purged_of_1000: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
    nodes: Vec<WorldNode>,
    streams: Streams,
    lives: u8,
    /// For how long each shard was served by nobody, at most, in milliseconds, since the last [`World::forget`].
    pub longest_gap_ms: u64,
    served_at: Vec<u64>,
    /// What must never be and was.
    pub violations: Vec<String>,
}

impl World {
    /// A world of `count` nodes that start within the first second.
    pub fn new(count: usize, shards: ShardCount, seed: u64) -> Self {
        let mut world = Self {
            shards,
            settings: ClusterSettings::default(),
            now: 0,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            lost_of_1000: 0,
            purged_of_1000: 0,
            events: BTreeMap::new(),
            scheduled: 0,
            nodes: Vec::new(),
            streams: Streams::new(shards),
            lives: 0,
            longest_gap_ms: 0,
            served_at: vec![0; usize::from(shards.get())],
            violations: Vec::new(),
        };
        for index in 0..count {
            let at = world.below(1_000);
            world.nodes.push(WorldNode::absent(format!("n{index}")));
            world.schedule(at, Event::Fault(Fault::Start(index)));
        }
        world
    }

    /// The present, in milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit.max(1)
    }

    /// Makes something happen now.
    pub fn strike(&mut self, fault: Fault) {
        self.carry_out(Event::Fault(fault));
    }

    /// Lets `millis` milliseconds pass.
    pub fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= until) {
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            self.carry_out(event);
            self.watch();
        }
        self.now = until;
    }

    /// Counts gaps from now on.
    pub fn forget(&mut self) {
        self.longest_gap_ms = 0;
        self.served_at.fill(self.now);
    }

    /// How a node is.
    pub fn condition(&self, node: usize) -> Condition {
        self.nodes[node].condition
    }

    /// How many shards each node serves.
    pub fn served(&self) -> Vec<usize> {
        let count = |node: &WorldNode| self.shards.iter().filter(|shard| node.serves(*shard, self.now)).count();
        self.nodes.iter().map(count).collect()
    }

    /// How many epochs began.
    pub fn epochs(&self) -> u64 {
        self.shards.iter().map(|shard| self.streams.end(shard).0).sum()
    }

    /// How often the plan was written.
    pub fn revisions(&self) -> u64 {
        self.streams.plan.number
    }

    /// Has the plan changed as an operator does, by any node that runs. Whether it was.
    pub fn operate<E>(&mut self, change: impl Fn(&Plan, &Scene) -> Result<Plan, E>) -> bool {
        let Some(node) = self.nodes.iter().position(|node| node.condition == Condition::Running) else { return false };
        let current = self.streams.plan.clone();
        let Some(knowledge) = &self.nodes[node].knowledge else { return false };
        let scene = knowledge.scene(&current.plan, self.timestamp());
        let Ok(plan) = change(&current.plan, &scene) else { return false };
        self.publish(current.number, plan);
        true
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.now).unwrap_or(i64::MAX))
    }

    fn schedule(&mut self, in_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((self.now + in_ms, self.scheduled), event);
    }

    fn way(&mut self) -> u64 {
        WAY_MS.0 + self.below(WAY_MS.1 - WAY_MS.0)
    }

    fn is_lost(&mut self) -> bool {
        self.below(1_000) < self.lost_of_1000
    }

    fn publish(&mut self, after: u64, plan: Plan) {
        if self.streams.plan.number != after {
            return;
        }
        self.streams.plan = Revision { number: after + 1, plan };
        for node in 0..self.nodes.len() {
            let way = self.way();
            if !self.is_lost() {
                self.schedule(way, Event::Plan { node });
            }
        }
    }

    /// What must hold at every moment, and how long shards were served by nobody.
    fn watch(&mut self) {
        for shard in self.shards.iter() {
            let serving = self.nodes.iter().filter(|node| node.serves(shard, self.now));
            let names: Vec<String> = serving.map(|node| node.believes(shard)).collect();
            if names.len() > 1 {
                let end = self.streams.end(shard);
                let violation = format!("at {} ms shard {} ({end:?}): {}", self.now, shard.0, names.join(" and "));
                self.violations.push(violation);
            }
            let index = usize::from(shard.0);
            if !names.is_empty() {
                self.longest_gap_ms = self.longest_gap_ms.max(self.now - self.served_at[index]);
                self.served_at[index] = self.now;
            }
        }
    }

    fn next_boot(&mut self) -> BootId {
        self.lives = self.lives.wrapping_add(1);
        BootId::from_bytes([self.lives; 16])
    }

    fn begin(&mut self, node: usize, shard: ShardId, step: Step) {
        let life = self.nodes[node].life;
        if let Some(knowledge) = &mut self.nodes[node].knowledge {
            knowledge.begin(shard, step);
        }
        let in_ms = 1 + self.below(STEP_MS);
        self.schedule(in_ms, Event::Piece { node, life, shard, step, piece: 0 });
    }
}
