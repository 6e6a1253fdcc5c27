//! What callers leave for the writer: frames in the making, in the order of the appends.
//!
//! Invariant: a batch lies whole in one frame, and the frames are written in queue order, so a shard's batches become
//! durable, and its completions run, in append order. The lock is held for a copy of the encoded bytes and no longer.

use holdfast_core::{ShardId, planted};

use super::{AppendError, Completion, frame::HEADER_BYTES};

/// Buffers kept for reuse; beyond them memory goes back.
const KEPT_BUFFERS: usize = 4;
/// A kept buffer is at most this large, in bytes.
const KEPT_BYTES: usize = 4 << 20;

/// A frame in the making.
#[derive(Default)]
pub(super) struct PendingFrame {
    /// Room for the header, then the records.
    pub(super) bytes: Vec<u8>,
    pub(super) records: u32,
    pub(super) entries: Vec<Entry>,
}

/// What is owed to one append.
pub(super) struct Entry {
    pub(super) shard: ShardId,
    pub(super) records: u32,
    /// Set when nothing of the batch is in the frame.
    pub(super) refusal: Option<AppendError>,
    /// Whether another batch may come of it once it is durable.
    pub(super) is_awaited: bool,
    pub(super) done: Completion,
}

/// How many different shards were noted since the last time they were forgotten.
#[derive(Default)]
struct Distinct {
    count: usize,
    round: u64,
    /// Per shard, the round it was noted in last; before the first that is 0.
    noted: Vec<u64>,
}

impl Distinct {
    fn note(&mut self, shard: ShardId) {
        let index = usize::from(shard.0);
        if self.noted.len() <= index {
            self.noted.resize(index + 1, 0);
        }
        if let Some(noted) = self.noted.get_mut(index)
            && std::mem::replace(noted, self.round + 1) != self.round + 1
        {
            self.count += 1;
        }
    }

    const fn forget(&mut self) {
        self.count = 0;
        self.round += 1;
    }
}

/// The queue itself; it lives under one lock.
#[derive(Default)]
pub(super) struct Queue {
    frames: Vec<PendingFrame>,
    kept: Vec<PendingFrame>,
    /// Per shard, the sequence number its next batch begins with.
    pub(super) next_seqs: Vec<u64>,
    /// Batches in the frames.
    batches: usize,
    /// Whose they are.
    shards: Distinct,
    /// Whose of them are waited for by somebody.
    awaited: Distinct,
    /// The writer sleeps until batches of so many shards are here. `None` while it is awake.
    wanted: Option<usize>,
    /// No more appends will come.
    pub(super) closing: bool,
}

impl Queue {
    pub(super) fn new(next_seqs: Vec<u64>) -> Self {
        Self { next_seqs, ..Self::default() }
    }

    /// Batches that wait to be written.
    pub(super) const fn batches(&self) -> usize {
        self.batches
    }

    /// How many shards they are of.
    pub(super) const fn shards(&self) -> usize {
        self.shards.count
    }

    /// How many shards have one among them that somebody waits for.
    pub(super) const fn awaited_shards(&self) -> usize {
        self.awaited.count
    }

    /// The writer goes to sleep and wants to be woken once batches of so many shards are here.
    pub(super) const fn sleep_until(&mut self, shards: usize) {
        self.wanted = Some(shards);
    }

    /// Whether the writer sleeps and has what it sleeps for: then it is to be woken, and says so only once.
    pub(super) fn rouse(&mut self) -> bool {
        self.wanted.take_if(|wanted| self.shards.count >= *wanted).is_some()
    }

    /// Adds encoded records (none if refused) to the last frame, or to a new one if it would pass `limit` bytes.
    pub(super) fn push(&mut self, encoded: &[u8], entry: Entry, limit: usize) {
        let limit = if planted!(BatchSplit) { 0 } else { limit };
        let fits = |frame: &PendingFrame| frame.records == 0 || frame.bytes.len() + encoded.len() <= limit;
        if !self.frames.last().is_some_and(fits) {
            let mut frame = self.kept.pop().unwrap_or_default();
            frame.bytes.resize(HEADER_BYTES, 0);
            self.frames.push(frame);
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.bytes.extend_from_slice(encoded);
            frame.records += entry.records;
            self.shards.note(entry.shard);
            if entry.is_awaited {
                self.awaited.note(entry.shard);
            }
            frame.entries.push(entry);
            self.batches += 1;
        }
    }

    /// Gives all frames away in exchange for an empty list, and takes `used` ones back to be filled again.
    pub(super) fn swap(&mut self, list: &mut Vec<PendingFrame>) {
        for mut frame in list.drain(..) {
            if self.kept.len() < KEPT_BUFFERS && frame.bytes.capacity() <= KEPT_BYTES {
                frame.bytes.clear();
                frame.entries.clear();
                frame.records = 0;
                self.kept.push(frame);
            }
        }
        self.batches = 0;
        self.shards.forget();
        self.awaited.forget();
        self.wanted = None;
        std::mem::swap(&mut self.frames, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_writer_is_woken_once_and_only_by_batches_of_as_many_shards_as_it_sleeps_for() {
        let mut queue = Queue::new(vec![1; 3]);
        let push = |queue: &mut Queue, shard, is_awaited| {
            let entry = Entry { shard: ShardId(shard), records: 1, refusal: None, is_awaited, done: Box::new(|_| {}) };
            queue.push(b"x", entry, 1 << 20);
            queue.rouse()
        };
        assert!(!push(&mut queue, 0, true), "it is awake");
        queue.sleep_until(3);
        let woken = [(0, true), (2, false), (2, false), (1, true), (1, true)];
        let woken = woken.map(|(shard, is_awaited)| push(&mut queue, shard, is_awaited));
        assert_eq!(woken, [false, false, false, true, false]);
        assert_eq!((queue.batches(), queue.shards(), queue.awaited_shards()), (6, 3, 2));
        queue.swap(&mut Vec::new());
        assert_eq!((queue.batches(), queue.shards(), queue.awaited_shards()), (0, 0, 0));
        queue.sleep_until(1);
        assert!(push(&mut queue, 0, false), "what was taken does not count");
        assert_eq!((queue.shards(), queue.awaited_shards()), (1, 0));
    }
}
