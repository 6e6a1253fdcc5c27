//! Which facts follow from a command to an order.
//!
//! Answers from stock and from the gateway arrive at least once and in any order. One that is known already, or that no
//! longer matters, changes nothing; money that turns out to have moved for an order that ended is always taken back.

use alloc::{sync::Arc, vec, vec::Vec};

use super::{
    AuthorizationOutcome, CancelReason, Order, OrderCommand, OrderEvent, OrderRejection, Placement, Sale,
    SettlementOutcome,
    command::ACTIONS,
    refund::own_request,
    stage::{Capture, End, Remains, Stage},
};
use crate::{id::OrderId, money::Money, time::Timestamp};

type Decision = Result<Vec<OrderEvent>, OrderRejection>;

/// Done before, or nothing to do.
const NOTHING: Decision = Ok(Vec::new());

/// Whether `again` asks for what was `placed`.
fn is_repeat(placed: &Placement, again: &Placement) -> bool {
    let lines = again.lines.iter().map(|line| (&line.sku, line.quantity));
    placed.is_for(again.buyer, again.customer.as_ref(), &again.payment_token, again.fingerprint, lines)
}

impl Order {
    pub(super) fn decide_at(&self, command: OrderCommand, now: Timestamp) -> Decision {
        let Some(sale) = &self.sale else {
            return match command {
                OrderCommand::Place(placement) => place(placement),
                _ => Err(OrderRejection::NotFound),
            };
        };
        match command {
            OrderCommand::Place(placement) if is_repeat(&sale.placement, &placement) => NOTHING,
            OrderCommand::Place(_) => Err(OrderRejection::FingerprintMismatch),
            OrderCommand::RecordAuthorization(outcome) => Ok(sale.record_authorization(outcome)),
            OrderCommand::LineAllocated { line } => sale.line_allocated(line),
            OrderCommand::LineLost { line } => sale.line_lost(line),
            OrderCommand::LineReleased { line } => sale.line_released(line),
            OrderCommand::LineFulfilled { line } => sale.line_fulfilled(line),
            OrderCommand::RecordCapture(outcome) => sale.record_capture(self.id, outcome),
            OrderCommand::RecordVoid => sale.record_void(),
            OrderCommand::RecordRefund { refund, outcome } => sale.record_refund(refund, outcome),
            OrderCommand::Cancel { reason, expected_version } => {
                self.check_version(expected_version)?;
                sale.cancel(self.id, reason)
            }
            OrderCommand::Expire => Ok(sale.expire(now)),
            OrderCommand::Ship { expected_version } => {
                self.check_version(expected_version)?;
                sale.ship()
            }
            OrderCommand::Deliver { expected_version } => {
                self.check_version(expected_version)?;
                sale.deliver()
            }
            OrderCommand::Refund { request, amount } => sale.request_refund(request, amount),
        }
    }

    fn check_version(&self, expected_version: Option<u64>) -> Result<(), OrderRejection> {
        match expected_version {
            Some(expected) if expected != self.version => {
                Err(OrderRejection::StaleVersion { expected, actual: self.version })
            }
            _ => Ok(()),
        }
    }
}

fn place(placement: Arc<Placement>) -> Decision {
    if placement.lines.is_empty() || placement.lines.len() > Order::MAX_LINES {
        return Err(OrderRejection::LineCount);
    }
    let mut sum = Money::zero(placement.total.currency());
    for line in &placement.lines {
        if line.unit_price.is_negative() {
            return Err(OrderRejection::Total);
        }
        sum = sum.checked_add(line.unit_price.checked_mul(line.quantity)?)?;
    }
    if sum != placement.total {
        return Err(OrderRejection::Total);
    }
    Ok(vec![OrderEvent::Placed(placement)])
}

impl Sale {
    fn record_authorization(&self, outcome: AuthorizationOutcome) -> Vec<OrderEvent> {
        let is_news = match (&self.stage, &outcome) {
            (Stage::Placed, AuthorizationOutcome::Declined { .. }) => {
                let reason = CancelReason::PaymentDeclined;
                return vec![OrderEvent::AuthorizationRecorded(outcome), OrderEvent::Canceled { reason }];
            }
            (Stage::Placed, AuthorizationOutcome::Approved { .. }) => true,
            (Stage::Ended { remains, .. }, AuthorizationOutcome::Approved { .. }) => matches!(
                remains,
                Remains::Unanswered | Remains::Declined { .. } | Remains::Voided { reference: None, .. }
            ),
            (Stage::Ended { remains, .. }, AuthorizationOutcome::Declined { .. }) => *remains == Remains::Unanswered,
            _ => false,
        };
        if is_news { vec![OrderEvent::AuthorizationRecorded(outcome)] } else { Vec::new() }
    }

    fn line_allocated(&self, line: u16) -> Decision {
        self.check_line(line)?;
        match &self.stage {
            Stage::Placed => self.illegal("allocated"),
            Stage::Authorized { allocated, .. } if allocated.contains(line) => NOTHING,
            Stage::Authorized { allocated, .. } => {
                let all = allocated.with(line) == self.all_lines();
                let event = OrderEvent::LineAllocated { line };
                Ok(if all { vec![event, OrderEvent::Confirmed] } else { vec![event] })
            }
            // Known already, or the order ended meanwhile: the release it asks for covers allocations too.
            Stage::Confirmed(_) | Stage::Shipped { .. } | Stage::Delivered { .. } | Stage::Ended { .. } => NOTHING,
        }
    }

    fn line_lost(&self, line: u16) -> Decision {
        self.check_line(line)?;
        match &self.stage {
            Stage::Placed => self.illegal("allocated"),
            Stage::Authorized { allocated, .. } if !allocated.contains(line) => {
                let reason = CancelReason::StockLost;
                Ok(vec![OrderEvent::Canceled { reason }, OrderEvent::LineReleased { line }])
            }
            _ => NOTHING,
        }
    }

    fn line_released(&self, line: u16) -> Decision {
        self.check_line(line)?;
        match &self.stage {
            Stage::Ended { released, .. } if released.contains(line) => NOTHING,
            Stage::Ended { .. } => Ok(vec![OrderEvent::LineReleased { line }]),
            _ => self.illegal("released"),
        }
    }

    fn line_fulfilled(&self, line: u16) -> Decision {
        self.check_line(line)?;
        match &self.stage {
            Stage::Shipped { fulfilled, .. } | Stage::Delivered { fulfilled, .. } if fulfilled.contains(line) => {
                NOTHING
            }
            Stage::Shipped { .. } | Stage::Delivered { .. } => Ok(vec![OrderEvent::LineFulfilled { line }]),
            _ => self.illegal("fulfilled"),
        }
    }

    fn record_capture(&self, id: OrderId, outcome: SettlementOutcome) -> Decision {
        let done = outcome == SettlementOutcome::Done;
        if let Some(settlement) = self.stage.settlement() {
            return match &settlement.capture {
                Capture::Open if !self.is_capture_asked() => self.illegal("captured"),
                Capture::Open => Ok(vec![OrderEvent::CaptureRecorded(outcome)]),
                Capture::Failed { .. } if done => Ok(vec![OrderEvent::CaptureRecorded(outcome)]),
                Capture::Failed { .. } | Capture::Done { .. } => NOTHING,
            };
        }
        match &self.stage {
            // Money was taken for an order that ended, by the capture under way or, where none had been asked for, by hand
            // at the gateway, which says so when it is asked to void: what was taken goes back.
            Stage::Ended {
                remains:
                    Remains::Unanswered
                    | Remains::Authorized { .. }
                    | Remains::Voided { reference: Some(_), capturing: true },
                ..
            } if done => {
                let mut events = vec![OrderEvent::CaptureRecorded(outcome)];
                events.extend(own_refund(id, self.placement.total));
                Ok(events)
            }
            Stage::Ended {
                remains:
                    Remains::Captured { .. }
                    | Remains::Authorized { capturing: true, .. }
                    | Remains::Voided { reference: Some(_), capturing: true },
                ..
            } => NOTHING,
            _ => self.illegal("captured"),
        }
    }

    fn record_void(&self) -> Decision {
        match &self.stage {
            Stage::Ended { remains: Remains::Unanswered | Remains::Authorized { .. }, .. } => {
                Ok(vec![OrderEvent::Voided])
            }
            Stage::Ended { .. } => NOTHING,
            _ => self.illegal("voided"),
        }
    }

    fn cancel(&self, id: OrderId, reason: CancelReason) -> Decision {
        match &self.stage {
            Stage::Placed | Stage::Authorized { .. } | Stage::Confirmed(_) => {
                let mut events = vec![OrderEvent::Canceled { reason }];
                events.extend(own_refund(id, Money::new(self.refundable(), self.placement.total.currency())));
                Ok(events)
            }
            Stage::Ended { end: End::Canceled(_), .. } => NOTHING,
            Stage::Shipped { .. } | Stage::Delivered { .. } | Stage::Ended { end: End::Expired, .. } => {
                self.illegal("canceled")
            }
        }
    }

    fn expire(&self, now: Timestamp) -> Vec<OrderEvent> {
        let due = matches!(self.stage, Stage::Placed) && now >= self.placement.expires_at;
        if due { vec![OrderEvent::Expired] } else { Vec::new() }
    }

    /// Goods leave the house only for money: not when the capture failed, nor when all of it went back.
    fn ship(&self) -> Decision {
        match &self.stage {
            Stage::Confirmed(settlement)
                if !self.is_fully_refunded() && !matches!(settlement.capture, Capture::Failed { .. }) =>
            {
                Ok(vec![OrderEvent::Shipped])
            }
            Stage::Shipped { .. } | Stage::Delivered { .. } => NOTHING,
            _ => self.illegal("shipped"),
        }
    }

    fn deliver(&self) -> Decision {
        match &self.stage {
            Stage::Shipped { .. } => Ok(vec![OrderEvent::Delivered]),
            Stage::Delivered { .. } => NOTHING,
            _ => self.illegal("delivered"),
        }
    }

    fn check_line(&self, line: u16) -> Result<(), OrderRejection> {
        self.placement.lines.get(usize::from(line)).map(|_| ()).ok_or(OrderRejection::LineNotFound { line })
    }

    fn illegal(&self, action: &'static str) -> Decision {
        // Another node reads the refusal only if it knows the word.
        debug_assert!(ACTIONS.contains(&action), "{action} is missing in the list");
        Err(OrderRejection::IllegalTransition { status: self.status(), action })
    }
}

/// What an order that ended gives back by itself, if anything.
fn own_refund(id: OrderId, amount: Money) -> Option<OrderEvent> {
    amount.is_positive().then(|| OrderEvent::RefundRequested { request: own_request(id), amount })
}
