//! One batch in one transaction: the watermarks and every row, or nothing.
//!
//! Invariants: a watermark moves from exactly where it was read, so of two writers (a rival, or an earlier self whose COMMIT was
//! never answered) one finds nothing to move, and what it wrote is undone; the watermarks are moved first, so that rivals wait for
//! each other there and nowhere else.

use futures_util::future::{try_join_all, try_join3};
use holdfast_core::{ShardId, Timestamp};
use tokio_postgres::{Client, Statement, types::ToSql};

use super::{
    error::ProjectionError,
    row::Changes,
    table::Guard,
    value::{Instant, int2, int8},
};
use crate::journal::Mark;

const MOVE_WATERMARKS: &str = "UPDATE projection_watermarks AS t SET seq = u.seq, at = u.at, updated_at = now() \
     FROM UNNEST($1::int2[], $2::int8[], $3::int8[], $4::timestamptz[]) AS u (shard, known, seq, at) \
     WHERE t.shard = u.shard AND t.seq = u.known";

const NOTE_LAST: &str = "UPDATE store SET last_shard = $1, last_seq = $2, last_record = $3";

const DELIST: &str = "UPDATE products AS t SET listed = false, version = u.version, updated_at = u.updated_at \
     FROM UNNEST($1::uuid[], $2::int8[], $3::timestamptz[]) AS u (id, version, updated_at) \
     WHERE t.id = u.id AND t.version < u.version";

const TRIM_VARIANTS: &str = "DELETE FROM product_variants AS t USING UNNEST($1::uuid[], $2::int2[], $3::int8[]) \
     AS u (product_id, count, version) \
     WHERE t.product_id = u.product_id AND t.position >= u.count AND t.version < u.version";

const DROP_TAKEN_IN: &str = "DELETE FROM entity_changes AS t USING UNNEST($1::int2[], $2::int2[], $3::bytea[], $4::int8[]) \
     AS u (shard, kind, entity, version) \
     WHERE t.shard = u.shard AND t.kind = u.kind AND t.entity = u.entity AND t.version <= u.version";

/// The statements of a connection, prepared once.
pub(super) struct Statements {
    watermarks: Statement,
    last: Statement,
    tables: Vec<Statement>,
    delist: Statement,
    trim_variants: Statement,
    drop_taken_in: Statement,
}

/// From where to where the shards' watermarks move.
#[derive(Debug, Default, Clone)]
pub(super) struct Moves {
    shard: Vec<i16>,
    known: Vec<i64>,
    seq: Vec<i64>,
    at: Vec<Instant>,
}

impl Moves {
    pub(super) fn push(&mut self, shard: ShardId, known: u64, seq: u64, at: Timestamp) {
        self.shard.push(int2(shard.0.into()));
        self.known.push(int8(known));
        self.seq.push(int8(seq));
        self.at.push(Instant(at));
    }
}

impl Statements {
    pub(super) async fn prepare(client: &Client, guard: Guard) -> Result<Self, ProjectionError> {
        let mut tables = Vec::with_capacity(Changes::TABLES);
        for rows in Changes::default().tables() {
            tables.push(client.prepare(&rows.table().upsert(guard)).await?);
        }
        Ok(Self {
            watermarks: client.prepare(MOVE_WATERMARKS).await?,
            last: client.prepare(NOTE_LAST).await?,
            tables,
            delist: client.prepare(DELIST).await?,
            trim_variants: client.prepare(TRIM_VARIANTS).await?,
            drop_taken_in: client.prepare(DROP_TAKEN_IN).await?,
        })
    }

    /// Writes a batch and moves the watermarks. When this fails, only the database knows whether it was done.
    pub(super) async fn commit(
        &self,
        client: &mut Client,
        changes: &Changes,
        moves: &Moves,
        last: Option<&Mark>,
    ) -> Result<(), ProjectionError> {
        let transaction = client.transaction().await?;
        let parameters: [&(dyn ToSql + Sync); 4] = [&moves.shard, &moves.known, &moves.seq, &moves.at];
        let advanced = transaction.execute(&self.watermarks, &parameters);
        // All are sent at once: while one is done, the next is on its way.
        let rows = self.of(changes).into_iter().map(|(statement, parameters)| {
            let transaction = &transaction;
            async move { transaction.execute(statement, &parameters).await }
        });
        let marked = async {
            let Some(last) = last else { return Ok(0) };
            let (shard, seq) = (int2(last.shard.0.into()), int8(last.seq));
            transaction.execute(&self.last, &[&shard, &seq, &last.fingerprint.as_slice()]).await
        };
        let (hits, _, _) = try_join3(advanced, marked, try_join_all(rows)).await?;
        if hits != moves.shard.len() as u64 {
            return Err(ProjectionError::Rival);
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Every statement of `changes` that has something to do, with its parameters, in order.
    fn of<'a>(&'a self, changes: &'a Changes) -> Vec<(&'a Statement, Vec<&'a (dyn ToSql + Sync)>)> {
        let upserts = changes.tables().into_iter().zip(&self.tables).filter(|(rows, _)| rows.len() > 0);
        let mut all: Vec<_> = upserts.map(|(rows, statement)| (statement, rows.parameters())).collect();
        let delisted = &changes.delisted;
        if !delisted.id.is_empty() {
            all.push((&self.delist, vec![&delisted.id, &delisted.version, &delisted.updated_at]));
        }
        let counts = &changes.variant_counts;
        if !counts.product_id.is_empty() {
            all.push((&self.trim_variants, vec![&counts.product_id, &counts.count, &counts.version]));
        }
        let taken_in = &changes.taken_in;
        if !taken_in.entity.is_empty() {
            let parameters: Vec<&(dyn ToSql + Sync)> =
                vec![&taken_in.shard, &taken_in.kind, &taken_in.entity, &taken_in.version];
            all.push((&self.drop_taken_in, parameters));
        }
        all
    }
}
