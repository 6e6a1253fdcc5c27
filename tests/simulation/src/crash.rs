//! How a process dies, and how the next one starts on what it left.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use holdfast_persistence::{SnapshotSource, Store};
use parking_lot::Mutex;

use crate::{
    disk::SimDisk,
    outside::Server,
    process::{Machine, Process},
    violation::Promise,
    world::World,
};

impl Machine {
    /// Whether the process has died inside an operation on the disk or the snapshots.
    pub(crate) fn is_dying(&self) -> bool {
        self.disk.is_dead() || self.snapshots.is_dead()
    }
}

impl World {
    /// The process is gone from one moment to the next, and the power as well if `power` says so.
    pub(crate) fn die(&mut self, why: &str, power: bool) {
        self.machine.trace.note(if power { "CRASH: power cut" } else { "CRASH: killed" }, why.len() as u64, 0);
        self.tally.crashes += 1;
        self.tally.note(if power { "power cuts" } else { "kills" });
        self.outside.connect(None);
        if let Some(Process { node, steps, tasks, bus, .. }) = self.process.take() {
            self.tally.bus.add(bus.figures());
            tasks.end();
            drop(node);
            drop(steps);
        }
        self.machine.disk.revive();
        self.machine.snapshots.revive();
        if power {
            self.machine.disk.cut_power();
        }
        self.cut_power = false;
        let now = self.machine.clock.now();
        self.restart_at = now.saturating_add_millis(self.machine.dice.millis(50, 20_000));
    }

    /// Starts the next process.
    pub(crate) fn start(&mut self) {
        let (dice, faults) = (self.machine.dice.clone(), self.scenario.faults);
        if dice.permille(faults.lose_snapshots_permille) {
            self.machine.snapshots.lose();
            self.tally.note("snapshots lost");
        } else if dice.permille(faults.old_snapshots_permille) && self.machine.snapshots.put_back() {
            self.tally.note("snapshots put back");
        }
        if dice.permille(faults.damage_permille) {
            self.look_at_damage();
            self.look_at_old_copy();
        }
        if dice.permille(faults.die_in_recovery_permille) {
            let operations = dice.below(60);
            self.machine.disk.set_faults(|faults| faults.die_after = Some(operations));
            self.cut_power = dice.coin();
        }
        self.machine.panics.per_million.store(0, Ordering::Relaxed);
        let started = self.machine.start(&self.scenario);
        if self.machine.is_dying() {
            drop(started);
            self.tally.note("deaths in recovery");
            let power = self.cut_power;
            self.die("in recovery", power);
            return;
        }
        match started {
            Ok(process) => self.welcome(process),
            Err(error) => self.violations.report(Promise::Storage, format!("the node did not start: {error}")),
        }
    }

    fn welcome(&mut self, process: Process) {
        self.machine.disk.set_faults(|faults| faults.die_after = None);
        let lost = match self.machine.book.recover(process.journal.as_ref()) {
            Ok(lost) => lost,
            Err(error) => {
                self.violations.report(Promise::Storage, format!("the journal cannot be read: {error}"));
                return;
            }
        };
        self.machine.trace.note("started", self.machine.book.len() as u64, lost);
        self.tally.starts += 1;
        self.tally.unacknowledged += lost;
        self.machine.book.check_all(&process.node, &self.machine.snapshots, &process.recovered);
        self.machine.panics.per_million.store(self.scenario.faults.panic, Ordering::Relaxed);
        let commerce = process.node.commerce().clone();
        self.outside.connect(Some(Server { commerce, tasks: process.tasks.clone() }));
        self.process = Some(process);
    }

    /// Rolls for what goes wrong in this step.
    pub(crate) fn roll_faults(&mut self) {
        if self.calm || self.process.is_none() {
            return;
        }
        let (dice, faults) = (self.machine.dice.clone(), self.scenario.faults);
        let total = faults.kill
            + faults.power_cut
            + faults.die_in_disk
            + faults.die_in_snapshots
            + faults.write_error
            + faults.disk_full
            + faults.snapshot_error
            + faults.shard_death
            + 500;
        let mut roll = dice.below(1_000_000);
        if roll >= total {
            return;
        }
        let mut is = |chance: u64| {
            let hit = roll < chance;
            roll = roll.saturating_sub(chance);
            if hit {
                roll = u64::MAX;
            }
            hit
        };
        if is(faults.kill) {
            self.die("a fault", false);
        } else if is(faults.power_cut) {
            self.die("a fault", true);
        } else if is(faults.die_in_disk) {
            let operations = dice.below(12);
            self.machine.disk.set_faults(|faults| faults.die_after = Some(operations));
            self.cut_power = dice.permille(700);
        } else if is(faults.die_in_snapshots) {
            self.machine.snapshots.die_after(dice.below(4));
            self.cut_power = dice.coin();
        } else if is(faults.write_error) {
            self.machine.disk.set_faults(|faults| faults.fail_next = true);
        } else if is(faults.disk_full) {
            self.fill_disk();
        } else if is(faults.snapshot_error) {
            self.machine.snapshots.fail_next();
        } else if is(faults.shard_death) {
            self.kill_shard();
        } else {
            self.machine.snapshots.remember();
        }
    }

    fn fill_disk(&mut self) {
        let room = self.machine.disk.used() + self.machine.dice.below(80 << 10);
        self.machine.disk.set_faults(|faults| faults.capacity = Some(room));
        let now = self.machine.clock.now();
        self.room_at = Some(now.saturating_add_millis(self.machine.dice.millis(1_000, 120_000)));
        self.tally.note("disk full");
    }

    fn kill_shard(&mut self) {
        let shards = usize::from(self.scenario.shards.get());
        let victim = u16::try_from(self.machine.dice.index(shards)).unwrap_or(0);
        self.machine.trace.note("fault: a shard dies", u64::from(victim), 0);
        self.tally.note("shard deaths");
        if let Some(process) = &mut self.process {
            process.node.kill(holdfast_core::ShardId(victim));
        }
    }

    /// A flipped bit in what a crash left must refuse to start, or have hit what nobody relies on; whatever is refused is
    /// left as it was.
    fn look_at_damage(&mut self) {
        let copy = self.machine.disk.copy();
        let intact = self.read_back(&copy.copy());
        let bytes = copy.bytes();
        let segments: Vec<_> = bytes.iter().filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0)).collect();
        let Some((name, content)) = segments.get(self.machine.dice.index(segments.len())) else { return };
        let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let offset = self.machine.dice.index(used);
        copy.flip(name, offset, u8::try_from(self.machine.dice.below(8)).unwrap_or(0));
        let damaged = copy.bytes();
        self.tally.note("bit flips");
        match (intact, self.read_back(&copy)) {
            (_, ReadBack::Refused) if copy.bytes() != damaged => {
                self.violations.report(Promise::Storage, "a refused start changed the journal");
            }
            (_, ReadBack::Refused | ReadBack::Unreadable) => self.tally.note("bit flips refused"),
            // What hit the last frame looks like a write that was never finished; nothing else may be missing.
            (ReadBack::Records(intact), ReadBack::Records(opened))
                if opened < intact && !self.may_be_torn(&bytes, name) =>
            {
                let what = format!("a flipped bit at {offset} of {name} cut {opened} of {intact} records");
                self.violations.report(Promise::Storage, what);
            }
            _ => {}
        }
    }

    /// A journal from before the snapshots must be refused beside them: one of the two is an older copy.
    fn look_at_old_copy(&mut self) {
        let shards = self.scenario.shards;
        if let Some((old, heads)) = &self.old_disk {
            let watermarks = shards.iter().map(|shard| self.machine.snapshots.watermark(shard).unwrap_or(0));
            let is_behind = watermarks.zip(heads).any(|(watermark, head)| watermark > *head);
            let before = old.bytes();
            let read = self.read_back(old);
            if is_behind {
                self.tally.note("old journals refused");
                if read != ReadBack::Refused || old.bytes() != before {
                    self.violations.report(Promise::Storage, "a journal older than the snapshots was opened");
                }
                self.old_disk = None;
            }
        } else {
            let copy = self.machine.disk.copy();
            let parts = self.machine.store_parts(&self.scenario, Arc::new(copy.copy()));
            if let Ok((store, _steps)) = Store::open_stepped(parts) {
                let heads = shards.iter().map(|shard| store.journal.next_seq(shard) - 1).collect();
                self.old_disk = Some((copy, heads));
            }
        }
    }

    /// Whether a file is the last that was written to.
    fn may_be_torn(&self, bytes: &BTreeMap<String, Vec<u8>>, name: &str) -> bool {
        let header = 48 + 8 * usize::from(self.scenario.shards.get()) + 4;
        let written =
            |bytes: &[u8]| bytes.get(header.next_multiple_of(64)..).is_some_and(|rest| rest.iter().any(|b| *b != 0));
        let last = bytes.iter().filter(|(_, content)| written(content)).map(|(name, _)| name.as_str()).max();
        last.is_none_or(|last| name >= last)
    }

    /// What a disk's journal gives.
    fn read_back(&self, disk: &SimDisk) -> ReadBack {
        let parts = self.machine.store_parts(&self.scenario, Arc::new(disk.clone()));
        let Ok((store, _steps)) = Store::open_stepped(parts) else { return ReadBack::Refused };
        let counted = Mutex::new(0);
        let read = store.journal.replay(&BTreeMap::new(), &|_, _, _| *counted.lock() += 1, &|_| {});
        if read.is_err() { ReadBack::Unreadable } else { ReadBack::Records(counted.into_inner()) }
    }
}

/// What became of reading a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadBack {
    /// It did not open.
    Refused,
    /// It opened, and its damage was found when it was read.
    Unreadable,
    /// It gave so many records.
    Records(u64),
}
