//! A checkout on the wire: what is asked for, and the one answer to it.
//!
//! Invariant: the answer shows the order as it was placed, so that every retry with the same key gets the same bytes.

use holdfast_core::{
    CustomerId, OrderId, Quantity, SkuId, Timestamp,
    order::{OrderLine, Placement},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{as_instant, as_text, money::MoneyBody};
use crate::edge::body::quantity;

/// An order to place: from `lines`, or from a cart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrder {
    /// What to order, directly. Lines of one SKU are added up.
    pub(crate) lines: Option<Vec<NewLine>>,
    /// The token of the cart to order; without it and without lines the cart of `X-Cart-Token`.
    pub(crate) cart: Option<String>,
    /// Who per-customer limits count for: 1 to 64 printable characters of the storefront's choice.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,64}$")]
    pub(crate) customer: Option<CustomerId>,
    /// How it is paid.
    pub(crate) payment: NewPayment,
}

/// One line to order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLine {
    /// What.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "TEE-BLACK-M")]
    pub(crate) sku: SkuId,
    /// How many.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
    pub(crate) quantity: Quantity,
}

/// How an order is paid.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayment {
    /// The gateway's token for the means of payment: 1 to 128 of `A-Z a-z 0-9 _ - .`, never a card number.
    #[schema(pattern = "^[A-Za-z0-9._-]{1,128}$", example = "tok_approve")]
    pub(crate) token: String,
}

impl std::fmt::Debug for NewPayment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPayment(..)")
    }
}

/// The answer to a checkout. It is the same for every retry with the same key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlacedOrder<'a> {
    /// The order.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, example = "ord_0123456789abcdef0123456789abcdef")]
    id: OrderId,
    /// Always `placed`: payment is under way. Read the order for where it stands now.
    #[schema(example = "placed")]
    status: &'static str,
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
    /// Its lines with the prices frozen now.
    lines: Vec<PlacedLine<'a>>,
    /// The sum of the lines.
    total: MoneyBody,
    /// Reads the order, as `Authorization: Bearer`. Keep it: it is not shown again, except to a retry.
    buyer_token: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
struct PlacedLine<'a> {
    /// What.
    #[schema(value_type = String)]
    sku: &'a SkuId,
    /// How many.
    #[schema(value_type = u32)]
    quantity: Quantity,
    /// Price of one unit.
    unit_price: MoneyBody,
}

impl<'a> PlacedOrder<'a> {
    /// The order as it was when it was placed, whatever became of it since.
    pub(crate) fn new(id: OrderId, placement: &'a Placement, buyer_token: &'a str) -> Self {
        Self {
            id,
            status: "placed",
            placed_at: placement.placed_at,
            expires_at: placement.expires_at,
            customer: placement.customer.as_ref(),
            lines: placement.lines.iter().map(PlacedLine::from).collect(),
            total: placement.total.into(),
            buyer_token,
        }
    }
}

impl<'a> From<&'a OrderLine> for PlacedLine<'a> {
    fn from(line: &'a OrderLine) -> Self {
        Self { sku: &line.sku, quantity: line.quantity, unit_price: line.unit_price.into() }
    }
}
