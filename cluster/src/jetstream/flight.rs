//! The message of one shard that was sent and not acknowledged, with the batches that it is made of.
//!
//! Invariant: within an epoch a place in the stream belongs to one message for good, whose bytes never change. So sending it
//! again can do no harm, and a message of this epoch at that place *is* this one.

use bytes::Bytes;
use holdfast_persistence::{
    AppendError, Completion,
    journal::{MessageFormat, Unsealed},
};
use tokio::time::Instant;

/// One append, on its way from the caller to the stream.
pub(super) struct Entry {
    /// The epoch it was accepted in; `None` when the shard was not owned.
    pub(super) epoch: Option<u64>,
    /// Its records; `None` when nothing is to be written and only what came before is waited for.
    pub(super) records: Option<Unsealed>,
    pub(super) first_seq: u64,
    /// Set when it cannot be written: it still waits for its turn to be told.
    pub(super) refusal: Option<AppendError>,
    pub(super) done: Completion,
}

impl Entry {
    /// Tells that everything before it is durable, and it too unless it was refused.
    pub(super) fn tell(self) {
        (self.done)(self.refusal.map_or(Ok(()), Err));
    }
}

/// Entries that waited together: they become one message, or none if none of them has records.
#[derive(Default)]
pub(super) struct Group {
    entries: Vec<Entry>,
    records: Option<Unsealed>,
}

impl Group {
    /// Adds an entry behind the others, unless the message would pass `limit_bytes` or its sequence would not go on: then the
    /// entry is given back. A first one is always taken.
    pub(super) fn add(&mut self, mut entry: Entry, limit_bytes: usize) -> Result<(), Entry> {
        match (&mut self.records, entry.records.take()) {
            (Some(records), Some(more)) => {
                if let Err(more) = records.join(more, limit_bytes) {
                    entry.records = Some(more);
                    return Err(entry);
                }
            }
            (none @ None, more) => *none = more,
            (Some(_), None) => {}
        }
        self.entries.push(entry);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Makes the message of `epoch`, to be sent now; tells everyone when there is nothing to send.
    pub(super) fn seal(self, format: &MessageFormat, epoch: u64, now: Instant) -> Option<Flying> {
        let Some(records) = self.records else {
            self.entries.into_iter().for_each(Entry::tell);
            return None;
        };
        let count = records.count().into();
        let bytes = format.seal(records, epoch).into();
        let entries = self.entries;
        Some(Flying { entries, bytes, records: count, first_sent: now, last_sent: now, sent: Sent::Waiting })
    }
}

/// What is known of a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing yet.
    Waiting,
    /// It was not taken: it is to be sent again.
    Rejected,
    /// Its place is taken, by itself or by somebody else.
    Taken,
}

/// A message on its way, and the entries it is made of, in order.
pub(super) struct Flying {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: Bytes,
    pub(super) records: u64,
    pub(super) first_sent: Instant,
    pub(super) last_sent: Instant,
    pub(super) sent: Sent,
}

/// The message on its way, if there is one, and the last one that is known to be committed.
pub(super) struct Flight {
    pub(super) acked: u64,
    pub(super) flying: Option<Flying>,
}

impl Flight {
    /// Nothing is on its way behind message `acked`.
    pub(super) fn behind(acked: u64) -> Self {
        Self { acked, flying: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_none()
    }

    /// The place that what is on its way is to have, or what comes next.
    pub(super) fn place(&self) -> u64 {
        self.acked + 1
    }

    /// Takes it out: it is committed.
    pub(super) fn commit(&mut self) -> Option<Flying> {
        let flying = self.flying.take()?;
        self.acked += 1;
        Some(flying)
    }
}
