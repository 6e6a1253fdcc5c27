//! The batches of one shard that were sent and not acknowledged, by the place each will have in the stream.
//!
//! The lane keeps one on its way; this keeps the order for any number.
//!
//! Invariant: within an epoch a place belongs to one batch for good, whose bytes never change. So sending it again can do no
//! harm, and a message of this epoch at that place *is* the batch.

use std::collections::VecDeque;

use bytes::Bytes;
use holdfast_persistence::{AppendError, Completion};
use tokio::time::Instant;

/// One append, on its way from the caller to the stream.
pub(super) struct Entry {
    /// The message; empty when nothing is to be written and only what came before is waited for.
    pub(super) bytes: Bytes,
    pub(super) records: u64,
    pub(super) first_seq: u64,
    /// Set when it cannot be written: it still waits for its turn to be told.
    pub(super) refusal: Option<AppendError>,
    pub(super) done: Completion,
}

/// What is known of a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing yet.
    Waiting,
    /// It was not taken: it is to be sent again once those before it are there.
    Rejected,
    /// Its place is taken, by itself or by somebody else.
    Taken,
}

/// A batch on its way, and the entries that wait behind it with nothing to write.
pub(super) struct Flying {
    pub(super) entry: Entry,
    pub(super) behind: Vec<Entry>,
    pub(super) first_sent: Instant,
    pub(super) last_sent: Instant,
    pub(super) sent: Sent,
}

/// The batches on their way, in order.
pub(super) struct Flight {
    /// The last message of the stream that is known to be committed.
    acked: u64,
    batches: VecDeque<Flying>,
}

impl Flight {
    /// Nothing is on its way behind message `acked`.
    pub(super) fn behind(acked: u64) -> Self {
        Self { acked, batches: VecDeque::new() }
    }

    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    pub(super) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn head(&self) -> Option<&Flying> {
        self.batches.front()
    }

    pub(super) fn head_mut(&mut self) -> Option<&mut Flying> {
        self.batches.front_mut()
    }

    /// Whether any batch has to be sent again: then nothing new is sent before.
    pub(super) fn has_rejected(&self) -> bool {
        self.batches.iter().any(|flying| flying.sent == Sent::Rejected)
    }

    /// Adds a batch that is sent now. The message it is to follow.
    pub(super) fn push(&mut self, entry: Entry, now: Instant) -> u64 {
        let expected_last = self.acked + self.batches.len() as u64;
        let flying = Flying { entry, behind: Vec::new(), first_sent: now, last_sent: now, sent: Sent::Waiting };
        self.batches.push_back(flying);
        expected_last
    }

    /// Lets an entry with nothing to write wait for the last batch; gives it back when there is none.
    pub(super) fn push_behind(&mut self, entry: Entry) -> Option<Entry> {
        match self.batches.back_mut() {
            Some(last) => {
                last.behind.push(entry);
                None
            }
            None => Some(entry),
        }
    }

    /// The batch that is to be message `place`.
    pub(super) fn at(&mut self, place: u64) -> Option<&mut Flying> {
        let index = usize::try_from(place.checked_sub(self.acked + 1)?).ok()?;
        self.batches.get_mut(index)
    }

    /// Takes the first batch out: it is committed.
    pub(super) fn commit_head(&mut self) -> Option<Flying> {
        let head = self.batches.pop_front()?;
        self.acked += 1;
        Some(head)
    }

    /// Takes everything out: none of it will be committed by this node, as far as it knows.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Flying> + '_ {
        self.batches.drain(..)
    }

    /// Marks everything as sent again now, and gives what each is to follow, and its bytes.
    pub(super) fn send_again(&mut self, now: Instant) -> Vec<(u64, Bytes)> {
        let again = |(expected_last, flying): (u64, &mut Flying)| {
            flying.last_sent = now;
            flying.sent = Sent::Waiting;
            (expected_last, flying.entry.bytes.clone())
        };
        (self.acked..).zip(self.batches.iter_mut()).map(again).collect()
    }
}
