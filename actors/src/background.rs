//! What runs beside the shards' turns: tasks, blocking work, and waiting. Tokio in production; a simulation puts its own
//! scheduler and its own time in the same place, and everything above stays the real thing.
//!
//! Invariant: nothing that decides, journals or answers spawns or sleeps in another way. What only a production node has does
//! (its ticker, its actors, its start and its shutdown), and so does the sandbox gateway, which stands for another machine.

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
