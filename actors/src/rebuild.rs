//! One entity, read anew: from its snapshot when it is activated, and with its journal records on top after a panic.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use holdfast_core::{
    Entity, EntityId, Event, ShardCount, ShardId, cart::Cart, order::Order, product::Product, stock::StockItem,
};
use holdfast_persistence::{EntityState, Journal, Record, SnapshotStore};
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
    // The watermark first: a snapshot may be newer than it, never older.
    let watermark = snapshots.watermark(shard).map_err(|error| error.to_string())?;
    let snapshot = snapshots.load(shard, entity).map_err(|error| error.to_string())?;
    let rebuilt = Mutex::new(Ok(snapshot.map(|(_, state)| state)));
    let from = only(shards, shard, watermark + 1);
    let take_in = |_: ShardId, _: u64, record: Record| {
        if record.entity == *entity {
            let mut state = rebuilt.lock();
            if let Ok(current) = std::mem::replace(&mut *state, Ok(None)) {
                *state = apply(current, entity, &record);
            }
        }
    };
    journal.replay(&from, &take_in, &|_| {}).map_err(|error| error.to_string())?;
    rebuilt.into_inner()
}

/// Where a replay of one shard begins; of the others it skips everything.
pub(crate) fn only(shards: ShardCount, shard: ShardId, from: u64) -> BTreeMap<ShardId, u64> {
    shards.iter().map(|other| (other, if other == shard { from } else { u64::MAX })).collect()
}

fn apply(state: Option<EntityState>, entity: &EntityId, record: &Record) -> Result<Option<EntityState>, String> {
    let mut state = state.unwrap_or_else(|| vacant(entity));
    let applied = catch_unwind(AssertUnwindSafe(|| match (&mut state, &record.event) {
        (EntityState::Stock(stock), Event::Stock(event)) => advance(stock, record.version, event),
        (EntityState::Product(product), Event::Product(event)) => advance(product, record.version, event),
        (EntityState::Cart(cart), Event::Cart(event)) => advance(cart, record.version, event),
        (EntityState::Order(order), Event::Order(event)) => advance(order, record.version, event),
        _ => Err(format!("the record of {entity} holds another kind of event")),
    }));
    applied.map_err(|_| format!("applying version {} of {entity} panicked", record.version))??;
    Ok(Some(state))
}

fn advance<E: Entity>(entity: &mut E, version: u64, event: &E::Event) -> Result<(), String> {
    let at = entity.version();
    match version {
        contained if contained <= at => {}
        next if next == at + 1 => entity.apply(event),
        other => return Err(format!("version {other} does not follow version {at}")),
    }
    Ok(())
}

fn vacant(entity: &EntityId) -> EntityState {
    match entity {
        EntityId::Stock(sku) => EntityState::Stock(StockItem::new(sku.clone())),
        EntityId::Product(sku) => EntityState::Product(Product::new(sku.clone())),
        EntityId::Cart(cart) => EntityState::Cart(Cart::new(*cart)),
        EntityId::Order(order) => EntityState::Order(Order::new(*order)),
    }
}
