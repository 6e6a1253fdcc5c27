//! A journal in NATS that is bounded, without PostgreSQL: nothing is let go before the archive has it, and an empty folder is
//! filled from there.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use anyhow::Context as _;
use holdfast_cluster::{Archivist, JetStream, JetStreamJournal, NatsSettings};
use holdfast_cluster_tests::{append, record, settings, shards, wait_for};
use holdfast_core::{Entity as _, EntityId, Event, ShardId, SkuId, stock::StockItem};
use holdfast_persistence::{
    EntityState, Journal as _, JournalError, Recovery, Replica, SnapshotError, SnapshotSource, SnapshotStore, Store,
    StoreError, StoreId, StoreOptions, encode_snapshot, journal::JournalOptions,
};
use holdfast_servers::{Nats, NatsOptions, NatsProxy};
use serde_json::Value;

const SHARDS: u16 = 2;

/// A node's folder, the journal it took over, and what keeps the archive.
struct Node {
    // The order matters: whoever uses goes before whoever is used.
    archivist: Option<Archivist>,
    journal: Arc<JetStreamJournal>,
    store: Store,
}

fn one_server() -> Nats {
    Nats::start(&NatsOptions { sync_always: false, ..NatsOptions::default() })
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// Opens a node as a server does: bounded to nothing, so that whatever may go goes.
fn open(folder: &Path, settings: &NatsSettings, store: StoreId) -> anyhow::Result<Node> {
    open_with(folder, settings, store, 1, |snapshots| Some(snapshots))
}

/// The same, with so many bytes of history; `archived` is what the archive gets the snapshots from, if there is to be one.
fn open_with(
    folder: &Path,
    settings: &NatsSettings,
    store: StoreId,
    retain_bytes: u64,
    archived: impl FnOnce(Arc<dyn SnapshotStore>) -> Option<Arc<dyn SnapshotSource>>,
) -> anyhow::Result<Node> {
    let journal = JournalOptions { retain_bytes, ..JournalOptions::default() };
    let options = StoreOptions { shards: SHARDS, journal, ..StoreOptions::default() };
    let servers = JetStream::connect(settings, &options.journal)?;
    let archive = servers.archive(shards(SHARDS)?);
    let known = servers.store_or_begin(shards(SHARDS)?, store)?;
    let (mut opened, replica) = (None, &archive as &dyn Replica);
    let store = Store::open_over(folder, &options, Some(known), Some(replica), |store, shards| {
        let (journal, found) = servers.open(store, shards, &options.journal)?;
        opened = Some(journal);
        Ok(found)
    })?;
    let journal = opened.context("a store without its journal")?;
    let snapshots = archived(Arc::<dyn SnapshotStore>::clone(&store.snapshots));
    let keep = |snapshots| Archivist::start(archive, store.id, Arc::clone(&journal), snapshots);
    let archivist = snapshots.map(keep).transpose()?;
    Ok(Node { archivist, journal, store })
}

impl Node {
    /// Makes `last` records of the shard durable, and a checkpoint behind them.
    fn sell_up_to(&self, shard: u16, last: u64) -> anyhow::Result<()> {
        let missing = last + 1 - self.journal.next_seq(ShardId(shard));
        append(&*self.journal, shard, missing, 1)??;
        self.store.snapshots.write(ShardId(shard), &[encode_snapshot(&state(last)?.as_ref())?])?;
        Ok(self.store.snapshots.set_watermark(ShardId(shard), last)?)
    }

    /// Sells on until history is let go.
    fn sell_until_purged(&self, shard: u16) -> anyhow::Result<()> {
        let sell_on = || {
            let sold = self.sell_up_to(shard, self.journal.next_seq(ShardId(shard)));
            sold.and_then(|()| self.purge()).is_ok_and(|gone| gone > 0)
        };
        wait_for("the archive", sell_on)
    }

    fn watermark(&self, shard: u16) -> Result<u64, SnapshotError> {
        self.store.snapshots.watermark(ShardId(shard))
    }

    /// Lets go what snapshots here contain, as a checkpoint does. How many messages went.
    fn purge(&self) -> anyhow::Result<u64> {
        self.purge_to(1)
    }

    /// The same, down to so many bytes.
    fn purge_to(&self, keep_bytes: u64) -> anyhow::Result<u64> {
        let mut floor = BTreeMap::new();
        for shard in 0..SHARDS {
            floor.insert(ShardId(shard), self.watermark(shard)? + 1);
        }
        Ok(self.journal.purge_below(&floor, keep_bytes)?.segments)
    }

    /// What the archive's stream says of itself.
    fn archive(&self, settings: &NatsSettings) -> anyhow::Result<Value> {
        let subject = format!("$JS.API.STREAM.INFO.HOLDFAST_{}_ARCHIVE", settings.deployment);
        let request = self.journal.requests().client.request(subject, r#"{"subjects_filter":">"}"#.into());
        let answer = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(request)?;
        Ok(serde_json::from_slice(&answer.payload)?)
    }

    fn replayed(&self, from: u64) -> Result<u64, JournalError> {
        let from: BTreeMap<_, _> = (0..SHARDS).map(|shard| (ShardId(shard), from)).collect();
        self.journal.replay(&from, &|_, _, _| {}, &|_| {}).map(|summary| summary.records)
    }
}

/// Snapshots of which one shard's cannot be read to their end.
struct Damaged {
    snapshots: Arc<dyn SnapshotStore>,
    shard: ShardId,
}

impl SnapshotSource for Damaged {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        self.snapshots.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        if shard != self.shard {
            return self.snapshots.scan(shard, sink);
        }
        // Several pages come before the damage.
        for number in 0..8_000 {
            let Ok(sku) = SkuId::parse(&format!("ITEM-WITH-A-LONG-NAME-{number:06}")) else { continue };
            sink(EntityId::Stock(sku.clone()), 0, EntityState::Stock(StockItem::new(sku)));
        }
        Err(SnapshotError::Damaged { shard, what: "by this test" })
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        self.snapshots.watermark(shard)
    }
}

/// What the first `last` records led to.
fn state(last: u64) -> anyhow::Result<EntityState> {
    let mut stock = StockItem::new(sku()?);
    for seq in 1..=last {
        let Event::Stock(event) = record(seq, 1)?.event else { continue };
        stock.apply(&event);
    }
    Ok(EntityState::Stock(stock))
}

fn sku() -> anyhow::Result<SkuId> {
    SkuId::parse("HEADPHONES-01.black").map_err(|error| anyhow::anyhow!("{error}"))
}

fn every(ms: u64, nats: &Nats) -> NatsSettings {
    NatsSettings { archive_interval_ms: ms, start_deadline_ms: 5_000, ..settings(&nats.url(), 1) }
}

#[test]
fn nothing_is_purged_before_the_archive_has_it_and_an_empty_folder_is_filled_from_there() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let node = open(folder.path(), &every(3_600_000, &nats), StoreId::from_bytes([1; 16])).unwrap();
    node.sell_up_to(1, 40).unwrap();
    assert_eq!(node.purge().unwrap(), 0, "only this folder has the snapshots");
    drop(node);

    let node = open(folder.path(), &every(50, &nats), StoreId::from_bytes([1; 16])).unwrap();
    node.sell_until_purged(1).unwrap();
    assert!(matches!(node.replayed(1), Err(JournalError::Purged { .. })));
    node.sell_up_to(0, 3).unwrap();
    append(&*node.journal, 1, 2, 1).unwrap().unwrap();
    let (id, sold) = (node.store.id, node.journal.next_seq(ShardId(1)) - 1);
    drop(node);

    // Another disk, with nothing on it.
    let empty = tempfile::tempdir().unwrap();
    let node = open(empty.path(), &every(50, &nats), StoreId::from_bytes([2; 16])).unwrap();
    assert_eq!(node.store.id, id, "the servers say whose the streams are");
    let recovery = node.store.recoveries.first();
    assert!(
        matches!(recovery, Some(Recovery::SnapshotsFetched { replica, entities: 1.., .. }) if replica.contains("archive in NATS")),
        "{recovery:?}"
    );
    let id = EntityId::Stock(sku().unwrap());
    let watermark = node.watermark(1).unwrap();
    assert!((40..=sold - 2).contains(&watermark), "{watermark} of {sold}");
    let (version, found) = node.store.snapshots.load(ShardId(1), &id).unwrap().unwrap();
    assert_eq!(found, state(version).unwrap());
    assert!((watermark..=sold - 2).contains(&version), "{version} of {sold}");
    let from = BTreeMap::from([(ShardId(1), watermark + 1), (ShardId(0), 4)]);
    let after = node.journal.replay(&from, &|_, _, _| {}, &|_| {}).unwrap();
    assert_eq!(after.records, sold - watermark, "and the streams have what came after");
    node.sell_until_purged(1).unwrap();
}

#[test]
fn without_the_archive_or_with_another_stores_a_bounded_journal_says_what_is_missing() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let settings = every(50, &nats);
    let node = open(folder.path(), &settings, StoreId::from_bytes([1; 16])).unwrap();
    node.sell_until_purged(0).unwrap();
    let requests = node.journal.requests().clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(node.archivist);
    let delete = format!("$JS.API.STREAM.DELETE.HOLDFAST_{}_ARCHIVE", settings.deployment);
    runtime.block_on(requests.client.request(delete, "".into())).unwrap();
    drop((node.journal, node.store));
    let empty = tempfile::tempdir().unwrap();
    let error = open(empty.path(), &settings, StoreId::from_bytes([2; 16])).err().unwrap();
    assert!(matches!(error.downcast_ref(), Some(StoreError::SnapshotsLost { .. })), "{error}");
    // The folder that has them goes on, and the archive comes back by itself.
    let node = open(folder.path(), &settings, StoreId::from_bytes([1; 16])).unwrap();
    node.sell_until_purged(0).unwrap();
    drop(node);
    assert!(open(tempfile::tempdir().unwrap().path(), &settings, StoreId::from_bytes([3; 16])).is_ok());
}

#[test]
fn an_archive_that_a_server_does_not_show_is_not_written_anew() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let wire = NatsProxy::start(nats.client_port(0)).unwrap();
    let settings = NatsSettings { url: wire.url(), ..every(20, &nats) };
    let node = open(folder.path(), &settings, StoreId::from_bytes([1; 16])).unwrap();
    node.sell_until_purged(0).unwrap();
    // Nothing is sold any more: once that is archived there is nothing to write.
    thread::sleep(Duration::from_millis(500));
    let written = |node: &Node| node.archive(&settings).unwrap().pointer("/state/last_seq").cloned();
    let before = written(&node);
    for _ in 0..20 {
        wire.mischief.unfound.store(1, Ordering::Relaxed);
        wait_for("a look", || wire.mischief.unfound.load(Ordering::Relaxed) == 0).unwrap();
        thread::sleep(Duration::from_millis(30));
    }
    assert_eq!(written(&node), before);
}

#[test]
fn a_shard_that_cannot_be_archived_holds_up_no_other_and_leaves_nothing_behind() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let settings = every(20, &nats);
    let shard = ShardId(0);
    let damaged = |snapshots| Some(Arc::new(Damaged { snapshots, shard }) as Arc<dyn SnapshotSource>);
    let node = open_with(folder.path(), &settings, StoreId::from_bytes([1; 16]), 1, damaged).unwrap();
    // It comes first, since it has the most history.
    node.sell_up_to(0, 5_000).unwrap();
    node.sell_until_purged(1).unwrap();
    assert!(node.journal.next_seq(ShardId(1)) < 500, "not before it had more itself");
    for last in 5_001..5_020 {
        node.sell_up_to(0, last).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    let archive = node.archive(&settings).unwrap();
    let subjects = archive.pointer("/state/subjects").and_then(Value::as_object).unwrap();
    let left: Vec<_> = subjects.keys().filter(|subject| subject.contains(".archive.0.")).collect();
    assert!(left.len() <= 1, "{left:?}");
}

#[test]
fn what_was_purged_while_a_database_had_it_is_archived_once_there_is_none() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let settings = every(50, &nats);
    let node = open(folder.path(), &settings, StoreId::from_bytes([1; 16])).unwrap();
    node.sell_until_purged(1).unwrap();
    drop(node);
    // As if whatever goes had been projected into a database.
    let node = open_with(folder.path(), &settings, StoreId::from_bytes([1; 16]), 1, |_| None).unwrap();
    for _ in 0..2 {
        node.sell_up_to(1, node.journal.next_seq(ShardId(1)) + 100).unwrap();
    }
    assert!(node.purge().unwrap() > 0);
    drop(node);
    let empty = tempfile::tempdir().unwrap();
    let error = open(empty.path(), &settings, StoreId::from_bytes([2; 16])).err().unwrap();
    assert!(matches!(error.downcast_ref(), Some(StoreError::ReplicaTooOld { .. })), "{error}");
    // The folder that has it is there again, nothing is sold, and there is less than is kept.
    let node = open_with(folder.path(), &settings, StoreId::from_bytes([1; 16]), 1 << 30, |snapshots| Some(snapshots))
        .unwrap();
    wait_for("the archive", || {
        let archive = node.archive(&settings).unwrap();
        archive.pointer("/state/subjects").is_some_and(|subjects| {
            let last = node.watermark(1).unwrap();
            subjects.as_object().is_some_and(|all| all.keys().any(|one| one.contains(&format!(".archive.1.{last}."))))
        })
    })
    .unwrap();
    drop(node);
    assert!(open(tempfile::tempdir().unwrap().path(), &settings, StoreId::from_bytes([3; 16])).is_ok());
}

#[test]
fn a_shard_with_small_states_that_sells_much_is_not_archived_at_every_look() {
    let (nats, folder) = (one_server(), tempfile::tempdir().unwrap());
    let settings = every(20, &nats);
    // Half of each shard's share is 50 kB.
    let node = open_with(folder.path(), &settings, StoreId::from_bytes([1; 16]), 200_000, |snapshots| Some(snapshots))
        .unwrap();
    let mut purged = 0;
    for sold in 1..=120 {
        node.sell_up_to(1, sold * 100).unwrap();
        purged += node.purge_to(200_000).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let (journaled, archive) = (node.journal.stats().bytes, node.archive(&settings).unwrap());
    let messages = archive.pointer("/state/last_seq").and_then(Value::as_u64).unwrap();
    let editions = messages / 2;
    assert!(journaled > 400_000 && purged > 0, "{journaled} bytes, {purged} messages gone");
    assert!(editions <= 2 + journaled / 50_000, "{editions} editions of {journaled} bytes");
}
