//! Editions on a real server: whole ones count, older ones set nothing back, and what is read is one of them from end to end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use holdfast_core::{
    Entity as _, EntityId, HoldId, OrderId, Quantity, ShardCount, ShardId, SkuId, Timestamp,
    stock::{StockEvent, StockItem},
};
use holdfast_persistence::{
    EntityState, Replica as _, SnapshotError, SnapshotSource, Store, StoreId, StoreOptions, encode_snapshot,
    journal::JournalOptions,
};
use holdfast_servers::{Nats, NatsOptions, NatsProxy};

use super::{
    Archive,
    edition::{Edition, Part},
    write::{End, WriteError},
};
use crate::jetstream::{JetStream, NatsSettings, blocking};

const STORE: StoreId = StoreId::from_bytes(*b"a store of tests");
const SHARD: ShardId = ShardId(1);

/// A server, an archive in it, and a node's own snapshots.
struct Scene {
    // Whoever asks goes before whoever is asked.
    archive: Archive,
    _servers: JetStream,
    wire: NatsProxy,
    _nats: Nats,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn open() -> Self {
        let mut scene = Self::open_at(NatsOptions::default().max_payload);
        scene.archive.page_bytes = 1 << 10;
        scene
    }

    /// At a server that takes messages of so many bytes.
    fn open_at(max_payload: u64) -> Self {
        let nats = Nats::start(&NatsOptions { sync_always: false, max_payload, ..NatsOptions::default() }).unwrap();
        let wire = NatsProxy::start(nats.client_port(0)).unwrap();
        let settings =
            NatsSettings { url: wire.url(), replicas: 1, start_deadline_ms: 1_500, ..NatsSettings::default() };
        let batches = JournalOptions { reserve_bytes: 64 << 10, ..JournalOptions::default() };
        let servers = JetStream::connect(&settings, &batches).unwrap();
        let archive = servers.archive(ShardCount::new(2).unwrap());
        blocking::wait(&archive.handle, archive.prepare(STORE)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &StoreOptions { shards: 2, ..StoreOptions::default() }).unwrap();
        Self { archive, _servers: servers, wire, _nats: nats, store, _folder: folder }
    }

    /// The node's snapshots: so many items that each received `times` units one by one.
    fn take_in(&self, items: usize, times: u64) {
        let snapshots: Vec<_> = (0..items).map(|item| encode_snapshot(&state(item, times).as_ref()).unwrap()).collect();
        self.store.snapshots.write(SHARD, &snapshots).unwrap();
    }

    fn write(&self, edition: Edition) -> End {
        self.archive.write(STORE, edition, &*self.store.snapshots, &AtomicBool::new(false)).unwrap()
    }

    fn delete(&self, edition: Edition) {
        blocking::wait(&self.archive.handle, self.archive.delete(edition)).unwrap();
    }

    fn append(&self, edition: Edition, part: Part, payload: &[u8]) {
        let (subject, leaving) = (edition.subject(&self.archive.root, part), AtomicBool::new(false));
        let appended = self.archive.append(&subject, 0, payload.to_vec().into(), &leaving);
        blocking::wait(&self.archive.handle, appended).unwrap();
    }

    fn newest(&self) -> Option<Edition> {
        blocking::wait(&self.archive.handle, self.archive.contents()).unwrap().newest(SHARD)
    }

    fn read(&self) -> Result<Vec<(EntityId, u64, EntityState)>, SnapshotError> {
        let mut found = Vec::new();
        self.archive.scan(SHARD, &mut |id, version, state| found.push((id, version, state)))?;
        Ok(found)
    }
}

fn state(item: usize, times: u64) -> EntityState {
    let mut stock = StockItem::new(SkuId::parse(&format!("ITEM-{item:04}")).unwrap());
    for _ in 0..times {
        stock.apply(&StockEvent::Received { quantity: Quantity::new(1).unwrap() });
    }
    EntityState::Stock(stock)
}

const fn edition(watermark: u64, epoch: u64) -> Edition {
    Edition { shard: SHARD, watermark, epoch }
}

fn expected(items: usize, times: u64) -> Vec<(EntityId, u64, EntityState)> {
    (0..items).map(|item| state(item, times)).map(|state| (state.id(), state.version(), state)).collect()
}

#[test]
fn what_was_written_is_read_over_many_pages_as_of_its_watermark() {
    let scene = Scene::open();
    let held = scene.archive.held().unwrap().unwrap();
    assert_eq!((held.store, held.watermarks), (STORE, vec![0, 0]));
    assert_eq!(scene.read().unwrap(), []);
    scene.take_in(200, 3);
    let end = scene.write(edition(600, 1));
    assert!(end.pages > 5 && end.entities == 200, "{end:?}");
    assert_eq!(scene.archive.held().unwrap().unwrap().watermarks, [0, 600]);
    assert_eq!(scene.read().unwrap(), expected(200, 3));
    assert_eq!(scene.archive.watermark(SHARD).unwrap(), 600);
    let one = state(7, 3);
    assert_eq!(scene.archive.load(SHARD, &one.id()).unwrap(), Some((3, one)));
    assert_eq!(scene.archive.load(ShardId(0), &state(7, 3).id()).unwrap(), None);
    // A shard without a single entity has been archived all the same.
    let empty = Edition { shard: ShardId(0), watermark: 2, epoch: 1 };
    assert_eq!(scene.write(empty), End { pages: 0, message_bytes: 512 << 10, entities: 0, bytes: 0 });
    assert_eq!(scene.archive.held().unwrap().unwrap().watermarks, [2, 600]);
}

#[test]
fn an_edition_without_its_end_does_not_count_and_is_begun_anew() {
    let scene = Scene::open();
    scene.take_in(50, 1);
    scene.write(edition(50, 1));
    scene.take_in(50, 2);
    scene.append(edition(100, 2), Part::Pages, b"what a killed writer left");
    assert_eq!(scene.newest(), Some(edition(50, 1)));
    assert_eq!(scene.archive.held().unwrap().unwrap().watermarks, [0, 50]);
    // Snapshots may be newer than the watermark: these are as they were written then.
    assert_eq!(scene.read().unwrap(), expected(50, 1));
    scene.write(edition(100, 2));
    let contents = blocking::wait(&scene.archive.handle, scene.archive.contents()).unwrap();
    assert!(contents.parts.is_empty() && contents.whole.len() == 2, "{contents:?}");
    assert_eq!(contents.useless(edition(100, 2)).collect::<Vec<_>>(), [edition(50, 1)]);
    scene.archive.held().unwrap();
    assert_eq!(scene.read().unwrap(), expected(50, 2));
}

#[test]
fn a_writer_that_stood_still_sets_nothing_back() {
    let scene = Scene::open();
    scene.take_in(20, 2);
    scene.write(edition(40, 5));
    // The zombie believes in its epoch, has older snapshots, and ends what it had begun.
    scene.take_in(20, 1);
    scene.write(edition(20, 4));
    assert_eq!(scene.newest(), Some(edition(40, 5)));
    let contents = blocking::wait(&scene.archive.handle, scene.archive.contents()).unwrap();
    assert_eq!(contents.useless(edition(20, 4)).count(), 0, "it would delete what is newer");
    assert_eq!(scene.read().unwrap(), expected(20, 2));
}

#[test]
fn an_edition_that_is_replaced_while_it_is_read_is_read_anew_from_the_one_that_did() {
    let scene = Scene::open();
    scene.take_in(100, 1);
    scene.write(edition(100, 1));
    assert_eq!(scene.archive.held().unwrap().unwrap().watermarks, [0, 100]);
    let replaced = AtomicU64::new(0);
    let mut found = Vec::new();
    scene
        .archive
        .scan(SHARD, &mut |id, version, state| {
            if replaced.fetch_add(1, Ordering::Relaxed) == 0 {
                // In the middle of the first page.
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        scene.take_in(100, 2);
                        scene.write(edition(200, 2));
                        scene.delete(edition(100, 1));
                    });
                });
            }
            found.push((id, version, state));
        })
        .unwrap();
    assert!(found.len() > 100, "nothing was read before it was replaced");
    assert_eq!(found[found.len() - 100..], expected(100, 2), "the newer one, whole");
    assert_eq!(scene.archive.watermark(SHARD).unwrap(), 200, "and its watermark, not the older one's");
}

#[test]
fn a_damaged_edition_and_one_with_fewer_snapshots_than_it_says_are_errors() {
    let scene = Scene::open();
    scene.append(edition(9, 1), Part::Pages, b"not a page");
    scene.append(edition(9, 1), Part::End, br#"{"pages":1,"message_bytes":100,"entities":1,"bytes":10}"#);
    let error = scene.read().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("page 0 of shard 1 as of record 9 is damaged"), "{source}");
    scene.archive.held().unwrap();
    scene.append(edition(10, 1), Part::End, br#"{"pages":0,"message_bytes":100,"entities":1,"bytes":10}"#);
    scene.archive.held().unwrap();
    let error = scene.read().unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("has 0 snapshots, its end says 1"), "{source}");
}

#[test]
fn a_node_that_leaves_writes_no_further_page() {
    let scene = Scene::open();
    scene.take_in(100, 1);
    let leaving = Arc::new(AtomicBool::new(true));
    let written = scene.archive.write(STORE, edition(100, 1), &*scene.store.snapshots, &leaving);
    assert!(matches!(written, Err(WriteError::Leaving)), "{written:?}");
    assert_eq!(scene.newest(), None);
}

#[test]
fn a_shard_that_had_no_edition_when_it_was_read_has_none_until_the_archive_is_asked_anew() {
    let scene = Scene::open();
    scene.archive.held().unwrap();
    assert_eq!(scene.read().unwrap(), []);
    scene.take_in(20, 1);
    scene.write(edition(20, 1));
    assert_eq!(scene.archive.watermark(SHARD).unwrap(), 0, "none of its snapshots was given");
    scene.archive.held().unwrap();
    assert_eq!((scene.archive.watermark(SHARD).unwrap(), scene.read().unwrap()), (20, expected(20, 1)));
}

#[test]
fn an_archive_that_a_server_does_not_show_at_first_is_waited_for() {
    let scene = Scene::open();
    scene.take_in(20, 1);
    scene.write(edition(20, 1));
    scene.wire.mischief.unfound.store(1, Ordering::Relaxed);
    let held = scene.archive.held().unwrap().map(|held| held.watermarks);
    assert_eq!(held, Some(vec![0, 20]));
    scene.wire.mischief.unfound.store(1, Ordering::Relaxed);
    assert_eq!(scene.read().unwrap(), expected(20, 1));
}

#[test]
fn a_state_that_is_larger_than_a_message_is_archived_in_several() {
    let scene = Scene::open_at(128 << 10);
    let mut stock = StockItem::new(SkuId::parse("HOT").unwrap());
    for _ in 0..20 {
        stock.apply(&StockEvent::Received { quantity: Quantity::new(1_000).unwrap() });
    }
    for order in 0..20_000 {
        let (hold, quantity) = (HoldId { order: OrderId::from_u128(order), line: 0 }, Quantity::new(1).unwrap());
        stock.apply(&StockEvent::Held { hold, quantity, expires_at: Timestamp::from_millis(9), customer: None });
    }
    let state = EntityState::Stock(stock);
    let snapshot = encode_snapshot(&state.as_ref()).unwrap();
    assert!(snapshot.bytes.len() > 128 << 10, "{} bytes", snapshot.bytes.len());
    scene.take_in(2, 1);
    scene.store.snapshots.write(SHARD, &[snapshot]).unwrap();
    scene.write(edition(20_022, 1));
    let found = scene.read().unwrap();
    assert_eq!(found.len(), 3);
    assert!(found.contains(&(state.id(), state.version(), state)));
}

#[test]
fn what_is_written_in_messages_of_any_size_is_read_from_them() {
    for message_bytes in [64, 100, 128, 1 << 10, 1 << 20] {
        let mut scene = Scene::open();
        scene.archive.message_bytes = message_bytes;
        scene.take_in(40, 2);
        scene.write(edition(80, 1));
        assert_eq!(scene.read().unwrap(), expected(40, 2), "{message_bytes}");
    }
}

#[test]
fn what_earlier_attempts_left_is_known_and_what_a_later_owner_writes_is_not_among_it() {
    let scene = Scene::open();
    scene.take_in(5, 1);
    scene.write(edition(5, 1));
    for (watermark, epoch) in [(7, 1), (8, 2), (9, 2), (8, 3)] {
        scene.append(edition(watermark, epoch), Part::Pages, b"a part");
    }
    let contents = blocking::wait(&scene.archive.handle, scene.archive.contents()).unwrap();
    assert_eq!(contents.abandoned(edition(8, 2)).collect::<Vec<_>>(), [edition(7, 1), edition(8, 2), edition(9, 2)]);
}

#[test]
fn an_archive_on_fewer_servers_than_the_journal_is_to_be_on_is_named() {
    let mut scene = Scene::open();
    let contents = |scene: &Scene| blocking::wait(&scene.archive.handle, scene.archive.contents()).unwrap();
    assert_eq!(contents(&scene).problem, None);
    scene.archive.replicas = 3;
    let problem = contents(&scene).problem.unwrap();
    assert!(problem.contains("has 1 replicas, nats.replicas is 3"), "{problem}");
}
