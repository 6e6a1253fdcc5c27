//! A server with a data folder beside it, and what a test does with the two.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use holdfast_core::{
    Entity as _, EntityId, Event, Quantity, ShardId, SkuId, Timestamp,
    stock::{StockEvent, StockItem},
};
use holdfast_persistence::{
    Batch, EntityState, Record, Store, StoreError, StoreOptions,
    journal::JournalOptions,
    postgres::{
        Database, PostgresReplica, PostgresSettings, StoreIdentity,
        projection::{Projection, ProjectionSettings},
    },
};
use holdfast_servers::Postgres;
use tokio::runtime::Runtime;

use crate::{HANGS, settings_of};

pub(super) const SHARDS: u16 = 3;

/// A server, and a data folder beside it.
pub(super) struct Scene {
    pub(super) server: Postgres,
    pub(super) runtime: Runtime,
    pub(super) settings: PostgresSettings,
    pub(super) dir: tempfile::TempDir,
}

impl Scene {
    pub(super) fn set() -> Self {
        let server = Postgres::start().unwrap();
        let settings = PostgresSettings { take_over_wait_ms: 300, ..settings_of(&server) };
        Self { server, runtime: Runtime::new().unwrap(), settings, dir: tempfile::tempdir().unwrap() }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn open(&self, data: &Path) -> Result<Store, StoreError> {
        let replica = PostgresReplica::new(self.runtime.handle().clone(), &self.settings).unwrap();
        Store::open_beside(data, &options(), Some(&replica))
    }

    pub(super) fn project(&self, store: &Store) -> Projection {
        let identity = StoreIdentity { store: store.id, shards: SHARDS };
        let database = Database::new(&self.settings, identity).unwrap();
        let preparing = database.clone();
        self.runtime.spawn(async move { preparing.prepare().await });
        let settings =
            ProjectionSettings { gather_ms: 0, retry_initial_ms: 20, retry_max_ms: 50, ..Default::default() };
        Projection::start(store.journal.clone(), database, store.shards, settings).unwrap()
    }

    /// Projects all there is and stops.
    pub(super) fn project_all(&self, store: &Store) {
        let projection = self.project(store);
        let progress = projection.progress();
        for shard in store.shards.iter() {
            let last = store.journal.next_seq(shard) - 1;
            eventually(|| progress.watermark(shard) >= last);
        }
        projection.stop();
    }
}

pub(super) fn options() -> StoreOptions {
    let journal = JournalOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: 16 << 10,
        frame_limit_bytes: 8 << 10,
        record_limit_bytes: 8 << 10,
        ..JournalOptions::default()
    };
    StoreOptions { shards: SHARDS, journal, ..StoreOptions::default() }
}

/// Waits until it is so.
pub(super) fn eventually(mut is_so: impl FnMut() -> bool) {
    for _ in 0..HANGS.as_millis() / 10 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within {HANGS:?}");
}

/// Appends a batch: one unit received into each of these SKUs, which get this version.
pub(super) fn append(store: &Store, shard: ShardId, skus: impl Iterator<Item = (String, u64)>) {
    let record = |(sku, version): (String, u64)| {
        let entity = EntityId::Stock(SkuId::parse(&sku).unwrap());
        let event = Event::Stock(StockEvent::Received { quantity: Quantity::new(1).unwrap() });
        Record { entity, version, at: Timestamp::from_millis(1_700_000_000_000), event }
    };
    let (sender, done) = mpsc::channel();
    let batch = Batch { shard, first_seq: store.journal.next_seq(shard), records: skus.map(record).collect() };
    store.journal.append(&batch, Box::new(move |result| sender.send(result).unwrap()));
    done.recv().unwrap().unwrap();
}

/// A unit received into each of `skus` SKUs of every shard, so many times.
pub(super) fn receive(store: &Store, skus: u64, rounds: u64) {
    for shard in store.shards.iter() {
        for _ in 0..rounds {
            let version = (store.journal.next_seq(shard) - 1) / skus + 1;
            append(store, shard, (0..skus).map(|sku| (format!("S{}-{sku}", shard.0), version)));
        }
    }
}

/// What the store says: its snapshots, and the journal behind them.
pub(super) fn state_of(store: &Store) -> BTreeMap<EntityId, EntityState> {
    let mut state = BTreeMap::new();
    let mut from = BTreeMap::new();
    for shard in store.shards.iter() {
        store.snapshots.scan(shard, &mut |id, _, entity| drop(state.insert(id, entity))).unwrap();
        from.insert(shard, store.snapshots.watermark(shard).unwrap() + 1);
    }
    let state = std::sync::Mutex::new(state);
    let take = |_: ShardId, _: u64, record: Record| {
        let (EntityId::Stock(sku), Event::Stock(event)) = (&record.entity, &record.event) else { panic!("{record:?}") };
        let mut state = state.lock().unwrap();
        let vacant = || EntityState::Stock(StockItem::new(sku.clone()));
        let EntityState::Stock(stock) = state.entry(record.entity.clone()).or_insert_with(vacant) else { panic!() };
        if record.version > stock.version() {
            assert_eq!(record.version, stock.version() + 1, "{}", record.entity);
            stock.apply(event);
        }
    };
    store.journal.replay(&from, &take, &|_| {}).unwrap();
    state.into_inner().unwrap()
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
