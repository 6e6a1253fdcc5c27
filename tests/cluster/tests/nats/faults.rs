//! Three servers that are killed, stopped and cut off under load: nothing acknowledged is lost, nothing is there twice.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use holdfast_cluster::{JetStreamJournal, NatsSettings};
use holdfast_cluster_tests::{
    Told, Writer,
    audit::audit_streams,
    nodes::{Node, read_all},
    open, replay, settings, shards, wait_for,
};
use holdfast_core::ShardCount;
use holdfast_core::ShardId;
use holdfast_persistence::{Journal, Unwritable};
use holdfast_servers::{Nats, NatsOptions, NatsProxy};

fn three_servers() -> Nats {
    Nats::start(&NatsOptions { servers: 3, ..NatsOptions::default() }).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Every record that was acknowledged is there once, in its place; what came after in the same epoch may be there too.
fn assert_whole(journal: &JetStreamJournal, count: ShardCount, told: &Arc<Told>) {
    assert_eq!((told.refused.load(Ordering::SeqCst), told.disordered.load(Ordering::SeqCst)), (0, 0));
    let seen = replay(journal, count, 1).unwrap_or_else(|error| panic!("{error:#}"));
    for shard in count.iter() {
        let expected: Vec<_> = (1..=told.durable(shard.0)).map(|seq| (seq, 1)).collect();
        assert_eq!(seen.get(&shard.0).map_or(&[][..], Vec::as_slice), expected, "shard {}", shard.0);
    }
}

fn wait_for_more(writer: &Writer, records: u64) {
    let before = writer.told.total();
    wait_for("more acknowledged records", || writer.told.total() >= before + records)
        .unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_leader_of_a_stream_is_killed_under_load_and_nothing_is_lost_or_doubled() {
    let (mut nats, count) = (three_servers(), shards(3).unwrap());
    let journal = open(&settings(&nats.url(), 3), count).unwrap();
    let writer = Writer::start(&journal, count, 3, 1);
    for round in 0..2 {
        wait_for_more(&writer, 300);
        let leader = nats.leader("HOLDFAST_holdfast_1").unwrap().unwrap_or(round);
        nats.kill(leader).unwrap();
        wait_for_more(&writer, 300);
        nats.start_one(leader).unwrap();
    }
    let told = writer.finish().unwrap();
    assert_whole(&journal, count, &told);
    println!("{} records acknowledged over 2 leaders killed; {} batches sent again", told.total(), journal.resent());
}

#[test]
fn all_servers_are_killed_under_load_and_every_acknowledged_record_is_there() {
    let (mut nats, count) = (three_servers(), shards(3).unwrap());
    let journal = open(&settings(&nats.url(), 3), count).unwrap();
    let writer = Writer::start(&journal, count, 3, 1);
    for _ in 0..2 {
        wait_for_more(&writer, 300);
        nats.kill_all().unwrap();
        wait_for("new commands to be refused", || journal.writable(ShardId(0)) == Err(Unwritable::Unreachable))
            .unwrap();
        nats.start_all().unwrap();
        wait_for_more(&writer, 300);
    }
    let told = writer.finish().unwrap();
    assert_whole(&journal, count, &told);
    wait_for("new commands to be taken", || journal.writable(ShardId(0)) == Ok(())).unwrap();
    // Another node, later, sees the same.
    let later = open(&settings(&nats.url(), 3), count).unwrap();
    assert_whole(&later, count, &told);
    println!("{} records acknowledged over 2 outages of all servers, 0 lost", told.total());
}

#[test]
fn a_node_that_is_cut_off_refuses_early_and_goes_on_when_the_way_is_free_again() {
    let nats = Nats::start(&NatsOptions::default()).unwrap();
    let (proxy, count) = (NatsProxy::start(nats.client_port(0)).unwrap(), shards(2).unwrap());
    let journal = open(&settings(&proxy.url(), 1), count).unwrap();
    let writer = Writer::start(&journal, count, 3, 1);
    wait_for_more(&writer, 100);
    proxy.mischief.is_cut.store(true, Ordering::Relaxed);
    wait_for("new commands to be refused", || journal.writable(ShardId(0)) == Err(Unwritable::Unreachable)).unwrap();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(writer.told.refused.load(Ordering::SeqCst), 0, "what was accepted waits");
    proxy.mischief.is_cut.store(false, Ordering::Relaxed);
    wait_for_more(&writer, 100);
    let told = writer.finish().unwrap();
    wait_for("new commands to be taken", || journal.writable(ShardId(0)) == Ok(())).unwrap();
    assert_whole(&journal, count, &told);
}

#[test]
fn an_owner_cut_off_meanwhile_commits_nothing_when_it_comes_back() {
    let nats = Nats::start(&NatsOptions::default()).unwrap();
    let (proxy, count) = (NatsProxy::start(nats.client_port(0)).unwrap(), shards(2).unwrap());
    let first = open(&settings(&proxy.url(), 1), count).unwrap();
    let writer = Writer::start(&first, count, 3, 1);
    wait_for_more(&writer, 100);
    proxy.mischief.is_cut.store(true, Ordering::Relaxed);
    let second = open(&settings(&nats.url(), 1), count).unwrap();
    let taken_at: Vec<_> = count.iter().map(|shard| second.next_seq(shard)).collect();
    proxy.mischief.is_cut.store(false, Ordering::Relaxed);
    wait_for("the first to be fenced", || writer.told.refused.load(Ordering::SeqCst) > 0).unwrap();
    let told = writer.finish().unwrap();
    let seen = replay(&*second, count, 1).unwrap();
    for shard in count.iter() {
        let records = seen.get(&shard.0).map_or(0, |records| records.len() as u64);
        assert_eq!(records, taken_at[usize::from(shard.0)] - 1, "a stale commit in shard {}", shard.0);
        assert!(told.durable(shard.0) <= records, "acknowledged and lost");
    }
    println!("0 stale commits of {} refused", told.refused.load(Ordering::SeqCst));
}

#[test]
fn a_node_gives_up_at_its_deadline_and_tells_everyone() {
    let mut nats = Nats::start(&NatsOptions::default()).unwrap();
    let count = shards(1).unwrap();
    let hasty = NatsSettings { append_deadline_ms: 2_000, ..settings(&nats.url(), 1) };
    let journal = open(&hasty, count).unwrap();
    nats.kill(0).unwrap();
    let outcome = holdfast_cluster_tests::append(&*journal, 0, 1, 1).unwrap();
    assert!(matches!(outcome, Err(holdfast_persistence::AppendError::Failed(_))), "{outcome:?}");
    assert_eq!(journal.writable(ShardId(0)), Err(Unwritable::Poisoned));
}

#[test]
fn a_tail_across_owners_misses_nothing_while_leaders_are_killed() {
    let (mut nats, count) = (three_servers(), shards(4).unwrap());
    let settings = settings(&nats.url(), 3);
    let (mut first, mut second) = (Node::join(&settings, count, 1).unwrap(), Node::join(&settings, count, 2).unwrap());
    let third = Node::join(&settings, count, 3).unwrap();
    for shard in 0..4 {
        first.acquire(shard, false).unwrap();
    }
    first.write(3);
    second.write(3);
    for round in 0..4_u16 {
        first.wait_for_more(100).unwrap();
        let leader = nats.leader(&format!("HOLDFAST_holdfast_{round}")).unwrap().unwrap_or(0);
        nats.kill(leader).unwrap();
        // One by agreement, the next against the owner's will, both while a leader is elected.
        if round % 2 == 0 {
            let let_go = first.release(round).unwrap();
            assert_eq!(second.acquire(round, true).unwrap(), let_go);
        } else {
            second.acquire(round, false).unwrap();
            wait_for("the fence", || !first.journal.owns(ShardId(round))).unwrap();
        }
        second.wait_for_more(100).unwrap();
        nats.start_one(leader).unwrap();
        // It keeps some for the next rounds.
        if round == 3 {
            first.acquire(0, false).unwrap();
            first.wait_for_more(100).unwrap();
        }
    }
    first.stop().unwrap();
    second.stop().unwrap();
    let report = audit_streams(&nats.url(), "holdfast", 4).unwrap_or_else(|error| panic!("{error:#}"));
    let all = read_all(&settings, count).unwrap();
    for shard in 0..4 {
        assert_eq!(report[&shard].records, all[&shard].len() as u64);
        for node in [&first, &second, &third] {
            node.check(shard, &all[&shard]).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }
    let refused = first.refused.load(Ordering::SeqCst) + second.refused.load(Ordering::SeqCst);
    println!("{} + {} records acknowledged, {refused} batches fenced", first.acked(), second.acked());
}
