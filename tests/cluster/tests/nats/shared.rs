//! Several nodes that share a deployment, shard by shard: what is handed over, overtaken and followed.
#![expect(clippy::unwrap_used, reason = "a helper of tests: what fails there fails the test")]

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering, mpsc},
    time::Duration,
};

use holdfast_cluster::{NatsError, NatsSettings, TailSink, jetstream::Appended};
use holdfast_cluster_tests::{
    STORE, append,
    audit::audit_streams,
    batch,
    nodes::{Node, Replica, read_all},
    open, settings, shards, wait_for,
};
use holdfast_core::ShardId;
use holdfast_persistence::{AppendError, FollowLimit, Journal, Unwritable, journal::MessageFormat};
use holdfast_servers::{Nats, NatsOptions};

fn one_server() -> Nats {
    Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() })
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// Both nodes and the streams have the same, and whatever was acknowledged is in it.
fn assert_same(nats: &Nats, settings: &NatsSettings, count: u16, nodes: &[&Node]) {
    let report = audit_streams(&nats.url(), "holdfast", count).unwrap_or_else(|error| panic!("{error:#}"));
    let all = read_all(settings, shards(count).unwrap()).unwrap();
    for shard in 0..count {
        let marks = all.get(&shard).cloned().unwrap_or_default();
        assert_eq!(report[&shard].records, marks.len() as u64, "shard {shard}");
        for node in nodes {
            node.check(shard, &marks).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
}

#[test]
fn shards_are_handed_over_under_load_and_nothing_is_lost_or_doubled() {
    let (nats, count) = (one_server(), shards(4).unwrap());
    let settings = settings(&nats.url(), 1);
    let (mut first, mut second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
    for shard in 0..4 {
        assert!(!first.journal.owns(ShardId(shard)));
        assert_eq!(first.acquire(shard, false).unwrap(), 1);
    }
    first.write(3);
    second.write(3);
    first.wait_for_more(50).unwrap();
    for round in 0..6 {
        let (from, to) = if round % 2 == 0 { (&first, &second) } else { (&second, &first) };
        for shard in 0..3 {
            let let_go = from.release(shard).unwrap();
            assert!(!from.journal.owns(ShardId(shard)));
            assert_eq!(to.acquire(shard, true).unwrap(), let_go, "something was appended between the owners");
            wait_for("the news", || from.owners.of(ShardId(shard)).boot == Some(to.journal.boot())).unwrap();
            assert!(to.owners.is_here(ShardId(shard)) && !from.owners.is_here(ShardId(shard)));
        }
        to.wait_for_more(30).unwrap();
    }
    first.stop().unwrap();
    second.stop().unwrap();
    assert_same(&nats, &settings, 4, &[&first, &second]);
    let report = audit_streams(&nats.url(), "holdfast", 4).unwrap();
    assert_eq!(report.values().map(|stream| stream.epochs.len()).collect::<Vec<_>>(), [7, 7, 7, 1]);
    println!("18 hand-overs, {} + {} records acknowledged", first.acked(), second.acked());
}

#[test]
fn a_node_that_is_overtaken_on_one_shard_goes_on_with_the_others() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    // It would find out by looking: here only its own append may tell it.
    let blind = NatsSettings { watch_interval_ms: 60_000, ..settings(&nats.url(), 1) };
    let (mut first, mut second) = (Node::join(&blind, count, 1).unwrap(), Node::join(&blind, count, 2).unwrap());
    first.acquire(0, false).unwrap();
    first.acquire(1, false).unwrap();
    first.write(2);
    second.write(2);
    first.wait_for_more(50).unwrap();
    second.acquire(0, false).unwrap();
    wait_for("the fence", || !first.journal.owns(ShardId(0))).unwrap();
    assert_eq!(first.journal.writable(ShardId(0)), Err(Unwritable::Overtaken));
    assert_eq!(first.journal.writable(ShardId(1)), Ok(()));
    second.wait_for_more(20).unwrap();
    first.wait_for_more(20).unwrap();
    first.stop().unwrap();
    second.stop().unwrap();
    let zombie = append(&*first.journal, 0, 1, 1).unwrap();
    assert!(matches!(zombie, Err(AppendError::Fenced { .. })), "{zombie:?}");
    assert!(first.journal.owns(ShardId(1)) && first.owners.is_here(ShardId(1)) && !first.owners.is_here(ShardId(0)));
    assert!(matches!(first.release(0).unwrap_err().downcast_ref(), Some(NatsError::NotOwned { .. })));
    assert_same(&nats, &blind, 2, &[&first, &second]);
    // What it lost it may have again.
    first.acquire(0, false).unwrap();
    assert_eq!(append(&*first.journal, 0, 1, 1).unwrap().map_err(|error| error.to_string()), Ok(()));
}

#[test]
fn an_idle_owner_that_is_overtaken_on_one_shard_notices_and_keeps_the_others() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let settings = settings(&nats.url(), 1);
    let (first, second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
    first.acquire(0, false).unwrap();
    first.acquire(1, false).unwrap();
    second.acquire(1, false).unwrap();
    wait_for("the first to notice", || !first.journal.owns(ShardId(1))).unwrap();
    assert!(first.journal.owns(ShardId(0)));
    wait_for("the first to know by whom", || first.owners.of(ShardId(1)).boot == Some(second.journal.boot())).unwrap();
}

#[test]
fn what_is_released_was_made_durable_first_and_may_be_taken_over_again() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let node = Node::join(&settings(&nats.url(), 1), count, 1).unwrap();
    let (told, outcomes) = mpsc::channel();
    for round in 1..=3_u64 {
        assert_eq!(node.acquire(0, true).unwrap(), 1 + (round - 1) * 50);
        for _ in 0..50 {
            let batch = batch(ShardId(0), node.journal.next_seq(ShardId(0)), 1, 1).unwrap();
            let (told, replica) = (told.clone(), Arc::clone(&node.replica));
            let seq = batch.first_seq;
            let done = move |outcome: Result<(), AppendError>| {
                // As an owner does with what it appended itself.
                replica.add(ShardId(0), seq, 1, "the owner");
                told.send((seq, outcome.is_ok())).unwrap();
            };
            node.journal.append(&batch, Box::new(done));
        }
        assert_eq!(node.release(0).unwrap(), 1 + round * 50);
        // All were told before it returned.
        let heard: Vec<_> = outcomes.try_iter().collect();
        assert_eq!(heard, (round * 50 - 49..=round * 50).map(|seq| (seq, true)).collect::<Vec<_>>());
        let late = append(&*node.journal, 0, 1, 1).unwrap();
        assert!(matches!(late, Err(AppendError::Fenced { .. })), "{late:?}");
    }
    let report = audit_streams(&nats.url(), "holdfast", 1).unwrap();
    assert_eq!(report[&0].epochs.iter().map(|epoch| epoch.next_seq).collect::<Vec<_>>(), [1, 51, 101]);
}

#[test]
fn batches_that_wait_together_become_one_message_and_each_is_told() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let patient = NatsSettings { attempt_timeout_ms: 20_000, ..settings(&nats.url(), 1) };
    let journal = open(&patient, count).unwrap();
    let (told, outcomes) = mpsc::channel();
    nats.freeze(0).unwrap();
    for index in 0..200_u64 {
        let size = u64::from(index % 10 != 9);
        let batch = batch(ShardId(0), journal.next_seq(ShardId(0)), size, 1).unwrap();
        let told = told.clone();
        journal.append(&batch, Box::new(move |outcome| told.send((index, outcome.is_ok())).unwrap()));
    }
    nats.thaw(0).unwrap();
    let heard: Vec<_> = outcomes.iter().take(200).collect();
    assert_eq!(heard, (0..200).map(|index| (index, true)).collect::<Vec<_>>());
    let stats = journal.stats();
    assert_eq!(stats.records, 180);
    // What was first taken went alone; all the rest waited for it.
    assert!(stats.syncs <= 2, "{stats:?}");
    let report = audit_streams(&nats.url(), "holdfast", 1).unwrap();
    assert_eq!((report[&0].records, report[&0].messages), (180, stats.syncs + 1));
}

#[test]
fn a_slow_replica_holds_its_tail_back_and_misses_nothing() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let settings = settings(&nats.url(), 1);
    let (mut first, second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
    second.replica.slowness_ms.store(50, Ordering::Relaxed);
    first.acquire(0, false).unwrap();
    first.write(1);
    first.wait_for_more(300).unwrap();
    first.stop().unwrap();
    let behind = second.replica.marks(0).len() as u64;
    // It takes over while its replica is behind, and is given the rest before it may answer.
    second.replica.slowness_ms.store(1, Ordering::Relaxed);
    second.acquire(0, false).unwrap();
    assert_same(&nats, &settings, 1, &[&first, &second]);
    println!("taken over {} records behind", first.acked() - behind);
}

#[test]
fn a_replica_that_lacks_purged_records_is_told_so_and_the_other_shards_go_on() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let settings = settings(&nats.url(), 1);
    let first = Node::join(&settings, count, 1).unwrap();
    first.acquire(0, false).unwrap();
    first.acquire(1, false).unwrap();
    for _ in 0..20 {
        append(&*first.journal, 0, 1, 1).unwrap().unwrap();
        append(&*first.journal, 1, 1, 1).unwrap().unwrap();
    }
    let second = Node::join(&settings, count, 2).unwrap();
    assert_eq!(second.journal.purge_below(&BTreeMap::from([(ShardId(0), 11)]), 0).unwrap().segments, 0, "not its own");
    assert_eq!(first.journal.purge_below(&BTreeMap::from([(ShardId(0), 11)]), 0).unwrap().segments, 11);
    let third = Node::join(&settings, count, 3).unwrap();
    wait_for("the error", || third.replica.faults.lock().unwrap().len() == 1).unwrap();
    let fault = third.replica.faults.lock().unwrap()[0].clone();
    assert!(fault.starts_with("shard 0") && fault.contains("before 11 were purged"), "{fault}");
    assert!(third.acquire(0, false).unwrap_err().to_string().contains("nobody follows"));
    wait_for("the other shard", || third.replica.marks(1).len() == 20).unwrap();
    // From where a snapshot ends it can be followed all the same.
    let replica = Arc::new(Replica::default());
    let sink: Arc<dyn TailSink> = Arc::<Replica>::clone(&replica);
    let _tail = second.journal.tail(&BTreeMap::from([(ShardId(1), 1)]), &sink).unwrap();
    wait_for("a tail begun anew", || replica.marks(1).len() == 20).unwrap();
}

#[test]
fn a_projection_follows_shards_that_others_own() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let settings = settings(&nats.url(), 1);
    let (first, second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
    first.acquire(0, false).unwrap();
    second.acquire(1, false).unwrap();
    let mut follower = second.journal.follow(&BTreeMap::new()).unwrap();
    for _ in 0..5 {
        append(&*first.journal, 0, 2, 1).unwrap().unwrap();
        append(&*second.journal, 1, 2, 2).unwrap().unwrap();
    }
    let limit = FollowLimit { records: 4, bytes: 1 << 20 };
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let some = follower.next(limit, Duration::from_mins(1)).unwrap();
        assert!(!some.is_empty());
        seen.extend(some.into_iter().map(|followed| (followed.shard.0, followed.seq)));
    }
    seen.sort_unstable();
    let all: Vec<_> = (0..2).flat_map(|shard| (1..=10).map(move |seq| (shard, seq))).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_node_that_joins_knows_whose_the_shards_are_and_replays_without_owning_any() {
    let (nats, count) = (one_server(), shards(2).unwrap());
    let settings = settings(&nats.url(), 1);
    let first = Node::join(&settings, count, 1).unwrap();
    first.acquire(1, false).unwrap();
    for _ in 0..10 {
        append(&*first.journal, 1, 2, 1).unwrap().unwrap();
    }
    let second = Node::join(&settings, count, 2).unwrap();
    let owner = second.owners.of(ShardId(1));
    assert_eq!((owner.epoch, owner.boot, owner.is_here), (1, Some(first.journal.boot()), false));
    assert_eq!(second.owners.of(ShardId(0)).boot, None);
    assert_eq!(second.journal.next_seq(ShardId(1)), 21);
    assert_eq!(second.journal.writable(ShardId(1)), Err(Unwritable::Overtaken));
    let seen = holdfast_cluster_tests::replay(&*second.journal, count, 5).unwrap();
    assert_eq!(seen[&1], (5..=20).map(|seq| (seq, 1)).collect::<Vec<_>>());
    assert!(first.journal.owns(ShardId(1)), "reading takes nothing over");
}

#[test]
fn an_audit_refuses_what_no_journal_may_hold() {
    let (nats, count) = (one_server(), shards(1).unwrap());
    let format = MessageFormat::new(STORE, count, 1 << 18, 1 << 22);
    let late = |epoch, first_seq| format.encode(&batch(ShardId(0), first_seq, 1, 1).unwrap(), epoch).unwrap();
    let mut damaged = late(2, 5);
    damaged[60] ^= 1;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (index, (message, complaint)) in [
        (late(1, 5), "it is of epoch 1, but epoch 2 has begun"),
        (late(2, 4), "begins with record 4 where 5 was due"),
        (late(2, 6), "begins with record 6 where 5 was due"),
        (format.encode_epoch(ShardId(0), 2, [7; 16], 5), "epoch 2 begins behind epoch 2"),
        (damaged, "checksum"),
    ]
    .into_iter()
    .enumerate()
    {
        let deployment = format!("a{index}");
        let settings = NatsSettings { deployment: deployment.clone(), ..settings(&nats.url(), 1) };
        let (first, second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
        first.acquire(0, false).unwrap();
        append(&*first.journal, 0, 2, 1).unwrap().unwrap();
        second.acquire(0, false).unwrap();
        append(&*second.journal, 0, 2, 2).unwrap().unwrap();
        let report = audit_streams(&nats.url(), &deployment, 1).unwrap();
        assert_eq!((report[&0].records, report[&0].messages, report[&0].next_seq), (4, 4, 5));
        let subject = format!("holdfast.{deployment}.journal.0");
        let put = first.journal.requests().append(&subject, 4, message.into());
        assert_eq!(runtime.block_on(put), Appended::At(5));
        let error = audit_streams(&nats.url(), &deployment, 1).unwrap_err();
        assert!(format!("{error:#}").contains(complaint), "{error:#}");
    }
}
