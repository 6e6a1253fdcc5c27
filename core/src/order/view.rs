//! What an order shows to those who may read it: payment, refunds and lines in words that do not depend on how the order
//! keeps them.

use alloc::vec::Vec;

use super::{
    CancelReason, CapturePolicy, Order, OrderLine, OrderStatus, Refund, Sale,
    stage::{Capture, End, LineSet, Remains, Stage},
};
use crate::money::Money;

/// Where an order's payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStatus {
    /// The authorization is unanswered.
    Pending,
    /// The total is reserved.
    Authorized,
    /// The means of payment was refused.
    Declined,
    /// The total was captured; see the refunded amount for what went back.
    Captured,
    /// The reservation was let go.
    Voided,
    /// The capture failed; an operator must look.
    Failed,
}

/// An order's payment, for showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentView<'a> {
    /// Where it stands.
    pub status: PaymentStatus,
    /// The gateway's name for the authorization, once there was one.
    pub reference: Option<&'a str>,
    /// The gateway's reason code, of a declined or failed payment.
    pub reason: Option<&'a str>,
    /// What was captured: the total or nothing.
    pub captured: Money,
    /// What went back for certain; pending refunds are not in it.
    pub refunded: Money,
}

/// Where the units of an order's line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineStock {
    /// Under a hold that expires.
    Held,
    /// Bound to the order.
    Allocated,
    /// Out of the house.
    Fulfilled,
    /// The order ended; the units are on their way back.
    Releasing,
    /// Back in stock.
    Released,
}

impl Order {
    /// Where it stands, in the words of the API. An order that does not exist yet ([`Order::placement`] is `None`) is about
    /// to be placed.
    pub fn status(&self) -> OrderStatus {
        self.sale.as_ref().map_or(OrderStatus::Placed, |sale| sale.status())
    }

    /// Its payment; `None` when it does not exist yet.
    pub fn payment(&self) -> Option<PaymentView<'_>> {
        self.sale.as_ref().map(|sale| sale.payment())
    }

    /// Its refunds in the order they were asked for: the place of one is its number.
    pub fn refunds(&self) -> &[Refund] {
        self.sale.as_ref().and_then(|sale| sale.stage.refunds()).map_or(&[], Vec::as_slice)
    }

    /// Its lines and where their units are.
    pub fn lines(&self) -> impl Iterator<Item = (&OrderLine, LineStock)> {
        let lines =
            self.sale.as_ref().map(|sale| (0_u16..).zip(&sale.placement.lines).map(|(n, l)| (l, sale.line_stock(n))));
        lines.into_iter().flatten()
    }

    /// Why it was canceled, if it was.
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        match self.sale.as_ref()?.stage {
            Stage::Ended { end: End::Canceled(reason), .. } => Some(reason),
            _ => None,
        }
    }
}

impl Sale {
    /// An order that ended says so, whatever was refunded; one that did not says first what went back.
    pub(super) fn status(&self) -> OrderStatus {
        let progress = match &self.stage {
            Stage::Ended { end: End::Canceled(_), .. } => return OrderStatus::Canceled,
            Stage::Ended { end: End::Expired, .. } => return OrderStatus::Expired,
            Stage::Placed => OrderStatus::Placed,
            Stage::Authorized { .. } => OrderStatus::Authorized,
            Stage::Confirmed(_) => OrderStatus::Confirmed,
            Stage::Shipped { .. } => OrderStatus::Shipped,
            Stage::Delivered { .. } => OrderStatus::Delivered,
        };
        match self.refunded() {
            0 => progress,
            _ if self.is_fully_refunded() => OrderStatus::Refunded,
            _ => OrderStatus::PartiallyRefunded,
        }
    }

    /// Whether the gateway has been, or is to be, asked for the money.
    pub(super) fn is_capture_asked(&self) -> bool {
        match &self.stage {
            Stage::Confirmed(_) => self.placement.capture == CapturePolicy::OnConfirmation,
            Stage::Shipped { .. } | Stage::Delivered { .. } => true,
            Stage::Placed | Stage::Authorized { .. } | Stage::Ended { .. } => false,
        }
    }

    /// Every line.
    pub(super) fn all_lines(&self) -> LineSet {
        LineSet::first(self.placement.lines.len())
    }

    fn payment(&self) -> PaymentView<'_> {
        let (status, reason) = self.payment_status();
        let currency = self.placement.total.currency();
        PaymentView {
            status,
            reference: self.stage.reference().map(|reference| &**reference),
            reason,
            captured: Money::new(self.captured(), currency),
            refunded: Money::new(self.refunded(), currency),
        }
    }

    fn payment_status(&self) -> (PaymentStatus, Option<&str>) {
        if let Some(settlement) = self.stage.settlement() {
            return match &settlement.capture {
                Capture::Open => (PaymentStatus::Authorized, None),
                Capture::Failed { reason } => (PaymentStatus::Failed, Some(reason)),
                Capture::Done { .. } => (PaymentStatus::Captured, None),
            };
        }
        match &self.stage {
            Stage::Authorized { .. } => (PaymentStatus::Authorized, None),
            Stage::Ended { remains, .. } => match remains {
                Remains::Unanswered => (PaymentStatus::Pending, None),
                Remains::Declined { reason } => (PaymentStatus::Declined, Some(reason)),
                Remains::Authorized { .. } => (PaymentStatus::Authorized, None),
                Remains::Voided { .. } => (PaymentStatus::Voided, None),
                Remains::Captured { .. } => (PaymentStatus::Captured, None),
            },
            Stage::Placed | Stage::Confirmed(_) | Stage::Shipped { .. } | Stage::Delivered { .. } => {
                (PaymentStatus::Pending, None)
            }
        }
    }

    fn line_stock(&self, line: u16) -> LineStock {
        match &self.stage {
            Stage::Authorized { allocated, .. } if allocated.contains(line) => LineStock::Allocated,
            Stage::Placed | Stage::Authorized { .. } => LineStock::Held,
            Stage::Confirmed(_) => LineStock::Allocated,
            Stage::Shipped { fulfilled, .. } | Stage::Delivered { fulfilled, .. } => {
                if fulfilled.contains(line) {
                    LineStock::Fulfilled
                } else {
                    LineStock::Allocated
                }
            }
            Stage::Ended { released, .. } if released.contains(line) => LineStock::Released,
            Stage::Ended { .. } => LineStock::Releasing,
        }
    }
}
