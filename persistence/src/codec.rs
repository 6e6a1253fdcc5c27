//! The one codec: serde values as bincode 2, with a version in front of every payload. All bincode code is here.
//!
//! Invariants: bytes from disk never panic and never make the decoder reserve more than a few mebibytes beyond what they are
//! long (serde's own bound for a list; without a limit nine hostile bytes abort the process); a payload is read to its last byte or refused (bincode alone ignores what
//! trails); an unknown codec, schema version or kind is an error, never a guess.
//!
//! bincode is positional, so a type that was shipped never changes. Core's event and entity types are schema version 1,
//! pinned by golden bytes in `tests/golden/v1`. A change means: freeze the old type here as a struct of version 1, add an
//! upcaster to the new one, raise [`SCHEMA_VERSION`], and give [`decode_event`] and [`decode_state`] one more arm.

use bincode::{
    config::{self, Config},
    enc::write::Writer,
    error::EncodeError,
};
use holdfast_core::{CartId, OrderId, SkuId};
use holdfast_core::{EntityId, EntityKind, Event, id::IdError};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    event_type::event_type,
    state::{EntityState, EntityStateRef},
};

/// The codec in front of a payload: bincode 2, little-endian, variable-length integers.
pub(crate) const CODEC: u8 = 1;
/// The schema version written today.
pub(crate) const SCHEMA_VERSION: u8 = 1;
/// No payload is longer than this, in bytes.
const MAX_PAYLOAD_BYTES: usize = 256 << 20;

/// Why bytes cannot be read, or a value not be written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Written by a codec this version does not know.
    #[error("unknown codec {0}: written by a newer version")]
    UnknownCodec(u8),
    /// Written in a schema version this version does not know.
    #[error("unknown schema version {0}: written by a newer version")]
    UnknownSchema(u8),
    /// Not a kind of entity.
    #[error("unknown kind of entity {0}: written by a newer version")]
    UnknownKind(u8),
    /// The event is not of the type its record says.
    #[error("the payload is event type {decoded}, its record says {recorded}")]
    EventType {
        /// What the payload is.
        decoded: u8,
        /// What the record says.
        recorded: u8,
    },
    /// The entity id is not one.
    #[error("the entity id is malformed")]
    EntityId,
    /// The value is of another entity or version than what it is stored as.
    #[error("the value is of another entity or version than what it is stored as")]
    Misplaced,
    /// The fixed fields in front of the payload are cut short.
    #[error("the bytes end before the payload begins")]
    CutShort,
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The payload is longer than any may be.
    #[error("a payload of {bytes} bytes is too large")]
    TooLarge {
        /// Its length, in bytes.
        bytes: u64,
    },
    /// The payload goes on after the value.
    #[error("{trailing} bytes are left over after the value")]
    Trailing {
        /// How many bytes are left over.
        trailing: u64,
    },
    /// The payload is not a value of its type, or the value cannot be encoded.
    #[error("the payload is malformed: {0}")]
    Malformed(String),
}

/// Lets bincode append to a buffer that is reused.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends the event's payload to `out`.
pub(crate) fn encode_event(event: &Event, out: &mut Vec<u8>) -> Result<(), CodecError> {
    match event {
        Event::Stock(event) => encode(event, out),
        Event::Product(event) => encode(event, out),
        Event::Cart(event) => encode(event, out),
        Event::Order(event) => encode(event, out),
    }
}

/// Reads an event of `kind` written with `codec` and `schema`, and checks that it is of type `recorded`.
pub(crate) fn decode_event(
    codec: u8,
    schema: u8,
    kind: EntityKind,
    recorded: u8,
    payload: &[u8],
) -> Result<Event, CodecError> {
    let event = match (codec, schema) {
        (CODEC, 1) => match kind {
            EntityKind::Stock => Event::Stock(decode(payload)?),
            EntityKind::Product => Event::Product(decode(payload)?),
            EntityKind::Cart => Event::Cart(decode(payload)?),
            EntityKind::Order => Event::Order(decode(payload)?),
        },
        (CODEC, schema) => return Err(CodecError::UnknownSchema(schema)),
        (codec, _) => return Err(CodecError::UnknownCodec(codec)),
    };
    let decoded = event_type(&event);
    if decoded != recorded {
        return Err(CodecError::EventType { decoded, recorded });
    }
    Ok(event)
}

/// Appends the state's payload to `out`.
pub(crate) fn encode_state(state: &EntityStateRef<'_>, out: &mut Vec<u8>) -> Result<(), CodecError> {
    match state {
        EntityStateRef::Stock(stock) => encode(stock, out),
        EntityStateRef::Product(product) => encode(product, out),
        EntityStateRef::Cart(cart) => encode(cart, out),
        EntityStateRef::Order(order) => encode(order, out),
    }
}

/// Reads a state of `kind` written with `codec` and `schema`.
pub(crate) fn decode_state(codec: u8, schema: u8, kind: EntityKind, payload: &[u8]) -> Result<EntityState, CodecError> {
    match (codec, schema) {
        (CODEC, 1) => Ok(match kind {
            EntityKind::Stock => EntityState::Stock(decode(payload)?),
            EntityKind::Product => EntityState::Product(decode(payload)?),
            EntityKind::Cart => EntityState::Cart(decode(payload)?),
            EntityKind::Order => EntityState::Order(decode(payload)?),
        }),
        (CODEC, schema) => Err(CodecError::UnknownSchema(schema)),
        (codec, _) => Err(CodecError::UnknownCodec(codec)),
    }
}

/// Appends an entity id without its kind: the SKU's text, or the 128 bits little-endian. At most 64 bytes.
pub(crate) fn encode_id(id: &EntityId, out: &mut Vec<u8>) {
    match id {
        EntityId::Stock(sku) | EntityId::Product(sku) => out.extend_from_slice(sku.as_str().as_bytes()),
        EntityId::Cart(cart) => out.extend_from_slice(&cart.as_u128().to_le_bytes()),
        EntityId::Order(order) => out.extend_from_slice(&order.as_u128().to_le_bytes()),
    }
}

/// Reads what [`encode_id`] wrote.
pub(crate) fn decode_id(kind: EntityKind, bytes: &[u8]) -> Result<EntityId, CodecError> {
    let sku = || {
        let text = str::from_utf8(bytes).map_err(|_| CodecError::EntityId)?;
        SkuId::parse(text).map_err(|IdError { .. }| CodecError::EntityId)
    };
    let bits = || bytes.try_into().map(u128::from_le_bytes).map_err(|_| CodecError::EntityId);
    Ok(match kind {
        EntityKind::Stock => EntityId::Stock(sku()?),
        EntityKind::Product => EntityId::Product(sku()?),
        EntityKind::Cart => EntityId::Cart(CartId::from_u128(bits()?)),
        EntityKind::Order => EntityId::Order(OrderId::from_u128(bits()?)),
    })
}

/// Appends any value to `out`, for a reader of the same version: what is sent to another node and kept nowhere.
///
/// # Errors
/// [`CodecError::Malformed`] for what bincode cannot write: a map or list whose length nobody knows beforehand.
pub fn encode_value<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode(value, out)
}

/// Reads what [`encode_value`] wrote, from its first byte to its last.
///
/// # Errors
/// [`CodecError::Malformed`] when the bytes are no such value, [`CodecError::Trailing`] when they go on after it,
/// [`CodecError::TooLarge`] when they are more than any value may have.
pub fn decode_value<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    decode(payload)
}

fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    bincode::serde::encode_into_writer(value, Appender(out), config::standard())
        .map_err(|error| CodecError::Malformed(error.to_string()))
}

/// Decodes with the smallest limit that cannot refuse an honest payload of this length: bincode counts an integer by its
/// size in memory, up to 16 bytes for one byte on disk.
fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CodecError> {
    match payload.len() {
        0..=0x1000 => decode_within(payload, config::standard().with_limit::<0x1_0000>()),
        0x1001..=0x10_0000 => decode_within(payload, config::standard().with_limit::<0x100_0000>()),
        0x10_0001..=MAX_PAYLOAD_BYTES => decode_within(payload, config::standard().with_limit::<0x1_0000_0000>()),
        len => Err(CodecError::TooLarge { bytes: len as u64 }),
    }
}

fn decode_within<T: DeserializeOwned>(payload: &[u8], config: impl Config) -> Result<T, CodecError> {
    let (value, consumed) =
        bincode::serde::decode_from_slice(payload, config).map_err(|error| CodecError::Malformed(error.to_string()))?;
    match payload.len() - consumed {
        0 => Ok(value),
        trailing => Err(CodecError::Trailing { trailing: trailing as u64 }),
    }
}

#[cfg(test)]
mod tests;
