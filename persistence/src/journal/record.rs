//! One record in a frame:
//! `len | codec | schema version | event type | entity kind | shard | shard seq | entity version | at | id len | id | payload`,
//! little-endian; `len` counts the bytes after itself.
//!
//! Invariant: the fixed fields alone say whose record it is, so a reader can hand it to the right worker, and check the
//! shard's sequence, without decoding the payload.

use holdfast_core::{ShardId, Timestamp};

use super::BatchRefusal;
use crate::{
    codec::{self, CodecError},
    event_type::{event_type, kind_of},
    record::Record,
    wire::Fields,
};

/// Bytes of the length in front of a record.
pub(super) const LEN_BYTES: usize = 4;
/// Bytes from the beginning of a record to its entity id.
const FIXED_BYTES: usize = 35;

/// Appends one record to `out`.
pub(super) fn encode(
    record: &Record,
    shard: ShardId,
    seq: u64,
    limit: u64,
    out: &mut Vec<u8>,
) -> Result<(), BatchRefusal> {
    if record.entity.kind() != record.event.kind() {
        return Err(BatchRefusal::KindMismatch { entity: record.entity.clone() });
    }
    let start = out.len();
    let mut fixed = [0; FIXED_BYTES];
    fixed[4] = codec::CODEC;
    fixed[5] = codec::SCHEMA_VERSION;
    fixed[6] = event_type(&record.event);
    fixed[7] = record.entity.kind() as u8;
    fixed[8..10].copy_from_slice(&shard.0.to_le_bytes());
    fixed[10..18].copy_from_slice(&seq.to_le_bytes());
    fixed[18..26].copy_from_slice(&record.version.to_le_bytes());
    fixed[26..34].copy_from_slice(&record.at.as_millis().to_le_bytes());
    out.extend_from_slice(&fixed);
    codec::encode_id(&record.entity, out);
    let id_len = out.len() - start - FIXED_BYTES;
    codec::encode_event(&record.event, out)?;
    let bytes = (out.len() - start) as u64;
    let too_large = || BatchRefusal::RecordTooLarge { entity: record.entity.clone(), bytes, limit };
    if bytes > limit {
        return Err(too_large());
    }
    let len = u32::try_from(bytes - 4).map_err(|_| too_large())?;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + FIXED_BYTES - 1] = u8::try_from(id_len).map_err(|_| CodecError::EntityId)?;
    Ok(())
}

/// A record whose payload was not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawRecord<'a> {
    pub(super) codec: u8,
    pub(super) schema: u8,
    pub(super) event_type: u8,
    pub(super) kind: u8,
    pub(super) shard: ShardId,
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) at: Timestamp,
    id: &'a [u8],
    payload: &'a [u8],
}

/// Splits a frame's records. `None` in the middle: the bytes are not records.
pub(super) fn split(records: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut fields = Fields::new(records);
    let mut broken = false;
    std::iter::from_fn(move || {
        if broken || fields.rest().is_empty() {
            return None;
        }
        let record = fields.u32().and_then(|len| fields.bytes(len as usize));
        broken = record.is_none();
        Some(record)
    })
}

/// The shard and the shard's sequence number of a record that [`split`] gave.
pub(super) fn address(record: &[u8]) -> Option<(ShardId, u64)> {
    let mut fields = Fields::new(record.get(4..)?);
    Some((ShardId(fields.u16()?), fields.u64()?))
}

/// Reads the fixed fields of a record that [`split`] gave.
pub(super) fn parse(record: &[u8]) -> Option<RawRecord<'_>> {
    let mut fields = Fields::new(record);
    let (codec, schema, event_type, kind) = (fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
    let (shard, seq, version) = (ShardId(fields.u16()?), fields.u64()?, fields.u64()?);
    let at = Timestamp::from_millis(fields.i64()?);
    let id_len = fields.u8()?;
    let id = fields.bytes(id_len.into())?;
    Some(RawRecord { codec, schema, event_type, kind, shard, seq, version, at, id, payload: fields.rest() })
}

impl RawRecord<'_> {
    /// Decodes id and payload.
    pub(super) fn decode(&self) -> Result<Record, CodecError> {
        let kind = kind_of(self.kind).ok_or(CodecError::UnknownKind(self.kind))?;
        let entity = codec::decode_id(kind, self.id)?;
        let event = codec::decode_event(self.codec, self.schema, kind, self.event_type, self.payload)?;
        Ok(Record { entity, version: self.version, at: self.at, event })
    }

    /// The payload's length, in bytes.
    pub(super) const fn payload_bytes(&self) -> usize {
        self.payload.len()
    }
}
