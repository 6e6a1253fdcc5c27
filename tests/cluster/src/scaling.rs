//! What 10, 100 and 1,000 nodes would do: moves, documents, beats and the work they make, from the very code that nodes run.
//! Message counts follow from the settings; sizes and times are taken from real values of this program, on this machine.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a table is its product")]
#![expect(clippy::disallowed_methods, reason = "measures; nothing is decided by it")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use holdfast_cluster::{
    BootId, ClusterSettings, Owners,
    members::{
        beat::{Beat, Claim, Figures, Standing},
        pulse::Identity,
    },
    plan::{
        document::{Plan, Revision},
        edit::{self, Scene},
        knowledge::Knowledge,
        ports::{Log, Role, Shards},
    },
};
use holdfast_cluster_tests::world::Here;
use holdfast_core::{ShardCount, ShardId, Timestamp};

const CASES: [(usize, u16); 5] = [(3, 16), (10, 64), (100, 1_024), (300, 1_024), (1_000, 1_024)];
/// Batches that all shards together make durable each second, for what followers read.
const BATCHES_PER_S: f64 = 5_000.0;

fn main() -> anyhow::Result<()> {
    println!(
        "{:>5} {:>6} | {:>6} {:>6} {:>9} | {:>8} {:>10} {:>9} {:>10} | {:>8} {:>8} | {:>11}",
        "nodes",
        "shards",
        "join",
        "death",
        "plan KiB",
        "beat KiB",
        "beats/s in",
        "MiB/s in",
        "parsing %",
        "turn ms",
        "turns %",
        "tail msg/s"
    );
    for (nodes, shards) in CASES {
        row(nodes, ShardCount::new(shards).map_err(|error| anyhow::anyhow!("{error}"))?)?;
    }
    println!("join, death: moves when one node more or less; in: at each node; %: of one core, at each node.");
    println!(
        "tail msg/s: what the servers hand out for {BATCHES_PER_S} batches/s in the whole, every node following all."
    );
    Ok(())
}

fn row(nodes: usize, shards: ShardCount) -> anyhow::Result<()> {
    let settings = ClusterSettings::default();
    let all: BTreeSet<String> = (0..=nodes).map(|index| format!("node-{index:04}")).collect();
    let fewer: BTreeSet<String> = all.iter().take(nodes).cloned().collect();
    let before = settle(&Plan::default(), &scene(shards, &fewer, &Plan::default()), "the first plan")?;
    let joined = settle(&before, &scene(shards, &all, &before), "a join")?;
    let victim = before.placement.values().next().context("a placement")?.clone();
    let left: BTreeSet<String> = fewer.iter().filter(|name| **name != victim).cloned().collect();
    let died = settle(&before, &scene(shards, &left, &before), "a death")?;
    let document = before.write().map_err(|error| anyhow::anyhow!("{error}"))?.len();
    let beat = serde_json::to_vec(&beat_of(0, &before, shards))?;
    let per_s = 1_000.0 / settings.beat_interval_ms as f64 * nodes as f64;
    let (parse_s, turn_s) = (parse_time(&beat)?, turn_time(nodes, shards, &before)?);
    let kib = |bytes: usize| bytes as f64 / 1_024.0;
    println!(
        "{nodes:>5} {:>6} | {:>6} {:>6} {:>9.1} | {:>8.1} {per_s:>10.0} {:>9.2} {:>10.1} | {:>8.2} {:>8.1} | {:>11.0}",
        shards.get(),
        joined.moves.len(),
        died.moves.len(),
        kib(document),
        kib(beat.len()),
        kib(beat.len()) * per_s / 1_024.0,
        parse_s * per_s * 100.0,
        turn_s * 1_000.0,
        turn_s * 10.0 * 100.0,
        BATCHES_PER_S * (nodes - 1) as f64,
    );
    Ok(())
}

fn scene(shards: ShardCount, alive: &BTreeSet<String>, plan: &Plan) -> Scene {
    let actual = plan.placement.iter().filter(|(_, node)| alive.contains(*node));
    Scene {
        shards,
        known: alive.clone(),
        alive: alive.clone(),
        actual: actual.map(|(shard, node)| (*shard, node.clone())).collect(),
        under_way: BTreeSet::new(),
        secret_digest: "0".repeat(32),
        is_settled: true,
        now_ms: 0,
    }
}

fn settle(plan: &Plan, scene: &Scene, what: &str) -> anyhow::Result<Plan> {
    edit::coordinate(plan, scene).with_context(|| format!("{what} changed nothing"))
}

/// A beat of node `index` with everything it owns and follows.
fn beat_of(index: usize, plan: &Plan, shards: ShardCount) -> Beat {
    let node = format!("node-{index:04}");
    let figures = Figures {
        entities: 123_456,
        commands_per_s: 1_234.5,
        mailbox_depth: 12,
        memory_bytes: 123_456_789,
        sequence: 12_345_678,
    };
    let (mut claims, mut follows) = (BTreeMap::new(), BTreeMap::new());
    for shard in shards.iter() {
        if plan.home(shard) == Some(&node) {
            claims.insert(shard, Claim { epoch: 12, is_leaving: false, figures });
        } else {
            follows.insert(shard, 12_345_678);
        }
    }
    Beat {
        node,
        boot: boot(index),
        number: 1,
        version: "0.1.0".to_owned(),
        wire: 1,
        admin_url: "http://10.0.0.1:9090".to_owned(),
        started_at_ms: 1_700_000_000_000,
        unbroken_ms: 10_000,
        state: Standing::Alive,
        secret_digest: "0".repeat(32),
        claims,
        follows,
    }
}

fn boot(index: usize) -> BootId {
    BootId::from_bytes((index as u128 + 1).to_be_bytes())
}

/// Seconds to read one beat.
fn parse_time(bytes: &[u8]) -> anyhow::Result<f64> {
    let (began, times) = (Instant::now(), 200_u32);
    for _ in 0..times {
        std::hint::black_box(serde_json::from_slice::<Beat>(std::hint::black_box(bytes))?);
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(times))
}

/// Seconds of one look at everything in a cluster at rest.
fn turn_time(nodes: usize, shards: ShardCount, plan: &Plan) -> anyhow::Result<f64> {
    let now = Timestamp::from_millis(10_000);
    let owners = Arc::new(Owners::none(shards));
    let indexes: BTreeMap<String, usize> = (0..nodes).map(|index| (format!("node-{index:04}"), index)).collect();
    for shard in shards.iter() {
        let owner = plan.home(shard).and_then(|node| indexes.get(node)).context("every shard has a node")?;
        owners.learn(shard, 1, boot(*owner));
    }
    let here = Arc::new(Here::new(usize::from(shards.get())));
    let mine: Vec<ShardId> = shards.iter().filter(|shard| plan.home(*shard) == Some("node-0000")).collect();
    for shard in mine {
        here.set_role(shard, Role::Owner);
        here.set_epoch(shard, Some(1));
    }
    let identity = Identity {
        node: "node-0000".to_owned(),
        boot: boot(0),
        version: String::new(),
        admin_url: String::new(),
        secret_digest: "0".repeat(32),
        started_at: now,
    };
    let (node, log): (Arc<dyn Shards>, Arc<dyn Log>) = (Arc::<Here>::clone(&here), here);
    let mut knowledge = Knowledge::new(identity, ClusterSettings::default(), owners, (node, log), now);
    knowledge.beat(now);
    for index in 1..nodes {
        let heard = knowledge.hear(beat_of(index, plan, shards), now);
        heard.map_err(|reason| anyhow::anyhow!("{reason}"))?;
    }
    let revision = Revision { number: 1, plan: plan.clone() };
    let (began, turns) = (Instant::now(), 20_u32);
    for _ in 0..turns {
        knowledge.notice(true, now);
        anyhow::ensure!(knowledge.due(&revision, true, now).is_none(), "a cluster at rest plans nothing");
        anyhow::ensure!(knowledge.steps(plan, true, now).is_empty(), "a cluster at rest takes no steps");
    }
    Ok(began.elapsed().as_secs_f64() / f64::from(turns))
}
