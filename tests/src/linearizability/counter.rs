//! A SKU that clients quarrel over: what all of them know of its orders, and what each asked, was told, and when.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::bail;
use holdfast_api::load::{shop::Shop, stopwatch::Stopwatch};

use super::{
    checker::Timed,
    history::{History, Record},
    model::Operation,
};
use crate::wire::{Call, NoAnswer, Received};

/// No answer takes longer; what does counts as unanswered.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client waits before it tries again to reach a server that is down.
const PAUSE: Duration = Duration::from_millis(10);

/// One SKU that clients quarrel over, with what all of them know and recorded.
pub struct Counter {
    address: SocketAddr,
    pub(super) admin: String,
    pub(super) sku: String,
    run: String,
    clock: Stopwatch,
    book: Mutex<Book>,
}

/// What is known of the SKU's orders, and all records.
pub(super) struct Book {
    pub(super) history: History,
    pub(super) orders: Vec<KnownOrder>,
}

/// An order, from the first time its key was used.
#[derive(Debug, Clone)]
pub(super) struct KnownOrder {
    pub(super) units: u64,
    pub(super) card: &'static str,
    /// Whether it has a line at another counter too.
    pub(super) is_paired: bool,
    /// Id and token, once somebody was told.
    pub(super) receipt: Option<(String, String)>,
}

/// What came back.
pub(super) enum Heard {
    /// An answer.
    Answer(Received),
    /// None, and the request may have been carried out or not, or will be.
    Unknown,
    /// The request was never carried out.
    Nothing,
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

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new_order(&self, units: u64, card: &'static str, is_paired: bool) -> usize {
        let mut book = self.book();
        let number = book.orders.len();
        book.orders.push(KnownOrder { units, card, is_paired, receipt: None });
        book.history.orders = number + 1;
        if card == "tok_decline" {
            book.history.declined.push(number);
        }
        number
    }

    pub(super) fn order(&self, number: usize) -> Option<KnownOrder> {
        self.book().orders.get(number).cloned()
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn note(&self, invoked: u64, returned: Option<u64>, operation: Operation, is_listed: bool) {
        let timed = Timed { invoked, returned, operation };
        self.book().history.records.push(Record { timed, is_listed });
    }

    /// Sends and says what came back.
    pub(super) async fn send(&self, call: &Call, hang_up: Option<Duration>) -> anyhow::Result<Heard> {
        match tokio::time::timeout(hang_up.unwrap_or(PATIENCE), call.send(self.address)).await {
            Ok(Ok(received)) if received.status == 503 => {
                self.until_up().await?;
                // Refused before any work if it is overloaded; otherwise the outcome may be unknown.
                Ok(if received.problem() == "overloaded" { Heard::Nothing } else { Heard::Unknown })
            }
            Ok(Ok(received)) => Ok(Heard::Answer(received)),
            Ok(Err(NoAnswer::NotSent(_))) => self.until_up().await.map(|()| Heard::Nothing),
            Ok(Err(NoAnswer::Lost(_))) | Err(_) => Ok(Heard::Unknown),
        }
    }

    /// Sends, and notes what came of it. `read` says what an answer means: nothing if it had no effect, an error if it is
    /// none of those the documents allow. `lost` is what is noted where the answer is.
    pub(super) async fn ask(
        &self,
        call: Call,
        hang_up: Option<Duration>,
        lost: Option<Operation>,
        read: impl FnOnce(&Received) -> Option<Vec<Operation>>,
    ) -> anyhow::Result<Option<Received>> {
        let invoked = self.now();
        match self.send(&call, hang_up).await? {
            Heard::Answer(received) => {
                let returned = self.now();
                let Some(operations) = read(&received) else {
                    bail!("{} {} to {call:?}", received.head, received.body)
                };
                for operation in operations {
                    self.note(invoked, Some(returned), operation, false);
                }
                Ok(Some(received))
            }
            Heard::Unknown => {
                if let Some(operation) = lost {
                    self.note(invoked, None, operation, false);
                }
                Ok(None)
            }
            Heard::Nothing => Ok(None),
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

    /// The key of an order.
    pub(super) fn key(&self, order: usize) -> String {
        format!("{}-{}-{order:06}", self.run, self.sku)
    }

    /// Keeps what an acknowledgment says of an order.
    pub(super) fn keep_receipt(&self, order: usize, received: &Received) {
        let receipt = received.text("/id").zip(received.text("/buyer_token"));
        let Some((id, token)) = receipt.filter(|_| received.status == 201) else { return };
        if let Some(known) = self.book().orders.get_mut(order) {
            known.receipt = Some((id.to_owned(), token.to_owned()));
        }
    }
}
