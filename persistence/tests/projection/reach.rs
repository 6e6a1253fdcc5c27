//! Who asks the tables does not wait for what is known not to come.

use std::{sync::Arc, thread, time::Duration};

use holdfast_core::{ShardCount, ShardId, order::OrderQuery};
use holdfast_persistence::postgres::{PostgresError, projection::Projection};

use crate::{
    harness::{SERVER, database, journal, query, schema, small, wait_for},
    world::World,
};

const SHARDS: u16 = 2;
/// Longer than a test may take: whoever waits so long hangs.
const PATIENCE: Duration = Duration::from_hours(1);

#[test]
fn a_search_does_not_wait_for_a_projection_in_trouble() {
    let (journal, _folder) = journal(SHARDS);
    let (schema, count) = (schema(), ShardCount::new(SHARDS).unwrap());
    let database = database(&SERVER.url(), &schema, SHARDS);
    let projection = Projection::start(Arc::clone(&journal), database.clone(), count, small(100, 100)).unwrap();
    let mut world = World::new(51, SHARDS);
    world.run(200, &*journal);
    wait_for(&journal, &projection.progress(), count);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let search = |durable: u64| {
        let (newest, durable) = (OrderQuery { limit: 1, ..OrderQuery::default() }, [(ShardId(0), durable)]);
        runtime.block_on(database.search_orders(&newest, &durable, PATIENCE))
    };
    assert_eq!(search(1).unwrap().len(), 1);
    // Somebody else moves the watermarks: there is no going on from there, for as long as it takes.
    query(&schema, "UPDATE projection_watermarks SET seq = seq + 1000000");
    world.run(50, &*journal);
    while projection.progress().trouble().is_none() {
        thread::sleep(Duration::from_millis(5));
    }
    let asked = search(u64::MAX);
    assert!(matches!(asked, Err(PostgresError::Behind { .. })), "{asked:?}");
    projection.stop();
}
