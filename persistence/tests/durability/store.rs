//! The data directory: what opens fits together, and what does not is refused by name.

use std::{
    collections::BTreeMap, ffi::OsString, fs, ops::ControlFlow, os::unix::fs::PermissionsExt as _, path::Path, thread,
    time::Duration,
};

use holdfast_core::ShardId;
use holdfast_persistence::{
    JournalReader, Recovery, Store, StoreError, StoreOptions, encode_snapshot, journal::VerifyOnOpen,
};

use crate::{
    samples::{append, received, small},
    snapshots::states,
};

/// Does something bad to a file.
pub(crate) type Damage = fn(&Path);

pub(crate) fn options() -> StoreOptions {
    StoreOptions { shards: 4, journal: small(), ..StoreOptions::default() }
}

/// A store with five records in shard 2, snapshots and a watermark at 5.
pub(crate) fn used(dir: &Path) {
    let store = Store::open(dir, &options()).unwrap();
    for seq in 1..=5 {
        append(&*store.journal, 2, vec![received(seq)]).unwrap();
    }
    let encoded: Vec<_> = states().iter().map(|state| encode_snapshot(&state.as_ref()).unwrap()).collect();
    store.snapshots.write(ShardId(2), &encoded).unwrap();
    store.snapshots.set_watermark(ShardId(2), 5).unwrap();
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_new_directory_gets_a_private_secret_that_stays() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("deep/data");
    let secret = Store::open(&data, &options()).unwrap().secret;
    assert_ne!(secret, [0; 32]);
    assert_eq!(fs::metadata(data.join("secret")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = Store::open(&data, &options()).unwrap();
    assert_eq!(again.secret, secret);
    assert!(!format!("{again:?}").contains(&format!("{:?}", secret[0..4].to_vec())));
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    let error = Store::open(dir.path(), &options()).unwrap_err();
    let StoreError::Locked { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, Some(std::process::id()));
    assert!(error.to_string().contains(&format!("locked by process {}", std::process::id())), "{error}");
    drop(store);
    Store::open(dir.path(), &options()).unwrap();
}

#[test]
fn a_directory_with_something_else_in_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "precious").unwrap();
    let error = Store::open(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read(dir.path().join("thesis.txt")).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn another_number_of_shards_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &options()).unwrap());
    let error = Store::open(dir.path(), &StoreOptions { shards: 8, ..options() }).unwrap_err();
    assert!(matches!(error, StoreError::ShardCount { found: 4, configured: 8, .. }), "{error}");
}

#[test]
fn without_a_number_a_directory_has_the_shards_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let unasked = |shards_of_new| StoreOptions { shards: 0, shards_of_new, ..options() };
    for shards_of_new in [3, 7] {
        assert_eq!(Store::open(dir.path(), &unasked(shards_of_new)).unwrap().shards.get(), 3);
    }
    let error = unasked(0).validate().unwrap_err();
    assert_eq!((error.setting, error.given, error.min), ("shards_of_new", 0, 1));
}

#[test]
fn a_damaged_or_newer_meta_file_and_a_missing_secret_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), &options()).unwrap());
    let meta = dir.path().join("meta");
    let text = fs::read_to_string(&meta).unwrap();
    for (damaged, expected) in [
        (text.replace("shards 4", "shards 5"), "is damaged"),
        (text.replace("format 1", "format 2"), "directory format 2"),
        (String::new(), "is damaged"),
        (format!("{text}\n"), "is damaged"),
    ] {
        fs::write(&meta, damaged).unwrap();
        let error = Store::open(dir.path(), &options()).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("meta"), "{error}");
    }
    fs::write(&meta, text).unwrap();
    fs::remove_file(dir.path().join("secret")).unwrap();
    let error = Store::open(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::BadSecret { .. }), "{error}");
}

#[test]
fn an_interrupted_creation_is_simply_repeated() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), [1; 32]).unwrap();
    fs::write(dir.path().join("secret.new"), [2; 5]).unwrap();
    fs::write(dir.path().join("meta.new"), "half").unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_ne!(store.secret, [1; 32]);
}

#[test]
fn missing_snapshots_are_rebuilt_from_a_whole_journal() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let store = Store::open(dir.path(), &options()).unwrap();
    assert!(matches!(&store.recoveries[..], [Recovery::SnapshotsRebuilt { moved_to: None, .. }]), "{store:?}");
    assert_eq!(store.snapshots.watermark(ShardId(2)).unwrap(), 0);
    drop(store);
    assert_eq!(Store::open(dir.path(), &options()).unwrap().recoveries, []);
}

#[test]
fn damaged_snapshots_are_moved_aside_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    damage_files(&dir.path().join("snapshots/slabs"), flip);
    let store = Store::open(dir.path(), &options()).unwrap();
    let [Recovery::SnapshotsRebuilt { moved_to: Some(moved_to), .. }] = &store.recoveries[..] else {
        panic!("{store:?}")
    };
    assert_eq!(*moved_to, dir.path().join("snapshots.damaged-1"));
    assert!(moved_to.is_dir());
    assert_eq!(store.snapshots.watermark(ShardId(2)).unwrap(), 0);
    store.snapshots.write(ShardId(2), &[encode_snapshot(&states()[0].as_ref()).unwrap()]).unwrap();
}

#[test]
fn whatever_is_damaged_the_snapshots_are_whole_or_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    used(&original);
    let empty: Damage = |path| fs::write(path, []).unwrap();
    let remove: Damage = |path| fs::remove_file(path).unwrap();
    let kinds = [("flipped", flip as Damage), ("emptied", empty), ("removed", remove)];
    for (kind, damage) in kinds {
        for part in ["snapshots/slabs", "snapshots/metadata", "snapshots"] {
            let data = dir.path().join(format!("{kind}-{}", part.replace('/', "-")));
            copy_dir(&original, &data);
            damage_files(&data.join(part), damage);
            let store = Store::open(&data, &options()).unwrap_or_else(|error| panic!("{kind} {part}: {error:?}"));
            let expected = if store.recoveries.is_empty() { (5, 4) } else { (0, 0) };
            let mut snapshots = 0;
            store.snapshots.scan(ShardId(2), &mut |_, _, _| snapshots += 1).unwrap();
            let found = (store.snapshots.watermark(ShardId(2)).unwrap(), snapshots);
            assert_eq!(found, expected, "{kind} {part}: {:?}", store.recoveries);
            println!("{kind} {part}: {:?}", store.recoveries);
        }
    }
}

#[test]
fn a_database_that_sled_has_yet_to_let_go_of_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    let held = fs::File::open(dir.path().join("snapshots")).unwrap();
    held.try_lock().unwrap();
    let release = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        drop(held);
    });
    let store = Store::open(dir.path(), &options()).unwrap();
    assert_eq!(store.recoveries, []);
    release.join().unwrap();
}

/// Damages every file of a directory.
pub(crate) fn damage_files(dir: &Path, damage: Damage) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            damage(&entry.path());
        }
    }
}

/// Flips bytes all over a file.
pub(crate) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    for byte in bytes.iter_mut().filter(|byte| **byte != 0).step_by(3) {
        *byte ^= 0x55;
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn snapshots_lost_beside_a_purged_journal_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    {
        let store = Store::open(dir.path(), &options()).unwrap();
        for batch in 0..100 {
            append(&*store.journal, 2, (0..16).map(|n| received(6 + batch * 16 + n)).collect()).unwrap();
        }
        let floor = [(ShardId(2), 1_600)].into();
        assert!(store.journal.purge_below(&floor, 0).unwrap().segments > 0);
    }
    fs::remove_dir_all(dir.path().join("snapshots")).unwrap();
    let error = Store::open(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::SnapshotsLost { .. }), "{error}");
}

#[test]
fn snapshots_newer_than_the_journal_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, old_journal) = (dir.path().join("data"), dir.path().join("old"));
    drop(Store::open(&data, &options()).unwrap());
    copy_dir(&data.join("journal"), &old_journal);
    used(&data);
    fs::remove_dir_all(data.join("journal")).unwrap();
    copy_dir(&old_journal, &data.join("journal"));
    let error = Store::open(&data, &options()).unwrap_err();
    assert!(matches!(error, StoreError::SnapshotsAhead { watermark: 5, next_seq: 1, .. }), "{error}");
}

/// The files of the journal, by name.
pub(crate) fn journal_files(data: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(Store::journal_dir(data)).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_last_frame_gone_bad_below_a_watermark_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    let mut frames = Vec::new();
    let reader = JournalReader::open(&Store::journal_dir(dir.path())).unwrap();
    reader
        .frames(&mut |frame| {
            frames.push((frame.path, frame.offset, frame.bytes));
            ControlFlow::Continue(())
        })
        .unwrap();
    let (segment, offset, bytes) = frames.pop().unwrap();
    let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset + bytes).unwrap());
    let intact = fs::read(&segment).unwrap();
    for at in [start, start + 5, start + 20, start.midpoint(end), end - 1] {
        let mut flipped = intact.clone();
        flipped[at] ^= 0x10;
        fs::write(&segment, flipped).unwrap();
        let before = journal_files(dir.path());
        let error = Store::open(dir.path(), &options()).unwrap_err();
        let refused = matches!(error, StoreError::SnapshotsAhead { shard: ShardId(2), watermark: 5, next_seq: 5, .. });
        assert!(refused, "byte {at}: {error}");
        assert!(journal_files(dir.path()) == before, "byte {at}: the refused start changed the journal");
    }
    fs::write(&segment, intact).unwrap();
    let repaired = Store::open(dir.path(), &options()).unwrap();
    assert_eq!((repaired.recoveries.len(), repaired.journal.next_seq(ShardId(2))), (0, 6));
}

#[test]
fn a_journal_that_vanished_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    used(dir.path());
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    for _ in 0..2 {
        let error = Store::open(dir.path(), &options()).unwrap_err();
        assert!(matches!(error, StoreError::JournalLost { .. }), "{error}");
    }
}

#[test]
fn journal_and_snapshots_of_another_store_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    used(&ours);
    used(&theirs);
    for part in ["journal", "snapshots"] {
        let mixed = dir.path().join(format!("mixed-{part}"));
        copy_dir(&ours, &mixed);
        fs::remove_dir_all(mixed.join(part)).unwrap();
        copy_dir(&theirs.join(part), &mixed.join(part));
        let error = Store::open(&mixed, &options()).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("belongs to another store"), "{part}: {error}: {cause}");
    }
}

#[test]
fn settings_out_of_range_name_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = options();
    wrong.journal.reserve_bytes = 1 << 30;
    let error = Store::open(dir.path(), &wrong).unwrap_err();
    assert!(matches!(&error, StoreError::Options(option) if option.setting == "reserve_bytes"), "{error:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let tail = StoreOptions {
        journal: holdfast_persistence::journal::JournalOptions { verify_on_open: VerifyOnOpen::Tail, ..small() },
        ..options()
    };
    Store::open(dir.path(), &tail).unwrap();
}
