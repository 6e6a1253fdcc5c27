//! What shards, snapshots and views say, held to what the records give.
//!
//! Invariant checked here: the state of every entity in a shard is the state its records give (I4), after every turn and after every
//! recovery.

use std::collections::BTreeSet;

use holdfast_actors::{shard::Residence, stepped::SteppedNode};
use holdfast_core::{Entity as _, EntityId, ShardId};
use holdfast_persistence::{EntityState, EntityStateRef, SnapshotStore, encode_snapshot};

use super::{Book, State};
use crate::violation::Promise;

impl Book {
    /// Compares what shards have in memory with what the records give, for what changed since the last time.
    pub(crate) fn check_touched(&self, node: &SteppedNode) {
        let mut state = self.state.lock();
        for entity in std::mem::take(&mut state.touched) {
            self.check_entity(&state, node, &entity, None);
        }
    }

    /// Compares everything, and gives a hash of all state. Shards that have recovered and not taken a turn since may be
    /// ahead: what their orders were owed is done and not handed to the journal yet.
    pub(crate) fn check_all(
        &self,
        node: &SteppedNode,
        snapshots: &dyn SnapshotStore,
        recovered: &BTreeSet<ShardId>,
    ) -> u64 {
        let state = self.state.lock();
        let mut hash = 0_u64;
        for (entity, expected) in &state.states {
            self.check_entity(&state, node, entity, Some((snapshots, recovered)));
            hash = hash.rotate_left(5) ^ fingerprint(expected.as_ref());
        }
        for shard in self.shards.iter() {
            let unknown = node.addresses(shard).into_iter().filter(|entity| !state.states.contains_key(entity)).min();
            if let Some(unknown) = unknown {
                self.violations
                    .report(Promise::State, format!("shard {} has {unknown}, which no record made", shard.0));
            }
        }
        self.check_views(&state, node);
        self.trace.note("state hash", hash, state.states.len() as u64);
        hash
    }

    fn check_entity(
        &self,
        state: &State,
        node: &SteppedNode,
        entity: &EntityId,
        thorough: Option<(&dyn SnapshotStore, &BTreeSet<ShardId>)>,
    ) {
        let shard = self.shards.shard_of(entity.slot());
        let Some(expected) = state.states.get(entity) else { return };
        self.check_level(state, entity, expected);
        let wrong = |what: String| self.violations.report(Promise::State, format!("{entity}: {what}"));
        match node.residence(shard, entity) {
            None | Some(Residence::Troubled) => {}
            Some(Residence::Absent) => wrong(format!("at version {} by its records, unknown", expected.version())),
            Some(Residence::Live(actual)) => {
                let may_be_ahead = thorough.is_some_and(|(_, recovered)| recovered.contains(&shard));
                let is_ahead = may_be_ahead && actual.version() > expected.version();
                if !is_ahead && !is_same(actual, expected) {
                    let versions = (actual.version(), expected.version());
                    wrong(format!("its state is not what its records give (versions {versions:?})"));
                }
            }
            Some(Residence::Cold(version)) => {
                if version != expected.version() {
                    wrong(format!("passivated at version {version}, its records give {}", expected.version()));
                } else if let Some((snapshots, _)) = thorough
                    && let Ok(loaded) = snapshots.load(shard, entity)
                    && loaded.as_ref().map(|(_, state)| state) != Some(expected)
                {
                    wrong(String::from("its snapshot is not what its records give"));
                }
            }
        }
    }

    /// Views show what is durable, and nothing newer.
    fn check_views(&self, state: &State, node: &SteppedNode) {
        let views = node.commerce().views();
        for (entity, known) in &state.states {
            let (EntityId::Stock(sku), EntityState::Stock(stock)) = (entity, known) else { continue };
            let Some(shown) = views.stock(sku) else { continue };
            let durable = state.durable_versions.get(entity).copied().unwrap_or(0);
            if shown.version > durable {
                let what = format!("{sku} is shown at version {}, only {durable} is durable", shown.version);
                self.violations.report(Promise::Acknowledged, what);
            }
            if shown.version == stock.version() && shown.level != stock.level() {
                let what = format!("{sku} is shown as {:?}, it is {:?}", shown.level, stock.level());
                self.violations.report(Promise::State, what);
            }
        }
    }

    /// Core's count of units against the model's own.
    fn check_level(&self, state: &State, entity: &EntityId, expected: &EntityState) {
        let (EntityId::Stock(sku), EntityState::Stock(stock)) = (entity, expected) else { return };
        let (level, Some(model)) = (stock.level(), state.model.stock.get(sku)) else { return };
        let counted =
            [level.on_hand, level.held, level.allocated, level.fulfilled].map(|units| i64::try_from(units).ok());
        if counted != [model.on_hand(), model.held, model.allocated, model.gone].map(Some) {
            self.violations.report(Promise::Units, format!("{sku} counts {level:?}, the model {model:?}"));
        }
    }
}

fn is_same(actual: EntityStateRef<'_>, expected: &EntityState) -> bool {
    match (actual, expected) {
        (EntityStateRef::Stock(actual), EntityState::Stock(expected)) => actual == expected,
        (EntityStateRef::Product(actual), EntityState::Product(expected)) => actual == expected,
        (EntityStateRef::Cart(actual), EntityState::Cart(expected)) => actual == expected,
        (EntityStateRef::Order(actual), EntityState::Order(expected)) => actual == expected,
        _ => false,
    }
}

/// A checksum of an entity's state as it would be stored.
fn fingerprint(state: EntityStateRef<'_>) -> u64 {
    encode_snapshot(&state).map_or(0, |snapshot| u64::from(crc32c::crc32c(&snapshot.bytes)))
}
