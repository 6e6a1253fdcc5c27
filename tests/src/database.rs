//! A shop with a PostgreSQL beside it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use holdfast_api::load::{shop::Shop, stopwatch::Stopwatch};
use holdfast_persistence::{JournalReader, Store};
use holdfast_servers::Postgres;
use hyper::{Method, StatusCode};

use crate::{
    House,
    relational::{self, Compared},
};

/// How long the projection may take to catch up in a test, on however slow a machine.
pub const CAUGHT_UP: Duration = Duration::from_mins(3);

/// How a server is told of this PostgreSQL, and to try again soon: tests should not wait for what an operator would.
pub fn settings(server: &Postgres) -> Vec<(&'static str, String)> {
    vec![
        ("POSTGRES__URL", server.url()),
        ("POSTGRES__TLS", "off".to_owned()),
        ("POSTGRES__CONNECT_TIMEOUT_MS", "1000".to_owned()),
        ("POSTGRES__RETRY_MS", "100".to_owned()),
        ("POSTGRES__TAKE_OVER_WAIT_MS", "5000".to_owned()),
        ("POSTGRES__PROJECTION__RETRY_MAX_MS", "500".to_owned()),
        ("POSTGRES__PROJECTION__GATHER_MS", "10".to_owned()),
    ]
}

/// A house beside `server`, with further settings.
///
/// # Errors
/// When it does not come up.
pub fn house(server: &Postgres, more: &[(&str, &str)]) -> anyhow::Result<House> {
    let settings = settings(server);
    let all: Vec<_> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
    House::with_settings(&all)
}

/// What `/metrics` of `house` says.
///
/// # Errors
/// When it cannot be asked.
pub async fn metrics(house: &House) -> anyhow::Result<String> {
    let admin = house.server()?.ready().admin.context("an operators' address")?;
    let operator = Shop::new(admin.into(), house.shop().admin_token().map(str::to_owned));
    let answer = operator.admin_call(Method::GET, "/metrics", None).await?.expect("/metrics", &[StatusCode::OK])?;
    Ok(answer.body.as_str().context("metrics are text")?.to_owned())
}

/// How many records the journal of `house` has. What is being written may be missing.
///
/// # Errors
/// When it cannot be read.
pub fn journaled(house: &House) -> anyhow::Result<u64> {
    let next = JournalReader::open(&Store::journal_dir(&house.data()))?.next_seqs()?;
    Ok(next.iter().map(|next| next - 1).sum())
}

/// How many records the tables contain.
///
/// # Errors
/// When they cannot be asked.
pub fn projected(server: &Postgres) -> anyhow::Result<u64> {
    let sum = server.sql("SELECT coalesce(sum(seq), 0) FROM holdfast.projection_watermarks")?;
    sum.parse().with_context(|| format!("{sum:?} is no number"))
}

/// Waits until the tables contain everything that is in the journal now, and gives how long that took.
///
/// # Errors
/// When they never do.
pub async fn caught_up(server: &Arc<Postgres>, house: &House) -> anyhow::Result<Duration> {
    contains(server, journaled(house)?, CAUGHT_UP).await
}

/// Waits until the tables contain so many records, and gives how long that took.
///
/// # Errors
/// When they do not within `patience`.
pub async fn contains(server: &Arc<Postgres>, wanted: u64, patience: Duration) -> anyhow::Result<Duration> {
    let watch = Stopwatch::start();
    loop {
        let asked = Arc::clone(server);
        // Before the first start there are no tables.
        let contained = tokio::task::spawn_blocking(move || projected(&asked)).await?.unwrap_or(0);
        if contained >= wanted {
            return Ok(watch.elapsed());
        }
        ensure!(
            watch.elapsed() < patience,
            "{contained} of {wanted} records are projected after {:?}",
            watch.elapsed()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Compares all tables with the journal.
///
/// # Errors
/// What does not agree.
pub async fn compare(server: &Arc<Postgres>, house: &House) -> anyhow::Result<Compared> {
    let (server, folder) = (Arc::clone(server), Store::journal_dir(&house.data()));
    tokio::task::spawn_blocking(move || relational::compare(&server, &folder)).await?
}
