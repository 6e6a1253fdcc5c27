//! One snapshot in bytes: `codec | schema version | kind | version | payload | crc32c`.
//!
//! Invariant: the checksum covers the entity's id and all bytes before it, so an entry that was damaged or that turns up
//! under another id is an error. (Without it, flipped bits decode to plausible values most of the time.)

use std::cmp::Ordering;

use holdfast_core::EntityId;

use crate::{
    codec::{self, CodecError},
    event_type::kind_of,
    state::{EntityState, EntityStateRef},
    wire::Fields,
};

/// A snapshot ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedSnapshot {
    /// Whose state it is.
    pub entity: EntityId,
    /// How many events led to it.
    pub version: u64,
    /// The bytes to store under the entity's id.
    pub bytes: Vec<u8>,
}

/// Compares entities as the keys do under which a shard's snapshots are stored: kind by kind, each by the bytes of its id.
pub fn by_key(one: &EntityId, other: &EntityId) -> Ordering {
    match (one, other) {
        (EntityId::Stock(one), EntityId::Stock(other)) | (EntityId::Product(one), EntityId::Product(other)) => {
            one.as_str().cmp(other.as_str())
        }
        // The id's bytes are stored the least one first.
        (EntityId::Cart(one), EntityId::Cart(other)) => one.as_u128().swap_bytes().cmp(&other.as_u128().swap_bytes()),
        (EntityId::Order(one), EntityId::Order(other)) => one.as_u128().swap_bytes().cmp(&other.as_u128().swap_bytes()),
        _ => (one.kind() as u8).cmp(&(other.kind() as u8)),
    }
}

/// Encodes a state. Pure: the thread that writes snapshots does it, so that no turn waits for a large one.
///
/// # Errors
/// [`CodecError`] when the state cannot be encoded.
pub fn encode_snapshot(state: &EntityStateRef<'_>) -> Result<EncodedSnapshot, CodecError> {
    let entity = state.id();
    let version = state.version();
    let mut bytes = Vec::with_capacity(128);
    bytes.extend_from_slice(&[codec::CODEC, codec::SCHEMA_VERSION, state.kind() as u8]);
    bytes.extend_from_slice(&version.to_le_bytes());
    codec::encode_state(state, &mut bytes)?;
    let crc = checksum(&entity, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    Ok(EncodedSnapshot { entity, version, bytes })
}

/// Reads what [`encode_snapshot`] made for `entity`: its version and state.
///
/// # Errors
/// [`CodecError::Checksum`] for damage; the other variants for bytes that are intact but from another version.
pub fn decode_snapshot(entity: &EntityId, bytes: &[u8]) -> Result<(u64, EntityState), CodecError> {
    let body = verify(entity, bytes)?;
    let mut fields = Fields::new(body);
    let mut byte = || fields.u8().ok_or(CodecError::CutShort);
    let (codec, schema, kind) = (byte()?, byte()?, byte()?);
    let version = fields.u64().ok_or(CodecError::CutShort)?;
    let kind = kind_of(kind).ok_or(CodecError::UnknownKind(kind))?;
    if kind != entity.kind() {
        return Err(CodecError::Misplaced);
    }
    let state = codec::decode_state(codec, schema, kind, fields.rest())?;
    if state.version() != version || state.id() != *entity {
        return Err(CodecError::Misplaced);
    }
    Ok((version, state))
}

/// The bytes without their checksum, if it matches.
pub(super) fn verify<'a>(entity: &EntityId, bytes: &'a [u8]) -> Result<&'a [u8], CodecError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(CodecError::CutShort)?;
    if checksum(entity, body) != u32::from_le_bytes(*crc) {
        return Err(CodecError::Checksum);
    }
    Ok(body)
}

pub(super) fn checksum(entity: &EntityId, body: &[u8]) -> u32 {
    let mut id = Vec::with_capacity(80);
    codec::encode_id(entity, &mut id);
    crc32c::crc32c_append(crc32c::crc32c(&id), body)
}
