//! What the views are told. A shard makes these from an entity as it stands after an event, and hands them over when that
//! event is durable.
//!
//! An update carries the resulting state and its version, not the event: `Released { hold }` says no quantity, and a view
//! that knew all holds would be a second stock item.

use std::sync::Arc;

use holdfast_core::{
    BuyerId, CustomerId, Entity, Money, OrderId, SkuId, Timestamp,
    order::{Order, OrderStatus},
    product::{Product, ProductDetails},
    stock::{SalePolicy, StockItem, StockLevel},
};

/// A durable change of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewUpdate {
    /// The units of a SKU.
    Stock {
        /// Which SKU.
        sku: SkuId,
        /// How the units are divided now.
        level: StockLevel,
        /// When and how much may be sold now.
        policy: SalePolicy,
        /// The stock's version after the event.
        version: u64,
    },
    /// The catalog entry of a SKU.
    Product {
        /// Which SKU.
        sku: SkuId,
        /// What is said about it now; `None` when it left the catalog.
        details: Option<Arc<ProductDetails>>,
        /// The product's version after the event.
        version: u64,
    },
    /// An order, whole. Right for a new one and for one that changed.
    Order(OrderEntry),
    /// Where an order stands that the views know already.
    OrderStatus {
        /// Which order.
        id: OrderId,
        /// Where it stands now.
        status: OrderStatus,
        /// The order's version after the event.
        version: u64,
    },
}

/// What listings know of an order. All but status and version is fixed when it is placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderEntry {
    /// Which order.
    pub id: OrderId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The order's version after the event.
    pub version: u64,
    /// Who may read it.
    pub buyer: BuyerId,
    /// Who per-customer limits counted for.
    pub customer: Option<CustomerId>,
    /// Where it stands now.
    pub status: OrderStatus,
    /// The sum of its lines.
    pub total: Money,
    /// The SKUs of its lines.
    pub skus: Vec<SkuId>,
}

impl ViewUpdate {
    /// The units of `stock` as they are now.
    pub fn of_stock(stock: &StockItem) -> Self {
        Self::Stock {
            sku: stock.sku().clone(),
            level: stock.level(),
            policy: *stock.policy(),
            version: stock.version(),
        }
    }

    /// What is said about `product` now. Copies the details: products change rarely.
    pub fn of_product(product: &Product) -> Self {
        Self::Product {
            sku: product.sku().clone(),
            details: product.details().map(|details| Arc::new(details.clone())),
            version: product.version(),
        }
    }

    /// All that listings know of `order`; `None` while it is not placed.
    pub fn of_order(order: &Order) -> Option<Self> {
        let placement = order.placement()?;
        Some(Self::Order(OrderEntry {
            id: order.id(),
            placed_at: placement.placed_at,
            version: order.version(),
            buyer: placement.buyer,
            customer: placement.customer.clone(),
            status: order.status(),
            total: placement.total,
            skus: placement.lines.iter().map(|line| line.sku.clone()).collect(),
        }))
    }

    /// Where `order` stands now, for one the views know already: cheaper than [`ViewUpdate::of_order`].
    pub fn of_order_status(order: &Order) -> Self {
        Self::OrderStatus { id: order.id(), status: order.status(), version: order.version() }
    }
}
