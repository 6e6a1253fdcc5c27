//! Looks whether another node has taken a shard over: an owner that has nothing to append would not find out by itself, and
//! would go on answering reads.
//!
//! Invariant: it only ever reads. Safety is the expected sequence of every append, not this.

use std::time::Duration;

use tokio::time::sleep;

use super::shared::{ShardLog, Shared};

/// Looks until it is dropped, or until another owner was found.
pub(super) async fn watch(shared: &Shared) {
    let interval = Duration::from_millis(shared.settings.watch_interval_ms);
    loop {
        for log in &shared.shards {
            if let Some(epoch) = later_epoch(shared, log).await {
                return shared.overtake(log, epoch);
            }
        }
        sleep(interval).await;
    }
}

async fn later_epoch(shared: &Shared, log: &ShardLog) -> Option<u64> {
    let last = shared.requests.last(&log.stream, &log.subject).await.ok()??;
    let message = shared.format.read(log.shard, &last.payload).ok()?;
    (message.epoch > log.epoch).then_some(message.epoch)
}
