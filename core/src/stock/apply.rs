//! How a fact changes stock. A fact never fails; one that does not fit the state is a bug, and changes nothing but the
//! version, so that no unit becomes free by mistake.

use super::{Hold, StockEvent, StockItem};
use crate::{
    id::{CustomerId, HoldId},
    quantity::Quantity,
};

impl StockItem {
    pub(super) fn take_in(&mut self, event: &StockEvent) {
        self.version = self.version.saturating_add(1);
        match event {
            StockEvent::Received { quantity } => self.count(i64::from(quantity.get())),
            StockEvent::Adjusted { delta, .. } => self.count(*delta),
            StockEvent::PolicySet(policy) => self.policy = *policy,
            StockEvent::Held { hold, quantity, expires_at, customer } => {
                let held = Hold { quantity: *quantity, expires_at: *expires_at, customer: customer.clone() };
                self.insert_hold(*hold, held);
            }
            StockEvent::Released { hold } | StockEvent::Lapsed { hold } => self.drop_hold(*hold),
            StockEvent::Allocated { hold } => self.bind(*hold),
            StockEvent::Deallocated { hold } => self.unbind(*hold),
            StockEvent::Fulfilled { hold } => self.hand_out(*hold),
        }
        debug_assert!(self.is_balanced(), "{event:?} breaks on_hand = available + held + allocated of {}", self.sku);
    }

    fn count(&mut self, delta: i64) {
        self.level.on_hand = self.level.on_hand.saturating_add_signed(delta);
    }

    fn insert_hold(&mut self, id: HoldId, hold: Hold) {
        let units = u64::from(hold.quantity.get());
        let customer = hold.customer.clone();
        if !self.promises.insert(id, hold) {
            debug_assert!(false, "{id:?} is held twice");
            return;
        }
        self.level.held = self.level.held.saturating_add(units);
        if let Some(customer) = customer.filter(|_| !planted!(CustomerLimitBeforeHold)) {
            let taken = self.taken_by(&customer).saturating_add(units);
            self.taken.insert(customer, taken);
        }
    }

    fn drop_hold(&mut self, id: HoldId) {
        let Some(hold) = self.promises.remove(id, false) else {
            debug_assert!(false, "{id:?} is not held");
            return;
        };
        self.level.held = self.level.held.saturating_sub(u64::from(hold.quantity.get()));
        self.give_back(hold.customer.as_ref(), hold.quantity);
    }

    fn bind(&mut self, id: HoldId) {
        let Some(hold) = self.promises.allocate(&id) else {
            debug_assert!(false, "{id:?} is not held");
            return;
        };
        let units = u64::from(hold.quantity.get());
        self.level.held = self.level.held.saturating_sub(units);
        self.level.allocated = self.level.allocated.saturating_add(units);
    }

    fn unbind(&mut self, id: HoldId) {
        if let Some(Hold { quantity, customer, .. }) = self.take_allocation(id) {
            self.give_back(customer.as_ref(), quantity);
        }
    }

    fn hand_out(&mut self, id: HoldId) {
        if let Some(Hold { quantity, .. }) = self.take_allocation(id) {
            let units = u64::from(quantity.get());
            self.level.on_hand = self.level.on_hand.saturating_sub(units);
            self.level.fulfilled = self.level.fulfilled.saturating_add(units);
        }
    }

    fn take_allocation(&mut self, id: HoldId) -> Option<Hold> {
        let hold = self.promises.remove(id, true);
        debug_assert!(hold.is_some(), "{id:?} is not allocated");
        let hold = hold?;
        self.level.allocated = self.level.allocated.saturating_sub(u64::from(hold.quantity.get()));
        Some(hold)
    }

    /// The units no longer count against the customer's limit.
    fn give_back(&mut self, customer: Option<&CustomerId>, quantity: Quantity) {
        let Some(customer) = customer else { return };
        if let Some(taken) = self.taken.get_mut(customer) {
            *taken = taken.saturating_sub(u64::from(quantity.get()));
            if *taken == 0 {
                self.taken.remove(customer);
            }
        }
    }

    /// What must hold after every event.
    fn is_balanced(&self) -> bool {
        let committed = self.level.held.checked_add(self.level.allocated);
        committed.is_some_and(|committed| committed <= self.level.on_hand)
    }
}
