//! Cuts every connection whose deadline has passed: no first byte, a head that trickles in, an answer nobody reads, an
//! idle keep-alive, a close that does not end. One sweep serves all connections of a listener.
//!
//! Invariant (I6): whatever a peer does or does not do, its connection ends within the deadline of what it is doing.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::pulse::{Order, Phase, Pulse, TICK_MS};
use crate::settings::DeadlineSettings;

/// All open connections of one listener.
#[derive(Debug)]
pub(crate) struct Reaper {
    clock: Arc<AtomicU32>,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Pulse>>>,
    /// The longest stay in each phase, in ticks, by the phase's number; zero is without end.
    limits: [u32; Phase::ALL.len()],
}

/// Membership of one connection; leaves when dropped.
pub(crate) struct Registration {
    reaper: Arc<Reaper>,
    id: u64,
    /// The connection's pulse.
    pub(crate) pulse: Arc<Pulse>,
}

impl Reaper {
    /// A reaper that enforces `deadlines`.
    pub(crate) fn new(deadlines: &DeadlineSettings) -> Arc<Self> {
        let ticks = |millis: u64| u32::try_from(millis.div_ceil(u64::from(TICK_MS)).max(1)).unwrap_or(u32::MAX);
        let limits = Phase::ALL.map(|phase| match phase {
            Phase::Fresh => ticks(deadlines.first_byte_ms),
            Phase::Head => ticks(deadlines.header_ms),
            Phase::Serving => 0,
            Phase::Idle => ticks(deadlines.idle_ms),
            Phase::Stalled => ticks(deadlines.write_ms),
            Phase::Closing => ticks(deadlines.close_ms),
        });
        Arc::new(Self { clock: Arc::default(), next: AtomicU64::new(0), open: Mutex::default(), limits })
    }

    /// Takes a new connection in.
    pub(crate) fn register(self: &Arc<Self>) -> Registration {
        let pulse = Arc::new(Pulse::new(Arc::clone(&self.clock)));
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, Arc::clone(&pulse));
        Registration { reaper: Arc::clone(self), id, pulse }
    }

    /// Sweeps until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(u64::from(TICK_MS)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            for phase in self.sweep(now) {
                metrics::counter!("holdfast_http_connections_cut_total", "deadline" => phase.name()).increment(1);
            }
        }
    }

    /// Cuts what is overdue at tick `now`; answers with the phase of each.
    fn sweep(&self, now: u32) -> Vec<Phase> {
        let mut cut = Vec::new();
        for pulse in self.open.lock().values() {
            let (phase, ticks) = pulse.age(now);
            let limit = self.limits[phase as usize];
            if limit != 0 && ticks > limit && pulse.order() != Order::Cut {
                pulse.give(Order::Cut);
                cut.push(phase);
            }
        }
        cut
    }

    /// Asks the same of every open connection.
    pub(crate) fn give_all(&self, order: Order) {
        for pulse in self.open.lock().values() {
            pulse.give(order);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.reaper.open.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overdue_head_is_cut_and_a_working_handler_is_not() {
        let reaper = Reaper::new(&DeadlineSettings { header_ms: 300, ..DeadlineSettings::default() });
        let (slow, busy) = (reaper.register(), reaper.register());
        slow.pulse.enter(Phase::Head);
        busy.pulse.enter(Phase::Serving);
        assert_eq!(reaper.sweep(3), vec![]);
        assert_eq!(reaper.sweep(4), vec![Phase::Head]);
        assert_eq!(slow.pulse.order(), Order::Cut);
        assert_eq!(reaper.sweep(1_000_000), vec![], "a connection is cut once");
        assert_eq!(busy.pulse.order(), Order::GoOn);
        drop(slow);
        assert_eq!(reaper.open.lock().len(), 1);
    }
}
