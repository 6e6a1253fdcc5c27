//! The audit: snapshots that the journal does not lead to are found, each kind of lie by its own error.

use std::path::Path;

use holdfast_core::{EntityId, Event, OrderId, ShardId, order::OrderEvent};
use holdfast_persistence::{Audit, AuditError, EntityState, Store, StoreError, StoreOptions, encode_snapshot};

use crate::samples::{append, placement, received, record, sku, small};

const SHARD: ShardId = ShardId(2);

fn options() -> StoreOptions {
    StoreOptions { shards: 4, journal: small(), ..StoreOptions::default() }
}

/// A store whose journal has received units five times, with the snapshot of the stock at a version and a watermark.
fn store(dir: &Path, version: u64, watermark: u64) {
    let store = Store::open(dir, &options()).unwrap();
    let mut state = EntityState::before_anything(&EntityId::Stock(sku()));
    for version in 1..=5 {
        append(&*store.journal, SHARD.0, vec![received(version)]).unwrap();
    }
    for version in 1..=version {
        state.advance(&received(version)).unwrap();
    }
    store.snapshots.write(SHARD, &[encode_snapshot(&state.as_ref()).unwrap()]).unwrap();
    store.snapshots.set_watermark(SHARD, watermark).unwrap();
}

#[test]
fn snapshots_that_are_what_the_journal_leads_to_pass() {
    for (version, watermark) in [(1, 0), (3, 3), (5, 3), (5, 5)] {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), version, watermark);
        let found = Store::audit(dir.path()).unwrap();
        assert_eq!(found, Audit { records: 5, entities: 1, snapshots: 1 }, "version {version}, watermark {watermark}");
    }
}

#[test]
fn a_snapshot_that_lacks_what_its_watermark_promises_is_found() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path(), 3, 4);
    let error = Store::audit(dir.path()).unwrap_err();
    assert!(matches!(error, AuditError::Missing { seq: 4, version: 4, watermark: 4, .. }), "{error}");
}

#[test]
fn a_snapshot_beyond_the_journal_is_found() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path(), 6, 5);
    let error = Store::audit(dir.path()).unwrap_err();
    assert!(matches!(error, AuditError::Ahead { version: 6, .. }), "{error}");
}

#[test]
fn a_snapshot_of_another_state_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let order = OrderId::from_u128(7);
    {
        let store = Store::open(dir.path(), &options()).unwrap();
        let mut placed = record(1, Event::Order(OrderEvent::Placed(placement().into())));
        placed.entity = EntityId::Order(order);
        append(&*store.journal, SHARD.0, vec![placed.clone()]).unwrap();
        // The same version, by another fact.
        let mut lie = EntityState::before_anything(&placed.entity);
        let mut other = placement();
        other.fingerprint ^= 1;
        placed.event = Event::Order(OrderEvent::Placed(other.into()));
        lie.advance(&placed).unwrap();
        store.snapshots.write(SHARD, &[encode_snapshot(&lie.as_ref()).unwrap()]).unwrap();
    }
    let error = Store::audit(dir.path()).unwrap_err();
    assert!(
        matches!(error, AuditError::Differs { entity: EntityId::Order(found), version: 1 } if found == order),
        "{error}"
    );
}

#[test]
fn a_folder_in_use_or_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Store::audit(dir.path()), Err(AuditError::Store(StoreError::NotAStore { .. }))));
    let _open = Store::open(dir.path(), &options()).unwrap();
    assert!(matches!(Store::audit(dir.path()), Err(AuditError::Store(StoreError::Locked { .. }))));
}
