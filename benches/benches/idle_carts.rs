//! How many bytes of memory does an idle cart with one line take, with a million of them live?

use std::sync::Arc;

use holdfast_actors::RuntimeSettings;
use holdfast_benches::{
    Shop,
    scale::{resident_bytes, sized},
};
use holdfast_core::{CartId, Currency, Quantity, SkuId};
use tokio::{runtime::Runtime, task::JoinSet};

const CARTS: u64 = 1_000_000;
/// Enough to see that it works.
const FEW_CARTS: u64 = 1_000;
const HOUR_MS: i64 = 60 * 60 * 1_000;

async fn fill(shop: Arc<Shop>, sku: SkuId, carts: u64) {
    let mut clients = JoinSet::new();
    for client in 0..512_u64 {
        let (shop, sku) = (Arc::clone(&shop), sku.clone());
        clients.spawn(async move {
            for number in (client..carts).step_by(512) {
                // Spread over all slots as a digest would be.
                let cart =
                    CartId::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
                let commerce = shop.node.commerce();
                commerce.create_cart(cart, Currency::EUR).await.unwrap_or_else(|error| panic!("{error}"));
                let added = commerce.add_item(cart, sku.clone(), Quantity::ONE, None).await;
                added.unwrap_or_else(|error| panic!("{error}"));
            }
        });
    }
    clients.join_all().await;
}

fn main() {
    let carts = sized(CARTS, FEW_CARTS);
    let runtime = Runtime::new().unwrap_or_else(|error| panic!("{error}"));
    let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    let settings = RuntimeSettings {
        checkpoint_records: u64::MAX,
        checkpoint_interval_ms: HOUR_MS,
        passivate_after_ms: HOUR_MS,
        max_live_entities: usize::MAX,
        ..RuntimeSettings::default()
    };
    let sku = SkuId::parse("HP-1").unwrap_or_else(|error| panic!("{error}"));
    let shop = Arc::new(runtime.block_on(Shop::open(dir.path(), settings)));
    runtime.block_on(shop.stock(&sku, 1_000));
    let before = resident_bytes();
    runtime.block_on(fill(Arc::clone(&shop), sku, carts));
    let after = resident_bytes();
    let live: usize = shop.node.shards().iter().map(|report| report.figures.live).sum();
    eprintln!("{live} live entities, {} bytes of resident memory per cart", after.saturating_sub(before) / carts);
}
