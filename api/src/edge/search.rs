//! Where a search of orders is answered: by PostgreSQL, when it has everything that was durable when the question came; by
//! the index in memory otherwise.
//!
//! Invariant: both give the same answer, and neither misses what its asker was told before. That PostgreSQL is down, slow or
//! behind shows in a metric and in nothing else.
//!
//! A buyer's own list never leaves memory: it is a few orders that the index has at hand, and it is asked during the sale.

use std::time::Duration;

use holdfast_actors::{Commerce, Node, OrderQuery, OrderSummary};
use holdfast_core::ShardId;
use holdfast_persistence::postgres::{Database, PostgresError, Standing};

use super::{App, problem::Problem};

/// One page of orders.
///
/// # Errors
/// While the server recovers.
pub(super) async fn orders(app: &App, query: &OrderQuery) -> Result<Vec<OrderSummary>, Problem> {
    let commerce = app.catalog()?;
    if let (None, Some(database), Some(node)) = (query.buyer, app.database(), app.node())
        && database.standing() == Standing::Ready
    {
        let patience = Duration::from_millis(app.settings.postgres.search_wait_ms);
        match elsewhere(database, node, query, patience).await {
            Ok(found) => {
                count("postgres");
                return Ok(found);
            }
            Err(error @ PostgresError::Behind { .. }) => tracing::debug!(%error, "the local index answers"),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the local index answers instead of PostgreSQL"
                );
            }
        }
    }
    count("index");
    Ok(here(commerce, query))
}

fn here(commerce: &Commerce, query: &OrderQuery) -> Vec<OrderSummary> {
    commerce.views().orders(query)
}

async fn elsewhere(
    database: &Database,
    node: &Node,
    query: &OrderQuery,
    patience: Duration,
) -> Result<Vec<OrderSummary>, PostgresError> {
    database.search_orders(query, &written(node, database.identity().shards), patience).await
}

/// The last record of every shard: whatever anybody was told is among them.
fn written(node: &Node, shards: u16) -> Vec<(ShardId, u64)> {
    let last = |shard| node.journal().next_seq(shard).saturating_sub(1);
    (0..shards).map(ShardId).map(|shard| (shard, last(shard))).collect()
}

fn count(source: &'static str) {
    metrics::counter!("holdfast_order_searches_total", "answered_by" => source).increment(1);
}
