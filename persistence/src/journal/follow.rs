//! A reader behind the writer: gives durable records in journal order, from a position on, and waits for more.
//!
//! Invariants: a record is given only after its sync returned; records come in the order in which they became durable, each
//! once; the writer never waits for a follower, whether it is slow, stopped or gone. Memory is bounded by one chunk and by
//! what the caller asks for at a time.
//!
//! A follower reads the segment files through the page cache. It may fall behind by any amount: what it has not read yet is
//! the journal itself. If what it needs was purged, it says so instead of skipping it.

use std::{collections::BTreeMap, collections::VecDeque, fmt, ops::Range, sync::Arc, time::Duration};

use holdfast_core::ShardId;

use super::{
    JournalError,
    catalog::Catalog,
    disk::Disk,
    record,
    scan::{Chunk, OpenSegment, Scan, Step},
    segment::{self, Header},
    survey::{judge_end, list},
};
use crate::{codec::CodecError, record::Record};

/// One durable record with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Whose it is.
    pub shard: ShardId,
    /// Its sequence number within the shard.
    pub seq: u64,
    /// The fact.
    pub record: Record,
}

/// How much a follower gives at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowLimit {
    /// At most so many records.
    pub records: usize,
    /// No further record once their encoded size comes to so many bytes.
    pub bytes: usize,
}

/// A reader behind a journal's writer.
pub trait Follower: Send {
    /// The next durable records in journal order, in order per shard without a gap. Waits at most `wait` for the first;
    /// none when there was none by then. Blocking.
    ///
    /// # Errors
    /// [`JournalError::Purged`] when what comes next is gone; any damage or unreadable record, by file and offset. The
    /// position stays before it.
    fn next(&mut self, limit: FollowLimit, wait: Duration) -> Result<Vec<Followed>, JournalError>;

    /// How many durable records lie behind the last one given.
    fn behind(&self) -> u64;
}

/// Where the segments are known from.
pub(super) enum Segments {
    /// From the running journal: durable up to where it says.
    Catalog(Arc<Catalog>),
    /// From the folder alone, up to before this record number, which is known to be durable.
    Folder { until_lsn: u64 },
}

impl Segments {
    fn until_lsn(&self) -> u64 {
        match self {
            Self::Catalog(catalog) => catalog.durable(),
            Self::Folder { until_lsn } => *until_lsn,
        }
    }

    fn begun(&self, disk: &dyn Disk) -> Result<Vec<Arc<Header>>, JournalError> {
        match self {
            Self::Catalog(catalog) => Ok(catalog.begun()),
            Self::Folder { .. } => {
                let headers = list(disk)?.into_iter().filter_map(|listed| listed.header.ok());
                Ok(headers.filter(|header| !header.is_spare()).map(Arc::new).collect())
            }
        }
    }

    /// Who keeps segments from being purged while one is looked for and opened.
    fn retention(&self) -> Option<Arc<Catalog>> {
        match self {
            Self::Catalog(catalog) => Some(Arc::clone(catalog)),
            Self::Folder { .. } => None,
        }
    }

    fn wait(&self, next_lsn: u64, wait: Duration) {
        match self {
            Self::Catalog(catalog) => catalog.wait_beyond(next_lsn, wait),
            Self::Folder { .. } => std::thread::sleep(wait),
        }
    }
}

/// A follower of segment files.
pub(super) struct SegmentFollower {
    disk: Arc<dyn Disk>,
    segments: Segments,
    /// Per shard, the sequence number of the next record to give.
    from: Vec<u64>,
    open: Option<(u64, Scan)>,
    chunk: Option<Pending>,
}

/// What was read and not given yet.
struct Pending {
    chunk: Chunk,
    records: VecDeque<(ShardId, u64, Range<usize>)>,
}

impl SegmentFollower {
    /// Begins at `from[shard]` (1 when a shard is not named) of every one of `shards` shards.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        segments: Segments,
        shards: u16,
        from: &BTreeMap<ShardId, u64>,
    ) -> Result<Self, JournalError> {
        let from = (0..shards).map(|shard| from.get(&ShardId(shard)).copied().unwrap_or(1).max(1)).collect();
        let mut follower = Self { disk, segments, from, open: None, chunk: None };
        follower.open_first()?;
        Ok(follower)
    }

    /// The number of the next record to read. Before a segment is open: at least as many records as were given lie before.
    fn next_lsn(&self) -> u64 {
        self.open.as_ref().map_or_else(|| self.given() + 1, |(_, scan)| scan.next_lsn)
    }

    /// How many records lie before the position, over all shards.
    fn given(&self) -> u64 {
        self.from.iter().map(|from| from - 1).sum()
    }

    /// Opens the segment that the next wanted record is in. `false` when nothing was written yet.
    fn open_first(&mut self) -> Result<bool, JournalError> {
        let retention = self.segments.retention();
        let _segments_stay = retention.as_ref().map(|catalog| catalog.retention.read());
        let begun = self.segments.begun(&*self.disk)?;
        let Some(first) = begun.first() else { return Ok(false) };
        self.refuse_purged(first)?;
        let below = |next: &&Arc<Header>| next.next_seqs.iter().zip(&self.from).all(|(next, from)| next <= from);
        let header = begun.iter().skip(1).take_while(below).last().unwrap_or(first);
        self.open = Some((header.generation, self.scan(header)?));
        Ok(true)
    }

    /// Goes on to the next segment if the record that is due is in it. Otherwise says where that one begins.
    fn advance(&mut self, generation: u64, next_lsn: u64) -> Result<Next, JournalError> {
        let retention = self.segments.retention();
        let _segments_stay = retention.as_ref().map(|catalog| catalog.retention.read());
        let begun = self.segments.begun(&*self.disk)?;
        if begun.first().is_some_and(|first| first.generation > generation + 1) {
            return Ok(Next::Purged);
        }
        match begun.iter().find(|header| header.generation == generation + 1) {
            Some(next) if next.first_lsn <= next_lsn => {
                let scan = self.scan(next)?;
                self.open = Some((next.generation, scan));
                Ok(Next::Entered)
            }
            Some(next) => Ok(Next::Begins(next.first_lsn)),
            None => Ok(Next::Begins(u64::MAX)),
        }
    }

    fn scan(&self, header: &Header) -> Result<Scan, JournalError> {
        let name = segment::file_name(header.generation);
        let path = self.disk.path(&name);
        match self.disk.open(&name).and_then(|file| Ok((file.bytes()?, file))) {
            Ok((file_bytes, file)) => Ok(Scan::new(OpenSegment { file, path, file_bytes }, header)),
            Err(source) => Err(JournalError::Io { action: "open", path, source }),
        }
    }

    fn refuse_purged(&self, first: &Header) -> Result<(), JournalError> {
        for (shard, (&first, &from)) in (0..).map(ShardId).zip(first.next_seqs.iter().zip(&self.from)) {
            if from < first {
                return Err(JournalError::Purged { shard, from, first });
            }
        }
        Ok(())
    }

    /// Reads the next chunk. `false` when there is nothing durable to read.
    fn fill(&mut self) -> Result<bool, JournalError> {
        loop {
            let until = self.segments.until_lsn();
            if matches!(self.segments, Segments::Folder { .. }) && self.given() + 1 >= until {
                return Ok(false);
            }
            let Some((generation, scan)) = &self.open else {
                if !self.open_first()? {
                    return Ok(false);
                }
                continue;
            };
            let (generation, next_lsn) = (*generation, scan.next_lsn);
            if next_lsn >= until {
                return Ok(false);
            }
            let ends = match self.advance(generation, next_lsn)? {
                Next::Entered => continue,
                Next::Purged => {
                    self.open = None;
                    continue;
                }
                Next::Begins(lsn) => lsn,
            };
            return self.read(until.min(ends));
        }
    }

    /// Reads one chunk of the open segment, up to before `until_lsn`.
    fn read(&mut self, until_lsn: u64) -> Result<bool, JournalError> {
        let Some((_, scan)) = &mut self.open else { return Ok(false) };
        scan.until_lsn = until_lsn;
        let chunk = match (scan.next()?, &self.segments) {
            (Step::Chunk(chunk), _) => chunk,
            // A frame that is being written: its end is on the way.
            (Step::End(_), Segments::Folder { .. }) => return Ok(false),
            (Step::End(reason), Segments::Catalog(_)) => {
                judge_end(scan, reason, None)?;
                return Err(scan.segment.damaged(scan.offset, super::Damage::FrameMissing { next_lsn: until_lsn }));
            }
        };
        let mut records = VecDeque::new();
        // A frame may reach beyond what is known to be durable when only the folder is known.
        let mut lsn = chunk.frames.first().map_or(0, |frame| frame.first_lsn);
        scan.split(&chunk, |shard, seq, range| {
            if seq >= self.from[usize::from(shard.0)] && lsn < until_lsn {
                records.push_back((shard, seq, range));
            }
            lsn += 1;
        })?;
        if lsn > until_lsn {
            // The rest of that frame is read again once it may be given.
            self.open = None;
        }
        self.chunk = Some(Pending { chunk, records });
        Ok(true)
    }

    /// Moves records out of the chunk that was read.
    fn drain(&mut self, limit: FollowLimit, taken: &mut usize, out: &mut Vec<Followed>) -> Result<(), JournalError> {
        let Some(pending) = &mut self.chunk else { return Ok(()) };
        while out.len() < limit.records && *taken < limit.bytes {
            let Some((shard, seq, range)) = pending.records.front().cloned() else {
                self.chunk = None;
                return Ok(());
            };
            let bytes = &pending.chunk.bytes[range.clone()];
            let decoded = record::parse(bytes).ok_or(CodecError::CutShort).and_then(|raw| raw.decode());
            let record = decoded.map_err(|source| {
                let path = self.open.as_ref().map(|(_, scan)| scan.segment.path.clone()).unwrap_or_default();
                JournalError::Record { path, offset: pending.chunk.offset + range.start as u64, source }
            })?;
            *taken += bytes.len();
            self.from[usize::from(shard.0)] = seq + 1;
            pending.records.pop_front();
            out.push(Followed { shard, seq, record });
        }
        Ok(())
    }
}

/// A follower of a journal folder that another process may be writing: it gives only what it is allowed to.
#[derive(Debug)]
pub struct FolderFollower(pub(super) SegmentFollower);

impl FolderFollower {
    /// Lets it go on up to before record number `until_lsn`, counted from 1 over all shards. The caller knows from elsewhere
    /// that everything before is durable: the files alone do not say.
    pub fn allow(&mut self, until_lsn: u64) {
        if let Segments::Folder { until_lsn: until } = &mut self.0.segments {
            *until = until_lsn;
        }
    }
}

impl Follower for FolderFollower {
    fn next(&mut self, limit: FollowLimit, wait: Duration) -> Result<Vec<Followed>, JournalError> {
        self.0.next(limit, wait)
    }

    fn behind(&self) -> u64 {
        self.0.behind()
    }
}

/// Where the segment behind the open one stands.
enum Next {
    /// It is the open one now.
    Entered,
    /// It begins with this record.
    Begins(u64),
    /// It is gone.
    Purged,
}

impl Follower for SegmentFollower {
    fn next(&mut self, limit: FollowLimit, wait: Duration) -> Result<Vec<Followed>, JournalError> {
        let (mut out, mut taken, mut waited) = (Vec::new(), 0, false);
        loop {
            // A fault behind intact records is told once these were given: they are wanted.
            match self.drain(limit, &mut taken, &mut out) {
                Err(error) if out.is_empty() => return Err(error),
                Err(_) => return Ok(out),
                Ok(()) if self.chunk.is_some() => return Ok(out),
                Ok(()) => {}
            }
            match self.fill() {
                Ok(true) => {}
                Err(error) if out.is_empty() => return Err(error),
                Ok(false) if out.is_empty() && !waited => {
                    self.segments.wait(self.next_lsn(), wait);
                    waited = true;
                }
                Ok(false) | Err(_) => return Ok(out),
            }
        }
    }

    fn behind(&self) -> u64 {
        let pending = self.chunk.as_ref().map_or(0, |pending| pending.records.len() as u64);
        self.segments.until_lsn().saturating_sub(self.next_lsn()) + pending
    }
}

impl<F: Follower + ?Sized> Follower for Box<F> {
    fn next(&mut self, limit: FollowLimit, wait: Duration) -> Result<Vec<Followed>, JournalError> {
        (**self).next(limit, wait)
    }

    fn behind(&self) -> u64 {
        (**self).behind()
    }
}

impl fmt::Debug for SegmentFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentFollower").field("from", &self.from).finish_non_exhaustive()
    }
}
