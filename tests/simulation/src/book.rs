//! What was journaled, in the order it was decided, and what follows from it: the model's word on every record, and the
//! state that applying the records from the first gives.
//!
//! Invariants checked here:
//! - What a recovery finds is what was decided, cut off at one place, and no acknowledged record is behind the cut.
//! - The state of every entity in a shard is the state its records give (I4), after every turn and after every recovery.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use holdfast_actors::{shard::Residence, stepped::SteppedNode};
use holdfast_core::{
    CartId, Entity, EntityId, Event, OrderId, ShardCount, ShardId, cart::Cart, order::Order, product::Product,
    stock::StockItem,
};
use holdfast_persistence::{
    AppendError, Batch, EntityState, EntityStateRef, Journal, JournalError, Record, SnapshotStore, encode_snapshot,
};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    model::Model,
    trace::Trace,
    violation::{Promise, Violations},
};

/// The book. Clones are the same book.
#[derive(Clone)]
pub(crate) struct Book {
    state: Arc<Mutex<State>>,
    shards: ShardCount,
    violations: Violations,
    trace: Trace,
}

/// What the book holds.
pub(crate) struct State {
    entries: Vec<(ShardId, Record)>,
    /// How many records there were after each batch: the only places where the journal may end.
    batch_ends: BTreeSet<usize>,
    by_entity: BTreeMap<EntityId, Vec<usize>>,
    /// Records of each shard.
    written: Vec<u64>,
    /// Of those, how many the journal said are durable.
    durable: Vec<u64>,
    /// Records that are not durable yet, per shard.
    waiting: Vec<VecDeque<(u64, EntityId, u64)>>,
    /// The version of each entity that is durable.
    pub(crate) durable_versions: BTreeMap<EntityId, u64>,
    /// The version of each entity that somebody outside has seen.
    acknowledged: BTreeMap<EntityId, u64>,
    pub(crate) model: Model,
    pub(crate) states: BTreeMap<EntityId, EntityState>,
    touched: BTreeSet<EntityId>,
    /// Carts that somebody was told have become these orders.
    pub(crate) converted: Vec<(CartId, OrderId)>,
}

impl Book {
    pub(crate) fn new(shards: ShardCount, violations: Violations, trace: Trace) -> Self {
        let count = usize::from(shards.get());
        let state = State {
            entries: Vec::new(),
            batch_ends: BTreeSet::from([0]),
            by_entity: BTreeMap::new(),
            written: vec![0; count],
            durable: vec![0; count],
            waiting: vec![VecDeque::new(); count],
            durable_versions: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            model: Model::default(),
            states: BTreeMap::new(),
            touched: BTreeSet::new(),
            converted: Vec::new(),
        };
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
}

impl Book {
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

impl State {
    /// The state of an order, by its records.
    pub(crate) fn order(&self, order: OrderId) -> Option<&Order> {
        match self.states.get(&EntityId::Order(order)) {
            Some(EntityState::Order(order)) => Some(order),
            _ => None,
        }
    }

    fn apply(&mut self, record: &Record) {
        let state = self.states.entry(record.entity.clone()).or_insert_with(|| vacant(&record.entity));
        match (state, &record.event) {
            (EntityState::Stock(stock), Event::Stock(event)) => stock.apply(event),
            (EntityState::Product(product), Event::Product(event)) => product.apply(event),
            (EntityState::Cart(cart), Event::Cart(event)) => cart.apply(event),
            (EntityState::Order(order), Event::Order(event)) => order.apply(event),
            _ => {}
        }
    }

    /// Forgets every record from the `kept`-th on, and what followed from it.
    fn cut(&mut self, kept: usize) {
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
    fn settle(&mut self) {
        self.waiting.iter_mut().for_each(VecDeque::clear);
        self.touched.clear();
        self.durable_versions = self.states.iter().map(|(entity, state)| (entity.clone(), state.version())).collect();
    }
}

fn vacant(entity: &EntityId) -> EntityState {
    match entity {
        EntityId::Stock(sku) => EntityState::Stock(StockItem::new(sku.clone())),
        EntityId::Product(sku) => EntityState::Product(Product::new(sku.clone())),
        EntityId::Cart(cart) => EntityState::Cart(Cart::new(*cart)),
        EntityId::Order(order) => EntityState::Order(Order::new(*order)),
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

/// The journal, with the book looking on.
pub(crate) struct WatchedJournal {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) book: Book,
}

impl Journal for WatchedJournal {
    fn append(&self, batch: &Batch, done: holdfast_persistence::Completion) {
        self.book.append(batch);
        let (book, shard) = (self.book.clone(), batch.shard);
        let last = batch.first_seq + batch.records.len() as u64 - 1;
        let told = move |written: Result<(), AppendError>| {
            match &written {
                Ok(()) => book.note_durable(shard, last),
                Err(AppendError::Failed(_)) => {}
                Err(error) => book.violations.report(Promise::State, format!("a batch was not taken: {error}")),
            }
            done(written);
        };
        self.journal.append(batch, Box::new(told));
    }

    fn writable(&self, shard: ShardId) -> Result<(), holdfast_persistence::Unwritable> {
        self.journal.writable(shard)
    }

    fn replay(
        &self,
        from: &BTreeMap<ShardId, u64>,
        sink: &(dyn Fn(ShardId, u64, Record) + Sync),
        progress: &(dyn Fn(holdfast_persistence::ReplayProgress) + Sync),
    ) -> Result<holdfast_persistence::ReplaySummary, JournalError> {
        self.journal.replay(from, sink, progress)
    }

    fn follow(&self, from: &BTreeMap<ShardId, u64>) -> Result<Box<dyn holdfast_persistence::Follower>, JournalError> {
        self.journal.follow(from)
    }

    fn next_seq(&self, shard: ShardId) -> u64 {
        self.journal.next_seq(shard)
    }

    fn retain_bytes(&self) -> Option<u64> {
        self.journal.retain_bytes()
    }

    fn purge_below(
        &self,
        floor: &BTreeMap<ShardId, u64>,
        keep_bytes: u64,
    ) -> Result<holdfast_persistence::PurgeSummary, JournalError> {
        self.journal.purge_below(floor, keep_bytes)
    }

    fn retain_for(&self, reader: Arc<dyn holdfast_persistence::HistoryReader>, limit_bytes: u64) {
        self.journal.retain_for(reader, limit_bytes);
    }

    fn stats(&self) -> holdfast_persistence::JournalStats {
        self.journal.stats()
    }
}
