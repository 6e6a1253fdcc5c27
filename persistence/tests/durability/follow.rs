//! Following: behind the writer, in order, only what is durable, across segments, restarts and purges.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use holdfast_core::ShardId;
use holdfast_persistence::{
    Batch, FollowLimit, Followed, Follower, Journal, JournalError, JournalReader, StoreId, journal::SegmentJournal,
};

use crate::{
    append::wait_until,
    memory_disk::MemoryDisk,
    samples::{STORE, append, open, received, replay, shards, small},
};

const ALL: FollowLimit = FollowLimit { records: usize::MAX, bytes: usize::MAX };
const NO_WAIT: Duration = Duration::ZERO;

fn from(positions: &[(u16, u64)]) -> BTreeMap<ShardId, u64> {
    positions.iter().map(|(shard, seq)| (ShardId(*shard), *seq)).collect()
}

fn start(journal: &dyn Journal) -> Box<dyn Follower> {
    journal.follow(&BTreeMap::new()).unwrap()
}

/// Takes what there is, a few records at a time.
fn drain(follower: &mut dyn Follower, limit: FollowLimit) -> Vec<Followed> {
    let mut all = Vec::new();
    loop {
        let some = follower.next(limit, NO_WAIT).unwrap();
        if some.is_empty() {
            return all;
        }
        assert!(some.len() <= limit.records);
        all.extend(some);
    }
}

fn by_shard(given: Vec<Followed>) -> BTreeMap<u16, Vec<(u64, holdfast_persistence::Record)>> {
    let mut shards = BTreeMap::<u16, Vec<_>>::new();
    for Followed { shard, seq, record } in given {
        shards.entry(shard.0).or_default().push((seq, record));
    }
    shards
}

#[test]
fn a_follower_gives_what_a_replay_gives_in_bounded_pieces_across_segments() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    for n in 1..=200_u64 {
        append(&journal, u16::try_from(n % 4).unwrap(), (1..=16).map(|m| received(n * 16 + m)).collect()).unwrap();
    }
    assert!(journal.stats().segments > 2);
    let mut follower = start(&journal);
    let given = drain(&mut *follower, FollowLimit { records: 7, bytes: usize::MAX });
    assert_eq!(given.len(), 3_200);
    assert_eq!(by_shard(given), replay(&journal));
    assert_eq!(follower.behind(), 0);
}

#[test]
fn a_limit_in_bytes_ends_a_piece_after_at_least_one_record() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, (1..=10).map(received).collect()).unwrap();
    let mut follower = start(&journal);
    assert_eq!(follower.next(FollowLimit { records: 10, bytes: 1 }, NO_WAIT).unwrap().len(), 1);
    assert_eq!(follower.behind(), 9);
    assert_eq!(follower.next(ALL, NO_WAIT).unwrap().len(), 9);
}

#[test]
fn a_follower_keeps_up_with_writers_and_delays_none() {
    const BATCHES: u64 = 400;
    let disk = MemoryDisk::new();
    let journal = Arc::new(open(&disk).unwrap().0);
    let done = Arc::new(AtomicU64::new(0));
    let mut follower = start(&*journal);
    thread::scope(|scope| {
        for shard in 0..4 {
            let (journal, done) = (&journal, &done);
            scope.spawn(move || {
                for seq in 1..=BATCHES {
                    let done = Arc::clone(done);
                    let batch = Batch { shard: ShardId(shard), first_seq: seq, records: vec![received(seq)] };
                    journal.append(
                        &batch,
                        Box::new(move |result| {
                            result.unwrap();
                            done.fetch_add(1, Ordering::SeqCst);
                        }),
                    );
                }
            });
        }
        let mut next = [1_u64; 4];
        while next.iter().sum::<u64>() < 4 * (BATCHES + 1) {
            for Followed { shard, seq, .. } in follower.next(ALL, Duration::from_secs(30)).unwrap() {
                let due = &mut next[usize::from(shard.0)];
                assert_eq!(seq, *due);
                *due += 1;
            }
        }
    });
    wait_until(|| done.load(Ordering::SeqCst) == 4 * BATCHES);
}

#[test]
fn a_record_is_given_only_once_it_is_durable() {
    let disk = MemoryDisk::new();
    let journal = Arc::new(open(&disk).unwrap().0);
    append(&*journal, 0, vec![received(1)]).unwrap();
    let mut follower = start(&*journal);
    assert_eq!(follower.next(ALL, NO_WAIT).unwrap().len(), 1);
    // The write is there at once; its sync takes its time.
    disk.faults.sync_ms.store(300, Ordering::SeqCst);
    let durable = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&durable);
    let batch = Batch { shard: ShardId(0), first_seq: 2, records: vec![received(2)] };
    journal.append(
        &batch,
        Box::new(move |result| {
            result.unwrap();
            told.store(1, Ordering::SeqCst);
        }),
    );
    while follower.next(ALL, Duration::from_secs(30)).unwrap().is_empty() {}
    wait_until(|| durable.load(Ordering::SeqCst) == 1);
    disk.faults.sync_ms.store(0, Ordering::SeqCst);
    // What failed to sync is in the file and is never given.
    disk.faults.fail_syncs.store(true, Ordering::SeqCst);
    append(&*journal, 0, vec![received(3)]).unwrap_err();
    assert_eq!(follower.next(ALL, NO_WAIT).unwrap(), Vec::new());
    assert_eq!(follower.behind(), 0);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a wait that nobody ended must show")]
fn waiting_ends_with_the_next_record_and_does_not_take_its_time() {
    let disk = MemoryDisk::new();
    let journal = Arc::new(open(&disk).unwrap().0);
    let mut follower = start(&*journal);
    let writer = Arc::clone(&journal);
    let appended = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        append(&*writer, 2, vec![received(1)]).unwrap();
    });
    let began = std::time::Instant::now();
    assert_eq!(follower.next(ALL, Duration::from_mins(10)).unwrap().len(), 1);
    assert!(began.elapsed() < Duration::from_mins(5));
    appended.join().unwrap();
}

#[test]
fn after_a_restart_a_follower_goes_on_at_its_position() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    for n in 1..=100_u64 {
        append(&journal, 0, (1..=16).map(|m| received(n * 16 + m)).collect()).unwrap();
        append(&journal, 1, vec![received(n)]).unwrap();
    }
    drop(journal);
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 1, vec![received(101)]).unwrap();
    let mut follower = journal.follow(&from(&[(0, 1_590), (1, 99), (2, 1)])).unwrap();
    let given: Vec<_> = drain(&mut *follower, ALL).into_iter().map(|one| (one.shard.0, one.seq)).collect();
    let in_shard = |shard| given.iter().filter(|one| one.0 == shard).map(|one| one.1).collect::<Vec<_>>();
    assert_eq!(in_shard(0), (1_590..=1_600).collect::<Vec<_>>());
    assert_eq!(in_shard(1), vec![99, 100, 101]);
}

#[test]
fn what_was_torn_is_not_given_and_what_replaces_it_is() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    let intact = disk.copy();
    append(&journal, 0, vec![received(2)]).unwrap();
    drop(journal);
    let name = disk.names().into_iter().find(|name| name.ends_with("1.journal")).unwrap();
    let (before, mut torn) = (intact.get(&name), disk.get(&name));
    let last = torn.iter().zip(&before).rposition(|(now, then)| now != then).unwrap();
    torn[last] ^= 1;
    disk.put(&name, torn);
    let (journal, cut) = open(&disk).unwrap();
    assert!(cut.is_some());
    let mut follower = start(&journal);
    assert_eq!(drain(&mut *follower, ALL).len(), 1);
    append(&journal, 0, vec![received(7)]).unwrap();
    let given = drain(&mut *follower, ALL);
    assert_eq!((given.len(), given[0].seq, &given[0].record), (1, 2, &received(7)));
}

#[test]
fn a_purge_below_a_follower_is_an_error_that_says_so_and_one_behind_it_is_not() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let write = |n: u64| append(&journal, 0, (1..=16).map(|m| received(n * 16 + m)).collect()).unwrap();
    (0..100).for_each(write);
    let (mut slow, mut current) = (start(&journal), start(&journal));
    assert_eq!(slow.next(FollowLimit { records: 1, bytes: usize::MAX }, NO_WAIT).unwrap().len(), 1);
    drain(&mut *current, ALL);
    (100..200).for_each(write);
    assert!(journal.purge_below(&from(&[(0, 2_400)]), 0).unwrap().segments > 1);
    assert_eq!(drain(&mut *current, ALL).len(), 1_600);
    let error = loop {
        match slow.next(FollowLimit { records: 100, bytes: usize::MAX }, NO_WAIT) {
            Ok(some) => assert!(!some.is_empty(), "skipped what was purged"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, JournalError::Purged { shard: ShardId(0), .. }), "{error}");
    assert!(matches!(journal.follow(&BTreeMap::new()), Err(JournalError::Purged { from: 1, .. })));
}

#[test]
fn a_folder_is_followed_only_as_far_as_it_is_allowed_to_even_within_a_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = SegmentJournal::open(folder.path(), STORE, shards(), small()).unwrap();
    let mut written = 0;
    let reader = JournalReader::open(folder.path()).unwrap();
    let mut follower = reader.follow(STORE, shards(), &BTreeMap::new()).unwrap();
    for n in 0..150_u64 {
        append(&journal, 0, (1..=16).map(|m| received(n * 16 + m)).collect()).unwrap();
        written += 16;
        assert_eq!(follower.next(ALL, NO_WAIT).unwrap(), Vec::new());
        follower.allow(written - 4);
        let given = drain(&mut follower, ALL);
        assert_eq!(given.last().unwrap().seq, written - 5);
        assert_eq!(given.first().unwrap().seq, if n == 0 { 1 } else { written - 20 });
    }
    assert!(reader.segments().unwrap().len() > 2);
    assert_eq!(reader.first_seqs().unwrap(), vec![1; 4]);
    let other =
        JournalReader::open(folder.path()).unwrap().follow(StoreId::from_bytes([9; 16]), shards(), &BTreeMap::new());
    assert!(matches!(other, Err(JournalError::Foreign { .. })));
}
