//! Replay: every shard's stream from where the snapshots end, several shards at a time.
//!
//! Invariant: what is given is what was durable when the replay began, in order per shard, each record once.

use std::{
    collections::BTreeMap,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
};

use holdfast_core::ShardId;
use holdfast_persistence::{JournalError, Record, ReplayProgress, ReplaySummary, journal::MessageDamage};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{
    blocking,
    log::ShardLog,
    reader::{StreamReader, wanted},
    shared::Shared,
};

type Sink<'a> = &'a (dyn Fn(ShardId, u64, Record) + Sync);
type Progress<'a> = &'a (dyn Fn(ReplayProgress) + Sync);

/// Gives every durable record from `from` on. Blocking.
pub(super) fn replay(
    shared: &Shared,
    handle: &Handle,
    threads: usize,
    from: &BTreeMap<ShardId, u64>,
    sink: Sink<'_>,
    progress: Progress<'_>,
) -> Result<ReplaySummary, JournalError> {
    let all: Vec<_> = shared.shards.iter().filter(|log| wanted(from, log.shard) < log.end().next_seq).collect();
    let total_bytes = blocking::wait(handle, total_bytes(shared, &all));
    let run = Run {
        shared,
        sink,
        progress,
        total_bytes,
        records: AtomicU64::new(0),
        skipped: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    };
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some(log) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let replayed = blocking::wait(handle, run.shard(log, wanted(from, log.shard)));
            if let Err(error) = replayed {
                failure.lock().get_or_insert(error);
                next.store(all.len(), Ordering::Relaxed);
            }
        }
    };
    let threads = if threads == 0 { thread::available_parallelism().map_or(1, NonZero::get) } else { threads };
    thread::scope(|scope| {
        for _ in 1..threads.min(all.len()) {
            scope.spawn(work);
        }
        work();
    });
    failure.into_inner().map_or(Ok(()), Err)?;
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (records, skipped, bytes) = (read(&run.records), read(&run.skipped), read(&run.bytes));
    Ok(ReplaySummary { records, skipped, bytes, segments: all.len() as u64 })
}

/// One replay under way.
struct Run<'a> {
    shared: &'a Shared,
    sink: Sink<'a>,
    progress: Progress<'a>,
    total_bytes: u64,
    records: AtomicU64,
    skipped: AtomicU64,
    bytes: AtomicU64,
}

impl Run<'_> {
    async fn shard(&self, log: &ShardLog, from: u64) -> Result<(), JournalError> {
        let until = log.end().message;
        let mut reader = StreamReader::begin(self.shared, log, from).await?;
        while reader.next_message() <= until {
            let payload = reader.read(self.shared, log, until).await?;
            self.give(log, from, reader.next_message() - 1, &payload)?;
        }
        Ok(())
    }

    fn give(&self, log: &ShardLog, from: u64, sequence: u64, payload: &[u8]) -> Result<(), JournalError> {
        let damaged = |source| JournalError::Message { log: log.stream.clone(), sequence, source };
        let message = self.shared.format.read(log.shard, payload).map_err(damaged)?;
        let (mut records, mut skipped) = (0, 0);
        for (seq, record) in message.records() {
            if seq < from {
                skipped += 1;
                continue;
            }
            records += 1;
            (self.sink)(log.shard, seq, record.map_err(MessageDamage::from).map_err(damaged)?);
        }
        let bytes = self.bytes.fetch_add(payload.len() as u64, Ordering::Relaxed) + payload.len() as u64;
        let skipped = self.skipped.fetch_add(skipped, Ordering::Relaxed) + skipped;
        let records = self.records.fetch_add(records, Ordering::Relaxed) + records + skipped;
        // What the streams take includes headers, which are not read.
        (self.progress)(ReplayProgress { records, bytes, total_bytes: self.total_bytes.max(bytes) });
        Ok(())
    }
}

/// For the progress alone: what cannot be told now counts as nothing.
async fn total_bytes(shared: &Shared, all: &[&Arc<ShardLog>]) -> u64 {
    let mut total = 0;
    for log in all {
        let info = shared.requests.stream(&log.stream).await.ok().flatten();
        total += info.map_or(0, |info| info.state.bytes);
    }
    total
}
