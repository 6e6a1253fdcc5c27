//! A map for the units of a hot SKU: found in two looks at memory whatever their number, cloned at once, and growing in
//! small steps.
//!
//! Why not a `BTreeMap`: a search of a large one goes through five or six nodes that are in no cache, and an order is searched
//! for four times. Why in parts: one table of a million doubles by moving all of it, and a clone would copy all of it, both
//! inside a turn. Here a clone shares the parts; whoever changes one that is shared copies that one first.
//!
//! Invariants: a key is only ever in the part that follows from it; and nothing can be seen of the order within a hash table:
//! what is listed is sorted first.

use alloc::{sync::Arc, vec, vec::Vec};
use core::{
    fmt,
    hash::{BuildHasher as _, Hash},
    marker::PhantomData,
};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, hash_map::Entry};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};

use crate::id::{CustomerId, OrderId};

/// Up to so many keys are in one part: nearly every SKU's. Dividing them takes some 500 us.
const UNDIVIDED: usize = 2_048;
/// The parts of more, a power of two: of a million orders each has 0.3 to 0.6 MB to copy, or to move when it doubles.
const PARTS: usize = 256;

/// A part with room for so few gives none of it back.
const SMALL: usize = 64;

type Part<K, V> = HashMap<K, V, FixedState>;

/// A key that says where it belongs.
pub(super) trait Key: Clone + Ord + Hash {
    /// Follows from the key; the highest bits are spread evenly.
    fn spread(&self) -> u64;
}

impl Key for OrderId {
    /// Its upper bits are a digest.
    fn spread(&self) -> u64 {
        (self.as_u128() >> u64::BITS) as u64
    }
}

impl Key for CustomerId {
    fn spread(&self) -> u64 {
        // Another seed than the tables': their places follow from the same bits.
        FixedState::with_seed(1).hash_one(self)
    }
}

/// A map in shared parts.
#[derive(Clone)]
pub(super) struct CowMap<K, V> {
    /// None, one, or [`PARTS`].
    parts: Vec<Arc<Part<K, V>>>,
}

impl<K, V> CowMap<K, V> {
    pub(super) const fn new() -> Self {
        Self { parts: Vec::new() }
    }
}

impl<K: Key, V: Clone> CowMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).fold(0, usize::saturating_add)
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.parts.get(self.part(key))?.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let part = self.part(key);
        Arc::make_mut(self.parts.get_mut(part)?).get_mut(key)
    }

    /// The place of `key`, taken or free.
    pub(super) fn entry(&mut self, key: K) -> Entry<'_, K, V, FixedState> {
        self.make_room();
        let part = self.part(&key);
        Arc::make_mut(&mut self.parts[part]).entry(key)
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let part = self.part(key);
        let part = Arc::make_mut(self.parts.get_mut(part)?);
        let removed = part.remove(key);
        if part.capacity() > SMALL && part.len() < part.capacity() / 8 {
            part.shrink_to(part.len().saturating_mul(2));
        }
        removed
    }

    /// Everything, in the order of the keys. Sorts all of it first.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut all: Vec<(&K, &V)> = self.parts.iter().flat_map(|part| part.iter()).collect();
        // With the keys beside each other: to go to each key for each comparison costs several times as much.
        all.sort_by_cached_key(|(key, _)| (*key).clone());
        all.into_iter()
    }

    /// Where `key` is, were it there.
    fn part(&self, key: &K) -> usize {
        if self.parts.len() == PARTS { part_of_many(key) } else { 0 }
    }

    fn make_room(&mut self) {
        match self.parts.as_slice() {
            [] => self.parts = vec![Arc::default()],
            [only] if only.len() >= UNDIVIDED => {
                let mut parts = vec![Part::default(); PARTS];
                for (key, value) in only.iter() {
                    parts[part_of_many(key)].insert(key.clone(), value.clone());
                }
                self.parts = parts.into_iter().map(Arc::new).collect();
            }
            _ => {}
        }
    }
}

/// The part of `key` among [`PARTS`]: its highest bits.
fn part_of_many(key: &impl Key) -> usize {
    const LOWER_BITS: u32 = u64::BITS - PARTS.trailing_zeros();
    (key.spread() >> LOWER_BITS) as usize
}

impl<K: Key + fmt::Debug, V: Clone + fmt::Debug> fmt::Debug for CowMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

/// As an ordered map is written.
impl<K: Key + Serialize, V: Clone + Serialize> Serialize for CowMap<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.sorted() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Key + Deserialize<'de>, V: Clone + Deserialize<'de>> Deserialize<'de> for CowMap<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Key + Deserialize<'de>, V: Clone + Deserialize<'de>> Visitor<'de> for Entries<K, V> {
            type Value = CowMap<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<CowMap<K, V>, A::Error> {
                let mut map = CowMap::new();
                while let Some((key, value)) = entries.next_entry()? {
                    map.entry(key).insert(value);
                }
                Ok(map)
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// Two are equal that have the same, however they came to it.
impl<K: Key, V: Clone + PartialEq> PartialEq for CowMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let mut entries = self.parts.iter().flat_map(|part| part.iter());
        self.len() == other.len() && entries.all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Key, V: Clone + Eq> Eq for CowMap<K, V> {}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format, vec::Vec};

    use super::*;

    /// As ids are: spread over all their bits.
    fn id(number: u128) -> OrderId {
        OrderId::from_u128(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    fn of(numbers: core::ops::Range<u128>) -> CowMap<OrderId, u128> {
        let mut map = CowMap::new();
        for number in numbers {
            map.entry(id(number)).insert(number);
        }
        map
    }

    #[test]
    fn what_is_put_in_is_found_listed_in_order_and_taken_out_again_however_much_it_is() {
        for count in [0, 1, 10, 2_047, 2_048, 2_049, 20_000] {
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
        for count in [10, 2_048, 5_000] {
            let mut map = of(0..count);
            let clone = map.clone();
            map.entry(id(count)).insert(7);
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
        let room = |map: &CowMap<OrderId, u128>| map.parts.iter().map(|part| part.capacity()).sum::<usize>();
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
        fn most<K: Key, V: Clone>(map: &CowMap<K, V>) -> Option<usize> {
            map.parts.iter().map(|part| part.len()).max()
        }
        let mut customers = CowMap::new();
        for number in 0..64_000 {
            customers.entry(CustomerId::parse(&format!("customer-{number}")).unwrap()).insert(());
        }
        assert!(most(&of(0..64_000)) < Some(500));
        assert!(most(&customers) < Some(500));
    }
}
