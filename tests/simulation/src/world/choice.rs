//! What can happen next, and what is done when it does: somebody outside acts, a task, a turn, a step of the journal's writer, a
//! snapshot, a shard that is started again. If nothing can, time passes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
};

use holdfast_actors::stepped::Turn;
use holdfast_core::ShardId;
use holdfast_persistence::journal::WriterStep;

use super::World;

/// What could happen next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Choice {
    Outside,
    Task,
    Turn(ShardId),
    Write,
    Prepare,
    Snapshots,
    Revive(ShardId),
    Time,
}

impl World {
    /// What could happen now.
    pub(super) fn gather(&mut self) {
        self.choices.clear();
        let now = self.machine.clock.now();
        if self.outside.tasks.ready() > 0 {
            self.choices.extend([Choice::Outside; 2]);
        }
        if let Some(process) = &self.process {
            if process.tasks.ready() > 0 {
                self.choices.extend([Choice::Task; 3]);
            }
            for shard in self.scenario.shards.iter() {
                if process.node.wants_turn(shard) {
                    self.choices.push(Choice::Turn(shard));
                } else if process.node.can_revive(shard) {
                    self.choices.push(Choice::Revive(shard));
                }
            }
            if process.can_write(now) {
                self.choices.push(Choice::Write);
            }
            if process.prepare_at <= now && process.steps.wants_spare() {
                self.choices.push(Choice::Prepare);
            }
            if process.node.snapshot_jobs() > 0 {
                self.choices.push(Choice::Snapshots);
            }
        }
        self.busy = !self.choices.is_empty();
        if self.busy && self.machine.dice.permille(15) {
            self.choices.clear();
        }
    }

    pub(super) fn happen(&mut self, choice: Choice) {
        let dice = self.machine.dice.clone();
        let trace = self.machine.trace.clone();
        match (choice, self.process.as_mut()) {
            (Choice::Outside, _) => {
                self.outside.tasks.run_one(&dice);
            }
            (Choice::Time, _) | (_, None) => self.pass_time(self.busy),
            (Choice::Task, Some(process)) => {
                let task = process.tasks.run_one(&dice);
                trace.note("task", task.unwrap_or(0), 0);
            }
            (Choice::Turn(shard), Some(process)) => {
                trace.note("turn", u64::from(shard.0), 0);
                let turn = catch_unwind(AssertUnwindSafe(|| process.node.turn(shard)));
                match turn {
                    Ok(Turn::Taken) => {
                        process.recovered.remove(&shard);
                    }
                    Ok(Turn::Died) => self.tally.note("shard deaths"),
                    // Outside a message's work: the shard's actor dies.
                    Err(_) => process.node.kill(shard),
                }
            }
            (Choice::Write, Some(process)) => {
                let step = process.steps.next_step();
                process.steps.step();
                trace.note("journal", step.map_or(0, |step| step as u64), 0);
                if step == Some(WriterStep::Write) && dice.permille(self.scenario.faults.slow_sync_permille) {
                    let now = self.machine.clock.now();
                    process.sync_at = now.saturating_add_millis(dice.millis(10, 2_000));
                    self.tally.note("slow syncs");
                }
            }
            (Choice::Prepare, Some(process)) => {
                process.steps.prepare();
                process.prepare_at =
                    self.machine.clock.now().saturating_add_millis(if process.steps.wants_spare() { 1_000 } else { 0 });
                trace.note("prepare", 0, 0);
            }
            (Choice::Snapshots, Some(process)) => process.node.write_snapshots(),
            (Choice::Revive(shard), Some(process)) => {
                trace.note("revive", u64::from(shard.0), 0);
                let chance = self.machine.panics.per_million.swap(0, Ordering::Relaxed);
                let revived = process.node.revive(shard);
                self.machine.panics.per_million.store(chance, Ordering::Relaxed);
                process.recovered.insert(shard);
                process.check_due = true;
                if let Err(error) = revived
                    && !self.machine.is_dying()
                {
                    self.die(&format!("shard {} could not be recovered: {error}", shard.0), false);
                }
            }
        }
    }
}
