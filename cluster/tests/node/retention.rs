//! A bounded history: what snapshots contain is let go, what they lack stays, and everything comes back as it was.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU32, atomic::Ordering},
    time::Duration,
};

use holdfast_actors::{CheckoutError, CommandError, RuntimeSettings};
use holdfast_core::{EntityId, ShardId, order::OrderStatus};
use holdfast_persistence::{JournalError, JournalStats};

use crate::{
    panic::bomb,
    recovery::{busy_shop, picture},
    shop::{Setup, Shop, sku, skus_apart},
};

/// Two of the smallest segments.
const RETAIN_BYTES: u64 = 128 << 10;

fn bounded() -> Setup {
    let settings =
        RuntimeSettings { checkpoint_records: 20, checkpoint_changed_percent: 0, ..RuntimeSettings::default() };
    Setup { settings, retain_bytes: Some(RETAIN_BYTES), ..Setup::default() }
}

/// Waits until the journal's figures are as they should be.
async fn wait_for_journal(shop: &Shop, wanted: impl Fn(JournalStats) -> bool) -> JournalStats {
    let arrive = async {
        loop {
            let stats = shop.node.journal().stats();
            if wanted(stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(30), arrive).await;
    arrived.unwrap_or_else(|_| panic!("the journal stays at {:?}", shop.node.journal().stats()))
}

/// Where a replay of every shard would begin.
fn after_the_snapshots(shop: &Shop) -> BTreeMap<ShardId, u64> {
    let watermark = |shard| shop.node.snapshots().watermark(shard).expect("a watermark");
    shop.node.shards().iter().map(|report| (report.shard, watermark(report.shard) + 1)).collect()
}

fn replay(shop: &Shop, from: &BTreeMap<ShardId, u64>) -> Result<u64, JournalError> {
    shop.node.journal().replay(from, &|_, _, _| {}, &|_| {}).map(|summary| summary.records)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounded_journal_shrinks_under_load_and_everything_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open_with(dir.path(), bounded()).await;
    let orders = busy_shop(&shop, 300).await;
    let stats = wait_for_journal(&shop, |stats| stats.purged_segments > 0 && stats.segments <= 3).await;
    println!("{} of {} segments purged", stats.purged_segments, stats.purged_segments + stats.segments);
    assert_eq!(stats.purged_bytes, stats.purged_segments * (64 << 10));
    assert!(replay(&shop, &after_the_snapshots(&shop)).is_ok(), "what the snapshots lack is there");
    let whole = replay(&shop, &BTreeMap::new());
    assert!(matches!(whole, Err(JournalError::Purged { .. })), "{whole:?}");
    let before = picture(&shop, &orders).await;
    shop.crash().await;
    let shop = Shop::open_with(dir.path(), bounded()).await;
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_above_a_shards_watermark_is_purged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut setup = bounded();
    setup.settings.checkpoint_records = 50;
    let interval = u64::try_from(setup.settings.checkpoint_interval_ms).expect("positive");
    let shop = Shop::open_with(dir.path(), setup).await;
    let names = skus_apart(2);
    shop.stock(&names[0], 7).await;
    shop.stock(&names[1], 1_000).await;
    for key in 0..600 {
        let order = shop.buy(key, &[(&names[1], 1)]).await.expect("placed").order.id();
        shop.wait_for(order, OrderStatus::Confirmed).await;
    }
    let stats = shop.node.journal().stats();
    assert!(stats.segments > 4 && stats.purged_segments == 0, "the idle shard has no snapshot yet: {stats:?}");
    shop.clock.advance(interval + 1);
    wait_for_journal(&shop, |stats| stats.segments <= 4).await;
    shop.crash().await;
    let shop = Shop::open_with(dir.path(), bounded()).await;
    assert_eq!(shop.level(&names[0]).available(), 7);
    shop.wait_for_level(&names[1], 0, 600).await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_keeps_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::open_with(dir.path(), Setup { retain_bytes: Some(0), ..bounded() }).await;
    let orders = busy_shop(&shop, 300).await;
    let before = picture(&shop, &orders).await;
    shop.close().await;
    let shop = Shop::open_with(dir.path(), Setup { retain_bytes: Some(0), ..bounded() }).await;
    let stats = shop.node.journal().stats();
    assert!(stats.segments > 3, "{stats:?}");
    assert!(replay(&shop, &BTreeMap::new()).expect("the whole history") > 1_000);
    assert_eq!(picture(&shop, &orders).await, before);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entity_that_panics_is_rebuilt_although_its_early_records_are_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let bombs = Arc::new(AtomicU32::new(0));
    let name = skus_apart(1).remove(0);
    let probe = Some(bomb(EntityId::Stock(sku(&name)), Arc::clone(&bombs)));
    let shop = Shop::open_with(dir.path(), Setup { probe, ..bounded() }).await;
    busy_shop(&shop, 200).await;
    wait_for_journal(&shop, |stats| stats.purged_segments > 0).await;
    let before = shop.level(&name);
    bombs.store(1, Ordering::SeqCst);
    let hurt = shop.buy(1_000, &[(&name, 1)]).await;
    assert!(matches!(hurt, Err(CheckoutError::Command(CommandError::Panicked(_)))), "{hurt:?}");
    let order = shop.buy(1_001, &[(&name, 1)]).await.expect("rebuilt and selling").order.id();
    shop.wait_for(order, OrderStatus::Confirmed).await;
    let level = shop.wait_for_level(&name, 0, before.allocated + 1).await;
    assert_eq!(level.on_hand, before.on_hand);
    shop.close().await;
}
