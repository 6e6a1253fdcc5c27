//! Orders over two SKUs, which mostly live in two shards: the first line's shard is the order's home, the other line is held
//! before and given back after where the order does not come to be.
//!
//! Each SKU is checked by itself. What the documents promise about both together ("Checkout over several shards" in
//! `docs/runtime-semantics.md`) shows at each: a placed order has its units at both, a refused one leaves them at both.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::bail;
use serde_json::json;

use super::{
    counter::{Counter, Heard, KnownOrder},
    model::{CheckoutAnswer, Operation},
    shopper::Manners,
};
use crate::{
    dice::Dice,
    wire::{Call, Received},
};

/// Two counters and the orders that have a line at both.
pub struct Pair {
    home: Arc<Counter>,
    away: Arc<Counter>,
    /// The number of each at home and away.
    orders: Mutex<Vec<(usize, usize)>>,
}

impl Pair {
    /// Orders whose first line is at `home` and whose second is at `away`.
    pub fn new(home: &Arc<Counter>, away: &Arc<Counter>) -> Self {
        Self { home: Arc::clone(home), away: Arc::clone(away), orders: Mutex::default() }
    }

    /// Makes one client's moves: orders over both counters, and whatever else happens at each.
    ///
    /// # Errors
    /// As [`Counter::shop`].
    pub async fn shop(&self, manners: Manners, mut dice: Dice) -> anyhow::Result<()> {
        for _ in 0..manners.moves {
            let (known, hang_up) = (self.some_order(&mut dice), manners.hang_up(&mut dice));
            match (dice.below(100), known) {
                (0..30, _) => {
                    let order = self.new_order(manners, &mut dice);
                    self.checkout(order, hang_up).await?;
                }
                (30..45, Some(order)) => self.checkout(order, hang_up).await?,
                (45..60, Some(order)) => self.cancel(order, hang_up).await?,
                (60..80, _) => self.home.one_move(manners, &mut dice).await?,
                _ => self.away.one_move(manners, &mut dice).await?,
            }
            tokio::time::sleep(Duration::from_micros(dice.below(manners.pause_us))).await;
        }
        Ok(())
    }

    fn some_order(&self, dice: &mut Dice) -> Option<(usize, usize)> {
        dice.pick(&self.orders.lock().unwrap_or_else(PoisonError::into_inner)).copied()
    }

    fn new_order(&self, manners: Manners, dice: &mut Dice) -> (usize, usize) {
        let (card, units) = (manners.card(dice), 1 + dice.below(2));
        let order = (self.home.new_order(units, card, true), self.away.new_order(units, card, true));
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        order
    }

    async fn checkout(&self, (at_home, away): (usize, usize), hang_up: Option<Duration>) -> anyhow::Result<()> {
        let Some(KnownOrder { units, card, .. }) = self.home.order(at_home) else { return Ok(()) };
        let lines = [self.home.sku(), self.away.sku()].map(|sku| json!({ "sku": sku, "quantity": units }));
        let body = json!({ "lines": lines, "payment": { "token": card } });
        let call = Call::new("POST", "/api/v1/orders").header("idempotency-key", &self.home.key(at_home)).json(&body);
        let invoked = (self.home.now(), self.away.now());
        let heard = self.home.send(&call, hang_up).await?;
        let returned = (self.home.now(), self.away.now());
        let (home_answer, away_answer) = match &heard {
            Heard::Answer(received) => match self.read(received) {
                Some(answers) => answers,
                None => bail!("{} {} to {call:?}", received.head, received.body),
            },
            Heard::Unknown => (Noted::Unknown, Noted::Unknown),
            Heard::Nothing => (Noted::Nothing, Noted::Nothing),
        };
        note(&self.home, at_home, units, (invoked.0, returned.0), home_answer);
        note(&self.away, away, units, (invoked.1, returned.1), away_answer);
        if let Heard::Answer(received) = &heard {
            self.home.keep_receipt(at_home, received);
        }
        Ok(())
    }

    /// What an answer says about each SKU.
    fn read(&self, received: &Received) -> Option<(Noted, Noted)> {
        let is_replay = received.header("idempotency-replayed") == Some("true");
        Some(match (received.status, received.problem()) {
            (201, _) if is_replay => (Noted::Answer(CheckoutAnswer::Replayed), Noted::Answer(CheckoutAnswer::Held)),
            (201, _) => (Noted::Answer(CheckoutAnswer::Placed), Noted::Answer(CheckoutAnswer::Held)),
            (409, "insufficient-stock") => {
                let refused = Noted::Answer(CheckoutAnswer::Insufficient { available: received.number("/available")? });
                // Away is held first: refused there, home was not asked; refused at home, it was held away for nothing.
                if received.text("/sku")? == self.away.sku() {
                    (Noted::Nothing, refused)
                } else {
                    (refused, Noted::Unknown)
                }
            }
            (409, "idempotency-key-in-flight") => (Noted::Nothing, Noted::Nothing),
            _ => return None,
        })
    }

    async fn cancel(&self, (at_home, away): (usize, usize), hang_up: Option<Duration>) -> anyhow::Result<()> {
        if self.home.order(at_home).is_some_and(|known| known.receipt.is_some()) {
            // The other shard is told after the answer.
            self.away.note(self.away.now(), None, Operation::Lapse { order: away }, false);
            self.home.cancel_any(at_home, hang_up).await?;
        }
        Ok(())
    }
}

/// What is known of a checkout at one SKU.
#[derive(Clone, Copy)]
enum Noted {
    /// It was answered so.
    Answer(CheckoutAnswer),
    /// Units may have been taken, and may have been given back.
    Unknown,
    /// The SKU was not asked.
    Nothing,
}

fn note(counter: &Counter, order: usize, units: u64, (invoked, returned): (u64, u64), noted: Noted) {
    match noted {
        Noted::Answer(answer) => {
            let operation = Operation::Checkout { order, units, answer: Some(answer) };
            counter.note(invoked, Some(returned), operation, false);
        }
        Noted::Unknown => {
            counter.note(invoked, None, Operation::Checkout { order, units, answer: None }, false);
            counter.note(invoked, None, Operation::GiveBack { order }, false);
        }
        Noted::Nothing => {}
    }
}
