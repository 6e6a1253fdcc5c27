//! Power cuts at any instant, on a disk that forgets what was not synced, sector by sector: every acknowledged record is
//! there, and the journal opens.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId};
use holdfast_persistence::{Batch, Journal, journal::SegmentJournal};

use crate::{
    append::wait_for_spare,
    memory_disk::MemoryDisk,
    samples::{STORE, append, open, received, replay, shards, small},
};

/// A small generator of random numbers with a seed a failure can name.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 8) % limit
    }
}

/// Appends random batches to a shard without waiting, counting what is acknowledged.
fn append_much(journal: &SegmentJournal, shard: u16, acknowledged: &Arc<AtomicU64>, random: &mut Random) {
    for _ in 0..30 {
        let first_seq = journal.next_seq(ShardId(shard));
        let last = first_seq + random.below(40);
        let batch = Batch { shard: ShardId(shard), first_seq, records: (first_seq..=last).map(received).collect() };
        let acknowledged = Arc::clone(acknowledged);
        journal.append(
            &batch,
            Box::new(move |result| {
                result.unwrap();
                acknowledged.fetch_max(last, Ordering::SeqCst);
            }),
        );
        if random.below(4) == 0 {
            thread::sleep(Duration::from_micros(random.below(1_500)));
        }
    }
}

#[test]
fn every_acknowledged_record_survives_a_power_cut_at_any_instant() {
    println!("{}", cut_again_and_again(shards(), 40));
}

#[test]
fn so_it_does_when_a_segments_header_is_larger_than_what_a_disk_writes_at_once() {
    println!("{}", cut_again_and_again(ShardCount::new(ShardCount::MAX).unwrap(), 20));
}

/// Gives the figures of the run.
fn cut_again_and_again(shards: ShardCount, seeds: u64) -> String {
    let open = |disk: &MemoryDisk| SegmentJournal::open_on(Arc::new(disk.clone()), STORE, shards, small());
    let (mut cuts, mut torn_tails, mut kept) = (0, 0, 0);
    for seed in 1..=seeds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut disk = MemoryDisk::new();
        for _ in 0..3 {
            let (journal, torn) = open(&disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            torn_tails += u64::from(torn.is_some());
            disk.faults.sync_ms.store(random.below(2), Ordering::SeqCst);
            let acknowledged: [Arc<AtomicU64>; 4] = Default::default();
            let image = thread::scope(|scope| {
                for (shard, acknowledged) in (0..).zip(&acknowledged) {
                    let (journal, mut random) = (&journal, Random(random.next() | 1));
                    scope.spawn(move || append_much(journal, shard, acknowledged, &mut random));
                }
                thread::sleep(Duration::from_micros(random.below(12_000)));
                let promised: Vec<u64> = acknowledged.iter().map(|seq| seq.load(Ordering::SeqCst)).collect();
                (promised, disk.power_cut(&mut || random.next() & 0x100 == 0))
            });
            let (promised, after) = image;
            drop(journal);
            disk = after;
            let (journal, _) = open(&disk.copy()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let seen = replay(&journal);
            drop(journal);
            for (shard, promised) in (0..).zip(promised) {
                let records = seen.get(&shard).map_or(&[][..], Vec::as_slice);
                assert!(records.len() as u64 >= promised, "seed {seed}: shard {shard} lost acknowledged records");
                assert!(
                    (1..).zip(records).all(|(n, (seq, record))| *seq == n && *record == received(n)),
                    "seed {seed}"
                );
                kept += promised;
            }
            cuts += 1;
        }
    }
    format!("{cuts} power cuts, {torn_tails} torn tails, {kept} acknowledged records, none lost")
}

#[test]
fn a_record_kept_after_a_failed_sync_is_durable_before_anything_is_built_on_it() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.fail_syncs.store(true, Ordering::SeqCst);
    append(&journal, 0, vec![received(2)]).unwrap_err();
    drop(journal);
    disk.faults.fail_syncs.store(false, Ordering::SeqCst);
    // The next process sees the record in the kernel's memory, although it never reached the disk.
    let (journal, _) = open(&disk).unwrap();
    let next = journal.next_seq(ShardId(0));
    assert_eq!(next, 3);
    append(&journal, 0, vec![received(next)]).unwrap();
    let (journal, _) = open(&disk.power_cut(&mut || false)).unwrap();
    assert_eq!(replay(&journal)[&0].len(), 3);
}
