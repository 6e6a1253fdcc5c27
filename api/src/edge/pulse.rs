//! What one connection is doing and since when, in one atomic word that its owner writes and the [`super::reaper`]
//! reads.
//!
//! Why: a timer per deadline per request costs a lock in the runtime's timer wheel four times a request. A store into
//! an atomic costs nothing, and one sweep over all connections every [`TICK_MS`] finds the overdue ones. The price is
//! precision: a deadline is kept to within two ticks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::Waker,
};

use futures_util::task::AtomicWaker;

/// The resolution of connection deadlines, in milliseconds.
pub(crate) const TICK_MS: u32 = 100;

/// What a connection is doing. Each has a deadline of its own, except [`Phase::Serving`]: a handler has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Accepted; not a byte has come.
    Fresh = 0,
    /// Part of a request's head has come.
    Head = 1,
    /// A handler is at work.
    Serving = 2,
    /// Answered; the next request has not begun. A live stream is here too, and every event it writes begins it anew.
    Idle = 3,
    /// The peer does not take what is written.
    Stalled = 4,
    /// Our side is closed; what the peer still sends is discarded so that it can read the answer.
    Closing = 5,
}

impl Phase {
    /// Every phase, by its number.
    pub(crate) const ALL: [Self; 6] =
        [Self::Fresh, Self::Head, Self::Serving, Self::Idle, Self::Stalled, Self::Closing];

    /// Its name in the metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "first_byte",
            Self::Head => "header",
            Self::Serving => "handler",
            Self::Idle => "idle",
            Self::Stalled => "write",
            Self::Closing => "close",
        }
    }
}

/// What the server asks of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing: go on.
    GoOn = 0,
    /// Finish the request in hand and close.
    Drain = 1,
    /// Close now.
    Cut = 2,
}

/// The shared word of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    clock: Arc<AtomicU32>,
    /// The phase in the upper half, the tick it began in the lower.
    word: AtomicU64,
    order: AtomicU8,
    lingers: AtomicBool,
    waker: AtomicWaker,
}

impl Pulse {
    /// The pulse of a connection that was just accepted. `clock` counts ticks; the reaper moves it.
    pub(crate) fn new(clock: Arc<AtomicU32>) -> Self {
        let pulse = Self {
            clock,
            word: AtomicU64::new(0),
            order: AtomicU8::new(Order::GoOn as u8),
            lingers: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        pulse.enter(Phase::Fresh);
        pulse
    }

    /// The connection is in `phase` from now on.
    pub(crate) fn enter(&self, phase: Phase) {
        let now = u64::from(self.clock.load(Ordering::Relaxed));
        self.word.store((phase as u64) << 32 | now, Ordering::Relaxed);
    }

    /// What it is doing.
    pub(crate) fn phase(&self) -> Phase {
        let number = usize::try_from(self.word.load(Ordering::Relaxed) >> 32).unwrap_or_default();
        Phase::ALL.get(number).copied().unwrap_or(Phase::Idle)
    }

    /// The phase and for how many ticks it has lasted at tick `now`.
    pub(crate) fn age(&self, now: u32) -> (Phase, u32) {
        let word = self.word.load(Ordering::Relaxed);
        let since = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(now);
        let number = usize::try_from(word >> 32).unwrap_or_default();
        (Phase::ALL.get(number).copied().unwrap_or(Phase::Idle), now.wrapping_sub(since))
    }

    /// Asks something of the connection. An order is only ever raised, never taken back.
    pub(crate) fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// What is asked of the connection.
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::GoOn,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }

    /// Remembers whom to wake when something is asked.
    pub(crate) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Whether the answer was given before the request was read to its end, so that a close must be gentle.
    pub(crate) fn linger(&self, gently: bool) {
        self.lingers.store(gently, Ordering::Relaxed);
    }

    /// Whether to close gently.
    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_ages_by_the_clock_and_begins_anew_when_entered() {
        let clock = Arc::new(AtomicU32::new(u32::MAX - 1));
        let pulse = Pulse::new(Arc::clone(&clock));
        assert_eq!(pulse.age(3), (Phase::Fresh, 5), "ticks wrap around");
        clock.store(7, Ordering::Relaxed);
        pulse.enter(Phase::Head);
        assert_eq!(pulse.age(9), (Phase::Head, 2));
        assert_eq!(pulse.phase(), Phase::Head);
    }

    #[test]
    fn an_order_is_never_taken_back() {
        let pulse = Pulse::new(Arc::default());
        pulse.give(Order::Cut);
        pulse.give(Order::Drain);
        assert_eq!(pulse.order(), Order::Cut);
    }
}
