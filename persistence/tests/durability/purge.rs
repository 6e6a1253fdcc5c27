//! Letting old segments go: whole ones, oldest first, and the rest stays readable.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use holdfast_core::ShardId;
use holdfast_persistence::{HistoryReader, Journal, JournalError};

use crate::{
    memory_disk::MemoryDisk,
    samples::{append, open, received, replay_from},
};

fn filled() -> (MemoryDisk, u64) {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 1, vec![received(1)]).unwrap();
    for batch in 0..200 {
        append(&journal, 0, (1..=16).map(|n| received(batch * 16 + n)).collect()).unwrap();
    }
    (disk, 3_200)
}

fn floor(shards: &[(u16, u64)]) -> BTreeMap<ShardId, u64> {
    shards.iter().map(|(shard, seq)| (ShardId(*shard), *seq)).collect()
}

#[test]
fn purging_deletes_whole_old_segments_and_keeps_the_rest() {
    let (disk, written) = filled();
    let (journal, _) = open(&disk).unwrap();
    let purged = journal.purge_below(&floor(&[(0, written / 2), (1, 2)]), 0).unwrap();
    assert!(purged.segments >= 1, "{purged:?}");
    assert_eq!(purged.bytes, purged.segments * (64 << 10));
    let kept = replay_from(&journal, written / 2).unwrap();
    assert_eq!(kept[&0].first().unwrap().0, written / 2);
    assert_eq!(kept[&0].last().unwrap().0, written);
    drop(journal);
    let (journal, _) = open(&disk).unwrap();
    assert!(!journal.history_is_complete());
    assert_eq!((journal.next_seq(ShardId(0)), journal.next_seq(ShardId(1))), (written + 1, 2));
    assert_eq!(replay_from(&journal, written / 2).unwrap(), kept);
    append(&journal, 1, vec![received(2)]).unwrap();
}

#[test]
fn a_purge_leaves_at_least_the_bytes_it_is_told_to_keep() {
    let (disk, written) = filled();
    let (journal, _) = open(&disk).unwrap();
    let floor = floor(&[(0, written + 1), (1, 2)]);
    let segments = journal.stats().segments;
    assert!(segments > 2, "{segments}");
    assert_eq!(journal.purge_below(&floor, segments * (64 << 10)).unwrap().segments, 0);
    assert_eq!(journal.purge_below(&floor, (64 << 10) + 1).unwrap().segments, segments - 2);
    let stats = journal.stats();
    assert_eq!((stats.segments, stats.purged_segments), (2, segments - 2));
    assert_eq!(stats.purged_bytes, (segments - 2) * (64 << 10));
}

#[test]
fn asking_for_purged_records_is_an_error() {
    let (disk, written) = filled();
    let (journal, _) = open(&disk).unwrap();
    journal.purge_below(&floor(&[(0, written), (1, 2)]), 0).unwrap();
    let error = replay_from(&journal, 1).unwrap_err();
    assert!(matches!(error, JournalError::Purged { from: 1, .. }), "{error}");
}

#[test]
fn a_shard_without_a_floor_keeps_everything_it_has_records_in() {
    let (disk, written) = filled();
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(journal.purge_below(&floor(&[(0, written)]), 0).unwrap().segments, 0);
    assert!(journal.history_is_complete());
}

#[test]
fn the_segment_being_written_is_never_purged() {
    let (disk, _) = filled();
    let (journal, _) = open(&disk).unwrap();
    journal.purge_below(&floor(&[(0, u64::MAX), (1, u64::MAX)]), 0).unwrap();
    let next = journal.next_seq(ShardId(0));
    append(&journal, 0, vec![received(next)]).unwrap();
    drop(journal);
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(journal.next_seq(ShardId(0)), next + 1);
}

/// A reader that has read everything before one place in every shard.
struct ReaderAt(AtomicU64);

impl HistoryReader for ReaderAt {
    fn needs_from(&self, _: ShardId) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn what_a_reader_still_needs_stays_until_it_takes_more_than_its_bytes() {
    let (disk, written) = filled();
    let (journal, _) = open(&disk).unwrap();
    let floor = floor(&[(0, written + 1), (1, 2)]);
    assert!(journal.stats().segments > 2);
    let reader = Arc::new(ReaderAt(AtomicU64::new(1)));
    journal.retain_for(Arc::clone(&reader) as Arc<dyn HistoryReader>, u64::MAX);
    assert_eq!(journal.purge_below(&floor, 0).unwrap().segments, 0);
    // It comes forward: what it read goes, what it has not stays readable.
    reader.0.store(written / 2, Ordering::SeqCst);
    assert!(journal.purge_below(&floor, 0).unwrap().segments >= 1);
    assert_eq!(replay_from(&journal, written / 2).unwrap()[&0].len() as u64, written / 2 + 1);
    // It does not come forward any more, and what waits for it takes more than it may.
    journal.retain_for(reader, 0);
    assert!(journal.purge_below(&floor, 64 << 10).unwrap().segments >= 1);
    assert_eq!(journal.stats().segments, 1);
    assert!(matches!(replay_from(&journal, written / 2), Err(JournalError::Purged { .. })));
}
