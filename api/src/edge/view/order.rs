//! Orders on the wire, once they are placed.

use std::fmt::Display;

use holdfast_actors::OrderSummary;
use holdfast_core::{
    CustomerId, Entity as _, OrderId, Quantity, SkuId, Timestamp,
    order::{CancelReason, LineStock, Order, OrderLine, OrderStatus, PaymentStatus, Refund, RefundState},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{as_instant, as_text, money::MoneyBody};

/// Where an order shall go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusChange {
    /// The new status.
    pub(crate) status: NewStatus,
}

/// The statuses the merchant may set.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NewStatus {
    /// The goods leave the house.
    Shipped,
    /// The goods arrived.
    Delivered,
    /// It ends before it ships.
    Canceled,
}

/// Money to give back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRefund {
    /// How much; all that is left without it.
    pub(crate) amount: Option<MoneyBody>,
}

/// An order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Order)]
pub(crate) struct OrderBody<'a> {
    /// The order.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    id: OrderId,
    /// Where it stands.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, example = "confirmed")]
    status: OrderStatus,
    /// Why it was canceled, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<&'static str>,
    /// When it was placed.
    #[serde(serialize_with = "as_instant")]
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// Until when its units are held for the payment.
    #[serde(serialize_with = "as_instant")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// The customer named.
    #[schema(value_type = Option<String>)]
    customer: Option<&'a CustomerId>,
    /// Its lines.
    lines: Vec<LineBody<'a>>,
    /// The sum of the lines.
    total: MoneyBody,
    /// Its payment.
    payment: Option<PaymentBody<'a>>,
    /// What was given back, or is to be, in the order it was asked for.
    refunds: Vec<RefundBody<'a>>,
    /// Its version, for `If-Match: "o{version}"`.
    version: u64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
struct LineBody<'a> {
    /// What.
    #[schema(value_type = String)]
    sku: &'a SkuId,
    /// How many.
    #[schema(value_type = u32)]
    quantity: Quantity,
    /// Price of one unit, frozen when the order was placed.
    unit_price: MoneyBody,
    /// Where the units are: `held`, `allocated`, `fulfilled`, `releasing`, `released`.
    stock: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Payment)]
struct PaymentBody<'a> {
    /// `pending`, `authorized`, `declined`, `captured`, `voided`, `failed`.
    status: &'static str,
    /// The gateway's reason code of a declined or failed payment.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What was captured.
    captured: MoneyBody,
    /// What went back for certain.
    refunded: MoneyBody,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Refund)]
struct RefundBody<'a> {
    /// Its number within the order, from 0.
    number: usize,
    /// How much.
    amount: MoneyBody,
    /// `pending`, `done`, `failed`.
    state: &'static str,
    /// The gateway's reason code of a failed refund.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> OrderBody<'a> {
    /// The order as it stands; `None` when it does not exist.
    pub(crate) fn new(order: &'a Order) -> Option<Self> {
        let placement = order.placement()?;
        Some(Self {
            id: order.id(),
            status: order.status(),
            cancel_reason: order.cancel_reason().map(reason_word),
            placed_at: placement.placed_at,
            expires_at: placement.expires_at,
            customer: placement.customer.as_ref(),
            lines: order.lines().map(LineBody::from).collect(),
            total: placement.total.into(),
            payment: order.payment().map(|payment| PaymentBody {
                status: payment_word(payment.status),
                reason: payment.reason,
                captured: payment.captured.into(),
                refunded: payment.refunded.into(),
            }),
            refunds: order.refunds().iter().enumerate().map(RefundBody::from).collect(),
            version: order.version(),
        })
    }
}

impl<'a> From<(&'a OrderLine, LineStock)> for LineBody<'a> {
    fn from((line, stock): (&'a OrderLine, LineStock)) -> Self {
        let stock = match stock {
            LineStock::Held => "held",
            LineStock::Allocated => "allocated",
            LineStock::Fulfilled => "fulfilled",
            LineStock::Releasing => "releasing",
            LineStock::Released => "released",
        };
        Self { sku: &line.sku, quantity: line.quantity, unit_price: line.unit_price.into(), stock }
    }
}

impl<'a> From<(usize, &'a Refund)> for RefundBody<'a> {
    fn from((number, refund): (usize, &'a Refund)) -> Self {
        let (state, reason) = match &refund.state {
            RefundState::Pending => ("pending", None),
            RefundState::Done => ("done", None),
            RefundState::Failed { reason } => ("failed", Some(reason.as_str())),
        };
        Self { number, amount: refund.amount.into(), state, reason }
    }
}

fn reason_word(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Buyer => "buyer",
        CancelReason::Merchant => "merchant",
        CancelReason::PaymentDeclined => "payment_declined",
        CancelReason::StockLost => "stock_lost",
    }
}

fn payment_word(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Pending => "pending",
        PaymentStatus::Authorized => "authorized",
        PaymentStatus::Declined => "declined",
        PaymentStatus::Captured => "captured",
        PaymentStatus::Voided => "voided",
        PaymentStatus::Failed => "failed",
    }
}

/// The tag of an order.
pub(crate) fn tag(order: &Order) -> impl Display {
    format!("o{}", order.version())
}

/// An accepted refund. It is the same for every retry with the same key; the order shows what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedRefund {
    /// The order.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    pub(crate) order: OrderId,
    /// Its number within the order, from 0.
    pub(crate) number: usize,
    /// How much goes back.
    pub(crate) amount: MoneyBody,
}

/// A page of orders, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderPage<'a> {
    /// The orders.
    pub(crate) items: Vec<SummaryBody<'a>>,
    /// Pass it on as `cursor` for the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// An order in a listing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrderSummary)]
pub(crate) struct SummaryBody<'a> {
    /// The order.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    id: OrderId,
    /// Where it stands.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    status: OrderStatus,
    /// When it was placed.
    #[serde(serialize_with = "as_instant")]
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// The customer named.
    #[schema(value_type = Option<String>)]
    customer: Option<&'a CustomerId>,
    /// The sum of its lines.
    total: MoneyBody,
}

impl<'a> From<&'a OrderSummary> for SummaryBody<'a> {
    fn from(summary: &'a OrderSummary) -> Self {
        Self {
            id: summary.id,
            status: summary.status,
            placed_at: summary.placed_at,
            customer: summary.customer.as_ref(),
            total: summary.total.into(),
        }
    }
}
