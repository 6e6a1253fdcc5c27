//! What readers see: the catalog with its stock, and the orders. A copy of the shards' state, fed by durable events only.
//!
//! Invariants:
//! - Reads never show what is not durable: [`Views::apply`] and [`Views::learn`] are called only with what the journal has
//!   made durable.
//! - No entity goes backwards: an update older than what is shown changes nothing, so feeding twice is harmless.
//! - Nothing is decided here. A view may be behind its shard by one journal write; who gets a unit is the shard's say.
//!
//! Why a copy: a listing would otherwise cost a message per product, and it would queue behind the sale it looks at.
//!
//! Cost: one map entry of about 200 bytes per SKU; about 100 bytes per order, 140 if every order has a customer of its own.
//! An update of stock takes one lock of one part of the map, an update of an order the lock of the order index.

mod catalog;
mod orders;
mod update;

use std::{slice, sync::Arc};

use holdfast_core::{
    OrderId, SkuId,
    product::ProductDetails,
    stock::{SalePolicy, StockLevel},
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use catalog::Catalog;
pub use holdfast_core::order::{OrderQuery, OrderSummary};
use orders::Orders;
pub use update::{OrderEntry, ViewUpdate};

/// All read views of a node.
#[derive(Default)]
pub struct Views {
    catalog: Catalog,
    orders: Orders,
}

/// A product as a buyer finds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductView {
    /// Which SKU.
    pub sku: SkuId,
    /// What the merchant says about it.
    pub details: Arc<ProductDetails>,
    /// The product's version, for `ETag` and `If-Match`. The stock counts its own.
    pub version: u64,
    /// Its units.
    pub stock: StockView,
}

/// The units of a SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockView {
    /// Which SKU.
    pub sku: SkuId,
    /// How the units are divided.
    pub level: StockLevel,
    /// When and how much may be sold.
    pub policy: SalePolicy,
    /// The stock's version; 0 when nothing was ever received.
    pub version: u64,
}

/// Which products, in the order of their SKUs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProductQuery {
    /// Only SKUs after this one: the last of the page before.
    pub after: Option<SkuId>,
    /// How many at most.
    pub limit: usize,
    /// Only this category and what is below it: `audio` finds `audio/headphones` too.
    pub category: Option<String>,
    /// Only with (`true`) or without (`false`) a unit that can be sold now. Units under a hold cannot.
    pub in_stock: Option<bool>,
}

impl Views {
    /// Empty views.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes durable changes in and leaves the list empty. Those of one entity in their order; the orders first, together.
    pub(crate) fn apply_all(&self, updates: &mut Vec<ViewUpdate>) {
        self.orders.apply_all(updates);
        updates.drain(..).for_each(|update| self.catalog.apply(update));
    }

    /// Takes a durable change in. Of several changes to one entity only the last is needed.
    pub fn apply(&self, update: ViewUpdate) {
        self.orders.apply_all(slice::from_ref(&update));
        self.catalog.apply(update);
    }

    /// Takes in what a product's owner showed, which is durable and may not have come here yet.
    pub fn learn(&self, product: ProductView) {
        let ProductView { sku, details, version, stock } = product;
        self.catalog.set_stock(&sku, stock.level, stock.policy, stock.version);
        self.catalog.set_product(&sku, Some(details), version);
    }

    /// Puts the order index in order once recovery has fed it. Without this the first listing does.
    pub fn settle(&self) {
        self.orders.settle();
    }

    /// The product of a SKU; `None` if it is not in the catalog.
    pub fn product(&self, sku: &SkuId) -> Option<ProductView> {
        self.catalog.product(sku)
    }

    /// One page of products.
    pub fn products(&self, query: &ProductQuery) -> Vec<ProductView> {
        self.catalog.products(query)
    }

    /// The units of a SKU, whether or not it is in the catalog; `None` if nobody ever spoke of it.
    pub fn stock(&self, sku: &SkuId) -> Option<StockView> {
        self.catalog.stock(sku)
    }

    /// How many units of a SKU in the catalog can be sold now, if that is fewer than `wanted` and its sale has neither a window nor
    /// limits.
    pub(crate) fn available_if_short(&self, sku: &SkuId, wanted: u64) -> Option<u64> {
        self.catalog.available_if_short(sku, wanted)
    }

    /// The units of a SKU as they change, starting with how they are; `None` if it is not in the catalog, or if
    /// [`Views::close_watches`] was called. A slow reader skips to the newest. The channel closes when the product is
    /// removed.
    pub fn watch_stock(&self, sku: &SkuId) -> Option<watch::Receiver<StockView>> {
        self.catalog.watch_stock(sku)
    }

    /// How many SKUs are watched, at most: a few whose last reader has gone may still be counted.
    pub fn watch_count(&self) -> usize {
        self.catalog.watch_count()
    }

    /// Closes every watch and opens no further one: the node shuts down.
    pub fn close_watches(&self) {
        self.catalog.close_watches();
    }

    /// One page of orders.
    pub fn orders(&self, query: &OrderQuery) -> Vec<OrderSummary> {
        self.orders.page(query)
    }

    /// The order made under an idempotency key, whatever its first line, if it is durable. Only the upper 112 bits of
    /// `key_digest` count, as in [`OrderId::from_key`].
    pub fn order_of_key(&self, key_digest: u128) -> Option<OrderId> {
        self.orders.of_key(key_digest)
    }

    /// Whether the idempotency key of one of these orders has made another order, and that is durable.
    pub(crate) fn any_key_is_of_another(&self, orders: impl Iterator<Item = OrderId> + Clone) -> bool {
        self.orders.any_key_is_of_another(orders)
    }

    /// The units of all SKUs together. Looks at every SKU: for an operator's glance, not for a request.
    pub fn total_units(&self) -> StockLevel {
        self.catalog.total_units()
    }

    /// How many products are in the catalog.
    pub fn product_count(&self) -> usize {
        self.catalog.len()
    }

    /// How many orders there are, in every status.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }
}
