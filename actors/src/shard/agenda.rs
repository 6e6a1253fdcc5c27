//! Deadlines: hold expiry, payment deadlines, cart expiry. One ordered index per shard.
//!
//! Invariant: an entity with a deadline has an agenda entry that is not later. The entry may be earlier: a hot SKU with
//! 100,000 holds keeps one entry, asks when it comes due, and is entered again for what is then next. A SKU that has no hold any more
//! keeps its entry as well, until that comes due.

use std::collections::BTreeSet;

use holdfast_core::{
    CartId, Entity, EntityId, ShardCount, ShardId, Timestamp,
    cart::{Cart, CartCommand, CartState},
    order::OrderCommand,
    planted,
    stock::{StockCommand, StockItem},
};

use super::{Shard, table::Live};
use crate::{
    message::{Message, Reply},
    outbound::Outgoing,
};

/// The most due entries of one turn, and the most due retries: the rest follows in the next turns.
pub(super) const DUE_PER_TURN: usize = 1_024;

impl Shard {
    /// Brings the agenda in line with an entity that has just changed.
    pub(super) fn schedule<E: Entity>(
        agenda: &mut BTreeSet<(Timestamp, EntityId)>,
        address: &EntityId,
        live: &mut Live<E>,
        not_before: Timestamp,
    ) {
        let late_ms = if planted!(ExpiredHoldCounted) { 60_000 } else { 0 };
        let next = live.entity.next_deadline().map(|deadline| deadline.saturating_add_millis(late_ms).max(not_before));
        let entry = match (live.scheduled, next) {
            (Some(entered), Some(next)) if entered <= next => return,
            (None, None) => return,
            (_, next) => next,
        };
        if let Some(entered) = live.scheduled.take() {
            agenda.remove(&(entered, address.clone()));
        }
        if let Some(due) = entry {
            agenda.insert((due, address.clone()));
            live.scheduled = Some(due);
        }
    }

    /// Brings the agenda in line with an entity of which something has just been decided. A SKU that sells is held again soon, and
    /// finds its entry then. (A shard that follows takes every entry out: nothing comes due there.)
    pub(super) fn schedule_decided<E: Entity>(
        agenda: &mut BTreeSet<(Timestamp, EntityId)>,
        address: &EntityId,
        live: &mut Live<E>,
        not_before: Timestamp,
    ) {
        if !matches!(address, EntityId::Stock(_)) || live.entity.next_deadline().is_some() {
            Self::schedule(agenda, address, live, not_before);
        }
    }

    /// Runs what has come due, up to a limit: a mass expiry leaves half of each turn to the sale.
    pub(super) fn run_due(&mut self) {
        if self.writable().is_err() {
            return; // Nothing may change now; what is due stays due.
        }
        for _ in 0..DUE_PER_TURN {
            match self.agenda.first() {
                Some((due, _)) if *due <= self.now && !self.is_half_full() => {}
                _ => break,
            }
            let Some((_, address)) = self.agenda.pop_first() else { break };
            let handled = self.guarded(address.clone(), |shard| {
                shard.fall_due(&address);
                Ok(Reply::Done)
            });
            if let Err(error) = handled {
                tracing::error!(shard = self.parts.id.0, %error, "a deadline could not be run");
            }
        }
        self.run_retries();
    }

    fn fall_due(&mut self, address: &EntityId) {
        match address {
            EntityId::Stock(sku) => self.lapse_holds(sku),
            EntityId::Cart(cart) => self.cart_due(*cart),
            EntityId::Order(order) => {
                if let Some(live) = self.tables.orders.live.get_mut(order) {
                    live.scheduled = None;
                    self.order_command(*order, OrderCommand::Expire);
                    self.reschedule_order(*order);
                } else {
                    self.load_if_cold(address);
                }
            }
            EntityId::Product(_) => {}
        }
    }

    fn lapse_holds(&mut self, sku: &holdfast_core::SkuId) {
        let Some(live) = self.tables.stock.live.get_mut(sku) else { return };
        live.scheduled = None;
        if let Ok(events) = self.decide::<StockItem>(sku, StockCommand::Lapse) {
            self.staged.tally.lapsed += events.len() as u64;
            self.commit::<StockItem>(sku, events);
        }
        let now = self.now;
        if let Some(live) = self.tables.stock.live.get_mut(sku) {
            Self::schedule(&mut self.agenda, &EntityId::Stock(sku.clone()), live, now);
        }
    }

    fn cart_due(&mut self, cart: CartId) {
        let address = EntityId::Cart(cart);
        let Some(live) = self.tables.carts.live.get_mut(&cart) else {
            self.load_if_cold(&address);
            return;
        };
        live.scheduled = None;
        let state = live.entity.state();
        let mut again = self.now;
        match state {
            CartState::CheckingOut { order, deadline } if deadline <= self.now => {
                // Its attempt is void by now: ask the order's home whether it came to be.
                let to = self.parts.shards.shard_of(order.slot());
                let message = Message::ResolveCheckout { cart, order, deadline };
                self.staged.output.outgoing.push(Outgoing::Message { to, message });
                again = self.now.saturating_add_millis(self.parts.settings.step_retry_ms);
            }
            _ => {
                if let Ok(events) = self.decide::<Cart>(&cart, CartCommand::Expire) {
                    self.commit::<Cart>(&cart, events);
                }
            }
        }
        if let Some(live) = self.tables.carts.live.get_mut(&cart) {
            Self::schedule(&mut self.agenda, &address, live, again);
        }
    }

    fn reschedule_order(&mut self, order: holdfast_core::OrderId) {
        let now = self.now;
        if let Some(live) = self.tables.orders.live.get_mut(&order) {
            Self::schedule(&mut self.agenda, &EntityId::Order(order), live, now);
        }
    }

    /// The shard of a SKU.
    pub(super) fn home_of(&self, sku: &holdfast_core::SkuId) -> ShardId {
        let shards: ShardCount = self.parts.shards;
        shards.shard_of(sku.slot())
    }
}
