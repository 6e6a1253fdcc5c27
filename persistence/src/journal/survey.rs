//! Looks a journal directory over without changing it, and judges what it finds.
//!
//! Invariant: only what cannot have been acknowledged is called torn: bytes after the last intact frame of the last begun
//! segment, with no intact frame behind them, or the header of a segment nothing was ever written to. Everything else that
//! is not intact is damage, and damage is an error that names the place.
//!
//! That is sound because the writer has at most one unsynced frame at a time, and begins a segment (header synced) only
//! after every frame before it was synced.

use std::{fmt, path::PathBuf};

use holdfast_core::ShardCount;

use crate::store::StoreId;

use super::{
    Damage, JournalError,
    disk::Disk,
    options::VerifyOnOpen,
    scan::{Chunk, OpenSegment, Scan, Step},
    segment::{self, BadHeader, Header},
};

/// A last write that was never finished and never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment it is in.
    pub path: PathBuf,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// How many bytes of it there are.
    pub bytes: u64,
    /// Where a copy of them was put before they were cut off. None while they are not, and where the disk had no room.
    pub kept_in: Option<PathBuf>,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, bytes, kept_in } = self;
        write!(f, "{} ends in an unfinished write of {bytes} bytes at offset {offset}", path.display())?;
        match kept_in {
            Some(copy) => write!(f, ", kept in {}", copy.display()),
            None => Ok(()),
        }
    }
}

/// A begun segment.
#[derive(Debug, Clone)]
pub(super) struct Begun {
    pub(super) segment: OpenSegment,
    pub(super) header: Header,
}

/// What a journal directory holds.
#[derive(Debug)]
pub(super) struct Survey {
    /// Begun segments, oldest first.
    pub(super) begun: Vec<Begun>,
    /// A segment that is ready to be begun.
    pub(super) spare: Option<Begun>,
    /// The name of a segment whose header was torn before anything was written to it.
    pub(super) stillborn: Option<String>,
    /// Where the next frame of the last begun segment goes, in bytes.
    pub(super) end: u64,
    /// Where the last frame of the last begun segment begins, in bytes; its header if it has no frame.
    pub(super) last_frame: u64,
    /// The number of the next record.
    pub(super) next_lsn: u64,
    /// Per shard, the sequence number of its next record.
    pub(super) next_seqs: Vec<u64>,
    /// An unfinished write at the end.
    pub(super) torn: Option<TornTail>,
}

/// The listed segments, oldest first, with their headers, before they are judged against each other.
pub(super) struct Listed {
    pub(super) generation: u64,
    pub(super) segment: OpenSegment,
    pub(super) header: Result<Header, BadHeader>,
}

/// Lists the segments of a directory.
pub(super) fn list(disk: &dyn Disk) -> Result<Vec<Listed>, JournalError> {
    let directory = |source| JournalError::Io { action: "list", path: disk.path(""), source };
    let mut generations: Vec<u64> =
        disk.list().map_err(directory)?.iter().filter_map(|name| segment::generation_of(name)).collect();
    generations.sort_unstable();
    generations.into_iter().map(|generation| open(disk, generation)).collect()
}

fn open(disk: &dyn Disk, generation: u64) -> Result<Listed, JournalError> {
    let name = segment::file_name(generation);
    let path = disk.path(&name);
    let io = |action| {
        let path = path.clone();
        move |source| JournalError::Io { action, path, source }
    };
    let file = disk.open(&name).map_err(io("open"))?;
    let file_bytes = file.bytes().map_err(io("measure"))?;
    let segment = OpenSegment { file, path, file_bytes };
    let header = Header::parse(&segment.read(0, segment::MAX_HEADER_BYTES)?);
    Ok(Listed { generation, segment, header })
}

/// Looks the directory of `store` over. `visit` is given every chunk that is read.
pub(super) fn survey(
    disk: &dyn Disk,
    store: StoreId,
    shards: ShardCount,
    verify: VerifyOnOpen,
    visit: &mut dyn FnMut(&mut Scan, &Chunk) -> Result<(), JournalError>,
) -> Result<Survey, JournalError> {
    let mut survey = judge_headers(disk, list(disk)?, store, shards)?;
    let last = survey.begun.len().saturating_sub(1);
    for (index, begun) in survey.begun.iter().enumerate() {
        if index < last && verify == VerifyOnOpen::Tail {
            continue;
        }
        if index > 0 && verify == VerifyOnOpen::Whole {
            check_continues(begun, survey.next_lsn, &survey.next_seqs)?;
        }
        let mut scan = Scan::new(begun.segment.clone(), &begun.header);
        survey.last_frame = 0;
        let reason = loop {
            match scan.next()? {
                Step::Chunk(chunk) => {
                    visit(&mut scan, &chunk)?;
                    survey.last_frame = chunk.frames.last().map_or(0, |frame| chunk.offset + frame.range.start as u64);
                }
                Step::End(reason) => break reason,
            }
        };
        survey.torn = judge_end(&scan, reason, survey.begun.get(index + 1))?;
        survey.end = scan.offset;
        survey.next_lsn = scan.next_lsn;
        survey.next_seqs = scan.next_seqs;
    }
    Ok(survey)
}

/// Judges the place where a segment's frames end: untouched, torn (only in the last begun segment) or damaged.
pub(super) fn judge_end(
    scan: &Scan,
    reason: &'static str,
    next: Option<&Begun>,
) -> Result<Option<TornTail>, JournalError> {
    let beyond = scan.look_beyond()?;
    if let Some(next_intact) = beyond.next_intact {
        return Err(scan.segment.damaged(scan.offset, Damage::Frame { reason, next_intact }));
    }
    if let Some(next) = next {
        if beyond.used_bytes > 0 {
            return Err(scan.segment.damaged(scan.offset, Damage::FrameBeforeSegment { reason }));
        }
        if next.header.first_lsn != scan.next_lsn {
            let next_lsn = next.header.first_lsn;
            return Err(scan.segment.damaged(scan.offset, Damage::FrameMissing { next_lsn }));
        }
    }
    let (path, offset, bytes) = (scan.segment.path.clone(), scan.offset, beyond.used_bytes);
    let torn = TornTail { path, offset, bytes, kept_in: None };
    Ok((beyond.used_bytes > 0).then_some(torn))
}

/// Whether `begun` goes on where the segment before it ended.
pub(super) fn check_continues(begun: &Begun, next_lsn: u64, next_seqs: &[u64]) -> Result<(), JournalError> {
    if begun.header.first_lsn != next_lsn || begun.header.next_seqs != next_seqs {
        return Err(begun.segment.damaged(0, Damage::HeaderMismatch));
    }
    Ok(())
}

/// Sorts the segments into begun ones and a spare, and refuses what does not fit together.
fn judge_headers(
    disk: &dyn Disk,
    listed: Vec<Listed>,
    store: StoreId,
    shards: ShardCount,
) -> Result<Survey, JournalError> {
    let mut survey = Survey {
        begun: Vec::new(),
        spare: None,
        stillborn: None,
        end: 0,
        last_frame: 0,
        next_lsn: 1,
        next_seqs: vec![1; shards.get().into()],
        torn: None,
    };
    let oldest = listed.first().map_or(1, |first| first.generation);
    let newest = listed.last().map_or(1, |last| last.generation);
    for (due, Listed { generation, segment, header }) in (oldest..).zip(listed) {
        if generation != due {
            return Err(JournalError::MissingSegment { path: disk.path(&segment::file_name(due)) });
        }
        let untouched = is_untouched(&segment, shards)?;
        if header == Err(BadHeader::NotIntact) && generation == newest && untouched {
            survey.stillborn = Some(segment::file_name(generation));
            continue;
        }
        let header = judge_header(header, generation, &segment, store, shards)?;
        if survey.spare.is_some() {
            return Err(segment.damaged(0, Damage::HeaderMismatch));
        }
        if header.is_spare() && !untouched {
            return Err(segment.damaged(0, Damage::SpareNotEmpty));
        }
        if header.is_spare() {
            survey.spare = Some(Begun { segment, header });
        } else {
            survey.begun.push(Begun { segment, header });
        }
    }
    Ok(survey)
}

/// The header, if it is intact and belongs here.
fn judge_header(
    header: Result<Header, BadHeader>,
    generation: u64,
    segment: &OpenSegment,
    store: StoreId,
    shards: ShardCount,
) -> Result<Header, JournalError> {
    let path = || segment.path.clone();
    let header = match header {
        Ok(header) => header,
        Err(BadHeader::Format(format)) => {
            return Err(JournalError::UnknownFormat { path: path(), format, known: segment::FORMAT });
        }
        Err(BadHeader::NotIntact) => return Err(segment.damaged(0, Damage::Header)),
    };
    if header.store != store {
        return Err(JournalError::Foreign { path: path() });
    }
    if header.generation != generation || header.next_seqs.len() != usize::from(shards.get()) {
        return Err(segment.damaged(0, Damage::HeaderMismatch));
    }
    Ok(header)
}

/// Whether nothing was ever written behind the header. A segment gets its full length, durably, before it gets its name,
/// so one that is shorter than its header was cut by something else than a crash. The first frame touches the first page
/// behind the header.
fn is_untouched(segment: &OpenSegment, shards: ShardCount) -> Result<bool, JournalError> {
    let header = segment::header_bytes(shards);
    let behind = segment.read(header as u64, 4096)?;
    Ok(segment.file_bytes > header as u64 && behind.iter().all(|byte| *byte == 0))
}
