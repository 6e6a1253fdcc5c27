//! Searches of orders with a real PostgreSQL: it and the index in memory answer alike, and neither misses what its asker just
//! did, whatever becomes of PostgreSQL meanwhile.

use std::{collections::HashMap, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_actors::{OrderQuery, OrderSummary};
use holdfast_api::{
    Server,
    load::{order::fresh_run, shop::Shop},
    settings::{Secret, Settings},
};
use holdfast_core::{CustomerId, OrderId, ShardId, SkuId, Timestamp, order::OrderStatus};
use holdfast_persistence::{
    StoreId,
    postgres::{Database, PostgresSettings, PostgresUrl, StoreIdentity, TlsMode},
};
use holdfast_servers::Postgres;
use holdfast_tests::{
    House, binary, database,
    dice::Dice,
    purchase::{order_body, post_order},
    wire::Call,
};
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::time::timeout;

/// Longer than anything takes on a slow machine: what waits so long hangs.
const HANGS: Duration = Duration::from_mins(2);
const ADMIN: &str = "admin-token-of-the-search-tests-012345";
const SHARDS: u16 = 4;
const SKUS: [&str; 3] = ["CAP", "MUG", "TEE"];
const CUSTOMERS: [&str; 3] = ["ann", "bob", "eve"];

#[tokio::test]
async fn postgresql_and_the_index_in_memory_answer_every_search_alike() -> anyhow::Result<()> {
    let postgres = Postgres::start()?;
    let folder = tempfile::tempdir()?;
    let settings = settings(&postgres, folder.path())?;
    let server = Server::start(settings.clone()).await?;
    let shop = Shop::new(server.public_addr().into(), Some(ADMIN.to_owned()));
    sell(&shop, 250).await?;
    let database = database(&postgres, &settings.postgres)?;
    database.prepare_once().await?;
    let views = server.node().commerce().views();
    let written: Vec<_> = (0..SHARDS).map(ShardId).map(|id| (id, server.node().journal().next_seq(id) - 1)).collect();
    let all = views.orders(&OrderQuery { limit: 1_000, ..OrderQuery::default() });
    ensure!(all.len() == 250, "{} orders", all.len());
    let mut dice = Dice::new(4);
    let (mut pages, mut hits) = (0, 0);
    for search in 0..300 {
        let mut query = random_query(&mut dice, &all);
        loop {
            let here = views.orders(&query);
            let there = database.search_orders(&query, &written, HANGS).await?;
            assert_eq!(there, here, "search {search}: {query:?}");
            (pages, hits) = (pages + 1, hits + here.len());
            let Some(last) = here.last() else { break };
            query.before = Some((last.placed_at, last.id));
        }
    }
    println!("300 searches, {pages} pages, {hits} orders on them");
    ensure!(hits > 1_000, "only {hits} orders were found: the searches say little");
    ensure!(server.shutdown().await, "the server did not stop in time");
    Ok(())
}

#[tokio::test]
async fn whoever_did_something_finds_it_at_once_whatever_becomes_of_postgresql() -> anyhow::Result<()> {
    let mut postgres = Postgres::start()?;
    // As the role that may write rows and nothing else, in a schema that its owner made.
    let roles = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/postgres/roles.sql");
    postgres.psql(&postgres.url(), &["-v", "database=postgres", "-f", roles])?;
    postgres.sql("ALTER ROLE holdfast_owner PASSWORD 'owner'; ALTER ROLE holdfast_server PASSWORD 'server'")?;
    let url = |role, password| format!("postgresql://{role}:{password}@127.0.0.1:{}/postgres", postgres.port());
    let (owner, server) = (url("holdfast_owner", "owner"), url("holdfast_server", "server"));
    let migrated = Command::new(binary::holdfast()?)
        .args(["migrate", "up", "--set", "postgres.tls=off"])
        .env("HOLDFAST__POSTGRES__URL", owner)
        .output()?;
    ensure!(migrated.status.success(), "{migrated:?}");
    // As long as a slow machine needs: what is tested is that the answer is right, not who was quick.
    let mut house = House::with_settings(&[
        ("POSTGRES__URL", &server),
        ("POSTGRES__MIGRATE_ON_START", "false"),
        ("POSTGRES__TLS", "off"),
        ("POSTGRES__SEARCH_WAIT_MS", "5000"),
        ("POSTGRES__RETRY_MS", "50"),
        ("POSTGRES__PROJECTION__RETRY_MAX_MS", "500"),
    ])?;
    house.put_up("TEE", 1_000_000).await?;
    // By and by PostgreSQL is ready, and then it answers.
    wait_until(async || Ok(finds_its_order(&house).await? == "postgres")).await?;
    let canceled = order(&house).await?;
    let path = format!("/api/v1/orders/{canceled}/cancel");
    house.shop().admin_call(Method::POST, &path, None).await?.expect(&path, &[StatusCode::OK])?;
    ensure!(list(&house, "status=canceled").await?.contains(&canceled), "a cancellation was not found at once");
    postgres.freeze()?;
    assert_eq!(finds_its_order(&house).await?, "index", "with PostgreSQL frozen");
    postgres.thaw()?;
    wait_until(async || Ok(finds_its_order(&house).await? == "postgres")).await?;
    postgres.kill()?;
    assert_eq!(finds_its_order(&house).await?, "index", "with PostgreSQL dead");
    // A server that starts while it is dead sells and searches all the same.
    house.restart().await?;
    assert_eq!(finds_its_order(&house).await?, "index", "started without PostgreSQL");
    postgres.start_again()?;
    wait_until(async || Ok(finds_its_order(&house).await? == "postgres")).await?;
    let buyers = Call::new("GET", "/api/v1/orders").header("authorization", &format!("Bearer buy_{}", "1".repeat(64)));
    let before = answered_by(&house).await?;
    assert_eq!(buyers.send(house.shop().target().address()).await?.status, 200);
    let after = answered_by(&house).await?;
    assert_eq!(after.get("postgres"), before.get("postgres"), "a buyer's own list never leaves memory");
    Ok(())
}

/// Places an order and searches for it at once; who answered.
async fn finds_its_order(house: &House) -> anyhow::Result<String> {
    let placed = order(house).await?;
    let before = answered_by(house).await?;
    let listed = list(house, "sku=TEE&limit=5").await?;
    ensure!(listed.first() == Some(&placed), "{placed} was acknowledged, and is not the first of {listed:?}");
    let after = answered_by(house).await?;
    let who = after.into_iter().find(|(name, count)| before.get(name) != Some(count));
    who.map(|(name, _)| name).context("nobody answered")
}

async fn order(house: &House) -> anyhow::Result<String> {
    let body = order_body(&[("TEE", 1)], "tok_approve");
    let answer = post_order(house.shop(), &fresh_run()?, &body).await?.expect("an order", &[StatusCode::CREATED])?;
    Ok(answer.body["id"].as_str().context("an id")?.to_owned())
}

async fn list(house: &House, query: &str) -> anyhow::Result<Vec<String>> {
    let path = format!("/api/v1/orders?{query}");
    let answer = house.shop().admin_call(Method::GET, &path, None).await?.expect(&path, &[StatusCode::OK])?;
    let items = answer.body["items"].as_array().context("items")?;
    Ok(items.iter().filter_map(|item| item["id"].as_str().map(str::to_owned)).collect())
}

/// How many searches were answered by whom, as the server counts them.
async fn answered_by(house: &House) -> anyhow::Result<HashMap<String, u64>> {
    let text = database::metrics(house).await?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("holdfast_order_searches_total{answered_by=\""));
    let counts = lines.filter_map(|line| {
        let (name, count) = line.split_once("\"} ")?;
        Some((name.to_owned(), count.parse().ok()?))
    });
    Ok(counts.collect())
}

async fn wait_until(done: impl AsyncFn() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let waiting = async {
        while !done().await? {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    };
    timeout(HANGS, waiting).await.context("it never happened")?
}

fn settings(postgres: &Postgres, folder: &std::path::Path) -> anyhow::Result<Settings> {
    let mut settings = Settings::default();
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.listen = ([127, 0, 0, 1], 0).into();
    settings.admin.token = Some(Secret::new(ADMIN));
    settings.store.path = folder.join("data");
    settings.store.shards = SHARDS;
    settings.postgres.url = Some(PostgresUrl::try_from(postgres.url())?);
    settings.postgres.tls = TlsMode::Off;
    Ok(settings)
}

/// The same database seen by the test, once the server has put its name into it.
fn database(postgres: &Postgres, settings: &PostgresSettings) -> anyhow::Result<Database> {
    for _ in 0..HANGS.as_millis() / 50 {
        let row = postgres.sql("SELECT encode(store_id, 'hex') FROM holdfast.store").unwrap_or_default();
        if let Ok(store) = row.parse::<StoreId>() {
            return Ok(Database::new(settings, StoreIdentity { store, shards: SHARDS })?);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("the server never put its name into the database")
}

/// Orders of one to three SKUs, by customers and guests, some of them canceled, shipped, declined.
async fn sell(shop: &Shop, orders: usize) -> anyhow::Result<()> {
    let mut dice = Dice::new(3);
    for sku in SKUS {
        shop.put_up(&Shop::plain_product(sku, 100_000)).await?;
    }
    for _ in 0..orders {
        // One, two or all of them.
        let mut lines = Vec::new();
        for sku in SKUS {
            if dice.coin() || (lines.is_empty() && sku == SKUS[2]) {
                lines.push((sku, 1));
            }
        }
        let card = if dice.percent(10) { "tok_decline" } else { "tok_approve" };
        let mut body = order_body(&lines, card);
        if dice.percent(70) {
            body["customer"] = json!(dice.pick(&CUSTOMERS));
        }
        let answer = post_order(shop, &fresh_run()?, &body).await?.expect("an order", &[StatusCode::CREATED])?;
        let id = answer.body["id"].as_str().context("an id")?.to_owned();
        match dice.below(5) {
            0 => drop(shop.admin_call(Method::POST, &format!("/api/v1/orders/{id}/cancel"), None).await?),
            1 => {
                let status = json!({ "status": "shipped" });
                shop.admin_call(Method::PUT, &format!("/api/v1/orders/{id}/status"), Some(&status)).await?;
            }
            _ => {}
        }
    }
    settle(shop).await
}

/// Waits until no order is under way any more.
async fn settle(shop: &Shop) -> anyhow::Result<()> {
    wait_until(async || {
        let mut under_way = 0;
        for status in ["placed", "authorized"] {
            let path = format!("/api/v1/orders?status={status}");
            let answer = shop.admin_call(Method::GET, &path, None).await?.expect(&path, &[StatusCode::OK])?;
            under_way += answer.body["items"].as_array().map_or(0, Vec::len);
        }
        Ok(under_way == 0)
    })
    .await
}

fn random_query(dice: &mut Dice, all: &[OrderSummary]) -> OrderQuery {
    let instant = |dice: &mut Dice| {
        let at = dice.pick(all).map_or(0, |order| order.placed_at.as_millis());
        Timestamp::from_millis(at + i64::try_from(dice.below(3)).unwrap_or_default() - 1)
    };
    let limit = 1 + usize::try_from(dice.below(60)).unwrap_or_default();
    let mut query = OrderQuery { limit, ..OrderQuery::default() };
    if dice.percent(40) {
        let name = if dice.percent(10) { Some(&"nobody") } else { dice.pick(&CUSTOMERS) };
        query.customer = name.and_then(|name| CustomerId::parse(name).ok());
    }
    query.buyer = dice.pick(all).map(|order| order.buyer).filter(|_| dice.percent(5));
    if dice.percent(40) {
        let name = if dice.percent(10) { Some(&"NONE") } else { dice.pick(&SKUS) };
        query.sku = name.and_then(|name| SkuId::parse(name).ok());
    }
    if dice.percent(40) {
        query.status = dice.pick(&OrderStatus::ALL).copied();
    }
    query.placed_from = dice.percent(30).then(|| instant(dice));
    query.placed_to = dice.percent(30).then(|| instant(dice));
    if dice.percent(30) {
        // An order that is there, or a place between two.
        let there = dice.pick(all).map(|order| order.id).filter(|_| dice.coin());
        query.before = Some((instant(dice), there.unwrap_or(OrderId::from_u128(1 << 127))));
    }
    query
}
