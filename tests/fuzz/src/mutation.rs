//! Making new bytes from old ones, by chance that repeats: the same seed gives the same bytes on every machine.

/// Chance. `SplitMix64` (Steele, Lea and Flood 2014): small, and good enough to choose with.
#[derive(Debug, Clone)]
pub struct Chance(u64);

/// The longest input made, in bytes.
const MAX_BYTES: usize = 8 << 10;
/// Numbers at the edges of what fits.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];

impl Chance {
    /// Chance that begins at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Changes `input` in one to six ways. `other` is another input of the same target, `words` what its decoder looks for.
pub fn mutate(chance: &mut Chance, input: &[u8], other: &[u8], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=chance.below(6) {
        change(chance, &mut bytes, other, words);
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8], words: &[&[u8]]) {
    let at = chance.below(bytes.len().saturating_add(1));
    let most = 1 << chance.below(8);
    let len = chance.below(most).saturating_add(1);
    let end = at.saturating_add(len).min(bytes.len());
    match chance.below(11) {
        0 => flip(chance, bytes, at),
        1 => set(bytes, at, &[chance.byte()]),
        2 => set(bytes, at, &edge(chance)),
        3 => put(bytes, at, &vec![chance.byte(); len]),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let repeated = bytes[at..end].repeat(chance.below(9).saturating_add(1));
            put(bytes, at, &repeated);
        }
        6 => bytes.truncate(at),
        7 => put(bytes, at, slice(chance, other)),
        8 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[chance.below(other.len().saturating_add(1))..]);
        }
        _ if words.is_empty() => flip(chance, bytes, at),
        9 => put(bytes, at, words[chance.below(words.len())]),
        _ => {
            let word = words[chance.below(words.len())];
            bytes.splice(at..end, word.iter().copied());
        }
    }
}

fn flip(chance: &mut Chance, bytes: &mut [u8], at: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << chance.below(8);
    }
}

fn edge(chance: &mut Chance) -> Vec<u8> {
    let mut number = EDGES[chance.below(EDGES.len())].to_le_bytes().to_vec();
    number.truncate(1 << chance.below(4));
    if chance.below(2) == 0 {
        number.reverse();
    }
    number
}

fn slice<'a>(chance: &mut Chance, other: &'a [u8]) -> &'a [u8] {
    let at = chance.below(other.len());
    let end = at.saturating_add(chance.below(64)).saturating_add(1).min(other.len());
    other.get(at..end).unwrap_or_default()
}

fn set(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(new) {
        *byte = *new;
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    drop(bytes.splice(at..at, new.iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
        let made = |seed| {
            let mut chance = Chance::new(seed);
            (0..50).map(|_| mutate(&mut chance, b"some input", b"another input", &[b"word"])).collect::<Vec<_>>()
        };
        assert_eq!(made(1), made(1));
        assert_ne!(made(1), made(2));
    }

    #[test]
    fn every_way_of_changing_is_taken_and_none_panics_on_little_or_much() {
        let mut chance = Chance::new(3);
        for input in [&b""[..], b"x", &[7; 9_000]] {
            for other in [&b""[..], b"y", &[9; 300]] {
                for _ in 0..2_000 {
                    assert!(mutate(&mut chance, input, other, &[]).len() <= MAX_BYTES);
                    assert!(mutate(&mut chance, input, other, &[b"", b"word"]).len() <= MAX_BYTES);
                }
            }
        }
    }
}
