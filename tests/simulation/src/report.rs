//! What a run did, and how it ended.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::violation::Violation;

/// The outcome of one seed.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// A hash of everything that happened: the same for the same seed.
    pub trace_hash: u64,
    /// Steps of the scheduler and of what it drives.
    pub steps: u64,
    /// Time that passed in the simulated world, in milliseconds.
    pub simulated_ms: u64,
    /// Deaths of the process, however they came.
    pub crashes: u64,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Orders that somebody was told of.
    pub orders_acknowledged: u64,
    /// What people did and were told, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Journal records at the end.
    pub records: u64,
    /// The broken promise, if any.
    pub violation: Option<Violation>,
    /// The last steps before the end, in words; only after a violation.
    pub last_steps: Vec<String>,
}

/// The outcome of many seeds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Seeds that ran.
    pub seeds: u64,
    /// Steps of all of them.
    pub steps: u64,
    /// Simulated time, in hours.
    pub simulated_hours: f64,
    /// Deaths of the process.
    pub crashes: u64,
    /// Faults by kind.
    pub faults: BTreeMap<String, u64>,
    /// Orders that somebody was told of.
    pub orders_acknowledged: u64,
    /// What people did and were told, by kind.
    pub events: BTreeMap<String, u64>,
    /// Journal records.
    pub records: u64,
    /// Seeds with a violation, and which.
    pub violations: Vec<Found>,
}

/// A seed that broke a promise.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The seed.
    pub seed: u64,
    /// What was broken, in words.
    pub violation: String,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.steps += report.steps;
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let hours = report.simulated_ms as f64 / 3_600_000.0;
        self.simulated_hours += hours;
        self.crashes += report.crashes;
        self.orders_acknowledged += report.orders_acknowledged;
        self.records += report.records;
        for (kind, count) in &report.faults {
            *self.faults.entry(String::from(*kind)).or_default() += count;
        }
        for (kind, count) in &report.events {
            *self.events.entry(String::from(*kind)).or_default() += count;
        }
        if let Some(violation) = &report.violation {
            self.violations.push(Found { seed: report.seed, violation: violation.to_string() });
        }
    }

    /// Adds what another thread found.
    pub fn merge(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.simulated_hours += other.simulated_hours;
        self.crashes += other.crashes;
        self.orders_acknowledged += other.orders_acknowledged;
        self.records += other.records;
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        for (kind, count) in other.events {
            *self.events.entry(kind).or_default() += count;
        }
        self.violations.extend(other.violations);
        self.violations.sort_by_key(|found| found.seed);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, trace_hash, steps, crashes, orders_acknowledged, .. } = self;
        writeln!(
            f,
            "seed {seed}: {steps} steps, {crashes} crashes, {orders_acknowledged} orders acknowledged, trace {trace_hash:016x}"
        )?;
        let Some(violation) = &self.violation else { return Ok(()) };
        writeln!(f, "VIOLATION  {violation}")?;
        writeln!(f, "rerun      cargo xtask simulate --from {seed} --seeds 1")?;
        writeln!(f, "keep       add `{seed}  <why>` to tests/simulation/regressions.txt")?;
        writeln!(f, "the last steps:")?;
        self.last_steps.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}
