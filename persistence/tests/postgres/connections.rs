//! Connections: which host, for how long, how many.

use std::{net::TcpListener, time::Duration};

use holdfast_persistence::postgres::{Connector, Pool, PostgresError, pool::within};
use holdfast_servers::{Postgres, PostgresOptions};
use tokio::time::timeout;

use crate::{HANGS, causes, settings, settings_of};

/// The address of several hosts.
fn hosts(ports: &[u16], password: &str) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("postgresql://postgres:{password}@{}/postgres", hosts.join(","))
}

/// The port of the host that takes the connection; on a slow machine one that lives may need several tries.
async fn port_of(connector: &Connector) -> u16 {
    let connected = async {
        loop {
            if let Ok(client) = connector.connect().await {
                return client;
            }
        }
    };
    let client = timeout(HANGS, connected).await.unwrap();
    client.query_one("SELECT inet_server_port()::int4", &[]).await.unwrap().get::<_, i32>(0).try_into().unwrap()
}

#[tokio::test]
async fn a_dead_host_is_passed_over_and_so_is_one_that_takes_no_writes() {
    let writable = Postgres::start().unwrap();
    let options = PostgresOptions {
        settings: vec![("default_transaction_read_only".to_owned(), "on".to_owned())],
        ..PostgresOptions::default()
    };
    let standby = Postgres::with(&options).unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = hosts(&[dead, standby.port(), writable.port()], writable.password());
    assert_eq!(port_of(&Connector::new(&settings(&url)).unwrap()).await, writable.port());
    let url = hosts(&[dead, standby.port()], writable.password());
    let refused = causes(&Connector::new(&settings(&url)).unwrap().connect().await.unwrap_err());
    assert!(refused.contains("does not allow writes") && refused.contains(&dead.to_string()), "{refused}");
}

#[tokio::test]
async fn a_frozen_host_costs_its_time_out_and_then_the_next_is_asked() {
    let (frozen, other) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    frozen.freeze().unwrap();
    let mut settings = settings(&hosts(&[frozen.port(), other.port()], other.password()));
    settings.connect_timeout_ms = 500;
    assert_eq!(port_of(&Connector::new(&settings).unwrap()).await, other.port());
    settings.url = crate::settings(&frozen.url()).url;
    let refused = causes(&Connector::new(&settings).unwrap().connect().await.unwrap_err());
    assert!(refused.contains("did not answer within 500 ms"), "{refused}");
}

#[tokio::test]
async fn a_server_that_went_is_followed_by_the_next_host_and_found_again_when_it_is_back() {
    let (mut first, second) = (Postgres::start().unwrap(), Postgres::start().unwrap());
    let settings = settings(&hosts(&[first.port(), second.port()], first.password()));
    let pool = Pool::new(Connector::new(&settings).unwrap(), &settings).unwrap();
    let port = async || {
        // A connection that was cut while it lay in the pool may be noticed only when it is used.
        for _ in 0..3 {
            let connection = pool.connection().await.unwrap();
            if let Ok(row) = connection.query_one("SELECT inet_server_port()::int4", &[]).await {
                connection.give_back();
                return u16::try_from(row.get::<_, i32>(0)).unwrap();
            }
        }
        panic!("three connections in a row were cut");
    };
    assert_eq!(port().await, first.port());
    first.kill().unwrap();
    assert_eq!(port().await, second.port());
    first.start_again().unwrap();
    drop(second);
    assert_eq!(port().await, first.port());
}

#[tokio::test]
async fn an_exhausted_pool_is_said_to_be_so_and_soon() {
    let server = Postgres::start().unwrap();
    let mut settings = settings_of(&server);
    (settings.pool_connections, settings.pool_wait_ms) = (2, 50);
    let pool = Pool::new(Connector::new(&settings).unwrap(), &settings).unwrap();
    let (one, other) = (pool.connection().await.unwrap(), pool.connection().await.unwrap());
    let exhausted = timeout(HANGS, pool.connection()).await.unwrap().err().unwrap();
    assert!(matches!(exhausted, PostgresError::PoolExhausted { connections: 2, waited_ms: 50 }), "{exhausted}");
    one.give_back();
    let again = pool.connection().await.unwrap();
    assert_eq!(pool.size(), (2, 0));
    drop((again, other));
}

#[tokio::test]
async fn a_connection_dropped_in_the_middle_of_something_is_not_lent_again() {
    let server = Postgres::start().unwrap();
    let mut settings = settings_of(&server);
    settings.pool_connections = 2;
    let pool = Pool::new(Connector::new(&settings).unwrap(), &settings).unwrap();
    let busy = pool.connection().await.unwrap();
    let waited = within(Duration::from_millis(100), busy.batch_execute("SELECT pg_sleep(600)")).await;
    assert!(matches!(waited, Err(PostgresError::TimedOut { .. })));
    drop(busy);
    assert_eq!(pool.size(), (0, 0));
    for _ in 0..3 {
        let next = pool.connection().await.unwrap();
        within::<_, tokio_postgres::Error>(HANGS, next.query_one("SELECT 1", &[])).await.unwrap();
        next.give_back();
    }
    assert_eq!(pool.size(), (1, 1));
}

#[tokio::test]
async fn the_server_cancels_a_statement_that_takes_too_long() {
    let server = Postgres::start().unwrap();
    let mut settings = settings_of(&server);
    settings.statement_timeout_ms = 100;
    let client = Connector::new(&settings).unwrap().connect().await.unwrap();
    let canceled = timeout(HANGS, client.batch_execute("SELECT pg_sleep(600)")).await.unwrap().unwrap_err();
    assert_eq!(canceled.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn the_password_comes_from_a_file_that_may_change_while_the_server_runs() {
    let server = Postgres::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, format!("{}\n", server.password())).unwrap();
    let mut settings = settings(&server.url_without_password());
    settings.password_file = Some(file.clone());
    let connector = Connector::new(&settings).unwrap();
    connector.connect().await.unwrap();
    server.sql("ALTER ROLE postgres PASSWORD 'another'").unwrap();
    let refused = causes(&connector.connect().await.unwrap_err());
    assert!(refused.contains("password authentication failed") && !refused.contains(server.password()), "{refused}");
    std::fs::write(&file, "another").unwrap();
    connector.connect().await.unwrap();
    std::fs::remove_file(&file).unwrap();
    let missing = causes(&connector.connect().await.unwrap_err());
    assert!(missing.contains("postgres.password_file"), "{missing}");
}
