//! Fills a second schema beside the live one and then puts it in its place, while the server sells or while it does not run.
//!
//! Invariants: nothing is read from the journal beyond what the live tables contain, so that nothing gets in that is not
//! durable; until the switch the live tables are only read, and the switch is one transaction, in which the live projection
//! waits at its watermarks. Then it begins again in the new tables, where it was: what it remembers is of the old ones.
//!
//! If the journal no longer reaches back to its first record, the tables begin as a copy of the live ones, every row is
//! derived again from the entity snapshots there, and the journal goes on from their watermarks. What only the purged records
//! knew (movements of stock, instants) is the copy's. Where history was purged that was never projected, the node's own
//! snapshots come after that: then the tables lack the movements in between.

use std::{path::Path, time::Duration};

use holdfast_core::{EntityId, ShardCount, ShardId, Timestamp};
use tokio_postgres::Client;

use super::{
    error::ProjectionError,
    row::Changes,
    session::{Session, read_watermarks},
    settings::ProjectionSettings,
    table::Guard,
    value::{int2, int8},
};
use crate::{
    codec,
    event_type::kind_of,
    journal::{Follower as _, JournalReader},
    postgres::{Connector, PostgresError, StoreIdentity, database::claim, migrate, stored},
    snapshot::SnapshotSource,
    state::EntityState,
};

/// So many records before the live end the switch begins: the live projection waits while they are done.
const NEAR: u64 = 2_000;
/// Snapshots whose rows are derived in one transaction.
const PAGE: i64 = 5_000;
const PAGE_STATES: usize = 5_000;
/// How often the old tables are tried to be dropped, once a second, while somebody reads them.
const DROP_ATTEMPTS: u32 = 60;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RebuildProgress {
    /// Records and snapshots done.
    pub done: u64,
    /// Records and snapshots there are to do.
    pub total: u64,
}

/// What a rebuild did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RebuildSummary {
    /// Records projected.
    pub records: u64,
    /// Rows written.
    pub rows: u64,
    /// Snapshots that rows were derived from, because the history was purged.
    pub snapshots: u64,
    /// Whether the old tables are gone; if not, somebody reads them, and the schema `<name>_old` is left to be dropped.
    pub old_dropped: bool,
}

/// Builds all tables of `connector`'s schema anew from the journal in `journal_dir`. `own`: the node's snapshots, for history that
/// was purged before it was projected ([`needs_snapshots`]).
///
/// # Errors
/// [`ProjectionError`]. The live tables are as they were then.
pub async fn rebuild(
    connector: &Connector,
    identity: StoreIdentity,
    journal_dir: &Path,
    settings: &ProjectionSettings,
    own: Option<&dyn SnapshotSource>,
    progress: &mut (dyn FnMut(RebuildProgress) + Send),
) -> Result<RebuildSummary, ProjectionError> {
    settings.validate()?;
    let names = Names::of(connector.schema());
    migrate::check(connector).await?;
    let mut live = connector.connect().await?;
    claim(&live, &names.live, identity).await?;
    take_turn(&live, &names.live).await?;
    live.batch_execute(&format!(
        "DROP SCHEMA IF EXISTS {} CASCADE; DROP SCHEMA IF EXISTS {} CASCADE",
        names.next, names.old
    ))
    .await?;
    let beside = connector.with_schema(&names.next);
    migrate::up(&beside).await?;
    claim(&beside.connect().await?, &names.next, identity).await?;
    let rebuild = Rebuild { connector, beside: &beside, names: &names, identity, settings, own };
    let mut summary = RebuildSummary::default();
    rebuild.fill(&mut live, journal_dir, &mut summary, progress).await?;
    summary.old_dropped = drop_old(&live, &names).await;
    Ok(summary)
}

/// The three schemas.
struct Names {
    live: String,
    next: String,
    old: String,
}

impl Names {
    fn of(live: &str) -> Self {
        Self { live: live.to_owned(), next: format!("{live}_next"), old: format!("{live}_old") }
    }
}

struct Rebuild<'a> {
    connector: &'a Connector,
    beside: &'a Connector,
    names: &'a Names,
    identity: StoreIdentity,
    settings: &'a ProjectionSettings,
    own: Option<&'a dyn SnapshotSource>,
}

impl Rebuild<'_> {
    async fn fill(
        &self,
        live: &mut Client,
        journal_dir: &Path,
        summary: &mut RebuildSummary,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<(), ProjectionError> {
        let reader = JournalReader::open(journal_dir)?;
        if reader.first_seqs()?.iter().any(|first| *first > 1) {
            self.begin_from_snapshots(summary, progress).await?;
        }
        let shards = ShardCount::new(self.identity.shards)
            .map_err(|error| PostgresError::Row { table: "store", problem: error.to_string() })?;
        if let Some(own) = self.own {
            self.take_in(own, shards, summary).await?;
        }
        let mut session = self.session(Guard::Older).await?;
        let mut follower = reader.follow(self.identity.store, shards, &session.position())?;
        loop {
            let end = contained(live).await?;
            self.follow_to(end, &mut session, &mut follower, summary, progress).await?;
            if contained(live).await?.saturating_sub(end) <= NEAR {
                break;
            }
        }
        // From here on the live projection waits.
        let switch = live.transaction().await?;
        switch.batch_execute("LOCK TABLE projection_watermarks IN ACCESS EXCLUSIVE MODE").await?;
        let end: i64 =
            switch.query_one("SELECT coalesce(sum(seq), 0)::int8 FROM projection_watermarks", &[]).await?.try_get(0)?;
        self.follow_to(u64::try_from(end).unwrap_or(0), &mut session, &mut follower, summary, progress).await?;
        drop(session);
        let Names { live: name, next, old } = self.names;
        // Whoever still looks at the old watermarks finds none to move, and whoever looks at the new ones, that they are of other
        // tables: so both begin again.
        switch.batch_execute("DELETE FROM projection_watermarks").await?;
        for grant in switch.query(&grants(name, next), &[]).await? {
            switch.batch_execute(grant.try_get(0)?).await?;
        }
        switch
            .batch_execute(&format!("ALTER SCHEMA {name} RENAME TO {old}; ALTER SCHEMA {next} RENAME TO {name}"))
            .await?;
        switch.commit().await?;
        Ok(())
    }

    async fn session(&self, guard: Guard) -> Result<Session, ProjectionError> {
        let client = self.beside.connect().await?;
        Session::begin(client, self.identity.shards, self.settings, guard).await
    }

    /// Projects up to record `end`, which the live tables contain.
    async fn follow_to(
        &self,
        end: u64,
        session: &mut Session,
        follower: &mut crate::journal::FolderFollower,
        summary: &mut RebuildSummary,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<(), ProjectionError> {
        follower.allow(end + 1);
        while session.contained() < end {
            let records = follower.next(self.settings.limit(1.0), Duration::from_millis(20))?;
            if records.is_empty() {
                continue;
            }
            let projected = session.project(records).await?;
            summary.records += projected.records;
            summary.rows += projected.rows;
            progress(RebuildProgress { done: session.contained(), total: end });
        }
        Ok(())
    }

    /// Derives rows from the node's own snapshots where they are newer, and goes on from their watermarks.
    async fn take_in(
        &self,
        own: &dyn SnapshotSource,
        shards: ShardCount,
        summary: &mut RebuildSummary,
    ) -> Result<(), ProjectionError> {
        let mut session = self.session(Guard::Older).await?;
        let latest = "SELECT coalesce(max(extract(epoch FROM at)), 0)::int8 FROM projection_watermarks";
        let at: i64 = session.client().query_one(latest, &[]).await?.try_get(0)?;
        let at = Timestamp::from_millis(at.saturating_mul(1_000));
        for shard in shards.iter() {
            let mut states = Vec::new();
            own.scan(shard, &mut |_, _, state| states.push((shard, state, at)))?;
            while !states.is_empty() {
                let rest = states.split_off(states.len().min(PAGE_STATES));
                let projected = session.derive(std::mem::replace(&mut states, rest)).await?;
                summary.snapshots += projected.records;
                summary.rows += projected.rows;
            }
            let raise = "UPDATE projection_watermarks SET seq = greatest(seq, $2) WHERE shard = $1";
            session.client().execute(raise, &[&int2(shard.0.into()), &int8(own.watermark(shard)?)]).await?;
        }
        // What the last record was is not known of a snapshot.
        session
            .client()
            .execute("UPDATE store SET last_shard = NULL, last_seq = NULL, last_record = NULL", &[])
            .await?;
        Ok(())
    }

    /// Copies the live tables as of one instant, and derives every row of theirs again from the snapshots.
    async fn begin_from_snapshots(
        &self,
        summary: &mut RebuildSummary,
        progress: &mut (dyn FnMut(RebuildProgress) + Send),
    ) -> Result<(), ProjectionError> {
        let mut client = self.connector.connect().await?;
        client.batch_execute("SET statement_timeout TO 0").await?;
        let copy =
            client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead).start().await?;
        let Names { live, next, .. } = self.names;
        let upserted = Changes::default();
        let mut copies = vec![("projection_watermarks", "shard, seq, at".to_owned())];
        for rows in upserted.tables() {
            let columns: Vec<_> = rows.table().columns.iter().map(|column| column.name).collect();
            copies.push((rows.table().name, columns.join(", ")));
        }
        for (table, columns) in copies {
            copy.batch_execute(&format!("INSERT INTO {next}.{table} ({columns}) SELECT {columns} FROM {live}.{table}"))
                .await?;
        }
        copy.commit().await?;
        let total: i64 =
            client.query_one(&format!("SELECT count(*) FROM {next}.entity_snapshots"), &[]).await?.try_get(0)?;
        let mut session = self.session(Guard::Any).await?;
        let mut after = (-1_i16, -1_i16, Vec::new());
        loop {
            let (page, last) = page(session.client(), &after).await?;
            let Some(last) = last else { return Ok(()) };
            let projected = session.derive(page).await?;
            summary.snapshots += projected.records;
            summary.rows += projected.rows;
            progress(RebuildProgress { done: summary.snapshots, total: u64::try_from(total).unwrap_or(0) });
            after = last;
        }
    }
}

/// Whether the journal lacks records that `connector`'s tables lack too: then only the node's own snapshots have them.
///
/// # Errors
/// When PostgreSQL or the journal's files cannot be read.
pub async fn needs_snapshots(connector: &Connector, journal_dir: &Path) -> Result<bool, ProjectionError> {
    let watermarks = read_watermarks(&connector.connect().await?).await?;
    let firsts = JournalReader::open(journal_dir)?.first_seqs()?;
    let watermark = |shard| watermarks.get(&ShardId(shard)).copied().unwrap_or(0);
    Ok((0..).zip(firsts).any(|(shard, first)| watermark(shard) + 1 < first))
}

type SnapshotKey = (i16, i16, Vec<u8>);

/// Some snapshots in key order, and the last one's key.
async fn page(
    client: &Client,
    (shard, kind, entity): &SnapshotKey,
) -> Result<(Vec<(ShardId, EntityState, Timestamp)>, Option<SnapshotKey>), ProjectionError> {
    let query = format!(
        "SELECT t.shard, t.kind, t.entity, {}, \
             (SELECT coalesce(max(extract(epoch FROM at)), 0)::int8 FROM projection_watermarks) \
         FROM entity_snapshots AS t WHERE (t.shard, t.kind, t.entity) > ($1, $2, $3) \
         ORDER BY t.shard, t.kind, t.entity LIMIT $4",
        stored::PARTS
    );
    let (mut states, mut last) = (Vec::new(), None);
    for row in client.query(&query, &[shard, kind, entity, &PAGE]).await? {
        let (shard, kind, bytes): (i16, i16, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (snapshot, changes): (&[u8], Vec<&[u8]>) = (row.try_get(3)?, row.try_get(4)?);
        let at: i64 = row.try_get(5)?;
        let damaged = |problem: String| PostgresError::Row { table: "entity_snapshots", problem };
        let known = u8::try_from(kind).ok().and_then(kind_of).ok_or_else(|| damaged(format!("kind {kind}")))?;
        let id: EntityId = codec::decode_id(known, &bytes).map_err(|error| damaged(error.to_string()))?;
        let (state, _) = stored::read(&id, snapshot, &changes).map_err(|error| damaged(format!("{id}: {error}")))?;
        states.push((ShardId(shard.cast_unsigned()), state, Timestamp::from_millis(at.saturating_mul(1_000))));
        last = Some((shard, kind, bytes));
    }
    Ok((states, last))
}

async fn contained(live: &Client) -> Result<u64, ProjectionError> {
    Ok(read_watermarks(live).await?.values().sum())
}

/// Two rebuilds of one schema would fill the same tables.
async fn take_turn(live: &Client, schema: &str) -> Result<(), ProjectionError> {
    let key = |text: &str| i32::from_ne_bytes(crc32c::crc32c(text.as_bytes()).to_ne_bytes());
    let keys = (key("holdfast.rebuild"), key(schema));
    let taken: bool = live.query_one("SELECT pg_try_advisory_lock($1, $2)", &[&keys.0, &keys.1]).await?.try_get(0)?;
    if taken { Ok(()) } else { Err(ProjectionError::Rebuilding) }
}

/// Statements that grant on `next` what was granted on `live`: readers keep what they may.
fn grants(live: &str, next: &str) -> String {
    format!(
        "SELECT format('GRANT %s ON SCHEMA {next} TO %s', a.privilege_type, \
             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) \
         FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = '{live}' AND a.grantee <> n.nspowner \
         UNION ALL SELECT format('GRANT %s ON {next}.%I TO %s', a.privilege_type, c.relname, \
             CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END) \
         FROM pg_class c, aclexplode(c.relacl) a \
         WHERE c.relnamespace = '{live}'::regnamespace AND c.relkind = 'r' AND a.grantee <> c.relowner \
             AND EXISTS (SELECT FROM pg_class o WHERE o.relnamespace = '{next}'::regnamespace AND o.relname = c.relname)"
    )
}

/// Drops the old tables once nobody reads them any more. Whether they are gone.
async fn drop_old(live: &Client, names: &Names) -> bool {
    for _ in 0..DROP_ATTEMPTS {
        match live
            .batch_execute(&format!("SET lock_timeout TO 1000; DROP SCHEMA IF EXISTS {} CASCADE", names.old))
            .await
        {
            Ok(()) => return true,
            Err(error) => {
                tracing::info!(%error, schema = names.old, "the old tables are still read");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    false
}
