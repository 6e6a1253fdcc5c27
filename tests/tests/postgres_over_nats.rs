//! The journal in NATS with a PostgreSQL beside it: a node whose folder is empty, or behind what the streams still have, is
//! filled from PostgreSQL, and goes on.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_api::load::stopwatch::Stopwatch;
use holdfast_servers::{Nats, NatsOptions, Postgres};
use holdfast_tests::{
    House,
    database::{self, CAUGHT_UP, projected},
    shoppers::Crowd,
};

const UNITS: u64 = 100_000;

/// A shop over both, which keeps no history beyond what is needed.
async fn open(postgres: &Postgres, nats: &Nats) -> anyhow::Result<(House, Crowd)> {
    let url = nats.url();
    let settings = [
        ("STORE__SHARDS", "2"),
        ("NATS__URL", url.as_str()),
        ("NATS__REPLICAS", "1"),
        ("STORE__JOURNAL__RETAIN_BYTES", "1"),
        ("RUNTIME__CHECKPOINT_RECORDS", "100"),
    ];
    let house = database::house(postgres, &settings)?;
    let mut crowd = Crowd::of(house.shop(), 4);
    for sku in ["CRASH-A", "CRASH-B", "CRASH-C", "CRASH-FEW"] {
        house.put_up(sku, UNITS).await?;
        crowd.put_up(sku, UNITS);
    }
    Ok((house, crowd))
}

/// Shops until messages were purged: nobody can replay from the beginning any more.
async fn shop_until_purged(house: &House, crowd: &mut Crowd) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    while purged(house).await? == 0 {
        ensure!(watch.elapsed() < CAUGHT_UP, "nothing was purged");
        let shopping = crowd.go();
        tokio::time::sleep(Duration::from_millis(500)).await;
        shopping.end().await?;
    }
    Ok(())
}

/// How many messages the server has purged since its start.
async fn purged(house: &House) -> anyhow::Result<u64> {
    let metrics = database::metrics(house).await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("holdfast_journal_purged_segments_total "));
    Ok(line.and_then(|count| count.trim().parse().ok()).unwrap_or(0))
}

/// Waits until PostgreSQL contains nothing new for a while: with the journal elsewhere nobody counts its records.
async fn at_rest(postgres: &Arc<Postgres>) -> anyhow::Result<()> {
    let (watch, mut before, mut same) = (Stopwatch::start(), u64::MAX, 0);
    while same < 10 {
        ensure!(watch.elapsed() < CAUGHT_UP, "the projection does not come to rest");
        let asked = Arc::clone(postgres);
        let now = tokio::task::spawn_blocking(move || projected(&asked)).await??;
        same = if now == before { same + 1 } else { 0 };
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_is_filled_from_postgresql_where_the_streams_begin_too_late() -> anyhow::Result<()> {
    let (postgres, nats) = (Arc::new(Postgres::start()?), Nats::start(&NatsOptions::default())?);
    let (mut house, mut crowd) = open(&postgres, &nats).await?;
    shop_until_purged(&house, &mut crowd).await?;
    let acknowledged = crowd.books().acknowledged.len();
    house.kill();
    let snapshots = house.data().join("snapshots");
    let kept = house.folder().join("snapshots-of-before");
    fs::rename(&snapshots, &kept)?;

    let took = house.restart().await?;
    let found = crowd.books().check(house.shop()).await?;
    println!("{acknowledged} orders, streams purged, snapshots gone: back in {took:?}: {found:?}");
    assert_eq!(found.found, found.acknowledged);
    let log = fs::read_to_string(house.folder().join("server.log"))?;
    ensure!(log.contains("entities come from"), "{log}");

    // The folder of before is behind what is purged next, and is put right in the same way.
    at_rest(&postgres).await?;
    shop_until_purged(&house, &mut crowd).await?;
    house.kill();
    fs::remove_dir_all(&snapshots)?;
    fs::rename(&kept, &snapshots)?;
    let took = house.restart().await?;
    let found = crowd.books().check(house.shop()).await?;
    println!("older snapshots put back: back in {took:?}: {found:?}");
    assert_eq!(found.found, found.acknowledged);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_does_not_answer_an_empty_folder_is_refused_and_nothing_is_changed() -> anyhow::Result<()> {
    let (mut postgres, nats) = (Postgres::start()?, Nats::start(&NatsOptions::default())?);
    let (mut house, mut crowd) = open(&postgres, &nats).await?;
    shop_until_purged(&house, &mut crowd).await?;
    house.kill();
    postgres.kill()?;
    fs::remove_dir_all(house.data().join("snapshots"))?;
    let refused = house.restart().await.err().context("a folder without snapshots was opened")?;
    ensure!(format!("{refused:#}").contains("make the database reachable"), "{refused:#}");
    postgres.start_again()?;
    house.restart().await?;
    let found = crowd.books().check(house.shop()).await?;
    assert_eq!(found.found, found.acknowledged);
    Ok(())
}
