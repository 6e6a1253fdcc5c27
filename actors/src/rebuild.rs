//! One entity, read anew: from its snapshot when it is activated, and with its journal records on top after a panic.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{EntityState, Journal, JournalError, Record, SnapshotError, SnapshotStore};
use parking_lot::Mutex;

/// Reads a passivated entity. Blocking.
///
/// # Errors
/// In words, when the snapshot cannot be read or is gone.
pub(crate) fn load(
    snapshots: &dyn SnapshotStore,
    shard: ShardId,
    entity: &EntityId,
) -> Result<Option<EntityState>, String> {
    match snapshots.load(shard, entity) {
        Ok(Some((_, state))) => Ok(Some(state)),
        Ok(None) => Err(format!("the snapshot of {entity} is gone")),
        Err(error) => Err(error.to_string()),
    }
}

/// Why an entity could not be rebuilt.
#[derive(Debug, thiserror::Error)]
enum RebuildError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{0}")]
    Record(String),
}

/// Rebuilds an entity from its snapshot, if any, and every durable record after it. Blocking, and as long as the shard's
/// journal tail: only a panic leads here.
///
/// # Errors
/// In words, when the journal cannot be read, a version is missing, or applying a record panics again.
pub(crate) fn rebuild(
    journal: &dyn Journal,
    snapshots: &dyn SnapshotStore,
    shards: ShardCount,
    shard: ShardId,
    entity: &EntityId,
) -> Result<Option<EntityState>, String> {
    let mut begun_at = None;
    loop {
        // The watermark first: a snapshot may be newer than it, never older.
        let watermark = snapshots.watermark(shard).map_err(|error| error.to_string())?;
        match rebuild_from(watermark, journal, snapshots, shards, shard, entity) {
            // A checkpoint ended meanwhile, and the journal before it was purged: its snapshots have what is needed.
            Err(RebuildError::Journal(JournalError::Purged { .. })) if begun_at < Some(watermark) => {
                begun_at = Some(watermark);
            }
            rebuilt => return rebuilt.map_err(|error| error.to_string()),
        }
    }
}

fn rebuild_from(
    watermark: u64,
    journal: &dyn Journal,
    snapshots: &dyn SnapshotStore,
    shards: ShardCount,
    shard: ShardId,
    entity: &EntityId,
) -> Result<Option<EntityState>, RebuildError> {
    let snapshot = snapshots.load(shard, entity)?;
    let rebuilt = Mutex::new(Ok(snapshot.map(|(_, state)| state)));
    let from = only(shards, shard, watermark + 1);
    let take_in = |_: ShardId, _: u64, record: Record| {
        if record.entity == *entity {
            let mut state = rebuilt.lock();
            // After a fault nothing more is taken in: the fault is the outcome.
            if let Ok(current) = state.as_mut() {
                let current = current.take();
                *state = apply(current, entity, &record);
            }
        }
    };
    journal.replay(&from, &take_in, &|_| {})?;
    rebuilt.into_inner().map_err(RebuildError::Record)
}

/// Where a replay of one shard begins; of the others it skips everything.
pub(crate) fn only(shards: ShardCount, shard: ShardId, from: u64) -> BTreeMap<ShardId, u64> {
    shards.iter().map(|other| (other, if other == shard { from } else { u64::MAX })).collect()
}

fn apply(state: Option<EntityState>, entity: &EntityId, record: &Record) -> Result<Option<EntityState>, String> {
    let mut state = state.unwrap_or_else(|| EntityState::before_anything(entity));
    if record.version <= state.version() {
        return Ok(Some(state)); // The snapshot contains it.
    }
    let applied = catch_unwind(AssertUnwindSafe(|| state.advance(record)));
    applied
        .map_err(|_| format!("applying version {} of {entity} panicked", record.version))?
        .map_err(|error| error.to_string())?;
    Ok(Some(state))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    };

    use holdfast_core::{
        Entity as _, Event, Quantity, SkuId, Timestamp,
        stock::{StockEvent, StockItem},
    };
    use holdfast_persistence::{
        Batch, EncodedSnapshot, SnapshotSource, Store, StoreOptions, encode_snapshot, journal::JournalOptions,
        state::EntityStateRef,
    };

    use super::*;

    const SHARD: ShardId = ShardId(0);

    /// A store with one shard and segments of the smallest size.
    fn open(dir: &std::path::Path) -> Store {
        let mut options = StoreOptions { shards: 1, ..StoreOptions::default() };
        options.journal.segment_bytes = JournalOptions::MIN_SEGMENT_BYTES;
        (options.journal.reserve_bytes, options.journal.frame_limit_bytes) = (16 << 10, 16 << 10);
        options.journal.record_limit_bytes = 4 << 10;
        Store::open(dir, &options).expect("a store")
    }

    fn sku() -> SkuId {
        SkuId::parse("HP-1").expect("a SKU")
    }

    fn received() -> StockEvent {
        StockEvent::Received { quantity: Quantity::new(1).expect("a quantity") }
    }

    /// Journals one unit received per version.
    fn append(store: &Store, versions: impl IntoIterator<Item = u64>) {
        let at = Timestamp::from_millis(0);
        let record = |version| Record { entity: EntityId::Stock(sku()), version, at, event: Event::Stock(received()) };
        let records: Vec<_> = versions.into_iter().map(record).collect();
        for records in records.chunks(50) {
            let (sender, done) = mpsc::channel();
            let batch = Batch { shard: SHARD, first_seq: store.journal.next_seq(SHARD), records: records.to_vec() };
            store.journal.append(&batch, Box::new(move |outcome| sender.send(outcome).expect("heard")));
            done.recv().expect("told").expect("durable");
        }
    }

    fn rebuilt(store: &Store, snapshots: &dyn SnapshotStore) -> Result<Option<EntityState>, String> {
        rebuild(store.journal.as_ref(), snapshots, store.shards, SHARD, &EntityId::Stock(sku()))
    }

    /// Snapshots whose watermark is read just before a checkpoint ends.
    struct JustBefore {
        store: Arc<dyn SnapshotStore>,
        asked: AtomicU64,
    }

    impl SnapshotSource for JustBefore {
        fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
            self.store.load(shard, entity)
        }

        fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
            self.store.scan(shard, sink)
        }

        fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
            if self.asked.fetch_add(1, Ordering::Relaxed) == 0 { Ok(0) } else { self.store.watermark(shard) }
        }
    }

    impl SnapshotStore for JustBefore {
        fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
            self.store.write(shard, snapshots)
        }

        fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
            self.store.set_watermark(shard, seq)
        }
    }

    #[test]
    fn a_purge_during_a_rebuild_is_made_up_for_by_the_snapshots() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(dir.path());
        append(&store, 1..=3_000);
        let mut stock = StockItem::new(sku());
        for _ in 0..2_900 {
            stock.apply(&received());
        }
        let snapshot = encode_snapshot(&EntityStateRef::Stock(&stock)).expect("encoded");
        store.snapshots.write(SHARD, &[snapshot]).expect("written");
        store.snapshots.set_watermark(SHARD, 2_900).expect("written");
        let purged = store.journal.purge_below(&BTreeMap::from([(SHARD, 2_901)]), 0).expect("purged");
        assert!(purged.segments > 0, "{purged:?}");
        let snapshots = JustBefore { store: Arc::clone(&store.snapshots), asked: AtomicU64::new(0) };
        let Ok(Some(EntityState::Stock(stock))) = rebuilt(&store, &snapshots) else { panic!("not rebuilt") };
        assert_eq!((stock.version(), stock.level().on_hand), (3_000, 3_000));
    }

    #[test]
    fn an_entity_with_a_version_missing_is_never_rebuilt_as_one_that_does_not_exist() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(dir.path());
        append(&store, [1, 3, 4]);
        let error = rebuilt(&store, store.snapshots.as_ref()).expect_err("version 2 is missing");
        assert!(error.contains("is at version 1, the record at 3"), "{error}");
    }
}
