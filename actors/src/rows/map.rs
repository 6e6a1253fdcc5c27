//! A map whose entries lie in the order they came, but for those that took the row of one that left: whoever adds one writes beside
//! the one before, and to one place of the table that looking for it has read already.
//!
//! Why not a `HashMap`: the entry of a new id has its place anywhere in a large memory, and the processor waits until it knows where
//! that is. And it doubles by moving all of its entries, inside a turn.
//!
//! A turn asks for the same entry several times in a row: the one that was found last is looked at before the table is.
//!
//! Invariant: the table has the position of every row that is taken, and `free` of every other.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, Hash},
};

use super::{Chunked, NONE, Positions};
use crate::{chunked_queue::ChunkedQueue, id_map::IdHasher};

/// A map from ids, for as many as 32 bits can count.
#[derive(Debug)]
pub(crate) struct RowMap<K, V> {
    rows: Chunked<Option<(K, V)>>,
    table: Positions,
    /// Rows that whoever was in them has left.
    free: ChunkedQueue<u32>,
    /// The row that was found last. Whoever is in it by now says so itself.
    last: Cell<u32>,
    len: usize,
    hasher: IdHasher,
}

impl<K, V> Default for RowMap<K, V> {
    fn default() -> Self {
        Self {
            rows: Chunked::default(),
            table: Positions::default(),
            free: ChunkedQueue::default(),
            last: Cell::new(NONE),
            len: 0,
            hasher: IdHasher::default(),
        }
    }
}

impl<K: Hash + Eq, V> RowMap<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        let position = self.position(key)?;
        self.rows.at(position).as_ref().map(|(_, value)| value)
    }

    /// Has the processor fetch what looking for `key` begins with.
    pub(crate) fn touch(&self, key: &K) {
        self.table.touch(self.hasher.hash_one(key));
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let position = self.position(key)?;
        self.rows.at_mut(position).as_mut().map(|(_, value)| value)
    }

    /// The value of `key`, after `make` has made it if there was none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce(&K) -> V) -> &mut V {
        let position = self.position(&key).unwrap_or_else(|| {
            // Made first: a panic leaves no row that nobody is in.
            let value = make(&key);
            let position = self.add(&key);
            *self.rows.at_mut(position) = Some((key, value));
            position
        });
        let row = self.rows.at_mut(position).as_mut();
        row.map_or_else(|| unreachable!("the table names rows that are taken"), |(_, value)| value)
    }

    /// Puts it in place of what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let position = self.position(&key).unwrap_or_else(|| self.add(&key));
        self.rows.at_mut(position).replace((key, value)).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let (rows, hash) = (&self.rows, self.hasher.hash_one(key));
        let position = self.table.take(hash, |position| is_at(rows, position, key))?;
        self.free.push_back(position);
        self.len -= 1;
        self.rows.at_mut(position).take().map(|(_, value)| value)
    }

    fn position(&self, key: &K) -> Option<u32> {
        let last = self.last.get();
        if is_at(&self.rows, last, key) {
            return Some(last);
        }
        let position = self.table.find(self.hasher.hash_one(key), |position| is_at(&self.rows, position, key))?;
        self.last.set(position);
        Some(position)
    }

    /// Gives an id that is not there a row, which is to be filled at once.
    ///
    /// # Panics
    /// When there are more than 32 bits can count, for which no memory suffices.
    fn add(&mut self, key: &K) -> u32 {
        let position = self.free.pop_front().or_else(|| self.rows.push(None)).unwrap_or(NONE);
        assert!(position != NONE, "more entries than 32 bits can count");
        self.table.put(self.hasher.hash_one(key), position, |_| false);
        self.last.set(position);
        self.len += 1;
        position
    }
}

impl<K, V> RowMap<K, V> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.rows.iter().flatten().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.rows.iter().flatten().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.rows.iter_mut().flatten().map(|(key, value)| (&*key, value))
    }
}

fn is_at<K: Eq, V>(rows: &Chunked<Option<(K, V)>>, position: u32, key: &K) -> bool {
    rows.get(position).and_then(Option::as_ref).is_some_and(|(is, _)| is == key)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        panic::{AssertUnwindSafe, catch_unwind},
    };

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_map_but_for_the_order(steps in prop::collection::vec((0..4_u8, 0..30_u16, any::<u8>()), 0..400)) {
            let (mut map, mut model) = (RowMap::default(), BTreeMap::new());
            for (step, key, value) in steps {
                match step {
                    0 => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                    1 => prop_assert_eq!(*map.get_or_insert_with(key, |_| value), *model.entry(key).or_insert(value)),
                    2 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => prop_assert_eq!(map.get_mut(&key).map(|is| *is = value), model.get_mut(&key).map(|is| *is = value)),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.len(), model.len());
            }
            let mut entries: Vec<(u16, u8)> = map.keys().copied().zip(map.values().copied()).collect();
            entries.sort_unstable();
            prop_assert!(entries.iter().copied().eq(model));
        }
    }

    #[test]
    fn one_that_cannot_be_made_leaves_nothing_behind() {
        let mut map: RowMap<u32, ()> = RowMap::default();
        let made = catch_unwind(AssertUnwindSafe(|| *map.get_or_insert_with(7, |_| panic!("it cannot be made"))));
        assert!(made.is_err());
        assert_eq!((map.len(), map.get(&7), map.rows.iter().count()), (0, None, 0));
        assert_eq!(map.insert(7, ()), None);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn who_comes_after_another_has_left_takes_that_row() {
        let mut map = RowMap::default();
        for round in 0..10_u32 {
            (0..100).for_each(|key| assert_eq!(map.insert(round * 100 + key, ()), None));
            (0..100).for_each(|key| assert_eq!(map.remove(&(round * 100 + key)), Some(())));
        }
        assert_eq!((map.len(), map.rows.iter().count()), (0, 100));
    }
}
