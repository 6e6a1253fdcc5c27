//! A map that grows in small steps: many maps, each with the ids of one part, that double each for itself.
//!
//! Why: one map of a million orders doubles by moving all of them into fresh memory, inside a turn: a hundred milliseconds in
//! which nobody is sold anything. Sixty-four maps do the same work in as many turns.
//!
//! Invariant: an id is only ever in its own part, so this is one map with another way of growing.

use std::{collections::hash_map::Entry, hash::Hash};

use holdfast_core::{CartId, OrderId, SkuId};

use crate::id_map::IdMap;

/// How many parts. A part of a million orders is 0.5 MB to move.
const PARTS: usize = 64;

/// An id that says which part it belongs to.
pub(crate) trait Parted {
    /// Any number that is spread evenly and follows from the id.
    fn spread(&self) -> u128;
}

impl Parted for OrderId {
    /// Its upper bits are a digest.
    fn spread(&self) -> u128 {
        self.as_u128() >> 64
    }
}

impl Parted for CartId {
    /// It is a digest.
    fn spread(&self) -> u128 {
        self.as_u128() >> 64
    }
}

impl Parted for SkuId {
    /// All in one part: a catalog grows when it is loaded, not in a sale.
    fn spread(&self) -> u128 {
        0
    }
}

/// A map from ids in parts.
#[derive(Debug)]
pub(crate) struct PartedMap<K, V> {
    parts: Vec<IdMap<K, V>>,
    /// How many ids there are in all parts: asked for in every turn, when to look at every part would cost more than the turn
    /// of a lone order.
    len: usize,
}

impl<K, V> Default for PartedMap<K, V> {
    fn default() -> Self {
        Self { parts: (0..PARTS).map(|_| IdMap::default()).collect(), len: 0 }
    }
}

fn part<K: Parted>(key: &K) -> usize {
    (key.spread() % PARTS as u128) as usize
}

impl<K: Parted + Hash + Eq, V> PartedMap<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.parts[part(key)].get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.parts[part(key)].get_mut(key)
    }

    /// The value of `key`, after `make` has made it if there was none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce(&K) -> V) -> &mut V {
        match self.parts[part(&key)].entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let value = make(new.key());
                self.len += 1;
                new.insert(value)
            }
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let before = self.parts[part(&key)].insert(key, value);
        self.len += usize::from(before.is_none());
        before
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.parts[part(key)].remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }
}

impl<K, V> PartedMap<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.parts.iter().flat_map(IdMap::keys)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(IdMap::values)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.parts.iter_mut().flat_map(IdMap::iter_mut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> OrderId {
        OrderId::from_u128(number << 64 | 7)
    }

    #[test]
    fn what_is_put_in_is_found_changed_listed_and_taken_out_again() {
        let mut map = PartedMap::default();
        for number in 0..1_000 {
            assert_eq!(*map.get_or_insert_with(id(number), |_| number), number);
            assert_eq!(map.insert(id(number), number + 1), Some(number));
        }
        assert_eq!(map.len(), 1_000);
        map.iter_mut().for_each(|(_, value)| *value += 1);
        assert_eq!(map.get(&id(9)), Some(&11));
        assert_eq!(map.get_mut(&id(1_000)), None);
        assert_eq!(map.remove(&id(9)), Some(11));
        assert_eq!((map.get(&id(9)), map.len()), (None, 999));
        let mut keys: Vec<OrderId> = map.keys().copied().collect();
        keys.sort_unstable();
        assert!(keys.into_iter().eq((0..1_000).filter(|number| *number != 9).map(id)));
        assert_eq!(map.values().sum::<u128>(), (2..1_002).sum::<u128>() - 11);
    }

    #[test]
    fn no_part_has_much_more_than_its_share_of_ids() {
        let mut map = PartedMap::default();
        for number in 0..64_000 {
            map.insert(id(number), ());
        }
        assert!(map.parts.iter().all(|part| part.len() <= 1_100));
    }
}
