//! Snapshots packed together, as a message or an object elsewhere carries them, little-endian:
//! `magic | store | shard | watermark | number | count | (kind | length of id | id | length | snapshot)* | crc32c`.
//!
//! Invariant: a page is only ever read as the one that is asked for. A damaged one, or one of another store, shard, watermark
//! or number, is an error.

use holdfast_core::{EntityId, ShardId};

use super::{EncodedSnapshot, decode_snapshot};
use crate::{
    codec::{self, CodecError},
    event_type::kind_of,
    state::EntityState,
    store::StoreId,
    wire::Fields,
};

const MAGIC: &[u8; 8] = b"HFPAGE\x00\x01";
/// Magic, store, shard, watermark and number, in bytes.
const TITLE_BYTES: usize = 8 + 16 + 2 + 8 + 4;

/// Which page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageTitle {
    /// Whose snapshots.
    pub store: StoreId,
    /// Of which shard.
    pub shard: ShardId,
    /// The record up to which all pages together contain everything.
    pub watermark: u64,
    /// Which of them, from 0.
    pub number: u32,
}

/// A page being filled.
#[derive(Debug)]
pub struct Page {
    bytes: Vec<u8>,
    count: u32,
}

impl PageTitle {
    fn to_bytes(self) -> [u8; TITLE_BYTES] {
        let mut bytes = [0; TITLE_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.store.to_bytes());
        bytes[24..26].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[26..34].copy_from_slice(&self.watermark.to_le_bytes());
        bytes[34..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }
}

impl Page {
    /// An empty page.
    pub fn begin(title: PageTitle) -> Self {
        let mut bytes = title.to_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes, count: 0 }
    }

    /// Appends one snapshot.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] for what no page can carry.
    pub fn push(&mut self, snapshot: &EncodedSnapshot) -> Result<(), CodecError> {
        let mut id = Vec::with_capacity(80);
        codec::encode_id(&snapshot.entity, &mut id);
        let too_large = |bytes: usize| CodecError::TooLarge { bytes: bytes as u64 };
        let id_len = u16::try_from(id.len()).map_err(|_| too_large(id.len()))?;
        let len = u32::try_from(snapshot.bytes.len()).map_err(|_| too_large(snapshot.bytes.len()))?;
        self.bytes.push(snapshot.entity.kind() as u8);
        self.bytes.extend_from_slice(&id_len.to_le_bytes());
        self.bytes.extend_from_slice(&id);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&snapshot.bytes);
        self.count += 1;
        Ok(())
    }

    /// Snapshots in it, in number.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// What it takes, in bytes, its checksum aside.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no snapshot in it.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The page's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[TITLE_BYTES..TITLE_BYTES + 4].copy_from_slice(&self.count.to_le_bytes());
        let crc = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&crc.to_le_bytes());
        self.bytes
    }
}

/// Gives `sink` every snapshot of the page that is titled so, with its version. How many there were.
///
/// # Errors
/// [`CodecError::Checksum`] for damage, [`CodecError::Misplaced`] for another page.
pub fn read_page(
    bytes: &[u8],
    title: &PageTitle,
    sink: &mut dyn FnMut(EntityId, u64, EntityState),
) -> Result<u32, CodecError> {
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(CodecError::CutShort)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(CodecError::Checksum);
    }
    let mut fields = Fields::new(body);
    if fields.array::<TITLE_BYTES>().ok_or(CodecError::CutShort)? != title.to_bytes() {
        return Err(CodecError::Misplaced);
    }
    let count = fields.u32().ok_or(CodecError::CutShort)?;
    for _ in 0..count {
        let kind = fields.u8().ok_or(CodecError::CutShort)?;
        let kind = kind_of(kind).ok_or(CodecError::UnknownKind(kind))?;
        let id_len = fields.u16().ok_or(CodecError::CutShort)?;
        let id = fields.bytes(usize::from(id_len)).ok_or(CodecError::CutShort)?;
        let entity = codec::decode_id(kind, id)?;
        let len = fields.u32().and_then(|len| usize::try_from(len).ok()).ok_or(CodecError::CutShort)?;
        let (version, state) = decode_snapshot(&entity, fields.bytes(len).ok_or(CodecError::CutShort)?)?;
        sink(entity, version, state);
    }
    match fields.rest().len() {
        0 => Ok(count),
        trailing => Err(CodecError::Trailing { trailing: trailing as u64 }),
    }
}
