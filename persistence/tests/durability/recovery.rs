//! Starting again after a crash: the unacknowledged tail goes, nothing else does.

use std::{path::Path, sync::atomic::Ordering};

use holdfast_core::ShardId;
use holdfast_persistence::{Journal, Record, StoreId, journal::SegmentJournal};

use crate::{
    append::wait_for_spare,
    memory_disk::MemoryDisk,
    samples::{STORE, append, every_event, open, received, replay, replay_from, shards, small},
};

const FIRST: &str = "segment-0000000001.journal";
const SECOND: &str = "segment-0000000002.journal";

/// A journal with three acknowledged batches, and where the last frame begins and ends.
fn three_batches() -> (MemoryDisk, usize, usize) {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1), received(2)]).unwrap();
    append(&journal, 1, vec![received(1)]).unwrap();
    let begins = end_of_data(&disk.get(FIRST));
    let last: Vec<Record> = every_event().into_iter().map(|(_, record)| record).take(3).collect();
    append(&journal, 0, last).unwrap();
    let ends = end_of_data(&disk.get(FIRST));
    wait_for_spare(&disk);
    drop(journal);
    (disk, begins, ends)
}

fn end_of_data(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

#[test]
fn a_file_cut_at_any_byte_of_its_last_record_loses_only_that_write() {
    let (disk, begins, ends) = three_batches();
    let whole = disk.get(FIRST);
    let acknowledged = replay(&open(&disk.copy()).unwrap().0);
    let mut cuts = 0;
    for cut in begins..ends {
        let damaged = disk.copy();
        damaged.put(FIRST, whole[..cut].to_vec());
        let (journal, torn) = open(&damaged).unwrap();
        let seen = replay(&journal);
        assert_eq!(seen[&0], acknowledged[&0][..2], "cut at {cut}");
        assert_eq!(seen[&1], acknowledged[&1], "cut at {cut}");
        assert_eq!(torn.is_some(), whole[begins..cut].iter().any(|byte| *byte != 0), "cut at {cut}");
        assert!(torn.is_none_or(|torn| torn.offset == begins as u64));
        append(&journal, 0, vec![received(3)]).unwrap();
        drop(journal);
        assert_eq!(replay(&open(&damaged).unwrap().0)[&0].len(), 3, "cut at {cut}");
        cuts += 1;
    }
    println!("{cuts} cuts, {} acknowledged records kept each time", 3);
}

#[test]
fn a_last_write_of_which_any_part_is_missing_is_cut_and_reported() {
    let (disk, begins, ends) = three_batches();
    let whole = disk.get(FIRST);
    for hole in (begins..ends).step_by(7) {
        let mut torn_bytes = whole.clone();
        torn_bytes[hole..ends.min(hole + 16)].fill(0);
        if torn_bytes == whole {
            continue;
        }
        let damaged = disk.copy();
        damaged.put(FIRST, torn_bytes);
        let (journal, _) = open(&damaged).unwrap();
        assert_eq!(journal.next_seq(ShardId(0)), 3, "hole at {hole}");
        drop(journal);
        assert!(damaged.get(FIRST)[begins..].iter().all(|byte| *byte == 0), "the torn write was not zeroed");
        assert_eq!(open(&damaged).unwrap().1, None, "a cut tail is reported once");
    }
}

/// A last frame that was acknowledged and went bad looks like an unfinished write: whatever is cut is kept beside the journal.
#[test]
fn what_is_cut_off_is_kept_in_a_file_beside_the_segment_each_time_in_another() {
    let (disk, begins, ends) = three_batches();
    for round in 1..=3 {
        let mut bytes = disk.get(FIRST);
        if round == 1 {
            bytes[begins + 20] ^= 1;
        } else {
            bytes[begins..begins + 30 * round].fill(u8::try_from(round).unwrap());
        }
        disk.put(FIRST, bytes.clone());
        let (_, torn) = open(&disk).unwrap();
        let torn = torn.expect("a torn tail");
        let name = format!("{FIRST}.torn-{round}");
        assert_eq!(torn.kept_in.as_deref(), Some(Path::new("/memory").join(&name).as_path()));
        assert!(torn.to_string().contains(&name), "{torn}");
        let last = if round == 1 { ends } else { begins + 30 * round };
        assert_eq!(disk.get(&name), bytes[begins..last], "round {round}");
        let durable = disk.power_cut(&mut || false);
        assert!(durable.names().contains(&name), "the copy's name is not durable");
        assert_eq!(durable.get(&name), disk.get(&name), "the copy is not durable");
    }
    assert_eq!(open(&disk).unwrap().1, None);
}

#[test]
fn without_room_for_a_copy_the_unfinished_write_is_cut_all_the_same() {
    let (disk, begins, _) = three_batches();
    let mut bytes = disk.get(FIRST);
    bytes[begins + 20] ^= 1;
    disk.put(FIRST, bytes);
    disk.faults.capacity.store(disk.used(), Ordering::SeqCst);
    let torn = open(&disk).unwrap().1.expect("a torn tail");
    assert_eq!(torn.kept_in, None);
    assert!(disk.names().iter().all(|name| !name.contains("torn")), "{:?}", disk.names());
    assert!(disk.get(FIRST)[begins..].iter().all(|byte| *byte == 0));
}

#[test]
fn an_unfinished_write_that_was_never_acknowledged_is_gone_after_a_failed_sync() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.fail_syncs.store(true, Ordering::SeqCst);
    append(&journal, 0, vec![received(2)]).unwrap_err();
    drop(journal);
    // What an unsynced write leaves behind is up to the disk: here it lost its second half.
    let image = disk.copy();
    let mut bytes = image.get(FIRST);
    let end = end_of_data(&bytes);
    bytes[end - 20..end].fill(0);
    image.put(FIRST, bytes);
    let (journal, torn) = open(&image).unwrap();
    assert!(torn.is_some());
    assert_eq!(replay(&journal)[&0].len(), 1);
}

#[test]
fn the_journal_goes_on_over_many_segments_and_restarts() {
    let disk = MemoryDisk::new();
    let mut written = 0;
    for restart in 0..4 {
        let (journal, torn) = open(&disk).unwrap();
        assert_eq!(torn, None);
        assert_eq!(journal.next_seq(ShardId(0)), written + 1, "restart {restart}");
        for _ in 0..40 {
            append(&journal, 0, (1..=20).map(|n| received(written + n)).collect()).unwrap();
            append(&journal, 3, vec![received(1)]).unwrap();
            written += 20;
        }
    }
    assert!(disk.names().len() > 3, "{:?}", disk.names());
    let (journal, _) = open(&disk).unwrap();
    let seen = replay(&journal);
    assert_eq!(seen[&0].len() as u64, written);
    assert!((1..).zip(&seen[&0]).all(|(n, (seq, record))| *seq == n && *record == received(n)));
    assert_eq!(seen[&3].len(), 160);
}

#[test]
fn a_segment_whose_beginning_was_torn_is_made_again() {
    let (disk, _, _) = three_batches();
    let mut spare = disk.get(SECOND);
    spare[40] ^= 1;
    disk.put(SECOND, spare);
    let (journal, torn) = open(&disk).unwrap();
    assert_eq!(torn, None);
    append(&journal, 1, (2..=100).map(received).collect()).unwrap();
    assert_eq!(replay(&journal)[&1].len(), 100);
}

#[test]
fn a_segment_that_was_still_being_made_is_thrown_away() {
    let (disk, _, _) = three_batches();
    disk.put("segment.preparing", vec![0; 100]);
    drop(open(&disk).unwrap());
    assert!(!disk.names().contains(&"segment.preparing".to_owned()));
}

#[test]
fn frames_of_an_earlier_use_of_a_file_do_not_count() {
    let (disk, _, _) = three_batches();
    // The second segment is begun in a file that still holds the first one's frames behind its header.
    let header = disk.get(SECOND)[..128].to_vec();
    let mut recycled = disk.get(FIRST);
    recycled[..128].copy_from_slice(&header);
    let image = disk.copy();
    image.put(SECOND, recycled);
    let refused = open(&image).unwrap_err();
    assert!(refused.to_string().contains(SECOND), "a spare with bytes in it passed: {refused}");

    let renamed = MemoryDisk::new();
    let mut bytes = disk.get(FIRST);
    bytes[..128].copy_from_slice(&begun_header());
    renamed.put(SECOND, bytes);
    let (journal, torn) = open(&renamed).unwrap();
    assert!(torn.is_some(), "stale frames are an unfinished write at most");
    let begins = u64::from_le_bytes(begun_header()[48..56].try_into().unwrap());
    assert_eq!(replay_from(&journal, begins).unwrap().len(), 0);
}

/// The header of a second segment that was begun and got no frame.
fn begun_header() -> Vec<u8> {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let mut seq = 1;
    while disk.get(FIRST)[60 << 10..].iter().all(|byte| *byte == 0) || !is_begun(&disk) {
        append(&journal, 0, (seq..seq + 20).map(received).collect()).unwrap();
        seq += 20;
    }
    disk.get(SECOND)[..128].to_vec()
}

fn is_begun(disk: &MemoryDisk) -> bool {
    disk.names().contains(&SECOND.to_owned()) && disk.get(SECOND)[40..48] != [0; 8]
}

#[test]
fn a_segment_of_another_store_or_format_is_refused_by_name() {
    let (disk, _, _) = three_batches();
    let foreign =
        SegmentJournal::open_on(std::sync::Arc::new(disk.copy()), StoreId::from_bytes([1; 16]), shards(), small())
            .unwrap_err();
    assert!(foreign.to_string().contains("belongs to another store"), "{foreign}");
    assert!(foreign.to_string().contains(FIRST), "{foreign}");
    assert_ne!(STORE, StoreId::from_bytes([1; 16]));
    let mut bytes = disk.get(FIRST);
    bytes[8] = 9;
    disk.put(FIRST, bytes);
    let newer = open(&disk).unwrap_err();
    assert!(newer.to_string().contains("journal format 9"), "{newer}");
}
