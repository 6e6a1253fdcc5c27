//! A rebuild gives the same tables, beside a projection that goes on, and also when the journal's history was purged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use holdfast_core::ShardCount;
use holdfast_persistence::postgres::{
    StoreIdentity,
    projection::{Projection, ProjectionError, RebuildProgress, RebuildSummary, rebuild, status},
};

use crate::{
    agreement::assert_agrees,
    harness::{SERVER, STORE, database, dump, journal, project, query, schema, small, wait_for},
    world::World,
};

const SHARDS: u16 = 4;

fn run_rebuild(schema: &str, journal_dir: &std::path::Path) -> Result<RebuildSummary, ProjectionError> {
    let database = database(&SERVER.url(), schema, SHARDS);
    let identity = StoreIdentity { store: STORE, shards: SHARDS };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut last = 0;
    let mut progress = |now: RebuildProgress| {
        assert!(now.done <= now.total);
        last = now.done;
    };
    let done = runtime.block_on(rebuild(database.connector(), identity, journal_dir, &small(200, 100), &mut progress));
    assert!(done.is_err() || last > 0);
    done
}

fn schemas_like(schema: &str) -> String {
    query(schema, &format!("SELECT nspname FROM pg_namespace WHERE nspname LIKE '{schema}\\_%'"))
}

#[test]
fn a_rebuild_puts_right_what_somebody_broke() {
    let (journal, folder) = journal(SHARDS);
    let mut world = World::new(31, SHARDS);
    world.run(800, &*journal);
    let schema = schema();
    project(&journal, &SERVER.url(), &schema, SHARDS, small(100, 100));
    let before = dump(&schema);
    query(&schema, "UPDATE orders SET status = 'delivered', version = 999; DELETE FROM payments; TRUNCATE inventory");
    query(
        &schema,
        &format!(
            "CREATE ROLE reader_{schema}; GRANT USAGE ON SCHEMA {schema} TO reader_{schema}; GRANT SELECT ON orders TO reader_{schema}"
        ),
    );
    let done = run_rebuild(&schema, folder.path()).unwrap();
    assert_eq!((done.snapshots, done.old_dropped), (0, true));
    assert_eq!(
        done.records,
        before[0].1.lines().map(|row| row.split('|').nth(1).unwrap().parse::<u64>().unwrap()).sum::<u64>()
    );
    assert_eq!(dump(&schema), before);
    assert_agrees(&world, &schema);
    assert_eq!(schemas_like(&schema), "", "nothing is left beside the live schema");
    let may = format!(
        "SELECT has_table_privilege('reader_{schema}', '{schema}.orders', 'SELECT'), has_schema_privilege('reader_{schema}', '{schema}', 'USAGE')"
    );
    assert_eq!(query(&schema, &may), "t|t", "a reader keeps what it may");
}

#[test]
fn a_rebuild_beside_a_projection_that_goes_on_loses_nothing() {
    let (journal, folder) = journal(SHARDS);
    let count = ShardCount::new(SHARDS).unwrap();
    let (schema, straight) = (schema(), schema());
    let database = database(&SERVER.url(), &schema, SHARDS);
    let projection = Projection::start(Arc::clone(&journal), database, count, small(50, 200)).unwrap();
    let over = AtomicBool::new(false);
    let world = thread::scope(|scope| {
        let selling = scope.spawn(|| {
            let mut world = World::new(32, SHARDS);
            while !over.load(Ordering::SeqCst) {
                world.run(30, &*journal);
                thread::sleep(Duration::from_millis(5));
            }
            world
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(200));
            run_rebuild(&schema, folder.path()).unwrap();
        }
        over.store(true, Ordering::SeqCst);
        selling.join().unwrap()
    });
    wait_for(&journal, &projection.progress(), count);
    projection.stop();
    assert_agrees(&world, &schema);
    project(&journal, &SERVER.url(), &straight, SHARDS, small(1_000, 10_000));
    assert_eq!(dump(&schema), dump(&straight));
    assert_eq!(schemas_like(&schema), "");
}

#[test]
fn a_purged_history_is_rebuilt_from_snapshots_and_movements_are_kept() {
    let (journal, folder) = journal(SHARDS);
    let mut world = World::new(33, SHARDS);
    // Enough for several segments.
    while journal.stats().segments < 4 {
        world.run(300, &*journal);
    }
    let schema = schema();
    project(&journal, &SERVER.url(), &schema, SHARDS, small(10_000, 100));
    let floor: BTreeMap<_, _> = world.shards.iter().map(|shard| (shard, journal.next_seq(shard))).collect();
    assert!(journal.purge_below(&floor, 0).unwrap().segments > 0);
    let before = dump(&schema);
    query(
        &schema,
        "UPDATE orders SET status = 'placed'; UPDATE inventory SET held = 0; UPDATE payments SET captured = 7",
    );
    let done = run_rebuild(&schema, folder.path()).unwrap();
    assert!(done.snapshots > 0 && done.records == 0, "{done:?}");
    assert_eq!(dump(&schema), before);
    // And on it goes.
    world.run(200, &*journal);
    project(&journal, &SERVER.url(), &schema, SHARDS, small(100, 100));
    assert_agrees(&world, &schema);
}

#[test]
fn a_projection_whose_history_was_purged_says_so_and_what_helps() {
    let (journal, _folder) = journal(SHARDS);
    let mut world = World::new(34, SHARDS);
    while journal.stats().segments < 4 {
        world.run(300, &*journal);
    }
    let floor: BTreeMap<_, _> = world.shards.iter().map(|shard| (shard, journal.next_seq(shard))).collect();
    journal.purge_below(&floor, 0).unwrap();
    let database = database(&SERVER.url(), &schema(), SHARDS);
    let projection = Projection::start(Arc::clone(&journal), database, world.shards, small(100, 100)).unwrap();
    let trouble = loop {
        if let Some(trouble) = projection.progress().trouble() {
            break trouble;
        }
        thread::sleep(Duration::from_millis(5));
    };
    assert!(trouble.contains("purged") && trouble.contains("holdfast projection rebuild"), "{trouble}");
}

#[test]
fn the_status_tells_how_far_the_tables_are_behind_the_journal() {
    let (journal, folder) = journal(SHARDS);
    let mut world = World::new(35, SHARDS);
    world.run(300, &*journal);
    let schema = schema();
    project(&journal, &SERVER.url(), &schema, SHARDS, small(100, 100));
    let database = database(&SERVER.url(), &schema, SHARDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let look = || runtime.block_on(status(database.connector(), Some(folder.path()))).unwrap();
    assert_eq!((look().lag_records(), look().lag_seconds), (Some(0), 0.0));
    let more = world.run(50, &*journal);
    let behind = look();
    assert_eq!(behind.lag_records(), Some(more as u64));
    assert!(behind.lag_seconds > 0.0 && behind.rows.contains_key("orders"), "{behind:?}");
    assert_eq!(runtime.block_on(status(database.connector(), None)).unwrap().lag_records(), None);
}
