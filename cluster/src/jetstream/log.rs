//! One shard's stream as this node knows it: how far it is, and which part of it this node appended itself.
//!
//! Invariants: the end that is known only moves forward. The shard is owned while there is a tenure, and a batch is accepted
//! only then, in the very lock that ends it. What was appended here is never given back to the tail: the replica had it first.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use holdfast_core::ShardId;
use holdfast_persistence::AppendError;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// The last message of a stream that is known to be committed, and where the sequence goes on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Its number; 0 for a stream with nothing in it.
    pub(super) message: u64,
    pub(super) epoch: u64,
    pub(super) next_seq: u64,
}

impl End {
    /// Of a stream that never had a message.
    pub(super) const NONE: Self = Self { message: 0, epoch: 0, next_seq: 1 };
}

/// What this node appended in one tenure: the messages behind `begun_at`.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// The record of the epoch.
    begun_at: u64,
    /// The last one; `None` while the tenure lasts.
    end: Option<End>,
}

/// Whose a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Appended elsewhere, or the record of an epoch.
    Others,
    /// Appended here, or nobody's yet: the tenure lasts.
    Ours,
    /// Appended here in a tenure that ended so.
    OursUntil(End),
}

struct State {
    end: End,
    /// The epoch in which the shard is owned here.
    tenure: Option<u64>,
    /// What the next batch of the tenure begins with.
    next_seq: u64,
    /// Tenures the tail has not passed yet, and the last one.
    spans: Vec<Span>,
}

/// How far a tail has given a shard's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tailed {
    /// The next record to give.
    pub(super) next_seq: u64,
    /// Whether anyone gives them.
    pub(super) is_followed: bool,
}

/// One shard's stream.
pub(super) struct ShardLog {
    pub(super) shard: ShardId,
    pub(super) stream: String,
    pub(super) subject: String,
    state: Mutex<State>,
    /// Whether the message on its way waits for too long.
    is_stalled: AtomicBool,
    /// Whether somebody says that the shard is owned elsewhere.
    is_doubted: AtomicBool,
    /// Held while the shard is taken over or let go.
    pub(super) changing: tokio::sync::Mutex<()>,
    /// The later epoch that was seen in the stream of an owned shard; 0 for none.
    suspected: AtomicU64,
    suspicion: Notify,
    /// The last message that others told of.
    hinted: AtomicU64,
    /// Wakes the tail.
    pub(super) wake: Notify,
    pub(super) tailed: watch::Sender<Tailed>,
}

impl ShardLog {
    pub(super) fn new(shard: ShardId, stream: String, subject: String, end: End) -> Self {
        let state = State { end, tenure: None, next_seq: end.next_seq, spans: Vec::new() };
        Self {
            shard,
            stream,
            subject,
            state: Mutex::new(state),
            is_stalled: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
            suspected: AtomicU64::new(0),
            suspicion: Notify::new(),
            hinted: AtomicU64::new(0),
            wake: Notify::new(),
            tailed: watch::Sender::default(),
        }
    }

    /// The last message known to be committed.
    pub(super) fn end(&self) -> End {
        self.state.lock().end
    }

    /// The epoch in which the shard is owned here.
    pub(super) fn tenure(&self) -> Option<u64> {
        self.state.lock().tenure
    }

    /// What the shard's next batch begins with.
    pub(super) fn next_seq(&self) -> u64 {
        let state = self.state.lock();
        if state.tenure.is_some() { state.next_seq } else { state.end.next_seq }
    }

    /// Takes in that the stream reaches `end`. Whether that is news.
    pub(super) fn note(&self, end: End) -> bool {
        let mut state = self.state.lock();
        let is_news = end.message > state.end.message;
        if is_news {
            state.end = end;
        }
        is_news
    }

    /// Accepts `count` records from `first_seq` on, and gives the epoch to `queue` within the lock, so that the queue is in
    /// the order of the sequence. A refusal is queued as well.
    pub(super) fn accept(&self, first_seq: u64, count: u64, queue: impl FnOnce(Option<u64>, Option<AppendError>)) {
        let mut state = self.state.lock();
        let due = if state.tenure.is_some() { state.next_seq } else { state.end.next_seq };
        let is_due = count == 0 || (state.tenure.is_some() && due == first_seq);
        if is_due {
            state.next_seq += count;
        }
        let refusal = AppendError::Fenced { shard: self.shard, expected: due, given: first_seq };
        queue(state.tenure, (!is_due).then_some(refusal));
    }

    /// Begins a tenure whose record of the epoch is the stream's `end`, if `take` agrees, within the lock.
    pub(super) fn begin_tenure(&self, end: End, take: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        if end.message < state.end.message || !take() {
            return false;
        }
        self.suspected.store(0, Ordering::Release);
        (state.end, state.tenure, state.next_seq) = (end, Some(end.epoch), end.next_seq);
        if !self.tailed.borrow().is_followed {
            state.spans.clear();
        }
        state.spans.push(Span { begun_at: end.message, end: None });
        true
    }

    /// Accepts no more batches, and calls `queue` within the lock. Whether any were accepted so far.
    pub(super) fn close_tenure(&self, queue: impl FnOnce()) -> bool {
        let mut state = self.state.lock();
        let was_open = state.tenure.take().is_some();
        if was_open {
            queue();
        }
        was_open
    }

    /// The tenure is over, with all that is durable of it. Calls `let_go` within the lock.
    pub(super) fn end_tenure(&self, let_go: impl FnOnce()) -> End {
        let mut state = self.state.lock();
        let end = state.end;
        state.tenure = None;
        if let Some(span) = state.spans.last_mut() {
            span.end.get_or_insert(end);
        }
        let_go();
        drop(state);
        self.wake.notify_one();
        end
    }

    /// Whose message `message` is, or is to be.
    pub(super) fn whose(&self, message: u64) -> Whose {
        let state = self.state.lock();
        let is_in = |span: &&Span| span.begun_at < message && span.end.is_none_or(|end| message <= end.message);
        match state.spans.iter().find(is_in).map(|span| span.end) {
            None => Whose::Others,
            Some(None) => Whose::Ours,
            Some(Some(end)) => Whose::OursUntil(end),
        }
    }

    /// The tail has passed `message`.
    pub(super) fn passed(&self, message: u64) {
        self.state.lock().spans.retain(|span| span.end.is_none_or(|end| end.message > message));
    }

    /// What an append hears that cannot be tried.
    pub(super) fn fenced(&self, first_seq: u64) -> AppendError {
        AppendError::Fenced { shard: self.shard, expected: self.next_seq(), given: first_seq }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    pub(super) fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    pub(super) fn set_doubted(&self, is_doubted: bool) {
        self.is_doubted.store(is_doubted, Ordering::Release);
    }

    /// Whether it was doubted, once.
    pub(super) fn take_doubt(&self) -> bool {
        self.is_doubted.swap(false, Ordering::AcqRel)
    }

    /// A message of `epoch` was seen in the stream: the lane is to find out what that means for what is on its way.
    pub(super) fn suspect(&self, epoch: u64) {
        self.suspected.fetch_max(epoch, Ordering::AcqRel);
        self.suspicion.notify_one();
    }

    /// Waits for an epoch later than `own` that was seen in the stream.
    pub(super) async fn suspicion(&self, own: u64) -> u64 {
        loop {
            let suspected = self.suspected.load(Ordering::Acquire);
            if suspected > own {
                return suspected;
            }
            self.suspicion.notified().await;
        }
    }

    /// Others told that `message` is committed.
    pub(super) fn hint(&self, message: u64) {
        self.hinted.fetch_max(message, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// The last message others told of.
    pub(super) fn hinted(&self) -> u64 {
        self.hinted.load(Ordering::Acquire)
    }
}
