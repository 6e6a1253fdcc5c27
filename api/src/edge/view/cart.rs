//! Carts on the wire. A cart's id stays inside: its token is the only way to it.

use holdfast_actors::Views;
use holdfast_core::{
    Currency, Entity as _, Money, Quantity, SkuId, Timestamp,
    cart::{Cart, CartLine, CartState},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    as_instant,
    money::{MoneyBody, currency_code},
    stock::Availability,
};
use crate::edge::body::quantity;

/// A cart to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCart {
    /// The currency its order will be in: an ISO 4217 code. The server's default without it.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub(crate) currency: Option<String>,
}

/// Units to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewItem {
    /// What.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "TEE-BLACK-M")]
    pub(crate) sku: SkuId,
    /// How many more.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
    pub(crate) quantity: Quantity,
}

/// A line's new quantity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemChange {
    /// How many from now on.
    #[serde(deserialize_with = "quantity")]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
    pub(crate) quantity: Quantity,
}

/// A cart to take in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Merge {
    /// The token of the cart whose lines move; it is closed.
    pub(crate) from: String,
}

/// A cart.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cart)]
pub(crate) struct CartBody<'a> {
    /// The only way to the cart; shown once, when it begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// Where it stands.
    state: StateBody,
    /// The order it is or was checked out as.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    /// The currency of its order.
    #[serde(with = "currency_code")]
    #[schema(value_type = String)]
    currency: Currency,
    /// What is in it.
    items: Vec<ItemBody<'a>>,
    /// What it would cost now; null when a product is gone, is in another currency, or it is too much to count. Prices
    /// are frozen when the order is placed.
    total: Option<MoneyBody>,
    /// When it lapses if nobody touches it.
    #[serde(serialize_with = "as_instant")]
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    /// Its version, for `If-Match: "c{version}"`.
    version: u64,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(as = CartState)]
#[serde(rename_all = "snake_case")]
enum StateBody {
    Open,
    CheckingOut,
    Converted,
    Merged,
    Expired,
}

/// A line of a cart, with the product's price and availability now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CartItem)]
struct ItemBody<'a> {
    /// Names the line within its cart.
    id: u32,
    /// What.
    #[schema(value_type = String)]
    sku: &'a SkuId,
    /// How many.
    #[schema(value_type = u32)]
    quantity: Quantity,
    /// The product's title; null when it is gone.
    name: Option<String>,
    /// Price of one unit now.
    unit_price: Option<MoneyBody>,
    /// Price of the line now.
    line_total: Option<MoneyBody>,
    /// What can be bought now.
    availability: Option<Availability>,
}

impl<'a> CartBody<'a> {
    /// The cart with its products as they are now.
    pub(crate) fn new(cart: &'a Cart, views: &Views) -> Self {
        let (state, order) = match cart.state() {
            CartState::Open => (StateBody::Open, None),
            CartState::CheckingOut { order, .. } => (StateBody::CheckingOut, Some(order)),
            CartState::Converted { order } => (StateBody::Converted, Some(order)),
            CartState::Merged { .. } => (StateBody::Merged, None),
            CartState::Expired => (StateBody::Expired, None),
        };
        let items: Vec<_> = cart.lines().iter().map(|line| ItemBody::new(line, views)).collect();
        let sum = |sum: Option<Money>, item: &ItemBody<'_>| sum?.checked_add(item.line_total?.into()).ok();
        let total = items.iter().fold(Some(Money::zero(cart.currency())), sum).map(MoneyBody::from);
        let order = order.map(|order| order.to_string());
        let (currency, expires_at, version) = (cart.currency(), cart.expires_at(), cart.version());
        Self { token: None, state, order, currency, items, total, expires_at, version }
    }

    /// The same with its token, for the one answer that shows it.
    pub(crate) fn with_token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }
}

impl<'a> ItemBody<'a> {
    fn new(line: &'a CartLine, views: &Views) -> Self {
        let product = views.product(&line.sku);
        let price = product.as_ref().map(|product| product.details.price);
        Self {
            id: line.item,
            sku: &line.sku,
            quantity: line.quantity,
            name: product.as_ref().map(|product| product.details.name.clone()),
            unit_price: price.map(MoneyBody::from),
            line_total: price.and_then(|price| price.checked_mul(line.quantity).ok()).map(MoneyBody::from),
            availability: product.as_ref().map(|product| Availability::from(&product.stock)),
        }
    }
}

/// The tag of a cart.
pub(crate) fn tag(cart: &Cart) -> String {
    format!("c{}", cart.version())
}
