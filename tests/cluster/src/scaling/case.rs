//! A cluster of so many nodes at rest: its plan, its beats, and what one of its nodes knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::Context as _;
use holdfast_actors::Role;
use holdfast_cluster::{
    BootId, ClusterSettings, Owners,
    members::{
        beat::{Beat, Claim, Figures, Standing, WIRE_VERSION, secret_digest},
        pulse::Identity,
    },
    plan::{
        document::Plan,
        edit::{self, Scene},
        knowledge::Knowledge,
        ports::{Log, Shards},
    },
};
use holdfast_cluster_tests::world::Here;
use holdfast_core::{ShardCount, ShardId, Timestamp};

/// Streams besides those of the shards, in number: beats and the plan.
pub(crate) const OTHER_STREAMS: f64 = 2.0;
/// The last record of every shard: seven digits, as after some millions.
const SEQUENCE: u64 = 5_123_456;
/// The present of the cluster.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// The cluster.
pub(crate) struct Case {
    pub(crate) nodes: usize,
    pub(crate) shards: ShardCount,
    /// What the coordinator made of nodes that began without a plan.
    pub(crate) plan: Plan,
}

impl Case {
    pub(crate) fn new(nodes: usize, shards: ShardCount) -> anyhow::Result<Self> {
        let mut case = Self { nodes, shards, plan: Plan::default() };
        case.plan = case.coordinate(&names(nodes)).context("nodes without a plan get one")?;
        Ok(case)
    }

    /// The plan once another node has joined.
    pub(crate) fn joined(&self) -> anyhow::Result<Plan> {
        self.coordinate(&names(self.nodes + 1)).context("a join changed nothing")
    }

    /// The plan once the node of shard 0 is dead.
    pub(crate) fn died(&self) -> anyhow::Result<Plan> {
        let victim = self.plan.home(ShardId(0)).context("every shard has a node")?;
        let mut left = names(self.nodes);
        left.remove(victim);
        self.coordinate(&left).context("a death changed nothing")
    }

    fn coordinate(&self, alive: &BTreeSet<String>) -> Option<Plan> {
        let actual = self.plan.placement.iter().filter(|(_, node)| alive.contains(*node));
        let scene = Scene {
            shards: self.shards,
            known: alive.clone(),
            alive: alive.clone(),
            actual: actual.map(|(shard, node)| (*shard, node.clone())).collect(),
            under_way: BTreeSet::new(),
            secret_digest: secret_digest(b"a secret"),
            is_settled: true,
            now_ms: NOW.as_millis(),
        };
        edit::coordinate(&self.plan, &scene)
    }

    /// What a beat is long as it is sent, in bytes, on the average of all nodes.
    pub(crate) fn beat_bytes(&self) -> anyhow::Result<f64> {
        let mut bytes = 0;
        for index in 0..self.nodes {
            bytes += serde_json::to_vec(&self.beat(index, 1))?.len();
        }
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let average = bytes as f64 / self.nodes as f64;
        Ok(average)
    }

    /// Beat `number` of node `index`, with everything it owns and follows.
    pub(crate) fn beat(&self, index: usize, number: u64) -> Beat {
        let node = name(index);
        let figures = Figures {
            entities: 123_456,
            commands_per_s: 1_234.567_891,
            mailbox_depth: 12,
            memory_bytes: 123_456_789,
            sequence: SEQUENCE,
        };
        let (mut claims, mut follows) = (BTreeMap::new(), BTreeMap::new());
        for shard in self.shards.iter() {
            if self.plan.home(shard) == Some(&node) {
                claims.insert(shard, Claim { epoch: 12, is_leaving: false, figures });
            } else {
                follows.insert(shard, SEQUENCE);
            }
        }
        Beat {
            node,
            boot: boot(index),
            number,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wire: WIRE_VERSION,
            admin_url: "http://10.0.0.1:9090".to_owned(),
            started_at_ms: NOW.as_millis(),
            unbroken_ms: 1_000_000 + number * 500,
            state: Standing::Alive,
            secret_digest: secret_digest(b"a secret"),
            claims,
            follows,
        }
    }

    /// What node 0 knows when it has heard everybody once.
    pub(crate) fn knowledge(&self) -> anyhow::Result<Knowledge> {
        let owners = Arc::new(Owners::none(self.shards));
        let indexes: BTreeMap<String, usize> = (0..self.nodes).map(|index| (name(index), index)).collect();
        let here = Arc::new(Here::new(usize::from(self.shards.get())));
        for shard in self.shards.iter() {
            let index = self.plan.home(shard).and_then(|node| indexes.get(node)).context("every shard has a node")?;
            owners.learn(shard, 1, boot(*index));
            if *index == 0 {
                here.set_role(shard, Role::Owner);
                here.set_epoch(shard, Some(1));
            }
        }
        let identity = Identity {
            node: name(0),
            boot: boot(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            admin_url: "http://10.0.0.1:9090".to_owned(),
            secret_digest: secret_digest(b"a secret"),
            started_at: NOW,
        };
        let (node, log): (Arc<dyn Shards>, Arc<dyn Log>) = (Arc::<Here>::clone(&here), here);
        let mut knowledge = Knowledge::new(identity, ClusterSettings::default(), owners, (node, log), NOW);
        knowledge.beat(NOW);
        for index in 1..self.nodes {
            let heard = knowledge.hear(self.beat(index, 1), NOW);
            heard.map_err(|reason| anyhow::anyhow!("{reason}"))?;
        }
        Ok(knowledge)
    }
}

fn name(index: usize) -> String {
    format!("node-{index:04}")
}

fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(name).collect()
}

fn boot(index: usize) -> BootId {
    // As long as any other.
    BootId::from_bytes((u128::MAX - index as u128).to_be_bytes())
}
