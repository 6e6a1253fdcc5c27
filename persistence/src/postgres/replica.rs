//! PostgreSQL as the copy of the store that an empty data directory is restored from, and as the witness that a directory is
//! not an older copy of itself.
//!
//! Invariant: what is restored from was taken over first: nobody writes to it between the moment it is read and the moment
//! this process goes on writing, or the process gave up.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use tokio::runtime::Handle;
use tokio_postgres::{Client, Row, error::SqlState, types::ToSql};

use super::{
    connect::Connector, error::PostgresError, migrate, pool::within, settings::PostgresSettings,
    snapshots::PostgresSnapshots, tenure,
};
use crate::{
    journal::Mark,
    snapshot::{SnapshotError, SnapshotSource},
    state::EntityState,
    store::StoreId,
    store::{Held, Replica, ReplicaError},
};

/// A schema that was not migrated yet does not have all of it.
const HELD: &str = "SELECT s.store_id, s.shards, w.shard, w.seq, (to_jsonb(s) ->> 'last_shard')::int2, \
     (to_jsonb(s) ->> 'last_seq')::int8, (to_jsonb(s) ->> 'last_record')::bytea \
     FROM store AS s LEFT JOIN projection_watermarks AS w ON true ORDER BY w.shard";
const RENAME: &str = "UPDATE store SET store_id = $2 WHERE store_id = $1";

/// The copy in PostgreSQL. Its calls block, and must not be made on a thread of the runtime that drives tasks.
pub struct PostgresReplica {
    runtime: Handle,
    connector: Connector,
    migrate: bool,
    /// How long a writer may take to be gone.
    patience: Duration,
    /// The connection that holds the writer's lock.
    tenure: Mutex<Option<Client>>,
    snapshots: Source,
}

/// Snapshots that are opened when they are first asked.
struct Source {
    runtime: Handle,
    connector: Connector,
    opened: OnceLock<PostgresSnapshots>,
}

impl PostgresReplica {
    /// The copy that the settings name. Nothing is connected to yet.
    ///
    /// # Errors
    /// When a setting makes no sense, or `ca_file` cannot be read.
    pub fn new(runtime: Handle, settings: &PostgresSettings) -> Result<Self, PostgresError> {
        settings.validate()?;
        let connector = Connector::new(settings)?;
        let snapshots = Source { runtime: runtime.clone(), connector: connector.clone(), opened: OnceLock::new() };
        let (migrate, patience) = (settings.migrate_on_start, Duration::from_millis(settings.take_over_wait_ms));
        Ok(Self { runtime, connector, migrate, patience, tenure: Mutex::new(None), snapshots })
    }

    async fn read_held(&self) -> Result<Option<Held>, PostgresError> {
        let client = self.connector.connect().await?;
        let rows = match within(self.connector.statement_timeout(), client.query(HELD, &[])).await {
            Ok(rows) => rows,
            // No schema, or none that was ever filled.
            Err(PostgresError::Server(error)) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        held(&rows)
    }

    async fn become_writer(&self, store: StoreId, successor: StoreId) -> Result<Client, PostgresError> {
        if self.migrate {
            migrate::up(&self.connector).await?;
        } else {
            migrate::check(&self.connector).await?;
        }
        let client = self.connector.connect().await?;
        tenure::await_hold(&client, self.connector.schema(), self.patience).await?;
        let (store, successor) = (store.to_bytes(), successor.to_bytes());
        let (store, successor) = (store.as_slice(), successor.as_slice());
        let parameters: [&(dyn ToSql + Sync); 2] = [&store, &successor];
        let rename = client.execute(RENAME, &parameters);
        match within(self.connector.statement_timeout(), rename).await? {
            1 => Ok(client),
            _ => Err(PostgresError::Row { table: "store", problem: "its store is another one by now".to_owned() }),
        }
    }

    fn explain(&self, action: &'static str, error: PostgresError) -> ReplicaError {
        match error {
            PostgresError::InUse { .. } => ReplicaError::InUse { replica: self.name() },
            error => ReplicaError::Unreachable { action, replica: self.name(), source: Box::new(error) },
        }
    }
}

impl Replica for PostgresReplica {
    fn name(&self) -> String {
        format!("PostgreSQL (schema {} at {})", self.connector.schema(), self.connector.hosts())
    }

    fn held(&self) -> Result<Option<Held>, ReplicaError> {
        self.runtime.block_on(self.read_held()).map_err(|error| self.explain("ask", error))
    }

    fn take_over(&self, store: StoreId, successor: StoreId) -> Result<(), ReplicaError> {
        let taken = self.runtime.block_on(self.become_writer(store, successor));
        let client = taken.map_err(|error| self.explain("take over", error))?;
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner).replace(client);
        Ok(())
    }

    fn snapshots(&self) -> &dyn SnapshotSource {
        &self.snapshots
    }
}

impl Source {
    fn opened(&self) -> Result<&PostgresSnapshots, SnapshotError> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = PostgresSnapshots::open(self.runtime.clone(), self.connector.clone());
        let opened = opened.map_err(|error| SnapshotError::Elsewhere(Box::new(error)))?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl SnapshotSource for Source {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        self.opened()?.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        self.opened()?.scan(shard, sink)
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        self.opened()?.watermark(shard)
    }
}

/// The last record that is contained, from the end of a row.
fn mark(row: &Row) -> Result<Option<Mark>, PostgresError> {
    let parts: (Option<i16>, Option<i64>, Option<Vec<u8>>) = (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    let (Some(shard), Some(seq), Some(bytes)) = parts else { return Ok(None) };
    let strange =
        |_| PostgresError::Row { table: "store", problem: "its last record's fingerprint is none".to_owned() };
    let fingerprint = bytes.try_into().map_err(strange)?;
    Ok(Some(Mark { shard: ShardId(shard.cast_unsigned()), seq: seq.cast_unsigned(), fingerprint }))
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}

/// What the store's row, joined with the watermarks, says.
fn held(rows: &[Row]) -> Result<Option<Held>, PostgresError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let strange = |problem: &str| PostgresError::Row { table: "store", problem: problem.to_owned() };
    let (store, shards): (Vec<u8>, i16) = (first.try_get(0)?, first.try_get(1)?);
    let store = store.try_into().map(StoreId::from_bytes).map_err(|_| strange("its id has not 16 bytes"))?;
    let shards = u16::try_from(shards).ok().and_then(|shards| ShardCount::new(shards).ok());
    let shards = shards.ok_or_else(|| strange("its number of shards is none"))?;
    let mut watermarks = vec![0; usize::from(shards.get())];
    for row in rows {
        let (shard, seq): (Option<i16>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
        let (Some(shard), Some(seq)) = (shard, seq) else { continue };
        let place = usize::try_from(shard).ok().and_then(|shard| watermarks.get_mut(shard));
        let (Some(place), Ok(seq)) = (place, u64::try_from(seq)) else {
            return Err(strange("a watermark is of no shard, or negative"));
        };
        *place = seq;
    }
    let last = mark(first)?.filter(|last| watermarks.get(usize::from(last.shard.0)) == Some(&last.seq));
    Ok(Some(Held { store, shards, watermarks, last }))
}
