//! Coming back: snapshots, then every journal record they do not contain, then the work that was owed.
//!
//! Invariant (I4): the state after recovery is the state that applying every record from the first would give. A version
//! that does not follow the one before it is refused, never bridged.

use holdfast_core::{
    CartId, Entity, EntityId, Event, OrderId, cart::Cart, order::Order, planted, product::Product, stock::StockItem,
};
use holdfast_persistence::{EntityState, Record, SnapshotError, SnapshotStore};

use super::{
    Shard,
    table::{Hosted, Live},
};
use crate::view::{ViewUpdate, Views};

/// Why a shard could not come back.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal's next record of an entity does not follow its state.
    #[error("{entity} is at version {at}, but the journal's next record of it makes version {found}")]
    Gap {
        /// Which entity.
        entity: EntityId,
        /// Its version by snapshot and records so far.
        at: u64,
        /// The version of the next record.
        found: u64,
    },
    /// A snapshot could not be read.
    #[error("a snapshot could not be read")]
    Snapshot(#[from] SnapshotError),
    /// A record of the shard is missing.
    #[error("the shard is at sequence {at}, but the next record of it is number {found}")]
    Skipped {
        /// The last it has.
        at: u64,
        /// The one that came.
        found: u64,
    },
    /// A record's event is of another kind than its entity.
    #[error("the record of {0} holds another kind of event")]
    KindMismatch(EntityId),
    /// Taking in the record of this entity panicked.
    #[error("taking in the record of {0} panicked")]
    Panicked(EntityId),
}

impl Shard {
    /// Takes in one entity of the snapshot store. Settled orders and carts stay out of memory.
    pub(crate) fn restore(&mut self, version: u64, state: EntityState, views: &Views) {
        match state {
            EntityState::Stock(stock) => {
                views.apply(ViewUpdate::of_stock(&stock));
                self.revive::<StockItem>(stock.sku().clone(), stock);
            }
            EntityState::Product(product) => {
                views.apply(ViewUpdate::of_product(&product));
                self.revive::<Product>(product.sku().clone(), product);
            }
            EntityState::Cart(cart) => {
                if let Some(due) = cart.next_deadline() {
                    self.agenda.insert((due, EntityId::Cart(cart.id())));
                }
                self.tables.carts.cold.insert(cart.id(), version);
            }
            EntityState::Order(order) => {
                if let Some(update) = ViewUpdate::of_order(&order) {
                    views.apply(update);
                }
                if order.is_settled() && planted!(DedupeForgotten) {
                } else if order.is_settled() {
                    self.tables.orders.cold.insert(order.id(), version);
                } else {
                    self.revive::<Order>(order.id(), order);
                }
            }
        }
    }

    /// Takes in one journal record; skips it if a snapshot contains it.
    pub(crate) fn replay(
        &mut self,
        sequence: u64,
        record: Record,
        snapshots: &dyn SnapshotStore,
    ) -> Result<(), ReplayError> {
        self.sequence = self.sequence.max(sequence);
        let Record { entity, version, event, .. } = record;
        match (&entity, event) {
            (EntityId::Stock(sku), Event::Stock(event)) => self.replay_as::<StockItem>(sku, version, &event),
            (EntityId::Product(sku), Event::Product(event)) => self.replay_as::<Product>(sku, version, &event),
            (EntityId::Cart(cart), Event::Cart(event)) => {
                if self.tables.carts.cold.get(cart).is_some_and(|snapshot| contains(*snapshot, version)) {
                    return Ok(());
                }
                self.warm_cart(*cart, snapshots)?;
                self.replay_as::<Cart>(cart, version, &event)
            }
            (EntityId::Order(order), Event::Order(event)) => {
                if self.tables.orders.cold.get(order).is_some_and(|snapshot| contains(*snapshot, version)) {
                    return Ok(());
                }
                self.warm_order(*order, snapshots)?;
                self.replay_as::<Order>(order, version, &event)
            }
            _ => Err(ReplayError::KindMismatch(entity)),
        }
    }

    /// Ends the recovery: every entity in memory is scheduled and shown, every order asked what it is owed. `head` is the
    /// last record there is, if the shard is this node's; another node's is followed from where the recovery ended.
    pub(crate) fn finish_recovery(&mut self, watermark: u64, head: Option<u64>, views: &Views) {
        self.sequence = self.sequence.max(head.unwrap_or(watermark));
        self.checkpointing.resume(watermark, self.now);
        let now = self.now;
        for (sku, live) in self.tables.stock.live.iter_mut() {
            Self::schedule(&mut self.agenda, &EntityId::Stock(sku.clone()), live, now);
            views.apply(ViewUpdate::of_stock(&live.entity));
        }
        for live in self.tables.products.live.values() {
            views.apply(ViewUpdate::of_product(&live.entity));
        }
        for (cart, live) in self.tables.carts.live.iter_mut() {
            Self::schedule(&mut self.agenda, &EntityId::Cart(*cart), live, now);
        }
        let mut owed: Vec<OrderId> = Vec::new();
        for order in self.orders_in_memory() {
            let Some(live) = self.tables.orders.live.get_mut(&order) else { continue };
            Self::schedule(&mut self.agenda, &EntityId::Order(order), live, now);
            if let Some(update) = ViewUpdate::of_order(&live.entity) {
                views.apply(update);
                live.listed = true;
            }
            if !live.entity.next_steps().is_empty() {
                owed.push(order);
            }
        }
        // Sorted, like what is owed: a table's own order is that in which the threads of a replay came to it.
        let mut idle: Vec<EntityId> = self.tables.carts.live.keys().map(|cart| EntityId::Cart(*cart)).collect();
        idle.extend(self.tables.orders.live.keys().map(|order| EntityId::Order(*order)));
        idle.sort_unstable();
        self.idle.extend(idle.into_iter().map(|entity| (now, entity)));
        if head.is_none() {
            return self.begin_following();
        }
        owed.sort_unstable();
        for order in owed {
            self.pursue_again(order);
        }
    }

    /// First those of the journal's tail, as they lie in memory and as they were placed: so each lies beside the one before, and the
    /// views have less to sort.
    fn orders_in_memory(&self) -> Vec<OrderId> {
        let order = |entity: &EntityId| if let EntityId::Order(order) = entity { Some(*order) } else { None };
        let mut orders: Vec<OrderId> = self.checkpointing.changed().filter_map(order).collect();
        let live = &self.tables.orders.live;
        if orders.len() < live.len() {
            orders.extend(live.values().filter(|live| !live.dirty).map(|live| live.entity.id()));
        }
        orders
    }

    fn revive<E: Hosted>(&mut self, key: E::Key, entity: E) {
        let live = Box::new(Live::new(entity, self.now));
        E::table_mut(&mut self.tables).live.insert(key, live);
    }

    fn replay_as<E: Hosted>(&mut self, key: &E::Key, version: u64, event: &E::Event) -> Result<(), ReplayError> {
        let now = self.now;
        let table = E::table_mut(&mut self.tables);
        let live = table.live.get_or_insert_with(key.clone(), |key| Box::new(Live::new(E::vacant(key), now)));
        let at = live.entity.version();
        if contains(at, version) {
            return Ok(());
        }
        if version > at + 1 {
            return Err(ReplayError::Gap { entity: E::address(key), at, found: version });
        }
        live.entity.apply(event);
        if !std::mem::replace(&mut live.dirty, true) {
            self.checkpointing.note_dirty(E::address(key));
        }
        Ok(())
    }

    fn warm_cart(&mut self, cart: CartId, snapshots: &dyn SnapshotStore) -> Result<(), ReplayError> {
        if self.tables.carts.cold.remove(&cart).is_some()
            && let Some((_, EntityState::Cart(state))) = snapshots.load(self.parts.id, &EntityId::Cart(cart))?
        {
            self.revive::<Cart>(cart, state);
        }
        Ok(())
    }

    fn warm_order(&mut self, order: OrderId, snapshots: &dyn SnapshotStore) -> Result<(), ReplayError> {
        if self.tables.orders.cold.remove(&order).is_some()
            && let Some((_, EntityState::Order(state))) = snapshots.load(self.parts.id, &EntityId::Order(order))?
        {
            self.revive::<Order>(order, state);
        }
        Ok(())
    }
}

/// Whether a state at version `at` contains the record that made `version`. A state on disk need not be read for that.
fn contains(at: u64, version: u64) -> bool {
    version <= at && !planted!(SnapshotReplayedAgain)
}
