//! A hash table of positions: 8 bytes per place, for keys that live in a [`Chunked`](super::chunked::Chunked) list already.
//! A `HashMap` would hold every key a second time, 24 to 48 bytes of it.
//!
//! Invariant: every position put in is found again by its hash. Nothing is ever taken out.
//!
//! A place keeps half of the hash beside the position, so that neither probing nor growing has to look at the keys, which
//! are cold memory. The table is made of many small parts that grow each for itself, by a half, so that growing stops
//! the feed only for microseconds and wastes little: 10 to 15 bytes per entry.

use super::chunked::NONE;

/// Parts of a table: chosen by the highest 8 bits of the hash.
const PARTS: usize = 256;

/// Open addressing with linear probing; at most 4/5 full.
pub(crate) struct Table {
    parts: Vec<Part>,
}

#[derive(Default, Clone)]
struct Part {
    places: Vec<Place>,
    filled: usize,
}

/// A place is empty when its position is [`NONE`].
#[derive(Clone, Copy)]
struct Place {
    /// The low half of the hash.
    tag: u32,
    position: u32,
}

const EMPTY: Place = Place { tag: 0, position: NONE };

impl Default for Table {
    fn default() -> Self {
        Self { parts: vec![Part::default(); PARTS] }
    }
}

impl Table {
    /// The entry of `hash` that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = split(hash);
        let part = &self.parts[part];
        let run = part.probe(tag).map(|place| part.places[place]).take_while(|place| place.position != NONE);
        run.filter(|place| place.tag == tag).map(|place| place.position).find(|position| is_it(*position))
    }

    /// Puts `position` in place of the entry of `hash` that `is_it` accepts, or adds it.
    pub(crate) fn put(&mut self, hash: u64, position: u32, is_it: impl Fn(u32) -> bool) {
        let (part, tag) = split(hash);
        let part = &mut self.parts[part];
        part.make_room();
        part.put(Place { tag, position }, |place| place.tag == tag && is_it(place.position));
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Memory of the places, in bytes.
    #[cfg(test)]
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.places.capacity() * size_of::<Place>()).sum()
    }
}

impl Part {
    /// Every place once, beginning where `tag` belongs.
    fn probe(&self, tag: u32) -> impl Iterator<Item = usize> + use<> {
        let places = self.places.len();
        let first = ((u64::from(tag) * places as u64) >> 32) as usize;
        (first..places).chain(0..first)
    }

    /// Fills the first place of the run that is empty or that `replaces` accepts.
    fn put(&mut self, entry: Place, replaces: impl Fn(Place) -> bool) {
        let fits = |place: &usize| self.places[*place].position == NONE || replaces(self.places[*place]);
        if let Some(place) = self.probe(entry.tag).find(fits) {
            let before = std::mem::replace(&mut self.places[place], entry);
            self.filled += usize::from(before.position == NONE);
        }
    }

    /// Adds a half to the places when the next entry would fill more than 4/5 of them.
    fn make_room(&mut self) {
        let places = self.places.len();
        if (self.filled + 1) * 5 <= places * 4 {
            return;
        }
        let before = std::mem::replace(&mut self.places, vec![EMPTY; places + places / 2 + 4]);
        self.filled = 0;
        for entry in before.into_iter().filter(|place| place.position != NONE) {
            self.put(entry, |_| false);
        }
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
