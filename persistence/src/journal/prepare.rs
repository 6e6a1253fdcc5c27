//! Makes segments ahead of time, in a thread of its own, so that the writer never waits for a disk to find room.
//!
//! Invariants: a segment is written full of zeros and synced before it gets its name (space that is only reserved still
//! costs a metadata write at the first sync of each block); a full disk is found here, while the segment being written
//! still has its reserve; any other fault poisons the journal.
//!
//! Made in one go, a segment keeps the device busy for as long as some dozens of the writer's syncs take, and they wait in the
//! same queue. So it is made in small pieces with rests between them, for as long as it is not needed soon.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use holdfast_core::{ShardCount, planted};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::store::StoreId;

use super::{
    JournalError,
    disk::{Disk, SegmentFile},
    segment::{self, Header},
    shared::Shared,
};

/// Zeros per write, in bytes.
static ZEROS: [u8; 1 << 18] = [0; 1 << 18];
/// Zeros per sync, in bytes: many small syncs leave the device to the writer in between.
const SYNC_BYTES: u64 = 1 << 18;
/// How long the device is left to the writer between two such pieces.
const REST: Duration = Duration::from_millis(4);

/// Whose segments these are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub(super) store: StoreId,
    pub(super) shards: ShardCount,
}

/// A segment that is ready to be begun.
#[derive(Debug)]
pub(super) struct Spare {
    pub(super) file: Arc<dyn SegmentFile>,
    pub(super) generation: u64,
    pub(super) capacity: u64,
}

/// Where the preparer leaves the spare and the writer takes it.
#[derive(Debug)]
pub(super) struct SpareSlot {
    state: Mutex<SlotState>,
    changed: Condvar,
    /// Copy of `SlotState::no_space`, read by every command.
    no_space: AtomicBool,
}

#[derive(Debug)]
struct SlotState {
    ready: Option<Spare>,
    no_space: bool,
    next_generation: u64,
    writer: WriterStage,
    closing: bool,
}

/// What the writer does about its next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterStage {
    /// It writes into the one it has.
    Writing,
    /// It waits for the spare.
    Waiting,
    /// It has taken the spare and not begun it durably yet. Nothing is made until then: recovery relies on at most one
    /// segment that is not begun.
    Beginning,
}

impl SpareSlot {
    pub(super) fn new(ready: Option<Spare>, next_generation: u64) -> Self {
        Self {
            state: Mutex::new(SlotState {
                ready,
                no_space: false,
                next_generation,
                writer: WriterStage::Writing,
                closing: false,
            }),
            changed: Condvar::new(),
            no_space: AtomicBool::new(false),
        }
    }

    /// Whether there is no spare because the disk is full.
    pub(super) fn lacks_space(&self) -> bool {
        self.no_space.load(Ordering::Relaxed)
    }

    /// Takes the spare, waiting for one that is being made. To be followed by [`SpareSlot::begun`]. `None` when the disk
    /// is full (tried once more just now) or the preparer has ended. Without a preparer's thread the caller makes it itself.
    pub(super) fn take(&self, inline: Option<&Preparer>) -> Option<Spare> {
        let mut state = self.state.lock();
        // The writer needs it now: have a full disk tried again before giving up.
        self.set_no_space(&mut state, false);
        state.writer = WriterStage::Waiting;
        self.changed.notify_all();
        loop {
            if let Some(spare) = state.ready.take() {
                state.writer = WriterStage::Beginning;
                return Some(spare);
            }
            if state.no_space || state.closing {
                state.writer = WriterStage::Writing;
                return None;
            }
            match inline {
                None => self.changed.wait(&mut state),
                Some(preparer) => {
                    let generation = state.next_generation;
                    MutexGuard::unlocked(&mut state, || preparer.make(generation, &|_| {}));
                }
            }
        }
    }

    /// The spare that was taken is begun, durably: the next one is wanted.
    pub(super) fn begun(&self) {
        self.state.lock().writer = WriterStage::Writing;
        self.changed.notify_all();
    }

    /// Lets some time pass, unless somebody waits for the spare or the end. Whether it did.
    fn rest(&self) -> bool {
        let mut state = self.state.lock();
        let may_rest = state.writer != WriterStage::Waiting && !state.closing;
        if may_rest {
            self.changed.wait_for(&mut state, REST);
        }
        may_rest
    }

    /// Ends the preparer, and whoever waits for it.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    fn set_no_space(&self, state: &mut SlotState, no_space: bool) {
        state.no_space = no_space;
        self.no_space.store(no_space, Ordering::Relaxed);
    }

    /// Waits until a spare is wanted and gives its generation; `None` when closing.
    fn wanted(&self, retry: Duration) -> Option<u64> {
        let mut state = self.state.lock();
        loop {
            if state.closing {
                return None;
            }
            if state.ready.is_none() && state.writer != WriterStage::Beginning {
                if !state.no_space {
                    return Some(state.next_generation);
                }
                if self.changed.wait_for(&mut state, retry).timed_out() && !state.closing {
                    return Some(state.next_generation);
                }
                continue;
            }
            self.changed.wait(&mut state);
        }
    }

    /// As [`SpareSlot::wanted`], without waiting. A disk that was full is wanted to be tried again: the caller says when.
    fn wanted_now(&self) -> Option<u64> {
        let state = self.state.lock();
        let wanted = state.ready.is_none() && state.writer != WriterStage::Beginning && !state.closing;
        wanted.then_some(state.next_generation)
    }

    fn put(&self, made: Result<Spare, ()>) {
        let mut state = self.state.lock();
        self.set_no_space(&mut state, made.is_err());
        if let Ok(spare) = made {
            state.next_generation = spare.generation + 1;
            state.ready = Some(spare);
        }
        self.changed.notify_all();
    }
}

/// Keeps one spare ready.
#[derive(Debug)]
pub(super) struct Preparer {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    identity: Identity,
    segment_bytes: u64,
    /// Whether people know that the disk is full.
    told: AtomicBool,
}

impl Preparer {
    pub(super) fn new(disk: Arc<dyn Disk>, shared: Arc<Shared>, identity: Identity, segment_bytes: u64) -> Self {
        Self { disk, shared, identity, segment_bytes, told: AtomicBool::new(false) }
    }

    /// The preparer's thread: makes spares until the slot is closed, which is also what a fault other than a full disk does.
    pub(super) fn run(&self, retry: Duration) {
        while let Some(generation) = self.shared.spares.wanted(retry) {
            self.make(generation, &|made| self.rest(made));
        }
    }

    /// Rests if a segment of which so many bytes are made is not needed soon: it is to be ready when the one being written is
    /// half full.
    fn rest(&self, made: u64) {
        let used = self.segment_bytes.saturating_sub(self.shared.room());
        if is_early(made, used) {
            let _ = self.shared.spares.rest();
        }
    }

    /// Makes a spare if one is wanted. Whether one was.
    pub(super) fn step(&self) -> bool {
        let wanted = self.shared.spares.wanted_now();
        wanted.inspect(|generation| self.make(*generation, &|_| {})).is_some()
    }

    /// Whether [`Preparer::step`] would make a spare.
    pub(super) fn is_wanted(&self) -> bool {
        self.shared.spares.wanted_now().is_some()
    }

    /// Makes a spare, calling `after_piece` with the bytes made so far.
    fn make(&self, generation: u64, after_piece: &dyn Fn(u64)) {
        let slot = &self.shared.spares;
        match make_spare(&*self.disk, self.identity, generation, self.segment_bytes, after_piece) {
            Ok(spare) => {
                self.told.store(false, Ordering::Relaxed);
                slot.put(Ok(spare));
            }
            Err(error) if is_no_space(&error) => {
                if !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "no room for the next journal segment; writes stop when this one is full");
                }
                slot.put(Err(()));
            }
            Err(error) => {
                self.shared.fail(error);
                slot.close();
            }
        }
    }
}

/// Whether so much of a segment is more than is needed yet when so much of the one before it is used, in bytes.
const fn is_early(made: u64, used: u64) -> bool {
    made > used.saturating_mul(2)
}

/// Whether the disk, or the quota, is full.
pub(super) fn is_no_space(error: &JournalError) -> bool {
    let JournalError::Io { source, .. } = error else { return false };
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Makes a segment ready to be begun, calling `after_piece` with the bytes made so far. What was made of one that failed is
/// removed, to give its room back.
pub(super) fn make_spare(
    disk: &dyn Disk,
    identity: Identity,
    generation: u64,
    segment_bytes: u64,
    after_piece: &dyn Fn(u64),
) -> Result<Spare, JournalError> {
    let name = segment::file_name(generation);
    let header = Header::spare(identity.store, generation, identity.shards);
    let made = (|| {
        let file = disk.create(segment::PREPARING)?;
        file.reserve(segment_bytes)?;
        write_zeros(&*file, 0, segment_bytes, after_piece)?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        disk.rename(segment::PREPARING, &name)?;
        if !planted!(NameNotSynced) {
            disk.sync_directory()?;
        }
        Ok(file)
    })();
    match made {
        Ok(file) => Ok(Spare { file, generation, capacity: segment_bytes }),
        Err(source) => {
            // The next attempt makes it anew, and the next start removes it.
            let _ = disk.remove(segment::PREPARING);
            Err(JournalError::Io { action: "prepare", path: disk.path(&name), source })
        }
    }
}

/// Writes zeros from one offset to another, syncing now and then but not at the end, and calling `after_piece` with the offset
/// that is reached after each sync.
pub(super) fn write_zeros(file: &dyn SegmentFile, from: u64, to: u64, after_piece: &dyn Fn(u64)) -> io::Result<()> {
    let mut offset = from;
    let mut unsynced = 0;
    while offset < to {
        let len = (to - offset).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..usize::try_from(len).unwrap_or(ZEROS.len())], offset)?;
        offset += len;
        unsynced += len;
        if unsynced >= SYNC_BYTES {
            file.sync_data()?;
            unsynced = 0;
            after_piece(offset);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_made_without_haste_until_the_one_before_it_is_half_full() {
        let (small, half, whole) = (1 << 20, 32 << 20, 64 << 20);
        assert!(is_early(small, 0), "nothing is written");
        assert!(is_early(half, half / 2 - 1) && !is_early(half, half / 2));
        assert!(!is_early(whole, half));
    }

    #[test]
    fn nobody_who_waits_for_a_segment_waits_for_a_rest() {
        let slot = SpareSlot::new(None, 1);
        assert!(slot.rest());
        slot.state.lock().writer = WriterStage::Waiting;
        assert!(!slot.rest());
        slot.close();
        assert!(slot.take(None).is_none());
        assert_eq!(slot.state.lock().writer, WriterStage::Writing);
        assert!(!slot.rest(), "nobody waits for it, but for its end");
    }
}
