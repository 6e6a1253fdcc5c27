//! The hunt: every planted bug is given a bounded number of seeds to be seen in. What is not found shows what the simulation
//! is blind to.
//!
//! Invariant: a bug counts as found only by a violation of a promise, in a run that keeps every promise without the bug.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use holdfast_core::planted::{Bug, Planted};
use parking_lot::Mutex;
use serde::Serialize;

use crate::{Options, Report, simulate};

/// A bug, and what the hunt made of it.
#[derive(Debug, Clone, Serialize)]
pub struct Hunted {
    /// Its name.
    pub bug: &'static str,
    /// What is done wrong.
    pub mistake: &'static str,
    /// Whether a promise was seen broken, and only with the bug.
    pub found: bool,
    /// Seeds that ran with it.
    pub seeds: u64,
    /// The seed it was seen in.
    pub seed: Option<u64>,
    /// The promise that was broken.
    pub promise: Option<&'static str>,
    /// What was seen.
    pub violation: Option<String>,
}

/// Which bugs are hunted, and how long.
#[derive(Debug, Clone)]
pub struct Hunt {
    /// The first seed.
    pub from: u64,
    /// The most seeds a bug may take to be seen.
    pub seeds: u64,
    /// Threads, each with a bug of its own.
    pub threads: usize,
    /// Only the bug of this name.
    pub only: Option<String>,
}

impl Hunt {
    /// The bugs it is about.
    pub fn bugs(&self) -> Vec<Bug> {
        let wanted = |bug: &Bug| self.only.as_deref().is_none_or(|only| only == bug.name());
        Bug::ALL.into_iter().filter(wanted).collect()
    }

    /// Hunts them all, and says of each when it is done.
    pub fn run(&self, options: &Options, done: &(dyn Fn(&Hunted) + Sync)) -> Vec<Hunted> {
        let bugs = self.bugs();
        let next = AtomicUsize::new(0);
        let hunted = Mutex::new(Vec::with_capacity(bugs.len()));
        let work = || {
            while let Some((place, bug)) = {
                let place = next.fetch_add(1, Ordering::Relaxed);
                bugs.get(place).map(|bug| (place, *bug))
            } {
                let outcome = self.track(bug, options);
                done(&outcome);
                hunted.lock().push((place, outcome));
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        let mut hunted = hunted.into_inner();
        hunted.sort_by_key(|(place, _)| *place);
        hunted.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn track(&self, bug: Bug, options: &Options) -> Hunted {
        let (name, mistake) = (bug.name(), bug.mistake());
        let nothing = Hunted { bug: name, mistake, found: false, seeds: 0, seed: None, promise: None, violation: None };
        for number in 0..self.seeds {
            let seed = self.from.wrapping_add(number);
            let Some(violation) = with(bug, seed, options).violation else { continue };
            let found = simulate(seed, options).violation.is_none();
            let (promise, what) = (Some(violation.promise.name()), Some(violation.what));
            return Hunted { found, seeds: number + 1, seed: Some(seed), promise, violation: what, ..nothing };
        }
        Hunted { seeds: self.seeds, ..nothing }
    }
}

/// Runs one seed with a bug.
fn with(bug: Bug, seed: u64, options: &Options) -> Report {
    let _planted = Planted::plant(bug);
    simulate(seed, options)
}
