//! A data directory that comes back from PostgreSQL: what the projection wrote is what is restored, one server at a time.

mod scene;

use std::fs;

use holdfast_core::ShardId;
use holdfast_persistence::{
    EntityState, Recovery, Replica as _, ReplicaError, SnapshotSource as _, Store, StoreError, StoreId,
    postgres::{Connector, PostgresError, PostgresReplica, PostgresSnapshots},
};

use scene::{Scene, append, copy, eventually, options, receive, state_of};

#[test]
fn a_lost_disk_comes_back_from_postgresql_and_is_refused_when_it_turns_up_again() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 40, 3);
    scene.project_all(&store);
    let before = state_of(&store);
    // What the projection never saw is lost with the disk, and only that.
    receive(&store, 40, 1);
    drop(store);
    let lost = scene.dir.path().join("lost");
    fs::rename(scene.data(), &lost).unwrap();
    let store = scene.open(&scene.data()).unwrap();
    let [Recovery::Restored(restored)] = &store.recoveries[..] else { panic!("{:?}", store.recoveries) };
    assert_eq!((restored.entities, restored.shards.len()), (120, 3), "{restored}");
    assert!(restored.shards.iter().all(|reach| reach.replica == 120 && reach.journal == 120), "{restored}");
    assert_eq!(state_of(&store), before);
    // It sells on, is projected on, and comes back a second time.
    receive(&store, 40, 2);
    scene.project_all(&store);
    let before = state_of(&store);
    drop(store);
    let error = scene.open(&lost).unwrap_err();
    assert!(matches!(error, StoreError::ReplicaForeign { .. }), "{error}");
    fs::remove_dir_all(scene.data()).unwrap();
    let store = scene.open(&scene.data()).unwrap();
    assert_eq!(state_of(&store), before);
    assert_eq!(before.values().map(EntityState::version).collect::<Vec<_>>(), vec![5; 120]);
    assert_eq!(scene.server.sql("SELECT count(*), sum(on_hand) FROM holdfast.inventory").unwrap(), "120|600");
}

#[test]
fn the_snapshots_of_a_shard_are_read_page_by_page() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    for first in (0..2_100).step_by(60) {
        append(&store, ShardId(0), (first..first + 60).map(|sku| (format!("PAGE-{sku:05}"), 1)));
    }
    scene.project_all(&store);
    let connector = holdfast_persistence::postgres::Connector::new(&scene.settings).unwrap();
    let snapshots = PostgresSnapshots::open(scene.runtime.handle().clone(), connector).unwrap();
    let mut found = Vec::new();
    snapshots.scan(ShardId(0), &mut |id, _, _| found.push(id)).unwrap();
    assert_eq!(found.len(), 2_100);
    assert!(found.is_sorted_by_key(ToString::to_string));
    let (version, state) = snapshots.load(ShardId(0), &found[7]).unwrap().unwrap();
    assert_eq!((version, state.id()), (1, found[7].clone()));
    assert_eq!(snapshots.load(ShardId(2), &found[7]).unwrap(), None);
    assert_eq!(snapshots.watermark(ShardId(0)).unwrap(), 2_100);
    // One instant: what is written meanwhile is not seen.
    scene.server.sql("UPDATE holdfast.projection_watermarks SET seq = 2101").unwrap();
    assert_eq!(snapshots.watermark(ShardId(0)).unwrap(), 2_100);
}

#[test]
fn a_database_that_somebody_writes_to_is_not_taken_over() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 1);
    let projection = scene.project(&store);
    eventually(|| projection.progress().watermark(ShardId(2)) == 4);
    let other = scene.dir.path().join("other");
    let error = scene.open(&other).unwrap_err();
    let StoreError::Replica { source: ReplicaError::InUse { .. }, .. } = &error else { panic!("{error:?}") };
    assert!(!other.join("meta").exists());
    // The first one is cut off, over and over, until the other one is quicker: the first can write nothing any more.
    let first = projection.progress();
    let replica = PostgresReplica::new(scene.runtime.handle().clone(), &scene.settings).unwrap();
    let taken = loop {
        scene.server.sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'").unwrap();
        match replica.take_over(store.id, StoreId::from_bytes([7; 16])) {
            Err(ReplicaError::InUse { .. }) => {}
            taken => break taken,
        }
    };
    taken.unwrap();
    receive(&store, 4, 1);
    eventually(|| first.trouble().is_some());
    drop(replica);
    eventually(|| first.trouble().is_some_and(|why| why.contains("holds the data of store")));
    assert_eq!(scene.server.sql("SELECT max(seq) FROM holdfast.projection_watermarks").unwrap(), "4");
    projection.stop();
}

#[test]
fn wiped_snapshots_beside_a_purged_journal_come_from_postgresql() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 40, 30);
    scene.project_all(&store);
    let (floor, before) = (store.shards.iter().map(|shard| (shard, 1_201)).collect(), {
        receive(&store, 40, 2);
        state_of(&store)
    });
    assert!(store.journal.purge_below(&floor, 0).unwrap().segments > 0);
    drop(store);
    fs::remove_dir_all(scene.data().join("snapshots")).unwrap();
    assert!(matches!(Store::open(&scene.data(), &options()).unwrap_err(), StoreError::SnapshotsLost { .. }));
    let store = scene.open(&scene.data()).unwrap();
    assert!(
        matches!(store.recoveries[..], [Recovery::SnapshotsFetched { entities: 120, .. }]),
        "{:?}",
        store.recoveries
    );
    assert_eq!(state_of(&store), before);
    // The projection goes on where it was.
    scene.project_all(&store);
    assert_eq!(scene.server.sql("SELECT count(*), min(version) FROM holdfast.inventory").unwrap(), "120|32");
}

#[test]
fn an_older_copy_of_the_folder_is_refused_and_a_damaged_row_is_named() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 1);
    drop(store);
    let old = scene.dir.path().join("old");
    copy(&scene.data(), &old);
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 1);
    scene.project_all(&store);
    drop(store);
    let error = scene.open(&old).unwrap_err();
    assert!(matches!(error, StoreError::JournalBehind { watermark: 8, next_seq: 5, .. }), "{error}");
    fs::remove_dir_all(scene.data()).unwrap();
    scene.server.sql("UPDATE holdfast.entity_snapshots SET state = set_byte(state, 12, 77) WHERE shard = 1").unwrap();
    let error = scene.open(&scene.data()).unwrap_err();
    let StoreError::Replica { source: ReplicaError::Snapshot(damaged), .. } = &error else { panic!("{error:?}") };
    assert!(damaged.to_string().contains("shard 1"), "{damaged}");
    assert!(!scene.data().join("meta").exists());
}

#[test]
fn an_older_copy_that_was_sold_from_is_refused_however_long_it_became() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 1);
    scene.project_all(&store);
    drop(store);
    let old = scene.dir.path().join("old");
    copy(&scene.data(), &old);
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 2);
    scene.project_all(&store);
    drop(store);
    // While PostgreSQL was not asked, the copy went on by itself, further than the original.
    let forked = Store::open(&old, &options()).unwrap();
    for shard in forked.shards.iter().collect::<Vec<_>>().into_iter().rev() {
        for _ in 0..5 {
            let first = forked.journal.next_seq(shard);
            append(&forked, shard, (first..first + 4).map(|seq| (format!("FORK{}-{seq}", shard.0), 1)));
        }
    }
    drop(forked);
    let error = scene.open(&old).unwrap_err();
    assert!(matches!(error, StoreError::JournalForked { shard: ShardId(2), seq: 12, .. }), "{error}");
    // Opened while nobody could ask, it is found out by the projection, which writes nothing.
    let before = scene.server.sql("SELECT count(*), sum(seq) FROM holdfast.projection_watermarks").unwrap();
    let forked = Store::open(&old, &options()).unwrap();
    let projection = scene.project(&forked);
    eventually(|| projection.progress().trouble().is_some_and(|why| why.contains("another record 12 of shard 2")));
    projection.stop();
    drop(forked);
    let after = scene.server.sql("SELECT count(*), sum(seq) FROM holdfast.projection_watermarks").unwrap();
    assert_eq!(after, before);
    // The original is what it was.
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 1);
    scene.project_all(&store);
}

#[test]
fn a_schema_of_the_version_before_is_read_as_it_is_and_restored_from() {
    let scene = Scene::set();
    let store = scene.open(&scene.data()).unwrap();
    receive(&store, 4, 3);
    scene.project_all(&store);
    drop(store);
    let undo = "DROP TABLE entity_changes; \
         ALTER TABLE store DROP COLUMN last_shard, DROP COLUMN last_seq, DROP COLUMN last_record; \
         DELETE FROM refinery_schema_history WHERE version > 1";
    scene.server.sql(&format!("SET search_path TO holdfast; {undo}")).unwrap();
    let connector = Connector::new(&scene.settings).unwrap();
    let snapshots = PostgresSnapshots::open(scene.runtime.handle().clone(), connector).unwrap();
    let mut read = 0;
    snapshots.scan(ShardId(1), &mut |_, version, _| read += version).unwrap();
    assert_eq!(read, 12, "4 SKUs of 3 events");
    drop(scene.open(&scene.data()).unwrap());
    fs::remove_dir_all(scene.data()).unwrap();
    let store = scene.open(&scene.data()).unwrap();
    assert!(matches!(store.recoveries.as_slice(), [Recovery::Restored(_)]), "{:?}", store.recoveries);
    // The restoration brought the schema up to date, and on it goes.
    receive(&store, 4, 1);
    scene.project_all(&store);
    assert_eq!(scene.server.sql("SELECT last_shard, last_seq FROM holdfast.store").unwrap(), "2|16");
}

#[test]
fn a_database_without_the_tables_has_nothing_and_one_that_is_down_is_not_taken_for_empty() {
    let mut scene = Scene::set();
    let replica = PostgresReplica::new(scene.runtime.handle().clone(), &scene.settings).unwrap();
    assert_eq!(replica.held().unwrap(), None);
    scene.server.stop().unwrap();
    let error = scene.open(&scene.data()).unwrap_err();
    let StoreError::ReplicaUnknown { source: ReplicaError::Unreachable { source, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(source.downcast_ref(), Some(PostgresError::Connect { .. })), "{source}");
    assert!(!scene.data().join("meta").exists());
}
