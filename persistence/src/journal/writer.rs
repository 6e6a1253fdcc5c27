//! The one thread that writes: takes everything that is queued, and per frame writes once, syncs once, then tells.
//!
//! Invariants: at most one frame is written and not synced at any time (recovery relies on it); no completion hears `Ok`
//! before the sync that covers it returned; after the first fault nothing is written and nothing is retried, every batch
//! hears the same error, in order.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use holdfast_core::planted;

use super::{
    AppendError, JournalError,
    disk::Disk,
    frame::{self, Place, Seed},
    gathering::Gathering,
    prepare::{Identity, Preparer, Spare},
    queue::PendingFrame,
    recovery::Active,
    segment::{self, Header},
    shared::Shared,
};

/// The writer's own state.
pub(super) struct Writer {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    pub(super) active: Option<Active>,
    pub(super) next_lsn: u64,
    pub(super) next_seqs: Vec<u64>,
    /// Who makes a spare in the writer's own thread, when there is no other.
    pub(super) inline: Option<Arc<Preparer>>,
    /// How many batches a frame is to be worth waiting for.
    pub(super) gathering: Gathering,
    pub(super) meters: Meters,
}

/// A frame that is on its way: in a segment and not synced, or with nothing to write. The fault otherwise.
pub(super) type Written = Result<Option<Active>, Arc<JournalError>>;
/// Whether a frame is durable.
pub(super) type Synced = Result<(), Arc<JournalError>>;

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut frames = Vec::new();
        while self.take(&mut frames) {
            for frame in &mut frames {
                let written = self.write(frame);
                let synced = self.sync(frame, written);
                self.tell(frame, &synced);
            }
        }
        self.shared.spares.close();
    }

    /// Waits for frames. `false` when there will be no more.
    fn take(&mut self, frames: &mut Vec<PendingFrame>) -> bool {
        let mut queue = self.shared.queue.lock();
        if let Some((shards, time)) = self.gathering.wait()
            && queue.shards() < shards
            && !queue.closing
        {
            queue.sleep_until(shards);
            self.shared.wake.wait_for(&mut queue, time);
        }
        while queue.batches() == 0 {
            if queue.closing {
                return false;
            }
            queue.sleep_until(1);
            self.shared.wake.wait(&mut queue);
        }
        self.gathering.note(queue.shards(), queue.awaited_shards());
        queue.swap(frames);
        true
    }

    /// The first of three steps to a durable frame: writes it.
    pub(super) fn write(&mut self, frame: &mut PendingFrame) -> Written {
        match self.shared.failure.get() {
            Some(failure) => Err(Arc::clone(failure)),
            None if frame.records == 0 => Ok(None),
            None => self.put(frame).map(Some).map_err(|error| self.shared.fail(error)),
        }
    }

    /// The second: syncs it.
    pub(super) fn sync(&mut self, frame: &PendingFrame, written: Written) -> Synced {
        let Some(active) = written? else { return Ok(()) };
        let mut synced = if planted!(AckBeforeSync) { Ok(()) } else { self.meters.time(|| active.file.sync_data()) };
        synced = if planted!(SyncErrorSwallowed) { Ok(()) } else { synced };
        synced = synced.or_else(|error| if planted!(SyncRetried) { active.file.sync_data() } else { Err(error) });
        synced.map_err(|source| self.shared.fail(self.fault("sync", active.generation, source)))?;
        self.advance(frame, active);
        Ok(())
    }

    /// The third: tells everyone whose batch is in it.
    pub(super) fn tell(&self, frame: &mut PendingFrame, synced: &Synced) {
        if synced.is_ok() {
            self.shared.stats.count_batches(frame.entries.iter().filter(|entry| entry.records > 0).count());
        }
        for entry in frame.entries.drain(..) {
            let outcome = match (synced, entry.refusal) {
                (Err(failure), _) => Err(AppendError::Failed(Arc::clone(failure))),
                (Ok(()), Some(refusal)) => Err(refusal),
                (Ok(()), None) => Ok(()),
            };
            // A completion that panics is its owner's bug; the others must still hear.
            if catch_unwind(AssertUnwindSafe(|| (entry.done)(outcome))).is_err() {
                tracing::error!(shard = entry.shard.0, "a journal completion panicked");
            }
        }
    }

    /// Puts a frame into the segment it fits in, which is given back: on an error there is no writing after that.
    fn put(&mut self, frame: &mut PendingFrame) -> Result<Active, JournalError> {
        let bytes = frame.bytes.len() as u64;
        let active = match self.active.take() {
            Some(active) if active.offset + bytes <= active.capacity => active,
            full => self.begin_next(full)?,
        };
        let place = Place { generation: active.generation, first_lsn: self.next_lsn, count: frame.records };
        frame::seal(&mut frame.bytes, Seed::of_store(self.identity.store), place);
        active
            .file
            .write_at(&frame.bytes, active.offset)
            .map_err(|source| self.fault("write", place.generation, source))?;
        Ok(active)
    }

    /// The frame is durable: the next one goes behind it.
    fn advance(&mut self, frame: &PendingFrame, mut active: Active) {
        let bytes = frame.bytes.len() as u64;
        active.offset += bytes;
        self.next_lsn += u64::from(frame.records);
        for entry in &frame.entries {
            if let Some(next_seq) = self.next_seqs.get_mut(usize::from(entry.shard.0)) {
                *next_seq += u64::from(entry.records);
            }
        }
        self.shared.set_room(active.capacity - active.offset);
        self.shared.catalog.set_durable(self.next_lsn);
        self.shared.stats.count_frame(frame.records, bytes);
        self.active = Some(active);
        self.meters.count(frame.records, bytes);
    }

    fn fault(&self, action: &'static str, generation: u64, source: io::Error) -> JournalError {
        JournalError::Io { action, path: self.disk.path(&segment::file_name(generation)), source }
    }

    /// Begins the next segment: its header says where it goes on, and is durable before any frame is in it.
    fn begin_next(&self, full: Option<Active>) -> Result<Active, JournalError> {
        let Some(spare) = self.shared.spares.take(self.inline.as_deref()) else {
            let generation = full.map_or(1, |full| full.generation);
            return Err(JournalError::NoSpace { path: self.disk.path(&segment::file_name(generation)) });
        };
        let header = Header {
            store: self.identity.store,
            generation: spare.generation,
            first_lsn: self.next_lsn,
            next_seqs: self.next_seqs.clone(),
        };
        let fault = |action| move |source| self.fault(action, spare.generation, source);
        spare.file.write_at(&header.encode(), 0).map_err(fault("write"))?;
        spare.file.sync_data().map_err(fault("sync"))?;
        self.shared.stats.count_sync();
        self.shared.spares.begun();
        let offset = header.bytes() as u64;
        self.shared.catalog.begin(header);
        let Spare { file, generation, capacity } = spare;
        Ok(Active { file, generation, offset, capacity })
    }
}

/// The journal's metrics, by name. Taken once: a recorder must be installed before the journal is opened.
pub(super) struct Meters {
    batch_records: metrics::Histogram,
    sync_seconds: metrics::Histogram,
    records: metrics::Counter,
    bytes: metrics::Counter,
    syncs: metrics::Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        Self {
            batch_records: metrics::histogram!("holdfast_journal_batch_records"),
            sync_seconds: metrics::histogram!("holdfast_journal_sync_seconds"),
            records: metrics::counter!("holdfast_journal_records_total"),
            bytes: metrics::counter!("holdfast_journal_bytes_total"),
            syncs: metrics::counter!("holdfast_journal_syncs_total"),
        }
    }

    fn time<T>(&self, sync: impl FnOnce() -> T) -> T {
        #[expect(clippy::disallowed_methods, reason = "measures the device; nothing is decided by it")]
        let begun = std::time::Instant::now();
        let result = sync();
        let took: Duration = begun.elapsed();
        self.sync_seconds.record(took.as_secs_f64());
        result
    }

    fn count(&self, records: u32, bytes: u64) {
        self.batch_records.record(f64::from(records));
        self.records.increment(records.into());
        self.bytes.increment(bytes);
        self.syncs.increment(1);
    }
}
