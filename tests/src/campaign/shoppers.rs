//! The load of the campaign: shoppers that order one line or several, repeat what they ordered under the same key, cancel,
//! and have orders shipped. Each asks until it is answered, across the crash, and enters what it was told into the books.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_api::load::{
    order::{ORDERS, fresh_run},
    shop::{Answer, Shop},
};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    books::Books,
    dice::Dice,
    purchase::{order_body, post_order},
};

/// How many shop at once.
const SHOPPERS: u64 = 12;
/// How long whoever was not answered waits before asking again.
const PAUSE: Duration = Duration::from_millis(10);

/// Cards that make the gateway answer late or twice; most pay with one that does not.
const CARDS: [&str; 4] = ["tok_timeout_before", "tok_timeout_after", "tok_twice", "tok_capture_timeout_after"];

/// All shoppers, and the books they keep.
pub struct Crowd {
    shop: Shop,
    books: Arc<Mutex<Books>>,
    seeds: Dice,
}

/// Shoppers under way.
pub struct Shopping {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: Arc<AtomicBool>,
}

/// An order a shopper was told of.
struct Mine {
    id: String,
    key: String,
    body: Value,
}

struct Shopper {
    shop: Shop,
    books: Arc<Mutex<Books>>,
    random: Dice,
    stop: Arc<AtomicBool>,
    mine: Vec<Mine>,
}

impl Crowd {
    /// Shoppers of `shop`, whose choices follow from `seed`.
    pub fn new(shop: Shop, seed: u64) -> Self {
        Self { shop, books: Arc::default(), seeds: Dice::new(seed) }
    }

    /// Has them buy this SKU, of which so many units were put up.
    pub fn put_up(&mut self, sku: &str, units: u64) {
        lock(&self.books).stock.insert(sku.to_owned(), units);
    }

    /// Has the gateway's book compared as well.
    pub fn ask_gateway(&mut self, book: PathBuf) {
        lock(&self.books).gateway = Some(book);
    }

    /// The books as of now.
    pub fn books(&self) -> Books {
        lock(&self.books).clone()
    }

    /// Sends the shoppers off.
    pub fn go(&mut self) -> Shopping {
        let (mut tasks, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for _ in 0..SHOPPERS {
            let shopper = Shopper {
                shop: self.shop.clone(),
                books: Arc::clone(&self.books),
                random: Dice::new(self.seeds.roll()),
                stop: Arc::clone(&stop),
                mine: Vec::new(),
            };
            tasks.spawn(shopper.shop());
        }
        Shopping { tasks, stop }
    }
}

impl Shopping {
    /// Has everybody finish what they are at.
    ///
    /// # Errors
    /// The first answer that makes no sense.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn lock(books: &Mutex<Books>) -> std::sync::MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shopper {
    async fn shop(mut self) -> anyhow::Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            match self.random.below(20) {
                0..=1 => self.repeat().await?,
                2..=3 => self.cancel().await?,
                4..=6 => self.ship().await?,
                7..=9 => self.order(&[("CRASH-A", 1), ("CRASH-B", 2), ("CRASH-C", 1)]).await?,
                10 => self.order(&[("CRASH-FEW", 2)]).await?,
                _ => {
                    let sku = ["CRASH-A", "CRASH-B", "CRASH-C"][usize::try_from(self.random.below(3))?];
                    self.order(&[(sku, 1)]).await?;
                }
            }
        }
        // What was acknowledged before the crash is acknowledged in the same words after it.
        self.repeat().await
    }

    async fn order(&mut self, lines: &[(&str, u32)]) -> anyhow::Result<()> {
        let card = CARDS.get(usize::try_from(self.random.below(8))?).copied().unwrap_or("tok_approve");
        let (key, body) = (fresh_run()?, order_body(lines, card));
        if let Some(id) = self.place(&key, &body).await? {
            self.mine.push(Mine { id, key, body });
        }
        Ok(())
    }

    async fn repeat(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.pick() else { return Ok(()) };
        let (key, body) = (self.mine[at].key.clone(), self.mine[at].body.clone());
        let id = self.place(&key, &body).await?;
        if id.as_deref() != Some(&self.mine[at].id) {
            bail!("the retry of {} was answered {id:?}", self.mine[at].id);
        }
        Ok(())
    }

    /// Posts until there is an answer that means something. The order, or none if it is sold out.
    async fn place(&self, key: &str, body: &Value) -> anyhow::Result<Option<String>> {
        loop {
            let answer = post_order(&self.shop, key, body).await;
            let Some(answer) = answer.ok().filter(is_answer) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if answer.status == StatusCode::CONFLICT && problem(&answer) == "insufficient-stock" {
                return Ok(None);
            }
            let placed = answer.expect("an order", &[StatusCode::CREATED])?.body;
            let id = placed["id"].as_str().context("an order without an id")?.to_owned();
            lock(&self.books).acknowledge(&placed)?;
            return Ok(Some(id));
        }
    }

    async fn cancel(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.pick() else { return Ok(()) };
        // Nobody else moves this order, so whatever is answered holds; it is not touched again.
        let Mine { id, .. } = self.mine.swap_remove(at);
        let path = format!("{ORDERS}/{id}/cancel");
        let answer = self.ask(Method::POST, &path, None).await?;
        if answer.status == StatusCode::OK {
            lock(&self.books).moved(&id, &["canceled", "refunded"]);
        }
        Ok(())
    }

    async fn ship(&mut self) -> anyhow::Result<()> {
        let Some(at) = self.pick() else { return Ok(()) };
        let path = format!("{ORDERS}/{}/status", self.mine[at].id);
        let answer = self.ask(Method::PUT, &path, Some(json!({ "status": "shipped" }))).await?;
        if answer.status == StatusCode::OK {
            let Mine { id, .. } = self.mine.swap_remove(at);
            lock(&self.books).moved(&id, &["shipped", "delivered"]);
        }
        Ok(())
    }

    /// Asks with the operator's token until there is an answer: done, or refused because of where the order stands.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Answer> {
        loop {
            match self.shop.admin_call(method.clone(), path, body.as_ref()).await.ok().filter(is_answer) {
                Some(answer) => return Ok(answer.expect(path, &[StatusCode::OK, StatusCode::CONFLICT])?),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn pick(&mut self) -> Option<usize> {
        usize::try_from(self.random.below(self.mine.len() as u64)).ok().filter(|at| *at < self.mine.len())
    }
}

/// Whether an answer says what became of the request, rather than to ask again.
fn is_answer(answer: &Answer) -> bool {
    let again = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
    !again.contains(&answer.status) && problem(answer) != "idempotency-key-in-flight"
}

fn problem(answer: &Answer) -> &str {
    answer.body["type"].as_str().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
}
