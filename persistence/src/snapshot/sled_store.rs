//! Snapshots in sled `1.0.0-alpha.124`. All sled code is here.
//!
//! Invariants: nothing is promised before `flush()` returned; there is one writer; every entry carries its own checksum;
//! the database says whose it is. sled 0.34 is not an alternative: it loses acknowledged data in a power cut.
//!
//! Keys begin with the shard, big-endian, so that one shard is one range:
//! `shard | 0` is its watermark, `shard | kind | id` a snapshot, and `0xffff` (no shard has that number) the identity.

use std::{
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use holdfast_core::{EntityId, ShardId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{EncodedSnapshot, SnapshotError, SnapshotSource, SnapshotStore, decode_snapshot, entry};
use crate::{
    codec,
    codec::CodecError,
    event_type::kind_of,
    state::EntityState,
    store::StoreId,
    store::{OptionError, atomic_file::create_directory},
};

/// Entries per leaf: small, because a checkpoint rewrites the leaves of scattered keys.
const LEAF_FANOUT: usize = 64;
/// How often a database that is being let go of is tried, and after how long again.
const RELEASE_ATTEMPTS: u32 = 500;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);
const IDENTITY_KEY: [u8; 2] = [0xff, 0xff];
const IDENTITY_MAGIC: &[u8; 8] = b"HFSNAPS\x01";
const WATERMARK_KIND: u8 = 0;

/// Settings of the snapshot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotOptions {
    /// Memory for cached leaves, in bytes.
    pub cache_bytes: u64,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20 }
    }
}

impl SnapshotOptions {
    pub(crate) const fn validate(self) -> Result<(), OptionError> {
        OptionError::check("cache_bytes", self.cache_bytes, 1 << 20, 1 << 40)
    }
}

/// What an open database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing at all.
    Nothing,
    /// Snapshots of this store.
    Ours,
}

/// The snapshot store of one data directory.
pub(crate) struct SledSnapshots {
    /// The one writer's handle.
    writer: Mutex<sled::Db<LEAF_FANOUT>>,
    /// Handles of readers that are not reading just now, and one more. A handle is costly to make and cannot be shared.
    readers: Mutex<Vec<sled::Tree<LEAF_FANOUT>>>,
    path: PathBuf,
    /// What must outlive the last write: the data directory's lock.
    kept: OnceLock<Arc<dyn Send + Sync>>,
}

impl SledSnapshots {
    /// Opens the database in `path`, making an empty one if there is none.
    pub(crate) fn open(path: &Path, options: SnapshotOptions) -> Result<Self, SnapshotError> {
        let cache_bytes = usize::try_from(options.cache_bytes).unwrap_or(usize::MAX);
        let config = sled::Config::new()
            .path(path)
            .cache_capacity_bytes(cache_bytes)
            .zstd_compression_level(1)
            .flush_every_ms(None);
        let db = guarded("open", path, || {
            create_directory(path)?;
            let db = open_released(&config)?;
            sync_entries(path)?;
            Ok(db)
        })?;
        let reader = (*db).clone();
        let (writer, readers) = (Mutex::new(db), Mutex::new(vec![reader]));
        Ok(Self { writer, readers, path: path.to_path_buf(), kept: OnceLock::new() })
    }

    /// Whether it holds nothing, or snapshots of `store`.
    pub(crate) fn contents(&self, store: StoreId) -> Result<Contents, SnapshotError> {
        let path = || self.path.clone();
        match self.read("read its identity", |db| db.get(IDENTITY_KEY))? {
            Some(identity) if identity.as_ref() == self::identity(store) => Ok(Contents::Ours),
            Some(identity) if identity.starts_with(IDENTITY_MAGIC) => Err(SnapshotError::Foreign { path: path() }),
            None if self.read("read its first entry", sled::Tree::first)?.is_none() => Ok(Contents::Nothing),
            _ => Err(SnapshotError::NoIdentity { path: path() }),
        }
    }

    /// Makes an empty database the one of `store`.
    pub(crate) fn claim(&self, store: StoreId) -> Result<(), SnapshotError> {
        self.put("claim", std::iter::once((IDENTITY_KEY.to_vec(), identity(store))))
    }

    /// Keeps `lock` for as long as the database is open.
    pub(crate) fn keep(&self, lock: Arc<dyn Send + Sync>) {
        self.kept.get_or_init(|| lock);
    }

    /// Checks every entry's checksum without decoding it.
    pub(crate) fn verify(&self) -> Result<(), SnapshotError> {
        self.for_each("verify", &[], |key, value| {
            if key == IDENTITY_KEY {
                return Ok(());
            }
            match parse_key(key)? {
                (shard, Some(entity)) => entry::verify(&entity, value).map(drop).map_err(|error| damaged(shard, error)),
                (shard, None) => parse_watermark(shard, value).map(drop),
            }
        })
    }

    fn put<V: AsRef<[u8]>>(
        &self,
        action: &'static str,
        entries: impl Iterator<Item = (Vec<u8>, V)>,
    ) -> Result<(), SnapshotError> {
        let db = self.writer.lock();
        self.guarded(action, || {
            for (key, value) in entries {
                db.insert(key, value.as_ref())?;
            }
            db.flush().map(drop)
        })
    }

    fn for_each(
        &self,
        action: &'static str,
        prefix: &[u8],
        mut sink: impl FnMut(&[u8], &[u8]) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        // Not `scan_prefix`: behind the last entry of the prefix it reads every other leaf there is before it ends.
        let mut entries = self.read(action, |db| Ok(db.range(prefix..)))?;
        while let Some((key, value)) = self.guarded(action, || entries.next().transpose())? {
            if !key.starts_with(prefix) {
                break;
            }
            sink(&key, &value)?;
        }
        Ok(())
    }

    /// Reads through a handle of its own, so that readers wait neither for each other nor for the writer.
    fn read<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&sled::Tree<LEAF_FANOUT>) -> io::Result<T>,
    ) -> Result<T, SnapshotError> {
        let handle = {
            let mut idle = self.readers.lock();
            // The last one stays, for others to be made of: the writer's is not to be had while it writes.
            if idle.len() > 1 { idle.pop() } else { idle.first().cloned() }
        };
        let handle = handle.unwrap_or_else(|| (**self.writer.lock()).clone());
        let result = self.guarded(action, || work(&handle));
        self.readers.lock().push(handle);
        result
    }

    fn guarded<T>(&self, action: &'static str, work: impl FnOnce() -> io::Result<T>) -> Result<T, SnapshotError> {
        guarded(action, &self.path, work)
    }
}

impl SnapshotSource for SledSnapshots {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        let Some(bytes) = self.read("read", |db| db.get(key(shard, entity)))? else {
            return Ok(None);
        };
        decode_snapshot(entity, &bytes).map(Some).map_err(|error| damaged(shard, error))
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        self.for_each("scan", &shard.0.to_be_bytes(), |key, value| {
            if let (_, Some(entity)) = parse_key(key)? {
                let (version, state) = decode_snapshot(&entity, value).map_err(|error| damaged(shard, error))?;
                sink(entity, version, state);
            }
            Ok(())
        })
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        match self.read("read the watermark", |db| db.get(watermark_key(shard)))? {
            Some(value) => parse_watermark(shard, &value),
            None => Ok(0),
        }
    }
}

impl SnapshotStore for SledSnapshots {
    fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
        self.put("write", snapshots.iter().map(|snapshot| (key(shard, &snapshot.entity), &snapshot.bytes)))
    }

    fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
        let mut value = seq.to_le_bytes().to_vec();
        value.extend_from_slice(&watermark_crc(shard, seq).to_le_bytes());
        self.put("move the watermark", std::iter::once((watermark_key(shard), value)))
    }
}

/// Opens the database once whoever had it has let go of it. That is never another process, which the data folder's lock keeps out, but
/// may be a handle of our own: sled lets go of a closed or damaged database in a thread of its own.
fn open_released(config: &sled::Config) -> io::Result<sled::Db<LEAF_FANOUT>> {
    for _ in 0..RELEASE_ATTEMPTS {
        match config.open() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RELEASE_PAUSE),
            opened => return opened,
        }
    }
    config.open()
}

/// Makes the files and folders directly in `path`, and their names, durable. sled makes its metadata folder and its cookie
/// there and syncs neither: on a file system that keeps no order a power cut leaves a database that opens empty.
fn sync_entries(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        File::open(entry?.path())?.sync_all()?;
    }
    File::open(path)?.sync_all()
}

/// Runs sled code. It panics on some damaged files; that is a fault of the files, not of this process.
fn guarded<T>(action: &'static str, path: &Path, work: impl FnOnce() -> io::Result<T>) -> Result<T, SnapshotError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(SnapshotError::Io { action, path: path.to_path_buf(), source }),
        Err(_) => Err(SnapshotError::Panicked { action, path: path.to_path_buf() }),
    }
}

fn identity(store: StoreId) -> [u8; 24] {
    let mut identity = [0; 24];
    identity[..8].copy_from_slice(IDENTITY_MAGIC);
    identity[8..].copy_from_slice(&store.to_bytes());
    identity
}

fn key(shard: ShardId, entity: &EntityId) -> Vec<u8> {
    let mut key = Vec::with_capacity(80);
    key.extend_from_slice(&shard.0.to_be_bytes());
    key.push(entity.kind() as u8);
    codec::encode_id(entity, &mut key);
    key
}

fn watermark_key(shard: ShardId) -> Vec<u8> {
    let [high, low] = shard.0.to_be_bytes();
    vec![high, low, WATERMARK_KIND]
}

/// The shard of a key, and the entity unless it is the shard's watermark.
fn parse_key(key: &[u8]) -> Result<(ShardId, Option<EntityId>), SnapshotError> {
    let Some((&[high, low, kind], id)) = key.split_first_chunk::<3>() else {
        return Err(SnapshotError::Damaged { shard: ShardId(u16::MAX), what: "a key is cut short" });
    };
    let shard = ShardId(u16::from_be_bytes([high, low]));
    if kind == WATERMARK_KIND && id.is_empty() {
        return Ok((shard, None));
    }
    let kind = kind_of(kind).ok_or(SnapshotError::Damaged { shard, what: "a key names no kind of entity" })?;
    let entity =
        codec::decode_id(kind, id).map_err(|_| SnapshotError::Damaged { shard, what: "a key names no entity" })?;
    Ok((shard, Some(entity)))
}

fn parse_watermark(shard: ShardId, value: &[u8]) -> Result<u64, SnapshotError> {
    let damaged = SnapshotError::Damaged { shard, what: "the watermark's checksum does not match" };
    let Some((seq, crc)) = value.split_first_chunk::<8>() else { return Err(damaged) };
    let seq = u64::from_le_bytes(*seq);
    if crc == watermark_crc(shard, seq).to_le_bytes() { Ok(seq) } else { Err(damaged) }
}

fn watermark_crc(shard: ShardId, seq: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&shard.0.to_be_bytes()), &seq.to_le_bytes())
}

/// A failed checksum is damage of the files; anything else is a matter of versions.
fn damaged(shard: ShardId, error: CodecError) -> SnapshotError {
    match error {
        CodecError::Checksum | CodecError::CutShort => {
            SnapshotError::Damaged { shard, what: "an entry's checksum does not match" }
        }
        other => SnapshotError::Codec(other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_reader_beside_another_does_not_wait_for_the_writer() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = Arc::new(SledSnapshots::open(folder.path(), SnapshotOptions::default()).unwrap());
        let (told, read) = mpsc::channel();
        let writer = snapshots.writer.lock();
        let reader = Arc::clone(&snapshots);
        thread::spawn(move || {
            // One within the other, so that the handle that was idle is taken.
            let both = reader.read("read", |db| {
                reader.read("read beside it", sled::Tree::first).map_err(io::Error::other)?;
                db.first()
            });
            told.send(both).unwrap();
        });
        assert_eq!(read.recv_timeout(Duration::from_mins(1)).expect("it waits for the writer").unwrap(), None);
        drop(writer);
    }
}
