//! `holdfast-plan-worlds`: worlds in which everything goes wrong with the nodes of a cluster, one per seed, on every core.
//! `cargo xtask plan-worlds` builds and calls it.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what a run did is its product")]

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use clap::Parser;
use holdfast_cluster_tests::world::trial::{self, Trial};

/// Runs the nodes' decisions through worlds that go wrong, one per seed.
#[derive(Debug, Parser)]
#[command(name = "holdfast-plan-worlds")]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let next = AtomicU64::new(0);
    let (mut whole, mut failed) = (Trial::default(), 0);
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| work(&arguments, &next))).collect();
        for worker in workers {
            // One that panicked has printed what it was.
            let (trial, faults) = worker.join().unwrap_or((Trial::default(), 1));
            whole += trial;
            failed += faults;
        }
    });
    let (seeds, Trial { faults, epochs, changes }) = (arguments.seeds, whole);
    println!("{seeds} worlds, {failed} failed; {faults} faults, {epochs} epochs, {changes} changes of the plan");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs seeds until none is left. What went on in those that passed, and how many did not.
fn work(arguments: &Arguments, next: &AtomicU64) -> (Trial, u64) {
    let (mut whole, mut failed) = (Trial::default(), 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= arguments.seeds {
            return (whole, failed);
        }
        let seed = arguments.from.wrapping_add(number);
        match trial::run(seed) {
            Ok(trial) => whole += trial,
            Err(fault) => {
                failed += 1;
                println!("seed {seed}: {fault}");
                println!("once more: cargo xtask plan-worlds --from {seed} --seeds 1");
            }
        }
    }
}
