//! The roles of deploy/postgres: each may do its part, and no more.

use holdfast_persistence::postgres::{Connector, Database, PostgresSettings, migrate};
use holdfast_servers::Postgres;

use crate::{identity, settings};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/postgres/roles.sql");

/// A server whose database `shop` has the roles, each with its name as password; and the address for a role.
fn prepared() -> (Postgres, impl Fn(&str) -> String) {
    let server = Postgres::start().unwrap();
    server.sql("CREATE DATABASE shop").unwrap();
    run_script(&server);
    for role in ["holdfast_owner", "holdfast_server", "holdfast_reader"] {
        server.sql(&format!("ALTER ROLE {role} LOGIN PASSWORD '{role}'")).unwrap();
    }
    let port = server.port();
    (server, move |role: &str| format!("postgresql://{role}:{role}@127.0.0.1:{port}/shop"))
}

fn run_script(server: &Postgres) {
    let url = format!("{}/shop", server.url().rsplit_once('/').unwrap().0);
    server.psql(&url, &["-v", "database=shop", "-v", "schema=holdfast", "-f", SCRIPT]).unwrap();
}

#[tokio::test]
async fn the_server_s_role_serves_and_changes_no_table() {
    let (server, url) = prepared();
    // Before there is a schema the server's role makes none.
    let own = settings(&url("holdfast_server"));
    let refused = Database::new(&own, identity(1)).unwrap().prepare_once().await;
    assert!(refused.is_err());
    let owner = Connector::new(&settings(&url("holdfast_owner"))).unwrap();
    migrate::up(&owner).await.unwrap();
    // Up to date, it needs no right to migrate, told to or not.
    for migrate_on_start in [true, false] {
        let settings = PostgresSettings { migrate_on_start, ..own.clone() };
        let database = Database::new(&settings, identity(1)).unwrap();
        database.prepare_once().await.unwrap();
        let connection = database.connection().await.unwrap();
        connection.batch_execute("UPDATE projection_watermarks SET seq = 1; DELETE FROM carts").await.unwrap();
    }
    for sql in [
        "DROP TABLE holdfast.orders",
        "ALTER TABLE holdfast.orders ADD COLUMN mine int",
        "CREATE TABLE holdfast.mine (n int)",
        "CREATE SCHEMA mine",
        "TRUNCATE holdfast.orders",
    ] {
        let refused = server.psql(&url("holdfast_server"), &["-c", sql]).unwrap_err().to_string();
        assert!(refused.contains("must be owner") || refused.contains("permission denied"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn the_reader_s_role_reads_every_table_and_writes_none() {
    let (server, url) = prepared();
    let owner = Connector::new(&settings(&url("holdfast_owner"))).unwrap();
    migrate::up(&owner).await.unwrap();
    // A rebuild's schema is readable as well.
    migrate::up(&owner.with_schema("holdfast_next")).await.unwrap();
    // Running the script again takes nothing away.
    run_script(&server);
    let reader = url("holdfast_reader");
    for table in ["holdfast.orders", "holdfast.order_items", "holdfast.inventory", "holdfast_next.users"] {
        assert_eq!(server.psql(&reader, &["-c", &format!("SELECT count(*) FROM {table}")]).unwrap(), "0");
        for write in [format!("DELETE FROM {table}"), format!("TRUNCATE {table}"), format!("DROP TABLE {table}")] {
            let refused = server.psql(&reader, &["-c", &write]).unwrap_err().to_string();
            assert!(
                refused.contains("read-only transaction") || refused.contains("must be owner"),
                "{write}: {refused}"
            );
            // Nor with the safety catch off.
            let anyway = ["-c", "SET default_transaction_read_only = off", "-c", &write];
            let refused = server.psql(&reader, &anyway).unwrap_err().to_string();
            assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{write}: {refused}");
        }
    }
}
