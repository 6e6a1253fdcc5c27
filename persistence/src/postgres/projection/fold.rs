//! Takes records in and knows what rows they make: the state of entities by core's own `apply`, and what a batch touched.
//!
//! Invariants: an entity's records are applied without a gap or not at all; rows follow from states and from the records
//! alone, never from where one batch ends and the next begins, so that every replay gives the same rows; a batch has one row
//! per id, however often the entity changed in it.
//!
//! Memory: entities of the present batch, and as many of earlier ones as the settings allow. What was forgotten is loaded
//! from `entity_snapshots`, which is the state as of the watermark by construction.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use holdfast_core::{
    Entity as _, EntityId, Event, ShardId, Timestamp,
    order::{Order, OrderStatus},
    product::{ProductDetails, ProductEvent},
    stock::StockEvent,
};

use super::{
    batch::BatchRows,
    derive,
    row::{Changes, StockMovementRow},
    touch::OrderTouch,
};
use crate::{
    codec::CodecError, journal::Followed, postgres::stored::Extent, record::Record, snapshot, state::EntityState,
};

/// Records that do not fit what the tables contain.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// An entity's records have a gap.
    #[error(
        "{entity} is at version {known} in the projection, and its next record is of version {found}: rebuild it with \
         `holdfast projection rebuild`"
    )]
    Gap {
        /// Whose record it is.
        entity: EntityId,
        /// The version known.
        known: u64,
        /// The record's.
        found: u64,
    },
    /// A state cannot be encoded.
    #[error("a snapshot cannot be made")]
    Codec(#[from] CodecError),
}

/// The states of entities, and what the present batch did to them.
#[derive(Debug, Default)]
pub(super) struct Fold {
    entities: HashMap<EntityId, Entry, RandomState>,
    touched: Vec<Touched>,
    rows: BatchRows,
    known: derive::Known,
    batch: u64,
    /// Up to this size a state is written whole, in bytes.
    whole_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    shard: ShardId,
    state: EntityState,
    /// What the tables have of it.
    stored: Extent,
    /// The last batch that had a record of it.
    used: u64,
    /// Its place among what the batch touched.
    touched: Option<usize>,
}

/// An entity that the batch has records of.
#[derive(Debug)]
struct Touched {
    entity: EntityId,
    /// Whether the entity's first record is in the batch.
    began: bool,
    first_at: Timestamp,
    last_at: Timestamp,
    /// The last details a product was given, with its version then and the instant.
    details: Option<(Box<ProductDetails>, u64, Timestamp)>,
    order: OrderTouch,
    /// The batch's events, of an entity that is not written whole each time.
    events: Option<snapshot::Changes>,
}

impl Fold {
    /// Nothing taken in yet. States larger than `whole_bytes` are written as events behind their last snapshot.
    pub(super) fn new(whole_bytes: usize) -> Self {
        Self { whole_bytes, ..Self::default() }
    }

    /// The entities whose state must be admitted before these records can be taken in.
    pub(super) fn missing(&self, records: &[Followed]) -> Vec<(ShardId, EntityId)> {
        let mut asked = HashSet::<&EntityId, RandomState>::default();
        let unknown = records.iter().filter(|one| !self.entities.contains_key(&one.record.entity));
        let first = unknown.filter(|one| asked.insert(&one.record.entity));
        // An entity whose first record is here begins here.
        first.filter(|one| one.record.version > 1).map(|one| (one.shard, one.record.entity.clone())).collect()
    }

    /// Takes in a state as of the watermark, and how much of it is where.
    pub(super) fn admit(&mut self, shard: ShardId, state: EntityState, stored: Extent) {
        self.entities.insert(state.id(), Entry { shard, state, stored, used: self.batch, touched: None });
    }

    /// Takes in a state whose rows are to be derived again. `at` stands for instants that no state knows.
    pub(super) fn admit_anew(&mut self, shard: ShardId, state: EntityState, at: Timestamp) {
        let entity = state.id();
        let version = state.version();
        let mut touched = Touched::new(entity.clone(), false, at);
        match &state {
            EntityState::Product(product) => {
                touched.details = product.details().map(|details| (Box::new(details.clone()), version, at));
                if let Some(details) = product.details() {
                    derive::categories(&mut self.rows.changed, &mut self.known, &details.category, at);
                }
            }
            EntityState::Order(order) => touched.order = OrderTouch::of_state(order, version, at),
            EntityState::Stock(_) | EntityState::Cart(_) => {}
        }
        let place = Some(self.touched.len());
        self.touched.push(touched);
        let stored = Extent::default();
        self.entities.insert(entity, Entry { shard, state, stored, used: self.batch, touched: place });
    }

    /// Takes in one record. One that the state contains already changes nothing.
    pub(super) fn take(&mut self, followed: Followed) -> Result<(), FoldError> {
        let Followed { shard, seq, record } = followed;
        let Self { entities, touched, rows, known: shared, batch, whole_bytes } = self;
        let entry = match entities.entry(record.entity.clone()) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) if record.version == 1 => {
                let state = EntityState::before_anything(&record.entity);
                place.insert(Entry { shard, state, stored: Extent::default(), used: *batch, touched: None })
            }
            std::collections::hash_map::Entry::Vacant(_) => {
                return Err(FoldError::Gap { entity: record.entity, known: 0, found: record.version });
            }
        };
        let known = entry.state.version();
        if record.version <= known {
            return Ok(());
        }
        if record.version != known + 1 {
            return Err(FoldError::Gap { entity: record.entity, known, found: record.version });
        }
        entry.used = *batch;
        let place = *entry.touched.get_or_insert_with(|| {
            touched.push(Touched::new(record.entity.clone(), record.version == 1, record.at));
            touched.len() - 1
        });
        touched[place].last_at = record.at;
        if let Event::Product(ProductEvent::Created(details) | ProductEvent::Updated(details)) = &record.event {
            // At once: a category that the batch's end no longer knows was there all the same.
            derive::categories(&mut rows.changed, shared, &details.category, record.at);
        }
        if entry.stored.snapshot > *whole_bytes {
            let begin = || snapshot::Changes::begin(record.entity.kind(), record.version);
            touched[place].events.get_or_insert_with(begin).push(&record.event)?;
        }
        apply(&mut entry.state, &record, &mut touched[place], (shard, seq), &mut rows.new);
        Ok(())
    }

    /// Ends the batch: its rows.
    pub(super) fn finish(&mut self) -> Result<BatchRows, FoldError> {
        let mut rows = std::mem::take(&mut self.rows);
        let mut known = std::mem::take(&mut self.known);
        for touched in self.touched.drain(..) {
            let Some(entry) = self.entities.get_mut(&touched.entity) else { continue };
            entry.touched = None;
            let (first, last) = (touched.first_at, touched.last_at);
            if let EntityState::Order(order) = &entry.state {
                derive::user(&mut rows.changed, &mut known, order, &touched.order);
            }
            let changes = if touched.began { &mut rows.new } else { &mut rows.changed };
            store(changes, entry, touched.events, self.whole_bytes)?;
            match &entry.state {
                EntityState::Stock(stock) => derive::inventory(changes, stock, first, last),
                EntityState::Cart(cart) => derive::cart(changes, cart, first, last),
                EntityState::Product(product) => {
                    derive::product(changes, product, touched.details.as_ref(), first, last);
                }
                EntityState::Order(order) => derive::order(changes, order, &touched.order, last),
            }
        }
        self.batch += 1;
        Ok(rows)
    }

    /// Forgets entities that no recent batch had, until at most `limit` are left. Only between batches.
    pub(super) fn forget_above(&mut self, limit: usize) {
        if self.entities.len() <= limit {
            return;
        }
        let mut used: Vec<u64> = self.entities.values().map(|entry| entry.used).collect();
        // A quarter more than needed goes, so that this is rare.
        let goes = used.len() - limit / 4 * 3;
        let (_, newest_gone, _) = used.select_nth_unstable(goes.saturating_sub(1));
        let newest_gone = *newest_gone;
        self.entities.retain(|_, entry| entry.used > newest_gone);
    }
}

/// Writes what the batch made of an entity: its state whole, or its events as long as all that are kept are no longer than
/// the state was. So twice what happened is written at most, and twice the state read, however large it is. (Where somebody has
/// set watermarks back, what is done again is kept beside what was there, until the next snapshot.)
fn store(
    changes: &mut Changes,
    entry: &mut Entry,
    events: Option<snapshot::Changes>,
    whole_bytes: usize,
) -> Result<(), FoldError> {
    let stored = &mut entry.stored;
    match events {
        Some(events) if stored.changes + events.len() <= stored.snapshot => {
            stored.changes += derive::events(changes, entry.shard, &entry.state.id(), events);
        }
        _ => {
            stored.snapshot = derive::snapshot(changes, entry.shard, &entry.state)?;
            if stored.changes > 0 || stored.snapshot > whole_bytes {
                derive::taken_in(changes, entry.shard, &entry.state);
            }
            stored.changes = 0;
        }
    }
    Ok(())
}

/// Applies a record and notes what its row needs beyond the state. The record's kind is its entity's: the journal checks that.
fn apply(
    state: &mut EntityState,
    record: &Record,
    touched: &mut Touched,
    place: (ShardId, u64),
    changes: &mut Changes,
) {
    match (state, &record.event) {
        (EntityState::Stock(stock), Event::Stock(event)) => {
            let before = stock.level();
            stock.apply(event);
            let after = stock.level();
            let bound = after.allocated.abs_diff(before.allocated);
            let moved = |kind, quantity, hold, reason| {
                StockMovementRow::new(place, stock.sku(), kind, quantity, hold, reason, record.at)
            };
            changes.stock_movements.push(match event {
                StockEvent::Received { quantity } => moved("received", quantity.get().into(), None, None),
                StockEvent::Adjusted { delta, reason } => moved("adjusted", *delta, None, Some(reason)),
                StockEvent::Allocated { hold } => moved("allocated", super::value::int8(bound), Some(*hold), None),
                StockEvent::Deallocated { hold } => moved("deallocated", super::value::int8(bound), Some(*hold), None),
                StockEvent::Fulfilled { hold } => moved("fulfilled", super::value::int8(bound), Some(*hold), None),
                // Holds come and go: they are in the journal.
                StockEvent::PolicySet(_)
                | StockEvent::Held { .. }
                | StockEvent::Released { .. }
                | StockEvent::Lapsed { .. } => return,
            });
        }
        (EntityState::Product(product), Event::Product(event)) => {
            product.apply(event);
            if let ProductEvent::Created(details) | ProductEvent::Updated(details) = event {
                touched.details = Some((Box::new(details.clone()), record.version, record.at));
            }
        }
        (EntityState::Cart(cart), Event::Cart(event)) => cart.apply(event),
        (EntityState::Order(order), Event::Order(event)) => {
            let open = !has_ended(order);
            order.apply(event);
            touched.order.note(order, event, record.version, record.at);
            if open && has_ended(order) {
                touched.order.ended_at = Some(record.at);
            }
        }
        _ => debug_assert!(false, "a record of another kind than its entity"),
    }
}

fn has_ended(order: &Order) -> bool {
    matches!(order.status(), OrderStatus::Canceled | OrderStatus::Expired)
}

impl Touched {
    fn new(entity: EntityId, began: bool, at: Timestamp) -> Self {
        Self { entity, began, first_at: at, last_at: at, details: None, order: OrderTouch::default(), events: None }
    }
}
