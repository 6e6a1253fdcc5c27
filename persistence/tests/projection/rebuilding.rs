//! A rebuild gives the same tables, beside a projection that goes on, and also when the journal's history was purged.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{
    EntityState, SnapshotError, SnapshotSource,
    postgres::{
        StoreIdentity,
        projection::{Projection, ProjectionError, RebuildProgress, RebuildSummary, needs_snapshots, rebuild, status},
    },
};

use crate::{
    agreement::{assert_agrees, assert_bounded, assert_states_agree},
    harness::{SERVER, STORE, database, dump, journal, project, query, schema, small, wait_for},
    world::World,
};

const SHARDS: u16 = 4;

fn run_rebuild(
    schema: &str,
    journal_dir: &Path,
    own: Option<&dyn SnapshotSource>,
) -> Result<RebuildSummary, ProjectionError> {
    let database = database(&SERVER.url(), schema, SHARDS);
    let identity = StoreIdentity { store: STORE, shards: SHARDS };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut last = 0;
    let mut progress = |now: RebuildProgress| {
        assert!(now.done <= now.total);
        last = now.done;
    };
    let done =
        runtime.block_on(rebuild(database.connector(), identity, journal_dir, &small(200, 100), own, &mut progress));
    assert!(done.is_err() || last > 0 || own.is_some());
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
    let done = run_rebuild(&schema, folder.path(), None).unwrap();
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

/// What is sold beside rebuilds has an end on the slowest machine too: a world that goes on for long makes batches that are
/// larger than these journals take.
const WAVES: usize = 500;

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
            for _ in 0..WAVES {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                world.run(30, &*journal);
                thread::sleep(Duration::from_millis(20));
            }
            world
        });
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(200));
            run_rebuild(&schema, folder.path(), None).unwrap();
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
fn a_projection_goes_on_in_rebuilt_tables_with_what_they_keep_of_a_state_and_not_with_what_the_old_ones_did() {
    let (journal, folder) = journal(SHARDS);
    let count = ShardCount::new(SHARDS).unwrap();
    let mut world = World::new(37, SHARDS);
    world.run(800, &*journal);
    let schema = schema();
    let database = database(&SERVER.url(), &schema, SHARDS);
    let projection = Projection::start(Arc::clone(&journal), database, count, small(100_000, 100_000)).unwrap();
    wait_for(&journal, &projection.progress(), count);
    // In one batch all states were written whole. In many, some are a snapshot and events.
    let kept = "SELECT count(*) > 0 FROM entity_changes";
    assert_eq!(query(&schema, kept), "f");
    run_rebuild(&schema, folder.path(), None).unwrap();
    assert_eq!(query(&schema, kept), "t");
    for _ in 0..40 {
        world.run(5, &*journal);
        wait_for(&journal, &projection.progress(), count);
        assert_bounded(&schema);
    }
    projection.stop();
    assert_agrees(&world, &schema);
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
    let done = run_rebuild(&schema, folder.path(), None).unwrap();
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

/// A node's own snapshots: some entities, and up to where they contain everything.
struct Own {
    states: Vec<EntityState>,
    shards: ShardCount,
    watermarks: BTreeMap<ShardId, u64>,
}

impl SnapshotSource for Own {
    fn load(&self, _: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        Ok(self.states.iter().find(|state| state.id() == *entity).map(|state| (state.version(), state.clone())))
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        for state in &self.states {
            if self.shards.shard_of(state.id().slot()) == shard {
                sink(state.id(), state.version(), state.clone());
            }
        }
        Ok(())
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        Ok(self.watermarks.get(&shard).copied().unwrap_or(0))
    }
}

#[test]
fn history_that_was_purged_before_it_was_projected_comes_from_the_nodes_own_snapshots() {
    let (journal, folder) = journal(SHARDS);
    let mut world = World::new(36, SHARDS);
    let schema = schema();
    world.run(200, &*journal);
    project(&journal, &SERVER.url(), &schema, SHARDS, small(100, 100));
    while journal.stats().segments < 5 {
        world.run(300, &*journal);
    }
    let (states, shards) = (world.states.values().cloned().collect(), world.shards);
    let watermarks: BTreeMap<_, _> = shards.iter().map(|shard| (shard, journal.next_seq(shard) - 1)).collect();
    let floor: BTreeMap<_, _> = watermarks.iter().map(|(shard, seq)| (*shard, seq + 1)).collect();
    let own = Own { states, shards, watermarks };
    world.run(300, &*journal);
    journal.purge_below(&floor, 0).unwrap();
    let database = database(&SERVER.url(), &schema, SHARDS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lacks = || runtime.block_on(needs_snapshots(database.connector(), folder.path())).unwrap();
    assert!(lacks());
    assert!(matches!(run_rebuild(&schema, folder.path(), None), Err(ProjectionError::Purged { .. })));
    run_rebuild(&schema, folder.path(), Some(&own)).unwrap();
    assert!(!lacks());
    project(&journal, &SERVER.url(), &schema, SHARDS, small(100, 100));
    assert_states_agree(&world, &schema);
    assert_bounded(&schema);
}
