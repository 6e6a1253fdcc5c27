//! Every table's rows. The columns' meaning is in the schema's comments (`migrations`); what fills them is
//! in `derive`.
//!
//! Invariant: the order of tables in [`Changes::tables`] never matters for what is in them: no row needs another's.

use holdfast_core::{Currency, CustomerId, OrderId, SkuId, order::OrderStatus};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    table::{Column, Rows, Table, Takes, table},
    value::{Amount, Instant, Shown},
};

table! {
    /// Rows of `users`.
    Users of UserRow in "users" by "id" {
        id: Uuid as "uuid" Once,
        customer_id: Shown<CustomerId> as "text" Once,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Once,
    }
}

table! {
    /// Rows of `categories`.
    Categories of CategoryRow in "categories" by "id" {
        id: Uuid as "uuid" Once,
        path: String as "text" Once,
        name: String as "text" Once,
        parent_id: Option<Uuid> as "uuid" Once,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Once,
    }
}

table! {
    /// Rows of `products`.
    Products of ProductRow in "products" by "id" {
        id: Uuid as "uuid" Once,
        sku: Shown<SkuId> as "text" Once,
        name: String as "text" Newest,
        description: String as "text" Newest,
        price: Amount as "numeric" Newest,
        currency: Shown<Currency> as "text" Newest,
        category_id: Option<Uuid> as "uuid" Newest,
        images: String as "jsonb" Newest,
        metadata: String as "jsonb" Newest,
        listed: bool as "bool" Newest,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `product_variants`.
    ProductVariants of ProductVariantRow in "product_variants" by "id" {
        id: Uuid as "uuid" Once,
        product_id: Uuid as "uuid" Once,
        sku: Shown<SkuId> as "text" Newest,
        name: String as "text" Newest,
        options: String as "jsonb" Newest,
        position: i16 as "int2" Once,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Newest,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `inventory`.
    Inventory of InventoryRow in "inventory" by "product_id" {
        product_id: Uuid as "uuid" Once,
        sku: Shown<SkuId> as "text" Once,
        on_hand: i64 as "int8" Newest,
        held: i64 as "int8" Newest,
        allocated: i64 as "int8" Newest,
        fulfilled: i64 as "int8" Newest,
        opens_at: Option<Instant> as "timestamptz" Newest,
        closes_at: Option<Instant> as "timestamptz" Newest,
        per_order_limit: Option<i64> as "int8" Newest,
        per_customer_limit: Option<i64> as "int8" Newest,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `stock_movements`.
    StockMovements of StockMovementRow in "stock_movements" by "id" {
        id: Uuid as "uuid" Once,
        product_id: Uuid as "uuid" Once,
        kind: &'static str as "text" Once,
        quantity: i64 as "int8" Once,
        order_id: Option<Uuid> as "uuid" Once,
        line: Option<i16> as "int2" Once,
        reason: Option<String> as "text" Once,
        created_at: Instant as "timestamptz" Once,
    }
}

table! {
    /// Rows of `carts`.
    Carts of CartRow in "carts" by "id" {
        id: Uuid as "uuid" Once,
        status: &'static str as "text" Newest,
        currency: Shown<Currency> as "text" Newest,
        lines: i16 as "int2" Newest,
        units: i64 as "int8" Newest,
        order_id: Option<Uuid> as "uuid" Newest,
        merged_id: Option<Uuid> as "uuid" Newest,
        expires_at: Instant as "timestamptz" Newest,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `orders`.
    Orders of OrderRow in "orders" by "id" {
        id: Uuid as "uuid" Once,
        order_number: Shown<OrderId> as "text" Once,
        user_id: Option<Uuid> as "uuid" Once,
        buyer_id: Uuid as "uuid" Once,
        status: Shown<OrderStatus> as "text" Newest,
        total: Amount as "numeric" Once,
        currency: Shown<Currency> as "text" Once,
        lines: i16 as "int2" Once,
        units: i64 as "int8" Once,
        cancel_reason: Option<&'static str> as "text" Newest,
        placed_at: Instant as "timestamptz" Once,
        expires_at: Instant as "timestamptz" Once,
        confirmed_at: Option<Instant> as "timestamptz" First,
        ended_at: Option<Instant> as "timestamptz" First,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `order_items`.
    OrderItems of OrderItemRow in "order_items" by "order_id, line" {
        order_id: Uuid as "uuid" Once,
        line: i16 as "int2" Once,
        product_id: Uuid as "uuid" Once,
        sku: Shown<SkuId> as "text" Once,
        quantity: i64 as "int8" Once,
        unit_price: Amount as "numeric" Once,
        line_total: Amount as "numeric" Once,
        currency: Shown<Currency> as "text" Once,
        created_at: Instant as "timestamptz" Once,
    }
}

table! {
    /// Rows of `payments`.
    Payments of PaymentRow in "payments" by "order_id" {
        order_id: Uuid as "uuid" Once,
        status: &'static str as "text" Newest,
        reference: Option<String> as "text" Newest,
        reason: Option<String> as "text" Newest,
        amount: Amount as "numeric" Once,
        captured: Amount as "numeric" Newest,
        refunded: Amount as "numeric" Newest,
        currency: Shown<Currency> as "text" Once,
        authorized_at: Option<Instant> as "timestamptz" First,
        captured_at: Option<Instant> as "timestamptz" First,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `refunds`.
    Refunds of RefundRow in "refunds" by "id" {
        id: Uuid as "uuid" Once,
        order_id: Uuid as "uuid" Once,
        number: i16 as "int2" Once,
        status: &'static str as "text" Newest,
        reason: Option<String> as "text" Newest,
        amount: Amount as "numeric" Once,
        currency: Shown<Currency> as "text" Once,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `shipments`.
    Shipments of ShipmentRow in "shipments" by "order_id" {
        order_id: Uuid as "uuid" Once,
        status: &'static str as "text" Newest,
        shipped_at: Instant as "timestamptz" Once,
        delivered_at: Option<Instant> as "timestamptz" First,
        version: i64 as "int8" Newest,
        created_at: Instant as "timestamptz" Once,
        updated_at: Instant as "timestamptz" Newest,
    }
}

table! {
    /// Rows of `entity_snapshots`.
    EntitySnapshots of EntitySnapshotRow in "entity_snapshots" by "shard, kind, entity" {
        shard: i16 as "int2" Once,
        kind: i16 as "int2" Once,
        entity: Vec<u8> as "bytea" Once,
        version: i64 as "int8" Always,
        state: Vec<u8> as "bytea" Newest,
    }
}

table! {
    /// Rows of `entity_changes`.
    EntityChanges of EntityChangesRow in "entity_changes" by "shard, kind, entity, first" {
        shard: i16 as "int2" Once,
        kind: i16 as "int2" Once,
        entity: Vec<u8> as "bytea" Once,
        first: i64 as "int8" Once,
        version: i64 as "int8" Always,
        events: Vec<u8> as "bytea" Newest,
    }
}

/// Entities whose snapshot contains what `entity_changes` has of them up to a version.
#[derive(Debug, Default)]
pub(super) struct TakenIn {
    pub(super) shard: Vec<i16>,
    pub(super) kind: Vec<i16>,
    pub(super) entity: Vec<Vec<u8>>,
    pub(super) version: Vec<i64>,
}

/// Products that left the catalog: what else their rows say stays.
#[derive(Debug, Default)]
pub(super) struct Delisted {
    pub(super) id: Vec<Uuid>,
    pub(super) version: Vec<i64>,
    pub(super) updated_at: Vec<Instant>,
}

/// How many variants products list now: rows beyond go.
#[derive(Debug, Default)]
pub(super) struct VariantCounts {
    pub(super) product_id: Vec<Uuid>,
    pub(super) count: Vec<i16>,
    pub(super) version: Vec<i64>,
}

/// All rows of one batch.
#[derive(Debug, Default)]
#[expect(clippy::struct_field_names, reason = "fields are named after their tables")]
pub(super) struct Changes {
    pub(super) users: Users,
    pub(super) categories: Categories,
    pub(super) products: Products,
    pub(super) product_variants: ProductVariants,
    pub(super) inventory: Inventory,
    pub(super) stock_movements: StockMovements,
    pub(super) carts: Carts,
    pub(super) orders: Orders,
    pub(super) order_items: OrderItems,
    pub(super) payments: Payments,
    pub(super) refunds: Refunds,
    pub(super) shipments: Shipments,
    pub(super) entity_snapshots: EntitySnapshots,
    pub(super) entity_changes: EntityChanges,
    pub(super) taken_in: TakenIn,
    pub(super) delisted: Delisted,
    pub(super) variant_counts: VariantCounts,
}

impl Changes {
    /// How many tables are written by upserts.
    pub(super) const TABLES: usize = 14;

    /// Every table's rows.
    pub(super) fn tables(&self) -> [&dyn Rows; Self::TABLES] {
        [
            &self.users,
            &self.categories,
            &self.products,
            &self.product_variants,
            &self.inventory,
            &self.stock_movements,
            &self.carts,
            &self.orders,
            &self.order_items,
            &self.payments,
            &self.refunds,
            &self.shipments,
            &self.entity_snapshots,
            &self.entity_changes,
        ]
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u64 {
        self.tables().iter().map(|rows| rows.len() as u64).sum()
    }
}
