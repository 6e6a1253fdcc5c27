//! One batch in one transaction: the watermarks and every row, or nothing.
//!
//! Invariants: a watermark moves from exactly where it was read, so of two writers (a rival, or an earlier self whose COMMIT was
//! never answered) one finds nothing to move, and what it wrote is undone; it moves in the very tables it was read from, since a
//! prepared statement looks its tables up again when a rebuild has put others in their place, where the watermarks are the
//! same; the watermarks are moved first, so that rivals wait for each other there and nowhere else.

use futures_util::future::{try_join_all, try_join3};
use holdfast_core::{ShardId, Timestamp};
use tokio_postgres::{Client, Statement, error::SqlState, types::ToSql};

use super::{
    batch::BatchRows,
    error::ProjectionError,
    row::Changes,
    table::Guard,
    value::{Instant, int2, int8},
};
use crate::journal::Mark;

const MOVE_WATERMARKS: &str = "UPDATE projection_watermarks AS t SET seq = u.seq, at = u.at, updated_at = now() \
     FROM UNNEST($1::int2[], $2::int8[], $3::int8[], $4::timestamptz[]) AS u (shard, known, seq, at) \
     WHERE t.shard = u.shard AND t.seq = u.known AND t.tableoid = $5";

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
    tables: Vec<OfTable>,
    delist: Statement,
    trim_variants: Statement,
    drop_taken_in: Statement,
}

/// How rows of a table are written.
struct OfTable {
    insert: Statement,
    upsert: Statement,
}

/// Whether rows that should be new are taken at their word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// They are inserted: if one is there already, nothing is written at all.
    Inserting,
    /// They are treated like any other.
    Upserting,
}

/// From where to where the shards' watermarks move.
#[derive(Debug, Clone)]
pub(super) struct Moves {
    tables: u32,
    shard: Vec<i16>,
    known: Vec<i64>,
    seq: Vec<i64>,
    at: Vec<Instant>,
}

impl Moves {
    /// None yet, in the set of tables that `tables` names.
    pub(super) fn within(tables: u32) -> Self {
        Self { tables, shard: Vec::new(), known: Vec::new(), seq: Vec::new(), at: Vec::new() }
    }

    pub(super) fn push(&mut self, shard: ShardId, known: u64, seq: u64, at: Timestamp) {
        self.shard.push(int2(shard.0.into()));
        self.known.push(int8(known));
        self.seq.push(int8(seq));
        self.at.push(Instant(at));
    }
}

/// Why a batch was not written.
enum Failure {
    /// The watermarks are not where they were, or in other tables.
    Rival,
    /// A statement, or the connection.
    Statement(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<Failure> for ProjectionError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rival => Self::Rival,
            Failure::Statement(error) => error.into(),
        }
    }
}

/// Whether a row was there that was to be inserted. Statements behind the one that failed may be heard of first.
fn was_there(error: &tokio_postgres::Error) -> bool {
    let state = error.code();
    state == Some(&SqlState::UNIQUE_VIOLATION) || state == Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
}

impl OfTable {
    fn writing(&self, trust: Trust) -> &Statement {
        match trust {
            Trust::Inserting => &self.insert,
            Trust::Upserting => &self.upsert,
        }
    }
}

impl Statements {
    pub(super) async fn prepare(client: &Client, guard: Guard) -> Result<Self, ProjectionError> {
        let mut tables = Vec::with_capacity(Changes::TABLES);
        for rows in Changes::default().tables() {
            let (insert, upsert) = (rows.table().insert(), rows.table().upsert(guard));
            tables.push(OfTable { insert: client.prepare(&insert).await?, upsert: client.prepare(&upsert).await? });
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
    ///
    /// Rows that should be new and are not were written beyond the watermarks, which somebody has set back: then every row is
    /// compared.
    pub(super) async fn commit(
        &self,
        client: &mut Client,
        rows: &BatchRows,
        moves: &Moves,
        last: Option<&Mark>,
    ) -> Result<(), ProjectionError> {
        match self.attempt(client, rows, Trust::Inserting, moves, last).await {
            Err(Failure::Statement(error)) if was_there(&error) => {
                tracing::warn!(%error, "rows that should be new are there: they are compared");
                Ok(self.attempt(client, rows, Trust::Upserting, moves, last).await?)
            }
            done => Ok(done?),
        }
    }

    async fn attempt(
        &self,
        client: &mut Client,
        rows: &BatchRows,
        trust: Trust,
        moves: &Moves,
        last: Option<&Mark>,
    ) -> Result<(), Failure> {
        let transaction = client.transaction().await?;
        let parameters: [&(dyn ToSql + Sync); 5] = [&moves.shard, &moves.known, &moves.seq, &moves.at, &moves.tables];
        let advanced = transaction.execute(&self.watermarks, &parameters);
        // All are sent at once: while one is done, the next is on its way.
        let new = self.of(&rows.new, trust).into_iter();
        let rows = new.chain(self.of(&rows.changed, Trust::Upserting)).map(|(statement, parameters)| {
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
            return Err(Failure::Rival);
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Every statement of `changes` that has something to do, with its parameters, in order.
    fn of<'a>(&'a self, changes: &'a Changes, trust: Trust) -> Vec<(&'a Statement, Vec<&'a (dyn ToSql + Sync)>)> {
        let written = changes.tables().into_iter().zip(&self.tables).filter(|(rows, _)| rows.len() > 0);
        let mut all: Vec<_> = written.map(|(rows, table)| (table.writing(trust), rows.parameters())).collect();
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
