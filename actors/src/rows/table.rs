//! A hash table of positions: 8 bytes per place, for keys that live in a [`Chunked`](super::chunked::Chunked) list already.
//! A `HashMap` would hold every key a second time, 24 to 48 bytes of it.
//!
//! Invariants: every position put in is found again by its hash, until it is taken out; a part that has places has an empty one.
//!
//! A place keeps half of the hash beside the position, so that neither probing nor growing has to look at the keys, which
//! are cold memory. The table is made of many small parts that grow each for itself, by a half, so that growing stops
//! the feed only for microseconds and wastes little: 10 to 15 bytes per entry.

use std::hint::black_box;

use super::chunked::NONE;

/// Parts of a table: chosen by the highest 8 bits of the hash.
const PARTS: usize = 256;

/// Open addressing with linear probing; at most 4/5 full.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// None until the first entry comes: most tables of a node with many shards have none.
    parts: Vec<Part>,
}

#[derive(Debug, Default, Clone)]
struct Part {
    places: Vec<Place>,
    filled: usize,
}

/// A place is empty when its position is [`NONE`].
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The low half of the hash.
    tag: u32,
    position: u32,
}

const EMPTY: Place = Place { tag: 0, position: NONE };

impl Table {
    /// The entry of `hash` that `is_it` accepts.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (part, tag) = split(hash);
        let part = self.parts.get(part)?;
        part.find(tag, is_it).map(|place| part.places[place].position)
    }

    /// Reads the place where the search for an entry of `hash` begins. Unlike a search it has no branch that the processor has to
    /// guess before it knows what is there, so that it goes on to the next place meanwhile.
    pub(crate) fn touch(&self, hash: u64) {
        let (part, tag) = split(hash);
        black_box(self.parts.get(part).and_then(|part| part.places.get(part.home(tag))).map(|place| place.position));
    }

    /// Puts `position` in place of the entry of `hash` that `is_it` accepts, or adds it.
    pub(crate) fn put(&mut self, hash: u64, position: u32, is_it: impl Fn(u32) -> bool) {
        let (part, tag) = split(hash);
        if self.parts.is_empty() {
            self.parts = vec![Part::default(); PARTS];
        }
        let part = &mut self.parts[part];
        part.make_room();
        part.put(Place { tag, position }, |place| place.tag == tag && is_it(place.position));
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
        self.parts.iter().map(|part| part.places.capacity() * size_of::<Place>()).sum()
    }
}

impl Part {
    /// The place where `tag` belongs.
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.places.len() as u64) >> 32) as usize
    }

    /// The place behind `place`.
    fn next(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    /// The place of the entry of `tag` that `is_it` accepts. A loop by hand: what is asked of cold memory is to be reached in few
    /// instructions, so that the processor has the next search under way as well.
    fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mut place = self.home(tag);
        loop {
            let entry = self.places.get(place)?;
            if entry.position == NONE {
                return None;
            }
            if entry.tag == tag && is_it(entry.position) {
                return Some(place);
            }
            place = self.next(place);
        }
    }

    /// Empties the place of that entry, and moves those behind it up that would not be found any more.
    fn take(&mut self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut hole = self.find(tag, is_it)?;
        let taken = self.places[hole].position;
        let places = self.places.len();
        let mut place = hole;
        loop {
            place = self.next(place);
            let entry = self.places[place];
            if entry.position == NONE {
                break;
            }
            // How far it is from where it belongs, and from the hole: it may go no farther up than to its home.
            let away = |from: usize| (place + places - from) % places;
            if away(self.home(entry.tag)) >= away(hole) {
                self.places[hole] = entry;
                hole = place;
            }
        }
        self.places[hole] = EMPTY;
        self.filled -= 1;
        Some(taken)
    }

    /// Fills the first place of the run that is empty or that `replaces` accepts. There is an empty one.
    fn put(&mut self, entry: Place, replaces: impl Fn(Place) -> bool) {
        let mut place = self.home(entry.tag);
        while self.places[place].position != NONE && !replaces(self.places[place]) {
            place = self.next(place);
        }
        let before = std::mem::replace(&mut self.places[place], entry);
        self.filled += usize::from(before.position == NONE);
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
    use std::{
        collections::BTreeSet,
        hash::{BuildHasher, RandomState},
    };

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

        #[test]
        fn what_is_taken_out_is_gone_and_the_others_are_found_in_whatever_order_they_come_and_go(
            steps in prop::collection::vec((any::<bool>(), 0..40_u32), 0..600), narrow in 0..4_u32,
        ) {
            let hasher = RandomState::new();
            let hash = |key: u32| hasher.hash_one(key) >> (narrow * 20);
            let (mut table, mut model) = (Table::default(), BTreeSet::new());
            for (comes, key) in steps {
                if comes {
                    table.put(hash(key), key, |entry| entry == key);
                    model.insert(key);
                } else {
                    prop_assert_eq!(table.take(hash(key), |entry| entry == key), model.take(&key));
                }
                for key in 0..40 {
                    prop_assert_eq!(table.find(hash(key), |entry| entry == key), model.get(&key).copied());
                }
            }
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
