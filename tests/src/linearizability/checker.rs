//! The search of Wing and Gong with Lowe's memory (as in porcupine): is there an order of all operations, each between its
//! invocation and its answer, that a sequential machine accepts?
//!
//! An operation without an answer may have happened at any time since it was sent, or never. The search is bounded by the
//! number of configurations it may look at, so a check always ends; where it gives up it says so and accepts nothing.

use std::collections::HashSet;

use super::model::{Model, State};

/// The most operations of one check: what fits into one word of marks.
pub const MOST_OPERATIONS: usize = 128;

/// An operation with the time it took. Times are of one clock, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Timed<O> {
    /// When it was sent.
    pub invoked: u64,
    /// When its answer was there; `None` if there was none.
    pub returned: Option<u64>,
    /// What was asked and what was answered.
    pub operation: O,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Violation {
        /// The longest part that could be put in order, and what could not follow it, in words.
        explanation: String,
    },
    /// The search gave up.
    Undecided {
        /// After looking at so many configurations.
        configurations: usize,
    },
}

/// Looks for an order of `operations` that `model` accepts, at up to `limit` configurations.
pub fn check<M: Model>(model: &M, operations: &[Timed<M::Operation>], limit: usize) -> Check {
    if operations.len() > MOST_OPERATIONS {
        return Check::Undecided { configurations: 0 };
    }
    let mut search = Search { model, operations, limit, seen: HashSet::new(), order: Vec::new(), best: Vec::new() };
    match search.extend(0, &model.initial()) {
        Some(true) => Check::Linearizable,
        Some(false) => Check::Violation { explanation: search.explain() },
        None => Check::Undecided { configurations: search.seen.len() },
    }
}

struct Search<'a, M: Model> {
    model: &'a M,
    operations: &'a [Timed<M::Operation>],
    limit: usize,
    /// Which operations were done, and where that led: a configuration is looked at once.
    seen: HashSet<(u128, State)>,
    order: Vec<usize>,
    best: Vec<usize>,
}

impl<M: Model> Search<'_, M> {
    /// Whether what is left can follow; `None` when the limit is reached.
    fn extend(&mut self, done: u128, state: &State) -> Option<bool> {
        if self.seen.len() >= self.limit {
            return None;
        }
        if !self.seen.insert((done, state.clone())) {
            return Some(false);
        }
        if self.order.len() > self.best.len() {
            self.best.clone_from(&self.order);
        }
        let open = |index: &usize| done & (1 << index) == 0;
        let answered = self.operations.iter().enumerate().filter(|(index, _)| open(index));
        // Whatever comes next was sent before the first answer that is still owed.
        let Some(first_answer) = answered.filter_map(|(_, timed)| timed.returned).min() else { return Some(true) };
        for index in (0..self.operations.len()).filter(open) {
            let Some(timed) = self.operations.get(index) else { continue };
            if timed.invoked > first_answer {
                continue;
            }
            let Some(next) = self.model.step(state, &timed.operation) else { continue };
            if timed.returned.is_none() && next == *state {
                // Unanswered and without effect: as good as never.
                continue;
            }
            self.order.push(index);
            if self.extend(done | 1 << index, &next)? {
                return Some(true);
            }
            self.order.pop();
        }
        Some(false)
    }

    fn explain(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::from("this much can be put in order:\n");
        let line = |text: &mut String, timed: &Timed<M::Operation>| {
            let end = timed.returned.map_or_else(|| "?".to_owned(), |at| (at / 1_000).to_string());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {:>9} - {end:>9} us  {:?}", timed.invoked / 1_000, timed.operation);
        };
        let mut state = self.model.initial();
        for timed in self.best.iter().filter_map(|index| self.operations.get(*index)) {
            line(&mut text, timed);
            state = self.model.step(&state, &timed.operation).unwrap_or(state);
        }
        let _ = writeln!(text, "which leaves {state:?}; nothing of this can follow:");
        let left = self.operations.iter().enumerate().filter(|(index, _)| !self.best.contains(index));
        left.for_each(|(_, timed)| line(&mut text, timed));
        text
    }
}
