//! Looks whether another node has taken a shard over: an owner that has nothing to append would not find out by itself, and
//! would go on answering reads. And tells followers again how far the idle shards are, in case they missed it.
//!
//! Invariant: it only ever reads. Safety is the expected sequence of every append, not this. What an append is on its way to
//! is left to the lane, which alone can tell whether that came before the other owner or after.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{hint, log::ShardLog, shared::Shared};

/// Looks until it is dropped, at every owned shard whose stream did not move since the last look.
pub(super) async fn watch(shared: &Shared) {
    let interval = Duration::from_millis(shared.settings.watch_interval_ms);
    let mut ends = vec![0; shared.shards.len()];
    let mut next_round = Instant::now();
    loop {
        let is_round = Instant::now() >= next_round;
        for (log, end) in shared.shards.iter().zip(&mut ends) {
            let is_doubted = log.take_doubt();
            let moved = is_round && std::mem::replace(end, log.end().message) != log.end().message;
            if is_doubted || (is_round && !moved) {
                look(shared, log).await;
            }
        }
        if is_round {
            next_round = Instant::now() + interval;
        }
        tokio::select! {
            () = sleep_until(next_round) => {}
            () = shared.doubts.notified() => {}
        }
    }
}

/// Looks at one shard, if it is owned.
async fn look(shared: &Shared, log: &ShardLog) {
    let Some(own) = log.tenure() else { return };
    match later_epoch(shared, log, own).await {
        Some(epoch) => log.suspect(epoch),
        None => hint::give(shared, log, own).await,
    }
}

async fn later_epoch(shared: &Shared, log: &ShardLog, own: u64) -> Option<u64> {
    let last = shared.requests.last(&log.stream, &log.subject).await.ok()??;
    let message = shared.format.read(log.shard, &last.payload).ok()?;
    (message.epoch > own).then_some(message.epoch)
}
