//! The world outside the node: people with their own clocks and tasks, who live on when the node dies, ask again, give up,
//! and remember what they were told.
//!
//! Invariant: whoever got an answer holds the node to it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::{Either, select};
use holdfast_actors::Commerce;
use holdfast_core::{Entity, EntityId, order::Order};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    book::Book,
    dice::Dice,
    tasks::Tasks,
    trace::Trace,
    violation::{Promise, Violations},
};

/// The node as it can be reached from outside.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) commerce: Commerce,
    pub(crate) tasks: Tasks,
}

/// What people did and were told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OutsideFigures {
    /// Orders that somebody was told of.
    pub(crate) orders: u64,
    /// Retries that were given the order that was there.
    pub(crate) replays: u64,
    /// Refusals: sold out, limits, closed.
    pub(crate) refusals: u64,
    /// Requests without an answer.
    pub(crate) lost: u64,
    /// Requests whose client hung up.
    pub(crate) hung_up: u64,
    /// Answers that said "later".
    pub(crate) put_off: u64,
    pub(crate) cancels: u64,
    pub(crate) shipments: u64,
    pub(crate) refunds: u64,
    /// Keys used for another request, and refused.
    pub(crate) misuses: u64,
    pub(crate) carts: u64,
}

/// Everything outside. Clones are the same.
#[derive(Clone)]
pub(crate) struct Outside {
    pub(crate) tasks: Tasks,
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) book: Book,
    pub(crate) violations: Violations,
    pub(crate) figures: Arc<Mutex<OutsideFigures>>,
    server: Arc<Mutex<Option<Server>>>,
    /// The faults are over: nobody gives up any more.
    calm: Arc<AtomicBool>,
}

impl Outside {
    pub(crate) fn new(tasks: Tasks, dice: Dice, trace: Trace, book: Book, violations: Violations) -> Self {
        Self {
            tasks,
            dice,
            trace,
            book,
            violations,
            figures: Arc::default(),
            server: Arc::default(),
            calm: Arc::default(),
        }
    }

    /// Where the node can be reached from now on.
    pub(crate) fn connect(&self, server: Option<Server>) {
        let before = std::mem::replace(&mut *self.server.lock(), server);
        drop(before);
    }

    pub(crate) fn server(&self) -> Option<Server> {
        self.server.lock().clone()
    }

    pub(crate) fn set_calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Lets somebody act on their own.
    pub(crate) fn start(&self, somebody: impl Future<Output = ()> + Send + 'static) {
        self.tasks.start(Box::pin(somebody));
    }

    /// Waits from `low` to `high` milliseconds.
    pub(crate) async fn pause(&self, low: u64, high: u64) {
        self.tasks.wait(self.dice.millis(low, high)).await;
    }

    /// Asks the node. `None` when no answer comes: it is down, it died with the request, or patience ended.
    pub(crate) async fn ask<T, F>(&self, patience_ms: i64, request: impl FnOnce(Commerce) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let Some(Server { commerce, tasks }) = self.server() else {
            self.figures.lock().lost += 1;
            return None;
        };
        let (sender, answer) = oneshot::channel();
        let asked = request(commerce);
        let task = tasks.start(Box::pin(async move {
            // Whoever asked may be gone.
            let _ = sender.send(asked.await);
        }));
        match select(answer, self.tasks.wait(patience_ms)).await {
            Either::Left((Ok(answer), _)) => Some(answer),
            Either::Left((Err(_), _)) => {
                self.figures.lock().lost += 1;
                None
            }
            Either::Right(_) => {
                self.figures.lock().hung_up += 1;
                self.trace.note("outside: hang up", task, 0);
                tasks.give_up(task);
                None
            }
        }
    }

    /// Somebody was shown an order: it stays.
    pub(crate) fn saw_order(&self, order: &Order) {
        self.book.acknowledge(EntityId::Order(order.id()), order.version());
    }

    pub(crate) fn violation(&self, promise: Promise, what: String) {
        self.violations.report(promise, what);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut OutsideFigures)) {
        change(&mut self.figures.lock());
    }
}
