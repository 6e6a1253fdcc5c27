//! How a fact changes an order. A fact never fails; one that does not fit the state is a bug and changes only the version.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::mem;

use super::{
    AuthorizationOutcome, CancelReason, Order, OrderEvent, Refund, RefundState, Sale, SettlementOutcome,
    stage::{Capture, End, LineSet, Remains, Settlement, Stage},
};

impl Order {
    pub(super) fn take_in(&mut self, event: &OrderEvent) {
        self.version = self.version.saturating_add(1);
        match (event, &mut self.sale) {
            (OrderEvent::Placed(placement), sale @ None) => {
                *sale = Some(Box::new(Sale { placement: Arc::clone(placement), stage: Stage::Placed }));
            }
            (event, Some(sale)) => sale.take_in(event),
            (event, None) => debug_assert!(false, "{event:?} before the order was placed"),
        }
    }
}

impl Sale {
    fn take_in(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::Placed(_) => debug_assert!(false, "placed twice"),
            OrderEvent::AuthorizationRecorded(outcome) => self.authorization(outcome),
            OrderEvent::LineAllocated { line } => self.allocated(*line),
            OrderEvent::LineReleased { line } => self.released(*line),
            OrderEvent::LineFulfilled { line } => self.fulfilled(*line),
            OrderEvent::Confirmed => self.advance(|stage| match stage {
                Stage::Authorized { reference, .. } => Stage::Confirmed(Settlement::of(reference)),
                other => misfit(other),
            }),
            OrderEvent::CaptureRecorded(outcome) => self.capture(outcome),
            OrderEvent::Voided => self.voided(),
            OrderEvent::RefundRequested { request, amount } => match self.stage.refunds_mut() {
                Some(refunds) => {
                    refunds.push(Refund { request: *request, amount: *amount, state: RefundState::Pending });
                }
                None => debug_assert!(false, "a refund of nothing"),
            },
            OrderEvent::RefundRecorded { refund, outcome } => self.refund(*refund, outcome),
            OrderEvent::Canceled { reason } => self.end(End::Canceled(*reason)),
            OrderEvent::Expired => self.end(End::Expired),
            OrderEvent::Shipped => self.advance(|stage| match stage {
                Stage::Confirmed(settlement) => Stage::Shipped { settlement, fulfilled: LineSet::NONE },
                other => misfit(other),
            }),
            OrderEvent::Delivered => self.advance(|stage| match stage {
                Stage::Shipped { settlement, fulfilled } => Stage::Delivered { settlement, fulfilled },
                other => misfit(other),
            }),
        }
    }

    fn authorization(&mut self, outcome: &AuthorizationOutcome) {
        self.advance(|stage| match (stage, outcome.clone()) {
            (Stage::Placed, AuthorizationOutcome::Approved { reference }) => {
                Stage::Authorized { reference, allocated: LineSet::NONE }
            }
            (Stage::Placed, AuthorizationOutcome::Declined { reason }) => Stage::Ended {
                end: End::Canceled(CancelReason::PaymentDeclined),
                remains: Remains::Declined { reason },
                released: LineSet::NONE,
            },
            (Stage::Ended { end, released, .. }, AuthorizationOutcome::Approved { reference }) => {
                Stage::Ended { end, remains: Remains::Authorized { reference, capturing: false }, released }
            }
            (Stage::Ended { end, released, .. }, AuthorizationOutcome::Declined { reason }) => {
                Stage::Ended { end, remains: Remains::Declined { reason }, released }
            }
            (other, _) => misfit(other),
        });
    }

    fn allocated(&mut self, line: u16) {
        match &mut self.stage {
            Stage::Authorized { allocated, .. } => *allocated = allocated.with(line),
            _ => debug_assert!(false, "line {line} allocated without an authorization"),
        }
    }

    fn released(&mut self, line: u16) {
        match &mut self.stage {
            Stage::Ended { released, .. } => *released = released.with(line),
            _ => debug_assert!(false, "line {line} released before the order ended"),
        }
    }

    fn fulfilled(&mut self, line: u16) {
        match &mut self.stage {
            Stage::Shipped { fulfilled, .. } | Stage::Delivered { fulfilled, .. } => *fulfilled = fulfilled.with(line),
            _ => debug_assert!(false, "line {line} fulfilled before the order shipped"),
        }
    }

    fn capture(&mut self, outcome: &SettlementOutcome) {
        if let Some(settlement) = self.stage.settlement_mut() {
            settlement.capture = match outcome {
                SettlementOutcome::Done => Capture::Done { refunds: Vec::new() },
                SettlementOutcome::Failed { reason } => Capture::Failed { reason: reason.clone() },
            };
            return;
        }
        self.advance(|stage| match stage {
            Stage::Ended { end, remains: Remains::Unanswered, released } => Stage::Ended {
                end,
                remains: Remains::Captured { reference: String::new(), refunds: Vec::new() },
                released,
            },
            Stage::Ended {
                end,
                remains: Remains::Authorized { reference, .. } | Remains::Voided { reference: Some(reference), .. },
                released,
            } => Stage::Ended { end, remains: Remains::Captured { reference, refunds: Vec::new() }, released },
            other => misfit(other),
        });
    }

    fn voided(&mut self) {
        self.advance(|stage| match stage {
            Stage::Ended { end, remains: Remains::Unanswered, released } => {
                Stage::Ended { end, remains: Remains::Voided { reference: None, capturing: false }, released }
            }
            Stage::Ended { end, remains: Remains::Authorized { reference, capturing }, released } => {
                Stage::Ended { end, remains: Remains::Voided { reference: Some(reference), capturing }, released }
            }
            other => misfit(other),
        });
    }

    fn refund(&mut self, refund: u16, outcome: &SettlementOutcome) {
        let refunds = self.stage.refunds_mut();
        let Some(refund) = refunds.and_then(|refunds| refunds.get_mut(usize::from(refund))) else {
            debug_assert!(false, "refund {refund} was never requested");
            return;
        };
        refund.state = match outcome {
            SettlementOutcome::Done => RefundState::Done,
            SettlementOutcome::Failed { reason } => RefundState::Failed { reason: reason.clone() },
        };
    }

    fn end(&mut self, end: End) {
        let capture_asked = self.is_capture_asked();
        self.advance(|stage| {
            let remains = match stage {
                Stage::Placed => Remains::Unanswered,
                Stage::Authorized { reference, .. } => Remains::Authorized { reference, capturing: false },
                Stage::Confirmed(settlement) => settlement.into_remains(capture_asked),
                // A declined payment ended it by itself.
                Stage::Ended { .. } => return stage,
                Stage::Shipped { .. } | Stage::Delivered { .. } => return misfit(stage),
            };
            Stage::Ended { end, remains, released: LineSet::NONE }
        });
    }

    fn advance(&mut self, next: impl FnOnce(Stage) -> Stage) {
        self.stage = next(mem::replace(&mut self.stage, Stage::Placed));
    }
}

/// A fact that does not fit: a bug, met by staying where the order is.
fn misfit(stage: Stage) -> Stage {
    debug_assert!(false, "a fact that does not fit {stage:?}");
    stage
}
