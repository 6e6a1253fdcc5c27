//! An order with its payment inside: from placed to delivered, or to one of its ends.
//!
//! The flow: *placed* (units held) -> payment authorized -> every hold allocated -> *confirmed* -> *shipped* ->
//! *delivered*. Money is captured only for units that are allocated, so nobody is charged for what they do not get; an
//! authorization that arrives after the order ended is voided.
//!
//! `next_steps` says what the order is owed by stock and by the payment gateway, from its state alone: after a crash it is
//! asked again. Every step has a deterministic id, so a repeat is harmless.

mod apply;
mod command;
mod decide;
mod listing;
mod placement;
mod refund;
mod stage;
mod status;
mod step;
mod view;

use alloc::{boxed::Box, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

pub use command::{AuthorizationOutcome, CancelReason, OrderCommand, OrderEvent, OrderRejection, SettlementOutcome};
pub use listing::{OrderQuery, OrderSummary};
pub use placement::{CapturePolicy, OrderLine, PaymentToken, PaymentTokenError, Placement};
pub use refund::{Refund, RefundState};
pub use status::OrderStatus;
pub use step::{GatewayCall, GatewayKey, Step, StockAction};
pub use view::{LineStock, PaymentStatus, PaymentView};

use crate::{entity::Entity, id::OrderId, time::Timestamp};
use stage::Stage;

/// An order with its payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    id: OrderId,
    version: u64,
    /// Boxed, so that a place for any entity is not as large as an order.
    sale: Option<Box<Sale>>,
}

/// What a placed order is: what was fixed then, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sale {
    placement: Arc<Placement>,
    stage: Stage,
}

impl Order {
    /// The most lines of one order.
    pub const MAX_LINES: usize = 100;

    /// The most refunds of one order, failed ones included.
    pub const MAX_REFUNDS: usize = 100;

    /// The order `id` before anything has happened to it: it does not exist yet.
    pub const fn new(id: OrderId) -> Self {
        Self { id, version: 0, sale: None }
    }

    /// Which order it is.
    pub const fn id(&self) -> OrderId {
        self.id
    }

    /// What was fixed when it was placed; `None` when it does not exist yet.
    pub fn placement(&self) -> Option<&Placement> {
        self.sale.as_ref().map(|sale| sale.placement.as_ref())
    }

    /// Whether it owes nothing and waits for nothing: no step is left and no deadline. It may still be shipped, delivered
    /// or refunded.
    pub fn is_settled(&self) -> bool {
        self.next_deadline().is_none() && self.next_steps().is_empty()
    }
}

impl Entity for Order {
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Rejection = OrderRejection;

    fn decide(&self, command: OrderCommand, now: Timestamp) -> Result<Vec<OrderEvent>, OrderRejection> {
        self.decide_at(command, now)
    }

    fn apply(&mut self, event: &OrderEvent) {
        self.take_in(event);
    }

    fn version(&self) -> u64 {
        self.version
    }

    /// The payment deadline. An authorized order has none: its allocation is on its way, whatever the hour.
    fn next_deadline(&self) -> Option<Timestamp> {
        let sale = self.sale.as_ref()?;
        matches!(sale.stage, Stage::Placed).then_some(sale.placement.expires_at)
    }
}
