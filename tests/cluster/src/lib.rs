//! Servers, a deployment on them, and nodes that open its journal: what the tests of the journal in NATS begin with.
//!
//! Invariant: a writer notes every outcome it was told, so that what is in the streams can be held against it.
#![forbid(unsafe_code)]

pub mod audit;
pub mod campaign;
pub mod crowd;
pub mod detour;
pub mod doors;
pub mod faults;
pub mod house;
pub mod keeper;
pub mod live;
pub mod nodes;
pub mod operators;
pub mod outages;
pub mod pulse;
pub mod reckoning;
pub mod stage;
pub mod upheavals;
pub mod world;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use holdfast_cluster::{JetStream, JetStreamJournal, NatsError, NatsSettings};
use holdfast_core::{EntityId, Event, Quantity, ShardCount, ShardId, SkuId, Timestamp, stock::StockEvent};
use holdfast_persistence::{AppendError, Batch, Journal, JournalElsewhere, Record, StoreId, journal::JournalOptions};

/// The store of every test.
pub const STORE: StoreId = StoreId::from_bytes(*b"a store of tests");
/// How long anything may take before something is wrong, on however slow a machine.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// So many shards.
///
/// # Errors
/// When there cannot be so many.
pub fn shards(count: u16) -> anyhow::Result<ShardCount> {
    ShardCount::new(count).map_err(|_| anyhow::anyhow!("{count} shards"))
}

/// Settings for tests: short waits, as the servers are near.
pub fn settings(url: &str, replicas: usize) -> NatsSettings {
    NatsSettings {
        url: url.to_owned(),
        replicas,
        attempt_timeout_ms: 1_000,
        unreachable_after_ms: 500,
        watch_interval_ms: 100,
        start_deadline_ms: 60_000,
        ..NatsSettings::default()
    }
}

/// A node's journal, every shard taken over.
///
/// # Errors
/// [`NatsError`].
pub fn open(settings: &NatsSettings, count: ShardCount) -> Result<Arc<JetStreamJournal>, NatsError> {
    open_as(settings, count, STORE).map(|(journal, _)| journal)
}

/// The same of any store, with what was found.
///
/// # Errors
/// [`NatsError`].
pub fn open_as(
    settings: &NatsSettings,
    count: ShardCount,
    store: StoreId,
) -> Result<(Arc<JetStreamJournal>, JournalElsewhere), NatsError> {
    let options = JournalOptions::default();
    JetStream::connect(settings, &options)?.open(store, count, &options)
}

/// The record that is number `seq` of its shard, if `mark` wrote it.
///
/// # Errors
/// When there is no such record.
pub fn record(seq: u64, mark: u64) -> anyhow::Result<Record> {
    let sku = SkuId::parse("HEADPHONES-01.black").map_err(|error| anyhow::anyhow!("{error}"))?;
    let quantity = Quantity::new(i64::try_from(mark)? + 1).map_err(|error| anyhow::anyhow!("{error}"))?;
    let at = Timestamp::from_millis(i64::try_from(seq)?);
    Ok(Record {
        entity: EntityId::Stock(sku),
        version: seq,
        at,
        event: Event::Stock(StockEvent::Received { quantity }),
    })
}

/// Who wrote a record.
pub fn mark_of(record: &Record) -> u64 {
    match &record.event {
        Event::Stock(StockEvent::Received { quantity }) => u64::from(quantity.get()) - 1,
        _ => u64::MAX,
    }
}

/// A batch of `count` records behind `first_seq`.
///
/// # Errors
/// When there are no such records.
pub fn batch(shard: ShardId, first_seq: u64, count: u64, mark: u64) -> anyhow::Result<Batch> {
    let records = (first_seq..first_seq + count).map(|seq| record(seq, mark)).collect::<anyhow::Result<_>>()?;
    Ok(Batch { shard, first_seq, records })
}

/// Appends and waits for the outcome.
///
/// # Errors
/// When no outcome is told.
pub fn append(journal: &dyn Journal, shard: u16, count: u64, mark: u64) -> anyhow::Result<Result<(), AppendError>> {
    let (told, outcome) = mpsc::channel();
    let batch = batch(ShardId(shard), journal.next_seq(ShardId(shard)), count, mark)?;
    journal.append(&batch, Box::new(move |result| drop(told.send(result))));
    Ok(outcome.recv_timeout(PATIENCE)?)
}

/// Every record of every shard, from `from` on: sequence number and who wrote it, in the order given.
///
/// # Errors
/// When the replay fails.
pub fn replay(journal: &dyn Journal, count: ShardCount, from: u64) -> anyhow::Result<BTreeMap<u16, Vec<(u64, u64)>>> {
    let seen = Mutex::new(BTreeMap::<u16, Vec<(u64, u64)>>::new());
    let sink = |shard: ShardId, seq, record: Record| {
        let mark = mark_of(&record);
        if let Ok(mut seen) = seen.lock() {
            seen.entry(shard.0).or_default().push((seq, mark));
        }
    };
    journal.replay(&count.iter().map(|shard| (shard, from)).collect(), &sink, &|_| {})?;
    seen.into_inner().map_err(|_| anyhow::anyhow!("a sink panicked"))
}

/// What one writer was told: per shard, how many records were durable; and what went wrong.
#[derive(Debug, Default)]
pub struct Told {
    durable: Vec<AtomicU64>,
    /// Completions that said that their batch is not durable.
    pub refused: AtomicU64,
    /// Completions that came out of order.
    pub disordered: AtomicU64,
    /// Batches handed over.
    pub appended: AtomicU64,
    /// Completions that ran.
    pub completed: AtomicU64,
}

/// Appends to every shard until it is stopped, some batches on their way at once.
pub struct Writer {
    /// What it was told so far.
    pub told: Arc<Told>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Begins, with records of `mark` in batches of `size`.
    pub fn start(journal: &Arc<JetStreamJournal>, count: ShardCount, size: u64, mark: u64) -> Self {
        let durable = count.iter().map(|shard| AtomicU64::new(journal.next_seq(shard) - 1)).collect();
        let told = Arc::new(Told { durable, ..Told::default() });
        let stop = Arc::new(AtomicBool::new(false));
        let (noted, stopped, journal) = (Arc::clone(&told), Arc::clone(&stop), Arc::clone(journal));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && noted.refused.load(Ordering::Relaxed) == 0 {
                for shard in count.iter() {
                    noted.append(&journal, shard, size, mark);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { told, stop, thread: Some(thread) }
    }

    /// Stops, and waits until every completion ran.
    ///
    /// # Errors
    /// When one never does.
    pub fn finish(mut self) -> anyhow::Result<Arc<Told>> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow::anyhow!("a writer panicked"))?;
        }
        wait_for("every completion", || {
            self.told.completed.load(Ordering::SeqCst) == self.told.appended.load(Ordering::SeqCst)
        })?;
        Ok(Arc::clone(&self.told))
    }
}

impl Told {
    /// The last durable record of a shard.
    pub fn durable(&self, shard: u16) -> u64 {
        self.durable.get(usize::from(shard)).map_or(0, |durable| durable.load(Ordering::SeqCst))
    }

    /// Records that are durable, over all shards.
    pub fn total(&self) -> u64 {
        self.durable.iter().map(|durable| durable.load(Ordering::SeqCst)).sum()
    }

    fn append(self: &Arc<Self>, journal: &JetStreamJournal, shard: ShardId, size: u64, mark: u64) {
        let in_flight = self.appended.load(Ordering::SeqCst) - self.completed.load(Ordering::SeqCst);
        // As admission does: what may wait has a bound.
        if in_flight > 64 {
            return;
        }
        let first_seq = journal.next_seq(shard);
        let Ok(batch) = batch(shard, first_seq, size, mark) else { return };
        let told = Arc::clone(self);
        self.appended.fetch_add(1, Ordering::SeqCst);
        journal.append(
            &batch,
            Box::new(move |outcome| {
                match outcome {
                    Ok(()) => told.note(shard, first_seq, size),
                    Err(_) => drop(told.refused.fetch_add(1, Ordering::SeqCst)),
                }
                told.completed.fetch_add(1, Ordering::SeqCst);
            }),
        );
    }

    fn note(&self, shard: ShardId, first_seq: u64, size: u64) {
        let Some(durable) = self.durable.get(usize::from(shard.0)) else { return };
        if durable.swap(first_seq + size - 1, Ordering::SeqCst) != first_seq - 1 {
            self.disordered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Waits until something is so.
///
/// # Errors
/// When it is not in time.
pub fn wait_for(what: &str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    for _ in 0..PATIENCE.as_millis() / 10 {
        if is_so() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("{what} did not happen within {PATIENCE:?}")
}
