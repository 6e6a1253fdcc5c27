//! The positions of many rows, found by the hash of their keys.
//!
//! Made of many small parts that grow each for itself, by a half, so that growing stops the feed only for microseconds and wastes
//! little: 10 to 15 bytes per entry.

use std::hint::black_box;

use holdfast_core::places::Places;

/// Parts of a table: chosen by the highest 8 bits of the hash.
const PARTS: usize = 256;

/// A table of positions.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// None until the first entry comes: most tables of a node with many shards have none.
    parts: Vec<Places>,
}

impl Table {
    /// The entry of `hash` that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = split(hash);
        self.parts.get(part)?.find(tag, is_it)
    }

    /// Reads the place where the search for an entry of `hash` begins.
    pub(crate) fn touch(&self, hash: u64) {
        let (part, tag) = split(hash);
        black_box(self.parts.get(part).and_then(|part| part.first(tag)));
    }

    /// Puts `position` in place of the entry of `hash` that `is_it` accepts, or adds it.
    pub(crate) fn put(&mut self, hash: u64, position: u32, is_it: impl Fn(u32) -> bool) {
        let (part, tag) = split(hash);
        if self.parts.is_empty() {
            self.parts = vec![Places::default(); PARTS];
        }
        self.parts[part].put(tag, position, is_it);
    }

    /// Takes out the entry of `hash` that `is_it` accepts, and says what it was.
    pub(crate) fn take(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = split(hash);
        self.parts.get_mut(part)?.take(tag, is_it)
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
}

/// The part of a hash and its tag.
#[expect(clippy::cast_possible_truncation, reason = "the highest 8 bits, and the lowest 32")]
const fn split(hash: u64) -> (usize, u32) {
    ((hash >> 56) as usize, hash as u32)
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_key_is_found_again_whatever_their_hashes(
            keys in prop::collection::vec(any::<u64>(), 0..400), narrow in 0..4_u32,
        ) {
            // Few different hashes put many keys in one part, and in one run of places.
            let hasher = RandomState::new();
            let hash = |key: u64| hasher.hash_one(key) >> (narrow * 20);
            let mut table = Table::default();
            for (position, key) in (0_u32..).zip(&keys) {
                table.put(hash(*key), position, |_| false);
            }
            for (position, key) in (0_u32..).zip(&keys) {
                prop_assert_eq!(table.find(hash(*key), |entry| entry == position), Some(position));
            }
            prop_assert_eq!(table.find(hash(1), |_| false), None);
        }
    }

    #[test]
    fn putting_a_key_again_replaces_its_position() {
        let mut table = Table::default();
        table.put(9, 1, |_| false);
        table.put(9, 2, |entry| entry == 1);
        assert_eq!(table.find(9, |_| true), Some(2));
        assert_eq!(table.find(9, |entry| entry == 1), None);
    }
}
