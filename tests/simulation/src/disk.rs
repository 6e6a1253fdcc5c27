//! The disk under the journal: in memory, and as bad as disks get. It forgets what was not synced (all of it, some sectors
//! of it, in any order), forgets names that were not synced, fails a write or a sync, runs full, and dies in the middle of
//! anything.
//!
//! Invariant: what was synced, and only that, is there after a power cut. A sync that failed leaves its bytes readable and
//! not durable, as Linux does: they count as clean and are never written.

mod content;

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use holdfast_persistence::journal::disk::{Disk, SegmentFile};
use parking_lot::Mutex;

use self::content::Content;
use crate::{dice::Dice, trace::Trace};

/// What the disk does wrong, and when.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DiskFaults {
    /// The process dies at the operation after so many further ones.
    pub(crate) die_after: Option<u64>,
    /// The next write or sync of a segment fails.
    pub(crate) fail_next: bool,
    /// Bytes there is room for; any number if `None`.
    pub(crate) capacity: Option<u64>,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    dice: Dice,
    trace: Option<Trace>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, FileId>,
    contents: BTreeMap<FileId, Content>,
    /// Changes of names since the directory was last synced, oldest first.
    renames: Vec<Rename>,
    durable_files: BTreeMap<String, FileId>,
    next_file: FileId,
    faults: DiskFaults,
    dead: bool,
    failed: u64,
}

type FileId = u64;

#[derive(Debug, Clone)]
enum Rename {
    Put(String, FileId),
    Remove(String),
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: FileId,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

impl SimDisk {
    /// An empty disk.
    pub(crate) fn new(dice: Dice, trace: Option<Trace>) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), dice, trace }))
    }

    /// Sets what goes wrong from now on.
    pub(crate) fn set_faults(&self, change: impl FnOnce(&mut DiskFaults)) {
        change(&mut self.0.state.lock().faults);
    }

    /// Whether the process has died in one of its operations.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.state.lock().dead
    }

    /// Writes and syncs that failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.0.state.lock().failed
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> u64 {
        let state = self.0.state.lock();
        state.files.values().filter_map(|id| state.contents.get(id)).map(|content| content.seen.len() as u64).sum()
    }

    /// The machine as the next process finds it after this one was killed: everything that was written is there.
    pub(crate) fn revive(&self) {
        let mut state = self.0.state.lock();
        state.dead = false;
        state.faults = DiskFaults { capacity: state.faults.capacity, ..DiskFaults::default() };
    }

    /// As after a power cut: of what was not synced, any part may be there.
    pub(crate) fn cut_power(&self) {
        let dice = &self.0.dice;
        let mut state = self.0.state.lock();
        let state = &mut *state;
        // All of it, none of it, or sector by sector.
        let mood = dice.below(4);
        let kept = dice.index(state.renames.len() + 1);
        for change in state.renames.drain(..).take(kept) {
            match change {
                Rename::Put(name, id) => drop(state.durable_files.insert(name, id)),
                Rename::Remove(name) => drop(state.durable_files.remove(&name)),
            }
        }
        state.files = state.durable_files.clone();
        let named: Vec<FileId> = state.files.values().copied().collect();
        state.contents.retain(|id, _| named.contains(id));
        for content in state.contents.values_mut() {
            content.lose(&mut || match mood {
                0 => false,
                1 => true,
                _ => dice.coin(),
            });
        }
    }

    /// Another disk with the same bytes, all durable, and no faults.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(self.0.dice.clone(), None);
        {
            let state = self.0.state.lock();
            let mut other = copy.0.state.lock();
            other.files.clone_from(&state.files);
            other.durable_files.clone_from(&state.files);
            other.next_file = state.next_file;
            for (id, content) in &state.contents {
                other.contents.insert(*id, Content { seen: content.seen.clone(), ..Content::default() });
            }
        }
        copy
    }

    /// The names and bytes of all files.
    pub(crate) fn bytes(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.0.state.lock();
        let read = |(name, id): (&String, &FileId)| {
            (name.clone(), state.contents.get(id).map(|content| content.seen.clone()).unwrap_or_default())
        };
        state.files.iter().map(read).collect()
    }

    /// Flips one bit of a file.
    pub(crate) fn flip(&self, name: &str, offset: usize, bit: u8) {
        let mut state = self.0.state.lock();
        let Some(id) = state.files.get(name).copied() else { return };
        if let Some(byte) = state.contents.get_mut(&id).and_then(|content| content.seen.get_mut(offset)) {
            *byte ^= 1 << (bit & 7);
        }
    }

    /// Before every operation that changes something.
    fn begin(state: &mut State) -> io::Result<()> {
        if let Some(left) = &mut state.faults.die_after {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => state.dead = true,
            }
        }
        if state.dead { Err(io::Error::other("the process has died")) } else { Ok(()) }
    }

    fn fails(state: &mut State) -> bool {
        let fails = std::mem::take(&mut state.faults.fail_next);
        state.failed += u64::from(fails);
        fails
    }

    fn note(&self, what: &'static str, a: u64, b: u64) {
        if let Some(trace) = &self.0.trace {
            trace.note(what, a, b);
        }
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl Disk for SimDisk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/simulated").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.state.lock().files.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.state.lock();
        Self::begin(&mut state)?;
        let id = state.files.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let mut state = self.0.state.lock();
        Self::begin(&mut state)?;
        let id = state.next_file;
        state.next_file += 1;
        state.contents.insert(id, Content::default());
        state.files.insert(name.to_owned(), id);
        state.renames.push(Rename::Put(name.to_owned(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.0.state.lock();
        Self::begin(&mut state)?;
        let id = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), id);
        state.renames.push(Rename::Remove(from.to_owned()));
        state.renames.push(Rename::Put(to.to_owned(), id));
        drop(state);
        self.note("disk: rename", id, 0);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.state.lock();
        Self::begin(&mut state)?;
        state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.renames.push(Rename::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        Self::begin(&mut state)?;
        state.renames.clear();
        state.durable_files = state.files.clone();
        Ok(())
    }
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.disk.0.state.lock();
        SimDisk::begin(&mut state)?;
        state.contents.get_mut(&self.id).map(work).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl SegmentFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        self.with(|content| content.seen.len() as u64)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        let capacity = self.disk.0.state.lock().faults.capacity;
        if capacity.is_some_and(|capacity| self.disk.used() + bytes > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // Room, and zeros that are durable at once: what is written next finds out the rest.
        self.with(|content| content.seen.resize(usize::try_from(bytes).unwrap_or(0), 0))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|content| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.seen.len());
            let len = buffer.len().min(content.seen.len() - start);
            buffer[..len].copy_from_slice(&content.seen[start..start + len]);
            len
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| eio())?;
        let (dice, died_or_failed) = {
            let mut state = self.disk.0.state.lock();
            let was_dead = state.dead;
            let died = SimDisk::begin(&mut state).is_err();
            if was_dead {
                return Err(eio());
            }
            (self.disk.0.dice.clone(), died || SimDisk::fails(&mut state))
        };
        // A write that ends early has written any part of it.
        let len = if died_or_failed { dice.index(data.len() + 1) } else { data.len() };
        let mut state = self.disk.0.state.lock();
        let content = state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        content.write(start, &data[..len]);
        drop(state);
        self.disk.note("disk: write", offset, u64::from(crc32c::crc32c(&data[..len.min(1 << 14)])));
        if died_or_failed { Err(eio()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.state.lock();
        SimDisk::begin(&mut state)?;
        let fails = SimDisk::fails(&mut state);
        let content = state.contents.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        if fails {
            let mut pending = std::mem::take(&mut content.pending);
            content.lost.append(&mut pending);
        } else {
            content.settle();
        }
        drop(state);
        self.disk.note("disk: sync", self.id, u64::from(fails));
        if fails { Err(eio()) } else { Ok(()) }
    }
}
