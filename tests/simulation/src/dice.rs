//! Seeded randomness: every choice of a run comes from here, in an order that follows from the seed alone.
//!
//! Invariant: no other source of randomness exists in a run. The generator is written out here (`xoshiro256**`, seeded by
//! `SplitMix64`), so that no release of a crate can change what a seed in the regressions file means.

use std::sync::Arc;

use parking_lot::Mutex;

/// Dice that are shared: clones throw the same dice.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Arc<Mutex<[u64; 4]>>);

impl Dice {
    /// The dice of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            mixed(state)
        };
        Self(Arc::new(Mutex::new([next(), next(), next(), next()])))
    }

    /// Any number.
    pub(crate) fn next(&self) -> u64 {
        let mut s = self.0.lock();
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `limit`, which is not zero; 0 if it is.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        // The upper half of a 64 by 64 bit product: even enough, and without a division.
        let product = u128::from(self.next()) * u128::from(limit);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// An index below `len`.
    pub(crate) fn index(&self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Milliseconds from `low` to `high`.
    pub(crate) fn millis(&self, low: u64, high: u64) -> i64 {
        i64::try_from(self.between(low, high)).unwrap_or(i64::MAX)
    }

    /// True so many times out of a thousand.
    pub(crate) fn permille(&self, chance: u64) -> bool {
        chance > 0 && self.below(1_000) < chance
    }

    /// True so many times out of a million.
    pub(crate) fn per_million(&self, chance: u64) -> bool {
        chance > 0 && self.below(1_000_000) < chance
    }

    /// Heads or tails.
    pub(crate) fn coin(&self) -> bool {
        self.next() & (1 << 40) != 0
    }
}

/// The finalizer of `SplitMix64`.
pub(crate) fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
