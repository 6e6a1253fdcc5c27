//! Names as numbers: a customer or SKU is kept once and its orders refer to it in 4 bytes.

use std::hash::{BuildHasher, Hash};

use crate::{
    id_map::IdHasher,
    rows::{Chunked, Positions},
};

/// Names in the order of their first mention. A name costs its own size and 10 to 15 bytes.
pub(super) struct Names<T> {
    list: Chunked<T>,
    numbers: Positions,
    hasher: IdHasher,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { list: Chunked::default(), numbers: Positions::default(), hasher: IdHasher::default() }
    }
}

impl<T: Hash + Eq + Clone> Names<T> {
    /// The number of `name`, if it was mentioned.
    pub(super) fn find(&self, name: &T) -> Option<u32> {
        self.numbers.find(self.hasher.hash_one(name), |number| self.list.at(number) == name)
    }

    /// The number of `name`, from now on if not before. `None` when every number is taken.
    pub(super) fn number(&mut self, name: &T) -> Option<u32> {
        if let Some(known) = self.find(name) {
            return Some(known);
        }
        let number = self.list.push(name.clone())?;
        self.numbers.put(self.hasher.hash_one(name), number, |_| false);
        Some(number)
    }

    /// The name of a number.
    pub(super) fn name(&self, number: u32) -> &T {
        self.list.at(number)
    }

    /// Memory of names and numbers, in bytes, without what long names keep elsewhere.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        self.list.allocated_bytes() + self.numbers.allocated_bytes()
    }
}
