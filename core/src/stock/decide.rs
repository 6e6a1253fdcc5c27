//! Which facts follow from a command to stock: the only code that says who gets a unit.

use alloc::{string::String, vec, vec::Vec};

use super::{Hold, SalePolicy, StockCommand, StockEvent, StockItem, StockRejection};
use crate::{id::HoldId, quantity::Quantity, time::Timestamp};

type Decision = Result<Vec<StockEvent>, StockRejection>;

/// Done before, or nothing to do.
const NOTHING: Decision = Ok(Vec::new());

impl StockItem {
    pub(super) fn decide_at(&self, command: StockCommand, now: Timestamp) -> Decision {
        match command {
            StockCommand::Receive { quantity, expected_version } => self.receive(quantity, expected_version),
            StockCommand::SetPolicy(policy) => self.set_policy(policy),
            _ if self.version == 0 => Err(StockRejection::NotFound),
            StockCommand::Adjust { delta, reason, expected_version } => self.adjust(delta, reason, expected_version),
            StockCommand::Hold { hold, quantity, expires_at, customer } => {
                self.take_hold(hold, Hold { quantity, expires_at, customer }, now)
            }
            StockCommand::Release { hold } => self.release(hold),
            StockCommand::Allocate { hold } => self.allocate(hold, now),
            StockCommand::Fulfill { hold } => self.fulfill(hold),
            StockCommand::Lapse => Ok(self.lapse(now)),
        }
    }

    fn receive(&self, quantity: Quantity, expected_version: Option<u64>) -> Decision {
        self.check_version(expected_version)?;
        self.check_countable(u64::from(quantity.get()))?;
        Ok(vec![StockEvent::Received { quantity }])
    }

    fn adjust(&self, delta: i64, reason: String, expected_version: Option<u64>) -> Decision {
        self.check_version(expected_version)?;
        if delta == 0 {
            return NOTHING;
        }
        if delta > 0 {
            self.check_countable(delta.unsigned_abs())?;
        } else if delta.unsigned_abs() > self.available() {
            return Err(StockRejection::BelowCommitted { delta, available: self.available() });
        }
        Ok(vec![StockEvent::Adjusted { delta, reason }])
    }

    fn set_policy(&self, policy: SalePolicy) -> Decision {
        if !policy.is_consistent() {
            return Err(StockRejection::InvalidPolicy);
        }
        if self.version > 0 && policy == self.policy {
            return NOTHING;
        }
        Ok(vec![StockEvent::PolicySet(policy)])
    }

    fn take_hold(&self, id: HoldId, wanted: Hold, now: Timestamp) -> Decision {
        let mut before = None;
        let mut other_lines = 0_u64;
        for (line, promise) in self.promises.to_order(id.order) {
            if line == id {
                before = Some(promise);
            } else {
                other_lines = other_lines.saturating_add(units(&promise.hold));
            }
        }
        // A hold past its time whose lapse is still to be recorded counts as gone, and one wanted until another time makes
        // way for its renewal: the units are free for the successor. Both facts are decided together or none is.
        let mut gone = None;
        if let Some(known) = before {
            let is_same = known.hold.quantity == wanted.quantity;
            gone = if known.is_past(now) {
                Some((&known.hold, StockEvent::Lapsed { hold: id }))
            } else if !is_same {
                return Err(StockRejection::HoldConflict);
            } else if known.allocated || known.hold.expires_at == wanted.expires_at {
                return NOTHING;
            } else {
                Some((&known.hold, StockEvent::Released { hold: id }))
            };
        }
        let (gone, given_back) = gone.unzip();
        self.policy.check_open(now)?;
        self.check_order_limit(other_lines, wanted.quantity)?;
        self.check_customer_limit(&wanted, gone)?;
        let available = self.available().saturating_add(gone.map_or(0, units));
        if units(&wanted) > available.saturating_add(planted!(SoldOutOffByOne).into()) {
            return Err(StockRejection::Insufficient { available, requested: wanted.quantity.get() });
        }
        let Hold { quantity, expires_at, customer } = wanted;
        let held = StockEvent::Held { hold: id, quantity, expires_at, customer };
        Ok(given_back.into_iter().chain([held]).collect())
    }

    fn release(&self, hold: HoldId) -> Decision {
        match self.promises.get(&hold) {
            Some(promise) if promise.allocated => Ok(vec![StockEvent::Deallocated { hold }]),
            Some(_) => Ok(vec![StockEvent::Released { hold }]),
            None if planted!(ReleasedTwice) => Ok(vec![StockEvent::Released { hold }]),
            None => NOTHING,
        }
    }

    fn allocate(&self, hold: HoldId, now: Timestamp) -> Decision {
        match self.promises.get(&hold) {
            Some(promise) if promise.allocated && !planted!(AllocatedTwice) => NOTHING,
            Some(promise) if !promise.is_past(now) => Ok(vec![StockEvent::Allocated { hold }]),
            Some(_) | None => Err(StockRejection::HoldGone),
        }
    }

    fn fulfill(&self, hold: HoldId) -> Decision {
        match self.promises.get(&hold) {
            Some(promise) if promise.allocated => Ok(vec![StockEvent::Fulfilled { hold }]),
            // Units that are only held were never bound to the order: to let them go would be to sell them unpaid.
            Some(_) => Err(StockRejection::HoldGone),
            None => NOTHING,
        }
    }

    fn lapse(&self, now: Timestamp) -> Vec<StockEvent> {
        let now = if planted!(HoldReleasedEarly) { now.saturating_add_millis(60_000) } else { now };
        let due = self.promises.due(now).take(Self::MAX_LAPSES_AT_ONCE);
        due.map(|hold| StockEvent::Lapsed { hold }).collect()
    }

    fn check_version(&self, expected: Option<u64>) -> Result<(), StockRejection> {
        match expected {
            Some(expected) if expected != self.version => {
                Err(StockRejection::StaleVersion { expected, actual: self.version })
            }
            _ => Ok(()),
        }
    }

    /// Refuses more units than can be counted over all time, so that fulfilling them cannot overflow later.
    fn check_countable(&self, more: u64) -> Result<(), StockRejection> {
        let ever = self.level.on_hand.checked_add(self.level.fulfilled);
        ever.and_then(|ever| ever.checked_add(more)).map(|_| ()).ok_or(StockRejection::Overflow)
    }

    fn check_order_limit(&self, other_lines: u64, wanted: Quantity) -> Result<(), StockRejection> {
        let Some(limit) = self.policy.per_order_limit else { return Ok(()) };
        let requested = other_lines.saturating_add(u64::from(wanted.get()));
        if requested > u64::from(limit.get()) {
            return Err(StockRejection::OverOrderLimit { limit, requested: narrow(requested) });
        }
        Ok(())
    }

    fn check_customer_limit(&self, wanted: &Hold, gone: Option<&Hold>) -> Result<(), StockRejection> {
        let Some(limit) = self.policy.per_customer_limit else { return Ok(()) };
        let customer = wanted.customer.as_ref().ok_or(StockRejection::CustomerRequired)?;
        let given_back = gone.filter(|hold| hold.customer.as_ref() == Some(customer)).map_or(0, units);
        let taken = self.taken_by(customer).saturating_sub(given_back);
        if taken.saturating_add(units(wanted)) > u64::from(limit.get()) {
            let requested = wanted.quantity.get();
            return Err(StockRejection::OverCustomerLimit { limit, taken: narrow(taken), requested });
        }
        Ok(())
    }
}

fn units(hold: &Hold) -> u64 {
    u64::from(hold.quantity.get())
}

/// `units` for a message; the true number is only ever larger than anything a limit allows.
fn narrow(units: u64) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}
