//! Migrations: once, by one node at a time, and never into a schema that is strange.

use holdfast_persistence::postgres::{Connector, MigrationState, PostgresError, PostgresSettings, migrate};
use holdfast_servers::Postgres;
use tokio::time::timeout;

use crate::{HANGS, causes, settings_of};

const TABLES: &str = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'holdfast'";

/// A migrated server.
async fn migrated() -> (Postgres, Connector) {
    let server = Postgres::start().unwrap();
    let connector = Connector::new(&settings_of(&server)).unwrap();
    migrate::up(&connector).await.unwrap();
    (server, connector)
}

#[tokio::test]
async fn an_empty_database_gets_the_schema_once() {
    let server = Postgres::start().unwrap();
    let connector = Connector::new(&settings_of(&server)).unwrap();
    let before = migrate::status(&connector).await.unwrap();
    assert!(before.migrations.iter().all(|migration| migration.state == MigrationState::Pending));
    assert!(matches!(migrate::check(&connector).await, Err(PostgresError::SchemaOlder { .. })));
    let applied = migrate::up(&connector).await.unwrap();
    assert_eq!(applied, before.migrations.iter().map(|migration| migration.name.clone()).collect::<Vec<_>>());
    let tables = server.sql(TABLES).unwrap();
    assert!(migrate::up(&connector).await.unwrap().is_empty());
    assert_eq!(server.sql(TABLES).unwrap(), tables);
    let after = migrate::status(&connector).await.unwrap();
    assert!(after.migrations.iter().all(|migration| migration.state == MigrationState::Applied), "{after:?}");
    migrate::check(&connector).await.unwrap();
}

#[tokio::test]
async fn every_table_and_every_column_says_what_it_is() {
    let (server, _) = migrated().await;
    let unexplained = "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind = 'r' AND a.attnum >= 0 AND NOT a.attisdropped \
        AND c.relname <> 'refinery_schema_history' \
        AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)";
    assert_eq!(server.sql(unexplained).unwrap(), "");
}

#[tokio::test]
async fn two_nodes_that_start_at_once_migrate_one_after_the_other() {
    let server = Postgres::start().unwrap();
    let connector = Connector::new(&settings_of(&server)).unwrap();
    let all = futures_util::future::join_all((0..6).map(|_| migrate::up(&connector)));
    let applied: Vec<_> = timeout(HANGS, all).await.unwrap().into_iter().map(Result::unwrap).collect();
    let busy = applied.iter().filter(|migrations| !migrations.is_empty()).count();
    assert_eq!(busy, 1, "{applied:?}");
}

#[tokio::test]
async fn a_node_does_not_wait_for_another_one_s_migration_without_end() {
    let server = Postgres::start().unwrap();
    let settings = PostgresSettings { lock_timeout_ms: 100, ..settings_of(&server) };
    let connector = Connector::new(&settings).unwrap();
    let holder = connector.connect().await.unwrap();
    let key = |text: &str| i32::from_ne_bytes(crc32c::crc32c(text.as_bytes()).to_ne_bytes());
    let (first, second) = (key("holdfast.migrations"), key("holdfast"));
    holder.execute("SELECT pg_advisory_lock($1, $2)", &[&first, &second]).await.unwrap();
    let waited = causes(&timeout(HANGS, migrate::up(&connector)).await.unwrap().unwrap_err());
    assert!(waited.contains("lock timeout"), "{waited}");
    drop(holder);
    timeout(HANGS, async { while migrate::up(&connector).await.is_err() {} }).await.unwrap();
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_refused_by_its_migration() {
    let (server, connector) = migrated().await;
    let newer =
        "INSERT INTO holdfast.refinery_schema_history VALUES (900, 'from_tomorrow', '2031-01-01T00:00:00Z', '1')";
    server.sql(newer).unwrap();
    let tables = server.sql(TABLES).unwrap();
    for refused in [migrate::up(&connector).await.unwrap_err(), migrate::check(&connector).await.unwrap_err()] {
        assert!(matches!(refused, PostgresError::SchemaNewer { .. }) && refused.is_refusal());
        assert!(refused.to_string().contains("V900__from_tomorrow"), "{refused}");
    }
    assert_eq!(server.sql(TABLES).unwrap(), tables);
}

#[tokio::test]
async fn a_schema_that_is_not_what_its_history_says_is_refused_by_its_migration() {
    let damages = [
        ("UPDATE holdfast.refinery_schema_history SET checksum = '1' WHERE version = 1", "V1__projection"),
        ("UPDATE holdfast.refinery_schema_history SET checksum = 'no number' WHERE version = 1", "V1__projection"),
        ("UPDATE holdfast.refinery_schema_history SET checksum = NULL, applied_on = NULL", "V1__projection"),
        ("UPDATE holdfast.refinery_schema_history SET name = 'other' WHERE version = 1", "V1__projection"),
        ("INSERT INTO holdfast.refinery_schema_history VALUES (0, 'lost', '2031-01-01T00:00:00Z', '1')", "V0__lost"),
        ("UPDATE holdfast.refinery_schema_history SET version = 900 WHERE version = 1", "V1__projection"),
    ];
    let (server, connector) = migrated().await;
    server.sql("CREATE TABLE intact AS SELECT * FROM holdfast.refinery_schema_history").unwrap();
    for (damage, migration) in damages {
        server.sql(damage).unwrap();
        let refused = migrate::up(&connector).await.unwrap_err();
        assert!(matches!(refused, PostgresError::SchemaDamaged { .. }) && refused.is_refusal(), "{damage}: {refused}");
        assert!(refused.to_string().contains(migration), "{damage}: {refused}");
        server.sql("TRUNCATE holdfast.refinery_schema_history").unwrap();
        server.sql("INSERT INTO holdfast.refinery_schema_history SELECT * FROM intact").unwrap();
    }
    migrate::check(&connector).await.unwrap();
}

/// Every migration there is.
const ALL: [&str; 3] = ["V1__projection", "V2__entity_changes", "V3__entity_changes_statistics"];

/// A sampled statistic of nothing but one hot SKU's events says that any look-up finds them all.
#[tokio::test]
async fn a_state_is_never_read_beside_the_changes_of_all_others() {
    let (server, _) = migrated().await;
    let plan = server.sql(
        "SET search_path TO holdfast; \
         INSERT INTO entity_snapshots SELECT 1, 4, int8send(n), 1, '\\x00' FROM generate_series(1, 20000) AS n; \
         INSERT INTO entity_changes SELECT 1, 1, 'HOT', n, n, '\\x00' FROM generate_series(1, 20000) AS n; \
         ANALYZE; \
         EXPLAIN SELECT ARRAY(SELECT c.events FROM entity_changes AS c WHERE c.shard = t.shard AND c.kind = t.kind \
             AND c.entity = t.entity AND c.version > t.version ORDER BY c.first) FROM entity_snapshots AS t",
    );
    let plan = plan.unwrap();
    assert!(plan.contains("entity_changes_pkey") && !plan.contains("Seq Scan on entity_changes"), "{plan}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_behind() {
    let server = Postgres::start().unwrap();
    let connector = Connector::new(&settings_of(&server)).unwrap();
    // In the way of the last tables of the first migration.
    server.sql("CREATE SCHEMA holdfast; CREATE TABLE holdfast.shipments (n int)").unwrap();
    let failed = causes(&migrate::up(&connector).await.unwrap_err());
    assert!(failed.contains("V1__projection") && failed.contains("shipments"), "{failed}");
    assert_eq!(server.sql("SELECT to_regclass('holdfast.orders') IS NULL").unwrap(), "t");
    server.sql("DROP TABLE holdfast.shipments").unwrap();
    assert_eq!(migrate::up(&connector).await.unwrap(), ALL);
}

#[tokio::test]
async fn two_schemas_of_one_database_know_nothing_of_each_other() {
    let (server, connector) = migrated().await;
    let other = connector.with_schema("holdfast_next");
    assert_eq!(migrate::up(&other).await.unwrap(), ALL);
    server.sql("DROP SCHEMA holdfast_next CASCADE").unwrap();
    migrate::check(&connector).await.unwrap();
}
