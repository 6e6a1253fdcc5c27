//! The positions of many rows, found by the hash of their keys.
//!
//! A small table is in one piece, so that a sale of a thousand SKUs meets few places of memory. A large one is made of many parts
//! that grow each for itself, so that growing stops the feed only for microseconds; it is divided once, which moves 40 KB, and stays
//! so. Both grow by a half, to waste little: 10 to 15 bytes per entry, or 22 when it has just been divided.

use std::hint::black_box;

use holdfast_core::places::Places;

/// Parts of a large table: chosen by the highest bits of the tag.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 8;

/// Up to so many entries are in one piece.
const IN_ONE_PIECE: usize = 4_096;

/// A table of positions.
#[derive(Debug)]
pub(crate) struct Positions {
    /// One, or [`PARTS`].
    parts: Box<[Places]>,
}

impl Default for Positions {
    fn default() -> Self {
        Self { parts: Box::new([Places::new()]) }
    }
}

impl Positions {
    /// The entry of `hash` that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = self.split(hash);
        self.parts[part].find(tag, is_it)
    }

    /// Reads the place where the search for an entry of `hash` begins.
    pub(crate) fn touch(&self, hash: u64) {
        let (part, tag) = self.split(hash);
        black_box(self.parts[part].first(tag));
    }

    /// Puts `position` in place of the entry of `hash` that `is_it` accepts, or adds it.
    pub(crate) fn put(&mut self, hash: u64, position: u32, is_it: impl Fn(u32) -> bool) {
        if let [all] = &*self.parts
            && all.len() >= IN_ONE_PIECE
        {
            self.parts = divided(all);
        }
        let (part, tag) = self.split(hash);
        self.parts[part].put(tag, position, is_it);
    }

    /// Takes out the entry of `hash` that `is_it` accepts, and says what it was.
    pub(crate) fn take(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = self.split(hash);
        self.parts[part].take(tag, is_it)
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Memory of the places, in bytes.
    #[cfg(test)]
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.parts.iter().map(Places::allocated_bytes).sum()
    }

    /// The part of a hash, and its tag there.
    #[expect(clippy::cast_possible_truncation, reason = "the lowest 32 bits")]
    fn split(&self, hash: u64) -> (usize, u32) {
        let tag = hash as u32;
        if self.parts.len() == 1 { (0, tag) } else { in_parts(tag) }
    }
}

/// The part of a tag, and the tag there. It begins with the bits that tell its entries apart: a search begins where they say.
const fn in_parts(tag: u32) -> (usize, u32) {
    ((tag >> (u32::BITS - PART_BITS)) as usize, tag.rotate_left(PART_BITS))
}

/// The same in many parts.
fn divided(all: &Places) -> Box<[Places]> {
    // They are not spread evenly, and more will come.
    let mut parts = vec![Places::with_room_for(all.len() / PARTS * 2); PARTS];
    for (tag, position) in all.iter() {
        let (part, tag) = in_parts(tag);
        parts[part].put(tag, position, |_| false);
    }
    parts.into()
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_is_found_again_whatever_their_hashes(
            keys in prop::collection::vec(any::<u64>(), 0..400), narrow in 0..4_u32, before in prop_oneof![Just(0_u32), Just(3_900)],
        ) {
            // Few different hashes put many keys in one part, and in one run of places.
            let hasher = RandomState::new();
            let hash = |key: u64| hasher.hash_one(key) >> (narrow * 20);
            let others = || (0..before).map(|other| (u32::MAX - 1 - other, hasher.hash_one(("other", other))));
            let mut table = Positions::default();
            for (position, hash) in others() {
                table.put(hash, position, |_| false);
            }
            for (position, key) in (0_u32..).zip(&keys) {
                table.put(hash(*key), position, |_| false);
            }
            prop_assert_eq!(table.parts.len() > 1, before as usize + keys.len() > IN_ONE_PIECE);
            let entries: Vec<(u32, u64)> =
                (0_u32..).zip(&keys).map(|(position, key)| (position, hash(*key))).chain(others()).collect();
            let moved = |position: u32| position ^ (1 << 30);
            for (position, hash) in entries.iter().copied() {
                prop_assert_eq!(table.find(hash, |entry| entry == position), Some(position));
                table.put(hash, moved(position), |entry| entry == position);
                prop_assert_eq!(table.find(hash, |entry| entry == position), None);
            }
            for (position, hash) in entries.iter().copied() {
                prop_assert_eq!(table.take(hash, |entry| entry == moved(position)), Some(moved(position)));
                prop_assert_eq!(table.find(hash, |entry| entry == moved(position)), None);
                table.put(hash, position, |_| false);
                prop_assert_eq!(table.find(hash, |entry| entry == position), Some(position));
            }
        }
    }

    #[test]
    fn putting_a_key_again_replaces_its_position() {
        let mut table = Positions::default();
        table.put(9, 1, |_| false);
        table.put(9, 2, |entry| entry == 1);
        assert_eq!(table.find(9, |_| true), Some(2));
        assert_eq!(table.find(9, |entry| entry == 1), None);
    }
}
