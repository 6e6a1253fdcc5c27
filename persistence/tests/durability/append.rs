//! Appending: durable before acknowledged, in order per shard, many batches per sync, and what is refused.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use holdfast_core::{EntityId, Event, ShardId, product::ProductEvent};
use holdfast_persistence::{
    AppendError, Batch, Journal, Record, Unwritable,
    journal::{BatchRefusal, SegmentJournal},
};

use crate::{
    memory_disk::MemoryDisk,
    samples::{append, details, every_event, open, received, record, replay, sku},
};

#[test]
fn every_event_comes_back_as_it_was_appended() {
    let disk = MemoryDisk::new();
    let records: Vec<Record> = every_event().into_iter().map(|(_, record)| record).collect();
    {
        let (journal, _) = open(&disk).unwrap();
        append(&journal, 1, records.clone()).unwrap();
        append(&journal, 3, records[..2].to_vec()).unwrap();
    }
    let (journal, torn) = open(&disk).unwrap();
    assert_eq!(torn, None);
    let expected = |records: &[Record]| (1..).zip(records.iter().cloned()).collect::<Vec<_>>();
    assert_eq!(replay(&journal), BTreeMap::from([(1, expected(&records)), (3, expected(&records[..2]))]));
    assert_eq!(journal.next_seq(ShardId(1)), records.len() as u64 + 1);
    assert_eq!((journal.next_seq(ShardId(0)), journal.next_seq(ShardId(3))), (1, 3));
}

#[test]
fn a_batch_is_acknowledged_only_after_a_sync() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    let before = disk.faults.syncs.load(Ordering::SeqCst);
    append(&journal, 0, vec![received(2)]).unwrap();
    assert!(disk.faults.syncs.load(Ordering::SeqCst) > before);
}

#[test]
fn many_producers_share_syncs() {
    const PRODUCERS: u16 = 4;
    const BATCHES: u64 = 200;
    let disk = MemoryDisk::new();
    let journal = Arc::new(open(&disk).unwrap().0);
    disk.faults.sync_ms.store(2, Ordering::SeqCst);
    let done = Arc::new(AtomicU64::new(0));
    thread::scope(|scope| {
        for shard in 0..PRODUCERS {
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
    });
    wait_until(|| done.load(Ordering::SeqCst) == u64::from(PRODUCERS) * BATCHES);
    let stats = journal.stats();
    assert_eq!((stats.batches, stats.records), (800, 800));
    assert!(stats.syncs < stats.batches / 4, "{stats:?}");
}

#[test]
fn completions_of_a_shard_run_in_append_order_whatever_their_outcome() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let push = |index: u64, seq, records| {
        let order = Arc::clone(&order);
        let batch = Batch { shard: ShardId(2), first_seq: seq, records };
        journal.append(&batch, Box::new(move |result| order.lock().unwrap().push((index, result.is_ok()))));
    };
    push(0, 1, vec![received(1)]);
    push(1, 7, vec![received(7)]);
    push(2, 2, vec![received(2)]);
    push(3, 3, Vec::new());
    push(4, 3, vec![received(3), received(4)]);
    drop(journal);
    assert_eq!(*order.lock().unwrap(), [(0, true), (1, false), (2, true), (3, true), (4, true)]);
}

#[test]
fn a_batch_that_does_not_continue_the_sequence_is_fenced() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    let (sender, outcome) = mpsc::channel();
    let stale = Batch { shard: ShardId(0), first_seq: 1, records: vec![received(1)] };
    journal.append(&stale, Box::new(move |result| sender.send(result).unwrap()));
    let refused = outcome.recv().unwrap().unwrap_err();
    assert!(matches!(refused, AppendError::Fenced { shard: ShardId(0), expected: 2, given: 1 }), "{refused:?}");
    append(&journal, 0, vec![received(2)]).unwrap();
}

#[test]
fn a_record_over_the_limit_is_refused_and_the_journal_goes_on() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let mut large = details();
    large.description = "x".repeat(9 << 10);
    let refused = append(&journal, 0, vec![received(1), record(1, Event::Product(ProductEvent::Created(large)))]);
    let AppendError::Refused { reason, .. } = refused.unwrap_err() else { panic!("not refused") };
    assert!(matches!(&*reason, BatchRefusal::RecordTooLarge { limit: 8192, .. }), "{reason}");
    append(&journal, 0, vec![received(1)]).unwrap();
    assert_eq!(replay(&journal)[&0].len(), 1);
}

#[test]
fn a_batch_over_the_reserve_an_unknown_shard_and_a_wrong_entity_are_refused() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let refusal = |shard, records| match append(&journal, shard, records) {
        Err(AppendError::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let reason = refusal(0, (1..=400).map(received).collect());
    assert!(matches!(&*reason, BatchRefusal::BatchTooLarge { limit: 16_384, .. }), "{reason}");
    let reason = refusal(4, vec![received(1)]);
    assert!(matches!(&*reason, BatchRefusal::UnknownShard { shards: 4 }), "{reason}");
    let stray = Record { entity: EntityId::Product(sku()), ..received(1) };
    let reason = refusal(0, vec![stray]);
    assert!(matches!(&*reason, BatchRefusal::KindMismatch { .. }), "{reason}");
}

#[test]
fn a_batch_larger_than_the_frame_limit_travels_in_a_frame_of_its_own() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    let records: Vec<_> = (1..=170).map(received).collect();
    append(&journal, 0, records.clone()).unwrap();
    assert!(journal.stats().bytes > 8 << 10);
    assert_eq!(replay(&journal)[&0].len(), records.len());
}

#[test]
fn a_failed_sync_poisons_the_journal_and_nothing_is_acknowledged_or_retried() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.fail_syncs.store(true, Ordering::SeqCst);
    let syncs = disk.faults.syncs.load(Ordering::SeqCst);
    let failed = append(&journal, 0, vec![received(2)]).unwrap_err();
    assert!(matches!(failed, AppendError::Failed(_)), "{failed:?}");
    assert_eq!(disk.faults.syncs.load(Ordering::SeqCst), syncs + 1);
    disk.faults.fail_syncs.store(false, Ordering::SeqCst);
    let later = append(&journal, 1, vec![received(1)]).unwrap_err();
    assert!(matches!(later, AppendError::Failed(_)), "{later:?}");
    assert_eq!(journal.writable(ShardId(0)), Err(Unwritable::Poisoned));
    assert_eq!(disk.faults.syncs.load(Ordering::SeqCst), syncs + 1, "a sync was tried again");
    drop(journal);
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(journal.next_seq(ShardId(0)))]).unwrap();
}

#[test]
fn a_failed_write_poisons_the_journal() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    append(&journal, 0, vec![received(1)]).unwrap();
    wait_for_spare(&disk);
    disk.faults.fail_writes.store(true, Ordering::SeqCst);
    assert!(matches!(append(&journal, 0, vec![received(2)]), Err(AppendError::Failed(_))));
    assert!(matches!(append(&journal, 1, vec![received(1)]), Err(AppendError::Failed(_))));
    drop(journal);
    disk.faults.fail_writes.store(false, Ordering::SeqCst);
    let (journal, _) = open(&disk).unwrap();
    assert_eq!(replay(&journal)[&0].len(), 1);
}

#[test]
fn dropping_the_journal_writes_what_is_queued() {
    let disk = MemoryDisk::new();
    let (journal, _) = open(&disk).unwrap();
    disk.faults.sync_ms.store(5, Ordering::SeqCst);
    let acknowledged = Arc::new(AtomicU64::new(0));
    for seq in 1..=50 {
        let acknowledged = Arc::clone(&acknowledged);
        let batch = Batch { shard: ShardId(0), first_seq: seq, records: vec![received(seq)] };
        journal.append(
            &batch,
            Box::new(move |result| {
                result.unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }),
        );
    }
    drop(journal);
    assert_eq!(acknowledged.load(Ordering::SeqCst), 50);
    assert_eq!(replay(&open(&disk).unwrap().0)[&0].len(), 50);
}

#[test]
fn a_completion_that_panics_or_holds_the_last_reference_harms_nobody() {
    let disk = MemoryDisk::new();
    let journal = Arc::new(open(&disk).unwrap().0);
    let batch = |seq| Batch { shard: ShardId(0), first_seq: seq, records: vec![received(seq)] };
    journal.append(&batch(1), Box::new(|_| panic!("a bug in a completion")));
    append(&*journal, 0, vec![received(2)]).unwrap();
    let (sender, ended) = mpsc::channel();
    let last: Arc<SegmentJournal> = Arc::clone(&journal);
    disk.faults.sync_ms.store(20, Ordering::SeqCst);
    journal.append(
        &batch(3),
        Box::new(move |result| {
            thread::sleep(Duration::from_millis(20));
            drop(last);
            sender.send(result.is_ok()).unwrap();
        }),
    );
    drop(journal);
    assert!(ended.recv_timeout(Duration::from_secs(10)).unwrap());
}

/// Waits until the preparer has nothing more to do, so that faults hit the writer.
pub(crate) fn wait_for_spare(disk: &MemoryDisk) {
    wait_until(|| disk.names().len() >= 2 && !disk.names().iter().any(|name| name.contains("preparing")));
    thread::sleep(Duration::from_millis(20));
}

pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited 30 s in vain");
}
