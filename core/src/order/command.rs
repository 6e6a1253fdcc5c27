//! What may be asked of an order, what has happened to it, and why it refuses. The events are on disk: variants keep
//! their order and their fields for ever.

use alloc::{string::String, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Order, OrderStatus, Placement};
use crate::money::{Money, MoneyError};

/// Why an order ended before it shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    /// The buyer asked.
    Buyer,
    /// The merchant asked.
    Merchant,
    /// The gateway declined the payment.
    PaymentDeclined,
    /// A hold had lapsed before it could be allocated.
    StockLost,
}

/// What a gateway said to an authorization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthorizationOutcome {
    /// The amount is reserved.
    Approved {
        /// The gateway's name for it.
        reference: String,
    },
    /// The means of payment was refused.
    Declined {
        /// The gateway's reason code.
        reason: String,
    },
}

/// What a gateway said to a capture or a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettlementOutcome {
    /// The money moved.
    Done,
    /// It will not move; an operator must look.
    Failed {
        /// The gateway's reason code.
        reason: String,
    },
}

/// What may be asked of an order. `expected_version` is the version of an `If-Match`, refused when stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderCommand {
    /// Bring it into being; its units are held. Repeating it for the same request changes nothing.
    Place(Arc<Placement>),
    /// The gateway answered the authorization.
    RecordAuthorization(AuthorizationOutcome),
    /// Stock allocated a line.
    LineAllocated {
        /// Which.
        line: u16,
    },
    /// Stock could not allocate a line: its hold was gone.
    LineLost {
        /// Which.
        line: u16,
    },
    /// Stock took a line's units back.
    LineReleased {
        /// Which.
        line: u16,
    },
    /// Stock let a line's units go.
    LineFulfilled {
        /// Which.
        line: u16,
    },
    /// The gateway answered the capture.
    RecordCapture(SettlementOutcome),
    /// The gateway confirmed the void.
    RecordVoid,
    /// The gateway answered a refund.
    RecordRefund {
        /// Which, from 0.
        refund: u16,
        /// What it said.
        outcome: SettlementOutcome,
    },
    /// End it before it ships. A captured amount is refunded, an authorized one voided.
    Cancel {
        /// Why.
        reason: CancelReason,
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Its payment deadline may have come.
    Expire,
    /// The goods leave the house.
    Ship {
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// The goods arrived.
    Deliver {
        /// The version the caller saw.
        expected_version: Option<u64>,
    },
    /// Give money back. Repeating it under the same `request` changes nothing.
    Refund {
        /// Digest of the request's idempotency key.
        request: u128,
        /// How much; everything that is left when `None`.
        amount: Option<Money>,
    },
}

/// What has happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    /// It came into being. Shared with the order's state and every answer that shows it: the largest value on the hot path.
    Placed(Arc<Placement>),
    /// The gateway answered the authorization; `Approved` after the end means the amount must be voided.
    AuthorizationRecorded(AuthorizationOutcome),
    /// A line's hold is an allocation now.
    LineAllocated {
        /// Which.
        line: u16,
    },
    /// A line's units are back in stock, or were never held any more.
    LineReleased {
        /// Which.
        line: u16,
    },
    /// A line's units left the house.
    LineFulfilled {
        /// Which.
        line: u16,
    },
    /// Every line is allocated.
    Confirmed,
    /// The money is the merchant's, or the capture failed for good.
    CaptureRecorded(SettlementOutcome),
    /// The authorization is void.
    Voided,
    /// A refund was asked for.
    RefundRequested {
        /// Digest of the request's idempotency key.
        request: u128,
        /// How much.
        amount: Money,
    },
    /// The gateway answered a refund.
    RefundRecorded {
        /// Which, from 0.
        refund: u16,
        /// What it said.
        outcome: SettlementOutcome,
    },
    /// It ended before it shipped.
    Canceled {
        /// Why.
        reason: CancelReason,
    },
    /// No payment in time.
    Expired,
    /// The goods left the house.
    Shipped,
    /// The goods arrived.
    Delivered,
}

/// Why an order refused a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderRejection {
    /// There is no such order.
    #[error("there is no such order")]
    NotFound,
    /// An order without lines, or with more than [`Order::MAX_LINES`].
    #[error("an order has 1 to {max} lines", max = Order::MAX_LINES)]
    LineCount,
    /// The lines are not all in one currency.
    #[error("all lines of an order must be in one currency")]
    MixedCurrencies,
    /// A line's price or the sum of all does not fit 64 bits of minor units.
    #[error("the lines cost more than can be counted")]
    Overflow,
    /// The total given is not the sum of the lines, or a price is negative.
    #[error("the total is not the sum of the lines")]
    Total,
    /// The same idempotency key made an order of another request.
    #[error("this idempotency key made an order of another request")]
    FingerprintMismatch,
    /// The command is not allowed where the order stands.
    #[error("an order that is {status} cannot be {action}")]
    IllegalTransition {
        /// Where it stands.
        status: OrderStatus,
        /// What was asked, as a past participle: `shipped`, `canceled` ...
        #[serde(deserialize_with = "known_action")]
        action: Action,
    },
    /// There is no such line.
    #[error("the order has no line {line}")]
    LineNotFound {
        /// The line named.
        line: u16,
    },
    /// More than what was captured and not yet refunded, or not a positive amount in the order's currency.
    #[error("{refundable} minor units can be refunded")]
    NotRefundable {
        /// What is left to refund, in minor units.
        refundable: i64,
    },
    /// There is no such refund.
    #[error("the order has no refund {refund}")]
    RefundNotFound {
        /// The refund named.
        refund: u16,
    },
    /// More refunds than one order may have, failed ones included.
    #[error("an order has at most {max} refunds", max = Order::MAX_REFUNDS)]
    TooManyRefunds,
    /// The caller saw another version.
    #[error("the order is at version {actual}, not {expected}")]
    StaleVersion {
        /// What the caller saw.
        expected: u64,
        /// What it is.
        actual: u64,
    },
}

/// Why lines could not be added up.
impl From<MoneyError> for OrderRejection {
    fn from(error: MoneyError) -> Self {
        match error {
            MoneyError::CurrencyMismatch { .. } => Self::MixedCurrencies,
            MoneyError::Overflow => Self::Overflow,
            MoneyError::UnknownCurrency | MoneyError::NoParts => Self::Total,
        }
    }
}

/// One of [`ACTIONS`]. By this name serde does not take it for something borrowed from what is read.
type Action = &'static str;

/// What an order can be refused to be.
pub(super) const ACTIONS: [&str; 8] =
    ["allocated", "released", "fulfilled", "captured", "voided", "canceled", "shipped", "delivered"];

/// Reads an action that another node named.
fn known_action<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let named = String::deserialize(deserializer)?;
    let known = ACTIONS.into_iter().find(|action| *action == named);
    known.ok_or_else(|| D::Error::unknown_variant(&named, &ACTIONS))
}
