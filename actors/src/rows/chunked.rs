//! A growing list whose items never move: growth allocates one more chunk instead of copying what is there, so the
//! millionth order is not the one that waits for the first 999,999.
//!
//! Invariant: positions count from 0, are below [`NONE`], and stay with their item.

use holdfast_core::places::NONE;

/// Items of one chunk.
const CHUNK: usize = 4_096;

/// A list addressed by 32-bit positions.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Chunked<T> {
    /// Appends, and says where. `None` when every position is taken.
    pub(crate) fn push(&mut self, item: T) -> Option<u32> {
        let position = self.len;
        if position == NONE {
            return None;
        }
        if (position as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut()?.push(item);
        self.len += 1;
        Some(position)
    }

    /// The item at `position`, which must have come from this list.
    pub(crate) fn at(&self, position: u32) -> &T {
        &self.chunks[position as usize / CHUNK][position as usize % CHUNK]
    }

    /// The item at `position`, if there is one.
    pub(crate) fn get(&self, position: u32) -> Option<&T> {
        self.chunks.get(position as usize / CHUNK)?.get(position as usize % CHUNK)
    }

    /// The item at `position`, which must have come from this list, to change it.
    pub(crate) fn at_mut(&mut self, position: u32) -> &mut T {
        &mut self.chunks[position as usize / CHUNK][position as usize % CHUNK]
    }

    /// A stretch of the items, of some thousands; `None` beyond the last.
    pub(crate) fn chunk(&self, number: usize) -> Option<&[T]> {
        self.chunks.get(number).map(Vec::as_slice)
    }

    /// All items, in the order they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All items, in the order they came, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// Memory of the items, in bytes.
    #[cfg(test)]
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }
}
