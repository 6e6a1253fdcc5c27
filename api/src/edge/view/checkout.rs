//! A checkout on the wire: what is asked for, and the one answer to it.
//!
//! Invariant: the answer shows the order as it was placed, so that every retry with the same key gets the same bytes.

use holdfast_core::{
    CustomerId, OrderId, Quantity, SkuId, Timestamp,
    order::{OrderLine, Placement},
};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::{as_instant, as_text, money::MoneyBody};
use crate::edge::{body::quantity, instant};

/// Room for the answer to an order of a line or two, in bytes.
const TYPICAL_BYTES: usize = 512;

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
    #[serde(serialize_with = "as_placed_lines")]
    #[schema(value_type = Vec<PlacedLine>)]
    lines: &'a [OrderLine],
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
            lines: &placement.lines,
            total: placement.total.into(),
            buyer_token,
        }
    }

    /// The answer as JSON: what serde makes of it, byte for byte, in a fifth of its instructions. Why by hand: a sale sends
    /// this more than anything else, and serde looks for something to escape in every byte of ids, instants and tokens
    /// that are made of letters and digits.
    pub(crate) fn to_json(&self) -> String {
        let mut json = String::with_capacity(TYPICAL_BYTES);
        json.push_str("{\"id\":\"");
        self.id.append_to(&mut json);
        json.push_str("\",\"status\":\"");
        json.push_str(self.status);
        json.push_str("\",\"placed_at\":\"");
        instant::append(&mut json, self.placed_at);
        json.push_str("\",\"expires_at\":\"");
        instant::append(&mut json, self.expires_at);
        json.push_str("\",\"customer\":");
        // The one text of the client's choice: it may hold a quote.
        let customer = self.customer.and_then(|customer| serde_json::to_string(customer).ok());
        json.push_str(customer.as_deref().unwrap_or("null"));
        json.push_str(",\"lines\":[");
        for (number, line) in self.lines.iter().enumerate() {
            json.push_str(if number == 0 { "" } else { "," });
            json.push_str("{\"sku\":\"");
            json.push_str(line.sku.as_str());
            json.push_str("\",\"quantity\":");
            json.push_str(itoa::Buffer::new().format(line.quantity.get()));
            json.push_str(",\"unit_price\":");
            MoneyBody::from(line.unit_price).append_json(&mut json);
            json.push('}');
        }
        json.push_str("],\"total\":");
        self.total.append_json(&mut json);
        json.push_str(",\"buyer_token\":\"");
        json.push_str(self.buyer_token);
        json.push_str("\"}");
        json
    }
}

fn as_placed_lines<S: Serializer>(lines: &[OrderLine], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(lines.iter().map(PlacedLine::from))
}

impl<'a> From<&'a OrderLine> for PlacedLine<'a> {
    fn from(line: &'a OrderLine) -> Self {
        Self { sku: &line.sku, quantity: line.quantity, unit_price: line.unit_price.into() }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{
        BuyerId, Currency, Money,
        order::{CapturePolicy, PaymentToken},
    };

    use super::*;

    fn placement(customer: Option<&str>, lines: usize) -> Placement {
        let line = |number: usize| OrderLine {
            sku: SkuId::parse(&format!("TEE-BLACK.M_{number}")).expect("a SKU"),
            quantity: Quantity::MAX,
            unit_price: Money::new(i64::MAX, Currency::EUR),
        };
        Placement {
            buyer: BuyerId::from_u128(1),
            customer: customer.map(|customer| CustomerId::parse(customer).expect("a customer")),
            lines: (0..lines).map(line).collect(),
            total: Money::new(-5, Currency::EUR),
            payment_token: PaymentToken::parse("tok_approve").expect("a token"),
            capture: CapturePolicy::OnShipment,
            placed_at: Timestamp::from_millis(1_772_355_600_007),
            expires_at: Timestamp::MAX,
            fingerprint: 3,
        }
    }

    #[test]
    fn what_is_written_by_hand_is_what_serde_writes() {
        for customer in [None, Some("c-1"), Some("\"\\quoted/<&>\\\""), Some("~!#")] {
            for lines in [0, 1, 2, 100] {
                let placement = placement(customer, lines);
                let answer = PlacedOrder::new(OrderId::from_u128(u128::MAX - 7), &placement, "buy_00ff");
                assert_eq!(answer.to_json(), serde_json::to_string(&answer).expect("JSON"));
            }
        }
    }
}
