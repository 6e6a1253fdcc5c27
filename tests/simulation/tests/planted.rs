//! What shows that the simulation can see: it finds every planted bug. Only in the build that has them:
//! `cargo xtask test planted`.
#![cfg(feature = "planted")]

use holdfast_simulation::{
    Options,
    hunt::{Hunt, Hunted},
};

/// A bug that needs more seeds than this has become hard to see.
const SEEDS_PER_BUG: u64 = 200;

#[test]
fn every_planted_bug_is_found() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let hunt = Hunt { from: 1, seeds: SEEDS_PER_BUG, threads, only: None };
    let done = |hunted: &Hunted| println!("{}: {} seeds, {:?}", hunted.bug, hunted.seeds, hunted.promise);
    let missed: Vec<_> = hunt.run(&Options::default(), &done).into_iter().filter(|hunted| !hunted.found).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
