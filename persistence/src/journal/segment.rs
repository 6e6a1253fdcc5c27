//! A segment: one file of a fixed size, zeroed before it is used, named by its generation, with a header in front.
//!
//! ```text
//! magic | format | shards | store id | generation | first_lsn | next seq of every shard | crc32c | zeros to 64 bytes
//! ```
//!
//! Invariants: generations follow each other without a gap; a segment is *begun* (its header says which record it begins
//! with, and that header is synced) before its first frame is written. Until then `first_lsn` is 0 and it is a spare. The
//! shards' sequence numbers make each segment readable on its own, even when all before it were purged.

use holdfast_core::ShardCount;

use crate::{store::StoreId, wire::Fields};

const MAGIC: &[u8; 8] = b"HFSEGMT\0";
/// The segment format written and read by this version.
pub(super) const FORMAT: u32 = 1;
const FIXED_BYTES: usize = 48;
const CRC_BYTES: usize = 4;
const ALIGNMENT: usize = 64;
const PREFIX: &str = "segment-";
const SUFFIX: &str = ".journal";

/// The name of a segment that is still being zeroed.
pub(super) const PREPARING: &str = "segment.preparing";

/// What a segment's header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: StoreId,
    pub(super) generation: u64,
    /// The number of the first record; 0 for a spare.
    pub(super) first_lsn: u64,
    /// Per shard, the sequence number its next record gets; all 1 in a spare.
    pub(super) next_seqs: Vec<u64>,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Cut short, not a header, or the checksum does not match.
    NotIntact,
    /// Another format.
    Format(u32),
}

/// Bytes of the header of a deployment with `shards` shards: where the first frame begins.
pub(super) const fn header_bytes(shards: ShardCount) -> usize {
    padded(shards.get() as usize)
}

const fn padded(shards: usize) -> usize {
    (FIXED_BYTES + 8 * shards + CRC_BYTES).next_multiple_of(ALIGNMENT)
}

/// The most bytes any header takes.
pub(super) const MAX_HEADER_BYTES: usize = padded(ShardCount::MAX as usize);

/// The file name of a generation.
pub(super) fn file_name(generation: u64) -> String {
    format!("{PREFIX}{generation:010}{SUFFIX}")
}

/// The generation a file name stands for, if it is a segment's name.
pub(super) fn generation_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let generation = digits.parse().ok()?;
    (file_name(generation) == name).then_some(generation)
}

impl Header {
    /// The header of a segment that no record is in yet.
    pub(super) fn spare(store: StoreId, generation: u64, shards: ShardCount) -> Self {
        Self { store, generation, first_lsn: 0, next_seqs: vec![1; shards.get().into()] }
    }

    pub(super) const fn is_spare(&self) -> bool {
        self.first_lsn == 0
    }

    /// Where the first frame begins, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        padded(self.next_seqs.len())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.next_seqs.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.store.to_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.first_lsn.to_le_bytes());
        for next_seq in &self.next_seqs {
            out.extend_from_slice(&next_seq.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.resize(self.bytes(), 0);
        out
    }

    /// Reads a header from the front of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, BadHeader> {
        let mut fields = Fields::new(bytes);
        let parsed = (|| {
            let magic = fields.array::<8>()?;
            let (format, shards) = (fields.u32()?, fields.u32()?);
            (magic == *MAGIC).then_some((format, shards))
        })();
        let (format, shards) = parsed.ok_or(BadHeader::NotIntact)?;
        if format != FORMAT {
            return Err(BadHeader::Format(format));
        }
        let shards = u16::try_from(shards).ok().and_then(|shards| ShardCount::new(shards).ok());
        let shards = shards.ok_or(BadHeader::NotIntact)?;
        Self::parse_body(bytes, &mut fields, shards).ok_or(BadHeader::NotIntact)
    }

    fn parse_body(bytes: &[u8], fields: &mut Fields<'_>, shards: ShardCount) -> Option<Self> {
        let (store, generation, first_lsn) = (fields.array()?, fields.u64()?, fields.u64()?);
        let next_seqs = (0..shards.get()).map(|_| fields.u64()).collect::<Option<Vec<_>>>()?;
        let covered = bytes.get(..bytes.len() - fields.rest().len())?;
        let crc = fields.u32()?;
        (crc == crc32c::crc32c(covered)).then_some(Self {
            store: StoreId::from_bytes(store),
            generation,
            first_lsn,
            next_seqs,
        })
    }
}
