//! The work an order is owed by others, derived from its state alone.
//!
//! Invariant: a step's id never changes, so doing it twice is doing it once; and once every answer has arrived there is
//! no step left.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Order, PaymentToken, RefundState, Sale,
    stage::{Capture, LineSet, Remains, Settlement, Stage},
};
use crate::{
    id::{HoldId, OrderId, SkuId},
    money::Money,
};

/// What one gateway call is for. With the order it makes the call's idempotency key, which never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GatewayCall {
    /// Reserve the total.
    Authorize,
    /// Take the reserved total.
    Capture,
    /// Let the reservation go; also refuses an authorization under the order's key that would come later.
    Void,
    /// Give money back: the n-th refund, from 0.
    Refund(u16),
}

/// The idempotency key of a gateway call: printed as `ord_...:authorize`, `ord_...:refund:0`. A retry uses the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayKey {
    /// The order.
    pub order: OrderId,
    /// The call.
    pub call: GatewayCall,
}

/// Work an order is owed by others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// By stock. The answer comes back as `LineAllocated`, `LineLost`, `LineReleased` or `LineFulfilled`.
    Stock {
        /// Which SKU.
        sku: SkuId,
        /// Which hold.
        hold: HoldId,
        /// What to do with it.
        action: StockAction,
    },
    /// By the payment gateway. The answer comes back as `RecordAuthorization`, `RecordCapture`, `RecordVoid` or
    /// `RecordRefund`.
    Gateway {
        /// The call and its key.
        key: GatewayKey,
        /// The amount it is about.
        amount: Money,
        /// The means of payment.
        token: PaymentToken,
        /// The gateway's name for the authorization, once there is one.
        reference: Option<String>,
    },
}

/// What stock shall do with a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StockAction {
    /// Bind it to the order.
    Allocate,
    /// Give the units back.
    Release,
    /// Let the units go.
    Fulfill,
}

impl fmt::Display for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.call {
            GatewayCall::Authorize => write!(f, "{}:authorize", self.order),
            GatewayCall::Capture => write!(f, "{}:capture", self.order),
            GatewayCall::Void => write!(f, "{}:void", self.order),
            GatewayCall::Refund(refund) => write!(f, "{}:refund:{refund}", self.order),
        }
    }
}

impl Order {
    /// What the order is owed now. Asked again after a crash, it says the same; once all is answered, nothing.
    pub fn next_steps(&self) -> Vec<Step> {
        let Some(sale) = &self.sale else { return Vec::new() };
        let mut steps = Vec::new();
        match &sale.stage {
            Stage::Placed => steps.push(self.gateway(sale, GatewayCall::Authorize, sale.placement.total, None)),
            Stage::Authorized { allocated, .. } => {
                steps.extend(self.stock(sale, StockAction::Allocate, *allocated));
            }
            Stage::Confirmed(settlement) => steps.extend(self.capture(sale, settlement)),
            Stage::Shipped { settlement, fulfilled } | Stage::Delivered { settlement, fulfilled } => {
                steps.extend(self.capture(sale, settlement));
                steps.extend(self.stock(sale, StockAction::Fulfill, *fulfilled));
            }
            Stage::Ended { remains, released, .. } => {
                steps.extend(self.void(sale, remains));
                let kept = planted!(HoldKeptOnCancel);
                steps.extend(self.stock(sale, StockAction::Release, *released).filter(|_| !kept));
            }
        }
        steps.extend(self.refunds_owed(sale));
        steps
    }

    /// `action` for every line that is not in `done`.
    fn stock(&self, sale: &Sale, action: StockAction, done: LineSet) -> impl Iterator<Item = Step> {
        let order = self.id;
        let lines = (0_u16..).zip(&sale.placement.lines).filter(move |(line, _)| !done.contains(*line));
        lines.map(move |(line, sold)| Step::Stock { sku: sold.sku.clone(), hold: HoldId { order, line }, action })
    }

    fn capture(&self, sale: &Sale, settlement: &Settlement) -> Option<Step> {
        let owed = settlement.capture == Capture::Open && sale.is_capture_asked();
        let reference = &settlement.reference;
        owed.then(|| self.gateway(sale, GatewayCall::Capture, sale.placement.total, Some(reference)))
    }

    fn void(&self, sale: &Sale, remains: &Remains) -> Option<Step> {
        let reference = match remains {
            Remains::Unanswered => None,
            Remains::Authorized { reference, .. } => Some(reference),
            Remains::Declined { .. } | Remains::Voided { .. } | Remains::Captured { .. } => return None,
        };
        let late = planted!(LateAuthorizationCaptured) && reference.is_some();
        let call = if late { GatewayCall::Capture } else { GatewayCall::Void };
        (!planted!(AuthorizationNotVoided)).then(|| self.gateway(sale, call, sale.placement.total, reference))
    }

    fn refunds_owed(&self, sale: &Sale) -> impl Iterator<Item = Step> {
        let refunds = (0_u16..).zip(sale.stage.refunds().map_or(&[][..], Vec::as_slice));
        let pending = refunds.filter(|(_, refund)| refund.state == RefundState::Pending);
        let reference = sale.stage.reference();
        pending.map(move |(number, refund)| self.gateway(sale, GatewayCall::Refund(number), refund.amount, reference))
    }

    fn gateway(&self, sale: &Sale, call: GatewayCall, amount: Money, reference: Option<&String>) -> Step {
        Step::Gateway {
            key: GatewayKey { order: self.id, call },
            amount,
            token: sale.placement.payment_token.clone(),
            reference: reference.cloned(),
        }
    }
}
