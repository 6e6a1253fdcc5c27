//! A frame: what one sync makes durable. `len | crc32c | generation | first_lsn | count | records`, little-endian.
//!
//! Invariant: a frame counts only if its checksum matches *and* it says the generation of the segment it lies in *and* it
//! begins at the record number that is due. The checksum starts from the store's id, so neither a stale frame of a
//! recycled segment, nor one of another store, nor bytes a client put into a text field can pass for a frame.
//!
//! `len` counts the bytes after `len` and `crc32c`. A record number (LSN) counts records over all shards, from 1.

use holdfast_core::planted;

use crate::{store::StoreId, wire::Fields};

/// Bytes in front of the records.
pub(super) const HEADER_BYTES: usize = 28;
/// Bytes in front of what the checksum covers.
const PREFIX_BYTES: usize = 8;

/// The identity that a frame's checksum starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seed(u32);

impl Seed {
    pub(super) fn of_store(store: StoreId) -> Self {
        Self(crc32c::crc32c(&store.to_bytes()))
    }
}

/// Where a frame belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment's generation.
    pub(super) generation: u64,
    /// The number of the frame's first record.
    pub(super) first_lsn: u64,
    /// How many records it holds.
    pub(super) count: u32,
}

/// Fills in the header that `frame` keeps room for: its first [`HEADER_BYTES`] bytes.
pub(super) fn seal(frame: &mut [u8], seed: Seed, place: Place) {
    let len = u32::try_from(frame.len() - PREFIX_BYTES).unwrap_or(u32::MAX);
    frame[8..16].copy_from_slice(&place.generation.to_le_bytes());
    frame[16..24].copy_from_slice(&place.first_lsn.to_le_bytes());
    frame[24..28].copy_from_slice(&place.count.to_le_bytes());
    let crc = crc32c::crc32c_append(seed.0, &frame[PREFIX_BYTES..]);
    frame[..4].copy_from_slice(&len.to_le_bytes());
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// What lies at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parsed {
    /// An intact frame of this many bytes, header included.
    Frame {
        /// Where it says it belongs.
        place: Place,
        /// Its length, header included.
        bytes: usize,
    },
    /// It may be a frame, of this many bytes, but not all of them are here.
    Incomplete {
        /// Its length, header included.
        bytes: usize,
    },
    /// No frame, and why not.
    Bad(&'static str),
}

/// Looks for a frame at the beginning of `bytes`, which may be followed by others.
pub(super) fn parse(bytes: &[u8], seed: Seed, generation: u64) -> Parsed {
    let mut fields = Fields::new(bytes);
    let (Some(len), Some(crc)) = (fields.u32(), fields.u32()) else {
        return Parsed::Incomplete { bytes: HEADER_BYTES };
    };
    let len = len as usize;
    if len < HEADER_BYTES - PREFIX_BYTES {
        return Parsed::Bad("its length is impossible");
    }
    let total = PREFIX_BYTES + len;
    let Some(covered) = bytes.get(PREFIX_BYTES..total) else {
        return Parsed::Incomplete { bytes: total };
    };
    let (Some(found), Some(first_lsn), Some(count)) = (fields.u64(), fields.u64(), fields.u32()) else {
        return Parsed::Bad("its length is impossible");
    };
    // Before the checksum, because it is cheap and stale or shifted bytes mostly fail here.
    if found != generation {
        return Parsed::Bad("it is of another generation");
    }
    if crc32c::crc32c_append(seed.0, covered) != crc && !planted!(ChecksumIgnored) {
        return Parsed::Bad("its checksum does not match");
    }
    Parsed::Frame { place: Place { generation, first_lsn, count }, bytes: total }
}
