//! Lets old messages go, once snapshots contain all they hold and the settings keep no more.
//!
//! Invariant: the last message of a stream stays, for it says the epoch and where the sequence goes on; and every message
//! with a record that a snapshot may lack stays, or that somebody who reads behind has not read: what an empty node is filled from
//! (the projection into `PostgreSQL`, or the archive), and the nodes that follow. Only a shard's owner lets its messages go.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use holdfast_core::ShardId;
use holdfast_persistence::{JournalError, PurgeSummary};

use super::{
    log::ShardLog,
    reader::{elsewhere, first, locate},
    shared::Shared,
};

/// Deletes messages below `floor` of the shards owned here, oldest first, for as long as about these shards' share of
/// `keep_bytes` stays. Counted in messages.
pub(super) async fn purge_below(
    shared: &Shared,
    floor: &BTreeMap<ShardId, u64>,
    keep_bytes: u64,
) -> Result<PurgeSummary, JournalError> {
    let mut states = Vec::new();
    for log in shared.shards.iter().filter(|log| log.tenure().is_some()) {
        let info = shared.requests.stream(&log.stream).await.map_err(|fault| elsewhere(log, fault))?;
        states.extend(info.map(|info| (log, info.state)));
    }
    let total: u64 = states.iter().map(|(_, state)| state.bytes).sum();
    let (owned, all) = (states.len() as u64, shared.shards.len().max(1) as u64);
    let share = u128::from(keep_bytes) * u128::from(owned) / u128::from(all);
    let keep_bytes = u64::try_from(share).unwrap_or(u64::MAX);
    let mut excess = total.saturating_sub(keep_bytes);
    let mut purged = PurgeSummary::default();
    for (log, state) in states {
        let Some(floor) = floor.get(&log.shard).filter(|_| excess > 0 && state.messages > 1) else { continue };
        let floor = shared.needed_from(log.shard).map_or(*floor, |needed| needed.min(*floor));
        // By the mean size: whole messages are few bytes beside what is kept.
        let mean = (state.bytes / state.messages).max(1);
        let keep_from = keep_from(shared, log, floor).await?.min(state.first_seq + excess / mean).min(state.last_seq);
        if keep_from <= state.first_seq {
            continue;
        }
        let count = shared.requests.purge(&log.stream, keep_from).await.map_err(|fault| elsewhere(log, fault))?;
        let bytes = (count * mean).min(excess);
        excess -= bytes;
        purged.segments += count;
        purged.bytes += bytes;
    }
    shared.counts.purged_messages.fetch_add(purged.segments, Ordering::Relaxed);
    shared.counts.purged_bytes.fetch_add(purged.bytes, Ordering::Relaxed);
    Ok(purged)
}

/// The first message that has to stay.
async fn keep_from(shared: &Shared, log: &ShardLog, floor: u64) -> Result<u64, JournalError> {
    let (first, first_seq) = first(shared, log).await?;
    if floor <= first_seq {
        return Ok(first);
    }
    let end = log.end();
    locate(shared, log, floor.min(end.next_seq), end).await
}
