//! A shard that another node owns: it takes in what that node made durable, and is at hand when it has to take over.
//!
//! Invariants: a follower decides nothing and journals nothing. It takes in every record in order, or it dies and is
//! recovered. It becomes the owner only when it has taken in all there is, and ceases to be one only when nothing that it
//! accepted is left undecided.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use holdfast_core::{EntityId, OrderId, cart::Cart, order::Order, product::Product, stock::StockItem};
use holdfast_persistence::Record;
use tokio::sync::oneshot;

use super::{
    Shard,
    recover::ReplayError,
    table::{Hosted, Table, Trouble},
};
use crate::{
    error::{CommandError, Unavailable},
    gate::Gate,
    message::Envelope,
    role::Role,
};

/// Whether this node decides what happens to the shard.
#[derive(Debug)]
pub(super) struct Ownership {
    is_ours: bool,
    /// Who waits for the shard to be given up.
    yielding: Option<oneshot::Sender<u64>>,
    /// Messages from other shards that came before the shard is this node's.
    early: Vec<Envelope>,
    /// The last record that was taken in from elsewhere in this turn.
    followed: Option<u64>,
    /// What was followed could not be taken in: the shard is to be recovered.
    is_broken: bool,
}

impl Default for Ownership {
    fn default() -> Self {
        Self { is_ours: true, yielding: None, early: Vec::new(), followed: None, is_broken: false }
    }
}

impl Ownership {
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    pub(super) fn take_followed(&mut self) -> Option<u64> {
        self.followed.take()
    }
}

impl Shard {
    /// What this node is to the shard.
    pub(crate) fn role(&self) -> Role {
        if self.ownership.is_ours { Role::Owner } else { Role::Follower }
    }

    /// From its recovery on the shard follows another owner.
    pub(super) fn begin_following(&mut self) {
        self.ownership.is_ours = false;
    }

    /// Gives an envelope back that this node may take in. Nobody else's request is decided; a message may be for the owner
    /// that this node is about to become, and is asked for again if it is not.
    pub(super) fn turn_away(&mut self, envelope: Envelope) -> Option<Envelope> {
        if self.ownership.is_ours {
            return Some(envelope);
        }
        match envelope {
            Envelope::Internal(_) => return Some(envelope),
            Envelope::Request { port, .. } => {
                let retry_after_ms = self.parts.settings.retry_after_ms;
                let moving = CommandError::Unavailable { reason: Unavailable::Moving, retry_after_ms };
                self.staged.output.answers.push((port, Err(moving)));
            }
            Envelope::Message(_) if self.ownership.early.len() < self.parts.settings.turn_messages => {
                self.ownership.early.push(envelope);
            }
            Envelope::Message(message) => {
                tracing::debug!(shard = self.parts.id.0, ?message, "a message for another owner was dropped");
            }
        }
        None
    }

    /// Takes in records that are durable elsewhere. Those it has are skipped.
    pub(super) fn follow(&mut self, records: Vec<(u64, Record)>, done: oneshot::Sender<()>) {
        if self.ownership.is_ours {
            return; // Whoever reads the shard's records for it has not heard yet.
        }
        for (sequence, record) in records {
            if sequence <= self.sequence || self.ownership.is_broken {
                continue;
            }
            let entity = record.entity.clone();
            let taken = if sequence == self.sequence + 1 {
                let taken = catch_unwind(AssertUnwindSafe(|| self.take_in(sequence, record)));
                taken.unwrap_or(Err(ReplayError::Panicked(entity)))
            } else {
                Err(ReplayError::Skipped { at: self.sequence, found: sequence })
            };
            if let Err(error) = taken {
                tracing::error!(shard = self.parts.id.0, sequence, %error, "a record of another owner was not taken in");
                self.ownership.is_broken = true;
            } else {
                self.ownership.followed = Some(sequence);
            }
        }
        // Whoever has stopped waiting goes on from what the shard says it has.
        let _ = done.send(());
    }

    fn take_in(&mut self, sequence: u64, record: Record) -> Result<(), ReplayError> {
        let entity = record.entity.clone();
        let was_in_memory = self.is_in_memory(&entity);
        let snapshots = Arc::clone(&self.parts.snapshots);
        self.replay(sequence, record, snapshots.as_ref())?;
        match &entity {
            EntityId::Stock(sku) => self.note_followed::<StockItem>(sku),
            EntityId::Product(sku) => self.note_followed::<Product>(sku),
            EntityId::Cart(cart) => self.note_followed::<Cart>(cart),
            EntityId::Order(order) => self.note_followed::<Order>(order),
        }
        if !was_in_memory {
            self.watch_idle(entity);
        }
        Ok(())
    }

    /// Keeps what the shard knows beside an entity in line with it.
    fn note_followed<E: Hosted>(&mut self, key: &E::Key) {
        let now = self.now;
        let Some(live) = E::table_mut(&mut self.tables).live.get_mut(key) else { return };
        live.touched = now;
        let address = E::address(key);
        if !mem::replace(&mut live.unseen, true) {
            self.staged.unseen.push(address.clone());
        }
        Self::schedule(&mut self.agenda, &address, live, now);
    }

    fn is_in_memory(&self, entity: &EntityId) -> bool {
        match entity {
            EntityId::Stock(sku) => self.tables.stock.get(sku).is_some(),
            EntityId::Product(sku) => self.tables.products.get(sku).is_some(),
            EntityId::Cart(cart) => self.tables.carts.get(cart).is_some(),
            EntityId::Order(order) => self.tables.orders.get(order).is_some(),
        }
    }

    /// The shard is this node's from here on, if it has taken in everything up to `head`. What its orders are owed may have
    /// been asked for by the owner before, and is asked for again.
    pub(super) fn take_ownership(&mut self, head: u64, done: oneshot::Sender<Result<(), u64>>) {
        if self.sequence != head || self.ownership.is_broken {
            let _ = done.send(Err(self.sequence));
            return;
        }
        if !mem::replace(&mut self.ownership.is_ours, true) {
            let orders = self.tables.orders.live.iter_mut();
            let mut owed: Vec<OrderId> =
                orders.filter(|(_, live)| !live.entity.next_steps().is_empty()).map(|(order, _)| *order).collect();
            owed.sort_unstable();
            for order in owed {
                self.pursue_soon(order);
            }
            self.held_back.extend(mem::take(&mut self.ownership.early));
        }
        let _ = done.send(Ok(()));
    }

    /// Gives the shard up once nothing that was accepted waits for an entity to be read, or has waited and is not decided yet.
    pub(super) fn begin_yield(&mut self, done: oneshot::Sender<u64>) {
        if self.ownership.is_ours {
            self.ownership.yielding = Some(done);
        } else {
            let _ = done.send(self.sequence);
        }
    }

    /// The end of a turn, as far as whose the shard is: gives it up when that was asked for and can be, and has a shard
    /// that cannot go on recovered.
    pub(super) fn note_ownership(&mut self, gate: &Arc<Gate>) {
        if self.ownership.yielding.is_some() && self.held_back.is_empty() && !self.is_reading() {
            let told = self.ownership.yielding.take().is_some_and(|done| done.send(self.sequence).is_ok());
            if told {
                self.ownership.is_ours = false;
                self.pursuits.clear();
                self.retries.clear();
                // What is out of service here may be well elsewhere.
                self.ownership.is_broken = self.quarantined > 0;
            }
        }
        if self.ownership.is_broken {
            gate.fail();
            self.parts.fatal.wake(self.parts.id);
        }
    }

    /// Whether anything waits for an entity that is being read.
    fn is_reading(&self) -> bool {
        fn any_loading<E: Hosted>(table: &Table<E>) -> bool {
            table.troubled.values().any(|trouble| matches!(trouble, Trouble::Loading(_)))
        }
        let tables = &self.tables;
        any_loading(&tables.stock)
            || any_loading(&tables.products)
            || any_loading(&tables.carts)
            || any_loading(&tables.orders)
    }
}
