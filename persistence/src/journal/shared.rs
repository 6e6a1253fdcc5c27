//! What the journal's threads share.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::{Condvar, Mutex};

use super::{JournalError, JournalStats, PurgeSummary, catalog::Catalog, prepare::SpareSlot, queue::Queue};

/// The meeting place of callers, writer, preparer and readers.
pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    /// Wakes the writer.
    pub(super) wake: Condvar,
    /// The first fault. Once set, the journal is poisoned for good.
    pub(super) failure: OnceLock<Arc<JournalError>>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) spares: SpareSlot,
    /// Bytes left in the segment being written.
    room: AtomicU64,
    pub(super) stats: Counts,
    /// What must outlive the last write: the data directory's lock.
    pub(super) kept: OnceLock<Arc<dyn Send + Sync>>,
}

impl Shared {
    pub(super) fn new(queue: Queue, catalog: Catalog, spares: SpareSlot, room: u64) -> Self {
        Self {
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            failure: OnceLock::new(),
            catalog: Arc::new(catalog),
            spares,
            room: AtomicU64::new(room),
            stats: Counts::default(),
            kept: OnceLock::new(),
        }
    }

    /// Poisons the journal and gives the error everyone hears from now on: the first one.
    pub(super) fn fail(&self, error: JournalError) -> Arc<JournalError> {
        let failure = self.failure.get_or_init(|| {
            tracing::error!(error = &error as &dyn std::error::Error, "the journal has failed and takes nothing more");
            Arc::new(error)
        });
        Arc::clone(failure)
    }

    pub(super) fn room(&self) -> u64 {
        self.room.load(Ordering::Relaxed)
    }

    pub(super) fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("catalog", &self.catalog).field("failure", &self.failure).finish_non_exhaustive()
    }
}

/// Counts since the journal was opened, kept by the writer and by purges.
#[derive(Debug, Default)]
pub(super) struct Counts {
    batches: AtomicU64,
    syncs: AtomicU64,
    bytes: AtomicU64,
    records: AtomicU64,
    purged_segments: AtomicU64,
    purged_bytes: AtomicU64,
}

impl Counts {
    pub(super) fn count_batches(&self, batches: usize) {
        self.batches.fetch_add(batches as u64, Ordering::Relaxed);
    }

    pub(super) fn count_sync(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    /// One frame: one sync.
    pub(super) fn count_frame(&self, records: u32, bytes: u64) {
        self.count_sync();
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.records.fetch_add(records.into(), Ordering::Relaxed);
    }

    pub(super) fn count_purge(&self, purged: PurgeSummary) {
        self.purged_segments.fetch_add(purged.segments, Ordering::Relaxed);
        self.purged_bytes.fetch_add(purged.bytes, Ordering::Relaxed);
    }

    /// The counts; how many segments there are is not among them.
    pub(super) fn read(&self) -> JournalStats {
        JournalStats {
            batches: self.batches.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            segments: 0,
            purged_segments: self.purged_segments.load(Ordering::Relaxed),
            purged_bytes: self.purged_bytes.load(Ordering::Relaxed),
        }
    }
}
