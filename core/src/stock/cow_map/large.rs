//! A map in many pieces: one table or one list of a million would grow by moving all of it, and be copied whole, inside a turn. What
//! comes after a clone is written to the last rows, so that those before stay shared.
//!
//! Invariant: every piece of rows but the last has [`ROWS`], and none is empty.

use alloc::{sync::Arc, vec::Vec};
use core::{hash::Hash, iter, mem};

use super::{FEW, Spread};
use crate::places::{NONE, Places};

/// The parts of the table, a power of two: of a million orders each has 40 to 60 KB to copy, or to move when it grows.
const PARTS: usize = 256;
/// Rows of a piece: of promises 80 KB to copy, and of a million of them a thousand pieces to share.
const ROWS: usize = super::small::MOST;

#[derive(Clone)]
pub(in crate::stock) struct Large<K, V> {
    table: Vec<Arc<Places>>,
    rows: Vec<Arc<Vec<(K, V)>>>,
}

impl<K, V> Large<K, V> {
    pub(super) fn len(&self) -> usize {
        let Some((last, full)) = self.rows.split_last() else { return 0 };
        full.len().saturating_mul(ROWS).saturating_add(last.len())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.rows.iter().flat_map(|rows| rows.iter())
    }

    pub(super) fn touch(&self, spread: Spread) -> Option<u32> {
        self.table[part(spread)].first(spread.tag())
    }

    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(|rows| rows.capacity().saturating_mul(size_of::<(K, V)>())).sum();
        self.table.iter().map(|part| part.allocated_bytes()).fold(rows, usize::saturating_add)
    }

    #[cfg(test)]
    pub(super) fn largest_part(&self) -> Option<usize> {
        self.table.iter().map(|part| part.len()).max()
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Large<K, V> {
    pub(super) fn of(rows: Vec<(K, V)>) -> Self {
        // They are not spread evenly, and more will come: three times what a part has on average lasts for a while.
        let part = Places::with_room_for(rows.len().div_ceil(PARTS).saturating_mul(3));
        let table = iter::repeat_with(|| Arc::new(part.clone())).take(PARTS).collect();
        let mut large = Self { table, rows: Vec::new() };
        for (key, value) in rows {
            large.add(Spread::of(&key), key, value);
        }
        large
    }

    pub(super) fn get(&self, spread: Spread, key: &K) -> Option<&V> {
        self.position(spread, key).map(|position| &self.row(position).1)
    }

    pub(super) fn get_mut(&mut self, spread: Spread, key: &K) -> Option<&mut V> {
        let position = self.position(spread, key)?;
        Some(&mut self.row_mut(position).1)
    }

    /// Adds a key that is not there.
    ///
    /// # Panics
    /// When there are more than 32 bits can count, for which no memory suffices.
    pub(super) fn add(&mut self, spread: Spread, key: K, value: V) {
        let next = u32::try_from(self.len()).unwrap_or(NONE);
        assert!(next != NONE, "more entries than 32 bits can count");
        self.part_mut(spread).put(spread.tag(), next, |_| false);
        self.push((key, value));
    }

    pub(super) fn remove(&mut self, spread: Spread, key: &K) -> Option<V> {
        let position = self.position(spread, key)?;
        let part = self.part_mut(spread);
        part.take(spread.tag(), |entry| entry == position);
        part.shrink();
        let last = self.pop()?;
        let before = self.len();
        if position as usize == before {
            return Some(last.1);
        }
        // The last row fills the gap.
        let spread = Spread::of(&last.0);
        self.part_mut(spread).put(spread.tag(), position, |entry| entry as usize == before);
        Some(mem::replace(self.row_mut(position), last).1)
    }

    fn position(&self, spread: Spread, key: &K) -> Option<u32> {
        self.table[part(spread)].find(spread.tag(), |position| self.row(position).0 == *key)
    }

    fn row(&self, position: u32) -> &(K, V) {
        &self.rows[position as usize / ROWS][position as usize % ROWS]
    }

    fn row_mut(&mut self, position: u32) -> &mut (K, V) {
        &mut Arc::make_mut(&mut self.rows[position as usize / ROWS])[position as usize % ROWS]
    }

    fn part_mut(&mut self, spread: Spread) -> &mut Places {
        Arc::make_mut(&mut self.table[part(spread)])
    }

    fn push(&mut self, row: (K, V)) {
        match self.rows.last_mut() {
            Some(last) if last.len() < ROWS => {
                let last = Arc::make_mut(last);
                if last.len() == last.capacity() {
                    last.reserve_exact(last.len().max(FEW).min(ROWS.saturating_sub(last.len())));
                }
                last.push(row);
            }
            _ => {
                let mut next = Vec::with_capacity(ROWS);
                next.push(row);
                self.rows.push(Arc::new(next));
            }
        }
    }

    fn pop(&mut self) -> Option<(K, V)> {
        let rows = Arc::make_mut(self.rows.last_mut()?);
        let last = rows.pop();
        if rows.is_empty() {
            self.rows.pop();
        } else if rows.capacity() > FEW && rows.len() < rows.capacity() / 8 {
            rows.shrink_to(rows.len().saturating_mul(2));
        }
        last
    }
}

/// The part of the table, by the highest bits.
const fn part(spread: Spread) -> usize {
    const LOWER_BITS: u32 = u64::BITS - PARTS.trailing_zeros();
    (spread.0 >> LOWER_BITS) as usize
}
