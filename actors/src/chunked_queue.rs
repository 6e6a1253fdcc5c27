//! A queue whose items never move: it grows by one more chunk, instead of copying a million items inside a turn.
//!
//! Invariant: items come out in the order they went in, and no chunk is empty.

use std::collections::VecDeque;

/// Items of one chunk.
const CHUNK: usize = 4_096;

/// First in, first out.
#[derive(Debug)]
pub struct ChunkedQueue<T> {
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for ChunkedQueue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T> ChunkedQueue<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    pub(crate) fn push_back(&mut self, item: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(last) if last.len() < CHUNK => last.push_back(item),
            last => {
                // The first chunk grows with its items: most shards never have more than a few.
                let mut chunk = VecDeque::with_capacity(if last.is_some() { CHUNK } else { 1 });
                chunk.push_back(item);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// The items, first to last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// All items, in one piece. It copies every item once: not for a turn.
    pub(crate) fn into_vec(self) -> Vec<T> {
        self.chunks.into_iter().flatten().collect()
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.chunks.front_mut()?;
        let item = first.pop_front();
        if first.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= usize::from(item.is_some());
        item
    }
}

impl<T> Extend<T> for ChunkedQueue<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push_back(item));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn more_than_a_chunk_comes_out_as_it_went_in() {
        let mut queue = ChunkedQueue::default();
        queue.extend(0..=3 * CHUNK);
        assert_eq!((queue.len, queue.front()), (3 * CHUNK + 1, Some(&0)));
        assert!(std::iter::from_fn(|| queue.pop_front()).eq(0..=3 * CHUNK));
        assert!(queue.is_empty() && queue.front().is_none() && queue.chunks.is_empty());
    }

    proptest! {
        #[test]
        fn it_does_what_a_plain_queue_does(pushes in prop::collection::vec(any::<bool>(), 0..200)) {
            let (mut queue, mut plain) = (ChunkedQueue::default(), VecDeque::new());
            for (number, is_push) in pushes.into_iter().enumerate() {
                if is_push {
                    queue.push_back(number);
                    plain.push_back(number);
                } else {
                    prop_assert_eq!(queue.pop_front(), plain.pop_front());
                }
                prop_assert_eq!((queue.len, queue.front()), (plain.len(), plain.front()));
            }
        }
    }
}
