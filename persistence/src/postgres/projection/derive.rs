//! Rows from states.

mod order;

use std::collections::HashSet;

use foldhash::fast::RandomState;
use holdfast_core::{
    Entity as _, EntityId, HoldId, Quantity, ShardId, SkuId, Timestamp,
    cart::{Cart, CartState},
    order::Order,
    product::{Product, ProductDetails},
    stock::StockItem,
};
use uuid::Uuid;

use super::{
    fold::FoldError,
    key,
    row::{
        CartRow, CategoryRow, Changes, EntityChangesRow, EntitySnapshotRow, InventoryRow, ProductRow,
        ProductVariantRow, StockMovementRow, UserRow,
    },
    touch::OrderTouch,
    value::{Amount, Instant, Shown, int2, int8, text},
};
use crate::{
    codec,
    snapshot::{self, encode_snapshot},
    state::EntityState,
};

pub(super) use order::order;

/// Rows that any number of entities share, and the batch has already.
#[derive(Debug, Default)]
pub(super) struct Known(HashSet<Uuid, RandomState>);

/// The state whole. Gives its length, in bytes.
pub(super) fn snapshot(changes: &mut Changes, shard: ShardId, state: &EntityState) -> Result<usize, FoldError> {
    let encoded = encode_snapshot(&state.as_ref())?;
    let length = encoded.bytes.len();
    changes.entity_snapshots.push(EntitySnapshotRow {
        shard: int2(shard.0.into()),
        kind: encoded.entity.kind() as i16,
        entity: key_bytes(&encoded.entity),
        version: int8(encoded.version),
        state: encoded.bytes,
    });
    Ok(length)
}

/// What happened since the state was last written whole. Gives its length, in bytes.
pub(super) fn events(changes: &mut Changes, shard: ShardId, entity: &EntityId, stretch: snapshot::Changes) -> usize {
    let (first, version) = (int8(stretch.first()), int8(stretch.last()));
    let events = stretch.finish(entity);
    let length = events.len();
    let (shard, kind, entity) = (int2(shard.0.into()), entity.kind() as i16, key_bytes(entity));
    changes.entity_changes.push(EntityChangesRow { shard, kind, entity, first, version, events });
    length
}

/// A snapshot contains what was kept behind the one before.
pub(super) fn taken_in(changes: &mut Changes, shard: ShardId, state: &EntityState) {
    let entity = state.id();
    changes.taken_in.shard.push(int2(shard.0.into()));
    changes.taken_in.kind.push(entity.kind() as i16);
    changes.taken_in.entity.push(key_bytes(&entity));
    changes.taken_in.version.push(int8(state.version()));
}

fn key_bytes(entity: &EntityId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    codec::encode_id(entity, &mut bytes);
    bytes
}

pub(super) fn inventory(changes: &mut Changes, stock: &StockItem, first: Timestamp, last: Timestamp) {
    let (level, policy) = (stock.level(), stock.policy());
    let limit = |quantity: Option<Quantity>| quantity.map(|quantity| i64::from(quantity.get()));
    changes.inventory.push(InventoryRow {
        product_id: key::product(stock.sku()),
        sku: Shown(stock.sku().clone()),
        on_hand: int8(level.on_hand),
        held: int8(level.held),
        allocated: int8(level.allocated),
        fulfilled: int8(level.fulfilled),
        opens_at: policy.opens_at.map(Instant),
        closes_at: policy.closes_at.map(Instant),
        per_order_limit: limit(policy.per_order_limit),
        per_customer_limit: limit(policy.per_customer_limit),
        version: int8(stock.version()),
        created_at: Instant(first),
        updated_at: Instant(last),
    });
}

impl StockMovementRow {
    /// What one record did to units for good.
    pub(super) fn new(
        (shard, seq): (ShardId, u64),
        sku: &SkuId,
        kind: &'static str,
        quantity: i64,
        hold: Option<HoldId>,
        reason: Option<&String>,
        at: Timestamp,
    ) -> Self {
        Self {
            id: key::movement(shard, seq),
            product_id: key::product(sku),
            kind,
            quantity,
            order_id: hold.map(|hold| key::order(hold.order)),
            line: hold.map(|hold| int2(hold.line.into())),
            reason: reason.map(|reason| text(reason)),
            created_at: Instant(at),
        }
    }
}

pub(super) fn cart(changes: &mut Changes, cart: &Cart, first: Timestamp, last: Timestamp) {
    let (status, order, merged) = match cart.state() {
        CartState::Open => ("open", None, None),
        CartState::CheckingOut { order, .. } => ("checking_out", Some(order), None),
        CartState::Converted { order } => ("converted", Some(order), None),
        CartState::Merged { into } => ("merged", None, Some(into)),
        CartState::Expired => ("expired", None, None),
    };
    changes.carts.push(CartRow {
        id: key::cart(cart.id()),
        status,
        currency: Shown(cart.currency()),
        lines: int2(cart.lines().len()),
        units: cart.lines().iter().map(|line| i64::from(line.quantity.get())).sum(),
        order_id: order.map(key::order),
        merged_id: merged.map(key::cart),
        expires_at: Instant(cart.expires_at()),
        version: int8(cart.version()),
        created_at: Instant(first),
        updated_at: Instant(last),
    });
}

pub(super) fn product(
    changes: &mut Changes,
    product: &Product,
    details: Option<&(Box<ProductDetails>, u64, Timestamp)>,
    first: Timestamp,
    last: Timestamp,
) {
    let (id, version) = (key::product(product.sku()), int8(product.version()));
    let Some((details, details_version, details_at)) = details else {
        changes.delisted.id.push(id);
        changes.delisted.version.push(version);
        changes.delisted.updated_at.push(Instant(last));
        return;
    };
    changes.products.push(ProductRow {
        id,
        sku: Shown(product.sku().clone()),
        name: text(&details.name),
        description: text(&details.description),
        price: Amount(details.price),
        currency: Shown(details.price.currency()),
        category_id: category(&details.category),
        images: document(&details.images),
        metadata: document(&details.metadata),
        listed: product.details().is_some(),
        version,
        created_at: Instant(first),
        updated_at: Instant(last),
    });
    for (position, variant) in details.variants.iter().enumerate() {
        let position = int2(position);
        changes.product_variants.push(ProductVariantRow {
            id: key::variant(product.sku(), position),
            product_id: id,
            sku: Shown(variant.sku.clone()),
            name: text(&variant.name),
            options: document(&variant.options),
            position,
            version: int8(*details_version),
            created_at: Instant(*details_at),
            updated_at: Instant(*details_at),
        });
    }
    changes.variant_counts.product_id.push(id);
    changes.variant_counts.count.push(int2(details.variants.len()));
    changes.variant_counts.version.push(int8(*details_version));
}

/// The id of a path's category; none for a product without one.
fn category(path: &str) -> Option<Uuid> {
    (!path.is_empty()).then(|| key::category(&text(path)))
}

/// The category of a path and all above it.
pub(super) fn categories(changes: &mut Changes, known: &mut Known, path: &str, at: Timestamp) {
    let path = text(path);
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    let mut parent = None;
    for end in ends.filter(|end| *end > 0) {
        let part = &path[..end];
        let id = key::category(part);
        if known.0.insert(id) {
            changes.categories.push(CategoryRow {
                id,
                path: part.to_owned(),
                name: part.rsplit('/').next().unwrap_or(part).to_owned(),
                parent_id: parent,
                created_at: Instant(at),
                updated_at: Instant(at),
            });
        }
        parent = Some(id);
    }
}

/// As JSON. PostgreSQL's has no NUL character either.
fn document(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().replace("\\u0000", "\\ufffd")
}

/// Who placed the order. Others may know the same one.
pub(super) fn user(changes: &mut Changes, known: &mut Known, order: &Order, touch: &OrderTouch) {
    let Some((placement, customer)) = order.placement().and_then(|placed| Some((placed, placed.customer.as_ref()?)))
    else {
        return;
    };
    let (id, placed_at) = (key::user(customer), Instant(placement.placed_at));
    if touch.placed && known.0.insert(id) {
        let customer_id = Shown(customer.clone());
        changes.users.push(UserRow { id, customer_id, created_at: placed_at, updated_at: placed_at });
    }
}
