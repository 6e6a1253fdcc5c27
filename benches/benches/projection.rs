//! How many rows a second does the projection write, beside `COPY` of the same rows and beside one insert per row?
//!
//! `cargo bench --workspace --bench projection`: one run, one table. It fills a journal by selling, projects all of it into a
//! PostgreSQL of its own on the same machine, copies the very same rows into empty tables of the same shape, and inserts
//! some of them one by one.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use holdfast_actors::RuntimeSettings;
use holdfast_benches::{Shop, one_line_order, open_store, scale::sized};
use holdfast_core::{ShardCount, SkuId};
use holdfast_persistence::{
    Journal, StoreId,
    postgres::{
        Database, PostgresSettings, PostgresUrl, StoreIdentity, TlsMode,
        projection::{Projection, ProjectionSettings},
    },
};
use holdfast_servers::{Postgres, PostgresOptions, processor};
use tokio::{runtime::Runtime, task::JoinSet};

/// Sold through the node, so that the journal is what a sale leaves: seven records each.
const ORDERS: u64 = 60_000;
/// Enough to see that it works.
const FEW_ORDERS: u64 = 640;
/// Sold at once: so many SKUs.
const SKUS: u64 = 64;
/// Inserted one by one: enough to tell.
const SINGLE_INSERTS: usize = 3_000;
/// The tables with a row or more per order.
const TABLES: [&str; 7] =
    ["users", "orders", "order_items", "payments", "stock_movements", "inventory", "entity_snapshots"];

/// Sells, and leaves as a crash would.
async fn fill(dir: &Path) {
    let settings = RuntimeSettings { checkpoint_records: u64::MAX, mailbox_permits: 100_000, ..Default::default() };
    let shop = Arc::new(Shop::open(dir, settings).await);
    let mut clients = JoinSet::new();
    for client in 0..SKUS {
        let shop = Arc::clone(&shop);
        clients.spawn(async move {
            let sku = SkuId::parse(&format!("SKU-{client}")).unwrap_or_else(|error| panic!("{error}"));
            shop.stock(&sku, 1_000_000).await;
            for number in 0..sized(ORDERS, FEW_ORDERS) / SKUS {
                let order = one_line_order(
                    u128::from(client << 32 | (number + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_0cb5) << 16,
                    &sku,
                );
                shop.node.commerce().checkout(order).await.unwrap_or_else(|error| panic!("{error}"));
            }
        });
    }
    clients.join_all().await;
    while shop.node.shards().iter().any(|report| report.figures.pursuits > 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processor time that PostgreSQL's processes used so far, in seconds.
fn processor_seconds(server: &Postgres) -> anyhow::Result<f64> {
    let folder = server.sql("SHOW data_directory")?;
    let pid = fs::read_to_string(Path::new(&folder).join("postmaster.pid"))?;
    let root = pid.lines().next().context("a process id")?.parse()?;
    Ok(processor::used(&[root]).as_secs_f64())
}

fn settings(server: &Postgres) -> anyhow::Result<PostgresSettings> {
    let url = PostgresUrl::try_from(server.url()).map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(PostgresSettings { url: Some(url), tls: TlsMode::Off, ..PostgresSettings::default() })
}

fn rows(server: &Postgres) -> anyhow::Result<f64> {
    let counts = TABLES.map(|table| format!("(SELECT count(*) FROM holdfast.{table})"));
    Ok(server.sql(&format!("SELECT {}", counts.join(" + ")))?.parse()?)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures")]
fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let began = Instant::now();
    let done = work()?;
    Ok((done, began.elapsed().as_secs_f64()))
}

fn project(server: &Postgres, journal: &Arc<dyn Journal>, shards: ShardCount) -> anyhow::Result<()> {
    let identity = StoreIdentity { store: StoreId::from_bytes([7; 16]), shards: shards.get() };
    let database = Database::new(&settings(server)?, identity)?;
    Runtime::new()?.block_on(database.prepare_once())?;
    let projection = Projection::start(Arc::clone(journal), database, shards, ProjectionSettings::default())?;
    let progress = projection.progress();
    while shards.iter().any(|shard| progress.watermark(shard) + 1 < journal.next_seq(shard)) {
        ensure!(progress.trouble().is_none(), "{:?}", progress.trouble());
        std::thread::sleep(Duration::from_millis(5));
    }
    projection.stop();
    Ok(())
}

/// The same rows by `COPY`, from files of the server's into tables with the same indexes: what the server can do at best.
fn copy(server: &Postgres) -> anyhow::Result<f64> {
    let folder = server.sql("SHOW data_directory")?;
    let columns = |table: &str| {
        server.sql(&format!(
            "SELECT string_agg(quote_ident(attname), ',') FROM pg_attribute WHERE attrelid = 'holdfast.{table}'::regclass \
             AND attnum > 0 AND attgenerated = ''"
        ))
    };
    let mut fill = Vec::new();
    for table in TABLES {
        let columns = columns(table)?;
        server.sql(&format!("COPY holdfast.{table} ({columns}) TO '{folder}/{table}.copy'"))?;
        server.sql(&format!("CREATE TABLE IF NOT EXISTS public.{table} (LIKE holdfast.{table} INCLUDING ALL)"))?;
        fill.push(format!("COPY public.{table} ({columns}) FROM '{folder}/{table}.copy';"));
    }
    Ok(timed(|| server.sql(&fill.concat()))?.1)
}

/// Orders one statement each, each its own transaction, on one connection.
fn insert_singly(server: &Postgres) -> anyhow::Result<f64> {
    let columns = "id, order_number, buyer_id, status, total, currency, lines, units, placed_at, expires_at, version, created_at, updated_at";
    let statements = server.sql(&format!(
        "SELECT format('INSERT INTO public.orders ({columns}) VALUES (%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L);', \
         id, order_number, buyer_id, status, total, currency, lines, units, placed_at, expires_at, version, created_at, updated_at) \
         FROM holdfast.orders LIMIT {SINGLE_INSERTS}"
    ))?;
    server.sql("TRUNCATE public.orders")?;
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), statements)?;
    Ok(timed(|| server.psql(&server.url(), &["-f", &file.path().to_string_lossy()]))?.1)
}

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    Runtime::new()?.block_on(fill(dir.path()));
    let store = open_store(dir.path());
    let shards = store.shards;
    let records: u64 = shards.iter().map(|shard| store.journal.next_seq(shard) - 1).sum();
    let options = PostgresOptions {
        durable: true,
        // As a server has that is more than a test's: the data fit, and no checkpoint falls into a run.
        settings: [("max_wal_size", "4GB"), ("shared_buffers", "512MB")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Default::default()
    };
    let server = Postgres::with(&options)?;
    eprintln!("{} orders, {records} records", sized(ORDERS, FEW_ORDERS));
    for round in 1..=sized(3, 1) {
        server.sql(
            "DROP SCHEMA IF EXISTS holdfast CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public; CHECKPOINT",
        )?;
        let before = processor_seconds(&server)?;
        let ((), projected) = timed(|| project(&server, &store.journal, shards))?;
        let used = processor_seconds(&server)? - before;
        let rows = rows(&server)?;
        server.sql("CHECKPOINT")?;
        let before = processor_seconds(&server)?;
        let copied = copy(&server)?;
        let copy_used = processor_seconds(&server)? - before;
        let single = insert_singly(&server)?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let (inserted, records) = (SINGLE_INSERTS as f64 / single, records as f64);
        // What is left when others use the machine as well.
        let each = |seconds: f64| 1e6 * seconds / rows;
        eprintln!(
            "round {round}: {rows} rows | projected {:.0} rows/s ({:.0} records/s; PostgreSQL's processor time {:.1} us a row) | COPY {:.0} rows/s ({:.1} us) | one by one {inserted:.0} rows/s",
            rows / projected,
            records / projected,
            each(used),
            rows / copied,
            each(copy_used)
        );
    }
    Ok(())
}
