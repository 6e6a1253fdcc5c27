//! The entities of one kind that live in a shard: hot ones in memory, passivated ones by their version, troubled ones with
//! the messages that wait for them.

use std::{fmt::Debug, hash::Hash, mem};

use holdfast_core::{
    CartId, Entity, EntityId, Event, OrderId, SkuId, Timestamp, cart::Cart, order::Order, product::Product,
    stock::StockItem,
};
use holdfast_persistence::{EntityState, EntityStateRef};

use crate::{id_map::IdMap, message::Envelope, rows::RowMap};

/// What an entity takes in memory, in bytes, as means of `cargo bench --bench idle_carts` and of a sale's growth: a SKU with
/// its catalog entry, a cart with one line, an order of one line, and what is left of one that was passivated.
const SKU_BYTES: usize = 1_600;
const CART_BYTES: usize = 490;
const ORDER_BYTES: usize = 1_050;
const COLD_BYTES: usize = 40;

/// An entity in memory with what the shard keeps beside it.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent of each other, and in every entity in memory: a byte each"
)]
pub(crate) struct Live<E> {
    pub(crate) entity: E,
    /// When it was last asked anything.
    pub(crate) touched: Timestamp,
    /// The agenda's entry for it: never later than its next deadline.
    pub(crate) scheduled: Option<Timestamp>,
    /// In the list of the next checkpoint, or of the one under way.
    pub(crate) dirty: bool,
    /// The version that is on its way to the store, or was there last; 0 when there is none.
    pub(crate) handed_out: u64,
    /// The newest version whose snapshot is known to be durable; 0 when none is.
    pub(crate) saved: u64,
    /// It may leave memory once the snapshot that is on its way is durable: whoever hears of that is the one to look, and no list of
    /// the idle has it meanwhile.
    pub(crate) leaving: bool,
    /// Changed in this turn: its view is owed an update.
    pub(crate) unseen: bool,
    /// The views know it already: its next update need not be whole.
    pub(crate) listed: bool,
}

/// Why an entity cannot be asked right now.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is being read; these wait.
    Loading(Vec<Envelope>),
    /// It panicked too often.
    Quarantined,
}

/// What is to be known of an entity that was saved.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Saved {
    /// It is in memory and was not touched for long.
    pub(crate) is_idle: bool,
    /// It was to leave once what was on its way is saved, and that is so now.
    pub(crate) is_leaving: bool,
}

/// All entities of one kind in a shard.
#[derive(Debug)]
pub(crate) struct Table<E: Hosted> {
    pub(crate) live: RowMap<E::Key, Box<Live<E>>>,
    /// Passivated entities and the version of their snapshot.
    pub(crate) cold: IdMap<E::Key, u64>,
    pub(crate) troubled: IdMap<E::Key, Trouble>,
}

/// The four tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) stock: Table<StockItem>,
    pub(crate) products: Table<Product>,
    pub(crate) carts: Table<Cart>,
    pub(crate) orders: Table<Order>,
}

/// An entity that a shard can host.
pub(crate) trait Hosted: Entity + Sized {
    /// What names it within its kind.
    type Key: Clone + Debug + Eq + Hash;

    fn vacant(key: &Self::Key) -> Self;
    fn address(key: &Self::Key) -> EntityId;
    fn journaled(event: Self::Event) -> Event;
    fn state_ref(&self) -> EntityStateRef<'_>;
    fn table(tables: &Tables) -> &Table<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
}

impl<E> Live<E> {
    pub(crate) fn new(entity: E, now: Timestamp) -> Self {
        Self {
            entity,
            touched: now,
            scheduled: None,
            dirty: false,
            handed_out: 0,
            saved: 0,
            leaving: false,
            unseen: false,
            listed: false,
        }
    }
}

impl Tables {
    /// Entities in memory, of all kinds.
    pub(crate) fn live_count(&self) -> usize {
        self.stock.live.len() + self.products.live.len() + self.carts.live.len() + self.orders.live.len()
    }

    /// Entities in memory or passivated, of all kinds.
    pub(crate) fn count(&self) -> usize {
        self.live_count() + self.carts.cold.len() + self.orders.cold.len()
    }

    /// What all of them take in memory, about, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let live = self.stock.live.len() * SKU_BYTES
            + self.carts.live.len() * CART_BYTES
            + self.orders.live.len() * ORDER_BYTES;
        let cold = (self.carts.cold.len() + self.orders.cold.len()) * COLD_BYTES;
        (live + cold) as u64
    }
}

impl<E: Hosted> Default for Table<E> {
    fn default() -> Self {
        Self { live: RowMap::default(), cold: IdMap::default(), troubled: IdMap::default() }
    }
}

impl<E: Hosted> Table<E> {
    /// Takes it out of memory and lets messages wait for it; `false` when it was in trouble already.
    pub(crate) fn mark_loading(&mut self, key: &E::Key) -> bool {
        self.live.remove(key);
        if self.troubled.contains_key(key) {
            return false;
        }
        self.troubled.insert(key.clone(), Trouble::Loading(Vec::new()));
        true
    }

    /// Takes it out of service; what waited for it is to be told.
    pub(crate) fn quarantine(&mut self, key: &E::Key) -> Vec<Envelope> {
        self.live.remove(key);
        match self.troubled.insert(key.clone(), Trouble::Quarantined) {
            Some(Trouble::Loading(waiting)) => waiting,
            _ => Vec::new(),
        }
    }

    /// The entity, to be written as it is now. None when that is on its way or saved, or it is not in memory.
    pub(crate) fn hand_out(&mut self, key: &E::Key) -> Option<EntityState> {
        let live = self.live.get_mut(key)?;
        let version = live.entity.version();
        let is_new = mem::replace(&mut live.handed_out, version) != version;
        is_new.then(|| live.entity.state_ref().cloned())
    }

    /// As [`Table::hand_out`], of one that may leave memory as soon as that is written.
    pub(crate) fn hand_out_to_leave(&mut self, key: &E::Key) -> Option<EntityState> {
        if let Some(live) = self.live.get_mut(key) {
            live.leaving = true;
        }
        self.hand_out(key)
    }

    /// What was handed out could not be written. Whether it was to leave after that.
    pub(crate) fn note_unsaved(&mut self, key: &E::Key) -> bool {
        self.live.get_mut(key).is_some_and(|live| {
            live.handed_out = live.saved;
            mem::take(&mut live.leaving)
        })
    }

    /// A snapshot of this version is durable.
    pub(crate) fn note_saved(&mut self, key: &E::Key, version: u64, idle_before: Timestamp) -> Saved {
        let Some(live) = self.live.get_mut(key) else { return Saved::default() };
        live.saved = live.saved.max(version);
        let is_leaving = live.leaving && live.saved >= live.handed_out;
        live.leaving &= !is_leaving;
        Saved { is_idle: live.touched <= idle_before, is_leaving }
    }

    /// Keeps only its version, if a snapshot of that is durable and nobody touched it since `idle_before`. Whether it left.
    pub(crate) fn evict(&mut self, key: &E::Key, idle_before: Timestamp) -> bool {
        let Some(live) = self.live.get(key) else { return false };
        let version = live.entity.version();
        if live.saved != version || live.touched > idle_before {
            return false;
        }
        self.live.remove(key);
        self.cold.insert(key.clone(), version);
        true
    }

    pub(crate) fn get(&self, key: &E::Key) -> Option<&E> {
        self.live.get(key).map(|live| &live.entity)
    }

    /// Whether the entity can be asked now: it is in memory, or there is none.
    pub(crate) fn is_ready(&self, key: &E::Key) -> bool {
        (self.cold.is_empty() || !self.cold.contains_key(key))
            && (self.troubled.is_empty() || !self.troubled.contains_key(key))
    }
}

/// Runs the same code on the table of whichever kind an [`EntityId`] is of.
macro_rules! on_table {
    ($entity:expr, $tables:expr, |$table:ident, $key:ident| $body:expr) => {
        match $entity {
            holdfast_core::EntityId::Stock($key) => {
                let $table = &mut $tables.stock;
                $body
            }
            holdfast_core::EntityId::Product($key) => {
                let $table = &mut $tables.products;
                $body
            }
            holdfast_core::EntityId::Cart($key) => {
                let $table = &mut $tables.carts;
                $body
            }
            holdfast_core::EntityId::Order($key) => {
                let $table = &mut $tables.orders;
                $body
            }
        }
    };
}
pub(crate) use on_table;

/// Ties an entity to its key, its table and its place in the closed enums.
macro_rules! hosted {
    ($entity:ident, $key:ty, $variant:ident, $table:ident) => {
        impl Hosted for $entity {
            type Key = $key;

            #[allow(clippy::clone_on_copy, reason = "SKUs are cloned, the other keys are Copy")]
            fn vacant(key: &$key) -> Self {
                Self::new(key.clone())
            }

            #[allow(clippy::clone_on_copy, reason = "SKUs are cloned, the other keys are Copy")]
            fn address(key: &$key) -> EntityId {
                EntityId::$variant(key.clone())
            }

            fn journaled(event: Self::Event) -> Event {
                Event::$variant(event)
            }

            fn state_ref(&self) -> EntityStateRef<'_> {
                EntityStateRef::$variant(self)
            }

            fn table(tables: &Tables) -> &Table<Self> {
                &tables.$table
            }

            fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$table
            }
        }
    };
}

hosted!(StockItem, SkuId, Stock, stock);
hosted!(Product, SkuId, Product, products);
hosted!(Cart, CartId, Cart, carts);
hosted!(Order, OrderId, Order, orders);
