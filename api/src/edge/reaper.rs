//! Cuts every connection whose deadline has passed: no first byte, a head that trickles in, an answer nobody reads, an
//! idle keep-alive, a close that does not end. One sweep serves all connections of a listener.
//!
//! Invariant (I6): whatever a peer does or does not do, its connection ends within the deadline of what it is doing, or a
//! second later for every 8,000 that are overdue with it.

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

/// How many overdue connections are cut at once, and how long the next ones wait: about 10,000 a second.
const CUTS_AT_ONCE: usize = 16;
const CUT_PAUSE: Duration = Duration::from_millis(1);

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

    /// Sweeps until dropped. What is overdue is cut a few at a time: closing a connection, and taking it in again when it
    /// comes back at once, costs more than an order, and thousands that connected together are overdue together.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(Duration::from_millis(u64::from(TICK_MS)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut overdue = Vec::new();
        loop {
            tokio::select! {
                _ = ticks.tick() => {
                    let now = self.clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                    if overdue.is_empty() {
                        overdue = self.sweep(now);
                    }
                }
                () = tokio::time::sleep(CUT_PAUSE), if !overdue.is_empty() => {}
            }
            self.cut_some(&mut overdue, self.clock.load(Ordering::Relaxed));
        }
    }

    /// Takes the last few out of `overdue` and cuts those that still are at tick `now`: it may have moved on since the sweep.
    fn cut_some(&self, overdue: &mut Vec<Arc<Pulse>>, now: u32) {
        for pulse in overdue.drain(overdue.len().saturating_sub(CUTS_AT_ONCE)..) {
            if let Some(phase) = self.overdue_in(&pulse, now) {
                pulse.give(Order::Cut);
                metrics::counter!("holdfast_http_connections_cut_total", "deadline" => phase.name()).increment(1);
            }
        }
    }

    /// What is overdue at tick `now`.
    fn sweep(&self, now: u32) -> Vec<Arc<Pulse>> {
        let open = self.open.lock();
        open.values().filter(|pulse| self.overdue_in(pulse, now).is_some()).map(Arc::clone).collect()
    }

    /// The phase a connection has been in for too long at tick `now`, unless it is cut already.
    fn overdue_in(&self, pulse: &Pulse, now: u32) -> Option<Phase> {
        let (phase, ticks) = pulse.age(now);
        let limit = self.limits[phase as usize];
        (limit != 0 && ticks > limit && pulse.order() != Order::Cut).then_some(phase)
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
        assert_eq!(reaper.sweep(3).len(), 0);
        let overdue = reaper.sweep(4);
        assert_eq!(overdue.iter().map(|pulse| reaper.overdue_in(pulse, 4)).collect::<Vec<_>>(), [Some(Phase::Head)]);
        assert!(Arc::ptr_eq(&overdue[0], &slow.pulse));
        slow.pulse.give(Order::Cut);
        assert_eq!(reaper.sweep(1_000_000).len(), 0, "a connection is cut once");
        assert_eq!(busy.pulse.order(), Order::GoOn);
        drop((overdue, slow));
        assert_eq!(reaper.open.lock().len(), 1);
    }

    #[test]
    fn a_crowd_that_is_overdue_together_is_cut_a_few_at_a_time_and_who_moved_on_is_spared() {
        let reaper = Reaper::new(&DeadlineSettings { header_ms: 300, ..DeadlineSettings::default() });
        let crowd: Vec<Registration> = (0..3 * CUTS_AT_ONCE).map(|_| reaper.register()).collect();
        for slow in &crowd {
            slow.pulse.enter(Phase::Head);
        }
        let going_on = || crowd.iter().filter(|slow| slow.pulse.order() == Order::GoOn);
        let mut overdue = reaper.sweep(4);
        reaper.cut_some(&mut overdue, 4);
        assert_eq!(going_on().count(), 2 * CUTS_AT_ONCE);
        let moved_on = going_on().next().expect("one is left");
        moved_on.pulse.enter(Phase::Serving);
        while !overdue.is_empty() {
            reaper.cut_some(&mut overdue, 4);
        }
        assert_eq!(moved_on.pulse.order(), Order::GoOn);
        assert_eq!(going_on().count(), 1);
    }
}
