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
    pub(super) done: Completion,
}

/// The queue itself; it lives under one lock.
#[derive(Default)]
pub(super) struct Queue {
    frames: Vec<PendingFrame>,
    kept: Vec<PendingFrame>,
    /// Per shard, the sequence number its next batch begins with.
    pub(super) next_seqs: Vec<u64>,
    /// The writer sleeps and wants to be woken.
    pub(super) idle: bool,
    /// No more appends will come.
    pub(super) closing: bool,
}

impl Queue {
    pub(super) fn new(next_seqs: Vec<u64>) -> Self {
        Self { next_seqs, ..Self::default() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.frames.is_empty()
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
            frame.entries.push(entry);
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
        std::mem::swap(&mut self.frames, list);
    }
}
