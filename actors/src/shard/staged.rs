//! What the current turn has made so far, and nobody has been told.
//!
//! Invariant: what one message has staged can be taken back whole until the turn ends.

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{Batch, Record};

use super::{meter::Tally, weight::weight};
use crate::{gate::Output, outbound::Outgoing};

/// What a turn has made so far.
pub(super) struct Staged {
    /// The turn's records. Its room is kept from turn to turn: a fresh large block each turn costs more than the turn.
    batch: Batch,
    /// About the size of the records in the journal.
    bytes: usize,
    pub(super) output: Output,
    pub(super) tally: Tally,
    /// Entities that changed: their views are owed an update.
    pub(super) unseen: Vec<EntityId>,
    /// Entities the current message has changed: rebuilt if it panics.
    pub(super) touching: Vec<EntityId>,
    /// The entity that decides or applies right now: to blame for a panic.
    pub(super) current: Option<EntityId>,
}

/// Where what a message stages begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    records: usize,
    bytes: usize,
    outgoing: usize,
}

impl Staged {
    pub(super) fn new(shard: ShardId) -> Self {
        Self {
            batch: Batch { shard, first_seq: 1, records: Vec::new() },
            bytes: 0,
            output: Output::default(),
            tally: Tally::default(),
            unseen: Vec::new(),
            touching: Vec::new(),
            current: None,
        }
    }

    /// Begins the next message.
    pub(super) fn begin_message(&mut self) -> Mark {
        self.touching.clear();
        self.current = None;
        Mark { records: self.batch.records.len(), bytes: self.bytes, outgoing: self.output.outgoing.len() }
    }

    /// Takes back what was staged since, and gives what was to be sent.
    pub(super) fn take_back(&mut self, mark: Mark) -> Vec<Outgoing> {
        self.batch.records.truncate(mark.records);
        self.bytes = mark.bytes;
        self.output.outgoing.split_off(mark.outgoing)
    }

    pub(super) fn record(&mut self, record: Record) {
        self.bytes += weight(&record.event);
        self.batch.records.push(record);
    }

    /// About how many bytes the records take in the journal.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Numbers the records, from `first_seq`.
    pub(super) fn finish(&mut self, first_seq: u64) -> &Batch {
        self.batch.first_seq = first_seq;
        &self.batch
    }

    /// The records.
    pub(super) fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Makes room for the next turn's records.
    pub(super) fn clear(&mut self) {
        self.batch.records.clear();
        self.bytes = 0;
    }
}
