//! The world of one run: the machine, the process on it, the people outside, and the scheduler that says who goes next.
//!
//! Read in this order: `choice` is what can happen next and what is done then, `time` is what passes when nothing else can, or now
//! and then when something else could.
//!
//! Invariant: one thing happens at a time, and what happens next follows from the seed.

mod choice;
mod time;

use std::sync::{Arc, atomic::Ordering};

use holdfast_actors::Clock;
use holdfast_core::Timestamp;
use parking_lot::Mutex;

use crate::{
    audit,
    book::Book,
    bug::BugWatch,
    bus::BusFigures,
    buyer,
    dice::Dice,
    disk::SimDisk,
    gateway::SimGateway,
    merchant,
    outside::Outside,
    process::{Machine, Process},
    scenario::{Options, Scenario},
    snapshots::SimSnapshots,
    tally::Tally,
    tasks::Tasks,
    trace::Trace,
    violation::{Promise, Violation, Violations},
};
use choice::Choice;

/// The start of every run's time: 2026-01-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// How often everything is compared, in steps of the scheduler.
const CHECK_EVERY_STEPS: u64 = 2_000;

/// A run.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) options: Options,
    pub(crate) machine: Machine,
    pub(crate) outside: Outside,
    pub(crate) process: Option<Process>,
    /// When the dead process is started again.
    pub(crate) restart_at: Timestamp,
    /// When a full disk has room again.
    pub(crate) room_at: Option<Timestamp>,
    /// Whether the power goes with the death that is under way.
    pub(crate) cut_power: bool,
    pub(crate) tally: Tally,
    pub(crate) violations: Violations,
    pub(crate) calm: bool,
    /// The disk as it once was, and the last sequence of each shard then.
    pub(crate) old_disk: Option<(SimDisk, Vec<u64>)>,
    choices: Vec<Choice>,
    /// Whether anything waits to be done.
    busy: bool,
    bugs: BugWatch,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> Self {
        let (dice, trace, violations) = (Dice::new(seed), Trace::default(), Violations::default());
        let clock = Clock::manual(START);
        let scenario = Scenario::draw(&dice, &options);
        let book = Book::new(scenario.shards, violations.clone(), trace.clone());
        let tasks = Tasks::new(clock.clone());
        let gateway = SimGateway::new(
            tasks.clone(),
            clock.clone(),
            dice.clone(),
            book.clone(),
            trace.clone(),
            violations.clone(),
        );
        *gateway.faults.lock() = scenario.gateway;
        let outside = Outside::new(tasks, dice.clone(), trace.clone(), book.clone(), violations.clone());
        let machine = Machine {
            disk: SimDisk::new(dice.clone(), Some(trace.clone())),
            snapshots: SimSnapshots::new(dice.clone(), trace.clone()),
            gateway,
            clock,
            dice,
            trace,
            book,
            bus: Arc::new(Mutex::new(scenario.bus)),
            panics: Arc::default(),
        };
        Self {
            scenario,
            options,
            machine,
            outside,
            process: None,
            restart_at: START,
            room_at: None,
            cut_power: false,
            tally: Tally::default(),
            violations,
            calm: false,
            old_disk: None,
            choices: Vec::new(),
            busy: false,
            bugs: BugWatch::begin(),
        }
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) {
        for article in self.scenario.articles.clone() {
            self.outside.start(merchant::stock(self.outside.clone(), article, self.scenario.restocks));
        }
        for plan in self.scenario.plans.clone() {
            self.outside.start(buyer::live(self.outside.clone(), plan));
        }
        let storm_until = START.saturating_add_millis(5 * 3_600_000);
        while self.goes_on() && self.machine.clock.now() < storm_until && self.outside.tasks.len() > 0 {
            self.step();
        }
        self.calm_down();
        // Past the last hold's time to live and the last retry of a gateway call.
        let rest = self.scenario.settings.hold_ttl_ms + self.scenario.settings.checkout_deadline_ms + 600_000;
        let calm_until = self.machine.clock.now().saturating_add_millis(rest);
        while self.goes_on() && (self.machine.clock.now() < calm_until || self.outside.tasks.len() > 0) {
            self.step();
        }
        // Once more from the disk: whoever is out of service comes back, and everything must be found again.
        self.die("the end of the run", false);
        let rest_until = self.machine.clock.now().saturating_add_millis(300_000);
        while self.goes_on() && (self.machine.clock.now() < rest_until || self.busy) {
            self.step();
        }
        if self.goes_on() {
            audit::audit(self);
        }
        let steps = self.tally.steps;
        if steps >= self.options.max_steps {
            self.violations.report(Promise::Progress, format!("not at rest after {steps} steps"));
        }
    }

    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violations.first()
    }

    fn goes_on(&self) -> bool {
        !self.violations.any() && self.tally.steps < self.options.max_steps
    }

    /// The faults are over.
    fn calm_down(&mut self) {
        self.calm = true;
        self.room_at = None;
        self.scenario.faults = crate::scenario::Faults::default();
        *self.machine.bus.lock() = crate::bus::BusFaults { delay_ms: 20, ..Default::default() };
        *self.machine.gateway.faults.lock() = crate::gateway::GatewayFaults::default();
        self.machine.disk.set_faults(|faults| *faults = crate::disk::DiskFaults::default());
        self.machine.panics.per_million.store(0, Ordering::Relaxed);
        self.outside.set_calm();
        self.machine.trace.note("calm", 0, 0);
    }

    /// One thing happens.
    fn step(&mut self) {
        self.tally.steps += 1;
        self.machine.trace.at(self.machine.clock.now());
        if self.process.is_none() && self.restart_at <= self.machine.clock.now() {
            self.start();
        }
        self.roll_faults();
        self.gather();
        let choice = match self.choices.as_slice() {
            [] => Choice::Time,
            choices => choices.get(self.machine.dice.index(choices.len())).copied().unwrap_or(Choice::Time),
        };
        self.happen(choice);
        if let Some(panic) = self.bugs.take() {
            self.violations.report(Promise::State, format!("a panic that nobody asked for: {panic}"));
        }
        self.look();
    }

    /// Looks at what the step has done.
    fn look(&mut self) {
        if self.machine.is_dying() {
            let power = self.cut_power;
            self.die("in a disk operation", power);
            return;
        }
        let Some(process) = &mut self.process else { return };
        if let Some(reason) = process.node.failure() {
            let power = self.machine.dice.permille(300);
            self.die(&reason, power);
            return;
        }
        self.machine.book.check_touched(&process.node);
        let is_time = self.tally.steps.is_multiple_of(CHECK_EVERY_STEPS);
        if is_time || (process.check_due && process.recovered.is_empty()) {
            process.check_due = false;
            self.machine.book.check_all(&process.node, &self.machine.snapshots, &process.recovered);
        }
    }

    /// Figures of buses that are gone and of the one that is there.
    pub(crate) fn bus_figures(&self) -> BusFigures {
        let mut figures = self.tally.bus;
        if let Some(process) = &self.process {
            figures.add(process.bus.figures());
        }
        figures
    }
}
