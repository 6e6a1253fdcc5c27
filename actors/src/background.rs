//! What runs beside the shards' turns: tasks, blocking work, and waiting. In production this is tokio; the simulation uses its
//! own scheduler and its own time instead, and the code above this port is the same in both.
//!
//! Invariant: code that decides, journals or answers spawns tasks and sleeps only through this port. Two kinds of code use
//! tokio directly: the parts that only a production node has (its ticker, its actors, its start and its shutdown), and the
//! sandbox gateway, which stands for another machine.

use std::{future::Future, pin::Pin, time::Duration};

use tokio::runtime::Handle;

/// A task that yields nothing.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs things beside the caller.
pub trait Background: Send + Sync + 'static {
    /// Starts a task. It ends with the process at the latest.
    fn run(&self, task: Task);

    /// Starts work that may block.
    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>);

    /// Waits.
    fn sleep(&self, time: Duration) -> Task;
}

impl Background for Handle {
    fn run(&self, task: Task) {
        drop(self.spawn(task));
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        drop(self.spawn_blocking(work));
    }

    fn sleep(&self, time: Duration) -> Task {
        Box::pin(async move { tokio::time::sleep(time).await })
    }
}

/// The tokio runtime that the caller is on at the moment of each call.
#[derive(Debug, Clone, Copy, Default)]
pub struct CurrentRuntime;

impl Background for CurrentRuntime {
    fn run(&self, task: Task) {
        Handle::current().run(task);
    }

    fn run_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        Handle::current().run_blocking(work);
    }

    fn sleep(&self, time: Duration) -> Task {
        Box::pin(async move { tokio::time::sleep(time).await })
    }
}
