//! A map in one piece: table and rows beside each other, so that a sale of a thousand SKUs meets few places of memory at each.

use alloc::{sync::Arc, vec::Vec};
use core::{hash::Hash, mem};

use super::{FEW, Spread};
use crate::places::Places;

/// Up to so many rows are in one piece. Of promises that are 80 KB to copy.
pub(super) const MOST: usize = 1_024;

#[derive(Clone)]
pub(in crate::stock) struct Small<K, V> {
    table: Places,
    rows: Vec<(K, V)>,
}

impl<K, V> Small<K, V> {
    pub(super) fn new() -> Self {
        Self { table: Places::new(), rows: Vec::new() }
    }

    pub(super) fn rows(&self) -> &[(K, V)] {
        &self.rows
    }

    pub(super) fn touch(&self, spread: Spread) -> Option<u32> {
        self.table.first(spread.tag())
    }

    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes().saturating_add(self.rows.capacity().saturating_mul(size_of::<(K, V)>()))
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Small<K, V> {
    /// The rows, once there are so many that they belong into several pieces.
    pub(super) fn outgrown(self: &mut Arc<Self>) -> Option<Vec<(K, V)>> {
        (self.rows.len() >= MOST).then(|| mem::take(&mut Arc::make_mut(self).rows))
    }

    pub(super) fn get(&self, spread: Spread, key: &K) -> Option<&V> {
        self.position(spread, key).map(|position| &self.rows[position as usize].1)
    }

    pub(super) fn get_mut<'a>(self: &'a mut Arc<Self>, spread: Spread, key: &K) -> Option<&'a mut V> {
        let position = self.position(spread, key)?;
        Some(&mut Arc::make_mut(self).rows[position as usize].1)
    }

    /// Adds a key that is not there. There is room for one more.
    pub(super) fn add(self: &mut Arc<Self>, spread: Spread, key: K, value: V) {
        let Self { table, rows } = Arc::make_mut(self);
        let Ok(next) = u32::try_from(rows.len()) else { unreachable!("a small map has at most {MOST} rows") };
        table.put(spread.tag(), next, |_| false);
        rows.push((key, value));
    }

    pub(super) fn remove(self: &mut Arc<Self>, spread: Spread, key: &K) -> Option<V> {
        let position = self.position(spread, key)?;
        let Self { table, rows } = Arc::make_mut(self);
        table.take(spread.tag(), |entry| entry == position);
        table.shrink();
        let (_, removed) = rows.swap_remove(position as usize);
        if let Some((last, _)) = rows.get(position as usize) {
            // The last row fills the gap.
            table.put(Spread::of(last).tag(), position, |entry| entry as usize == rows.len());
        }
        if rows.capacity() > FEW && rows.len() < rows.capacity() / 8 {
            rows.shrink_to(rows.len().saturating_mul(2));
        }
        Some(removed)
    }

    fn position(&self, spread: Spread, key: &K) -> Option<u32> {
        self.table.find(spread.tag(), |position| self.rows[position as usize].0 == *key)
    }
}
