//! One turn, from the first message to the journal.
//!
//! Invariant: a message's events are journaled together or not at all. What panics leaves nothing behind.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use holdfast_core::{EntityId, Timestamp};
use holdfast_persistence::{AppendError, Completion, Record};

use super::{
    Shard,
    table::{Hosted, Live},
};
use crate::{
    error::CommandError,
    gate::Gate,
    message::{Envelope, Outcome, Reply},
    view::ViewUpdate,
};

impl Shard {
    /// Takes one turn at `now` over `inbox`, which is emptied up to the turn's limit of messages.
    pub(crate) fn turn(&mut self, inbox: &mut impl Iterator<Item = Envelope>, now: Timestamp, gate: &Arc<Gate>) {
        self.now = now.max(self.now);
        if self.ownership.is_ours() {
            self.run_due();
        }
        for _ in 0..self.parts.settings.turn_messages {
            let Some(envelope) = self.held_back.pop_front().or_else(|| inbox.next()) else { break };
            self.receive(envelope);
            if self.is_full() {
                break;
            }
        }
        self.checkpoint_slice();
        self.sweep_idle();
        self.submit(gate);
        self.note_ownership(gate);
        if self.held_back.is_empty()
            && let Some(done) = self.drained.take()
        {
            // Whoever drained the node may have given up waiting.
            let _ = done.send(());
        }
        self.report_census();
    }

    /// Whether the turn's batch has come near the journal's limit: the rest waits for the next turn.
    pub(super) fn is_full(&self) -> bool {
        self.staged.bytes() >= self.parts.settings.turn_bytes
    }

    /// Whether what has come due has taken as much of the turn as it may.
    pub(super) fn is_half_full(&self) -> bool {
        self.staged.bytes().saturating_mul(2) >= self.parts.settings.turn_bytes
    }

    pub(super) fn receive(&mut self, envelope: Envelope) {
        let Some(envelope) = self.turn_away(envelope) else { return };
        let Some(envelope) = self.park_if_unready(envelope) else { return };
        match envelope {
            Envelope::Internal(internal) => self.note(internal),
            Envelope::Message(message) => {
                let handled = self.guarded(message.entity(), |shard| {
                    shard.hear(message);
                    Ok(Reply::Done)
                });
                if let Err(error) = handled {
                    tracing::warn!(shard = self.parts.id.0, %error, "a message between shards was not taken in");
                }
            }
            Envelope::Request { request, port } => {
                if port.sender.is_closed() {
                    return; // The caller hung up before its turn came: nothing was decided, nothing is owed.
                }
                self.requests += 1;
                let admitted = if request.writes() { self.writable() } else { Ok(()) };
                let outcome = admitted.and_then(|()| self.guarded(request.entity(), |shard| shard.serve(request)));
                if matches!(outcome, Err(CommandError::Rejected(_))) {
                    self.staged.tally.rejected += 1;
                }
                self.staged.output.answers.push((port, outcome));
            }
        }
    }

    /// Runs one message's work. A panic undoes it whole: its records are dropped and every entity it touched is rebuilt. It
    /// is blamed on the entity that was deciding or applying, or else on the one the message was `addressed` to.
    pub(super) fn guarded(&mut self, addressed: EntityId, work: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let mark = self.staged.begin_message();
        catch_unwind(AssertUnwindSafe(|| work(self))).unwrap_or_else(|_| {
            let unsent = self.staged.take_back(mark);
            self.forget_asked(&unsent);
            let blamed = self.staged.current.take().unwrap_or(addressed);
            Err(self.after_panic(blamed))
        })
    }

    fn probe(&mut self, entity: EntityId) {
        if let Some(probe) = &self.parts.probe {
            let probe = Arc::clone(probe);
            self.staged.current = Some(entity.clone());
            probe(&entity);
        } else {
            self.staged.current = Some(entity);
        }
    }

    /// What the entity says to a command. An entity that does not exist is asked in its vacant state.
    pub(super) fn decide<E: Hosted>(
        &mut self,
        key: &E::Key,
        command: E::Command,
    ) -> Result<Vec<E::Event>, E::Rejection> {
        self.probe(E::address(key));
        match E::table(&self.tables).get(key) {
            Some(entity) => entity.decide(command, self.now),
            None => E::vacant(key).decide(command, self.now),
        }
    }

    /// Applies an entity's facts and stages them for the journal.
    pub(super) fn commit<E: Hosted>(&mut self, key: &E::Key, events: Vec<E::Event>) {
        if events.is_empty() {
            return;
        }
        let address = E::address(key);
        self.staged.touching.push(address.clone());
        self.probe(address.clone());
        let now = self.now;
        let table = E::table_mut(&mut self.tables);
        let mut is_new = false;
        let live = table.live.get_or_insert_with(key.clone(), |key| {
            is_new = true;
            Box::new(Live::new(E::vacant(key), now))
        });
        for event in events {
            live.entity.apply(&event);
            let version = live.entity.version();
            let event = E::journaled(event);
            self.staged.record(Record { entity: address.clone(), version, at: now, event });
        }
        live.touched = now;
        if !mem::replace(&mut live.dirty, true) {
            self.checkpointing.note_dirty(address.clone());
        }
        if !mem::replace(&mut live.unseen, true) {
            self.staged.unseen.push(address.clone());
        }
        Self::schedule_decided(&mut self.agenda, &address, live, now);
        if is_new {
            self.watch_idle(address);
        }
    }

    /// Ends the turn: records to the journal, everything else to the gate.
    fn submit(&mut self, gate: &Arc<Gate>) {
        self.collect_views();
        let output = mem::replace(&mut self.staged.output, gate.spare());
        let batch = self.staged.finish(self.sequence + 1);
        let count = batch.records.len();
        self.metrics.note_turn(&mem::take(&mut self.staged.tally), count, output.answers.len());
        self.sequence += count as u64;
        // Only what was followed is known to be durable: what was decided here before the shard was given up may be on its way.
        if let Some(followed) = self.ownership.take_followed() {
            gate.advance(followed);
        }
        let is_awaited = output.is_awaited();
        if !output.is_empty() || count > 0 {
            gate.submit(self.sequence, output);
        }
        if count == 0 {
            return;
        }
        self.parts.census.count_records(count as u64);
        let (gate, fatal) = (Arc::clone(gate), self.parts.fatal.clone());
        let releases = Arc::clone(&self.parts.releases);
        let (last, shard) = (self.sequence, self.parts.id);
        let done: Completion = Box::new(move |written| match written {
            Ok(()) => releases.durable(gate, last),
            Err(error @ AppendError::Failed(_)) => {
                gate.refuse(true);
                fatal.raise(&error.to_string());
            }
            // The journal goes on without this batch, so the shard that decided it must not: it dies and is replayed.
            Err(error) => {
                tracing::error!(shard = shard.0, %error, "the journal did not take a batch");
                gate.refuse(false);
                fatal.wake(shard);
            }
        });
        if is_awaited {
            self.parts.journal.append(self.staged.batch(), done);
        } else {
            self.parts.journal.append_unawaited(self.staged.batch(), done);
        }
        self.staged.clear();
    }

    fn collect_views(&mut self) {
        let mut unseen = mem::take(&mut self.staged.unseen);
        for address in unseen.drain(..) {
            let update = match &address {
                EntityId::Stock(sku) => self.tables.stock.live.get_mut(sku).map(|live| {
                    live.unseen = false;
                    ViewUpdate::of_stock(&live.entity)
                }),
                EntityId::Product(sku) => self.tables.products.live.get_mut(sku).map(|live| {
                    live.unseen = false;
                    ViewUpdate::of_product(&live.entity)
                }),
                EntityId::Order(order) => self.tables.orders.live.get_mut(order).and_then(|live| {
                    live.unseen = false;
                    if mem::replace(&mut live.listed, true) {
                        Some(ViewUpdate::of_order_status(&live.entity))
                    } else {
                        ViewUpdate::of_order(&live.entity)
                    }
                }),
                EntityId::Cart(cart) => {
                    if let Some(live) = self.tables.carts.live.get_mut(cart) {
                        live.unseen = false;
                    }
                    None
                }
            };
            self.staged.output.views.extend(update);
        }
        self.staged.unseen = unseen;
    }
}
