//! Figures of the journal in NATS: appends by the size of a batch, how soon a follower has what was acknowledged, a replay,
//! then an archive. On one server and on three, which it starts; beside the segment journal on the same disk.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "figures are its product")]
#![expect(clippy::disallowed_methods, reason = "measures; nothing is decided by it")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use holdfast_cluster::{Archivist, JetStream, NatsSettings};
use holdfast_cluster_tests::{STORE, batch, nodes::Node, open, record, settings, shards, wait_for};
use holdfast_core::{Entity as _, Event, ShardCount, ShardId, SkuId, stock::StockItem};
use holdfast_persistence::{
    EntityState, Journal, Replica as _, SnapshotSource as _, SnapshotStore, Store, StoreOptions, encode_snapshot,
    journal::{JournalOptions, SegmentJournal},
};
use holdfast_servers::{Nats, NatsOptions};

/// Figures of the journal in NATS.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each append figure is measured, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    measure_ms: u64,
    /// Shards that are appended to.
    #[arg(long, default_value_t = 4)]
    shards: u16,
    /// Records of which it is measured when a follower has them, one after another, in number.
    #[arg(long, default_value_t = 300)]
    tail_records: u64,
    /// Records of the replay, in number.
    #[arg(long, default_value_t = 2_000_000)]
    replay_records: u64,
    /// Entities that are archived and read back, in number.
    #[arg(long, default_value_t = 200_000)]
    archived: u64,
}

const SIZES: [u64; 3] = [1, 32, 512];
/// Batches of each shard that were handed over and are not durable, in number.
const WAITING: u64 = 8;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let count = shards(arguments.shards)?;
    println!("{:<12} {:>6} {:>12} {:>12}", "journal", "batch", "batches/s", "records/s");
    for servers in [1, 3] {
        let nats = Nats::start(&NatsOptions { servers, ..NatsOptions::default() })?;
        let journal: Arc<dyn Journal> = open(&settings(&nats.url(), servers), count)?;
        for size in SIZES {
            append(&format!("NATS R{servers}"), &journal, count, size, &arguments)?;
        }
        drop(journal);
        tail(&nats, servers, &arguments)?;
        replay(&nats, servers, count, &arguments)?;
        archive(&nats, servers, &arguments)?;
    }
    let folder = tempfile::tempdir()?;
    let (journal, _) = SegmentJournal::open(folder.path(), STORE, count, JournalOptions::default())?;
    let journal: Arc<dyn Journal> = Arc::new(journal);
    for size in SIZES {
        append("segments", &journal, count, size, &arguments)?;
    }
    Ok(())
}

/// Keeps some batches of every shard waiting.
fn append(
    name: &str,
    journal: &Arc<dyn Journal>,
    count: ShardCount,
    size: u64,
    arguments: &Arguments,
) -> anyhow::Result<()> {
    let done = Arc::new(AtomicU64::new(0));
    let (mut sent, shards) = (0_u64, u64::from(count.get()));
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(arguments.measure_ms) {
        if sent - done.load(Ordering::Acquire) >= WAITING * shards {
            std::thread::sleep(Duration::from_micros(50));
            continue;
        }
        let shard = ShardId(u16::try_from(sent % shards)?);
        let batch = batch(shard, journal.next_seq(shard), size, 1)?;
        let counted = Arc::clone(&done);
        journal.append(
            &batch,
            Box::new(move |outcome| {
                counted.fetch_add(u64::from(outcome.is_ok()), Ordering::AcqRel);
            }),
        );
        sent += 1;
    }
    let (seconds, batches) = (began.elapsed().as_secs_f64(), done.load(Ordering::Acquire));
    wait_for("the rest", || done.load(Ordering::Acquire) == sent)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = batches as f64 / seconds;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let records = rate * size as f64;
    println!("{name:<12} {size:>6} {rate:>12.0} {records:>12.0}");
    Ok(())
}

/// Appends single records to an idle deployment, and looks when another node has each, from its acknowledgment on.
fn tail(nats: &Nats, servers: usize, arguments: &Arguments) -> anyhow::Result<()> {
    let settings = NatsSettings { deployment: "tail".to_owned(), ..settings(&nats.url(), servers) };
    let count = shards(1)?;
    let (owner, follower) = (Node::join(&settings, count, 1)?, Node::join(&settings, count, 2)?);
    owner.acquire(0, false)?;
    let mut waits = Vec::new();
    for seq in 1..=arguments.tail_records {
        let (told, acknowledged) = std::sync::mpsc::channel();
        let batch = batch(ShardId(0), seq, 1, 1)?;
        owner.journal.append(&batch, Box::new(move |outcome| drop(told.send(outcome.map(|()| Instant::now())))));
        let acknowledged = acknowledged.recv()??;
        while follower.replica.marks(0).len() as u64 != seq {
            std::thread::sleep(Duration::from_micros(50));
        }
        waits.push(acknowledged.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    waits.sort_unstable();
    let (median, late, last) = (waits.len() / 2, waits.len() * 99 / 100, waits.len() - 1);
    println!("NATS R{servers} tail: {:?} median, {:?} p99, {:?} longest", waits[median], waits[late], waits[last]);
    Ok(())
}

/// Archives the snapshots of one shard, and reads them back as a node with an empty folder does.
fn archive(nats: &Nats, servers: usize, arguments: &Arguments) -> anyhow::Result<()> {
    let settings =
        NatsSettings { deployment: "archive".to_owned(), archive_interval_ms: 10, ..settings(&nats.url(), servers) };
    let (folder, count) = (tempfile::tempdir()?, shards(1)?);
    let store = Store::open(folder.path(), &StoreOptions { shards: 1, ..StoreOptions::default() })?;
    for first in (0..arguments.archived).step_by(10_000) {
        let items = first..arguments.archived.min(first + 10_000);
        let snapshots = items.map(|item| Ok(encode_snapshot(&stock(item)?.as_ref())?));
        store.snapshots.write(ShardId(0), &snapshots.collect::<anyhow::Result<Vec<_>>>()?)?;
    }
    store.snapshots.set_watermark(ShardId(0), arguments.archived)?;
    // A journal that may keep nothing: the archive is due at once.
    let options = JournalOptions { retain_bytes: 1, ..JournalOptions::default() };
    let connection = JetStream::connect(&settings, &options)?;
    let (ours, theirs) = (connection.archive(count), connection.archive(count));
    let (journal, _) = connection.open(STORE, count, &options)?;
    let began = Instant::now();
    let archivist = Archivist::start(ours, STORE, journal, Arc::<dyn SnapshotStore>::clone(&store.snapshots))?;
    let is_there = || theirs.held().is_ok_and(|held| held.is_some_and(|held| held.watermarks[0] > 0));
    wait_for("the archive", is_there)?;
    let (written, mut read, began) = (began.elapsed(), 0, Instant::now());
    theirs.scan(ShardId(0), &mut |_, _, _| read += 1)?;
    anyhow::ensure!(read == arguments.archived, "{read} of {} entities came back", arguments.archived);
    println!("NATS R{servers} archive: {read} entities written in {written:?}, read back in {:?}", began.elapsed());
    drop(archivist);
    Ok(())
}

/// An item that received units five times.
fn stock(item: u64) -> anyhow::Result<EntityState> {
    let sku = SkuId::parse(&format!("ITEM-{item:08}")).map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut stock = StockItem::new(sku);
    for seq in 1..=5 {
        let Event::Stock(event) = record(seq, 1)?.event else { continue };
        stock.apply(&event);
    }
    Ok(EntityState::Stock(stock))
}

/// Fills a deployment with batches of 100 records, and reads it all back.
fn replay(nats: &Nats, servers: usize, count: ShardCount, arguments: &Arguments) -> anyhow::Result<()> {
    let settings = NatsSettings { deployment: "replay".to_owned(), ..settings(&nats.url(), servers) };
    let journal = open(&settings, count)?;
    let done = Arc::new(AtomicU64::new(0));
    let (size, shards) = (100, u64::from(count.get()));
    let batches = arguments.replay_records / size;
    for index in 0..batches {
        let shard = ShardId(u16::try_from(index % shards)?);
        let counted = Arc::clone(&done);
        let batch = batch(shard, journal.next_seq(shard), size, 1)?;
        journal.append(
            &batch,
            Box::new(move |outcome| {
                counted.fetch_add(u64::from(outcome.is_ok()), Ordering::AcqRel);
            }),
        );
    }
    wait_for("the filling", || done.load(Ordering::Acquire) == batches)?;
    let began = Instant::now();
    let summary = journal.replay(&count.iter().map(|shard| (shard, 1)).collect(), &|_, _, _| {}, &|_| {})?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = summary.records as f64 / began.elapsed().as_secs_f64();
    println!("NATS R{servers} replay of {} records in batches of {size}: {rate:.0} records/s", summary.records);
    Ok(())
}
