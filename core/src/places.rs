//! Where things are: a hash table of positions, 8 bytes a place, for keys that lie in a list already.
//!
//! Why not a `HashMap`: it would hold every key a second time, 24 to 48 bytes of it, and whoever adds one writes to a random place of
//! a large memory. A place keeps half of the hash beside the position, so that neither probing nor growing has to look at the keys.
//!
//! Invariants: every position put in is found again by its tag, until it is taken out; a table that has places has an empty one.
#![expect(clippy::arithmetic_side_effects, reason = "indices of places, all below the length of a vector")]

use alloc::{boxed::Box, vec};
use core::mem;

/// No position: the end of a chain, an empty place in a table.
pub const NONE: u32 = u32::MAX;

/// A table with so few places gives none of them back.
const SMALL: usize = 64;

const EMPTY: Place = Place { tag: 0, position: NONE };

/// A table of positions with open addressing and linear probing, at most 4/5 full.
#[derive(Debug, Default, Clone)]
pub struct Places {
    places: Box<[Place]>,
    filled: usize,
}

/// Empty when the position is [`NONE`].
#[derive(Debug, Clone, Copy)]
struct Place {
    tag: u32,
    position: u32,
}

impl Places {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty table that takes so many positions before it grows.
    pub fn with_room_for(positions: usize) -> Self {
        Self { places: vec![EMPTY; positions + positions / 4 + 1].into(), filled: 0 }
    }

    /// How many positions there are.
    pub const fn len(&self) -> usize {
        self.filled
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// All positions with their tags.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.places.iter().filter(|place| place.position != NONE).map(|place| (place.tag, place.position))
    }

    /// The position with this tag that `is_it` accepts.
    #[inline]
    pub fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.place(tag, is_it).map(|place| self.places[place].position)
    }

    /// What is in the place where the search for `tag` begins. Unlike a search it has no branch that the processor has to guess
    /// before it knows what is there, so that it goes on to the next table meanwhile.
    #[inline]
    pub fn first(&self, tag: u32) -> Option<u32> {
        self.places.get(self.home(tag)).map(|place| place.position)
    }

    /// Puts `position` in place of the one with this tag that `replaces` accepts, or adds it.
    #[inline]
    pub fn put(&mut self, tag: u32, position: u32, replaces: impl Fn(u32) -> bool) {
        self.make_room();
        self.fill(Place { tag, position }, |place| place.tag == tag && replaces(place.position));
    }

    /// Takes out the position with this tag that `is_it` accepts, and says which it was.
    #[inline]
    pub fn take(&mut self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hole = self.place(tag, is_it)?;
        let taken = self.places[hole].position;
        self.close(hole);
        Some(taken)
    }

    /// Gives places back when less than an eighth of them is filled.
    pub fn shrink(&mut self) {
        if self.places.len() > SMALL && self.filled < self.places.len() / 8 {
            self.resize(self.filled * 2 + 4);
        }
    }

    /// Memory of the places, in bytes.
    pub fn allocated_bytes(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// The place where `tag` belongs.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.places.len() as u64) >> u32::BITS) as usize
    }

    /// The place behind `place`.
    #[inline]
    fn next(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    /// The place with this tag that `is_it` accepts. A loop by hand: what is asked of cold memory is to be reached in few
    /// instructions, so that the processor has the next search under way as well.
    #[inline]
    fn place(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<usize> {
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

    /// Fills the first place of the run that is empty or that `replaces` accepts. There is an empty one.
    #[inline]
    fn fill(&mut self, entry: Place, replaces: impl Fn(Place) -> bool) {
        let mut place = self.home(entry.tag);
        while self.places[place].position != NONE && !replaces(self.places[place]) {
            place = self.next(place);
        }
        let before = mem::replace(&mut self.places[place], entry);
        self.filled += usize::from(before.position == NONE);
    }

    /// Empties a place, and moves those behind it up that would not be found any more.
    fn close(&mut self, mut hole: usize) {
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
    }

    /// Adds a half to the places when the next entry would fill more than 4/5 of them.
    #[inline]
    fn make_room(&mut self) {
        let places = self.places.len();
        if (self.filled + 1) * 5 > places * 4 {
            self.resize(places + places / 2 + 4);
        }
    }

    fn resize(&mut self, places: usize) {
        let before = mem::replace(self, Self { places: vec![EMPTY; places].into(), filled: 0 });
        for (tag, position) in before.iter() {
            self.fill(Place { tag, position }, |_| false);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Tags that are spread over all their bits, or of which many are the same.
    fn tag(key: u32, narrow: u32) -> u32 {
        key.wrapping_mul(0x9e37_79b9) >> (narrow * 10)
    }

    proptest! {
        #[test]
        fn what_is_taken_out_is_gone_and_the_others_are_found_in_whatever_order_they_come_and_go(
            steps in prop::collection::vec((any::<bool>(), 0..40_u32), 0..600), narrow in 0..4_u32,
        ) {
            let (mut places, mut model) = (Places::default(), BTreeSet::new());
            for (comes, key) in steps {
                if comes {
                    places.put(tag(key, narrow), key, |entry| entry == key);
                    model.insert(key);
                } else {
                    prop_assert_eq!(places.take(tag(key, narrow), |entry| entry == key), model.take(&key));
                    places.shrink();
                }
                prop_assert_eq!(places.len(), model.len());
                for key in 0..40 {
                    prop_assert_eq!(places.find(tag(key, narrow), |entry| entry == key), model.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_is_most_of_it_and_nothing_is_lost() {
        let mut places = Places::default();
        (0..10_000).for_each(|key| places.put(tag(key, 0), key, |_| false));
        let most = places.allocated_bytes();
        for key in 10..10_000 {
            assert_eq!(places.take(tag(key, 0), |entry| entry == key), Some(key));
            places.shrink();
        }
        assert!((0..10).all(|key| places.find(tag(key, 0), |entry| entry == key) == Some(key)));
        assert!(places.allocated_bytes() < most / 50, "{} of {most}", places.allocated_bytes());
    }
}
