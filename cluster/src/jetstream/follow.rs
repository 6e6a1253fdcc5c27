//! A reader behind the lanes and the tails: what is known to be durable, whoever owns the shard, for whoever projects it
//! elsewhere.
//!
//! Invariant: a shard's records come in order and without a gap; the shards take turns, so that none waits for another.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use holdfast_core::ShardId;
use holdfast_persistence::{FollowLimit, Followed, Follower, JournalError, Record, journal::MessageDamage};
use tokio::runtime::Handle;

use super::{
    blocking,
    log::ShardLog,
    reader::{StreamReader, wanted},
    shared::Shared,
};

/// A follower of every shard's stream.
pub(super) struct StreamFollower {
    shared: Arc<Shared>,
    handle: Handle,
    shards: Vec<Place>,
    /// Whose turn it is.
    turn: usize,
}

/// How far one shard was read and given.
struct Place {
    reader: StreamReader,
    /// The next record to give.
    next_seq: u64,
    /// What was read and not given: record, and its share of the message's bytes.
    read: VecDeque<(u64, Record, usize)>,
}

impl StreamFollower {
    /// Begins at `from[shard]` of every shard. Blocking.
    pub(super) fn begin(
        shared: Arc<Shared>,
        handle: Handle,
        from: &BTreeMap<ShardId, u64>,
    ) -> Result<Self, JournalError> {
        let mut shards = Vec::new();
        for log in &shared.shards {
            let next_seq = wanted(from, log.shard);
            let reader = blocking::wait(&handle, StreamReader::begin(&shared, log, next_seq))?;
            shards.push(Place { reader, next_seq, read: VecDeque::new() });
        }
        Ok(Self { shared, handle, shards, turn: 0 })
    }

    /// Reads the next message of the shard at `index`. `false` when there is none.
    fn fill(&mut self, index: usize) -> Result<bool, JournalError> {
        let (Some(log), Some(place)) = (self.shared.shards.get(index), self.shards.get_mut(index)) else {
            return Ok(false);
        };
        let until = log.end().message;
        if place.reader.next_message() > until {
            return Ok(false);
        }
        let payload = blocking::wait(&self.handle, place.reader.read(&self.shared, log, until))?;
        let sequence = place.reader.next_message() - 1;
        let damaged = |source| JournalError::Message { log: log.stream.clone(), sequence, source };
        let message = self.shared.format.read(log.shard, &payload).map_err(damaged)?;
        let share = payload.len() / (message.count.max(1) as usize);
        for (seq, record) in message.records() {
            let record = record.map_err(MessageDamage::from).map_err(damaged)?;
            if seq >= place.next_seq {
                place.read.push_back((seq, record, share));
            }
        }
        Ok(true)
    }

    /// Gives what there is, shard after shard, within `limit`.
    fn gather(&mut self, limit: FollowLimit, out: &mut Vec<Followed>) -> Result<(), JournalError> {
        let (mut taken, mut idle) = (0, 0);
        while idle < self.shards.len() && out.len() < limit.records && taken < limit.bytes {
            let index = self.turn % self.shards.len();
            if self.shards.get(index).is_some_and(|place| place.read.is_empty()) && !self.fill(index)? {
                idle += 1;
                self.turn += 1;
                continue;
            }
            idle = 0;
            let (Some(log), Some(place)) = (self.shared.shards.get(index), self.shards.get_mut(index)) else { break };
            while out.len() < limit.records && taken < limit.bytes {
                let Some((seq, record, bytes)) = place.read.pop_front() else { break };
                place.next_seq = seq + 1;
                taken += bytes;
                out.push(Followed { shard: log.shard, seq, record });
            }
            if place.read.is_empty() {
                self.turn += 1;
            }
        }
        Ok(())
    }
}

impl Follower for StreamFollower {
    fn next(&mut self, limit: FollowLimit, wait: Duration) -> Result<Vec<Followed>, JournalError> {
        let mut out = Vec::new();
        for is_second in [false, true] {
            let moves = self.shared.moves();
            match self.gather(limit, &mut out) {
                // A fault behind intact records is told once these were given.
                Err(error) if out.is_empty() => return Err(error),
                Ok(()) if out.is_empty() && !is_second => self.shared.wait_moved(moves, wait),
                _ => break,
            }
        }
        Ok(out)
    }

    fn behind(&self) -> u64 {
        let behind = |(log, place): (&Arc<ShardLog>, &Place)| log.end().next_seq.saturating_sub(place.next_seq);
        self.shared.shards.iter().zip(&self.shards).map(behind).sum()
    }
}

impl std::fmt::Debug for StreamFollower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamFollower").field("behind", &self.behind()).finish_non_exhaustive()
    }
}
