//! A stand-in for the copy of a store that is kept elsewhere, and a data directory beside it. It is the store of another directory,
//! so that nothing but the port between the two is played.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{
    EntityState, Held, Replica, ReplicaError, SnapshotError, SnapshotSource, Store, StoreError, StoreId,
};

use crate::{
    samples::{append, received},
    store::{copy_dir, options, used},
};

/// The shard that has records.
pub(crate) const SHARD: ShardId = ShardId(2);

/// A copy of a store, kept in another data directory.
pub(crate) struct Elsewhere {
    copy: Store,
    pub(crate) store: Mutex<StoreId>,
    pub(crate) watermark: u64,
    /// Why it does not answer.
    pub(crate) silent: bool,
    /// Whether somebody else writes to it.
    pub(crate) in_use: bool,
    /// Scans that are to fail, one after the other.
    pub(crate) failing: AtomicU32,
    pub(crate) taken_over: AtomicU32,
}

impl Elsewhere {
    fn fault() -> ReplicaError {
        let source = Box::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        ReplicaError::Unreachable { action: "reach", replica: "the copy".to_owned(), source }
    }
}

impl Replica for Elsewhere {
    fn name(&self) -> String {
        "the copy".to_owned()
    }

    fn held(&self) -> Result<Option<Held>, ReplicaError> {
        let shards = ShardCount::new(4).unwrap();
        let held =
            Held { store: *self.store.lock().unwrap(), shards, watermarks: vec![0, 0, self.watermark, 0], last: None };
        if self.silent { Err(Self::fault()) } else { Ok(Some(held)) }
    }

    fn take_over(&self, store: StoreId, successor: StoreId) -> Result<(), ReplicaError> {
        self.taken_over.fetch_add(1, Ordering::Relaxed);
        if self.in_use {
            return Err(ReplicaError::InUse { replica: self.name() });
        }
        assert_eq!(std::mem::replace(&mut *self.store.lock().unwrap(), successor), store);
        Ok(())
    }

    fn snapshots(&self) -> &dyn SnapshotSource {
        self
    }
}

impl SnapshotSource for Elsewhere {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        self.copy.snapshots.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        if self.failing.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(SnapshotError::Elsewhere(Box::new(Self::fault())));
        }
        self.copy.snapshots.scan(shard, sink)
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        Ok(if shard == SHARD { self.watermark } else { 0 })
    }
}

/// A directory with a store in it, and a copy of the store as of record 5 of shard 2.
pub(crate) struct Scene {
    _dir: tempfile::TempDir,
    pub(crate) data: PathBuf,
    pub(crate) elsewhere: Elsewhere,
}

impl Scene {
    pub(crate) fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
        used(&data);
        copy_dir(&data, &copy);
        let copy = Store::open(&copy, &options()).unwrap();
        let elsewhere = Elsewhere {
            copy,
            store: Mutex::new(store_id(&data)),
            watermark: 5,
            silent: false,
            in_use: false,
            failing: AtomicU32::new(0),
            taken_over: AtomicU32::new(0),
        };
        Self { _dir: dir, data, elsewhere }
    }

    pub(crate) fn open(&self) -> Result<Store, StoreError> {
        Store::open_beside(&self.data, &options(), Some(&self.elsewhere))
    }

    /// Loses the directory.
    pub(crate) fn lose(&self) {
        fs::remove_dir_all(&self.data).unwrap();
    }

    /// Appends until the journal has segments to spare, and lets those go that are contained elsewhere up to `watermark`.
    pub(crate) fn purge_up_to(&mut self, watermark: u64) {
        let store = Store::open(&self.data, &options()).unwrap();
        for batch in 0..100 {
            append(&*store.journal, SHARD.0, (0..16).map(|n| received(6 + batch * 16 + n)).collect()).unwrap();
        }
        let floor = [(SHARD, watermark + 1)].into();
        assert!(store.journal.purge_below(&floor, 0).unwrap().segments > 0);
        self.elsewhere.watermark = watermark;
    }
}

/// The store's id, as its meta file says.
pub(crate) fn store_id(data: &Path) -> StoreId {
    let meta = fs::read_to_string(data.join("meta")).unwrap();
    let id = meta.lines().find_map(|line| line.strip_prefix("store ")).unwrap();
    id.parse().unwrap()
}
