//! Reads the journal back, in parallel: one reader checks frames and splits records, workers decode and apply them.
//!
//! Invariant: a shard's records reach the sink in order, because a shard always has the same worker and each worker takes
//! its work in order. The first fault, from whatever thread, ends the replay and is its result.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use holdfast_core::{ShardCount, ShardId, planted};

use super::{
    JournalError, ReplayProgress, ReplaySummary,
    disk::Disk,
    record,
    scan::{Chunk, OpenSegment, Scan, Step},
    segment::{self, Header},
    survey::{Begun, check_continues, judge_end},
};
use crate::{codec::CodecError, record::Record};

/// Chunks a worker may be behind the reader.
const QUEUED_CHUNKS: usize = 8;

type Sink<'a> = &'a (dyn Fn(ShardId, u64, Record) + Sync);
type Progress<'a> = &'a (dyn Fn(ReplayProgress) + Sync);

/// What is to be replayed.
pub(super) struct Replay<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) begun: &'a [Arc<Header>],
    /// The number of the first record that is not durable.
    pub(super) until_lsn: u64,
    pub(super) from: &'a BTreeMap<ShardId, u64>,
    pub(super) threads: usize,
}

/// A chunk's records for one worker.
struct Work {
    chunk: Arc<Chunk>,
    path: Arc<PathBuf>,
    records: Vec<(ShardId, u64, Range<usize>)>,
}

/// Where records go.
enum Lanes<'a> {
    /// To workers; a shard always to the same one.
    Workers(Vec<SyncSender<Work>>),
    /// Nowhere: one worker is the reader itself, without a thread.
    Inline { sink: Sink<'a>, failure: &'a OnceLock<JournalError> },
}

impl Lanes<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Workers(lanes) => lanes.len(),
            Self::Inline { .. } => 1,
        }
    }

    fn send(&self, lane: usize, work: Work) {
        match self {
            // A worker that is gone has left its fault behind; the caller sees to it.
            Self::Workers(lanes) => drop(lanes[lane].send(work)),
            Self::Inline { sink, failure } => apply(work, sink, failure),
        }
    }
}

/// How many workers: as configured, or one per processor; never more than shards.
pub(super) fn threads(configured: usize, shards: ShardCount) -> usize {
    let wanted = if configured > 0 { configured } else { thread::available_parallelism().map_or(1, usize::from) };
    wanted.clamp(1, shards.get().into())
}

impl Replay<'_> {
    pub(super) fn run(&self, sink: Sink<'_>, progress: Progress<'_>) -> Result<ReplaySummary, JournalError> {
        self.refuse_purged()?;
        let failure = OnceLock::new();
        if self.threads == 1 {
            let lanes = Lanes::Inline { sink, failure: &failure };
            let summary = self.read_all(&lanes, &failure, progress);
            return failure.into_inner().map_or(summary, Err);
        }
        let summary = thread::scope(|scope| {
            let lanes: Vec<_> = (0..self.threads)
                .map(|_| {
                    let (lane, work) = sync_channel(QUEUED_CHUNKS);
                    let failure = &failure;
                    scope.spawn(move || apply_all(&work, sink, failure));
                    lane
                })
                .collect();
            self.read_all(&Lanes::Workers(lanes), &failure, progress)
        });
        // A worker's fault ends the reader early, without a fault of its own.
        match failure.into_inner() {
            Some(error) => Err(error),
            None => summary,
        }
    }

    fn from(&self, shard: ShardId) -> u64 {
        self.from.get(&shard).copied().unwrap_or(1)
    }

    fn refuse_purged(&self) -> Result<(), JournalError> {
        let Some(first) = self.begun.first() else { return Ok(()) };
        for (shard, &first) in (0..).map(ShardId).zip(&first.next_seqs) {
            let from = self.from(shard).max(1);
            if from < first {
                return Err(JournalError::Purged { shard, from, first });
            }
        }
        Ok(())
    }

    /// The index of the first segment that is not wholly below what is wanted.
    fn first_wanted(&self) -> usize {
        let below = |next: &Arc<Header>| {
            (0..).map(ShardId).zip(&next.next_seqs).all(|(shard, &next_seq)| next_seq <= self.from(shard))
        };
        self.begun.iter().skip(1).take_while(|next| below(next)).count()
    }

    fn open(&self, header: &Header) -> Result<Begun, JournalError> {
        let name = segment::file_name(header.generation);
        let path = self.disk.path(&name);
        let opened = self.disk.open(&name).and_then(|file| Ok((file.bytes()?, file)));
        match opened {
            Ok((file_bytes, file)) => {
                Ok(Begun { segment: OpenSegment { file, path, file_bytes }, header: header.clone() })
            }
            Err(source) => Err(JournalError::Io { action: "open", path, source }),
        }
    }

    fn read_all(
        &self,
        lanes: &Lanes<'_>,
        failure: &OnceLock<JournalError>,
        progress: Progress<'_>,
    ) -> Result<ReplaySummary, JournalError> {
        let wanted = &self.begun[self.first_wanted()..];
        let segments = wanted.iter().map(|header| self.open(header)).collect::<Result<Vec<_>, _>>()?;
        let mut reader = Reader {
            replay: self,
            lanes,
            progress,
            summary: ReplaySummary::default(),
            done_bytes: 0,
            total_bytes: segments.iter().map(|begun| begun.segment.file_bytes).sum(),
        };
        let mut end: Option<(u64, Vec<u64>)> = None;
        for (index, begun) in segments.iter().enumerate() {
            if let Some((next_lsn, next_seqs)) = &end {
                check_continues(begun, *next_lsn, next_seqs)?;
            }
            let mut scan = Scan::new(begun.segment.clone(), &begun.header);
            let next = segments.get(index + 1);
            if !reader.read_segment(&mut scan, next, failure)? {
                break;
            }
            reader.end_segment(&begun.segment);
            end = Some((scan.next_lsn, scan.next_seqs));
        }
        Ok(reader.summary)
    }
}

/// The reading side of a replay.
struct Reader<'a> {
    replay: &'a Replay<'a>,
    lanes: &'a Lanes<'a>,
    progress: Progress<'a>,
    summary: ReplaySummary,
    /// Bytes of the segments that are done with.
    done_bytes: u64,
    total_bytes: u64,
}

impl Reader<'_> {
    /// Reads one segment up to the next one or the durable end. `false` when a worker has failed.
    fn read_segment(
        &mut self,
        scan: &mut Scan,
        next: Option<&Begun>,
        failure: &OnceLock<JournalError>,
    ) -> Result<bool, JournalError> {
        let until = next.map_or(self.replay.until_lsn, |next| next.header.first_lsn);
        let path = Arc::new(scan.segment.path.clone());
        scan.until_lsn = until;
        while scan.next_lsn < until {
            match scan.next()? {
                Step::Chunk(chunk) => self.hand_out(scan, chunk, &path)?,
                Step::End(reason) => {
                    judge_end(scan, reason, next)?;
                    let next_lsn = until;
                    return Err(scan.segment.damaged(scan.offset, super::Damage::FrameMissing { next_lsn }));
                }
            }
            if failure.get().is_some() {
                return Ok(false);
            }
            self.summary.bytes = self.done_bytes + scan.offset;
            self.report();
        }
        Ok(true)
    }

    fn hand_out(&mut self, scan: &mut Scan, chunk: Chunk, path: &Arc<PathBuf>) -> Result<(), JournalError> {
        let expected = chunk.frames.iter().map(|frame| frame.count as usize).sum::<usize>() / self.lanes.count();
        let mut records: Vec<_> = (0..self.lanes.count()).map(|_| Vec::with_capacity(expected)).collect();
        let (mut wanted, mut skipped) = (0, 0);
        scan.split(&chunk, |shard, seq, range| {
            if seq < self.replay.from(shard) {
                skipped += 1;
            } else {
                wanted += 1;
                records[usize::from(shard.0) % self.lanes.count()].push((shard, seq, range));
            }
        })?;
        if planted!(ReplayOutOfOrder) {
            for records in &mut records {
                records.reverse();
            }
        }
        self.summary.records += wanted;
        self.summary.skipped += skipped;
        let chunk = Arc::new(chunk);
        for (lane, records) in records.into_iter().enumerate() {
            self.lanes.send(lane, Work { chunk: Arc::clone(&chunk), path: Arc::clone(path), records });
        }
        Ok(())
    }

    fn end_segment(&mut self, segment: &OpenSegment) {
        self.summary.segments += 1;
        // What lies behind the last frame need not be read, but it counts as done.
        self.done_bytes += segment.file_bytes;
        self.summary.bytes = self.done_bytes;
        self.report();
    }

    fn report(&self) {
        let ReplaySummary { records, skipped, bytes, .. } = self.summary;
        (self.progress)(ReplayProgress { records: records + skipped, bytes, total_bytes: self.total_bytes });
    }
}

fn apply_all(work: &Receiver<Work>, sink: Sink<'_>, failure: &OnceLock<JournalError>) {
    for work in work {
        apply(work, sink, failure);
        if failure.get().is_some() {
            return;
        }
    }
}

fn apply(work: Work, sink: Sink<'_>, failure: &OnceLock<JournalError>) {
    let Work { chunk, path, records } = work;
    for (shard, seq, range) in records {
        let offset = chunk.offset + range.start as u64;
        let decoded = record::parse(&chunk.bytes[range]).ok_or(CodecError::CutShort).and_then(|raw| raw.decode());
        match decoded {
            Ok(record) => sink(shard, seq, record),
            Err(source) => {
                // Another worker's fault may have come first; one is enough.
                let _ = failure.set(JournalError::Record { path: path.to_path_buf(), offset, source });
                return;
            }
        }
    }
}
