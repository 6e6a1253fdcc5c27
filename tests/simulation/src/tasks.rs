//! The scheduler's tasks: what production gives to tokio, run one poll at a time, in any order the dice say.
//!
//! Invariant: a task is polled only after it was woken; time passes only when the scheduler says so. Dropping the tasks is
//! how a process dies: nothing of them runs any more.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use holdfast_actors::{
    Clock,
    background::{Background, Task},
};
use holdfast_core::Timestamp;
use parking_lot::Mutex;

use crate::dice::Dice;

/// Tasks and timers. Clones are the same.
#[derive(Clone)]
pub(crate) struct Tasks {
    shared: Arc<Shared>,
    clock: Clock,
}

struct Shared {
    state: Mutex<State>,
    ready: Arc<Mutex<Vec<u64>>>,
}

#[derive(Default)]
struct State {
    tasks: BTreeMap<u64, Slot>,
    blocking: Vec<Box<dyn FnOnce() + Send>>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    next_id: u64,
    over: bool,
}

struct Slot {
    task: Option<Task>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.lock().push(self.id);
        }
    }
}

impl Tasks {
    pub(crate) fn new(clock: Clock) -> Self {
        let shared = Shared { state: Mutex::default(), ready: Arc::default() };
        Self { shared: Arc::new(shared), clock }
    }

    /// Starts a task and says by which number it can be given up.
    pub(crate) fn start(&self, task: Task) -> u64 {
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        if state.over {
            drop(state);
            drop(task);
            return id;
        }
        state.next_id += 1;
        let ready = Arc::clone(&self.shared.ready);
        let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(true), ready });
        state.tasks.insert(id, Slot { task: Some(task), waker });
        self.shared.ready.lock().push(id);
        id
    }

    /// Drops a task.
    pub(crate) fn give_up(&self, id: u64) {
        let slot = self.shared.state.lock().tasks.remove(&id);
        drop(slot);
    }

    /// How many things could run now.
    pub(crate) fn ready(&self) -> usize {
        self.shared.ready.lock().len() + self.shared.state.lock().blocking.len()
    }

    /// How many tasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.shared.state.lock().tasks.len()
    }

    /// Runs one of those that are ready. Gives its number, or `None` if it was there no more.
    pub(crate) fn run_one(&self, dice: &Dice) -> Option<u64> {
        let ready = self.shared.ready.lock().len();
        let blocking = self.shared.state.lock().blocking.len();
        let choice = dice.index(ready + blocking);
        if choice >= ready {
            let work = self.shared.state.lock().blocking.remove(choice - ready);
            work();
            return Some(u64::MAX);
        }
        let id = self.shared.ready.lock().swap_remove(choice);
        let (mut task, waker) = {
            let mut state = self.shared.state.lock();
            let slot = state.tasks.get_mut(&id)?;
            (slot.task.take()?, Arc::clone(&slot.waker))
        };
        waker.queued.store(false, Ordering::Release);
        let polled = task.as_mut().poll(&mut Context::from_waker(&Waker::from(waker)));
        let mut state = self.shared.state.lock();
        match polled {
            Poll::Ready(()) => {
                state.tasks.remove(&id);
            }
            Poll::Pending => {
                if let Some(slot) = state.tasks.get_mut(&id) {
                    slot.task = Some(task);
                }
            }
        }
        Some(id)
    }

    /// When the next timer goes off.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.shared.state.lock().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes whoever waited until now.
    pub(crate) fn fire(&self) {
        let now = self.clock.now();
        loop {
            let mut state = self.shared.state.lock();
            match state.timers.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let waker = first.remove();
                    drop(state);
                    waker.wake();
                }
                _ => return,
            }
        }
    }

    /// Drops every task and takes no more: the process is gone.
    pub(crate) fn end(&self) {
        let (tasks, blocking) = {
            let mut state = self.shared.state.lock();
            state.over = true;
            state.timers.clear();
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.blocking))
        };
        drop(tasks);
        drop(blocking);
        self.shared.ready.lock().clear();
    }

    /// Waits for so long.
    pub(crate) fn wait(&self, millis: i64) -> Sleep {
        Sleep { tasks: self.clone(), until: self.clock.now().saturating_add_millis(millis), timer: None }
    }

    fn set_timer(&self, at: Timestamp, waker: Waker) -> u64 {
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        if !state.over {
            state.timers.insert((at, id), waker);
        }
        id
    }
}

impl Background for Tasks {
    fn run(&self, task: Task) {
        self.start(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let mut state = self.shared.state.lock();
        if !state.over {
            state.blocking.push(work);
        }
    }

    fn sleep(&self, time: Duration) -> Task {
        Box::pin(self.wait(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// Waits until an instant of the simulated clock.
pub(crate) struct Sleep {
    tasks: Tasks,
    until: Timestamp,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.tasks.clock.now() >= self.until {
            return Poll::Ready(());
        }
        if let Some(timer) = self.timer.take() {
            self.tasks.shared.state.lock().timers.remove(&(self.until, timer));
        }
        let timer = self.tasks.set_timer(self.until, context.waker().clone());
        self.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            let waker = self.tasks.shared.state.lock().timers.remove(&(self.until, timer));
            drop(waker);
        }
    }
}
