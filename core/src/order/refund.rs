//! Money given back after it was captured.
//!
//! Invariant: refunds done and pending together never exceed what was captured. A failed one stays visible and counts for
//! nothing.

use alloc::{string::String, vec, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{Order, OrderEvent, OrderRejection, Sale, SettlementOutcome};
use crate::{id::OrderId, money::Money};

/// A refund, numbered by its place among the order's refunds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Digest of the request's idempotency key; the order's own id for what the order gives back by itself.
    pub request: u128,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub state: RefundState,
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundState {
    /// The gateway has not answered.
    Pending,
    /// The money went back.
    Done,
    /// It will not move; an operator must look.
    Failed {
        /// The gateway's reason code.
        reason: String,
    },
}

/// The request under which an order that ended gives back what was captured.
pub(super) const fn own_request(order: OrderId) -> u128 {
    order.as_u128()
}

/// The sum of the refunds that satisfy `counts`, in minor units.
fn sum(refunds: &[Refund], counts: fn(&RefundState) -> bool) -> i64 {
    let counted = refunds.iter().filter(|refund| counts(&refund.state));
    counted.fold(0, |sum, refund| sum.saturating_add(refund.amount.minor()))
}

impl Sale {
    /// Captured, in minor units: all of the total or nothing.
    pub(super) fn captured(&self) -> i64 {
        self.stage.refunds().map_or(0, |_| self.placement.total.minor())
    }

    /// Gone back for certain, in minor units.
    pub(super) fn refunded(&self) -> i64 {
        self.stage.refunds().map_or(0, |refunds| sum(refunds, |state| *state == RefundState::Done))
    }

    /// Captured, and neither refunded nor on its way back, in minor units.
    pub(super) fn refundable(&self) -> i64 {
        let spoken_for = |state: &RefundState| !matches!(state, RefundState::Failed { .. });
        let refunds = self.stage.refunds().map_or(0, |refunds| sum(refunds, spoken_for));
        self.captured().saturating_sub(refunds)
    }

    /// Whether everything that was captured went back.
    pub(super) fn is_fully_refunded(&self) -> bool {
        self.refunded() > 0 && self.refunded() >= self.captured()
    }

    pub(super) fn request_refund(
        &self,
        request: u128,
        amount: Option<Money>,
    ) -> Result<Vec<OrderEvent>, OrderRejection> {
        let refunds = self.stage.refunds().map_or(&[][..], Vec::as_slice);
        if refunds.iter().any(|refund| refund.request == request) && !planted!(RefundRepeated) {
            return Ok(Vec::new());
        }
        if refunds.len() >= Order::MAX_REFUNDS {
            return Err(OrderRejection::TooManyRefunds);
        }
        let currency = self.placement.total.currency();
        let refundable = self.refundable();
        let amount = amount.unwrap_or(Money::new(refundable, currency));
        let granted = planted!(RefundLargerThanCapture) || amount.minor() <= refundable;
        if amount.currency() != currency || !amount.is_positive() || !granted {
            return Err(OrderRejection::NotRefundable { refundable });
        }
        Ok(vec![OrderEvent::RefundRequested { request, amount }])
    }

    pub(super) fn record_refund(
        &self,
        refund: u16,
        outcome: SettlementOutcome,
    ) -> Result<Vec<OrderEvent>, OrderRejection> {
        let refunds = self.stage.refunds().map_or(&[][..], Vec::as_slice);
        let known = refunds.get(usize::from(refund)).ok_or(OrderRejection::RefundNotFound { refund })?;
        match (&known.state, &outcome) {
            (RefundState::Pending, _) => Ok(vec![OrderEvent::RefundRecorded { refund, outcome }]),
            // The gateway thought better of it. True, unless its place was taken by another refund in the meantime.
            (RefundState::Failed { .. }, SettlementOutcome::Done) => {
                let refundable = self.refundable();
                if known.amount.minor() > refundable {
                    return Err(OrderRejection::NotRefundable { refundable });
                }
                Ok(vec![OrderEvent::RefundRecorded { refund, outcome }])
            }
            (RefundState::Done | RefundState::Failed { .. }, _) => Ok(Vec::new()),
        }
    }
}
