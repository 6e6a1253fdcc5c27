//! Placement, takeover and hand-over in worlds that go wrong, as a seed says: see [`holdfast_cluster_tests::world`].

use holdfast_cluster::plan::edit;
use holdfast_cluster_tests::world::{Condition, Fault, World};
use holdfast_core::{ShardCount, ShardId};

const SHARDS: u16 = 16;
/// Worlds in which everything goes wrong, in number.
const SEEDS: u64 = 200;
/// Longer than anything in the world takes to come to rest.
const REST_MS: u64 = 20_000;

fn world(nodes: usize, seed: u64) -> World {
    World::new(nodes, ShardCount::new(SHARDS).expect("a number of shards"), seed)
}

/// Every shard is served, each node has its share, and nothing moves any more.
fn assert_at_rest(world: &mut World, what: &str) {
    world.pass(REST_MS);
    let (epochs, revisions) = (world.epochs(), world.revisions());
    world.pass(REST_MS);
    assert_eq!(world.violations.first(), None, "{what}, and {} more", world.violations.len());
    let served = world.served();
    assert_eq!(served.iter().sum::<usize>(), usize::from(SHARDS), "{what}: {served:?}");
    assert_eq!((world.epochs(), world.revisions()), (epochs, revisions), "{what}: it goes on moving");
}

fn assert_balanced(world: &World, what: &str) {
    let served = world.served();
    let running = (0..served.len()).filter(|node| world.condition(*node) == Condition::Running);
    let counts: Vec<usize> = running.map(|node| served[node]).collect();
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    let spread = most.unwrap_or_default() - least.unwrap_or_default();
    assert!(spread <= 1, "{what}: {served:?}");
}

#[test]
fn nodes_that_start_together_share_the_shards_with_no_shard_moved_twice() {
    for seed in 1..=20 {
        let mut world = world(3, seed);
        assert_at_rest(&mut world, &format!("seed {seed}"));
        assert_balanced(&world, &format!("seed {seed}"));
        assert_eq!(world.epochs(), u64::from(SHARDS), "seed {seed}: every shard was taken once");
    }
}

#[test]
fn a_killed_nodes_shards_are_served_again_after_the_silence_and_nobody_elses_move() {
    let mut gaps = Vec::new();
    for seed in 1..=50 {
        let mut world = world(3, seed);
        world.pass(REST_MS);
        let (victim, before) = (usize::from(u8::try_from(seed % 3).expect("below 3")), world.epochs());
        let lost = world.served()[victim];
        world.forget();
        world.strike(Fault::Kill(victim));
        assert_at_rest(&mut world, &format!("seed {seed}"));
        assert_balanced(&world, &format!("seed {seed}"));
        assert_eq!(world.epochs() - before, lost as u64, "seed {seed}: its shards moved once, the others not at all");
        gaps.push(world.longest_gap_ms);
    }
    gaps.sort_unstable();
    println!("virtual ms until a killed node's shards are served: median {}, longest {}", gaps[25], gaps[49]);
    assert!(gaps[49] <= 5_000, "{gaps:?}");
}

#[test]
fn a_leaving_node_hands_everything_over_and_a_returning_one_gets_its_share() {
    for seed in 1..=20 {
        let mut world = world(3, seed);
        world.pass(REST_MS);
        world.forget();
        world.strike(Fault::Leave(1));
        assert_at_rest(&mut world, &format!("seed {seed}"));
        assert!(world.longest_gap_ms < 1_000, "seed {seed}: {} ms, no waiting for silence", world.longest_gap_ms);
        world.strike(Fault::Start(1));
        assert_at_rest(&mut world, &format!("seed {seed}"));
        assert_balanced(&world, &format!("seed {seed}"));
    }
}

#[test]
fn whatever_goes_wrong_no_shard_is_served_twice_and_all_are_in_the_end() {
    let (mut faults, mut epochs, mut changes) = (0_u64, 0, 0);
    for seed in 1..=SEEDS {
        let nodes = 3 + usize::try_from(seed % 3).expect("below 3");
        let mut world = world(nodes, seed);
        world.lost_of_1000 = 10 * (seed % 11);
        world.pass(5_000);
        for _ in 0..20 {
            let (node, wait) = (world.below(nodes as u64), world.below(4_000));
            let node = usize::try_from(node).expect("few nodes");
            match world.below(10) {
                0 => world.strike(Fault::Kill(node)),
                1 | 2 => world.strike(Fault::Stop(node)),
                3 | 4 => world.strike(Fault::Cut(node)),
                5 => world.strike(Fault::Leave(node)),
                6 => operate(&mut world, node),
                _ => {
                    world.strike(Fault::Heal(node));
                    world.strike(Fault::Start(node));
                }
            }
            faults += 1;
            world.pass(wait);
        }
        world.lost_of_1000 = 0;
        (0..nodes).for_each(|node| world.strike(Fault::Heal(node)));
        // Those that were asked to leave are gone by then.
        world.pass(15_000);
        for node in 0..nodes {
            world.strike(Fault::Start(node));
            world.operate(|plan, scene| edit::undrain(plan, scene, &format!("n{node}"), "test"));
        }
        assert_at_rest(&mut world, &format!("seed {seed}"));
        world.operate(|plan, scene| edit::rebalance(plan, scene, "test"));
        assert_at_rest(&mut world, &format!("seed {seed}, rebalanced"));
        assert_balanced(&world, &format!("seed {seed}"));
        epochs += world.epochs();
        changes += world.revisions();
        let most = u64::from(SHARDS) * 40;
        assert!(world.epochs() <= most, "seed {seed}: {} epochs", world.epochs());
    }
    println!("{SEEDS} worlds, {faults} faults: {epochs} epochs, {changes} changes of the plan");
}

/// One of the operators' calls.
fn operate(world: &mut World, node: usize) {
    let name = format!("n{node}");
    let shard = ShardId(u16::try_from(world.below(u64::from(SHARDS))).expect("few shards"));
    match world.below(5) {
        0 => world.operate(|plan, scene| edit::drain(plan, scene, &name, "test")),
        1 => world.operate(|plan, scene| edit::undrain(plan, scene, &name, "test")),
        2 => world.operate(|plan, scene| edit::rebalance(plan, scene, "test")),
        3 => world.operate(|plan, scene| edit::cancel(plan, scene, "test")),
        _ => world.operate(|plan, scene| edit::move_shard(plan, scene, shard, &name, "test")),
    };
}
