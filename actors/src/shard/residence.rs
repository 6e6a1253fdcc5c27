//! Who is in memory: passivation of the idle, activation on the first message, rebuilding after a panic, quarantine.
//!
//! Invariant: an entity leaves memory only when a durable snapshot holds its latest version, and is asked nothing while it
//! is being read; what arrives meanwhile waits in order.

use holdfast_core::{
    EntityId, Timestamp,
    cart::{Cart, CartState},
    order::Order,
    planted,
    product::Product,
    stock::StockItem,
};
use holdfast_persistence::{EntityState, EntityStateRef};

use super::{
    Shard,
    table::{Hosted, Live, Table, Trouble, on_table},
};
use crate::{
    error::CommandError,
    message::{Envelope, Reply},
    outbound::Outgoing,
};

/// The most idle candidates looked at in one turn.
const SWEEP_PER_TURN: usize = 64;
/// Under memory pressure an entity still stays for so long, in milliseconds, lest it thrash.
const PRESSURE_GRACE_MS: i64 = 1_000;

impl Shard {
    /// Gives the envelope back if everything it needs can be asked now; otherwise it waits or is answered.
    pub(super) fn park_if_unready(&mut self, envelope: Envelope) -> Option<Envelope> {
        let Some(entity) = self.obstacle(&envelope) else { return Some(envelope) };
        self.load_if_cold(&entity);
        let trouble = on_table!(&entity, self.tables, |table, key| table.troubled.get_mut(key));
        match (trouble, envelope) {
            (Some(Trouble::Loading(waiting)), envelope) => waiting.push(envelope),
            (_, Envelope::Request { port, .. }) => {
                self.staged.output.answers.push((port, Err(CommandError::Quarantined(entity))));
            }
            (_, envelope) => tracing::error!(%entity, ?envelope, "a message to a quarantined entity was dropped"),
        }
        None
    }

    /// Begins to read a passivated entity.
    pub(super) fn load_if_cold(&mut self, entity: &EntityId) {
        let was_cold = match entity {
            EntityId::Cart(cart) => self.tables.carts.cold.contains_key(cart),
            EntityId::Order(order) => self.tables.orders.cold.contains_key(order),
            EntityId::Stock(_) | EntityId::Product(_) => false,
        };
        if was_cold && self.mark_loading(entity) {
            self.ask_to_load(entity.clone(), false);
        }
    }

    /// Counts a strike against the entity that is blamed for a panic and has everything the message touched rebuilt from the journal.
    pub(super) fn after_panic(&mut self, blamed: EntityId) -> CommandError {
        let strikes = self.strikes.entry(blamed.clone()).or_insert(0);
        *strikes = strikes.saturating_add(1);
        metrics::counter!("holdfast_turn_panics_total").increment(1);
        tracing::error!(shard = self.parts.id.0, entity = %blamed, strikes = *strikes, "a turn panicked");
        let out_of_service = *strikes >= self.parts.settings.quarantine_after;
        let mut tainted = std::mem::take(&mut self.staged.touching);
        tainted.retain(|entity| *entity != blamed);
        tainted.dedup();
        if planted!(PanickedNotRebuilt) {
            return CommandError::Panicked(blamed);
        }
        if out_of_service {
            self.quarantine(&blamed);
        } else {
            tainted.push(blamed.clone());
        }
        for entity in tainted {
            if self.mark_loading(&entity) {
                self.ask_to_load(entity, true);
            }
        }
        CommandError::Panicked(blamed)
    }

    /// Takes in an entity that was read, and has the turn go on with everything that waited for it.
    pub(super) fn install(&mut self, entity: &EntityId, state: Result<Option<EntityState>, String>) {
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(%entity, error, "an entity could not be read");
                self.quarantine(entity);
                return;
            }
        };
        let waiting = match (entity, state) {
            (EntityId::Stock(sku), Some(EntityState::Stock(stock))) => self.install_as::<StockItem>(sku, Some(stock)),
            (EntityId::Product(sku), Some(EntityState::Product(product))) => {
                self.install_as::<Product>(sku, Some(product))
            }
            (EntityId::Cart(cart), Some(EntityState::Cart(state))) => self.install_as::<Cart>(cart, Some(state)),
            (EntityId::Order(order), Some(EntityState::Order(state))) => self.install_as::<Order>(order, Some(state)),
            (EntityId::Stock(sku), _) => self.install_as::<StockItem>(sku, None),
            (EntityId::Product(sku), _) => self.install_as::<Product>(sku, None),
            (EntityId::Cart(cart), _) => self.install_as::<Cart>(cart, None),
            (EntityId::Order(order), _) => self.install_as::<Order>(order, None),
        };
        if let EntityId::Order(order) = entity {
            let pursued = self.guarded(entity.clone(), |shard| {
                shard.pursue_again(*order);
                Ok(Reply::Done)
            });
            if let Err(error) = pursued {
                tracing::error!(%order, %error, "an order could not be pursued");
            }
        }
        self.held_back.extend(waiting);
    }

    fn install_as<E: Hosted>(&mut self, key: &E::Key, state: Option<E>) -> Vec<Envelope> {
        let address = E::address(key);
        let now = self.now;
        let table: &mut Table<E> = E::table_mut(&mut self.tables);
        // Nothing waits for it: it may be behind what is in memory.
        let Some(Trouble::Loading(_)) = table.troubled.get(key) else { return Vec::new() };
        let Some(Trouble::Loading(waiting)) = table.troubled.remove(key) else { return Vec::new() };
        table.cold.remove(key);
        if let Some(entity) = state {
            let mut live = Box::new(Live::new(entity, now));
            // Rebuilt or activated: whether its snapshot is current is not known here, and one more snapshot is harmless.
            live.dirty = true;
            live.unseen = true;
            Self::schedule(&mut self.agenda, &address, &mut live, now);
            table.live.insert(key.clone(), live);
            self.checkpointing.note_dirty(address.clone());
            self.staged.unseen.push(address.clone());
            self.watch_idle(address);
        }
        waiting
    }

    /// Remembers a cart or an order as a candidate for passivation.
    pub(super) fn watch_idle(&mut self, entity: EntityId) {
        if matches!(entity, EntityId::Cart(_) | EntityId::Order(_)) {
            self.idle.push_back((self.now, entity));
        }
    }

    /// When the next candidate may leave. `None` as well while the store has enough to write: what it is done with wakes the shard.
    pub(super) fn idle_due(&self) -> Option<Timestamp> {
        let (seen, _) = self.idle.front().filter(|_| self.snapshot_room() > 0)?;
        Some(seen.saturating_add_millis(self.idle_after_ms()))
    }

    fn idle_after_ms(&self) -> i64 {
        if self.is_memory_short() { PRESSURE_GRACE_MS } else { self.parts.settings.passivate_after_ms }
    }

    fn is_memory_short(&self) -> bool {
        self.parts.census.live() > self.parts.settings.max_live_entities
    }

    /// Has entities leave memory that have been idle long enough: at once if a checkpoint has saved them, else once their
    /// snapshot is durable.
    pub(super) fn sweep_idle(&mut self) {
        // Asked once: other shards' threads count in it too, and who is idle for the list must be idle for the table.
        let after_ms = self.idle_after_ms();
        let idle_before = self.now.saturating_add_millis(-after_ms);
        let (mut leaving, room) = (Vec::new(), self.snapshot_room());
        for _ in 0..SWEEP_PER_TURN {
            let due = |seen: Timestamp| seen.saturating_add_millis(after_ms) <= self.now;
            let Some((seen, entity)) = self.idle.front().filter(|(seen, _)| due(*seen)).cloned() else { break };
            match self.idleness(&entity) {
                None => {}
                Some((touched, true)) if touched > seen => self.idle.push_back((touched, entity)),
                Some((_, false)) => self.idle.push_back((self.now, entity)),
                Some(_) if self.evict(&entity, idle_before) => {}
                // A page would be written for each by itself. The checkpoint after the sale saves it with its neighbors.
                Some(_) if self.is_rush() && !self.is_memory_short() => self.idle.push_back((self.now, entity)),
                // What the store is done with wakes the shard.
                Some(_) if leaving.len() >= room => break,
                Some(_) => {
                    leaving.extend(on_table!(&entity, self.tables, |table, key| table.hand_out_to_leave(key)));
                    if planted!(PassivatedTooEarly) {
                        let saved: Vec<_> = leaving.iter().map(|state| (state.id(), state.version())).collect();
                        self.note_saved(&saved);
                    }
                }
            }
            self.idle.pop_front();
        }
        self.hand_out(leaving);
    }

    /// When a candidate was last touched and whether nothing is owed to it; `None` when it has left already.
    fn idleness(&self, entity: &EntityId) -> Option<(Timestamp, bool)> {
        match entity {
            EntityId::Cart(cart) => self.tables.carts.live.get(cart).map(|live| {
                let may_leave = !matches!(live.entity.state(), CartState::CheckingOut { .. });
                (live.touched, may_leave)
            }),
            EntityId::Order(order) => self
                .tables
                .orders
                .live
                .get(order)
                .map(|live| (live.touched, live.entity.is_settled() && !self.pursuits.contains_key(order))),
            EntityId::Stock(_) | EntityId::Product(_) => None,
        }
    }

    /// Takes in that these are durable at these versions. Those idle for long leave memory.
    pub(super) fn note_saved(&mut self, entities: &[(EntityId, u64)]) {
        let idle_before = self.idle_before();
        for (entity, version) in entities {
            let saved = on_table!(entity, self.tables, |table, key| table.note_saved(key, *version, idle_before));
            // Asked only of the few that are idle: a checkpoint's thousands are told at once, and a sale waits meanwhile.
            let may_leave = saved.is_idle && matches!(self.idleness(entity), Some((_, true)));
            let has_left = may_leave && self.evict(entity, idle_before);
            if saved.is_leaving && !has_left {
                self.watch_idle(entity.clone());
            }
        }
    }

    /// These could not be written: they may be handed out again.
    pub(super) fn note_unsaved(&mut self, entities: &[EntityId]) {
        for entity in entities {
            if on_table!(entity, self.tables, |table, key| table.note_unsaved(key)) {
                self.watch_idle(entity.clone());
            }
        }
    }

    /// Drops an idle entity from memory if its latest version is durable. Whether it did.
    fn evict(&mut self, entity: &EntityId, idle_before: Timestamp) -> bool {
        on_table!(entity, self.tables, |table, key| table.evict(key, idle_before))
    }

    /// What was not touched since then may leave memory.
    fn idle_before(&self) -> Timestamp {
        self.now.saturating_add_millis(-self.idle_after_ms())
    }

    fn mark_loading(&mut self, entity: &EntityId) -> bool {
        on_table!(entity, self.tables, |table, key| table.mark_loading(key))
    }

    fn quarantine(&mut self, entity: &EntityId) {
        self.quarantined += 1;
        metrics::counter!("holdfast_entities_quarantined_total").increment(1);
        tracing::error!(%entity, "quarantined: it answers nothing until the node restarts; its neighbors go on");
        let waiting = on_table!(entity, self.tables, |table, key| table.quarantine(key));
        for envelope in waiting {
            if let Envelope::Request { port, .. } = envelope {
                self.staged.output.answers.push((port, Err(CommandError::Quarantined(entity.clone()))));
            }
        }
    }

    fn ask_to_load(&mut self, entity: EntityId, rebuild: bool) {
        self.staged.output.outgoing.push(Outgoing::Load { life: self.life(), entity, rebuild });
    }
}

/// How a shard has an entity.
#[derive(Debug, Clone, Copy)]
pub enum Residence<'a> {
    /// In memory.
    Live(EntityStateRef<'a>),
    /// As a snapshot of this version.
    Cold(u64),
    /// It is being read, or is out of service.
    Troubled,
    /// Not at all.
    Absent,
}

impl Shard {
    /// Where an entity is, for those who only look.
    pub(crate) fn residence(&self, entity: &EntityId) -> Residence<'_> {
        match entity {
            EntityId::Stock(sku) => self.tables.stock.residence(sku),
            EntityId::Product(sku) => self.tables.products.residence(sku),
            EntityId::Cart(cart) => self.tables.carts.residence(cart),
            EntityId::Order(order) => self.tables.orders.residence(order),
        }
    }

    /// The address of everything the shard knows, in no order.
    pub(crate) fn addresses(&self) -> Vec<EntityId> {
        let tables = &self.tables;
        let stock = tables.stock.live.keys().map(|sku| EntityId::Stock(sku.clone()));
        let products = tables.products.live.keys().map(|sku| EntityId::Product(sku.clone()));
        let carts = tables.carts.live.keys().chain(tables.carts.cold.keys()).map(|cart| EntityId::Cart(*cart));
        let orders = tables.orders.live.keys().chain(tables.orders.cold.keys()).map(|order| EntityId::Order(*order));
        stock.chain(products).chain(carts).chain(orders).collect()
    }
}

impl<E: Hosted> Table<E> {
    fn residence(&self, key: &E::Key) -> Residence<'_> {
        if self.troubled.contains_key(key) {
            return Residence::Troubled;
        }
        match (self.get(key), self.cold.get(key)) {
            (Some(entity), _) => Residence::Live(entity.state_ref()),
            (None, Some(version)) => Residence::Cold(*version),
            (None, None) => Residence::Absent,
        }
    }
}
