//! An order and its money by the model's own rules.

use std::collections::BTreeSet;

use holdfast_core::{
    HoldId, OrderId, Timestamp,
    order::{AuthorizationOutcome, OrderEvent, Placement, SettlementOutcome},
};

use super::{Broken, Model, Place};
use crate::violation::Promise;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Phase {
    #[default]
    Unknown,
    Placed,
    Authorized,
    Confirmed,
    Shipped,
    Delivered,
    Ended,
}

/// The money of an order, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Money {
    pub(crate) approved: bool,
    pub(crate) captured: i64,
    /// Given back for certain.
    pub(crate) refunded: i64,
    /// Given back or on its way.
    pub(crate) spoken_for: i64,
    pub(crate) voided: bool,
}

/// One order.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderModel {
    pub(crate) placement: Option<Placement>,
    pub(crate) phase: Phase,
    pub(crate) money: Money,
    pub(crate) allocated: BTreeSet<u16>,
    pub(crate) fulfilled: BTreeSet<u16>,
    pub(crate) released: BTreeSet<u16>,
    /// Amount and whether it failed or is done.
    refunds: Vec<(i64, Option<bool>)>,
}

impl OrderModel {
    pub(crate) fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    pub(crate) fn lines(&self) -> u16 {
        self.placement.as_ref().map_or(0, |placement| u16::try_from(placement.lines.len()).unwrap_or(u16::MAX))
    }

    pub(crate) fn has_failed_refund(&self) -> bool {
        self.refunds.iter().any(|(_, state)| *state == Some(false))
    }

    pub(crate) fn total(&self) -> i64 {
        self.placement.as_ref().map_or(0, |placement| placement.total.minor())
    }

    pub(super) fn take_in(&mut self, event: &OrderEvent, at: Timestamp) -> Result<(), Broken> {
        let phase = self.phase;
        match event {
            OrderEvent::Placed(placement) => self.place(placement)?,
            _ if phase == Phase::Unknown => return Err(state(format!("{event:?} before it was placed"))),
            OrderEvent::AuthorizationRecorded(AuthorizationOutcome::Approved { .. }) => {
                self.money.approved = true;
                if phase == Phase::Placed {
                    self.phase = Phase::Authorized;
                }
            }
            OrderEvent::AuthorizationRecorded(AuthorizationOutcome::Declined { .. })
            | OrderEvent::CaptureRecorded(SettlementOutcome::Failed { .. }) => {}
            OrderEvent::LineAllocated { line } => drop(self.allocated.insert(*line)),
            OrderEvent::LineReleased { line } => drop(self.released.insert(*line)),
            OrderEvent::LineFulfilled { line } => drop(self.fulfilled.insert(*line)),
            OrderEvent::Confirmed => {
                if phase != Phase::Authorized || self.allocated.len() != usize::from(self.lines()) {
                    return Err(units(format!("confirmed from {phase:?} with lines {:?}", self.allocated)));
                }
                self.phase = Phase::Confirmed;
            }
            OrderEvent::CaptureRecorded(SettlementOutcome::Done) => self.capture()?,
            OrderEvent::Voided => self.money.voided = true,
            OrderEvent::RefundRequested { amount, .. } => self.request_refund(amount.minor())?,
            OrderEvent::RefundRecorded { refund, outcome } => {
                self.record_refund(*refund, *outcome == SettlementOutcome::Done)?;
            }
            OrderEvent::Canceled { .. } => self.end("canceled")?,
            OrderEvent::Expired => {
                let due = self.placement.as_ref().is_some_and(|placement| at >= placement.expires_at);
                if phase != Phase::Placed || !due {
                    return Err(state(format!("expired too early, or from {phase:?}")));
                }
                self.end("expired")?;
            }
            OrderEvent::Shipped if phase == Phase::Confirmed => self.phase = Phase::Shipped,
            OrderEvent::Delivered if phase == Phase::Shipped => self.phase = Phase::Delivered,
            OrderEvent::Shipped | OrderEvent::Delivered => return Err(state(format!("{event:?} from {phase:?}"))),
        }
        Ok(())
    }

    fn place(&mut self, placement: &Placement) -> Result<(), Broken> {
        if self.phase != Phase::Unknown {
            return Err((Promise::Acknowledged, String::from("placed twice")));
        }
        let sum: i64 =
            placement.lines.iter().map(|line| line.unit_price.minor() * i64::from(line.quantity.get())).sum();
        if sum != placement.total.minor() {
            return Err(money(format!("its lines come to {sum}, its total is {}", placement.total.minor())));
        }
        self.placement = Some(placement.clone());
        self.phase = Phase::Placed;
        Ok(())
    }

    fn capture(&mut self) -> Result<(), Broken> {
        if self.money.captured > 0 {
            return Err(money(String::from("captured twice")));
        }
        if self.allocated.len() != usize::from(self.lines()) {
            return Err(money(format!("captured with only lines {:?} allocated", self.allocated)));
        }
        self.money.captured = self.total();
        Ok(())
    }

    fn request_refund(&mut self, amount: i64) -> Result<(), Broken> {
        self.refunds.push((amount, None));
        self.money.spoken_for += amount;
        if amount <= 0 || self.money.spoken_for > self.money.captured {
            let Money { captured, spoken_for, .. } = self.money;
            return Err(money(format!("{spoken_for} are to be refunded, {captured} were captured")));
        }
        Ok(())
    }

    fn record_refund(&mut self, refund: u16, done: bool) -> Result<(), Broken> {
        let Some((amount, state)) = self.refunds.get_mut(usize::from(refund)) else {
            return Err(money(format!("refund {refund} was never asked for")));
        };
        match (*state, done) {
            (None, true) => self.money.refunded += *amount,
            (None, false) => self.money.spoken_for -= *amount,
            (Some(false), true) => {
                self.money.spoken_for += *amount;
                self.money.refunded += *amount;
            }
            (Some(_), _) => return Err(money(format!("refund {refund} is answered twice"))),
        }
        *state = Some(done);
        if self.money.refunded > self.money.captured {
            return Err(money(format!("more was refunded than captured by refund {refund}")));
        }
        Ok(())
    }

    fn end(&mut self, how: &str) -> Result<(), Broken> {
        if matches!(self.phase, Phase::Shipped | Phase::Delivered | Phase::Ended) {
            return Err(state(format!("{how} from {:?}", self.phase)));
        }
        self.phase = Phase::Ended;
        Ok(())
    }
}

impl Model {
    /// What an order says of its units must be what stock says.
    pub(super) fn check_order(&mut self, order: OrderId, event: &OrderEvent, at: Timestamp) -> Result<(), Broken> {
        match event {
            OrderEvent::Placed(placement) => {
                if let Some(other) = self.keys.insert(order.key_digest(), order).filter(|other| *other != order) {
                    return Err((Promise::Acknowledged, format!("{order} and {other} have one key")));
                }
                for (line, number) in placement.lines.iter().zip(0..) {
                    let place = self.place_of(&line.sku, HoldId { order, line: number });
                    if !matches!(place, Place::Held { .. }) {
                        return Err(units(format!("{order} is placed, line {number} is {place:?}")));
                    }
                }
                Ok(())
            }
            OrderEvent::LineAllocated { line } => self.check_line(order, *line, |place| place == Place::Allocated),
            OrderEvent::LineFulfilled { line } => self.check_line(order, *line, |place| place == Place::Gone),
            OrderEvent::LineReleased { line } => {
                // A hold past its deadline is nobody's, also while a turn that is full of other deadlines has not lapsed it yet.
                self.check_line(order, *line, |place| match place {
                    Place::Back | Place::Nowhere => true,
                    Place::Held { until } => until <= at,
                    Place::Allocated | Place::Gone => false,
                })
            }
            _ => Ok(()),
        }
    }

    fn check_line(&self, order: OrderId, line: u16, right: impl Fn(Place) -> bool) -> Result<(), Broken> {
        let placement = self.orders.get(&order).and_then(|order| order.placement.as_ref());
        let Some(sold) = placement.and_then(|placement| placement.lines.get(usize::from(line))) else {
            return Err(state(format!("{order} has no line {line}")));
        };
        let place = self.place_of(&sold.sku, HoldId { order, line });
        if right(place) { Ok(()) } else { Err(units(format!("line {line} of {order} is {place:?}"))) }
    }
}

fn units(what: String) -> Broken {
    (Promise::Units, what)
}

fn money(what: String) -> Broken {
    (Promise::Money, what)
}

fn state(what: String) -> Broken {
    (Promise::State, what)
}
