//! Keeps the archive far enough for the streams to be purged: a thread that looks, every `nats.archive_interval_ms`, whether
//! the streams of the shards owned here take more than the settings keep, and writes an edition of those that do.
//!
//! Invariants: a shard's history is needed from behind the edition before its newest on, for nodes that are being filled from
//! that one, and all of it until there is one before. An edition is written only when the journal has taken more since the last
//! one than that one did, and than half of what is kept of a shard on average: writing editions costs at most about as much as
//! the journal does, and whoever is being filled has the time in which that half comes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use holdfast_core::ShardId;
use holdfast_persistence::{
    HistoryReader, Journal as _, SnapshotError, SnapshotSource, StoreId, journal::MessageDamage,
};

use super::{
    Archive, Contents,
    edition::Edition,
    write::{End, WriteError},
};
use crate::jetstream::{JetStreamJournal, blocking, error::RequestError, log::ShardLog, requests::StreamState};

/// The archive's writer. Dropping it ends the writing, in the middle of an edition too.
pub struct Archivist {
    leaving: Arc<AtomicBool>,
    /// Dropped to wake the thread.
    wake: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The record up to which everything is in the edition before the newest, per shard.
struct Progress(Vec<AtomicU64>);

impl HistoryReader for Progress {
    fn needs_from(&self, shard: ShardId) -> u64 {
        self.0.get(usize::from(shard.0)).map_or(0, |watermark| watermark.load(Ordering::Acquire)) + 1
    }
}

struct Work {
    archive: Archive,
    store: StoreId,
    journal: Arc<JetStreamJournal>,
    snapshots: Arc<dyn SnapshotSource>,
    progress: Arc<Progress>,
    /// What is remembered of each shard.
    last: Vec<Last>,
    keep_bytes: u64,
    leaving: Arc<AtomicBool>,
}

/// A shard as of its last edition that was written here, and the last round.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// The edition's size, in bytes.
    bytes: u64,
    /// The last message of the shard's stream when it was written.
    message: u64,
    /// The first message of the stream, and the first record in it or behind it.
    first: (u64, u64),
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Snapshots(#[from] SnapshotError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the stream {0} is another store's: choose another nats.deployment")]
    Foreign(String),
    #[error("{0}")]
    Unfit(String),
}

impl RoundError {
    /// Whether the other shards may be written all the same.
    fn is_of_one_shard(&self) -> bool {
        match self {
            Self::Snapshots(_) | Self::Write(WriteError::Snapshots(_) | WriteError::Packing(_)) => true,
            Self::Request(error) | Self::Write(WriteError::Request(error)) => {
                matches!(error, RequestError::Refused { .. } | RequestError::Malformed(_))
            }
            Self::Write(WriteError::Leaving) | Self::Foreign(_) | Self::Unfit(_) => false,
        }
    }

    fn tell(&self) {
        metrics::counter!("holdfast_archive_failures_total").increment(1);
        let error = self as &dyn std::error::Error;
        tracing::warn!(error, "the archive was not written: the streams keep what it lacks");
    }
}

impl Archivist {
    /// Keeps `archive` for the shards of `store` that `journal` owns from now on, from the node's own `snapshots`; and has the
    /// journal keep what the archive lacks. Begun before anything is purged.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        archive: Archive,
        store: StoreId,
        journal: Arc<JetStreamJournal>,
        snapshots: Arc<dyn SnapshotSource>,
    ) -> io::Result<Self> {
        let shards = usize::from(archive.shards.get());
        let progress = Arc::new(Progress((0..shards).map(|_| AtomicU64::new(0)).collect()));
        journal.retain_for(Arc::<Progress>::clone(&progress), u64::MAX);
        let keep_bytes = journal.retain_bytes().unwrap_or(u64::MAX);
        let interval = Duration::from_millis(journal.shared().settings.archive_interval_ms);
        let (leaving, last) = (Arc::new(AtomicBool::new(false)), vec![Last::default(); shards]);
        let mut work =
            Work { archive, store, journal, snapshots, progress, last, keep_bytes, leaving: Arc::clone(&leaving) };
        let (wake, woken) = mpsc::channel::<()>();
        let rounds = move || {
            while woken.recv_timeout(interval) == Err(mpsc::RecvTimeoutError::Timeout) {
                work.round_and_tell();
            }
        };
        let thread = thread::Builder::new().name(String::from("archive")).spawn(rounds)?;
        Ok(Self { leaving, wake: Some(wake), thread: Some(thread) })
    }
}

impl Work {
    fn round_and_tell(&mut self) {
        match self.round() {
            Ok(()) | Err(RoundError::Write(WriteError::Leaving)) => {}
            Err(error) => error.tell(),
        }
    }

    /// One look, and what it asks for.
    fn round(&mut self) -> Result<(), RoundError> {
        let contents = self.contents()?;
        let owned = self.owned(&contents)?;
        let total: u64 = owned.iter().map(|shard| shard.state.bytes).sum();
        let share = self.keep_bytes / u64::from(self.archive.shards.get()).max(1);
        let mut excess = total.saturating_sub(share * owned.len() as u64);
        for shard in owned {
            let index = usize::from(shard.edition.shard.0);
            let last = self.last.get(index).copied().unwrap_or_default();
            let is_worth_it = excess > 0 && shard.journaled_since(last.message) > last.bytes.max(share / 2);
            if !shard.has_more || !(is_worth_it || shard.is_missing) {
                continue;
            }
            let end = match self.write(shard.edition, &contents) {
                Ok(end) => end,
                Err(error) if error.is_of_one_shard() => {
                    error.tell();
                    continue;
                }
                Err(error) => return Err(error),
            };
            if let Some(last) = self.last.get_mut(index) {
                (last.bytes, last.message) = (end.bytes, shard.state.last_seq);
            }
            excess = excess.saturating_sub(shard.state.bytes);
        }
        Ok(())
    }

    /// What the archive holds. It is made where there is none; one that was only not shown, as by a server that has just
    /// started, is shown then, and not taken for empty.
    fn contents(&self) -> Result<Contents, RoundError> {
        let archive = &self.archive;
        let look = async {
            let contents = archive.contents().await?;
            if contents.store.is_some() {
                return Ok(contents);
            }
            archive.prepare(self.store).await?;
            archive.contents().await
        };
        let contents = blocking::wait(&archive.handle, look)?;
        match contents.store {
            Some(store) if store != self.store => Err(RoundError::Foreign(archive.stream.clone())),
            Some(_) => contents.problem.clone().map_or(Ok(contents), |problem| Err(RoundError::Unfit(problem))),
            None => Err(RequestError::Malformed(format!("{} was made and is not shown", archive.stream)).into()),
        }
    }

    /// The shards owned here, the one with the most history first.
    fn owned(&mut self, contents: &Contents) -> Result<Vec<Owned>, RoundError> {
        let (mut owned, journal) = (Vec::new(), Arc::clone(&self.journal));
        for log in &journal.shared().shards {
            let Some(epoch) = log.tenure() else { continue };
            if self.leaving.load(Ordering::Acquire) {
                return Err(WriteError::Leaving.into());
            }
            let newest = contents.newest(log.shard).map_or(0, |edition| edition.watermark);
            let watermark = self.snapshots.watermark(log.shard)?;
            let Some(info) = blocking::wait(&self.archive.handle, self.archive.requests.stream(&log.stream))? else {
                continue;
            };
            let edition = Edition { shard: log.shard, watermark, epoch };
            let is_missing = info.state.first_seq > 1 && newest + 1 < self.first_record(log, info.state.first_seq)?;
            owned.push(Owned { edition, has_more: watermark > newest, is_missing, state: info.state });
        }
        owned.sort_by_key(|shard| std::cmp::Reverse(shard.state.bytes));
        Ok(owned)
    }

    /// The first record that a stream has whose first message has number `message`.
    fn first_record(&mut self, log: &ShardLog, message: u64) -> Result<u64, RoundError> {
        let Some(last) = self.last.get_mut(usize::from(log.shard.0)) else { return Ok(1) };
        if last.first.0 < message {
            let shared = self.journal.shared();
            let first = blocking::wait(&self.archive.handle, shared.requests.first(&log.stream, &log.subject))?;
            // From a replica that is behind it may be an earlier one: then it is asked again in the next round.
            if let Some(stored) = first {
                let malformed = |error: MessageDamage| RequestError::Malformed(error.to_string());
                let first = shared.format.read(log.shard, &stored.payload).map_err(malformed)?.first_seq;
                last.first = (stored.sequence, first);
            }
        }
        Ok(last.first.1)
    }

    fn write(&self, edition: Edition, contents: &Contents) -> Result<End, RoundError> {
        // Each attempt would leave its own otherwise, if none comes to its end.
        for left in contents.abandoned(edition) {
            blocking::wait(&self.archive.handle, self.archive.delete(left))?;
        }
        let end = self.archive.write(self.store, edition, &*self.snapshots, &self.leaving)?;
        if let (Some(known), Some(before)) =
            (self.progress.0.get(usize::from(edition.shard.0)), contents.newest(edition.shard))
        {
            known.store(before.watermark, Ordering::Release);
        }
        let (shard, watermark) = (edition.shard.0, edition.watermark);
        tracing::info!(
            shard,
            watermark,
            entities = end.entities,
            bytes = end.bytes,
            "a shard's snapshots were archived"
        );
        metrics::counter!("holdfast_archive_editions_total").increment(1);
        metrics::counter!("holdfast_archive_bytes_total").increment(end.bytes);
        for useless in contents.useless(edition) {
            blocking::wait(&self.archive.handle, self.archive.delete(useless))?;
        }
        Ok(end)
    }
}

/// A shard that is owned here.
struct Owned {
    /// The edition that could be written of it now.
    edition: Edition,
    /// Whether it would contain more than the newest one there is.
    has_more: bool,
    /// Whether history is gone that no edition has: it was purged while a database had it, or the archive was deleted.
    is_missing: bool,
    /// What its stream holds.
    state: StreamState,
}

impl Owned {
    /// What its stream has taken in since message number `since`, in bytes: by the mean size of what it holds.
    fn journaled_since(&self, since: u64) -> u64 {
        let mean = self.state.bytes / self.state.messages.max(1);
        self.state.last_seq.saturating_sub(since) * mean
    }
}

impl Drop for Archivist {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the archive's writer panicked");
        }
    }
}

impl std::fmt::Debug for Archivist {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archivist").finish_non_exhaustive()
    }
}
