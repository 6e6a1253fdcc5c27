//! Time: it goes to the next instant at which something happens by itself, and brings what comes with it: timers, messages of the
//! bus, ticks, webhooks, room on a full disk.

use holdfast_core::Timestamp;
use holdfast_persistence::journal::WriterStep;

use super::World;
use crate::outside::Server;

/// How often a node looks at its deadlines, in milliseconds.
const TICK_MS: i64 = 100;

impl World {
    /// Goes to the next instant at which something happens by itself.
    pub(super) fn pass_time(&mut self, busy: bool) {
        let now = self.machine.clock.now();
        let mut next = [self.outside.tasks.next_timer(), self.machine.gateway.next_webhook(), self.room_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Timestamp::MAX);
        match &self.process {
            None => next = next.min(self.restart_at),
            Some(process) => {
                next = next.min(process.tasks.next_timer().unwrap_or(Timestamp::MAX));
                next = next.min(process.bus.next_due().unwrap_or(Timestamp::MAX));
                if process.node.next_due() < Timestamp::MAX {
                    let tick = process.last_tick.saturating_add_millis(TICK_MS);
                    next = next.min(process.node.next_due().max(tick));
                }
                if process.steps.next_step() == Some(WriterStep::Sync) {
                    next = next.min(process.sync_at);
                }
                if process.steps.wants_spare() {
                    next = next.min(process.prepare_at);
                }
            }
        }
        // By a moment at least, and by little while something waits to be done: in production it would be done by then.
        let longest = if busy { self.machine.dice.millis(1, 50) } else { 3_600_000 };
        let wait = next.as_millis().saturating_sub(now.as_millis()).clamp(1, longest);
        self.machine.clock.advance(wait.unsigned_abs());
        self.machine.trace.at(self.machine.clock.now());
        self.arrive();
    }

    /// What comes with a new instant.
    fn arrive(&mut self) {
        let now = self.machine.clock.now();
        self.outside.tasks.fire();
        if self.room_at.is_some_and(|at| at <= now) {
            self.room_at = None;
            self.machine.disk.set_faults(|faults| faults.capacity = None);
        }
        if let Some(process) = &mut self.process {
            process.tasks.fire();
            process.bus.deliver();
            if now >= process.last_tick.saturating_add_millis(TICK_MS) {
                process.last_tick = now;
                process.node.tick();
            }
        }
        while let Some((order, command)) = self.machine.gateway.take_webhook() {
            match self.outside.server() {
                Some(Server { commerce, .. }) => commerce.record_payment(order, command),
                None => self.machine.gateway.put_off(order, command),
            }
        }
    }
}
