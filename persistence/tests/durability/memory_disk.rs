//! A disk in memory that fails, fills up or is copied on demand, under the real journal.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use holdfast_persistence::journal::disk::{Disk, SegmentFile};

/// What a power cut leaves whole or not at all, in bytes.
const SECTOR: usize = 512;

/// What is wrong with the disk right now.
#[derive(Debug)]
pub(crate) struct Faults {
    /// Every sync fails with EIO.
    pub(crate) fail_syncs: AtomicBool,
    /// Every write fails with EIO.
    pub(crate) fail_writes: AtomicBool,
    /// Bytes the disk has room for.
    pub(crate) capacity: AtomicU64,
    /// How long every sync takes, in milliseconds.
    pub(crate) sync_ms: AtomicU64,
    /// Syncs asked for so far, of files.
    pub(crate) syncs: AtomicU64,
}

type Files = BTreeMap<String, Arc<Mutex<Content>>>;

/// What a file holds: what a reader sees, and what a power cut would leave.
#[derive(Debug, Clone, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Written and not synced.
    pending: Vec<Range<usize>>,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct MemoryDisk {
    files: Arc<Mutex<Files>>,
    /// The names a power cut would leave.
    durable_names: Arc<Mutex<Files>>,
    /// Held for reading by every operation that changes something, so that a power cut sees one instant.
    instant: Arc<RwLock<()>>,
    pub(crate) faults: Arc<Faults>,
}

#[derive(Debug)]
struct MemoryFile {
    content: Arc<Mutex<Content>>,
    disk: MemoryDisk,
}

impl MemoryDisk {
    pub(crate) fn new() -> Self {
        let faults = Faults {
            fail_syncs: AtomicBool::new(false),
            fail_writes: AtomicBool::new(false),
            capacity: AtomicU64::new(u64::MAX),
            sync_ms: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        };
        Self { files: Arc::default(), durable_names: Arc::default(), instant: Arc::default(), faults: Arc::new(faults) }
    }

    /// Another disk with the same files and no faults.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for (name, content) in self.files.lock().unwrap().iter() {
            copy.put(name, content.lock().unwrap().seen.clone());
        }
        copy
    }

    /// The disk after a power cut at this instant: of what was not synced, `coin` decides sector by sector what is there.
    pub(crate) fn power_cut(&self, coin: &mut dyn FnMut() -> bool) -> Self {
        let _now = self.instant.write().unwrap();
        let names = if coin() { &self.files } else { &self.durable_names };
        let after = Self::new();
        for (name, content) in names.lock().unwrap().iter() {
            after.put(name, content.lock().unwrap().after_power_cut(coin));
        }
        after
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(crate) fn get(&self, name: &str) -> Vec<u8> {
        self.files.lock().unwrap()[name].lock().unwrap().seen.clone()
    }

    /// Makes a file that is wholly durable.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let content = Content { seen: bytes.clone(), durable: bytes, pending: Vec::new() };
        let content = Arc::new(Mutex::new(content));
        self.durable_names.lock().unwrap().insert(name.to_owned(), Arc::clone(&content));
        self.files.lock().unwrap().insert(name.to_owned(), content);
    }

    pub(crate) fn used(&self) -> u64 {
        self.files.lock().unwrap().values().map(|content| content.lock().unwrap().seen.len() as u64).sum()
    }

    fn file(&self, content: &Arc<Mutex<Content>>) -> Arc<dyn SegmentFile> {
        Arc::new(MemoryFile { content: Arc::clone(content), disk: self.clone() })
    }
}

impl Content {
    fn after_power_cut(&self, coin: &mut dyn FnMut() -> bool) -> Vec<u8> {
        let mut left = self.durable.clone();
        for range in &self.pending {
            if left.len() < range.end {
                left.resize(range.end, 0);
            }
            let mut start = range.start;
            while start < range.end {
                let end = (start / SECTOR + 1) * SECTOR;
                let end = end.min(range.end);
                if coin() {
                    left[start..end].copy_from_slice(&self.seen[start..end]);
                }
                start = end;
            }
        }
        left
    }

    fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for range in self.pending.drain(..) {
            self.durable[range.clone()].copy_from_slice(&self.seen[range]);
        }
    }
}

impl Disk for MemoryDisk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/memory").join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let files = self.files.lock().unwrap();
        files.get(name).map(|content| self.file(content)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        let _instant = self.instant.read().unwrap();
        self.files.lock().unwrap().insert(name.to_owned(), Arc::default());
        self.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _instant = self.instant.read().unwrap();
        let mut files = self.files.lock().unwrap();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let _instant = self.instant.read().unwrap();
        self.files.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let _instant = self.instant.read().unwrap();
        let names = self.files.lock().unwrap().clone();
        *self.durable_names.lock().unwrap() = names;
        Ok(())
    }
}

impl SegmentFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().seen.len() as u64)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        if self.disk.used() + bytes > self.disk.faults.capacity.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.content.lock().unwrap().seen.resize(usize::try_from(bytes).unwrap(), 0);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.content.lock().unwrap();
        let start = usize::try_from(offset).unwrap().min(content.seen.len());
        let len = buffer.len().min(content.seen.len() - start);
        buffer[..len].copy_from_slice(&content.seen[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        if self.disk.faults.fail_writes.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let end = offset + data.len() as u64;
        let grows = end.saturating_sub(self.content.lock().unwrap().seen.len() as u64);
        if grows > 0 && self.disk.used() + grows > self.disk.faults.capacity.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let _instant = self.disk.instant.read().unwrap();
        let mut content = self.content.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let range = start..start + data.len();
        if content.seen.len() < range.end {
            content.seen.resize(range.end, 0);
        }
        content.seen[range.clone()].copy_from_slice(data);
        content.pending.push(range);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.faults.syncs.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(self.disk.faults.sync_ms.load(Ordering::SeqCst)));
        let _instant = self.disk.instant.read().unwrap();
        let mut content = self.content.lock().unwrap();
        if self.disk.faults.fail_syncs.load(Ordering::SeqCst) {
            // As Linux does: what could not be written counts as clean from now on and is never tried again.
            content.pending.clear();
            return Err(io::Error::from_raw_os_error(5));
        }
        content.sync();
        Ok(())
    }
}
