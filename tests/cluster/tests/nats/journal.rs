//! The journal in NATS on one server: what is appended is there, in order, once; and only its owner appends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use holdfast_cluster_tests::{STORE, Writer, append, batch, open, open_as, replay, settings, shards, wait_for};
use holdfast_core::ShardId;
use holdfast_persistence::{
    AppendError, FollowLimit, HistoryReader, Journal, JournalError, Unwritable, journal::BatchRefusal,
};
use holdfast_servers::{Mischief, Nats, NatsOptions, NatsProxy};

fn one_server() -> Nats {
    Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() })
        .unwrap_or_else(|error| panic!("{error:#}"))
}

fn numbered(last: u64, mark: u64) -> Vec<(u64, u64)> {
    (1..=last).map(|seq| (seq, mark)).collect()
}

#[test]
fn what_was_appended_is_replayed_in_order_after_a_restart() {
    let (nats, count) = (one_server(), shards(3).unwrap());
    let settings = settings(&nats.url(), 1);
    let journal = open(&settings, count).unwrap();
    for size in [1, 7, 300, 1] {
        append(&*journal, 1, size, 5).unwrap().unwrap();
    }
    append(&*journal, 2, 2, 5).unwrap().unwrap();
    assert_eq!(replay(&*journal, count, 1).unwrap(), BTreeMap::from([(1, numbered(309, 5)), (2, numbered(2, 5))]));
    drop(journal);

    let journal = open(&settings, count).unwrap();
    assert_eq!(journal.next_seq(ShardId(1)), 310);
    assert_eq!(journal.epoch(ShardId(1)), 2);
    append(&*journal, 1, 1, 6).unwrap().unwrap();
    for from in [1, 2, 8, 9, 308, 309, 310] {
        let seen = replay(&*journal, count, from).unwrap();
        let expected: Vec<_> = (from..=310).map(|seq| (seq, if seq == 310 { 6 } else { 5 })).collect();
        assert_eq!(seen[&1], expected, "from {from}");
    }
    assert!(replay(&*journal, count, 311).unwrap().is_empty());
}

#[test]
fn many_batches_on_their_way_are_told_in_order_and_an_empty_one_waits_for_them() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let journal = open(&settings(&nats.url(), 1), count).unwrap();
    let (told, outcomes) = std::sync::mpsc::channel();
    for index in 0..200_u64 {
        let size = u64::from(index % 10 != 9);
        let batch = batch(ShardId(0), journal.next_seq(ShardId(0)), size, 1).unwrap();
        let told = told.clone();
        journal.append(&batch, Box::new(move |outcome| told.send((index, outcome.is_ok())).unwrap()));
    }
    let heard: Vec<_> = outcomes.iter().take(200).collect();
    assert_eq!(heard, (0..200).map(|index| (index, true)).collect::<Vec<_>>());
    assert_eq!(journal.stats().records, 180);
}

#[test]
fn a_batch_that_is_too_large_or_out_of_sequence_is_refused_and_the_journal_goes_on() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let journal = open(&settings(&nats.url(), 1), count).unwrap();
    let too_large = append(&*journal, 0, 100_000, 1).unwrap().unwrap_err();
    let AppendError::Refused { reason, .. } = too_large else { panic!("{too_large}") };
    assert!(matches!(*reason, BatchRefusal::BatchTooLarge { .. }), "{reason}");
    let (told, outcome) = std::sync::mpsc::channel();
    journal.append(&batch(ShardId(0), 9, 1, 1).unwrap(), Box::new(move |result| told.send(result).unwrap()));
    let fenced = outcome.recv().unwrap();
    assert!(matches!(fenced, Err(AppendError::Fenced { expected: 1, given: 9, .. })), "{fenced:?}");
    append(&*journal, 0, 1, 1).unwrap().unwrap();
    assert_eq!(replay(&*journal, count, 1).unwrap()[&0], numbered(1, 1));
}

#[test]
fn the_later_of_two_owners_wins_and_the_earlier_commits_nothing_more() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    // It would find out by looking: here only its own append may tell it.
    let blind = holdfast_cluster::NatsSettings { watch_interval_ms: 60_000, ..settings(&nats.url(), 1) };
    let first = open(&blind, count).unwrap();
    append(&*first, 0, 3, 1).unwrap().unwrap();
    let writer = Writer::start(&first, count, 2, 1);
    wait_for("some appends", || writer.told.total() > 100).unwrap();
    let second = open(&blind, count).unwrap();
    let taken_at: Vec<_> = count.iter().map(|shard| second.next_seq(shard)).collect();
    append(&*second, 0, 4, 2).unwrap().unwrap();
    wait_for("a refusal", || writer.told.refused.load(Ordering::SeqCst) > 0).unwrap();
    let told = writer.finish().unwrap();
    let zombie = append(&*first, 0, 1, 1).unwrap();
    assert!(matches!(zombie, Err(AppendError::Fenced { .. })), "{zombie:?}");
    assert_eq!(first.writable(ShardId(0)), Err(Unwritable::Overtaken));
    for (shard, records) in replay(&*second, count, 1).unwrap() {
        let taken_at = taken_at[usize::from(shard)];
        assert!(told.durable(shard) < taken_at, "acknowledged to the first after the second had taken over");
        for (index, (seq, mark)) in records.iter().enumerate() {
            assert_eq!((*seq, *mark), (index as u64 + 1, if *seq < taken_at { 1 } else { 2 }), "shard {shard}");
        }
    }
    assert_eq!(second.next_seq(ShardId(0)), taken_at[0] + 4);
}

#[test]
fn an_owner_with_nothing_to_do_notices_that_another_has_taken_over() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let first = open(&settings(&nats.url(), 1), count).unwrap();
    assert_eq!(first.writable(ShardId(0)), Ok(()));
    let second = open(&settings(&nats.url(), 1), count).unwrap();
    wait_for("the first to notice", || first.writable(ShardId(0)) == Err(Unwritable::Overtaken)).unwrap();
    assert_eq!(second.writable(ShardId(0)), Ok(()));
}

#[test]
fn a_follower_gets_what_is_durable_in_order_and_waits_for_more() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let journal = open(&settings(&nats.url(), 1), count).unwrap();
    append(&*journal, 0, 5, 1).unwrap().unwrap();
    append(&*journal, 1, 3, 1).unwrap().unwrap();
    let mut follower = journal.follow(&BTreeMap::from([(ShardId(0), 3)])).unwrap();
    assert_eq!(follower.behind(), 6);
    let limit = FollowLimit { records: 4, bytes: 1 << 20 };
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let some = follower.next(limit, Duration::from_mins(1)).unwrap();
        assert!(!some.is_empty() && some.len() <= 4);
        seen.extend(some.into_iter().map(|followed| (followed.shard.0, followed.seq)));
    }
    seen.sort_unstable();
    assert_eq!(seen, [(0, 3), (0, 4), (0, 5), (1, 1), (1, 2), (1, 3)]);
    assert!(follower.next(limit, Duration::from_millis(10)).unwrap().is_empty());
    let appending = Arc::clone(&journal);
    let later = std::thread::spawn(move || append(&*appending, 1, 1, 1).unwrap().unwrap());
    assert_eq!(follower.next(limit, Duration::from_mins(1)).unwrap()[0].seq, 4);
    later.join().unwrap();
    assert_eq!(follower.behind(), 0);
}

/// Somebody who reads behind and has read so many records of every shard.
struct Read(AtomicU64);

impl HistoryReader for Read {
    fn needs_from(&self, _shard: ShardId) -> u64 {
        self.0.load(Ordering::Relaxed) + 1
    }
}

#[test]
fn what_whoever_reads_behind_has_not_read_is_not_purged() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let journal = open(&settings(&nats.url(), 1), count).unwrap();
    for _ in 0..30 {
        append(&*journal, 0, 10, 1).unwrap().unwrap();
    }
    let reader = Arc::new(Read(AtomicU64::new(100)));
    journal.retain_for(Arc::<Read>::clone(&reader), 0);
    journal.retain_for(Arc::new(Read(AtomicU64::new(u64::MAX - 1))), 0);
    let below = BTreeMap::from([(ShardId(0), 205)]);
    assert!(journal.purge_below(&below, 0).unwrap().segments > 0);
    let kept = |from| journal.follow(&BTreeMap::from([(ShardId(0), from)])).is_ok();
    assert!(kept(101) && !kept(1), "what it has read goes, what it has not stays");
    reader.0.store(200, Ordering::Relaxed);
    assert!(journal.purge_below(&below, 0).unwrap().segments > 0);
    assert!(!kept(101));
}

#[test]
fn purged_history_is_named_and_the_sequence_goes_on() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let journal = open(&settings(&nats.url(), 1), count).unwrap();
    for _ in 0..50 {
        append(&*journal, 0, 10, 1).unwrap().unwrap();
        append(&*journal, 1, 10, 1).unwrap().unwrap();
    }
    let purged = journal.purge_below(&BTreeMap::from([(ShardId(0), 205)]), 0).unwrap();
    // The record of the epoch, and twenty batches; the one with record 205 stays whole.
    assert_eq!(purged.segments, 21);
    assert_eq!(journal.purge_below(&BTreeMap::from([(ShardId(0), 205)]), 0).unwrap().segments, 0);
    let replayed = journal.replay(&BTreeMap::from([(ShardId(0), 200)]), &|_, _, _| {}, &|_| {});
    assert!(matches!(replayed, Err(JournalError::Purged { from: 200, first: 201, .. })), "{replayed:?}");
    assert_eq!(journal.follow(&BTreeMap::new()).err().map(|error| error.to_string().contains("purged")), Some(true));
    let summary = journal.replay(&BTreeMap::from([(ShardId(0), 205)]), &|_, _, _| {}, &|_| {}).unwrap();
    assert_eq!((summary.records, summary.skipped), (296 + 500, 4));
    drop(journal);
    let (journal, found) = open_as(&settings(&nats.url(), 1), count, STORE).unwrap();
    assert!(!found.history_is_complete);
    assert_eq!(journal.next_seq(ShardId(0)), 501);
}

#[test]
fn lost_and_doubled_messages_change_nothing() {
    let (nats, count) = (one_server(), shards(3).unwrap());
    let proxy = NatsProxy::start(nats.client_port(0)).unwrap();
    let quick = holdfast_cluster::NatsSettings { attempt_timeout_ms: 200, ..settings(&proxy.url(), 1) };
    let journal = open(&quick, count).unwrap();
    let mischief: &Mischief = &proxy.mischief;
    mischief.doubled_percent.store(10, Ordering::Relaxed);
    mischief.lost_ack_percent.store(10, Ordering::Relaxed);
    let writer = Writer::start(&journal, count, 3, 1);
    wait_for("mischief", || {
        mischief.lost.load(Ordering::Relaxed) > 30
            && mischief.doubled.load(Ordering::Relaxed) > 30
            && writer.told.total() > 1_000
    })
    .unwrap();
    let told = writer.finish().unwrap();
    assert_eq!((told.refused.load(Ordering::SeqCst), told.disordered.load(Ordering::SeqCst)), (0, 0));
    let seen = replay(&*journal, count, 1).unwrap();
    for shard in count.iter() {
        assert_eq!(seen[&shard.0], numbered(told.durable(shard.0), 1), "shard {}", shard.0);
    }
    println!(
        "{} records acknowledged, each there once; {} acknowledgments lost, {} appends doubled, {} batches sent again",
        told.total(),
        mischief.lost.load(Ordering::Relaxed),
        mischief.doubled.load(Ordering::Relaxed),
        journal.resent()
    );
}
