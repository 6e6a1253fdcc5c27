//! A client that buys, cancels, restocks and looks, and writes down what it asked, what it was told, and when.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::bail;
use holdfast_api::load::{shop::Shop, stopwatch::Stopwatch};
use serde_json::{Value, json};

use super::{
    checker::Timed,
    dice::Dice,
    history::{History, Record},
    model::{AdjustAnswer, CancelAnswer, CheckoutAnswer, Level, Operation, Seen},
};
use crate::wire::{Call, NoAnswer, Received};

/// No answer takes longer; what does counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client waits before it tries again to reach a server that is down.
const PAUSE: Duration = Duration::from_millis(10);

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

/// One SKU that clients quarrel over, with what all of them know and recorded.
pub struct Counter {
    address: SocketAddr,
    admin: String,
    sku: String,
    run: String,
    clock: Stopwatch,
    book: Mutex<Book>,
}

/// What is known of the SKU's orders, and all records.
struct Book {
    history: History,
    orders: Vec<KnownOrder>,
}

/// An order, from the first time its key was used.
#[derive(Debug, Clone)]
struct KnownOrder {
    units: u64,
    card: &'static str,
    /// Id and token, once somebody was told.
    receipt: Option<(String, String)>,
}

impl Counter {
    /// A SKU that is put up with `units` units. `run` sets its keys apart from all others'.
    pub fn new(shop: &Shop, sku: &str, run: &str, units: u64, short_hold_ms: Option<u64>) -> Self {
        let hold_ttl_ns = short_hold_ms.map(|ttl| ttl.saturating_mul(1_000_000));
        let history = History { units, orders: 0, declined: Vec::new(), hold_ttl_ns, records: Vec::new() };
        Self {
            address: shop.target().address(),
            admin: shop.admin_token().unwrap_or_default().to_owned(),
            sku: sku.to_owned(),
            run: run.to_owned(),
            clock: Stopwatch::start(),
            book: Mutex::new(Book { history, orders: Vec::new() }),
        }
    }

    /// The SKU's name.
    pub fn sku(&self) -> &str {
        &self.sku
    }

    /// What was recorded.
    pub fn history(&self) -> History {
        self.book().history.clone()
    }

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

    async fn one_move(&self, manners: Manners, dice: &mut Dice) -> anyhow::Result<()> {
        let known = self.book().orders.len();
        let any_order = usize::try_from(dice.below(known as u64)).unwrap_or_default();
        let hang_up = dice.percent(manners.hang_ups).then(|| Duration::from_micros(dice.below(4_000)));
        match dice.below(100) {
            0..40 => {
                let card = match dice.below(100) {
                    roll if roll < manners.declines => "tok_decline",
                    roll if roll < manners.declines.saturating_add(manners.unpaid) => "tok_never",
                    _ => "tok_approve",
                };
                let order = self.new_order(1 + dice.below(3), card);
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

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_order(&self, units: u64, card: &'static str) -> usize {
        let mut book = self.book();
        let number = book.orders.len();
        book.orders.push(KnownOrder { units, card, receipt: None });
        book.history.orders = number + 1;
        if card == "tok_decline" {
            book.history.declined.push(number);
        }
        number
    }

    fn order(&self, number: usize) -> Option<KnownOrder> {
        self.book().orders.get(number).cloned()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn note(&self, invoked: u64, returned: Option<u64>, operation: Operation, is_listed: bool) {
        let timed = Timed { invoked, returned, operation };
        self.book().history.records.push(Record { timed, is_listed });
    }

    /// Sends, and notes what came of it. `read` says what an answer means: nothing if it had no effect, an error if it is
    /// none of those the documents allow. `lost` is what is noted where the answer is.
    async fn ask(
        &self,
        call: Call,
        hang_up: Option<Duration>,
        lost: Option<Operation>,
        read: impl FnOnce(&Received) -> Option<Vec<Operation>>,
    ) -> anyhow::Result<Option<Received>> {
        let invoked = self.now();
        let sent = tokio::time::timeout(hang_up.unwrap_or(PATIENCE), call.send(self.address)).await;
        let returned = self.now();
        match sent {
            Ok(Ok(received)) if received.status == 503 => {
                // Refused before any work if it is overloaded; otherwise the outcome may be unknown.
                if let Some(operation) = lost.filter(|_| received.problem() != "overloaded") {
                    self.note(invoked, None, operation, false);
                }
                self.until_up().await?;
                Ok(None)
            }
            Ok(Ok(received)) => {
                let Some(operations) = read(&received) else {
                    bail!("{} {} to {call:?}", received.head, received.body);
                };
                for operation in operations {
                    self.note(invoked, Some(returned), operation, false);
                }
                Ok(Some(received))
            }
            Ok(Err(NoAnswer::NotSent(_))) => self.until_up().await.map(|()| None),
            Ok(Err(NoAnswer::Lost(_))) | Err(_) => {
                if let Some(operation) = lost {
                    self.note(invoked, None, operation, false);
                }
                Ok(None)
            }
        }
    }

    /// Waits until the server takes requests.
    async fn until_up(&self) -> anyhow::Result<()> {
        let watch = Stopwatch::start();
        while watch.elapsed() < Duration::from_mins(1) {
            let ready = Call::new("GET", "/readyz").send(self.address).await;
            if ready.is_ok_and(|received| received.status == 200) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the server stays away")
    }

    /// Posts an order under its key; with `more` units than were ordered first, which must never be taken for the same.
    async fn checkout(&self, order: usize, more: u64, hang_up: Option<Duration>) -> anyhow::Result<()> {
        let Some(known) = self.order(order) else { return Ok(()) };
        let units = known.units.saturating_add(more);
        let body = json!({
            "lines": [{ "sku": self.sku, "quantity": units }], "payment": { "token": known.card },
        });
        let key = format!("{}-{}-{order:06}", self.run, self.sku);
        let call = Call::new("POST", "/api/v1/orders").header("idempotency-key", &key).json(&body);
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
        if let Some(received) = answered.await?.filter(|received| received.status == 201) {
            let receipt = received.text("/id").zip(received.text("/buyer_token"));
            let receipt = receipt.map(|(id, token)| (id.to_owned(), token.to_owned()));
            if let Some(known) = self.book().orders.get_mut(order) {
                known.receipt = receipt;
            }
        }
        Ok(())
    }

    async fn cancel(&self, order: usize, hang_up: Option<Duration>) -> anyhow::Result<()> {
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
