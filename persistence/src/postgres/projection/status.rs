//! What the tables contain, beside what the journal has: for people and scripts.

use std::{collections::BTreeMap, path::Path};

use holdfast_core::ShardId;

use super::{error::ProjectionError, session::read_watermarks};
use crate::{journal::JournalReader, postgres::Connector};

/// How a projection stands.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectionStatus {
    /// Every shard, in order.
    pub shards: Vec<ShardStatus>,
    /// Rows of every table, as the planner estimates them.
    pub rows: BTreeMap<String, i64>,
    /// When the oldest watermark of a shard that is behind was moved: seconds ago. 0 when nothing is behind.
    pub lag_seconds: f64,
}

/// One shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardStatus {
    /// Which.
    pub shard: ShardId,
    /// The last record the tables contain.
    pub watermark: u64,
    /// The last intact record in the journal's files; `None` when there are none here.
    pub journal: Option<u64>,
}

impl ProjectionStatus {
    /// Records in the journal without rows; `None` without a journal.
    pub fn lag_records(&self) -> Option<u64> {
        self.shards.iter().map(|shard| Some(shard.journal?.saturating_sub(shard.watermark))).sum()
    }
}

/// Looks at the tables of `connector`'s schema, and at the journal in `journal_dir` if there is one.
///
/// # Errors
/// When PostgreSQL cannot be asked or the journal's files cannot be read.
pub async fn status(connector: &Connector, journal_dir: Option<&Path>) -> Result<ProjectionStatus, ProjectionError> {
    let client = connector.connect().await?;
    let watermarks = read_watermarks(&client).await?;
    let ends = match journal_dir {
        Some(dir) => JournalReader::open(dir)?.next_seqs()?,
        None => Vec::new(),
    };
    let shards = watermarks.iter().map(|(shard, watermark)| ShardStatus {
        shard: *shard,
        watermark: *watermark,
        journal: ends.get(usize::from(shard.0)).map(|next| next - 1),
    });
    let shards: Vec<_> = shards.collect();
    let behind: Vec<i16> = shards
        .iter()
        .filter(|shard| shard.journal.is_some_and(|end| end > shard.watermark))
        .map(|shard| shard.shard.0.cast_signed())
        .collect();
    let lag = "SELECT coalesce(extract(epoch FROM now() - min(updated_at)), 0)::float8 FROM projection_watermarks WHERE shard = ANY($1)";
    let lag_seconds = client.query_one(lag, &[&behind]).await?.try_get(0)?;
    let counts = "SELECT relname::text, greatest(reltuples, 0)::int8 FROM pg_catalog.pg_class \
         WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname NOT LIKE 'refinery%' ORDER BY 1";
    let mut rows = BTreeMap::new();
    for row in client.query(counts, &[]).await? {
        rows.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(ProjectionStatus { shards, rows, lag_seconds })
}
