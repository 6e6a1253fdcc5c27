//! Waiting for the journal's own runtime from threads that are not its own.
//!
//! Invariant: it never waits on a thread that drives another runtime's tasks as if it was free: tokio panics at that. There
//! a thread of its own does the waiting.

use std::{panic, thread};

use tokio::runtime::Handle;

/// Runs `future` on the runtime of `handle` and waits for it.
pub(super) fn wait<F>(handle: &Handle, future: F) -> F::Output
where
    F: Future + Send,
    F::Output: Send,
{
    if Handle::try_current().is_err() {
        return handle.block_on(future);
    }
    let waited = thread::scope(|scope| scope.spawn(|| handle.block_on(future)).join());
    waited.unwrap_or_else(|panic| panic::resume_unwind(panic))
}
