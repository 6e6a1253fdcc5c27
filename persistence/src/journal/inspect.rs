//! Looks into a journal from outside, read-only and without its lock: for the command line, and for whoever has to find
//! out what is still readable after an accident.
//!
//! Invariant: nothing is changed, and what is shown is what is in the files: a journal that a running process is writing
//! may end in a write that is not finished yet.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use holdfast_core::{ShardCount, ShardId};

use super::{
    Damage, JournalError, TornTail, VerifyOnOpen,
    disk::{Access, FsDisk},
    follow::{FolderFollower, SegmentFollower, Segments},
    record::{self, RawRecord},
    scan::{Chunk, FrameSpan, Scan, Step},
    survey::{Listed, list, survey},
};
use crate::{codec::CodecError, record::Record, store::StoreId};

/// A journal directory opened for looking.
#[derive(Debug)]
pub struct JournalReader {
    disk: FsDisk,
}

/// One segment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The file.
    pub path: PathBuf,
    /// Its generation, from its name.
    pub generation: u64,
    /// Its length, in bytes.
    pub bytes: u64,
    /// The number of its first record: `None` for a spare or an unreadable header.
    pub first_lsn: Option<u64>,
    /// Whether its header is intact.
    pub intact: bool,
}

/// One frame: what one sync made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// The segment file.
    pub path: PathBuf,
    /// Where the frame begins, in bytes from the start of the file.
    pub offset: u64,
    /// Its length, in bytes; for a damaged one, up to the last byte that is not zero.
    pub bytes: u64,
    /// The number of its first record.
    pub first_lsn: u64,
    /// How many records it holds.
    pub records: u32,
    /// `None` if its checksum matches; otherwise what is wrong. Nothing is read behind a damaged frame.
    pub damage: Option<&'static str>,
}

/// One record.
#[derive(Debug)]
pub struct RecordInfo {
    /// The segment file.
    pub path: PathBuf,
    /// Where the record's frame begins, in bytes from the start of the file.
    pub frame_offset: u64,
    /// The record's number over all shards, from 1.
    pub lsn: u64,
    /// Its shard.
    pub shard: ShardId,
    /// Its number within the shard, from 1.
    pub seq: u64,
    /// Its payload's length, in bytes.
    pub payload_bytes: u64,
    /// The record, or why this version cannot read it. One that ends before its payload is shown too, so that every record
    /// has the number it was written with.
    pub record: Result<Record, CodecError>,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifySummary {
    /// Segment files, spares included.
    pub segments: u64,
    /// Intact frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// An unfinished write at the end: harmless, cut off at the next start.
    pub torn_tail: Option<TornTail>,
    /// The first damage: with it the journal does not open.
    pub damage: Option<JournalError>,
}

impl JournalReader {
    /// The journal in `dir` (the `journal` directory within a data directory).
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let disk = FsDisk::new(dir, Access::Read);
        std::fs::read_dir(dir).map_err(|source| JournalError::Io {
            action: "list",
            path: dir.to_path_buf(),
            source,
        })?;
        Ok(Self { disk })
    }

    /// A reader that gives records from `from[shard]` on (1 when the shard is not named), in journal order, as far as its
    /// caller allows: see [`FolderFollower::allow`]. Refuses a folder that is not `store`'s.
    ///
    /// # Errors
    /// [`JournalError::Foreign`]; [`JournalError::Purged`] when `from` lies in history that was purged; a file that cannot
    /// be read.
    pub fn follow(
        &self,
        store: StoreId,
        shards: ShardCount,
        from: &BTreeMap<ShardId, u64>,
    ) -> Result<FolderFollower, JournalError> {
        for Listed { segment, header, .. } in list(&self.disk)? {
            if header.is_ok_and(|header| header.store != store || header.next_seqs.len() != usize::from(shards.get())) {
                return Err(JournalError::Foreign { path: segment.path });
            }
        }
        let segments = Segments::Folder { until_lsn: 0 };
        let follower = SegmentFollower::begin(Arc::new(self.disk.clone()), segments, shards.get(), from)?;
        Ok(FolderFollower(follower))
    }

    /// Per shard, the first sequence number there is: above 1 where history was purged. Empty before anything was written.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn first_seqs(&self) -> Result<Vec<u64>, JournalError> {
        let begun = list(&self.disk)?.into_iter().filter_map(|listed| listed.header.ok());
        let first = begun.filter(|header| !header.is_spare()).map(|header| header.next_seqs).next();
        Ok(first.unwrap_or_default())
    }

    /// Per shard, the sequence number behind its last intact record. Empty before anything was written. What a running
    /// process wrote last may not be durable yet.
    ///
    /// # Errors
    /// When a file cannot be read, or frames contradict each other.
    pub fn next_seqs(&self) -> Result<Vec<u64>, JournalError> {
        let listed = list(&self.disk)?.into_iter().filter_map(|listed| Some((listed.segment, listed.header.ok()?)));
        let Some((segment, header)) = listed.filter(|(_, header)| !header.is_spare()).last() else {
            return Ok(Vec::new());
        };
        let mut scan = Scan::new(segment, &header);
        while let Step::Chunk(chunk) = scan.next()? {
            scan.split(&chunk, |_, _, _| {})?;
        }
        Ok(scan.next_seqs)
    }

    /// Every segment file, oldest first.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, JournalError> {
        let info = |listed: Listed| SegmentInfo {
            path: listed.segment.path,
            generation: listed.generation,
            bytes: listed.segment.file_bytes,
            intact: listed.header.is_ok(),
            first_lsn: listed.header.ok().map(|header| header.first_lsn).filter(|lsn| *lsn > 0),
        };
        Ok(list(&self.disk)?.into_iter().map(info).collect())
    }

    /// Gives `visit` every frame, segment by segment, until it breaks. A damaged frame is shown and ends its segment.
    ///
    /// # Errors
    /// When a file cannot be read, or frames contradict each other.
    pub fn frames(&self, visit: &mut dyn FnMut(FrameInfo) -> ControlFlow<()>) -> Result<(), JournalError> {
        self.chunks(&mut |scan, step| match step {
            Found::Chunk(chunk) => chunk.frames.iter().try_for_each(|frame| visit(intact_frame(scan, chunk, frame))),
            Found::End { reason, used_bytes } => visit(FrameInfo {
                path: scan.segment.path.clone(),
                offset: scan.offset,
                bytes: used_bytes,
                first_lsn: scan.next_lsn,
                records: 0,
                damage: Some(reason),
            }),
        })
    }

    /// Gives `visit` every record of every intact frame, in journal order, until it breaks.
    ///
    /// # Errors
    /// When a file cannot be read, or frames contradict each other. A record that is intact but not understood is given
    /// to `visit` with its error.
    pub fn records(&self, visit: &mut dyn FnMut(RecordInfo) -> ControlFlow<()>) -> Result<(), JournalError> {
        self.chunks(&mut |scan, step| match step {
            Found::Chunk(chunk) => chunk.frames.iter().try_for_each(|frame| visit_records(scan, chunk, frame, visit)),
            Found::End { .. } => ControlFlow::Continue(()),
        })
    }

    /// Reads everything and names the first damage, if there is any.
    ///
    /// # Errors
    /// When the directory cannot be listed. Damage is a finding, not an error.
    pub fn verify(&self) -> Result<VerifySummary, JournalError> {
        let listed = list(&self.disk)?;
        let mut summary = VerifySummary { segments: listed.len() as u64, ..VerifySummary::default() };
        let Some(header) = listed.iter().find_map(|listed| listed.header.as_ref().ok()) else {
            summary.damage = listed.first().map(|first| first.segment.damaged(0, Damage::Header));
            return Ok(summary);
        };
        let shards = u16::try_from(header.next_seqs.len()).ok().and_then(|shards| ShardCount::new(shards).ok());
        let Some(shards) = shards else { return Ok(summary) };
        let found = survey(&self.disk, header.store, shards, VerifyOnOpen::Whole, &mut |scan, chunk| {
            scan.split(chunk, |_, _, _| summary.records += 1)?;
            summary.frames += chunk.frames.len() as u64;
            summary.bytes += chunk.frames.iter().map(|frame| frame.range.len() as u64).sum::<u64>();
            Ok(())
        });
        match found {
            Ok(found) => summary.torn_tail = found.torn,
            Err(damage) => summary.damage = Some(damage),
        }
        Ok(summary)
    }

    fn chunks(&self, visit: &mut dyn FnMut(&Scan, Found<'_>) -> ControlFlow<()>) -> Result<(), JournalError> {
        for Listed { segment, header, .. } in list(&self.disk)? {
            let Some(header) = header.ok().filter(|header| !header.is_spare()) else { continue };
            let mut scan = Scan::new(segment, &header);
            loop {
                let flow = match scan.next()? {
                    Step::Chunk(chunk) => visit(&scan, Found::Chunk(&chunk)),
                    Step::End(reason) => {
                        let used_bytes = scan.look_beyond()?.used_bytes;
                        if used_bytes > 0 && visit(&scan, Found::End { reason, used_bytes }).is_break() {
                            return Ok(());
                        }
                        break;
                    }
                };
                if flow.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// What a segment was found to go on with.
enum Found<'a> {
    Chunk(&'a Chunk),
    End { reason: &'static str, used_bytes: u64 },
}

fn intact_frame(scan: &Scan, chunk: &Chunk, frame: &FrameSpan) -> FrameInfo {
    FrameInfo {
        path: scan.segment.path.clone(),
        offset: chunk.offset + frame.range.start as u64,
        bytes: frame.range.len() as u64,
        first_lsn: frame.first_lsn,
        records: frame.count,
        damage: None,
    }
}

fn visit_records(
    scan: &Scan,
    chunk: &Chunk,
    frame: &FrameSpan,
    visit: &mut dyn FnMut(RecordInfo) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let records = record::split(&chunk.bytes[frame.records()]).flatten();
    for (place, bytes) in (0_u64..).zip(records) {
        let raw = record::parse(bytes);
        let (shard, seq) = record::address(bytes).unwrap_or((ShardId(0), 0));
        visit(RecordInfo {
            path: scan.segment.path.clone(),
            frame_offset: chunk.offset + frame.range.start as u64,
            lsn: frame.first_lsn.saturating_add(place),
            shard,
            seq,
            payload_bytes: raw.as_ref().map_or(0, RawRecord::payload_bytes) as u64,
            record: raw.ok_or(CodecError::CutShort).and_then(|raw| raw.decode()),
        })?;
    }
    ControlFlow::Continue(())
}
