//! The segment-file journal, put together: a queue in front of a writer thread, a preparer thread behind it.
//!
//! Invariant: dropping it writes what is queued and tells everyone before it returns.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use holdfast_core::{ShardCount, ShardId, planted};
use parking_lot::Mutex;

use super::{
    AppendError, Batch, BatchRefusal, Completion, HistoryReader, Journal, JournalError, JournalOptions, JournalStats,
    PurgeSummary, ReplayProgress, ReplaySummary, SurveyedJournal, TornTail, Unwritable,
    catalog::Catalog,
    disk::{Access, Disk, FsDisk},
    follow::{Follower, SegmentFollower, Segments},
    frame::HEADER_BYTES,
    gathering::Gathering,
    prepare::{Identity, Preparer, SpareSlot},
    purge,
    queue::{Entry, Queue},
    record,
    recovery::Recovered,
    replay::{self, Replay},
    segment,
    shared::Shared,
    stepped::JournalSteps,
    writer::{Meters, Writer},
};
use crate::{record::Record, store::StoreId};

thread_local! {
    /// Where each calling thread encodes: reused, so that an append allocates nothing but its completion.
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The journal in segment files of one directory.
pub struct SegmentJournal {
    disk: Arc<dyn Disk>,
    shared: Arc<Shared>,
    identity: Identity,
    options: JournalOptions,
    /// Whoever still wants history, and how many bytes of it are kept for them.
    reader: Mutex<Option<(Arc<dyn HistoryReader>, u64)>>,
    writer: Option<JoinHandle<()>>,
    preparer: Option<JoinHandle<()>>,
}

impl SegmentJournal {
    /// Opens the journal of `store` in the directory `dir`, making it if there is none. Also says whether an unfinished
    /// write was cut off its end.
    ///
    /// # Errors
    /// [`JournalError`], naming the file, the offset and what to do. Nothing is changed then.
    pub fn open(
        dir: &Path,
        store: StoreId,
        shards: ShardCount,
        options: JournalOptions,
    ) -> Result<(Self, Option<TornTail>), JournalError> {
        SurveyedJournal::look_over(dir, store, shards, options)?.open()
    }

    /// As [`SegmentJournal::open`], on a disk of the caller's: the seam for fault tests and simulation.
    ///
    /// # Errors
    /// As [`SegmentJournal::open`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        store: StoreId,
        shards: ShardCount,
        options: JournalOptions,
    ) -> Result<(Self, Option<TornTail>), JournalError> {
        SurveyedJournal::look_over_on(disk, store, shards, options)?.open()
    }

    /// Starts the threads of a journal that was put right.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: JournalOptions,
        found: Recovered,
    ) -> Result<Self, JournalError> {
        let (mut journal, writer, preparer) = Self::assemble(disk, identity, options, found);
        let path = journal.disk.path("");
        let io = |source| JournalError::Io { action: "start a thread for", path: path.clone(), source };
        let retry = Duration::from_millis(journal.options.space_retry_ms);
        let preparing = thread::Builder::new().name("journal-prepare".to_owned());
        journal.preparer = Some(preparing.spawn(move || preparer.run(retry)).map_err(io)?);
        let spawned = thread::Builder::new().name("journal-writer".to_owned()).spawn(move || writer.run());
        journal.writer = Some(spawned.map_err(io)?);
        Ok(journal)
    }

    /// As [`SegmentJournal::start`], without threads: the caller takes every step.
    pub(super) fn start_stepped(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: JournalOptions,
        found: Recovered,
    ) -> (Self, JournalSteps) {
        let (journal, mut writer, preparer) = Self::assemble(disk, identity, options, found);
        let preparer = Arc::new(preparer);
        writer.inline = Some(Arc::clone(&preparer));
        (journal, JournalSteps::new(writer, preparer))
    }

    fn assemble(
        disk: Arc<dyn Disk>,
        identity: Identity,
        options: JournalOptions,
        found: Recovered,
    ) -> (Self, Writer, Preparer) {
        // Before the first segment is begun, its spare is the room there is.
        let room = found.active.as_ref().map_or(options.segment_bytes, |active| active.capacity - active.offset);
        let shared = Arc::new(Shared::new(
            Queue::new(found.next_seqs.clone()),
            Catalog::new(found.begun, found.next_lsn),
            SpareSlot::new(found.spare, found.next_generation),
            room,
        ));
        let writer = Writer {
            disk: Arc::clone(&disk),
            shared: Arc::clone(&shared),
            identity,
            active: found.active,
            next_lsn: found.next_lsn,
            next_seqs: found.next_seqs,
            inline: None,
            gathering: Gathering::new(Duration::from_micros(options.gather_us)),
            meters: Meters::new(),
        };
        let preparer = Preparer::new(Arc::clone(&disk), Arc::clone(&shared), identity, options.segment_bytes);
        let reader = Mutex::new(None);
        (Self { disk, shared, identity, options, reader, writer: None, preparer: None }, writer, preparer)
    }

    /// Whether the journal reaches back to the first record ever.
    pub fn history_is_complete(&self) -> bool {
        self.shared.catalog.first_lsn() == 1
    }

    /// Whether any record was ever journaled.
    pub fn has_records(&self) -> bool {
        self.shared.catalog.durable() > 1
    }

    /// Whether the directory `dir` holds any segment.
    pub fn is_in(dir: &Path) -> bool {
        let names = FsDisk::new(dir, Access::Read).list().unwrap_or_default();
        names.iter().any(|name| segment::generation_of(name).is_some())
    }

    /// Keeps `lock` for as long as anything may be written.
    pub(crate) fn keep(&self, lock: Arc<dyn Send + Sync>) {
        self.shared.kept.get_or_init(|| lock);
    }

    /// Encodes the whole batch into `out`.
    fn encode(&self, batch: &Batch, out: &mut Vec<u8>) -> Result<(), BatchRefusal> {
        let shards = self.identity.shards.get();
        if batch.shard.0 >= shards {
            return Err(BatchRefusal::UnknownShard { shards });
        }
        for (seq, record) in (batch.first_seq..).zip(&batch.records) {
            record::encode(record, batch.shard, seq, self.options.record_limit_bytes, out)?;
        }
        // The largest frame, header included, fits the reserve.
        let (bytes, limit) = ((out.len() + HEADER_BYTES) as u64, self.options.reserve_bytes);
        if bytes > limit {
            return Err(BatchRefusal::BatchTooLarge { bytes, limit });
        }
        Ok(())
    }

    fn encode_and_enqueue(&self, batch: &Batch, is_awaited: bool, done: Completion) {
        if planted!(BatchSplit) && batch.records.len() > 1 {
            let (first, rest) = batch.records.split_at(batch.records.len() / 2);
            let rest_seq = batch.first_seq + first.len() as u64;
            self.encode_and_enqueue(&Batch { records: first.to_vec(), ..*batch }, is_awaited, Box::new(|_| {}));
            let rest = Batch { shard: batch.shard, first_seq: rest_seq, records: rest.to_vec() };
            return self.encode_and_enqueue(&rest, is_awaited, done);
        }
        ENCODED.with_borrow_mut(|encoded| {
            encoded.clear();
            let refused = self.encode(batch, encoded).err();
            self.enqueue(batch, encoded, refused, is_awaited, done);
        });
    }

    fn enqueue(
        &self,
        batch: &Batch,
        encoded: &[u8],
        refused: Option<BatchRefusal>,
        is_awaited: bool,
        done: Completion,
    ) {
        let shard = batch.shard;
        let mut queue = self.shared.queue.lock();
        let mut refusal = refused.map(|reason| AppendError::Refused { shard, reason: Arc::new(reason) });
        let mut records = 0;
        if let (None, false, Some(next)) =
            (&refusal, batch.records.is_empty(), queue.next_seqs.get_mut(usize::from(shard.0)))
        {
            if *next == batch.first_seq {
                *next += batch.records.len() as u64;
                // A batch within the reserve has far fewer records than 32 bits count.
                records = u32::try_from(batch.records.len()).unwrap_or(u32::MAX);
            } else {
                refusal = Some(AppendError::Fenced { shard, expected: *next, given: batch.first_seq });
            }
        }
        let encoded = if records == 0 { &[] } else { encoded };
        let limit = usize::try_from(self.options.frame_limit_bytes).unwrap_or(usize::MAX);
        queue.push(encoded, Entry { shard, records, refusal, is_awaited, done }, limit);
        let wake = queue.rouse();
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
    }
}

impl Journal for SegmentJournal {
    fn append(&self, batch: &Batch, done: Completion) {
        self.encode_and_enqueue(batch, true, done);
    }

    fn append_unawaited(&self, batch: &Batch, done: Completion) {
        self.encode_and_enqueue(batch, false, done);
    }

    fn writable(&self, _shard: ShardId) -> Result<(), Unwritable> {
        if self.shared.failure.get().is_some() {
            return Err(Unwritable::Poisoned);
        }
        if self.shared.spares.lacks_space() && self.shared.room() < self.options.reserve_bytes {
            return Err(Unwritable::NoSpace);
        }
        Ok(())
    }

    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(ReplayProgress) + Sync),
    ) -> Result<ReplaySummary, JournalError> {
        let _segments_stay = self.shared.catalog.retention.read();
        let begun = self.shared.catalog.begun();
        let until_lsn = self.shared.catalog.durable();
        let threads = replay::threads(self.options.replay_threads, self.identity.shards);
        Replay { disk: &*self.disk, begun: &begun, until_lsn, from, threads }.run(sink, progress)
    }

    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn Follower>, JournalError> {
        let segments = Segments::Catalog(Arc::clone(&self.shared.catalog));
        let shards = self.identity.shards.get();
        Ok(Box::new(SegmentFollower::begin(Arc::clone(&self.disk), segments, shards, from)?))
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        self.shared.queue.lock().next_seqs.get(usize::from(shard.0)).copied().unwrap_or(1)
    }

    fn retain_bytes(&self) -> Option<u64> {
        (self.options.retain_bytes > 0).then_some(self.options.retain_bytes)
    }

    fn purge_below(&self, floor: &BTreeMap<ShardId, u64>, keep_bytes: u64) -> Result<PurgeSummary, JournalError> {
        let _alone = self.shared.catalog.retention.write();
        let purged =
            purge::purge_below(&*self.disk, &self.shared.catalog, floor, keep_bytes, self.reader.lock().as_ref())?;
        self.shared.stats.count_purge(purged);
        Ok(purged)
    }

    fn retain_for(&self, reader: Arc<dyn HistoryReader>, limit_bytes: u64) {
        *self.reader.lock() = Some((reader, limit_bytes));
    }

    fn stats(&self) -> JournalStats {
        JournalStats { segments: self.shared.catalog.begun().len() as u64, ..self.shared.stats.read() }
    }
}

impl std::fmt::Debug for SegmentJournal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentJournal").field("disk", &self.disk).field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Drop for SegmentJournal {
    fn drop(&mut self) {
        self.shared.queue.lock().closing = true;
        self.shared.wake.notify_one();
        if self.writer.as_ref().is_some_and(|writer| writer.thread().id() == thread::current().id()) {
            // A completion held the last reference, so this *is* the writer. It goes on until the queue is empty, and
            // ends the preparer itself.
            return;
        }
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's writer panicked");
        }
        self.shared.spares.close();
        if self.preparer.take().is_some_and(|preparer| preparer.join().is_err()) {
            tracing::error!("the journal's preparer panicked");
        }
    }
}
