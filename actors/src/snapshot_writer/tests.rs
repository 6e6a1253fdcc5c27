//! The writer over a real store: what it writes together, in which order, and what it says when it cannot.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use holdfast_core::{OrderId, SkuId, order::Order, stock::StockItem};
use holdfast_persistence::{SnapshotSource, Store, StoreOptions, snapshot::SnapshotError};
use parking_lot::Mutex;

use super::*;
use crate::{chunked_queue::ChunkedQueue, lease::Lease, settings::RuntimeSettings};

const SHARD: ShardId = ShardId(0);
const LIFE: Life = Life { shard: SHARD, number: 7 };

/// The snapshots of a real store, and the size of each write.
struct Watched {
    store: Store,
    writes: Mutex<Vec<usize>>,
    /// The next write fails.
    fails: AtomicBool,
    /// The nice value of the thread that wrote last.
    nice: AtomicI32,
}

impl SnapshotSource for Watched {
    fn load(&self, shard: ShardId, entity: &EntityId) -> Result<Option<(u64, EntityState)>, SnapshotError> {
        self.store.snapshots.load(shard, entity)
    }

    fn scan(&self, shard: ShardId, sink: &mut dyn FnMut(EntityId, u64, EntityState)) -> Result<(), SnapshotError> {
        self.store.snapshots.scan(shard, sink)
    }

    fn watermark(&self, shard: ShardId) -> Result<u64, SnapshotError> {
        self.store.snapshots.watermark(shard)
    }
}

impl SnapshotStore for Watched {
    fn write(&self, shard: ShardId, snapshots: &[EncodedSnapshot]) -> Result<(), SnapshotError> {
        self.writes.lock().push(snapshots.len());
        self.nice.store(nice(), Ordering::Relaxed);
        if self.fails.swap(false, Ordering::Relaxed) {
            let source = io::Error::other("the disk is full");
            return Err(SnapshotError::Io { action: "write", path: "snapshots".into(), source });
        }
        self.store.snapshots.write(shard, snapshots)
    }

    fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
        self.store.snapshots.set_watermark(shard, seq)
    }
}

/// A writer over a store, and what it tells its shard.
struct Desk {
    writer: Writer,
    watched: Arc<Watched>,
    mailbox: Arc<Mailbox>,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new(batch: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StoreOptions { shards: 1, ..StoreOptions::default() };
        let store = Store::open(folder.path(), &options).expect("a store");
        let (fails, nice) = (AtomicBool::new(false), AtomicI32::new(0));
        let watched = Arc::new(Watched { store, writes: Mutex::default(), fails, nice });
        let Watched { store, .. } = watched.as_ref();
        let retention = Retention::new(Arc::clone(&store.journal), watched.as_ref(), store.shards);
        let mailbox = Mailbox::new(SHARD, &RuntimeSettings::default(), Lease::perpetual());
        mailbox.open_stepped();
        let mailboxes = Arc::new([Arc::clone(&mailbox)]);
        let writer = Writer::new(Arc::clone(&watched) as _, retention, mailboxes, batch);
        Self { writer, watched, mailbox, _folder: folder }
    }

    fn carry_out(&mut self, task: SnapshotTask) {
        assert!(self.writer.carry_out(Job::Task { life: LIFE, task }));
    }

    fn sizes(&self) -> Vec<usize> {
        self.watched.writes.lock().clone()
    }

    /// What the shard was told since the last time.
    fn told(&self) -> Vec<SnapshotProgress> {
        let mut inbox = Vec::new();
        self.mailbox.take(&mut inbox);
        let progress = |envelope| match envelope {
            Envelope::Internal(Internal::Snapshots { life, progress }) if life == LIFE.number => progress,
            other => panic!("{other:?}"),
        };
        inbox.into_iter().map(progress).collect()
    }
}

/// The nice value of this thread.
fn nice() -> i32 {
    rustix::process::getpriority_process(None).expect("it has one")
}

fn order(number: u128) -> EntityState {
    EntityState::Order(Order::new(OrderId::from_u128(number)))
}

fn orders(numbers: std::ops::Range<u128>) -> SnapshotTask {
    SnapshotTask::Write(numbers.map(order).collect())
}

#[test]
fn what_waits_is_written_together_up_to_a_batch_and_before_the_watermark() {
    let mut desk = Desk::new(4);
    for task in [orders(0..2), orders(2..3), orders(3..6), orders(6..7)] {
        desk.carry_out(task);
    }
    assert_eq!(desk.sizes(), [6]);
    desk.carry_out(SnapshotTask::Watermark(9));
    assert_eq!((desk.sizes(), desk.watched.watermark(SHARD).expect("read")), (vec![6, 1], 9));
    desk.writer.flush();
    assert_eq!(desk.sizes(), [6, 1], "there was nothing left");
    match &desk.told()[..] {
        [
            SnapshotProgress::Written { saved: six, unsaved: none },
            SnapshotProgress::Written { saved: one, unsaved: nothing },
            SnapshotProgress::Checkpointed { watermark: 9 },
        ] => assert_eq!((six.len(), one.len(), none.len(), nothing.len()), (6, 1, 0, 0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_write_that_fails_saves_nothing_says_of_whom_and_keeps_the_watermark() {
    let mut desk = Desk::new(4);
    desk.watched.fails.store(true, Ordering::Relaxed);
    for task in [orders(0..3), SnapshotTask::Watermark(9), orders(3..4), SnapshotTask::Watermark(10)] {
        desk.carry_out(task);
    }
    assert_eq!(desk.watched.watermark(SHARD).expect("read"), 0);
    match &desk.told()[..] {
        [
            SnapshotProgress::Written { saved: none, unsaved: three },
            SnapshotProgress::Checkpointed { watermark: 0 },
            SnapshotProgress::Written { saved: one, unsaved: nothing },
            SnapshotProgress::Checkpointed { watermark: 0 },
        ] => assert_eq!((none.len(), three.len(), one.len(), nothing.len()), (0, 3, 1, 0)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_earlier_life_of_a_shard_asks_for_late_is_not_done() {
    let mut desk = Desk::new(1_000);
    desk.carry_out(orders(0..1));
    for task in [orders(0..1), SnapshotTask::Watermark(9)] {
        assert!(desk.writer.carry_out(Job::Task { life: Life { number: LIFE.number - 1, ..LIFE }, task }));
    }
    desk.writer.flush();
    assert_eq!((desk.sizes(), desk.watched.watermark(SHARD).expect("read")), (vec![1], 0));
}

#[test]
fn the_thread_writes_everything_before_it_ends_and_stands_back_alone() {
    let ours = nice();
    let Desk { writer, watched, _folder, .. } = Desk::new(1_000);
    let (sender, jobs) = mpsc::channel();
    for task in [orders(0..3), orders(3..5)] {
        sender.send(Job::Task { life: LIFE, task }).expect("taken");
    }
    sender.send(Job::Stop).expect("taken");
    start(writer, jobs, 19).expect("a thread").join().expect("it ends");
    assert_eq!(*watched.writes.lock(), [5]);
    assert_eq!((watched.nice.load(Ordering::Relaxed), nice()), (19, ours));
}

#[test]
fn a_checkpoint_is_arranged_as_the_store_has_its_snapshots_each_once() {
    let mut desk = Desk::new(1_000);
    // Slots, which are the low bits, that differ in either byte.
    let numbers = [0x0102, 0x0201, 0xff00, 0x00ff, 1 << 127, (1 << 64) | 0x0102];
    let mut states: Vec<EntityState> = numbers.into_iter().map(order).collect();
    states.extend(["B", "A", "AB"].map(|sku| EntityState::Stock(StockItem::new(SkuId::parse(sku).expect("a SKU")))));
    let mut entities = ChunkedQueue::default();
    entities.extend(states.iter().chain(&states[..2]).map(EntityState::id));
    desk.carry_out(SnapshotTask::Arrange(entities));
    let told = desk.told();
    let [SnapshotProgress::Arranged(arranged)] = &told[..] else { panic!("{told:?}") };
    desk.carry_out(SnapshotTask::Write(states));
    desk.writer.flush();
    let mut stored = Vec::new();
    desk.watched.scan(SHARD, &mut |entity, _, _| stored.push(entity)).expect("read");
    assert_eq!(stored, *arranged);
}
