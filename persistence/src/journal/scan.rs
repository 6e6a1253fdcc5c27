//! Reads one segment from front to back: whole frames at a time, checked, with their records split but not decoded.
//!
//! Invariant: what it gives is intact, in order, and continues each shard's sequence; where that stops being so, it says
//! where and why and leaves the judgment (torn tail or damage) to `survey`.

use std::{ops::Range, path::PathBuf, sync::Arc};

use holdfast_core::ShardId;

use super::{
    Damage, JournalError,
    disk::SegmentFile,
    frame::{self, HEADER_BYTES, Parsed, Seed},
    record,
    segment::Header,
};

/// How much is read at once, in bytes; a longer frame is read whole.
const CHUNK_BYTES: usize = 1 << 20;

/// An open segment file and its name, for messages.
#[derive(Debug, Clone)]
pub(super) struct OpenSegment {
    pub(super) file: Arc<dyn SegmentFile>,
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
}

impl OpenSegment {
    /// Reads `len` bytes at `offset`, or fewer at the end of the file.
    pub(super) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, JournalError> {
        let mut buffer = vec![0; len];
        let read = self.file.read_at(&mut buffer, offset).map_err(|source| self.io("read", source))?;
        buffer.truncate(read);
        Ok(buffer)
    }

    pub(super) fn io(&self, action: &'static str, source: std::io::Error) -> JournalError {
        JournalError::Io { action, path: self.path.clone(), source }
    }

    pub(super) fn damaged(&self, offset: u64, what: Damage) -> JournalError {
        JournalError::Damaged { path: self.path.clone(), offset, what }
    }
}

/// Some intact frames that follow each other.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    /// Where in the file `bytes` begins.
    pub(super) offset: u64,
    pub(super) frames: Vec<FrameSpan>,
}

/// One intact frame of a chunk.
#[derive(Debug, Clone)]
pub(super) struct FrameSpan {
    /// The frame within the chunk's bytes, header included.
    pub(super) range: Range<usize>,
    pub(super) first_lsn: u64,
    pub(super) count: u32,
}

impl FrameSpan {
    /// The frame's records within the chunk's bytes.
    pub(super) const fn records(&self) -> Range<usize> {
        self.range.start + HEADER_BYTES..self.range.end
    }
}

/// What [`Scan::next`] found.
#[derive(Debug)]
pub(super) enum Step {
    /// Intact frames.
    Chunk(Chunk),
    /// No frame at the scan's offset, and why not. An untouched rest of the segment ends this way too.
    End(&'static str),
}

/// A reader of one segment.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) segment: OpenSegment,
    pub(super) offset: u64,
    pub(super) next_lsn: u64,
    /// Reading ends before this record: what lies behind may not be durable.
    pub(super) until_lsn: u64,
    pub(super) next_seqs: Vec<u64>,
    seed: Seed,
    generation: u64,
}

impl Scan {
    /// A reader that begins after the segment's header.
    pub(super) fn new(segment: OpenSegment, header: &Header) -> Self {
        Self {
            segment,
            offset: header.bytes() as u64,
            next_lsn: header.first_lsn,
            until_lsn: u64::MAX,
            next_seqs: header.next_seqs.clone(),
            seed: Seed::of_store(header.store),
            generation: header.generation,
        }
    }

    /// The next intact frames.
    pub(super) fn next(&mut self) -> Result<Step, JournalError> {
        let mut bytes = self.segment.read(self.offset, CHUNK_BYTES)?;
        let mut frames = Vec::new();
        let mut position = 0;
        let end = loop {
            if self.next_lsn >= self.until_lsn {
                break "";
            }
            match frame::parse(&bytes[position..], self.seed, self.generation) {
                Parsed::Frame { place, bytes: len } => {
                    if place.first_lsn != self.next_lsn {
                        let what = Damage::Gap { expected: self.next_lsn, found: place.first_lsn };
                        return Err(self.segment.damaged(self.offset + position as u64, what));
                    }
                    frames.push(FrameSpan {
                        range: position..position + len,
                        first_lsn: place.first_lsn,
                        count: place.count,
                    });
                    self.next_lsn += u64::from(place.count);
                    position += len;
                }
                Parsed::Incomplete { bytes: len } => {
                    let begins = self.offset + position as u64;
                    if begins + len as u64 > self.segment.file_bytes {
                        break "it reaches beyond the end of the file";
                    }
                    if position > 0 {
                        break "";
                    }
                    bytes = self.segment.read(self.offset, len)?;
                    if bytes.len() < len {
                        break "it reaches beyond the end of the file";
                    }
                }
                Parsed::Bad(reason) => break reason,
            }
        };
        if frames.is_empty() {
            return Ok(Step::End(end));
        }
        let offset = self.offset;
        self.offset += position as u64;
        Ok(Step::Chunk(Chunk { bytes, offset, frames }))
    }

    /// Gives `visit` every record of `chunk`: its shard, sequence number and place in the chunk's bytes (after its length).
    pub(super) fn split(
        &mut self,
        chunk: &Chunk,
        mut visit: impl FnMut(ShardId, u64, Range<usize>),
    ) -> Result<(), JournalError> {
        for frame in &chunk.frames {
            let offset = chunk.offset + frame.range.start as u64;
            let mut count = 0;
            let mut start = frame.records().start;
            for record in record::split(&chunk.bytes[frame.records()]) {
                let record = record.ok_or_else(|| self.segment.damaged(offset, Damage::Records))?;
                let (shard, seq) =
                    record::address(record).ok_or_else(|| self.segment.damaged(offset, Damage::Records))?;
                start += record::LEN_BYTES;
                self.check_sequence(shard, seq, offset)?;
                visit(shard, seq, start..start + record.len());
                start += record.len();
                count += 1;
            }
            if count != frame.count {
                return Err(self.segment.damaged(offset, Damage::Records));
            }
        }
        Ok(())
    }

    fn check_sequence(&mut self, shard: ShardId, seq: u64, offset: u64) -> Result<(), JournalError> {
        let expected = self.next_seqs.get_mut(usize::from(shard.0));
        match expected {
            Some(expected) if *expected == seq => {
                *expected += 1;
                Ok(())
            }
            expected => {
                let expected = expected.map_or(0, |expected| *expected);
                Err(self.segment.damaged(offset, Damage::Sequence { shard, expected, found: seq }))
            }
        }
    }

    /// Where the next intact frame begins beyond the scan's offset, if there is one, and where the last byte that is not
    /// zero ends.
    pub(super) fn look_beyond(&self) -> Result<Beyond, JournalError> {
        let rest = usize::try_from(self.segment.file_bytes.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let bytes = self.segment.read(self.offset, rest)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let generation = self.generation.to_le_bytes();
        let intact = (1..used.saturating_sub(HEADER_BYTES)).find(|&at| {
            bytes[at + 8..].starts_with(&generation)
                && matches!(frame::parse(&bytes[at..], self.seed, self.generation), Parsed::Frame { .. })
        });
        Ok(Beyond { next_intact: intact.map(|at| self.offset + at as u64), used_bytes: used as u64 })
    }
}

/// What lies beyond a place without an intact frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beyond {
    /// Where the next intact frame begins, in bytes from the start of the file.
    pub(super) next_intact: Option<u64>,
    /// Bytes from that place to the last one that is not zero.
    pub(super) used_bytes: u64,
}
