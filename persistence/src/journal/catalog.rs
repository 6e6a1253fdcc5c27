//! Which segments there are, and how far they are durable: shared by the writer, who adds, and the readers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::segment::Header;

/// The begun segments, oldest first, and the durable end.
#[derive(Debug)]
pub(super) struct Catalog {
    begun: Mutex<Vec<Arc<Header>>>,
    /// The number of the first record that is not durable.
    next_lsn: AtomicU64,
}

impl Catalog {
    pub(super) fn new(begun: Vec<Header>, next_lsn: u64) -> Self {
        Self { begun: Mutex::new(begun.into_iter().map(Arc::new).collect()), next_lsn: AtomicU64::new(next_lsn) }
    }

    pub(super) fn begin(&self, header: Header) {
        self.begun.lock().push(Arc::new(header));
    }

    pub(super) fn set_durable(&self, next_lsn: u64) {
        self.next_lsn.store(next_lsn, Ordering::Release);
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
