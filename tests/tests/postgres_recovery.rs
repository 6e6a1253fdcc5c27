//! The real server and its PostgreSQL, after its disk was lost, its snapshots wiped, or an older copy of its folder put back.

use std::{fs, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use holdfast_servers::Postgres;
use holdfast_tests::{
    House,
    database::{self, caught_up, compare},
    shoppers::Crowd,
};

const UNITS: u64 = 100_000;

/// A shop with two SKUs, and shoppers who will buy them.
async fn open(server: &Postgres, more: &[(&str, &str)]) -> anyhow::Result<(House, Crowd)> {
    let house = database::house(server, &[&[("STORE__SHARDS", "4")], more].concat())?;
    let mut crowd = Crowd::of(house.shop(), 4);
    for sku in ["CRASH-A", "CRASH-B", "CRASH-C", "CRASH-FEW"] {
        house.put_up(sku, UNITS).await?;
        crowd.put_up(sku, UNITS);
    }
    Ok((house, crowd))
}

/// Has the shoppers buy for a while.
async fn shop_for(crowd: &mut Crowd, time: Duration) -> anyhow::Result<()> {
    let shopping = crowd.go();
    tokio::time::sleep(time).await;
    shopping.end().await
}

fn log(house: &House) -> anyhow::Result<String> {
    Ok(fs::read_to_string(house.folder().join("server.log"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_whose_disk_was_lost_goes_on_from_postgresql_and_the_lost_disk_is_refused() -> anyhow::Result<()> {
    let server = Arc::new(Postgres::start()?);
    let (mut house, mut crowd) = open(&server, &[]).await?;
    shop_for(&mut crowd, Duration::from_secs(1)).await?;
    let lag = caught_up(&server, &house).await?;
    let compared = compare(&server, &house).await?;
    house.kill();
    let (data, lost) = (house.data(), house.folder().join("lost"));
    fs::rename(&data, &lost)?;
    let took = house.restart().await?;
    let log_text = log(&house)?;
    assert!(log_text.contains("the data directory was empty") && log_text.contains("is not here"), "{log_text}");
    // Buyers' tokens from before are in the hands of buyers, and open their orders still.
    let found = crowd.books().check(house.shop()).await?;
    println!("{compared:?}, caught up within {lag:?}; back from an empty disk in {took:?}: {found:?}");
    assert_eq!(found.found, found.acknowledged);
    shop_for(&mut crowd, Duration::from_millis(500)).await?;
    caught_up(&server, &house).await?;
    crowd.books().check(house.shop()).await?;
    house.kill();
    fs::rename(&data, house.folder().join("restored"))?;
    fs::rename(&lost, &data)?;
    let refused = house.restart().await.err().context("the disk that was lost was opened")?;
    assert!(format!("{refused:#}").contains("restored on another disk"), "{refused:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_lost_in_the_middle_of_a_sale_loses_what_was_not_projected_and_nothing_else() -> anyhow::Result<()> {
    let server = Arc::new(Postgres::start()?);
    let (mut house, mut crowd) = open(&server, &[]).await?;
    shop_for(&mut crowd, Duration::from_secs(1)).await?;
    caught_up(&server, &house).await?;
    let shopping = crowd.go();
    tokio::time::sleep(Duration::from_millis(700)).await;
    house.kill();
    // Whoever was told of an order that is lost would be told that there is no such order: nobody asks again.
    drop(shopping);
    let before = crowd.books();
    fs::remove_dir_all(house.data())?;
    let here = server.sql("SELECT order_number FROM holdfast.orders")?;
    house.restart().await?;
    let mut books = before.clone().after_a_loss();
    books.acknowledged.retain(|id, _| here.lines().any(|line| line == id));
    let lost = before.acknowledged.len() - books.acknowledged.len();
    let found = books.check(house.shop()).await?;
    println!(
        "{} acknowledged before the loss, {lost} of them lost with the disk; {found:?}",
        before.acknowledged.len()
    );
    assert_eq!(found.found, found.acknowledged);
    assert!(found.acknowledged > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_snapshots_beside_a_purged_journal_come_back_without_anybodys_help() -> anyhow::Result<()> {
    let server = Arc::new(Postgres::start()?);
    let small = [
        ("STORE__JOURNAL__SEGMENT_BYTES", "131072"),
        ("STORE__JOURNAL__RESERVE_BYTES", "32768"),
        ("STORE__JOURNAL__FRAME_LIMIT_BYTES", "16384"),
        ("STORE__JOURNAL__RECORD_LIMIT_BYTES", "8192"),
        ("STORE__JOURNAL__RETAIN_BYTES", "1"),
        ("LIMITS__BODY_BYTES", "4096"),
        ("RUNTIME__TURN_BYTES", "16384"),
        ("RUNTIME__CHECKPOINT_RECORDS", "100"),
    ];
    let (mut house, mut crowd) = open(&server, &small).await?;
    let first = house.data().join("journal/segment-0000000001.journal");
    let mut tries = 0;
    while first.exists() && tries < 60 {
        shop_for(&mut crowd, Duration::from_millis(500)).await?;
        caught_up(&server, &house).await?;
        tries += 1;
    }
    assert!(!first.exists(), "nothing was purged");
    house.kill();
    fs::remove_dir_all(house.data().join("snapshots"))?;
    house.restart().await?;
    let text = log(&house)?;
    assert!(text.contains("come from PostgreSQL (schema holdfast"), "{text}");
    let found = crowd.books().check(house.shop()).await?;
    println!("{found:?}");
    assert_eq!(found.found, found.acknowledged);
    shop_for(&mut crowd, Duration::from_millis(300)).await?;
    caught_up(&server, &house).await?;
    crowd.books().check(house.shop()).await.map(drop)
}

/// A stale copy, where nothing inside the folder can tell.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_whole_folder_is_refused_and_stays_as_it_is() -> anyhow::Result<()> {
    let server = Arc::new(Postgres::start()?);
    let (mut house, mut crowd) = open(&server, &[]).await?;
    shop_for(&mut crowd, Duration::from_millis(300)).await?;
    house.terminate(Duration::from_mins(1)).await?;
    let (data, old) = (house.data(), house.folder().join("old"));
    copy(&data, &old)?;
    house.restart().await?;
    shop_for(&mut crowd, Duration::from_millis(300)).await?;
    caught_up(&server, &house).await?;
    house.kill();
    let new = house.folder().join("new");
    fs::rename(&data, &new)?;
    copy(&old, &data)?;
    let refused = house.restart().await.err().context("an older copy was opened")?;
    let said = format!("{refused:#}");
    assert!(said.contains("older copy of the data directory") && said.contains("PostgreSQL"), "{said}");
    let segment = "journal/segment-0000000001.journal";
    assert!(fs::read(data.join(segment))? == fs::read(old.join(segment))?, "a refused start changed the journal");
    // The newest copy opens, also while PostgreSQL is down.
    fs::remove_dir_all(&data)?;
    fs::rename(&new, &data)?;
    let mut server = Arc::into_inner(server).context("the server")?;
    server.stop()?;
    let took = house.restart().await?;
    println!("{said}; without PostgreSQL the right one opens in {took:?}");
    crowd.books().check(house.shop()).await.map(drop)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
