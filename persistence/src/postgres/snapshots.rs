//! The entity snapshots in PostgreSQL, read: the second [`SnapshotSource`]. They are written by the projection only, in the
//! transaction that moves the watermarks.
//!
//! Invariant: all that is read of one value is one instant of the database, so snapshots and watermarks fit together
//! whatever is written meanwhile.

use std::future::Future;

use holdfast_core::{EntityId, ShardId};
use tokio::runtime::Handle;
use tokio_postgres::{Client, Row};

use super::{connect::Connector, error::PostgresError, pool::within, stored};
use crate::{
    codec,
    codec::CodecError,
    event_type::kind_of,
    snapshot::{SnapshotError, SnapshotSource},
    state::EntityState,
};

/// Snapshots read at a time, in number: some hundred kilobytes.
const PAGE: usize = 1_024;

/// What is read of an entity in a schema that was not migrated yet, and knows snapshots alone.
const SNAPSHOT_ALONE: &str = "t.state, '{}'::bytea[]";
const HAS_CHANGES: &str = "SELECT to_regclass('entity_changes') IS NOT NULL";
const WATERMARK: &str = "SELECT seq FROM projection_watermarks WHERE shard = $1";

/// The snapshots of one instant. Its calls block, and must not be made on a thread of the runtime that drives tasks.
pub struct PostgresSnapshots {
    runtime: Handle,
    connector: Connector,
    client: Client,
    /// What is selected of an entity.
    parts: &'static str,
}

impl PostgresSnapshots {
    /// The snapshots as they are now. Blocking.
    ///
    /// # Errors
    /// [`PostgresError`], when the database cannot be reached or does not answer.
    pub fn open(runtime: Handle, connector: Connector) -> Result<Self, PostgresError> {
        let (client, has_changes) = runtime.block_on(async {
            let client = connector.connect().await?;
            let begin = client.batch_execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
            within(connector.statement_timeout(), begin).await?;
            let row = within(connector.statement_timeout(), client.query_one(HAS_CHANGES, &[])).await?;
            Ok::<_, PostgresError>((client, row.try_get::<_, bool>(0)?))
        })?;
        let parts = if has_changes { stored::PARTS } else { SNAPSHOT_ALONE };
        Ok(Self { runtime, connector, client, parts })
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, SnapshotError> {
        let patience = self.connector.statement_timeout();
        self.runtime.block_on(within(patience, work)).map_err(|error| SnapshotError::Elsewhere(Box::new(error)))
    }
}

impl SnapshotSource for PostgresSnapshots {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        let mut id = Vec::with_capacity(64);
        codec::encode_id(entity, &mut id);
        let (kind, of_shard) = (entity.kind() as i16, shard.0.cast_signed());
        let load = format!(
            "SELECT t.kind, t.entity, {} FROM entity_snapshots AS t WHERE t.shard = $1 AND t.kind = $2 AND t.entity = $3",
            self.parts
        );
        let row = self.wait(self.client.query_opt(&load, &[&of_shard, &kind, &id]))?;
        row.map(|row| read(shard, &row).map(|(_, version, state)| (version, state))).transpose()
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        let (of_shard, limit) = (shard.0.cast_signed(), i64::try_from(PAGE).unwrap_or(i64::MAX));
        let (mut kind, mut entity) = (0_i16, Vec::<u8>::new());
        let page = format!(
            "SELECT t.kind, t.entity, {} FROM entity_snapshots AS t \
             WHERE t.shard = $1 AND (t.kind, t.entity) > ($2, $3) ORDER BY t.kind, t.entity LIMIT $4",
            self.parts
        );
        loop {
            let rows = self.wait(self.client.query(&page, &[&of_shard, &kind, &entity, &limit]))?;
            for row in &rows {
                let (id, version, state) = read(shard, row)?;
                sink(id, version, state);
            }
            let Some(last) = rows.last().filter(|_| rows.len() == PAGE) else { return Ok(()) };
            (kind, entity) = (column(last, 0)?, column(last, 1)?);
        }
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        let row = self.wait(self.client.query_opt(WATERMARK, &[&shard.0.cast_signed()]))?;
        let seq: i64 = row.as_ref().map_or(Ok(0), |row| column(row, 0))?;
        u64::try_from(seq).map_err(|_| SnapshotError::Damaged { shard, what: "a watermark is negative" })
    }
}

/// One row of `entity_snapshots`, checked as one from disk is.
fn read(shard: ShardId, row: &Row) -> Result<(EntityId, u64, EntityState), SnapshotError> {
    let (kind, id): (i16, &[u8]) = (column(row, 0)?, column(row, 1)?);
    let (snapshot, changes): (&[u8], Vec<&[u8]>) = (column(row, 2)?, column(row, 3)?);
    let damaged = |what| SnapshotError::Damaged { shard, what };
    let kind = u8::try_from(kind).ok().and_then(kind_of).ok_or_else(|| damaged("a row names no kind of entity"))?;
    let entity = codec::decode_id(kind, id).map_err(|_| damaged("a row names no entity"))?;
    let (state, _) = stored::read(&entity, snapshot, &changes).map_err(|error| match error {
        CodecError::Checksum | CodecError::CutShort => damaged("a row's checksum does not match"),
        CodecError::Gap { .. } => damaged("events between a snapshot and the next are missing"),
        other => SnapshotError::Codec(other),
    })?;
    Ok((entity, state.version(), state))
}

fn column<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, SnapshotError> {
    row.try_get(index).map_err(|error| SnapshotError::Elsewhere(Box::new(PostgresError::from(error))))
}
