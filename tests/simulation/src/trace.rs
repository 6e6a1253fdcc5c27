//! The trace of a run: a hash of everything that happened, and the last steps in words.
//!
//! Invariant: only what follows from the seed goes in: no address, no real time, no order of a hash table. So the hash of
//! two runs of a seed is the same, and a difference means that something unseeded had a say.

use std::{collections::VecDeque, fmt, sync::Arc};

use holdfast_core::Timestamp;
use parking_lot::Mutex;

use crate::dice::mixed;

/// Steps kept in words.
const KEPT: usize = 60;

/// One thing that happened, small enough to keep without making words of it.
#[derive(Clone)]
pub(crate) struct Happening {
    what: &'static str,
    a: u64,
    b: u64,
}

/// The trace. Clones are the same trace.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hash: u64,
    steps: u64,
    now: i64,
    last: VecDeque<(i64, Happening)>,
}

impl Trace {
    /// The time from now on.
    pub(crate) fn at(&self, now: Timestamp) {
        self.0.lock().now = now.as_millis();
    }

    /// Something happened, with two numbers that say to whom and how.
    pub(crate) fn note(&self, what: &'static str, a: u64, b: u64) {
        let mut state = self.0.lock();
        state.steps += 1;
        let word = what.bytes().fold(state.hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        state.hash = mixed(word ^ mixed(a).rotate_left(1) ^ mixed(b).rotate_left(2) ^ state.now.cast_unsigned());
        if state.last.len() == KEPT {
            state.last.pop_front();
        }
        let now = state.now;
        state.last.push_back((now, Happening { what, a, b }));
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.0.lock().hash
    }

    /// How many things happened.
    pub(crate) fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    /// The last steps, in words; times count from `start`.
    pub(crate) fn last(&self, start: Timestamp) -> Vec<String> {
        let state = self.0.lock();
        let line = |(at, happening): &(i64, Happening)| {
            format!("{:>10} ms  {happening}", at.saturating_sub(start.as_millis()))
        };
        state.last.iter().map(line).collect()
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<28} {:x} {:x}", self.what, self.a, self.b)
    }
}
