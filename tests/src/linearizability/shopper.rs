//! A client that buys, cancels, restocks and looks.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use super::{
    counter::Counter,
    model::{AdjustAnswer, CancelAnswer, CheckoutAnswer, Level, Operation, Seen},
};
use crate::{dice::Dice, wire::Call};

/// How clients behave.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How many moves each makes.
    pub moves: usize,
    /// The longest pause between two moves, in microseconds.
    pub pause_us: u64,
    /// In how many of 100 writes the client hangs up before it is answered.
    pub hang_ups: u64,
    /// In how many of 100 orders the payment is declined.
    pub declines: u64,
    /// In how many of 100 orders the payment never comes.
    pub unpaid: u64,
}

impl Manners {
    /// How a new order is paid.
    pub(super) fn card(self, dice: &mut Dice) -> &'static str {
        match dice.below(100) {
            roll if roll < self.declines => "tok_decline",
            roll if roll < self.declines.saturating_add(self.unpaid) => "tok_never",
            _ => "tok_approve",
        }
    }

    /// After how long the client hangs up, if it does.
    pub(super) fn hang_up(self, dice: &mut Dice) -> Option<Duration> {
        dice.percent(self.hang_ups).then(|| Duration::from_micros(dice.below(4_000)))
    }
}

impl Counter {
    /// Makes one client's moves.
    ///
    /// # Errors
    /// When the server answers something that no document allows, or stays away.
    pub async fn shop(&self, manners: Manners, mut dice: Dice) -> anyhow::Result<()> {
        for _ in 0..manners.moves {
            self.one_move(manners, &mut dice).await?;
            tokio::time::sleep(Duration::from_micros(dice.below(manners.pause_us))).await;
        }
        Ok(())
    }

    /// Posts every order again that nobody was told of, until somebody is told.
    ///
    /// # Errors
    /// As [`Counter::shop`].
    pub async fn repeat_unanswered(&self) -> anyhow::Result<()> {
        let orders = self.book().orders.len();
        for order in 0..orders {
            if self.order(order).is_some_and(|known| known.receipt.is_none()) {
                self.checkout(order, 0, None).await?;
            }
        }
        Ok(())
    }

    /// Reads everything once more, one after the other, when nobody moves any more.
    ///
    /// # Errors
    /// As [`Counter::shop`].
    pub async fn close(&self) -> anyhow::Result<()> {
        self.read_level(false).await?;
        self.list_orders().await?;
        let orders = self.book().orders.len();
        for order in 0..orders {
            self.read_order(order).await?;
        }
        Ok(())
    }

    pub(super) async fn one_move(&self, manners: Manners, dice: &mut Dice) -> anyhow::Result<()> {
        let known = self.book().orders.len();
        let any_order = usize::try_from(dice.below(known as u64)).unwrap_or_default();
        let hang_up = manners.hang_up(dice);
        match dice.below(100) {
            0..40 => {
                let order = self.new_order(1 + dice.below(3), manners.card(dice), false);
                self.checkout(order, 0, hang_up).await
            }
            40..52 if known > 0 => self.checkout(any_order, 0, hang_up).await,
            52..55 if known > 0 => self.checkout(any_order, 1, hang_up).await,
            55..70 if known > 0 => self.cancel(any_order, hang_up).await,
            70..76 => {
                let units = 1 + dice.below(3).cast_signed();
                self.adjust(if dice.percent(50) { units } else { -units }, hang_up).await
            }
            76..84 if known > 0 => self.read_order(any_order).await,
            84..88 => self.list_orders().await,
            _ => self.read_level(dice.percent(30)).await,
        }
    }

    /// Posts an order under its key; with `more` units than were ordered first, which must never be taken for the same.
    async fn checkout(&self, order: usize, more: u64, hang_up: Option<Duration>) -> anyhow::Result<()> {
        let Some(known) = self.order(order).filter(|known| !known.is_paired) else { return Ok(()) };
        let units = known.units.saturating_add(more);
        let body = json!({
            "lines": [{ "sku": self.sku, "quantity": units }], "payment": { "token": known.card },
        });
        let call = Call::new("POST", "/api/v1/orders").header("idempotency-key", &self.key(order)).json(&body);
        let asked = |answer| Operation::Checkout { order, units, answer };
        let answered = self.ask(call, hang_up, Some(asked(None)), |received| {
            let answer = match (received.status, received.problem()) {
                (201, _) if received.header("idempotency-replayed") == Some("true") => CheckoutAnswer::Replayed,
                (201, _) => CheckoutAnswer::Placed,
                (422, "idempotency-key-reused") => CheckoutAnswer::Reused,
                (409, "insufficient-stock") => {
                    CheckoutAnswer::Insufficient { available: received.number("/available")? }
                }
                (409, "idempotency-key-in-flight") => return Some(Vec::new()),
                _ => return None,
            };
            Some(vec![asked(Some(answer))])
        });
        if let Some(received) = answered.await? {
            self.keep_receipt(order, &received);
        }
        Ok(())
    }

    async fn cancel(&self, order: usize, hang_up: Option<Duration>) -> anyhow::Result<()> {
        match self.order(order) {
            Some(known) if !known.is_paired => self.cancel_any(order, hang_up).await,
            _ => Ok(()),
        }
    }

    /// Cancels an order, paired or not.
    pub(super) async fn cancel_any(&self, order: usize, hang_up: Option<Duration>) -> anyhow::Result<()> {
        let Some((id, token)) = self.order(order).and_then(|known| known.receipt) else { return Ok(()) };
        let call = Call::new("POST", &format!("/api/v1/orders/{id}/cancel")).bearer(&token);
        let asked = |answer| Operation::Cancel { order, answer };
        let answered = self.ask(call, hang_up, Some(asked(None)), |received| {
            Some(vec![match (received.status, received.problem()) {
                (200, _) => asked(Some(CancelAnswer::Canceled)),
                (409, "illegal-transition") => asked(Some(CancelAnswer::Refused)),
                (404, _) => Operation::ReadOrder { order, seen: Seen::Absent },
                _ => return None,
            }])
        });
        answered.await.map(drop)
    }

    async fn adjust(&self, delta: i64, hang_up: Option<Duration>) -> anyhow::Result<()> {
        let path = format!("/api/v1/products/{}/stock-adjustments", self.sku);
        let body = json!({ "delta": delta, "reason": "a quarrel" });
        let call = Call::new("POST", &path).bearer(&self.admin).json(&body);
        let asked = |answer| Operation::Adjust { delta, answer };
        let answered = self.ask(call, hang_up, Some(asked(None)), |received| {
            Some(vec![asked(Some(match (received.status, received.problem()) {
                (200, _) => AdjustAnswer::Done(level(received.body.get("stock")?)?),
                (409, "conflict") => AdjustAnswer::Below { available: received.number("/available")? },
                _ => return None,
            }))])
        });
        answered.await.map(drop)
    }

    /// Reads the SKU's units, from its own page or from the listing of products.
    async fn read_level(&self, in_listing: bool) -> anyhow::Result<()> {
        let sku = &self.sku;
        let path =
            if in_listing { format!("/api/v1/products?category={sku}") } else { format!("/api/v1/products/{sku}") };
        let call = Call::new("GET", &path).bearer(&self.admin);
        let answered = self.ask(call, None, None, |received| {
            let product = if in_listing { received.body.pointer("/items/0")? } else { &received.body };
            Some(vec![Operation::ReadLevel(level(product.get("stock")?)?)])
        });
        answered.await.map(drop)
    }

    async fn read_order(&self, order: usize) -> anyhow::Result<()> {
        let Some((id, token)) = self.order(order).and_then(|known| known.receipt) else { return Ok(()) };
        let call = Call::new("GET", &format!("/api/v1/orders/{id}")).bearer(&token);
        let answered = self.ask(call, None, None, |received| {
            let seen = if received.status == 404 { Seen::Absent } else { seen(received.text("/status")?)? };
            Some(vec![Operation::ReadOrder { order, seen }])
        });
        answered.await.map(drop)
    }

    /// Lists the SKU's orders: says something about every order whose id is known.
    async fn list_orders(&self) -> anyhow::Result<()> {
        let path = format!("/api/v1/orders?limit=100&sku={}", self.sku);
        let invoked = self.now();
        let call = Call::new("GET", &path).bearer(&self.admin);
        let Some(received) = self.ask(call, None, None, |received| (received.status == 200).then(Vec::new)).await?
        else {
            return Ok(());
        };
        let returned = self.now();
        let Some(items) = received.body.get("items").and_then(Value::as_array) else { bail!("{}", received.body) };
        if received.body.get("next_cursor").is_some_and(Value::is_string) {
            return Ok(()); // More orders than one page: not one read any more.
        }
        let orders = self.book().orders.clone();
        for (order, known) in orders.iter().enumerate() {
            let Some((id, _)) = &known.receipt else { continue };
            let listed = items.iter().find(|item| item.get("id").and_then(Value::as_str) == Some(id));
            let status = listed.map(|item| item.get("status").and_then(Value::as_str).and_then(seen));
            let Some(seen) = status.unwrap_or(Some(Seen::Absent)) else { bail!("{listed:?}") };
            self.note(invoked, Some(returned), Operation::ReadOrder { order, seen }, true);
        }
        Ok(())
    }
}

/// The units an admin is shown, if they add up.
fn level(stock: &Value) -> Option<Level> {
    let units = |name: &str| stock.get(name)?.as_u64();
    let (on_hand, available) = (units("on_hand")?, units("available")?);
    let parts = available.checked_add(units("held")?)?.checked_add(units("allocated")?)?;
    (parts == on_hand).then_some(Level { on_hand, available })
}

fn seen(status: &str) -> Option<Seen> {
    match status {
        "placed" | "authorized" | "confirmed" => Some(Seen::Live),
        "canceled" | "expired" => Some(Seen::Ended),
        _ => None,
    }
}
