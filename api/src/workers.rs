//! The runtime of a server, and of what it is compared with and by: so that one thread is the same thing everywhere.

use std::{io, num::NonZeroUsize};

use tokio::runtime::{Builder, Runtime};

/// A runtime of so many threads; without a number one for each processor.
///
/// One is the calling thread, on a scheduler that shares its work with nobody (ADR 0034). So nothing that a server does while it starts
/// and ends may block that thread for long, as nothing else may.
///
/// # Errors
/// When the operating system gives no threads.
pub fn runtime(threads: Option<NonZeroUsize>) -> io::Result<Runtime> {
    match threads.map(NonZeroUsize::get) {
        Some(1) => Builder::new_current_thread().enable_all().build(),
        Some(threads) => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
        None => Builder::new_multi_thread().enable_all().build(),
    }
}
