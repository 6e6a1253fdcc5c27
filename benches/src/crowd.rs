//! Clients that ask one thing after the other: what a suite of the runtime or of a server is driven by.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

/// Runs `iterations` of `work` over `clients` tasks and gives the time it took.
///
/// # Panics
/// When the work does.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
pub async fn timed<F, Fut>(clients: u64, iterations: u64, work: F) -> Duration
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let left = Arc::new(AtomicU64::new(iterations));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (left, work) = (Arc::clone(&left), work.clone());
        tasks.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                work().await;
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}
