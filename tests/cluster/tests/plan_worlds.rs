//! Placement, takeover and hand-over in worlds that go wrong, as a seed says: see [`holdfast_cluster_tests::world`].
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use holdfast_cluster_tests::world::{Fault, REST_MS, World, trial};
use holdfast_core::ShardCount;

const SHARDS: u16 = 16;
/// Worlds in which everything goes wrong, in number: ten seconds of one core without optimization. `cargo xtask plan-worlds`
/// runs as many as one likes.
const SEEDS: u64 = 12;
/// Seeds that once found a mistake, and what it was.
const REGRESSIONS: [(u64, &str); 2] = [
    (119, "two nodes that had overtaken each other waited for each other's claims"),
    (165, "a shard was opened beside an owner that was cut off, whose lease had not run out"),
];

fn world(nodes: usize, seed: u64) -> World {
    World::new(nodes, ShardCount::new(SHARDS).expect("a number of shards"), seed)
}

/// Every shard is served, each node has its share, and nothing moves any more.
fn assert_at_rest(world: &mut World, seed: u64) {
    world.rest().and_then(|()| world.balanced()).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
}

#[test]
fn nodes_that_start_together_share_the_shards_with_no_shard_moved_twice() {
    for seed in 1..=20 {
        let mut world = world(3, seed);
        assert_at_rest(&mut world, seed);
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
        assert_at_rest(&mut world, seed);
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
        assert_at_rest(&mut world, seed);
        assert!(world.longest_gap_ms < 1_000, "seed {seed}: {} ms, no waiting for silence", world.longest_gap_ms);
        world.strike(Fault::Start(1));
        assert_at_rest(&mut world, seed);
    }
}

#[test]
fn whatever_goes_wrong_no_shard_is_served_twice_and_all_are_in_the_end() {
    for (seed, what) in (1..=SEEDS).map(|seed| (seed, "a fixed range")).chain(REGRESSIONS) {
        if let Err(fault) = trial::run(seed) {
            panic!("seed {seed} ({what}): {fault}\nonce more: cargo xtask plan-worlds --from {seed} --seeds 1");
        }
    }
}
