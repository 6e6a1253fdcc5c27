//! What became of the commands that other nodes sent, by their ids: a repeat is answered as the first was, and joins it while
//! it is under way.
//!
//! A command that must not be carried out twice is remembered for as long as it can be repeated; when there is no room for
//! it, it is refused before anything is done. One that may be carried out twice makes room for later ones. Reads are not
//! remembered at all.
//!
//! Invariant: whoever is told that a command of the first kind is not known here is told the truth.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use bytes::Bytes;
use foldhash::fast::RandomState;
use holdfast_core::Timestamp;

/// What is known of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing: it is under way from now on.
    New,
    /// It is under way. Its answer goes where all answers of it go.
    UnderWay,
    /// It was answered so.
    Done(Bytes),
    /// There is no room to remember it.
    Full,
}

/// The commands of one kind.
#[derive(Debug)]
struct Ledger {
    /// What each was answered; `None` while it is under way.
    answers: HashMap<u128, Option<Bytes>, RandomState>,
    /// In the order in which they came.
    arrivals: VecDeque<(Timestamp, u128)>,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Memory {
    once: Ledger,
    repeatable: Ledger,
    limit: usize,
    remember_ms: i64,
    /// For so long a command can be repeated.
    lifetime_ms: i64,
}

impl Memory {
    pub(super) fn new(limit: usize, remember_ms: u64, lifetime_ms: u64) -> Self {
        let ledger = || Ledger { answers: HashMap::default(), arrivals: VecDeque::new() };
        let millis = |millis| i64::try_from(millis).unwrap_or(i64::MAX);
        let (remember_ms, lifetime_ms) = (millis(remember_ms), millis(lifetime_ms));
        Self { once: ledger(), repeatable: ledger(), limit, remember_ms, lifetime_ms }
    }

    fn ledger(&mut self, is_repeatable: bool) -> &mut Ledger {
        if is_repeatable { &mut self.repeatable } else { &mut self.once }
    }

    /// What is known of a command without taking it in.
    pub(super) fn recall(&self, command: u128) -> Option<Known> {
        let known = self.once.answers.get(&command).or_else(|| self.repeatable.answers.get(&command))?;
        Some(known.clone().map_or(Known::UnderWay, Known::Done))
    }

    /// Takes a command in, unless it is known.
    pub(super) fn begin(&mut self, command: u128, is_repeatable: bool, now: Timestamp) -> Known {
        let (limit, remember_ms, lifetime_ms) = (self.limit, self.remember_ms, self.lifetime_ms);
        let ledger = self.ledger(is_repeatable);
        ledger.forget(now, remember_ms);
        if ledger.arrivals.len() >= limit && !ledger.answers.contains_key(&command) {
            let oldest = ledger.arrivals.front().map_or(now, |(at, _)| *at);
            if !is_repeatable && now < oldest.saturating_add_millis(lifetime_ms) {
                return Known::Full;
            }
            ledger.forget_oldest();
        }
        match ledger.answers.entry(command) {
            Entry::Occupied(known) => known.get().clone().map_or(Known::UnderWay, Known::Done),
            Entry::Vacant(new) => {
                new.insert(None);
                ledger.arrivals.push_back((now, command));
                Known::New
            }
        }
    }

    /// A command was answered.
    pub(super) fn end(&mut self, command: u128, is_repeatable: bool, answer: &Bytes) {
        if let Some(known) = self.ledger(is_repeatable).answers.get_mut(&command) {
            *known = Some(answer.clone());
        }
    }

    /// A command was not taken in after all: a repeat is as good as the first.
    pub(super) fn undo(&mut self, command: u128, is_repeatable: bool) {
        self.ledger(is_repeatable).answers.remove(&command);
    }
}

impl Ledger {
    fn forget(&mut self, now: Timestamp, remember_ms: i64) {
        while self.arrivals.front().is_some_and(|(at, _)| now >= at.saturating_add_millis(remember_ms)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, command)) = self.arrivals.pop_front() {
            self.answers.remove(&command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(i64) -> Timestamp = Timestamp::from_millis;

    #[test]
    fn a_repeat_joins_what_is_under_way_and_is_answered_as_the_first_was() {
        let mut memory = Memory::new(10, 1_000, 100);
        for is_repeatable in [false, true] {
            let command = 7 + u128::from(is_repeatable);
            assert_eq!(memory.begin(command, is_repeatable, AT(0)), Known::New);
            assert_eq!(memory.begin(command, is_repeatable, AT(1)), Known::UnderWay);
            memory.end(command, is_repeatable, &Bytes::from_static(b"done"));
            assert_eq!(memory.begin(command, is_repeatable, AT(999)), Known::Done(Bytes::from_static(b"done")));
            assert_eq!(memory.recall(command), Some(Known::Done(Bytes::from_static(b"done"))));
            assert_eq!(memory.begin(command, is_repeatable, AT(1_000)), Known::New, "its time is over");
        }
    }

    #[test]
    fn what_must_not_be_carried_out_twice_is_refused_rather_than_forgotten() {
        let mut memory = Memory::new(2, 1_000, 100);
        assert_eq!(memory.begin(1, false, AT(0)), Known::New);
        assert_eq!(memory.begin(2, false, AT(50)), Known::New);
        assert_eq!(memory.begin(3, false, AT(99)), Known::Full);
        assert_eq!(memory.begin(1, false, AT(99)), Known::UnderWay, "what is known is known");
        assert_eq!(memory.begin(3, false, AT(100)), Known::New, "the first can no longer be repeated");
        assert_eq!(memory.begin(4, false, AT(100)), Known::Full);
    }

    #[test]
    fn what_may_be_carried_out_twice_makes_room() {
        let mut memory = Memory::new(2, 1_000, 100);
        for command in 1..=3 {
            assert_eq!(memory.begin(command, true, AT(0)), Known::New);
        }
        assert_eq!(memory.recall(1), None);
        assert_eq!(memory.recall(3), Some(Known::UnderWay));
    }

    #[test]
    fn what_was_not_taken_in_is_new_again() {
        let mut memory = Memory::new(2, 1_000, 100);
        assert_eq!(memory.begin(1, false, AT(0)), Known::New);
        memory.undo(1, false);
        assert_eq!(memory.begin(1, false, AT(1)), Known::New);
    }
}
