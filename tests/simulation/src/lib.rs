//! The deterministic simulation: the real node in one thread, in a world that goes wrong in every way a seed says.
//!
//! **Real**: core, the shard with its turns, the output gate, mailboxes, checkout, payment driver, effects, views, the
//! snapshot writer's jobs, the journal's writer, preparer, survey, recovery and replay, and the recovery of the node.
//! **Simulated**: time, the disk, the snapshot store, the bus between shards, the gateway, the people, and the scheduler.
//! Everything that is a thread or a task in production is a step here, taken in an order that the seed says.
//!
//! Read in this order: [`scenario`](self) is what a seed stands for; `world` is who goes next; `crash` is how a process dies
//! and the next one starts; `disk`, `snapshots`, `bus` and `gateway` are what goes wrong; `buyer` and `merchant` are the
//! people; `model`, `book` and `audit` are what must never happen.
//!
//! Invariant: the same seed gives the same trace. Nothing in a run reads a clock, a random source or the order of a hash
//! table that is not the seed's.
#![forbid(unsafe_code)]

mod audit;
mod book;
mod bug;
mod bus;
mod buyer;
mod cart;
mod crash;
mod dice;
mod disk;
mod gateway;
#[cfg(feature = "planted")]
pub mod hunt;
mod merchant;
mod model;
mod outside;
mod process;
mod report;
mod scenario;
mod snapshots;
mod tally;
mod tasks;
mod trace;
mod violation;
mod world;

pub use report::{Found, Report, Summary};
pub use scenario::Options;
pub use violation::{Promise, Violation};

use world::{START, World};

/// Runs one seed.
pub fn simulate(seed: u64, options: &Options) -> Report {
    let mut world = World::new(seed, *options);
    world.run();
    let violation = world.violation();
    let trace = &world.machine.trace;
    let orders_acknowledged = world.outside.figures.lock().orders;
    let (faults, events) = (world.faults(), world.events());
    let simulated = world.machine.clock.now().as_millis().saturating_sub(START.as_millis());
    Report {
        seed,
        trace_hash: trace.hash(),
        steps: trace.steps(),
        simulated_ms: simulated.unsigned_abs(),
        crashes: world.tally.crashes,
        faults,
        orders_acknowledged,
        events,
        records: world.machine.book.len() as u64,
        last_steps: if violation.is_some() { trace.last(START) } else { Vec::new() },
        violation,
    }
}
