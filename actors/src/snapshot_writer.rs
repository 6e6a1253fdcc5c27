//! The one thread that encodes and writes snapshots and purges what they contain, so that no turn waits for a disk. It only
//! ever gets what the gate let out: the journal has every event in these snapshots already.
//!
//! The store keeps the entities of a shard in pages by key and rewrites a page for every write that touches it. So a checkpoint's
//! entities are put in that order first, and what waits is written together.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, io, iter, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use holdfast_core::{EntityId, ShardId};
use holdfast_persistence::{EncodedSnapshot, EntityState, SnapshotStore, by_key, encode_snapshot};

use crate::{
    chunked_queue::ChunkedQueue,
    mailbox::Mailbox,
    message::{Envelope, Internal},
    retention::Retention,
};

/// What the writer is to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Put the entities of a checkpoint in order and hand them back.
    Arrange { shard: ShardId, sequence: u64, entities: ChunkedQueue<EntityId> },
    /// Write these entities.
    Snapshots { shard: ShardId, states: Vec<EntityState> },
    /// Everything up to here is written.
    Watermark { shard: ShardId, sequence: u64 },
    /// Finish what came before and end.
    Stop,
}

pub(crate) struct Writer {
    store: Arc<dyn SnapshotStore>,
    retention: Retention,
    mailboxes: Arc<[Arc<Mailbox>]>,
    /// Shards with a snapshot that could not be written: their watermark stays where it is until the node restarts.
    failed: HashSet<ShardId>,
    /// Encoded and not written yet.
    gathered: BTreeMap<ShardId, Gathered>,
    /// From so many states on they are written.
    batch: usize,
}

/// What is to be written for one shard.
#[derive(Debug, Default)]
struct Gathered {
    snapshots: Vec<EncodedSnapshot>,
    /// How many states it was handed for that, with those that cannot be encoded.
    states: usize,
}

/// Starts the writer of what comes in by `jobs`.
pub(crate) fn start(mut writer: Writer, jobs: mpsc::Receiver<Job>) -> io::Result<JoinHandle<()>> {
    let work = move || {
        while let Ok(first) = jobs.recv() {
            // What came while the last batch was written goes together.
            let mut waiting = iter::once(first).chain(jobs.try_iter());
            let stopped = !waiting.all(|job| writer.carry_out(job));
            writer.flush();
            if stopped {
                break;
            }
        }
    };
    thread::Builder::new().name(String::from("snapshots")).spawn(work)
}

impl Writer {
    pub(crate) fn new(
        store: Arc<dyn SnapshotStore>,
        retention: Retention,
        mailboxes: Arc<[Arc<Mailbox>]>,
        batch: usize,
    ) -> Self {
        Self { store, retention, mailboxes, failed: HashSet::new(), gathered: BTreeMap::new(), batch }
    }

    /// Does one job; snapshots may stay gathered until [`Writer::flush`]. `false` when it was the last.
    pub(crate) fn carry_out(&mut self, job: Job) -> bool {
        match job {
            Job::Arrange { shard, sequence, entities } => {
                let mut entities = entities.into_vec();
                entities.sort_unstable_by(by_key);
                self.tell(shard, Internal::Arranged { sequence, entities });
            }
            Job::Snapshots { shard, states } => self.gather(shard, states),
            Job::Watermark { shard, sequence } => self.mark(shard, sequence),
            Job::Stop => return false,
        }
        true
    }

    fn gather(&mut self, shard: ShardId, states: Vec<EntityState>) {
        let handed = states.len();
        let mut snapshots = Vec::with_capacity(handed);
        for state in states {
            // A panic would end this thread, and with it the checkpoints of every shard.
            match catch_unwind(AssertUnwindSafe(|| encode_snapshot(&state.as_ref()))) {
                Ok(Ok(snapshot)) => snapshots.push(snapshot),
                Ok(Err(error)) => self.note_failure(shard, &error),
                Err(_) => self.note_failure(shard, &"encoding a state panicked"),
            }
        }
        let gathered = self.gathered.entry(shard).or_default();
        gathered.snapshots.append(&mut snapshots);
        gathered.states += handed;
        if self.gathered.values().map(|gathered| gathered.states).sum::<usize>() >= self.batch {
            self.flush();
        }
    }

    /// Writes what is gathered.
    pub(crate) fn flush(&mut self) {
        for (shard, Gathered { mut snapshots, states }) in mem::take(&mut self.gathered) {
            if let Err(error) = self.store.write(shard, &snapshots) {
                self.note_failure(shard, &error);
                snapshots.clear();
            }
            let saved = snapshots.into_iter().map(|snapshot| (snapshot.entity, snapshot.version)).collect();
            self.tell(shard, Internal::Snapshotted { saved, states });
        }
    }

    fn mark(&mut self, shard: ShardId, sequence: u64) {
        self.flush();
        let watermark = if self.failed.contains(&shard) {
            0
        } else if let Err(error) = self.store.set_watermark(shard, sequence) {
            self.note_failure(shard, &error);
            0
        } else {
            sequence
        };
        self.tell(shard, Internal::Checkpointed { watermark });
        if watermark > 0 {
            self.retention.note_watermark(shard, watermark);
        }
    }

    fn note_failure(&mut self, shard: ShardId, error: &dyn fmt::Display) {
        metrics::counter!("holdfast_snapshot_failures_total").increment(1);
        tracing::error!(shard = shard.0, %error, "snapshots could not be written: the shard's journal tail grows");
        self.failed.insert(shard);
    }

    fn tell(&self, shard: ShardId, internal: Internal) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
            mailbox.deliver(Envelope::Internal(internal));
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_core::{OrderId, SkuId, order::Order, stock::StockItem};
    use holdfast_persistence::{SnapshotSource, Store, StoreOptions, snapshot::SnapshotError};
    use parking_lot::Mutex;

    use super::*;

    const SHARD: ShardId = ShardId(0);

    /// The snapshots of a real store, and the entities of each write.
    struct Watched {
        store: Store,
        writes: Mutex<Vec<Vec<EntityId>>>,
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
            self.writes.lock().push(snapshots.iter().map(|snapshot| snapshot.entity.clone()).collect());
            self.store.snapshots.write(shard, snapshots)
        }

        fn set_watermark(&self, shard: ShardId, seq: u64) -> Result<(), SnapshotError> {
            self.store.snapshots.set_watermark(shard, seq)
        }
    }

    fn writer(dir: &std::path::Path, batch: usize) -> (Writer, Arc<Watched>) {
        let store = Store::open(dir, &StoreOptions { shards: 1, ..StoreOptions::default() }).expect("a store");
        let watched = Arc::new(Watched { store, writes: Mutex::default() });
        let Watched { store, .. } = watched.as_ref();
        let retention = Retention::new(Arc::clone(&store.journal), watched.as_ref(), store.shards);
        (Writer::new(Arc::clone(&watched) as _, retention, Arc::new([]), batch), watched)
    }

    fn orders(numbers: std::ops::Range<u128>) -> Job {
        let state = |number| EntityState::Order(Order::new(OrderId::from_u128(number)));
        Job::Snapshots { shard: SHARD, states: numbers.map(state).collect() }
    }

    fn sizes(watched: &Watched) -> Vec<usize> {
        watched.writes.lock().iter().map(Vec::len).collect()
    }

    #[test]
    fn what_waits_is_written_together_up_to_a_batch_and_before_the_watermark() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut writer, watched) = writer(dir.path(), 4);
        for job in [orders(0..2), orders(2..3), orders(3..6), orders(6..7)] {
            assert!(writer.carry_out(job));
        }
        assert_eq!(sizes(&watched), [6]);
        assert!(writer.carry_out(Job::Watermark { shard: SHARD, sequence: 9 }));
        assert_eq!((sizes(&watched), watched.watermark(SHARD).expect("read")), (vec![6, 1], 9));
        writer.flush();
        assert_eq!(sizes(&watched), [6, 1], "there was nothing left");
    }

    #[test]
    fn the_thread_writes_everything_before_it_ends() {
        let dir = tempfile::tempdir().expect("a folder");
        let (writer, watched) = writer(dir.path(), 1_000);
        let (sender, jobs) = mpsc::channel();
        for job in [orders(0..3), orders(3..5), Job::Stop] {
            sender.send(job).expect("taken");
        }
        start(writer, jobs).expect("a thread").join().expect("it ends");
        assert_eq!(sizes(&watched), [5]);
    }

    #[test]
    fn snapshots_come_out_of_the_store_in_the_order_a_checkpoint_puts_them_in() {
        let dir = tempfile::tempdir().expect("a folder");
        let (mut writer, watched) = writer(dir.path(), 1_000);
        // Slots, which are the low bits, that differ in either byte.
        let numbers = [0x0102, 0x0201, 0xff00, 0x00ff, 1 << 127, (1 << 64) | 0x0102];
        let order = |number| EntityState::Order(Order::new(OrderId::from_u128(number)));
        let mut states: Vec<EntityState> = numbers.into_iter().map(order).collect();
        states
            .extend(["B", "A", "AB"].map(|sku| EntityState::Stock(StockItem::new(SkuId::parse(sku).expect("a SKU")))));
        let mut arranged: Vec<EntityId> = states.iter().map(EntityState::id).collect();
        arranged.sort_unstable_by(by_key);
        writer.carry_out(Job::Snapshots { shard: SHARD, states });
        writer.flush();
        let mut stored = Vec::new();
        watched.scan(SHARD, &mut |entity, _, _| stored.push(entity)).expect("read");
        assert_eq!(stored, arranged);
    }
}
