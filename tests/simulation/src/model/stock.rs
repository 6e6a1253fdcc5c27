//! Units by the model's own count.

use std::collections::BTreeMap;

use holdfast_core::{
    CustomerId, HoldId, SkuId, Timestamp,
    stock::{SalePolicy, StockEvent},
};

use super::{Broken, Model, Phase};
use crate::violation::Promise;

/// Where the units of one line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    Held {
        until: Timestamp,
    },
    Allocated,
    /// Given back: released, lapsed or deallocated.
    Back,
    /// Out of the house.
    Gone,
}

#[derive(Debug, Clone)]
struct Line {
    units: i64,
    customer: Option<CustomerId>,
    place: Place,
}

/// The units of one SKU.
#[derive(Debug, Clone, Default)]
pub(crate) struct StockModel {
    /// Everything that ever came, less corrections.
    pub(crate) received: i64,
    pub(crate) held: i64,
    pub(crate) allocated: i64,
    pub(crate) gone: i64,
    policy: SalePolicy,
    lines: BTreeMap<HoldId, Line>,
}

impl StockModel {
    /// Units that nobody was promised.
    pub(crate) fn free(&self) -> i64 {
        self.received - self.gone - self.held - self.allocated
    }

    pub(crate) fn on_hand(&self) -> i64 {
        self.received - self.gone
    }

    pub(crate) fn place_of(&self, hold: &HoldId) -> Place {
        self.lines.get(hold).map_or(Place::Nowhere, |line| line.place)
    }

    pub(super) fn take_in(&mut self, event: &StockEvent, at: Timestamp) -> Result<(), Broken> {
        match event {
            StockEvent::Received { quantity } => self.received += i64::from(quantity.get()),
            StockEvent::Adjusted { delta, .. } => self.received += delta,
            StockEvent::PolicySet(policy) => self.policy = *policy,
            StockEvent::Held { hold, quantity, expires_at, customer } => {
                let units = i64::from(quantity.get());
                let line = Line { units, customer: customer.clone(), place: Place::Held { until: *expires_at } };
                self.hold(*hold, line, at)?;
            }
            StockEvent::Released { hold } => {
                self.expect(hold, "released", |place| matches!(place, Place::Held { .. }))?;
                self.take_back(hold);
            }
            StockEvent::Lapsed { hold } => {
                self.expect(hold, "lapsed", |place| matches!(place, Place::Held { until } if until <= at))?;
                self.take_back(hold);
            }
            StockEvent::Allocated { hold } => {
                self.expect(hold, "allocated", |place| matches!(place, Place::Held { until } if until > at))?;
                self.move_to(hold, Place::Allocated);
            }
            StockEvent::Deallocated { hold } => {
                self.expect(hold, "deallocated", |place| place == Place::Allocated)?;
                self.take_back(hold);
            }
            StockEvent::Fulfilled { hold } => {
                self.expect(hold, "fulfilled", |place| place == Place::Allocated)?;
                self.move_to(hold, Place::Gone);
            }
        }
        if self.free() < 0 {
            return Err(broken(format!("oversold by {} units after {event:?}", -self.free())));
        }
        Ok(())
    }

    fn hold(&mut self, hold: HoldId, line: Line, at: Timestamp) -> Result<(), Broken> {
        let before = self.place_of(&hold);
        if !matches!(before, Place::Nowhere | Place::Back) {
            return Err(broken(format!("{hold:?} is held although its units are {before:?}")));
        }
        if line.units > self.free() {
            return Err(broken(format!("{} units are held, {} were free", line.units, self.free())));
        }
        if self.policy.opens_at.is_some_and(|opens| at < opens)
            || self.policy.closes_at.is_some_and(|closes| at >= closes)
        {
            return Err(broken(format!("{hold:?} is held outside the sale")));
        }
        self.check_limits(hold, &line)?;
        self.held += line.units;
        self.lines.insert(hold, line);
        Ok(())
    }

    fn check_limits(&self, hold: HoldId, line: &Line) -> Result<(), Broken> {
        let counts = |line: &&Line| !matches!(line.place, Place::Nowhere | Place::Back);
        if let Some(limit) = self.policy.per_order_limit {
            let order = HoldId { order: hold.order, line: 0 }..=HoldId { order: hold.order, line: u16::MAX };
            let taken: i64 = self.lines.range(order).map(|(_, line)| line).filter(counts).map(|line| line.units).sum();
            if taken + line.units > i64::from(limit.get()) {
                return Err(broken(format!("{hold:?} passes the limit of {} per order", limit.get())));
            }
        }
        if let Some(limit) = self.policy.per_customer_limit {
            let of_customer = self.lines.values().filter(counts).filter(|other| other.customer == line.customer);
            let taken: i64 = of_customer.map(|line| line.units).sum();
            if line.customer.is_none() || taken + line.units > i64::from(limit.get()) {
                return Err(broken(format!("{hold:?} passes the limit of {} per customer", limit.get())));
            }
        }
        Ok(())
    }

    fn expect(&self, hold: &HoldId, action: &str, right: impl Fn(Place) -> bool) -> Result<(), Broken> {
        let place = self.place_of(hold);
        if right(place) {
            Ok(())
        } else {
            Err(broken(format!("{hold:?} is {action} although its units are {place:?}")))
        }
    }

    fn take_back(&mut self, hold: &HoldId) {
        self.move_to(hold, Place::Back);
    }

    fn move_to(&mut self, hold: &HoldId, to: Place) {
        let Some(line) = self.lines.get_mut(hold) else { return };
        let count = |place: Place, wanted: i64, held: &mut i64, allocated: &mut i64, gone: &mut i64| match place {
            Place::Held { .. } => *held += wanted,
            Place::Allocated => *allocated += wanted,
            Place::Gone => *gone += wanted,
            Place::Nowhere | Place::Back => {}
        };
        count(line.place, -line.units, &mut self.held, &mut self.allocated, &mut self.gone);
        count(to, line.units, &mut self.held, &mut self.allocated, &mut self.gone);
        line.place = to;
    }
}

impl Model {
    /// Units of an order that goes on never become free; they are bound and leave only for an order that says so.
    pub(super) fn check_order_of(&self, sku: &SkuId, event: &StockEvent) -> Result<(), Broken> {
        let phase = |hold: &HoldId| self.orders.get(&hold.order).map_or(Phase::Unknown, |order| order.phase);
        let wrong = |hold: &HoldId, what: &str| {
            Err(broken(format!("{sku}: the units of {hold:?} are {what} although its order is {:?}", phase(hold))))
        };
        match event {
            StockEvent::Deallocated { hold } if phase(hold) != Phase::Ended => wrong(hold, "given back"),
            StockEvent::Allocated { hold } if matches!(phase(hold), Phase::Unknown | Phase::Placed) => {
                wrong(hold, "bound")
            }
            StockEvent::Fulfilled { hold } if !matches!(phase(hold), Phase::Shipped | Phase::Delivered) => {
                wrong(hold, "let go")
            }
            _ => Ok(()),
        }
    }

    /// What must hold between stock and orders wherever a crash has cut: nothing left a shard before it was durable.
    pub(crate) fn check_promises(&self) -> Result<(), Broken> {
        for (sku, stock) in &self.stock {
            for (hold, line) in &stock.lines {
                let phase = self.orders.get(&hold.order).map_or(Phase::Unknown, |order| order.phase);
                let right = match line.place {
                    Place::Allocated => phase >= Phase::Authorized,
                    Place::Gone => matches!(phase, Phase::Shipped | Phase::Delivered),
                    Place::Nowhere | Place::Held { .. } | Place::Back => true,
                };
                if !right {
                    return Err(broken(format!("{sku}: {hold:?} is {:?} and its order is {phase:?}", line.place)));
                }
            }
        }
        Ok(())
    }
}

fn broken(what: String) -> Broken {
    (Promise::Units, what)
}
