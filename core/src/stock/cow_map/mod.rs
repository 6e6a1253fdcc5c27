//! A map for the units of a hot SKU: found in two looks at memory whatever their number, cloned at once, and growing in
//! small steps.
//!
//! The entries lie in rows, in the order they came, and a table has the position of each. Why not a `BTreeMap`: a search of a large
//! one goes through five or six nodes that are in no cache, and an order is searched for four times. Why not a hash map: an entry of
//! 80 bytes has its place anywhere in a large memory, and whoever changes one after a clone copies all that lie around it.
//!
//! A clone shares the pieces the map is made of; whoever changes one that is shared copies that one first.
//!
//! Invariants: the table has the position of every row and of nothing else; and nothing can be seen of the order of the rows: what
//! is listed is sorted first.

mod large;
mod small;

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    fmt,
    hash::{BuildHasher as _, Hash},
    marker::PhantomData,
};

use foldhash::quality::FixedState;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};

use large::Large;
use small::Small;

/// A piece with room for so few rows gives none of it back.
const FEW: usize = 64;

/// A map in shared pieces, for as many as 32 bits can count.
#[derive(Clone)]
pub(super) enum CowMap<K, V> {
    /// Nothing yet.
    Empty,
    /// In one piece: nearly every SKU's.
    Small(Arc<Small<K, V>>),
    /// In many.
    Large(Box<Large<K, V>>),
}

/// What a row is found by, where the keys themselves are not at hand.
#[derive(Clone, Copy)]
struct Spread(u64);

impl Spread {
    /// The same in every process, although nothing follows from it but how long a search takes.
    fn of(key: &impl Hash) -> Self {
        Self(FixedState::with_seed(1).hash_one(key))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lowest 32 bits")]
    const fn tag(self) -> u32 {
        self.0 as u32
    }
}

impl<K, V> CowMap<K, V> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Small(small) => small.rows().len(),
            Self::Large(large) => large.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        let (small, large) = match self {
            Self::Empty => (None, None),
            Self::Small(small) => (Some(small.rows()), None),
            Self::Large(large) => (None, Some(large.iter())),
        };
        small.into_iter().flatten().chain(large.into_iter().flatten())
    }
}

impl<K: Clone + Ord + Hash, V: Clone> CowMap<K, V> {
    pub(super) const fn new() -> Self {
        Self::Empty
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Empty => None,
            Self::Small(small) => small.get(Spread::of(key), key),
            Self::Large(large) => large.get(Spread::of(key), key),
        }
    }

    /// Reads what a search for `key` begins with: [`Places::first`](crate::places::Places::first).
    pub(super) fn touch(&self, key: &K) -> Option<u32> {
        match self {
            Self::Empty => None,
            Self::Small(small) => small.touch(Spread::of(key)),
            Self::Large(large) => large.touch(Spread::of(key)),
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Empty => None,
            Self::Small(small) => small.get_mut(Spread::of(key), key),
            Self::Large(large) => large.get_mut(Spread::of(key), key),
        }
    }

    /// Puts `value` in place of what `key` had.
    pub(super) fn insert(&mut self, key: K, value: V) {
        match self.get_mut(&key) {
            Some(before) => *before = value,
            None => self.add(key, value),
        }
    }

    /// Adds a key that is not there.
    pub(super) fn add(&mut self, key: K, value: V) {
        match self {
            Self::Empty => *self = Self::Small(Arc::new(Small::new())),
            Self::Small(small) => {
                if let Some(rows) = small.outgrown() {
                    *self = Self::Large(Box::new(Large::of(rows)));
                }
            }
            Self::Large(_) => {}
        }
        let spread = Spread::of(&key);
        match self {
            Self::Empty => {}
            Self::Small(small) => small.add(spread, key, value),
            Self::Large(large) => large.add(spread, key, value),
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Self::Empty => None,
            Self::Small(small) => small.remove(Spread::of(key), key),
            Self::Large(large) => large.remove(Spread::of(key), key),
        }
    }

    /// Everything, in the order of the keys. Sorts all of it first.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut all: Vec<&(K, V)> = self.iter().collect();
        // With the keys beside each other: to go to each key for each comparison costs several times as much.
        all.sort_by_cached_key(|(key, _)| key.clone());
        all.into_iter().map(|(key, value)| (key, value))
    }
}

impl<K: Clone + Ord + Hash + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for CowMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

/// As an ordered map is written.
impl<K: Clone + Ord + Hash + Serialize, V: Clone + Serialize> Serialize for CowMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.sorted() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Clone + Ord + Hash + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for CowMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Clone + Ord + Hash + Deserialize<'de>, V: Clone + Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = CowMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<CowMap<K, V>, A::Error> {
                let mut map = CowMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    map.insert(key, value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Two are equal that have the same, however they came to it.
impl<K: Clone + Ord + Hash, V: Clone + PartialEq> PartialEq for CowMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Clone + Ord + Hash, V: Clone + Eq> Eq for CowMap<K, V> {}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::id::{CustomerId, OrderId};

    proptest! {
        #[test]
        fn it_is_an_ordered_map_and_so_is_every_clone_of_it(
            before in prop_oneof![Just(0..0), Just(100..1_110_u128)],
            steps in prop::collection::vec((0..20_u8, 0..60_u128, any::<u128>()), 0..300),
        ) {
            // From nothing, and from where it is divided soon.
            let mut map = of(before.clone());
            let mut model: BTreeMap<OrderId, u128> = before.map(|number| (id(number), number)).collect();
            let mut clones = Vec::new();
            for (step, key, value) in steps {
                match step {
                    0..=9 => {
                        map.insert(id(key), value);
                        model.insert(id(key), value);
                    }
                    10..=12 => prop_assert_eq!(map.get_mut(&id(key)).map(|is| *is = value), model.get_mut(&id(key)).map(|is| *is = value)),
                    13 => clones.push((map.clone(), model.clone())),
                    _ => prop_assert_eq!(map.remove(&id(key)), model.remove(&id(key))),
                }
                prop_assert_eq!(map.get(&id(key)), model.get(&id(key)));
            }
            clones.push((map, model));
            for (map, model) in clones {
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.sorted().eq(&model));
            }
        }
    }

    /// As ids are: spread over all their bits.
    fn id(number: u128) -> OrderId {
        OrderId::from_u128(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    fn of(numbers: core::ops::Range<u128>) -> CowMap<OrderId, u128> {
        let mut map = CowMap::new();
        for number in numbers {
            map.insert(id(number), number);
        }
        map
    }

    #[test]
    fn what_is_put_in_is_found_listed_in_order_and_taken_out_again_however_much_it_is() {
        for count in [0, 1, 10, 1_023, 1_024, 1_025, 20_000] {
            let mut map = of(0..count);
            assert!((0..count).all(|number| map.get(&id(number)) == Some(&number)));
            assert_eq!(map.get(&id(count)), None);
            let listed: Vec<&OrderId> = map.sorted().map(|(order, _)| order).collect();
            assert!(listed.is_sorted() && listed.len() as u128 == count && map.len() as u128 == count);
            for number in 0..count {
                *map.get_mut(&id(number)).unwrap() += 1;
                assert_eq!(map.remove(&id(number)), Some(number + 1));
                assert_eq!((map.remove(&id(number)), map.get_mut(&id(number))), (None, None));
            }
            assert_eq!(map.sorted().count(), 0);
        }
    }

    #[test]
    fn a_clone_stays_as_it_was_whatever_becomes_of_the_map() {
        for count in [10, 1_024, 5_000] {
            let mut map = of(0..count);
            let clone = map.clone();
            map.insert(id(count), 7);
            *map.get_mut(&id(0)).unwrap() = 8;
            map.remove(&id(1));
            assert_eq!(clone, of(0..count));
            assert_ne!(map, clone);
            assert_eq!((map.get(&id(count)), map.get(&id(0)), map.get(&id(1))), (Some(&7), Some(&8), None));
        }
    }

    #[test]
    fn what_is_taken_out_gives_its_room_back() {
        let mut map = of(0..100_000);
        let room = |map: &CowMap<OrderId, u128>| match map {
            CowMap::Empty => 0,
            CowMap::Small(small) => small.allocated_bytes(),
            CowMap::Large(large) => large.allocated_bytes(),
        };
        let most = room(&map);
        assert!((100..100_000).all(|number| map.remove(&id(number)) == Some(number)));
        assert!(room(&map) < most / 5, "{} of {most}", room(&map));
        assert_eq!(map, of(0..100));
    }

    #[test]
    fn two_with_the_same_are_equal_also_when_one_of_them_was_larger_once() {
        let mut shrunk = of(0..5_000);
        assert!((10..5_000).all(|number| shrunk.remove(&id(number)) == Some(number)));
        assert_eq!(shrunk, of(0..10));
        assert_ne!(shrunk, of(0..9));
        assert_ne!(shrunk, of(0..11));
        assert_ne!(shrunk, of(1..11));
        *shrunk.get_mut(&id(3)).unwrap() = 4;
        assert_ne!(shrunk, of(0..10));
    }

    #[test]
    fn it_is_shown_in_the_order_of_the_keys() {
        let ordered: BTreeMap<_, _> = (0..3_000).map(|number| (id(number), number)).collect();
        assert_eq!(format!("{:?}", of(0..3_000)), format!("{ordered:?}"));
    }

    #[test]
    fn what_is_written_is_what_an_ordered_map_writes_and_is_read_back() {
        let ordered: BTreeMap<_, _> = (0..3_000).map(|number| (id(number), number)).collect();
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(of(0..3_000), config).unwrap();
        assert_eq!(bytes, bincode::serde::encode_to_vec(&ordered, config).unwrap());
        let (read, _) = bincode::serde::decode_from_slice::<CowMap<OrderId, u128>, _>(&bytes, config).unwrap();
        assert_eq!(read, of(0..3_000));
    }

    #[test]
    fn no_part_of_a_large_map_has_much_more_than_its_share() {
        fn most<K, V>(map: &CowMap<K, V>) -> Option<usize> {
            let CowMap::Large(large) = map else { return None };
            large.largest_part()
        }
        let mut customers = CowMap::new();
        for number in 0..64_000 {
            customers.insert(CustomerId::parse(&format!("customer-{number}")).unwrap(), ());
        }
        assert!(most(&of(0..64_000)).is_some_and(|most| most < 500));
        assert!(most(&customers).is_some_and(|most| most < 500));
    }
}
