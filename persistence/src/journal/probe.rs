//! What reads bytes from a disk, as functions of bytes: for the fuzz targets in `tests/fuzz`, and for nothing else.
//!
//! Why: the decoders are private, because whoever wants records asks the journal. A fuzz target has to reach them without a
//! disk, a checksum and a thread in between. Nothing is decided here, and none of it is part of this crate's interface.

use holdfast_core::ShardId;

use super::{frame, record, segment};
use crate::{Record, codec::CodecError, store::StoreId};

/// What an intact frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The segment's generation.
    pub generation: u64,
    /// The number of its first record.
    pub first_lsn: u64,
    /// How many records it says it holds.
    pub count: u32,
    /// Its length, header included.
    pub bytes: usize,
}

/// The frame at the beginning of `bytes`, if there is an intact one.
pub fn parse_frame(bytes: &[u8], store: StoreId, generation: u64) -> Option<Frame> {
    match frame::parse(bytes, frame::Seed::of_store(store), generation) {
        frame::Parsed::Frame { place: frame::Place { generation, first_lsn, count }, bytes } => {
            Some(Frame { generation, first_lsn, count, bytes })
        }
        frame::Parsed::Incomplete { .. } | frame::Parsed::Bad(_) => None,
    }
}

/// A frame around `records`.
pub fn seal_frame(records: &[u8], store: StoreId, generation: u64, first_lsn: u64, count: u32) -> Vec<u8> {
    let mut bytes = vec![0; frame::HEADER_BYTES];
    bytes.extend_from_slice(records);
    frame::seal(&mut bytes, frame::Seed::of_store(store), frame::Place { generation, first_lsn, count });
    bytes
}

/// Splits a frame's records; `None` in the middle: the bytes are not records.
pub fn split_records(records: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    record::split(records)
}

/// Reads one record that [`split_records`] gave: its shard, its number within the shard, and what happened.
///
/// # Errors
/// [`CodecError`] for bytes that are no record.
pub fn decode_record(bytes: &[u8]) -> Result<(ShardId, u64, Record), CodecError> {
    let raw = record::parse(bytes).ok_or(CodecError::CutShort)?;
    Ok((raw.shard, raw.seq, raw.decode()?))
}

/// The bytes of one record, its length in front.
///
/// # Errors
/// When the record cannot be encoded.
pub fn encode_record(shard: ShardId, seq: u64, record: &Record) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    record::encode(record, shard, seq, u64::from(u32::MAX), &mut bytes)
        .map_err(|refusal| CodecError::Malformed(refusal.to_string()))?;
    Ok(bytes)
}

/// Reads a segment's header and writes it again; `None` for bytes that are none.
pub fn rewrite_header(bytes: &[u8]) -> Option<Vec<u8>> {
    segment::Header::parse(bytes).ok().map(|header| header.encode())
}
