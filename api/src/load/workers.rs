//! The runtime of the generator, and of what a shop is compared with.

use std::{io, num::NonZeroUsize};

use tokio::runtime::{Builder, Runtime};

/// A runtime of so many threads: with one the calling thread alone, as a shop with one worker does it; without a number one for each
/// processor.
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
