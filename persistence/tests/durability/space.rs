//! A full disk: writes are refused in time, what was accepted still fits, and it recovers by itself.

use std::{sync::atomic::Ordering, thread, time::Duration};

use holdfast_core::ShardId;
use holdfast_persistence::{AppendError, Journal, JournalError, Unwritable};

use crate::{
    append::{wait_for_spare, wait_until},
    memory_disk::MemoryDisk,
    samples::{append, open, received, replay},
};

/// Fills the segment in use until writes are refused: no faster than the thread that makes segments can find the disk full,
/// which in production has the time it takes to write 60 MiB.
fn fill(journal: &dyn Journal) -> u64 {
    let mut seq = journal.next_seq(ShardId(0));
    while journal.writable(ShardId(0)).is_ok() {
        append(journal, 0, (seq..seq + 10).map(received).collect()).unwrap();
        thread::sleep(Duration::from_millis(2));
        seq += 10;
        assert!(seq < 100_000, "the disk never filled up");
    }
    seq
}

#[test]
fn a_full_disk_refuses_writes_before_it_is_too_late_and_recovers_by_itself() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.capacity.store(disk.used(), Ordering::SeqCst);
    let seq = fill(&journal);
    assert_eq!(journal.writable(ShardId(0)), Err(Unwritable::NoSpace));
    // Accepted before the refusal: still fits into the reserve.
    append(&journal, 0, (seq..seq + 20).map(received).collect()).unwrap();
    assert_eq!(replay(&journal)[&0].len() as u64, seq + 19);
    disk.faults.capacity.store(u64::MAX, Ordering::SeqCst);
    wait_until(|| journal.writable(ShardId(0)).is_ok());
    append(&journal, 0, (seq + 20..seq + 220).map(received).collect()).unwrap();
    drop(journal);
    assert_eq!(replay(&open(&disk).unwrap().0)[&0].len() as u64, seq + 219);
}

#[test]
fn a_spare_segment_is_used_before_writes_are_refused() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.capacity.store(disk.used(), Ordering::SeqCst);
    fill(&journal);
    assert_eq!(disk.names().len(), 2);
    let full = disk.get("segment-0000000001.journal");
    assert!(full[60 << 10..].iter().any(|byte| *byte != 0), "the first segment was left early");
}

#[test]
fn an_accepted_batch_that_does_not_fit_poisons_the_journal() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.capacity.store(disk.used(), Ordering::SeqCst);
    let mut seq = fill(&journal);
    let failure = loop {
        match append(&journal, 0, (seq..seq + 50).map(received).collect()) {
            Ok(()) => seq += 50,
            Err(AppendError::Failed(failure)) => break failure,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(matches!(&*failure, JournalError::NoSpace { .. }), "{failure}");
    assert_eq!(journal.writable(ShardId(0)), Err(Unwritable::Poisoned));
    drop(journal);
    disk.faults.capacity.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(replay(&open(&disk).unwrap().0)[&0].len() as u64, seq - 1);
}

#[test]
fn a_disk_without_room_for_the_first_segment_is_an_error_at_once() {
    let disk = MemoryDisk::new();
    disk.faults.capacity.store(1_000, Ordering::SeqCst);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    assert_eq!(disk.names(), Vec::<String>::new(), "what could not be finished was left behind");
}
