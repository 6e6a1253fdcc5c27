//! What a peer has to do: take an order of one SKU under an idempotency key, never oversell, keep to a limit per customer.
//!
//! Less than Holdfast does: there is no payment, no hold that lapses, no cart and no order of several SKUs. What is asked
//! for is what the flash sale measures, so every shortcut here is the peer's advantage.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// An order to place, as the front read it.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The order's id, should it come to be.
    pub(crate) order: Uuid,
    /// The `Idempotency-Key`.
    pub(crate) key: String,
    /// A digest of the body: the same key with another one is refused.
    pub(crate) fingerprint: i64,
    /// What.
    pub(crate) sku: String,
    /// How many units.
    pub(crate) quantity: u32,
    /// Who a limit counts for.
    pub(crate) customer: Option<String>,
    /// How it is paid. Kept with the order; nobody is charged.
    pub(crate) payment_token: String,
    /// When it came, in milliseconds since 1970.
    pub(crate) placed_at_ms: i64,
}

/// An order that came to be, now or at an earlier request with its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) order: Uuid,
    /// In minor units.
    pub(crate) unit_price: i64,
    pub(crate) at_ms: i64,
    pub(crate) replayed: bool,
}

/// Why an order did not come to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Fewer units than asked for are left.
    SoldOut,
    /// The customer would have more than the limit.
    OverLimit,
    /// The SKU is limited per customer and the order names none.
    CustomerRequired,
    /// There is no such SKU.
    NoSuchSku,
    /// The key made an order of another body.
    KeyReused,
}

/// A SKU to sell.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) price: Price,
    pub(crate) units: u64,
    #[serde(default)]
    pub(crate) sale: Option<Policy>,
}

/// What a unit costs.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(crate) struct Price {
    pub(crate) amount_minor: i64,
}

/// Limits of a SKU.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Policy {
    pub(crate) per_customer_limit: Option<u32>,
}

/// How the units of a SKU are divided.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Units {
    pub(crate) on_hand: i64,
    pub(crate) held: i64,
    pub(crate) allocated: i64,
    pub(crate) available: i64,
    pub(crate) fulfilled: i64,
}

/// A stack the sale runs on.
pub(crate) trait Stack: Clone + Send + Sync + 'static {
    /// Places an order, or says why not; an error is a fault of the stack.
    fn place(&self, wanted: Wanted) -> impl Future<Output = anyhow::Result<Result<Placed, Refusal>>> + Send;
    /// Puts a SKU up.
    fn put_up(&self, product: Product) -> impl Future<Output = anyhow::Result<()>> + Send;
    /// How the units of a SKU are divided; `None` when there is no such SKU.
    fn units(&self, sku: &str) -> impl Future<Output = anyhow::Result<Option<Units>>> + Send;
}

impl Units {
    /// `on_hand` units, of which `available` can be sold: the others belong to orders.
    pub(crate) fn of(on_hand: i64, available: i64) -> Self {
        Self { on_hand, held: 0, allocated: on_hand.saturating_sub(available), available, fulfilled: 0 }
    }
}

/// An id that nobody guesses and that grows with time, as a B-tree likes it (UUID version 7).
pub(crate) fn order_id(now_ms: i64) -> Result<Uuid, getrandom::Error> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)?;
    Ok(Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random).into_uuid())
}

/// The digest of a request's body.
pub(crate) fn fingerprint(body: &[u8]) -> i64 {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    hasher.finish().cast_signed()
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a peer is a server of its own, with a clock of its own")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
