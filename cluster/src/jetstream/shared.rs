//! What the journal's callers, lanes and readers share.
//!
//! Invariant: what is durable only grows, and is told to followers after the completion may run, never before the append
//! was acknowledged; the first failure stays.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use holdfast_core::ShardId;
use holdfast_persistence::{AppendError, JournalError, JournalStats, Unwritable, journal::MessageFormat};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{requests::Requests, settings::NatsSettings};

/// Shared by everything of one journal.
pub(super) struct Shared {
    pub(super) requests: Requests,
    pub(super) settings: NatsSettings,
    pub(super) format: MessageFormat,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) shards: Vec<ShardLog>,
    /// Lanes whose oldest batch waits for too long.
    pub(super) stalled: AtomicUsize,
    failure: OnceLock<Arc<JournalError>>,
    /// Why this node may not go on, once it may not.
    pub(super) lost: watch::Sender<Option<String>>,
    pub(super) counts: Counts,
    /// Wakes followers when something became durable.
    moved: (Mutex<u64>, Condvar),
}

/// One shard's stream and how far it is.
pub(super) struct ShardLog {
    pub(super) shard: ShardId,
    pub(super) stream: String,
    pub(super) subject: String,
    /// The epoch this journal began.
    pub(super) epoch: u64,
    /// The message that began it.
    pub(super) begun_at: u64,
    /// The last durable message.
    durable: AtomicU64,
    /// The sequence number that follows the last durable record.
    next_durable: AtomicU64,
    /// The sequence number the next batch begins with.
    pub(super) next_seq: Mutex<u64>,
    /// The later epoch that was found, if one was: 0 for none.
    overtaken_by: AtomicU64,
}

/// Counts since the journal was opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) batches: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) purged_messages: AtomicU64,
    pub(super) purged_bytes: AtomicU64,
    pub(super) resent: AtomicU64,
}

impl ShardLog {
    pub(super) fn new(shard: ShardId, stream: String, subject: String, epoch: u64, at: u64, next_seq: u64) -> Self {
        Self {
            shard,
            stream,
            subject,
            epoch,
            begun_at: at,
            durable: AtomicU64::new(at),
            next_durable: AtomicU64::new(next_seq),
            next_seq: Mutex::new(next_seq),
            overtaken_by: AtomicU64::new(0),
        }
    }

    /// The last durable message.
    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// The sequence number that follows the last durable record.
    pub(super) fn next_durable(&self) -> u64 {
        self.next_durable.load(Ordering::Acquire)
    }

    /// What an append hears that another owner was faster than.
    pub(super) fn fenced(&self, first_seq: u64) -> AppendError {
        AppendError::Fenced { shard: self.shard, expected: self.next_durable(), given: first_seq }
    }

    pub(super) fn overtaken_by(&self) -> Option<u64> {
        Some(self.overtaken_by.load(Ordering::Acquire)).filter(|epoch| *epoch > 0)
    }
}

impl Shared {
    pub(super) fn new(
        requests: Requests,
        settings: NatsSettings,
        format: MessageFormat,
        connected: Arc<AtomicBool>,
        shards: Vec<ShardLog>,
    ) -> Self {
        Self {
            requests,
            settings,
            format,
            connected,
            shards,
            stalled: AtomicUsize::new(0),
            failure: OnceLock::new(),
            lost: watch::Sender::new(None),
            counts: Counts::default(),
            moved: (Mutex::new(0), Condvar::new()),
        }
    }

    pub(super) fn log(&self, shard: ShardId) -> Option<&ShardLog> {
        self.shards.get(usize::from(shard.0))
    }

    /// A batch is on a quorum.
    pub(super) fn note_durable(&self, log: &ShardLog, message: u64, records: u64, bytes: u64) {
        log.next_durable.fetch_add(records, Ordering::AcqRel);
        log.durable.store(message, Ordering::Release);
        self.counts.batches.fetch_add(1, Ordering::Relaxed);
        self.counts.records.fetch_add(records, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        *self.moved.0.lock() += 1;
        self.moved.1.notify_all();
    }

    /// How many times something became durable: for [`Shared::wait_moved`].
    pub(super) fn moves(&self) -> u64 {
        *self.moved.0.lock()
    }

    /// Waits until something became durable since `moves`, at most so long.
    pub(super) fn wait_moved(&self, moves: u64, limit: std::time::Duration) {
        let mut now = self.moved.0.lock();
        if *now == moves {
            self.moved.1.wait_for(&mut now, limit);
        }
    }

    /// The journal takes nothing more. Gives the first failure.
    pub(super) fn fail(&self, error: JournalError) -> Arc<JournalError> {
        let failure = self.failure.get_or_init(|| {
            tracing::error!(error = &error as &dyn std::error::Error, "the journal in NATS takes nothing more");
            Arc::new(error)
        });
        self.lose(&failure.to_string());
        Arc::clone(failure)
    }

    /// Another node began `epoch` of the shard: nothing of this one can be appended any more.
    pub(super) fn overtake(&self, log: &ShardLog, epoch: u64) {
        if log.overtaken_by.swap(epoch, Ordering::AcqRel) == 0 {
            metrics::counter!("holdfast_journal_overtaken_total").increment(1);
        }
        self.lose(&format!(
            "another node has taken shard {} over: it is in epoch {epoch}, this node was its owner in epoch {}",
            log.shard.0, log.epoch
        ));
    }

    fn lose(&self, reason: &str) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| reason.to_owned());
            is_first
        });
    }

    /// Why an append cannot even be tried.
    pub(super) fn refusal(&self, log: &ShardLog, first_seq: u64) -> Option<AppendError> {
        if let Some(failure) = self.failure.get() {
            return Some(AppendError::Failed(Arc::clone(failure)));
        }
        log.overtaken_by().map(|_| log.fenced(first_seq))
    }

    pub(super) fn writable(&self) -> Result<(), Unwritable> {
        if self.failure.get().is_some() {
            return Err(Unwritable::Poisoned);
        }
        if self.lost.borrow().is_some() {
            return Err(Unwritable::Overtaken);
        }
        if self.stalled.load(Ordering::Relaxed) > 0 || !self.connected.load(Ordering::Acquire) {
            return Err(Unwritable::Unreachable);
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> JournalStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JournalStats {
            batches: read(&self.counts.batches),
            syncs: read(&self.counts.batches),
            bytes: read(&self.counts.bytes),
            records: read(&self.counts.records),
            segments: self.shards.len() as u64,
            purged_segments: read(&self.counts.purged_messages),
            purged_bytes: read(&self.counts.purged_bytes),
        }
    }
}
