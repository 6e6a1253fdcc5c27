//! What a batch did to an order, beyond what its state says: when.
//!
//! Invariant: instants and versions follow from the records alone, the same wherever a batch begins or ends.

use holdfast_core::{
    Timestamp,
    order::{AuthorizationOutcome, Order, OrderEvent, OrderStatus, SettlementOutcome},
};

/// What a batch knows of an order beyond its state: when things happened.
#[derive(Debug, Default)]
pub(super) struct OrderTouch {
    pub(super) placed: bool,
    pub(super) confirmed_at: Option<Timestamp>,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) authorized_at: Option<Timestamp>,
    pub(super) captured_at: Option<Timestamp>,
    /// The last change of the payment: version and instant.
    pub(super) payment: Option<(u64, Timestamp)>,
    pub(super) shipped_at: Option<Timestamp>,
    pub(super) delivered_at: Option<Timestamp>,
    /// The last change of the shipment.
    pub(super) shipment: Option<(u64, Timestamp)>,
    /// Refunds that changed: number, version, first and last instant.
    pub(super) refunds: Vec<(u16, u64, Timestamp, Timestamp)>,
}

impl OrderTouch {
    /// Notes when `event`, which led `order` to `version`, was decided.
    pub(super) fn note(&mut self, order: &Order, event: &OrderEvent, version: u64, at: Timestamp) {
        match event {
            OrderEvent::Placed(_) => {
                self.placed = true;
                self.payment = Some((version, at));
            }
            OrderEvent::AuthorizationRecorded(outcome) => {
                if matches!(outcome, AuthorizationOutcome::Approved { .. }) {
                    self.authorized_at.get_or_insert(at);
                }
                self.payment = Some((version, at));
            }
            OrderEvent::CaptureRecorded(outcome) => {
                if *outcome == SettlementOutcome::Done {
                    self.captured_at.get_or_insert(at);
                }
                self.payment = Some((version, at));
            }
            OrderEvent::Voided | OrderEvent::Canceled { .. } | OrderEvent::Expired => {
                self.payment = Some((version, at));
            }
            OrderEvent::RefundRequested { .. } => {
                let number = order.refunds().len().saturating_sub(1);
                self.refunded(u16::try_from(number).unwrap_or(u16::MAX), version, at);
            }
            OrderEvent::RefundRecorded { refund, .. } => {
                self.refunded(*refund, version, at);
                self.payment = Some((version, at));
            }
            OrderEvent::Confirmed => self.confirmed_at = Some(at),
            OrderEvent::Shipped => {
                self.shipped_at = Some(at);
                self.shipment = Some((version, at));
            }
            OrderEvent::Delivered => {
                self.delivered_at = Some(at);
                self.shipment = Some((version, at));
            }
            OrderEvent::LineAllocated { .. } | OrderEvent::LineReleased { .. } | OrderEvent::LineFulfilled { .. } => {}
        }
    }

    fn refunded(&mut self, number: u16, version: u64, at: Timestamp) {
        match self.refunds.iter_mut().find(|refund| refund.0 == number) {
            Some(refund) => (refund.1, refund.3) = (version, at),
            None => self.refunds.push((number, version, at, at)),
        }
    }

    /// All that a state has rows for. What a row that is there knows better stays: instants, and versions of parts.
    pub(super) fn of_state(order: &Order, version: u64, at: Timestamp) -> Self {
        let refunds = (0..).zip(order.refunds()).map(|(number, _)| (number, version, at, at)).collect();
        let left = matches!(order.status(), OrderStatus::Shipped | OrderStatus::Delivered);
        let shipment = left.then_some((version, at));
        Self { placed: true, payment: Some((version, at)), shipment, refunds, ..Self::default() }
    }
}
