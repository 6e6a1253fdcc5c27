//! One PostgreSQL for all tests of this group, a schema and a journal for each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{
    EntityState, Journal, SnapshotSource as _, StoreId,
    journal::{JournalOptions, SegmentJournal},
    postgres::{
        Connector, Database, PostgresSettings, PostgresSnapshots, PostgresUrl, StoreIdentity, TlsMode,
        projection::{Projection, ProjectionProgress, ProjectionSettings},
    },
};
use holdfast_servers::Postgres;
use tempfile::TempDir;

pub(crate) const STORE: StoreId = StoreId::from_bytes(*b"projected store!");
/// Longer than anything takes on a slow machine: what waits so long hangs.
pub(crate) const HANGS: Duration = Duration::from_mins(3);

/// The server all tests of this process share.
pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().unwrap());

/// A schema name nobody else has.
pub(crate) fn schema() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("projected_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A journal in a folder of its own.
pub(crate) fn journal(shards: u16) -> (Arc<dyn Journal>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        segment_bytes: 64 << 10,
        reserve_bytes: 16 << 10,
        frame_limit_bytes: 8 << 10,
        record_limit_bytes: 8 << 10,
        ..JournalOptions::default()
    };
    let (journal, _) = SegmentJournal::open(folder.path(), STORE, ShardCount::new(shards).unwrap(), options).unwrap();
    (Arc::new(journal), folder)
}

pub(crate) fn settings(url: &str, schema: &str) -> PostgresSettings {
    PostgresSettings {
        url: Some(PostgresUrl::try_from(url.to_owned()).unwrap()),
        tls: TlsMode::Off,
        schema: schema.to_owned(),
        retry_ms: 20,
        ..PostgresSettings::default()
    }
}

/// Small batches, no waiting, and most states large enough to be kept as events behind a snapshot.
pub(crate) fn small(batch_records: usize, entities: usize) -> ProjectionSettings {
    ProjectionSettings {
        batch_records,
        entities,
        whole_bytes: 100,
        gather_ms: 0,
        busy_records_per_s: u64::MAX,
        rush_records_per_s: u64::MAX,
        retry_initial_ms: 5,
        retry_max_ms: 20,
        // A test that purges means it.
        backlog_bytes: 0,
        ..ProjectionSettings::default()
    }
}

/// A database that is ready.
pub(crate) fn database(url: &str, schema: &str, shards: u16) -> Database {
    let database = Database::new(&settings(url, schema), StoreIdentity { store: STORE, shards }).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(database.prepare());
    database
}

/// Projects all of `journal` into `schema` and stops.
pub(crate) fn project(journal: &Arc<dyn Journal>, url: &str, schema: &str, shards: u16, settings: ProjectionSettings) {
    let count = ShardCount::new(shards).unwrap();
    let database = database(url, schema, shards);
    let projection = Projection::start(Arc::clone(journal), database, count, settings).unwrap();
    wait_for(journal, &projection.progress(), count);
    projection.stop();
}

/// Waits until everything in the journal is projected.
#[expect(clippy::disallowed_methods, reason = "a test that hangs ends")]
pub(crate) fn wait_for(journal: &Arc<dyn Journal>, progress: &ProjectionProgress, shards: ShardCount) {
    let began = Instant::now();
    while shards.iter().any(|shard| progress.watermark(shard) + 1 < journal.next_seq(shard)) {
        assert!(began.elapsed() < HANGS, "the projection hangs: {:?}", progress.trouble());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Rows of a query in `schema`, one a line.
pub(crate) fn query(schema: &str, sql: &str) -> String {
    SERVER.sql(&format!("SET search_path TO {schema}; {sql}")).unwrap()
}

/// Every state, as a node with an empty disk would read it back.
pub(crate) fn recovered(schema: &str) -> BTreeMap<EntityId, (ShardId, EntityState)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let connector = Connector::new(&settings(&SERVER.url(), schema)).unwrap();
    let snapshots = PostgresSnapshots::open(runtime.handle().clone(), connector).unwrap();
    let mut states = BTreeMap::new();
    for shard in (0..8).map(ShardId) {
        let mut take = |entity: EntityId, version, state: EntityState| {
            assert_eq!(version, state.version());
            assert!(states.insert(entity.clone(), (shard, state)).is_none(), "{entity} is in two shards");
        };
        snapshots.scan(shard, &mut take).unwrap();
    }
    states
}

/// Every row of every table, but when it was written; of snapshots and changes what they come to, since how a state is
/// divided between them follows from where batches ended.
pub(crate) fn dump(schema: &str) -> Vec<(&'static str, String)> {
    const TABLES: [(&str, &str); 14] = [
        ("projection_watermarks", "shard, seq, at"),
        ("users", "*"),
        ("addresses", "*"),
        ("categories", "*"),
        ("products", "*"),
        ("product_variants", "*"),
        ("inventory", "*"),
        ("stock_movements", "*"),
        ("carts", "*"),
        ("orders", "*"),
        ("order_items", "*"),
        ("payments", "*"),
        ("refunds", "*"),
        ("shipments", "*"),
    ];
    let rows =
        |(table, columns)| (table, query(schema, &format!("SELECT {columns} FROM {table} AS t ORDER BY t::text")));
    let states = recovered(schema).iter().fold(String::new(), |text, state| format!("{text}{state:?}\n"));
    TABLES.into_iter().map(rows).chain([("states", states)]).collect()
}
