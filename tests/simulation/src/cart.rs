//! A buyer's cart: filled item by item, merged from another now and then, and read before it is checked out, because an
//! addition whose answer was lost may have happened or not.

use holdfast_actors::CommandError;
use holdfast_core::{
    CartId, Currency, EntityId, Quantity, SkuId,
    cart::{Cart, CartState},
};

use crate::{buyer::Plan, outside::Outside, violation::Promise};

/// Fills the buyer's cart. Gives its lines and its version, or nothing if they gave up.
pub(crate) async fn fill(outside: &Outside, plan: &Plan) -> Option<(Vec<(SkuId, Quantity)>, u64)> {
    let cart = plan.cart();
    create(outside, cart).await?;
    for (sku, units) in &plan.lines {
        add(outside, cart, sku, *units).await;
    }
    if plan.number.is_multiple_of(5) {
        merge_into(outside, cart, plan).await;
    }
    let read = read(outside, cart).await?;
    if read.state() != CartState::Open || read.lines().is_empty() {
        return None;
    }
    let lines = read.lines().iter().map(|line| (line.sku.clone(), line.quantity)).collect();
    Some((lines, read.version_seen()))
}

/// What a buyer sees of a cart's version.
trait Seen {
    fn version_seen(&self) -> u64;
}

impl Seen for Cart {
    fn version_seen(&self) -> u64 {
        holdfast_core::Entity::version(self)
    }
}

fn saw(outside: &Outside, cart: &Cart) {
    outside.book.acknowledge(EntityId::Cart(cart.id()), cart.version_seen());
}

async fn create(outside: &Outside, cart: CartId) -> Option<()> {
    for _ in 0..8 {
        let answer =
            outside.ask(10_000, |commerce| async move { commerce.create_cart(cart, Currency::EUR).await }).await;
        match answer {
            Some(Ok(cart)) => {
                saw(outside, &cart);
                return Some(());
            }
            // Made by an attempt whose answer was lost.
            Some(Err(CommandError::Rejected(_))) => return Some(()),
            Some(Err(_)) | None => outside.pause(50, 5_000).await,
        }
    }
    None
}

async fn add(outside: &Outside, cart: CartId, sku: &SkuId, units: Quantity) {
    for _ in 0..3 {
        let sku = sku.clone();
        let answer =
            outside.ask(10_000, |commerce| async move { commerce.add_item(cart, sku, units, None).await }).await;
        match answer {
            Some(Ok(cart)) => return saw(outside, &cart),
            Some(Err(CommandError::Rejected(_))) => return,
            Some(Err(_)) | None => outside.pause(50, 5_000).await,
        }
    }
}

/// Fills a second cart and moves its lines over. Whatever becomes of it, no line is in both.
async fn merge_into(outside: &Outside, into: CartId, plan: &Plan) {
    let from = CartId::from_u128(into.as_u128() ^ (1 << 100) ^ 0x0f0f);
    if create(outside, from).await.is_none() {
        return;
    }
    if let Some((sku, units)) = plan.lines.first() {
        add(outside, from, sku, *units).await;
    }
    for _ in 0..4 {
        match outside.ask(10_000, |commerce| async move { commerce.merge_cart(from, into).await }).await {
            Some(Ok(merged)) => {
                saw(outside, &merged);
                if !merged.has_taken_in(from) {
                    outside.violation(Promise::State, format!("{into} does not know that it took {from} in"));
                }
                return;
            }
            Some(Err(CommandError::Rejected(_))) => return,
            Some(Err(_)) | None => outside.pause(50, 5_000).await,
        }
    }
}

async fn read(outside: &Outside, cart: CartId) -> Option<Cart> {
    for _ in 0..8 {
        match outside.ask(10_000, |commerce| async move { commerce.cart(cart).await }).await {
            Some(Ok(cart)) => {
                saw(outside, &cart);
                return Some(cart);
            }
            Some(Err(CommandError::Rejected(_))) => return None,
            Some(Err(_)) | None => outside.pause(50, 5_000).await,
        }
    }
    None
}
