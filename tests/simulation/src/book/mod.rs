//! What was journaled, in the order it was decided, and what follows from it: the model's word on every record, and the
//! state that applying the records from the first gives.
//!
//! Read in this order: `history` is what the book holds, `comparison` holds shards, snapshots and views to it, `watched_journal` is
//! how it learns of a record.
//!
//! Invariant: what a recovery finds is what was decided, cut off at one place, and no acknowledged record is behind the cut.

mod comparison;
mod history;
mod watched_journal;

use std::{collections::BTreeMap, sync::Arc};

use holdfast_core::{EntityId, ShardCount, ShardId};
use holdfast_persistence::{Batch, EntityState, Journal, JournalError, Record};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    trace::Trace,
    violation::{Promise, Violations},
};
pub(crate) use history::State;
pub(crate) use watched_journal::WatchedJournal;

/// The book. Clones are the same book.
#[derive(Clone)]
pub(crate) struct Book {
    state: Arc<Mutex<State>>,
    shards: ShardCount,
    violations: Violations,
    trace: Trace,
}

impl Book {
    pub(crate) fn new(shards: ShardCount, violations: Violations, trace: Trace) -> Self {
        let state = State::new(usize::from(shards.get()));
        Self { state: Arc::new(Mutex::new(state)), shards, violations, trace }
    }

    /// A look into it.
    pub(crate) fn open(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().entries.len()
    }

    /// A batch was handed to the journal.
    pub(crate) fn append(&self, batch: &Batch) {
        let mut state = self.state.lock();
        let shard = usize::from(batch.shard.0);
        if batch.first_seq != state.written[shard] + 1 {
            let what = format!("shard {shard} appends at {} after {}", batch.first_seq, state.written[shard]);
            self.violations.report(Promise::State, what);
            return;
        }
        for record in &batch.records {
            state.written[shard] += 1;
            let seq = state.written[shard];
            state.waiting[shard].push_back((seq, record.entity.clone(), record.version));
            if let Err((promise, what)) = state.model.take_in(record) {
                self.violations.report(promise, format!("{what} (record {seq} of shard {shard}: {:?})", record.event));
            }
            let before = state.states.get(&record.entity).map_or(0, EntityState::version);
            if record.version != before + 1 {
                let what = format!("{} makes version {} after {before}", record.entity, record.version);
                self.violations.report(Promise::State, what);
            }
            state.apply(record);
            let index = state.entries.len();
            state.by_entity.entry(record.entity.clone()).or_default().push(index);
            state.touched.insert(record.entity.clone());
            state.entries.push((batch.shard, record.clone()));
        }
        let end = state.entries.len();
        state.batch_ends.insert(end);
    }

    /// The journal said that a shard is durable up to `seq`.
    pub(crate) fn note_durable(&self, shard: ShardId, seq: u64) {
        let mut state = self.state.lock();
        let index = usize::from(shard.0);
        state.durable[index] = state.durable[index].max(seq);
        while let Some((at, ..)) = state.waiting[index].front()
            && *at <= seq
        {
            if let Some((_, entity, version)) = state.waiting[index].pop_front() {
                state.durable_versions.insert(entity, version);
            }
        }
    }

    /// Somebody outside saw an entity at a version.
    pub(crate) fn acknowledge(&self, entity: EntityId, version: u64) {
        let mut state = self.state.lock();
        let durable = state.durable_versions.get(&entity).copied().unwrap_or(0);
        if version > durable {
            let what = format!("{entity} was shown at version {version}, only {durable} is durable");
            self.violations.report(Promise::Acknowledged, what);
        }
        let seen = state.acknowledged.entry(entity).or_insert(0);
        *seen = (*seen).max(version);
    }

    /// Compares what a fresh journal holds with what was handed to the one before, and goes on from there.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(crate) fn recover(&self, journal: &dyn Journal) -> Result<u64, JournalError> {
        let found: Mutex<Vec<Vec<Record>>> = Mutex::new(vec![Vec::new(); usize::from(self.shards.get())]);
        let sink = |shard: ShardId, _: u64, record: Record| {
            if let Some(records) = found.lock().get_mut(usize::from(shard.0)) {
                records.push(record);
            }
        };
        journal.replay(&BTreeMap::new(), &sink, &|_| {})?;
        let found = found.into_inner();
        let mut state = self.state.lock();
        let kept: usize = found.iter().map(Vec::len).sum();
        self.check_found(&state, &found, kept);
        if kept < state.entries.len() && !state.batch_ends.contains(&kept) {
            self.violations.report(Promise::State, format!("the journal ends inside a batch, behind record {kept}"));
        }
        let lost = state.entries.len().saturating_sub(kept) as u64;
        state.cut(kept);
        for (shard, records) in found.iter().enumerate() {
            let lost = state.durable[shard].saturating_sub(records.len() as u64);
            if lost > 0 {
                let what = format!("{lost} records of shard {shard} that were durable are gone");
                self.violations.report(Promise::Acknowledged, what);
            }
            state.written[shard] = records.len() as u64;
            state.durable[shard] = records.len() as u64;
        }
        state.settle();
        self.check_acknowledged(&state);
        if let Err((promise, what)) = state.model.check_promises() {
            self.violations.report(promise, format!("after a crash, {what}"));
        }
        Ok(lost)
    }

    fn check_found(&self, state: &State, found: &[Vec<Record>], kept: usize) {
        let mut next = vec![0; found.len()];
        for (shard, record) in state.entries.iter().take(kept) {
            let shard = usize::from(shard.0);
            let position: usize = next[shard];
            if found[shard].get(position) != Some(record) {
                let what = format!(
                    "record {} of shard {shard} was {:?}, the journal has {:?}",
                    position + 1,
                    record,
                    found[shard].get(position)
                );
                self.violations.report(Promise::State, what);
                return;
            }
            next[shard] += 1;
        }
        if kept > state.entries.len() {
            let what = format!("the journal has {kept} records, {} were written", state.entries.len());
            self.violations.report(Promise::State, what);
        }
    }

    fn check_acknowledged(&self, state: &State) {
        for (entity, version) in &state.acknowledged {
            let there = state.states.get(entity).map_or(0, EntityState::version);
            if there < *version {
                let what = format!("{entity} was acknowledged at version {version}, it is at {there} now");
                self.violations.report(Promise::Acknowledged, what);
            }
        }
    }
}
