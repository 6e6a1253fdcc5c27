//! The bus between shards: it delays, reorders, duplicates and drops what one shard tells another. Requests of clients and
//! answers of the gateway go straight to the mailbox, as they do on a node.
//!
//! Invariant: what is delivered was sent, at least once.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use holdfast_actors::{
    Clock, CommandError, Mailbox, Router, Unavailable,
    message::{Envelope, Message, Outcome, Request},
};
use holdfast_core::{ShardCount, ShardId, Timestamp};
use parking_lot::Mutex;

use crate::{dice::Dice, trace::Trace};

/// How bad the bus is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BusFaults {
    /// Out of a thousand messages so many are lost.
    pub(crate) drop_permille: u64,
    /// Out of a thousand messages so many arrive twice.
    pub(crate) duplicate_permille: u64,
    /// A message takes up to so long, in milliseconds.
    pub(crate) delay_ms: u64,
    /// Out of a thousand messages so many take up to a hundred times as long.
    pub(crate) straggle_permille: u64,
}

/// What the bus did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BusFigures {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
    pub(crate) duplicated: u64,
    pub(crate) delayed: u64,
}

/// The router of one process, and the messages under way.
pub(crate) struct Bus {
    shards: ShardCount,
    mailboxes: Arc<[Arc<Mailbox>]>,
    state: Mutex<State>,
    faults: Arc<Mutex<BusFaults>>,
    dice: Dice,
    clock: Clock,
    trace: Trace,
}

#[derive(Default)]
struct State {
    under_way: BTreeMap<(Timestamp, u64), (ShardId, Message)>,
    next: u64,
    figures: BusFigures,
}

impl Bus {
    pub(crate) fn new(
        shards: ShardCount,
        mailboxes: Arc<[Arc<Mailbox>]>,
        faults: Arc<Mutex<BusFaults>>,
        dice: Dice,
        clock: Clock,
        trace: Trace,
    ) -> Self {
        Self { shards, mailboxes, state: Mutex::default(), faults, dice, clock, trace }
    }

    pub(crate) fn figures(&self) -> BusFigures {
        self.state.lock().figures
    }

    /// When the next message arrives.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.state.lock().under_way.first_key_value().map(|((at, _), _)| *at)
    }

    /// Delivers what has arrived by now.
    pub(crate) fn deliver(&self) {
        let now = self.clock.now();
        loop {
            let (shard, message) = {
                let mut state = self.state.lock();
                match state.under_way.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            self.trace.note("bus: deliver", u64::from(shard.0), kind(&message));
            if let Some(mailbox) = self.mailboxes.get(usize::from(shard.0)) {
                mailbox.deliver(Envelope::Message(message));
            }
        }
    }

    fn delay(&self, faults: BusFaults) -> i64 {
        let longest = if self.dice.permille(faults.straggle_permille) { 100 } else { 1 } * faults.delay_ms;
        self.dice.millis(0, longest)
    }
}

#[async_trait]
impl Router for Bus {
    fn shards(&self) -> ShardCount {
        self.shards
    }

    fn local(&self, shard: ShardId) -> Option<&Arc<Mailbox>> {
        self.mailboxes.get(usize::from(shard.0))
    }

    async fn remote(&self, _shard: ShardId, _request: Request) -> Outcome {
        Err(CommandError::Unavailable { reason: Unavailable::Recovering, retry_after_ms: 1_000 })
    }

    fn send(&self, shard: ShardId, message: Message) {
        let faults = *self.faults.lock();
        let now = self.clock.now();
        let mut state = self.state.lock();
        state.figures.sent += 1;
        if self.dice.permille(faults.drop_permille) {
            state.figures.dropped += 1;
            self.trace.note("bus: drop", u64::from(shard.0), kind(&message));
            return;
        }
        if self.dice.permille(faults.duplicate_permille)
            && let Some(copy) = copy(&message)
        {
            state.figures.duplicated += 1;
            let key = (now.saturating_add_millis(self.delay(faults)), state.next);
            state.next += 1;
            state.under_way.insert(key, (shard, copy));
        }
        let delay = self.delay(faults);
        state.figures.delayed += u64::from(delay > 0);
        let key = (now.saturating_add_millis(delay), state.next);
        state.next += 1;
        state.under_way.insert(key, (shard, message));
    }
}

fn kind(message: &Message) -> u64 {
    match message {
        Message::StockStep { .. } => 1,
        Message::OrderAnswer { .. } => 2,
        Message::GatewayFailed { .. } => 3,
        Message::ResolveCheckout { .. } => 4,
        Message::CheckoutResolved { .. } => 5,
        Message::ReleaseHold { .. } => 6,
    }
}

/// The same message again.
fn copy(message: &Message) -> Option<Message> {
    Some(match message {
        Message::StockStep { hold, sku, action } => {
            Message::StockStep { hold: *hold, sku: sku.clone(), action: *action }
        }
        Message::OrderAnswer { order, command } => Message::OrderAnswer { order: *order, command: command.clone() },
        Message::ResolveCheckout { cart, order, deadline } => {
            Message::ResolveCheckout { cart: *cart, order: *order, deadline: *deadline }
        }
        Message::CheckoutResolved { cart, order, deadline, placed } => {
            Message::CheckoutResolved { cart: *cart, order: *order, deadline: *deadline, placed: *placed }
        }
        Message::ReleaseHold { sku, hold, expires_at } => {
            Message::ReleaseHold { sku: sku.clone(), hold: *hold, expires_at: *expires_at }
        }
        // The driver's own word to its shard: it does not cross the bus.
        Message::GatewayFailed { .. } => return None,
    })
}
