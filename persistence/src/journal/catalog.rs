//! Which segments there are, and how far they are durable: shared by the writer, who adds, and the readers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::segment::Header;

/// The begun segments, oldest first, and the durable end.
#[derive(Debug)]
pub(super) struct Catalog {
    begun: Mutex<Vec<Arc<Header>>>,
    /// The number of the first record that is not durable.
    next_lsn: AtomicU64,
    /// Readers of segments share it while they open them; a purge has it alone.
    pub(super) retention: RwLock<()>,
    /// Whether a follower waits for the durable end to move. The writer looks at nothing else of it.
    awaited: AtomicBool,
    waiting: Mutex<()>,
    moved: Condvar,
}

impl Catalog {
    pub(super) fn new(begun: Vec<Header>, next_lsn: u64) -> Self {
        Self {
            begun: Mutex::new(begun.into_iter().map(Arc::new).collect()),
            next_lsn: AtomicU64::new(next_lsn),
            retention: RwLock::new(()),
            awaited: AtomicBool::new(false),
            waiting: Mutex::new(()),
            moved: Condvar::new(),
        }
    }

    pub(super) fn begin(&self, header: Header) {
        self.begun.lock().push(Arc::new(header));
    }

    pub(super) fn set_durable(&self, next_lsn: u64) {
        self.next_lsn.store(next_lsn, Ordering::SeqCst);
        if self.awaited.swap(false, Ordering::SeqCst) {
            let _waiting = self.waiting.lock();
            self.moved.notify_all();
        }
    }

    /// Waits until a record numbered `next_lsn` is durable, at most for `wait`.
    pub(super) fn wait_beyond(&self, next_lsn: u64, wait: Duration) {
        let mut waiting = self.waiting.lock();
        // Said before it looks: the writer moves the end before it asks, so one of the two sees the other.
        self.awaited.store(true, Ordering::SeqCst);
        if self.next_lsn.load(Ordering::SeqCst) <= next_lsn {
            self.moved.wait_for(&mut waiting, wait);
        }
    }

    pub(super) fn durable(&self) -> u64 {
        self.next_lsn.load(Ordering::Acquire)
    }

    /// The segments now, oldest first.
    pub(super) fn begun(&self) -> Vec<Arc<Header>> {
        self.begun.lock().clone()
    }

    /// The number of the oldest record there is, or will be.
    pub(super) fn first_lsn(&self) -> u64 {
        self.begun.lock().first().map_or(1, |first| first.first_lsn)
    }

    /// Forgets the oldest segment.
    pub(super) fn forget_oldest(&self) {
        let mut begun = self.begun.lock();
        if !begun.is_empty() {
            begun.remove(0);
        }
    }
}
