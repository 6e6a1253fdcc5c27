//! The copy of a store as a witness: a data directory that does not fit it is refused by name and stays as it is, and one that is
//! lost is not begun anew while the witness cannot be heard.

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
};

use holdfast_persistence::{Held, Replica, ReplicaError, SnapshotSource, Store, StoreError, StoreId, StoreOptions};

use crate::{
    replica_double::{SHARD, Scene, store_id},
    samples::{append, received},
    store::{copy_dir, journal_files, options},
};

#[test]
fn the_disk_that_was_lost_is_refused_when_it_turns_up_again() {
    let scene = Scene::set();
    let (lost, old) = (scene.data.with_file_name("lost"), store_id(&scene.data));
    // It has acknowledged what the copy never heard of, and the restored one will sell less than that.
    append(&*Store::open(&scene.data, &options()).unwrap().journal, SHARD.0, vec![received(6), received(7)]).unwrap();
    fs::rename(&scene.data, &lost).unwrap();
    let store = scene.open().unwrap();
    append(&*store.journal, SHARD.0, vec![received(6)]).unwrap();
    assert_ne!(store.id, old);
    assert_eq!(store.id, *scene.elsewhere.store.lock().unwrap());
    let error = Store::open_beside(&lost, &options(), Some(&scene.elsewhere)).unwrap_err();
    assert!(matches!(error, StoreError::ReplicaForeign { .. }), "{error}");
    assert!(error.to_string().contains("restored on another disk"), "{error}");
}

#[test]
fn an_empty_directory_is_not_begun_anew_while_the_copy_cannot_be_asked() {
    let mut scene = Scene::set();
    scene.elsewhere.silent = true;
    assert_eq!(scene.open().unwrap().recoveries, [], "a whole directory needs nobody");
    scene.lose();
    let error = scene.open().unwrap_err();
    assert!(matches!(error, StoreError::ReplicaUnknown { .. }), "{error}");
    scene.elsewhere.silent = false;
    scene.elsewhere.in_use = true;
    let error = scene.open().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("in use by another server"), "{cause}");
    assert!(!scene.data.join("meta").exists());
}

#[test]
fn a_copy_of_another_store_or_another_number_of_shards_is_refused() {
    let scene = Scene::set();
    let eight = StoreOptions { shards: 8, ..options() };
    *scene.elsewhere.store.lock().unwrap() = StoreId::from_bytes([9; 16]);
    let error = scene.open().unwrap_err();
    assert!(matches!(error, StoreError::ReplicaForeign { .. }), "{error}");
    scene.lose();
    let error = Store::open_beside(&scene.data, &eight, Some(&scene.elsewhere)).unwrap_err();
    assert!(matches!(error, StoreError::ReplicaShardCount { found: 4, configured: 8, .. }), "{error}");
    assert_eq!(scene.elsewhere.taken_over.load(Ordering::Relaxed), 0, "it was taken from somebody");
}

#[test]
fn a_copy_that_ends_before_the_journal_begins_is_refused_and_the_gap_named() {
    let mut scene = Scene::set();
    scene.purge_up_to(1_600);
    scene.elsewhere.watermark = 5;
    fs::remove_dir_all(scene.data.join("snapshots")).unwrap();
    let error = scene.open().unwrap_err();
    let StoreError::ReplicaTooOld { shard: SHARD, watermark: 5, first, .. } = error else { panic!("{error}") };
    assert!(first > 6 && error.to_string().contains(&format!("begins at record {first}")), "{error}");
    scene.elsewhere.watermark = first - 1;
    scene.open().unwrap();
}

#[test]
fn an_older_copy_of_the_whole_directory_is_refused_and_stays_as_it_is() {
    let mut scene = Scene::set();
    let store = Store::open(&scene.data, &options()).unwrap();
    let torn = scene.data.with_file_name("torn");
    copy_dir(&scene.data, &torn);
    append(&*store.journal, SHARD.0, vec![received(6), received(7)]).unwrap();
    drop(store);
    scene.elsewhere.watermark = 7;
    scene.open().unwrap();
    scene.lose();
    copy_dir(&torn, &scene.data);
    let before = journal_files(&scene.data);
    for watermark in [6, 7] {
        scene.elsewhere.watermark = watermark;
        let error = scene.open().unwrap_err();
        let StoreError::JournalBehind { watermark: elsewhere, next_seq: 6, shard: SHARD, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(elsewhere, watermark);
    }
    assert_eq!(journal_files(&scene.data), before);
    scene.elsewhere.watermark = 5;
    scene.open().unwrap();
}

#[test]
fn a_directory_whose_journal_and_snapshots_vanished_is_not_begun_anew() {
    let scene = Scene::set();
    for part in ["journal", "snapshots"] {
        fs::remove_dir_all(scene.data.join(part)).unwrap();
    }
    let error = scene.open().unwrap_err();
    assert!(matches!(error, StoreError::JournalLost { .. }), "{error}");
}

#[test]
fn a_copy_that_has_nothing_changes_nothing() {
    struct Nothing;
    impl Replica for Nothing {
        fn name(&self) -> String {
            "nothing".to_owned()
        }
        fn held(&self) -> Result<Option<Held>, ReplicaError> {
            Ok(None)
        }
        fn take_over(&self, _: StoreId, _: StoreId) -> Result<(), ReplicaError> {
            panic!("there is nothing to take over")
        }
        fn snapshots(&self) -> &dyn SnapshotSource {
            panic!("there is nothing to read")
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::open_beside(&dir.path().join("data"), &options(), Some(&Nothing as &dyn Replica));
    assert_eq!(open().unwrap().recoveries, []);
    let store: Arc<Store> = Arc::new(open().unwrap());
    append(&*store.journal, 0, vec![received(1)]).unwrap();
    drop(store);
    fs::remove_file(dir.path().join("data/meta")).unwrap();
    assert!(matches!(open().unwrap_err(), StoreError::NotAStore { .. }));
}
