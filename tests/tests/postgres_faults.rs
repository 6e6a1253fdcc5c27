//! PostgreSQL down, locked, frozen, cut off, restarted or replaced in the middle of a sale: every order is answered, every
//! order is in the tables afterwards, once, and the tables are what the journal says. The figures are printed; `cargo xtask
//! outage` takes them at full size.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use holdfast_servers::{Postgres, PostgresOptions};
use holdfast_tests::{
    House,
    database::{self, caught_up, compare},
    outage::Sale,
    shoppers::Crowd,
};

/// How long each kind of trouble lasts.
const TROUBLE: Duration = Duration::from_secs(2);
/// Lets a transaction be left open without a session, to hold locks.
const PREPARED: (&str, &str) = ("max_prepared_transactions", "2");

fn server() -> anyhow::Result<Postgres> {
    let settings = vec![(PREPARED.0.to_owned(), PREPARED.1.to_owned())];
    Postgres::with(&PostgresOptions { settings, ..PostgresOptions::default() })
}

/// Stopped, killed, frozen, locked and out of connections, one trouble after the other on one shop.
#[tokio::test(flavor = "multi_thread")]
async fn no_order_is_lost_or_refused_whatever_becomes_of_the_database() -> anyhow::Result<()> {
    let mut sale = Sale::open(server()?).await?;
    let report = sale.through(TROUBLE, Postgres::stop, |server, ()| server.start_again()).await?;
    println!("stopped: {report}");
    let report = sale.through(TROUBLE, Postgres::kill, |server, ()| server.start_again()).await?;
    println!("killed: {report}");
    let report = sale.through(TROUBLE, |server| server.freeze(), |server, ()| server.thaw()).await?;
    println!("frozen: {report}");
    let lock = "BEGIN; LOCK TABLE holdfast.orders, holdfast.inventory, holdfast.projection_watermarks \
         IN ACCESS EXCLUSIVE MODE; PREPARE TRANSACTION 'trouble'";
    let lock = |server: &mut Postgres| server.sql(lock).map(drop);
    let unlock = |server: &mut Postgres, ()| server.sql("ROLLBACK PREPARED 'trouble'").map(drop);
    let report = sale.through(TROUBLE, lock, unlock).await?;
    println!("locked: {report}");
    let close = |server: &mut Postgres| switch_connections(server, false);
    let report = sale.through(TROUBLE, close, |server, ()| switch_connections(server, true)).await?;
    println!("no connection to be had: {report}");
    println!("{:?}", sale.check().await?);
    Ok(())
}

/// Has the server take connections to the database or not; those that are there are cut when not.
fn switch_connections(server: &Postgres, allowed: bool) -> anyhow::Result<()> {
    let url = server.url();
    let elsewhere = format!("{}/template1", url.trim_end_matches("/postgres"));
    server.psql(&elsewhere, &["-c", &format!("ALTER DATABASE postgres ALLOW_CONNECTIONS {allowed}")])?;
    if !allowed {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'";
        server.psql(&elsewhere, &["-c", cut])?;
    }
    Ok(())
}

/// The check itself: it fails for a single changed, missing or invented row.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_changed_by_hand_does_not_pass_the_check() -> anyhow::Result<()> {
    let mut sale = Sale::open(server()?).await?;
    sale.sell(Duration::from_millis(200)).await?;
    sale.check().await?;
    let database = sale.server();
    let one = "(SELECT id FROM orders ORDER BY id LIMIT 1)";
    for change in [
        format!("UPDATE orders SET total = total + 0.01 WHERE id = {one}"),
        format!("UPDATE payments SET captured = captured + 0.01 WHERE order_id = {one}"),
        format!("DELETE FROM order_items WHERE order_id = {one}"),
        "UPDATE inventory SET held = held + 1".to_owned(),
        "INSERT INTO shipments SELECT id, 'shipped', now(), NULL, 1, now(), now() FROM orders LIMIT 1".to_owned(),
        "UPDATE entity_snapshots SET state = set_byte(state, 14, 99) WHERE kind = 1".to_owned(),
    ] {
        // The tables as they were are kept beside, and put back.
        database.sql("CREATE SCHEMA kept")?;
        for table in ["orders", "payments", "order_items", "inventory", "shipments", "entity_snapshots"] {
            database.sql(&format!("CREATE TABLE kept.{table} AS TABLE holdfast.{table}"))?;
        }
        database.sql(&format!("SET search_path TO holdfast; {change}"))?;
        let noticed = sale.check().await;
        assert!(noticed.is_err(), "{change}: {noticed:?}");
        for table in ["orders", "payments", "order_items", "shipments", "entity_snapshots"] {
            database.sql(&format!("DELETE FROM holdfast.{table}; INSERT INTO holdfast.{table} TABLE kept.{table}"))?;
        }
        database
            .sql("UPDATE holdfast.inventory AS t SET held = k.held FROM kept.inventory AS k WHERE k.sku = t.sku")?;
        database.sql("DROP SCHEMA kept CASCADE")?;
        sale.check().await?;
    }
    Ok(())
}

/// Connections cut at whatever they are at, COMMIT included, over and over.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_again_and_again_leave_every_row_exactly_once() -> anyhow::Result<()> {
    let mut sale = Sale::open(server()?).await?;
    let database = sale.server();
    let cutting = tokio::task::spawn_blocking(move || {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE application_name = 'holdfast' AND pid <> pg_backend_pid()";
        let mut cuts = 0_u32;
        for pause in [30, 50, 70, 110, 130, 170, 190, 230].iter().cycle().take(24) {
            cuts += database.sql(cut)?.parse::<u32>()?;
            std::thread::sleep(Duration::from_millis(*pause));
        }
        anyhow::Ok(cuts)
    });
    let outcome = sale.sell(Duration::from_secs(3)).await?;
    let cuts = cutting.await??;
    let compared = sale.check().await?;
    println!("{cuts} connections cut, {:.0} orders/s: {compared:?}", outcome.goodput_per_s);
    assert!(cuts > 0, "nothing was cut");
    Ok(())
}

/// The first host goes in the middle of a sale, then the other one, and the first comes back as it was.
#[tokio::test(flavor = "multi_thread")]
async fn another_host_in_the_url_takes_over_and_an_older_one_is_brought_up_to_date() -> anyhow::Result<()> {
    let (mut first, second) = (Postgres::start()?, Arc::new(Postgres::start()?));
    let url = first.url().replace(
        &format!("127.0.0.1:{}", first.port()),
        &format!("127.0.0.1:{},127.0.0.1:{}", first.port(), second.port()),
    );
    let house = database::house(&second, &[("POSTGRES__URL", &url)])?;
    let mut crowd = Crowd::of(house.shop(), 17);
    put_up(&house, &mut crowd).await?;
    let shopping = crowd.go();
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::task::block_in_place(|| first.stop())?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    shopping.end().await?;
    let took = caught_up(&second, &house).await?;
    println!("the second host had everything after {took:?}: {:?}", compare(&second, &house).await?);
    first.start_again()?;
    let mut second = Arc::into_inner(second).ok_or_else(|| anyhow::anyhow!("the second host is in use"))?;
    tokio::task::block_in_place(|| second.kill())?;
    let shopping = crowd.go();
    tokio::time::sleep(Duration::from_millis(300)).await;
    shopping.end().await?;
    let first = Arc::new(first);
    caught_up(&first, &house).await?;
    println!("the first one again: {:?}", compare(&first, &house).await?);
    crowd.books().check(house.shop()).await.map(drop)
}

/// What waits is counted just then when it cannot be projected.
#[tokio::test(flavor = "multi_thread")]
async fn the_lag_is_told_while_the_database_is_away_and_is_gone_when_it_is_back() -> anyhow::Result<()> {
    let mut server = Arc::new(Postgres::start()?);
    let house = database::house(&server, &[])?;
    house.put_up("LAG", 1_000).await?;
    // Before the tables were reached for the first time nobody knows what they contain, and no lag is told.
    caught_up(&server, &house).await?;
    let lag = async || {
        let text = database::metrics(&house).await?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse::<f64>().ok()).unwrap_or(f64::NAN)
        };
        anyhow::Ok((value("holdfast_projection_lag_records"), value("holdfast_projection_lag_seconds")))
    };
    wait_until(async || Ok(lag().await? == (0.0, 0.0))).await?;
    let server = Arc::get_mut(&mut server).context("the server is in use")?;
    tokio::task::block_in_place(|| server.stop())?;
    house.put_up("LATER", 1_000).await?;
    wait_until(async || Ok(matches!(lag().await?, (records, seconds) if records >= 2.0 && seconds > 0.5))).await?;
    server.start_again()?;
    wait_until(async || Ok(lag().await? == (0.0, 0.0))).await
}

async fn wait_until(done: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let waiting = async {
        while !done().await? {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    tokio::time::timeout(database::CAUGHT_UP, waiting).await.map_err(|_| anyhow::anyhow!("it never happened"))?
}

/// The server itself dies, at any moment of the projection's work.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_random_moments_leaves_the_projection_exactly_once() -> anyhow::Result<()> {
    let server = Arc::new(Postgres::start()?);
    let mut house = database::house(&server, &[("STORE__SHARDS", "4")])?;
    let mut crowd = Crowd::of(house.shop(), 23);
    put_up(&house, &mut crowd).await?;
    // Before that there may be no tables yet.
    caught_up(&server, &house).await?;
    for pause in [250, 90, 400, 160] {
        let shopping = crowd.go();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        house.kill();
        // Whatever instant it is, the tables are what the journal says up to their watermarks.
        let compared = compare(&server, &house).await?;
        house.restart().await?;
        shopping.end().await?;
        caught_up(&server, &house).await?;
        println!("killed after {pause} ms at {compared:?}, then {:?}", compare(&server, &house).await?);
    }
    let found = crowd.books().check(house.shop()).await?;
    println!("{found:?}");
    assert_eq!(found.found, found.acknowledged);
    Ok(())
}

async fn put_up(house: &House, crowd: &mut Crowd) -> anyhow::Result<()> {
    for sku in ["CRASH-A", "CRASH-B", "CRASH-C", "CRASH-FEW"] {
        house.put_up(sku, 100_000).await?;
        crowd.put_up(sku, 100_000);
    }
    Ok(())
}
