//! The projection's work on one connection: from the watermarks in the database on, batch by batch, until an error ends it.
//!
//! Invariant: everything that is remembered of the tables was read from this connection after it was made, or committed
//! through it. After any error all of it is forgotten and read again: the watermark then shows whether a COMMIT whose answer
//! was lost took effect. After a rebuild has put other tables in place, all of it is forgotten as well, because the new tables
//! contain the same states but divide them differently between snapshots and events.

use std::collections::BTreeMap;

use holdfast_core::{EntityId, ShardId, Timestamp};
use tokio_postgres::Client;

use super::{
    batch::Batch,
    error::ProjectionError,
    fold::Fold,
    settings::ProjectionSettings,
    table::Guard,
    transaction::{Moves, Statements},
    value::int2,
};
use crate::{
    codec,
    journal::{Followed, Mark},
    postgres::{PostgresError, stored},
    state::EntityState,
};

const READ_TABLES: &str = "SELECT 'projection_watermarks'::regclass::oid";

const READ_WATERMARKS: &str = "SELECT shard, seq FROM projection_watermarks";

const ENTER_WATERMARKS: &str = "INSERT INTO projection_watermarks (shard, seq) SELECT u.shard, 0 FROM UNNEST($1::int2[]) AS u (shard) ON CONFLICT DO NOTHING";

/// A connection, and what is known of the tables behind it.
pub(super) struct Session {
    client: Client,
    statements: Statements,
    fold: Box<Fold>,
    /// Which tables these are: a rebuild puts others in their place.
    tables: u32,
    /// Per shard, the last record the tables contain.
    watermarks: BTreeMap<ShardId, u64>,
    entities: usize,
}

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Projected {
    pub(super) records: u64,
    pub(super) rows: u64,
}

impl Session {
    /// Begins on a connection to a schema that is up to date and ours.
    pub(super) async fn begin(
        client: Client,
        shards: u16,
        settings: &ProjectionSettings,
        guard: Guard,
    ) -> Result<Self, ProjectionError> {
        let all: Vec<i16> = (0..shards).map(|shard| int2(shard.into())).collect();
        client.execute(ENTER_WATERMARKS, &[&all]).await?;
        // Before all else: if others come in between, nothing is written.
        let tables = read_tables(&client).await?;
        let watermarks = read_watermarks(&client).await?;
        let statements = Statements::prepare(&client, guard).await?;
        let (fold, entities) = (Box::new(Fold::new(settings.whole_bytes)), settings.entities);
        Ok(Self { client, statements, fold, tables, watermarks, entities })
    }

    pub(super) fn watermarks(&self) -> &BTreeMap<ShardId, u64> {
        &self.watermarks
    }

    /// Which tables these are: a rebuild puts others in their place.
    pub(super) fn tables(&self) -> u32 {
        self.tables
    }

    /// Where the journal is to be followed from.
    pub(super) fn position(&self) -> BTreeMap<ShardId, u64> {
        self.watermarks.iter().map(|(shard, seq)| (*shard, seq + 1)).collect()
    }

    /// The last record that the tables contain, if that is known.
    pub(super) async fn last(&self) -> Result<Option<Mark>, ProjectionError> {
        let row = self.client.query_one("SELECT last_shard, last_seq, last_record FROM store", &[]).await?;
        let parts: (Option<i16>, Option<i64>, Option<&[u8]>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (Some(shard), Some(seq), Some(bytes)) = parts else { return Ok(None) };
        let (shard, seq) = (ShardId(shard.cast_unsigned()), seq.cast_unsigned());
        let Ok(fingerprint) = bytes.try_into() else { return Ok(None) };
        Ok(Some(Mark { shard, seq, fingerprint }).filter(|last| self.watermarks.get(&shard) == Some(&last.seq)))
    }

    /// How many records the tables contain, over all shards: the last one's number.
    pub(super) fn contained(&self) -> u64 {
        self.watermarks.values().sum()
    }

    /// Projects a batch: when this returns, it is committed.
    pub(super) async fn project(&mut self, records: Vec<Followed>) -> Result<Projected, ProjectionError> {
        let batch = self.take_in(records).await?;
        self.write(&batch).await
    }

    /// Makes a batch of records, reading what is not remembered of their entities. The batch before must be written.
    pub(super) async fn take_in(&mut self, records: Vec<Followed>) -> Result<Box<Batch>, ProjectionError> {
        let missing = self.fold.missing(&records);
        self.load(missing).await?;
        Ok(Batch::of(records, &mut self.fold, self.entities)?)
    }

    /// Gives the states away, so that the next batch can be made while one is written. They must come back.
    pub(super) fn lend(&mut self) -> Box<Fold> {
        std::mem::take(&mut self.fold)
    }

    pub(super) fn take_back(&mut self, fold: Box<Fold>) {
        self.fold = fold;
    }

    /// Derives the rows of states anew, without moving a watermark.
    pub(super) async fn derive(
        &mut self,
        states: Vec<(ShardId, EntityState, Timestamp)>,
    ) -> Result<Projected, ProjectionError> {
        let count = states.len() as u64;
        for (shard, state, at) in states {
            self.fold.admit_anew(shard, state, at);
        }
        let batch = Box::new(Batch { rows: self.fold.finish()?, records: count, ..Batch::default() });
        self.fold.forget_above(self.entities);
        self.write(&batch).await
    }

    /// Writes a batch: when this returns, it is committed.
    pub(super) async fn write(&mut self, batch: &Batch) -> Result<Projected, ProjectionError> {
        let mut moves = Moves::within(self.tables);
        for (shard, (seq, at)) in &batch.ends {
            moves.push(*shard, self.watermarks.get(shard).copied().unwrap_or(0), *seq, *at);
        }
        match self.statements.commit(&mut self.client, &batch.rows, &moves, batch.last.as_ref()).await {
            Err(ProjectionError::Rival) if read_tables(&self.client).await? != self.tables => {
                return Err(ProjectionError::Rebuilt);
            }
            written => written?,
        }
        self.watermarks.extend(batch.ends.iter().map(|(shard, (seq, _))| (*shard, *seq)));
        Ok(Projected { records: batch.records, rows: batch.rows.count() })
    }

    /// Reads back the states of entities that are not remembered.
    async fn load(&mut self, missing: Vec<(ShardId, EntityId)>) -> Result<(), ProjectionError> {
        if missing.is_empty() {
            return Ok(());
        }
        let (mut shards, mut kinds, mut entities) = (Vec::new(), Vec::new(), Vec::new());
        for (shard, entity) in &missing {
            shards.push(int2(shard.0.into()));
            kinds.push(entity.kind() as i16);
            let mut bytes = Vec::with_capacity(16);
            codec::encode_id(entity, &mut bytes);
            entities.push(bytes);
        }
        let load = format!(
            "SELECT u.place, {} FROM UNNEST($1::int2[], $2::int2[], $3::bytea[]) \
             WITH ORDINALITY AS u (shard, kind, entity, place) JOIN entity_snapshots AS t USING (shard, kind, entity)",
            stored::PARTS
        );
        for row in self.client.query(&load, &[&shards, &kinds, &entities]).await? {
            let (place, snapshot): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            let changes: Vec<&[u8]> = row.try_get(2)?;
            let asked = usize::try_from(place - 1).ok().and_then(|place| missing.get(place));
            let Some((shard, entity)) = asked else { continue };
            let (state, extent) = stored::read(entity, snapshot, &changes).map_err(|error| PostgresError::Row {
                table: "entity_snapshots",
                problem: format!("{entity}: {error}"),
            })?;
            self.fold.admit(*shard, state, extent);
        }
        Ok(())
    }

    /// The connection, for what else is read in this schema.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
}

async fn read_tables(client: &Client) -> Result<u32, tokio_postgres::Error> {
    client.query_one(READ_TABLES, &[]).await?.try_get(0)
}

/// How far the tables of a connection's schema are, per shard.
pub(super) async fn read_watermarks(client: &Client) -> Result<BTreeMap<ShardId, u64>, ProjectionError> {
    let mut watermarks = BTreeMap::new();
    for row in client.query(READ_WATERMARKS, &[]).await? {
        let (shard, seq): (i16, i64) = (row.try_get(0)?, row.try_get(1)?);
        watermarks.insert(ShardId(shard.cast_unsigned()), u64::try_from(seq).unwrap_or(0));
    }
    Ok(watermarks)
}
