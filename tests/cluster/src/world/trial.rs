//! One world in which everything goes wrong, from its seed to its rest.
//!
//! Invariant: what happens follows from the seed alone, so a seed that fails fails again.

use std::ops::AddAssign;

use holdfast_cluster::plan::edit;
use holdfast_core::{ShardCount, ShardId};

use super::{Condition, Fault, World};

/// Longer than anything in the world takes to come to rest, in milliseconds.
pub const REST_MS: u64 = 20_000;
/// Shards of every world, in number.
const SHARDS: u16 = 16;
/// Faults of every world, in number.
const FAULTS: u64 = 20;
/// The longest time between two faults, in milliseconds.
const BETWEEN_MS: u64 = 4_000;
/// Epochs that a shard has at most, in number: more would be shards that go to and fro.
const EPOCHS: u64 = 40;

/// What went on in a world, or in several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trial {
    /// What was done to nodes, and what operators did, in number.
    pub faults: u64,
    /// Takeovers of a shard, in number.
    pub epochs: u64,
    /// Changes of the plan, in number.
    pub changes: u64,
}

impl AddAssign for Trial {
    fn add_assign(&mut self, other: Self) {
        self.faults += other.faults;
        self.epochs += other.epochs;
        self.changes += other.changes;
    }
}

/// Runs the world of a seed.
///
/// # Errors
/// What went wrong that must not, in words.
pub fn run(seed: u64) -> Result<Trial, String> {
    let nodes = 3 + usize::try_from(seed % 3).unwrap_or_default();
    let shards = ShardCount::new(SHARDS).map_err(|error| error.to_string())?;
    let mut world = World::new(nodes, shards, seed);
    world.lost_of_1000 = 10 * (seed % 11);
    world.purged_of_1000 = 100 * (seed % 7);
    world.pass(5_000);
    for _ in 0..FAULTS {
        strike(&mut world, nodes);
    }
    world.lost_of_1000 = 0;
    (0..nodes).for_each(|node| world.strike(Fault::Heal(node)));
    // Those that were asked to leave are gone by then.
    world.pass(15_000);
    for node in 0..nodes {
        world.strike(Fault::Start(node));
        world.operate(|plan, scene| edit::undrain(plan, scene, &format!("n{node}"), "test"));
    }
    world.rest()?;
    world.operate(|plan, scene| edit::rebalance(plan, scene, "test"));
    world.rest().and_then(|()| world.balanced()).map_err(|fault| format!("rebalanced: {fault}"))?;
    if world.epochs() > u64::from(SHARDS) * EPOCHS {
        return Err(format!("{} epochs of {SHARDS} shards", world.epochs()));
    }
    Ok(Trial { faults: FAULTS, epochs: world.epochs(), changes: world.revisions() })
}

fn strike(world: &mut World, nodes: usize) {
    let (node, wait) = (world.below(nodes as u64), world.below(BETWEEN_MS));
    let node = usize::try_from(node).unwrap_or_default();
    match world.below(10) {
        0 => world.strike(Fault::Kill(node)),
        1 | 2 => world.strike(Fault::Stop(node)),
        3 | 4 => world.strike(Fault::Cut(node)),
        5 => world.strike(Fault::Leave(node)),
        6 => operate(world, node),
        _ => {
            world.strike(Fault::Heal(node));
            world.strike(Fault::Start(node));
        }
    }
    world.pass(wait);
}

/// One of the operators' calls.
fn operate(world: &mut World, node: usize) {
    let name = format!("n{node}");
    let shard = ShardId(u16::try_from(world.below(u64::from(SHARDS))).unwrap_or_default());
    match world.below(5) {
        0 => world.operate(|plan, scene| edit::drain(plan, scene, &name, "test")),
        1 => world.operate(|plan, scene| edit::undrain(plan, scene, &name, "test")),
        2 => world.operate(|plan, scene| edit::rebalance(plan, scene, "test")),
        3 => world.operate(|plan, scene| edit::cancel(plan, scene, "test")),
        _ => world.operate(|plan, scene| edit::move_shard(plan, scene, shard, &name, "test")),
    };
}

impl World {
    /// Lets the world come to rest, and looks whether it did: every shard is served, none ever was by two nodes at once, and
    /// nothing moves any more.
    ///
    /// # Errors
    /// What is not so, in words.
    pub fn rest(&mut self) -> Result<(), String> {
        self.pass(REST_MS);
        let before = (self.epochs(), self.revisions());
        self.pass(REST_MS);
        if let Some(first) = self.violations.first() {
            return Err(format!("{first}, and {} more", self.violations.len() - 1));
        }
        let (served, after) = (self.served(), (self.epochs(), self.revisions()));
        if served.iter().sum::<usize>() != usize::from(self.shards.get()) {
            return Err(format!("the nodes serve {served:?} of {} shards", self.shards.get()));
        }
        if before != after {
            return Err(format!("it goes on moving: epochs and revisions were {before:?} and are {after:?}"));
        }
        Ok(())
    }

    /// Whether every node that runs has its share.
    ///
    /// # Errors
    /// Who has how many, in words.
    pub fn balanced(&self) -> Result<(), String> {
        let served = self.served();
        let running = served.iter().enumerate().filter(|(node, _)| self.condition(*node) == Condition::Running);
        let counts: Vec<usize> = running.map(|(_, count)| *count).collect();
        let spread = counts.iter().max().zip(counts.iter().min()).map_or(0, |(most, least)| most - least);
        if spread <= 1 { Ok(()) } else { Err(format!("the nodes serve {served:?}")) }
    }
}
