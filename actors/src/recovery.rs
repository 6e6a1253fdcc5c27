//! Recovery of all shards at once: snapshots are scanned shard by shard on every core, then one pass over the journal feeds
//! the shards in parallel.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Journal, JournalError, Record, ReplayProgress, SnapshotError, SnapshotStore};
use parking_lot::Mutex;

use crate::{
    shard::{ReplayError, Shard},
    view::Views,
};

/// How far a recovery is. Read while it runs.
#[derive(Debug, Default)]
pub struct RecoveryProgress {
    snapshots: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    total_bytes: AtomicU64,
}

/// What a recovery did, or how far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    /// Entities read from snapshots.
    pub snapshots: u64,
    /// Journal records read.
    pub records: u64,
    /// Journal bytes read.
    pub bytes: u64,
    /// Journal bytes there are to read.
    pub total_bytes: u64,
}

/// Why the node cannot come back. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The journal cannot be read.
    #[error("the journal cannot be replayed")]
    Journal(#[from] JournalError),
    /// The snapshots cannot be read.
    #[error("the snapshots of shard {} cannot be read", .shard.0)]
    Snapshots {
        /// Which shard.
        shard: ShardId,
        /// Why.
        source: SnapshotError,
    },
    /// A record does not fit the state before it.
    #[error("shard {} cannot take in journal sequence {sequence}", .shard.0)]
    Replay {
        /// Which shard.
        shard: ShardId,
        /// Which record.
        sequence: u64,
        /// Why.
        source: ReplayError,
    },
}

impl RecoveryProgress {
    /// The figures so far.
    pub fn so_far(&self) -> RecoverySummary {
        RecoverySummary {
            snapshots: self.snapshots.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
        }
    }

    fn note(&self, progress: &ReplayProgress) {
        self.records.store(progress.records, Ordering::Relaxed);
        self.bytes.store(progress.bytes, Ordering::Relaxed);
        self.total_bytes.store(progress.total_bytes, Ordering::Relaxed);
    }
}

/// Brings `shards`, all or some of `count`, to the state the store holds, with so many
/// `workers` for the snapshots: one needs no thread. Blocking.
pub(crate) fn recover(
    count: ShardCount,
    shards: Vec<(ShardId, Shard)>,
    journal: &dyn Journal,
    snapshots: &dyn SnapshotStore,
    views: &Views,
    progress: &RecoveryProgress,
    workers: usize,
) -> Result<Vec<(ShardId, Shard)>, RecoveryError> {
    let shards: BTreeMap<ShardId, Mutex<Shard>> =
        shards.into_iter().map(|(id, shard)| (id, Mutex::new(shard))).collect();
    let watermarks = scan_all(&shards, snapshots, views, progress, workers)?;
    let failure: Mutex<Option<RecoveryError>> = Mutex::new(None);
    let take_in = |shard: ShardId, sequence: u64, record: Record| {
        let Some(state) = shards.get(&shard) else { return };
        let entity = record.entity.clone();
        let replayed = catch_unwind(AssertUnwindSafe(|| state.lock().replay(sequence, record, snapshots)));
        if let Err(source) = replayed.unwrap_or(Err(ReplayError::Panicked(entity))) {
            failure.lock().get_or_insert(RecoveryError::Replay { shard, sequence, source });
        }
    };
    // Of shards that are not recovered now everything is skipped.
    let start = |shard| (shard, watermarks.get(&shard).map_or(u64::MAX, |watermark| watermark + 1));
    let from = count.iter().map(start).collect();
    let owned: BTreeSet<ShardId> = shards.keys().filter(|shard| journal.owns(**shard)).copied().collect();
    journal.replay(&from, &take_in, &|so_far| progress.note(&so_far))?;
    if let Some(error) = failure.into_inner() {
        return Err(error);
    }
    let finish = |(id, shard): (ShardId, Mutex<Shard>)| {
        let mut shard = shard.into_inner();
        let watermark = watermarks.get(&id).copied().unwrap_or(0);
        // One that came here during the replay may end behind what was read of it: that is followed first.
        let is_ours = owned.contains(&id) && journal.owns(id);
        let head = is_ours.then(|| journal.next_seq(id).saturating_sub(1));
        shard.finish_recovery(watermark, head, views);
        (id, shard)
    };
    Ok(shards.into_iter().map(finish).collect())
}

/// Takes in every snapshot, and gives each shard's watermark.
fn scan_all(
    shards: &BTreeMap<ShardId, Mutex<Shard>>,
    snapshots: &dyn SnapshotStore,
    views: &Views,
    progress: &RecoveryProgress,
    workers: usize,
) -> Result<BTreeMap<ShardId, u64>, RecoveryError> {
    let ids: Vec<ShardId> = shards.keys().copied().collect();
    let next = AtomicUsize::new(0);
    let outcome: Mutex<Result<BTreeMap<ShardId, u64>, RecoveryError>> = Mutex::new(Ok(BTreeMap::new()));
    let scan = || {
        while let Some(shard) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scanned = scan_one(*shard, &shards[shard], snapshots, views, progress);
            let mut outcome = outcome.lock();
            match (outcome.as_mut(), scanned) {
                (Ok(watermarks), Ok(watermark)) => {
                    watermarks.insert(*shard, watermark);
                }
                (Ok(_), Err(error)) => *outcome = Err(error),
                (Err(_), _) => return,
            }
        }
    };
    match workers.min(ids.len()) {
        0 | 1 => scan(),
        workers => thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(scan);
            }
        }),
    }
    outcome.into_inner()
}

fn scan_one(
    id: ShardId,
    shard: &Mutex<Shard>,
    snapshots: &dyn SnapshotStore,
    views: &Views,
    progress: &RecoveryProgress,
) -> Result<u64, RecoveryError> {
    let explain = |source| RecoveryError::Snapshots { shard: id, source };
    let watermark = snapshots.watermark(id).map_err(explain)?;
    let mut shard = shard.lock();
    snapshots
        .scan(id, &mut |_, version, state| {
            shard.restore(version, state, views);
            progress.snapshots.fetch_add(1, Ordering::Relaxed);
        })
        .map_err(explain)?;
    Ok(watermark)
}
