//! What the journal's callers, lanes, tails and readers share.
//!
//! Invariant: what is durable only grows, and is told to followers after the completion may run, never before the append
//! was acknowledged; the first failure stays.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use holdfast_core::ShardId;
use holdfast_persistence::{
    AppendError, HistoryReader, JournalError, JournalStats, Unwritable, journal::MessageFormat,
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, watch};

use super::{hint::Hints, log::ShardLog, requests::Requests, settings::NatsSettings};
use crate::{boot::BootId, owners::Owners};

/// Shared by everything of one journal.
pub(super) struct Shared {
    pub(super) requests: Requests,
    pub(super) settings: NatsSettings,
    pub(super) format: MessageFormat,
    /// Batches that wait together become one message of up to so many bytes; a larger one travels alone.
    pub(super) group_bytes: usize,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) boot: BootId,
    pub(super) owners: Arc<Owners>,
    pub(super) shards: Vec<Arc<ShardLog>>,
    /// How others are told of what is durable, if there are others.
    pub(super) hints: Option<Hints>,
    failure: OnceLock<Arc<JournalError>>,
    /// Why this node may not go on, once it may not.
    pub(super) lost: watch::Sender<Option<String>>,
    pub(super) counts: Counts,
    /// Wakes followers when something became durable.
    moved: (Mutex<u64>, Condvar),
    /// Wakes the watch.
    pub(super) doubts: Notify,
    /// Who read behind, and need what they have not read.
    pub(super) behind: Mutex<Vec<Arc<dyn HistoryReader>>>,
}

/// What a journal is opened with.
pub(super) struct Parts {
    pub(super) requests: Requests,
    pub(super) settings: NatsSettings,
    pub(super) format: MessageFormat,
    pub(super) group_bytes: usize,
    pub(super) connected: Arc<AtomicBool>,
    pub(super) boot: BootId,
    pub(super) owners: Arc<Owners>,
    pub(super) shards: Vec<Arc<ShardLog>>,
    pub(super) hints: Option<Hints>,
}

/// Counts since the journal was opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) batches: AtomicU64,
    pub(super) messages: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) purged_messages: AtomicU64,
    pub(super) purged_bytes: AtomicU64,
    pub(super) resent: AtomicU64,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { requests, settings, format, group_bytes, connected, boot, owners, shards, hints } = parts;
        Self {
            requests,
            settings,
            format,
            group_bytes,
            connected,
            boot,
            owners,
            shards,
            hints,
            failure: OnceLock::new(),
            lost: watch::Sender::new(None),
            counts: Counts::default(),
            moved: (Mutex::new(0), Condvar::new()),
            doubts: Notify::new(),
            behind: Mutex::default(),
        }
    }

    /// The first record of the shard that anybody who reads behind still needs.
    pub(super) fn needed_from(&self, shard: ShardId) -> Option<u64> {
        let readers = self.behind.lock().clone();
        readers.iter().map(|reader| reader.needs_from(shard)).min()
    }

    pub(super) fn log(&self, shard: ShardId) -> Option<&Arc<ShardLog>> {
        self.shards.get(usize::from(shard.0))
    }

    /// A message of `batches` batches is on a quorum.
    pub(super) fn count(&self, batches: u64, records: u64, bytes: u64) {
        self.counts.batches.fetch_add(batches, Ordering::Relaxed);
        self.counts.messages.fetch_add(1, Ordering::Relaxed);
        self.counts.records.fetch_add(records, Ordering::Relaxed);
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Something is known to be durable that was not before.
    pub(super) fn wake_followers(&self) {
        *self.moved.0.lock() += 1;
        self.moved.1.notify_all();
    }

    /// How many times something became durable: for [`Shared::wait_moved`].
    pub(super) fn moves(&self) -> u64 {
        *self.moved.0.lock()
    }

    /// Waits until something became durable since `moves`, at most so long.
    pub(super) fn wait_moved(&self, moves: u64, limit: Duration) {
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

    /// Why the journal takes nothing more, if it does not.
    pub(super) fn failure(&self) -> Option<Arc<JournalError>> {
        self.failure.get().map(Arc::clone)
    }

    /// Another node began epoch `later` of the shard: nothing more can be appended in epoch `own`.
    pub(super) fn overtake(&self, log: &ShardLog, own: u64, later: u64) {
        metrics::counter!("holdfast_journal_overtaken_total").increment(1);
        log.end_tenure(|| self.owners.let_go(log.shard));
        let shard = log.shard.0;
        tracing::warn!(shard, own, later, "another node has taken the shard over");
        if self.is_alone() {
            self.lose(&format!(
                "another node has taken shard {shard} over: it is in epoch {later}, this node was its owner in epoch {own}"
            ));
        }
    }

    /// Somebody says that an owned shard is not: the watch is to look now.
    pub(super) fn doubt(&self, log: &ShardLog) {
        log.set_doubted(true);
        self.doubts.notify_one();
    }

    /// Whether this node owns all shards or leaves.
    pub(super) fn is_alone(&self) -> bool {
        self.hints.is_none()
    }

    fn lose(&self, reason: &str) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| reason.to_owned());
            is_first
        });
    }

    /// Why an append that was accepted in `accepted` cannot be tried by a lane in epoch `epoch`.
    pub(super) fn refusal(
        &self,
        log: &ShardLog,
        epoch: Option<u64>,
        accepted: Option<u64>,
        given: u64,
    ) -> Option<AppendError> {
        if let Some(failure) = self.failure() {
            return Some(AppendError::Failed(failure));
        }
        (epoch.is_none() || accepted != epoch).then(|| log.fenced(given))
    }

    pub(super) fn writable(&self, log: &ShardLog) -> Result<(), Unwritable> {
        if self.failure.get().is_some() {
            return Err(Unwritable::Poisoned);
        }
        if log.tenure().is_none() || self.lost.borrow().is_some() {
            return Err(Unwritable::Overtaken);
        }
        if log.is_stalled() || !self.connected.load(Ordering::Acquire) {
            return Err(Unwritable::Unreachable);
        }
        Ok(())
    }

    pub(super) fn stats(&self) -> JournalStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JournalStats {
            batches: read(&self.counts.batches),
            syncs: read(&self.counts.messages),
            bytes: read(&self.counts.bytes),
            records: read(&self.counts.records),
            segments: self.shards.len() as u64,
            purged_segments: read(&self.counts.purged_messages),
            purged_bytes: read(&self.counts.purged_bytes),
        }
    }
}
