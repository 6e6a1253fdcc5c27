//! A database is made ready in the background, and is never another store's.

use std::time::Duration;

use holdfast_persistence::postgres::{Database, PostgresError, PostgresSettings, Standing};
use holdfast_servers::Postgres;
use tokio::{task::JoinSet, time::timeout};

use crate::{HANGS, causes, identity, settings_of};

#[tokio::test]
async fn a_database_that_is_down_at_first_becomes_ready_once_it_is_up() {
    let mut server = Postgres::start().unwrap();
    server.stop().unwrap();
    let database = Database::new(&settings_of(&server), identity(1)).unwrap();
    let mut preparing = JoinSet::new();
    preparing.spawn({
        let database = database.clone();
        async move { database.prepare().await }
    });
    timeout(HANGS, async {
        while !matches!(database.standing(), Standing::Unusable(_)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    let refused = database.connection().await.err().unwrap();
    assert!(matches!(refused, PostgresError::NotReady { .. }), "{refused}");
    server.start_again().unwrap();
    timeout(HANGS, database.ready()).await.unwrap();
    timeout(HANGS, preparing.join_all()).await.unwrap();
    let connection = database.connection().await.unwrap();
    assert_eq!(connection.query_one("SELECT shards FROM store", &[]).await.unwrap().get::<_, i16>(0), 16);
}

#[tokio::test]
async fn the_tables_of_another_store_are_refused_and_stay_as_they_are() {
    let server = Postgres::start().unwrap();
    let settings = settings_of(&server);
    Database::new(&settings, identity(1)).unwrap().prepare_once().await.unwrap();
    Database::new(&settings, identity(1)).unwrap().prepare_once().await.unwrap();
    let before = server.sql("SELECT * FROM holdfast.store").unwrap();
    let mut other_shards = identity(1);
    other_shards.shards = 8;
    for other in [identity(2), other_shards] {
        let database = Database::new(&settings, other).unwrap();
        let refused = database.prepare_once().await.unwrap_err();
        assert!(matches!(refused, PostgresError::AnotherStore { .. }) && refused.is_refusal());
        assert!(refused.to_string().contains(&"01".repeat(16)), "{refused}");
        assert!(database.connection().await.is_err());
    }
    assert_eq!(server.sql("SELECT * FROM holdfast.store").unwrap(), before);
    let elsewhere = PostgresSettings { schema: "shop_two".to_owned(), ..settings };
    Database::new(&elsewhere, identity(2)).unwrap().prepare_once().await.unwrap();
}

#[tokio::test]
async fn without_leave_to_migrate_an_empty_database_is_left_alone() {
    let server = Postgres::start().unwrap();
    let settings = PostgresSettings { migrate_on_start: false, ..settings_of(&server) };
    let refused = Database::new(&settings, identity(1)).unwrap().prepare_once().await.unwrap_err();
    assert!(causes(&refused).contains("holdfast migrate up"), "{refused}");
    assert_eq!(server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'").unwrap(), "0");
}
