//! A data directory and a copy of its store elsewhere: what is empty or lost is filled from the copy, once and whole, and goes on
//! behind it.

use std::{fs, path::Path, sync::atomic::Ordering};

use holdfast_core::ShardId;
use holdfast_persistence::{
    EntityState, Recovery, Store, StoreError, StoreOptions,
    store::{Reach, Restored, SecretOrigin},
};

use crate::{
    replica_double::{SHARD, Scene},
    samples::{append, received, replay_from},
    snapshots::states,
    store::{damage_files, flip, journal_files, options},
};

/// Does something bad to a directory.
type Harm = fn(&Path);

/// What is said of a restoration that found nothing, with so many records elsewhere.
fn restored(elsewhere: u64, journal: u64, secret: SecretOrigin) -> Recovery {
    let of = |shard| if shard == 2 { Reach { replica: elsewhere, journal } } else { Reach { replica: 0, journal: 0 } };
    let shards = (0..4).map(of).collect();
    Recovery::Restored(Restored { replica: "the copy".to_owned(), entities: 4, shards, secret })
}

fn assert_has_the_copy(store: &Store) {
    let mut found = Vec::new();
    store.snapshots.scan(SHARD, &mut |_, version, state| found.push((version, state))).unwrap();
    let mut expected: Vec<_> = states().into_iter().map(|state| (state.version(), state)).collect();
    let key = |(_, state): &(u64, EntityState)| state.id();
    found.sort_by_key(key);
    expected.sort_by_key(key);
    assert_eq!(found, expected);
}

#[test]
fn an_empty_directory_goes_on_behind_the_last_record_of_the_copy() {
    let scene = Scene::set();
    scene.lose();
    let store = scene.open().unwrap();
    assert_eq!(store.recoveries, [restored(5, 5, SecretOrigin::New)]);
    let said = store.recoveries[0].to_string();
    assert!(said.contains("0 of shard 0, 0 of shard 1, 5 of shard 2") && said.contains("is not here"), "{said}");
    assert_has_the_copy(&store);
    assert_eq!((store.journal.next_seq(SHARD), store.snapshots.watermark(SHARD).unwrap()), (6, 5));
    assert_eq!(scene.elsewhere.taken_over.load(Ordering::Relaxed), 1);
    append(&*store.journal, SHARD.0, vec![received(6)]).unwrap();
    append(&*store.journal, 0, vec![received(1)]).unwrap();
    drop(store);
    // From now on it is a directory like any other.
    let store = Store::open(&scene.data, &options()).unwrap();
    assert_eq!((store.recoveries.len(), store.journal.next_seq(SHARD), store.journal.next_seq(ShardId(0))), (0, 7, 2));
    let from = [(0, 1), (1, 1), (2, 6), (3, 1)].map(|(shard, from)| (ShardId(shard), from)).into();
    let replayed = store.journal.replay(&from, &|_, _, _| {}, &|_| {}).unwrap();
    assert_eq!(replayed.records, 2);
    assert!(replay_from(&*store.journal, 5).is_err(), "record 5 is not in this journal");
}

#[test]
fn a_restoration_that_is_interrupted_anywhere_is_simply_repeated() {
    let interrupt: [(&str, Harm); 4] = [
        ("once the secret is there", |data| {
            fs::remove_dir_all(data.join("journal")).unwrap();
            fs::remove_dir_all(data.join("snapshots")).unwrap();
        }),
        ("once the journal has begun", |data| fs::remove_dir_all(data.join("snapshots")).unwrap()),
        ("while snapshots are fetched", |data| {
            fs::write(data.join("snapshots.fetching"), "").unwrap();
            damage_files(&data.join("snapshots/slabs"), flip);
        }),
        ("before the meta file is written", |_| {}),
    ];
    for (when, interrupt) in interrupt {
        let scene = Scene::set();
        scene.lose();
        let secret = scene.open().unwrap().secret;
        fs::remove_file(scene.data.join("meta")).unwrap();
        interrupt(&scene.data);
        let store = scene.open().unwrap_or_else(|error| panic!("{when}: {error:?}"));
        assert_has_the_copy(&store);
        assert_eq!((store.secret, store.journal.next_seq(SHARD)), (secret, 6), "{when}");
        assert!(!scene.data.join("snapshots.fetching").exists(), "{when}");
        // What was not finished is nobody's to look at: removed, not kept.
        assert!(!scene.data.join("snapshots.damaged-1").exists(), "{when}");
    }
}

#[test]
fn a_copy_that_fails_on_the_way_leaves_nothing_half_done() {
    let scene = Scene::set();
    scene.lose();
    for failures in 1..=4 {
        scene.elsewhere.failing.store(1, Ordering::Relaxed);
        let error = scene.open().unwrap_err();
        assert!(matches!(error, StoreError::Replica { .. }), "{failures}: {error}");
        assert!(!scene.data.join("meta").exists() && scene.data.join("snapshots.fetching").exists());
    }
    assert_has_the_copy(&scene.open().unwrap());
}

#[test]
fn the_secret_comes_from_the_file_that_is_named() {
    let scene = Scene::set();
    let kept = scene.data.with_file_name("kept-secret");
    fs::copy(scene.data.join("secret"), &kept).unwrap();
    scene.lose();
    let options = StoreOptions { secret_file: Some(kept.clone()), ..options() };
    let store = Store::open_beside(&scene.data, &options, Some(&scene.elsewhere)).unwrap();
    assert_eq!(store.recoveries, [restored(5, 5, SecretOrigin::File)]);
    assert_eq!(store.secret.as_slice(), fs::read(&kept).unwrap());
    drop(store);
    scene.lose();
    fs::write(&kept, "too short").unwrap();
    let error = Store::open_beside(&scene.data, &options, Some(&scene.elsewhere)).unwrap_err();
    assert!(matches!(error, StoreError::BadSecretFile { .. }), "{error}");
}

#[test]
fn a_journal_that_is_still_there_is_read_on_from_the_copy() {
    let scene = Scene::set();
    let store = Store::open(&scene.data, &options()).unwrap();
    append(&*store.journal, SHARD.0, (6..=9).map(received).collect()).unwrap();
    drop(store);
    for gone in ["meta", "snapshots", "secret"] {
        let path = scene.data.join(gone);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    let whole = journal_files(&scene.data);
    assert!(matches!(Store::open(&scene.data, &options()).unwrap_err(), StoreError::NotAStore { .. }));
    let store = scene.open().unwrap();
    let [Recovery::Restored(found)] = &store.recoveries[..] else { panic!("{:?}", store.recoveries) };
    assert_eq!((found.shards[2], found.entities), (Reach { replica: 5, journal: 9 }, 0), "{found}");
    assert!(found.to_string().contains("9 of shard 2 (4 from the journal)"), "{found}");
    assert_eq!((store.journal.next_seq(SHARD), store.id), (10, *scene.elsewhere.store.lock().unwrap()));
    drop(store);
    assert_eq!(journal_files(&scene.data), whole);
}

#[test]
fn snapshots_lost_beside_a_purged_journal_come_from_the_copy() {
    let mut scene = Scene::set();
    scene.purge_up_to(1_600);
    let losses: [(&str, Harm); 2] =
        [("wiped", |dir| fs::remove_dir_all(dir).unwrap()), ("damaged", |dir| damage_files(&dir.join("slabs"), flip))];
    for (how, lose) in losses {
        lose(&scene.data.join("snapshots"));
        let before = journal_files(&scene.data);
        scene.elsewhere.silent = true;
        let error = scene.open().unwrap_err();
        assert!(matches!(error, StoreError::SnapshotsLost { replica: Some(_), .. }), "{how}: {error}");
        assert!(error.to_string().contains("make the database reachable"), "{how}: {error}");
        scene.elsewhere.silent = false;
        let store = scene.open().unwrap_or_else(|error| panic!("{how}: {error:?}"));
        let [Recovery::SnapshotsFetched { entities: 4, moved_to, .. }] = &store.recoveries[..] else {
            panic!("{how}: {:?}", store.recoveries)
        };
        assert_eq!(moved_to.is_some(), how == "damaged", "{how}");
        assert_has_the_copy(&store);
        assert_eq!((store.snapshots.watermark(SHARD).unwrap(), store.journal.next_seq(SHARD)), (1_600, 1_606));
        let from = [(SHARD, 1_601)].into();
        assert_eq!(store.journal.replay(&from, &|_, _, _| {}, &|_| {}).unwrap().records, 5, "{how}");
        drop(store);
        assert_eq!(journal_files(&scene.data), before, "{how}: the journal was changed");
        assert_eq!(scene.elsewhere.taken_over.load(Ordering::Relaxed), 0, "{how}");
    }
}
