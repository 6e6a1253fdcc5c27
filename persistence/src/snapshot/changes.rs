//! Events of one entity behind its snapshot, in bytes: `codec | schema version | kind | first version | (event type | length |
//! payload)* | crc32c`, little-endian.
//!
//! Invariant: the checksum covers the entity's id and all bytes before it, as a snapshot's does; and events are only applied
//! to the very version they follow. So a stretch that was damaged, moved or lost is an error and never another state.

use holdfast_core::{EntityId, EntityKind, Event};

use super::entry::{checksum, verify};
use crate::{
    codec::{self, CodecError},
    event_type::{event_type, kind_of},
    state::EntityState,
    wire::Fields,
};

/// A stretch of an entity's events being gathered.
#[derive(Debug)]
pub(crate) struct Changes {
    first: u64,
    last: u64,
    bytes: Vec<u8>,
}

/// What is behind the events: their checksum.
const CHECKSUM_BYTES: usize = 4;

impl Changes {
    /// Begins with the event that led an entity of `kind` to version `first`.
    pub(crate) fn begin(kind: EntityKind, first: u64) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[codec::CODEC, codec::SCHEMA_VERSION, kind as u8]);
        bytes.extend_from_slice(&first.to_le_bytes());
        Self { first, last: first.saturating_sub(1), bytes }
    }

    /// Appends the event that led to the next version.
    pub(crate) fn push(&mut self, event: &Event) -> Result<(), CodecError> {
        self.bytes.extend_from_slice(&[event_type(event), 0, 0, 0, 0]);
        let begins = self.bytes.len();
        codec::encode_event(event, &mut self.bytes)?;
        let bytes = (self.bytes.len() - begins) as u64;
        let len = u32::try_from(bytes).map_err(|_| CodecError::TooLarge { bytes })?;
        self.bytes[begins - 4..begins].copy_from_slice(&len.to_le_bytes());
        self.last += 1;
        Ok(())
    }

    /// The version the first event led to.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The version the last event led to.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// How long it is once it is finished, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + CHECKSUM_BYTES
    }

    /// The bytes to store under `entity`.
    pub(crate) fn finish(mut self, entity: &EntityId) -> Vec<u8> {
        let crc = checksum(entity, &self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Applies a stretch of events that was stored for the state's entity. Those the state contains already are passed over.
///
/// # Errors
/// [`CodecError::Checksum`] for damage; [`CodecError::Gap`] when events are missing in between; the other variants for bytes
/// that are intact but from another version. The state may have taken in some of the events then.
pub fn apply_changes(state: &mut EntityState, bytes: &[u8]) -> Result<(), CodecError> {
    let entity = state.id();
    let mut fields = Fields::new(verify(&entity, bytes)?);
    let mut byte = || fields.u8().ok_or(CodecError::CutShort);
    let (codec, schema, kind) = (byte()?, byte()?, byte()?);
    let mut version = fields.u64().ok_or(CodecError::CutShort)?;
    let kind = kind_of(kind).ok_or(CodecError::UnknownKind(kind))?;
    if kind != entity.kind() {
        return Err(CodecError::Misplaced);
    }
    while !fields.rest().is_empty() {
        let recorded = fields.u8().ok_or(CodecError::CutShort)?;
        let payload = fields.u32().and_then(|len| fields.bytes(len as usize)).ok_or(CodecError::CutShort)?;
        let known = state.version();
        if version == known + 1 {
            state.apply(&codec::decode_event(codec, schema, kind, recorded, payload)?);
        } else if version > known {
            return Err(CodecError::Gap { known, found: version });
        }
        version += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use holdfast_core::{
        Entity as _, HoldId, OrderId, Quantity, SkuId, Timestamp,
        stock::{StockEvent, StockItem},
    };

    use super::*;

    fn stock() -> StockItem {
        StockItem::new(SkuId::parse("HOT").unwrap())
    }

    fn events() -> Vec<Event> {
        let hold = HoldId { order: OrderId::from_u128(7), line: 0 };
        let quantity = Quantity::new(2).unwrap();
        let taken = StockEvent::Held { hold, quantity, expires_at: Timestamp::from_millis(9), customer: None };
        let events =
            [StockEvent::Received { quantity: Quantity::new(5).unwrap() }, taken, StockEvent::Allocated { hold }];
        events.into_iter().map(Event::Stock).collect()
    }

    fn stored(from: usize) -> Vec<u8> {
        let mut changes = Changes::begin(EntityKind::Stock, from as u64 + 1);
        for event in &events()[from..] {
            changes.push(event).unwrap();
        }
        assert_eq!((changes.first(), changes.last()), (from as u64 + 1, 3));
        let length = changes.len();
        let stored = changes.finish(&EntityId::Stock(stock().sku().clone()));
        assert_eq!(stored.len(), length, "what is weighed against the snapshot is what is stored");
        stored
    }

    fn after(count: usize) -> EntityState {
        let mut stock = stock();
        for event in &events()[..count] {
            let Event::Stock(event) = event else { panic!("stock has other events") };
            stock.apply(event);
        }
        EntityState::Stock(stock)
    }

    #[test]
    fn events_lead_from_a_snapshot_to_the_state_whatever_of_them_it_contains() {
        for known in 0..=3 {
            for from in 0..=known.min(2) {
                let mut state = after(known);
                apply_changes(&mut state, &stored(from)).unwrap();
                assert_eq!(state, after(3), "{known} events known, stored from {from}");
            }
        }
    }

    #[test]
    fn a_stretch_that_does_not_follow_the_snapshot_is_refused() {
        let error = apply_changes(&mut after(0), &stored(1)).unwrap_err();
        assert!(matches!(error, CodecError::Gap { known: 0, found: 2 }), "{error}");
    }

    #[test]
    fn a_stretch_of_another_entity_or_with_a_flipped_bit_is_refused() {
        let mut other = EntityState::Stock(StockItem::new(SkuId::parse("COLD").unwrap()));
        assert!(matches!(apply_changes(&mut other, &stored(0)), Err(CodecError::Checksum)));
        for place in 0..stored(0).len() {
            let mut bytes = stored(0);
            bytes[place] ^= 4;
            assert!(apply_changes(&mut after(0), &bytes).is_err(), "byte {place}");
        }
    }

    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let hex = stored(1).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        assert_eq!(hex, "010101020000000000000004060000000307000212000703000000060700192ec238");
    }
}
