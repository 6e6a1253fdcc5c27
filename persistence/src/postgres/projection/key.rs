//! Keys of relational rows: UUIDs that follow from our ids, so that every rebuild and every reader gets the same ones.
//!
//! Invariant: they never change, because reports and other systems keep them. Where an id has 128 bits of its own, the key is
//! those bits; where it is a text or a place, the key is a digest of it (RFC 9562, version 8), under a name of its own so that
//! no two kinds of things meet.

use holdfast_core::{BuyerId, CartId, CustomerId, OrderId, ShardId, SkuId};
use uuid::{Builder, Uuid};

/// `orders.id` of an order.
pub fn order(id: OrderId) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

/// `carts.id` of a cart.
pub fn cart(id: CartId) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

/// `orders.buyer_id` of a buyer.
pub fn buyer(id: BuyerId) -> Uuid {
    Uuid::from_u128(id.as_u128())
}

/// `products.id` of a SKU, also `product_id` in every other table.
pub fn product(sku: &SkuId) -> Uuid {
    digest("product", sku.as_str().as_bytes())
}

/// `users.id` of a customer.
pub fn user(customer: &CustomerId) -> Uuid {
    digest("user", customer.as_str().as_bytes())
}

/// `categories.id` of a path.
pub(super) fn category(path: &str) -> Uuid {
    digest("category", path.as_bytes())
}

/// `product_variants.id` of what a product lists at a place.
pub(super) fn variant(product: &SkuId, position: i16) -> Uuid {
    let mut name = product.as_str().as_bytes().to_vec();
    name.extend([0]);
    name.extend(position.to_be_bytes());
    digest("variant", &name)
}

/// `refunds.id` of an order's refund.
pub(super) fn refund(order: OrderId, number: i16) -> Uuid {
    let mut name = order.as_u128().to_be_bytes().to_vec();
    name.extend(number.to_be_bytes());
    digest("refund", &name)
}

/// `stock_movements.id` of a journal record: its place, so that new rows go to the end of the index.
pub(super) fn movement(shard: ShardId, seq: u64) -> Uuid {
    Uuid::from_u64_pair(shard.0.into(), seq)
}

fn digest(kind: &str, name: &[u8]) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"holdfast ").update(kind.as_bytes()).update(&[0]).update(name);
    let mut bytes = [0; 16];
    hasher.finalize_xof().fill(&mut bytes);
    Builder::from_custom_bytes(bytes).into_uuid()
}
