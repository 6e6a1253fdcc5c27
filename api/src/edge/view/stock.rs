//! Units on the wire: buyers see what is available, the admin also where the rest is.

use holdfast_actors::StockView;
use holdfast_core::{Quantity, SkuId, Timestamp, stock::SalePolicy};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{as_instant_or_null, instant_or_null};
use crate::edge::body::quantity_or_null;

/// What a buyer sees of stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Availability {
    /// Whether a unit can be bought now.
    in_stock: bool,
    /// Units that can be bought now: neither held nor allocated.
    available: u64,
}

impl From<&StockView> for Availability {
    fn from(stock: &StockView) -> Self {
        let available = stock.level.available();
        Self { in_stock: available > 0, available }
    }
}

/// How the units of a SKU are divided: `on_hand = available + held + allocated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = StockLevel)]
pub(crate) struct LevelBody {
    /// Units in the house.
    on_hand: u64,
    /// Units under a hold that expires.
    held: u64,
    /// Units bound to confirmed orders.
    allocated: u64,
    /// Units that can be bought now.
    available: u64,
    /// Units that left the house, over all time.
    fulfilled: u64,
    /// The stock's version, for `If-Match: "s{version}"`.
    version: u64,
}

impl From<&StockView> for LevelBody {
    fn from(stock: &StockView) -> Self {
        let level = stock.level;
        Self {
            on_hand: level.on_hand,
            held: level.held,
            allocated: level.allocated,
            available: level.available(),
            fulfilled: level.fulfilled,
            version: stock.version,
        }
    }
}

/// When and how much may be sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SalePolicy)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// Orders are refused before this instant (RFC 3339).
    #[serde(default, deserialize_with = "instant_or_null", serialize_with = "as_instant_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    opens_at: Option<Timestamp>,
    /// Orders are refused from this instant on (RFC 3339).
    #[serde(default, deserialize_with = "instant_or_null", serialize_with = "as_instant_or_null")]
    #[schema(value_type = Option<String>, format = DateTime)]
    closes_at: Option<Timestamp>,
    /// The most units of one order.
    #[serde(default, deserialize_with = "quantity_or_null")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    per_order_limit: Option<Quantity>,
    /// The most units of one customer over all orders.
    #[serde(default, deserialize_with = "quantity_or_null")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000)]
    per_customer_limit: Option<Quantity>,
}

impl From<SalePolicy> for PolicyBody {
    fn from(policy: SalePolicy) -> Self {
        let SalePolicy { opens_at, closes_at, per_order_limit, per_customer_limit } = policy;
        Self { opens_at, closes_at, per_order_limit, per_customer_limit }
    }
}

impl From<PolicyBody> for SalePolicy {
    fn from(body: PolicyBody) -> Self {
        let PolicyBody { opens_at, closes_at, per_order_limit, per_customer_limit } = body;
        Self { opens_at, closes_at, per_order_limit, per_customer_limit }
    }
}

/// A correction of stock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StockAdjustment {
    /// Units that came (positive) or went (negative). Never more than what is available may go.
    #[schema(example = 100)]
    pub(crate) delta: i64,
    /// Why, for the audit trail.
    #[schema(min_length = 1, example = "delivery 4711")]
    pub(crate) reason: String,
}

/// The stock of a SKU after a correction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdjustedStock<'a> {
    /// The SKU.
    #[schema(value_type = String)]
    pub(crate) sku: &'a SkuId,
    /// Its units now.
    pub(crate) stock: LevelBody,
}

/// One live change, as the data of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StockEvent<'a> {
    /// The SKU.
    #[schema(value_type = String)]
    sku: &'a SkuId,
    /// Whether a unit can be bought now.
    in_stock: bool,
    /// Units that can be bought now.
    available: u64,
    /// The stock's version; also the event's id.
    version: u64,
}

impl<'a> From<&'a StockView> for StockEvent<'a> {
    fn from(stock: &'a StockView) -> Self {
        let available = stock.level.available();
        Self { sku: &stock.sku, in_stock: available > 0, available, version: stock.version }
    }
}
