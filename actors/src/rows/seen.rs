//! What may have come before, and what certainly has not: a Bloom filter that grows by layers.
//!
//! Why: nearly everything that is looked for is new, and the table that would say so is large and in no cache. This is a tenth of
//! it, and one word of it answers.
//!
//! Cost: 1.25 bytes per entry and layer that has room for it, of which the newest has up to four times as many as there are. One of
//! forty that did not come is taken for one that may have.

/// Words of the first layer: 64 KB, for 52,000 entries.
const FIRST_WORDS: usize = 8_192;
/// Each layer has so many times the words of the one before.
const GROWTH: usize = 4;
/// Bits of the filter per entry.
const BITS: usize = 10;

/// Hashes that were put in, and some that were not.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The newest last. Only that one takes in.
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    words: Vec<u64>,
    room: usize,
}

impl Seen {
    /// Whether `hash` may have been put in. It was not if this says no.
    pub(crate) fn may_have(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.layers.iter().any(|layer| layer.words[layer.word(hash)] & bits == bits)
    }

    pub(crate) fn put(&mut self, hash: u64) {
        let newest = match self.layers.last().map(|newest| (newest.room, newest.words.len())) {
            Some((1.., _)) => self.layers.last_mut(),
            full => {
                self.layers.push(Layer::of(full.map_or(FIRST_WORDS, |(_, words)| words * GROWTH)));
                self.layers.last_mut()
            }
        };
        if let Some(newest) = newest {
            let word = newest.word(hash);
            newest.words[word] |= bits(hash);
            newest.room -= 1;
        }
    }

    /// Memory of the layers, in bytes.
    #[cfg(test)]
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.words.capacity() * size_of::<u64>()).sum()
    }
}

impl Layer {
    fn of(words: usize) -> Self {
        Self { words: vec![0; words], room: words * u64::BITS as usize / BITS }
    }

    /// The word of a hash, by its upper half.
    fn word(&self, hash: u64) -> usize {
        (((hash >> 32) * self.words.len() as u64) >> 32) as usize
    }
}

/// Four bits of a word, by the lower half of a hash.
const fn bits(hash: u64) -> u64 {
    1 << (hash & 63) | 1 << ((hash >> 6) & 63) | 1 << ((hash >> 12) & 63) | 1 << ((hash >> 18) & 63)
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;
    use crate::id_map::IdHasher;

    #[test]
    fn what_came_may_have_come_and_of_what_did_not_nearly_nothing() {
        let (hasher, mut seen) = (IdHasher::default(), Seen::default());
        assert!(!seen.may_have(hasher.hash_one(0)));
        for count in [1, 1_000, 52_428, 52_429, 400_000] {
            (0..count).for_each(|key: u32| seen.put(hasher.hash_one(key)));
            assert!((0..count).all(|key| seen.may_have(hasher.hash_one(key))));
            let wrong = (1_000_000..1_010_000_u32).filter(|key| seen.may_have(hasher.hash_one(key))).count();
            assert!(wrong < 1_000, "{wrong} of 10,000 after {count}");
        }
    }
}
