//! The records in the order they were decided, and everything that was kept up with them: the states they give, the model, what
//! is durable and what somebody has seen.
//!
//! Invariant: after a cut all of it is as if the records behind the cut had never been.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_core::{CartId, EntityId, OrderId, ShardId, order::Order};
use holdfast_persistence::{EntityState, Record};

use crate::model::Model;

/// What the book holds.
pub(crate) struct State {
    pub(super) entries: Vec<(ShardId, Record)>,
    /// How many records there were after each batch: the only places where the journal may end.
    pub(super) batch_ends: BTreeSet<usize>,
    pub(super) by_entity: BTreeMap<EntityId, Vec<usize>>,
    /// Records of each shard.
    pub(super) written: Vec<u64>,
    /// Of those, how many the journal said are durable.
    pub(super) durable: Vec<u64>,
    /// Records that are not durable yet, per shard.
    pub(super) waiting: Vec<VecDeque<(u64, EntityId, u64)>>,
    /// The version of each entity that is durable.
    pub(crate) durable_versions: BTreeMap<EntityId, u64>,
    /// The version of each entity that somebody outside has seen.
    pub(super) acknowledged: BTreeMap<EntityId, u64>,
    pub(crate) model: Model,
    pub(crate) states: BTreeMap<EntityId, EntityState>,
    pub(super) touched: BTreeSet<EntityId>,
    /// Carts that somebody was told have become these orders.
    pub(crate) converted: Vec<(CartId, OrderId)>,
}

impl State {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            entries: Vec::new(),
            batch_ends: BTreeSet::from([0]),
            by_entity: BTreeMap::new(),
            written: vec![0; shards],
            durable: vec![0; shards],
            waiting: vec![VecDeque::new(); shards],
            durable_versions: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            model: Model::default(),
            states: BTreeMap::new(),
            touched: BTreeSet::new(),
            converted: Vec::new(),
        }
    }

    /// The state of an order, by its records.
    pub(crate) fn order(&self, order: OrderId) -> Option<&Order> {
        match self.states.get(&EntityId::Order(order)) {
            Some(EntityState::Order(order)) => Some(order),
            _ => None,
        }
    }

    pub(super) fn apply(&mut self, record: &Record) {
        let vacant = || EntityState::before_anything(&record.entity);
        self.states.entry(record.entity.clone()).or_insert_with(vacant).apply(&record.event);
    }

    /// Forgets every record from the `kept`-th on, and what followed from it.
    pub(super) fn cut(&mut self, kept: usize) {
        let gone = self.entries.split_off(kept.min(self.entries.len()));
        self.batch_ends.retain(|end| *end <= kept);
        let changed: BTreeSet<EntityId> = gone.into_iter().map(|(_, record)| record.entity).collect();
        for entity in changed {
            self.states.remove(&entity);
            self.model.forget(&entity);
            let Some(mut indexes) = self.by_entity.remove(&entity) else { continue };
            indexes.retain(|index| *index < kept);
            for index in &indexes {
                if let Some((_, record)) = self.entries.get(*index).cloned() {
                    self.apply(&record);
                    self.model.take_in_again(&record);
                }
            }
            if !indexes.is_empty() {
                self.by_entity.insert(entity, indexes);
            }
        }
    }

    /// Everything that is left is durable.
    pub(super) fn settle(&mut self) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.touched.clear();
        self.durable_versions = self.states.iter().map(|(entity, state)| (entity.clone(), state.version())).collect();
    }
}
