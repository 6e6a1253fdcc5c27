//! The model: what the journal's records mean, by rules of its own. It is told every record as it is decided and says what
//! must never happen, without asking the code that decided it.
//!
//! Invariant: the model shares no code with core but its vocabulary (ids, amounts, events). It is small enough to be read
//! against the promises: a unit is free, held, allocated or gone; money is asked for, taken or given back.

mod order;
mod stock;

use std::collections::BTreeMap;

use holdfast_core::{EntityId, Event, OrderId, SkuId};
use holdfast_persistence::Record;

use crate::violation::Promise;

pub(crate) use order::{OrderModel, Phase};
pub(crate) use stock::{Place, StockModel};

/// Why a record must not be.
pub(crate) type Broken = (Promise, String);

/// All stock and all orders, as the records say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) stock: BTreeMap<SkuId, StockModel>,
    pub(crate) orders: BTreeMap<OrderId, OrderModel>,
    /// The order of every key.
    pub(crate) keys: BTreeMap<u128, OrderId>,
}

impl Model {
    /// Takes a record in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn take_in(&mut self, record: &Record) -> Result<(), Broken> {
        match (&record.entity, &record.event) {
            (EntityId::Stock(sku), Event::Stock(event)) => {
                let stock = self.stock.entry(sku.clone()).or_default();
                stock.take_in(event, record.at).map_err(|(promise, what)| (promise, format!("{sku}: {what}")))?;
                self.check_order_of(sku, event)
            }
            (EntityId::Order(order), Event::Order(event)) => {
                self.check_order(*order, event, record.at)?;
                let model = self.orders.entry(*order).or_default();
                model.take_in(event, record.at).map_err(|(promise, what)| (promise, format!("{order}: {what}")))
            }
            _ => Ok(()),
        }
    }

    /// Forgets an entity, whose remaining records are then told anew.
    pub(crate) fn forget(&mut self, entity: &EntityId) {
        match entity {
            EntityId::Stock(sku) => drop(self.stock.remove(sku)),
            EntityId::Order(order) => {
                self.orders.remove(order);
                self.keys.retain(|_, made| made != order);
            }
            EntityId::Product(_) | EntityId::Cart(_) => {}
        }
    }

    /// Takes a record in that was taken in before: nothing is compared with other entities.
    pub(crate) fn take_in_again(&mut self, record: &Record) {
        // It was accepted when it was new.
        let _ = match (&record.entity, &record.event) {
            (EntityId::Stock(sku), Event::Stock(event)) => {
                self.stock.entry(sku.clone()).or_default().take_in(event, record.at)
            }
            (EntityId::Order(order), Event::Order(event)) => {
                self.keys.insert(order.key_digest(), *order);
                self.orders.entry(*order).or_default().take_in(event, record.at)
            }
            _ => Ok(()),
        };
    }

    /// Where the units of an order's line are.
    pub(crate) fn place_of(&self, sku: &SkuId, hold: holdfast_core::HoldId) -> Place {
        self.stock.get(sku).map_or(Place::Nowhere, |stock| stock.place_of(&hold))
    }
}
