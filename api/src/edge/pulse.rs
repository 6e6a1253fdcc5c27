//! What one connection is doing and since when, in one atomic word that its owner writes and the [`super::reaper`]
//! reads.
//!
//! Why: a timer per deadline per request costs a lock in the runtime's timer wheel four times a request. A store into
//! an atomic costs nothing, and one sweep over all connections every [`TICK_MS`] finds the overdue ones. The price is
//! precision: a deadline is kept to within two ticks.
//!
//! It is the connection's waker as well. hyper wakes a connection that it is polling, once a request: when the handler asks
//! for the body, which nobody has read yet. Such a wake makes [`Pulse::poll`] go on at once, instead of sending the task to
//! the end of the scheduler's queue and its memory out of the cache.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    task::{Poll, Wake, Waker},
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

/// How often a connection that wakes itself is polled before the others get their turn: once more than it wakes itself for a request.
const POLLS: usize = 2;

/// Where a connection's task is: resting; being polled; or woken, and so to be polled (again).
const RESTING: u8 = 0;
const POLLED: u8 = 1;
const WOKEN: u8 = 2;

/// The shared word of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    clock: Arc<AtomicU32>,
    /// The phase in the upper half, the tick it began in the lower.
    word: AtomicU64,
    order: AtomicU8,
    lingers: AtomicBool,
    task: AtomicU8,
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
            task: AtomicU8::new(RESTING),
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
        self.wake_task();
    }

    /// What is asked of the connection.
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            0 => Order::GoOn,
            1 => Order::Drain,
            _ => Order::Cut,
        }
    }

    /// Polls the connection in its task's turn, and again when it was woken meanwhile. `step` is to be polled with the waker of
    /// this pulse.
    pub(crate) fn poll<T>(&self, task: &Waker, mut step: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.waker.register(task);
        for _ in 0..POLLS {
            // Whoever has woken it until here has done so for this poll.
            self.task.swap(POLLED, Ordering::AcqRel);
            let polled = step();
            let rests = self.task.compare_exchange(POLLED, RESTING, Ordering::AcqRel, Ordering::Acquire).is_ok();
            if polled.is_ready() || rests {
                return polled;
            }
        }
        task.wake_by_ref();
        Poll::Pending
    }

    fn wake_task(&self) {
        if self.task.swap(WOKEN, Ordering::AcqRel) == RESTING {
            self.waker.wake();
        }
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

impl Wake for Pulse {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_task();
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

    /// A task that counts how often it is woken.
    #[derive(Default)]
    struct Task(AtomicU32);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_wakes_itself_goes_on_a_few_times_and_then_lets_others_go_first() {
        let (pulse, task) = (Arc::new(Pulse::new(Arc::default())), Arc::new(Task::default()));
        let (itself, scheduler) = (Waker::from(Arc::clone(&pulse)), Waker::from(Arc::clone(&task)));
        let mut steps = 0;
        let mut run = |wakes| {
            let (mut left, before) = (wakes, steps);
            let polled: Poll<()> = pulse.poll(&scheduler, || {
                steps += 1;
                if left > 0 {
                    left -= 1;
                    itself.wake_by_ref();
                }
                Poll::Pending
            });
            assert!(polled.is_pending());
            steps - before
        };
        let woken = || task.0.load(Ordering::Relaxed);
        assert_eq!((run(0), woken()), (1, 0));
        assert_eq!((run(1), woken()), (2, 0), "it went on by itself");
        assert_eq!((run(usize::MAX), woken()), (POLLS, 1), "its task is to come back");
        itself.wake_by_ref();
        assert_eq!(woken(), 1, "it is on its way already");
        assert_eq!((run(0), woken()), (1, 1));
        itself.wake_by_ref();
        itself.wake_by_ref();
        assert_eq!(woken(), 2, "once, whoever else wakes it");
        pulse.give(Order::Drain);
        assert_eq!((run(0), woken()), (1, 2));
        pulse.give(Order::Cut);
        assert_eq!(woken(), 3);
    }

    #[tokio::test]
    async fn no_wake_of_another_thread_is_lost() {
        const WAKES: u32 = 100_000;
        let pulse = Arc::new(Pulse::new(Arc::default()));
        let (asked, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let asking = {
            let (pulse, asked, answered) = (Arc::clone(&pulse), Arc::clone(&asked), Arc::clone(&answered));
            std::thread::spawn(move || {
                for number in 1..=WAKES {
                    // It asks as soon as it has its answer, which is while the poll that gave it is not over yet.
                    while answered.load(Ordering::Acquire) + 1 < number {
                        std::thread::yield_now();
                    }
                    asked.store(number, Ordering::Release);
                    pulse.wake_task();
                }
            })
        };
        let all_answered = std::future::poll_fn(|task| {
            pulse.poll(task.waker(), || {
                let number = asked.load(Ordering::Acquire);
                answered.store(number, Ordering::Release);
                if number == WAKES { Poll::Ready(()) } else { Poll::Pending }
            })
        });
        tokio::time::timeout(std::time::Duration::from_mins(1), all_answered).await.expect("a wake was lost");
        asking.join().expect("no panic");
    }

    #[test]
    fn an_order_is_never_taken_back() {
        let pulse = Pulse::new(Arc::default());
        pulse.give(Order::Cut);
        pulse.give(Order::Drain);
        assert_eq!(pulse.order(), Order::Cut);
    }
}
