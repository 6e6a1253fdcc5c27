//! A data directory and a copy of its store elsewhere: what is empty or lost is filled from the copy, and what does not fit
//! it is refused by name. The copy here is a stand-in: the snapshots of another directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{
    EntityState, Held, Recovery, Replica, ReplicaError, SnapshotError, SnapshotSource, Store, StoreError, StoreOptions,
    store::{Reach, Restored, SecretOrigin},
};

use crate::{
    samples::{append, received, replay_from},
    snapshots::states,
    store::{copy_dir, damage_files, flip, journal_files, options, used},
};

const SHARD: ShardId = ShardId(2);

/// Does something bad to a directory.
type Harm = fn(&Path);

/// A copy of a store, kept in another data directory.
struct Elsewhere {
    copy: Store,
    store: Mutex<[u8; 16]>,
    watermark: u64,
    /// Why it does not answer.
    silent: bool,
    /// Whether somebody else writes to it.
    in_use: bool,
    /// Scans that are to fail, one after the other.
    failing: AtomicU32,
    taken_over: AtomicU32,
}

impl Elsewhere {
    fn fault() -> ReplicaError {
        let source = Box::new(io::Error::from(io::ErrorKind::ConnectionRefused));
        ReplicaError::Unreachable { action: "reach", replica: "the copy".to_owned(), source }
    }
}

impl Replica for Elsewhere {
    fn name(&self) -> String {
        "the copy".to_owned()
    }

    fn held(&self) -> Result<Option<Held>, ReplicaError> {
        let shards = ShardCount::new(4).unwrap();
        let held =
            Held { store: *self.store.lock().unwrap(), shards, watermarks: vec![0, 0, self.watermark, 0], last: None };
        if self.silent { Err(Self::fault()) } else { Ok(Some(held)) }
    }

    fn take_over(&self, store: [u8; 16], successor: [u8; 16]) -> Result<(), ReplicaError> {
        self.taken_over.fetch_add(1, Ordering::Relaxed);
        if self.in_use {
            return Err(ReplicaError::InUse { replica: self.name() });
        }
        assert_eq!(std::mem::replace(&mut *self.store.lock().unwrap(), successor), store);
        Ok(())
    }

    fn snapshots(&self) -> &dyn SnapshotSource {
        self
    }
}

impl SnapshotSource for Elsewhere {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        self.copy.snapshots.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        if self.failing.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(SnapshotError::Elsewhere(Box::new(Self::fault())));
        }
        self.copy.snapshots.scan(shard, sink)
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        Ok(if shard == SHARD { self.watermark } else { 0 })
    }
}

/// A directory with a store in it, and a copy of the store as of record 5 of shard 2.
struct Scene {
    _dir: tempfile::TempDir,
    data: PathBuf,
    elsewhere: Elsewhere,
}

impl Scene {
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, copy) = (dir.path().join("data"), dir.path().join("copy"));
        used(&data);
        copy_dir(&data, &copy);
        let copy = Store::open(&copy, &options()).unwrap();
        let elsewhere = Elsewhere {
            copy,
            store: Mutex::new(store_id(&data)),
            watermark: 5,
            silent: false,
            in_use: false,
            failing: AtomicU32::new(0),
            taken_over: AtomicU32::new(0),
        };
        Self { _dir: dir, data, elsewhere }
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open_beside(&self.data, &options(), Some(&self.elsewhere))
    }

    /// Loses the directory.
    fn lose(&self) {
        fs::remove_dir_all(&self.data).unwrap();
    }

    /// Appends until the journal has segments to spare, and lets those go that are contained elsewhere up to `watermark`.
    fn purge_up_to(&mut self, watermark: u64) {
        let store = Store::open(&self.data, &options()).unwrap();
        for batch in 0..100 {
            append(&*store.journal, SHARD.0, (0..16).map(|n| received(6 + batch * 16 + n)).collect()).unwrap();
        }
        let floor = [(SHARD, watermark + 1)].into();
        assert!(store.journal.purge_below(&floor, 0).unwrap().segments > 0);
        self.elsewhere.watermark = watermark;
    }
}

/// The store's id, as its meta file says.
fn store_id(data: &Path) -> [u8; 16] {
    let meta = fs::read_to_string(data.join("meta")).unwrap();
    let hex = meta.lines().find_map(|line| line.strip_prefix("store ")).unwrap();
    u128::from_str_radix(hex, 16).unwrap().to_be_bytes()
}

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
    scene.elsewhere.store.lock().unwrap()[0] ^= 1;
    let error = scene.open().unwrap_err();
    assert!(matches!(error, StoreError::ReplicaForeign { .. }), "{error}");
    scene.lose();
    let error = Store::open_beside(&scene.data, &eight, Some(&scene.elsewhere)).unwrap_err();
    assert!(matches!(error, StoreError::ReplicaShardCount { found: 4, configured: 8, .. }), "{error}");
    assert_eq!(scene.elsewhere.taken_over.load(Ordering::Relaxed), 0, "it was taken from somebody");
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
        fn take_over(&self, _: [u8; 16], _: [u8; 16]) -> Result<(), ReplicaError> {
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
